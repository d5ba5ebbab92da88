//! A transport stream to packets.

use super::audio::Audio;
use super::packet::{self, Framing, LEN, Packet, SYNC, WINDOW, find_framing};
use super::pes::{self, Assembler, Stamps};
use super::psi::{self, Program, ProgramMap, Section, Sections};
use super::scte35::Splices;
use super::stream::{self, Coding};
use super::video::Video;
use super::{Sink, error, limits};
use bytes::Bytes;
use mist_core::codec::Codec;
use mist_core::format::{Demuxed, Demuxer, ErrorKind, FormatError, Node, Want};
use mist_core::media::{self, Lang, Media, Params, TrackId, TrackInfo};
use mist_core::queue::Queue;
use mist_core::time::{Duration, Timestamp};
use std::collections::VecDeque;
use std::sync::Arc;

/// What a PID carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    /// Nothing that is used.
    Other,
    Pat,
    /// The PMT of a program: its place in the table of programs.
    Pmt(u8),
    /// An elementary stream: its place in the list of streams.
    Stream(u8),
}

/// How a stream's bytes become packets.
#[derive(Debug)]
enum Reader {
    Video(Video),
    Audio(Audio),
    Id3 { described: bool },
    Splices(Splices),
}

/// An elementary stream of the program.
#[derive(Debug)]
struct Stream {
    pid: u16,
    coding: Coding,
    lang: Option<Lang>,
    es: Assembler,
    reader: Reader,
    counter: Option<u8>,
    announced: Option<Arc<TrackInfo>>,
    scrambled_reported: bool,
}

/// A program of the PAT.
#[derive(Debug)]
struct Listed {
    program: Program,
    sections: Sections,
    /// Its PMT, which was there though it wasn't taken, and where.
    seen: Option<(Vec<u8>, u64)>,
}

/// What streams write to.
struct Out<'a> {
    queue: &'a mut VecDeque<Demuxed>,
    offset: u64,
    last: Option<i64>,
    id: TrackId,
    lang: Option<Lang>,
    announced: &'a mut Option<Arc<TrackInfo>>,
}

impl Sink for Out<'_> {
    fn describe(&mut self, codec: Codec, init: Bytes, params: Params) {
        let info = Arc::new(TrackInfo { id: self.id, codec, init, params, lang: self.lang });
        if self.announced.as_ref() != Some(&info) {
            *self.announced = Some(info.clone());
            self.queue.push_back(Demuxed::Media(Media::Track(info)));
        }
    }

    fn packet(&mut self, mut p: media::Packet) {
        p.track = self.id;
        self.queue.push_back(Demuxed::Media(Media::Packet(p)));
    }

    fn problem(&mut self, path: &'static str, kind: ErrorKind) {
        self.queue.push_back(Demuxed::Problem(error(self.offset, path, kind)));
    }

    fn any_time(&self) -> Timestamp {
        Timestamp::from_rate(self.last.unwrap_or(0), 90_000)
    }
}

impl Stream {
    fn new(pid: u16, coding: Coding, lang: Option<Lang>) -> Self {
        let (bounded, reader) = match coding {
            Coding::H264 | Coding::Hevc | Coding::Mpeg2 => (false, Reader::Video(Video::new(coding))),
            Coding::Id3 => (true, Reader::Id3 { described: false }),
            Coding::Scte35 => (true, Reader::Splices(Splices::default())),
            _ => (true, Reader::Audio(Audio::new(coding))),
        };
        Self {
            pid,
            coding,
            lang,
            es: Assembler::new(bounded),
            reader,
            counter: None,
            announced: None,
            scrambled_reported: false,
        }
    }

    fn packet(&mut self, p: &Packet<'_>, offset: u64, stamps: &mut Stamps, queue: &mut VecDeque<Demuxed>) {
        let Self { es, reader, counter, announced, lang, .. } = self;
        let Some(payload) = p.payload else { return };
        let mut out =
            Out { queue, offset, last: stamps.last(), id: TrackId(self.pid.into()), lang: *lang, announced };
        if p.scrambled {
            if !self.scrambled_reported {
                self.scrambled_reported = true;
                out.problem("", ErrorKind::Unsupported("scrambled stream"));
            }
            return;
        }
        if let Reader::Splices(s) = reader {
            s.packet(p, stamps.last().is_some(), &mut out);
            return;
        }
        let before = counter.replace(p.counter);
        if p.damaged || before.is_some_and(|c| (c + 1) & 0x0F != p.counter) {
            // a packet may be sent twice (§2.4.3.3); sixteen that are lost look the same but for the bytes
            if !p.damaged && !p.discontinuity && before == Some(p.counter) && repeats(es, p, payload) {
                return;
            }
            if es.is_open() || !p.start {
                if !p.discontinuity {
                    out.problem("", ErrorKind::Malformed("continuity_counter: packets are missing"));
                }
                es.stop();
                reader.cut(es, &mut out);
            }
            if p.damaged {
                return;
            }
        }
        let done = if p.start {
            reader.end_of_unit(es, &mut out);
            es.start(payload, stamps)
        } else {
            es.append(payload, stamps)
        };
        if let Err(e) = done {
            out.problem("PES", ErrorKind::Malformed(e));
        }
        out.last = stamps.last();
        if p.start || es.is_complete() {
            reader.run(es, &mut out);
        }
        let limit = if matches!(reader, Reader::Video(_)) { limits::MAX_PICTURE } else { limits::MAX_UNIT };
        if es.data.len() > limit {
            out.problem("PES", ErrorKind::Limit("bytes of a PES packet"));
            es.stop();
            reader.reset(es);
        }
    }

    /// What it writes to, beside the rest of it.
    fn out<'a>(
        &'a mut self,
        offset: u64,
        stamps: &Stamps,
        queue: &'a mut VecDeque<Demuxed>,
    ) -> (&'a mut Assembler, &'a mut Reader, Out<'a>) {
        let Self { es, reader, announced, .. } = self;
        let (id, lang) = (TrackId(self.pid.into()), self.lang);
        (es, reader, Out { queue, offset, last: stamps.last(), id, lang, announced })
    }

    /// There is a time for what had to wait for one.
    fn settle(&mut self, offset: u64, stamps: &Stamps, queue: &mut VecDeque<Demuxed>) {
        if let (_, Reader::Splices(s), mut out) = self.out(offset, stamps, queue) {
            s.settle(&mut out);
        }
    }

    /// No more bytes come.
    fn finish(&mut self, offset: u64, stamps: &Stamps, queue: &mut VecDeque<Demuxed>) {
        let (es, reader, mut out) = self.out(offset, stamps, queue);
        reader.end_of_unit(es, &mut out);
        match reader {
            Reader::Video(v) => v.run(es, true, &mut out),
            Reader::Splices(s) => s.settle(&mut out),
            _ => {}
        }
        es.stop();
    }
}

/// Whether a packet with the counter of the one before is that packet again.
fn repeats(es: &Assembler, p: &Packet<'_>, payload: &[u8]) -> bool {
    // the head of a unit isn't kept: what is behind it is compared
    let known = if p.start { payload.len().saturating_sub(limits::HEAD_GUESS) } else { payload.len() };
    let tail = payload.get(payload.len() - known..).unwrap_or_default();
    !tail.is_empty() && es.data.ends_with(tail)
}

impl Reader {
    /// A unit has started or ended: hands out what is complete.
    fn run(&mut self, es: &mut Assembler, out: &mut Out<'_>) {
        match self {
            Self::Video(v) => v.run(es, false, out),
            _ if es.is_complete() => self.end_of_unit(es, out),
            _ => {}
        }
    }

    /// All bytes of the unit are there.
    fn end_of_unit(&mut self, es: &mut Assembler, out: &mut Out<'_>) {
        match self {
            Self::Audio(a) => a.run(es, out),
            Self::Id3 { described } if !es.data.is_empty() => {
                if !std::mem::replace(described, true) {
                    out.describe(Codec::Id3, Bytes::new(), Params::Other);
                }
                let time = es.time_at(0).map(|(pts, _)| Timestamp::from_rate(pts, 90_000));
                // a metadata access unit cell (§2.12.4) may be around it
                let inner =
                    es.data.get(5..).filter(|d| d.starts_with(b"ID3") && !es.data.starts_with(b"ID3"));
                let data = Bytes::copy_from_slice(inner.unwrap_or(&es.data));
                es.clear();
                out.packet(media::Packet {
                    track: out.id,
                    dts: time.unwrap_or_else(|| out.any_time()),
                    cts: Duration::ZERO,
                    duration: Duration::ZERO,
                    key: true,
                    data,
                });
            }
            _ => {}
        }
    }

    /// Bytes are missing behind those that are there.
    fn cut(&mut self, es: &mut Assembler, out: &mut Out<'_>) {
        match self {
            Self::Video(v) => v.cut(es, out),
            Self::Audio(a) => a.cut(es, out),
            Self::Id3 { .. } | Self::Splices(_) => es.clear(),
        }
    }

    fn reset(&mut self, es: &mut Assembler) {
        match self {
            Self::Video(v) => v.reset(es),
            Self::Audio(a) => a.reset(es),
            Self::Id3 { .. } | Self::Splices(_) => es.clear(),
        }
    }
}

/// Everything behind the framing.
#[derive(Debug)]
struct Core {
    queue: VecDeque<Demuxed>,
    routes: Vec<Route>,
    pat: Sections,
    /// CRCs of the PAT's sections, by section number.
    pat_crcs: Vec<(u8, u32)>,
    programs: Vec<Listed>,
    /// The program that is read, and the CRC of its PMT.
    current: Option<(Program, u32)>,
    streams: Vec<Stream>,
    stamps: Stamps,
    others_reported: bool,
    nodes: bool,
    /// Packets from before the program was known.
    held: VecDeque<(u64, [u8; LEN])>,
}

impl Core {
    fn new() -> Self {
        let mut routes = vec![Route::Other; 8192];
        if let Some(r) = routes.first_mut() {
            *r = Route::Pat;
        }
        Self {
            queue: VecDeque::new(),
            routes,
            pat: Sections::default(),
            pat_crcs: Vec::new(),
            programs: Vec::new(),
            current: None,
            streams: Vec::new(),
            stamps: Stamps::new(),
            others_reported: false,
            nodes: false,
            held: VecDeque::new(),
        }
    }

    fn problem(&mut self, offset: u64, path: &'static str, kind: ErrorKind) {
        self.queue.push_back(Demuxed::Problem(error(offset, path, kind)));
    }

    fn route(&mut self, pid: u16, to: Route) {
        if let Some(r) = self.routes.get_mut(usize::from(pid)) {
            *r = to;
        }
    }

    /// Shows where a unit or section starts.
    fn node(&mut self, p: &Packet<'_>, offset: u64) {
        let name = match self.routes.get(usize::from(p.pid)) {
            Some(Route::Pat) => "PAT",
            Some(Route::Pmt(_)) => "PMT",
            Some(Route::Stream(_)) => "PES packet",
            _ if p.pid == psi::SDT_PID => "SDT",
            _ => "packet",
        };
        let mut detail = format!("PID {:#06x}", p.pid);
        for (on, what) in [
            (p.discontinuity, " discontinuity"),
            (p.random_access, " random access"),
            (p.scrambled, " scrambled"),
            (p.damaged, " damaged"),
        ] {
            detail.push_str(if on { what } else { "" });
        }
        if let Some(pcr) = p.pcr {
            detail.push_str(&format!(" PCR {:.6} s", pcr as f64 / 27e6));
        }
        if let Some(Ok(Some(h))) = p.payload.map(pes::head) {
            let mut put = |name: &str, t: Option<u64>| {
                if let Some(t) = t {
                    detail.push_str(&format!(" {name} {:.6} s", t as f64 / 90e3));
                }
            };
            put("PTS", h.pts);
            put("DTS", h.dts);
        }
        let len = LEN as u64;
        self.queue.push_back(Demuxed::Node(Node { depth: 0, offset, len, name, detail }));
    }

    #[inline]
    fn packet(&mut self, b: &[u8; LEN], offset: u64) {
        let p = match Packet::parse(b) {
            Ok(p) => p,
            Err(e) => return self.problem(offset, "", ErrorKind::Malformed(e)),
        };
        if self.nodes && p.start {
            self.node(&p, offset);
        }
        match self.routes.get(usize::from(p.pid)) {
            Some(&Route::Stream(i)) => {
                let timed = self.stamps.last().is_some();
                if let Some(s) = self.streams.get_mut(usize::from(i)) {
                    s.packet(&p, offset, &mut self.stamps, &mut self.queue);
                }
                if !timed && self.stamps.last().is_some() {
                    for s in &mut self.streams {
                        s.settle(offset, &self.stamps, &mut self.queue);
                    }
                }
            }
            Some(&Route::Pat) if !p.damaged => self.pat_packet(&p, offset),
            Some(&Route::Pmt(i)) if !p.damaged => self.pmt_packet(i, &p, offset),
            Some(Route::Other)
                if self.current.is_none() && p.payload.is_some() && p.pid != packet::NULL_PID =>
            {
                if self.held.len() >= limits::MAX_HELD {
                    self.held.pop_front();
                }
                self.held.push_back((offset, *b));
            }
            _ => {}
        }
    }

    fn pat_packet(&mut self, p: &Packet<'_>, offset: u64) {
        let mut pat = std::mem::take(&mut self.pat);
        pat.push(p, |section| match Section::of(psi::PAT, section) {
            Ok(None) => {}
            Ok(Some(s)) => self.pat_section(&s, offset),
            Err(e) => self.problem(offset, "PAT", ErrorKind::Malformed(e)),
        });
        self.pat = pat;
    }

    fn pat_section(&mut self, s: &Section<'_>, offset: u64) {
        let known = self.pat_crcs.iter().find(|k| k.0 == s.number).map(|k| k.1);
        if known == Some(s.crc) {
            return;
        }
        let Some(list) = psi::programs(s) else { return };
        if known.is_some() {
            // another table: what the old one listed is forgotten, but for the program that is read
            self.pat_crcs.clear();
            for l in std::mem::take(&mut self.programs) {
                self.route(l.program.pid, Route::Other);
            }
        }
        self.pat_crcs.push((s.number, s.crc));
        let mut refused = None;
        for p in list {
            match p {
                Ok(_) if self.programs.len() >= limits::MAX_PROGRAMS => {
                    refused = Some(ErrorKind::Limit("programs in a PAT"));
                }
                Ok(program) => {
                    if self.programs.iter().any(|l| l.program.pid == program.pid) {
                        refused = Some(ErrorKind::Unsupported("programs that share a PMT PID"));
                        continue;
                    }
                    self.programs.push(Listed { program, sections: Sections::default(), seen: None });
                }
                Err(e) => refused = Some(ErrorKind::Malformed(e)),
            }
        }
        if let Some(kind) = refused {
            self.problem(offset, "PAT", kind);
        }
        if let Some((current, _)) = self.current {
            if self.programs.iter().any(|l| l.program == current) {
                self.listen();
                return;
            }
            if s.last > 0 {
                self.listen();
                return; // it may be in another section
            }
            self.drop_streams(offset, |_| false);
            self.current = None;
        }
        self.listen();
    }

    /// Routes the PMTs: all while no program is chosen, then only that of the chosen one.
    fn listen(&mut self) {
        let current = self.current.map(|c| c.0);
        for i in 0..self.programs.len() {
            let Some(l) = self.programs.get(i) else { return };
            let pid = l.program.pid;
            let is_stream = self.streams.iter().any(|s| s.pid == pid);
            if current.is_none_or(|c| c == l.program) {
                self.route(pid, Route::Pmt(i as u8));
            } else if !is_stream {
                self.route(pid, Route::Other);
            }
        }
    }

    fn pmt_packet(&mut self, i: u8, p: &Packet<'_>, offset: u64) {
        let Some(l) = self.programs.get_mut(usize::from(i)) else { return };
        let program = l.program;
        let mut sections = std::mem::take(&mut l.sections);
        sections.push(p, |section| match Section::of(psi::PMT, section) {
            Ok(Some(s)) if s.extension == program.number => {
                self.pmt_section(i, program, &s, section, false, offset);
            }
            Ok(_) => {}
            Err(e) => self.problem(offset, "PMT", ErrorKind::Malformed(e)),
        });
        if let Some(l) = self.programs.get_mut(usize::from(i)) {
            l.sections = sections;
        }
    }

    /// `section` is all of `s`. With `last`, no other program will come.
    fn pmt_section(
        &mut self,
        i: u8,
        program: Program,
        s: &Section<'_>,
        section: &[u8],
        last: bool,
        offset: u64,
    ) {
        match self.current {
            Some((current, crc)) if current != program || crc == s.crc => return,
            _ => {}
        }
        let map = match ProgramMap::parse(s, program.pid) {
            Ok(Some(map)) => map,
            Ok(None) => return,
            Err(e) => return self.problem(offset, "PMT", ErrorKind::Malformed(e)),
        };
        let coded = |es| (es, stream::identify(&es, map.descriptors));
        let streams: Vec<_> = map.streams.iter().copied().map(coded).collect();
        if self.current.is_none() {
            if !streams.iter().any(|s| s.1.is_ok()) {
                return;
            }
            let Some(l) = self.programs.get_mut(usize::from(i)) else { return };
            // the first program, or one whose PMT comes again before the first one's came
            if i > 0 && l.seen.is_none() && !last {
                l.seen = Some((section.to_vec(), offset));
                return;
            }
        }
        let first = self.current.is_none();
        self.current = Some((program, s.crc));
        if first && self.programs.len() > 1 && !self.others_reported {
            self.others_reported = true;
            self.problem(offset, "PAT", ErrorKind::Unsupported("further programs are left out"));
        }
        if let Some(e) = map.rejected {
            self.problem(offset, "PMT", ErrorKind::Malformed(e));
        }
        self.drop_streams(offset, |s| {
            streams.iter().any(|(es, coding)| {
                es.pid == s.pid && *coding == Ok(s.coding) && stream::language(es.descriptors) == s.lang
            })
        });
        for (es, coding) in streams {
            match coding {
                Ok(coding) => {
                    if !self.streams.iter().any(|s| s.pid == es.pid) {
                        self.streams.push(Stream::new(es.pid, coding, stream::language(es.descriptors)));
                    }
                }
                Err(e) => self.problem(offset, "PMT", ErrorKind::Unsupported(e)),
            }
        }
        self.listen();
        for i in 0..self.streams.len() {
            if let Some(pid) = self.streams.get(i).map(|s| s.pid) {
                self.route(pid, Route::Stream(i as u8));
            }
        }
        if first {
            for (offset, b) in std::mem::take(&mut self.held) {
                self.packet(&b, offset);
            }
        }
    }

    /// Ends the streams that aren't kept.
    fn drop_streams(&mut self, offset: u64, mut keep: impl FnMut(&Stream) -> bool) {
        for mut s in std::mem::take(&mut self.streams) {
            self.route(s.pid, Route::Other);
            if keep(&s) {
                let i = self.streams.len() as u8;
                self.route(s.pid, Route::Stream(i));
                self.streams.push(s);
            } else {
                s.finish(offset, &self.stamps, &mut self.queue);
                if let Some(info) = s.announced {
                    self.queue.push_back(Demuxed::Media(Media::Gone(info.id)));
                }
            }
        }
    }

    fn finish(&mut self, offset: u64) {
        if self.current.is_none()
            && let Some(i) = self.programs.iter().position(|l| l.seen.is_some())
            && let Some(l) = self.programs.get_mut(i)
            && let (program, Some((section, at))) = (l.program, l.seen.take())
            && let Ok(s) = Section::parse(&section)
        {
            self.pmt_section(i as u8, program, &s, &section, true, at);
        }
        for s in &mut self.streams {
            s.finish(offset, &self.stamps, &mut self.queue);
        }
        if self.current.is_none() {
            self.problem(offset, "PAT", ErrorKind::Malformed("no program"));
        }
    }
}

/// Reads MPEG transport streams. See the [module](super) for what it promises.
#[derive(Debug)]
pub struct TsDemuxer {
    input: Queue,
    ended: bool,
    framing: Option<usize>,
    /// Bytes without framing since the last packet.
    searched: usize,
    core: Core,
    done: Option<Result<(), FormatError>>,
}

impl Default for TsDemuxer {
    fn default() -> Self {
        Self::new()
    }
}

impl TsDemuxer {
    /// A demuxer at the start of its input.
    pub fn new() -> Self {
        Self { input: Queue::new(), ended: false, framing: None, searched: 0, core: Core::new(), done: None }
    }

    /// Reads packets until something comes out or bytes are missing; true in the second case.
    fn packets(&mut self, stride: usize) -> bool {
        while self.core.queue.is_empty() {
            let run = self.input.front();
            let at = self.input.offset();
            let mut used = 0;
            while let Some(b) = run.get(used..used + stride).and_then(<[u8]>::first_chunk::<LEN>) {
                if b.first() != Some(&SYNC) {
                    break;
                }
                self.core.packet(b, at + used as u64);
                used += stride;
                if !self.core.queue.is_empty() {
                    break;
                }
            }
            if used > 0 {
                self.searched = 0;
                self.input.skip(used);
                continue;
            }
            // a packet across chunks, the last one without what follows it, or no packet
            if self.input.len() < stride && !(self.ended && self.input.len() >= LEN) {
                return true;
            }
            let Some(b) = self.input.peek::<LEN>() else { return true };
            if b.first() != Some(&SYNC) {
                self.framing = None;
                self.core.problem(at, "", ErrorKind::Malformed("sync byte"));
                return false;
            }
            self.core.packet(&b, at);
            self.searched = 0;
            self.input.skip(stride);
        }
        false
    }

    /// Looks for the framing; true when bytes are missing.
    fn search(&mut self) -> Result<bool, FormatError> {
        loop {
            let n = self.input.len().min(WINDOW);
            if n == 0 || n < WINDOW && !self.ended {
                return Ok(true);
            }
            let mut window = [0; WINDOW];
            let Some(w) = window.get_mut(..n) else { return Ok(true) };
            self.input.peek_into(0, w);
            if let Some(Framing { skip, stride }) = find_framing(w, self.ended && n < WINDOW) {
                self.input.skip(skip);
                self.framing = Some(stride);
                return Ok(false);
            }
            // what is not the start of a packet in this window never is
            let n = self.input.skip(packet::MAX_STRIDE);
            self.searched += n;
            if self.searched > limits::MAX_SEARCH {
                let kind = ErrorKind::Malformed("no transport packets");
                return Err(error(self.input.offset(), "", kind));
            }
        }
    }

    fn end_now(&mut self) {
        let at = self.input.offset();
        if self.framing.is_none() && self.searched as u64 == at && at > 0 {
            self.done = Some(Err(error(0, "", ErrorKind::Malformed("no transport packets"))));
            return;
        }
        if !self.input.is_empty() {
            self.core.problem(at, "", ErrorKind::Truncated);
        }
        if at > 0 || !self.input.is_empty() {
            self.core.finish(at);
        }
        self.done = Some(Ok(()));
    }
}

impl Demuxer for TsDemuxer {
    fn push(&mut self, offset: u64, data: Bytes) {
        if self.input.is_empty() && offset != self.input.offset() {
            self.input.reset(offset);
        }
        self.input.push(data);
    }

    fn end(&mut self) {
        self.ended = true;
    }

    fn poll(&mut self) -> Result<Demuxed, FormatError> {
        loop {
            if let Some(d) = self.core.queue.pop_front() {
                return Ok(d);
            }
            if let Some(done) = &self.done {
                return done.clone().map(|()| Demuxed::End);
            }
            let starved = match self.framing {
                Some(stride) => self.packets(stride),
                None => match self.search() {
                    Ok(starved) => starved,
                    Err(e) => {
                        self.done = Some(Err(e));
                        continue;
                    }
                },
            };
            if starved && self.core.queue.is_empty() {
                if !self.ended {
                    return Ok(Demuxed::Need(Want::Next));
                }
                self.end_now();
            }
        }
    }

    fn want_nodes(&mut self) {
        self.core.nodes = true;
    }

    fn seek(&mut self, _to: Timestamp) -> Result<Timestamp, FormatError> {
        Err(error(self.input.offset(), "", ErrorKind::Unsupported("seeking in a transport stream")))
    }
}
