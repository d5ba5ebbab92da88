//! RTSP (RFC 2326, RFC 7826), read to its media.
//!
//! What the packets of one direction are is often said in the other one: the session description comes from the server, or from
//! the client that records; channels are proposed by the client and settled by the server. So each direction is read up to its
//! first packet, and then each to its end.

use super::node;
use crate::analysis::{Analysis, GROUP};
use crate::container::Sink as _;
use crate::problem::{Problem, Sort};
use crate::source::Source;
use bytes::Bytes;
use mist_core::codec::CodecError;
use mist_core::format::{Demuxed, ErrorKind, FormatError};
use mist_core::media::TrackId;
use mist_protocols::rtp::packet::Packet;
use mist_protocols::rtp::rtcp::{self, Report, SenderReport};
use mist_protocols::rtp::{Received, Receiver, Timeline};
use mist_protocols::rtsp;
use mist_protocols::rtsp::message::{Item, Message, Reader, Start};
use mist_protocols::rtsp::transport::{RtpInfo, Transport, controls};
use mist_protocols::sdp::{self, Section};
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Write};
use std::ops::ControlFlow;

/// Requests whose answers are waited for.
const MAX_ASKED: usize = 64;
/// Packets that wait for one that is missing: what relays from UDP may leave out of order.
const WINDOW: usize = 16;

/// Reads all directions.
pub(super) fn run<W: Write>(sources: Vec<Source>, analysis: &mut Analysis<W>) -> io::Result<Option<String>> {
    let mut dialogue = Dialogue::default();
    let mut sides: Vec<_> = (0..).zip(sources).map(|(index, source)| Side::new(index, source)).collect();
    let mut failed: Option<String> = None;
    for whole in [false, true] {
        for side in &mut sides {
            match side.read(whole, &mut dialogue, analysis)? {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => return Ok(failed),
                Err(why) => failed = failed.or(Some(why)),
            }
        }
    }
    Ok(failed)
}

/// What both directions say about the media.
#[derive(Default)]
struct Dialogue {
    sections: Vec<Described>,
    /// CSeq, method and URL of requests.
    asked: VecDeque<(String, String, String)>,
    /// Media has begun, so that the description stands.
    begun: bool,
}

/// A section of the description, and how it is sent.
struct Described {
    section: Section,
    channels: Option<(u8, u8)>,
    /// Its beginning by RTP-Info.
    start: Option<u32>,
}

impl Dialogue {
    fn describe(&mut self, d: sdp::Description) {
        if !self.begun {
            let new = |section| Described { section, channels: None, start: None };
            self.sections = d.sections.into_iter().map(new).collect();
        }
    }

    /// The section that a URL controls.
    fn controlled(&mut self, url: &str) -> Option<&mut Described> {
        let fits = |d: &&mut Described| d.section.control.as_ref().is_some_and(|c| controls(url, c));
        self.sections.iter_mut().find(fits)
    }

    /// A request or response settles the channels of a section: that of the URL, or else the next one.
    fn set_up(&mut self, url: Option<&str>, channels: (u8, u8)) {
        let place = match url.map(|u| self.controlled(u).is_some()) {
            Some(true) => url.and_then(|u| self.controlled(u)),
            _ => self.sections.iter_mut().find(|d| d.channels.is_none()),
        };
        if let Some(d) = place {
            d.channels = Some(channels);
        }
    }

    fn message(&mut self, m: &Message) -> Result<(), FormatError> {
        let typed = m.header("Content-Type").is_some_and(|t| t.to_ascii_lowercase().contains("sdp"));
        if !m.body.is_empty() && (typed || m.body.starts_with(b"v=0")) {
            let at = m.offset + m.head_len as u64;
            let error = |e: sdp::SdpError| FormatError {
                format: "RTSP",
                offset: at + e.offset as u64,
                path: "session description",
                kind: ErrorKind::Malformed(e.what),
            };
            self.describe(sdp::parse(&m.body).map_err(error)?);
        }
        let sequence = m.header("CSeq").unwrap_or_default();
        let interleaved =
            || Transport::parse(m.header("Transport").unwrap_or_default()).iter().find_map(|t| t.interleaved);
        match &m.start {
            Start::Request { method, url } => {
                if self.asked.len() == MAX_ASKED {
                    self.asked.pop_front();
                }
                self.asked.push_back((sequence.to_owned(), method.clone(), url.clone()));
                if method == "SETUP"
                    && let Some(channels) = interleaved()
                    && self.controlled(url).is_some()
                {
                    self.set_up(Some(url), channels);
                }
            }
            Start::Response { status, .. } => {
                let at = self.asked.iter().position(|a| a.0 == sequence);
                let url = at.and_then(|i| self.asked.remove(i)).map(|a| a.2);
                if let Some(channels) = interleaved().filter(|_| *status < 300) {
                    self.set_up(url.as_deref(), channels);
                }
                for info in RtpInfo::parse(m.header("RTP-Info").unwrap_or_default()) {
                    if let Some(d) = self.controlled(&info.url) {
                        d.start = info.rtptime;
                    }
                }
            }
        }
        Ok(())
    }

    /// Which section the packets of a channel belong to, by what was settled, or else by their payload type. `taken` are those
    /// of other channels.
    fn section(&self, channel: u8, payload_type: u8, taken: &[usize]) -> Option<usize> {
        let has = |i: &usize| self.sections.get(*i).is_some_and(|d| d.section.format(payload_type).is_some());
        let settled = self.sections.iter().position(|d| d.channels.is_some_and(|c| c.0 == channel));
        let free = || (0..self.sections.len()).filter(|i| !taken.contains(i));
        let usual = || free().find(|i| *i == usize::from(channel / 2));
        settled
            .filter(has)
            .or_else(|| usual().filter(has))
            .or_else(|| free().find(has))
            .or(settled)
            .or_else(usual)
    }

    /// The channel of the packets that reports on `channel` are about.
    fn media_channel(&self, channel: u8) -> u8 {
        let settled = self.sections.iter().filter_map(|d| d.channels).find(|c| c.1 == channel);
        settled.map_or(channel & !1, |c| c.0)
    }
}

/// The packets of one channel in one direction.
struct Flow {
    section: Option<usize>,
    id: TrackId,
    receiver: Option<Receiver>,
    /// Why it isn't read.
    why: String,
    packets: u64,
    bytes: u64,
}

/// One direction.
struct Side {
    index: u32,
    source: Source,
    reader: Reader,
    /// The first packet, which waits for the other direction.
    held: Option<Item>,
    flows: BTreeMap<u8, Flow>,
    /// Reports that came before their media.
    reports: BTreeMap<u8, SenderReport>,
    line: Timeline,
    items: u64,
    done: bool,
    /// Why it can't be read on.
    wrong: Option<Problem>,
}

type Read = Result<ControlFlow<()>, String>;

impl Side {
    fn new(index: u32, source: Source) -> Self {
        Self {
            index,
            source,
            reader: Reader::new(),
            held: None,
            flows: BTreeMap::new(),
            reports: BTreeMap::new(),
            line: Timeline::new(),
            items: 0,
            done: false,
            wrong: None,
        }
    }

    /// Reads on up to the first packet, or to the end. Gives the reason if nothing of it can be read.
    fn read<W: Write>(
        &mut self,
        whole: bool,
        dialogue: &mut Dialogue,
        analysis: &mut Analysis<W>,
    ) -> io::Result<Read> {
        while !self.done {
            let item = match self.held.take() {
                Some(item) => Ok(Some(item)),
                None => self.reader.poll(),
            };
            match item {
                Ok(Some(Item::Message(m))) => self.message(&m, dialogue, analysis)?,
                Ok(Some(item @ Item::Packet { .. })) if !whole => {
                    self.held = Some(item);
                    return Ok(Ok(ControlFlow::Continue(())));
                }
                Ok(Some(Item::Packet { offset, channel, data })) => {
                    dialogue.begun = true;
                    if self.packet(offset, channel, &data, dialogue, analysis)?.is_break() {
                        return Ok(Ok(ControlFlow::Break(())));
                    }
                }
                Ok(None) => match self.source.next() {
                    Ok(Some((_, data))) => self.reader.push(data),
                    Ok(None) => self.done = true,
                    Err(e) => {
                        self.done = true;
                        return Ok(Err(e.to_string()));
                    }
                },
                Err(e) if self.items == 0 => {
                    self.done = true;
                    return Ok(Err(e.what.to_owned()));
                }
                Err(e) => {
                    self.wrong = Some(Problem::new(Sort::Malformed, e.what).at(Some(e.offset)));
                    self.done = true;
                }
            }
        }
        match (whole, self.items) {
            (false, 0) => Ok(Err("no RTSP message in it".to_owned())),
            (false, _) | (true, 0) => Ok(Ok(ControlFlow::Continue(()))),
            (true, _) => self.end(analysis).map(Ok),
        }
    }

    fn end<W: Write>(&mut self, analysis: &mut Analysis<W>) -> io::Result<ControlFlow<()>> {
        let at = self.reader.offset();
        for flow in self.flows.values_mut() {
            if let Some(r) = &mut flow.receiver {
                r.end(&mut self.line);
                if drain(r, flow.id, analysis)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        if let Some(p) = self.wrong.take() {
            analysis.problem(p)?;
        } else if self.reader.held() > 0 {
            let what = "the recording ends inside a message or packet";
            analysis.problem(Problem::new(Sort::Truncated, what).at(Some(at)))?;
        }
        for (channel, f) in self.flows.iter().filter(|f| f.1.receiver.is_none()) {
            let (packets, bytes, why) = (f.packets, f.bytes, &f.why);
            let what = format!("channel {channel}: {packets} packets, {bytes} bytes, {why}");
            analysis.problem(Problem::new(Sort::RtpMedia, &what).on(f.id, None))?;
        }
        self.flows.clear();
        Ok(ControlFlow::Continue(()))
    }

    fn message<W: Write>(
        &mut self,
        m: &Message,
        dialogue: &mut Dialogue,
        analysis: &mut Analysis<W>,
    ) -> io::Result<()> {
        self.items += 1;
        analysis.saw_other();
        let (name, first) = match &m.start {
            Start::Request { method, url } => ("request", format!("{method} {url}")),
            Start::Response { status, reason } => ("response", format!("{status} {reason}")),
        };
        node(analysis, (0, m.offset, m.head_len + m.body.len()), name, || first.clone())?;
        for (name, value) in &m.headers {
            let len = name.len() + value.len();
            node(analysis, (1, m.offset, len), "header", || format!("{name}: {value}"))?;
        }
        for l in String::from_utf8_lossy(&m.body).lines() {
            node(analysis, (1, m.offset + m.head_len as u64, l.len()), "body", || l.to_owned())?;
        }
        // A first 401 only asks for who it is.
        if let Start::Response { status: 400 | 402.., .. } = m.start {
            analysis.problem(Problem::new(Sort::DialogueRefused, &first).at(Some(m.offset)))?;
        }
        if let Err(e) = dialogue.message(m) {
            analysis.problem(Problem::of(&e))?;
        }
        Ok(())
    }

    fn packet<W: Write>(
        &mut self,
        offset: u64,
        channel: u8,
        data: &Bytes,
        dialogue: &Dialogue,
        analysis: &mut Analysis<W>,
    ) -> io::Result<ControlFlow<()>> {
        self.items += 1;
        let place = (0, offset, data.len() + 4);
        // RFC 5761 §4: where both come on one channel, the second byte tells.
        let Some(kind @ (0..=191 | 224..)) = data.get(1).copied() else {
            self.reports(channel, data, place, dialogue, analysis)?;
            return Ok(ControlFlow::Continue(()));
        };
        node(analysis, place, "RTP packet", || match Packet::parse(data) {
            Ok(p) => {
                let mark = if p.marker { " marker" } else { "" };
                let (kind, sequence, time) = (p.payload_type, p.sequence, p.timestamp);
                format!("channel {channel} type {kind} sequence {sequence} timestamp {time}{mark}")
            }
            Err(e) => format!("channel {channel} {e}"),
        })?;
        if !self.flows.contains_key(&channel) {
            let flow = self.flow(channel, kind & 0x7f, dialogue);
            if let Err(e) = &flow.1 {
                analysis.problem(of_codec(*e, offset, flow.0.id))?;
            }
            self.flows.insert(channel, flow.0);
        }
        let Some(flow) = self.flows.get_mut(&channel) else { return Ok(ControlFlow::Continue(())) };
        flow.packets += 1;
        flow.bytes += data.len() as u64;
        let Some(r) = &mut flow.receiver else { return Ok(ControlFlow::Continue(())) };
        r.push(data, offset, &mut self.line);
        drain(r, flow.id, analysis)
    }

    /// What comes on a channel whose first packet has this payload type.
    fn flow(&mut self, channel: u8, payload_type: u8, dialogue: &Dialogue) -> (Flow, Result<(), CodecError>) {
        let taken: Vec<_> = self.flows.values().filter_map(|f| f.section).collect();
        let section = dialogue.section(channel, payload_type, &taken);
        let number = section.map_or(usize::from(channel) + sdp::limits::SECTIONS, |s| s);
        let id = TrackId(self.index * GROUP + number as u32 + 1);
        let mut flow = Flow { section, id, receiver: None, why: String::new(), packets: 0, bytes: 0 };
        let Some(described) = section.and_then(|s| dialogue.sections.get(s)) else {
            flow.why = format!("payload type {payload_type}, without a session description");
            return (flow, Ok(()));
        };
        let section = &described.section;
        let Some(format) = section.format(payload_type).or(section.formats.first()) else {
            flow.why = format!("{} without payload formats", section.media);
            return (flow, Ok(()));
        };
        flow.why = format!("{} {}", section.media, format.encoding);
        if format.codec().is_none() {
            return (flow, Ok(()));
        }
        let made = rtsp::rtp_format(format, section.fpks).and_then(|f| Receiver::new(id, f, WINDOW));
        let mut receiver = match made {
            Ok(r) => r,
            Err(e) => return (flow, Err(e)),
        };
        if let Some(start) = described.start {
            receiver.starts_at(start);
        }
        if let Some(report) = self.reports.get(&channel) {
            receiver.report(*report, &mut self.line);
        }
        flow.receiver = Some(receiver);
        (flow, Ok(()))
    }

    fn reports<W: Write>(
        &mut self,
        channel: u8,
        data: &[u8],
        place: (u16, u64, usize),
        dialogue: &Dialogue,
        analysis: &mut Analysis<W>,
    ) -> io::Result<()> {
        let media = dialogue.media_channel(channel);
        let mut all = Vec::new();
        let done = rtcp::parse(data, |r| all.push(r));
        node(analysis, place, "RTCP packet", || format!("channel {channel} {all:?}"))?;
        for r in all {
            if let Report::Sender(report) = r {
                match self.flows.get_mut(&media).map(|f| &mut f.receiver) {
                    Some(Some(receiver)) => receiver.report(report, &mut self.line),
                    Some(None) => {}
                    None => _ = self.reports.insert(media, report),
                }
            }
        }
        if let Err(e) = done {
            let kind = e.into();
            let e = FormatError { format: "RTSP", offset: place.1, path: "RTCP packet", kind };
            analysis.problem(Problem::of(&e))?;
        }
        Ok(())
    }
}

fn of_codec(error: CodecError, offset: u64, track: TrackId) -> Option<Problem> {
    let e = FormatError { format: "RTSP", offset, path: "RTP packet", kind: error.into() };
    Some(Problem::of(&e)?.on(track, None))
}

/// Hands on what a receiver has.
fn drain<W: Write>(r: &mut Receiver, id: TrackId, analysis: &mut Analysis<W>) -> io::Result<ControlFlow<()>> {
    let mut flow = ControlFlow::Continue(());
    while flow.is_continue()
        && let Some(found) = r.poll()
    {
        match found {
            Received::Media { media, offset } => {
                flow = analysis.take(Demuxed::Media(media), Some(offset))?;
            }
            Received::Lost { packets, at, offset } => {
                let what = match packets {
                    1 => "1 packet is missing".to_owned(),
                    n => format!("{n} packets are missing"),
                };
                analysis.problem(Problem::new(Sort::RtpLoss, &what).at(Some(offset)).on(id, Some(at)))?;
            }
            Received::Problem(e) => analysis.problem(of_codec(e.error, e.offset, id))?,
            _ => {}
        }
    }
    Ok(flow)
}
