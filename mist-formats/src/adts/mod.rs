//! AAC in ADTS: ISO/IEC 13818-7 §6.2 and 14496-3 §1.A.3, files and HTTP Live Streaming's packed audio (RFC 8216 §3.4).
//!
//! The demuxer takes the headers off. Times count samples of the core: where spectral band replication is in the payload,
//! which ADTS can't say, rate and frames are the core's. Frames of several raw data blocks are taken apart where their
//! positions are told, that is with a CRC; without they can't be and are left out with a `Problem`. CRCs aren't checked.
//! Tags are passed over; the time in an ID3v2 tag of HTTP Live Streaming sets the clock. Seeking is exact within
//! what was read; beyond, it goes on from the last known place, as the file doesn't tell more.
//!
//! [`Muxer`] writes a header without CRC before each packet.

use bytes::Bytes;
use mist_core::codec::aac::{Adts, Asc};
use mist_core::codec::{Codec, CodecError};
use mist_core::format::{ErrorKind, FormatError, Index, Patch};
use mist_core::gather::Gather;
use mist_core::media::{Packet, TrackId, TrackInfo};
use mist_core::registry::{Connector, FormatDef, InputInfo, Method, Slot};
use mist_core::time::Duration;
use std::sync::Arc;

use crate::frames::{FrameDemuxer, Framing, Out, probe};

const ID: &str = "ADTS";
const CODECS: &[Codec] = &[Codec::Aac];
/// Bytes of the CRC behind each raw data block.
const CRC: usize = 2;

/// The registry entry.
pub static FORMAT: FormatDef = FormatDef {
    id: ID,
    mime: "audio/aac",
    extensions: &["aac", "adts"],
    probe: probe::<Frames>,
    demuxer: Some(|| Box::new(FrameDemuxer::new(Frames::default()))),
    muxer: Some(|| Box::new(Muxer::new())),
    input: Some(InputInfo {
        name: "AAC",
        desc: "Reads AAC files with ADTS headers.",
        source_match: &["/*.aac", "aac:*", "/*.adts"],
        priority: 9,
        codecs: &[&[Slot::Of(CODECS)]],
        options: &[],
    }),
    output: Some(Connector {
        name: "AAC",
        desc: "Pseudostreaming in AAC format over HTTP",
        deps: "HTTP",
        url_rel: "/$.aac",
        url_match: &["/$.aac"],
        url_prefix: &[],
        push_urls: &["/*.aac", "aac:*"],
        methods: &[Method { handler: "http", kind: "html5/audio/aac", priority: 8 }],
        codecs: &[&[Slot::Of(CODECS)]],
        options: &[],
    }),
};

/// ADTS frames.
#[derive(Debug, Default)]
struct Frames {
    described: Option<Adts>,
    split_reported: bool,
}

impl Framing for Frames {
    const ID: &'static str = ID;
    const MIN: usize = Adts::MIN;
    const SYNC: u8 = 0xff;
    type Header = Adts;

    fn parse(data: &[u8]) -> Result<Adts, CodecError> {
        Adts::parse(data)
    }

    fn len(h: &Adts) -> usize {
        h.frame_len
    }

    fn rate(h: &Adts) -> u32 {
        h.rate
    }

    fn like(a: &Adts, b: &Adts) -> bool {
        a.like(b)
    }

    fn read(&mut self, h: &Adts, frame: Bytes, out: &mut Out<'_>) {
        let payload = frame.slice(h.header_len.min(frame.len())..);
        if !self.described.is_some_and(|d| d.like(h)) {
            let asc = h.asc(&payload);
            match asc.build() {
                Ok(init) => out.describe(Codec::Aac, init, asc.params()),
                Err(e) => {
                    out.problem(ID, e.into());
                    return out.skip(h.samples());
                }
            }
            self.described = Some(*h);
        }
        if h.blocks == 1 {
            return out.packet(h.header_len, payload, h.samples(), Duration::ZERO);
        }
        match blocks(h, &frame) {
            Some(list) => {
                for (from, to) in list {
                    out.packet(
                        from,
                        frame.slice(from..to),
                        h.samples() / u32::from(h.blocks),
                        Duration::ZERO,
                    );
                }
            }
            None => {
                if !std::mem::replace(&mut self.split_reported, true) {
                    let what = "several raw data blocks in a frame that doesn't tell where they begin";
                    out.problem(ID, ErrorKind::Unsupported(what));
                }
                out.skip(h.samples());
            }
        }
    }
}

/// Where the raw data blocks of a frame lie; `None` where it doesn't tell or tells nonsense.
fn blocks(h: &Adts, frame: &[u8]) -> Option<Vec<(usize, usize)>> {
    let positions = frame.get(Adts::MIN..h.header_len.checked_sub(CRC)?)?;
    let starts = positions.chunks_exact(2).map(|p| p.iter().fold(0, |n, &b| n << 8 | usize::from(b)));
    let starts: Vec<usize> = std::iter::once(0).chain(starts).chain([frame.len() - h.header_len]).collect();
    if starts.len() != usize::from(h.blocks) + 1 {
        return None;
    }
    let pairs = starts.iter().zip(starts.iter().skip(1));
    pairs
        .map(|(&from, &next)| {
            let (from, to) = (h.header_len + from, (h.header_len + next).checked_sub(CRC)?);
            (from <= to && to <= frame.len()).then_some((from, to))
        })
        .collect()
}

/// Writes AAC with ADTS headers: object types 1 to 4, with frames of 1024 samples.
#[derive(Debug, Default)]
pub struct Muxer {
    track: Option<(TrackId, Asc)>,
    at: u64,
}

impl Muxer {
    /// Before its start.
    pub fn new() -> Self {
        Self::default()
    }

    fn error(&self, kind: ErrorKind) -> FormatError {
        FormatError { format: ID, offset: self.at, path: "frame", kind }
    }

    fn take(&mut self, info: &TrackInfo) -> Result<(), FormatError> {
        if info.codec != Codec::Aac {
            return Err(self.error(ErrorKind::Unsupported("only AAC")));
        }
        let asc = Asc::parse(&info.init).and_then(|asc| Adts::build(&asc, 0).map(|_| asc));
        let asc = asc.map_err(|e| self.error(e.into()))?;
        self.track = Some((info.id, asc));
        Ok(())
    }
}

impl mist_core::format::Muxer for Muxer {
    fn start(
        &mut self,
        tracks: &[Arc<TrackInfo>],
        _index: Option<&Index>,
        _out: &mut Gather,
    ) -> Result<(), FormatError> {
        match tracks {
            [info] => self.take(info),
            _ => Err(self.error(ErrorKind::Unsupported("other than one track"))),
        }
    }

    fn track(&mut self, info: &Arc<TrackInfo>, _out: &mut Gather) -> Result<(), FormatError> {
        if self.track.as_ref().is_some_and(|(t, _)| *t != info.id) {
            return Err(self.error(ErrorKind::Unsupported("more than one track")));
        }
        self.take(info)
    }

    fn packet(&mut self, p: &Packet, out: &mut Gather) -> Result<(), FormatError> {
        let Some((_, asc)) = self.track.as_ref().filter(|(t, _)| *t == p.track) else {
            return Err(self.error(ErrorKind::Malformed("packet of a track that wasn't announced")));
        };
        let head = Adts::build(asc, p.data.len()).map_err(|e| self.error(e.into()))?;
        self.at += (head.len() + p.data.len()) as u64;
        out.put(&head);
        out.push(p.data.clone());
        Ok(())
    }

    fn finish(&mut self, _out: &mut Gather) -> Result<Vec<Patch>, FormatError> {
        Ok(Vec::new())
    }
}
