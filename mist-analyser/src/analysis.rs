//! Everything that was found in a source, in constant memory.

use crate::container::Sink;
use crate::problem::{Problem, Problems, Sort};
use crate::report::Report;
use crate::track::Track;
use mist_core::format::Demuxed;
use mist_core::media::{Kind, Media, Packet, TrackInfo};
use mist_core::time::{Duration, Timestamp};
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Tracks that are told apart.
const MAX_TRACKS: usize = 256;
/// How far every track is read beyond `--to`: others may still bring what lies before it, or have yet to begin.
const SKEW: Duration = Duration::from_secs(1);
/// How far any track is read beyond `--to`: a track that has fallen silent is not waited for.
const MAX_SKEW: Duration = Duration::from_secs(10);

/// Counts, checks, and passes on to the report.
pub(crate) struct Analysis<W> {
    report: Report<W>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    tracks: Vec<Entry>,
    problems: Problems,
    /// Where the source is: the last packet's decoding time.
    now: Option<Timestamp>,
    overfull: bool,
}

/// A track, and where in the source it is.
struct Entry {
    track: Track,
    /// Decoding time of the last packet, shown or not.
    now: Option<Timestamp>,
    /// The description must be shown before the next packet.
    new: bool,
}

impl<W: Write> Analysis<W> {
    /// Of the packets between two presentation times, the second not included.
    pub(crate) fn new(report: Report<W>, (from, to): (Option<Timestamp>, Option<Timestamp>)) -> Self {
        Self {
            report,
            from,
            to,
            tracks: Vec::new(),
            problems: Problems::default(),
            now: None,
            overfull: false,
        }
    }

    /// The format is known. Returns whether nodes are wanted.
    pub(crate) fn begin(&mut self, format: &'static str) -> io::Result<bool> {
        self.report.begin(format)?;
        Ok(self.report.wants_nodes())
    }

    /// Whether there was a packet, shown or not.
    pub(crate) fn has_media(&self) -> bool {
        self.now.is_some()
    }

    /// Something is wrong.
    pub(crate) fn problem(&mut self, p: Problem) -> io::Result<()> {
        self.report.problem(&p)?;
        self.problems.add(p);
        Ok(())
    }

    /// Writes the summary. Returns whether the source is sound.
    pub(crate) fn end(mut self) -> io::Result<bool> {
        let tracks: Vec<_> = self.tracks.into_iter().map(|e| e.track).collect();
        let spans = || tracks.iter().filter_map(Track::span);
        let from = spans().map(|s| s.0).min();
        let to = spans().map(|s| s.1).max();
        let duration = from.zip(to).map(|(from, to)| to - from);
        self.report.end(duration, &tracks, &self.problems)?;
        Ok(self.problems.total() == 0)
    }

    fn shows(&self, t: Timestamp) -> bool {
        self.from.is_none_or(|from| t >= from) && self.to.is_none_or(|to| t < to)
    }

    fn describe(&mut self, info: Arc<TrackInfo>) -> io::Result<()> {
        if let Some(e) = self.tracks.iter_mut().find(|e| e.track.info.id == info.id) {
            if e.track.info != info {
                e.new = true;
                // What a container says of a track before its first packet is one description.
                e.track.changes += u64::from(e.now.is_some());
                e.track.info = info;
            }
        } else if self.tracks.len() < MAX_TRACKS {
            self.tracks.push(Entry { track: Track::new(info), now: None, new: true });
        } else if !std::mem::replace(&mut self.overfull, true) {
            self.problem(Problem::overall(Sort::Limit, "more tracks than are told apart"))?;
        }
        Ok(())
    }

    fn packet(&mut self, p: &Packet) -> io::Result<()> {
        self.now = Some(p.dts);
        let shown = self.shows(p.pts());
        let Some(e) = self.tracks.iter_mut().find(|e| e.track.info.id == p.track) else { return Ok(()) };
        let start = e.now.replace(p.dts).is_none();
        if !shown {
            return Ok(());
        }
        if std::mem::take(&mut e.new) {
            self.report.track(&e.track)?;
        }
        let mut found = Vec::new();
        e.track.packet(p, start, |problem| found.push(problem));
        self.report.packet(p)?;
        for problem in found {
            self.problem(problem)?;
        }
        Ok(())
    }

    /// Whether everything before `--to` has been there.
    fn is_over(&self) -> bool {
        let (Some(to), Some(now)) = (self.to, self.now) else { return false };
        let continuous = |e: &&Entry| matches!(e.track.info.codec.kind(), Kind::Video | Kind::Audio);
        let past = |e: &Entry| e.now.is_some_and(|t| t >= to + SKEW);
        now >= to + MAX_SKEW || now >= to + SKEW && self.tracks.iter().filter(continuous).all(past)
    }
}

impl<W: Write> Sink for Analysis<W> {
    fn take(&mut self, found: Demuxed) -> io::Result<ControlFlow<()>> {
        match found {
            Demuxed::Media(Media::Track(info)) => self.describe(info)?,
            Demuxed::Media(Media::Packet(p)) => {
                self.packet(&p)?;
                if self.is_over() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            Demuxed::Problem(e) => self.problem(Problem::of(&e))?,
            Demuxed::Node(n) if self.now.is_none_or(|t| self.shows(t)) => self.report.node(&n)?,
            _ => {}
        }
        Ok(ControlFlow::Continue(()))
    }

    fn wait(&mut self) -> io::Result<()> {
        self.report.flush()
    }
}
