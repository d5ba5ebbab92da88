//! Raw video of the corpus against what ffprobe found in it, and video of other containers as a byte stream and back.
#![allow(clippy::print_stdout, reason = "says how much was compared")]

mod common;

use bytes::Bytes;
use common::{demux, run, sha256, truths};
use mist_core::codec::{Codec, h264, hevc, nal};
use mist_core::format::Muxer as _;
use mist_core::gather::Gather;
use mist_core::media::{Packet, TrackInfo};
use mist_core::time::{Duration, Timestamp};
use mist_formats::annexb::{Demuxer, FORMAT, Muxer};
use mist_formats::{flv, ts};
use std::sync::Arc;

fn is_delimiter(codec: Codec, unit: &[u8]) -> bool {
    match codec {
        Codec::H264 => h264::nal::kind(unit) == h264::nal::AUD,
        _ => hevc::nal::kind(unit) == hevc::nal::AUD,
    }
}

#[test]
fn every_file_has_the_packets_that_ffprobe_found() {
    let mut packets = 0;
    for t in truths().iter().filter(|t| t.path.starts_with("annexb/")) {
        let Some(data) = t.read() else { continue };
        let got = demux(&FORMAT, &data, 4096);
        assert_eq!((&got.error, &got.problems[..]), (&None, &[][..]), "{}", t.path);
        let [info] = &got.tracks[..] else { panic!("{}: {:?}", t.path, got.tracks) };
        let s = &t.streams()[0];
        assert_eq!(info.codec, if s["codec"] == "hevc" { Codec::Hevc } else { Codec::H264 }, "{}", t.path);
        let size = (s["width"].as_u64().unwrap() as u32, s["height"].as_u64().unwrap() as u32);
        assert_eq!(info.size(), size, "{}", t.path);
        let rows = t.packets().unwrap_or_default();
        assert_eq!(got.packets.len(), rows.len(), "{}", t.path);
        for (n, (p, r)) in got.packets.iter().zip(&rows).enumerate() {
            let at = format!("{}: packet {n} {p:?} and {r:?}", t.path);
            // ffprobe hands out the bytes as they are
            let from = r.pos.unwrap();
            let theirs = &data[from..from + r.size];
            assert_eq!(sha256(theirs), r.sha256, "{at}");
            let theirs = nal::annex_b(theirs).filter(|u| !is_delimiter(info.codec, u));
            assert!(theirs.eq(nal::units(&p.data)), "{at}: payload");
            assert_eq!(p.key, r.key, "{at}");
            packets += 1;
        }
        // evenly apart, nothing shown before it is decoded, nothing twice
        let step = got.packets.get(1).map_or(Duration::ZERO, |p| p.dts - got.packets[0].dts);
        let mut shown: Vec<Timestamp> = got.packets.iter().map(Packet::pts).collect();
        assert!(got.packets.windows(2).all(|w| w[1].dts - w[0].dts == step), "{}", t.path);
        assert!(got.packets.iter().all(|p| p.cts >= Duration::ZERO), "{}", t.path);
        shown.sort();
        assert!(shown.windows(2).all(|w| w[0] < w[1]), "{}", t.path);
    }
    println!("{packets} packets compared");
}

/// Muxes one track.
fn mux(info: &Arc<TrackInfo>, packets: &[&Packet]) -> Bytes {
    let mut out = Gather::new();
    let mut m = Muxer::new();
    m.start(std::slice::from_ref(info), None, &mut out).unwrap();
    for p in packets {
        m.packet(p, &mut out).unwrap();
    }
    m.finish(&mut out).unwrap();
    out.to_vec().into()
}

#[test]
fn pictures_are_shown_in_the_order_that_containers_tell() {
    let mut compared = 0;
    for t in truths() {
        let def = match t.path.rsplit('.').next() {
            Some("flv") => &flv::FORMAT,
            Some("ts") => &ts::FORMAT,
            _ => continue,
        };
        if t.path.starts_with("malformed/") {
            continue;
        }
        let Some(data) = t.read() else { continue };
        let got = demux(def, &data, 1 << 16);
        let video = |t: &&Arc<TrackInfo>| matches!(t.codec, Codec::H264 | Codec::Hevc) && !t.init.is_empty();
        for info in got.last().iter().filter(video) {
            let changes = got.tracks.iter().filter(|t| t.id == info.id).count() > 1;
            let packets = got.of(info.id);
            let sorted = packets.is_sorted_by_key(|p| p.dts);
            if changes || !sorted || packets.len() < 2 {
                continue;
            }
            let back = run(&mut Demuxer::new().with_rate(25, 1), &mux(info, &packets), 5000);
            let at = format!("{} {info:?}", t.path);
            assert_eq!(back.packets.len(), packets.len(), "{at}");
            let order = |times: Vec<Timestamp>| {
                let mut i: Vec<usize> = (0..times.len()).collect();
                i.sort_by_key(|&i| times[i]);
                i
            };
            let ours = order(back.packets.iter().map(Packet::pts).collect());
            let theirs = order(packets.iter().map(|p| p.pts()).collect());
            let n = ours.iter().zip(&theirs).position(|(a, b)| a != b);
            assert_eq!(n, None, "{at}: {ours:?} {theirs:?}");
            compared += packets.len();
        }
    }
    println!("{compared} pictures compared");
}
