//! LATM and LOAS: AAC in MPEG-4's own multiplex, as DVB broadcasts it (ISO/IEC 14496-3 §1.7).
//!
//! Not handled: several programs or layers, the frame lengths of CELP and HVXC.

use super::CodecError;
use super::aac::Asc;
use crate::bits::{BitReader, BitWriter};
use bytes::Bytes;
use smallvec::SmallVec;

/// Bytes of AudioSpecificConfig that are looked at.
const MAX_ASC: usize = 512;

/// Bytes before the AudioMuxElement in a LOAS frame.
pub const LOAS_HEADER: usize = 3;

/// The length of a LOAS frame (AudioSyncStream), header included.
///
/// # Errors
/// No sync word 0x2B7, or fewer than 3 bytes.
pub fn loas_frame_len(data: &[u8]) -> Result<usize, CodecError> {
    match data {
        [a, b, c, ..] if *a == 0x56 && b & 0xe0 == 0xe0 => {
            Ok(LOAS_HEADER + ((usize::from(b & 0x1f) << 8) | usize::from(*c)))
        }
        [_, _, _, ..] => Err(CodecError::malformed("LOAS sync word")),
        _ => Err(CodecError::truncated("LOAS header")),
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Mux {
    asc: Asc,
    init: Bytes,
    /// 1 to 64.
    subframes: usize,
    /// Bytes of every frame, where it is fixed.
    frame_len: Option<usize>,
    other_data_bits: usize,
}

/// Takes AAC frames out of AudioMuxElements, remembering the configuration between them.
#[derive(Debug, Default, Clone)]
pub struct Latm {
    mux: Option<Mux>,
}

/// LatmGetValue() of §1.7.3.2.
fn value(r: &mut BitReader<'_>) -> Result<u32, CodecError> {
    let n = r.bits(2)? + 1;
    Ok(r.bits(n * 8)?)
}

impl Latm {
    /// Without a configuration.
    pub const fn new() -> Self {
        Self { mux: None }
    }

    /// The configuration, once an element had it.
    pub fn asc(&self) -> Option<&Asc> {
        self.mux.as_ref().map(|m| &m.asc)
    }

    /// The configuration's bytes: the init data of the AAC track.
    pub fn init(&self) -> Option<&Bytes> {
        self.mux.as_ref().map(|m| &m.init)
    }

    /// The raw AAC frames of a LOAS frame.
    ///
    /// # Errors
    /// As [`Self::element`], or no sync word, or it is shorter than it says.
    pub fn loas(&mut self, frame: &[u8]) -> Result<SmallVec<[Bytes; 1]>, CodecError> {
        let len = loas_frame_len(frame)?;
        let element = frame.get(LOAS_HEADER..len).ok_or(CodecError::truncated("LOAS frame"))?;
        self.element(element)
    }

    /// The raw AAC frames of an AudioMuxElement with in-band configuration (muxConfigPresent 1). Before the first
    /// configuration there are none.
    ///
    /// # Errors
    /// It ends early or uses what isn't handled; the configuration is kept.
    pub fn element(&mut self, element: &[u8]) -> Result<SmallVec<[Bytes; 1]>, CodecError> {
        let r = &mut BitReader::new(element);
        if !r.flag()? {
            let mux = Mux::read(r, element)?;
            self.mux = Some(mux);
        }
        self.frames(r)
    }

    /// With a configuration that is given apart (StreamMuxConfig), as SDP gives it.
    ///
    /// # Errors
    /// It ends early or uses what isn't handled.
    pub fn configured(config: &[u8]) -> Result<Self, CodecError> {
        Ok(Self { mux: Some(Mux::read(&mut BitReader::new(config), config)?) })
    }

    /// The raw AAC frames of an AudioMuxElement without configuration (muxConfigPresent 0).
    ///
    /// # Errors
    /// It ends early.
    pub fn bare_element(&self, element: &[u8]) -> Result<SmallVec<[Bytes; 1]>, CodecError> {
        self.frames(&mut BitReader::new(element))
    }

    fn frames(&self, r: &mut BitReader<'_>) -> Result<SmallVec<[Bytes; 1]>, CodecError> {
        let Some(mux) = &self.mux else { return Ok(SmallVec::new()) };
        let mut out = SmallVec::new();
        for _ in 0..mux.subframes {
            let len = match mux.frame_len {
                Some(n) => n,
                None => {
                    let mut n = 0usize;
                    loop {
                        let b = r.byte()?;
                        n += usize::from(b);
                        if b != 255 {
                            break n;
                        }
                    }
                }
            };
            out.push(r.copy_bytes(len)?.into());
        }
        r.skip(mux.other_data_bits)?;
        Ok(out)
    }
}

impl Mux {
    fn read(r: &mut BitReader<'_>, element: &[u8]) -> Result<Self, CodecError> {
        let version = r.flag()?;
        if version && r.flag()? {
            return Err(CodecError::unsupported("audioMuxVersionA 1"));
        }
        if version {
            value(r)?;
        }
        let same_timing = r.flag()?;
        let subframes = r.bits(6)? as usize + 1;
        let (programs, layers) = (r.bits(4)?, r.bits(3)?);
        if programs != 0 || layers != 0 || !same_timing {
            return Err(CodecError::unsupported("LATM with several programs or layers"));
        }
        let said = if version { Some(value(r)? as usize) } else { None };
        let (asc, init, used) = read_asc(*r, said)?;
        r.skip(used)?;
        let frame_len = match r.bits(3)? {
            0 => {
                r.skip(8)?;
                None
            }
            1 => Some(r.bits(9)? as usize + 20),
            _ => return Err(CodecError::unsupported("LATM frame length type")),
        };
        let mut other_data_bits = 0usize;
        if r.flag()? {
            if version {
                other_data_bits = value(r)? as usize;
            } else {
                loop {
                    let more = r.flag()?;
                    other_data_bits = (other_data_bits << 8) | usize::from(r.byte()?);
                    if other_data_bits > element.len() * 8 {
                        return Err(CodecError::truncated("LATM other data"));
                    }
                    if !more {
                        break;
                    }
                }
            }
        }
        if r.flag()? {
            r.skip(8)?;
        }
        Ok(Self { asc, init, subframes, frame_len, other_data_bits })
    }
}

/// Reads the AudioSpecificConfig at `r`: it, its bytes, and the bits that it takes. It is moved to a byte boundary
/// first, because alignment inside counts from its own start.
fn read_asc(mut r: BitReader<'_>, said: Option<usize>) -> Result<(Asc, Bytes, usize), CodecError> {
    let room = r.left().min(MAX_ASC * 8);
    let bits = match said {
        Some(n) if n > r.left() => return Err(CodecError::truncated("LATM configuration")),
        Some(n) => n.min(room),
        None => room,
    };
    let mut moved = BitWriter::new();
    let mut left = bits;
    while left > 0 {
        let n = left.min(64);
        moved.bits(r.bits64(n as u32)?, n as u32);
        left -= n;
    }
    let moved = moved.finish();
    let mut asc_bits = BitReader::new(&moved);
    let asc = Asc::read(&mut asc_bits, said.is_some())?;
    let used = said.unwrap_or(asc_bits.position());
    let init = moved.slice(..moved.len().min(used.div_ceil(8)));
    let mut init = init.to_vec();
    // The last byte may hold bits of what follows.
    if let (Some(last), tail @ 1..) = (init.last_mut(), used % 8) {
        *last &= 0xffu8 << (8 - tail);
    }
    Ok((asc, init.into(), used))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn element(version: bool, config: bool, fixed: bool, frames: &[&[u8]]) -> Bytes {
        let mut w = BitWriter::new();
        w.flag(!config);
        if config {
            w.flag(version);
            if version {
                w.flag(false);
                w.bits(0, 2);
                w.bits(0xff, 8);
            }
            w.flag(true);
            w.bits(frames.len() as u64 - 1, 6);
            w.bits(0, 7);
            if version {
                w.bits(0, 2);
                w.bits(37, 8);
                w.bits(0x13_1056_e598 >> 3, 37);
            } else {
                w.bits(0x1310, 16);
            }
            if fixed {
                w.bits(1, 3);
                w.bits(frames[0].len() as u64 - 20, 9);
            } else {
                w.bits(0, 3);
                w.bits(0xff, 8);
            }
            w.flag(false);
            w.flag(true);
            w.bits(0xab, 8);
        }
        for f in frames {
            if !fixed {
                let mut n = f.len();
                while n >= 255 {
                    w.bits(255, 8);
                    n -= 255;
                }
                w.bits(n as u64, 8);
            }
            f.iter().for_each(|&b| w.bits(b.into(), 8));
        }
        w.finish()
    }

    #[test]
    fn takes_frames_out_of_every_form() {
        let (a, b) = (vec![0xa5; 300], vec![0x3c; 300]);
        for version in [false, true] {
            for fixed in [false, true] {
                let mut l = Latm::new();
                let later = element(version, false, fixed, &[&a, &b]);
                assert!(l.element(&later).unwrap().is_empty(), "no configuration yet");
                let e = element(version, true, fixed, &[&a, &b]);
                for n in 0..e.len() - 1 {
                    assert!(Latm::new().element(&e[..n]).is_err());
                }
                assert_eq!(l.element(&e).unwrap()[..], [&a[..], &b[..]]);
                assert_eq!(l.element(&later).unwrap()[..], [&a[..], &b[..]]);
                let asc = l.asc().unwrap();
                assert_eq!((asc.rate, asc.channels()), (24_000, 2));
                assert_eq!(asc.output_rate(), if version { 48_000 } else { 24_000 });
                let want: &[u8] = if version { &[0x13, 0x10, 0x56, 0xe5, 0x98] } else { &[0x13, 0x10] };
                assert_eq!(l.init().unwrap(), want);
                assert_eq!(Asc::parse(want).unwrap(), *asc);
            }
        }
    }

    #[test]
    fn loas_frames_have_a_length() {
        let e = element(false, true, false, &[&[1, 2, 3]]);
        let mut f = vec![0x56, 0xe0, e.len() as u8];
        f.extend_from_slice(&e);
        assert_eq!(loas_frame_len(&f).unwrap(), f.len());
        assert_eq!(Latm::new().loas(&f).unwrap()[0], [1, 2, 3][..]);
        assert!(Latm::new().loas(&f[..f.len() - 1]).is_err());
        assert!(loas_frame_len(&[0x56, 0]).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes(v in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut l = Latm::new();
            let _ = l.element(&v);
            let _ = l.loas(&v);
            let mut c = vec![0x20, 0, 0x11, 0x90, 0x3f];
            c.extend(&v);
            let _ = l.element(&c);
        }
    }
}
