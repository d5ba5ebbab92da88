//! Several publishes and plays on one connection, each with a ticket of its own.

use crate::support::*;
use mist_core::media::Media;
use mist_core::session::{Control, Input};
use mist_formats::amf::Value;
use mist_protocols::rtmp::message::kind;

#[test]
fn media_keep_apart() {
    let mut s = Scripted::connected();
    for t in 2..6 {
        s.call(0, &["createStream".into(), f64::from(t).into(), Value::Null]);
    }
    let ids: Vec<_> = s.calls().iter().map(|c| c.args[0].as_f64().unwrap()).collect();
    assert_eq!(ids, [1.0, 2.0, 3.0, 4.0]);
    let a = s.publish(1, "a");
    let b = s.publish(2, "b");
    let c = s.play(3, "c");
    let d = s.play(4, "d");
    s.take();
    for (stream, byte) in [(1, b'a'), (2, b'b')] {
        s.message(4, stream, kind::AUDIO, 0, &[0xaf, 0, 0x12, 0x10]);
        s.message(4, stream, kind::AUDIO, 5, &[0xaf, 1, byte]);
    }
    let got: Vec<_> = s
        .out
        .media
        .iter()
        .filter_map(|(t, m)| if let Media::Packet(p) = m { Some((*t, p.data.to_vec())) } else { None })
        .collect();
    assert_eq!(got, [(a, b"a".to_vec()), (b, b"b".to_vec())]);
    for (t, ms) in [(c, 10), (d, 20)] {
        s.input(Input::Media(t, Media::Track(audio())));
        s.input(Input::Media(t, Media::Packet(packet(audio().id, ms, 0, true, 400))));
    }
    let got: Vec<_> = s
        .replies
        .iter()
        .filter(|m| m.kind == kind::AUDIO && m.body.len() > 300)
        .map(|m| (m.stream, m.time))
        .collect();
    assert_eq!(got, [(3, 10), (4, 20)]);
    // Ids and chunk streams of deleted streams are used again.
    s.take();
    s.call(0, &["deleteStream".into(), 0.0.into(), Value::Null, 3.0.into()]);
    assert_eq!(s.out.controls, [(c, Control::Close)]);
    s.call(0, &["createStream".into(), 9.0.into(), Value::Null]);
    assert_eq!(s.calls().last().unwrap().args[0].as_f64(), Some(3.0));
    assert!(s.out.wants_media, "the other play goes on");
    s.input(Input::Shutdown);
    let closed: Vec<_> = s.out.controls.iter().map(|(t, _)| *t).collect();
    assert_eq!(closed, [c, a, b, d]);
    assert_eq!(s.out.done, Some(Ok(())));
}

#[test]
fn publishing_again_on_a_stream_ends_the_first() {
    let (mut s, first) = Scripted::publishing();
    let second = s.publish(1, "y");
    assert_ne!(first, second);
    assert_eq!(s.out.controls, [(first, Control::Close)]);
}
