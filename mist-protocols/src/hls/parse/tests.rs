use super::*;
use std::path::PathBuf;

fn media(text: &str) -> MediaPlaylist {
    match parse(text.as_bytes()) {
        Ok(Playlist::Media(m)) => m,
        other => panic!("{other:?}"),
    }
}

fn multivariant(text: &str) -> Multivariant {
    match parse(text.as_bytes()) {
        Ok(Playlist::Multivariant(m)) => m,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_tag_of_a_media_playlist() {
    let m = media(
        "#EXTM3U\r\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:4\n#EXT-X-PLAYLIST-TYPE:EVENT\n\
         #EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-START:TIME-OFFSET=-3.5,PRECISE=YES\n\
         #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.0,CAN-SKIP-UNTIL=24,HOLD-BACK=12,CAN-SKIP-DATERANGES=YES\n\
         #EXT-X-PART-INF:PART-TARGET=0.33334\n#EXT-X-MEDIA-SEQUENCE:266\n#EXT-X-DISCONTINUITY-SEQUENCE:7\n\
         #EXT-X-SKIP:SKIPPED-SEGMENTS=3,RECENTLY-REMOVED-DATERANGES=\"a\tb\"\n\
         #EXT-X-MAP:URI=\"init.mp4\",BYTERANGE=\"600@20\"\n\
         #EXT-X-KEY:METHOD=AES-128,URI=\"k\",IV=0x0102\n\
         #EXT-X-KEY:METHOD=AES-128,URI=\"k2\",KEYFORMAT=\"com.x\",KEYFORMATVERSIONS=\"1/2\"\n\
         #EXT-X-BITRATE:800\n\
         #EXT-X-PROGRAM-DATE-TIME:2019-02-14T02:13:36.106Z\n\
         #EXTINF:4.00008, a title, with comma\n#EXT-X-BYTERANGE:1000@50\nfile.mp4\n\
         # a comment\n\
         #EXTINF:4,\n#EXT-X-BYTERANGE:500\nfile.mp4\n\
         #EXT-X-DISCONTINUITY\n#EXT-X-KEY:METHOD=NONE\n#EXT-X-GAP\n\
         #EXT-X-PART:DURATION=0.33334,URI=\"p0\",INDEPENDENT=YES,BYTERANGE=\"10@0\"\n\
         #EXT-X-PART:DURATION=0.2,URI=\"p0\",BYTERANGE=\"5\",GAP=YES\n\
         #EXTINF:3,\nlast.mp4\n\
         #EXT-X-PART:DURATION=0.33334,URI=\"p1\"\n\
         #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p2\",BYTERANGE-START=5\n\
         #EXT-X-RENDITION-REPORT:URI=\"../1M/w.php\",LAST-MSN=273,LAST-PART=3\n\
         #EXT-X-DATERANGE:ID=\"splice\",CLASS=\"c\",START-DATE=\"2014-03-05T11:15:00Z\",PLANNED-DURATION=59.993,SCTE35-OUT=0xFC,X-A=\"b\",END-ON-NEXT=YES,CUE=\"PRE,ONCE\"\n\
         #EXT-X-UNKNOWN:THING\n#EXT-X-ENDLIST\n",
    );
    assert_eq!(m.problems, []);
    assert_eq!((m.version, m.needs_version, m.ended, m.kind), (9, 9, true, Some(PlaylistType::Event)));
    assert_eq!((m.media_sequence, m.discontinuity_sequence), (266, 7));
    assert_eq!(m.start, Some(Start { offset: Duration::from_millis(-3500), precise: true }));
    let control = m.server_control.unwrap();
    assert!(control.can_block_reload && control.can_skip_dateranges);
    assert_eq!(control.hold_back, Some(Duration::from_secs(12)));
    assert_eq!(m.skipped.as_ref().unwrap().removed_dateranges, ["a", "b"]);
    let [a, b, c] = &m.segments[..] else { panic!("{:?}", m.segments) };
    assert_eq!((a.number, b.number, c.number), (269, 270, 271));
    assert_eq!((a.discontinuity_number, c.discontinuity_number, c.discontinuity, c.gap), (7, 8, true, true));
    assert_eq!(a.title, "a title, with comma");
    assert_eq!(a.date, Some(1_550_110_416_106));
    assert_eq!(a.byte_range, Some(ByteRange { offset: 50, len: 1000 }));
    assert_eq!(b.byte_range, Some(ByteRange { offset: 1050, len: 500 }));
    assert_eq!(a.map.as_ref().unwrap().byte_range, Some(ByteRange { offset: 20, len: 600 }));
    assert_eq!((a.keys.len(), c.keys.len(), a.bitrate), (2, 0, Some(800)));
    assert_eq!((a.keys[0].iv.unwrap()[14..].to_vec(), a.keys[1].format.as_str()), (vec![1, 2], "com.x"));
    assert_eq!(c.parts.len(), 2);
    assert_eq!(c.parts[1].byte_range, Some(ByteRange { offset: 10, len: 5 }));
    assert_eq!((m.parts.len(), m.preload_hints[0].offset), (1, 5));
    assert_eq!(m.rendition_reports[0].last_part, Some(3));
    let d = &m.date_ranges[0];
    assert_eq!((d.scte35[1].as_str(), d.client[0].1.as_str(), d.end_on_next), ("0xFC", "b", true));
    assert_eq!(m.duration(), a.duration + b.duration + c.duration);
}

#[test]
fn every_tag_of_a_multivariant_playlist() {
    let m = multivariant(
        "#EXTM3U\n#EXT-X-VERSION:8\n#EXT-X-DEFINE:NAME=\"host\",VALUE=\"cdn\"\n\
         #EXT-X-CONTENT-STEERING:SERVER-URI=\"/steer\",PATHWAY-ID=\"A\"\n\
         #EXT-X-SESSION-DATA:DATA-ID=\"t\",VALUE=\"v\",LANGUAGE=\"en\"\n\
         #EXT-X-SESSION-KEY:METHOD=SAMPLE-AES,URI=\"skd://x\"\n\
         #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"English\",LANGUAGE=\"en\",DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"2\",URI=\"{$host}/a.m3u8\"\n\
         #EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"c\",NAME=\"CC\",INSTREAM-ID=\"CC1\"\n\
         #EXT-X-STREAM-INF:BANDWIDTH=1280000,AVERAGE-BANDWIDTH=1000000,CODECS=\"avc1.4d401f,mp4a.40.2\",RESOLUTION=1280x720,FRAME-RATE=29.97,AUDIO=\"a\",SCORE=2.5\n\
         {$host}/low.m3u8\n\
         #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=86000,URI=\"i.m3u8\",VIDEO-RANGE=SDR\n",
    );
    assert_eq!(m.problems, []);
    let [v, i] = &m.variants[..] else { panic!() };
    assert_eq!((v.uri.as_str(), v.bandwidth, v.resolution), ("cdn/low.m3u8", 1_280_000, Some((1280, 720))));
    assert_eq!((v.frame_rate, v.score, v.audio.as_str()), (Some(29.97), Some(2.5), "a"));
    assert!(i.i_frames && i.uri == "i.m3u8" && i.video_range == "SDR");
    assert_eq!(m.renditions[0].uri.as_deref(), Some("cdn/a.m3u8"));
    assert_eq!((m.steering.unwrap().pathway.as_str(), m.session_keys.len()), ("A", 1));
    // A media playlist imports what this one defines.
    let context = Context { query: "tok=1%202", variables: &m.variables };
    let text = b"#EXTM3U\n#EXT-X-DEFINE:IMPORT=\"host\"\n#EXT-X-DEFINE:QUERYPARAM=\"tok\"\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{$host}/{$tok}/{$gone}.ts\n";
    let Ok(Playlist::Media(p)) = parse_in(text, context) else { panic!() };
    assert_eq!(p.segments[0].uri, "cdn/1 2/.ts");
    assert_eq!(p.problems.len(), 1);
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    let wrong = |text: &str| {
        let p = parse(format!("#EXTM3U\n{text}").as_bytes()).unwrap();
        p.problems().iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    for (text, want) in [
        ("#EXTINF:2,\na.ts", "line 3: EXT-X-TARGETDURATION: missing: the tag"),
        (
            "#EXT-X-TARGETDURATION:x\n#EXTINF:1,\na",
            "line 2: EXT-X-TARGETDURATION: malformed: a number of seconds",
        ),
        ("#EXT-X-TARGETDURATION:2\na.ts", "line 3: EXTINF: missing: duration of a segment"),
        ("#EXT-X-TARGETDURATION:2\n#EXTINF:-1,\na.ts", "line 3: EXTINF: malformed: a number of seconds"),
        ("#EXT-X-TARGETDURATION:2\n#EXTINF:1,\n", "line 4: EXTINF: missing: URI of a segment"),
        (
            "#EXT-X-TARGETDURATION:2\n#EXT-X-TARGETDURATION:2\n",
            "line 3: EXT-X-TARGETDURATION: given more than once",
        ),
        (
            "#EXT-X-TARGETDURATION:2\n#EXTINF:1,\n#EXT-X-BYTERANGE:5\na",
            "line 5: EXT-X-BYTERANGE: malformed: no range before it to go on from",
        ),
        (
            "#EXT-X-TARGETDURATION:2\n#EXTINF:1,\na\n#EXT-X-MEDIA-SEQUENCE:4\n",
            "line 5: EXT-X-MEDIA-SEQUENCE: misplaced: after the first segment",
        ),
        ("#EXT-X-STREAM-INF:CODECS=\"a\"\nx", "line 2: EXT-X-STREAM-INF: missing: BANDWIDTH"),
        ("#EXT-X-STREAM-INF:BANDWIDTH=1\n", "line 3: EXT-X-STREAM-INF: missing: URI of a variant"),
        (
            "#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"s\",NAME=\"n\"",
            "line 2: EXT-X-MEDIA: missing: URI of subtitles",
        ),
    ] {
        assert_eq!(wrong(text), want, "{text}");
    }
    let fatal = |text: &[u8]| parse(text).unwrap_err();
    assert_eq!(fatal(b"").kind, ParseErrorKind::NotPlaylist);
    assert_eq!(fatal(b"#EXTM3U8x\n").kind, ParseErrorKind::NotPlaylist);
    assert_eq!(fatal(b"#EXTM3U\n\xff\n"), ParseError { line: 2, tag: "", kind: ParseErrorKind::NotUtf8 });
    assert_eq!(
        fatal(b"#EXTM3U\n#EXTINF:1,\na\n#EXT-X-STREAM-INF:BANDWIDTH=1\nb\n").kind,
        ParseErrorKind::Mixed
    );
}

#[test]
fn limits_are_reached() {
    let limit = |text: String| match parse(text.as_bytes()).unwrap_err().kind {
        ParseErrorKind::Limit(what) => what,
        other => panic!("{other}"),
    };
    assert_eq!(limit(format!("#EXTM3U\n{}", "\n".repeat(limits::MAX_BYTES))), "bytes of a playlist");
    assert_eq!(limit(format!("#EXTM3U\n{}", "x".repeat(limits::MAX_LINE + 1))), "bytes of a line");
    let many = |line: &str, n: usize| format!("#EXTM3U\n{}", line.repeat(n + 1));
    assert_eq!(limit(many("#EXTINF:1,\na\n", limits::MAX_SEGMENTS)), "segments");
    assert_eq!(limit(many("#EXT-X-PART:URI=\"p\",DURATION=1\n", limits::MAX_PARTS)), "parts");
    assert_eq!(limit(many("#EXT-X-STREAM-INF:BANDWIDTH=1\na\n", limits::MAX_ENTRIES)), "variants");
    assert_eq!(limit(many("#EXT-X-DATERANGE:ID=\"a\"\n", limits::MAX_ENTRIES)), "date ranges");
    let keys: String = (0..=limits::MAX_KEYS)
        .map(|i| format!("#EXT-X-KEY:METHOD=X,URI=\"k\",KEYFORMAT=\"{i}\"\n"))
        .collect();
    assert_eq!(limit(format!("#EXTM3U\n{keys}")), "keys of a segment");
    let defines: String =
        (0..=limits::MAX_VARIABLES).map(|i| format!("#EXT-X-DEFINE:NAME=\"{i}\",VALUE=\"v\"\n")).collect();
    assert_eq!(limit(format!("#EXTM3U\n{defines}")), "variables");
    // A variable that is used again and again.
    let bomb = format!(
        "#EXTM3U\n#EXT-X-DEFINE:NAME=\"a\",VALUE=\"{}\"\n{}\n",
        "x".repeat(60_000),
        "{$a}".repeat(15_000)
    );
    assert_eq!(limit(bomb), "bytes of a line");
    let p = parse(format!("#EXTM3U\n{}", "a\n".repeat(1000)).as_bytes()).unwrap();
    assert_eq!(p.problems().len(), limits::MAX_PROBLEMS);
    let attributes: String = (0..=limits::MAX_ENTRIES).map(|i| format!("A{i}=1,")).collect();
    assert!(parse(format!("#EXTM3U\n#EXT-X-MAP:{attributes}\n").as_bytes()).is_err(), "a line too long");
}

/// Every playlist that we have from elsewhere, beside another parser.
#[test]
#[allow(clippy::disallowed_methods, reason = "tests read the corpus")]
#[allow(clippy::print_stdout, reason = "tells what was tested")]
fn playlists_of_the_corpus_read_as_others_read_them() {
    fn walk(dir: PathBuf, out: &mut Vec<PathBuf>) {
        let Ok(entries) = std::fs::read_dir(dir) else { return };
        for e in entries.flatten() {
            let path = e.path();
            if path.is_dir() {
                walk(path, out);
            } else if path.extension().is_some_and(|e| e == "m3u8") {
                out.push(path);
            }
        }
    }
    let mut files = Vec::new();
    walk(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus"), &mut files);
    if files.is_empty() {
        println!("skipped: no corpus");
        return;
    }
    let mut compared = 0;
    for f in &files {
        let data = std::fs::read(f).unwrap();
        fuzz(&data);
        let ours = parse(&data);
        let Ok((_, theirs)) = m3u8_rs::parse_playlist(&data) else { continue };
        match (ours, theirs) {
            (Ok(Playlist::Media(a)), m3u8_rs::Playlist::MediaPlaylist(b)) => {
                let theirs: Vec<_> = b.segments.iter().map(|s| s.uri.as_str()).collect();
                let ours: Vec<_> = a.segments.iter().map(|s| s.uri.as_str()).collect();
                if a.problems.is_empty() && !ours.iter().any(|u| u.contains(' ')) {
                    assert_eq!(ours, theirs, "{f:?}");
                    assert_eq!(a.media_sequence, b.media_sequence, "{f:?}");
                    compared += 1;
                }
            }
            (Ok(Playlist::Multivariant(a)), m3u8_rs::Playlist::MasterPlaylist(b)) => {
                if !a.problems.is_empty() {
                    continue;
                }
                assert_eq!(a.variants.len(), b.variants.len(), "{f:?}");
                for (v, w) in a.variants.iter().zip(&b.variants) {
                    assert_eq!((&v.uri, v.bandwidth), (&w.uri, w.bandwidth), "{f:?}");
                }
                compared += 1;
            }
            (Err(_), _) => {}
            (ours, theirs) => panic!("{f:?}: {ours:?} {theirs:?}"),
        }
    }
    println!("{} files, {compared} compared", files.len());
    assert!(compared > 50, "{compared}");
}

proptest::proptest! {
    #[test]
    fn any_bytes(data in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..2000)) {
        fuzz(&data);
        fuzz(&[b"#EXTM3U\n", &data[..]].concat());
    }

    #[test]
    fn any_lines(lines in proptest::collection::vec("#EXT(INF|-X-(KEY|MAP|PART|BYTERANGE|DATERANGE|SKIP|DEFINE|MEDIA|STREAM-INF)):[A-Z0-9=@.,\"{}$-]{0,40}|[a-z{$}/.]{0,10}", 0..40)) {
        fuzz(format!("#EXTM3U\n{}", lines.join("\n")).as_bytes());
    }
}
