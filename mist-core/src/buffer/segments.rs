//! The stream's timeline in numbered segments, decided once, at write, for every segmented output.

use crate::media::TrackId;
use crate::time::{Duration, Timestamp};
use std::collections::VecDeque;

/// A finished segment of the stream's timeline: whole GOPs of the main track, joined up to the segment size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// The track that it follows: the main one, or the one that went on while that was silent.
    pub track: TrackId,
    /// Counts up by one from segment to segment, also over restarts of the source.
    pub number: u64,
    /// No packet of it is before. That is the first decoding time of its track, or earlier when the segment before was cut
    /// between packets lest it got too long.
    pub start: Timestamp,
    /// No packet of it is at this time or after.
    pub end: Timestamp,
    /// Wall clock of `start`, since 1970.
    pub unix: std::time::Duration,
    /// A player has to reset its decoders before it: a track changed, or the source started anew.
    pub discontinuity: bool,
    /// Its first packet of the main track is a keyframe.
    pub independent: bool,
}

impl Segment {
    /// Its length.
    pub fn duration(&self) -> Duration {
        self.end - self.start
    }
}

/// Wall-clock corrections a segment: slow, so that players don't see steps.
const MAX_SLEW: std::time::Duration = std::time::Duration::from_millis(20);
/// A wall clock that is off by more has been set, or the source paused.
const MAX_CLOCK_ERROR: std::time::Duration = std::time::Duration::from_secs(1);
/// Segments that a playlist needs even when the window is shorter.
pub(super) const MIN_LISTED: usize = 3;
/// A length that is longer than whole seconds by this still rounds down.
const ROUNDS_DOWN: Duration = Duration::from_millis(499);
/// Media that pauses for longer in an overlong segment makes a discontinuity rather than a segment without pictures.
const MAX_HOLE: Duration = Duration::from_secs(1);
/// The same in the first segment, which tells how long they all get: slow pictures are not a pause.
const MAX_FIRST_HOLE: Duration = Duration::from_secs(5);
/// Finished segments that are remembered at the most, whatever the window.
const MAX_SEGMENTS: usize = 20_000;

/// Rounded up, and not zero.
fn whole_seconds(d: Duration) -> Duration {
    Duration::from_secs((d.as_millis().saturating_add(999) / 1000).max(1))
}

#[derive(Debug, Clone, Copy)]
struct Open {
    track: TrackId,
    start: Timestamp,
    /// When its first packet came, by the wall clock.
    arrived: std::time::Duration,
    discontinuity: bool,
    independent: bool,
}

#[derive(Debug, Default)]
pub(super) struct Segmenter {
    open: Option<Open>,
    /// Cut, but other tracks have not come to their end yet.
    pub(super) pending: VecDeque<Segment>,
    /// Finished: listed ones and, before them, those that are only still served.
    pub(super) done: VecDeque<Segment>,
    /// How many of `done`, from its front, are no longer listed.
    pub(super) unlisted: usize,
    /// Shortest segment.
    pub(super) min: Duration,
    next_number: u64,
    first_number: u64,
    target: Option<Duration>,
    /// Discontinuities in segments that are no longer listed.
    pub(super) discontinuities: u64,
    discontinuity_pending: bool,
    /// The last segment's wall clock and length.
    clock: Option<(std::time::Duration, Duration)>,
}

impl Segmenter {
    pub(super) fn new(number: u64, discontinuities: u64, min: Duration) -> Self {
        Self { min, next_number: number, first_number: number, discontinuities, ..Self::default() }
    }

    /// What a successor starts with: its first segment is a discontinuity, too.
    pub(super) fn next_numbers(&self) -> (u64, u64) {
        let listed = self.done.iter().skip(self.unlisted).chain(&self.pending);
        let more = listed.filter(|s| s.discontinuity).count() as u64;
        (self.next_number, self.discontinuities + more + 1)
    }

    /// The longest a segment may get, once it is known.
    pub(super) fn target(&self) -> Option<Duration> {
        self.target
    }

    /// A segment that starts at or after the next cut can't be decoded with what was before.
    pub(super) fn mark_discontinuity(&mut self) {
        // Before anything was cut there is nothing to differ from.
        if self.open.is_some() || self.next_number > self.first_number {
            self.discontinuity_pending = true;
        }
    }

    /// Where the segment that is being filled starts.
    pub(super) fn open_start(&self) -> Option<Timestamp> {
        self.open.map(|o| o.start)
    }

    /// The longest a segment may get, or what it will be at least.
    pub(super) fn least_target(&self) -> Duration {
        self.target.unwrap_or_else(|| whole_seconds(self.min))
    }

    /// Whether a group that starts at `at` should start a segment; `group` is how long the one before was.
    pub(super) fn wants_cut(&self, at: Timestamp, key: bool, group: Duration) -> bool {
        let Some(o) = self.open else { return true };
        // A segment without a keyframe at its start is left as soon as there is one, and none is begun that would have to be
        // cut before the next one.
        let too_long = self.latest_end().is_some_and(|end| at > o.start && at + group > end);
        at >= o.start
            && (self.discontinuity_pending
                || (key && (too_long || !o.independent))
                || at - o.start >= self.min.min(self.least_target()))
    }

    /// Where the open segment has to end at the latest, lest its length rounds to more than the target.
    fn latest_end(&self) -> Option<Timestamp> {
        Some(self.open?.start + self.target? + ROUNDS_DOWN)
    }

    /// Whether the segment has to be cut before a packet at `at` although no keyframe has come.
    pub(super) fn must_cut(&self, at: Timestamp, media_end: Option<Timestamp>) -> bool {
        self.latest_end().is_some_and(|end| at >= end) || self.first_hole(at, media_end).is_some()
    }

    /// Where the media of the first segment ends, if it pauses there until `at`.
    fn first_hole(&self, at: Timestamp, media_end: Option<Timestamp>) -> Option<Timestamp> {
        let opened = self.open_start().filter(|_| self.target.is_none())?;
        media_end.filter(|m| *m > opened && at - *m > MAX_FIRST_HOLE)
    }

    /// Ends the segment that is being filled and starts the next one; returns where.
    ///
    /// That is at `at`, the time of the next packet of `track`, unless the segment would get too long: then it is between
    /// packets. A hole in the media after `media_end` belongs to no segment.
    pub(super) fn cut(
        &mut self,
        track: TrackId,
        at: Timestamp,
        media_end: Option<Timestamp>,
        independent: bool,
        unix: std::time::Duration,
    ) -> Timestamp {
        let mut start = at;
        match self.latest_end() {
            Some(end) if at > end && at - end <= MAX_HOLE => {
                start = end;
                self.close(end);
            }
            Some(end) if at > end => {
                let opened = self.open_start();
                let media_end = media_end.filter(|m| opened.is_some_and(|o| o < *m));
                self.close(media_end.map_or(end, |m| m.min(end)));
                self.discontinuity_pending = true;
            }
            _ => match self.first_hole(at, media_end) {
                Some(end) => {
                    self.close(end);
                    self.discontinuity_pending = true;
                }
                None => self.close(at),
            },
        }
        let discontinuity = std::mem::take(&mut self.discontinuity_pending);
        let arrived = unix.saturating_sub((at - start).to_std());
        self.open = Some(Open { track, start, arrived, discontinuity, independent });
        start
    }

    /// Ends the segment that is being filled; the next packet of the main track starts another.
    pub(super) fn close(&mut self, at: Timestamp) {
        let at = self.latest_end().map_or(at, |end| at.min(end));
        let Some(o) = self.open.take() else { return };
        if at <= o.start {
            self.discontinuity_pending |= o.discontinuity;
            return;
        }
        let unix = self.wall_clock(o.arrived);
        let s = Segment {
            track: o.track,
            number: self.next_number,
            start: o.start,
            end: at,
            unix,
            discontinuity: o.discontinuity,
            independent: o.independent,
        };
        self.clock = Some((unix, s.duration()));
        self.next_number += 1;
        self.pending.push_back(s);
        if self.target.is_none() {
            // A source that stopped early, or a change of a track, may have cut this one short.
            self.target = Some(whole_seconds(s.duration().max(self.min)));
        }
    }

    /// Media time runs by the source's clock, the playlist's dates by ours: follow slowly, never ahead.
    fn wall_clock(&self, arrived: std::time::Duration) -> std::time::Duration {
        let Some((unix, length)) = self.clock else { return arrived };
        let due = unix + length.to_std();
        let error = due.abs_diff(arrived);
        if error > MAX_CLOCK_ERROR {
            arrived
        } else if due > arrived {
            arrived.max(due.saturating_sub(MAX_SLEW)).min(due)
        } else {
            due + error.min(MAX_SLEW)
        }
    }

    /// Moves the first pending segment to the finished ones.
    pub(super) fn finish_first(&mut self) {
        if let Some(s) = self.pending.pop_front() {
            self.done.push_back(s);
        }
    }

    /// Takes segments off the list that end before `listed_from`, and forgets those before `kept_from`.
    pub(super) fn evict(&mut self, listed_from: Timestamp, kept_from: Timestamp) {
        while let Some(s) = self.done.get(self.unlisted) {
            if self.done.len() - self.unlisted <= MIN_LISTED
                || (s.end > listed_from && self.done.len() - self.unlisted <= MAX_SEGMENTS)
            {
                break;
            }
            self.discontinuities += u64::from(s.discontinuity);
            self.unlisted += 1;
        }
        while self.unlisted > 0
            && (self.done.len() > 2 * MAX_SEGMENTS || self.done.front().is_some_and(|s| s.end <= kept_from))
        {
            self.done.pop_front();
            self.unlisted -= 1;
        }
    }

    /// Forgets all segments; numbers go on.
    pub(super) fn clear(&mut self) {
        for s in self.done.iter().skip(self.unlisted).chain(&self.pending) {
            self.discontinuities += u64::from(s.discontinuity);
        }
        self.done.clear();
        self.pending.clear();
        self.unlisted = 0;
        self.open = None;
    }
}
