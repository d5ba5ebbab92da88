//! What comes before the clusters: EBML header, Info and Tracks.

use super::codecs::{self, track_type};
use super::mux_element::{binary, float, master, text, uint};
use super::schema::ids;
use bytes::Bytes;
use mist_core::codec::aac::Asc;
use mist_core::codec::opus::{self, OpusHead};
use mist_core::codec::{Codec, pcm};
use mist_core::lang;
use mist_core::media::{Kind, Params, TrackInfo, Visual};

/// Nanoseconds in a second.
pub(super) const NANO: u32 = 1_000_000_000;
/// How long a decoder of Opus has to run before what it gives is right (RFC 7845 §4.6), as WebM asks for it.
const OPUS_PRE_ROLL: u64 = 80_000_000;
/// Who wrote the file.
const APP: &str = "mist";

/// How a track is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    /// CodecID.
    pub(super) id: &'static str,
    /// CodecPrivate.
    pub(super) private: Bytes,
    /// Bits of samples whose byte order or sign is turned around.
    pub(super) swapped: Option<u16>,
    /// CodecDelay in nanoseconds: times in blocks are later by it.
    pub(super) delay: u64,
}

impl Stored {
    /// `None` where there is no mapping.
    pub(super) fn of(info: &TrackInfo, webm: bool) -> Option<Self> {
        let w = codecs::write(info)?;
        let delay = match info.codec {
            Codec::Opus => OpusHead::parse(&info.init)
                .map_or(0, |h| u64::from(h.pre_skip) * u64::from(NANO) / u64::from(opus::RATE)),
            _ => 0,
        };
        let (id, private) = match info.codec {
            Codec::WebVtt if webm => ("D_WEBVTT/SUBTITLES", Bytes::new()),
            _ => (w.id, w.private),
        };
        Some(Self { id, private, swapped: w.swapped, delay })
    }
}

/// Whether WebM can hold a codec.
const fn in_webm(codec: Codec) -> bool {
    matches!(codec, Codec::Vp8 | Codec::Vp9 | Codec::Av1 | Codec::Vorbis | Codec::Opus | Codec::WebVtt)
}

/// Whether all tracks may be in a WebM file.
pub(super) fn is_webm<'a>(tracks: impl IntoIterator<Item = &'a TrackInfo>) -> bool {
    tracks.into_iter().all(|t| in_webm(t.codec))
}

/// The EBML header.
pub(super) fn ebml(out: &mut Vec<u8>, webm: bool) {
    master(out, ids::EBML, |e| {
        uint(e, ids::EBML_VERSION, 1);
        uint(e, ids::EBML_READ_VERSION, 1);
        uint(e, ids::EBML_MAX_ID_LENGTH, 4);
        uint(e, ids::EBML_MAX_SIZE_LENGTH, 8);
        text(e, ids::DOC_TYPE, if webm { "webm" } else { "matroska" });
        // 4: LanguageBCP47, CodecDelay and Projection.
        uint(e, ids::DOC_TYPE_VERSION, 4);
        uint(e, ids::DOC_TYPE_READ_VERSION, 2);
    });
}

/// Bytes of Duration with its head.
pub(super) const DURATION: usize = 11;

/// Duration in ticks of the scale.
pub(super) fn duration(out: &mut Vec<u8>, ticks: i64) {
    float(out, ids::DURATION, ticks.max(0) as f64);
}

/// Info; [`DURATION`] bytes at its end are Duration or room for it.
pub(super) fn info(out: &mut Vec<u8>, scale: u32, last: impl FnOnce(&mut Vec<u8>)) {
    master(out, ids::INFO, |i| {
        uint(i, ids::TIMESTAMP_SCALE, scale.into());
        text(i, ids::MUXING_APP, APP);
        text(i, ids::WRITING_APP, APP);
        last(i);
    });
}

/// TrackEntry.
pub(super) fn track(out: &mut Vec<u8>, number: u64, info: &TrackInfo, stored: &Stored) {
    master(out, ids::TRACK_ENTRY, |t| {
        uint(t, ids::TRACK_NUMBER, number);
        uint(t, ids::TRACK_UID, number);
        uint(t, ids::TRACK_TYPE, track_type(info.codec.kind()).into());
        uint(t, ids::FLAG_LACING, 0);
        // Without the element English is meant.
        let language = info.lang.map(lang::bibliographic);
        text(t, ids::LANGUAGE, language.as_ref().map_or("und", |l| l.as_str()));
        text(t, ids::LANGUAGE_BCP47, info.lang.as_ref().map_or("und", |l| lang::shortest(l)));
        text(t, ids::CODEC_ID, stored.id);
        if !stored.private.is_empty() {
            binary(t, ids::CODEC_PRIVATE, &stored.private);
        }
        if stored.delay > 0 {
            uint(t, ids::CODEC_DELAY, stored.delay);
        }
        if info.codec == Codec::Opus {
            uint(t, ids::SEEK_PRE_ROLL, OPUS_PRE_ROLL);
        }
        if let Some(ns) = default_duration(info) {
            uint(t, ids::DEFAULT_DURATION, ns);
        }
        if info.codec == Codec::WebVtt && stored.id.starts_with("S_") {
            // Settings and identifiers of cues are in BlockAdditional 1.
            uint(t, ids::MAX_BLOCK_ADDITION_ID, 1);
        }
        match info.params {
            Params::Video { width, height, .. } => {
                master(t, ids::VIDEO, |v| video(v, width, height, &info.visual));
            }
            Params::Audio { rate, channels, bits } => {
                master(t, ids::AUDIO, |a| audio(a, info, (rate, channels, bits)));
            }
            _ => {}
        }
    });
}

/// Nanoseconds of a frame, where all last as long.
fn default_duration(info: &TrackInfo) -> Option<u64> {
    let ns = |samples: u64, rate: u32| {
        (samples * u64::from(NANO) + u64::from(rate / 2)).checked_div(rate.into()).filter(|ns| *ns > 0)
    };
    match info.params {
        Params::Video { fpks, .. } => {
            // 29970 stands for 30000/1001 frames a second.
            let whole = (u64::from(fpks) * 1001).div_ceil(1_000_000);
            if fpks > 0 && whole * 1_000_000 / 1001 == u64::from(fpks) {
                return Some((1001 * u64::from(NANO) / 1000 + whole / 2) / whole);
            }
            (u64::from(NANO) * 1000 + u64::from(fpks / 2)).checked_div(fpks.into())
        }
        Params::Audio { rate, .. } => match info.codec {
            Codec::Aac => {
                let asc = Asc::parse(&info.init).ok()?;
                ns(asc.frame_samples.into(), asc.rate)
            }
            Codec::Ac3 => ns(1536, rate),
            Codec::Mp3 if rate < 32_000 => ns(576, rate),
            Codec::Mp3 | Codec::Mp2 => ns(1152, rate),
            _ => None,
        },
        _ => None,
    }
}

fn video(v: &mut Vec<u8>, width: u32, height: u32, visual: &Visual) {
    let (w, h) = (u64::from(width), u64::from(height));
    uint(v, ids::PIXEL_WIDTH, w);
    uint(v, ids::PIXEL_HEIGHT, h);
    let (x, y) = (u64::from(visual.sar.0), u64::from(visual.sar.1));
    if x > 0 && y > 0 && w > 0 && h > 0 {
        // In pixels where that is exact, enlarging rather than shrinking; else as an aspect ratio.
        let (dw, dh, unit) = if x >= y && w * x % y == 0 {
            (w * x / y, h, 0)
        } else if x < y && h * y % x == 0 {
            (w, h * y / x, 0)
        } else {
            let (a, b) = (w.saturating_mul(x), h.saturating_mul(y));
            let d = gcd(a, b).max(1);
            (a / d, b / d, 3)
        };
        uint(v, ids::DISPLAY_WIDTH, dw);
        uint(v, ids::DISPLAY_HEIGHT, dh);
        if unit > 0 {
            uint(v, ids::DISPLAY_UNIT, unit);
        }
    }
    if let Some(c) = visual.colour {
        master(v, ids::COLOUR, |e| {
            uint(e, ids::MATRIX_COEFFICIENTS, c.matrix.into());
            uint(e, ids::RANGE, if c.full_range { 2 } else { 1 });
            uint(e, ids::TRANSFER_CHARACTERISTICS, c.transfer.into());
            uint(e, ids::PRIMARIES, c.primaries.into());
        });
    }
    if !visual.rotation.is_multiple_of(360) {
        // The roll counts against the clock, from −180 to 180.
        let roll = match visual.rotation % 360 {
            r @ 0..=179 => -f64::from(r),
            r => 360.0 - f64::from(r),
        };
        master(v, ids::PROJECTION, |p| {
            uint(p, ids::PROJECTION_TYPE, 0);
            float(p, ids::PROJECTION_POSE_YAW, 0.0);
            float(p, ids::PROJECTION_POSE_PITCH, 0.0);
            float(p, ids::PROJECTION_POSE_ROLL, roll);
        });
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn audio(a: &mut Vec<u8>, info: &TrackInfo, (rate, channels, bits): (u32, u16, u16)) {
    let asc = (info.codec == Codec::Aac).then(|| Asc::parse(&info.init).ok()).flatten();
    match asc.and_then(|c| Some((c.rate, c.sbr?))) {
        Some((core, output)) => {
            float(a, ids::SAMPLING_FREQUENCY, core.into());
            float(a, ids::OUTPUT_SAMPLING_FREQUENCY, output.into());
        }
        None => float(a, ids::SAMPLING_FREQUENCY, rate.into()),
    }
    uint(a, ids::CHANNELS, channels.max(1).into());
    match info.codec {
        Codec::Pcm | Codec::PcmFloat | Codec::Flac | Codec::Alac => uint(a, ids::BIT_DEPTH, bits.into()),
        Codec::Alaw | Codec::Ulaw => uint(a, ids::BIT_DEPTH, pcm::G711_BITS.into()),
        _ => {}
    }
}

/// The length of a timestamp tick in nanoseconds: fine enough to tell the samples of every audio track apart, so that
/// times come back exactly. Rates above 96 kHz would leave blocks too little room around their cluster's time.
pub(super) fn scale<'a>(tracks: impl IntoIterator<Item = &'a TrackInfo>) -> u32 {
    let rates = tracks.into_iter().filter(|t| t.codec.kind() == Kind::Audio).map(TrackInfo::rate);
    rates.max().and_then(|r| NANO.checked_div(r)).map_or(WITHOUT_SOUND, |ns| ns.clamp(FINEST, WITHOUT_SOUND))
}

/// A tick of files without sound: 0.1 ms.
const WITHOUT_SOUND: u32 = 100_000;
/// The finest tick.
const FINEST: u32 = NANO / 96_000;
