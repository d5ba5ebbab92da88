use super::*;
use crate::codec::Codec;
use crate::media::{Media, Params};
use bytes::Bytes;

fn track(id: u32, codec: Codec) -> Arc<TrackInfo> {
    Arc::new(TrackInfo::new(TrackId(id), codec, Bytes::new(), Params::Other))
}

fn pkt(t: u32, ms: i64, key: bool) -> Packet {
    Packet {
        track: TrackId(t),
        dts: Timestamp::from_millis(ms),
        cts: Duration::ZERO,
        duration: Duration::ZERO,
        key,
        data: Bytes::from_static(&[0; 100]),
    }
}

mod readers;

/// A writer whose clock runs with the media.
struct Writer {
    b: StreamBuffer,
    start: Instant,
    /// Number of the next audio frame.
    audio: i64,
}

impl Writer {
    fn new(options: BufferOptions) -> Self {
        Self { b: StreamBuffer::new(options), start: Instant::now(), audio: 0 }
    }

    fn now(&self, wall_ms: i64) -> Now {
        let d = std::time::Duration::from_millis(wall_ms as u64);
        Now { instant: self.start + d, unix: std::time::Duration::from_secs(1_700_000_000) + d }
    }

    fn at(&mut self, wall: i64, p: Packet) -> bool {
        let now = self.now(wall);
        self.b.push(p, now)
    }

    /// 25 fps with a keyframe every `gop` frames and 48 kHz AAC, from `from` to `to` in ms.
    fn av(&mut self, from: i64, to: i64, gop: i64) {
        for v in from / 40..to / 40 {
            while self.audio * 1024 / 48 < v * 40 {
                let at = self.audio * 1024 / 48;
                self.at(at, pkt(2, at, true));
                self.audio += 1;
            }
            self.at(v * 40, pkt(1, v * 40, v % gop == 0));
        }
    }
}

fn av_writer(window_secs: i64) -> Writer {
    let mut w = Writer::new(BufferOptions { window: Duration::from_secs(window_secs), ..Default::default() });
    w.b.set_track(track(1, Codec::H264));
    w.b.set_track(track(2, Codec::Aac));
    w
}

fn packets(out: &[Media]) -> Vec<&Packet> {
    out.iter().filter_map(|m| if let Media::Packet(p) = m { Some(p) } else { None }).collect()
}

#[test]
fn a_slow_reader_goes_on_at_a_keyframe() {
    let mut w = av_writer(5);
    w.av(0, 400, 25);
    let mut c = w.b.cursor([TrackId(1), TrackId(2)]);
    w.av(400, 60_000, 25);
    let mut out = vec![];
    assert_eq!(w.b.read(&mut c, &mut out, 8), Read::Lagged);
    assert_eq!(c.skipped(), 1);
    assert_eq!(w.b.read(&mut c, &mut out, 8), Read::Ready);
    let p = packets(&out);
    assert!(p.iter().find(|p| p.track == TrackId(1)).is_some_and(|p| p.key));
    assert!(p[0].dts >= Timestamp::from_secs(58));
}

#[test]
fn a_new_reader_starts_at_the_newest_keyframe_and_reads_everything_in_order() {
    let mut w = av_writer(50);
    w.av(0, 10_480, 50);
    let mut c = w.b.cursor([TrackId(1), TrackId(2)]);
    let mut out = vec![];
    w.av(10_480, 30_000, 50);
    while w.b.read(&mut c, &mut out, 7) == Read::Ready {}
    let tracks = out.iter().filter(|m| matches!(m, Media::Track(_))).count();
    assert_eq!(tracks, 2);
    let p = packets(&out);
    let v: Vec<i64> = p.iter().filter(|p| p.track == TrackId(1)).map(|p| p.dts.as_millis()).collect();
    assert_eq!(v, (10_000 / 40..30_000 / 40).map(|i| i * 40).collect::<Vec<_>>());
    let a: Vec<i64> = p.iter().filter(|p| p.track == TrackId(2)).map(|p| p.dts.as_millis()).collect();
    assert_eq!(
        a.len(),
        (0..).map(|i| i * 1024 / 48).skip_while(|t| *t < 10_000).take_while(|t| *t < 29_960).count()
    );
    assert!(p.windows(2).all(|w| w[0].dts <= w[1].dts));
}

#[test]
fn segments_join_whole_groups_and_hold_all_packets() {
    let mut w = av_writer(50);
    w.av(0, 200_000, 50);
    let b = &w.b;
    assert_eq!(b.segment_target(), Duration::from_secs(6));
    let segs: Vec<Segment> = b.segments().copied().collect();
    assert!(segs.len() >= 8, "{}", segs.len());
    let mut all = Vec::new();
    for (i, s) in segs.iter().enumerate() {
        assert_eq!(s.duration(), Duration::from_secs(6));
        assert!(s.independent && !s.discontinuity);
        if i > 0 {
            assert_eq!(s.number, segs[i - 1].number + 1);
            assert_eq!(s.start, segs[i - 1].end);
            assert_eq!(s.unix - segs[i - 1].unix, std::time::Duration::from_secs(6));
        }
        for g in b.gops(TrackId(2), s.start, s.end) {
            assert!(
                g.start >= s.start && g.end <= s.end + Duration::from_millis(22),
                "audio is cut with the segment"
            );
            all.extend(g.packets.iter().map(|p| p.dts));
        }
    }
    assert!(
        all.windows(2).all(|w| (w[1] - w[0]).as_millis().abs_diff(21) <= 1),
        "no audio lost between segments"
    );
    // Segments that left the list are served for another playlist length.
    let gone = segs[0].number - 1;
    let old = b.find_segment(gone).copied().expect("kept");
    assert!(!b.gops(TrackId(1), old.start, old.end).is_empty());
    assert!(b.find_segment(segs[0].number - 12).is_none());
    assert!(b.bytes() < 200 * (25 + 47) * (100 + PACKET_OVERHEAD));
}

#[test]
fn audio_that_comes_late_is_in_its_segment() {
    let mut w = av_writer(50);
    // Audio arrives 1.5 s after the video of the same time.
    for v in 0..2000i64 {
        w.at(v * 40, pkt(1, v * 40, v % 50 == 0));
        let a = v * 40 - 1500;
        if a >= 0 {
            w.at(v * 40, pkt(2, a, true));
        }
    }
    for s in w.b.segments().skip(1) {
        let n: usize = w.b.gops(TrackId(2), s.start, s.end).iter().map(|g| g.packets.len()).sum();
        assert_eq!(n as i64, s.duration().as_millis() / 40);
    }
}

#[test]
fn audio_that_runs_ahead_is_split_at_the_segment_without_losing_readers() {
    let mut w = av_writer(50);
    let mut c = w.b.cursor([TrackId(2)]);
    let (mut out, mut read) = (vec![], 0);
    for v in 0..1000i64 {
        w.at(v * 40, pkt(2, v * 40 + 900, true));
        w.at(v * 40, pkt(1, v * 40, v % 50 == 0));
        if v % 3 == 0 {
            w.b.read(&mut c, &mut out, 100);
        }
        read = packets(&out).len();
    }
    let ms: Vec<i64> = packets(&out).iter().map(|p| p.dts.as_millis()).collect();
    assert_eq!(ms, (0..read as i64).map(|v| v * 40 + 900).collect::<Vec<_>>());
    assert!(read >= 998);
}

#[test]
fn no_keyframe_for_a_minute_is_cut_by_rule() {
    let mut w = av_writer(50);
    w.av(0, 10_000, 50);
    let before = w.b.segments().len() as u64;
    for v in 250..2500 {
        w.at(v * 40, pkt(1, v * 40, false));
        w.at(v * 40, pkt(2, v * 40, true));
    }
    let t = w.b.segment_target();
    assert!(w.b.segments().last().is_some_and(|s| s.number > before + 11));
    for s in w.b.segments() {
        assert!((s.duration().as_millis() + 500) / 1000 <= t.as_millis() / 1000, "{s:?}");
    }
    assert!(w.b.segments().any(|s| !s.independent));
}

#[test]
fn a_source_that_restarts_goes_on_with_the_numbers() {
    for keep in [false, true] {
        let mut w = av_writer(50);
        w.av(0, 31_000, 50);
        w.b.source_stopped();
        let old: Vec<Segment> = w.b.segments().copied().collect();
        let last = *old.last().expect("segments");
        assert_eq!(last.end.as_millis(), 31_000, "the tail is finished");
        let mut c = w.b.cursor([TrackId(1), TrackId(2)]);
        let mut out = vec![];
        while w.b.read(&mut c, &mut out, 50) == Read::Ready {}
        w.b.source_started(keep);
        assert_eq!(w.b.tracks().count(), 0);
        w.b.set_track(track(1, Codec::H264));
        w.b.set_track(track(2, Codec::Aac));
        // The new source's clock starts at 0 again, five seconds later.
        for v in 0..500i64 {
            w.at(36_000 + v * 40, pkt(1, v * 40, v % 50 == 0));
            w.at(36_000 + v * 40, pkt(2, v * 40 + 5, true));
        }
        let new: Vec<Segment> = w.b.segments().copied().collect();
        let first = new.iter().find(|s| s.number > last.number).expect("a new one");
        assert!(first.discontinuity);
        assert_eq!(first.number, last.number + 1);
        assert_eq!(first.start.as_millis(), 36_000);
        assert_eq!(new.iter().any(|s| s.number <= last.number), keep);
        assert!(first.unix - last.unix >= std::time::Duration::from_secs(5));
        out.clear();
        assert_eq!(w.b.read(&mut c, &mut out, 5000), Read::Ready, "the old reader goes on");
        assert!(packets(&out).iter().filter(|p| p.track == TrackId(1)).count() >= 450);
        assert_eq!(w.b.restarts(), 1);
    }
}

#[test]
fn a_changed_track_is_a_discontinuity_and_readers_see_it() {
    let mut w = av_writer(50);
    w.av(0, 20_000, 50);
    let mut c = w.b.cursor([TrackId(1), TrackId(2)]);
    let mut out = vec![];
    while w.b.read(&mut c, &mut out, 50) == Read::Ready {}
    let mut t = (*track(1, Codec::H264)).clone();
    t.params = Params::Video { width: 1280, height: 720, fpks: 25_000 };
    w.b.set_track(Arc::new(t));
    w.av(20_000, 40_000, 50);
    out.clear();
    while w.b.read(&mut c, &mut out, 50) == Read::Ready {}
    let Some(Media::Track(t)) = out.iter().find(|m| matches!(m, Media::Track(_))) else { panic!() };
    assert_eq!(t.size(), (1280, 720));
    let d: Vec<i64> = w.b.segments().filter(|s| s.discontinuity).map(|s| s.start.as_millis()).collect();
    assert_eq!(d, [20_000]);
}

#[test]
fn a_track_that_appears_late_joins_readers_where_they_are() {
    let mut w = Writer::new(BufferOptions::default());
    w.b.set_track(track(1, Codec::H264));
    for v in 0..100 {
        w.at(v * 40, pkt(1, v * 40, v % 50 == 0));
    }
    let mut c = w.b.cursor([TrackId(1)]);
    let mut out = vec![];
    while w.b.read(&mut c, &mut out, 50) == Read::Ready {}
    let version = w.b.tracks_version();
    w.b.set_track(track(2, Codec::Aac));
    assert_ne!(version, w.b.tracks_version());
    w.b.retarget(&mut c, &[TrackId(1), TrackId(2)]);
    w.audio = 4000 * 48 / 1024 + 1;
    w.av(4000, 5000, 50);
    out.clear();
    while w.b.read(&mut c, &mut out, 50) == Read::Ready {}
    assert_eq!(packets(&out).iter().filter(|p| p.track == TrackId(1)).count(), 25);
    assert!(packets(&out).iter().filter(|p| p.track == TrackId(2)).count() > 40);
}

#[test]
fn memory_is_bounded_by_bytes_even_without_keyframes() {
    let mut options = BufferOptions { window: Duration::from_secs(1_000_000), ..Default::default() };
    options.limits.bytes = 50_000;
    let mut w = Writer::new(options);
    w.b.set_track(track(1, Codec::H264));
    for v in 0..20_000 {
        w.at(v * 40, pkt(1, v * 40, v == 0));
        assert!(w.b.bytes() <= 50_000);
    }
    assert!(w.b.segments().len() < 30);
}

#[test]
fn seeking_lands_on_the_keyframe_at_or_before() {
    let mut w = av_writer(50);
    w.av(0, 30_000, 50);
    let mut c = w.b.cursor([TrackId(1), TrackId(2)]);
    for (to, want) in [(0, 0), (1999, 0), (2000, 2000), (13_000, 12_000), (99_000, 28_000), (-5, 0)] {
        let got = w.b.seek(&mut c, Timestamp::from_millis(to)).map(Timestamp::as_millis);
        assert_eq!(got, Some(want), "{to}");
        let mut out = vec![];
        w.b.read(&mut c, &mut out, 3);
        assert!(packets(&out)[0].dts.as_millis().abs_diff(want) < 22);
    }
}

#[test]
fn audio_beside_video_does_not_wake() {
    let mut w = av_writer(50);
    assert!(w.at(0, pkt(1, 0, true)));
    assert!(!w.at(5, pkt(2, 0, true)));
    assert!(w.at(40, pkt(1, 40, false)));
    assert!(w.at(2000, pkt(2, 2000, true)), "video is slow: audio wakes");
}

#[test]
fn audio_only_makes_segments_and_health() {
    let mut w = Writer::new(BufferOptions::default());
    w.b.set_track(track(2, Codec::Aac));
    for a in 0..3000i64 {
        w.at(a * 21, pkt(2, a * 21, true));
    }
    assert!(w.b.segments().len() >= 7);
    assert!(w.b.segments().all(|s| s.independent && s.duration() <= w.b.segment_target()));
    let h = w.b.health(TrackId(2));
    assert!(h.bits_per_second.abs_diff(100 * 8 * 1000 / 21) < 100, "{h:?}");
}

#[test]
fn the_end_is_told_after_the_last_packet() {
    let mut w = av_writer(50);
    w.av(0, 3000, 50);
    let mut c = w.b.cursor([TrackId(1)]);
    w.b.end();
    let mut out = vec![];
    assert_eq!(w.b.read(&mut c, &mut out, 1000), Read::Ready);
    assert_eq!(w.b.read(&mut c, &mut out, 1000), Read::Ended);
    assert_eq!(w.b.segments().count(), 1);
}

/// Decoding times in ms of a track's packets in each listed segment.
fn in_segments(b: &StreamBuffer, track: u32) -> Vec<i64> {
    let mut all = Vec::new();
    for s in b.segments() {
        let gops = b.gops(TrackId(track), s.start, s.end);
        let packets = gops.iter().flat_map(|g| &g.packets);
        all.extend(packets.map(|p| p.dts).filter(|t| (s.start..s.end).contains(t)).map(Timestamp::as_millis));
    }
    all
}

#[test]
fn segments_that_start_between_packets_are_kept_as_long_as_others() {
    let mut w = av_writer(20);
    w.av(0, 10_000, 50);
    w.av(10_000, 120_000, 1_000_000);
    let listed: Vec<Segment> = w.b.segments().copied().collect();
    assert!(listed.iter().all(|s| s.start.as_millis() % 40 != 0), "cut by rule");
    let oldest = listed[0];
    assert!(listed[listed.len() - 1].end - oldest.start >= Duration::from_secs(20));
    let gone = w.b.find_segment(oldest.number - 2).copied().expect("left the list, still served");
    let first = w.b.gops(TrackId(1), gone.start, gone.end)[0].clone();
    assert!(first.start - gone.start < Duration::from_millis(40));
    let v = in_segments(&w.b, 1);
    assert!(v.windows(2).all(|w| w[1] - w[0] == 40), "every picture once");
    // Where the bound drops media, only what lost some is gone.
    let mut options = *w.b.options();
    options.limits.bytes = w.b.bytes() / 2;
    w.b.set_options(options);
    w.av(120_000, 160_000, 1_000_000);
    let oldest = (0..).find_map(|n| w.b.find_segment(n)).expect("segments");
    let first = w.b.first_dts(TrackId(1)).expect("pictures");
    assert!(
        oldest.start <= first && first - oldest.start < Duration::from_millis(40),
        "{first:?} {oldest:?}"
    );
}

#[test]
fn a_keyframe_ends_a_segment_that_started_without_one() {
    let mut w = av_writer(100);
    w.av(0, 10_000, 50);
    w.av(10_000, 100_000, 250);
    let starts: Vec<i64> = w.b.segments().filter(|s| s.independent).map(|s| s.start.as_millis()).collect();
    assert_eq!(starts[starts.len() - 8..], [20_000, 30_000, 40_000, 50_000, 60_000, 70_000, 80_000, 90_000]);
}

#[test]
fn what_cuts_the_first_segment_short_or_long_does_not_bind_the_others() {
    let mut w = av_writer(50);
    w.av(0, 600, 50);
    w.b.source_stopped();
    assert_eq!(w.b.segment_target(), Duration::from_secs(5));
    w.b.source_started(true);
    w.b.set_track(track(1, Codec::H264));
    w.audio = 0;
    for v in 0..1000 {
        w.at(700 + v * 40, pkt(1, v * 40, v % 25 == 0));
    }
    assert!(w.b.segments().skip(1).all(|s| s.independent && s.duration() == Duration::from_secs(5)));

    let mut w = av_writer(100);
    w.av(0, 2000, 50);
    w.audio = 62_000 * 48 / 1024;
    w.av(62_000, 90_000, 50);
    assert_eq!(w.b.segment_target(), Duration::from_secs(5), "a pause is not a length");
    let s: Vec<Segment> = w.b.segments().copied().collect();
    assert_eq!((s[0].end.as_millis(), s[1].start.as_millis(), s[1].discontinuity), (2000, 62_000, true));
    assert!(
        s.iter().skip(1).all(|s| s.independent && s.duration() == Duration::from_secs(4)),
        "three groups are too long"
    );
}

#[test]
fn small_packets_count_for_what_they_cost() {
    let mut options = BufferOptions::default();
    options.limits.bytes = 100_000;
    let mut w = Writer::new(options);
    w.b.set_track(track(1, Codec::H264));
    for _ in 0..5000 {
        let mut p = pkt(1, 0, true);
        p.data = p.data.slice(..1);
        w.at(0, p);
    }
    assert!(w.b.bytes() <= 100_000);
    let held: usize = w.b.lanes[0].closed.iter().map(|g| g.packets.len()).sum();
    assert!((400..600).contains(&held), "{held}");
    let (mut c, mut out) = (w.b.cursor([TrackId(1)]), vec![]);
    assert_eq!(w.b.read(&mut c, &mut out, 9), Read::Ready);
    w.b.source_started(false);
    assert_eq!(w.b.bytes(), 0);
}

#[test]
fn sound_goes_on_when_the_picture_stops() {
    let mut w = av_writer(60);
    w.av(0, 21_000, 50);
    let audio = |w: &mut Writer, to: i64| {
        while w.audio * 1024 / 48 < to {
            let at = w.audio * 1024 / 48;
            w.at(at, pkt(2, at, true));
            w.audio += 1;
        }
    };
    audio(&mut w, 60_000);
    let s: Vec<Segment> = w.b.segments().copied().collect();
    assert!(s[s.len() - 1].end.as_millis() > 48_000, "{:?}", s[s.len() - 1]);
    assert!(s.windows(2).all(|s| s[0].end == s[1].start && !s[1].discontinuity));
    assert!(s.iter().all(|s| s.duration() <= Duration::from_millis(6499)));
    assert_eq!(in_segments(&w.b, 1).last(), Some(&20_960), "the last pictures are there");
    let heard = in_segments(&w.b, 2);
    assert!(heard.windows(2).all(|w| (21..=22).contains(&(w[1] - w[0]))), "no sound is lost or said twice");
    audio(&mut w, 300_000);
    let first = w.b.first_dts(TrackId(2)).map_or(0, Timestamp::as_millis);
    assert!(first > 150_000, "the window holds: {first}");
    // The picture comes back.
    w.av(300_000, 330_000, 50);
    let s =
        w.b.segments().find(|s| s.start.as_millis() == 300_000).copied().expect("starts with the keyframe");
    assert!(s.independent && s.track == TrackId(1));
}

#[test]
fn a_picture_that_never_comes_is_not_waited_for() {
    let mut w = av_writer(30);
    for a in 0..1000i64 {
        w.at(a * 21, pkt(2, a * 21, true));
    }
    let s: Vec<(i64, i64)> =
        w.b.segments().map(|s| (s.start.as_millis(), s.end.as_millis() - s.start.as_millis())).collect();
    assert!(s.len() >= 2 && s[0].0 == 0, "{s:?}");
    assert!(s.iter().all(|s| (5000..5500).contains(&s.1)), "{s:?}");
}

#[test]
fn tracks_that_come_in_large_pieces_are_not_taken_for_silent_ones() {
    let mut w = av_writer(100);
    for piece in 0..6i64 {
        let wall = piece * 9000;
        for a in piece * 450..(piece + 1) * 450 {
            w.at(wall, pkt(2, a * 20, true));
        }
        for v in piece * 225..(piece + 1) * 225 {
            w.at(wall, pkt(1, v * 40, v % 25 == 0));
        }
    }
    let s: Vec<Segment> = w.b.segments().copied().collect();
    assert!(s.len() >= 9);
    assert!(s.iter().all(|s| s.independent && s.track == TrackId(1)));
    assert!(in_segments(&w.b, 1).into_iter().eq((0..s.len() as i64 * 125).map(|v| v * 40)));
}

/// Captions lie in the pictures: they are found, said once, and passed through.
#[test]
fn captions_in_pictures_are_announced() {
    let mut w = Writer::new(BufferOptions::default());
    w.b.set_track(track(1, Codec::H264));
    let frame = |sei: &[u8]| {
        let nal = [&[6, 4, sei.len() as u8][..], sei, &[0x80]].concat();
        Bytes::from([&(nal.len() as u32).to_be_bytes()[..], &nal, &[0, 0, 0, 2, 0x65, 0x88]].concat())
    };
    let padding = frame(b"\xb5\0\x31GA94\x03\x41\xff\xfc\x80\x80\xff");
    let both = frame(b"\xb5\0\x31GA94\x03\x42\xff\xfc\x94\x20\xff\x01\x02\xff");
    let mut versions = Vec::new();
    for (n, data) in [&padding, &both, &padding, &both].into_iter().enumerate() {
        w.at(n as i64 * 40, Packet { data: data.clone(), ..pkt(1, n as i64 * 40, n == 0) });
        versions.push((w.b.captions(TrackId(1)).any(), w.b.version()));
    }
    let (before, after) = (versions[0].1, versions[1].1);
    assert!(before < after);
    assert_eq!(versions, [(false, before), (true, after), (true, after), (true, after)]);
    let mut cursor = w.b.cursor([TrackId(1)]);
    let mut out = Vec::new();
    w.b.read(&mut cursor, &mut out, 64);
    let data: Vec<_> =
        out.iter().filter_map(|m| if let Media::Packet(p) = m { Some(&p.data) } else { None }).collect();
    assert!(data.ends_with(&[&both]));
}
