//! Times of pictures that are evenly apart.

use mist_core::time::{TICKS_PER_SECOND, Timestamp};

/// How long a frame lasts: `units / scale` seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rate {
    pub(super) units: u64,
    pub(super) scale: u32,
}

impl Rate {
    /// Where nothing tells.
    pub(super) const DEFAULT: Self = Self { units: 1, scale: 25 };

    /// A rate that makes sense: from a frame in a hundred seconds to a thousand in one.
    pub(super) fn new(units: u64, scale: u32) -> Option<Self> {
        let sane = units > 0
            && u64::from(scale) <= units.saturating_mul(1000)
            && units <= u64::from(scale).saturating_mul(100);
        sane.then_some(Self { units, scale })
    }
}

/// Counts half frames.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    base: Timestamp,
    halves: u64,
    rate: Rate,
}

impl Clock {
    pub(super) const fn new() -> Self {
        Self { base: Timestamp::ZERO, halves: 0, rate: Rate::DEFAULT }
    }

    pub(super) fn now(&self) -> Timestamp {
        let n = i128::from(self.halves) * i128::from(self.rate.units) * i128::from(TICKS_PER_SECOND);
        let d = i128::from(self.rate.scale.max(1)) * 2;
        let ticks = i128::from(self.base.ticks()) + (n + d / 2) / d;
        Timestamp::from_ticks(i64::try_from(ticks).unwrap_or(i64::MAX))
    }

    pub(super) fn advance(&mut self, halves: u64) {
        self.halves = self.halves.saturating_add(halves);
    }

    pub(super) fn set(&mut self, to: Timestamp) {
        (self.base, self.halves) = (to, 0);
    }

    pub(super) fn at_rate(&mut self, rate: Rate) {
        if rate != self.rate {
            self.set(self.now());
            self.rate = rate;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_of_ntsc_is_exact() {
        let mut c = Clock::new();
        c.at_rate(Rate::new(1001, 30_000).unwrap());
        c.advance(2 * 30_000 * 60);
        assert_eq!(c.now(), Timestamp::from_secs(1001 * 60));
        c.at_rate(Rate::new(1, 50).unwrap());
        c.advance(1);
        assert_eq!(c.now(), Timestamp::from_millis(1001 * 60_000 + 10));
        assert!(Rate::new(0, 25).is_none() && Rate::new(1, 0).is_none() && Rate::new(1, 1001).is_none());
    }
}
