//! FLAC (RFC 9639 §10.1): granule positions count samples.

use super::mapping::{Clock, Described, Header, Mapping, comment_lang};
use bytes::{BufMut, Bytes, BytesMut};
use mist_core::codec::flac::{StreamInfo, frame_samples};
use mist_core::codec::{Codec, CodecError};
use mist_core::media::{Lang, Params, Visual};

/// A stream of FLAC. Of its metadata only the stream information is kept.
#[derive(Debug, Default)]
pub(super) struct Flac {
    info: Option<StreamInfo>,
    init: Bytes,
    lang: Option<Lang>,
}

/// Type of the metadata block with the comments.
const COMMENTS: u8 = 4;

impl Mapping for Flac {
    fn header(&mut self, packet: &Bytes) -> Result<Header, CodecError> {
        let Some(info) = &self.info else {
            // Magic, version 1.x, number of header packets; then what a file of FLAC begins with.
            let Some([1, _, _, _, head @ ..]) = packet.strip_prefix(b"\x7fFLAC") else {
                return Err(CodecError::unsupported("version of FLAC in Ogg"));
            };
            let Some([b'f', b'L', b'a', b'C', kind, 0, 0, 34, info @ ..]) = head.get(..8 + StreamInfo::LEN)
            else {
                return Err(CodecError::truncated("STREAMINFO"));
            };
            let parsed = StreamInfo::parse(info)?;
            let mut init = BytesMut::with_capacity(8 + StreamInfo::LEN);
            init.put_slice(b"fLaC");
            // The last block, as no other is kept.
            init.put_slice(&[kind | 0x80, 0, 0, 34]);
            init.put_slice(info);
            self.init = init.freeze();
            self.info = Some(parsed);
            return Ok(if kind & 0x80 == 0 { Header::More } else { Header::Last });
        };
        debug_assert!(info.rate > 0);
        match packet.split_first_chunk::<4>() {
            _ if packet.first() == Some(&0xff) => Ok(Header::Media),
            Some(([kind, ..], body)) => {
                if kind & 0x7f == COMMENTS {
                    self.lang = comment_lang(body);
                }
                Ok(if kind & 0x80 == 0 { Header::More } else { Header::Last })
            }
            None => Err(CodecError::malformed("FLAC metadata")),
        }
    }

    fn describe(&self) -> Described {
        let params = self.info.map_or(Params::Other, |i| i.params());
        Described { codec: Codec::Flac, init: self.init.clone(), params, visual: Visual::default() }
    }

    fn lang(&self) -> Option<Lang> {
        self.lang
    }

    fn clock(&self) -> Clock {
        Clock::new(self.info.map_or(1, |i| i.rate))
    }

    fn units(&mut self, packet: &[u8]) -> Option<i64> {
        frame_samples(packet).map(i64::from)
    }

    fn end(&self, granule: i64) -> i64 {
        granule
    }
}
