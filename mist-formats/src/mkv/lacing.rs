//! Lacing: several frames in one block (RFC 9559 §10.3).

use super::ebml::vint;
use bytes::Bytes;
use mist_core::format::ErrorKind;
use smallvec::SmallVec;

/// The frames of a block.
pub(super) type Frames = SmallVec<[Bytes; 8]>;

/// Takes the frames out of what follows a block's head, by the head's flags.
///
/// # Errors
/// The sizes exceed the block.
pub(super) fn split(flags: u8, body: &Bytes) -> Result<Frames, ErrorKind> {
    let mut out = Frames::new();
    let kind = flags & 0x06;
    if kind == 0 {
        out.push(body.clone());
        return Ok(out);
    }
    let Some((&last, rest)) = body.split_first() else { return Err(ErrorKind::Size("lace count missing")) };
    // The count is stored less one; the last frame has no size.
    let last = usize::from(last);
    let mut sizes: SmallVec<[usize; 8]> = SmallVec::new();
    let frames = match kind {
        0x02 => xiph(rest, last, &mut sizes)?,
        0x06 => ebml(rest, last, &mut sizes)?,
        _ => {
            let count = last + 1;
            if rest.len() % count != 0 {
                return Err(ErrorKind::Size("fixed-size lacing does not divide the block"));
            }
            sizes.resize(last, rest.len() / count);
            rest
        }
    };
    let mut rest = body.slice_ref(frames);
    for size in sizes {
        if size > rest.len() {
            return Err(ErrorKind::Size("lace beyond the block"));
        }
        out.push(rest.split_to(size));
    }
    out.push(rest);
    Ok(out)
}

const CUT: ErrorKind = ErrorKind::Size("lace sizes beyond the block");

fn xiph<'a>(mut at: &'a [u8], n: usize, sizes: &mut SmallVec<[usize; 8]>) -> Result<&'a [u8], ErrorKind> {
    for _ in 0..n {
        let mut size = 0usize;
        loop {
            let (&b, rest) = at.split_first().ok_or(CUT)?;
            at = rest;
            size += usize::from(b);
            if b != 255 {
                break;
            }
        }
        sizes.push(size);
    }
    Ok(at)
}

fn ebml<'a>(mut at: &'a [u8], n: usize, sizes: &mut SmallVec<[usize; 8]>) -> Result<&'a [u8], ErrorKind> {
    let mut size = 0i64;
    for i in 0..n {
        let (v, len) = vint(at)?.ok_or(CUT)?;
        at = at.get(len..).unwrap_or_default();
        let v = v as i64;
        // The first is a size, the others are differences around the middle of their range.
        size = if i == 0 { v } else { size.saturating_add(v - ((1 << (7 * len - 1)) - 1)) };
        sizes.push(usize::try_from(size).map_err(|_| ErrorKind::Size("negative lace size"))?);
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lens(flags: u8, body: &[u8]) -> Result<Vec<usize>, ErrorKind> {
        split(flags, &Bytes::copy_from_slice(body)).map(|f| f.iter().map(Bytes::len).collect())
    }

    #[test]
    fn the_three_kinds() {
        assert_eq!(lens(0x80, &[1, 2, 3]), Ok(vec![3]));
        let mut d = vec![2, 255, 1, 3];
        d.resize(4 + 256 + 3 + 5, 0);
        assert_eq!(lens(2, &d), Ok(vec![256, 3, 5]));
        // The standard's example: 800, 500 and 1000 bytes.
        let mut d = vec![2, 0x43, 0x20, 0x5e, 0xd3];
        d.resize(5 + 2300, 0);
        assert_eq!(lens(6, &d), Ok(vec![800, 500, 1000]));
        assert_eq!(lens(4, &[2, 0, 0, 0, 0, 0, 0]), Ok(vec![2, 2, 2]));
        assert_eq!(lens(4, &[0, 7]), Ok(vec![1]));
    }

    #[test]
    fn sizes_against_the_block() {
        assert!(lens(4, &[2, 0, 0, 0, 0]).is_err());
        for kind in [2, 6] {
            assert!(lens(kind, &[]).is_err() && lens(kind, &[3, 0x81]).is_err());
            assert!(lens(kind, &[1, 0x85, 0, 0]).is_err());
        }
        // 5 less 6 bytes.
        assert!(lens(6, &[2, 0x85, 0xb9, 0, 0, 0, 0, 0, 0, 0, 0]).is_err());
    }

    proptest! {
        #[test]
        fn frames_are_never_more_than_the_block(flags in any::<u8>(), v in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(f) = lens(flags, &v) {
                prop_assert!(f.iter().sum::<usize>() <= v.len() && f.len() <= 256);
            }
        }
    }
}
