//! DTSC: what real MistServers sent, and the media of the corpus through DTSC files and header files.

mod common;

use bytes::Bytes;
use common::{Demux, corpus, demux, go_on, run, truths};
use mist_core::codec::{Codec, nal};
use mist_core::format::{Demuxed, ErrorKind, Index, IndexEntry};
use mist_core::gather::Gather;
use mist_core::media::{Kind, Media, Packet, Params};
use mist_core::registry::probe;
use mist_core::time::{Duration, Timestamp};
use mist_formats::FORMATS;
use mist_formats::dtsc::{self, FORMAT, Source, dtsh};

/// What a real server sent over the wire.
#[allow(clippy::disallowed_methods, reason = "tests read files")]
fn recorded(name: &str) -> Option<Bytes> {
    std::fs::read(corpus()?.join("../oracle").join(name)).ok().map(Bytes::from)
}

#[test]
fn real_servers_are_understood() {
    for (name, ids, first) in
        [("samples-2.14/dtsc_live.bin", [2, 1], 122_043), ("samples-3.10/v3_dtsc_live.bin", [2, 3], 22_021)]
    {
        let Some(data) = recorded(name) else { return };
        // The dialogue begins with a command.
        assert_eq!(probe(FORMATS, &data[..512]).map(|f| f.id), Some("DTSC"));
        let got = demux(&FORMAT, &data, data.len());
        assert_eq!(got.error.as_ref().map(|e| e.kind).filter(|k| *k != ErrorKind::Truncated), None, "{name}");
        assert!(got.problems.is_empty(), "{name}: {:?}", got.problems);
        let video = got.tracks.iter().find(|t| t.id.0 == ids[0]).unwrap();
        let audio = got.tracks.iter().find(|t| t.id.0 == ids[1]).unwrap();
        assert_eq!((video.codec, video.size(), video.init.len()), (Codec::H264, (1280, 720), 49), "{name}");
        assert_eq!(audio.params, Params::Audio { rate: 48_000, channels: 2, bits: 16 }, "{name}");
        assert_eq!(&audio.init[..], [0x11, 0x90, 0x56, 0xe5, 0]);
        let frames = got.of(video.id);
        assert_eq!((frames[0].dts.as_millis(), frames[0].key), (first, true), "{name}");
        for f in &frames {
            assert!(nal::units(&f.data).next().is_some(), "{name}: {f:?}");
        }
        assert!(got.of(audio.id).len() > 2, "{name}");
        for step in [1, 2, 7, 188, 5000] {
            let split = demux(&FORMAT, &data, step);
            assert!(split.packets == got.packets && split.error == got.error, "{name} in steps of {step}");
        }
        for cut in (0..1500).chain((1500..data.len()).step_by(997)) {
            assert!(demux(&FORMAT, &data.slice(..cut), 1 << 20).packets.len() <= got.packets.len());
        }
        let mut d = (FORMAT.demuxer.unwrap())();
        d.want_nodes();
        let with_nodes = run(&mut *d, &data, 4096);
        assert!(with_nodes.nodes >= got.packets.len() + 2, "header and greeting");
        assert_eq!(with_nodes.packets, got.packets);
    }
}

fn index(tracks: &[std::sync::Arc<mist_core::media::TrackInfo>], packets: &[Packet]) -> Index {
    let line = |p: &Packet| IndexEntry {
        dts: p.dts,
        cts: p.cts,
        duration: p.duration,
        size: p.data.len() as u32,
        key: p.key,
    };
    let of = |id| packets.iter().filter(|p| p.track == id).map(line).collect();
    Index { tracks: tracks.iter().map(|t| (t.id, of(t.id))).collect() }
}

/// Sources with sound clocks and one description a track.
fn sources() -> impl Iterator<Item = (String, Demux, Bytes)> {
    truths().into_iter().filter_map(|t| {
        let data = t.read().filter(|d| d.len() < 3 << 20)?;
        if t.path.starts_with("malformed/") || t.path.starts_with("encrypted/") {
            return None;
        }
        let def = probe(FORMATS, &data[..data.len().min(4096)])?;
        let got = demux(def, &data, 1 << 16);
        let sorted = |id| got.of(id).is_sorted_by_key(|p| p.dts);
        let sound = got.error.is_none()
            && got.tracks.len() == got.last().len()
            && got.tracks.iter().all(|t| sorted(t.id) && !got.of(t.id).is_empty());
        (sound && !got.tracks.is_empty()).then_some((t.path, got, data))
    })
}

#[test]
fn files_with_an_index_come_back_and_are_sought_in() {
    let mut count = 0;
    for (path, mut got, _) in sources() {
        let index = index(&got.tracks, &got.packets);
        let mut m = (FORMAT.muxer.unwrap())();
        let mut out = Gather::new();
        m.start(&got.tracks, Some(&index), &mut out).unwrap();
        let lists: Vec<Vec<_>> = got.tracks.iter().map(|t| got.of(t.id)).collect();
        for (t, n) in index.interleaved() {
            m.packet(lists[t][n], &mut out).unwrap();
        }
        m.finish(&mut out).unwrap();
        let file = Bytes::from(out.to_vec());
        let back = demux(&FORMAT, &file, 1 << 16);
        assert!(
            back.error.is_none() && back.problems.is_empty(),
            "{path}: {:?} {:?}",
            back.error,
            back.problems
        );
        assert_eq!(back.packets.len(), got.packets.len(), "{path}");
        let mut d = (FORMAT.demuxer.unwrap())();
        d.push(0, file.clone());
        while matches!(d.poll(), Ok(Demuxed::Media(Media::Track(_)))) {}
        let known = d.index().unwrap_or_else(|| panic!("{path}: no index"));
        for ((id, list), t) in known.tracks.iter().zip(&back.tracks) {
            let got: Vec<_> = back.of(t.id).iter().map(|p| (p.dts, p.cts, p.data.len() as u32)).collect();
            assert_eq!(*id, t.id);
            assert_eq!(list.iter().map(|e| (e.dts, e.cts, e.size)).collect::<Vec<_>>(), got, "{path}");
        }
        let end = back.packets.iter().map(|p| p.dts).max().unwrap();
        let to = Timestamp::from_millis(end.as_millis() / 2);
        let at = d.seek(to).unwrap();
        let rest = go_on(&mut *d, &file, 1 << 16, back.tracks.clone());
        let main = back.tracks.iter().find(|t| t.codec.kind() == Kind::Video).unwrap_or(&back.tracks[0]);
        let first = rest.of(main.id)[0];
        assert_eq!((first.dts, first.dts <= to || back.of(main.id)[0].dts > to), (at, true), "{path}");
        got.packets.clear();
        count += 1;
    }
    if corpus().is_some() {
        assert!(count > 20, "{count}");
    }
}

#[test]
fn header_files_hold_every_packet_exactly() {
    for (path, got, data) in sources() {
        let source = Source { size: data.len() as u64, modified: 1_000 };
        let mut b = dtsh::Builder::new(source);
        for t in &got.tracks {
            b.track(t);
        }
        for p in &got.packets {
            b.packet(p, None).unwrap();
        }
        let header = b.finish();
        let file = dtsh::write(&header);
        let back = dtsh::parse(&file).unwrap();
        assert_eq!(dtsh::check(&back, source, 0), dtsh::DtshCheck::Current, "{path}");
        let want = index(&got.tracks, &got.packets);
        for ((id, list), (other, entries)) in back.index().unwrap().tracks.iter().zip(&want.tracks) {
            assert_eq!((id, list.len()), (other, entries.len()), "{path}");
            for (a, b) in list.iter().zip(entries) {
                assert_eq!((a.dts, a.cts, a.duration, a.size), (b.dts, b.cts, b.duration, b.size), "{path}");
            }
        }
        for (a, b) in back.tracks.iter().zip(&got.tracks) {
            assert_eq!((&a.info.init, a.info.params, a.info.codec), (&b.init, b.params, b.codec), "{path}");
        }
    }
}

/// The tables of two hours at 25 pictures and 47 sound frames a second, as a file of 4 GB has them.
#[test]
fn two_hours_start_at_once() {
    use mist_core::media::{TrackId, TrackInfo};
    let source = Source { size: 4 << 30, modified: 0 };
    let mut b = dtsh::Builder::new(source);
    let video = Params::Video { width: 1920, height: 1080, fpks: 25_000 };
    let audio = Params::Audio { rate: 48_000, channels: 2, bits: 16 };
    b.track(&TrackInfo::new(TrackId(1), Codec::Vp8, Bytes::new(), video).into());
    b.track(&TrackInfo::new(TrackId(2), Codec::Aac, Bytes::from_static(&[0x11, 0x90]), audio).into());
    let p = |track, dts, key| Packet {
        track: TrackId(track),
        dts,
        cts: Duration::ZERO,
        duration: Duration::ZERO,
        key,
        data: Bytes::from_static(&[0; 100]),
    };
    for n in 0..7200i64 * 25 {
        b.packet(&p(1, Timestamp::from_millis(n * 40), n % 50 == 0), Some(n as u64 * 20_000)).unwrap();
    }
    for n in 0..7200i64 * 375 / 8 {
        b.packet(&p(2, Timestamp::from_rate(n * 1024, 48_000), true), Some(n as u64 * 9_000)).unwrap();
    }
    let file = dtsh::write(&b.finish());
    assert!(file.len() < 10 << 20, "{}", file.len());
    let header = dtsh::parse(&file).unwrap();
    assert_eq!(dtsh::check(&header, source, 0), dtsh::DtshCheck::Current);
    let key = header.key_before(Timestamp::from_secs(3601)).unwrap();
    assert_eq!(key, (Timestamp::from_secs(3600), 3600 * 25 * 20_000));
    assert_eq!(dtsc::Header::index(&header).unwrap().tracks[1].1.len(), 337_500);
}
