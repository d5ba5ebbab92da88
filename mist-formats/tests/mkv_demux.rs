//! What the Matroska demuxer does with files made for one thing each.

mod common;

use bytes::Bytes;
use common::{Demux, demux, go_on, run};
use mist_core::codec::Codec;
use mist_core::format::{Demuxed, Demuxer as _, ErrorKind, Want};
use mist_core::media::{Colour, Media, Packet, TrackId, Visual};
use mist_core::time::{Duration, Timestamp};
use mist_formats::mkv::schema::ids;
use mist_formats::mkv::{Demuxer, FORMAT, limits};

/// An element with a size of four bytes.
fn el(id: u32, data: &[u8]) -> Vec<u8> {
    let size = 0x1000_0000 | data.len() as u32;
    [&id.to_be_bytes()[id.leading_zeros() as usize / 8..], &size.to_be_bytes(), data].concat()
}

/// An element without a size.
fn open(id: u32, data: &[u8]) -> Vec<u8> {
    [&id.to_be_bytes()[id.leading_zeros() as usize / 8..], &[0xff], data].concat()
}

fn num(id: u32, v: u64) -> Vec<u8> {
    el(id, &v.to_be_bytes())
}

fn all(parts: &[Vec<u8>]) -> Vec<u8> {
    parts.concat()
}

fn header() -> Vec<u8> {
    el(ids::EBML, &el(ids::DOC_TYPE, b"matroska"))
}

fn entry(track: u64, codec: &str, more: &[Vec<u8>]) -> Vec<u8> {
    let own = all(&[num(ids::TRACK_NUMBER, track), el(ids::CODEC_ID, codec.as_bytes())]);
    el(ids::TRACK_ENTRY, &[own, all(more)].concat())
}

/// VP8 video as track 1 and µ-law-like PCM as track 2.
fn tracks() -> Vec<u8> {
    let sound = all(&[el(ids::SAMPLING_FREQUENCY, &8000f32.to_be_bytes()), num(ids::BIT_DEPTH, 16)]);
    let size = all(&[num(ids::PIXEL_WIDTH, 16), num(ids::PIXEL_HEIGHT, 16)]);
    el(
        ids::TRACKS,
        &all(&[
            entry(1, "V_VP8", &[el(ids::VIDEO, &size)]),
            entry(2, "A_PCM/INT/BIG", &[el(ids::AUDIO, &sound)]),
        ]),
    )
}

fn simple(track: u8, ms: i16, flags: u8, data: &[u8]) -> Vec<u8> {
    el(ids::SIMPLE_BLOCK, &block(track, ms, flags, data))
}

fn block(track: u8, ms: i16, flags: u8, data: &[u8]) -> Vec<u8> {
    [&[0x80 | track], &ms.to_be_bytes()[..], &[flags], data].concat()
}

/// A keyframe, another picture and sound.
fn blocks() -> Vec<u8> {
    all(&[simple(1, 0, 0x80, &[0, 7]), simple(2, 0, 0x80, &[1, 2, 3, 4]), simple(1, 40, 0, &[1, 8])])
}

fn cluster(ms: u64) -> Vec<u8> {
    el(ids::CLUSTER, &[num(ids::TIMESTAMP, ms), blocks()].concat())
}

fn file(parts: &[Vec<u8>]) -> Bytes {
    [header(), el(ids::SEGMENT, &all(parts))].concat().into()
}

fn read(data: &Bytes) -> Demux {
    let got = demux(&FORMAT, data, data.len().max(1));
    for step in [1, 7] {
        let other = demux(&FORMAT, data, step);
        assert_eq!(
            (&got.packets, &got.problems, &got.error),
            (&other.packets, &other.problems, &other.error)
        );
    }
    got
}

fn times(got: &Demux) -> Vec<(u32, i64)> {
    got.packets.iter().map(|p| (p.track.0, p.pts().as_millis())).collect()
}

fn problems(got: &Demux) -> Vec<ErrorKind> {
    got.problems.iter().map(|p| p.kind).collect()
}

#[test]
fn sizes_known_and_unknown_are_the_same() {
    let clusters = |f: fn(u32, &[u8]) -> Vec<u8>| -> Vec<Vec<u8>> {
        [0, 80].map(|ms| f(ids::CLUSTER, &[num(ids::TIMESTAMP, ms), blocks()].concat())).to_vec()
    };
    let known = read(&file(&[tracks(), all(&clusters(el)), el(ids::TAGS, &[])]));
    assert_eq!(times(&known), [(1, 0), (2, 0), (1, 40), (1, 80), (2, 80), (1, 120)]);
    assert!(known.problems.is_empty() && known.error.is_none());
    let body = all(&[tracks(), el(ids::VOID, &[0; 9]), all(&clusters(open)), el(ids::TAGS, &[])]);
    let live = read(&[header(), open(ids::SEGMENT, &body)].concat().into());
    assert_eq!((live.packets, live.problems, live.error), (known.packets, vec![], None));
}

#[test]
fn damage_costs_one_cluster() {
    let mut second = cluster(80);
    // The size of the picture is over the cluster's end.
    let at = second.windows(4).position(|w| w == [0x10, 0, 0, 6]).unwrap();
    second[at] = 0x18;
    let got = read(&file(&[tracks(), cluster(0), second, cluster(160)]));
    assert_eq!(times(&got), [(1, 0), (2, 0), (1, 40), (1, 160), (2, 160), (1, 200)]);
    assert_eq!(problems(&got), [ErrorKind::Size("element beyond its parent")]);
    assert_eq!(got.problems[0].path, "Segment/Cluster/SimpleBlock");
    // Without sizes, the damaged one swallows the rest of the file.
    let mut second = open(ids::CLUSTER, &[num(ids::TIMESTAMP, 80), blocks()].concat());
    let at = second.windows(4).position(|w| w == [0x10, 0, 0, 6]).unwrap();
    second[at + 1] = 0x10;
    let body = all(&[tracks(), cluster(0), second, cluster(160)]);
    let got = read(&[header(), open(ids::SEGMENT, &body)].concat().into());
    assert_eq!(times(&got), [(1, 0), (2, 0), (1, 40), (1, 160), (2, 160), (1, 200)]);
    assert_eq!(problems(&got), [ErrorKind::Size("size beyond the next cluster")]);
    // Garbage between clusters.
    let got = read(&file(&[tracks(), cluster(0), vec![0, 0x1f, 0x43, 0xb6, 0x75, 0x81], cluster(80)]));
    assert_eq!((got.packets.len(), got.problems.len()), (6, 1));
}

#[test]
fn live_input_that_starts_inside_a_cluster() {
    let tail = blocks().split_off(9);
    let body = all(&[tracks(), tail, cluster(80)]);
    let got = read(&[header(), open(ids::SEGMENT, &body)].concat().into());
    assert_eq!((got.packets.len(), got.problems.len(), got.error), (3, 1, None));
    // Nothing can be read before the tracks are known.
    let got = read(
        &[&cluster(0)[9..], &cluster(80), &header(), &el(ids::SEGMENT, &all(&[tracks(), cluster(7)]))]
            .concat()
            .into(),
    );
    assert_eq!(got.packets.len(), 3, "{:?}", got.problems);
    assert!(problems(&got).contains(&ErrorKind::Missing("cluster before Tracks")));
    let got = read(&Bytes::from(vec![7; 3000]));
    assert_eq!(got.error.map(|e| e.kind), Some(ErrorKind::Sync("no EBML header")));
    let got = demux(&FORMAT, &Bytes::from(vec![7; 3 << 20]), 1 << 16);
    assert_eq!(got.error.map(|e| e.kind), Some(ErrorKind::Sync("no EBML header")));
}

#[test]
fn segments_one_after_the_other() {
    let one = file(&[tracks(), cluster(0)]);
    let got = read(&[&one[..], &one].concat().into());
    assert_eq!((got.packets.len(), got.tracks.len()), (6, 2));
    assert_eq!(problems(&got), [ErrorKind::TimeBack], "the second begins at 0 as well");
    let other = file(&[el(ids::TRACKS, &entry(2, "A_AC3", &[])), cluster(0)]);
    let got = read(&[&one[..], &other].concat().into());
    assert_eq!((got.packets.len(), got.tracks.len()), (4, 3), "{:?}", got.problems);
    assert_eq!(got.tracks[2].codec, Codec::Ac3);
}

#[test]
fn laces_have_times_of_their_own() {
    for (flags, body) in
        [(0x82, &[2, 2, 4, 1, 1, 2, 2, 2, 2, 3, 3][..]), (0x86, &[2, 0x82, 0xc1, 1, 1, 2, 2, 2, 2, 3, 3])]
    {
        let c = [num(ids::TIMESTAMP, 5), simple(2, 0, flags, body)].concat();
        let got = read(&file(&[tracks(), el(ids::CLUSTER, &c)]));
        let lens: Vec<_> = got.packets.iter().map(|p| p.data.len()).collect();
        assert_eq!(lens, [2, 4, 2], "{:?}", got.problems);
        let at: Vec<_> = got.packets.iter().map(|p| p.pts() - Timestamp::from_millis(5)).collect();
        assert_eq!(at, [0, 1, 3].map(|n| Duration::from_rate(n, 8000)));
    }
    let c = [num(ids::TIMESTAMP, 5), simple(2, 0, 0x84, &[1, 0, 0, 0]), simple(2, 1, 0x80, &[1, 1])].concat();
    let got = read(&file(&[tracks(), el(ids::CLUSTER, &c)]));
    assert_eq!((got.packets.len(), got.problems.len()), (1, 1), "one block is lost, not the cluster");
}

#[test]
fn groups_delays_and_padding() {
    let opus = b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\0";
    let list = el(
        ids::TRACKS,
        &all(&[
            entry(1, "A_OPUS", &[el(ids::CODEC_PRIVATE, opus), num(ids::CODEC_DELAY, 6_500_000)]),
            entry(2, "S_TEXT/WEBVTT", &[el(ids::LANGUAGE, b"ger"), el(ids::LANGUAGE_BCP47, b"fr-CA")]),
            entry(3, "D_WEBVTT/SUBTITLES", &[el(ids::LANGUAGE, b"ger")]),
            entry(4, "S_TEXT/UTF8", &[el(ids::LANGUAGE, b"und")]),
        ]),
    );
    let beside = el(ids::BLOCK_MORE, &el(ids::BLOCK_ADDITIONAL, b"line:0\nintro\n"));
    let group =
        |b: Vec<u8>, more: &[Vec<u8>]| el(ids::BLOCK_GROUP, &[el(ids::BLOCK, &b), all(more)].concat());
    let c = all(&[
        num(ids::TIMESTAMP, 20),
        simple(1, 0, 0x80, &[0xfc, 1]),
        group(block(1, 20, 0, &[0xfc, 1]), &[num(ids::DISCARD_PADDING, 13_500_000)]),
        group(block(2, 0, 0, b"Hi"), &[num(ids::BLOCK_DURATION, 700), el(ids::BLOCK_ADDITIONS, &beside)]),
        group(block(3, 0, 0, b"intro\n\nHi"), &[num(ids::BLOCK_DURATION, 700)]),
        group(block(4, 0, 0, b"Hi\0junk"), &[num(ids::BLOCK_DURATION, 700)]),
    ]);
    let got = read(&file(&[list, el(ids::CLUSTER, &c)]));
    assert!(got.problems.is_empty(), "{:?}", got.problems);
    let of = |n| got.of(TrackId(n)).into_iter().map(|p| (p.pts(), p.duration)).collect::<Vec<_>>();
    let ms = |us: i64| Timestamp::from_rate(us, 1_000_000);
    let lasting = |us| Duration::from_rate(us, 1_000_000);
    assert_eq!(of(1), [(ms(13_500), Duration::ZERO), (ms(33_500), lasting(6_500))]);
    assert_eq!(of(2), [(ms(20_000), lasting(700_000))]);
    let text = |n| got.of(TrackId(n))[0].data.clone();
    assert_eq!(
        (text(2), text(3), text(4)),
        ("intro\n--> line:0\nHi".into(), "intro\n-->\nHi".into(), "Hi".into())
    );
    let langs: Vec<_> = got.tracks.iter().map(|t| t.lang.map(|l| l.to_string())).collect();
    assert_eq!(langs, [Some("eng".into()), Some("fra".into()), Some("deu".into()), None]);
}

#[test]
fn what_is_encrypted_is_left_out() {
    let locked = el(ids::CONTENT_ENCODING, &num(ids::CONTENT_ENCODING_TYPE, 1));
    let locked = entry(1, "V_VP8", &[el(ids::CONTENT_ENCODINGS, &locked)]);
    let list = el(ids::TRACKS, &all(&[locked, entry(2, "A_AC3", &[])]));
    let got = read(&file(&[list, cluster(0)]));
    assert_eq!((times(&got), got.tracks.len()), (vec![(2, 0)], 1));
    assert_eq!(problems(&got), [ErrorKind::Encrypted("track")]);
}

#[test]
fn pictures_are_shown_as_the_file_says() {
    let colour = all(&[num(ids::PRIMARIES, 9), num(ids::TRANSFER_CHARACTERISTICS, 16), num(ids::RANGE, 2)]);
    let video = all(&[
        num(ids::PIXEL_WIDTH, 720),
        num(ids::PIXEL_HEIGHT, 576),
        num(ids::DISPLAY_WIDTH, 1024),
        num(ids::DISPLAY_HEIGHT, 576),
        el(ids::COLOUR, &colour),
        el(ids::PROJECTION, &el(ids::PROJECTION_POSE_ROLL, &90f32.to_be_bytes())),
    ]);
    let list = entry(1, "V_VP8", &[el(ids::VIDEO, &video), num(ids::DEFAULT_DURATION, 16_683_333)]);
    let got = read(&file(&[el(ids::TRACKS, &list)]));
    let colour = Some(Colour { primaries: 9, transfer: 16, matrix: 2, full_range: true });
    assert_eq!(got.tracks[0].visual, Visual { sar: (64, 45), colour, rotation: 270 });
    assert_eq!(format!("{:?}", got.tracks[0].params), "Video { width: 720, height: 576, fpks: 59940 }");
}

#[test]
fn packets_say_where_they_lie() {
    let data = file(&[tracks(), cluster(0)]);
    let mut d = Demuxer::new();
    d.push(0, data.clone());
    let mut n = 0;
    while let Ok(Demuxed::Media(m)) = d.poll() {
        let Media::Packet(Packet { data: payload, .. }) = m else { continue };
        let at = d.packet_offset().unwrap() as usize;
        assert_eq!(data[at..at + payload.len()], payload);
        n += 1;
    }
    assert_eq!(n, 3);
}

/// Ten clusters; Cues before them, behind them where SeekHead says, nowhere, or pointing at nothing.
#[test]
fn seeking_with_cues_and_without() {
    let clusters: Vec<Vec<u8>> = (0..10).map(|i| cluster(i * 80)).collect();
    let one = clusters[0].len() as u64;
    let cues = |first: u64| {
        let point = |i: u64| {
            let place = all(&[num(ids::CUE_TRACK, 1), num(ids::CUE_CLUSTER_POSITION, first + i * one)]);
            el(ids::CUE_POINT, &[num(ids::CUE_TIME, i * 80), el(ids::CUE_TRACK_POSITIONS, &place)].concat())
        };
        el(ids::CUES, &all(&(0..10).map(point).collect::<Vec<_>>()))
    };
    let seek_head = |at: u64| {
        let seek = all(&[el(ids::SEEK_ID, &ids::CUES.to_be_bytes()), num(ids::SEEK_POSITION, at)]);
        el(ids::SEEK_HEAD, &el(ids::SEEK, &seek))
    };
    let (t, c) = (tracks(), all(&clusters));
    let in_front = (t.len() + cues(0).len()) as u64;
    let headed = (seek_head(0).len() + t.len()) as u64;
    let files = [
        ("in front", file(&[t.clone(), cues(in_front), c.clone()]), true),
        ("behind", file(&[seek_head(headed + 10 * one), t.clone(), c.clone(), cues(headed)]), false),
        ("nowhere", file(&[t.clone(), c.clone()]), false),
        ("wrong", file(&[t.clone(), cues(in_front + 3), c.clone()]), true),
        ("wrong SeekHead", file(&[seek_head(7), t, c]), false),
    ];
    for (name, data, exact) in files {
        for read_all in [false, true] {
            let mut d = Demuxer::new();
            let all = if read_all {
                run(&mut d, &data, 64)
            } else {
                d.push(0, data.slice(..data.len() * 2 / 3));
                let mut all = Demux::default();
                loop {
                    match d.poll().unwrap() {
                        Demuxed::Media(Media::Track(t)) => all.tracks.push(t),
                        Demuxed::Need(Want::Next) => break all,
                        _ => {}
                    }
                }
            };
            for to in [500, 0, 9_000, 399, 80] {
                let want = (to / 80).min(9) * 80;
                let at = d.seek(Timestamp::from_millis(to)).unwrap().as_millis();
                assert!(at == want || (at == to && (!exact || name == "wrong")), "{name} {to}: {at}");
                let got = go_on(&mut d, &data, 64, all.tracks.clone());
                assert_eq!(
                    times(&got)[..2],
                    [(1, want), (2, want)],
                    "{name} {to} {read_all}: {:?}",
                    got.problems
                );
                assert!(got.packets[0].key && got.error.is_none());
            }
        }
    }
}

#[test]
fn tracks_behind_the_clusters() {
    let seek_head = |at: u64| {
        let seek = all(&[el(ids::SEEK_ID, &ids::TRACKS.to_be_bytes()), num(ids::SEEK_POSITION, at)]);
        el(ids::SEEK_HEAD, &el(ids::SEEK, &seek))
    };
    let at = (seek_head(0).len() + 2 * cluster(0).len()) as u64;
    let got = read(&file(&[seek_head(at), cluster(0), cluster(80), tracks()]));
    assert_eq!((got.packets.len(), got.problems.len(), got.tracks.len()), (6, 0, 2));
    let got = read(&file(&[seek_head(at + 5), cluster(0), cluster(80), tracks()]));
    assert_eq!((got.packets.len(), got.error), (0, None));
}

#[test]
fn limits_hold() {
    let big = |id: u32, size: u64| {
        [&id.to_be_bytes()[id.leading_zeros() as usize / 8..], &[1], &size.to_be_bytes()[1..]].concat()
    };
    // Tracks that nothing is read without.
    let got = read(&[header(), open(ids::SEGMENT, &big(ids::TRACKS, limits::METADATA + 1))].concat().into());
    assert_eq!(
        got.error.map(|e| (e.kind, e.path)),
        Some((ErrorKind::Limit("element size"), "Segment/Tracks"))
    );
    let got = read(&big(ids::EBML, limits::HEADER + 1).into());
    assert_eq!(got.error.map(|e| e.kind), Some(ErrorKind::Limit("element size")));
    // Anything else is passed over, and found to be cut.
    for id in [ids::CUES, ids::INFO, ids::ATTACHMENTS, ids::TAGS] {
        let got = read(
            &[header(), open(ids::SEGMENT, &[tracks(), big(id, (1 << 56) - 2)].concat())].concat().into(),
        );
        assert_eq!(got.error.map(|e| e.kind), Some(ErrorKind::Truncated));
    }
    let c = open(ids::CLUSTER, &[num(ids::TIMESTAMP, 0), big(ids::SIMPLE_BLOCK, limits::BLOCK + 1)].concat());
    let got = read(&[header(), open(ids::SEGMENT, &[tracks(), c].concat())].concat().into());
    assert_eq!(problems(&got), [ErrorKind::Limit("element size")]);
    let many: Vec<Vec<u8>> = (1..=limits::TRACKS as u64 + 1).map(|i| entry(i, "A_AC3", &[])).collect();
    let got = read(&file(&[el(ids::TRACKS, &all(&many))]));
    assert_eq!((got.tracks.len(), problems(&got)), (limits::TRACKS, vec![ErrorKind::Limit("tracks")]));
    let got = read(&file(&[el(ids::TRACKS, &all(&[entry(1, "A_AC3", &[]), entry(1, "A_AC3", &[])]))]));
    assert_eq!(problems(&got), [ErrorKind::Malformed("TrackNumber twice")]);
    // Sizes unknown at every level, and headers that ask for more than there is.
    for id in [ids::TRACKS, ids::INFO, ids::SIMPLE_BLOCK, ids::BLOCK_GROUP, ids::TIMESTAMP] {
        let c = open(ids::CLUSTER, &open(id, &[0; 30]));
        let got = read(&[header(), open(ids::SEGMENT, &all(&[tracks(), c, cluster(0)]))].concat().into());
        assert_eq!((got.packets.len(), got.error), (3, None), "{id:x}: {:?}", got.problems);
    }
    for (id, v) in [(ids::EBML_READ_VERSION, 2), (ids::EBML_MAX_ID_LENGTH, 5), (ids::EBML_MAX_SIZE_LENGTH, 9)]
    {
        let got = read(&el(ids::EBML, &[num(id, v), el(ids::DOC_TYPE, b"webm")].concat()).into());
        assert!(matches!(got.error.map(|e| e.kind), Some(ErrorKind::Unsupported(_))));
    }
    let short = el(ids::EBML, &[num(ids::EBML_MAX_SIZE_LENGTH, 2), el(ids::DOC_TYPE, b"webm")].concat());
    let got = read(&[short, open(ids::SEGMENT, &tracks())].concat().into());
    assert_eq!(problems(&got), [ErrorKind::Size("element size over EBMLMaxSizeLength")]);
}

#[test]
fn odd_numbers_do_no_harm() {
    let info = el(ids::INFO, &num(ids::TIMESTAMP_SCALE, 0));
    let got = read(&file(&[info, tracks(), cluster(u64::MAX)]));
    assert_eq!((got.packets.len(), problems(&got)), (3, vec![ErrorKind::Malformed("TimestampScale of 0")]));
    let info = el(ids::INFO, &num(ids::TIMESTAMP_SCALE, u64::MAX));
    assert_eq!(read(&file(&[info, tracks(), cluster(1)])).packets.len(), 3);
    // A block of a track whose number fills 56 bits.
    let far = el(ids::SIMPLE_BLOCK, &[1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 0, 0, 0x80, 1]);
    let c = el(ids::CLUSTER, &all(&[num(ids::TIMESTAMP, 0), far.clone(), far, blocks()]));
    let got = read(&file(&[tracks(), c]));
    assert_eq!(
        (got.packets.len(), problems(&got)),
        (3, vec![ErrorKind::Malformed("block of an unknown track")])
    );
    let c = el(ids::CLUSTER, &blocks());
    assert_eq!(read(&file(&[tracks(), c])).problems.len(), 3, "no Timestamp");
}
