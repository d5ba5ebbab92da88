//! DTSC in bytes a second: 1080p-like material, 25 frames a second at 5 Mbit/s with AAC.

#![allow(missing_docs, reason = "criterion's macros make functions without")]

use bytes::{BufMut, Bytes, BytesMut};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mist_core::codec::Codec;
use mist_core::format::{Demuxed, Demuxer as _, Muxer as _};
use mist_core::gather::Gather;
use mist_core::media::{Media, Packet, Params, TrackId, TrackInfo};
use mist_core::time::{Duration, Timestamp};
use mist_formats::dtsc::{Demuxer, Muxer, dtsh};
use std::hint::black_box;
use std::sync::Arc;

fn track(id: u32, codec: Codec, init: &'static [u8], params: Params) -> Arc<TrackInfo> {
    Arc::new(TrackInfo::new(TrackId(id), codec, Bytes::from_static(init), params))
}

fn material() -> (Vec<Arc<TrackInfo>>, Vec<Packet>) {
    let avcc = &[1, 66, 0, 30, 0xff, 0xe1, 0, 4, 0x67, 66, 0, 30, 1, 0, 2, 0x68, 0xce];
    let tracks = vec![
        track(1, Codec::H264, avcc, Params::Video { width: 1920, height: 1080, fpks: 25_000 }),
        track(2, Codec::Aac, &[0x12, 0x10], Params::Audio { rate: 44_100, channels: 2, bits: 16 }),
    ];
    let packet = |track: u32, ms: i64, key: bool, data: Bytes| Packet {
        track: TrackId(track),
        dts: Timestamp::from_millis(ms),
        cts: Duration::ZERO,
        duration: Duration::ZERO,
        key,
        data,
    };
    let mut packets = Vec::new();
    for i in 0..500i64 {
        let size = if i % 50 == 0 { 120_000 } else { 23_000 };
        let mut nal = BytesMut::with_capacity(size + 4);
        nal.put_u32(size as u32);
        nal.put_bytes(if i % 50 == 0 { 0x65 } else { 0x41 }, size);
        packets.push(packet(1, i * 40, i % 50 == 0, nal.freeze()));
        packets.push(packet(2, i * 40, true, Bytes::from(vec![0x21; 370])));
        packets.push(packet(2, i * 40 + 20, true, Bytes::from(vec![0x21; 370])));
    }
    (tracks, packets)
}

fn mux(tracks: &[Arc<TrackInfo>], packets: &[Packet], mut each: impl FnMut(&mut Gather)) {
    let mut m = Muxer::new();
    let mut out = Gather::new();
    m.start(tracks, None, &mut out).expect("tracks");
    for p in packets {
        m.packet(p, &mut out).expect("packet");
        each(&mut out);
    }
}

fn dtsc(c: &mut Criterion) {
    let (tracks, packets) = material();
    let mut file = Vec::new();
    mux(&tracks, &packets, |out| {
        file.extend_from_slice(&out.to_vec());
        out.clear();
    });
    let file = Bytes::from(file);
    let mut g = c.benchmark_group("dtsc");
    g.throughput(Throughput::Bytes(file.len() as u64));
    g.bench_function("mux", |b| {
        b.iter(|| {
            mux(&tracks, &packets, |out| {
                black_box(&*out);
                out.clear();
            });
        });
    });
    for (name, step) in [("demux whole", file.len()), ("demux in 64 KiB", 65_536)] {
        g.bench_function(name, |b| {
            b.iter(|| {
                let mut d = Demuxer::new();
                let (mut at, mut packets) = (0, 0);
                loop {
                    match d.poll().expect("sound file") {
                        Demuxed::Media(Media::Packet(p)) => {
                            black_box(p);
                            packets += 1;
                        }
                        Demuxed::Need(_) if at == file.len() => d.end(),
                        Demuxed::Need(_) => {
                            let n = step.min(file.len() - at);
                            d.push(at as u64, file.slice(at..at + n));
                            at += n;
                        }
                        Demuxed::End => break,
                        _ => {}
                    }
                }
                packets
            });
        });
    }
    g.finish();
}

/// The header file of two hours: 180,000 pictures and 337,500 sound frames.
fn header_file(c: &mut Criterion) {
    let mut b = dtsh::Builder::new(dtsh::Source { size: 4 << 30, modified: 0 });
    let (tracks, _) = material();
    tracks.iter().for_each(|t| b.track(t));
    let mut add = |track: u32, rate: u32, step: i64, every: i64, count: i64| {
        for n in 0..count {
            let p = Packet {
                track: TrackId(track),
                dts: Timestamp::from_rate(n * step, rate),
                cts: Duration::ZERO,
                duration: Duration::ZERO,
                key: n % every == 0,
                data: Bytes::new(),
            };
            b.packet(&p, Some(n as u64)).expect("within the limit");
        }
    };
    add(1, 25, 1, 50, 7200 * 25);
    add(2, 48_000, 1024, 1, 337_500);
    let file = dtsh::write(&b.finish());
    let mut g = c.benchmark_group("dtsh");
    g.throughput(Throughput::Bytes(file.len() as u64));
    g.bench_function("parse two hours", |b| b.iter(|| dtsh::parse(&file).expect("a header").index()));
    g.finish();
}

criterion_group!(benches, dtsc, header_file);
criterion_main!(benches);
