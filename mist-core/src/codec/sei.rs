//! Supplemental enhancement information, the same in H.264 (§7.3.2.3) and HEVC (§7.3.5), and the captions of
//! ATSC A/53 part 4 §6.2.3 in it.

use super::limits::MAX_SEI_MESSAGES;
use super::nal::unescape;
use std::borrow::Cow;

/// Payload type of a recovery point.
pub const RECOVERY_POINT: u32 = 6;
/// Payload type of user data registered by ITU-T T.35.
pub const USER_DATA_T35: u32 = 4;

/// Which closed captions pictures carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Captions {
    /// CEA-608 byte pairs.
    pub cea608: bool,
    /// CEA-708 packets.
    pub cea708: bool,
}

impl Captions {
    /// True if there are any.
    pub const fn any(self) -> bool {
        self.cea608 || self.cea708
    }

    /// Both together.
    #[must_use]
    pub const fn or(self, o: Self) -> Self {
        Self { cea608: self.cea608 || o.cea608, cea708: self.cea708 || o.cea708 }
    }
}

/// The messages of one SEI NAL unit.
#[derive(Debug, Clone)]
pub struct Messages<'a> {
    rbsp: Cow<'a, [u8]>,
    at: usize,
    count: usize,
}

/// Reads the messages of a SEI NAL unit, given without its header (1 byte in H.264, 2 in HEVC).
pub fn messages(body: &[u8]) -> Messages<'_> {
    Messages { rbsp: unescape(body), at: 0, count: 0 }
}

impl Messages<'_> {
    fn number(&mut self) -> Option<u32> {
        let mut v = 0u32;
        loop {
            let b = *self.rbsp.get(self.at)?;
            self.at += 1;
            v = v.checked_add(b.into())?;
            if b != 255 {
                return Some(v);
            }
        }
    }

    /// The next message: its type and payload. `None` at the end and at broken data.
    pub fn next_message(&mut self) -> Option<(u32, &[u8])> {
        // The last byte is the stop bit of the payload.
        if self.count >= MAX_SEI_MESSAGES || self.rbsp.len().saturating_sub(self.at) < 2 {
            return None;
        }
        self.count += 1;
        let kind = self.number()?;
        let len = self.number()? as usize;
        let from = self.at;
        self.at = from.checked_add(len)?;
        Some((kind, self.rbsp.get(from..self.at)?))
    }
}

/// The captions in a SEI NAL unit, given without its header.
pub fn captions(body: &[u8]) -> Captions {
    let mut all = Captions::default();
    let mut m = messages(body);
    while let Some((kind, data)) = m.next_message() {
        if kind == USER_DATA_T35 {
            // Country United States, provider ATSC.
            if let Some(atsc) = data.strip_prefix(&[0xb5, 0, 0x31]) {
                all = all.or(atsc_captions(atsc));
            }
        }
    }
    all
}

/// The captions in ATSC user data (`GA94`, type 3), as in SEI and in MPEG-2 user data.
pub fn atsc_captions(data: &[u8]) -> Captions {
    let mut c = Captions::default();
    let Some([flags, _em, triples @ ..]) = data.strip_prefix(b"GA94\x03") else { return c };
    if flags & 0x40 == 0 {
        return c;
    }
    for t in triples.chunks_exact(3).take(usize::from(flags & 0x1f)) {
        let &[head, a, b] = t else { continue };
        if head & 4 == 0 {
            continue;
        }
        // A pair of nulls with parity is padding.
        if head & 3 >= 2 {
            c.cea708 = true;
        } else if (a & 0x7f, b & 0x7f) != (0, 0) {
            c.cea608 = true;
        }
    }
    c
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_both_kinds_of_captions() {
        let mut body = vec![1, 1, 0xff, 4, 3 + 4 + 1 + 2 + 6 + 1];
        body.extend(b"\xb5\x00\x31GA94\x03\x42\xff\xfc\x94\x20\xff\x01\x02\xff\x80");
        assert_eq!(captions(&body), Captions { cea608: true, cea708: true });
        for n in 0..body.len() {
            captions(&body[..n]);
        }
        let padding = b"GA94\x03\x41\xff\xfc\x80\x80\xff";
        assert!(!atsc_captions(padding).any());
    }

    #[test]
    fn stops_at_the_limit_and_at_hostile_sizes() {
        let zeros = vec![1u8; 3 * MAX_SEI_MESSAGES + 10];
        let mut m = messages(&zeros);
        let mut n = 0;
        while m.next_message().is_some() {
            n += 1;
        }
        assert_eq!(n, MAX_SEI_MESSAGES);
        assert!(messages(&[255; 1000]).next_message().is_none());
        assert!(messages(&[4, 200, 1, 2]).next_message().is_none());
    }
}
