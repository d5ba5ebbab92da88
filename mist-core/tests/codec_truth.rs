//! Codec headers of real files against what ffprobe says of them.
//!
//! The files are walked here as simply as can be: boxes by searching their names, tags and frames by their lengths.

#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test reads files and says what it saw"
)]

use bytes::{Bytes, BytesMut};
use memchr::memmem;
use mist_core::codec::{self, Codec, aac, ac3, h264, hevc, latm, mpa, mpeg2, nal};
use mist_core::media::Params;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;

fn corpus() -> Option<(PathBuf, Vec<Value>)> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus");
    let Ok(text) = std::fs::read_to_string(root.join("truth.jsonl")) else {
        println!("skipped: no corpus");
        return None;
    };
    Some((root, text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()))
}

struct File {
    path: String,
    data: Bytes,
    streams: Vec<Value>,
}

/// The files of one folder that ffprobe could read.
fn files(folder: &str) -> Vec<File> {
    let Some((root, all)) = corpus() else { return Vec::new() };
    let all = all.iter().filter(|f| f["folder"] == folder && f["ffprobe_rc"] == 0);
    all.filter_map(|f| {
        let path = f["path"].as_str()?.to_owned();
        let data = std::fs::read(root.join(&path)).ok()?.into();
        Some(File { path, data, streams: f["streams"].as_array()?.clone() })
    })
    .collect()
}

fn num(v: &Value, key: &str) -> u64 {
    v[key].as_u64().unwrap_or(0)
}

impl File {
    fn stream(&self, codec: &str) -> Option<&Value> {
        self.streams.iter().find(|s| s["codec"] == codec)
    }

    #[track_caller]
    fn check(&self, p: Params, s: &Value) {
        let same = match p {
            Params::Video { width, height, .. } => {
                (u64::from(width), u64::from(height)) == (num(s, "width"), num(s, "height"))
            }
            Params::Audio { rate, channels, .. } => {
                (u64::from(rate), u64::from(channels)) == (num(s, "sample_rate"), num(s, "channels"))
            }
            _ => false,
        };
        assert!(same, "{}: {p:?}, ffprobe {s}", self.path);
    }

    fn without_id3(&self) -> Bytes {
        match self.data[..] {
            [b'I', b'D', b'3', _, _, _, a, b, c, e, ..] => {
                let len = [a, b, c, e].iter().fold(0, |n, &b| (n << 7) | usize::from(b & 0x7f));
                self.data.slice((10 + len).min(self.data.len())..)
            }
            _ => self.data.clone(),
        }
    }
}

fn truncate_init(codec: Codec, init: &Bytes) {
    for n in 0..init.len().min(300) {
        if let Ok(i) = codec::canonical_init(codec, init.slice(..n)) {
            codec::params(codec, &i);
        }
    }
}

#[test]
fn parameter_sets_of_raw_streams() {
    let mut seen = 0;
    for f in files("annexb") {
        let mut units = BytesMut::new();
        nal::annex_b_to_lengths(&f.data, &mut units, |_| true);
        let units = units.freeze();
        let (codec, s) = match (f.stream("h264"), f.stream("hevc")) {
            (Some(s), _) => (Codec::H264, s),
            (_, Some(s)) => (Codec::Hevc, s),
            _ => continue,
        };
        let init = codec::init_from_payload(codec, &units).unwrap_or_else(|| panic!("{}", f.path));
        f.check(codec::params(codec, &init).unwrap(), s);
        assert_eq!(codec::canonical_init(codec, init.clone()).unwrap(), init);
        let mut back = BytesMut::new();
        nal::lengths_to_annex_b(&units, 4, &mut back).unwrap();
        assert!(nal::annex_b(&back).eq(nal::annex_b(&f.data)), "{}", f.path);
        truncate_init(codec, &init);
        for set in nal::units(&units).take(6) {
            for n in 0..set.len().min(200) {
                let _ = (h264::Sps::parse(&set[..n]), h264::Pps::parse(&set[..n]));
                let _ = (hevc::Sps::parse(&set[..n]), hevc::Vps::parse(&set[..n]));
            }
        }
        seen += 1;
    }
    println!("{seen} files");
}

/// The bodies of all boxes of a name.
fn boxes(data: &Bytes, name: &str) -> Vec<Bytes> {
    let found = memmem::find_iter(data, name.as_bytes()).filter_map(|i| {
        let from = i.checked_sub(4)?;
        let size = u32::from_be_bytes(data.get(from..i)?.try_into().ok()?) as usize;
        data.get(i + 4..from + size).map(|b| data.slice_ref(b))
    });
    found.collect()
}

/// AudioSpecificConfig out of the body of an `esds` box.
fn esds_config(body: &[u8]) -> Option<&[u8]> {
    let mut d = body.get(4..)?;
    loop {
        let (&tag, mut at) = d.split_first()?;
        let mut len = 0;
        loop {
            let (&b, rest) = at.split_first()?;
            at = rest;
            len = (len << 7) | usize::from(b & 0x7f);
            if b & 0x80 == 0 {
                break;
            }
        }
        d = match tag {
            3 => at.get(3..)?,
            4 if matches!(at.first()?, 0x40 | 0x66..=0x68) => at.get(13..)?,
            5 => return at.get(..len),
            _ => return None,
        };
    }
}

#[test]
fn configuration_boxes_of_mp4() {
    let kinds = [
        ("avcC", Codec::H264, "h264"),
        ("hvcC", Codec::Hevc, "hevc"),
        ("av1C", Codec::Av1, "av1"),
        ("dOps", Codec::Opus, "opus"),
        ("dfLa", Codec::Flac, "flac"),
        ("esds", Codec::Aac, "aac"),
    ];
    let mut seen = BTreeMap::new();
    for f in files("mp4").into_iter().chain(files("fmp4")) {
        for (name, codec, truth) in kinds {
            // With several streams or descriptions it takes the boxes' order to tell which is which.
            if f.streams.iter().filter(|s| s["codec"] == truth).count() != 1
                || ["multi-stsd", "two_desc"].iter().any(|n| f.path.contains(n))
            {
                continue;
            }
            let Some(s) = f.stream(truth) else { continue };
            for b in boxes(&f.data, name) {
                let init = match codec {
                    Codec::Aac => match esds_config(&b) {
                        Some(c) => b.slice_ref(c),
                        None => continue,
                    },
                    _ => b,
                };
                let init =
                    codec::canonical_init(codec, init).unwrap_or_else(|e| panic!("{} {name}: {e}", f.path));
                let Some(p) = codec::params(codec, &init) else {
                    println!("{}: {name} without parameters", f.path);
                    continue;
                };
                let asc = aac::Asc::parse(&init).ok().filter(|_| codec == Codec::Aac);
                // What only the payload tells isn't in the configuration, and ffprobe calls all HE-AAC stereo.
                let unsure = asc.is_some_and(|a| a.sbr.is_none() || a.channels() == 1)
                    && s["profile"].as_str().is_some_and(|p| p.starts_with("HE"));
                if !unsure {
                    f.check(p, s);
                }
                truncate_init(codec, &init);
                *seen.entry(name).or_insert(0) += 1;
            }
        }
    }
    println!("{seen:?}");
}

#[test]
fn frames_of_raw_audio() {
    let mut seen = 0;
    for f in files("adts") {
        let Some(s) = f.stream("aac") else { continue };
        let data = f.without_id3();
        let mut at = aac::Adts::find(&data).unwrap_or_else(|| panic!("{}", f.path));
        let mut frames = 0;
        while let Ok(h) = aac::Adts::parse(&data[at..]) {
            let Some(payload) = data.get(at + h.header_len..at + h.frame_len) else { break };
            if s["profile"] == "LC" {
                f.check(h.asc(payload).params(), s);
            }
            at += h.frame_len;
            frames += 1;
        }
        assert!(num(s, "packets").abs_diff(frames) <= 1, "{} {frames} {s}", f.path);
        seen += 1;
    }
    for f in files("mp3") {
        let Some(s) = f.stream("mp3") else { continue };
        let data = f.without_id3();
        let Some(at) = mpa::Header::find(&data) else {
            println!("{}: no frames, ffprobe has {}", f.path, num(s, "packets"));
            continue;
        };
        f.check(mpa::Header::parse(&data[at..]).unwrap().params(), s);
        let frames = mpa::frames(&data[at..]).count() as u64;
        if num(s, "packets").abs_diff(frames) > 2 {
            println!("{}: {frames} frames in a row, ffprobe has {}", f.path, num(s, "packets"));
        }
        seen += 1;
    }
    for f in files("es-other") {
        for s in &f.streams {
            match s["codec"].as_str() {
                Some("ac3" | "eac3") if f.path.ends_with("ac3") => {
                    let at = ac3::Header::find(&f.data).unwrap();
                    f.check(ac3::Header::parse(&f.data[at..]).unwrap().params(), s);
                    let frames = ac3::frames(&f.data[at..]).filter(|h| h.samples() > 0).count() as u64;
                    assert!(num(s, "packets").abs_diff(frames) <= 1, "{} {frames} {s}", f.path);
                    seen += 1;
                }
                Some(name @ ("mpeg2video" | "mpeg1video")) => {
                    let q = mpeg2::Sequence::parse(&f.data).unwrap_or_else(|e| panic!("{}: {e}", f.path));
                    f.check(q.params(), s);
                    assert_eq!(q.mpeg1, name == "mpeg1video");
                    seen += 1;
                }
                _ => {}
            }
        }
    }
    println!("{seen} files");
}

#[test]
fn frames_of_ivf() {
    for f in files("es-other").into_iter().filter(|f| f.path.ends_with(".ivf")) {
        let s = &f.streams[0];
        let codec = match s["codec"].as_str() {
            Some("vp8") => Codec::Vp8,
            Some("vp9") => Codec::Vp9,
            _ => Codec::Av1,
        };
        let (mut at, mut frames, mut keys) = (32, 0, 0);
        while let Some(head) = f.data.get(at..at + 12) {
            let len = u32::from_le_bytes(head[..4].try_into().unwrap()) as usize;
            let Some(frame) = f.data.get(at + 12..at + 12 + len) else { break };
            at += 12 + len;
            let frame = codec::canonical_payload(codec, f.data.slice_ref(frame), 4).unwrap();
            if codec::is_key(codec, &frame).unwrap() {
                keys += 1;
                f.check(codec::params_from_payload(codec, &frame).unwrap(), s);
                if codec != Codec::Vp8 {
                    let init = codec::init_from_payload(codec, &frame).unwrap();
                    truncate_init(codec, &init);
                }
            }
            frames += 1;
        }
        assert_eq!((frames, keys), (num(s, "packets"), num(s, "keyframes")), "{}", f.path);
        println!("{}: {frames} frames, {keys} keys", f.path);
    }
}

#[test]
fn tags_of_flv() {
    let mut seen = BTreeMap::new();
    for f in files("flv") {
        let (mut at, mut keys, mut frames, mut video) = (13, 0, 0, None);
        while let Some(head) = f.data.get(at..at + 11) {
            let len = (usize::from(head[1]) << 16) | (usize::from(head[2]) << 8) | usize::from(head[3]);
            let Some(body) = f.data.get(at + 11..at + 11 + len) else { break };
            at += 11 + len + 4;
            match (head[0] & 0x1f, body) {
                (9, [b, rest @ ..]) if b & 0x80 == 0 && !rest.is_empty() => {
                    let codec = match b & 15 {
                        2 => Codec::H263,
                        4 => Codec::Vp6,
                        5 => Codec::Vp6Alpha,
                        3 => Codec::Screen1,
                        7 => Codec::H264,
                        _ => continue,
                    };
                    let Some(s) = f.streams.iter().find(|s| s["type"] == "video") else { continue };
                    let rest = f.data.slice_ref(rest);
                    video = Some((codec, s));
                    let payload = match (codec, rest.first()) {
                        (Codec::H264, Some(0)) if rest.len() > 4 => {
                            let init = codec::canonical_init(codec, rest.slice(4..)).unwrap();
                            f.check(codec::params(codec, &init).unwrap(), s);
                            continue;
                        }
                        (Codec::H264, Some(1)) if rest.len() > 4 => {
                            codec::canonical_payload(codec, rest.slice(4..), 4).unwrap()
                        }
                        (Codec::H264, _) => continue,
                        _ => rest,
                    };
                    let key = codec::is_key(codec, &payload).unwrap_or(b >> 4 == 1);
                    if codec != Codec::H264 {
                        // Encoders don't flag every I picture, but what they flag is one.
                        assert!(key || b >> 4 != 1, "{} at {at}", f.path);
                        if key {
                            f.check(codec::params_from_payload(codec, &payload).unwrap(), s);
                        }
                    }
                    keys += u64::from(key);
                    frames += 1;
                }
                (8, [b, 0, asc @ ..]) if b >> 4 == 10 => {
                    let Ok(a) = aac::Asc::parse(asc) else {
                        println!("{}: AAC configuration {asc:02x?}", f.path);
                        continue;
                    };
                    let s = f.stream("aac").unwrap();
                    if s["profile"] == "LC" {
                        f.check(a.params(), s);
                    }
                    *seen.entry("AAC").or_insert(0) += 1;
                }
                _ => {}
            }
        }
        if let Some((codec, s)) = video {
            let truth = (num(s, "packets"), num(s, "keyframes"));
            if (frames, keys) != truth {
                println!("{}: {:?}, ffprobe has {truth:?}", f.path, (frames, keys));
            }
            *seen.entry(codec.name()).or_insert(0) += 1;
        }
    }
    println!("{seen:?}");
}

#[test]
fn latm_of_a_broadcast() {
    for f in files("ts") {
        let Some(s) = f.stream("aac_latm") else { continue };
        let mut by_pid = BTreeMap::<u16, Vec<u8>>::new();
        for p in f.data.chunks_exact(188) {
            let pid = u16::from_be_bytes([p[1] & 0x1f, p[2]]);
            let skip = if p[3] & 0x20 != 0 { 5 + usize::from(p[4]) } else { 4 };
            let Some(mut body) = p.get(skip..).filter(|_| p[3] & 0x10 != 0) else { continue };
            if p[1] & 0x40 != 0 && body.starts_with(&[0, 0, 1]) {
                body = &body[9 + usize::from(body[8])..];
            }
            by_pid.entry(pid).or_default().extend_from_slice(body);
        }
        let mut best = (0, None);
        for bytes in by_pid.values() {
            let mut mux = latm::Latm::new();
            let (mut at, mut units) = (0, 0);
            while let Some(rest) = bytes.get(at..).filter(|r| r.len() > 3) {
                match latm::loas_frame_len(rest) {
                    Ok(len) if mux.loas(rest).is_ok() => {
                        units += 1;
                        at += len;
                    }
                    _ => at += 1,
                }
            }
            if units > best.0 {
                best = (units, mux.asc().cloned());
            }
        }
        let asc = best.1.unwrap();
        println!("{}: {} units, ffprobe has {}; {asc:?}", f.path, best.0, num(s, "packets"));
        assert!(num(s, "packets").abs_diff(best.0) <= 2);
        if s["profile"] == "LC" {
            f.check(asc.params(), s);
        }
    }
}
