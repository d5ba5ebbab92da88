//! How far a long analysis is, on a terminal.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Nothing is shown before this, and then no more often than this.
const FIRST: Duration = Duration::from_millis(700);
const EACH: Duration = Duration::from_millis(150);
/// Characters of the bar.
const WIDTH: usize = 30;

/// A line that is written again and again.
pub(crate) struct Progress {
    enabled: bool,
    total: Option<u64>,
    start: Instant,
    next: Instant,
    shown: bool,
}

impl Progress {
    /// For a source of so many bytes, where standard error is a terminal and the report is not written there line by
    /// line.
    pub(crate) fn new(total: Option<u64>, quiet: bool) -> Self {
        let start = Instant::now();
        Self {
            enabled: !quiet && io::stderr().is_terminal(),
            total,
            start,
            next: start + FIRST,
            shown: false,
        }
    }

    /// The source is at this byte.
    pub(crate) fn at(&mut self, offset: u64) {
        if !self.enabled {
            return;
        }
        let now = Instant::now();
        if now < self.next {
            return;
        }
        self.next = now + EACH;
        self.shown = true;
        let line = line(offset, self.total, now - self.start);
        let _ = write!(io::stderr(), "\r{line}\x1b[K");
    }

    /// Takes the line away.
    pub(crate) fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

fn line(offset: u64, total: Option<u64>, passed: Duration) -> String {
    let mut s = String::new();
    if let Some(total) = total.filter(|t| *t > 0) {
        let part = (offset as f64 / total as f64).clamp(0.0, 1.0);
        let full = (part * WIDTH as f64) as usize;
        let _ = write!(s, "[{:<WIDTH$}] {:3.0} %  ", "=".repeat(full), part * 100.0);
    }
    let mb = offset as f64 / 1e6;
    let _ = write!(s, "{mb:.0} MB, {:.0} MB/s", mb / passed.as_secs_f64().max(0.001));
    s
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_and_how_fast() {
        let two = Duration::from_secs(2);
        assert_eq!(
            line(500_000_000, Some(1_000_000_000), two),
            format!("[{}{}]  50 %  500 MB, 250 MB/s", "=".repeat(15), " ".repeat(15))
        );
        assert_eq!(line(3_000_000, None, two), "3 MB, 2 MB/s");
        assert!(line(9, Some(3), two).contains("100 %"), "a file that grew");
    }
}
