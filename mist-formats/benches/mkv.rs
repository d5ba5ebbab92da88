//! Matroska in bytes a second: 1080p-like material, 25 frames a second at 5 Mbit/s with AAC, clusters of two seconds.

#![allow(missing_docs, reason = "criterion's macros make functions without")]

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mist_core::format::{Demuxed, Demuxer as _};
use mist_core::media::Media;
use mist_formats::mkv::Demuxer;
use mist_formats::mkv::schema::ids;
use std::hint::black_box;

fn el(id: u32, data: &[u8]) -> Vec<u8> {
    let size = 0x1000_0000 | data.len() as u32;
    [&id.to_be_bytes()[id.leading_zeros() as usize / 8..], &size.to_be_bytes(), data].concat()
}

fn block(track: u8, ms: i16, key: bool, data: &[u8]) -> Vec<u8> {
    let flags = if key { 0x80 } else { 0 };
    el(ids::SIMPLE_BLOCK, &[&[0x80 | track], &ms.to_be_bytes()[..], &[flags], data].concat())
}

fn entry(track: u8, codec: &str, private: &[u8]) -> Vec<u8> {
    let parts = [
        el(ids::TRACK_NUMBER, &[track]),
        el(ids::CODEC_ID, codec.as_bytes()),
        el(ids::CODEC_PRIVATE, private),
    ];
    el(ids::TRACK_ENTRY, &parts.concat())
}

fn material() -> Bytes {
    let avcc = &[1, 66, 0, 30, 0xff, 0xe1, 0, 4, 0x67, 66, 0, 30, 1, 0, 2, 0x68, 0xce];
    let tracks = [entry(1, "V_MPEG4/ISO/AVC", avcc), entry(2, "A_AAC", &[0x12, 0x10])].concat();
    let mut segment = el(ids::TRACKS, &tracks);
    for c in 0..10u32 {
        let mut cluster = el(ids::TIMESTAMP, &(c * 2000).to_be_bytes());
        for i in 0..50i16 {
            let (size, kind) = if i == 0 { (120_000u32, 0x65) } else { (23_000, 0x41) };
            let mut nal = size.to_be_bytes().to_vec();
            nal.resize(size as usize + 4, kind);
            cluster.extend(block(1, i * 40, i == 0, &nal));
            cluster.extend(block(2, i * 40, true, &[0x21; 370]));
            cluster.extend(block(2, i * 40 + 20, true, &[0x21; 370]));
        }
        segment.extend(el(ids::CLUSTER, &cluster));
    }
    [el(ids::EBML, &el(ids::DOC_TYPE, b"matroska")), el(ids::SEGMENT, &segment)].concat().into()
}

fn mkv(c: &mut Criterion) {
    let file = material();
    let mut g = c.benchmark_group("mkv");
    g.throughput(Throughput::Bytes(file.len() as u64));
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
                assert_eq!(packets, 1500);
            });
        });
    }
    g.finish();
}

criterion_group!(benches, mkv);
criterion_main!(benches);
