//! Opus: `OpusHead` (RFC 7845 §5.1), packet durations (RFC 6716 §3.1), MP4's `dOps`, and the control header of
//! Opus in MPEG-TS.

use super::CodecError;
use crate::media::Params;
use crate::time::Duration;
use bytes::{BufMut, Bytes, BytesMut};

/// The clock of Opus: everything counts in samples at 48 kHz.
pub const RATE: u32 = 48_000;

/// Identification header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpusHead {
    /// Output channels.
    pub channels: u8,
    /// Samples at 48 kHz to discard at the start.
    pub pre_skip: u16,
    /// Sample rate of what was encoded, for information only.
    pub input_rate: u32,
    /// Gain to apply, in 1/256 dB.
    pub gain: i16,
    /// Channel mapping family.
    pub family: u8,
    /// For families other than 0: streams, coupled streams, and a byte a channel.
    pub mapping: Bytes,
}

/// (streams, coupled streams, mapping) of family 1 by number of channels (RFC 7845 §5.1.1.2).
const FAMILY_1: [&[u8]; 8] = [
    &[1, 0, 0],
    &[1, 1, 0, 1],
    &[2, 1, 0, 2, 1],
    &[2, 2, 0, 1, 2, 3],
    &[3, 2, 0, 4, 1, 2, 3],
    &[4, 2, 0, 4, 1, 2, 3, 5],
    &[4, 3, 0, 4, 1, 2, 3, 5, 6],
    &[5, 3, 0, 6, 1, 2, 3, 4, 5, 7],
];

impl OpusHead {
    /// For 1 to 8 channels in the usual order, as where a container only tells their number.
    ///
    /// # Errors
    /// Another number of channels.
    pub fn new(channels: u8, pre_skip: u16) -> Result<Self, CodecError> {
        let map = usize::from(channels).checked_sub(1).and_then(|i| FAMILY_1.get(i));
        let map = *map.ok_or(CodecError::unsupported("Opus channels"))?;
        let family = u8::from(channels > 2);
        let mapping = if family == 0 { Bytes::new() } else { Bytes::from_static(map) };
        Ok(Self { channels, pre_skip, input_rate: RATE, gain: 0, family, mapping })
    }

    /// Parses `OpusHead`.
    ///
    /// # Errors
    /// Another magic or major version, no channels, or it ends early.
    pub fn parse(data: &[u8]) -> Result<Self, CodecError> {
        let Some(body) = data.strip_prefix(b"OpusHead") else {
            return Err(CodecError::malformed("OpusHead magic"));
        };
        let Some((&[version, channels, s0, s1, r0, r1, r2, r3, g0, g1, family], tail)) =
            body.split_first_chunk()
        else {
            return Err(CodecError::truncated("OpusHead"));
        };
        if version & 0xf0 != 0 {
            return Err(CodecError::unsupported("OpusHead version"));
        }
        Self {
            channels,
            pre_skip: u16::from_le_bytes([s0, s1]),
            input_rate: u32::from_le_bytes([r0, r1, r2, r3]),
            gain: i16::from_le_bytes([g0, g1]),
            family,
            mapping: Bytes::new(),
        }
        .with_mapping(tail)
    }

    /// Parses the body of MP4's `dOps` box: the same in big-endian without magic.
    ///
    /// # Errors
    /// Another version, no channels, or it ends early.
    pub fn parse_dops(data: &[u8]) -> Result<Self, CodecError> {
        let Some((&[version, channels, s0, s1, r0, r1, r2, r3, g0, g1, family], tail)) =
            data.split_first_chunk()
        else {
            return Err(CodecError::truncated("dOps"));
        };
        if version != 0 {
            return Err(CodecError::unsupported("dOps version"));
        }
        Self {
            channels,
            pre_skip: u16::from_be_bytes([s0, s1]),
            input_rate: u32::from_be_bytes([r0, r1, r2, r3]),
            gain: i16::from_be_bytes([g0, g1]),
            family,
            mapping: Bytes::new(),
        }
        .with_mapping(tail)
    }

    fn with_mapping(mut self, tail: &[u8]) -> Result<Self, CodecError> {
        if self.channels == 0 || (self.family == 0 && self.channels > 2) {
            return Err(CodecError::malformed("Opus channels"));
        }
        if self.family != 0 {
            let map =
                tail.get(..2 + usize::from(self.channels)).ok_or(CodecError::truncated("Opus mapping"))?;
            self.mapping = Bytes::copy_from_slice(map);
        }
        Ok(self)
    }

    /// Writes `OpusHead`.
    pub fn build(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(19 + self.mapping.len());
        out.put_slice(b"OpusHead\x01");
        out.put_u8(self.channels);
        out.put_u16_le(self.pre_skip);
        out.put_u32_le(self.input_rate);
        out.put_i16_le(self.gain);
        out.put_u8(self.family);
        out.put_slice(&self.mapping);
        out.freeze()
    }

    /// Writes the body of `dOps`.
    pub fn build_dops(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(11 + self.mapping.len());
        out.put_slice(&[0, self.channels]);
        out.put_u16(self.pre_skip);
        out.put_u32(self.input_rate);
        out.put_i16(self.gain);
        out.put_u8(self.family);
        out.put_slice(&self.mapping);
        out.freeze()
    }

    /// What players need to know: the rate is always 48 kHz.
    pub fn params(&self) -> Params {
        Params::Audio { rate: RATE, channels: self.channels.into(), bits: 16 }
    }
}

/// Samples at 48 kHz of a packet; `None` for an empty one and for one over 120 ms, which is illegal.
pub fn packet_samples(packet: &[u8]) -> Option<u32> {
    let (&toc, rest) = packet.split_first()?;
    let frame = match toc >> 3 {
        c @ 0..=11 => *[480, 960, 1920, 2880].get(usize::from(c & 3))?,
        c @ 12..=15 => *[480, 960].get(usize::from(c & 1))?,
        c => 120 << (c & 3),
    };
    let n = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(rest.first()? & 0x3f),
    };
    let total: u32 = frame * n;
    (1..=5760).contains(&total).then_some(total)
}

/// How long a packet lasts.
pub fn packet_duration(packet: &[u8]) -> Option<Duration> {
    packet_samples(packet).map(|n| Duration::from_rate(n.into(), RATE))
}

/// Control header before an Opus packet in MPEG-TS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TsControl {
    /// Bytes of this header.
    pub len: usize,
    /// Bytes of the packet behind it.
    pub size: usize,
    /// Samples at 48 kHz to discard at its start.
    pub start_trim: u16,
    /// Samples at 48 kHz to discard at its end.
    pub end_trim: u16,
}

impl TsControl {
    /// Parses the header at the start of `data`.
    ///
    /// # Errors
    /// No sync word, or it ends early.
    pub fn parse(data: &[u8]) -> Result<Self, CodecError> {
        let end = CodecError::truncated("Opus control header");
        let Some((&[a, flags], _)) = data.split_first_chunk() else { return Err(end) };
        if a != 0x7f || flags & 0xe0 != 0xe0 {
            return Err(CodecError::malformed("Opus control header"));
        }
        let mut at = 2usize;
        let mut size = 0usize;
        loop {
            let b = *data.get(at).ok_or(end)?;
            at += 1;
            size += usize::from(b);
            if b != 255 {
                break;
            }
        }
        let mut trim = |on: bool| -> Result<u16, CodecError> {
            if !on {
                return Ok(0);
            }
            let v = data.get(at..).and_then(<[u8]>::first_chunk).ok_or(end)?;
            at += 2;
            Ok(u16::from_be_bytes(*v) & 0x1fff)
        };
        let (start_trim, end_trim) = (trim(flags & 0x10 != 0)?, trim(flags & 8 != 0)?);
        if flags & 4 != 0 {
            at += 1 + usize::from(*data.get(at).ok_or(end)?);
        }
        if at > data.len() {
            return Err(end);
        }
        Ok(Self { len: at, size, start_trim, end_trim })
    }

    /// Appends the header for a packet of `size` bytes, without trimming.
    pub fn put(out: &mut BytesMut, size: usize) {
        out.put_slice(&[0x7f, 0xe0]);
        out.put_bytes(255, size / 255);
        out.put_u8((size % 255) as u8);
    }
}

/// The packets of a PES payload, without their control headers; ends at the first byte that isn't one, and cuts
/// the last packet short where the data is.
pub fn ts_packets(payload: &Bytes) -> impl Iterator<Item = (TsControl, Bytes)> {
    let mut rest = payload.clone();
    std::iter::from_fn(move || {
        let c = TsControl::parse(&rest).ok()?;
        let _ = rest.split_to(c.len.min(rest.len()));
        let packet = rest.split_to(c.size.min(rest.len()));
        (!packet.is_empty()).then_some((c, packet))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn head_round_trips_in_both_forms() {
        for n in 1..=8 {
            let h = OpusHead { gain: -5, ..OpusHead::new(n, 312).unwrap() };
            let (a, b) = (h.build(), h.build_dops());
            assert_eq!((OpusHead::parse(&a), OpusHead::parse_dops(&b)), (Ok(h.clone()), Ok(h)));
            (0..a.len()).for_each(|i| assert!(OpusHead::parse(&a[..i]).is_err()));
            (0..b.len()).for_each(|i| assert!(OpusHead::parse_dops(&b[..i]).is_err()));
        }
        assert!(OpusHead::new(0, 0).is_err() && OpusHead::new(9, 0).is_err());
    }

    #[test]
    fn durations() {
        for (p, n) in [
            (&[0xfc, 1][..], Some(960)),
            (&[0x78], Some(960)),
            (&[0xe0], Some(120)),
            (&[0x1b, 2], Some(5760)),
            (&[0x1b, 3], None),
            (&[0xff, 0], None),
            (&[0xff], None),
            (&[], None),
        ] {
            assert_eq!(packet_samples(p), n, "{p:02x?}");
        }
    }

    #[test]
    fn ts_control_headers() {
        let mut out = BytesMut::new();
        for n in [1usize, 254, 255, 256, 600] {
            TsControl::put(&mut out, n);
            out.put_bytes(n as u8, n);
        }
        let all = out.freeze();
        let sizes: Vec<_> = ts_packets(&all).map(|(_, p)| p.len()).collect();
        assert_eq!(sizes, [1, 254, 255, 256, 600]);
        let c = TsControl::parse(&[0x7f, 0xfc, 3, 0x20, 1, 0, 2, 1, 9, 1, 2, 3]).unwrap();
        assert_eq!(c, TsControl { len: 9, size: 3, start_trim: 1, end_trim: 2 });
        assert!(TsControl::parse(&[0x7f, 0xfc, 3, 0x20, 1, 0, 2, 1]).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes(v in prop::collection::vec(any::<u8>(), 0..60)) {
            let mut d = b"OpusHead\x01".to_vec();
            d.extend(&v);
            let _ = OpusHead::parse(&d);
            let _ = OpusHead::parse_dops(&v);
            packet_samples(&v);
            let mut t = vec![0x7f, 0xe0 | (v.len() as u8 & 0x1f)];
            t.extend(&v);
            prop_assert!(ts_packets(&t.into()).count() < 60);
        }
    }
}
