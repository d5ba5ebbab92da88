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
                    out.problem(e.into());
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
                    out.problem(ErrorKind::Unsupported(what));
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
        if asc.channel_config == 0 {
            // The payload would have to begin with what the configuration says.
            return Err(
                self.error(ErrorKind::Unsupported("channels that only a program configuration tells"))
            );
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use mist_core::format::{Demuxed, Demuxer as _, Muxer as _};
    use mist_core::media::Media;
    use mist_core::time::Timestamp;

    /// A frame at 44.1 kHz in stereo of so many blocks.
    fn frame(payload: &[u8], blocks: u8) -> Vec<u8> {
        let mut f = Adts::build(&Asc::new(2, 44_100, 2), payload.len()).unwrap().to_vec();
        f[6] |= blocks - 1;
        f.extend_from_slice(payload);
        f
    }

    type Got = (Vec<(i64, Vec<u8>)>, Vec<(u64, ErrorKind)>, Option<FormatError>);

    /// Samples before each packet and its payload, problems, and how it ended; the same in every split.
    fn run(data: &[u8]) -> Got {
        let whole = run_in(data, data.len());
        for step in [1, 2, 7, 188] {
            assert_eq!(run_in(data, step), whole, "steps of {step}");
        }
        whole
    }

    fn run_in(data: &[u8], step: usize) -> Got {
        let mut d = FrameDemuxer::new(Frames::default());
        let mut chunks = data.chunks(step.max(1));
        let mut at = 0;
        let (mut got, mut problems) = (Vec::new(), Vec::new());
        loop {
            match d.poll() {
                Ok(Demuxed::Media(Media::Packet(p))) => {
                    let offset = d.packet_offset().unwrap() as usize;
                    assert_eq!(&data[offset..offset + p.data.len()], &p.data[..]);
                    got.push((p.dts.to_rate(44_100), p.data.to_vec()));
                }
                Ok(Demuxed::Problem(e)) => problems.push((e.offset, e.kind)),
                Ok(Demuxed::Need(_)) => match chunks.next() {
                    Some(c) => {
                        d.push(at, Bytes::copy_from_slice(c));
                        at += c.len() as u64;
                    }
                    None => d.end(),
                },
                Ok(Demuxed::End) => return (got, problems, None),
                Ok(_) => {}
                Err(e) => return (got, problems, Some(e)),
            }
        }
    }

    #[test]
    fn several_blocks_in_a_frame() {
        // Positions count from the first block and each block has a CRC behind it.
        let mut two = frame(b"", 2);
        two[1] &= 0xfe;
        two.extend_from_slice(&[0, 5, 0xc, 0xc, 1, 2, 3, 0xc, 0xc, 4, 5, 0xc, 0xc]);
        let len = two.len();
        two[4] = (len >> 3) as u8;
        two[5] = ((len & 7) << 5) as u8 | 0x1f;
        let file = two.repeat(3);
        let (got, problems, error) = run(&file);
        let want: Vec<_> =
            (0..6).map(|i| (i * 1024, if i % 2 == 0 { vec![1, 2, 3] } else { vec![4, 5] })).collect();
        assert_eq!((got, problems, error), (want, vec![], None));
        // Without positions they can't be told apart; their time passes.
        let file = [frame(b"abcdef", 2), frame(b"xyz", 1), frame(b"xyz", 1)].concat();
        let (got, problems, _) = run(&file);
        assert_eq!(got, [(2048, b"xyz".to_vec()), (3072, b"xyz".to_vec())]);
        assert!(matches!(problems[..], [(0, ErrorKind::Unsupported(_))]));
        // A position outside of the frame.
        let mut bad = two;
        bad[7] = 0x7f;
        let (got, problems, error) = run(&bad.repeat(2));
        assert_eq!((got.len(), problems.len(), error), (0, 1, None));
    }

    #[test]
    fn frames_with_crc_damage_and_cuts() {
        let mut crc = frame(b"\x12\x34abc", 1);
        crc[1] &= 0xfe;
        let plain = frame(b"defg", 1);
        let file =
            [&crc[..], &plain, &[0xff, 0xf1, 0x50, 0x55, 0x55], &plain, &plain, &crc, b"TAG", &[0; 125]]
                .concat();
        let (got, problems, error) = run(&file);
        let payloads: Vec<_> = got.iter().map(|(_, p)| &p[..]).collect();
        assert_eq!(payloads, [&b"abc"[..], b"defg", b"defg", b"defg", b"abc"]);
        assert!(got.iter().enumerate().all(|(i, (t, _))| *t == i as i64 * 1024));
        assert_eq!((problems.len(), problems[0].0, error), (1, 23, None));
        for cut in 0..file.len() {
            let (got, ..) = run_in(&file[..cut], 1000);
            assert!(got.len() <= 5, "{cut}");
        }
    }

    #[test]
    fn written_and_read_again() {
        let asc = Asc::new(2, 44_100, 2);
        let info = TrackInfo::new(TrackId(5), Codec::Aac, asc.build().unwrap(), asc.params());
        let (mut m, mut out) = (Muxer::new(), Gather::new());
        m.start(&[Arc::new(info.clone())], None, &mut out).unwrap();
        let payloads = [&b"abc"[..], &[7; 8184], b"", b"x"];
        let packet = |data: &[u8]| Packet {
            track: TrackId(5),
            dts: Timestamp::ZERO,
            cts: Duration::ZERO,
            duration: Duration::ZERO,
            key: true,
            data: Bytes::copy_from_slice(data),
        };
        for p in payloads {
            m.packet(&packet(p), &mut out).unwrap();
        }
        let (got, problems, error) = run(&out.to_vec());
        assert_eq!((problems.len(), error), (0, None));
        assert!(got.iter().map(|(_, p)| &p[..]).eq(payloads));
        // What a header has no room for.
        assert!(m.packet(&packet(&[0; 8185]), &mut out).is_err());
        assert!(m.packet(&Packet { track: TrackId(1), ..packet(b"") }, &mut out).is_err());
        let mut other = asc;
        other.frame_samples = 960;
        let info = TrackInfo { init: other.build().unwrap(), ..info };
        assert!(m.track(&Arc::new(info), &mut out).is_err());
    }
}
