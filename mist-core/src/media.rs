//! The media model: tracks, packets and what a source says about them.

use crate::codec::Codec;
use crate::time::{Duration, Timestamp};
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;

/// Identifies a track within its stream. Unique there, stable while the track lives.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct TrackId(pub u32);

impl fmt::Display for TrackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a track is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
    /// Subtitles and captions.
    Text,
    /// Anything else that is timed: script data, SCTE-35, ID3.
    Data,
}

impl Kind {
    /// The name that MistServer's API uses: `video`, `audio`, `subtitle` or `meta`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Video => "video",
            Self::Audio => "audio",
            Self::Text => "subtitle",
            Self::Data => "meta",
        }
    }
}

/// A language: three lower-case letters of ISO 639-2/3.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lang([u8; 3]);

impl Lang {
    /// From three ASCII letters in either case; `None` for anything else and for `und` (undetermined).
    pub fn new(code: &str) -> Option<Self> {
        let b: [u8; 3] = code.as_bytes().try_into().ok()?;
        if !b.iter().all(u8::is_ascii_alphabetic) {
            return None;
        }
        let b = b.map(|c| c.to_ascii_lowercase());
        (&b != b"und").then_some(Self(b))
    }

    /// The three letters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("und")
    }
}

impl fmt::Debug for Lang {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Lang {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What players need to know before the first packet, by kind of track. Zero means unknown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Params {
    /// Pictures.
    Video {
        /// Width in pixels as displayed before scaling by the sample aspect ratio.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Frames per 1000 seconds, the `fpks` of MistServer's API: 30000 is 30 frames a second.
        fpks: u32,
    },
    /// Sound.
    Audio {
        /// Samples a second.
        rate: u32,
        /// Channels.
        channels: u16,
        /// Bits a sample; 16 for compressed codecs without a size of their own.
        bits: u16,
    },
    /// Text and data.
    Other,
}

/// Colour of pictures: ITU-T H.273 (ISO/IEC 23091-2) code points.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Colour {
    /// Colour primaries; 2 means unspecified.
    pub primaries: u16,
    /// Transfer characteristics; 2 means unspecified.
    pub transfer: u16,
    /// Matrix coefficients; 2 means unspecified.
    pub matrix: u16,
    /// Samples use the whole range of values.
    pub full_range: bool,
}

/// How a container says that pictures are to be shown. Containers that can say it keep it; where none did, decoders
/// go by what the codec's own headers say.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Visual {
    /// Sample aspect ratio, width to height; (0, 0) where the container doesn't say.
    pub sar: (u32, u32),
    /// Colour, where the container says.
    pub colour: Option<Colour>,
    /// Degrees clockwise by which pictures are to be turned: 0, 90, 180 or 270.
    pub rotation: u16,
}

/// A track's description. Immutable: a change makes a new `Arc`, so that whoever holds the old one sees it.
#[derive(Clone, PartialEq, Eq)]
pub struct TrackInfo {
    /// Identity within the stream.
    pub id: TrackId,
    /// How the payload is coded.
    pub codec: Codec,
    /// Codec initialisation data in the codec's canonical form (see [`crate::codec`]); empty where the codec
    /// has none.
    pub init: Bytes,
    /// Size, rates and channels.
    pub params: Params,
    /// Language, where known.
    pub lang: Option<Lang>,
    /// How the container says that pictures are to be shown.
    pub visual: Visual,
}

impl TrackInfo {
    /// A track without a language, to be shown as its codec says.
    pub fn new(id: TrackId, codec: Codec, init: Bytes, params: Params) -> Self {
        Self { id, codec, init, params, lang: None, visual: Visual::default() }
    }

    /// The same in a language.
    #[must_use]
    pub fn with_lang(mut self, lang: Option<Lang>) -> Self {
        self.lang = lang;
        self
    }

    /// Width and height of a video track, (0, 0) for others.
    pub fn size(&self) -> (u32, u32) {
        match self.params {
            Params::Video { width, height, .. } => (width, height),
            _ => (0, 0),
        }
    }

    /// Sample rate of an audio track, 0 for others.
    pub fn rate(&self) -> u32 {
        match self.params {
            Params::Audio { rate, .. } => rate,
            _ => 0,
        }
    }

    /// Channels of an audio track, 0 for others.
    pub fn channels(&self) -> u16 {
        match self.params {
            Params::Audio { channels, .. } => channels,
            _ => 0,
        }
    }
}

impl fmt::Debug for TrackInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.id, self.codec.name())?;
        match self.params {
            Params::Video { width, height, fpks } => write!(f, " {width}x{height}@{fpks}")?,
            Params::Audio { rate, channels, bits } => write!(f, " {rate}/{channels}/{bits}")?,
            Params::Other => {}
        }
        if let Some(l) = self.lang {
            write!(f, " [{l}]")?;
        }
        write!(f, " init={}", self.init.len())
    }
}

/// One coded unit: an access unit of video, a frame of audio, a cue of text.
#[derive(Clone, PartialEq, Eq)]
pub struct Packet {
    /// The track that it belongs to.
    pub track: TrackId,
    /// Decoding time. Never decreases within a track once it is in a buffer.
    pub dts: Timestamp,
    /// Composition offset: presentation time minus decoding time.
    pub cts: Duration,
    /// Display time; zero means until the next packet of the track. Containers that store one keep it.
    pub duration: Duration,
    /// Decoding can start here. True for every packet of tracks that have only such packets.
    pub key: bool,
    /// Payload in the codec's canonical form (see [`crate::codec`]).
    pub data: Bytes,
}

impl Packet {
    /// Presentation time.
    pub fn pts(&self) -> Timestamp {
        self.dts + self.cts
    }
}

impl fmt::Debug for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = if self.key { " key" } else { "" };
        write!(f, "{} dts={:?} cts={:?}{key} {}B", self.track, self.dts, self.cts, self.data.len())
    }
}

/// What a source says, in order. A packet's track is always described before it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Media {
    /// A track appears, or its description changes from the next packet on.
    Track(Arc<TrackInfo>),
    /// A packet.
    Packet(Packet),
    /// A track has ended; others go on.
    Gone(TrackId),
    /// The source has ended.
    End,
}
