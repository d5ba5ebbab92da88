//! Vorbis (*Vorbis I specification*, annex A): granule positions count samples that come out of the decoder.

use super::limits;
use super::mapping::{Clock, Described, Header, Mapping, comment_lang, comments};
use bytes::Bytes;
use mist_core::codec::vorbis::{Blocks, Identification, join_headers};
use mist_core::codec::{Codec, CodecError};
use mist_core::media::{Lang, Visual};

/// A stream of Vorbis.
#[derive(Debug, Default)]
pub(super) struct Vorbis {
    headers: [Bytes; 3],
    id: Option<Identification>,
    blocks: Option<Blocks>,
    lang: Option<Lang>,
}

impl Mapping for Vorbis {
    fn header(&mut self, packet: &Bytes) -> Result<Header, CodecError> {
        let [first, second, third] = &mut self.headers;
        let keep = |h: &mut Bytes| *h = Bytes::copy_from_slice(packet);
        match &self.id {
            None => {
                self.id = Some(Identification::parse(packet)?);
                keep(first);
                Ok(Header::More)
            }
            Some(_) if second.is_empty() => {
                let body = packet.strip_prefix(b"\x03vorbis");
                self.lang = comment_lang(body.ok_or(CodecError::malformed("Vorbis comment header"))?);
                if packet.len() > limits::COMMENTS {
                    *second = comments(b"\x03vorbis", self.lang, true);
                } else {
                    keep(second);
                }
                Ok(Header::More)
            }
            Some(id) => {
                self.blocks = Some(Blocks::parse(id, packet)?);
                keep(third);
                Ok(Header::Last)
            }
        }
    }

    fn describe(&self) -> Described {
        let [a, b, c] = &self.headers;
        Described {
            codec: Codec::Vorbis,
            init: join_headers([a, b, c]),
            params: self.id.map_or(mist_core::media::Params::Other, |id| id.params()),
            visual: Visual::default(),
        }
    }

    fn lang(&self) -> Option<Lang> {
        self.lang
    }

    fn clock(&self) -> Clock {
        Clock::new(self.id.map_or(1, |id| id.rate))
    }

    fn units(&mut self, packet: &[u8]) -> Option<i64> {
        match self.blocks.as_mut()?.samples(packet) {
            0 => None,
            n => Some(n.into()),
        }
    }

    fn reset(&mut self) {
        if let Some(b) = &mut self.blocks {
            b.reset();
        }
    }

    fn end(&self, granule: i64) -> i64 {
        granule
    }

    /// Nothing comes out for the first packet: it only prepares the second.
    fn origin(&self, first: i64) -> i64 {
        first.saturating_neg()
    }
}
