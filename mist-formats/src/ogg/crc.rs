//! The checksum of pages: CRC-32 with the polynomial 0x04c11db7, most significant bit first, nothing inverted
//! (RFC 3533 §6). Sixteen bytes at a time, as every byte of a stream goes through it.

const POLYNOMIAL: u32 = 0x04c1_1db7;

/// `TABLES[n][b]`: what byte `b` with `n` zero bytes behind it makes of a checksum of 0.
static TABLES: [[u32; 256]; 16] = tables();

#[allow(clippy::indexing_slicing, reason = "evaluated at compile time, with constant bounds")]
const fn tables() -> [[u32; 256]; 16] {
    let mut t = [[0u32; 256]; 16];
    let mut b = 0;
    while b < 256 {
        let mut v = (b as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            v = if v & 0x8000_0000 != 0 { v << 1 ^ POLYNOMIAL } else { v << 1 };
            bit += 1;
        }
        t[0][b] = v;
        b += 1;
    }
    let mut n = 1;
    while n < 16 {
        let mut b = 0;
        while b < 256 {
            let v = t[n - 1][b];
            t[n][b] = v << 8 ^ t[0][(v >> 24) as usize];
            b += 1;
        }
        n += 1;
    }
    t
}

#[inline]
#[allow(clippy::indexing_slicing, reason = "a byte is below 256, and n a constant below 16")]
fn at<const N: usize>(byte: u8) -> u32 {
    TABLES[N][usize::from(byte)]
}

/// Goes on with a checksum; it begins with 0.
pub(super) fn update(mut crc: u32, data: &[u8]) -> u32 {
    let (blocks, rest) = data.as_chunks::<16>();
    for &[a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] in blocks {
        let [s, t, u, v] = crc.to_be_bytes();
        crc = at::<15>(a ^ s)
            ^ at::<14>(b ^ t)
            ^ at::<13>(c ^ u)
            ^ at::<12>(d ^ v)
            ^ at::<11>(e)
            ^ at::<10>(f)
            ^ at::<9>(g)
            ^ at::<8>(h)
            ^ at::<7>(i)
            ^ at::<6>(j)
            ^ at::<5>(k)
            ^ at::<4>(l)
            ^ at::<3>(m)
            ^ at::<2>(n)
            ^ at::<1>(o)
            ^ at::<0>(p);
    }
    for b in rest {
        crc = crc << 8 ^ at::<0>((crc >> 24) as u8 ^ b);
    }
    crc
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn slow(mut crc: u32, data: &[u8]) -> u32 {
        for b in data {
            crc ^= u32::from(*b) << 24;
            for _ in 0..8 {
                crc = if crc >> 31 != 0 { crc << 1 ^ POLYNOMIAL } else { crc << 1 };
            }
        }
        crc
    }

    proptest! {
        #[test]
        fn as_bit_by_bit(a in prop::collection::vec(any::<u8>(), 0..100), start: u32, cut in any::<prop::sample::Index>()) {
            prop_assert_eq!(update(start, &a), slow(start, &a));
            let (x, y) = a.split_at(cut.index(a.len() + 1));
            prop_assert_eq!(update(update(start, x), y), slow(start, &a));
        }
    }
}
