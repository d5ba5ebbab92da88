//! Linear PCM in either byte order, and G.711.
//!
//! mist keeps PCM signed and big-endian. WAV and most others are little-endian, and unsigned at 8 bits.

use crate::time::Duration;
use bytes::{BufMut, Bytes, BytesMut};

/// Bits of a sample in G.711.
pub const G711_BITS: u16 = 8;
/// The usual sample rate of G.711.
pub const G711_RATE: u32 = 8000;

/// Turns the byte order of samples of 16, 24, 32 or 64 bits around, and of 8-bit ones the sign. A sample that
/// isn't whole at the end stays as it is. Other sizes stay as they are.
pub fn swap_in_place(data: &mut [u8], bits: u16) {
    match bits {
        8 => data.iter_mut().for_each(|b| *b ^= 0x80),
        16 => reverse::<2>(data),
        24 => reverse::<3>(data),
        32 => reverse::<4>(data),
        64 => reverse::<8>(data),
        _ => {}
    }
}

/// Of a size that the compiler knows, so that it uses SIMD.
fn reverse<const N: usize>(data: &mut [u8]) {
    data.as_chunks_mut::<N>().0.iter_mut().for_each(|sample| sample.reverse());
}

/// Appends `data` to `out` with [`swap_in_place`] done to it.
pub fn put_swapped(out: &mut BytesMut, data: &[u8], bits: u16) {
    let from = out.len();
    out.put_slice(data);
    if let Some(new) = out.get_mut(from..) {
        swap_in_place(new, bits);
    }
}

/// `data` with [`swap_in_place`] done to it: in place where nobody else holds it, else in a copy.
pub fn swapped(data: Bytes, bits: u16) -> Bytes {
    let mut own = data.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
    swap_in_place(&mut own, bits);
    own.freeze()
}

/// How long `len` bytes last. `None` where rate, channels or bits are 0.
pub fn duration(len: usize, rate: u32, channels: u16, bits: u16) -> Option<Duration> {
    let frame = u64::from(channels) * u64::from(bits);
    let samples = (len as u64).saturating_mul(8).checked_div(frame)?;
    (rate > 0).then(|| Duration::from_rate(i64::try_from(samples).unwrap_or(i64::MAX), rate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size() {
        for (bits, want) in [
            (8u16, vec![0x81u8, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87]),
            (16, vec![2, 1, 4, 3, 6, 5, 7]),
            (24, vec![3, 2, 1, 6, 5, 4, 7]),
            (32, vec![4, 3, 2, 1, 5, 6, 7]),
            (12, vec![1, 2, 3, 4, 5, 6, 7]),
        ] {
            let d = Bytes::from(vec![1u8, 2, 3, 4, 5, 6, 7]);
            let keep = d.clone();
            assert_eq!(swapped(d, bits), want, "{bits}");
            assert_eq!(keep, [1, 2, 3, 4, 5, 6, 7][..], "shared data isn't changed");
            let mut out = BytesMut::from(&[9u8][..]);
            put_swapped(&mut out, &keep, bits);
            assert_eq!(out[1..], want);
        }
        assert_eq!(duration(1920, 48_000, 2, 16), Some(Duration::from_millis(10)));
        assert_eq!(duration(1920, 48_000, 0, 16), None);
        assert_eq!(duration(1, 0, 1, 8), None);
    }
}
