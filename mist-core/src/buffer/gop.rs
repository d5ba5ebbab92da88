//! One run of packets of a track that can be decoded on its own.

use crate::media::{Packet, TrackInfo};
use crate::time::{Duration, Timestamp};
use std::sync::Arc;

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
}
