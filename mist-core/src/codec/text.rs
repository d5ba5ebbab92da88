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
use bytes::{BufMut, Bytes, BytesMut};
use std::borrow::Cow;

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

/// One box of a sample: its type and body; what follows it.
type TextBox<'a> = ([u8; 4], &'a [u8], &'a [u8]);

fn split_box(at: &[u8]) -> Result<TextBox<'_>, CodecError> {
    let (head, rest) = at.split_first_chunk::<8>().ok_or(CodecError::truncated("text box"))?;
    let [a, b, c, d, kind @ ..] = *head;
    let len = u32::from_be_bytes([a, b, c, d]) as usize;
    let len = len.checked_sub(8).ok_or(CodecError::malformed("text box size"))?;
    let (body, rest) = rest.split_at_checked(len).ok_or(CodecError::truncated("text box"))?;
    Ok((kind, body, rest))
}

fn put_box(kind: [u8; 4], body: &[u8], out: &mut BytesMut) {
    out.put_u32(u32::try_from(body.len() + 8).unwrap_or(u32::MAX));
    out.put_slice(&kind);
    out.put_slice(body);
}

/// Style flags of tx3g.
const FACES: [(u8, &str); 3] = [(1, "b"), (2, "i"), (4, "u")];

/// The text of a tx3g sample with bold, italics and underlines as SubRip's tags (3GPP TS 26.245 §5.17). Styles count
/// characters; sizes and colours are dropped.
///
/// # Errors
/// The sample is shorter than it says, or has more than [`limits::BOXES`] boxes or [`limits::STYLES`] styles.
pub fn tx3g_to_subrip(sample: &[u8]) -> Result<String, CodecError> {
    let mut at = sample;
    let raw = super::take_u16_prefixed(&mut at, "tx3g text")?;
    let text = decode(raw);
    let mut styles: Vec<(usize, usize, u8)> = Vec::new();
    let mut boxes = 0;
    while !at.is_empty() {
        boxes += 1;
        if boxes > limits::BOXES {
            return Err(CodecError::limit("tx3g boxes"));
        }
        // Some writers leave a few bytes behind the last box.
        let Ok((kind, body, rest)) = split_box(at) else { break };
        at = rest;
        let Some((_, records)) = body.split_first_chunk::<2>().filter(|_| &kind == b"styl") else { continue };
        for r in records.chunks_exact(12) {
            if styles.len() >= limits::STYLES {
                return Err(CodecError::limit("tx3g styles"));
            }
            if let [f0, f1, t0, t1, _, _, face, ..] = *r {
                let [from, to] = [[f0, f1], [t0, t1]].map(|b| usize::from(u16::from_be_bytes(b)));
                if face & 7 != 0 && from < to {
                    styles.push((from, to, face & 7));
                }
            }
        }
    }
    if styles.is_empty() {
        return Ok(text_of(&text));
    }
    let mut out = String::with_capacity(text.len() + 16 * styles.len());
    let mut now = 0u8;
    for (i, c) in text.chars().enumerate() {
        let want = styles.iter().filter(|(f, t, _)| (*f..*t).contains(&i)).fold(0, |a, s| a | s.2);
        change_style(&mut now, want, &mut out);
        out.push(c);
    }
    change_style(&mut now, 0, &mut out);
    Ok(text_of(&out))
}

/// Text of a sample as that of a cue.
fn text_of(text: &str) -> String {
    let clean = canonical(Bytes::copy_from_slice(text.as_bytes()));
    String::from_utf8_lossy(&clean).into_owned()
}

/// Closes and opens tags so that the styles are those wanted, properly nested.
fn change_style(now: &mut u8, want: u8, out: &mut String) {
    if *now == want {
        return;
    }
    for (_, name) in FACES.iter().rev().filter(|(f, _)| *now & f != 0) {
        out.push_str("</");
        out.push_str(name);
        out.push('>');
    }
    for (_, name) in FACES.iter().filter(|(f, _)| want & f != 0) {
        out.push('<');
        out.push_str(name);
        out.push('>');
    }
    *now = want;
}

/// A tx3g sample from SubRip text: its text, and a `styl` box where there are bold, italics or underlines.
pub fn subrip_to_tx3g(text: &str) -> Bytes {
    let mut plain = String::with_capacity(text.len());
    let mut styles: Vec<(usize, usize, u8)> = Vec::new();
    let (mut count, mut face, mut since) = (0usize, 0u8, 0usize);
    for piece in pieces(&without_overrides(text)) {
        match piece {
            Piece::Text(t) => {
                // The length has 16 bits.
                for c in t.chars() {
                    if plain.len() + c.len_utf8() > usize::from(u16::MAX) {
                        break;
                    }
                    plain.push(c);
                    count += 1;
                }
            }
            Piece::Tag(tag) => {
                let (name, closes) = tag_name(tag);
                let Some((flag, _)) = FACES.iter().find(|(_, n)| *n == name) else { continue };
                let next = if closes { face & !flag } else { face | flag };
                if next != face {
                    if face != 0 && count > since && styles.len() < limits::STYLES {
                        styles.push((since, count, face));
                    }
                    (face, since) = (next, count);
                }
            }
        }
    }
    if face != 0 && count > since && styles.len() < limits::STYLES {
        styles.push((since, count, face));
    }
    let mut out = BytesMut::with_capacity(plain.len() + 12 * styles.len() + 12);
    out.put_u16(plain.len() as u16);
    out.put_slice(plain.as_bytes());
    if !styles.is_empty() {
        let mut body = BytesMut::with_capacity(2 + 12 * styles.len());
        body.put_u16(styles.len() as u16);
        for (from, to, face) in styles {
            body.put_u16(from as u16);
            body.put_u16(to as u16);
            body.put_u16(1);
            body.put_slice(&[face, TX3G_SIZE, 255, 255, 255, 255]);
        }
        put_box(*b"styl", &body, &mut out);
    }
    out.freeze()
}

/// Size of letters in percent of nothing in particular: what players take for normal.
const TX3G_SIZE: u8 = 18;

/// Init data of a tx3g track for text that had none: white sans-serif letters at the bottom, on nothing.
pub fn tx3g_init() -> Bytes {
    let mut out = BytesMut::with_capacity(56);
    // Flags, centred, at the bottom, transparent background, a box to be fitted to the picture.
    out.put_slice(&[0, 0, 0, 0, 1, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    // The style of characters 0 to 0: font 1, plain, size, white.
    out.put_slice(&[0, 0, 0, 0, 0, 1, 0, TX3G_SIZE, 255, 255, 255, 255]);
    put_box(*b"ftab", b"\x00\x01\x00\x01\x05Serif", &mut out);
    out.freeze()
}

/// The cues of a sample of a `wvtt` track (ISO/IEC 14496-30 §7.4) as canonical payloads; none for a gap (`vtte`).
/// Comments (`vtta`) and source ids are passed over.
///
/// # Errors
/// The sample isn't made of boxes, or there are more than [`limits::BOXES`].
pub fn wvtt_cues(sample: &[u8]) -> Result<Vec<Bytes>, CodecError> {
    let mut cues = Vec::new();
    let mut at = sample;
    let mut boxes = 0;
    while !at.is_empty() {
        let (kind, body, rest) = split_box(at)?;
        at = rest;
        boxes += 1;
        if boxes > limits::BOXES {
            return Err(CodecError::limit("wvtt boxes"));
        }
        if &kind != b"vttc" {
            continue;
        }
        let mut cue = Cue::default();
        let mut inner = body;
        while !inner.is_empty() {
            boxes += 1;
            if boxes > limits::BOXES * 4 {
                return Err(CodecError::limit("wvtt boxes"));
            }
            let (kind, body, rest) = split_box(inner)?;
            inner = rest;
            match &kind {
                b"iden" => cue.id = String::from_utf8_lossy(body),
                b"sttg" => cue.settings = String::from_utf8_lossy(body),
                b"payl" => cue.text = String::from_utf8_lossy(body),
                _ => {}
            }
        }
        cues.push(cue.build());
    }
    Ok(cues)
}

/// A sample of a `wvtt` track with the cues that are shown together, given as canonical payloads; a gap for none.
pub fn wvtt_sample<'a>(cues: impl IntoIterator<Item = &'a Bytes>) -> Bytes {
    let mut out = BytesMut::new();
    for payload in cues {
        let cue = Cue::parse(payload);
        let mut body = BytesMut::with_capacity(payload.len() + 24);
        if !cue.id.is_empty() {
            put_box(*b"iden", cue.id.as_bytes(), &mut body);
        }
        if !cue.settings.is_empty() {
            put_box(*b"sttg", cue.settings.as_bytes(), &mut body);
        }
        if !cue.text.is_empty() {
            put_box(*b"payl", cue.text.as_bytes(), &mut body);
        }
        put_box(*b"vttc", &body, &mut out);
    }
    if out.is_empty() {
        put_box(*b"vtte", &[], &mut out);
    }
    out.freeze()
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

    #[test]
    fn samples_of_mp4() {
        let sample =
            b"\0\x0dLine 2\nLine 3\0\0\0\x2estyl\0\x03\0\0\0\x05\0\x01\x02\x18\0\xff\0\xff\0\x06\0\x06\
            \0\x01\x04\x18\xff\xff\xff\xff\0\x07\0\x0c\0\x01\x04\x18\0\xff\0\xff";
        assert_eq!(tx3g_to_subrip(sample).unwrap(), "<i>Line </i>2\n<u>Line </u>3");
        assert_eq!(tx3g_to_subrip(b"\0\x06\xfe\xffO`Y}").unwrap(), "\u{4f60}\u{597d}");
        assert!(tx3g_to_subrip(b"\0\x06ab").is_err());
        let many = [&b"\0\0"[..], &b"\0\0\0\x08hlit".repeat(limits::BOXES + 1)].concat();
        assert_eq!(tx3g_to_subrip(&many), Err(CodecError::limit("tx3g boxes")));
        let records = vec![0u8; 12 * (limits::STYLES + 1)];
        let marked: Vec<u8> =
            records.chunks(12).flat_map(|_| [0, 0, 0, 1, 0, 1, 1, 18, 0, 0, 0, 0]).collect();
        let mut styles = BytesMut::from(&b"\0\0"[..]);
        put_box(*b"styl", &[&[1, 1][..], &marked].concat(), &mut styles);
        assert_eq!(tx3g_to_subrip(&styles), Err(CodecError::limit("tx3g styles")));

        let cues = [Bytes::from_static(b"1\n--> line:0\nHi"), Bytes::from_static(b"plain")];
        let sample = wvtt_sample(&cues);
        assert_eq!(wvtt_cues(&sample).unwrap(), cues);
        assert_eq!(wvtt_sample([]), &b"\0\0\0\x08vtte"[..]);
        assert_eq!(wvtt_cues(b"\0\0\0\x08vtte").unwrap(), Vec::<Bytes>::new());
        assert!(wvtt_cues(b"\0\0\0\x07vtte").is_err());
        let many = b"\0\0\0\x08vtte".repeat(limits::BOXES + 1);
        assert_eq!(wvtt_cues(&many), Err(CodecError::limit("wvtt boxes")));
        assert_eq!(split_box(&tx3g_init()[30..]).map(|(k, _, rest)| (k, rest.len())), Ok((*b"ftab", 0)));
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
