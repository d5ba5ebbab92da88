//! Tracks and packets beside what ffprobe found.

use super::common::{analyse, json};
use super::{corpus, has};
use serde_json::Value;
use std::path::Path;

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
