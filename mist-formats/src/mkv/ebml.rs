//! EBML: element heads and values (RFC 8794 §4–§7), from the front of a queue and in memory.

use mist_core::format::ErrorKind;
use mist_core::queue::Queue;

/// Bytes of the longest element head: an id of four, a size of eight.
pub(super) const MAX_HEAD: usize = 12;

/// An element's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// Id with its marker.
    pub(super) id: u32,
    /// Bytes of its data; `None` when unknown.
    pub(super) size: Option<u64>,
    /// Bytes of the head itself.
    pub(super) len: usize,
}

/// What breaks a rule.
pub(super) type Broken = ErrorKind;

/// A variable-size integer: its value without the marker and its bytes. `None` where data is missing.
pub(super) fn vint(data: &[u8]) -> Result<Option<(u64, usize)>, Broken> {
    let Some(&first) = data.first() else { return Ok(None) };
    let len = first.leading_zeros() as usize + 1;
    if len > 8 {
        return Err(ErrorKind::Malformed("variable-size integer over 8 bytes"));
    }
    let Some(bytes) = data.get(..len) else { return Ok(None) };
    let v = bytes.iter().fold(0u64, |v, b| (v << 8) | u64::from(*b));
    Ok(Some((v & !(1 << (7 * len)), len)))
}

/// The value of a variable-size integer of `len` bytes that means "unknown".
const fn all_ones(len: usize) -> u64 {
    (1 << (7 * len)) - 1
}

/// An element's head at the start of `data`. `None` where bytes are missing.
pub(super) fn head(data: &[u8], max_size_len: usize) -> Result<Option<Head>, Broken> {
    let Some(&first) = data.first() else { return Ok(None) };
    let id_len = first.leading_zeros() as usize + 1;
    if id_len > 4 {
        return Err(ErrorKind::Malformed("element id over 4 bytes"));
    }
    let Some((id, rest)) = data.split_at_checked(id_len) else { return Ok(None) };
    let id = id.iter().fold(0u32, |v, b| (v << 8) | u32::from(*b));
    if u64::from(id) == (1 << (7 * id_len)) | all_ones(id_len) {
        return Err(ErrorKind::Malformed("reserved element id"));
    }
    let Some((size, size_len)) = vint(rest)? else { return Ok(None) };
    if size_len > max_size_len {
        return Err(ErrorKind::Size("element size over EBMLMaxSizeLength"));
    }
    let size = (size != all_ones(size_len)).then_some(size);
    Ok(Some(Head { id, size, len: id_len + size_len }))
}

/// The head at `skip` bytes from the front of a queue, consuming nothing.
pub(super) fn peek_head(queue: &Queue, skip: usize, max_size_len: usize) -> Result<Option<Head>, Broken> {
    if skip == 0
        && let Some(front) = queue.front().get(..MAX_HEAD)
    {
        return head(front, max_size_len);
    }
    let mut buf = [0; MAX_HEAD];
    let n = queue.len().saturating_sub(skip).min(MAX_HEAD);
    let Some(part) = buf.get_mut(..n) else { return Ok(None) };
    queue.peek_into(skip, part);
    head(part, max_size_len)
}

/// A child of a master element in memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Child<'a> {
    pub(super) id: u32,
    /// Bytes from the parent's data to this element's head.
    pub(super) at: usize,
    /// Bytes of the head.
    pub(super) head: usize,
    pub(super) data: &'a [u8],
}

/// The children of a master element; after an error it ends.
#[derive(Debug, Clone)]
pub(super) struct Children<'a> {
    data: &'a [u8],
    at: usize,
}

/// The children of a master element whose data is in memory.
pub(super) const fn children(data: &[u8]) -> Children<'_> {
    Children { data, at: 0 }
}

impl<'a> Iterator for Children<'a> {
    /// A child, or where and what is wrong.
    type Item = Result<Child<'a>, (usize, Broken)>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.data.get(self.at..).filter(|r| !r.is_empty())?;
        let at = self.at;
        self.at = self.data.len();
        let h = match head(rest, 8) {
            Ok(Some(h)) => h,
            Ok(None) => return Some(Err((at, ErrorKind::Size("element head beyond its parent")))),
            Err(e) => return Some(Err((at, e))),
        };
        // Only segments and clusters may have no size: in memory it is as good as the rest.
        let body = rest.get(h.len..).unwrap_or_default();
        let size = h.size.map_or(body.len(), |s| usize::try_from(s).unwrap_or(usize::MAX));
        let Some(data) = body.get(..size) else {
            return Some(Err((at, ErrorKind::Size("element beyond its parent"))));
        };
        self.at = at + h.len + size;
        Some(Ok(Child { id: h.id, at, head: h.len, data }))
    }
}

impl Child<'_> {
    /// As an unsigned integer; what is over 8 bytes is 0.
    pub(super) fn uint(&self) -> u64 {
        uint(self.data)
    }

    /// As a signed integer.
    pub(super) fn int(&self) -> i64 {
        let bits = self.data.len() * 8;
        match bits {
            8..=64 => (self.uint() << (64 - bits)) as i64 >> (64 - bits),
            _ => 0,
        }
    }

    /// As a float; 0 where it is no finite number.
    pub(super) fn float(&self) -> f64 {
        let v = match self.data.len() {
            4 => f32::from_bits(self.uint() as u32).into(),
            8 => f64::from_bits(self.uint()),
            _ => 0.0,
        };
        if v.is_finite() { v } else { 0.0 }
    }

    /// As text: up to the first zero.
    pub(super) fn text(&self) -> String {
        let end = self.data.iter().position(|b| *b == 0).unwrap_or(self.data.len());
        String::from_utf8_lossy(self.data.get(..end).unwrap_or_default()).into_owned()
    }
}

/// Big-endian, of up to 8 bytes; 0 for more.
pub(super) fn uint(data: &[u8]) -> u64 {
    if data.len() > 8 {
        return 0;
    }
    data.iter().fold(0, |v, b| (v << 8) | u64::from(*b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn h(data: &[u8]) -> Result<Option<Head>, Broken> {
        head(data, 8)
    }

    #[test]
    fn heads_of_every_length() {
        assert_eq!(h(&[0xa3, 0x85]), Ok(Some(Head { id: 0xa3, size: Some(5), len: 2 })));
        assert_eq!(h(&[0xa3, 0x40, 0x05]), Ok(Some(Head { id: 0xa3, size: Some(5), len: 3 })));
        let long = [0x1f, 0x43, 0xb6, 0x75, 1, 0, 0, 0, 0, 0, 1, 0];
        assert_eq!(h(&long), Ok(Some(Head { id: 0x1f43_b675, size: Some(256), len: 12 })));
        (0..12).for_each(|n| assert_eq!(h(&long[..n]), Ok(None)));
        let unknown = [0x1f, 0x43, 0xb6, 0x75, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(h(&unknown).unwrap().unwrap().size, None);
        assert_eq!(h(&[0xa3, 0xff]).unwrap().unwrap().size, None);
        // 2^56 − 2 is the largest size.
        let largest = [0xa3, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe];
        assert_eq!(h(&largest).unwrap().unwrap().size, Some((1 << 56) - 2));
        assert!(h(&[0xff, 0x80]).is_err() && h(&[0, 0x80]).is_err() && h(&[8, 0, 0, 0, 0]).is_err());
        assert!(h(&[0xa3, 0]).is_err());
        assert!(head(&[0xa3, 0x40, 5], 1).is_err());
    }

    #[test]
    fn children_end_at_what_is_wrong() {
        let good = [0x83, 0x81, 1, 0xec, 0x80, 0xfb, 0x81, 0xff];
        let all: Vec<_> = children(&good).map(Result::unwrap).collect();
        assert_eq!(all.iter().map(|c| (c.id, c.at)).collect::<Vec<_>>(), [(0x83, 0), (0xec, 3), (0xfb, 5)]);
        assert_eq!((all[0].uint(), all[2].int()), (1, -1));
        for bad in [&[0x83, 0x82, 1][..], &[0x83], &[0, 1]] {
            let mut it = children(bad);
            assert!(it.next().unwrap().is_err() && it.next().is_none());
        }
    }

    #[test]
    fn values() {
        let of = |data: &'static [u8]| Child { id: 0, at: 0, head: 0, data };
        assert_eq!((of(&[]).uint(), of(&[1; 9]).uint(), of(&[]).int()), (0, 0, 0));
        assert_eq!(of(&[0xff, 0xfe]).int(), -2);
        assert_eq!(of(&[0x47, 0x2c, 0x44, 0]).float(), 44_100.0);
        assert_eq!(of(&[0x7f, 0x80, 0, 0]).float(), 0.0);
        assert_eq!(of(b"webm\0\0x").text(), "webm");
    }
}
