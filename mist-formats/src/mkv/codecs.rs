//! CodecID and CodecPrivate of Matroska's codec mappings to [`Codec`] and canonical init data, and back.
//!
//! Payload is stored as it is canonical, with the exceptions that [`Payload`] lists. Left out: bitmap subtitles,
//! QuickTime and RealMedia payload, uncompressed video, WavPack, TTA.

use bytes::{BufMut, Bytes, BytesMut};
use mist_core::codec::aac::{self, Asc, Signalling};
use mist_core::codec::opus::OpusHead;
use mist_core::codec::vpx::Vpcc;
use mist_core::codec::{Codec, canonical_init, length_size, mpeg2, nal, params, pcm};
use mist_core::format::ErrorKind;
use mist_core::media::{Kind, Params, TrackInfo};

/// How frames in a file become canonical payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    /// They are.
    Same,
    /// NAL units with lengths of so many bytes.
    Lengths(u8),
    /// NAL units with start codes.
    AnnexB,
    /// AV1: units that may have no size, and delimiters.
    Av1,
    /// Samples of so many bits, little-endian, unsigned at 8 bits.
    Swapped(u16),
    /// A WebVTT cue's text; settings and identifier are lines of the block's BlockAdditional (`S_TEXT/WEBVTT`).
    CueBeside,
    /// A line with a WebVTT cue's identifier, one with its settings, and its text (`D_WEBVTT/…`).
    CueLines,
    /// SubRip or SubStation text, which some writers end as C does.
    Text,
}

/// What Audio says of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sound {
    /// SamplingFrequency, or OutputSamplingFrequency where there is one.
    pub rate: u32,
    /// Samples a second of the core, where a codec doubles it: SamplingFrequency.
    pub core_rate: u32,
    /// Channels.
    pub channels: u16,
    /// BitDepth; 0 where it isn't given.
    pub bits: u16,
}

impl Sound {
    const fn params(self, bits: u16) -> Params {
        Params::Audio { rate: self.rate, channels: self.channels, bits }
    }
}

/// A track's coding as a file says it, in canonical terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// The codec.
    pub codec: Codec,
    /// Canonical init data; empty where there is none, or where only the payload has it.
    pub init: Bytes,
    /// How frames become canonical.
    pub payload: Payload,
    /// What CodecPrivate knows better than the track's other elements.
    pub params: Option<Params>,
    /// CodecPrivate was of no use, and why.
    pub damaged: Option<ErrorKind>,
}

impl Mapping {
    fn new(codec: Codec, init: Bytes, payload: Payload) -> Self {
        let params = params(codec, &init);
        Self { codec, init, payload, params, damaged: None }
    }

    /// Whether init data can be found in the payload only: the track is best described with its first packet.
    pub fn wants_payload(&self) -> bool {
        self.init.is_empty()
            && matches!(self.codec, Codec::H264 | Codec::Hevc | Codec::Av1 | Codec::Vp9 | Codec::Mpeg2)
    }
}

/// CodecIDs that need no CodecPrivate, or pass it on as it is.
const PLAIN: &[(&str, Codec)] = &[
    ("V_VP8", Codec::Vp8),
    ("V_MJPEG", Codec::Jpeg),
    ("A_MPEG/L3", Codec::Mp3),
    ("A_MPEG/L2", Codec::Mp2),
    ("A_MPEG/L1", Codec::Mp2),
    ("A_AC3", Codec::Ac3),
    ("A_AC3/BSID9", Codec::Ac3),
    ("A_AC3/BSID10", Codec::Ac3),
    ("A_EAC3", Codec::Eac3),
    ("A_DTS", Codec::Dts),
    ("A_DTS/EXPRESS", Codec::Dts),
    ("A_DTS/LOSSLESS", Codec::Dts),
    ("A_ALAC", Codec::Alac),
    ("M_JSON", Codec::Json),
];

/// Codecs whose CodecPrivate is what [`canonical_init`] takes.
const WITH_INIT: &[(&str, Codec)] = &[
    ("V_MPEG4/ISO/AVC", Codec::H264),
    ("V_MPEGH/ISO/HEVC", Codec::Hevc),
    ("V_AV1", Codec::Av1),
    ("V_MPEG2", Codec::Mpeg2),
    ("V_MPEG1", Codec::Mpeg2),
    ("V_THEORA", Codec::Theora),
    ("A_VORBIS", Codec::Vorbis),
    ("A_FLAC", Codec::Flac),
    ("A_OPUS", Codec::Opus),
    ("A_OPUS/EXPERIMENTAL", Codec::Opus),
    ("A_AAC", Codec::Aac),
];

/// Text. SubStation's header is its CodecPrivate.
const TEXT: &[(&str, Codec, Payload)] = &[
    ("S_TEXT/UTF8", Codec::Subtitle, Payload::Text),
    ("S_TEXT/ASCII", Codec::Subtitle, Payload::Text),
    ("S_TEXT/ASS", Codec::Ass, Payload::Text),
    ("S_TEXT/SSA", Codec::Ass, Payload::Text),
    ("S_ASS", Codec::Ass, Payload::Text),
    ("S_SSA", Codec::Ass, Payload::Text),
    ("S_TEXT/WEBVTT", Codec::WebVtt, Payload::CueBeside),
    ("D_WEBVTT/SUBTITLES", Codec::WebVtt, Payload::CueLines),
    ("D_WEBVTT/CAPTIONS", Codec::WebVtt, Payload::CueLines),
    ("D_WEBVTT/DESCRIPTIONS", Codec::WebVtt, Payload::CueLines),
    ("D_WEBVTT/METADATA", Codec::WebVtt, Payload::CueLines),
];

/// The coding of a track from its CodecID and CodecPrivate.
///
/// # Errors
/// The codec isn't handled, or what it can't do without is missing or broken.
pub fn read(id: &str, private: &[u8], sound: Sound) -> Result<Mapping, ErrorKind> {
    if let Some(&(_, codec)) = PLAIN.iter().find(|(name, _)| *name == id) {
        return Ok(Mapping::new(codec, Bytes::copy_from_slice(private), Payload::Same));
    }
    if let Some(&(_, codec, payload)) = TEXT.iter().find(|(name, ..)| *name == id) {
        let init = match codec {
            Codec::Subtitle => Bytes::new(),
            _ => canonical_init(codec, Bytes::copy_from_slice(private))?,
        };
        return Ok(Mapping::new(codec, init, payload));
    }
    if let Some(&(_, codec)) = WITH_INIT.iter().find(|(name, _)| *name == id) {
        return with_init(codec, private, sound);
    }
    match id {
        "V_VP9" => Ok(Mapping::new(Codec::Vp9, vp9_init(private).unwrap_or_default(), Payload::Same)),
        "V_MS/VFW/FOURCC" => fourcc(private, sound),
        "A_MS/ACM" => wave(private),
        "A_PCM/INT/LIT" => linear(sound, true),
        "A_PCM/INT/BIG" => linear(sound, false),
        "A_PCM/FLOAT/IEEE" => float(sound),
        _ if id.starts_with("A_AAC/") => old_aac(id, sound),
        _ => Err(ErrorKind::Unsupported("CodecID")),
    }
}

/// Codecs that can't be decoded without init data that packets don't have.
const fn needs_init(codec: Codec) -> bool {
    matches!(codec, Codec::Theora | Codec::Vorbis | Codec::Flac)
}

fn with_init(codec: Codec, private: &[u8], sound: Sound) -> Result<Mapping, ErrorKind> {
    let payload = match codec {
        Codec::H264 | Codec::Hevc if nal::starts_with_code(private) => Payload::AnnexB,
        Codec::H264 | Codec::Hevc => Payload::Lengths(length_size(codec, private).unwrap_or(4)),
        Codec::Av1 => Payload::Av1,
        _ => Payload::Same,
    };
    if private.is_empty() && !needs_init(codec) {
        let init = match codec {
            Codec::Opus => {
                u8::try_from(sound.channels).ok().and_then(|c| OpusHead::new(c, 0).ok()).map(|h| h.build())
            }
            Codec::Aac => Asc::new(aac::object::LC, sound.core_rate, aac_channels(sound)).build().ok(),
            _ => None,
        };
        return Ok(Mapping::new(codec, init.unwrap_or_default(), payload));
    }
    match canonical_init(codec, Bytes::copy_from_slice(private)) {
        Ok(init) => Ok(Mapping::new(codec, init, payload)),
        Err(e) if needs_init(codec) => Err(e.into()),
        Err(e) => Ok(Mapping { damaged: Some(e.into()), ..with_init(codec, &[], sound)? }),
    }
}

/// CodecPrivate of VP9: features as id, length and value.
fn vp9_init(private: &[u8]) -> Option<Bytes> {
    let (mut profile, mut level, mut depth, mut chroma) = (None, 0, None, None);
    let mut rest = private;
    while let [id, 1, value, tail @ ..] = rest {
        match id {
            1 => profile = Some(*value),
            2 => level = *value,
            3 => depth = Some(*value),
            4 => chroma = Some(*value),
            _ => {}
        }
        rest = tail;
    }
    let c = Vpcc {
        profile: profile?,
        level,
        bit_depth: depth.filter(|d| matches!(d, 8 | 10 | 12))?,
        chroma: chroma.filter(|c| *c < 4)?,
        full_range: false,
        colour: [2, 2, 2],
    };
    Some(c.build())
}

fn vp9_private(init: &[u8]) -> Bytes {
    let Ok(c) = Vpcc::parse(init) else { return Bytes::new() };
    let mut out = BytesMut::with_capacity(12);
    out.put_slice(&[1, 1, c.profile]);
    if c.level > 0 {
        out.put_slice(&[2, 1, c.level]);
    }
    out.put_slice(&[3, 1, c.bit_depth, 4, 1, c.chroma]);
    out.freeze()
}

fn aac_channels(sound: Sound) -> u8 {
    (0..16).find(|c| aac::config_channels(*c) == sound.channels).unwrap_or(0)
}

/// The CodecIDs from before AudioSpecificConfig was stored: `A_AAC/MPEG4/LC/SBR`.
fn old_aac(id: &str, sound: Sound) -> Result<Mapping, ErrorKind> {
    let mut parts = id.split('/').skip(2);
    let object = match parts.next() {
        Some("MAIN") => aac::object::MAIN,
        Some("LC") => aac::object::LC,
        Some("SSR") => 3,
        Some("LTP") => 4,
        _ => return Err(ErrorKind::Unsupported("CodecID")),
    };
    let mut asc = Asc::new(object, sound.core_rate, aac_channels(sound));
    if parts.next() == Some("SBR") {
        let doubled = sound.core_rate.saturating_mul(2);
        asc.sbr = Some(if sound.rate > sound.core_rate { sound.rate } else { doubled });
        asc.signalling = Signalling::Compatible;
    }
    Ok(Mapping::new(Codec::Aac, asc.build()?, Payload::Same))
}

fn linear(sound: Sound, little: bool) -> Result<Mapping, ErrorKind> {
    let bits = if sound.bits == 0 { 16 } else { sound.bits };
    let payload = match bits {
        8 => Payload::Swapped(8),
        16 | 24 | 32 | 64 if little => Payload::Swapped(bits),
        16 | 24 | 32 | 64 => Payload::Same,
        _ => return Err(ErrorKind::Unsupported("BitDepth")),
    };
    Ok(Mapping { params: Some(sound.params(bits)), ..Mapping::new(Codec::Pcm, Bytes::new(), payload) })
}

fn float(sound: Sound) -> Result<Mapping, ErrorKind> {
    let bits = if sound.bits == 0 { 32 } else { sound.bits };
    if !matches!(bits, 32 | 64) {
        return Err(ErrorKind::Unsupported("BitDepth"));
    }
    let m = Mapping::new(Codec::PcmFloat, Bytes::new(), Payload::Swapped(bits));
    Ok(Mapping { params: Some(sound.params(bits)), ..m })
}

/// A WAVEFORMATEX.
fn wave(private: &[u8]) -> Result<Mapping, ErrorKind> {
    let short = ErrorKind::Malformed("WAVEFORMATEX");
    let Some((&[t0, t1, c0, c1, r0, r1, r2, r3, _, _, _, _, _, _, b0, b1], rest)) =
        private.split_first_chunk()
    else {
        return Err(short);
    };
    let rate = u32::from_le_bytes([r0, r1, r2, r3]);
    let sound = Sound {
        rate,
        core_rate: rate,
        channels: u16::from_le_bytes([c0, c1]),
        bits: u16::from_le_bytes([b0, b1]),
    };
    let extra = rest
        .split_first_chunk()
        .map_or(&[][..], |(&len, extra)| extra.get(..usize::from(u16::from_le_bytes(len))).unwrap_or(extra));
    let mut tag = u16::from_le_bytes([t0, t1]);
    if tag == 0xfffe {
        // WAVEFORMATEXTENSIBLE: the tag is the start of the sub-format.
        let sub = extra.get(6..).and_then(<[u8]>::first_chunk).ok_or(short)?;
        tag = u16::from_le_bytes(*sub);
    }
    let plain = |codec, bits| {
        let m = Mapping::new(codec, Bytes::new(), Payload::Same);
        Ok(Mapping { params: Some(sound.params(bits)), ..m })
    };
    match tag {
        1 => linear(sound, true),
        3 => float(sound),
        6 => plain(Codec::Alaw, pcm::G711_BITS),
        7 => plain(Codec::Ulaw, pcm::G711_BITS),
        0x50 => plain(Codec::Mp2, 16),
        0x55 => plain(Codec::Mp3, 16),
        0x2000 => plain(Codec::Ac3, 16),
        0x2001 => plain(Codec::Dts, 16),
        0xff | 0x1610 => with_init(Codec::Aac, extra, sound),
        0xf1ac => with_init(Codec::Flac, extra, sound),
        _ => Err(ErrorKind::Unsupported("WAVEFORMATEX format")),
    }
}

/// A BITMAPINFOHEADER, whose compression is a FourCC.
fn fourcc(private: &[u8], sound: Sound) -> Result<Mapping, ErrorKind> {
    let short = ErrorKind::Malformed("BITMAPINFOHEADER");
    let (head, extra) = private.split_at_checked(40).ok_or(short)?;
    let code: &[u8; 4] = head.get(16..).and_then(<[u8]>::first_chunk).ok_or(short)?;
    match &code.map(|c| c.to_ascii_uppercase()) {
        b"H264" | b"X264" | b"AVC1" | b"DAVC" | b"VSSH" => in_vfw(Codec::H264, extra, sound),
        b"HEVC" | b"H265" | b"HVC1" | b"HEV1" => in_vfw(Codec::Hevc, extra, sound),
        b"AV01" => in_vfw(Codec::Av1, extra, sound),
        b"MPG1" | b"MPG2" | b"MPEG" => in_vfw(Codec::Mpeg2, extra, sound),
        b"VP80" => Ok(Mapping::new(Codec::Vp8, Bytes::new(), Payload::Same)),
        b"VP90" => Ok(Mapping::new(Codec::Vp9, Bytes::new(), Payload::Same)),
        b"MJPG" | b"JPEG" => Ok(Mapping::new(Codec::Jpeg, Bytes::new(), Payload::Same)),
        b"FLV1" => Ok(Mapping::new(Codec::H263, Bytes::new(), Payload::Same)),
        _ => Err(ErrorKind::Unsupported("FourCC")),
    }
}

/// Without configuration data, H.264 and HEVC in AVI's manner have start codes.
fn in_vfw(codec: Codec, extra: &[u8], sound: Sound) -> Result<Mapping, ErrorKind> {
    let m = with_init(codec, extra, sound)?;
    let codes = matches!(codec, Codec::H264 | Codec::Hevc) && m.init.is_empty();
    Ok(if codes { Mapping { payload: Payload::AnnexB, ..m } } else { m })
}

/// How a track is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// CodecID.
    pub id: &'static str,
    /// CodecPrivate; empty for none.
    pub private: Bytes,
    /// Payload is stored with [`pcm::put_swapped`] done to it at this many bits a sample.
    pub swapped: Option<u16>,
}

/// CodecID and CodecPrivate for a track; `None` if there is no mapping. Payload is written as it is, but for
/// [`Written::swapped`].
pub fn write(info: &TrackInfo) -> Option<Written> {
    let same = |id| Some(Written { id, private: info.init.clone(), swapped: None });
    let bare = |id| Some(Written { id, private: Bytes::new(), swapped: None });
    let bits = match info.params {
        Params::Audio { bits, .. } => bits,
        _ => 0,
    };
    match info.codec {
        Codec::H264 => same("V_MPEG4/ISO/AVC"),
        Codec::Hevc => same("V_MPEGH/ISO/HEVC"),
        Codec::Av1 => same("V_AV1"),
        Codec::Vp8 => bare("V_VP8"),
        Codec::Vp9 => Some(Written { id: "V_VP9", private: vp9_private(&info.init), swapped: None }),
        Codec::Mpeg2 if mpeg2::Sequence::parse(&info.init).is_ok_and(|s| s.mpeg1) => same("V_MPEG1"),
        Codec::Mpeg2 => same("V_MPEG2"),
        Codec::Theora => same("V_THEORA"),
        Codec::Jpeg => bare("V_MJPEG"),
        Codec::Aac => same("A_AAC"),
        Codec::Mp3 => bare("A_MPEG/L3"),
        Codec::Mp2 => bare("A_MPEG/L2"),
        Codec::Ac3 => bare("A_AC3"),
        Codec::Eac3 => bare("A_EAC3"),
        Codec::Dts => bare("A_DTS"),
        Codec::Opus => same("A_OPUS"),
        Codec::Vorbis => same("A_VORBIS"),
        Codec::Flac => same("A_FLAC"),
        Codec::Alac => same("A_ALAC"),
        Codec::Pcm => {
            let swapped = (bits == 8).then_some(8);
            Some(Written { id: "A_PCM/INT/BIG", private: Bytes::new(), swapped })
        }
        Codec::PcmFloat => {
            Some(Written { id: "A_PCM/FLOAT/IEEE", private: Bytes::new(), swapped: Some(bits) })
        }
        Codec::Alaw => acm(info, 6),
        Codec::Ulaw => acm(info, 7),
        Codec::Subtitle => bare("S_TEXT/UTF8"),
        Codec::WebVtt => same("S_TEXT/WEBVTT"),
        Codec::Ass => same("S_TEXT/ASS"),
        Codec::Json => bare("M_JSON"),
        _ => None,
    }
}

/// G.711 as a WAVEFORMATEX.
fn acm(info: &TrackInfo, tag: u16) -> Option<Written> {
    let mut out = BytesMut::with_capacity(18);
    out.put_u16_le(tag);
    out.put_u16_le(info.channels());
    out.put_u32_le(info.rate());
    out.put_u32_le(info.rate().checked_mul(info.channels().into())?);
    out.put_u16_le(info.channels());
    out.put_u16_le(pcm::G711_BITS);
    out.put_u16_le(0);
    Some(Written { id: "A_MS/ACM", private: out.freeze(), swapped: None })
}

/// TrackType of RFC 9559 §5.1.4.1.3 by kind.
pub const fn track_type(kind: Kind) -> u8 {
    match kind {
        Kind::Video => 1,
        Kind::Audio => 2,
        Kind::Text => 17,
        Kind::Data => 33,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mist_core::media::TrackId;
    use proptest::prelude::*;

    const SOUND: Sound = Sound { rate: 44_100, core_rate: 44_100, channels: 2, bits: 24 };

    fn wave(tag: u16, bits: u16, extra: &[u8]) -> Vec<u8> {
        let mut d = BytesMut::new();
        for v in [tag, 2, 8000, 0, 0, 0, 4, bits, extra.len() as u16] {
            d.put_u16_le(v);
        }
        d.extend_from_slice(extra);
        d.to_vec()
    }

    #[test]
    fn what_is_written_is_read() {
        let init: &[(Codec, &[u8])] = &[
            (Codec::Aac, &[0x12, 0x10]),
            (Codec::Opus, b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\0"),
            (Codec::Vp9, &[1, 0, 0, 0, 0, 31, 0x82, 2, 2, 2, 0, 0]),
            (Codec::Ass, b"[Script Info]"),
        ];
        for &codec in Codec::ALL {
            let video = codec.kind() == Kind::Video;
            let params =
                if video { Params::Video { width: 1, height: 1, fpks: 0 } } else { SOUND.params(32) };
            let init = init.iter().find(|i| i.0 == codec).map_or(&[][..], |i| i.1);
            let t = TrackInfo::new(TrackId(1), codec, Bytes::from_static(init), params);
            let Some(w) = write(&t) else { continue };
            match read(w.id, &w.private, Sound { bits: 32, ..SOUND }) {
                Ok(m) => {
                    assert_eq!(m.codec, codec);
                    assert!(m.init == init, "{codec:?}");
                    assert_eq!(
                        w.swapped.map_or(Payload::Same, Payload::Swapped),
                        match m.payload {
                            Payload::Lengths(4) | Payload::Av1 | Payload::Text | Payload::CueBeside =>
                                Payload::Same,
                            p => p,
                        }
                    );
                }
                Err(_) => assert!(needs_init(codec), "{codec:?}"),
            }
        }
    }

    #[test]
    fn formats_of_windows() {
        let read = |d: &[u8]| super::read("A_MS/ACM", d, Sound::default());
        for (tag, bits, codec, payload) in [
            (1, 8, Codec::Pcm, Payload::Swapped(8)),
            (1, 24, Codec::Pcm, Payload::Swapped(24)),
            (3, 32, Codec::PcmFloat, Payload::Swapped(32)),
            (6, 8, Codec::Alaw, Payload::Same),
            (0x55, 0, Codec::Mp3, Payload::Same),
        ] {
            let m = read(&wave(tag, bits, &[])).unwrap();
            assert_eq!((m.codec, m.payload), (codec, payload));
            let [lo, hi] = tag.to_le_bytes();
            let extended = wave(0xfffe, bits, &[0, 0, 0, 0, 0, 0, lo, hi, 0, 0]);
            assert_eq!(read(&extended), Ok(m));
        }
        let m = read(&wave(0xff, 0, &[0x12, 0x10])).unwrap();
        assert_eq!((m.codec, &m.init[..]), (Codec::Aac, &[0x12, 0x10][..]));
        assert!(read(&wave(0x1234, 0, &[])).is_err() && read(&[1]).is_err());
        let vfw = |code: &[u8]| {
            let mut head = vec![0; 40];
            head[16..20].copy_from_slice(code);
            super::read("V_MS/VFW/FOURCC", &head, Sound::default()).map(|m| (m.codec, m.payload))
        };
        assert_eq!(vfw(b"x264"), Ok((Codec::H264, Payload::AnnexB)));
        assert_eq!(vfw(b"MJPG"), Ok((Codec::Jpeg, Payload::Same)));
        assert!(vfw(b"XVID").is_err());
    }

    #[test]
    fn codec_ids_from_before() {
        let m = read("A_AAC/MPEG4/LC/SBR", &[], Sound { rate: 44_100, core_rate: 22_050, ..SOUND }).unwrap();
        assert_eq!(m.params, Some(Params::Audio { rate: 44_100, channels: 2, bits: 16 }));
        let m = read("A_AAC", &[], SOUND).unwrap();
        assert_eq!(&m.init[..2], &[0x12, 0x10]);
        let m = read("V_MPEG4/ISO/AVC", &[9], SOUND).unwrap();
        assert!(m.damaged.is_some() && m.wants_payload());
        assert!(read("A_VORBIS", &[], SOUND).is_err());
        assert_eq!(read("D_WEBVTT/CAPTIONS", &[], SOUND).map(|m| m.payload), Ok(Payload::CueLines));
    }

    proptest! {
        #[test]
        fn any_private(v in prop::collection::vec(any::<u8>(), 0..80)) {
            for id in PLAIN.iter().chain(WITH_INIT).map(|p| p.0).chain(["V_VP9", "V_MS/VFW/FOURCC", "A_MS/ACM"]) {
                let _ = read(id, &v, SOUND);
            }
        }
    }
}
