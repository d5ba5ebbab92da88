//! Whether ID3v2 tags keep to their rules (id3.org, versions 2.2 to 2.4): media is found behind them anyway.

/// Faults that are named of one file's tags.
const MAX_FAULTS: usize = 20;

/// The faults of the tags that `data` begins with: where, and what.
pub(super) fn faults(data: &[u8]) -> Vec<(u64, &'static str)> {
    let mut found = Vec::new();
    read(data, &mut |at, what| {
        if found.len() < MAX_FAULTS {
            found.push((at as u64, what));
        }
    });
    found
}

fn read(data: &[u8], say: &mut dyn FnMut(usize, &'static str)) -> Option<()> {
    let Some((&[b'I', b'D', b'3', version, _, flags, s1, s2, s3, s4], rest)) = data.split_first_chunk::<10>()
    else {
        return None;
    };
    if !(2..=4).contains(&version) {
        say(3, "an ID3v2 tag of no known version");
        return None;
    }
    if [s1, s2, s3, s4].iter().any(|b| *b >= 0x80) {
        say(6, "the size of an ID3v2 tag has the wrong form");
        return None;
    }
    let size = synchsafe([s1, s2, s3, s4]);
    if rest.get(size..).is_some_and(|after| after.starts_with(b"ID3")) {
        say(10 + size, "two ID3v2 tags one after the other");
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
        let place = 10 + at;
        let id = h.get(..if version == 2 { 3 } else { 4 })?;
        if id.iter().all(|b| *b == 0) {
            return None;
        }
        if !id.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()) {
            say(place, "an ID3v2 frame without a name");
        }
        let len = match (version, h) {
            (2, &[_, _, _, a, b, c]) => u32::from_be_bytes([0, a, b, c]) as usize,
            (3, &[_, _, _, _, a, b, c, d, ..]) => u32::from_be_bytes([a, b, c, d]) as usize,
            (_, &[_, _, _, _, a, b, c, d, ..]) => {
                if [a, b, c, d].iter().any(|b| *b >= 0x80) {
                    say(place, "the size of an ID3v2.4 frame has the wrong form");
                    return None;
                }
                synchsafe([a, b, c, d])
            }
            _ => return None,
        };
        if len == 0 {
            say(place, "an empty ID3v2 frame");
        }
        let Some(body) = tag.get(at + head..).and_then(|t| t.get(..len)) else {
            if whole || len > size {
                say(place, "an ID3v2 frame reaches beyond its tag");
            }
            return None;
        };
        // Flags of compression and encryption change what the first byte is.
        let flags = h.get(9).copied().unwrap_or(0);
        if id.first() == Some(&b'T') && flags == 0 && body.first().is_some_and(|e| *e > 3) {
            say(place, "an ID3v2 text of no known encoding");
        }
        if version == 3
            && flags & 0x80 != 0
            && let Some((unpacked, packed)) = body.split_first_chunk::<4>()
            && packed.len() > (u32::from_be_bytes(*unpacked) as usize).saturating_mul(2).saturating_add(64)
        {
            // Packing makes nothing twice as long.
            say(place, "a compressed ID3v2 frame that is longer than it says to be unpacked");
        }
        if id == b"TYER"
            && body.first() == Some(&0)
            && !body.iter().skip(1).all(|b| b.is_ascii_digit() || *b == 0)
        {
            say(place, "a year that is no number in an ID3v2 tag");
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
        assert_eq!(faults(&good), []);
        assert_eq!(faults(&tag(2, b"TT2\0\0\x02\0a")), []);
        assert_eq!(
            faults(&[&good[..], &good[..]].concat()),
            [(good.len() as u64, "two ID3v2 tags one after the other")]
        );
        for (t, want) in [
            (tag(9, b""), "an ID3v2 tag of no known version"),
            (tag(3, b"TIT2\0\0\0\x09\0\0\0a"), "an ID3v2 frame reaches beyond its tag"),
            (tag(3, b"TIT2\0\0\0\0\0\0"), "an empty ID3v2 frame"),
            (tag(3, b"ti 2\0\0\0\x02\0\0\0a"), "an ID3v2 frame without a name"),
            (tag(3, b"TIT2\0\0\0\x02\0\0\x07a"), "an ID3v2 text of no known encoding"),
            (tag(4, b"TIT2\0\0\0\x82\0\0\0a"), "the size of an ID3v2.4 frame has the wrong form"),
        ] {
            assert_eq!(faults(&t).first().map(|f| f.1), Some(want));
            for n in 0..t.len() {
                faults(&t[..n]);
            }
        }
    }
}
