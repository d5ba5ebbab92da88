//! MPEG audio files: ISO/IEC 11172-3 and 13818-3, layers I to III with MPEG-2's and 2.5's lower sample rates.
//!
//! [`Demuxer`] passes over ID3v2, ID3v1, APE and Lyrics3 tags and bytes that are no frames, and reads the frame that
//! Xing's, LAME's and Fraunhofer's (VBRI) encoders put in front of the sound for its table of contents, number of frames
//! and gapless values ([`Info`]). Times count samples from the first frame, encoder delay included, as tools show them;
//! the last packet is as long as its sound where the file tells its padding. An ID3v2 tag of HTTP Live Streaming sets
//! the clock. Seeking is exact within what was read; beyond, it jumps exactly where the bit rate is constant and as
//! exactly as the table of contents where it is not.
//!
//! [`Muxer`] writes frames as they come, and where it knows all packets beforehand a frame with Xing's header first.
//!
//! Left out: free format, which is refused, and what tags say.

use bytes::Bytes;
use mist_core::codec::Codec;
use mist_core::format::{Demuxed, FormatError};
use mist_core::registry::{Connector, FormatDef, InputInfo, Method, Slot};
use mist_core::time::Timestamp;

mod frame;
mod info;
mod mux;

pub use info::Info;
pub use mux::Muxer;

use crate::frames::{FrameDemuxer, probe};
use frame::MpegAudio;

const ID: &str = "MP3";
const CODECS: &[Codec] = &[Codec::Mp3];

/// The registry entry.
pub static FORMAT: FormatDef = FormatDef {
    id: ID,
    mime: "audio/mpeg",
    extensions: &["mp3", "mp2", "mpa", "mp1"],
    probe: |head| match probe::<MpegAudio>(head) {
        // The tag fills all that there is to see. MP3 files have the largest ones: pictures.
        0 if head.starts_with(b"ID3") => 20,
        score => score,
    },
    demuxer: Some(|| Box::new(Demuxer::new())),
    muxer: Some(|| Box::new(Muxer::new())),
    input: Some(InputInfo {
        name: "MP3",
        desc: "This input allows you to stream MP3 Video on Demand files.",
        source_match: &["/*.mp3", "mp3:*", "/*.mp2"],
        priority: 9,
        codecs: &[&[Slot::Of(&[Codec::Mp3, Codec::Mp2])]],
        options: &[],
    }),
    output: Some(Connector {
        name: "MP3",
        desc: "Enables HTTP protocol progressive streaming.",
        deps: "HTTP",
        url_rel: "/$.mp3",
        url_match: &["/$.mp3"],
        url_prefix: &[],
        push_urls: &["/*.mp3"],
        methods: &[Method { handler: "http", kind: "html5/audio/mp3", priority: 8 }],
        codecs: &[&[Slot::Of(CODECS)]],
        options: &[],
    }),
};

/// Reads MPEG audio files.
pub struct Demuxer(FrameDemuxer<MpegAudio>);

impl std::fmt::Debug for Demuxer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Demuxer").field("info", &self.info()).finish_non_exhaustive()
    }
}

impl Default for Demuxer {
    fn default() -> Self {
        Self::new()
    }
}

impl Demuxer {
    /// At the start of a file.
    pub fn new() -> Self {
        Self(FrameDemuxer::new(MpegAudio::default()))
    }

    /// What the file's first frame says about it, once it was read and if there is such a frame.
    pub fn info(&self) -> Option<&Info> {
        self.0.framing().info()
    }
}

impl mist_core::format::Demuxer for Demuxer {
    fn push(&mut self, offset: u64, data: Bytes) {
        self.0.push(offset, data);
    }
    fn end(&mut self) {
        self.0.end();
    }
    fn poll(&mut self) -> Result<Demuxed, FormatError> {
        self.0.poll()
    }
    fn seek(&mut self, to: Timestamp) -> Result<Timestamp, FormatError> {
        self.0.seek(to)
    }
    fn packet_offset(&self) -> Option<u64> {
        self.0.packet_offset()
    }
    fn want_nodes(&mut self) {
        self.0.want_nodes();
    }
}
