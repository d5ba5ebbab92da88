//! MPEG audio, layers I to III: frame headers of ISO/IEC 11172-3 §2.4.1.3, ISO/IEC 13818-3 and MPEG 2.5.
//!
//! Free-format streams, whose frames don't tell their length, are refused.

use super::CodecError;
use crate::media::Params;
use crate::time::Duration;

/// Header of one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Layer: 1, 2 or 3.
    pub layer: u8,
    /// Half or quarter sample rates: MPEG-2 and 2.5 rather than MPEG-1.
    pub low_rate: bool,
    /// Samples a second.
    pub rate: u32,
    /// Channels: 1 or 2.
    pub channels: u16,
    /// Bits a second.
    pub bit_rate: u32,
    /// Bytes of the frame with its header.
    pub frame_len: usize,
    /// Samples of the frame.
    pub samples: u32,
}

/// kbit/s by index, without 0 (free) and 15 (forbidden): MPEG-1 layers I, II, III, then MPEG-2 layer I and the
/// others.
const BIT_RATES: [[u16; 14]; 5] = [
    [32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
    [32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
    [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
    [32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
    [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
];

impl Header {
    /// Bytes before a frame of layer III, counted without heads, that its sound begins in: `main_data_begin` of ISO/IEC
    /// 11172-3 §2.4.1.7 and ISO/IEC 13818-3 §2.4.1.7. `None` for other layers and where `frame` is too short.
    pub fn reservoir(&self, frame: &[u8]) -> Option<u16> {
        let protected = frame.get(1)? & 1 == 0;
        let (a, rest) = frame.get(if protected { 6 } else { 4 }..)?.split_first()?;
        (self.layer == 3).then_some(())?;
        Some(if self.low_rate { u16::from(*a) } else { u16::from(*a) << 1 | u16::from(rest.first()? >> 7) })
    }

    /// Bytes that [`Self::parse`] needs.
    pub const MIN: usize = 4;

    /// Parses the header at the start of `data`.
    ///
    /// # Errors
    /// No sync word, a reserved value, free format, or fewer than 4 bytes.
    pub fn parse(data: &[u8]) -> Result<Self, CodecError> {
        let Some(&[sync, b, c, d]) = data.first_chunk::<4>() else {
            return Err(CodecError::truncated("MPEG audio header"));
        };
        if sync != 0xff || b & 0xe0 != 0xe0 {
            return Err(CodecError::malformed("MPEG audio sync word"));
        }
        let (low_rate, shift) = match (b >> 3) & 3 {
            3 => (false, 0),
            2 => (true, 1),
            0 => (true, 2),
            _ => return Err(CodecError::malformed("MPEG audio version")),
        };
        let layer = 4 - ((b >> 1) & 3);
        if layer == 4 {
            return Err(CodecError::malformed("MPEG audio layer"));
        }
        let rate: u32 = match (c >> 2) & 3 {
            0 => 44_100,
            1 => 48_000,
            2 => 32_000,
            _ => return Err(CodecError::malformed("MPEG audio sample rate")),
        };
        let rate = rate >> shift;
        let row = match (low_rate, layer) {
            (false, l) => usize::from(l) - 1,
            (true, 1) => 3,
            _ => 4,
        };
        let kbit = match c >> 4 {
            0 => return Err(CodecError::unsupported("free-format MPEG audio")),
            i => BIT_RATES.get(row).and_then(|t| t.get(usize::from(i) - 1)),
        };
        let bit_rate = u32::from(*kbit.ok_or(CodecError::malformed("MPEG audio bit rate"))?) * 1000;
        let padding = u32::from((c >> 1) & 1);
        let samples = match (layer, low_rate) {
            (1, _) => 384,
            (3, true) => 576,
            _ => 1152,
        };
        let len = if layer == 1 {
            (12 * bit_rate / rate + padding) * 4
        } else {
            samples / 8 * bit_rate / rate + padding
        };
        let channels = if d >> 6 == 3 { 1 } else { 2 };
        Ok(Self { layer, low_rate, rate, channels, bit_rate, frame_len: len as usize, samples })
    }

    /// Whether two headers can belong to the same stream.
    pub const fn like(&self, o: &Self) -> bool {
        self.layer == o.layer && self.rate == o.rate
    }

    /// The position of the first frame in `data`: a header with another one like it behind it, or whose frame
    /// reaches to the end or beyond. `None` if there is none.
    pub fn find(data: &[u8]) -> Option<usize> {
        let mut from = 0;
        loop {
            let i = from + memchr::memchr(0xff, data.get(from..)?)?;
            let at = data.get(i..)?;
            if let Ok(h) = Self::parse(at) {
                match at.get(h.frame_len..) {
                    None => return Some(i),
                    Some(next) if next.len() < Self::MIN => return Some(i),
                    Some(next) if Self::parse(next).is_ok_and(|n| n.like(&h)) => return Some(i),
                    Some(_) => {}
                }
            }
            from = i + 1;
        }
    }

    /// How long the frame lasts.
    pub fn duration(&self) -> Duration {
        Duration::from_rate(self.samples.into(), self.rate)
    }

    /// What players need to know.
    pub const fn params(&self) -> Params {
        Params::Audio { rate: self.rate, channels: self.channels, bits: 16 }
    }
}

/// The headers of the whole frames that a packet consists of; ends at the first byte that isn't one.
pub fn frames(mut data: &[u8]) -> impl Iterator<Item = Header> {
    std::iter::from_fn(move || {
        let h = Header::parse(data).ok()?;
        data = data.get(h.frame_len..).unwrap_or_default();
        Some(h)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn real_headers() {
        // (bytes, layer, rate, channels, frame length, samples)
        let cases = [
            ([0xff, 0xfb, 0x90, 0x64], 3, 44_100, 2, 417, 1152),
            ([0xff, 0xfb, 0x92, 0xc4], 3, 44_100, 1, 418, 1152),
            ([0xff, 0xfd, 0xa4, 0x00], 2, 48_000, 2, 576, 1152),
            ([0xff, 0xf3, 0x40, 0xc0], 3, 22_050, 1, 104, 576),
            ([0xff, 0xe3, 0x18, 0xc0], 3, 8_000, 1, 72, 576),
            ([0xff, 0xff, 0x10, 0x00], 1, 44_100, 2, 32, 384),
        ];
        for (b, layer, rate, channels, len, samples) in cases {
            let h = Header::parse(&b).unwrap();
            let got = (h.layer, h.rate, h.channels, h.frame_len, h.samples);
            assert_eq!(got, (layer, rate, channels, len, samples), "{b:02x?}");
            (0..4).for_each(|n| assert!(Header::parse(&b[..n]).is_err()));
        }
        for bad in [
            [0xff, 0xfb, 0x00, 0],
            [0xff, 0xfb, 0xf0, 0],
            [0xff, 0xfb, 0x9c, 0],
            [0xff, 0xeb, 0x90, 0],
            [0xff, 0xf9, 0x90, 0],
        ] {
            assert!(Header::parse(&bad).is_err(), "{bad:02x?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes(v in prop::collection::vec(prop::sample::select(&[0xff, 0xfb, 0x90, 0, 0x12][..]), 0..300)) {
            Header::find(&v);
            prop_assert!(frames(&v).all(|h| h.frame_len >= 4 && h.duration() > Duration::ZERO));
        }
    }
}
