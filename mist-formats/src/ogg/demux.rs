//! Files and streams: logical streams side by side and one after the other.

use super::page::{Found, HEAD, Page, Reader, Tail, flag};
use super::seek::Seek;
use super::stream::{Event, Stream, Unit};
use super::{ID, limits};
use bytes::Bytes;
use mist_core::codec;
use mist_core::findings::Findings;
use mist_core::format::{Demuxed, ErrorKind, FormatError, Want};
use mist_core::media::{Kind, Lang, Packet, TrackId, TrackInfo};
use mist_core::queue;
use mist_core::time::{Duration, Timestamp};
use std::sync::Arc;

/// Steps back of less than this are rounding or overlap, not a jump of the clock.
const SECOND: Duration = Duration::from_secs(1);

/// A logical stream and what became of it.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) stream: Stream,
    track: Option<Arc<TrackInfo>>,
    /// Time of the last packet.
    last: Option<Timestamp>,
    /// After a seek: nothing comes out that ends at or before this time, and no picture before a key frame.
    skip: Option<Timestamp>,
}

/// Logical streams that begin together.
#[derive(Debug, Default)]
pub(super) struct Link {
    /// Place in the list of links.
    number: usize,
    pub(super) members: Vec<Member>,
    langs: Vec<(u32, Lang)>,
    /// Where the first page with media begins.
    pub(super) media: Option<u64>,
    /// A page with media came, also of a stream that isn't read: what begins from here on is another link.
    body: bool,
    /// What is added to the link's own times.
    pub(super) base: Option<Duration>,
    /// Tracks were described.
    announced: bool,
    /// Pages of streams that didn't begin, and streams over the limit, were reported.
    strangers: bool,
    crowd: bool,
}

/// A link that was read.
#[derive(Debug, Clone, Copy)]
struct Chapter {
    offset: u64,
    base: Option<Duration>,
    begin: Timestamp,
}

/// Reads Ogg files and streams.
#[derive(Debug)]
pub struct Demuxer {
    pub(super) reader: Reader,
    pub(super) link: Link,
    /// Links so far, up to a limit.
    chapters: Vec<Chapter>,
    /// Tracks as last described.
    tracks: Vec<Arc<TrackInfo>>,
    next_id: u32,
    /// Where what came out so far ends.
    end_time: Timestamp,
    found: Findings,
    units: Vec<Unit>,
    events: Vec<Event>,
    done: bool,
    /// Waiting for the bytes at this offset.
    pub(super) at: Option<u64>,
    pub(super) seek: Option<Seek>,
    /// A seek that waits for the link's headers.
    pending: Option<Timestamp>,
    /// Offset behind the furthest byte that was ever given.
    pub(super) reach: u64,
    /// Length of the source, once its end was seen.
    pub(super) size: Option<u64>,
}

impl Default for Demuxer {
    fn default() -> Self {
        Self::new()
    }
}

impl Demuxer {
    /// At the start of a file or stream.
    pub fn new() -> Self {
        Self {
            reader: Reader::default(),
            link: Link::default(),
            chapters: Vec::new(),
            tracks: Vec::new(),
            next_id: 0,
            end_time: Timestamp::ZERO,
            found: Findings::new(ID),
            units: Vec::new(),
            events: Vec::new(),
            done: false,
            at: None,
            seek: None,
            pending: None,
            reach: 0,
            size: None,
        }
    }

    fn problem(&mut self, offset: u64, path: &'static str, kind: ErrorKind) {
        self.found.problem(offset, path, kind);
    }

    pub(super) fn fail(&mut self, offset: u64, path: &'static str, kind: ErrorKind) {
        self.found.fail(offset, path, kind);
    }

    /// One step; false when it needs more bytes.
    fn step(&mut self) -> bool {
        match self.reader.next() {
            Found::Page(p) => self.page(&p),
            Found::Junk { from, checksum } => {
                let kind = if checksum {
                    ErrorKind::Checksum("page; went on at the next")
                } else {
                    ErrorKind::Sync("no page here; went on at the next")
                };
                self.problem(from, "page", kind);
            }
            Found::Need => return false,
            Found::End(tail) => self.finish(tail),
        }
        true
    }

    fn page(&mut self, page: &Page) {
        if self.found.wants_nodes() {
            self.show(page);
        }
        let at = self.link.members.iter().position(|m| m.stream.serial == page.serial);
        // A writer that sets the flag on further pages doesn't begin anything there.
        let begins = page.has(flag::BOS) && (at.is_none() || page.sequence == 0 || self.link.body);
        let at = if begins { self.begin(page) } else { at };
        let Some(at) = at else {
            if !page.has(flag::BOS) && !std::mem::replace(&mut self.link.strangers, true) {
                self.problem(page.offset, "page", ErrorKind::Missing("logical stream without a beginning"));
            }
            return;
        };
        self.link.body |= page.granule > 0 && !page.has(flag::BOS);
        let held: usize = self.link.members.iter().map(|m| m.stream.held()).sum();
        let (mut units, mut events) = (std::mem::take(&mut self.units), std::mem::take(&mut self.events));
        if let Some(m) = self.link.members.get_mut(at) {
            // Also a page on which the first packet of media only begins.
            if m.stream.mapping().is_some() {
                self.link.media.get_or_insert(page.offset);
            }
            m.stream.page(page, limits::HELD.saturating_sub(held), &mut units, &mut events);
        }
        for e in events.drain(..) {
            match e {
                Event::Problem { offset, path, kind } => self.problem(offset, path, kind),
                Event::Language(serial, lang) => {
                    if self.link.langs.len() < limits::STREAMS {
                        self.link.langs.push((serial, lang));
                    }
                }
                Event::Header { offset, packet } if self.found.wants_nodes() => {
                    let name: String = packet.iter().take(8).map(|b| b.escape_ascii().to_string()).collect();
                    self.found.node(1, offset, packet.len() as u64, "header", || name);
                }
                Event::Header { .. } => {}
            }
        }
        if let (Some(first), Some(m)) = (units.first(), self.link.members.get(at)) {
            let start = m.stream.clock().time(first.start);
            self.link.media.get_or_insert(page.offset);
            self.link.body = true;
            if let Some(to) = self.pending.take() {
                self.bisect(to);
            } else {
                self.place(start);
                self.announce();
                for u in units.drain(..) {
                    self.unit(at, u);
                }
            }
        }
        units.clear();
        (self.units, self.events) = (units, events);
    }

    /// A logical stream begins, and maybe a link with it.
    fn begin(&mut self, page: &Page) -> Option<usize> {
        let known = self.link.members.iter().any(|m| m.stream.serial == page.serial);
        if known || self.link.body {
            self.close();
            let number = self.link.number + 1;
            let base = self.chapters.get(number).and_then(|c| c.base);
            self.link = Link { number, base, ..Link::default() };
        }
        if self.link.number == self.chapters.len() && self.chapters.len() < limits::LINKS {
            let base = (self.link.number == 0).then_some(Duration::ZERO);
            self.link.base = base;
            self.chapters.push(Chapter { offset: page.offset, base, begin: self.end_time });
        }
        if self.link.members.len() == limits::STREAMS {
            if !std::mem::replace(&mut self.link.crowd, true) {
                self.problem(page.offset, "page", ErrorKind::Limit("logical streams"));
            }
            return None;
        }
        let first = page.pieces().next().map(|p| p.data).unwrap_or_default();
        let stream = Stream::new(page.serial, &first);
        if stream.is_other() {
            self.problem(page.offset, "page", ErrorKind::Unsupported("codec of a logical stream"));
        }
        self.link.members.push(Member { stream, track: None, last: None, skip: None });
        Some(self.link.members.len() - 1)
    }

    /// Says where packets were left unfinished.
    fn close(&mut self) {
        let open: Vec<u64> = self.link.members.iter().filter_map(|m| m.stream.unfinished()).collect();
        for offset in open {
            self.problem(offset, "packet", ErrorKind::Truncated);
        }
    }

    /// Fixes the link's place in time by the start of its first media.
    fn place(&mut self, start: Duration) {
        if self.link.base.is_none() {
            let own = if start.abs() < SECOND { Duration::ZERO } else { start };
            self.link.base = Some(self.end_time - Timestamp::ZERO - own);
        }
        if let Some(c) = self.chapters.get_mut(self.link.number) {
            c.base = self.link.base;
        }
    }

    /// Describes tracks: all that are ready with the link's first media, others as soon as they are.
    fn announce(&mut self) {
        let first = !std::mem::replace(&mut self.link.announced, true);
        if !first && self.link.members.iter().all(|m| m.track.is_some() || m.stream.mapping().is_none()) {
            return;
        }
        let old = if first { std::mem::take(&mut self.tracks) } else { Vec::new() };
        let mut free = old;
        let mut found = Vec::new();
        for m in self.link.members.iter_mut().filter(|m| m.track.is_none()) {
            let (Some(d), Some(mapping)) = (m.stream.describe(), m.stream.mapping()) else { continue };
            let known = free.iter().position(|t| t.codec == d.codec).map(|at| free.remove(at));
            let id = known.as_ref().map_or_else(
                || {
                    self.next_id += 1;
                    TrackId(self.next_id)
                },
                |t| t.id,
            );
            let bone = self.link.langs.iter().find(|(s, _)| *s == m.stream.serial).map(|(_, l)| *l);
            let mut info = TrackInfo::new(id, d.codec, d.init, d.params).with_lang(mapping.lang().or(bone));
            info.visual = d.visual;
            let same = known.filter(|t| **t == info);
            let is_new = same.is_none();
            let info = same.unwrap_or_else(|| Arc::new(info));
            m.track = Some(info.clone());
            found.push((info, is_new));
        }
        for t in free {
            self.found.gone(t.id);
        }
        for (info, is_new) in found {
            if is_new {
                self.found.track(info.clone());
            }
            self.tracks.push(info);
        }
    }

    fn unit(&mut self, at: usize, u: Unit) {
        let Some(m) = self.link.members.get_mut(at) else { return };
        let Some(info) = &m.track else { return };
        let clock = m.stream.clock();
        let base = self.link.base.unwrap_or_default();
        let mut dts = Timestamp::ZERO + base + clock.time(u.start);
        let end = Timestamp::ZERO + base + clock.time(u.start.saturating_add(u.len));
        let key = codec::is_key(info.codec, &u.data).unwrap_or(true);
        let video = info.codec.kind() == Kind::Video;
        if let Some(skip) = m.skip {
            if if video { !key || dts < skip } else { end <= skip } {
                return;
            }
            m.skip = None;
        }
        if let Some(last) = m.last.filter(|l| *l > dts && *l - dts < SECOND) {
            dts = last;
        }
        m.last = Some(dts);
        self.end_time = self.end_time.max(end);
        let duration = if video { Duration::ZERO } else { end - dts };
        let packet = Packet { track: info.id, dts, cts: Duration::ZERO, duration, key, data: u.data };
        self.found.packet(packet, u.offset);
    }

    fn finish(&mut self, tail: Tail) {
        self.done = true;
        self.size = Some(self.reader.end_offset());
        self.pending = None;
        self.close();
        match tail {
            Tail::Clean => {}
            Tail::Cut(offset) => self.fail(offset, "page", ErrorKind::Truncated),
            Tail::Junk(offset) => {
                self.problem(offset, "page", ErrorKind::Sync("no page from here to the end"));
            }
            Tail::Never => return self.fail(0, "", ErrorKind::Sync("no Ogg page")),
        }
        if self.link.members.iter().any(|m| m.stream.mapping().is_some()) {
            self.announce();
        }
        if self.tracks.is_empty() && self.found.error().is_none() {
            self.fail(0, "", ErrorKind::Unsupported("no logical stream that can be read"));
        }
    }

    fn show(&mut self, page: &Page) {
        let flags = [(flag::CONTINUED, " continued"), (flag::BOS, " first"), (flag::EOS, " last")];
        let mut detail = format!("stream {:08x} page {}", page.serial, page.sequence);
        flags.iter().filter(|(f, _)| page.has(*f)).for_each(|(_, name)| detail.push_str(name));
        detail.push_str(&format!(", granule {}, {} packets end", page.granule, page.ends()));
        if page.granule >= 0
            && let Some(m) = self.link.members.iter().find(|m| m.stream.serial == page.serial)
            && let Some(mapping) = m.stream.mapping()
        {
            let end = mapping.clock().time(mapping.end(page.granule));
            detail.push_str(&format!(", to {:.3} s", end.as_secs_f64()));
        }
        self.found.node(0, page.offset, page.len() as u64, "page", || detail);
    }

    /// Goes on at a page in the link, with what is to be left out before.
    pub(super) fn land(&mut self, offset: u64, to: Timestamp) {
        let first = self.link.media == Some(offset);
        for m in &mut self.link.members {
            m.stream.jump(first);
            m.skip = Some(to);
            m.last = None;
        }
        self.end_time = to;
        self.jump(offset);
    }

    /// Asks for the bytes at `offset`.
    pub(super) fn jump(&mut self, offset: u64) {
        self.reader.jump(offset);
        self.at = Some(offset);
    }
}

impl mist_core::format::Demuxer for Demuxer {
    fn push(&mut self, offset: u64, data: Bytes) {
        let end = offset.saturating_add(data.len() as u64);
        self.reach = self.reach.max(end);
        match self.at {
            Some(at) => {
                // Bytes that were under way when the jump came are of no use.
                let Some(data) = queue::landing(at, offset, &data) else { return };
                self.at = None;
                self.reader.push(data);
            }
            None if offset == self.reader.end_offset() => self.reader.push(data),
            // The source went somewhere else on its own.
            None => {
                self.reader.jump(offset);
                self.link.members.iter_mut().for_each(|m| m.stream.jump(false));
                self.reader.push(data);
            }
        }
    }

    fn end(&mut self) {
        let Some(at) = self.at else { return self.reader.end() };
        // Behind the end of the source, or one that can't seek.
        if self.seek.is_some() && at >= self.reach {
            self.at = None;
            self.reader.end();
        } else {
            self.fail(at, "", ErrorKind::NeedsSeek);
        }
    }

    fn poll(&mut self) -> Result<Demuxed, FormatError> {
        loop {
            if let Some(found) = self.found.pop() {
                return found;
            }
            if let Some(offset) = self.at {
                return Ok(Demuxed::Need(Want::At { offset, len: HEAD }));
            }
            if self.done {
                return Ok(Demuxed::End);
            }
            let moved = if self.seek.is_some() { self.seek_step() } else { self.step() };
            if !moved {
                return Ok(Demuxed::Need(Want::Next));
            }
        }
    }

    /// The time that comes back is the one asked for, or the link's start: where the key frame before it lies shows on
    /// the way.
    fn seek(&mut self, to: Timestamp) -> Result<Timestamp, FormatError> {
        if let Some(e) = self.found.error() {
            return Err(e.clone());
        }
        let known = self.chapters.iter().rposition(|c| c.base.is_some() && (c.begin <= to)).or(Some(0));
        let Some((number, chapter)) = known.and_then(|n| Some((n, *self.chapters.get(n)?))) else {
            return Err(self.unready());
        };
        if chapter.base.is_none() || (number == self.link.number && self.link.media.is_none()) {
            return Err(self.unready());
        }
        let to = to.max(chapter.begin);
        self.found.seek();
        self.done = false;
        self.pending = None;
        if number == self.link.number {
            self.bisect(to);
        } else {
            self.link = Link { number, base: chapter.base, ..Link::default() };
            self.pending = Some(to);
            self.seek = None;
            self.jump(chapter.offset);
        }
        Ok(to)
    }

    fn packet_offset(&self) -> Option<u64> {
        self.found.packet_offset()
    }

    fn want_nodes(&mut self) {
        self.found.want_nodes();
    }
}

impl Demuxer {
    fn unready(&self) -> FormatError {
        let kind = ErrorKind::Unsupported("seeking before the headers were read");
        FormatError { format: ID, offset: self.reader.offset(), path: "", kind }
    }

    /// Looks for a time in this link.
    fn bisect(&mut self, to: Timestamp) {
        let end = self.chapters.get(self.link.number + 1).map(|c| c.offset).or(self.size);
        let from = self.link.media.unwrap_or(0);
        let within = to - Timestamp::ZERO - self.link.base.unwrap_or_default();
        self.seek = Some(Seek::new(to, within, from, end));
        self.seek_next();
    }
}
