//! HLS output: RFC 8216 (version 3 and 4 playlists) with MPEG-2 transport stream segments.
//!
//! | URL below `/hls/STREAM/` | what |
//! |---|---|
//! | `index.m3u8` | multivariant playlist: `video=`, `audio=` select what it offers (manual 2.4.1) |
//! | `V_A/index.m3u8`, `V/index.m3u8`, `A/index.m3u8` | media playlist of the tracks with these ids |
//! | `V_A/NUMBER_UNIXMS.ts` | segment |
//!
//! A segment's name holds its number and the wall clock of its start, so a URL means the same for ever, also after the
//! server was restarted and counts anew: caches may keep segments without asking. There is no session in a URL.
//! Parameters that don't select tracks, like a token, are carried on to the URLs in a playlist.
//!
//! [`parse`] reads the playlists of others, those of the second edition (RFC 8216bis) too.
//!
//! All decisions about segments are the buffer's; this folder only writes them down. Left out: low-latency parts,
//! encryption, WebVTT renditions, byte ranges, delta updates, I-frame playlists.

mod output;
pub mod parse;
mod playlist;

pub use output::Hls;

#[cfg(any(test, fuzzing, feature = "fuzzing"))]
pub use output::fuzz;

use mist_core::codec::Codec;
use mist_core::registry::{Codecs, Connector, Method, OptionDef, OptionKind, ProtocolDef, Serve, Slot};

/// Type of playlists (RFC 8216 §4).
pub const MIME: &str = "application/vnd.apple.mpegurl";

/// The `FormatDef::id` of segments.
pub const SEGMENT_FORMAT: &str = "TS";

const CODECS: Codecs = &[&[
    Slot::Many(&[Codec::Hevc, Codec::H264, Codec::Mpeg2]),
    Slot::Many(&[Codec::Aac, Codec::Mp3, Codec::Ac3, Codec::Eac3, Codec::Mp2]),
]];

/// Bounds on what a request can make of a playlist.
mod limits {
    /// Bytes of parameters that are carried on to every URL of a playlist; what doesn't fit is dropped.
    pub(super) const CARRIED: usize = 512;
    /// `listlimit` at the most.
    pub(super) const LIST: i64 = 10_000;
}

/// The registry's entry.
pub static PROTOCOL: ProtocolDef = ProtocolDef {
    id: "HLS",
    port: None,
    serve: Serve::Http(&Hls),
    connect: None,
    input: None,
    output: Some(Connector {
        name: "HLS",
        desc: "Segmented streaming over HTTP for Apple devices and browsers (HLS)",
        deps: "HTTP",
        url_rel: "/hls/$/index.m3u8",
        url_match: &[],
        url_prefix: &["/hls/$/"],
        push_urls: &[],
        methods: &[Method { handler: "http", kind: "html5/application/vnd.apple.mpegurl", priority: 9 }],
        codecs: CODECS,
        options: &[OptionDef {
            key: "listlimit",
            name: "Live playlist limit",
            help: "Most segments in the playlist of a live stream, as far as players can do with them; 0 lists all.",
            flag: "--list-limit",
            kind: OptionKind::Number { min: 0, max: limits::LIST },
            default: "0",
            required: false,
        }],
    }),
};
