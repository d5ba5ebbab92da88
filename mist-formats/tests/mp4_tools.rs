//! What the MP4 muxer writes, read by other people's demuxers.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    reason = "a test runs tools on files that it writes, and says what it skips"
)]

mod common;

use common::{demux, sha256, truths};
use mist_core::codec::Codec;
use mist_core::format::{Index, IndexEntry, Muxer};
use mist_core::gather::Gather;
use mist_core::media::{Colour, Kind, Lang, Packet, TrackInfo, Visual};
use mist_core::registry::{FormatDef, Slot};
use mist_core::time::{Duration, Timestamp};
use mist_formats::FORMATS;
use mist_formats::mp4::{FORMAT, mux};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

/// Runs a tool; `None`, and a line about it, where it isn't installed.
fn run(program: &str, args: &[&str]) -> Option<Output> {
    let out = Command::new(program).args(args).output().ok();
    if out.is_none() {
        println!("skipped: no {program}");
    }
    out
}

struct Source {
    path: &'static str,
    tracks: Vec<Arc<TrackInfo>>,
    packets: Vec<Packet>,
}

/// All tracks of a file that MP4 can carry.
fn source(path: &'static str) -> Option<Source> {
    let data = match path.strip_prefix("media/") {
        Some(name) => {
            let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/media");
            std::fs::read(dir.join(name)).unwrap().into()
        }
        None => truths().into_iter().find(|t| t.path == path)?.read()?,
    };
    let ending = path.rsplit_once('.').unwrap().1;
    let def: &FormatDef = FORMATS.iter().find(|f| f.extensions.contains(&ending))?;
    def.demuxer?;
    let got = demux(def, &data, 1 << 16);
    let takes = |c: Codec| {
        let slots = FORMAT.output.unwrap().codecs.iter().flat_map(|l| l.iter());
        slots.into_iter().any(|s: &Slot| s.takes(c))
    };
    let tracks: Vec<_> = got
        .last()
        .into_iter()
        .filter(|t| takes(t.codec) && got.packets.iter().any(|p| p.track == t.id))
        .collect();
    let mut packets: Vec<_> =
        got.packets.into_iter().filter(|p| tracks.iter().any(|t| t.id == p.track)).collect();
    packets.sort_by_key(|p| p.dts);
    Some(Source { path, tracks, packets })
}

fn index(s: &Source) -> Index {
    let of = |t: &Arc<TrackInfo>| {
        let entry = |p: &Packet| IndexEntry {
            dts: p.dts,
            cts: p.cts,
            duration: p.duration,
            size: p.data.len() as u32,
            key: p.key,
        };
        (t.id, s.packets.iter().filter(|p| p.track == t.id).map(entry).collect())
    };
    Index { tracks: s.tracks.iter().map(of).collect() }
}

/// The packets in the order in which an index asks for them.
fn in_order<'a>(s: &'a Source, index: &Index) -> Vec<&'a Packet> {
    let of: Vec<Vec<&Packet>> =
        s.tracks.iter().map(|t| s.packets.iter().filter(|p| p.track == t.id).collect()).collect();
    index.interleaved().map(|(t, n)| of[t][n]).collect()
}

fn write(s: &Source, live: bool) -> Vec<u8> {
    let mut m = mux::Muxer::new();
    let mut out = Gather::new();
    let index = index(s);
    m.start(&s.tracks, (!live).then_some(&index), &mut out).unwrap();
    for p in in_order(s, &index) {
        m.packet(p, &mut out).unwrap();
    }
    let patches = m.finish(&mut out).unwrap();
    let mut file = out.to_vec();
    for p in patches {
        let at = p.offset as usize;
        file[at..at + p.data.len()].copy_from_slice(&p.data);
    }
    file
}

/// What is shown at zero.
fn origin(s: &Source) -> Timestamp {
    let first = s.packets.iter().take(64).map(Packet::pts).min().unwrap();
    let near = first <= Timestamp::ZERO && Timestamp::ZERO - first < Duration::from_secs(10);
    if near { Timestamp::ZERO } else { first }
}

const SOURCES: &[&str] = &[
    "media/bframes.flv",
    "media/enhanced-hevc-aac.flv",
    "media/h264-mp3.flv",
    "media/enhanced-h264-ac3.flv",
    "media/audio-only.flv",
    "media/video-only.flv",
    "media/hevc-eac3.ts",
    "media/h264-opus.ts",
    "media/h264-latm.ts",
    "media/mpeg2-mp2.ts",
    "synthetic/ts-pts-wrap.ts",
    "synthetic/flv-h264-pcm.flv",
    "synthetic/flv-h264-mulaw.flv",
    "ts/ax-sample_h264.ts",
    "ts/ax-sample_h265.ts",
    "synthetic/mp4-negative-ctts.mp4",
    "synthetic/mp4-mp3-ac3-3lang.mp4",
    "synthetic/mp4-movtext-2lang.mp4",
    "synthetic/mkv-vp9-opus.mkv",
    "synthetic/mkv-vp8-mkvmerge.mkv",
    "synthetic/mkv-pcm-mkvmerge.mka",
    "synthetic/mkv-av1-alaw-pcm24be.mkv",
];

fn ffprobe(file: &Path, more: &[&str]) -> Option<Value> {
    let mut args = vec!["-v", "warning", "-show_streams", "-show_packets", "-of", "json"];
    args.extend_from_slice(&["-show_data_hash", "sha256"]);
    args.extend_from_slice(more);
    args.push(file.to_str().unwrap());
    let out = run("ffprobe", &args)?;
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(said.trim().is_empty(), "{}: {said}", file.display());
    Some(serde_json::from_slice(&out.stdout).unwrap())
}

#[test]
fn ffprobe_finds_the_same_packets() {
    let dir = common::folder();
    for path in SOURCES {
        let Some(s) = source(path) else { continue };
        if s.packets.is_empty() {
            println!("{path}: nothing to carry");
            continue;
        }
        for live in [false, true] {
            let file = dir.join(format!("{}-{live}.mp4", path.replace('/', "-")));
            std::fs::write(&file, write(&s, live)).unwrap();
            let Some(v) = ffprobe(&file, &[]) else { return };
            let streams = v["streams"].as_array().unwrap();
            assert_eq!(streams.len(), s.tracks.len(), "{path} {live}");
            for (i, t) in s.tracks.iter().enumerate() {
                let at = format!("{} live={live} {t:?}", s.path);
                let stream = &streams[i];
                let scale: u32 = stream["time_base"].as_str().unwrap()[2..].parse().unwrap();
                assert_eq!(scale, mux::timescale(t), "{at}");
                let lang = stream["tags"]["language"].as_str().unwrap_or("und");
                assert_eq!(lang, t.lang.map_or("und".into(), |l| l.to_string()), "{at}");
                let rows: Vec<_> = v["packets"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .filter(|p| p["stream_index"].as_u64() == Some(i as u64))
                    .collect();
                let ours: Vec<_> = s.packets.iter().filter(|p| p.track == t.id).collect();
                assert_eq!(rows.len(), ours.len(), "{at}: packets");
                for (n, (r, p)) in rows.iter().zip(&ours).enumerate() {
                    let at = format!("{at}: packet {n} {p:?} {r}");
                    let num = |k: &str| r[k].as_i64().unwrap_or_else(|| panic!("{at}: no {k}"));
                    assert!((num("pts") - (p.pts() - origin(&s)).to_rate(scale)).abs() <= 1, "{at}");
                    assert!((num("dts") - (p.dts - origin(&s)).to_rate(scale)).abs() <= 1, "{at}");
                    let key = r["flags"].as_str().unwrap().starts_with('K');
                    assert!(key == p.key || t.codec.kind() != Kind::Video, "{at}");
                    let hash = format!("SHA256:{}", sha256(&p.data));
                    assert_eq!(r["data_hash"].as_str(), Some(hash.as_str()), "{at}");
                }
            }
        }
    }
}

/// The sizes and times of the buffers that GStreamer's demuxer gives for one pad.
fn gstreamer(file: &Path, pad: &str) -> Option<Vec<(usize, Option<i64>)>> {
    let from = format!("location={}", file.display());
    let pad = format!("d.{pad}");
    let args = ["-v", "filesrc", &from, "!", "qtdemux", "name=d", &pad, "!", "fakesink", "silent=false"];
    let out = run("gst-launch-1.0", &args)?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success(), "{}: {}", file.display(), String::from_utf8_lossy(&out.stderr));
    let time = |line: &str, what: &str| {
        let text = line.split_once(what)?.1.trim_start().split(',').next()?;
        let mut parts = text.split(':').rev();
        let (whole, ns) = parts.next()?.split_once('.')?;
        let rest: i64 = parts.next()?.parse::<i64>().ok()? * 60 + parts.next()?.parse::<i64>().ok()? * 3600;
        Some((rest + whole.parse::<i64>().ok()?) * 1_000_000_000 + ns.parse::<i64>().ok()?)
    };
    let buffers = text.lines().filter(|l| l.contains("last-message = chain"));
    Some(
        buffers
            .map(|l| {
                let size = l.split_once(") (").unwrap().1.split_once(" bytes").unwrap().0;
                (size.parse().unwrap(), time(l, " pts:"))
            })
            .collect(),
    )
}

#[test]
fn gstreamer_finds_the_same_packets() {
    let dir = common::folder();
    for (path, pads) in [
        ("media/bframes.flv", &["video_0", "audio_0"][..]),
        ("media/h264-opus.ts", &["video_0", "audio_0"]),
        ("media/hevc-eac3.ts", &["video_0", "audio_0"]),
        ("media/mpeg2-mp2.ts", &["video_0", "audio_0"]),
        ("synthetic/flv-h264-mulaw.flv", &["video_0"]),
    ] {
        let Some(s) = source(path) else { continue };
        for live in [false, true] {
            let file = dir.join(format!("gst-{}-{live}.mp4", path.replace('/', "-")));
            std::fs::write(&file, write(&s, live)).unwrap();
            for (pad, t) in pads.iter().zip(&s.tracks) {
                let at = format!("{path} live={live} {t:?}");
                let Some(got) = gstreamer(&file, pad) else { return };
                let ours: Vec<_> = s.packets.iter().filter(|p| p.track == t.id).collect();
                let sizes: Vec<_> = got.iter().map(|g| g.0).collect();
                assert_eq!(sizes, ours.iter().map(|p| p.data.len()).collect::<Vec<_>>(), "{at}");
                // Edits move all of a track's times together.
                let first = got[0].1.unwrap();
                for (g, p) in got.iter().zip(&ours) {
                    let want = (p.pts() - ours[0].pts()).to_rate(1_000_000_000);
                    let off = g.1.unwrap() - first - want;
                    assert!(off.abs() <= 25_000, "{at}: {g:?} {p:?}: {off} ns");
                }
            }
        }
    }
}

#[test]
fn mediainfo_understands_the_descriptions() {
    let dir = common::folder();
    for (path, formats) in [
        ("media/bframes.flv", ["AVC", "AAC"]),
        ("media/hevc-eac3.ts", ["HEVC", "E-AC-3"]),
        ("media/enhanced-h264-ac3.flv", ["AVC", "AC-3"]),
        ("media/h264-opus.ts", ["AVC", "Opus"]),
        ("media/enhanced-av1-opus.flv", ["AV1", "Opus"]),
        ("media/enhanced-h264-flac.flv", ["AVC", "FLAC"]),
        ("media/mpeg2-mp2.ts", ["MPEG Video", "MPEG Audio"]),
        ("synthetic/flv-h264-pcm.flv", ["AVC", "PCM"]),
    ] {
        let Some(s) = source(path) else { continue };
        for live in [false, true] {
            let file = dir.join(format!("info-{}-{live}.mp4", path.replace('/', "-")));
            std::fs::write(&file, write(&s, live)).unwrap();
            let Some(out) = run("mediainfo", &["--Output=JSON", file.to_str().unwrap()]) else { return };
            let v: Value = serde_json::from_slice(&out.stdout).unwrap();
            let tracks = v["media"]["track"].as_array().unwrap();
            let found: Vec<_> = tracks.iter().skip(1).map(|t| t["Format"].as_str().unwrap()).collect();
            assert_eq!(found, formats, "{path} live={live}");
            for (t, ours) in tracks.iter().skip(1).zip(&s.tracks) {
                // It looks for these of Opus elsewhere.
                if ours.codec.kind() == Kind::Audio && ours.codec != Codec::Opus {
                    assert_eq!(t["SamplingRate"].as_str(), Some(&*ours.rate().to_string()), "{path}");
                    assert_eq!(t["Channels"].as_str(), Some(&*ours.channels().to_string()), "{path}");
                }
                if let Some(rate) = t["BitRate_Maximum"].as_str() {
                    assert!(rate.parse::<u64>().unwrap() < 100_000_000, "{path}: {rate} bit/s");
                }
            }
            assert!(tracks[0]["IsTruncated"].is_null(), "{path} live={live}");
        }
    }
}

#[test]
fn what_the_container_says_of_pictures_is_kept() {
    let Some(mut s) = source("media/video-only.flv") else { return };
    let dir = common::folder();
    let colour = Colour { primaries: 9, transfer: 16, matrix: 9, full_range: true };
    for rotation in [0, 90, 180, 270] {
        let visual = Visual { sar: (4, 3), colour: Some(colour), rotation };
        let info = TrackInfo { visual, ..(*s.tracks[0]).clone() };
        s.tracks[0] = Arc::new(info.with_lang(Lang::new("deu")));
        for live in [false, true] {
            let file = dir.join(format!("visual-{rotation}-{live}.mp4"));
            std::fs::write(&file, write(&s, live)).unwrap();
            let Some(v) = ffprobe(&file, &[]) else { return };
            let t = &v["streams"][0];
            assert_eq!(t["sample_aspect_ratio"], "4:3");
            let said =
                ["color_primaries", "color_transfer", "color_space", "color_range"].map(|k| t[k].as_str());
            assert_eq!(said, [Some("bt2020"), Some("smpte2084"), Some("bt2020nc"), Some("pc")]);
            assert_eq!(t["tags"]["language"], "deu");
            // ffmpeg counts anticlockwise
            let turned = t["side_data_list"][0]["rotation"].as_i64().unwrap_or(0);
            assert_eq!((-turned).rem_euclid(360), i64::from(rotation), "{t}");
        }
    }
}
