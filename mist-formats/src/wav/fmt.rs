//! The `fmt ` chunk: `WAVEFORMATEX` both ways.

use super::limits;
use mist_core::codec::{Codec, limits::MAX_RATE};
use mist_core::format::ErrorKind;
use mist_core::media::{Params, TrackInfo};

/// The last 14 bytes of a sub-format that stands for a plain format tag (KSDATAFORMAT_SUBTYPE).
const SUBTYPE: [u8; 14] = [0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71];
/// The same for Ambisonics in B-format.
const AMBISONIC: [u8; 14] = [0, 0, 0x21, 0x07, 0xd3, 0x11, 0x86, 0x44, 0xc8, 0xc1, 0xca, 0, 0, 0];

const PCM: u16 = 1;
const FLOAT: u16 = 3;
const ALAW: u16 = 6;
const ULAW: u16 = 7;
const MPEG: u16 = 0x50;
const MP3: u16 = 0x55;
const AC3: u16 = 0x2000;
const EXTENSIBLE: u16 = 0xfffe;

/// Bytes a second where nothing says how many: 128 kbit/s.
const USUAL_BYTE_RATE: u32 = 16_000;

/// What is in the data chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Format {
    pub(super) codec: Codec,
    pub(super) rate: u32,
    pub(super) channels: u16,
    /// Bits of a sample as it is stored; 16 for compressed codecs.
    pub(super) bits: u16,
    /// Bytes of one sample of all channels; 0 for compressed codecs.
    pub(super) block: usize,
}

/// Whether samples lie side by side, so that data can be cut anywhere between them.
pub(super) const fn is_samples(codec: Codec) -> bool {
    matches!(codec, Codec::Pcm | Codec::PcmFloat | Codec::Alaw | Codec::Ulaw)
}

fn u16_at(d: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*d.get(at..)?.first_chunk()?))
}

impl Format {
    /// Reads a chunk's body, of which the first [`limits::FMT`] bytes are enough.
    pub(super) fn parse(d: &[u8]) -> Result<Self, ErrorKind> {
        let short = ErrorKind::Malformed("chunk too short");
        let (Some(tag), Some(channels), Some(block)) = (u16_at(d, 0), u16_at(d, 2), u16_at(d, 12)) else {
            return Err(short);
        };
        let rate = u32::from_le_bytes(*d.get(4..).and_then(<[u8]>::first_chunk).ok_or(short)?);
        // The field came with PCM; the first compressed formats had none.
        let bits = u16_at(d, 14).unwrap_or(0);
        let tag = match tag {
            EXTENSIBLE => {
                let sub = d.get(24..).and_then(<[u8]>::first_chunk::<16>).ok_or(short)?;
                let [t0, t1, base @ ..] = *sub;
                if base != SUBTYPE && base != AMBISONIC {
                    return Err(ErrorKind::Unsupported("sub-format"));
                }
                u16::from_le_bytes([t0, t1])
            }
            tag => tag,
        };
        if channels == 0 {
            return Err(ErrorKind::Malformed("no channels"));
        }
        if rate == 0 {
            return Err(ErrorKind::Malformed("sample rate 0"));
        }
        if rate > MAX_RATE {
            return Err(ErrorKind::Limit("sample rate"));
        }
        let codec = match tag {
            PCM => Codec::Pcm,
            FLOAT => Codec::PcmFloat,
            ALAW => Codec::Alaw,
            ULAW => Codec::Ulaw,
            MPEG => Codec::Mp2,
            MP3 => Codec::Mp3,
            AC3 => Codec::Ac3,
            _ => return Err(ErrorKind::Unsupported("format tag")),
        };
        if !is_samples(codec) {
            return Ok(Self { codec, rate, channels, bits: 16, block: 0 });
        }
        // A sample of fewer bits than its bytes hold is aligned to the left: its size is that of its bytes.
        let bytes = match block {
            0 => bits.div_ceil(8),
            b if b % channels == 0 => b / channels,
            _ => return Err(ErrorKind::Malformed("block size isn't a whole number of samples")),
        };
        let known = match codec {
            Codec::Pcm => matches!(bytes, 1 | 2 | 3 | 4 | 8),
            Codec::PcmFloat => matches!(bytes, 4 | 8),
            _ => bytes == 1,
        };
        if !known {
            return Err(ErrorKind::Unsupported("sample size"));
        }
        let block = usize::from(bytes) * usize::from(channels);
        Ok(Self { codec, rate, channels, bits: bytes * 8, block })
    }

    /// Of a track that is to be written.
    pub(super) fn of(info: &TrackInfo) -> Result<Self, ErrorKind> {
        let Params::Audio { rate, channels, bits } = info.params else {
            return Err(ErrorKind::Unsupported("track that isn't audio"));
        };
        let bits = match info.codec {
            Codec::Alaw | Codec::Ulaw => 8,
            _ => bits,
        };
        let mut f = Self { codec: info.codec, rate, channels, bits, block: 0 };
        let known = match info.codec {
            Codec::Pcm => matches!(bits, 8 | 16 | 24 | 32 | 64),
            Codec::PcmFloat => matches!(bits, 32 | 64),
            Codec::Alaw | Codec::Ulaw | Codec::Mp3 | Codec::Mp2 => true,
            _ => return Err(ErrorKind::Unsupported("codec")),
        };
        if !known {
            return Err(ErrorKind::Unsupported("sample size"));
        }
        if rate == 0 || channels == 0 {
            return Err(ErrorKind::Unsupported("track without sample rate or channels"));
        }
        if is_samples(info.codec) {
            f.block = usize::from(channels) * usize::from(bits / 8);
        }
        if f.block > usize::from(u16::MAX) {
            return Err(ErrorKind::Limit("channels"));
        }
        Ok(f)
    }

    /// What players need to know.
    pub(super) const fn params(&self) -> Params {
        Params::Audio { rate: self.rate, channels: self.channels, bits: self.bits }
    }

    /// Samples a channel in a packet: about 20 ms.
    pub(super) fn packet_samples(&self) -> usize {
        let most = limits::PACKET.checked_div(self.block).unwrap_or(0);
        ((self.rate / 50) as usize).min(most).max(1)
    }

    /// Bytes a second, of compressed codecs as far as anybody knows.
    pub(super) fn byte_rate(&self, known: Option<u32>) -> u32 {
        let exact = self.rate.checked_mul(self.block as u32).filter(|r| *r > 0);
        exact.or(known).unwrap_or(USUAL_BYTE_RATE)
    }

    /// Where [`Self::byte_rate`] stands in the body.
    pub(super) const BYTE_RATE_AT: usize = 8;

    /// The body of the chunk.
    pub(super) fn build(&self, known_byte_rate: Option<u32>) -> Vec<u8> {
        let tag = match self.codec {
            Codec::Pcm => PCM,
            Codec::PcmFloat => FLOAT,
            Codec::Alaw => ALAW,
            Codec::Ulaw => ULAW,
            Codec::Mp2 => MPEG,
            _ => MP3,
        };
        let samples = is_samples(self.codec);
        // What Microsoft asks for: plain tags can't say which speakers are meant, and PCM's stops at 16 bits.
        let extensible = samples && (self.channels > 2 || (self.codec == Codec::Pcm && self.bits > 16));
        let mut d = Vec::with_capacity(limits::FMT);
        let word = |d: &mut Vec<u8>, v: u16| d.extend_from_slice(&v.to_le_bytes());
        let long = |d: &mut Vec<u8>, v: u32| d.extend_from_slice(&v.to_le_bytes());
        word(&mut d, if extensible { EXTENSIBLE } else { tag });
        word(&mut d, self.channels);
        long(&mut d, self.rate);
        long(&mut d, self.byte_rate(known_byte_rate));
        word(&mut d, if samples { self.block as u16 } else { 1 });
        word(&mut d, if samples { self.bits } else { 0 });
        if extensible {
            word(&mut d, 22);
            word(&mut d, self.bits);
            long(&mut d, speakers(self.channels));
            word(&mut d, tag);
            d.extend_from_slice(&SUBTYPE);
            return d;
        }
        match self.codec {
            Codec::Pcm => {}
            // MPEGLAYER3WAVEFORMAT: an ID, frames padded as needed, one frame a block, no delay.
            Codec::Mp3 => {
                word(&mut d, 12);
                word(&mut d, 1);
                long(&mut d, 0);
                word(&mut d, 1152);
                word(&mut d, 1);
                word(&mut d, 0);
            }
            // MPEG1WAVEFORMAT: layer II, no rate, any mode, no extension, no emphasis, MPEG-1, no time.
            Codec::Mp2 => {
                word(&mut d, 22);
                word(&mut d, 2);
                long(&mut d, known_byte_rate.unwrap_or(0).saturating_mul(8));
                word(&mut d, if self.channels == 1 { 8 } else { 1 });
                word(&mut d, 0);
                word(&mut d, 1);
                word(&mut d, 0x10);
                long(&mut d, 0);
                long(&mut d, 0);
            }
            _ => word(&mut d, 0),
        }
        d
    }
}

/// The usual speakers for a number of channels; 0 leaves it open.
const fn speakers(channels: u16) -> u32 {
    match channels {
        1 => 0x4,
        2 => 0x3,
        3 => 0x7,
        4 => 0x33,
        5 => 0x37,
        6 => 0x3f,
        7 => 0x13f,
        8 => 0x63f,
        _ => 0,
    }
}

/// Length of the ID3v2 tag at the start of `head`, with its header and footer; `None` where none is.
pub(super) fn id3_len(head: &[u8]) -> Option<u64> {
    let &[b'I', b'D', b'3', major, _, flags, a, b, c, d] = head.first_chunk::<10>()? else { return None };
    if major == 0xff || [a, b, c, d].iter().any(|x| *x >= 0x80) {
        return None;
    }
    let size = [a, b, c, d].iter().fold(0u64, |n, x| n << 7 | u64::from(*x));
    Some(size + 10 + if flags & 0x10 != 0 { 10 } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use mist_core::media::TrackId;

    #[test]
    fn what_is_written_reads_back() {
        for codec in [Codec::Pcm, Codec::PcmFloat, Codec::Alaw, Codec::Ulaw, Codec::Mp3, Codec::Mp2] {
            for channels in [1, 2, 3, 6, 8, 12] {
                for bits in [8, 16, 24, 32, 64] {
                    let params = Params::Audio { rate: 48_000, channels, bits };
                    let Ok(f) = Format::of(&TrackInfo::new(TrackId(1), codec, Bytes::new(), params)) else {
                        assert!(codec == Codec::PcmFloat && bits < 32, "{codec:?} {bits}");
                        continue;
                    };
                    let body = f.build(None);
                    assert!(body.len() <= limits::FMT);
                    let back = Format::parse(&body).unwrap();
                    let bits = if is_samples(codec) { f.bits } else { 16 };
                    assert_eq!(back, Format { bits, ..f }, "{codec:?} {channels} {bits}");
                }
            }
        }
    }

    #[test]
    fn hostile_fields() {
        let body = |tag: u16, channels: u16, rate: u32, block: u16, bits: u16| {
            let mut d = tag.to_le_bytes().to_vec();
            d.extend_from_slice(&channels.to_le_bytes());
            d.extend_from_slice(&rate.to_le_bytes());
            d.extend_from_slice(&[0; 4]);
            d.extend_from_slice(&block.to_le_bytes());
            d.extend_from_slice(&bits.to_le_bytes());
            d
        };
        let kind = |d: &[u8]| Format::parse(d).unwrap_err();
        assert_eq!(kind(&body(1, 0, 8000, 2, 16)), ErrorKind::Malformed("no channels"));
        assert_eq!(kind(&body(1, 1, 0, 2, 16)), ErrorKind::Malformed("sample rate 0"));
        assert_eq!(kind(&body(1, 1, MAX_RATE + 1, 2, 16)), ErrorKind::Limit("sample rate"));
        assert!(Format::parse(&body(1, 1, MAX_RATE, 2, 16)).is_ok());
        assert!(matches!(kind(&body(1, 2, 8000, 3, 16)), ErrorKind::Malformed(_)));
        assert!(matches!(kind(&body(0xffff, 1, 8000, 2, 16)), ErrorKind::Unsupported("format tag")));
        assert!(matches!(kind(&body(EXTENSIBLE, 1, 8000, 2, 16)), ErrorKind::Malformed(_)));
        // Block size 0 is made up for; 12 bits lie in 2 bytes.
        let f = Format::parse(&body(1, 2, 8000, 0, 12)).unwrap();
        assert_eq!((f.block, f.bits), (4, 16));
        assert!(matches!(kind(&body(1, 2, 8000, 0, 0)), ErrorKind::Unsupported("sample size")));
        // The most that a packet can be.
        let f = Format::parse(&body(1, 21_845, MAX_RATE, 65_535, 24)).unwrap();
        assert_eq!(f.packet_samples(), 1);
        let f = Format::parse(&body(1, 8, MAX_RATE, 32, 32)).unwrap();
        assert_eq!(f.packet_samples() * f.block, limits::PACKET);
        let good = body(0x55, 2, 44_100, 1, 0);
        (0..14).for_each(|n| assert!(Format::parse(&good[..n]).is_err()));
        assert!(Format::parse(&good[..14]).is_ok());
    }
}
