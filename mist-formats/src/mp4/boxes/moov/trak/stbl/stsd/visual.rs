//! Sample entries of video (ISO/IEC 14496-12 §12.1.3) and the boxes in them: configurations, `pasp`, `colr`.

use super::{Found, Payload, esds};
use crate::mp4::boxes::{Part, Reader};
use crate::mp4::codecs;
use bytes::Bytes;
use mist_core::codec::Codec;
use mist_core::format::ErrorKind;
use mist_core::media::{Colour, Params, Visual};

/// Bytes before the boxes in it.
const HEAD: usize = 78;

/// Reads one; without a codec its `esds` has to name one.
pub(super) fn read(part: &Part, known: Option<Codec>) -> Result<Option<Found>, ErrorKind> {
    let mut r = Reader(&part.body);
    let size = r.take(24).and_then(|_| Some((r.u16()?, r.u16()?)));
    let (width, height) = size.ok_or(ErrorKind::Malformed("sample entry"))?;
    let config = |kind: &[u8; 4]| part.find(HEAD, kind).map_or_else(Bytes::new, |p| p.body);
    let (codec, init) = match known {
        Some(Codec::H264) => (Codec::H264, config(b"avcC")),
        Some(Codec::Hevc) => (Codec::Hevc, config(b"hvcC")),
        Some(Codec::Av1) => (Codec::Av1, config(b"av1C")),
        Some(Codec::Vp9) => (Codec::Vp9, config(b"vpcC")),
        Some(codec) => (codec, Bytes::new()),
        None => {
            let found = part.find(HEAD, b"esds").and_then(|p| esds::read(&p));
            let e = found.ok_or(ErrorKind::Malformed("no decoder configuration"))?;
            let Some(codec) = codecs::of_object_type(e.object_type) else { return Ok(None) };
            (codec, e.init)
        }
    };
    let mut visual = Visual::default();
    for p in part.parts(HEAD) {
        match &p.kind {
            b"pasp" => visual.sar = pasp(&p).unwrap_or_default(),
            b"colr" => visual.colour = visual.colour.or_else(|| colr(&p)),
            _ => {}
        }
    }
    let payload = match codec {
        Codec::H264 | Codec::Hevc | Codec::Av1 => Payload::Units(4),
        _ => Payload::AsIs,
    };
    let params = Params::Video { width: width.into(), height: height.into(), fpks: 0 };
    Ok(Some(Found { codec, init, params, visual, payload, frame: 0 }))
}

/// Pixel aspect ratio (ISO/IEC 14496-12 §12.1.4).
fn pasp(part: &Part) -> Option<(u32, u32)> {
    let mut r = Reader(&part.body);
    let sar = (r.u32()?, r.u32()?);
    (sar.0 > 0 && sar.1 > 0).then_some(sar)
}

/// Colour (ISO/IEC 14496-12 §12.1.5), also in QuickTime's older form; profiles are left out.
fn colr(part: &Part) -> Option<Colour> {
    let mut r = Reader(&part.body);
    let kind = r.fourcc()?;
    if !matches!(&kind, b"nclx" | b"nclc") {
        return None;
    }
    let (primaries, transfer, matrix) = (r.u16()?, r.u16()?, r.u16()?);
    let full_range = &kind == b"nclx" && r.u8()? & 0x80 != 0;
    Some(Colour { primaries, transfer, matrix, full_range })
}
