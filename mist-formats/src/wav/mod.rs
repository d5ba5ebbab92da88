//! WAVE: Microsoft and IBM's *Multimedia Programming Interface and Data Specifications 1.0* (RIFF), `WAVEFORMATEX` and
//! `WAVEFORMATEXTENSIBLE`, EBU Tech 3306 (RF64) and ITU-R BS.2088 (BW64) with their 64-bit sizes.
//!
//! # Reading
//! Linear PCM of 8 to 64 bits, IEEE float, A-law and µ-law come out in packets of a constant number of samples, about
//! 20 ms each, whose times are exact; MPEG audio and AC-3 frame by frame, also AC-3 that hides in PCM
//! (IEC 61937). Other chunks are skipped, whether padded to an even size or not, and so is an ID3v2 tag in front.
//! A data chunk whose size is 0 or −1 goes on to the end of the source, as live streams have it.
//! Sample-based files seek by arithmetic and have an index; others seek by reading from the start.
//!
//! # Writing
//! With an index all sizes are right from the start. Without one they are open (−1), and
//! [`finish`](mist_core::format::Muxer::finish) says what to patch; files that outgrow 4 GiB become RF64 then. The
//! format has no times: gaps between packets are not kept.
//!
//! Left out: big-endian RIFX, compressed codecs other than those above, where speakers are, and metadata.

use mist_core::codec::Codec;
use mist_core::registry::{Connector, FormatDef, InputInfo, Method, Slot};

mod demux;
mod fmt;
mod frames;
mod mux;

pub use demux::Demuxer;
pub use mux::Muxer;

const OUT: &[Codec] = &[Codec::Alaw, Codec::Ulaw, Codec::Mp3, Codec::Pcm, Codec::PcmFloat];
const IN: &[Codec] =
    &[Codec::Pcm, Codec::PcmFloat, Codec::Alaw, Codec::Ulaw, Codec::Mp3, Codec::Mp2, Codec::Ac3];

/// The registry entry.
pub static FORMAT: FormatDef = FormatDef {
    id: ID,
    mime: "audio/wav",
    extensions: &["wav"],
    probe,
    demuxer: Some(|| Box::new(Demuxer::new())),
    muxer: Some(|| Box::new(Muxer::new())),
    input: Some(InputInfo {
        name: "WAV",
        desc: "Reads WAV files: PCM, G.711, and MPEG audio or AC-3 inside.",
        source_match: &["/*.wav"],
        priority: 9,
        codecs: &[&[Slot::Of(IN)]],
        options: &[],
    }),
    output: Some(Connector {
        name: "WAV",
        desc: "Enables HTTP protocol progressive WAV streaming",
        deps: "HTTP",
        url_rel: "/$.wav",
        url_match: &["/$.wav"],
        url_prefix: &[],
        push_urls: &["/*.wav"],
        methods: &[Method { handler: "http", kind: "html5/audio/wav", priority: 1 }],
        codecs: &[&[Slot::Of(OUT)]],
        options: &[],
    }),
};

/// Id of the format.
const ID: &str = "WAV";

/// What a file may make us hold.
pub mod limits {
    /// Bytes of a packet of sample-based codecs, unless a single sample of all channels takes more.
    pub const PACKET: usize = 1 << 16;
    /// Bytes of a `fmt ` chunk that are looked at.
    pub const FMT: usize = 40;
    /// Entries of the table of chunk sizes in `ds64`.
    pub const DS64_TABLE: usize = 64;
    /// Bytes of 16-bit PCM that are kept until it is known that no coded frames hide in them.
    pub const HIDDEN: usize = 16 << 10;
    /// Lines of an index: over that a file has none, as its header alone doesn't prove that so much follows.
    pub const INDEX: usize = 1 << 20;
}

fn probe(head: &[u8]) -> u8 {
    let head = match fmt::id3_len(head) {
        // Tags longer than what is looked at hide what they belong to.
        Some(n) => usize::try_from(n).ok().and_then(|n| head.get(n..)).unwrap_or_default(),
        None => head,
    };
    let form = head.get(8..12) == Some(b"WAVE");
    let id = head.first_chunk::<4>();
    if form && id.is_some_and(|id| matches!(id, b"RIFF" | b"RF64" | b"BW64")) { 255 } else { 0 }
}
