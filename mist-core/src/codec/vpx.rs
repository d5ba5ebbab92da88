//! VP8 (RFC 6386 §9.1) and VP9 (bitstream specification §6.2) frame headers, and `vpcC` (VP codec ISO media file
//! format binding).

use super::CodecError;
use super::h264::cropped;
use crate::bits::BitReader;
use crate::media::Params;
use bytes::Bytes;

/// Whether a VP8 frame is a key frame.
pub fn vp8_is_key(frame: &[u8]) -> bool {
    frame.first().is_some_and(|b| b & 1 == 0)
}

/// Width and height of a VP8 key frame.
///
/// # Errors
/// It is none, or ends early.
pub fn vp8_size(frame: &[u8]) -> Result<(u32, u32), CodecError> {
    let Some(&[tag, _, _, s0, s1, s2, w0, w1, h0, h1]) = frame.first_chunk() else {
        return Err(CodecError::truncated("VP8 frame header"));
    };
    if tag & 1 != 0 || [s0, s1, s2] != [0x9d, 0x01, 0x2a] {
        return Err(CodecError::malformed("not a VP8 key frame"));
    }
    let size = |a, b| u64::from(u16::from_le_bytes([a, b]) & 0x3fff);
    Ok((cropped(size(w0, w1), 0, "VP8 width")?, cropped(size(h0, h1), 0, "VP8 height")?))
}

/// What the header of a VP9 key frame tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vp9 {
    /// Profile, 0 to 3.
    pub profile: u8,
    /// 8, 10 or 12.
    pub bit_depth: u8,
    /// Subsampling as `vpcC` counts it: 1 is 4:2:0, 2 4:2:2, 3 4:4:4; 4:4:0 counts as 1.
    pub chroma: u8,
    /// Samples use the full range of values.
    pub full_range: bool,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

/// Reads up to error_resilient_mode: the profile, and whether it is a key frame.
fn vp9_head(r: &mut BitReader<'_>) -> Result<(u8, bool), CodecError> {
    if r.bits(2)? != 2 {
        return Err(CodecError::malformed("VP9 frame marker"));
    }
    let profile = (r.bits(1)? | (r.bits(1)? << 1)) as u8;
    if profile == 3 && r.flag()? {
        return Err(CodecError::unsupported("VP9 profile"));
    }
    if r.flag()? {
        return Ok((profile, false));
    }
    let inter = r.flag()?;
    r.skip(2)?;
    Ok((profile, !inter))
}

/// Whether a VP9 frame (or superframe) is a key frame.
pub fn vp9_is_key(frame: &[u8]) -> bool {
    vp9_head(&mut BitReader::new(frame)).is_ok_and(|h| h.1)
}

impl Vp9 {
    /// Parses the header of a key frame.
    ///
    /// # Errors
    /// It is none, or ends early.
    pub fn parse(frame: &[u8]) -> Result<Self, CodecError> {
        let r = &mut BitReader::new(frame);
        let (profile, key) = vp9_head(r)?;
        if !key || r.bits(24)? != 0x49_83_42 {
            return Err(CodecError::malformed("not a VP9 key frame"));
        }
        let bit_depth = match profile {
            0 | 1 => 8,
            _ if r.flag()? => 12,
            _ => 10,
        };
        let rgb = r.bits(3)? == 7;
        let odd = profile & 1 == 1;
        let (mut full_range, mut chroma) = (true, 3);
        if !rgb {
            full_range = r.flag()?;
            chroma = 1;
            if odd {
                chroma = match (r.flag()?, r.flag()?) {
                    (false, false) => 3,
                    (true, false) => 2,
                    _ => 1,
                };
            }
        }
        if odd {
            r.skip(1)?;
        }
        let (w, h) = (r.bits(16)?, r.bits(16)?);
        Ok(Self {
            profile,
            bit_depth,
            chroma,
            full_range,
            width: cropped(u64::from(w) + 1, 0, "VP9 width")?,
            height: cropped(u64::from(h) + 1, 0, "VP9 height")?,
        })
    }

    /// What players need to know.
    pub const fn params(&self) -> Params {
        Params::Video { width: self.width, height: self.height, fpks: 0 }
    }
}

/// Configuration record of VP8 and VP9: the body of a `vpcC` box with its version and flags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vpcc {
    /// Profile.
    pub profile: u8,
    /// Ten times the level; 0 unknown.
    pub level: u8,
    /// 8, 10 or 12.
    pub bit_depth: u8,
    /// 0 4:2:0 with samples left, 1 4:2:0 collocated, 2 4:2:2, 3 4:4:4.
    pub chroma: u8,
    /// Samples use the full range of values.
    pub full_range: bool,
    /// Colour primaries, transfer and matrix (ITU-T H.273); 2 unspecified.
    pub colour: [u8; 3],
}

/// (ten times the level, largest picture in luma samples) of VP9.
const LEVELS: [(u8, u64); 10] = [
    (10, 36_864),
    (11, 73_728),
    (20, 122_880),
    (21, 245_760),
    (30, 552_960),
    (31, 983_040),
    (40, 2_228_224),
    (50, 8_912_896),
    (60, 35_651_584),
    (62, u64::MAX),
];

impl Vpcc {
    /// Parses the record, with or without version and flags in front.
    ///
    /// # Errors
    /// It ends early.
    pub fn parse(data: &[u8]) -> Result<Self, CodecError> {
        let body = data.strip_prefix(&[1, 0, 0, 0]).unwrap_or(data);
        let Some((&[profile, level, bits, a, b, c], _)) = body.split_first_chunk() else {
            return Err(CodecError::truncated("vpcC"));
        };
        Ok(Self {
            profile,
            level,
            bit_depth: bits >> 4,
            chroma: (bits >> 1) & 7,
            full_range: bits & 1 != 0,
            colour: [a, b, c],
        })
    }

    /// From the header of a key frame; the level is the lowest that its size allows.
    pub fn from_frame(f: &Vp9) -> Self {
        let size = u64::from(f.width) * u64::from(f.height);
        Self {
            profile: f.profile,
            level: LEVELS.iter().find(|l| size <= l.1).map_or(0, |l| l.0),
            bit_depth: f.bit_depth,
            chroma: f.chroma,
            full_range: f.full_range,
            colour: [2, 2, 2],
        }
    }

    /// Writes the record with version and flags.
    pub fn build(&self) -> Bytes {
        let bits = (self.bit_depth << 4) | ((self.chroma & 7) << 1) | u8::from(self.full_range);
        let [a, b, c] = self.colour;
        Bytes::copy_from_slice(&[1, 0, 0, 0, self.profile, self.level, bits, a, b, c, 0, 0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn real_frames() {
        let vp8 = [0x50, 0xe8, 1, 0x9d, 1, 0x2a, 0xb0, 0, 0x90, 0];
        assert_eq!(vp8_size(&vp8), Ok((176, 144)));
        assert!(vp8_is_key(&vp8) && !vp8_is_key(&[0xb1]) && !vp8_is_key(&[]));
        let vp9 = [0x82, 0x49, 0x83, 0x42, 0, 0x15, 0xf0, 0x11, 0xf0, 0x24];
        let f = Vp9::parse(&vp9).unwrap();
        assert_eq!((f.width, f.height, f.profile, f.bit_depth), (352, 288, 0, 8));
        assert!(vp9_is_key(&vp9) && !vp9_is_key(&[0x86, 0]) && !vp9_is_key(&[0x88]));
        let c = Vpcc::from_frame(&f);
        assert_eq!(c.level, 20);
        assert_eq!(Vpcc::parse(&c.build()), Ok(c));
        for n in 0..9 {
            assert!(vp8_size(&vp8[..n]).is_err() && Vp9::parse(&vp9[..n]).is_err());
        }
    }

    proptest! {
        #[test]
        fn any_bytes(v in prop::collection::vec(any::<u8>(), 0..20)) {
            let _ = (vp8_size(&v), Vp9::parse(&v), vp9_is_key(&v), Vpcc::parse(&v));
            let mut k = vec![0x82 | (v.len() as u8 & 0x30), 0x49, 0x83, 0x42];
            k.extend(&v);
            let _ = Vp9::parse(&k);
        }
    }
}
