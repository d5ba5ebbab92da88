//! Heads of packets (RFC 3550 §5.1).

use bytes::Bytes;
use mist_core::codec::CodecError;

/// A packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// The sender says that it is special: of video, the last of its picture.
    pub marker: bool,
    /// What the payload is, below 128.
    pub payload_type: u8,
    /// Counts packets.
    pub sequence: u16,
    /// In units of the format's clock, from a random start.
    pub timestamp: u32,
    /// The sender.
    pub ssrc: u32,
    /// What is in it, without padding.
    pub payload: Bytes,
}

impl Packet {
    /// Takes a packet apart. Contributing sources and the header extension are passed over.
    ///
    /// # Errors
    /// Another version, or head, extension or padding exceed the packet.
    pub fn parse(data: &Bytes) -> Result<Self, CodecError> {
        let Some((&[flags, kind, s0, s1, t0, t1, t2, t3, i0, i1, i2, i3], mut rest)) =
            data.split_first_chunk()
        else {
            return Err(CodecError::truncated("RTP head"));
        };
        if flags >> 6 != 2 {
            return Err(CodecError::malformed("RTP version"));
        }
        rest = rest.get(usize::from(flags & 15) * 4..).ok_or(CodecError::truncated("CSRC list"))?;
        if flags & 0x10 != 0 {
            let too_short = CodecError::truncated("RTP header extension");
            let (&[_, _, n0, n1], body) = rest.split_first_chunk().ok_or(too_short)?;
            rest = body.get(usize::from(u16::from_be_bytes([n0, n1])) * 4..).ok_or(too_short)?;
        }
        if flags & 0x20 != 0 {
            let padding = usize::from(rest.last().copied().unwrap_or(0));
            let len = rest.len().checked_sub(padding).filter(|_| padding > 0);
            rest = len.and_then(|n| rest.get(..n)).ok_or(CodecError::malformed("RTP padding"))?;
        }
        Ok(Self {
            marker: kind & 0x80 != 0,
            payload_type: kind & 0x7f,
            sequence: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: u32::from_be_bytes([i0, i1, i2, i3]),
            payload: data.slice_ref(rest),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: [u8; 12] = [0x80, 0xe1, 0xcf, 0x39, 0x23, 0x12, 0x23, 0xc3, 0xcc, 0x1d, 0x10, 0x7a];

    fn parse(flags: u8, tail: &[u8]) -> Result<Packet, CodecError> {
        let mut data = [&HEAD[..], tail].concat();
        data[0] = flags;
        Packet::parse(&data.into())
    }

    #[test]
    fn heads_with_everything() {
        let p = parse(0x80, b"abc").unwrap();
        let expected = (true, 97, 0xcf39, 0x2312_23c3, 0xcc1d_107a);
        assert_eq!((p.marker, p.payload_type, p.sequence, p.timestamp, p.ssrc), expected);
        assert_eq!(&p.payload[..], b"abc");
        let tail = [&[9; 8][..], &[0xbe, 0xde, 0, 1, 1, 2, 3, 4], b"abc\0\0\x03"].concat();
        assert_eq!(&parse(0xb2, &tail).unwrap().payload[..], b"abc");
        assert!(parse(0x80, b"").unwrap().payload.is_empty());
    }

    #[test]
    fn lies_are_refused() {
        for (flags, tail) in [
            (0x40, &b"abc"[..]),
            (0xa0, b""),
            (0xa0, b"abc\x05"),
            (0xa0, b"abc\0"),
            (0x8f, &[0; 59]),
            (0x90, b"\xbe\xde\xff\xff0123"),
            (0x90, b"\xbe\xde"),
        ] {
            assert!(parse(flags, tail).is_err(), "{flags:x}");
        }
        for n in 0..12 {
            assert!(Packet::parse(&Bytes::copy_from_slice(&HEAD[..n])).is_err());
        }
        assert_eq!(&parse(0xa0, b"abc\x04").unwrap().payload[..], b"");
    }
}
