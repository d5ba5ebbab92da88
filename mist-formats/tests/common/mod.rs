//! What the tests over real media share: the corpus and its truth, and driving a demuxer over bytes in memory.

#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests read files and say what they skip"
)]

use bytes::Bytes;
use mist_core::format::{Demuxed, Demuxer, FormatError, Want};
use mist_core::media::{Media, Packet, TrackId, TrackInfo};
use mist_core::registry::FormatDef;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

/// A folder for the files of the running test alone: tests run at the same time.
pub(crate) fn folder() -> PathBuf {
    let test = std::thread::current().name().unwrap_or("main").replace("::", "-");
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(env!("CARGO_CRATE_NAME")).join(test);
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

/// The corpus beside the workspace; prints that it is not there and gives `None` otherwise.
pub(crate) fn corpus() -> Option<PathBuf> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus");
    if dir.join("truth.jsonl").is_file() {
        return Some(dir);
    }
    println!("skipped: no corpus");
    None
}

/// What is known of a file.
pub(crate) struct Truth {
    /// Path below the corpus.
    pub(crate) path: String,
    /// The line of `truth.jsonl`.
    pub(crate) json: Value,
    dir: PathBuf,
}

/// What is known of a packet.
#[derive(Debug, Clone)]
pub(crate) struct TruthPacket {
    /// Index of its stream.
    pub(crate) stream: u64,
    pub(crate) pts_ms: Option<f64>,
    pub(crate) dts_ms: Option<f64>,
    pub(crate) size: usize,
    /// Byte offset in the file.
    pub(crate) pos: Option<usize>,
    pub(crate) key: bool,
    /// SHA-256 of the payload in hexadecimal.
    pub(crate) sha256: String,
}

/// Every file of the corpus with its truth; empty without a corpus.
pub(crate) fn truths() -> Vec<Truth> {
    let Some(dir) = corpus() else { return Vec::new() };
    let text = std::fs::read_to_string(dir.join("truth.jsonl")).unwrap();
    text.lines()
        .map(|l| {
            let json: Value = serde_json::from_str(l).unwrap();
            Truth { path: json["path"].as_str().unwrap().to_owned(), json, dir: dir.clone() }
        })
        .collect()
}

impl Truth {
    /// The file. `None` for lines about files that are put together from others.
    pub(crate) fn read(&self) -> Option<Bytes> {
        std::fs::read(self.dir.join(&self.path)).ok().map(Bytes::from)
    }

    /// The streams that ffprobe found.
    pub(crate) fn streams(&self) -> &[Value] {
        self.json["streams"].as_array().map_or(&[], |v| v)
    }

    /// The packets, where the corpus lists them.
    pub(crate) fn packets(&self) -> Option<Vec<TruthPacket>> {
        let file = std::fs::File::open(self.dir.join(self.json["packets_file"].as_str()?)).ok()?;
        let mut text = String::new();
        flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
        let rows = text.lines().filter(|l| !l.starts_with('#'));
        Some(
            rows.map(|l| {
                let c: Vec<_> = l.split(',').collect();
                TruthPacket {
                    stream: c[0].parse().unwrap(),
                    pts_ms: c[3].parse().ok(),
                    dts_ms: c[4].parse().ok(),
                    size: c[6].parse().unwrap(),
                    pos: c[7].parse().ok(),
                    key: c[8].starts_with('K'),
                    sha256: c[9].to_owned(),
                }
            })
            .collect(),
        )
    }
}

/// SHA-256 in hexadecimal.
pub(crate) fn sha256(data: &[u8]) -> String {
    Sha256::digest(data).iter().fold(String::new(), |mut s, b| {
        let _ = write!(s, "{b:02x}");
        s
    })
}

/// What came out of a demuxer.
#[derive(Debug, Default)]
pub(crate) struct Demux {
    /// Tracks in the order of their announcements, changes included.
    pub(crate) tracks: Vec<Arc<TrackInfo>>,
    /// Packets in order.
    pub(crate) packets: Vec<Packet>,
    pub(crate) problems: Vec<FormatError>,
    /// Nodes of structure, if they were asked for.
    pub(crate) nodes: usize,
    pub(crate) error: Option<FormatError>,
}

impl Demux {
    /// The last description of each track.
    pub(crate) fn last(&self) -> Vec<Arc<TrackInfo>> {
        let mut ids: Vec<TrackId> = Vec::new();
        for t in &self.tracks {
            if !ids.contains(&t.id) {
                ids.push(t.id);
            }
        }
        ids.iter().map(|i| self.tracks.iter().rfind(|t| t.id == *i).unwrap().clone()).collect()
    }

    /// Packets of a track.
    pub(crate) fn of(&self, id: TrackId) -> Vec<&Packet> {
        self.packets.iter().filter(|p| p.track == id).collect()
    }
}

/// Demuxes bytes in memory, given `step` at a time.
pub(crate) fn demux(def: &FormatDef, data: &Bytes, step: usize) -> Demux {
    run(&mut *(def.demuxer.unwrap())(), data, step)
}

/// Drives a demuxer over a seekable source until it is done. Checks that it makes progress and keeps its contract:
/// a packet's track is described before it, and what it said last it says for ever.
pub(crate) fn run(d: &mut dyn Demuxer, data: &Bytes, step: usize) -> Demux {
    go_on(d, data, step, Vec::new())
}

/// Like [`run`], with a demuxer that has described tracks already.
pub(crate) fn go_on(d: &mut dyn Demuxer, data: &Bytes, step: usize, tracks: Vec<Arc<TrackInfo>>) -> Demux {
    let mut got = Demux { tracks, ..Demux::default() };
    let (mut at, mut ended) = (0, false);
    let mut idle = 0;
    loop {
        match d.poll() {
            Ok(Demuxed::Media(Media::Track(t))) => got.tracks.push(t),
            Ok(Demuxed::Media(Media::Packet(p))) => {
                assert!(got.tracks.iter().any(|t| t.id == p.track), "packet without track: {p:?}");
                got.packets.push(p);
            }
            Ok(Demuxed::Media(Media::End) | Demuxed::End) => {
                assert!(matches!(d.poll(), Ok(Demuxed::End)), "goes on after the end");
                return got;
            }
            Ok(Demuxed::Problem(e)) => got.problems.push(e),
            Ok(Demuxed::Node(_)) => got.nodes += 1,
            Ok(Demuxed::Need(want)) => {
                if let Want::At { offset, len } = want {
                    assert!(len > 0);
                    at = usize::try_from(offset).unwrap().min(data.len());
                }
                let n = step.min(data.len() - at);
                if n > 0 {
                    d.push(at as u64, data.slice(at..at + n));
                    at += n;
                    idle = 0;
                } else {
                    assert!(!ended || idle < 3, "wants more after the end");
                    idle += 1;
                    ended = true;
                    d.end();
                }
            }
            Ok(_) => {}
            Err(e) => {
                assert_eq!(d.poll().err(), Some(e.clone()), "an error is final");
                got.error = Some(e);
                return got;
            }
        }
    }
}
