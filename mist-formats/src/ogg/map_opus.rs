//! Opus (RFC 7845): granule positions count samples at 48 kHz that come out of the decoder, of which the first ones
//! are discarded.

use super::mapping::{Clock, Described, Header, Mapping, comment_lang};
use bytes::Bytes;
use mist_core::codec::opus::{OpusHead, RATE, packet_samples};
use mist_core::codec::{Codec, CodecError};
use mist_core::media::{Lang, Params, Visual};

/// A stream of Opus.
#[derive(Debug, Default)]
pub(super) struct Opus {
    head: Option<(OpusHead, Bytes)>,
    lang: Option<Lang>,
}

impl Opus {
    fn pre_skip(&self) -> i64 {
        self.head.as_ref().map_or(0, |(h, _)| h.pre_skip.into())
    }
}

impl Mapping for Opus {
    fn header(&mut self, packet: &Bytes) -> Result<Header, CodecError> {
        if self.head.is_none() {
            self.head = Some((OpusHead::parse(packet)?, Bytes::copy_from_slice(packet)));
            return Ok(Header::More);
        }
        // Some streams of the first years have no comments.
        let Some(body) = packet.strip_prefix(b"OpusTags") else { return Ok(Header::Media) };
        self.lang = comment_lang(body);
        Ok(Header::Last)
    }

    fn describe(&self) -> Described {
        let (params, init) = match &self.head {
            Some((h, init)) => (h.params(), init.clone()),
            None => (Params::Other, Bytes::new()),
        };
        Described { codec: Codec::Opus, init, params, visual: Visual::default() }
    }

    fn lang(&self) -> Option<Lang> {
        self.lang
    }

    fn clock(&self) -> Clock {
        Clock::new(RATE)
    }

    fn units(&mut self, packet: &[u8]) -> Option<i64> {
        packet_samples(packet).map(i64::from)
    }

    fn end(&self, granule: i64) -> i64 {
        granule.saturating_sub(self.pre_skip())
    }

    fn origin(&self, _first: i64) -> i64 {
        -self.pre_skip()
    }
}
