//! Packets to files and live streams.
//!
//! The same bytes serve both: sizes of the segment and its clusters are open, and room is kept for what is known at the
//! end only. [`finish`](mist_core::format::Muxer::finish) writes Cues and says how to patch SeekHead, Duration and all
//! sizes; an index gives the duration at once, and nothing is remembered for a sink that is a pipe. WebM is what only has codecs that WebM allows, the rest is
//! Matroska. WebM's WebVTT has no place for the file's header: styles are lost there.
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

#[cfg(test)]
mod tests {
    use super::super::Demuxer;
    use super::*;
    use mist_core::codec::opus::OpusHead;
    use mist_core::format::{Demuxed, Demuxer as _, IndexEntry, Muxer as _};
    use mist_core::media::{Colour, Lang, Media, Params, TrackId, Visual};

    fn sound(id: u32, codec: Codec, rate: u32) -> Arc<TrackInfo> {
        let init = match codec {
            Codec::Opus => OpusHead::new(2, 312).unwrap().build(),
            Codec::Aac => Bytes::from_static(&[0x12, 0x10]),
            _ => Bytes::new(),
        };
        let params = Params::Audio { rate, channels: 2, bits: 16 };
        Arc::new(TrackInfo::new(TrackId(id), codec, init, params))
    }

    fn picture(id: u32, codec: Codec) -> TrackInfo {
        TrackInfo::new(
            TrackId(id),
            codec,
            Bytes::new(),
            Params::Video { width: 720, height: 576, fpks: 25_000 },
        )
    }

    fn packet(track: u32, dts: Timestamp, len: usize) -> Packet {
        let (cts, duration) = (Duration::ZERO, Duration::ZERO);
        Packet { track: TrackId(track), dts, cts, duration, key: true, data: vec![1; len].into() }
    }

    fn mux(tracks: &[Arc<TrackInfo>], packets: &[Packet], patched: bool) -> Vec<u8> {
        let (mut m, mut out) = (Muxer::new(), Gather::new());
        if !patched {
            m.unpatched();
        }
        m.start(tracks, None, &mut out).unwrap();
        packets.iter().for_each(|p| m.packet(p, &mut out).unwrap());
        let patches = m.finish(&mut out).unwrap();
        assert_eq!(patches.is_empty(), !patched);
        let mut file = out.to_vec();
        for p in patches {
            file[p.offset as usize..][..p.data.len()].copy_from_slice(&p.data);
        }
        file
    }

    fn read(file: &[u8]) -> (Vec<Arc<TrackInfo>>, Vec<Packet>) {
        let mut d = Demuxer::new();
        d.push(0, Bytes::copy_from_slice(file));
        let (mut tracks, mut packets) = (Vec::new(), Vec::new());
        loop {
            match d.poll().unwrap() {
                Demuxed::Media(Media::Track(t)) => tracks.push(t),
                Demuxed::Media(Media::Packet(p)) => packets.push(p),
                Demuxed::Need(_) => d.end(),
                Demuxed::End => return (tracks, packets),
                // What goes in goes back.
                Demuxed::Problem(e) if e.kind == ErrorKind::TimeBack => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// At the tick of the fastest track every sample has a time of its own.
    #[test]
    fn times_of_samples_come_back() {
        for (codec, rate, samples) in
            [(Codec::Aac, 44_100, 1024), (Codec::Mp3, 48_000, 1152), (Codec::Mp2, 32_000, 1152)]
        {
            let t = [sound(1, codec, rate)];
            // Three hours in: the whole seconds before are not kept.
            let first = 10_800 * i64::from(rate);
            let at = |n: i64| Timestamp::from_rate(first + n * samples, rate);
            let packets: Vec<_> = (0..400).map(|n| packet(1, at(n), 300)).collect();
            for patched in [true, false] {
                let (_, back) = read(&mux(&t, &packets, patched));
                assert_eq!(back.len(), packets.len());
                for (n, p) in (0..).zip(&back) {
                    assert_eq!(p.dts.to_rate(rate), n * samples, "{codec:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_said_of_tracks_comes_back() {
        let colour = Colour { primaries: 9, transfer: 16, matrix: 9, full_range: true };
        for (sar, rotation) in [((16, 11), 90), ((1, 1), 180), ((2, 1), 270), ((8, 9), 0)] {
            let mut t = picture(7, Codec::Vp8).with_lang(Lang::new("deu"));
            t.visual = Visual { sar, colour: Some(colour), rotation };
            let (tracks, _) = read(&mux(&[Arc::new(t.clone())], &[packet(7, Timestamp::ZERO, 9)], true));
            assert_eq!((tracks[0].visual, tracks[0].lang, tracks[0].params), (t.visual, t.lang, t.params));
        }
        let webm = |tracks: &[Arc<TrackInfo>]| {
            let f = mux(tracks, &[packet(1, Timestamp::ZERO, 9)], false);
            memchr::memmem::find(&f[..40], b"webm").is_some()
        };
        assert!(webm(&[sound(1, Codec::Opus, 48_000), Arc::new(picture(2, Codec::Vp9))]));
        assert!(!webm(&[sound(1, Codec::Opus, 48_000), Arc::new(picture(2, Codec::Jpeg))]));
    }

    /// Blocks reach 32767 ticks from their cluster's time, also where pictures are shown long after they are decoded.
    #[test]
    fn clusters_hold_what_sixteen_bits_reach() {
        let tracks = [Arc::new(picture(1, Codec::Vp8)), sound(2, Codec::Mp3, 48_000)];
        let mut packets = Vec::new();
        for n in 0..60 {
            let at = Timestamp::from_millis(n * 500);
            let late = Duration::from_millis([0, 2500, 40, 900][n as usize % 4]);
            packets.push(Packet { cts: late, key: n % 8 == 0, ..packet(1, at, 20) });
            packets.push(packet(2, at, 300));
        }
        let file = mux(&tracks, &packets, true);
        let (_, back) = read(&file);
        for id in [1, 2] {
            let pts = |v: &[Packet]| -> Vec<i64> {
                v.iter().filter(|p| p.track.0 == id).map(|p| p.pts().as_millis()).collect()
            };
            assert_eq!(pts(&back), pts(&packets));
        }
    }

    #[test]
    fn clusters_and_cues_are_bounded() {
        let mut c = Cues { points: Vec::new(), distance: 10 };
        for n in 0..100_000u64 {
            c.add(n * 10, n);
            assert!(c.points.len() <= limits::CUES_WRITTEN);
        }
        assert!(c.points.len() > limits::CUES_WRITTEN / 2 && c.points[0] == (0, 0));
        assert!(c.points.windows(2).all(|w| w[1].0 - w[0].0 == c.points[1].0));
        let mut c = Clusters::default();
        (0..=limits::CLUSTERS_WRITTEN as u64).for_each(|n| c.next(n * 20));
        assert!(!c.lost && c.lengths.len() == limits::CLUSTERS_WRITTEN);
        c.next(u64::from(u32::MAX));
        assert!(c.lost && c.lengths.is_empty());
    }

    #[test]
    fn an_index_gives_the_duration_and_times_before_zero_move() {
        let (mut m, mut out) = (Muxer::new(), Gather::new());
        let t = [sound(1, Codec::Aac, 48_000)];
        let packets: Vec<_> = (-1..9).map(|n| packet(1, Timestamp::from_rate(n * 1024, 48_000), 9)).collect();
        let line = |p: &Packet| IndexEntry {
            dts: p.dts,
            cts: p.cts,
            duration: p.duration,
            size: p.data.len() as u32,
            key: true,
        };
        let index = Index { tracks: vec![(TrackId(1), packets.iter().map(line).collect())] };
        m.start(&t, Some(&index), &mut out).unwrap();
        let ticks = (10.0 * 1024.0 / 48_000.0 * 1e9 / 20_833.0_f64).round();
        let head = out.to_vec();
        let mut want = vec![0x44, 0x89, 0x88];
        want.extend_from_slice(&ticks.to_be_bytes());
        assert!(memchr::memmem::find(&head, &want).is_some());
        packets.iter().for_each(|p| m.packet(p, &mut out).unwrap());
        m.finish(&mut out).unwrap();
        let (_, back) = read(&out.to_vec());
        assert_eq!(back[1].dts.to_rate(48_000), 1024);
    }

    #[test]
    fn cues_of_text_keep_duration_settings_and_identifier() {
        let t = TrackInfo::new(TrackId(1), Codec::WebVtt, Bytes::new(), Params::Other);
        let cue = Cue { id: "7".into(), settings: "line:0".into(), text: "Hello".into() };
        let p = Packet {
            duration: Duration::from_millis(1500),
            data: cue.build(),
            ..packet(1, Timestamp::from_millis(40), 0)
        };
        let webm = mux(&[Arc::new(t.clone())], std::slice::from_ref(&p), true);
        assert!(memchr::memmem::find(&webm, b"7\nline:0\nHello").is_some());
        let tracks = [Arc::new(t), sound(2, Codec::Aac, 48_000)];
        let file = mux(&tracks, &[p], true);
        assert!(memchr::memmem::find(&file, b"line:0\n7\n").is_some());
        assert_eq!(read(&file).1[0].duration.as_millis(), 1500);
    }

    #[test]
    fn opus_that_ends_early_says_so() {
        let t = [sound(1, Codec::Opus, 48_000)];
        // 20 ms of which 5 are heard.
        let p = Packet {
            duration: Duration::from_millis(5),
            data: Bytes::from_static(&[0xfc, 1, 2]),
            ..packet(1, Timestamp::ZERO, 0)
        };
        let (_, back) = read(&mux(&t, &[p], true));
        assert_eq!((back[0].dts.to_rate(48_000), back[0].duration.as_millis()), (0, 5));
    }

    #[test]
    fn changes_in_mid_stream() {
        let (mut m, mut out) = (Muxer::new(), Gather::new());
        assert!(m.finish(&mut out).is_err());
        let vp8 = Arc::new(picture(1, Codec::Vp8));
        let aac = sound(2, Codec::Aac, 44_100);
        assert!(m.start(&[Arc::new(picture(1, Codec::Vp6))], None, &mut out).is_err());
        m.start(&[vp8.clone(), aac.clone()], None, &mut out).unwrap();
        assert!(m.track(&vp8, &mut out).is_ok() && m.track(&aac, &mut out).is_ok());
        let larger = Params::Video { width: 1920, height: 1080, fpks: 0 };
        assert!(m.track(&Arc::new(TrackInfo { params: larger, ..picture(1, Codec::Vp8) }), &mut out).is_ok());
        let other = TrackInfo { init: Bytes::from_static(&[0x11, 0x90]), ..TrackInfo::clone(&aac) };
        assert!(m.track(&Arc::new(other), &mut out).is_err());
        assert!(m.track(&sound(9, Codec::Aac, 44_100), &mut out).is_err());
        assert!(m.packet(&packet(9, Timestamp::ZERO, 5), &mut out).is_err());
        let many: Vec<_> = (0..=limits::TRACKS as u32).map(|id| sound(id, Codec::Mp3, 44_100)).collect();
        assert!(Muxer::new().start(&many, None, &mut out).is_err());
        assert!(Muxer::new().start(&many[1..], None, &mut out).is_ok());
    }
}
