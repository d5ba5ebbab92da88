//! Bodies of the fuzz targets. Those of one crate are that crate's own, public under its feature `fuzzing`; here they are
//! gathered, and here are those that drive several crates together. Each takes arbitrary bytes and fails by panicking.

use bytes::Bytes;
use cap::Cap;
use mist_core::buffer::{BufferOptions, Read, StreamBuffer};
use mist_core::codec::Codec;
use mist_core::media::{Kind, Media, Packet, Params, TrackId, TrackInfo};
use mist_core::registry::{Serve, SessionConfig, Slot};
use mist_core::session::{Answer, Flow, Input, Output, Refusal, Session, Ticket};
use mist_core::time::{Duration, Now, Timestamp};
use mist_formats::FORMATS;
use mist_protocols::{PROTOCOLS, hls, progressive, rtsp as rtsp_reading};
use std::alloc::System;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

/// Counts all memory, so that what an input can make a parser take has a bound that is watched.
#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, usize::MAX);

/// Bytes that a body may take whatever its input is: tables of fixed size, scratch, and reports of progress.
const BASE: usize = 8 << 20;

/// A fuzz target.
pub struct Target {
    /// As its file in `fuzz_targets` is called.
    pub name: &'static str,
    /// Fails by panicking.
    pub body: fn(&[u8]),
    /// Bytes that it may take for each byte of its input, with all that the body itself keeps to compare.
    pub memory: usize,
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "text", body: text, memory: 1024 },
    Target { name: "amf", body: amf, memory: 8192 },
    Target { name: "demux", body: demux, memory: 4096 },
    Target { name: "mux_round_trip", body: mux_round_trip, memory: 4096 },
    Target { name: "stream", body: stream, memory: 1024 },
    Target { name: "http", body: http, memory: 4096 },
    Target { name: "rtmp", body: rtmp, memory: 1024 },
    Target { name: "dtsh", body: dtsh, memory: 1024 },
    Target { name: "rtsp", body: rtsp, memory: 1024 },
];

/// Runs a target's body within its memory.
///
/// # Panics
/// There is no such target, or it has found something.
pub fn run(name: &str, data: &[u8]) {
    let Some(t) = TARGETS.iter().find(|t| t.name == name) else { panic!("there is no target {name}") };
    within(t.memory, data, t.body);
}

/// Runs `body` with no more memory than `multiple` bytes for each byte of input: the allocation that exceeds it ends the
/// process, and its backtrace names who asked.
fn within(multiple: usize, data: &[u8], body: impl FnOnce(&[u8])) {
    let before = MEMORY.limit();
    let limit = MEMORY.allocated() + BASE + data.len() * multiple;
    // A failure to set it is one to stay within it.
    MEMORY.set_limit(limit.min(before)).expect("within its memory");
    body(data);
    let _ = MEMORY.set_limit(before);
}

/// Names, sources, targets, track selectors and playlists that are read.
fn text(data: &[u8]) {
    hls::parse::fuzz(data);
    mist_core::name::fuzz(data);
    mist_core::url::fuzz(data);
    let many: &[&[Slot]] = &[&[Slot::Many(Codec::ALL)], &[Slot::Of(Codec::ALL), Slot::Of(Codec::ALL)]];
    mist_core::select::fuzz(&String::from_utf8_lossy(data), many, &tracks(0));
}

/// AMF0 and AMF3.
fn amf(data: &[u8]) {
    mist_formats::fuzzing::amf(data);
}

/// Bytes that a demuxer may hold for each byte of its input while what it finds is thrown away. Most is the tables of an
/// MP4 file, unpacked.
const DEMUXER: usize = 64;

/// Every demuxer, split in every way, and the checker of transport streams.
fn demux(data: &[u8]) {
    within(DEMUXER, data, mist_formats::fuzzing::demux_and_forget);
    mist_formats::fuzzing::demux(data);
    let mut checker = mist_formats::ts::check::Checker::new();
    let mut found = 0;
    for (i, piece) in data.chunks(500).enumerate() {
        checker.push(i as u64 * 500, piece, &mut |_| found += 1);
    }
    checker.end(&mut |_| found += 1);
    assert!(found <= data.len(), "no more faults than bytes");
}

/// Every muxer, read back by its demuxer.
fn mux_round_trip(data: &[u8]) {
    mist_formats::fuzzing::mux_round_trip(data);
}

/// Header files beside sources.
fn dtsh(data: &[u8]) {
    mist_formats::fuzzing::dtsh(data);
}

/// Messages of RTSP, session descriptions, RTP payloads of every encoding and RTCP.
fn rtsp(data: &[u8]) {
    rtsp_reading::fuzz(data);
}

fn now(start: Instant, ms: u64) -> Now {
    let passed = std::time::Duration::from_millis(ms);
    Now { instant: start + passed, unix: std::time::Duration::from_secs(1_700_000_000) + passed }
}

fn tracks(n: u8) -> Vec<Arc<TrackInfo>> {
    let codecs = [Codec::H264, Codec::Aac, Codec::Opus, Codec::Hevc, Codec::Mp3];
    (1u8..4)
        .map(|id| {
            let codec = codecs[(usize::from(id - 1) + usize::from(n)) % codecs.len()];
            let params = match codec.kind() {
                Kind::Video => Params::Video { width: 16, height: 16, fpks: 0 },
                _ => Params::Audio { rate: 48_000, channels: 2, bits: 16 },
            };
            let init = Bytes::from(vec![0x12, 0x10, n]);
            Arc::new(TrackInfo::new(TrackId(id.into()), codec, init, params))
        })
        .collect()
}

/// Writes to a stream's buffer what arbitrary bytes say, six a step. Returns the buffer and what was not used.
fn write(data: &[u8], mut after_each: impl FnMut(&StreamBuffer, bool)) -> (StreamBuffer, &[u8], Now) {
    let start = Instant::now();
    let window = data.first().copied().unwrap_or(0);
    let options = BufferOptions {
        window: Duration::from_millis(i64::from(window) * 100),
        segment: Duration::from_millis(i64::from(window >> 4) * 500),
        ..BufferOptions::default()
    };
    let mut buffer = StreamBuffer::new(options);
    let mut dts = [Timestamp::ZERO; 4];
    let mut ms = 0;
    let mut left = data.get(1..).unwrap_or_default();
    while let [op, flags, delta, cts, wait, len, rest @ ..] = left {
        left = rest;
        ms += u64::from(*wait);
        let track = usize::from(op >> 4 & 3);
        let mut restarted = false;
        match op & 15 {
            0 => break,
            1 => {
                let all = tracks(*flags);
                let t = &all[track % all.len()];
                buffer.set_track(t.clone());
            }
            2 => buffer.remove_track(TrackId(track as u32)),
            3 => {
                buffer.source_started(flags & 1 != 0);
                restarted = true;
            }
            4 => buffer.source_stopped(),
            5 => buffer.end(),
            _ => {
                let jump = i64::from(*delta as i8) << (flags >> 3).min(24);
                dts[track] += Duration::from_millis(jump);
                buffer.push(
                    Packet {
                        track: TrackId(track as u32),
                        dts: dts[track],
                        cts: Duration::from_millis(i64::from(*cts as i8)),
                        duration: Duration::ZERO,
                        key: flags & 1 != 0,
                        data: Bytes::from(vec![*cts; usize::from(*len)]),
                    },
                    now(start, ms),
                );
            }
        }
        after_each(&buffer, restarted);
    }
    (buffer, left, now(start, ms))
}

/// One writer and one reader on a stream's buffer: what is read goes forward in time, segments are numbered in one row, and
/// the buffer keeps its bound.
fn stream(data: &[u8]) {
    let mut cursor = None;
    let mut last: [Option<Timestamp>; 4] = [None; 4];
    let mut out = Vec::new();
    let mut step = 0u32;
    let (buffer, _, _) = write(data, |buffer, restarted| {
        step += 1;
        let mut numbers = buffer.segments().map(|s| s.number);
        if let Some(first) = numbers.next() {
            assert!(numbers.zip(first + 1..).all(|(n, expected)| n == expected));
        }
        let ids: Vec<_> = buffer.tracks().map(|t| t.id).collect();
        let cursor = cursor.get_or_insert_with(|| buffer.cursor(ids.clone()));
        if restarted || step % 16 == 0 {
            buffer.retarget(cursor, &ids);
            last = [None; 4];
        }
        // A reader that sometimes looks away.
        if step % 7 != 0 {
            if buffer.read(cursor, &mut out, 64) == Read::Lagged {
                last = [None; 4];
            }
            for m in out.drain(..) {
                if let Media::Packet(p) = m {
                    let seen = &mut last[p.track.0 as usize & 3];
                    assert!(seen.is_none_or(|t| t <= p.dts), "time went back");
                    *seen = Some(p.dts);
                }
            }
        }
    });
    assert!(buffer.bytes() <= data.len() as u64 * 255);
}

/// Playlists, segments and progressive plays of any stream, by any path and query.
fn http(data: &[u8]) {
    let (buffer, rest, now) = write(data, |_, _| {});
    let text = String::from_utf8_lossy(rest);
    let (path, query) = text.split_once('?').unwrap_or((&text, ""));
    hls::fuzz(path, query, &buffer, now);
    for format in FORMATS {
        progressive::fuzz(format, query, &buffer);
    }
}

/// A server's session of each protocol with a connection, against a peer, a driver and a clock that do what the bytes say.
/// The first byte is how many bytes come at once. In the rest, where the byte after a full piece is 0xff, the driver does something.
fn rtmp(data: &[u8]) {
    for protocol in PROTOCOLS {
        if let Serve::Tcp(make) = protocol.serve {
            session(&mut *make(&SessionConfig::default()), data);
        }
    }
}

fn session(s: &mut dyn Session, data: &[u8]) {
    let [step, rest @ ..] = data else { return };
    let step = usize::from(*step).max(1);
    let start = Instant::now();
    let mut ms = 0;
    let mut asked: Vec<Ticket> = Vec::new();
    let mut played: Vec<Ticket> = Vec::new();
    let mut sent = 0usize;
    let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    s.handle(now(start, 0), Input::Opened(Flow(0), peer));
    let mut left = rest;
    let mut closed = false;
    loop {
        let mut polls = 0;
        loop {
            polls += 1;
            assert!(polls < 10_000 + data.len() * 4, "no progress");
            match s.poll() {
                Output::Send(_, g) => sent += g.len(),
                Output::Ask(t, _) => asked.push(t),
                Output::Idle { .. } => break,
                Output::Done(_) => return,
                _ => {}
            }
        }
        assert!(sent < (1 << 20) + data.len() * 4096, "says more than it was asked");
        if closed {
            // Nothing more can come: time alone has to end it.
            ms += 3_600_000;
            assert!(ms < 40_000_000_000, "never ends");
            s.handle(now(start, ms), Input::Tick);
            continue;
        }
        match left {
            [] => {
                closed = true;
                s.handle(now(start, ms), Input::Closed(Flow(0)));
            }
            [0xff, op, value, tail @ ..] => {
                left = tail;
                ms += u64::from(*value);
                let input = match op % 8 {
                    0 => Input::Shutdown,
                    1 => Input::Answer(Ticket(u32::from(*value)), Answer::Yes),
                    2 => match asked.pop() {
                        Some(t) => Input::Answer(t, Answer::No(Refusal::Busy)),
                        None => Input::Tick,
                    },
                    3 | 4 => match asked.pop() {
                        Some(t) => {
                            played.push(t);
                            Input::Answer(t, Answer::Yes)
                        }
                        None => Input::Tick,
                    },
                    5 => match played.last() {
                        Some(t) => {
                            Input::Media(*t, Media::Track(tracks(*value)[usize::from(*value) % 3].clone()))
                        }
                        None => Input::Tick,
                    },
                    6 => match played.last() {
                        Some(t) => Input::Media(
                            *t,
                            Media::Packet(Packet {
                                track: TrackId(u32::from(value & 3)),
                                dts: Timestamp::from_millis(ms as i64),
                                cts: Duration::ZERO,
                                duration: Duration::ZERO,
                                key: value & 4 != 0,
                                data: Bytes::from(vec![*value; usize::from(*value) * 3]),
                            }),
                        ),
                        None => Input::Tick,
                    },
                    _ => {
                        ms += u64::from(*value) * 1000;
                        Input::Tick
                    }
                };
                s.handle(now(start, ms), input);
            }
            _ => {
                let (piece, tail) = left.split_at(step.min(left.len()));
                left = tail;
                s.handle(now(start, ms), Input::Bytes(Flow(0), Bytes::copy_from_slice(piece)));
            }
        }
    }
}
