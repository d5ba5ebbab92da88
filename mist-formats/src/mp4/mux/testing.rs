//! What the tests of this folder share: material, and a reader of boxes that knows nothing else.

use bytes::Bytes;
use mist_core::codec::Codec;
use mist_core::format::{Index, IndexEntry};
use mist_core::media::{Packet, Params, TrackId, TrackInfo};
use mist_core::time::{Duration, Timestamp};
use std::sync::Arc;

pub(super) const SPS: &[u8] = &[
    0x67, 0x64, 0x00, 0x1f, 0xac, 0xb4, 0x02, 0x80, 0x2d, 0xd0, 0x80, 0x00, 0x00, 0x03, 0x00, 0x80, 0x00,
    0x00, 0x18, 0x07, 0x8c, 0x19, 0x50,
];
pub(super) const PPS: &[u8] = &[0x68, 0xee, 0x3c, 0xb0];

pub(super) fn track(id: u32, codec: Codec, init: Bytes, params: Params) -> Arc<TrackInfo> {
    Arc::new(TrackInfo::new(TrackId(id), codec, init, params))
}

/// H.264 at 25 frames a second.
pub(super) fn video(id: u32) -> Arc<TrackInfo> {
    let init = mist_core::codec::h264::Avcc::from_nals([SPS, PPS]).unwrap().build();
    track(id, Codec::H264, init, Params::Video { width: 1280, height: 720, fpks: 25_000 })
}

pub(super) fn aac(id: u32) -> Arc<TrackInfo> {
    let init = Bytes::from_static(&[0x12, 0x10]);
    track(id, Codec::Aac, init, Params::Audio { rate: 44_100, channels: 2, bits: 16 })
}

pub(super) fn packet(track: u32, dts_ms: i64, key: bool, data: Vec<u8>) -> Packet {
    Packet {
        track: TrackId(track),
        dts: Timestamp::from_millis(dts_ms),
        cts: Duration::ZERO,
        duration: Duration::ZERO,
        key,
        data: data.into(),
    }
}

/// The index of these packets, which are in decoding order.
pub(super) fn index(tracks: &[Arc<TrackInfo>], packets: &[Packet]) -> Index {
    let line = |p: &Packet| IndexEntry {
        dts: p.dts,
        cts: p.cts,
        duration: p.duration,
        size: p.data.len() as u32,
        key: p.key,
    };
    let of = |t: &Arc<TrackInfo>| packets.iter().filter(|p| p.track == t.id).map(line).collect();
    Index { tracks: tracks.iter().map(|t| (t.id, of(t))).collect() }
}

/// Boxes that lie one behind the other: type, offset and body.
pub(super) fn boxes(data: &[u8]) -> Vec<(String, usize, &[u8])> {
    let (mut at, mut all) = (0, Vec::new());
    while at < data.len() {
        let mut len = u32::from_be_bytes(data[at..at + 4].try_into().unwrap()) as usize;
        let mut head = 8;
        if len == 1 {
            len = u64::from_be_bytes(data[at + 8..at + 16].try_into().unwrap()) as usize;
            head = 16;
        }
        let kind = String::from_utf8(data[at + 4..at + 8].to_vec()).unwrap();
        all.push((kind, at, data.get(at + head..at + len).unwrap_or(&data[at + head..])));
        at += len;
    }
    all
}

/// The bodies of all boxes with this path.
pub(super) fn find<'a>(data: &'a [u8], path: &str) -> Vec<&'a [u8]> {
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    let here = boxes(data).into_iter().filter(|b| b.0 == first).map(|b| b.2);
    if rest.is_empty() { here.collect() } else { here.flat_map(|b| find(b, rest)).collect() }
}

pub(super) fn u32_at(b: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(b[at..at + 4].try_into().unwrap())
}

pub(super) fn u64_at(b: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(b[at..at + 8].try_into().unwrap())
}
