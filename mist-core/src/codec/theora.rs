//! Theora: identification header (Theora specification §6.2). The three headers are joined as those of Vorbis
//! ([`super::vorbis::join_headers`]).

use super::h264::cropped;
use super::{CodecError, fpks};
use crate::bits::BitReader;
use crate::media::Params;

/// Identification header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identification {
    /// Width of the visible picture in pixels.
    pub width: u32,
    /// Height of the visible picture in pixels.
    pub height: u32,
    /// Frame rate as a fraction.
    pub rate: (u32, u32),
    /// Sample aspect ratio; (0, 0) unknown.
    pub sar: (u32, u32),
    /// How many low bits of a granule position count frames since the last key frame.
    pub granule_shift: u8,
    /// Bit stream version, major and minor.
    pub version: (u8, u8),
}

impl Identification {
    /// Parses the first of the three header packets.
    ///
    /// # Errors
    /// It is another packet, has a size or rate out of range, or ends early.
    pub fn parse(packet: &[u8]) -> Result<Self, CodecError> {
        let Some(body) = packet.strip_prefix(b"\x80theora") else {
            return Err(CodecError::malformed("Theora identification header"));
        };
        let r = &mut BitReader::new(body);
        let version = (r.byte()?, r.byte()?);
        if version.0 != 3 {
            return Err(CodecError::unsupported("Theora version"));
        }
        r.skip(8 + 32)?;
        let (w, h) = (r.bits(24)?, r.bits(24)?);
        r.skip(16)?;
        let rate = (r.bits(32)?, r.bits(32)?);
        let sar = (r.bits(24)?, r.bits(24)?);
        r.skip(8 + 24 + 6)?;
        let granule_shift = r.bits(5)? as u8;
        if rate.0 == 0 || rate.1 == 0 {
            return Err(CodecError::malformed("Theora frame rate"));
        }
        Ok(Self {
            width: cropped(w.into(), 0, "Theora width")?,
            height: cropped(h.into(), 0, "Theora height")?,
            rate,
            sar,
            granule_shift,
            version,
        })
    }

    /// What players need to know.
    pub fn params(&self) -> Params {
        let fpks = fpks(self.rate.0, self.rate.1.into());
        Params::Video { width: self.width, height: self.height, fpks }
    }
}

/// Whether a packet is a key frame. An empty packet repeats the frame before and is none.
pub fn is_key(packet: &[u8]) -> bool {
    packet.first().is_some_and(|b| b & 0xc0 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identification() {
        let mut p = b"\x80theora\x03\x02\x01\0\x14\0\x0f\0\x01\x40\0\0\xf0\0\0\0\0\0\x1e\0\0\0\x01".to_vec();
        p.extend([0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0x40, 0xc0]);
        let h = Identification::parse(&p).unwrap();
        assert_eq!((h.width, h.height, h.granule_shift), (320, 240, 6));
        assert_eq!(h.params(), Params::Video { width: 320, height: 240, fpks: 30_000 });
        (0..p.len()).for_each(|n| assert!(Identification::parse(&p[..n]).is_err()));
        assert!(is_key(&[0x20]) && !is_key(&[0x40]) && !is_key(&[0x80]) && !is_key(&[]));
    }
}
