//! Fan-out: one second of a 30 fps stream with AAC, written once and read by many cursors.
#![allow(missing_docs, reason = "criterion's macros make undocumented items")]
#![allow(clippy::disallowed_methods, reason = "the stream's clock starts somewhere")]

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mist_core::buffer::{BufferOptions, StreamBuffer};
use mist_core::codec::Codec;
use mist_core::media::{Packet, Params, TrackId, TrackInfo};
use mist_core::time::{Duration, Now, Timestamp};
use std::hint::black_box;
use std::sync::Arc;

const READERS: u64 = 1000;

fn fan_out(c: &mut Criterion) {
    let mut b = StreamBuffer::new(BufferOptions::default());
    for (id, codec) in [(1, Codec::H264), (2, Codec::Aac)] {
        let params = Params::Other;
        b.set_track(Arc::new(TrackInfo::new(TrackId(id), codec, Bytes::new(), params)));
    }
    let now = Now { instant: std::time::Instant::now(), unix: std::time::Duration::ZERO };
    let data = Bytes::from(vec![0; 10_000]);
    let (zero, mut packets) = (Duration::ZERO, 0);
    for (track, count, rate) in [(1, 30, 30), (2, 47, 47)] {
        for i in 0..count {
            let (track, dts) = (TrackId(track), Timestamp::from_rate(i, rate));
            b.push(Packet { track, dts, cts: zero, duration: zero, key: i == 0, data: data.clone() }, now);
            packets += 1;
        }
    }
    let start = b.cursor([TrackId(1), TrackId(2)]);
    let mut g = c.benchmark_group("buffer");
    g.throughput(Throughput::Elements(packets * READERS));
    g.bench_function("fan_out", |bench| {
        let mut out = Vec::with_capacity(128);
        bench.iter(|| {
            for _ in 0..READERS {
                let mut cursor = start.clone();
                out.clear();
                black_box(b.read(&mut cursor, &mut out, 100));
            }
        });
    });
    g.finish();
}

criterion_group!(benches, fan_out);
criterion_main!(benches);
