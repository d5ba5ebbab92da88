//! H.264: ITU-T H.264 parameter sets and access units, ISO/IEC 14496-15 §5.3.3 decoder configuration.
//!
//! Not handled: slice data and what of slice headers isn't needed to tell pictures apart and order them, multiview extensions beyond the fields that a SPS shares with them.

use super::limits::{MAX_DIMENSION, MAX_HEADER_LEN, MAX_NALS, MAX_PARAMETER_SETS};
use super::nal::{self as units, unescape};
use super::sei::{self, Captions};
use super::{CodecError, fpks};
use crate::bits::BitReader;
use crate::media::Params;
use bytes::{BufMut, Bytes, BytesMut};
use smallvec::SmallVec;

mod slice;

pub use slice::{PicOrder, PocCounter, Pps, Slice};

/// Types of NAL units (H.264 table 7-1).
pub mod nal {
    /// Slice of a picture that isn't IDR.
    pub const SLICE: u8 = 1;
    /// Slice data partition A.
    pub const PARTITION_A: u8 = 2;
    /// Slice of an IDR picture.
    pub const IDR: u8 = 5;
    /// Supplemental enhancement information.
    pub const SEI: u8 = 6;
    /// Sequence parameter set.
    pub const SPS: u8 = 7;
    /// Picture parameter set.
    pub const PPS: u8 = 8;
    /// Access unit delimiter.
    pub const AUD: u8 = 9;
    /// End of sequence.
    pub const END_OF_SEQUENCE: u8 = 10;
    /// End of stream.
    pub const END_OF_STREAM: u8 = 11;
    /// Filler data.
    pub const FILLER: u8 = 12;
    /// Sequence parameter set extension.
    pub const SPS_EXT: u8 = 13;

    /// The type of a NAL unit; 0 (unspecified) for an empty one.
    pub fn kind(nal: &[u8]) -> u8 {
        nal.first().map_or(0, |b| b & 0x1f)
    }

    /// Whether the unit holds picture data.
    pub const fn is_picture(kind: u8) -> bool {
        matches!(kind, 1..=5)
    }
}

/// A sequence parameter set (H.264 §7.3.2.1), as far as containers and players care.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sps {
    /// profile_idc.
    pub profile: u8,
    /// The constraint flags byte.
    pub compat: u8,
    /// level_idc: 31 is level 3.1.
    pub level: u8,
    /// Number of this set, 0 to 31.
    pub id: u8,
    /// 0 monochrome, 1 4:2:0, 2 4:2:2, 3 4:4:4.
    pub chroma_format: u8,
    /// Bits of a luma sample.
    pub bit_depth_luma: u8,
    /// Bits of a chroma sample.
    pub bit_depth_chroma: u8,
    /// Bits of frame_num in slice headers.
    pub frame_num_bits: u8,
    /// How pictures are put in output order.
    pub order: PicOrder,
    /// The three colour planes are coded like pictures of their own.
    pub separate_planes: bool,
    /// Pictures the decoder keeps for reference.
    pub max_ref_frames: u32,
    /// No fields, no macroblock-adaptive coding.
    pub frames_only: bool,
    /// Width after cropping, in pixels.
    pub width: u32,
    /// Height after cropping, in pixels.
    pub height: u32,
    /// Sample aspect ratio; (1, 1) where it isn't given.
    pub sar: (u16, u16),
    /// Frames per 1000 seconds from the VUI timing; 0 where it isn't given.
    pub fpks: u32,
    /// num_units_in_tick and time_scale of the VUI, both above 0, where given: a frame lasts two ticks.
    pub timing: Option<(u32, u32)>,
    /// Frames that may precede one in decoding order and follow it in output order, where given.
    pub reorder_frames: Option<u32>,
}

const SAR: [(u16, u16); 17] = [
    (1, 1),
    (1, 1),
    (12, 11),
    (10, 11),
    (16, 11),
    (40, 33),
    (24, 11),
    (20, 11),
    (32, 11),
    (80, 33),
    (18, 11),
    (15, 11),
    (64, 33),
    (160, 99),
    (4, 3),
    (3, 2),
    (2, 1),
];

/// Reads aspect_ratio_info of a VUI, the same in H.264 and HEVC.
pub(super) fn aspect_ratio(r: &mut BitReader<'_>) -> Result<(u16, u16), CodecError> {
    if !r.flag()? {
        return Ok((1, 1));
    }
    let (w, h) = match r.byte()? {
        255 => (r.bits(16)? as u16, r.bits(16)? as u16),
        i => SAR.get(usize::from(i)).copied().unwrap_or((1, 1)),
    };
    Ok(if w == 0 || h == 0 { (1, 1) } else { (w, h) })
}

fn skip_scaling_list(r: &mut BitReader<'_>, size: u32) -> Result<(), CodecError> {
    let (mut last, mut next) = (8i32, 8i32);
    for _ in 0..size {
        if next != 0 {
            next = last.wrapping_add(r.se()?).rem_euclid(256);
        }
        if next != 0 {
            last = next;
        }
    }
    Ok(())
}

fn skip_hrd(r: &mut BitReader<'_>) -> Result<(), CodecError> {
    let count = r.ue()?;
    if count > 31 {
        return Err(CodecError::malformed("cpb_cnt_minus1"));
    }
    r.skip(8)?;
    for _ in 0..=count {
        r.ue()?;
        r.ue()?;
        r.skip(1)?;
    }
    r.skip(20)?;
    Ok(())
}

/// Checks a cropped size against the limits: (0, 0) and absurd sizes are errors.
pub(super) fn cropped(full: u64, crop: u64, what: &'static str) -> Result<u32, CodecError> {
    match full.checked_sub(crop) {
        None | Some(0) => Err(CodecError::malformed(what)),
        Some(v) => match u32::try_from(v) {
            Ok(v) if v <= MAX_DIMENSION => Ok(v),
            _ => Err(CodecError::limit(what)),
        },
    }
}

impl Sps {
    /// Parses a SPS NAL unit with its header byte. A VUI that ends too early, as some encoders write it, leaves
    /// its fields unknown.
    ///
    /// # Errors
    /// It is no SPS, ends early, or declares a size beyond [`MAX_DIMENSION`].
    pub fn parse(nal: &[u8]) -> Result<Self, CodecError> {
        if !matches!(nal::kind(nal), nal::SPS | 15) {
            return Err(CodecError::malformed("not a SPS"));
        }
        if nal.len() > MAX_HEADER_LEN {
            return Err(CodecError::limit("SPS length"));
        }
        let rbsp = unescape(nal.get(1..).unwrap_or_default());
        let r = &mut BitReader::new(&rbsp);
        let (profile, compat, level) = (r.byte()?, r.byte()?, r.byte()?);
        let id = r.ue()?;
        if id > 31 {
            return Err(CodecError::malformed("seq_parameter_set_id"));
        }
        let (mut chroma, mut luma_depth, mut chroma_depth) = (1, 8, 8);
        let mut separate = false;
        if matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135) {
            chroma = r.ue()?;
            if chroma > 3 {
                return Err(CodecError::malformed("chroma_format_idc"));
            }
            separate = chroma == 3 && r.flag()?;
            let (l, c) = (r.ue()?, r.ue()?);
            if l > 6 || c > 6 {
                return Err(CodecError::malformed("bit depth"));
            }
            (luma_depth, chroma_depth) = (8 + l as u8, 8 + c as u8);
            r.skip(1)?;
            if r.flag()? {
                for i in 0..if chroma == 3 { 12 } else { 8 } {
                    if r.flag()? {
                        skip_scaling_list(r, if i < 6 { 16 } else { 64 })?;
                    }
                }
            }
        }
        let frame_num = r.ue()?;
        if frame_num > 12 {
            return Err(CodecError::malformed("log2_max_frame_num_minus4"));
        }
        let order = PicOrder::read(r)?;
        let max_ref_frames = r.ue()?;
        if max_ref_frames > 16 {
            return Err(CodecError::malformed("max_num_ref_frames"));
        }
        r.skip(1)?;
        let mbs_wide = u64::from(r.ue()?) + 1;
        let map_high = u64::from(r.ue()?) + 1;
        let frames_only = r.flag()?;
        if !frames_only {
            r.skip(1)?;
        }
        r.skip(1)?;
        let mut crop = [0u64; 4];
        if r.flag()? {
            for c in &mut crop {
                *c = r.ue()?.into();
            }
        }
        let [left, right, top, bottom] = crop;
        let fields = if frames_only { 1 } else { 2 };
        let array = if separate { 0 } else { chroma };
        let (unit_x, unit_y) = match array {
            1 => (2, 2),
            2 => (2, 1),
            _ => (1, 1),
        };
        let mut sps = Self {
            profile,
            compat,
            level,
            id: id as u8,
            chroma_format: chroma as u8,
            bit_depth_luma: luma_depth,
            bit_depth_chroma: chroma_depth,
            frame_num_bits: frame_num as u8 + 4,
            order,
            separate_planes: separate,
            max_ref_frames,
            frames_only,
            width: cropped(mbs_wide * 16, (left + right) * unit_x, "SPS width")?,
            height: cropped(map_high * 16 * fields, (top + bottom) * unit_y * fields, "SPS height")?,
            sar: (1, 1),
            fpks: 0,
            timing: None,
            reorder_frames: None,
        };
        if r.flag()? {
            // Trouble in the VUI isn't fatal: the picture decodes without it.
            let _ = sps.vui(r);
        }
        Ok(sps)
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
        if r.flag()? {
            let (tick, scale) = (r.bits(32)?, r.bits(32)?);
            r.skip(1)?;
            self.fpks = fpks(scale, u64::from(tick) * 2);
            self.timing = (tick > 0 && scale > 0).then_some((tick, scale));
        }
        let nal_hrd = r.flag()?;
        if nal_hrd {
            skip_hrd(r)?;
        }
        let vcl_hrd = r.flag()?;
        if vcl_hrd {
            skip_hrd(r)?;
        }
        if nal_hrd || vcl_hrd {
            r.skip(1)?;
        }
        r.skip(1)?;
        if r.flag()? {
            r.skip(1)?;
            for _ in 0..4 {
                r.ue()?;
            }
            let n = r.ue()?;
            self.reorder_frames = (n <= 16).then_some(n);
        }
        Ok(())
    }

    /// What players need to know.
    pub fn params(&self) -> Params {
        Params::Video { width: self.width, height: self.height, fpks: self.fpks }
    }
}

/// What high profiles add to [`Avcc`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HighExt {
    /// chroma_format_idc.
    pub chroma_format: u8,
    /// Bits of a luma sample.
    pub bit_depth_luma: u8,
    /// Bits of a chroma sample.
    pub bit_depth_chroma: u8,
    /// SPS extension NAL units.
    pub sps_ext: Vec<Bytes>,
}

/// Decoder configuration record of H.264, the body of an `avcC` box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Avcc {
    /// profile_idc.
    pub profile: u8,
    /// The constraint flags byte.
    pub compat: u8,
    /// level_idc.
    pub level: u8,
    /// Bytes of a NAL unit length in the payload: 1 to 4. mist's canonical form has 4.
    pub length_size: u8,
    /// SPS NAL units.
    pub sps: SmallVec<[Bytes; 1]>,
    /// PPS NAL units.
    pub pps: SmallVec<[Bytes; 1]>,
    /// Present for high profiles, though many writers leave it out.
    pub ext: Option<HighExt>,
}

fn read_sets(at: &mut &[u8], from: &Bytes, count: u8) -> Result<SmallVec<[Bytes; 1]>, CodecError> {
    let mut out = SmallVec::new();
    for _ in 0..count {
        let nal = super::take_u16_prefixed(at, "avcC parameter set")?;
        if !nal.is_empty() {
            if out.len() >= MAX_PARAMETER_SETS {
                return Err(CodecError::limit("avcC parameter sets"));
            }
            out.push(from.slice_ref(nal));
        }
    }
    Ok(out)
}

fn has_ext(profile: u8) -> bool {
    !matches!(profile, 66 | 77 | 88)
}

impl Avcc {
    /// Parses the record; its parameter sets share memory with `data`. Empty parameter sets are left out, bytes
    /// after the record are ignored.
    ///
    /// # Errors
    /// Another version, or it ends early.
    pub fn parse(data: &Bytes) -> Result<Self, CodecError> {
        let Some((&[version, profile, compat, level, size, sps_count], mut at)) = data.split_first_chunk()
        else {
            return Err(CodecError::truncated("avcC"));
        };
        if version != 1 {
            return Err(CodecError::malformed("avcC version"));
        }
        let sps = read_sets(&mut at, data, sps_count & 0x1f)?;
        let (&pps_count, rest) = at.split_first().ok_or(CodecError::truncated("avcC"))?;
        at = rest;
        let pps = read_sets(&mut at, data, pps_count)?;
        let mut ext = None;
        if let (true, Some((&[chroma, luma, chroma_depth, count], rest))) =
            (has_ext(profile), at.split_first_chunk())
        {
            at = rest;
            // Broken bytes behind a complete record of 2003 aren't worth a failure.
            if let Ok(sets) = read_sets(&mut at, data, count) {
                ext = Some(HighExt {
                    chroma_format: chroma & 3,
                    bit_depth_luma: (luma & 7) + 8,
                    bit_depth_chroma: (chroma_depth & 7) + 8,
                    sps_ext: sets.into_vec(),
                });
            }
        }
        Ok(Self { profile, compat, level, length_size: (size & 3) + 1, sps, pps, ext })
    }

    /// The record for parameter set NAL units, with 4-byte lengths. Units of other types are ignored, the same
    /// unit twice counts once, and of two with the same number the later one counts.
    ///
    /// # Errors
    /// No readable SPS or no PPS among them, or too many.
    pub fn from_nals<'a>(nals: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, CodecError> {
        let mut sps: SmallVec<[(u8, Sps, Bytes); 1]> = SmallVec::new();
        let mut pps: SmallVec<[(u8, Bytes); 1]> = SmallVec::new();
        let mut sps_ext = Vec::new();
        for n in nals {
            if n.len() > MAX_HEADER_LEN {
                return Err(CodecError::limit("parameter set length"));
            }
            match nal::kind(n) {
                nal::SPS => {
                    let s = Sps::parse(n)?;
                    sps.retain(|x| x.0 != s.id);
                    sps.push((s.id, s, Bytes::copy_from_slice(n)));
                }
                nal::PPS => {
                    let p = Pps::parse(n)?;
                    pps.retain(|x| x.0 != p.id);
                    pps.push((p.id, Bytes::copy_from_slice(n)));
                }
                nal::SPS_EXT if !sps_ext.iter().any(|e| e == n) => sps_ext.push(Bytes::copy_from_slice(n)),
                _ => {}
            }
            // 31 SPS is all that the record can count.
            if sps.len() > 31 || pps.len() > MAX_PARAMETER_SETS || sps_ext.len() > MAX_PARAMETER_SETS {
                return Err(CodecError::limit("parameter sets"));
            }
        }
        let Some((_, first, _)) = sps.first() else { return Err(CodecError::truncated("no SPS")) };
        if pps.is_empty() {
            return Err(CodecError::truncated("no PPS"));
        }
        let ext = has_ext(first.profile).then(|| HighExt {
            chroma_format: first.chroma_format,
            bit_depth_luma: first.bit_depth_luma,
            bit_depth_chroma: first.bit_depth_chroma,
            sps_ext,
        });
        Ok(Self {
            profile: first.profile,
            compat: first.compat,
            level: first.level,
            length_size: 4,
            ext,
            sps: sps.into_iter().map(|x| x.2).collect(),
            pps: pps.into_iter().map(|x| x.1).collect(),
        })
    }

    /// Writes the record. Sets beyond 31 SPS, 255 PPS or 65535 bytes, which the record can't express, are left
    /// out.
    pub fn build(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(64);
        let size = self.length_size.clamp(1, 4) - 1;
        out.put_slice(&[1, self.profile, self.compat, self.level, 0xfc | size]);
        put_sets(&mut out, &self.sps, 31, 0xe0);
        put_sets(&mut out, &self.pps, 255, 0);
        if let Some(e) = &self.ext {
            let depth = |d: u8| 0xf8 | (d.wrapping_sub(8) & 7);
            out.put_slice(&[
                0xfc | (e.chroma_format & 3),
                depth(e.bit_depth_luma),
                depth(e.bit_depth_chroma),
            ]);
            put_sets(&mut out, &e.sps_ext, 255, 0);
        }
        out.freeze()
    }

    /// The first SPS, parsed. `None` without a readable one, as where parameter sets are in band (`avc3`).
    pub fn first_sps(&self) -> Option<Sps> {
        self.sps.iter().find_map(|s| Sps::parse(s).ok())
    }

    /// The parameter sets in the order in which a decoder wants them.
    pub fn nals(&self) -> impl Iterator<Item = &Bytes> {
        let ext = self.ext.iter().flat_map(|e| &e.sps_ext);
        self.sps.iter().chain(ext).chain(&self.pps)
    }

    /// Appends the parameter sets in Annex B form.
    pub fn put_annex_b(&self, out: &mut BytesMut) {
        for n in self.nals() {
            out.put_slice(&[0, 0, 0, 1]);
            out.put_slice(n);
        }
    }
}

fn put_sets(out: &mut BytesMut, sets: &[Bytes], max: usize, bits: u8) {
    let fits = || sets.iter().filter(|s| u16::try_from(s.len()).is_ok()).take(max);
    out.put_u8(bits | u8::try_from(fits().count()).unwrap_or(u8::MAX));
    for s in fits() {
        out.put_u16(s.len() as u16);
        out.put_slice(s);
    }
}

fn looked_at(au: &[u8]) -> impl Iterator<Item = &[u8]> {
    units::units(au).take(MAX_NALS)
}

/// Whether an access unit in canonical form is an IDR picture: decoding can start there.
pub fn is_idr(au: &[u8]) -> bool {
    looked_at(au).map(nal::kind).find(|&k| nal::is_picture(k)) == Some(nal::IDR)
}

/// Frames until the picture is right when decoding starts at this access unit (recovery_frame_cnt of a
/// recovery point SEI, H.264 §D.2.8). `None` where decoding can't start.
pub fn recovery_point(au: &[u8]) -> Option<u32> {
    for n in looked_at(au) {
        let k = nal::kind(n);
        if nal::is_picture(k) {
            return None;
        }
        if k == nal::SEI {
            let mut m = sei::messages(n.get(1..)?);
            while let Some((kind, data)) = m.next_message() {
                if kind == sei::RECOVERY_POINT {
                    return BitReader::new(data).ue().ok();
                }
            }
        }
    }
    None
}

/// Whether all slices of an access unit are I or SI slices. For streams that have neither IDR pictures nor
/// recovery points this is the best place to start.
pub fn is_intra(au: &[u8]) -> bool {
    let mut any = false;
    for n in looked_at(au) {
        if matches!(nal::kind(n), nal::SLICE | nal::PARTITION_A | nal::IDR) {
            any = true;
            // first_mb_in_slice and slice_type are within the first bytes.
            let head = unescape(n.get(1..n.len().min(16)).unwrap_or_default());
            let mut r = BitReader::new(&head);
            let kind = r.ue().and_then(|_| r.ue());
            if !matches!(kind, Ok(2 | 4 | 7 | 9)) {
                return false;
            }
        }
    }
    any
}

/// The closed captions that the SEI of an access unit carry.
pub fn captions(au: &[u8]) -> Captions {
    looked_at(au)
        .filter(|n| nal::kind(n) == nal::SEI)
        .fold(Captions::default(), |c, n| c.or(sei::captions(n.get(1..).unwrap_or_default())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bits::BitWriter;
    use crate::codec::CodecErrorKind;
    use proptest::prelude::*;

    fn hex(s: &str) -> Bytes {
        let nibble = |c: u8| (c as char).to_digit(16).unwrap() as u8;
        s.as_bytes().chunks(2).map(|p| (nibble(p[0]) << 4) | nibble(p[1])).collect()
    }

    /// Records of real files: (avcC, profile, width, height, frames per 1000 s).
    const RECORDS: &[(&str, u8, u32, u32, u32)] = &[
        (
            "0164001fffe1001d6764001facd900c8146ffc010000b440000003004000000f23c60c658001000568ef9cb22cfdf8f800",
            100,
            800,
            640,
            30_000,
        ),
        (
            "0142c028ffe100196742c028d900780227e584000003000400000300f03c60c92001000568cb83cb20",
            66,
            1920,
            1080,
            30_000,
        ),
        (
            "01f40016ffe1001a67f40016919b2816024d80880000030008000003001078b16cb001000568ebe3c448",
            244,
            704,
            576,
            1000,
        ),
        (
            "0164001ffde100196764001facd9404405be5f011000003e90000ea600f183196001000668ebe3cb22c0",
            100,
            1080,
            720,
            29_970,
        ),
        (
            "0164001effe100226764001eacd940d83de6fff050005016a02020280000030008000003019078b16cb001000568ef8672c0fdf8f800",
            100,
            854,
            480,
            25_000,
        ),
    ];

    #[test]
    fn real_records() {
        for &(h, profile, width, height, fpks) in RECORDS {
            let b = hex(h);
            let c = Avcc::parse(&b).unwrap();
            let s = c.first_sps().unwrap();
            assert_eq!((c.profile, s.params()), (profile, Params::Video { width, height, fpks }));
            assert_eq!(c.build(), b, "written as it was read");
            assert_eq!(Pps::parse(&c.pps[0]).unwrap().sps, s.id);
            let again = Avcc::from_nals(c.nals().map(|n| &n[..])).unwrap();
            assert_eq!((&again.sps, &again.pps, again.length_size), (&c.sps, &c.pps, 4));
            assert_eq!(Avcc::parse(&again.build()).unwrap(), again);
            for n in 0..b.len() {
                let _ = Avcc::parse(&b.slice(..n)).map(|c| c.first_sps());
            }
            assert!((0..c.sps[0].len() - 12).all(|n| Avcc::parse(&b.slice(..8 + n)).is_err()));
            assert!((0..8).all(|n| Sps::parse(&c.sps[0][..n]).is_err()));
        }
    }

    fn sps(width_mbs: u32, ref_frames: u32, crop_right: u32) -> Bytes {
        let mut w = BitWriter::new();
        w.bits(0x67_42_00_1e, 32);
        for v in [0, 0, 2, ref_frames] {
            w.ue(v);
        }
        w.flag(false);
        w.ue(width_mbs - 1);
        w.ue(35);
        w.bits(0b111, 3);
        for v in [0, crop_right, 0, 0] {
            w.ue(v);
        }
        w.bits(0b01, 2);
        units::escape(&w.finish()).into_owned().into()
    }

    #[test]
    fn hostile_parameter_sets() {
        let kind = |b: Bytes| Sps::parse(&b).map(|s| s.width).map_err(|e| e.kind);
        assert_eq!(kind(sps(45, 4, 0)), Ok(720));
        assert_eq!(kind(sps(45, 4, 2)), Ok(716));
        assert_eq!(kind(sps(1024, 4, 0)), Ok(16_384), "the limit itself");
        assert_eq!(kind(sps(1025, 4, 0)), Err(CodecErrorKind::Limit));
        assert_eq!(kind(sps(u32::MAX - 1, 4, 0)), Err(CodecErrorKind::Limit));
        assert_eq!(kind(sps(45, 4, 360)), Err(CodecErrorKind::Malformed), "nothing left");
        assert_eq!(kind(sps(45, 4, u32::MAX - 1)), Err(CodecErrorKind::Malformed));
        assert_eq!(kind(sps(45, 1 << 31, 0)), Err(CodecErrorKind::Malformed));
        let mut long = sps(45, 4, 0).to_vec();
        long.resize(MAX_HEADER_LEN, 1);
        assert!(Sps::parse(&long).is_ok());
        long.push(1);
        assert_eq!(kind(long.into()), Err(CodecErrorKind::Limit));
        // 31 SPS of length 0, as an attacker sends.
        let mut empty = vec![1, 66, 0, 30, 0xff, 0xff];
        empty.extend([0; 62]);
        empty.push(0);
        let c = Avcc::parse(&empty.into()).unwrap();
        assert!(c.sps.is_empty() && c.first_sps().is_none());
        let many: Vec<Vec<u8>> = (0..=255u16)
            .map(|i| {
                let mut w = BitWriter::new();
                w.bits(0x68, 8);
                w.ue(i.into());
                w.bits(0b1_1000, 5);
                w.finish().to_vec()
            })
            .collect();
        let first = sps(45, 4, 0);
        let nals = std::iter::once(&first[..]).chain(many.iter().map(|n| &n[..]));
        assert_eq!(Avcc::from_nals(nals).unwrap_err().kind, CodecErrorKind::Limit);
    }

    #[test]
    fn facts_of_access_units() {
        let unit = |nals: &[&[u8]]| {
            let mut out = BytesMut::new();
            nals.iter().for_each(|n| units::put_unit(&mut out, n));
            out.freeze()
        };
        let recovery: &[u8] = &[0x06, 0x06, 0x01, 0xc4, 0x80];
        let idr = unit(&[recovery, &[0x65, 0x88, 0x80]]);
        let i = unit(&[recovery, &[0x41, 0x88, 0x80], &[0x41, 0x88, 0x80]]);
        let p = unit(&[&[0x41, 0x9a, 0x00]]);
        assert_eq!([&idr, &i, &p].map(|u| is_idr(u)), [true, false, false]);
        assert_eq!([&idr, &i, &p].map(|u| is_intra(u)), [true, true, false]);
        assert_eq!([&i, &p].map(|u| recovery_point(u)), [Some(0), None]);
        let idr_unit: &[u8] = &[0x65, 0x88];
        for (fill, want) in [(MAX_NALS - 1, true), (MAX_NALS, false)] {
            let mut nals = vec![&[nal::FILLER, 0xff][..]; fill];
            nals.push(idr_unit);
            assert_eq!(is_idr(&unit(&nals)), want, "units behind the limit aren't looked at");
        }
        let mixed = unit(&[&[0x41, 0x88, 0x80], &[0x41, 0x9a, 0x00]]);
        assert!(!is_intra(&mixed) && !is_intra(&[]));
        let sei = [&[0x06, 4, 14][..], b"\xb5\x00\x31GA94\x03\x41\xff\xfc\x94\x20\xff", &[0x80]].concat();
        assert!(captions(&unit(&[&sei, &[0x41, 0x9a]])).cea608);
    }

    proptest! {
        #[test]
        fn any_bytes(v in prop::collection::vec(any::<u8>(), 0..150), kind in 5u8..16) {
            let mut n = vec![0x60 | kind, 100, 0, 31];
            n.extend(&v);
            let _ = (Sps::parse(&n), Pps::parse(&n), Avcc::from_nals([&n[..]]));
            n[0] = 1;
            let b = Bytes::from(n);
            if let Ok(c) = Avcc::parse(&b) {
                let again = Avcc::parse(&c.build()).unwrap();
                prop_assert_eq!((again.sps, again.pps), (c.sps, c.pps));
            }
            let _ = (is_idr(&b), is_intra(&b), recovery_point(&b), captions(&b));
        }

        #[test]
        fn changed_records(i in 0usize..RECORDS.len(), at in 0usize..60, bit in 0u8..8) {
            let mut v = hex(RECORDS[i].0).to_vec();
            if let Some(b) = v.get_mut(at) {
                *b ^= 1 << bit;
            }
            if let Ok(c) = Avcc::parse(&v.into()) {
                c.first_sps();
            }
        }
    }
}
