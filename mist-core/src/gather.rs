//! Outgoing bytes that are never joined: small pieces are collected, payload is only referenced.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use smallvec::SmallVec;
use std::io::IoSlice;
use std::sync::Arc;

/// Bytes to write, in order, without joining them.
///
/// Implements [`Buf`] with [`Buf::chunks_vectored`], so that a driver hands all of it to one vectored write.
#[derive(Default, Debug, Clone)]
pub struct Gather {
    parts: SmallVec<[Bytes; 4]>,
    scratch: BytesMut,
    len: usize,
    at: usize,
}

/// A finished, shareable [`Gather`]: cloning is one reference count, whatever the number of parts.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    parts: Arc<[Bytes]>,
    len: usize,
}

impl Parts {
    /// Bytes in all.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if there is nothing.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The parts in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Bytes> {
        self.parts.iter()
    }

    /// Part `i`, for writers that keep their place between calls.
    pub fn get(&self, i: usize) -> Option<&Bytes> {
        self.parts.get(i)
    }

    /// All bytes joined, by copying. For tests and small documents.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut v = Vec::with_capacity(self.len);
        for p in self.parts.iter() {
            v.extend_from_slice(p);
        }
        v
    }
}

impl From<Bytes> for Parts {
    fn from(b: Bytes) -> Self {
        Self { len: b.len(), parts: Arc::from([b]) }
    }
}

impl Gather {
    /// Payloads up to this size are copied next to the heads around them: cheaper than one more part.
    pub const INLINE: usize = 256;

    /// Room made for small pieces at a time: the heads of many packets share one allocation.
    const SCRATCH: usize = 512;

    /// Empty.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a few bytes by copying them.
    pub fn put(&mut self, small: &[u8]) {
        let used = self.scratch.len();
        if self.scratch.capacity() - used < small.len() {
            // Doubles, so that a long run of small pieces is not copied over and over.
            self.scratch.reserve(small.len().max(used).max(Self::SCRATCH));
        }
        self.scratch.put_slice(small);
        self.len += small.len();
    }

    /// Appends payload: referenced, or copied when it is small.
    pub fn push(&mut self, b: Bytes) {
        if b.len() <= Self::INLINE {
            return self.put(&b);
        }
        self.seal();
        self.len += b.len();
        self.parts.push(b);
    }

    /// Appends everything that is left of another one.
    pub fn append(&mut self, mut other: Self) {
        other.seal();
        for b in other.parts.drain(..).skip(other.at) {
            self.push(b);
        }
    }

    /// Appends shared parts.
    pub fn extend(&mut self, parts: &Parts) {
        for b in parts.iter() {
            self.push(b.clone());
        }
    }

    fn seal(&mut self) {
        if !self.scratch.is_empty() {
            let s = self.scratch.split().freeze();
            self.parts.push(s);
        }
    }

    /// Bytes left.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if no bytes are left.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Makes it empty, keeping its memory.
    pub fn clear(&mut self) {
        self.parts.clear();
        self.at = 0;
        self.len = 0;
        self.scratch.clear();
    }

    /// Finishes it into something that can be shared.
    pub fn freeze(mut self) -> Parts {
        self.seal();
        let at = self.at;
        Parts { len: self.len, parts: self.parts.into_iter().skip(at).collect() }
    }

    /// All bytes that are left, joined by copying. For tests and small documents.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut v = Vec::with_capacity(self.len);
        for p in self.parts.iter().skip(self.at) {
            v.extend_from_slice(p);
        }
        v.extend_from_slice(&self.scratch);
        v
    }
}

impl Buf for Gather {
    fn remaining(&self) -> usize {
        self.len
    }

    fn chunk(&self) -> &[u8] {
        self.parts.get(self.at).map_or(&self.scratch[..], |b| b)
    }

    fn advance(&mut self, n: usize) {
        let mut n = n.min(self.len);
        self.len -= n;
        while n > 0 {
            match self.parts.get_mut(self.at) {
                Some(b) if b.len() > n => {
                    b.advance(n);
                    return;
                }
                Some(b) => {
                    n -= b.len();
                    *b = Bytes::new();
                    self.at += 1;
                }
                None => {
                    let m = n.min(self.scratch.len());
                    self.scratch.advance(m);
                    return;
                }
            }
        }
    }

    fn chunks_vectored<'a>(&'a self, dst: &mut [IoSlice<'a>]) -> usize {
        let mut n = 0;
        let scratch = (!self.scratch.is_empty()).then_some(&self.scratch[..]);
        let parts = self.parts.iter().skip(self.at).map(|b| &b[..]).chain(scratch);
        for (d, s) in dst.iter_mut().zip(parts) {
            *d = IoSlice::new(s);
            n += 1;
        }
        n
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (Gather, Vec<u8>) {
        let mut g = Gather::new();
        let mut want = Vec::new();
        for i in 0..20u8 {
            let n = if i % 3 == 0 { 1000 } else { 10 };
            let v = vec![i; n];
            want.extend_from_slice(&v);
            if i % 2 == 0 { g.push(v.into()) } else { g.put(&v) }
        }
        (g, want)
    }

    #[test]
    fn advances_by_any_step() {
        for step in [1, 7, 999, 1000, 1001, 100_000] {
            let (mut g, want) = sample();
            let mut got = Vec::new();
            while g.has_remaining() {
                let mut io = [IoSlice::new(&[]); 3];
                let n = g.chunks_vectored(&mut io);
                let mut left = step;
                let mut took = 0;
                for s in &io[..n] {
                    let m = s.len().min(left);
                    got.extend_from_slice(&s[..m]);
                    left -= m;
                    took += m;
                }
                g.advance(took);
            }
            assert_eq!(got, want, "step {step}");
        }
    }

    #[test]
    fn payload_is_shared_and_small_pieces_join() {
        let payload = Bytes::from(vec![7u8; 5000]);
        let mut g = Gather::new();
        g.put(b"ab");
        g.put(b"cd");
        g.push(payload.clone());
        let parts = g.clone().freeze();
        assert_eq!(parts.iter().len(), 2);
        assert_eq!(parts.get(1).map(|p| p.as_ptr()), Some(payload.as_ptr()));
        assert_eq!(parts.len(), 5004);
        let mut h = Gather::new();
        g.advance(3);
        h.append(g);
        assert_eq!(h.len(), 5001);
        assert_eq!(h.to_vec()[0], b'd');
        assert_eq!(h.freeze().get(1).map(|p| p.as_ptr()), Some(payload.as_ptr()));
    }
}
