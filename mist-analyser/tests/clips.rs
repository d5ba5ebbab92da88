//! The program as people run it, on the clips of this repository.

mod common;

use common::{analyse, analyse_stdin, clip, json};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;

/// Tracks, codec string, packets and duration of every clip.
#[test]
fn clips_are_what_they_were_made_as() {
    let rows = [
        ("mist-server/assets/demo.flv", &["avc1.4d401f 400 8", "mp4a.40.2 750 750"][..]),
        ("tests/media/audio-only.flv", &["mp4a.40.2"]),
        ("tests/media/enhanced-av1-opus.flv", &["av01.0.", "opus"]),
        ("tests/media/enhanced-hevc-aac.flv", &["hvc1.", "mp4a.40.2"]),
        ("tests/media/h264-ac3.ts", &["avc1.4d400b 100 2", "ac-3 125 125"]),
        ("tests/media/hevc-eac3.ts", &["hvc1.", "ec-3"]),
        ("tests/media/h264-latm.ts", &["avc1.", "mp4a.40.2"]),
    ];
    for (path, tracks) in rows {
        let out = analyse(&["--json", &clip(path)]);
        assert_eq!((out.code, out.err.as_str()), (0, ""), "{path}");
        let v = json(&out.out);
        assert_eq!(v["format"], if path.ends_with("flv") { "FLV" } else { "TS" });
        assert_eq!(v["problems"], Value::Array(Vec::new()), "{path}");
        let got: Vec<_> = v["tracks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|t| format!("{} {} {}", t["codec_string"].as_str().unwrap(), t["packets"], t["keyframes"]))
            .collect();
        assert_eq!(got.len(), tracks.len(), "{path}: {got:?}");
        for (got, want) in got.iter().zip(tracks) {
            assert!(got.starts_with(want), "{path}: {got} is not {want}");
        }
    }
}

fn rtsp(data: &[u8]) -> Value {
    json(&analyse_stdin(&["--json", "--format", "rtsp", "-"], data).out)
}

/// An answer to DESCRIBE with this description, and one to SETUP.
fn described(sdp: &str) -> Vec<u8> {
    format!(
        "RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}\
         RTSP/1.0 200 OK\r\nCSeq: 2\r\nTransport: RTP/AVP/TCP;interleaved=0-1\r\n\r\n",
        sdp.len()
    )
    .into_bytes()
}

/// A packet on channel 0.
fn rtp(kind: u8, sequence: u16, time: u32, payload: &[u8]) -> Vec<u8> {
    let len = (payload.len() as u16 + 12).to_be_bytes();
    let mut p = vec![b'$', 0, len[0], len[1], 0x80, 0x80 | kind];
    p.extend(sequence.to_be_bytes());
    p.extend(time.to_be_bytes());
    p.extend([0, 0, 0, 7]);
    p.extend(payload);
    p
}

#[test]
fn trouble_in_rtp_is_what_it_is() {
    // A client that joins amid pictures, without parameter sets.
    let mut data = described("v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n");
    for n in 1..5 {
        data.extend(rtp(96, n, u32::from(n) * 3600, b"\x41\x9a\0\x01"));
    }
    let v = rtsp(&data);
    assert_eq!(v["problem_counts"], serde_json::json!({"no-parameter-sets": 1}), "{v}");
    // One lost, and times that go back: each has its byte.
    let mut data = described("v=0\r\nm=audio 0 RTP/AVP 8\r\n");
    let mut at = Vec::new();
    for (sequence, time) in [(1, 0), (3, 320), (4, 160), (5, 640)] {
        at.push(data.len());
        data.extend(rtp(8, sequence, time, &[0; 160]));
    }
    let v = rtsp(&data);
    let found = |id: &str| v["problems"].as_array().unwrap().iter().find(|p| p["id"] == id).cloned().unwrap();
    assert_eq!(found("rtp-loss")["offset"], at[1], "{v}");
    assert!(found("rtp-loss").to_string().contains("1 packet is missing"), "{v}");
    assert_eq!(found("time-back")["offset"], at[2], "{v}");
}

#[test]
fn refusals_in_rtsp_are_those_that_matter() {
    for (dialogue, refused) in [
        ("ask DESCRIBE 1 no 401", 0),
        ("ask DESCRIBE 1 no 401 who DESCRIBE 2 no 401", 1),
        ("ask DESCRIBE 1 no 404", 1),
        ("ask OPTIONS 1 no 405 ask GET_PARAMETER 2 no 501 who SET_PARAMETER 3 no 401", 0),
        ("ask PLAY 1 no 455", 1),
        ("ask PLAY 1 no 200", 0),
    ] {
        let words: Vec<_> = dialogue.split(' ').collect();
        let (mut to, mut from) = (String::new(), String::new());
        for w in words.chunks(5) {
            let who = if w[0] == "who" { "Authorization: Basic eDp5\r\n" } else { "" };
            to += &format!("{} rtsp://h/s RTSP/1.0\r\nCSeq: {}\r\n{who}\r\n", w[1], w[2]);
            from += &format!("RTSP/1.0 {} So\r\nCSeq: {}\r\n\r\n", w[4], w[2]);
        }
        let dir = std::env::temp_dir().join(format!("mist-rtsp-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let files = [("to", to), ("from", from)].map(|(name, text)| {
            let path = dir.join(name);
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        });
        let v = json(&analyse(&["--json", "--format", "rtsp", &files[0], &files[1]]).out);
        std::fs::remove_dir_all(&dir).unwrap();
        assert_eq!(v["problem_counts"]["refused"].as_u64().unwrap_or(0), refused, "{dialogue}: {v}");
    }
}

/// The lines of a message lie where the tree says.
#[test]
fn the_tree_of_rtsp_tells_where_lines_are() {
    let data = described("v=0\r\nm=audio 0 RTP/AVP 8\r\n");
    let out = analyse_stdin(&["--detail", "structure", "--format", "rtsp", "-"], &data).out;
    let text = String::from_utf8(data).unwrap();
    for line in ["CSeq: 1\r\n", "Content-Type: application/sdp\r\n", "m=audio 0 RTP/AVP 8\r\n"] {
        let at = text.find(line).unwrap();
        let shown = out.lines().find(|l| l.contains(line.trim_end())).unwrap_or_else(|| panic!("{out}"));
        let words: Vec<_> = shown.split(|c: char| !c.is_ascii_digit()).collect();
        assert!(words.contains(&at.to_string().as_str()), "{at}: {shown}");
        assert!(words.contains(&line.len().to_string().as_str()), "{}: {shown}", line.len());
    }
}

/// What came is shown while more is to come.
#[test]
fn dialogues_are_shown_as_they_come() {
    let handshake = [&[3][..], &[0; 3072]].concat();
    for (format, data) in
        [("rtsp", &b"OPTIONS rtsp://h/s RTSP/1.0\r\nCSeq: 1\r\n\r\n"[..]), ("rtmp", &handshake)]
    {
        let args = ["--detail", "structure", "--format", format, "-"];
        let mut child = common::program(&args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut to = child.stdin.take().unwrap();
        to.write_all(data).unwrap();
        let mut shown = BufReader::new(child.stdout.take().unwrap());
        let (tell, told) = std::sync::mpsc::channel();
        let reader = std::thread::spawn(move || {
            let mut line = String::new();
            while shown.read_line(&mut line).unwrap() > 0 {
                if line.contains("OPTIONS") || line.contains("handshake") {
                    let _ = tell.send(());
                }
            }
        });
        let came = told.recv_timeout(std::time::Duration::from_secs(20));
        drop(to);
        reader.join().unwrap();
        child.wait().unwrap();
        assert!(came.is_ok(), "{format}");
    }
}

/// What an encoder and a server say: with B-frames, whose decoding times RTP doesn't send.
#[test]
fn recorded_rtsp_is_read_to_its_media() {
    let (to, from) = (clip("tests/media/rtsp-record.c2s.bin"), clip("tests/media/rtsp-record.s2c.bin"));
    for files in [&[to.as_str(), from.as_str()][..], &[&to]] {
        let out = analyse(&[&["--json", "--format", "rtsp"], files].concat());
        let v = json(&out.out);
        assert_eq!((out.code, &v["problems"]), (0, &Value::Array(Vec::new())), "{v}");
        let track = |i: usize| {
            ["codec", "packets", "keyframes", "b_frames", "first_dts_ms", "min_pts_ms", "max_pts_ms"]
                .map(|k| v["tracks"][i][k].clone())
        };
        assert_eq!(
            serde_json::json!(track(0)),
            serde_json::json!(["H264", 20, 2, true, -200.0, 0.0, 1900.0])
        );
        assert_eq!(
            serde_json::json!(track(1)),
            serde_json::json!(["AAC", 22, 22, null, -64.0, -64.0, 1280.0])
        );
    }
    // What nothing describes is counted: the server's side of a client that records has no description.
    let out = analyse_stdin(
        &["--json", "--format", "rtsp", "-"],
        b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n$\0\0\x0f\x80\x600123456789abc",
    );
    let v = json(&out.out);
    assert_eq!((out.code, &v["problem_counts"]), (0, &serde_json::json!({"rtp-media": 1})), "{v}");
    let out = analyse_stdin(
        &["--json", "--format", "rtsp", "-"],
        b"RTSP/1.0 454 Session Not Found\r\nCSeq: 1\r\n\r\nRTSP/",
    );
    let v = json(&out.out);
    assert_eq!(
        (out.code, &v["problem_counts"]),
        (1, &serde_json::json!({"refused": 1, "truncated": 1})),
        "{v}"
    );
}

#[test]
fn the_summary_says_what_people_look_for() {
    let out = analyse(&[&clip("mist-server/assets/demo.flv")]);
    assert_eq!(out.code, 0);
    for part in [
        "FLV, 16.000 s, 2 tracks, no problems",
        "video H264 (avc1.4d401f), 640x360, 25 fps",
        "400 packets, 8 keyframes",
        "GOP 2.000 / 2.000 / 2.000 s",
        "audio AAC (mp4a.40.2), 48000 Hz, 2 channels",
    ] {
        assert!(out.out.contains(part), "{part}: {}", out.out);
    }
}

#[test]
fn json_lines_describe_a_track_before_its_packets_and_end_with_the_summary() {
    let out = analyse(&["--json", "--detail", "packets", &clip("mist-server/assets/demo.flv")]);
    let lines: Vec<_> = out.out.lines().map(json).collect();
    let (last, lines) = lines.split_last().unwrap();
    let mut described = Vec::new();
    let mut packets = 0;
    for l in lines {
        match l["type"].as_str().unwrap() {
            "track" => described.push(l["id"].clone()),
            "packet" => {
                assert!(described.contains(&l["track"]), "{l}");
                assert!(l["pts_ms"].is_f64() && l["dts_ms"].is_f64() && l["size"].is_u64(), "{l}");
                packets += 1;
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!((described.len(), packets), (2, 1150));
    assert_eq!((&last["type"], &last["format"]), (&"summary".into(), &"FLV".into()));
    assert_eq!(last["tracks"][0]["packets"], 400);
    // Without the type it is what the summary alone says.
    let whole = json(&analyse(&["--json", &clip("mist-server/assets/demo.flv")]).out);
    let mut last = last.clone();
    last.as_object_mut().unwrap().remove("type");
    assert_eq!(last, whole);
}

#[test]
fn structure_and_hex_show_bytes_where_they_are() {
    let path = clip("tests/media/h264-mp3.flv");
    let v = json(&analyse(&["--json", "--detail", "structure", &path]).out);
    let nodes = v["structure"].as_array().unwrap();
    assert_eq!(
        (&nodes[0]["name"], &nodes[0]["offset"], &nodes[0]["len"]),
        (&"header".into(), &0.into(), &9.into())
    );
    let packets: u64 = v["tracks"].as_array().unwrap().iter().map(|t| t["packets"].as_u64().unwrap()).sum();
    assert!(nodes.len() as u64 >= packets, "a tag a packet");
    let text = analyse(&["--detail", "structure", &path]).out;
    assert!(text.contains("onMetaData"), "{text}");
    let ts = analyse(&["--detail", "structure", &clip("tests/media/h264-ac3.ts")]).out;
    for name in ["PAT [188]", "PMT [188]", "PES packet [188] PID 0x0100"] {
        assert!(ts.contains(name), "{name}");
    }
    // What lies in packets is indented.
    let outer = ts.lines().filter(|l| l.get(13..14).is_some_and(|c| c != " "));
    let offsets = outer.map_while(|l| l.split_whitespace().next()?.parse::<u64>().ok());
    assert!(offsets.is_sorted_by(|a, b| a < b), "every packet once, in the order of the file");
    // The payload in hexadecimal is in the file.
    let out = analyse(&["--json", "--detail", "hex", &path]).out;
    let packet = out.lines().map(json).find(|l| l["type"] == "packet").unwrap();
    let hex = packet["data"].as_str().unwrap();
    let bytes: Vec<u8> =
        (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect();
    assert_eq!(packet["size"], bytes.len());
    assert!(std::fs::read(&path).unwrap().windows(bytes.len()).any(|w| w == bytes));
}

#[test]
fn a_range_counts_what_lies_in_it() {
    let path = clip("mist-server/assets/demo.flv");
    let v = json(&analyse(&["--json", "--from", "4000", "--to", "6000", &path]).out);
    let t = &v["tracks"];
    assert_eq!((&t[0]["packets"], &t[0]["min_pts_ms"]), (&50.into(), &4000.0.into()));
    assert_eq!(t[0]["max_pts_ms"], 5960.0);
    assert_eq!(v["problems"], Value::Array(Vec::new()), "no keyframe need be at the start of a range");
    // Both tracks, though the source is left as soon as it is over.
    assert!(t[1]["packets"].as_u64().unwrap() > 90);
}

#[test]
fn a_stream_from_standard_input_is_read_as_it_comes_and_left_at_its_end() {
    let clip = std::fs::read(clip("tests/media/h264-ac3.ts")).unwrap();
    let whole = analyse_stdin(&["--json", "-"], &clip);
    assert_eq!(whole.code, 0);
    assert_eq!(json(&whole.out)["tracks"][0]["packets"], 100);

    // Packets are printed while the source goes on.
    let mut child = common::program(&["--detail", "packets", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut to = child.stdin.take().unwrap();
    let mut from = BufReader::new(child.stdout.take().unwrap());
    to.write_all(&clip[..clip.len() / 2 / 188 * 188]).unwrap();
    let mut line = String::new();
    while !line.starts_with("track 256: video H264") {
        line.clear();
        assert!(from.read_line(&mut line).unwrap() > 0, "it is described before its packets");
    }
    drop(to);
    let mut rest = String::new();
    from.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("\nTS, "), "the summary comes at the end");
    child.wait().unwrap();

    // An endless source is left at --to.
    let mut child = common::program(&["--json", "--to", "2000", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut to = child.stdin.take().unwrap();
    // It may have seen enough before all of it is written.
    let _ = to.write_all(&clip);
    let mut out = String::new();
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(json(&out)["tracks"].as_array().unwrap().len(), 2);
    drop(to);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = common::program(&["--detail", "hex", &clip("mist-server/assets/demo.flv")])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let out = child.wait_with_output().unwrap();
    assert_eq!((out.status.code(), out.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn what_cannot_be_read_is_said_in_one_line() {
    let source = clip("Cargo.toml");
    let dir = clip("tests");
    let flv = clip("tests/media/audio-only.flv");
    for (args, why) in [
        (&["/does/not/exist.flv"][..], "No such file"),
        (&[source.as_str()], "not a known format; it begins with \"[workspace]\\nmembers"),
        (&[dir.as_str()], "directory"),
        (&["--format", "nut", flv.as_str()], "no format nut; there are: FLV, TS"),
        (&["https://localhost/x.ts"], "curl -N URL"),
        (&["http://127.0.0.1:1/x.ts"], "Connection refused"),
        (&["ftp://localhost/x.ts"], "only http:// URLs"),
        (&["--format", "flv", source.as_str()], "no FLV signature"),
    ] {
        let out = analyse(args);
        assert_eq!(out.code, 2, "{args:?}");
        assert!(out.err.contains(why) && out.err.lines().count() == 1, "{args:?}: {}", out.err);
        let out = analyse(&[&["--json"], args].concat());
        let v = json(&out.out);
        assert_eq!(v["problems"].as_array().unwrap().len(), 1, "{v}");
    }
    assert_eq!(analyse_stdin(&["-"], b"").code, 2);
    assert_eq!(analyse(&[]).code, 2);
    let version = analyse(&["--version"]);
    assert_eq!((version.code, version.out.trim()), (0, concat!("mist-analyser ", env!("CARGO_PKG_VERSION"))));
    let help = analyse(&["--help"]);
    assert!(help.code == 0 && help.out.contains("Exit status: 0 sound, 1 problems found, 2 unreadable."));
}

/// The problems that are found in a clip that is changed tag by tag.
fn problems_of(change: impl Fn(&mut Vec<Vec<u8>>)) -> (i32, Vec<String>) {
    let data = std::fs::read(clip("mist-server/assets/demo.flv")).unwrap();
    let (mut at, mut tags) = (13, Vec::new());
    while at < data.len() {
        let len = u32::from_be_bytes([0, data[at + 1], data[at + 2], data[at + 3]]) as usize + 15;
        tags.push(data[at..at + len].to_vec());
        at += len;
    }
    change(&mut tags);
    let out = analyse_stdin(&["--json", "-"], &[&data[..13], &tags.concat()].concat());
    let v = json(&out.out);
    let ids = v["problems"].as_array().unwrap().iter().map(|p| p["id"].as_str().unwrap().to_owned());
    (out.code, ids.collect())
}

fn ms(tag: &[u8]) -> u32 {
    u32::from_be_bytes([tag[7], tag[4], tag[5], tag[6]])
}

fn shift(tag: &mut [u8], by: i64) {
    let [t3, t0, t1, t2] = u32::try_from(i64::from(ms(tag)) + by).unwrap().to_be_bytes();
    (tag[4], tag[5], tag[6], tag[7]) = (t0, t1, t2, t3);
}

#[test]
fn problems_of_timing_are_found_and_named() {
    assert_eq!(problems_of(|_| {}), (0, vec![]));
    let video = |t: &[u8]| t[0] == 9 && t[12] == 1;
    let gap = |tags: &mut Vec<Vec<u8>>| tags.iter_mut().filter(|t| ms(t) > 5000).for_each(|t| shift(t, 3000));
    assert_eq!(problems_of(gap), (1, vec!["gap".into(), "gap".into(), "wrong-duration".into()]));
    let back = |tags: &mut Vec<Vec<u8>>| {
        let t = tags.iter_mut().filter(|t| video(t)).nth(100).unwrap();
        shift(t, -200);
    };
    assert_eq!(problems_of(back), (1, vec!["time-back".into()]));
    let headless = |tags: &mut Vec<Vec<u8>>| {
        let first = tags.iter().position(|t| video(t)).unwrap();
        tags.remove(first);
    };
    assert_eq!(problems_of(headless), (1, vec!["no-keyframe-at-start".into()]));
    let cut = |tags: &mut Vec<Vec<u8>>| {
        let last = tags.last_mut().unwrap();
        last.truncate(12);
    };
    assert_eq!(problems_of(cut), (1, vec!["truncated".into()]));
    let empty = |tags: &mut Vec<Vec<u8>>| tags.truncate(1);
    assert_eq!(problems_of(empty), (1, vec!["no-media".into()]));
}

#[test]
#[cfg(target_os = "linux")]
fn memory_does_not_grow_with_the_input() {
    const LIMIT_KB: u64 = 32 * 1024;
    let clip = std::fs::read(clip("tests/media/h264-ac3.ts")).unwrap();
    let mut child =
        common::program(&["--json", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut to = child.stdin.take().unwrap();
    let rounds = 2 * LIMIT_KB * 1024 / clip.len() as u64;
    for _ in 0..rounds {
        to.write_all(&clip).unwrap();
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < LIMIT_KB, "{peak} kB");
    drop(to);
    let v = json(&String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap());
    // The clock starts anew every time, which is said, and counted where it is said too often.
    assert_eq!(v["problem_counts"]["time-back"], (rounds - 1) * 2);
    assert_eq!(v["tracks"][1]["packets"], rounds * 125);
    let gop = &v["tracks"][0]["gop"];
    assert_eq!((&gop["min_ms"], &gop["max_ms"]), (&2000.0.into(), &2000.0.into()));
    let rate = v["tracks"][1]["bit_rate"].as_f64().unwrap();
    assert!((rate - 48_000.0).abs() < 1000.0, "{rate}");
}

#[test]
fn the_manual_page_has_every_option_and_the_catalogue_is_listed() {
    let page = std::fs::read_to_string(clip("docs/mist-analyser.1")).unwrap().replace('\\', "");
    let help = analyse(&["--help"]).out;
    let options: Vec<_> =
        help.split_whitespace().filter(|w| w.starts_with("--")).map(|w| w.trim_end_matches(',')).collect();
    assert!(options.len() > 8, "{help}");
    for o in options {
        assert!(page.contains(o.trim_end_matches([';', '`'])), "{o}");
    }
    let list = analyse(&["--list-problems"]);
    assert_eq!(list.code, 0);
    assert!(list.out.lines().count() > 60 && list.out.contains("| `continuity` | error |"));
}

#[test]
fn one_track_alone_and_a_chart() {
    let path = clip("mist-server/assets/demo.flv");
    let v = json(&analyse(&["--json", "--track", "2", &path]).out);
    let tracks: Vec<_> = v["tracks"].as_array().unwrap().iter().map(|t| &t["id"]).collect();
    assert_eq!(tracks, [&Value::from(2)]);
    let svg = std::env::temp_dir().join(format!("mist-analyser-{}.svg", std::process::id()));
    let out = analyse(&["--chart", svg.to_str().unwrap(), &path]);
    let picture = std::fs::read_to_string(&svg);
    let _ = std::fs::remove_file(&svg);
    let picture = picture.unwrap();
    assert_eq!(out.code, 0);
    assert!(picture.starts_with("<svg ") && picture.matches("<path").count() > 20);
    assert_eq!(analyse(&["--chart", "/does/not/exist.svg", &path]).code, 2);
    let png = analyse(&["--chart", "chart.png", &path]);
    assert!(png.code == 2 && png.err.contains("written as SVG"), "{}", png.err);
}
