//! Codec knowledge: what initialisation data and payload mean, independent of containers.
//!
//! # Canonical payload
//!
//! Inside mist every codec has one form. Containers convert at their edge, in the copy that happens anyway.
//!
//! | codec | payload of a packet | `init` |
//! |---|---|---|
//! | H.264 | access unit, NAL units with 4-byte lengths; no AUD | `avcC` (ISO 14496-15 §5.3.3), 4-byte lengths |
//! | HEVC | access unit, NAL units with 4-byte lengths; no AUD | `hvcC` (ISO 14496-15 §8.3.3), 4-byte lengths |
//! | AV1 | temporal unit, low-overhead OBUs with sizes, no temporal delimiter, padding or tile list | `av1C` |
//! | VP8, VP9 | frame | empty for VP8, `vpcC` body with version and flags for VP9 where known |
//! | MPEG-2 video | picture with the headers before it | sequence header and extension |
//! | MPEG-4 part 2 | video object plane | visual object sequence and layer headers |
//! | AAC | raw access unit | AudioSpecificConfig (ISO 14496-3 §1.6.2.1) |
//! | MP2, MP3, AC-3, E-AC-3 | whole frames with their headers | empty |
//! | Opus | packet without TS control header | `OpusHead` (RFC 7845 §5.1) |
//! | Vorbis, Theora | packet | the three headers, Xiph-laced as in Matroska |
//! | FLAC | frame | `fLaC` marker and metadata blocks |
//! | PCM | samples, big-endian, interleaved | empty |
//! | G.711 | bytes | empty |
//! | H.263, VP6, Screen, Nellymoser, ADPCM | as in FLV, without the tag's codec head; VP6 with its adjustment byte | empty |
//! | Speex | packet | Speex header where the container has one; empty means wide band, as in FLV |
//! | SubRip text | lines of one cue, UTF-8 ([`text`]) | empty |
//! | WebVTT | cue without its times, UTF-8; settings in a line `--> …` before the text ([`text`]) | the file's header, empty for a bare `WEBVTT` |
//! | tx3g | sample of MP4 | sample entry behind its data reference index |
//! | ASS | `Dialogue` line without times, as in Matroska | script header |
//! | TTML, CEA-608 | sample of MP4 | empty |

pub mod aac;
pub mod ac3;
pub mod av1;
pub mod flac;
pub mod flash;
pub mod h264;
pub mod hevc;
pub mod latm;
pub mod mpa;
pub mod mpeg2;
pub mod nal;
pub mod opus;
pub mod pcm;
pub mod rfc6381;
pub mod sei;
pub mod speex;
pub mod text;
pub mod theora;
pub mod vorbis;
pub mod vpx;

mod facts;
mod vorbis_setup;

pub use facts::{
    canonical_init, canonical_payload, captions, init_from_payload, is_key, length_size, packet_duration,
    params, params_from_payload,
};

use crate::bits::EndOfBits;
use crate::format::ErrorKind;
use crate::media::Kind;

/// Limits on what a bit stream may declare.
pub mod limits {
    /// Largest width or height of a picture in pixels.
    pub const MAX_DIMENSION: u32 = 16_384;
    /// Parameter sets of one kind in decoder configuration data.
    pub const MAX_PARAMETER_SETS: usize = 64;
    /// Bytes of one parameter set or setup header that is parsed.
    pub const MAX_HEADER_LEN: usize = 65_535;
    /// NAL units that are looked at in one access unit.
    pub const MAX_NALS: usize = 8192;
    /// SEI messages that are looked at in one NAL unit.
    pub const MAX_SEI_MESSAGES: usize = 256;
    /// Largest sample rate in Hz.
    pub const MAX_RATE: u32 = 768_000;
}

/// What kind of trouble a [`CodecError`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecErrorKind {
    /// The data ended inside a structure.
    #[error("truncated")]
    Truncated,
    /// The data breaks the codec's rules.
    #[error("malformed")]
    Malformed,
    /// Lengths of units don't fill their data.
    #[error("malformed")]
    UnitSize,
    /// What this builds on didn't come before it.
    #[error("missing")]
    Missing,
    /// Legal, but not handled here.
    #[error("unsupported")]
    Unsupported,
    /// One of [`limits`] was reached.
    #[error("limit")]
    Limit,
}

/// Why codec data can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{kind}: {what}")]
pub struct CodecError {
    /// The kind of trouble.
    pub kind: CodecErrorKind,
    /// The structure or field.
    pub what: &'static str,
}

impl CodecError {
    /// Ended inside `what`.
    pub const fn truncated(what: &'static str) -> Self {
        Self { kind: CodecErrorKind::Truncated, what }
    }
    /// `what` breaks a rule.
    pub const fn malformed(what: &'static str) -> Self {
        Self { kind: CodecErrorKind::Malformed, what }
    }
    /// The lengths of units don't fill their data.
    pub const fn unit_size(what: &'static str) -> Self {
        Self { kind: CodecErrorKind::UnitSize, what }
    }
    /// `what` comes without what it builds on.
    pub const fn missing(what: &'static str) -> Self {
        Self { kind: CodecErrorKind::Missing, what }
    }
    /// `what` isn't handled.
    pub const fn unsupported(what: &'static str) -> Self {
        Self { kind: CodecErrorKind::Unsupported, what }
    }
    /// `what` exceeds one of [`limits`].
    pub const fn limit(what: &'static str) -> Self {
        Self { kind: CodecErrorKind::Limit, what }
    }
}

impl From<EndOfBits> for CodecError {
    fn from(_: EndOfBits) -> Self {
        Self::truncated("bit stream")
    }
}

impl From<CodecError> for ErrorKind {
    fn from(e: CodecError) -> Self {
        match e.kind {
            CodecErrorKind::Truncated | CodecErrorKind::Malformed => Self::Malformed(e.what),
            CodecErrorKind::UnitSize => Self::UnitSize(e.what),
            CodecErrorKind::Missing => Self::Missing(e.what),
            CodecErrorKind::Unsupported => Self::Unsupported(e.what),
            CodecErrorKind::Limit => Self::Limit(e.what),
        }
    }
}

/// Frames per 1000 seconds of a clock with `scale` units a second and `tick` units a frame; 0 where that makes
/// no sense.
fn fpks(scale: u32, tick: u64) -> u32 {
    let n = u64::from(scale) * 1000;
    let v = n.saturating_add(tick / 2).checked_div(tick).unwrap_or(0);
    // Over 1000 frames a second is a broken header, not a fast camera.
    if v > 1_000_000 { 0 } else { v as u32 }
}

/// Splits a unit with a 16-bit length off the front.
fn take_u16_prefixed<'a>(at: &mut &'a [u8], what: &'static str) -> Result<&'a [u8], CodecError> {
    let Some((&len, rest)) = at.split_first_chunk::<2>() else { return Err(CodecError::truncated(what)) };
    let Some((unit, rest)) = rest.split_at_checked(u16::from_be_bytes(len).into()) else {
        return Err(CodecError::truncated(what));
    };
    *at = rest;
    Ok(unit)
}

macro_rules! codecs {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $kind:ident;)*) => {
        /// How a track's payload is coded.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        #[non_exhaustive]
        pub enum Codec { $($(#[$doc])* $variant,)* }

        impl Codec {
            /// Every codec.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name that MistServer's API and track selectors use.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What kind of track it makes.
            pub const fn kind(self) -> Kind {
                match self { $(Self::$variant => Kind::$kind,)* }
            }
        }
    };
}

codecs! {
    /// AVC, ITU-T H.264.
    H264 = "H264", Video;
    /// HEVC, ITU-T H.265.
    Hevc = "HEVC", Video;
    /// AOMedia Video 1.
    Av1 = "AV1", Video;
    /// VP8.
    Vp8 = "VP8", Video;
    /// VP9.
    Vp9 = "VP9", Video;
    /// MPEG-1 and MPEG-2 video, ITU-T H.262.
    Mpeg2 = "MPEG2", Video;
    /// MPEG-4 part 2 (ISO/IEC 14496-2): DivX, Xvid and old cameras.
    Mpeg4 = "MPEG4", Video;
    /// Theora.
    Theora = "theora", Video;
    /// Sorenson's H.263 of Flash.
    H263 = "H263", Video;
    /// On2 VP6 of Flash.
    Vp6 = "VP6", Video;
    /// On2 VP6 with alpha channel.
    Vp6Alpha = "VP6Alpha", Video;
    /// Flash Screen Video.
    Screen1 = "ScreenVideo1", Video;
    /// Flash Screen Video 2.
    Screen2 = "ScreenVideo2", Video;
    /// Motion JPEG.
    Jpeg = "JPEG", Video;
    /// Advanced Audio Coding.
    Aac = "AAC", Audio;
    /// MPEG audio layer III.
    Mp3 = "MP3", Audio;
    /// MPEG audio layer I or II.
    Mp2 = "MP2", Audio;
    /// Dolby Digital.
    Ac3 = "AC3", Audio;
    /// Dolby Digital Plus.
    Eac3 = "EAC3", Audio;
    /// DTS.
    Dts = "DTS", Audio;
    /// Opus.
    Opus = "opus", Audio;
    /// Vorbis.
    Vorbis = "vorbis", Audio;
    /// FLAC.
    Flac = "FLAC", Audio;
    /// Apple Lossless.
    Alac = "ALAC", Audio;
    /// Linear PCM, signed, big-endian.
    Pcm = "PCM", Audio;
    /// Linear PCM, IEEE float, big-endian.
    PcmFloat = "FLOAT", Audio;
    /// G.711 A-law.
    Alaw = "ALAW", Audio;
    /// G.711 µ-law.
    Ulaw = "ULAW", Audio;
    /// Flash ADPCM.
    Adpcm = "ADPCM", Audio;
    /// Nellymoser Asao.
    Nellymoser = "Nellymoser", Audio;
    /// Speex.
    Speex = "Speex", Audio;
    /// Plain text cues, SubRip.
    Subtitle = "subtitle", Text;
    /// WebVTT cues.
    WebVtt = "WebVTT", Text;
    /// 3GPP timed text.
    Tx3g = "TTXT", Text;
    /// Advanced SubStation Alpha.
    Ass = "ASS", Text;
    /// TTML in MP4.
    Stpp = "STPP", Text;
    /// CEA-608 and CEA-708 captions as a track of their own.
    Cea608 = "C608", Text;
    /// Script data as JSON.
    Json = "JSON", Data;
    /// Timed ID3.
    Id3 = "ID3", Data;
    /// SCTE-35 splice information sections.
    Scte35 = "SCTE35", Data;
}

impl Codec {
    /// By name, ignoring case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|c| c.name().eq_ignore_ascii_case(name))
    }
}
