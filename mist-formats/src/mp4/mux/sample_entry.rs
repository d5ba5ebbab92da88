//! Sample entries: how a track's payload is coded, the content of `stsd` (ISO/IEC 14496-12 §8.5.2).

use super::boxes::Boxes;
use bytes::Bytes;
use mist_core::bits::BitWriter;
use mist_core::codec::aac::{self, Asc};
use mist_core::codec::vpx::{Vp9, Vpcc};
use mist_core::codec::{Codec, ac3, canonical_init, h264, hevc, init_from_payload, mpa, mpeg2, text};
use mist_core::format::ErrorKind;
use mist_core::media::{Kind, Params, TrackInfo};

/// Bit rates as `btrt` and `esds` tell them, in bits a second and bytes of buffer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct BitRate {
    /// Bytes that a decoder's buffer needs: of the largest sample.
    pub(super) buffer: u32,
    /// The most within a second.
    pub(super) most: u32,
    /// Over the whole.
    pub(super) average: u32,
}

/// A size that a decoder configuration never has.
const MAX_INIT: usize = 1 << 20;

const NO_SETS: ErrorKind = ErrorKind::Unsupported("parameter sets that nobody has told");

/// Whether a track of this codec can be written.
pub(super) const fn carries(codec: Codec) -> bool {
    matches!(
        codec,
        Codec::H264
            | Codec::Hevc
            | Codec::Av1
            | Codec::Vp8
            | Codec::Vp9
            | Codec::Mpeg2
            | Codec::Mpeg4
            | Codec::Jpeg
            | Codec::Aac
            | Codec::Mp3
            | Codec::Mp2
            | Codec::Ac3
            | Codec::Eac3
            | Codec::Opus
            | Codec::Flac
            | Codec::Alac
            | Codec::Pcm
            | Codec::PcmFloat
            | Codec::Alaw
            | Codec::Ulaw
            | Codec::Tx3g
            | Codec::WebVtt
            | Codec::Stpp
            | Codec::Cea608
    )
}

/// Whether the description needs a payload of a track that comes without init data.
pub(super) fn learns(info: &TrackInfo) -> bool {
    let in_payload = matches!(
        info.codec,
        Codec::H264
            | Codec::Hevc
            | Codec::Av1
            | Codec::Vp9
            | Codec::Mpeg2
            | Codec::Ac3
            | Codec::Eac3
            | Codec::Mp3
    );
    in_payload && info.init.is_empty()
}

/// Writes the sample entry of a track. `sample` is a payload of it, where one is at hand: the first one tells what the
/// description of codecs whose frames carry it needs. Without one it is filled in from what the track says.
///
/// # Errors
/// The codec isn't for MP4, or its init data is missing or broken.
pub(super) fn write(
    w: &mut Boxes,
    info: &TrackInfo,
    sample: Option<&[u8]>,
    rate: Option<BitRate>,
) -> Result<(), ErrorKind> {
    if info.init.len() > MAX_INIT {
        return Err(ErrorKind::Limit("init data"));
    }
    match info.codec.kind() {
        Kind::Video => video(w, info, sample, rate),
        Kind::Audio => audio(w, info, sample, rate),
        Kind::Text | Kind::Data => timed_text(w, info, rate),
    }
}

/// Init data, from the payload where the track has none.
fn init(info: &TrackInfo, sample: Option<&[u8]>) -> Bytes {
    if info.init.is_empty()
        && let Some(found) = sample.and_then(|s| init_from_payload(info.codec, s))
    {
        return found;
    }
    info.init.clone()
}

fn btrt(w: &mut Boxes, rate: Option<BitRate>) {
    if let Some(r) = rate {
        w.boxed(b"btrt", |w| {
            w.u32(r.buffer).u32(r.most).u32(r.average);
        });
    }
}

/// `esds`: an elementary stream descriptor (ISO/IEC 14496-14 §5.6.1, 14496-1 §7.2.6).
fn esds(w: &mut Boxes, object_type: u8, video: bool, config: &[u8], rate: Option<BitRate>) {
    let r = rate.unwrap_or_default();
    w.full(b"esds", 0, 0, |w| {
        w.descriptor(3, |w| {
            w.u16(0).u8(0);
            w.descriptor(4, |w| {
                // stream type and reserved bit, above the buffer's 24 bits
                w.u8(object_type);
                w.u32(r.buffer.min(0xff_ffff) | (if video { 0x11 } else { 0x15 }) << 24);
                w.u32(r.most).u32(r.average);
                if !config.is_empty() {
                    w.descriptor(5, |w| {
                        w.bytes(config);
                    });
                }
            });
            w.descriptor(6, |w| {
                w.u8(2);
            });
        });
    });
}

fn video(
    w: &mut Boxes,
    info: &TrackInfo,
    sample: Option<&[u8]>,
    rate: Option<BitRate>,
) -> Result<(), ErrorKind> {
    let init = init(info, sample);
    let (width, height) = info.size();
    let kind = match info.codec {
        Codec::H264 => {
            h264::Avcc::parse(&init).map_err(|_| NO_SETS)?;
            b"avc1"
        }
        Codec::Hevc => {
            hevc::Hvcc::parse(&init).map_err(|_| NO_SETS)?;
            b"hvc1"
        }
        Codec::Av1 => {
            canonical_init(Codec::Av1, init.clone()).map_err(|_| NO_SETS)?;
            b"av01"
        }
        Codec::Vp8 => b"vp08",
        Codec::Vp9 => b"vp09",
        Codec::Mpeg2 | Codec::Mpeg4 | Codec::Jpeg => b"mp4v",
        _ => return Err(ErrorKind::Unsupported("codec in MP4")),
    };
    let small = |v: u32| u16::try_from(v).map_err(|_| ErrorKind::Limit("width and height"));
    let (width16, height16) = (small(width)?, small(height)?);
    w.boxed(kind, |w| {
        w.zeros(6).u16(1).zeros(16).u16(width16).u16(height16);
        w.u32(0x48_0000).u32(0x48_0000).u32(0).u16(1).zeros(32).u16(0x18).u16(0xffff);
        match info.codec {
            Codec::H264 => w.boxed(b"avcC", |w| _ = w.bytes(&init)),
            Codec::Hevc => w.boxed(b"hvcC", |w| _ = w.bytes(&init)),
            Codec::Av1 => w.boxed(b"av1C", |w| _ = w.bytes(&init)),
            Codec::Vp8 | Codec::Vp9 => w.boxed(b"vpcC", |w| _ = w.bytes(&vpcc(info, &init))),
            Codec::Jpeg => esds(w, 0x6c, true, &[], rate),
            Codec::Mpeg4 => esds(w, 0x20, true, &init, rate),
            _ => {
                let mpeg1 = mpeg2::Sequence::parse(&init).is_ok_and(|s| s.mpeg1);
                esds(w, if mpeg1 { 0x6a } else { 0x61 }, true, &init, rate);
            }
        }
        let (h, v) = info.visual.sar;
        if h > 0 && v > 0 {
            w.boxed(b"pasp", |w| _ = w.u32(h).u32(v));
        }
        if let Some(c) = info.visual.colour {
            w.boxed(b"colr", |w| {
                w.bytes(b"nclx").u16(c.primaries).u16(c.transfer).u16(c.matrix);
                w.u8(u8::from(c.full_range) << 7);
            });
        }
        btrt(w, rate);
    });
    Ok(())
}

/// The VP codec record (VP codec ISO media file format binding §2.2): as it is, or what most streams are.
fn vpcc(info: &TrackInfo, init: &[u8]) -> Bytes {
    let parsed = Vpcc::parse(init);
    let mut c = parsed.unwrap_or_else(|_| {
        let (width, height) = info.size();
        let usual = Vp9 { profile: 0, bit_depth: 8, chroma: 1, full_range: false, width, height };
        Vpcc::from_frame(&usual)
    });
    if let Some(colour) = info.visual.colour
        && c.colour == [2; 3]
    {
        c.colour = [colour.primaries, colour.transfer, colour.matrix].map(|v| u8::try_from(v).unwrap_or(2));
    }
    c.build()
}

fn audio(
    w: &mut Boxes,
    info: &TrackInfo,
    sample: Option<&[u8]>,
    rate: Option<BitRate>,
) -> Result<(), ErrorKind> {
    let Params::Audio { rate: hz, channels, bits } = info.params else {
        return Err(ErrorKind::Unsupported("audio without parameters"));
    };
    let malformed = ErrorKind::Malformed;
    // Bits matter to PCM only; every compressed codec says 16 (§12.2.3.2).
    let mut size = 16;
    let (kind, config) = match info.codec {
        Codec::Aac if info.init.is_empty() => {
            // What has no configuration is AAC-LC in every case that was seen.
            let config = u8::try_from(channels).ok().filter(|c| (1..=7).contains(c));
            let config = config.ok_or(ErrorKind::Unsupported("AAC without configuration"))?;
            (b"mp4a", Asc::new(aac::object::LC, hz, config).build()?)
        }
        Codec::Aac => {
            Asc::parse(&info.init)?;
            (b"mp4a", info.init.clone())
        }
        Codec::Mp3 | Codec::Mp2 => (b"mp4a", Bytes::new()),
        Codec::Ac3 => (b"ac-3", dolby(info, sample, hz, channels)),
        Codec::Eac3 => (b"ec-3", dolby(info, sample, hz, channels)),
        Codec::Opus => {
            let head = mist_core::codec::opus::OpusHead::parse(&info.init);
            (b"Opus", head.map_err(|_| malformed("OpusHead"))?.build_dops())
        }
        Codec::Flac => {
            let blocks = mist_core::codec::flac::canonical_init(info.init.clone())?;
            (b"fLaC", blocks.slice(4.min(blocks.len())..))
        }
        Codec::Alac => {
            // The magic cookie alone, or in its box as QuickTime files have it.
            let cookie = match info.init.get(4..8) {
                Some(b"alac") => info.init.slice(12.min(info.init.len())..),
                _ => info.init.clone(),
            };
            if cookie.len() < 24 {
                return Err(malformed("ALAC configuration"));
            }
            (b"alac", cookie)
        }
        Codec::Pcm => {
            size = bits;
            let kind = match bits {
                8 | 16 => b"twos",
                24 => b"in24",
                32 => b"in32",
                _ => return Err(ErrorKind::Unsupported("bits of PCM")),
            };
            (kind, Bytes::new())
        }
        Codec::PcmFloat => {
            size = bits;
            let kind = match bits {
                32 => b"fl32",
                64 => b"fl64",
                _ => return Err(ErrorKind::Unsupported("bits of PCM")),
            };
            (kind, Bytes::new())
        }
        Codec::Alaw => (b"alaw", Bytes::new()),
        Codec::Ulaw => (b"ulaw", Bytes::new()),
        _ => return Err(ErrorKind::Unsupported("codec in MP4")),
    };
    w.boxed(kind, |w| {
        w.zeros(6).u16(1).zeros(8).u16(channels).u16(size).u32(0);
        // 16.16 bits; what doesn't fit is left to the codec's own configuration.
        w.u32(u32::from(u16::try_from(hz).unwrap_or(0)) << 16);
        match info.codec {
            Codec::Aac => esds(w, 0x40, false, &config, rate),
            Codec::Mp3 | Codec::Mp2 => {
                // ISO/IEC 13818-3 adds the half rates to 11172-3, and has an object type of its own.
                let half = sample
                    .and_then(|s| mpa::Header::parse(s).ok())
                    .map_or(hz > 0 && hz < 32_000, |h| h.low_rate);
                esds(w, if half { 0x69 } else { 0x6b }, false, &[], rate);
            }
            Codec::Ac3 => w.boxed(b"dac3", |w| _ = w.bytes(&config)),
            Codec::Eac3 => w.boxed(b"dec3", |w| _ = w.bytes(&config)),
            Codec::Opus => w.boxed(b"dOps", |w| _ = w.bytes(&config)),
            Codec::Flac => w.full(b"dfLa", 0, 0, |w| _ = w.bytes(&config)),
            Codec::Alac => w.full(b"alac", 0, 0, |w| _ = w.bytes(&config)),
            _ => {}
        }
        btrt(w, rate);
    });
    Ok(())
}

/// The body of `dac3` or `dec3`, from a frame or else from the track's parameters: decoders go by the frames.
fn dolby(info: &TrackInfo, sample: Option<&[u8]>, hz: u32, channels: u16) -> Bytes {
    if let Some(found) = sample.and_then(ac3::Header::mp4_config) {
        return found;
    }
    let fscod = match hz {
        44_100 => 1,
        32_000 => 2,
        _ => 0,
    };
    let (acmod, lfe) = match channels {
        1 => (1, false),
        2 => (2, false),
        3 => (3, false),
        4 => (6, false),
        5 => (7, false),
        _ => (7, true),
    };
    let surround = channels > 2;
    let mut w = BitWriter::new();
    if info.codec == Codec::Eac3 {
        w.bits(if surround { 384 } else { 192 }, 13);
        w.bits(0, 3);
        w.bits(fscod, 2);
        w.bits(16, 5);
        w.bits(0, 5);
        w.bits(acmod, 3);
        w.flag(lfe);
        w.bits(0, 8);
    } else {
        w.bits(fscod, 2);
        w.bits(8, 5);
        w.bits(0, 3);
        w.bits(acmod, 3);
        w.flag(lfe);
        w.bits(if surround { 14 } else { 10 }, 5);
        w.bits(0, 5);
    }
    w.finish()
}

fn timed_text(w: &mut Boxes, info: &TrackInfo, rate: Option<BitRate>) -> Result<(), ErrorKind> {
    let (kind, body): (_, &dyn Fn(&mut Boxes)) = match info.codec {
        // 3GPP TS 26.245 §5.16; init data is the entry's own fields.
        Codec::Tx3g => (b"tx3g", &|w| {
            if info.init.is_empty() { _ = w.bytes(&text::tx3g_init()) } else { _ = w.bytes(&info.init) }
        }),
        // ISO/IEC 14496-30 §7.5
        Codec::WebVtt => {
            (b"wvtt", &|w| w.boxed(b"vttC", |w| _ = w.bytes(text::header(&info.init).as_bytes())))
        }
        // ISO/IEC 14496-12 §12.6.3.2: namespace, schema location and mime types of auxiliary data.
        Codec::Stpp => (b"stpp", &|w| _ = w.bytes(b"http://www.w3.org/ns/ttml\0\0\0")),
        Codec::Cea608 => (b"c608", &|_| {}),
        _ => return Err(ErrorKind::Unsupported("codec in MP4")),
    };
    w.boxed(kind, |w| {
        w.zeros(6).u16(1);
        body(w);
        if info.codec != Codec::Tx3g && info.codec != Codec::Cea608 {
            btrt(w, rate);
        }
    });
    Ok(())
}
