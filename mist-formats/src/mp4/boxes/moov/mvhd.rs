//! `mvhd`: the movie's header (ISO/IEC 14496-12 §8.2.2).

use super::super::{Part, Reader};
use mist_core::time::Duration;

/// Units a second of the movie's own clock, by which edit lists are written, and how long it is, where that is known.
pub(in super::super::super) fn read(part: &Part) -> Option<(u32, Option<Duration>)> {
    let mut r = Reader(&part.body);
    let (version, _) = r.full()?;
    r.take(if version == 1 { 16 } else { 8 })?;
    let scale = r.u32()?;
    let unknown = if version == 1 { u64::MAX } else { u32::MAX.into() };
    let ticks = r.sized(version).filter(|t| scale > 0 && *t > 0 && *t != unknown);
    Some((scale, ticks.and_then(|t| i64::try_from(t).ok()).map(|t| Duration::from_rate(t, scale))))
}
