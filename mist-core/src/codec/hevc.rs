//! HEVC: ITU-T H.265 parameter sets and access units, ISO/IEC 14496-15 §8.3.3 decoder configuration.
//!
//! Not handled: what of slice headers isn't needed to tell pictures apart and order them, multilayer extensions (their parameter sets are kept,
//! not read).

use super::h264::{aspect_ratio, cropped};
use super::limits::{MAX_HEADER_LEN, MAX_NALS};
use super::nal::{self as units, unescape};
use super::sei::{self, Captions};
use super::{CodecError, fpks};
use crate::bits::BitReader;
use crate::media::Params;

mod hvcc;
mod slice;

pub use hvcc::{Hvcc, NalArray};
pub use slice::{PocCounter, Pps, Slice};

/// Types of NAL units (H.265 table 7-1).
pub mod nal {
    /// First intra random access point type.
    pub const BLA_W_LP: u8 = 16;
    /// IDR picture with leading pictures.
    pub const IDR_W_RADL: u8 = 19;
    /// IDR picture without leading pictures.
    pub const IDR_N_LP: u8 = 20;
    /// Clean random access picture.
    pub const CRA: u8 = 21;
    /// Video parameter set.
    pub const VPS: u8 = 32;
    /// Sequence parameter set.
    pub const SPS: u8 = 33;
    /// Picture parameter set.
    pub const PPS: u8 = 34;
    /// Access unit delimiter.
    pub const AUD: u8 = 35;
    /// End of sequence.
    pub const END_OF_SEQUENCE: u8 = 36;
    /// End of bit stream.
    pub const END_OF_STREAM: u8 = 37;
    /// Filler data.
    pub const FILLER: u8 = 38;
    /// SEI before the picture.
    pub const PREFIX_SEI: u8 = 39;
    /// SEI after the picture.
    pub const SUFFIX_SEI: u8 = 40;

    /// The type of a NAL unit; 63 (unspecified) for one without a whole header.
    pub fn kind(nal: &[u8]) -> u8 {
        match nal {
            [b, _, ..] => (b >> 1) & 0x3f,
            _ => 63,
        }
    }

    /// The layer of a NAL unit: 0 is the base layer.
    pub fn layer(nal: &[u8]) -> u8 {
        match nal {
            [a, b, ..] => ((a & 1) << 5) | (b >> 3),
            _ => 0,
        }
    }

    /// Whether the unit holds picture data.
    pub const fn is_picture(kind: u8) -> bool {
        kind < 32
    }

    /// Whether the unit belongs to an intra random access point: decoding can start there.
    pub const fn is_irap(kind: u8) -> bool {
        matches!(kind, 16..=23)
    }
}

/// profile_tier_level() of H.265 §7.3.3, the general part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Profile {
    /// general_profile_space, 2 bits.
    pub space: u8,
    /// High tier rather than main tier.
    pub high_tier: bool,
    /// general_profile_idc.
    pub idc: u8,
    /// general_profile_compatibility_flags; flag 0 is the highest bit.
    pub compat: u32,
    /// general_constraint_indicator_flags, 48 bits.
    pub constraints: u64,
    /// general_level_idc: 30 times the level.
    pub level: u8,
}

impl Profile {
    fn read(r: &mut BitReader<'_>, max_sub_layers_minus1: u32) -> Result<Self, CodecError> {
        let mut p = Self::read_general(r)?;
        p.level = r.byte()?;
        let n = max_sub_layers_minus1.min(6);
        let mut present = [(false, false); 6];
        for x in present.iter_mut().take(n as usize) {
            *x = (r.flag()?, r.flag()?);
        }
        if n > 0 {
            r.skip(2 * (8 - n as usize))?;
        }
        for (profile, level) in present {
            r.skip(if profile { 88 } else { 0 } + if level { 8 } else { 0 })?;
        }
        Ok(p)
    }

    fn read_general(r: &mut BitReader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            space: r.bits(2)? as u8,
            high_tier: r.flag()?,
            idc: r.bits(5)? as u8,
            compat: r.bits(32)?,
            constraints: r.bits64(48)?,
            level: 0,
        })
    }
}

/// A sequence parameter set (H.265 §7.3.2.2), as far as containers and players care.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sps {
    /// Profile, tier and level.
    pub profile: Profile,
    /// Temporal sub-layers.
    pub temporal_layers: u8,
    /// Each temporal layer can be switched to everywhere.
    pub temporal_nesting: bool,
    /// Number of this set.
    pub id: u8,
    /// 0 monochrome, 1 4:2:0, 2 4:2:2, 3 4:4:4.
    pub chroma_format: u8,
    /// Bits of a luma sample.
    pub bit_depth_luma: u8,
    /// Bits of a chroma sample.
    pub bit_depth_chroma: u8,
    /// Width inside the conformance window, in pixels.
    pub width: u32,
    /// Height inside the conformance window, in pixels.
    pub height: u32,
    /// Sample aspect ratio; (1, 1) where it isn't given.
    pub sar: (u16, u16),
    /// Frames per 1000 seconds from the VUI timing; 0 where it isn't given.
    pub fpks: u32,
    /// vui_num_units_in_tick and vui_time_scale, both above 0, where given: a picture lasts one tick.
    pub timing: Option<(u32, u32)>,
    /// Low bits of the picture order count in slice headers, 4 to 16; 0 where the set ended before.
    pub poc_bits: u8,
    /// The three colour planes are coded like pictures of their own.
    pub separate_planes: bool,
    /// min_spatial_segmentation_idc.
    pub min_spatial_segmentation: u16,
    /// Pictures that may precede one in decoding order and follow it in output order.
    pub reorder_frames: u32,
}

fn skip_scaling_lists(r: &mut BitReader<'_>) -> Result<(), CodecError> {
    for size in 0..4u32 {
        for _ in 0..if size == 3 { 2 } else { 6 } {
            if r.flag()? {
                if size > 1 {
                    r.se()?;
                }
                for _ in 0..(1u32 << (4 + (size << 1))).min(64) {
                    r.se()?;
                }
            } else {
                r.ue()?;
            }
        }
    }
    Ok(())
}

/// st_ref_pic_set of H.265 §7.3.7; returns the number of its pictures.
fn skip_ref_pic_set(r: &mut BitReader<'_>, first: bool, before: u32) -> Result<u32, CodecError> {
    if !first && r.flag()? {
        r.skip(1)?;
        r.ue()?;
        let mut n = 0;
        for _ in 0..=before {
            let used = r.flag()?;
            if used || r.flag()? {
                n += 1;
            }
        }
        return Ok(n);
    }
    let (negative, positive) = (r.ue()?, r.ue()?);
    if negative > 16 || positive > 16 {
        return Err(CodecError::malformed("short-term reference picture set"));
    }
    for _ in 0..negative + positive {
        r.ue()?;
        r.skip(1)?;
    }
    Ok(negative + positive)
}

impl Sps {
    /// Parses a SPS NAL unit with its two header bytes. Trouble behind the picture size (reference picture
    /// sets, VUI) leaves the fields from there unknown.
    ///
    /// # Errors
    /// It is no SPS, ends early, or declares a size beyond the limit.
    pub fn parse(nal: &[u8]) -> Result<Self, CodecError> {
        if nal::kind(nal) != nal::SPS {
            return Err(CodecError::malformed("not a SPS"));
        }
        if nal.len() > MAX_HEADER_LEN {
            return Err(CodecError::limit("SPS length"));
        }
        let rbsp = unescape(nal.get(2..).unwrap_or_default());
        let r = &mut BitReader::new(&rbsp);
        r.skip(4)?;
        let sub_layers = r.bits(3)?;
        let temporal_nesting = r.flag()?;
        let profile = Profile::read(r, sub_layers)?;
        let id = r.ue()?;
        let chroma = r.ue()?;
        if id > 15 || chroma > 3 {
            return Err(CodecError::malformed("SPS number or chroma format"));
        }
        let separate_planes = chroma == 3 && r.flag()?;
        let (full_w, full_h) = (r.ue()?, r.ue()?);
        let mut window = [0u64; 4];
        if r.flag()? {
            for c in &mut window {
                *c = r.ue()?.into();
            }
        }
        let [left, right, top, bottom] = window;
        let (unit_x, unit_y) = match chroma {
            1 => (2, 2),
            2 => (2, 1),
            _ => (1, 1),
        };
        let (luma, chroma_depth) = (r.ue()?, r.ue()?);
        if luma > 8 || chroma_depth > 8 {
            return Err(CodecError::malformed("bit depth"));
        }
        let mut sps = Self {
            profile,
            temporal_layers: sub_layers as u8 + 1,
            temporal_nesting,
            id: id as u8,
            chroma_format: chroma as u8,
            bit_depth_luma: luma as u8 + 8,
            bit_depth_chroma: chroma_depth as u8 + 8,
            width: cropped(full_w.into(), (left + right) * unit_x, "SPS width")?,
            height: cropped(full_h.into(), (top + bottom) * unit_y, "SPS height")?,
            sar: (1, 1),
            fpks: 0,
            timing: None,
            poc_bits: 0,
            separate_planes,
            min_spatial_segmentation: 0,
            reorder_frames: 0,
        };
        let _ = sps.tail(r, sub_layers);
        Ok(sps)
    }

    fn tail(&mut self, r: &mut BitReader<'_>, sub_layers: u32) -> Result<(), CodecError> {
        let poc_bits = r.ue()?;
        if poc_bits > 12 {
            return Err(CodecError::malformed("log2_max_pic_order_cnt_lsb_minus4"));
        }
        self.poc_bits = poc_bits as u8 + 4;
        let all = r.flag()?;
        for _ in 0..if all { sub_layers + 1 } else { 1 } {
            r.ue()?;
            self.reorder_frames = r.ue()?.min(16);
            r.ue()?;
        }
        for _ in 0..6 {
            r.ue()?;
        }
        if r.flag()? && r.flag()? {
            skip_scaling_lists(r)?;
        }
        r.skip(2)?;
        if r.flag()? {
            r.skip(8)?;
            r.ue()?;
            r.ue()?;
            r.skip(1)?;
        }
        let sets = r.ue()?;
        if sets > 64 {
            return Err(CodecError::malformed("num_short_term_ref_pic_sets"));
        }
        let mut before = 0;
        for i in 0..sets {
            before = skip_ref_pic_set(r, i == 0, before)?;
        }
        if r.flag()? {
            let n = r.ue()?;
            if n > 32 {
                return Err(CodecError::malformed("num_long_term_ref_pics_sps"));
            }
            r.skip(n as usize * (poc_bits as usize + 5))?;
        }
        r.skip(2)?;
        if r.flag()? {
            self.vui(r)?;
        }
        Ok(())
    }

    fn vui(&mut self, r: &mut BitReader<'_>) -> Result<(), CodecError> {
        self.sar = aspect_ratio(r)?;
        if r.flag()? {
            r.skip(1)?;
        }
        if r.flag()? {
            r.skip(4)?;
            if r.flag()? {
                r.skip(24)?;
            }
        }
        if r.flag()? {
            r.ue()?;
            r.ue()?;
        }
        r.skip(3)?;
        if r.flag()? {
            for _ in 0..4 {
                r.ue()?;
            }
        }
        if r.flag()? {
            let (tick, scale) = (r.bits(32)?, r.bits(32)?);
            self.fpks = fpks(scale, tick.into());
            self.timing = (tick > 0 && scale > 0).then_some((tick, scale));
            if r.flag()? {
                r.ue()?;
            }
            if r.flag()? {
                // HRD parameters lie between here and the fields that are left; nobody needs those enough.
                return Ok(());
            }
        }
        if r.flag()? {
            r.skip(3)?;
            self.min_spatial_segmentation = r.ue()?.min(4095) as u16;
        }
        Ok(())
    }

    /// What players need to know.
    pub fn params(&self) -> Params {
        Params::Video { width: self.width, height: self.height, fpks: self.fpks }
    }
}

/// The beginning of a video parameter set (H.265 §7.3.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vps {
    /// Number of this set.
    pub id: u8,
    /// Temporal sub-layers.
    pub temporal_layers: u8,
    /// Each temporal layer can be switched to everywhere.
    pub temporal_nesting: bool,
    /// Profile, tier and level.
    pub profile: Profile,
}

impl Vps {
    /// Parses a VPS NAL unit with its two header bytes.
    ///
    /// # Errors
    /// It is no VPS, or ends early.
    pub fn parse(nal: &[u8]) -> Result<Self, CodecError> {
        if nal::kind(nal) != nal::VPS {
            return Err(CodecError::malformed("not a VPS"));
        }
        let rbsp = unescape(nal.get(2..nal.len().min(256)).unwrap_or_default());
        let r = &mut BitReader::new(&rbsp);
        let id = r.bits(4)? as u8;
        r.skip(8)?;
        let sub_layers = r.bits(3)?;
        let temporal_nesting = r.flag()?;
        r.skip(16)?;
        let profile = Profile::read(r, sub_layers)?;
        Ok(Self { id, temporal_layers: sub_layers as u8 + 1, temporal_nesting, profile })
    }
}

/// Whether an access unit in canonical form is an intra random access point (IDR, CRA or BLA).
pub fn is_irap(au: &[u8]) -> bool {
    let kinds = units::units(au).take(MAX_NALS).filter(|n| nal::layer(n) == 0).map(nal::kind);
    kinds.into_iter().find(|&k| nal::is_picture(k)).is_some_and(nal::is_irap)
}

/// The closed captions that the SEI of an access unit carry.
pub fn captions(au: &[u8]) -> Captions {
    units::units(au)
        .take(MAX_NALS)
        .filter(|n| nal::kind(n) == nal::PREFIX_SEI)
        .fold(Captions::default(), |c, n| c.or(sei::captions(n.get(2..).unwrap_or_default())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::limits::MAX_PARAMETER_SETS;
    use bytes::{Bytes, BytesMut};
    use proptest::prelude::*;

    fn hex(s: &str) -> Bytes {
        let nibble = |c: u8| (c as char).to_digit(16).unwrap() as u8;
        s.as_bytes().chunks(2).map(|p| (nibble(p[0]) << 4) | nibble(p[1])).collect()
    }

    /// A SPS of a real file.
    pub(super) fn sps() -> Sps {
        Hvcc::parse(&hex(RECORDS[0].0)).unwrap().first_sps().unwrap()
    }

    /// Records of real files: (hvcC, profile, bits, width, height, frames per 1000 s).
    const RECORDS: &[(&str, u8, u8, u32, u32, u32)] = &[
        (
            "0101600000009000000000005af000fcfdf8f800000f03200001001840010c01ffff01600000030090000003000003005a959809210001002942010101600000030090000003000003005aa006b201e1d796566924cae68080000003008000000f0422000100074401c172b46240",
            1,
            8,
            854,
            480,
            30_000,
        ),
        (
            "010220000000b000000000005df000fcfdfafa00000b04a00001001840010c01ffff022000000300b0000003000003005d15c090a100010023420101022000000300b0000003000003005da00280802d1362057b9165535091209008a2000100094401c02864b86414c9a70001000d4e019408002fe9a03d13404280",
            2,
            10,
            1280,
            720,
            0,
        ),
        (
            "010160000000b0000000000099f000fcfcf8f800000f03200001001740010c01ffff016000000300b00000030000030099ac092100010027420101016000000300b00000030000030099a003c0801107cb96bb9324ba958283028176850940220001000b4401c0e30f09c180c73084",
            1,
            8,
            1920,
            1080,
            0,
        ),
    ];

    #[test]
    fn real_records() {
        for &(h, profile, bits, width, height, fpks) in RECORDS {
            let b = hex(h);
            let c = Hvcc::parse(&b).unwrap();
            let s = c.first_sps().unwrap();
            assert_eq!(s.params(), Params::Video { width, height, fpks });
            assert_eq!((c.profile.idc, s.bit_depth_luma, c.bit_depth_luma), (profile, bits, bits));
            assert_eq!(
                (s.profile, Vps::parse(c.of(nal::VPS).next().unwrap()).unwrap().profile),
                (c.profile, c.profile)
            );
            assert_eq!(c.build(), b, "written as it was read");
            let again = Hvcc::from_nals(c.nals().map(|n| &n[..])).unwrap();
            assert_eq!(again.profile, c.profile);
            assert_eq!(Hvcc::parse(&again.build()).unwrap(), again);
            assert!((0..b.len()).all(|n| Hvcc::parse(&b.slice(..n)).is_err()));
            for set in c.nals() {
                for n in 0..set.len() {
                    let _ = (Sps::parse(&set[..n]), Vps::parse(&set[..n]));
                }
            }
        }
    }

    #[test]
    fn random_access_points() {
        let unit = |nals: &[&[u8]]| {
            let mut out = BytesMut::new();
            nals.iter().for_each(|n| units::put_unit(&mut out, n));
            out.freeze()
        };
        for (kind, want) in
            [(19, true), (20, true), (21, true), (16, true), (1, false), (9, false), (24, false)]
        {
            assert_eq!(is_irap(&unit(&[&[nal::SPS << 1, 1, 0], &[kind << 1, 1, 0x80]])), want, "{kind}");
        }
        assert!(!is_irap(&unit(&[&[1 << 1, 1, 0], &[19 << 1, 9, 0]])), "another layer doesn't count");
        assert!(!is_irap(&[0, 0, 0, 1, 0x26]));
    }

    #[test]
    fn too_many_units_are_refused() {
        let mut v = hex(RECORDS[0].0)[..22].to_vec();
        v.extend([1, 0xa0, 0xff, 0xff]);
        v.extend([0, 1, 0x40].repeat(MAX_PARAMETER_SETS + 1));
        assert_eq!(Hvcc::parse(&v.into()).unwrap_err(), CodecError::limit("hvcC parameter sets"));
    }

    proptest! {
        #[test]
        fn any_bytes(v in prop::collection::vec(any::<u8>(), 0..200), kind in 30u8..41) {
            let mut n = vec![kind << 1, 1];
            n.extend(&v);
            let _ = (Sps::parse(&n), Vps::parse(&n), Hvcc::from_nals([&n[..]]), is_irap(&n), captions(&n));
            n[0] = 1;
            if let Ok(c) = Hvcc::parse(&n.into()) {
                prop_assert_eq!(Hvcc::parse(&c.build()).unwrap(), c);
            }
        }

        #[test]
        fn changed_records(i in 0usize..RECORDS.len(), at in 0usize..120, bit in 0u8..8) {
            let mut v = hex(RECORDS[i].0).to_vec();
            if let Some(b) = v.get_mut(at) {
                *b ^= 1 << bit;
            }
            if let Ok(c) = Hvcc::parse(&v.into()) {
                c.first_sps();
            }
        }
    }
}
