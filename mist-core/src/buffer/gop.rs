//! One run of packets of a track that can be decoded on its own.

use crate::media::{Packet, TrackInfo};
use crate::time::{Duration, Timestamp};
use std::sync::Arc;

/// What a packet costs beside its payload: its fields, the allocation of its payload, and its share of a group, which for
/// audio codecs with long frames or video of keyframes only is a whole one.
pub(super) const PACKET_OVERHEAD: u64 = 192;
const _: () = assert!(size_of::<Packet>() + size_of::<Gop>() <= PACKET_OVERHEAD as usize);

/// A closed group of packets of one track. Immutable and shared by whoever reads it.
///
/// Video is cut at keyframes, audio about once a second and where a segment of the main track ends, so a segment
/// is made of whole groups. `info` is the track as it was for these packets: a new resolution is a new `Arc`.
#[derive(Debug, PartialEq, Eq)]
pub struct Gop {
    /// Counts up by one from group to group of the track.
    pub seq: u64,
    /// Decoding time of the first packet.
    pub start: Timestamp,
    /// Decoding time of the packet after the last one; estimated at the end of a source.
    pub end: Timestamp,
    /// The track as it was.
    pub info: Arc<TrackInfo>,
    /// In decoding order, never empty.
    pub packets: Vec<Packet>,
    /// Payload bytes.
    pub bytes: u64,
}

impl Gop {
    /// Its length.
    pub fn duration(&self) -> Duration {
        self.end - self.start
    }

    /// Decoding time of the last packet.
    pub(super) fn last_dts(&self) -> Timestamp {
        self.packets.last().map_or(self.start, |p| p.dts)
    }

    /// Bytes that it counts for in [`Limits::bytes`](super::Limits::bytes).
    pub(super) fn cost(&self) -> u64 {
        self.bytes + self.packets.len() as u64 * PACKET_OVERHEAD
    }
}
