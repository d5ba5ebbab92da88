//! EBML elements into memory (RFC 8794 §4 to §7).

use super::schema::ids;

/// The size that says that it isn't known (RFC 8794 §6.2), in 8 bytes, so that a real one can be put over it.
pub(super) const UNKNOWN: [u8; 8] = [0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];

/// An id as it lies in a file.
pub(super) fn id(out: &mut Vec<u8>, id: u32) {
    let bytes = id.to_be_bytes();
    let skip = (id.leading_zeros() / 8) as usize;
    out.extend_from_slice(bytes.get(skip..).unwrap_or_default());
}

/// A size in as few bytes as it fits in. All ones are reserved.
pub(super) fn size(out: &mut Vec<u8>, n: u64) {
    let len = (1..8).find(|l| n < (1u64 << (7 * l)) - 1).unwrap_or(8);
    let marked = n | 1u64 << (7 * len);
    out.extend_from_slice(marked.to_be_bytes().get(8 - len..).unwrap_or_default());
}

/// A size in 8 bytes, to go over [`UNKNOWN`].
pub(super) fn wide_size(n: u64) -> [u8; 8] {
    (n | 1 << 56).to_be_bytes()
}

/// Anything.
pub(super) fn binary(out: &mut Vec<u8>, element: u32, data: &[u8]) {
    id(out, element);
    size(out, data.len() as u64);
    out.extend_from_slice(data);
}

/// An unsigned integer in as few bytes as it fits in, at least one.
pub(super) fn uint(out: &mut Vec<u8>, element: u32, v: u64) {
    let skip = (v.leading_zeros() as usize / 8).min(7);
    binary(out, element, v.to_be_bytes().get(skip..).unwrap_or_default());
}

/// A signed integer in 8 bytes.
pub(super) fn int(out: &mut Vec<u8>, element: u32, v: i64) {
    binary(out, element, &v.to_be_bytes());
}

/// A float of 8 bytes.
pub(super) fn float(out: &mut Vec<u8>, element: u32, v: f64) {
    binary(out, element, &v.to_be_bytes());
}

/// Text.
pub(super) fn text(out: &mut Vec<u8>, element: u32, v: &str) {
    binary(out, element, v.as_bytes());
}

/// An element of elements.
pub(super) fn master(out: &mut Vec<u8>, element: u32, fill: impl FnOnce(&mut Vec<u8>)) {
    let mut body = Vec::new();
    fill(&mut body);
    binary(out, element, &body);
}

/// A Void that takes `len` bytes with its head: at least 2 and at most 128.
pub(super) fn void(out: &mut Vec<u8>, len: usize) {
    binary(out, ids::VOID, [0; 126].get(..len.saturating_sub(2)).unwrap_or(&[0; 126]));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sizes_and_numbers() {
        let of = |f: &dyn Fn(&mut Vec<u8>)| {
            let mut v = Vec::new();
            f(&mut v);
            v
        };
        assert_eq!(of(&|v| id(v, 0xa3)), [0xa3]);
        assert_eq!(of(&|v| id(v, 0x1a45_dfa3)), [0x1a, 0x45, 0xdf, 0xa3]);
        // 127 would be the reserved value of one byte.
        for (n, bytes) in [
            (0, &[0x80][..]),
            (126, &[0xfe]),
            (127, &[0x40, 127]),
            (0x3ffe, &[0x7f, 0xfe]),
            (0x3fff, &[0x20, 0x3f, 0xff]),
            (1 << 49, &[1, 2, 0, 0, 0, 0, 0, 0]),
        ] {
            assert_eq!(of(&|v| size(v, n)), bytes, "{n}");
        }
        assert_eq!(wide_size(5), [1, 0, 0, 0, 0, 0, 0, 5]);
        assert_eq!(of(&|v| uint(v, 0xd7, 0)), [0xd7, 0x81, 0]);
        assert_eq!(of(&|v| uint(v, 0xd7, 0x1234)), [0xd7, 0x82, 0x12, 0x34]);
        assert_eq!(of(&|v| uint(v, 0xd7, u64::MAX)).len(), 10);
        for n in 2..=128 {
            assert_eq!(of(&|v| void(v, n)).len(), n);
        }
        assert_eq!(
            of(&|v| master(v, ids::INFO, |v| text(v, ids::TITLE, "a")))[4..],
            [0x84, 0x7b, 0xa9, 0x81, b'a']
        );
    }
}
