//! Bytes to lines of UTF-8, whatever their encoding and however they end.

use super::limits;
use bytes::Bytes;
use mist_core::codec::text;
use mist_core::queue::Queue;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    /// UTF-8, and Windows-1252 in lines that aren't.
    Bytes,
    /// UTF-16, little-endian.
    Le,
    /// UTF-16, big-endian.
    Be,
}

/// One line without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Byte offset in the source.
    pub(super) offset: u64,
    pub(super) text: String,
    /// It was longer than [`limits::LINE`].
    pub(super) cut: bool,
}

/// Takes chunks, gives lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    queue: Queue,
    encoding: Option<Encoding>,
    ended: bool,
    /// The line so far: UTF-16 as little-endian units.
    line: Vec<u8>,
    start: Option<u64>,
    cut: bool,
    /// The last line ended in CR: a LF that follows belongs to it.
    after_cr: bool,
}

impl Lines {
    pub(super) fn push(&mut self, data: Bytes) {
        self.queue.push(data);
    }

    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    /// Bytes taken and waiting.
    pub(super) fn seen(&self) -> u64 {
        self.queue.offset() + self.queue.len() as u64
    }

    /// Bytes taken.
    pub(super) fn offset(&self) -> u64 {
        self.queue.offset()
    }

    /// The next line; `None` until there is a whole one, and after the last.
    pub(super) fn next_line(&mut self) -> Option<Line> {
        let encoding = match self.encoding {
            Some(e) => e,
            None => self.detect()?,
        };
        loop {
            let offset = self.queue.offset();
            let unit = match encoding {
                Encoding::Bytes => {
                    // Everything up to the next end of a line that lies in one piece.
                    let front = self.queue.front();
                    let n = memchr::memchr2(b'\n', b'\r', front).unwrap_or(front.len());
                    if n > 0 {
                        self.after_cr = false;
                        self.start.get_or_insert(offset);
                        let run = self.queue.take_front(n).unwrap_or_default();
                        let room = limits::LINE.saturating_sub(self.line.len());
                        self.cut |= run.len() > room;
                        self.line.extend_from_slice(run.get(..room).unwrap_or(&run));
                        continue;
                    }
                    self.queue.take(1).and_then(|b| b.first().copied()).map(u16::from)
                }
                Encoding::Le | Encoding::Be => self.queue.peek::<2>().map(|b| {
                    self.queue.skip(2);
                    if encoding == Encoding::Le { u16::from_le_bytes(b) } else { u16::from_be_bytes(b) }
                }),
            };
            let Some(unit) = unit else {
                // Half a unit at the end is nothing.
                return if self.ended { self.finish() } else { None };
            };
            let (lf, cr) = (unit == 10, unit == 13);
            if lf && std::mem::take(&mut self.after_cr) {
                continue;
            }
            self.start.get_or_insert(offset);
            if lf || cr {
                self.after_cr = cr;
                return self.finish();
            }
            self.after_cr = false;
            if self.line.len() + 2 <= limits::LINE {
                self.line.extend_from_slice(&unit.to_le_bytes());
            } else {
                self.cut = true;
            }
        }
    }

    fn detect(&mut self) -> Option<Encoding> {
        let (encoding, mark) = match (self.queue.peek::<2>(), self.queue.peek::<3>()) {
            (Some([0xff, 0xfe]), _) => (Encoding::Le, 2),
            (Some([0xfe, 0xff]), _) => (Encoding::Be, 2),
            (_, Some([0xef, 0xbb, 0xbf])) => (Encoding::Bytes, 3),
            (_, None) if !self.ended => return None,
            _ => (Encoding::Bytes, 0),
        };
        self.queue.skip(mark);
        self.encoding = Some(encoding);
        self.encoding
    }

    fn finish(&mut self) -> Option<Line> {
        let offset = self.start.take()?;
        let cut = std::mem::take(&mut self.cut);
        let text = match self.encoding {
            Some(Encoding::Le | Encoding::Be) => {
                let units =
                    self.line.chunks_exact(2).filter_map(|c| c.try_into().ok()).map(u16::from_le_bytes);
                char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
            }
            // Cutting can divide a character.
            _ if cut => String::from_utf8_lossy(&self.line).into_owned(),
            _ => std::str::from_utf8(&self.line)
                .map_or_else(|_| self.line.iter().map(|b| text::windows_1252(*b)).collect(), str::to_owned),
        };
        self.line.clear();
        Some(Line { offset, text, cut })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(data: &[u8], step: usize) -> Vec<(u64, String, bool)> {
        let mut l = Lines::default();
        let mut got = Vec::new();
        for piece in data.chunks(step) {
            l.push(Bytes::copy_from_slice(piece));
            while let Some(x) = l.next_line() {
                got.push((x.offset, x.text, x.cut));
            }
        }
        l.end();
        while let Some(x) = l.next_line() {
            got.push((x.offset, x.text, x.cut));
        }
        assert_eq!((l.offset(), l.seen()), (data.len() as u64, data.len() as u64));
        got
    }

    #[test]
    fn all_encodings_and_ends_split_anywhere() {
        let utf16 = |s: &str, unit: fn(u16) -> [u8; 2]| s.encode_utf16().flat_map(unit).collect::<Vec<_>>();
        let text = "\u{feff}a\r\nb\n\r\rd\u{e9}\u{1f600}\n\nlast";
        for (data, at) in [
            (text.as_bytes().to_vec(), [3, 6, 8, 9, 10, 18, 19]),
            (utf16(text, u16::to_le_bytes), [2, 8, 12, 14, 16, 26, 28]),
            (utf16(text, u16::to_be_bytes), [2, 8, 12, 14, 16, 26, 28]),
        ] {
            let words = ["a", "b", "", "", "d\u{e9}\u{1f600}", "", "last"];
            let want: Vec<_> = at.into_iter().zip(words).map(|(o, t)| (o, t.to_owned(), false)).collect();
            for step in [1, 2, 3, 7, 100] {
                assert_eq!(lines(&data, step), want, "in steps of {step}");
            }
        }
        assert_eq!(lines(b"h\xe9\nh\xc3\xa9", 1)[0].1, "hé");
        assert_eq!(lines(b"h\xe9\nh\xc3\xa9", 4)[1].1, "hé");
        assert!(lines(b"", 1).is_empty());
    }

    #[test]
    fn long_lines_are_cut() {
        for step in [1000, 1 << 20] {
            let data = [vec![b'x'; limits::LINE + 5], b"\nnext".to_vec()].concat();
            let got = lines(&data, step);
            assert_eq!((got[0].1.len(), got[0].2, &got[1].1[..]), (limits::LINE, true, "next"));
            let wide: Vec<u8> = [0xff, 0xfe]
                .into_iter()
                .chain(std::iter::repeat_n([b'x', 0], limits::LINE).flatten())
                .collect();
            assert_eq!((lines(&wide, step)[0].1.len(), lines(&wide, step)[0].2), (limits::LINE / 2, true));
        }
    }
}
