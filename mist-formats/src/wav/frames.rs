//! Coded frames in a data chunk: MPEG audio and AC-3 as they are, and AC-3 in bursts that pose as 16-bit stereo PCM
//! (IEC 61937-3), as S/PDIF recordings have it.

use mist_core::codec::{Codec, ac3, mpa};
use mist_core::media::Params;

/// What is known of a frame from its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) codec: Codec,
    pub(super) len: usize,
    pub(super) samples: u32,
    pub(super) rate: u32,
    pub(super) channels: u16,
}

impl Frame {
    /// Bytes of a header.
    pub(super) const HEAD: usize = 8;

    /// Reads a header; `family` is MP2 or MP3 for any MPEG audio, or AC-3.
    pub(super) fn parse(family: Codec, head: &[u8]) -> Option<Self> {
        if family == Codec::Ac3 {
            let h = ac3::Header::parse(head).ok().filter(|h| !h.enhanced)?;
            let samples = u32::from(h.blocks) * 256;
            return Some(Self {
                codec: Codec::Ac3,
                len: h.frame_len,
                samples,
                rate: h.rate,
                channels: h.channels,
            });
        }
        let h = mpa::Header::parse(head).ok()?;
        let codec = if h.layer == 3 { Codec::Mp3 } else { Codec::Mp2 };
        Some(Self { codec, len: h.frame_len, samples: h.samples, rate: h.rate, channels: h.channels })
    }

    /// Whether two frames can belong to one stream.
    pub(super) fn like(&self, o: &Self) -> bool {
        (self.codec, self.samples, self.rate) == (o.codec, o.samples, o.rate)
    }

    /// What players need to know.
    pub(super) const fn params(&self) -> Params {
        Params::Audio { rate: self.rate, channels: self.channels, bits: 16 }
    }
}

/// The first byte of a header.
pub(super) const fn first_byte(family: Codec) -> u8 {
    if matches!(family, Codec::Ac3) { 0x0b } else { 0xff }
}

/// Bytes of a burst's preamble: Pa, Pb, Pc and Pd.
pub(super) const PREAMBLE: usize = 8;
/// Bytes from one burst of AC-3 to the next: 1536 samples of 4 bytes.
pub(super) const PERIOD: usize = 1536 * 4;
/// The first byte of a preamble.
pub(super) const PREAMBLE_BYTE: u8 = 0x72;

/// Payload bytes of the AC-3 burst with this preamble.
pub(super) fn burst(preamble: &[u8]) -> Option<usize> {
    let &[0x72, 0xf8, 0x1f, 0x4e, kind, info, l0, l1] = preamble.first_chunk::<PREAMBLE>()? else {
        return None;
    };
    // Data type 1, and neither an error nor another stream than the first.
    if kind & 0x9f != 1 || info >> 5 != 0 {
        return None;
    }
    let len = usize::from(u16::from_le_bytes([l0, l1])).div_ceil(16) * 2;
    (Frame::HEAD..=PERIOD - PREAMBLE).contains(&len).then_some(len)
}

/// Where the first burst lies in these samples. Noise doesn't look like it: a frame's header follows the preamble, and
/// the next burst comes when it should.
pub(super) fn find_burst(samples: &[u8]) -> Option<usize> {
    memchr::memmem::find_iter(samples, &[0x72, 0xf8, 0x1f, 0x4e]).find(|&at| {
        let here = samples.get(at..).unwrap_or_default();
        let next = here.get(PERIOD..).and_then(|n| n.first_chunk::<PREAMBLE>());
        at % 4 == 0
            && burst(here).is_some()
            && here.get(PREAMBLE..).is_some_and(|f| f.starts_with(&[0x77, 0x0b]))
            && next.is_none_or(|n| burst(n).is_some())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bursts_are_found_where_they_are_complete() {
        let mut d = vec![0; 8];
        for _ in 0..2 {
            let from = d.len();
            d.extend_from_slice(&[0x72, 0xf8, 0x1f, 0x4e, 1, 0, 0, 64, 0x77, 0x0b, 0, 0]);
            d.resize(from + PERIOD, 0);
        }
        assert_eq!(find_burst(&d), Some(8));
        assert_eq!(find_burst(&d[8..]), Some(0));
        d[8 + PERIOD] = 0;
        assert_eq!(find_burst(&d), None);
        // Too long for its period, empty, of another type, an error.
        for bad in [[1, 0, 0xff, 0xff], [1, 0, 0, 0], [21, 0, 0, 64], [0x81, 0, 0, 64]] {
            let [a, b, c, d] = bad;
            assert_eq!(burst(&[0x72, 0xf8, 0x1f, 0x4e, a, b, c, d]), None, "{bad:?}");
        }
    }
}
