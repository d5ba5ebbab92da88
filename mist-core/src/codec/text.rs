//! Text tracks: SubRip, WebVTT and 3GPP timed text, and what they have in common.
//!
//! # Canonical payload
//!
//! - [`Codec::Subtitle`]: the lines of one cue as UTF-8, with SubRip's tags (`<b>`, `<i>`, `<u>`, `<font color=…>`).
//! - [`Codec::WebVtt`]: a cue block of a WebVTT file (W3C WebVTT §4.1) without its times. A cue that has neither
//!   identifier nor settings is its text alone. Otherwise its identifier, if it has one, is the first line, then comes
//!   a line `-->` with a space and the settings, if it has any, and then the text. Text can't hold `-->`, so nothing
//!   is ambiguous: [`Cue`] takes it apart and puts it together. `init` is the file's header from `WEBVTT` on with its
//!   style and region blocks (the `CodecPrivate` of Matroska, the body of `vttC` in MP4), empty where that says nothing.
//! - [`Codec::Tx3g`]: the sample of MP4 with its length and modifier boxes (3GPP TS 26.245 §5.17); `init` is
//!   the sample entry behind its data reference index.
//!
//! Lines of the first two end in LF; none is empty; the last has no end. A packet with an empty payload, or of
//! [`Codec::Tx3g`] with an empty text, is a gap: nothing is shown. Times are the packet's, whose duration is known.
//!
//! [`convert`] goes from one to another and keeps bold, italics and underlines.

use super::{Codec, CodecError};
use bytes::Bytes;
use std::borrow::Cow;

mod samples;

pub use samples::{subrip_to_tx3g, tx3g_init, tx3g_to_subrip, wvtt_cues, wvtt_sample};

/// Limits of text.
pub mod limits {
    /// Bytes of one cue; what is longer is cut, or refused where it is in boxes.
    pub const CUE: usize = 1 << 16;
    /// Bytes of a file's header.
    pub const HEADER: usize = 1 << 18;
    /// Cues or boxes in one MP4 sample.
    pub const BOXES: usize = 64;
    /// Style records in one tx3g sample.
    pub const STYLES: usize = 256;
}

/// What WebVTT files begin with.
const MAGIC: &str = "WEBVTT";
/// Between the times of a cue, and in no text.
const ARROW: &str = "-->";

/// Text of any encoding: UTF-16 by its byte order mark, UTF-8 with or without one, else Windows-1252.
pub fn decode(data: &[u8]) -> Cow<'_, str> {
    let utf16 = |b: &[u8], unit: fn([u8; 2]) -> u16| {
        let units = b.chunks_exact(2).filter_map(|c| c.try_into().ok()).map(unit);
        char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect::<String>()
    };
    match data {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes).into(),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes).into(),
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest),
        _ => std::str::from_utf8(data)
            .map_or_else(|_| data.iter().map(|b| windows_1252(*b)).collect(), Into::into),
    }
}

/// A character of Windows-1252, which is Latin-1 but for 0x80 to 0x9F.
pub fn windows_1252(b: u8) -> char {
    const HIGH: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}',
        '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
    ];
    b.checked_sub(0x80).and_then(|i| HIGH.get(usize::from(i))).copied().unwrap_or(char::from(b))
}

/// Text as it goes into a payload: UTF-8, lines ending in LF, none of them empty.
pub fn canonical(data: Bytes) -> Bytes {
    let sound = |s: &str| {
        s.len() <= limits::CUE
            && !s.contains(['\r', '\0', '\u{feff}'])
            && !s.starts_with('\n')
            && !s.ends_with('\n')
            && !s.contains("\n\n")
    };
    match std::str::from_utf8(&data) {
        Ok(s) if sound(s) => data,
        _ => {
            let text =
                decode(&data).replace("\r\n", "\n").replace('\r', "\n").replace(['\0', '\u{feff}'], "");
            join_lines(&text).into()
        }
    }
}

/// Lines that aren't empty, joined again, as much as [`limits::CUE`] takes of them.
fn join_lines(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(limits::CUE));
    for line in text.split('\n').filter(|l| !l.is_empty()) {
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(line);
    }
    let mut end = out.len().min(limits::CUE);
    while !out.is_char_boundary(end) {
        end -= 1;
    }
    out.truncate(end);
    out.truncate(out.trim_end_matches('\n').len());
    out
}

/// The header of a WebVTT file in canonical form: from `WEBVTT` on, lines ending in LF, without empty lines at its
/// end; nothing where it says nothing.
///
/// # Errors
/// It isn't UTF-8, doesn't begin with `WEBVTT`, or is longer than [`limits::HEADER`].
pub fn canonical_header(init: Bytes) -> Result<Bytes, CodecError> {
    if init.is_empty() {
        return Ok(init);
    }
    if init.len() > limits::HEADER {
        return Err(CodecError::limit("WebVTT header"));
    }
    let text = std::str::from_utf8(&init).map_err(|_| CodecError::malformed("WebVTT header"))?;
    let clean = text.strip_prefix('\u{feff}').unwrap_or(text);
    let clean = clean.replace("\r\n", "\n").replace('\r', "\n").replace('\0', "");
    let clean = clean.trim_end_matches(['\n', ' ', '\t']);
    if !is_header(clean) {
        return Err(CodecError::malformed("WebVTT header"));
    }
    Ok(match clean {
        MAGIC => Bytes::new(),
        same if same == text => init,
        other => Bytes::copy_from_slice(other.as_bytes()),
    })
}

/// Whether text begins as a WebVTT file does, behind its byte order mark.
pub fn is_header(text: &str) -> bool {
    text.strip_prefix(MAGIC).is_some_and(|r| r.is_empty() || r.starts_with([' ', '\t', '\n', '\r']))
}

/// A header to write, from canonical init data: `WEBVTT` where that is empty.
pub fn header(init: &[u8]) -> &str {
    match std::str::from_utf8(init) {
        Ok(s) if is_header(s) => s,
        _ => MAGIC,
    }
}

/// A WebVTT cue without its times.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cue<'a> {
    /// Identifier; empty for none. One line.
    pub id: Cow<'a, str>,
    /// Settings as in the line of times; empty for none.
    pub settings: Cow<'a, str>,
    /// Text: lines ending in LF.
    pub text: Cow<'a, str>,
}

impl<'a> Cue<'a> {
    /// With neither identifier nor settings.
    pub fn plain(text: impl Into<Cow<'a, str>>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// Takes a canonical payload apart.
    pub fn parse(payload: &'a [u8]) -> Self {
        let all = match std::str::from_utf8(payload) {
            Ok(s) => Cow::Borrowed(s),
            Err(_) => decode(payload),
        };
        match all {
            Cow::Borrowed(s) => Self::split(s),
            Cow::Owned(s) => {
                let c = Cue::split(&s);
                let own = |s: Cow<'_, str>| Cow::Owned(s.into_owned());
                Self { id: own(c.id), settings: own(c.settings), text: own(c.text) }
            }
        }
    }

    fn split(s: &'a str) -> Self {
        let (first, rest) = s.split_once('\n').unwrap_or((s, ""));
        if let Some(settings) = first.strip_prefix(ARROW) {
            return Self { id: "".into(), settings: settings.trim().into(), text: rest.into() };
        }
        let (second, text) = rest.split_once('\n').unwrap_or((rest, ""));
        match second.strip_prefix(ARROW) {
            Some(settings) => Self { id: first.into(), settings: settings.trim().into(), text: text.into() },
            None => Self::plain(s),
        }
    }

    /// Puts a canonical payload together. Line ends in identifier and settings become spaces, `-->` in the text
    /// becomes `--&gt;`, empty lines are left out.
    pub fn build(&self) -> Bytes {
        let line = |s: &str| s.replace(['\n', '\r', '\0'], " ").replace(ARROW, "--&gt;");
        let text = canonical(Bytes::copy_from_slice(self.text.as_bytes()));
        let text = String::from_utf8_lossy(&text);
        let text = if text.contains(ARROW) { text.replace(ARROW, "--&gt;").into() } else { text };
        let (id, settings) = (line(&self.id), line(&self.settings));
        let mut out = String::with_capacity(id.len() + settings.len() + text.len() + 8);
        if !id.trim().is_empty() {
            out.push_str(id.trim());
            out.push('\n');
        }
        if !out.is_empty() || !settings.trim().is_empty() {
            out.push_str(ARROW);
            if !settings.trim().is_empty() {
                out.push(' ');
                out.push_str(settings.trim());
            }
            out.push('\n');
        }
        out.push_str(&text);
        out.into()
    }
}

/// Whether [`convert`] knows the way.
pub fn converts(from: Codec, to: Codec) -> bool {
    let known = |c| matches!(c, Codec::Subtitle | Codec::WebVtt | Codec::Tx3g);
    known(from) && known(to)
}

/// A canonical payload of one text codec as one of another. `None` where [`converts`] says so, and where the payload
/// isn't what its codec says.
pub fn convert(from: Codec, to: Codec, payload: &Bytes) -> Option<Bytes> {
    if from == to {
        return Some(payload.clone());
    }
    if !converts(from, to) {
        return None;
    }
    let subrip = match from {
        Codec::Subtitle => String::from_utf8_lossy(&canonical(payload.clone())).into_owned(),
        Codec::WebVtt => vtt_to_subrip(&Cue::parse(payload).text),
        _ => tx3g_to_subrip(payload).ok()?,
    };
    Some(match to {
        Codec::Subtitle => subrip.into(),
        Codec::WebVtt => Cue::plain(subrip_to_vtt(&subrip)).build(),
        _ => subrip_to_tx3g(&subrip),
    })
}

/// A piece of marked-up text.
enum Piece<'a> {
    Text(&'a str),
    /// What is between `<` and `>`.
    Tag(&'a str),
}

/// Cuts at tags: `<` that is followed by a letter, a digit or `/` and has its `>` in the same line. Others are text.
fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut left = text;
    std::iter::from_fn(move || {
        if left.is_empty() {
            return None;
        }
        if let Some(tag) = tag_at(left) {
            left = left.get(tag.len() + 2..).unwrap_or("");
            return Some(Piece::Tag(tag));
        }
        let mut end = left.len();
        for (at, _) in left.match_indices('<') {
            if at > 0 && left.get(at..).and_then(tag_at).is_some() {
                end = at;
                break;
            }
        }
        let (text, rest) = left.split_at_checked(end)?;
        left = rest;
        Some(Piece::Text(text))
    })
}

fn tag_at(s: &str) -> Option<&str> {
    // Nobody writes longer ones, and looking for an end that isn't there must not take long.
    const LONGEST: usize = 256;
    let inner = s.strip_prefix('<')?;
    if !inner.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/') {
        return None;
    }
    let end = inner.bytes().take(LONGEST).position(|b| matches!(b, b'>' | b'\n' | b'<'))?;
    (inner.as_bytes().get(end) == Some(&b'>')).then(|| inner.get(..end)).flatten()
}

/// The name of a tag in lower case, without `/`, classes and attributes, and whether it closes.
fn tag_name(tag: &str) -> (String, bool) {
    let (tag, closes) = tag.strip_prefix('/').map_or((tag, false), |t| (t, true));
    let end = tag.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(tag.len());
    (tag.get(..end).unwrap_or("").to_ascii_lowercase(), closes)
}

fn is_plain_style(name: &str) -> bool {
    matches!(name, "b" | "i" | "u")
}

/// SubRip's tags and characters as WebVTT's: bold, italics and underlines stay, fonts and `{\an8}` go, `&` and `<`
/// are escaped.
pub fn subrip_to_vtt(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for piece in pieces(&without_overrides(text)) {
        match piece {
            Piece::Text(t) => {
                for c in t.chars() {
                    match c {
                        '&' => out.push_str("&amp;"),
                        '<' => out.push_str("&lt;"),
                        '>' => out.push_str("&gt;"),
                        c => out.push(c),
                    }
                }
            }
            Piece::Tag(tag) => keep_style(tag, &mut out),
        }
    }
    out
}

/// WebVTT's tags and escapes as SubRip's: bold, italics and underlines stay, voices, classes, languages, ruby and
/// time stamps go.
pub fn vtt_to_subrip(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for piece in pieces(text) {
        match piece {
            Piece::Text(t) => unescape_into(t, &mut out),
            Piece::Tag(tag) => keep_style(tag, &mut out),
        }
    }
    out
}

fn keep_style(tag: &str, out: &mut String) {
    let (name, closes) = tag_name(tag);
    if is_plain_style(&name) {
        out.push_str(if closes { "</" } else { "<" });
        out.push_str(&name);
        out.push('>');
    }
}

fn unescape_into(text: &str, out: &mut String) {
    const NAMED: [(&str, &str); 8] = [
        ("&amp;", "&"),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&nbsp;", "\u{a0}"),
        ("&lrm;", "\u{200e}"),
        ("&rlm;", "\u{200f}"),
        ("&quot;", "\""),
        ("&apos;", "'"),
    ];
    let mut left = text;
    while let Some((before, _)) = left.split_once('&') {
        out.push_str(before);
        left = left.get(before.len()..).unwrap_or("");
        match NAMED.iter().find(|(n, _)| left.starts_with(n)) {
            Some((n, v)) => {
                out.push_str(v);
                left = left.get(n.len()..).unwrap_or("");
            }
            None => {
                out.push('&');
                left = left.get(1..).unwrap_or("");
            }
        }
    }
    out.push_str(left);
}

/// Without the `{\…}` overrides of SubStation Alpha that some SubRip files have.
fn without_overrides(text: &str) -> Cow<'_, str> {
    if !text.contains("{\\") {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    let mut left = text;
    while let Some((before, rest)) = left.split_once("{\\") {
        let Some((_, after)) = rest.split_once('}') else { break };
        out.push_str(before);
        left = after;
    }
    out.push_str(left);
    out.into()
}

/// SubRip text without any tags.
pub fn plain(subrip: &str) -> String {
    let mut out = String::with_capacity(subrip.len());
    for piece in pieces(&without_overrides(subrip)) {
        if let Piece::Text(t) = piece {
            out.push_str(t);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn encodings() {
        assert_eq!(decode(b"\xef\xbb\xbfh\xc3\xa9"), "hé");
        assert_eq!(decode(b"h\xe9 \x80"), "hé €");
        assert_eq!(decode(b"\xff\xfeh\0\xe9\0"), "hé");
        assert_eq!(decode(b"\xfe\xff\0h\0\xe9\xd8\x3d\xde\0"), "hé😀");
        assert_eq!(canonical(Bytes::from_static(b"a\r\nb\r\n\r\nc\r\n")), "a\nb\nc");
        let same = Bytes::from_static(b"a\nb");
        assert_eq!(canonical(same.clone()).as_ptr(), same.as_ptr());
    }

    #[test]
    fn cues_go_through_their_payload() {
        let cue = |id: &'static str, settings: &'static str, text: &'static str| Cue {
            id: id.into(),
            settings: settings.into(),
            text: text.into(),
        };
        for (c, want) in [
            (cue("", "", "Hi\nthere"), "Hi\nthere"),
            (cue("", "line:0 align:start", "Hi"), "--> line:0 align:start\nHi"),
            (cue("1", "", "Hi"), "1\n-->\nHi"),
            (cue("1", "line:0", ""), "1\n--> line:0\n"),
            (cue("", "", ""), ""),
        ] {
            let b = c.build();
            assert_eq!(b, want);
            assert_eq!(Cue::parse(&b), c);
        }
        assert_eq!(cue("a\n-->", "b\nc", "x --> y\n\nz").build(), "a --&gt;\n--> b c\nx --&gt; y\nz");
    }

    #[test]
    fn markup() {
        assert_eq!(
            subrip_to_vtt("{\\an8}<B>A & B</B> <font color=\"red\">1 < 2 > 0</font>"),
            "<b>A &amp; B</b> 1 &lt; 2 &gt; 0"
        );
        assert_eq!(
            vtt_to_subrip("<v Fred><b.loud>Hi &amp;</b> <00:01.000>you<i>!&lt;</i> &foo; & <3"),
            "<b>Hi &</b> you<i>!<</i> &foo; & <3"
        );
        assert_eq!(plain("<b>a</b> <3 {\\i1}b"), "a <3 b");
        let tags = Bytes::from_static(b"<b>x</b> y <u><i>z</i></u>");
        for to in [Codec::WebVtt, Codec::Tx3g] {
            let there = convert(Codec::Subtitle, to, &tags).unwrap();
            let back = convert(to, Codec::Subtitle, &there).unwrap();
            assert_eq!(plain(&decode(&back)), "x y z");
            assert!(decode(&back).starts_with("<b>x</b> y <"));
        }
        assert_eq!(convert(Codec::Subtitle, Codec::Json, &tags), None);
    }

    #[test]
    fn headers() {
        let h = |s: &'static str| canonical_header(Bytes::from_static(s.as_bytes()));
        assert_eq!(h("WEBVTT").unwrap(), "");
        assert_eq!(h("\u{feff}WEBVTT - x\r\n\r\nSTYLE\r\na\r\n\r\n").unwrap(), "WEBVTT - x\n\nSTYLE\na");
        assert!(h("WEBVTTX").is_err() && h("x").is_err());
        assert_eq!((header(b""), header(b"WEBVTT x")), ("WEBVTT", "WEBVTT x"));
        let long = Bytes::from([b"WEBVTT ".as_slice(), &vec![b'x'; limits::HEADER]].concat());
        assert_eq!(canonical_header(long), Err(CodecError::limit("WebVTT header")));
    }

    proptest! {
        #[test]
        fn any_bytes(v in prop::collection::vec(any::<u8>(), 0..80), s in "[ab<>/&;{}\\\\\n\r\u{e9}-]{0,60}") {
            for b in [Bytes::from(v), Bytes::from(s)] {
                let c = canonical(b.clone());
                prop_assert_eq!(canonical(c.clone()), c);
                let cue = Cue::parse(&b).build();
                let again = Cue::parse(&cue).build();
                prop_assert_eq!(&Cue::parse(&again).build(), &again);
                for from in [Codec::Subtitle, Codec::WebVtt, Codec::Tx3g] {
                    for to in [Codec::Subtitle, Codec::WebVtt, Codec::Tx3g] {
                        if let Some(x) = convert(from, to, &b) {
                            convert(to, from, &x).unwrap();
                        }
                    }
                }
                if let Ok(cues) = wvtt_cues(&b) {
                    prop_assert_eq!(wvtt_cues(&wvtt_sample(&cues)).unwrap().len(), cues.len());
                }
            }
        }
    }
}
