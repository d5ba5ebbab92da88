//! Every wait for the peer ends, under its name.

use crate::support::*;
use mist_core::session::{Input, SessionError};
use mist_formats::amf::Value;
use mist_protocols::rtmp::limits::Limits;
use mist_protocols::rtmp::message::{UserControl, kind};
use std::time::Duration;

const L: Limits = Limits::DEFAULT;

fn timed_out(s: &Scripted) -> Option<&'static str> {
    match &s.out.done {
        Some(Err(SessionError::Timeout(what))) => Some(what),
        None => None,
        other => panic!("{other:?}"),
    }
}

fn pong(s: &mut Scripted) {
    let pings: Vec<_> = s.replies.iter().filter_map(|m| UserControl::parse(&m.body)).collect();
    if let Some(UserControl::PingRequest(t)) = pings.last() {
        let (body, n) = UserControl::PingResponse(*t).body();
        s.message(2, 0, kind::USER_CONTROL, 0, &body[..n]);
    }
    s.take();
}

#[test]
fn slow_loris() {
    let mut s = Scripted::before_handshake(L);
    let mut n = 0;
    while timed_out(&s).is_none() {
        s.bytes(&[if n == 0 { 3 } else { 0 }]);
        s.pass(Duration::from_millis(900));
        n += 1;
        assert!(n < 20);
    }
    assert_eq!(timed_out(&s), Some("handshake"));
    assert!(s.clock.passed >= L.handshake && s.clock.passed <= L.handshake + Duration::from_secs(1));
}

#[test]
fn the_deadline_is_told() {
    let s = Scripted::before_handshake(L);
    assert_eq!(s.clock.since_start(s.out.until.unwrap()), L.handshake);
    let (mut s, _) = Scripted::publishing();
    s.input(Input::Tick);
    assert_eq!(s.clock.since_start(s.out.until.unwrap()), L.ping_after.min(L.publisher_idle));
}

#[test]
fn no_connect() {
    let mut s = Scripted::new(L);
    for _ in 0..40 {
        // Bytes that mean nothing do not help.
        s.message(2, 0, kind::ACK, 0, &[0; 4]);
        s.pass(Duration::from_secs(1));
    }
    assert_eq!(timed_out(&s), Some("connect"));
}

#[test]
fn neither_publish_nor_play() {
    let mut s = Scripted::connected();
    while timed_out(&s).is_none() {
        assert!(s.clock.passed <= L.idle + Duration::from_secs(2));
        s.pass(Duration::from_secs(1));
        pong_or_done(&mut s);
    }
    assert_eq!(timed_out(&s), Some("publish or play"));
}

fn pong_or_done(s: &mut Scripted) {
    if s.out.done.is_none() {
        pong(s);
    }
}

#[test]
fn a_publisher_without_media() {
    let (mut s, _) = Scripted::publishing();
    s.pass(Duration::from_secs(20));
    s.message(4, 1, kind::AUDIO, 0, &[0xaf, 0, 0x12, 0x10]);
    s.take();
    let start = s.clock.passed;
    while timed_out(&s).is_none() {
        assert!(s.clock.passed <= start + L.publisher_idle);
        s.pass(Duration::from_secs(1));
        pong_or_done(&mut s);
    }
    assert_eq!(s.clock.passed, start + L.publisher_idle);
    assert_eq!(timed_out(&s), Some("media from the publisher"));
}

#[test]
fn a_silent_viewer_is_pinged_and_then_dropped() {
    let mut s = Scripted::connected();
    s.call(0, &["createStream".into(), 2.0.into(), Value::Null]);
    s.play(1, "x");
    s.take();
    for _ in 0..20 {
        s.pass(L.ping_after);
        assert!(
            s.replies
                .iter()
                .any(|m| matches!(UserControl::parse(&m.body), Some(UserControl::PingRequest(_))))
        );
        pong(&mut s);
        assert_eq!(timed_out(&s), None);
    }
    s.pass(L.ping_after);
    s.pass(L.pong_within - Duration::from_millis(1));
    assert_eq!(timed_out(&s), None);
    s.pass(Duration::from_millis(1));
    assert_eq!(timed_out(&s), Some("ping response"));
}

#[test]
fn pings_are_answered() {
    let mut s = Scripted::connected();
    let (body, n) = UserControl::PingRequest(0xDEAD_BEEF).body();
    s.message(2, 0, kind::USER_CONTROL, 0, &body[..n]);
    let m = s.replies.pop().unwrap();
    assert_eq!(UserControl::parse(&m.body), Some(UserControl::PingResponse(0xDEAD_BEEF)));
}

#[test]
fn acknowledgements_follow_the_peers_window() {
    let (mut s, _) = Scripted::publishing();
    s.message(2, 0, kind::WINDOW_ACK_SIZE, 0, &5000u32.to_be_bytes());
    s.take();
    let mut acks = Vec::new();
    for i in 0..100 {
        s.message(4, 1, kind::VIDEO, i, &[0x22; 1000]);
        acks.extend(
            s.replies
                .iter()
                .filter(|m| m.kind == kind::ACK)
                .map(|m| u32::from_be_bytes(m.body[..].try_into().unwrap())),
        );
        s.take();
    }
    assert!((18..=22).contains(&acks.len()), "{acks:?}");
    assert!(acks.windows(2).all(|w| w[1] - w[0] >= 5000 && w[1] - w[0] < 7000), "{acks:?}");
    // A window of nothing is not believed; a window of one byte gives one acknowledgement an input.
    s.message(2, 0, kind::WINDOW_ACK_SIZE, 0, &[0; 4]);
    s.message(2, 0, kind::WINDOW_ACK_SIZE, 0, &1u32.to_be_bytes());
    s.take();
    s.message(4, 1, kind::VIDEO, 200, &[0x22; 1000]);
    assert_eq!(s.replies.iter().filter(|m| m.kind == kind::ACK).count(), 1);
}

#[test]
fn the_end_comes_once() {
    let (mut s, _) = Scripted::publishing();
    s.input(Input::Closed(FLOW));
    assert_eq!(s.out.done, Some(Ok(())));
    s.bytes(&[0xFF; 100]);
    assert_eq!(s.out.done, Some(Ok(())));
}
