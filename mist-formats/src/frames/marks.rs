//! Places that were passed while reading, for going back to them.

use super::limits;
use mist_core::time::{Duration, Timestamp};

/// Times and offsets of frames, at first one a second.
#[derive(Debug)]
pub(crate) struct Marks {
    list: Vec<(Timestamp, u64)>,
    step: Duration,
    /// What is read now isn't joined to what was read before.
    closed: bool,
}

impl Default for Marks {
    fn default() -> Self {
        Self { list: Vec::new(), step: Duration::from_secs(1), closed: false }
    }
}

impl Marks {
    /// Remembers a frame if it is time to.
    pub(crate) fn pass(&mut self, time: Timestamp, offset: u64) {
        if self.closed || self.list.last().is_some_and(|&(t, o)| time < t + self.step || offset <= o) {
            return;
        }
        if self.list.len() >= limits::MARKS {
            let mut n = 0;
            self.list.retain(|_| {
                n += 1;
                n % 2 == 1
            });
            self.step = self.step + self.step;
        }
        self.list.push((time, offset));
    }

    /// The last place at or before a time, or the first one of all.
    pub(crate) fn before(&self, to: Timestamp) -> Option<(Timestamp, u64)> {
        let n = self.list.partition_point(|m| m.0 <= to);
        self.list.get(n.saturating_sub(1)).copied()
    }

    pub(crate) fn first(&self) -> Option<(Timestamp, u64)> {
        self.list.first().copied()
    }

    pub(crate) fn last(&self) -> Option<(Timestamp, u64)> {
        self.list.last().copied()
    }

    /// From here on times are estimates: nothing more is remembered.
    pub(crate) fn close(&mut self) {
        self.closed = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_of_frames_stays_small() {
        let mut m = Marks::default();
        assert_eq!(m.before(Timestamp::ZERO), None);
        for i in 0..90_000u64 {
            m.pass(Timestamp::from_secs(i as i64), i * 10 + 5);
        }
        assert!(m.list.len() <= limits::MARKS && m.list.len() > limits::MARKS / 4);
        let (t, o) = m.before(Timestamp::from_secs(50_000)).unwrap();
        assert!(t <= Timestamp::from_secs(50_000) && t > Timestamp::from_secs(49_900));
        assert_eq!(o, (t.ticks() / Timestamp::from_secs(1).ticks()) as u64 * 10 + 5);
        assert_eq!(m.before(Timestamp::from_secs(-5)), Some((Timestamp::ZERO, 5)));
    }
}
