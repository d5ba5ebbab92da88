//! Questions that every container and protocol asks of any codec, so that none needs a switch of its own.

use super::aac::Asc;
use super::av1::{self, Av1c};
use super::flac::StreamInfo;
use super::h264::{self, Avcc};
use super::hevc::{self, Hvcc};
use super::opus::OpusHead;
use super::sei::Captions;
use super::vpx::{Vp9, Vpcc};
use super::{
    Codec, CodecError, ac3, flac, flash, mpa, mpeg2, nal, opus, pcm, speex, text, theora, vorbis, vpx,
};
use crate::media::{Params, TrackInfo};
use crate::time::Duration;
use bytes::{Bytes, BytesMut};

/// What the canonical init data of a codec tells players. `None` where it tells nothing, as for codecs whose frames
/// carry it ([`params_from_payload`]).
pub fn params(codec: Codec, init: &Bytes) -> Option<Params> {
    if init.is_empty() {
        return None;
    }
    match codec {
        Codec::H264 => Avcc::parse(init).ok()?.first_sps().map(|s| s.params()),
        Codec::Hevc => Hvcc::parse(init).ok()?.first_sps().map(|s| s.params()),
        Codec::Av1 => Av1c::parse(init).ok().map(|c| c.sequence.params()).filter(has_size),
        Codec::Mpeg2 => mpeg2::Sequence::parse(init).ok().map(|s| s.params()),
        Codec::Theora => {
            let [head, ..] = vorbis::split_headers(init).ok()?;
            theora::Identification::parse(head).ok().map(|h| h.params())
        }
        Codec::Vorbis => {
            let [head, ..] = vorbis::split_headers(init).ok()?;
            vorbis::Identification::parse(head).ok().map(|h| h.params())
        }
        Codec::Aac => Asc::parse(init).ok().map(|a| a.params()),
        Codec::Opus => OpusHead::parse(init).ok().map(|h| h.params()),
        Codec::Flac => StreamInfo::from_init(init).ok().map(|s| s.params()),
        Codec::Speex => speex::Header::parse(init).ok().map(|h| h.params()),
        _ => None,
    }
}

fn has_size(p: &Params) -> bool {
    !matches!(p, Params::Video { width: 0, .. })
}

/// What a canonical payload tells players, for codecs whose frames carry it; for video that is a key frame's.
pub fn params_from_payload(codec: Codec, payload: &[u8]) -> Option<Params> {
    match codec {
        Codec::H264 => {
            let sps = nal::units(payload).find(|n| h264::nal::kind(n) == h264::nal::SPS)?;
            h264::Sps::parse(sps).ok().map(|s| s.params())
        }
        Codec::Hevc => {
            let sps = nal::units(payload).find(|n| hevc::nal::kind(n) == hevc::nal::SPS)?;
            hevc::Sps::parse(sps).ok().map(|s| s.params())
        }
        Codec::Av1 => av1::Sequence::find(payload).ok().map(|s| s.params()),
        Codec::Vp8 => {
            let (width, height) = vpx::vp8_size(payload).ok()?;
            Some(Params::Video { width, height, fpks: 0 })
        }
        Codec::Vp9 => Vp9::parse(payload).ok().map(|f| f.params()),
        Codec::Mpeg2 => mpeg2::Sequence::parse(payload).ok().map(|s| s.params()),
        Codec::H263 => flash::h263(payload).ok().map(|p| p.0),
        Codec::Vp6 => flash::vp6(payload, false).ok(),
        Codec::Vp6Alpha => flash::vp6(payload, true).ok(),
        Codec::Screen1 | Codec::Screen2 => flash::screen(payload).ok(),
        Codec::Mp3 | Codec::Mp2 => mpa::Header::parse(payload).ok().map(|h| h.params()),
        Codec::Ac3 | Codec::Eac3 => ac3::Header::parse(payload).ok().map(|h| h.params()),
        _ => None,
    }
}

/// Whether decoding can start at a canonical payload. `None` where the payload doesn't tell and the container must;
/// `Some(true)` for every codec that has only such packets.
pub fn is_key(codec: Codec, payload: &[u8]) -> Option<bool> {
    use crate::media::Kind;
    match codec {
        Codec::H264 => Some(h264::is_idr(payload)),
        Codec::Hevc => Some(hevc::is_irap(payload)),
        Codec::Av1 => Some(av1::is_key(payload)),
        Codec::Vp8 => Some(vpx::vp8_is_key(payload)),
        Codec::Vp9 => Some(vpx::vp9_is_key(payload)),
        Codec::Mpeg2 => Some(mpeg2::is_key(payload)),
        Codec::Theora => Some(theora::is_key(payload)),
        Codec::H263 => flash::h263(payload).ok().map(|p| p.1),
        Codec::Vp6 => Some(flash::vp6_is_key(payload, false)),
        Codec::Vp6Alpha => Some(flash::vp6_is_key(payload, true)),
        Codec::Mpeg4 | Codec::Screen1 | Codec::Screen2 => None,
        Codec::Jpeg => Some(true),
        _ => Some(codec.kind() != Kind::Video),
    }
}

/// How long an audio packet lasts; `None` for other tracks, and where the payload or init data doesn't tell.
pub fn packet_duration(track: &TrackInfo, payload: &[u8]) -> Option<Duration> {
    let total = match track.codec {
        Codec::Aac => match Asc::parse(&track.init) {
            Ok(a) => a.frame_duration(),
            Err(_) if track.rate() > 0 => Duration::from_rate(1024, track.rate()),
            Err(_) => return None,
        },
        Codec::Mp3 | Codec::Mp2 => mpa::frames(payload).fold(Duration::ZERO, |d, h| d + h.duration()),
        Codec::Ac3 | Codec::Eac3 => ac3::frames(payload).fold(Duration::ZERO, |d, h| d + h.duration()),
        Codec::Opus => opus::packet_duration(payload)?,
        Codec::Flac => {
            let rate = StreamInfo::from_init(&track.init).map_or(track.rate(), |s| s.rate);
            flac::frame_duration(payload, rate)?
        }
        Codec::Pcm | Codec::PcmFloat => {
            let Params::Audio { rate, channels, bits } = track.params else { return None };
            pcm::duration(payload.len(), rate, channels, bits)?
        }
        Codec::Alaw | Codec::Ulaw => {
            pcm::duration(payload.len(), track.rate(), track.channels(), pcm::G711_BITS)?
        }
        Codec::Nellymoser if track.rate() > 0 => flash::nellymoser_duration(payload, track.rate()),
        Codec::Speex => speex::packet_duration(&track.init)?,
        _ => return None,
    };
    (total > Duration::ZERO).then_some(total)
}

/// Brings init data from a container into the canonical form of the table in [`crate::codec`].
///
/// H.264 and HEVC come out with 4-byte lengths, also from parameter sets in Annex B form; ask [`length_size`] of the
/// container's own data first, and convert the payload with [`canonical_payload`]. AV1 may be a bare sequence header
/// unit, Opus the body of `dOps`, FLAC the body of `dfLa` or a bare STREAMINFO.
///
/// # Errors
/// The data isn't what the codec needs. Empty data is an error for codecs that can't do without.
pub fn canonical_init(codec: Codec, init: Bytes) -> Result<Bytes, CodecError> {
    match codec {
        Codec::H264 if nal::starts_with_code(&init) => Ok(Avcc::from_nals(nal::annex_b(&init))?.build()),
        Codec::H264 => {
            let mut c = Avcc::parse(&init)?;
            if c.length_size == 4 {
                return Ok(init);
            }
            c.length_size = 4;
            Ok(c.build())
        }
        Codec::Hevc if nal::starts_with_code(&init) => Ok(Hvcc::from_nals(nal::annex_b(&init))?.build()),
        Codec::Hevc => {
            let mut c = Hvcc::parse(&init)?;
            if c.length_size == 4 {
                return Ok(init);
            }
            c.length_size = 4;
            Ok(c.build())
        }
        Codec::Av1 if init.first() == Some(&0x81) => Av1c::parse(&init).map(|_| init),
        Codec::Av1 => Ok(Av1c::from_unit(&init)?.build()),
        Codec::Vp9 if init.is_empty() => Ok(init),
        Codec::Vp9 => Ok(Vpcc::parse(&init)?.build()),
        Codec::Mpeg2 => Ok(mpeg2::init(&init).map_or_else(Bytes::new, |i| init.slice_ref(i))),
        Codec::Aac => Asc::parse(&init).map(|_| init),
        Codec::Opus if init.starts_with(b"OpusHead") => OpusHead::parse(&init).map(|_| init),
        Codec::Opus => Ok(OpusHead::parse_dops(&init)?.build()),
        Codec::Vorbis => {
            let [head, ..] = vorbis::split_headers(&init)?;
            vorbis::Identification::parse(head)?;
            Ok(init)
        }
        Codec::Theora => {
            let [head, ..] = vorbis::split_headers(&init)?;
            theora::Identification::parse(head)?;
            Ok(init)
        }
        Codec::Flac => flac::canonical_init(init),
        Codec::WebVtt => text::canonical_header(init),
        _ => Ok(init),
    }
}

/// Bytes of a NAL unit length in the payload that a container's init data announces; `None` for codecs without, and
/// for payload in Annex B form.
pub fn length_size(codec: Codec, init: &[u8]) -> Option<u8> {
    if nal::starts_with_code(init) {
        return None;
    }
    let at = match codec {
        Codec::H264 => 4,
        Codec::Hevc => 21,
        _ => return None,
    };
    init.get(at).map(|b| (b & 3) + 1)
}

/// Brings a payload from a container that stores it as MP4 does into canonical form: 4-byte lengths from `length_size`
/// ones and no access unit delimiters, sized AV1 units without temporal delimiters, UTF-8 SubRip text. Others, and those that need no
/// change, are returned as they are. H.264 and HEVC with start codes, which some encoders send where lengths are due,
/// are converted too.
///
/// # Errors
/// A unit's length exceeds the payload.
pub fn canonical_payload(codec: Codec, data: Bytes, length_size: u8) -> Result<Bytes, CodecError> {
    let is_aud: fn(&[u8]) -> bool = match codec {
        Codec::H264 => |n| h264::nal::kind(n) == h264::nal::AUD,
        Codec::Hevc => |n| hevc::nal::kind(n) == hevc::nal::AUD,
        Codec::Av1 => return av1::canonical(data),
        Codec::Subtitle => return Ok(text::canonical(data)),
        _ => return Ok(data),
    };
    match nal::canonical_lengths(data.clone(), length_size, is_aud) {
        Err(_) if nal::starts_with_code(&data) => {
            let mut out = BytesMut::new();
            nal::annex_b_to_lengths(&data, &mut out, |n| !is_aud(n));
            Ok(out.freeze())
        }
        done => done,
    }
}

/// Canonical init data out of a canonical payload, for containers that have none. `None` where the payload doesn't
/// carry all of it.
pub fn init_from_payload(codec: Codec, payload: &[u8]) -> Option<Bytes> {
    match codec {
        Codec::H264 => Avcc::from_nals(nal::units(payload)).ok().map(|c| c.build()),
        Codec::Hevc => Hvcc::from_nals(nal::units(payload)).ok().map(|c| c.build()),
        Codec::Av1 => Av1c::from_unit(payload).ok().map(|c| c.build()),
        Codec::Vp9 => Vp9::parse(payload).ok().map(|f| Vpcc::from_frame(&f).build()),
        Codec::Mpeg2 => mpeg2::init(payload).map(Bytes::copy_from_slice),
        _ => None,
    }
}

/// The closed captions that a canonical payload carries.
pub fn captions(codec: Codec, payload: &[u8]) -> Captions {
    match codec {
        Codec::H264 => h264::captions(payload),
        Codec::Hevc => hevc::captions(payload),
        Codec::Mpeg2 => mpeg2::captions(payload),
        _ => Captions::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::TrackId;
    use proptest::prelude::*;

    #[test]
    fn start_codes_where_lengths_are_due() {
        let annex = Bytes::from_static(&[0, 0, 0, 1, 9, 0xf0, 0, 0, 1, 0x65, 0x88, 0x80, 0, 0, 1, 0x65, 1]);
        let c = canonical_payload(Codec::H264, annex, 4).unwrap();
        assert_eq!(c, [0, 0, 0, 3, 0x65, 0x88, 0x80, 0, 0, 0, 2, 0x65, 1][..]);
        assert_eq!(is_key(Codec::H264, &c), Some(true));
    }

    proptest! {
        #[test]
        fn any_bytes_any_codec(v in prop::collection::vec(any::<u8>(), 0..120), n in 0u8..6) {
            let b = Bytes::from(v);
            for &codec in Codec::ALL {
                params(codec, &b);
                params_from_payload(codec, &b);
                is_key(codec, &b);
                init_from_payload(codec, &b);
                captions(codec, &b);
                length_size(codec, &b);
                if let Ok(c) = canonical_init(codec, b.clone()) {
                    prop_assert_eq!(canonical_init(codec, c.clone()).unwrap(), c);
                }
                if let Ok(c) = canonical_payload(codec, b.clone(), n) {
                    prop_assert_eq!(canonical_payload(codec, c.clone(), 4).unwrap(), c);
                }
                let params = Params::Audio { rate: 8000, channels: 1, bits: 16 };
                let t = TrackInfo::new(TrackId(1), codec, b.clone(), params);
                packet_duration(&t, &b);
                super::super::rfc6381::codec_string(&t);
            }
        }
    }
}
