//! A logical stream: packets out of pages, and their times out of granule positions.

use super::mapping::{Clock, Described, Header, Mapping, identify};
use super::page::{Page, flag};
use super::{limits, skeleton};
use bytes::{Bytes, BytesMut};
use mist_core::format::ErrorKind;
use mist_core::media::Lang;

/// A packet of media, its time in units of its stream's clock.
#[derive(Debug, Clone)]
pub(super) struct Unit {
    pub(super) data: Bytes,
    /// Where it begins in the source.
    pub(super) offset: u64,
    pub(super) start: i64,
    pub(super) len: i64,
}

/// What a page brings besides media.
#[derive(Debug)]
pub(super) enum Event {
    Problem {
        offset: u64,
        path: &'static str,
        kind: ErrorKind,
    },
    /// A header packet that was read: its place, its length, its first bytes.
    Header {
        offset: u64,
        packet: Bytes,
    },
    /// Skeleton tells the language of the stream with this serial number.
    Language(u32, Lang),
}

/// What a logical stream carries.
#[derive(Debug)]
enum Content {
    Media(Box<dyn Mapping>),
    Skeleton,
    /// Nothing that is known, or damaged headers.
    Other,
}

/// A packet that goes on on the next page.
#[derive(Debug, Default)]
struct Partial {
    data: BytesMut,
    offset: u64,
}

/// One logical stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) serial: u32,
    content: Content,
    /// The headers are there.
    ready: bool,
    sequence: Option<u32>,
    /// The last granule position that there was.
    granule: Option<i64>,
    partial: Option<Partial>,
    /// The first pieces of a packet are missing: the rest of it is passed over.
    pub(super) joining: bool,
    /// Where the next packet begins; unknown at the start and behind a hole.
    next: Option<i64>,
    /// Where the last known packet ended.
    last: Option<i64>,
}

impl Stream {
    /// By its first packet.
    pub(super) fn new(serial: u32, first: &[u8]) -> Self {
        let content = match identify(first) {
            Some(m) => Content::Media(m),
            None if first.starts_with(skeleton::HEAD) => Content::Skeleton,
            None => Content::Other,
        };
        Self {
            serial,
            content,
            ready: false,
            sequence: None,
            granule: None,
            partial: None,
            joining: false,
            next: None,
            last: None,
        }
    }

    /// Whether it is of a kind that is not read.
    pub(super) fn is_other(&self) -> bool {
        matches!(self.content, Content::Other)
    }

    /// Its codec's mapping, once its headers are there.
    pub(super) fn mapping(&self) -> Option<&dyn Mapping> {
        match &self.content {
            Content::Media(m) if self.ready => Some(&**m),
            _ => None,
        }
    }

    pub(super) fn describe(&self) -> Option<Described> {
        self.mapping().map(Mapping::describe)
    }

    pub(super) fn clock(&self) -> Clock {
        self.mapping().map_or(Clock::new(1), Mapping::clock)
    }

    /// Bytes of a packet that goes on on the next page.
    pub(super) fn held(&self) -> usize {
        self.partial.as_ref().map_or(0, |p| p.data.len())
    }

    /// Where a packet began that is not complete.
    pub(super) fn unfinished(&self) -> Option<u64> {
        self.partial.as_ref().map(|p| p.offset)
    }

    /// Goes on at another page, which may be the first with media.
    pub(super) fn jump(&mut self, first: bool) {
        if first {
            self.last = None;
        }
        self.partial = None;
        self.joining = true;
        self.sequence = None;
        self.granule = None;
        self.hole();
    }

    /// What is wrong with a page's granule position, which is -1 where no packet ends on it (RFC 3533 §6).
    fn granule_fault(&mut self, page: &Page) -> Option<&'static str> {
        if page.granule < 0 {
            let fault = "packets end on this page, but it has no granule position";
            return (page.granule < -1 || page.ends() > 0).then_some(fault);
        }
        let before = self.granule.replace(page.granule);
        before.is_some_and(|b| b > page.granule).then_some("the granule position goes back")
    }

    fn hole(&mut self) {
        self.next = None;
        if let Content::Media(m) = &mut self.content {
            m.reset();
        }
    }

    /// Takes a page: media comes out in `units`. `room` is how many bytes a packet without end may grow by.
    pub(super) fn page(&mut self, page: &Page, room: usize, units: &mut Vec<Unit>, events: &mut Vec<Event>) {
        if self.is_other() {
            return;
        }
        let problem = |offset, path, kind| Event::Problem { offset, path, kind };
        let expected = self.sequence.replace(page.sequence.wrapping_add(1));
        if expected.is_some_and(|e| e == page.sequence.wrapping_add(1)) {
            return events.push(problem(page.offset, "page", ErrorKind::Malformed("repeated page")));
        }
        if expected.is_some_and(|e| e != page.sequence) {
            events.push(problem(page.offset, "page", ErrorKind::Lost("pages are missing before this one")));
            self.partial = None;
            self.joining = true;
            self.hole();
        }
        if page.has(flag::CONTINUED) {
            if self.partial.is_none() && !std::mem::replace(&mut self.joining, true) {
                events.push(problem(
                    page.offset,
                    "page",
                    ErrorKind::Lost("goes on with a packet that didn't begin"),
                ));
                self.hole();
            }
        } else {
            self.joining = false;
            if let Some(p) = self.partial.take() {
                events.push(problem(p.offset, "packet", ErrorKind::Lost("not continued on the next page")));
                self.hole();
            }
        }
        if let Some(what) = self.granule_fault(page) {
            events.push(problem(page.offset, "page/granule", ErrorKind::Malformed(what)));
        }
        for piece in page.pieces() {
            if self.joining {
                self.joining = !piece.last;
                continue;
            }
            let (data, offset) = match (&mut self.partial, piece.last) {
                (None, true) => (piece.data, piece.offset),
                (p, last) => {
                    let p = p.get_or_insert_with(|| Partial { data: BytesMut::new(), offset: piece.offset });
                    if p.data.len() + piece.data.len() > limits::PACKET || piece.data.len() > room {
                        events.push(problem(p.offset, "packet", ErrorKind::Limit("bytes of a packet")));
                        self.partial = None;
                        self.joining = !last;
                        self.hole();
                        continue;
                    }
                    p.data.extend_from_slice(&piece.data);
                    if !last {
                        continue;
                    }
                    let p = self.partial.take().unwrap_or_default();
                    (p.data.freeze(), p.offset)
                }
            };
            self.packet(data, offset, units, events);
        }
        self.time(page, units);
    }

    fn packet(&mut self, data: Bytes, offset: u64, units: &mut Vec<Unit>, events: &mut Vec<Event>) {
        let mapping = match &mut self.content {
            Content::Media(m) => m,
            Content::Skeleton => {
                if let Some((serial, lang)) = skeleton::language(&data) {
                    events.push(Event::Language(serial, lang));
                }
                return events.push(Event::Header { offset, packet: data });
            }
            Content::Other => return,
        };
        if !self.ready {
            match mapping.header(&data) {
                Ok(Header::Media) => self.ready = true,
                Ok(done) => {
                    self.ready = done == Header::Last;
                    return events.push(Event::Header { offset, packet: data });
                }
                Err(e) => {
                    self.content = Content::Other;
                    return events.push(Event::Problem { offset, path: "header", kind: e.into() });
                }
            }
        }
        // What isn't media in between, like a header once more or a packet without bytes, is left out.
        if let Some(len) = mapping.units(&data) {
            units.push(Unit { data, offset, start: 0, len });
        }
    }

    /// Gives the packets that end on a page their times. A page's granule position is the time of its end, so they are
    /// counted back from there. Only on the last page they are counted on from the page before, as the end may lie
    /// inside its last packets.
    fn time(&mut self, page: &Page, units: &mut [Unit]) {
        let Content::Media(mapping) = &self.content else { return };
        let Some(first) = units.first().map(|u| u.len) else { return };
        let sum = units.iter().fold(0i64, |s, u| s.saturating_add(u.len));
        let origin = mapping.origin(first);
        let end = (page.granule >= 0).then(|| mapping.end(page.granule));
        let back = end.map(|e| e.saturating_sub(sum));
        let second = i64::from(mapping.clock().rate / mapping.clock().per.max(1)).max(1);
        let start = match (back, self.next) {
            (Some(back), Some(next)) if back >= next => back,
            // A little less than what came before: the packets overlap, or the last ones are cut.
            (Some(back), Some(next)) if page.has(flag::EOS) || next.saturating_sub(back) < second => next,
            // The start of the stream: it can't begin before its origin but for what is cut at the front.
            (Some(back), None)
                if self.last.is_none() && (page.has(flag::EOS) || back < origin.saturating_sub(second)) =>
            {
                back.max(origin)
            }
            (Some(back), _) => back,
            (None, next) => next.or(self.last).unwrap_or(origin),
        };
        let mut at = start;
        for u in units.iter_mut() {
            u.start = at;
            at = at.saturating_add(u.len);
        }
        if let Some(end) = end.filter(|e| page.has(flag::EOS) && *e > start) {
            for u in units.iter_mut().rev() {
                let over = u.start.saturating_add(u.len).saturating_sub(end);
                if over <= 0 {
                    break;
                }
                u.len = u.len.saturating_sub(over).max(1);
            }
        }
        let next = end.filter(|e| *e > start).unwrap_or(at);
        self.next = Some(next);
        self.last = Some(next);
    }
}
