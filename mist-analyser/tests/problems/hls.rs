//! Problems of HLS.

use super::common::server::{ok, serve};
use super::common::{analyse, json};
use super::{Dir, Seen, read, want};
use std::sync::Mutex;

pub(crate) fn playlists(seen: &mut Seen) {
    let clip = read("tests/media/h264-ac3.ts");
    // Tables, then media from a place that is no keyframe on.
    let half = [&clip[..188 * 3], &clip[clip.len() / 2 / 188 * 188..]].concat();
    let dir = Dir::new("playlists");
    dir.put("all.ts", &clip);
    dir.put("half.ts", &half);
    dir.put("key", &[7; 16]);
    dir.put("short", &[7; 5]);
    let media = |name: &str, body: &str| {
        let text = format!("#EXTM3U\n#EXT-X-VERSION:4\n#EXT-X-TARGETDURATION:4\n{body}#EXT-X-ENDLIST\n");
        dir.put(name, text.as_bytes())
    };
    let run = |path: &str| analyse(&["--json", path]);
    media("whole.m3u8", "#EXTINF:4,\nall.ts\n");
    media("halves.m3u8", "#EXTINF:2,\nhalf.ts\n");
    for (what, body, w) in [
        ("a tag without its value", "#EXTINF:x,\nall.ts\n", want("hls-syntax")),
        ("a segment that isn't there", "#EXTINF:4,\nnothing.ts\n", want("hls-fetch")),
        ("longer than the target", "#EXTINF:6,\nall.ts\n", want("hls-target-duration")),
        ("the same once more", "#EXTINF:4,\nall.ts\n#EXTINF:4,\nall.ts\n", want("hls-discontinuity")),
        (
            "a key that isn't there",
            "#EXT-X-KEY:METHOD=AES-128,URI=\"nokey\"\n#EXTINF:4,\nall.ts\n",
            want("encrypted"),
        ),
        (
            "a key that is too short",
            "#EXT-X-KEY:METHOD=AES-128,URI=\"short\"\n#EXTINF:4,\nall.ts\n",
            want("hls-key"),
        ),
        (
            "a key for what isn't encrypted",
            "#EXT-X-KEY:METHOD=AES-128,URI=\"key\"\n#EXTINF:4,\nall.ts\n",
            want("hls-key"),
        ),
    ] {
        seen.check(what, &run(&media("case.m3u8", body)), &[w]);
    }
    // Behind a segment that can't be read, and where a discontinuity begins with one, nothing goes on.
    let third = clip.len() / 188 / 3 * 188;
    for (i, part) in clip.chunks(third).take(3).enumerate() {
        dir.put(&format!("part{i}.ts"), part);
    }
    let locked = "#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"skd://x\"\n";
    let clear = "#EXT-X-KEY:METHOD=NONE\n";
    for (what, body) in [
        (
            "a part that is locked",
            format!("#EXTINF:0.6,\npart0.ts\n{locked}#EXTINF:1,\npart1.ts\n{clear}#EXTINF:1,\npart2.ts\n"),
        ),
        (
            "a discontinuity that is locked",
            format!(
                "#EXTINF:4,\nall.ts\n{locked}#EXT-X-DISCONTINUITY\n#EXTINF:4,\nall.ts\n{clear}#EXTINF:4,\nall.ts\n"
            ),
        ),
    ] {
        let out = run(&media("locked.m3u8", &body));
        seen.check(what, &out, &[want("encrypted")]);
        let counts = &json(&out.out)["problem_counts"];
        for id in ["continuity", "pcr-jump", "hls-duration", "hls-discontinuity", "time-back"] {
            assert!(counts[id].is_null(), "{what}: {counts}");
        }
    }
    let old =
        dir.put("old.m3u8", b"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4.0,\nall.ts\n#EXT-X-ENDLIST\n");
    seen.check("decimals in version 1", &run(&old), &[want("hls-version")]);
    let cut = read("tests/media/h264-ac3.ts").len() / 188 / 2;
    dir.put("a.ts", &clip[..cut * 188]);
    dir.put("b.ts", &half);
    let wrong = media("wrong.m3u8", "#EXTINF:3,\na.ts\n#EXTINF:1,\nb.ts\n");
    seen.check("EXTINF that is not so", &run(&wrong), &[want("hls-duration"), want("hls-segment-start")]);
    let master = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000\nwhole.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=900000\nhalves.m3u8\n";
    let master = dir.put("master.m3u8", master.as_bytes());
    seen.check("unequal variants", &run(&master), &[want("hls-bandwidth"), want("hls-variants")]);
    let lines = (0..70).map(|i| format!("#EXT-X-STREAM-INF:BANDWIDTH=1\n{i}.m3u8\n"));
    let many = dir.put("many.m3u8", format!("#EXTM3U\n{}", lines.collect::<String>()).as_bytes());
    seen.check("seventy variants", &run(&many), &[want("limit")]);
}

/// Live playlists: what the server says changes from load to load, and a target of 0 s leaves nothing to wait for.
pub(crate) fn live_playlists(seen: &mut Seen) {
    let clip = read("tests/media/h264-ac3.ts");
    let loads = Mutex::new(0);
    let (url, _) = serve(move |path, _, s| {
        if path.ends_with(".ts") {
            return ok(s, &clip);
        }
        let mut n = loads.lock().unwrap();
        *n += 1;
        let first = if path == "/back.m3u8" && *n > 1 { 3 } else { 5 };
        let end = if path == "/back.m3u8" && *n > 1 { "#EXT-X-ENDLIST\n" } else { "" };
        let text = format!(
            "#EXTM3U\n#EXT-X-TARGETDURATION:0\n#EXT-X-MEDIA-SEQUENCE:{first}\n#EXTINF:0,\nall.ts\n{end}"
        );
        ok(s, text.as_bytes());
    });
    let out = analyse(&["--json", &format!("{url}/back.m3u8")]);
    seen.check("numbers that go back", &out, &[want("hls-sequence")]);
    let out = analyse(&["--json", &format!("{url}/stall.m3u8")]);
    seen.check("a server that has nothing new", &out, &[want("hls-stall")]);
}
