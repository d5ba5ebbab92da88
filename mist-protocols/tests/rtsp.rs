//! Reading RTSP, SDP and RTP as real cameras and encoders send them. What needs the media corpus beside the workspace is skipped
//! without it.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    reason = "tests read files and say what they skip"
)]

use bytes::Bytes;
use mist_core::codec::Codec;
use mist_core::media::{Media, Packet, Params, TrackId};
use mist_core::time::Timestamp;
use mist_protocols::rtp::packet::Packet as RtpPacket;
use mist_protocols::rtp::rtcp::{self, Report};
use mist_protocols::rtp::{Received, Receiver, Timeline};
use mist_protocols::rtsp::message::{Item, Message, Reader, Start};
use mist_protocols::rtsp::transport::{RtpInfo, Transport, controls};
use mist_protocols::{rtsp, sdp};
use std::path::{Path, PathBuf};

fn corpus() -> Option<PathBuf> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus/captures");
    if !dir.is_dir() {
        println!("skipped: no corpus");
        return None;
    }
    Some(dir)
}

fn items(data: &[u8], step: usize) -> Vec<Item> {
    let mut r = Reader::new();
    let mut out = Vec::new();
    for piece in data.chunks(step) {
        r.push(Bytes::copy_from_slice(piece));
        while let Some(item) = r.poll().unwrap() {
            out.push(item);
        }
    }
    assert_eq!(r.held(), 0);
    out
}

fn message(path: &Path) -> Message {
    let data = std::fs::read(path).unwrap();
    let Some(Item::Message(m)) = items(&data, 7).into_iter().next() else { panic!("{path:?}") };
    m
}

/// Media type, codec, clock, channels, what the initialisation data says, and control of each section.
fn sections(text: &[u8]) -> Vec<String> {
    let d = sdp::parse(text).unwrap();
    let each = |s: &sdp::Section| {
        let f = s.formats.first();
        let format = f.map_or(String::new(), |f| {
            let init = f.init().unwrap_or_else(|e| panic!("{e}"));
            let params = f.codec().and_then(|c| mist_core::codec::params(c, &init));
            let params = match params {
                Some(Params::Video { width, height, .. }) => format!("{width}x{height}"),
                Some(Params::Audio { rate, channels, .. }) => format!("{rate}/{channels}"),
                _ => "-".to_owned(),
            };
            format!("{:?} {}/{} {params}", f.codec(), f.clock, f.channels)
        });
        format!("{} {format} {}", s.media, s.control.as_deref().unwrap_or("-"))
    };
    d.sections.iter().map(each).collect()
}

#[test]
fn cameras_describe_themselves() {
    let Some(dir) = corpus() else { return };
    let dir = dir.join("retina-rtsp-cameras");
    let h264 = |size: &str, control: &str| format!("video Some(H264) 90000/0 {size} {control}");
    let hikvision = "rtsp://192.168.5.106:554/Streaming/Channels/101/trackID";
    let query = "?transportmode=unicast&profile=Profile_1";
    let onvif = |control: &str| format!("application None 90000/0 - {control}");
    let other = str::to_owned;
    for (name, expected) in [
        // It says 1280x720 elsewhere, but what it codes is this.
        ("anjvision_describe", vec![other("video Some(Hevc) 90000/0 1280x704 trackID=1")]),
        (
            "dahua_describe_h264_aac_onvif",
            vec![
                h264("704x480", "trackID=0"),
                other("audio Some(Aac) 48000/0 48000/1 trackID=1"),
                onvif("trackID=4"),
            ],
        ),
        (
            "geovision_sdp",
            vec![
                h264("2688x1520", "rtsp://192.168.5.237/media/video1/video"),
                onvif("rtsp://192.168.5.237/media/video1/metadata"),
            ],
        ),
        (
            "h264dvr_describe",
            vec![h264("1920x1080", "trackID=3"), other("audio Some(Alaw) 8000/1 - trackID=4")],
        ),
        (
            "hikvision_describe",
            vec![
                h264("1920x1080", &format!("{hikvision}=1{query}")),
                onvif(&format!("{hikvision}=3{query}")),
            ],
        ),
        ("ipcam_describe", vec![h264("1280x960", "trackID=1")]),
        (
            "missing_content_type_describe",
            vec![h264("320x180", "streamid=0"), other("audio Some(Aac) 48000/2 48000/2 streamid=1")],
        ),
        (
            "reolink_describe_control_first",
            vec![h264("2560x1440", "trackID=1"), other("audio Some(Aac) 16000/0 16000/1 trackID=2")],
        ),
        (
            "tplink_sdp",
            vec![
                other("video Some(Hevc) 90000/0 2560x1440 track1"),
                other("audio Some(Alaw) 8000/1 - track2"),
                other("application/tp-link  track3"),
            ],
        ),
        ("vstarcam_describe", vec![h264("1920x1080", "track0"), other("audio Some(Alaw) 8000/1 - track1")]),
    ] {
        let path = dir.join(format!("{name}.txt"));
        let text = match name.ends_with("sdp") {
            true => Bytes::from(std::fs::read(&path).unwrap()),
            false => message(&path).body,
        };
        assert_eq!(sections(&text), expected, "{name}");
        // With LF alone, with NULs at the end.
        let plain: Vec<u8> = text.iter().copied().filter(|b| *b != b'\r').chain([0, 0, b'\n', 0]).collect();
        assert_eq!(sections(&plain), expected, "{name}");
        // Each track can be received.
        for s in sdp::parse(&text).unwrap().sections {
            for f in s.formats.iter().filter(|f| f.codec().is_some()) {
                let format = rtsp::rtp_format(f, s.fpks).unwrap();
                let mut r = Receiver::new(TrackId(1), format, 0).unwrap();
                assert!(
                    matches!(r.poll(), Some(Received::Media { media: Media::Track(_), .. })),
                    "{name}: nothing is missing"
                );
            }
        }
    }
}

#[test]
fn cameras_answer() {
    let Some(dir) = corpus() else { return };
    let dir = dir.join("retina-rtsp-cameras");
    let read = |name: &str| message(&dir.join(format!("{name}.txt")));
    for (name, interleaved) in [
        ("dahua_setup", Some((0, 1))),
        ("gw_main_setup_video", Some((0, 1))),
        ("h264dvr_setup_audio", None),
        ("hikvision_setup", Some((0, 1))),
        ("luckfox_rkipc_setup_udp", None),
        ("reolink_setup", Some((0, 1))),
    ] {
        let m = read(name);
        let all = Transport::parse(m.header("transport").unwrap());
        assert_eq!(all.iter().map(|t| t.interleaved).collect::<Vec<_>>(), [interleaved], "{name}");
        assert!(m.header("session").is_some_and(|s| !s.starts_with(' ')));
    }
    for (name, times) in [
        ("bunny_play", &[Some(0), Some(0)][..]),
        ("bad_rtptime", &[None, None]),
        ("gw_main_play", &[Some(1_621_990_950)]),
        ("gw_sub_play", &[Some(1_621_810_809)]),
    ] {
        let all = RtpInfo::parse(read(name).header("RTP-Info").unwrap());
        assert_eq!(all.iter().map(|i| i.rtptime).collect::<Vec<_>>(), times, "{name}");
    }
    let bunny = RtpInfo::parse(read("bunny_play").header("RTP-Info").unwrap());
    let fits = |i: usize, control: &str| controls(&bunny[i].url, control);
    assert!(fits(0, "trackID=1") && fits(1, "trackID=2") && !fits(0, "trackID=2") && !fits(1, "trackID=1"));
    assert_eq!(
        read("longse_unauthorized").start,
        Start::Response { status: 401, reason: "Unauthorized".to_owned() }
    );
    assert_eq!(read("dahua_options").header("Server"), Some("Rtsp Server/3.0"));
}

/// What a receiver gave.
#[derive(Debug, Default, PartialEq)]
struct Got {
    tracks: Vec<(Codec, Params, usize)>,
    packets: Vec<Packet>,
    lost: Vec<(u16, Timestamp)>,
    problems: usize,
}

impl Got {
    fn take(&mut self, r: &mut Receiver) {
        while let Some(found) = r.poll() {
            match found {
                Received::Media { media: Media::Track(t), .. } => {
                    self.tracks.push((t.codec, t.params, t.init.len()));
                }
                Received::Media { media: Media::Packet(p), .. } => self.packets.push(p),
                Received::Lost { packets, at, .. } => self.lost.push((packets, at)),
                _ => self.problems += 1,
            }
        }
    }
}

/// Both tracks of the clip that ffmpeg recorded, after `change` had its way with each packet.
fn clip(mut change: impl FnMut(u8, Vec<u8>) -> Vec<Vec<u8>>) -> [Got; 2] {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/media/rtsp-record.c2s.bin");
    let data = std::fs::read(path).unwrap();
    let all = items(&data, data.len());
    for step in [1, 2, 7, 188] {
        assert_eq!(items(&data, step), all, "{step}");
    }
    let body = all.iter().find_map(|i| match i {
        Item::Message(m) if !m.body.is_empty() => Some(m.body.clone()),
        _ => None,
    });
    let description = sdp::parse(&body.unwrap()).unwrap();
    let mut line = Timeline::new();
    let mut got = [Got::default(), Got::default()];
    let mut receivers = [0, 1].map(|i| {
        let s = &description.sections[i];
        Receiver::new(TrackId(i as u32), rtsp::rtp_format(&s.formats[0], s.fpks).unwrap(), 8).unwrap()
    });
    for item in all {
        let Item::Packet { channel, data, .. } = item else { continue };
        let i = usize::from(channel / 2);
        let r = &mut receivers[i];
        for data in change(channel, data.to_vec()) {
            if channel % 2 == 0 {
                r.push(&data.into(), 0, &mut line);
            } else {
                rtcp::parse(&data, |report| {
                    if let Report::Sender(s) = report {
                        r.report(s, &mut line);
                    }
                })
                .unwrap();
            }
            got[i].take(r);
        }
    }
    for (r, got) in receivers.iter_mut().zip(&mut got) {
        r.end(&mut line);
        got.take(r);
    }
    got
}

fn plain() -> [Got; 2] {
    clip(|_, d| vec![d])
}

#[test]
fn a_recording_is_read_to_its_media() {
    let [video, audio] = plain();
    assert_eq!(video.tracks, [(Codec::H264, Params::Video { width: 64, height: 64, fpks: 10_000 }, 39)]);
    assert_eq!(audio.tracks, [(Codec::Aac, Params::Audio { rate: 16_000, channels: 1, bits: 16 }, 5)]);
    assert_eq!((video.packets.len(), audio.packets.len()), (20, 22));
    assert!(video.packets.iter().map(|p| p.key).eq((0..20).map(|n| n % 10 == 0)));
    let dts = video.packets.iter().map(|p| p.dts.as_millis());
    assert!(dts.eq((0..20).map(|n| n * 100 - 200)));
    let mut pts: Vec<_> = video.packets.iter().map(|p| p.pts().as_millis()).collect();
    assert!(pts.iter().zip(&video.packets).all(|(pts, p)| *pts >= p.dts.as_millis()) && !pts.is_sorted());
    pts.sort_unstable();
    assert!(pts.into_iter().eq((0..20).map(|n| n * 100)));
    assert!(audio.packets.iter().map(|p| p.pts().as_millis()).eq((0..22).map(|n| n * 64 - 64)));
}

/// Sequence numbers and timestamps that wrap in the middle, wherever they start.
#[test]
fn counters_wrap() {
    let expected = plain();
    for (sequence, time) in [(65_530u16, u32::MAX - 50_000), (0, 0), (1, 1 << 31)] {
        let mut first: [Option<(u16, u32)>; 2] = [None; 2];
        let got = clip(|channel, mut d| {
            let at = if channel % 2 == 0 { 4 } else { 16 };
            let read = |d: &[u8], at: usize| u32::from_be_bytes(d[at..at + 4].try_into().unwrap());
            if channel % 2 == 1 && d[1] != 200 {
                return vec![d];
            }
            let t = read(&d, at);
            let s = u16::from_be_bytes([d[2], d[3]]);
            let (s0, t0) = *first[usize::from(channel / 2)].get_or_insert((s, t));
            d[at..at + 4].copy_from_slice(&t.wrapping_sub(t0).wrapping_add(time).to_be_bytes());
            if channel % 2 == 0 {
                d[2..4].copy_from_slice(&s.wrapping_sub(s0).wrapping_add(sequence).to_be_bytes());
            }
            vec![d]
        });
        assert_eq!(got, expected, "{sequence} {time}");
    }
}

#[test]
fn disorder_is_undone_and_holes_are_told() {
    let expected = plain();
    // Pairs swapped, and each packet twice.
    let mut held = None;
    let got = clip(|channel, d| {
        if channel != 0 {
            return vec![d];
        }
        let twice = |d: Vec<u8>| vec![d.clone(), d];
        match (held.take(), d[3] & 1) {
            (Some(before), _) => [twice(d), twice(before)].concat(),
            (None, 1) => {
                held = Some(d);
                Vec::new()
            }
            (None, _) => twice(d),
        }
    });
    // The last one may still have been held.
    let [video, _] = &got;
    assert!(video.packets.len() >= 19 && video.problems == 0 && video.lost.is_empty(), "{video:?}");
    assert!(video.packets.iter().zip(&expected[0].packets).all(|(a, b)| a == b));
    // One packet of video less: one hole, and what was in it.
    let mut n = 0;
    let [video, audio] = clip(|channel, d| {
        n += i32::from(channel == 0);
        if channel == 0 && n == 6 { Vec::new() } else { vec![d] }
    });
    assert_eq!((video.lost.len(), video.lost[0].0, video.packets.len()), (1, 1, 19));
    assert!(video.lost[0].1 > Timestamp::ZERO && audio == expected[1]);
}

#[test]
fn a_camera_s_sound() {
    let Some(dir) = corpus() else { return };
    let text = std::fs::read_to_string(dir.join("rtsp-aac-dump.json")).unwrap();
    let field = |name: &str| text.split(&format!("\"{name}\": ")).nth(1).unwrap();
    let description = field("mediaDescription").split('"').nth(1).unwrap().replace("\\r\\n", "\r\n");
    let section = sdp::parse(format!("v=0\r\n{description}").as_bytes()).unwrap().sections.remove(0);
    let mut r = Receiver::new(TrackId(1), rtsp::rtp_format(&section.formats[0], 0).unwrap(), 0).unwrap();
    let (mut line, mut got) = (Timeline::new(), Got::default());
    let lines = field("packets").lines().map(|l| l.trim().trim_matches([',', '"']));
    let packets: Vec<_> = lines.filter(|l| l.starts_with("80")).collect();
    for p in &packets {
        let bytes: Vec<u8> =
            (0..p.len() / 2).map(|i| u8::from_str_radix(&p[i * 2..i * 2 + 2], 16).unwrap()).collect();
        r.push(&bytes.into(), 0, &mut line);
        got.take(&mut r);
    }
    r.end(&mut line);
    got.take(&mut r);
    assert_eq!(got.tracks, [(Codec::Aac, Params::Audio { rate: 48_000, channels: 6, bits: 16 }, 5)]);
    // Seven frames are in two packets each.
    assert_eq!((got.lost.len(), got.packets.len(), got.problems), (1, packets.len() - 7, 0));
    // The camera's own clock counts milliseconds.
    assert_eq!(got.packets[0].pts(), Timestamp::ZERO);
    assert_eq!(got.packets[1].pts(), Timestamp::from_millis(21));
}

/// What is in the packets isn't read, but their heads are.
#[test]
fn heads_of_captured_packets() {
    let Some(dir) = corpus() else { return };
    let data = std::fs::read(dir.join("rtp.pcapng")).unwrap();
    let word = |at: usize| u32::from_le_bytes(data[at..at + 4].try_into().unwrap()) as usize;
    let (mut at, mut sequence) = (0, Vec::new());
    while at + 8 <= data.len() {
        // Packets in Ethernet, IPv4 and UDP from port 6000; the capture has others.
        if word(at) == 6 {
            let packet = &data[at + 28..at + 28 + word(at + 20)];
            if packet[12..14] == [8, 0] && packet[23] == 17 && packet[34..36] == 6000u16.to_be_bytes() {
                let p = RtpPacket::parse(&Bytes::copy_from_slice(&packet[42..])).unwrap();
                assert_eq!(p.payload_type, 34);
                sequence.push(p.sequence);
            }
        }
        at += word(at + 4);
    }
    assert!(sequence.len() > 10 && sequence.is_sorted(), "{sequence:?}");
}

/// Packets of H.264 described with their parameter sets: payload type, sequence, timestamp, SSRC, marker and payload, each
/// at an offset of 100 more.
type Sent<'a> = (u8, u16, u32, u32, bool, &'a [u8]);

fn received(sent: &[Sent<'_>]) -> (Got, Vec<u64>) {
    let text = "v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n\
        a=fmtp:96 sprop-parameter-sets=Z0IAKZY1QPAET8s3AQEBQAAAAwBAAAAHoQ==,aM4xsg==\r\n";
    let section = sdp::parse(text.as_bytes()).unwrap().sections.remove(0);
    let mut r = Receiver::new(TrackId(1), rtsp::rtp_format(&section.formats[0], 0).unwrap(), 0).unwrap();
    let (mut line, mut got, mut offsets) = (Timeline::new(), Got::default(), Vec::new());
    for (n, (kind, sequence, time, ssrc, marker, payload)) in (0..).zip(sent) {
        let mut p = vec![0x80, u8::from(*marker) << 7 | kind];
        p.extend(sequence.to_be_bytes());
        p.extend(time.to_be_bytes());
        p.extend(ssrc.to_be_bytes());
        p.extend(*payload);
        r.push(&p.into(), n * 100, &mut line);
    }
    r.end(&mut line);
    while let Some(found) = r.poll() {
        match found {
            Received::Media { media: Media::Packet(p), offset } => {
                got.packets.push(p);
                offsets.push(offset);
            }
            Received::Lost { packets, at, .. } => got.lost.push((packets, at)),
            Received::Problem(_) => got.problems += 1,
            _ => {}
        }
    }
    (got, offsets)
}

#[test]
fn packets_of_others_come_between() {
    let (begin, end, plain) = (b"\x7c\x85\x88a", b"\x7c\x45b", b"\x41\x9ac");
    // A hole before comfort noise is one in the picture around it; at the end it is still told.
    let (got, offsets) = received(&[
        (96, 1, 0, 7, false, begin),
        (13, 3, 160, 7, false, b"x"),
        (96, 4, 0, 7, true, end),
        (96, 5, 3600, 7, true, plain),
        (13, 8, 160, 7, false, b"x"),
    ]);
    assert_eq!((got.packets.len(), offsets), (1, vec![300]), "{got:?}");
    assert_eq!(got.lost, [(1, Timestamp::ZERO), (2, Timestamp::from_millis(40))]);
    assert_eq!(got.problems, 1, "the payload type, once");
    // Another sender's packets change nothing, whatever they count, also before the first.
    let other = |s: u16| (13, s, 9_000_000, 8, false, &b"x"[..]);
    let (got, offsets) = received(&[
        other(30_000),
        (96, 1, 0, 7, false, begin),
        other(30_001),
        other(30_002),
        (96, 2, 0, 7, true, end),
        other(2),
        (96, 3, 3600, 7, true, plain),
    ]);
    let times: Vec<_> = got.packets.iter().map(Packet::pts).collect();
    assert_eq!(times, [Timestamp::ZERO, Timestamp::from_millis(40)], "{got:?}");
    assert_eq!((got.lost.len(), got.problems), (0, 1));
    assert_eq!(offsets, [100, 600], "where the first bytes lie");
}
