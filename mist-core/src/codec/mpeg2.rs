//! MPEG-1 and MPEG-2 video: sequence and picture headers (ISO/IEC 13818-2 §6.2.2, §6.2.3; ISO/IEC 11172-2).

use super::h264::cropped;
use super::sei::{self, Captions};
use super::{CodecError, fpks};
use crate::bits::BitReader;
use crate::media::Params;
use memchr::memmem;

/// Start codes: the byte behind 00 00 01.
pub mod code {
    /// Picture header.
    pub const PICTURE: u8 = 0;
    /// User data.
    pub const USER_DATA: u8 = 0xb2;
    /// Sequence header.
    pub const SEQUENCE: u8 = 0xb3;
    /// Extension.
    pub const EXTENSION: u8 = 0xb5;
    /// Group of pictures header.
    pub const GOP: u8 = 0xb8;
}

/// How a picture is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PictureKind {
    /// Without other pictures.
    I,
    /// From an earlier one.
    P,
    /// From both sides.
    B,
}

/// A sequence header with its extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sequence {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Frames per 1000 seconds; 0 where it isn't given.
    pub fpks: u32,
    /// Display aspect ratio; (0, 0) means square samples.
    pub aspect: (u8, u8),
    /// Without the extension, which MPEG-2 always has.
    pub mpeg1: bool,
    /// profile_and_level_indication; 0 for MPEG-1.
    pub profile_level: u8,
    /// Frames only.
    pub progressive: bool,
}

const FRAME_RATES: [(u32, u32); 8] =
    [(24_000, 1001), (24, 1), (25, 1), (30_000, 1001), (30, 1), (50, 1), (60_000, 1001), (60, 1)];

/// The pieces behind start codes: position of the start code, code, and data to the end of the payload.
fn pieces(data: &[u8]) -> impl Iterator<Item = (usize, u8, &[u8])> {
    memmem::find_iter(data, &[0, 0, 1]).filter_map(move |i| {
        let (&code, rest) = data.get(i + 3..)?.split_first()?;
        Some((i, code, rest))
    })
}

impl Sequence {
    /// Finds and parses the first sequence header in `data`.
    ///
    /// # Errors
    /// There is none, it ends early, or its size is out of the limits.
    pub fn parse(data: &[u8]) -> Result<Self, CodecError> {
        let mut it = pieces(data);
        let Some((_, _, body)) = it.find(|p| p.1 == code::SEQUENCE) else {
            return Err(CodecError::truncated("no sequence header"));
        };
        let r = &mut BitReader::new(body);
        let (mut width, mut height) = (r.bits(12)?, r.bits(12)?);
        let (aspect, rate) = (r.bits(4)?, r.bits(4)?);
        let (mut num, mut den) = match (rate as usize).checked_sub(1).and_then(|i| FRAME_RATES.get(i)) {
            Some(&(n, d)) => (u64::from(n), u64::from(d)),
            None => (0, 1),
        };
        let (mut mpeg1, mut profile_level, mut progressive) = (true, 0, true);
        if let Some((_, code::EXTENSION, body)) = it.find(|p| p.1 != code::USER_DATA) {
            let r = &mut BitReader::new(body);
            if r.bits(4) == Ok(1) {
                mpeg1 = false;
                profile_level = r.byte()?;
                progressive = r.flag()?;
                r.skip(2)?;
                width |= r.bits(2)? << 12;
                height |= r.bits(2)? << 12;
                r.skip(12 + 1 + 8 + 1)?;
                num *= u64::from(r.bits(2)?) + 1;
                den *= u64::from(r.bits(5)?) + 1;
            }
        }
        Ok(Self {
            width: cropped(width.into(), 0, "sequence width")?,
            height: cropped(height.into(), 0, "sequence height")?,
            fpks: fpks(num as u32, den),
            aspect: match (mpeg1, aspect) {
                (false, 2) => (4, 3),
                (false, 3) => (16, 9),
                (false, 4) => (221, 100),
                _ => (0, 0),
            },
            mpeg1,
            profile_level,
            progressive,
        })
    }

    /// What players need to know.
    pub const fn params(&self) -> Params {
        Params::Video { width: self.width, height: self.height, fpks: self.fpks }
    }
}

/// The sequence header and its extensions in a payload: the init data of the track. `None` if there is none.
pub fn init(payload: &[u8]) -> Option<&[u8]> {
    let from = pieces(payload).find(|p| p.1 == code::SEQUENCE)?.0;
    let rest = payload.get(from..)?;
    let end = pieces(rest)
        .find(|p| matches!(p.1, code::PICTURE | code::GOP) || p.1 == code::USER_DATA)
        .map_or(rest.len(), |p| p.0);
    rest.get(..end)
}

/// How the first picture of a payload is coded; `None` if there is no picture.
pub fn picture(payload: &[u8]) -> Option<PictureKind> {
    let body = pieces(payload).find(|p| p.1 == code::PICTURE)?.2;
    let mut r = BitReader::new(body);
    r.skip(10).ok()?;
    match r.bits(3).ok()? {
        1 => Some(PictureKind::I),
        2 => Some(PictureKind::P),
        3 => Some(PictureKind::B),
        _ => None,
    }
}

/// Whether decoding can start at a payload: its first picture is an I picture.
pub fn is_key(payload: &[u8]) -> bool {
    picture(payload) == Some(PictureKind::I)
}

/// The closed captions in the user data before the picture's slices.
pub fn captions(payload: &[u8]) -> Captions {
    pieces(payload)
        .take_while(|p| !(1..=0xaf).contains(&p.1))
        .filter(|p| p.1 == code::USER_DATA)
        .fold(Captions::default(), |c, p| c.or(sei::atsc_captions(p.2)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEAD: &[u8] = &[
        0, 0, 1, 0xb3, 0x2d, 0x02, 0x40, 0x33, 0x24, 0x9f, 0x23, 0x81, 0, 0, 1, 0xb5, 0x14, 0x82, 0, 1, 0, 0,
        0, 0, 1, 0xb8, 0, 8, 0, 0, 0, 0, 1, 0, 0, 0x0f, 0xff, 0xf8,
    ];

    #[test]
    fn real_headers() {
        let s = Sequence::parse(HEAD).unwrap();
        assert_eq!((s.width, s.height, s.fpks, s.aspect, s.mpeg1), (720, 576, 25_000, (16, 9), false));
        assert_eq!((s.profile_level, s.progressive), (0x48, false));
        assert_eq!(init(HEAD).unwrap().len(), 22);
        assert!(is_key(HEAD));
        for n in 0..HEAD.len() {
            let _ = (Sequence::parse(&HEAD[..n]), init(&HEAD[..n]), picture(&HEAD[..n]));
        }
        assert!((0..8).all(|n| Sequence::parse(&HEAD[..n]).is_err()));
        assert!(Sequence::parse(&[0, 0, 1, 0xb3, 0, 0, 0, 0x33]).is_err(), "0x0");
    }

    proptest! {
        #[test]
        fn any_bytes(v in prop::collection::vec(prop::sample::select(&[0u8, 1, 0xb3, 0xb5, 0xb2, 0x14, 0xff][..]), 0..200)) {
            let _ = (Sequence::parse(&v), init(&v), picture(&v), captions(&v));
        }
    }
}
