//! Problems of any source.

use super::{Seen, read, want};

pub(crate) fn any_source(seen: &mut Seen) {
    seen.input("noise", b"neither this nor that", &[want("unreadable")]);
    let demo = read("mist-server/assets/demo.flv");
    seen.input("head alone", &demo[..400], &[want("no-media")]);
    seen.input("half a tag", &demo[..500], &[want("truncated")]);
    seen.input(
        "a header too short",
        b"RIFF\x1c\0\0\0WAVEfmt \x02\0\0\0\x01\0data\0\0\0\0",
        &[want("malformed")],
    );
    let mut other = demo.clone();
    // All video in a codec that FLV doesn't have.
    let mut at = 13;
    while at < other.len() {
        let len = u32::from_be_bytes([0, other[at + 1], other[at + 2], other[at + 3]]) as usize;
        if other[at] == 9 {
            other[at + 11] = other[at + 11] & 0xF0 | 8;
        }
        at += len + 15;
    }
    seen.input("a codec that is none", &other, &[want("unsupported")]);
    let mut frame = vec![0xFF, 0xFB, 0x90, 0xC4, 0x20];
    frame.resize(417, 0);
    let frames = frame.repeat(4);
    seen.input("sound of frames before", &frames, &[want("bit-reservoir").at(0).on(1, 0.0)]);
    let tag = [&b"ID3\x03\0\0\0\0\0\x0cTIT2\0\0\0\x02\0\0\x09a"[..], &frames].concat();
    seen.input("a tag in no alphabet", &tag, &[want("bad-tag").at(10)]);
}
