//! Speex (*The Speex Codec Manual*, Ogg file format): granule positions count samples.

use super::mapping::{Clock, Described, Header, Mapping, comment_lang};
use bytes::Bytes;
use mist_core::codec::speex;
use mist_core::codec::{Codec, CodecError};
use mist_core::media::{Lang, Params, Visual};

/// A stream of Speex.
#[derive(Debug, Default)]
pub(super) struct Speex {
    head: Option<speex::Header>,
    init: Bytes,
    /// Header packets taken.
    taken: u32,
    lang: Option<Lang>,
}

impl Mapping for Speex {
    fn header(&mut self, packet: &Bytes) -> Result<Header, CodecError> {
        let Some(head) = &self.head else {
            self.head = Some(speex::Header::parse(packet)?);
            self.init = Bytes::copy_from_slice(packet.get(..speex::Header::LEN).unwrap_or_default());
            return Ok(Header::More);
        };
        if self.taken == 0 {
            self.lang = comment_lang(packet);
        }
        self.taken = self.taken.saturating_add(1);
        Ok(if self.taken > head.extra_headers { Header::Last } else { Header::More })
    }

    fn describe(&self) -> Described {
        let params = self.head.map_or(Params::Other, |h| h.params());
        Described { codec: Codec::Speex, init: self.init.clone(), params, visual: Visual::default() }
    }

    fn lang(&self) -> Option<Lang> {
        self.lang
    }

    fn clock(&self) -> Clock {
        Clock::new(self.head.map_or(1, |h| h.rate))
    }

    fn units(&mut self, packet: &[u8]) -> Option<i64> {
        self.head.filter(|_| !packet.is_empty()).map(|h| h.samples().into())
    }

    fn end(&self, granule: i64) -> i64 {
        granule
    }
}
