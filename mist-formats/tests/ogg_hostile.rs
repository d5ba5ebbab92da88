//! Ogg as attackers and broken writers make it: floods, damage, lies; each has a limit and an end.

mod common;

use bytes::Bytes;
use common::{Demux, demux};
use mist_core::codec::Codec;
use mist_core::codec::opus::OpusHead;
use mist_core::format::{Demuxed, Demuxer as _, ErrorKind, Want};
use mist_core::gather::Gather;
use mist_core::media::{Media, Packet, Params, TrackId, TrackInfo};
use mist_core::time::{Duration, Timestamp};
use mist_formats::ogg::{Demuxer, FORMAT, limits};
use std::sync::Arc;

const CONTINUED: u8 = 1;
const BOS: u8 = 2;
const EOS: u8 = 4;

/// A page with these lacing values.
fn raw(flags: u8, granule: i64, serial: u32, sequence: u32, lacing: &[u8], body: &[u8]) -> Vec<u8> {
    let mut p = b"OggS\0".to_vec();
    p.push(flags);
    p.extend(granule.to_le_bytes());
    p.extend(serial.to_le_bytes());
    p.extend(sequence.to_le_bytes());
    p.extend([0; 4]);
    p.push(lacing.len() as u8);
    p.extend(lacing);
    p.extend(body);
    let mut crc = 0u32;
    for b in &p {
        crc ^= u32::from(*b) << 24;
        for _ in 0..8 {
            crc = if crc >> 31 != 0 { crc << 1 ^ 0x04c1_1db7 } else { crc << 1 };
        }
    }
    p[22..26].copy_from_slice(&crc.to_le_bytes());
    p
}

/// A page of whole packets.
fn page(flags: u8, granule: i64, serial: u32, sequence: u32, packets: &[&[u8]]) -> Vec<u8> {
    let mut lacing = Vec::new();
    for p in packets {
        lacing.resize(lacing.len() + p.len() / 255, 255);
        lacing.push((p.len() % 255) as u8);
    }
    raw(flags, granule, serial, sequence, &lacing, &packets.concat())
}

/// 20 ms of Opus.
const FRAME: &[u8] = &[0xfc, 1, 2, 3];

/// The headers of a stream of Opus without pre-skip.
fn opus(serial: u32) -> Vec<u8> {
    let head = OpusHead::new(2, 0).unwrap().build();
    let tags = b"OpusTags\x01\0\0\0x\x01\0\0\0\x0c\0\0\0LANGUAGE=deu";
    [page(BOS, 0, serial, 0, &[&head]), page(0, 0, serial, 1, &[tags])].concat()
}

fn read(file: Vec<u8>) -> Demux {
    let file = Bytes::from(file);
    let got = demux(&FORMAT, &file, 1 << 16);
    let split = demux(&FORMAT, &file, 13);
    assert!(got.packets == split.packets && got.problems == split.problems && got.error == split.error);
    got
}

fn millis(got: &Demux) -> Vec<i64> {
    got.packets.iter().map(|p| p.dts.as_millis()).collect()
}

fn kinds(got: &Demux) -> Vec<ErrorKind> {
    got.problems.iter().map(|p| p.kind).collect()
}

#[test]
fn a_lost_a_repeated_and_a_damaged_page() {
    let data = |n: u32| page(0, i64::from(n) * 960 - 960, 7, n, &[FRAME]);
    let mut file = opus(7);
    file.extend([data(2), data(3), data(3), data(6)].concat());
    let mut damaged = data(7);
    let at = damaged.len() - 1;
    damaged[at] ^= 1;
    file.extend([damaged, data(8)].concat());
    let got = read(file);
    assert_eq!(got.tracks[0].lang.map(|l| l.to_string()).as_deref(), Some("deu"));
    // Times are right behind holes.
    assert_eq!(millis(&got), [0, 20, 80, 120]);
    let lost = ErrorKind::Lost("pages are missing before this one");
    let wrong = ErrorKind::Checksum("page; went on at the next");
    assert_eq!(kinds(&got), [ErrorKind::Malformed("repeated page"), lost, wrong, lost]);
    assert_eq!(got.error, None);
}

#[test]
fn packets_over_pages_that_begin_or_end_in_nothing() {
    let long = [0xfcu8; 255];
    let mut file = opus(7);
    file.extend(raw(0, -1, 7, 2, &[255], &long));
    // It doesn't go on.
    file.extend(page(0, 960, 7, 3, &[FRAME]));
    // This one didn't begin.
    file.extend(page(CONTINUED, 2880, 7, 4, &[FRAME, FRAME]));
    // This one does both: one packet of 255 bytes and of none more.
    file.extend(raw(0, -1, 7, 5, &[255], &long));
    file.extend(raw(CONTINUED | EOS, 4800, 7, 6, &[0, 4], FRAME));
    let got = read(file);
    let sizes: Vec<_> = got.packets.iter().map(|p| p.data.len()).collect();
    assert_eq!((sizes, millis(&got)), (vec![4, 4, 255, 4], vec![0, 40, 60, 80]));
    assert_eq!(kinds(&got).len(), 2);
}

#[test]
fn a_packet_without_end_is_given_up() {
    let mut file = opus(7);
    let body = vec![1u8; 255 * 255];
    let pages = limits::PACKET / body.len() + 2;
    for n in 0..pages as u32 {
        let flags = if n == 0 { 0 } else { CONTINUED };
        file.extend(raw(flags, -1, 7, 2 + n, &[255; 255], &body));
    }
    let sequence = 2 + pages as u32;
    file.extend(page(0, 960, 7, sequence, &[FRAME]));
    let got = demux(&FORMAT, &file.into(), 1 << 16);
    assert_eq!(got.packets.len(), 1);
    assert_eq!(kinds(&got)[0], ErrorKind::Limit("bytes of a packet"));
}

#[test]
fn many_packets_without_end_share_a_limit() {
    let body = vec![1u8; 255 * 255];
    let streams = 8;
    let mut file: Vec<u8> = (0..streams).flat_map(opus).collect();
    for n in 0..(limits::HELD / body.len() / streams as usize) as u32 + 2 {
        let flags = if n == 0 { 0 } else { CONTINUED };
        (0..streams).for_each(|s| file.extend(raw(flags, -1, s, 2 + n, &[255; 255], &body)));
    }
    let got = demux(&FORMAT, &file.into(), 1 << 16);
    assert!(kinds(&got).contains(&ErrorKind::Limit("bytes of a packet")));
}

#[test]
fn floods_of_streams_and_links() {
    // In one link: a limit, said once.
    let n = limits::STREAMS as u32 + 50;
    let file: Vec<u8> = (0..n).flat_map(|s| page(BOS, 0, s, 0, &[b"nothing known"])).collect();
    let got = read(file);
    let known =
        kinds(&got).iter().filter(|k| **k == ErrorKind::Unsupported("codec of a logical stream")).count();
    assert_eq!(known, limits::STREAMS);
    assert_eq!(kinds(&got).iter().filter(|k| **k == ErrorKind::Limit("logical streams")).count(), 1);
    assert_eq!(got.error.map(|e| e.kind), Some(ErrorKind::Unsupported("no logical stream that can be read")));
    // Chained, beyond what is kept for seeking: one track, whose time goes on.
    let links = limits::LINKS as u32 + 50;
    let file: Vec<u8> = (0..links).flat_map(|s| [opus(s), page(EOS, 960, s, 2, &[FRAME])].concat()).collect();
    let got = demux(&FORMAT, &file.into(), 1 << 16);
    assert_eq!((got.tracks.len(), got.error), (1, None));
    assert!(got.packets.iter().zip(0..).all(|(p, n)| p.dts == Timestamp::from_millis(n * 20)));
    assert_eq!(got.packets.len() as u32, links);
}

#[test]
fn a_page_without_a_stream_and_granules_that_lie() {
    let mut file = page(0, 5, 99, 3, &[b"who"]);
    file.extend(opus(7));
    for (n, granule) in [i64::MAX, i64::MIN, -2, 0, 1 << 62, 960].into_iter().enumerate() {
        file.extend(page(0, granule, 7, 2 + n as u32, &[FRAME, &[], FRAME]));
    }
    file.extend(page(EOS, 0, 7, 8, &[FRAME]));
    let got = read(file);
    assert_eq!((got.packets.len(), &got.error), (13, &None));
    let no_granule = ErrorKind::Malformed("packets end on this page, but it has no granule position");
    let granule_back = ErrorKind::Malformed("the granule position goes back");
    let (missing, back) = (ErrorKind::Missing("logical stream without a beginning"), ErrorKind::TimeBack);
    let lies = [missing, no_granule, no_granule, granule_back, back, granule_back, back, granule_back];
    assert_eq!(kinds(&got), lies);
}

#[test]
fn no_ogg_at_all() {
    for len in [0, 3, 30, limits::SEARCH as usize + 2] {
        let got = read(vec![b'O'; len]);
        assert_eq!(got.error.map(|e| e.kind), Some(ErrorKind::Sync("no Ogg page")), "{len}");
    }
    // What lies before the first page is passed over.
    let mut file = b"ID3 OggS Ogg".to_vec();
    file.extend([opus(7), page(0, 960, 7, 2, &[FRAME])].concat());
    let got = read(file);
    assert_eq!((got.packets.len(), got.problems.len()), (1, 1));
}

#[test]
fn comments_of_any_size_come_through_small() {
    let long = [b"OpusTags\0\0\0\0\x01\0\0\0\xff\xff\xff\xff".to_vec(), vec![b'x'; 300_000]].concat();
    let head = OpusHead::new(2, 0).unwrap().build();
    let mut file = page(BOS, 0, 7, 0, &[&head]);
    for (n, part) in long.chunks(255 * 255).enumerate() {
        let mut lacing = vec![255; part.len() / 255];
        if lacing.len() < 255 {
            lacing.push((part.len() % 255) as u8);
        }
        file.extend(raw(if n == 0 { 0 } else { CONTINUED }, 0, 7, 1 + n as u32, &lacing, part));
    }
    let pages = long.chunks(255 * 255).count() as u32;
    file.extend(page(0, 960, 7, 1 + pages, &[FRAME]));
    let got = read(file);
    assert_eq!((got.packets.len(), got.problems.len()), (1, 0));
    assert_eq!(got.tracks[0].init, head);
}

/// The end of one link and the start of the next when a track's description changes.
#[test]
fn a_change_makes_a_new_link() {
    let mut m = (FORMAT.muxer.unwrap())();
    let mut out = Gather::new();
    assert!(m.finish(&mut out).is_err());
    let info = |channels| {
        let init = OpusHead::new(channels, 0).unwrap().build();
        let params = Params::Audio { rate: 48_000, channels: channels.into(), bits: 16 };
        Arc::new(TrackInfo::new(TrackId(3), Codec::Opus, init, params))
    };
    let packet = |n: i64| Packet {
        track: TrackId(3),
        dts: Timestamp::from_millis(3_600_000 + n * 20),
        cts: Duration::ZERO,
        duration: Duration::from_millis(if n == 9 { 5 } else { 20 }),
        key: true,
        data: Bytes::from_static(FRAME),
    };
    m.start(&[info(2)], None, &mut out).unwrap();
    (0..5).for_each(|n| m.packet(&packet(n), &mut out).unwrap());
    m.track(&info(2), &mut out).unwrap();
    m.track(&info(1), &mut out).unwrap();
    (5..10).for_each(|n| m.packet(&packet(n), &mut out).unwrap());
    let text = TrackInfo { codec: Codec::Subtitle, ..TrackInfo::clone(&info(2)) };
    assert!(m.track(&Arc::new(text), &mut out).is_err());
    assert!(m.packet(&Packet { track: TrackId(4), ..packet(11) }, &mut Gather::new()).is_err());
    m.finish(&mut out).unwrap();
    let got = read(out.to_vec());
    assert_eq!(got.tracks.iter().map(|t| (t.id.0, t.channels())).collect::<Vec<_>>(), [(1, 2), (1, 1)]);
    assert!(millis(&got).into_iter().eq((0..10).map(|n| n * 20)));
    assert_eq!(got.packets[9].duration, Duration::from_millis(5), "the end is cut as it was");
}

/// Live, a packet is on its way within a moment, and the headers at once.
#[test]
fn live_output_doesnt_wait() {
    let mut m = (FORMAT.muxer.unwrap())();
    let mut out = Gather::new();
    let init = OpusHead::new(2, 0).unwrap().build();
    let params = Params::Audio { rate: 48_000, channels: 2, bits: 16 };
    m.start(&[Arc::new(TrackInfo::new(TrackId(1), Codec::Opus, init, params))], None, &mut out).unwrap();
    let mut bytes = out.to_vec();
    assert_eq!(bytes.windows(4).filter(|w| w == b"OggS").count(), 2);
    for n in 0..50i64 {
        out.clear();
        let (dts, data) = (Timestamp::from_millis(n * 20), Bytes::from(vec![0xfc; 100]));
        let (cts, duration) = (Duration::ZERO, Duration::ZERO);
        m.packet(&Packet { track: TrackId(1), dts, cts, duration, key: true, data }, &mut out).unwrap();
        bytes.extend(out.to_vec());
        let got = demux(&FORMAT, &bytes.clone().into(), 1 << 16);
        assert!(n - got.packets.len() as i64 <= 11, "{n}: {}", got.packets.len());
    }
}

/// A pipe can't go back: said when it is asked to.
#[test]
fn seeking_needs_a_source_that_can() {
    let mut d = Demuxer::new();
    assert!(d.seek(Timestamp::ZERO).is_err());
    let mut file = opus(7);
    for n in 0..9000u32 {
        file.extend(page(0, i64::from(n + 1) * 960, 7, 2 + n, &[&[0xfc; 100]]));
    }
    let file = Bytes::from(file);
    d.push(0, file.clone());
    while !matches!(d.poll(), Ok(Demuxed::Need(_))) {}
    let to = Timestamp::from_secs(100);
    assert_eq!(d.seek(to), Ok(to));
    let (mut asked, mut at) = (0, 0);
    let first = loop {
        let want = match d.poll().unwrap() {
            Demuxed::Media(Media::Packet(p)) => break p,
            Demuxed::Need(want) => want,
            other => panic!("{other:?}"),
        };
        if let Want::At { offset, .. } = want {
            asked += 1;
            assert!(asked < 20, "halves what is left");
            at = offset as usize;
        }
        let to = (at + 4096).min(file.len());
        if at < to {
            d.push(at as u64, file.slice(at..to));
            at = to;
        } else {
            d.end();
        }
    };
    assert_eq!(first.dts, to);
    let mut d = Demuxer::new();
    d.push(0, file);
    while !matches!(d.poll(), Ok(Demuxed::Need(_))) {}
    d.seek(to).unwrap();
    let error = loop {
        match d.poll() {
            Ok(Demuxed::Need(_)) => d.end(),
            Ok(other) => panic!("{other:?}"),
            Err(e) => break e.kind,
        }
    };
    assert_eq!(error, ErrorKind::NeedsSeek);
}
