//! What is to be muxed, out of arbitrary bytes: a format, tracks that it announces, and packets at all kinds of times.

#![allow(clippy::indexing_slicing, reason = "whoever reads it is to fail by panicking, and so may this")]

use super::material::{Draw, payload, track};
use super::pick;
use super::rules::vorbis;
use mist_core::codec::{Codec, is_key, packet_duration};
use mist_core::format::{Index, IndexEntry};
use mist_core::media::{Colour, Kind, Lang, Packet, TrackId, TrackInfo, Visual};
use mist_core::registry::{FormatDef, Slot};
use mist_core::time::{Duration, Timestamp};
use std::sync::Arc;

/// Packets of a plan.
const PACKETS: usize = 240;
/// Bytes of a plan's payload.
const BYTES: usize = 400_000;
/// Tracks, where a format takes several.
const TRACKS: usize = 5;

/// How the muxer is driven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Without an index, into a sink that is patched at the end.
    Live,
    /// Without an index, into a pipe.
    Pipe,
    /// With an index.
    Indexed,
}

/// One thing that the muxer is told.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Track(Arc<TrackInfo>),
    Packet(Packet),
}

#[derive(Debug)]
pub(super) struct Plan {
    pub(super) def: &'static FormatDef,
    pub(super) form: Form,
    pub(super) tracks: Vec<Arc<TrackInfo>>,
    pub(super) steps: Vec<Step>,
}

/// Where streams begin, in milliseconds: also where the clocks of formats end (2^24, 2^31 and 2^32 ms of FLV, 2^32 and 2^33
/// of 90 kHz).
const STARTS: [i64; 14] = [
    0,
    0,
    0,
    1,
    40,
    999,
    5_003,
    -500,
    -20_000,
    (1 << 24) - 200,
    (1 << 31) - 200,
    (1 << 32) - 200,
    (1i64 << 32) / 90 - 200,
    (1i64 << 33) / 90 - 1_600,
];

/// Codecs that decode pictures in another order than they show them.
pub(super) const fn reorders(codec: Codec) -> bool {
    matches!(codec, Codec::H264 | Codec::Hevc | Codec::Mpeg2 | Codec::Mpeg4)
}

/// Codecs of which only the container says which pictures are keys.
const fn is_told(codec: Codec) -> bool {
    matches!(codec, Codec::Mpeg4 | Codec::Screen1 | Codec::Screen2)
}

/// How a track's times go.
struct Clock {
    next: Timestamp,
    step: Duration,
    /// Rounded to milliseconds, as sources do that have no finer clock.
    rounded: bool,
    /// Stamped when they arrived, never before the packet before.
    jitter: bool,
    last: Timestamp,
    /// Pictures are shown in another order than decoded.
    reordered: u8,
    /// What is next: an I, a P or a B picture.
    n: u8,
    /// Samples of the last block, of Vorbis.
    block: i64,
}

impl Plan {
    /// `None` where there is no such format.
    pub(super) fn new(data: &[u8]) -> Option<Self> {
        let [format, shape, rest @ ..] = data else { return None };
        let def = pick(*format)?;
        let output = def.output?;
        if def.muxer.is_none() || def.demuxer.is_none() {
            return None;
        }
        let form = [Form::Live, Form::Pipe, Form::Indexed][usize::from(*shape) % 3];
        let d = &mut Draw::new(rest);
        let slots = || output.codecs.iter().copied().flatten();
        let codecs: Vec<Codec> = slots()
            .flat_map(|slot| match slot {
                Slot::Of(l) | Slot::Many(l) => *l,
                Slot::Any => Codec::ALL,
            })
            .copied()
            .collect();
        // What one slot is for takes one track, unless reading knows more.
        let many = |s: &Slot| !matches!(s, Slot::Of(_));
        let single = slots().count() == 1 && !slots().any(many);
        let count = if single { 1 } else { 1 + d.below(TRACKS) };
        let start = Timestamp::from_millis(STARTS[d.below(STARTS.len())]);
        let (mut tracks, mut clocks) = (Vec::new(), Vec::new());
        for id in 1..=count {
            let codec = *codecs.get(d.below(codecs.len()))?;
            let mut info = track(id as u32, codec, d.below(6), language(d));
            if codec.kind() == Kind::Video && d.one_in(4) {
                info.visual = visual(d);
            }
            let info = Arc::new(info);
            clocks.push(Clock::new(d, start, &info));
            tracks.push(info);
        }
        let mut steps = packets(d, &tracks, &mut clocks);
        let late = d.below(4) as i64 * 100;
        // Some are late by a bounded time: other streams' packets with later times come before them.
        let due = |p: &Packet| {
            let behind = if form != Form::Indexed && p.track == TrackId(1) { late } else { 0 };
            (p.dts + Duration::from_millis(behind), p.track)
        };
        steps.sort_by_key(due);
        let mut plan = Self { def, form, tracks, steps: steps.into_iter().map(Step::Packet).collect() };
        plan.change(d);
        Some(plan)
    }

    /// A track's description changes somewhere, where the next packet is a key.
    fn change(&mut self, d: &mut Draw<'_>) {
        if self.form == Form::Indexed || !d.one_in(4) {
            return;
        }
        let from = self.steps.len() / 3;
        let at = self.steps.iter().skip(from).position(|s| matches!(s, Step::Packet(p) if p.key));
        let Some((at, Step::Packet(p))) = at.map(|n| n + from).and_then(|n| Some((n, self.steps.get(n)?)))
        else {
            return;
        };
        let Some(old) = self.tracks.iter().find(|t| t.id == p.track) else { return };
        // Of these the payload is all the same, whatever the variant.
        if matches!(old.codec, Codec::H264 | Codec::Aac | Codec::Opus | Codec::WebVtt) {
            let new = track(old.id.0, old.codec, d.below(6), old.lang);
            self.steps.insert(at, Step::Track(Arc::new(new)));
        }
    }

    pub(super) fn packets(&self) -> impl Iterator<Item = &Packet> {
        self.steps.iter().filter_map(|s| match s {
            Step::Packet(p) => Some(p),
            Step::Track(_) => None,
        })
    }

    /// All packets, if that form is asked for.
    pub(super) fn index(&self) -> Option<Index> {
        let of = |t: &TrackInfo| self.packets().filter(|p| p.track == t.id).map(IndexEntry::from).collect();
        (self.form == Form::Indexed)
            .then(|| Index { tracks: self.tracks.iter().map(|t| (t.id, of(t))).collect() })
    }
}

fn language(d: &mut Draw<'_>) -> Option<Lang> {
    Lang::new(["und", "eng", "deu", "fra", "und"][d.below(5)])
}

fn visual(d: &mut Draw<'_>) -> Visual {
    let colour = Colour { primaries: 9, transfer: 16, matrix: 9, full_range: d.one_in(2) };
    Visual {
        sar: [(0, 0), (1, 1), (4, 3), (12, 11)][d.below(4)],
        colour: d.one_in(2).then_some(colour),
        rotation: [0, 90, 180, 270][d.below(4)],
    }
}

impl Clock {
    fn new(d: &mut Draw<'_>, start: Timestamp, info: &TrackInfo) -> Self {
        let late = [0, 0, 0, 7, 1_500, 8_000][d.below(6)];
        let frames = [(1, 25), (1001, 30_000), (1, 60), (1001, 24_000)][d.below(4)];
        let reordered = if reorders(info.codec) { d.below(4) as u8 } else { 0 };
        Self {
            next: start + Duration::from_millis(late),
            step: Duration::from_rate(frames.0, frames.1),
            rounded: d.one_in(3),
            jitter: d.one_in(5),
            last: Timestamp::MIN,
            reordered,
            n: 1,
            block: 0,
        }
    }

    /// From decoding to presentation.
    fn composition(&mut self, d: &mut Draw<'_>, key: bool) -> Duration {
        let frames = |n: i64| Duration::from_ticks(self.step.ticks() * n);
        let at = usize::from(self.n);
        self.n = if key { 1 } else { 3 - self.n.max(1) };
        match self.reordered {
            // I P B P B, shown a frame later.
            1 => frames([1, 2, 0][at]),
            // The same without the delay, as MP4's version 1 allows.
            2 => frames([0, 1, -1][at]),
            3 => Duration::from_millis(d.signed() / 64),
            _ => Duration::ZERO,
        }
    }

    /// A picture between P and B would be one that both aren't next to.
    const fn is_within(&self) -> bool {
        self.n == 2 && matches!(self.reordered, 1 | 2)
    }
}

/// What happens to a packet's time, by the byte that is drawn for it.
fn pause(d: &mut Draw<'_>) -> i64 {
    match d.byte() {
        0..=230 => 0,
        231..=236 => 3,
        237..=242 => 150,
        243..=247 => 900,
        248..=250 => 7_000,
        251..=253 => 40_000,
        _ => 3_600_000,
    }
}

fn packets(d: &mut Draw<'_>, tracks: &[Arc<TrackInfo>], clocks: &mut [Clock]) -> Vec<Packet> {
    let mut all: Vec<Packet> = Vec::new();
    let (mut bytes, mut pauses) = (0, Duration::ZERO);
    while !d.is_empty() && all.len() < PACKETS && bytes < BYTES {
        let n = d.below(tracks.len());
        let (info, clock) = (&tracks[n], &mut clocks[n]);
        let kind = info.codec.kind();
        let begun = all.iter().any(|p| p.track == info.id);
        let key = kind != Kind::Video || if begun { d.one_in(6) } else { !d.one_in(8) };
        let key = (key && !clock.is_within()) || info.codec == Codec::Jpeg;
        let data = payload(d, info, key);
        if !is_told(info.codec) {
            assert_eq!(is_key(info.codec, &data), Some(key), "material of {:?}", info.codec);
        }
        let after = if clock.is_within() { 0 } else { pause(d) };
        if pauses < Duration::from_secs(9000) {
            clock.next += Duration::from_millis(after);
            pauses += Duration::from_millis(after);
        }
        let own = match info.codec {
            Codec::Vorbis => Some(vorbis(&mut clock.block, &data)),
            _ => packet_duration(info, &data),
        };
        let mut dts = clock.next;
        clock.n = if key { 0 } else { clock.n };
        // Of Vorbis, some stamp the first two packets alike: how that is told is for Ogg's own tests.
        let jitter = clock.jitter && clock.reordered == 0 && info.codec != Codec::Vorbis;
        if jitter && matches!(kind, Kind::Video | Kind::Audio) {
            dts = (dts + Duration::from_millis(d.below(60) as i64)).max(clock.last);
        }
        clock.last = dts;
        if clock.rounded {
            dts = Timestamp::from_millis(dts.as_millis());
        }
        let cts = clock.composition(d, key);
        let text = matches!(kind, Kind::Text | Kind::Data);
        let lasts = if text { Duration::from_millis(200 + 10 * d.below(200) as i64) } else { clock.step };
        clock.next += match (own, d.below(24)) {
            // Two at the same time.
            (None, 23) if !text && clock.reordered == 0 => Duration::ZERO,
            (Some(own), _) => own,
            (None, _) => lasts,
        };
        let duration = match (text, d.below(4)) {
            (true, 0) => Duration::from_ticks(lasts.ticks() / 2),
            (true, 1 | 2) => lasts,
            _ => Duration::ZERO,
        };
        bytes += data.len();
        all.push(Packet { track: info.id, dts, cts, duration, key, data });
    }
    // The end of a stream of Opus may be less than its packet.
    for info in tracks.iter().filter(|t| t.codec == Codec::Opus) {
        if (d.is_empty() || d.one_in(2))
            && let Some(last) = all.iter_mut().rfind(|p| p.track == info.id)
            && let Some(own) = packet_duration(info, &last.data).filter(|d| *d > Duration::from_millis(5))
        {
            last.duration = Duration::from_rate(own.to_rate(48_000) / 3, 48_000);
        }
    }
    all
}
