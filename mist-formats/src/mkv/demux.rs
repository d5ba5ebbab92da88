//! The state machine: elements one after the other, places to go to, and the way back after damage.

use super::block::Block;
use super::cues::{self, Point, SeekHead, Seen};
use super::ebml::{Child, Head, MAX_HEAD, children, peek_head};
use super::lacing;
use super::reorder::Frame;
use super::schema::{element, ends, ids, name};
use super::track::{Track, duration};
use super::{ID, limits, nodes};
use bytes::Bytes;
use mist_core::codec::packet_duration;
use mist_core::format::{Demuxed, ErrorKind, FormatError, Node, Want};
use mist_core::media::{Kind, Media, Packet};
use mist_core::queue::Queue;
use mist_core::time::{Duration, Timestamp};
use std::collections::VecDeque;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
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

/// What has to be where it was gone to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goal {
    /// Cues, to find this time.
    Cues(i64),
    /// Tracks; then back to the cluster at this offset.
    Tracks(u64),
    /// A cluster with a keyframe, or where a scan begins.
    Cluster,
}

#[derive(Debug, Clone, Copy)]
struct Segment {
    /// Where its data begins.
    start: u64,
    end: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Cluster {
    at: u64,
    end: Option<u64>,
    /// Timestamp in ticks.
    time: Option<u64>,
}

/// Looking for the last keyframe at or before a time, without handing out anything.
#[derive(Debug, Clone, Copy)]
struct Scan {
    to: i64,
    best: Option<Point>,
}

/// Behind a seek: what is before this is left out.
#[derive(Debug, Clone)]
struct Landing {
    /// Time of the keyframe on the segment's clock, in nanoseconds.
    time: i64,
    /// Offset of its cluster; in later ones any keyframe will do.
    cluster: u64,
    /// Tracks that haven't begun yet.
    waiting: Vec<u64>,
}

/// Frames of a block that are handed out one by one.
#[derive(Debug)]
struct Pending {
    track: usize,
    frames: VecDeque<(Bytes, u64)>,
    pts: Timestamp,
    /// BlockDuration's share of a frame.
    each: Option<Duration>,
    laced: bool,
    discard: Duration,
    key: bool,
    beside: Bytes,
}

/// Reads Matroska and WebM; see the folder's documentation.
#[derive(Debug)]
pub struct Demuxer {
    queue: Queue,
    state: State,
    goal: Option<Goal>,
    ended: bool,
    nodes: bool,
    /// An EBML header was read.
    header: bool,
    max_size_len: usize,
    segment: Option<Segment>,
    /// The one that places were named for.
    last_segment: Option<Segment>,
    cluster: Option<Cluster>,
    first_cluster: Option<u64>,
    /// Nanoseconds of a tick.
    scale: u64,
    tracks: Vec<Track>,
    /// Numbers of tracks that are known and not read.
    left_out: Vec<u64>,
    /// The track by whose keyframes places are found.
    reference: Option<u64>,
    seek_head: SeekHead,
    cues: Vec<Point>,
    seen: Seen,
    scan: Option<Scan>,
    landing: Option<Landing>,
    /// Places that were gone to in vain since the last seek.
    vain: u8,
    tracks_sought: bool,
    /// Reported once a file.
    reported: Reported,
    pending: Option<Pending>,
    out: VecDeque<(Demuxed, u64)>,
    packet_offset: Option<u64>,
    error: Option<FormatError>,
}

#[derive(Debug, Default)]
struct Reported {
    unknown_track: bool,
    no_tracks: bool,
    encrypted: bool,
}

impl Default for Demuxer {
    fn default() -> Self {
        Self::new()
    }
}

/// Place of an element in the structure.
fn path(id: u32) -> &'static str {
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
            nodes: false,
            header: false,
            max_size_len: 8,
            segment: None,
            last_segment: None,
            cluster: None,
            first_cluster: None,
            scale: SCALE,
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
            out: VecDeque::new(),
            packet_offset: None,
            error: None,
        }
    }

    fn problem(&mut self, offset: u64, path: &'static str, kind: ErrorKind) {
        self.out.push_back((Demuxed::Problem(FormatError { format: ID, offset, path, kind }), 0));
    }

    /// Ends with an error, after what is held.
    fn fail(&mut self, offset: u64, path: &'static str, kind: ErrorKind) {
        self.flush();
        self.error = Some(FormatError { format: ID, offset, path, kind });
        self.state = State::Done;
    }

    fn node(&mut self, depth: u16, offset: u64, len: u64, name: &'static str, detail: String) {
        if self.nodes {
            self.out.push_back((Demuxed::Node(Node { depth, offset, len, name, detail }), 0));
        }
    }

    /// Hands out what the tracks hold.
    fn flush(&mut self) {
        if self.scan.is_none() {
            let Self { tracks, out, .. } = self;
            for t in tracks {
                let id = t.info.id;
                t.reorder.flush(&mut |f, dts| out.push_back(packet(id, f, dts)));
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
    fn context(&self) -> (u32, Option<u64>) {
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
            Err(what) => return self.lose(at, ErrorKind::Malformed(what)),
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
                self.problem(at, path(context), ErrorKind::Malformed("size beyond the next element"));
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
            (ids::ROOT, _) if !self.header => self.lose(at, ErrorKind::Malformed("no EBML header")),
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
                    self.problem(at, path(h.id), ErrorKind::Unsupported("encrypted block"));
                }
                self.skip(h, at, end)
            }
            _ => self.skip(h, at, end),
        }
    }

    /// Whether an element's size is known and fits; otherwise order is lost.
    fn fits(&mut self, h: Head, at: u64, end: Option<u64>) -> Option<u64> {
        let Some(to) = h.size.and_then(|s| at.checked_add(h.len as u64)?.checked_add(s)) else {
            self.lose_in(at, h.id, ErrorKind::Malformed("element without a size"));
            return None;
        };
        if end.is_some_and(|e| to > e) {
            if self.cluster.is_none() && element(h.id).is_some() {
                // A segment's size is the first thing that writers get wrong.
                self.problem(at, "Segment", ErrorKind::Malformed("element beyond the segment"));
                if let Some(s) = &mut self.segment {
                    s.end = None;
                }
                return Some(to);
            }
            self.lose_in(at, h.id, ErrorKind::Malformed("element beyond its parent"));
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
            return self.lose(at, ErrorKind::Malformed("unknown element"));
        }
        let Some(to) = self.fits(h, at, end) else { return true };
        let depth = if self.cluster.is_some() { 2 } else { u16::from(self.segment.is_some()) };
        self.node(depth, at, to - at, name(h.id), String::new());
        self.queue.skip(h.len);
        self.state = State::Skip(to, h.id);
        true
    }

    fn open_segment(&mut self, h: Head, at: u64) -> bool {
        let start = at + h.len as u64;
        let end = h.size.and_then(|s| start.checked_add(s));
        let detail = end.map_or_else(|| "unknown size".to_owned(), |_| String::new());
        self.node(0, at, h.len as u64 + h.size.unwrap_or(0), "Segment", detail);
        self.queue.skip(h.len);
        self.segment = Some(Segment { start, end });
        self.last_segment = self.segment;
        self.scale = SCALE;
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
                self.problem(at, path(h.id), ErrorKind::Malformed("cluster before Tracks"));
            }
        }
        let start = at + h.len as u64;
        let mut end = h.size.and_then(|s| start.checked_add(s));
        if let (Some(e), Some(s)) = (end, &mut self.segment)
            && s.end.is_some_and(|s| e > s)
        {
            s.end = None;
            self.problem(at, "Segment", ErrorKind::Malformed("cluster beyond the segment"));
        }
        // A size of nothing is what writers leave that never came back to fill it in.
        end = end.filter(|e| *e > start);
        let detail = end.map_or_else(|| "unknown size".to_owned(), |_| String::new());
        self.node(1, at, h.len as u64 + h.size.unwrap_or(0), "Cluster", detail);
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
        if self.nodes {
            let depth = if self.cluster.is_some() { 2 } else { u16::from(self.segment.is_some()) };
            let out = &mut self.out;
            let child = Child { id: h.id, at: 0, head: h.len, data: &data };
            nodes::tree(&child, at, depth, &mut |n| out.push_back((Demuxed::Node(n), 0)));
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

    /// Reports a child that isn't whole.
    fn check_children(&mut self, at: u64, h: Head, data: &[u8]) {
        if let Some(Err((i, what))) = children(data).find(Result::is_err) {
            self.problem(at + (h.len + i) as u64, path(h.id), ErrorKind::Malformed(what));
        }
    }

    fn ebml(&mut self, at: u64, data: &[u8]) {
        let (mut doc_type, mut read_version, mut doc_version, mut id_len, mut size_len) = (None, 1, 1, 4, 8);
        for c in children(data).flatten() {
            match c.id {
                ids::DOC_TYPE => doc_type = Some(c.text()),
                ids::EBML_READ_VERSION => read_version = c.uint(),
                ids::DOC_TYPE_READ_VERSION => doc_version = c.uint(),
                ids::EBML_MAX_ID_LENGTH => id_len = c.uint(),
                ids::EBML_MAX_SIZE_LENGTH => size_len = c.uint(),
                _ => {}
            }
        }
        let whole = Head { id: ids::EBML, size: None, len: MAX_HEAD };
        self.check_children(at, whole, data);
        let bad = match doc_type.as_deref() {
            _ if read_version > 1 => Some("EBMLReadVersion"),
            _ if id_len > 4 => Some("EBMLMaxIDLength"),
            _ if size_len > 8 => Some("EBMLMaxSizeLength"),
            Some("matroska" | "webm") => None,
            Some(_) => Some("DocType"),
            None => {
                self.problem(at, "EBML", ErrorKind::Malformed("no DocType"));
                None
            }
        };
        if let Some(what) = bad {
            return self.fail(at, "EBML", ErrorKind::Unsupported(what));
        }
        if doc_version > 4 {
            self.problem(at, "EBML", ErrorKind::Unsupported("DocTypeReadVersion"));
        }
        self.header = true;
        // Below 1 nothing could have a size.
        self.max_size_len = usize::try_from(size_len.max(1)).unwrap_or(8);
    }

    fn read_tracks(&mut self, at: u64, h: Head, data: &[u8]) {
        self.check_children(at, h, data);
        let mut new: Vec<Track> = Vec::new();
        let mut trouble = Vec::new();
        self.left_out.clear();
        for c in children(data).flatten().filter(|c| c.id == ids::TRACK_ENTRY) {
            let place = at + (h.len + c.at) as u64;
            if new.len() + self.left_out.len() == limits::TRACKS {
                self.problem(place, path(h.id), ErrorKind::Limit("tracks"));
                break;
            }
            match Track::read(&c, &mut trouble) {
                Ok(t) if new.iter().any(|o| o.number == t.number) => {
                    trouble.push(("Segment/Tracks/TrackEntry", ErrorKind::Malformed("TrackNumber twice")));
                }
                Ok(t) => new.push(t),
                Err(number) => self.left_out.push(number),
            }
            for (path, kind) in trouble.drain(..) {
                self.problem(place, path, kind);
            }
        }
        self.reference = [Kind::Video, Kind::Audio, Kind::Text, Kind::Data]
            .iter()
            .find_map(|k| new.iter().find(|t| t.info.codec.kind() == *k))
            .map(|t| t.number);
        self.replace_tracks(new);
    }

    /// Puts tracks in the place of those before and says what changed. Repeated ones go on.
    fn replace_tracks(&mut self, new: Vec<Track>) {
        self.flush();
        let mut old = std::mem::take(&mut self.tracks);
        for mut t in new {
            if let Some(i) = old.iter().position(|o| o.number == t.number) {
                let before = old.swap_remove(i);
                // A description that waited for its first frame differs by what that said.
                let same = before.announced && {
                    let mut plain = (*before.info).clone();
                    if !t.announced {
                        plain.init = t.info.init.clone();
                    }
                    plain == *t.info
                };
                if same {
                    t.announced = true;
                    t.info = before.info;
                    t.reorder = before.reorder;
                    self.tracks.push(t);
                    continue;
                }
            }
            if t.announced {
                self.out.push_back((Demuxed::Media(Media::Track(t.info.clone())), 0));
            }
            self.tracks.push(t);
        }
        for gone in old.iter().filter(|t| t.announced && !self.tracks.iter().any(|n| n.number == t.number)) {
            self.out.push_back((Demuxed::Media(Media::Gone(gone.info.id)), 0));
        }
    }

    /// A time of the open cluster in nanoseconds on the segment's clock.
    fn time(&self, ticks: i16) -> Option<i64> {
        let cluster = i64::try_from(self.cluster?.time?).unwrap_or(i64::MAX);
        let scale = i64::try_from(self.scale).unwrap_or(i64::MAX);
        Some(cluster.saturating_add(ticks.into()).saturating_mul(scale))
    }

    fn block(&mut self, at: u64, h: Head, block: Result<Block, &'static str>) {
        let b = match block {
            Ok(b) => b,
            Err(what) => return self.problem(at, path(h.id), ErrorKind::Malformed(what)),
        };
        let Some(track) = self.tracks.iter().position(|t| t.number == b.track) else {
            let known = self.left_out.contains(&b.track) || self.tracks.is_empty();
            if !known && !std::mem::replace(&mut self.reported.unknown_track, true) {
                self.problem(at, path(h.id), ErrorKind::Malformed("block of an unknown track"));
            }
            return;
        };
        let Some(time) = self.time(b.time) else {
            return self.problem(
                at,
                path(h.id),
                ErrorKind::Malformed("block before the cluster's Timestamp"),
            );
        };
        let key = self.tracks.get(track).is_some_and(|t| t.is_key(&b));
        let b = Block { key, ..b };
        if self.note(&b, time) || !self.begun(&b, track, time) {
            return;
        }
        let frames = match lacing::split(b.flags, &b.body) {
            Ok(f) => f,
            Err(what) => return self.problem(at, path(h.id), ErrorKind::Malformed(what)),
        };
        let Some(t) = self.tracks.get(track) else { return };
        let count = frames.len() as u64;
        let scale = self.scale;
        let base = at + (h.len + b.before) as u64;
        let start = b.body.as_ptr() as usize;
        self.pending = Some(Pending {
            track,
            pts: Timestamp::from_rate(time.saturating_sub(t.delay), NANO),
            each: b.duration.filter(|d| *d > 0).map(|d| duration(d.saturating_mul(scale) / count)),
            laced: count > 1,
            discard: Duration::from_rate(b.discard.max(0), NANO),
            key: b.key,
            beside: b.beside,
            // Frames are slices of the body: how far in they are is where they lie.
            frames: frames
                .into_iter()
                .map(|f| {
                    let within = (f.as_ptr() as usize).saturating_sub(start).min(b.body.len());
                    (f, base + within as u64)
                })
                .collect(),
        });
    }

    /// Remembers keyframes. True while scanning, when nothing is handed out.
    fn note(&mut self, b: &Block, time: i64) -> bool {
        if Some(b.track) == self.reference && b.key {
            let cluster = self.cluster.map_or(0, |c| c.at);
            let point = Point { time, cluster };
            self.seen.add(point);
            if let Some(s) = &mut self.scan {
                if time > s.to && s.best.is_some() {
                    let best = *s;
                    self.finish_scan(best);
                } else {
                    s.best = Some(point);
                }
            }
        }
        self.scan.is_some() || self.state != State::Element
    }

    /// Whether a track has begun after a seek: with a keyframe, or with what belongs to its time.
    fn begun(&mut self, b: &Block, track: usize, time: i64) -> bool {
        let Some(l) = &mut self.landing else { return true };
        let Some(i) = l.waiting.iter().position(|n| *n == b.track) else { return true };
        let Some(t) = self.tracks.get(track) else { return true };
        let later = self.cluster.is_none_or(|c| c.at != l.cluster);
        let begins = match t.info.codec.kind() {
            Kind::Video => b.key && (later || time >= l.time),
            _ => time >= l.time.saturating_sub(t.pre_roll),
        };
        if begins {
            l.waiting.swap_remove(i);
            if l.waiting.is_empty() {
                self.landing = None;
            }
        }
        begins
    }

    /// Hands out the next frame of a block.
    fn frame(&mut self) {
        let Some(mut p) = self.pending.take() else { return };
        let Some((data, offset)) = p.frames.pop_front() else { return };
        let Some(t) = self.tracks.get_mut(p.track) else { return };
        let data = match t.canonical(data, &p.beside) {
            Ok(d) => d,
            Err(kind) => {
                self.problem(offset, "Segment/Cluster/SimpleBlock", kind);
                if !p.frames.is_empty() {
                    self.pending = Some(p);
                }
                return;
            }
        };
        let kind = t.info.codec.kind();
        let mut frame = Frame { pts: p.pts, duration: p.each.unwrap_or_default(), key: p.key, data, offset };
        if p.laced {
            let lasts = p.each.unwrap_or_else(|| t.frame_duration(&frame.data));
            p.pts += lasts;
        }
        if p.discard > Duration::ZERO && p.frames.is_empty() && kind == Kind::Audio {
            let whole = packet_duration(&t.info, &frame.data).unwrap_or(frame.duration);
            let kept = (whole - p.discard).max(Duration::from_ticks(1));
            frame.duration = if p.each.is_some() { kept.min(frame.duration) } else { kept };
        }
        // Nothing decodes nothing; of text it is the end of what was shown.
        if !frame.data.is_empty() || kind == Kind::Text {
            let out = &mut self.out;
            if !t.announced {
                t.complete(&frame.data);
                out.push_back((Demuxed::Media(Media::Track(t.info.clone())), 0));
            }
            let id = t.info.id;
            t.reorder.push(frame, &mut |f, dts| out.push_back(packet(id, f, dts)));
        }
        if !p.frames.is_empty() {
            self.pending = Some(p);
        }
    }

    fn lose(&mut self, at: u64, kind: ErrorKind) -> bool {
        self.lose_in(at, self.context().0, kind);
        true
    }

    /// Order is lost at an offset: reports it and looks for the next cluster.
    fn lose_in(&mut self, at: u64, id: u32, kind: ErrorKind) {
        self.problem(at, path(id), kind);
        self.cluster = None;
        self.goal = None;
        let behind = (at + 1).saturating_sub(self.queue.offset());
        self.queue.skip(usize::try_from(behind).unwrap_or(0));
        self.state = State::Lost(at, None);
    }

    /// Looks for a cluster, or the header of another file.
    fn search(&mut self, from: u64, cut: Option<u32>) -> bool {
        loop {
            if !self.header && self.queue.offset().saturating_sub(from) > limits::SEARCH {
                self.fail(from, "", ErrorKind::Malformed("no EBML header"));
                return true;
            }
            let front = self.queue.front();
            if front.is_empty() {
                return false;
            }
            let Some(i) = memchr::memchr2(0x1f, 0x1a, front) else {
                self.queue.skip(front.len().min(limits::SEARCH as usize / 2));
                continue;
            };
            if i > 0 {
                self.queue.skip(i.min(limits::SEARCH as usize / 2));
                continue;
            }
            match self.found() {
                Some(id) if id != 0 => {
                    self.state = State::Element;
                    let at = self.queue.offset();
                    self.cluster = None;
                    self.segment = match self.segment {
                        _ if id == ids::EBML => None,
                        Some(s) if s.end.is_none_or(|e| at < e) => Some(s),
                        Some(s) => Some(Segment { end: None, ..s }),
                        None => Some(Segment { start: 0, end: None }),
                    };
                    self.last_segment = self.last_segment.or(self.segment);
                    if let Some(id) = cut {
                        self.problem(from, path(id), ErrorKind::Malformed("size beyond the next cluster"));
                    }
                    return true;
                }
                None if !self.ended => {
                    self.state = State::Lost(from, cut);
                    return false;
                }
                _ => {
                    self.queue.skip(1);
                }
            }
        }
    }

    /// Whether a cluster or header begins at the front, by what is first in it: its id, 0 for neither, `None` when
    /// more bytes are needed to tell.
    fn found(&self) -> Option<u32> {
        let id = u32::from_be_bytes(self.queue.peek()?);
        if !matches!(id, ids::CLUSTER | ids::EBML) {
            return Some(0);
        }
        let Ok(h) = peek_head(&self.queue, 0, 8) else { return Some(0) };
        let h = h?;
        let Ok(first) = peek_head(&self.queue, h.len, 8) else { return Some(0) };
        let first = first?;
        let own = element(first.id).is_some_and(|e| e.parent == id || e.parent == ids::ANY);
        Some(if own && first.size.is_some() { id } else { 0 })
    }

    fn go(&mut self, to: u64, goal: Goal) {
        self.cluster = None;
        self.segment = self.last_segment;
        self.goal = Some(goal);
        self.ended = false;
        self.state = State::Goto(to);
    }

    /// Whether what was sought is where it should be; otherwise something else is done.
    fn arrived(&mut self, goal: Goal, h: Head, at: u64) -> bool {
        let want = match goal {
            Goal::Cues(_) => ids::CUES,
            Goal::Tracks(_) => ids::TRACKS,
            Goal::Cluster => ids::CLUSTER,
        };
        if h.id != want {
            self.missed(goal, at);
            return false;
        }
        if !matches!(goal, Goal::Cluster) {
            self.goal = Some(goal);
        }
        true
    }

    /// There is not what was expected.
    fn missed(&mut self, goal: Goal, at: u64) {
        self.vain = self.vain.saturating_add(1);
        match goal {
            Goal::Cues(to) => {
                self.problem(at, "Segment/SeekHead", ErrorKind::Malformed("no Cues where they should be"));
                self.seek_head.cues = None;
                self.find(to);
            }
            Goal::Tracks(back) => {
                self.problem(at, "Segment/SeekHead", ErrorKind::Malformed("no Tracks where they should be"));
                self.go(back, Goal::Cluster);
            }
            Goal::Cluster => {
                self.problem(at, "Segment/Cues", ErrorKind::Malformed("no cluster where it should be"));
                self.cues.clear();
                self.seek_head.cues = None;
                let to = self.landing.as_ref().map(|l| l.time);
                match to.filter(|_| self.vain < 3) {
                    Some(to) => {
                        self.find(to);
                    }
                    None => {
                        self.scan = None;
                        self.state = State::Done;
                    }
                }
            }
        }
    }

    /// Goes to the keyframe at or before a time on the segment's clock, by what is known; says which it is if it is
    /// known already.
    fn find(&mut self, to: i64) -> Option<Point> {
        if let Some(p) = cues::at_or_before(&self.cues, to) {
            self.land(p);
            return Some(p);
        }
        let seen = self.seen.points();
        let covered = seen.last().is_some_and(|l| l.time > to);
        if let Some(p) = cues::at_or_before(seen, to).filter(|_| covered) {
            self.land(p);
            return Some(p);
        }
        if let Some(at) = self.seek_head.cues.filter(|_| self.vain == 0) {
            self.go(at, Goal::Cues(to));
            return None;
        }
        let start = self.seen.points().last().map(|p| p.cluster).or(self.first_cluster);
        let Some(start) = start else {
            self.state = State::Done;
            return None;
        };
        self.scan = Some(Scan { to, best: self.seen.points().last().copied() });
        self.go(start, Goal::Cluster);
        None
    }

    fn land(&mut self, p: Point) {
        self.scan = None;
        self.landing = Some(Landing {
            time: p.time,
            cluster: p.cluster,
            waiting: self.tracks.iter().map(|t| t.number).collect(),
        });
        self.go(p.cluster, Goal::Cluster);
    }

    fn finish_scan(&mut self, scan: Scan) {
        match scan.best {
            Some(p) => self.land(p),
            None => {
                self.scan = None;
                self.state = State::Done;
            }
        }
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
                self.fail(from, "", ErrorKind::Malformed("no EBML header"));
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
const NANO: u32 = 1_000_000_000;

fn packet(track: mist_core::media::TrackId, f: Frame, dts: Timestamp) -> (Demuxed, u64) {
    let Frame { pts, duration, key, data, offset } = f;
    (Demuxed::Media(Media::Packet(Packet { track, dts, cts: pts - dts, duration, key, data })), offset)
}

impl mist_core::format::Demuxer for Demuxer {
    fn push(&mut self, offset: u64, data: Bytes) {
        if let State::Goto(to) = self.state {
            // Bytes that were under way when the place was named are of no use.
            let skip = to.saturating_sub(offset);
            if offset > to || skip >= data.len() as u64 {
                return;
            }
            self.queue.reset(to);
            self.queue.push(data.slice(skip as usize..));
            self.state = State::Element;
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
            if let Some((d, offset)) = self.out.pop_front() {
                if matches!(d, Demuxed::Media(Media::Packet(_))) {
                    self.packet_offset = Some(offset);
                }
                return Ok(d);
            }
            if let Some(e) = &self.error {
                return Err(e.clone());
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
        let unsupported = FormatError {
            format: ID,
            offset: self.queue.offset(),
            path: "Segment",
            kind: ErrorKind::Unsupported("seeking before a cluster was read"),
        };
        let reference = self.tracks.iter().find(|t| Some(t.number) == self.reference);
        let (Some(delay), None, Some(_)) = (reference.map(|t| t.delay), &self.error, self.first_cluster)
        else {
            return Err(unsupported);
        };
        let time = to.to_rate(NANO).saturating_add(delay);
        self.out.clear();
        self.pending = None;
        self.landing = None;
        self.scan = None;
        self.goal = None;
        self.vain = 0;
        for t in &mut self.tracks {
            t.reorder.reset();
        }
        Ok(match self.find(time) {
            Some(p) => Timestamp::from_rate(p.time.saturating_sub(delay), NANO),
            None => to,
        })
    }

    fn packet_offset(&self) -> Option<u64> {
        self.packet_offset
    }

    fn want_nodes(&mut self) {
        self.nodes = true;
    }
}
