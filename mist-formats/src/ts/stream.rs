//! What an entry of a PMT means (ISO/IEC 13818-1 table 2-34 and its registrations), both ways.

use super::psi::{Descriptors, Elementary};
use mist_core::codec::Codec;
use mist_core::media::{Lang, TrackInfo};

/// How an elementary stream is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    /// ITU-T H.264, Annex B.
    H264,
    /// ITU-T H.265, Annex B.
    Hevc,
    /// MPEG-1 and MPEG-2 video.
    Mpeg2,
    /// AAC in ADTS frames.
    Adts,
    /// AAC in LATM, framed as AudioSyncStream.
    Latm,
    /// MPEG audio; the frames tell the layer.
    Mpa,
    /// AC-3 or E-AC-3; the frames tell which.
    Ac3,
    /// Opus, with control headers; the codec's `OpusHead` comes from `channel_config_code`.
    Opus(u8),
    /// Timed ID3.
    Id3,
    /// SCTE-35 sections.
    Scte35,
}

/// Registered names of private streams (§2.6.8).
const REG_AC3: [u8; 4] = *b"AC-3";
const REG_EAC3: [u8; 4] = *b"EAC3";
const REG_OPUS: [u8; 4] = *b"Opus";
const REG_ID3: [u8; 4] = *b"ID3 ";
const REG_SPLICE: [u8; 4] = *b"CUEI";

/// How the stream is coded; an error says what is not handled.
pub(super) fn identify(es: &Elementary<'_>, program: Descriptors<'_>) -> Result<Coding, &'static str> {
    let registration = es.descriptors.registration();
    let hdmv = program.registration() == Some(*b"HDMV");
    match es.stream_type {
        0x01 | 0x02 => Ok(Coding::Mpeg2),
        0x03 | 0x04 => Ok(Coding::Mpa),
        0x0F => Ok(Coding::Adts),
        0x11 => Ok(Coding::Latm),
        0x15 => id3(es.descriptors).then_some(Coding::Id3).ok_or("metadata other than ID3"),
        0x1B => Ok(Coding::H264),
        0x24 => Ok(Coding::Hevc),
        0x81 | 0x87 => Ok(Coding::Ac3),
        0x84 if hdmv => Ok(Coding::Ac3),
        0x86 if !hdmv => Ok(Coding::Scte35),
        0x06 => private(es.descriptors, registration),
        _ => Err("stream type"),
    }
}

fn private(d: Descriptors<'_>, registration: Option<[u8; 4]>) -> Result<Coding, &'static str> {
    match registration {
        Some(REG_AC3 | REG_EAC3) => return Ok(Coding::Ac3),
        Some(REG_OPUS) => {
            // DVB extension descriptor, here with tag_extension 0x80: channel_config_code
            let code = d.clone().find_map(|d| match d {
                (0x7F, [0x80, code, ..]) => Some(*code),
                _ => None,
            });
            return Ok(Coding::Opus(code.unwrap_or(2)));
        }
        Some(REG_ID3) => return Ok(Coding::Id3),
        Some([b'H', b'E', b'V', b'C']) => return Ok(Coding::Hevc),
        _ => {}
    }
    let mut tags = d.map(|d| d.0);
    // EN 300 468: AC-3, enhanced AC-3 descriptor, AAC descriptor
    tags.find_map(|tag| match tag {
        0x6A | 0x7A => Some(Coding::Ac3),
        0x7C => Some(Coding::Latm),
        _ => None,
    })
    .ok_or("private data")
}

/// Whether a metadata descriptor (§2.6.60) names ID3.
fn id3(mut d: Descriptors<'_>) -> bool {
    d.any(|(tag, data)| tag == 0x26 && data.windows(4).any(|w| w == REG_ID3))
}

/// The language of the ISO 639 descriptor (§2.6.18).
pub(super) fn language(mut d: Descriptors<'_>) -> Option<Lang> {
    let (_, data) = d.find(|d| d.0 == 0x0A)?;
    Lang::new(std::str::from_utf8(data.get(..3)?).ok()?)
}

/// How the muxer announces a codec.
#[derive(Debug, Clone, Copy)]
pub(super) struct Announced {
    pub(super) stream_type: u8,
    /// `stream_id` of its PES packets.
    pub(super) stream_id: u8,
    /// `format_identifier` of its registration descriptor.
    registration: Option<[u8; 4]>,
}

/// How to announce a track, or `None` for a codec that has no place in a transport stream.
pub(super) fn announce(t: &TrackInfo) -> Option<Announced> {
    let (stream_type, stream_id, registration) = match t.codec {
        Codec::H264 => (0x1B, 0xE0, None),
        Codec::Hevc => (0x24, 0xE0, Some(*b"HEVC")),
        Codec::Mpeg2 => (0x02, 0xE0, None),
        Codec::Aac => (0x0F, 0xC0, None),
        // 0x04 is for the half sample rates of MPEG-2 audio
        Codec::Mp2 | Codec::Mp3 if (1..32_000).contains(&t.rate()) => (0x04, 0xC0, None),
        Codec::Mp2 | Codec::Mp3 => (0x03, 0xC0, None),
        Codec::Ac3 => (0x81, 0xBD, Some(REG_AC3)),
        Codec::Eac3 => (0x87, 0xBD, Some(REG_EAC3)),
        Codec::Opus => (0x06, 0xBD, Some(REG_OPUS)),
        Codec::Id3 => (0x15, 0xBD, None),
        Codec::Scte35 => (0x86, 0xFC, Some(REG_SPLICE)),
        _ => return None,
    };
    Some(Announced { stream_type, stream_id, registration })
}

impl Announced {
    /// The descriptors of the stream's PMT entry.
    pub(super) fn descriptors(&self, t: &TrackInfo) -> Vec<u8> {
        let mut d = Vec::new();
        let mut put = |tag: u8, data: &[u8]| {
            d.extend_from_slice(&[tag, data.len() as u8]);
            d.extend_from_slice(data);
        };
        if let Some(r) = self.registration {
            put(0x05, &r);
        }
        match t.codec {
            Codec::Opus => put(0x7F, &[0x80, channel_config(t)]),
            // application ID3, format ID3, service 0, no decoder configuration
            Codec::Id3 => {
                put(0x26, &[0xFF, 0xFF, b'I', b'D', b'3', b' ', 0xFF, b'I', b'D', b'3', b' ', 0, 0x0F]);
            }
            _ => {}
        }
        if let Some(l) = t.lang
            && let [a, b, c] = l.as_str().as_bytes()
        {
            put(0x0A, &[*a, *b, *c, 0]);
        }
        d
    }
}

/// The descriptors of the program: what its streams need said about them there.
pub(super) fn program_descriptors(tracks: impl Iterator<Item = Codec>, program: u16) -> Vec<u8> {
    let mut d = Vec::new();
    let mut splice = false;
    let mut id3 = false;
    for codec in tracks {
        splice |= codec == Codec::Scte35;
        id3 |= codec == Codec::Id3;
    }
    if splice {
        d.extend_from_slice(&[0x05, 4]);
        d.extend_from_slice(&REG_SPLICE);
    }
    if id3 {
        // metadata pointer: the metadata is in this program
        let [n1, n2] = program.to_be_bytes();
        d.extend_from_slice(&[0x25, 15, 0xFF, 0xFF, b'I', b'D', b'3', b' ', 0xFF]);
        d.extend_from_slice(&[b'I', b'D', b'3', b' ', 0, 0x1F, n1, n2]);
    }
    d
}

/// `channel_config_code` of Opus: the number of channels of the common layouts.
fn channel_config(t: &TrackInfo) -> u8 {
    match t.channels() {
        n @ 1..=8 => n as u8,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use mist_core::media::{Params, TrackId};

    fn read_back(codec: Codec) -> (Coding, Option<Lang>) {
        let t = TrackInfo::new(
            TrackId(1),
            codec,
            Bytes::new(),
            Params::Audio { rate: 48_000, channels: 6, bits: 16 },
        )
        .with_lang(Lang::new("deu"));
        let a = announce(&t).unwrap();
        let d = a.descriptors(&t);
        let p = program_descriptors([codec].into_iter(), 1);
        let es = Elementary { stream_type: a.stream_type, pid: 0x100, descriptors: Descriptors(&d) };
        (identify(&es, Descriptors(&p)).unwrap(), language(es.descriptors))
    }

    #[test]
    fn what_is_announced_is_identified() {
        for (codec, coding) in [
            (Codec::H264, Coding::H264),
            (Codec::Hevc, Coding::Hevc),
            (Codec::Mpeg2, Coding::Mpeg2),
            (Codec::Aac, Coding::Adts),
            (Codec::Mp3, Coding::Mpa),
            (Codec::Ac3, Coding::Ac3),
            (Codec::Eac3, Coding::Ac3),
            (Codec::Opus, Coding::Opus(6)),
            (Codec::Id3, Coding::Id3),
            (Codec::Scte35, Coding::Scte35),
        ] {
            assert_eq!(read_back(codec), (coding, Lang::new("deu")), "{codec:?}");
        }
    }

    #[test]
    fn dvb_and_disc_signalling() {
        let id = |stream_type, d: &'static [u8], p: &'static [u8]| {
            identify(&Elementary { stream_type, pid: 1, descriptors: Descriptors(d) }, Descriptors(p))
        };
        assert_eq!(id(0x06, &[0x52, 1, 0, 0x6A, 1, 0], &[]), Ok(Coding::Ac3));
        assert_eq!(id(0x06, &[0x7A, 1, 0], &[]), Ok(Coding::Ac3));
        assert_eq!(id(0x06, &[0x59, 0], &[]), Err("private data"));
        assert_eq!(id(0x86, &[], b"\x05\x04HDMV"), Err("stream type"));
        assert_eq!(id(0x15, &[0x26, 0], &[]), Err("metadata other than ID3"));
    }
}
