//! What decoder configuration and first frames say about a track.

use super::tag::Sound;
use bytes::{Bytes, BytesMut};
use mist_core::codec::{Codec, aac, h264, hevc, nal};
use mist_core::format::ErrorKind;
use mist_core::media::Params;

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

const UNKNOWN_VIDEO: Params = Params::Video { width: 0, height: 0, fpks: 0 };

/// Reads decoder configuration. `data` is a copy of its own: it outlives the tag.
pub(super) fn config(codec: Codec, data: Bytes) -> Result<Config, ErrorKind> {
    let mut length_size = 4;
    let (init, params) = match codec {
        Codec::H264 => {
            let mut c = h264::Avcc::parse(&data)?;
            length_size = c.length_size;
            if c.sps.is_empty() || c.pps.is_empty() {
                return Ok(Config { description: None, length_size });
            }
            let params = c.first_sps().map_or(UNKNOWN_VIDEO, |s| s.params());
            c.length_size = 4;
            (if length_size == 4 { data } else { c.build() }, params)
        }
        Codec::Hevc => {
            let mut c = hevc::Hvcc::parse(&data)?;
            length_size = c.length_size;
            let Some(sps) = c.first_sps() else { return Ok(Config { description: None, length_size }) };
            c.length_size = 4;
            (if length_size == 4 { data } else { c.build() }, sps.params())
        }
        // An old Apple segmenter writes an empty one: what the tag's head says is then all there is, and that is
        // always 44.1 kHz stereo.
        Codec::Aac if data.is_empty() => {
            let asc = aac::Asc::new(2, 44_100, 2);
            (asc.build()?, asc.params())
        }
        Codec::Aac => {
            let params = aac::Asc::parse(&data)?.params();
            (data, params)
        }
        Codec::Flac => return flac(&data),
        _ => {
            let params = if codec.kind() == mist_core::media::Kind::Video {
                UNKNOWN_VIDEO
            } else {
                Params::Audio { rate: 0, channels: 0, bits: 16 }
            };
            (data, params)
        }
    };
    Ok(Config { description: Some(Description { init, params }), length_size })
}

/// FLAC's configuration is the head of a native file; the marker, or the marker and the first block's head, are
/// left out by some writers.
fn flac(data: &[u8]) -> Result<Config, ErrorKind> {
    const MARKER: &[u8] = b"fLaC";
    const BLOCK: &[u8] = &[0x80, 0, 0, 34];
    let missing: &[&[u8]] = if data.starts_with(MARKER) {
        &[]
    } else if data.get(1..4) == Some(&[0, 0, 34]) {
        &[MARKER]
    } else {
        &[MARKER, BLOCK]
    };
    let init = Bytes::from([&missing.concat(), data].concat());
    // STREAMINFO (RFC 9639 §8.2): 20 bits of rate, 3 of channels, 5 of sample size from its byte 10 on.
    let Some(&[a, b, c, d]) = init.get(18..22).and_then(|s| s.first_chunk()) else {
        return Err(ErrorKind::Truncated);
    };
    let v = u32::from_be_bytes([a, b, c, d]);
    let params =
        Params::Audio { rate: v >> 12, channels: (v >> 9 & 7) as u16 + 1, bits: (v >> 4 & 31) as u16 + 1 };
    if v >> 12 == 0 {
        return Err(ErrorKind::Malformed("FLAC sample rate"));
    }
    Ok(Config { description: Some(Description { init, params }), length_size: 4 })
}

/// Describes a track by a frame in canonical form, for codecs without configuration and for encoders that send
/// none. `None` while a frame can't tell.
pub(super) fn frame(codec: Codec, sound: Option<Sound>, key: bool, data: &[u8]) -> Option<Description> {
    let bare = |params| Some(Description { init: Bytes::new(), params });
    match codec {
        Codec::H264 if key => {
            let c = h264::Avcc::from_nals(nal::units(data)).ok()?;
            let params = c.first_sps().map_or(UNKNOWN_VIDEO, |s| s.params());
            Some(Description { init: c.build(), params })
        }
        Codec::Hevc if key => {
            let c = hevc::Hvcc::from_nals(nal::units(data)).ok()?;
            let params = c.first_sps().map_or(UNKNOWN_VIDEO, |s| s.params());
            Some(Description { init: c.build(), params })
        }
        Codec::H264 | Codec::Hevc | Codec::Av1 | Codec::Aac | Codec::Flac => None,
        _ if codec.kind() == mist_core::media::Kind::Video => {
            let (width, height) = if key { size(codec, data).unwrap_or_default() } else { (0, 0) };
            bare(Params::Video { width, height, fpks: 0 })
        }
        _ => {
            let s = sound.unwrap_or_default();
            bare(Params::Audio { rate: s.rate, channels: s.channels, bits: s.bits })
        }
    }
}

/// Picture size from a keyframe.
fn size(codec: Codec, data: &[u8]) -> Option<(u32, u32)> {
    match codec {
        Codec::H263 => h263_size(data),
        Codec::Vp6 => vp6_size(data),
        // An offset to the alpha plane lies between the adjustment byte and the picture.
        Codec::Vp6Alpha => vp6_size(&[data.get(..1)?, data.get(4..)?].concat()),
        Codec::Screen1 | Codec::Screen2 => {
            // Block size in 4 bits, picture size in 12, twice (annex E.4.3.2).
            let &[a, b, c, d] = data.first_chunk()?;
            Some((
                u32::from(u16::from_be_bytes([a, b]) & 0xfff),
                u32::from(u16::from_be_bytes([c, d]) & 0xfff),
            ))
        }
        _ => None,
    }
}

/// Sorenson's H.263 picture head (annex E.4.3.1): start code 17 bits, version 5, temporal reference 8, size 3.
fn h263_size(data: &[u8]) -> Option<(u32, u32)> {
    let head: &[u8; 9] = data.first_chunk()?;
    let bits = head.iter().fold(0u128, |v, b| v << 8 | u128::from(*b));
    let at = |from: u32, n: u32| (bits >> (72 - from - n)) as u32 & ((1 << n) - 1);
    if at(0, 17) != 1 {
        return None;
    }
    match at(30, 3) {
        0 => Some((at(33, 8), at(41, 8))),
        1 => Some((at(33, 16), at(49, 16))),
        2 => Some((352, 288)),
        3 => Some((176, 144)),
        4 => Some((128, 96)),
        5 => Some((320, 240)),
        6 => Some((160, 120)),
        _ => None,
    }
}

/// VP6 keyframe head behind FLV's adjustment byte: macroblocks coded, less what the adjustment cuts off.
fn vp6_size(data: &[u8]) -> Option<(u32, u32)> {
    let &[adjust, first, second, ..] = data.first_chunk::<3>()?;
    // Bit 7 is 0 in keyframes; simple profile or separated coefficients have an offset of two bytes here.
    if first & 0x80 != 0 {
        return None;
    }
    let skip = if first & 1 != 0 || second & 6 == 0 { 2 } else { 0 };
    let &[rows, cols] = data.get(3 + skip..)?.first_chunk()?;
    let side = |blocks: u8, cut: u8| (u32::from(blocks) * 16).saturating_sub(cut.into());
    Some((side(cols, adjust >> 4), side(rows, adjust & 15)))
}

/// PCM between FLV's little-endian, unsigned 8-bit form and the canonical big-endian, signed one: the same
/// change both ways. A half sample at the end is left out.
pub(super) fn swap_pcm(data: &[u8], bits: u16) -> Bytes {
    if bits <= 8 {
        return data.iter().map(|b| b ^ 0x80).collect::<Vec<u8>>().into();
    }
    let mut out = BytesMut::with_capacity(data.len());
    for s in data.chunks_exact(2) {
        if let [a, b] = s {
            out.extend_from_slice(&[*b, *a]);
        }
    }
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flac_heads_are_completed() {
        let info = [16, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0x0a, 0xc4, 0x42, 0xf0, 0, 0, 0, 0, 0, 0, 0, 0];
        let mut info = info.to_vec();
        info.resize(34, 0);
        let full = [b"fLaC\x80\0\0\x22", &info[..]].concat();
        for skip in [0, 4, 8] {
            let c = config(Codec::Flac, Bytes::copy_from_slice(&full[skip..])).unwrap().description.unwrap();
            assert_eq!(c.init, full);
            assert_eq!(c.params, Params::Audio { rate: 44100, channels: 2, bits: 16 });
        }
        assert!(config(Codec::Flac, Bytes::from_static(b"fLaC")).is_err());
    }

    #[test]
    fn pcm_goes_there_and_back() {
        assert_eq!(swap_pcm(&[1, 2, 3, 4, 5], 16), [2u8, 1, 4, 3][..]);
        assert_eq!(swap_pcm(&swap_pcm(&[0, 0x80, 0xff], 8), 8), [0u8, 0x80, 0xff][..]);
    }

    #[test]
    fn sizes_need_their_bytes() {
        for codec in [Codec::H263, Codec::Vp6, Codec::Vp6Alpha, Codec::Screen1, Codec::Jpeg] {
            for n in 0..12 {
                let _ = size(codec, &vec![0; n]);
            }
        }
        // From a Sorenson file of 320×240 and one of custom size.
        assert_eq!(size(Codec::H263, &[0, 0, 0x84, 2, 0x91, 0x26, 2, 2, 2]), Some((320, 240)));
        assert_eq!(size(Codec::Screen2, &[0x30, 0xa0, 0x30, 0x78]), Some((160, 120)));
    }
}
