//! Packets to tracks and media.

use super::packet::{MediaPacket, PacketHead, PacketKind};
use super::value::{Object, Value, ValueError};
use super::{Header, HeaderProblem, ID, limits};
use bytes::Bytes;
use mist_core::codec::{self, Codec};
use mist_core::findings::Findings;
use mist_core::format::{Demuxed, ErrorKind, FormatError, Index, Want};
use mist_core::media::{Kind, Packet, TrackInfo};
use mist_core::queue::Queue;
use mist_core::time::{Duration, Timestamp};
use std::collections::VecDeque;
use std::fmt;
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

/// A command of a dialogue.
#[derive(Debug, Clone)]
pub struct Command {
    /// Where its packet begins.
    pub offset: u64,
    /// All that it says.
    pub object: Object,
}

impl Command {
    /// What is asked or answered; empty where it doesn't say.
    pub fn name(&self) -> &str {
        self.object.str("cmd").unwrap_or("")
    }

    /// Whether something is refused.
    pub fn is_refusal(&self) -> bool {
        self.name() == "error"
    }
}

/// For people: its name, what it says, and its other members.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        if let Some(m) = self.object.str("msg") {
            write!(f, ": {m}")?;
        }
        for (name, value) in self.object.iter() {
            let name = String::from_utf8_lossy(name);
            match value {
                _ if ["cmd", "msg"].contains(&&*name) => {}
                Value::Blob(b) => write!(f, ", {name} {:?}", String::from_utf8_lossy(b))?,
                Value::Int(i) => write!(f, ", {name} {i}")?,
                other => write!(f, ", {name} {other:?}")?,
            }
        }
        Ok(())
    }
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
    /// Those that weren't taken yet, where they are wanted.
    commands: Option<VecDeque<Command>>,
    found: Findings,
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
            header: Header::default(),
            headed: false,
            back: None,
            followed: 0,
            from_zero: false,
            tracks: Vec::new(),
            unknown: Vec::new(),
            commands: None,
            found: Findings::new(ID),
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

    /// From now on commands are kept until [`Self::next_command`] takes them, up to [`limits::COMMANDS`].
    pub fn want_commands(&mut self) {
        self.commands.get_or_insert_default();
    }

    /// The next command that lies before what was polled last.
    pub fn next_command(&mut self) -> Option<Command> {
        self.commands.as_mut()?.pop_front()
    }

    fn command(&mut self, head: PacketHead, offset: u64, object: Object) {
        let command = Command { offset, object };
        self.node(head, offset, || command.to_string());
        match &mut self.commands {
            Some(all) if all.len() < limits::COMMANDS => all.push_back(command),
            Some(_) => self.problem(offset, head.kind.name(), ErrorKind::Limit("commands that wait")),
            None => {}
        }
    }

    fn problem(&mut self, offset: u64, path: &'static str, kind: ErrorKind) {
        self.found.problem(offset, path, kind);
    }

    fn fail(&mut self, offset: u64, path: &'static str, kind: ErrorKind) -> bool {
        self.found.fail(offset, path, kind);
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
                    Ok(o) => self.command(head, offset, o),
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
        let len = u64::from(head.len) + PacketHead::LEN as u64;
        self.found.node(0, offset, len, head.kind.name(), detail);
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
            self.found.track(info);
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
        self.found.packet(packet, at);
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
                self.problem(at, "", ErrorKind::Sync("no packet here; went on at the next"));
                self.state = State::Packet;
                return true;
            }
            passed += self.queue.skip(1) as u64;
        }
        if self.ended {
            self.problem(self.queue.offset() - passed, "", ErrorKind::Sync("no packet from here to the end"));
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
        if data.is_empty() || self.found.error().is_some() || self.state == State::Done {
            return;
        }
        if let State::Seek(to) = self.state {
            if self.queue.land(to, offset, &data) {
                self.state = State::Packet;
                self.ended = false;
            }
            return;
        }
        self.queue.push(data);
    }

    fn end(&mut self) {
        self.ended = true;
    }

    fn poll(&mut self) -> Result<Demuxed, FormatError> {
        loop {
            if let Some(found) = self.found.pop() {
                return found;
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
        if self.found.error().is_some() || self.back.is_some() {
            return Err(refuse(ErrorKind::Unsupported("seeking before the header")));
        }
        let Some((time, offset)) = self.header.key_before(to) else {
            return Err(refuse(ErrorKind::Unsupported("seeking without tables in the header")));
        };
        self.found.seek();
        self.go(offset);
        Ok(time)
    }

    fn packet_offset(&self) -> Option<u64> {
        self.found.packet_offset()
    }

    fn index(&self) -> Option<Index> {
        if self.back.is_some() {
            return None;
        }
        self.header.index()
    }

    fn want_nodes(&mut self) {
        self.found.want_nodes();
    }
}

#[cfg(test)]
mod tests {
    use super::super::packet::packet;
    use super::*;
    use mist_core::format::Demuxer as _;
    use mist_core::gather::Gather;
    use mist_core::media::Media;

    fn header(extra: &[(&str, i64)], tracks: i64) -> Vec<u8> {
        let mut list = Object::new();
        for i in 0..tracks {
            list.set(&format!("t{i}"), Object::new().with("trackid", i + 1).with("codec", "VP8"));
        }
        let mut o = Object::new().with("live", 1).with("version", 4).with("tracks", list);
        for (name, v) in extra {
            o.set(name, *v);
        }
        packet(PacketKind::Header, &o).to_vec()
    }

    fn media(track: u32, time: u64) -> Vec<u8> {
        let mut g = Gather::new();
        let data = Bytes::from(vec![time as u8; 30]);
        MediaPacket { track, time, key: true, data, ..MediaPacket::default() }.write(false, &mut g);
        g.to_vec()
    }

    /// Times of packets, problems with their offsets, and how it ended.
    type Seen = (Vec<i64>, Vec<(u64, ErrorKind)>, Option<FormatError>);

    fn run(file: &[u8], step: usize) -> Seen {
        let mut d = Demuxer::new();
        let (mut seen, mut at): (Seen, usize) = Default::default();
        for _ in 0..file.len() * 4 + 1000 {
            match d.poll() {
                Ok(Demuxed::Media(Media::Packet(p))) => seen.0.push(p.dts.as_millis()),
                Ok(Demuxed::Problem(e)) => seen.1.push((e.offset, e.kind)),
                Ok(Demuxed::Need(want)) => {
                    if let Want::At { offset, .. } = want {
                        at = (offset as usize).min(file.len());
                    }
                    let n = step.min(file.len() - at);
                    if n == 0 {
                        d.end();
                    }
                    d.push(at as u64, Bytes::copy_from_slice(&file[at..at + n]));
                    at += n;
                }
                Ok(Demuxed::End) => return seen,
                Ok(_) => {}
                Err(e) => {
                    seen.2 = Some(e);
                    return seen;
                }
            }
        }
        panic!("no end");
    }

    #[test]
    fn damage_is_passed_over_however_it_is_split() {
        let head = header(&[], 1);
        let at = head.len() as u64;
        let unknown = ErrorKind::Malformed("packet of a track that the header hasn't");
        let mut bad_object = media(1, 20);
        bad_object[8 + 12] = 7;
        let mut long = media(1, 30);
        long[4] = 0x7f;
        let noise = b"xDTP2DTSC\0\0\0\x05DTDTP2\xff\xff\xff\xff".to_vec();
        let damaged = ErrorKind::Sync("no packet here; went on at the next");
        for (parts, times, problems) in [
            (vec![media(1, 10), media(1, 20)], vec![10, 20], vec![]),
            (vec![media(2, 10), media(2, 11), media(1, 20)], vec![20], vec![(at, unknown)]),
            (
                vec![bad_object, media(1, 30)],
                vec![30],
                vec![(at + 20, ErrorKind::Malformed("media packet without object"))],
            ),
            (vec![noise, media(1, 5)], vec![5], vec![(at, damaged)]),
            (
                vec![long, media(1, 5)],
                vec![5],
                vec![(at, ErrorKind::Limit("length of a packet")), (at, damaged)],
            ),
            (
                vec![media(1, 5), b"DTnothing".to_vec()],
                vec![5],
                vec![(at + media(1, 5).len() as u64, ErrorKind::Sync("no packet from here to the end"))],
            ),
        ] {
            let file = [head.clone(), parts.concat()].concat();
            for step in [1, 2, 7, 188, file.len()] {
                assert_eq!(run(&file, step), (times.clone(), problems.clone(), None), "in steps of {step}");
            }
        }
    }

    #[test]
    fn every_truncation_ends() {
        let file = [header(&[], 2), media(1, 10), media(2, 10), header(&[], 3), media(3, 12)].concat();
        let whole = [header(&[], 2).len(), media(1, 10).len(), media(2, 10).len(), header(&[], 3).len()];
        let ends: Vec<_> = whole
            .iter()
            .scan(0, |at, n| {
                *at += n;
                Some(*at)
            })
            .chain([file.len()])
            .collect();
        for cut in 0..=file.len() {
            let got = run(&file[..cut], 5);
            let kind = got.2.as_ref().map(|e| e.kind);
            assert_eq!(kind, (!ends.contains(&cut)).then_some(ErrorKind::Truncated), "{cut}");
            assert!(got.1.is_empty(), "{cut}");
        }
        assert_eq!(
            run(b"FLV\x01\x05\0\0\0\x09", 4).2.unwrap().kind,
            ErrorKind::Malformed("no packet begins here")
        );
        assert_eq!(run(b"DTSC\0\0\0\x04\xe0\0\0\xee", 4).2.unwrap().path, "DTSC/tracks");
    }

    #[test]
    fn a_fuller_header_elsewhere_is_used() {
        let front = header(&[("moreheader", 1)], 0).len();
        let body = media(1, 10);
        let more = (front + body.len()) as i64;
        let file = [header(&[("moreheader", more)], 0), body.clone(), header(&[], 1)].concat();
        for step in [1, 9, file.len()] {
            assert_eq!(run(&file, step), (vec![10], vec![], None));
        }
        // Beyond the end, and round in circles.
        let lost = [header(&[("moreheader", 1 << 40)], 1), body.clone()].concat();
        let (times, problems, error) = run(&lost, 9);
        assert_eq!((times, error), (vec![10], None));
        assert_eq!(problems, [(1 << 40, ErrorKind::Truncated)]);
        let chain: Vec<u8> = (1..=limits::MORE_HEADERS as usize + 2)
            .flat_map(|n| header(&[("moreheader", (n * header(&[("moreheader", 0)], 1).len()) as i64)], 1))
            .chain(body)
            .collect();
        assert_eq!(run(&chain, 4096).0, [10]);
    }

    #[test]
    fn ids_from_zero_move_by_one() {
        let list = Object::new()
            .with("a", Object::new().with("trackid", 0).with("codec", "VP8"))
            .with("b", Object::new().with("trackid", 1).with("codec", "AAC"))
            .with("c", Object::new().with("trackid", 1).with("codec", "AAC"))
            .with("d", Object::new().with("trackid", 3).with("codec", "rawts"));
        let head = packet(PacketKind::Header, &Object::new().with("tracks", list));
        let mut d = Demuxer::new();
        d.push(0, [&head[..], &media(1, 7)].concat().into());
        let mut problems = 0;
        let mut tracks = Vec::new();
        loop {
            match d.poll().unwrap() {
                Demuxed::Media(Media::Track(t)) => tracks.push((t.id.0, t.codec)),
                Demuxed::Media(Media::Packet(p)) => assert_eq!(p.track.0, 2),
                Demuxed::Problem(_) => problems += 1,
                _ => break,
            }
        }
        assert_eq!((tracks, problems), (vec![(1, Codec::Vp8), (2, Codec::Aac)], 2));
    }

    #[test]
    fn commands_wait_for_whoever_wants_them() {
        let refusal = Object::new().with("cmd", "error").with("msg", "no").with("code", 4);
        let one = packet(PacketKind::Command, &refusal);
        let all = Bytes::from([header(&[], 1), one.repeat(limits::COMMANDS + 1), media(1, 7)].concat());
        for wanted in [true, false] {
            let mut d = Demuxer::new();
            if wanted {
                d.want_commands();
            }
            d.push(0, all.clone());
            d.end();
            let mut problems = Vec::new();
            loop {
                match d.poll().unwrap() {
                    Demuxed::Problem(e) => problems.push(e.kind),
                    Demuxed::End => break,
                    _ => {}
                }
            }
            let taken: Vec<_> = std::iter::from_fn(|| d.next_command()).collect();
            assert!(
                taken.iter().all(|c| c.is_refusal() && c.to_string() == "error: no, code 4"),
                "{taken:?}"
            );
            let limit = ErrorKind::Limit("commands that wait");
            assert_eq!(
                (taken.len(), problems),
                if wanted { (limits::COMMANDS, vec![limit]) } else { (0, vec![]) }
            );
        }
    }

    #[test]
    fn a_push_may_begin_before_what_was_asked_for() {
        let front = header(&[("moreheader", 1)], 0).len();
        let more = (front + media(1, 10).len()) as i64;
        let file = [header(&[("moreheader", more)], 0), media(1, 10), header(&[], 1)].concat();
        let mut d = Demuxer::new();
        d.push(0, Bytes::copy_from_slice(&file[..front]));
        let (mut times, mut jumps) = (Vec::new(), 0);
        loop {
            match d.poll().unwrap() {
                Demuxed::Need(Want::At { offset, .. }) => {
                    jumps += 1;
                    let from = offset as usize - 5;
                    d.push(offset - 5, Bytes::copy_from_slice(&file[from..from + 3]));
                    d.push(offset - 5, Bytes::copy_from_slice(&file[from..]));
                }
                Demuxed::Need(Want::Next) => d.end(),
                Demuxed::Media(Media::Packet(p)) => times.push(p.dts.as_millis()),
                Demuxed::End => break,
                _ => {}
            }
        }
        assert_eq!((times, jumps), (vec![10], 2));
    }

    #[test]
    fn limits_hold() {
        for (magic, limit) in
            [(b"DTSC", limits::HEADER), (b"DTP2", limits::PACKET), (b"DTCM", limits::COMMAND)]
        {
            let head = [&magic[..], &(limit as u32 + 1).to_be_bytes()].concat();
            assert_eq!(run(&head, 8).2.unwrap().kind, ErrorKind::Limit("length of a packet"));
        }
        let mut list = Object::new();
        list.set(
            "a",
            Object::new().with("codec", "VP8").with("init", Bytes::from(vec![0; limits::INIT + 1])),
        );
        let head = packet(PacketKind::Header, &Object::new().with("tracks", list));
        assert_eq!(run(&head, head.len()).1, [(0, ErrorKind::Limit("init data"))]);
        // Unknown tracks are reported once each, and not for ever.
        let many: Vec<u8> = (0..limits::TRACKS as u32 + 50).flat_map(|id| media(id + 9, 0)).collect();
        assert_eq!(run(&[header(&[], 1), many].concat(), 5000).1.len(), limits::TRACKS);
    }
}
