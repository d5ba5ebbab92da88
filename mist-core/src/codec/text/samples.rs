//! Samples of MP4: 3GPP timed text, and WebVTT in boxes.

use super::super::{CodecError, take_u16_prefixed};
use super::{Cue, Piece, canonical, decode, limits, pieces, tag_name, without_overrides};
use bytes::{BufMut, Bytes, BytesMut};

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
    let raw = take_u16_prefixed(&mut at, "tx3g text")?;
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
}
