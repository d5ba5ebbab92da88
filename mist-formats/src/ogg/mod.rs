//! Ogg: RFC 3533, with the mappings of Vorbis (*Vorbis I specification*, annex A), Opus (RFC 7845), Theora (*Theora
//! specification*, annex A), FLAC (RFC 9639 §10.1), Speex (*The Speex Codec Manual*) and, for reading, VP8.
//!
//! # Reading
//! [`Demuxer`] takes pages whose checksum is right, from anywhere in a stream. Times are those of granule positions,
//! counted back from the end of each page by the exact length of its packets; on a stream's last page they are counted
//! on from the page before, and the last packet's `duration` says what is left of it. Sound before a stream's zero
//! (the first block of Vorbis, the pre-skip of Opus) has times below it. A further link of a chained stream goes on
//! where the one before ended: tracks of the same codec get a new description, others are gone. Of Skeleton the
//! languages are used. Logical streams of other codecs are left out, with a `Problem`.
//!
//! Seeking needs the headers to have been read. It halves the part of the file in which the time has to lie, by the
//! granule positions found there; in a chained file that is the link that holds the time, or the last one seen so far.
//!
//! # Writing
//! [`Muxer`] writes one link, and a new one when a track changes. Times begin at 0 unless the first packet's is within
//! a second of that. Sound is counted in samples from packet to packet: stamps that were rounded to milliseconds on the
//! way don't show, and what comes earlier than the packet before ends follows that. Pictures of Theora that are further
//! from their key frame than its headers can say keep their time and count from a nearer picture. Sound of FLAC and Speex that
//! begins before 0 is told from sound that is cut at its end only if it has more than one page.
//!
//! Left out: Skeleton's index, other codecs (Dirac, Kate, CMML, PCM, Daala), writing VP8 and Skeleton.

use mist_core::codec::Codec;
use mist_core::registry::{Connector, FormatDef, InputInfo, Method, Slot};

mod crc;
mod demux;
mod map_flac;
mod map_opus;
mod map_speex;
mod map_theora;
mod map_vorbis;
mod map_vp8;
mod mapping;
mod mux;
mod page;
mod pen;
mod seek;
mod skeleton;
mod stream;

pub use demux::Demuxer;
pub use mux::Muxer;

/// What a file or connection may make us hold or do.
pub mod limits {
    /// Logical streams of a link.
    pub const STREAMS: usize = 64;
    /// Bytes of a packet that lies on several pages.
    pub const PACKET: usize = 16 << 20;
    /// Bytes of all packets that go on on the next page.
    pub const HELD: usize = 32 << 20;
    /// Bytes of a comment header that is kept as a part of a track's initialisation data.
    pub const COMMENTS: usize = 64 << 10;
    /// Bytes before the first page.
    pub const SEARCH: u64 = 1 << 20;
    /// Links whose place is kept for seeking.
    pub const LINKS: usize = 4096;
    /// Bytes that are read in one place while seeking, until a granule position is found.
    pub const PROBE: u64 = 1 << 20;
}

const ID: &str = "OGG";

const VIDEO: &[Codec] = &[Codec::Theora];
const AUDIO: &[Codec] = &[Codec::Vorbis, Codec::Opus, Codec::Flac, Codec::Speex];

/// The registry entry.
pub static FORMAT: FormatDef = FormatDef {
    id: ID,
    mime: "video/ogg",
    extensions: &["ogg", "ogv", "oga", "ogx", "opus", "spx"],
    probe: page::probe,
    demuxer: Some(|| Box::new(Demuxer::new())),
    muxer: Some(|| Box::new(Muxer::new())),
    input: Some(InputInfo {
        name: "OGG",
        desc: "This input allows streaming of OGG files as Video on Demand.",
        source_match: &["/*.ogg", "/*.ogv", "/*.oga", "/*.opus", "/*.spx", "ogg:*"],
        priority: 9,
        codecs: &[&[Slot::Many(&[Codec::Theora, Codec::Vp8]), Slot::Many(AUDIO)]],
        options: &[],
    }),
    output: Some(Connector {
        name: "OGG",
        desc: "Enables HTTP protocol progressive streaming.",
        deps: "HTTP",
        url_rel: "/$.ogg",
        url_match: &["/$.ogg"],
        url_prefix: &[],
        push_urls: &["/*.ogg"],
        methods: &[Method { handler: "http", kind: "html5/video/ogg", priority: 8 }],
        codecs: &[&[Slot::Of(VIDEO), Slot::Of(AUDIO)]],
        options: &[],
    }),
};
