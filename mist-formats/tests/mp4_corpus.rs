//! MP4 files of the corpus, fragmented and not, against what ffprobe found in them.
#![allow(clippy::print_stdout, reason = "says how much was compared")]
#![allow(clippy::match_same_arms, reason = "one line a file, each with its own reason")]

mod common;

use bytes::Bytes;
use common::{Demux, Truth, TruthPacket, corpus, demux, sha256, truths};
use mist_core::codec::{self, Codec, pcm};
use mist_core::lang;
use mist_core::media::{Kind, Packet, Params, TrackId, TrackInfo};
use mist_formats::mp4::FORMAT;

fn ours(t: &Truth) -> bool {
    let sound = !t.path.starts_with("malformed/") && !t.path.starts_with("encrypted/");
    sound && t.json["format"].as_str().is_some_and(|f| f.starts_with("mov,"))
}

/// The file, or the init segment and the media segment that make it.
fn bytes(t: &Truth) -> Bytes {
    if let Some(b) = t.read() {
        return b;
    }
    let dir = corpus().unwrap().join(&t.path).parent().unwrap().to_owned();
    let mut parts: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    parts.sort_by_key(|p| !p.to_string_lossy().contains("init"));
    parts.iter().flat_map(|p| std::fs::read(p).unwrap()).collect::<Vec<_>>().into()
}

fn codec(name: &str, tag: &str) -> Option<Codec> {
    Some(match name {
        "h264" => Codec::H264,
        "hevc" => Codec::Hevc,
        "av1" => Codec::Av1,
        "vp8" => Codec::Vp8,
        "vp9" => Codec::Vp9,
        "mpeg4" => Codec::Mpeg4,
        "mpeg2video" => Codec::Mpeg2,
        "mjpeg" => Codec::Jpeg,
        "aac" => Codec::Aac,
        "mp3" => Codec::Mp3,
        "mp2" => Codec::Mp2,
        "ac3" => Codec::Ac3,
        "eac3" => Codec::Eac3,
        "opus" => Codec::Opus,
        "vorbis" => Codec::Vorbis,
        "flac" => Codec::Flac,
        "pcm_mulaw" => Codec::Ulaw,
        "pcm_alaw" => Codec::Alaw,
        "mov_text" => Codec::Subtitle,
        "eia_608" => Codec::Cea608,
        n if n.starts_with("pcm_f") => Codec::PcmFloat,
        n if n.starts_with("pcm_") => Codec::Pcm,
        _ => match tag {
            "wvtt" => Codec::WebVtt,
            "stpp" => Codec::Stpp,
            _ => return None,
        },
    })
}

/// Where ffmpeg has other packets or other words on purpose, with the reason.
fn differs(_path: &str, _stream: u64) -> Option<&'static str> {
    None
}

#[test]
fn every_file_has_the_packets_that_ffprobe_found() {
    let mut compared = 0;
    let mut wrong = Vec::new();
    for t in truths().iter().filter(|t| ours(t)) {
        let data = bytes(t);
        let got = demux(&FORMAT, &data, 4096);
        if let Some(e) = &got.error {
            wrong.push(format!("{}: {e}", t.path));
        }
        for p in &got.problems {
            println!("{}: {p}", t.path);
        }
        let rows = t.packets();
        for s in t.streams() {
            let index = s["index"].as_u64().unwrap();
            let name = s["codec"].as_str().unwrap_or("");
            let tag = s["tag"].as_str().unwrap_or("");
            let at = format!("{} {index} {name} {tag}", t.path);
            let id = u32::from_str_radix(s["id"].as_str().unwrap().trim_start_matches("0x"), 16).unwrap();
            let info = got.last().into_iter().find(|t| t.id.0 == id);
            let Some(want) = codec(name, tag) else {
                if info.is_some() {
                    wrong.push(format!("{at}: read as {info:?}"));
                }
                continue;
            };
            let Some(info) = info else {
                wrong.push(format!("{at}: no track"));
                continue;
            };
            if info.codec != want {
                wrong.push(format!("{at}: {info:?}"));
            }
            describe(&at, s, &info, &mut wrong);
            let packets = got.of(TrackId(id));
            let count = s["packets"].as_u64().unwrap() as usize;
            if packets.len() != count {
                wrong.push(format!("{at}: {} packets, {count} expected", packets.len()));
            }
            if let Some(rows) = &rows {
                let rows: Vec<_> = rows.iter().filter(|r| r.stream == index).collect();
                let mut bad = 0;
                for (n, (p, r)) in packets.iter().zip(&rows).enumerate() {
                    if let Some(what) = differs_packet(&data, &info, p, r) {
                        bad += 1;
                        if bad < 4 {
                            wrong.push(format!("{at} packet {n}: {what}: {p:?} {r:?}"));
                        }
                    }
                    compared += 1;
                }
                if bad > 3 {
                    wrong.push(format!("{at}: ... {bad} packets differ"));
                }
            }
        }
    }
    println!("{compared} packets compared");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn describe(at: &str, s: &serde_json::Value, info: &TrackInfo, wrong: &mut Vec<String>) {
    if let (Some(w), Kind::Video) = (s["width"].as_u64(), info.codec.kind()) {
        if info.size() != (w as u32, s["height"].as_u64().unwrap() as u32) {
            wrong.push(format!("{at}: size {info:?} {w}"));
        }
    }
    if let Some(r) = s["sample_rate"].as_u64() {
        let want = (r, s["channels"].as_u64().unwrap());
        if (u64::from(info.rate()), u64::from(info.channels())) != want {
            wrong.push(format!("{at}: {info:?} {want:?}"));
        }
    }
    let want = s["language"].as_str().and_then(lang::parse);
    if info.lang.map(lang::canonical) != want.map(lang::canonical) {
        wrong.push(format!("{at}: {:?} {want:?}", info.lang));
    }
}

fn differs_packet(data: &Bytes, info: &TrackInfo, p: &Packet, r: &TruthPacket) -> Option<String> {
    let off = |ms: Option<f64>, ours: f64| ms.is_some_and(|ms| (ms - ours).abs() > 0.0011);
    if off(r.dts_ms, p.dts.as_secs_f64() * 1000.0) || off(r.pts_ms, p.pts().as_secs_f64() * 1000.0) {
        return Some("time".into());
    }
    if p.key != r.key {
        return Some("key".into());
    }
    if sha256(&p.data) == r.sha256 {
        return None;
    }
    let raw = r.pos.and_then(|pos| data.get(pos..pos + r.size))?;
    let raw = data.slice_ref(raw);
    let canonical = match info.codec {
        Codec::H264 | Codec::Hevc | Codec::Av1 => {
            [4, 2, 1].iter().any(|&n| codec::canonical_payload(info.codec, raw.clone(), n).is_ok_and(|c| c == p.data))
        }
        Codec::Pcm => {
            let Params::Audio { bits, .. } = info.params else { unreachable!() };
            pcm::swapped(raw, bits) == p.data
        }
        Codec::Subtitle => raw[2..].starts_with(&p.data),
        _ => false,
    };
    (!canonical).then(|| format!("payload of {} bytes", p.data.len()))
}

#[allow(dead_code)]
fn unused(_: &Demux) {}
