//! Decoding times, which Matroska doesn't store and RTP doesn't send.
//!
//! Pictures come in decoding order with presentation times. Where a codec shows pictures in the order of decoding both
//! times are the same. Where it reorders them (H.264, HEVC, MPEG-2), the n-th decoding time is the n-th presentation
//! time in ascending order, later by as many pictures as the codec holds back. That is what an encoder's own decoding
//! times are at a constant frame rate; it follows variable ones, is never above the presentation time, never goes back,
//! and takes no more delay than needed.
//!
//! - *How many pictures are held back* (the depth) is known from the codec: `max_num_reorder_frames` of the H.264 SPS (0
//!   for profiles and orders without reordering), `sps_max_num_reorder_pics` of HEVC, 1 for MPEG-2 unless `low_delay`. An H.264
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

use crate::codec::h264::{Avcc, PicOrder};
use crate::codec::hevc::Hvcc;
use crate::codec::{Codec, mpeg2};
use crate::media::TrackInfo;
use crate::time::{Duration, Timestamp};
use bytes::Bytes;
use smallvec::SmallVec;
use std::collections::VecDeque;

/// The most pictures that any of the codecs can hold back.
pub const MAX_DEPTH: usize = 16;
/// Pictures that are looked at where the codec doesn't tell the depth.
pub const LOOK_AHEAD: usize = 24;
/// Bytes of pictures that are held before their depth is taken as seen so far.
pub const HELD_BYTES: usize = 16 << 20;
/// A distance between pictures from which on it is a jump.
pub const JUMP: Duration = Duration::from_secs(10);

/// A frame without a decoding time.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Presentation time.
    pub pts: Timestamp,
    /// Display time; zero means unknown.
    pub duration: Duration,
    /// Decoding can start here.
    pub key: bool,
    /// Payload.
    pub data: Bytes,
    /// Where it lies in its source.
    pub offset: u64,
}

/// How many pictures a track's codec holds back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// The codec never reorders: times are passed on as they are.
    Never,
    /// So many.
    Known(usize),
    /// To be seen.
    Unknown,
}

impl Depth {
    /// From a track's codec and init data.
    pub fn of(info: &TrackInfo) -> Self {
        match info.codec {
            Codec::H264 => {
                let Some(sps) = Avcc::parse(&info.init).ok().and_then(|c| c.first_sps()) else {
                    return Self::Unknown;
                };
                let intra_only =
                    matches!(sps.profile, 44 | 86 | 100 | 110 | 122 | 244) && sps.compat & 0x10 != 0;
                if sps.profile == 66 || intra_only || sps.order == PicOrder::Decoding {
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
pub struct Reorder {
    depth: Depth,
    /// Frame duration, zero where unknown.
    nominal: Duration,
    /// Frames that wait for the start.
    held: VecDeque<Frame>,
    held_bytes: usize,
    /// The latest presentation times, ascending, as many as the depth, once it has started.
    latest: SmallVec<[Timestamp; MAX_DEPTH]>,
    started: bool,
    /// The latest presentation times that really were, ascending.
    top: SmallVec<[Timestamp; MAX_DEPTH]>,
    /// The last decoding time.
    last: Option<Timestamp>,
}

impl Reorder {
    /// For pictures held back by `depth`, that last `nominal` each; zero means unknown.
    pub fn new(depth: Depth, nominal: Duration) -> Self {
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
            top: SmallVec::new(),
            last: None,
        }
    }

    /// Begins anew and drops what is held, after a seek.
    pub fn reset(&mut self) {
        self.held.clear();
        self.held_bytes = 0;
        self.latest.clear();
        self.top.clear();
        self.started = false;
        self.last = None;
    }

    /// Takes the next frame in decoding order and hands out those whose decoding time is known then.
    pub fn push(&mut self, f: Frame, out: &mut impl FnMut(Frame, Timestamp)) {
        if self.depth == Depth::Never {
            let dts = f.pts;
            return out(f, dts);
        }
        if self.started && self.jumped(&f) {
            self.started = false;
            self.latest.clear();
            self.top.clear();
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
    pub fn flush(&mut self, out: &mut impl FnMut(Frame, Timestamp)) {
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
        let needed = self.overtaken(f.pts);
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
            while self.latest.len() < needed {
                let at = self.latest.partition_point(|t| *t <= last);
                self.latest.insert(at, last);
            }
            self.depth = Depth::Known(self.latest.len());
        }
        self.last = Some(dts);
        out(f, dts);
    }

    /// How many earlier frames are shown after one with this time; adds it to them.
    fn overtaken(&mut self, pts: Timestamp) -> usize {
        let at = self.top.partition_point(|t| *t <= pts);
        let later = self.top.len() - at;
        if self.top.len() < MAX_DEPTH {
            self.top.insert(at, pts);
        } else if at > 0 {
            self.top.remove(0);
            self.top.insert(at - 1, pts);
        }
        later
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(ms: i64, key: bool) -> Frame {
        let data = Bytes::from_static(&[1]);
        Frame { pts: Timestamp::from_millis(ms), duration: Duration::ZERO, key, data, offset: 0 }
    }

    /// Decoding times in milliseconds of frames given by presentation times; those from `keys` on are keyframes.
    fn run(depth: Depth, nominal: i64, pts: &[i64], keys: &[usize]) -> Vec<i64> {
        let mut r = Reorder::new(depth, Duration::from_millis(nominal));
        let mut out = Vec::new();
        for (i, ms) in pts.iter().enumerate() {
            r.push(frame(*ms, keys.contains(&i)), &mut |f, dts| {
                out.push((f.pts.as_millis(), dts.as_millis()));
            });
            assert!(r.held.len() <= LOOK_AHEAD && r.latest.len() <= MAX_DEPTH);
        }
        r.flush(&mut |f, dts| out.push((f.pts.as_millis(), dts.as_millis())));
        assert_eq!(out.iter().map(|o| o.0).collect::<Vec<_>>(), pts, "none is lost, and the order is kept");
        out.iter().map(|o| o.1).collect()
    }

    #[test]
    fn constant_and_variable_rates() {
        assert_eq!(run(Depth::Known(1), 40, &[0, 120, 40, 80], &[0]), [-40, 0, 40, 80]);
        // Without a rate, the smallest distance of the first three is as good as it gets.
        assert_eq!(run(Depth::Known(2), 0, &[0, 160, 80, 40, 120], &[0]), [-160, -80, 0, 40, 80]);
        assert_eq!(run(Depth::Known(1), 40, &[0, 500, 40, 90], &[0]), [-40, 0, 40, 90]);
        assert_eq!(run(Depth::Known(0), 40, &[0, 40, 80], &[0]), [0, 40, 80]);
        assert_eq!(run(Depth::Never, 40, &[80, 0, 40], &[]), [80, 0, 40]);
        // Leading pictures behind an open group's keyframe.
        assert_eq!(run(Depth::Known(2), 40, &[120, 40, 80, 240, 160, 200], &[0]), [-40, 0, 40, 80, 120, 160]);
        // One frame and no more.
        assert_eq!(run(Depth::Known(2), 0, &[7], &[0]), [7]);
        assert_eq!(run(Depth::Known(2), 40, &[7], &[0]), [-73]);
    }

    #[test]
    fn depth_is_seen_where_it_is_not_said() {
        assert_eq!(run(Depth::Unknown, 40, &[0, 40, 80, 120], &[0]), [0, 40, 80, 120]);
        assert_eq!(run(Depth::Unknown, 40, &[0, 120, 40, 80], &[0]), [-40, 0, 40, 80]);
        assert_eq!(run(Depth::Unknown, 40, &[0, 160, 80, 40, 120], &[0]), [-80, -40, 0, 40, 80]);
    }

    #[test]
    fn too_small_a_depth_grows() {
        let dts = run(Depth::Known(0), 40, &[0, 120, 40, 80, 240, 160, 200, 360, 280, 320], &[0]);
        assert!(dts.is_sorted());
        assert_eq!(dts[4..], [120, 160, 200, 240, 280, 320]);
    }

    #[test]
    fn clocks_that_jump_begin_anew() {
        let far = 3_600_000;
        let pts = [0, 120, 40, 80, far, far + 120, far + 40, 0, 120, 40];
        let dts = run(Depth::Known(1), 40, &pts, &[0, 4, 7]);
        assert_eq!(dts, [-40, 0, 40, 80, far - 40, far, far + 40, -40, 0, 40]);
    }

    #[test]
    fn low_delay_is_read() {
        let with = |b: u8| [0, 0, 1, 0xb3, 9, 0, 0, 1, 0xb5, 0x14, 0x8a, 0, 1, 0, b, 0];
        assert!(low_delay(&with(0x80)) && !low_delay(&with(0)) && !low_delay(&[0, 0, 1, 0xb5, 0x14]));
    }

    proptest! {
        /// Any order that a codec of that depth can make, at any distances.
        #[test]
        fn times_never_go_back_or_pass(depth in 0usize..6, steps in prop::collection::vec(1i64..900, 1..80),
                                       picks in prop::collection::vec(any::<prop::sample::Index>(), 80)) {
            // Shown times ascend; decoding takes any of the next that leaves no more than `depth` behind.
            let shown: Vec<i64> = steps.iter().scan(0, |t, s| { *t += s; Some(*t) }).collect();
            let mut left = shown.clone();
            let mut decoded: Vec<i64> = Vec::new();
            for p in picks.iter().take(shown.len()) {
                let ahead = decoded.iter().filter(|d| **d > left[0]).count();
                let i = if ahead >= depth { 0 } else { p.index(left.len().min(3)) };
                decoded.push(left.remove(i));
            }
            let dts = run(Depth::Known(depth), 40, &decoded, &[0]);
            prop_assert!(dts.is_sorted());
            for (i, (d, p)) in dts.iter().zip(&decoded).enumerate() {
                prop_assert!(d <= p);
                if i >= depth {
                    prop_assert_eq!(*d, shown[i - depth]);
                }
            }
        }

        #[test]
        fn any_times(depth in 0usize..20, pts in prop::collection::vec((any::<i64>(), any::<bool>()), 0..90)) {
            for depth in [Depth::Known(depth), Depth::Unknown, Depth::Never] {
                let mut r = Reorder::new(depth, Duration::ZERO);
                let mut n = 0;
                for (t, key) in &pts {
                    let f = Frame { pts: Timestamp::from_ticks(*t), ..frame(0, *key) };
                    r.push(f, &mut |_, _| n += 1);
                }
                r.flush(&mut |_, _| n += 1);
                prop_assert_eq!(n, pts.len());
            }
        }
    }
}
