//! Bytes of the source that were given and may still be needed, by offset.

use super::limits;
use bytes::{Buf, Bytes, BytesMut};
use std::collections::VecDeque;

/// What a chunk takes besides its bytes.
const OVERHEAD: usize = 64;
/// Chunks are put together up to this size: a source that gives single bytes must not cost more in bookkeeping.
const SMALL: usize = 512;

#[derive(Debug)]
struct Chunk {
    offset: u64,
    data: Bytes,
    /// When it was used last.
    used: u64,
}

impl Chunk {
    const fn end(&self) -> u64 {
        self.offset + self.data.len() as u64
    }

    const fn cost(&self) -> usize {
        self.data.len() + OVERHEAD
    }
}

/// Bytes by offset. A file that has its tracks one behind the other is read at several places at once; what was read
/// there stays until nobody needs it or there is too much of it.
#[derive(Debug, Default)]
pub(super) struct Store {
    /// In order and without overlaps.
    chunks: VecDeque<Chunk>,
    held: usize,
    clock: u64,
}

impl Store {
    /// Takes bytes in, but for those that are there already. Those that `keep`, from one offset to another, are not
    /// dropped for others.
    pub(super) fn push(&mut self, mut offset: u64, mut data: Bytes, keep: (u64, u64)) {
        if offset.checked_add(data.len() as u64).is_none() {
            return;
        }
        while !data.is_empty() {
            let i = self.chunks.partition_point(|c| c.end() <= offset);
            let next = self.chunks.get(i).map_or(u64::MAX, |c| c.offset);
            let free = usize::try_from(next.saturating_sub(offset)).unwrap_or(usize::MAX).min(data.len());
            let n = if free > 0 {
                self.insert(i, offset, data.split_to(free));
                free
            } else {
                let there = self.chunks.get(i).map_or(0, |c| c.end() - offset);
                let skip = usize::try_from(there).unwrap_or(usize::MAX).min(data.len());
                data.advance(skip);
                skip
            };
            offset += n as u64;
        }
        if self.held > limits::HELD {
            self.shrink(keep);
        }
    }

    fn insert(&mut self, i: usize, offset: u64, data: Bytes) {
        self.clock += 1;
        let before = i.checked_sub(1).and_then(|i| self.chunks.get_mut(i));
        if let Some(c) = before.filter(|c| c.end() == offset && c.data.len() + data.len() <= SMALL) {
            let mut both = BytesMut::with_capacity(c.data.len() + data.len());
            both.extend_from_slice(&c.data);
            both.extend_from_slice(&data);
            c.data = both.freeze();
            self.held += data.len();
            return;
        }
        let chunk = Chunk { offset, data, used: self.clock };
        self.held += chunk.cost();
        self.chunks.insert(i, chunk);
    }

    /// Drops what was used longest ago until a quarter of the limit is free.
    fn shrink(&mut self, keep: (u64, u64)) {
        let mut by_age: Vec<(u64, u64, usize)> = self
            .chunks
            .iter()
            .filter(|c| c.end() <= keep.0 || c.offset >= keep.1)
            .map(|c| (c.used, c.offset, c.cost()))
            .collect();
        by_age.sort_unstable();
        let mut excess = self.held.saturating_sub(limits::HELD / 4 * 3);
        let mut drop = Vec::new();
        for (_, offset, cost) in by_age {
            if excess == 0 {
                break;
            }
            excess = excess.saturating_sub(cost);
            drop.push(offset);
        }
        drop.sort_unstable();
        self.chunks.retain(|c| drop.binary_search(&c.offset).is_err());
        self.held = self.chunks.iter().map(Chunk::cost).sum();
    }

    /// Drops what lies before `offset`.
    pub(super) fn drop_before(&mut self, offset: u64) {
        while let Some(c) = self.chunks.front().filter(|c| c.end() <= offset) {
            self.held = self.held.saturating_sub(c.cost());
            self.chunks.pop_front();
        }
    }

    /// How many bytes from `offset` on are there without a gap; at most `max`, or a chunk more.
    pub(super) fn there(&self, offset: u64, max: u64) -> u64 {
        let first = self.chunks.partition_point(|c| c.end() <= offset);
        let mut end = offset;
        for c in self.chunks.range(first..) {
            if c.offset > end || end - offset >= max {
                break;
            }
            end = c.end();
        }
        end - offset
    }

    /// `len` bytes from `offset` on: a slice where they came in one piece, else a copy. `None` until all are there.
    pub(super) fn get(&mut self, offset: u64, len: usize) -> Option<Bytes> {
        if len == 0 {
            return Some(Bytes::new());
        }
        self.clock += 1;
        let clock = self.clock;
        let first = self.chunks.partition_point(|c| c.end() <= offset);
        let c = self.chunks.get_mut(first).filter(|c| c.offset <= offset)?;
        let skip = (offset - c.offset) as usize;
        if c.data.len() - skip >= len {
            c.used = clock;
            return Some(c.data.slice(skip..skip + len));
        }
        if self.there(offset, len as u64) < len as u64 {
            return None;
        }
        let mut out = BytesMut::with_capacity(len);
        for c in self.chunks.range_mut(first..) {
            c.used = clock;
            let skip = (offset.saturating_sub(c.offset)) as usize;
            let part = c.data.get(skip..).unwrap_or_default();
            let n = part.len().min(len - out.len());
            out.extend_from_slice(part.get(..n).unwrap_or_default());
            if out.len() == len {
                break;
            }
        }
        Some(out.freeze())
    }

    /// Up to `N` bytes from `offset` on, and how many there are.
    pub(super) fn peek<const N: usize>(&self, offset: u64) -> ([u8; N], usize) {
        let mut out = [0; N];
        let mut n = 0;
        let first = self.chunks.partition_point(|c| c.end() <= offset);
        for c in self.chunks.range(first..) {
            if c.offset > offset + n as u64 || n == N {
                break;
            }
            let skip = ((offset + n as u64) - c.offset) as usize;
            for (to, from) in out.iter_mut().skip(n).zip(c.data.get(skip..).unwrap_or_default()) {
                *to = *from;
                n += 1;
            }
        }
        (out, n)
    }

    /// Bytes that are held, with what goes with them.
    #[cfg(test)]
    pub(super) const fn held(&self) -> usize {
        self.held
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_piece_is_not_copied() {
        let mut s = Store::default();
        let data = Bytes::from(vec![7; 4000]);
        s.push(100, data.clone(), (0, 0));
        assert_eq!(s.get(150, 1000).unwrap().as_ptr(), data[50..].as_ptr());
        assert!(s.get(4090, 11).is_none() && s.get(99, 1).is_none());
        assert_eq!(s.there(4000, 1000), 100);
    }

    #[test]
    fn holds_no_more_than_its_limit() {
        let mut s = Store::default();
        for n in 0..400u64 {
            s.push(n << 20, Bytes::from(vec![0; 100_000]), (0, 1));
            assert!(s.held() <= limits::HELD + 100_064, "{}", s.held());
        }
        assert!(s.get(0, 1).is_some(), "what is waited for stays");
        assert!(s.get(100 << 20, 1).is_none());
        s.drop_before(390 << 20);
        assert!(s.held() <= 10 * 100_064);
    }

    proptest! {
        #[test]
        fn any_order_gives_the_same(pieces in prop::collection::vec((0usize..3000, 0usize..900), 1..60),
                                    asked in prop::collection::vec((0usize..3000, 1usize..700), 1..60)) {
            let all: Vec<u8> = (0..4000).map(|i| (i * 7 % 251) as u8).collect();
            let mut there = vec![false; all.len()];
            let mut s = Store::default();
            for (at, len) in pieces {
                s.push(at as u64, Bytes::copy_from_slice(&all[at..at + len]), (0, 0));
                there[at..at + len].fill(true);
            }
            for (at, len) in asked {
                let have = there[at..].iter().take_while(|t| **t).count();
                prop_assert_eq!(s.there(at as u64, u64::MAX), have as u64);
                let got = s.get(at as u64, len);
                prop_assert_eq!(got.is_some(), have >= len);
                if let Some(g) = got { prop_assert_eq!(&g[..], &all[at..at + len]) }
                let (b, n) = s.peek::<16>(at as u64);
                prop_assert_eq!(n, have.min(16));
                prop_assert_eq!(&b[..n], &all[at..at + n]);
            }
        }
    }
}
