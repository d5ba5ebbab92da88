//! What is muxed has to come back.

use super::{drive, pick};
use bytes::Bytes;
use mist_core::codec::Codec;
use mist_core::gather::Gather;
use mist_core::media::{Kind, Packet, Params, TrackId, TrackInfo};
use mist_core::registry::Slot;
use mist_core::time::{Duration, Timestamp};
use std::sync::Arc;

/// Muxes packets made from arbitrary bytes and demuxes the result: it has to be readable to its end.
pub fn mux_round_trip(data: &[u8]) {
    let [format, video, audio, rest @ ..] = data else { return };
    let Some(def) = pick(*format) else { return };
    let (Some(mux), Some(demux), Some(output)) = (def.muxer, def.demuxer, def.output) else { return };
    let carried: Vec<Codec> = output
        .codecs
        .iter()
        .flat_map(|combo| combo.iter())
        .flat_map(|slot| match slot {
            Slot::Of(l) | Slot::Many(l) => *l,
            Slot::Any => Codec::ALL,
        })
        .copied()
        .collect();
    let of = |kind: Kind, n: u8| {
        let l: Vec<_> = carried.iter().copied().filter(|c| c.kind() == kind).collect();
        l.get(usize::from(n) % l.len().max(1)).copied()
    };
    let mut tracks = Vec::new();
    for (id, codec) in [(1, of(Kind::Video, *video)), (2, of(Kind::Audio, *audio))] {
        let Some(codec) = codec else { continue };
        let params = match codec.kind() {
            Kind::Video => Params::Video { width: 16, height: 16, fpks: 0 },
            _ => Params::Audio { rate: 44100, channels: 2, bits: 16 },
        };
        let init = match codec {
            Codec::Aac => Bytes::from_static(&[0x12, 0x10]),
            _ => Bytes::new(),
        };
        tracks.push(Arc::new(TrackInfo::new(TrackId(id), codec, init, params)));
    }
    let mut m = mux();
    let mut out = Gather::new();
    if m.start(&tracks, None, &mut out).is_err() {
        return;
    }
    let mut dts = Timestamp::ZERO;
    let mut left = rest;
    while let [flags, delta, cts, len, tail @ ..] = left {
        let (payload, tail) = tail.split_at(usize::from(*len).min(tail.len()));
        left = tail;
        // Deltas of both signs and of all sizes.
        dts += Duration::from_millis(i64::from(*delta as i8) << (flags >> 3 & 31).min(24));
        let p = Packet {
            track: TrackId(u32::from(flags & 3)),
            dts,
            cts: Duration::from_millis(i64::from(*cts as i8)),
            duration: Duration::ZERO,
            key: flags & 4 != 0,
            data: Bytes::copy_from_slice(payload),
        };
        // A refused packet leaves an unspecified output: stop there.
        if tracks.iter().any(|t| t.id == p.track) {
            if m.packet(&p, &mut out).is_err() {
                return;
            }
        } else {
            let mut nowhere = Gather::new();
            assert!(m.packet(&p, &mut nowhere).is_err(), "packet of an unknown track");
        }
    }
    let Ok(patches) = m.finish(&mut out) else { return };
    let file = out.to_vec();
    for p in &patches {
        assert!(p.offset + p.data.len() as u64 <= file.len() as u64, "patch beyond the file");
    }
    let seen = drive(&mut *demux(), &file.into(), 4096);
    assert_eq!(seen.error, None);
}
