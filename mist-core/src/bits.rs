//! Reading and writing single bits, most significant first, as MPEG and ITU-T bit streams do.

use bytes::Bytes;

/// The bit stream ended inside a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("bit stream ended")]
pub struct EndOfBits;

/// Reads bits from a slice. Never panics; a read past the end fails and leaves the position where it was.
#[derive(Debug, Clone, Copy)]
pub struct BitReader<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> BitReader<'a> {
    /// From the first bit of `data`.
    pub const fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0 }
    }

    /// Bits read so far.
    pub const fn position(&self) -> usize {
        self.at
    }

    /// Bits left.
    pub const fn left(&self) -> usize {
        self.data.len().saturating_mul(8).saturating_sub(self.at)
    }

    /// The next `n` bits (at most 64) as an unsigned number; 0 for `n` = 0.
    ///
    /// # Errors
    /// Fewer than `n` bits are left, or `n` is over 64.
    pub fn bits64(&mut self, n: u32) -> Result<u64, EndOfBits> {
        if n > 64 || self.left() < n as usize {
            return Err(EndOfBits);
        }
        let mut v = 0u64;
        let mut want = n;
        while want > 0 {
            let byte = u64::from(*self.data.get(self.at >> 3).ok_or(EndOfBits)?);
            let free = 8 - (self.at & 7) as u32;
            let take = free.min(want);
            let part = (byte >> (free - take)) & ((1 << take) - 1);
            v = (v << take) | part;
            self.at += take as usize;
            want -= take;
        }
        Ok(v)
    }

    /// The next `n` bits (at most 32) as an unsigned number.
    ///
    /// # Errors
    /// Fewer than `n` bits are left, or `n` is over 32.
    pub fn bits(&mut self, n: u32) -> Result<u32, EndOfBits> {
        if n > 32 {
            return Err(EndOfBits);
        }
        self.bits64(n).map(|v| v as u32)
    }

    /// The next 8 bits.
    ///
    /// # Errors
    /// Fewer than 8 bits are left.
    pub fn byte(&mut self) -> Result<u8, EndOfBits> {
        self.bits64(8).map(|v| v as u8)
    }

    /// The next bit.
    ///
    /// # Errors
    /// No bit is left.
    pub fn flag(&mut self) -> Result<bool, EndOfBits> {
        self.bits64(1).map(|v| v != 0)
    }

    /// Skips `n` bits.
    ///
    /// # Errors
    /// Fewer than `n` bits are left.
    pub fn skip(&mut self, n: usize) -> Result<(), EndOfBits> {
        if self.left() < n {
            return Err(EndOfBits);
        }
        self.at += n;
        Ok(())
    }

    /// Moves to the next multiple of 8 bits from the start.
    pub fn align(&mut self) {
        self.at = self.at.next_multiple_of(8).min(self.data.len().saturating_mul(8));
    }

    /// Unsigned Exp-Golomb code (ue(v), H.264 §9.1), up to 2^32 − 2.
    ///
    /// # Errors
    /// The stream ends inside the code, or the code is begins with more than 31 zeros, which no standard allows.
    pub fn ue(&mut self) -> Result<u32, EndOfBits> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return Err(EndOfBits);
            }
        }
        let v = (1u64 << zeros) - 1 + self.bits64(zeros)?;
        u32::try_from(v).map_err(|_| EndOfBits)
    }

    /// Signed Exp-Golomb code (se(v), H.264 §9.1.1).
    ///
    /// # Errors
    /// As [`Self::ue`].
    pub fn se(&mut self) -> Result<i32, EndOfBits> {
        let k = i64::from(self.ue()?);
        let v = if k & 1 == 1 { (k + 1) / 2 } else { -(k / 2) };
        i32::try_from(v).map_err(|_| EndOfBits)
    }

    /// The next `n` bytes from any bit position, copied.
    ///
    /// # Errors
    /// Fewer than `n` bytes are left; nothing is allocated then.
    pub fn copy_bytes(&mut self, n: usize) -> Result<Vec<u8>, EndOfBits> {
        if self.left() / 8 < n {
            return Err(EndOfBits);
        }
        if self.at & 7 == 0 {
            let from = self.at >> 3;
            let part = self.data.get(from..from + n).ok_or(EndOfBits)?;
            self.at += n * 8;
            return Ok(part.to_vec());
        }
        (0..n).map(|_| self.byte()).collect()
    }

    /// Whether data is left before the stop bit that ends a raw byte sequence payload (more_rbsp_data() of
    /// H.264 §7.2).
    pub fn more_rbsp_data(&self) -> bool {
        let Some(last) = self.data.iter().rposition(|&b| b != 0) else { return false };
        let stop = self.data.get(last).map_or(0, |b| b.trailing_zeros() as usize);
        self.at < last * 8 + 7 - stop
    }
}

/// Writes bits into memory.
#[derive(Debug, Default, Clone)]
pub struct BitWriter {
    out: Vec<u8>,
    /// Bits used of the last byte, 0 when it is full.
    used: u32,
}

impl BitWriter {
    /// Empty.
    pub const fn new() -> Self {
        Self { out: Vec::new(), used: 0 }
    }

    /// Appends the low `n` bits (at most 64) of `v`.
    pub fn bits(&mut self, v: u64, n: u32) {
        for i in (0..n.min(64)).rev() {
            if self.used == 0 {
                self.out.push(0);
            }
            if let Some(last) = self.out.last_mut() {
                *last |= ((v >> i) as u8 & 1) << (7 - self.used);
            }
            self.used = (self.used + 1) & 7;
        }
    }

    /// Appends one bit.
    pub fn flag(&mut self, v: bool) {
        self.bits(u64::from(v), 1);
    }

    /// Appends an unsigned Exp-Golomb code.
    pub fn ue(&mut self, v: u32) {
        let n = u64::from(v) + 1;
        let len = 64 - n.leading_zeros();
        self.bits(0, len - 1);
        self.bits(n, len);
    }

    /// Bits written.
    pub const fn len(&self) -> usize {
        self.out.len() * 8 - if self.used == 0 { 0 } else { 8 - self.used as usize }
    }

    /// True if nothing was written.
    pub const fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// What was written, filled up with zero bits to a whole byte.
    pub fn finish(self) -> Bytes {
        Bytes::from(self.out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hostile_exp_golomb_is_an_error() {
        assert_eq!(BitReader::new(&[0; 64]).ue(), Err(EndOfBits));
        assert_eq!(BitReader::new(&[0, 0, 0, 0, 0x80, 0, 0, 0, 0]).ue(), Err(EndOfBits), "2^32 - 1");
        let mut r = BitReader::new(&[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(r.ue(), Ok(u32::MAX - 1));
        let mut r = BitReader::new(&[0b1010_0110, 0b0100_0010, 0b1000_0000]);
        assert_eq!([r.se(), r.se(), r.se(), r.se()], [Ok(0), Ok(1), Ok(-1), Ok(2)]);
    }

    #[test]
    fn more_rbsp_data_sees_the_stop_bit() {
        let mut r = BitReader::new(&[0b1010_1000, 0]);
        for _ in 0..4 {
            assert!(r.more_rbsp_data());
            r.skip(1).unwrap();
        }
        assert!(!r.more_rbsp_data());
        assert!(!BitReader::new(&[0, 0]).more_rbsp_data());
    }

    proptest! {
        #[test]
        fn written_values_read_back(v in prop::collection::vec((any::<u64>(), 0u32..=64), 0..50), g in any::<u32>()) {
            let mut w = BitWriter::new();
            let mask = |v: u64, n: u32| if n == 64 { v } else { v & ((1 << n) - 1) };
            let g = g.min(u32::MAX - 1);
            for &(x, n) in &v {
                w.bits(x, n);
                w.ue(g >> (n % 32));
            }
            let total = w.len();
            let b = w.finish();
            let mut r = BitReader::new(&b);
            for &(x, n) in &v {
                prop_assert_eq!(r.bits64(n), Ok(mask(x, n)));
                prop_assert_eq!(r.ue(), Ok(g >> (n % 32)));
            }
            prop_assert_eq!(r.position(), total);
            prop_assert!(r.left() < 8);
        }
    }
}
