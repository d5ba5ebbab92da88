//! Checks a transport stream beside its demuxer: what receivers with buffers and clocks of their own ask for.
//!
//! ISO/IEC 13818-1 §2.4.2 (the standard's decoder, its buffers and clocks) and §2.7, and the measurements of ETSI
//! TR 101 290 §5.2: intervals of tables and clock references, jumps and jitter of the clock, filling of buffers. What the
//! demuxer says anyway (sync bytes, continuity, checksums) isn't said again.
//!
//! Where in time a byte lies is told by the clock references around it. Jitter is only measured where there are null
//! packets, for only a stream of constant rate has an arithmetic that a reference can miss. Of the decoder's buffers the
//! main ones are followed, a PES packet as one access unit; transport buffers and leak rates are left out.

use super::buffers::{audio_buffer, video_buffer};
use super::packet::{Framing, LEN, NULL_PID, Packet, SYNC, WINDOW, find_framing};
use super::pes;
use super::psi::{self, ProgramMap, Section, Sections};
use super::stream::{Coding, identify};
use mist_core::time::{Duration, Timestamp};
use std::collections::VecDeque;

/// What a stream can make the checker hold.
pub mod limits {
    /// Programmes that are followed.
    pub const MAX_PROGRAMS: usize = 16;
    /// Elementary streams that are followed.
    pub const MAX_STREAMS: usize = 64;
    /// Packets between two clock references that are placed in time.
    pub const MAX_EVENTS: usize = 1 << 16;
    /// Access units in a buffer.
    pub const MAX_UNITS: usize = 4096;
}

/// Ticks of the system clock a second.
const CLOCK: u32 = 27_000_000;
/// PCRs wrap at this.
const PCR_WRAP: i64 = (1 << 33) * 300;
/// The longest time between two clock references (§2.7.2).
const PCR_INTERVAL: i64 = CLOCK as i64 / 10;
/// The longest time between two tables (TR 101 290, PAT_error_2 and PMT_error_2).
const TABLE_INTERVAL: i64 = CLOCK as i64 / 2;
/// How far a clock reference may be from its place, in nanoseconds (TR 101 290, PCR_accuracy_error).
const ACCURACY: i64 = 500;
/// Clock references that a rate is measured over before any is measured by it.
const SETTLED: u32 = 16;
/// One in so many packets is a null packet where the rate is constant.
const NULLS: u64 = 1000;
/// Two stamps further apart than this don't belong to one clock.
const FAR: i64 = 30 * CLOCK as i64;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// So long between two PATs.
    PatInterval(Duration),
    /// So long between two PMTs of a programme.
    PmtInterval(Duration),
    /// A programme of the PAT has had no PMT.
    NoPmt {
        /// `program_number`.
        program: u16,
    },
    /// There was no clock reference on the PID that the PMT names.
    NoPcr,
    /// So long between two clock references.
    PcrInterval(Duration),
    /// The clock jumped by this without `discontinuity_indicator`.
    PcrJump(Duration),
    /// A clock reference is so many nanoseconds after its place in a stream of constant rate (before it where negative).
    PcrJitter(i64),
    /// `transport_error_indicator`.
    Damaged,
    /// A stream's buffer holds more than it has room for.
    Overflow {
        /// Bytes in it.
        held: u64,
        /// Bytes it has room for.
        size: u64,
    },
    /// The end of an access unit came so long after its decoding time.
    Underflow(Duration),
}

/// A fault and its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding {
    /// Byte in the source.
    pub offset: u64,
    /// The PID that it is about.
    pub pid: u16,
    /// By the stream's clock, unwrapped from its first reference.
    pub time: Option<Timestamp>,
    /// What.
    pub fault: Fault,
}

/// A programme of the PAT.
#[derive(Debug)]
struct Program {
    number: u16,
    pmt: u16,
    sections: Sections,
    /// When its PMT came last.
    seen: Option<i64>,
    has_pmt: bool,
    pcr: u16,
}

/// A packet of a stream, that waits for its time.
#[derive(Debug, Clone, Copy)]
struct Event {
    stream: u8,
    offset: u64,
    bytes: u16,
    /// A unit begins here: its decoding time.
    unit: Option<Option<u64>>,
}

/// A clock: the references on one PID.
#[derive(Debug)]
struct Clock {
    pid: u16,
    /// The last reference, unwrapped, and where it was.
    last: Option<(i64, u64)>,
    /// Where the measuring of the rate began.
    anchor: (i64, u64),
    count: u32,
    /// Packets and null packets since then.
    packets: u64,
    nulls: u64,
    /// Packets since the last reference.
    events: Vec<Event>,
    reported: bool,
}

/// A stream and its buffer.
#[derive(Debug)]
struct Stream {
    pid: u16,
    clock: u16,
    coding: Coding,
    /// Room in its buffer; 0 while unknown.
    size: u64,
    held: u64,
    units: VecDeque<(i64, u64)>,
    overflowing: bool,
    /// The unit that comes is late; that one before it was, which is reported once for all in a row.
    late: bool,
    was_late: bool,
}

/// Follows a stream. Feed it what the demuxer is fed.
#[derive(Debug)]
pub struct Checker {
    /// Bytes across pieces.
    rest: Vec<u8>,
    /// Offset of the first byte of `rest`.
    at: u64,
    stride: Option<usize>,
    pat: Sections,
    pat_seen: Option<i64>,
    programs: Vec<Program>,
    clocks: Vec<Clock>,
    streams: Vec<Stream>,
    routes: Vec<u8>,
    /// PIDs that had a clock reference, also before the PMT named them.
    clocked: Vec<u16>,
}

/// What a PID is, in the table of routes; streams from [`STREAM`] on.
const NOTHING: u8 = 0;
const CLOCK_ONLY: u8 = 1;
const PMT: u8 = 2;
const STREAM: u8 = 16;

impl Default for Checker {
    fn default() -> Self {
        Self::new()
    }
}

impl Checker {
    /// At the start of a stream.
    pub fn new() -> Self {
        Self {
            rest: Vec::new(),
            at: 0,
            stride: None,
            pat: Sections::default(),
            pat_seen: None,
            programs: Vec::new(),
            clocks: Vec::new(),
            streams: Vec::new(),
            routes: vec![NOTHING; 8192],
            clocked: Vec::new(),
        }
    }

    /// More of the stream, which lies at `offset` of the source.
    pub fn push(&mut self, offset: u64, mut data: &[u8], found: &mut dyn FnMut(Finding)) {
        if offset != self.at + self.rest.len() as u64 {
            self.rest.clear();
            self.at = offset;
            self.stride = None;
        }
        // The bytes left over from the last piece, with as many of this one as make them whole.
        while !self.rest.is_empty() && !data.is_empty() {
            let want = self.stride.unwrap_or(WINDOW);
            let n = want.saturating_sub(self.rest.len()).clamp(1, data.len());
            let (now, later) = data.split_at_checked(n).unwrap_or((data, &[]));
            self.rest.extend_from_slice(now);
            data = later;
            if self.rest.len() < want {
                continue;
            }
            let rest = std::mem::take(&mut self.rest);
            let used = self.run(&rest, found);
            self.at += used as u64;
            self.rest = rest;
            self.rest.drain(..used.min(self.rest.len()));
        }
        if self.rest.is_empty() {
            let used = self.run(data, found);
            self.at += used as u64;
            self.rest.extend_from_slice(data.get(used..).unwrap_or_default());
        }
    }

    /// Reads what is whole. Returns how many bytes that were.
    fn run(&mut self, data: &[u8], found: &mut dyn FnMut(Finding)) -> usize {
        let mut used = 0;
        loop {
            let Some(stride) = self.stride else {
                let Some(window) = data.get(used..used + WINDOW) else { return used };
                match find_framing(window, false) {
                    Some(Framing { skip, stride }) => {
                        self.stride = Some(stride);
                        used += skip;
                    }
                    None => used += LEN,
                }
                continue;
            };
            let Some(piece) = data.get(used..used + stride) else { return used };
            let Some(b) = piece.first_chunk::<LEN>().filter(|b| b.first() == Some(&SYNC)) else {
                self.stride = None;
                continue;
            };
            self.packet(b, self.at + used as u64, found);
            used += stride;
        }
    }

    /// The stream has ended.
    pub fn end(&mut self, found: &mut dyn FnMut(Finding)) {
        let offset = self.at;
        for p in &self.programs {
            let say = |fault, pid| Finding { offset, pid, time: None, fault };
            if !p.has_pmt {
                found(say(Fault::NoPmt { program: p.number }, p.pmt));
            } else if p.pcr != NULL_PID && !self.clocked.contains(&p.pcr) {
                found(say(Fault::NoPcr, p.pcr));
            }
        }
    }

    /// The time by the first clock.
    fn now(&self) -> Option<i64> {
        self.clocks.iter().find_map(|c| c.last).map(|l| l.0)
    }

    #[inline]
    fn packet(&mut self, b: &[u8; LEN], offset: u64, found: &mut dyn FnMut(Finding)) {
        let Ok(p) = Packet::parse(b) else { return };
        for c in &mut self.clocks {
            c.packets += 1;
            c.nulls += u64::from(p.pid == NULL_PID);
        }
        if p.damaged {
            let time = self.now().map(time);
            return found(Finding { offset, pid: p.pid, time, fault: Fault::Damaged });
        }
        if p.pid == 0 {
            return self.pat(&p, offset, found);
        }
        if p.pcr.is_some() && !self.clocked.contains(&p.pid) && self.clocked.len() < limits::MAX_STREAMS {
            self.clocked.push(p.pid);
        }
        let route = self.routes.get(usize::from(p.pid)).copied().unwrap_or(NOTHING);
        if route == NOTHING {
            return;
        }
        if route == PMT {
            return self.pmt(&p, offset, found);
        }
        if let Some(pcr) = p.pcr {
            self.reference(&p, pcr, offset, found);
        }
        if route >= STREAM
            && let Some(payload) = p.payload.filter(|_| !p.scrambled)
        {
            self.payload(route - STREAM, &p, payload, offset, found);
        }
    }

    fn pat(&mut self, p: &Packet<'_>, offset: u64, found: &mut dyn FnMut(Finding)) {
        let mut listed: Option<Vec<psi::Program>> = None;
        self.pat.push(p, |section| {
            if let Ok(Some(s)) = Section::of(psi::PAT, section)
                && let Some(list) = psi::programs(&s)
            {
                listed.get_or_insert_default().extend(list.flatten().take(limits::MAX_PROGRAMS));
            }
        });
        let Some(listed) = listed else { return };
        if let Some(now) = self.now() {
            if let Some(gap) = self.pat_seen.map(|t| now - t).filter(|g| (TABLE_INTERVAL..FAR).contains(g)) {
                found(Finding {
                    offset,
                    pid: 0,
                    time: Some(time(now)),
                    fault: Fault::PatInterval(length(gap)),
                });
            }
            self.pat_seen = Some(now);
        }
        for l in listed {
            let known = self.programs.iter().any(|p| p.number == l.number && p.pmt == l.pid);
            if !known && self.programs.len() < limits::MAX_PROGRAMS {
                if let Some(r) = self.routes.get_mut(usize::from(l.pid)) {
                    *r = PMT;
                }
                self.programs.push(Program {
                    number: l.number,
                    pmt: l.pid,
                    sections: Sections::default(),
                    seen: None,
                    has_pmt: false,
                    pcr: NULL_PID,
                });
            }
        }
    }

    fn pmt(&mut self, p: &Packet<'_>, offset: u64, found: &mut dyn FnMut(Finding)) {
        let now = self.now();
        let Self { programs, streams, routes, clocks, .. } = self;
        for program in programs.iter_mut().filter(|q| q.pmt == p.pid) {
            let (number, pmt) = (program.number, program.pmt);
            let (mut seen, mut pcr) = (false, program.pcr);
            program.sections.push(p, |section| {
                let Ok(Some(s)) = Section::of(psi::PMT, section) else { return };
                if s.extension != number {
                    return;
                }
                let Ok(Some(map)) = ProgramMap::parse(&s, pmt) else { return };
                seen = true;
                pcr = map.pcr_pid.unwrap_or(NULL_PID);
                for es in &map.streams {
                    let known = streams.iter().any(|s| s.pid == es.pid);
                    let Ok(coding) = identify(es, map.descriptors) else { continue };
                    if known || streams.len() >= limits::MAX_STREAMS {
                        continue;
                    }
                    if let Some(r) = routes.get_mut(usize::from(es.pid)).filter(|r| **r != PMT) {
                        *r = STREAM + streams.len() as u8;
                        streams.push(Stream {
                            pid: es.pid,
                            clock: pcr,
                            coding,
                            size: audio_buffer(coding),
                            held: 0,
                            units: VecDeque::new(),
                            overflowing: false,
                            late: false,
                            was_late: false,
                        });
                    }
                }
            });
            if !seen {
                continue;
            }
            program.has_pmt = true;
            if program.pcr != pcr {
                program.pcr = pcr;
                if !clocks.iter().any(|c| c.pid == pcr) && clocks.len() < limits::MAX_PROGRAMS {
                    clocks.push(Clock::new(pcr));
                }
                if let Some(r) = routes.get_mut(usize::from(pcr)).filter(|r| **r == NOTHING) {
                    *r = CLOCK_ONLY;
                }
            }
            if let Some(now) = now {
                let gap = program.seen.map(|t| now - t).filter(|g| (TABLE_INTERVAL..FAR).contains(g));
                if let Some(gap) = gap {
                    let fault = Fault::PmtInterval(length(gap));
                    found(Finding { offset, pid: pmt, time: Some(time(now)), fault });
                }
                program.seen = Some(now);
            }
        }
    }

    /// A clock reference.
    fn reference(&mut self, p: &Packet<'_>, pcr: u64, offset: u64, found: &mut dyn FnMut(Finding)) {
        let Some(c) = self.clocks.iter_mut().find(|c| c.pid == p.pid) else { return };
        let Some((last, place)) = c.last.filter(|_| !p.discontinuity) else {
            let now = pcr as i64;
            c.restart(now, offset);
            for s in self.streams.iter_mut().filter(|s| s.clock == p.pid) {
                s.empty();
            }
            return;
        };
        let step = wrapped(pcr as i64 - last);
        let now = last + step;
        let bytes = offset.saturating_sub(place);
        let mut say = |fault| found(Finding { offset, pid: p.pid, time: Some(time(now)), fault });
        let predicted = c.predict(bytes);
        let jump = step < 0 || step > CLOCK.into() && predicted.is_some_and(|p| step > p.saturating_mul(4));
        if jump {
            say(Fault::PcrJump(length(step)));
            c.restart(now, offset);
            for s in self.streams.iter_mut().filter(|s| s.clock == p.pid) {
                s.empty();
            }
            self.pat_seen = None;
            self.programs.iter_mut().for_each(|p| p.seen = None);
            return;
        }
        if step > PCR_INTERVAL {
            say(Fault::PcrInterval(length(step)));
        }
        if let Some(predicted) = predicted.filter(|_| c.count >= SETTLED && c.nulls * NULLS >= c.packets) {
            let ns = (step - predicted).saturating_mul(1000) / 27;
            if ns.abs() > ACCURACY {
                say(Fault::PcrJitter(ns));
            }
        }
        c.count += 1;
        c.last = Some((now, offset));
        let events = std::mem::take(&mut c.events);
        for e in &events {
            let into =
                i128::from(step) * i128::from(e.offset.saturating_sub(place)) / i128::from(bytes.max(1));
            let at = last + i64::try_from(into).unwrap_or(step);
            if let Some(s) = self.streams.get_mut(usize::from(e.stream)) {
                s.arrive(e, at, found);
            }
        }
        if let Some(c) = self.clocks.iter_mut().find(|c| c.pid == p.pid) {
            c.events = events;
            c.events.clear();
        }
    }

    fn payload(
        &mut self,
        stream: u8,
        p: &Packet<'_>,
        payload: &[u8],
        offset: u64,
        found: &mut dyn FnMut(Finding),
    ) {
        let Some(s) = self.streams.get_mut(usize::from(stream)) else { return };
        let mut unit = None;
        if p.start {
            let head = pes::head(payload).ok().flatten();
            unit = Some(head.and_then(|h| h.dts.or(h.pts)));
            if s.size == 0 {
                s.size = video_buffer(s.coding, payload).unwrap_or(0);
            }
        }
        let Some(c) = self.clocks.iter_mut().find(|c| c.pid == s.clock) else { return };
        if c.last.is_none() {
            return;
        }
        if c.events.len() < limits::MAX_EVENTS {
            c.events.push(Event { stream, offset, bytes: payload.len() as u16, unit });
        } else if !std::mem::replace(&mut c.reported, true) {
            let time = c.last.map(|l| time(l.0));
            found(Finding { offset, pid: c.pid, time, fault: Fault::NoPcr });
        }
    }
}

impl Clock {
    const fn new(pid: u16) -> Self {
        Self {
            pid,
            last: None,
            anchor: (0, 0),
            count: 0,
            packets: 0,
            nulls: 0,
            events: Vec::new(),
            reported: false,
        }
    }

    fn restart(&mut self, now: i64, offset: u64) {
        self.last = Some((now, offset));
        self.anchor = (now, offset);
        (self.count, self.packets, self.nulls) = (0, 0, 0);
        self.events.clear();
    }

    /// How long so many bytes take at the rate measured so far.
    fn predict(&self, bytes: u64) -> Option<i64> {
        let (now, offset) = self.last?;
        let (ticks, passed) = (now - self.anchor.0, offset.saturating_sub(self.anchor.1));
        if passed == 0 || self.count < 4 {
            return None;
        }
        i64::try_from(i128::from(ticks) * i128::from(bytes) / i128::from(passed)).ok()
    }
}

impl Stream {
    fn empty(&mut self) {
        self.units.clear();
        self.held = 0;
        (self.overflowing, self.late, self.was_late) = (false, false, false);
    }

    /// A packet is there at time `at`.
    fn arrive(&mut self, e: &Event, at: i64, found: &mut dyn FnMut(Finding)) {
        let mut say = |fault| found(Finding { offset: e.offset, pid: self.pid, time: Some(time(at)), fault });
        if let Some(stamp) = e.unit {
            self.was_late = std::mem::take(&mut self.late);
            // A unit without a stamp is decoded with the one before it.
            let before = self.units.back().map(|u| u.0);
            let dts = stamp.map(|s| at + wrapped((s * 300) as i64 - at)).or(before);
            match dts.filter(|d| (d - at).abs() < FAR) {
                Some(dts) if self.units.len() < limits::MAX_UNITS => self.units.push_back((dts, 0)),
                _ => {}
            }
        }
        while let Some(&(dts, bytes)) = self.units.front()
            && dts <= at
            && self.units.len() > 1
        {
            self.held = self.held.saturating_sub(bytes);
            self.units.pop_front();
        }
        let Some((dts, bytes)) = self.units.back_mut() else { return };
        let video = matches!(self.coding, Coding::H264 | Coding::Hevc | Coding::Mpeg2);
        if at > *dts
            && (video || e.unit.is_some())
            && !std::mem::replace(&mut self.late, true)
            && !self.was_late
        {
            say(Fault::Underflow(length(at - *dts)));
        }
        *bytes += u64::from(e.bytes);
        self.held += u64::from(e.bytes);
        if self.size > 0 && self.held > self.size {
            if !std::mem::replace(&mut self.overflowing, true) {
                say(Fault::Overflow { held: self.held, size: self.size });
            }
        } else if self.held < self.size / 2 {
            self.overflowing = false;
        }
    }
}

/// A step of the clock, in the direction in which it is shorter.
const fn wrapped(step: i64) -> i64 {
    let step = step.rem_euclid(PCR_WRAP);
    if step > PCR_WRAP / 2 { step - PCR_WRAP } else { step }
}

fn time(ticks: i64) -> Timestamp {
    Timestamp::from_rate(ticks, CLOCK)
}

fn length(ticks: i64) -> Duration {
    Duration::from_rate(ticks, CLOCK)
}

#[cfg(test)]
mod tests {
    use super::super::packet::{Adaptation, write_section, write_unit};
    use super::*;

    /// A stream of one audio track at a constant rate: tables, a clock reference and stuffing in each 20 ms.
    fn constant(periods: u64, mut reference: impl FnMut(u64) -> Option<i64>) -> Vec<u8> {
        let program = psi::Program { number: 1, pid: 0x20 };
        let (mut pat, mut pmt, mut es) = (0, 0, 0);
        let mut out = Vec::new();
        for n in 0..periods {
            let clock = 90_000 + n * 1800;
            let at = out.len();
            if let Some(shift) = reference(n) {
                let pcr = Some(clock.wrapping_add_signed(shift));
                let adaptation = Adaptation { pcr, ..Adaptation::default() };
                let mut head = [0; 19];
                let len = pes::write_head(0xC0, 100, true, clock + 9000, clock + 9000, &mut head).unwrap();
                write_unit(0x100, &mut es, adaptation, &[&head[..len], &[1; 100]], &mut out);
            }
            write_section(0, &mut pat, &psi::write_pat(1, program), &mut out);
            write_section(
                0x20,
                &mut pmt,
                &psi::write_pmt(1, 0, 0x100, &[], &[(0x03, 0x100, vec![])]),
                &mut out,
            );
            while out.len() < at + 20 * LEN {
                let null = write_null();
                out.extend_from_slice(&null);
            }
        }
        out
    }

    fn write_null() -> [u8; LEN] {
        let mut b = [0xFF; LEN];
        b[..4].copy_from_slice(&[SYNC, 0x1F, 0xFF, 0x10]);
        b
    }

    fn faults(data: &[u8], step: usize) -> Vec<Finding> {
        let mut c = Checker::new();
        let mut all = Vec::new();
        for (i, piece) in data.chunks(step).enumerate() {
            c.push((i * step) as u64, piece, &mut |f| all.push(f));
        }
        c.end(&mut |f| all.push(f));
        all
    }

    #[test]
    fn a_sound_stream_has_no_faults_however_it_is_cut() {
        let data = constant(100, |_| Some(0));
        for step in [1, 7, 188, 1000, data.len()] {
            assert_eq!(faults(&data, step), [], "{step}");
        }
    }

    #[test]
    fn clocks_that_stop_jump_and_wander() {
        let one = |f: &dyn Fn(u64) -> Option<i64>| {
            let data = constant(100, f);
            let all = faults(&data, 10_000);
            assert_eq!(all, faults(&data, 188));
            all.into_iter().map(|f| f.fault).collect::<Vec<_>>()
        };
        let silent = one(&|n| (!(40..50).contains(&n)).then_some(0));
        assert_eq!(silent, [Fault::PcrInterval(Duration::from_millis(220))]);
        let jump = one(&|n| Some(if n < 50 { 0 } else { 900_000 }));
        assert_eq!(jump[0], Fault::PcrJump(Duration::from_millis(10_020)));
        assert!(jump[1..].iter().all(|f| matches!(f, Fault::Underflow(_))), "stamps didn't jump: {jump:?}");
        let back = one(&|n| Some(if n < 50 { 0 } else { -45_000 }));
        assert!(matches!(back[..], [Fault::PcrJump(d), ..] if d == Duration::from_millis(-480)), "{back:?}");
        let jitter = one(&|n| Some(i64::from(n == 60)));
        assert!(
            matches!(jitter[..], [Fault::PcrJitter(a), Fault::PcrJitter(b)] if (11_000..11_200).contains(&a) && b < 0),
            "{jitter:?}"
        );
        assert_eq!(one(&|_| None), [Fault::NoPcr]);
    }

    #[test]
    fn tables_that_come_rarely_or_not_at_all() {
        let data = constant(100, |_| Some(0));
        let drop = |pid: [u8; 2], from: usize, to: usize| -> Vec<u8> {
            data.chunks(LEN)
                .enumerate()
                .filter(|(i, p)| p[1] & 0x1F != pid[0] || p[2] != pid[1] || !(from * 20..to * 20).contains(i))
                .flat_map(|(_, p)| p.to_vec())
                .collect()
        };
        let only = |all: Vec<Finding>| {
            all.into_iter().map(|f| f.fault).filter(|f| !matches!(f, Fault::PcrJitter(_))).collect::<Vec<_>>()
        };
        let long = Duration::from_millis(620);
        assert_eq!(only(faults(&drop([0, 0], 20, 50), 188)), [Fault::PatInterval(long)]);
        assert_eq!(only(faults(&drop([0, 0x20], 20, 50), 188)), [Fault::PmtInterval(long)]);
        assert_eq!(only(faults(&drop([0, 0x20], 0, 100), 188)), [Fault::NoPmt { program: 1 }]);
        let mut damaged = data;
        damaged[20 * LEN + 1] |= 0x80;
        assert!(only(faults(&damaged, 188)).contains(&Fault::Damaged));
    }

    #[test]
    fn buffers_that_are_too_small_and_units_that_come_late() {
        let unit = |ahead: i64, len: usize| {
            let program = psi::Program { number: 1, pid: 0x20 };
            let mut out = Vec::new();
            let (mut es, mut clock) = (0, 0);
            write_section(0, &mut 0, &psi::write_pat(1, program), &mut out);
            write_section(
                0x20,
                &mut 0,
                &psi::write_pmt(1, 0, 0x101, &[], &[(0x03, 0x100, vec![])]),
                &mut out,
            );
            for n in 0..50u64 {
                super::super::packet::write_clock(0x101, clock, 900_000 + n * 1800, &mut out);
                clock += 1;
                let dts = (900_000 + n * 1800).wrapping_add_signed(ahead);
                let mut head = [0; 19];
                let used = pes::write_head(0xC0, len, true, dts, dts, &mut head).unwrap();
                write_unit(0x100, &mut es, Adaptation::default(), &[&head[..used], &vec![1; len]], &mut out);
            }
            faults(&out, 188).into_iter().map(|f| f.fault).collect::<Vec<_>>()
        };
        assert_eq!(unit(9000, 500), []);
        let full = unit(90_000, 500);
        assert!(matches!(full[..], [Fault::Overflow { size: 3584, held: 3585..=4000 }]), "{full:?}");
        let late = unit(-900, 500);
        assert!(matches!(late[..], [Fault::Underflow(_)]), "once for all in a row: {late:?}");
    }

    proptest::proptest! {
        #[test]
        fn any_bytes(data in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..4000), flips in proptest::collection::vec((0usize..188 * 400, proptest::prelude::any::<u8>()), 0..60)) {
            faults(&data, 100);
            let mut stream = constant(20, |_| Some(0));
            for (i, b) in flips {
                let n = stream.len();
                stream[i % n] ^= b;
            }
            faults(&stream, 1000);
        }
    }
}
