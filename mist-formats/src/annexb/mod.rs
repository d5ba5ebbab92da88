//! Raw video: byte streams of H.264 and HEVC, annex B of ITU-T H.264 and of H.265.
//!
//! [`Demuxer`] finds out which of the two a stream is by its first parameter sets, cuts it into access units (H.264
//! §7.4.1.2.3 and §7.4.1.2.4, H.265 §7.4.2.4.4) and counts time: decoding times are evenly apart by the timing of the VUI,
//! by a rate that is given, or 25 a second; presentation times follow from picture order counts, and are as much later
//! as the stream reorders. Where it doesn't tell how much that is, the first pictures are waited for. Each field of
//! a picture coded in fields is a packet of its own. What comes before the first parameter sets is left out with a
//! `Problem`, as nothing can decode it. Seeking works within what was read, to pictures that begin a sequence.
//!
//! [`Muxer`] writes an access unit delimiter before each picture and parameter sets before each key picture.
//!
//! Left out: the picture timing of SEI (repeated fields), layers above the base one, which stay in the payload.

use mist_core::codec::{Codec, h264, hevc, nal};
use mist_core::registry::{Connector, FormatDef, InputInfo, Method, Slot};

mod clock;
mod demux;
mod mux;
mod order;
mod pictures;

pub use demux::Demuxer;
pub use mux::Muxer;

const ID: &str = "ANNEXB";
const CODECS: &[Codec] = &[Codec::H264, Codec::Hevc];

/// The registry entry.
pub static FORMAT: FormatDef = FormatDef {
    id: ID,
    mime: "video/h264",
    extensions: &["h264", "264", "avc", "hevc", "h265", "265", "hvc"],
    probe,
    demuxer: Some(|| Box::new(Demuxer::new())),
    muxer: Some(|| Box::new(Muxer::new())),
    input: Some(InputInfo {
        name: "H264",
        desc: "Reads raw H264 and HEVC in Annex B form, from files or from the output of a command.",
        source_match: &[
            "h264-exec:*",
            "/*.h264",
            "/*.264",
            "/*.avc",
            "/*.hevc",
            "/*.h265",
            "/*.265",
            "/*.hvc",
        ],
        priority: 9,
        codecs: &[&[Slot::Of(CODECS)]],
        options: &[],
    }),
    output: Some(Connector {
        name: "H264",
        desc: "Pseudostreaming in raw H264/H265 Annex B format over HTTP",
        deps: "HTTP",
        url_rel: "/$.h264",
        url_match: &["/$.h264"],
        url_prefix: &[],
        push_urls: &[],
        methods: &[Method { handler: "http", kind: "html5/video/raw", priority: 1 }],
        codecs: &[&[Slot::Of(CODECS)]],
        options: &[],
    }),
};

/// What a stream may make us hold.
pub mod limits {
    /// Bytes in which the first parameter sets have to come.
    pub const SEARCH: u64 = 1 << 20;
    /// Bytes of an access unit.
    pub const PICTURE: usize = 16 << 20;
    /// NAL units of an access unit.
    pub const UNITS: usize = 8192;
    /// Access units that wait for their presentation time.
    pub const HELD: usize = 64;
    /// Bytes of access units that wait for their presentation time.
    pub const HELD_BYTES: usize = 32 << 20;
    /// Access units from which the delay is learnt where parameter sets don't tell it.
    pub const LEARN: usize = 32;
    /// The same for H.264's baseline profile, which shouldn't have any.
    pub const LEARN_BASELINE: usize = 8;
    /// Frames that pictures may be reordered by.
    pub const REORDER: u64 = 16;
    /// Bytes of a NAL unit that tell what it is.
    pub(super) const LOOK: usize = 64;
}

/// Which of the two standards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    H264,
    Hevc,
}

impl Coding {
    /// The standard to which a unit with parameter sets belongs; `None` for others.
    fn of(unit: &[u8]) -> Option<Self> {
        match unit {
            [0x67 | 0x47 | 0x27, ..] if h264::Sps::parse(unit).is_ok() => Some(Self::H264),
            [0x40, 1, ..] if hevc::Vps::parse(unit).is_ok() => Some(Self::Hevc),
            [0x42, 1, ..] if hevc::Sps::parse(unit).is_ok() => Some(Self::Hevc),
            _ => None,
        }
    }
}

fn probe(head: &[u8]) -> u8 {
    let zeros = head.iter().take_while(|&&b| b == 0).count();
    if zeros < 2 || head.get(zeros) != Some(&1) {
        return 0;
    }
    match nal::annex_b(head).take(64).find_map(Coding::of) {
        Some(_) => 220,
        None => 0,
    }
}
