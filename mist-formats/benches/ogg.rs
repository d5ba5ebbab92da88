//! Bytes a second through the Ogg demuxer, checksums included, and the muxer: video of large packets, sound of small.

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mist_core::codec::opus::OpusHead;
use mist_core::codec::vorbis::join_headers;
use mist_core::codec::{Codec, theora};
use mist_core::format::{Demuxed, Demuxer as _, Muxer as _};
use mist_core::gather::Gather;
use mist_core::media::{Media, Packet, Params, TrackId, TrackInfo};
use mist_core::time::{Duration, Timestamp};
use mist_formats::ogg::{Demuxer, Muxer};
use std::hint::black_box;
use std::sync::Arc;

const HEAD: &[u8] = b"\x80theora\x03\x02\x01\0\x50\0\x2d\0\x05\0\0\x02\xd0\0\0\0\0\0\x19\0\0\0\x01\0\0\x01\0\0\x01\0\0\0\0\0\x40\xc0";

fn noise(len: usize, seed: &mut u32) -> Bytes {
    let mut next = || {
        *seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (*seed >> 24) as u8
    };
    (0..len).map(|_| next()).collect::<Vec<_>>().into()
}

/// Video like 8 Mbit/s with 25 frames a second, sound like 128 kbit/s in 20 ms.
fn material(video: bool) -> (Vec<Arc<TrackInfo>>, Vec<Packet>) {
    let params = theora::Identification::parse(HEAD).unwrap().params();
    let init = join_headers([HEAD, b"\x81theora\0\0\0\0\0\0\0\0", b"\x82theora"]);
    let mut tracks = vec![Arc::new(TrackInfo::new(TrackId(1), Codec::Theora, init, params))];
    let params = Params::Audio { rate: 48_000, channels: 2, bits: 16 };
    let init = OpusHead::new(2, 312).unwrap().build();
    tracks.push(Arc::new(TrackInfo::new(TrackId(2), Codec::Opus, init, params)));
    if !video {
        tracks.remove(0);
    }
    let mut seed = 1;
    let mut packets = Vec::new();
    let mut packet = |track, ms: i64, key, first: u8, len| {
        let mut data = vec![first];
        data.extend(noise(len, &mut seed));
        let (cts, duration) = (Duration::ZERO, Duration::ZERO);
        packets.push(Packet {
            track: TrackId(track),
            dts: Timestamp::from_millis(ms),
            cts,
            duration,
            key,
            data: data.into(),
        });
    };
    for i in 0..500 {
        if video {
            let key = i % 50 == 0;
            packet(1, i * 40, key, if key { 0x20 } else { 0x40 }, if key { 250_000 } else { 35_000 });
        }
        for a in 0..2 {
            packet(2, i * 40 + a * 20, true, 0xfc, 320);
        }
    }
    (tracks, packets)
}

fn mux(tracks: &[Arc<TrackInfo>], packets: &[Packet], out: &mut Gather) {
    let mut m = Muxer::new();
    m.start(tracks, None, out).unwrap();
    for p in packets {
        m.packet(p, out).unwrap();
    }
    m.finish(out).unwrap();
}

fn demux(file: &Bytes) -> usize {
    let mut d = Demuxer::new();
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

fn ogg(c: &mut Criterion) {
    let mut g = c.benchmark_group("ogg");
    for (name, video) in [("video", true), ("sound", false)] {
        let (tracks, packets) = material(video);
        let mut out = Gather::new();
        mux(&tracks, &packets, &mut out);
        let file = Bytes::from(out.to_vec());
        assert_eq!(demux(&file), packets.iter().map(|p| p.data.len()).sum::<usize>());
        g.throughput(Throughput::Bytes(file.len() as u64));
        g.bench_function(format!("demux {name}"), |b| b.iter(|| demux(black_box(&file))));
        // as for a viewer, whose bytes leave at once
        g.bench_function(format!("mux {name} live"), |b| {
            b.iter(|| {
                let mut m = Muxer::new();
                let mut out = Gather::new();
                m.start(&tracks, None, &mut out).unwrap();
                for p in black_box(&packets) {
                    out.clear();
                    m.packet(p, &mut out).unwrap();
                }
            });
        });
    }
    g.finish();
}

criterion_group!(benches, ogg);
criterion_main!(benches);
