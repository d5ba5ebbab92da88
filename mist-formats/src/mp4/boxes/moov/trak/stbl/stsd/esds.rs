//! `esds`: MPEG-4's elementary stream descriptor (ISO/IEC 14496-1 §7.2.6.5, 14496-14 §5.6).

use crate::mp4::boxes::{Part, Reader};
use bytes::Bytes;

/// What matters of it.
pub(super) struct Esds {
    /// Object type: the codec.
    pub(super) object_type: u8,
    /// DecoderSpecificInfo: init data.
    pub(super) init: Bytes,
}

/// A descriptor's tag and body; the body is cut where it reaches beyond what is there.
fn descriptor<'a>(r: &mut Reader<'a>) -> Option<(u8, Reader<'a>)> {
    let tag = r.u8()?;
    let mut len = 0usize;
    for _ in 0..4 {
        let b = r.u8()?;
        len = len << 7 | usize::from(b & 0x7f);
        if b & 0x80 == 0 {
            break;
        }
    }
    let body = r.take(len.min(r.0.len()))?;
    Some((tag, Reader(body)))
}

/// Reads it.
pub(super) fn read(part: &Part) -> Option<Esds> {
    let mut r = Reader(&part.body);
    r.full()?;
    let mut config = None;
    while let Some((tag, mut body)) = descriptor(&mut r) {
        match tag {
            3 => {
                body.u16()?;
                let flags = body.u8()?;
                if flags & 0x80 != 0 {
                    body.u16()?;
                }
                if flags & 0x40 != 0 {
                    let len = body.u8()?;
                    body.take(len.into())?;
                }
                if flags & 0x20 != 0 {
                    body.u16()?;
                }
                r = body;
            }
            4 => {
                config = Some(body);
                break;
            }
            _ => {}
        }
    }
    let mut config = config?;
    let object_type = config.u8()?;
    config.take(12)?;
    while let Some((tag, body)) = descriptor(&mut config) {
        if tag == 5 {
            return Some(Esds { object_type, init: part.body.slice_ref(body.0) });
        }
    }
    Some(Esds { object_type, init: Bytes::new() })
}
