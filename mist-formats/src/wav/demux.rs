//! Chunks one after the other, up to the samples or frames.

use super::fmt::{Format, id3_len, is_samples};
use super::frames::{self, Frame, PERIOD, PREAMBLE};
use super::{ID, limits};
use bytes::{Bytes, BytesMut};
use mist_core::codec::{Codec, pcm};
use mist_core::findings::Findings;
use mist_core::format::{Demuxed, ErrorKind, FormatError, Index, IndexEntry, Want};
use mist_core::media::{Packet, Params, TrackId, TrackInfo};
use mist_core::queue::Queue;
use mist_core::time::{Duration, Timestamp};
use std::sync::Arc;

mod media;

/// There is one track.
const TRACK: TrackId = TrackId(1);
/// RIFF, size, form type.
const RIFF: usize = 12;
/// Id and size of a chunk.
const HEAD: usize = 8;
/// A size that isn't known, or doesn't fit.
const OPEN: u32 = u32::MAX;
/// The fields of `ds64` before its table.
const DS64: usize = 28;
/// An entry of that table.
const DS64_ENTRY: usize = 12;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// At the start of the file.
    Riff,
    /// On the way to what follows a tag.
    Tag(u64),
    /// On the way to what follows a chunk; the flag says that its size is odd.
    Skip(u64, bool),
    /// Where a padding byte may be.
    Pad,
    /// At a chunk.
    Chunk,
    Data,
    /// Waiting for the bytes at this offset of the data.
    Seek(u64),
    Done,
}

/// How the data is divided.
#[derive(Debug, Clone, Copy)]
enum Coding {
    /// 16-bit stereo of which isn't known yet whether AC-3 hides in it.
    Undecided,
    Samples(Format),
    Frames(Family),
    Bursts {
        /// Where the first burst lies.
        first: u64,
        rate: u32,
    },
}

#[derive(Debug, Clone, Copy)]
struct Family {
    codec: Codec,
    /// The frame before.
    last: Option<Frame>,
    /// Samples before the next frame.
    samples: u64,
    /// Frames before this sample are passed over, after a seek.
    from: u64,
}

/// The data chunk's body.
#[derive(Debug, Clone, Copy)]
struct Data {
    start: u64,
    /// Where it ends; `None` when the source's end is meant.
    end: Option<u64>,
    coding: Coding,
    /// Nothing of interest comes before this offset.
    resume: u64,
    /// Bytes passed over in search of a frame.
    passed: u64,
}

/// What `ds64` says.
#[derive(Debug, Default)]
struct Wide {
    data: u64,
    table: Vec<([u8; 4], u64)>,
}

/// Reads WAVE files and streams.
#[derive(Debug)]
pub struct Demuxer {
    queue: Queue,
    state: State,
    ended: bool,
    wide: Option<Wide>,
    format: Option<Format>,
    data: Option<Data>,
    announced: Option<(Codec, Params)>,
    found: Findings,
}

impl Default for Demuxer {
    fn default() -> Self {
        Self::new()
    }
}

/// What a step of the data gives.
enum Step {
    /// Something was done.
    Done,
    /// More bytes are needed.
    Wait,
    /// The data is over; so many bytes at its end are no whole packet.
    Over(usize),
}

impl Demuxer {
    /// At the start of a file.
    pub fn new() -> Self {
        Self {
            queue: Queue::new(),
            state: State::Riff,
            ended: false,
            wide: None,
            format: None,
            data: None,
            announced: None,
            found: Findings::new(ID),
        }
    }

    fn fail(&mut self, path: &'static str, kind: ErrorKind) {
        self.found.fail(self.queue.offset(), path, kind);
        self.state = State::Done;
    }

    fn problem(&mut self, offset: u64, kind: ErrorKind) {
        self.found.problem(offset, "data", kind);
    }

    /// One step; false when it needs more bytes.
    fn step(&mut self) -> bool {
        match self.state {
            State::Riff => self.riff(),
            State::Tag(to) => self.skip(to, State::Riff),
            State::Skip(to, odd) => self.skip(to, if odd { State::Pad } else { State::Chunk }),
            State::Pad => self.pad(),
            State::Chunk => self.chunk(),
            State::Data => self.data(),
            State::Seek(_) | State::Done => false,
        }
    }

    fn riff(&mut self) -> bool {
        let Some(head) = self.queue.peek::<RIFF>() else { return false };
        let at = self.queue.offset();
        if let Some(len) = id3_len(&head) {
            self.found.node(0, at, len, "ID3v2", String::new);
            self.state = State::Tag(at + len);
            return true;
        }
        let [i0, i1, i2, i3, s0, s1, s2, s3, form @ ..] = head;
        let name = match (&[i0, i1, i2, i3], &form) {
            (b"RIFF", b"WAVE") => "RIFF",
            (b"RF64", b"WAVE") => "RF64",
            (b"BW64", b"WAVE") => "BW64",
            (b"RIFX", b"WAVE") => {
                self.fail("", ErrorKind::Unsupported("big-endian RIFX"));
                return true;
            }
            _ => {
                self.fail("", ErrorKind::Malformed("no RIFF WAVE signature"));
                return true;
            }
        };
        let size = u32::from_le_bytes([s0, s1, s2, s3]);
        self.found.node(0, at, u64::from(size) + HEAD as u64, name, String::new);
        self.queue.skip(RIFF);
        self.state = State::Chunk;
        true
    }

    fn skip(&mut self, to: u64, then: State) -> bool {
        let left = to.saturating_sub(self.queue.offset());
        self.queue.skip(usize::try_from(left).unwrap_or(usize::MAX));
        if self.queue.offset() < to {
            return false;
        }
        self.state = then;
        true
    }

    /// Some writers leave the padding out: then the next chunk's id begins where it would be.
    fn pad(&mut self) -> bool {
        match self.queue.peek::<4>() {
            None if !self.ended => return false,
            Some(id) if !known(id).is_empty() => {}
            _ => {
                self.queue.skip(1);
            }
        }
        self.state = State::Chunk;
        true
    }

    fn chunk(&mut self) -> bool {
        let Some([i0, i1, i2, i3, size @ ..]) = self.queue.peek::<HEAD>() else { return false };
        let (at, id) = (self.queue.offset(), [i0, i1, i2, i3]);
        let size = u32::from_le_bytes(size);
        let wide = self.wide.as_ref().filter(|_| size == OPEN);
        let len = match wide {
            Some(w) if id == *b"data" => w.data,
            Some(w) => w.table.iter().find(|e| e.0 == id).map_or(u64::from(size), |e| e.1),
            None => u64::from(size),
        };
        if self.data.is_some() {
            // Behind the data: what isn't a chunk is of no interest.
            if known(id).is_empty() && !id.iter().all(|b| b.is_ascii_graphic() || *b == b' ') {
                self.state = State::Done;
                return true;
            }
        } else if id == *b"data" {
            return self.open_data(at, (size, len));
        } else if id == *b"fmt " || id == *b"ds64" {
            let format = id == *b"fmt ";
            let most = if format { limits::FMT } else { DS64 + limits::DS64_TABLE * DS64_ENTRY };
            let n = usize::try_from(len).unwrap_or(usize::MAX).min(most);
            let mut body = [0; DS64 + limits::DS64_TABLE * DS64_ENTRY];
            let Some(body) = body.get_mut(..n) else { return false };
            if !self.queue.peek_into(HEAD, body) {
                return false;
            }
            let done =
                if format { Format::parse(body).map(|f| self.format = Some(f)) } else { self.ds64(body) };
            if let Err(kind) = done {
                self.fail(if format { "fmt" } else { "ds64" }, kind);
                return true;
            }
        }
        let format = self.format;
        let detail = || match (format, &id) {
            (Some(f), b"fmt ") => {
                format!("{}, {} Hz, {} channels, {} bits", f.codec.name(), f.rate, f.channels, f.bits)
            }
            _ if known(id).is_empty() => format!("{}", id.escape_ascii()),
            _ => String::new(),
        };
        let name = if known(id).is_empty() { "chunk" } else { known(id) };
        self.found.node(1, at, len.saturating_add(HEAD as u64), name, detail);
        self.queue.skip(HEAD);
        self.state = State::Skip((at + HEAD as u64).saturating_add(len), len % 2 == 1);
        true
    }

    fn ds64(&mut self, body: &[u8]) -> Result<(), ErrorKind> {
        let long = |at: usize| {
            let b = body.get(at..).and_then(<[u8]>::first_chunk);
            b.map(|b| u64::from_le_bytes(*b)).ok_or(ErrorKind::Malformed("chunk too short"))
        };
        let data = long(8)?;
        let count = body.get(24..).and_then(<[u8]>::first_chunk);
        let count = u32::from_le_bytes(*count.ok_or(ErrorKind::Malformed("chunk too short"))?);
        if count as usize > limits::DS64_TABLE {
            return Err(ErrorKind::Limit("table of sizes"));
        }
        let mut table = Vec::new();
        for i in 0..count as usize {
            let at = DS64 + i * DS64_ENTRY;
            let id = body.get(at..).and_then(<[u8]>::first_chunk);
            table.push((*id.ok_or(ErrorKind::Malformed("table of sizes"))?, long(at + 4)?));
        }
        self.wide = Some(Wide { data, table });
        Ok(())
    }

    /// `size` is what the chunk says itself, and what it is.
    fn open_data(&mut self, at: u64, (size, len): (u32, u64)) -> bool {
        let Some(f) = self.format else {
            self.fail("data", ErrorKind::Malformed("data before fmt"));
            return true;
        };
        self.queue.skip(HEAD);
        let start = self.queue.offset();
        // Streams have no size, and files of writers that never came to fill it in.
        let open = len == 0 || (size == OPEN && (len == u64::from(OPEN) || len == u64::MAX));
        let end = if open { None } else { Some(start.saturating_add(len)) };
        let coding = match f.codec {
            Codec::Pcm if f.bits == 16 && f.channels == 2 => Coding::Undecided,
            codec if is_samples(codec) => Coding::Samples(f),
            codec => Coding::Frames(Family { codec, last: None, samples: 0, from: 0 }),
        };
        let detail = || if open { "open".to_owned() } else { String::new() };
        self.found.node(1, at, len.saturating_add(HEAD as u64), "data", detail);
        self.data = Some(Data { start, end, coding, resume: start, passed: 0 });
        if let Coding::Samples(f) = coding {
            self.announce(f.codec, f.params());
        }
        self.state = State::Data;
        true
    }

    fn announce(&mut self, codec: Codec, params: Params) {
        if self.announced != Some((codec, params)) {
            self.announced = Some((codec, params));
            let info = TrackInfo::new(TRACK, codec, Bytes::new(), params);
            self.found.track(Arc::new(info));
        }
    }

    fn emit(&mut self, at: u64, dts: Timestamp, data: Bytes) {
        let packet =
            Packet { track: TRACK, dts, cts: Duration::ZERO, duration: Duration::ZERO, key: true, data };
        self.found.packet(packet, at);
    }
}

/// The time of a sample.
fn samples_at(sample: u64, rate: u32) -> Timestamp {
    Timestamp::from_rate(i64::try_from(sample).unwrap_or(i64::MAX), rate)
}

/// The last sample that isn't after `t`.
fn sample_before(t: Timestamp, rate: u32) -> u64 {
    let n = t.to_rate(rate);
    let n = if Timestamp::from_rate(n, rate) > t { n - 1 } else { n };
    u64::try_from(n).unwrap_or(0)
}

/// The name of a usual chunk; empty for others.
fn known(id: [u8; 4]) -> &'static str {
    match &id {
        b"fmt " => "fmt",
        b"data" => "data",
        b"fact" => "fact",
        b"ds64" => "ds64",
        b"LIST" => "LIST",
        b"JUNK" | b"junk" => "JUNK",
        b"bext" => "bext",
        b"iXML" => "iXML",
        b"cue " => "cue",
        b"smpl" => "smpl",
        b"PEAK" => "PEAK",
        b"ID3 " | b"id3 " => "ID3",
        _ => "",
    }
}

impl mist_core::format::Demuxer for Demuxer {
    fn push(&mut self, offset: u64, data: Bytes) {
        if let State::Seek(to) = self.state {
            if self.queue.land(to, offset, &data) {
                self.state = State::Data;
            }
            return;
        }
        let next = self.queue.offset().saturating_add(self.queue.len() as u64);
        let skip = next.saturating_sub(offset);
        if offset <= next && skip < data.len() as u64 {
            self.queue.push(data.slice(skip as usize..));
        }
    }

    fn end(&mut self) {
        self.ended = true;
    }

    fn poll(&mut self) -> Result<Demuxed, FormatError> {
        loop {
            if let Some(found) = self.found.pop() {
                return found;
            }
            if self.state == State::Done {
                return Ok(Demuxed::End);
            }
            if self.step() {
                continue;
            }
            if !self.ended {
                return Ok(Demuxed::Need(match self.state {
                    State::Seek(offset) => Want::At { offset, len: 1 },
                    _ => Want::Next,
                }));
            }
            match self.state {
                State::Seek(_) => self.state = State::Done,
                _ if self.data.is_some() => self.state = State::Done,
                State::Chunk if self.queue.is_empty() => self.fail("", ErrorKind::Malformed("no data chunk")),
                _ => self.fail("", ErrorKind::Truncated),
            }
        }
    }

    fn seek(&mut self, to: Timestamp) -> Result<Timestamp, FormatError> {
        let refuse = |what| {
            let kind = ErrorKind::Unsupported(what);
            Err(FormatError { format: ID, offset: self.queue.offset(), path: "data", kind })
        };
        let early = "seeking before the data was reached";
        let (Some(mut d), None) = (self.data, self.found.error()) else { return refuse(early) };
        let units = |start: u64, len: usize| {
            d.end.map_or(u64::MAX, |e| (e.saturating_sub(start).saturating_sub(1)) / len as u64)
        };
        let (time, offset) = match &mut d.coding {
            Coding::Undecided => return refuse(early),
            Coding::Samples(f) => {
                let (samples, len) = (f.packet_samples() as u64, f.packet_samples() * f.block);
                let n = (sample_before(to, f.rate) / samples).min(units(d.start, len));
                let offset = d.start.saturating_add(n.saturating_mul(len as u64));
                (samples_at(n.saturating_mul(samples), f.rate), offset)
            }
            Coding::Bursts { first, rate } => {
                let n = (sample_before(to, *rate) / 1536).min(units(*first, PERIOD));
                let offset = first.saturating_add(n.saturating_mul(PERIOD as u64));
                (samples_at(n.saturating_mul(1536), *rate), offset)
            }
            Coding::Frames(family) => {
                let Some(f) = family.last else { return refuse("seeking before the first frame") };
                let n = sample_before(to, f.rate) / u64::from(f.samples).max(1);
                family.from = n.saturating_mul(f.samples.into());
                family.samples = 0;
                family.last = None;
                (samples_at(family.from, f.rate), d.start)
            }
        };
        d.resume = offset;
        d.passed = 0;
        self.data = Some(d);
        self.found.seek();
        self.ended = false;
        self.state = State::Seek(offset);
        Ok(time)
    }

    fn packet_offset(&self) -> Option<u64> {
        self.found.packet_offset()
    }

    fn index(&self) -> Option<Index> {
        let d = self.data?;
        self.found.packet_offset()?;
        let Coding::Samples(f) = d.coding else { return None };
        let bytes = usize::try_from(d.end?.saturating_sub(d.start)).ok()?;
        let bytes = bytes - bytes % f.block;
        let (samples, len) = (f.packet_samples(), f.packet_samples() * f.block);
        let count = bytes.div_ceil(len);
        if count > limits::INDEX {
            return None;
        }
        let line = |n: usize| IndexEntry {
            dts: samples_at((n * samples) as u64, f.rate),
            cts: Duration::ZERO,
            duration: Duration::ZERO,
            size: (bytes - n * len).min(len) as u32,
            key: true,
        };
        Some(Index { tracks: vec![(TRACK, (0..count).map(line).collect())] })
    }

    fn want_nodes(&mut self) {
        self.found.want_nodes();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mist_core::format::Demuxer as _;
    use mist_core::media::Media;

    fn chunk(id: &[u8; 4], size: u32, body: &[u8]) -> Vec<u8> {
        let mut d = id.to_vec();
        d.extend_from_slice(&size.to_le_bytes());
        d.extend_from_slice(body);
        d
    }

    fn whole(id: &[u8; 4], body: &[u8]) -> Vec<u8> {
        chunk(id, body.len() as u32, body)
    }

    fn wav(id: &[u8; 4], chunks: &[Vec<u8>]) -> Vec<u8> {
        let body = chunks.concat();
        let mut d = chunk(id, body.len() as u32 + 4, b"WAVE");
        d.extend(body);
        d
    }

    /// 8 kHz A-law: its samples come out as they are.
    fn alaw() -> Vec<u8> {
        whole(b"fmt ", &[6, 0, 1, 0, 0x40, 0x1f, 0, 0, 0x40, 0x1f, 0, 0, 1, 0, 8, 0, 0, 0])
    }

    type Run = (Vec<u8>, Vec<ErrorKind>, Option<ErrorKind>);

    /// Payload, problems and how it ended, the same for every split.
    fn run(data: &[u8]) -> Run {
        let whole = run_in(data, data.len());
        for step in [1, 3, 64] {
            assert_eq!(run_in(data, step), whole, "steps of {step}");
        }
        for cut in 0..data.len() {
            run_in(&data[..cut], 16);
        }
        whole
    }

    fn run_in(data: &[u8], step: usize) -> Run {
        let mut d = Demuxer::new();
        let mut chunks = data.chunks(step.max(1));
        let (mut at, mut all, mut problems) = (0, Vec::new(), Vec::new());
        loop {
            match d.poll() {
                Ok(Demuxed::Media(Media::Packet(p))) => all.extend_from_slice(&p.data),
                Ok(Demuxed::Problem(e)) => problems.push(e.kind),
                Ok(Demuxed::Need(_)) => match chunks.next() {
                    Some(c) => {
                        d.push(at, Bytes::copy_from_slice(c));
                        at += c.len() as u64;
                    }
                    None => d.end(),
                },
                Ok(Demuxed::End) => return (all, problems, None),
                Ok(_) => {}
                Err(e) => return (all, problems, Some(e.kind)),
            }
        }
    }

    #[test]
    fn chunks_of_all_sorts() {
        let samples: Vec<u8> = (0..=255).collect();
        let data = whole(b"data", &samples);
        let ok = (samples.clone(), vec![], None);
        assert_eq!(run(&wav(b"RIFF", &[alaw(), data.clone()])), ok);
        // Odd sizes, padded and not, around the format; an ID3 tag in front; what follows the data is not looked at.
        let list = |pad: &[u8]| [whole(b"LIST", b"abc"), pad.to_vec()].concat();
        assert_eq!(run(&wav(b"RIFF", &[list(&[0]), alaw(), list(&[0]), data.clone(), b"junk".to_vec()])), ok);
        assert_eq!(run(&wav(b"RIFF", &[list(&[]), alaw(), list(&[]), data.clone()])), ok);
        let tagged = [b"ID3\x03\0\0\0\0\0\x05xxxxx".to_vec(), wav(b"RIFF", &[alaw(), data])].concat();
        assert_eq!(run(&tagged), ok);
        // Open sizes: 0 and −1.
        for size in [0, OPEN] {
            assert_eq!(run(&wav(b"RIFF", &[alaw(), chunk(b"data", size, &samples)])), ok);
        }
        // Sizes that only ds64 has, of the data and of a chunk of its table.
        let mut ds = vec![0; 24];
        ds[8] = 200;
        ds.extend_from_slice(&[1, 0, 0, 0]);
        ds.extend_from_slice(b"LIST");
        ds.extend_from_slice(&[2, 0, 0, 0, 0, 0, 0, 0]);
        let wide = |ds: &[u8]| {
            let list = chunk(b"LIST", OPEN, b"ab");
            wav(b"RF64", &[whole(b"ds64", ds), list, alaw(), chunk(b"data", OPEN, &samples)])
        };
        assert_eq!(run(&wide(&ds)), (samples[..200].to_vec(), vec![], None));
        ds[8..16].fill(0xff);
        assert_eq!(run(&wide(&ds)), ok);
        // Less than announced.
        let short = wav(b"RIFF", &[alaw(), chunk(b"data", 1000, &samples)]);
        assert_eq!(run(&short), (samples, vec![ErrorKind::Truncated], None));
    }

    #[test]
    fn what_can_not_be_read_says_why() {
        let kind = |d: &[u8]| run(d).2.unwrap();
        assert_eq!(kind(b"RIFX\0\0\0\0WAVE"), ErrorKind::Unsupported("big-endian RIFX"));
        assert_eq!(kind(b"RIFF\0\0\0\0AVI "), ErrorKind::Malformed("no RIFF WAVE signature"));
        assert_eq!(kind(&wav(b"RIFF", &[whole(b"data", b"abcd")])), ErrorKind::Malformed("data before fmt"));
        assert_eq!(kind(&wav(b"RIFF", &[alaw()])), ErrorKind::Malformed("no data chunk"));
        assert_eq!(kind(&wav(b"RIFF", &[chunk(b"LIST", OPEN, b"")])), ErrorKind::Truncated);
        assert_eq!(
            kind(&wav(b"RIFF", &[whole(b"fmt ", b"\x01\0")])),
            ErrorKind::Malformed("chunk too short")
        );
        assert_eq!(kind(&wav(b"RF64", &[whole(b"ds64", &[0; 20])])), ErrorKind::Malformed("chunk too short"));
        let table = |n: u8| {
            let mut d = vec![0; 24];
            d.extend_from_slice(&[n, 0, 0, 0]);
            d.resize(DS64 + usize::from(n) * DS64_ENTRY, 0);
            run(&wav(b"RF64", &[whole(b"ds64", &d), alaw(), whole(b"data", b"x")])).2
        };
        assert_eq!(table(limits::DS64_TABLE as u8), None);
        assert_eq!(table(limits::DS64_TABLE as u8 + 1), Some(ErrorKind::Limit("table of sizes")));
    }

    #[test]
    fn frames_are_found_again_after_damage() {
        // 8 kHz mono MPEG-2.5 layer III at 8 kbit/s: 72 bytes each.
        let frame = |n: u8| {
            let mut f = vec![n; 72];
            f[..4].copy_from_slice(&[0xff, 0xe3, 0x18, 0xc0]);
            f
        };
        let fmt = whole(b"fmt ", &[0x55, 0, 1, 0, 0x40, 0x1f, 0, 0, 0xe8, 3, 0, 0, 1, 0]);
        let body = [frame(1), frame(2), vec![7, 0xff, 9], frame(3), frame(4), vec![0xff; 20]].concat();
        let (all, problems, error) = run(&wav(b"RIFF", &[fmt.clone(), whole(b"data", &body)]));
        assert_eq!(all, [frame(1), frame(2), frame(3), frame(4)].concat());
        let (lost, end) = ("no frame here; went on at the next", "no frame from here to the end");
        assert_eq!(problems, [ErrorKind::Sync(lost), ErrorKind::Sync(end)]);
        assert_eq!(error, None);
        // Seeking drops the frames before: the times stay exact.
        let file = wav(b"RIFF", &[fmt, whole(b"data", &[frame(1), frame(2), frame(3)].concat())]);
        let mut d = Demuxer::new();
        assert!(d.seek(Timestamp::ZERO).is_err());
        d.push(0, file.clone().into());
        while !matches!(d.poll().unwrap(), Demuxed::Media(Media::Packet(_))) {}
        assert_eq!(d.seek(Timestamp::from_millis(150)).unwrap().as_millis(), 144);
        let Demuxed::Need(Want::At { offset, .. }) = d.poll().unwrap() else { panic!() };
        d.push(offset, Bytes::from(file).slice(offset as usize..));
        d.end();
        let Demuxed::Media(Media::Packet(p)) = d.poll().unwrap() else { panic!() };
        assert_eq!((p.dts.as_millis(), p.data[4]), (144, 3));
    }

    #[test]
    fn seeking_goes_to_the_packet_with_the_sample() {
        let file: Bytes = wav(b"RIFF", &[alaw(), whole(b"data", &[5; 1000])]).into();
        let start = file.len() as u64 - 1000;
        let mut d = Demuxer::new();
        d.push(0, file.clone());
        while !matches!(d.poll().unwrap(), Demuxed::Media(Media::Packet(_))) {}
        assert_eq!(d.packet_offset(), Some(start));
        for (to, lands) in [(-5, 0), (19, 0), (20, 20), (59, 40), (120, 120), (9_999_999, 120)] {
            assert_eq!(d.seek(Timestamp::from_millis(to)).unwrap().as_millis(), lands, "{to}");
            let Demuxed::Need(Want::At { offset, .. }) = d.poll().unwrap() else { panic!() };
            assert_eq!(offset, start + lands as u64 * 8);
            d.push(offset - 7, file.slice(offset as usize - 7..));
            let Demuxed::Media(Media::Packet(p)) = d.poll().unwrap() else { panic!() };
            assert_eq!((p.dts.as_millis(), d.packet_offset()), (lands, Some(offset)));
        }
        let lines = d.index().unwrap().tracks.remove(0).1;
        assert_eq!((lines.len(), lines[6].size, lines[6].dts.as_millis()), (7, 40, 120));
    }
}
