//! FLV files of the corpus against what ffprobe found in them.

mod common;

use bytes::Bytes;
use common::{Demux, Truth, TruthPacket, demux, sha256, truths};
use mist_core::codec::Codec;
use mist_core::format::ErrorKind;
use mist_core::media::{Kind, Packet, TrackInfo};
use mist_formats::flv::FORMAT;

fn ours(t: &Truth) -> bool {
    (t.path.starts_with("flv/") || t.path.starts_with("synthetic/")) && t.path.ends_with(".flv")
}

fn codec(name: &str) -> Codec {
    match name {
        "h264" => Codec::H264,
        "hevc" => Codec::Hevc,
        "flv1" => Codec::H263,
        "vp6f" => Codec::Vp6,
        "flashsv" => Codec::Screen1,
        "flashsv2" => Codec::Screen2,
        "aac" => Codec::Aac,
        "mp3" => Codec::Mp3,
        "speex" => Codec::Speex,
        "nellymoser" => Codec::Nellymoser,
        "pcm_alaw" => Codec::Alaw,
        "pcm_mulaw" => Codec::Ulaw,
        "pcm_s16le" => Codec::Pcm,
        other => panic!("{other}"),
    }
}

/// The payload as ffmpeg has it. Where our canonical form differs, it differs on purpose:
/// PCM is big-endian; VP6 keeps FLV's adjustment byte, which ffmpeg moves to extradata.
fn as_ffmpeg(info: &TrackInfo, p: &Packet) -> Bytes {
    match info.codec {
        Codec::Pcm => p.data.chunks(2).flat_map(|s| [s[1], s[0]]).collect::<Vec<_>>().into(),
        Codec::Vp6 => p.data.slice(1..),
        _ => p.data.clone(),
    }
}

#[test]
fn every_file_has_the_packets_that_ffprobe_found() {
    for t in truths().iter().filter(|t| ours(t)) {
        let data = t.read().unwrap();
        let got = demux(&FORMAT, &data, 4096);
        match t.path.as_str() {
            // The file was cut in the middle of a tag; ffprobe counts the half packet.
            "flv/hachoir-breakdance.flv" => {
                assert_eq!(got.error.as_ref().map(|e| e.kind), Some(ErrorKind::Truncated));
                assert_eq!(got.problems.len(), 1, "PreviousTagSize 0 behind onMetaData");
            }
            _ => assert!(
                got.error.is_none() && got.problems.is_empty(),
                "{}: {:?} {:?}",
                t.path,
                got.error,
                got.problems
            ),
        }
        check(t, &data, &got);
    }
}

fn check(t: &Truth, data: &Bytes, got: &Demux) {
    let path = &t.path;
    let tracks = got.last();
    assert_eq!(tracks.len(), t.streams().len(), "{path}: tracks {tracks:?}");
    let rows = t.packets();
    for (i, s) in t.streams().iter().enumerate() {
        let kind = if s["type"] == "video" { Kind::Video } else { Kind::Audio };
        let info = tracks.iter().find(|t| t.codec.kind() == kind).unwrap();
        assert_eq!(info.codec, codec(s["codec"].as_str().unwrap()), "{path}");
        if let Some(w) = s["width"].as_u64() {
            assert_eq!(info.size(), (w as u32, s["height"].as_u64().unwrap() as u32), "{path}");
        }
        if let Some(r) = s["sample_rate"].as_u64() {
            assert_eq!(
                (u64::from(info.rate()), u64::from(info.channels())),
                (r, s["channels"].as_u64().unwrap()),
                "{path}"
            );
        }
        let packets = got.of(info.id);
        let cut = path == "flv/hachoir-breakdance.flv" && kind == Kind::Audio;
        let want = s["packets"].as_u64().unwrap() as usize - usize::from(cut);
        assert_eq!(packets.len(), want, "{path} {kind:?}");
        let ms =
            |name: &str, v: i64| assert_eq!(v as f64, s[name].as_f64().unwrap(), "{path} {kind:?} {name}");
        ms("first_dts_ms", packets[0].dts.as_millis());
        ms("first_pts_ms", packets[0].pts().as_millis());
        if !cut {
            ms("last_dts_ms", packets[want - 1].dts.as_millis());
            ms("max_pts_ms", packets.iter().map(|p| p.pts().as_millis()).max().unwrap());
            let keys = packets.iter().filter(|p| p.key).count() as u64;
            assert_eq!(keys, s["keyframes"].as_u64().unwrap(), "{path} {kind:?}");
        }
        if let Some(rows) = &rows {
            let index = s["index"].as_u64().unwrap_or(i as u64);
            let rows: Vec<_> = rows.iter().filter(|r| r.stream == index).collect();
            for (n, (p, r)) in packets.iter().zip(rows).enumerate() {
                same(&format!("{path} {kind:?} packet {n}"), data, info, p, r);
            }
        }
    }
}

fn same(at: &str, data: &Bytes, info: &TrackInfo, p: &Packet, r: &TruthPacket) {
    assert_eq!(Some(p.dts.as_millis() as f64), r.dts_ms, "{at} dts");
    assert_eq!(Some(p.pts().as_millis() as f64), r.pts_ms, "{at} pts");
    assert_eq!(p.key, r.key, "{at} key");
    let payload = as_ffmpeg(info, p);
    if sha256(&payload) == r.sha256 {
        return;
    }
    // Their encoders put an access unit delimiter in front, which our canonical form has not.
    let delimited = ["flv/vhs-bipbop0.flv", "flv/red5-flashContent.flv"];
    assert!(
        delimited.iter().any(|f| at.starts_with(f)),
        "{at}: {} bytes, {} expected",
        payload.len(),
        r.size
    );
    let aud = r.size - payload.len();
    assert_eq!(aud, 6, "{at}");
    let body = data.windows(r.size).skip(r.pos.unwrap()).take(32).find(|w| sha256(w) == r.sha256).unwrap();
    assert_eq!(body[aud..], payload, "{at}");
}

#[test]
fn damaged_files_give_what_can_be_saved() {
    for t in truths().iter().filter(|t| t.path.starts_with("malformed/") && t.path.ends_with(".flv")) {
        let data = t.read().unwrap();
        let got = demux(&FORMAT, &data, 4096);
        assert!(!got.packets.is_empty(), "{}", t.path);
        for step in [1, 4096] {
            for cut in (0..data.len().min(2000)).step_by(7) {
                demux(&FORMAT, &data.slice(..cut), step);
            }
        }
    }
}
