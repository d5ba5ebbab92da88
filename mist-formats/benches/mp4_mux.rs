//! Bytes a second through the MP4 muxer in both its forms, the making of a long film's layout, and a remux from memory
//! to memory.

#![allow(missing_docs, reason = "criterion's macros make functions without")]

use bytes::{Buf, Bytes};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mist_core::codec::{Codec, h264};
use mist_core::format::{Demuxed, Index, IndexEntry, Muxer as _, Want};
use mist_core::gather::Gather;
use mist_core::media::{Media, Packet, Params, TrackId, TrackInfo};
use mist_core::time::{Duration, Timestamp};
use mist_formats::mp4::FORMAT;
use mist_formats::mp4::mux::{Muxer, layout};
use std::hint::black_box;
use std::sync::Arc;

const SPS: &[u8] = &[
    0x67, 0x64, 0x00, 0x1f, 0xac, 0xb4, 0x02, 0x80, 0x2d, 0xd0, 0x80, 0x00, 0x00, 0x03, 0x00, 0x80, 0x00,
    0x00, 0x18, 0x07, 0x8c, 0x19, 0x50,
];
const PPS: &[u8] = &[0x68, 0xee, 0x3c, 0xb0];

fn tracks() -> Vec<Arc<TrackInfo>> {
    let init = h264::Avcc::from_nals([SPS, PPS]).expect("parameter sets").build();
    let video = Params::Video { width: 1920, height: 1080, fpks: 25_000 };
    let audio = Params::Audio { rate: 48_000, channels: 2, bits: 16 };
    vec![
        Arc::new(TrackInfo::new(TrackId(1), Codec::H264, init, video)),
        Arc::new(TrackInfo::new(TrackId(2), Codec::Aac, Bytes::from_static(&[0x11, 0x90]), audio)),
    ]
}

/// What 1080p25 at 8 Mbit/s with AAC has in `seconds`.
fn entries(seconds: i64) -> Index {
    let line = |dts, cts, size, key| IndexEntry { dts, cts, duration: Duration::ZERO, size, key };
    let picture = |i: i64| {
        let key = i % 50 == 0;
        let cts = Duration::from_millis([80, 160, 40, 40][i as usize % 4]);
        line(
            Timestamp::from_millis(i * 40),
            cts,
            if key { 160_000 } else { 37_000 + (i % 7) as u32 * 100 },
            key,
        )
    };
    let sound =
        |i: i64| line(Timestamp::from_rate(i * 1024, 48_000), Duration::ZERO, 370 + (i % 5) as u32, true);
    let video = (0..seconds * 25).map(picture).collect();
    let audio = (0..seconds * 48_000 / 1024).map(sound).collect();
    Index { tracks: vec![(TrackId(1), video), (TrackId(2), audio)] }
}

fn packets(index: &Index) -> Vec<Packet> {
    let packet = |(t, n): (usize, usize)| {
        let (track, list) = &index.tracks[t];
        let e = list[n];
        let data = Bytes::from(vec![n as u8; e.size as usize]);
        Packet { track: *track, dts: e.dts, cts: e.cts, duration: e.duration, key: e.key, data }
    };
    index.interleaved().map(packet).collect()
}

fn mux(
    tracks: &[Arc<TrackInfo>],
    index: Option<&Index>,
    packets: &[Packet],
    mut each: impl FnMut(&mut Gather),
) {
    let (mut m, mut out) = (Muxer::new(), Gather::new());
    m.start(tracks, index, &mut out).expect("tracks");
    for p in packets {
        m.packet(p, &mut out).expect("packet");
        each(&mut out);
        out.clear();
    }
    m.finish(&mut out).expect("whole");
    each(&mut out);
}

fn drain(out: &mut Gather, file: &mut Vec<u8>) {
    while out.has_remaining() {
        file.extend_from_slice(out.chunk());
        out.advance(out.chunk().len());
    }
}

fn mp4(c: &mut Criterion) {
    let (tracks, index) = (tracks(), entries(30));
    let packets = packets(&index);
    let mut file = Vec::new();
    mux(&tracks, Some(&index), &packets, |out| drain(out, &mut file));
    let file = Bytes::from(file);
    let mut g = c.benchmark_group("mp4 mux");
    g.throughput(Throughput::Bytes(file.len() as u64));
    g.bench_function("file", |b| {
        b.iter(|| mux(&tracks, Some(&index), &packets, |out| _ = black_box(out.len())));
    });
    g.bench_function("fragments", |b| {
        b.iter(|| mux(&tracks, None, &packets, |out| _ = black_box(out.len())));
    });
    let Some(demuxer) = FORMAT.demuxer else { return };
    let remux = |written: &mut Vec<u8>| {
        let (mut d, mut m, mut out) = (demuxer(), Muxer::new(), Gather::new());
        let mut known = Vec::new();
        let mut begun = false;
        loop {
            match d.poll().expect("sound file") {
                Demuxed::Media(Media::Track(t)) => known.push(t),
                Demuxed::Media(Media::Packet(p)) => {
                    if !begun {
                        m.start(&known, None, &mut out).expect("tracks");
                        begun = true;
                    }
                    m.packet(&p, &mut out).expect("packet");
                    drain(&mut out, written);
                    out.clear();
                }
                Demuxed::Need(Want::At { offset, .. }) if offset < file.len() as u64 => {
                    d.push(offset, file.slice(offset as usize..));
                }
                Demuxed::Need(Want::Next) => d.push(0, file.clone()),
                Demuxed::Need(_) => d.end(),
                Demuxed::End => break,
                _ => {}
            }
        }
        m.finish(&mut out).expect("whole");
        drain(&mut out, written);
    };
    let mut written = Vec::with_capacity(file.len() + (file.len() >> 2));
    g.bench_function("remux to fragments, all bytes copied once", |b| {
        b.iter(|| {
            written.clear();
            remux(&mut written);
        });
    });
    g.finish();

    let long = entries(36_000);
    let mut g = c.benchmark_group("mp4 layout");
    g.sample_size(10);
    g.bench_function("ten hours", |b| b.iter(|| black_box(layout(&tracks, &long).expect("tracks"))));
    let l = layout(&tracks, &long).expect("tracks");
    g.bench_function("a range of ten hours", |b| {
        let from = l.len() / 3;
        b.iter(|| l.covering(&long, from..from + (1 << 20)).map(|s| s.len).sum::<u64>());
    });
    g.finish();
}

criterion_group!(benches, mp4);
criterion_main!(benches);
