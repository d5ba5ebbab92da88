//! What people and programs read.

use crate::json::{Description, Head, Line, NodeLine, ProblemLine, Summary, captions, ms};
use crate::problem::{Problem, Problems, Severity};
use crate::track::Track;
use mist_core::codec::rfc6381::codec_string;
use mist_core::format::Node;
use mist_core::media::{Colour, Kind, Packet, Params};
use mist_core::time::{Duration, Timestamp};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};

/// Problems of one sort that the text lists.
const MAX_LISTED: u64 = 10;
/// Characters of a node's values that the text shows; JSON has them all.
const MAX_DETAIL: usize = 400;

/// What is said of a source as a whole.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Whole {
    pub(crate) duration: Option<Duration>,
    /// Picture's start to sound's start.
    pub(crate) start_offset: Option<Duration>,
    /// The longest way that a packet comes behind one of a later time.
    pub(crate) interleave: Option<Duration>,
}

/// Colours on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    Plain,
    Colour,
}

/// What a colour is for.
#[derive(Debug, Clone, Copy)]
enum Ink {
    Error,
    Warning,
    Info,
    Sound,
    Head,
    Dim,
}

impl Paint {
    fn on(self, ink: Ink, text: &str) -> String {
        if self == Self::Plain {
            return text.to_owned();
        }
        let code = match ink {
            Ink::Error => "1;31",
            Ink::Warning => "1;33",
            Ink::Info => "36",
            Ink::Sound => "1;32",
            Ink::Head => "1",
            Ink::Dim => "2",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// How much is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Detail {
    /// Tracks and problems
    Summary,
    /// The container's structure too: tags, tables, boxes
    Structure,
    /// Every packet too
    Packets,
    /// Every packet too, with its payload in hexadecimal
    Hex,
}

/// Writes the report as it goes.
pub(crate) struct Report<W> {
    out: W,
    json: bool,
    detail: Detail,
    paint: Paint,
    format: Option<&'static str>,
    nodes: u64,
}

impl<W: Write> Report<W> {
    /// Nothing is written yet.
    pub(crate) fn new(out: W, json: bool, detail: Detail, paint: Paint) -> Self {
        Self { out, json, detail, paint, format: None, nodes: 0 }
    }

    /// Whether nodes are shown: in text at every level from structure on; lines of JSON are packets.
    pub(crate) fn wants_nodes(&self) -> bool {
        self.detail == Detail::Structure || self.detail > Detail::Structure && !self.json
    }

    fn wants_packets(&self) -> bool {
        self.detail >= Detail::Packets
    }

    /// One object, opened early so that an endless list of nodes needn't be kept.
    fn is_open_object(&self) -> bool {
        self.json && self.wants_nodes() && self.format.is_some()
    }

    fn line(&mut self, v: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, v)?;
        self.out.write_all(b"\n")
    }

    /// The format is known.
    pub(crate) fn begin(&mut self, format: &'static str) -> io::Result<()> {
        self.format = Some(format);
        if self.is_open_object() {
            writeln!(self.out, "{{\"format\":\"{format}\",\"structure\":[")?;
        }
        Ok(())
    }

    /// A piece of structure.
    pub(crate) fn node(&mut self, n: &Node) -> io::Result<()> {
        if !self.wants_nodes() {
            return Ok(());
        }
        self.nodes += 1;
        if self.json {
            self.out.write_all(if self.nodes > 1 { b"," } else { b" " })?;
            return self.line(&NodeLine::of(n));
        }
        let indent = usize::from(n.depth.min(32)) * 2;
        let detail = printable(&n.detail);
        let name = self.paint.on(Ink::Head, n.name);
        let offset = self.paint.on(Ink::Dim, &format!("{:>12}", n.offset));
        writeln!(self.out, "{offset} {:indent$}{name} [{}] {detail}", "", n.len)
    }

    /// A description, before the first packet that has it.
    pub(crate) fn track(&mut self, t: &Track) -> io::Result<()> {
        if !self.wants_packets() {
            return Ok(());
        }
        if self.json {
            return self.line(&Line::Track(Description::of(t)));
        }
        writeln!(self.out, "track {}: {}", t.info.id, describe(t))
    }

    /// A packet.
    pub(crate) fn packet(&mut self, p: &Packet, offset: Option<u64>) -> io::Result<()> {
        if !self.wants_packets() {
            return Ok(());
        }
        let hex = self.detail == Detail::Hex;
        if self.json {
            return self.line(&Line::of(p, offset, hex));
        }
        let (pts, dts, key) = (ms(p.pts()), ms(p.dts), if p.key { " key" } else { "" });
        let at = offset.map(|o| format!("  at {o}")).unwrap_or_default();
        writeln!(
            self.out,
            "track {}  pts {pts:.3} ms  dts {dts:.3} ms  {} bytes{key}{at}",
            p.track,
            p.data.len()
        )?;
        if hex {
            for (i, row) in p.data.chunks(16).enumerate() {
                hex_row(&mut self.out, i * 16, row)?;
            }
        }
        Ok(())
    }

    /// A problem, where it was found.
    pub(crate) fn problem(&mut self, p: &Problem) -> io::Result<()> {
        match (self.detail, self.json) {
            (Detail::Summary, _) | (Detail::Structure, true) => Ok(()),
            (_, true) => self.line(&Line::Problem(ProblemLine::of(p))),
            (_, false) => writeln!(self.out, "{}", problem_text(p, self.paint)),
        }
    }

    /// Writes out what waits in buffers.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// The summary, last of all.
    pub(crate) fn end(&mut self, whole: &Whole, tracks: &[Track], problems: &Problems) -> io::Result<()> {
        if self.json {
            let mut summary = Summary::of(whole, tracks, problems);
            if self.is_open_object() {
                // The rest of the members, without the brace that opens them.
                let rest = serde_json::to_string(&summary)?;
                writeln!(self.out, "],{}", rest.trim_start_matches('{'))?;
            } else {
                summary.head = Some(Head { format: self.format });
                summary.line = self.wants_packets().then_some("summary");
                self.line(&summary)?;
            }
            return self.out.flush();
        }
        if self.detail > Detail::Summary {
            writeln!(self.out)?;
        }
        if let Some(format) = self.format {
            let seconds = |d: Duration| format!("{:.3} s", d.as_secs_f64());
            let length = whole.duration.map_or_else(|| "no duration".to_owned(), seconds);
            let several = count(tracks.len() as u64, "track");
            let ink = if problems.total() == 0 { Ink::Sound } else { Ink::Error };
            let verdict = self.paint.on(ink, &count(problems.total(), "problem"));
            writeln!(self.out, "{}, {length}, {several}, {verdict}", self.paint.on(Ink::Head, format))?;
            let mut more = Vec::new();
            more.extend(whole.start_offset.map(|d| {
                let way = if d < Duration::ZERO { "before" } else { "after" };
                if d.abs() < Duration::from_millis(1) {
                    return "sound and pictures begin together".to_owned();
                }
                format!("sound begins {} {way} the pictures", seconds(d.abs()))
            }));
            let far = whole.interleave.filter(|_| tracks.len() > 1 && whole.start_offset.is_some());
            more.extend(far.map(|d| format!("interleaved within {}", seconds(d))));
            if !more.is_empty() {
                writeln!(self.out, "  {}", more.join(", "))?;
            }
        }
        for t in tracks {
            self.out.write_all(track_text(t, self.paint).as_bytes())?;
        }
        self.problems(problems)?;
        self.out.flush()
    }

    fn problems(&mut self, problems: &Problems) -> io::Result<()> {
        let mut listed: BTreeMap<_, u64> = BTreeMap::new();
        for p in problems.kept() {
            let n = listed.entry(p.sort).or_default();
            if *n < MAX_LISTED {
                *n += 1;
                writeln!(self.out, "{}", problem_text(p, self.paint))?;
            }
        }
        for (sort, n) in problems.counts().filter(|(_, n)| *n > MAX_LISTED) {
            writeln!(self.out, "… and {} more of {}", n - MAX_LISTED, sort.id())?;
        }
        Ok(())
    }
}

fn count(n: u64, what: &str) -> String {
    match n {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        n => format!("{n} {what}s"),
    }
}

/// Values come from the file: nothing in them may drive a terminal.
fn printable(s: &str) -> String {
    let mut out = String::new();
    for (i, c) in s.chars().enumerate() {
        if i == MAX_DETAIL {
            out.push('…');
            break;
        }
        if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

/// Seconds of a time, without a sign that rounding leaves behind.
fn seconds(t: Timestamp) -> f64 {
    let s = t.as_secs_f64();
    if s.abs() < 0.0005 { 0.0 } else { s }
}

fn hex_row(out: &mut impl Write, at: usize, row: &[u8]) -> io::Result<()> {
    let (mut hex, mut text) = (String::new(), String::new());
    for b in row {
        let _ = write!(hex, " {b:02x}");
        text.push(if b.is_ascii_graphic() || *b == b' ' { char::from(*b) } else { '.' });
    }
    writeln!(out, "  {at:08x} {hex:<48}  {text}")
}

fn problem_text(p: &Problem, paint: Paint) -> String {
    let severity = p.sort.severity();
    let ink = match severity {
        Severity::Error => Ink::Error,
        Severity::Warning => Ink::Warning,
        Severity::Info => Ink::Info,
    };
    let mut s = format!("{}: ", paint.on(ink, severity.name()));
    let mut at = Vec::new();
    at.extend(p.offset.map(|o| format!("byte {o}")));
    at.extend(p.track.map(|t| format!("track {t}")));
    at.extend(p.time.map(|t| format!("{:.3} ms", ms(t))));
    if !at.is_empty() {
        let _ = write!(s, "{}: ", at.join(", "));
    }
    let _ = write!(s, "{} {}", printable(&p.message()), paint.on(Ink::Dim, &format!("({})", p.sort.id())));
    s
}

fn describe(t: &Track) -> String {
    let i = &t.info;
    let mut s = format!("{} {}", i.codec.kind().name(), i.codec.name());
    if let Some(c) = codec_string(i) {
        let _ = write!(s, " ({c})");
    }
    match i.params {
        Params::Video { width, height, fpks } => {
            if width > 0 {
                let _ = write!(s, ", {width}x{height}");
            }
            if fpks > 0 {
                let _ = write!(s, ", {} fps", f64::from(fpks) / 1000.0);
            }
        }
        Params::Audio { rate, channels, .. } => {
            if rate > 0 {
                let _ = write!(s, ", {rate} Hz");
            }
            if channels > 0 {
                let _ = write!(s, ", {}", count(channels.into(), "channel"));
            }
        }
        _ => {}
    }
    if let Some((w, h)) = t.sar() {
        let _ = write!(s, ", pixels {w}:{h}");
    }
    if i.visual.rotation > 0 {
        let _ = write!(s, ", turned by {}°", i.visual.rotation);
    }
    if let Some(c) = i.visual.colour.as_ref().and_then(colour) {
        let _ = write!(s, ", {c}");
    }
    if let Some(l) = i.lang {
        let _ = write!(s, ", {l}");
    }
    s
}

/// Colours by their usual names (ITU-T H.273), where they have one.
fn colour(c: &Colour) -> Option<String> {
    let primaries = match c.primaries {
        1 => "BT.709",
        5 | 6 => "BT.601",
        9 => "BT.2020",
        11 | 12 => "P3",
        _ => "",
    };
    let transfer = match c.transfer {
        16 => "PQ (HDR)",
        18 => "HLG (HDR)",
        8 => "linear",
        _ => "",
    };
    let range = if c.full_range { "full range" } else { "" };
    let all: Vec<_> = [primaries, transfer, range].into_iter().filter(|w| !w.is_empty()).collect();
    (!all.is_empty()).then(|| all.join(" "))
}

fn track_text(t: &Track, paint: Paint) -> String {
    let mut s = format!("{}: {}", paint.on(Ink::Head, &format!("track {}", t.info.id)), describe(t));
    let video = t.info.codec.kind() == Kind::Video;
    if let (Params::Video { fpks: 0, .. }, Some(f)) = (t.info.params, t.packet_rate()) {
        let _ = write!(s, ", {f:.3} fps measured");
    }
    let _ = write!(s, "\n  {}", count(t.packets, "packet"));
    if video {
        let _ = write!(s, ", {}", count(t.keyframes, "keyframe"));
    }
    let _ = write!(s, ", {} bytes", t.bytes);
    if let Some(b) = t.bit_rate() {
        let _ = write!(s, ", {:.1} kbit/s", b / 1000.0);
    }
    if let Some(b) = t.peak_bit_rate() {
        let _ = write!(s, " (peak {:.1})", b / 1000.0);
    }
    if let Some(times) = t.times {
        let (from, to) = (seconds(times.min_pts), seconds(times.max_pts));
        let _ = write!(s, ", from {from:.3} to {to:.3} s");
    }
    if let Some(g) = t.gops.filter(|_| video) {
        let [min, avg, max] = [g.min, g.average(), g.max].map(Duration::as_secs_f64);
        let _ = write!(s, "\n  GOP {min:.3} / {avg:.3} / {max:.3} s (min, average, max)");
        let _ = write!(s, ", {:.1} frames", g.packets());
        s.push_str(if t.reordered { ", B-frames" } else { ", no B-frames" });
    }
    let captions: Vec<_> = captions(t).collect();
    if !captions.is_empty() {
        let _ = write!(s, "\n  captions in the pictures: {}", captions.join(", "));
    }
    if t.changes > 0 {
        let _ = write!(
            s,
            "\n  description changed {}",
            if t.changes == 1 { "once".to_owned() } else { format!("{} times", t.changes) }
        );
    }
    s.push('\n');
    s
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_from_a_file_cannot_drive_a_terminal() {
        assert_eq!(printable("a\u{1b}[2J\u{9b}31m\nb"), "a\\u{1b}[2J\\u{9b}31m\\nb");
        assert_eq!(printable(&"é".repeat(MAX_DETAIL + 1)).chars().count(), MAX_DETAIL + 1);
    }
}
