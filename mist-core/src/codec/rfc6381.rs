//! Codec strings for playlists and manifests: RFC 6381, ISO 14496-15 Annex E, and the registrations of AV1 and Opus.

use super::{Codec, aac::Asc, hevc::Hvcc};
use crate::media::TrackInfo;
use std::fmt::Write;

/// The `codecs` string of a track; `None` if its init data doesn't tell, or nobody registered one.
pub fn codec_string(track: &TrackInfo) -> Option<String> {
    let fixed = |s: &str| Some(s.to_owned());
    match track.codec {
        Codec::H264 => match track.init.get(1..4)? {
            [profile, compat, level] => Some(format!("avc1.{profile:02x}{compat:02x}{level:02x}")),
            _ => None,
        },
        Codec::Hevc => hevc(track),
        Codec::Av1 => av1(&track.init),
        Codec::Vp8 => fixed("vp8"),
        Codec::Mpeg2 => fixed("mp4v.61"),
        Codec::Aac => Some(format!("mp4a.40.{}", Asc::parse(&track.init).ok()?.shown_object_type())),
        Codec::Mp3 => fixed("mp4a.40.34"),
        Codec::Mp2 => fixed("mp4a.40.33"),
        Codec::Ac3 => fixed("ac-3"),
        Codec::Eac3 => fixed("ec-3"),
        Codec::Opus => fixed("opus"),
        Codec::Vorbis => fixed("vorbis"),
        Codec::Flac => fixed("flac"),
        Codec::WebVtt => fixed("wvtt"),
        Codec::Stpp => fixed("stpp"),
        _ => None,
    }
}

/// ISO 14496-15 §E.3: profile, compatibility in reverse bit order, tier and level, constraint bytes up to the last
/// that isn't zero.
fn hevc(track: &TrackInfo) -> Option<String> {
    let p = Hvcc::parse(&track.init).ok()?.profile;
    let mut s = String::from("hvc1.");
    s.push_str(["", "A", "B", "C"].get(usize::from(p.space))?);
    let tier = if p.high_tier { 'H' } else { 'L' };
    write!(s, "{}.{:X}.{tier}{}", p.idc, p.compat.reverse_bits(), p.level).ok()?;
    let constraints = p.constraints.to_be_bytes();
    let bytes = constraints.get(2..)?;
    let used = bytes.iter().rposition(|b| *b != 0).map_or(0, |i| i + 1);
    for b in bytes.iter().take(used) {
        write!(s, ".{b:X}").ok()?;
    }
    Some(s)
}

/// AV1 in ISO BMFF §5, the short form: profile, level and tier, bit depth, from the `av1C`.
fn av1(init: &[u8]) -> Option<String> {
    let [_, a, b, ..] = init else { return None };
    let tier = if b & 0x80 == 0 { 'M' } else { 'H' };
    let depth = match (b & 0x40 != 0, b & 0x20 != 0) {
        (false, _) => 8,
        (true, false) => 10,
        (true, true) => 12,
    };
    Some(format!("av01.{}.{:02}{tier}.{depth:02}", a >> 5, a & 0x1f))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{Params, TrackId};
    use bytes::Bytes;

    fn string(codec: Codec, init: &'static [u8]) -> Option<String> {
        let init = Bytes::from_static(init);
        codec_string(&TrackInfo { id: TrackId(1), codec, init, params: Params::Other, lang: None })
    }

    #[test]
    fn strings_that_players_know() {
        const HVCC: &[u8] = &[
            1, 0x01, 0x60, 0, 0, 0, 0x90, 0, 0, 0, 0, 0, 93, 0xf0, 0, 0xfc, 0xfd, 0xf8, 0xf8, 0, 0, 0x0f, 0,
        ];
        for (codec, init, want) in [
            (Codec::H264, &[1, 0x42, 0xc0, 0x1f, 0xff, 0xe1][..], Some("avc1.42c01f")),
            (Codec::H264, &[1, 0x42, 0xc0], None),
            (Codec::Hevc, HVCC, Some("hvc1.1.6.L93.90")),
            (Codec::Hevc, &HVCC[..9], None),
            (Codec::Av1, &[0x81, 0x08, 0x4c, 0], Some("av01.0.08M.10")),
            (Codec::Av1, &[0x81], None),
            (Codec::Aac, &[0x11, 0x90], Some("mp4a.40.2")),
            (Codec::Aac, &[], None),
            (Codec::Mp3, &[], Some("mp4a.40.34")),
            (Codec::Speex, &[], None),
        ] {
            assert_eq!(string(codec, init).as_deref(), want, "{codec:?} {init:x?}");
        }
    }
}
