//! What formats are documented to change of what they are given: the one place where a round trip may differ.

#![allow(clippy::indexing_slicing, reason = "a fault is to show itself by panicking")]

use super::plan::{Form, reorders};
use bytes::Bytes;
use mist_core::codec::opus::{self, OpusHead};
use mist_core::codec::{Codec, h264, hevc, nal, packet_duration, text};
use mist_core::media::{Kind, Packet, TrackInfo};
use mist_core::time::{Duration, Timestamp};
use std::sync::Arc;

/// What times become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Times {
    /// There are none: packets follow each other.
    None,
    /// They stay, but for what [`Rules::wanted`] does.
    Kept,
    /// All are moved by the same.
    Moved,
}

/// One format's differences.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) id: &'static str,
    pub(super) times: Times,
    /// How exact they are.
    pub(super) precision: fn(&[Arc<TrackInfo>], &TrackInfo) -> Duration,
    /// Decoding times of pictures that are shown in another order are there, and not worked out.
    pub(super) decoding: bool,
    /// Languages are kept.
    pub(super) lang: bool,
    /// How pictures are to be shown is kept.
    pub(super) visual: bool,
    /// Durations of text are kept.
    pub(super) durations: bool,
    /// Whether init data is there as it was.
    pub(super) init: fn(&[Arc<TrackInfo>], &TrackInfo) -> bool,
    /// Sound of which less is heard than there is keeps its duration.
    pub(super) trims: bool,
    /// Parameter sets are in the payload, and pictures before the first of them are left out.
    pub(super) in_band: bool,
    /// Whether a track's packets have times of their own.
    pub(super) timed: fn(&TrackInfo, &[Packet]) -> bool,
    /// After a change of a description, times go on where they were.
    pub(super) chained: bool,
    /// What codecs are turned into.
    pub(super) codec: fn(Codec) -> Codec,
    /// Samples are cut into packets anew.
    pub(super) samples: bool,
    /// What the packets of a track become, by the times of all.
    pub(super) wanted: fn(&Given<'_>, &TrackInfo, Vec<Packet>) -> Vec<Packet>,
}

/// What was given and taken.
pub(super) struct Given<'a> {
    pub(super) form: Form,
    /// Of the format.
    pub(super) id: &'static str,
    /// In the order in which they were.
    pub(super) packets: &'a [Packet],
}

impl Given<'_> {
    fn first(&self) -> Timestamp {
        self.packets.first().map_or(Timestamp::ZERO, |p| p.dts)
    }
}

fn millis(_: &[Arc<TrackInfo>], _: &TrackInfo) -> Duration {
    Duration::from_millis(1)
}

/// A format that is in no line below changes nothing.
const STRICT: Rules = Rules {
    id: "",
    times: Times::Kept,
    precision: millis,
    decoding: true,
    lang: true,
    visual: true,
    durations: true,
    trims: false,
    init: |_, _| true,
    in_band: false,
    timed: |_, _| true,
    chained: false,
    codec: |c| c,
    samples: false,
    wanted: |_, _, packets| packets,
};

const TIMELESS: Rules = Rules { times: Times::None, lang: false, visual: false, durations: false, ..STRICT };
const CUES: Rules = Rules { lang: false, visual: false, wanted: cues, ..STRICT };

const ALL: &[Rules] = &[
    // A clock of milliseconds that begins at 0. Speex is wide band, whatever its header says.
    Rules {
        id: "FLV",
        lang: false,
        visual: false,
        durations: false,
        init: |_, t| t.codec != Codec::Speex,
        wanted: unsigned,
        ..STRICT
    },
    Rules {
        id: "TS",
        times: Times::Moved,
        precision: |_, _| Duration::from_rate(1, 90_000),
        visual: false,
        durations: false,
        // Opus has a code for its channels, and no pre-skip.
        init: |_, t| t.codec != Codec::Opus,
        in_band: true,
        // Sections have no stamps.
        timed: |t, _| t.codec != Codec::Scte35,
        wanted: decoded_by_then,
        ..STRICT
    },
    Rules { id: "WAV", samples: true, ..TIMELESS },
    Rules { id: "DTSC", visual: false, wanted: from_zero, times: Times::Kept, ..STRICT },
    Rules {
        id: "MKV",
        trims: true,
        precision: |tracks, _| {
            let rate = tracks.iter().map(|t| t.rate()).max().unwrap_or(0).clamp(10_000, 96_000);
            Duration::from_rate(1, rate)
        },
        decoding: false,
        // VP9's colour isn't in CodecPrivate, and WebM's text has none.
        init: |tracks, t| t.codec != Codec::Vp9 && (t.codec != Codec::WebVtt || !tracks.iter().all(in_webm)),
        wanted: from_second,
        ..STRICT
    },
    Rules {
        id: "MP4",
        times: Times::Moved,
        precision: |_, info| Duration::from_rate(1, crate::mp4::mux::timescale(info)),
        samples: true,
        // The record of VP9 has the track's colour.
        init: |_, t| t.codec != Codec::Vp9 || t.visual.colour.is_none(),
        wanted: with_a_key,
        ..STRICT
    },
    Rules { id: "MP3", ..TIMELESS },
    Rules { id: "ADTS", ..TIMELESS },
    Rules { id: "ANNEXB", in_band: true, ..TIMELESS },
    Rules { id: "SRT", codec: |_| Codec::Subtitle, init: |_, _| false, ..CUES },
    Rules { id: "VTT", codec: |_| Codec::WebVtt, init: |_, t| t.codec == Codec::WebVtt, ..CUES },
    Rules {
        id: "OGG",
        trims: true,
        precision: |_, info| Duration::from_rate(1, info.rate().clamp(25, 48_000)),
        visual: false,
        durations: false,
        // The language is among the comments.
        init: |_, t| t.lang.is_none() && !t.init.is_empty(),
        timed: is_countable,
        chained: true,
        wanted: counted,
        ..STRICT
    },
];

impl Rules {
    /// Those of a format.
    pub(super) fn of(id: &str) -> &'static Self {
        ALL.iter().find(|r| r.id == id).unwrap_or(&STRICT)
    }
}

fn in_webm(t: &Arc<TrackInfo>) -> bool {
    use Codec::{Av1, Opus, Vorbis, Vp8, Vp9, WebVtt};
    matches!(t.codec, Vp8 | Vp9 | Av1 | Vorbis | Opus | WebVtt)
}

/// MP4: tables without a keyframe mean the first one.
fn with_a_key(given: &Given<'_>, _: &TrackInfo, mut packets: Vec<Packet>) -> Vec<Packet> {
    if given.form == Form::Indexed
        && packets.iter().all(|p| !p.key)
        && let Some(first) = packets.first_mut()
    {
        first.key = true;
    }
    packets
}

/// FLV: what is before 0 is decoded at 0. Only codecs that reorder have presentation times.
fn unsigned(given: &Given<'_>, info: &TrackInfo, mut packets: Vec<Packet>) -> Vec<Packet> {
    // What is beyond 32 bits at the start is lost.
    let beyond = Duration::from_millis(given.first().as_millis().max(0) >> 32 << 32);
    for p in &mut packets {
        let pts = p.pts() - beyond;
        p.dts = (p.dts - beyond).max(Timestamp::ZERO);
        p.cts = if reorders(info.codec) { pts - p.dts } else { Duration::ZERO };
    }
    packets
}

/// TS: what is shown before it is decoded is decoded when it is shown.
fn decoded_by_then(_: &Given<'_>, _: &TrackInfo, mut packets: Vec<Packet>) -> Vec<Packet> {
    for p in &mut packets {
        let pts = p.pts();
        p.dts = p.dts.min(pts);
        p.cts = pts - p.dts;
    }
    packets
}

/// DTSC: times before 0 move all, by what the first one needs. What is still before it becomes 0.
fn from_zero(given: &Given<'_>, _: &TrackInfo, mut packets: Vec<Packet>) -> Vec<Packet> {
    let shift = (Timestamp::ZERO - given.first()).max(Duration::ZERO);
    for p in &mut packets {
        let pts = p.pts() + shift;
        p.dts = (p.dts + shift).max(Timestamp::ZERO);
        p.cts = pts - p.dts;
    }
    packets
}

/// Matroska: as that, but by presentation, and live streams begin in their first second.
fn from_second(given: &Given<'_>, _: &TrackInfo, mut packets: Vec<Packet>) -> Vec<Packet> {
    let second = Duration::from_secs(1).ticks();
    let shift = if given.form == Form::Indexed {
        let first = given.packets.iter().map(Packet::pts).min().unwrap_or_default();
        (Timestamp::ZERO - first).max(Duration::ZERO)
    } else {
        let t = given.packets.first().map_or(0, |p| p.dts.min(p.pts()).ticks());
        Duration::from_ticks(if t < 0 { -t } else { t % second - t })
    };
    for p in &mut packets {
        let cts = p.cts;
        p.dts = (p.pts() + shift).max(Timestamp::ZERO) - cts;
    }
    packets
}

/// Ogg: what begins before 0 and has one page can't be told from what is cut at its end.
fn is_countable(info: &TrackInfo, packets: &[Packet]) -> bool {
    match info.codec {
        Codec::Vorbis | Codec::Theora => true,
        // Nor can the end of a page tell where a packet begins of which less is heard than there is.
        Codec::Opus => match packets {
            [.., a, b] if b.duration > Duration::ZERO => {
                packet_duration(info, &a.data) == Some(b.dts - a.dts)
            }
            [one] => one.duration == Duration::ZERO,
            _ => true,
        },
        _ => packets.first().is_none_or(|p| p.dts >= Timestamp::ZERO),
    }
}

/// Ogg: sound is counted from packet to packet. Only what is late by more than roundings makes a gap.
fn counted(given: &Given<'_>, info: &TrackInfo, mut packets: Vec<Packet>) -> Vec<Packet> {
    let first = given.first();
    let near = (first - Timestamp::ZERO).abs() < Duration::from_secs(1);
    let base = if near { Timestamp::ZERO } else { first };
    // In whole samples, as the muxer counts: what is on the edge of being late is so for both.
    let rate = match info.codec {
        Codec::Theora => 25,
        Codec::Opus => opus::RATE,
        _ => info.rate(),
    };
    let units = |d: Duration| d.to_rate(rate);
    let mut next: Option<i64> = None;
    let mut block = 0;
    for p in &mut packets {
        let at = units(p.pts() - base);
        let lasts = units(match info.codec {
            Codec::Theora => Duration::from_rate(1, 25),
            Codec::Vorbis => vorbis(&mut block, &p.data),
            _ => packet_duration(info, &p.data).unwrap_or_default(),
        });
        let rounding = if info.codec == Codec::Theora { 0 } else { units(Duration::from_millis(2)) };
        let start = match (next, info.codec) {
            (Some(next), _) if at <= next + rounding => next,
            (Some(_), _) => at,
            // What comes before 0 is cut by players, and can't be longer than they cut.
            (None, Codec::Opus) => {
                let skip = OpusHead::parse(&info.init).map_or(0, |h| h.pre_skip);
                at.max(-i64::from(skip))
            }
            (None, Codec::Theora) => at.max(0),
            (None, _) => at.max(-lasts),
        };
        p.dts = Timestamp::from_rate(start, rate);
        p.cts = Duration::ZERO;
        next = Some(start + lasts);
    }
    packets
}

/// How long what comes out of a block is, with blocks of 256 and 2048 samples. Long ones say what came before them.
pub(super) fn vorbis(before: &mut i64, data: &[u8]) -> Duration {
    let block = match data.first().map_or(0, |b| b >> 1 & 3) {
        0 | 2 if *before == 0 => 256,
        0 | 2 => return Duration::from_rate((std::mem::replace(before, 256) + 256) / 4, 44_100),
        told => {
            *before = 2048;
            return Duration::from_rate(if told == 1 { 2304 } else { 4096 } / 4, 44_100);
        }
    };
    *before = block;
    Duration::from_rate(block / 2, 44_100)
}

/// Subtitle files: cues from 0 on that are shown for a time, in the file's own markup.
fn cues(given: &Given<'_>, info: &TrackInfo, mut packets: Vec<Packet>) -> Vec<Packet> {
    const LAST: Duration = Duration::from_secs(5);
    let to = if given.id == "SRT" { Codec::Subtitle } else { Codec::WebVtt };
    let given = std::mem::take(&mut packets);
    for (n, p) in given.iter().enumerate() {
        let end = (p.pts() + shown(&given, n).unwrap_or(LAST)).max(Timestamp::ZERO).as_millis();
        let start = p.pts().max(Timestamp::ZERO).as_millis();
        if end > start {
            packets.push(Packet {
                dts: Timestamp::from_millis(start),
                duration: Duration::from_millis(end - start),
                data: text::convert(info.codec, to, &p.data).unwrap_or_default(),
                ..p.clone()
            });
        }
    }
    packets
}

/// NAL units without those that containers may add or leave out.
pub(super) fn bare(codec: Codec, data: &Bytes) -> Vec<u8> {
    let keep = |n: &&[u8]| match codec {
        Codec::H264 => !matches!(h264::nal::kind(n), 7..=9),
        _ => !matches!(hevc::nal::kind(n), 32..=35),
    };
    match codec {
        Codec::H264 | Codec::Hevc => nal::units(data).filter(keep).collect::<Vec<_>>().concat(),
        _ => data.to_vec(),
    }
}

/// Whether a payload can be cut between any two samples.
pub(super) const fn is_samples(codec: Codec) -> bool {
    matches!(codec, Codec::Pcm | Codec::PcmFloat | Codec::Alaw | Codec::Ulaw)
}

/// How long each packet of text is shown: until the next one where it doesn't say.
pub(super) fn shown(packets: &[Packet], at: usize) -> Option<Duration> {
    let p = packets.get(at)?;
    if p.duration > Duration::ZERO {
        return Some(p.duration);
    }
    packets.get(at + 1).map(|n| n.pts() - p.pts())
}

/// Whether durations of this kind of track matter.
pub(super) const fn is_shown(kind: Kind) -> bool {
    matches!(kind, Kind::Text)
}
