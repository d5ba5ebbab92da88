//! What the Matroska muxer writes, read by ffprobe, mkvinfo, mkvmerge, MediaInfo, GStreamer and Chromium.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    reason = "a test runs tools on files that it writes, and says what it skips"
)]

mod common;

use common::{demux, sha256, truths};
use mist_core::codec::{Codec, opus::OpusHead};
use mist_core::format::{Index, IndexEntry};
use mist_core::gather::Gather;
use mist_core::media::{Kind, Packet, TrackInfo};
use mist_core::registry::{FormatDef, choose};
use mist_formats::FORMATS;
use mist_formats::mkv::FORMAT;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

fn run(program: &str, args: &[&str]) -> Option<Output> {
    let out = Command::new(program).args(args).output().ok();
    if out.is_none() {
        println!("skipped: no {program}");
    }
    out
}

fn text(out: &[u8]) -> String {
    String::from_utf8_lossy(out).trim().to_owned()
}

/// What ffmpeg's tools complain about. What only a live form leaves open or the codec doesn't say is no complaint.
fn complaints(stderr: &[u8]) -> String {
    let fine = ["Guessed Channel Layout", "Estimating duration from bitrate"];
    text(stderr).lines().filter(|l| !fine.iter().any(|f| l.contains(f))).collect()
}

type Source = (Vec<Arc<TrackInfo>>, Vec<Packet>);

fn source(path: &str) -> Option<Source> {
    let data = match path.strip_prefix("media/") {
        Some(name) => {
            let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/media");
            std::fs::read(dir.join(name)).unwrap().into()
        }
        None => truths().into_iter().find(|t| t.path == path)?.read()?,
    };
    let ending = path.rsplit_once('.').unwrap().1;
    let def: &FormatDef = FORMATS.iter().find(|f| f.extensions.contains(&ending) && f.demuxer.is_some())?;
    let got = demux(def, &data, 1 << 16);
    let tracks = choose(FORMAT.output.unwrap().codecs, &got.last());
    let mut packets: Vec<_> =
        got.packets.into_iter().filter(|p| tracks.iter().any(|t| t.id == p.track)).collect();
    packets.sort_by_key(|p| p.dts);
    Some((tracks, packets))
}

/// How a file comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// For somebody who reads it as it is written.
    Live,
    /// Completed by its patches.
    Patched,
    /// All packets were known from the start.
    Indexed,
}

fn mux((tracks, packets): &Source, form: Form) -> Vec<u8> {
    let mut m = (FORMAT.muxer.unwrap())();
    let mut out = Gather::new();
    let lines = |t: &Arc<TrackInfo>| {
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
    let index = Index { tracks: tracks.iter().map(lines).collect() };
    m.start(tracks, (form == Form::Indexed).then_some(&index), &mut out).unwrap();
    for p in packets {
        m.packet(p, &mut out).unwrap();
    }
    let patches = if form == Form::Live { Vec::new() } else { m.finish(&mut out).unwrap() };
    let mut file = out.to_vec();
    for p in patches {
        let at = usize::try_from(p.offset).unwrap();
        file[at..at + p.data.len()].copy_from_slice(&p.data);
    }
    file
}

const SOURCES: &[&str] = &[
    "media/bframes.flv",
    "media/enhanced-hevc-aac.flv",
    "media/enhanced-av1-opus.flv",
    "media/enhanced-h264-ac3.flv",
    "media/enhanced-h264-flac.flv",
    "media/h264-mp3.flv",
    "media/audio-only.flv",
    "media/video-only.flv",
    "media/hevc-eac3.ts",
    "media/h264-opus.ts",
    "media/mpeg2-mp2.ts",
    "synthetic/ts-pts-wrap.ts",
    "synthetic/wav-rf64-alaw.wav",
    "wav/ax-sine_24le.wav",
    "wav/ax-sample_wav_format_extensible.wav",
    "wav/fzc-r16000_u8_c1_list.wav",
    "webm/libwebm-bbb_480p_vp9_opus_1second.webm",
    "webm/nestegg-dancer1.webm",
    "mkv/ax-sample.mkv",
];

fn file(path: &str, form: Form, source: &Source) -> PathBuf {
    let dir = common::folder();
    let webm = source.0.iter().all(|t| {
        matches!(t.codec, Codec::Vp8 | Codec::Vp9 | Codec::Av1 | Codec::Opus | Codec::Vorbis | Codec::WebVtt)
    });
    let ending = if webm { "webm" } else { "mkv" };
    let file = dir.join(format!("{}-{form:?}.{ending}", path.replace('/', "-")));
    std::fs::write(&file, mux(source, form)).unwrap();
    file
}

/// The payload as it lies in the file.
fn stored(info: &TrackInfo, p: &Packet) -> Vec<u8> {
    use mist_core::codec::pcm::swapped;
    match (info.codec, info.params) {
        (Codec::PcmFloat, mist_core::media::Params::Audio { bits, .. }) => {
            swapped(p.data.clone(), bits).to_vec()
        }
        (Codec::Pcm, mist_core::media::Params::Audio { bits: 8, .. }) => swapped(p.data.clone(), 8).to_vec(),
        _ => p.data.to_vec(),
    }
}

fn ffprobe_agrees(path: &str, file: &Path, (tracks, packets): &Source) -> bool {
    let entries = "packet=stream_index,pts_time,flags,data_hash";
    let args = ["-v", "warning", "-show_packets", "-show_data_hash", "sha256", "-show_entries", entries];
    let args = [&args[..], &["-of", "json", file.to_str().unwrap()]].concat();
    let Some(out) = run("ffprobe", &args) else { return false };
    let said = complaints(&out.stderr);
    assert!(out.status.success() && said.is_empty(), "{path}: {said}");
    let probe: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let time = |r: &serde_json::Value| r["pts_time"].as_str().unwrap().parse::<f64>().unwrap();
    let rows = probe["packets"].as_array().unwrap();
    // Times before zero move all.
    let first = packets.iter().map(Packet::pts).min().unwrap().as_secs_f64();
    let probed = rows.iter().map(time).fold(f64::INFINITY, f64::min);
    for (i, info) in tracks.iter().enumerate() {
        let rows: Vec<_> = rows.iter().filter(|r| r["stream_index"] == i).collect();
        let ours: Vec<_> = packets.iter().filter(|p| p.track == info.id).collect();
        assert_eq!(rows.len(), ours.len(), "{path} {info:?}");
        for (r, p) in rows.iter().zip(ours) {
            let at = format!("{path} {info:?} {p:?} {r:?}");
            let off = (time(r) - probed) - (p.pts().as_secs_f64() - first);
            assert!(off.abs() < 0.000_06, "{at}: {off}");
            assert_eq!(
                r["flags"].as_str().unwrap().starts_with('K'),
                p.key || info.codec.kind() != Kind::Video,
                "{at}"
            );
            assert_eq!(r["data_hash"], format!("SHA256:{}", sha256(&stored(info, p))), "{at}");
        }
    }
    true
}

#[test]
fn ffprobe_reads_the_same_packets() {
    for path in SOURCES {
        let Some(source) = source(path) else { continue };
        for form in [Form::Live, Form::Patched, Form::Indexed] {
            if !ffprobe_agrees(path, &file(path, form, &source), &source) {
                return;
            }
        }
    }
}

#[test]
fn decoders_play_to_the_end() {
    for path in SOURCES {
        let Some(source) = source(path) else { continue };
        let file = file(path, Form::Patched, &source);
        let Some(out) = run("ffmpeg", &["-v", "warning", "-i", file.to_str().unwrap(), "-f", "null", "-"])
        else {
            return;
        };
        let said = complaints(&out.stderr);
        assert!(out.status.success() && said.is_empty(), "{path}: {said}");
    }
}

#[test]
fn mkvmerge_has_no_complaints_and_keeps_all() {
    for path in SOURCES {
        let Some(source) = source(path) else { continue };
        for form in [Form::Live, Form::Patched, Form::Indexed] {
            let file = file(path, form, &source);
            let again = file.with_extension("again.mkv");
            let args = ["-o", again.to_str().unwrap(), file.to_str().unwrap()];
            let Some(out) = run("mkvmerge", &args) else { return };
            let said = text(&out.stdout);
            // Exit status 1 is for warnings.
            assert!(out.status.code() == Some(0) && !said.contains("Warning"), "{path} {form:?}: {said}");
            let count = |p: &Path| {
                let args = ["-v", "error", "-count_packets", "-show_entries", "stream=nb_read_packets"];
                let args = [&args[..], &["-of", "csv=p=0", p.to_str().unwrap()]].concat();
                text(&run("ffprobe", &args).unwrap().stdout)
            };
            // Sound is put together or cut anew there.
            if source.0.iter().all(|t| !matches!(t.codec, Codec::Pcm | Codec::PcmFloat | Codec::Alaw)) {
                assert_eq!(count(&file), count(&again), "{path} {form:?}");
            }
        }
    }
}

#[test]
fn mkvinfo_and_mediainfo_know_what_is_in_it() {
    for path in SOURCES {
        let Some(source) = source(path) else { continue };
        let file = file(path, Form::Patched, &source);
        let name = file.to_str().unwrap();
        let Some(out) = run("mkvinfo", &["-a", name]) else { return };
        let said = text(&out.stdout);
        assert!(out.status.success(), "{path}: {said}");
        let unknown = |l: &&str| l.contains("nknown element") || l.contains("damaged");
        assert_eq!(said.lines().filter(unknown).count(), 0, "{path}: {said}");
        for part in ["Seek head", "Cues", "Duration", "Cluster"] {
            assert!(said.contains(part), "{path}: no {part} in {said}");
        }
        let Some(out) =
            run("mediainfo", &["--Output=General;%Format%,%Duration%,%VideoCount%,%AudioCount%", name])
        else {
            return;
        };
        let said = text(&out.stdout);
        let count = |kind| match source.0.iter().filter(|t| t.codec.kind() == kind).count() {
            0 => String::new(),
            n => n.to_string(),
        };
        let format = if name.ends_with("webm") { "WebM" } else { "Matroska" };
        let [f, duration, video, audio] = said.split(',').collect::<Vec<_>>()[..] else { panic!("{said}") };
        assert_eq!((f, video, audio), (format, &*count(Kind::Video), &*count(Kind::Audio)), "{path}");
        let from = source.1.iter().map(Packet::pts).min().unwrap();
        let to = source.1.iter().map(Packet::pts).max().unwrap();
        let lasts = (to - from).as_millis() as f64;
        let duration: f64 = duration.parse().unwrap();
        assert!((0.0..300.0).contains(&(duration - lasts)), "{path}: {duration} {lasts}");
    }
}

#[test]
fn gstreamer_demuxes_it() {
    for path in SOURCES {
        let Some(source) = source(path) else { continue };
        for form in [Form::Live, Form::Patched] {
            let file = file(path, form, &source);
            let location = format!("location={}", file.to_str().unwrap());
            // One pad at a time, so that one thread writes.
            for (name, kind) in [("d.video_0", Kind::Video), ("d.audio_0", Kind::Audio)] {
                let Some(t) = source.0.iter().find(|t| t.codec.kind() == kind) else { continue };
                let args =
                    ["-v", "filesrc", &location, "!", "matroskademux", "name=d", name, "!", "identity"];
                let sink = ["silent=false", "!", "fakesink", "sync=false", "async=false"];
                let Some(out) = run("gst-launch-1.0", &[&args[..], &sink].concat()) else { return };
                let said = text(&out.stdout);
                assert!(out.status.success(), "{path} {form:?}: {said} {}", text(&out.stderr));
                let buffers = said.matches("bytes, dts").count();
                // Headers of FLAC and Vorbis come as buffers of their own.
                let headers = matches!(t.codec, Codec::Flac | Codec::Vorbis);
                let more = buffers.checked_sub(source.1.iter().filter(|p| p.track == t.id).count());
                assert!(
                    more.is_some_and(|n| n <= if headers { 3 } else { 0 }),
                    "{path} {form:?} {name}: {buffers}"
                );
            }
        }
    }
}

const PAGE: &str = "<video id=v muted></video><script>
const say = (what) => fetch('/said?' + [what, v.currentTime, v.duration, v.videoWidth,
  v.getVideoPlaybackQuality().totalVideoFrames]);
v.onerror = () => say('error ' + v.error.message);
v.onended = () => say('ended');
v.src = 'SRC';
v.play().catch((e) => say('refused ' + e));
</script>";

/// Serves a page with a player, and the media: as a file with ranges, or as it becomes ready. What the page says goes
/// to `said`.
fn answer(mut s: TcpStream, media: &[u8], live: Option<f64>, said: &Sender<String>) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && s.read(&mut byte)? == 1 {
        head.push(byte[0]);
    }
    let head = text(&head);
    if let Some(what) = head.strip_prefix("GET /said?") {
        let _ = said.send(what.split(' ').next().unwrap_or_default().to_owned());
        return write!(s, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
    }
    if !head.starts_with("GET /media") {
        let page = PAGE.replace("SRC", "/media");
        let len = page.len();
        let kind = "text/html\r\nConnection: close";
        return write!(s, "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len}\r\n\r\n{page}");
    }
    if let Some(seconds) = live {
        write!(s, "HTTP/1.1 200 OK\r\nContent-Type: video/webm\r\nConnection: close\r\n\r\n")?;
        // Twenty pieces, as fast as they play.
        for piece in media.chunks(media.len() / 20 + 1) {
            s.write_all(piece)?;
            std::thread::sleep(Duration::from_secs_f64(seconds / 20.0));
        }
        return Ok(());
    }
    let from: usize = head
        .lines()
        .find_map(|l| l.to_ascii_lowercase().strip_prefix("range: bytes=")?.split('-').next()?.parse().ok())
        .unwrap_or(0)
        .min(media.len() - 1);
    let (last, all, left) = (media.len() - 1, media.len(), media.len() - from);
    write!(
        s,
        "HTTP/1.1 206 Partial Content\r\nContent-Type: video/webm\r\nAccept-Ranges: bytes\r\n\
         Content-Range: bytes {from}-{last}/{all}\r\nContent-Length: {left}\r\nConnection: close\r\n\r\n"
    )?;
    s.write_all(&media[from..])
}

/// What the page says at the end: the event, time, duration, width and frames. `live` is how many seconds it takes to
/// send the media.
fn watch(media: &[u8], live: Option<f64>) -> Option<Vec<String>> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let media: Arc<[u8]> = media.into();
    let (tell, said) = channel();
    std::thread::spawn(move || {
        for s in listener.incoming().flatten() {
            let (media, tell) = (media.clone(), tell.clone());
            // A browser that hangs up is its own affair.
            std::thread::spawn(move || drop(answer(s, &media, live, &tell)));
        }
    });
    let profile = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("chromium-{}", address.port()));
    let child = Command::new("chromium")
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--mute-audio"])
        .arg("--autoplay-policy=no-user-gesture-required")
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("http://{address}/"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = child else {
        println!("skipped: no chromium");
        return None;
    };
    let said = said.recv_timeout(Duration::from_secs(60));
    child.kill().unwrap();
    child.wait().unwrap();
    let _ = std::fs::remove_dir_all(profile);
    Some(said.expect("the page says how it ended").split(',').map(str::to_owned).collect())
}

/// What Chromium has decoders for: as a file, as a live stream, and as one that was joined after hours.
#[test]
fn chromium_plays_it() {
    for path in ["media/enhanced-av1-opus.flv", "media/bframes.flv", "webm/nestegg-dancer1.webm"] {
        let Some(source) = source(path) else { continue };
        let from = source.1.iter().map(Packet::pts).min().unwrap();
        let seconds = (source.1.iter().map(Packet::pts).max().unwrap() - from).as_secs_f64();
        let (width, _) = source.0.iter().find(|t| t.codec.kind() == Kind::Video).unwrap().size();
        let video = source.0.iter().find(|t| t.codec.kind() == Kind::Video).unwrap().id;
        let pictures = source.1.iter().filter(|p| p.track == video).count();
        for (form, hours) in [(Form::Live, 0), (Form::Live, 30), (Form::Patched, 0)] {
            let mut late = source.clone();
            late.1.iter_mut().for_each(|p| p.dts += mist_core::time::Duration::from_secs(hours * 3600));
            let media = mux(&late, form);
            let Some(said) = watch(&media, (form == Form::Live).then_some(seconds)) else {
                return;
            };
            let at = format!("{path} {form:?} after {hours} hours: {said:?}");
            let number = |i: usize| said[i].parse::<f64>().unwrap_or(f64::INFINITY);
            assert_eq!((&*said[0], number(3) as u32), ("ended", width), "{at}");
            assert!(number(4) as usize + 2 >= pictures, "{at}: of {pictures}");
            assert!((number(1) - seconds).abs() < 1.5, "{at}");
        }
    }
}

/// The delay of an Opus decoder is in the file, and taken off by those who read it.
#[test]
fn opus_has_its_delay() {
    let Some(source) = source("media/enhanced-av1-opus.flv") else { return };
    let info = source.0.iter().find(|t| t.codec == Codec::Opus).unwrap();
    let skip = OpusHead::parse(&info.init).unwrap().pre_skip;
    let file = file("opus-delay", Form::Patched, &source);
    let Some(out) = run("mkvinfo", &[file.to_str().unwrap()]) else { return };
    let said = text(&out.stdout);
    let ns = u64::from(skip) * 1_000_000_000 / 48_000;
    assert!(said.contains("Codec-inherent delay") || said.contains("Codec delay"), "{said}");
    assert!(said.contains(&format!("({ns}ns)")) || said.contains(&format!("{ns:09}")), "{ns} {said}");
}
