//! Bytes a second through the transport stream demuxer and muxer, on material like 1080p25 at 8 Mbit/s.

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mist_core::codec::aac::Asc;
use mist_core::codec::{Codec, h264};
use mist_core::format::{Demuxed, Demuxer, Muxer};
use mist_core::gather::Gather;
use mist_core::media::{Media, Packet, Params, TrackId, TrackInfo};
use mist_core::time::{Duration, Timestamp};
use mist_formats::ts::demux::TsDemuxer;
use mist_formats::ts::mux::TsMuxer;
use std::hint::black_box;
use std::sync::Arc;

const SPS: &[u8] = &[
    0x67, 0x64, 0x00, 0x1f, 0xac, 0xb4, 0x02, 0x80, 0x2d, 0xd0, 0x80, 0x00, 0x00, 0x03, 0x00, 0x80, 0x00,
    0x00, 0x18, 0x07, 0x8c, 0x19, 0x50,
];
const PPS: &[u8] = &[0x68, 0xee, 0x3c, 0xb0];

/// Bytes without start codes in them, like coded pictures.
fn noise(len: usize, seed: &mut u32) -> Vec<u8> {
    let mut next = || {
        *seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((*seed >> 24) as u8).max(1)
    };
    (0..len).map(|_| next()).collect()
}

fn material() -> (Vec<Arc<TrackInfo>>, Vec<Packet>) {
    let init = h264::Avcc::from_nals([SPS, PPS]).unwrap().build();
    let params = Params::Video { width: 1920, height: 1080, fpks: 25_000 };
    let video = TrackInfo::new(TrackId(1), Codec::H264, init, params);
    let asc = Asc::new(2, 48_000, 2);
    let init = asc.build().unwrap();
    let audio = TrackInfo::new(TrackId(2), Codec::Aac, init, asc.params());
    let mut seed = 1;
    let mut packets = Vec::new();
    let mut packet = |track, ms: i64, key, data: Vec<u8>| {
        let dts = Timestamp::from_millis(ms);
        let (cts, duration) = (Duration::ZERO, Duration::ZERO);
        packets.push(Packet { track: TrackId(track), dts, cts, duration, key, data: data.into() });
    };
    for i in 0..250 {
        let key = i % 50 == 0;
        let mut au = Vec::new();
        let len: usize = if key { 250_000 } else { 35_000 };
        au.extend_from_slice(&(len as u32 + 2).to_be_bytes());
        au.extend_from_slice(&[if key { 0x65 } else { 0x41 }, 0x88]);
        au.extend(noise(len, &mut seed));
        packet(1, i * 40, key, au);
        for a in 0..2 {
            packet(2, i * 40 + a * 20, true, noise(340, &mut seed));
        }
    }
    (vec![Arc::new(video), Arc::new(audio)], packets)
}

fn mux(tracks: &[Arc<TrackInfo>], packets: &[Packet], out: &mut Gather) {
    let mut m = TsMuxer::new();
    m.start(tracks, None, out).unwrap();
    for p in packets {
        m.packet(p, out).unwrap();
    }
}

fn demux(file: &Bytes) -> usize {
    let mut d = TsDemuxer::new();
    let mut bytes = 0;
    let mut at = 0;
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

fn ts(c: &mut Criterion) {
    let (tracks, packets) = material();
    let mut out = Gather::new();
    mux(&tracks, &packets, &mut out);
    let file = Bytes::from(out.to_vec());
    let payload: usize = packets.iter().map(|p| p.data.len()).sum();
    assert_eq!(demux(&file), payload + 5 * (SPS.len() + PPS.len() + 8));

    let mut g = c.benchmark_group("ts");
    g.throughput(Throughput::Bytes(file.len() as u64));
    g.bench_function("demux", |b| b.iter(|| demux(black_box(&file))));
    // as for a viewer, whose bytes leave at once
    g.bench_function("mux live", |b| {
        let mut m = TsMuxer::new();
        let mut out = Gather::new();
        m.start(&tracks, None, &mut out).unwrap();
        b.iter(|| {
            for p in black_box(&packets) {
                out.clear();
                m.packet(p, &mut out).unwrap();
            }
        });
    });
    // as for a segment of ten seconds that is kept: fresh memory, most of it the kernel's work
    g.bench_function("mux segment", |b| {
        b.iter(|| {
            let mut out = Gather::new();
            mux(&tracks, black_box(&packets), &mut out);
            out.len()
        });
    });
    g.finish();
}

criterion_group!(benches, ts);
criterion_main!(benches);
