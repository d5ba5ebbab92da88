//! AAC: MPEG-4 elementary streams with AU headers (RFC 3640), and LATM (RFC 6416 §6).

use super::{AuHeaders, Depacketize, Out, Piece, limits};
use bytes::BytesMut;
use mist_core::bits::BitReader;
use mist_core::codec::CodecError;
use mist_core::codec::latm::Latm;
use smallvec::SmallVec;

/// Access units with headers.
#[derive(Debug)]
pub(super) struct Mpeg4 {
    headers: AuHeaders,
    /// How long an access unit lasts, in units of the clock.
    duration: i64,
    /// An access unit of which more is to come: its time and size.
    open: Option<(i64, usize)>,
    data: BytesMut,
}

impl Mpeg4 {
    pub(super) fn new(headers: AuHeaders, duration: i64) -> Self {
        Self { headers, duration, open: None, data: BytesMut::new() }
    }

    /// Sizes of the access units of a packet, and where they begin.
    fn sizes(&self, payload: &[u8]) -> Result<(SmallVec<[usize; 8]>, usize), CodecError> {
        let h = &self.headers;
        let r = &mut BitReader::new(payload);
        let mut sizes = SmallVec::new();
        if h.any() {
            let bits = r.bits(16)? as usize;
            if bits > r.left() {
                return Err(CodecError::malformed("AU-headers-length"));
            }
            let end = r.position() + bits;
            while r.position() < end {
                let first = sizes.is_empty();
                if sizes.len() == limits::FRAMES {
                    return Err(CodecError::limit("access units in a packet"));
                }
                let size = r.bits(h.size.into())? as usize;
                let index = r.bits(if first { h.index } else { h.index_delta }.into())?;
                if index > 0 && !first {
                    return Err(CodecError::unsupported("interleaved AAC in RTP"));
                }
                // The flag of CTS is there also in the first one (RFC 3640 §3.2.1.1).
                for delta in [h.cts_delta, h.dts_delta] {
                    if delta > 0 && r.flag()? {
                        r.skip(delta.into())?;
                    }
                }
                r.skip(usize::from(h.random_access) + usize::from(h.stream_state))?;
                sizes.push(h.constant_size.map_or(size, |n| n as usize));
            }
            if r.position() > end {
                return Err(CodecError::malformed("AU header"));
            }
            r.align();
        }
        if h.auxiliary > 0 {
            let bits = r.bits(h.auxiliary.into())? as usize;
            r.skip(bits)?;
            r.align();
        }
        let at = r.position() / 8;
        if !h.any() {
            let left = payload.len().saturating_sub(at);
            let size = h.constant_size.map_or(left, |n| n as usize).max(1);
            if left / size > limits::FRAMES {
                return Err(CodecError::limit("access units in a packet"));
            }
            sizes = std::iter::repeat_n(size, left.div_ceil(size)).collect();
        }
        Ok((sizes, at))
    }
}

impl Depacketize for Mpeg4 {
    fn push(&mut self, piece: Piece<'_>, out: &mut Out) -> Result<(), CodecError> {
        let Piece { payload, time, lost, .. } = piece;
        let open = self.open.take().filter(|o| !lost && o.0 == time);
        let (sizes, at) = self.sizes(payload)?;
        let mut rest = payload.slice(at.min(payload.len())..);
        if let Some((_, size)) = open {
            self.data.extend_from_slice(&rest);
            if self.data.len() < size {
                self.open = open;
            } else {
                self.data.truncate(size);
                out.frame(time, self.data.split().freeze());
            }
            return Ok(());
        }
        let single = sizes.len() == 1;
        for (i, size) in sizes.into_iter().enumerate() {
            if size > rest.len() {
                if !single {
                    return Err(CodecError::malformed("size of an access unit"));
                }
                if size > limits::UNIT {
                    return Err(CodecError::limit("bytes of an access unit in RTP"));
                }
                self.data.clear();
                self.data.extend_from_slice(&rest);
                self.open = Some((time, size));
                return Ok(());
            }
            out.frame(time.saturating_add(self.duration.saturating_mul(i as i64)), rest.split_to(size));
        }
        Ok(())
    }
}

/// AudioMuxElements.
#[derive(Debug)]
pub(super) struct LatmElements {
    latm: Latm,
    in_band: bool,
    clock: u32,
    open: Option<i64>,
    data: BytesMut,
}

impl LatmElements {
    /// `latm` has what the description told.
    pub(super) fn new(latm: Latm, in_band: bool, clock: u32) -> Self {
        Self { latm, in_band, clock, open: None, data: BytesMut::new() }
    }
}

impl Depacketize for LatmElements {
    fn push(&mut self, piece: Piece<'_>, out: &mut Out) -> Result<(), CodecError> {
        let Piece { payload, marker, time, lost } = piece;
        if lost || self.open.is_some_and(|t| t != time) {
            self.open = None;
        }
        if self.open.is_none() {
            self.data.clear();
        }
        if self.data.len() + payload.len() > limits::UNIT {
            self.open = None;
            return Err(CodecError::limit("bytes of an access unit in RTP"));
        }
        self.data.extend_from_slice(payload);
        self.open = Some(time);
        if !marker {
            return Ok(());
        }
        self.open = None;
        let element = self.data.split();
        let frames =
            if self.in_band { self.latm.element(&element)? } else { self.latm.bare_element(&element)? };
        let duration = self.latm.asc().map_or(0, |a| a.frame_duration().to_rate(self.clock));
        out.init = self.latm.init().cloned();
        for (i, f) in frames.into_iter().enumerate() {
            out.frame(time.saturating_add(duration.saturating_mul(i as i64)), f);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Run;
    use super::*;

    const HBR: AuHeaders = AuHeaders {
        size: 13,
        index: 3,
        index_delta: 3,
        cts_delta: 0,
        dts_delta: 0,
        random_access: false,
        stream_state: 0,
        auxiliary: 0,
        constant_size: None,
    };

    #[test]
    fn access_units_in_one_packet_and_in_several() {
        let mut r = Run::new(Mpeg4::new(HBR, 1024));
        r.push(&[0, 32, 0, 8, 0, 16, 1, 2, 3], true, 0).unwrap();
        assert_eq!(r.take(), [(0, vec![1]), (1024, vec![2, 3])]);
        r.push(&[0, 16, 0, 32, 1, 2], false, 9).unwrap();
        r.push(&[0, 16, 0, 32, 3, 4], true, 9).unwrap();
        assert_eq!(r.take(), [(9, vec![1, 2, 3, 4])]);
        // A hole in fragments; another timestamp in their middle.
        r.push(&[0, 16, 0, 32, 1, 2], false, 10).unwrap();
        r.lost().push(&[0, 16, 0, 32, 4], true, 10).unwrap();
        r.push(&[0, 16, 0, 8, 5], true, 11).unwrap();
        assert_eq!(r.take(), [(11, vec![5])]);
        let all = AuHeaders {
            cts_delta: 4,
            dts_delta: 3,
            random_access: true,
            stream_state: 2,
            auxiliary: 8,
            ..HBR
        };
        // 13+3, flag of CTS, flag of DTS with 3 bits, 1, 2: 24 bits; then an auxiliary section of 8 bits.
        let mut r = Run::new(Mpeg4::new(all, 1));
        r.push(&[0, 24, 0, 8, 0x40, 8, 0xff, 7][..], true, 0).unwrap();
        assert_eq!(r.take(), [(0, vec![7])]);
        // The next one with 4 bits of CTS: 25 bits more.
        r.push(&[0, 49, 0, 8, 0x40, 0, 16, 0xf0, 0, 8, 0xff, 7, 8, 9][..], true, 3).unwrap();
        assert_eq!(r.take(), [(3, vec![7]), (4, vec![8, 9])]);
        let constant = AuHeaders { constant_size: Some(2), ..AuHeaders::default() };
        let mut r = Run::new(Mpeg4::new(constant, 10));
        r.push(&[1, 2, 3, 4], true, 0).unwrap();
        assert_eq!(r.take(), [(0, vec![1, 2]), (10, vec![3, 4])]);
    }

    #[test]
    fn lies_are_refused() {
        let mut r = Run::new(Mpeg4::new(HBR, 1024));
        for bad in [
            &[0][..],
            &[0xff, 0xff, 0],
            &[0, 5, 0, 8, 1],
            &[0, 32, 0, 8, 0, 0x51, 1],
            &[0, 32, 0, 64, 0, 8, 1],
        ] {
            assert!(r.push(bad, true, 0).is_err(), "{bad:?}");
        }
        let one = AuHeaders { size: 1, ..AuHeaders::default() };
        let many = [&[0xff, 0xf8][..], &[0; 0x2000]].concat();
        let done = Run::new(Mpeg4::new(one, 1)).push(&many, true, 0);
        assert_eq!(done, Err(CodecError::limit("access units in a packet")));
        let long = AuHeaders { size: 32, ..AuHeaders::default() };
        assert!(Run::new(Mpeg4::new(long, 1)).push(&[0, 32, 0xff, 0, 0, 0], true, 0).is_err());
        assert!(Run::new(Mpeg4::new(AuHeaders { size: 255, ..HBR }, 1)).push(&[9; 60], true, 0).is_err());
    }

    #[test]
    fn latm_with_its_configuration_apart_and_inside() {
        let latm = Latm::configured(&[0x40, 0, 0x24, 0x20, 0x3f, 0xc0]).unwrap();
        let mut r = Run::new(LatmElements::new(latm, false, 44_100));
        r.push(&[3, 1], false, 5).unwrap();
        r.push(&[2, 3], true, 5).unwrap();
        assert_eq!(r.take(), [(5, vec![1, 2, 3])]);
        assert_eq!(r.init().unwrap()[..], [0x12, 0x10]);
        assert!(r.push(&[9, 1], true, 6).is_err());
        r.push(&[9, 1], false, 7).unwrap();
        r.lost().push(&[1, 1], true, 7).unwrap();
        assert_eq!(r.take(), [(7, vec![1])]);
    }
}
