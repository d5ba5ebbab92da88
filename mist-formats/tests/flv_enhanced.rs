//! Enhanced RTMP as FFmpeg 8.0 (libavformat 62) writes it, `tests/data/enhanced.py` through PyAV 18: extended heads of
//! every FourCC that it has, and six audio tracks as multitrack. `enhanced.truth` is what the same FFmpeg reads from
//! them: file, stream, codec, packets, keyframes, SHA-256 of all payloads, decoding/presentation times in ms.

mod common;

use bytes::Bytes;
use common::{Demux, demux};
use mist_core::codec::Codec;
use mist_core::gather::Gather;
use mist_core::media::TrackId;
use mist_formats::flv::{FORMAT, audio_track, video_track};

const FILES: [(&str, &[u8]); 3] = [
    ("enhanced-hevc.flv", include_bytes!("data/enhanced-hevc.flv")),
    ("enhanced-av1.flv", include_bytes!("data/enhanced-av1.flv")),
    ("enhanced-vp9.flv", include_bytes!("data/enhanced-vp9.flv")),
];

fn check(name: &str, got: &Demux) {
    assert!(got.error.is_none() && got.problems.is_empty(), "{name}: {:?} {:?}", got.error, got.problems);
    let rows = include_str!("data/enhanced.truth").lines().filter(|l| l.starts_with(name));
    let mut streams = 0;
    for row in rows {
        streams += 1;
        let c: Vec<_> = row.split(' ').collect();
        let (stream, codec): (u8, _) = (c[1].parse().unwrap(), c[2]);
        let id: TrackId = if stream == 0 { video_track(0) } else { audio_track(stream - 1) };
        let info =
            got.last().into_iter().find(|t| t.id == id).unwrap_or_else(|| panic!("{name}: no track {id}"));
        let at = format!("{name} {info:?}");
        let ours = info.codec.name().to_lowercase();
        assert!(codec.contains(&ours) || codec == "libdav1d", "{at} is {codec}");
        if stream == 0 {
            assert_eq!(info.size(), (64, 64), "{at}");
        } else {
            assert_eq!((info.rate(), info.channels()), (48_000, 2), "{at}");
        }
        let packets = got.of(id);
        let times: Vec<_> =
            packets.iter().map(|p| format!("{}/{}", p.dts.as_millis(), p.pts().as_millis())).collect();
        assert_eq!(times, c[6..], "{at}");
        assert_eq!(packets.iter().filter(|p| p.key).count().to_string(), c[4], "{at}");
        // FFmpeg leaves the temporal delimiter in, which our canonical form has not.
        let delimiter: &[u8] = if info.codec == Codec::Av1 { &[0x12, 0] } else { &[] };
        let all: Vec<u8> = packets.iter().flat_map(|p| [delimiter, &p.data].concat()).collect();
        assert_eq!(common::sha256(&all), c[5], "{at}");
    }
    assert_eq!(got.last().len(), streams, "{name}");
}

#[test]
fn what_ffmpeg_writes_is_read_and_comes_back_from_our_muxer() {
    for (name, file) in FILES {
        let got = demux(&FORMAT, &Bytes::from_static(file), 1000);
        check(name, &got);
        let mut m = (FORMAT.muxer.unwrap())();
        let mut out = Gather::new();
        // Numbers are given in the order of the tracks.
        let mut tracks = got.last();
        tracks.sort_by_key(|t| t.id);
        m.start(&tracks, None, &mut out).unwrap();
        for p in &got.packets {
            m.packet(p, &mut out).unwrap();
        }
        m.finish(&mut out).unwrap();
        check(name, &demux(&FORMAT, &out.to_vec().into(), 4096));
    }
}
