//! What the muxer writes, read by the reference tools of Xiph, ffmpeg, GStreamer and Chromium.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    reason = "a test runs tools on files that it writes, and says what it skips"
)]

mod common;

use common::{demux, truths};
use mist_core::codec::Codec;
use mist_core::format::{Index, IndexEntry};
use mist_core::gather::Gather;
use mist_core::media::{Kind, Packet, TrackInfo};
use mist_core::registry::choose;
use mist_core::time::{Duration, Timestamp};
use mist_formats::FORMATS;
use mist_formats::ogg::FORMAT;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

/// Files to write again: all codecs, together and alone.
const SOURCES: &[&str] = &[
    "ogg/ax-bbb_1ch_16kHz_q10_vorbis.ogg",
    "ogg/ax-bbb_6ch_8kHz_opus.ogg",
    "ogg/ax-bear.opus",
    "ogg/ax-bear_flac.ogg",
    "ogg/fzc-VID_0001.ogg",
    "ogg/fzc-all_normal.spx",
    "ogg/fzc-indexed.ogv",
    "ogg/sample-platform-sample1.ogg",
    "ogg/vorbisjava-testTheora.ogg",
    "synthetic/ogg-theora-opus.ogv",
];

fn run(program: &str, args: &[&str]) -> Option<Output> {
    let out = Command::new(program).args(args).output().ok();
    if out.is_none() {
        println!("skipped: no {program}");
    }
    out
}

fn said(out: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

fn source(path: &str) -> Option<(Vec<Arc<TrackInfo>>, Vec<Packet>)> {
    let data = truths().into_iter().find(|t| t.path == path)?.read()?;
    let ending = path.rsplit_once('.').unwrap().1;
    let def = FORMATS.iter().find(|f| f.extensions.contains(&ending)).unwrap();
    let got = demux(def, &data, 1 << 16);
    let tracks = choose(FORMAT.output.unwrap().codecs, &got.last());
    let mut packets: Vec<_> =
        got.packets.into_iter().filter(|p| tracks.iter().any(|t| t.id == p.track)).collect();
    packets.sort_by_key(|p| p.dts);
    Some((tracks, packets))
}

fn mux(tracks: &[Arc<TrackInfo>], packets: &[Packet], live: bool) -> Vec<u8> {
    let mut m = (FORMAT.muxer.unwrap())();
    let mut out = Gather::new();
    let list = |t: &Arc<TrackInfo>| {
        let of = packets.iter().filter(|p| p.track == t.id);
        let line = |p: &Packet| IndexEntry {
            dts: p.dts,
            cts: p.cts,
            duration: p.duration,
            size: p.data.len() as u32,
            key: p.key,
        };
        (t.id, of.map(line).collect())
    };
    let index = Index { tracks: tracks.iter().map(list).collect() };
    m.start(tracks, (!live).then_some(&index), &mut out).unwrap();
    packets.iter().for_each(|p| m.packet(p, &mut out).unwrap());
    assert_eq!(m.finish(&mut out).unwrap(), []);
    out.to_vec()
}

/// Each source written as a file, live, and live from the middle on; with its name.
fn written() -> Vec<(PathBuf, Vec<Arc<TrackInfo>>, Vec<Packet>)> {
    let dir = common::folder();
    let mut files = Vec::new();
    for path in SOURCES {
        let Some((tracks, packets)) = source(path) else { continue };
        // Where a viewer of a live stream begins: at a key frame, hours after the stream began.
        let lead = tracks.iter().find(|t| t.codec.kind() == Kind::Video).unwrap_or(&tracks[0]);
        let start =
            packets.iter().filter(|p| p.track == lead.id && p.key).nth(1).map_or(packets[0].dts, |p| p.dts);
        let mut joined: Vec<_> = packets.iter().filter(|p| p.dts >= start).cloned().collect();
        joined.iter_mut().for_each(|p| p.dts += Duration::from_secs(20_000));
        for (how, packets, live) in
            [("file", packets.clone(), false), ("live", packets, true), ("joined", joined, true)]
        {
            let file = dir.join(format!("{}-{how}.ogg", path.replace(['/', '.'], "-")));
            std::fs::write(&file, mux(&tracks, &packets, live)).unwrap();
            files.push((file, tracks.clone(), packets));
        }
    }
    files
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn the_tools_of_xiph_find_nothing_to_complain_about() {
    for (file, tracks, packets) in written() {
        let Some(out) = run("oggz-validate", &[text(&file)]) else { break };
        let found = said(&out);
        // A live track that ends before the others: that it was its last packet shows too late.
        let early = ["Packet out of order", "eos marked on page with no completed packets"];
        let mut lines: Vec<_> = found.lines().filter(|l| l.contains("serialno")).collect();
        if !file.to_str().unwrap().contains("-file.") {
            for known in early {
                let at = lines.iter().position(|l| l.contains(known));
                at.map(|at| lines.remove(at));
            }
        }
        assert!(
            lines.is_empty() && (out.status.success() || !found.is_empty()),
            "{}: {found}",
            file.display()
        );
        if tracks.len() == 1 && tracks[0].codec == Codec::Opus {
            let Some(out) = run("opusinfo", &[text(&file)]) else { break };
            let text = said(&out);
            assert!(!text.contains("WARNING") && !text.contains("ERROR"), "{}: {text}", file.display());
        }
        // ogginfo knows these two, and says where frames were dropped.
        if tracks.iter().all(|t| matches!(t.codec, Codec::Vorbis | Codec::Theora))
            && !text(&file).contains("sample-platform")
        {
            let Some(out) = run("ogginfo", &[text(&file)]) else { break };
            let text = said(&out);
            assert!(!text.contains("WARNING") && !text.contains("ERROR"), "{}: {text}", file.display());
        }
        assert!(!packets.is_empty());
    }
}

#[test]
fn ffmpeg_reads_the_same_packets() {
    for (file, tracks, packets) in written() {
        let joined = text(&file).contains("-joined");
        let base = if joined { packets[0].dts } else { Timestamp::ZERO };
        let args = [
            "-v",
            "error",
            "-show_packets",
            "-show_data_hash",
            "sha256",
            "-of",
            "compact=p=0",
            "-show_entries",
        ];
        let args =
            [&args[..], &["packet=codec_type,pts_time,duration_time,size,flags,data_hash", text(&file)]]
                .concat();
        let Some(out) = run("ffprobe", &args) else { return };
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(said.trim().is_empty(), "{}: {said}", file.display());
        let rows = String::from_utf8_lossy(&out.stdout).into_owned();
        for info in &tracks {
            let kind =
                if info.codec.kind() == Kind::Video { "codec_type=video|" } else { "codec_type=audio|" };
            let fields = |l: &'_ str| -> Vec<(String, String)> {
                l.split('|').filter_map(|f| f.split_once('=')).map(|(k, v)| (k.into(), v.into())).collect()
            };
            let rows: Vec<_> = rows.lines().filter(|l| l.starts_with(kind)).map(fields).collect();
            let ours: Vec<_> = packets.iter().filter(|p| p.track == info.id).collect();
            assert_eq!(rows.len(), ours.len(), "{} {info:?}", file.display());
            for (n, (r, p)) in rows.iter().zip(&ours).enumerate() {
                let at = format!("{} {info:?} packet {n} {r:?}", file.display());
                let field = |name| r.iter().find(|(k, _)| k == name).map_or("", |(_, v)| v);
                assert_eq!(field("size"), p.data.len().to_string(), "{at}");
                // ffprobe leaves the hash out of a packet with comments beside it.
                let hashed = field("side_data_type").is_empty();
                assert!(!hashed || field("data_hash").ends_with(&common::sha256(&p.data)), "{at}");
                let time: f64 = field("pts_time").parse().unwrap();
                let want = (p.pts() - base).as_secs_f64();
                // As in tests/ogg_corpus.rs: short blocks of Vorbis begin late, gaps show a packet late.
                let slack = match info.codec {
                    Codec::Vorbis => p.duration.as_secs_f64(),
                    Codec::Theora if text(&file).contains("sample-platform") => 0.034,
                    _ => 0.0,
                };
                assert!((time - want).abs() <= slack + 0.0011, "{at}: {want}");
            }
        }
        let Some(out) = run("ffmpeg", &["-v", "warning", "-i", text(&file), "-f", "null", "-"]) else {
            return;
        };
        // Speex of a narrow band and damaged pictures are the sources' own.
        assert!(out.status.success(), "{}: {}", file.display(), self::said(&out));
    }
}

#[test]
fn gstreamer_reads_to_the_end() {
    for (file, tracks, packets) in written() {
        for info in &tracks {
            let caps = match info.codec {
                Codec::Theora => "video/x-theora",
                Codec::Vorbis => "audio/x-vorbis",
                Codec::Opus => "audio/x-opus",
                Codec::Flac => "audio/x-flac",
                _ => continue,
            };
            let source = format!("location={}", text(&file));
            let args =
                ["-v", "filesrc", &source, "!", "oggdemux", "!", caps, "!", "identity", "silent=false", "!"];
            let args = [&args[..], &["fakesink"]].concat();
            let Some(out) = run("gst-launch-1.0", &args) else { return };
            assert!(out.status.success(), "{}: {}", file.display(), said(&out));
            let chains = said(&out).matches("chain   *").count();
            let packets = packets.iter().filter(|p| p.track == info.id).count();
            // Its oggdemux passes the headers on too.
            assert!(
                chains >= packets && chains <= packets + 4,
                "{} {caps}: {chains}, {packets}",
                file.display()
            );
        }
    }
}

/// Plays in a real browser: it decodes to the end and finds the right length.
#[test]
fn chromium_plays() {
    let dir = common::folder();
    for (file, tracks, packets) in written() {
        let name = file.file_name().unwrap().to_str().unwrap();
        // Its builds have no Speex, and the newest no Theora.
        if tracks.iter().any(|t| matches!(t.codec, Codec::Speex | Codec::Theora)) || name.contains("joined") {
            continue;
        }
        let page = dir.join(format!("{name}.html"));
        let html = format!(
            "<audio id=a muted src='{name}'></audio><script>
             const say = (t) => console.log('RESULT ' + t);
             a.onerror = () => say('failed ' + a.error.message);
             a.onended = () => say('ended at ' + a.currentTime);
             setTimeout(() => say('nothing'), 20000);
             a.playbackRate = 8; a.play().catch((e) => say('failed ' + e));</script>"
        );
        std::fs::write(&page, html).unwrap();
        let url = format!("file://{}", page.display());
        let profile = format!("--user-data-dir={}", dir.join("chromium").display());
        let args =
            ["--headless", "--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required"];
        let args =
            [&args[..], &[&profile, "--enable-logging=stderr", "--remote-debugging-port=0", &url]].concat();
        let child = Command::new("chromium").args(args).stderr(Stdio::piped()).stdout(Stdio::null()).spawn();
        let Ok(mut child) = child else {
            println!("skipped: no chromium");
            return;
        };
        let lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let text = lines.into_iter().find(|l| l.contains("RESULT")).unwrap_or_default();
        let _ = child.kill();
        let _ = child.wait();
        let end = packets.iter().map(|p| (p.pts() + p.duration).as_secs_f64()).fold(0.0, f64::max);
        let at = text.split("ended at ").nth(1).and_then(|t| t.split('"').next()?.trim().parse::<f64>().ok());
        assert!(at.is_some_and(|at| (at - end).abs() < 0.1), "{name}: {at:?}, {end} expected: {text}");
    }
}
