//! How fast NAL units change their dress, in both directions.

use bytes::{Bytes, BytesMut};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mist_core::codec::{Codec, canonical_payload, nal};
use std::hint::black_box;

/// An access unit of 8 slices of 16 kB in bytes like those of a real stream.
fn access_unit() -> Bytes {
    let mut out = BytesMut::new();
    let mut x = 1u32;
    for _ in 0..8 {
        let mut slice = vec![0x41];
        for _ in 0..16_384 {
            x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            slice.push((x >> 24) as u8);
        }
        nal::put_unit(&mut out, &nal::escape(&slice));
    }
    out.freeze()
}

fn nal_units(c: &mut Criterion) {
    let lengths = access_unit();
    let mut annex = BytesMut::new();
    let _ = nal::lengths_to_annex_b(&lengths, 4, &mut annex);
    let mut g = c.benchmark_group("nal");
    g.throughput(Throughput::Bytes(lengths.len() as u64));
    let mut out = BytesMut::with_capacity(lengths.len() * 2);
    g.bench_function("annex_b_to_lengths", |b| {
        b.iter(|| {
            out.clear();
            nal::annex_b_to_lengths(black_box(&annex), &mut out, |_| true);
            out.len()
        });
    });
    g.bench_function("lengths_to_annex_b", |b| {
        b.iter(|| {
            out.clear();
            let _ = nal::lengths_to_annex_b(black_box(&lengths), 4, &mut out);
            out.len()
        });
    });
    g.bench_function("canonical_payload", |b| {
        b.iter(|| canonical_payload(Codec::H264, black_box(lengths.clone()), 4));
    });
    let zeros = vec![0u8; lengths.len()];
    g.bench_function("annex_b of zeros", |b| b.iter(|| nal::annex_b(black_box(&zeros)).count()));
    let codes = [0, 0, 1, 9].repeat(lengths.len() / 4);
    g.bench_function("annex_b of start codes", |b| b.iter(|| nal::annex_b(black_box(&codes)).count()));
    g.finish();
}

criterion_group!(benches, nal_units);
criterion_main!(benches);
