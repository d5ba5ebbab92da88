//! Theora (*Theora specification*, annex A.2): a granule position is the number of the last key frame and how many
//! frames lie between; since 3.2.1 frames are counted from 1.

use super::limits;
use super::mapping::{Clock, Described, Header, Mapping, comment_lang, comments};
use bytes::Bytes;
use mist_core::codec::theora::Identification;
use mist_core::codec::vorbis::join_headers;
use mist_core::codec::{Codec, CodecError};
use mist_core::media::{Lang, Params, Visual};

/// A stream of Theora.
#[derive(Debug, Default)]
pub(super) struct Theora {
    headers: [Bytes; 3],
    granules: Option<(Granules, Identification)>,
    lang: Option<Lang>,
}

/// How the granule positions of a stream are made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Granules {
    shift: u32,
    /// What is added to a frame's number.
    from: i64,
}

impl Granules {
    pub(super) fn of(id: &Identification, packet: &[u8]) -> Self {
        // The revision lies behind the major and minor version.
        let since = packet.get(7..10).is_some_and(|v| v >= [3, 2, 1].as_slice());
        Self { shift: id.granule_shift.into(), from: since.into() }
    }

    /// The number of the key frame and of the frame, both from 0.
    pub(super) fn split(self, granule: i64) -> (i64, i64) {
        let key = (granule >> self.shift) - self.from;
        (key, key.saturating_add(granule & ((1 << self.shift) - 1)))
    }

    /// The granule position of a frame. One that is further from its key frame than the header's shift can say counts
    /// from a nearer frame: its time is right, and who seeks there by it starts late.
    pub(super) fn join(self, key: i64, frame: i64) -> i64 {
        let most = (1i64 << self.shift) - 1;
        let frame = frame.saturating_add(self.from);
        let key = key.saturating_add(self.from).max(frame.saturating_sub(most));
        let key = key.clamp(0, i64::MAX >> self.shift);
        key << self.shift | frame.saturating_sub(key).clamp(0, most)
    }
}

impl Mapping for Theora {
    fn header(&mut self, packet: &Bytes) -> Result<Header, CodecError> {
        let [first, second, third] = &mut self.headers;
        let keep = |h: &mut Bytes| *h = Bytes::copy_from_slice(packet);
        if self.granules.is_none() {
            let id = Identification::parse(packet)?;
            self.granules = Some((Granules::of(&id, packet), id));
            keep(first);
            return Ok(Header::More);
        }
        if second.is_empty() {
            let body = packet.strip_prefix(b"\x81theora");
            self.lang = comment_lang(body.ok_or(CodecError::malformed("Theora comment header"))?);
            if packet.len() > limits::COMMENTS {
                *second = comments(b"\x81theora", self.lang, false);
            } else {
                keep(second);
            }
            return Ok(Header::More);
        }
        if !packet.starts_with(b"\x82theora") {
            return Err(CodecError::malformed("Theora setup header"));
        }
        if packet.len() > mist_core::codec::limits::MAX_HEADER_LEN {
            return Err(CodecError::limit("Theora setup header"));
        }
        keep(third);
        Ok(Header::Last)
    }

    fn describe(&self) -> Described {
        let [a, b, c] = &self.headers;
        let (params, sar) = self.granules.map_or((Params::Other, (0, 0)), |(_, id)| (id.params(), id.sar));
        Described {
            codec: Codec::Theora,
            init: join_headers([a, b, c]),
            params,
            visual: Visual { sar: if sar.0 == 0 || sar.1 == 0 { (0, 0) } else { sar }, ..Visual::default() },
        }
    }

    fn lang(&self) -> Option<Lang> {
        self.lang
    }

    fn clock(&self) -> Clock {
        self.granules.map_or(Clock::new(1), |(_, id)| Clock { rate: id.rate.0, per: id.rate.1 })
    }

    /// A packet of no bytes is a frame too: the one before, once more.
    fn units(&mut self, packet: &[u8]) -> Option<i64> {
        packet.first().is_none_or(|b| b & 0x80 == 0).then_some(1)
    }

    fn end(&self, granule: i64) -> i64 {
        self.granules.map_or(0, |(g, _)| g.split(granule).1.saturating_add(1))
    }

    fn key(&self, granule: i64) -> Option<i64> {
        self.granules.map(|(g, _)| g.split(granule).0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn granules_round_trip() {
        for from in [0, 1] {
            let g = Granules { shift: 6, from };
            for (key, frame) in [(0, 0), (0, 63), (64, 64), (64, 100), (1 << 40, (1 << 40) + 5)] {
                assert_eq!(g.split(g.join(key, frame)), (key, frame));
            }
            assert_eq!(g.split(g.join(10, 200)), (200 - 63, 200));
            g.join(i64::MAX, i64::MIN);
            g.split(i64::MAX);
        }
        assert_eq!(Granules { shift: 6, from: 1 }.join(0, 0), 64);
        let g = Granules { shift: 31, from: 1 };
        g.join(i64::MAX, i64::MAX);
        g.split(i64::MAX);
    }
}
