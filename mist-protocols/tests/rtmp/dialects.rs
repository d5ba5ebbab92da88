//! What encoders really send.

use crate::support::*;
use mist_core::session::{Answer, Ask, Control, Input};
use mist_formats::amf::{Object, Value, amf0};
use mist_protocols::rtmp::limits::Limits;
use mist_protocols::rtmp::message::kind;

fn connect(app: &str, tc_url: Option<&str>) -> Scripted {
    let mut s = Scripted::new(Limits::DEFAULT);
    let mut o = Object::new().with("app", app);
    if let Some(u) = tc_url {
        o = o.with("tcUrl", u);
    }
    s.call(0, &["connect".into(), 1.0.into(), o.into()]);
    s.take();
    s
}

fn asked(s: &mut Scripted, name: &str) -> (String, String, String) {
    s.call(1, &["publish".into(), 3.0.into(), Value::Null, name.into(), "live".into()]);
    match s.out.asks.pop() {
        Some((_, Ask::Publish { stream, url, secret })) => (stream, url, secret.unwrap()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn urls() {
    for (app, tc_url, name, want) in [
        ("pw", Some("rtmp://h:1936/pw"), "x", ("x", "rtmp://h:1936/pw/x", "pw")),
        ("pw", None, "x", ("x", "rtmp:///pw/x", "pw")),
        ("a/b", Some("rtmp://h/a/b"), "x?k=v", ("x", "rtmp://h/a/b/x?k=v", "a/b")),
        ("app?key", Some("rtmp://h/app?key"), "s?x=y", ("s", "rtmp://h/app?key/s?x=y", "app")),
        ("pw/_definst_", Some("rtmp://h/pw/_definst_"), "x", ("x", "rtmp://h/pw/_definst_/x", "pw")),
        ("", Some("rtmp://h/pw"), "x", ("x", "rtmp://h/pw/x", "pw")),
        (
            "pw",
            Some("rtmp://h/pw"),
            "../../etc/passwd",
            ("../../etc/passwd", "rtmp://h/pw/../../etc/passwd", "pw"),
        ),
    ] {
        let mut s = connect(app, tc_url);
        let got = asked(&mut s, name);
        assert_eq!((got.0.as_str(), got.1.as_str(), got.2.as_str()), want);
    }
}

#[test]
fn the_order_of_fmle_and_obs() {
    let mut s = connect("pw", Some("rtmp://h/pw"));
    for (t, name) in [(2.0, "releaseStream"), (3.0, "FCPublish")] {
        s.call(0, &[name.into(), t.into(), Value::Null, "x".into()]);
    }
    s.call(0, &["createStream".into(), 4.0.into(), Value::Null]);
    s.call(0, &["_checkbw".into(), 5.0.into(), Value::Null]);
    let t = s.publish(1, "x");
    let calls: Vec<_> = s.calls().iter().map(|c| (c.name.clone(), c.transaction)).collect();
    let want = [
        ("_result", 2.0),
        ("onFCPublish", 0.0),
        ("_result", 3.0),
        ("_result", 4.0),
        ("_result", 5.0),
        ("onStatus", 0.0),
    ];
    assert_eq!(calls, want.map(|(n, t)| (n.to_owned(), t)));
    assert_eq!(s.codes().last().unwrap(), "NetStream.Publish.Start");
    s.take();
    s.call(0, &["FCUnpublish".into(), 6.0.into(), Value::Null, "x".into()]);
    s.call(0, &["deleteStream".into(), 7.0.into(), Value::Null, 1.0.into()]);
    assert_eq!(s.out.controls, [(t, Control::Close)], "once");
    assert_eq!(s.out.done, None);
}

#[test]
fn fcpublish_after_publish_and_no_createstream() {
    let mut s = connect("pw", Some("rtmp://h/pw"));
    let t = s.publish(0, "x");
    s.call(0, &["FCPublish".into(), 0.0.into(), Value::Null, "x".into()]);
    s.message(4, 0, kind::AUDIO, 0, &[0xaf, 0, 0x12, 0x10]);
    s.message(4, 0, kind::AUDIO, 0, &[0xaf, 1, 7]);
    assert_eq!(s.out.packets().len(), 1);
    assert_eq!(s.out.media[0].0, t);
}

#[test]
fn media_before_the_answer_wait_for_it() {
    let mut s = connect("pw", Some("rtmp://h/pw"));
    s.call(1, &["publish".into(), 3.0.into(), Value::Null, "x".into(), "live".into()]);
    s.message(4, 1, kind::AUDIO, 0, &[0xaf, 0, 0x12, 0x10]);
    s.message(4, 1, kind::AUDIO, 20, &[0xaf, 1, 7]);
    assert!(s.out.media.is_empty() && s.codes().is_empty());
    let (t, _) = s.out.asks.pop().unwrap();
    s.input(Input::Answer(t, Answer::Yes));
    assert_eq!((s.out.tracks().len(), s.out.packets().len()), (1, 1));
    assert_eq!(s.codes(), ["NetStream.Publish.Start"]);
    // An answer that comes twice changes nothing.
    s.input(Input::Answer(t, Answer::Yes));
    assert_eq!(s.codes().len(), 1);
}

#[test]
fn a_publish_that_is_over_before_the_answer() {
    let mut s = connect("pw", Some("rtmp://h/pw"));
    s.call(1, &["publish".into(), 3.0.into(), Value::Null, "x".into(), "live".into()]);
    s.call(0, &["deleteStream".into(), 7.0.into(), Value::Null, 1.0.into()]);
    let (t, _) = s.out.asks.pop().unwrap();
    assert_eq!(s.out.controls, [(t, Control::Close)]);
    s.input(Input::Answer(t, Answer::Yes));
    assert!(!s.codes().iter().any(|c| c == "NetStream.Publish.Start"));
    assert_eq!(s.out.done, None);
}

#[test]
fn metadata_in_every_wrapping_and_late() {
    let (mut s, _) = Scripted::publishing();
    let meta =
        Value::EcmaArray(Object::new().with("width", 640.0).with("height", 360.0).with("framerate", 25.0));
    s.message(6, 1, kind::VIDEO, 0, &[&[0x17, 0, 0, 0, 0], AVCC].concat());
    s.message(6, 1, kind::VIDEO, 0, &[0x17, 1, 0, 0, 0, 0, 0, 0, 2, 0x65, 1]);
    s.message(
        5,
        1,
        kind::DATA,
        0,
        &amf0::write_all(&["@setDataFrame".into(), "onMetaData".into(), meta.clone()]),
    );
    assert_eq!(s.out.tracks().last().unwrap().size(), (640, 360), "metadata after media still count");
    let mut amf3 = vec![0];
    amf3.extend(amf0::write_all(&["onMetaData".into(), meta]));
    s.message(5, 1, kind::DATA_AMF3, 0, &amf3);
    s.message(5, 1, kind::DATA, 0, &amf0::write_all(&["@clearDataFrame".into(), "onMetaData".into()]));
    s.message(6, 1, kind::VIDEO, 40, &[0x27, 1, 0, 0, 0, 0, 0, 0, 2, 0x41, 1]);
    assert_eq!(s.out.packets().len(), 2);
    assert_eq!((s.out.done, s.out.notes), (None, vec![]));
}

#[test]
fn what_is_not_known_is_ignored_or_answered() {
    let (mut s, _) = Scripted::publishing();
    for kind in [0, 7, 10, 16, 19, 21, 23, 255] {
        s.message(5, 1, kind, 0, b"whatever this is");
    }
    s.call(1, &["setPeerInfo".into(), 0.0.into(), Value::Null]);
    assert!(s.calls().is_empty());
    s.call(1, &["somethingNew".into(), 9.0.into(), Value::Null]);
    let c = s.calls().remove(0);
    assert_eq!(
        (c.name.as_str(), c.transaction, c.info("code")),
        ("_error", 9.0, Some("NetConnection.Call.Failed"))
    );
    // Answers to our own calls are not answered.
    s.call(0, &["_result".into(), 9.0.into(), Value::Null]);
    s.call(0, &["_error".into(), 9.0.into(), Value::Null]);
    assert_eq!(s.calls().len(), 1);
    assert_eq!(s.out.done, None);
}

#[test]
fn commands_in_amf3_are_answered_in_kind() {
    let mut s = Scripted::new(Limits::DEFAULT);
    let o = Object::new().with("app", "pw").with("objectEncoding", 3.0);
    let mut body = vec![0];
    body.extend(amf0::write_all(&["connect".into(), 1.0.into(), o.into()]));
    s.message(3, 0, kind::COMMAND_AMF3, 0, &body);
    let m = s.replies.iter().find(|m| m.body.windows(7).any(|w| w == b"_result")).unwrap();
    assert_eq!((m.kind, m.body[0]), (kind::COMMAND_AMF3, 0));
    let c = s.calls().remove(0);
    assert_eq!(c.args[0].get("objectEncoding").and_then(Value::as_f64), Some(3.0));
}
