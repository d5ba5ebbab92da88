//! The program on every file of the corpus: beside what ffprobe found, and on what is broken.

#![allow(clippy::print_stdout, reason = "tests say what they skip")]

#[path = "../common/mod.rs"]
mod common;
mod dialogues;
mod hls;
mod truth;

use common::{analyse, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn corpus() -> Option<PathBuf> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus");
    if dir.join("truth.jsonl").is_file() {
        return Some(dir);
    }
    println!("skipped: no corpus");
    None
}

/// Whether a format is built into this tree.
fn has(id: &str) -> bool {
    mist_formats::FORMATS.iter().any(|f| f.id == id)
}

#[test]
fn packets_lie_where_it_is_said() {
    let Some(dir) = corpus() else { return };
    let mut found = 0;
    for path in [
        "flv/srs-avatar.flv",
        "mp4/ax-h265_bframes.mp4",
        "mkv/fate-anim.mkv",
        "webm/ax-bear-opus.webm",
        "adts/vhs-aacWithoutId3.aac",
    ] {
        let file = dir.join(path);
        let data = std::fs::read(&file).unwrap();
        let out = analyse(&["--json", "--detail", "hex", file.to_str().unwrap()]);
        for l in out.out.lines().map(json).filter(|l| l["type"] == "packet") {
            let hex = l["data"].as_str().unwrap().as_bytes();
            let payload: Vec<u8> = hex
                .chunks(2)
                .map(|d| u8::from_str_radix(std::str::from_utf8(d).unwrap(), 16).unwrap())
                .collect();
            let at = l["offset"].as_u64().unwrap() as usize;
            // What was converted on its way is not in the file as it is; its last bytes are.
            let last = &payload[payload.len() - payload.len().min(16)..];
            let near = &data[at..data.len().min(at + payload.len() + 64)];
            assert!(near.windows(last.len()).any(|w| w == last), "{path} at {at}");
            found += 1;
        }
    }
    assert!(found > 500, "{found}");
    // A transport stream: the packet of the PID that starts the unit.
    let file = dir.join("ts/ax-sample_h264.ts");
    let data = std::fs::read(&file).unwrap();
    let out = analyse(&["--json", "--detail", "packets", file.to_str().unwrap()]);
    for l in out.out.lines().map(json).filter(|l| l["type"] == "packet") {
        let at = l["offset"].as_u64().unwrap() as usize;
        let pid = u64::from(data[at + 1] & 0x1F) << 8 | u64::from(data[at + 2]);
        assert_eq!((data[at], data[at + 1] & 0x40, pid), (0x47, 0x40, l["track"].as_u64().unwrap()));
    }
}

/// Every broken file, and the ids of its problems; or, behind a dash, why it has none.
const MALFORMED: &str = include_str!("../data/malformed.txt");

#[test]
fn broken_files_name_their_faults() {
    let Some(dir) = corpus() else { return };
    let mut left: BTreeSet<_> = std::fs::read_dir(dir.join("malformed"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    for line in MALFORMED.lines().filter(|l| !l.starts_with('#')) {
        let (name, want) = line.split_once(": ").unwrap();
        assert!(left.remove(name), "{name} is not there");
        let ogg = [".ogg", ".ogv", ".opus", ".spx"].iter().any(|e| name.ends_with(e));
        if ogg && !has("OGG") {
            continue;
        }
        let out = analyse(&["--json", dir.join("malformed").join(name).to_str().unwrap()]);
        let v = json(&out.out);
        let got: BTreeSet<_> = v["problem_counts"].as_object().unwrap().keys().map(String::as_str).collect();
        for id in want.split(' ').filter(|_| !want.starts_with('-')) {
            assert!(got.contains(id), "{name}: {id} is not in {got:?}");
        }
        for p in v["problems"].as_array().unwrap() {
            assert!(p["message"].as_str().unwrap().contains(": "), "{name}: {p} says what a player does");
        }
    }
    assert!(left.is_empty(), "no word about {left:?}");
}

fn files(dir: &Path, out: &mut Vec<PathBuf>) {
    for e in std::fs::read_dir(dir).unwrap() {
        let path = e.unwrap().path();
        match path.is_dir() {
            true if !path.ends_with("truth") => files(&path, out),
            false => out.push(path),
            true => {}
        }
    }
}

#[test]
fn every_file_ends_with_a_verdict_that_fits_its_problems() {
    let Some(dir) = corpus() else { return };
    let mut all = Vec::new();
    files(&dir, &mut all);
    assert!(all.len() > 800, "{}", all.len());
    for file in &all {
        let out = analyse(&["--json", file.to_str().unwrap()]);
        assert!(!out.err.contains("panicked"), "{file:?}: {}", out.err);
        let v = json(&out.out);
        let problems = v["problems"].as_array().unwrap();
        let worse = problems.iter().any(|p| p["severity"] != "info");
        assert_eq!(out.code == 0, !worse, "{file:?}: {}", out.code);
        assert_eq!(out.code == 2, !out.err.is_empty(), "{file:?}: {}", out.err);
        let silent = v["tracks"].as_array().unwrap().iter().all(|t| t["packets"] == 0);
        assert!(!silent || !problems.is_empty(), "{file:?} has nothing, and nothing is said of that");
    }
}

#[test]
fn damaged_files_end_with_a_verdict_in_every_format() {
    let Some(dir) = corpus() else { return };
    let mut count = 0;
    for folder in ["malformed", "encrypted", "es-other", "subtitles", "captures"] {
        for entry in std::fs::read_dir(dir.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let Some(file) = path.to_str().filter(|_| path.is_file()) else { continue };
            for format in [
                &[][..],
                &["--format", "flv"],
                &["--format", "ts"],
                &["--format", "mkv"],
                &["--format", "rtmp"],
                &["--format", "rtsp"],
            ] {
                for more in [&["--json"][..], &["--detail", "hex"]] {
                    let out = analyse(&[format, more, &[file]].concat());
                    assert!((0..=2).contains(&out.code), "{file}: {out:?}");
                    assert!(!out.err.contains("panicked"), "{file}: {}", out.err);
                    assert_eq!(out.code == 2, !out.err.is_empty(), "{file} {format:?}: {}", out.err);
                }
            }
            count += 1;
        }
    }
    println!("{count} files");
}
