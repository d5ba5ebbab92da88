//! What a format tells about its frames, and where it puts what is in them.

use bytes::Bytes;
use mist_core::codec::{Codec, CodecError};
use mist_core::findings::Findings;
use mist_core::format::ErrorKind;
use mist_core::media::{Packet, Params, TrackId, TrackInfo};
use mist_core::time::{Duration, Timestamp};
use std::sync::Arc;

/// The track of a file.
const TRACK: TrackId = TrackId(1);

/// A kind of frames.
pub(crate) trait Framing: Send + 'static {
    /// The format.
    const ID: &'static str;
    /// Bytes that tell a frame's length, at most 8.
    const MIN: usize;
    /// The first byte of every frame.
    const SYNC: u8;
    /// A frame's header.
    type Header: Copy + Send;

    /// Parses the header at the start of `data`.
    fn parse(data: &[u8]) -> Result<Self::Header, CodecError>;
    /// Bytes of the frame with its header; more than 0.
    fn len(h: &Self::Header) -> usize;
    /// Samples a second.
    fn rate(h: &Self::Header) -> u32;
    /// Whether two headers can belong to the same stream.
    fn like(a: &Self::Header, b: &Self::Header) -> bool;
    /// Hands out what is in a frame.
    fn read(&mut self, h: &Self::Header, frame: Bytes, out: &mut Out<'_>);

    /// Looks at the first frame of a file or behind a tag; what it says of itself if it isn't sound but about the file.
    fn about(&mut self, _h: &Self::Header, _frame: &[u8], _offset: u64) -> Option<String> {
        None
    }
    /// Whether two headers without a length can belong to the same stream.
    fn free_like(_a: &[u8], _b: &[u8]) -> bool {
        false
    }
    /// A place at or before a time that hasn't been read yet: its time and offset.
    fn jump(&self, _to: Timestamp, _start: Timestamp) -> Option<(Timestamp, u64)> {
        None
    }
    /// Something was jumped over: counts of frames don't hold any more.
    fn jumped(&mut self) {}
}

/// Where frames go.
pub(crate) struct Out<'a> {
    pub(super) offset: u64,
    pub(super) found: &'a mut Findings,
    pub(super) clock: &'a mut Clock,
}

impl Out<'_> {
    /// Where the frame lies.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// A description that holds from the next packet on.
    pub(crate) fn describe(&mut self, codec: Codec, init: Bytes, params: Params) {
        let info = TrackInfo::new(TRACK, codec, init, params);
        self.found.track(Arc::new(info));
    }

    /// A packet whose payload lies `at` bytes behind the frame's start. `duration` is zero unless it is shorter than its
    /// samples.
    pub(crate) fn packet(&mut self, at: usize, data: Bytes, samples: u32, duration: Duration) {
        let dts = self.clock.now();
        let packet = Packet { track: TRACK, dts, cts: Duration::ZERO, duration, key: true, data };
        self.found.packet(packet, self.offset + at as u64);
        self.clock.samples += u64::from(samples);
    }

    /// Samples that can't be handed out.
    pub(crate) fn skip(&mut self, samples: u32) {
        self.clock.samples += u64::from(samples);
    }

    /// Trouble that is survived.
    pub(crate) fn problem(&mut self, kind: ErrorKind) {
        self.found.problem(self.offset, "frame", kind);
    }
}

/// Counts samples.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Clock {
    base: Timestamp,
    samples: u64,
    pub(super) rate: u32,
}

impl Clock {
    pub(super) fn now(&self) -> Timestamp {
        self.base + Duration::from_rate(i64::try_from(self.samples).unwrap_or(i64::MAX), self.rate)
    }

    pub(super) fn set(&mut self, to: Timestamp) {
        (self.base, self.samples) = (to, 0);
    }

    pub(super) fn at_rate(&mut self, rate: u32) {
        if rate != self.rate {
            self.set(self.now());
            self.rate = rate;
        }
    }
}
