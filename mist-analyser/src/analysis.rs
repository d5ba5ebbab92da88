//! Everything that was found in a source, in constant memory.

use crate::chart::Chart;
use crate::container::Sink;
use crate::problem::{Problem, Problems, Sort};
use crate::report::{Report, Whole};
use crate::structure;
use crate::track::Track;
use mist_core::format::{Demuxed, Node};
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
/// From which distance on packets of one time are far apart in the source.
const FAR: Duration = Duration::from_secs(5);
/// From which distance on tracks begin far apart.
const LATE: Duration = Duration::from_millis(500);
/// How much longer than another track one may go on, beside a hundredth of its length.
const DRIFT: Duration = Duration::from_secs(1);
/// Ids of tracks that belong to one playlist; those of another one begin at a multiple of it.
pub(crate) const GROUP: u32 = 1 << 16;

/// What is shown of a source.
#[derive(Debug, Default, Clone)]
pub(crate) struct Selection {
    /// Presentation times, the second not included.
    pub(crate) from: Option<Timestamp>,
    pub(crate) to: Option<Timestamp>,
    /// Only these tracks; all where there is none.
    pub(crate) tracks: Vec<u32>,
}

/// Counts, checks, and passes on to the report.
pub(crate) struct Analysis<W> {
    report: Report<W>,
    selection: Selection,
    tracks: Vec<Entry>,
    problems: Problems,
    chart: Option<Chart>,
    /// Where the source is: the last packet's decoding time.
    now: Option<Timestamp>,
    /// The largest decoding time so far of each group of tracks that are played together, and the longest way behind.
    latest: Vec<(u32, Timestamp)>,
    behind: Duration,
    overfull: bool,
    /// The source was left before its end.
    left: bool,
    /// Something was there that is no track: a dialogue's messages.
    other: bool,
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
    pub(crate) fn new(report: Report<W>, selection: Selection, chart: Option<Chart>) -> Self {
        Self {
            report,
            selection,
            tracks: Vec::new(),
            problems: Problems::default(),
            chart,
            now: None,
            latest: Vec::new(),
            behind: Duration::ZERO,
            overfull: false,
            left: false,
            other: false,
        }
    }

    /// The format is known. Returns whether nodes are wanted.
    pub(crate) fn begin(&mut self, format: &'static str) -> io::Result<bool> {
        self.report.begin(format)?;
        Ok(self.report.wants_nodes())
    }

    /// Whether nodes are wanted.
    pub(crate) fn wants_nodes(&self) -> bool {
        self.report.wants_nodes()
    }

    /// Whether there was a packet, shown or not.
    pub(crate) fn has_media(&self) -> bool {
        self.now.is_some()
    }

    /// There was something that is not media but worth reading.
    pub(crate) fn saw_other(&mut self) {
        self.other = true;
    }

    pub(crate) fn has_anything(&self) -> bool {
        self.other || self.has_media()
    }

    /// Whether something was found.
    pub(crate) fn has_problems(&self) -> bool {
        !self.problems.kept().is_empty()
    }

    /// Something is wrong, or nothing.
    pub(crate) fn problem(&mut self, p: impl Into<Option<Problem>>) -> io::Result<()> {
        let Some(p) = p.into() else { return Ok(()) };
        if let Some(t) = p.track
            && !self.shows_track(t.0)
        {
            return Ok(());
        }
        if let Some(c) = &mut self.chart {
            c.problem(&p);
        }
        self.report.problem(&p)?;
        self.problems.add(p);
        Ok(())
    }

    /// A piece of structure.
    pub(crate) fn node(&mut self, n: &Node) -> io::Result<()> {
        if self.now.is_none_or(|t| self.shows(t)) {
            self.report.node(n)?;
        }
        Ok(())
    }

    /// The tracks of a playlist don't go on from here, as the playlist says.
    pub(crate) fn discontinuity(&mut self, group: u32) {
        let of_group = |e: &&mut Entry| e.track.info.id.0 / GROUP == group;
        self.tracks.iter_mut().filter(of_group).for_each(|e| e.track.restart());
        self.latest.retain(|l| l.0 != group);
    }

    /// How long the container says that all of it is.
    pub(crate) fn declared(&mut self, declared: Duration) -> io::Result<()> {
        let Some(actual) = self.duration().filter(|_| !self.is_partial()) else { return Ok(()) };
        let off = (declared - actual).abs();
        if declared > Duration::ZERO && off > Duration::from_secs(1) && off.ticks() > actual.ticks() / 50 {
            let (d, a) = (declared.as_secs_f64(), actual.as_secs_f64());
            let what = format!("the container says that it lasts {d:.3} s, but its media lasts {a:.3} s");
            self.problem(Problem::new(Sort::WrongDuration, &what))?;
        }
        Ok(())
    }

    fn is_partial(&self) -> bool {
        self.left || self.selection.from.is_some() || self.selection.to.is_some()
    }

    fn duration(&self) -> Option<Duration> {
        let spans = || self.tracks.iter().filter_map(|e| e.track.span());
        let from = spans().map(|s| s.0).min();
        let to = spans().map(|s| s.1).max();
        from.zip(to).map(|(from, to)| to - from)
    }

    /// Pictures and sound of each group of tracks that are played together.
    fn groups(&self) -> Vec<Vec<&Track>> {
        let mut groups: Vec<(u32, Vec<&Track>)> = Vec::new();
        for t in self.tracks.iter().map(|e| &e.track).filter(|t| is_continuous(t.kind())) {
            let id = t.info.id.0 / GROUP;
            match groups.iter_mut().find(|g| g.0 == id) {
                Some(g) => g.1.push(t),
                None => groups.push((id, vec![t])),
            }
        }
        groups.into_iter().map(|g| g.1).collect()
    }

    /// Picture's start to sound's start, of the first group that has both.
    fn start_offset(&self) -> Option<Duration> {
        self.groups().iter().find_map(|g| {
            let first =
                |kind| g.iter().filter(|t| t.kind() == kind).filter_map(|t| t.times).map(|t| t.min_pts).min();
            Some(first(Kind::Audio)? - first(Kind::Video)?)
        })
    }

    /// What can only be said of all of it.
    fn overall(&mut self) -> io::Result<()> {
        let mut found = Vec::new();
        if !self.is_partial() {
            for g in self.groups() {
                let starts = g.iter().filter_map(|t| Some((t.times?.min_pts, *t)));
                if let (Some(first), Some(last)) =
                    (starts.clone().min_by_key(|s| s.0), starts.max_by_key(|s| s.0))
                    && last.0 - first.0 > LATE
                {
                    let late = (last.0 - first.0).as_secs_f64();
                    let what = format!("begins {late:.3} s after track {}", first.1.info.id);
                    found.push(Problem::new(Sort::StartOffset, &what).on(last.1.info.id, Some(last.0)));
                }
                let ends = g.iter().filter_map(|t| Some((t.span()?.1, *t)));
                if let (Some(first), Some(last)) =
                    (ends.clone().min_by_key(|s| s.0), ends.max_by_key(|s| s.0))
                {
                    let early = last.0 - first.0;
                    if early > DRIFT && early.ticks() > last.1.covered().ticks() / 100 {
                        let (id, other) = (first.1.info.id, last.1.info.id);
                        let what = format!("ends {:.3} s before track {other}", early.as_secs_f64());
                        found.push(Problem::new(Sort::Drift, &what).on(id, Some(first.0)));
                    }
                }
            }
        }
        for e in &self.tracks {
            if e.track.behind > FAR {
                let what = format!("up to {:.3} s behind other tracks", e.track.behind.as_secs_f64());
                found.push(Problem::new(Sort::Interleaving, &what).on(e.track.info.id, None));
            }
        }
        for p in found {
            self.problem(p)?;
        }
        Ok(())
    }

    /// Writes the summary, and gives the chart back. Returns whether the source is sound.
    pub(crate) fn end(mut self) -> io::Result<(bool, Option<Chart>)> {
        self.overall()?;
        let whole = Whole {
            duration: self.duration(),
            start_offset: self.start_offset(),
            interleave: self.has_media().then_some(self.behind),
        };
        let tracks: Vec<_> = self.tracks.into_iter().map(|e| e.track).collect();
        self.report.end(&whole, &tracks, &self.problems)?;
        Ok((self.problems.total() == 0, self.chart))
    }

    fn shows(&self, t: Timestamp) -> bool {
        self.selection.from.is_none_or(|from| t >= from) && self.selection.to.is_none_or(|to| t < to)
    }

    fn shows_track(&self, id: u32) -> bool {
        self.selection.tracks.is_empty() || self.selection.tracks.contains(&id)
    }

    fn describe(&mut self, info: &Arc<TrackInfo>) -> io::Result<()> {
        if !self.shows_track(info.id.0) {
            return Ok(());
        }
        let mut changed = None;
        if let Some(e) = self.tracks.iter_mut().find(|e| e.track.info.id == info.id) {
            if e.track.info == *info {
                return Ok(());
            }
            e.new = true;
            // What a container says of a track before its first packet is one description.
            if e.now.is_some() {
                e.track.changes += 1;
                let what = if e.track.info.codec != info.codec {
                    format!("{} becomes {}", e.track.info.codec.name(), info.codec.name())
                } else if e.track.info.params != info.params {
                    format!("{:?} becomes {:?}", e.track.info, info)
                } else {
                    "another decoder configuration".to_owned()
                };
                changed = Some(Problem::new(Sort::TrackChange, &what).on(info.id, e.now));
            }
            e.track.describe(info.clone());
        } else if self.tracks.len() < MAX_TRACKS {
            self.tracks.push(Entry { track: Track::new(info.clone()), now: None, new: true });
        } else if !std::mem::replace(&mut self.overfull, true) {
            self.problem(Problem::new(Sort::Limit, "more tracks than are told apart"))?;
        }
        if let Some(c) = &mut self.chart {
            c.track(info);
        }
        if let Some(p) = changed {
            self.problem(p)?;
        }
        if self.report.wants_nodes() {
            for n in structure::of_track(info) {
                self.node(&n)?;
            }
        }
        Ok(())
    }

    fn packet(&mut self, p: &Packet, offset: Option<u64>) -> io::Result<()> {
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
        let back = e.track.times.is_some_and(|t| p.dts + Duration::from_secs(1) < t.last_dts);
        let mut found = Vec::new();
        e.track.packet(p, offset, start, |problem| found.push(problem));
        if is_continuous(e.track.kind()) {
            let group = p.track.0 / GROUP;
            match self.latest.iter_mut().find(|l| l.0 == group) {
                Some(l) if back => l.1 = p.dts,
                Some(l) => {
                    let behind = l.1 - p.dts;
                    e.track.behind = e.track.behind.max(behind);
                    self.behind = self.behind.max(behind);
                    l.1 = l.1.max(p.dts);
                }
                None => self.latest.push((group, p.dts)),
            }
        }
        if let Some(c) = &mut self.chart {
            c.packet(p);
        }
        if self.report.wants_nodes() {
            for n in structure::of_packet(&e.track.info, p, offset) {
                self.report.node(&n)?;
            }
        }
        self.report.packet(p, offset)?;
        for problem in found {
            self.problem(problem)?;
        }
        Ok(())
    }

    /// Whether everything before `--to` has been there.
    fn is_over(&self) -> bool {
        let (Some(to), Some(now)) = (self.selection.to, self.now) else { return false };
        let continuous = |e: &&Entry| is_continuous(e.track.kind());
        let past = |e: &Entry| e.now.is_some_and(|t| t >= to + SKEW);
        now >= to + MAX_SKEW || now >= to + SKEW && self.tracks.iter().filter(continuous).all(past)
    }
}

fn is_continuous(kind: Kind) -> bool {
    matches!(kind, Kind::Video | Kind::Audio)
}

impl<W: Write> Sink for Analysis<W> {
    fn take(&mut self, found: Demuxed, offset: Option<u64>) -> io::Result<ControlFlow<()>> {
        match found {
            Demuxed::Media(Media::Track(info)) => self.describe(&info)?,
            Demuxed::Media(Media::Packet(p)) => {
                self.packet(&p, offset)?;
                if self.is_over() {
                    self.left = true;
                    return Ok(ControlFlow::Break(()));
                }
            }
            Demuxed::Problem(e) => self.problem(Problem::of(&e))?,
            Demuxed::Node(n) => self.node(&n)?,
            _ => {}
        }
        Ok(ControlFlow::Continue(()))
    }

    fn problem(&mut self, p: Problem) -> io::Result<()> {
        self.problem(p)
    }

    fn wait(&mut self) -> io::Result<()> {
        self.report.flush()
    }
}
