//! Every Ogg file of the corpus against what ffprobe found in it.
#![allow(clippy::float_cmp, reason = "times of ffprobe have three decimals")]

mod common;

use common::{Demux, Truth, TruthPacket, demux, go_on, sha256, truths};
use mist_core::codec::Codec;
use mist_core::format::{Demuxed, ErrorKind};
use mist_core::media::{Kind, Media, Packet, TrackInfo};
use mist_core::time::{Duration, Timestamp};
use mist_formats::ogg::FORMAT;

fn ours(t: &Truth) -> bool {
    (t.path.starts_with("ogg/") || t.path.starts_with("synthetic/"))
        && t.path.rsplit_once('.').is_some_and(|(_, e)| FORMAT.extensions.contains(&e))
}

fn codec(name: &str) -> Codec {
    match name {
        "vorbis" => Codec::Vorbis,
        "opus" => Codec::Opus,
        "theora" => Codec::Theora,
        "flac" => Codec::Flac,
        "speex" => Codec::Speex,
        "vp8" => Codec::Vp8,
        other => panic!("{other}"),
    }
}

/// Files that are damaged, and what is said of it.
const PROBLEMS: &[(&str, &[ErrorKind])] = &[
    // Ten bytes between two pages, three behind the last.
    (
        "ogg/ax-bear_vorbis_gap.ogg",
        &[
            ErrorKind::Sync("no page here; went on at the next"),
            ErrorKind::Sync("no page from here to the end"),
        ],
    ),
    // The last packets go on on pages that aren't there.
    ("ogg/fzc-VID_0001.ogg", &[ErrorKind::Truncated]),
    ("ogg/fzc-audio.ogg", &[ErrorKind::Truncated]),
    ("ogg/fzc-chain.ogv", &[ErrorKind::Truncated]),
    ("ogg/fzc-indexed.ogv", &[ErrorKind::Truncated]),
    ("ogg/fzc-multiple-bos.ogg", &[ErrorKind::Truncated]),
    // A logical stream of an invented codec.
    ("ogg/mutagen-multiplexed.spx", &[ErrorKind::Unsupported("codec of a logical stream")]),
];

/// Where times differ from ffprobe's, by how many milliseconds at most, and why.
const TIMES: &[(&str, Kind, f64, &str)] = &[
    (
        "ogg/sample-platform-sample1.ogg",
        Kind::Video,
        33.4,
        "frames were dropped: the page's granule position says so for the frame behind the gap, ffprobe one frame later",
    ),
    ("ogg/fzc-chain.ogv", Kind::Video, 33.4, "ffprobe gives the first frame the second one's pts, and dts 0"),
    (
        "ogg/fzc-multiple-bos.ogg",
        Kind::Video,
        40.0,
        "ffprobe gives the first frame the second one's pts, and dts 0",
    ),
    (
        "ogg/fzc-multiple-bos.ogg",
        Kind::Audio,
        2.91,
        "all sound is on one page, whose granule position ffprobe doesn't count back from",
    ),
];

/// Links behind the first that ffprobe doesn't read, or reads from time 0 on with headers as packets.
const CHAINED: &[&str] = &["ogg/fzc-chain.ogv", "ogg/fzc-variable-channel.ogg"];

#[test]
fn every_file_has_the_packets_that_ffprobe_found() {
    for t in truths().iter().filter(|t| ours(t)) {
        let got = demux(&FORMAT, &t.read().unwrap(), 4096);
        assert_eq!(got.error, None, "{}", t.path);
        let want = PROBLEMS.iter().find(|p| p.0 == t.path).map_or(&[][..], |p| p.1);
        let kinds: Vec<_> = got.problems.iter().map(|p| p.kind).collect();
        assert_eq!(kinds, want, "{}: {:?}", t.path, got.problems);
        check(t, &got);
    }
}

fn check(t: &Truth, got: &Demux) {
    let path = &t.path;
    let chained = CHAINED.contains(&path.as_str());
    let streams: Vec<_> = t.streams().iter().filter(|s| s["codec"].is_string()).collect();
    let mut tracks = got.tracks.clone();
    if chained {
        tracks.truncate(1);
    }
    assert_eq!(tracks.len(), streams.len(), "{path}: {tracks:?}");
    let rows = t.packets().unwrap();
    for (info, s) in tracks.iter().zip(streams) {
        assert_eq!(info.codec, codec(s["codec"].as_str().unwrap()), "{path}");
        if let Some(w) = s["width"].as_u64() {
            assert_eq!(info.size(), (w as u32, s["height"].as_u64().unwrap() as u32), "{path}");
        }
        if let Some(r) = s["sample_rate"].as_u64() {
            let channels = s["channels"].as_u64().unwrap();
            assert_eq!((u64::from(info.rate()), u64::from(info.channels())), (r, channels), "{path}");
        }
        let lang = s["language"].as_str().and_then(mist_core::lang::parse);
        assert_eq!(info.lang, lang, "{path}");
        if info.codec == Codec::Opus || info.codec == Codec::Speex {
            assert_eq!(info.init.len() as u64, s["extradata_bytes"].as_u64().unwrap(), "{path}");
        }
        let rows: Vec<_> = rows.iter().filter(|r| r.stream == s["index"].as_u64().unwrap()).collect();
        // A packet of no bytes is none in sound.
        let rows: Vec<_> = rows.into_iter().filter(|r| r.size > 0 || info.codec == Codec::Theora).collect();
        let packets = got.of(info.id);
        if chained {
            assert!(packets.len() > rows.len() / 3, "{path}");
        } else {
            assert_eq!(packets.len(), rows.len(), "{path} {info:?}");
        }
        let (mut before, mut late) = (None::<&Packet>, false);
        for (n, (p, r)) in packets.iter().zip(rows).enumerate() {
            if chained && r.dts_ms < before.map(|b| b.dts.as_secs_f64() * 1000.0 - 5.0) {
                break;
            }
            late = same(path, &format!("{path} {info:?} packet {n}"), info, late, p, r);
            before = Some(p);
        }
    }
}

/// Whether ffprobe lets it begin late.
fn same(path: &str, at: &str, info: &TrackInfo, was_late: bool, p: &Packet, r: &TruthPacket) -> bool {
    assert_eq!(p.data.len(), r.size, "{at}");
    assert_eq!(sha256(&p.data), r.sha256, "{at}");
    assert_eq!(p.key, r.key, "{at}");
    let ms = |t: Timestamp| t.as_secs_f64() * 1000.0;
    let kind = info.codec.kind();
    let allowed = TIMES.iter().find(|t| t.0 == path && t.1 == kind).map_or(0.0006, |t| t.2);
    let (ours, theirs) = (ms(p.pts()), r.pts_ms.unwrap());
    // ffprobe lets the short block behind a long one begin late, by a quarter of the difference, and end in time.
    let late = info.codec == Codec::Vorbis && theirs > ours + allowed && theirs < ms(p.pts() + p.duration);
    assert!(!(late && was_late), "{at}");
    assert!(late || (ours - theirs).abs() <= allowed, "{at}: {ours}, {theirs} expected");
    late
}

/// A link goes on where the one before ended.
#[test]
fn chained_files_go_on() {
    for t in truths().iter().filter(|t| t.path.starts_with("ogg/fzc-variable-channel")) {
        let got = demux(&FORMAT, &t.read().unwrap(), 4096);
        // The second link has one channel, on the same track.
        assert_eq!(got.tracks.len(), 2);
        assert_eq!((got.tracks[0].id, got.tracks[0].channels()), (got.tracks[1].id, 2));
        assert_eq!(got.tracks[1].channels(), 1);
        let packets = got.of(got.tracks[0].id);
        // 44,100 samples, the last packet of which is cut, and 44,608 more.
        let sample = |n| Timestamp::from_rate(n, 44_100);
        let cut = packets.iter().find(|p| p.dts == sample(43_968)).unwrap();
        assert_eq!(cut.dts + cut.duration, sample(44_100));
        let last = packets.last().unwrap();
        assert_eq!(last.dts + last.duration, sample(44_100 + 44_608));
        assert!(packets.is_sorted_by_key(|p| p.dts));
    }
    for t in truths().iter().filter(|t| t.path == "ogg/fzc-chain.ogv") {
        let data = t.read().unwrap();
        let mut d = (FORMAT.demuxer.unwrap())();
        d.push(0, data);
        let mut gone = Vec::new();
        loop {
            match d.poll().unwrap() {
                Demuxed::Media(Media::Gone(id)) => gone.push(id),
                Demuxed::Need(_) => d.end(),
                Demuxed::End => break,
                _ => {}
            }
        }
        assert_eq!(gone.len(), 1, "the video");
    }
}

#[test]
fn packets_lie_where_they_are_said_to() {
    for t in truths().iter().filter(|t| ours(t)) {
        let data = t.read().unwrap();
        let mut d = (FORMAT.demuxer.unwrap())();
        assert_eq!(d.packet_offset(), None);
        d.push(0, data.clone());
        d.end();
        loop {
            match d.poll().unwrap() {
                Demuxed::Media(Media::Packet(p)) => {
                    let at = d.packet_offset().unwrap() as usize;
                    // The first piece of a packet that goes on on the next page.
                    let n = p.data.len().min(200);
                    assert_eq!(data[at..at + n], p.data[..n], "{}", t.path);
                }
                Demuxed::End => break,
                _ => {}
            }
        }
    }
}

/// To every second of a file: sound comes from the packet at that time on, pictures from the key frame before it.
#[test]
fn seeking_finds_the_time() {
    for t in truths().iter().filter(|t| ours(t) && !CHAINED.contains(&t.path.as_str())) {
        let data = t.read().unwrap();
        let all = demux(&FORMAT, &data, 1 << 16);
        let end = all.packets.iter().map(|p| p.dts).max().unwrap();
        for (n, read) in [(0, 1), (1, 1), (2, 3), (3, 1), (7, 2), (9, 1), (10, 4)] {
            let to = Timestamp::from_ticks(end.ticks() / 10 * n);
            let mut d = (FORMAT.demuxer.unwrap())();
            // With a part of the file known, and with all of it.
            d.push(0, data.slice(..data.len() / read));
            let mut known = false;
            while let Ok(found @ (Demuxed::Media(_) | Demuxed::Problem(_))) = d.poll() {
                known |= matches!(found, Demuxed::Media(Media::Packet(_)));
            }
            let Ok(at) = d.seek(to) else {
                assert!(!known, "{}", t.path);
                continue;
            };
            assert!(at <= to.max(Timestamp::ZERO), "{}", t.path);
            let got = go_on(&mut *d, &data, 3000, all.tracks.clone());
            assert!(got.error.is_none(), "{}: {:?}", t.path, got.error);
            for info in all.last() {
                let whole = all.of(info.id);
                let some = got.of(info.id);
                let Some(first) = some.first() else { continue };
                let from = whole
                    .iter()
                    .position(|p| p == first)
                    .unwrap_or_else(|| panic!("{} to {to:?}: {first:?}", t.path));
                assert!(whole[from..].iter().zip(&some).all(|(a, b)| a == b), "{} to {to:?}", t.path);
                assert_eq!(whole.len() - from, some.len(), "{} to {to:?}", t.path);
            }
            let video = all.last().into_iter().find(|t| t.codec.kind() == Kind::Video);
            let lead = video.unwrap_or_else(|| all.last()[0].clone());
            let first = got.of(lead.id)[0].clone();
            let best = all
                .of(lead.id)
                .into_iter()
                .rfind(|p| p.key && p.dts <= to)
                .unwrap_or(all.of(lead.id)[0])
                .clone();
            assert!(first.dts <= to.max(best.dts) && first.key, "{} to {to:?}: {first:?}", t.path);
            assert!(
                best.dts - first.dts <= Duration::from_millis(500),
                "{} to {to:?}: {first:?}, not {best:?}",
                t.path
            );
        }
    }
}

/// What happens with each damaged file: packets that are saved, problems, how it ends.
#[test]
fn damaged_files_give_what_can_be_saved() {
    let nothing = Some(ErrorKind::Unsupported("no logical stream that can be read"));
    let cut = Some(ErrorKind::Truncated);
    let known: &[(&str, usize, usize, Option<ErrorKind>)] = &[
        // headers only, and not all of them
        ("malformed/exiftool-FLAC.ogg", 0, 0, nothing),
        ("malformed/exiftool-Opus.opus", 1, 0, None),
        ("malformed/fzc-495794-1.ogg", 23, 0, None),
        // a broken setup header, bytes between pages, a cut page at the end; the video is saved
        ("malformed/fzc-bug498855-1.ogv", 6, 2, cut),
        ("malformed/fzc-bug500311.ogv", 139, 0, None),
        // a broken setup header; the first page with media is cut
        ("malformed/fzc-bug506094.ogv", 0, 1, cut),
        ("malformed/getid3-uwb_male-vbr.spx", 310, 0, None),
        // a wrong checksum on the page with the headers
        ("malformed/taglib-lowercase-fields.ogg", 0, 3, nothing),
        ("malformed/vorbisjava-testBoundaries.ogg", 0, 1, nothing),
        ("malformed/vorbisjava-testDaala.ogg", 0, 1, nothing),
    ];
    for t in truths().iter().filter(|t| t.path.starts_with("malformed/")) {
        let data = t.read().unwrap();
        if (FORMAT.probe)(&data[..data.len().min(4096)]) < 200 {
            continue;
        }
        let got = demux(&FORMAT, &data, 4096);
        let row =
            (t.path.as_str(), got.packets.len(), got.problems.len(), got.error.as_ref().map(|e| e.kind));
        assert!(known.contains(&row), "{row:?} {:?} {:?}", got.problems, got.error);
    }
}
