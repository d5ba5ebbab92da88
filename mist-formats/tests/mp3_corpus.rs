//! MPEG audio files of the corpus against what ffprobe found in them.
#![allow(clippy::print_stdout, reason = "says how much was compared")]
#![allow(clippy::match_same_arms, reason = "one line a file, each with its own reason")]

mod common;

use common::{Truth, demux, sha256, truths};
use mist_core::codec::Codec;
use mist_core::format::ErrorKind;
use mist_core::time::Timestamp;
use mist_formats::mp3::{Demuxer, FORMAT};

fn ours(t: &Truth) -> bool {
    let folder = ["mp3/", "es-other/", "hls/", "malformed/"].iter().any(|f| t.path.starts_with(f));
    folder && [".mp3", ".mp2"].iter().any(|e| t.path.ends_with(e))
}

/// Packets that only ffprobe has at the end, with the reason why ours differ; `None` for files of which nothing is compared.
fn at_end(path: &str) -> Option<usize> {
    Some(match path {
        // ffmpeg takes cut frames and what lies between the last frame and ID3v1 for frames
        "mp3/getid3-lyrics3-2.mp3"
        | "mp3/hachoir-sheep_on_drugs.mp3"
        | "malformed/ax-test-cbr-info-header-trailing-garbage.mp3" => 1,
        // frames of no known length
        "mp3/getid3-LAME_3.90.3_--freeformat_-b_200.mp3" => return None,
        // a fuzzer's file: most headers are damaged, and ffmpeg goes by Xing's table of contents
        "mp3/fzc-mpg321-2016-05-14T21-39-25.656643.mp3" => return None,
        // recognised as AMR by ffmpeg
        "malformed/ax-100kB-garbage-prefix.mp3" => return None,
        // two files cut and joined in the middle of frames, of which ffmpeg makes one
        "malformed/mediabunny-malformed-join.mp3" => return None,
        _ => 0,
    })
}

#[test]
fn every_file_has_the_packets_that_ffprobe_found() {
    let mut packets = 0;
    for t in truths().iter().filter(|t| ours(t)) {
        let Some(data) = t.read() else { continue };
        let Some(s) = t.streams().iter().find(|s| s["type"] == "audio") else { continue };
        let Some(less) = at_end(&t.path) else { continue };
        let mut d = Demuxer::new();
        let got = common::run(&mut d, &data, 4096);
        assert_eq!(got.error, None, "{}", t.path);
        let [info] = &got.tracks[..] else { panic!("{}: {:?}", t.path, got.tracks) };
        assert_eq!(info.codec, if s["codec"] == "mp2" { Codec::Mp2 } else { Codec::Mp3 });
        assert_eq!(Some(u64::from(info.rate())), s["sample_rate"].as_u64(), "{}", t.path);
        assert_eq!(Some(u64::from(info.channels())), s["channels"].as_u64(), "{}", t.path);
        let rows = t.packets().unwrap_or_default();
        let mut rows: Vec<_> = rows.iter().filter(|r| Some(r.stream) == s["index"].as_u64()).collect();
        rows.truncate(rows.len() - less);
        assert_eq!(got.packets.len(), rows.len(), "{}", t.path);
        // packed audio of HLS begins at the time that its tag tells, which ffprobe doesn't read
        let from = if t.path.starts_with("hls/") { got.packets[0].dts } else { Timestamp::ZERO };
        for (n, (p, r)) in got.packets.iter().zip(&rows).enumerate() {
            let at = format!("{}: packet {n} {p:?} and {r:?}", t.path);
            let ours = (p.pts() - from).as_secs_f64() * 1000.0;
            let off = r.pts_ms.map_or(0.0, |ms| ms - ours);
            assert!(off.abs() < 0.001, "{at}");
            assert_eq!((p.data.len(), sha256(&p.data), p.key), (r.size, r.sha256.clone(), r.key), "{at}");
            packets += 1;
        }
        // what the encoder says beforehand holds for whole files, but some count their own frame
        let told = d.info().and_then(|i| i.frames).map(|n| n as usize);
        let whole = !["mp3/ax-", "malformed/", "mp3/mutagen-apev2"].iter().any(|c| t.path.starts_with(c));
        let sound = rows.len()..=rows.len() + 1;
        assert!(!whole || told.is_none_or(|n| sound.contains(&n)), "{}: {told:?} of {}", t.path, rows.len());
    }
    println!("{packets} packets compared");
}

#[test]
fn packed_audio_begins_at_its_time() {
    let of = |name: &str| truths().into_iter().find(|t| t.path.ends_with(name));
    for (name, want) in [("media_w905519204_0.mp3", 0), ("media_w905519204_1.mp3", 900_440)] {
        let Some(t) = of(name) else { return };
        let got = demux(&FORMAT, &t.read().unwrap(), 1000);
        assert_eq!(got.packets[0].dts.to_rate(90_000), want, "{name}");
    }
}

#[test]
fn problems_are_reported_only_where_there_are_some() {
    for t in truths().iter().filter(|t| ours(t) && !t.path.starts_with("malformed/")) {
        let Some(data) = t.read() else { continue };
        let got = demux(&FORMAT, &data, 1 << 16);
        let kinds: Vec<_> = got.problems.iter().map(|p| (p.offset, p.kind)).collect();
        match t.path.as_str() {
            "mp3/hachoir-sheep_on_drugs.mp3" => assert_eq!(kinds, [(20_650, ErrorKind::Truncated)]),
            // the frame behind Info is 41 bytes too short
            "mp3/mutagen-apev2-lyricsv2.mp3" => assert_eq!((kinds.len(), kinds[0].0), (1, 1906)),
            "mp3/fzc-mpg321-2016-05-14T21-39-25.656643.mp3" => assert_eq!(kinds.len(), 3),
            _ => assert_eq!(kinds, [], "{}", t.path),
        }
        let free = t.path.contains("freeformat");
        assert_eq!(got.error.as_ref().map(|e| e.offset), free.then_some(653), "{}: {:?}", t.path, got.error);
    }
}
