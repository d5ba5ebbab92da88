//! `sidx`: where the fragments of a file begin (ISO/IEC 14496-12 §8.16.3).

use super::{Part, Reader};
use mist_core::time::Timestamp;

/// A segment index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Sidx {
    /// The track that its times are of.
    pub(in super::super) track: u32,
    /// Presentation time of what comes first.
    pub(in super::super) start: Timestamp,
    /// Time and offset in the source of every fragment that begins with a keyframe or may do so.
    pub(in super::super) fragments: Vec<(Timestamp, u64)>,
}

/// Reads one; `end` is the offset of the byte behind it. References to further indexes are left out.
pub(in super::super) fn read(part: &Part, end: u64) -> Option<Sidx> {
    let mut r = Reader(&part.body);
    let (version, _) = r.full()?;
    let track = r.u32()?;
    let scale = r.u32()?;
    let earliest = r.sized(version)?;
    let mut offset = end.checked_add(r.sized(version)?)?;
    r.u16()?;
    let count = r.u16()?;
    let mut time = i64::try_from(earliest).ok()?;
    let start = Timestamp::from_rate(time, scale);
    let mut fragments = Vec::new();
    for _ in 0..count {
        let (Some(kind), Some(duration), Some(sap)) = (r.u32(), r.u32(), r.u32()) else { break };
        // Stream access points of types 1 and 2, or unknown.
        if kind >> 31 == 0 && matches!(sap >> 28 & 7, 0..=2) {
            fragments.push((Timestamp::from_rate(time, scale), offset));
        }
        offset = offset.checked_add(u64::from(kind & 0x7fff_ffff))?;
        time = time.checked_add(duration.into())?;
    }
    Some(Sidx { track, start, fragments })
}
