//! Files to cues.

use super::lines::{Line, Lines};
use super::parse::{is_number, timestamp_map, timing};
use super::{Flavour, limits};
use bytes::Bytes;
use mist_core::codec::text::{self, Cue};
use mist_core::findings::Findings;
use mist_core::format::{Demuxed, ErrorKind, FormatError, Index, IndexEntry, Want};
use mist_core::media::{Media, Packet, Params, TrackId, TrackInfo};
use mist_core::time::{Duration, Timestamp};
use std::sync::Arc;

/// The only track.
const TRACK: TrackId = TrackId(1);

/// Times of a cue that is being read.
#[derive(Debug, Clone, Copy)]
struct Open {
    /// Where its line of times lies.
    at: u64,
    /// Where its text lies, once there is some.
    text_at: Option<u64>,
    start: Timestamp,
    end: Timestamp,
}

/// A cue as it comes out.
#[derive(Debug)]
struct Ready {
    start: Timestamp,
    duration: Duration,
    offset: u64,
    data: Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Reading lines.
    Reading,
    /// At this cue.
    Cues(usize),
}

/// Reads SubRip and WebVTT files.
///
/// Cues come out in the order of their times, whatever their order in the file. A file of SubRip needs no numbers and may
/// have empty lines anywhere: a cue ends where the next line of times is. WebVTT is read as its standard's parser does,
/// with more tolerance for times.
#[derive(Debug)]
pub struct Demuxer {
    flavour: Flavour,
    lines: Lines,
    ended: bool,
    state: State,
    cues: Vec<Ready>,
    announced: bool,
    /// There was something else than empty lines.
    content: bool,
    header: String,
    shift: Duration,
    block: Block,
    found: Findings,
}

/// What is known of the lines since the last cue or empty line.
#[derive(Debug, Default)]
struct Block {
    /// A cue is being read.
    open: Option<Open>,
    text: String,
    settings: String,
    id: String,
    /// Lines of it, and where it began.
    lines: usize,
    at: u64,
    /// WebVTT: no cue was there yet, so that there can be styles.
    head: Head,
    /// SubRip: a line of digits that may be the number of the next cue.
    number: Option<Number>,
    /// The line before was empty.
    empty_before: bool,
    /// What can't be read was reported.
    reported: bool,
}

#[derive(Debug)]
struct Number {
    text: String,
    at: u64,
    empty_before: bool,
    empty_after: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Head {
    /// Nothing was read.
    #[default]
    Start,
    /// In the first block.
    First,
    /// Behind it, before the first cue.
    Styles,
    /// Behind the first cue.
    Over,
}

impl Demuxer {
    /// At the start of a file.
    pub fn new(flavour: Flavour) -> Self {
        Self {
            flavour,
            lines: Lines::default(),
            ended: false,
            state: State::Reading,
            cues: Vec::new(),
            announced: false,
            content: false,
            header: String::new(),
            shift: Duration::ZERO,
            block: Block { empty_before: true, ..Block::default() },
            found: Findings::new(flavour.id()),
        }
    }

    fn err(&self, offset: u64, path: &'static str, kind: ErrorKind) -> FormatError {
        FormatError { format: self.flavour.id(), offset, path, kind }
    }

    fn problem(&mut self, offset: u64, path: &'static str, what: &'static str) {
        self.found.problem(offset, path, ErrorKind::Malformed(what));
    }

    fn fail(&mut self, offset: u64, path: &'static str, kind: ErrorKind) {
        self.found.fail(offset, path, kind);
    }

    fn node(&mut self, name: &'static str, offset: u64, detail: impl FnOnce() -> String) {
        let len = self.lines.offset().saturating_sub(offset);
        self.found.node(0, offset, len, name, detail);
    }

    fn line(&mut self, line: &Line) {
        if line.cut {
            self.found.problem(line.offset, "", ErrorKind::Limit("length of a line"));
        }
        match self.flavour {
            Flavour::Srt => self.srt(line),
            Flavour::Vtt => self.vtt(line),
        }
    }

    /// Appends a line to the text of the cue that is being read.
    fn append(&mut self, at: u64, line: &str) {
        let Some(open) = &mut self.block.open else { return };
        open.text_at.get_or_insert(at);
        if self.block.text.len() + line.len() < text::limits::CUE {
            if !self.block.text.is_empty() {
                self.block.text.push('\n');
            }
            self.block.text.push_str(line);
        } else if !std::mem::replace(&mut self.block.reported, true) {
            self.found.problem(at, "cue", ErrorKind::Limit("text of a cue"));
        }
    }

    fn srt(&mut self, line: &Line) {
        if line.text.trim().is_empty() {
            match &mut self.block.number {
                Some(n) => n.empty_after = true,
                None => self.block.empty_before = true,
            }
            return;
        }
        self.content = true;
        let times = line.text.contains("-->");
        if let Some(n) = self.block.number.take() {
            self.block.empty_before = n.empty_after;
            // The number of the next cue, unless it ended the text of this one.
            if !(times && (n.empty_before || !n.empty_after)) {
                self.append(n.at, &n.text);
            }
        }
        if let Some(t) = timing(&line.text).filter(|_| times) {
            self.close();
            self.block.open = Some(Open { at: line.offset, text_at: None, start: t.start, end: t.end });
        } else if times {
            self.close();
            self.problem(line.offset, "cue", "times of a cue");
            // Its text says nothing without them.
            self.block.reported = true;
        } else if is_number(&line.text) {
            let empty_before = self.block.empty_before;
            let text = line.text.clone();
            self.block.number = Some(Number { text, at: line.offset, empty_before, empty_after: false });
        } else if self.block.open.is_some() {
            self.append(line.offset, &line.text);
        } else if !std::mem::replace(&mut self.block.reported, true) {
            self.problem(line.offset, "", "text before the first cue");
        }
        self.block.empty_before = false;
    }

    /// One line of WebVTT: the loop of its §6.1 turned inside out.
    fn vtt(&mut self, line: &Line) {
        let l = line.text.as_str();
        match self.block.head {
            Head::Start => {
                if !text::is_header(l) {
                    return self.fail(line.offset, "", ErrorKind::Malformed("no WEBVTT at the start"));
                }
                self.header = l.trim_end().to_owned();
                self.block.head = Head::First;
                self.block.at = line.offset;
                return;
            }
            Head::First => {
                if l.is_empty() {
                    return self.close_header();
                }
                if !l.contains("-->") {
                    if let Some(shift) = timestamp_map(l) {
                        self.shift = shift;
                    } else {
                        self.keep(l);
                    }
                    return;
                }
                self.close_header();
            }
            Head::Styles | Head::Over => {}
        }
        if l.is_empty() {
            return self.close_vtt();
        }
        if l.contains("-->") {
            if self.block.open.is_some() || self.block.lines > 1 {
                // The next cue without an empty line before it.
                self.close_vtt();
            }
            self.block.id = std::mem::take(&mut self.block.text);
            self.block.lines = 2;
            match timing(l) {
                Some(t) => {
                    self.block.open =
                        Some(Open { at: line.offset, text_at: None, start: t.start, end: t.end });
                    t.rest.clone_into(&mut self.block.settings);
                    self.block.head = Head::Over;
                }
                None => {
                    self.problem(line.offset, "cue", "times of a cue");
                    self.block.reported = true;
                }
            }
            return;
        }
        if self.block.open.is_some() {
            return self.append(line.offset, l);
        }
        if self.block.lines == 0 {
            self.block.at = line.offset;
        }
        self.block.lines += 1;
        // A note, a style, a region, or what will be dropped.
        if self.block.text.len() + l.len() < text::limits::CUE {
            if self.block.lines > 1 {
                self.block.text.push('\n');
            }
            self.block.text.push_str(l);
        }
    }

    /// Keeps a line of the header.
    fn keep(&mut self, l: &str) {
        if self.header.len() + l.len() < text::limits::HEADER {
            self.header.push('\n');
            self.header.push_str(l);
        }
    }

    fn close_header(&mut self) {
        let detail = self.header.lines().next().unwrap_or("").to_owned();
        self.node("WEBVTT", self.block.at, || detail);
        self.block.head = Head::Styles;
    }

    /// An empty line, or what stands for one.
    fn close_vtt(&mut self) {
        if self.block.open.is_some() || self.block.lines == 0 {
            return self.close();
        }
        let block = std::mem::take(&mut self.block.text);
        let (first, at) = (block.lines().next().unwrap_or("").trim_end(), self.block.at);
        match first {
            "STYLE" | "REGION" if self.block.head == Head::Styles => {
                let name = if first == "STYLE" { "STYLE" } else { "REGION" };
                if self.header.len() + block.len() + 2 < text::limits::HEADER {
                    self.header.push_str("\n\n");
                    self.header.push_str(block.trim_end());
                }
                self.node(name, at, || format!("{} bytes", block.len()));
            }
            "STYLE" | "REGION" => self.problem(at, "cue", "styles and regions behind the first cue"),
            _ if first.starts_with("NOTE") => {
                self.node("NOTE", at, || block.get(4..).unwrap_or("").trim().to_owned());
            }
            // Behind a line of times that was reported there may be any text.
            _ if self.block.reported => {}
            _ if first.is_empty() => {}
            _ => self.problem(at, "cue", "text outside of cues"),
        }
        self.close();
    }

    /// Ends the cue that is being read.
    fn close(&mut self) {
        let block = &mut self.block;
        let (text, id, settings) = (
            std::mem::take(&mut block.text),
            std::mem::take(&mut block.id),
            std::mem::take(&mut block.settings),
        );
        (block.lines, block.reported) = (0, false);
        let Some(open) = block.open.take() else { return };
        let (start, end) = (open.start + self.shift, open.end + self.shift);
        if end <= start {
            return self.problem(open.at, "cue", "a cue that ends before it begins");
        }
        if end <= Timestamp::ZERO {
            return self.problem(open.at, "cue", "a cue before time zero");
        }
        if self.cues.len() >= limits::CUES {
            return self.fail(open.at, "", ErrorKind::Limit("cues"));
        }
        let start = start.max(Timestamp::ZERO);
        let data = match self.flavour {
            Flavour::Srt => text::canonical(text.into()),
            Flavour::Vtt => Cue { id: id.into(), settings: settings.into(), text: text.into() }.build(),
        };
        self.node("cue", open.at, || {
            format!("{} to {} ms, {} bytes", start.as_millis(), end.as_millis(), data.len())
        });
        let offset = open.text_at.unwrap_or(open.at);
        self.cues.push(Ready { start, duration: end - start, offset, data });
    }

    /// After the last line.
    fn finish(&mut self) {
        if self.block.head == Head::First {
            self.close_header();
        }
        if let Some(n) = self.block.number.take() {
            // Of a cue that isn't there.
            if !n.empty_before {
                self.append(n.at, &n.text);
            }
        }
        match self.flavour {
            Flavour::Srt => self.close(),
            Flavour::Vtt => self.close_vtt(),
        }
        let end = self.lines.offset();
        match self.flavour {
            Flavour::Srt if self.cues.is_empty() && self.content => {
                self.fail(0, "", ErrorKind::Malformed("no cue"));
            }
            Flavour::Vtt if self.block.head == Head::Start => self.fail(end, "", ErrorKind::Truncated),
            _ => {}
        }
        if self.cues.windows(2).any(|w| matches!(w, [a, b] if b.start < a.start)) {
            // Stable: cues that begin together keep their order.
            self.cues.sort_by_key(|c| c.start);
        }
        self.state = State::Cues(0);
    }

    fn announce(&mut self) -> Demuxed {
        self.announced = true;
        let header = Bytes::from(std::mem::take(&mut self.header));
        let init = match self.flavour {
            Flavour::Srt => Bytes::new(),
            Flavour::Vtt => text::canonical_header(header).unwrap_or_default(),
        };
        let info = TrackInfo::new(TRACK, self.flavour.codec(), init, Params::Other);
        Demuxed::Media(Media::Track(Arc::new(info)))
    }
}

impl mist_core::format::Demuxer for Demuxer {
    fn push(&mut self, _offset: u64, data: Bytes) {
        if self.state == State::Reading && self.found.error().is_none() {
            self.ended = false;
            self.lines.push(data);
        }
    }

    fn end(&mut self) {
        self.ended = true;
        self.lines.end();
    }

    fn poll(&mut self) -> Result<Demuxed, FormatError> {
        loop {
            if let Some(found) = self.found.pop() {
                return found;
            }
            match self.state {
                State::Reading => {
                    if self.lines.seen() > limits::FILE as u64 {
                        self.fail(limits::FILE as u64, "", ErrorKind::Limit("length of a file"));
                    } else if let Some(line) = self.lines.next_line() {
                        self.line(&line);
                    } else if self.ended {
                        self.finish();
                    } else {
                        return Ok(Demuxed::Need(Want::Next));
                    }
                }
                State::Cues(_) if !self.announced => return Ok(self.announce()),
                State::Cues(n) => {
                    let Some(c) = self.cues.get(n) else { return Ok(Demuxed::End) };
                    self.state = State::Cues(n + 1);
                    let packet = Packet {
                        track: TRACK,
                        dts: c.start,
                        cts: Duration::ZERO,
                        duration: c.duration,
                        key: true,
                        data: c.data.clone(),
                    };
                    self.found.packet(packet, c.offset);
                }
            }
        }
    }

    fn seek(&mut self, to: Timestamp) -> Result<Timestamp, FormatError> {
        if self.state == State::Reading || self.found.error().is_some() {
            return Err(self.err(
                self.lines.offset(),
                "",
                ErrorKind::Unsupported("seeking before all was read"),
            ));
        }
        // The first cue that is shown at that time, or the one before it.
        let before = self.cues.partition_point(|c| c.start <= to);
        let shown = self.cues.iter().take(before).position(|c| c.start + c.duration > to);
        let at = shown.unwrap_or(before.saturating_sub(1));
        self.found.seek();
        self.state = State::Cues(at);
        Ok(self.cues.get(at).map_or(to, |c| c.start))
    }

    fn packet_offset(&self) -> Option<u64> {
        self.found.packet_offset()
    }

    fn index(&self) -> Option<Index> {
        let line = |c: &Ready| IndexEntry {
            dts: c.start,
            cts: Duration::ZERO,
            duration: c.duration,
            size: u32::try_from(c.data.len()).unwrap_or(u32::MAX),
            key: true,
        };
        let read = self.state != State::Reading && !self.cues.is_empty();
        read.then(|| Index { tracks: vec![(TRACK, self.cues.iter().map(line).collect())] })
    }

    fn want_nodes(&mut self) {
        self.found.want_nodes();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mist_core::format::Demuxer as _;

    /// Start, end and payload of cues; problems by what is wrong; how it ended.
    type Seen = (Vec<(i64, i64, String)>, Vec<&'static str>, Option<ErrorKind>);

    fn read(flavour: Flavour, file: &[u8], step: usize) -> Seen {
        let mut d = Demuxer::new(flavour);
        let (mut seen, mut at): (Seen, usize) = Default::default();
        loop {
            match d.poll() {
                Ok(Demuxed::Media(Media::Packet(p))) => {
                    let ms = p.dts.as_millis();
                    seen.0.push((
                        ms,
                        ms + p.duration.as_millis(),
                        String::from_utf8(p.data.to_vec()).unwrap(),
                    ));
                }
                Ok(Demuxed::Problem(e)) => match e.kind {
                    ErrorKind::Malformed(what) | ErrorKind::Limit(what) => seen.1.push(what),
                    other => panic!("{other}"),
                },
                Ok(Demuxed::Need(_)) if at == file.len() => d.end(),
                Ok(Demuxed::Need(_)) => {
                    let n = step.min(file.len() - at);
                    d.push(at as u64, Bytes::copy_from_slice(&file[at..at + n]));
                    at += n;
                }
                Ok(Demuxed::End) => return seen,
                Ok(_) => {}
                Err(e) => {
                    seen.2 = Some(e.kind);
                    return seen;
                }
            }
        }
    }

    fn cues(flavour: Flavour, file: &str) -> (Vec<(i64, i64, String)>, Vec<&'static str>) {
        let whole = read(flavour, file.as_bytes(), file.len().max(1));
        for step in [1, 2, 7] {
            assert_eq!(read(flavour, file.as_bytes(), step), whole, "in steps of {step}");
        }
        for cut in 0..file.len() {
            read(flavour, &file.as_bytes()[..cut], 5);
        }
        let _ = whole.2.is_none_or(|e| panic!("{e}"));
        (whole.0, whole.1)
    }

    fn cue(from: i64, to: i64, text: &str) -> (i64, i64, String) {
        (from, to, text.to_owned())
    }

    #[test]
    fn subrip_as_people_write_it() {
        let (got, problems) = cues(
            Flavour::Srt,
            "hello\n1\n00:00:05,000 --> 00:00:06,000 X1:40\nlater\n1984\n\n2\n\n00:00:01,000 --> 00:00:02,000\n\n\
             a\n\nb\n00:00:03.5 --> 00:00:04,000\nno number\n4\n00:00:09,000 --> 00:00:08,000\nbackwards\n\
             5\n00:00:10,000 --> never\nlost\n6\n-00:00:02,000 --> 00:00:00,500\nclamped\n\n\
             -00:00:02,000 --> -00:00:00,500\ngone\n\n7",
        );
        assert_eq!(
            got,
            [
                cue(0, 500, "clamped"),
                cue(1000, 2000, "a\nb"),
                cue(3005, 4000, "no number"),
                cue(5000, 6000, "later\n1984"),
            ]
        );
        assert_eq!(
            problems,
            [
                "text before the first cue",
                "a cue that ends before it begins",
                "times of a cue",
                "a cue before time zero",
            ]
        );
        assert_eq!(read(Flavour::Srt, b"1\r\nno", 3).2, Some(ErrorKind::Malformed("no cue")));
        assert_eq!(read(Flavour::Srt, b"\r\n", 3), Seen::default(), "nothing is a file of no cues");
    }

    #[test]
    fn webvtt_by_its_standard() {
        let file = "WEBVTT - title\nKind: x\nX-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:900000\n\nSTYLE\n::cue(b) {}\n\n\
            NOTE a\nb\n\nREGION\nid:r\n\nid one\n00:01.000 --> 00:02.000 region:r line:0\n<b>x</b>\ny\n\n\
            00:02.000 --> 00:03.000\nz\n00:03.000 --> 00:04.000\nno empty line\n\nSTYLE\nlate\n\nstray\ntext\n\n\
            id\n00:05.000 --> x\nlost\n\n00:06.000 --> 00:07.000";
        let (got, problems) = cues(Flavour::Vtt, file);
        assert_eq!(
            got,
            [
                cue(11_000, 12_000, "id one\n--> region:r line:0\n<b>x</b>\ny"),
                cue(12_000, 13_000, "z"),
                cue(13_000, 14_000, "no empty line"),
                cue(16_000, 17_000, ""),
            ]
        );
        assert_eq!(
            problems,
            ["styles and regions behind the first cue", "text outside of cues", "times of a cue"]
        );
        let mut d = Demuxer::new(Flavour::Vtt);
        d.want_nodes();
        d.push(0, Bytes::copy_from_slice(file.as_bytes()));
        d.end();
        let (mut nodes, mut init) = (Vec::new(), Bytes::new());
        loop {
            match d.poll().unwrap() {
                Demuxed::Node(n) => nodes.push(n.name),
                Demuxed::Media(Media::Track(t)) => init = t.init.clone(),
                Demuxed::End => break,
                _ => {}
            }
        }
        assert_eq!(nodes, ["WEBVTT", "STYLE", "NOTE", "REGION", "cue", "cue", "cue", "cue"]);
        assert_eq!(init, "WEBVTT - title\nKind: x\n\nSTYLE\n::cue(b) {}\n\nREGION\nid:r");
        // What is shown at a time begins before it.
        for (to, want) in
            [(0, 11_000), (11_500, 11_000), (12_500, 12_000), (14_500, 13_000), (99_000, 16_000)]
        {
            assert_eq!(d.seek(Timestamp::from_millis(to)).unwrap(), Timestamp::from_millis(want), "{to}");
            let Ok(Demuxed::Media(Media::Packet(p))) = d.poll() else { panic!() };
            assert_eq!(p.dts.as_millis(), want);
            assert!(file[d.packet_offset().unwrap() as usize..].starts_with(['<', 'z', 'n', '0']));
        }
        assert_eq!(d.index().unwrap().tracks[0].1.len(), 4);
        assert_eq!(read(Flavour::Vtt, b"WEBVT", 3).2, Some(ErrorKind::Malformed("no WEBVTT at the start")));
        assert_eq!(read(Flavour::Vtt, b"", 3).2, Some(ErrorKind::Truncated));
    }

    #[test]
    fn limits_hold() {
        let cue = "0:0,0-->0:1\n";
        let many = cue.repeat(limits::CUES + 1);
        assert_eq!(read(Flavour::Srt, many.as_bytes(), 1 << 20).2, Some(ErrorKind::Limit("cues")));
        let big = vec![b'x'; limits::FILE + 1];
        assert_eq!(read(Flavour::Srt, &big, 1 << 20).2, Some(ErrorKind::Limit("length of a file")));
        let long = format!("0:0,0-->0:1\n{}", "x\n".repeat(text::limits::CUE));
        let got = read(Flavour::Srt, long.as_bytes(), 4096);
        assert_eq!((got.0.len(), &got.1[..]), (1, &["text of a cue"][..]));
        let wide = format!("0:0,0-->0:1\n{}", "x".repeat(limits::LINE + 1));
        assert_eq!(read(Flavour::Srt, wide.as_bytes(), 4096).1[0], "length of a line");
    }
}
