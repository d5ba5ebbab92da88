//! MPEG transport streams: ISO/IEC 13818-1 (ITU-T H.222.0), with DVB's tables and descriptors (ETSI EN 300 468)
//! and the mappings of H.264, HEVC, AAC, AC-3, Opus, timed ID3 and SCTE-35.
//!
//! # Reading
//! [`TsDemuxer`](demux::TsDemuxer) reads packets of 188, 192 (M2TS) and 204 bytes from anywhere in a stream, and all
//! elementary streams of one program: the first of the PAT or, if another program's PMT comes twice before the first
//! one's comes (or only another one's ever does), that one. Further programs are a `Problem`. A track's id is its PID.
//! Packets from before the PMT are kept up to a limit and read when it comes. Times are the stream's own stamps without
//! their wraps, beginning with the first one as it is. Pictures before the first parameter sets are left out, with
//! a `Problem`, as nothing can decode them. `PES_packet_length` ends a unit except for video, where the next access unit
//! does: writers wrap it there at 64 KiB. What a lost packet was in is dropped up to the NAL unit or frame before.
//!
//! # Writing
//! [`TsMuxer`](mux::TsMuxer) writes one program. Its stamps are a pure function of the packet's times,
//! `(time × 90,000 + 126,000) mod 2^33`, so that what different muxers write of one stream (one a segment) fits
//! together; times down to −1.4 s are written without a wrap. What is shown before its decoding time is decoded when it is
//! shown, so decoding times step back where composition offsets are negative. The clock runs 0.7 s behind the decoding times of the
//! video track (the first audio track where there is none) and never backwards while the input is less than ten
//! seconds out of order. Every elementary stream begins with a `discontinuity_indicator`, as counters start anew.
//!
//! Left out: encryption, several programs, a constant bit rate.

use bytes::Bytes;
use mist_core::codec::Codec;
use mist_core::format::{Demuxer, ErrorKind, FormatError, Muxer};
use mist_core::media::{Packet, Params};
use mist_core::registry::{Connector, FormatDef, InputInfo, Method, Slot};
use mist_core::time::Timestamp;

mod audio;
mod buffers;
pub mod check;
pub mod demux;
mod elementary;
pub mod mux;
mod packet;
mod pes;
mod psi;
mod scte35;
mod stream;
mod video;

/// What a transport stream can make this folder hold.
pub mod limits {
    /// Elementary streams of a program.
    pub const MAX_STREAMS: usize = 32;
    /// Programs of a PAT that are followed until one is chosen.
    pub const MAX_PROGRAMS: usize = 64;
    /// Packets that are kept until the program is known; then the oldest are dropped.
    pub const MAX_HELD: usize = 4096;
    /// Bytes of a picture, or of PES packets in which no picture ends.
    pub const MAX_PICTURE: usize = 16 << 20;
    /// Bytes of a PES packet that is not video.
    pub const MAX_UNIT: usize = 1 << 20;
    /// Bytes of an audio frame with its header.
    pub const MAX_AUDIO_FRAME: usize = 64 << 10;
    /// PES packets in which no picture or frame ends.
    pub const MAX_MARKS: usize = 1024;
    /// Splice sections that wait for the first time.
    pub const MAX_WAITING: usize = 16;
    /// Bytes in a row without transport packets.
    pub const MAX_SEARCH: usize = 1 << 20;
    /// Bytes that any audio header fits in.
    pub(super) const AUDIO_HEADER: usize = 8;
}

/// MPEG-TS.
pub static FORMAT: FormatDef = FormatDef {
    id: ID,
    mime: "video/mp2t",
    extensions: &["ts", "m2ts", "mts"],
    probe: packet::probe,
    demuxer: Some(demuxer),
    muxer: Some(muxer),
    input: Some(INPUT),
    output: Some(OUTPUT),
};

const ID: &str = "TS";

fn demuxer() -> Box<dyn Demuxer> {
    Box::new(demux::TsDemuxer::new())
}

fn muxer() -> Box<dyn Muxer> {
    Box::new(mux::TsMuxer::new())
}

const VIDEO: &[Codec] = &[Codec::H264, Codec::Hevc, Codec::Mpeg2];
const AUDIO: &[Codec] = &[Codec::Aac, Codec::Mp3, Codec::Ac3, Codec::Mp2, Codec::Eac3, Codec::Opus];
const DATA: &[Codec] = &[Codec::Id3, Codec::Scte35];

const INPUT: InputInfo = InputInfo {
    name: "TS",
    desc: "This input allows you to stream MPEG2-TS data from static files (/*.ts), streamed files or named pipes (stream://*.ts), streamed over HTTP (http://*.ts, http-ts://*), standard input (ts-exec:*), or multicast/unicast UDP sockets (tsudp://*).",
    source_match: &["/*.ts", "stream://*.ts", "tsudp://*", "ts-exec:*", "http://*.ts", "http-ts://*"],
    priority: 9,
    codecs: &[&[Slot::Many(VIDEO), Slot::Many(AUDIO), Slot::Many(DATA)]],
    options: &[],
};

const OUTPUT: Connector = Connector {
    name: "HTTPTS",
    desc: "Enables HTTP protocol MPEG2/TS pseudostreaming.",
    deps: "HTTP",
    url_rel: "/$.ts",
    url_match: &["/$.ts"],
    url_prefix: &[],
    push_urls: &["/*.ts", "ts-exec:*"],
    methods: &[Method { handler: "http", kind: "html5/video/mpeg", priority: 1 }],
    codecs: &[&[Slot::Of(VIDEO), Slot::Of(AUDIO), Slot::Many(DATA)]],
    options: &[],
};

/// What it hands out.
pub(super) trait Sink {
    /// A description that holds from the next packet on.
    fn describe(&mut self, codec: Codec, init: Bytes, params: Params);
    /// The packets from here on begin at `origin` of the source.
    fn begin(&mut self, origin: u64);
    /// A packet; its track is filled in by the sink.
    fn packet(&mut self, p: Packet);
    /// Trouble that is survived.
    fn problem(&mut self, path: &'static str, kind: ErrorKind);
    /// A time for what has none and follows nothing.
    fn any_time(&self) -> Timestamp;
}

fn error(offset: u64, path: &'static str, kind: ErrorKind) -> FormatError {
    FormatError { format: ID, offset, path, kind }
}
