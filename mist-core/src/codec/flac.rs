//! FLAC: STREAMINFO and frame headers (RFC 9639 §8, §9.1).

use super::CodecError;
use crate::bits::BitReader;
use crate::media::Params;
use crate::time::Duration;
use bytes::{BufMut, Bytes, BytesMut};

/// STREAMINFO.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamInfo {
    /// Smallest and largest block in samples.
    pub blocks: (u16, u16),
    /// Samples a second.
    pub rate: u32,
    /// Channels.
    pub channels: u8,
    /// Bits a sample.
    pub bits: u8,
    /// Samples in all; 0 unknown.
    pub samples: u64,
}

impl StreamInfo {
    /// Bytes of the block's body.
    pub const LEN: usize = 34;

    /// Parses the body of the metadata block.
    ///
    /// # Errors
    /// It ends early or has no sample rate.
    pub fn parse(body: &[u8]) -> Result<Self, CodecError> {
        let r = &mut BitReader::new(body.get(..Self::LEN).ok_or(CodecError::truncated("STREAMINFO"))?);
        let blocks = (r.bits(16)? as u16, r.bits(16)? as u16);
        r.skip(48)?;
        let rate = r.bits(20)?;
        let (channels, bits) = (r.bits(3)? as u8 + 1, r.bits(5)? as u8 + 1);
        if rate == 0 {
            return Err(CodecError::malformed("STREAMINFO sample rate"));
        }
        Ok(Self { blocks, rate, channels, bits, samples: r.bits64(36)? })
    }

    /// From the track's init data: `fLaC` and metadata blocks, of which STREAMINFO is the first.
    ///
    /// # Errors
    /// As [`Self::parse`], or another start.
    pub fn from_init(init: &[u8]) -> Result<Self, CodecError> {
        match init.strip_prefix(b"fLaC") {
            Some([kind, _, _, _, body @ ..]) if kind & 0x7f == 0 => Self::parse(body),
            _ => Err(CodecError::malformed("FLAC metadata")),
        }
    }

    /// What players need to know.
    pub fn params(&self) -> Params {
        Params::Audio { rate: self.rate, channels: self.channels.into(), bits: self.bits.into() }
    }
}

/// The canonical init data from any of its forms: as it is, metadata blocks without `fLaC` with or without the
/// version and flags of MP4's `dfLa`, or a bare STREAMINFO.
///
/// # Errors
/// None of these.
pub fn canonical_init(data: Bytes) -> Result<Bytes, CodecError> {
    if StreamInfo::from_init(&data).is_ok() {
        return Ok(data);
    }
    let block = |d: &[u8]| matches!(d, [k, 0, 0, 34, ..] if k & 0x7f == 0);
    let mut out = BytesMut::with_capacity(data.len().saturating_add(8));
    out.put_slice(b"fLaC");
    match data.strip_prefix(&[0, 0, 0, 0]) {
        Some(rest) if block(rest) => out.put_slice(rest),
        _ if block(&data) => out.put_slice(&data),
        _ if data.len() == StreamInfo::LEN => {
            out.put_slice(&[0x80, 0, 0, 34]);
            out.put_slice(&data);
        }
        _ => return Err(CodecError::malformed("FLAC metadata")),
    }
    let out = out.freeze();
    StreamInfo::from_init(&out)?;
    Ok(out)
}

/// Samples of a frame; `None` if it doesn't begin with a frame header.
pub fn frame_samples(frame: &[u8]) -> Option<u32> {
    let (&[s0, s1, sizes, _], rest) = frame.split_first_chunk()?;
    if s0 != 0xff || s1 & 0xfe != 0xf8 {
        return None;
    }
    // The coded number, as long as the first byte's leading ones say.
    let len = match rest.first()?.leading_ones() {
        0 => 1,
        n @ 2..=7 => n as usize,
        _ => return None,
    };
    let tail = rest.get(len..)?;
    match sizes >> 4 {
        1 => Some(192),
        n @ 2..=5 => Some(576 << (n - 2)),
        6 => Some(u32::from(*tail.first()?) + 1),
        7 => Some(u32::from(u16::from_be_bytes(*tail.first_chunk()?)) + 1),
        n @ 8..=15 => Some(256 << (n - 8)),
        _ => None,
    }
}

/// How long a frame lasts at a sample rate.
pub fn frame_duration(frame: &[u8], rate: u32) -> Option<Duration> {
    frame_samples(frame).map(|n| Duration::from_rate(n.into(), rate))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn init_in_every_form() {
        let mut info = vec![0x10, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0x0a, 0xc4, 0x42, 0xf0, 0, 0, 0, 5];
        info.resize(34, 7);
        let bare = Bytes::from(info.clone());
        let want = canonical_init(bare).unwrap();
        let s = StreamInfo::from_init(&want).unwrap();
        assert_eq!((s.rate, s.channels, s.bits, s.samples, s.blocks.0), (44_100, 2, 16, 5, 4096));
        assert_eq!(canonical_init(want.clone()).unwrap(), want);
        assert_eq!(canonical_init(want.slice(4..)).unwrap(), want);
        let dfla = [&[0; 4], &want[4..]].concat();
        assert_eq!(canonical_init(dfla.into()).unwrap(), want);
        (0..34).for_each(|n| assert!(canonical_init(info[..n].to_vec().into()).is_err()));
    }

    #[test]
    fn frame_headers() {
        assert_eq!(frame_samples(&[0xff, 0xf8, 0xc9, 0x18, 0, 0xc2]), Some(4096));
        assert_eq!(frame_samples(&[0xff, 0xf8, 0x79, 0x18, 0xc2, 0x80, 0x03, 0xff]), Some(1024));
        assert_eq!(frame_samples(&[0xff, 0xf8, 0x79, 0x18, 0xc2, 0x80, 0x03]), None);
    }

    proptest! {
        #[test]
        fn any_bytes(v in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = (frame_samples(&v), canonical_init(v.clone().into()));
        }
    }
}
