//! `tfhd`: a track's defaults in a fragment (ISO/IEC 14496-12 §8.8.7).

use crate::mp4::boxes::moov::mvex::Trex;
use crate::mp4::boxes::{Part, Reader};

/// What it says, filled up with the defaults of `moov`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mp4) struct Tfhd {
    /// The track and what its samples have in common.
    pub(in crate::mp4) defaults: Trex,
    /// Offset in the source from which data offsets count, where it is said.
    pub(in crate::mp4) base: Option<u64>,
    /// Data offsets count from the fragment's first byte.
    pub(in crate::mp4) from_moof: bool,
}

/// Reads it.
pub(super) fn read(part: &Part, defaults: &[Trex]) -> Option<Tfhd> {
    let mut r = Reader(&part.body);
    let (_, flags) = r.full()?;
    let track = r.u32()?;
    let known = defaults.iter().find(|d| d.track == track);
    let mut d = known.copied().unwrap_or(Trex { track, ..Trex::default() });
    let base = if flags & 1 != 0 { Some(r.u64()?) } else { None };
    for (bit, field) in
        [(2, &mut d.description), (8, &mut d.duration), (0x10, &mut d.size), (0x20, &mut d.flags)]
    {
        if flags & bit != 0 {
            *field = r.u32()?;
        }
    }
    Some(Tfhd { defaults: d, base, from_moof: flags & 0x02_0000 != 0 })
}
