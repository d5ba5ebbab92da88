//! SimpleBlock and BlockGroup (RFC 9559 §5.1.3.4, §5.1.3.5, §10).

use super::ebml::{children, vint};
use super::schema::ids;
use bytes::Bytes;
use mist_core::format::ErrorKind;

/// A block before its frames are taken out.
#[derive(Debug, Clone)]
pub(super) struct Block {
    pub(super) track: u64,
    /// Ticks after the cluster's time.
    pub(super) time: i16,
    pub(super) key: bool,
    /// The byte with the lacing bits.
    pub(super) flags: u8,
    /// BlockDuration in ticks.
    pub(super) duration: Option<u64>,
    /// DiscardPadding in nanoseconds: what a decoder drops at the end, or at the start where it is negative.
    pub(super) discard: i64,
    /// The first BlockAdditional, where its BlockAddID is 1: what a codec stores beside its frames.
    pub(super) beside: Bytes,
    /// What follows the head.
    pub(super) body: Bytes,
    /// Bytes of the element's data before `body`.
    pub(super) before: usize,
}

impl Block {
    /// Takes the head off a SimpleBlock or a group's Block.
    pub(super) fn simple(data: &Bytes) -> Result<Self, ErrorKind> {
        let (track, len) = vint(data)?.ok_or(ErrorKind::Size("block without its head"))?;
        let head =
            data.get(len..).and_then(<[u8]>::first_chunk).ok_or(ErrorKind::Size("block without its head"))?;
        let [t0, t1, flags] = *head;
        let before = len + head.len();
        Ok(Self {
            track,
            time: i16::from_be_bytes([t0, t1]),
            key: flags & 0x80 != 0,
            flags,
            duration: None,
            discard: 0,
            beside: Bytes::new(),
            body: data.slice(before..),
            before,
        })
    }

    /// Whether it has several frames, or could have.
    pub(super) const fn is_laced(&self) -> bool {
        self.flags & 0x06 != 0
    }

    /// Reads a BlockGroup. A group without a reference to other blocks is a keyframe. CodecState, and
    /// BlockAdditions other than the codec's own, are left out: HDR10+ and such.
    pub(super) fn group(data: &Bytes) -> Result<Self, ErrorKind> {
        let (mut block, mut duration, mut discard, mut key, mut beside) = (None, None, 0, true, Bytes::new());
        for c in children(data) {
            let Ok(c) = c else { break };
            match c.id {
                ids::BLOCK if block.is_none() => {
                    let mut b = Self::simple(&data.slice_ref(c.data))?;
                    b.before += c.at + c.head;
                    block = Some(b);
                }
                ids::BLOCK_DURATION => duration = Some(c.uint()),
                ids::DISCARD_PADDING => discard = c.int(),
                ids::REFERENCE_BLOCK => key = false,
                ids::BLOCK_ADDITIONS => beside = data.slice_ref(additional(c.data)),
                _ => {}
            }
        }
        block
            .map(|b| Self { key, duration, discard, beside, ..b })
            .ok_or(ErrorKind::Missing("Block of a BlockGroup"))
    }
}

/// The BlockAdditional of the BlockMore with BlockAddID 1, which is the default.
fn additional(data: &[u8]) -> &[u8] {
    for more in children(data).flatten().filter(|c| c.id == ids::BLOCK_MORE) {
        let (mut id, mut found) = (1, None);
        for c in children(more.data).flatten() {
            match c.id {
                ids::BLOCK_ADD_ID => id = c.uint(),
                ids::BLOCK_ADDITIONAL => found = Some(c.data),
                _ => {}
            }
        }
        if let Some(found) = found.filter(|_| id == 1) {
            return found;
        }
    }
    data.get(..0).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads() {
        let b = Block::simple(&Bytes::from_static(&[0x81, 0xff, 0xfe, 0x80, 7, 8])).unwrap();
        assert_eq!((b.track, b.time, b.key, &b.body[..], b.before), (1, -2, true, &[7, 8][..], 4));
        let far = Bytes::from_static(&[1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 0, 0, 0]);
        assert_eq!(Block::simple(&far).unwrap().track, (1 << 56) - 2);
        (0..far.len()).for_each(|n| assert!(Block::simple(&far.slice(..n)).is_err()));
    }

    #[test]
    fn groups() {
        let d = [0x9b, 0x81, 5, 0xa1, 0x85, 0x81, 0, 1, 0, 9, 0x75, 0xa2, 0x82, 0xff, 0];
        let b = Block::group(&Bytes::copy_from_slice(&d)).unwrap();
        assert_eq!((b.duration, b.discard, b.key, &b.body[..], b.before), (Some(5), -256, true, &[9][..], 9));
        let d = [0xa1, 0x85, 0x81, 0, 1, 0, 9, 0xfb, 0x81, 0xff];
        assert!(!Block::group(&Bytes::copy_from_slice(&d)).unwrap().key);
        assert!(Block::group(&Bytes::copy_from_slice(&d[7..])).is_err());
        // What is cut behind the block doesn't harm it.
        assert!(Block::group(&Bytes::copy_from_slice(&d[..9])).is_ok());
    }
}
