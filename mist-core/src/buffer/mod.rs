//! The window of GOPs of one stream.

use crate::media::{TrackId, TrackInfo};
use crate::time::{Duration, Timestamp};
use std::sync::Arc;

/// A finished segment of the stream's timeline: whole GOPs of the main track, joined up to the segment size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Counts up by one from segment to segment, also over restarts of the source.
    pub number: u64,
    /// First decoding time of the main track.
    pub start: Timestamp,
    /// First decoding time of the main track after it.
    pub end: Timestamp,
    /// Wall clock of `start`, since 1970.
    pub unix: std::time::Duration,
    /// A player has to reset its decoders before it: a track changed, or the source started anew.
    pub discontinuity: bool,
    /// Its first packet of the main track is a keyframe.
    pub independent: bool,
}

impl Segment {
    /// Its length.
    pub fn duration(&self) -> Duration {
        self.end - self.start
    }
}

/// Placeholder of the buffer while it is being written.
#[derive(Debug)]
pub struct StreamBuffer {
    tracks: Vec<Arc<TrackInfo>>,
    segments: std::collections::VecDeque<Segment>,
    target: Duration,
    version: u64,
}

impl StreamBuffer {
    /// Counts changes that an HTTP output could show: new tracks, finished segments, the end.
    pub fn version(&self) -> u64 {
        self.version
    }
    /// Tracks as they are now, video first, then by id.
    pub fn tracks(&self) -> impl Iterator<Item = &Arc<TrackInfo>> {
        self.tracks.iter()
    }
    /// Finished segments that playlists list, oldest first.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &Segment> + ExactSizeIterator {
        self.segments.iter()
    }
    /// The bound that no finished segment's length, rounded to seconds, exceeds. Fixed once the first segment is
    /// finished.
    pub fn segment_target(&self) -> Duration {
        self.target
    }
    /// Discontinuities before the first listed segment, counted from the stream's beginning.
    pub fn discontinuity_sequence(&self) -> u64 {
        0
    }
    /// No more media will come.
    pub fn ended(&self) -> bool {
        false
    }
    /// Bits a second of a track over the last seconds.
    pub fn bits_per_second(&self, _track: TrackId) -> u64 {
        0
    }
}
