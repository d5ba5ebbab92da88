//! What an output's configuration says about connections.

use super::pace::MAX_SPREAD_MS;
use mist_core::registry::{OptionDef, OptionKind};
use std::time::{Duration, Instant};

/// Option of every output that delivers a live stream as it comes.
pub static SPREAD: OptionDef = OptionDef {
    key: "spread",
    name: "Delivery spread (ms)",
    help: "How long a viewer's deliveries are gathered, in milliseconds: 0 is prompt, more costs the server less. \
           Prompt while the machine has room when not set.",
    flag: "--spread",
    kind: OptionKind::Number { min: 0, max: MAX_SPREAD_MS as i64 },
    default: "",
    required: false,
};

/// What an output's configuration says about its connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Terms {
    /// How long deliveries are gathered; `None` follows the load.
    pub spread: Option<Duration>,
    /// Bytes a second that a peer may send on average; `None` for no bound.
    pub max_rate: Option<u64>,
}

impl Terms {
    /// From an output's options. What is no number or out of range counts as not set: `--check` tells of it.
    pub fn read(options: &[(String, String)]) -> Self {
        let number =
            |key: &str| options.iter().find(|(k, _)| k == key).and_then(|(_, v)| v.parse::<u64>().ok());
        Self {
            spread: number("spread").filter(|ms| *ms <= u64::from(MAX_SPREAD_MS)).map(Duration::from_millis),
            // MistServer counts 1024 bits.
            max_rate: number("maxkbps").filter(|k| *k > 0).map(|k| k.saturating_mul(128)),
        }
    }
}

/// How long reading pauses once a peer is ahead of its rate.
const PAUSE: Duration = Duration::from_millis(50);
/// A connection's rate is not looked at before.
const SETTLE: Duration = Duration::from_secs(1);

/// Holds a peer to its rate by not reading, so that TCP slows it down.
#[derive(Debug)]
pub(super) struct Intake {
    rate: Option<u64>,
    since: Option<Instant>,
    bytes: u64,
    warned: bool,
    held: Option<Instant>,
}

impl Intake {
    pub(super) fn new(rate: Option<u64>) -> Self {
        Self { rate, since: None, bytes: 0, warned: false, held: None }
    }

    /// Counts what came.
    pub(super) fn took(&mut self, n: usize) {
        self.bytes = self.bytes.saturating_add(n as u64);
    }

    /// True once: the first time that it is held.
    pub(super) fn newly_held(&mut self) -> bool {
        self.held.is_some() && !std::mem::replace(&mut self.warned, true)
    }

    /// Until when nothing is read, if that is so.
    pub(super) fn held_until(&mut self, now: Instant) -> Option<Instant> {
        let rate = self.rate?;
        let elapsed = now.saturating_duration_since(*self.since.get_or_insert(now));
        if self.held.is_some_and(|t| t > now) {
            return self.held;
        }
        let due = u128::from(rate) * elapsed.as_millis() / 1000;
        self.held = (elapsed >= SETTLE && u128::from(self.bytes) > due).then(|| now + PAUSE);
        self.held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn options_are_read() {
        assert_eq!(Terms::read(&[]), Terms::default());
        let t = Terms::read(&options(&[("spread", "350"), ("maxkbps", "1000")]));
        assert_eq!(t, Terms { spread: Some(Duration::from_millis(350)), max_rate: Some(128_000) });
        let t = Terms::read(&options(&[("spread", "351"), ("maxkbps", "0")]));
        assert_eq!(t, Terms::default());
        assert_eq!(Terms::read(&options(&[("spread", "0")])).spread, Some(Duration::ZERO));
    }

    #[test]
    fn a_peer_is_held_to_its_rate() {
        let start = Instant::now();
        let mut i = Intake::new(Some(1000));
        let (mut now, mut taken, mut warnings) = (start, 0u64, 0);
        // It would send 10 kB every 10 ms.
        while now < start + Duration::from_secs(60) {
            match i.held_until(now) {
                Some(t) => {
                    assert!(t > now && t <= now + PAUSE);
                    warnings += u32::from(i.newly_held());
                    now = t;
                }
                None => {
                    i.took(100);
                    taken += 100;
                    now += Duration::from_millis(10);
                }
            }
        }
        assert!((55_000..=70_000).contains(&taken), "{taken}");
        assert_eq!(warnings, 1);
        // One below its rate is never held.
        let mut i = Intake::new(Some(1_000_000));
        for n in 0..1000 {
            assert_eq!(i.held_until(start + Duration::from_millis(n * 10)), None);
            i.took(100);
        }
    }
}
