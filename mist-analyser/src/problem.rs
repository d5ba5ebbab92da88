//! What can be wrong, and how much of it is kept.

use mist_core::format::{ErrorKind, FormatError};
use mist_core::media::TrackId;
use mist_core::time::Timestamp;
use std::collections::BTreeMap;

/// Problems of one sort that are kept with their particulars; the rest is only counted.
pub(crate) const MAX_KEPT: usize = 100;

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    /// Media may play, but not everywhere or not well.
    Warning,
    /// Media is lost or breaks its standard.
    Error,
}

impl Severity {
    /// As the report has it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// The sorts of problems, with ids that don't change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sort {
    /// Nothing can be read at all.
    Unreadable,
    /// Bytes break the container's or codec's rules.
    Malformed,
    /// Legal, but not read.
    Unsupported,
    /// More of something than is read.
    Limit,
    /// The source ends inside a structure.
    Truncated,
    /// No track has a packet.
    NoMedia,
    /// Decoding times go back within a track.
    TimeBack,
    /// A hole between two packets of a track.
    Gap,
    /// A video track begins with a picture that nothing can decode.
    NoKeyframeAtStart,
    /// A picture is due before it can be decoded.
    PtsBeforeDts,
}

impl Sort {
    /// Its id.
    pub(crate) const fn id(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Malformed => "malformed",
            Self::Unsupported => "unsupported",
            Self::Limit => "limit",
            Self::Truncated => "truncated",
            Self::NoMedia => "no-media",
            Self::TimeBack => "time-back",
            Self::Gap => "gap",
            Self::NoKeyframeAtStart => "no-keyframe-at-start",
            Self::PtsBeforeDts => "pts-before-dts",
        }
    }

    /// How bad it is.
    pub(crate) const fn severity(self) -> Severity {
        match self {
            Self::Unsupported | Self::Limit | Self::Gap | Self::NoKeyframeAtStart => Severity::Warning,
            _ => Severity::Error,
        }
    }
}

/// One of them.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    pub(crate) sort: Sort,
    /// Byte in the source, where it is known.
    pub(crate) offset: Option<u64>,
    pub(crate) track: Option<TrackId>,
    pub(crate) time: Option<Timestamp>,
    /// A sentence without its full stop.
    pub(crate) message: String,
}

impl Problem {
    /// What a demuxer says.
    pub(crate) fn of(e: &FormatError) -> Self {
        let sort = match e.kind {
            ErrorKind::Unsupported(_) => Sort::Unsupported,
            ErrorKind::Limit(_) => Sort::Limit,
            ErrorKind::Truncated => Sort::Truncated,
            ErrorKind::NeedsSeek => Sort::Unreadable,
            _ => Sort::Malformed,
        };
        let mut message = match e.kind {
            ErrorKind::Truncated => "the source ends inside a structure".to_owned(),
            ErrorKind::NeedsSeek => "the rest lies elsewhere, and this source can't seek".to_owned(),
            ErrorKind::Malformed(what) => what.to_owned(),
            kind => kind.to_string(),
        };
        if !e.path.is_empty() {
            message = format!("{}: {message}", e.path);
        }
        Self { sort, offset: Some(e.offset), track: None, time: None, message }
    }

    /// One that is not at a place: about the source as a whole.
    pub(crate) fn overall(sort: Sort, message: &str) -> Self {
        Self { sort, offset: None, track: None, time: None, message: message.to_owned() }
    }
}

/// All problems of a source, in bounded memory.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    kept: Vec<Problem>,
    counts: BTreeMap<Sort, u64>,
}

impl Problems {
    /// Counts one, and keeps it if there are not too many of its sort.
    pub(crate) fn add(&mut self, p: Problem) {
        let n = self.counts.entry(p.sort).or_default();
        *n += 1;
        if *n <= MAX_KEPT as u64 {
            self.kept.push(p);
        }
    }

    /// Those that were kept, in order.
    pub(crate) fn kept(&self) -> &[Problem] {
        &self.kept
    }

    /// How many there were of each sort.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (Sort, u64)> {
        self.counts.iter().map(|(s, n)| (*s, *n))
    }

    /// How many there were.
    pub(crate) fn total(&self) -> u64 {
        self.counts.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_one_sort_is_counted_and_hides_no_other() {
        let mut all = Problems::default();
        for _ in 0..1_000_000 {
            all.add(Problem::overall(Sort::Malformed, "x"));
        }
        all.add(Problem::overall(Sort::Gap, "y"));
        assert_eq!(all.kept().len(), MAX_KEPT + 1);
        assert_eq!(all.total(), 1_000_001);
        assert_eq!(all.counts().collect::<Vec<_>>(), [(Sort::Malformed, 1_000_000), (Sort::Gap, 1)]);
    }
}
