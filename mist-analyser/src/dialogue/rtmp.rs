//! RTMP, read to its media.

use super::{node, read};
use crate::analysis::{Analysis, GROUP};
use crate::container::Sink as _;
use crate::problem::{Problem, Sort};
use crate::source::Source;
use mist_core::format::Demuxed;
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

/// Version, first and second part of an RTMP handshake.
const HANDSHAKE: usize = 1 + 1536 + 1536;

/// One direction of RTMP.
pub(super) struct Rtmp {
    index: u32,
    tags: TagReader,
    handshake: Vec<u8>,
}

impl Rtmp {
    pub(super) fn new(index: u32) -> Self {
        Self { index, tags: TagReader::new(), handshake: Vec::new() }
    }

    pub(super) fn run<W: Write>(
        mut self,
        source: &mut Source,
        analysis: &mut Analysis<W>,
    ) -> io::Result<Result<(), String>> {
        let mut reader = ChunkReader::new(Limits::DEFAULT, HANDSHAKE as u64);
        loop {
            let Some((_, mut data)) = (match read(source, analysis)? {
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
