//! What decoder configuration and first frames say about a track.

use super::tag::Sound;
use bytes::{Buf, Bytes};
use mist_core::codec::{self, Codec, aac, h264, hevc, opus};
use mist_core::format::ErrorKind;
use mist_core::media::{Kind, Params};

/// A description without identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Description {
    /// Canonical initialisation data.
    pub(super) init: Bytes,
    /// Size, rates, channels.
    pub(super) params: Params,
}

/// What decoder configuration gives.
#[derive(Debug)]
pub(super) struct Config {
    /// `None` where the parameter sets are in the frames.
    pub(super) description: Option<Description>,
    /// Bytes of NAL unit lengths in the frames that follow.
    pub(super) length_size: u8,
}

fn unknown(codec: Codec) -> Params {
    match codec.kind() {
        Kind::Video => Params::Video { width: 0, height: 0, fpks: 0 },
        _ => Params::Audio { rate: 0, channels: 0, bits: 16 },
    }
}

/// Reads decoder configuration. `data` is a copy of its own: it outlives the tag.
pub(super) fn config(codec: Codec, data: Bytes) -> Result<Config, ErrorKind> {
    let length_size = codec::length_size(codec, &data).unwrap_or(4);
    let without_sets = match codec {
        Codec::H264 => {
            let c = h264::Avcc::parse(&data)?;
            c.sps.is_empty() || c.pps.is_empty()
        }
        Codec::Hevc => hevc::Hvcc::parse(&data)?.of(hevc::nal::SPS).next().is_none(),
        _ => false,
    };
    if without_sets {
        return Ok(Config { description: None, length_size });
    }
    // An old Apple segmenter writes an empty AudioSpecificConfig: what the tag's head says is then all there is, and
    // that is always 44.1 kHz stereo.
    let init = match codec {
        Codec::Aac if data.is_empty() => aac::Asc::new(2, 44_100, 2).build()?,
        _ => codec::canonical_init(codec, data)?,
    };
    let params = codec::params(codec, &init).unwrap_or(unknown(codec));
    Ok(Config { description: Some(Description { init, params }), length_size })
}

/// Describes a track by a frame in canonical form, for codecs without configuration and for encoders that send
/// none. `None` while a frame can't tell.
pub(super) fn frame(codec: Codec, sound: Option<Sound>, key: bool, data: &[u8]) -> Option<Description> {
    let of_head = sound.map(|s| Params::Audio { rate: s.rate, channels: s.channels, bits: s.bits });
    match codec {
        Codec::Aac | Codec::Flac => None,
        Codec::H264 | Codec::Hevc | Codec::Av1 => {
            let init = codec::init_from_payload(codec, data).filter(|_| key)?;
            let params = codec::params(codec, &init).unwrap_or(unknown(codec));
            Some(Description { init, params })
        }
        // Enhanced RTMP lets the configuration out: two channels are what everybody means then.
        Codec::Opus => {
            let head = opus::OpusHead::new(2, 0).ok()?;
            Some(Description { init: head.build(), params: head.params() })
        }
        _ if codec.kind() == Kind::Video => {
            let told = if key { codec::params_from_payload(codec, data) } else { None };
            let init = if key { codec::init_from_payload(codec, data) } else { None };
            Some(Description { init: init.unwrap_or_default(), params: told.unwrap_or(unknown(codec)) })
        }
        _ => {
            let params = codec::params_from_payload(codec, data).or(of_head)?;
            Some(Description { init: Bytes::new(), params })
        }
    }
}

/// A frame's payload in canonical form: without what the container adds, converted where it has to be.
pub(super) fn payload(
    codec: Codec,
    sound: Option<Sound>,
    length_size: u8,
    data: &Bytes,
) -> Result<Bytes, ErrorKind> {
    let mut data = data.clone();
    let aud: fn(&[u8]) -> bool = match codec {
        Codec::H264 => |n| h264::nal::kind(n) == h264::nal::AUD,
        Codec::Hevc => |n| hevc::nal::kind(n) == hevc::nal::AUD,
        Codec::Pcm => return Ok(codec::pcm::swapped(data, sound.map_or(16, |s| s.bits))),
        _ => return Ok(codec::canonical_payload(codec, data, length_size)?),
    };
    // Access unit delimiters in front are cut off; the general way would copy the rest.
    while let Some((len, rest)) = data.split_first_chunk::<4>().filter(|_| length_size == 4) {
        let len = u32::from_be_bytes(*len) as usize;
        if len == 0 || !rest.get(..len).is_some_and(aud) {
            break;
        }
        data.advance(4 + len);
    }
    Ok(codec::canonical_payload(codec, data, length_size)?)
}
