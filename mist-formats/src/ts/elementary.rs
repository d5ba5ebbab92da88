//! An elementary stream of the program: from transport packets to its own packets.

use super::audio::Audio;
use super::packet::Packet;
use super::pes::{Assembler, Stamps};
use super::scte35::Splices;
use super::stream::Coding;
use super::video::Video;
use super::{Sink, limits};
use bytes::Bytes;
use mist_core::codec::Codec;
use mist_core::findings::Findings;
use mist_core::format::ErrorKind;
use mist_core::media::{self, Lang, Params, TrackId, TrackInfo};
use mist_core::time::{Duration, Timestamp};
use std::sync::Arc;

/// How a stream's bytes become packets.
#[derive(Debug)]
enum Reader {
    Video(Video),
    Audio(Audio),
    Id3 { described: bool },
    Splices(Splices),
}

/// An elementary stream of the program.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) pid: u16,
    pub(super) coding: Coding,
    pub(super) lang: Option<Lang>,
    es: Assembler,
    reader: Reader,
    counter: Option<u8>,
    /// The end of the payload before.
    last_tail: [u8; 16],
    pub(super) announced: Option<Arc<TrackInfo>>,
    scrambled_reported: bool,
}

/// What streams write to.
struct Out<'a> {
    found: &'a mut Findings,
    offset: u64,
    origin: u64,
    last: Option<i64>,
    id: TrackId,
    lang: Option<Lang>,
    announced: &'a mut Option<Arc<TrackInfo>>,
}

impl Sink for Out<'_> {
    fn describe(&mut self, codec: Codec, init: Bytes, params: Params) {
        let info = Arc::new(TrackInfo::new(self.id, codec, init, params).with_lang(self.lang));
        if self.announced.as_ref() != Some(&info) {
            *self.announced = Some(info.clone());
            self.found.track(info);
        }
    }

    fn begin(&mut self, origin: u64) {
        self.origin = origin;
    }

    fn packet(&mut self, mut p: media::Packet) {
        p.track = self.id;
        self.found.packet(p, self.origin);
    }

    fn problem(&mut self, path: &'static str, kind: ErrorKind) {
        self.found.problem(self.offset, path, kind);
    }

    fn any_time(&self) -> Timestamp {
        Timestamp::from_rate(self.last.unwrap_or(0), 90_000)
    }
}

impl Stream {
    pub(super) fn new(pid: u16, coding: Coding, lang: Option<Lang>) -> Self {
        let (bounded, reader) = match coding {
            Coding::H264 | Coding::Hevc | Coding::Mpeg2 => (false, Reader::Video(Video::new(coding))),
            Coding::Id3 => (true, Reader::Id3 { described: false }),
            Coding::Scte35 => (true, Reader::Splices(Splices::default())),
            _ => (true, Reader::Audio(Audio::new(coding))),
        };
        Self {
            pid,
            coding,
            lang,
            es: Assembler::new(bounded),
            reader,
            counter: None,
            last_tail: [0; 16],
            announced: None,
            scrambled_reported: false,
        }
    }

    pub(super) fn packet(&mut self, p: &Packet<'_>, offset: u64, stamps: &mut Stamps, found: &mut Findings) {
        let Self { es, reader, counter, last_tail, announced, lang, .. } = self;
        let Some(payload) = p.payload else { return };
        let mut out = Out {
            found,
            offset,
            origin: offset,
            last: stamps.last(),
            id: TrackId(self.pid.into()),
            lang: *lang,
            announced,
        };
        if p.scrambled {
            if !self.scrambled_reported {
                self.scrambled_reported = true;
                out.problem("", ErrorKind::Encrypted("scrambled stream"));
            }
            return;
        }
        if let Reader::Splices(s) = reader {
            s.packet(p, stamps.last().is_some(), &mut out);
            return;
        }
        let before = counter.replace(p.counter);
        let tail_before = std::mem::replace(last_tail, tail(payload));
        if p.damaged || before.is_some_and(|c| (c + 1) & 0x0F != p.counter) {
            // a packet may be sent twice (§2.4.3.3); sixteen that are lost look the same but for the bytes
            if !p.damaged && !p.discontinuity && before == Some(p.counter) && *last_tail == tail_before {
                return;
            }
            if es.is_open() || !p.start {
                if !p.discontinuity {
                    out.problem("", ErrorKind::Lost("continuity_counter: packets are missing"));
                }
                es.stop();
                reader.cut(es, &mut out);
            }
            if p.damaged {
                return;
            }
        }
        let done = if p.start {
            reader.end_of_unit(es, &mut out);
            es.start(payload, offset, stamps)
        } else {
            es.append(payload, stamps)
        };
        if let Err(e) = done {
            out.problem("PES", ErrorKind::Malformed(e));
        }
        out.last = stamps.last();
        if p.start || es.is_complete() {
            reader.run(es, &mut out);
        }
        let limit = if matches!(reader, Reader::Video(_)) { limits::MAX_PICTURE } else { limits::MAX_UNIT };
        if es.data.len() > limit {
            out.problem("PES", ErrorKind::Limit("bytes of a PES packet"));
            es.stop();
            reader.reset(es);
        }
    }

    /// What it writes to, beside the rest of it.
    fn out<'a>(
        &'a mut self,
        offset: u64,
        stamps: &Stamps,
        found: &'a mut Findings,
    ) -> (&'a mut Assembler, &'a mut Reader, Out<'a>) {
        let Self { es, reader, announced, .. } = self;
        let (id, lang) = (TrackId(self.pid.into()), self.lang);
        (es, reader, Out { found, offset, origin: offset, last: stamps.last(), id, lang, announced })
    }

    /// There is a time for what had to wait for one.
    pub(super) fn settle(&mut self, offset: u64, stamps: &Stamps, found: &mut Findings) {
        if let (_, Reader::Splices(s), mut out) = self.out(offset, stamps, found) {
            s.settle(&mut out);
        }
    }

    /// No more bytes come.
    pub(super) fn finish(&mut self, offset: u64, stamps: &Stamps, found: &mut Findings) {
        let (es, reader, mut out) = self.out(offset, stamps, found);
        reader.end_of_unit(es, &mut out);
        match reader {
            Reader::Video(v) => v.run(es, true, &mut out),
            Reader::Splices(s) => s.settle(&mut out),
            _ => {}
        }
        es.stop();
    }
}

/// The last bytes of a packet's payload, to know it again.
fn tail(payload: &[u8]) -> [u8; 16] {
    match payload.last_chunk() {
        Some(t) => *t,
        None => {
            let mut t = [payload.len() as u8; 16];
            t.iter_mut().zip(payload).for_each(|(t, b)| *t = *b);
            t
        }
    }
}

impl Reader {
    /// A unit has started or ended: hands out what is complete.
    fn run(&mut self, es: &mut Assembler, out: &mut Out<'_>) {
        match self {
            Self::Video(v) => v.run(es, false, out),
            _ if es.is_complete() => self.end_of_unit(es, out),
            _ => {}
        }
    }

    /// All bytes of the unit are there.
    fn end_of_unit(&mut self, es: &mut Assembler, out: &mut Out<'_>) {
        match self {
            Self::Audio(a) => a.run(es, out),
            Self::Id3 { described } if !es.data.is_empty() => {
                if !std::mem::replace(described, true) {
                    out.describe(Codec::Id3, Bytes::new(), Params::Other);
                }
                let time = es.time_at(0).map(|(pts, _)| Timestamp::from_rate(pts, 90_000));
                out.begin(es.origin());
                // a metadata access unit cell (§2.12.4) may be around it
                let inner =
                    es.data.get(5..).filter(|d| d.starts_with(b"ID3") && !es.data.starts_with(b"ID3"));
                let data = Bytes::copy_from_slice(inner.unwrap_or(&es.data));
                es.clear();
                out.packet(media::Packet {
                    track: out.id,
                    dts: time.unwrap_or_else(|| out.any_time()),
                    cts: Duration::ZERO,
                    duration: Duration::ZERO,
                    key: true,
                    data,
                });
            }
            _ => {}
        }
    }

    /// Bytes are missing behind those that are there.
    fn cut(&mut self, es: &mut Assembler, out: &mut Out<'_>) {
        match self {
            // only what follows is missing
            Self::Video(v) if es.is_whole() => v.run(es, true, out),
            Self::Video(v) => v.cut(es, out),
            Self::Audio(a) => a.cut(es, out),
            Self::Id3 { .. } | Self::Splices(_) => es.clear(),
        }
    }

    fn reset(&mut self, es: &mut Assembler) {
        match self {
            Self::Video(v) => v.reset(es),
            Self::Audio(a) => a.reset(es),
            Self::Id3 { .. } | Self::Splices(_) => es.clear(),
        }
    }
}
