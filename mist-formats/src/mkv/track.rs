//! TrackEntry: one track's description (RFC 9559 §5.1.4.1).

use super::block::Block;
use super::codecs::{self, Mapping, Payload, Sound};
use super::ebml::{Child, children};
use super::encoding::Encodings;
use super::limits;
use super::schema::ids;
use bytes::{Bytes, BytesMut};
use mist_core::codec::text::{self, Cue};
use mist_core::codec::{
    Codec, canonical_payload, h264, hevc, init_from_payload, is_key, nal, packet_duration, params, pcm,
};
use mist_core::format::ErrorKind;
use mist_core::lang;
use mist_core::media::{Colour, Kind, Lang, Params, TrackId, TrackInfo, Visual};
use mist_core::reorder::{Depth, Reorder};
use mist_core::time::Duration;
use std::sync::Arc;

/// A track that is read.
#[derive(Debug)]
pub(super) struct Track {
    pub(super) number: u64,
    pub(super) info: Arc<TrackInfo>,
    /// Its description is out; otherwise it waits for the first frame.
    pub(super) announced: bool,
    pub(super) reorder: Reorder,
    pub(super) encodings: Encodings,
    payload: Payload,
    /// DefaultDuration, zero where there is none.
    pub(super) default_duration: Duration,
    /// CodecDelay in nanoseconds, taken off its times.
    pub(super) delay: i64,
    /// SeekPreRoll in nanoseconds.
    pub(super) pre_roll: i64,
}

/// What is wrong with a track that is read nevertheless, or why it isn't.
pub(super) type Trouble = (&'static str, ErrorKind);

/// What a TrackEntry says, before its codec is looked at.
struct Entry {
    number: u64,
    codec_id: String,
    private: Bytes,
    default_duration: u64,
    delay: u64,
    pre_roll: u64,
    language: Option<String>,
    bcp47: Option<String>,
    encodings: Result<Encodings, ErrorKind>,
    sound: Option<Sound>,
    picture: Option<Picture>,
    scaled: bool,
}

const ENTRY: &str = "Segment/Tracks/TrackEntry";
const ENCODINGS: &str = "Segment/Tracks/TrackEntry/ContentEncodings";
const PRIVATE: &str = "Segment/Tracks/TrackEntry/CodecPrivate";
const CODEC: &str = "Segment/Tracks/TrackEntry/CodecID";

/// Nanoseconds as a duration, saturating.
pub(super) fn duration(ns: u64) -> Duration {
    Duration::from_rate(i64::try_from(ns).unwrap_or(i64::MAX), 1_000_000_000)
}

impl Entry {
    fn read(element: &Child<'_>) -> Self {
        let mut e = Self {
            number: 0,
            codec_id: String::new(),
            private: Bytes::new(),
            default_duration: 0,
            delay: 0,
            pre_roll: 0,
            language: None,
            bcp47: None,
            encodings: Ok(Encodings::default()),
            sound: None,
            picture: None,
            scaled: false,
        };
        for c in children(element.data).flatten() {
            match c.id {
                ids::TRACK_NUMBER => e.number = c.uint(),
                ids::CODEC_ID => e.codec_id = c.text(),
                ids::CODEC_PRIVATE => {
                    e.private = Bytes::copy_from_slice(c.data.get(..limits::PRIVATE).unwrap_or(c.data));
                }
                ids::DEFAULT_DURATION => e.default_duration = c.uint(),
                ids::CODEC_DELAY => e.delay = c.uint(),
                ids::SEEK_PRE_ROLL => e.pre_roll = c.uint(),
                ids::LANGUAGE => e.language = Some(c.text()),
                ids::LANGUAGE_BCP47 => e.bcp47 = Some(c.text()),
                ids::CONTENT_ENCODINGS => e.encodings = Encodings::read(&c),
                ids::TRACK_TIMESTAMP_SCALE => e.scaled = (c.float() - 1.0).abs() > 1e-9 && c.float() != 0.0,
                ids::AUDIO => e.sound = Some(sound(&c)),
                ids::VIDEO => e.picture = Some(Picture::read(&c)),
                _ => {}
            }
        }
        e
    }

    /// LanguageBCP47 wins; without either it is English (RFC 9559 §5.1.4.1.19).
    fn lang(&self) -> Option<Lang> {
        let text = self.bcp47.as_deref().or(self.language.as_deref()).unwrap_or("eng");
        lang::parse(text.split('-').next().unwrap_or(text))
    }
}

fn sound(element: &Child<'_>) -> Sound {
    let (mut rate, mut output, mut channels, mut bits) = (8000.0, 0.0, 1, 0);
    for c in children(element.data).flatten() {
        match c.id {
            ids::SAMPLING_FREQUENCY => rate = c.float(),
            ids::OUTPUT_SAMPLING_FREQUENCY => output = c.float(),
            ids::CHANNELS => channels = c.uint(),
            ids::BIT_DEPTH => bits = c.uint(),
            _ => {}
        }
    }
    // Casts of floats saturate.
    let core_rate = rate.round() as u32;
    Sound {
        rate: if output > 0.0 { output.round() as u32 } else { core_rate },
        core_rate,
        channels: u16::try_from(channels).unwrap_or(0),
        bits: u16::try_from(bits).unwrap_or(0),
    }
}

/// What Video says.
#[derive(Debug, Default)]
struct Picture {
    width: u64,
    height: u64,
    /// Left and right, top and bottom.
    crop: [u64; 2],
    display: (Option<u64>, Option<u64>),
    unit: u64,
    colour: Option<Colour>,
    rotation: u16,
}

impl Picture {
    fn read(element: &Child<'_>) -> Self {
        let mut p = Self::default();
        for c in children(element.data).flatten() {
            match c.id {
                ids::PIXEL_WIDTH => p.width = c.uint(),
                ids::PIXEL_HEIGHT => p.height = c.uint(),
                ids::PIXEL_CROP_LEFT | ids::PIXEL_CROP_RIGHT => {
                    p.crop[0] = p.crop[0].saturating_add(c.uint());
                }
                ids::PIXEL_CROP_TOP | ids::PIXEL_CROP_BOTTOM => {
                    p.crop[1] = p.crop[1].saturating_add(c.uint());
                }
                ids::DISPLAY_WIDTH => p.display.0 = Some(c.uint()),
                ids::DISPLAY_HEIGHT => p.display.1 = Some(c.uint()),
                ids::DISPLAY_UNIT => p.unit = c.uint(),
                ids::COLOUR => p.colour = colour(&c),
                ids::PROJECTION => p.rotation = rotation(&c),
                _ => {}
            }
        }
        p
    }

    fn size(&self) -> (u32, u32) {
        let fit = |v: u64| u32::try_from(v).unwrap_or(0);
        (fit(self.width), fit(self.height))
    }

    /// The shape of a sample out of the shape of the display, for all units but "unknown". Cropping counts, as
    /// DisplayWidth is that of the cropped picture.
    fn sar(&self) -> (u32, u32) {
        let (w, h) = (self.width.saturating_sub(self.crop[0]), self.height.saturating_sub(self.crop[1]));
        if (self.display.0.is_none() && self.display.1.is_none()) || self.unit > 3 {
            return (0, 0);
        }
        let (dw, dh) = (self.display.0.unwrap_or(w), self.display.1.unwrap_or(h));
        ratio(dw.saturating_mul(h), dh.saturating_mul(w))
    }

    fn visual(&self) -> Visual {
        Visual { sar: self.sar(), colour: self.colour, rotation: self.rotation }
    }
}

/// A ratio in its lowest terms; (0, 0) where it makes no sense.
fn ratio(a: u64, b: u64) -> (u32, u32) {
    let (mut x, mut y) = (a, b);
    while y != 0 {
        (x, y) = (y, x % y);
    }
    let part = |v: u64| v.checked_div(x).and_then(|v| u32::try_from(v).ok()).filter(|v| *v > 0);
    match (part(a), part(b)) {
        (Some(a), Some(b)) => (a, b),
        _ => (0, 0),
    }
}

fn colour(element: &Child<'_>) -> Option<Colour> {
    let mut colour = Colour { primaries: 2, transfer: 2, matrix: 2, full_range: false };
    let unspecified = colour;
    for c in children(element.data).flatten() {
        let point = u16::try_from(c.uint()).unwrap_or(2);
        match c.id {
            ids::PRIMARIES => colour.primaries = point,
            ids::TRANSFER_CHARACTERISTICS => colour.transfer = point,
            ids::MATRIX_COEFFICIENTS => colour.matrix = point,
            ids::RANGE => colour.full_range = c.uint() == 2,
            _ => {}
        }
    }
    (colour != unspecified).then_some(colour)
}

/// The roll of a rectangular projection, which counts against the clock, in whole quarters.
fn rotation(element: &Child<'_>) -> u16 {
    let (mut kind, mut roll, mut turned) = (0, 0.0, false);
    for c in children(element.data).flatten() {
        match c.id {
            ids::PROJECTION_TYPE => kind = c.uint(),
            ids::PROJECTION_POSE_ROLL => roll = c.float(),
            ids::PROJECTION_POSE_YAW | ids::PROJECTION_POSE_PITCH => turned |= c.float() != 0.0,
            _ => {}
        }
    }
    if kind != 0 || turned || roll.abs() > 360.0 {
        return 0;
    }
    (((-roll / 90.0).round() as i32).rem_euclid(4) * 90) as u16
}

impl Track {
    /// Reads a TrackEntry. Reports what is odd; `None`, with the track's number, for one that is left out.
    pub(super) fn read(element: &Child<'_>, trouble: &mut Vec<Trouble>) -> Result<Self, u64> {
        let mut e = Entry::read(element);
        let number = e.number;
        let mut leave = |path, kind| {
            trouble.push((path, kind));
            Err(number)
        };
        let Some(id) = u32::try_from(number).ok().filter(|n| *n > 0) else {
            return leave(ENTRY, ErrorKind::Unsupported("TrackNumber"));
        };
        let encodings = match std::mem::replace(&mut e.encodings, Ok(Encodings::default())) {
            Ok(list) => list,
            Err(kind) => return leave(ENCODINGS, kind),
        };
        let private = match encodings.private(e.private.clone()) {
            Ok(p) => p,
            Err(kind) => return leave(PRIVATE, kind),
        };
        let default_sound = Sound { rate: 8000, core_rate: 8000, channels: 1, bits: 0 };
        let m = match codecs::read(&e.codec_id, &private, e.sound.unwrap_or(default_sound)) {
            Ok(m) => m,
            Err(kind @ ErrorKind::Malformed(_)) => return leave(PRIVATE, kind),
            Err(kind) => return leave(CODEC, kind),
        };
        if let Some(kind) = m.damaged {
            trouble.push((PRIVATE, kind));
        }
        if e.scaled {
            trouble.push((ENTRY, ErrorKind::Unsupported("TrackTimestampScale, taken as 1")));
        }
        let mut info = TrackInfo::new(TrackId(id), m.codec, m.init.clone(), e.params(&m)).with_lang(e.lang());
        if let Some(p) = e.picture.as_ref().filter(|_| m.codec.kind() == Kind::Video) {
            info.visual = p.visual();
        }
        let default_duration = duration(e.default_duration);
        let mut track = Self {
            number,
            announced: !m.wants_payload(),
            reorder: Reorder::new(Depth::Never, Duration::ZERO),
            encodings,
            payload: m.payload,
            default_duration,
            delay: i64::try_from(e.delay).unwrap_or(0),
            pre_roll: i64::try_from(e.pre_roll).unwrap_or(0),
            info: Arc::new(info),
        };
        track.set_reorder();
        Ok(track)
    }

    fn set_reorder(&mut self) {
        let nominal = match self.info.params {
            _ if self.default_duration > Duration::ZERO => self.default_duration,
            Params::Video { fpks, .. } if fpks > 0 => Duration::from_rate(1000, fpks),
            _ => Duration::ZERO,
        };
        self.reorder = Reorder::new(Depth::of(&self.info), nominal);
    }

    /// Completes the description with what the first frame says.
    pub(super) fn complete(&mut self, payload: &[u8]) {
        self.announced = true;
        let Some(init) = init_from_payload(self.info.codec, payload) else { return };
        let mut info = (*self.info).clone();
        if let (Params::Video { width, height, fpks }, Some(Params::Video { width: w, height: h, fpks: f })) =
            (info.params, params(info.codec, &init))
        {
            let or = |a: u32, b: u32| if a > 0 { a } else { b };
            info.params = Params::Video { width: or(width, w), height: or(height, h), fpks: or(fpks, f) };
        }
        info.init = init;
        self.info = Arc::new(info);
        self.set_reorder();
    }

    /// A stored frame as canonical payload. `beside` is the block's first BlockAdditional.
    ///
    /// # Errors
    /// It can't be unpacked, or isn't what the codec's frames are.
    pub(super) fn canonical(&self, data: Bytes, beside: &[u8]) -> Result<Bytes, ErrorKind> {
        let data = self.encodings.frame(data)?;
        match self.payload {
            Payload::Same => Ok(data),
            Payload::Lengths(n) => Ok(canonical_payload(self.info.codec, data, n)?),
            Payload::Av1 => Ok(canonical_payload(self.info.codec, data, 4)?),
            Payload::Swapped(bits) => {
                let mut out = BytesMut::with_capacity(data.len());
                pcm::put_swapped(&mut out, &data, bits);
                Ok(out.freeze())
            }
            Payload::AnnexB => {
                let hevc = self.info.codec == Codec::Hevc;
                let mut out = BytesMut::with_capacity(data.len().saturating_add(64));
                nal::annex_b_to_lengths(&data, &mut out, |n| match hevc {
                    true => hevc::nal::kind(n) != hevc::nal::AUD,
                    false => h264::nal::kind(n) != h264::nal::AUD,
                });
                Ok(out.freeze())
            }
            Payload::Text if self.info.codec == Codec::Subtitle => Ok(text::canonical(to_zero(&data))),
            Payload::Text => Ok(to_zero(&data)),
            Payload::CueBeside => {
                let beside = text::decode(beside);
                let mut lines = beside.lines();
                let (settings, id) = (lines.next().unwrap_or(""), lines.next().unwrap_or(""));
                Ok(Cue { id: id.into(), settings: settings.into(), text: text::decode(&data) }.build())
            }
            Payload::CueLines => {
                let all = text::decode(&data);
                let mut parts = all.splitn(3, '\n');
                let mut part = || parts.next().unwrap_or("").into();
                Ok(Cue { id: part(), settings: part(), text: part() }.build())
            }
        }
    }

    /// Whether decoding can start at a block: always where the codec has nothing else, else as the container says. Of
    /// codecs whose frames tell it for sure both have to say so, as some writers never reference other blocks.
    pub(super) fn is_key(&self, b: &Block) -> bool {
        let codec = self.info.codec;
        match codec {
            Codec::Vp8 | Codec::Vp9 | Codec::Av1 | Codec::Theora
                if b.is_laced() || !self.encodings.is_empty() =>
            {
                b.key
            }
            Codec::Vp8 | Codec::Vp9 | Codec::Av1 | Codec::Theora => {
                b.key && is_key(codec, &b.body) == Some(true)
            }
            Codec::Jpeg => true,
            _ => b.key || codec.kind() != Kind::Video,
        }
    }

    /// How long a frame lasts by its codec, or else by DefaultDuration; zero where neither tells.
    pub(super) fn frame_duration(&self, payload: &[u8]) -> Duration {
        packet_duration(&self.info, payload).unwrap_or(self.default_duration)
    }
}

/// Some writers end text as C does, and leave what is behind.
fn to_zero(data: &Bytes) -> Bytes {
    data.slice(..memchr::memchr(0, data).unwrap_or(data.len()))
}

impl Entry {
    /// What a player needs to know: codec data knows a sound's rate and channels best, the container a picture's size.
    fn params(&self, m: &Mapping) -> Params {
        match m.codec.kind() {
            Kind::Video => {
                let (w, h, f) = match m.params {
                    Some(Params::Video { width, height, fpks }) => (width, height, fpks),
                    _ => (0, 0, 0),
                };
                let (width, height) =
                    self.picture.as_ref().map(Picture::size).filter(|s| s.0 > 0).unwrap_or((w, h));
                let own = 1_000_000_000_000u64.saturating_add(self.default_duration / 2);
                let own = own.checked_div(self.default_duration).unwrap_or(0);
                // Over 1000 frames a second is a broken header.
                let fpks = if (1..=1_000_000).contains(&own) { own as u32 } else { f };
                Params::Video { width, height, fpks }
            }
            Kind::Audio => m.params.unwrap_or_else(|| {
                let s = self.sound.unwrap_or_default();
                Params::Audio { rate: s.rate, channels: s.channels, bits: 16 }
            }),
            _ => Params::Other,
        }
    }
}
