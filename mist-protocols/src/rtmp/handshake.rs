//! The handshake (RTMP 1.0, 5.2) in its simple form and with the HMAC-SHA256 digests of Flash Player 9 and
//! later, both sides.
//!
//! Digests are answered when the peer's are right, in the peer's layout; anything else gets the simple form.
//! The last packet (C2 or S2) is not compared with what was sent: many implementations send it wrongly, and
//! nothing depends on it. RTMPE (versions 6, 8 and 9) is refused.

use super::PROTOCOL_ID;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use mist_core::gather::Gather;
use mist_core::queue::Queue;
use mist_core::session::SessionError;
use sha2::{Digest, Sha256};

/// Bytes of each of C1, S1, C2 and S2.
pub const PACKET: usize = 1536;

const VERSION: u8 = 3;
const DIGEST: usize = 32;
/// The digest lies somewhere in the first 728 bytes after the 4 bytes that say where.
const DIGEST_SPAN: usize = 728;
const FIRST_BLOCK: usize = 8;
const SECOND_BLOCK: usize = 772;

const PLAYER: &[u8] = b"Genuine Adobe Flash Player 001";
const SERVER: &[u8] = b"Genuine Adobe Flash Media Server 001";
/// Follows both texts in the key of the last packet.
const KEY_TAIL: [u8; 32] = [
    0xF0, 0xEE, 0xC2, 0x4A, 0x80, 0x68, 0xBE, 0xE8, 0x2E, 0x00, 0xD0, 0xD1, 0x02, 0x9E, 0x7E, 0x57, 0x6E,
    0xEC, 0x5D, 0x2D, 0x29, 0x80, 0x6F, 0xAB, 0x93, 0xB8, 0xE6, 0x36, 0xCF, 0xEB, 0x31, 0xAE,
];
/// What we say we are in a digest handshake; zero means the simple form.
const CLIENT_VERSION: [u8; 4] = [9, 0, 124, 2];
const SERVER_VERSION: [u8; 4] = [4, 5, 0, 1];

/// Where the digest lies in C1 or S1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    /// After the key block.
    KeyFirst,
    /// Before the key block.
    DigestFirst,
}

impl Schema {
    const ALL: [Self; 2] = [Self::KeyFirst, Self::DigestFirst];

    fn digest_at(self, packet: &[u8; PACKET]) -> usize {
        let block = match self {
            Self::KeyFirst => SECOND_BLOCK,
            Self::DigestFirst => FIRST_BLOCK,
        };
        let sum: usize = packet.iter().skip(block).take(4).map(|b| usize::from(*b)).sum();
        block + 4 + sum % DIGEST_SPAN
    }
}

fn hmac(key: &[u8], parts: [&[u8]; 2]) -> [u8; DIGEST] {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return [0; DIGEST] };
    for p in parts {
        mac.update(p);
    }
    mac.finalize().into_bytes().into()
}

fn digest_of(packet: &[u8; PACKET], at: usize, key: &[u8]) -> [u8; DIGEST] {
    let before = packet.get(..at).unwrap_or_default();
    let after = packet.get(at + DIGEST..).unwrap_or_default();
    hmac(key, [before, after])
}

/// The digest of a C1 or S1 that was made with `key`, and where it lies.
fn find_digest(packet: &[u8; PACKET], key: &[u8]) -> Option<(Schema, [u8; DIGEST])> {
    Schema::ALL.into_iter().find_map(|schema| {
        let at = schema.digest_at(packet);
        let d = digest_of(packet, at, key);
        (packet.get(at..at + DIGEST) == Some(&d[..])).then_some((schema, d))
    })
}

fn put_digest(packet: &mut [u8; PACKET], schema: Schema, key: &[u8]) {
    let at = schema.digest_at(packet);
    let d = digest_of(packet, at, key);
    if let Some(to) = packet.get_mut(at..at + DIGEST) {
        to.copy_from_slice(&d);
    }
}

/// C2 or S2 for the digest of the peer's first packet.
fn last_packet(noise: [u8; PACKET], key: &[u8], digest: &[u8; DIGEST]) -> [u8; PACKET] {
    let mut packet = noise;
    let mut full = [0u8; 68];
    let len = key.len() + KEY_TAIL.len();
    for (to, from) in full.iter_mut().zip(key.iter().chain(&KEY_TAIL)) {
        *to = *from;
    }
    let derived = hmac(full.get(..len).unwrap_or_default(), [digest, &[]]);
    let (body, tail) = packet.split_at_mut(PACKET - DIGEST);
    tail.copy_from_slice(&hmac(&derived, [body, &[]]));
    packet
}

/// Fills a packet with bytes that follow from the seed and a label.
fn noise(seed: &[u8; 32], label: u8) -> [u8; PACKET] {
    let mut out = [0; PACKET];
    for (i, block) in out.chunks_mut(32).enumerate() {
        let mut h = Sha256::new();
        h.update(seed);
        h.update([label, i as u8]);
        for (to, from) in block.iter_mut().zip(h.finalize()) {
            *to = from;
        }
    }
    out
}

fn set_head(packet: &mut [u8; PACKET], version: [u8; 4]) {
    for (to, from) in packet.iter_mut().zip([0, 0, 0, 0].into_iter().chain(version)) {
        *to = from;
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The version byte and the first packet.
    First,
    /// The last packet.
    Last,
    Done,
}

/// One side of a handshake.
pub struct Handshake {
    client: bool,
    seed: [u8; 32],
    state: State,
    schema: Option<Schema>,
}

impl std::fmt::Debug for Handshake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handshake")
            .field("client", &self.client)
            .field("state", &self.state)
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}

impl Handshake {
    /// The server's side. `seed` fills the packets.
    pub fn server(seed: [u8; 32]) -> Self {
        Self { client: false, seed, state: State::First, schema: None }
    }

    /// The client's side; writes C0 and C1. With a schema C1 carries a digest.
    pub fn client(seed: [u8; 32], schema: Option<Schema>, out: &mut Gather) -> Self {
        let mut c1 = noise(&seed, b'c');
        match schema {
            None => set_head(&mut c1, [0; 4]),
            Some(s) => {
                set_head(&mut c1, CLIENT_VERSION);
                put_digest(&mut c1, s, PLAYER);
            }
        }
        out.put(&[VERSION]);
        out.push(Bytes::copy_from_slice(&c1));
        Self { client: true, seed, state: State::First, schema: None }
    }

    /// The layout of the peer's digest; `None` in the simple form.
    pub fn schema(&self) -> Option<Schema> {
        self.schema
    }

    /// Takes what it needs from `input` and writes the answer. True when the handshake is complete.
    ///
    /// # Errors
    /// A version other than 3.
    pub fn step(&mut self, input: &mut Queue, out: &mut Gather) -> Result<bool, SessionError> {
        if self.state == State::First {
            if let Some(v) = input.byte(0).filter(|v| *v != VERSION) {
                return Err(SessionError::Peer {
                    protocol: PROTOCOL_ID,
                    offset: input.offset(),
                    place: "handshake",
                    what: match v {
                        6 | 8 | 9 => "encrypted RTMP (RTMPE) is not supported",
                        _ => "version is not 3",
                    },
                });
            }
            let Some(first) = input.peek_at::<PACKET>(1) else { return Ok(false) };
            input.skip(1 + PACKET);
            self.answer(&first, out);
            self.state = State::Last;
        }
        if self.state == State::Last && input.len() >= PACKET {
            input.skip(PACKET);
            self.state = State::Done;
        }
        Ok(self.state == State::Done)
    }

    fn answer(&mut self, first: &[u8; PACKET], out: &mut Gather) {
        let digest = if first.get(4..8) == Some(&[0; 4]) {
            None
        } else {
            find_digest(first, if self.client { SERVER } else { PLAYER })
        };
        self.schema = digest.map(|(s, _)| s);
        if !self.client {
            let mut s1 = noise(&self.seed, b's');
            match self.schema {
                None => set_head(&mut s1, [0; 4]),
                Some(schema) => {
                    set_head(&mut s1, SERVER_VERSION);
                    put_digest(&mut s1, schema, SERVER);
                }
            }
            out.put(&[VERSION]);
            out.push(Bytes::copy_from_slice(&s1));
        }
        let last = match digest {
            None => *first,
            Some((_, d)) => {
                last_packet(noise(&self.seed, b'l'), if self.client { PLAYER } else { SERVER }, &d)
            }
        };
        out.push(Bytes::copy_from_slice(&last));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(schema: Option<Schema>, split: usize) -> (Handshake, Handshake) {
        let (mut to_server, mut to_client) = (Gather::new(), Gather::new());
        let mut client = Handshake::client([1; 32], schema, &mut to_server);
        let mut server = Handshake::server([2; 32]);
        let (mut at_server, mut at_client) = (Queue::new(), Queue::new());
        let (mut a, mut b) = (false, false);
        while !(a && b) {
            let up = std::mem::take(&mut to_server).to_vec();
            let down = std::mem::take(&mut to_client).to_vec();
            assert!(!(up.is_empty() && down.is_empty()), "stuck");
            for c in up.chunks(split) {
                at_server.push(Bytes::copy_from_slice(c));
                b = server.step(&mut at_server, &mut to_client).unwrap();
            }
            for c in down.chunks(split) {
                at_client.push(Bytes::copy_from_slice(c));
                a = client.step(&mut at_client, &mut to_server).unwrap();
            }
        }
        assert!(at_server.is_empty() && at_client.is_empty());
        (client, server)
    }

    #[test]
    fn every_form_and_split() {
        for schema in [None, Some(Schema::KeyFirst), Some(Schema::DigestFirst)] {
            for split in [1, 2, 7, 188, 10_000] {
                let (client, server) = run(schema, split);
                assert_eq!(server.schema(), schema);
                assert_eq!(client.schema(), schema);
            }
        }
    }

    #[test]
    fn a_wrong_digest_gets_the_simple_form() {
        let mut out = Gather::new();
        Handshake::client([1; 32], Some(Schema::KeyFirst), &mut out);
        let mut c = out.to_vec();
        c[1500] ^= 1;
        let mut q = Queue::new();
        q.push(c.clone().into());
        let mut out = Gather::new();
        let mut server = Handshake::server([2; 32]);
        assert!(!server.step(&mut q, &mut out).unwrap());
        assert_eq!(server.schema(), None);
        assert_eq!(out.to_vec()[1 + PACKET..], c[1..], "S2 echoes C1");
    }

    #[test]
    fn other_versions_are_refused_at_the_first_byte() {
        for v in [0, 2, 6, 8, 9, b'G', 255] {
            let mut q = Queue::new();
            q.push(vec![v].into());
            let e = Handshake::server([0; 32]).step(&mut q, &mut Gather::new()).unwrap_err();
            assert_eq!(e.to_string().contains("RTMPE"), matches!(v, 6 | 8 | 9), "{e}");
        }
    }
}
