//! `mvex` and `trex`: defaults of the fragments that follow (ISO/IEC 14496-12 §8.8.1, §8.8.3).

use super::super::{Part, Reader};

/// What a track's fragments leave unsaid.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in super::super::super) struct Trex {
    /// The track.
    pub(in super::super::super) track: u32,
    /// Sample description, counted from 1.
    pub(in super::super::super) description: u32,
    /// Duration of a sample.
    pub(in super::super::super) duration: u32,
    /// Bytes of a sample.
    pub(in super::super::super) size: u32,
    /// Flags of a sample.
    pub(in super::super::super) flags: u32,
}

/// Reads `trex`.
pub(in super::super::super) fn trex(part: &Part) -> Option<Trex> {
    let mut r = Reader(&part.body);
    r.full()?;
    Some(Trex { track: r.u32()?, description: r.u32()?, duration: r.u32()?, size: r.u32()?, flags: r.u32()? })
}
