//! Bytes a second through the demuxers of streams without a container: MP3 at 320 kbit/s, AAC at 128 kbit/s, AC-3 at
//! 448 kbit/s and H.264 like 1080p25 at 8 Mbit/s.

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mist_core::codec::aac::{Adts, Asc};
use mist_core::format::Demuxed;
use mist_core::media::Media;
use mist_core::registry::FormatDef;
use mist_formats::{ac3, adts, annexb, mp3};
use std::hint::black_box;

/// Bytes that are no sync words and no start codes.
fn noise(len: usize, seed: &mut u32) -> Vec<u8> {
    let mut next = || {
        *seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((*seed >> 24) as u8).clamp(2, 250)
    };
    (0..len).map(|_| next()).collect()
}

fn demux(def: &FormatDef, file: &Bytes) -> usize {
    let mut d = def.demuxer.unwrap()();
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

fn es(c: &mut Criterion) {
    let mut seed = 1;
    let mut files: [(&str, &FormatDef, Vec<u8>); 4] = [
        ("mp3", &mp3::FORMAT, Vec::new()),
        ("adts", &adts::FORMAT, Vec::new()),
        ("ac3", &ac3::FORMAT, Vec::new()),
        ("annexb", &annexb::FORMAT, Vec::new()),
    ];
    let [(.., mpeg), (.., aac), (.., dolby), (.., video)] = &mut files;
    let asc = Asc::new(2, 48_000, 2);
    for i in 0..4000 {
        mpeg.extend([0xff, 0xfb, 0xe4, 0]);
        mpeg.extend(noise(960 - 4, &mut seed));
        let len = 300 + i % 80;
        aac.extend(Adts::build(&asc, len).unwrap());
        aac.extend(noise(len, &mut seed));
        dolby.extend([0x0b, 0x77, 0, 0, 0x1e, 0x40, 0xe1, 0]);
        dolby.extend(noise(1792 - 8, &mut seed));
    }
    for i in 0..250 {
        video.extend([0, 0, 0, 1, 9, 0xf0]);
        if i % 50 == 0 {
            video.extend([0, 0, 0, 1]);
            video.extend([
                0x67, 0x64, 0x00, 0x1f, 0xac, 0xb4, 0x02, 0x80, 0x2d, 0xd0, 0x80, 0x00, 0x00, 0x03, 0x00,
                0x80, 0x00, 0x00, 0x18, 0x07, 0x8c, 0x19, 0x50, 0, 0, 0, 1, 0x68, 0xee, 0x3c, 0xb0,
            ]);
        }
        video.extend([0, 0, 0, 1, if i % 50 == 0 { 0x65 } else { 0x41 }, 0x88]);
        video.extend(noise(if i % 50 == 0 { 250_000 } else { 35_000 }, &mut seed));
    }
    let mut g = c.benchmark_group("es");
    for (name, def, file) in files {
        let file = Bytes::from(file);
        assert!(demux(def, &file) > file.len() * 9 / 10, "{name}");
        g.throughput(Throughput::Bytes(file.len() as u64));
        g.bench_function(name, |b| b.iter(|| demux(def, black_box(&file))));
    }
    g.finish();
}

criterion_group!(benches, es);
criterion_main!(benches);
