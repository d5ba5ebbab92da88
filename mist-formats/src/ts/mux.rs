//! Packets to a transport stream.

use super::packet::{self, Adaptation};
use super::pes;
use super::psi::{self, Program};
use super::stream::{self, Announced};
use super::{error, limits};
use bytes::{Bytes, BytesMut};
use mist_core::codec::aac::{Adts, Asc};
use mist_core::codec::{Codec, CodecError, h264, hevc, nal};
use mist_core::format::{ErrorKind, FormatError, Index, Muxer, Patch};
use mist_core::gather::Gather;
use mist_core::media::{Kind, Packet, TrackInfo};
use mist_core::time::Timestamp;
use smallvec::SmallVec;
use std::sync::Arc;

/// Units of the stamps in a second.
const RATE: i64 = 90_000;
/// Added to every time: stamps are (time × 90,000 + this) mod 2^33. It leaves room for the clock, which runs
/// [`DELAY`] behind the decoding times, and for decoding times down to −0.7 s before anything wraps.
pub(super) const OFFSET: i64 = RATE * 14 / 10;
/// How long before its decoding time a packet is in the decoder's buffer; below the second that §2.4.2.7 allows.
pub(super) const DELAY: i64 = RATE * 7 / 10;
/// The clock is repeated within this (§2.7.2 asks for 100 ms, ETSI TR 101 290 for 40 ms).
const CLOCK_INTERVAL: i64 = RATE * 40 / 1000;
/// A packet of the clock's own stream is waited for until this.
const CLOCK_PATIENCE: i64 = RATE * 90 / 1000;
/// A clock stream that has nothing for this long is not waited for: the clock follows the other streams.
const CLOCK_STALL: i64 = 3 * RATE;
/// Steps of the clock that are too large to be a pause: the time base is declared new.
const CLOCK_JUMP: i64 = 10 * RATE;
/// PAT and PMT are repeated at every keyframe of video and within this.
const TABLES_INTERVAL: i64 = RATE / 10;
/// The SDT is repeated within this (EN 300 468 asks for 2 s).
const SDT_INTERVAL: i64 = RATE;

const TRANSPORT: u16 = 1;
const PROGRAM: Program = Program { number: 1, pid: 0x1000 };
/// PID of the first elementary stream; the others follow.
const FIRST_PID: u16 = 0x100;
/// Outputs of one call up to this are joined with those around them instead of standing alone.
const SMALL: usize = 24 * packet::LEN;

/// H.264 access unit delimiter: any slice types follow (H.264 §7.3.2.4).
const AUD_H264: &[u8] = &[0, 0, 0, 1, 0x09, 0xF0];
/// HEVC access unit delimiter: any slice types follow (H.265 §7.3.2.5).
const AUD_HEVC: &[u8] = &[0, 0, 0, 1, 0x46, 0x01, 0x50];
const START_CODE: &[u8] = &[0, 0, 0, 1];

/// How a track's payload goes into PES packets.
#[derive(Debug)]
enum Payload {
    /// Annex B with a delimiter first and these parameter sets before keyframes.
    Nal { hevc: bool, parameters: Bytes },
    /// A header before each frame.
    Adts(Asc),
    /// A control header before each packet.
    Opus,
    /// Sections, without PES.
    Section,
    /// As it is.
    Plain,
}

impl Payload {
    fn new(t: &TrackInfo) -> Result<Self, CodecError> {
        let mut parameters = BytesMut::new();
        Ok(match t.codec {
            Codec::H264 | Codec::Hevc => {
                let hevc = t.codec == Codec::Hevc;
                // without init the parameter sets are expected in band
                if hevc && !t.init.is_empty() {
                    // SEI that the record may hold was meant for its first picture
                    let record = hevc::Hvcc::parse(&t.init)?;
                    for set in (hevc::nal::VPS..=hevc::nal::PPS).flat_map(|k| record.of(k)) {
                        parameters.extend_from_slice(START_CODE);
                        parameters.extend_from_slice(set);
                    }
                } else if !t.init.is_empty() {
                    h264::Avcc::parse(&t.init)?.put_annex_b(&mut parameters);
                }
                Self::Nal { hevc, parameters: parameters.freeze() }
            }
            Codec::Aac => Self::Adts(Asc::parse(&t.init)?),
            Codec::Opus => Self::Opus,
            Codec::Scte35 => Self::Section,
            _ => Self::Plain,
        })
    }
}

#[derive(Debug)]
struct Track {
    info: Arc<TrackInfo>,
    announced: Announced,
    payload: Payload,
    pid: u16,
    counter: u8,
    /// Nothing was written yet: the counter is unrelated to what a receiver saw before.
    fresh: bool,
}

/// The clock of the program, in unwrapped units of 90 kHz with [`OFFSET`].
#[derive(Debug, Default)]
struct Clock {
    /// The last that was written.
    last: Option<i64>,
    /// What the last packet of the clock's own stream asked for.
    asked: Option<i64>,
}

/// What the clock wants in front of and in a packet.
#[derive(Debug, Default)]
struct Tick {
    /// Packets with nothing but a clock before it: the first value and how many, [`CLOCK_INTERVAL`] apart.
    fill: Option<(i64, i64)>,
    /// The clock in the packet itself.
    own: Option<i64>,
    /// The time base is new.
    jump: bool,
}

impl Clock {
    /// A packet with decoding time `dts` follows; `own` when it is of the clock's stream.
    fn tick(&mut self, dts: i64, own: bool) -> Tick {
        let mut tick = Tick::default();
        let mut want = dts.saturating_sub(DELAY);
        if !own && let Some(asked) = self.asked {
            let stalled = want.saturating_sub(CLOCK_STALL);
            want = want.min(asked.saturating_add(DELAY)).max(stalled);
        }
        let step = match self.last {
            Some(last) => want.saturating_sub(last),
            None => CLOCK_PATIENCE,
        };
        if step.abs() > CLOCK_JUMP {
            if !own {
                return tick;
            }
            tick.jump = true;
            tick.own = Some(want);
        } else if own {
            let usual = self.asked.map_or(0, |a| want.saturating_sub(a));
            // audio frames are short: the clock need not be in each
            if step > 0 && step.saturating_add(usual) > CLOCK_INTERVAL {
                tick.own = Some(want);
            }
        }
        if !tick.jump && step > CLOCK_PATIENCE {
            let first = want.saturating_sub(step).saturating_add(CLOCK_INTERVAL);
            tick.fill = Some((first, (step - 1) / CLOCK_INTERVAL));
        } else if !own && self.last.is_none() {
            tick.fill = Some((want, 1));
        }
        if own {
            self.asked = Some(want);
        }
        let filled = tick.fill.map(|(first, n)| first.saturating_add((n - 1) * CLOCK_INTERVAL));
        self.last = tick.own.or(filled).or(self.last);
        tick
    }
}

/// The tables and when they were written.
#[derive(Debug, Default)]
struct Tables {
    pat: Vec<u8>,
    pmt: Vec<u8>,
    sdt: Vec<u8>,
    version: Option<u8>,
    pat_counter: u8,
    pmt_counter: u8,
    sdt_counter: u8,
    at: Option<i64>,
    sdt_at: Option<i64>,
}

/// Writes MPEG transport streams. See the [module](super) for what it promises.
#[derive(Debug, Default)]
pub struct TsMuxer {
    tracks: SmallVec<[Track; 4]>,
    /// Index into `tracks` of the one that carries the clock.
    clock_track: Option<usize>,
    clock: Clock,
    tables: Tables,
    written: u64,
    scratch: Vec<u8>,
}

const fn stamp(t: i64) -> u64 {
    t.rem_euclid(pes::WRAP as i64) as u64
}

/// In units of 90 kHz with the constant offset, not wrapped.
const fn ticks(t: Timestamp) -> i64 {
    t.to_rate(RATE as u32).saturating_add(OFFSET)
}

impl TsMuxer {
    /// A muxer at its start.
    pub fn new() -> Self {
        Self::default()
    }

    fn fail(&self, path: &'static str, kind: impl Into<ErrorKind>) -> FormatError {
        error(self.written, path, kind.into())
    }

    /// Takes a track in; true when the tables change.
    fn set_track(&mut self, info: &Arc<TrackInfo>) -> Result<bool, FormatError> {
        let Some(announced) = stream::announce(info) else {
            return Err(self.fail("PMT", ErrorKind::Unsupported("codec in a transport stream")));
        };
        let payload = Payload::new(info).map_err(|e| self.fail("PMT", e))?;
        if let Some(t) = self.tracks.iter_mut().find(|t| t.info.id == info.id) {
            let changed = t.info.codec != info.codec || t.info.lang != info.lang;
            t.announced = announced;
            t.payload = payload;
            t.info = info.clone();
            return Ok(changed || matches!(t.payload, Payload::Opus));
        }
        if self.tracks.len() >= limits::MAX_STREAMS {
            return Err(self.fail("PMT", ErrorKind::Limit("streams in a program")));
        }
        let pid = FIRST_PID + self.tracks.len() as u16;
        self.tracks.push(Track { info: info.clone(), announced, payload, pid, counter: 0, fresh: true });
        Ok(true)
    }

    fn make_tables(&mut self) {
        let of = |kind| self.tracks.iter().position(|t| t.info.codec.kind() == kind);
        let clock_track = of(Kind::Video).or_else(|| of(Kind::Audio));
        if clock_track != self.clock_track {
            self.clock_track = clock_track;
            self.clock.asked = None;
        }
        let clock = clock_track.and_then(|i| self.tracks.get(i));
        self.tables.make(&self.tracks, clock.map_or(packet::NULL_PID, |t| t.pid));
    }

    /// Writes the tables now, and has the times of their repetition counted from the next packet on.
    fn tables_now(&mut self, out: &mut Gather) {
        self.scratch.clear();
        self.tables.write(true, true, &mut self.scratch);
        self.written += self.scratch.len() as u64;
        out.put(&self.scratch);
        self.tables.at = None;
        self.tables.sdt_at = None;
    }
}

impl Tables {
    /// Makes them anew. The version is a digest of the content, so that muxers that begin in mid-stream (one
    /// a segment) agree about it, and differs from the one before.
    fn make(&mut self, tracks: &[Track], pcr_pid: u16) {
        let codecs = tracks.iter().map(|t| t.info.codec);
        let program = stream::program_descriptors(codecs, PROGRAM.number);
        let entry = |t: &Track| (t.announced.stream_type, t.pid, t.announced.descriptors(&t.info));
        let streams: Vec<_> = tracks.iter().map(entry).collect();
        let pmt = |version| psi::write_pmt(PROGRAM.number, version, pcr_pid, &program, &streams);
        let version = (psi::crc32(&pmt(0)) % 32) as u8;
        let version = if self.version == Some(version) { (version + 1) % 32 } else { version };
        self.version = Some(version);
        self.pmt = pmt(version);
        self.pat = psi::write_pat(TRANSPORT, PROGRAM);
        self.sdt = psi::write_sdt(TRANSPORT, PROGRAM.number, "mist", "mist");
    }

    /// Whether PAT and PMT, and the SDT, are due before a packet at `dts`.
    fn due(&mut self, dts: i64, keyframe: bool) -> (bool, bool) {
        let due = |at: &mut Option<i64>, interval: i64, keyframe: bool| match at {
            None => {
                *at = Some(dts);
                false
            }
            // streams may be a second out of order; a larger step back is a new time base
            Some(t) if keyframe || dts.saturating_sub(*t) >= interval || dts < t.saturating_sub(RATE) => {
                *at = Some(dts);
                true
            }
            Some(_) => false,
        };
        (due(&mut self.at, TABLES_INTERVAL, keyframe), due(&mut self.sdt_at, SDT_INTERVAL, false))
    }

    /// Bytes that [`Self::write`] writes at most.
    fn room(&self, tables: bool, sdt: bool) -> usize {
        let packets = |section: &[u8]| (section.len() + 1).div_ceil(packet::BODY) * packet::LEN;
        (if tables { packets(&self.pat) + packets(&self.pmt) } else { 0 })
            + if sdt { packets(&self.sdt) } else { 0 }
    }

    fn write(&mut self, tables: bool, sdt: bool, out: &mut Vec<u8>) {
        if tables {
            packet::write_section(psi::PAT_PID, &mut self.pat_counter, &self.pat, out);
            packet::write_section(PROGRAM.pid, &mut self.pmt_counter, &self.pmt, out);
        }
        if sdt {
            packet::write_section(psi::SDT_PID, &mut self.sdt_counter, &self.sdt, out);
        }
    }
}

/// Slices that make a PES payload. Several hundred NAL units in a picture are unusual.
type Slices<'a> = SmallVec<[&'a [u8]; 24]>;

/// Appends an access unit in Annex B. The third slice is kept for parameter sets.
fn annex_b<'a>(
    p: &'a Packet,
    hevc: bool,
    parameters: &'a [u8],
    parts: &mut Slices<'a>,
) -> Result<(), ErrorKind> {
    parts.push(if hevc { AUD_HEVC } else { AUD_H264 });
    let sets = parts.len();
    parts.push(&[]);
    let mut in_band = false;
    let mut units = nal::units(&p.data);
    for unit in units.by_ref() {
        let kind = if hevc { hevc::nal::kind(unit) } else { h264::nal::kind(unit) };
        let (aud, sps) =
            if hevc { (hevc::nal::AUD, hevc::nal::SPS) } else { (h264::nal::AUD, h264::nal::SPS) };
        in_band |= kind == sps;
        if kind != aud {
            parts.push(START_CODE);
            parts.push(unit);
        }
    }
    if !units.rest().is_empty() {
        return Err(ErrorKind::UnitSize("NAL unit length"));
    }
    if p.key
        && !in_band
        && let Some(slot) = parts.get_mut(sets)
    {
        *slot = parameters;
    }
    Ok(())
}

/// The control header of an Opus packet (the TS mapping of Opus, §4): no trims, and the size in bytes of 255.
fn opus_control(len: usize) -> SmallVec<[u8; 16]> {
    let mut h = SmallVec::from_slice(&[0x7F, 0xE0]);
    h.extend(std::iter::repeat_n(255, len / 255));
    h.push((len % 255) as u8);
    h
}

impl Muxer for TsMuxer {
    fn start(
        &mut self,
        tracks: &[Arc<TrackInfo>],
        _index: Option<&Index>,
        out: &mut Gather,
    ) -> Result<(), FormatError> {
        for t in tracks {
            self.set_track(t)?;
        }
        self.make_tables();
        self.tables_now(out);
        Ok(())
    }

    fn track(&mut self, info: &Arc<TrackInfo>, out: &mut Gather) -> Result<(), FormatError> {
        if self.set_track(info)? {
            self.make_tables();
            self.tables_now(out);
        }
        Ok(())
    }

    fn packet(&mut self, p: &Packet, out: &mut Gather) -> Result<(), FormatError> {
        let Self { tracks, clock_track, clock, tables, written, scratch } = self;
        let fail = |path, kind: ErrorKind| error(*written, path, kind);
        let clock_at = clock_track.and_then(|c| tracks.get(c)).map(|t| (t.pid, t.counter));
        let Some((i, t)) = tracks.iter_mut().enumerate().find(|(_, t)| t.info.id == p.track) else {
            return Err(fail("", ErrorKind::Malformed("packet of a track that was not announced")));
        };
        // a presentation before the decoding can't be said: the decoding moves, as it must happen by then
        let pts = ticks(p.pts());
        let dts = ticks(p.dts).min(pts);
        let video = t.info.codec.kind() == Kind::Video;

        let (adts, control);
        let mut head = [0; 19];
        let mut parts = Slices::new();
        parts.push(&[]);
        match &t.payload {
            Payload::Nal { hevc, parameters } => {
                annex_b(p, *hevc, parameters, &mut parts).map_err(|e| fail("PES", e))?;
            }
            Payload::Adts(asc) => {
                adts = Adts::build(asc, p.data.len()).map_err(|e| fail("PES", e.into()))?;
                parts.extend_from_slice(&[&adts[..], &p.data]);
            }
            Payload::Opus => {
                control = opus_control(p.data.len());
                parts.extend_from_slice(&[&control[..], &p.data]);
            }
            Payload::Section | Payload::Plain => parts.push(&p.data),
        }
        let mut len: usize = parts.iter().map(|s| s.len()).sum();
        let section = matches!(t.payload, Payload::Section);
        if !section {
            let id = t.announced.stream_id;
            let Some(n) = pes::write_head(id, len, !video, stamp(pts), stamp(dts), &mut head) else {
                return Err(fail("PES", ErrorKind::Limit("bytes of a frame that is not video")));
            };
            len += n;
            if let (Some(first), Some(head)) = (parts.first_mut(), head.get(..n)) {
                *first = head;
            }
        }

        let (pat, sdt) = tables.due(dts, video && p.key);
        let tick =
            if clock_track.is_some() { clock.tick(dts, *clock_track == Some(i)) } else { Tick::default() };
        let adaptation = Adaptation {
            discontinuity: t.fresh || tick.jump,
            random_access: video && p.key,
            pcr: tick.own.map(stamp),
        };
        let (fill_from, fill) = tick.fill.unwrap_or_default();
        let packets = packet::count(len, adaptation) + fill as usize;
        let room = packets * packet::LEN + tables.room(pat, sdt);

        let mut write = |buf: &mut Vec<u8>| {
            tables.write(pat, sdt, buf);
            if let Some((pid, counter)) = clock_at {
                for n in 0..fill {
                    let at = fill_from.saturating_add(n.saturating_mul(CLOCK_INTERVAL));
                    packet::write_clock(pid, counter, stamp(at), buf);
                }
            }
            if section {
                packet::write_section(t.pid, &mut t.counter, &p.data, buf);
            } else {
                packet::write_unit(t.pid, &mut t.counter, adaptation, &parts, buf);
                t.fresh = false;
            }
            *written += buf.len() as u64;
        };
        if room <= SMALL {
            scratch.clear();
            write(scratch);
            out.put(scratch);
        } else {
            let mut buf = Vec::with_capacity(room);
            write(&mut buf);
            out.push(Bytes::from(buf));
        }
        Ok(())
    }

    fn finish(&mut self, _out: &mut Gather) -> Result<Vec<Patch>, FormatError> {
        Ok(Vec::new())
    }
}
