//! MP4 from memory: material like 1080p25 at 5 Mbit/s with AAC in bytes a second, and the opening of ten hours.

#![allow(missing_docs, reason = "criterion's macros make functions without")]
#![allow(clippy::print_stdout, reason = "says what an index takes")]

use bytes::{BufMut, Bytes};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mist_core::format::{Demuxed, Demuxer as _, Want};
use mist_core::media::Media;
use mist_core::time::Timestamp;
use mist_formats::mp4::Demuxer;
use std::hint::black_box;

fn boxed(kind: &[u8; 4], parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let mut out = Vec::with_capacity(body.len() + 8);
    out.put_u32(body.len() as u32 + 8);
    out.put_slice(kind);
    out.extend(body);
    out
}

fn numbers(all: impl IntoIterator<Item = u32>) -> Vec<u8> {
    all.into_iter().flat_map(u32::to_be_bytes).collect()
}

const AVCC: &[u8] = &[
    1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, 23, 0x67, 0x64, 0x00, 0x1f, 0xac, 0xb4, 0x02, 0x80, 0x2d, 0xd0, 0x80,
    0x00, 0x00, 0x03, 0x00, 0x80, 0x00, 0x00, 0x18, 0x07, 0x8c, 0x19, 0x50, 1, 0, 4, 0x68, 0xee, 0x3c, 0xb0,
];

/// A track of samples of these sizes in chunks of `per_chunk` at these offsets.
fn trak(id: u32, scale: u32, delta: u32, sizes: &[u32], per_chunk: u32, chunks: &[u32]) -> Vec<u8> {
    let video = id == 1;
    let entry = if video {
        let head = [[0; 7].as_slice(), &[1], &[0; 16], &[7, 128, 4, 56], &[0; 50]].concat();
        boxed(b"avc1", &[&head, &boxed(b"avcC", &[AVCC])])
    } else {
        let esds = [
            3, 0x19, 0, 0, 0, 4, 0x11, 0x40, 0x15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 2, 0x12, 0x10, 6, 1, 2,
        ];
        let head =
            [[0; 7].as_slice(), &[1], &[0; 8], &[0, 2, 0, 16, 0, 0, 0, 0], &numbers([44100 << 16])].concat();
        boxed(b"mp4a", &[&head, &boxed(b"esds", &[&[0; 4], &esds])])
    };
    let count = sizes.len() as u32;
    let table = |kind, entries: u32, all: Vec<u8>| boxed(kind, &[&numbers([0, entries]), &all]);
    let mut stbl = vec![
        table(b"stsd", 1, entry),
        table(b"stts", 1, numbers([count, delta])),
        table(b"stsc", 1, numbers([1, per_chunk, 1])),
        boxed(b"stsz", &[&numbers([0, 0, count]), &numbers(sizes.iter().copied())]),
        table(b"stco", chunks.len() as u32, numbers(chunks.iter().copied())),
    ];
    if video {
        // B-pictures: an offset for each, the most that there can be.
        let offsets = (0..count).flat_map(|n| [1, [2 * delta, 4 * delta, 0][n as usize % 3]]);
        stbl.push(table(b"ctts", count, numbers(offsets)));
        let keys: Vec<u32> = (0..count).step_by(50).map(|n| n + 1).collect();
        stbl.push(table(b"stss", keys.len() as u32, numbers(keys)));
    }
    let stbl: Vec<&[u8]> = stbl.iter().map(|b| &b[..]).collect();
    let mdhd = boxed(b"mdhd", &[&numbers([0, 0, 0, scale, count * delta, 0])]);
    let handler = if video { b"vide" } else { b"soun" };
    let hdlr = boxed(b"hdlr", &[&[0; 8], handler, &[0; 13]]);
    let mdia = boxed(b"mdia", &[&mdhd, &hdlr, &boxed(b"minf", &[&boxed(b"stbl", &stbl)])]);
    let tkhd = boxed(b"tkhd", &[&numbers([0, 0, 0, id, 0, 0]), &[0; 60]]);
    boxed(b"trak", &[&tkhd, &mdia])
}

/// The file: a second of video, then its audio, and so on; `moov` first.
fn file(seconds: u32, frame: u32) -> Bytes {
    let video: Vec<u32> = (0..seconds * 25).map(|n| if n % 50 == 0 { frame * 5 } else { frame }).collect();
    let audio = vec![370; seconds as usize * 43];
    let moov = |start: u32| {
        let mut at = start;
        let (mut v, mut a) = (Vec::new(), Vec::new());
        for second in video.chunks(25) {
            v.push(at);
            at += second.iter().sum::<u32>();
            a.push(at);
            at += 43 * 370;
        }
        let mvhd = boxed(b"mvhd", &[&numbers([0, 0, 0, 1000]), &[0; 84]]);
        let video = trak(1, 12_800, 512, &video, 25, &v);
        boxed(b"moov", &[&mvhd, &video, &trak(2, 44_100, 1024, &audio, 43, &a)])
    };
    let ftyp = boxed(b"ftyp", &[b"isom", &[0; 4]]);
    let start = ftyp.len() + moov(0).len() + 8;
    let mut out = [ftyp, moov(start as u32)].concat();
    let media: usize = video.iter().map(|s| *s as usize).sum::<usize>() + audio.len() * 370;
    out.put_u32(media as u32 + 8);
    out.put_slice(b"mdat");
    if frame > 8 {
        let mut seed = 1u32;
        for second in video.chunks(25) {
            for size in second {
                out.put_u32(size - 4);
                out.put_u8(0x65);
                for _ in 0..size - 5 {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    out.put_u8((seed >> 24) as u8 | 1);
                }
            }
            out.put_bytes(0x21, 43 * 370);
        }
    }
    out.into()
}

/// Demuxes `file` in pieces of `step`; stops at the first packet if asked to. Packets and their bytes.
fn demux(file: &Bytes, step: usize, first: bool) -> (usize, usize, Demuxer) {
    let mut d = Demuxer::new();
    let (mut at, mut packets, mut bytes) = (0, 0, 0);
    loop {
        match d.poll().expect("sound") {
            Demuxed::Media(Media::Packet(p)) => {
                packets += 1;
                bytes += p.data.len();
                if first {
                    return (packets, bytes, d);
                }
            }
            Demuxed::Need(want) => {
                if let Want::At { offset, .. } = want {
                    at = offset as usize;
                }
                let n = step.min(file.len() - at);
                if n == 0 {
                    d.end();
                } else {
                    d.push(at as u64, file.slice(at..at + n));
                    at += n;
                }
            }
            Demuxed::End => return (packets, bytes, d),
            _ => {}
        }
    }
}

fn mp4(c: &mut Criterion) {
    let data = file(60, 23_000);
    let mut g = c.benchmark_group("mp4");
    g.throughput(Throughput::Bytes(data.len() as u64));
    g.bench_function("demux", |b| b.iter(|| demux(black_box(&data), 1 << 20, false).0));
    g.bench_function("demux in pieces of 64 KiB", |b| b.iter(|| demux(black_box(&data), 64 << 10, false).0));

    // Sizes that add up below 4 GiB; what counts is how many there are.
    let long = file(36_000, 5);
    // Of the media only the first picture is there.
    let picture = [&[0, 0, 0, 21, 0x65][..], &[1; 20]].concat();
    let long = Bytes::from([&long[..], &picture, &[0; 1 << 16]].concat());
    g.throughput(Throughput::Elements(1));
    for (name, step) in [("open ten hours", long.len()), ("open ten hours in pieces of 64 KiB", 64 << 10)] {
        g.bench_function(name, |b| b.iter(|| demux(black_box(&long), step, true).0));
    }
    let (.., opened) = demux(&long, long.len(), true);
    g.bench_function("index of ten hours", |b| b.iter(|| opened.index().expect("an index")));
    g.bench_function("seek in ten hours", |b| {
        let (.., mut d) = demux(&long, long.len(), true);
        let mut to = 0;
        b.iter(|| {
            to = (to + 7_777_777) % 36_000_000;
            d.seek(Timestamp::from_millis(to)).expect("seekable")
        });
    });
    g.finish();
    let (bytes, samples) = opened.table_size();
    println!("{samples} samples, {:.1} bytes of tables each", bytes as f64 / samples as f64);
}

criterion_group!(benches, mp4);
criterion_main!(benches);
