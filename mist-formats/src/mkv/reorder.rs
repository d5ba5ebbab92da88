//! Decoding times, which Matroska doesn't store.
//!
//! Blocks come in decoding order with presentation times. Where a codec shows pictures in the order of decoding both
//! times are the same. Where it reorders them (H.264, HEVC, MPEG-2), the n-th decoding time is the n-th presentation
//! time in ascending order, later by as many pictures as the codec holds back. That is what an encoder's own decoding
//! times are at a constant frame rate; it follows variable ones, is never above the presentation time, never goes back,
//! and takes no more delay than needed.
//!
//! - *How many pictures are held back* (the depth) is known from the codec: `max_num_reorder_frames` of the H.264 SPS (0
//!   for profiles without reordering), `sps_max_num_reorder_pics` of HEVC, 1 for MPEG-2 unless `low_delay`. An H.264
//!   SPS without bitstream restrictions leaves it open: then the first [`LOOK_AHEAD`] pictures are looked at, and the
//!   depth is what they need.
//! - *The first pictures*, as many as the depth, would get times from before the first: those are continued backwards by
//!   the frame duration (DefaultDuration, else the codec's, else the smallest distance seen), so they can be negative.
//!   To know the earliest time, also where leading pictures follow the first keyframe, one picture more than the depth
//!   is held until then. The same holds after a seek.
//! - *Too small a depth*: a picture that should have been shown before what has been handed out keeps its presentation
//!   time and gets the last decoding time, so its composition offset is negative; the depth grows by one and what
//!   follows is right. Missing pictures need nothing: their place in the order is taken by the next.
//! - *A clock that jumps* by more than [`JUMP`], or goes back at a keyframe, begins anew as after a seek.
//!
//! What is held is at most [`LOOK_AHEAD`] pictures of one track, or [`HELD_BYTES`].

use bytes::Bytes;
use mist_core::codec::h264::Avcc;
use mist_core::codec::hevc::Hvcc;
use mist_core::codec::{Codec, mpeg2};
use mist_core::media::TrackInfo;
use mist_core::time::{Duration, Timestamp};
use smallvec::SmallVec;
use std::collections::VecDeque;

/// The most pictures that any of the codecs can hold back.
const MAX_DEPTH: usize = 16;
/// Pictures that are looked at where the codec doesn't tell the depth.
const LOOK_AHEAD: usize = 24;
/// Bytes of pictures that are held before their depth is taken as seen so far.
const HELD_BYTES: usize = 16 << 20;
/// A distance between pictures from which on it is a jump.
const JUMP: Duration = Duration::from_secs(10);

/// A frame without a decoding time.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) pts: Timestamp,
    pub(super) duration: Duration,
    pub(super) key: bool,
    pub(super) data: Bytes,
    /// Where it lies in the file.
    pub(super) offset: u64,
}

/// How many pictures a track's codec holds back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// The codec never reorders: times are passed on as they are.
    Never,
    /// So many.
    Known(usize),
    /// To be seen.
    Unknown,
}

impl Depth {
    /// From a track's codec and init data.
    pub(super) fn of(info: &TrackInfo) -> Self {
        match info.codec {
            Codec::H264 => {
                let Some(sps) = Avcc::parse(&info.init).ok().and_then(|c| c.first_sps()) else {
                    return Self::Unknown;
                };
                let intra_only =
                    matches!(sps.profile, 44 | 86 | 100 | 110 | 122 | 244) && sps.compat & 0x10 != 0;
                if sps.profile == 66 || intra_only {
                    return Self::Known(0);
                }
                sps.reorder_frames.map_or(Self::Unknown, |n| Self::Known(n as usize))
            }
            Codec::Hevc => match Hvcc::parse(&info.init).ok().and_then(|c| c.first_sps()) {
                Some(sps) => Self::Known(sps.reorder_frames as usize),
                None => Self::Unknown,
            },
            Codec::Mpeg2 => Self::Known(usize::from(!low_delay(&info.init))),
            _ => Self::Never,
        }
    }
}

/// low_delay of an MPEG-2 sequence extension (ISO 13818-2 §6.2.2.3): there are no B pictures.
fn low_delay(init: &[u8]) -> bool {
    let extension = memchr::memmem::find_iter(init, &[0, 0, 1, mpeg2::code::EXTENSION])
        .filter_map(|i| init.get(i + 4..i + 10))
        .find(|e| e.first().is_some_and(|b| b >> 4 == 1));
    extension.and_then(|e| e.get(5)).is_some_and(|b| b & 0x80 != 0)
}

/// Gives the frames of one track their decoding times.
#[derive(Debug)]
pub(super) struct Reorder {
    depth: Depth,
    /// Frame duration, zero where unknown.
    nominal: Duration,
    /// Frames that wait for the start.
    held: VecDeque<Frame>,
    held_bytes: usize,
    /// The latest presentation times, ascending, as many as the depth, once it has started.
    latest: SmallVec<[Timestamp; MAX_DEPTH]>,
    started: bool,
    /// The last decoding time.
    last: Option<Timestamp>,
}

impl Reorder {
    pub(super) fn new(depth: Depth, nominal: Duration) -> Self {
        let depth = match depth {
            Depth::Known(n) => Depth::Known(n.min(MAX_DEPTH)),
            d => d,
        };
        let nominal = if nominal > JUMP { Duration::ZERO } else { nominal };
        Self {
            depth,
            nominal,
            held: VecDeque::new(),
            held_bytes: 0,
            latest: SmallVec::new(),
            started: false,
            last: None,
        }
    }

    /// Begins anew and drops what is held, after a seek.
    pub(super) fn reset(&mut self) {
        self.held.clear();
        self.held_bytes = 0;
        self.latest.clear();
        self.started = false;
        self.last = None;
    }

    /// Takes the next frame in decoding order and hands out those whose decoding time is known then.
    pub(super) fn push(&mut self, f: Frame, out: &mut impl FnMut(Frame, Timestamp)) {
        if self.depth == Depth::Never {
            let dts = f.pts;
            return out(f, dts);
        }
        if self.started && self.jumped(&f) {
            self.started = false;
            self.latest.clear();
            if self.last.is_some_and(|l| f.pts < l) {
                self.last = None;
            }
        }
        if self.started {
            return self.place(f, out);
        }
        self.held_bytes = self.held_bytes.saturating_add(f.data.len());
        self.held.push_back(f);
        let enough = match self.depth {
            Depth::Known(n) => self.held.len() > n,
            _ => self.held.len() >= LOOK_AHEAD,
        };
        if enough || self.held_bytes > HELD_BYTES {
            self.start(out);
        }
    }

    /// Hands out all that is held: nothing follows.
    pub(super) fn flush(&mut self, out: &mut impl FnMut(Frame, Timestamp)) {
        if !self.held.is_empty() {
            self.start(out);
        }
    }

    fn jumped(&self, f: &Frame) -> bool {
        let newest = self.latest.last().copied().max(self.last);
        let Some(newest) = newest else { return false };
        let back = self.last.is_some_and(|l| f.pts < l && (f.key || l - f.pts > JUMP));
        back || f.pts - newest > JUMP
    }

    fn start(&mut self, out: &mut impl FnMut(Frame, Timestamp)) {
        let depth = match self.depth {
            Depth::Known(n) => n,
            _ => self.seen_depth(),
        };
        self.depth = Depth::Known(depth);
        let mut sorted: SmallVec<[Timestamp; LOOK_AHEAD]> = self.held.iter().map(|f| f.pts).collect();
        sorted.sort_unstable();
        let gaps = sorted.iter().zip(sorted.iter().skip(1)).map(|(a, b)| *b - *a);
        let seen = gaps.filter(|d| *d > Duration::ZERO).min().unwrap_or_default();
        let step = if self.nominal > Duration::ZERO { self.nominal } else { seen };
        let mut at = sorted.first().copied().unwrap_or_default();
        for _ in 0..depth {
            at = at - step;
            self.latest.push(self.last.map_or(at, |l| at.max(l)));
        }
        self.latest.sort_unstable();
        self.started = true;
        self.held_bytes = 0;
        for f in std::mem::take(&mut self.held) {
            self.place(f, out);
        }
    }

    /// How many earlier frames are shown after one, at most, among those that are held.
    fn seen_depth(&self) -> usize {
        let after = |(i, f): (usize, &Frame)| self.held.iter().take(i).filter(|e| e.pts > f.pts).count();
        self.held.iter().enumerate().map(after).max().unwrap_or(0).min(MAX_DEPTH)
    }

    fn place(&mut self, f: Frame, out: &mut impl FnMut(Frame, Timestamp)) {
        let at = self.latest.partition_point(|t| *t <= f.pts);
        let mut dts = if at == 0 {
            f.pts
        } else {
            let first = self.latest.remove(0);
            self.latest.insert(at - 1, f.pts);
            first
        };
        if let Some(last) = self.last.filter(|l| dts < *l) {
            dts = last;
            if self.latest.len() < MAX_DEPTH {
                let at = self.latest.partition_point(|t| *t <= last);
                self.latest.insert(at, last);
                self.depth = Depth::Known(self.latest.len());
            }
        }
        self.last = Some(dts);
        out(f, dts);
    }
}
