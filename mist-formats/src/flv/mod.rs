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

pub mod tag;

mod describe;
mod meta;
mod reader;
mod writer;

pub use meta::{Metadata, Script};
pub use reader::{TagReader, audio_track, video_track};
pub use tag::{TagError, TagKind};
pub use writer::{Peer, Tag, TagWriter};

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
}
