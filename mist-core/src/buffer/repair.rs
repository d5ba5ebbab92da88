//! Source time to stream time: one line for all tracks, repaired once, at write.
//!
//! What sources do, and what comes out of here:
//! - a packet goes back a little: it is put at the time of the one before, its presentation time is kept;
//! - one packet is stamped hours off: it is put where it was due, the line stays;
//! - the source's clock jumps for good: after [`CONFIRM`] packets that agree the line moves so that the stream
//!   goes on without a gap, and a discontinuity is reported;
//! - the source really paused: the gap is kept, because as much real time has passed;
//! - a source starts anew on a running stream: it goes on where the clock on the wall says, or on its own old
//!   line if it kept its clock.

use crate::time::{Duration, Now, Timestamp};
use std::time::Instant;

/// A step forward up to this is taken as it is.
const MAX_STEP: Duration = Duration::from_secs(5);
/// A step back up to this is jitter.
const MAX_BACK: Duration = Duration::from_secs(1);
/// How far tracks of one source may start apart.
const MAX_START_SKEW: Duration = Duration::from_secs(10);
/// How far a resuming source may be from the expected time to count as having kept its clock.
const MAX_RESUME_ERROR: Duration = Duration::from_secs(2);
/// Packets that must agree before the line moves.
const CONFIRM: u32 = 3;
/// The guess for one packet's length where none is known, and the most that is believed.
const MAX_NOMINAL: Duration = Duration::from_millis(100);

#[derive(Debug)]
struct Candidate {
    offset: Duration,
    count: u32,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    dts: Timestamp,
    at: Instant,
    step: Duration,
}

/// One track's part of the repair.
#[derive(Debug, Default)]
pub(super) struct TrackRepair {
    last: Option<Last>,
    /// Added for this track only: a source whose tracks have unrelated clocks.
    extra: Duration,
    /// Added to every composition offset, so that none is negative.
    cts_shift: Duration,
}

/// Counts of what was repaired, for health figures.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Repairs {
    /// Packets whose time went back.
    pub backward: u64,
    /// Packets that were off their line.
    pub outliers: u64,
    /// Times that the source's clock jumped for good.
    pub jumps: u64,
}

#[derive(Debug, Default)]
pub(super) struct Repair {
    offset: Option<Duration>,
    /// The offset of the source before, in case the next one kept its clock.
    old_offset: Option<Duration>,
    candidate: Option<Candidate>,
    /// Newest stream time and when it came.
    newest: Option<(Timestamp, Instant)>,
    pub(super) counts: Repairs,
}

/// Where a packet goes.
pub(super) struct Placed {
    pub(super) dts: Timestamp,
    pub(super) cts: Duration,
    /// The line moved with this packet.
    pub(super) jumped: bool,
}

impl Repair {
    /// A new source will write; what follows has a line of its own.
    pub(super) fn restart(&mut self) {
        self.old_offset = self.offset.take().or(self.old_offset);
        self.candidate = None;
    }

    fn begin(&mut self, src: Timestamp, now: Now) -> Duration {
        let Some((newest, at)) = self.newest else { return Duration::ZERO };
        let elapsed = Duration::from_std(now.instant.saturating_duration_since(at));
        let due = newest + elapsed;
        if let Some(old) = self.old_offset {
            let on_old = src + old;
            if on_old >= newest && (on_old - due).abs() <= MAX_RESUME_ERROR {
                return old;
            }
        }
        due - src
    }

    pub(super) fn place(&mut self, t: &mut TrackRepair, src: Timestamp, cts: Duration, now: Now) -> Placed {
        let offset = match self.offset {
            Some(o) => o,
            None => {
                let o = self.begin(src, now);
                self.offset = Some(o);
                o
            }
        };
        let src = src + t.extra;
        let mut jumped = false;
        let on_line = src + offset;
        let mut dts = match t.last {
            None => match self.newest {
                Some((newest, _)) if (on_line - newest).abs() > MAX_START_SKEW => {
                    t.extra += newest - on_line;
                    newest
                }
                _ => on_line,
            },
            Some(last) => {
                let elapsed = Duration::from_std(now.instant.saturating_duration_since(last.at));
                let fits = |x: Timestamp| {
                    let d = x - last.dts;
                    d >= -MAX_BACK && d <= MAX_STEP + elapsed
                };
                let nominal = last.step.min(MAX_NOMINAL);
                let on_candidate = self.candidate.as_ref().map(|c| src + c.offset);
                if fits(on_line) {
                    on_line
                } else if let Some(x) = on_candidate.filter(|x| fits(*x)) {
                    if let Some(c) = &mut self.candidate {
                        c.count += 1;
                        if c.count >= CONFIRM {
                            self.offset = Some(c.offset);
                            self.candidate = None;
                            self.counts.jumps += 1;
                            jumped = true;
                        }
                    }
                    x
                } else {
                    let x = last.dts + nominal;
                    self.candidate = Some(Candidate { offset: x - src, count: 1 });
                    self.counts.outliers += 1;
                    x
                }
            }
        };
        if (-cts) > t.cts_shift {
            // More than a second below is damage, not reordering.
            t.cts_shift = (-cts).min(MAX_BACK);
        }
        let mut cts = (cts + t.cts_shift).max(Duration::ZERO);
        if let Some(last) = t.last
            && dts < last.dts
        {
            cts = (cts - (last.dts - dts)).max(Duration::ZERO);
            dts = last.dts;
            self.counts.backward += 1;
        }
        let step = t.last.map_or(Duration::from_millis(40), |l| match dts - l.dts {
            d if d > Duration::ZERO => d,
            _ => l.step,
        });
        t.last = Some(Last { dts, at: now.instant, step });
        if self.newest.is_none_or(|(n, _)| dts > n) {
            self.newest = Some((dts, now.instant));
        }
        Placed { dts, cts, jumped }
    }
}

impl TrackRepair {
    /// A new source: its tracks relate to each other as it says.
    pub(super) fn restart(&mut self) {
        // A track goes on after what it already has, whatever the new source says.
        self.extra = Duration::ZERO;
        self.cts_shift = Duration::ZERO;
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test's virtual time starts somewhere")]
mod tests {
    use super::*;

    struct Rig {
        r: Repair,
        t: [TrackRepair; 2],
        start: Instant,
    }

    impl Rig {
        fn new() -> Self {
            Self { r: Repair::default(), t: Default::default(), start: Instant::now() }
        }
        /// Source and wall time in ms; gives the placed time in ms.
        fn put(&mut self, track: usize, src: i64, wall: i64) -> (i64, bool) {
            let now = Now {
                instant: self.start + std::time::Duration::from_millis(wall as u64),
                unix: std::time::Duration::ZERO,
            };
            let p = self.r.place(&mut self.t[track], Timestamp::from_millis(src), Duration::ZERO, now);
            (p.dts.as_millis(), p.jumped)
        }
        fn restart(&mut self) {
            self.r.restart();
            self.t.iter_mut().for_each(TrackRepair::restart);
        }
    }

    #[test]
    fn one_frame_hours_off_stays_on_the_line() {
        for off in [10_800_000, -10_800_000] {
            let mut r = Rig::new();
            let base = 20_000_000;
            for i in 0..50 {
                let src = base + i * 40 + if i == 20 { off } else { 0 };
                let (dts, jumped) = r.put(0, src, i * 40);
                assert!(!jumped);
                assert_eq!(dts, base + i * 40, "frame {i}, off {off}");
            }
            assert_eq!(r.r.counts.outliers, 1);
        }
    }

    #[test]
    fn a_permanent_jump_moves_the_line_for_all_tracks() {
        for jump in [7_200_000, -900_000] {
            let mut r = Rig::new();
            let (mut jumps, mut last) = (0, [0i64; 2]);
            for i in 0..200i64 {
                let j = if i >= 100 { jump } else { 0 };
                for (t, at) in [(0, i * 40), (1, i * 40 + 15)] {
                    let (dts, jumped) = r.put(t, 1_000_000 + at + j, at);
                    jumps += u32::from(jumped);
                    if i > 0 {
                        let d = dts - last[t];
                        assert!((0..=80).contains(&d), "step {d} of track {t} at {i}");
                    }
                    last[t] = dts;
                }
            }
            assert_eq!(jumps, 1);
            assert_eq!(last[1] - last[0], 15, "tracks keep their distance");
        }
    }

    #[test]
    fn a_real_pause_is_kept() {
        let mut r = Rig::new();
        assert_eq!(r.put(0, 0, 0).0, 0);
        assert_eq!(r.put(0, 40, 40).0, 40);
        assert_eq!(r.put(0, 60_040, 60_040).0, 60_040);
    }

    #[test]
    fn small_steps_back_are_clamped() {
        let mut r = Rig::new();
        let got: Vec<i64> =
            [0, 40, 80, 60, 120].iter().enumerate().map(|(i, s)| r.put(0, *s, i as i64 * 40).0).collect();
        assert_eq!(got, [0, 40, 80, 80, 120]);
        assert_eq!(r.r.counts.backward, 1);
    }

    #[test]
    fn a_new_source_goes_on_by_the_wall_clock_or_on_its_own_line() {
        let mut r = Rig::new();
        for i in 0..100 {
            r.put(0, 500_000 + i * 40, i * 40);
        }
        r.restart();
        let (dts, _) = r.put(0, 0, 10_000);
        assert_eq!(dts, 500_000 + 99 * 40 + (10_000 - 99 * 40));
        r.restart();
        let (dts, _) = r.put(0, 1_000, 11_100);
        assert_eq!(dts, 511_000, "kept its clock");
    }

    #[test]
    fn tracks_with_unrelated_clocks_start_together() {
        let mut r = Rig::new();
        assert_eq!(r.put(0, 5_000_000, 0).0, 5_000_000);
        assert_eq!(r.put(1, 3_000, 0).0, 5_000_000);
        assert_eq!(r.put(1, 3_023, 23).0, 5_000_023);
        let mut r = Rig::new();
        assert_eq!(r.put(1, 0, 0).0, 0);
        assert_eq!(r.put(0, 2_000, 0).0, 2_000, "audio two seconds early is kept");
    }

    #[test]
    fn negative_composition_offsets_shift_the_track() {
        let mut r = Repair::default();
        let mut t = TrackRepair::default();
        let start = Instant::now();
        let cts: Vec<i64> = [(0, 0), (40, -40), (80, 40), (120, -80), (160, 0)]
            .iter()
            .map(|(d, c)| {
                let now = Now { instant: start, unix: std::time::Duration::ZERO };
                r.place(&mut t, Timestamp::from_millis(*d), Duration::from_millis(*c), now).cts.as_millis()
            })
            .collect();
        assert_eq!(cts, [0, 0, 80, 0, 80]);
    }
}
