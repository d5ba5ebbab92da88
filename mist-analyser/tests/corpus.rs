//! The program on every file of the corpus: beside what ffprobe found, and on what is broken.

#![allow(clippy::print_stdout, reason = "tests say what they skip")]

mod common;

use common::{analyse, json};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn corpus() -> Option<PathBuf> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus");
    if dir.join("truth.jsonl").is_file() {
        return Some(dir);
    }
    println!("skipped: no corpus");
    None
}

/// Whether a format is built into this tree.
fn has(id: &str) -> bool {
    mist_formats::FORMATS.iter().any(|f| f.id == id)
}

/// Folders with sound files of one container each, and the id of that.
const FOLDERS: &[(&str, &str)] = &[
    ("flv/", "FLV"),
    ("ts/", "TS"),
    ("mp4/", "MP4"),
    ("fmp4/", "MP4"),
    ("mkv/", "MKV"),
    ("webm/", "MKV"),
    ("wav/", "WAV"),
    ("mp3/", "MP3"),
    ("adts/", "ADTS"),
    ("annexb/", "ANNEXB"),
    ("ogg/", "OGG"),
    ("synthetic/", ""),
    ("dash/", ""),
    ("es-other/", ""),
    ("hls/", ""),
    ("hss/", ""),
    ("subtitles/", ""),
];

/// Why a file isn't read as ffprobe reads it. What is different packet by packet is in the tests of the demuxers.
fn differs(path: &str) -> Option<&'static str> {
    Some(match path {
        "flv/hachoir-breakdance.flv" => "ends in half a tag, which ffprobe counts",
        "ts/ax-sample_ac3.ts" | "ts/fate-t.ts" | "ts/fate-latm_000000001180bc60.ts" => {
            "half frames at its ends"
        }
        "mp3/getid3-lyrics3-2.mp3" | "mp3/hachoir-sheep_on_drugs.mp3" => "half a frame or a tag at its end",
        "es-other/ax-sample.ac3" | "synthetic/ts-multi-audio-lang.ts" | "wav/getid3-8kmp38.wav" => {
            "half a frame at its end"
        }
        "ts/fate-pmtchange.ts" => "pictures without parameter sets, and half frames where the PMT changes",
        "ts/mediabunny-no-initial-keyframe.ts" | "ts/tsduck-test-137.ts" => {
            "pictures before their parameter sets"
        }
        "ts/tsduck-test-145.ts" => "a picture without parameter sets",
        "ts/tsduck-test-011.ts" => "scrambled",
        "ts/tsduck-test-044.3.ts"
        | "ts/tsduck-test-052.ts"
        | "ts/tsduck-test-066.2.ts"
        | "ts/tsduck-test-125.ts"
        | "ts/tsduck-test-126.2.ts"
        | "ts/ax-sample_ac4.ts" => "without PAT",
        "ts/fate-dvbsubtest_filter.ts" => "DVB subtitles are not read",
        "synthetic/ts-two-programs.ts" => "the second program is left out",
        "synthetic/m2ts-192.m2ts" => "AAC as private data without a descriptor",
        "fmp4/ax-sample.text.mp4" | "fmp4/ax-sample.text_2.mp4" => "WebVTT in MP4: cues, not samples",
        "synthetic/mp4-movtext-2lang.mp4" => "empty samples of subtitles count for ffprobe or not",
        "fmp4/mp4ff-vvc_400kbps_2s.mp4" => "VVC is not read",
        "mkv/ax-sample_with_vobsub.mkv" | "mkv/fate-lzo.mka" | "mkv/fate-prores_bz2.mkv" => {
            "codecs and compressions that are not read"
        }
        "mkv/libwebm-matroska_doctype.mkv" => "MPEG-4 Visual without its headers",
        "mp3/fzc-mpg321-2016-05-14T21-39-25.656643.mp3" => "14 frames in noise",
        "mp3/getid3-LAME_3.90.3_--freeformat_-b_200.mp3" => "free format is not read",
        "mp4/ax-bbb_mono_8kHz_12.2kbps_amrnb.3gp"
        | "mp4/ax-dolbyVision-hdr.mov"
        | "mp4/ax-h265_with_metadata_track.mp4"
        | "mp4/fate-fake-gp-media-with-real-gpmf.mp4"
        | "mp4/fate-prores4444_with_transparency.mov"
        | "mp4/getid3-206.126.8.225_2003-11-17-10-43-04_4301.mov"
        | "mp4/mp4parse-bbb_sunflower_QCIF_30fps_h263_noaudio_1f.3gp"
        | "mp4/mutagen-nero-chapters.m4b" => "tracks that are not read: AMR, H.263, ProRes, metadata",
        "ogg/fzc-chain.ogv" => "a chain, of which ffprobe keeps the first link's tracks",
        "ogg/fzc-variable-channel.ogg" => "a chain, of which ffprobe counts the links' headers",
        "ogg/sample-platform-sample1.ogg" => "a packet behind the end of the stream",
        "mp4/fate-mov_neg_first_pts_discard_vorbis.mov" => "ffprobe leaves out what the edit list hides",
        "mp4/mp4parse-sine-3s-xhe-aac-44khz-mono.mp4" => "xHE-AAC, which ffprobe doesn't read",
        "hls/ax-standalone-webvtt/multivariant_playlist.m3u8" | "hls/hls-text-offset/index.m3u8" => {
            "ffprobe leaves the subtitle renditions out"
        }
        "hls/hls-ts-h265/hevc.m3u8" | "hls/hls-ts-h265/index.m3u8" => {
            "one segment twice without a discontinuity: the picture at the seam has lost packets"
        }
        "hss/sample_short.ismt" => "TTML, whose codec ffprobe doesn't know",
        "subtitles/androidx-subrip/typical_negative_timestamps.srt" => "a cue that ends before it begins",
        "subtitles/gpac-webvtt/comments.vtt" => "ffprobe loses a cue behind a comment",
        _ if path.ends_with(".mpd") => "DASH manifests are not read",
        _ if path.ends_with(".ssa") => "SubStation Alpha is read in Matroska only",
        _ if path.ends_with(".ivf") || path.ends_with(".mpg") || path.ends_with(".mpeg") => {
            "IVF and program streams are not read"
        }
        _ => return None,
    })
}

/// What is shown otherwise than ffprobe does, by the start of a path and the member, on purpose.
const OTHERWISE: &[(&str, &str, &str)] = &[
    ("adts/fate-", "rate channels", "what the header says, not what spectral replication makes of it"),
    ("ts/fate-latm", "rate", "as in the line before"),
    ("ts/mediabunny-no-initial", "rate", "as in the line before"),
    ("mp4/fzc-aac_he", "channels", "as in the line before"),
    ("mp4/fate-extradata-reload", "height", "the last description counts, ffprobe shows the first"),
    ("ogg/fzc-variable-channel", "channels", "as in the line before"),
    ("mkv/ax-sample.mkv", "pts_ms dts_ms", "times in a lace go on exactly, ffprobe's from rounded ones"),
    ("mkv/ax-sample_last_cluster.mkv", "pts_ms dts_ms", "as in the line before"),
    ("mkv/ax-sample_with_null", "pts_ms dts_ms size", "as in the line before; a cue without its last zero"),
    ("mkv/ax-sample_with_over", "pts_ms dts_ms", "laces again"),
    ("mkv/fate-1242-small.mkv", "pts_ms dts_ms", "laces again"),
    ("mkv/fate-xiph_lacing.mka", "pts_ms dts_ms", "laces again"),
    ("mkv/jcodec-test.mkv", "pts_ms dts_ms size", "laces again; cues without their last line end"),
    ("synthetic/mkv-h264-multilang-srt.mkv", "pts_ms dts_ms size", "as in the line before"),
    ("mp4/ax-dolbyVision-hdr.mov", "dts_ms", "decoding times come before presentation times"),
    ("mp4/ax-iibbibb_editlist", "pts_ms dts_ms", "the edit begins at 2.5 s: ffprobe moves by whole pictures"),
    (
        "ogg/",
        "pts_ms dts_ms",
        "Vorbis blocks of two sizes, of which ffprobe guesses the first; see the demuxer's tests",
    ),
    ("synthetic/ts-pts-wrap.ts", "pts_ms dts_ms", "times go on beyond 2^33, ffprobe's begin below 0"),
    ("ts/vhs-videoMaxOffset.ts", "pts_ms dts_ms", "as in the line before"),
    ("ts/ax-sample_scte35.ts", "pts_ms dts_ms", "sections have no times: that of the programme's clock"),
    ("subtitles/", "size", "cues without what belongs to their files: line ends, settings"),
    ("adts/", "size", "without the ADTS header"),
    ("annexb/", "size", "without access unit delimiters, with lengths"),
    ("ts/", "size", "as in the lines before"),
    ("synthetic/ts", "size", "as in the lines before"),
    ("synthetic/m2ts", "size", "as in the lines before"),
    ("flv/red5-NAPNAP.flv", "size", "VP6 with its adjustment byte"),
    ("flv/red5-test.flv", "size", "VP6 with its adjustment byte"),
    ("flv/red5-flashContent.flv", "size", "without access unit delimiters"),
    ("flv/vhs-bipbop0.flv", "size", "without access unit delimiters"),
    ("fmp4/ax-fragmented_captions.mp4", "size", "without access unit delimiters"),
    ("fmp4/mp4ff-main_1.mp4", "size", "CEA-608 as it is in its box"),
    ("mp4/ax-h265_bframes.mp4", "size", "without access unit delimiters"),
    ("mp4/ax-sample_2_byte_NAL_length.mp4", "size", "lengths of four bytes instead of two"),
];

fn is_shown_otherwise(path: &str, member: &str) -> bool {
    OTHERWISE.iter().any(|o| path.starts_with(o.0) && o.1.split(' ').any(|m| m == member))
}

/// Rows of a table that ffprobe's packets of a stream are in: pts and dts in ms, size, and whether it is a keyframe.
fn truth_packets(dir: &Path, t: &Value, stream: &Value) -> Vec<(Option<f64>, Option<f64>, u64, bool)> {
    let Some(file) = t["packets_file"].as_str() else { return Vec::new() };
    let mut text = String::new();
    let packed = std::fs::File::open(dir.join(file)).unwrap();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(packed), &mut text).unwrap();
    let index = stream["index"].to_string();
    let of_stream = |l: &str| -> Option<_> {
        let c: Vec<_> = l.split(',').collect();
        (c[0] == index)
            .then(|| (c[3].parse().ok(), c[4].parse().ok(), c[6].parse().unwrap(), c[8].contains('K')))
    };
    text.lines().filter_map(of_stream).collect()
}

/// Compares a track's packets one by one. Returns how many there were.
fn same_packets(path: &str, ours: &[&Value], theirs: &[(Option<f64>, Option<f64>, u64, bool)]) -> usize {
    for (o, (pts, dts, size, key)) in ours.iter().zip(theirs) {
        for (member, time) in [("pts_ms", pts), ("dts_ms", dts)] {
            let near = |t: &f64| (o[member].as_f64().unwrap() - t).abs() < 1.01;
            assert!(
                time.as_ref().is_none_or(near) || is_shown_otherwise(path, member),
                "{path}: {o} {time:?}"
            );
        }
        assert!(o["size"] == *size || is_shown_otherwise(path, "size"), "{path}: {o} {size}");
        assert_eq!(o["key"], *key, "{path}: {o}");
    }
    ours.len().min(theirs.len())
}

/// Codecs that containers cut into packets as they like: only their bytes are compared.
fn is_cut_freely(codec: &str) -> bool {
    codec.starts_with("pcm_")
}

#[test]
fn tracks_and_packets_are_those_that_ffprobe_found() {
    let Some(dir) = corpus() else { return };
    let text = std::fs::read_to_string(dir.join("truth.jsonl")).unwrap();
    let (mut compared, mut tracks, mut packets) = (0, 0, 0);
    for t_all in text.lines().map(json) {
        let t = &t_all;
        let path = t["path"].as_str().unwrap();
        let Some((_, id)) = FOLDERS.iter().find(|f| path.starts_with(f.0)) else { continue };
        let ogg = path.starts_with("synthetic/ogg");
        // Those are read together with another file, or where ffprobe reads nothing.
        let nothing = t["streams"]
            .as_array()
            .is_none_or(|s| s.iter().all(|s| s["packets"].as_u64().is_none_or(|n| n == 0)));
        if path.contains("/pairs/") || path.contains("/hds/") || path.contains("/hss/") || nothing {
            continue;
        }
        if !id.is_empty() && !has(id) || ogg && !has("OGG") {
            println!("skipped: {path}");
            continue;
        }
        let file = dir.join(path);
        let Some(file) = file.to_str().filter(|_| file.is_file()) else { continue };
        let out = analyse(&["--json", file]);
        assert!(out.code != 2 || differs(path).is_some(), "{path}: {out:?}");
        let v = json(&out.out);
        let faults = |v: &Value| v["problems"].as_array().unwrap().iter().any(|p| p["severity"] != "info");
        assert_eq!(out.code == 0, !faults(&v), "{path}");
        if differs(path).is_some() {
            continue;
        }
        assert!(id.is_empty() || v["format"] == *id, "{path}: {}", v["format"]);
        let details = if t["packets_file"].is_null() || path.starts_with("hls/") || path.starts_with("dash/")
        {
            Vec::new()
        } else {
            let out = analyse(&["--json", "--detail", "packets", file]).out;
            out.lines().map(json).filter(|l| l["type"] == "packet").collect()
        };
        let known = |s: &&Value| {
            let codec = s["codec"].as_str().unwrap_or("");
            // Covers in tags are no tracks.
            let picture = !path.starts_with("mp4/") && ["mjpeg", "png"].contains(&codec) && id != &"FLV";
            !["", "epg", "dvb_subtitle", "dvb_teletext", "bin_data"].contains(&codec)
                && !picture
                && s["packets"].as_u64() > Some(0)
        };
        let sort = |s: &Value| match if s["kind"].is_null() { &s["type"] } else { &s["kind"] } {
            Value::String(k) if k == "data" => Value::from("meta"),
            k => k.clone(),
        };
        let ours: Vec<_> = v["tracks"].as_array().unwrap().iter().filter(|t| t["packets"] != 0).collect();
        let theirs: Vec<_> = t["streams"].as_array().unwrap().iter().filter(known).collect();
        assert_eq!(ours.len(), theirs.len(), "{path}");
        if path.starts_with("hls/") {
            // Variants come in another order.
            let all = |l: Vec<(Value, &Value)>| {
                let mut l: Vec<_> = l.into_iter().map(|(k, n)| (k.to_string(), n.as_u64())).collect();
                l.sort();
                l
            };
            let ours = all(ours.iter().map(|t| (sort(t), &t["packets"])).collect());
            assert_eq!(ours, all(theirs.iter().map(|t| (sort(t), &t["packets"])).collect()), "{path}");
            (compared, tracks) = (compared + 1, tracks + ours.len());
            continue;
        }
        for (i, s) in theirs.iter().enumerate() {
            let id = s["id"].as_str().and_then(|i| u64::from_str_radix(i.trim_start_matches("0x"), 16).ok());
            let of_kind = ours.iter().filter(|t| sort(t) == sort(s)).count();
            let is_it = |(n, t): &(usize, &&Value)| match id {
                Some(id) if ours.iter().any(|t| t["id"] == id) => t["id"] == id,
                _ if of_kind == 1 => sort(t) == sort(s),
                _ => *n == i,
            };
            let t = ours.iter().enumerate().find(is_it).unwrap_or_else(|| panic!("{path}: {s}")).1;
            let same = |ours: &str, theirs: &str| {
                if !s[theirs].is_null() && s[theirs] != 0 {
                    assert_eq!(t[ours], s[theirs], "{path} {s}: {ours}");
                }
            };
            if is_cut_freely(s["codec"].as_str().unwrap()) {
                same("bytes", "bytes");
            } else {
                same("packets", "packets");
                same("keyframes", "keyframes");
                let of_track: Vec<_> = details.iter().filter(|p| p["track"] == t["id"]).collect();
                packets += same_packets(path, &of_track, &truth_packets(&dir, &t_all, s));
            }
            for (member, theirs) in
                [("width", "width"), ("height", "height"), ("rate", "sample_rate"), ("channels", "channels")]
            {
                if !path.starts_with("hls/") && !is_shown_otherwise(path, member) {
                    same(member, theirs);
                }
            }
            tracks += 1;
        }
        compared += 1;
    }
    println!("{compared} files with {tracks} tracks compared, {packets} packets of them one by one");
    assert!(compared > 350 && packets > 30_000, "{compared} {packets}");
}

#[test]
fn packets_lie_where_it_is_said() {
    let Some(dir) = corpus() else { return };
    let mut found = 0;
    for path in [
        "flv/srs-avatar.flv",
        "mp4/ax-h265_bframes.mp4",
        "mkv/fate-anim.mkv",
        "webm/ax-bear-opus.webm",
        "adts/vhs-aacWithoutId3.aac",
    ] {
        let file = dir.join(path);
        let data = std::fs::read(&file).unwrap();
        let out = analyse(&["--json", "--detail", "hex", file.to_str().unwrap()]);
        for l in out.out.lines().map(json).filter(|l| l["type"] == "packet") {
            let hex = l["data"].as_str().unwrap().as_bytes();
            let payload: Vec<u8> = hex
                .chunks(2)
                .map(|d| u8::from_str_radix(std::str::from_utf8(d).unwrap(), 16).unwrap())
                .collect();
            let at = l["offset"].as_u64().unwrap() as usize;
            // What was converted on its way is not in the file as it is; its last bytes are.
            let last = &payload[payload.len() - payload.len().min(16)..];
            let near = &data[at..data.len().min(at + payload.len() + 64)];
            assert!(near.windows(last.len()).any(|w| w == last), "{path} at {at}");
            found += 1;
        }
    }
    assert!(found > 500, "{found}");
    // A transport stream: the packet of the PID that starts the unit.
    let file = dir.join("ts/ax-sample_h264.ts");
    let data = std::fs::read(&file).unwrap();
    let out = analyse(&["--json", "--detail", "packets", file.to_str().unwrap()]);
    for l in out.out.lines().map(json).filter(|l| l["type"] == "packet") {
        let at = l["offset"].as_u64().unwrap() as usize;
        let pid = u64::from(data[at + 1] & 0x1F) << 8 | u64::from(data[at + 2]);
        assert_eq!((data[at], data[at + 1] & 0x40, pid), (0x47, 0x40, l["track"].as_u64().unwrap()));
    }
}

/// Every broken file, and the ids of its problems; or, behind a dash, why it has none.
const MALFORMED: &str = include_str!("data/malformed.txt");

#[test]
fn broken_files_name_their_faults() {
    let Some(dir) = corpus() else { return };
    let mut left: BTreeSet<_> = std::fs::read_dir(dir.join("malformed"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    for line in MALFORMED.lines().filter(|l| !l.starts_with('#')) {
        let (name, want) = line.split_once(": ").unwrap();
        assert!(left.remove(name), "{name} is not there");
        let ogg = [".ogg", ".ogv", ".opus", ".spx"].iter().any(|e| name.ends_with(e));
        if ogg && !has("OGG") {
            continue;
        }
        let out = analyse(&["--json", dir.join("malformed").join(name).to_str().unwrap()]);
        let v = json(&out.out);
        let got: BTreeSet<_> = v["problem_counts"].as_object().unwrap().keys().map(String::as_str).collect();
        for id in want.split(' ').filter(|_| !want.starts_with('-')) {
            assert!(got.contains(id), "{name}: {id} is not in {got:?}");
        }
        for p in v["problems"].as_array().unwrap() {
            assert!(p["message"].as_str().unwrap().contains(": "), "{name}: {p} says what a player does");
        }
    }
    assert!(left.is_empty(), "no word about {left:?}");
}

fn files(dir: &Path, out: &mut Vec<PathBuf>) {
    for e in std::fs::read_dir(dir).unwrap() {
        let path = e.unwrap().path();
        match path.is_dir() {
            true if !path.ends_with("truth") => files(&path, out),
            false => out.push(path),
            true => {}
        }
    }
}

#[test]
fn every_file_ends_with_a_verdict_that_fits_its_problems() {
    let Some(dir) = corpus() else { return };
    let mut all = Vec::new();
    files(&dir, &mut all);
    assert!(all.len() > 800, "{}", all.len());
    for file in &all {
        let out = analyse(&["--json", file.to_str().unwrap()]);
        assert!(!out.err.contains("panicked"), "{file:?}: {}", out.err);
        let v = json(&out.out);
        let problems = v["problems"].as_array().unwrap();
        let worse = problems.iter().any(|p| p["severity"] != "info");
        assert_eq!(out.code == 0, !worse, "{file:?}: {}", out.code);
        assert_eq!(out.code == 2, !out.err.is_empty(), "{file:?}: {}", out.err);
        let silent = v["tracks"].as_array().unwrap().iter().all(|t| t["packets"] == 0);
        assert!(!silent || !problems.is_empty(), "{file:?} has nothing, and nothing is said of that");
    }
}

#[test]
fn damaged_files_end_with_a_verdict_in_every_format() {
    let Some(dir) = corpus() else { return };
    let mut count = 0;
    for folder in ["malformed", "encrypted", "es-other", "subtitles", "captures"] {
        for entry in std::fs::read_dir(dir.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let Some(file) = path.to_str().filter(|_| path.is_file()) else { continue };
            for format in [
                &[][..],
                &["--format", "flv"],
                &["--format", "ts"],
                &["--format", "mkv"],
                &["--format", "rtmp"],
                &["--format", "rtsp"],
            ] {
                for more in [&["--json"][..], &["--detail", "hex"]] {
                    let out = analyse(&[format, more, &[file]].concat());
                    assert!((0..=2).contains(&out.code), "{file}: {out:?}");
                    assert!(!out.err.contains("panicked"), "{file}: {}", out.err);
                    assert_eq!(out.code == 2, !out.err.is_empty(), "{file} {format:?}: {}", out.err);
                }
            }
            count += 1;
        }
    }
    println!("{count} files");
}

fn playlists(dir: &Path, out: &mut Vec<PathBuf>) {
    for e in std::fs::read_dir(dir).unwrap() {
        let path = e.unwrap().path();
        if path.is_dir() {
            playlists(&path, out);
        } else if path.extension().is_some_and(|e| e == "m3u8") {
            out.push(path);
        }
    }
}

#[test]
fn playlists_of_the_corpus_are_followed() {
    let Some(dir) = corpus() else { return };
    let mut all = Vec::new();
    playlists(&dir.join("hls"), &mut all);
    let mut with_media = 0;
    for path in &all {
        let text = std::fs::read_to_string(path).unwrap();
        // Those without media beside them, and live ones that were copied, are for the parser.
        if path.to_str().unwrap().contains("/manifests-") {
            continue;
        }
        let out = analyse(&["--json", path.to_str().unwrap()]);
        assert!(!out.err.contains("panicked"), "{path:?}: {}", out.err);
        let v = json(&out.out);
        let packets: u64 =
            v["tracks"].as_array().unwrap().iter().map(|t| t["packets"].as_u64().unwrap()).sum();
        let encrypted = text.contains("EXT-X-KEY:METHOD=AES-128,URI=\"https:");
        assert!(
            packets > 0 || encrypted || v["problem_counts"]["unsupported"] != Value::Null,
            "{path:?}: {v}"
        );
        with_media += u32::from(packets > 0);
    }
    println!("{with_media} of {} playlists with media", all.len());
    assert!(with_media > 20, "{with_media}");
}

#[test]
fn dialogues_are_read_to_their_media() {
    let Some(dir) = corpus() else { return };
    let file = |name: &str| dir.join("captures/synthetic").join(name).to_str().unwrap().to_owned();
    let (to, from) = (file("rtmp-publish-h264-aac.c2s.bin"), file("rtmp-publish-h264-aac.s2c.bin"));
    let out = analyse(&["--json", "--format", "rtmp", &to, &from]);
    let v = json(&out.out);
    assert_eq!((out.code, &v["format"]), (0, &"RTMP".into()), "{v}");
    let tracks: Vec<_> =
        v["tracks"].as_array().unwrap().iter().map(|t| (&t["codec"], &t["packets"])).collect();
    assert_eq!(tracks, [(&"H264".into(), &59.into()), (&"AAC".into(), &47.into())]);
    let text = analyse(&["--detail", "structure", "--format", "rtmp", &to, &from]).out;
    for part in [
        "handshake [3073]",
        "command",
        "connect 1",
        "onMetaData",
        "NetStream.Publish.Start",
        "window acknowledgement size",
        "NAL unit",
    ] {
        assert!(text.contains(part), "{part}");
    }
    // Cut anywhere it ends with what was there.
    let whole = std::fs::read(&to).unwrap();
    for len in [0, 1, 1000, 3073, 3200, whole.len() / 2] {
        let out = common::analyse_stdin(&["--json", "--format", "rtmp", "-"], &whole[..len]);
        assert_eq!(out.code == 2, len < 3073, "{len}: {}", out.err);
    }
}

#[test]
fn rtsp_is_read_to_its_media() {
    let Some(dir) = corpus() else { return };
    let file = |name: &str| dir.join("captures/synthetic").join(name).to_str().unwrap().to_owned();
    let (rtsp, from) = (file("rtsp-record-h264-aac-tcp.c2s.bin"), file("rtsp-record-h264-aac-tcp.s2c.bin"));
    let out = analyse(&["--json", "--format", "rtsp", &rtsp]);
    let v = json(&out.out);
    assert_eq!((out.code, &v["format"], &v["problem_counts"]), (0, &"RTSP".into(), &serde_json::json!({})));
    // The source is that of the RTMP dialogue; ffmpeg keeps the last frame of sound to itself.
    let tracks: Vec<_> = v["tracks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| {
            ["codec", "packets", "keyframes", "width", "rate", "first_pts_ms", "max_pts_ms"]
                .map(|k| t[k].clone())
        })
        .collect();
    let expected = serde_json::json!([
        ["H264", 59, 1, 3840, null, 0.0, 1017.0],
        ["AAC", 46, 46, null, 48000, -54.0, 906.0]
    ]);
    assert_eq!(serde_json::json!(tracks), expected);
    // The listening ffmpeg doesn't know TEARDOWN.
    let v = json(&analyse(&["--json", "--format", "rtsp", &rtsp, &from]).out);
    assert_eq!(v["problem_counts"], serde_json::json!({"refused": 1}), "{v}");
    let text = analyse(&["--detail", "structure", "--format", "rtsp", &rtsp]).out;
    for part in [
        "ANNOUNCE rtsp://",
        "Content-Type: application/sdp",
        "m=video",
        "RTP packet",
        "RTCP packet",
        "NAL unit",
    ] {
        assert!(text.contains(part), "{part}");
    }
    // A packet is missing.
    let data = std::fs::read(&rtsp).unwrap();
    let first = data.windows(2).position(|w| w == [b'$', 0]).unwrap();
    let mut at = Vec::new();
    let mut i = first;
    while at.len() < 10 && data[i] == b'$' {
        at.push(i);
        i += 4 + usize::from(u16::from_be_bytes([data[i + 2], data[i + 3]]));
    }
    let video: Vec<_> = at.windows(2).filter(|w| data[w[0] + 1] == 0).collect();
    let mut cut = data.clone();
    cut.drain(video[3][0]..video[3][1]);
    let hole = video[4][0] - (video[3][1] - video[3][0]);
    let v = json(&common::analyse_stdin(&["--json", "--format", "rtsp", "-"], &cut).out);
    assert_eq!(v["problem_counts"]["rtp-loss"], 1, "{v}");
    let lost = v["problems"].as_array().unwrap().iter().find(|p| p["id"] == "rtp-loss").unwrap();
    assert!(lost["track"] == 1 && lost["time_ms"].is_number() && lost["offset"] == hole, "{lost}");
    // Cut anywhere it ends with what was there.
    for len in [0, 1, 30, 200, data.len() / 2, data.len() - 1] {
        let out = common::analyse_stdin(&["--json", "--format", "rtsp", "-"], &data[..len]);
        assert_eq!(out.code == 2, len < 200, "{len}: {}", out.err);
    }

    // The same as a server plays it: the description in its answer to DESCRIBE, the channels in those to SETUP.
    let mut whole: &[u8] = &data;
    let head = |data: &mut &[u8]| {
        let end = data.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
        let text = String::from_utf8(data[..end].to_vec()).unwrap();
        let len = text
            .split("Content-Length: ")
            .nth(1)
            .map_or(0, |l| l.split('\r').next().unwrap().parse().unwrap());
        let body = data[end..end + len].to_vec();
        *data = &data[end + len..];
        (text, body)
    };
    let mut sdp = Vec::new();
    while whole[0] != b'$' {
        let (_, body) = head(&mut whole);
        sdp.extend(body);
    }
    let media = &whole[..whole.windows(8).position(|w| w == b"TEARDOWN").unwrap()];
    let mut client = Vec::new();
    let mut server =
        format!("RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: {}\r\n\r\n", sdp.len()).into_bytes();
    server.extend(&sdp);
    // Set up in the other order, on other channels than were proposed.
    for (n, channels) in [(1, "2-3"), (0, "0-1")] {
        client.extend(
            format!("SETUP rtsp://h/live/a/streamid={n} RTSP/1.0\r\nCSeq: {}\r\nTransport: RTP/AVP/TCP;interleaved={}-9\r\n\r\n", 5 + n, 8 - n)
                .bytes(),
        );
        server.extend(
            format!("RTSP/1.0 200 OK\r\nCSeq: {}\r\nTransport: RTP/AVP/TCP;unicast;interleaved={channels}\r\n\r\n", 5 + n).bytes(),
        );
    }
    server.extend(media);
    let path = |name: &str, data: &[u8]| {
        let path = std::env::temp_dir().join(format!("mist-{}-{name}", std::process::id()));
        std::fs::write(&path, data).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (client, server) = (path("client", &client), path("server", &server));
    for (files, index) in [(&[client.as_str(), server.as_str()][..], 1), (&[&server], 0)] {
        let v = json(&analyse(&[&["--json", "--format", "rtsp"], files].concat()).out);
        let tracks: Vec<_> = v["tracks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|t| ["id", "codec", "packets"].map(|k| t[k].clone()))
            .collect();
        let id = index * 65536 + 1;
        assert_eq!(
            serde_json::json!(tracks),
            serde_json::json!([[id, "H264", 59], [id + 1, "AAC", 46]]),
            "{v}"
        );
        assert_eq!(v["problem_counts"], serde_json::json!({}), "{v}");
    }
    for file in [client, server] {
        std::fs::remove_file(file).unwrap();
    }
}
