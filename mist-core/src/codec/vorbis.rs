//! Vorbis: identification header (Vorbis I §4.2.2), what the setup header (§4.2.4) says of block sizes, and the
//! three headers in one piece, Xiph-laced.

use super::CodecError;
use super::limits::{MAX_HEADER_LEN, MAX_RATE};
use super::vorbis_setup;
use crate::media::Params;
use bytes::{BufMut, Bytes, BytesMut};

/// Identification header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identification {
    /// Channels.
    pub channels: u8,
    /// Samples a second.
    pub rate: u32,
    /// Nominal bits a second; 0 or below unknown.
    pub bit_rate: i32,
    /// Samples of a short and a long block.
    pub blocks: (u16, u16),
}

impl Identification {
    /// Parses the first of the three header packets.
    ///
    /// # Errors
    /// It is another packet, has no channels, a rate out of range or block sizes against the rules, or ends early.
    pub fn parse(packet: &[u8]) -> Result<Self, CodecError> {
        let Some(b) = packet.strip_prefix(b"\x01vorbis") else {
            return Err(CodecError::malformed("Vorbis identification header"));
        };
        let Some(
            &[
                v0,
                v1,
                v2,
                v3,
                channels,
                r0,
                r1,
                r2,
                r3,
                _,
                _,
                _,
                _,
                n0,
                n1,
                n2,
                n3,
                _,
                _,
                _,
                _,
                blocks,
                framing,
            ],
        ) = b.first_chunk()
        else {
            return Err(CodecError::truncated("Vorbis identification header"));
        };
        let rate = u32::from_le_bytes([r0, r1, r2, r3]);
        let (short, long) = (blocks & 15, blocks >> 4);
        if [v0, v1, v2, v3] != [0; 4] {
            return Err(CodecError::unsupported("Vorbis version"));
        }
        if channels == 0 || rate == 0 || framing & 1 == 0 {
            return Err(CodecError::malformed("Vorbis identification header"));
        }
        if !(6..=13).contains(&short) || !(short..=13).contains(&long) {
            return Err(CodecError::malformed("Vorbis block sizes"));
        }
        if rate > MAX_RATE {
            return Err(CodecError::limit("sample rate"));
        }
        let bit_rate = i32::from_le_bytes([n0, n1, n2, n3]);
        Ok(Self { channels, rate, bit_rate, blocks: (1 << short, 1 << long) })
    }

    /// What players need to know.
    pub fn params(&self) -> Params {
        Params::Audio { rate: self.rate, channels: self.channels.into(), bits: 16 }
    }
}

/// How packets follow from each other in time: the size of a packet's block is in its mode, and the modes are at the
/// end of the setup header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocks {
    sizes: (u16, u16),
    /// For each mode, whether its blocks are long.
    long: Vec<bool>,
    /// Bits of a mode's number in a packet.
    mode_bits: u32,
    /// Block of the packet before.
    last: Option<u16>,
}

impl Blocks {
    /// From the identification header and the setup header packet.
    ///
    /// # Errors
    /// The setup header is another packet, breaks a rule, or ends early.
    pub fn parse(id: &Identification, setup: &[u8]) -> Result<Self, CodecError> {
        let long = vorbis_setup::modes(setup, id.channels)?;
        let mode_bits = long.len().saturating_sub(1).checked_ilog2().map_or(0, |n| n + 1);
        Ok(Self { sizes: id.blocks, long, mode_bits, last: None })
    }

    /// Samples by which a packet takes the decoder forward: a quarter of its block and of the one before. The first
    /// one is counted as if one of its own size came before it, though decoders give nothing for it. 0 for what is no
    /// audio packet.
    pub fn samples(&mut self, packet: &[u8]) -> u32 {
        let Some(&first) = packet.first() else { return 0 };
        let mode = usize::from((first >> 1) & ((1u16 << self.mode_bits) - 1) as u8);
        let Some(&long) = self.long.get(mode).filter(|_| first & 1 == 0) else { return 0 };
        let (short_block, long_block) = self.sizes;
        let block = if long { long_block } else { short_block };
        // Long blocks say what came before them, which is right also behind a hole.
        let told = match first >> (1 + self.mode_bits) & 1 {
            _ if !long => None,
            0 => Some(short_block),
            _ => Some(long_block),
        };
        let before = told.or(self.last).unwrap_or(block);
        self.last = Some(block);
        (u32::from(before) + u32::from(block)) / 4
    }

    /// Forgets the packet before, where one is missing.
    pub fn reset(&mut self) {
        self.last = None;
    }
}

/// Joins the three header packets of Vorbis or Theora as Matroska does: a count, sizes in Xiph lacing, packets.
pub fn join_headers(headers: [&[u8]; 3]) -> Bytes {
    let [a, b, c] = headers;
    let total = a.len().saturating_add(b.len()).saturating_add(c.len());
    let mut out = BytesMut::with_capacity(total.saturating_add(total / 255 + 8));
    out.put_u8(2);
    for n in [a.len(), b.len()] {
        out.put_bytes(255, n / 255);
        out.put_u8((n % 255) as u8);
    }
    headers.into_iter().for_each(|h| out.put_slice(h));
    out.freeze()
}

/// Splits what [`join_headers`] joins.
///
/// # Errors
/// There aren't three packets, or the sizes exceed the data or the limit of 16 times [`MAX_HEADER_LEN`].
pub fn split_headers(data: &[u8]) -> Result<[&[u8]; 3], CodecError> {
    let end = CodecError::truncated("Xiph lacing");
    let (&count, mut at) = data.split_first().ok_or(end)?;
    if count != 2 {
        return Err(CodecError::malformed("Xiph lacing count"));
    }
    let mut sizes = [0usize; 2];
    for s in &mut sizes {
        loop {
            let (&b, rest) = at.split_first().ok_or(end)?;
            at = rest;
            *s += usize::from(b);
            if *s > MAX_HEADER_LEN * 16 {
                return Err(CodecError::limit("Xiph header length"));
            }
            if b != 255 {
                break;
            }
        }
    }
    let (a, rest) = at.split_at_checked(sizes[0]).ok_or(end)?;
    let (b, c) = rest.split_at_checked(sizes[1]).ok_or(end)?;
    Ok([a, b, c])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn identification() {
        let mut p = b"\x01vorbis\0\0\0\0\x02\x44\xac\0\0\0\0\0\0\0\xf4\x01\0\0\0\0\0\xb8\x01".to_vec();
        let h = Identification::parse(&p).unwrap();
        assert_eq!((h.channels, h.rate, h.bit_rate, h.blocks), (2, 44_100, 128_000, (256, 2048)));
        (0..p.len()).for_each(|n| assert!(Identification::parse(&p[..n]).is_err()));
        p[28] = 0x8b;
        assert!(Identification::parse(&p).is_err(), "short block longer than long");
    }

    #[test]
    fn lacing_has_a_limit() {
        let mut d = vec![255; MAX_HEADER_LEN];
        d[0] = 2;
        assert!(split_headers(&d).is_err());
        assert!(split_headers(&[2, 5, 5, 1]).is_err());
    }

    proptest! {
        #[test]
        fn lacing_round_trips(a in 0usize..600, b in 0usize..600, c in 0usize..10) {
            let v = [vec![1u8; a], vec![2u8; b], vec![3u8; c]];
            let j = join_headers([&v[0], &v[1], &v[2]]);
            prop_assert_eq!(split_headers(&j).unwrap(), [&v[0][..], &v[1], &v[2]]);
        }

        #[test]
        fn any_bytes(v in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = split_headers(&v);
            let mut d = b"\x01vorbis\0\0\0\0".to_vec();
            d.extend(&v);
            let _ = Identification::parse(&d);
        }
    }
}
