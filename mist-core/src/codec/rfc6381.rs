//! Codec strings for playlists, manifests and `MediaSource` (RFC 6381 §3.3, ISO/IEC 14496-15 annex E, the AV1 and
//! VP9 bindings).

use super::aac::Asc;
use super::av1::Av1c;
use super::hevc::Hvcc;
use super::vpx::Vpcc;
use super::{Codec, mpeg2};
use crate::media::TrackInfo;
use std::fmt::Write;

/// The codec string of a track; `None` where its codec has none or its init data doesn't tell enough.
pub fn codec_string(t: &TrackInfo) -> Option<String> {
    let fixed = |s: &str| Some(s.to_owned());
    match t.codec {
        Codec::H264 => match &t.init[..] {
            // Lower case as MistServer writes it.
            [_, p, c, l, ..] => Some(format!("avc1.{p:02x}{c:02x}{l:02x}")),
            _ => None,
        },
        Codec::Hevc => Hvcc::parse(&t.init).ok().map(|h| hevc(&h)),
        Codec::Av1 => Av1c::parse(&t.init).ok().map(|c| {
            let s = c.sequence;
            let tier = if s.high_tier { 'H' } else { 'M' };
            format!("av01.{}.{:02}{tier}.{:02}", s.profile, s.level, s.bit_depth)
        }),
        Codec::Vp8 => fixed("vp8"),
        Codec::Vp9 => {
            let v = Vpcc::parse(&t.init).ok();
            let (p, l, b) = v.map_or((0, 10, 8), |v| (v.profile, v.level, v.bit_depth));
            Some(format!("vp09.{p:02}.{l:02}.{b:02}"))
        }
        Codec::Mpeg2 => match mpeg2::Sequence::parse(&t.init) {
            Ok(s) if s.mpeg1 => fixed("mp4v.6A"),
            _ => fixed("mp4v.61"),
        },
        Codec::Mpeg4 => fixed("mp4v.20"),
        Codec::Jpeg => fixed("mp4v.6C"),
        Codec::Theora => fixed("theora"),
        Codec::Aac => {
            let object = Asc::parse(&t.init).ok()?.shown_object_type();
            Some(format!("mp4a.40.{object}"))
        }
        // By audio object type, as Apple's authoring rules and hls.js have it; `mp4a.6B` says the same in MP4 terms.
        Codec::Mp3 => fixed("mp4a.40.34"),
        Codec::Mp2 => fixed("mp4a.40.33"),
        Codec::Ac3 => fixed("ac-3"),
        Codec::Eac3 => fixed("ec-3"),
        Codec::Dts => fixed("dtsc"),
        Codec::Opus => fixed("opus"),
        Codec::Vorbis => fixed("vorbis"),
        Codec::Flac => fixed("flac"),
        Codec::Alac => fixed("alac"),
        Codec::Pcm => fixed("ipcm"),
        Codec::PcmFloat => fixed("fpcm"),
        Codec::Alaw => fixed("alaw"),
        Codec::Ulaw => fixed("ulaw"),
        Codec::WebVtt => fixed("wvtt"),
        Codec::Tx3g => fixed("tx3g"),
        Codec::Stpp => fixed("stpp"),
        Codec::Cea608 => fixed("c608"),
        _ => None,
    }
}

fn hevc(h: &Hvcc) -> String {
    let p = &h.profile;
    let mut s = "hvc1.".to_owned();
    if let Some(space) = ["", "A", "B", "C"].get(usize::from(p.space)) {
        s.push_str(space);
    }
    let tier = if p.high_tier { 'H' } else { 'L' };
    let _ = write!(s, "{}.{:X}.{tier}{}", p.idc, p.compat.reverse_bits(), p.level);
    let bytes = p.constraints.to_be_bytes();
    let bytes = bytes.get(2..).unwrap_or_default();
    let used = bytes.iter().rposition(|&b| b != 0).map_or(0, |i| i + 1);
    for b in bytes.iter().take(used) {
        let _ = write!(s, ".{b:X}");
    }
    s
}

/// The codec that a codec string names; `None` for unknown ones.
pub fn codec(s: &str) -> Option<Codec> {
    let lower = s.trim().to_ascii_lowercase();
    let (name, rest) = lower.split_once('.').unwrap_or((&lower, ""));
    Some(match name {
        "avc1" | "avc2" | "avc3" | "avc4" => Codec::H264,
        "hvc1" | "hev1" | "dvh1" | "dvhe" => Codec::Hevc,
        "av01" => Codec::Av1,
        "vp8" | "vp08" => Codec::Vp8,
        "vp9" | "vp09" => Codec::Vp9,
        "mp4v" => match rest {
            "6c" => Codec::Jpeg,
            r if r.starts_with("20") => Codec::Mpeg4,
            "60" | "61" | "62" | "63" | "64" | "65" | "6a" => Codec::Mpeg2,
            _ => return None,
        },
        "mp4a" => match rest {
            "69" | "6b" | "40.34" => Codec::Mp3,
            "40.32" | "40.33" => Codec::Mp2,
            "a5" => Codec::Ac3,
            "a6" => Codec::Eac3,
            "a9" => Codec::Dts,
            "ad" => Codec::Opus,
            "66" | "67" | "68" => Codec::Aac,
            r if r.starts_with("40") => Codec::Aac,
            _ => return None,
        },
        "mp3" => Codec::Mp3,
        "ac-3" => Codec::Ac3,
        "ec-3" => Codec::Eac3,
        "dtsc" | "dtse" | "dtsh" | "dtsl" => Codec::Dts,
        "opus" => Codec::Opus,
        "vorbis" => Codec::Vorbis,
        "theora" => Codec::Theora,
        "flac" => Codec::Flac,
        "alac" => Codec::Alac,
        "ipcm" => Codec::Pcm,
        "fpcm" => Codec::PcmFloat,
        "alaw" => Codec::Alaw,
        "ulaw" => Codec::Ulaw,
        "wvtt" => Codec::WebVtt,
        "tx3g" => Codec::Tx3g,
        "stpp" => Codec::Stpp,
        "c608" => Codec::Cea608,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::hevc::Profile;
    use crate::media::{Params, TrackId};
    use bytes::Bytes;

    fn string(codec: Codec, init: &[u8], rate: u32) -> Option<String> {
        let params = Params::Audio { rate, channels: 2, bits: 16 };
        codec_string(&TrackInfo::new(TrackId(1), codec, Bytes::copy_from_slice(init), params))
    }

    #[test]
    fn strings_name_their_codec() {
        let cases: &[(Codec, &[u8], u32, &str)] = &[
            (Codec::H264, &[1, 0x64, 0, 0x1f, 0xff], 0, "avc1.64001f"),
            (Codec::Aac, &[0x12, 0x10], 44_100, "mp4a.40.2"),
            (Codec::Aac, &[0xeb, 0x09, 0x88, 0], 48_000, "mp4a.40.29"),
            (Codec::Mp3, &[], 44_100, "mp4a.40.34"),
            (Codec::Mp2, &[], 48_000, "mp4a.40.33"),
            (Codec::Av1, &[0x81, 8, 0x0c, 0], 0, "av01.0.08M.08"),
            (Codec::Vp9, &[1, 0, 0, 0, 2, 31, 0xa2, 1, 1, 1, 0, 0], 0, "vp09.02.31.10"),
            (Codec::Opus, &[], 48_000, "opus"),
            (Codec::Eac3, &[], 48_000, "ec-3"),
        ];
        for &(c, init, rate, want) in cases {
            assert_eq!(string(c, init, rate).as_deref(), Some(want));
            assert_eq!(codec(want), Some(c));
        }
        for &c in Codec::ALL {
            if let Some(s) = string(c, &[], 0) {
                let back = codec(&s).unwrap();
                assert_eq!(back, c, "{s}");
            }
        }
    }

    #[test]
    fn hevc_strings() {
        let profile = Profile {
            idc: 1,
            compat: 0x6000_0000,
            constraints: 0xb000_0000_0000,
            level: 93,
            ..Profile::default()
        };
        let h = Hvcc {
            profile,
            min_spatial_segmentation: 0,
            parallelism: 0,
            chroma_format: 1,
            bit_depth_luma: 8,
            bit_depth_chroma: 8,
            avg_frame_rate: 0,
            constant_frame_rate: 0,
            temporal_layers: 1,
            temporal_nesting: true,
            length_size: 4,
            arrays: smallvec::SmallVec::new(),
        };
        assert_eq!(string(Codec::Hevc, &h.build(), 0).as_deref(), Some("hvc1.1.6.L93.B0"));
    }
}
