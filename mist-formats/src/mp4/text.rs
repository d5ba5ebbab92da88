//! Subtitles as MP4 wraps them, unwrapped: 3GPP timed text (3GPP TS 26.245 §5.16) and WebVTT cues (ISO/IEC 14496-30
//! §5.5). Of both the text is kept, not its position and style.

use super::boxes::{Part, Reader};
use bytes::Bytes;

/// The text of a timed text sample; empty where nothing is shown. `None` if it is longer than the sample.
pub(super) fn timed_text(data: &Bytes) -> Option<Bytes> {
    let mut r = Reader(data);
    let len = r.u16()?;
    let text = r.take(len.into())?;
    let utf16 = |b: &[u8], unit: fn([u8; 2]) -> u16| {
        let units = b.chunks_exact(2).filter_map(|c| c.first_chunk().copied()).map(unit);
        Bytes::from(char::decode_utf16(units).map(|c| c.unwrap_or('\u{fffd}')).collect::<String>())
    };
    Some(match text {
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        _ => data.slice_ref(text),
    })
}

/// The cues of a WebVTT sample: the text of each.
pub(super) fn cues(data: &Bytes) -> impl Iterator<Item = Bytes> {
    let sample = Part { kind: *b"wvtt", body: data.clone(), at: 0, head: 0 };
    sample.parts(0).filter(|p| p.kind == *b"vttc").filter_map(|p| p.find(0, b"payl")).map(|p| p.body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_every_kind() {
        let text = |b: &'static [u8]| timed_text(&Bytes::from_static(b));
        assert_eq!(text(b"\0\x02hi\0\0\0\x0cstyl\0\0\0\0").unwrap(), "hi");
        assert_eq!(text(b"\0\0").unwrap(), "");
        assert_eq!(text(b"\0\x06\xfe\xff\0\xe4\xd8\0").unwrap(), "\u{e4}\u{fffd}");
        assert_eq!(text(b"\0\x04\xff\xfe\xe4\0").unwrap(), "\u{e4}");
        assert_eq!(text(b"\0\x03hi"), None);
        let sample = b"\0\0\0\x08vtte\0\0\0\x12vttc\0\0\0\x0apaylab\0\0\0\x11vttc\0\0\0\x09paylc";
        let all: Vec<_> = cues(&Bytes::from_static(sample)).collect();
        assert_eq!(all, ["ab", "c"]);
    }
}
