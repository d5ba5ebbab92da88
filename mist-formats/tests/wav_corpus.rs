//! WAVE files against what ffprobe found in them.

mod common;

use bytes::Bytes;
use common::{Demux, Truth, demux, sha256, truths};
use mist_core::codec::{Codec, pcm};
use mist_core::format::ErrorKind;
use mist_core::media::{Params, TrackInfo};
use mist_core::time::{Duration, Timestamp};
use mist_formats::wav::FORMAT;

fn ours(t: &Truth) -> bool {
    t.path.starts_with("wav/") || (t.path.starts_with("synthetic/") && t.path.ends_with(".wav"))
}

fn codec(name: &str) -> (Codec, u16) {
    match name {
        "pcm_u8" => (Codec::Pcm, 8),
        "pcm_s16le" => (Codec::Pcm, 16),
        "pcm_s24le" => (Codec::Pcm, 24),
        "pcm_f32le" => (Codec::PcmFloat, 32),
        "pcm_f64le" => (Codec::PcmFloat, 64),
        "pcm_alaw" => (Codec::Alaw, 8),
        "pcm_mulaw" => (Codec::Ulaw, 8),
        "mp3" => (Codec::Mp3, 16),
        "mp2" => (Codec::Mp2, 16),
        "ac3" => (Codec::Ac3, 16),
        other => panic!("{other}"),
    }
}

/// All payload, as ffmpeg has it: little-endian, and unsigned at 8 bits.
fn payload(info: &TrackInfo, got: &Demux) -> Vec<u8> {
    let Params::Audio { bits, .. } = info.params else { panic!("{info:?}") };
    let all: Bytes = got.packets.iter().flat_map(|p| p.data.to_vec()).collect::<Vec<_>>().into();
    match info.codec {
        Codec::Pcm | Codec::PcmFloat => pcm::swapped(all, bits).to_vec(),
        _ => all.to_vec(),
    }
}

/// What the file itself gets wrong.
fn expected_problem(path: &str) -> Option<ErrorKind> {
    match path {
        // 91 MB announced in a file that was cut at 256 kB.
        "wav/fate-diatonis_invisible_order_anfos_ac3-small.wav" => Some(ErrorKind::Truncated),
        // Cut in the middle of a frame, of which ffprobe counts the half.
        "wav/getid3-8kmp38.wav" => Some(ErrorKind::Malformed("ends inside a sample or frame")),
        _ => None,
    }
}

#[test]
fn every_file_has_what_ffprobe_found() {
    for t in truths().iter().filter(|t| ours(t)) {
        let (path, data) = (&t.path, t.read().unwrap());
        let got = demux(&FORMAT, &data, 4096);
        let problems: Vec<_> = got.problems.iter().map(|p| p.kind).collect();
        assert_eq!(got.error, None, "{path}");
        let s = &t.streams()[0];
        let [info] = &got.tracks[..] else { panic!("{path}: {:?}", got.tracks) };
        let (codec, bits) = codec(s["codec"].as_str().unwrap());
        let rate = s["sample_rate"].as_u64().unwrap() as u32;
        let channels = s["channels"].as_u64().unwrap() as u16;
        assert_eq!((info.codec, info.params), (codec, Params::Audio { rate, channels, bits }), "{path}");
        let all = payload(info, &got);
        let whole = s["bytes"].as_u64().unwrap() as usize;
        if expected_problem(path).is_none() {
            assert_eq!(problems, [], "{path}");
            assert_eq!(all.len(), whole, "{path}");
            assert!(sha256(&all) == s["payload_sha256"].as_str().unwrap(), "{path}");
        } else {
            assert_eq!(problems, [expected_problem(path).unwrap()], "{path}");
        }
        let framed = !matches!(codec, Codec::Pcm | Codec::PcmFloat | Codec::Alaw | Codec::Ulaw);
        if framed {
            let rows = t.packets().unwrap();
            let cut = usize::from(expected_problem(path).is_some_and(|k| k != ErrorKind::Truncated));
            assert_eq!(got.packets.len() + cut, rows.len(), "{path}");
            for (p, r) in got.packets.iter().zip(&rows) {
                assert!(sha256(&p.data) == r.sha256, "{path} {p:?} {r:?}");
                assert!(
                    (p.dts.as_secs_f64() * 1000.0 - r.dts_ms.unwrap()).abs() < 0.001,
                    "{path} {p:?} {r:?}"
                );
            }
        } else {
            // ffmpeg cuts PCM elsewhere: each of ours begins with the sample that its time says.
            let mut samples = 0;
            for p in &got.packets {
                assert_eq!(p.dts, Timestamp::from_rate(samples, rate), "{path}");
                samples += p.data.len() as i64 * 8 / i64::from(bits) / i64::from(channels);
            }
            let lasts = Duration::from_rate(samples, rate).as_secs_f64() * 1000.0;
            assert!((lasts - t.json["duration_ms"].as_f64().unwrap()).abs() < 0.001, "{path}: {lasts}");
        }
    }
}

#[test]
fn damaged_files_give_what_can_be_saved() {
    for t in truths().iter().filter(|t| t.path.starts_with("malformed/") && t.path.ends_with(".wav")) {
        let got = demux(&FORMAT, &t.read().unwrap(), 4096);
        let kind = got.error.as_ref().map(|e| e.kind);
        match t.path.as_str() {
            // A chunk of 800 kB in a file of half a kB, instead of any data.
            "malformed/fzc-1080986.wav" => assert_eq!(kind, Some(ErrorKind::Truncated)),
            "malformed/taglib-segfault.wav" => {
                assert_eq!(kind, Some(ErrorKind::Malformed("chunk too short")));
            }
            path => {
                assert_eq!(kind, None, "{path}");
                let [info] = &got.tracks[..] else { panic!("{path}: {:?}", got.tracks) };
                let all = payload(info, &got);
                let s = &t.streams()[0];
                assert_eq!(all.len() as u64, s["bytes"].as_u64().unwrap(), "{path}");
                assert!(all.is_empty() || sha256(&all) == s["payload_sha256"].as_str().unwrap(), "{path}");
            }
        }
    }
}
