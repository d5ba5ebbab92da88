//! Packets to files and live streams.
//!
//! The same bytes serve both: sizes of the segment and its clusters are open, and room is kept for what is known at the
//! end only. [`finish`](mist_core::format::Muxer::finish) writes Cues and says how to patch SeekHead, Duration and all
//! sizes; an index gives the duration at once, and nothing is remembered for a sink that is a pipe. WebM is what only has codecs that WebM allows, the rest is
//! Matroska.
//!
//! Timestamps have the resolution of the fastest audio track's samples instead of the usual millisecond, so that times
//! of samples come back exactly; what reads Matroska, browsers included, goes by TimestampScale. It leaves blocks
//! 16 bits of ticks around their cluster's time, 0.7 s at 48 kHz: clusters begin as often as that needs, at keyframes
//! of video, and when they get too large or long. Their time is a decoding time, so that blocks of reordered
//! pictures don't lie before it.
//!
//! Times before zero can't be said: then all are later by as much as the first needs. Without an index they also lose the
//! whole seconds that the first packet is late: who joins a stream after hours wants to see it from the start, and
//! Chromium waits for hours where pictures of H.264 are reordered. Opus times are later by
//! CodecDelay, as the standard has it. H.264 and HEVC whose parameter sets change in mid-stream get the new
//! ones in band, at keyframes; other changes that players have to know before are refused.

use super::mux_element::{UNKNOWN, id, int, master, size, text, uint, void, wide_size};
use super::mux_head::{self, DURATION, Stored};
use super::schema::ids;
use super::{ID, limits};
use bytes::{Bytes, BytesMut};
use mist_core::codec::h264::{self, Avcc};
use mist_core::codec::hevc::{self, Hvcc};
use mist_core::codec::text::Cue;
use mist_core::codec::{Codec, nal, packet_duration, pcm};
use mist_core::format::{ErrorKind, FormatError, Index, Patch};
use mist_core::gather::Gather;
use mist_core::media::{Kind, Packet, TrackInfo};
use mist_core::time::{Duration, TICKS_PER_SECOND, Timestamp};
use std::sync::Arc;

/// Bytes kept for SeekHead: three entries and a Void.
const SEEK_ROOM: usize = 80;
/// Bytes of a cluster's id.
const CLUSTER_ID: usize = 4;
/// Bytes after which a cluster is ended.
const CLUSTER_BYTES: u64 = 5 << 20;
/// Time after which a cluster is ended.
const CLUSTER_TIME: Duration = Duration::from_secs(5);
/// The least time between two cues.
const CUE_DISTANCE: Duration = Duration::from_millis(500);

#[derive(Debug)]
struct Track {
    info: Arc<TrackInfo>,
    stored: Stored,
    /// Parameter sets that came after the start, as NAL units with lengths: they go in front of keyframes.
    parameters: Bytes,
    /// The packet before.
    last: Option<Timestamp>,
    /// From the packet before that to the one before.
    step: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Cluster {
    /// Its Timestamp.
    time: i64,
    begins: Timestamp,
    bytes: u64,
}

/// How long clusters are, which follow each other without gaps.
#[derive(Debug, Default)]
struct Clusters {
    /// Where the first begins.
    first: Option<u64>,
    /// Bytes of each with its head, but for the last.
    lengths: Vec<u32>,
    /// Where the last begins.
    last: u64,
    /// There were too many.
    lost: bool,
}

impl Clusters {
    /// Another begins, or the last ends.
    fn next(&mut self, at: u64) {
        if self.first.is_none() {
            self.first = Some(at);
        } else {
            match u32::try_from(at - self.last) {
                Ok(len) if self.lengths.len() < limits::CLUSTERS_WRITTEN => self.lengths.push(len),
                _ => {
                    self.lost = true;
                    self.lengths = Vec::new();
                }
            }
        }
        self.last = at;
    }
}

/// Where keyframes lie: time in ticks and the cluster's offset in the segment.
#[derive(Debug, Default)]
struct Cues {
    points: Vec<(u64, u64)>,
    /// The least distance in ticks; doubles whenever there are too many.
    distance: u64,
}

impl Cues {
    fn add(&mut self, time: u64, at: u64) {
        if self.points.last().is_some_and(|(last, _)| time < last.saturating_add(self.distance)) {
            return;
        }
        if self.points.len() >= limits::CUES_WRITTEN {
            let mut n = 0usize;
            self.points.retain(|_| {
                n += 1;
                n % 2 == 1
            });
            self.distance = self.distance.saturating_mul(2);
        }
        self.points.push((time, at));
    }
}

/// Writes Matroska and WebM.
#[derive(Debug, Default)]
pub struct Muxer {
    tracks: Vec<Track>,
    /// The track that cues point to.
    main: usize,
    /// Nanoseconds of a tick.
    scale: u32,
    /// Added to all times.
    shift: Option<Duration>,
    /// Bytes written.
    written: u64,
    /// Where the segment's data begins.
    segment: u64,
    /// In the segment: where Info, Tracks and room for Duration lie.
    info_at: u64,
    tracks_at: u64,
    duration_at: u64,
    cluster: Option<Cluster>,
    /// Nothing can be put over what was written: sizes and cues needn't be remembered.
    unpatched: bool,
    clusters: Clusters,
    cues: Cues,
    /// The first and the last time that something is shown.
    shown: Option<(Timestamp, Timestamp)>,
    scratch: Vec<u8>,
}

impl Muxer {
    /// Before its start.
    pub fn new() -> Self {
        Self::default()
    }

    fn error(&self, path: &'static str, kind: ErrorKind) -> FormatError {
        FormatError { format: ID, offset: self.written, path, kind }
    }

    fn put(&mut self, bytes: &[u8], out: &mut Gather) {
        self.written += bytes.len() as u64;
        out.put(bytes);
    }

    /// A time in ticks, `delay` nanoseconds later, to the nearest.
    fn ticks(&self, t: Timestamp, delay: u64) -> i64 {
        let second = i128::from(TICKS_PER_SECOND);
        let ns = i128::from(t.ticks()) * i128::from(mux_head::NANO) + i128::from(delay) * second;
        let tick = i128::from(self.scale.max(1)) * second;
        let v = (ns + tick / 2).div_euclid(tick);
        i64::try_from(v).unwrap_or(if v < 0 { i64::MIN } else { i64::MAX })
    }

    fn span(&self, d: Duration) -> u64 {
        u64::try_from(self.ticks(Timestamp::ZERO + d, 0)).unwrap_or(0)
    }

    /// SeekHead, filled up to [`SEEK_ROOM`] bytes. Positions count from the segment's data on.
    fn seek_head(&self, cues: Option<u64>) -> Vec<u8> {
        let mut d = Vec::with_capacity(SEEK_ROOM);
        let places =
            [(ids::INFO, Some(self.info_at)), (ids::TRACKS, Some(self.tracks_at)), (ids::CUES, cues)];
        master(&mut d, ids::SEEK_HEAD, |s| {
            for (element, at) in places {
                let Some(at) = at else { continue };
                master(s, ids::SEEK, |s| {
                    let mut name = Vec::new();
                    id(&mut name, element);
                    super::mux_element::binary(s, ids::SEEK_ID, &name);
                    uint(s, ids::SEEK_POSITION, at);
                });
            }
        });
        let left = SEEK_ROOM - d.len().min(SEEK_ROOM);
        void(&mut d, left);
        d
    }

    /// Ends the open cluster if a packet can't or shouldn't be in it, and begins another one.
    fn cluster_for(&mut self, p: &Packet, pts: i64, delay: u64, main: bool, out: &mut Gather) -> i64 {
        let shift = self.shift.unwrap_or_default();
        let begins = p.dts + shift;
        let video = self.tracks.get(self.main).is_some_and(|t| t.info.codec.kind() == Kind::Video);
        let fits = |c: &Cluster| {
            i16::try_from(pts.saturating_sub(c.time)).is_ok()
                && !(main && video && p.key)
                && c.bytes < CLUSTER_BYTES
                && begins - c.begins < CLUSTER_TIME
        };
        if let Some(c) = self.cluster.filter(fits) {
            return c.time;
        }
        let dts = self.ticks(begins, delay).max(0);
        let near = pts.saturating_sub(dts) <= i16::MAX.into();
        let time = if near { dts.min(pts) } else { pts };
        let at = self.written - self.segment;
        if !self.unpatched && !self.clusters.lost {
            self.clusters.next(at);
        }
        let mut d = Vec::with_capacity(24);
        id(&mut d, ids::CLUSTER);
        d.extend_from_slice(&UNKNOWN);
        uint(&mut d, ids::TIMESTAMP, time.unsigned_abs());
        self.put(&d, out);
        self.cluster = Some(Cluster { time, begins, bytes: 0 });
        if main && (p.key || !video) && !self.unpatched {
            self.cues.add(pts.unsigned_abs(), at);
        }
        time
    }
}

/// What brings the first packet to the first second. Whole seconds leave samples where ticks hit them.
fn start_shift(first: &Packet) -> Duration {
    let t = first.dts.min(first.pts()).ticks();
    let earlier = if t < 0 { t } else { t - t % TICKS_PER_SECOND };
    Duration::from_ticks(earlier.saturating_neg())
}

/// The parameter sets of init data as NAL units with lengths; `None` for other codecs, whose packets have them.
fn parameters(info: &TrackInfo) -> Option<Bytes> {
    let mut d = BytesMut::new();
    match info.codec {
        Codec::H264 => Avcc::parse(&info.init).ok()?.nals().for_each(|n| nal::put_unit(&mut d, n)),
        Codec::Hevc => Hvcc::parse(&info.init).ok()?.nals().for_each(|n| nal::put_unit(&mut d, n)),
        _ => return None,
    }
    Some(d.freeze())
}

/// Whether a picture brings its own parameter sets.
fn has_parameters(codec: Codec, data: &[u8]) -> bool {
    nal::units(data).any(|n| match codec {
        Codec::Hevc => hevc::nal::kind(n) == hevc::nal::SPS,
        _ => h264::nal::kind(n) == h264::nal::SPS,
    })
}

/// Whether packets of this codec say all that has changed.
const fn in_band(codec: Codec) -> bool {
    matches!(
        codec,
        Codec::Vp8
            | Codec::Vp9
            | Codec::Av1
            | Codec::Mpeg2
            | Codec::Jpeg
            | Codec::Mp3
            | Codec::Mp2
            | Codec::Ac3
            | Codec::Eac3
            | Codec::Dts
    )
}

/// What stands in a block for a packet, and what stands beside it.
struct Body {
    /// In front of `data`.
    prefix: Bytes,
    data: Bytes,
    /// Elements behind the block in its group; empty for a block that needs no group.
    beside: Vec<u8>,
}

impl Muxer {
    fn body(&self, t: &Track, p: &Packet, key: bool) -> Body {
        let mut b = Body { prefix: Bytes::new(), data: p.data.clone(), beside: Vec::new() };
        match t.info.codec {
            // Empty unless they changed.
            Codec::H264 | Codec::Hevc if key && !has_parameters(t.info.codec, &p.data) => {
                b.prefix = t.parameters.clone();
            }
            Codec::WebVtt => self.cue(t, &mut b),
            _ => {}
        }
        if let Some(bits) = t.stored.swapped {
            b.data = pcm::swapped(b.data, bits);
        }
        let timed = matches!(t.info.codec.kind(), Kind::Text | Kind::Data);
        if timed && p.duration > Duration::ZERO {
            uint(&mut b.beside, ids::BLOCK_DURATION, self.span(p.duration));
        }
        if t.info.codec == Codec::Opus && p.duration > Duration::ZERO {
            // A packet that is to be heard for less than it lasts: the end of the stream.
            let whole = packet_duration(&t.info, &p.data).unwrap_or_default();
            if whole > p.duration {
                int(&mut b.beside, ids::DISCARD_PADDING, (whole - p.duration).to_rate(mux_head::NANO));
            }
        }
        b
    }

    /// A WebVTT cue: settings and identifier stand before the text in WebM, beside it in Matroska.
    fn cue(&self, t: &Track, b: &mut Body) {
        let data = b.data.clone();
        let cue = Cue::parse(&data);
        if !t.stored.id.starts_with("S_") {
            b.data = format!("{}\n{}\n{}", cue.id, cue.settings, cue.text).into();
        } else if !(cue.id.is_empty() && cue.settings.is_empty()) {
            b.data = Bytes::copy_from_slice(cue.text.as_bytes());
            master(&mut b.beside, ids::BLOCK_ADDITIONS, |a| {
                master(a, ids::BLOCK_MORE, |m| {
                    uint(m, ids::BLOCK_ADD_ID, 1);
                    text(m, ids::BLOCK_ADDITIONAL, &format!("{}\n{}\n", cue.settings, cue.id));
                });
            });
        }
    }

    /// Takes note of when packets are shown.
    fn count(&mut self, n: usize, p: &Packet) {
        let Some(t) = self.tracks.get_mut(n) else { return };
        if let Some(last) = t.last.filter(|l| p.dts > *l) {
            t.step = p.dts - last;
        }
        t.last = Some(p.dts);
        let lasts = if p.duration > Duration::ZERO { p.duration } else { t.step };
        let end = p.pts() + lasts;
        self.shown = Some(self.shown.map_or((p.pts(), end), |(a, z)| (a.min(p.pts()), z.max(end))));
    }
}

impl mist_core::format::Muxer for Muxer {
    fn unpatched(&mut self) {
        self.unpatched = true;
    }

    fn start(
        &mut self,
        tracks: &[Arc<TrackInfo>],
        index: Option<&Index>,
        out: &mut Gather,
    ) -> Result<(), FormatError> {
        if tracks.len() > limits::TRACKS {
            return Err(self.error("Segment/Tracks", ErrorKind::Limit("tracks")));
        }
        let all = || tracks.iter().map(|t| &**t);
        let webm = mux_head::is_webm(all());
        self.scale = mux_head::scale(all());
        self.tracks.clear();
        for info in tracks {
            let Some(stored) = Stored::of(info, webm) else {
                return Err(self.error("Segment/Tracks", ErrorKind::Unsupported("codec")));
            };
            self.tracks.push(Track {
                info: info.clone(),
                stored,
                parameters: Bytes::new(),
                last: None,
                step: Duration::ZERO,
            });
        }
        let of = |kind| tracks.iter().position(|t| t.codec.kind() == kind);
        self.main = of(Kind::Video).or_else(|| of(Kind::Audio)).unwrap_or(0);
        self.cues = Cues { points: Vec::new(), distance: self.span(CUE_DISTANCE) };

        let known = index.and_then(|i| self.extent(i));
        let mut head = Vec::new();
        mux_head::ebml(&mut head, webm);
        id(&mut head, ids::SEGMENT);
        head.extend_from_slice(&UNKNOWN);
        self.segment = head.len() as u64;
        let mut info = Vec::new();
        mux_head::info(&mut info, self.scale, |i| match known {
            Some(d) => mux_head::duration(i, self.ticks(Timestamp::ZERO + d, 0)),
            None => void(i, DURATION),
        });
        self.info_at = SEEK_ROOM as u64;
        self.tracks_at = self.info_at + info.len() as u64;
        self.duration_at = self.tracks_at - DURATION as u64;
        head.extend(self.seek_head(None));
        head.extend(info);
        master(&mut head, ids::TRACKS, |d| {
            for (number, t) in (1..).zip(&self.tracks) {
                mux_head::track(d, number, &t.info, &t.stored);
            }
        });
        self.put(&head, out);
        Ok(())
    }

    fn track(&mut self, info: &Arc<TrackInfo>, _out: &mut Gather) -> Result<(), FormatError> {
        let refuse = |what| Err(self.error("Segment/Tracks", ErrorKind::Unsupported(what)));
        let Some(n) = self.tracks.iter().position(|t| t.info.id == info.id) else {
            return refuse("a track that appears after the start");
        };
        let Some(old) = self.tracks.get(n) else { return Ok(()) };
        if old.info.codec != info.codec {
            return refuse("another codec after the start");
        }
        let same = old.info.init == info.init && old.info.params == info.params;
        let parameters = if same { None } else { parameters(info) };
        if !same && parameters.is_none() && !in_band(info.codec) {
            return refuse("another codec setup after the start");
        }
        if let Some(t) = self.tracks.get_mut(n) {
            t.info = info.clone();
            t.parameters = parameters.unwrap_or_else(|| t.parameters.clone());
        }
        Ok(())
    }

    fn packet(&mut self, p: &Packet, out: &mut Gather) -> Result<(), FormatError> {
        let Some(n) = self.tracks.iter().position(|t| t.info.id == p.track) else {
            return Err(self.error("", ErrorKind::Malformed("packet of a track that was not announced")));
        };
        let Some(t) = self.tracks.get(n) else { return Ok(()) };
        let key = p.key || t.info.codec.kind() != Kind::Video;
        let delay = t.stored.delay;
        let shift = self.shift.unwrap_or_else(|| start_shift(p));
        let b = self.body(t, p, key);
        self.shift = Some(shift);
        let pts = self.ticks(p.pts() + shift, delay).max(0);
        let cluster = self.cluster_for(p, pts, delay, n == self.main, out);
        let rel = i16::try_from(pts.saturating_sub(cluster)).unwrap_or(i16::MAX).to_be_bytes();
        self.count(n, p);

        let mut number = Vec::with_capacity(2);
        size(&mut number, n as u64 + 1);
        let len = number.len() + 3 + b.prefix.len() + b.data.len();
        let mut d = std::mem::take(&mut self.scratch);
        d.clear();
        let flags = if b.beside.is_empty() {
            id(&mut d, ids::SIMPLE_BLOCK);
            if key { 0x80 } else { 0 }
        } else {
            let mut inner = Vec::with_capacity(9);
            id(&mut inner, ids::BLOCK);
            size(&mut inner, len as u64);
            id(&mut d, ids::BLOCK_GROUP);
            size(&mut d, (inner.len() + len + b.beside.len()) as u64);
            id(&mut d, ids::BLOCK);
            0
        };
        size(&mut d, len as u64);
        d.extend_from_slice(&number);
        d.extend_from_slice(&rel);
        d.push(flags);
        let bytes = (d.len() + b.prefix.len() + b.data.len() + b.beside.len()) as u64;
        out.put(&d);
        out.push(b.prefix);
        out.push(b.data);
        out.put(&b.beside);
        self.scratch = d;
        self.written += bytes;
        if let Some(c) = &mut self.cluster {
            c.bytes += bytes;
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Gather) -> Result<Vec<Patch>, FormatError> {
        if self.segment == 0 {
            return Err(self.error("", ErrorKind::Malformed("finished before its start")));
        }
        if self.unpatched {
            return Ok(Vec::new());
        }
        if self.cluster.take().is_some() && !self.clusters.lost {
            self.clusters.next(self.written - self.segment);
        }
        let mut cues_at = None;
        if !self.cues.points.is_empty() {
            cues_at = Some(self.written - self.segment);
            let mut d = Vec::new();
            master(&mut d, ids::CUES, |c| {
                for (time, at) in &self.cues.points {
                    master(c, ids::CUE_POINT, |c| {
                        uint(c, ids::CUE_TIME, *time);
                        master(c, ids::CUE_TRACK_POSITIONS, |c| {
                            uint(c, ids::CUE_TRACK, self.main as u64 + 1);
                            uint(c, ids::CUE_CLUSTER_POSITION, *at);
                        });
                    });
                }
            });
            self.put(&d, out);
        }
        let patch = |offset: u64, data: Vec<u8>| Patch { offset, data: Bytes::from(data) };
        let mut patches = vec![patch(self.segment, self.seek_head(cues_at))];
        // A segment of a known size may not have clusters of an unknown one.
        if !self.clusters.lost {
            let end = wide_size(self.written - self.segment);
            patches.push(patch(self.segment - UNKNOWN.len() as u64, end.to_vec()));
            let mut at = self.segment + self.clusters.first.unwrap_or(0);
            for len in &self.clusters.lengths {
                let head = (CLUSTER_ID + UNKNOWN.len()) as u64;
                let size = wide_size(u64::from(*len).saturating_sub(head));
                patches.push(patch(at + CLUSTER_ID as u64, size.to_vec()));
                at += u64::from(*len);
            }
        }
        if let Some((from, to)) = self.shown {
            let mut d = Vec::new();
            mux_head::duration(&mut d, self.ticks(Timestamp::ZERO + (to - from), 0));
            patches.push(patch(self.segment + self.duration_at, d));
        }
        Ok(patches)
    }
}

impl Muxer {
    /// From the first to the last time that something is shown; takes note of how much earlier than zero that begins.
    fn extent(&mut self, index: &Index) -> Option<Duration> {
        let mut shown: Option<(Timestamp, Timestamp)> = None;
        for (_, list) in &index.tracks {
            let step = match list.as_slice() {
                [.., a, b] => b.dts - a.dts,
                _ => Duration::ZERO,
            };
            for e in list {
                let pts = e.dts + e.cts;
                let end = pts + if e.duration > Duration::ZERO { e.duration } else { step };
                shown = Some(shown.map_or((pts, end), |(a, z)| (a.min(pts), z.max(end))));
            }
        }
        let (from, to) = shown?;
        self.shift = Some((Timestamp::ZERO - from).max(Duration::ZERO));
        Some(to - from)
    }
}
