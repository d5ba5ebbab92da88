//! From session descriptions to receivers.

use crate::rtp::{self, AuHeaders, Payload};
use crate::sdp;
use mist_core::codec::{Codec, CodecError};
use mist_core::media::{Kind, Params};

/// How the media of a payload format is received. `fpks` is the frame rate that its section tells, 0 for none.
///
/// # Errors
/// The encoding isn't handled, or what the description says of it can't be read.
pub fn rtp_format(f: &sdp::Format, fpks: u32) -> Result<rtp::Format, CodecError> {
    let codec = f.codec().ok_or(CodecError::unsupported("encoding in RTP"))?;
    let payload = match codec {
        Codec::H264 => match f.number("packetization-mode") {
            Some(2) => return Err(CodecError::unsupported("interleaved mode of H.264 in RTP")),
            _ => Payload::H264,
        },
        Codec::Hevc => match f.number("sprop-max-don-diff") {
            Some(1..) => return Err(CodecError::unsupported("decoding order numbers of HEVC in RTP")),
            _ => Payload::Hevc,
        },
        Codec::Aac if f.is(&["MP4A-LATM"]) => Payload::Latm { in_band: f.number("cpresent") != Some(0) },
        Codec::Aac => Payload::Mpeg4(au_headers(f)?),
        Codec::Mp3 => Payload::MpegAudio,
        Codec::Ac3 => Payload::Ac3,
        Codec::Eac3 => Payload::Eac3,
        Codec::Vp8 => Payload::Vp8,
        Codec::Vp9 => Payload::Vp9,
        _ => Payload::Whole,
    };
    let latm = match payload {
        Payload::Latm { .. } => f.config().map(sdp::hex).transpose()?.map(Into::into),
        _ => None,
    };
    let params = match codec.kind() {
        Kind::Video => Params::Video { width: 0, height: 0, fpks },
        _ => Params::Audio { rate: f.clock, channels: f.channels.into(), bits: f.bits() },
    };
    // Parameter sets may still come with the media.
    let init = match f.init() {
        Err(_) if codec.kind() == Kind::Video => bytes::Bytes::new(),
        init => init?,
    };
    Ok(rtp::Format { payload_type: f.payload_type, codec, payload, clock: f.clock, init, latm, params })
}

fn au_headers(f: &sdp::Format) -> Result<AuHeaders, CodecError> {
    let bits = |name: &str| match f.number(name) {
        None => Ok(0),
        Some(n @ 0..=32) => Ok(n as u8),
        Some(_) => Err(CodecError::malformed("length of a field in AU headers")),
    };
    let mut h = AuHeaders {
        size: bits("sizelength")?,
        index: bits("indexlength")?,
        index_delta: bits("indexdeltalength")?,
        cts_delta: bits("ctsdeltalength")?,
        dts_delta: bits("dtsdeltalength")?,
        random_access: bits("randomaccessindication")? > 0,
        stream_state: bits("streamstateindication")?,
        auxiliary: bits("auxiliarydatasizelength")?,
        constant_size: f.number("constantsize").filter(|n| *n > 0),
    };
    // Some say only the mode, which has fixed lengths (RFC 3640 §3.3.5 and §3.3.6).
    if h == AuHeaders::default() {
        match f.parameter("mode").map(str::to_ascii_lowercase).as_deref() {
            Some("aac-hbr") | None => (h.size, h.index, h.index_delta) = (13, 3, 3),
            Some("aac-lbr") => (h.size, h.index, h.index_delta) = (6, 2, 2),
            _ => {}
        }
    }
    Ok(h)
}
