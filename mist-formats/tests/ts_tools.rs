//! What the muxer writes, read by ffmpeg's own demuxer and decoders.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    reason = "a test runs tools on files that it writes, and says what it skips"
)]

mod common;

use common::{demux, truths};
use mist_core::gather::Gather;
use mist_core::media::{Kind, Packet, TrackInfo};
use mist_core::registry::{FormatDef, choose};
use mist_formats::FORMATS;
use mist_formats::ts::FORMAT;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;

fn run(program: &str, args: &[&str]) -> Option<Output> {
    let out = Command::new(program).args(args).output().ok();
    if out.is_none() {
        println!("skipped: no {program}");
    }
    out
}

/// Writes packets as HLS segments would be: a new muxer at every `segment`th keyframe; 0 for one muxer.
fn mux(tracks: &[Arc<TrackInfo>], packets: &[Packet], segment: usize) -> Vec<u8> {
    let start = |out: &mut Gather| {
        let mut m = (FORMAT.muxer.unwrap())();
        m.start(tracks, None, out).unwrap();
        m
    };
    let mut out = Gather::new();
    let mut m = start(&mut out);
    let mut keys = 0;
    for p in packets {
        let info = tracks.iter().find(|t| t.id == p.track).unwrap();
        if p.key && info.codec.kind() == Kind::Video {
            keys += 1;
            if segment > 0 && keys > 1 && keys % segment == 0 {
                m = start(&mut out);
            }
        }
        m.packet(p, &mut out).unwrap();
    }
    out.to_vec()
}

fn source(path: &str) -> Option<(Vec<Arc<TrackInfo>>, Vec<Packet>)> {
    let data = match path.strip_prefix("media/") {
        Some(name) => {
            let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/media");
            std::fs::read(dir.join(name)).unwrap().into()
        }
        None => truths().into_iter().find(|t| t.path == path)?.read()?,
    };
    let ending = path.rsplit_once('.').unwrap().1;
    let def: &FormatDef = FORMATS.iter().find(|f| f.extensions.contains(&ending)).unwrap();
    let got = demux(def, &data, 1 << 16);
    let tracks = choose(FORMAT.output.unwrap().codecs, &got.last());
    let mut packets: Vec<_> =
        got.packets.into_iter().filter(|p| tracks.iter().any(|t| t.id == p.track)).collect();
    packets.sort_by_key(|p| p.dts);
    Some((tracks, packets))
}

#[test]
fn ffmpeg_reads_the_same_packets_without_a_warning() {
    let dir = common::folder();
    for path in [
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
        "ts/ax-sample_h264.ts",
        "ts/ax-sample_h265.ts",
    ] {
        let Some((tracks, packets)) = source(path) else { continue };
        for segment in [0, 1] {
            let file = dir.join(format!("{}-{segment}.ts", path.replace('/', "-")));
            std::fs::write(&file, mux(&tracks, &packets, segment)).unwrap();
            let file = file.to_str().unwrap();
            let Some(out) = run("ffmpeg", &["-v", "warning", "-i", file, "-f", "null", "-"]) else { return };
            let said = String::from_utf8_lossy(&out.stderr);
            assert!(out.status.success() && said.trim().is_empty(), "{path} in segments {segment}: {said}");

            let entries = "packet=codec_type,pts,dts,flags";
            let args = ["-v", "error", "-show_packets", "-show_entries", entries, "-of", "csv=p=0", file];
            let Some(out) = run("ffprobe", &args) else { return };
            let text = String::from_utf8_lossy(&out.stdout).into_owned();
            for info in &tracks {
                let kind = match info.codec.kind() {
                    Kind::Video => "video,",
                    Kind::Audio => "audio,",
                    _ => continue,
                };
                let rows: Vec<Vec<&str>> =
                    text.lines().filter_map(|l| Some(l.strip_prefix(kind)?.split(',').collect())).collect();
                let ours: Vec<_> = packets.iter().filter(|p| p.track == info.id).collect();
                assert_eq!(rows.len(), ours.len(), "{path} {info:?}");
                for (r, p) in rows.iter().zip(ours) {
                    let off = |text: &str, ours: i64| {
                        let d = (text.parse::<i64>().unwrap() - ours - 126_000).rem_euclid(1 << 33);
                        d.min((1 << 33) - d)
                    };
                    let at = format!("{path} {info:?} {p:?} {r:?}");
                    assert!(off(r[0], p.pts().to_rate(90_000)) <= 1, "{at}");
                    assert!(off(r[1], p.dts.to_rate(90_000)) <= 1, "{at}");
                    assert_eq!(r[2].starts_with('K'), p.key, "{at}");
                }
            }
        }
    }
}
