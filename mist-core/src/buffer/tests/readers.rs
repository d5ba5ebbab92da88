use super::*;

#[test]
fn a_picture_that_comes_late_leaves_the_segments_before_it() {
    let mut w = Writer::new(BufferOptions::default());
    w.b.set_track(track(2, Codec::Aac));
    for a in 0..1500i64 {
        w.at(a * 20, pkt(2, a * 20, true));
    }
    let before: Vec<u64> = w.b.segments().map(|s| s.number).collect();
    assert!(before.len() >= 4);
    w.b.set_track(track(1, Codec::H264));
    w.audio = 30_000 * 48 / 1024 + 1;
    w.av(30_000, 45_000, 50);
    let after: Vec<u64> = w.b.segments().map(|s| s.number).collect();
    assert!(after.starts_with(&before) && after.len() > before.len(), "{after:?}");
}

#[test]
fn readers_find_a_track_that_moved() {
    for how in 0..3 {
        let mut w = Writer::new(BufferOptions::default());
        w.b.set_track(track(1, Codec::H264));
        for v in 0..10 {
            w.at(v * 40, pkt(1, v * 40, v == 0));
        }
        let mut c = w.b.cursor([TrackId(1)]);
        w.b.source_started(false);
        // The other way round.
        w.b.set_track(track(2, Codec::Aac));
        w.b.set_track(track(1, Codec::H264));
        for v in 0..10 {
            w.at(400 + v * 40, pkt(2, v * 40, true));
            w.at(400 + v * 40, pkt(1, v * 40, v == 0));
        }
        match how {
            0 => w.b.retarget(&mut c, &[TrackId(1), TrackId(2)]),
            1 => w.b.go_live(&mut c),
            _ => assert!(w.b.seek(&mut c, Timestamp::ZERO).is_some()),
        }
        let mut out = vec![];
        while w.b.read(&mut c, &mut out, 50) == Read::Ready {}
        let p = packets(&out);
        assert_eq!(p.iter().filter(|p| p.track == TrackId(1)).count(), 10, "{how}");
        assert_eq!(p.len(), if how == 0 { 20 } else { 10 });
    }
}

#[test]
fn a_removed_track_is_finished_and_makes_room() {
    let mut options = BufferOptions { window: Duration::from_secs(10), ..Default::default() };
    options.limits.tracks = 2;
    let mut w = Writer::new(options);
    w.b.set_track(track(1, Codec::H264));
    w.b.set_track(track(2, Codec::Aac));
    w.av(0, 13_300, 50);
    let last = (w.audio - 1) * 1024 / 48;
    w.b.remove_track(TrackId(2));
    assert!(!w.at(13_300, pkt(2, 13_300, true)), "it is not there any more");
    for v in 333..500 {
        w.at(v * 40, pkt(1, v * 40, v % 50 == 0));
    }
    assert!(in_segments(&w.b, 2).contains(&last), "its end is in the segments");
    assert!(!w.b.set_track(track(3, Codec::Aac)), "still in the window");
    for v in 500..2000 {
        w.at(v * 40, pkt(1, v * 40, v % 50 == 0));
    }
    assert!(w.b.set_track(track(3, Codec::Aac)));
}

#[test]
fn video_that_is_switched_on_starts_with_a_keyframe() {
    let mut w = av_writer(50);
    w.av(0, 10_000, 50);
    let mut c = w.b.cursor([TrackId(2)]);
    w.av(10_000, 13_000, 50);
    let mut out = vec![];
    while w.b.read(&mut c, &mut out, 50) == Read::Ready {}
    w.b.retarget(&mut c, &[TrackId(1), TrackId(2)]);
    out.clear();
    w.b.read(&mut c, &mut out, 500);
    let p = packets(&out);
    assert!(p[0].key && p[0].dts.as_millis() == 12_000);
    // From nothing to video.
    let mut c = w.b.cursor([]);
    w.b.retarget(&mut c, &[TrackId(1)]);
    out.clear();
    w.b.read(&mut c, &mut out, 1);
    assert!(packets(&out)[0].key);
}

#[test]
fn a_restarted_source_has_not_said_its_tracks_yet() {
    for keep in [false, true] {
        let mut w = Writer::new(BufferOptions::default());
        for from in [0, 20_000] {
            w.b.source_started(keep);
            assert!(!w.b.tracks_known());
            w.b.set_track(track(1, Codec::H264));
            for v in 0..30 {
                assert_eq!(w.b.tracks_known(), v > 20, "{v}");
                w.at(from + v * 40, pkt(1, v * 40, v == 0));
            }
        }
    }
}

#[test]
fn a_read_takes_no_more_than_its_share() {
    let mut w = Writer::new(BufferOptions::default());
    w.b.set_track(track(1, Codec::H264));
    let data = Bytes::from(vec![0; 700_000]);
    for v in 0..20 {
        w.at(v * 40, Packet { data: data.clone(), ..pkt(1, v * 40, v == 0) });
    }
    let mut c = w.b.cursor([TrackId(1)]);
    let mut got = 0;
    loop {
        let mut out = vec![];
        if w.b.read(&mut c, &mut out, 64) != Read::Ready {
            break;
        }
        assert_eq!(packets(&out).len(), 2);
        got += 2;
    }
    assert_eq!(got, 20);
}
