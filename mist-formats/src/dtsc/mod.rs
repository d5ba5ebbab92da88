//! DTSC, the container and wire format that MistServers speak to each other, as MistServer 2.14 and 3 write it.
//!
//! A packet is four letters, a length and a body. Headers and commands are packed objects ([`value`]); media packets
//! carry a track, a time in milliseconds and an object with the payload ([`packet`]). The header says what tracks there
//! are and, in files, where every packet lies ([`head`]). The same header on its own, stored beside a media file of any
//! format, saves reading that file again: [`dtsh`].
//!
//! [`Demuxer`] and [`Muxer`] read and write files and streams; a protocol uses [`value`], [`packet`] and
//! [`head`] directly. Packets of commands, as recorded dialogues have them, are passed over or handed out beside the media. Left out: encrypted
//! payload (`ivecs`), and codecs that mist doesn't know: such tracks are reported and skipped.

use mist_core::codec::Codec;
use mist_core::registry::{Connector, FormatDef, InputInfo, Method, Slot};

pub mod dtsh;
pub mod head;
pub mod packet;
pub mod value;

mod demux;
mod mux;
mod tables;

pub use demux::{Command, Demuxer};
pub use head::{Header, HeaderProblem, Source, Track};
pub use mux::Muxer;
pub use packet::{MediaPacket, PacketHead, PacketKind};
pub use tables::{Key, starts_key};
pub use value::{Object, Value, ValueError};

/// The registry entry.
pub static FORMAT: FormatDef = FormatDef {
    id: ID,
    mime: "application/octet-stream",
    extensions: &["dtsc"],
    probe,
    demuxer: Some(|| Box::new(Demuxer::new())),
    muxer: Some(|| Box::new(Muxer::new())),
    input: Some(InputInfo {
        name: "DTSC",
        desc: "Reads DTSC files with any codec.",
        source_match: &["/*.dtsc"],
        priority: 9,
        codecs: &[&[Slot::Many(Codec::ALL)]],
        options: &[],
    }),
    output: Some(Connector {
        name: "HTTPDTSC",
        desc: "DTSC over HTTP, and recordings to DTSC files, with all tracks of any codec.",
        deps: "HTTP",
        url_rel: "/$.dtsc",
        url_match: &["/$.dtsc"],
        url_prefix: &[],
        push_urls: &["/*.dtsc"],
        methods: &[Method { handler: "http", kind: "dtsc", priority: 1 }],
        codecs: &[&[Slot::Many(Codec::ALL)]],
        options: &[],
    }),
};

/// Id of the format.
const ID: &str = "DTSC";

fn probe(head: &[u8]) -> u8 {
    let Some((first, rest)) = head.split_first_chunk::<8>() else { return 0 };
    let Some(h) = PacketHead::parse(*first) else { return 0 };
    let at = if h.kind == PacketKind::MediaV2 { 12 } else { 0 };
    match rest.get(at) {
        Some(&(value::OBJECT | value::OBJECT_TOO)) if h.len as usize <= h.limit() => 255,
        Some(_) => 50,
        None => 150,
    }
}

/// What a file or connection may make us hold.
pub mod limits {
    /// Depth of nested values; real headers have 3.
    pub const DEPTH: usize = 16;
    /// Values in one packet.
    pub const VALUES: usize = 1 << 16;
    /// Members of a media packet.
    pub const MEMBERS: usize = 64;
    /// Bytes of a media packet: tables have 24 bits for the size of a payload.
    pub const PACKET: usize = (1 << 24) + (1 << 16);
    /// Bytes of a header. One with the tables of 24 hours of video and sound has 60 to 90 MB.
    pub const HEADER: usize = 128 << 20;
    /// Bytes of a command.
    pub const COMMAND: usize = 1 << 20;
    /// Commands that wait for whoever wants them.
    pub const COMMANDS: usize = 1024;
    /// Tracks of a header.
    pub const TRACKS: usize = 256;
    /// Bytes of a track's init data.
    pub const INIT: usize = 1 << 20;
    /// Headers that point to another one, in a row.
    pub const MORE_HEADERS: u32 = 4;
    /// Bytes of a packet's body at which reading goes on after damage: longer ones are passed over.
    pub const FOUND: usize = 1 << 22;
    /// Milliseconds after which a track without pictures gets another key.
    pub const KEY_MS: i64 = 2000;
    /// Milliseconds of a fragment at which it is complete.
    pub const FRAGMENT_MS: i64 = 1900;
    /// Packets that a header file can list.
    pub const PACKETS: usize = 12_000_000;
}
