//! One unit of media time everywhere, and the caller's clocks as a value.

use std::fmt;
use std::ops::{Add, AddAssign, Neg, Sub, SubAssign};

/// Ticks in a second: divides milliseconds, 90 kHz, every audio rate from 8 to 192 kHz, 44.1 kHz and its
/// multiples and the 1001-based frame rates exactly.
pub const TICKS_PER_SECOND: i64 = 705_600_000;

/// A point on a stream's timeline, in units of 1/705,600,000 s from the stream's zero.
///
/// `i64` spans ±414 years. Every clock that is coarser than the unit round-trips exactly, so no time base
/// is ever passed along with a value. Arithmetic saturates: a hostile timestamp can't overflow.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

/// A signed length of media time in the unit of [`Timestamp`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Duration(i64);

const fn saturate(v: i128) -> i64 {
    if v > i64::MAX as i128 {
        i64::MAX
    } else if v < i64::MIN as i128 {
        i64::MIN
    } else {
        v as i64
    }
}

const fn ticks_from_rate(v: i64, rate: u32) -> i64 {
    let rate = if rate == 0 { 1 } else { rate } as i128;
    let n = v as i128 * TICKS_PER_SECOND as i128;
    let half = if n >= 0 { rate / 2 } else { -(rate / 2) };
    saturate((n + half) / rate)
}

const fn ticks_to_rate(ticks: i64, rate: u32) -> i64 {
    let n = ticks as i128 * rate as i128;
    let half = (TICKS_PER_SECOND / 2) as i128;
    let half = if n >= 0 { half } else { -half };
    saturate((n + half) / TICKS_PER_SECOND as i128)
}

macro_rules! time_type {
    ($t:ident) => {
        impl $t {
            /// Zero.
            pub const ZERO: Self = Self(0);
            /// The largest value.
            pub const MAX: Self = Self(i64::MAX);
            /// The smallest value.
            pub const MIN: Self = Self(i64::MIN);

            /// From ticks of 1/705,600,000 s.
            pub const fn from_ticks(ticks: i64) -> Self {
                Self(ticks)
            }
            /// In ticks of 1/705,600,000 s.
            pub const fn ticks(self) -> i64 {
                self.0
            }
            /// From `v` units of a clock with `rate` units a second, rounded to the nearest tick. Rate 0 counts
            /// as 1.
            pub const fn from_rate(v: i64, rate: u32) -> Self {
                Self(ticks_from_rate(v, rate))
            }
            /// In units of a clock with `rate` units a second, rounded to the nearest, halves away from zero.
            pub const fn to_rate(self, rate: u32) -> i64 {
                ticks_to_rate(self.0, rate)
            }
            /// From milliseconds.
            pub const fn from_millis(ms: i64) -> Self {
                Self(ms.saturating_mul(TICKS_PER_SECOND / 1000))
            }
            /// In milliseconds, rounded to the nearest.
            pub const fn as_millis(self) -> i64 {
                ticks_to_rate(self.0, 1000)
            }
            /// From whole seconds.
            pub const fn from_secs(s: i64) -> Self {
                Self(s.saturating_mul(TICKS_PER_SECOND))
            }
            /// In seconds, for display and for playlists.
            pub fn as_secs_f64(self) -> f64 {
                self.0 as f64 / TICKS_PER_SECOND as f64
            }
        }

        impl fmt::Debug for $t {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:.6}s", self.as_secs_f64())
            }
        }
    };
}

time_type!(Timestamp);
time_type!(Duration);

impl Duration {
    /// The absolute value.
    pub const fn abs(self) -> Self {
        Self(self.0.saturating_abs())
    }

    /// As a `std` duration; negative values become zero.
    pub const fn to_std(self) -> std::time::Duration {
        if self.0 <= 0 {
            return std::time::Duration::ZERO;
        }
        let ns = self.0 as i128 * 1_000_000_000 / TICKS_PER_SECOND as i128;
        std::time::Duration::from_nanos(if ns > u64::MAX as i128 { u64::MAX } else { ns as u64 })
    }

    /// From a `std` duration, saturating.
    pub const fn from_std(d: std::time::Duration) -> Self {
        Self(saturate((d.as_nanos() as i128 * TICKS_PER_SECOND as i128 + 500_000_000) / 1_000_000_000))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, d: Duration) -> Self {
        Self(self.0.saturating_add(d.0))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;
    fn sub(self, d: Duration) -> Self {
        Self(self.0.saturating_sub(d.0))
    }
}

impl Sub for Timestamp {
    type Output = Duration;
    fn sub(self, o: Self) -> Duration {
        Duration(self.0.saturating_sub(o.0))
    }
}

impl AddAssign<Duration> for Timestamp {
    fn add_assign(&mut self, d: Duration) {
        *self = *self + d;
    }
}

impl Add for Duration {
    type Output = Self;
    fn add(self, o: Self) -> Self {
        Self(self.0.saturating_add(o.0))
    }
}

impl Sub for Duration {
    type Output = Self;
    fn sub(self, o: Self) -> Self {
        Self(self.0.saturating_sub(o.0))
    }
}

impl Neg for Duration {
    type Output = Self;
    fn neg(self) -> Self {
        Self(self.0.saturating_neg())
    }
}

impl AddAssign for Duration {
    fn add_assign(&mut self, o: Self) {
        *self = *self + o;
    }
}

impl SubAssign for Duration {
    fn sub_assign(&mut self, o: Self) {
        *self = *self - o;
    }
}

/// The caller's clocks at one moment, made by whoever drives a state machine and passed in.
///
/// `instant` is monotonic and drives every time-out; `unix` is the wall clock and is only shown to people
/// and players.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Monotonic clock.
    pub instant: std::time::Instant,
    /// Time since 1970-01-01 UTC.
    pub unix: std::time::Duration,
}

/// Unwraps a counter of fewer than 64 bits to the value nearest to the one before it.
///
/// Serves the 32-bit millisecond clock of RTMP and FLV and the 33-bit 90 kHz clock of MPEG-TS, forwards and
/// backwards over the wrap.
#[derive(Clone, Copy, Debug)]
pub struct Unwrap {
    bits: u32,
    last: Option<i64>,
}

impl Unwrap {
    /// For a counter that is `bits` wide (1 to 62).
    pub const fn new(bits: u32) -> Self {
        Self { bits: if bits == 0 || bits > 62 { 62 } else { bits }, last: None }
    }

    /// The unwrapped value of `raw`. The first value is taken as it is.
    pub fn unwrap(&mut self, raw: u64) -> i64 {
        let span = 1i64 << self.bits;
        let raw = (raw & (span as u64 - 1)) as i64;
        let v = match self.last {
            None => raw,
            Some(last) => {
                let delta = (raw - last).rem_euclid(span);
                let delta = if delta > span / 2 { delta - span } else { delta };
                last.saturating_add(delta)
            }
        };
        self.last = Some(v);
        v
    }

    /// Forgets the past: the next value is taken as it is.
    pub fn reset(&mut self) {
        self.last = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_for_media_clocks() {
        for r in [
            1000u32, 8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 88200, 90000, 96000,
            192_000, 24, 25, 30, 50, 60, 120,
        ] {
            assert_eq!(TICKS_PER_SECOND % i64::from(r), 0, "{r}");
        }
        for (n, d) in [(24000i64, 1001i64), (30000, 1001), (60000, 1001)] {
            assert_eq!(TICKS_PER_SECOND * d % n, 0);
        }
    }

    #[test]
    fn round_trips_every_coarser_clock() {
        for r in [1000u32, 90_000, 1_000_000, 10_000_000, 44100, 27_000_000, 600, 15360, 12800, 99_999_989] {
            for v in (0..50_000i64).chain([i64::from(i32::MAX), 1 << 40, -5, -12345]) {
                let ticks = i128::from(v) * i128::from(TICKS_PER_SECOND) / i128::from(r);
                if ticks.abs() > i128::from(i64::MAX) {
                    continue;
                }
                assert_eq!(Timestamp::from_rate(v, r).to_rate(r), v, "{v}@{r}");
            }
        }
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Timestamp::MAX + Duration::from_ticks(1), Timestamp::MAX);
        assert_eq!(Timestamp::MIN - Timestamp::MAX, Duration::MIN);
        assert_eq!(Timestamp::from_rate(i64::MAX, 1), Timestamp::MAX);
        assert_eq!(Duration::MIN.abs(), Duration::MAX);
        assert_eq!(Timestamp::from_rate(5, 0), Timestamp::from_secs(5));
    }

    #[test]
    fn std_durations_convert() {
        let d = std::time::Duration::from_micros(41_708);
        assert_eq!(Duration::from_std(d).to_std().as_micros(), 41_708);
        assert_eq!(Duration::from_millis(-5).to_std(), std::time::Duration::ZERO);
    }

    #[test]
    fn unwraps_both_ways() {
        let mut u = Unwrap::new(32);
        assert_eq!(u.unwrap(0xFFFF_FFF0), 0xFFFF_FFF0);
        assert_eq!(u.unwrap(0x10), 0x1_0000_0010);
        assert_eq!(u.unwrap(0xFFFF_FFFF), 0xFFFF_FFFF);
        let mut u = Unwrap::new(33);
        assert_eq!(u.unwrap((1 << 33) - 1), (1 << 33) - 1);
        assert_eq!(u.unwrap(1), (1 << 33) + 1);
        let mut u = Unwrap::new(33);
        assert_eq!(u.unwrap(5), 5);
        assert_eq!(u.unwrap((1 << 33) - 5), -5);
    }
}
