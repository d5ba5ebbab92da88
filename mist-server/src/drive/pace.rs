//! Prompt while the machine has room, merging as it fills, so that viewers are never lost to load.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// The most that wake-ups are spread.
pub(super) const MAX_SPREAD_MS: u32 = 350;
/// How often the load is looked at.
const INTERVAL: Duration = Duration::from_millis(500);
/// Above this share of all cores wake-ups are spread more, below the other less.
const BUSY: f64 = 0.70;
const CALM: f64 = 0.45;
/// A step of spreading.
const STEP_MS: u32 = 50;

/// How long a viewer waits between two deliveries.
#[derive(Debug, Default)]
pub struct Pace {
    spread_ms: AtomicU32,
}

fn cpu_time() -> Option<Duration> {
    // utime and stime of /proc/self/stat count in 1/100 s on every Linux that exists; the read is cheap.
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = stat.rsplit(')').next()?.split_ascii_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(Duration::from_millis(next()?.saturating_add(next()?).saturating_mul(10)))
}

impl Pace {
    /// How long to wait after a delivery before the next; zero is prompt. What is configured goes before what the load
    /// suggests.
    pub fn spread(&self, configured: Option<Duration>) -> Duration {
        configured.unwrap_or_else(|| Duration::from_millis(u64::from(self.spread_ms.load(Relaxed))))
    }

    /// Follows the load, for ever.
    pub async fn run(&self) {
        let cores = std::thread::available_parallelism().map_or(1.0, |n| n.get() as f64);
        let (mut cpu, mut at) = (cpu_time(), Instant::now());
        loop {
            tokio::time::sleep(INTERVAL).await;
            let (c, t) = (cpu_time(), Instant::now());
            // Without a reading, say for want of descriptors, things stay as they are.
            if let (Some(was), Some(is)) = (cpu, c) {
                let used = is.saturating_sub(was).as_secs_f64() / (t - at).as_secs_f64().max(0.001) / cores;
                self.adapt(used);
            }
            (cpu, at) = (c, t);
        }
    }

    fn adapt(&self, used: f64) {
        let now = self.spread_ms.load(Relaxed);
        let next = if used > BUSY {
            (now + STEP_MS).min(MAX_SPREAD_MS)
        } else if used < CALM {
            now.saturating_sub(STEP_MS)
        } else {
            now
        };
        self.spread_ms.store(next, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads_under_load_and_returns() {
        let p = Pace::default();
        p.adapt(0.1);
        assert_eq!(p.spread(None), Duration::ZERO);
        for _ in 0..20 {
            p.adapt(0.9);
        }
        assert_eq!(p.spread(None).as_millis(), u128::from(MAX_SPREAD_MS));
        let fixed = Duration::from_millis(100);
        assert_eq!(p.spread(Some(fixed)), fixed);
        p.adapt(0.6);
        assert_eq!(p.spread(None).as_millis(), u128::from(MAX_SPREAD_MS));
        for _ in 0..7 {
            p.adapt(0.2);
        }
        assert_eq!(p.spread(None), Duration::ZERO);
    }
}
