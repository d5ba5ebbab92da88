//! The schema of `--json`. Members are always there, `null` where they don't apply or are not known. Times are in
//! milliseconds with their fractions, sizes in bytes, bit rates in bits a second.

use crate::problem::{Problem, Problems};
use crate::report::Whole;
use crate::track::Track;
use mist_core::codec::rfc6381::codec_string;
use mist_core::format::Node;
use mist_core::media::{Kind, Packet, Params};
use mist_core::time::{Duration, Timestamp};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// A source as a whole; with `type` it is the last line at packet level.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<&'static str>,
    #[serde(flatten)]
    pub(crate) head: Option<Head>,
    pub(crate) duration_ms: Option<f64>,
    /// From the start of the pictures to the start of the sound; negative where the sound is first.
    pub(crate) av_start_offset_ms: Option<f64>,
    /// The longest way that a packet comes in the source behind one of a later time.
    pub(crate) interleave_ms: Option<f64>,
    pub(crate) tracks: Vec<TrackSummary>,
    pub(crate) problems: Vec<ProblemLine>,
    /// How many problems of each id; `problems` has the first hundred of each.
    pub(crate) problem_counts: BTreeMap<&'static str, u64>,
}

/// What is known before the first byte is demuxed.
#[derive(Debug, Serialize)]
pub(crate) struct Head {
    pub(crate) format: Option<&'static str>,
}

/// A track's description.
#[derive(Debug, Serialize)]
pub(crate) struct Description {
    id: u32,
    kind: &'static str,
    codec: &'static str,
    /// RFC 6381.
    codec_string: Option<String>,
    width: Option<u32>,
    height: Option<u32>,
    /// As declared; as measured where nothing is.
    fps: Option<f64>,
    rate: Option<u32>,
    channels: Option<u16>,
    bits: Option<u16>,
    lang: Option<String>,
    /// Sample aspect ratio, width to height; `null` for square pixels.
    sar: Option<[u32; 2]>,
    /// Degrees clockwise, where pictures are to be turned.
    rotation: Option<u16>,
    colour: Option<ColourLine>,
    init_sha256: Option<String>,
}

/// Code points of ITU-T H.273.
#[derive(Debug, Serialize)]
struct ColourLine {
    primaries: u16,
    transfer: u16,
    matrix: u16,
    full_range: bool,
}

/// A track with what was counted.
#[derive(Debug, Serialize)]
pub(crate) struct TrackSummary {
    #[serde(flatten)]
    description: Description,
    /// How often the description changed in mid-stream.
    changes: u64,
    packets: u64,
    keyframes: u64,
    bytes: u64,
    bit_rate: Option<f64>,
    /// In the fullest second.
    peak_bit_rate: Option<f64>,
    /// Of the first and last packet in the order of the source.
    first_pts_ms: Option<f64>,
    last_pts_ms: Option<f64>,
    first_dts_ms: Option<f64>,
    last_dts_ms: Option<f64>,
    min_pts_ms: Option<f64>,
    max_pts_ms: Option<f64>,
    /// Whether pictures are shown in another order than decoded; only of video.
    b_frames: Option<bool>,
    /// Closed captions in the pictures: `CEA-608`, `CEA-708`; only of video.
    captions: Option<Vec<&'static str>>,
    /// From keyframe to keyframe; only of video with two of them.
    gop: Option<GopSummary>,
    /// The longest way that its packets come behind those of other tracks.
    behind_ms: f64,
}

/// Lengths of closed GOPs.
#[derive(Debug, Serialize)]
struct GopSummary {
    count: u64,
    min_ms: f64,
    avg_ms: f64,
    max_ms: f64,
    avg_packets: f64,
}

/// A problem.
#[derive(Debug, Serialize)]
pub(crate) struct ProblemLine {
    id: &'static str,
    severity: &'static str,
    offset: Option<u64>,
    track: Option<u32>,
    time_ms: Option<f64>,
    message: String,
}

/// A line at packet level.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum Line {
    /// Before the first packet of a track, and where its description changes.
    Track(Description),
    /// A packet; `data` in hexadecimal with `--detail hex`.
    Packet {
        track: u32,
        pts_ms: f64,
        dts_ms: f64,
        duration_ms: Option<f64>,
        size: usize,
        key: bool,
        /// Byte in the source where the payload begins, where that is known.
        offset: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        data: Option<String>,
    },
    /// Where it was found.
    Problem(ProblemLine),
}

/// A piece of structure.
#[derive(Debug, Serialize)]
pub(crate) struct NodeLine<'a> {
    depth: u16,
    offset: u64,
    len: u64,
    name: &'a str,
    detail: &'a str,
}

/// The unit is a whole fraction of a millisecond, so that only the conversion to a double rounds.
pub(crate) fn ms(t: Timestamp) -> f64 {
    t.ticks() as f64 / 705_600.0
}

pub(crate) fn length_ms(d: Duration) -> f64 {
    d.ticks() as f64 / 705_600.0
}

fn hex(data: &[u8]) -> String {
    data.iter().map(|b| format!("{b:02x}")).collect()
}

impl Description {
    /// Of a track as it is now.
    pub(crate) fn of(t: &Track) -> Self {
        let i = &t.info;
        let known = |v: u32| (v > 0).then_some(v);
        let (mut width, mut height, mut fps, mut rate, mut channels, mut bits) =
            (None, None, None, None, None, None);
        match i.params {
            Params::Video { width: w, height: h, fpks } => {
                (width, height) = (known(w), known(h));
                fps = known(fpks).map(|f| f64::from(f) / 1000.0).or_else(|| t.packet_rate());
            }
            Params::Audio { rate: r, channels: c, bits: b } => {
                rate = known(r);
                channels = (c > 0).then_some(c);
                bits = (b > 0).then_some(b);
            }
            _ => {}
        }
        Self {
            id: i.id.0,
            kind: i.codec.kind().name(),
            codec: i.codec.name(),
            codec_string: codec_string(i),
            width,
            height,
            fps,
            rate,
            channels,
            bits,
            lang: i.lang.map(|l| l.to_string()),
            sar: t.sar().map(|(w, h)| [w, h]),
            rotation: Some(i.visual.rotation).filter(|r| *r > 0),
            colour: i.visual.colour.map(|c| ColourLine {
                primaries: c.primaries,
                transfer: c.transfer,
                matrix: c.matrix,
                full_range: c.full_range,
            }),
            init_sha256: (!i.init.is_empty()).then(|| hex(&Sha256::digest(&i.init))),
        }
    }
}

/// Names of the captions that were found in a track's pictures.
pub(crate) fn captions(t: &Track) -> impl Iterator<Item = &'static str> {
    let all = [(t.captions.cea608, "CEA-608"), (t.captions.cea708, "CEA-708")];
    all.into_iter().filter(|c| c.0).map(|c| c.1)
}

impl TrackSummary {
    fn of(t: &Track) -> Self {
        let video = t.info.codec.kind() == Kind::Video;
        Self {
            description: Description::of(t),
            changes: t.changes,
            packets: t.packets,
            keyframes: t.keyframes,
            bytes: t.bytes,
            bit_rate: t.bit_rate(),
            peak_bit_rate: t.peak_bit_rate(),
            first_pts_ms: t.times.map(|t| ms(t.first_pts)),
            last_pts_ms: t.times.map(|t| ms(t.last_pts)),
            first_dts_ms: t.times.map(|t| ms(t.first_dts)),
            last_dts_ms: t.times.map(|t| ms(t.last_dts)),
            min_pts_ms: t.times.map(|t| ms(t.min_pts)),
            max_pts_ms: t.times.map(|t| ms(t.max_pts)),
            b_frames: video.then_some(t.reordered),
            captions: video.then(|| captions(t).collect()),
            gop: t.gops.filter(|_| video).map(|g| GopSummary {
                count: g.count,
                min_ms: length_ms(g.min),
                avg_ms: length_ms(g.average()),
                max_ms: length_ms(g.max),
                avg_packets: g.packets(),
            }),
            behind_ms: length_ms(t.behind),
        }
    }
}

impl ProblemLine {
    /// Of a problem.
    pub(crate) fn of(p: &Problem) -> Self {
        Self {
            id: p.sort.id(),
            severity: p.sort.severity().name(),
            offset: p.offset,
            track: p.track.map(|t| t.0),
            time_ms: p.time.map(ms),
            message: p.message(),
        }
    }
}

impl Line {
    /// Of a packet, with its payload or without.
    pub(crate) fn of(p: &Packet, offset: Option<u64>, data: bool) -> Self {
        Self::Packet {
            track: p.track.0,
            pts_ms: ms(p.pts()),
            dts_ms: ms(p.dts),
            duration_ms: (p.duration > Duration::ZERO).then(|| length_ms(p.duration)),
            size: p.data.len(),
            key: p.key,
            offset,
            data: data.then(|| hex(&p.data)),
        }
    }
}

impl<'a> NodeLine<'a> {
    /// Of a node.
    pub(crate) fn of(n: &'a Node) -> Self {
        Self { depth: n.depth, offset: n.offset, len: n.len, name: n.name, detail: &n.detail }
    }
}

impl Summary {
    /// Of everything.
    pub(crate) fn of(whole: &Whole, tracks: &[Track], problems: &Problems) -> Self {
        Self {
            line: None,
            head: None,
            duration_ms: whole.duration.map(length_ms),
            av_start_offset_ms: whole.start_offset.map(length_ms),
            interleave_ms: whole.interleave.map(length_ms),
            tracks: tracks.iter().map(TrackSummary::of).collect(),
            problems: problems.kept().iter().map(ProblemLine::of).collect(),
            problem_counts: problems.counts().map(|(s, n)| (s.id(), n)).collect(),
        }
    }
}
