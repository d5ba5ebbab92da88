//! A refused publish or play is told in the peer's language and ends the connection cleanly.

use crate::support::*;
use mist_core::session::{Answer, Refusal, SessionError};
use mist_formats::amf::Value;
use mist_protocols::rtmp::{ClientConfig, Direction};

fn refused(direction: Direction, r: Refusal) -> String {
    let mut p = Pair::new("rtmp://host/pw/x", ClientConfig::new(direction, [1; 32]), 188);
    p.run(|_| Some(Answer::No(r)));
    assert_eq!(p.at_server.done, Some(Ok(())), "a refusal is not an error of the session");
    match p.at_client.done {
        Some(Err(SessionError::Refused { what, .. })) => what,
        other => panic!("{other:?}"),
    }
}

#[test]
fn publishing() {
    for r in [Refusal::NotFound, Refusal::Denied, Refusal::Busy, Refusal::Limit] {
        assert_eq!(refused(Direction::Publish, r), format!("NetStream.Publish.BadName: {r}"));
    }
}

#[test]
fn playing() {
    for (r, code) in [
        (Refusal::NotFound, "NetStream.Play.StreamNotFound"),
        (Refusal::Offline, "NetStream.Play.StreamNotFound"),
        (Refusal::Denied, "NetStream.Play.Failed"),
        (Refusal::NoTracks, "NetStream.Play.NoSupportedTrackFound"),
    ] {
        assert_eq!(refused(Direction::Play, r), format!("{code}: {r}"));
    }
}

#[test]
fn names_that_can_not_be() {
    for name in ["", "a\0b", "a\nb", &"n".repeat(65_535)] {
        let mut s = Scripted::connected();
        s.call(0, &["createStream".into(), 2.0.into(), Value::Null]);
        s.call(1, &["publish".into(), 3.0.into(), Value::Null, name.into(), "live".into()]);
        assert!(s.out.asks.is_empty(), "nobody is asked about {name:?}");
        assert_eq!(s.codes(), ["NetStream.Publish.BadName"]);
        assert_eq!(s.out.done, Some(Ok(())));
    }
}

#[test]
fn another_publish_on_the_connection_goes_on() {
    let (mut s, _) = Scripted::publishing();
    s.call(0, &["createStream".into(), 4.0.into(), Value::Null]);
    s.call(2, &["publish".into(), 5.0.into(), Value::Null, "y".into(), "live".into()]);
    let (t, _) = s.out.asks.pop().unwrap();
    s.input(mist_core::session::Input::Answer(t, Answer::No(Refusal::Busy)));
    assert_eq!(s.codes(), ["NetStream.Publish.BadName"]);
    assert_eq!(s.out.done, None);
}
