//! Matroska and WebM files of the corpus against what ffprobe found in them.

mod common;

use bytes::Bytes;
use common::{Demux, Truth, TruthPacket, demux, sha256, truths};
use mist_core::codec::Codec;
use mist_core::format::ErrorKind;
use mist_core::lang;
use mist_core::media::{Kind, Lang, Packet};
use mist_core::time::Timestamp;
use mist_formats::mkv::FORMAT;

const FOLDERS: &[&str] = &["mkv/", "webm/", "synthetic/", "dash/"];

fn ours(t: &Truth) -> bool {
    let (_, extension) = t.path.rsplit_once('.').unwrap_or_default();
    FOLDERS.iter().any(|f| t.path.starts_with(f)) && FORMAT.extensions.contains(&extension)
}

fn codec(name: &str) -> Option<Codec> {
    Some(match name {
        "h264" => Codec::H264,
        "hevc" => Codec::Hevc,
        "av1" => Codec::Av1,
        "vp8" => Codec::Vp8,
        "vp9" => Codec::Vp9,
        "mpeg2video" => Codec::Mpeg2,
        "theora" => Codec::Theora,
        "aac" => Codec::Aac,
        "ac3" => Codec::Ac3,
        "dts" => Codec::Dts,
        "mp2" => Codec::Mp2,
        "mp3" => Codec::Mp3,
        "opus" => Codec::Opus,
        "vorbis" => Codec::Vorbis,
        "alac" => Codec::Alac,
        "pcm_alaw" => Codec::Alaw,
        "pcm_s16le" | "pcm_s24be" => Codec::Pcm,
        "ass" => Codec::Ass,
        "subrip" => Codec::Subtitle,
        "dvd_subtitle" | "prores" => return None,
        other => panic!("{other}"),
    })
}

#[test]
fn every_file_has_the_packets_that_ffprobe_found() {
    let mut wrong = Vec::new();
    for t in truths().iter().filter(|t| ours(t)) {
        let data = t.read().unwrap();
        let got = demux(&FORMAT, &data, 4096);
        if let Err(e) = check(t, &got) {
            wrong.push(format!("{}: {e}  err={:?} problems={:?}", t.path, got.error, got.problems));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn check(t: &Truth, got: &Demux) -> Result<(), String> {
    if LEFT_OUT.iter().any(|l| l.0 == t.path) {
        return Ok(());
    }
    let tolerance = LACED.iter().find(|l| l.0 == t.path).map_or(1.0, |l| l.1);
    let mut tracks = got.last();
    // Tracks without init data are described with their first packet; this one's numbers are not in order.
    if t.path != "mkv/jcodec-test.mkv" {
        tracks.sort_by_key(|t| t.id);
    }
    let streams: Vec<_> =
        t.streams().iter().filter(|s| s["codec"].as_str().is_some_and(|c| codec(c).is_some())).collect();
    if tracks.len() != streams.len() {
        return Err(format!("tracks {tracks:?}"));
    }
    let rows = t.packets().unwrap_or_default();
    for (info, s) in tracks.iter().zip(streams) {
        let at = s["index"].as_u64().unwrap();
        let fail = |what: String| Err(format!("stream {at} {info:?}: {what}"));
        if Some(info.codec) != codec(s["codec"].as_str().unwrap()) {
            return fail(format!("{}", s["codec"]));
        }
        if let Some(w) = s["width"].as_u64()
            && info.size() != (w as u32, s["height"].as_u64().unwrap() as u32)
        {
            return fail(format!("size {w} {}", s["height"]));
        }
        if let Some(r) = s["sample_rate"].as_u64()
            && (u64::from(info.rate()), Some(u64::from(info.channels()))) != (r, s["channels"].as_u64())
        {
            return fail(format!("rate {r} channels {}", s["channels"]));
        }
        let want = s["language"].as_str().and_then(Lang::new).map(lang::canonical);
        if info.lang.map(lang::canonical) != want {
            return fail(format!("language {want:?}"));
        }
        let packets = got.of(info.id);
        let rows: Vec<_> = rows.iter().filter(|r| r.stream == at).collect();
        if packets.len() != rows.len() {
            return fail(format!("{} packets, {} expected", packets.len(), rows.len()));
        }
        if info.codec.kind() == Kind::Text && ZERO_ENDED.contains(&t.path.as_str()) {
            continue;
        }
        for (n, (p, r)) in packets.iter().zip(rows).enumerate() {
            if let Err(e) = same(s["codec"].as_str().unwrap(), tolerance, p, r) {
                return fail(format!("packet {n}: {e} {p:?} {r:?}"));
            }
        }
    }
    Ok(())
}

/// Files whose times differ by more than a tick: frames that share a block. ffmpeg counts their durations in whole
/// ticks of a millisecond, so that a lace of eight is off by up to eight; ours are exact.
const LACED: &[(&str, f64)] = &[
    ("mkv/ax-sample.mkv", 5.0),
    ("mkv/ax-sample_last_cluster.mkv", 5.0),
    ("mkv/ax-sample_with_null_terminated_ssa_subtitles.mkv", 5.0),
    ("mkv/ax-sample_with_overlapping_ssa_subtitles.mkv", 5.0),
    ("mkv/fate-1242-small.mkv", 3.0),
    ("mkv/jcodec-test.mkv", 3.0),
    ("synthetic/mkv-h264-multilang-srt.mkv", 5.0),
    // Without DefaultDuration, and Vorbis packets don't tell how long they last: a whole block.
    ("mkv/fate-xiph_lacing.mka", 200.0),
];

/// Files whose text ends with a zero, which is C's and not the text's: what is behind it isn't handed out.
const ZERO_ENDED: &[&str] =
    &["mkv/ax-sample_with_null_terminated_srt.mkv", "mkv/ax-sample_with_null_terminated_ssa_subtitles.mkv"];

/// Files with a codec that is left out by us, whole or in part.
const LEFT_OUT: &[(&str, &str)] = &[("mkv/fate-lzo.mka", "LZO compression")];

/// The payload as ffmpeg has it: PCM in the file's own byte order.
fn as_ffmpeg(codec: &str, p: &Packet) -> Bytes {
    match codec {
        "pcm_s16le" => p.data.chunks(2).flat_map(|s| [s[1], s[0]]).collect::<Vec<_>>().into(),
        _ => p.data.clone(),
    }
}

fn same(codec: &str, tolerance: f64, p: &Packet, r: &TruthPacket) -> Result<(), String> {
    let near = |a: Timestamp, ms: f64| (a.as_secs_f64() * 1000.0 - ms).abs() <= tolerance;
    if !r.pts_ms.is_none_or(|ms| near(p.pts(), ms)) {
        return Err("pts".into());
    }
    if !r.dts_ms.is_none_or(|ms| near(p.dts, ms)) {
        return Err("dts".into());
    }
    if p.key != r.key {
        return Err("key".into());
    }
    // Canonical cues end their lines in LF, and the last not at all.
    let text = String::from_utf8_lossy(&p.data);
    let lines = [format!("{text}\n"), text.replace('\n', "\r\n"), text.replace('\n', "\r\n") + "\r\n"];
    let ended = codec == "subrip" && lines.iter().any(|l| sha256(l.as_bytes()) == r.sha256);
    if sha256(&as_ffmpeg(codec, p)) != r.sha256 && !ended {
        return Err("payload".into());
    }
    Ok(())
}

/// Damaged files, packets that are saved of each, and what the first trouble is.
const DAMAGED: &[(&str, usize, Option<ErrorKind>)] = &[
    // Attachments and chapters, of which the last is cut.
    ("chapters_truncated_chapter_string", 0, Some(ErrorKind::Unsupported("CodecID"))),
    ("fixed_lacing_bad_lace_size", 0, Some(ErrorKind::Size("fixed-size lacing does not divide the block"))),
    // Its header is damaged as well; the second track's CodecID is one of those.
    ("invalid_vp9_bitstream", 2, Some(ErrorKind::Unsupported("DocType"))),
    ("primarychromaticity_fieldtoolarge", 0, Some(ErrorKind::Malformed("element in the wrong place"))),
    ("libwebm-tracks", 1, Some(ErrorKind::Malformed("Xiph lacing"))),
    ("bug1480003", 0, Some(ErrorKind::Truncated)),
    ("bug1539686", 0, Some(ErrorKind::Truncated)),
    ("bug1592193", 417, Some(ErrorKind::Truncated)),
    ("bug2020502", 22, Some(ErrorKind::Truncated)),
    // The start of a segment whose rest is elsewhere, and a piece of one.
    ("shaka-init-segment", 0, Some(ErrorKind::Truncated)),
    ("vhs-webmVideo.webm", 0, Some(ErrorKind::Sync("no EBML header"))),
    ("vhs-webmVideoInit", 0, None),
    ("subsample_encrypted", 0, Some(ErrorKind::Encrypted("track"))),
];

#[test]
fn damaged_and_encrypted_files_give_what_can_be_saved() {
    for t in truths().iter().filter(|t| t.path.starts_with("malformed/") || t.path.starts_with("encrypted/"))
    {
        let Some((_, packets, trouble)) = DAMAGED.iter().find(|d| t.path.contains(d.0)) else {
            assert!(!FORMAT.extensions.iter().any(|e| t.path.ends_with(&format!(".{e}"))), "{}", t.path);
            continue;
        };
        let data = t.read().unwrap();
        let got = demux(&FORMAT, &data, 4096);
        let first = got.problems.first().or(got.error.as_ref()).map(|e| e.kind);
        assert_eq!((got.packets.len(), first), (*packets, *trouble), "{}: {:?}", t.path, got.problems);
        for step in [1, 4096] {
            for cut in (0..data.len().min(2000)).step_by(7) {
                demux(&FORMAT, &data.slice(..cut), step);
            }
        }
    }
}
