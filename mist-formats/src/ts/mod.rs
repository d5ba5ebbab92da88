//! MPEG transport streams: ISO/IEC 13818-1 (ITU-T H.222.0), with DVB's tables and descriptors (ETSI EN 300 468)
//! and the mappings of H.264, HEVC, AAC, AC-3, Opus, timed ID3 and SCTE-35.
//!
//! # Writing
//! [`TsMuxer`](mux::TsMuxer) writes one program. Its stamps are a pure function of the packet's times,
//! `(time × 90,000 + 126,000) mod 2^33`, so that what different muxers write of one stream (one a segment) fits
//! together; times down to −1.4 s are written without a wrap. The clock runs 0.7 s behind the decoding times of the
//! video track (the first audio track where there is none) and never backwards while the input is less than ten
//! seconds out of order. Every elementary stream begins with a `discontinuity_indicator`, as counters start anew.
//!
//! Left out: encryption, several programs, a constant bit rate.

use mist_core::codec::Codec;
use mist_core::format::{ErrorKind, FormatError, Muxer};
use mist_core::registry::{Connector, FormatDef, Method, Slot};

pub mod mux;
mod packet;
mod pes;
mod psi;
mod stream;

/// What a transport stream can make this folder hold.
pub mod limits {
    /// Elementary streams of a program.
    pub const MAX_STREAMS: usize = 32;
}

/// MPEG-TS.
pub static FORMAT: FormatDef = FormatDef {
    id: ID,
    mime: "video/mp2t",
    extensions: &["ts", "m2ts", "mts"],
    probe: packet::probe,
    demuxer: None,
    muxer: Some(muxer),
    input: None,
    output: Some(OUTPUT),
};

const ID: &str = "TS";

fn muxer() -> Box<dyn Muxer> {
    Box::new(mux::TsMuxer::new())
}

const VIDEO: &[Codec] = &[Codec::H264, Codec::Hevc, Codec::Mpeg2];
const AUDIO: &[Codec] = &[Codec::Aac, Codec::Mp3, Codec::Ac3, Codec::Mp2, Codec::Eac3, Codec::Opus];
const DATA: &[Codec] = &[Codec::Id3, Codec::Scte35];

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

fn error(offset: u64, path: &'static str, kind: ErrorKind) -> FormatError {
    FormatError { format: ID, offset, path, kind }
}
