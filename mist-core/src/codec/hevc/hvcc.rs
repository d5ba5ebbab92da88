//! Decoder configuration of HEVC: ISO/IEC 14496-15 §8.3.3.

use super::{Profile, Sps, nal};
use crate::bits::BitReader;
use crate::codec::CodecError;
use crate::codec::limits::{MAX_HEADER_LEN, MAX_PARAMETER_SETS};
use bytes::{BufMut, Bytes, BytesMut};
use smallvec::SmallVec;

/// NAL units of one type in a [`Hvcc`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NalArray {
    /// All units of this type are here, none in the payload.
    pub complete: bool,
    /// NAL unit type.
    pub kind: u8,
    /// The units.
    pub nals: Vec<Bytes>,
}

/// Decoder configuration record of HEVC, the body of an `hvcC` box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hvcc {
    /// Profile, tier and level.
    pub profile: Profile,
    /// min_spatial_segmentation_idc.
    pub min_spatial_segmentation: u16,
    /// 0 unknown, 1 slices, 2 tiles, 3 wavefronts.
    pub parallelism: u8,
    /// chroma_format_idc.
    pub chroma_format: u8,
    /// Bits of a luma sample.
    pub bit_depth_luma: u8,
    /// Bits of a chroma sample.
    pub bit_depth_chroma: u8,
    /// Frames in 256 seconds; 0 unknown.
    pub avg_frame_rate: u16,
    /// 1 constant, 2 each temporal layer constant, 0 unknown.
    pub constant_frame_rate: u8,
    /// Temporal sub-layers; 0 unknown.
    pub temporal_layers: u8,
    /// Each temporal layer can be switched to everywhere.
    pub temporal_nesting: bool,
    /// Bytes of a NAL unit length in the payload: 1 to 4. mist's canonical form has 4.
    pub length_size: u8,
    /// Parameter sets and SEI by type.
    pub arrays: SmallVec<[NalArray; 3]>,
}

impl Hvcc {
    /// Parses the record; its parameter sets share memory with `data`. Empty units are left out, bytes after
    /// the record are ignored. Version 0, which early writers put down, is accepted.
    ///
    /// # Errors
    /// Another version, too many units, or it ends early.
    pub fn parse(data: &Bytes) -> Result<Self, CodecError> {
        let Some((head, mut at)) = data.split_first_chunk::<23>() else {
            return Err(CodecError::truncated("hvcC"));
        };
        let r = &mut BitReader::new(head);
        if r.byte()? > 1 {
            return Err(CodecError::malformed("hvcC version"));
        }
        let mut profile = Profile::read_general(r)?;
        profile.level = r.byte()?;
        r.skip(4)?;
        let min_spatial_segmentation = r.bits(12)? as u16;
        r.skip(6)?;
        let parallelism = r.bits(2)? as u8;
        r.skip(6)?;
        let chroma_format = r.bits(2)? as u8;
        r.skip(5)?;
        let bit_depth_luma = r.bits(3)? as u8 + 8;
        r.skip(5)?;
        let bit_depth_chroma = r.bits(3)? as u8 + 8;
        let avg_frame_rate = r.bits(16)? as u16;
        let constant_frame_rate = r.bits(2)? as u8;
        let temporal_layers = r.bits(3)? as u8;
        let temporal_nesting = r.flag()?;
        let length_size = r.bits(2)? as u8 + 1;
        let count = r.byte()?;
        let mut arrays: SmallVec<[NalArray; 3]> = SmallVec::new();
        let mut total = 0;
        for _ in 0..count {
            let Some((&[kind, hi, lo], rest)) = at.split_first_chunk() else {
                return Err(CodecError::truncated("hvcC array"));
            };
            at = rest;
            let mut nals = Vec::new();
            for _ in 0..u16::from_be_bytes([hi, lo]) {
                let n = crate::codec::take_u16_prefixed(&mut at, "hvcC parameter set")?;
                if !n.is_empty() {
                    total += 1;
                    if total > MAX_PARAMETER_SETS {
                        return Err(CodecError::limit("hvcC parameter sets"));
                    }
                    nals.push(data.slice_ref(n));
                }
            }
            arrays.push(NalArray { complete: kind & 0x80 != 0, kind: kind & 0x3f, nals });
        }
        Ok(Self {
            profile,
            min_spatial_segmentation,
            parallelism,
            chroma_format,
            bit_depth_luma,
            bit_depth_chroma,
            avg_frame_rate,
            constant_frame_rate,
            temporal_layers,
            temporal_nesting,
            length_size,
            arrays,
        })
    }

    /// The record for parameter set NAL units, with 4-byte lengths. Units of other types are ignored and the
    /// same unit twice counts once.
    ///
    /// # Errors
    /// No readable SPS, or no VPS or PPS among them, or too many.
    pub fn from_nals<'a>(nals: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, CodecError> {
        let (mut vps, mut sps, mut pps) = (Vec::new(), Vec::new(), Vec::new());
        let mut first: Option<Sps> = None;
        for n in nals {
            if n.len() > MAX_HEADER_LEN {
                return Err(CodecError::limit("parameter set length"));
            }
            let list = match nal::kind(n) {
                nal::VPS => &mut vps,
                nal::SPS => {
                    if nal::layer(n) == 0 && first.is_none() {
                        first = Some(Sps::parse(n)?);
                    }
                    &mut sps
                }
                nal::PPS => &mut pps,
                _ => continue,
            };
            if !list.iter().any(|x: &Bytes| x == n) {
                if list.len() >= MAX_PARAMETER_SETS {
                    return Err(CodecError::limit("parameter sets"));
                }
                list.push(Bytes::copy_from_slice(n));
            }
        }
        let Some(s) = first else { return Err(CodecError::truncated("no SPS")) };
        if vps.is_empty() || pps.is_empty() {
            return Err(CodecError::truncated("no VPS or PPS"));
        }
        let array = |kind, nals| NalArray { complete: true, kind, nals };
        Ok(Self {
            profile: s.profile,
            min_spatial_segmentation: s.min_spatial_segmentation,
            parallelism: 0,
            chroma_format: s.chroma_format,
            bit_depth_luma: s.bit_depth_luma,
            bit_depth_chroma: s.bit_depth_chroma,
            avg_frame_rate: 0,
            constant_frame_rate: 0,
            temporal_layers: s.temporal_layers,
            temporal_nesting: s.temporal_nesting,
            length_size: 4,
            arrays: SmallVec::from_iter([array(nal::VPS, vps), array(nal::SPS, sps), array(nal::PPS, pps)]),
        })
    }

    /// Writes the record. Units over 65535 bytes, which the record can't express, are left out.
    pub fn build(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(160);
        let p = &self.profile;
        out.put_u8(1);
        out.put_u8(((p.space & 3) << 6) | (u8::from(p.high_tier) << 5) | (p.idc & 0x1f));
        out.put_u32(p.compat);
        out.put_uint(p.constraints & 0xffff_ffff_ffff, 6);
        out.put_u8(p.level);
        out.put_u16(0xf000 | (self.min_spatial_segmentation & 0xfff));
        let depth = |d: u8| 0xf8 | (d.wrapping_sub(8) & 7);
        out.put_u8(0xfc | (self.parallelism & 3));
        out.put_u8(0xfc | (self.chroma_format & 3));
        out.put_u8(depth(self.bit_depth_luma));
        out.put_u8(depth(self.bit_depth_chroma));
        out.put_u16(self.avg_frame_rate);
        out.put_u8(
            ((self.constant_frame_rate & 3) << 6)
                | ((self.temporal_layers & 7) << 3)
                | (u8::from(self.temporal_nesting) << 2)
                | (self.length_size.clamp(1, 4) - 1),
        );
        out.put_u8(self.arrays.len().min(255) as u8);
        for a in self.arrays.iter().take(255) {
            out.put_u8((u8::from(a.complete) << 7) | (a.kind & 0x3f));
            let fits = || a.nals.iter().filter(|n| u16::try_from(n.len()).is_ok()).take(0xffff);
            out.put_u16(fits().count() as u16);
            for n in fits() {
                out.put_u16(n.len() as u16);
                out.put_slice(n);
            }
        }
        out.freeze()
    }

    /// The units of one type.
    pub fn of(&self, kind: u8) -> impl Iterator<Item = &Bytes> {
        self.arrays.iter().filter(move |a| a.kind == kind).flat_map(|a| &a.nals)
    }

    /// The first SPS, parsed. `None` without a readable one, as where parameter sets are in band (`hev1`).
    pub fn first_sps(&self) -> Option<Sps> {
        self.of(nal::SPS).find_map(|s| Sps::parse(s).ok())
    }

    /// The units in the order in which a decoder wants them: VPS, SPS, PPS, others.
    pub fn nals(&self) -> impl Iterator<Item = &Bytes> {
        let main = [nal::VPS, nal::SPS, nal::PPS];
        let rest = self.arrays.iter().filter(move |a| !main.contains(&a.kind)).flat_map(|a| &a.nals);
        main.into_iter().flat_map(|k| self.of(k)).chain(rest)
    }

    /// Appends the units in Annex B form.
    pub fn put_annex_b(&self, out: &mut BytesMut) {
        for n in self.nals() {
            out.put_slice(&[0, 0, 0, 1]);
            out.put_slice(n);
        }
    }
}
