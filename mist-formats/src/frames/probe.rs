//! Recognises files of frames.

use super::{Framing, limits, tags};
use mist_core::codec::{CodecError, CodecErrorKind};

/// How sure it is that a file that starts so consists of these frames.
pub(crate) fn probe<F: Framing>(head: &[u8]) -> u8 {
    let mut at = 0usize;
    let mut tagged = false;
    while let Some(len) = head.get(at..).and_then(tags::id3v2) {
        at = at.saturating_add(usize::try_from(len).unwrap_or(usize::MAX));
        tagged = true;
    }
    let Some(rest) = head.get(at..).filter(|r| !r.is_empty()) else { return 0 };
    let zeros = rest.iter().take_while(|&&b| b == 0).count();
    let rest = rest.get(zeros..).unwrap_or_default();
    match run::<F>(rest) {
        (4.., _) => 220,
        (3, _) => 200,
        (2, _) => 150,
        (1, true) => 100,
        _ => {
            let places = memchr::memchr_iter(F::SYNC, rest).filter_map(|i| rest.get(i..));
            if tagged && places.clone().any(|r| run::<F>(r).0 >= 3) {
                90
            } else if rest.first() == Some(&F::SYNC)
                && places.take(limits::FREE_TRIES as usize).any(free_run::<F>)
            {
                60
            } else {
                0
            }
        }
    }
}

/// Whether three frames that don't tell their length follow one another from the start of some bytes.
pub(super) fn free_run<F: Framing>(b: &[u8]) -> bool {
    let like = |at: usize| b.get(at..).is_some_and(|next| F::free_like(b, next));
    // Frames differ by the padding of a slot.
    let run = |len: usize| {
        like(len) && (0..=4).any(|pad| like(2 * len + pad) || like((2 * len).saturating_sub(pad)))
    };
    F::parse(b).is_err_and(unsupported) && (F::MIN + 1..limits::FREE_FRAME).any(run)
}

pub(super) fn unsupported(e: CodecError) -> bool {
    e.kind == CodecErrorKind::Unsupported
}

/// Heads of frames in a row at the start of some bytes, and whether the last frame ends with them, or before a tag.
fn run<F: Framing>(mut at: &[u8]) -> (u32, bool) {
    let mut last: Option<F::Header> = None;
    let mut n = 0;
    while let Ok(h) = F::parse(at) {
        if last.is_some_and(|l| !F::like(&l, &h)) {
            return (n, false);
        }
        n += 1;
        last = Some(h);
        match at.get(F::len(&h).max(1)..) {
            Some(next) => at = next,
            None => return (n, false),
        }
    }
    (n, n > 0 && (at.is_empty() || tags::begins(at)))
}
