//! H.264 (RFC 6184): single NAL units, STAP-A and FU-A.

use super::units::{AccessUnits, Coding, Units, aggregated};
use mist_core::codec::{CodecError, nal};

/// Types of payloads beside NAL units (RFC 6184 table 1).
mod kind {
    pub(super) const STAP_A: u8 = 24;
    pub(super) const FU_A: u8 = 28;
}

pub(super) fn depacketizer() -> AccessUnits {
    AccessUnits::new(Coding::H264, payload)
}

fn payload(units: &mut Units, payload: &[u8]) -> Result<(), CodecError> {
    match payload {
        [] => Ok(()),
        // Against the RFC, some cameras send start codes.
        _ if nal::starts_with_code(payload) => nal::annex_b(payload).try_for_each(|u| units.unit(u)),
        [head, rest @ ..] => match head & 0x1f {
            1..=23 => units.unit(payload),
            kind::STAP_A => aggregated(rest, |u| units.unit(u)),
            kind::FU_A => units.fragment(rest, |fu| [head & 0xe0 | fu & 0x1f]),
            25..=29 => Err(CodecError::unsupported("interleaved mode of H.264 in RTP")),
            _ => Err(CodecError::malformed("type of NAL unit in RTP")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Run;
    use super::*;

    /// First slice of an IDR picture, another slice of a picture, parameter sets.
    const IDR: &[u8] = &[0x65, 0x88, 1, 2];
    const MORE: &[u8] = &[0x41, 0x40, 3];
    const SPS: &[u8] = &[0x67, 9];

    fn run() -> Run {
        Run::new(depacketizer())
    }

    fn lengths(units: &[&[u8]]) -> Vec<u8> {
        units.iter().flat_map(|u| [&(u.len() as u32).to_be_bytes()[..], u].concat()).collect()
    }

    #[test]
    fn units_alone_aggregated_and_in_fragments() {
        let mut r = run();
        // Parameter sets with a marker of their own, an access unit delimiter in an aggregation, a fragmented slice.
        r.push(SPS, true, 1).unwrap();
        r.push(&[24, 0, 2, 9, 0xf0, 0, 0, 0, 4, 0x65, 0x88, 1, 2], false, 2).unwrap();
        r.push(&[0x5c, 0x81, 0x40], false, 2).unwrap();
        r.push(&[0x5c, 0x01, 3], false, 2).unwrap();
        r.push(&[0x5c, 0x41, 4], true, 2).unwrap();
        assert_eq!(r.take(), [(2, lengths(&[SPS, IDR, &[0x41, 0x40, 3, 4]]))]);
        // Without a marker, the next timestamp ends it; a single fragment is a unit; start codes are taken out.
        r.push(IDR, false, 3).unwrap();
        assert_eq!(r.take(), []);
        r.push(&[0x5c, 0xc1, 0x80], false, 4).unwrap();
        assert_eq!(r.take(), [(3, lengths(&[IDR]))]);
        r.push(&[&[0, 0, 0, 1], SPS, &[0, 0, 1], IDR].concat(), false, 5).unwrap();
        assert_eq!(r.take(), [(4, lengths(&[&[0x41, 0x80]]))]);
        r.end();
        assert_eq!(r.take(), [(5, lengths(&[SPS, IDR]))]);
    }

    #[test]
    fn holes_drop_what_they_are_in() {
        let mut r = run();
        // In the middle; before the first packet of the next; not at all where the marker was there.
        r.push(IDR, false, 1).unwrap();
        r.lost().push(MORE, true, 1).unwrap();
        assert_eq!(r.take(), []);
        r.push(IDR, false, 2).unwrap();
        r.lost().push(MORE, true, 3).unwrap();
        assert_eq!(r.take(), []);
        r.push(IDR, true, 4).unwrap();
        r.lost().push(IDR, true, 5).unwrap();
        assert_eq!(r.take(), [(4, lengths(&[IDR])), (5, lengths(&[IDR]))]);
        // Inside a fragmented unit, and its beginning.
        r.push(&[0x7c, 0x85, 0x88], false, 6).unwrap();
        r.lost().push(&[0x7c, 0x45, 1], true, 6).unwrap();
        r.lost().push(&[0x7c, 0x05, 1], false, 7).unwrap();
        r.push(&[0x7c, 0x45, 1], true, 7).unwrap();
        assert_eq!(r.take(), []);
        r.push(IDR, true, 8).unwrap();
        assert_eq!(r.take(), [(8, lengths(&[IDR]))]);
    }

    #[test]
    fn lies_are_refused() {
        let mut r = run();
        for bad in [
            &[24, 0, 9, 1][..],
            &[24, 0],
            &[28],
            &[25, 0, 0, 0, 0],
            &[29, 0x85],
            &[0],
            &[31],
            &[0x7c, 0x05, 1],
        ] {
            r.push(bad, true, 1).unwrap_err();
            r.push(IDR, true, 2).unwrap();
            assert_eq!(r.take().len(), 1, "{bad:?}");
        }
        // A fragment that never ends is bounded.
        r.push(&[0x7c, 0x85, 0x88], false, 3).unwrap();
        let piece = [&[0x7c, 0x05][..], &[7; 60_000]].concat();
        let done: Result<Vec<_>, _> = (0..200).map(|_| r.push(&piece, false, 3)).collect();
        assert_eq!(done, Err(CodecError::limit("bytes of an access unit in RTP")));
        r.push(IDR, true, 4).unwrap();
        assert_eq!(r.take(), [(4, lengths(&[IDR]))]);
        r.push(&[24, 0, 0, 0, 0], true, 5).unwrap();
        assert_eq!(r.take(), []);
    }
}
