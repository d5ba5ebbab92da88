//! Input bytes across chunks: looked at and taken without copying where they lie in one chunk.

use bytes::{Buf, Bytes, BytesMut};
use std::collections::VecDeque;

/// Bytes that have come in and are not parsed yet.
///
/// `take` hands out slices of the chunks as they came, so payload that arrived in one piece is never copied;
/// what straddles chunks is copied once into a buffer of its exact size.
#[derive(Default, Debug)]
pub struct Queue {
    chunks: VecDeque<Bytes>,
    len: usize,
    offset: u64,
}

/// What lies at `to` and behind it of a chunk that begins at `offset`; `None` where it has no byte at `to`.
pub fn landing(to: u64, offset: u64, data: &Bytes) -> Option<Bytes> {
    let skip = usize::try_from(to.checked_sub(offset)?).ok().filter(|skip| *skip < data.len())?;
    Some(data.slice(skip..))
}

impl Queue {
    /// Empty, at stream offset 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a chunk.
    pub fn push(&mut self, b: Bytes) {
        if !b.is_empty() {
            self.len += b.len();
            self.chunks.push_back(b);
        }
    }

    /// Puts back what [`Self::take`] gave last, for callers that can only judge it as a whole.
    pub fn put_back(&mut self, b: Bytes) {
        if !b.is_empty() {
            self.len += b.len();
            self.offset = self.offset.saturating_sub(b.len() as u64);
            self.chunks.push_front(b);
        }
    }

    /// Bytes that are waiting.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if nothing is waiting.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Offset in the source of the next byte.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Drops everything and goes on at `offset`, after a seek.
    pub fn reset(&mut self, offset: u64) {
        self.chunks.clear();
        self.len = 0;
        self.offset = offset;
    }

    /// Takes a chunk that begins at `offset` after a jump to `to`: what was under way when the jump came, before `to`, is
    /// of no use. False, with nothing changed, while no byte from `to` on has come.
    pub fn land(&mut self, to: u64, offset: u64, data: &Bytes) -> bool {
        let Some(data) = landing(to, offset, data) else { return false };
        self.reset(to);
        self.push(data);
        true
    }

    /// The longest run of bytes that lies in one piece at the front.
    pub fn front(&self) -> &[u8] {
        self.chunks.front().map_or(&[], |b| b)
    }

    /// Byte `i` from the front.
    pub fn byte(&self, mut i: usize) -> Option<u8> {
        for c in &self.chunks {
            match c.get(i) {
                Some(b) => return Some(*b),
                None => i -= c.len(),
            }
        }
        None
    }

    /// Copies the next `N` bytes without consuming them; `None` until there are as many.
    pub fn peek<const N: usize>(&self) -> Option<[u8; N]> {
        self.peek_at(0)
    }

    /// Copies `N` bytes starting `skip` bytes from the front without consuming them.
    pub fn peek_at<const N: usize>(&self, skip: usize) -> Option<[u8; N]> {
        let mut out = [0u8; N];
        self.peek_into(skip, &mut out).then_some(out)
    }

    /// Fills `out` from `skip` bytes after the front without consuming; false (and `out` unspecified) when there
    /// are not enough bytes.
    pub fn peek_into(&self, mut skip: usize, out: &mut [u8]) -> bool {
        if self.len < skip.saturating_add(out.len()) {
            return false;
        }
        let mut at = 0;
        for c in &self.chunks {
            if at == out.len() {
                break;
            }
            let Some(c) = c.get(skip..) else {
                skip -= c.len();
                continue;
            };
            skip = 0;
            let n = c.len().min(out.len() - at);
            if let (Some(d), Some(s)) = (out.get_mut(at..at + n), c.get(..n)) {
                d.copy_from_slice(s);
            }
            at += n;
        }
        true
    }

    /// Takes exactly `n` bytes; `None`, consuming nothing, until there are as many.
    pub fn take(&mut self, n: usize) -> Option<Bytes> {
        if self.len < n {
            return None;
        }
        self.len -= n;
        self.offset += n as u64;
        if n == 0 {
            return Some(Bytes::new());
        }
        match self.chunks.front_mut() {
            Some(c) if c.len() > n => Some(c.split_to(n)),
            Some(c) if c.len() == n => self.chunks.pop_front(),
            _ => {
                let mut out = BytesMut::with_capacity(n);
                self.drain(n, |s| out.extend_from_slice(s));
                Some(out.freeze())
            }
        }
    }

    /// Takes up to `max` bytes that lie in one piece at the front; `None` when empty.
    pub fn take_front(&mut self, max: usize) -> Option<Bytes> {
        let n = self.front().len().min(max);
        if n == 0 { None } else { self.take(n) }
    }

    /// Drops `n` bytes, or all there are; says how many.
    pub fn skip(&mut self, n: usize) -> usize {
        let n = n.min(self.len);
        self.len -= n;
        self.offset += n as u64;
        self.drain(n, |_| {});
        n
    }

    fn drain(&mut self, mut n: usize, mut f: impl FnMut(&[u8])) {
        while n > 0 {
            let Some(c) = self.chunks.front_mut() else { return };
            if c.len() > n {
                if let Some(s) = c.get(..n) {
                    f(s);
                }
                c.advance(n);
                return;
            }
            f(c);
            n -= c.len();
            self.chunks.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_chunk_is_not_copied() {
        let b = Bytes::from(vec![1u8; 100]);
        let p = b.as_ptr();
        let mut q = Queue::new();
        q.push(b);
        assert_eq!(q.take(10).map(|b| b.as_ptr()), Some(p));
        assert_eq!(q.take(90).map(|b| b.as_ptr()), Some(p.wrapping_add(10)));
        assert_eq!(q.offset(), 100);
        assert!(q.take(1).is_none());
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same(cuts in prop::collection::vec(1usize..9, 1..40),
                                    ops in prop::collection::vec((0usize..12, 0u8..4), 1..60)) {
            let mut q = Queue::new();
            let mut all = Vec::new();
            for c in cuts {
                let v: Vec<u8> = (0..c).map(|i| (all.len() + i) as u8).collect();
                all.extend_from_slice(&v);
                q.push(v.into());
            }
            let mut at = 0;
            for (n, op) in ops {
                let left = all.len() - at;
                match op {
                    0 => {
                        let t = q.take(n);
                        prop_assert_eq!(t.is_some(), n <= left);
                        if let Some(t) = t {
                            prop_assert_eq!(&t[..], &all[at..at + n]);
                            q.put_back(t);
                            prop_assert_eq!((q.offset(), q.len()), (at as u64, left));
                            at += q.skip(n);
                        }
                    }
                    1 => at += q.skip(n),
                    2 => {
                        let mut out = vec![0; n];
                        let ok = q.peek_into(3, &mut out);
                        prop_assert_eq!(ok, n + 3 <= left);
                        if ok { prop_assert_eq!(&out[..], &all[at + 3..at + 3 + n]) }
                    }
                    _ => {
                        if let Some(t) = q.take_front(n) { prop_assert_eq!(&t[..], &all[at..at + t.len()]); at += t.len() }
                        prop_assert_eq!(q.byte(n), all.get(at + n).copied());
                    }
                }
                prop_assert_eq!(q.offset(), at as u64);
                prop_assert_eq!(q.len(), all.len() - at);
            }
        }
    }
}
