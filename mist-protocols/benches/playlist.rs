//! How fast playlists are answered.
#![allow(missing_docs, reason = "criterion's macros make undocumented items")]

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use mist_core::buffer::{BufferOptions, StreamBuffer};
use mist_core::codec::Codec;
use mist_core::http::{HttpOutput, HttpRequest};
use mist_core::media::{Packet, Params, TrackId, TrackInfo};
use mist_core::time::{Duration, Now, Timestamp};
use mist_protocols::hls::Hls;
use std::hint::black_box;
use std::sync::Arc;

#[expect(clippy::disallowed_methods, reason = "a benchmark's virtual time starts somewhere")]
fn live() -> (StreamBuffer, Now) {
    let mut b = StreamBuffer::new(BufferOptions::default());
    let start =
        Now { instant: std::time::Instant::now(), unix: std::time::Duration::from_secs(1_795_000_000) };
    for (id, codec) in [(1, Codec::H264), (2, Codec::Aac)] {
        let init = Bytes::from_static(if id == 1 { &[1, 0x42, 0xc0, 0x1f] } else { &[0x11, 0x90] });
        b.set_track(Arc::new(TrackInfo::new(TrackId(id), codec, init, Params::Other)));
    }
    let mut now = start;
    for n in 0..1600 {
        for track in [1, 2] {
            let (dts, key) = (Timestamp::from_millis(n * 40), track == 2 || n % 50 == 0);
            let data = Bytes::from_static(&[0; 100]);
            let (cts, duration) = (Duration::ZERO, Duration::ZERO);
            b.push(Packet { track: TrackId(track), dts, cts, duration, key, data }, now);
        }
        let elapsed = std::time::Duration::from_millis(n.unsigned_abs() * 40);
        now = Now { instant: start.instant + elapsed, unix: start.unix + elapsed };
    }
    (b, now)
}

fn playlists(c: &mut Criterion) {
    let (buffer, now) = live();
    let mut group = c.benchmark_group("hls");
    let name = format!("media playlist of {} segments", buffer.segments().len());
    for (name, rest, query) in [
        (name.as_str(), "1_2/index.m3u8", ""),
        ("media playlist with a token", "1_2/index.m3u8", "tkn=0123456789abcdef"),
        ("multivariant playlist", "index.m3u8", "video=h264"),
        ("segment", "1_2/3_1795000018000.ts", ""),
    ] {
        let req = HttpRequest { stream: "live", rest, query, options: &[] };
        group.bench_function(name, |b| b.iter(|| black_box(Hls.reply(black_box(&req), &buffer, now))));
    }
    group.finish();
}

criterion_group!(benches, playlists);
criterion_main!(benches);
