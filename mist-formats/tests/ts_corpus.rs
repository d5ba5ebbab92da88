//! Transport streams of the corpus against what ffprobe found in them.
#![allow(clippy::print_stdout, reason = "says how much was compared")]
#![allow(clippy::match_same_arms, reason = "one line a file, each with its own reason")]

mod common;

use common::{Truth, TruthPacket, demux, sha256, truths};
use mist_core::codec::{Codec, nal};
use mist_core::format::{ErrorKind, FormatError};
use mist_core::media::{Packet, TrackId, TrackInfo};
use mist_core::time::Timestamp;
use mist_formats::ts::FORMAT;

fn ours(t: &Truth) -> bool {
    let folder = ["ts/", "synthetic/", "malformed/tsduck"].iter().any(|f| t.path.starts_with(f));
    folder && [".ts", ".mts", ".m2ts"].iter().any(|e| t.path.ends_with(e))
}

/// ffmpeg's payload is Annex B with the delimiters that were there; ours keeps neither those nor the length of
/// start codes. Tries every way to write them that has the right length.
fn same_payload(info: &TrackInfo, p: &Packet, want: &TruthPacket) -> bool {
    match info.codec {
        Codec::H264 | Codec::Hevc => {}
        // ffmpeg keeps the ADTS header, whose buffer fullness and CRC ours has no place for
        Codec::Aac => return [7, 9].contains(&(want.size as i64 - p.data.len() as i64)),
        _ => return sha256(&p.data) == want.sha256,
    }
    let auds = (0..8u8).map(|k| match info.codec {
        Codec::H264 => vec![9, k << 5 | 0x10],
        _ => vec![0x46, 1, k << 5 | 0x10],
    });
    let units: Vec<&[u8]> = nal::units(&p.data).collect();
    // its HEVC parser leaves a 4-byte start code's first zero to the packet before
    let trailing = [0, usize::from(info.codec == Codec::Hevc)];
    std::iter::once(None).chain(auds.map(Some)).any(|aud| {
        let all: Vec<&[u8]> = aud.iter().map(|a| &a[..]).chain(units.iter().copied()).collect();
        let least: usize = all.iter().map(|n| n.len() + 3).sum();
        trailing.iter().any(|&zeros| {
            let Some(long) = want.size.checked_sub(least + zeros) else { return false };
            let choices = 0..1u32 << all.len().min(14);
            choices.filter(|c| c.count_ones() as usize == long).any(|choice| {
                let mut b = Vec::with_capacity(want.size);
                for (i, n) in all.iter().enumerate() {
                    b.extend_from_slice(&[0, 0, 0, 1][usize::from(choice >> i.min(31) & 1 == 0)..]);
                    b.extend_from_slice(n);
                }
                b.resize(b.len() + zeros, 0);
                sha256(&b) == want.sha256
            })
        })
    })
}

/// Milliseconds of the truth in 90 kHz minus ours, over the wrap: ffmpeg shows times just before one as negative.
fn ticks_off(truth: Option<f64>, ours: Timestamp) -> f64 {
    let wrap = (1u64 << 33) as f64;
    let Some(ms) = truth else { return 0.0 };
    let d = (ms * 90.0 - ours.to_rate(90_000) as f64).rem_euclid(wrap);
    d.min(wrap - d)
}

/// Streams that ffprobe has and we don't read, or read differently on purpose, with the reason.
fn differs(path: &str, pid: u32, codec: &str) -> Option<&'static str> {
    Some(match (path, pid) {
        _ if matches!(codec, "epg" | "dvb_subtitle" | "dvb_teletext" | "bin_data") => "not read",
        ("synthetic/ts-two-programs.ts", 0x102 | 0x103) => "of the second program",
        ("ts/tsduck-test-011.ts", _) => "scrambled, and of further programs",
        ("synthetic/m2ts-192.m2ts", 0x1100) => {
            "AAC as private data without a descriptor, which ffmpeg guesses"
        }
        ("ts/tsduck-test-052.ts" | "ts/tsduck-test-066.2.ts" | "ts/tsduck-test-125.ts", _) => {
            "without PAT, which ffmpeg guesses"
        }
        ("ts/fate-pmtchange.ts", 0x1248 | 0x1256) => "pictures without a sequence header",
        ("ts/tsduck-test-145.ts", _) => "a picture without parameter sets",
        _ => return None,
    })
}

/// Packets at the start and at the end that only ffprobe has: parts of frames or pictures before their parameter sets.
fn parts(path: &str, pid: u32) -> (usize, usize) {
    match (path, pid) {
        // a frame that was cut at the end of the file
        ("synthetic/ts-multi-audio-lang.ts", 0x103) => (0, 1),
        ("ts/fate-latm_000000001180bc60.ts", _) => (0, 1),
        // the same, in every stream that the PMT drops
        ("ts/fate-pmtchange.ts", _) => (0, 1),
        // half a frame at both ends
        ("ts/ax-sample_ac3.ts", _) => (1, 1),
        ("ts/fate-t.ts", 0x12e) => (0, 1),
        // the two fields of the last frame, which ffmpeg splits only at the end
        ("ts/fate-t.ts", 0x12d) => (0, 1),
        // nothing can decode what comes before the first parameter sets
        ("ts/mediabunny-no-initial-keyframe.ts", 0x101) => (63, 0),
        ("ts/tsduck-test-137.ts", 0x79) => (1, 0),
        _ => (0, 0),
    }
}

/// How far times may be apart, in ticks.
fn tolerance(path: &str, codec: &str, n: usize) -> f64 {
    match (path, codec, n) {
        // its frames of 34.83 ms are added up in whole ticks by ffmpeg, by samples here
        ("ts/tsduck-test-151.eac3.dvb.ts", ..) => 10.0,
        // a section has no time: ffmpeg takes the clock, which is behind the decoding times
        (_, "scte_35", _) => 63_000.0,
        // ffmpeg goes back from the second frame of a PES packet whose first half was lost: one frame late
        ("ts/ax-sample_ac3.ts", ..) => 2880.0,
        // the first pictures have no DTS, which ffmpeg works out afterwards
        ("ts/fate-t.ts", "mpeg2video", 0 | 1) => 10_800.0,
        // neither has the first frame a PTS
        ("ts/fate-t.ts", "mp3", 0) => 7200.0,
        _ => 1.1,
    }
}

#[test]
fn every_file_has_the_packets_that_ffprobe_found() {
    let mut packets = 0;
    for t in truths().iter().filter(|t| ours(t)) {
        let Some(data) = t.read() else { continue };
        let got = demux(&FORMAT, &data, 4096);
        assert!(got.error.is_none(), "{}: {:?}", t.path, got.error);
        let rows = t.packets().unwrap_or_default();
        for s in t.streams() {
            let Some(id) = s["id"].as_str() else { continue };
            let pid = u32::from_str_radix(id.trim_start_matches("0x"), 16).unwrap();
            let codec = s["codec"].as_str().unwrap_or("");
            let at = format!("{} {id} {codec}", t.path);
            let ours = got.of(TrackId(pid));
            if let Some(reason) = differs(&t.path, pid, codec) {
                assert!(ours.is_empty(), "{at}: {} packets though {reason}", ours.len());
                continue;
            }
            let rows: Vec<_> = rows.iter().filter(|r| Some(r.stream) == s["index"].as_u64()).collect();
            let (first, last) = parts(&t.path, pid);
            let whole = rows.get(first..rows.len().max(first + last) - last).unwrap_or_default();
            assert_eq!(ours.len(), whole.len(), "{at}: packets");
            let Some(info) = got.last().into_iter().find(|t| t.id.0 == pid) else { continue };
            for (n, (p, r)) in ours.iter().zip(whole).enumerate() {
                let at = format!("{at}: packet {n} {p:?} and {r:?}");
                let off = ticks_off(r.pts_ms, p.pts()).max(ticks_off(r.dts_ms, p.dts));
                assert!(off <= tolerance(&t.path, codec, n), "{at}: {off} ticks");
                assert_eq!(p.key, r.key, "{at}");
                let known = match (t.path.as_str(), codec) {
                    // ffmpeg takes 5 bytes off for an access unit cell that isn't there
                    ("ts/vhs-id3.ts", "timed_id3") => p.data.starts_with(b"ID3"),
                    // ffmpeg keeps the LATM frame
                    (_, "aac_latm") => p.data.len() < r.size,
                    ("ts/fate-t.ts", "mpeg2video") if n + 1 == ours.len() => p.data.len() == 1540 + 1276,
                    // ffmpeg leaves in front of it the end of a frame that had begun before the file
                    ("ts/fate-t.ts", "mp3") if n == 0 => r.size == 115 + p.data.len(),
                    _ => same_payload(&info, p, r),
                };
                assert!(known, "{at}: payload");
                packets += 1;
            }
        }
    }
    println!("{packets} packets compared");
}

#[test]
fn problems_are_reported_only_where_there_are_some() {
    for t in truths().iter().filter(|t| ours(t) && !t.path.starts_with("malformed/")) {
        let got = demux(&FORMAT, &t.read().unwrap(), 1 << 16);
        let sound = t.json["ffprobe_stderr"].as_str().is_none_or(str::is_empty);
        let features = t.json["features"].to_string();
        let odd = ["cc-err", "no-pat\"", "scrambled"].iter().any(|f| features.contains(f));
        let malformed =
            got.problems.iter().filter(|p| matches!(p.kind, ErrorKind::Malformed(_) | ErrorKind::Limit(_)));
        let at_start =
            ["ts/ax-sample_ac3.ts", "ts/fate-t.ts", "ts/ax-sample_ac4.ts"].contains(&t.path.as_str());
        if sound && !odd && !at_start {
            assert_eq!(malformed.collect::<Vec<_>>(), Vec::<&FormatError>::new(), "{}", t.path);
        }
    }
}
