//! Sample entries of audio (ISO/IEC 14496-12 §12.2.3), QuickTime's versions 1 and 2, and the boxes in them.

use super::{Found, Payload, esds};
use crate::mp4::boxes::{Part, Reader};
use crate::mp4::codecs;
use bytes::Bytes;
use mist_core::bits::BitReader;
use mist_core::codec::Codec;
use mist_core::format::ErrorKind;
use mist_core::media::{Params, Visual};

/// The fields before the boxes.
struct Fields {
    /// Bytes that they take.
    len: usize,
    channels: u16,
    bits: u16,
    rate: u32,
    /// QuickTime's version 2: flags of its linear PCM.
    flags: Option<u32>,
}

fn fields(b: &[u8], stsd_version: u8) -> Option<Fields> {
    let mut r = Reader(b);
    r.take(8)?;
    let version = r.u16()?;
    r.take(6)?;
    let (channels, bits) = (r.u16()?, r.u16()?);
    r.take(4)?;
    let rate = r.u32()? >> 16;
    let mut f = Fields { len: 28, channels, bits, rate, flags: None };
    // Version 1 is ISO's too, without QuickTime's fields, but then `stsd` has version 1 as well.
    match version {
        1 if stsd_version == 0 => {
            f.len = 44;
            r.take(12)?;
            let bytes = r.u32()?;
            // What a sample takes when it isn't compressed.
            if bytes > 2 && bytes <= 8 {
                f.bits = bytes as u16 * 8;
            }
        }
        2 if stsd_version == 0 => {
            let size = r.u32()? as usize;
            let rate = f64::from_bits(r.u64()?);
            f.rate = if (0.0..=f64::from(u32::MAX)).contains(&rate) { rate.round() as u32 } else { 0 };
            f.channels = u16::try_from(r.u32()?).ok()?;
            r.u32()?;
            f.bits = u16::try_from(r.u32()?).ok()?;
            f.flags = Some(r.u32()?);
            // It counts the entry's head of 8 bytes, which isn't in `b`.
            f.len = size.saturating_sub(8).max(64);
        }
        _ => {}
    }
    Some(f)
}

/// Reads one; without a codec its `esds` has to name one.
pub(super) fn read(part: &Part, known: Option<Codec>, stsd_version: u8) -> Result<Option<Found>, ErrorKind> {
    let mut f = fields(&part.body, stsd_version).ok_or(ErrorKind::Malformed("sample entry"))?;
    let skip = f.len;
    let inside = part.find(skip, b"wave");
    let find =
        |kind: &[u8; 4]| part.find(skip, kind).or_else(|| inside.as_ref().and_then(|w| w.find(0, kind)));
    let config = |kind: &[u8; 4]| find(kind).map_or_else(Bytes::new, |p| p.body);
    let (codec, init) = match known {
        Some(Codec::Opus) => (Codec::Opus, config(b"dOps")),
        Some(Codec::Flac) => (Codec::Flac, config(b"dfLa")),
        Some(Codec::Vorbis) => (Codec::Vorbis, config(b"glbl")),
        Some(Codec::Alac) => (
            Codec::Alac,
            find(b"alac").and_then(|p| (p.body.len() > 4).then(|| p.body.slice(4..))).unwrap_or_default(),
        ),
        Some(codec) => (codec, Bytes::new()),
        None => match find(b"esds").and_then(|p| esds::read(&p)) {
            Some(e) => {
                let Some(codec) = codecs::of_object_type(e.object_type) else { return Ok(None) };
                (codec, e.init)
            }
            None => return Err(ErrorKind::Malformed("no decoder configuration")),
        },
    };
    let mut found = Found {
        codec,
        init,
        params: Params::Other,
        visual: Visual::default(),
        payload: Payload::AsIs,
        frame: 0,
    };
    match codec {
        Codec::Ac3 => f.channels = find(b"dac3").and_then(|p| ac3_channels(&p.body)).unwrap_or(f.channels),
        Codec::Eac3 => f.channels = find(b"dec3").and_then(|p| eac3_channels(&p.body)).unwrap_or(f.channels),
        Codec::Alaw | Codec::Ulaw => {
            f.bits = 8;
            found.frame = f.channels.into();
        }
        Codec::Pcm | Codec::PcmFloat => {
            let swap = pcm(part, &mut f, &mut found.codec, find(b"pcmC").as_ref(), find(b"enda").as_ref())?;
            if swap {
                found.payload = Payload::Swap(f.bits);
            }
            found.frame = u32::from(f.channels) * u32::from(f.bits / 8);
        }
        // The field says nothing of use for what is compressed.
        _ => f.bits = 16,
    }
    found.params = Params::Audio { rate: f.rate, channels: f.channels, bits: f.bits };
    Ok(Some(found))
}

/// Size and order of PCM; true when it isn't in the canonical form.
fn pcm(
    part: &Part,
    f: &mut Fields,
    codec: &mut Codec,
    config: Option<&Part>,
    enda: Option<&Part>,
) -> Result<bool, ErrorKind> {
    let little = enda.is_some_and(|p| p.body.get(1).is_some_and(|b| b & 1 == 1));
    let (bits, little, unsigned) = match &part.kind {
        b"sowt" => (f.bits, true, false),
        b"in24" => (24, little, false),
        b"in32" | b"fl32" => (32, little, false),
        b"fl64" => (64, little, false),
        b"raw " | b"NONE" => (f.bits, false, f.bits == 8),
        b"ipcm" | b"fpcm" => match config.and_then(|p| p.body.get(4..6)) {
            Some([flags, bits]) => ((*bits).into(), flags & 1 == 1, false),
            _ => return Err(ErrorKind::Malformed("no PCM configuration")),
        },
        b"lpcm" => {
            let flags = f.flags.unwrap_or(2);
            if flags & 1 == 1 {
                *codec = Codec::PcmFloat;
            }
            (f.bits, flags & 2 == 0, flags & 5 == 0 && f.bits == 8)
        }
        _ => (f.bits, false, false),
    };
    f.bits = bits;
    match bits {
        8 => Ok(unsigned),
        16 | 24 | 32 | 64 => Ok(little),
        _ => Err(ErrorKind::Unsupported("bits of PCM")),
    }
}

/// Channels by acmod and lfeon (ETSI TS 102 366 §4.4.2.3).
fn channels(mode: u32, lfe: bool) -> u16 {
    let full = match mode {
        1 => 1,
        0 | 2 => 2,
        3 | 4 => 3,
        5 | 6 => 4,
        _ => 5,
    };
    full + u16::from(lfe)
}

/// Of `dac3` (ETSI TS 102 366 §F.4).
fn ac3_channels(b: &[u8]) -> Option<u16> {
    let mut r = BitReader::new(b);
    r.skip(10).ok()?;
    Some(channels(r.bits(3).ok()?, r.flag().ok()?))
}

/// Of `dec3` (ETSI TS 102 366 §F.6): the first programme with what its dependent streams add.
fn eac3_channels(b: &[u8]) -> Option<u16> {
    let mut r = BitReader::new(b);
    r.skip(16 + 12).ok()?;
    let base = channels(r.bits(3).ok()?, r.flag().ok()?);
    r.skip(3).ok()?;
    let dependent = r.bits(4).ok()?;
    // Bits 0, 1, 4, 5 and 6 stand for pairs of loudspeakers.
    let more = if dependent > 0 { r.bits(9).ok()? } else { 0 };
    let pairs = more & 0b0_0111_0011;
    Some(base + (more.count_ones() + pairs.count_ones()) as u16)
}
