//! What tells pictures apart and puts them in order: picture parameter sets and slice headers (H.264 §7.3.2.2 and
//! §7.3.3) as far as that needs them, and picture order counts (§8.2.1).
//!
//! Left out: memory management control operation 5, which starts picture order anew without an IDR picture.

use super::super::CodecError;
use super::super::nal::unescape;
use super::{Sps, nal};
use crate::bits::BitReader;
use smallvec::SmallVec;

/// How an SPS says that pictures are put in output order (pic_order_cnt_type).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PicOrder {
    /// Type 0: slice headers have the low bits of the count.
    Lsb {
        /// How many, 4 to 16.
        bits: u8,
    },
    /// Type 1: an expected course, from which slice headers tell the difference.
    Cycle {
        /// There is never a difference.
        exact: bool,
        /// What a picture that isn't for reference adds.
        non_ref: i32,
        /// From the top field to the bottom one.
        to_bottom: i32,
        /// What each picture for reference adds, over and over.
        offsets: SmallVec<[i32; 4]>,
    },
    /// Type 2: output is in decoding order.
    Decoding,
}

impl PicOrder {
    pub(super) fn read(r: &mut BitReader<'_>) -> Result<Self, CodecError> {
        Ok(match r.ue()? {
            0 => match r.ue()? {
                n @ 0..=12 => Self::Lsb { bits: n as u8 + 4 },
                _ => return Err(CodecError::malformed("log2_max_pic_order_cnt_lsb_minus4")),
            },
            1 => {
                let (exact, non_ref, to_bottom) = (r.flag()?, r.se()?, r.se()?);
                let n = r.ue()?;
                if n > 255 {
                    return Err(CodecError::malformed("num_ref_frames_in_pic_order_cnt_cycle"));
                }
                let offsets = (0..n).map(|_| r.se()).collect::<Result<_, _>>()?;
                Self::Cycle { exact, non_ref, to_bottom, offsets }
            }
            2 => Self::Decoding,
            _ => return Err(CodecError::malformed("pic_order_cnt_type")),
        })
    }
}

/// A picture parameter set (H.264 §7.3.2.2), as far as slice headers need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pps {
    /// Number of this set.
    pub id: u8,
    /// Number of the SPS that it refers to.
    pub sps: u8,
    /// CABAC rather than CAVLC.
    pub cabac: bool,
    /// Slice headers have more about the order of fields (bottom_field_pic_order_in_frame_present_flag).
    pub order_present: bool,
    /// Slice headers tell redundant pictures (redundant_pic_cnt_present_flag).
    pub redundant: bool,
}

impl Pps {
    /// Parses a PPS NAL unit with its header byte. Trouble behind `order_present` leaves `redundant` false.
    ///
    /// # Errors
    /// It is no PPS, ends early or has numbers out of range.
    pub fn parse(nal: &[u8]) -> Result<Self, CodecError> {
        if nal::kind(nal) != nal::PPS {
            return Err(CodecError::malformed("not a PPS"));
        }
        // What is read is at the front; scaling matrices behind it can be long.
        let head = nal.get(1..nal.len().min(512)).unwrap_or_default();
        let rbsp = unescape(head);
        let r = &mut BitReader::new(&rbsp);
        let (id, sps) = (r.ue()?, r.ue()?);
        let (Ok(id), Ok(sps @ 0..=31)) = (u8::try_from(id), u8::try_from(sps)) else {
            return Err(CodecError::malformed("PPS number"));
        };
        let cabac = r.flag()?;
        let order_present = r.flag().unwrap_or(false);
        let redundant = Self::redundant(r).unwrap_or(false);
        Ok(Self { id, sps, cabac, order_present, redundant })
    }

    fn redundant(r: &mut BitReader<'_>) -> Result<bool, CodecError> {
        let groups = r.ue()?;
        if groups > 7 {
            return Err(CodecError::malformed("num_slice_groups_minus1"));
        }
        if groups > 0 {
            match r.ue()? {
                0 => (0..=groups).try_for_each(|_| r.ue().map(drop))?,
                2 => (0..groups * 2).try_for_each(|_| r.ue().map(drop))?,
                3..=5 => {
                    r.skip(1)?;
                    r.ue()?;
                }
                6 => {
                    let units = r.ue()? as usize + 1;
                    let bits = (groups + 1).next_power_of_two().trailing_zeros() as usize;
                    r.skip(units.saturating_mul(bits))?;
                }
                _ => {}
            }
        }
        r.ue()?;
        r.ue()?;
        r.skip(3)?;
        for _ in 0..3 {
            r.se()?;
        }
        r.skip(2)?;
        Ok(r.flag()?)
    }
}

/// The beginning of a slice header (H.264 §7.3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Slice {
    /// The picture is for reference.
    pub reference: bool,
    /// The picture is an IDR picture.
    pub idr: bool,
    /// Number of the first macroblock; 0 begins a picture unless slices come in any order.
    pub first_mb: u32,
    /// Number of the PPS.
    pub pps: u8,
    /// frame_num.
    pub frame_num: u32,
    /// For one field of a frame: whether it is the bottom one.
    pub field: Option<bool>,
    /// The picture is a copy for the case that the primary one is lost.
    pub redundant: bool,
    idr_id: u32,
    lsb: u32,
    delta_bottom: i32,
    delta: [i32; 2],
}

impl Slice {
    /// Parses the header of a slice or of data partition A, with its NAL unit's header byte. `sets` finds a PPS by its
    /// number, and the SPS that it refers to.
    ///
    /// # Errors
    /// It is none, ends early, or its parameter sets aren't there.
    pub fn parse<'a>(
        nal: &[u8],
        sets: impl FnOnce(u8) -> Option<(&'a Sps, &'a Pps)>,
    ) -> Result<Self, CodecError> {
        let kind = nal::kind(nal);
        if !matches!(kind, nal::SLICE | nal::PARTITION_A | nal::IDR) {
            return Err(CodecError::malformed("not a slice"));
        }
        let rbsp = unescape(nal.get(1..nal.len().min(64)).unwrap_or_default());
        let r = &mut BitReader::new(&rbsp);
        let first_mb = r.ue()?;
        r.ue()?;
        let pps = u8::try_from(r.ue()?).map_err(|_| CodecError::malformed("PPS number"))?;
        let (sps, set) = sets(pps).ok_or(CodecError::malformed("slice without its parameter sets"))?;
        if sps.separate_planes {
            r.skip(2)?;
        }
        let frame_num = r.bits(sps.frame_num_bits.into())?;
        let mut field = None;
        if !sps.frames_only && r.flag()? {
            field = Some(r.flag()?);
        }
        let idr = kind == nal::IDR;
        let idr_id = if idr { r.ue()? } else { 0 };
        let (mut lsb, mut delta_bottom, mut delta) = (0, 0, [0; 2]);
        let whole = set.order_present && field.is_none();
        match &sps.order {
            PicOrder::Lsb { bits } => {
                lsb = r.bits((*bits).into())?;
                if whole {
                    delta_bottom = r.se()?;
                }
            }
            PicOrder::Cycle { exact: false, .. } => {
                delta = [r.se()?, if whole { r.se()? } else { 0 }];
            }
            _ => {}
        }
        let redundant = set.redundant && r.ue()? > 0;
        let reference = nal.first().is_some_and(|b| b & 0x60 != 0);
        Ok(Self {
            reference,
            idr,
            first_mb,
            pps,
            frame_num,
            field,
            redundant,
            idr_id,
            lsb,
            delta_bottom,
            delta,
        })
    }

    /// Whether two slices that follow one another belong to the same primary coded picture, or to a redundant one
    /// of the same access unit (§7.4.1.2.4).
    pub fn same_picture(&self, o: &Self) -> bool {
        self.frame_num == o.frame_num
            && self.pps_matters(o)
            && self.field == o.field
            && self.reference == o.reference
            && self.idr == o.idr
            && self.idr_id == o.idr_id
            && (self.lsb, self.delta_bottom, self.delta) == (o.lsb, o.delta_bottom, o.delta)
    }

    /// Another PPS begins another picture, except in a redundant one.
    fn pps_matters(&self, o: &Self) -> bool {
        self.pps == o.pps || self.redundant || o.redundant
    }
}

/// Counts pictures in output order (H.264 §8.2.1).
#[derive(Debug, Clone, Copy, Default)]
pub struct PocCounter {
    msb: i64,
    lsb: i64,
    frame_num: i64,
    offset: i64,
}

impl PocCounter {
    /// The picture order count of the picture that begins with this slice, of a frame that of its earlier field.
    /// Counts are in order only up to the next IDR picture, whose own is about 0.
    pub fn next(&mut self, sps: &Sps, s: &Slice) -> i64 {
        if s.idr {
            *self = Self::default();
        }
        let frame_num = i64::from(s.frame_num);
        let wrapped = self.frame_num > frame_num;
        let span = 1i64 << sps.frame_num_bits.min(16);
        let offset = if wrapped { self.offset.saturating_add(span) } else { self.offset };
        (self.frame_num, self.offset) = (frame_num, offset);
        let [delta0, delta1] = s.delta.map(i64::from);
        let (top, bottom) = match &sps.order {
            PicOrder::Lsb { bits } => {
                let (span, lsb) = (1i64 << bits, i64::from(s.lsb));
                let msb = if lsb < self.lsb && self.lsb - lsb >= span / 2 {
                    self.msb.saturating_add(span)
                } else if lsb > self.lsb && lsb - self.lsb > span / 2 {
                    self.msb.saturating_sub(span)
                } else {
                    self.msb
                };
                if s.reference {
                    (self.msb, self.lsb) = (msb, lsb);
                }
                let top = msb.saturating_add(lsb);
                (top, top.saturating_add(s.delta_bottom.into()))
            }
            PicOrder::Cycle { non_ref, to_bottom, offsets, .. } => {
                let mut number = if offsets.is_empty() { 0 } else { offset.saturating_add(frame_num) };
                if !s.reference && number > 0 {
                    number -= 1;
                }
                let mut expected = 0i64;
                if number > 0 {
                    let n = offsets.len().max(1) as i64;
                    let sum: i64 = offsets.iter().map(|&o| i64::from(o)).sum();
                    let part = offsets.iter().take(((number - 1) % n) as usize + 1).map(|&o| i64::from(o));
                    expected = ((number - 1) / n).saturating_mul(sum).saturating_add(part.sum());
                }
                if !s.reference {
                    expected = expected.saturating_add((*non_ref).into());
                }
                let top = expected.saturating_add(delta0);
                (top, top.saturating_add((*to_bottom).into()).saturating_add(delta1))
            }
            PicOrder::Decoding => {
                let n = offset.saturating_add(frame_num).saturating_mul(2);
                let n = if s.reference || s.idr { n } else { n.saturating_sub(1) };
                (n, n)
            }
        };
        match s.field {
            None => top.min(bottom),
            Some(false) => top,
            Some(true) => bottom,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sps(order: PicOrder) -> Sps {
        let nal = [
            0x67, 0x64, 0x00, 0x1f, 0xac, 0xb4, 0x02, 0x80, 0x2d, 0xd0, 0x80, 0x00, 0x00, 0x03, 0x00, 0x80,
            0x00, 0x00, 0x18, 0x07, 0x8c, 0x19, 0x50,
        ];
        Sps { order, ..Sps::parse(&nal).unwrap() }
    }

    fn slice(idr: bool, reference: bool, frame_num: u32, lsb: u32) -> Slice {
        Slice {
            reference,
            idr,
            first_mb: 0,
            pps: 0,
            frame_num,
            field: None,
            redundant: false,
            idr_id: 0,
            lsb,
            delta_bottom: 0,
            delta: [0; 2],
        }
    }

    #[test]
    fn low_bits_wrap_both_ways() {
        let sps = sps(PicOrder::Lsb { bits: 4 });
        let mut c = PocCounter::default();
        let got: Vec<i64> =
            [(true, 0), (false, 8), (false, 4), (false, 0), (false, 12), (false, 8), (true, 0)]
                .map(|(idr, lsb)| c.next(&sps, &slice(idr, lsb != 4 && lsb != 12, 0, lsb)))
                .to_vec();
        assert_eq!(got, [0, 8, 4, 16, 12, 24, 0]);
    }

    #[test]
    fn expected_course_and_decoding_order() {
        let cycle =
            PicOrder::Cycle { exact: true, non_ref: -2, to_bottom: 0, offsets: [4, 4].into_iter().collect() };
        let pictures = [(true, true, 0), (false, true, 1), (false, false, 2), (false, true, 2)];
        let run = |sps: &Sps| {
            let mut c = PocCounter::default();
            pictures.map(|(idr, reference, n)| c.next(sps, &slice(idr, reference, n, 0)))
        };
        assert_eq!(run(&sps(cycle)), [0, 4, 2, 8]);
        assert_eq!(run(&sps(PicOrder::Decoding)), [0, 2, 3, 4]);
    }

    #[test]
    fn hostile_numbers_saturate() {
        let offsets = std::iter::repeat_n(i32::MAX, 255).collect();
        let sps = sps(PicOrder::Cycle { exact: false, non_ref: i32::MIN, to_bottom: i32::MAX, offsets });
        let mut c = PocCounter::default();
        for n in 0..5_000u32 {
            let mut s = slice(false, n % 3 == 0, if n % 2 == 0 { 65_535 } else { 0 }, 0);
            s.delta = [i32::MAX, i32::MIN];
            c.next(&sps, &s);
        }
    }
}
