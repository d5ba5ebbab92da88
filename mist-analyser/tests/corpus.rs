//! The program on every FLV and MPEG-TS file of the corpus.

#![allow(clippy::print_stdout, reason = "tests say what they skip")]

mod common;

use common::{analyse, json};
use serde_json::Value;
use std::path::{Path, PathBuf};

fn corpus() -> Option<PathBuf> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus");
    if dir.join("truth.jsonl").is_file() {
        return Some(dir);
    }
    println!("skipped: no corpus");
    None
}

/// Lines of the truth about files with one of these endings in one of these folders.
fn truths(dir: &Path, folders: &[&str]) -> Vec<Value> {
    let text = std::fs::read_to_string(dir.join("truth.jsonl")).unwrap();
    let mine = |v: &Value| {
        let path = v["path"].as_str().unwrap();
        let ending = path.rsplit('.').next().unwrap();
        folders.iter().any(|f| path.starts_with(f)) && ["flv", "ts", "m2ts"].contains(&ending)
    };
    text.lines().map(json).filter(mine).collect()
}

/// Why a file isn't read as ffprobe reads it. What is different packet by packet is in the tests of the demuxers.
fn differs(path: &str) -> Option<&'static str> {
    Some(match path {
        "flv/hachoir-breakdance.flv" => "ends in half a tag, which ffprobe counts",
        "ts/ax-sample_ac3.ts" | "ts/fate-t.ts" | "ts/fate-latm_000000001180bc60.ts" => {
            "half frames at its ends"
        }
        "synthetic/ts-multi-audio-lang.ts" => "half a frame at its end",
        "ts/fate-pmtchange.ts" => "pictures without parameter sets, and half frames where the PMT changes",
        "ts/mediabunny-no-initial-keyframe.ts" | "ts/tsduck-test-137.ts" => {
            "pictures before their parameter sets"
        }
        "ts/tsduck-test-145.ts" => "a picture without parameter sets",
        "ts/tsduck-test-011.ts" => "scrambled",
        "ts/tsduck-test-052.ts" | "ts/tsduck-test-066.2.ts" | "ts/tsduck-test-125.ts" => "without PAT",
        "synthetic/ts-two-programs.ts" => "the second program is left out",
        "synthetic/m2ts-192.m2ts" => "AAC as private data without a descriptor",
        _ => return None,
    })
}

#[test]
fn tracks_and_packets_are_those_that_ffprobe_found() {
    let Some(dir) = corpus() else { return };
    let (mut compared, mut tracks) = (0, 0);
    for t in truths(&dir, &["flv/", "ts/", "synthetic/"]) {
        let path = t["path"].as_str().unwrap();
        let file = dir.join(path);
        let Some(file) = file.to_str().filter(|_| file.is_file()) else { continue };
        let out = analyse(&["--json", file]);
        assert!([0, 1].contains(&out.code), "{path}: {out:?}");
        let v = json(&out.out);
        let faults = |v: &Value| v["problems"].as_array().unwrap().iter().any(|p| p["severity"] != "info");
        assert_eq!(out.code == 0, !faults(&v), "{path}");
        if differs(path).is_some() {
            continue;
        }
        let known = |s: &&Value| {
            let codec = s["codec"].as_str().unwrap_or("");
            !["", "epg", "dvb_subtitle", "dvb_teletext", "bin_data"].contains(&codec)
                && s["packets"].as_u64() > Some(0)
        };
        let sort = |s: &Value| if s["kind"].is_null() { s["type"].clone() } else { s["kind"].clone() };
        let ours: Vec<_> = v["tracks"].as_array().unwrap().iter().filter(|t| t["packets"] != 0).collect();
        let theirs: Vec<_> = t["streams"].as_array().unwrap().iter().filter(known).collect();
        assert_eq!(ours.len(), theirs.len(), "{path}");
        for s in theirs {
            let id = s["id"].as_str().and_then(|i| u64::from_str_radix(i.trim_start_matches("0x"), 16).ok());
            let is_it = |t: &&&Value| id.map_or(sort(t) == sort(s), |id| t["id"] == id);
            let t = ours.iter().find(is_it).unwrap_or_else(|| panic!("{path}: {s}"));
            let same = |ours: &str, theirs: &str| {
                if !s[theirs].is_null() && s[theirs] != 0 {
                    assert_eq!(t[ours], s[theirs], "{path} {s}: {ours}");
                }
            };
            same("packets", "packets");
            same("keyframes", "keyframes");
            same("width", "width");
            same("height", "height");
            same("channels", "channels");
            tracks += 1;
        }
        compared += 1;
    }
    println!("{compared} files with {tracks} tracks compared");
    assert!(compared > 40);
}

#[test]
fn damaged_files_end_with_a_verdict() {
    let Some(dir) = corpus() else { return };
    let mut count = 0;
    for entry in std::fs::read_dir(dir.join("malformed")).unwrap() {
        let path = entry.unwrap().path();
        let file = path.to_str().unwrap();
        for format in [&[][..], &["--format", "flv"], &["--format", "ts"]] {
            for more in [&["--json"][..], &["--detail", "structure"], &["--json", "--detail", "hex"]] {
                let out = analyse(&[format, more, &[file]].concat());
                assert!((0..=2).contains(&out.code), "{file}: {out:?}");
                assert!(!out.err.contains("panicked"), "{file}: {}", out.err);
                assert_eq!(out.code == 2, !out.err.is_empty(), "{file}: {}", out.err);
            }
        }
        count += 1;
    }
    println!("{count} files");
}
