//! MP4 files made for one thing each: hostile tables, odd layouts, times, seeking.

mod common;

use bytes::Bytes;
use common::{Demux, go_on, run};
use mist_core::format::{Demuxed, Demuxer as _, ErrorKind, Want};
use mist_core::media::Media;
use mist_core::time::Timestamp;
use mist_formats::mp4::{Demuxer, limits};

fn boxed(kind: &[u8; 4], parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    [&(body.len() as u32 + 8).to_be_bytes(), &kind[..], &body].concat()
}

fn numbers(all: &[u32]) -> Vec<u8> {
    all.iter().flat_map(|n| n.to_be_bytes()).collect()
}

/// A table: version and flags, count, entries.
fn table(kind: &[u8; 4], count: u32, entries: &[u32]) -> Vec<u8> {
    boxed(kind, &[&numbers(&[0, count]), &numbers(entries)])
}

/// A track of Opus, 1000 units a second, with these tables.
fn track(id: u32, edits: &[u8], tables: &[&[u8]]) -> Vec<u8> {
    let head =
        [[0; 7].as_slice(), &[1], &[0; 8], &[0, 2, 0, 16, 0, 0, 0, 0], &numbers(&[48_000 << 16])].concat();
    let dops = boxed(b"dOps", &[&[0, 2, 0, 0, 0, 0, 0xbb, 0x80, 0, 0, 0]]);
    let stsd = boxed(b"stsd", &[&numbers(&[0, 1]), &boxed(b"Opus", &[&head, &dops])]);
    let stbl = boxed(b"stbl", &[&stsd, &tables.concat()]);
    let mdhd = boxed(b"mdhd", &[&numbers(&[0, 0, 0, 1000, 0, 0])]);
    let hdlr = boxed(b"hdlr", &[&[0; 8], b"soun", &[0; 13]]);
    let mdia = boxed(b"mdia", &[&mdhd, &hdlr, &boxed(b"minf", &[&stbl])]);
    let tkhd = boxed(b"tkhd", &[&numbers(&[0, 0, 0, id, 0, 0]), &[0; 60]]);
    boxed(b"trak", &[&tkhd, edits, &mdia])
}

fn movie(tracks: &[&[u8]]) -> Vec<u8> {
    boxed(b"moov", &[&boxed(b"mvhd", &[&numbers(&[0, 0, 0, 600]), &[0; 84]]), &tracks.concat()])
}

fn ftyp() -> Vec<u8> {
    boxed(b"ftyp", &[b"isom", &[0; 4]])
}

fn demux(file: &[u8], step: usize) -> Demux {
    run(&mut Demuxer::new(), &Bytes::copy_from_slice(file), step)
}

/// Sizes 3 each, one chunk of all.
fn plain(count: u32, at: u32) -> Vec<u8> {
    let stts = table(b"stts", 1, &[count, 10]);
    let stsc = table(b"stsc", 1, &[1, count, 1]);
    [stts, stsc, boxed(b"stsz", &[&numbers(&[0, 3, count])]), table(b"stco", 1, &[at])].concat()
}

#[test]
fn tables_of_four_billion_take_nothing() {
    let mdat = boxed(b"mdat", &[&[7; 300]]);
    let at = ftyp().len() as u32 + 8;
    let cases: &[(&str, &str, Vec<u8>)] = &[
        ("constant size", "", plain(u32::MAX, at)),
        ("constant size of 2 GiB", "", {
            let t = plain(u32::MAX, at);
            let stsz = boxed(b"stsz", &[&numbers(&[0, 0x7fff_ffff, u32::MAX])]);
            [&t[..], &stsz].concat()
        }),
        (
            "stsz",
            "moov/trak/stbl/stsz",
            [plain(5, at), boxed(b"stsz", &[&numbers(&[0, 0, u32::MAX, 3, 3])])].concat(),
        ),
        (
            "stz2",
            "moov/trak/stbl/stz2",
            [plain(5, at), boxed(b"stz2", &[&numbers(&[0, 4, u32::MAX]), &[0x33]])].concat(),
        ),
        (
            "stts",
            "moov/trak/stbl/stts",
            [plain(2, at), table(b"stts", u32::MAX, &[u32::MAX, u32::MAX])].concat(),
        ),
        (
            "ctts",
            "moov/trak/stbl/ctts",
            [plain(2, at), table(b"ctts", u32::MAX, &[u32::MAX, 0x8000_0000])].concat(),
        ),
        ("stsc", "moov/trak/stbl/stsc", [plain(2, at), table(b"stsc", u32::MAX, &[1, u32::MAX, 1])].concat()),
        ("stco", "moov/trak/stbl/stco", [plain(2, at), table(b"stco", u32::MAX, &[at])].concat()),
        ("stss", "moov/trak/stbl/stss", [plain(2, at), table(b"stss", u32::MAX, &[1])].concat()),
    ];
    for (name, path, tables) in cases {
        let file = [ftyp(), mdat.clone(), movie(&[&track(1, &[], &[tables])])].concat();
        let mut d = Demuxer::new();
        let got = run(&mut d, &Bytes::from(file.clone()), 100);
        // 3 bytes each, to the end of the file.
        assert!(got.packets.len() <= 300 && got.tracks.len() == 1, "{name}: {}", got.packets.len());
        if !path.is_empty() {
            let at = got.problems.iter().find(|p| p.path == *path).unwrap_or_else(|| panic!("{name}"));
            assert!(at.offset > 300 && at.offset < file.len() as u64, "{name}: {at}");
        }
        assert!(d.index().is_none_or(|i| i.tracks[0].1.len() < 1000), "{name}");
        let _ = d.seek(Timestamp::from_secs(1000));
    }
}

#[test]
fn samples_that_share_bytes_end() {
    // A thousand chunks of a hundred samples each at the same place.
    let at = ftyp().len() as u32 + 8;
    let stsz = boxed(b"stsz", &[&numbers(&[0, 1, 1_000_000])]);
    let tables = [
        table(b"stts", 1, &[1_000_000, 1]),
        table(b"stsc", 1, &[1, 100, 1]),
        stsz,
        table(b"stco", 10_000, &vec![at; 10_000]),
    ]
    .concat();
    let file = [ftyp(), boxed(b"mdat", &[&[7; 100]]), movie(&[&track(1, &[], &[&tables])])].concat();
    let got = demux(&file, file.len());
    assert_eq!(got.error.map(|e| e.kind), Some(ErrorKind::Limit("samples that share their bytes")));
    assert!(got.packets.len() as u64 <= limits::SHARED + 8 * file.len() as u64);
}

#[test]
fn boxes_that_lie_about_their_size() {
    let at = ftyp().len() as u32 + 8;
    let sound = [ftyp(), boxed(b"mdat", &[&[7; 30]]), movie(&[&track(1, &[], &[&plain(10, at)])])].concat();
    assert_eq!(demux(&sound, 7).packets.len(), 10);
    // Any box's size, larger and smaller: never a panic, and what it is in ends it.
    for i in 0..sound.len() - 4 {
        for v in [0u32, 1, 7, 9, 0x7fff_ffff, u32::MAX] {
            let mut file = sound.clone();
            file[i..i + 4].copy_from_slice(&v.to_be_bytes());
            demux(&file, 64);
        }
    }
    let stbl = sound.windows(4).position(|w| w == b"stbl").unwrap() - 4;
    let mut file = sound;
    file[stbl..stbl + 4].copy_from_slice(&0x00ff_ffffu32.to_be_bytes());
    let got = demux(&file, 64);
    assert_eq!((got.packets.len(), got.problems.len()), (10, 1));
    assert_eq!((got.problems[0].path, got.problems[0].offset), ("moov/trak/minf", stbl as u64));
    // Boxes in boxes to any depth.
    let mut deep = Vec::new();
    for _ in 0..1000 {
        deep = boxed(b"trak", &[&deep]);
    }
    let file = [ftyp(), boxed(b"moov", &[&deep])].concat();
    let mut d = Demuxer::new();
    d.want_nodes();
    assert!(run(&mut d, &file.into(), 1 << 16).nodes < 100);
    let huge = [&ftyp()[..], &numbers(&[1]), b"moov", &(limits::MOOV + 1).to_be_bytes()].concat();
    let kind = demux(&huge, 64).error.map(|e| (e.kind, e.path));
    assert_eq!(kind, Some((ErrorKind::Limit("size of the box"), "moov")));
}

#[test]
fn large_sizes_and_sizes_to_the_end() {
    let moov = movie(&[&track(1, &[], &[&plain(10, ftyp().len() as u32 + 16)])]);
    let large = [&ftyp()[..], &numbers(&[1]), b"mdat", &46u64.to_be_bytes(), &[7; 30]].concat();
    let long = [&large[..], &moov].concat();
    let open = {
        let at = (ftyp().len() + moov.len() + 8) as u32;
        let moov = movie(&[&track(1, &[], &[&plain(10, at)])]);
        [&ftyp()[..], &moov, &[0; 4], b"mdat", &[7; 30]].concat()
    };
    let mut open_moov = long.clone();
    let at = large.len();
    open_moov[at..at + 4].fill(0);
    for file in [long, open, open_moov] {
        for step in [1, 5, 1000] {
            let got = demux(&file, step);
            assert_eq!((got.packets.len(), got.error, got.problems.len()), (10, None, 0));
        }
    }
}

#[test]
fn edits_move_a_track() {
    let at = ftyp().len() as u32 + 8;
    let first = |version: u32, entries: &[u32]| {
        let count = entries.len() as u32 / if version == 0 { 3 } else { 5 };
        let elst = boxed(b"elst", &[&numbers(&[version << 24, count]), &numbers(entries)]);
        let edits = boxed(b"edts", &[&elst]);
        let file =
            [ftyp(), boxed(b"mdat", &[&[7; 30]]), movie(&[&track(1, &edits, &[&plain(10, at)])])].concat();
        let got = demux(&file, 64);
        assert_eq!(got.packets.len(), 10);
        (got.packets[0].dts.as_millis(), got.problems.len())
    };
    const MINUS: u32 = u32::MAX;
    assert_eq!(first(0, &[60, 25, 0x1_0000]), (-25, 0));
    assert_eq!(first(0, &[60, MINUS, 0x1_0000, 60, 0, 0x1_0000]), (100, 0));
    assert_eq!(first(0, &[60, MINUS, 0x1_0000, 60, MINUS, 0x1_0000, 60, 30, 0x1_0000]), (170, 0));
    assert_eq!(first(1, &[0, 60, MINUS, MINUS, 0x1_0000, 0, 60, 0, 40, 0x1_0000]), (60, 0));
    assert_eq!(first(0, &[60, 10, 0x1_0000, 60, 50, 0x1_0000]), (-10, 1), "the second is reported");
}

/// Two tracks one behind the other: `moov` first, all of track 1, then all of track 2.
fn apart(count: u32, size: u32) -> Vec<u8> {
    let tables = |at: u32| {
        let stsz = boxed(b"stsz", &[&numbers(&[0, size, count])]);
        [table(b"stts", 1, &[count, 10]), table(b"stsc", 1, &[1, count, 1]), stsz, table(b"stco", 1, &[at])]
            .concat()
    };
    let moov = |a: u32, b: u32| movie(&[&track(1, &[], &[&tables(a)]), &track(2, &[], &[&tables(b)])]);
    let start = (ftyp().len() + moov(0, 0).len() + 8) as u32;
    let media: Vec<u8> = (0..2 * count * size).map(|i| (i / size) as u8).collect();
    [ftyp(), moov(start, start + count * size), boxed(b"mdat", &[&media])].concat()
}

#[test]
fn tracks_far_apart_come_by_time_and_take_little() {
    let file = Bytes::from(apart(3000, 10_000));
    let mut d = Demuxer::new();
    let got = run(&mut d, &file, 1 << 20);
    assert_eq!((got.packets.len(), &got.error), (6000, &None));
    assert!(got.packets.is_sorted_by_key(|p| p.dts));
    for p in &got.packets {
        let n = p.dts.as_millis() as u32 / 10 + (p.track.0 - 1) * 3000;
        assert!(p.data.len() == 10_000 && p.data[0] == n as u8, "{p:?}");
    }
    let index = d.index().unwrap();
    let order: Vec<_> =
        index.interleaved().map(|(t, n)| (index.tracks[t].0, index.tracks[t].1[n].dts)).collect();
    assert_eq!(order, got.packets.iter().map(|p| (p.track, p.dts)).collect::<Vec<_>>());
    // Payload is a slice of what was pushed where that holds all of it.
    let range = file.as_ptr_range();
    let slices = got.packets.iter().filter(|p| range.contains(&p.data.as_ptr())).count();
    assert!(slices > 5900, "{slices}");
}

#[test]
fn a_pipe_is_read_without_seeking() {
    // A second of one track, a second of the other; and a file that is not in such order.
    for (count, seeks) in [(400, false), (4000, true)] {
        let file = Bytes::from(apart(count, 5000));
        let (mut d, mut at, mut packets, mut sought) = (Demuxer::new(), 0, 0, false);
        loop {
            match d.poll().unwrap() {
                Demuxed::Media(Media::Packet(_)) => packets += 1,
                Demuxed::Need(Want::At { .. }) => {
                    sought = true;
                    break;
                }
                Demuxed::Need(_) if at == file.len() => d.end(),
                Demuxed::Need(_) => {
                    let n = (file.len() - at).min(4096);
                    d.push(at as u64, file.slice(at..at + n));
                    at += n;
                }
                Demuxed::End => break,
                _ => {}
            }
        }
        assert_eq!((sought, packets == 2 * count), (seeks, !seeks), "{count}");
    }
}

#[test]
fn seeking_lands_on_the_packet_at_or_before() {
    let file = Bytes::from(apart(300, 50));
    let mut d = Demuxer::new();
    d.push(0, file.clone());
    let mut tracks = Vec::new();
    while let Ok(Demuxed::Media(m)) = d.poll() {
        match m {
            Media::Track(t) => tracks.push(t),
            _ => break,
        }
    }
    for (to, want) in [(1234, 1230), (0, 0), (-5, 0), (2990, 2990), (99_999, 2990)] {
        let at = d.seek(Timestamp::from_millis(to)).unwrap();
        assert_eq!(at.as_millis(), want);
        let mut once = Demuxer::new();
        std::mem::swap(&mut once, &mut d);
        let got = go_on(&mut once, &file, 4096, tracks.clone());
        assert_eq!(got.packets[0].dts.as_millis(), want);
        assert_eq!(got.packets.len() as i64, (3000 - want) / 10 * 2);
        d = once;
    }
}

#[test]
fn what_lies_beyond_the_end_is_found_missing_however_the_file_is_read() {
    // A box that reaches farther than is read over, and chunks beyond the end before one that is there.
    let far = [ftyp(), numbers(&[2 << 20]), b"mdat".to_vec(), vec![7; 3000]].concat();
    let at = ftyp().len() as u32 + 8;
    let chunks = [9_000_000, 8_000_000, 7_000_000, 6_000_000, at];
    let scattered = |chunks: &[u32]| {
        let count = chunks.len() as u32;
        let stsz = boxed(b"stsz", &[&numbers(&[0, 3, count])]);
        let [stts, stsc] = [table(b"stts", 1, &[count, 10]), table(b"stsc", 1, &[1, 1, 1])];
        let tables = [stts, stsc, stsz, table(b"stco", count, chunks)].concat();
        [ftyp(), boxed(b"mdat", &[&[7; 30]]), movie(&[&track(1, &[], &[&tables])])].concat()
    };
    for (file, packets) in [(far, 0), (scattered(&chunks), 0), (scattered(&chunks[2..]), 1)] {
        let whole = demux(&file, file.len());
        assert_eq!(whole.packets.len(), packets);
        assert!(whole.error.is_some());
        for step in [1, 7, 1000] {
            let got = demux(&file, step);
            assert_eq!((got.packets.len(), &got.error), (packets, &whole.error), "{step}");
        }
    }
}
