//! HEVC (RFC 7798): single NAL units, aggregation packets and fragmentation units.

use super::units::{AccessUnits, Coding, Units, aggregated};
use mist_core::codec::{CodecError, nal};

/// Types of payloads beside NAL units (RFC 7798 §4.4).
mod kind {
    pub(super) const AP: u8 = 48;
    pub(super) const FU: u8 = 49;
    pub(super) const PACI: u8 = 50;
}

pub(super) fn depacketizer() -> AccessUnits {
    AccessUnits::new(Coding::Hevc, payload)
}

fn payload(units: &mut Units, payload: &[u8]) -> Result<(), CodecError> {
    match payload {
        [] => Ok(()),
        _ if nal::starts_with_code(payload) => nal::annex_b(payload).try_for_each(|u| units.unit(u)),
        [a, b, rest @ ..] => match a >> 1 & 0x3f {
            kind::AP => aggregated(rest, |u| units.unit(u)),
            kind::FU => units.fragment(rest, |fu| [a & 0x81 | (fu & 0x3f) << 1, *b]),
            kind::PACI => Err(CodecError::unsupported("PACI packet of HEVC in RTP")),
            k if k > kind::PACI => Err(CodecError::malformed("type of NAL unit in RTP")),
            _ => units.unit(payload),
        },
        [_] => Err(CodecError::truncated("NAL unit header")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Run;
    use super::*;

    #[test]
    fn units_alone_aggregated_and_in_fragments() {
        let mut r = Run::new(depacketizer());
        // VPS and AUD aggregated, an IDR picture in fragments.
        r.push(&[0x60, 1, 0, 3, 0x40, 1, 7, 0, 3, 0x46, 1, 0x50], false, 1).unwrap();
        r.push(&[0x62, 1, 0x93, 0x80, 1], false, 1).unwrap();
        r.push(&[0x62, 1, 0x13, 2], false, 1).unwrap();
        r.push(&[0x62, 1, 0x53, 3], true, 1).unwrap();
        let expected = [0, 0, 0, 3, 0x40, 1, 7, 0, 0, 0, 6, 0x26, 1, 0x80, 1, 2, 3];
        assert_eq!(r.take(), [(1, expected.to_vec())]);
        // A slice that isn't the first of its picture, behind a hole.
        r.lost().push(&[2, 1, 0x40], true, 2).unwrap();
        assert_eq!(r.take(), []);
        r.push(&[2, 1, 0x80], true, 3).unwrap();
        assert_eq!(r.take().len(), 1);
        for bad in [&[0x40][..], &[0x62, 1], &[0x64, 1, 0], &[0x66, 1], &[0x60, 1, 0, 9], &[0x62, 1, 0x13, 2]]
        {
            r.push(bad, true, 4).unwrap_err();
        }
    }
}
