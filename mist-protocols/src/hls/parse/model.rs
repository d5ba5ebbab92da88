//! What a playlist says.

use super::ParseError;
use mist_core::time::Duration;
use std::sync::Arc;

/// A playlist of either kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Playlist {
    /// Ways to play a stream (RFC 8216bis §4.4.6).
    Multivariant(Multivariant),
    /// Segments (§4.4.3).
    Media(MediaPlaylist),
}

impl Playlist {
    /// What was wrong but could be read past.
    pub fn problems(&self) -> &[ParseError] {
        match self {
            Self::Multivariant(p) => &p.problems,
            Self::Media(p) => &p.problems,
        }
    }
}

/// A multivariant playlist.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Multivariant {
    /// `EXT-X-VERSION`; 1 where there is none.
    pub version: u8,
    /// Every segment of every playlist can be decoded by itself.
    pub independent_segments: bool,
    /// Where players shall begin.
    pub start: Option<Start>,
    /// Variants, in order.
    pub variants: Vec<Variant>,
    /// Renditions of `EXT-X-MEDIA`.
    pub renditions: Vec<Rendition>,
    /// `EXT-X-SESSION-DATA`.
    pub session_data: Vec<SessionData>,
    /// `EXT-X-SESSION-KEY`.
    pub session_keys: Vec<Key>,
    /// `EXT-X-CONTENT-STEERING`.
    pub steering: Option<Steering>,
    /// Variables of `EXT-X-DEFINE`, for media playlists that import them.
    pub variables: Vec<(String, String)>,
    /// What was wrong but could be read past.
    pub problems: Vec<ParseError>,
}

/// A way to play all of a stream: `EXT-X-STREAM-INF` or `EXT-X-I-FRAME-STREAM-INF`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Variant {
    /// Its media playlist.
    pub uri: String,
    /// Only keyframes.
    pub i_frames: bool,
    /// Peak bits a second.
    pub bandwidth: u64,
    /// Average bits a second.
    pub average_bandwidth: Option<u64>,
    /// `SCORE`.
    pub score: Option<f64>,
    /// RFC 6381 strings, separated by commas.
    pub codecs: String,
    /// `SUPPLEMENTAL-CODECS`.
    pub supplemental_codecs: String,
    /// Width and height.
    pub resolution: Option<(u32, u32)>,
    /// Frames a second.
    pub frame_rate: Option<f64>,
    /// `HDCP-LEVEL`.
    pub hdcp_level: String,
    /// `ALLOWED-CPC`.
    pub allowed_cpc: String,
    /// `VIDEO-RANGE`.
    pub video_range: String,
    /// `STABLE-VARIANT-ID`.
    pub stable_id: String,
    /// `PATHWAY-ID`.
    pub pathway: String,
    /// Group of its video renditions; empty for none.
    pub video: String,
    /// Group of its audio renditions.
    pub audio: String,
    /// Group of its subtitles.
    pub subtitles: String,
    /// Group of its closed captions, or `NONE`.
    pub closed_captions: String,
    /// Line of the tag.
    pub line: usize,
}

/// What a rendition is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RenditionKind {
    /// Sound.
    Audio,
    /// Pictures.
    Video,
    /// Subtitles.
    Subtitles,
    /// Captions in the pictures.
    ClosedCaptions,
}

/// A choice beside others: `EXT-X-MEDIA`.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendition {
    /// What it is for.
    pub kind: RenditionKind,
    /// Its media playlist; `None` where it is in the variant's own segments.
    pub uri: Option<String>,
    /// Its group.
    pub group: String,
    /// BCP 47.
    pub language: String,
    /// `ASSOC-LANGUAGE`.
    pub assoc_language: String,
    /// For people.
    pub name: String,
    /// `STABLE-RENDITION-ID`.
    pub stable_id: String,
    /// The one to play when nobody chooses.
    pub default: bool,
    /// Players may choose it by themselves.
    pub autoselect: bool,
    /// Essential to play (subtitles).
    pub forced: bool,
    /// `INSTREAM-ID`.
    pub instream_id: String,
    /// `BIT-DEPTH`.
    pub bit_depth: Option<u32>,
    /// `SAMPLE-RATE`.
    pub sample_rate: Option<u32>,
    /// `CHARACTERISTICS`.
    pub characteristics: String,
    /// `CHANNELS`, as it stands.
    pub channels: String,
    /// Line of the tag.
    pub line: usize,
}

/// `EXT-X-SESSION-DATA`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionData {
    /// `DATA-ID`.
    pub id: String,
    /// `VALUE`.
    pub value: Option<String>,
    /// `URI`.
    pub uri: Option<String>,
    /// `LANGUAGE`.
    pub language: String,
}

/// `EXT-X-CONTENT-STEERING`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Steering {
    /// `SERVER-URI`.
    pub uri: String,
    /// `PATHWAY-ID`.
    pub pathway: String,
}

/// `EXT-X-START`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Start {
    /// From the start of the playlist, or from its end where negative.
    pub offset: Duration,
    /// Begin exactly there.
    pub precise: bool,
}

/// `EXT-X-PLAYLIST-TYPE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlaylistType {
    /// Segments are only added.
    Event,
    /// Nothing changes.
    Vod,
}

/// A media playlist.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MediaPlaylist {
    /// `EXT-X-VERSION`; 1 where there is none.
    pub version: u8,
    /// `EXT-X-TARGETDURATION`; `None` where it is missing, which is a problem.
    pub target_duration: Option<Duration>,
    /// Number of the first segment.
    pub media_sequence: u64,
    /// Number of the first segment's discontinuity.
    pub discontinuity_sequence: u64,
    /// No segments will be added.
    pub ended: bool,
    /// Whether and how it changes.
    pub kind: Option<PlaylistType>,
    /// Segments are single keyframes.
    pub i_frames_only: bool,
    /// Every segment can be decoded by itself.
    pub independent_segments: bool,
    /// Where players shall begin.
    pub start: Option<Start>,
    /// `PART-TARGET` of `EXT-X-PART-INF`.
    pub part_target: Option<Duration>,
    /// `EXT-X-SERVER-CONTROL`.
    pub server_control: Option<ServerControl>,
    /// Segments in order.
    pub segments: Vec<Segment>,
    /// Parts behind the last segment.
    pub parts: Vec<Part>,
    /// `EXT-X-SKIP`: segments of an earlier playlist that are left out here, before [`Self::segments`].
    pub skipped: Option<Skip>,
    /// `EXT-X-PRELOAD-HINT`.
    pub preload_hints: Vec<PreloadHint>,
    /// `EXT-X-RENDITION-REPORT`.
    pub rendition_reports: Vec<RenditionReport>,
    /// `EXT-X-DATERANGE`.
    pub date_ranges: Vec<DateRange>,
    /// The lowest `EXT-X-VERSION` that what is in it asks for (§8).
    pub needs_version: u8,
    /// What was wrong but could be read past.
    pub problems: Vec<ParseError>,
}

impl MediaPlaylist {
    /// Sum of the segments' durations.
    pub fn duration(&self) -> Duration {
        self.segments.iter().fold(Duration::ZERO, |sum, s| sum + s.duration)
    }
}

/// `EXT-X-SERVER-CONTROL`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ServerControl {
    /// `CAN-SKIP-UNTIL`.
    pub can_skip_until: Option<Duration>,
    /// `CAN-SKIP-DATERANGES`.
    pub can_skip_dateranges: bool,
    /// `HOLD-BACK`.
    pub hold_back: Option<Duration>,
    /// `PART-HOLD-BACK`.
    pub part_hold_back: Option<Duration>,
    /// `CAN-BLOCK-RELOAD`.
    pub can_block_reload: bool,
}

/// A part of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub len: u64,
}

/// A media segment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Segment {
    /// Where it is.
    pub uri: String,
    /// Which part of that.
    pub byte_range: Option<ByteRange>,
    /// `EXTINF`; zero where it is missing, which is a problem.
    pub duration: Duration,
    /// Title of `EXTINF`.
    pub title: String,
    /// Its media sequence number.
    pub number: u64,
    /// Its discontinuity sequence number.
    pub discontinuity_number: u64,
    /// It doesn't go on from the segment before.
    pub discontinuity: bool,
    /// It is not there.
    pub gap: bool,
    /// Keys: more than one of different formats say the same. Empty for clear media.
    pub keys: Vec<Arc<Key>>,
    /// Initialisation section.
    pub map: Option<Arc<Map>>,
    /// `EXT-X-PROGRAM-DATE-TIME`: milliseconds since 1970-01-01 UTC.
    pub date: Option<i64>,
    /// `EXT-X-BITRATE` in kbit/s.
    pub bitrate: Option<u64>,
    /// Parts of it.
    pub parts: Vec<Part>,
    /// Line of its URI.
    pub line: usize,
}

/// A partial segment: `EXT-X-PART`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Part {
    /// Where it is.
    pub uri: String,
    /// Which part of that.
    pub byte_range: Option<ByteRange>,
    /// How long.
    pub duration: Duration,
    /// It begins with a keyframe.
    pub independent: bool,
    /// It is not there.
    pub gap: bool,
    /// Line of the tag.
    pub line: usize,
}

/// An initialisation section: `EXT-X-MAP`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Map {
    /// Where it is.
    pub uri: String,
    /// Which part of that.
    pub byte_range: Option<ByteRange>,
    /// Its keys, as those of a [`Segment`].
    pub keys: Vec<Arc<Key>>,
}

/// How segments are encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Method {
    /// Not.
    None,
    /// Whole segments, AES-128 in CBC mode.
    Aes128,
    /// Whole segments, AES-256 in CBC mode.
    Aes256,
    /// Whole segments, AES-256 in CTR mode.
    Aes256Ctr,
    /// Samples.
    SampleAes,
    /// Samples, in CTR mode.
    SampleAesCtr,
    /// Something else.
    Other(String),
}

/// A key: `EXT-X-KEY`, `EXT-X-SESSION-KEY`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// How.
    pub method: Method,
    /// Where the key is.
    pub uri: Option<String>,
    /// Initialisation vector; `None` for the media sequence number.
    pub iv: Option<[u8; 16]>,
    /// `KEYFORMAT`; `identity` where it isn't given.
    pub format: String,
    /// `KEYFORMATVERSIONS`.
    pub format_versions: String,
}

impl Key {
    /// Initialisation vector of a segment with this media sequence number: that of the playlist, else the number
    /// (RFC 8216 §5.2).
    pub fn vector(&self, number: u64) -> [u8; 16] {
        self.iv.unwrap_or_else(|| u128::from(number).to_be_bytes())
    }
}

/// `EXT-X-SKIP`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Skip {
    /// How many segments.
    pub segments: u64,
    /// Ids of date ranges that are gone.
    pub removed_dateranges: Vec<String>,
}

/// `EXT-X-PRELOAD-HINT`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PreloadHint {
    /// It is an initialisation section, not a part.
    pub is_map: bool,
    /// Where it will be.
    pub uri: String,
    /// First byte.
    pub offset: u64,
    /// Bytes; `None` to the end.
    pub len: Option<u64>,
}

/// `EXT-X-RENDITION-REPORT`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RenditionReport {
    /// Of which media playlist.
    pub uri: String,
    /// Its last segment.
    pub last_number: Option<u64>,
    /// Its last part.
    pub last_part: Option<u64>,
}

/// `EXT-X-DATERANGE`. Times are milliseconds since 1970-01-01 UTC.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DateRange {
    /// Identity.
    pub id: String,
    /// `CLASS`.
    pub class: String,
    /// `START-DATE`.
    pub start: Option<i64>,
    /// `END-DATE`.
    pub end: Option<i64>,
    /// `DURATION`.
    pub duration: Option<Duration>,
    /// `PLANNED-DURATION`.
    pub planned: Option<Duration>,
    /// `CUE`.
    pub cue: String,
    /// It ends where the next of its class begins.
    pub end_on_next: bool,
    /// `SCTE35-CMD`, `SCTE35-OUT` and `SCTE35-IN`, in that order, as hexadecimal text; empty for none.
    pub scte35: [String; 3],
    /// Attributes that begin with `X-`: name and value.
    pub client: Vec<(String, String)>,
    /// Line of the tag.
    pub line: usize,
}
