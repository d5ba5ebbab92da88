//! `tfdt`: when a track's fragment begins (ISO/IEC 14496-12 §8.8.12), and `tfxd`, which said so before it (Protected
//! Interoperable File Format 1.1 §5.2.5).

use crate::mp4::boxes::{Part, Reader};

const TFXD: [u8; 16] =
    [0x6d, 0x1d, 0x9b, 0x05, 0x42, 0xd5, 0x44, 0xe6, 0x80, 0xe2, 0x14, 0x1d, 0xaf, 0xf7, 0x57, 0xb2];

/// Decoding time of the first sample in the track's timescale.
pub(super) fn read(part: &Part) -> Option<u64> {
    let mut r = Reader(&part.body);
    let (version, _) = r.full()?;
    r.sized(version)
}

/// The same of a `uuid` box, if it is a `tfxd`.
pub(super) fn read_tfxd(part: &Part) -> Option<u64> {
    let mut r = Reader(&part.body);
    if r.take(16)? != TFXD {
        return None;
    }
    let (version, _) = r.full()?;
    r.sized(version)
}
