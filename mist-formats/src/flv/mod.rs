//! Flash Video: Adobe's *Video File Format Specification* version 10.1, annex E, and Enhanced RTMP version 2 (Veovera
//! Software Organization), whose extended heads are the same in files and in RTMP messages.
//!
//! - [`tag`]: tag bodies taken apart, without memory.
//! - [`TagReader`] and [`TagWriter`]: bodies to [`Media`](mist_core::media::Media) and back, with a connection's
//!   memory. RTMP uses these two directly: its audio, video and data messages are tag bodies.
//! - [`Script`] and [`Metadata`]: script data.
//! - [`Demuxer`] and [`Muxer`]: files and HTTP-FLV.
//!
//! Script data makes no track: `onMetaData` gives hints where codec data is silent, and callers can look at
//! every [`Script`]. Left out: encrypted tags (reported and skipped), F4V, and MPEG-2 TS descriptors as
//! decoder configuration other than AV1's.

use mist_core::codec::Codec;
use mist_core::registry::{Codecs, Connector, FormatDef, InputInfo, Method, Slot};

pub mod tag;

mod demux;
mod describe;
mod meta;
mod mux;
mod reader;
mod writer;

pub use demux::Demuxer;
pub use meta::{Metadata, Script};
pub use mux::Muxer;
pub use reader::{TagReader, audio_track, video_track};
pub use tag::{TagError, TagKind};
pub use writer::{Peer, Tag, TagWriter};

const VIDEO: &[Codec] = &[
    Codec::H264,
    Codec::Hevc,
    Codec::Av1,
    Codec::Vp9,
    Codec::Vp8,
    Codec::H263,
    Codec::Vp6,
    Codec::Vp6Alpha,
    Codec::Screen2,
    Codec::Screen1,
    Codec::Jpeg,
];
const AUDIO: &[Codec] = &[
    Codec::Aac,
    Codec::Mp3,
    Codec::Opus,
    Codec::Flac,
    Codec::Ac3,
    Codec::Eac3,
    Codec::Speex,
    Codec::Nellymoser,
    Codec::Pcm,
    Codec::Adpcm,
    Codec::Alaw,
    Codec::Ulaw,
];
const CODECS: Codecs = &[&[Slot::Of(VIDEO), Slot::Of(AUDIO)]];

/// The registry entry.
pub static FORMAT: FormatDef = FormatDef {
    id: ID,
    mime: "video/x-flv",
    extensions: &["flv"],
    probe,
    demuxer: Some(|| Box::new(Demuxer::new())),
    muxer: Some(|| Box::new(Muxer::new())),
    input: Some(InputInfo {
        name: "FLV",
        desc: "Reads FLV files: Adobe's codecs and those of Enhanced RTMP.",
        source_match: &["/*.flv", "flv:*"],
        priority: 9,
        codecs: &[&[Slot::Many(VIDEO), Slot::Many(AUDIO)]],
        options: &[],
    }),
    output: Some(Connector {
        name: "FLV",
        desc: "Flash Video over HTTP, and recordings and pushes to FLV files.",
        deps: "HTTP",
        url_rel: "/$.flv",
        url_match: &["/$.flv"],
        url_prefix: &["/progressive/$.flv"],
        push_urls: &["/*.flv"],
        methods: &[Method { handler: "http", kind: "flash/7", priority: 5 }],
        codecs: CODECS,
        options: &[],
    }),
};

fn probe(head: &[u8]) -> u8 {
    match head {
        [b'F', b'L', b'V', 1, flags, 0, 0, 0, 9, ..] if flags & 0xfa == 0 => 255,
        [b'F', b'L', b'V', 1, ..] => 200,
        [b'F', b'L', b'V', 0 | 2..=9, ..] => 100,
        _ => 0,
    }
}

/// Id of the format.
const ID: &str = "FLV";

/// The longest body: its length has 24 bits.
const MAX_BODY: usize = 0xff_ffff;

/// What a file or connection may make us hold.
pub mod limits {
    /// Tracks that one connection or file can open.
    pub const TRACKS: usize = 32;
    /// Tracks in one tag.
    pub const TRACKS_IN_TAG: usize = 32;
    /// ModEx heads in a row.
    pub const MOD_EX: u32 = 8;
    /// Bytes of one track's decoder configuration.
    pub const INIT: usize = 1 << 16;
    /// Length of a file's header.
    pub const HEADER: u64 = 1 << 16;
    /// Length of a tag's body at which reading goes on after damage: longer ones are passed over, so that
    /// arbitrary bytes can't make us wait for a tag that is none.
    pub const FOUND: usize = 1 << 20;
}
