//! Network abstraction layer units: how H.264 and HEVC cut their bit streams into pieces.
//!
//! Annex B of ITU-T H.264 and H.265 (start codes) and ISO/IEC 14496-15 §5.3.2 (length prefixes). The types of
//! the units are in [`super::h264::nal`] and [`super::hevc::nal`].

use super::CodecError;
use bytes::{BufMut, Bytes, BytesMut};
use memchr::memmem;
use std::borrow::Cow;

const START: &[u8] = &[0, 0, 1];

fn without_trailing_zeros(nal: &[u8]) -> &[u8] {
    let end = nal.iter().rposition(|&b| b != 0).map_or(0, |i| i + 1);
    nal.get(..end).unwrap_or_default()
}

/// Iterates over the NAL units between start codes of 3 or 4 bytes.
///
/// What lies before the first start code is left out, as are zeros after a unit and empty units.
pub fn annex_b(data: &[u8]) -> AnnexB<'_> {
    let mut codes = memmem::find_iter(data, START);
    let at = codes.next().map(|i| i + START.len());
    AnnexB { data, codes, at }
}

/// See [`annex_b`].
#[derive(Debug, Clone)]
pub struct AnnexB<'a> {
    data: &'a [u8],
    codes: memmem::FindIter<'a, 'static>,
    at: Option<usize>,
}

impl<'a> Iterator for AnnexB<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            let from = self.at?;
            let next = self.codes.next();
            self.at = next.map(|i| i + START.len());
            let nal = self.data.get(from..next.unwrap_or(self.data.len()))?;
            let nal = without_trailing_zeros(nal);
            if !nal.is_empty() {
                return Some(nal);
            }
        }
    }
}

/// Whether data begins with a start code: Annex B in a place where length prefixes are due.
pub fn starts_with_code(data: &[u8]) -> bool {
    data.starts_with(START) || data.starts_with(&[0, 0, 0, 1])
}

/// Iterates over NAL units with length prefixes of `size` bytes, 1 to 4 (others count as 4).
///
/// Empty units are left out. A length that exceeds the data ends the iteration; [`LengthPrefixed::rest`] then
/// isn't empty.
pub fn length_prefixed(data: &[u8], size: u8) -> LengthPrefixed<'_> {
    LengthPrefixed { rest: data, size: if matches!(size, 1..=4) { size } else { 4 } }
}

/// Iterates over the units of mist's canonical payload: lengths of 4 bytes.
pub fn units(data: &[u8]) -> LengthPrefixed<'_> {
    length_prefixed(data, 4)
}

/// See [`length_prefixed`].
#[derive(Debug, Clone)]
pub struct LengthPrefixed<'a> {
    rest: &'a [u8],
    size: u8,
}

impl<'a> LengthPrefixed<'a> {
    /// What was not iterated: empty at the end of well-formed data.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for LengthPrefixed<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            let (head, tail) = self.rest.split_at_checked(self.size.into())?;
            let len = head.iter().fold(0usize, |n, &b| (n << 8) | usize::from(b));
            let (nal, rest) = tail.split_at_checked(len)?;
            self.rest = rest;
            if !nal.is_empty() {
                return Some(nal);
            }
        }
    }
}

/// Checks that the data is nothing but NAL units with length prefixes of `size` bytes.
///
/// # Errors
/// A length exceeds the data.
pub fn check_lengths(data: &[u8], size: u8) -> Result<(), CodecError> {
    let mut it = length_prefixed(data, size);
    it.by_ref().for_each(drop);
    if it.rest().is_empty() { Ok(()) } else { Err(CodecError::unit_size("NAL unit length")) }
}

/// Appends a NAL unit with its length in 4 bytes. Units over 4 GiB can't exist in memory that this reads.
pub fn put_unit(out: &mut BytesMut, nal: &[u8]) {
    let len = u32::try_from(nal.len()).unwrap_or(u32::MAX);
    out.reserve(nal.len().saturating_add(4));
    out.put_u32(len);
    out.put_slice(nal.get(..len as usize).unwrap_or(nal));
}

/// Converts Annex B to 4-byte lengths, appending to `out` the units for which `keep` returns true. Scans with
/// SIMD and copies each unit once.
///
/// `keep` is where a demuxer drops access unit delimiters and collects parameter sets.
pub fn annex_b_to_lengths(data: &[u8], out: &mut BytesMut, mut keep: impl FnMut(&[u8]) -> bool) {
    out.reserve(data.len().saturating_add(16));
    for nal in annex_b(data) {
        if keep(nal) {
            put_unit(out, nal);
        }
    }
}

/// Converts units with length prefixes of `size` bytes to Annex B with 4-byte start codes, appending to `out`.
///
/// # Errors
/// A length exceeds the data; the units before it were appended.
pub fn lengths_to_annex_b(data: &[u8], size: u8, out: &mut BytesMut) -> Result<(), CodecError> {
    out.reserve(data.len().saturating_add(16));
    let mut it = length_prefixed(data, size);
    for nal in it.by_ref() {
        out.put_slice(&[0, 0, 0, 1]);
        out.put_slice(nal);
    }
    if it.rest().is_empty() { Ok(()) } else { Err(CodecError::unit_size("NAL unit length")) }
}

/// Units with length prefixes of `size` bytes as mist's canonical payload: 4-byte lengths and no unit for which
/// `drop` returns true (access unit delimiters). Without a change to make, `data` is returned as it is.
///
/// # Errors
/// A length exceeds the data.
pub fn canonical_lengths(
    data: Bytes,
    size: u8,
    mut drop: impl FnMut(&[u8]) -> bool,
) -> Result<Bytes, CodecError> {
    let mut it = length_prefixed(&data, size);
    let mut change = size != 4;
    for nal in it.by_ref() {
        change |= drop(nal);
    }
    if !it.rest().is_empty() {
        return Err(CodecError::unit_size("NAL unit length"));
    }
    if !change {
        return Ok(data);
    }
    let mut out = BytesMut::with_capacity(data.len().saturating_add(64));
    for nal in length_prefixed(&data, size) {
        if !drop(nal) {
            put_unit(&mut out, nal);
        }
    }
    Ok(out.freeze())
}

/// Removes emulation prevention bytes (H.264 §7.4.1): the raw byte sequence payload of a NAL unit.
pub fn unescape(nal: &[u8]) -> Cow<'_, [u8]> {
    let mut found = memmem::find_iter(nal, &[0, 0, 3]);
    let Some(first) = found.next() else { return Cow::Borrowed(nal) };
    let mut out = Vec::with_capacity(nal.len());
    let mut from = 0;
    for i in std::iter::once(first).chain(found) {
        out.extend_from_slice(nal.get(from..i + 2).unwrap_or_default());
        from = i + 3;
    }
    out.extend_from_slice(nal.get(from..).unwrap_or_default());
    Cow::Owned(out)
}

/// Inserts emulation prevention bytes: the reverse of [`unescape`].
pub fn escape(rbsp: &[u8]) -> Cow<'_, [u8]> {
    let risky = |w: &[u8]| matches!(w, [0, 0, 0..=3]);
    if !rbsp.windows(3).any(risky) && !rbsp.ends_with(&[0, 0]) {
        return Cow::Borrowed(rbsp);
    }
    let mut out = Vec::with_capacity(rbsp.len().saturating_add(16));
    let mut zeros = 0;
    for &b in rbsp {
        if zeros >= 2 && b <= 3 {
            out.push(3);
            zeros = 0;
        }
        zeros = if b == 0 { zeros + 1 } else { 0 };
        out.push(b);
    }
    if zeros >= 2 {
        out.push(3);
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn annex_b_in_every_dress() {
        let data = [9, 9, 0, 0, 1, 5, 6, 0, 0, 0, 1, 7, 0, 0, 0, 0, 0, 1, 0, 0, 1, 8, 0, 0, 3, 0, 0];
        let got: Vec<_> = annex_b(&data).collect();
        assert_eq!(got, [&[5, 6][..], &[7], &[8, 0, 0, 3]]);
        assert_eq!(annex_b(&[0, 0]).count() + annex_b(&[]).count() + annex_b(&[0, 0, 1]).count(), 0);
    }

    #[test]
    fn a_bad_length_ends_it_and_keeps_what_was_before() {
        for size in 1..=4u8 {
            let mut d = vec![0; size.into()];
            *d.last_mut().unwrap() = 2;
            d.extend([1, 2]);
            d.extend(vec![0; size.into()]);
            d.extend(vec![0x7f; size.into()]);
            d.push(3);
            let mut it = length_prefixed(&d, size);
            assert_eq!(it.next(), Some(&[1, 2][..]), "{size}");
            assert_eq!(it.next(), None);
            assert_eq!(it.rest().len(), usize::from(size) + 1);
            assert!(check_lengths(&d, size).is_err());
            assert!(canonical_lengths(d.clone().into(), size, |_| false).is_err());
        }
    }

    #[test]
    fn canonical_payload_is_shared_when_nothing_changes() {
        let d = Bytes::from_static(&[0, 0, 0, 1, 9, 0, 0, 0, 2, 1, 2]);
        assert_eq!(canonical_lengths(d.clone(), 4, |_| false).unwrap().as_ptr(), d.as_ptr());
        let dropped = canonical_lengths(d, 4, |n| n[0] == 9).unwrap();
        assert_eq!(dropped, [0, 0, 0, 2, 1, 2][..]);
        assert_eq!(
            canonical_lengths(Bytes::from_static(&[0, 1, 9]), 2, |_| false).unwrap(),
            [0, 0, 0, 1, 9][..]
        );
    }

    proptest! {
        #[test]
        fn escape_round_trips(v in prop::collection::vec(0u8..5, 0..200)) {
            let e = escape(&v);
            prop_assert_eq!(&*unescape(&e), &v[..]);
            prop_assert!(!e.windows(3).any(|w| matches!(w, [0, 0, 0..=2])));
        }

        #[test]
        fn conversion_round_trips(v in prop::collection::vec(prop::collection::vec(1u8..5, 1..20), 0..20)) {
            let mut lengths = BytesMut::new();
            for n in &v {
                put_unit(&mut lengths, n);
            }
            let mut annex = BytesMut::new();
            lengths_to_annex_b(&lengths, 4, &mut annex).unwrap();
            let mut back = BytesMut::new();
            annex_b_to_lengths(&annex, &mut back, |_| true);
            prop_assert_eq!(&lengths, &back);
            prop_assert!(v.iter().map(|n| &n[..]).eq(units(&back)));
        }

        #[test]
        fn any_bytes(v in prop::collection::vec(0u8..4, 0..300), size in 0u8..6) {
            let mut out = BytesMut::new();
            annex_b_to_lengths(&v, &mut out, |_| true);
            prop_assert!(check_lengths(&out, 4).is_ok());
            let _ = lengths_to_annex_b(&v, size, &mut out);
            unescape(&v);
        }
    }
}
