//! Follows HLS playlists: variants and renditions, segment by segment, from disk or from a server.
//!
//! The segments between two discontinuities go through one demuxer, as in a player. Live playlists are loaded again and
//! again until they end, `--to` is reached, or the server is gone.

mod decrypt;
mod fetch;
mod segments;

use crate::analysis::Analysis;
use crate::container::Sink as _;
use crate::problem::{Problem, Sort};
use crate::progress::Progress;
use fetch::text;
use mist_core::format::Node;
use mist_core::time::{Duration, Timestamp};
use mist_protocols::hls::parse::{Context, Map, MediaPlaylist, Playlist, Segment, parse_in, resolve};
use segments::{Pipe, finish, segment};
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration as StdDuration, Instant};

/// Playlists of one multivariant playlist that are followed.
const MAX_LISTS: usize = 64;
/// Segments whose times are kept, for comparing variants and reloads.
const MAX_KNOWN: usize = 4096;
/// Failed loads in a row after which a live playlist is given up.
const MAX_FAILURES: u32 = 3;
/// Target durations without a new segment after which a playlist stalls, and after which it isn't live any more.
const STALLED: u32 = 3;
const DEAD: u32 = 10;
/// How far EXTINF may be from the truth, and variants from each other.
const TOLERANCE: Duration = Duration::from_millis(500);
const VARIANT_TOLERANCE: Duration = Duration::from_millis(200);

/// What is known of a segment that was read.
#[derive(Debug, Clone, Copy)]
struct Known {
    length: Duration,
    first: Option<Timestamp>,
}

/// A media playlist that is followed.
struct List {
    url: String,
    name: String,
    /// Number of its tracks' group.
    group: u32,
    is_variant: bool,
    bandwidth: Option<u64>,
    pending: VecDeque<Arc<Segment>>,
    /// Number of the segment to read next.
    next: Option<u64>,
    target: Option<Duration>,
    /// URI and discontinuity number of the segments of the last load, from this number on.
    last: (u64, Vec<(String, u64)>),
    ended: bool,
    loaded: Option<Instant>,
    changed: Instant,
    stalled: bool,
    failures: u32,
    map: Option<Arc<Map>>,
    pipe: Option<Pipe>,
    known: BTreeMap<u64, Known>,
    segments: u64,
    keys: decrypt::Keys,
    reported_encrypted: bool,
}

impl List {
    fn new(url: String, name: String, group: u32, is_variant: bool, bandwidth: Option<u64>) -> Self {
        Self {
            url,
            name,
            group,
            is_variant,
            bandwidth,
            pending: VecDeque::new(),
            next: None,
            target: None,
            last: (0, Vec::new()),
            ended: false,
            loaded: None,
            changed: Instant::now(),
            stalled: false,
            failures: 0,
            map: None,
            pipe: None,
            known: BTreeMap::new(),
            segments: 0,
            keys: decrypt::Keys::default(),
            reported_encrypted: false,
        }
    }

    fn problem(&self, sort: Sort, what: &str) -> Problem {
        Problem::new(sort, &format!("{}: {what}", self.name))
    }

    /// Whether it is time to load it (again).
    fn is_due(&self) -> bool {
        let Some(loaded) = self.loaded else { return true };
        let target = self.target.unwrap_or(Duration::from_secs(2)).to_std();
        !self.ended && self.pending.is_empty() && loaded.elapsed() >= target / 2
    }
}

/// Follows what `text`, which came from `url`, says. `Err` in the result: why it can't be.
pub(crate) fn run<W: Write>(
    url: &str,
    text: &[u8],
    analysis: &mut Analysis<W>,
    progress: &mut Progress,
) -> io::Result<Result<(), String>> {
    let playlist = match parse_in(text, Context { query: query(url), variables: &[] }) {
        Ok(p) => p,
        Err(e) => {
            analysis.problem(Problem::new(Sort::HlsSyntax, &e.to_string()))?;
            return Ok(Err(e.to_string()));
        }
    };
    let mut variables = Vec::new();
    let mut lists = Vec::new();
    match playlist {
        Playlist::Media(m) => {
            let mut l = List::new(url.to_owned(), short(url), 0, true, None);
            take(&mut l, m, text.len(), analysis)?;
            lists.push(l);
        }
        Playlist::Multivariant(m) => {
            for e in &m.problems {
                analysis.problem(Problem::new(Sort::HlsSyntax, &e.to_string()))?;
            }
            node(analysis, 0, "multivariant playlist", text.len(), url.to_owned())?;
            for v in &m.variants {
                let (w, h) = v.resolution.unwrap_or((0, 0));
                let kind = if v.i_frames { "I-frame variant" } else { "variant" };
                let detail = format!("{} {} bit/s {w}x{h} {}", v.uri, v.bandwidth, v.codecs);
                node(analysis, 1, kind, 0, detail)?;
                if v.i_frames {
                    continue;
                }
                let bandwidth = Some(v.bandwidth).filter(|b| *b > 0);
                add(&mut lists, resolve(url, &v.uri), &v.uri, true, bandwidth, analysis)?;
            }
            for r in &m.renditions {
                let uri = r.uri.as_deref().unwrap_or("");
                let detail = format!("{:?} {} {} {} {uri}", r.kind, r.group, r.name, r.language);
                node(analysis, 1, "rendition", 0, detail)?;
                if !uri.is_empty() {
                    add(&mut lists, resolve(url, uri), uri, false, None, analysis)?;
                }
            }
            variables = m.variables;
            if lists.is_empty() {
                return Ok(Err("no variants".to_owned()));
            }
        }
    }
    follow(&mut lists, &variables, analysis, progress)?;
    compare(&lists, analysis)?;
    Ok(Ok(()))
}

fn add<W: Write>(
    lists: &mut Vec<List>,
    url: String,
    name: &str,
    is_variant: bool,
    bandwidth: Option<u64>,
    analysis: &mut Analysis<W>,
) -> io::Result<()> {
    if lists.iter().any(|l: &List| l.url == url) {
        return Ok(());
    }
    if lists.len() == MAX_LISTS {
        return analysis.problem(Problem::new(Sort::Limit, "more playlists than are followed"));
    }
    let group = lists.len() as u32;
    lists.push(List::new(url, name.to_owned(), group, is_variant, bandwidth));
    Ok(())
}

fn node<W: Write>(
    analysis: &mut Analysis<W>,
    depth: u16,
    name: &'static str,
    len: usize,
    detail: String,
) -> io::Result<()> {
    if analysis.wants_nodes() {
        analysis.node(&Node { depth, offset: 0, len: len as u64, name, detail, values: Vec::new() })?;
    }
    Ok(())
}

/// The last part of a URL or path.
fn short(url: &str) -> String {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    path.rsplit('/').next().filter(|n| !n.is_empty()).unwrap_or(url).to_owned()
}

fn query(url: &str) -> &str {
    url.split_once('?').map_or("", |q| q.1)
}

/// Whether a playlist on disk was written so long ago that nothing will be added: it is a copy of a live one.
fn is_old(url: &str, target: Option<Duration>) -> bool {
    let target = target.unwrap_or(Duration::from_secs(2)).to_std();
    let age = std::fs::metadata(url).and_then(|m| m.modified()).ok().and_then(|t| t.elapsed().ok());
    !url.contains("://") && age.is_some_and(|a| a > target * STALLED)
}

/// Reads playlists and segments in turn until all have ended.
fn follow<W: Write>(
    lists: &mut [List],
    variables: &[(String, String)],
    analysis: &mut Analysis<W>,
    progress: &mut Progress,
) -> io::Result<()> {
    let mut bytes = 0;
    loop {
        let (mut busy, mut over) = (false, true);
        for l in lists.iter_mut() {
            if l.is_due() {
                load(l, variables, analysis)?;
            }
            if let Some(s) = l.pending.pop_front() {
                busy = true;
                if segment(l, &s, analysis, progress, &mut bytes)?.is_break() {
                    return Ok(());
                }
            }
            over &= l.ended && l.pending.is_empty();
        }
        if over {
            break;
        }
        if !busy {
            analysis.wait()?;
            std::thread::sleep(StdDuration::from_millis(100));
        }
    }
    for l in lists {
        finish(l, analysis)?;
    }
    Ok(())
}

/// Loads a playlist (again).
fn load<W: Write>(
    l: &mut List,
    variables: &[(String, String)],
    analysis: &mut Analysis<W>,
) -> io::Result<()> {
    l.loaded = Some(Instant::now());
    let data = match text(&l.url) {
        Ok(d) => d,
        Err(e) => {
            l.failures += 1;
            l.ended = l.failures >= MAX_FAILURES || l.next.is_none();
            return analysis.problem(l.problem(Sort::HlsFetch, &format!("can't be loaded, {e}")));
        }
    };
    l.failures = 0;
    match parse_in(&data, Context { query: query(&l.url), variables }) {
        Ok(Playlist::Media(m)) => take(l, m, data.len(), analysis),
        Ok(_) => {
            l.ended = true;
            analysis.problem(
                l.problem(Sort::HlsSyntax, "a multivariant playlist where a media playlist should be"),
            )
        }
        Err(e) => {
            l.ended = true;
            analysis.problem(l.problem(Sort::HlsSyntax, &e.to_string()))
        }
    }
}

/// Takes what a media playlist says, and compares it with what it said before.
fn take<W: Write>(l: &mut List, m: MediaPlaylist, len: usize, analysis: &mut Analysis<W>) -> io::Result<()> {
    let again = l.next.is_some();
    l.loaded.get_or_insert_with(Instant::now);
    if !again {
        node(analysis, 0, "media playlist", len, l.url.clone())?;
        for e in &m.problems {
            analysis.problem(l.problem(Sort::HlsSyntax, &e.to_string()))?;
        }
        if m.needs_version > m.version {
            let what = format!("version {}, but what is in it needs {}", m.version, m.needs_version);
            analysis.problem(l.problem(Sort::HlsVersion, &what))?;
        }
    } else if m.target_duration != l.target {
        analysis.problem(l.problem(Sort::HlsTarget, "the target duration changes"))?;
    }
    l.target = m.target_duration;
    l.ended = m.ended;
    if again && m.media_sequence < l.last.0 {
        let what = format!("media sequence goes back from {} to {}", l.last.0, m.media_sequence);
        analysis.problem(l.problem(Sort::HlsSequence, &what))?;
    }
    let (first, known) = &l.last;
    let mut found = Vec::new();
    for s in &m.segments {
        let i = s.number.checked_sub(*first).and_then(|i| usize::try_from(i).ok());
        let Some((uri, discontinuity)) = i.and_then(|i| known.get(i)) else { continue };
        if *uri != s.uri {
            let what = format!("segment {} was {uri} and is {} now", s.number, s.uri);
            found.push(l.problem(Sort::HlsSequence, &what));
            break;
        }
        if *discontinuity != s.discontinuity_number {
            let what = format!(
                "segment {} had discontinuity number {discontinuity} and has {} now",
                s.number, s.discontinuity_number
            );
            found.push(l.problem(Sort::HlsDiscontinuity, &what));
            break;
        }
    }
    for p in found {
        analysis.problem(p)?;
    }
    l.last = (
        m.segments.first().map_or(m.media_sequence, |s| s.number),
        m.segments.iter().map(|s| (s.uri.clone(), s.discontinuity_number)).collect(),
    );
    let next = l.next.unwrap_or(0);
    let mut new = false;
    let end = m.segments.last().map_or(next, |s| s.number.saturating_add(1));
    for s in m.segments {
        if s.number < next && again {
            continue;
        }
        new = true;
        l.pending.push_back(Arc::new(s));
    }
    l.next = Some(end.max(next));
    if new || l.ended {
        l.changed = Instant::now();
        l.stalled = false;
    } else {
        let target = l.target.unwrap_or(Duration::from_secs(2)).to_std();
        let silent = l.changed.elapsed();
        if silent > target * STALLED && !std::mem::replace(&mut l.stalled, true) {
            let what = format!("no new segment for {:.1} s", silent.as_secs_f64());
            analysis.problem(l.problem(Sort::HlsStall, &what))?;
        }
        // A file on disk is given up with that: few are still written.
        l.ended = silent > target * if l.url.contains("://") { DEAD } else { STALLED };
    }
    if !l.ended && is_old(&l.url, l.target) {
        l.ended = true;
    }
    Ok(())
}

/// Whether the segments of all variants begin and end together.
fn compare<W: Write>(lists: &[List], analysis: &mut Analysis<W>) -> io::Result<()> {
    let mut variants = lists.iter().filter(|l| l.is_variant);
    let Some(first) = variants.next() else { return Ok(()) };
    for l in variants {
        if l.ended && first.ended && l.segments != first.segments {
            let what = format!("{} segments, {} has {}", l.segments, first.name, first.segments);
            analysis.problem(l.problem(Sort::HlsVariants, &what))?;
        }
        for (number, k) in &l.known {
            let Some(o) = first.known.get(number) else { continue };
            let length = (k.length - o.length).abs();
            let start = k.first.zip(o.first).map_or(Duration::ZERO, |(a, b)| (a - b).abs());
            if length > VARIANT_TOLERANCE || start > VARIANT_TOLERANCE {
                let what = format!(
                    "segment {number} begins {:.3} s from that of {} and lasts {:.3} s, that one {:.3} s",
                    start.as_secs_f64(),
                    first.name,
                    k.length.as_secs_f64(),
                    o.length.as_secs_f64()
                );
                let p = Problem { time: k.first, ..l.problem(Sort::HlsVariants, &what) };
                analysis.problem(p)?;
            }
        }
    }
    Ok(())
}
