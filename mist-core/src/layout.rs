//! Files whose every byte has its place before the media is loaded, so that any part of them can be made alone.

use crate::format::Index;
use bytes::Bytes;
use smallvec::SmallVec;
use std::ops::Range;

/// Packets between two places that are remembered.
const STEP: usize = 256;

/// A place in the interleaved packets.
#[derive(Debug, Clone)]
struct Mark {
    offset: u64,
    /// For each track its first packet from here on.
    next: SmallVec<[u32; 4]>,
}

/// One packet's place in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Position in the index's `tracks`.
    pub track: usize,
    /// Position in that track's list.
    pub packet: usize,
    /// Byte offset in the file.
    pub offset: u64,
    /// Bytes that the muxer writes for it.
    pub len: u64,
}

/// A file of a head, the packets in the order of [`Index::interleaved`], and a tail.
///
/// It keeps less than a byte a packet: the index stays with the caller.
#[derive(Debug, Clone)]
pub struct Layout {
    head: Bytes,
    tail: Bytes,
    /// Bytes around each packet, by track.
    around: SmallVec<[u32; 4]>,
    marks: Vec<Mark>,
    body_end: u64,
}

impl Layout {
    /// Lays out the packets of `index` behind `head`. `around` gives for each of its tracks how many bytes the
    /// muxer writes besides the payload of a packet.
    pub fn new(index: &Index, head: Bytes, around: impl IntoIterator<Item = u32>, tail: Bytes) -> Self {
        let mut this =
            Self { head, tail, around: around.into_iter().collect(), marks: Vec::new(), body_end: 0 };
        let mut next: SmallVec<[u32; 4]> = index.tracks.iter().map(|_| 0).collect();
        let mut offset = this.head.len() as u64;
        for (i, (track, packet)) in index.interleaved().enumerate() {
            if i % STEP == 0 {
                this.marks.push(Mark { offset, next: next.clone() });
            }
            offset = offset.saturating_add(this.size(index, track, packet));
            if let Some(n) = next.get_mut(track) {
                *n = n.saturating_add(1);
            }
        }
        this.body_end = offset;
        this
    }

    fn size(&self, index: &Index, track: usize, packet: usize) -> u64 {
        let entry = index.tracks.get(track).and_then(|t| t.1.get(packet));
        entry.map_or(0, |e| u64::from(e.size)) + u64::from(self.around.get(track).copied().unwrap_or(0))
    }

    /// Bytes of the whole file.
    pub fn len(&self) -> u64 {
        self.body_end.saturating_add(self.tail.len() as u64)
    }

    /// True if the file has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What comes before the packets: the file's bytes from offset 0 on.
    pub const fn head(&self) -> &Bytes {
        &self.head
    }

    /// What comes after the packets: the last bytes of the file.
    pub const fn tail(&self) -> &Bytes {
        &self.tail
    }

    /// The packets that have bytes in a part of the file, in the order of the file. `index` is the one that the
    /// layout was made of.
    pub fn covering<'a>(&'a self, index: &'a Index, range: Range<u64>) -> impl Iterator<Item = Span> + 'a {
        let at = self.marks.partition_point(|m| m.offset <= range.start).saturating_sub(1);
        let mark = self.marks.get(at);
        let next = mark.map_or_else(Vec::new, |m| m.next.iter().map(|n| *n as usize).collect());
        let mut offset = mark.map_or(self.body_end, |m| m.offset);
        let spans = index.interleaved_from(next).map(move |(track, packet)| {
            let span = Span { track, packet, offset, len: self.size(index, track, packet) };
            offset = offset.saturating_add(span.len);
            span
        });
        spans
            .skip_while(move |s| s.offset.saturating_add(s.len) <= range.start)
            .take_while(move |s| s.offset < range.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::IndexEntry;
    use crate::media::TrackId;
    use crate::time::{Duration, Timestamp};
    use proptest::prelude::*;

    fn entry(ms: i64, size: u32) -> IndexEntry {
        let zero = Duration::ZERO;
        IndexEntry { dts: Timestamp::from_millis(ms), cts: zero, duration: zero, size, key: true }
    }

    proptest! {
        #[test]
        fn any_part_is_found(
            a in prop::collection::vec((0i64..40, 0u32..9), 0..700),
            b in prop::collection::vec((0i64..90, 0u32..9), 0..700),
            cuts in prop::collection::vec((0u64..12_000, 0u64..700), 1..8),
            around in 0u32..3,
        ) {
            let mut at = 0;
            let mut list = |v: &[(i64, u32)]| -> Vec<IndexEntry> {
                at = 0;
                v.iter().map(|(d, s)| { at += d; entry(at, *s) }).collect()
            };
            let index = Index { tracks: vec![(TrackId(7), list(&a)), (TrackId(3), list(&b))] };
            let head = Bytes::from_static(b"head");
            let l = Layout::new(&index, head, [around, 0], Bytes::from_static(b"end"));
            let all: Vec<_> = l.covering(&index, 0..l.len()).collect();
            prop_assert!(all.iter().map(|s| (s.track, s.packet)).eq(index.interleaved()) || all.iter().any(|s| s.len == 0));
            prop_assert_eq!(l.len(), 7 + all.iter().map(|s| s.len).sum::<u64>());
            for (from, len) in cuts {
                let range = from..from + len;
                let want: Vec<_> = all.iter().copied()
                    .filter(|s| s.len > 0 && s.offset < range.end && s.offset + s.len > range.start).collect();
                let got: Vec<_> = l.covering(&index, range.clone()).filter(|s| s.len > 0).collect();
                prop_assert_eq!(got, want, "{:?}", range);
            }
        }
    }
}
