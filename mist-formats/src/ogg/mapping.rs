//! What a codec's mapping to Ogg has to tell: its headers, what its granule positions mean, how long packets are.

use super::{
    map_flac::Flac, map_opus::Opus, map_speex::Speex, map_theora::Theora, map_vorbis::Vorbis, map_vp8::Vp8,
};
use bytes::Bytes;
use mist_core::codec::{Codec, CodecError};
use mist_core::media::{Lang, Params, Visual};
use mist_core::time::{Duration, TICKS_PER_SECOND};
use std::fmt;

/// What became of a packet that may be a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Header {
    /// Taken; more are due.
    More,
    /// Taken; the stream is described.
    Last,
    /// It is media, and the stream is described.
    Media,
}

/// A track's description but for its id and language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Described {
    pub(super) codec: Codec,
    pub(super) init: Bytes,
    pub(super) params: Params,
    pub(super) visual: Visual,
}

/// The unit in which a mapping counts: `rate / per` a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Clock {
    pub(super) rate: u32,
    pub(super) per: u32,
}

impl Clock {
    pub(super) const fn new(rate: u32) -> Self {
        Self { rate, per: 1 }
    }

    /// The time of a number of units, to the nearest tick.
    pub(super) fn time(self, units: i64) -> Duration {
        let rate = i128::from(self.rate.max(1));
        let n = i128::from(units) * i128::from(self.per) * i128::from(TICKS_PER_SECOND);
        let ticks = (n + rate / 2).div_euclid(rate);
        Duration::from_ticks(i64::try_from(ticks).unwrap_or(if units < 0 { i64::MIN } else { i64::MAX }))
    }

    /// The number of units that comes nearest to a time.
    pub(super) fn units(self, time: Duration) -> i64 {
        let per = i128::from(self.per.max(1)) * i128::from(TICKS_PER_SECOND);
        let n = i128::from(time.ticks()) * i128::from(self.rate);
        i64::try_from((n + per / 2).div_euclid(per)).unwrap_or(if n < 0 { i64::MIN } else { i64::MAX })
    }
}

/// A codec in Ogg, read.
pub(super) trait Mapping: Send + fmt::Debug {
    /// Takes a packet at the start of the stream; not called again after [`Header::Last`] or [`Header::Media`].
    fn header(&mut self, packet: &Bytes) -> Result<Header, CodecError>;
    /// The track, once the headers are there.
    fn describe(&self) -> Described;
    /// Language, where the comments tell.
    fn lang(&self) -> Option<Lang> {
        None
    }
    /// The unit of everything below.
    fn clock(&self) -> Clock;
    /// Length of a packet; `None` where it is no media and has to be left out.
    fn units(&mut self, packet: &[u8]) -> Option<i64>;
    /// Packets are missing.
    fn reset(&mut self) {}
    /// Where the last packet that a granule position counts ends.
    fn end(&self, granule: i64) -> i64;
    /// Where a stream begins whose first packet has this length.
    fn origin(&self, _first: i64) -> i64 {
        0
    }
    /// Where the key frame begins without which the frame that a granule position counts can't be decoded.
    fn key(&self, _granule: i64) -> Option<i64> {
        None
    }
}

/// What a logical stream is, by its first packet.
pub(super) fn identify(packet: &[u8]) -> Option<Box<dyn Mapping>> {
    let magic = |m: &[u8]| packet.starts_with(m);
    Some(match () {
        () if magic(b"\x01vorbis") => Box::<Vorbis>::default(),
        () if magic(b"OpusHead") => Box::<Opus>::default(),
        () if magic(b"\x80theora") => Box::<Theora>::default(),
        () if magic(b"\x7fFLAC") => Box::<Flac>::default(),
        () if magic(b"Speex   ") => Box::<Speex>::default(),
        () if magic(b"OVP80") => Box::<Vp8>::default(),
        () => return None,
    })
}

/// The language that comments tell (*Ogg Vorbis I format specification: comment field*): the value of the first
/// `LANGUAGE`. `comments` begins behind the packet's magic.
pub(super) fn comment_lang(comments: &[u8]) -> Option<Lang> {
    let (vendor, rest) = take(comments)?;
    debug_assert!(vendor.len() <= comments.len());
    let (count, mut rest) = rest.split_first_chunk()?;
    for _ in 0..u32::from_le_bytes(*count) {
        let (field, tail) = take(rest)?;
        rest = tail;
        let Some((key, value)) = field.split_at_checked(9) else { continue };
        if key.eq_ignore_ascii_case(b"LANGUAGE=") {
            return lang_tag(value);
        }
    }
    None
}

/// A language tag or name: of `en-GB`, English.
pub(super) fn lang_tag(value: &[u8]) -> Option<Lang> {
    let text = std::str::from_utf8(value).ok()?;
    mist_core::lang::parse(text.split(['-', '_', '\0']).next()?.trim())
}

/// Takes a field with its length before it.
fn take(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = data.split_first_chunk()?;
    rest.split_at_checked(usize::try_from(u32::from_le_bytes(*len)).ok()?)
}

/// A comment packet that says who wrote it, and the language.
pub(super) fn comments(magic: &[u8], lang: Option<Lang>, framing: bool) -> Bytes {
    let vendor = b"mist";
    let mut out = magic.to_vec();
    out.extend_from_slice(&(vendor.len() as u32).to_le_bytes());
    out.extend_from_slice(vendor);
    let field = lang.map(|l| format!("LANGUAGE={l}"));
    out.extend_from_slice(&u32::from(field.is_some()).to_le_bytes());
    if let Some(f) = field {
        out.extend_from_slice(&(f.len() as u32).to_le_bytes());
        out.extend_from_slice(f.as_bytes());
    }
    if framing {
        out.push(1);
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_go_both_ways() {
        for (rate, per) in
            [(44_100, 1), (30_000, 1001), (30_000_299, 1_000_000), (24, 1), (u32::MAX, 1), (1, 1000)]
        {
            let c = Clock { rate, per };
            for n in [-1000, -1, 0, 1, 7, 123_456] {
                let exact = u64::from(rate) <= u64::from(per) * 705_600_000;
                assert!(!exact || c.units(c.time(n)) == n, "{c:?} {n}");
            }
            c.time(i64::MAX);
            c.time(i64::MIN);
            c.units(Duration::MAX);
            c.units(Duration::MIN);
        }
        assert_eq!(Clock::new(48_000).time(-312), Duration::from_rate(-312, 48_000));
    }

    #[test]
    fn languages_of_comments() {
        let lang = Lang::new("deu");
        let c = comments(b"", lang, true);
        assert_eq!(comment_lang(&c), lang);
        (0..c.len() - 1).for_each(|n| assert_eq!(comment_lang(&c[..n]), None, "cut at {n}"));
        assert_eq!(comment_lang(&comments(b"", None, false)), None);
        assert_eq!(comment_lang(b"\0\0\0\0\xff\xff\xff\xff\x0b\0\0\0language=fr"), Lang::new("fra"));
        assert_eq!(comment_lang(b"\0\0\0\0\xff\xff\xff\xff"), None);
    }
}
