//! Whether ID3v2 tags keep to their rules (id3.org, versions 2.2 to 2.4): media is found behind them anyway.

/// The first fault of the tags that `data` begins with: where, and what.
pub(crate) fn fault(data: &[u8]) -> Option<(u64, &'static str)> {
    let Some((&[b'I', b'D', b'3', version, _, flags, s1, s2, s3, s4], rest)) = data.split_first_chunk::<10>()
    else {
        return None;
    };
    if !(2..=4).contains(&version) {
        return Some((3, "an ID3v2 tag of no known version"));
    }
    if [s1, s2, s3, s4].iter().any(|b| *b >= 0x80) {
        return Some((6, "the size of an ID3v2 tag has the wrong form"));
    }
    let size = synchsafe([s1, s2, s3, s4]);
    if let Some(after) = rest.get(size..)
        && after.starts_with(b"ID3")
    {
        return Some((10 + size as u64, "two ID3v2 tags one after the other"));
    }
    // Unsynchronised tags and extended heads are not looked into.
    if flags & 0xC0 != 0 {
        return None;
    }
    let whole = rest.len() >= size;
    let tag = rest.get(..size).unwrap_or(rest);
    let head = if version == 2 { 6 } else { 10 };
    let mut at = 0;
    while let Some(h) = tag.get(at..at + head) {
        let place = 10 + at as u64;
        let id = h.get(..if version == 2 { 3 } else { 4 })?;
        if id.iter().all(|b| *b == 0) {
            return None;
        }
        if !id.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()) {
            return Some((place, "an ID3v2 frame without a name"));
        }
        let len = match (version, h) {
            (2, &[_, _, _, a, b, c]) => u32::from_be_bytes([0, a, b, c]) as usize,
            (3, &[_, _, _, _, a, b, c, d, ..]) => u32::from_be_bytes([a, b, c, d]) as usize,
            (_, &[_, _, _, _, a, b, c, d, ..]) => {
                if [a, b, c, d].iter().any(|b| *b >= 0x80) {
                    return Some((place, "the size of an ID3v2.4 frame has the wrong form"));
                }
                synchsafe([a, b, c, d])
            }
            _ => return None,
        };
        if len == 0 {
            return Some((place, "an empty ID3v2 frame"));
        }
        let Some(body) = tag.get(at + head..).and_then(|t| t.get(..len)) else {
            return whole.then_some((place, "an ID3v2 frame reaches beyond its tag"));
        };
        // Flags of compression and encryption change what the first byte is.
        let plain = h.get(9).is_none_or(|f| *f == 0);
        if id.first() == Some(&b'T') && plain && body.first().is_some_and(|e| *e > 3) {
            return Some((place, "an ID3v2 text of no known encoding"));
        }
        if id == b"TYER"
            && body.first() == Some(&0)
            && !body.iter().skip(1).all(|b| b.is_ascii_digit() || *b == 0)
        {
            return Some((place, "a year that is no number in an ID3v2 tag"));
        }
        at += head + len;
    }
    None
}

fn synchsafe(b: [u8; 4]) -> usize {
    b.iter().fold(0, |n, b| n << 7 | usize::from(b & 0x7F))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(version: u8, frames: &[u8]) -> Vec<u8> {
        let mut t =
            vec![b'I', b'D', b'3', version, 0, 0, 0, 0, (frames.len() >> 7) as u8, frames.len() as u8 & 0x7F];
        t.extend_from_slice(frames);
        t
    }

    #[test]
    fn tags_and_their_faults() {
        let good = tag(3, b"TIT2\0\0\0\x02\0\0\0aTALB\0\0\0\x02\0\0\0b\0\0\0\0\0\0\0\0\0\0\0");
        assert_eq!(fault(&good), None);
        assert_eq!(fault(&tag(2, b"TT2\0\0\x02\0a")), None);
        assert_eq!(
            fault(&[&good[..], &good[..]].concat()),
            Some((good.len() as u64, "two ID3v2 tags one after the other"))
        );
        for (t, want) in [
            (tag(9, b""), "an ID3v2 tag of no known version"),
            (tag(3, b"TIT2\0\0\0\x09\0\0\0a"), "an ID3v2 frame reaches beyond its tag"),
            (tag(3, b"TIT2\0\0\0\0\0\0"), "an empty ID3v2 frame"),
            (tag(3, b"ti 2\0\0\0\x02\0\0\0a"), "an ID3v2 frame without a name"),
            (tag(3, b"TIT2\0\0\0\x02\0\0\x07a"), "an ID3v2 text of no known encoding"),
            (tag(4, b"TIT2\0\0\0\x82\0\0\0a"), "the size of an ID3v2.4 frame has the wrong form"),
        ] {
            assert_eq!(fault(&t).map(|f| f.1), Some(want));
            for n in 0..t.len() {
                fault(&t[..n]);
            }
        }
    }
}
