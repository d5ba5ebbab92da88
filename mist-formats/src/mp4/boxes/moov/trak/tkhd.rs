//! `tkhd`: the track's header (ISO/IEC 14496-12 §8.3.2).

use crate::mp4::boxes::{Part, Reader};

/// What it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mp4) struct Tkhd {
    /// Identity of the track.
    pub(in crate::mp4) id: u32,
    /// Degrees clockwise by which pictures are turned.
    pub(in crate::mp4) rotation: u16,
}

/// Reads it.
pub(in crate::mp4) fn read(part: &Part) -> Option<Tkhd> {
    let mut r = Reader(&part.body);
    let (version, _) = r.full()?;
    let long = version == 1;
    r.take(if long { 16 } else { 8 })?;
    let id = r.u32()?;
    // Reserved, duration, reserved, layer, group, volume, reserved.
    r.take(4 + if long { 8 } else { 4 } + 16)?;
    Some(Tkhd { id, rotation: rotation(&mut r).unwrap_or(0) })
}

/// The quarter turn that a matrix of 16.16 numbers makes; others, mirrors among them, count as none.
fn rotation(r: &mut Reader<'_>) -> Option<u16> {
    let mut m = [0i32; 5];
    for v in &mut m {
        *v = r.u32()? as i32;
    }
    let [a, b, _, c, d] = m.map(i32::signum);
    Some(match (a, b, c, d) {
        (0, 1, -1, 0) => 90,
        (-1, 0, 0, -1) => 180,
        (0, -1, 1, 0) => 270,
        _ => 0,
    })
}
