//! VP8, as On2 and GStreamer put it into Ogg: the upper half of a granule position counts shown frames, the lower one
//! says how many in a row are hidden and how far the key frame is.

use super::mapping::{Clock, Described, Header, Mapping, comment_lang};
use bytes::Bytes;
use mist_core::codec::{Codec, CodecError};
use mist_core::media::{Lang, Params, Visual};

/// A stream of VP8.
#[derive(Debug, Default)]
pub(super) struct Vp8 {
    size: (u32, u32),
    sar: (u32, u32),
    clock: Option<Clock>,
    lang: Option<Lang>,
}

impl Mapping for Vp8 {
    fn header(&mut self, packet: &Bytes) -> Result<Header, CodecError> {
        let Some(body) = packet.strip_prefix(b"OVP80") else {
            return if self.clock.is_some() {
                Ok(Header::Media)
            } else {
                Err(CodecError::malformed("VP8 header"))
            };
        };
        if self.clock.is_some() {
            // Comments behind a type and a space.
            self.lang = body.get(2..).and_then(comment_lang);
            return Ok(Header::Last);
        }
        let Some(&[1, 1, _, w0, w1, h0, h1, a0, a1, a2, b0, b1, b2, n0, n1, n2, n3, d0, d1, d2, d3]) =
            body.first_chunk()
        else {
            return Err(CodecError::unsupported("version of VP8 in Ogg"));
        };
        let (rate, per) = (u32::from_be_bytes([n0, n1, n2, n3]), u32::from_be_bytes([d0, d1, d2, d3]));
        if rate == 0 || per == 0 {
            return Err(CodecError::malformed("VP8 frame rate"));
        }
        self.size = (u16::from_be_bytes([w0, w1]).into(), u16::from_be_bytes([h0, h1]).into());
        self.sar = (u32::from_be_bytes([0, a0, a1, a2]), u32::from_be_bytes([0, b0, b1, b2]));
        self.clock = Some(Clock { rate, per });
        Ok(Header::More)
    }

    fn describe(&self) -> Described {
        let (width, height) = self.size;
        let c = self.clock();
        let fpks =
            (u64::from(c.rate) * 1000).checked_div(c.per.into()).filter(|f| *f <= 1_000_000).unwrap_or(0);
        let sar = if self.sar.0 == 0 || self.sar.1 == 0 { (0, 0) } else { self.sar };
        Described {
            codec: Codec::Vp8,
            init: Bytes::new(),
            params: Params::Video { width, height, fpks: fpks as u32 },
            visual: Visual { sar, ..Visual::default() },
        }
    }

    fn lang(&self) -> Option<Lang> {
        self.lang
    }

    fn clock(&self) -> Clock {
        self.clock.unwrap_or(Clock::new(1))
    }

    /// A hidden frame takes no time.
    fn units(&mut self, packet: &[u8]) -> Option<i64> {
        packet.first().map(|b| (b >> 4 & 1).into())
    }

    fn end(&self, granule: i64) -> i64 {
        let hidden = granule >> 30 & 3 == 0;
        (granule >> 32).saturating_sub(hidden.into())
    }

    fn key(&self, granule: i64) -> Option<i64> {
        Some(self.end(granule).saturating_sub(1).saturating_sub(granule >> 3 & 0x7ff_ffff))
    }
}
