//! Chunks of RIFF files that players show rather than play (*Multimedia Programming Interface and Data Specifications
//! 1.0*, 1991).

use crate::problem::{Problem, Sort};

/// Bytes of a list of texts that are looked at.
const MAX_LIST: usize = 64 * 1024;

/// What was seen of a WAV file.
#[derive(Debug, Default)]
pub(crate) struct Wav {
    /// Where the next chunk begins; `None` where there is nothing to find any more.
    next: Option<u64>,
    /// Bytes of the chunk at `next`, as many as there are.
    head: Vec<u8>,
    begun: bool,
    /// The size of all that the file states.
    stated: Option<u64>,
    /// Bytes seen.
    end: u64,
    infos: u32,
    tags: u32,
}

impl Wav {
    pub(super) fn bytes(&mut self, offset: u64, data: &[u8], found: &mut Vec<Problem>) {
        if !self.begun && offset == 0 && data.len() >= 12 {
            self.begun = true;
            if data.starts_with(b"RIFF") {
                let size = data.get(4..8).and_then(|s| s.try_into().ok()).map_or(0, u32::from_le_bytes);
                // Streams state nothing, or the largest size there is.
                self.stated = (1..0xFFFF_F000).contains(&size).then_some(u64::from(size) + 8);
            }
            self.next = Some(12);
        }
        self.end = self.end.max(offset + data.len() as u64);
        while let Some(next) = self.next {
            let from = next + self.head.len() as u64;
            let Some(new) = from.checked_sub(offset).and_then(|skip| data.get(usize::try_from(skip).ok()?..))
            else {
                return;
            };
            let want = self.want();
            let take = new.len().min(want - self.head.len());
            self.head.extend_from_slice(new.get(..take).unwrap_or_default());
            if self.head.len() < want {
                return;
            }
            if self.want() == want {
                self.chunk(next, found);
            }
        }
    }

    /// Bytes of the chunk that are wanted: its head, and of a list all of it.
    fn want(&self) -> usize {
        match self.size() {
            Some(size) if self.head.starts_with(b"LIST") => {
                8 + usize::try_from(size).map_or(MAX_LIST, |s| s.min(MAX_LIST))
            }
            _ => 8,
        }
    }

    fn size(&self) -> Option<u32> {
        self.head.get(4..8).and_then(|s| s.try_into().ok()).map(u32::from_le_bytes)
    }

    fn chunk(&mut self, at: u64, found: &mut Vec<Problem>) {
        let size = self.size().unwrap_or(0);
        let mut tag = |what: &str, at| found.push(Problem::new(Sort::BadTag, what).at(Some(at)));
        let id = self.head.get(..4).unwrap_or_default();
        if id.eq_ignore_ascii_case(b"ID3 ") {
            self.tags += 1;
            if self.tags == 2 {
                tag("a second chunk with an ID3v2 tag", at);
            }
        } else if id == b"LIST" && self.head.get(8..12) == Some(b"INFO") {
            self.infos += 1;
            if self.infos == 2 {
                tag("a second list of texts", at);
            }
            if let Some(place) = bad_text(&self.head) {
                tag("a text that is neither UTF-8 nor plain Latin-1", at + place as u64);
            }
        }
        // The data of a stream has no size, and a chunk that is none is the end.
        let open = id == b"data" && (size == 0 || size >= 0xFFFF_F000);
        let named = id.iter().all(|b| b.is_ascii_graphic() || *b == b' ');
        self.next = (!open && named).then(|| at + 8 + u64::from(size) + u64::from(size & 1));
        self.head.clear();
    }

    pub(super) fn end(&self) -> Option<Problem> {
        let stated = self.stated.filter(|s| s.abs_diff(self.end) > 1)?;
        let what = format!("RIFF states {stated} bytes, there are {}", self.end);
        Some(Problem::new(Sort::BoxSize, &what).at(Some(4)))
    }
}

/// Where in a list of texts one is in no character set of texts: not UTF-8, and with control characters in Latin-1.
fn bad_text(list: &[u8]) -> Option<usize> {
    let mut at = 12;
    while let Some((head, rest)) = list.get(at..).and_then(<[u8]>::split_first_chunk::<8>) {
        let [_, _, _, _, a, b, c, d] = *head;
        let size = u32::from_le_bytes([a, b, c, d]) as usize;
        // The last character of a text that is not all there may be cut.
        let text = rest.get(..size).unwrap_or_default();
        if std::str::from_utf8(text).is_err() && text.iter().any(|b| (0x80..0xA0).contains(b)) {
            return Some(at + 8);
        }
        at = at.saturating_add(8).saturating_add(size).saturating_add(size & 1);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_found_however_the_file_comes() {
        let chunk = |id: &[u8], body: &[u8]| {
            let mut c = [id, &(body.len() as u32).to_le_bytes(), body].concat();
            c.resize(c.len().next_multiple_of(2), 0);
            c
        };
        let text = |t: &[u8]| chunk(b"LIST", &[&b"INFO"[..], &chunk(b"INAM", t)].concat());
        let body = [
            chunk(b"fmt ", &[0; 16]),
            text(b"gr\xFC\xDF"),
            chunk(b"data", &[0; 101]),
            text(b"\xFF\x9B\xB2"),
            chunk(b"ID3 ", b"x"),
            chunk(b"id3 ", b"x"),
        ]
        .concat();
        let whole = [&b"RIFF"[..], &100u32.to_le_bytes(), b"WAVE", &body].concat();
        let list = 12 + 24 + 24 + 110;
        let want = [
            ("a second list", list),
            ("neither UTF-8", list + 20),
            ("a second chunk", list + 24 + 10),
            ("RIFF states 108 bytes", 4),
        ];
        let long =
            [&b"LIST\0\0\0\0INFOINAM"[..], &90_000u32.to_le_bytes(), b"x", &"É".as_bytes().repeat(45_000)]
                .concat();
        assert_eq!(bad_text(&long[..MAX_LIST + 8]), None, "cut inside a character");
        for n in [12, 13, 20, 64, whole.len()] {
            let (mut w, mut found) = (Wav::default(), Vec::new());
            for (i, part) in whole.chunks(n).enumerate() {
                w.bytes((i * n) as u64, part, &mut found);
            }
            found.extend(w.end());
            assert_eq!(found.len(), want.len(), "{n}: {found:?}");
            for (f, (what, at)) in found.iter().zip(want) {
                assert!(f.what.contains(what), "{f:?}");
                assert_eq!(f.offset, Some(at as u64), "{f:?}");
            }
        }
    }
}
