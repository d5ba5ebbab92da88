//! Files and HTTP-FLV: tags one after the other, with the ways back when they are damaged.

use super::reader::TagReader;
use super::tag::TagKind;
use super::{ID, Script, limits};
use bytes::Bytes;
use mist_core::findings::Findings;
use mist_core::format::{Demuxed, ErrorKind, FormatError, Want};
use mist_core::media::Media;
use mist_core::queue::Queue;
use mist_core::time::{Duration, Timestamp};
use std::ops::Range;

/// A tag's head.
const HEAD: usize = 11;
/// PreviousTagSize.
const SIZE: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// At the start of the file.
    Header,
    /// Up to where the file's header ends; then the first PreviousTagSize.
    Skip(u64),
    /// Behind a file header, at a PreviousTagSize that belongs to no tag.
    First,
    /// At a tag.
    Tag,
    /// Looking for a tag.
    Lost {
        /// Bytes that were passed over.
        passed: u64,
        /// Order was lost at a tag that reaches beyond the end of the file.
        cut: bool,
    },
    /// After a seek: waiting for the bytes at this offset.
    Seek(u64),
    Done,
}

/// Reads FLV files and streams.
///
/// A tag is believed when the PreviousTagSize behind it says the same length, or when another tag follows in its
/// place. Otherwise, and where no tag is, the next place where a tag and its PreviousTagSize agree is looked for,
/// and a [`Demuxed::Problem`] reports it. A file header in mid-stream, as files have that were joined by hand,
/// is passed over.
///
/// Seeking works by the `keyframes` table of `onMetaData`, where a file has one and it was read already.
#[derive(Debug)]
pub struct Demuxer {
    queue: Queue,
    state: State,
    ended: bool,
    /// A wrong PreviousTagSize was reported and none was right since.
    size_reported: bool,
    reader: TagReader,
    found: Findings,
}

impl Default for Demuxer {
    fn default() -> Self {
        Self::new()
    }
}

/// A tag's head, taken apart.
#[derive(Clone, Copy)]
struct Head {
    kind: Option<TagKind>,
    filtered: bool,
    len: usize,
    timestamp: u32,
}

impl Head {
    fn of(h: [u8; HEAD]) -> Self {
        let [kind, l0, l1, l2, t0, t1, t2, t3, ..] = h;
        Self {
            kind: TagKind::from_wire(kind & 0xdf),
            filtered: kind & 0x20 != 0,
            len: u32::from_be_bytes([0, l0, l1, l2]) as usize,
            timestamp: u32::from_be_bytes([t3, t0, t1, t2]),
        }
    }

    fn whole(self) -> usize {
        HEAD + self.len
    }
}

/// Whether these bytes can be a tag's head: one of the three types, and the stream id that is always 0.
fn plausible(h: [u8; HEAD]) -> bool {
    let [.., a, b, c] = h;
    Head::of(h).kind.is_some() && [a, b, c] == [0; 3]
}

enum Check {
    /// More bytes are needed to tell.
    Wait,
    Good,
    /// PreviousTagSize is wrong, but another tag follows.
    BadSize,
    Bad,
}

impl Demuxer {
    /// At the start of a file.
    pub fn new() -> Self {
        Self {
            queue: Queue::new(),
            state: State::Header,
            ended: false,
            size_reported: false,
            reader: TagReader::new(),
            found: Findings::new(ID),
        }
    }

    /// The tag layer: tracks and the last `onMetaData`.
    pub fn reader(&self) -> &TagReader {
        &self.reader
    }

    fn fail(&mut self, kind: ErrorKind) {
        self.found.fail(self.queue.offset(), "", kind);
        self.state = State::Done;
    }

    /// One step; false when it needs more bytes.
    fn step(&mut self) -> bool {
        match self.state {
            State::Header => self.header(),
            State::Skip(to) => {
                let left = to.saturating_sub(self.queue.offset());
                self.queue.skip(usize::try_from(left).unwrap_or(usize::MAX));
                if self.queue.offset() < to {
                    return false;
                }
                self.state = State::First;
                true
            }
            State::First => {
                let Some(size) = self.queue.peek::<SIZE>() else { return false };
                let at = self.queue.offset();
                if size != [0; SIZE] {
                    if self.queue.len() < HEAD && !self.ended {
                        return false;
                    }
                    self.found.problem(at, "header", ErrorKind::Size("first PreviousTagSize is not 0"));
                }
                // Some writers leave it out.
                if size == [0; SIZE] || !self.queue.peek::<HEAD>().is_some_and(plausible) {
                    self.queue.skip(SIZE);
                }
                self.state = State::Tag;
                true
            }
            State::Tag => self.tag(),
            State::Lost { passed, cut } => self.look(passed, cut),
            State::Seek(_) | State::Done => false,
        }
    }

    fn header(&mut self) -> bool {
        let Some(head) = self.queue.peek::<9>() else { return false };
        let at = self.queue.offset();
        let [b'F', b'L', b'V', version, flags, size @ ..] = head else {
            self.fail(ErrorKind::Malformed("no FLV signature"));
            return true;
        };
        let size = u64::from(u32::from_be_bytes(size));
        if version != 1 {
            self.found.problem(at, "header", ErrorKind::Unsupported("FLV version"));
        }
        if size < 9 {
            self.found.problem(at, "header", ErrorKind::Malformed("DataOffset below 9"));
        }
        if size > limits::HEADER && at > 0 {
            self.state = State::Lost { passed: 0, cut: false };
            return true;
        }
        if size > limits::HEADER {
            self.fail(ErrorKind::Limit("DataOffset"));
            return true;
        }
        self.found.node(0, at, size.max(9), "header", || {
            format!("version {version}, audio {}, video {}", flags >> 2 & 1, flags & 1)
        });
        self.state = State::Skip(at + size.max(9));
        true
    }

    /// Whether a tag of this length at the front is to be believed.
    fn check(&self, whole: usize) -> Check {
        let Some(size) = self.queue.peek_at::<SIZE>(whole) else {
            if !self.ended {
                return Check::Wait;
            }
            // The end: its PreviousTagSize may be cut or missing.
            return if self.queue.len() >= whole { Check::Good } else { Check::Wait };
        };
        if u32::from_be_bytes(size) as usize == whole {
            return Check::Good;
        }
        let next = whole + SIZE;
        match self.queue.peek_at::<HEAD>(next) {
            Some(h) if plausible(h) || h.starts_with(b"FLV\x01") => Check::BadSize,
            None if !self.ended => Check::Wait,
            None if self.queue.len() == next => Check::BadSize,
            _ => Check::Bad,
        }
    }

    fn tag(&mut self) -> bool {
        let Some(head) = self.queue.peek::<HEAD>() else {
            if self.ended && !self.queue.is_empty() {
                self.fail(ErrorKind::Truncated);
                return true;
            }
            return false;
        };
        let at = self.queue.offset();
        if head.starts_with(b"FLV\x01") {
            self.found.problem(at, "header", ErrorKind::Malformed("file header between tags"));
            self.state = State::Header;
            return true;
        }
        let h = Head::of(head);
        let whole = h.whole();
        let check = if h.kind.is_some() { self.check(whole) } else { Check::Bad };
        match check {
            Check::Wait if !self.ended => return false,
            // A cut file, or a wrong length that swallowed the tags behind it.
            Check::Wait => {
                self.state = State::Lost { passed: 0, cut: true };
                return true;
            }
            Check::Bad => {
                self.state = State::Lost { passed: 0, cut: false };
                return true;
            }
            Check::BadSize => {
                // A writer that gets it wrong does so for every tag: say it once.
                if !std::mem::replace(&mut self.size_reported, true) {
                    self.found.problem(at, "tag", ErrorKind::Size("PreviousTagSize"));
                }
            }
            Check::Good => self.size_reported = false,
        }
        self.queue.skip(HEAD);
        let body = self.queue.take(h.len).unwrap_or_default();
        self.queue.skip(SIZE);
        if let Some(kind) = h.kind {
            self.body(at, kind, h, body);
        }
        true
    }

    fn body(&mut self, at: u64, kind: TagKind, h: Head, body: Bytes) {
        let name = kind.name();
        let base = at + HEAD as u64;
        self.found.node(0, at, h.whole() as u64, name, || {
            let mut detail = format!("{} ms", h.timestamp);
            if kind == TagKind::Script && !h.filtered {
                if let Ok(s) = Script::parse(&body) {
                    detail.push_str(", ");
                    detail.push_str(&s.name);
                    for v in &s.values {
                        detail.push(' ');
                        detail.push_str(&v.to_json());
                    }
                }
            } else if let Some([first, second, ..]) = body.first_chunk::<2>() {
                detail.push_str(&format!(", codec head {first:02x} {second:02x}"));
            }
            detail
        });
        if h.filtered {
            return self.found.problem(at, name, ErrorKind::Encrypted("tag"));
        }
        let start = body.as_ptr() as usize;
        let mut out = Sink { found: &mut self.found, base, body: start..start + body.len() };
        if let Err(e) = self.reader.read(kind, h.timestamp, body, &mut out) {
            self.found.report(e.in_file(base));
        }
    }

    /// Looks for a tag that its PreviousTagSize confirms, or for a file header.
    fn look(&mut self, mut passed: u64, cut: bool) -> bool {
        loop {
            let start = self.queue.offset().saturating_sub(passed);
            // The place where order was lost is not looked at again.
            match self.queue.peek::<HEAD>().filter(|_| passed > 0).map(|h| self.is_tag(h)) {
                Some(Check::Good) => {
                    self.found.problem(start, "tag", ErrorKind::Sync("no tag here; went on at the next"));
                    self.state = State::Tag;
                    return true;
                }
                Some(Check::Wait) if !self.ended => {
                    self.state = State::Lost { passed, cut };
                    return false;
                }
                _ => {}
            }
            if self.queue.len() < HEAD && !self.ended {
                self.state = State::Lost { passed, cut };
                return false;
            }
            if self.queue.is_empty() {
                self.state = State::Done;
                if cut {
                    let kind = ErrorKind::Truncated;
                    self.found.fail(start, "tag", kind);
                } else {
                    self.found.problem(start, "tag", ErrorKind::Sync("no tag from here to the end"));
                }
                return true;
            }
            // On to the next byte that can be a tag's type or the F of a header.
            let front = self.queue.front();
            let next = front.iter().skip(1).position(|b| matches!(b & 0xdf, 8 | 9 | 18) || *b == b'F');
            passed += self.queue.skip(next.map_or(front.len(), |i| i + 1)) as u64;
        }
    }

    /// Whether something to go on with begins with these bytes at the front.
    fn is_tag(&self, h: [u8; HEAD]) -> Check {
        if h.starts_with(b"FLV\x01") {
            return Check::Good;
        }
        let head = Head::of(h);
        if !plausible(h) || head.len > limits::FOUND {
            return Check::Bad;
        }
        self.check(head.whole())
    }

    /// The entries of the `keyframes` table: time and offset.
    fn keyframe(&self, to: Timestamp) -> Option<(Timestamp, u64)> {
        let table = self.reader.metadata()?.metadata()?.get("keyframes")?;
        let times = table.get("times")?.as_array()?;
        let offsets = table.get("filepositions")?.as_array()?;
        let mut best: Option<(Timestamp, u64)> = None;
        for (t, o) in times.iter().zip(offsets) {
            let (Some(t), Some(o)) = (t.as_f64(), o.as_f64()) else { continue };
            // Offsets stay exact in a double up to 2^53; the first 13 bytes are the file's header.
            if !t.is_finite() || !(13.0..9e15).contains(&o) {
                continue;
            }
            let t = Timestamp::from_millis((t * 1000.0).round() as i64);
            if (t <= to && best.is_none_or(|(b, _)| t >= b)) || best.is_none() {
                best = Some((t, o as u64));
            }
        }
        best
    }
}

/// Puts media into the queue of what a demuxer has to say.
struct Sink<'a> {
    found: &'a mut Findings,
    /// Where the tag's body begins in the source, and where it lies in memory.
    base: u64,
    body: Range<usize>,
}

impl Extend<Media> for Sink<'_> {
    fn extend<T: IntoIterator<Item = Media>>(&mut self, iter: T) {
        for m in iter {
            let into = match &m {
                // A payload that was converted is no slice of the body: then the body is where it comes from.
                Media::Packet(p) => (p.data.as_ptr() as usize).checked_sub(self.body.start),
                _ => None,
            };
            let into = into.filter(|i| *i < self.body.len()).unwrap_or(0);
            self.found.media(m, self.base + into as u64);
        }
    }
}

impl mist_core::format::Demuxer for Demuxer {
    fn push(&mut self, offset: u64, data: Bytes) {
        if let State::Seek(to) = self.state {
            if self.queue.land(to, offset, &data) {
                self.state = State::Tag;
            }
            return;
        }
        let next = self.queue.offset() + self.queue.len() as u64;
        if offset != next {
            self.queue.reset(offset);
            if self.state != State::Header && self.state != State::Done {
                self.state = State::Lost { passed: 0, cut: false };
            }
        }
        self.queue.push(data);
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
                    State::Seek(offset) => Want::At { offset, len: HEAD },
                    _ => Want::Next,
                }));
            }
            match self.state {
                State::Header | State::Skip(_) => self.fail(ErrorKind::Truncated),
                _ => self.state = State::Done,
            }
        }
    }

    fn seek(&mut self, to: Timestamp) -> Result<Timestamp, FormatError> {
        let unsupported = FormatError {
            format: ID,
            offset: self.queue.offset(),
            path: "onMetaData",
            kind: ErrorKind::Unsupported("seeking without a keyframes table"),
        };
        if self.found.error().is_some() {
            return Err(unsupported);
        }
        let (time, offset) = self.keyframe(to).ok_or(unsupported)?;
        self.found.seek();
        self.ended = false;
        self.reader.reset_clock();
        self.state = State::Seek(offset);
        Ok(time)
    }

    fn want_nodes(&mut self) {
        self.found.want_nodes();
    }

    fn declared_duration(&self) -> Option<Duration> {
        let seconds = self.reader.metadata()?.metadata()?.get("duration")?.as_f64()?;
        (seconds > 0.0 && seconds < 1e9).then(|| Duration::from_millis((seconds * 1000.0) as i64))
    }

    fn packet_offset(&self) -> Option<u64> {
        self.found.packet_offset()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mist_core::format::Demuxer as _;

    const START: &[u8] = b"FLV\x01\x04\0\0\0\x09\0\0\0\0";

    fn tag(kind: u8, ms: u32, body: &[u8]) -> Vec<u8> {
        let [_, a, b, c] = (body.len() as u32).to_be_bytes();
        let [t3, t0, t1, t2] = ms.to_be_bytes();
        let mut d = vec![kind, a, b, c, t0, t1, t2, t3, 0, 0, 0];
        d.extend_from_slice(body);
        d.extend_from_slice(&(body.len() as u32 + 11).to_be_bytes());
        d
    }

    /// An MP3 tag with this payload.
    fn sound(ms: u32) -> Vec<u8> {
        tag(8, ms, &[0x2f, 0x55, 0x55, 0x55, ms as u8])
    }

    /// Times of the packets in milliseconds, problems, and how it ended.
    fn run(data: &[u8]) -> (Vec<i64>, Vec<FormatError>, Option<ErrorKind>) {
        let whole = run_in(data, data.len());
        for step in [1, 3, 64] {
            assert_eq!(run_in(data, step), whole, "steps of {step}");
        }
        whole
    }

    fn run_in(data: &[u8], step: usize) -> (Vec<i64>, Vec<FormatError>, Option<ErrorKind>) {
        let mut d = Demuxer::new();
        let mut chunks = data.chunks(step.max(1));
        let mut at = 0;
        let (mut times, mut problems) = (Vec::new(), Vec::new());
        loop {
            match d.poll() {
                Ok(Demuxed::Media(Media::Packet(p))) => times.push(p.dts.as_millis()),
                Ok(Demuxed::Problem(e)) => problems.push(e),
                Ok(Demuxed::Need(_)) => match chunks.next() {
                    Some(c) => {
                        d.push(at, Bytes::copy_from_slice(c));
                        at += c.len() as u64;
                    }
                    None => d.end(),
                },
                Ok(Demuxed::End) => return (times, problems, None),
                Ok(_) => {}
                Err(e) => return (times, problems, Some(e.kind)),
            }
        }
    }

    fn join(parts: &[&[u8]]) -> Vec<u8> {
        parts.concat()
    }

    #[test]
    fn headers_of_all_sorts() {
        let good = join(&[START, &sound(0), &sound(20)]);
        assert_eq!(run(&good), (vec![0, 20], vec![], None));
        // A longer header, a wrong version, a DataOffset below 9, no first PreviousTagSize.
        let long = join(&[b"FLV\x01\x04\0\0\0\x0cxxx\0\0\0\0", &sound(0)]);
        assert_eq!(run(&long), (vec![0], vec![], None));
        for odd in
            [&b"FLV\x07\x04\0\0\0\x09\0\0\0\0"[..], b"FLV\x01\x04\0\0\0\0\0\0\0\0", b"FLV\x01\x04\0\0\0\x09"]
        {
            let (times, problems, end) = run(&join(&[odd, &sound(0), &sound(20)]));
            assert_eq!((times, problems.len(), end), (vec![0, 20], 1, None), "{odd:?}");
        }
        assert_eq!(run(b"RIFF12345").2, Some(ErrorKind::Malformed("no FLV signature")));
        assert_eq!(run(b"FLV\x01\x04\xff\0\0\0").2, Some(ErrorKind::Limit("DataOffset")));
        assert_eq!(run(b"FLV\x01\x04").2, Some(ErrorKind::Truncated));
        assert_eq!(run(START), (vec![], vec![], None));
    }

    #[test]
    fn cut_anywhere() {
        let good = join(&[START, &sound(0), &sound(20), &sound(40)]);
        for n in START.len()..good.len() {
            let (times, problems, end) = run(&good[..n]);
            let behind = (n - START.len()) % 20;
            // A PreviousTagSize that is cut or missing harms nobody.
            let whole = behind == 0 || behind >= 16;
            assert_eq!(end.is_none(), whole, "{n}");
            assert!(problems.is_empty(), "{n}: {problems:?}");
            assert_eq!(times.len(), (n - START.len() + 4) / 20, "{n}");
        }
    }

    #[test]
    fn damage_is_passed_over_and_reported() {
        let rest = join(&[&sound(40), &sound(60)]);
        let with = |middle: &[u8]| run(&join(&[START, &sound(0), middle, &rest]));
        let mut wrong_size = sound(20);
        wrong_size[16..].copy_from_slice(&[0, 0, 0, 1]);
        let (times, problems, end) = with(&wrong_size);
        assert_eq!(
            (times, problems[0].kind, end),
            (vec![0, 20, 40, 60], ErrorKind::Size("PreviousTagSize"), None)
        );
        // DataSize too large, swallowing what follows; up to the end of the file; too small.
        for size in [[0, 0, 23], [0xff, 0xff, 0xff], [0, 0, 2]] {
            let mut t = sound(20);
            t[1..4].copy_from_slice(&size);
            let (times, problems, end) = with(&t);
            assert_eq!((times, problems.len(), end), (vec![0, 40, 60], 1, None), "{size:?}");
        }
        // Unknown types, garbage with things in it that look like tags.
        let noise = [&[0x55; 300][..], b"FLV", &[9, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 9, 9]].concat();
        for middle in [tag(15, 20, &[0; 30]), tag(0x48, 20, b"x"), noise] {
            let (times, problems, end) = with(&middle);
            assert_eq!((times, problems.len(), end), (vec![0, 40, 60], 1, None), "{middle:?}");
            assert_eq!(problems[0].offset, 33, "where order was lost");
        }
        let (times, problems, end) = run(&join(&[START, &sound(0), &[0x77; 5000]]));
        assert_eq!((times, problems.len(), end), (vec![0], 1, None));
    }

    #[test]
    fn oddities_between_good_tags() {
        // A second file joined on, with its header and times that start again.
        let (times, problems, end) = run(&join(&[START, &sound(0), &sound(20), START, &sound(0)]));
        assert_eq!((times, problems.len(), end), (vec![0, 20, 0], 2, None));
        assert_eq!(problems[1].kind, ErrorKind::TimeBack);
        // Encrypted, empty, and of a codec that nobody knows.
        let odd = join(&[&tag(0x28, 5, b"secret"), &tag(8, 6, b""), &tag(9, 6, &[0x1f, 0])]);
        let (times, problems, end) = run(&join(&[START, &sound(0), &odd, &sound(20)]));
        let kinds: Vec<_> = problems.iter().map(|p| p.kind).collect();
        let want = [ErrorKind::Encrypted("tag"), ErrorKind::Unsupported("video codec")];
        assert_eq!((times, &kinds[..], end), (vec![0, 20], &want[..], None));
        assert_eq!(problems[1].offset, (13 + 20 + 21 + 15 + 11 + 1) as u64, "byte in the file");
        // A stream id other than 0 in a tag that is sound.
        let mut t = sound(20);
        t[10] = 1;
        assert_eq!(run(&join(&[START, &sound(0), &t, &sound(40)])), (vec![0, 20, 40], vec![], None));
        // A writer that gets every PreviousTagSize wrong is reported once.
        let mut bad = Vec::new();
        for i in 0..50 {
            let mut t = sound(i);
            t[19] = 0;
            bad.extend_from_slice(&t);
        }
        let (times, problems, _) = run(&join(&[START, &bad]));
        assert_eq!((times.len(), problems.len()), (50, 1));
    }

    #[test]
    fn clocks_wrap() {
        let at = u32::MAX - 9;
        let (times, ..) =
            run(&join(&[START, &sound(at), &sound(at.wrapping_add(20)), &sound(at.wrapping_add(40))]));
        let at = i64::from(at);
        assert_eq!(times, [at, at + 20, at + 40]);
    }

    #[test]
    fn seeks_by_the_keyframes_table() {
        use crate::amf::{Object, Value, amf0};
        let meta = |second: f64| {
            let table = Object::new()
                .with("times", vec![Value::Number(0.0), Value::Number(0.1), Value::Number(f64::NAN)])
                .with("filepositions", vec![Value::Number(13.0), Value::Number(second), Value::Number(-1.0)]);
            let o = Object::new().with("keyframes", table);
            tag(18, 0, &amf0::write_all(&["onMetaData".into(), Value::EcmaArray(o)]))
        };
        let media: Vec<u8> = (0..10).flat_map(|i| sound(i * 20)).collect();
        let first = START.len() + meta(0.0).len();
        let file = Bytes::from(join(&[START, &meta((first + 100) as f64), &media]));
        let mut d = Demuxer::new();
        assert!(d.seek(Timestamp::ZERO).is_err(), "nothing is known yet");
        d.push(0, file.slice(..first));
        while !matches!(d.poll(), Ok(Demuxed::Need(_))) {}
        assert_eq!(d.seek(Timestamp::from_millis(150)), Ok(Timestamp::from_millis(100)));
        let Ok(Demuxed::Need(Want::At { offset, .. })) = d.poll() else { panic!() };
        assert_eq!(offset, (first + 100) as u64);
        // What was still under way is thrown away.
        d.push(first as u64, file.slice(first..first + 50));
        d.push(offset - 1, file.slice(offset as usize - 1..));
        d.end();
        let mut times = Vec::new();
        while let Ok(m) = d.poll() {
            match m {
                Demuxed::Media(Media::Packet(p)) => times.push(p.dts.as_millis()),
                Demuxed::End => break,
                _ => {}
            }
        }
        assert_eq!(times, [100, 120, 140, 160, 180]);
    }
}
