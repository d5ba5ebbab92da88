//! Recorded dialogues: the raw TCP bytes of one direction, or of both in two files.
//!
//! RTMP is read to its media. Of RTSP the messages and the interleaved packets are listed and counted; their media isn't put
//! together.

use crate::analysis::{Analysis, GROUP};
use crate::container::Sink as _;
use crate::problem::{Problem, Sort};
use crate::source::Source;
use bytes::Bytes;
use mist_core::format::{Demuxed, Node};
use mist_core::media::{Media, TrackId};
use mist_formats::amf::{Value, amf0};
use mist_formats::flv::{TagKind, TagReader};
use mist_protocols::rtmp::chunk::{ChunkReader, Message};
use mist_protocols::rtmp::command::{Call, amf0_body};
use mist_protocols::rtmp::limits::Limits;
use mist_protocols::rtmp::message::{Aggregate, UserControl, kind};
use std::fmt::Write as _;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Protocols whose dialogues are read, by the ids of `--format`.
pub(crate) const PROTOCOLS: &[&str] = &["RTMP", "RTSP"];

/// Version, first and second part of an RTMP handshake.
const HANDSHAKE: usize = 1 + 1536 + 1536;
/// Bytes of the head and of the body of an RTSP message.
const RTSP_HEAD: usize = 64 << 10;
const RTSP_BODY: usize = 1 << 20;

/// Reads one direction; `index` tells it from the other one.
pub(crate) fn run<W: Write>(
    protocol: &str,
    index: u32,
    source: &mut Source,
    analysis: &mut Analysis<W>,
) -> io::Result<Result<(), String>> {
    if protocol == "RTMP" {
        Rtmp::new(index).run(source, analysis)
    } else {
        Rtsp { index, ..Rtsp::default() }.run(source, analysis)
    }
}

fn node<W: Write>(
    analysis: &mut Analysis<W>,
    (depth, offset, len): (u16, u64, usize),
    name: &'static str,
    detail: impl FnOnce() -> String,
) -> io::Result<()> {
    if analysis.wants_nodes() {
        analysis.node(&Node { depth, offset, len: len as u64, name, detail: detail() })?;
    }
    Ok(())
}

/// One direction of RTMP.
struct Rtmp {
    index: u32,
    tags: TagReader,
    handshake: Vec<u8>,
}

impl Rtmp {
    fn new(index: u32) -> Self {
        Self { index, tags: TagReader::new(), handshake: Vec::new() }
    }

    fn run<W: Write>(
        mut self,
        source: &mut Source,
        analysis: &mut Analysis<W>,
    ) -> io::Result<Result<(), String>> {
        let mut reader = ChunkReader::new(Limits::DEFAULT, HANDSHAKE as u64);
        loop {
            let Some((_, mut data)) = (match source.next() {
                Ok(d) => d,
                Err(e) => return Ok(Err(e.to_string())),
            }) else {
                break;
            };
            let missing = HANDSHAKE - self.handshake.len();
            if missing > 0 {
                let now = data.split_to(missing.min(data.len()));
                self.handshake.extend_from_slice(&now);
                match self.handshake.first() {
                    Some(3) => {}
                    Some(6 | 8) => return Ok(Err("RTMPE is encrypted".to_owned())),
                    _ => return Ok(Err("no RTMP handshake at the start".to_owned())),
                }
                if now.len() == missing {
                    let version = self.handshake.get(5..9).map_or(String::new(), |v| format!("{v:?}"));
                    let what = || format!("version 3, {} {version}", self.handshake.len());
                    node(analysis, (0, 0, HANDSHAKE), "handshake", what)?;
                    analysis.saw_other();
                }
            }
            reader.push(data);
            loop {
                let at = reader.offset();
                match reader.poll() {
                    Ok(Some(m)) => {
                        if self.message(m, at, analysis)?.is_break() {
                            return Ok(Ok(()));
                        }
                    }
                    Ok(None) => break,
                    Err(e) => {
                        let p = Problem::new(Sort::Malformed, &e.to_string()).at(Some(reader.offset()));
                        analysis.problem(p)?;
                        return Ok(Ok(()));
                    }
                }
            }
        }
        if self.handshake.len() < HANDSHAKE {
            return Ok(Err("it ends in the handshake".to_owned()));
        }
        if reader.held() > 0 {
            let what = "the recording ends inside a message";
            analysis.problem(Problem::new(Sort::Truncated, what).at(Some(reader.offset())))?;
        }
        Ok(Ok(()))
    }

    fn message<W: Write>(
        &mut self,
        m: Message,
        at: u64,
        analysis: &mut Analysis<W>,
    ) -> io::Result<ControlFlow<()>> {
        let place = (0, at, m.body.len());
        let head = format!("chunk stream {} message stream {} {} ms", m.csid, m.stream, m.time);
        match m.kind {
            kind::AUDIO => self.tag(TagKind::Audio, &m, place, "audio", &head, analysis),
            kind::VIDEO => self.tag(TagKind::Video, &m, place, "video", &head, analysis),
            kind::DATA | kind::DATA_AMF3 => {
                let values = amf_text(amf0_body(&m));
                node(analysis, place, "data", || format!("{head} {values}"))?;
                self.data(&m, at, analysis)
            }
            kind::COMMAND | kind::COMMAND_AMF3 => {
                self.command(&m, place, &head, analysis)?;
                Ok(ControlFlow::Continue(()))
            }
            kind::AGGREGATE => {
                node(analysis, place, "aggregate", || head.clone())?;
                for inner in Aggregate::new(m) {
                    if self.message(inner, at, analysis)?.is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
                Ok(ControlFlow::Continue(()))
            }
            other => {
                let number = m.body.first_chunk::<4>().map(|b| u32::from_be_bytes(*b));
                let (name, what) = match other {
                    kind::ACK => ("acknowledgement", format!("{number:?}")),
                    kind::WINDOW_ACK_SIZE => ("window acknowledgement size", format!("{number:?}")),
                    kind::SET_PEER_BANDWIDTH => ("set peer bandwidth", format!("{number:?}")),
                    kind::USER_CONTROL => ("user control", format!("{:?}", UserControl::parse(&m.body))),
                    _ => ("message", format!("type {other}")),
                };
                node(analysis, place, name, || format!("{head} {what}"))?;
                Ok(ControlFlow::Continue(()))
            }
        }
    }

    fn tag<W: Write>(
        &mut self,
        tag: TagKind,
        m: &Message,
        place: (u16, u64, usize),
        name: &'static str,
        head: &str,
        analysis: &mut Analysis<W>,
    ) -> io::Result<ControlFlow<()>> {
        node(analysis, place, name, || head.to_owned())?;
        let mut out = Vec::new();
        let done = self.tags.read(tag, m.time, m.body.clone(), &mut out);
        let flow = self.give(out, analysis)?;
        if let Err(e) = done {
            analysis.problem(Problem::of(&e.in_file(place.1)))?;
        }
        Ok(flow)
    }

    fn data<W: Write>(
        &mut self,
        m: &Message,
        at: u64,
        analysis: &mut Analysis<W>,
    ) -> io::Result<ControlFlow<()>> {
        let body = m.body.slice_ref(amf0_body(m));
        // Publishers wrap what they set for all viewers.
        let wrapped = b"\x02\x00\x0d@setDataFrame";
        let body = if body.starts_with(wrapped) { body.slice(wrapped.len()..) } else { body };
        let mut out = Vec::new();
        let done = self.tags.read(TagKind::Script, m.time, body, &mut out);
        let flow = self.give(out, analysis)?;
        if let Err(e) = done {
            analysis.problem(Problem::of(&e.in_file(at)))?;
        }
        Ok(flow)
    }

    /// Hands on what a tag gave, with ids of this direction.
    fn give<W: Write>(&self, out: Vec<Media>, analysis: &mut Analysis<W>) -> io::Result<ControlFlow<()>> {
        let id = |t: TrackId| TrackId(self.index * GROUP + t.0 % GROUP);
        for media in out {
            let media = match media {
                Media::Track(t) => {
                    let mut t = (*t).clone();
                    t.id = id(t.id);
                    Media::Track(Arc::new(t))
                }
                Media::Packet(mut p) => {
                    p.track = id(p.track);
                    Media::Packet(p)
                }
                other => other,
            };
            if analysis.take(Demuxed::Media(media), None)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn command<W: Write>(
        &self,
        m: &Message,
        place: (u16, u64, usize),
        head: &str,
        analysis: &mut Analysis<W>,
    ) -> io::Result<()> {
        match Call::parse(m) {
            Ok(c) => {
                node(analysis, place, "command", || {
                    let mut s = format!("{head} {} {} {}", c.name, c.transaction, c.object.to_json());
                    for a in &c.args {
                        let _ = write!(s, " {}", a.to_json());
                    }
                    s
                })?;
                let refused = c.name == "_error" || c.info("level") == Some("error");
                if refused {
                    let code = c.info("code").unwrap_or("no code");
                    let why = c.info("description").unwrap_or("");
                    let what = format!("{} says {code} {why}", c.name);
                    analysis.problem(Problem::new(Sort::DialogueRefused, &what).at(Some(place.1)))?;
                }
                Ok(())
            }
            Err(e) => analysis.problem(Problem::new(Sort::Malformed, &e.to_string()).at(Some(place.1))),
        }
    }
}

fn amf_text(body: &[u8]) -> String {
    let mut r = amf0::Reader::new(body);
    let mut s = String::new();
    while let Ok(Some(v)) = r.read() {
        match &v {
            Value::String(t) => s.push_str(t),
            v => s.push_str(&v.to_json()),
        }
        s.push(' ');
    }
    s
}

/// One direction of RTSP (RFC 2326, RFC 7826): messages, and packets in between (RFC 2326 §10.12).
#[derive(Default)]
struct Rtsp {
    index: u32,
    buf: Vec<u8>,
    /// Offset of the first byte in `buf`.
    at: u64,
    /// Of each channel: packets, bytes, and the last sequence number.
    channels: Vec<(u8, u64, u64, Option<u16>)>,
    messages: u64,
}

impl Rtsp {
    fn run<W: Write>(
        mut self,
        source: &mut Source,
        analysis: &mut Analysis<W>,
    ) -> io::Result<Result<(), String>> {
        loop {
            let data: Bytes = match source.next() {
                Ok(Some((_, d))) => d,
                Ok(None) => break,
                Err(e) => return Ok(Err(e.to_string())),
            };
            self.buf.extend_from_slice(&data);
            let mut used = 0;
            loop {
                let n = match self.unit(used, analysis)? {
                    Ok(Some(n)) => n,
                    Ok(None) => break,
                    Err(why) if self.messages == 0 => return Ok(Err(why.to_owned())),
                    Err(why) => {
                        let at = Some(self.at + used as u64);
                        analysis.problem(Problem::new(Sort::Malformed, why).at(at))?;
                        return Ok(Ok(()));
                    }
                };
                used += n;
            }
            self.buf.drain(..used);
            self.at += used as u64;
        }
        if self.messages == 0 && self.channels.is_empty() {
            return Ok(Err("no RTSP message in it".to_owned()));
        }
        analysis.saw_other();
        if !self.buf.is_empty() {
            let what = "the recording ends inside a message or packet";
            analysis.problem(Problem::new(Sort::Truncated, what).at(Some(self.at)))?;
        }
        if !self.channels.is_empty() {
            let mut what = String::from("media in RTP is counted, not put together;");
            for (channel, packets, bytes, _) in &self.channels {
                let _ = write!(what, " channel {channel}: {packets} packets, {bytes} bytes,");
            }
            analysis.problem(Problem::new(Sort::RtpMedia, what.trim_end_matches(',')))?;
        }
        Ok(Ok(()))
    }

    /// Reads what begins at `from` of the buffer. Gives its length, `None` when it isn't all there.
    fn unit<W: Write>(
        &mut self,
        from: usize,
        analysis: &mut Analysis<W>,
    ) -> io::Result<Result<Option<usize>, &'static str>> {
        let data = self.buf.get(from..).unwrap_or_default();
        let at = self.at + from as u64;
        match data {
            [] => Ok(Ok(None)),
            [b'$', rest @ ..] => {
                let Some((&[channel, hi, lo], body)) = rest.split_first_chunk::<3>() else {
                    return Ok(Ok(None));
                };
                let len = usize::from(u16::from_be_bytes([hi, lo]));
                let Some(packet) = body.get(..len) else { return Ok(Ok(None)) };
                let (detail, lost) = self.packet(channel, packet.to_vec().as_slice());
                let (index, name) = (self.index, if channel % 2 == 0 { "RTP packet" } else { "RTCP packet" });
                node(analysis, (0, at, len + 4), name, || format!("channel {channel} {detail}"))?;
                if let Some(lost) = lost {
                    let what = format!("direction {index}, channel {channel}: {lost} packets are missing");
                    analysis.problem(Problem::new(Sort::RtpLoss, &what).at(Some(at)))?;
                }
                Ok(Ok(Some(len + 4)))
            }
            _ => self.message(from, at, analysis),
        }
    }

    /// Counts a packet. Says what is in its head, and how many are missing before it.
    fn packet(&mut self, channel: u8, data: &[u8]) -> (String, Option<u16>) {
        let i = self.channels.iter().position(|c| c.0 == channel).unwrap_or_else(|| {
            self.channels.push((channel, 0, 0, None));
            self.channels.len() - 1
        });
        let c = &mut self.channels[i];
        c.1 += 1;
        c.2 += data.len() as u64;
        let Some(&[flags, kind, s1, s2, t1, t2, t3, t4]) = data.first_chunk::<8>() else {
            return ("too short".to_owned(), None);
        };
        if channel % 2 == 1 {
            return (format!("type {kind}"), None);
        }
        let sequence = u16::from_be_bytes([s1, s2]);
        let time = u32::from_be_bytes([t1, t2, t3, t4]);
        let step = c.3.replace(sequence).map(|before| sequence.wrapping_sub(before));
        let lost = step.filter(|s| (2..0x8000).contains(s)).map(|s| s - 1);
        let mark = if kind & 0x80 != 0 { " marker" } else { "" };
        let detail =
            format!("version {} type {} sequence {sequence} timestamp {time}{mark}", flags >> 6, kind & 0x7F);
        (detail, lost)
    }

    fn message<W: Write>(
        &mut self,
        from: usize,
        at: u64,
        analysis: &mut Analysis<W>,
    ) -> io::Result<Result<Option<usize>, &'static str>> {
        let data = self.buf.get(from..).unwrap_or_default();
        let Some(end) = data.windows(4).take(RTSP_HEAD).position(|w| w == b"\r\n\r\n") else {
            let text = data.iter().take(16).all(|b| b.is_ascii_graphic() || b.is_ascii_whitespace());
            return Ok(if data.len() >= RTSP_HEAD || !text { Err("no RTSP message here") } else { Ok(None) });
        };
        let head = String::from_utf8_lossy(data.get(..end).unwrap_or_default()).into_owned();
        let mut lines = head.lines();
        let first = lines.next().unwrap_or("").to_owned();
        if !first.contains("RTSP/") {
            return Ok(Err("no RTSP message here"));
        }
        let mut length = 0;
        for (name, value) in lines.clone().filter_map(|l| l.split_once(':')) {
            if name.trim().eq_ignore_ascii_case("content-length") {
                length = match value.trim().parse::<usize>() {
                    Ok(n) if n <= RTSP_BODY => n,
                    _ => return Ok(Err("Content-Length")),
                };
            }
        }
        let Some(body) = data.get(end + 4..end + 4 + length) else { return Ok(Ok(None)) };
        let body = String::from_utf8_lossy(body).into_owned();
        self.messages += 1;
        let total = end + 4 + length;
        node(
            analysis,
            (0, at, total),
            if first.starts_with("RTSP/") { "response" } else { "request" },
            || first.clone(),
        )?;
        for l in lines {
            node(analysis, (1, at, l.len()), "header", || l.to_owned())?;
        }
        for l in body.lines() {
            node(analysis, (1, at + end as u64 + 4, l.len()), "body", || l.to_owned())?;
        }
        let status =
            first.strip_prefix("RTSP/").and_then(|r| r.split(' ').nth(1)).and_then(|s| s.parse::<u16>().ok());
        // A first 401 only asks for who it is.
        if status.is_some_and(|s| s >= 400 && s != 401) {
            analysis.problem(Problem::new(Sort::DialogueRefused, &first).at(Some(at)))?;
        }
        Ok(Ok(Some(total)))
    }
}
