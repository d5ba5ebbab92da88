use super::*;
use crate::hls::PROTOCOL;
use bytes::Bytes;
use mist_core::buffer::{BufferOptions, Segment};
use mist_core::media::{Lang, Packet};
use mist_core::time::Timestamp;
use proptest::prelude::*;
use std::collections::{HashMap, VecDeque};

pub(crate) fn track(id: u32, codec: Codec) -> TrackInfo {
    let (init, params): (&'static [u8], _) = match codec.kind() {
        Kind::Video => (&[1, 0x42, 0xc0, 0x1f], Params::Video { width: 1280, height: 720, fpks: 25_000 }),
        Kind::Audio => (&[0x11, 0x90], Params::Audio { rate: 48_000, channels: 2, bits: 16 }),
        _ => (&[], Params::Other),
    };
    TrackInfo::new(TrackId(id), codec, Bytes::from_static(init), params)
}

fn now(ms: i64) -> Now {
    #[expect(clippy::disallowed_methods, reason = "a test's virtual time starts somewhere")]
    static START: std::sync::LazyLock<std::time::Instant> = std::sync::LazyLock::new(std::time::Instant::now);
    let d = std::time::Duration::from_millis(ms.unsigned_abs());
    Now { instant: *START + d, unix: std::time::Duration::from_secs(1_795_000_000) + d }
}

/// A publisher whose wall clock runs with its media.
pub(crate) struct Publisher {
    pub(crate) buffer: StreamBuffer,
    pub(crate) wall: i64,
}

impl Publisher {
    pub(crate) fn new(options: BufferOptions) -> Self {
        Self { buffer: StreamBuffer::new(options), wall: 0 }
    }

    pub(crate) fn with(tracks: &[TrackInfo]) -> Self {
        let mut p = Self::new(BufferOptions::default());
        p.buffer.source_started(false);
        for t in tracks {
            p.buffer.set_track(Arc::new(t.clone()));
        }
        p
    }

    pub(crate) fn packet(&mut self, track: u32, ms: i64, key: bool, size: usize) {
        let (dts, now) = (Timestamp::from_millis(ms), now(self.wall));
        let data = Bytes::from(vec![0; size]);
        let (cts, duration) = (Duration::ZERO, Duration::ZERO);
        self.buffer.push(Packet { track: TrackId(track), dts, cts, duration, key, data }, now);
    }

    /// Every track gets a packet each 40 ms; those of video that start a GOP of `gop` frames are keyframes.
    pub(crate) fn play(&mut self, from: i64, frames: i64, gop: i64) {
        let tracks: Vec<_> = self.buffer.tracks().map(|t| (t.id.0, t.codec.kind())).collect();
        for n in 0..frames {
            for (id, kind) in &tracks {
                let size = if *kind == Kind::Video { 10_000 } else { 640 };
                self.packet(*id, from + n * 40, *kind != Kind::Video || n % gop == 0, size);
            }
            self.wall += 40;
        }
    }

    pub(crate) fn ask(&self, rest: &str, query: &str) -> Reply {
        self.ask_with(rest, query, &[])
    }

    pub(crate) fn ask_with(&self, rest: &str, query: &str, options: &[(String, String)]) -> Reply {
        Hls.reply(&HttpRequest { stream: "live", rest, query, options }, &self.buffer, now(self.wall))
    }

    pub(crate) fn text(&self, rest: &str, query: &str) -> String {
        match self.ask(rest, query) {
            Reply::Document { mime: MIME, body, .. } => String::from_utf8(body.to_vec()).unwrap(),
            other => panic!("{rest}?{query}: {other:?}"),
        }
    }
}

fn speaks(mut t: TrackInfo, lang: &str) -> TrackInfo {
    t.lang = Lang::new(lang);
    t
}

#[test]
fn a_live_streams_playlists() {
    let mut p = Publisher::with(&[track(1, Codec::H264), track(2, Codec::Aac)]);
    p.play(0, 301, 50);
    assert_eq!(
        p.text("index.m3u8", "tkn=a1&video=h264"),
        "#EXTM3U\n#EXT-X-VERSION:3\n\
         #EXT-X-STREAM-INF:BANDWIDTH=2289092,AVERAGE-BANDWIDTH=2289092,CODECS=\"avc1.42c01f,mp4a.40.2\",\
         RESOLUTION=1280x720,FRAME-RATE=25.000\n\
         1_2/index.m3u8?tkn=a1\n"
    );
    assert_eq!(
        p.text("1_2/index.m3u8", "tkn=a1"),
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:0\n\
         #EXT-X-DISCONTINUITY-SEQUENCE:0\n\
         #EXT-X-PROGRAM-DATE-TIME:2026-11-18T11:06:40.000Z\n#EXTINF:6.000000,\n0_1795000000000.ts?tkn=a1\n\
         #EXT-X-PROGRAM-DATE-TIME:2026-11-18T11:06:46.000Z\n#EXTINF:6.000000,\n1_1795000006000.ts?tkn=a1\n"
    );
    let Reply::Segment(s) = p.ask("1_2/1_1795000006000.ts", "") else { panic!() };
    assert_eq!((s.format, s.tracks.as_slice(), s.number), ("TS", &[TrackId(1), TrackId(2)][..], 1));
    assert_eq!((s.from, s.to), (Timestamp::from_secs(6), Timestamp::from_secs(12)));
    p.buffer.end();
    assert!(p.text("2/index.m3u8", "").ends_with("\n#EXT-X-ENDLIST\n"));
}

#[test]
fn segments_from_while_video_was_silent_are_gaps_to_those_who_chose_video() {
    let mut p = Publisher::with(&[track(1, Codec::H264), track(2, Codec::Aac)]);
    p.play(0, 200, 50);
    for n in 200..600 {
        p.packet(2, n * 40, true, 640);
        p.wall += 40;
    }
    p.play(24_000, 300, 50);
    let gaps = |text: &str| text.matches("#EXT-X-GAP\n").count();
    let both = p.text("1_2/index.m3u8", "");
    assert_eq!(gaps(&both), 0, "{both}");
    assert!(both.contains("#EXT-X-VERSION:3\n"));
    let video = p.text("1/index.m3u8", "");
    assert!(gaps(&video) > 0 && video.contains("#EXT-X-VERSION:8\n"), "{video}");
    // The two lists number alike, and what is no gap has video.
    assert_eq!(both.matches("#EXTINF").count(), video.matches("#EXTINF").count());
    for (s, uri) in p.buffer.segments().zip(video.split("#EXTINF").skip(1)) {
        let packets = p.buffer.gops(TrackId(1), s.start, s.end);
        let any = packets.iter().any(|g| g.packets.iter().any(|p| p.dts >= s.start && p.dts < s.end));
        let before = video.split(uri).next().unwrap();
        let gap = before.rsplit(".ts").next().unwrap().contains("#EXT-X-GAP");
        assert_eq!(any, !gap, "{}: {video}", s.number);
    }
}

#[test]
fn only_the_one_url_of_a_thing_has_an_answer() {
    let mut p = Publisher::with(&[track(1, Codec::H264), track(2, Codec::Aac), track(3, Codec::Vp9)]);
    p.play(0, 301, 50);
    for rest in ["1_2/index.m3u8", "1/index.m3u8", "2/index.m3u8", "1_2/0_1795000000000.ts", "index.m3u8"] {
        assert!(!matches!(p.ask(rest, ""), Reply::Status(_) | Reply::Wait { .. }), "{rest}");
    }
    for rest in [
        "",
        "/",
        "index.m3u",
        "index.m3u8/",
        "1_2",
        "1_2/",
        "2_1/index.m3u8",
        "1_1/index.m3u8",
        "3/index.m3u8",
        "1_3/index.m3u8",
        "4/index.m3u8",
        "01/index.m3u8",
        "+1/index.m3u8",
        "1_2_1/index.m3u8",
        "_/index.m3u8",
        "4294967297/index.m3u8",
        "1_2/2_1795000012000.ts",
        "1_2/0_1795000000001.ts",
        "1_2/00_1795000000000.ts",
        "1_2/0_01795000000000.ts",
        "1_2/0.ts",
        "1_2/0_1795000000000.ts2",
        "1_2/../index.m3u8",
        "1_2/18446744073709551616_0.ts",
        "1_2/-1_0.ts",
        "3/0_1795000000000.ts",
        "1_2/x/index.m3u8",
    ] {
        assert!(matches!(p.ask(rest, ""), Reply::Status(404)), "{rest}");
    }
    assert!(matches!(p.ask("index.m3u8", "video=none&audio=0"), Reply::Status(404)));
}

#[test]
fn several_audio_tracks_are_renditions_in_a_group_a_codec() {
    let mut p = Publisher::with(&[
        track(1, Codec::H264),
        speaks(track(2, Codec::Aac), "eng"),
        speaks(track(3, Codec::Aac), "ger"),
        track(4, Codec::Ac3),
    ]);
    p.play(0, 301, 50);
    let text = p.text("index.m3u8", "k=v");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(
        lines[1..5],
        [
            "#EXT-X-VERSION:4",
            "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"AAC\",NAME=\"english 2\",LANGUAGE=\"en\",DEFAULT=YES,AUTOSELECT=YES,\
         CHANNELS=\"2\",URI=\"2/index.m3u8?k=v\"",
            "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"AAC\",NAME=\"german 3\",LANGUAGE=\"de\",DEFAULT=NO,AUTOSELECT=YES,\
         CHANNELS=\"2\",URI=\"3/index.m3u8?k=v\"",
            "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"AC3\",NAME=\"audio 4\",DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"2\",\
         URI=\"4/index.m3u8?k=v\"",
        ]
    );
    assert!(lines[5].contains("CODECS=\"avc1.42c01f,mp4a.40.2\"") && lines[5].ends_with("AUDIO=\"AAC\""));
    assert!(lines[7].contains("CODECS=\"avc1.42c01f,ac-3\"") && lines[7].ends_with("AUDIO=\"AC3\""));
    assert_eq!((lines[6], lines[8], lines.len()), ("1/index.m3u8?k=v", "1/index.m3u8?k=v", 9));
    // A selector makes it simple again.
    assert!(p.text("index.m3u8", "audio=de").ends_with("\n1_3/index.m3u8\n"));
    assert!(p.text("index.m3u8", "audio=none").ends_with("\n1/index.m3u8\n"));
    let sound = p.text("index.m3u8", "video=none");
    assert!(sound.contains("AUDIO=\"AAC\"\n2/index.m3u8\n") && !sound.contains("RESOLUTION"));
    assert!(p.text("index.m3u8", "video=0&audio=ac3").ends_with("CODECS=\"ac-3\"\n4/index.m3u8\n"));
}

#[test]
fn waits_for_what_will_come_and_not_for_what_will_not() {
    let mut p = Publisher::new(BufferOptions::default());
    let waits = |p: &Publisher, rest: &str| match p.ask(rest, "") {
        Reply::Wait { version } => version > p.buffer.version(),
        _ => false,
    };
    assert!(waits(&p, "index.m3u8"));
    p.buffer.source_started(false);
    p.buffer.set_track(Arc::new(track(1, Codec::H264)));
    p.play(0, 5, 50);
    assert!(waits(&p, "index.m3u8") && waits(&p, "1/index.m3u8"));
    // Video only: known within a second after the first keyframe, and waking those who wait.
    let before = p.buffer.version();
    p.play(200, 20, 50);
    assert!(p.buffer.version() > before);
    assert!(p.text("index.m3u8", "").ends_with("\n1/index.m3u8\n"));
    assert!(waits(&p, "1/index.m3u8"));
    // Another source that brings both is known at once.
    p.buffer.source_started(false);
    assert!(waits(&p, "index.m3u8"));
    p.buffer.set_track(Arc::new(track(1, Codec::H264)));
    p.buffer.set_track(Arc::new(track(2, Codec::Aac)));
    assert!(p.text("index.m3u8", "").ends_with("\n1_2/index.m3u8\n"));
    let mut never = Publisher::with(&[track(1, Codec::H264)]);
    never.buffer.end();
    assert!(matches!(never.ask("1/index.m3u8", ""), Reply::Status(404)));
}

#[test]
fn the_limit_of_the_list_leaves_three_target_durations() {
    let mut p = Publisher::with(&[track(1, Codec::H264)]);
    p.play(0, 1300, 50);
    let count = |limit: &str| {
        let options = [("listlimit".to_owned(), limit.to_owned())];
        let Reply::Document { body, .. } = p.ask_with("1/index.m3u8", "", &options) else { panic!() };
        let text = String::from_utf8(body.to_vec()).unwrap();
        (text.matches("#EXTINF").count(), text.lines().nth(3).map(str::to_owned))
    };
    let all = p.buffer.segments().len();
    assert_eq!(count("0").0, all);
    assert_eq!(count("nonsense").0, all);
    assert_eq!(count("5"), (5, Some(format!("#EXT-X-MEDIA-SEQUENCE:{}", all - 5))));
    assert_eq!(count("1").0, 3);
}

#[test]
fn sound_that_came_late_starts_its_playlists_late() {
    let mut p = Publisher::with(&[track(1, Codec::H264)]);
    p.play(0, 500, 50);
    p.buffer.set_track(Arc::new(track(2, Codec::Aac)));
    p.play(20_000, 500, 50);
    let first = |rest: &str| p.text(rest, "").lines().nth(3).unwrap().to_owned();
    assert_eq!(first("1/index.m3u8"), "#EXT-X-MEDIA-SEQUENCE:0");
    assert_eq!(first("1_2/index.m3u8"), "#EXT-X-MEDIA-SEQUENCE:3");
    assert_eq!(first("2/index.m3u8"), "#EXT-X-MEDIA-SEQUENCE:3");
}

/// A media playlist as a player reads it, with what RFC 8216 says of one by itself.
#[derive(Debug)]
struct Seen {
    target: u64,
    sequence: u64,
    discontinuities: u64,
    /// Discontinuity tag, date, length in µs and URI.
    segments: VecDeque<(bool, String, u64, String)>,
    ended: bool,
}

fn read(text: &str) -> Seen {
    let mut lines = text.lines().peekable();
    assert_eq!((lines.next(), lines.next()), (Some("#EXTM3U"), Some("#EXT-X-VERSION:3")));
    let mut head = |tag: &str| lines.next().unwrap().strip_prefix(tag).unwrap().parse::<u64>().unwrap();
    let target = head("#EXT-X-TARGETDURATION:");
    let sequence = head("#EXT-X-MEDIA-SEQUENCE:");
    let discontinuities = head("#EXT-X-DISCONTINUITY-SEQUENCE:");
    let mut seen = Seen { target, sequence, discontinuities, segments: VecDeque::new(), ended: false };
    while let Some(line) = lines.next() {
        if line == "#EXT-X-ENDLIST" {
            seen.ended = true;
            assert_eq!(lines.next(), None);
            break;
        }
        let reset = line == "#EXT-X-DISCONTINUITY";
        let line = if reset { lines.next().unwrap() } else { line };
        let date = line.strip_prefix("#EXT-X-PROGRAM-DATE-TIME:").unwrap().to_owned();
        let length = lines.next().unwrap().strip_prefix("#EXTINF:").unwrap().strip_suffix(',').unwrap();
        let (s, us) = length.split_once('.').unwrap();
        let micros = s.parse::<u64>().unwrap() * 1_000_000 + us.parse::<u64>().unwrap();
        assert!(us.len() == 6 && micros > 0);
        assert!((micros + 500_000) / 1_000_000 <= target, "{length} > {target}");
        seen.segments.push_back((reset, date, micros, lines.next().unwrap().to_owned()));
    }
    assert!(!seen.segments.is_empty());
    seen
}

/// What RFC 8216 §6.2.1 and §6.2.2 allow to change from one playlist to the next.
#[derive(Default)]
struct Watcher {
    last: Option<Seen>,
    /// What each URI was the first time: number, discontinuity number, date, length.
    meaning: HashMap<String, (u64, u64, String, u64)>,
}

impl Watcher {
    fn see(&mut self, text: &str) {
        let seen = read(text);
        let mut discontinuity = seen.discontinuities;
        for (at, (reset, date, micros, uri)) in seen.segments.iter().enumerate() {
            discontinuity += u64::from(*reset);
            let now = (seen.sequence + at as u64, discontinuity, date.clone(), *micros);
            let before = self.meaning.entry(uri.clone()).or_insert_with(|| now.clone());
            assert_eq!(*before, now, "{uri} means something else");
        }
        if let Some(last) = &self.last {
            assert_eq!(seen.target, last.target, "target changed");
            assert!(seen.sequence >= last.sequence, "sequence went back");
            assert!(seen.discontinuities >= last.discontinuities, "discontinuity sequence went back");
            let end = |s: &Seen| s.sequence + s.segments.len() as u64;
            assert!(end(&seen) >= end(last), "segments were lost at the end");
            assert!(!last.ended || (end(&seen) == end(last)), "segments after the end");
        }
        self.last = Some(seen);
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// Frames, frames a GOP, milliseconds a frame.
    Play(i64, i64, i64),
    /// The source comes anew; its clock starts at this many ms; whether the past stays.
    Restart(i64, bool),
    /// The clock jumps by this many ms.
    Jump(i64),
    /// Nothing comes for this many ms of the wall clock and the media.
    Hole(i64),
    /// The picture changes its size.
    Resize(u32),
    /// A pause of the wall clock only, in ms.
    Pause(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..900i64, 1..400i64, 10..70i64).prop_map(|(f, g, ms)| Step::Play(f, g, ms)),
        2 => (1..60i64, 1..20i64, 70..4000i64).prop_map(|(f, g, ms)| Step::Play(f, g, ms)),
        2 => (0..12_000i64).prop_map(Step::Hole),
        1 => (0..10_000_000i64, any::<bool>()).prop_map(|(ms, keep)| Step::Restart(ms, keep)),
        1 => (-10_000_000..10_000_000i64).prop_map(Step::Jump),
        1 => (1..10u32).prop_map(Step::Resize),
        1 => (0..30_000i64).prop_map(Step::Pause),
    ]
}

fn run(steps: &[Step], limit: u8) {
    let mut p = Publisher::with(&[track(1, Codec::H264), track(2, Codec::Aac)]);
    let options = [("listlimit".to_owned(), limit.to_string())];
    let mut watchers: [(&str, Watcher); 2] = Default::default();
    watchers[0].0 = "1_2/index.m3u8";
    watchers[1].0 = "2/index.m3u8";
    let mut kept: HashMap<u64, Segment> = HashMap::new();
    let mut version = 0;
    let mut media = 0;
    let mut look = |p: &Publisher, limited: bool| {
        for (rest, watcher) in &mut watchers {
            match p.ask_with(rest, "", if limited { &options } else { &[] }) {
                Reply::Document { body, .. } => watcher.see(std::str::from_utf8(&body).unwrap()),
                Reply::Wait { .. } => {}
                Reply::Status(404) if p.buffer.ended() => assert_eq!(p.buffer.segments().len(), 0),
                other => panic!("{other:?}"),
            }
        }
        for s in p.buffer.segments() {
            assert_eq!(*kept.entry(s.number).or_insert(*s), *s);
            let uri = format!("1_2/{}_{}.ts", s.number, s.unix.as_millis());
            let Reply::Segment(spec) = p.ask(&uri, "") else { panic!("{uri} is listed and missing") };
            assert_eq!((spec.from, spec.to), (s.start, s.end));
        }
    };
    for step in steps {
        match *step {
            Step::Play(frames, gop, ms) => {
                for n in 0..frames {
                    p.packet(2, media, true, 100);
                    p.packet(1, media, n % gop == 0, 1000);
                    media += ms;
                    p.wall += ms;
                    if p.buffer.version() != version {
                        version = p.buffer.version();
                        look(&p, limit > 0);
                    }
                }
            }
            Step::Restart(ms, keep) => {
                p.buffer.source_started(keep);
                p.buffer.set_track(Arc::new(track(1, Codec::H264)));
                p.buffer.set_track(Arc::new(track(2, Codec::Aac)));
                media = ms;
            }
            Step::Jump(ms) => media += ms,
            Step::Resize(n) => {
                let mut t = track(1, Codec::H264);
                t.params = Params::Video { width: n * 16, height: n * 9, fpks: 0 };
                p.buffer.set_track(Arc::new(t));
            }
            Step::Hole(ms) => {
                media += ms;
                p.wall += ms;
            }
            Step::Pause(ms) => p.wall += ms,
        }
        look(&p, limit > 0);
    }
    p.buffer.end();
    look(&p, limit > 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..Default::default() })]

    #[test]
    fn playlists_change_only_as_rfc_8216_allows(
        steps in proptest::collection::vec(step(), 1..14),
        limit in 0..6u8,
    ) {
        run(&steps, limit);
    }

    #[test]
    fn any_request_is_answered(
        rest in "(index.m3u8|[0-9_]{0,5}/(index.m3u8|[0-9]{1,3}_[0-9]{1,14}.ts)|.{0,12})",
        query in "((video|audio|tkn)=[a-z0-9%\"\\r\\n ]{0,6}&?){0,5}",
    ) {
        let mut p = Publisher::with(&[track(1, Codec::H264), track(2, Codec::Aac), track(3, Codec::Mp3)]);
        p.play(0, 400, 50);
        super::fuzz(&rest, &query, &p.buffer, now(p.wall));
    }
}

#[test]
fn the_registry_entry_is_what_the_router_needs() {
    let c = PROTOCOL.output.as_ref().unwrap();
    let found = mist_core::registry::url_stream(c.url_prefix[0], "/hls/live+1/1_2/index.m3u8", true);
    assert_eq!(found, Some(("live+1", "1_2/index.m3u8")));
}
