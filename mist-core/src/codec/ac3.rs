//! AC-3 and E-AC-3: sync frames and the configuration boxes of MP4 (ETSI TS 102 366, annexes E and F).
//!
//! Not handled: decoding, and the channel map of dependent substreams (their channels aren't counted).

use super::CodecError;
use crate::bits::{BitReader, BitWriter};
use crate::media::Params;
use crate::time::Duration;
use bytes::Bytes;

const KBIT: [u16; 19] =
    [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640];
const RATES: [u32; 3] = [48_000, 44_100, 32_000];
const CHANNELS: [u16; 8] = [2, 1, 2, 3, 3, 4, 4, 5];

/// Header of one sync frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// E-AC-3 rather than AC-3.
    pub enhanced: bool,
    /// Samples a second.
    pub rate: u32,
    /// Channels with the low-frequency one.
    pub channels: u16,
    /// Bytes of the frame with its header.
    pub frame_len: usize,
    /// Audio blocks of 256 samples.
    pub blocks: u8,
    /// A dependent substream: belongs to the frame before and lasts no time of its own.
    pub dependent: bool,
    /// Number of the substream; 0 for AC-3.
    pub substream: u8,
    /// Bit stream identification.
    pub bsid: u8,
    /// Bit stream mode; 0 for E-AC-3, where it is optional.
    pub bsmod: u8,
    /// Audio coding mode.
    pub acmod: u8,
    /// A low-frequency channel is there.
    pub lfe: bool,
    fscod: u8,
    bit_rate_code: u8,
}

impl Header {
    /// Bytes that [`Self::parse`] needs.
    pub const MIN: usize = 8;

    /// Parses the header at the start of `data`.
    ///
    /// # Errors
    /// No sync word, a reserved value, or fewer than 8 bytes.
    pub fn parse(data: &[u8]) -> Result<Self, CodecError> {
        let Some(head) = data.first_chunk::<8>() else { return Err(CodecError::truncated("AC-3 header")) };
        let r = &mut BitReader::new(head);
        if r.bits(16)? != 0x0b77 {
            return Err(CodecError::malformed("AC-3 sync word"));
        }
        match head[5] >> 3 {
            0..=10 => Self::ac3(r),
            11..=16 => Self::eac3(r),
            _ => Err(CodecError::malformed("AC-3 bsid")),
        }
    }

    fn ac3(r: &mut BitReader<'_>) -> Result<Self, CodecError> {
        r.skip(16)?;
        let (fscod, size) = (r.bits(2)? as u8, r.bits(6)?);
        let rate = *RATES.get(usize::from(fscod)).ok_or(CodecError::malformed("AC-3 sample rate"))?;
        let kbit = *KBIT.get(size as usize >> 1).ok_or(CodecError::malformed("AC-3 frame size"))?;
        let kbit = usize::from(kbit);
        let words = match fscod {
            0 => kbit * 2,
            1 => kbit * 320 / 147 + (size & 1) as usize,
            _ => kbit * 3,
        };
        let (bsid, bsmod, acmod) = (r.bits(5)? as u8, r.bits(3)? as u8, r.bits(3)? as u8);
        if acmod & 1 != 0 && acmod != 1 {
            r.skip(2)?;
        }
        if acmod & 4 != 0 {
            r.skip(2)?;
        }
        if acmod == 2 {
            r.skip(2)?;
        }
        let lfe = r.flag()?;
        Ok(Self {
            enhanced: false,
            rate: rate >> bsid.saturating_sub(8),
            channels: CHANNELS.get(usize::from(acmod)).map_or(0, |c| c + u16::from(lfe)),
            frame_len: words * 2,
            blocks: 6,
            dependent: false,
            substream: 0,
            bsid,
            bsmod,
            acmod,
            lfe,
            fscod,
            bit_rate_code: (size >> 1) as u8,
        })
    }

    fn eac3(r: &mut BitReader<'_>) -> Result<Self, CodecError> {
        let (kind, substream) = (r.bits(2)?, r.bits(3)? as u8);
        if kind == 3 {
            return Err(CodecError::malformed("E-AC-3 stream type"));
        }
        let frame_len = (r.bits(11)? as usize + 1) * 2;
        if frame_len < Self::MIN {
            return Err(CodecError::malformed("E-AC-3 frame size"));
        }
        let fscod = r.bits(2)? as u8;
        let low = r.bits(2)?;
        let wrong = CodecError::malformed("E-AC-3 sample rate");
        let (rate, blocks) = match RATES.get(usize::from(fscod)) {
            Some(&rate) => (rate, [1, 2, 3, 6].get(low as usize).copied().unwrap_or(6)),
            None => (RATES.get(low as usize).ok_or(wrong)? / 2, 6),
        };
        let (acmod, lfe, bsid) = (r.bits(3)? as u8, r.flag()?, r.bits(5)? as u8);
        Ok(Self {
            enhanced: true,
            rate,
            channels: CHANNELS.get(usize::from(acmod)).map_or(0, |c| c + u16::from(lfe)),
            frame_len,
            blocks,
            dependent: kind == 1,
            substream,
            bsid,
            bsmod: 0,
            acmod,
            lfe,
            fscod,
            bit_rate_code: 0,
        })
    }

    /// Whether two headers can belong to the same stream.
    pub const fn like(&self, o: &Self) -> bool {
        self.enhanced == o.enhanced && self.rate == o.rate
    }

    /// The position of the first frame in `data`: a header with another one like it behind it, or whose frame
    /// reaches to the end or beyond. `None` if there is none.
    pub fn find(data: &[u8]) -> Option<usize> {
        memchr::memmem::find_iter(data, &[0x0b, 0x77]).find(|&i| {
            let at = data.get(i..).unwrap_or_default();
            let Ok(h) = Self::parse(at) else { return false };
            match at.get(h.frame_len..) {
                None => true,
                Some(next) => next.len() < Self::MIN || Self::parse(next).is_ok_and(|n| n.like(&h)),
            }
        })
    }

    /// Samples of the frame: 0 for a substream that plays beside another.
    pub const fn samples(&self) -> u32 {
        if self.dependent || self.substream != 0 { 0 } else { self.blocks as u32 * 256 }
    }

    /// How long the frame lasts.
    pub fn duration(&self) -> Duration {
        Duration::from_rate(self.samples().into(), self.rate)
    }

    /// What players need to know.
    pub const fn params(&self) -> Params {
        Params::Audio { rate: self.rate, channels: self.channels, bits: 16 }
    }

    /// The body of MP4's `dac3` or `dec3` box for the frames of a packet; `None` if they aren't readable.
    pub fn mp4_config(packet: &[u8]) -> Option<Bytes> {
        let h = Self::parse(packet).ok()?;
        let mut w = BitWriter::new();
        if h.enhanced {
            let bytes: usize = frames(packet).map(|f| f.frame_len).sum();
            let samples: u32 = frames(packet).map(|f| f.samples()).sum();
            let rate = bytes as u64 * 8 * u64::from(h.rate);
            let dependent = frames(packet).filter(|f| f.dependent).count().min(1);
            w.bits(rate.checked_div(u64::from(samples) * 1000).unwrap_or(0).min(0x1fff), 13);
            w.bits(0, 3);
            w.bits(h.fscod.into(), 2);
            w.bits(h.bsid.into(), 5);
            w.bits(0, 2);
            w.bits(h.bsmod.into(), 3);
            w.bits(h.acmod.into(), 3);
            w.flag(h.lfe);
            w.bits(0, 3);
            w.bits(dependent as u64, 4);
            // Back left and right, what a dependent substream of a 7.1 programme adds.
            w.bits(if dependent > 0 { 2 } else { 0 }, if dependent > 0 { 9 } else { 1 });
        } else {
            w.bits(h.fscod.into(), 2);
            w.bits(h.bsid.into(), 5);
            w.bits(h.bsmod.into(), 3);
            w.bits(h.acmod.into(), 3);
            w.flag(h.lfe);
            w.bits(h.bit_rate_code.into(), 5);
            w.bits(0, 5);
        }
        Some(w.finish())
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
        let b = [0x0b, 0x77, 0x88, 0x2b, 0x14, 0x40, 0x43, 0xff];
        let h = Header::parse(&b).unwrap();
        assert_eq!((h.rate, h.channels, h.frame_len, h.samples()), (48_000, 2, 768, 1536));
        assert_eq!(&Header::mp4_config(&b).unwrap()[..], [0x10, 0x11, 0x40]);
        let five = [0x0b, 0x77, 0, 0, 0x1e, 0x40, 0xe1, 0];
        let h = Header::parse(&five).unwrap();
        assert_eq!((h.channels, h.lfe, h.frame_len), (6, true, 448 * 4));
        let e = [0x0b, 0x77, 0x02, 0xff, 0x3f, 0x86, 0, 0];
        let h = Header::parse(&e).unwrap();
        assert_eq!((h.enhanced, h.rate, h.channels, h.frame_len, h.samples()), (true, 48_000, 6, 1536, 1536));
        assert_eq!(Header::mp4_config(&e).unwrap().len(), 5);
        (0..8).for_each(|n| assert!(Header::parse(&b[..n]).is_err()));
    }

    proptest! {
        #[test]
        fn any_bytes(v in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut d = vec![0x0b, 0x77];
            d.extend(&v);
            Header::find(&d);
            Header::mp4_config(&d);
            prop_assert!(frames(&d).all(|h| h.frame_len >= 4));
        }
    }
}
