//! Reading: a cursor is a place in each track, never a queue.

use super::lane::Lane;
use super::{Read, StreamBuffer};
use crate::media::Kind;
use crate::media::{Media, Packet, TrackId, TrackInfo};
use crate::time::Timestamp;
use smallvec::SmallVec;
use std::sync::Arc;

/// A read ends with the packet that makes it as large as this.
pub const READ_BYTES: usize = 1 << 20;

#[derive(Debug, Clone)]
struct Head {
    track: TrackId,
    /// Index into the buffer's lanes, which never move while their track lives.
    lane: usize,
    gop: u64,
    index: usize,
    /// The description that the reader has been given.
    seen: Option<Arc<TrackInfo>>,
}

/// A reader's place in a [`StreamBuffer`]. Cheap to make and to keep: a slow reader is only an old cursor.
#[derive(Debug, Clone, Default)]
pub struct Cursor {
    heads: SmallVec<[Head; 2]>,
    /// Times that it fell out of the window.
    skipped: u64,
}

impl Cursor {
    /// Times that the reader fell out of the window and went on at a later keyframe.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// The tracks that it reads.
    pub fn tracks(&self) -> impl Iterator<Item = TrackId> {
        self.heads.iter().map(|h| h.track)
    }
}

impl Head {
    /// The packet that it points at, with the description that holds for it; moves over the ends of groups.
    fn peek<'b>(&mut self, lane: &'b Lane) -> Option<(&'b Packet, &'b Arc<TrackInfo>)> {
        loop {
            if self.gop >= lane.open_seq() {
                return lane.open.get(self.index).map(|p| (p, &lane.open_info));
            }
            let g = lane.gop(self.gop)?;
            match g.packets.get(self.index) {
                Some(p) => return Some((p, &g.info)),
                None => {
                    // A group that was split while it was open keeps our place in the next one.
                    self.index -= g.packets.len();
                    self.gop += 1;
                }
            }
        }
    }

    /// Puts it at the first packet at or after `at`.
    fn place(&mut self, lane: &Lane, at: Timestamp) {
        let i = lane.closed.partition_point(|g| g.end <= at);
        match lane.closed.get(i) {
            Some(g) => {
                self.gop = g.seq;
                self.index = g.packets.partition_point(|p| p.dts < at);
            }
            None => {
                self.gop = lane.open_seq();
                self.index = lane.open.partition_point(|p| p.dts < at);
            }
        }
    }
}

impl StreamBuffer {
    fn lane_of(&self, h: &Head) -> Option<&Lane> {
        self.lanes.get(h.lane).filter(|l| l.info.id == h.track)
    }

    /// The lane of a head. One whose track went away and came again in another lane is made anew.
    fn find_lane(&self, h: &mut Head) -> Option<&Lane> {
        if self.lane_of(h).is_none() {
            *h = self.new_head(h.track)?;
        }
        self.lane_of(h)
    }

    fn new_head(&self, track: TrackId) -> Option<Head> {
        let lane = self.lanes.iter().position(|l| l.info.id == track)?;
        Some(Head { track, lane, gop: 0, index: 0, seen: None })
    }

    /// Where a reader that wants to be live starts: the newest keyframe of the main one of `tracks`.
    fn live_start(&self, heads: &[Head]) -> Option<Timestamp> {
        let lane = self.main_of(heads)?;
        if lane.open.first().is_some_and(|p| p.key) {
            return lane.open.first().map(|p| p.dts);
        }
        lane.closed
            .iter()
            .rev()
            .find(|g| g.packets.first().is_some_and(|p| p.key))
            .map(|g| g.start)
            .or(lane.last_dts)
    }

    fn main_of(&self, heads: &[Head]) -> Option<&Lane> {
        heads.iter().filter_map(|h| self.lane_of(h)).min_by_key(|l| (l.kind(), l.info.id))
    }

    /// A cursor over `tracks` that starts at the newest keyframe.
    pub fn cursor(&self, tracks: impl IntoIterator<Item = TrackId>) -> Cursor {
        let mut c =
            Cursor { heads: tracks.into_iter().filter_map(|t| self.new_head(t)).collect(), skipped: 0 };
        self.go_live(&mut c);
        c
    }

    /// Moves a cursor to the newest keyframe.
    pub fn go_live(&self, c: &mut Cursor) {
        for h in &mut c.heads {
            self.find_lane(h);
        }
        let at = self.live_start(&c.heads);
        for h in &mut c.heads {
            let Some(l) = self.find_lane(h) else { continue };
            match at {
                Some(at) => h.place(l, at),
                None => (h.gop, h.index) = (l.open_seq(), 0),
            }
        }
    }

    /// Moves a cursor to the newest keyframe at or before `to`, or to the oldest one there is, and returns its time.
    pub fn seek(&self, c: &mut Cursor, to: Timestamp) -> Option<Timestamp> {
        for h in &mut c.heads {
            self.find_lane(h);
        }
        let lane = self.main_of(&c.heads)?;
        let at = lane.keyframe_before(to).or_else(|| lane.first_dts())?;
        for h in &mut c.heads {
            if let Some(l) = self.lane_of(h) {
                h.place(l, at);
            }
        }
        Some(at)
    }

    /// Changes the tracks of a cursor: kept ones go on where they are, new ones join there, video at the keyframe before.
    pub fn retarget(&self, c: &mut Cursor, tracks: &[TrackId]) {
        let mut at = None;
        for h in &mut c.heads {
            if let Some(p) = self.lane_of(h).and_then(|l| h.peek(l).map(|(p, _)| p.dts).or(l.last_dts)) {
                at = Some(at.map_or(p, |a: Timestamp| a.min(p)));
            }
        }
        c.heads.retain(|h| tracks.contains(&h.track) && self.lane_of(h).is_some());
        for t in tracks {
            if c.heads.iter().any(|h| h.track == *t) {
                continue;
            }
            let Some(mut h) = self.new_head(*t) else { continue };
            if let (Some(at), Some(l)) = (at, self.lane_of(&h)) {
                let at = if l.kind() == Kind::Video { l.keyframe_before(at).unwrap_or(at) } else { at };
                h.place(l, at);
            }
            c.heads.push(h);
        }
        if at.is_none() {
            self.go_live(c);
        }
    }

    /// The descriptions of the cursor's tracks that the reader has not been given yet, before any packet: for outputs
    /// that say at their start what will come.
    pub fn announce(&self, c: &mut Cursor, out: &mut Vec<Media>) {
        for h in &mut c.heads {
            let Some(l) = self.lane_of(h) else { continue };
            let info = h.peek(l).map_or(&l.info, |(_, info)| info);
            if !h.seen.as_ref().is_some_and(|s| Arc::ptr_eq(s, info)) {
                h.seen = Some(info.clone());
                out.push(Media::Track(info.clone()));
            }
        }
    }

    /// Reads up to `max` packets, and no further than [`READ_BYTES`], in decoding order over all tracks of the cursor into
    /// `out`, with each track's description before its first packet and whenever it changes.
    pub fn read(&self, c: &mut Cursor, out: &mut Vec<Media>, max: usize) -> Read {
        let mut fell_out = false;
        for h in &mut c.heads {
            if let Some(l) = self.lane_of(h).filter(|l| h.gop < l.first) {
                fell_out |= !l.is_empty();
                // A track that is all gone has nothing to go on at: the others stay where they are.
                (h.gop, h.index) = (l.open_seq(), 0);
            }
        }
        if fell_out {
            self.go_live(c);
            c.skipped += 1;
            return Read::Lagged;
        }
        let (mut n, mut bytes) = (0, 0usize);
        while n < max && bytes < READ_BYTES {
            let mut best: Option<(usize, &Packet, &Arc<TrackInfo>)> = None;
            for (i, h) in c.heads.iter_mut().enumerate() {
                let Some(l) = self.lane_of(h) else { continue };
                if let Some((p, info)) = h.peek(l)
                    && best.is_none_or(|(_, b, _)| p.dts < b.dts)
                {
                    best = Some((i, p, info));
                }
            }
            let Some((i, p, info)) = best else { break };
            let Some(h) = c.heads.get_mut(i) else { break };
            if !h.seen.as_ref().is_some_and(|s| Arc::ptr_eq(s, info)) {
                h.seen = Some(info.clone());
                out.push(Media::Track(info.clone()));
            }
            h.index += 1;
            n += 1;
            bytes = bytes.saturating_add(p.data.len());
            out.push(Media::Packet(p.clone()));
        }
        if n > 0 {
            Read::Ready
        } else if self.ended {
            Read::Ended
        } else {
            Read::Empty
        }
    }
}
