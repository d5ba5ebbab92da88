//! Aggregate messages are taken apart, and their sub-messages' times follow the message's.

use crate::support::*;
use mist_protocols::rtmp::message::kind;

fn sub(kind: u8, time: u32, body: &[u8]) -> Vec<u8> {
    let [t3, t0, t1, t2] = time.to_be_bytes();
    let mut v = vec![kind, 0, 0, body.len() as u8, t0, t1, t2, t3, 0, 0, 0];
    v.extend_from_slice(body);
    v.extend_from_slice(&(body.len() as u32 + 11).to_be_bytes());
    v
}

#[test]
fn sub_messages_come_out() {
    let (mut s, _) = Scripted::publishing();
    let mut body = sub(kind::AUDIO, 7_000, &[0xaf, 0, 0x12, 0x10]);
    body.extend(sub(kind::AUDIO, 7_000, &[0xaf, 1, b'a']));
    body.extend(sub(kind::COMMAND, 7_000, b"not a medium"));
    body.extend(sub(kind::AGGREGATE, 7_000, b"nor this"));
    body.extend(sub(kind::AUDIO, 7_023, &[0xaf, 1, b'b']));
    s.message(4, 1, kind::AGGREGATE, 100, &body);
    s.message(4, 1, kind::AUDIO, 146, &[0xaf, 1, b'c']);
    let got: Vec<_> = s.out.packets().iter().map(|p| (p.dts.as_millis(), p.data.to_vec())).collect();
    assert_eq!(got, [(100, b"a".to_vec()), (123, b"b".to_vec()), (146, b"c".to_vec())]);
    assert_eq!(s.out.done, None);
}
