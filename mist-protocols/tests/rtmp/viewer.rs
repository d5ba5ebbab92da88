//! What a viewer is told, and what it can ask for.

use crate::support::*;
use mist_core::codec::Codec;
use mist_core::media::{Media, Params, TrackInfo};
use mist_core::session::{Answer, Ask, Control, Input, PlayFrom};
use mist_core::time::{Duration, Timestamp};
use mist_formats::amf::{Object, Value, amf0};
use mist_formats::flv::Script;
use mist_protocols::rtmp::message::{UserControl, kind};
use std::sync::Arc;

/// Names of what the server sent, in order.
fn story(s: &Scripted) -> Vec<String> {
    s.replies
        .iter()
        .map(|m| match m.kind {
            kind::USER_CONTROL => format!("{:?}", UserControl::parse(&m.body).unwrap()),
            kind::COMMAND => {
                let c = mist_protocols::rtmp::command::Call::parse(m).unwrap();
                c.info("code").unwrap_or(&c.name).to_owned()
            }
            kind::DATA => Script::parse(&m.body).unwrap().name,
            kind::AUDIO => format!("audio {} {}", m.time, if m.body[1] == 0 { "config" } else { "frame" }),
            kind::VIDEO => format!("video {} {}", m.time, if m.body[1] == 0 { "config" } else { "frame" }),
            n => n.to_string(),
        })
        .collect()
}

fn playing() -> (Scripted, mist_core::session::Ticket) {
    let mut s = Scripted::connected();
    s.call(0, &["createStream".into(), 2.0.into(), Value::Null]);
    s.take();
    let t = s.play(1, "cam");
    (s, t)
}

#[test]
fn the_whole_story() {
    let (mut s, t) = playing();
    let with_size = Arc::new(TrackInfo {
        params: Params::Video { width: 1920, height: 1080, fpks: 29970 },
        ..(*video()).clone()
    });
    s.input(Input::Media(t, Media::Track(with_size)));
    s.input(Input::Media(t, Media::Track(audio())));
    s.input(Input::Media(t, Media::Packet(packet(video().id, 5000, 0, true, 900))));
    s.input(Input::Media(t, Media::Packet(packet(audio().id, 5010, 0, true, 30))));
    s.input(Input::Media(t, Media::End));
    let want = [
        "StreamBegin(1)",
        "NetStream.Play.Reset",
        "NetStream.Play.Start",
        "|RtmpSampleAccess",
        "onMetaData",
        "video 5000 config",
        "audio 5000 config",
        "video 5000 frame",
        "audio 5010 frame",
        "onPlayStatus",
        "NetStream.Play.UnpublishNotify",
        "NetStream.Play.Stop",
        "StreamEof(1)",
    ];
    assert_eq!(story(&s), want);
    let data = s.replies.iter().filter(|m| m.kind == kind::DATA).nth(1).unwrap();
    let meta = Script::parse(&data.body).unwrap();
    let meta = meta.metadata().unwrap();
    for (k, v) in [("width", 1920.0), ("height", 1080.0), ("framerate", 29.97), ("audiosamplerate", 44100.0)]
    {
        assert_eq!(meta.get(k).and_then(Value::as_f64), Some(v), "{k}");
    }
    assert_eq!(s.out.done, None);
    assert_eq!(s.out.controls, [(t, Control::Close)]);
}

#[test]
fn media_are_not_wanted_before_the_answer_nor_while_paused() {
    let mut s = Scripted::connected();
    s.call(1, &["play".into(), 3.0.into(), Value::Null, "cam".into()]);
    assert!(!s.out.wants_media);
    let (t, _) = s.out.asks.pop().unwrap();
    s.input(Input::Answer(t, Answer::Yes));
    assert!(s.out.wants_media);
    s.take();
    s.call(1, &["pause".into(), 4.0.into(), Value::Null, true.into(), 1234.0.into()]);
    assert!(!s.out.wants_media);
    s.call(1, &["pause".into(), 5.0.into(), Value::Null, false.into(), 1234.0.into()]);
    assert!(s.out.wants_media);
    assert_eq!(s.out.controls, [(t, Control::Pause), (t, Control::Resume)]);
    assert_eq!(s.codes(), ["NetStream.Pause.Notify", "NetStream.Unpause.Notify"]);
}

#[test]
fn seeking_repeats_the_configuration() {
    let (mut s, t) = playing();
    s.input(Input::Media(t, Media::Track(video())));
    s.input(Input::Media(t, Media::Packet(packet(video().id, 5000, 0, true, 900))));
    s.take();
    s.call(1, &["seek".into(), 0.0.into(), Value::Null, 2000.0.into()]);
    assert_eq!(s.out.controls, [(t, Control::Seek(Timestamp::from_millis(2000)))]);
    s.input(Input::Media(t, Media::Packet(packet(video().id, 1960, 0, true, 900))));
    let want = [
        "NetStream.Seek.Notify",
        "StreamBegin(1)",
        "NetStream.Play.Start",
        "video 1960 config",
        "video 1960 frame",
    ];
    assert_eq!(story(&s), want);
}

#[test]
fn kinds_that_are_not_wanted_are_not_sent() {
    let (mut s, t) = playing();
    s.take();
    s.call(1, &["receiveVideo".into(), 0.0.into(), Value::Null, false.into()]);
    assert_eq!(s.out.controls, [(t, Control::Receive { audio: true, video: false })]);
    s.input(Input::Media(t, Media::Track(video())));
    s.input(Input::Media(t, Media::Track(audio())));
    s.input(Input::Media(t, Media::Packet(packet(video().id, 0, 0, true, 900))));
    s.input(Input::Media(t, Media::Packet(packet(audio().id, 10, 0, true, 90))));
    assert!(!story(&s).iter().any(|m| m.starts_with("video") && m.ends_with("frame")));
    assert!(story(&s).iter().any(|m| m == "audio 10 frame"));
}

#[test]
fn start_and_duration() {
    let mut s = Scripted::connected();
    s.take();
    let args =
        ["play".into(), 3.0.into(), Value::Null, "vod".into(), 30_000.0.into(), 1000.0.into(), false.into()];
    s.call(1, &args);
    let (t, ask) = s.out.asks.pop().unwrap();
    let from = PlayFrom::At(Timestamp::from_secs(30));
    assert_eq!(ask, Ask::Play { stream: "vod".into(), url: "rtmp://h/pw/vod".into(), from });
    s.input(Input::Answer(t, Answer::Yes));
    assert_eq!(s.codes(), ["NetStream.Play.Start"], "no reset was asked for");
    s.input(Input::Media(t, Media::Track(audio())));
    for ms in [29_990, 30_500, 30_989, 30_990] {
        s.input(Input::Media(t, Media::Packet(packet(audio().id, ms, 0, true, 90))));
    }
    let frames = s.replies.iter().filter(|m| m.kind == kind::AUDIO && m.body[1] == 1).count();
    assert_eq!(frames, 3);
    assert_eq!(s.out.controls, [(t, Control::Close)]);
}

#[test]
fn play2_changes_the_stream() {
    let (mut s, t) = playing();
    s.take();
    s.call(1, &["play2".into(), 0.0.into(), Value::Null, Object::new().with("streamName", "other").into()]);
    assert_eq!(s.out.controls, [(t, Control::Close)]);
    assert!(matches!(&s.out.asks[0].1, Ask::Play { stream, .. } if stream == "other"));
}

#[test]
fn lengths() {
    let mut s = Scripted::connected();
    for (t, answer, want) in [
        (4.0, Answer::Length(Duration::from_millis(61_500)), 61.5),
        (5.0, Answer::No(mist_core::session::Refusal::NotFound), 0.0),
    ] {
        s.call(0, &["getStreamLength".into(), t.into(), Value::Null, "vod?x".into()]);
        let (ticket, ask) = s.out.asks.pop().unwrap();
        assert_eq!(ask, Ask::Length { stream: "vod".into() });
        s.input(Input::Answer(ticket, answer));
        let c = s.calls().pop().unwrap();
        assert_eq!((c.name.as_str(), c.transaction, c.args[0].as_f64()), ("_result", t, Some(want)));
    }
}

#[test]
fn a_track_that_changes_is_told_again() {
    let (mut s, t) = playing();
    s.input(Input::Media(t, Media::Track(audio())));
    s.input(Input::Media(t, Media::Packet(packet(audio().id, 10, 0, true, 90))));
    s.take();
    let mono = TrackInfo { init: bytes::Bytes::from_static(&[0x12, 0x08]), ..(*audio()).clone() };
    s.input(Input::Media(t, Media::Track(Arc::new(mono))));
    assert_eq!(story(&s), ["onMetaData", "audio 10 config"]);
}

#[test]
fn codecs_that_need_a_fourcc_reach_players_that_announce_nothing() {
    let (mut s, t) = playing();
    s.take();
    let hevc =
        TrackInfo { codec: Codec::Hevc, init: bytes::Bytes::from_static(b"init"), ..(*video()).clone() };
    s.input(Input::Media(t, Media::Track(Arc::new(hevc))));
    s.input(Input::Media(t, Media::Packet(packet(video().id, 0, 0, true, 900))));
    let heads: Vec<_> =
        s.replies.iter().filter(|m| m.kind == kind::VIDEO).map(|m| m.body[..5].to_vec()).collect();
    assert_eq!(heads, [b"\x90hvc1".to_vec(), b"\x93hvc1".to_vec()]);
}

#[test]
fn enhanced_properties_are_answered() {
    let mut s = Scripted::new(mist_protocols::rtmp::limits::Limits::DEFAULT);
    let o = Object::new().with("app", "pw").with("fourCcList", vec![Value::from("hvc1")]);
    s.message(3, 0, kind::COMMAND, 0, &amf0::write_all(&["connect".into(), 1.0.into(), o.into()]));
    let c = s.calls().remove(0);
    assert!(c.object.get("fourCcList").and_then(Value::as_array).is_some_and(|l| l.contains(&"hvc1".into())));
    assert!(c.object.get("videoFourCcInfoMap").is_some_and(|m| m.get("av01").is_some()));
}

#[test]
fn payload_is_shared_with_every_viewer() {
    use mist_core::session::{Output, Session};
    let (mut s, t) = playing();
    s.input(Input::Media(t, Media::Track(video())));
    s.input(Input::Media(t, Media::Packet(packet(video().id, 0, 0, true, 900))));
    let packets: Vec<_> = (1..4).map(|i| packet(video().id, i * 40, 0, false, 9000 + i as usize)).collect();
    for p in &packets {
        s.server.handle(s.clock.now(), Input::Media(t, Media::Packet(p.clone())));
    }
    let Output::Send(_, g) = s.server.poll() else { panic!("nothing to send") };
    let parts = g.freeze();
    assert_eq!(parts.iter().len(), 2 * packets.len(), "a head and a payload each, in one output");
    for (i, p) in packets.iter().enumerate() {
        let (head, payload) = (parts.get(2 * i).unwrap(), parts.get(2 * i + 1).unwrap());
        assert!(head.len() <= 8 + 5, "a type 1 head and the codec's");
        assert_eq!(payload.as_ptr(), p.data.as_ptr());
    }
}
