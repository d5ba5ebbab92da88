//! Reads streams of audio frames that follow one another without a container: what MP3, ADTS and AC-3 files share.
//!
//! A frame is believed where another one like it follows, or a tag, or the end. Within a run of frames each only has to
//! be like the one before. Where order is lost, the next place with three frames in a row is looked for and a
//! [`Demuxed::Problem`] reports what was passed over; zeros are passed over in silence. Tags are skipped wherever they
//! lie between frames.
//!
//! Times count samples, from zero or from the time that an ID3v2 tag of HTTP Live Streaming tells. What is lost takes
//! no time. Seeking is exact within what has been read; beyond, formats with a table of contents or a constant bit rate
//! jump, others go on from the last known place.

use bytes::Bytes;
use mist_core::codec::CodecError;
use mist_core::findings::Findings;
use mist_core::format::{Demuxed, Demuxer, ErrorKind, FormatError, Want};
use mist_core::queue::Queue;
use mist_core::time::{Duration, Timestamp, Unwrap};

mod framing;
mod marks;
mod probe;
mod tags;

pub(crate) use framing::{Framing, Out};
pub(crate) use marks::Marks;
pub(crate) use probe::probe;

use framing::Clock;
use probe::{free_run, unsupported};
use tags::Tag;

/// What a file may make us hold or do.
pub(crate) mod limits {
    /// Bytes in which the first frame has to be found, tags not counted.
    pub(crate) const SEARCH: u64 = 1 << 20;
    /// Bytes of an ID3v2 tag that are read; the rest is passed over.
    pub(super) const TAG: usize = 1024;
    /// Bytes between the heads of two frames whose length isn't told.
    pub(super) const FREE_FRAME: usize = 5120;
    /// Places at which a stream of such frames is suspected.
    pub(super) const FREE_TRIES: u32 = 16;
    /// Places that are remembered for seeking; of more, every other one is forgotten.
    pub(super) const MARKS: usize = 4096;
}

/// Frames whose headers have no bit rate.
const FREE_FORMAT: ErrorKind = ErrorKind::Unsupported("free format: frames don't tell their length");
/// The longest header.
const HEAD: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Where a frame or tag ought to be.
    Boundary,
    /// Looking for a frame.
    Lost {
        /// Where order was lost.
        start: u64,
        /// Something else than zeros was passed over.
        report: bool,
        /// What is passed over is known to be no sound.
        quiet: bool,
    },
    /// In a tag that ends at this offset.
    Tag(u64),
    /// After a seek: waiting for the bytes at this offset.
    Seek(u64),
    Done,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Good,
    Bad,
    Wait,
}

/// Reads frames one behind another.
pub(crate) struct FrameDemuxer<F: Framing> {
    framing: F,
    queue: Queue,
    state: State,
    ended: bool,
    /// Nothing can be said before there are so many bytes.
    need: usize,
    last: Option<F::Header>,
    /// The next frame may be one about the file.
    fresh: bool,
    begun: bool,
    free_tries: u32,
    /// A header without a length where the first frame ought to be.
    free_first: bool,
    clock: Clock,
    unwrap: Unwrap,
    marks: Marks,
    found: Findings,
}

impl<F: Framing> FrameDemuxer<F> {
    pub(crate) fn new(framing: F) -> Self {
        Self {
            framing,
            queue: Queue::new(),
            state: State::Boundary,
            ended: false,
            need: 0,
            last: None,
            fresh: true,
            begun: false,
            free_tries: 0,
            free_first: false,
            clock: Clock::default(),
            unwrap: Unwrap::new(33),
            marks: Marks::default(),
            found: Findings::new(F::ID),
        }
    }

    /// What the frames are.
    pub(crate) fn framing(&self) -> &F {
        &self.framing
    }

    fn fail(&mut self, offset: u64, path: &'static str, kind: ErrorKind) {
        self.found.fail(offset, path, kind);
        self.state = State::Done;
    }

    fn problem(&mut self, offset: u64, path: &'static str, kind: ErrorKind) {
        self.found.problem(offset, path, kind);
    }

    /// The first bytes `skip` bytes from the front, of which there may be fewer at the end.
    fn head<const N: usize>(&self, skip: usize) -> ([u8; N], usize) {
        let mut b = [0; N];
        let n = N.min(self.queue.len().saturating_sub(skip));
        if let Some(part) = b.get_mut(..n) {
            self.queue.peek_into(skip, part);
        }
        (b, n)
    }

    fn header(&self, skip: usize) -> Result<F::Header, CodecError> {
        let (b, n) = self.head::<HEAD>(skip);
        F::parse(b.get(..n).unwrap_or_default())
    }

    /// One step; false when it needs more bytes.
    fn step(&mut self) -> bool {
        if self.queue.len() < self.need && !self.ended {
            return false;
        }
        self.need = 0;
        match self.state {
            State::Boundary => self.boundary(),
            State::Lost { start, report, quiet } => self.look(start, report, quiet),
            State::Tag(end) => {
                let left = end.saturating_sub(self.queue.offset());
                self.queue.skip(usize::try_from(left).unwrap_or(usize::MAX));
                if self.queue.offset() < end {
                    return false;
                }
                self.state = State::Boundary;
                true
            }
            State::Seek(_) | State::Done => false,
        }
    }

    fn boundary(&mut self) -> bool {
        if self.queue.len() < F::MIN && !self.ended {
            self.need = F::MIN;
            return false;
        }
        if let Some(last) = &self.last
            && let Ok(h) = self.header(0)
            && F::like(last, &h)
        {
            return self.frame(&h);
        }
        let (head, n) = self.head::<{ tags::HEAD }>(0);
        let head = head.get(..n).unwrap_or_default();
        if tags::begins(head) && n < tags::HEAD && !self.ended {
            self.need = tags::HEAD;
            return false;
        }
        match tags::at(head) {
            Tag::Known { name, len } => self.tag(name, len),
            Tag::Lyrics => {
                let at = self.queue.offset();
                self.found.node(0, at, 0, "Lyrics3", String::new);
                self.state = State::Lost { start: at, report: false, quiet: true };
                true
            }
            Tag::None if self.ended && self.queue.is_empty() => {
                self.state = State::Done;
                true
            }
            Tag::None => {
                self.state = State::Lost { start: self.queue.offset(), report: false, quiet: false };
                true
            }
        }
    }

    fn tag(&mut self, name: &'static str, len: u64) -> bool {
        let at = self.queue.offset();
        if name == "ID3v2" {
            let want = usize::try_from(len).unwrap_or(limits::TAG).min(limits::TAG);
            if self.queue.len() < want && !self.ended {
                self.need = want;
                return false;
            }
            let mut b = vec![0; want.min(self.queue.len())];
            self.queue.peek_into(0, &mut b);
            if let Some(t) = tags::timestamp(&b) {
                let told = Timestamp::from_rate(self.unwrap.unwrap(t), 90_000);
                // Its clock is coarser than samples are: only a real jump counts.
                if self.clock.rate == 0 || (told - self.clock.now()).abs() > Duration::from_millis(5) {
                    self.clock.set(told);
                }
            }
        }
        self.found.node(0, at, len, name, String::new);
        self.fresh = true;
        self.state = State::Tag(at.saturating_add(len));
        true
    }

    fn frame(&mut self, h: &F::Header) -> bool {
        let len = F::len(h).max(1);
        if self.queue.len() < len {
            if !self.ended {
                self.need = len;
                return false;
            }
            self.problem(self.queue.offset(), "frame", ErrorKind::Truncated);
            self.state = State::Done;
            return true;
        }
        let offset = self.queue.offset();
        let Some(data) = self.queue.take(len) else { return false };
        self.last = Some(*h);
        self.begun = true;
        if std::mem::take(&mut self.fresh)
            && let Some(detail) = self.framing.about(h, &data, offset)
        {
            self.found.node(0, offset, len as u64, "about", || detail);
            // Nothing holds this frame and the next one together.
            self.last = None;
            return true;
        }
        self.clock.at_rate(F::rate(h));
        let now = self.clock.now();
        self.marks.pass(now, offset);
        let detail = || format!("{:.6} s, {} Hz", now.as_secs_f64(), F::rate(h));
        self.found.node(0, offset, len as u64, "frame", detail);
        self.framing.read(h, data, &mut Out { offset, found: &mut self.found, clock: &mut self.clock });
        true
    }

    /// Whether a frame is at the front, by what follows it.
    fn confirm(&mut self, searched: bool) -> Verdict {
        let Ok(mut h) = self.header(0) else { return Verdict::Bad };
        let mut at = 0usize;
        for n in 0..if searched { 2 } else { 1 } {
            at = at.saturating_add(F::len(&h).max(1));
            if self.queue.len() < at.saturating_add(F::MIN) {
                if !self.ended {
                    self.need = at.saturating_add(F::MIN);
                    return Verdict::Wait;
                }
                // The end: a frame that is cut counts where another one was before it.
                let known = !searched || self.last.is_some_and(|l| F::like(&l, &h));
                let whole = at == self.queue.len() && known;
                return if n > 0 || whole { Verdict::Good } else { Verdict::Bad };
            }
            match self.header(at) {
                Ok(next) if F::like(&h, &next) => h = next,
                _ => {
                    let (head, n) = self.head::<4>(at);
                    let tag = tags::begins(head.get(..n).unwrap_or_default());
                    return if tag { Verdict::Good } else { Verdict::Bad };
                }
            }
        }
        Verdict::Good
    }

    /// Looks for the next frame or tag.
    fn look(&mut self, start: u64, mut report: bool, quiet: bool) -> bool {
        loop {
            let passed = self.queue.offset().saturating_sub(start);
            if !self.begun && passed > limits::SEARCH || self.queue.is_empty() && self.ended {
                if report || !self.begun {
                    let kind = match self.begun {
                        false if self.free_first => FREE_FORMAT,
                        _ => ErrorKind::Sync("no audio frames from here on"),
                    };
                    if self.begun { self.problem(start, "", kind) } else { self.fail(start, "", kind) }
                }
                self.state = State::Done;
                return true;
            }
            if self.queue.len() < F::MIN.max(tags::HEAD) && !self.ended {
                self.need = F::MIN.max(tags::HEAD);
                self.state = State::Lost { start, report, quiet };
                return false;
            }
            let mut good = self.confirm(passed > 0);
            if good == Verdict::Bad && passed > 0 {
                let (head, n) = self.head::<{ tags::HEAD }>(0);
                if tags::id3v2(head.get(..n).unwrap_or_default()).is_some() {
                    good = Verdict::Good;
                    self.last = None;
                }
            } else if good == Verdict::Good {
                self.last = self.header(0).ok();
                self.fresh |= passed > 0;
            }
            match good {
                Verdict::Good => {
                    if report {
                        self.problem(start, "", ErrorKind::Sync("no audio frame here; went on at the next"));
                    }
                    self.state = State::Boundary;
                    return true;
                }
                Verdict::Wait => {
                    self.state = State::Lost { start, report, quiet };
                    return false;
                }
                Verdict::Bad => {}
            }
            match self.free_format(passed) {
                Verdict::Good => {
                    let at = self.queue.offset();
                    self.found.node(0, at, 0, "frame", || "free format".to_owned());
                    self.fail(at, "frame", FREE_FORMAT);
                    return true;
                }
                Verdict::Wait => {
                    self.state = State::Lost { start, report, quiet };
                    return false;
                }
                Verdict::Bad => {}
            }
            // On to the next byte that can begin a frame or an ID3v2 tag.
            let front = self.queue.front();
            let rest = front.get(1..).unwrap_or_default();
            let n = memchr::memchr2(F::SYNC, b'I', rest).map_or(front.len(), |i| i + 1);
            report |= !quiet && front.get(..n).unwrap_or_default().iter().any(|&b| b != 0);
            self.queue.skip(n.max(1));
        }
    }

    /// Whether frames of unknown length follow one another from here on.
    fn free_format(&mut self, passed: u64) -> Verdict {
        if self.free_tries >= limits::FREE_TRIES || !self.header(0).is_err_and(unsupported) {
            return Verdict::Bad;
        }
        const WINDOW: usize = 2 * limits::FREE_FRAME + HEAD;
        if self.queue.len() < WINDOW && !self.ended {
            self.need = WINDOW;
            return Verdict::Wait;
        }
        self.free_tries += 1;
        let mut b = vec![0; WINDOW.min(self.queue.len())];
        self.queue.peek_into(0, &mut b);
        if passed == 0 {
            self.free_first = true;
        }
        if free_run::<F>(&b) { Verdict::Good } else { Verdict::Bad }
    }
}

impl<F: Framing> Demuxer for FrameDemuxer<F> {
    fn push(&mut self, offset: u64, data: Bytes) {
        if let State::Seek(to) = self.state {
            if self.queue.land(to, offset, &data) {
                self.state = State::Lost { start: to, report: false, quiet: true };
            }
            return;
        }
        if offset != self.queue.offset().saturating_add(self.queue.len() as u64) {
            self.queue.reset(offset);
            self.need = 0;
            if self.state != State::Done {
                self.state = State::Boundary;
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
                State::Tag(_) if !self.begun => self.fail(self.queue.offset(), "tag", ErrorKind::Truncated),
                State::Tag(end) => {
                    let kind = ErrorKind::Truncated;
                    if end > self.queue.offset() {
                        self.problem(self.queue.offset(), "tag", kind);
                    }
                    self.state = State::Done;
                }
                _ => self.state = State::Done,
            }
        }
    }

    fn seek(&mut self, to: Timestamp) -> Result<Timestamp, FormatError> {
        let read = self.marks.before(to);
        let (Some((time, offset)), None) = (read, self.found.error()) else {
            let kind = ErrorKind::Unsupported("seeking before the first frame was read");
            return Err(FormatError { format: F::ID, offset: self.queue.offset(), path: "", kind });
        };
        let mut place = (time, offset);
        if self.marks.last().is_some_and(|(t, _)| t == time)
            && let Some(start) = self.marks.first()
            && let Some(far) = self.framing.jump(to, start.0).filter(|f| f.0 > time && f.0 <= to)
        {
            place = far;
            self.marks.close();
        }
        self.framing.jumped();
        self.found.seek();
        self.ended = false;
        self.need = 0;
        self.last = None;
        self.fresh = false;
        self.clock.set(place.0);
        self.state = State::Seek(place.1);
        Ok(place.0)
    }

    fn packet_offset(&self) -> Option<u64> {
        self.found.packet_offset()
    }

    fn want_nodes(&mut self) {
        self.found.want_nodes();
    }
}
