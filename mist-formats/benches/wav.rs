//! Bytes a second through the WAVE demuxer and muxer, on 48 kHz 16-bit stereo.

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mist_core::codec::Codec;
use mist_core::format::{Demuxed, Demuxer as _, Muxer as _};
use mist_core::gather::Gather;
use mist_core::media::{Media, Packet, Params, TrackId, TrackInfo};
use mist_core::time::{Duration, Timestamp};
use mist_formats::wav::{Demuxer, Muxer};
use std::hint::black_box;
use std::sync::Arc;

fn material() -> (Arc<TrackInfo>, Vec<Packet>) {
    let params = Params::Audio { rate: 48_000, channels: 2, bits: 16 };
    let info = TrackInfo::new(TrackId(1), Codec::Pcm, Bytes::new(), params);
    let packet = |n: i64| Packet {
        track: TrackId(1),
        dts: Timestamp::from_millis(n * 20),
        cts: Duration::ZERO,
        duration: Duration::ZERO,
        key: true,
        data: (0..3840).map(|i| (i * n) as u8).collect::<Vec<_>>().into(),
    };
    (Arc::new(info), (0..2000).map(packet).collect())
}

fn mux(info: &Arc<TrackInfo>, packets: &[Packet], out: &mut Gather) {
    let mut m = Muxer::new();
    m.start(std::slice::from_ref(info), None, out).unwrap();
    for p in packets {
        m.packet(p, out).unwrap();
    }
}

fn demux(file: &Bytes) -> usize {
    let mut d = Demuxer::new();
    let (mut bytes, mut at) = (0, 0);
    loop {
        match d.poll().unwrap() {
            Demuxed::Media(Media::Packet(p)) => bytes += p.data.len(),
            Demuxed::Need(_) if at < file.len() => {
                let n = (file.len() - at).min(64 << 10);
                d.push(at as u64, file.slice(at..at + n));
                at += n;
            }
            Demuxed::Need(_) => d.end(),
            Demuxed::End => return bytes,
            _ => {}
        }
    }
}

fn wav(c: &mut Criterion) {
    let (info, packets) = material();
    let mut out = Gather::new();
    mux(&info, &packets, &mut out);
    let file = Bytes::from(out.to_vec());
    assert_eq!(demux(&file), 2000 * 3840);
    let mut g = c.benchmark_group("wav");
    g.throughput(Throughput::Bytes(file.len() as u64));
    g.bench_function("demux", |b| b.iter(|| demux(black_box(&file))));
    g.bench_function("mux live", |b| {
        let mut m = Muxer::new();
        let mut out = Gather::new();
        m.start(std::slice::from_ref(&info), None, &mut out).unwrap();
        b.iter(|| {
            for p in black_box(&packets) {
                out.clear();
                m.packet(p, &mut out).unwrap();
            }
        });
    });
    g.finish();
}

criterion_group!(benches, wav);
criterion_main!(benches);
