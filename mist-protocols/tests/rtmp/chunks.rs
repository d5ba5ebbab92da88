//! The chunk layer below the sessions: interleaving, Abort, chunk sizes, and no copies where none are needed.

use bytes::Bytes;
use mist_core::gather::Gather;
use mist_protocols::rtmp::chunk::{ChunkReader, ChunkWriter, Message};
use mist_protocols::rtmp::limits::Limits;
use mist_protocols::rtmp::message::kind;

fn reader() -> ChunkReader {
    ChunkReader::new(Limits::DEFAULT, 0)
}

fn poll(r: &mut ChunkReader, b: &[u8]) -> Vec<Message> {
    r.push(Bytes::copy_from_slice(b));
    std::iter::from_fn(|| r.poll().unwrap()).collect()
}

/// The head of a type 0 chunk.
fn head(csid: u8, len: usize, kind: u8) -> Vec<u8> {
    let l = (len as u32).to_be_bytes();
    vec![csid, 0, 0, 0, l[1], l[2], l[3], kind, 1, 0, 0, 0]
}

fn control(kind: u8, value: u32) -> Vec<u8> {
    let mut v = head(2, 4, kind);
    v.extend(value.to_be_bytes());
    v
}

#[test]
fn interleaved_messages() {
    let mut r = reader();
    let mut b = head(4, 200, 8);
    b.extend([4; 128]);
    b.extend(head(5, 300, 9));
    b.extend([5; 128]);
    b.push(0xC4);
    b.extend([4; 72]);
    b.push(0xC5);
    b.extend([5; 128]);
    b.push(0xC5);
    b.extend([5; 44]);
    let got: Vec<_> = poll(&mut r, &b).iter().map(|m| (m.csid, m.kind, m.body.to_vec())).collect();
    assert_eq!(got, [(4, 8, vec![4; 200]), (5, 9, vec![5; 300])]);
    assert_eq!(r.held(), 0);
}

#[test]
fn the_chunk_size_changes_within_a_message() {
    let mut r = reader();
    let mut b = head(4, 1000, 8);
    b.extend([4; 128]);
    b.extend(control(kind::SET_CHUNK_SIZE, 60_000));
    b.push(0xC4);
    b.extend([4; 872]);
    let got = poll(&mut r, &b);
    assert_eq!((got.len(), got[0].body.len(), r.chunk_size()), (1, 1000, 60_000));
    let mut b = head(4, 3, 8);
    b.splice(0..0, control(kind::SET_CHUNK_SIZE, 1));
    b.extend([1, 0xC4, 2, 0xC4, 3]);
    assert_eq!(poll(&mut r, &b)[0].body[..], [1, 2, 3]);
}

#[test]
fn abort_forgets_one_message() {
    let mut r = reader();
    let mut b = head(4, 1000, 8);
    b.extend([4; 128]);
    b.extend(head(5, 200, 9));
    b.extend([5; 128]);
    b.extend(control(kind::ABORT, 4));
    b.extend(control(kind::ABORT, 77));
    b.push(0xC5);
    b.extend([5; 72]);
    b.extend(head(4, 2, 8));
    b.extend([6, 6]);
    let got: Vec<_> = poll(&mut r, &b).iter().map(|m| (m.csid, m.body.len())).collect();
    assert_eq!(got, [(5, 200), (4, 2)]);
    assert_eq!(r.held(), 0);
}

#[test]
fn one_chunk_in_one_piece_is_not_copied() {
    let mut w = ChunkWriter::new();
    let mut g = Gather::new();
    w.message(2, 0, kind::SET_CHUNK_SIZE, 0, &65_536u32.to_be_bytes(), Bytes::new(), &mut g);
    w.set_chunk_size(65_536);
    w.message(4, 1, 9, 0, &[0x17], vec![9; 50_000].into(), &mut g);
    let all = Bytes::from(g.to_vec());
    let mut r = reader();
    r.push(all.clone());
    let m = r.poll().unwrap().unwrap();
    assert_eq!(m.body.as_ptr(), all[all.len() - 50_001..].as_ptr());
}

#[test]
fn memory_follows_what_came_not_what_was_declared() {
    let mut r = reader();
    let mut b = head(4, 0xFF_FFFF, 9);
    b.extend([1; 100]);
    assert!(poll(&mut r, &b).is_empty());
    assert!(r.held() <= 128, "{}", r.held());
}
