//! Recorded dialogues.

use super::common::{analyse, analyse_stdin, json};
use super::corpus;

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
        let out = analyse_stdin(&["--json", "--format", "rtmp", "-"], &whole[..len]);
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
    let v = json(&analyse_stdin(&["--json", "--format", "rtsp", "-"], &cut).out);
    assert_eq!(v["problem_counts"]["rtp-loss"], 1, "{v}");
    let lost = v["problems"].as_array().unwrap().iter().find(|p| p["id"] == "rtp-loss").unwrap();
    assert!(lost["track"] == 1 && lost["time_ms"].is_number() && lost["offset"] == hole, "{lost}");
    // Cut anywhere it ends with what was there.
    for len in [0, 1, 30, 200, data.len() / 2, data.len() - 1] {
        let out = analyse_stdin(&["--json", "--format", "rtsp", "-"], &data[..len]);
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
