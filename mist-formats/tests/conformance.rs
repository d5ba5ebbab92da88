//! What every format has to keep, run over the registry: a new format is tested by being registered.

mod common;

use bytes::Bytes;
use common::{Demux, Truth, demux, go_on, run, truths};
use mist_core::codec::aac::{Adts, Asc};
use mist_core::codec::{Codec, ac3, h264, hevc, mpa, nal, packet_duration};
use mist_core::format::{Demuxed, ErrorKind};
use mist_core::gather::Gather;
use mist_core::media::{Kind, Packet, TrackInfo};
use mist_core::registry::{FormatDef, choose, probe};
use mist_core::time::{Duration, Timestamp};
use mist_formats::{FORMATS, mp3};
use std::sync::Arc;

/// Bytes of a file's start that are enough to recognise it.
const HEAD: usize = 4096;

/// A fuzzer's file without a whole run of frames at its start; its extension tells what it was.
const DAMAGED: &str = "mp3/fzc-mpg321-2016-05-14T21-39-25.656643.mp3";

fn extension(path: &str) -> &str {
    path.rsplit_once('.').map_or("", |(_, e)| e)
}

/// Sound files of a format: those in the folder named after it and the synthetic ones.
fn own(def: &FormatDef) -> Vec<Truth> {
    let folder = format!("{}/", def.id.to_ascii_lowercase());
    let ours = |t: &Truth| {
        (t.path.starts_with(&folder) || t.path.starts_with("synthetic/"))
            && def.extensions.contains(&extension(&t.path))
    };
    truths().into_iter().filter(|t| ours(t) && t.read().is_some()).collect()
}

/// Formats that can be read.
fn readable() -> impl Iterator<Item = &'static FormatDef> {
    FORMATS.iter().copied().filter(|d| d.demuxer.is_some())
}

fn same(a: &Demux, b: &Demux) -> bool {
    a.tracks == b.tracks && a.packets == b.packets && a.problems == b.problems && a.error == b.error
}

#[test]
fn ids_and_names_are_unique() {
    for (i, f) in FORMATS.iter().enumerate() {
        assert!(FORMATS.iter().skip(i + 1).all(|g| g.id != f.id), "{}", f.id);
        assert_eq!(f.id, f.id.to_ascii_uppercase());
    }
}

#[test]
fn every_split_gives_the_same() {
    for def in readable() {
        for t in own(def) {
            let data = t.read().unwrap();
            let data = data.slice(..data.len().min(300_000));
            let whole = demux(def, &data, data.len());
            for step in [1, 2, 7, 188, 5000] {
                if data.len() / step > 100_000 {
                    continue;
                }
                let split = demux(def, &data, step);
                assert!(same(&whole, &split), "{} in steps of {step}", t.path);
            }
        }
    }
}

#[test]
fn every_truncation_ends() {
    for def in readable() {
        for t in own(def) {
            let data = t.read().unwrap();
            let whole = demux(def, &data, data.len());
            // Every length of a small start, and some all over the file.
            let cuts = (0..data.len().min(1500)).chain((0..data.len()).step_by(data.len() / 10 + 1));
            for cut in cuts {
                let got = demux(def, &data.slice(..cut), 1 << 20);
                assert!(got.packets.len() <= whole.packets.len() + 1, "{} cut at {cut}", t.path);
            }
        }
    }
}

#[test]
fn structure_is_shown_without_changing_the_result() {
    for def in readable() {
        for t in own(def) {
            let data = t.read().unwrap();
            let mut d = (def.demuxer.unwrap())();
            d.want_nodes();
            let got = run(&mut *d, &data, 1 << 16);
            assert!(got.nodes > 0, "{}: no structure", t.path);
            assert!(same(&got, &demux(def, &data, 1 << 16)), "{}", t.path);
        }
    }
}

#[test]
fn files_are_recognised_by_their_own_format_only() {
    for t in truths() {
        let Some(data) = t.read() else { continue };
        if t.path.starts_with("malformed/") || t.path.starts_with("encrypted/") {
            continue;
        }
        let found = probe(FORMATS, &data[..data.len().min(HEAD)]);
        if let Some(def) = found {
            let named = def.extensions.contains(&extension(&t.path));
            // Segments go by many names, and this is a WAVE file with MP3 inside.
            let misnamed = t.path == "wav/getid3-divx311-riff-id32.mp3";
            assert!(named || ["TS", "MP4"].contains(&def.id) || misnamed, "{} taken for {}", t.path, def.id);
        }
        for def in FORMATS {
            if t.path.starts_with(&format!("{}/", def.id.to_ascii_lowercase())) && t.path != DAMAGED {
                assert_eq!(found.map(|d| d.id), Some(def.id), "{}", t.path);
            }
        }
    }
}

/// Units that a container may add or leave out.
fn bare(codec: Codec, data: &Bytes) -> Vec<Vec<u8>> {
    let keep = |n: &&[u8]| match codec {
        Codec::H264 => !matches!(h264::nal::kind(n), 7..=9 | 13),
        Codec::Hevc => !matches!(hevc::nal::kind(n), 32..=35),
        _ => true,
    };
    match codec {
        // Zeros behind a unit are lost between start codes.
        Codec::H264 | Codec::Hevc => {
            let used = |n: &[u8]| n.iter().rposition(|b| *b != 0).map_or(0, |i| i + 1);
            nal::units(data).filter(keep).map(|n| n[..used(n)].to_vec()).collect()
        }
        _ => vec![data.to_vec()],
    }
}

/// Muxes in the order of decoding and demuxes what came of it. `None` where the container can't carry these tracks:
/// a codec's name doesn't say everything.
fn round_trip(def: &FormatDef, tracks: &[Arc<TrackInfo>], packets: &[Packet]) -> Option<Demux> {
    let mut m = (def.muxer.unwrap())();
    let mut out = Gather::new();
    match m.start(tracks, None, &mut out) {
        Err(e) if matches!(e.kind, ErrorKind::Unsupported(_)) => return None,
        done => done.unwrap(),
    }
    for p in packets {
        m.packet(p, &mut out).unwrap();
    }
    let patches = m.finish(&mut out).unwrap();
    let mut file = out.to_vec();
    for p in patches {
        let at = usize::try_from(p.offset).unwrap();
        file[at..at + p.data.len()].copy_from_slice(&p.data);
    }
    assert_eq!(probe(FORMATS, &file[..file.len().min(HEAD)]).map(|d| d.id), Some(def.id));
    Some(demux(def, &file.into(), 1 << 16))
}

/// Formats that store no times: what they hold begins at 0 and has no gaps.
const TIMELESS: &[&str] = &["WAV", "MP3", "ADTS", "ANNEXB"];

/// Formats that store presentation times only: decoding times of reordered pictures are worked out from them.
const UNDECODED: &[&str] = &["MKV"];

/// Formats whose clock has no sign: what is before 0 is written as 0.
const UNSIGNED: &[&str] = &["FLV"];

/// Formats whose times of sound are counts of samples, and files whose stamps are not: as it arrived, by the block that
/// it is laced in, with lengths that aren't the packets' own. A player hears it as it is counted.
const COUNTED: &[&str] = &["OGG"];
const ARRIVED: &[&str] = &[
    "flv/red5-flashContent.flv",
    "mkv/fate-xiph_lacing.mka",
    "mp4/fate-mov_neg_first_pts_discard_vorbis.mov",
];

/// Codecs whose payload can be cut between any two samples: containers may do so elsewhere.
fn is_samples(codec: Codec) -> bool {
    matches!(codec, Codec::Pcm | Codec::PcmFloat | Codec::Alaw | Codec::Ulaw)
}

/// The same samples, beginning and ending at the same times.
fn same_samples(at: &str, info: &TrackInfo, a: &[&Packet], b: &[&Packet], from: Timestamp, to: Timestamp) {
    let all = |v: &[&Packet]| v.iter().flat_map(|p| p.data.to_vec()).collect::<Vec<_>>();
    let end = |v: &[&Packet]| v.last().map(|p| p.dts + packet_duration(info, &p.data).unwrap());
    assert!(all(a) == all(b), "{at}: samples");
    let (a, b) = (end(a).unwrap() - from, end(b).unwrap() - to);
    assert!((a - b).abs() <= Duration::from_millis(1), "{at}: ends at {a:?}, {b:?}");
}

/// Whether AAC can have ADTS headers: not with object types above 4 or with loudspeakers listed one by one.
fn has_adts(t: &TrackInfo) -> bool {
    t.codec != Codec::Aac
        || Asc::parse(&t.init).is_ok_and(|a| a.channel_config != 0 && Adts::build(&a, 1).is_ok())
}

/// Subtitle files hold what is shown, in a form of their own, and no gaps.
fn same_cues(at: &str, all: &[Packet], back: &[Packet]) {
    assert!(back.len() <= all.len(), "{at}: {} cues of {}", back.len(), all.len());
    for b in back {
        let near = |a: &Packet| (a.pts() - b.pts()).abs() <= Duration::from_millis(1);
        assert!(all.iter().any(near), "{at}: {b:?}");
    }
}

#[test]
fn what_is_muxed_comes_back() {
    let tick = Duration::from_millis(1);
    for def in readable().filter(|d| d.muxer.is_some()) {
        let codecs = def.output.unwrap().codecs;
        for source in readable() {
            for t in own(source) {
                let got = demux(source, &t.read().unwrap(), 1 << 16);
                let tracks = choose(codecs, &got.last());
                // ADTS, in which TS carries AAC, has no place for some of its configurations.
                if ["TS"].contains(&def.id) && !tracks.iter().all(|t| has_adts(t)) {
                    continue;
                }
                // Changes in mid-stream are for tests of their own.
                if tracks.is_empty() || got.tracks.len() != got.last().len() {
                    continue;
                }
                let mut packets: Vec<_> =
                    got.packets.into_iter().filter(|p| tracks.iter().any(|t| t.id == p.track)).collect();
                // A source whose clock steps back goes through the buffer first, which repairs that.
                if tracks
                    .iter()
                    .any(|t| !packets.iter().filter(|p| p.track == t.id).is_sorted_by_key(|p| p.dts))
                {
                    continue;
                }
                packets.sort_by_key(|p| p.dts);
                // Other containers can have an encoder's frame about the file among the sound.
                let about = |p: &Packet| {
                    mpa::Header::parse(&p.data).is_ok_and(|h| mp3::Info::parse(&h, &p.data).is_some())
                };
                if def.id == "MP3" && packets.first().is_some_and(about) {
                    packets.remove(0);
                }
                // Half a frame at the end of a file is no packet where frames are looked for.
                let cut = |p: &Packet| ac3::Header::parse(&p.data).is_ok_and(|h| h.frame_len > p.data.len());
                packets
                    .retain(|p| !tracks.iter().any(|t| t.id == p.track && t.codec == Codec::Ac3) || !cut(p));
                if packets.is_empty() {
                    continue;
                }
                let first = packets.first().map_or(Timestamp::ZERO, |p| p.dts);
                if UNSIGNED.contains(&def.id) && first < Timestamp::ZERO {
                    packets.iter_mut().for_each(|p| p.dts += Timestamp::ZERO - first);
                }
                let Some(back) = round_trip(def, &tracks, &packets) else { continue };
                assert!(back.error.is_none(), "{} in {}: {:?}", t.path, def.id, back.error);
                let undecoded = UNDECODED.contains(&def.id);
                let first = |v: &[Packet]| {
                    let time = |p: &Packet| if undecoded { p.pts() } else { p.dts };
                    v.iter().map(time).min().expect(&t.path)
                };
                let (from, mut to) = (first(&packets), first(&back.packets));
                if COUNTED.contains(&def.id) && from == Timestamp::ZERO {
                    to = Timestamp::ZERO;
                }
                for (i, info) in tracks.iter().enumerate() {
                    // Several tracks of one codec keep their order.
                    let nth = tracks.iter().take(i).filter(|t| t.codec == info.codec).count();
                    let at = format!("{} {:?} in {}", t.path, info.codec, def.id);
                    if ["SRT", "VTT"].contains(&def.id) {
                        same_cues(&at, &packets, &back.packets);
                        continue;
                    }
                    let other =
                        back.last().into_iter().filter(|t| t.codec == info.codec).nth(nth).expect(&at);
                    let a: Vec<_> = packets.iter().filter(|p| p.track == info.id).collect();
                    let b = back.of(other.id);
                    if is_samples(info.codec) {
                        same_samples(&at, info, &a, &b, from, to);
                        continue;
                    }
                    assert_eq!(a.len(), b.len(), "{at}: packets");
                    for (n, (a, b)) in a.iter().zip(b).enumerate() {
                        let off = |x: Timestamp, y: Timestamp| ((x - from) - (y - to)).abs();
                        // Nothing comes out of the first packet of Vorbis: some give it the time of the second.
                        let silent = n == 0 && info.codec == Codec::Vorbis;
                        let counted =
                            COUNTED.contains(&def.id) && (ARRIVED.contains(&t.path.as_str()) || silent);
                        if !TIMELESS.contains(&def.id) && !counted {
                            let dts = undecoded && info.codec.kind() == Kind::Video;
                            assert!(dts || off(a.dts, b.dts) <= tick, "{at}: {a:?} {b:?}");
                            assert!(off(a.pts(), b.pts()) <= tick, "{at}: {a:?} {b:?}");
                        }
                        assert!(a.key == b.key || info.codec.kind() != Kind::Video, "{at}: {a:?} {b:?}");
                        // Not assert_eq: it would print the payload.
                        assert!(bare(info.codec, &a.data) == bare(info.codec, &b.data), "{at}: {a:?} {b:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn seeking_is_refused_or_lands_at_or_before() {
    for def in readable() {
        for t in own(def) {
            let data = t.read().unwrap();
            let all = demux(def, &data, 1 << 16);
            let Some(end) = all.packets.iter().map(|p| p.dts).max() else { continue };
            let to = Timestamp::from_millis(end.as_millis() / 2);
            let mut d = (def.demuxer.unwrap())();
            // Before anything is known it is refused, or asks for what it needs.
            let _ = d.seek(to);
            let mut d = (def.demuxer.unwrap())();
            d.push(0, data.clone());
            while let Ok(Demuxed::Media(_) | Demuxed::Problem(_)) = d.poll() {}
            let Ok(at) = d.seek(to) else { continue };
            let got = go_on(&mut *d, &data, 1 << 16, all.tracks);
            let first = got.packets.first().map(|p| p.dts);
            assert!(
                first.is_some_and(|f| f <= to + Duration::from_millis(1) || at > to),
                "{}: {first:?}",
                t.path
            );
        }
    }
}
