//! Segments through demuxers, and what their times say of the playlist.

use super::decrypt::decryptor;
use super::fetch::fetch;
use super::{Known, List, MAX_KNOWN, TOLERANCE, node};
use crate::analysis::{Analysis, GROUP};
use crate::checks::Checks;
use crate::container::Sink as _;
use crate::problem::{Problem, Sort};
use crate::progress::Progress;
use bytes::Bytes;
use mist_core::format::{Demuxed, Demuxer, Want};
use mist_core::media::{Kind, Media, TrackId};
use mist_core::registry::probe;
use mist_core::time::{Duration, Timestamp};
use mist_formats::FORMATS;
use mist_protocols::hls::parse::{Map, Segment, resolve};
use std::collections::VecDeque;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Bytes of an initialisation section that are read.
const MAX_INITIALISATION: usize = 4 << 20;

/// A segment in a demuxer.
#[derive(Debug)]
struct Reading {
    segment: Arc<Segment>,
    /// Where it begins in what the demuxer was given.
    start: u64,
    /// Time of its first packet of the main track.
    first: Option<Timestamp>,
    /// Its first picture was looked at.
    checked: bool,
}

/// A demuxer for segments that belong together.
pub(super) struct Pipe {
    demuxer: Box<dyn Demuxer>,
    checks: Checks,
    at: u64,
    /// Bytes up to here are not wanted.
    skip_to: u64,
    reading: VecDeque<Reading>,
    /// The track by which segments are timed.
    main: Option<(TrackId, Kind)>,
    done: bool,
}

/// Reads a segment.
pub(super) fn segment<W: Write>(
    l: &mut List,
    s: &Arc<Segment>,
    analysis: &mut Analysis<W>,
    progress: &mut Progress,
    total: &mut u64,
) -> io::Result<ControlFlow<()>> {
    let label = format!("segment {} ({})", s.number, s.uri);
    let detail = format!(
        "{} {label} {:.3} s{}{}",
        l.name,
        s.duration.as_secs_f64(),
        if s.discontinuity { " discontinuity" } else { "" },
        if s.gap { " gap" } else { "" }
    );
    node(analysis, 1, "segment", 0, detail)?;
    l.segments += 1;
    if let Some(t) = l.target {
        // The rule is about the length rounded to whole seconds.
        let rounded = (s.duration.as_secs_f64() + 0.5).floor();
        if rounded > t.as_secs_f64() {
            let what = format!(
                "{label} lasts {:.3} s, the target is {:.0} s",
                s.duration.as_secs_f64(),
                t.as_secs_f64()
            );
            analysis.problem(l.problem(Sort::HlsTarget, &what))?;
        }
    }
    if s.discontinuity || l.map != s.map {
        finish(l, analysis)?;
        if s.discontinuity {
            analysis.discontinuity(l.group);
        }
        l.map.clone_from(&s.map);
    }
    if s.gap {
        finish(l, analysis)?;
        return Ok(ControlFlow::Continue(()));
    }
    let mut found = Vec::new();
    let Ok(mut decryptor) = decryptor(l, &s.keys, s.number, &label, &mut found) else {
        // What comes next doesn't go on where the demuxer is.
        finish(l, analysis)?;
        for p in found {
            analysis.problem(p)?;
        }
        return Ok(ControlFlow::Continue(()));
    };
    let mut pipe = l.pipe.take();
    let mut bytes = 0;
    let mut flow = ControlFlow::Continue(());
    if pipe.is_none()
        && let Some(m) = &s.map
    {
        initialise(&mut pipe, l, m, s.number, analysis, &mut found)?;
    }
    let url = resolve(&l.url, &s.uri);
    let mut begun = false;
    let done = fetch(&url, s.byte_range, &mut |b| {
        bytes += b.len() as u64;
        progress.at(*total + bytes);
        let b = match &mut decryptor {
            Some(d) => d.push(&b),
            None => b,
        };
        if !b.is_empty() {
            let first = !std::mem::replace(&mut begun, true);
            flow = feed(&mut pipe, l, &b, (first, first.then(|| s.clone())), analysis, &mut found)?;
        }
        Ok(flow)
    });
    if let Some(d) = decryptor.filter(|_| done.is_ok() && flow.is_continue()) {
        match d.finish() {
            Ok(b) => {
                let first = !begun;
                flow = feed(&mut pipe, l, &b, (first, first.then(|| s.clone())), analysis, &mut found)?;
            }
            Err(what) => found.push(l.problem(Sort::HlsKey, &format!("{label}: {what}"))),
        }
    }
    *total += bytes;
    l.pipe = pipe;
    match done {
        // An error of writing the report ends everything.
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => return Err(e),
        Err(e) => found.push(l.problem(Sort::HlsFetch, &format!("{label} can't be read, {e}"))),
        Ok(()) => {}
    }
    let seconds = s.duration.as_secs_f64();
    if let Some(bandwidth) = l.bandwidth.filter(|_| seconds > 0.0) {
        let rate = bytes as f64 * 8.0 / seconds;
        if rate > bandwidth as f64 * 1.1 {
            let what = format!("{label} has {rate:.0} bit/s, BANDWIDTH is {bandwidth}");
            found.push(l.problem(Sort::HlsBandwidth, &what));
        }
    }
    for p in found {
        analysis.problem(p)?;
    }
    Ok(flow)
}

/// Reads the initialisation section of the segment with a number.
fn initialise<W: Write>(
    pipe: &mut Option<Pipe>,
    l: &mut List,
    m: &Map,
    number: u64,
    analysis: &mut Analysis<W>,
    found: &mut Vec<Problem>,
) -> io::Result<()> {
    let label = format!("initialisation section {}", m.uri);
    let Ok(mut decryptor) = decryptor(l, &m.keys, number, &label, found) else { return Ok(()) };
    let mut all = Vec::new();
    let done = fetch(&resolve(&l.url, &m.uri), m.byte_range, &mut |b| {
        match &mut decryptor {
            Some(d) => all.extend_from_slice(&d.push(&b)),
            None => all.extend_from_slice(&b),
        }
        Ok(if all.len() > MAX_INITIALISATION { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    });
    if let Err(e) = done {
        found.push(l.problem(Sort::HlsFetch, &format!("{label} can't be read, {e}")));
    } else if all.len() > MAX_INITIALISATION {
        found.push(l.problem(Sort::Limit, &format!("{label} is longer than is read")));
        return Ok(());
    } else if let Some(d) = decryptor {
        match d.finish() {
            Ok(b) => all.extend_from_slice(&b),
            Err(what) => found.push(l.problem(Sort::HlsKey, &format!("{label}: {what}"))),
        }
    }
    // Whoever has seen enough is asked again with the segment.
    let _ = feed(pipe, l, &all.into(), (true, None), analysis, found)?;
    Ok(())
}

/// Gives a demuxer more bytes, the first of a segment or not, and takes what comes out. The first bytes choose the demuxer.
fn feed<W: Write>(
    pipe: &mut Option<Pipe>,
    l: &mut List,
    data: &Bytes,
    (first, new): (bool, Option<Arc<Segment>>),
    analysis: &mut Analysis<W>,
    found: &mut Vec<Problem>,
) -> io::Result<ControlFlow<()>> {
    // WebVTT and packed audio begin anew with every segment.
    let whole = pipe.as_ref().is_some_and(|p| p.done);
    if first && (pipe.is_none() || whole) {
        let Some(format) = probe(FORMATS, data) else {
            if new.is_some() {
                let start = data.get(..32).unwrap_or(data).escape_ascii();
                found.push(
                    l.problem(Sort::Unsupported, &format!("a segment of no known format: \"{start}\"")),
                );
            }
            return Ok(ControlFlow::Continue(()));
        };
        let Some(make) = format.demuxer else { return Ok(ControlFlow::Continue(())) };
        let mut demuxer = make();
        if analysis.wants_nodes() {
            demuxer.want_nodes();
        }
        let checks = Checks::of(format.id);
        let reading = VecDeque::new();
        *pipe = Some(Pipe { demuxer, checks, at: 0, skip_to: 0, reading, main: None, done: false });
    }
    let Some(p) = pipe else { return Ok(ControlFlow::Continue(())) };
    if let Some(segment) = new {
        p.reading.push_back(Reading { segment, start: p.at, first: None, checked: false });
    }
    let at = p.at;
    p.at += data.len() as u64;
    p.checks.bytes(at, data, |problem| {
        if !is_for_receivers(problem.sort) {
            found.push(place(problem, &p.reading, l));
        }
        Ok(())
    })?;
    let skip = usize::try_from(p.skip_to.saturating_sub(at)).unwrap_or(usize::MAX);
    if skip < data.len() && !p.done {
        p.demuxer.push(at + skip as u64, data.slice(skip..));
    }
    drain(p, l, analysis, found)
}

/// What receivers of a running transport stream ask for; players of segments don't (RFC 8216 §3.2).
const fn is_for_receivers(sort: Sort) -> bool {
    matches!(
        sort,
        Sort::PatInterval
            | Sort::PmtInterval
            | Sort::PcrInterval
            | Sort::PcrJitter
            | Sort::NoPcr
            | Sort::BufferOverflow
            | Sort::BufferUnderflow
    )
}

/// A problem of a demuxer is at a byte of a segment.
fn place(mut problem: Problem, reading: &VecDeque<Reading>, l: &List) -> Problem {
    let Some(at) = problem.offset else { return problem };
    if let Some(r) = reading.iter().rev().find(|r| r.start <= at) {
        problem.offset = Some(at - r.start);
        problem.what =
            format!("{}: segment {} ({}): {}", l.name, r.segment.number, r.segment.uri, problem.what);
    }
    if let Some(t) = problem.track {
        problem.track = Some(TrackId(l.group * GROUP + t.0 % GROUP));
    }
    problem
}

fn drain<W: Write>(
    p: &mut Pipe,
    l: &mut List,
    analysis: &mut Analysis<W>,
    found: &mut Vec<Problem>,
) -> io::Result<ControlFlow<()>> {
    if p.done {
        return Ok(ControlFlow::Continue(()));
    }
    loop {
        let item = match p.demuxer.poll() {
            Ok(Demuxed::Need(Want::At { offset, .. })) if offset > p.at => {
                p.skip_to = offset;
                return Ok(ControlFlow::Continue(()));
            }
            Ok(Demuxed::Need(_)) => return Ok(ControlFlow::Continue(())),
            Ok(Demuxed::End | Demuxed::Media(Media::End)) => {
                p.done = true;
                return Ok(ControlFlow::Continue(()));
            }
            Ok(item) => item,
            Err(e) => {
                p.done = true;
                found.extend(Problem::of(&e).map(|e| place(e, &p.reading, l)));
                return Ok(ControlFlow::Continue(()));
            }
        };
        let group = l.group * GROUP;
        let id = |t: TrackId| TrackId(group + t.0 % GROUP);
        let mut offset = None;
        let item = match item {
            Demuxed::Media(Media::Track(t)) => {
                let kind = t.codec.kind();
                let better = match p.main {
                    None => matches!(kind, Kind::Video | Kind::Audio),
                    Some((_, main)) => main == Kind::Audio && kind == Kind::Video,
                };
                if better {
                    p.main = Some((t.id, kind));
                }
                let mut t = (*t).clone();
                t.id = id(t.id);
                Demuxed::Media(Media::Track(Arc::new(t)))
            }
            Demuxed::Media(Media::Packet(mut packet)) => {
                let at = p.demuxer.packet_offset();
                if p.main.is_some_and(|m| m.0 == packet.track) {
                    timing(p, l, packet.dts, packet.key, at, found);
                }
                let of =
                    at.and_then(|at| p.reading.iter().rev().find(|r| r.start <= at).map(|r| at - r.start));
                offset = of;
                packet.track = id(packet.track);
                Demuxed::Media(Media::Packet(packet))
            }
            Demuxed::Media(Media::Gone(t)) => Demuxed::Media(Media::Gone(id(t))),
            Demuxed::Problem(e) => {
                found.extend(Problem::of(&e).map(|e| place(e, &p.reading, l)));
                continue;
            }
            Demuxed::Node(mut n) => {
                n.depth += 2;
                if let Some(r) = p.reading.iter().rev().find(|r| r.start <= n.offset) {
                    n.offset -= r.start;
                }
                Demuxed::Node(n)
            }
            other => other,
        };
        if analysis.take(item, offset)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
}

/// A packet of the main track: the first one of each segment tells how long the one before was.
fn timing(p: &mut Pipe, l: &mut List, dts: Timestamp, key: bool, at: Option<u64>, found: &mut Vec<Problem>) {
    let video = p.main.is_some_and(|m| m.1 == Kind::Video);
    let i = match at {
        Some(at) => p.reading.iter().rposition(|r| r.start <= at),
        None => p.reading.len().checked_sub(1),
    };
    let Some(i) = i else { return };
    let Some(r) = p.reading.get_mut(i) else { return };
    if std::mem::replace(&mut r.checked, true) {
        return;
    }
    r.first = Some(dts);
    let (number, uri) = (r.segment.number, r.segment.uri.clone());
    if video && !key {
        let what = format!("segment {number} ({uri}) begins with a picture that is no keyframe");
        let group = l.group * GROUP + p.main.map_or(0, |m| m.0.0) % GROUP;
        let problem = l.problem(Sort::HlsSegmentStart, &what).on(TrackId(group), Some(dts));
        found.push(problem);
    }
    if l.known.len() >= MAX_KNOWN {
        l.known.pop_first();
    }
    l.known.insert(number, Known { length: r.segment.duration, first: Some(dts) });
    // The segments before are complete.
    while i > 0
        && let Some(before) = p.reading.front()
        && before.start < p.reading.get(i).map_or(0, |r| r.start)
    {
        let (first, s) = (before.first, before.segment.clone());
        p.reading.pop_front();
        if p.reading.front().is_none_or(|r| r.segment.number == number) {
            if let Some(first) = first {
                lengths(l, &s, dts - first, dts, found);
            }
            break;
        }
    }
}

/// A segment lasted until the next one began.
fn lengths(l: &List, s: &Segment, actual: Duration, at: Timestamp, found: &mut Vec<Problem>) {
    if s.duration <= Duration::ZERO {
        return; // that it has no duration was said
    }
    let off = actual - s.duration;
    let (is, says) = (actual.as_secs_f64(), s.duration.as_secs_f64());
    if actual <= Duration::ZERO || off > s.duration + Duration::from_secs(1) {
        let what = format!(
            "segment {} ({}) should last {says:.3} s, but the next one begins {is:.3} s after it",
            s.number, s.uri
        );
        found.push(Problem { time: Some(at), ..l.problem(Sort::HlsDiscontinuity, &what) });
    } else if off.abs() > TOLERANCE {
        let what = format!("segment {} ({}) lasts {is:.3} s, EXTINF says {says:.3} s", s.number, s.uri);
        found.push(Problem { time: Some(at), ..l.problem(Sort::HlsDuration, &what) });
    }
}

/// No more of what the demuxer reads comes.
pub(super) fn finish<W: Write>(l: &mut List, analysis: &mut Analysis<W>) -> io::Result<()> {
    let Some(mut p) = l.pipe.take() else { return Ok(()) };
    let mut found = Vec::new();
    p.demuxer.end();
    // Whoever has seen enough is asked again with the next segment.
    let _ = drain(&mut p, l, analysis, &mut found)?;
    p.checks.end(|problem| {
        if !is_for_receivers(problem.sort) {
            found.push(place(problem, &p.reading, l));
        }
        Ok(())
    })?;
    for problem in found {
        analysis.problem(problem)?;
    }
    Ok(())
}
