//! The state machine: elements one after the other, places to go to, and the way back after damage.

use super::block::Block;
use super::cues::{self, Point, SeekHead, Seen};
use super::ebml::{Child, Head, MAX_HEAD, children, peek_head};
use super::frames::{Pending, give};
use super::schema::{element, ends, ids, name};
use super::seek::{Goal, Landing, Scan};
use super::track::Track;
use super::{ID, limits, nodes};
use bytes::Bytes;
use mist_core::findings::Findings;
use mist_core::format::{Demuxed, ErrorKind, FormatError, Want};
use mist_core::queue::Queue;
use mist_core::time::{Duration, Timestamp};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// At an element's head.
    Element,
    /// Behind the head of an element that is read as a whole; its head is at this offset.
    Body(Head, u64),
    /// On the way to what follows an element.
    Skip(u64, u32),
    /// Order was lost here: looking for a cluster or header. With the element that reaches beyond the end of the
    /// source, if that is why.
    Lost(u64, Option<u32>),
    /// Waiting for the bytes at this offset.
    Goto(u64),
    Done,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Segment {
    /// Where its data begins.
    pub(super) start: u64,
    pub(super) end: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Cluster {
    pub(super) at: u64,
    pub(super) end: Option<u64>,
    /// Timestamp in ticks.
    pub(super) time: Option<u64>,
}

/// Reads Matroska and WebM; see the folder's documentation.
#[derive(Debug)]
pub struct Demuxer {
    pub(super) queue: Queue,
    pub(super) state: State,
    pub(super) goal: Option<Goal>,
    pub(super) ended: bool,
    /// An EBML header was read.
    pub(super) header: bool,
    pub(super) max_size_len: usize,
    pub(super) segment: Option<Segment>,
    /// The one that places were named for.
    pub(super) last_segment: Option<Segment>,
    pub(super) cluster: Option<Cluster>,
    pub(super) first_cluster: Option<u64>,
    /// Nanoseconds of a tick.
    pub(super) scale: u64,
    /// How long all of it is said to be, in ticks; 0 where nothing is said.
    ticks: f64,
    pub(super) tracks: Vec<Track>,
    /// Numbers of tracks that are known and not read.
    pub(super) left_out: Vec<u64>,
    /// The track by whose keyframes places are found.
    pub(super) reference: Option<u64>,
    pub(super) seek_head: SeekHead,
    pub(super) cues: Vec<Point>,
    pub(super) seen: Seen,
    pub(super) scan: Option<Scan>,
    pub(super) landing: Option<Landing>,
    /// Places that were gone to in vain since the last seek.
    pub(super) vain: u8,
    pub(super) tracks_sought: bool,
    /// Reported once a file.
    pub(super) reported: Reported,
    pub(super) pending: Option<Pending>,
    pub(super) found: Findings,
}

#[derive(Debug, Default)]
pub(super) struct Reported {
    pub(super) unknown_track: bool,
    pub(super) no_tracks: bool,
    pub(super) encrypted: bool,
}

impl Default for Demuxer {
    fn default() -> Self {
        Self::new()
    }
}

/// Place of an element in the structure.
pub(super) fn path(id: u32) -> &'static str {
    match id {
        ids::EBML => "EBML",
        ids::SEGMENT => "Segment",
        ids::CLUSTER => "Segment/Cluster",
        ids::TIMESTAMP => "Segment/Cluster/Timestamp",
        ids::SIMPLE_BLOCK => "Segment/Cluster/SimpleBlock",
        ids::BLOCK_GROUP => "Segment/Cluster/BlockGroup",
        ids::ENCRYPTED_BLOCK => "Segment/Cluster/EncryptedBlock",
        ids::SEEK_HEAD => "Segment/SeekHead",
        ids::INFO => "Segment/Info",
        ids::TRACKS => "Segment/Tracks",
        ids::CUES => "Segment/Cues",
        ids::TAGS => "Segment/Tags",
        ids::CHAPTERS => "Segment/Chapters",
        ids::ATTACHMENTS => "Segment/Attachments",
        _ => "",
    }
}

impl Demuxer {
    /// At the start of a file or stream.
    pub fn new() -> Self {
        Self {
            queue: Queue::new(),
            state: State::Element,
            goal: None,
            ended: false,
            header: false,
            max_size_len: 8,
            segment: None,
            last_segment: None,
            cluster: None,
            first_cluster: None,
            scale: SCALE,
            ticks: 0.0,
            tracks: Vec::new(),
            left_out: Vec::new(),
            reference: None,
            seek_head: SeekHead::default(),
            cues: Vec::new(),
            seen: Seen::default(),
            scan: None,
            landing: None,
            vain: 0,
            tracks_sought: false,
            reported: Reported::default(),
            pending: None,
            found: Findings::new(ID),
        }
    }

    pub(super) fn problem(&mut self, offset: u64, path: &'static str, kind: ErrorKind) {
        self.found.problem(offset, path, kind);
    }

    /// Ends with an error, after what is held.
    pub(super) fn fail(&mut self, offset: u64, path: &'static str, kind: ErrorKind) {
        self.flush();
        self.found.fail(offset, path, kind);
        self.state = State::Done;
    }

    /// Hands out what the tracks hold.
    pub(super) fn flush(&mut self) {
        if self.scan.is_none() {
            let Self { tracks, found, .. } = self;
            for t in tracks {
                let id = t.info.id;
                t.reorder.flush(&mut |f, dts| give(found, id, f, dts));
            }
        }
    }

    /// One step; false when it needs more bytes.
    fn step(&mut self) -> bool {
        if self.pending.is_some() {
            self.frame();
            return true;
        }
        match self.state {
            State::Element => self.element(),
            State::Body(head, at) => self.body(head, at),
            State::Skip(to, _) => {
                let left = to.saturating_sub(self.queue.offset());
                self.queue.skip(usize::try_from(left).unwrap_or(usize::MAX));
                if self.queue.offset() < to {
                    return false;
                }
                self.state = State::Element;
                true
            }
            State::Lost(from, cut) => self.search(from, cut),
            State::Goto(_) | State::Done => false,
        }
    }

    /// The element that the next one is in.
    pub(super) fn context(&self) -> (u32, Option<u64>) {
        match (&self.cluster, &self.segment) {
            (Some(c), _) => (ids::CLUSTER, c.end),
            (None, Some(s)) => (ids::SEGMENT, s.end),
            (None, None) => (ids::ROOT, None),
        }
    }

    fn element(&mut self) -> bool {
        let at = self.queue.offset();
        if self.cluster.is_some_and(|c| c.end.is_some_and(|e| at >= e)) {
            self.cluster = None;
        }
        if self.cluster.is_none() && self.segment.is_some_and(|s| s.end.is_some_and(|e| at >= e)) {
            self.segment = None;
        }
        let h = match peek_head(&self.queue, 0, self.max_size_len) {
            Ok(Some(h)) => h,
            Ok(None) => return false,
            Err(what) => {
                match self.goal.take() {
                    Some(goal) => self.missed(goal, at),
                    None => self.lose_in(at, self.context().0, what),
                }
                return true;
            }
        };
        if let Some(goal) = self.goal.take()
            && !self.arrived(goal, h, at)
        {
            return true;
        }
        let (context, end) = self.context();
        // Blocks are most of what there is.
        if context == ids::CLUSTER && matches!(h.id, ids::SIMPLE_BLOCK | ids::BLOCK_GROUP | ids::TIMESTAMP) {
            return self.read(h, at, end, limits::BLOCK);
        }
        if context != ids::ROOT && ends(h.id, context) {
            if end.is_some() {
                self.problem(at, path(context), ErrorKind::Size("size beyond the next element"));
            }
            if self.cluster.take().is_none() {
                self.segment = None;
            }
            return true;
        }
        match (context, h.id) {
            (_, ids::VOID | ids::CRC32) => self.skip(h, at, end),
            (ids::ROOT, ids::EBML) => self.read(h, at, end, limits::HEADER),
            (ids::ROOT, ids::SEGMENT) => self.open_segment(h, at),
            (ids::ROOT, _) if !self.header => self.lose(at, ErrorKind::Sync("no EBML header")),
            (ids::ROOT, _) if element(h.id).is_some() => {
                self.lose(at, ErrorKind::Malformed("element outside of a segment"))
            }
            (ids::SEGMENT, ids::CLUSTER) => self.open_cluster(h, at),
            (ids::SEGMENT, ids::SEEK_HEAD | ids::INFO | ids::TRACKS | ids::CUES) => {
                self.read(h, at, end, limits::METADATA)
            }
            (ids::SEGMENT, ids::TAGS | ids::CHAPTERS) if h.size.is_some_and(|s| s <= limits::SHOWN) => {
                self.read(h, at, end, limits::SHOWN)
            }
            (ids::SEGMENT, ids::TAGS | ids::CHAPTERS | ids::ATTACHMENTS) => self.skip(h, at, end),
            (ids::SEGMENT, _) if element(h.id).is_some() => {
                self.lose(at, ErrorKind::Malformed("element in the wrong place"))
            }
            (ids::CLUSTER, ids::ENCRYPTED_BLOCK) => {
                if !std::mem::replace(&mut self.reported.encrypted, true) {
                    self.problem(at, path(h.id), ErrorKind::Encrypted("block"));
                }
                self.skip(h, at, end)
            }
            _ => self.skip(h, at, end),
        }
    }

    /// Whether an element's size is known and fits; otherwise order is lost.
    fn fits(&mut self, h: Head, at: u64, end: Option<u64>) -> Option<u64> {
        let Some(to) = h.size.and_then(|s| at.checked_add(h.len as u64)?.checked_add(s)) else {
            self.lose_in(at, h.id, ErrorKind::Size("element without a size"));
            return None;
        };
        if end.is_some_and(|e| to > e) {
            if self.cluster.is_none() && element(h.id).is_some() {
                // A segment's size is the first thing that writers get wrong.
                self.problem(at, "Segment", ErrorKind::Size("element beyond the segment"));
                if let Some(s) = &mut self.segment {
                    s.end = None;
                }
                return Some(to);
            }
            self.lose_in(at, h.id, ErrorKind::Size("element beyond its parent"));
            return None;
        }
        Some(to)
    }

    /// Goes on to read an element as a whole.
    fn read(&mut self, h: Head, at: u64, end: Option<u64>, limit: u64) -> bool {
        let Some(to) = self.fits(h, at, end) else { return true };
        if h.size.is_none_or(|s| s > limit) {
            if matches!(h.id, ids::EBML | ids::TRACKS) {
                self.fail(at, path(h.id), ErrorKind::Limit("element size"));
                return true;
            }
            self.problem(at, path(h.id), ErrorKind::Limit("element size"));
            self.queue.skip(h.len);
            self.state = State::Skip(to, h.id);
            return true;
        }
        self.queue.skip(h.len);
        self.state = State::Body(h, at);
        true
    }

    fn skip(&mut self, h: Head, at: u64, end: Option<u64>) -> bool {
        // In an open parent a size that can't be checked is taken for one only where the element is known.
        if element(h.id).is_none() && h.size.is_none_or(|s| s > limits::SEARCH) {
            return self.lose(at, ErrorKind::Sync("unknown element"));
        }
        let Some(to) = self.fits(h, at, end) else { return true };
        let depth = if self.cluster.is_some() { 2 } else { u16::from(self.segment.is_some()) };
        self.found.node(depth, at, to - at, name(h.id), String::new);
        self.queue.skip(h.len);
        self.state = State::Skip(to, h.id);
        true
    }

    fn open_segment(&mut self, h: Head, at: u64) -> bool {
        let start = at + h.len as u64;
        let end = h.size.and_then(|s| start.checked_add(s));
        let detail = end.map_or_else(|| "unknown size".to_owned(), |_| String::new());
        self.found.node(0, at, h.len as u64 + h.size.unwrap_or(0), "Segment", || detail);
        self.queue.skip(h.len);
        self.segment = Some(Segment { start, end });
        self.last_segment = self.segment;
        self.scale = SCALE;
        self.ticks = 0.0;
        self.seek_head = SeekHead::default();
        self.cues.clear();
        self.seen.clear();
        self.first_cluster = None;
        self.tracks_sought = false;
        true
    }

    fn open_cluster(&mut self, h: Head, at: u64) -> bool {
        if self.tracks.is_empty() && self.left_out.is_empty() {
            let known = self.seek_head.tracks.filter(|t| *t > at && !self.tracks_sought);
            if let Some(tracks) = known {
                self.tracks_sought = true;
                self.go(tracks, Goal::Tracks(at));
                return true;
            }
            if !std::mem::replace(&mut self.reported.no_tracks, true) {
                self.problem(at, path(h.id), ErrorKind::Missing("cluster before Tracks"));
            }
        }
        let start = at + h.len as u64;
        let mut end = h.size.and_then(|s| start.checked_add(s));
        if let (Some(e), Some(s)) = (end, &mut self.segment)
            && s.end.is_some_and(|s| e > s)
        {
            s.end = None;
            self.problem(at, "Segment", ErrorKind::Size("cluster beyond the segment"));
        }
        // A size of nothing is what writers leave that never came back to fill it in.
        end = end.filter(|e| *e > start);
        let detail = end.map_or_else(|| "unknown size".to_owned(), |_| String::new());
        self.found.node(1, at, h.len as u64 + h.size.unwrap_or(0), "Cluster", || detail);
        self.queue.skip(h.len);
        self.first_cluster.get_or_insert(at);
        self.cluster = Some(Cluster { at, end, time: None });
        true
    }

    /// Takes an element whose data is there.
    fn body(&mut self, h: Head, at: u64) -> bool {
        let size = h.size.and_then(|s| usize::try_from(s).ok()).unwrap_or(usize::MAX);
        let Some(data) = self.queue.take(size) else { return false };
        self.state = State::Element;
        if self.found.wants_nodes() {
            let depth = if self.cluster.is_some() { 2 } else { u16::from(self.segment.is_some()) };
            let found = &mut self.found;
            let child = Child { id: h.id, at: 0, head: h.len, data: &data };
            nodes::tree(&child, at, depth, &mut |n| found.show(n));
        }
        match h.id {
            ids::SIMPLE_BLOCK => self.block(at, h, Block::simple(&data)),
            ids::BLOCK_GROUP => self.block(at, h, Block::group(&data)),
            ids::TIMESTAMP => {
                let time = super::ebml::uint(&data);
                if let Some(c) = &mut self.cluster {
                    c.time = Some(time);
                }
            }
            ids::EBML => self.ebml(at, &data),
            ids::SEEK_HEAD => {
                if let Some(s) = self.segment {
                    self.seek_head.read(&data, s.start);
                }
            }
            ids::INFO => {
                let scale =
                    children(&data).flatten().find(|c| c.id == ids::TIMESTAMP_SCALE).map(|c| c.uint());
                self.scale = scale.filter(|s| *s > 0).unwrap_or(SCALE);
                let ticks = children(&data).flatten().find(|c| c.id == ids::DURATION).map(|c| c.float());
                self.ticks = ticks.unwrap_or(0.0);
                if scale == Some(0) {
                    self.problem(at, path(h.id), ErrorKind::Malformed("TimestampScale of 0"));
                }
                self.check_children(at, h, &data);
            }
            ids::TRACKS => {
                self.read_tracks(at, h, &data);
                if let Some(Goal::Tracks(back)) = self.goal.take() {
                    self.go(back, Goal::Cluster);
                }
            }
            ids::CUES => {
                if let Some(s) = self.segment {
                    self.cues = cues::read(&data, self.reference, s.start, self.scale);
                    self.seek_head.cues = None;
                }
                if let Some(Goal::Cues(to)) = self.goal.take() {
                    self.find(to);
                }
            }
            _ => {}
        }
        true
    }

    /// The source is at its end and a step needs more.
    fn at_end(&mut self) {
        let at = self.queue.offset();
        match self.state {
            State::Goto(to) => match self.goal.take() {
                Some(goal) => self.missed(goal, to),
                None => self.state = State::Done,
            },
            _ if self.scan.is_some() => {
                if let Some(s) = self.scan.take() {
                    self.finish_scan(s);
                }
            }
            State::Element if !self.queue.is_empty() || !self.header => {
                self.fail(at, path(self.context().0), ErrorKind::Truncated);
            }
            State::Element => {
                self.flush();
                if let Some(c) = self.cluster.filter(|c| c.end.is_some()) {
                    self.problem(c.at, path(ids::CLUSTER), ErrorKind::Truncated);
                } else if self.segment.is_some_and(|s| s.end.is_some()) {
                    self.problem(at, path(ids::SEGMENT), ErrorKind::Truncated);
                }
                self.state = State::Done;
            }
            // A cut file, or a wrong size that swallowed what is behind it.
            State::Body(h, from) => {
                self.cluster = None;
                self.state = State::Lost(from, Some(h.id));
            }
            State::Skip(_, id) => self.fail(at, path(id), ErrorKind::Truncated),
            State::Lost(from, _) if !self.header => {
                self.fail(from, "", ErrorKind::Sync("no EBML header"));
            }
            State::Lost(from, Some(id)) => self.fail(from, path(id), ErrorKind::Truncated),
            State::Lost(..) => {
                self.flush();
                self.state = State::Done;
            }
            State::Done => {}
        }
    }
}

/// TimestampScale where there is none: a millisecond.
const SCALE: u64 = 1_000_000;
/// Nanoseconds in a second.
pub(super) const NANO: u32 = 1_000_000_000;

impl mist_core::format::Demuxer for Demuxer {
    fn push(&mut self, offset: u64, data: Bytes) {
        if let State::Goto(to) = self.state {
            if self.queue.land(to, offset, &data) {
                self.state = State::Element;
            }
            return;
        }
        let next = self.queue.offset().saturating_add(self.queue.len() as u64);
        if offset != next {
            self.queue.reset(offset);
            if self.state != State::Done {
                self.cluster = None;
                self.state = if offset == 0 { State::Element } else { State::Lost(offset, None) };
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
                    State::Goto(offset) => Want::At { offset, len: MAX_HEAD },
                    _ => Want::Next,
                }));
            }
            self.at_end();
        }
    }

    fn seek(&mut self, to: Timestamp) -> Result<Timestamp, FormatError> {
        self.seek_to(to)
    }

    fn declared_duration(&self) -> Option<Duration> {
        let seconds = self.ticks * self.scale as f64 / f64::from(NANO);
        (seconds > 0.0 && seconds < 1e9).then(|| Duration::from_millis((seconds * 1000.0) as i64))
    }

    fn packet_offset(&self) -> Option<u64> {
        self.found.packet_offset()
    }

    fn want_nodes(&mut self) {
        self.found.want_nodes();
    }
}

#[cfg(test)]
mod tests {
    use crate::{FORMATS, fuzzing};
    use proptest::prelude::*;

    const SEEDS: [&[u8]; 3] = [
        include_bytes!("../../../fuzz/corpus/demux/mkv-cues"),
        include_bytes!("../../../fuzz/corpus/demux/mkv-live"),
        include_bytes!("../../../fuzz/corpus/demux/mkv-laces"),
    ];

    proptest! {
        #[test]
        fn damaged_files(seed in 0usize..3, step in 1u8..80, cut in any::<prop::sample::Index>(),
                         hits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8)) {
            let mut d = SEEDS[seed].to_vec();
            for (i, v) in hits {
                let n = d.len();
                d[2 + i.index(n - 2)] = v;
            }
            d[0] = FORMATS.iter().position(|f| f.id == super::ID).unwrap() as u8;
            d[1] = step;
            fuzzing::demux(&d);
            let gap = 2 + cut.index(d.len() - 2);
            d.drain(gap..(gap + 7).min(d.len()));
            fuzzing::demux(&d);
        }
    }
}
