//! The live buffer: the window of GOPs of one stream. One writer, any number of readers; no locks inside.
//!
//! Whatever is the same for all readers is done here, once, when a packet is written: its time is repaired
//! ([`Repairs`]), groups and segments are cut, old ones are dropped. A reader is a [`Cursor`]; it costs nothing
//! between its reads, and one that is too slow goes on at a later keyframe ([`Read::Lagged`]).
//!
//! Whoever owns the buffer puts it behind a lock that also wakes readers, such as `tokio::sync::watch`.

mod cursor;
mod gop;
mod lane;
mod rates;
mod repair;
mod segments;
mod window;

pub use cursor::{Cursor, READ_BYTES};
pub use gop::Gop;
pub use rates::Health;
pub use repair::Repairs;
pub use segments::Segment;

use crate::codec::sei::Captions;
use crate::media::{Kind, Packet, TrackId, TrackInfo};
use crate::time::{Duration, Now, Timestamp};
use gop::PACKET_OVERHEAD;
use lane::{Alone, Lane};
use repair::{Repair, TrackRepair};
use segments::Segmenter;
use std::sync::Arc;
use std::time::Instant;

/// A group of a track without keyframes of its own to cut at lasts this long.
const AUDIO_GOP: Duration = Duration::from_secs(1);
/// How far other tracks may be behind the main one when a segment is finished without them.
const MAX_SKEW: Duration = Duration::from_secs(3);
/// A source that has written for so long has said which tracks it has.
const SETTLE: Duration = Duration::from_millis(800);
/// Readers are woken for packets beside video at this pace when video is slow.
const WAKE_INTERVAL: std::time::Duration = std::time::Duration::from_millis(40);

/// Bounds on what one stream may hold. A source that exceeds them loses its oldest media, never the server's memory.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes in all tracks: payload, and 192 for each packet.
    pub bytes: u64,
    /// A group without a keyframe is cut when it is this long.
    pub gop: Duration,
    /// A group is cut when it has this many packets.
    pub gop_packets: usize,
    /// Tracks, also those that are gone but still hold media.
    pub tracks: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 1 << 30, gop: Duration::from_secs(30), gop_packets: 20_000, tracks: 32 }
    }
}

/// How a buffer is made.
#[derive(Debug, Clone, Copy)]
pub struct BufferOptions {
    /// How much of the past is listed and can be sought in: `DVR` of MistServer. As much again is kept for players that are
    /// behind their playlist.
    pub window: Duration,
    /// Shortest segment: whole groups are joined until they are as long.
    pub segment: Duration,
    /// Media before this time is dropped: `cut` of MistServer.
    pub cut: Option<Timestamp>,
    /// Number of the first segment. Taking it from a clock keeps numbers growing when a stream is made again.
    pub first_number: u64,
    /// Discontinuities that were before. Small: players keep lists that are as long.
    pub first_discontinuity: u64,
    /// Bounds.
    pub limits: Limits,
}

impl Default for BufferOptions {
    /// MistServer's defaults: 50 seconds, segments of at least 5.
    fn default() -> Self {
        Self {
            window: Duration::from_secs(50),
            segment: Duration::from_secs(5),
            cut: None,
            first_number: 0,
            first_discontinuity: 0,
            limits: Limits::default(),
        }
    }
}

/// What a read gave.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum Read {
    /// Packets; there may be more.
    Ready,
    /// Nothing now.
    Empty,
    /// The reader fell out of the window; the next read goes on at the newest keyframe.
    Lagged,
    /// Nothing, and nothing will come.
    Ended,
}

/// The window of one stream.
#[derive(Debug)]
pub struct StreamBuffer {
    options: BufferOptions,
    lanes: Vec<Lane>,
    repairs: Vec<TrackRepair>,
    repair: Repair,
    segmenter: Segmenter,
    bytes: u64,
    version: u64,
    tracks_version: u64,
    ended: bool,
    settled: bool,
    last_wake: Option<Instant>,
    /// Segments follow this track instead of the main one, which doesn't send.
    stand_in: Option<TrackId>,
    restarts: u64,
    has_source: bool,
}

impl StreamBuffer {
    /// An empty one.
    pub fn new(options: BufferOptions) -> Self {
        Self {
            options,
            lanes: Vec::new(),
            repairs: Vec::new(),
            repair: Repair::default(),
            segmenter: Segmenter::new(options.first_number, options.first_discontinuity, options.segment),
            bytes: 0,
            version: 0,
            tracks_version: 0,
            ended: false,
            settled: false,
            last_wake: None,
            stand_in: None,
            restarts: 0,
            has_source: false,
        }
    }

    /// How it was made, or changed since.
    pub fn options(&self) -> &BufferOptions {
        &self.options
    }

    /// Changes window, segment size, cut and bounds from now on.
    pub fn set_options(&mut self, options: BufferOptions) {
        self.options = options;
        self.segmenter.min = options.segment;
    }

    /// A source is writing to it now.
    pub fn has_source(&self) -> bool {
        self.has_source
    }

    /// Counts changes that an HTTP output could show: tracks, finished segments, restarts, the end.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Counts changes of the list of tracks and of their descriptions.
    pub fn tracks_version(&self) -> u64 {
        self.tracks_version
    }

    /// Times that a source started anew on it.
    pub fn restarts(&self) -> u64 {
        self.restarts
    }

    /// Whether [`StreamBuffer::tracks`] is likely all that the source has: there is video and audio, or it has written for
    /// long enough, or it ended. What can't add tracks later waits for this; the version counts it.
    pub fn tracks_known(&self) -> bool {
        let has = |kind| self.lanes.iter().any(|l| !l.gone && l.kind() == kind);
        self.settled || self.ended || (has(Kind::Video) && has(Kind::Audio))
    }

    /// No more media will come.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// Bytes that it holds as [`Limits::bytes`] counts them.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What was repaired so far.
    pub fn repairs(&self) -> Repairs {
        self.repair.counts
    }

    /// Tracks that the source has now: video, then audio, then the rest; by id within each.
    pub fn tracks(&self) -> impl Iterator<Item = &Arc<TrackInfo>> {
        let mut v: smallvec::SmallVec<[&Arc<TrackInfo>; 8]> =
            self.lanes.iter().filter(|l| !l.gone).map(|l| &l.info).collect();
        v.sort_by_key(|t| (t.codec.kind(), t.id));
        v.into_iter()
    }

    /// A track that the source has now.
    pub fn track(&self, id: TrackId) -> Option<&Arc<TrackInfo>> {
        self.lanes.iter().find(|l| l.info.id == id && !l.gone).map(|l| &l.info)
    }

    /// The closed captions that the pictures of a track carry: found as packets are written, and never forgotten while
    /// the track lives. The version counts what is found.
    pub fn captions(&self, id: TrackId) -> Captions {
        self.lanes.iter().find(|l| l.info.id == id && !l.gone).map_or_else(Captions::default, |l| l.captions)
    }

    /// A track that the source has now, or had and that still has media in the window.
    pub fn held_track(&self, id: TrackId) -> Option<&Arc<TrackInfo>> {
        self.lanes.iter().find(|l| l.info.id == id && !(l.gone && l.is_empty())).map(|l| &l.info)
    }

    /// The track that segments and groups follow: the first video track, or the first audio track without one.
    pub fn main_track(&self) -> Option<TrackId> {
        self.main_lane().and_then(|i| self.lanes.get(i)).map(|l| l.info.id)
    }

    fn main_lane(&self) -> Option<usize> {
        self.lanes
            .iter()
            .enumerate()
            .filter(|(_, l)| !l.gone)
            .min_by_key(|(_, l)| (l.kind(), l.info.id))
            .map(|(i, _)| i)
    }

    /// Oldest decoding time kept of a track.
    pub fn first_dts(&self, id: TrackId) -> Option<Timestamp> {
        self.lanes.iter().find(|l| l.info.id == id)?.first_dts()
    }

    /// Newest decoding time of a track.
    pub fn last_dts(&self, id: TrackId) -> Option<Timestamp> {
        self.lanes.iter().find(|l| l.info.id == id)?.last_dts
    }

    /// Newest decoding time of all tracks.
    pub fn live_dts(&self) -> Option<Timestamp> {
        self.lanes.iter().filter_map(|l| l.last_dts).max()
    }

    fn changed(&mut self) {
        self.version += 1;
    }

    /// A track appears, or its description changes from the next packet on. False when there are too many.
    pub fn set_track(&mut self, info: Arc<TrackInfo>) -> bool {
        let main = self.main_track();
        if let Some(l) = self.lanes.iter_mut().find(|l| l.info.id == info.id) {
            if l.info == info && !l.gone {
                return true;
            }
            let same = l.info == info;
            l.gone = false;
            if !same {
                if !l.open.is_empty() || !l.closed.is_empty() {
                    self.segmenter.mark_discontinuity();
                }
                l.info = info;
            }
        } else if let Some(i) = self.lanes.iter().position(|l| l.gone && l.is_empty()) {
            let seq = self.lanes.get(i).map_or(0, Lane::open_seq);
            let mut lane = Lane::new(info);
            lane.first = seq + 1;
            if let (Some(l), Some(r)) = (self.lanes.get_mut(i), self.repairs.get_mut(i)) {
                *l = lane;
                *r = TrackRepair::default();
            }
        } else if self.lanes.len() < self.options.limits.tracks {
            self.lanes.push(Lane::new(info));
            self.repairs.push(TrackRepair::default());
        } else {
            return false;
        }
        if main != self.main_track() && self.stand_in.is_none() && self.segmenter.open_start().is_some() {
            // Until the new main track sends.
            self.stand_in = main;
        }
        self.tracks_version += 1;
        self.changed();
        true
    }

    /// A track has ended; what it has in the window stays.
    pub fn remove_track(&mut self, id: TrackId) {
        if let Some(l) = self.lanes.iter_mut().find(|l| l.info.id == id && !l.gone) {
            l.gone = true;
            l.finish();
            self.tracks_version += 1;
            self.segmenter.mark_discontinuity();
            self.changed();
        }
    }

    /// A source begins to write. `keep`: the media of the one before stays (MistServer's resume support);
    /// otherwise viewers go on with the new source only.
    pub fn source_started(&mut self, keep: bool) {
        let first = self.lanes.iter().all(Lane::is_empty) && self.segmenter.open_start().is_none();
        self.source_stopped();
        self.ended = false;
        self.has_source = true;
        self.repair.restart();
        self.repairs.iter_mut().for_each(TrackRepair::restart);
        for l in &mut self.lanes {
            l.gone = true;
            if !keep {
                l.clear();
            }
        }
        if !keep {
            self.bytes = 0;
            self.segmenter.clear();
        }
        self.settled = false;
        if !first {
            self.restarts += 1;
        }
        self.segmenter.mark_discontinuity();
        self.tracks_version += 1;
        self.changed();
    }

    /// The source stopped writing: what it left is finished, so that players get all of it. Another may start.
    pub fn source_stopped(&mut self) {
        self.has_source = false;
        // The last segment takes what other tracks have beyond the main one's end.
        let end = self.lanes.iter().filter_map(Lane::end).max();
        self.lanes.iter_mut().for_each(Lane::finish);
        self.stand_in = None;
        if let Some(end) = end {
            self.segmenter.close(end);
        }
        while !self.segmenter.pending.is_empty() {
            self.segmenter.finish_first();
        }
        self.changed();
    }

    /// Nothing will ever follow.
    pub fn end(&mut self) {
        self.source_stopped();
        self.ended = true;
        self.changed();
    }

    /// Writes a packet of an announced track. True when readers should be woken now.
    pub fn push(&mut self, mut p: Packet, now: Now) -> bool {
        let Some(i) = self.lanes.iter().position(|l| l.info.id == p.track && !l.gone) else {
            return false;
        };
        let Some(tr) = self.repairs.get_mut(i) else { return false };
        let placed = self.repair.place(tr, p.dts, p.cts, now);
        p.dts = placed.dts;
        p.cts = placed.cts;
        if placed.jumped {
            self.segmenter.mark_discontinuity();
        }
        if self.options.cut.is_some_and(|c| p.dts < c) {
            return false;
        }
        let driver = self.driver(i, p.dts, now);
        let Some(lane) = self.lanes.get_mut(i) else { return false };
        let video = lane.kind() == Kind::Video;
        let info_changed = !Arc::ptr_eq(&lane.open_info, &lane.info);
        let full = lane.open.len() >= self.options.limits.gop_packets
            || lane.open.first().is_some_and(|f| p.dts - f.dts >= self.options.limits.gop);
        let due = if video { p.key } else { lane.open.first().is_some_and(|f| p.dts - f.dts >= AUDIO_GOP) };
        let start = lane.open.is_empty();
        let mut close = due || full || info_changed;
        if driver == Some(i) {
            let media_end = lane.end();
            let forced = self.segmenter.must_cut(p.dts, media_end);
            close |= forced;
            if close {
                lane.close(p.dts);
            }
            // A track that stands in for the main one has no keyframes that players could start with.
            let key = p.key && self.stand_in.is_none();
            let group = lane.closed.back().map_or(Duration::ZERO, |g| g.duration());
            if forced || ((close || start) && self.segmenter.wants_cut(p.dts, key, group)) {
                let at = self.segmenter.cut(p.track, p.dts, media_end, key, now.unix);
                for (j, l) in self.lanes.iter_mut().enumerate() {
                    if j != i {
                        l.cut_at(at);
                    }
                }
            }
        } else {
            close |= lane.take_cut(p.dts);
            if close {
                lane.close(p.dts);
            }
        }
        self.bytes += p.data.len() as u64 + PACKET_OVERHEAD;
        if let Some(lane) = self.lanes.get_mut(i) {
            let dts = p.dts;
            let captions = lane.find_captions(&p);
            lane.append(p);
            if captions {
                self.changed();
            }
            let Some(lane) = self.lanes.get(i) else { return false };
            if !self.settled && lane.began.is_some_and(|began| dts - began >= SETTLE) {
                self.settled = true;
                self.changed();
            }
        }
        if self.finish_segments(driver) || close || self.bytes > self.options.limits.bytes {
            self.evict();
        }
        let wake =
            video || self.last_wake.is_none_or(|w| now.instant.saturating_duration_since(w) >= WAKE_INTERVAL);
        if wake {
            self.last_wake = Some(now.instant);
        }
        wake
    }

    /// The lane that segments follow once lane `i` has a packet at `dts`: the main one, or one that goes on while that is
    /// silent.
    fn driver(&mut self, i: usize, dts: Timestamp, now: Now) -> Option<usize> {
        let main = self.main_lane();
        if main == Some(i) {
            self.stand_in = None;
        }
        let stand_in =
            self.stand_in.and_then(|id| self.lanes.iter().position(|l| l.info.id == id && !l.gone));
        let driver = stand_in.or(main);
        if driver == Some(i) {
            self.lanes.iter_mut().for_each(|l| l.alone = None);
            return driver;
        }
        let Some(lane) = self.lanes.get_mut(i).filter(|l| l.is_av()) else { return driver };
        let after = lane.end();
        let alone = match lane.alone {
            Some(a) if after.is_none_or(|end| dts - end <= MAX_SKEW) => a,
            _ => *lane.alone.insert(Alone { from: dts, at: now.instant, after }),
        };
        let target = self.segmenter.least_target();
        let due = self.segmenter.open_start().unwrap_or(alone.from) + target + MAX_SKEW;
        // A source that sends its tracks in large pieces one after the other is not silent: that takes no time.
        let waited = now.instant.saturating_duration_since(alone.at) >= MAX_SKEW.to_std();
        if dts <= due || dts - alone.from < MAX_SKEW || !waited {
            return driver;
        }
        let track = lane.info.id;
        let silent = driver.and_then(|d| self.lanes.get(d)).and_then(Lane::end);
        self.stand_in = Some(track);
        // What it has sent since then becomes segments.
        let mut next = alone.from;
        let mut media_end = silent.max(alone.after);
        if let Some(start) = self.segmenter.open_start()
            && start + target > next
        {
            next = start + target;
            media_end = None;
        }
        while next < dts {
            let unix = now.unix.saturating_sub((dts - next).to_std());
            let at = self.segmenter.cut(track, next, media_end, false, unix);
            self.lanes.iter_mut().for_each(|l| l.cut_at(at));
            next = at + target;
            media_end = None;
        }
        Some(i)
    }

    /// Finishes cut segments that all tracks have passed, or that wait for too long. True if one was.
    fn finish_segments(&mut self, driver: Option<usize>) -> bool {
        let mut any = false;
        while let Some(end) = self.segmenter.pending.front().map(|s| s.end) {
            let newest = driver.and_then(|i| self.lanes.get(i)).and_then(|l| l.last_dts);
            let waited = newest.is_none_or(|n| n - end >= MAX_SKEW);
            let late = |l: &Lane| !l.gone && l.is_av() && l.last_dts.is_some_and(|d| d < end);
            if waited {
                // What a track has that may have stopped belongs to it.
                for l in self.lanes.iter_mut().filter(|l| late(l)) {
                    if let Some(end) = l.end() {
                        l.close(end);
                    }
                }
            } else if self.lanes.iter().any(late) {
                break;
            }
            self.segmenter.finish_first();
            any = true;
        }
        if any {
            self.changed();
        }
        any
    }

    /// Finished segments that playlists list, oldest first.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &Segment> + ExactSizeIterator {
        self.segmenter.done.range(self.segmenter.unlisted.min(self.segmenter.done.len())..)
    }

    /// A finished segment by its number, also one that is no longer listed but still kept. All media of the track that it
    /// follows is there; [`StreamBuffer::gops`] gives it.
    pub fn find_segment(&self, number: u64) -> Option<&Segment> {
        let first = self.segmenter.done.front()?.number;
        let i = usize::try_from(number.checked_sub(first)?).ok()?;
        self.segmenter.done.get(i)
    }

    /// The bound that no finished segment's length, rounded to seconds, exceeds. Fixed once the first segment is
    /// finished; until then the segment size.
    pub fn segment_target(&self) -> Duration {
        self.segmenter.target().unwrap_or(self.options.segment)
    }

    /// The number that the next segment gets, and all discontinuities so far: where a stream that is made again under
    /// the same name goes on.
    pub fn next_numbers(&self) -> (u64, u64) {
        self.segmenter.next_numbers()
    }

    /// Discontinuities before the first listed segment, counted from the stream's beginning.
    pub fn discontinuity_sequence(&self) -> u64 {
        self.segmenter.discontinuities
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test's virtual time starts somewhere")]
mod tests;
