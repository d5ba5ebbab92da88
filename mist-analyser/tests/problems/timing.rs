//! Problems of timing and of decoding.

use super::{Content, Seen, find, read, want};
use bytes::Bytes;
use mist_core::media::Packet;
use mist_core::time::{Duration, Timestamp};

const fn secs(n: i64) -> Duration {
    Duration::from_secs(n)
}

pub(crate) fn timing(seen: &mut Seen) {
    let demo = Content::demo();
    let flv = |c: &Content| c.mux("FLV", false);
    let shift = |from: i64, by: Duration| {
        move |all: &mut Vec<Packet>| {
            all.iter_mut().filter(|p| p.dts >= Timestamp::from_millis(from)).for_each(|p| p.dts += by);
        }
    };
    seen.input(
        "three seconds are missing",
        &flv(&demo.clone().with(shift(5000, secs(3)))),
        &[want("gap").on(1, 8000.0)],
    );
    let back = demo.clone().with(|all| {
        all.iter_mut().filter(|p| p.track.0 == 1).nth(100).unwrap().dts += Duration::from_millis(-200);
    });
    seen.input("a picture goes back", &flv(&back), &[want("time-back").on(1, 3800.0)]);
    let early = demo.clone().with(|all| all[0].cts = Duration::from_millis(-40));
    seen.input("shown before it is there", &flv(&early), &[want("pts-before-dts").on(1, 0.0)]);
    let short = demo.clone().with(|all| all.retain(|p| p.track.0 == 1 || p.dts < Timestamp::from_secs(8)));
    seen.input("half the sound", &flv(&short), &[want("drift").on(2, 8016.334)]);
    let slow = demo.clone().with(|all| {
        for p in all.iter_mut().filter(|p| p.track.0 == 2) {
            p.dts = Timestamp::from_millis(p.dts.as_millis() * 2);
        }
        all.sort_by_key(|p| p.dts);
    });
    seen.input("sound at half the speed", &flv(&slow), &[want("wrong-duration")]);
    let late = demo.clone().with(|all| {
        all.retain(|p| p.track.0 == 1 || p.dts > Timestamp::from_secs(2));
    });
    seen.input("sound that is late", &flv(&late), &[want("start-offset")]);
    let apart = demo.clone().with(|all| all.sort_by_key(|p| p.track));
    seen.input("one track behind the other", &flv(&apart), &[want("interleaving")]);
    let rare = demo.clone().with(|all| {
        all.iter_mut().filter(|p| p.track.0 == 1).enumerate().for_each(|(i, p)| p.key = i == 0 || i == 350);
    });
    seen.input(
        "one keyframe and no other for long",
        &flv(&rare),
        &[want("long-gop").on(1, 14000.0), want("hidden-keyframe").on(1, 2000.0)],
    );
    // The sequence header of another stream before the second half.
    let (mut one, two) = (flv(&demo), read("tests/media/bframes.flv"));
    let header = find(&two, &[0x17, 0, 0, 0, 0]) - 11;
    let len = u32::from_be_bytes([0, two[header + 1], two[header + 2], two[header + 3]]) as usize + 15;
    one.extend_from_slice(&two[header..header + len]);
    one.extend_from_slice(&two[header + len..]);
    seen.input("another picture size", &one, &[want("track-change")]);
}

pub(crate) fn decoding(seen: &mut Seen) {
    let demo = Content::demo();
    let flv = |c: &Content| c.mux("FLV", false);
    let headless = demo.clone().with(|all| {
        all.remove(0);
    });
    seen.input("the keyframe is cut off", &flv(&headless), &[want("no-keyframe-at-start").on(1, 40.0)]);
    let liar = demo.clone().with(|all| all.iter_mut().filter(|p| p.track.0 == 1).nth(3).unwrap().key = true);
    seen.input("predicted, but called a keyframe", &flv(&liar), &[want("false-keyframe").on(1, 120.0)]);
    let hollow = demo.clone().with(|all| all[4].data = Bytes::new());
    seen.file("nothing in it", &hollow.mux("MP4", true), &[want("empty-packet")]);
    let broken = demo.with(|all| {
        let mut data = all[0].data.to_vec();
        data[0] = 0x7F;
        all[0].data = data.into();
    });
    seen.file("a unit longer than its packet", &broken.mux("MKV", false), &[want("nal-length")]);
    let clip = read("tests/media/h264-ac3.ts");
    let half = [&clip[..188 * 3], &clip[clip.len() / 2 / 188 * 188..]].concat();
    seen.input("a start without SPS", &half, &[want("no-parameter-sets")]);
}
