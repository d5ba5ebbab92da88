//! Packets to tracks and media.

use super::packet::{MediaPacket, PacketHead, PacketKind};
use super::value::{Object, ValueError};
use super::{Header, HeaderProblem, ID, limits};
use bytes::Bytes;
use mist_core::codec::{self, Codec};
use mist_core::format::{Demuxed, ErrorKind, FormatError, Index, Node, Want};
use mist_core::media::{Kind, Media, Packet, TrackInfo};
use mist_core::queue::Queue;
use mist_core::time::{Duration, Timestamp};
use std::collections::VecDeque;
use std::sync::Arc;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// At a packet.
    Packet,
    /// Waiting for the bytes at this offset.
    Seek(u64),
    /// Looking for a packet; bytes that were passed over.
    Lost(u64),
    Done,
}

/// A track that was announced.
#[derive(Debug)]
struct Open {
    /// `trackid` in packets.
    raw: u32,
    info: Arc<TrackInfo>,
    /// Bytes of the lengths in front of NAL units, as the header's init data has it.
    lengths: u8,
}

/// Reads DTSC files, streams and recorded dialogues.
///
/// Every packet says its length; where none begins, the next one is looked for and a [`Demuxed::Problem`] reports
/// it. A later header adds and changes tracks. A header that points to a fuller one (`moreheader`) is replaced by it.
///
/// Seeking works where the header has tables, or where [`with_header`](Self::with_header) gave them.
#[derive(Debug)]
pub struct Demuxer {
    queue: Queue,
    state: State,
    ended: bool,
    nodes: bool,
    /// The header with tables, for seeking.
    header: Header,
    /// A header was read.
    headed: bool,
    /// Where reading goes on behind a header that lies elsewhere, and how many were followed.
    back: Option<u64>,
    followed: u32,
    from_zero: bool,
    tracks: Vec<Open>,
    /// Ids without track that were reported.
    unknown: Vec<u32>,
    out: VecDeque<Demuxed>,
    error: Option<FormatError>,
    packet_offset: Option<u64>,
}

impl Default for Demuxer {
    fn default() -> Self {
        Self::new()
    }
}

impl Demuxer {
    /// At the start of a file or stream.
    pub fn new() -> Self {
        Self {
            queue: Queue::new(),
            state: State::Packet,
            ended: false,
            nodes: false,
            header: Header::default(),
            headed: false,
            back: None,
            followed: 0,
            from_zero: false,
            tracks: Vec::new(),
            unknown: Vec::new(),
            out: VecDeque::new(),
            error: None,
            packet_offset: None,
        }
    }

    /// For a file whose header lies beside it: files of packets only, and those whose header has no tables.
    pub fn with_header(header: Header) -> Self {
        let mut d = Self::new();
        d.announce(header);
        d
    }

    /// The last header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    fn problem(&mut self, offset: u64, path: &'static str, kind: ErrorKind) {
        self.out.push_back(Demuxed::Problem(FormatError { format: ID, offset, path, kind }));
    }

    fn fail(&mut self, offset: u64, path: &'static str, kind: ErrorKind) -> bool {
        self.error = Some(FormatError { format: ID, offset, path, kind });
        true
    }

    /// Takes one packet or a run of bytes that are none. False if more bytes are needed.
    fn step(&mut self) -> bool {
        match self.state {
            State::Packet => self.packet(),
            State::Lost(passed) => self.find(passed),
            State::Seek(_) | State::Done => false,
        }
    }

    fn packet(&mut self) -> bool {
        let offset = self.queue.offset();
        let Some(head) = self.queue.peek::<{ PacketHead::LEN }>() else {
            if self.ended && !self.queue.is_empty() {
                return self.fail(offset, "", ErrorKind::Truncated);
            }
            return false;
        };
        let Some(head) = PacketHead::parse(head) else {
            if !self.headed && self.tracks.is_empty() {
                return self.fail(offset, "", ErrorKind::Malformed("no packet begins here"));
            }
            self.state = State::Lost(0);
            return true;
        };
        if head.len as usize > head.limit() {
            if !self.headed && self.tracks.is_empty() {
                return self.fail(offset, head.kind.name(), ErrorKind::Limit("length of a packet"));
            }
            self.problem(offset, head.kind.name(), ErrorKind::Limit("length of a packet"));
            self.queue.skip(1);
            self.state = State::Lost(1);
            return true;
        }
        let len = head.len as usize;
        if self.queue.len() - PacketHead::LEN < len {
            if self.ended {
                return self.fail(offset, head.kind.name(), ErrorKind::Truncated);
            }
            return false;
        }
        self.queue.skip(PacketHead::LEN);
        let Some(body) = self.queue.take(len) else { return false };
        self.body(head, offset, &body)
    }

    fn body(&mut self, head: PacketHead, offset: u64, body: &Bytes) -> bool {
        match head.kind {
            PacketKind::MediaV1 | PacketKind::MediaV2 => {
                match MediaPacket::parse(head.kind, body) {
                    Ok(p) => self.media(head, offset, p),
                    Err(e) => self.bad_value(head, offset, e),
                }
                true
            }
            PacketKind::Header => {
                let header = Object::parse(body)
                    .map_err(|e| (e.at, "DTSC", kind_of(e)))
                    .and_then(|o| Header::parse(&o).map_err(|p| (0, p.path, p.kind)));
                match header {
                    Ok((header, problems)) => {
                        self.node(head, offset, || {
                            let live = if header.live { "live" } else { "vod" };
                            format!("{live}, version {}, {} tracks", header.version, header.tracks.len())
                        });
                        self.new_header(header, &problems, offset)
                    }
                    Err((at, path, kind)) => {
                        let at = offset + PacketHead::LEN as u64 + at as u64;
                        if self.headed || self.back.is_some() {
                            self.problem(at, path, kind);
                            self.go_back();
                            return true;
                        }
                        self.fail(at, path, kind)
                    }
                }
            }
            PacketKind::Command => {
                match Object::parse(body) {
                    Ok(o) => self.node(head, offset, || {
                        let cmd = o.str("cmd").unwrap_or("");
                        o.str("msg").map_or_else(|| cmd.to_owned(), |m| format!("{cmd}: {m}"))
                    }),
                    Err(e) => self.bad_value(head, offset, e),
                }
                true
            }
        }
    }

    fn bad_value(&mut self, head: PacketHead, offset: u64, e: ValueError) {
        self.node(head, offset, || "unreadable".to_owned());
        self.problem(offset + PacketHead::LEN as u64 + e.at as u64, head.kind.name(), kind_of(e));
    }

    fn node(&mut self, head: PacketHead, offset: u64, detail: impl FnOnce() -> String) {
        if self.nodes {
            let (name, len) = (head.kind.name(), u64::from(head.len) + PacketHead::LEN as u64);
            self.out.push_back(Demuxed::Node(Node { depth: 0, offset, len, name, detail: detail() }));
        }
    }

    fn new_header(&mut self, header: Header, problems: &[HeaderProblem], offset: u64) -> bool {
        for p in problems {
            self.problem(offset, p.path, p.kind);
        }
        let (more, here) = (header.more, self.queue.offset());
        self.announce(header);
        if more > here && self.followed < limits::MORE_HEADERS {
            self.followed += 1;
            self.back.get_or_insert(here);
            self.go(more);
        } else {
            self.go_back();
        }
        true
    }

    /// After a header that lay elsewhere.
    fn go_back(&mut self) {
        if let Some(at) = self.back.take() {
            self.go(at);
        }
    }

    fn go(&mut self, offset: u64) {
        self.queue.reset(offset);
        self.ended = false;
        self.state = State::Seek(offset);
    }

    fn announce(&mut self, header: Header) {
        if !self.headed {
            self.from_zero = header.tracks.iter().any(|t| t.id == 0);
        }
        for t in &header.tracks {
            let info = if Header::track_id(t.id, self.from_zero) == t.info.id {
                t.info.clone()
            } else {
                // A later header numbers in another way than the first.
                Arc::new(TrackInfo {
                    id: Header::track_id(t.id, self.from_zero),
                    ..TrackInfo::clone(&t.info)
                })
            };
            let lengths = codec::length_size(info.codec, &info.init).unwrap_or(4);
            let room = self.tracks.len() < limits::TRACKS;
            match self.tracks.iter_mut().find(|o| o.raw == t.id) {
                Some(o) if o.info == info => continue,
                Some(o) => (o.info, o.lengths) = (info.clone(), lengths),
                None if room => {
                    self.tracks.push(Open { raw: t.id, info: info.clone(), lengths });
                }
                None => continue,
            }
            self.out.push_back(Demuxed::Media(Media::Track(info)));
        }
        // One without tables, as at the start of a stream that goes on, doesn't take them away.
        if !self.headed || header.tracks.iter().any(|t| !t.packets.is_empty()) {
            self.header = header;
        }
        self.headed = self.headed || !self.tracks.is_empty() || self.header.more == 0;
    }

    fn media(&mut self, head: PacketHead, offset: u64, p: MediaPacket) {
        self.node(head, offset, || {
            let key = if p.key { " key" } else { "" };
            format!("track {} at {} ms, offset {}{key}, {} bytes", p.track, p.time, p.offset, p.data.len())
        });
        let Some(t) = self.tracks.iter().find(|t| t.raw == p.track) else {
            if self.unknown.len() < limits::TRACKS && !self.unknown.contains(&p.track) {
                self.unknown.push(p.track);
                let kind = ErrorKind::Malformed("packet of a track that the header hasn't");
                self.problem(offset, head.kind.name(), kind);
            }
            return;
        };
        let info = &t.info;
        let at = offset + (PacketHead::LEN + p.data_at) as u64;
        let data = match info.codec {
            Codec::H264 | Codec::Hevc | Codec::Av1 | Codec::Subtitle => {
                match codec::canonical_payload(info.codec, p.data, t.lengths) {
                    Ok(d) => d,
                    Err(e) => return self.problem(at, "DTP2/data", e.into()),
                }
            }
            _ => p.data,
        };
        let ms = |v: u64| i64::try_from(v).unwrap_or(i64::MAX);
        let packet = Packet {
            track: info.id,
            dts: Timestamp::from_millis(ms(p.time)),
            cts: Duration::from_millis(p.offset),
            duration: Duration::from_millis(ms(p.duration)),
            key: p.key || info.codec.kind() != Kind::Video,
            data,
        };
        self.packet_offset = Some(at);
        self.out.push_back(Demuxed::Media(Media::Packet(packet)));
    }

    /// Looks for the next packet behind damage.
    fn find(&mut self, passed: u64) -> bool {
        let mut passed = passed;
        loop {
            let front = self.queue.front();
            let Some(first) = front.first() else { break };
            if *first != b'D' {
                let n = memchr::memchr(b'D', front).unwrap_or(front.len());
                passed += self.queue.skip(n) as u64;
                continue;
            }
            // The head and the start of the body: an object, behind track and time in version 2.
            let Some(start) = self.queue.peek::<21>() else {
                if self.ended {
                    passed += self.queue.skip(1) as u64;
                    continue;
                }
                break;
            };
            if plausible(start) {
                let at = self.queue.offset() - passed;
                self.problem(at, "", ErrorKind::Malformed("bytes that are no packet were passed over"));
                self.state = State::Packet;
                return true;
            }
            passed += self.queue.skip(1) as u64;
        }
        if self.ended {
            self.problem(
                self.queue.offset() - passed,
                "",
                ErrorKind::Malformed("bytes that are no packet at the end"),
            );
            self.state = State::Done;
            return true;
        }
        self.state = State::Lost(passed);
        false
    }
}

/// Whether a packet can begin with these bytes.
fn plausible(start: [u8; 21]) -> bool {
    let [a, b, c, d, e, f, g, h, body @ ..] = start;
    let Some(head) = PacketHead::parse([a, b, c, d, e, f, g, h]) else { return false };
    let at = if head.kind == PacketKind::MediaV2 { 12 } else { 0 };
    let object = matches!(body.get(at), Some(&(super::value::OBJECT | super::value::OBJECT_TOO)));
    object && head.len as usize <= head.limit().min(limits::FOUND)
}

fn kind_of(e: ValueError) -> ErrorKind {
    if e.limit { ErrorKind::Limit(e.what) } else { ErrorKind::Malformed(e.what) }
}

impl mist_core::format::Demuxer for Demuxer {
    fn push(&mut self, offset: u64, data: Bytes) {
        if data.is_empty() || self.error.is_some() || self.state == State::Done {
            return;
        }
        if let State::Seek(to) = self.state {
            // A driver may give more than was asked for, but has to begin there.
            if offset != to {
                return;
            }
            self.queue.reset(offset);
            self.state = State::Packet;
            self.ended = false;
        }
        self.queue.push(data);
    }

    fn end(&mut self) {
        self.ended = true;
    }

    fn poll(&mut self) -> Result<Demuxed, FormatError> {
        loop {
            if let Some(d) = self.out.pop_front() {
                return Ok(d);
            }
            if let Some(e) = &self.error {
                return Err(e.clone());
            }
            if self.state == State::Done {
                return Ok(Demuxed::End);
            }
            if self.step() {
                continue;
            }
            match (self.state, self.ended) {
                (State::Seek(offset), false) => {
                    return Ok(Demuxed::Need(Want::At { offset, len: PacketHead::LEN }));
                }
                (_, false) => return Ok(Demuxed::Need(Want::Next)),
                // The fuller header lies beyond the end: the file goes on without it.
                (State::Seek(offset), true) if self.back.is_some() => {
                    self.problem(offset, "DTSC/moreheader", ErrorKind::Truncated);
                    self.go_back();
                }
                _ if !self.headed && self.tracks.is_empty() => {
                    self.fail(self.queue.offset(), "", ErrorKind::Truncated);
                }
                _ => self.state = State::Done,
            }
        }
    }

    fn seek(&mut self, to: Timestamp) -> Result<Timestamp, FormatError> {
        let refuse = |kind| FormatError { format: ID, offset: self.queue.offset(), path: "DTSC", kind };
        if self.error.is_some() || self.back.is_some() {
            return Err(refuse(ErrorKind::Unsupported("seeking before the header")));
        }
        let Some((time, offset)) = self.header.key_before(to) else {
            return Err(refuse(ErrorKind::Unsupported("seeking without tables in the header")));
        };
        self.out.retain(|d| matches!(d, Demuxed::Media(Media::Track(_))));
        self.go(offset);
        Ok(time)
    }

    fn packet_offset(&self) -> Option<u64> {
        self.packet_offset
    }

    fn index(&self) -> Option<Index> {
        if self.back.is_some() {
            return None;
        }
        self.header.index()
    }

    fn want_nodes(&mut self) {
        self.nodes = true;
    }
}
