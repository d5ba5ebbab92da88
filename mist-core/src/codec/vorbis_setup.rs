//! The setup header of Vorbis (Vorbis I §4.2.4), walked through to the modes at its end.

use super::CodecError;
use super::limits::MAX_HEADER_LEN;

const END: CodecError = CodecError::truncated("Vorbis setup header");
const BAD: CodecError = CodecError::malformed("Vorbis setup header");

/// Reads bits least significant first, as Vorbis packs them.
struct Bits<'a> {
    data: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    /// Up to 32 bits.
    fn take(&mut self, n: u32) -> Result<u32, CodecError> {
        let (mut v, mut have) = (0u64, 0u32);
        while have < n {
            let byte = u64::from(*self.data.get(self.at / 8).ok_or(END)?);
            let skip = (self.at % 8) as u32;
            let some = (8 - skip).min(n - have);
            v |= (byte >> skip & ((1 << some) - 1)) << have;
            have += some;
            self.at += some as usize;
        }
        Ok(v as u32)
    }

    fn flag(&mut self) -> Result<bool, CodecError> {
        self.take(1).map(|v| v != 0)
    }

    fn skip(&mut self, bits: u64) -> Result<(), CodecError> {
        let left = (self.data.len() as u64 * 8).saturating_sub(self.at as u64);
        if bits > left {
            return Err(END);
        }
        self.at += bits as usize;
        Ok(())
    }
}

/// Bits that it takes to write `v`.
fn ilog(v: u32) -> u32 {
    u32::BITS - v.leading_zeros()
}

/// The largest number whose `dimensions`th power isn't over `entries`.
fn lookup1_values(entries: u32, dimensions: u32) -> u32 {
    let fits = |v: u32| {
        let mut n = 1u64;
        (0..dimensions).all(|_| {
            n = n.saturating_mul(v.into());
            // Beyond 32 bits nothing but 0 and 1 comes back.
            n <= entries.into() && (v < 2 || n > 0)
        })
    };
    match dimensions {
        0 => 0,
        1 => entries,
        // 2 to the 24th entries at most.
        32.. => u32::from(entries > 0),
        _ => (1..=4096).take_while(|&v| fits(v)).last().unwrap_or(0),
    }
}

fn codebook(r: &mut Bits<'_>) -> Result<(), CodecError> {
    if r.take(24)? != 0x56_4342 {
        return Err(CodecError::malformed("Vorbis codebook"));
    }
    let (dimensions, entries) = (r.take(16)?, r.take(24)?);
    if r.flag()? {
        r.take(5)?;
        let mut done = 0u32;
        while done < entries {
            // Each round takes a bit at least, or comes to the end.
            let bits = ilog(entries - done);
            let n = r.take(bits)?;
            done = done.saturating_add(n);
            if done > entries {
                return Err(CodecError::malformed("Vorbis codebook"));
            }
        }
    } else if r.flag()? {
        for _ in 0..entries {
            if r.flag()? {
                r.take(5)?;
            }
        }
    } else {
        r.skip(u64::from(entries) * 5)?;
    }
    let lookup = r.take(4)?;
    if lookup == 0 {
        return Ok(());
    }
    r.skip(64)?;
    let bits = r.take(4)? + 1;
    r.take(1)?;
    let values = match lookup {
        1 => lookup1_values(entries, dimensions).into(),
        2 => u64::from(entries) * u64::from(dimensions),
        _ => return Err(CodecError::malformed("Vorbis codebook lookup")),
    };
    r.skip(values * u64::from(bits))
}

fn floor(r: &mut Bits<'_>) -> Result<(), CodecError> {
    match r.take(16)? {
        0 => {
            r.skip(8 + 16 + 16 + 6 + 8)?;
            let books = r.take(4)? + 1;
            r.skip(u64::from(books) * 8)
        }
        1 => {
            let partitions = r.take(5)?;
            let mut classes = [0u8; 31];
            for class in classes.iter_mut().take(partitions as usize) {
                *class = r.take(4)? as u8;
            }
            let used = classes.iter().take(partitions as usize).max().map_or(0, |c| usize::from(*c) + 1);
            let mut dimensions = [0u32; 16];
            for d in dimensions.iter_mut().take(used) {
                *d = r.take(3)? + 1;
                let subclasses = r.take(2)?;
                if subclasses > 0 {
                    r.skip(8)?;
                }
                r.skip(8 << subclasses)?;
            }
            r.skip(2)?;
            let bits = r.take(4)?;
            let mut points = 0;
            for class in classes.iter().take(partitions as usize) {
                points += dimensions.get(usize::from(*class)).copied().unwrap_or(0);
            }
            r.skip(u64::from(points) * u64::from(bits))
        }
        _ => Err(CodecError::malformed("Vorbis floor")),
    }
}

fn residue(r: &mut Bits<'_>) -> Result<(), CodecError> {
    if r.take(16)? > 2 {
        return Err(CodecError::malformed("Vorbis residue"));
    }
    r.skip(24 * 3)?;
    let classes = r.take(6)? + 1;
    r.skip(8)?;
    let mut books = 0;
    for _ in 0..classes {
        let low = r.take(3)?;
        let high = if r.flag()? { r.take(5)? } else { 0 };
        books += (high << 3 | low).count_ones();
    }
    r.skip(u64::from(books) * 8)
}

fn mapping(r: &mut Bits<'_>, channels: u8) -> Result<(), CodecError> {
    if r.take(16)? != 0 {
        return Err(CodecError::malformed("Vorbis mapping"));
    }
    let submaps = if r.flag()? { r.take(4)? + 1 } else { 1 };
    if r.flag()? {
        let steps = r.take(8)? + 1;
        let bits = ilog(u32::from(channels.saturating_sub(1)));
        r.skip(u64::from(steps) * u64::from(bits) * 2)?;
    }
    if r.take(2)? != 0 {
        return Err(CodecError::malformed("Vorbis mapping"));
    }
    if submaps > 1 {
        r.skip(u64::from(channels) * 4)?;
    }
    r.skip(u64::from(submaps) * 24)
}

/// For each mode, whether its blocks are long.
pub(super) fn modes(packet: &[u8], channels: u8) -> Result<Vec<bool>, CodecError> {
    let Some(data) = packet.strip_prefix(b"\x05vorbis") else { return Err(BAD) };
    if data.len() > MAX_HEADER_LEN {
        return Err(CodecError::limit("Vorbis setup header"));
    }
    let r = &mut Bits { data, at: 0 };
    for _ in 0..=r.take(8)? {
        codebook(r)?;
    }
    for _ in 0..=r.take(6)? {
        if r.take(16)? != 0 {
            return Err(CodecError::malformed("Vorbis time domain transform"));
        }
    }
    for _ in 0..=r.take(6)? {
        floor(r)?;
    }
    for _ in 0..=r.take(6)? {
        residue(r)?;
    }
    for _ in 0..=r.take(6)? {
        mapping(r, channels)?;
    }
    let modes = (0..=r.take(6)?).map(|_| {
        let long = r.flag()?;
        // Window and transform are 0 in all that exists; then the mapping.
        if r.take(32)? != 0 {
            return Err(CodecError::malformed("Vorbis mode"));
        }
        r.take(8)?;
        Ok(long)
    });
    let modes = modes.collect::<Result<Vec<_>, _>>()?;
    if r.flag()? { Ok(modes) } else { Err(CodecError::malformed("Vorbis framing bit")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Writes bits least significant first.
    #[derive(Default)]
    struct Put(Vec<bool>);

    impl Put {
        fn bits(&mut self, v: u64, n: u32) -> &mut Self {
            self.0.extend((0..n).map(|i| v.checked_shr(i).is_some_and(|v| v & 1 != 0)));
            self
        }

        fn packet(&self) -> Vec<u8> {
            let byte = |b: &[bool]| b.iter().enumerate().fold(0u8, |v, (i, b)| v | u8::from(*b) << i);
            b"\x05vorbis".iter().copied().chain(self.0.chunks(8).map(byte)).collect()
        }
    }

    /// One of each thing that the header can hold.
    fn sample() -> Vec<u8> {
        let mut p = Put::default();
        p.bits(3, 8);
        // plain lengths, no lookup
        p.bits(0x56_4342, 24).bits(2, 16).bits(3, 24).bits(0, 2).bits(0x1234, 15).bits(0, 4);
        // ordered lengths, lookup 1: 10 entries of 2 dimensions have 3 values
        p.bits(0x56_4342, 24).bits(2, 16).bits(10, 24).bits(1, 1).bits(1, 5).bits(4, 4).bits(6, 3);
        p.bits(1, 4).bits(0, 64).bits(6, 4).bits(0, 1).bits(0x1f_ffff, 21);
        // sparse lengths, lookup 2: 2 entries of 3 dimensions
        p.bits(0x56_4342, 24).bits(3, 16).bits(2, 24).bits(2, 2).bits(0, 1).bits(1 | 7 << 1, 6);
        p.bits(2, 4).bits(0, 64).bits(0, 4).bits(1, 1).bits(0x3f, 6);
        p.bits(0x56_4342, 24).bits(1, 16).bits(1, 24).bits(0, 2).bits(1, 5).bits(0, 4);
        p.bits(0, 6).bits(0, 16);
        p.bits(1, 6);
        p.bits(0, 16).bits(0, 54).bits(1, 4).bits(0xffff, 16);
        // two partitions of class 1, which has 2 dimensions and 2 subclasses
        p.bits(1, 16).bits(2, 5).bits(1, 4).bits(1, 4);
        p.bits(0, 3).bits(0, 2).bits(9, 8).bits(1, 3).bits(1, 2).bits(3, 8).bits(0xffff, 16);
        p.bits(0, 2).bits(5, 4).bits(0xf_ffff, 20);
        p.bits(0, 6).bits(2, 16).bits(0, 72).bits(1, 6).bits(0, 8).bits(3, 3).bits(0, 1);
        p.bits(0, 3).bits(1, 1).bits(16, 5).bits(0xff_ffff, 24);
        p.bits(0, 6).bits(0, 16).bits(1, 1).bits(1, 4).bits(1, 1).bits(0, 8).bits(3, 2).bits(0, 2);
        p.bits(0xff, 8).bits(0, 48);
        p.bits(2, 6);
        for long in [0, 1, 1] {
            p.bits(long, 1).bits(0, 32).bits(0, 8);
        }
        p.bits(1, 1);
        p.packet()
    }

    #[test]
    fn every_part_of_the_header() {
        let s = sample();
        assert_eq!(modes(&s, 2), Ok(vec![false, true, true]));
        (0..s.len()).for_each(|n| assert!(modes(&s[..n], 2).is_err(), "cut at {n}"));
        assert!(modes(&[b"\x05vorbis".to_vec(), vec![0; MAX_HEADER_LEN + 1]].concat(), 2).is_err());
        assert_eq!(lookup1_values(10, 2), 3);
        assert_eq!(lookup1_values(9, 2), 3);
        assert_eq!(lookup1_values(8, 3), 2);
        assert_eq!(lookup1_values(1 << 23, 2), 2896);
        assert_eq!((lookup1_values(5, 0), lookup1_values(0, 2), lookup1_values(7, 40)), (0, 0, 1));
    }

    proptest! {
        #[test]
        fn damaged(hits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
            let mut s = sample();
            for (i, v) in hits {
                let n = s.len();
                s[7 + i.index(n - 7)] = v;
            }
            let _ = modes(&s, 2);
        }
    }
}
