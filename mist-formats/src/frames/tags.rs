//! What lies before, between and behind audio frames: ID3v2 (id3.org, versions 2.2 to 2.4), ID3v1, APE and Lyrics3
//! tags, and the time that HTTP Live Streaming writes into an ID3v2 tag (RFC 8216 §3.4).

/// Bytes from which any tag is recognised.
pub(super) const HEAD: usize = 32;

/// What lies at some place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tag {
    /// A tag of so many bytes.
    Known {
        /// Its name.
        name: &'static str,
        /// Bytes with its head and foot.
        len: u64,
    },
    /// Lyrics3, whose length only its end tells.
    Lyrics,
    /// No tag.
    None,
}

/// The tag at the start of `head`, of which there are [`HEAD`] bytes unless the file ends before.
pub(super) fn at(head: &[u8]) -> Tag {
    let known = |name, len| Tag::Known { name, len };
    match head {
        [b'I', b'D', b'3', ..] => id3v2(head).map_or(Tag::None, |len| known("ID3v2", len)),
        [b'T', b'A', b'G', b'+', ..] => known("ID3v1 extension", 227),
        [b'T', b'A', b'G', ..] => known("ID3v1", 128),
        _ if head.starts_with(b"LYRICSBEGIN") => Tag::Lyrics,
        _ if head.starts_with(b"APETAGEX") => match (head.get(12..16), head.get(20..24)) {
            // The length counts the items and the foot; a head, which bit 29 tells from a foot, comes on top.
            (Some(&[a, b, c, d]), Some(&[.., flags])) if flags & 0x20 != 0 => {
                known("APE", 32 + u64::from(u32::from_le_bytes([a, b, c, d])))
            }
            _ => known("APE", 32),
        },
        _ => Tag::None,
    }
}

/// Whether a tag begins with these bytes, of which four are enough.
pub(super) fn begins(head: &[u8]) -> bool {
    [&b"ID3"[..], b"TAG", b"APET", b"LYRI"].iter().any(|m| head.starts_with(m))
}

/// Bytes of the ID3v2 tag that begins with these, with head and foot; `None` if they are none.
pub(super) fn id3v2(head: &[u8]) -> Option<u64> {
    let Some(&[b'I', b'D', b'3', major, minor, flags, a, b, c, d]) = head.first_chunk() else { return None };
    if major == 0xff || minor == 0xff || [a, b, c, d].iter().any(|b| b & 0x80 != 0) {
        return None;
    }
    let size = [a, b, c, d].iter().fold(0u64, |n, &b| (n << 7) | u64::from(b));
    let foot = if flags & 0x10 != 0 && major >= 4 { 10 } else { 0 };
    Some(10 + size + foot)
}

/// The time of the first sample in 90 kHz, modulo 2^33, where a private frame of an ID3v2 tag tells it.
pub(super) fn timestamp(tag: &[u8]) -> Option<u64> {
    let owner = b"com.apple.streaming.transportStreamTimestamp\0";
    let at = memchr::memmem::find(tag, owner)? + owner.len();
    let value: [u8; 8] = *tag.get(at..)?.first_chunk()?;
    Some(u64::from_be_bytes(value) & ((1 << 33) - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(head: &[u8]) -> Option<u64> {
        match at(head) {
            Tag::Known { len, .. } => Some(len),
            _ => None,
        }
    }

    #[test]
    fn lengths() {
        assert_eq!(known(b"ID3\x04\0\0\0\0\x02\x01"), Some(10 + 257));
        assert_eq!(known(b"ID3\x04\0\x10\0\0\0\x05"), Some(25), "with its foot");
        assert_eq!(known(b"ID3\x03\0\x10\0\0\0\x05"), Some(15), "version 3 has none");
        assert_eq!(known(b"ID3\x04\0\0\x7f\x7f\x7f\x7f"), Some(10 + (1 << 28) - 1));
        assert_eq!(known(b"ID3\x04\0\0\0\0\0\x80"), None, "no size");
        assert_eq!(known(b"ID3\xff\0\0\0\0\0\0"), None);
        assert_eq!(known(b"ID3\x04\0\0\0"), None, "cut");
        assert_eq!((known(b"TAGx"), known(b"TAG+")), (Some(128), Some(227)));
        let mut ape = *b"APETAGEX\xd0\x07\0\0\x40\0\0\0\x01\0\0\0\0\0\0\xa0\0\0\0\0\0\0\0\0";
        assert_eq!(known(&ape), Some(96));
        ape[23] = 0x80;
        assert_eq!(known(&ape), Some(32), "a foot");
        assert_eq!(at(b"LYRICSBEGININD"), Tag::Lyrics);
        assert_eq!(at(b"\xff\xfb\x90\x64"), Tag::None);
    }

    #[test]
    fn times() {
        let mut tag =
            b"ID3\x04\0\0\0\0\0\x3fPRIV\0\0\0\x35\0\0com.apple.streaming.transportStreamTimestamp\0".to_vec();
        assert_eq!(timestamp(&tag), None);
        tag.extend_from_slice(&[0xff, 0, 0, 1, 0, 0, 0, 9]);
        assert_eq!(timestamp(&tag), Some((1 << 32) + 9), "33 bits");
    }
}
