//! AC-3 and E-AC-3 files: sync frames one behind another (ETSI TS 102 366).
//!
//! Every sync frame is a packet; substreams that play beside another one last no time. Read only.

use bytes::Bytes;
use mist_core::codec::ac3::Header;
use mist_core::codec::{Codec, CodecError};
use mist_core::media::Params;
use mist_core::registry::{FormatDef, InputInfo, Slot};
use mist_core::time::Duration;

use crate::frames::{FrameDemuxer, Framing, Out, probe};

const ID: &str = "AC3";

/// The registry entry.
pub static FORMAT: FormatDef = FormatDef {
    id: ID,
    mime: "audio/ac3",
    extensions: &["ac3", "eac3", "ec3"],
    probe: probe::<Frames>,
    demuxer: Some(|| Box::new(FrameDemuxer::new(Frames::default()))),
    muxer: None,
    input: Some(InputInfo {
        name: "AC3",
        desc: "Reads AC-3 and E-AC-3 files.",
        source_match: &["/*.ac3", "ac3:*", "/*.eac3", "/*.ec3"],
        priority: 9,
        codecs: &[&[Slot::Of(&[Codec::Ac3, Codec::Eac3])]],
        options: &[],
    }),
    output: None,
};

/// Sync frames.
#[derive(Debug, Default)]
struct Frames {
    described: Option<(Codec, Params)>,
}

impl Framing for Frames {
    const ID: &'static str = ID;
    const MIN: usize = Header::MIN;
    const SYNC: u8 = 0x0b;
    type Header = Header;

    fn parse(data: &[u8]) -> Result<Header, CodecError> {
        Header::parse(data)
    }

    fn len(h: &Header) -> usize {
        h.frame_len
    }

    fn rate(h: &Header) -> u32 {
        h.rate
    }

    fn like(a: &Header, b: &Header) -> bool {
        a.like(b)
    }

    fn read(&mut self, h: &Header, frame: Bytes, out: &mut Out<'_>) {
        let codec = if h.enhanced { Codec::Eac3 } else { Codec::Ac3 };
        let now = (codec, h.params());
        // Substreams beside the first one don't change the description.
        if self.described != Some(now) && (h.samples() > 0 || self.described.is_none()) {
            self.described = Some(now);
            out.describe(codec, Bytes::new(), h.params());
        }
        out.packet(0, frame, h.samples(), Duration::ZERO);
    }
}
