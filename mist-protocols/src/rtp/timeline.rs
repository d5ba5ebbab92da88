//! One time line for the tracks of a session, whose timestamps each begin at random and run by clocks of their own.

use super::rtcp::SenderReport;
use mist_core::time::{Duration, Timestamp, Unwrap};

/// What RTP-Info or a report may say off from where a track seems to begin.
const PLAUSIBLE: Duration = Duration::from_secs(10);

/// What the tracks of a session have in common.
#[derive(Debug, Clone, Copy, Default)]
pub struct Timeline {
    /// The latest time of any track.
    latest: Timestamp,
    /// Wall clock of the time line's zero, by the first track that told it.
    zero: Option<Timestamp>,
}

impl Timeline {
    /// Begins at 0.
    pub fn new() -> Self {
        Self::default()
    }
}

/// Times of one track.
#[derive(Debug, Clone)]
pub(super) struct Clock {
    rate: u32,
    unwrap: Unwrap,
    /// Timestamp that is the start of what is played, by RTP-Info.
    start: Option<u32>,
    report: Option<SenderReport>,
    /// A timestamp without wrap, and its time.
    anchor: Option<(i64, Timestamp)>,
}

impl Clock {
    pub(super) fn new(rate: u32) -> Self {
        Self { rate: rate.max(1), unwrap: Unwrap::new(32), start: None, report: None, anchor: None }
    }

    /// RTP-Info tells the timestamp of what is played first.
    pub(super) fn starts_at(&mut self, timestamp: u32) {
        self.start = Some(timestamp);
    }

    /// The sender counts anew.
    pub(super) fn restart(&mut self) {
        *self = Self::new(self.rate);
    }

    /// A timestamp without its wrap.
    pub(super) fn unwrap(&mut self, timestamp: u32, line: &mut Timeline) -> i64 {
        let t = self.unwrap.unwrap(timestamp.into());
        if self.anchor.is_none() {
            let at = self.first(timestamp, line);
            self.anchor = Some((t, at));
            self.tell_zero(line);
        }
        line.latest = line.latest.max(self.time(t));
        t
    }

    /// Where the first packet lies.
    fn first(&self, timestamp: u32, line: &Timeline) -> Timestamp {
        let since =
            |then: u32| Duration::from_rate(i64::from(timestamp.wrapping_sub(then) as i32), self.rate);
        if let Some(d) = self.start.map(since).filter(|d| d.abs() <= PLAUSIBLE) {
            return Timestamp::ZERO + d;
        }
        let report = self.report.and_then(|r| Some(r.wall_clock()? + since(r.timestamp)));
        if let (Some(wall), Some(zero)) = (report, line.zero) {
            let at = Timestamp::ZERO + (wall - zero);
            if (at - line.latest).abs() <= PLAUSIBLE {
                return at;
            }
        }
        line.latest
    }

    /// Time of a timestamp that [`Self::unwrap`] gave.
    pub(super) fn time(&self, t: i64) -> Timestamp {
        let (from, at) = self.anchor.unwrap_or_default();
        at + Duration::from_rate(t.saturating_sub(from), self.rate)
    }

    /// A report of the sender.
    pub(super) fn report(&mut self, report: SenderReport, line: &mut Timeline) {
        self.report = Some(report);
        if self.anchor.is_some() {
            self.tell_zero(line);
        }
    }

    fn tell_zero(&self, line: &mut Timeline) {
        if line.zero.is_some() {
            return;
        }
        let (Some((from, at)), Some(report)) = (self.anchor, self.report) else { return };
        let Some(wall) = report.wall_clock() else { return };
        // The report's timestamp, near the anchor's.
        let since = report.timestamp.wrapping_sub(from as u32) as i32;
        line.zero = Some(wall - Duration::from_rate(since.into(), self.rate) - (at - Timestamp::ZERO));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(ms: u64, timestamp: u32) -> SenderReport {
        let ntp = (5000 << 32) + (ms << 32) / 1000;
        SenderReport { ssrc: 0, ntp, timestamp, packets: 0, bytes: 0 }
    }

    fn first(clock: &mut Clock, t: u32, line: &mut Timeline) -> i64 {
        let t = clock.unwrap(t, line);
        clock.time(t).as_millis()
    }

    #[test]
    fn reports_align_tracks() {
        // Report before, and report behind the first packet of the first track.
        for before in [true, false] {
            let (mut line, mut video, mut audio) = (Timeline::new(), Clock::new(90_000), Clock::new(48_000));
            if before {
                video.report(report(0, 900), &mut line);
            }
            assert_eq!(first(&mut video, 900, &mut line), 0);
            if !before {
                video.report(report(40, 900 + 3600), &mut line);
            }
            audio.report(report(20, 4_294_967_000), &mut line);
            assert_eq!(first(&mut audio, 4_294_967_000u32.wrapping_add(480), &mut line), 30, "{before}");
            assert_eq!(first(&mut video, 900 + 9000, &mut line), 100);
        }
    }

    #[test]
    fn rtp_info_aligns_tracks_unless_it_lies() {
        let mut line = Timeline::new();
        let mut video = Clock::new(90_000);
        video.starts_at(u32::MAX - 899);
        assert_eq!(first(&mut video, 900, &mut line), 20);
        let mut audio = Clock::new(8000);
        audio.starts_at(5);
        assert_eq!(first(&mut audio, 3_000_000_000, &mut line), 20, "with the others");
        // Wall clocks that can't be.
        video.report(report(0, 900), &mut line);
        let mut other = Clock::new(8000);
        other.report(report(60_000, 0), &mut line);
        assert_eq!(first(&mut other, 0, &mut line), 20);
        let mut none = Clock::new(8000);
        none.report(SenderReport { ntp: 0, ..report(0, 0) }, &mut line);
        assert_eq!(first(&mut none, 0, &mut line), 20);
    }

    #[test]
    fn timestamps_wrap() {
        let (mut line, mut c) = (Timeline::new(), Clock::new(90_000));
        assert_eq!(first(&mut c, u32::MAX - 89, &mut line), 0);
        assert_eq!(first(&mut c, 0, &mut line), 1);
        assert_eq!(first(&mut c, u32::MAX - 89, &mut line), 0);
    }
}
