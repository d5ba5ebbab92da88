//! VP8 (RFC 7741) and VP9 (RFC 9628): what is before the frame's data, and where frames begin and end.
//!
//! Layers of VP9 are not taken apart: a picture is all its layers one behind another, as they came.

use super::{Depacketize, Out, Piece, limits};
use bytes::BytesMut;
use mist_core::codec::CodecError;

/// Which descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Vp8,
    Vp9,
}

/// Puts frames together.
#[derive(Debug)]
pub(super) struct Vpx {
    coding: Coding,
    open: Option<i64>,
    data: BytesMut,
}

impl Vpx {
    pub(super) fn new(coding: Coding) -> Self {
        Self { coding, open: None, data: BytesMut::new() }
    }
}

/// Bytes of the payload descriptor, and whether a frame begins behind it.
fn vp8(payload: &[u8]) -> Option<(usize, bool)> {
    let flags = *payload.first()?;
    let mut at = 1;
    if flags & 0x80 != 0 {
        let more = *payload.get(at)?;
        at += 1;
        if more & 0x80 != 0 {
            at += if payload.get(at)? & 0x80 != 0 { 2 } else { 1 };
        }
        at += usize::from(more & 0x40 != 0) + usize::from(more & 0x30 != 0);
    }
    Some((at, flags & 0x10 != 0 && flags & 7 == 0))
}

/// Bytes of the payload descriptor, and whether a frame of a layer begins behind it.
fn vp9(payload: &[u8]) -> Option<(usize, bool)> {
    let flags = *payload.first()?;
    let flexible = flags & 0x10 != 0;
    let mut at = 1;
    if flags & 0x80 != 0 {
        at += if payload.get(at)? & 0x80 != 0 { 2 } else { 1 };
    }
    if flags & 0x20 != 0 {
        at += if flexible { 1 } else { 2 };
    }
    if flexible && flags & 0x40 != 0 {
        // Up to three references, each saying whether another follows.
        for _ in 0..3 {
            let reference = *payload.get(at)?;
            at += 1;
            if reference & 1 == 0 {
                break;
            }
        }
    }
    if flags & 2 != 0 {
        let structure = *payload.get(at)?;
        at += 1;
        if structure & 0x10 != 0 {
            at += (usize::from(structure >> 5) + 1) * 4;
        }
        if structure & 8 != 0 {
            let pictures = *payload.get(at)?;
            at += 1;
            for _ in 0..pictures {
                at += 1 + usize::from(*payload.get(at)? >> 2 & 3);
            }
        }
    }
    Some((at, flags & 8 != 0))
}

impl Depacketize for Vpx {
    fn push(&mut self, piece: Piece<'_>, out: &mut Out) -> Result<(), CodecError> {
        let Piece { payload, marker, time, lost } = piece;
        if lost {
            self.open = None;
        } else if let Some(before) = self.open.filter(|t| *t != time) {
            // The marker that ends it never came, but nothing else is missing.
            self.open = None;
            out.frame(before, self.data.split().freeze());
        }
        let read = match self.coding {
            Coding::Vp8 => vp8(payload),
            Coding::Vp9 => vp9(payload),
        };
        let body = read.and_then(|(at, begins)| Some((payload.get(at..)?, begins)));
        let Some((body, begins)) = body else {
            self.open = None;
            return Err(CodecError::truncated("payload descriptor"));
        };
        if self.open.is_none() {
            if !begins {
                // Of a frame whose beginning is missing.
                return Ok(());
            }
            self.data.clear();
            self.open = Some(time);
        }
        if self.data.len() + body.len() > limits::UNIT {
            self.open = None;
            return Err(CodecError::limit("bytes of an access unit in RTP"));
        }
        self.data.extend_from_slice(body);
        if marker && self.open.take().is_some() {
            out.frame(time, self.data.split().freeze());
        }
        Ok(())
    }

    fn end(&mut self, out: &mut Out) {
        if let Some(time) = self.open.take() {
            out.frame(time, self.data.split().freeze());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Run;
    use super::*;

    #[test]
    fn frames_of_vp8() {
        let mut r = Run::new(Vpx::new(Coding::Vp8));
        r.push(&[0x90, 0xf0, 0x80, 1, 2, 3, 7], false, 1).unwrap();
        r.push(&[0x80, 0x80, 1, 8], true, 1).unwrap();
        assert_eq!(r.take(), [(1, vec![7, 8])]);
        // A hole; its rest; a frame without a marker.
        r.push(&[0x10, 7], false, 2).unwrap();
        r.lost().push(&[0, 8], false, 2).unwrap();
        r.push(&[0, 9], true, 2).unwrap();
        r.push(&[0x10, 5], false, 3).unwrap();
        r.push(&[0x10, 6], false, 4).unwrap();
        r.end();
        assert_eq!(r.take(), [(3, vec![5]), (4, vec![6])]);
        for bad in [&[][..], &[0x90], &[0x90, 0x80], &[0x90, 0xf0, 0x80, 1]] {
            assert!(r.push(bad, true, 5).is_err());
        }
    }

    #[test]
    fn frames_of_vp9() {
        let mut r = Run::new(Vpx::new(Coding::Vp9));
        // Picture id, layers, a scalability structure with a size and one picture of two references.
        r.push(&[0xaa, 0x81, 2, 1, 2, 0x18, 1, 2, 3, 4, 1, 0x08, 5, 6, 7], false, 1).unwrap();
        r.push(&[0x84, 3, 8], true, 1).unwrap();
        assert_eq!(r.take(), [(1, vec![7, 8])]);
        r.push(&[0x58, 3, 4, 9], true, 2).unwrap();
        assert_eq!(r.take(), [(2, vec![9])]);
        for bad in [&[][..], &[0x80], &[0x8a, 1], &[0x8a, 1, 0x08, 9, 4], &[0x8a, 1, 0xf0, 0]] {
            assert!(r.push(bad, true, 5).is_err(), "{bad:?}");
        }
    }
}
