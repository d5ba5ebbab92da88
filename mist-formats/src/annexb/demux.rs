//! Byte streams to access units.

use super::clock::Rate;
use super::order::{Order, Picture};
use super::pictures::{Pictures, Place, Role};
use super::{Coding, ID, limits};
use crate::frames::Marks;
use bytes::{Buf, Bytes, BytesMut};
use memchr::memmem;
use mist_core::codec::nal;
use mist_core::findings::Findings;
use mist_core::format::{Demuxed, ErrorKind, FormatError, Want};
use mist_core::media::{Packet, TrackId, TrackInfo};
use mist_core::queue;
use mist_core::time::{Duration, Timestamp};
use std::sync::Arc;

const START: &[u8] = &[0, 0, 1];
const TRACK: TrackId = TrackId(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Run,
    /// After a seek: waiting for the bytes at this offset.
    Seek(u64),
    Done,
}

/// Reads byte streams of H.264 and HEVC.
#[derive(Debug)]
pub struct Demuxer {
    state: State,
    ended: bool,
    buf: BytesMut,
    /// Offset in the source of the first byte of `buf`.
    at: u64,
    /// Start codes are searched from here.
    scan: usize,
    /// The units of the access unit that is open: first bytes behind their start codes.
    units: Vec<usize>,
    /// The picture of the access unit that is open.
    place: Option<Place>,
    pictures: Option<Pictures>,
    /// Where bytes that belong to no unit began.
    stray: Option<u64>,
    /// Bytes up to the next start code belong to what was dropped.
    dropping: bool,
    early_reported: bool,
    key_seen: bool,
    /// A rate from outside.
    given: Option<Rate>,
    rate: Rate,
    reorder: Option<u64>,
    learn: usize,
    track: Option<Arc<TrackInfo>>,
    order: Order,
    marks: Marks,
    finder: memmem::Finder<'static>,
    found: Findings,
}

impl Default for Demuxer {
    fn default() -> Self {
        Self::new()
    }
}

impl Demuxer {
    /// At the start of a stream.
    pub fn new() -> Self {
        Self {
            state: State::Run,
            ended: false,
            buf: BytesMut::new(),
            at: 0,
            scan: 0,
            units: Vec::new(),
            place: None,
            pictures: None,
            stray: None,
            dropping: false,
            early_reported: false,
            key_seen: false,
            given: None,
            rate: Rate::DEFAULT,
            reorder: None,
            learn: limits::LEARN,
            track: None,
            order: Order::new(),
            marks: Marks::default(),
            finder: memmem::Finder::new(START),
            found: Findings::new(ID),
        }
    }

    /// The same with `frames` frames in `seconds` seconds, whatever the stream says. Rates that make no sense (none, or
    /// more than a thousand a second) leave it as it is.
    #[must_use]
    pub fn with_rate(mut self, frames: u32, seconds: u32) -> Self {
        self.given = Rate::new(seconds.into(), frames);
        self.rate = self.given.unwrap_or(self.rate);
        self
    }

    fn problem(&mut self, offset: u64, path: &'static str, kind: ErrorKind) {
        self.found.problem(offset, path, kind);
    }

    fn fail(&mut self, kind: ErrorKind) {
        self.found.fail(0, "", kind);
        self.state = State::Done;
    }

    /// One step; false when it needs more bytes.
    fn step(&mut self) -> bool {
        if self.state != State::Run {
            return false;
        }
        let rest = self.buf.get(self.scan..).unwrap_or_default();
        let Some(i) = self.finder.find(rest) else { return self.no_code() };
        let code = self.scan + i;
        let start = code + START.len();
        if self.buf.len() < start + limits::LOOK + START.len() && !self.ended {
            self.scan = code;
            return false;
        }
        if self.pictures.is_none() && self.at.saturating_add(code as u64) > limits::SEARCH {
            self.fail(NO_SETS);
            return true;
        }
        self.pass(code);
        let Some(code) = self.bound(code) else { return true };
        let code = self.complete(code);
        let start = code + START.len();
        let head = self.buf.get(start..).unwrap_or_default();
        let head = head.get(..head.len().min(limits::LOOK + START.len())).unwrap_or_default();
        let head = match self.finder.find(head) {
            Some(end) => without_zeros(head.get(..end).unwrap_or_default()),
            None => head,
        };
        let Some(pictures) = &mut self.pictures else {
            self.units.push(start);
            self.scan = start;
            return true;
        };
        // What this unit does to the pictures' memory is not to be undone: the open access unit is closed first.
        let before = self.place.is_some();
        let role = pictures.role(head);
        if before && role != Role::Belongs {
            let code = self.with_zero(code);
            self.emit(code);
            if role == Role::Opens
                && let Some(pictures) = &mut self.pictures
            {
                pictures.close();
            }
            self.consume(code);
            // The same start code, now at the front.
            self.units.push(start - code);
            self.scan = start - code;
        } else {
            self.units.push(start);
            self.scan = start;
        }
        if let Role::Picture(place) = role {
            self.place = Some(place);
        }
        true
    }

    /// No start code in what is there.
    fn no_code(&mut self) -> bool {
        // One may lie across the end, with the zero before it.
        let end = if self.ended { self.buf.len() } else { self.buf.len().saturating_sub(3) };
        self.scan = self.scan.max(end);
        if self.units.is_empty() {
            self.pass(self.scan);
            self.consume(self.scan);
        } else if self.bound(self.scan).is_none() {
            return true;
        }
        if self.pictures.is_none() && self.at.saturating_add(self.scan as u64) > limits::SEARCH {
            self.fail(NO_SETS);
            return true;
        }
        if !self.ended {
            return false;
        }
        let total = self.at.saturating_add(self.buf.len() as u64);
        let end = self.complete(self.buf.len());
        if self.pictures.is_none() && total > 0 {
            self.fail(NO_SETS);
            return true;
        }
        if self.place.is_some() {
            self.emit(end);
        }
        self.consume(self.buf.len());
        self.order.end();
        self.drain();
        self.state = State::Done;
        true
    }

    /// Bytes before a start code that belong to no unit.
    fn pass(&mut self, code: usize) {
        if !self.units.is_empty() || self.dropping {
            return;
        }
        let passed = self.buf.get(..code).unwrap_or_default();
        if let Some(i) = passed.iter().position(|&b| b != 0) {
            self.stray.get_or_insert(self.at + i as u64);
        }
    }

    /// Keeps an access unit that reaches up to `code` within the limits. Where `code` is afterwards; `None` if there is
    /// nothing at it to go on with.
    fn bound(&mut self, code: usize) -> Option<usize> {
        let first = self.units.first().map_or(code, |u| u - START.len());
        let long = code - first > limits::PICTURE;
        if !long && self.units.len() < limits::UNITS {
            return Some(code);
        }
        let what = if long { "bytes of an access unit" } else { "NAL units of an access unit" };
        self.problem(self.at + first as u64, "access unit", ErrorKind::Limit(what));
        self.units.clear();
        self.place = None;
        if let Some(p) = &mut self.pictures {
            p.close();
        }
        self.dropping = true;
        self.consume(code);
        self.scan = 0;
        None
    }

    /// The unit before `code` is complete. Where `code` is afterwards.
    fn complete(&mut self, code: usize) -> usize {
        if let Some(offset) = self.stray.take() {
            self.problem(offset, "", ErrorKind::Malformed("bytes before a start code"));
        }
        self.dropping = false;
        let Some(&last) = self.units.last() else { return code };
        let unit = without_zeros(self.buf.get(last..code).unwrap_or_default());
        if let Some(p) = &mut self.pictures {
            p.complete(unit);
            return code;
        }
        let Some(coding) = Coding::of(unit) else { return code };
        let mut pictures = Pictures::new(coding);
        pictures.complete(unit);
        // Of what came before only what leads up to the sets belongs to their access unit.
        let mut end = code;
        let mut keep = self.units.len();
        for &start in self.units.iter().rev() {
            if !pictures.leads(without_zeros(self.buf.get(start..end).unwrap_or_default())) {
                break;
            }
            keep -= 1;
            end = start - START.len();
        }
        self.pictures = Some(pictures);
        if keep > 0 {
            let first = self.units.first().map_or(0, |u| u - START.len());
            self.early(self.at + first as u64);
            self.units.drain(..keep);
            self.consume(end);
            return code - end;
        }
        code
    }

    fn early(&mut self, offset: u64) {
        if !std::mem::replace(&mut self.early_reported, true) {
            self.problem(offset, "access unit", ErrorKind::Malformed("pictures before their parameter sets"));
        }
    }

    /// Where a start code begins: with a zero in front where there is one.
    fn with_zero(&self, code: usize) -> usize {
        match code.checked_sub(1).map(|i| self.buf.get(i)) {
            Some(Some(0)) => code - 1,
            _ => code,
        }
    }

    /// Drops bytes from the front.
    fn consume(&mut self, n: usize) {
        let n = n.min(self.buf.len());
        self.buf.advance(n);
        self.at += n as u64;
        self.scan = self.scan.saturating_sub(n);
        for u in &mut self.units {
            *u = u.saturating_sub(n);
        }
    }

    /// Hands out the open access unit, which ends before `end`.
    fn emit(&mut self, end: usize) {
        let (Some(place), Some(pictures)) = (self.place.take(), &mut self.pictures) else { return };
        let begin = self.units.first().map_or(end, |u| u - START.len());
        let begin = match begin.checked_sub(1).map(|i| self.buf.get(i)) {
            Some(Some(0)) => begin - 1,
            _ => begin,
        };
        let offset = self.at + begin as u64;
        // Start codes of 3 bytes become lengths of 4.
        let mut payload = BytesMut::with_capacity(end.saturating_sub(begin) + self.units.len());
        let mut kinds = String::new();
        let ends = self.units.iter().skip(1).map(|u| u - START.len()).chain([end]);
        for (&start, end) in self.units.iter().zip(ends) {
            let unit = without_zeros(self.buf.get(start..end).unwrap_or_default());
            if self.found.wants_nodes() && kinds.len() < 100 {
                kinds.push_str(&format!(" {:02x}", unit.first().copied().unwrap_or(0)));
            }
            if !unit.is_empty() && !pictures.is_delimiter(unit) {
                nal::put_unit(&mut payload, unit);
            }
        }
        self.units.clear();
        let payload = payload.freeze();
        let described = pictures.describe(&payload);
        let key = pictures.is_key(&payload, !self.key_seen);
        let known = pictures.described();
        let detail = || format!("order {}, units{kinds}", place.poc);
        self.found.node(0, offset, (end - begin) as u64, "access unit", detail);
        match described {
            Ok(Some(d)) => {
                self.rate = self.given.or(d.rate).unwrap_or(Rate::DEFAULT);
                (self.reorder, self.learn) = (d.reorder, d.learn);
                self.track = Some(Arc::new(TrackInfo::new(TRACK, d.codec, d.init, d.params)));
            }
            Ok(None) => {}
            Err(e) => self.problem(offset, "parameter sets", e.into()),
        }
        if !known {
            return self.early(offset);
        }
        self.key_seen |= key;
        let (dts, cts, duration) = (Timestamp::ZERO, Duration::ZERO, Duration::ZERO);
        self.order.push(Picture {
            packet: Packet { track: TRACK, dts, cts, duration, key, data: payload },
            track: self.track.take(),
            offset,
            poc: place.poc,
            starts: place.starts,
            field: place.field,
            rate: self.rate,
            reorder: self.reorder,
            learn: self.learn,
        });
        self.drain();
    }

    /// Hands out the pictures whose times are known.
    fn drain(&mut self) {
        while let Some(p) = self.order.pop() {
            if p.starts {
                self.marks.pass(p.packet.dts, p.offset);
            }
            if let Some(t) = p.track {
                self.found.track(t);
            }
            self.found.packet(p.packet, p.offset);
        }
    }
}

/// Neither standard's parameter sets were found.
const NO_SETS: ErrorKind = ErrorKind::Missing("parameter sets of H.264 or HEVC");

fn without_zeros(unit: &[u8]) -> &[u8] {
    let len = unit.iter().rposition(|&b| b != 0).map_or(0, |i| i + 1);
    unit.get(..len).unwrap_or_default()
}

impl mist_core::format::Demuxer for Demuxer {
    fn push(&mut self, offset: u64, data: Bytes) {
        let mut data = data;
        if let State::Seek(to) = self.state {
            // Bytes that were under way when the seek came are of no use.
            let Some(rest) = queue::landing(to, offset, &data) else { return };
            data = rest;
            self.state = State::Run;
            self.at = to;
        } else if offset != self.at.saturating_add(self.buf.len() as u64) {
            self.forget(offset);
        }
        self.buf.extend_from_slice(&data);
    }

    fn end(&mut self) {
        self.ended = true;
    }

    fn poll(&mut self) -> Result<Demuxed, FormatError> {
        loop {
            if let Some(found) = self.found.pop() {
                return found;
            }
            match self.state {
                State::Done => return Ok(Demuxed::End),
                State::Seek(_) if self.ended => self.state = State::Done,
                State::Seek(offset) => return Ok(Demuxed::Need(Want::At { offset, len: 4 })),
                State::Run => {
                    if !self.step() {
                        return Ok(Demuxed::Need(Want::Next));
                    }
                }
            }
        }
    }

    fn seek(&mut self, to: Timestamp) -> Result<Timestamp, FormatError> {
        let (Some((time, offset)), None) = (self.marks.before(to), self.found.error()) else {
            let kind = ErrorKind::Unsupported("seeking before the first picture was read");
            return Err(FormatError { format: ID, offset: self.at, path: "", kind });
        };
        self.forget(offset);
        self.order.reset(time);
        self.found.seek();
        self.ended = false;
        self.state = State::Seek(offset);
        Ok(time)
    }

    fn packet_offset(&self) -> Option<u64> {
        self.found.packet_offset()
    }

    fn want_nodes(&mut self) {
        self.found.want_nodes();
    }
}

impl Demuxer {
    /// Drops what is open and goes on at an offset.
    fn forget(&mut self, offset: u64) {
        self.buf.clear();
        self.units.clear();
        (self.at, self.scan, self.place) = (offset, 0, None);
        (self.stray, self.dropping) = (None, false);
        if let Some(p) = &mut self.pictures {
            p.restart();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mist_core::format::Demuxer as _;
    use mist_core::media::Media;

    const SPS: &[u8] = &[
        0x67, 0x64, 0x00, 0x1f, 0xac, 0xb4, 0x02, 0x80, 0x2d, 0xd0, 0x80, 0x00, 0x00, 0x03, 0x00, 0x80, 0x00,
        0x00, 0x18, 0x07, 0x8c, 0x19, 0x50,
    ];
    const PPS: &[u8] = &[0x68, 0xee, 0x3c, 0xb0];

    fn stream(units: &[&[u8]]) -> Vec<u8> {
        units.iter().flat_map(|u| [&[0, 0, 0, 1][..], u].concat()).collect()
    }

    type Got = (Vec<(i64, bool, Vec<u8>)>, Vec<(u64, ErrorKind)>, Option<ErrorKind>);

    fn run(data: &[u8]) -> Got {
        let whole = run_in(&mut Demuxer::new(), data, data.len());
        for step in [1, 2, 7, 188] {
            assert_eq!(run_in(&mut Demuxer::new(), data, step), whole, "steps of {step}");
        }
        whole
    }

    fn run_in(d: &mut Demuxer, data: &[u8], step: usize) -> Got {
        let mut at = 0;
        let (mut got, mut problems) = (Vec::new(), Vec::new());
        loop {
            match d.poll() {
                Ok(Demuxed::Media(Media::Packet(p))) => {
                    assert!(data[d.packet_offset().unwrap() as usize..].starts_with(&[0, 0]));
                    got.push((p.dts.as_millis(), p.key, p.data.to_vec()));
                }
                Ok(Demuxed::Problem(e)) => problems.push((e.offset, e.kind)),
                Ok(Demuxed::Need(want)) => {
                    if let Want::At { offset, .. } = want {
                        at = offset as usize;
                    }
                    let n = step.max(1).min(data.len().saturating_sub(at));
                    if n == 0 {
                        d.end();
                    } else {
                        d.push(at as u64, Bytes::copy_from_slice(&data[at..at + n]));
                        at += n;
                    }
                }
                Ok(Demuxed::End) => return (got, problems, None),
                Ok(_) => {}
                Err(e) => return (got, problems, Some(e.kind)),
            }
        }
    }

    #[test]
    fn access_units_without_delimiters() {
        // Two slices of a picture, then pictures that only frame_num and the low bits of their order tell apart.
        let idr: &[u8] = &[0x65, 0x88, 0x84, 0x00, 0x11];
        let p: &[u8] = &[0x41, 0x9a, 0x21, 0x6c, 0x42];
        let q: &[u8] = &[0x41, 0x9a, 0x42, 0x6c, 0x42];
        let all = stream(&[&[9, 0x10], SPS, PPS, idr, p, q, q]);
        let (got, problems, error) = run(&all);
        assert_eq!((problems.len(), error), (0, None));
        assert_eq!(got.iter().map(|g| g.1).collect::<Vec<_>>(), [true, false, false, false]);
        assert!(!got[0].2.windows(2).any(|w| w == [9, 0x10]), "no delimiters in payloads");
        for cut in 0..all.len() {
            let (got, _, error) = run_in(&mut Demuxer::new(), &all[..cut], 1000);
            assert!(got.len() <= 4 && (error.is_none() || got.is_empty()), "{cut}");
        }
    }

    #[test]
    fn what_comes_first_is_left_out() {
        let slice: &[u8] = &[0x41, 0x9a, 0x21, 0x6c, 0x42];
        let idr: &[u8] = &[0x65, 0x88, 0x84, 0x00, 0x11];
        let (got, problems, _) =
            run(&[&b"\0\0junk"[..], &stream(&[slice, slice, &[9, 0x10], SPS, PPS, idr])].concat());
        assert_eq!((got.len(), problems.len()), (1, 2), "{problems:?}");
        assert_eq!(problems[0], (2, ErrorKind::Malformed("bytes before a start code")));
        assert_eq!(run(b"").2, None);
        assert_eq!(run(b"nothing of the kind").2, Some(NO_SETS));
        assert_eq!(run(&stream(&[slice, slice])).2, Some(NO_SETS));
        assert_eq!(run_in(&mut Demuxer::new(), &vec![0x55; (1 << 20) + 9], 1 << 16).2, Some(NO_SETS));
    }

    #[test]
    fn limits_are_kept() {
        let idr: &[u8] = &[0x65, 0x88, 0x84, 0x00, 0x11];
        let long = [idr, &vec![0x55; limits::PICTURE]].concat();
        let file = stream(&[SPS, PPS, idr, SPS, &long, SPS, PPS, idr]);
        let whole = run_in(&mut Demuxer::new(), &file, file.len());
        assert_eq!(whole, run_in(&mut Demuxer::new(), &file, 1 << 16));
        assert_eq!(whole.0.len(), 2);
        assert!(matches!(whole.1[..], [(_, ErrorKind::Limit(_))]), "{:?}", whole.1);
        let mut many = stream(&[SPS, PPS, idr]);
        many.extend([0, 0, 1, 12].repeat(limits::UNITS));
        many.extend(stream(&[SPS, PPS, idr]));
        let (got, problems, _) = run_in(&mut Demuxer::new(), &many, 1000);
        assert_eq!((got.len(), problems.len()), (1, 1));
    }

    #[test]
    fn a_given_rate_and_seeking_back() {
        let idr: &[u8] = &[0x65, 0x88, 0x84, 0x00, 0x11];
        let file = stream(&[SPS, PPS, idr]).repeat(200);
        let mut d = Demuxer::new().with_rate(10, 1);
        assert!(d.seek(Timestamp::ZERO).is_err());
        let (got, ..) = run_in(&mut d, &file, 1000);
        assert!(got.iter().enumerate().all(|(i, g)| g.0 == i as i64 * 100));
        let at = d.seek(Timestamp::from_millis(5_550)).unwrap();
        assert_eq!(at, Timestamp::from_secs(5));
        let (again, ..) = run_in(&mut d, &file, 1000);
        assert_eq!(again[..], got[50..]);
    }
}
