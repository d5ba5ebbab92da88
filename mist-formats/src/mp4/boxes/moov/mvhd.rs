//! `mvhd`: the movie's header (ISO/IEC 14496-12 §8.2.2).

use super::super::{Part, Reader};

/// Units a second of the movie's own clock, by which edit lists are written.
pub(in super::super::super) fn timescale(part: &Part) -> Option<u32> {
    let mut r = Reader(&part.body);
    let (version, _) = r.full()?;
    r.take(if version == 1 { 16 } else { 8 })?;
    r.u32()
}
