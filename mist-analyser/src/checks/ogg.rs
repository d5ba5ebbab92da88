//! What pages of Ogg say of the time (RFC 3533 §6).

use crate::problem::{Problem, Sort};
use mist_core::format::Node;

/// Logical streams that are followed at once.
const MAX_STREAMS: usize = 64;

/// What was seen of an Ogg file.
#[derive(Debug, Default)]
pub(crate) struct Ogg {
    /// Serial numbers with their last granule position.
    streams: Vec<(String, i64)>,
    found: Vec<Problem>,
}

impl Ogg {
    pub(super) fn node(&mut self, n: &Node) {
        if n.name != "page" {
            return;
        }
        let mut words = n.detail.split([' ', ',']).filter(|w| !w.is_empty());
        let (mut serial, mut granule, mut ends, mut first) = ("", None, None, false);
        let mut before = "";
        while let Some(w) = words.next() {
            match w {
                "stream" => serial = words.next().unwrap_or(""),
                "granule" => granule = words.next().and_then(|w| w.parse::<i64>().ok()),
                "first" => first = true,
                "packets" => ends = before.parse::<u64>().ok(),
                _ => {}
            }
            before = w;
        }
        let Some(granule) = granule else { return };
        let ends = ends.unwrap_or(0) > 0;
        if first {
            self.streams.retain(|s| s.0 != serial);
            if self.streams.len() < MAX_STREAMS {
                self.streams.push((serial.to_owned(), granule));
            }
            return;
        }
        let Some((_, last)) = self.streams.iter_mut().find(|s| s.0 == serial) else { return };
        let what = if granule >= 0 && granule < *last {
            format!("stream {serial}: the granule position goes back from {last} to {granule}")
        } else if granule < 0 && ends {
            format!("stream {serial}: packets end on this page, but it has no granule position")
        } else {
            *last = granule.max(*last);
            return;
        };
        *last = granule.max(0);
        self.found.push(Problem::new(Sort::OggGranule, &what).at(Some(n.offset)));
    }

    /// What was found since the last time.
    pub(super) fn take(&mut self) -> Vec<Problem> {
        std::mem::take(&mut self.found)
    }
}
