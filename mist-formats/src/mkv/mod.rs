//! Matroska and WebM: EBML (RFC 8794), Matroska (RFC 9559) with its codec mappings (draft-ietf-cellar-codec), and the
//! WebM container guidelines.
//!
//! # Reading
//! [`Demuxer`] reads whole files, pieces of them and live streams. Elements are read one after the other; blocks are
//! slices of the input. Segments and clusters may have no size: what belongs higher up ends them. Several segments,
//! with the same tracks or others, may follow each other. The track's id is its TrackNumber.
//!
//! - *Times* are the blocks' own, less CodecDelay, so sound with a delay begins before 0, as ffprobe shows it; not
//!   rounded to TimestampScale, though. Frames that share a block follow each other by BlockDuration's share, or by
//!   what the codec says, or DefaultDuration. DiscardPadding shortens the last packet's duration. Decoding times aren't
//!   stored: `mist_core::reorder` derives them for codecs that reorder pictures, with no more delay than needed.
//! - *Keyframes* are what SimpleBlock's flag says, and groups without ReferenceBlock; frames of VP8, VP9, AV1 and Theora
//!   have to be keyframes as well, as some writers never reference.
//! - *Descriptions* come with Tracks; where init data is in the payload only (VP9 mostly, H.264 with start codes), with
//!   the track's first frame.
//! - *Seeking* goes by Cues, which SeekHead may have to find; without them by the keyframes seen so far, or by looking on
//!   from the last of them. Where the place isn't known at once, `seek` answers with the time that was asked for. Behind
//!   it, video begins with the keyframe and sound SeekPreRoll before it, as far as the cluster has it.
//! - *Damage* is a `Problem`, and reading goes on at the next cluster. A wrong size that swallows the rest of a file is
//!   found at its end. Tracks that are encrypted, packed with LZO or bzip2, or of a codec that isn't handled are left
//!   out with a `Problem`.
//!
//! CRC-32 isn't checked. Left out: TrackTimestampScale (taken as 1), TrackOperation and virtual tracks, linked segments
//! and chapters, tags, attachments, BlockAdditions other than WebVTT's, and `index()`, as Cues don't list every packet.

use mist_core::codec::Codec;
use mist_core::registry::{Connector, FormatDef, InputInfo, Method, Slot};

mod block;
pub mod codecs;
mod cues;
mod demux;
mod ebml;
mod encoding;
mod frames;
mod headers;
mod lacing;
mod mux;
mod mux_element;
mod mux_head;
mod nodes;
mod resync;
pub mod schema;
mod seek;
mod track;

pub use demux::Demuxer;
pub use mux::Muxer;

/// The registry entry.
pub static FORMAT: FormatDef = FormatDef {
    id: ID,
    mime: "video/webm",
    extensions: &["mkv", "webm", "mka", "mk3d", "mks"],
    probe,
    demuxer: Some(|| Box::new(Demuxer::new())),
    muxer: Some(|| Box::new(Muxer::new())),
    input: Some(INPUT),
    output: Some(OUTPUT),
};

/// Id of the format.
const ID: &str = "MKV";

const VIDEO: &[Codec] =
    &[Codec::H264, Codec::Hevc, Codec::Vp8, Codec::Vp9, Codec::Theora, Codec::Mpeg2, Codec::Av1, Codec::Jpeg];
const AUDIO: &[Codec] = &[
    Codec::Aac,
    Codec::Vorbis,
    Codec::Opus,
    Codec::Pcm,
    Codec::Alaw,
    Codec::Ulaw,
    Codec::Mp2,
    Codec::Mp3,
    Codec::PcmFloat,
    Codec::Ac3,
    Codec::Eac3,
    Codec::Flac,
    Codec::Dts,
    Codec::Alac,
];
const TEXT: &[Codec] = &[Codec::Subtitle, Codec::WebVtt, Codec::Ass];
const DATA: &[Codec] = &[Codec::Json];

const INPUT: InputInfo = InputInfo {
    name: "EBML",
    desc: "Allows loading MKV, MKA, MK3D, MKS and WebM files for Video on Demand, or accepts live streams in those formats over standard input.",
    source_match: &["/*.mkv", "/*.mka", "/*.mk3d", "/*.mks", "/*.webm", "mkv-exec:*", "ebml:*"],
    priority: 9,
    codecs: &[&[Slot::Many(VIDEO), Slot::Many(AUDIO), Slot::Many(TEXT), Slot::Many(DATA)]],
    options: &[],
};

const OUTPUT: Connector = Connector {
    name: "EBML",
    desc: "Enables MKV and WebM streaming over HTTP.",
    deps: "HTTP",
    url_rel: "/$.webm",
    url_match: &["/$.mkv", "/$.webm"],
    url_prefix: &[],
    push_urls: &["/*.mkv", "/*.webm"],
    methods: &[Method { handler: "http", kind: "html5/video/webm", priority: 11 }],
    codecs: &[&[Slot::Of(VIDEO), Slot::Of(AUDIO), Slot::Many(TEXT), Slot::Many(DATA)]],
    options: &[],
};

fn probe(head: &[u8]) -> u8 {
    let Some(rest) = head.strip_prefix(&[0x1a, 0x45, 0xdf, 0xa3]) else { return 0 };
    let holds = |what: &[u8]| memchr::memmem::find(rest.get(..limits::PROBE).unwrap_or(rest), what).is_some();
    if holds(b"matroska") || holds(b"webm") { 255 } else { 100 }
}

/// What a file or stream may make us hold.
pub mod limits {
    /// Bytes of a file's start in which its DocType is looked for.
    pub(super) const PROBE: usize = 256;
    /// Bytes of the EBML header.
    pub const HEADER: u64 = 64 << 10;
    /// Bytes of SeekHead, Info, Tracks or Cues, each of which is read as a whole.
    pub const METADATA: u64 = 32 << 20;
    /// Bytes of a SimpleBlock or BlockGroup.
    pub const BLOCK: u64 = 64 << 20;
    /// Bytes of Tags or Chapters that are shown to tools.
    pub const SHOWN: u64 = 1 << 20;
    /// Depth of elements in each other.
    pub const DEPTH: u16 = 16;
    /// Tracks of a segment.
    pub const TRACKS: usize = 128;
    /// Bytes of a track's CodecPrivate.
    pub const PRIVATE: usize = 4 << 20;
    /// Bytes of a frame when it is unpacked.
    pub const INFLATED: usize = 4 << 20;
    /// Content encodings of a track, one in the other.
    pub const ENCODINGS: usize = 4;
    /// Bytes that header stripping may have left out of every frame.
    pub const STRIPPED: usize = 4096;
    /// Keyframes that are remembered for seeking without Cues.
    pub const SEEN: usize = 4096;
    /// Entries of Cues that are kept; more are thinned out evenly.
    pub const CUES: usize = 1 << 20;
    /// Cues that are written; more are thinned out evenly.
    pub const CUES_WRITTEN: usize = 4096;
    /// Clusters whose sizes are kept, to be filled in at the end; with more all sizes stay open. At 48 kHz that is after
    /// two days, at four bytes each.
    pub const CLUSTERS_WRITTEN: usize = 1 << 18;
    /// Bytes in a row without an element that is known.
    pub const SEARCH: u64 = 1 << 20;
}
