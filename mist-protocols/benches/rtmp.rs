//! What a viewer costs a packet, and how fast a publisher's bytes are parsed.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "benches read the clock")]
#![allow(missing_docs, reason = "made by criterion")]

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use mist_core::codec::Codec;
use mist_core::gather::Gather;
use mist_core::media::{Media, Packet, Params, TrackId, TrackInfo};
use mist_core::session::{Answer, Flow, Input, Output, Session};
use mist_core::time::{Duration, Now, Timestamp};
use mist_formats::amf::{Object, Value};
use mist_protocols::rtmp::Server;
use mist_protocols::rtmp::chunk::{ChunkReader, ChunkWriter};
use mist_protocols::rtmp::command::body;
use mist_protocols::rtmp::limits::Limits;
use mist_protocols::rtmp::message::kind;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

fn now() -> Now {
    Now { instant: Instant::now(), unix: std::time::Duration::ZERO }
}

fn drain(s: &mut Server) {
    loop {
        match s.poll() {
            Output::Idle { .. } => return,
            Output::Ask(t, _) => s.handle(now(), Input::Answer(t, Answer::Yes)),
            Output::Done(r) => panic!("{r:?}"),
            other => drop(black_box(other)),
        }
    }
}

/// A session after connect and `verb` of stream x; messages go on with the writer.
fn session(verb: &str) -> (Server, ChunkWriter) {
    let mut s = Server::new([1; 32], Limits::DEFAULT);
    let mut hello = vec![3u8];
    hello.resize(3073, 0);
    s.handle(now(), Input::Bytes(Flow(0), hello.into()));
    let mut w = ChunkWriter::new();
    let mut g = Gather::new();
    let connect = Object::new().with("app", "a").with("tcUrl", "rtmp://h/a");
    let calls = [
        vec![Value::from("connect"), 1.0.into(), connect.into()],
        vec![verb.into(), 2.0.into(), Value::Null, "x".into()],
    ];
    for (stream, values) in calls.iter().enumerate() {
        w.message(3, stream as u32, kind::COMMAND, 0, &[], body(false, values), &mut g);
    }
    w.message(2, 0, kind::SET_CHUNK_SIZE, 0, &65_536u32.to_be_bytes(), Bytes::new(), &mut g);
    w.set_chunk_size(65_536);
    s.handle(now(), Input::Bytes(Flow(0), g.to_vec().into()));
    drain(&mut s);
    (s, w)
}

fn packets() -> Vec<Packet> {
    (0..250i64)
        .map(|i| Packet {
            track: TrackId(1 + (i % 5 != 0) as u32),
            dts: Timestamp::from_millis(i * 8),
            cts: Duration::ZERO,
            duration: Duration::ZERO,
            key: true,
            data: vec![i as u8; if i % 5 == 0 { 10_000 } else { 350 }].into(),
        })
        .collect()
}

fn viewer(c: &mut Criterion) {
    let packets = packets();
    let track =
        |id, codec, params| Arc::new(TrackInfo::new(TrackId(id), codec, Bytes::from_static(b"init"), params));
    let tracks = [
        track(1, Codec::H264, Params::Video { width: 1920, height: 1080, fpks: 25_000 }),
        track(2, Codec::Aac, Params::Audio { rate: 44_100, channels: 2, bits: 16 }),
    ];
    let (mut s, _) = session("play");
    let ticket = mist_core::session::Ticket(1);
    for t in tracks {
        s.handle(now(), Input::Media(ticket, Media::Track(t)));
    }
    let now = now();
    let mut g = c.benchmark_group("viewer");
    g.throughput(Throughput::Elements(packets.len() as u64));
    for batch in [1usize, 10] {
        g.bench_function(format!("{batch} packets a write"), |b| {
            b.iter(|| {
                for batch in packets.chunks(batch) {
                    for p in batch {
                        s.handle(now, Input::Media(ticket, Media::Packet(p.clone())));
                    }
                    while let Output::Send(_, g) = s.poll() {
                        black_box(g);
                    }
                }
            });
        });
    }
    g.finish();
}

fn publisher(c: &mut Criterion) {
    let messages = |w: &mut ChunkWriter| {
        let mut g = Gather::new();
        for (i, p) in packets().into_iter().enumerate() {
            w.message(4, 1, kind::AUDIO, i as u32 * 8, &[0xaf, 1], p.data, &mut g);
        }
        Bytes::from(g.to_vec())
    };
    let mut g = c.benchmark_group("publisher");
    let (_, mut w) = session("publish");
    let bytes = messages(&mut w);
    g.throughput(Throughput::Bytes(bytes.len() as u64));
    for read in [4096usize, 65_536] {
        g.bench_function(format!("chunks, reads of {read}"), |b| {
            b.iter_batched(
                || {
                    let mut r = ChunkReader::new(Limits::DEFAULT, 0);
                    let size =
                        [&[2u8, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0][..], &65_536u32.to_be_bytes()].concat();
                    r.push(size.into());
                    r
                },
                |mut r| {
                    for at in (0..bytes.len()).step_by(read) {
                        r.push(bytes.slice(at..bytes.len().min(at + read)));
                        while let Ok(Some(m)) = r.poll() {
                            black_box(m);
                        }
                    }
                },
                BatchSize::SmallInput,
            );
        });
        g.bench_function(format!("session, reads of {read}"), |b| {
            b.iter_batched(
                || {
                    let (s, mut w) = session("publish");
                    let bytes = messages(&mut w);
                    (s, bytes)
                },
                |(mut s, bytes)| {
                    let now = now();
                    for at in (0..bytes.len()).step_by(read) {
                        s.handle(now, Input::Bytes(Flow(0), bytes.slice(at..bytes.len().min(at + read))));
                        drain(&mut s);
                    }
                },
                BatchSize::SmallInput,
            );
        });
    }
    g.finish();
}

criterion_group!(benches, viewer, publisher);
criterion_main!(benches);
