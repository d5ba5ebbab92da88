//! Messages to chunks.

use super::{EXTENDED, INITIAL_CHUNK_SIZE};
use bytes::{Buf, Bytes};
use mist_core::gather::Gather;
use smallvec::SmallVec;

/// The longest head: basic 3, message 11, extended timestamp 4.
const MAX_HEAD: usize = 18;

#[derive(Debug, Clone, Copy)]
struct Sent {
    csid: u32,
    stream: u32,
    kind: u8,
    len: usize,
    time: u32,
    /// `None` after a type 0 chunk: what type 3 would mean then is read in two ways by peers.
    delta: Option<u32>,
}

/// Cuts messages into chunks, with the shortest head that every reader takes in the same way.
///
/// Deltas are differences of absolute times, so that rounding never adds up. An extended timestamp is only
/// written as an absolute one and repeated in the type 3 chunks of its message.
#[derive(Debug)]
pub struct ChunkWriter {
    chunk_size: usize,
    sent: SmallVec<[Sent; 8]>,
}

impl Default for ChunkWriter {
    fn default() -> Self {
        Self::new()
    }
}

struct Head {
    bytes: [u8; MAX_HEAD],
    len: usize,
}

impl Head {
    fn basic(fmt: u8, csid: u32) -> Self {
        let mut h = Self { bytes: [0; MAX_HEAD], len: 0 };
        let fmt = fmt << 6;
        match csid {
            0..=63 => h.put(&[fmt | csid as u8]),
            64..=319 => h.put(&[fmt, (csid - 64) as u8]),
            _ => {
                let [hi, lo] = (csid.min(65_599) as u16).wrapping_sub(64).to_be_bytes();
                h.put(&[fmt | 1, lo, hi]);
            }
        }
        h
    }

    fn put(&mut self, b: &[u8]) {
        for (to, from) in self.bytes.iter_mut().skip(self.len).zip(b) {
            *to = *from;
        }
        self.len = (self.len + b.len()).min(MAX_HEAD);
    }

    fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// Low three bytes, big-endian.
fn u24(v: u32) -> [u8; 3] {
    let [_, a, b, c] = v.to_be_bytes();
    [a, b, c]
}

impl ChunkWriter {
    /// With the initial chunk size.
    pub fn new() -> Self {
        Self { chunk_size: INITIAL_CHUNK_SIZE as usize, sent: SmallVec::new() }
    }

    /// The chunk size from the next message on; tell the peer before. Between 1 and 2^31 - 1.
    pub fn set_chunk_size(&mut self, n: u32) {
        self.chunk_size = n.clamp(1, 0x7FFF_FFFF) as usize;
    }

    /// Forgets what was sent on a chunk stream, so that its next head is complete.
    pub fn forget(&mut self, csid: u32) {
        self.sent.retain(|s| s.csid != csid);
    }

    /// Writes one message: `head` is copied, `body` is referenced. Together they are its payload, at most
    /// 2^24 - 1 bytes. `time` is absolute, in milliseconds modulo 2^32; `csid` is 2 to 65599.
    #[expect(clippy::too_many_arguments, reason = "the fields of a message, borrowed and owned")]
    pub fn message(
        &mut self,
        csid: u32,
        stream: u32,
        kind: u8,
        time: u32,
        head: &[u8],
        mut body: Bytes,
        out: &mut Gather,
    ) {
        let len = head.len() + body.len();
        let mut repeated = None;
        let mut h;
        let old = self.sent.iter_mut().find(|s| s.csid == csid);
        let delta = old.as_ref().map_or(u32::MAX, |s| time.wrapping_sub(s.time));
        match old {
            Some(s) if s.stream == stream && delta < EXTENDED => {
                let same = s.len == len && s.kind == kind;
                if same && s.delta == Some(delta) {
                    h = Head::basic(3, csid);
                } else {
                    h = Head::basic(if same { 2 } else { 1 }, csid);
                    h.put(&u24(delta));
                    if !same {
                        h.put(&u24(len as u32));
                        h.put(&[kind]);
                    }
                }
                *s = Sent { csid, stream, kind, len, time, delta: Some(delta) };
            }
            old => {
                h = Head::basic(0, csid);
                h.put(&u24(time.min(EXTENDED)));
                h.put(&u24(len as u32));
                h.put(&[kind]);
                h.put(&stream.to_le_bytes());
                if time >= EXTENDED {
                    h.put(&time.to_be_bytes());
                    repeated = Some(time.to_be_bytes());
                }
                let s = Sent { csid, stream, kind, len, time, delta: None };
                match old {
                    Some(o) => *o = s,
                    None => self.sent.push(s),
                }
            }
        }
        out.put(h.as_slice());
        let mut head = head;
        let mut room = self.chunk_size;
        loop {
            let n = head.len().min(room);
            if let Some((now, later)) = head.split_at_checked(n) {
                out.put(now);
                head = later;
            }
            room -= n;
            if body.len() <= room && head.is_empty() {
                if body.has_remaining() {
                    out.push(body);
                }
                return;
            }
            if room > 0 {
                out.push(body.split_to(room.min(body.len())));
            }
            out.put(Head::basic(3, csid).as_slice());
            if let Some(t) = repeated {
                out.put(&t);
            }
            room = self.chunk_size;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtmp::chunk::{ChunkReader, Message};
    use crate::rtmp::limits::Limits;
    use proptest::prelude::*;

    fn sizes(times: &[u32], lens: &[usize]) -> Vec<usize> {
        let mut w = ChunkWriter::new();
        w.set_chunk_size(1 << 20);
        let mut at = 0;
        times
            .iter()
            .zip(lens)
            .map(|(t, l)| {
                let mut g = Gather::new();
                w.message(4, 1, 8, *t, &[], vec![0; *l].into(), &mut g);
                at += 1;
                g.len() - l
            })
            .collect()
    }

    #[test]
    fn heads_are_as_short_as_allowed() {
        assert_eq!(sizes(&[0, 20, 40, 61, 81], &[9, 9, 9, 9, 8]), [12, 4, 1, 4, 8]);
        // Backwards, and beyond what a plain delta holds: complete heads.
        assert_eq!(sizes(&[50, 40, 0xFF_FFFF + 40], &[9, 9, 9]), [12, 12, 16]);
        // Over the 2^32 wrap a delta is a delta.
        assert_eq!(sizes(&[0xFFFF_FFF0, 4, 24], &[9, 9, 9]), [16, 4, 1]);
    }

    #[test]
    fn payload_is_shared() {
        let payload = Bytes::from(vec![1u8; 5000]);
        let mut w = ChunkWriter::new();
        w.set_chunk_size(65_536);
        let mut g = Gather::new();
        w.message(6, 1, 9, 0, &[0x17, 1, 0, 0, 0], payload.clone(), &mut g);
        let parts = g.freeze();
        assert_eq!(parts.iter().len(), 2);
        assert_eq!(parts.get(1).map(|p| p.as_ptr()), Some(payload.as_ptr()));
    }

    proptest! {
        #[test]
        fn round_trip(
            messages in prop::collection::vec(
                (prop::sample::select(vec![3u32, 4, 63, 64, 65, 319, 320, 321, 65_599]), 0u32..3, 8u8..10,
                 prop_oneof![Just(0u32), Just(5), Just(40), Just(0xFF_FFFE), Just(0xFF_FFFF), Just(0xFFFF_FFF0), any::<u32>()],
                 0usize..20, 0usize..600),
                1..30),
            size in 1u32..400,
            split in prop::sample::select(vec![1usize, 2, 7, 188, 100_000]),
        ) {
            let mut w = ChunkWriter::new();
            let mut g = Gather::new();
            w.message(2, 0, 1, 0, &size.to_be_bytes(), Bytes::new(), &mut g);
            w.set_chunk_size(size);
            let mut want = Vec::new();
            let mut clock = 0u32;
            for (i, (csid, stream, kind, step, head, len)) in messages.into_iter().enumerate() {
                clock = clock.wrapping_add(step);
                let all: Vec<u8> = (0..head + len).map(|n| (n + i) as u8).collect();
                let body = Bytes::from(all[head..].to_vec());
                w.message(csid, stream, kind, clock, &all[..head], body, &mut g);
                want.push(Message { csid, stream, kind, time: clock, body: all.into() });
            }
            let mut r = ChunkReader::new(Limits::DEFAULT, 0);
            let mut got = Vec::new();
            for piece in g.to_vec().chunks(split) {
                r.push(Bytes::copy_from_slice(piece));
                while let Some(m) = r.poll().unwrap() {
                    got.push(m);
                }
            }
            prop_assert_eq!(got, want);
            prop_assert_eq!(r.held(), 0);
        }
    }
}
