//! Playlists.

use super::common::{analyse, json};
use super::corpus;
use serde_json::Value;
use std::path::{Path, PathBuf};

fn playlists(dir: &Path, out: &mut Vec<PathBuf>) {
    for e in std::fs::read_dir(dir).unwrap() {
        let path = e.unwrap().path();
        if path.is_dir() {
            playlists(&path, out);
        } else if path.extension().is_some_and(|e| e == "m3u8") {
            out.push(path);
        }
    }
}

#[test]
fn playlists_of_the_corpus_are_followed() {
    let Some(dir) = corpus() else { return };
    let mut all = Vec::new();
    playlists(&dir.join("hls"), &mut all);
    let mut with_media = 0;
    for path in &all {
        let text = std::fs::read_to_string(path).unwrap();
        // Those without media beside them, and live ones that were copied, are for the parser.
        if path.to_str().unwrap().contains("/manifests-") {
            continue;
        }
        let out = analyse(&["--json", path.to_str().unwrap()]);
        assert!(!out.err.contains("panicked"), "{path:?}: {}", out.err);
        let v = json(&out.out);
        let packets: u64 =
            v["tracks"].as_array().unwrap().iter().map(|t| t["packets"].as_u64().unwrap()).sum();
        let encrypted = text.contains("EXT-X-KEY:METHOD=AES-128,URI=\"https:");
        assert!(
            packets > 0 || encrypted || v["problem_counts"]["unsupported"] != Value::Null,
            "{path:?}: {v}"
        );
        with_media += u32::from(packets > 0);
    }
    println!("{with_media} of {} playlists with media", all.len());
    assert!(with_media > 20, "{with_media}");
}
