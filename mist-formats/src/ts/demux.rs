//! A transport stream to packets.

use super::elementary::Stream;
use super::packet::{self, Framing, LEN, Packet, SYNC, WINDOW, find_framing};
use super::pes::{self, Stamps};
use super::psi::{self, Program, ProgramMap, Section, Sections};
use super::stream;
use super::{ID, error, limits};
use bytes::Bytes;
use mist_core::findings::Findings;
use mist_core::format::{Demuxed, Demuxer, ErrorKind, FormatError, Node, Want};
use mist_core::queue::Queue;
use mist_core::time::Timestamp;
use std::collections::VecDeque;

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

/// A program of the PAT.
#[derive(Debug)]
struct Listed {
    program: Program,
    sections: Sections,
    /// Its PMT, which was there though it wasn't taken, and where.
    seen: Option<(Vec<u8>, u64)>,
}

/// Everything behind the framing.
#[derive(Debug)]
struct Core {
    found: Findings,
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
    /// Packets from before the program was known, and whether they are read now, having been shown when they came.
    held: VecDeque<(u64, [u8; LEN])>,
    again: bool,
}

impl Core {
    fn new() -> Self {
        let mut routes = vec![Route::Other; 8192];
        if let Some(r) = routes.first_mut() {
            *r = Route::Pat;
        }
        Self {
            found: Findings::new(ID),
            routes,
            pat: Sections::default(),
            pat_crcs: Vec::new(),
            programs: Vec::new(),
            current: None,
            streams: Vec::new(),
            stamps: Stamps::new(),
            others_reported: false,
            held: VecDeque::new(),
            again: false,
        }
    }

    fn problem(&mut self, offset: u64, path: &'static str, kind: ErrorKind) {
        self.found.problem(offset, path, kind);
    }

    fn route(&mut self, pid: u16, to: Route) {
        if let Some(r) = self.routes.get_mut(usize::from(pid)) {
            *r = to;
        }
    }

    /// Shows where a unit or section starts.
    fn node(&mut self, p: &Packet<'_>, offset: u64) {
        let head = p.payload.map(pes::head);
        let name = match self.routes.get(usize::from(p.pid)) {
            Some(Route::Pat) => "PAT",
            Some(Route::Pmt(_)) => "PMT",
            Some(Route::Stream(_)) => "PES packet",
            _ if p.pid == psi::SDT_PID => "SDT",
            _ if matches!(head, Some(Ok(Some(_)))) => "PES packet",
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
        if let Some(Ok(Some(h))) = head {
            let mut put = |name: &str, t: Option<u64>| {
                if let Some(t) = t {
                    detail.push_str(&format!(" {name} {:.6} s", t as f64 / 90e3));
                }
            };
            put("PTS", h.pts);
            put("DTS", h.dts);
        }
        self.found.show(Node { depth: 0, offset, len: LEN as u64, name, detail, values: Vec::new() });
    }

    #[inline]
    fn packet(&mut self, b: &[u8; LEN], offset: u64) {
        let p = match Packet::parse(b) {
            Ok(p) => p,
            Err(kind) => return self.problem(offset, "", kind),
        };
        if self.found.wants_nodes() && p.start && !self.again {
            self.node(&p, offset);
        }
        match self.routes.get(usize::from(p.pid)) {
            Some(&Route::Stream(i)) => {
                let timed = self.stamps.last().is_some();
                if let Some(s) = self.streams.get_mut(usize::from(i)) {
                    s.packet(&p, offset, &mut self.stamps, &mut self.found);
                }
                if !timed && self.stamps.last().is_some() {
                    for s in &mut self.streams {
                        s.settle(offset, &self.stamps, &mut self.found);
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
            Err(kind) => self.problem(offset, "PAT", kind),
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
            Err(kind) => self.problem(offset, "PMT", kind),
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
            self.again = true;
            for (offset, b) in std::mem::take(&mut self.held) {
                self.packet(&b, offset);
            }
            self.again = false;
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
                s.finish(offset, &self.stamps, &mut self.found);
                if let Some(info) = s.announced {
                    self.found.gone(info.id);
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
            s.finish(offset, &self.stamps, &mut self.found);
        }
        if self.current.is_none() {
            self.problem(offset, "PAT", ErrorKind::Missing("no program"));
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
    done: bool,
}

impl Default for TsDemuxer {
    fn default() -> Self {
        Self::new()
    }
}

impl TsDemuxer {
    /// A demuxer at the start of its input.
    pub fn new() -> Self {
        Self { input: Queue::new(), ended: false, framing: None, searched: 0, core: Core::new(), done: false }
    }

    /// Reads packets until something comes out or bytes are missing; true in the second case.
    fn packets(&mut self, stride: usize) -> bool {
        while self.core.found.is_empty() {
            let run = self.input.front();
            let at = self.input.offset();
            let mut used = 0;
            while let Some(b) = run.get(used..used + stride).and_then(<[u8]>::first_chunk::<LEN>) {
                if b.first() != Some(&SYNC) {
                    break;
                }
                self.core.packet(b, at + used as u64);
                used += stride;
                if !self.core.found.is_empty() {
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
                self.core.problem(at, "", ErrorKind::Sync("sync byte"));
                return false;
            }
            self.core.packet(&b, at);
            self.searched = 0;
            self.input.skip(stride);
        }
        false
    }

    /// Looks for the framing; true when bytes are missing.
    fn search(&mut self) -> bool {
        loop {
            let n = self.input.len().min(WINDOW);
            if n == 0 || n < WINDOW && !self.ended {
                return true;
            }
            let mut window = [0; WINDOW];
            let Some(w) = window.get_mut(..n) else { return true };
            self.input.peek_into(0, w);
            if let Some(Framing { skip, stride }) = find_framing(w, self.ended && n < WINDOW) {
                self.input.skip(skip);
                self.framing = Some(stride);
                return false;
            }
            // what is not the start of a packet in this window never is
            let n = self.input.skip(packet::MAX_STRIDE);
            self.searched += n;
            if self.searched > limits::MAX_SEARCH {
                self.core.found.fail(self.input.offset(), "", ErrorKind::Sync("no transport packets"));
                return false;
            }
        }
    }

    fn end_now(&mut self) {
        let at = self.input.offset();
        if self.framing.is_none() && self.searched as u64 == at && at > 0 {
            self.core.found.fail(0, "", ErrorKind::Sync("no transport packets"));
            return;
        }
        if !self.input.is_empty() {
            self.core.problem(at, "", ErrorKind::Truncated);
        }
        if at > 0 || !self.input.is_empty() {
            self.core.finish(at);
        }
        self.done = true;
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
            if let Some(found) = self.core.found.pop() {
                return found;
            }
            if self.done {
                return Ok(Demuxed::End);
            }
            let starved = match self.framing {
                Some(stride) => self.packets(stride),
                None => self.search(),
            };
            if starved && self.core.found.is_empty() {
                if !self.ended {
                    return Ok(Demuxed::Need(Want::Next));
                }
                self.end_now();
            }
        }
    }

    fn want_nodes(&mut self) {
        self.core.found.want_nodes();
    }

    fn packet_offset(&self) -> Option<u64> {
        self.core.found.packet_offset()
    }

    fn seek(&mut self, _to: Timestamp) -> Result<Timestamp, FormatError> {
        Err(error(self.input.offset(), "", ErrorKind::Unsupported("seeking in a transport stream")))
    }
}

#[cfg(test)]
mod tests {
    use super::super::mux::TsMuxer;
    use super::*;
    use mist_core::codec::aac::Asc;
    use mist_core::codec::{Codec, h264, nal};
    use mist_core::format::Muxer;
    use mist_core::gather::Gather;
    use mist_core::media::Media;
    use mist_core::media::{Lang, Packet as Media1, TrackId, TrackInfo};
    use mist_core::time::Duration;
    use proptest::prelude::*;
    use std::sync::Arc;

    const SPS: &[u8] = &[
        0x67, 0x64, 0x00, 0x1f, 0xac, 0xb4, 0x02, 0x80, 0x2d, 0xd0, 0x80, 0x00, 0x00, 0x03, 0x00, 0x80, 0x00,
        0x00, 0x18, 0x07, 0x8c, 0x19, 0x50,
    ];
    const PPS: &[u8] = &[0x68, 0xee, 0x3c, 0xb0];

    fn video() -> Arc<TrackInfo> {
        let avcc = h264::Avcc::from_nals([SPS, PPS]).unwrap();
        let params = avcc.first_sps().unwrap().params();
        Arc::new(TrackInfo::new(TrackId(1), Codec::H264, avcc.build(), params))
    }

    fn audio() -> Arc<TrackInfo> {
        let asc = Asc::new(2, 48_000, 2);
        let init = asc.build().unwrap();
        Arc::new(TrackInfo::new(TrackId(2), Codec::Aac, init, asc.params()).with_lang(Lang::new("eng")))
    }

    fn picture(n: i64, key: bool, len: usize) -> Media1 {
        let mut au = (len as u32 + 2).to_be_bytes().to_vec();
        au.extend_from_slice(&[if key { 0x65 } else { 0x41 }, 0x88]);
        au.extend((0..len).map(|i| (i * 7 + n as usize) as u8 | 1));
        Media1 {
            track: TrackId(1),
            dts: Timestamp::from_millis(n * 40),
            cts: Duration::from_millis(80),
            duration: Duration::ZERO,
            key,
            data: au.into(),
        }
    }

    fn sound(n: i64) -> Media1 {
        Media1 {
            track: TrackId(2),
            dts: Timestamp::from_rate(n * 1024, 48_000),
            cts: Duration::ZERO,
            duration: Duration::ZERO,
            key: true,
            data: vec![n as u8; 300].into(),
        }
    }

    /// Two seconds with a keyframe every ten pictures.
    fn packets() -> Vec<Media1> {
        let mut all: Vec<_> =
            (0..50).map(|n| picture(n, n % 10 == 0, 2000)).chain((0..90).map(sound)).collect();
        all.sort_by_key(|p| p.dts);
        all
    }

    fn file(packets: &[Media1]) -> Vec<u8> {
        let mut out = Gather::new();
        let mut m = TsMuxer::new();
        m.start(&[video(), audio()], None, &mut out).unwrap();
        for p in packets {
            m.packet(p, &mut out).unwrap();
        }
        out.to_vec()
    }

    #[derive(Debug, Default)]
    struct Got {
        tracks: Vec<Arc<TrackInfo>>,
        packets: Vec<Media1>,
        gone: usize,
        problems: Vec<FormatError>,
        error: Option<FormatError>,
    }

    fn demux(data: &[u8]) -> Got {
        let mut d = TsDemuxer::new();
        d.push(0, Bytes::copy_from_slice(data));
        d.end();
        let mut got = Got::default();
        loop {
            match d.poll() {
                Ok(Demuxed::Media(Media::Track(t))) => got.tracks.push(t),
                Ok(Demuxed::Media(Media::Packet(p))) => got.packets.push(p),
                Ok(Demuxed::Media(Media::Gone(_))) => got.gone += 1,
                Ok(Demuxed::Problem(e)) => got.problems.push(e),
                Ok(Demuxed::End) => return got,
                Ok(_) => {}
                Err(e) => {
                    got.error = Some(e);
                    return got;
                }
            }
        }
    }

    /// Payload without parameter sets, by decoding time.
    fn content(packets: &[Media1]) -> Vec<(u32, i64, Vec<u8>)> {
        let mut all: Vec<_> = packets
            .iter()
            .map(|p| {
                let bare = match p.data.get(4) {
                    Some(0x67) => nal::units(&p.data).last().map(<[u8]>::to_vec).unwrap_or_default(),
                    Some(0x65 | 0x41) if p.data.len() > 2000 => p.data[4..].to_vec(),
                    _ => p.data.to_vec(),
                };
                (u32::from(p.data.len() > 1000), p.dts.to_rate(90_000), bare)
            })
            .collect();
        all.sort();
        all
    }

    fn sent(packets: &[Media1]) -> Vec<(u32, i64, Vec<u8>)> {
        let mut all = content(packets);
        for p in &mut all {
            p.1 += 126_000;
        }
        all
    }

    #[test]
    fn round_trip() {
        let sent_packets = packets();
        let got = demux(&file(&sent_packets));
        assert_eq!(got.problems, []);
        assert_eq!(got.tracks.len(), 2);
        for sent in [video(), audio()] {
            let back = got.tracks.iter().find(|t| t.codec == sent.codec).unwrap();
            assert_eq!((&back.init, back.params, back.lang), (&sent.init, sent.params, sent.lang));
        }
        assert!(content(&got.packets) == sent(&sent_packets));
        assert!(
            got.packets.iter().filter(|p| p.data.len() > 1000).all(|p| p.cts == Duration::from_millis(80))
        );
    }

    #[test]
    fn packets_sent_twice_change_nothing() {
        let data = file(&packets());
        let clean = demux(&data);
        let twice: Vec<u8> = data.chunks(LEN).flat_map(|p| [p, p].concat()).collect();
        let got = demux(&twice);
        assert_eq!(got.problems, []);
        assert_eq!(got.packets, clean.packets);
    }

    #[test]
    fn a_lost_packet_costs_what_was_in_it_and_is_reported() {
        let data = file(&packets());
        let clean = demux(&data);
        let n = data.len() / LEN;
        // behind the first picture, without whose parameter sets nothing comes before the next keyframe
        for lost in (20..n).step_by(7) {
            let mut d = data.clone();
            d.drain(lost * LEN..(lost + 1) * LEN);
            let got = demux(&d);
            assert!(got.error.is_none());
            assert!(got.problems.len() <= 2, "{:?}", got.problems);
            assert!(clean.packets.len() - got.packets.len() <= 1, "packet {lost}");
            let whole = got.packets.iter().filter(|p| clean.packets.contains(p)).count();
            assert!(clean.packets.len() - whole <= 2, "packet {lost}");
        }
    }

    #[test]
    fn joining_anywhere_and_garbage_between_packets() {
        let data = file(&packets());
        let clean = demux(&data);
        for from in [1, 100, 187, 5 * LEN + 50, data.len() / 2 + 3] {
            let got = demux(&data[from..]);
            assert!(got.error.is_none());
            assert!(got.packets.iter().filter(|p| !clean.packets.contains(p)).count() <= 1, "from {from}");
            assert!(got.packets.len() > 20, "from {from}");
        }
        let mut d = data;
        let at = 40 * LEN;
        d.splice(at..at, [0x47; 77].into_iter().chain([3; 500]));
        let got = demux(&d);
        assert!(got.error.is_none() && got.problems.iter().any(|p| p.kind == ErrorKind::Sync("sync byte")));
        assert!(clean.packets.len() - got.packets.len() <= 2);
    }

    #[test]
    fn input_without_packets_ends_with_an_error() {
        assert!(demux(&vec![0; 3 << 20]).error.is_some());
        assert!(demux(&[0x47; 20]).error.is_some());
        let empty = demux(&[]);
        assert!(empty.error.is_none() && empty.problems.is_empty());
    }

    #[test]
    fn units_that_never_end_meet_the_limit() {
        let mut data = file(&packets()[..4]);
        let mut counter = 0u8;
        let find = data.chunks(LEN).rfind(|p| p[1] & 0x1F == 1 && p[2] == 0).unwrap();
        counter = counter.wrapping_add(find[3] & 15);
        for _ in 0..(limits::MAX_PICTURE / packet::BODY + 10) {
            counter = (counter + 1) & 15;
            data.extend_from_slice(&[SYNC, 0x01, 0x00, 0x10 | counter]);
            data.extend_from_slice(&[0xAA; packet::BODY]);
        }
        let got = demux(&data);
        assert!(got.problems.iter().any(|p| p.kind == ErrorKind::Limit("bytes of a PES packet")));
    }

    /// A PES packet of H.264 in transport packets.
    fn pes(pid: u16, counter: &mut u8, pts: u64, es: &[u8]) -> Vec<u8> {
        let mut head = [0; 19];
        let n = pes::write_head(0xE0, es.len(), false, pts, pts, &mut head).unwrap();
        let mut out = Vec::new();
        packet::write_unit(pid, counter, packet::Adaptation::default(), &[&head[..n], es], &mut out);
        out
    }

    fn tables(streams: &[(u8, u16, Vec<u8>)], version: u8) -> Vec<u8> {
        let program = Program { number: 1, pid: 0x20 };
        let mut out = Vec::new();
        packet::write_section(0, &mut version.clone(), &psi::write_pat(1, program), &mut out);
        let pmt = psi::write_pmt(1, version, 0x100, &[], streams);
        packet::write_section(0x20, &mut version.clone(), &pmt, &mut out);
        out
    }

    fn access_unit(n: u8, key: bool) -> Vec<u8> {
        let mut es = vec![0, 0, 0, 1, 9, 0xF0];
        if key {
            for set in [SPS, PPS] {
                es.extend_from_slice(&[0, 0, 0, 1]);
                es.extend_from_slice(set);
            }
        }
        es.extend_from_slice(&[0, 0, 1, if key { 0x65 } else { 0x41 }, 0x88]);
        es.extend([n | 1; 700]);
        es
    }

    proptest! {
        /// The stream is cut into PES packets anywhere: halves of pictures, several pictures, start codes across.
        #[test]
        fn access_units_however_they_lie_in_pes_packets(cuts in prop::collection::vec(1usize..3000, 1..20)) {
            let units: Vec<_> = (0..12).map(|n| access_unit(n, n % 6 == 0)).collect();
            let es = units.concat();
            let mut data = tables(&[(0x1B, 0x100, vec![])], 0);
            let (mut at, mut counter) = (0, 0);
            for (i, c) in cuts.iter().cycle().enumerate() {
                let end = (at + c).min(es.len());
                data.extend(pes(0x100, &mut counter, 90_000 + i as u64 * 3600, &es[at..end]));
                at = end;
                if at == es.len() { break }
            }
            let got = demux(&data);
            // A picture that begins in a PES packet of others has an estimated time, which a stamp may take back.
            prop_assert!(got.problems.iter().all(|p| p.kind == ErrorKind::TimeBack), "{:?}", got.problems);
            prop_assert_eq!(got.packets.len(), 12);
            for (p, u) in got.packets.iter().zip(&units) {
                let want: Vec<_> = nal::annex_b(u).filter(|n| n[0] != 9).collect();
                prop_assert_eq!(nal::units(&p.data).collect::<Vec<_>>(), want);
            }
        }
    }

    #[test]
    fn tracks_come_go_and_change() {
        let mut counter = 0;
        let mut data = tables(&[(0x1B, 0x100, vec![]), (0x0F, 0x101, vec![])], 0);
        let adts = |n: u8| [&[0xFF, 0xF1, 0x4C, 0x80, 0x0E, 0x1F, 0xFC][..], &[n; 105]].concat();
        data.extend(pes(0x100, &mut counter, 90_000, &access_unit(0, true)));
        data.extend(pes(0x101, &mut 0, 90_000, &adts(1)));
        // another SPS
        let mut other = access_unit(1, true);
        let level = other.windows(4).position(|w| w == [0x67, 0x64, 0x00, 0x1f]).unwrap() + 3;
        other[level] = 0x28;
        data.extend(pes(0x100, &mut counter, 93_600, &other));
        // the sound goes, a version later
        data.extend(tables(&[(0x1B, 0x100, vec![])], 1));
        data.extend(pes(0x100, &mut counter, 97_200, &access_unit(2, false)));
        data.extend(pes(0x101, &mut 1, 97_200, &adts(2)));
        let got = demux(&data);
        let codecs: Vec<_> = got.tracks.iter().map(|t| t.codec).collect();
        assert_eq!(codecs, [Codec::Aac, Codec::H264, Codec::H264]);
        assert_ne!(got.tracks[1].init, got.tracks[2].init);
        assert_eq!((got.gone, got.packets.len()), (1, 4), "{:?}", got.packets);
    }

    #[test]
    fn audio_frames_over_packets_keep_exact_times() {
        let frame = |n: u8| [&[0xFF, 0xF1, 0x4C, 0x80, 0x0E, 0x1F, 0xFC][..], &[n; 105]].concat();
        let es: Vec<u8> = (0..20).flat_map(frame).collect();
        for cut in [50, 112, 113, 300, 1000] {
            let mut data = tables(&[(0x0F, 0x101, vec![])], 0);
            let mut counter = 0;
            for (i, c) in es.chunks(cut).enumerate() {
                // the stamp is of the first frame that begins in the packet
                let first = (i * cut).div_ceil(112) as u64;
                data.extend(pes(0x101, &mut counter, 90_000 + first * 1920, c));
            }
            let got = demux(&data);
            assert_eq!(got.problems, [], "{cut}");
            assert_eq!(got.packets.len(), 20, "{cut}");
            for (i, p) in got.packets.iter().enumerate() {
                assert_eq!(p.dts, Timestamp::from_rate(90_000 + i as i64 * 1920, 90_000), "{cut}");
                assert_eq!(p.data[..], [i as u8; 105]);
            }
        }
    }

    #[test]
    fn hostile_tables_and_scrambling() {
        // PMT on the PAT's PID, a PMT that lists itself, thousands of programs
        let mut data = Vec::new();
        let pat = psi::write_pat(1, Program { number: 1, pid: 0 });
        packet::write_section(0, &mut 7, &pat, &mut data);
        data.extend(tables(&[(0x1B, 0x20, vec![]), (0x1B, 0, vec![]), (0x1B, 0x100, vec![])], 0));
        let mut counter = 0;
        data.extend(pes(0x100, &mut counter, 90_000, &access_unit(0, true)));
        let mut scrambled = pes(0x100, &mut counter, 93_600, &access_unit(1, false));
        scrambled.chunks_mut(LEN).for_each(|p| p[3] |= 0x80);
        data.extend(scrambled);
        let got = demux(&data);
        assert!(got.error.is_none());
        assert_eq!(got.packets.len(), 1);
        assert!(got.problems.iter().any(|p| p.kind == ErrorKind::Encrypted("scrambled stream")));

        let mut core = Core::new();
        for n in 0..8000u16 {
            let pat = psi::write_pat(n, Program { number: n + 1, pid: 0x20 + n % 8000 });
            let s = Section::parse(&pat).unwrap();
            core.pat_crcs.clear();
            core.pat_section(&s, 0);
        }
        assert!(core.programs.len() <= limits::MAX_PROGRAMS);
    }

    proptest! {
        #[test]
        fn damage_never_panics(flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40)) {
            let mut data = file(&packets()[..40]);
            for (i, b) in flips {
                let n = data.len();
                data[i.index(n)] ^= b;
            }
            demux(&data);
        }
    }
}
