//! What a codec's mapping to Ogg needs for writing: header packets, lengths and granule positions.

use super::map_theora::Granules;
use super::mapping::{Clock, comment_lang, comments};
use bytes::{BufMut, Bytes, BytesMut};
use mist_core::codec::flac::{StreamInfo, frame_samples};
use mist_core::codec::opus::{self, OpusHead, packet_samples};
use mist_core::codec::vorbis::{Blocks, Identification, split_headers};
use mist_core::codec::{Codec, speex, theora};
use mist_core::format::ErrorKind;
use mist_core::media::{Lang, TrackInfo};

/// Writes one codec.
#[derive(Debug)]
pub(super) struct Pen {
    /// The unit of lengths.
    pub(super) clock: Clock,
    /// Header packets; the first one is the stream's first page.
    pub(super) headers: Vec<Bytes>,
    codec: Kind,
}

#[derive(Debug)]
enum Kind {
    Vorbis(Blocks),
    Opus { pre_skip: i64 },
    Theora(Granules),
    Flac,
    Speex { samples: i64 },
}

impl Pen {
    /// For a track.
    pub(super) fn new(info: &TrackInfo) -> Result<Self, ErrorKind> {
        match info.codec {
            Codec::Vorbis => {
                let [first, second, third] = split_headers(&info.init)?;
                let id = Identification::parse(first)?;
                let codec = Kind::Vorbis(Blocks::parse(&id, third)?);
                let second = xiph_comments(second, b"\x03vorbis", info.lang, true);
                let headers = vec![Bytes::copy_from_slice(first), second, Bytes::copy_from_slice(third)];
                Ok(Self { clock: Clock::new(id.rate), headers, codec })
            }
            Codec::Theora => {
                let [first, second, third] = split_headers(&info.init)?;
                let id = theora::Identification::parse(first)?;
                let codec = Kind::Theora(Granules::of(&id, first));
                let second = xiph_comments(second, b"\x81theora", info.lang, false);
                let headers = vec![Bytes::copy_from_slice(first), second, Bytes::copy_from_slice(third)];
                Ok(Self { clock: Clock { rate: id.rate.0, per: id.rate.1 }, headers, codec })
            }
            Codec::Opus => {
                let head = if info.init.is_empty() {
                    OpusHead::new(u8::try_from(info.channels()).unwrap_or(u8::MAX), 0)?
                } else {
                    OpusHead::parse(&info.init)?
                };
                let codec = Kind::Opus { pre_skip: head.pre_skip.into() };
                let headers = vec![head.build(), comments(b"OpusTags", info.lang, false)];
                Ok(Self { clock: Clock::new(opus::RATE), headers, codec })
            }
            Codec::Flac => {
                let stream = StreamInfo::from_init(&info.init)?;
                let headers = vec![flac_head(&info.init), flac_comments(info.lang)];
                Ok(Self { clock: Clock::new(stream.rate), headers, codec: Kind::Flac })
            }
            Codec::Speex => {
                let (head, packet) = if info.init.is_empty() {
                    (speex::Header::WIDE_BAND, speex::Header::WIDE_BAND.build())
                } else {
                    (speex::Header::parse(&info.init)?, without_extra_headers(&info.init))
                };
                let headers = vec![packet, comments(b"", info.lang, false)];
                Ok(Self {
                    clock: Clock::new(head.rate),
                    headers,
                    codec: Kind::Speex { samples: head.samples().into() },
                })
            }
            _ => Err(ErrorKind::Unsupported("codec")),
        }
    }

    /// Length of a packet; `None` for what is none of the codec's.
    pub(super) fn units(&mut self, packet: &[u8]) -> Option<i64> {
        match &mut self.codec {
            Kind::Vorbis(b) => match b.samples(packet) {
                0 => None,
                n => Some(n.into()),
            },
            Kind::Opus { .. } => packet_samples(packet).map(i64::from),
            Kind::Theora(_) => packet.first().is_none_or(|b| b & 0x80 == 0).then_some(1),
            Kind::Flac => frame_samples(packet).map(i64::from),
            Kind::Speex { samples } => (!packet.is_empty()).then_some(*samples),
        }
    }

    /// The earliest start of a first packet that has this length: what comes before 0 is cut by players.
    pub(super) fn origin(&self, first: i64) -> i64 {
        match self.codec {
            Kind::Opus { pre_skip } => -pre_skip,
            _ => -first,
        }
    }

    /// The granule position of a packet from `start` to `end`, whose key frame begins at `key`.
    pub(super) fn granule(&self, key: i64, start: i64, end: i64) -> i64 {
        let granule = match self.codec {
            Kind::Theora(g) => g.join(key, start),
            Kind::Opus { pre_skip } => end.saturating_add(pre_skip),
            _ => end,
        };
        granule.max(0)
    }
}

/// The comments as they came, unless the track's language is not in them.
fn xiph_comments(packet: &[u8], magic: &[u8], lang: Option<Lang>, framing: bool) -> Bytes {
    match packet.strip_prefix(magic) {
        Some(body) if lang.is_none() || comment_lang(body) == lang => Bytes::copy_from_slice(packet),
        _ => comments(magic, lang, framing),
    }
}

/// Offset of STREAMINFO's body in FLAC's init data, behind `fLaC` and the block's head.
const FLAC_BODY: usize = 8;

fn flac_head(init: &[u8]) -> Bytes {
    let body = init.get(FLAC_BODY..FLAC_BODY + StreamInfo::LEN).unwrap_or_default();
    let mut out = BytesMut::with_capacity(17 + StreamInfo::LEN);
    // Version 1.0, one more header packet.
    out.put_slice(b"\x7fFLAC\x01\0\0\x01fLaC\0\0\0\x22");
    out.put_slice(body);
    out.freeze()
}

fn flac_comments(lang: Option<Lang>) -> Bytes {
    let body = comments(b"", lang, false);
    let mut out = BytesMut::with_capacity(4 + body.len());
    // The last block, of type 4.
    out.put_u32(0x8400_0000 | (body.len() as u32 & 0xff_ffff));
    out.put_slice(&body);
    out.freeze()
}

fn without_extra_headers(init: &[u8]) -> Bytes {
    let mut out = init.to_vec();
    if let Some(n) = out.get_mut(68..72) {
        n.fill(0);
    }
    out.into()
}
