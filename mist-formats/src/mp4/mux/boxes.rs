//! Boxes and descriptors as nested writing calls: sizes are filled in when a box is complete.

/// Bytes of boxes under construction.
#[derive(Debug, Default)]
pub(super) struct Boxes {
    out: Vec<u8>,
}

impl Boxes {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn with_capacity(n: usize) -> Self {
        Self { out: Vec::with_capacity(n) }
    }

    pub(super) fn into_vec(self) -> Vec<u8> {
        self.out
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.out
    }

    pub(super) fn len(&self) -> usize {
        self.out.len()
    }

    /// A box (ISO/IEC 14496-12 §4.2). Whoever calls bounds what is in it: 4 GiB are never reached.
    pub(super) fn boxed(&mut self, kind: &[u8; 4], body: impl FnOnce(&mut Self)) {
        let at = self.out.len();
        self.u32(0).bytes(kind);
        body(self);
        self.set_u32(at, (self.out.len() - at) as u32);
    }

    /// A box with version and flags.
    pub(super) fn full(&mut self, kind: &[u8; 4], version: u8, flags: u32, body: impl FnOnce(&mut Self)) {
        self.boxed(kind, |w| {
            w.u32(u32::from(version) << 24 | (flags & 0xff_ffff));
            body(w);
        });
    }

    /// A descriptor (ISO/IEC 14496-1 §8.3.3) with its length in four bytes, as every writer does.
    pub(super) fn descriptor(&mut self, tag: u8, body: impl FnOnce(&mut Self)) {
        self.u8(tag);
        let at = self.out.len();
        self.u32(0);
        body(self);
        let len = self.out.len() - at - 4;
        let part = |shift: u32| (len >> shift) as u8 & 0x7f;
        self.set_u32(at, u32::from_be_bytes([part(21) | 0x80, part(14) | 0x80, part(7) | 0x80, part(0)]));
    }

    pub(super) fn bytes(&mut self, b: &[u8]) -> &mut Self {
        self.out.extend_from_slice(b);
        self
    }

    pub(super) fn zeros(&mut self, n: usize) -> &mut Self {
        self.out.resize(self.out.len() + n, 0);
        self
    }

    pub(super) fn u8(&mut self, v: u8) -> &mut Self {
        self.bytes(&[v])
    }

    pub(super) fn u16(&mut self, v: u16) -> &mut Self {
        self.bytes(&v.to_be_bytes())
    }

    pub(super) fn u32(&mut self, v: u32) -> &mut Self {
        self.bytes(&v.to_be_bytes())
    }

    pub(super) fn i32(&mut self, v: i32) -> &mut Self {
        self.bytes(&v.to_be_bytes())
    }

    pub(super) fn u64(&mut self, v: u64) -> &mut Self {
        self.bytes(&v.to_be_bytes())
    }

    /// 32 or 64 bits, as a box's version says.
    pub(super) fn wide(&mut self, wide: bool, v: u64) -> &mut Self {
        if wide { self.u64(v) } else { self.u32(u32::try_from(v).unwrap_or(u32::MAX)) }
    }

    /// Puts a number over what was written at `at`.
    pub(super) fn set_u32(&mut self, at: usize, v: u32) {
        if let Some(b) = self.out.get_mut(at..).and_then(|b| b.first_chunk_mut()) {
            *b = v.to_be_bytes();
        }
    }

    /// Adds to the numbers of 32 or 64 bits from `at` on.
    pub(super) fn add_to(&mut self, at: usize, count: usize, wide: bool, add: u64) {
        let size = if wide { 8 } else { 4 };
        let Some(table) = self.out.get_mut(at..) else { return };
        for n in table.chunks_exact_mut(size).take(count) {
            if let Ok(b) = <&mut [u8; 4]>::try_from(&mut *n) {
                *b = u32::from_be_bytes(*b).wrapping_add(add as u32).to_be_bytes();
            } else if let Ok(b) = <&mut [u8; 8]>::try_from(n) {
                *b = u64::from_be_bytes(*b).wrapping_add(add).to_be_bytes();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_lengths_are_filled_in() {
        let mut w = Boxes::new();
        w.boxed(b"abcd", |w| {
            w.full(b"efgh", 1, 2, |w| {
                w.wide(true, 3).wide(false, u64::MAX);
            });
            w.descriptor(4, |w| {
                w.zeros(200);
            });
        });
        assert_eq!(&w.as_slice()[..16], b"\0\0\0\xedabcd\0\0\0\x18efgh");
        assert_eq!(&w.as_slice()[16..20], [1, 0, 0, 2]);
        assert_eq!(&w.as_slice()[32..37], [4, 0x80, 0x80, 0x81, 0x48]);
        w.add_to(20, 1, true, 5);
        w.add_to(28, 1, false, 2);
        assert_eq!(&w.as_slice()[20..32], [0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 1]);
    }
}
