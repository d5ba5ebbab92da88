//! What is counted and checked of each track, in constant memory.

use crate::problem::{Problem, Sort};
use mist_core::media::{Kind, Packet, TrackInfo};
use mist_core::time::{Duration, Timestamp};
use std::sync::Arc;

/// The shortest hole that is called a gap.
const MIN_GAP: Duration = Duration::from_secs(1);
/// How many times the average distance of packets a hole is at least.
const GAP_DISTANCES: i64 = 4;

/// Lengths of closed GOPs: shortest, sum, longest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gops {
    /// How many.
    pub(crate) count: u64,
    /// Shortest.
    pub(crate) min: Duration,
    /// Sum.
    total: Duration,
    /// Longest.
    pub(crate) max: Duration,
    /// Packets in all of them.
    packets: u64,
}

impl Gops {
    /// Average length.
    pub(crate) fn average(&self) -> Duration {
        Duration::from_ticks(self.total.ticks() / i64::try_from(self.count.max(1)).unwrap_or(i64::MAX))
    }

    /// Packets on average.
    pub(crate) fn packets(&self) -> f64 {
        self.packets as f64 / self.count.max(1) as f64
    }
}

/// Times of the first and last packet in the order of the source, and the smallest and largest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) first_pts: Timestamp,
    pub(crate) last_pts: Timestamp,
    pub(crate) min_pts: Timestamp,
    pub(crate) max_pts: Timestamp,
    pub(crate) first_dts: Timestamp,
    pub(crate) last_dts: Timestamp,
    /// Of the last packet, zero where the container has none.
    last_duration: Duration,
    /// Sum of all steps from one decoding time to the next but those that go back: what was played, also where the
    /// clock starts anew.
    covered: Duration,
    /// How many steps that were.
    steps: u64,
}

/// One track.
#[derive(Debug)]
pub(crate) struct Track {
    /// Its last description.
    pub(crate) info: Arc<TrackInfo>,
    /// How often its description changed.
    pub(crate) changes: u64,
    pub(crate) packets: u64,
    pub(crate) keyframes: u64,
    pub(crate) bytes: u64,
    /// None without packets.
    pub(crate) times: Option<Times>,
    /// None without two keyframes.
    pub(crate) gops: Option<Gops>,
    /// Pictures are shown in another order than decoded.
    pub(crate) reordered: bool,
    /// The last keyframe's time, and the packets counted before it.
    key: Option<(Timestamp, u64)>,
}

impl Track {
    /// Without packets.
    pub(crate) fn new(info: Arc<TrackInfo>) -> Self {
        Self {
            info,
            changes: 0,
            packets: 0,
            keyframes: 0,
            bytes: 0,
            times: None,
            gops: None,
            reordered: false,
            key: None,
        }
    }

    /// Average distance of packets by decoding time; zero where unknown.
    fn distance(&self) -> Duration {
        let Some(t) = self.times else { return Duration::ZERO };
        Duration::from_ticks(t.covered.ticks() / i64::try_from(t.steps.max(1)).unwrap_or(i64::MAX))
    }

    /// How long the last packet is shown, as far as that is known.
    fn last_duration(&self) -> Duration {
        self.times.map(|t| t.last_duration).filter(|d| *d > Duration::ZERO).unwrap_or_else(|| self.distance())
    }

    /// When the first packet is shown, and when the last one ends.
    pub(crate) fn span(&self) -> Option<(Timestamp, Timestamp)> {
        let t = self.times?;
        Some((t.min_pts, t.max_pts + self.last_duration()))
    }

    /// Bits a second on average.
    pub(crate) fn bit_rate(&self) -> Option<f64> {
        let seconds = (self.times?.covered + self.last_duration()).as_secs_f64();
        (seconds > 0.0).then(|| self.bytes as f64 * 8.0 / seconds)
    }

    /// Packets a second as measured.
    pub(crate) fn packet_rate(&self) -> Option<f64> {
        let seconds = self.distance().as_secs_f64();
        (seconds > 0.0).then(|| 1.0 / seconds)
    }

    /// Counts a packet and says what is wrong with it. `start`: the source was read from its start.
    pub(crate) fn packet(&mut self, p: &Packet, start: bool, mut problem: impl FnMut(Problem)) {
        let kind = self.info.codec.kind();
        let mut say = |sort, message: String| {
            let (track, time) = (Some(p.track), Some(p.dts));
            problem(Problem { sort, offset: None, track, time, message });
        };
        if let Some(t) = self.times {
            let step = p.dts - t.last_dts;
            if step < Duration::ZERO {
                let back = -step.as_secs_f64();
                say(Sort::TimeBack, format!("decoding times go back by {back:.3} s: players stall or jump"));
            } else if matches!(kind, Kind::Video | Kind::Audio) {
                let hole = step - t.last_duration;
                let usual = self.distance().ticks().saturating_mul(GAP_DISTANCES);
                if hole > MIN_GAP && self.packets > 1 && step.ticks() > usual {
                    let seconds = step.as_secs_f64();
                    say(
                        Sort::Gap,
                        format!("nothing for {seconds:.3} s: players wait or show a still picture"),
                    );
                }
            }
        } else if start && kind == Kind::Video && !p.key {
            let message = "the first picture is no keyframe: players show nothing until one comes";
            say(Sort::NoKeyframeAtStart, message.to_owned());
        }
        if p.cts < Duration::ZERO {
            let late = -p.cts.as_secs_f64();
            say(Sort::PtsBeforeDts, format!("shown {late:.3} s before it can be decoded: players drop it"));
        }
        self.count(p);
    }

    fn count(&mut self, p: &Packet) {
        if p.key {
            self.keyframes += 1;
            let before = self.key.replace((p.dts, self.packets));
            // What lies around a clock that starts anew is no GOP.
            if let Some((time, packets)) = before.filter(|(time, _)| p.dts >= *time) {
                let len = p.dts - time;
                let g = self.gops.get_or_insert(Gops {
                    count: 0,
                    min: len,
                    total: Duration::ZERO,
                    max: len,
                    packets: 0,
                });
                g.count += 1;
                g.min = g.min.min(len);
                g.max = g.max.max(len);
                g.total += len;
                g.packets += self.packets - packets;
            }
        }
        self.packets += 1;
        self.bytes += p.data.len() as u64;
        let pts = p.pts();
        let t = self.times.get_or_insert(Times {
            first_pts: pts,
            last_pts: pts,
            min_pts: pts,
            max_pts: pts,
            first_dts: p.dts,
            last_dts: p.dts,
            last_duration: p.duration,
            covered: Duration::ZERO,
            steps: 0,
        });
        if p.dts >= t.last_dts && self.packets > 1 {
            t.covered += p.dts - t.last_dts;
            t.steps += 1;
        }
        self.reordered |= pts < t.last_pts && self.info.codec.kind() == Kind::Video && p.dts >= t.last_dts;
        t.last_pts = pts;
        t.min_pts = t.min_pts.min(pts);
        t.max_pts = t.max_pts.max(pts);
        t.last_dts = p.dts;
        t.last_duration = p.duration;
    }
}
