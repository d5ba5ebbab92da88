//! Reads playlists: RFC 8216bis (draft 17) with its low-latency tags, and what is out there in its name.
//!
//! [`parse`] takes a whole playlist. What no player could go on with is an error; all else that breaks the rules is in
//! the playlist's `problems`, each with its line, and the tag is read as far as it makes sense. Tags that are not known
//! are passed over, as they must be (§4.1). Nothing is fetched: [`resolve`] says what a URI in a playlist means.

mod model;
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

    /// Whether it was a tag of a multivariant playlist.
    fn multivariant_tag(&mut self, name: &str, value: &str) -> Result<bool, ParseError> {
        match name {
            "EXT-X-STREAM-INF" => {
                if self.variant.is_some() {
                    self.problem("EXT-X-STREAM-INF", ParseErrorKind::Missing("URI of a variant"));
                }
                self.variant = Some(self.variant("EXT-X-STREAM-INF", value, false));
            }
            "EXT-X-I-FRAME-STREAM-INF" => {
                let v = self.variant("EXT-X-I-FRAME-STREAM-INF", value, true);
                if v.uri.is_empty() {
                    self.problem("EXT-X-I-FRAME-STREAM-INF", ParseErrorKind::Missing("URI"));
                } else {
                    self.add_variant(v)?;
                }
            }
            "EXT-X-MEDIA" => self.rendition(value)?,
            "EXT-X-SESSION-DATA" => {
                let mut a = self.attributes("EXT-X-SESSION-DATA", value);
                let id = self.required("EXT-X-SESSION-DATA", "DATA-ID", &mut a);
                let d = SessionData {
                    id,
                    value: a.text("VALUE"),
                    uri: a.text("URI"),
                    language: a.or_empty("LANGUAGE"),
                };
                if d.value.is_some() == d.uri.is_some() {
                    self.problem("EXT-X-SESSION-DATA", ParseErrorKind::Malformed("one of VALUE and URI"));
                }
                if self.multivariant.session_data.len() >= limits::MAX_ENTRIES {
                    return self.limit("EXT-X-SESSION-DATA", "entries");
                }
                self.multivariant.session_data.push(d);
            }
            "EXT-X-SESSION-KEY" => {
                if let Some(k) = self.key("EXT-X-SESSION-KEY", value) {
                    if self.multivariant.session_keys.len() >= limits::MAX_ENTRIES {
                        return self.limit("EXT-X-SESSION-KEY", "entries");
                    }
                    self.multivariant.session_keys.push(k);
                }
            }
            "EXT-X-CONTENT-STEERING" => {
                self.once("EXT-X-CONTENT-STEERING");
                let mut a = self.attributes("EXT-X-CONTENT-STEERING", value);
                let uri = self.required("EXT-X-CONTENT-STEERING", "SERVER-URI", &mut a);
                self.multivariant.steering = Some(Steering { uri, pathway: a.or_empty("PATHWAY-ID") });
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn required(&mut self, tag: &'static str, name: &'static str, a: &mut List) -> String {
        let v = a.text(name).filter(|v| !v.is_empty());
        if v.is_none() {
            self.problem(tag, ParseErrorKind::Missing(name));
        }
        v.unwrap_or_default()
    }

    /// A number that must be one if it is there.
    fn number<T: std::str::FromStr>(
        &mut self,
        tag: &'static str,
        name: &'static str,
        a: &mut List,
    ) -> Option<T> {
        let text = a.text(name)?;
        self.read(tag, name, text.parse().ok())
    }

    /// A duration that must be one if it is there.
    fn length(&mut self, tag: &'static str, name: &'static str, a: &mut List) -> Option<Duration> {
        let text = a.text(name)?;
        self.read(tag, name, seconds(&text).filter(|d| *d >= Duration::ZERO))
    }

    fn variant(&mut self, tag: &'static str, value: &str, i_frames: bool) -> Variant {
        let mut a = self.attributes(tag, value);
        let bandwidth = self.number(tag, "BANDWIDTH", &mut a);
        if bandwidth.is_none() {
            self.problem(tag, ParseErrorKind::Missing("BANDWIDTH"));
        }
        let resolution = a.text("RESOLUTION").and_then(|t| {
            let size = t.split_once(['x', 'X']).and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
            self.read(tag, "RESOLUTION", size)
        });
        Variant {
            uri: if i_frames { a.or_empty("URI") } else { String::new() },
            i_frames,
            bandwidth: bandwidth.unwrap_or(0),
            average_bandwidth: self.number(tag, "AVERAGE-BANDWIDTH", &mut a),
            score: self.number(tag, "SCORE", &mut a).filter(|s: &f64| s.is_finite()),
            codecs: a.or_empty("CODECS"),
            supplemental_codecs: a.or_empty("SUPPLEMENTAL-CODECS"),
            resolution,
            frame_rate: self.number(tag, "FRAME-RATE", &mut a).filter(|f: &f64| f.is_finite()),
            hdcp_level: a.or_empty("HDCP-LEVEL"),
            allowed_cpc: a.or_empty("ALLOWED-CPC"),
            video_range: a.or_empty("VIDEO-RANGE"),
            stable_id: a.or_empty("STABLE-VARIANT-ID"),
            pathway: a.or_empty("PATHWAY-ID"),
            video: a.or_empty("VIDEO"),
            audio: a.or_empty("AUDIO"),
            subtitles: a.or_empty("SUBTITLES"),
            closed_captions: a.or_empty("CLOSED-CAPTIONS"),
            line: self.line,
        }
    }

    fn add_variant(&mut self, v: Variant) -> Result<(), ParseError> {
        if self.multivariant.variants.len() >= limits::MAX_ENTRIES {
            return self.limit("EXT-X-STREAM-INF", "variants");
        }
        self.multivariant.variants.push(v);
        Ok(())
    }

    fn rendition(&mut self, value: &str) -> Result<(), ParseError> {
        const TAG: &str = "EXT-X-MEDIA";
        let mut a = self.attributes(TAG, value);
        let kind = match a.text("TYPE").as_deref() {
            Some("AUDIO") => RenditionKind::Audio,
            Some("VIDEO") => RenditionKind::Video,
            Some("SUBTITLES") => RenditionKind::Subtitles,
            Some("CLOSED-CAPTIONS") => RenditionKind::ClosedCaptions,
            _ => {
                self.problem(TAG, ParseErrorKind::Malformed("TYPE"));
                return Ok(());
            }
        };
        let r = Rendition {
            kind,
            uri: a.text("URI"),
            group: self.required(TAG, "GROUP-ID", &mut a),
            language: a.or_empty("LANGUAGE"),
            assoc_language: a.or_empty("ASSOC-LANGUAGE"),
            name: self.required(TAG, "NAME", &mut a),
            stable_id: a.or_empty("STABLE-RENDITION-ID"),
            default: a.yes("DEFAULT"),
            autoselect: a.yes("AUTOSELECT"),
            forced: a.yes("FORCED"),
            instream_id: a.or_empty("INSTREAM-ID"),
            bit_depth: self.number(TAG, "BIT-DEPTH", &mut a),
            sample_rate: self.number(TAG, "SAMPLE-RATE", &mut a),
            characteristics: a.or_empty("CHARACTERISTICS"),
            channels: a.or_empty("CHANNELS"),
            line: self.line,
        };
        match kind {
            RenditionKind::Subtitles if r.uri.is_none() => {
                self.problem(TAG, ParseErrorKind::Missing("URI of subtitles"));
            }
            RenditionKind::ClosedCaptions if r.uri.is_some() => {
                self.problem(TAG, ParseErrorKind::Misplaced("URI of closed captions"));
            }
            RenditionKind::ClosedCaptions if r.instream_id.is_empty() => {
                self.problem(TAG, ParseErrorKind::Missing("INSTREAM-ID"));
            }
            _ => {}
        }
        if self.multivariant.renditions.len() >= limits::MAX_ENTRIES {
            return self.limit(TAG, "renditions");
        }
        self.multivariant.renditions.push(r);
        Ok(())
    }

    fn key(&mut self, tag: &'static str, value: &str) -> Option<Key> {
        let mut a = self.attributes(tag, value);
        let method = match a.text("METHOD")?.as_str() {
            "NONE" => Method::None,
            "AES-128" => Method::Aes128,
            "AES-256" | "AES-256-GCM" => Method::Aes256,
            "SAMPLE-AES" => Method::SampleAes,
            "SAMPLE-AES-CTR" => Method::SampleAesCtr,
            other => Method::Other(other.to_owned()),
        };
        let uri = a.text("URI");
        if method != Method::None && uri.is_none() {
            self.problem(tag, ParseErrorKind::Missing("URI"));
        }
        let vector = a.text("IV").and_then(|t| self.read(tag, "IV", iv(&t)));
        if vector.is_some() {
            self.needs(2);
        }
        let format = a.text("KEYFORMAT");
        let format_versions = a.text("KEYFORMATVERSIONS");
        if format.is_some() || format_versions.is_some() {
            self.needs(5);
        }
        Some(Key {
            method,
            uri,
            iv: vector,
            format: format.unwrap_or_else(|| "identity".to_owned()),
            format_versions: format_versions.unwrap_or_default(),
        })
    }

    /// Whether it was a tag of a media playlist.
    fn media_tag(&mut self, name: &str, value: &str) -> Result<bool, ParseError> {
        match name {
            "EXTINF" => self.extinf(value),
            "EXT-X-TARGETDURATION" => {
                self.once("EXT-X-TARGETDURATION");
                let d = seconds(value.trim()).filter(|d| *d >= Duration::ZERO);
                self.media.target_duration = self.read("EXT-X-TARGETDURATION", "a number of seconds", d);
            }
            "EXT-X-MEDIA-SEQUENCE" => {
                self.before_segments("EXT-X-MEDIA-SEQUENCE");
                let n = value.trim().parse().ok();
                self.media.media_sequence = self.read("EXT-X-MEDIA-SEQUENCE", "a number", n).unwrap_or(0);
            }
            "EXT-X-DISCONTINUITY-SEQUENCE" => {
                self.before_segments("EXT-X-DISCONTINUITY-SEQUENCE");
                let n = value.trim().parse().ok();
                let n = self.read("EXT-X-DISCONTINUITY-SEQUENCE", "a number", n).unwrap_or(0);
                self.media.discontinuity_sequence = n;
            }
            "EXT-X-ENDLIST" => {
                self.once("EXT-X-ENDLIST");
                self.media.ended = true;
            }
            "EXT-X-PLAYLIST-TYPE" => {
                self.once("EXT-X-PLAYLIST-TYPE");
                let kind = match value.trim() {
                    "EVENT" => Some(PlaylistType::Event),
                    "VOD" => Some(PlaylistType::Vod),
                    _ => None,
                };
                self.media.kind = self.read("EXT-X-PLAYLIST-TYPE", "EVENT or VOD", kind);
            }
            "EXT-X-I-FRAMES-ONLY" => {
                self.media.i_frames_only = true;
                self.needs(4);
            }
            "EXT-X-ALLOW-CACHE" => {}
            "EXT-X-BYTERANGE" => {
                self.needs(4);
                let r = self.read("EXT-X-BYTERANGE", "LENGTH[@OFFSET]", byte_range(value.trim()));
                // The resource is known with the URI: until then, what was written.
                self.segment.byte_range =
                    r.map(|(len, offset)| ByteRange { offset: offset.unwrap_or(u64::MAX), len });
            }
            "EXT-X-DISCONTINUITY" => {
                self.segment.discontinuity = true;
                self.discontinuities = self.discontinuities.saturating_add(1);
            }
            "EXT-X-GAP" => self.segment.gap = true,
            "EXT-X-KEY" => self.segment_key(value)?,
            "EXT-X-MAP" => {
                let mut a = self.attributes("EXT-X-MAP", value);
                let uri = self.required("EXT-X-MAP", "URI", &mut a);
                let range = a.text("BYTERANGE").and_then(|t| {
                    let r = byte_range(&t).and_then(|r| resolve_range((r.0, r.1.or(Some(0))), &uri, None));
                    self.read("EXT-X-MAP", "BYTERANGE", r)
                });
                self.needs(if self.media.i_frames_only { 5 } else { 6 });
                if !uri.is_empty() {
                    self.map = Some(Arc::new(Map { uri, byte_range: range }));
                }
            }
            "EXT-X-PROGRAM-DATE-TIME" => {
                self.segment.date = self.read("EXT-X-PROGRAM-DATE-TIME", "ISO 8601 date", date(value));
            }
            "EXT-X-BITRATE" => {
                self.bitrate = self.read("EXT-X-BITRATE", "a number", value.trim().parse().ok());
            }
            _ => return self.low_latency_tag(name, value),
        }
        Ok(true)
    }

    fn before_segments(&mut self, tag: &'static str) {
        self.once(tag);
        if !self.media.segments.is_empty() {
            self.problem(tag, ParseErrorKind::Misplaced("after the first segment"));
        }
    }

    fn extinf(&mut self, value: &str) {
        let (length, title) = value.split_once(',').unwrap_or((value, ""));
        let d = seconds(length.trim()).filter(|d| *d >= Duration::ZERO);
        if length.contains('.') {
            self.needs(3);
        }
        if self.has_duration {
            self.problem("EXTINF", ParseErrorKind::Missing("URI of a segment"));
        }
        self.has_duration = true;
        self.segment.duration = self.read("EXTINF", "a number of seconds", d).unwrap_or_default();
        self.segment.title = title.trim().to_owned();
    }

    fn segment_key(&mut self, value: &str) -> Result<(), ParseError> {
        let Some(k) = self.key("EXT-X-KEY", value) else {
            self.problem("EXT-X-KEY", ParseErrorKind::Missing("METHOD"));
            return Ok(());
        };
        if std::mem::take(&mut self.keys_used) || k.method == Method::None {
            self.keys.clear();
        }
        self.keys.retain(|o| o.format != k.format);
        if k.method != Method::None {
            if self.keys.len() >= limits::MAX_KEYS {
                return self.limit("EXT-X-KEY", "keys of a segment");
            }
            self.keys.push(Arc::new(k));
        }
        Ok(())
    }

    fn low_latency_tag(&mut self, name: &str, value: &str) -> Result<bool, ParseError> {
        match name {
            "EXT-X-PART-INF" => {
                self.once("EXT-X-PART-INF");
                let mut a = self.attributes("EXT-X-PART-INF", value);
                self.media.part_target = self.length("EXT-X-PART-INF", "PART-TARGET", &mut a);
                if self.media.part_target.is_none() {
                    self.problem("EXT-X-PART-INF", ParseErrorKind::Missing("PART-TARGET"));
                }
            }
            "EXT-X-SERVER-CONTROL" => {
                const TAG: &str = "EXT-X-SERVER-CONTROL";
                self.once(TAG);
                let mut a = self.attributes(TAG, value);
                self.media.server_control = Some(ServerControl {
                    can_skip_until: self.length(TAG, "CAN-SKIP-UNTIL", &mut a),
                    can_skip_dateranges: a.yes("CAN-SKIP-DATERANGES"),
                    hold_back: self.length(TAG, "HOLD-BACK", &mut a),
                    part_hold_back: self.length(TAG, "PART-HOLD-BACK", &mut a),
                    can_block_reload: a.yes("CAN-BLOCK-RELOAD"),
                });
            }
            "EXT-X-PART" => self.part(value)?,
            "EXT-X-SKIP" => {
                self.once("EXT-X-SKIP");
                let mut a = self.attributes("EXT-X-SKIP", value);
                let segments = self.number("EXT-X-SKIP", "SKIPPED-SEGMENTS", &mut a);
                let gone = a.or_empty("RECENTLY-REMOVED-DATERANGES");
                self.media.skipped = Some(Skip {
                    segments: segments.unwrap_or(0),
                    removed_dateranges: gone
                        .split('\t')
                        .filter(|s| !s.is_empty())
                        .take(limits::MAX_ENTRIES)
                        .map(str::to_owned)
                        .collect(),
                });
                self.needs(9);
            }
            "EXT-X-PRELOAD-HINT" => {
                const TAG: &str = "EXT-X-PRELOAD-HINT";
                let mut a = self.attributes(TAG, value);
                let is_map = match a.text("TYPE").as_deref() {
                    Some("PART") => Some(false),
                    Some("MAP") => Some(true),
                    _ => None,
                };
                let hint = PreloadHint {
                    is_map: self.read(TAG, "TYPE", is_map).unwrap_or(false),
                    uri: self.required(TAG, "URI", &mut a),
                    offset: self.number(TAG, "BYTERANGE-START", &mut a).unwrap_or(0),
                    len: self.number(TAG, "BYTERANGE-LENGTH", &mut a),
                };
                if self.media.preload_hints.len() >= limits::MAX_ENTRIES {
                    return self.limit(TAG, "entries");
                }
                self.media.preload_hints.push(hint);
            }
            "EXT-X-RENDITION-REPORT" => {
                const TAG: &str = "EXT-X-RENDITION-REPORT";
                let mut a = self.attributes(TAG, value);
                let report = RenditionReport {
                    uri: self.required(TAG, "URI", &mut a),
                    last_number: self.number(TAG, "LAST-MSN", &mut a),
                    last_part: self.number(TAG, "LAST-PART", &mut a),
                };
                if self.media.rendition_reports.len() >= limits::MAX_ENTRIES {
                    return self.limit(TAG, "entries");
                }
                self.media.rendition_reports.push(report);
            }
            "EXT-X-DATERANGE" => self.date_range(value)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn part(&mut self, value: &str) -> Result<(), ParseError> {
        const TAG: &str = "EXT-X-PART";
        let mut a = self.attributes(TAG, value);
        let uri = self.required(TAG, "URI", &mut a);
        let duration = self.length(TAG, "DURATION", &mut a);
        if duration.is_none() {
            self.problem(TAG, ParseErrorKind::Missing("DURATION"));
        }
        let range = a.text("BYTERANGE").and_then(|t| {
            let before = self.part_end.clone();
            let first = before.as_ref().is_none_or(|b| b.0 != uri).then_some(0);
            let r = byte_range(&t).and_then(|r| resolve_range((r.0, r.1.or(first)), &uri, before.as_ref()));
            self.read(TAG, "BYTERANGE", r)
        });
        if let Some(r) = range {
            self.part_end = Some((uri.clone(), r.offset.saturating_add(r.len)));
        }
        self.parts += 1;
        if self.parts > limits::MAX_PARTS {
            return self.limit(TAG, "parts");
        }
        self.keys_used = true;
        self.segment.parts.push(Part {
            uri,
            byte_range: range,
            duration: duration.unwrap_or_default(),
            independent: a.yes("INDEPENDENT"),
            gap: a.yes("GAP"),
            line: self.line,
        });
        Ok(())
    }

    fn date_range(&mut self, value: &str) -> Result<(), ParseError> {
        const TAG: &str = "EXT-X-DATERANGE";
        let mut a = self.attributes(TAG, value);
        let at = |p: &mut Self, a: &mut List, name| {
            let text = a.text(name)?;
            p.read(TAG, name, date(&text))
        };
        let r = DateRange {
            id: self.required(TAG, "ID", &mut a),
            class: a.or_empty("CLASS"),
            start: at(self, &mut a, "START-DATE"),
            end: at(self, &mut a, "END-DATE"),
            duration: self.length(TAG, "DURATION", &mut a),
            planned: self.length(TAG, "PLANNED-DURATION", &mut a),
            cue: a.or_empty("CUE"),
            end_on_next: a.yes("END-ON-NEXT"),
            scte35: [a.or_empty("SCTE35-CMD"), a.or_empty("SCTE35-OUT"), a.or_empty("SCTE35-IN")],
            client: a.0.into_iter().filter(|v| v.0.starts_with("X-")).collect(),
            line: self.line,
        };
        if r.start.zip(r.end).is_some_and(|(s, e)| e < s) {
            self.problem(TAG, ParseErrorKind::Malformed("END-DATE before START-DATE"));
        }
        if self.media.date_ranges.len() >= limits::MAX_ENTRIES {
            return self.limit(TAG, "date ranges");
        }
        self.media.date_ranges.push(r);
        Ok(())
    }

    fn uri(&mut self, line: &str) -> Result<(), ParseError> {
        let uri = self.substitute(line)?;
        if let Some(mut v) = self.variant.take() {
            v.uri = uri;
            return self.add_variant(v);
        }
        if self.is_multivariant {
            self.problem("", ParseErrorKind::Misplaced("URI without a tag"));
            return Ok(());
        }
        self.is_media = true;
        if !std::mem::take(&mut self.has_duration) {
            self.problem("EXTINF", ParseErrorKind::Missing("duration of a segment"));
        }
        if self.media.segments.len() >= limits::MAX_SEGMENTS {
            return self.limit("", "segments");
        }
        let mut s = std::mem::take(&mut self.segment);
        if let Some(r) = s.byte_range {
            let written = (r.len, (r.offset != u64::MAX).then_some(r.offset));
            let before = self.range_end.take();
            let range = resolve_range(written, &uri, before.as_ref());
            s.byte_range = self.read("EXT-X-BYTERANGE", "no range before it to go on from", range);
        }
        self.range_end = s.byte_range.map(|r| (uri.clone(), r.offset.saturating_add(r.len)));
        s.uri = uri;
        s.line = self.line;
        s.keys.clone_from(&self.keys);
        s.map.clone_from(&self.map);
        s.bitrate = self.bitrate;
        s.discontinuity_number = self.discontinuities;
        self.keys_used = true;
        self.media.segments.push(s);
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
