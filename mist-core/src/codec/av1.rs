//! AV1: open bit stream units and the sequence header (AV1 specification §5.3 to §5.5), `av1C` (AV1 in ISO BMFF
//! §2.3).
//!
//! Not handled: frame headers beyond their type.

use super::limits::MAX_NALS;
use super::{CodecError, fpks, h264::cropped};
use crate::bits::BitReader;
use crate::media::Params;
use bytes::{BufMut, Bytes, BytesMut};

/// Types of open bit stream units.
pub mod kind {
    /// Sequence header.
    pub const SEQUENCE: u8 = 1;
    /// Temporal delimiter.
    pub const DELIMITER: u8 = 2;
    /// Frame header.
    pub const FRAME_HEADER: u8 = 3;
    /// Metadata.
    pub const METADATA: u8 = 5;
    /// Frame header and tiles together.
    pub const FRAME: u8 = 6;
    /// Tile list.
    pub const TILE_LIST: u8 = 8;
    /// Padding.
    pub const PADDING: u8 = 15;
}

/// One open bit stream unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Obu<'a> {
    /// Its type.
    pub kind: u8,
    /// The extension byte with temporal and spatial layer.
    pub extension: Option<u8>,
    /// Its payload.
    pub data: &'a [u8],
    /// It has a size of its own.
    pub sized: bool,
}

fn leb128(at: &mut &[u8]) -> Option<usize> {
    let mut v = 0u64;
    for i in 0..8 {
        let (&b, rest) = at.split_first()?;
        *at = rest;
        v |= u64::from(b & 0x7f) << (7 * i);
        if b & 0x80 == 0 {
            return usize::try_from(v).ok().filter(|&v| u32::try_from(v).is_ok());
        }
    }
    None
}

fn put_leb128(out: &mut BytesMut, mut v: usize) {
    while v > 0x7f {
        out.put_u8(v as u8 | 0x80);
        v >>= 7;
    }
    out.put_u8(v as u8);
}

/// Iterates over the units of a temporal unit. One without a size ends with the data.
pub fn obus(data: &[u8]) -> Obus<'_> {
    Obus { rest: data, count: 0 }
}

/// See [`obus`].
#[derive(Debug, Clone)]
pub struct Obus<'a> {
    rest: &'a [u8],
    count: usize,
}

impl<'a> Obus<'a> {
    /// What was not iterated: empty at the end of well-formed data.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Obus<'a> {
    type Item = Obu<'a>;

    fn next(&mut self) -> Option<Obu<'a>> {
        if self.count >= MAX_NALS {
            return None;
        }
        self.count += 1;
        let (&head, mut at) = self.rest.split_first()?;
        if head & 0x80 != 0 {
            return None;
        }
        let extension = match head & 4 {
            0 => None,
            _ => {
                let (&e, rest) = at.split_first()?;
                at = rest;
                Some(e)
            }
        };
        let sized = head & 2 != 0;
        let len = if sized { leb128(&mut at)? } else { at.len() };
        let (data, rest) = at.split_at_checked(len)?;
        self.rest = rest;
        Some(Obu { kind: (head >> 3) & 15, extension, data, sized })
    }
}

impl Obu<'_> {
    /// Appends the unit with a size.
    pub fn put(&self, out: &mut BytesMut) {
        let ext = u8::from(self.extension.is_some());
        out.put_u8((self.kind << 3) | (ext << 2) | 2);
        if let Some(e) = self.extension {
            out.put_u8(e);
        }
        put_leb128(out, self.data.len());
        out.put_slice(self.data);
    }
}

/// A temporal unit in mist's canonical form: every unit has a size, no temporal delimiters, tile lists or padding.
/// Without a change to make, `data` is returned as it is, or sliced.
///
/// # Errors
/// A unit exceeds the data, or there are too many.
pub fn canonical(data: Bytes) -> Result<Bytes, CodecError> {
    let unwanted = |k: u8| matches!(k, kind::DELIMITER | kind::TILE_LIST | kind::PADDING);
    // Nearly always the only change is the delimiter of 2 bytes in front.
    let data = if data.starts_with(&[0x12, 0]) { data.slice(2..) } else { data };
    let mut it = obus(&data);
    let mut change = false;
    for o in it.by_ref() {
        change |= unwanted(o.kind) || !o.sized;
    }
    if !it.rest().is_empty() {
        return Err(CodecError::malformed("OBU size"));
    }
    if !change {
        return Ok(data);
    }
    let mut out = BytesMut::with_capacity(data.len().saturating_add(8));
    obus(&data).filter(|o| !unwanted(o.kind)).for_each(|o| o.put(&mut out));
    Ok(out.freeze())
}

/// Sequence header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sequence {
    /// seq_profile: 0 Main, 1 High, 2 Professional.
    pub profile: u8,
    /// seq_level_idx of the first operating point.
    pub level: u8,
    /// High tier.
    pub high_tier: bool,
    /// 8, 10 or 12.
    pub bit_depth: u8,
    /// No chroma.
    pub mono: bool,
    /// Chroma is halved horizontally.
    pub subsampling_x: bool,
    /// Chroma is halved vertically.
    pub subsampling_y: bool,
    /// chroma_sample_position.
    pub chroma_position: u8,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Frames per 1000 seconds where frames are equally spaced, else 0.
    pub fpks: u32,
    /// A still picture with a reduced header.
    pub reduced_still: bool,
}

fn uvlc(r: &mut BitReader<'_>) -> Result<u32, CodecError> {
    Ok(r.ue()?)
}

impl Sequence {
    /// Parses the payload of a sequence header unit.
    ///
    /// # Errors
    /// It ends early or has values out of range.
    pub fn parse(data: &[u8]) -> Result<Self, CodecError> {
        let r = &mut BitReader::new(data);
        let mut s = Self { profile: r.bits(3)? as u8, ..Self::default() };
        if s.profile > 2 {
            return Err(CodecError::unsupported("AV1 profile"));
        }
        r.skip(1)?;
        s.reduced_still = r.flag()?;
        if s.reduced_still {
            s.level = r.bits(5)? as u8;
        } else {
            s.operating_points(r)?;
        }
        let (w_bits, h_bits) = (r.bits(4)? + 1, r.bits(4)? + 1);
        s.width = cropped(u64::from(r.bits(w_bits)?) + 1, 0, "AV1 width")?;
        s.height = cropped(u64::from(r.bits(h_bits)?) + 1, 0, "AV1 height")?;
        if !s.reduced_still && r.flag()? {
            r.skip(7)?;
        }
        r.skip(3)?;
        if !s.reduced_still {
            r.skip(4)?;
            let order_hint = r.flag()?;
            if order_hint {
                r.skip(2)?;
            }
            let force_screen = if r.flag()? { 2 } else { r.bits(1)? };
            if force_screen > 0 && !r.flag()? {
                r.skip(1)?;
            }
            if order_hint {
                r.skip(3)?;
            }
        }
        r.skip(3)?;
        s.color(r)?;
        Ok(s)
    }

    fn operating_points(&mut self, r: &mut BitReader<'_>) -> Result<(), CodecError> {
        let mut model_bits = None;
        if r.flag()? {
            let (tick, scale) = (r.bits(32)?, r.bits(32)?);
            if r.flag()? {
                let per_picture = u64::from(uvlc(r)?) + 1;
                self.fpks = fpks(scale, u64::from(tick).saturating_mul(per_picture));
            }
            if r.flag()? {
                model_bits = Some(r.bits(5)? + 1);
                r.skip(32 + 5 + 5)?;
            }
        }
        let initial_delay = r.flag()?;
        let count = r.bits(5)?;
        for i in 0..=count {
            r.skip(12)?;
            let level = r.bits(5)? as u8;
            let tier = level > 7 && r.flag()?;
            if let Some(n) = model_bits
                && r.flag()?
            {
                r.skip(n as usize * 2 + 1)?;
            }
            if initial_delay && r.flag()? {
                r.skip(4)?;
            }
            if i == 0 {
                (self.level, self.high_tier) = (level, tier);
            }
        }
        Ok(())
    }

    fn color(&mut self, r: &mut BitReader<'_>) -> Result<(), CodecError> {
        let high = r.flag()?;
        self.bit_depth = match (self.profile, high) {
            (2, true) => {
                if r.flag()? {
                    12
                } else {
                    10
                }
            }
            (_, true) => 10,
            (_, false) => 8,
        };
        self.mono = self.profile != 1 && r.flag()?;
        let mut rgb = false;
        if r.flag()? {
            rgb = r.bits(24)? == 0x01_0d_00;
        }
        (self.subsampling_x, self.subsampling_y) = (true, true);
        if self.mono {
            r.skip(1)?;
            return Ok(());
        }
        if rgb {
            (self.subsampling_x, self.subsampling_y) = (false, false);
            return Ok(());
        }
        r.skip(1)?;
        (self.subsampling_x, self.subsampling_y) = match (self.profile, self.bit_depth) {
            (0, _) => (true, true),
            (1, _) => (false, false),
            (_, 12) => {
                let x = r.flag()?;
                (x, x && r.flag()?)
            }
            _ => (true, false),
        };
        if self.subsampling_x && self.subsampling_y {
            self.chroma_position = r.bits(2)? as u8;
        }
        Ok(())
    }

    /// Finds and parses the first sequence header in a temporal unit.
    ///
    /// # Errors
    /// There is none, or it is broken.
    pub fn find(unit: &[u8]) -> Result<Self, CodecError> {
        let o = obus(unit).find(|o| o.kind == kind::SEQUENCE);
        Self::parse(o.ok_or(CodecError::truncated("no sequence header"))?.data)
    }

    /// What players need to know.
    pub const fn params(&self) -> Params {
        Params::Video { width: self.width, height: self.height, fpks: self.fpks }
    }
}

/// Configuration record, the body of an `av1C` box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Av1c {
    /// What the four bytes of head say of the sequence; size and rate come from `obus`, 0 without.
    pub sequence: Sequence,
    /// initial_presentation_delay_minus_one, where given.
    pub delay: Option<u8>,
    /// The sequence header unit and metadata units, with sizes.
    pub obus: Bytes,
}

impl Av1c {
    /// Parses the record.
    ///
    /// # Errors
    /// Another version, or it ends early.
    pub fn parse(data: &Bytes) -> Result<Self, CodecError> {
        let Some((head, rest)) = data.split_first_chunk::<4>() else {
            return Err(CodecError::truncated("av1C"));
        };
        if head[0] != 0x81 {
            return Err(CodecError::malformed("av1C version"));
        }
        let r = &mut BitReader::new(head);
        r.skip(8)?;
        let said = Sequence {
            profile: r.bits(3)? as u8,
            level: r.bits(5)? as u8,
            high_tier: r.flag()?,
            bit_depth: match (r.flag()?, r.flag()?) {
                (false, _) => 8,
                (true, false) => 10,
                (true, true) => 12,
            },
            mono: r.flag()?,
            subsampling_x: r.flag()?,
            subsampling_y: r.flag()?,
            chroma_position: r.bits(2)? as u8,
            ..Sequence::default()
        };
        r.skip(3)?;
        let delay = if r.flag()? { Some(r.bits(4)? as u8) } else { None };
        let obus = data.slice_ref(rest);
        Ok(Self { sequence: Sequence::find(&obus).unwrap_or(said), delay, obus })
    }

    /// The record for a temporal unit with a sequence header.
    ///
    /// # Errors
    /// There is no readable sequence header.
    pub fn from_unit(unit: &[u8]) -> Result<Self, CodecError> {
        let o = obus(unit).find(|o| o.kind == kind::SEQUENCE);
        let o = o.ok_or(CodecError::truncated("no sequence header"))?;
        let sequence = Sequence::parse(o.data)?;
        let mut out = BytesMut::new();
        o.put(&mut out);
        Ok(Self { sequence, delay: None, obus: out.freeze() })
    }

    /// Writes the record.
    pub fn build(&self) -> Bytes {
        let s = &self.sequence;
        let mut out = BytesMut::with_capacity(4 + self.obus.len());
        out.put_u8(0x81);
        out.put_u8((s.profile << 5) | (s.level & 0x1f));
        let flags =
            [s.high_tier, s.bit_depth > 8, s.bit_depth > 10, s.mono, s.subsampling_x, s.subsampling_y];
        let bits = flags.iter().fold(0, |v, &f| (v << 1) | u8::from(f));
        out.put_u8((bits << 2) | (s.chroma_position & 3));
        out.put_u8(self.delay.map_or(0, |d| 0x10 | (d & 15)));
        out.put_slice(&self.obus);
        out.freeze()
    }
}

/// Whether decoding can start at a temporal unit: its first frame is a key frame that is shown.
pub fn is_key(unit: &[u8]) -> bool {
    let mut reduced = false;
    for o in obus(unit) {
        match o.kind {
            kind::SEQUENCE => reduced = Sequence::parse(o.data).is_ok_and(|s| s.reduced_still),
            kind::FRAME | kind::FRAME_HEADER => {
                // show_existing_frame 0, frame_type 0, show_frame 1.
                return reduced || o.data.first().is_some_and(|b| b & 0xf0 == 0x10);
            }
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// av1C of a 1920×1080 film by libaom.
    const AV1C: &[u8] = &[0x81, 8, 0x0c, 0, 0x0a, 0x0b, 0, 0, 0, 0x42, 0xab, 0xbf, 0xc3, 0x71, 0xab, 0xe6, 1];

    #[test]
    fn real_record() {
        let b = Bytes::from_static(AV1C);
        let c = Av1c::parse(&b).unwrap();
        assert_eq!(
            (c.sequence.width, c.sequence.height, c.sequence.bit_depth, c.sequence.level),
            (1920, 1080, 8, 8)
        );
        assert_eq!(c.build(), b);
        assert_eq!(Av1c::from_unit(&c.obus).unwrap().build(), b);
        (0..4).for_each(|n| assert!(Av1c::parse(&b.slice(..n)).is_err()));
        (0..11).for_each(|n| assert!(Sequence::parse(&AV1C[6..6 + n]).is_err() || n > 9));
    }

    #[test]
    fn canonical_has_sizes_and_no_delimiters() {
        let unit = Bytes::from_static(&[0x12, 0, 0x0a, 1, 7, 0x30, 0x10, 5, 6]);
        let c = canonical(unit.clone()).unwrap();
        assert_eq!(c, [0x0a, 1, 7, 0x32, 3, 0x10, 5, 6][..]);
        assert_eq!(canonical(c.clone()).unwrap().as_ptr(), c.as_ptr());
        assert!(is_key(&c) && is_key(&unit));
        assert!(!is_key(&[0x32, 1, 0x30]));
        assert!(canonical(Bytes::from_static(&[0x32, 9, 1])).is_err());
        assert!(
            canonical(Bytes::from_static(&[0x32, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff])).is_err()
        );
    }

    proptest! {
        #[test]
        fn any_bytes(v in prop::collection::vec(any::<u8>(), 0..60)) {
            let b = Bytes::from(v);
            let _ = Sequence::parse(&b);
            is_key(&b);
            if let Ok(c) = canonical(b.clone()) {
                prop_assert_eq!(canonical(c.clone()).unwrap(), c);
            }
            if let Ok(c) = Av1c::parse(&b) {
                prop_assert_eq!(Av1c::parse(&c.build()).unwrap(), c);
            }
        }
    }
}
