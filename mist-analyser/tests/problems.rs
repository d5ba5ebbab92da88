//! Every problem of the catalogue is provoked by an input that has it, and is where it is said to be.

mod common;

use bytes::Bytes;
use common::server::{ok, serve};
use common::{Ran, analyse, analyse_stdin, clip, json};
use mist_core::format::{Demuxed, Index, IndexEntry};
use mist_core::gather::Gather;
use mist_core::media::{Media, Packet, TrackInfo};
use mist_core::registry::FormatDef;
use mist_core::time::{Duration, Timestamp};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

fn read(path: &str) -> Vec<u8> {
    std::fs::read(clip(path)).unwrap()
}

fn format(id: &str) -> &'static FormatDef {
    mist_formats::FORMATS.iter().find(|f| f.id == id).unwrap()
}

/// Tracks and packets of a clip.
#[derive(Clone)]
struct Content {
    tracks: Vec<Arc<TrackInfo>>,
    packets: Vec<Packet>,
}

impl Content {
    fn of(id: &str, path: &str) -> Self {
        let mut d = format(id).demuxer.unwrap()();
        d.push(0, read(path).into());
        d.end();
        let (mut tracks, mut packets) = (Vec::new(), Vec::new());
        loop {
            match d.poll().unwrap() {
                Demuxed::Media(Media::Track(t)) => {
                    tracks.retain(|o: &Arc<TrackInfo>| o.id != t.id);
                    tracks.push(t);
                }
                Demuxed::Media(Media::Packet(p)) => packets.push(p),
                Demuxed::End | Demuxed::Media(Media::End) => return Self { tracks, packets },
                _ => {}
            }
        }
    }

    fn demo() -> Self {
        Self::of("FLV", "mist-server/assets/demo.flv")
    }

    /// With its packets changed.
    fn with(mut self, change: impl Fn(&mut Vec<Packet>)) -> Self {
        change(&mut self.packets);
        self
    }

    /// In a container; `indexed` as a file whose packets are known beforehand.
    fn mux(&self, id: &str, indexed: bool) -> Vec<u8> {
        let mut m = format(id).muxer.unwrap()();
        let mut out = Gather::new();
        let entry = |p: &Packet| IndexEntry {
            dts: p.dts,
            cts: p.cts,
            duration: p.duration,
            size: p.data.len() as u32,
            key: p.key,
        };
        let of = |t: &Arc<TrackInfo>| {
            (t.id, self.packets.iter().filter(|p| p.track == t.id).map(entry).collect::<Vec<_>>())
        };
        let index = Index { tracks: self.tracks.iter().map(of).collect() };
        m.start(&self.tracks, indexed.then_some(&index), &mut out).unwrap();
        let mut packets: Vec<_> = self.packets.iter().collect();
        if indexed {
            packets.sort_by_key(|p| (p.dts, self.tracks.iter().position(|t| t.id == p.track)));
        }
        packets.into_iter().for_each(|p| m.packet(p, &mut out).unwrap());
        let patches = m.finish(&mut out).unwrap();
        let mut file = out.to_vec();
        for p in patches {
            let at = p.offset as usize;
            file[at..at + p.data.len()].copy_from_slice(&p.data);
        }
        file
    }
}

fn find(data: &[u8], what: &[u8]) -> usize {
    data.windows(what.len()).position(|w| w == what).unwrap()
}

/// A problem that must be there, and what is known of its place.
#[derive(Debug, Clone, Copy, Default)]
struct Want {
    id: &'static str,
    offset: Option<u64>,
    track: Option<u64>,
    ms: Option<f64>,
}

const fn want(id: &'static str) -> Want {
    Want { id, offset: None, track: None, ms: None }
}

impl Want {
    const fn at(mut self, offset: usize) -> Self {
        self.offset = Some(offset as u64);
        self
    }
    const fn on(mut self, track: u64, ms: f64) -> Self {
        (self.track, self.ms) = (Some(track), Some(ms));
        self
    }
}

/// Takes note of what was provoked, and of what wasn't although it should have been.
#[derive(Default)]
struct Seen(Vec<&'static str>, Vec<String>);

impl Seen {
    fn check(&mut self, what: &str, out: &Ran, wants: &[Want]) {
        assert!(!out.err.contains("panicked"), "{what}: {}", out.err);
        let v = json(&out.out);
        let all = v["problems"].as_array().unwrap();
        for w in wants {
            let fits = |p: &&Value| {
                p["id"] == w.id
                    && w.offset.is_none_or(|o| p["offset"] == o)
                    && w.track.is_none_or(|t| p["track"] == t)
                    && w.ms.is_none_or(|t| (p["time_ms"].as_f64().unwrap_or(f64::MIN) - t).abs() < 0.01)
            };
            let Some(p) = all.iter().find(fits) else {
                let all: Vec<_> = all.iter().take(8).map(Value::to_string).collect();
                self.1.push(format!("{what}: no {w:?} in\n    {}", all.join("\n    ")));
                continue;
            };
            let message = p["message"].as_str().unwrap();
            assert!(message.contains(": ") && message.len() > 30, "{message}");
            let worst = all.iter().any(|p| p["severity"] != "info");
            assert_eq!(out.code == 0, !worst, "{what}: {} {all:?}", out.code);
            self.0.push(w.id);
        }
    }

    fn input(&mut self, what: &str, data: &[u8], wants: &[Want]) {
        self.check(what, &analyse_stdin(&["--json", "-"], data), wants);
    }

    /// As a file, which can be read from anywhere.
    fn file(&mut self, what: &str, data: &[u8], wants: &[Want]) {
        let dir = Dir::new(what);
        self.check(what, &analyse(&["--json", &dir.put("input", data)]), wants);
    }
}

/// A folder for as long as it is used.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let name = name.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        let dir = std::env::temp_dir().join(format!("mist-analyser-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    fn put(&self, name: &str, data: &[u8]) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, data).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const fn secs(n: i64) -> Duration {
    Duration::from_secs(n)
}

fn any_source(seen: &mut Seen) {
    seen.input("noise", b"neither this nor that", &[want("unreadable")]);
    let demo = read("mist-server/assets/demo.flv");
    seen.input("head alone", &demo[..400], &[want("no-media")]);
    seen.input("half a tag", &demo[..500], &[want("truncated")]);
    seen.input(
        "a header too short",
        b"RIFF\x1c\0\0\0WAVEfmt \x02\0\0\0\x01\0data\0\0\0\0",
        &[want("malformed")],
    );
    let mut other = demo.clone();
    // All video in a codec that FLV doesn't have.
    let mut at = 13;
    while at < other.len() {
        let len = u32::from_be_bytes([0, other[at + 1], other[at + 2], other[at + 3]]) as usize;
        if other[at] == 9 {
            other[at + 11] = other[at + 11] & 0xF0 | 8;
        }
        at += len + 15;
    }
    seen.input("a codec that is none", &other, &[want("unsupported")]);
    let mut frame = vec![0xFF, 0xFB, 0x90, 0xC4, 0x20];
    frame.resize(417, 0);
    let frames = frame.repeat(4);
    seen.input("sound of frames before", &frames, &[want("bit-reservoir").at(0).on(1, 0.0)]);
    let tag = [&b"ID3\x03\0\0\0\0\0\x0cTIT2\0\0\0\x02\0\0\x09a"[..], &frames].concat();
    seen.input("a tag in no alphabet", &tag, &[want("bad-tag").at(10)]);
}

fn timing(seen: &mut Seen) {
    let demo = Content::demo();
    let flv = |c: &Content| c.mux("FLV", false);
    let shift = |from: i64, by: Duration| {
        move |all: &mut Vec<Packet>| {
            all.iter_mut().filter(|p| p.dts >= Timestamp::from_millis(from)).for_each(|p| p.dts += by);
        }
    };
    seen.input(
        "three seconds are missing",
        &flv(&demo.clone().with(shift(5000, secs(3)))),
        &[want("gap").on(1, 8000.0)],
    );
    let back = demo.clone().with(|all| {
        all.iter_mut().filter(|p| p.track.0 == 1).nth(100).unwrap().dts += Duration::from_millis(-200);
    });
    seen.input("a picture goes back", &flv(&back), &[want("time-back").on(1, 3800.0)]);
    let early = demo.clone().with(|all| all[0].cts = Duration::from_millis(-40));
    seen.input("shown before it is there", &flv(&early), &[want("pts-before-dts").on(1, 0.0)]);
    let short = demo.clone().with(|all| all.retain(|p| p.track.0 == 1 || p.dts < Timestamp::from_secs(8)));
    seen.input("half the sound", &flv(&short), &[want("drift").on(2, 8016.334)]);
    let slow = demo.clone().with(|all| {
        for p in all.iter_mut().filter(|p| p.track.0 == 2) {
            p.dts = Timestamp::from_millis(p.dts.as_millis() * 2);
        }
        all.sort_by_key(|p| p.dts);
    });
    seen.input("sound at half the speed", &flv(&slow), &[want("wrong-duration")]);
    let late = demo.clone().with(|all| {
        all.retain(|p| p.track.0 == 1 || p.dts > Timestamp::from_secs(2));
    });
    seen.input("sound that is late", &flv(&late), &[want("start-offset")]);
    let apart = demo.clone().with(|all| all.sort_by_key(|p| p.track));
    seen.input("one track behind the other", &flv(&apart), &[want("interleaving")]);
    let rare = demo.clone().with(|all| {
        all.iter_mut().filter(|p| p.track.0 == 1).enumerate().for_each(|(i, p)| p.key = i == 0 || i == 350);
    });
    seen.input(
        "one keyframe and no other for long",
        &flv(&rare),
        &[want("long-gop").on(1, 14000.0), want("hidden-keyframe").on(1, 2000.0)],
    );
    // The sequence header of another stream before the second half.
    let (mut one, two) = (flv(&demo), read("tests/media/bframes.flv"));
    let header = find(&two, &[0x17, 0, 0, 0, 0]) - 11;
    let len = u32::from_be_bytes([0, two[header + 1], two[header + 2], two[header + 3]]) as usize + 15;
    one.extend_from_slice(&two[header..header + len]);
    one.extend_from_slice(&two[header + len..]);
    seen.input("another picture size", &one, &[want("track-change")]);
}

fn decoding(seen: &mut Seen) {
    let demo = Content::demo();
    let flv = |c: &Content| c.mux("FLV", false);
    let headless = demo.clone().with(|all| {
        all.remove(0);
    });
    seen.input("the keyframe is cut off", &flv(&headless), &[want("no-keyframe-at-start").on(1, 40.0)]);
    let liar = demo.clone().with(|all| all.iter_mut().filter(|p| p.track.0 == 1).nth(3).unwrap().key = true);
    seen.input("predicted, but called a keyframe", &flv(&liar), &[want("false-keyframe").on(1, 120.0)]);
    let hollow = demo.clone().with(|all| all[4].data = Bytes::new());
    seen.file("nothing in it", &hollow.mux("MP4", true), &[want("empty-packet")]);
    let broken = demo.with(|all| {
        let mut data = all[0].data.to_vec();
        data[0] = 0x7F;
        all[0].data = data.into();
    });
    seen.file("a unit longer than its packet", &broken.mux("MKV", false), &[want("nal-length")]);
    let clip = read("tests/media/h264-ac3.ts");
    let half = [&clip[..188 * 3], &clip[clip.len() / 2 / 188 * 188..]].concat();
    seen.input("a start without SPS", &half, &[want("no-parameter-sets")]);
}

fn flv_and_dialogues(seen: &mut Seen) {
    let mut demo = read("mist-server/assets/demo.flv");
    demo[399] ^= 1;
    seen.input("a wrong PreviousTagSize", &demo, &[want("flv-tag-size").at(13)]);
    // Sound whose configuration never comes.
    let file = read("mist-server/assets/demo.flv");
    let (mut bare, mut at) = (file[..13].to_vec(), 13);
    while at < file.len() {
        let end = at + u32::from_be_bytes([0, file[at + 1], file[at + 2], file[at + 3]]) as usize + 15;
        if file[at] != 8 || file[at + 12] != 0 {
            bare.extend_from_slice(&file[at..end]);
        }
        at = end;
    }
    let out = analyse_stdin(&["--json", "-"], &bare);
    seen.check("sound without its configuration", &out, &[want("malformed")]);
    assert!(json(&out.out)["problem_counts"]["no-parameter-sets"].is_null(), "{}", out.out);
    let refusal = b"DTCM\0\0\0\x27\xE0\0\x03cmd\x02\0\0\0\x05error\0\x03msg\x02\0\0\0\x0anot here..\0\0\xEE";
    let mut refusal = refusal.to_vec();
    refusal[7] = (refusal.len() - 8) as u8;
    seen.input("a server that refuses", &refusal, &[want("refused").at(0)]);
    // A-law, in packets of 20 ms.
    let rtp = |n: u8| {
        let time = (u32::from(n) * 160).to_be_bytes();
        [&[b'$', 0, 0, 172, 0x80, 8, 0, n][..], &time, &[1, 2, 3, 4], &[0x55; 160]].concat()
    };
    let sdp =
        "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=audio 0 RTP/AVP 8\r\na=control:streamid=0\r\n";
    let head = format!(
        "ANNOUNCE rtsp://h/s RTSP/1.0\r\nCSeq: 1\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}\
         SETUP rtsp://h/s/streamid=0 RTSP/1.0\r\nCSeq: 2\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n\r\n",
        sdp.len()
    );
    let packets = [1, 2, 3, 9, 10, 11].map(rtp).concat();
    let rtsp = |head: &[u8]| analyse_stdin(&["--json", "--format", "rtsp", "-"], &[head, &packets].concat());
    seen.check("packets of RTP are lost", &rtsp(head.as_bytes()), &[want("rtp-loss")]);
    let bare = rtsp(b"OPTIONS rtsp://h/s RTSP/1.0\r\nCSeq: 1\r\n\r\n");
    seen.check("media without its description", &bare, &[want("rtp-media")]);
}

/// A change of one packet of a transport stream.
type Change<'a> = &'a dyn Fn(usize, &mut Vec<u8>);

fn transport_streams(seen: &mut Seen) {
    let clip = read("tests/media/h264-ac3.ts");
    let pid = |p: &[u8]| u16::from(p[1] & 0x1F) << 8 | u16::from(p[2]);
    let change = |f: Change<'_>| -> Vec<u8> {
        let each = |(i, p): (usize, &[u8])| {
            let mut p = p.to_vec();
            f(i, &mut p);
            p
        };
        clip.chunks(188).enumerate().flat_map(each).collect()
    };
    let pmt = clip.chunks(188).map(pid).find(|p| *p >= 0x1000).unwrap();
    let pcr_at = |p: &[u8]| p[3] & 0x20 != 0 && p[4] > 6 && p[5] & 0x10 != 0;
    let base = |p: &[u8]| u64::from_be_bytes([0, 0, 0, p[6], p[7], p[8], p[9], p[10]]) >> 7;
    let step = |p: &mut [u8], by: i64| {
        let v = (base(p).wrapping_add_signed(by) << 7 | u64::from(p[10] & 0x7F)).to_be_bytes();
        p[6..11].copy_from_slice(&v[3..]);
    };
    let nth = |n: usize| clip.chunks(188).enumerate().filter(|(_, p)| pid(p) == 256).nth(n).unwrap().0;
    let lost = nth(40);
    let cases: &[(&str, Change<'_>, Want)] = &[
        ("a sync byte is gone", &|i, p| p[0] ^= u8::from(i == 20), want("ts-sync").at(20 * 188)),
        (
            "a packet is lost",
            &|i, p| {
                if i == lost {
                    p.clear();
                }
            },
            want("continuity"),
        ),
        (
            "a packet is damaged",
            &|i, p| p[1] |= if i == 20 { 0x80 } else { 0 },
            want("ts-damaged").at(20 * 188),
        ),
        (
            "no PAT",
            &|_, p| {
                if pid(p) == 0 {
                    p.clear();
                }
            },
            want("no-pat"),
        ),
        (
            "no PMT",
            &|_, p| {
                if pid(p) == pmt {
                    p.clear();
                }
            },
            want("no-pmt"),
        ),
        (
            "a rare PAT",
            &|i, p| {
                if pid(p) == 0 && (30..300).contains(&i) {
                    p.clear();
                }
            },
            want("pat-interval"),
        ),
        (
            "a rare PMT",
            &|i, p| {
                if pid(p) == pmt && (30..300).contains(&i) {
                    p.clear();
                }
            },
            want("pmt-interval"),
        ),
        (
            "no PCR",
            &|_, p| {
                if pcr_at(p) {
                    p[5] &= !0x10;
                }
            },
            want("no-pcr"),
        ),
        (
            "a rare PCR",
            &|i, p| {
                if pcr_at(p) && i % 3 > 0 {
                    p[5] &= !0x10;
                }
            },
            want("pcr-interval"),
        ),
        (
            "a PCR that jumps",
            &|i, p| {
                if pcr_at(p) && i > 250 {
                    step(p, 900_000);
                }
            },
            want("pcr-jump"),
        ),
        (
            "a late clock",
            &|_, p| {
                if pcr_at(p) {
                    step(p, 180_000);
                }
            },
            want("t-std-underflow"),
        ),
        (
            "an early clock",
            &|_, p| {
                if pcr_at(p) {
                    step(p, -80_000);
                }
            },
            want("t-std-overflow"),
        ),
        (
            "a PMT with a wrong checksum",
            &|_, p| {
                if pid(p) == pmt {
                    p[17] ^= 1;
                }
            },
            want("crc"),
        ),
    ];
    for (what, f, w) in cases {
        seen.input(what, &change(*f), &[*w]);
    }
    seen.input("a clock that wanders", &constant(60), &[want("pcr-jitter").at(600 * 188)]);
}

/// Null packets of constant rate with a PCR in every tenth, the given one of which is a microsecond off.
fn constant(wrong: u64) -> Vec<u8> {
    let mut out = read("tests/media/h264-ac3.ts");
    // Its PAT and PMT, whatever the order.
    let pid = |p: &[u8]| u16::from(p[1] & 0x1F) << 8 | u16::from(p[2]);
    let of = |want: &dyn Fn(u16) -> bool| out.chunks(188).find(|p| want(pid(p))).unwrap().to_vec();
    let tables = [of(&|p| p == 0), of(&|p| p >= 0x1000)];
    out.clear();
    for i in 0..4000u64 {
        let mut p = vec![0xFF; 188];
        p[..4].copy_from_slice(&[0x47, 0x1F, 0xFF, 0x10]);
        if i % 10 == 0 {
            let pcr = i * 27_000 + if i == wrong * 10 { 27 } else { 0 };
            let (base, extension) = (pcr / 300, pcr % 300);
            p[..6].copy_from_slice(&[0x47, 0x01, 0x00, 0x20, 183, 0x10]);
            let v = (base << 15 | 0x7E00 | extension).to_be_bytes();
            p[6..12].copy_from_slice(&v[2..]);
        } else if let Some(t) = tables.get((i % 100) as usize / 5).filter(|_| i % 5 == 1 && i % 100 < 10) {
            p.copy_from_slice(t);
        }
        out.extend_from_slice(&p);
    }
    out
}

/// A file with its moov behind the media.
fn late_moov() -> (Vec<u8>, usize) {
    let file = Content::demo().mux("MP4", true);
    let moov = find(&file, b"moov") - 4;
    let len = u32::from_be_bytes(file[moov..moov + 4].try_into().unwrap()) as usize;
    let mut tail = file[moov..moov + len].to_vec();
    for at in 0..tail.len() - 8 {
        if &tail[at..at + 4] == b"stco" {
            let n = u32::from_be_bytes(tail[at + 8..at + 12].try_into().unwrap()) as usize;
            for e in tail[at + 12..at + 12 + 4 * n].as_chunks_mut::<4>().0 {
                *e = (u32::from_be_bytes(*e) - len as u32).to_be_bytes();
            }
        }
    }
    let head = [&file[..moov], &file[moov + len..]].concat();
    let at = head.len();
    ([head, tail].concat(), at)
}

/// Where the first piece of structure of a name lies, and how long it is.
fn node(file: &[u8], name: &str) -> (usize, usize) {
    let dir = Dir::new(name);
    let v = json(&analyse(&["--json", "--detail", "structure", &dir.put("input", file)]).out);
    let n = v["structure"].as_array().unwrap().iter().find(|n| n["name"] == name).unwrap();
    (n["offset"].as_u64().unwrap() as usize, n["len"].as_u64().unwrap() as usize)
}

/// Puts a box behind the head of its parents, which grow by it.
fn insert(file: &mut Vec<u8>, from: usize, parents: &[&[u8]], new: &[u8]) -> usize {
    let mut at = from;
    for p in parents {
        at += find(&file[at..], p) - 4;
        let size = u32::from_be_bytes(file[at..at + 4].try_into().unwrap()) + new.len() as u32;
        file[at..at + 4].copy_from_slice(&size.to_be_bytes());
        at += 8;
    }
    file.splice(at..at, new.iter().copied());
    at
}

fn containers(seen: &mut Seen) {
    let (file, moov) = late_moov();
    seen.file("moov at the end", &file, &[want("late-index").at(moov)]);
    let mut edits = file.clone();
    let mut elst = vec![0, 0, 0, 48, b'e', b'd', b't', b's', 0, 0, 0, 40, b'e', b'l', b's', b't'];
    elst.extend([0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 3, 0xE8, 0, 0, 0, 0, 0, 1, 0, 0]);
    elst.extend([0, 0, 3, 0xE8, 0, 0, 0, 0, 0, 1, 0, 0]);
    let at = insert(&mut edits, moov, &[b"moov", b"trak"], &elst);
    seen.file("two edits", &edits, &[want("edit-list").at(at + 8)]);
    let mut more = file.clone();
    let elst = moov + find(&more[moov..], b"elst") - 4;
    more[elst + 15] = 9;
    seen.file("more edits than there are", &more, &[want("box-size").at(elst)]);
    let mut boxes = file.clone();
    let senc = [0, 0, 0, 16, b's', b'e', b'n', b'c', 0, 0, 0, 0, 0, 0, 0, 0];
    let at = insert(&mut boxes, moov, &[b"moov", b"trak"], &senc);
    seen.file("vectors without encryption", &boxes, &[want("encryption-boxes").at(at)]);
    let mut tables = file.clone();
    let stsc = moov + find(&tables[moov..], b"stsc") - 4;
    tables[stsc + 16] = 1;
    seen.file("a first chunk that isn't", &tables, &[want("sample-table").at(stsc)]);
    let mut beyond = file.clone();
    let mdia = moov + find(&beyond[moov..], b"mdia") - 4;
    beyond[mdia] = 1;
    seen.file("a box beyond its parent", &beyond, &[want("box-size").at(mdia)]);

    let mkv = Content::demo().mux("MKV", true);
    let mut hidden = mkv.clone();
    hidden[node(&mkv, "Cues").0 + 3] ^= 1;
    seen.file("no cues", &hidden, &[want("no-cues")]);
    let mut narrow = mkv.clone();
    let width = node(&mkv, "PixelWidth");
    narrow[width.0 + width.1 - 2] = 1;
    seen.file("another width than in the SPS", &narrow, &[want("size-mismatch").on(1, 0.0)]);
    let mut mkv = mkv;
    // A block claims EBML lacing with far too many frames.
    let block = node(&mkv, "SimpleBlock").0;
    let size = (mkv[block + 1].leading_zeros() + 1) as usize;
    mkv[block + 1 + size + 3] |= 0x06;
    mkv[block + 1 + size + 4] = 0xFF;
    mkv[block + 1 + size + 5] = 0x80;
    seen.file("lacing that doesn't fit", &mkv, &[want("lacing")]);

    let ogg = Content::of("TS", "tests/media/h264-opus.ts");
    let sound: Vec<_> = ogg.tracks.iter().filter(|t| t.channels() > 0).cloned().collect();
    let id = sound[0].id;
    let ogg = Content { tracks: sound, packets: ogg.packets.into_iter().filter(|p| p.track == id).collect() };
    let ogg = ogg.mux("OGG", false);
    let pages: Vec<_> = (0..ogg.len() - 4).filter(|i| &ogg[*i..i + 4] == b"OggS").collect();
    assert!(pages.len() > 4);
    let hole = [&ogg[..pages[2]], &ogg[pages[3]..]].concat();
    seen.input("a page is missing", &hole, &[want("ogg-hole").at(pages[2])]);
    let mut back = ogg;
    let last = pages[pages.len() / 2];
    back[last + 6..last + 14].copy_from_slice(&1u64.to_le_bytes());
    back[last + 22..last + 26].fill(0);
    let crc = ogg_crc(&back[last..pages[pages.len() / 2 + 1]]).to_le_bytes();
    back[last + 22..last + 26].copy_from_slice(&crc);
    seen.input("a granule position that goes back", &back, &[want("ogg-granule")]);
}

/// RFC 3533 §6.
fn ogg_crc(page: &[u8]) -> u32 {
    page.iter().fold(0, |crc, b| {
        (0..8).fold(crc ^ u32::from(*b) << 24, |c, _| c << 1 ^ if c >> 31 == 1 { 0x04C1_1DB7 } else { 0 })
    })
}

fn playlists(seen: &mut Seen) {
    let clip = read("tests/media/h264-ac3.ts");
    // Tables, then media from a place that is no keyframe on.
    let half = [&clip[..188 * 3], &clip[clip.len() / 2 / 188 * 188..]].concat();
    let dir = Dir::new("playlists");
    dir.put("all.ts", &clip);
    dir.put("half.ts", &half);
    dir.put("key", &[7; 16]);
    dir.put("short", &[7; 5]);
    let media = |name: &str, body: &str| {
        let text = format!("#EXTM3U\n#EXT-X-VERSION:4\n#EXT-X-TARGETDURATION:4\n{body}#EXT-X-ENDLIST\n");
        dir.put(name, text.as_bytes())
    };
    let run = |path: &str| analyse(&["--json", path]);
    media("whole.m3u8", "#EXTINF:4,\nall.ts\n");
    media("halves.m3u8", "#EXTINF:2,\nhalf.ts\n");
    for (what, body, w) in [
        ("a tag without its value", "#EXTINF:x,\nall.ts\n", want("hls-syntax")),
        ("a segment that isn't there", "#EXTINF:4,\nnothing.ts\n", want("hls-fetch")),
        ("longer than the target", "#EXTINF:6,\nall.ts\n", want("hls-target-duration")),
        ("the same once more", "#EXTINF:4,\nall.ts\n#EXTINF:4,\nall.ts\n", want("hls-discontinuity")),
        (
            "a key that isn't there",
            "#EXT-X-KEY:METHOD=AES-128,URI=\"nokey\"\n#EXTINF:4,\nall.ts\n",
            want("encrypted"),
        ),
        (
            "a key that is too short",
            "#EXT-X-KEY:METHOD=AES-128,URI=\"short\"\n#EXTINF:4,\nall.ts\n",
            want("hls-key"),
        ),
        (
            "a key for what isn't encrypted",
            "#EXT-X-KEY:METHOD=AES-128,URI=\"key\"\n#EXTINF:4,\nall.ts\n",
            want("hls-key"),
        ),
    ] {
        seen.check(what, &run(&media("case.m3u8", body)), &[w]);
    }
    // Behind a segment that can't be read, and where a discontinuity begins with one, nothing goes on.
    let third = clip.len() / 188 / 3 * 188;
    for (i, part) in clip.chunks(third).take(3).enumerate() {
        dir.put(&format!("part{i}.ts"), part);
    }
    let locked = "#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"skd://x\"\n";
    let clear = "#EXT-X-KEY:METHOD=NONE\n";
    for (what, body) in [
        (
            "a part that is locked",
            format!("#EXTINF:0.6,\npart0.ts\n{locked}#EXTINF:1,\npart1.ts\n{clear}#EXTINF:1,\npart2.ts\n"),
        ),
        (
            "a discontinuity that is locked",
            format!(
                "#EXTINF:4,\nall.ts\n{locked}#EXT-X-DISCONTINUITY\n#EXTINF:4,\nall.ts\n{clear}#EXTINF:4,\nall.ts\n"
            ),
        ),
    ] {
        let out = run(&media("locked.m3u8", &body));
        seen.check(what, &out, &[want("encrypted")]);
        let counts = &json(&out.out)["problem_counts"];
        for id in ["continuity", "pcr-jump", "hls-duration", "hls-discontinuity", "time-back"] {
            assert!(counts[id].is_null(), "{what}: {counts}");
        }
    }
    let old =
        dir.put("old.m3u8", b"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4.0,\nall.ts\n#EXT-X-ENDLIST\n");
    seen.check("decimals in version 1", &run(&old), &[want("hls-version")]);
    let cut = read("tests/media/h264-ac3.ts").len() / 188 / 2;
    dir.put("a.ts", &clip[..cut * 188]);
    dir.put("b.ts", &half);
    let wrong = media("wrong.m3u8", "#EXTINF:3,\na.ts\n#EXTINF:1,\nb.ts\n");
    seen.check("EXTINF that is not so", &run(&wrong), &[want("hls-duration"), want("hls-segment-start")]);
    let master = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000\nwhole.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=900000\nhalves.m3u8\n";
    let master = dir.put("master.m3u8", master.as_bytes());
    seen.check("unequal variants", &run(&master), &[want("hls-bandwidth"), want("hls-variants")]);
    let lines = (0..70).map(|i| format!("#EXT-X-STREAM-INF:BANDWIDTH=1\n{i}.m3u8\n"));
    let many = dir.put("many.m3u8", format!("#EXTM3U\n{}", lines.collect::<String>()).as_bytes());
    seen.check("seventy variants", &run(&many), &[want("limit")]);
}

/// Live playlists: what the server says changes from load to load, and a target of 0 s leaves nothing to wait for.
fn live_playlists(seen: &mut Seen) {
    let clip = read("tests/media/h264-ac3.ts");
    let loads = Mutex::new(0);
    let (url, _) = serve(move |path, _, s| {
        if path.ends_with(".ts") {
            return ok(s, &clip);
        }
        let mut n = loads.lock().unwrap();
        *n += 1;
        let first = if path == "/back.m3u8" && *n > 1 { 3 } else { 5 };
        let end = if path == "/back.m3u8" && *n > 1 { "#EXT-X-ENDLIST\n" } else { "" };
        let text = format!(
            "#EXTM3U\n#EXT-X-TARGETDURATION:0\n#EXT-X-MEDIA-SEQUENCE:{first}\n#EXTINF:0,\nall.ts\n{end}"
        );
        ok(s, text.as_bytes());
    });
    let out = analyse(&["--json", &format!("{url}/back.m3u8")]);
    seen.check("numbers that go back", &out, &[want("hls-sequence")]);
    let out = analyse(&["--json", &format!("{url}/stall.m3u8")]);
    seen.check("a server that has nothing new", &out, &[want("hls-stall")]);
}

/// The ids that the program lists.
fn catalogue() -> Vec<String> {
    let list = analyse(&["--list-problems"]).out;
    let ids = list.lines().filter_map(|l| l.strip_prefix("| `")?.split('`').next());
    ids.map(str::to_owned).collect()
}

#[test]
fn every_problem_of_the_catalogue_is_found_where_it_is() {
    let mut seen = Seen::default();
    any_source(&mut seen);
    timing(&mut seen);
    decoding(&mut seen);
    flv_and_dialogues(&mut seen);
    transport_streams(&mut seen);
    containers(&mut seen);
    playlists(&mut seen);
    live_playlists(&mut seen);
    assert!(seen.1.is_empty(), "{}", seen.1.join("\n"));
    let all = catalogue();
    assert!(all.len() > 60);
    let missing: Vec<_> = all.iter().filter(|id| !seen.0.contains(&id.as_str())).collect();
    assert!(missing.is_empty(), "nothing provokes {missing:?}");
    let unknown: Vec<_> = seen.0.iter().filter(|id| !all.iter().any(|a| a == *id)).collect();
    assert!(unknown.is_empty(), "not in the catalogue: {unknown:?}");
}

#[test]
fn a_rate_near_the_end_of_its_type_is_a_mismatch() {
    let text = |t: &[u8]| [&[2][..], &(t.len() as u32).to_be_bytes(), t].concat();
    let int = |n: u64| [&[1][..], &n.to_be_bytes()].concat();
    let object = |members: &[(&str, Vec<u8>)]| {
        let member = |(name, v): &(&str, Vec<u8>)| {
            [&(name.len() as u16).to_be_bytes()[..], name.as_bytes(), v].concat()
        };
        [&[0xE0][..], &members.iter().map(member).collect::<Vec<_>>().concat(), &[0, 0, 0xEE]].concat()
    };
    let sized = |magic: &[u8], body: &[u8]| [magic, &(body.len() as u32).to_be_bytes(), body].concat();
    let track = object(&[
        ("codec", text(b"AAC")),
        ("type", text(b"audio")),
        ("trackid", int(1)),
        ("rate", int(3_000_000_000)),
        ("channels", int(2)),
        ("size", int(16)),
        ("init", text(&[0x11, 0x90])),
    ]);
    let mut file = sized(b"DTSC", &object(&[("tracks", object(&[("audio_1", track)])), ("version", int(4))]));
    for n in 0..3u64 {
        let data = object(&[("data", text(&[0x21, 0x10, 0x04, 0x60].repeat(4)))]);
        file.extend(sized(b"DTP2", &[&1u32.to_be_bytes()[..], &(n * 21).to_be_bytes(), &data].concat()));
    }
    let mut seen = Seen::default();
    seen.input("3 GHz", &file, &[want("size-mismatch").on(1, 0.0)]);
    assert!(seen.1.is_empty(), "{}", seen.1.join("\n"));
}

#[test]
fn a_format_that_is_none_is_told_those_that_are() {
    let out = analyse(&["--format", "nonsense", &clip("Cargo.toml")]);
    let ids: Vec<_> = out.err.trim().split_once("there are: ").unwrap().1.split(", ").collect();
    for id in ["FLV", "DTSC", "HLS", "RTMP", "RTSP"] {
        assert_eq!(ids.iter().filter(|i| **i == id).count(), 1, "{id} in {ids:?}");
    }
}

/// A command of DTSC.
fn command(members: &[(&str, &str)]) -> Vec<u8> {
    let mut body = vec![0xE0];
    for (name, value) in members {
        body.extend_from_slice(&(name.len() as u16).to_be_bytes());
        body.extend_from_slice(name.as_bytes());
        body.push(2);
        body.extend_from_slice(&(value.len() as u32).to_be_bytes());
        body.extend_from_slice(value.as_bytes());
    }
    body.extend_from_slice(&[0, 0, 0xEE]);
    [&b"DTCM"[..], &(body.len() as u32).to_be_bytes(), &body].concat()
}

#[test]
fn a_dialogue_of_dtsc_is_commands_and_media() {
    let dir = Dir::new("dtsc");
    let file = Content::demo().mux("DTSC", false);
    let asks = dir.put("to", &command(&[("cmd", "play"), ("stream", "demo")]));
    let answers = dir.put("from", &[command(&[("cmd", "hi"), ("version", "x")]), file.clone()].concat());
    let out = analyse(&["--json", "--format", "dtsc", &asks, &answers]);
    let v = json(&out.out);
    assert_eq!((out.code, v["problems"].as_array().unwrap().len()), (0, 0), "{v}");
    let of = |v: &Value| -> Vec<_> {
        v["tracks"].as_array().unwrap().iter().map(|t| (t["id"].as_u64(), t["packets"].as_u64())).collect()
    };
    assert_eq!(of(&v), [(Some(65537), Some(400)), (Some(65538), Some(750))]);
    let text = analyse(&["--detail", "structure", "--format", "dtsc", &asks, &answers]).out;
    assert!(text.contains("play, stream \"demo\"") && text.contains("hi, version \"x\""), "{text}");
    // A direction alone, and a file as ever.
    for data in [std::fs::read(&answers).unwrap(), file] {
        let out = analyse_stdin(&["--json", "-"], &data);
        assert_eq!(of(&json(&out.out)), [(Some(1), Some(400)), (Some(2), Some(750))], "{}", out.err);
    }
    assert_eq!(analyse(&["--format", "dtsc", &clip("Cargo.toml"), &asks]).code, 2);
}
