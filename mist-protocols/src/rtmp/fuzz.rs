//! Bodies of fuzz targets: any bytes in, no panic, bounded memory, progress.

use super::chunk::ChunkReader;
use super::limits::Limits;
use super::{Client, ClientConfig, Direction, Server};
use bytes::Bytes;
use mist_core::media::{Media, Packet, Params, TrackId, TrackInfo};
use mist_core::session::{Answer, Flow, Input, Output, Refusal, Session, Ticket};
use mist_core::time::{Duration, Now, Timestamp};
use std::sync::Arc;
use std::time::Instant;

/// Outputs of one input, at most: more means that nothing gets on.
const OUTPUTS: usize = 1 << 20;

/// The chunk reader on `data`, of which the first byte says into how long pieces it is cut.
pub fn chunk_reader(data: &[u8]) {
    let Some((split, data)) = data.split_first() else { return };
    let limits = Limits::DEFAULT;
    let mut reader = ChunkReader::new(limits, 0);
    for piece in data.chunks(usize::from(*split).max(1)) {
        reader.push(Bytes::copy_from_slice(piece));
        loop {
            match reader.poll() {
                Ok(Some(m)) => assert!(m.body.len() <= data.len()),
                Ok(None) => break,
                Err(_) => return,
            }
        }
        // A buffer grows by doubling.
        assert!(reader.held() <= 2 * data.len());
    }
}

/// A server or client session through a list of inputs: each starts with a byte that says which.
///
/// `start` is the session's clock.
pub fn session_ops(data: &[u8], start: Instant) {
    let Some((which, mut data)) = data.split_first() else { return };
    let mut session: Box<dyn Session> = match which % 3 {
        0 => Box::new(Server::new([1; 32], Limits::DEFAULT)),
        n => {
            let direction = if n == 1 { Direction::Publish } else { Direction::Play };
            let Some(c) = Client::new("rtmp://h/a/b", "", ClientConfig::new(direction, [1; 32])) else {
                return;
            };
            Box::new(c)
        }
    };
    let mut passed = std::time::Duration::ZERO;
    let now = |passed| Now { instant: start + passed, unix: passed };
    // Fuzzers should not have to find 3073 bytes of handshake.
    if which & 0x80 != 0 {
        let mut hello = vec![0; 1 + 2 * super::handshake::PACKET];
        if let Some(b) = hello.first_mut() {
            *b = 3;
        }
        session.handle(now(passed), Input::Bytes(Flow(0), hello.into()));
    }
    while let Some((op, rest)) = data.split_first() {
        let (arg, rest) = rest.split_first().map_or((0, rest), |(a, r)| (*a, r));
        data = rest;
        let ticket = Ticket(u32::from(arg % 8));
        let input = match op % 12 {
            0 => Input::Answer(ticket, Answer::Yes),
            1 => Input::Answer(ticket, Answer::No(Refusal::Denied)),
            2 => Input::Answer(ticket, Answer::Length(Duration::from_millis(i64::from(arg) * 1000))),
            3 => {
                passed += std::time::Duration::from_millis(u64::from(arg) * 100);
                Input::Tick
            }
            4 => Input::Media(ticket, track(arg)),
            5 => Input::Media(ticket, packet(arg)),
            6 if arg == 0 => Input::Shutdown,
            6 => Input::Media(
                ticket,
                if arg & 1 == 0 { Media::End } else { Media::Gone(TrackId(u32::from(arg % 3))) },
            ),
            7 if arg == 0 => Input::Closed(Flow(0)),
            _ => {
                let (piece, rest) = data.split_at(usize::from(arg).min(data.len()));
                data = rest;
                Input::Bytes(Flow(0), Bytes::copy_from_slice(piece))
            }
        };
        session.handle(now(passed), input);
        let mut outputs = 0;
        loop {
            match session.poll() {
                Output::Idle { .. } => break,
                Output::Done(_) => return,
                Output::Send(_, g) => assert!(!g.is_empty()),
                _ => {}
            }
            outputs += 1;
            assert!(outputs < OUTPUTS, "no end of outputs");
        }
    }
}

fn track(arg: u8) -> Media {
    let all = mist_core::codec::Codec::ALL;
    let codec = all.get(usize::from(arg) % all.len()).copied().unwrap_or(mist_core::codec::Codec::H264);
    let params = if arg & 1 == 0 {
        Params::Video { width: u32::from(arg), height: 9, fpks: 0 }
    } else {
        Params::Audio { rate: 44100, channels: 2, bits: 16 }
    };
    let init = Bytes::copy_from_slice(&[arg; 3]);
    Media::Track(Arc::new(TrackInfo::new(TrackId(u32::from(arg % 3)), codec, init, params)))
}

fn packet(arg: u8) -> Media {
    Media::Packet(Packet {
        track: TrackId(u32::from(arg % 3)),
        dts: Timestamp::from_ticks(i64::from(arg as i8) << 50),
        cts: Duration::from_ticks(i64::from(arg as i8) << 40),
        duration: Duration::ZERO,
        key: arg & 4 != 0,
        data: Bytes::copy_from_slice(&[arg; 300]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Chooses a server after its handshake; the next two the clients.
    const SERVER: u8 = 0x81;

    fn run(data: &[u8]) {
        chunk_reader(data);
        #[allow(clippy::disallowed_methods, reason = "any instant does as the start of virtual time")]
        session_ops(data, Instant::now());
    }

    /// Bytes of a real dialogue, to be damaged.
    fn dialogue() -> Vec<u8> {
        use crate::rtmp::command::body;
        use crate::rtmp::message::kind;
        use mist_formats::amf::{Object, Value};
        let mut w = crate::rtmp::chunk::ChunkWriter::new();
        let mut g = mist_core::gather::Gather::new();
        let connect = Object::new().with("app", "a").with("tcUrl", "rtmp://h/a");
        for (stream, v) in [
            (0, vec![Value::from("connect"), 1.0.into(), connect.into()]),
            (0, vec!["createStream".into(), 2.0.into(), Value::Null]),
            (1, vec!["publish".into(), 3.0.into(), Value::Null, "x".into(), "live".into()]),
            (2, vec!["play".into(), 4.0.into(), Value::Null, "y".into()]),
        ] {
            w.message(3, stream, kind::COMMAND, 0, &[], body(false, &v), &mut g);
        }
        w.message(4, 1, kind::AUDIO, 0, &[0xaf, 0, 0x12, 0x10], Bytes::new(), &mut g);
        w.message(4, 1, kind::AUDIO, 0xFF_FFFF, &[0xaf, 1], vec![9; 300].into(), &mut g);
        let bytes = g.to_vec();
        let mut ops = vec![SERVER];
        for (i, c) in bytes.chunks(40).enumerate() {
            ops.extend([8, c.len() as u8]);
            ops.extend_from_slice(c);
            ops.extend([0, (i % 4) as u8, 4, 7, 5, 7]);
        }
        ops
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn anything(data in prop::collection::vec(any::<u8>(), 0..2000)) {
            run(&data);
        }

        #[test]
        fn damaged_dialogues(at in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
                             which in 0u8..3) {
            let mut data = dialogue();
            data[0] = SERVER + which;
            for (i, b) in at {
                let i = i.index(data.len());
                data[i] = b;
            }
            run(&data);
        }
    }
}
