//! Reads playlists: RFC 8216bis (draft 17) with its low-latency tags, and what is out there in its name.
//!
//! [`parse`] takes a whole playlist. What no player could go on with is an error; all else that breaks the rules is in
//! the playlist's `problems`, each with its line, and the tag is read as far as it makes sense. Tags that are not known
//! are passed over, as they must be (§4.1). Nothing is fetched: [`resolve`] says what a URI in a playlist means.

mod media;
mod model;
mod multivariant;
mod text;

pub use model::*;
pub use text::resolve;

use mist_core::time::Duration;
use std::sync::Arc;
use text::{Attributes, byte_range, date, iv, resolve_range, seconds};

/// What a playlist can make us hold.
pub mod limits {
    /// Bytes of a playlist.
    pub const MAX_BYTES: usize = 16 << 20;
    /// Bytes of a line, also after its variables were put in.
    pub const MAX_LINE: usize = 64 << 10;
    /// Segments.
    pub const MAX_SEGMENTS: usize = 200_000;
    /// Parts of all segments together.
    pub const MAX_PARTS: usize = 100_000;
    /// Entries of any other list: variants, renditions, date ranges, keys of a segment, attributes that begin with `X-`.
    pub const MAX_ENTRIES: usize = 10_000;
    /// Keys that one segment has.
    pub const MAX_KEYS: usize = 16;
    /// Variables.
    pub const MAX_VARIABLES: usize = 256;
    /// Problems that are kept.
    pub const MAX_PROBLEMS: usize = 256;
    /// Seconds that any duration is at most.
    pub const MAX_SECONDS: f64 = 1e9;
}

/// What is wrong in a playlist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {tag}{}{kind}", if .tag.is_empty() { "" } else { ": " })]
pub struct ParseError {
    /// Line, counted from 1.
    pub line: usize,
    /// The tag, without `#`; empty where it is about no tag.
    pub tag: &'static str,
    /// What is wrong.
    pub kind: ParseErrorKind,
}

/// The kinds of [`ParseError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseErrorKind {
    /// It doesn't begin with `#EXTM3U`.
    #[error("no #EXTM3U at the start: not a playlist")]
    NotPlaylist,
    /// It is not UTF-8.
    #[error("not UTF-8")]
    NotUtf8,
    /// Tags of a multivariant and of a media playlist are in one.
    #[error("tags of media and multivariant playlists in one")]
    Mixed,
    /// One of [`limits`] was reached.
    #[error("limit: {0}")]
    Limit(&'static str),
    /// A value can't be read.
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// Something is missing.
    #[error("missing: {0}")]
    Missing(&'static str),
    /// A tag that may be there once is there again.
    #[error("given more than once")]
    Repeated,
    /// Something is where it may not be.
    #[error("misplaced: {0}")]
    Misplaced(&'static str),
}

/// Where a playlist comes from, as far as `EXT-X-DEFINE` asks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Context<'a> {
    /// Query of the playlist's URL, without `?`.
    pub query: &'a str,
    /// Variables of the multivariant playlist that names it.
    pub variables: &'a [(String, String)],
}

/// Reads a playlist by itself.
///
/// # Errors
/// See [`ParseError`].
pub fn parse(data: &[u8]) -> Result<Playlist, ParseError> {
    parse_in(data, Context::default())
}

/// Reads a playlist that knows where it comes from.
///
/// # Errors
/// It is no playlist, no text, both kinds at once, or past a limit.
pub fn parse_in(data: &[u8], context: Context<'_>) -> Result<Playlist, ParseError> {
    let fail = |line, kind| ParseError { line, tag: "", kind };
    if data.len() > limits::MAX_BYTES {
        return Err(fail(0, ParseErrorKind::Limit("bytes of a playlist")));
    }
    let mut p = Parser { context, ..Parser::default() };
    let (text, marked) = match data.strip_prefix(b"\xEF\xBB\xBF") {
        Some(rest) => (rest, true),
        None => (data, false),
    };
    if !text.starts_with(b"#EXTM3U") {
        return Err(fail(1, ParseErrorKind::NotPlaylist));
    }
    if marked {
        p.line = 1;
        p.problem("", ParseErrorKind::Malformed("byte order mark"));
    }
    for (i, line) in text.split(|b| *b == b'\n').enumerate() {
        p.line = i + 1;
        if line.len() > limits::MAX_LINE {
            return Err(fail(p.line, ParseErrorKind::Limit("bytes of a line")));
        }
        let line = std::str::from_utf8(line).map_err(|_| fail(p.line, ParseErrorKind::NotUtf8))?;
        p.line(line.trim_end())?;
    }
    p.finish()
}

/// Everything up to the line that is read.
#[derive(Default)]
struct Parser<'a> {
    context: Context<'a>,
    line: usize,
    version: u8,
    variables: Vec<(String, String)>,
    multivariant: Multivariant,
    media: MediaPlaylist,
    problems: Vec<ParseError>,
    /// Tags that may be there once: those that were.
    once: Vec<&'static str>,
    is_multivariant: bool,
    is_media: bool,
    /// What the next URI is the media playlist of.
    variant: Option<Variant>,
    /// What the next URI is the segment of.
    segment: Segment,
    has_duration: bool,
    keys: Vec<Arc<Key>>,
    /// A segment, part or tag that ends a run of `EXT-X-KEY`s came since the last one.
    keys_used: bool,
    map: Option<Arc<Map>>,
    bitrate: Option<u64>,
    discontinuities: u64,
    parts: usize,
    /// Where the last byte range ended, of segments and of parts.
    range_end: Option<(String, u64)>,
    part_end: Option<(String, u64)>,
}

impl Parser<'_> {
    fn problem(&mut self, tag: &'static str, kind: ParseErrorKind) {
        if self.problems.len() < limits::MAX_PROBLEMS {
            self.problems.push(ParseError { line: self.line, tag, kind });
        }
    }

    fn limit<T>(&self, tag: &'static str, what: &'static str) -> Result<T, ParseError> {
        Err(ParseError { line: self.line, tag, kind: ParseErrorKind::Limit(what) })
    }

    fn once(&mut self, tag: &'static str) {
        if self.once.contains(&tag) {
            self.problem(tag, ParseErrorKind::Repeated);
        } else {
            self.once.push(tag);
        }
    }

    fn needs(&mut self, version: u8) {
        self.media.needs_version = self.media.needs_version.max(version);
    }

    /// The value, or a problem.
    fn read<T>(&mut self, tag: &'static str, what: &'static str, value: Option<T>) -> Option<T> {
        if value.is_none() {
            self.problem(tag, ParseErrorKind::Malformed(what));
        }
        value
    }

    fn line(&mut self, line: &str) -> Result<(), ParseError> {
        if line.is_empty() {
            return Ok(());
        }
        let Some(tag) = line.strip_prefix('#') else { return self.uri(line) };
        if !tag.starts_with("EXT") {
            return Ok(());
        }
        let (name, value) = tag.split_once(':').unwrap_or((tag, ""));
        if self.line == 1 {
            if name != "EXTM3U" {
                return Err(ParseError { line: 1, tag: "", kind: ParseErrorKind::NotPlaylist });
            }
            return Ok(());
        }
        if name == "EXT-X-DEFINE" {
            return self.define(value);
        }
        let value = self.substitute(value)?;
        self.tag(name, &value)
    }

    /// Puts variables in (§4.3).
    fn substitute(&mut self, text: &str) -> Result<String, ParseError> {
        if self.variables.is_empty() || !text.contains("{$") {
            return Ok(text.to_owned());
        }
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{$") {
            out.push_str(before);
            match after.split_once('}') {
                Some((name, tail)) => {
                    match self.variables.iter().find(|v| v.0 == name) {
                        Some(v) => out.push_str(&v.1),
                        None => self.problem("EXT-X-DEFINE", ParseErrorKind::Missing("a variable")),
                    }
                    rest = tail;
                }
                None => {
                    out.push_str("{$");
                    rest = after;
                }
            }
            if out.len() > limits::MAX_LINE {
                return self.limit("EXT-X-DEFINE", "bytes of a line");
            }
        }
        out.push_str(rest);
        if out.len() > limits::MAX_LINE {
            return self.limit("EXT-X-DEFINE", "bytes of a line");
        }
        Ok(out)
    }

    fn define(&mut self, value: &str) -> Result<(), ParseError> {
        const TAG: &str = "EXT-X-DEFINE";
        let mut a = self.attributes(TAG, value);
        let (name, given) = (a.text("NAME"), a.text("VALUE"));
        let (import, param) = (a.text("IMPORT"), a.text("QUERYPARAM"));
        let defined = match (name, import, param) {
            (Some(n), None, None) => Some((n, given)),
            (None, Some(n), None) => {
                let v = self.context.variables.iter().find(|v| v.0 == n).map(|v| v.1.clone());
                Some((n, v))
            }
            (None, None, Some(n)) => {
                let query = mist_core::url::Query::new(self.context.query);
                let v = query.iter().find(|(name, _)| *name == n).map(|(_, v)| v.to_string());
                Some((n, v))
            }
            _ => None,
        };
        match defined {
            None => self.problem(TAG, ParseErrorKind::Malformed("one of NAME, IMPORT and QUERYPARAM")),
            Some((_, None)) => self.problem(TAG, ParseErrorKind::Missing("a value")),
            Some((n, Some(_))) if self.variables.iter().any(|v| v.0 == n) => {
                self.problem(TAG, ParseErrorKind::Repeated);
            }
            Some((n, Some(v))) => {
                if self.variables.len() >= limits::MAX_VARIABLES {
                    return self.limit(TAG, "variables");
                }
                self.variables.push((n, v));
            }
        }
        self.needs(8);
        Ok(())
    }

    fn attributes(&mut self, tag: &'static str, value: &str) -> List {
        let mut list = List(Vec::new());
        for a in Attributes(value) {
            match a {
                Ok(_) if list.0.len() >= limits::MAX_ENTRIES => {
                    self.problem(tag, ParseErrorKind::Limit("attributes"));
                    break;
                }
                Ok(a) if list.0.iter().any(|b| b.0 == a.name) => {
                    self.problem(tag, ParseErrorKind::Malformed("attribute given twice"));
                }
                Ok(a) => list.0.push((a.name.to_owned(), a.value.to_owned())),
                Err(e) => self.problem(tag, ParseErrorKind::Malformed(e)),
            }
        }
        list
    }

    fn tag(&mut self, name: &str, value: &str) -> Result<(), ParseError> {
        match name {
            "EXT-X-VERSION" => {
                self.once("EXT-X-VERSION");
                let v = value.trim().parse().ok().filter(|v| *v > 0);
                self.version = self.read("EXT-X-VERSION", "a number", v).unwrap_or(1);
            }
            "EXT-X-INDEPENDENT-SEGMENTS" => {
                self.media.independent_segments = true;
                self.multivariant.independent_segments = true;
            }
            "EXT-X-START" => {
                self.once("EXT-X-START");
                let mut a = self.attributes("EXT-X-START", value);
                let offset = a.text("TIME-OFFSET").and_then(|t| seconds(&t));
                let precise = a.yes("PRECISE");
                let start = self.read("EXT-X-START", "TIME-OFFSET", offset);
                self.media.start = start.map(|offset| Start { offset, precise });
                self.multivariant.start = self.media.start;
            }
            "EXTM3U" => self.problem("EXTM3U", ParseErrorKind::Repeated),
            _ if self.multivariant_tag(name, value)? => self.is_multivariant = true,
            _ if self.media_tag(name, value)? => self.is_media = true,
            _ => {}
        }
        if self.is_multivariant && self.is_media {
            return Err(ParseError { line: self.line, tag: "", kind: ParseErrorKind::Mixed });
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Playlist, ParseError> {
        if self.variant.is_some() {
            self.problem("EXT-X-STREAM-INF", ParseErrorKind::Missing("URI of a variant"));
        }
        let version = self.version.max(1);
        if self.is_multivariant {
            let mut p = self.multivariant;
            (p.version, p.variables, p.problems) = (version, self.variables, self.problems);
            return Ok(Playlist::Multivariant(p));
        }
        if self.has_duration {
            self.problem("EXTINF", ParseErrorKind::Missing("URI of a segment"));
        }
        if self.media.target_duration.is_none() && !self.once.contains(&"EXT-X-TARGETDURATION") {
            self.problem("EXT-X-TARGETDURATION", ParseErrorKind::Missing("the tag"));
        }
        let mut p = self.media;
        let skipped = p.skipped.as_ref().map_or(0, |s| s.segments);
        let (first, discontinuity) = (p.media_sequence.saturating_add(skipped), p.discontinuity_sequence);
        for (i, s) in p.segments.iter_mut().enumerate() {
            s.number = first.saturating_add(i as u64);
            s.discontinuity_number = discontinuity.saturating_add(s.discontinuity_number);
        }
        p.parts = self.segment.parts;
        p.needs_version = p.needs_version.max(1);
        (p.version, p.problems) = (version, self.problems);
        Ok(Playlist::Media(p))
    }
}

/// Attributes of a tag, taken out as they are read.
struct List(Vec<(String, String)>);

impl List {
    fn text(&mut self, name: &str) -> Option<String> {
        let i = self.0.iter().position(|a| a.0 == name)?;
        Some(self.0.swap_remove(i).1)
    }

    fn or_empty(&mut self, name: &str) -> String {
        self.text(name).unwrap_or_default()
    }

    fn yes(&mut self, name: &str) -> bool {
        self.text(name).as_deref() == Some("YES")
    }
}

/// The body of a fuzz target: any bytes as a playlist, and what it names resolved.
#[cfg(any(test, fuzzing, feature = "fuzzing"))]
pub fn fuzz(data: &[u8]) {
    let Ok(p) = parse(data) else { return };
    assert!(p.problems().len() <= limits::MAX_PROBLEMS, "problems are bounded");
    match p {
        Playlist::Media(m) => {
            let numbers = m.segments.windows(2).all(|w| match w {
                [a, b] => a.number <= b.number && a.discontinuity_number <= b.discontinuity_number,
                _ => true,
            });
            assert!(numbers, "numbers don't go back");
            assert!(m.segments.iter().all(|s| s.duration >= Duration::ZERO), "durations are not negative");
            for s in m.segments.iter().take(64) {
                let once = resolve("http://host/a/b.m3u8?q", &s.uri);
                assert_eq!(resolve("http://other/", &once), once, "an absolute URL stays");
            }
        }
        Playlist::Multivariant(m) => {
            assert!(m.variants.len() <= data.len(), "a variant takes a line");
        }
    }
}

#[cfg(test)]
#[path = "parse/tests.rs"]
mod tests;
