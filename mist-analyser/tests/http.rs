//! Sources behind an HTTP server, and playlists from there.

mod common;

use common::server::{ok, send, serve};
use common::{analyse, clip, json};
use serde_json::Value;
use std::collections::HashMap;
use std::io::Write;
use std::net::TcpStream;
use std::sync::Mutex;

/// With ranges, as file servers do.
fn file(stream: &mut TcpStream, range: Option<(u64, Option<u64>)>, body: &[u8]) {
    match range {
        None => send(
            stream,
            &format!("HTTP/1.1 200 OK\r\nAccept-Ranges: bytes\r\nContent-Length: {}\r\n\r\n", body.len()),
            body,
        ),
        Some((from, to)) => {
            let to = to.map_or(body.len(), |t| t as usize + 1).min(body.len());
            let part = &body[from as usize..to];
            let head = format!(
                "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {from}-{}/{}\r\nContent-Length: {}\r\n\r\n",
                to - 1,
                body.len(),
                part.len()
            );
            send(stream, &head, part);
        }
    }
}

fn chunked(stream: &mut TcpStream, body: &[u8], size: usize) {
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for c in body.chunks(size) {
        let _ = write!(stream, "{:x};ext=1\r\n", c.len());
        let _ = stream.write_all(c);
        let _ = stream.write_all(b"\r\n");
    }
    let _ = stream.write_all(b"0\r\n\r\n");
}

#[test]
fn bodies_of_every_kind_read_like_the_file() {
    let path = clip("tests/media/h264-ac3.ts");
    let data = std::fs::read(&path).unwrap();
    let want = json(&analyse(&["--json", &path]).out);
    let (url, log) = serve(move |path, _, s| match path {
        "/length.ts" => ok(s, &data),
        "/chunked.ts" => chunked(s, &data, 1000),
        "/tiny%20chunks.ts" => chunked(s, &data, 7),
        "/close.ts" => send(s, "HTTP/1.0 200 OK\r\n\r\n", &data),
        "/moved" => {
            send(s, "HTTP/1.1 302 Found\r\nLocation: /else/../length.ts\r\nContent-Length: 0\r\n\r\n", b"");
        }
        "/hello" => send(s, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", &data),
        _ => send(s, "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\n", b"gone"),
    });
    for name in ["length.ts", "chunked.ts", "tiny chunks.ts", "close.ts", "moved", "hello"] {
        let out = analyse(&["--json", &format!("{url}/{name}")]);
        assert_eq!((out.code, json(&out.out)), (0, want.clone()), "{name}: {}", out.err);
    }
    assert!(log.lock().unwrap().contains(&"/length.ts".to_owned()));
    let out = analyse(&[&format!("{url}/nothing")]);
    assert!(out.code == 2 && out.err.contains("the server answers 404"), "{}", out.err);
}

#[test]
fn servers_that_lie_end_with_a_word() {
    let data = std::fs::read(clip("tests/media/h264-ac3.ts")).unwrap();
    let (url, log) = serve(move |path, _, s| match path {
        "/loop" => send(s, "HTTP/1.1 301 Moved\r\nLocation: /loop\r\n\r\n", b""),
        "/short" => send(s, "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", &data[..188 * 400]),
        "/negative" => send(s, "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", &data),
        "/chunk" => {
            send(s, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", &data);
        }
        "/gzip" => send(s, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", &data),
        "/head" => {
            let line = format!("X: {}\r\n", "y".repeat(1000));
            send(s, &format!("HTTP/1.1 200 OK\r\n{}", line.repeat(100)), b"");
        }
        _ => send(s, "SSH-2.0-OpenSSH\r\n", b""),
    });
    for (path, why) in [
        ("loop", "too many redirects"),
        ("negative", "Content-Length"),
        ("chunk", "chunk size"),
        ("gzip", "compressed"),
        ("head", "doesn't end"),
        ("ssh", "not an HTTP server"),
    ] {
        let out = analyse(&[&format!("{url}/{path}")]);
        assert!(out.code == 2 && out.err.contains(why), "{path}: {} {}", out.code, out.err);
    }
    assert_eq!(log.lock().unwrap().iter().filter(|p| *p == "/loop").count(), 6);
    // What came before the end counts.
    let out = analyse(&["--json", &format!("{url}/short")]);
    let v = json(&out.out);
    assert_eq!((out.code, &v["problem_counts"]["truncated"]), (1, &1.into()), "{}", out.err);
    assert!(v["tracks"][0]["packets"].as_u64() > Some(10));
}

#[test]
fn a_container_that_seeks_asks_for_ranges() {
    // Long enough that what lies between is not simply read.
    let Ok(flv) = std::fs::read(clip("mist-server/assets/demo.flv")) else { return };
    let (url, _) = serve(move |_, range, s| file(s, range, &flv));
    let out = analyse(&["--json", &format!("{url}/demo.flv")]);
    assert_eq!(out.code, 0, "{}", out.err);
    assert_eq!(json(&out.out)["tracks"][0]["packets"], 400);
}

/// Cuts a transport stream before its keyframes: PES packets of the video PID with random access.
fn segments(data: &[u8]) -> Vec<Vec<u8>> {
    let mut out: Vec<Vec<u8>> = Vec::new();
    let tables = &data[..188 * 3];
    for p in data.chunks(188) {
        let key = p[1] & 0x5F == 0x41 && p[2] == 0 && p[3] & 0x20 != 0 && p[5] & 0x40 != 0;
        if key || out.is_empty() {
            out.push(if out.is_empty() { Vec::new() } else { tables.to_vec() });
        }
        out.last_mut().unwrap().extend_from_slice(p);
    }
    // The first holds only what comes before the first keyframe.
    let first = out.remove(0);
    out[0].splice(0..0, first);
    out
}

struct Site(HashMap<String, Vec<u8>>);

impl Site {
    fn new(playlist: &str, media: &str) -> Self {
        let data = std::fs::read(clip("tests/media/h264-ac3.ts")).unwrap();
        let mut files: HashMap<_, _> =
            (0..).zip(segments(&data)).map(|(i, s): (u32, _)| (format!("/v/{i}.ts"), s)).collect();
        files.insert("/all.ts".to_owned(), data);
        files.insert("/index.m3u8".to_owned(), playlist.as_bytes().to_vec());
        files.insert("/v/media.m3u8".to_owned(), media.as_bytes().to_vec());
        Self(files)
    }

    fn analyse(self, args: &[&str]) -> (i32, Value) {
        let (url, _) = serve(move |path, range, s| match self.0.get(path) {
            Some(body) => file(s, range, body),
            None => send(s, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", b""),
        });
        let out = analyse(&[&["--json", &format!("{url}/index.m3u8")], args].concat());
        (out.code, json(&out.out))
    }
}

fn ids(v: &Value) -> Vec<&str> {
    v["problem_counts"].as_object().unwrap().keys().map(String::as_str).collect()
}

const MASTER: &str = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=300000,RESOLUTION=192x108\nv/media.m3u8\n";

#[test]
fn playlists_are_followed_to_their_segments() {
    let media = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n0.ts\n#EXTINF:2,\n1.ts\n#EXT-X-ENDLIST\n";
    let (code, v) = Site::new(MASTER, media).analyse(&[]);
    assert_eq!((code, ids(&v)), (0, vec![]), "{v}");
    assert_eq!((&v["format"], v["tracks"].as_array().unwrap().len()), (&"HLS".into(), 2));
    assert_eq!(v["tracks"][0]["packets"], 100);
    // Byte ranges of one file.
    let data = std::fs::read(clip("tests/media/h264-ac3.ts")).unwrap();
    // Without the tables that were put before it.
    let first = segments(&data)[0].len() - 3 * 188;
    let ranges = format!(
        "#EXTM3U\n#EXT-X-VERSION:4\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n#EXT-X-BYTERANGE:{first}@0\n/all.ts\n#EXTINF:2,\n#EXT-X-BYTERANGE:{}\n/all.ts\n#EXT-X-ENDLIST\n",
        data.len() - first
    );
    let (code, v) = Site::new(MASTER, &ranges).analyse(&[]);
    assert_eq!((code, ids(&v)), (0, vec![]), "{v}");
    assert_eq!(v["tracks"][0]["packets"], 100);
}

#[test]
fn faults_of_playlists_have_names() {
    let list =
        |body: &str| format!("#EXTM3U\n#EXT-X-VERSION:4\n#EXT-X-TARGETDURATION:2\n{body}#EXT-X-ENDLIST\n");
    let both = "#EXTINF:2,\n0.ts\n#EXTINF:2,\n1.ts\n";
    let low = MASTER.replace("300000", "30000");
    let missing = format!("{MASTER}#EXT-X-STREAM-INF:BANDWIDTH=400000\nv/nothing.m3u8\n");
    let two = format!("{MASTER}#EXT-X-STREAM-INF:BANDWIDTH=400000\nother.m3u8\n");
    for (master, media, want) in [
        (MASTER, list("#EXTINF:2,\n0.ts\n#EXTINF:2,\n9.ts\n"), &["hls-fetch"][..]),
        (&missing, list(both), &["hls-fetch"]),
        (&low, list(both), &["hls-bandwidth"]),
        (MASTER, list("#EXTINF:2,\n0.ts\n#EXTINF:3.6,\n1.ts\n"), &["hls-target-duration"]),
        (MASTER, list("#EXTINF:1.1,\n0.ts\n#EXTINF:2,\n1.ts\n"), &["hls-duration"]),
        (MASTER, list("#EXTINF:2,\n1.ts\n#EXTINF:2,\n0.ts\n"), &["hls-discontinuity", "time-back"]),
        (
            MASTER,
            list("#EXTINF:2,\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n0.ts\n#EXTINF:2,\n1.ts\n"),
            &["encrypted", "no-media"],
        ),
        (MASTER, list(both).replace("VERSION:4", "VERSION:1").replace("2,", "2.0,"), &["hls-version"]),
        (MASTER, list("0.ts\n#EXTINF:2,\n1.ts\n"), &["hls-syntax"]),
        (MASTER, list("#EXTINF:2,\n/index.m3u8\n"), &["no-media", "unsupported"]),
        (&two, list(both), &["hls-variants"]),
    ] {
        let mut site = Site::new(master, &media);
        site.0.insert(
            "/other.m3u8".to_owned(),
            list("#EXTINF:4,\n/all.ts\n").replace("DURATION:2", "DURATION:4").into_bytes(),
        );
        let (code, v) = site.analyse(&[]);
        let got: Vec<_> = ids(&v).into_iter().filter(|i| !["continuity", "pcr-jump"].contains(i)).collect();
        assert!(want.iter().all(|w| got.contains(w)), "{media}: {got:?}");
        assert!(got.len() <= want.len() + 1, "{media}: {got:?}");
        assert_eq!(code, i32::from(want != ["hls-version"]), "{media}");
    }
}

#[test]
fn a_live_playlist_is_followed_until_it_ends() {
    let data = std::fs::read(clip("tests/media/h264-ac3.ts")).unwrap();
    let parts = segments(&data);
    let loads = Mutex::new(0u32);
    let (url, log) = serve(move |path, _, s| match path {
        "/live.m3u8" => {
            let mut n = loads.lock().unwrap();
            *n += 1;
            let mut text =
                "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:7\n#EXTINF:2,\n0.ts\n".to_owned();
            if *n > 2 {
                text.push_str("#EXTINF:2,\n1.ts\n#EXT-X-ENDLIST\n");
            }
            ok(s, text.as_bytes());
        }
        "/0.ts" => chunked(s, &parts[0], 5000),
        "/1.ts" => ok(s, &parts[1]),
        _ => {}
    });
    let out = analyse(&["--json", &format!("{url}/live.m3u8")]);
    assert_eq!(out.code, 0, "{} {}", out.out, out.err);
    assert_eq!(json(&out.out)["tracks"][0]["packets"], 100);
    let log = log.lock().unwrap();
    assert_eq!(log.iter().filter(|p| *p == "/live.m3u8").count(), 3);
    assert_eq!(log.iter().filter(|p| *p == "/0.ts").count(), 1, "no segment is read twice");
}

#[test]
fn a_live_playlist_that_changes_its_past_is_reported() {
    let data = std::fs::read(clip("tests/media/h264-ac3.ts")).unwrap();
    let parts = segments(&data);
    let loads = Mutex::new(0usize);
    let (url, _) = serve(move |path, _, s| {
        if path != "/live.m3u8" {
            return ok(s, &parts[usize::from(path != "/0.ts")]);
        }
        let mut n = loads.lock().unwrap();
        let text = [
            "#EXT-X-MEDIA-SEQUENCE:7\n#EXTINF:1,\n0.ts\n",
            "#EXT-X-MEDIA-SEQUENCE:7\n#EXTINF:1,\nx.ts\n",
            "#EXT-X-MEDIA-SEQUENCE:5\n#EXTINF:1,\nx.ts\n",
            "#EXT-X-MEDIA-SEQUENCE:5\n#EXT-X-DISCONTINUITY-SEQUENCE:3\n#EXTINF:1,\nx.ts\n#EXT-X-ENDLIST\n",
        ][(*n).min(3)];
        *n += 1;
        ok(s, format!("#EXTM3U\n#EXT-X-TARGETDURATION:1\n{text}").as_bytes());
    });
    let v = json(&analyse(&["--json", &format!("{url}/live.m3u8")]).out);
    assert_eq!(v["problem_counts"]["hls-sequence"], 2, "{v}");
    assert_eq!(v["problem_counts"]["hls-discontinuity"], 1, "{v}");
}
