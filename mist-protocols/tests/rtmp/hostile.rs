//! What attackers send: a clear end of that one connection, within the limits.

use crate::support::*;
use bytes::Bytes;
use mist_core::session::SessionError;
use mist_formats::amf::Value;
use mist_protocols::rtmp::chunk::ChunkReader;
use mist_protocols::rtmp::limits::Limits;
use mist_protocols::rtmp::message::kind;

fn what(done: &Option<Result<(), SessionError>>) -> &'static str {
    match done {
        Some(Err(SessionError::Peer { what, .. } | SessionError::Limit { what, .. })) => what,
        other => panic!("{other:?}"),
    }
}

fn error(bytes: &[u8]) -> &'static str {
    let mut r = ChunkReader::new(Limits::DEFAULT, 0);
    r.push(Bytes::copy_from_slice(bytes));
    loop {
        match r.poll() {
            Ok(Some(_)) => {}
            Ok(None) => panic!("no error"),
            Err(e) => return what(&Some(Err(e))),
        }
    }
}

/// The head of a type 0 chunk on any chunk stream.
fn head(csid: u32, len: u32, kind: u8) -> Vec<u8> {
    let mut v = match csid {
        2..=63 => vec![csid as u8],
        64..=319 => vec![0, (csid - 64) as u8],
        _ => vec![1, (csid - 64) as u8, ((csid - 64) >> 8) as u8],
    };
    let l = len.to_be_bytes();
    v.extend([0, 0, 0, l[1], l[2], l[3], kind, 1, 0, 0, 0]);
    v
}

fn control(kind: u8, value: u32) -> Vec<u8> {
    [head(2, 4, kind), value.to_be_bytes().to_vec()].concat()
}

#[test]
fn chunk_sizes() {
    assert_eq!(error(&control(kind::SET_CHUNK_SIZE, 0)), "chunk size is 0");
    assert_eq!(error(&control(kind::SET_CHUNK_SIZE, 0x8000_0000)), "chunk size is above 2^31-1");
    let short = [head(2, 2, kind::SET_CHUNK_SIZE), vec![0, 0]].concat();
    assert_eq!(error(&short), "Set Chunk Size is too short");
    // The largest is legal, and allocates nothing.
    let mut r = ChunkReader::new(Limits::DEFAULT, 0);
    r.push([control(kind::SET_CHUNK_SIZE, 0x7FFF_FFFF), head(4, 0xFF_FFFF, 9)].concat().into());
    assert!(r.poll().unwrap().is_none());
    assert_eq!(r.held(), 0);
}

#[test]
fn messages_may_not_change_while_they_come() {
    for (len, kind) in [(1001u32, 9), (999, 9), (10, 9), (1000, 8)] {
        let l = len.to_be_bytes();
        let again = [vec![0x44, 0, 0, 0, l[1], l[2], l[3], kind], vec![1; 128]].concat();
        let b = [head(4, 1000, 9), vec![1; 128], again].concat();
        assert_eq!(error(&b), "length or type changes within a message");
    }
}

#[test]
fn heads_without_a_past() {
    for fmt in [0x84, 0xC4] {
        assert_eq!(error(&[fmt, 0, 0, 0, 0]), "the first chunk of a chunk stream has no length");
    }
}

#[test]
fn chunk_streams_have_an_end() {
    let many: Vec<u8> = (2..65_600u32).flat_map(|c| [head(c, 0xFF_FFFF, 9), vec![1; 128]].concat()).collect();
    assert_eq!(error(&many), "messages at the same time");
    let empty: Vec<u8> = (2..65_600u32).flat_map(|c| head(c, 0, 9)).collect();
    assert_eq!(error(&empty), "chunk streams");
    // Few chunk streams, each nearly as long as a message can be.
    let mut r = ChunkReader::new(Limits::DEFAULT, 0);
    r.push(control(kind::SET_CHUNK_SIZE, 0x7FFF_FFFF).into());
    let piece = Bytes::from(vec![1u8; 1 << 20]);
    let mut peak = 0;
    r.push(control(kind::SET_CHUNK_SIZE, 1 << 20).into());
    let e = 'outer: loop {
        for csid in 10..40 {
            for round in 0..15 {
                r.push(if round == 0 {
                    head(csid, 0xFF_FFFF, 9).into()
                } else {
                    Bytes::from(vec![0xC0 | csid as u8])
                });
                r.push(piece.clone());
                match r.poll() {
                    Ok(m) => assert!(m.is_none()),
                    Err(e) => break 'outer e,
                }
                peak = peak.max(r.held());
            }
        }
    };
    assert_eq!(what(&Some(Err(e))), "bytes of incomplete messages");
    assert!(peak <= Limits::DEFAULT.partial_total);
}

#[test]
fn message_size() {
    let limits = Limits { message: 1000, ..Limits::DEFAULT };
    let mut r = ChunkReader::new(limits, 0);
    r.push(head(4, 1001, 9).into());
    assert!(matches!(r.poll(), Err(SessionError::Limit { what: "message size", .. })));
}

#[test]
fn amf_that_would_unfold() {
    let deep = [3, 0, 1, b'a'].repeat(100_000);
    let ecma = vec![8, 0xFF, 0xFF, 0xFF, 0xFF, 0, 1, b'a'];
    let strict = vec![10, 0xFF, 0xFF, 0xFF, 0xFF];
    let text = vec![12, 0xFF, 0xFF, 0xFF, 0xFF, b'x'];
    let cycle = vec![3, 0, 1, b'a', 7, 0, 0];
    for bad in [deep, ecma, strict, text, cycle, vec![3, 0, 1, b'a'], vec![0x11, 0x0A, 0xFF, 0xFF, 0xFF]] {
        let mut s = Scripted::connected();
        let mut body = vec![2, 0, 4];
        body.extend(b"play");
        body.extend([0, 0, 0, 0, 0, 0, 0, 0, 0]);
        body.extend(bad);
        s.message(3, 1, kind::COMMAND, 0, &body);
        assert_eq!(what(&s.out.done), "unreadable AMF", "{:?}", &body[..body.len().min(30)]);
        assert!(s.out.asks.is_empty());
    }
}

#[test]
fn too_many_of_everything() {
    let mut s = Scripted::connected();
    for i in 0..40 {
        s.call(0, &["createStream".into(), f64::from(i + 2).into(), Value::Null]);
    }
    let refused = s.calls().iter().filter(|c| c.name == "_error").count();
    assert_eq!(refused, 40 - Limits::DEFAULT.streams);
    assert_eq!(s.out.done, None);
    for i in 0..10_000 {
        s.call(0, &["createStream".into(), f64::from(i + 50).into(), Value::Null]);
    }
    assert_eq!(what(&s.out.done), "commands");

    let mut s = Scripted::connected();
    for i in 1..20 {
        s.call(i, &["play".into(), 1.0.into(), Value::Null, "x".into()]);
    }
    assert_eq!(what(&s.out.done), "requests at the same time");
    assert_eq!(s.out.asks.len(), Limits::DEFAULT.pending_asks);

    let mut s = Scripted::connected();
    s.call(1, &["publish".into(), 1.0.into(), Value::Null, "x".into()]);
    s.message(2, 0, kind::SET_CHUNK_SIZE, 0, &[0, 0, 0, 128]);
    for _ in 0..100 {
        s.message(4, 1, kind::VIDEO, 0, &vec![0x22; 100_000]);
    }
    assert_eq!(what(&s.out.done), "media before the answer");
}

#[test]
fn long_texts_in_connect() {
    let mut s = Scripted::new(Limits::DEFAULT);
    let o = mist_formats::amf::Object::new().with("app", "x".repeat(60_000).as_str());
    s.call(0, &["connect".into(), 1.0.into(), o.into()]);
    assert_eq!(what(&s.out.done), "length of connect properties");
}

#[test]
fn connect_comes_first() {
    let mut s = Scripted::new(Limits::DEFAULT);
    s.call(0, &["createStream".into(), 1.0.into(), Value::Null]);
    assert_eq!(what(&s.out.done), "connect is not the first command");
}

#[test]
fn damaged_media_are_told_a_few_times_and_do_no_harm() {
    let (mut s, _) = Scripted::publishing();
    for i in 0..1000 {
        s.message(6, 1, kind::VIDEO, i, &[0x1f, 0xff]);
        s.message(6, 1, kind::VIDEO, i, &[]);
        s.message(4, 1, kind::AUDIO, i, b"\x91xxxx");
    }
    assert!(!s.out.notes.is_empty() && s.out.notes.len() <= 16, "{}", s.out.notes.len());
    assert_eq!(s.out.done, None);
}

#[test]
fn an_http_client_on_the_wrong_port() {
    let mut s = Scripted::before_handshake(Limits::DEFAULT);
    s.bytes(b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!(what(&s.out.done), "version is not 3");
    assert!(s.replies.is_empty());
}
