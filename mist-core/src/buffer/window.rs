//! What leaves the window, and what segments are made of.

use super::lane::Lane;
use super::{Gop, StreamBuffer};
use crate::media::TrackId;
use crate::time::Timestamp;
use smallvec::SmallVec;
use std::sync::Arc;

impl StreamBuffer {
    /// Drops what is too old, and then whatever is oldest until the bounds hold.
    pub(super) fn evict(&mut self) {
        let Some(newest) = self.segmenter.done.back().map(|s| s.end).or_else(|| self.live_dts()) else {
            return;
        };
        let listed_from = newest - self.options.window;
        // A segment is served for one more playlist length after it left the list (RFC 8216 §6.2.2).
        let kept_from = listed_from - self.options.window - self.segment_target();
        self.segmenter.evict(listed_from, kept_from);
        let oldest = self.segmenter.done.front().map_or(kept_from, |s| s.start.min(kept_from));
        let needed = self.segmenter.done.front().map_or(kept_from, |s| s.start);
        let from = if needed < kept_from { oldest } else { kept_from };
        for l in &mut self.lanes {
            while l.closed.front().is_some_and(|g| g.end <= from) {
                if let Some(g) = l.drop_front() {
                    self.bytes = self.bytes.saturating_sub(g.bytes);
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
                Some(g) => g.bytes,
                None => self.drop_open(),
            };
            if freed == 0 {
                break;
            }
            self.bytes = self.bytes.saturating_sub(freed);
        }
        // Segments that lost media are gone.
        let Some(first) = self.main_track().and_then(|t| self.first_dts(t)) else { return };
        while self.segmenter.done.front().is_some_and(|s| s.start < first) {
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
        let Some(l) = self.lanes.iter_mut().max_by_key(|l| l.open_bytes) else { return 0 };
        let freed = l.open_bytes;
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
