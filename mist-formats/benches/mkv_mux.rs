//! Bytes a second through the Matroska muxer and through demuxer and muxer together, on material like 1080p25 at
//! 8 Mbit/s.

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mist_core::codec::Codec;
use mist_core::codec::aac::Asc;
use mist_core::format::{Demuxed, Demuxer as _, Muxer as _};
use mist_core::gather::Gather;
use mist_core::media::{Media, Packet, Params, TrackId, TrackInfo};
use mist_core::time::{Duration, Timestamp};
use mist_formats::mkv::{Demuxer, Muxer};
use std::hint::black_box;
use std::sync::Arc;

fn material() -> (Vec<Arc<TrackInfo>>, Vec<Packet>) {
    let params = Params::Video { width: 1920, height: 1080, fpks: 25_000 };
    let video = TrackInfo::new(TrackId(1), Codec::Vp8, Bytes::new(), params);
    let asc = Asc::new(2, 48_000, 2);
    let audio = TrackInfo::new(TrackId(2), Codec::Aac, asc.build().unwrap(), asc.params());
    let mut packets = Vec::new();
    let mut packet = |track, ms: i64, key, len: usize| {
        let dts = Timestamp::from_millis(ms);
        let (cts, duration) = (Duration::ZERO, Duration::ZERO);
        let data = vec![ms as u8; len].into();
        packets.push(Packet { track: TrackId(track), dts, cts, duration, key, data });
    };
    for i in 0..250 {
        let key = i % 50 == 0;
        packet(1, i * 40, key, if key { 250_000 } else { 35_000 });
        packet(2, i * 40, true, 340);
        packet(2, i * 40 + 20, true, 340);
    }
    (vec![Arc::new(video), Arc::new(audio)], packets)
}

/// From one file to another, in pieces of 64 KiB: how many bytes come out.
fn remux(file: &Bytes) -> usize {
    let (mut d, mut m, mut out) = (Demuxer::new(), Muxer::new(), Gather::new());
    let (mut at, mut written, mut started) = (0, 0, false);
    let mut tracks = Vec::new();
    loop {
        match d.poll().unwrap() {
            Demuxed::Media(Media::Track(t)) => tracks.push(t),
            Demuxed::Media(Media::Packet(p)) => {
                if !std::mem::replace(&mut started, true) {
                    m.start(&tracks, None, &mut out).unwrap();
                }
                m.packet(&p, &mut out).unwrap();
                written += out.len();
                out.clear();
            }
            Demuxed::Need(_) if at < file.len() => {
                let n = (file.len() - at).min(64 << 10);
                d.push(at as u64, file.slice(at..at + n));
                at += n;
            }
            Demuxed::Need(_) => d.end(),
            Demuxed::End => return written,
            _ => {}
        }
    }
}

fn mkv(c: &mut Criterion) {
    let (tracks, packets) = material();
    let (mut m, mut out) = (Muxer::new(), Gather::new());
    m.start(&tracks, None, &mut out).unwrap();
    for p in &packets {
        m.packet(p, &mut out).unwrap();
    }
    let file = Bytes::from(out.to_vec());
    assert_eq!(remux(&file), file.len());

    let mut g = c.benchmark_group("mkv");
    g.throughput(Throughput::Bytes(file.len() as u64));
    g.bench_function("mux live", |b| {
        let (mut m, mut out) = (Muxer::new(), Gather::new());
        m.unpatched();
        m.start(&tracks, None, &mut out).unwrap();
        b.iter(|| {
            for p in black_box(&packets) {
                out.clear();
                m.packet(p, &mut out).unwrap();
            }
        });
    });
    g.bench_function("remux", |b| b.iter(|| remux(black_box(&file))));
    g.finish();
}

criterion_group!(benches, mkv);
criterion_main!(benches);
