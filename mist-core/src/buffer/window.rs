//! What leaves the window, and what segments are made of.

use super::lane::Lane;
use super::{Gop, MAX_SKEW, Segment, StreamBuffer};
use crate::media::TrackId;
use crate::time::Timestamp;
use smallvec::SmallVec;
use std::sync::Arc;

impl StreamBuffer {
    /// Drops what is too old, and then whatever is oldest until the bounds hold.
    pub(super) fn evict(&mut self) {
        let Some(live) = self.live_dts() else { return };
        // Segments are behind, but not by more than this unless none is made.
        let behind = self.segmenter.least_target() + MAX_SKEW;
        let newest = self.segmenter.done.back().map_or(live, |s| s.end.max(live - behind));
        let listed_from = newest - self.options.window;
        // A segment is served for one more playlist length after it left the list (RFC 8216 §6.2.2).
        let kept_from = listed_from - self.options.window - self.segment_target();
        self.segmenter.evict(listed_from, kept_from);
        let from = self.segmenter.done.front().map_or(kept_from, |s| s.start.min(kept_from));
        for l in &mut self.lanes {
            while l.closed.front().is_some_and(|g| g.last_dts() < from) {
                if let Some(g) = l.drop_front() {
                    self.bytes = self.bytes.saturating_sub(g.cost());
                }
            }
        }
        self.evict_by_size();
    }

    fn evict_by_size(&mut self) {
        while self.bytes > self.options.limits.bytes {
            let oldest = self
                .lanes
                .iter_mut()
                .filter(|l| !l.closed.is_empty())
                .min_by_key(|l| l.first_dts().unwrap_or(Timestamp::MAX));
            let freed = match oldest.and_then(Lane::drop_front) {
                Some(g) => g.cost(),
                None => self.drop_open(),
            };
            if freed == 0 {
                break;
            }
            self.bytes = self.bytes.saturating_sub(freed);
        }
        // Segments that lost media are gone.
        let lanes = &self.lanes;
        let lost = |s: &Segment| {
            let lane = lanes.iter().find(|l| l.info.id == s.track);
            lane.is_none_or(|l| l.lost.is_some_and(|lost| lost >= s.start))
        };
        while self.segmenter.done.front().is_some_and(lost) {
            if let Some(s) = self.segmenter.done.pop_front() {
                if self.segmenter.unlisted > 0 {
                    self.segmenter.unlisted -= 1;
                } else {
                    self.segmenter.discontinuities += u64::from(s.discontinuity);
                }
            }
        }
    }

    /// A single open group holds more than the whole bound: it is given up.
    fn drop_open(&mut self) -> u64 {
        let Some(l) = self.lanes.iter_mut().max_by_key(|l| l.open_cost()) else { return 0 };
        let freed = l.open_cost();
        let last = l.last_dts;
        l.clear();
        l.last_dts = last;
        freed
    }

    /// Groups of a track that overlap `[from, to)`, for building a segment outside the lock. A finished segment's groups
    /// begin and end at its bounds, except where a track was too late for it.
    pub fn gops(&self, track: TrackId, from: Timestamp, to: Timestamp) -> SmallVec<[Arc<Gop>; 4]> {
        let Some(l) = self.lanes.iter().find(|l| l.info.id == track) else { return SmallVec::new() };
        let start = l.closed.partition_point(|g| g.packets.last().is_none_or(|p| p.dts < from));
        l.closed.range(start..).take_while(|g| g.start < to).cloned().collect()
    }
}
