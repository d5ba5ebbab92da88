//! `stsd`: sample descriptions, which say how a track is coded (ISO/IEC 14496-12 §8.5.2).

use crate::mp4::boxes::{Log, Part, Reader};
use crate::mp4::codecs::{self, FourCc};
use crate::mp4::limits;
use bytes::Bytes;
use mist_core::codec::h264::Avcc;
use mist_core::codec::hevc::Hvcc;
use mist_core::codec::{self, Codec};
use mist_core::format::ErrorKind;
use mist_core::media::{Kind, Params, Visual};

mod audio;
mod esds;
mod visual;

const PATH: &str = "moov/trak/stbl/stsd";

/// How a track is coded, in canonical terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::mp4) struct Entry {
    /// The codec.
    pub(in crate::mp4) codec: Codec,
    /// Canonical init data.
    pub(in crate::mp4) init: Bytes,
    /// The first sample tells the rest: init data, or the layer of MPEG audio.
    pub(in crate::mp4) late: bool,
    /// Sizes and rates.
    pub(in crate::mp4) params: Params,
    /// How pictures are to be shown, but for the rotation.
    pub(in crate::mp4) visual: Visual,
    /// What has to be done to samples.
    pub(in crate::mp4) payload: Payload,
    /// Bytes of a moment's samples of all channels, where each is a sample of the file and packets are made of many;
    /// 0 for others.
    pub(in crate::mp4) frame: u32,
}

/// What makes a sample's bytes canonical.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mp4) enum Payload {
    /// Nothing.
    AsIs,
    /// Units with lengths of so many bytes.
    Units(u8),
    /// PCM of so many bits that is little-endian, or unsigned.
    Swap(u16),
    /// WebVTT cues in boxes.
    Cues,
}

/// What a kind of sample entry found, before it is made canonical.
struct Found {
    codec: Codec,
    init: Bytes,
    params: Params,
    visual: Visual,
    payload: Payload,
    frame: u32,
}

/// Reads all of them; `None` for those that can't be used, with a problem that says why.
pub(super) fn read(part: &Part, handler: &FourCc, log: &mut Log) -> Vec<Option<Entry>> {
    let mut r = Reader(&part.body);
    let version = r.full().map_or(0, |(v, _)| v);
    let count = r.u32().unwrap_or(0) as usize;
    let all = part.checked(8, PATH, log).take(count.min(limits::DESCRIPTIONS));
    all.map(|p| {
        entry(&p, handler, version).map_or_else(
            |kind| {
                log.add(p.error(PATH, kind));
                None
            },
            Some,
        )
    })
    .collect()
}

fn entry(part: &Part, handler: &FourCc, version: u8) -> Result<Entry, ErrorKind> {
    if let b"encv" | b"enca" | b"encs" | b"enct" | b"encm" = &part.kind {
        return Err(ErrorKind::Encrypted("track"));
    }
    if handler == b"drmi" || matches!(&part.kind, b"drmi" | b"drms" | b"drmt") {
        return Err(ErrorKind::Encrypted("track"));
    }
    let known = codecs::of_entry(part.kind);
    let found = match known.map(Codec::kind) {
        Some(Kind::Video) => visual::read(part, known)?,
        Some(Kind::Audio) => audio::read(part, known, version)?,
        Some(Kind::Text) => text(part, known),
        _ if part.kind == *b"mp4v" => visual::read(part, None)?,
        _ if part.kind == *b"mp4a" => audio::read(part, None, version)?,
        _ => None,
    };
    let f = found.ok_or(ErrorKind::Unsupported("codec"))?;
    if f.init.len() > limits::INIT {
        return Err(ErrorKind::Limit("decoder configuration"));
    }
    // What is kept outlives the file's buffer.
    let raw = Bytes::copy_from_slice(&f.init);
    let payload = codec::length_size(f.codec, &raw).map_or(f.payload, Payload::Units);
    let in_band = matches!(f.codec, Codec::H264 | Codec::Hevc | Codec::Av1 | Codec::Mpeg2);
    let init = match codec::canonical_init(f.codec, raw) {
        Ok(init) => init,
        Err(_) if in_band => Bytes::new(),
        Err(e) => return Err(e.into()),
    };
    let own = codec::params(f.codec, &init);
    // Parameter sets may come with the samples only (avc3, hev1).
    let late = match f.codec {
        Codec::Mp3 | Codec::Mp2 => true,
        Codec::H264 => Avcc::parse(&init).map_or(true, |c| c.nals().next().is_none()),
        Codec::Hevc => Hvcc::parse(&init).map_or(true, |c| c.nals().next().is_none()),
        _ => in_band && init.is_empty(),
    };
    let params = merge(own, f.params);
    Ok(Entry { codec: f.codec, init, late, params, visual: f.visual, payload, frame: f.frame })
}

/// What the codec's own data say, and the sample entry's words where they are silent.
fn merge(own: Option<Params>, entry: Params) -> Params {
    match (own, entry) {
        (Some(Params::Video { width: 0, fpks, .. }), Params::Video { width, height, .. }) => {
            Params::Video { width, height, fpks }
        }
        (Some(own), _) => own,
        (None, entry) => entry,
    }
}

fn text(part: &Part, codec: Option<Codec>) -> Option<Found> {
    let codec = codec?;
    let (payload, init) = match codec {
        Codec::Tx3g => {
            (Payload::AsIs, part.body.get(8..).map_or_else(Bytes::new, |b| part.body.slice_ref(b)))
        }
        Codec::WebVtt => (Payload::Cues, part.find(8, b"vttC").map_or_else(Bytes::new, |p| p.body)),
        _ => (Payload::AsIs, Bytes::new()),
    };
    Some(Found { codec, init, params: Params::Other, visual: Visual::default(), payload, frame: 0 })
}
