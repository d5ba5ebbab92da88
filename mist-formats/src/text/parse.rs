//! Lines of times, and what is around them.

use mist_core::time::{Duration, Timestamp};

/// The most digits of a number in a time.
const DIGITS: usize = 9;

/// A line of times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Timing<'a> {
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    /// What follows the second time.
    pub(super) rest: &'a str,
}

/// Reads `00:00:01,000 --> 00:00:02,000`, with comma or point, with or without hours, and what follows it.
///
/// More is read than the standards allow, as players do: any number of digits, no fraction, seconds alone. A
/// fraction of fewer than 3 digits counts milliseconds, what comes behind the third is dropped.
pub(super) fn timing(line: &str) -> Option<Timing<'_>> {
    let (from, to) = line.split_once("-->")?;
    let start = time(from.trim())?;
    let to = to.trim_start();
    let (end, rest) = to.split_at_checked(to.find([' ', '\t']).unwrap_or(to.len()))?;
    Some(Timing { start, end: time(end)?, rest: rest.trim() })
}

/// One time: `[-][[h:]m:]s[.,f]`.
pub(super) fn time(s: &str) -> Option<Timestamp> {
    let (s, negative) = s.strip_prefix('-').map_or((s, false), |s| (s, true));
    let (whole, fraction) = s.split_once(['.', ',']).unwrap_or((s, ""));
    let number = |s: &str| {
        (!s.is_empty() && s.len() <= DIGITS && s.bytes().all(|b| b.is_ascii_digit()))
            .then(|| s.parse::<i64>().ok())
            .flatten()
    };
    let mut seconds = 0i64;
    let mut parts = 0;
    for part in whole.split(':') {
        seconds = seconds.checked_mul(60)?.checked_add(number(part)?)?;
        parts += 1;
    }
    let ms = if fraction.is_empty() && s.len() == whole.len() {
        0
    } else {
        number(fraction)?;
        number(fraction.get(..3).unwrap_or(fraction))?
    };
    let ms = seconds.checked_mul(1000)?.checked_add(ms)?;
    (parts <= 3).then(|| Timestamp::from_millis(if negative { -ms } else { ms }))
}

/// A line of nothing but digits, as SubRip numbers cues.
pub(super) fn is_number(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && line.bytes().all(|b| b.is_ascii_digit())
}

/// What is added to the times of a WebVTT segment of HLS: `X-TIMESTAMP-MAP=LOCAL:…,MPEGTS:…` (RFC 8216 §3.5).
pub(super) fn timestamp_map(line: &str) -> Option<Duration> {
    let map = line.strip_prefix("X-TIMESTAMP-MAP=")?;
    let (mut local, mut mpegts) = (None, None);
    for part in map.split(',') {
        if let Some(v) = part.trim().strip_prefix("LOCAL:") {
            local = time(v.trim());
        } else if let Some(v) = part.trim().strip_prefix("MPEGTS:") {
            mpegts = v.trim().parse::<u64>().ok().filter(|v| *v < 1 << 40);
        }
    }
    Some(Timestamp::from_rate(mpegts? as i64, 90_000) - local?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (s, ms) in [
            ("00:00:01,234", Some(1234)),
            ("1:02:03.004", Some(3_723_004)),
            ("02:03.004", Some(123_004)),
            ("3.004", Some(3004)),
            ("00:00", Some(0)),
            ("00:00:08,90", Some(8090)),
            ("00:00:03,4560", Some(3456)),
            ("-0:00:04,567", Some(-4567)),
            ("123:44.000", Some(7_424_000)),
            ("12345:00:24.000", Some(44_442_024_000)),
            ("0.0.0", None),
            ("1:2:3:4.000", None),
            ("", None),
            ("1:.000", None),
            ("00:00:01,", None),
            ("0000000001:00:00.000", None),
            ("00:00:0x.000", None),
        ] {
            assert_eq!(time(s).map(Timestamp::as_millis), ms, "{s}");
        }
    }

    #[test]
    fn lines_of_times() {
        let t = timing(" 00:01.000\t--> \t00:02.000 line:0 x").unwrap();
        assert_eq!((t.start.as_millis(), t.end.as_millis(), t.rest), (1000, 2000, "line:0 x"));
        assert!(timing("00:01.000-->00:02.000").is_some());
        assert!(timing("00:01.000 --> soon").is_none() && timing("a --> b").is_none());
        assert_eq!(timestamp_map("X-TIMESTAMP-MAP=LOCAL:00:00:10.000,MPEGTS:900000"), Some(Duration::ZERO));
        assert_eq!(
            timestamp_map("X-TIMESTAMP-MAP=MPEGTS:1800000, LOCAL:00:00.000"),
            Some(Duration::from_millis(20_000))
        );
        assert_eq!(timestamp_map("X-TIMESTAMP-MAP=MPEGTS:18446744073709551615,LOCAL:0"), None);
        assert!(is_number(" 12 ") && !is_number("") && !is_number("1a"));
    }
}
