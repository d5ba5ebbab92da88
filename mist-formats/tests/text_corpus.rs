//! Subtitle files of the corpus against what ffprobe found in them, and through the muxers.

mod common;

use bytes::Bytes;
use common::{Truth, demux, run, sha256, truths};
use mist_core::codec::Codec;
use mist_core::codec::text::{self, Cue};
use mist_core::format::ErrorKind;
use mist_core::gather::Gather;
use mist_core::registry::{FormatDef, probe};
use mist_formats::FORMATS;
use mist_formats::text::{SRT, VTT};

/// Where we differ from ffprobe on purpose: cues that we find, and why.
const DIFFERENT: &[(&str, usize, &str)] = &[
    (
        "androidx-subrip/typical_negative_timestamps.srt",
        2,
        "a cue before time zero; ffprobe reads the minus of only one part",
    ),
    ("gpac-webvtt/counter.srt", 600, "ffprobe takes times without hours for no SubRip"),
    ("androidx-webvtt/typical_with_bad_timestamps.vtt", 4, "ffprobe stops at the first odd time"),
    ("androidx-webvtt/with_css_complex_selectors.vtt", 5, "ffprobe stops at STYLE"),
    ("androidx-webvtt/with_css_text_combine_upright.vtt", 2, "ffprobe stops at STYLE"),
    ("androidx-webvtt/with_rubies.vtt", 4, "ffprobe stops at STYLE"),
    ("gpac-webvtt/invalid1.vtt", 1, "the standard's parser needs no empty line behind the header"),
    ("gpac-webvtt/invalid3.vtt", 1, "the standard's parser needs no empty line behind the header"),
    ("gpac-webvtt/comments.vtt", 13, "by the standard's parser a line of times ends a note"),
    ("gpac-webvtt/multiline-header-additional.vtt", 6, "ffprobe stops at text outside of cues"),
];

/// Cues whose text or times we see in another way than ffprobe, by file and number.
const OTHER_TEXT: &[(&str, usize, &str)] = &[
    ("androidx-subrip/typical_bad_timestamps.srt", 1, "a fraction of 4 digits isn't milliseconds"),
    ("androidx-subrip/typical_unexpected_end.srt", 1, "the number of a cue that isn't there"),
];

fn files() -> Vec<(Truth, &'static FormatDef, Bytes)> {
    let def = |t: &Truth| match t.path.rsplit_once('.')?.1 {
        "srt" => Some(&SRT),
        "vtt" => Some(&VTT),
        _ => None,
    };
    truths()
        .into_iter()
        .filter(|t| t.path.starts_with("subtitles/"))
        .filter_map(|t| def(&t).zip(t.read()).map(|(d, b)| (t, d, b)))
        .collect()
}

#[test]
fn every_file_has_the_cues_that_ffprobe_found() {
    for (t, def, data) in files() {
        let path = t.path.strip_prefix("subtitles/").unwrap();
        let found = probe(FORMATS, &data[..data.len().min(4096)]).map(|d| d.id);
        let got = demux(def, &data, 4096);
        if matches!(path, "androidx-subrip/empty.srt" | "androidx-webvtt/empty.vtt") {
            assert!(got.packets.is_empty() && found.is_none(), "{path}");
            continue;
        }
        assert_eq!(got.error, None, "{path}");
        assert!(found == Some(def.id) || path.contains("negative"), "{path} taken for {found:?}");
        if let Some((_, cues, _)) = DIFFERENT.iter().find(|d| d.0 == path) {
            assert_eq!(got.packets.len(), *cues, "{path}: {:?}", got.problems);
            continue;
        }
        assert!(
            got.problems.iter().all(|p| matches!(p.kind, ErrorKind::Malformed(_))),
            "{path}: {:?}",
            got.problems
        );
        let want = t.packets().unwrap_or_default();
        assert_eq!(got.packets.len(), want.len(), "{path}: {:?}", got.problems);
        for (n, (p, w)) in got.packets.iter().zip(&want).enumerate() {
            assert_eq!(Some(p.pts().as_millis() as f64), w.pts_ms, "{path} cue {n}");
            if OTHER_TEXT.iter().any(|o| (o.0, o.1) == (path, n)) {
                continue;
            }
            let text =
                if def.id == "VTT" { Cue::parse(&p.data).text.into_owned().into() } else { p.data.clone() };
            assert!(
                sha256(&text) == w.sha256,
                "{path} cue {n}: {text:?} has {} of {} bytes",
                text.len(),
                w.size
            );
        }
    }
}

#[test]
fn splits_truncations_and_structure() {
    for (t, def, data) in files() {
        let data = data.slice(..data.len().min(20_000));
        let whole = demux(def, &data, data.len().max(1));
        for step in [1, 2, 7, 188] {
            let split = demux(def, &data, step);
            assert!(
                split.packets == whole.packets
                    && split.problems == whole.problems
                    && split.error == whole.error,
                "{} in steps of {step}",
                t.path
            );
        }
        for cut in (0..data.len().min(1500)).step_by(3).chain((0..data.len()).step_by(997)) {
            assert!(
                demux(def, &data.slice(..cut), 4096).packets.len() <= whole.packets.len() + 1,
                "{}",
                t.path
            );
        }
        let mut d = (def.demuxer.unwrap())();
        d.want_nodes();
        let nodes = run(&mut *d, &data, 4096);
        assert!(nodes.packets == whole.packets && nodes.nodes >= whole.packets.len(), "{}", t.path);
    }
}

#[test]
fn what_is_written_is_read_again_in_both_forms() {
    for (t, def, data) in files() {
        let got = demux(def, &data, 4096);
        for to in [&SRT, &VTT] {
            // Drawings are no text.
            if got.packets.is_empty() || t.path.ends_with("svg.vtt") && to.id == "SRT" {
                continue;
            }
            let mut m = (to.muxer.unwrap())();
            let mut out = Gather::new();
            m.start(&got.tracks, None, &mut out).unwrap();
            for p in &got.packets {
                m.packet(p, &mut out).unwrap();
            }
            m.finish(&mut out).unwrap();
            let back = demux(to, &out.to_vec().into(), 4096);
            let at = format!("{} in {}", t.path, to.id);
            assert!(
                back.error.is_none() && back.problems.is_empty(),
                "{at}: {:?} {:?}",
                back.error,
                back.problems
            );
            let codec = to.input.unwrap().codecs[0][0];
            assert!(codec.takes(back.tracks[0].codec));
            // Cues without text don't survive: nothing would be shown.
            let text = |c: Codec, d: &Bytes| {
                let subrip = text::convert(c, Codec::Subtitle, d).unwrap();
                let plain = text::plain(std::str::from_utf8(&subrip).unwrap());
                plain.lines().filter(|l| !l.trim().is_empty()).collect::<Vec<_>>().join("\n")
            };
            let from = got.tracks[0].codec;
            let full: Vec<_> = got.packets.iter().filter(|p| !p.data.is_empty()).collect();
            if from == back.tracks[0].codec {
                assert_eq!(back.tracks[0].init, got.tracks[0].init, "{at}");
                assert_eq!(full.len(), back.packets.len(), "{at}");
            }
            for b in &back.packets {
                let a = full.iter().find(|a| {
                    (a.dts.as_millis(), (a.dts + a.duration).as_millis())
                        == (b.dts.as_millis(), (b.dts + b.duration).as_millis())
                        && text(from, &a.data) == text(back.tracks[0].codec, &b.data)
                });
                assert!(a.is_some() || data.len() > 100_000, "{at}: {b:?} {:?}", b.data);
                if from == back.tracks[0].codec {
                    assert!(full.iter().any(|a| a.data == b.data), "{at}: {b:?} {:?}", b.data);
                }
            }
        }
    }
}
