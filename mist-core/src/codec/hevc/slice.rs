//! What tells pictures apart and puts them in order: picture parameter sets and slice segment headers (H.265 §7.3.2.3
//! and §7.3.6.1) as far as that needs them, and picture order counts (§8.3.1).

use super::super::CodecError;
use super::super::nal::unescape;
use super::{Sps, nal};
use crate::bits::BitReader;

/// The beginning of a picture parameter set (H.265 §7.3.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pps {
    /// Number of this set, 0 to 63.
    pub id: u8,
    /// Number of the SPS that it refers to, 0 to 15.
    pub sps: u8,
    /// Slice headers tell whether the picture is put out.
    pub output_flag: bool,
    /// Reserved bits in slice headers.
    pub extra_bits: u8,
}

impl Pps {
    /// Parses a PPS NAL unit with its two header bytes.
    ///
    /// # Errors
    /// It is no PPS, ends early or has numbers out of range.
    pub fn parse(nal: &[u8]) -> Result<Self, CodecError> {
        if nal::kind(nal) != nal::PPS {
            return Err(CodecError::malformed("not a PPS"));
        }
        let rbsp = unescape(nal.get(2..nal.len().min(16)).unwrap_or_default());
        let r = &mut BitReader::new(&rbsp);
        let (id, sps) = (r.ue()?, r.ue()?);
        if id > 63 || sps > 15 {
            return Err(CodecError::malformed("PPS number"));
        }
        r.skip(1)?;
        Ok(Self { id: id as u8, sps: sps as u8, output_flag: r.flag()?, extra_bits: r.bits(3)? as u8 })
    }
}

/// The beginning of the first slice segment header of a picture (H.265 §7.3.6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Slice {
    /// Type of the NAL unit.
    pub kind: u8,
    /// Number of the PPS.
    pub pps: u8,
    temporal_id: u8,
    lsb: u32,
}

impl Slice {
    /// Parses the header with its NAL unit's two header bytes. `sets` finds a PPS by its number, and the SPS that it
    /// refers to.
    ///
    /// # Errors
    /// It isn't the first of its picture, ends early, or its parameter sets aren't there.
    pub fn parse<'a>(
        nal: &[u8],
        sets: impl FnOnce(u8) -> Option<(&'a Sps, &'a Pps)>,
    ) -> Result<Self, CodecError> {
        let kind = nal::kind(nal);
        let rbsp = unescape(nal.get(2..nal.len().min(32)).unwrap_or_default());
        let r = &mut BitReader::new(&rbsp);
        if !nal::is_picture(kind) || !r.flag()? {
            return Err(CodecError::malformed("not the first slice of a picture"));
        }
        if nal::is_irap(kind) {
            r.skip(1)?;
        }
        let pps = u8::try_from(r.ue()?).map_err(|_| CodecError::malformed("PPS number"))?;
        let (sps, set) = sets(pps).ok_or(CodecError::malformed("slice without its parameter sets"))?;
        r.skip(set.extra_bits.into())?;
        r.ue()?;
        if set.output_flag {
            r.skip(1)?;
        }
        if sps.separate_planes {
            r.skip(2)?;
        }
        let lsb = match kind {
            nal::IDR_W_RADL | nal::IDR_N_LP => 0,
            _ => r.bits(sps.poc_bits.into())?,
        };
        let temporal_id = nal.get(1).map_or(0, |b| (b & 7).saturating_sub(1));
        Ok(Self { kind, pps, temporal_id, lsb })
    }
}

/// Counts pictures in output order (H.265 §8.3.1).
#[derive(Debug, Clone, Copy, Default)]
pub struct PocCounter {
    msb: i64,
    lsb: i64,
}

impl PocCounter {
    /// The picture order count of a picture. `fresh` says that it is the first one of the stream or behind an end of
    /// sequence. Counts are in order only up to the next picture for which [`Self::starts`] is true.
    pub fn next(&mut self, sps: &Sps, s: &Slice, fresh: bool) -> i64 {
        let (span, lsb) = (1i64 << sps.poc_bits.min(16), i64::from(s.lsb));
        let msb = if Self::starts(s, fresh) {
            0
        } else if lsb < self.lsb && self.lsb - lsb >= span / 2 {
            self.msb.saturating_add(span)
        } else if lsb > self.lsb && lsb - self.lsb > span / 2 {
            self.msb.saturating_sub(span)
        } else {
            self.msb
        };
        // Leading pictures (6 to 9) and even types below 16, which nothing refers to, don't count on.
        let leading = matches!(s.kind, 6..=9);
        let unreferenced = s.kind < nal::BLA_W_LP && s.kind & 1 == 0;
        if s.temporal_id == 0 && !leading && !unreferenced {
            (self.msb, self.lsb) = (msb, lsb);
        }
        msb.saturating_add(lsb)
    }

    /// Whether a coded video sequence starts at this picture: what came before is put out before it.
    pub const fn starts(s: &Slice, fresh: bool) -> bool {
        matches!(s.kind, nal::BLA_W_LP..=nal::IDR_N_LP) || fresh && nal::is_irap(s.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_over_random_access_points() {
        let sps = Sps { poc_bits: 4, ..super::super::tests::sps() };
        let mut c = PocCounter::default();
        // (type, low bits): IDR, P, b, P over the wrap, CRA, leading, IDR
        let pictures = [(19, 0), (1, 8), (0, 4), (1, 0), (21, 8), (8, 4), (20, 0)];
        let got =
            pictures.map(|(kind, lsb)| c.next(&sps, &Slice { kind, pps: 0, temporal_id: 0, lsb }, false));
        assert_eq!(got, [0, 8, 4, 16, 24, 20, 0]);
        assert_eq!(c.next(&sps, &Slice { kind: 21, pps: 0, temporal_id: 0, lsb: 9 }, true), 9);
    }
}
