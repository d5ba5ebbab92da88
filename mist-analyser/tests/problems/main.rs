//! Every problem of the catalogue is provoked by an input that has it, and is where it is said to be.

mod any;
#[path = "../common/mod.rs"]
mod common;
mod containers;
mod dialogues;
mod hls;
mod timing;
mod ts;

use common::{Ran, analyse, analyse_stdin, clip, json};
use mist_core::format::{Demuxed, Index, IndexEntry};
use mist_core::gather::Gather;
use mist_core::media::{Media, Packet, TrackInfo};
use mist_core::registry::FormatDef;
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;

fn read(path: &str) -> Vec<u8> {
    std::fs::read(clip(path)).unwrap()
}

fn format(id: &str) -> &'static FormatDef {
    mist_formats::FORMATS.iter().find(|f| f.id == id).unwrap()
}

/// Tracks and packets of a clip.
#[derive(Clone)]
struct Content {
    tracks: Vec<Arc<TrackInfo>>,
    packets: Vec<Packet>,
}

impl Content {
    fn of(id: &str, path: &str) -> Self {
        let mut d = format(id).demuxer.unwrap()();
        d.push(0, read(path).into());
        d.end();
        let (mut tracks, mut packets) = (Vec::new(), Vec::new());
        loop {
            match d.poll().unwrap() {
                Demuxed::Media(Media::Track(t)) => {
                    tracks.retain(|o: &Arc<TrackInfo>| o.id != t.id);
                    tracks.push(t);
                }
                Demuxed::Media(Media::Packet(p)) => packets.push(p),
                Demuxed::End | Demuxed::Media(Media::End) => return Self { tracks, packets },
                _ => {}
            }
        }
    }

    fn demo() -> Self {
        Self::of("FLV", "mist-server/assets/demo.flv")
    }

    /// With its packets changed.
    fn with(mut self, change: impl Fn(&mut Vec<Packet>)) -> Self {
        change(&mut self.packets);
        self
    }

    /// In a container; `indexed` as a file whose packets are known beforehand.
    fn mux(&self, id: &str, indexed: bool) -> Vec<u8> {
        let mut m = format(id).muxer.unwrap()();
        let mut out = Gather::new();
        let entry = |p: &Packet| IndexEntry {
            dts: p.dts,
            cts: p.cts,
            duration: p.duration,
            size: p.data.len() as u32,
            key: p.key,
        };
        let of = |t: &Arc<TrackInfo>| {
            (t.id, self.packets.iter().filter(|p| p.track == t.id).map(entry).collect::<Vec<_>>())
        };
        let index = Index { tracks: self.tracks.iter().map(of).collect() };
        m.start(&self.tracks, indexed.then_some(&index), &mut out).unwrap();
        let mut packets: Vec<_> = self.packets.iter().collect();
        if indexed {
            packets.sort_by_key(|p| (p.dts, self.tracks.iter().position(|t| t.id == p.track)));
        }
        packets.into_iter().for_each(|p| m.packet(p, &mut out).unwrap());
        let patches = m.finish(&mut out).unwrap();
        let mut file = out.to_vec();
        for p in patches {
            let at = p.offset as usize;
            file[at..at + p.data.len()].copy_from_slice(&p.data);
        }
        file
    }
}

fn find(data: &[u8], what: &[u8]) -> usize {
    data.windows(what.len()).position(|w| w == what).unwrap()
}

/// A problem that must be there, and what is known of its place.
#[derive(Debug, Clone, Copy, Default)]
struct Want {
    id: &'static str,
    offset: Option<u64>,
    track: Option<u64>,
    ms: Option<f64>,
}

const fn want(id: &'static str) -> Want {
    Want { id, offset: None, track: None, ms: None }
}

impl Want {
    const fn at(mut self, offset: usize) -> Self {
        self.offset = Some(offset as u64);
        self
    }
    const fn on(mut self, track: u64, ms: f64) -> Self {
        (self.track, self.ms) = (Some(track), Some(ms));
        self
    }
}

/// Takes note of what was provoked, and of what wasn't although it should have been.
#[derive(Default)]
struct Seen(Vec<&'static str>, Vec<String>);

impl Seen {
    fn check(&mut self, what: &str, out: &Ran, wants: &[Want]) {
        assert!(!out.err.contains("panicked"), "{what}: {}", out.err);
        let v = json(&out.out);
        let all = v["problems"].as_array().unwrap();
        for w in wants {
            let fits = |p: &&Value| {
                p["id"] == w.id
                    && w.offset.is_none_or(|o| p["offset"] == o)
                    && w.track.is_none_or(|t| p["track"] == t)
                    && w.ms.is_none_or(|t| (p["time_ms"].as_f64().unwrap_or(f64::MIN) - t).abs() < 0.01)
            };
            let Some(p) = all.iter().find(fits) else {
                let all: Vec<_> = all.iter().take(8).map(Value::to_string).collect();
                self.1.push(format!("{what}: no {w:?} in\n    {}", all.join("\n    ")));
                continue;
            };
            let message = p["message"].as_str().unwrap();
            assert!(message.contains(": ") && message.len() > 30, "{message}");
            let worst = all.iter().any(|p| p["severity"] != "info");
            assert_eq!(out.code == 0, !worst, "{what}: {} {all:?}", out.code);
            self.0.push(w.id);
        }
    }

    fn input(&mut self, what: &str, data: &[u8], wants: &[Want]) {
        self.check(what, &analyse_stdin(&["--json", "-"], data), wants);
    }

    /// As a file, which can be read from anywhere.
    fn file(&mut self, what: &str, data: &[u8], wants: &[Want]) {
        let dir = Dir::new(what);
        self.check(what, &analyse(&["--json", &dir.put("input", data)]), wants);
    }
}

/// A folder for as long as it is used.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let name = name.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        let dir = std::env::temp_dir().join(format!("mist-analyser-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    fn put(&self, name: &str, data: &[u8]) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, data).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The ids that the program lists.
fn catalogue() -> Vec<String> {
    let list = analyse(&["--list-problems"]).out;
    let ids = list.lines().filter_map(|l| l.strip_prefix("| `")?.split('`').next());
    ids.map(str::to_owned).collect()
}

#[test]
fn every_problem_of_the_catalogue_is_found_where_it_is() {
    let mut seen = Seen::default();
    any::any_source(&mut seen);
    timing::timing(&mut seen);
    timing::decoding(&mut seen);
    dialogues::flv_and_dialogues(&mut seen);
    ts::transport_streams(&mut seen);
    containers::containers(&mut seen);
    hls::playlists(&mut seen);
    hls::live_playlists(&mut seen);
    assert!(seen.1.is_empty(), "{}", seen.1.join("\n"));
    let all = catalogue();
    assert!(all.len() > 60);
    let missing: Vec<_> = all.iter().filter(|id| !seen.0.contains(&id.as_str())).collect();
    assert!(missing.is_empty(), "nothing provokes {missing:?}");
    let unknown: Vec<_> = seen.0.iter().filter(|id| !all.iter().any(|a| a == *id)).collect();
    assert!(unknown.is_empty(), "not in the catalogue: {unknown:?}");
}

#[test]
fn a_format_that_is_none_is_told_those_that_are() {
    let out = analyse(&["--format", "nonsense", &clip("Cargo.toml")]);
    let ids: Vec<_> = out.err.trim().split_once("there are: ").unwrap().1.split(", ").collect();
    for id in ["FLV", "DTSC", "HLS", "RTMP", "RTSP"] {
        assert_eq!(ids.iter().filter(|i| **i == id).count(), 1, "{id} in {ids:?}");
    }
}
