//! MP4, QuickTime and their fragmented forms: ISO/IEC 14496-12 (the box format), 14496-14 (`mp4a`, `mp4v`), 14496-15
//! (AVC, HEVC), 14496-30 (timed text), 23000-19 (CMAF), 23001-7 (encryption: reported, not undone), the AV1, VP9, Opus
//! and FLAC bindings, ETSI TS 102 366 annex F (AC-3), 3GPP TS 26.245 (`tx3g`), Apple's *QuickTime File Format* and
//! Microsoft's *Protected Interoperable File Format* 1.1 (Smooth Streaming).
//!
//! - `boxes`: one file a box or tight family; folders are boxes that hold boxes.
//! - `codecs`: sample entries and object types by codec.
//! - [`Demuxer`]: reading; the sample tables stay as they lie in the file.
//! - [`mux`]: writing, from sample entries to whole files and fragments.

use mist_core::codec::Codec;
use mist_core::registry::{Codecs, Connector, FormatDef, InputInfo, Method, Slot};

mod boxes;
mod codecs;
mod demux;
pub mod mux;
mod samples;
mod store;
mod structure;
mod track;

pub use demux::Demuxer;

const VIDEO: &[Codec] =
    &[Codec::H264, Codec::Hevc, Codec::Av1, Codec::Vp8, Codec::Vp9, Codec::Mpeg2, Codec::Mpeg4, Codec::Jpeg];
const AUDIO: &[Codec] = &[
    Codec::Aac,
    Codec::Mp3,
    Codec::Ac3,
    Codec::Opus,
    Codec::Eac3,
    Codec::Flac,
    Codec::Alac,
    Codec::Mp2,
    Codec::Dts,
    Codec::Vorbis,
    Codec::Pcm,
    Codec::PcmFloat,
    Codec::Alaw,
    Codec::Ulaw,
];
const TEXT: &[Codec] = &[Codec::Tx3g, Codec::WebVtt, Codec::Stpp, Codec::Cea608];

/// What the muxer writes, best first: what browsers play, then what players do.
const CODECS: Codecs = &[&[
    Slot::Of(&[
        Codec::H264,
        Codec::Hevc,
        Codec::Av1,
        Codec::Vp9,
        Codec::Vp8,
        Codec::Mpeg2,
        Codec::Mpeg4,
        Codec::Jpeg,
    ]),
    Slot::Of(&[
        Codec::Aac,
        Codec::Mp3,
        Codec::Ac3,
        Codec::Opus,
        Codec::Eac3,
        Codec::Flac,
        Codec::Alac,
        Codec::Mp2,
        Codec::Pcm,
        Codec::PcmFloat,
        Codec::Alaw,
        Codec::Ulaw,
    ]),
    Slot::Many(&[Codec::Tx3g, Codec::WebVtt, Codec::Stpp, Codec::Cea608]),
]];

/// The registry entry.
pub static FORMAT: FormatDef = FormatDef {
    id: ID,
    mime: "video/mp4",
    extensions: &[
        "mp4", "m4a", "m4v", "m4b", "mov", "3gp", "3g2", "fmp4", "m4s", "cmfv", "cmfa", "cmft", "ismv",
        "isma", "ismt",
    ],
    probe,
    demuxer: Some(|| Box::new(Demuxer::new())),
    muxer: Some(|| Box::new(mux::Muxer::new())),
    input: Some(InputInfo {
        name: "MP4",
        desc: "This input allows streaming of MP4 or MOV files as Video on Demand.",
        source_match: &["/*.mp4", "/*.mov", "mp4:*", "/*.m4a", "/*.m4v", "/*.3gp", "/*.ismv"],
        priority: 9,
        codecs: &[&[Slot::Many(VIDEO), Slot::Many(AUDIO), Slot::Many(TEXT)]],
        options: &[],
    }),
    output: Some(Connector {
        name: "MP4",
        desc: "Enables HTTP protocol progressive streaming.",
        deps: "HTTP",
        url_rel: "/$.mp4",
        url_match: &["/$.mp4", "/$.3gp", "/$.fmp4"],
        url_prefix: &["/progressive/$.mp4"],
        push_urls: &["/*.fmp4", "/*.mp4", "mp4:*"],
        methods: &[Method { handler: "http", kind: "html5/video/mp4", priority: 10 }],
        codecs: CODECS,
        options: &[],
    }),
};

/// Id of the format.
const ID: &str = "MP4";

/// Sure of files whose first box is one that only this format has, and of QuickTime files older than `ftyp`.
fn probe(head: &[u8]) -> u8 {
    let Some((size, rest)) = head.split_first_chunk::<4>() else { return 0 };
    let Some((kind, _)) = rest.split_first_chunk::<4>() else { return 0 };
    let size = u32::from_be_bytes(*size);
    if size != 1 && size < 8 && !(size == 0 && kind == b"mdat") {
        return 0;
    }
    match kind {
        b"ftyp" | b"styp" => 255,
        b"moov" | b"moof" | b"sidx" => 220,
        b"mdat" | b"emsg" | b"prft" => 150,
        b"free" | b"skip" | b"wide" | b"pnot" | b"uuid" => 60,
        _ => 0,
    }
}

/// What a file may make us hold.
pub mod limits {
    /// Bytes of `moov`.
    pub const MOOV: u64 = 512 << 20;
    /// Bytes of `moof`.
    pub const MOOF: u64 = 32 << 20;
    /// Tracks in `moov`.
    pub const TRACKS: usize = 256;
    /// Problems that are reported of one box with all that it holds.
    pub const PROBLEMS: usize = 64;
    /// Runs of a track in a fragment.
    pub const RUNS: usize = 1 << 14;
    /// Sample descriptions of a track.
    pub const DESCRIPTIONS: usize = 256;
    /// Depth of boxes in boxes.
    pub const DEPTH: u16 = 16;
    /// Bytes of `sidx`.
    pub const SIDX: u64 = 1 << 20;
    /// Fragments whose place is remembered; of more, every other one.
    pub const FRAGMENTS: usize = 1 << 14;
    /// Pieces of structure that are shown of one box at the top.
    pub const NODES: usize = 1 << 14;
    /// Samples of an index beyond two for every byte of the file up to the end of `moov`.
    pub const INDEX: u64 = 1 << 20;
    /// Samples beyond eight for every byte that was read.
    pub const SHARED: u64 = 1024;
    /// Samples in a row that aren't there before no more are tried.
    pub const MISSES: u32 = 2;
    /// Bytes of one track's decoder configuration.
    pub const INIT: usize = 1 << 20;
    /// Bytes of one sample.
    pub const SAMPLE: u32 = 256 << 20;
    /// Bytes of media that are held because the file has them in another order than they are due.
    pub const HELD: usize = 16 << 20;
    /// Bytes that nobody needs and that are rather read over than jumped over.
    pub const GAP: u64 = 1 << 20;
}

#[cfg(test)]
mod tests {
    use crate::FORMATS;
    use crate::fuzzing;
    use proptest::prelude::*;

    /// The fuzzer's seeds: every kind of file that there is.
    const SEEDS: [&[u8]; 4] = [
        include_bytes!("../../../fuzz/corpus/demux/mp4-first"),
        include_bytes!("../../../fuzz/corpus/demux/mp4-last"),
        include_bytes!("../../../fuzz/corpus/demux/mp4-fragments"),
        include_bytes!("../../../fuzz/corpus/demux/mp4-smooth"),
    ];

    proptest! {
        #[test]
        fn damaged_files(seed in prop::sample::select(SEEDS.to_vec()), step in 1u8..80,
                         hits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
                         count in any::<prop::sample::Index>(), value in prop::sample::select(vec![0u32, 1, 8, 1 << 31, u32::MAX]),
                         cut in any::<prop::sample::Index>()) {
            let mut d = seed.to_vec();
            d[0] = FORMATS.iter().position(|f| f.id == super::ID).unwrap() as u8;
            d[1] = step;
            for (i, v) in hits {
                let n = d.len();
                d[2 + i.index(n - 2)] = v;
            }
            fuzzing::demux(&d);
            let at = 2 + count.index(d.len() - 6);
            d[at..at + 4].copy_from_slice(&value.to_be_bytes());
            fuzzing::demux(&d);
            let gap = 2 + cut.index(d.len() - 2);
            d.drain(gap..(gap + 5).min(d.len()));
            fuzzing::demux(&d);
        }
    }
}
