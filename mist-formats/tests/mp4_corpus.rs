//! MP4 files of the corpus, fragmented and not, against what ffprobe found in them.
#![allow(clippy::print_stdout, reason = "says how much was compared")]
#![allow(clippy::disallowed_methods, reason = "reads the corpus")]
#![allow(clippy::match_same_arms, reason = "one line a file, each with its own reason")]

mod common;

use bytes::Bytes;
use common::{Truth, TruthPacket, corpus, demux, sha256, truths};
use mist_core::codec::{self, Codec, pcm};
use mist_core::format::ErrorKind;
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
        "mov_text" => Codec::Tx3g,
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

/// Streams that ffprobe has and we don't read, with the reason.
fn left_out(path: &str, stream: u64) -> Option<&'static str> {
    Some(match (path, stream) {
        ("fmp4/pairs/shaka-multidrm-video/joined.mp4", _) => "encrypted",
        ("mp4/mutagen-nero-chapters.m4b", 2) => "a cover picture in the metadata, no track",
        _ => return None,
    })
}

/// What ffprobe says of a stream in other words, with the reason.
fn said_otherwise(path: &str, what: &str) -> Option<&'static str> {
    Some(match (path, what) {
        ("mp4/ax-sample_mp2_audio.mp4", "codec") => "layer II: ffmpeg goes by the object type",
        ("mp4/fate-extradata-reload-multi-stsd.mp4", "size") => {
            "of the first sample description, ours is the last"
        }
        ("mp4/fzc-aac_he_sr22k_br64k_1c_16b_libfdk_aac.m4a", "rate") => "ffmpeg guesses parametric stereo",
        _ => return None,
    })
}

/// Where times differ, with the reason.
fn timed_otherwise(path: &str, ours: &Packet, r: &TruthPacket) -> Option<&'static str> {
    let off = |a: Option<f64>, b: f64| a.map_or(f64::MAX, |a| a - b);
    let dts = off(r.dts_ms, ours.dts.as_secs_f64() * 1000.0);
    let pts = off(r.pts_ms, ours.pts().as_secs_f64() * 1000.0);
    let both = |ms: f64| (dts - ms).abs() < 0.01 && (pts - ms).abs() < 0.01;
    match path {
        "mp4/ax-iibbibb_editlist_videoonly.mp4" if both(-500.0) => {
            Some("the edit begins within a picture, which ffmpeg rounds to whole ones")
        }
        "mp4/fate-mov_neg_first_pts_discard_vorbis.mov" if both(-12.88) => {
            Some("the edit begins within a packet, and ffmpeg's time is of another one's start")
        }
        "mp4/ax-dolbyVision-hdr.mov" if (dts - 66.667).abs() < 0.01 && pts.abs() < 0.01 => {
            Some("ffmpeg leaves pictures due before they are decoded")
        }
        _ => None,
    }
}

#[test]
fn every_file_has_the_packets_that_ffprobe_found() {
    let mut compared = 0;
    let mut wrong = Vec::new();
    for t in truths().iter().filter(|t| ours(t)) {
        let data = bytes(t);
        let got = demux(&FORMAT, &data, 4096);
        match (t.path.as_str(), &got.error) {
            // One sample of two is in it.
            ("fmp4/mp4-atom-av1.mp4", Some(e)) if e.kind == ErrorKind::Truncated => {}
            (path, Some(e)) => wrong.push(format!("{path}: {e}")),
            _ => {}
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
                if left_out(&t.path, index).is_none() {
                    wrong.push(format!("{at}: no track"));
                }
                continue;
            };
            if info.codec != want && said_otherwise(&t.path, "codec").is_none() {
                wrong.push(format!("{at}: {info:?}"));
            }
            describe(&t.path, &at, s, &info, &mut wrong);
            let packets = got.of(TrackId(id));
            // A sample of WebVTT that shows nothing makes no packet.
            let shows = |r: &&TruthPacket| {
                info.codec != Codec::WebVtt || data[r.pos.unwrap()..][..r.size].get(4..8) != Some(b"vtte")
            };
            let rows: Option<Vec<_>> =
                rows.as_ref().map(|l| l.iter().filter(|r| r.stream == index).filter(shows).collect());
            // ffmpeg begins this one at the first packet whose end is shown, and drops a last text that shows nothing.
            let (first, last) = match (t.path.as_str(), want) {
                ("mp4/fate-mov_neg_first_pts_discard_vorbis.mov", _) => (44, 0),
                ("synthetic/mp4-movtext-2lang.mp4", Codec::Tx3g) => (0, 1),
                _ => (0, 0),
            };
            let packets = packets.get(first..packets.len() - last).unwrap();
            let count = rows.as_ref().map_or(s["packets"].as_u64().unwrap() as usize, Vec::len);
            if packets.len() != count {
                wrong.push(format!("{at}: {} packets, {count} expected", packets.len()));
            }
            if let Some(rows) = &rows {
                let mut bad = 0;
                for (n, (p, r)) in packets.iter().zip(rows).enumerate() {
                    if let Some(what) = differs_packet(&t.path, &data, &info, p, r) {
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

fn describe(path: &str, at: &str, s: &serde_json::Value, info: &TrackInfo, wrong: &mut Vec<String>) {
    if let (Some(w), Kind::Video) = (s["width"].as_u64(), info.codec.kind()) {
        let want = (w as u32, s["height"].as_u64().unwrap() as u32);
        if info.size() != want && said_otherwise(path, "size").is_none() {
            wrong.push(format!("{at}: size {info:?} {w}"));
        }
    }
    if let Some(r) = s["sample_rate"].as_u64() {
        let want = (r, s["channels"].as_u64().unwrap());
        let got = (u64::from(info.rate()), u64::from(info.channels()));
        if got != want && said_otherwise(path, "rate").is_none() {
            wrong.push(format!("{at}: {info:?} {want:?}"));
        }
    }
    let want = s["language"].as_str().and_then(lang::parse);
    if info.lang.map(lang::canonical) != want.map(lang::canonical) {
        wrong.push(format!("{at}: {:?} {want:?}", info.lang));
    }
}

/// What differs between a packet of ours and ffmpeg's. Payload is ffmpeg's as it is, or what our canonical form makes of
/// the bytes that the file has there.
fn differs_packet(path: &str, data: &Bytes, info: &TrackInfo, p: &Packet, r: &TruthPacket) -> Option<String> {
    let off = |ms: Option<f64>, ours: f64| ms.is_some_and(|ms| (ms - ours).abs() > 0.0011);
    let late = off(r.dts_ms, p.dts.as_secs_f64() * 1000.0) || off(r.pts_ms, p.pts().as_secs_f64() * 1000.0);
    if late && timed_otherwise(path, p, r).is_none() {
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
        Codec::H264 | Codec::Hevc | Codec::Av1 => [4, 2, 1]
            .iter()
            .any(|&n| codec::canonical_payload(info.codec, raw.clone(), n).is_ok_and(|c| c == p.data)),
        Codec::Pcm => {
            let Params::Audio { bits, .. } = info.params else { unreachable!() };
            pcm::swapped(raw, bits) == p.data
        }
        Codec::WebVtt => codec::text::wvtt_cues(&raw).is_ok_and(|c| c.contains(&p.data)),
        // ffmpeg makes triplets of the pairs in `cdat`.
        Codec::Cea608 => {
            let at = r.pos?;
            let near = data.get(at..at + p.data.len())?;
            near == p.data && matches!(&near[4..8], b"cdat" | b"cdt2")
        }
        _ => false,
    };
    (!canonical).then(|| format!("payload of {} bytes", p.data.len()))
}

/// What becomes of a damaged or encrypted file: tracks, packets, problems, and how it ends.
#[rustfmt::skip]
const DAMAGED: &[(&str, usize, usize, usize, Option<ErrorKind>)] = &[
    ("encrypted/ax-sample_av1c_fragmented_clearkey.mp4", 0, 0, 1, None),
    // the sound isn't encrypted
    ("encrypted/ax-sample_fragmented_clearkey.mp4", 1, 46, 1, None),
    ("encrypted/fate-mov-tenc-only-encrypted.mp4", 0, 0, 1, None),
    // nor are the captions
    ("encrypted/mp4ff-cbcs.mp4", 1, 5, 1, None),
    ("encrypted/mp4parse-short-cenc.mp4", 0, 0, 2, None),
    // one of two sample descriptions is clear, and the file was cut
    ("encrypted/shaka-audio-enc-s3.mp4", 1, 278, 1, Some(ErrorKind::Truncated)),
    ("malformed/exiftool-QuickTime.mov", 2, 0, 0, None),
    ("malformed/fate-ct_ending_cut.mov", 0, 0, 1, None),
    ("malformed/fzc-bug1079747.mp4", 0, 0, 0, Some(ErrorKind::Missing("no moov"))),
    ("malformed/mp4-atom-h264_avcc_ext_2.mp4", 1, 0, 0, Some(ErrorKind::Truncated)),
    ("malformed/mp4-atom-hevc.mp4", 1, 0, 0, Some(ErrorKind::Truncated)),
    ("malformed/mp4ff-clear_with_enc_boxes.mp4", 1, 288, 0, None),
    ("malformed/mp4parse-chunk_out_of_range.mp4", 1, 17, 0, None),
    ("malformed/mp4parse-test_case_1185230.mp4", 2, 2, 1, Some(ErrorKind::Truncated)),
    ("malformed/mp4parse-zero_empty_stsc.mp4", 2, 0, 1, Some(ErrorKind::Truncated)),
    ("malformed/mux.js-malformed-sei-init.mp4", 2, 0, 0, None),
    ("malformed/shaka-index-segment.mp4", 0, 0, 0, Some(ErrorKind::Missing("no moov"))),
    ("malformed/taglib-infloop.m4a", 1, 0, 0, Some(ErrorKind::Truncated)),
    ("malformed/taglib-nonprintable-atom-type.m4a", 1, 50, 3, None),
    ("malformed/taglib-zero-length-mdat.m4a", 1, 24, 0, None),
    ("malformed/testsuite-france.mp4", 0, 0, 1, None),
];

#[test]
fn damaged_files_give_what_can_be_saved() {
    let ours = |t: &&Truth| {
        let ending = [".mp4", ".m4a", ".mov"].iter().any(|e| t.path.ends_with(e));
        ending && ["malformed/", "encrypted/"].iter().any(|f| t.path.starts_with(f))
    };
    for t in truths().iter().filter(ours) {
        let data = t.read().unwrap();
        let got = demux(&FORMAT, &data, 4096);
        let ends = got.error.as_ref().map(|e| e.kind);
        let all = (t.path.as_str(), got.last().len(), got.packets.len(), got.problems.len(), ends);
        let known = DAMAGED.iter().find(|d| d.0 == t.path);
        assert_eq!(Some(&all), known, "{:?}", got.problems);
        for cut in (0..data.len().min(3000)).step_by(7) {
            demux(&FORMAT, &data.slice(..cut), 97);
        }
    }
}

/// Init segments and the media segments that belong to them: folder, init segment, names of the others up to their
/// numbers, how many, and the manifest by which ffprobe read them.
#[rustfmt::skip]
const SEGMENTS: &[(&str, &str, &str, usize, &str)] = &[
    ("dash/ax-cmaf", "video_init.mp4", "video_", 12, "manifest.mpd"),
    ("dash/ax-cmaf", "audio_init.mp4", "audio_", 12, "stream_0.m3u8"),
    ("dash/dash-audio-ac3", "audio_und_2c_192k_ac3_init.mp4", "audio_und_2c_192k_ac3_", 2, "dash.mpd"),
    ("dash/ax-multi-segment-with-emsg0", "segment_init.mp4", "segment_", 2, "manifest.mpd"),
];

#[test]
fn segments_joined_make_streams() {
    let Some(corpus) = corpus() else { return };
    let truths = truths();
    for (folder, init, name, count, manifest) in SEGMENTS {
        let dir = corpus.join(folder);
        let mut all = std::fs::read(dir.join(init)).unwrap();
        for n in 1..=*count {
            let m4s = dir.join(format!("{name}{n}.m4s"));
            let file = if m4s.exists() { m4s } else { dir.join(format!("{name}{n}.mp4")) };
            all.extend(std::fs::read(&file).unwrap());
        }
        let got = demux(&FORMAT, &all.into(), 1 << 16);
        assert!(
            got.error.is_none() && got.problems.is_empty(),
            "{folder}: {:?} {:?}",
            got.error,
            got.problems
        );
        let joined: Vec<u8> = got.packets.iter().flat_map(|p| p.data.to_vec()).collect();
        let path = format!("{folder}/{manifest}");
        let truth = truths.iter().find(|t| t.path == path).unwrap();
        let sum = sha256(&joined);
        let found = truth.streams().iter().find(|s| s["payload_sha256"] == sum);
        let packets = found.and_then(|s| s["packets"].as_u64());
        assert_eq!(packets, Some(got.packets.len() as u64), "{folder} {init}");
    }
}
