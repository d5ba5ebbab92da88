//! `mdhd` and `elng`: a track's clock and language (ISO/IEC 14496-12 §8.4.2, §8.4.6).

use crate::mp4::boxes::{Part, Reader};
use mist_core::lang;
use mist_core::media::Lang;

/// Languages of QuickTime by their Macintosh codes, the commonest of them.
#[rustfmt::skip]
const MACINTOSH: &[&str] = &[
    "eng", "fra", "deu", "ita", "nld", "swe", "spa", "dan", "por", "nor", "heb", "jpn", "ara", "fin", "ell", "isl", "mlt",
    "tur", "hrv", "zho", "urd", "hin", "tha", "kor", "lit", "pol", "hun", "est", "lav",
];

/// Timescale and language.
pub(in crate::mp4) fn read(part: &Part) -> Option<(u32, Option<Lang>)> {
    let mut r = Reader(&part.body);
    let (version, _) = r.full()?;
    r.take(if version == 1 { 16 } else { 8 })?;
    let scale = r.u32()?;
    r.sized(version)?;
    Some((scale, r.u16().and_then(language)))
}

/// Three letters of 5 bits each; numbers below 0x400 are QuickTime's.
fn language(code: u16) -> Option<Lang> {
    if code < 0x400 {
        return MACINTOSH.get(usize::from(code)).and_then(|l| Lang::new(l));
    }
    let letters = [10, 5, 0].map(|s| 0x60 + (code >> s & 31) as u8);
    Lang::new(std::str::from_utf8(&letters).ok()?)
}

/// An extended language tag (BCP 47), which overrides the other.
pub(in crate::mp4) fn elng(part: &Part) -> Option<Lang> {
    let text = std::str::from_utf8(part.body.get(4..)?).ok()?;
    let text = text.trim_end_matches('\0');
    lang::parse(text.split(['-', '_']).next()?)
}
