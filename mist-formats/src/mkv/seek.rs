//! Going to a time: by Cues, which SeekHead may have to find first; by what was seen; or by looking on from there.

use super::ID;
use super::cues::{self, Point};
use super::demux::{Demuxer, NANO, State};
use super::ebml::Head;
use super::schema::ids;
use mist_core::format::{ErrorKind, FormatError};
use mist_core::time::Timestamp;

/// What has to be where it was gone to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    /// Cues, to find this time.
    Cues(i64),
    /// Tracks; then back to the cluster at this offset.
    Tracks(u64),
    /// A cluster with a keyframe, or where a scan begins.
    Cluster,
}

/// Looking for the last keyframe at or before a time, without handing out anything.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scan {
    pub(super) to: i64,
    pub(super) best: Option<Point>,
}

/// Behind a seek: what is before this is left out.
#[derive(Debug, Clone)]
pub(super) struct Landing {
    /// Time of the keyframe on the segment's clock, in nanoseconds.
    pub(super) time: i64,
    /// Offset of its cluster; in later ones any keyframe will do.
    pub(super) cluster: u64,
    /// Tracks that haven't begun yet.
    pub(super) waiting: Vec<u64>,
}

impl Demuxer {
    pub(super) fn go(&mut self, to: u64, goal: Goal) {
        self.cluster = None;
        self.segment = self.last_segment;
        self.goal = Some(goal);
        self.ended = false;
        self.state = State::Goto(to);
    }

    /// Whether what was sought is where it should be; otherwise something else is done.
    pub(super) fn arrived(&mut self, goal: Goal, h: Head, at: u64) -> bool {
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
    pub(super) fn missed(&mut self, goal: Goal, at: u64) {
        self.vain = self.vain.saturating_add(1);
        match goal {
            Goal::Cues(to) => {
                self.problem(at, "Segment/SeekHead", ErrorKind::Missing("no Cues where they should be"));
                self.seek_head.cues = None;
                self.find(to);
            }
            Goal::Tracks(back) => {
                self.problem(at, "Segment/SeekHead", ErrorKind::Missing("no Tracks where they should be"));
                self.go(back, Goal::Cluster);
            }
            Goal::Cluster => {
                self.problem(at, "Segment/Cues", ErrorKind::Missing("no cluster where it should be"));
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
    pub(super) fn find(&mut self, to: i64) -> Option<Point> {
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

    pub(super) fn land(&mut self, p: Point) {
        self.scan = None;
        self.landing = Some(Landing {
            time: p.time,
            cluster: p.cluster,
            waiting: self.tracks.iter().map(|t| t.number).collect(),
        });
        self.go(p.cluster, Goal::Cluster);
    }

    pub(super) fn finish_scan(&mut self, scan: Scan) {
        match scan.best {
            Some(p) => self.land(p),
            None => {
                self.scan = None;
                self.state = State::Done;
            }
        }
    }

    /// Goes to the keyframe at or before a time. Where that isn't known before more was read, the time that was asked
    /// for is the answer, and the packets tell.
    pub(super) fn seek_to(&mut self, to: Timestamp) -> Result<Timestamp, FormatError> {
        let unsupported = FormatError {
            format: ID,
            offset: self.queue.offset(),
            path: "Segment",
            kind: ErrorKind::Unsupported("seeking before a cluster was read"),
        };
        let reference = self.tracks.iter().find(|t| Some(t.number) == self.reference);
        let (Some(delay), None, Some(_)) =
            (reference.map(|t| t.delay), self.found.error(), self.first_cluster)
        else {
            return Err(unsupported);
        };
        let time = to.to_rate(NANO).saturating_add(delay);
        self.found.seek();
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
}
