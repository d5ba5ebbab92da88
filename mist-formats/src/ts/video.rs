//! Access units out of the bytes of a video stream: H.264 §7.4.1.2.3, H.265 §7.4.2.4.4, H.262 §6.1.1.

use super::Sink;
use super::pes::Assembler;
use super::stream::Coding;
use bytes::{Bytes, BytesMut};
use memchr::memmem;
use mist_core::codec::{Codec, CodecErrorKind, h264, hevc, mpeg2, nal};
use mist_core::format::ErrorKind;
use mist_core::media::{Packet, Params, TrackId};
use mist_core::time::{Duration, TICKS_PER_SECOND, Timestamp};

/// What a start code begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// An access unit, if the one before has a picture.
    Opens,
    /// The picture of the unit, or of the next one if this has one.
    Picture,
    /// More of the unit.
    Belongs,
}

/// Cuts a stream into access units.
#[derive(Debug)]
pub(super) struct Video {
    coding: Coding,
    /// Start codes are searched from here.
    scan: usize,
    /// The units of the access unit that is open: index behind the start code.
    units: Vec<usize>,
    has_picture: bool,
    /// H.262: the picture is one field, and the other one may follow in the same access unit.
    first_field: bool,
    /// temporal_reference of the picture before.
    reference: [u8; 2],
    sets: Sets,
    last: Option<Timestamp>,
    usual: Duration,
    /// It was said that pictures came before the parameter sets.
    waiting_reported: bool,
    key_seen: bool,
}

/// Initialisation data as it was announced.
#[derive(Debug)]
enum Sets {
    None,
    H264(h264::Avcc, bool),
    Hevc(hevc::Hvcc),
    Mpeg2(Bytes),
}

/// Used where neither the stream nor its stamps tell how long a picture lasts.
const FRAME: Duration = Duration::from_millis(40);

impl Video {
    pub(super) const fn new(coding: Coding) -> Self {
        Self {
            coding,
            scan: 0,
            units: Vec::new(),
            has_picture: false,
            first_field: false,
            reference: [0; 2],
            sets: Sets::None,
            last: None,
            usual: Duration::ZERO,
            waiting_reported: false,
            key_seen: false,
        }
    }

    /// What the unit at `at` is; `None` when too little of it is there to say.
    fn role(&mut self, unit: &[u8]) -> Option<Role> {
        let first = *unit.first()?;
        Some(match self.coding {
            Coding::H264 => match h264::nal::kind(unit) {
                // a slice of macroblock 0 begins a picture
                h264::nal::SLICE | h264::nal::PARTITION_A | h264::nal::IDR => match unit.get(1)? {
                    b if b & 0x80 != 0 => Role::Picture,
                    _ if !self.has_picture => Role::Picture,
                    _ => Role::Belongs,
                },
                h264::nal::SEI..=h264::nal::AUD | 14..=18 => Role::Opens,
                _ => Role::Belongs,
            },
            Coding::Hevc => {
                let kind = (first >> 1) & 0x3F;
                let second = *unit.get(1)?;
                let base = first & 1 == 0 && second >> 3 == 0;
                match kind {
                    _ if !base => Role::Belongs,
                    k if hevc::nal::is_picture(k) => match unit.get(2)? {
                        b if b & 0x80 != 0 => Role::Picture,
                        _ if !self.has_picture => Role::Picture,
                        _ => Role::Belongs,
                    },
                    hevc::nal::VPS..=hevc::nal::AUD | hevc::nal::PREFIX_SEI | 41..=44 | 48..=55 => {
                        Role::Opens
                    }
                    _ => Role::Belongs,
                }
            }
            _ => match first {
                mpeg2::code::PICTURE => {
                    // both fields of a frame have its temporal_reference (H.262 §6.3.9)
                    let reference = [*unit.get(1)?, unit.get(2)? & 0xC0];
                    let second = self.first_field && reference == self.reference;
                    self.reference = reference;
                    if second { Role::Belongs } else { Role::Picture }
                }
                mpeg2::code::SEQUENCE | mpeg2::code::GOP => Role::Opens,
                mpeg2::code::EXTENSION => {
                    // picture coding extension: picture_structure (H.262 §6.2.3.1) is 3 for a frame
                    if first >> 4 == 0xB && *unit.get(1)? >> 4 == 8 {
                        let field = unit.get(3)? & 3 != 3;
                        self.first_field = field && !self.first_field;
                    }
                    Role::Belongs
                }
                _ => Role::Belongs,
            },
        })
    }

    /// Hands out the access units that are complete: those that another one follows, or, with `all`, every one.
    pub(super) fn run(&mut self, es: &mut Assembler, all: bool, out: &mut impl Sink) {
        let data = std::mem::take(&mut es.data);
        let mut from = 0;
        let mut seen = self.scan;
        let mut unclear = None;
        for i in memmem::find_iter(data.get(self.scan..).unwrap_or_default(), &[0, 0, 1]) {
            let code = self.scan + i;
            let start = code + 3;
            let Some(role) = self.role(data.get(start..).unwrap_or_default()) else {
                unclear = Some(code);
                break;
            };
            seen = start;
            if self.has_picture && role != Role::Belongs {
                self.emit(&data, code, es, out);
                from = code;
            }
            self.has_picture |= role == Role::Picture;
            self.units.push(start);
        }
        if all {
            if self.has_picture {
                self.emit(&data, unclear.unwrap_or(data.len()), es, out);
            }
            es.data = data;
            self.reset(es);
            return;
        }
        // a start code may lie across the end
        self.scan = unclear.unwrap_or_else(|| seen.max(data.len().saturating_sub(2)));
        if self.units.is_empty() {
            from = self.scan; // what is before the first start code belongs to nothing
        }
        es.data = data;
        if from > 0 {
            es.consume(from);
            self.scan -= from;
            for u in &mut self.units {
                *u -= from;
            }
        }
    }

    /// Bytes were lost behind those that are there: the unit in which they were is dropped.
    pub(super) fn cut(&mut self, es: &mut Assembler, out: &mut impl Sink) {
        self.run(es, false, out);
        if let Some(last) = self.units.pop() {
            es.data.truncate(last.saturating_sub(3));
            self.has_picture = self.units.iter().any(|&u| {
                let unit = es.data.get(u..).unwrap_or_default();
                match self.coding {
                    Coding::H264 => h264::nal::is_picture(h264::nal::kind(unit)),
                    Coding::Hevc => hevc::nal::is_picture(hevc::nal::kind(unit)),
                    // headers without slices are no picture
                    _ => unit.first().is_some_and(|c| (1..=0xAF).contains(c)),
                }
            });
        }
        let data = std::mem::take(&mut es.data);
        if self.has_picture {
            self.emit(&data, data.len(), es, out);
        }
        es.data = data;
        self.reset(es);
    }

    /// Drops everything that is open.
    pub(super) fn reset(&mut self, es: &mut Assembler) {
        es.clear();
        self.units.clear();
        self.has_picture = false;
        self.first_field = false;
        self.scan = 0;
    }

    /// Hands out the open access unit, which ends before `end`.
    fn emit(&mut self, data: &[u8], end: usize, es: &mut Assembler, out: &mut impl Sink) {
        let begin = self.units.first().map_or(0, |u| u.saturating_sub(3));
        let time = es.time_at(begin);
        out.begin(es.origin());
        let payload = match self.coding {
            Coding::H264 | Coding::Hevc => self.lengths(data, end, out),
            _ => self.mpeg2(data.get(begin..end).unwrap_or_default(), out),
        };
        self.units.clear();
        self.has_picture = false;
        self.first_field = false;
        let (dts, cts) = self.time(time, out);
        if matches!(self.sets, Sets::None) {
            if !self.waiting_reported {
                self.waiting_reported = true;
                out.problem("PES", ErrorKind::Missing("pictures before their parameter sets"));
            }
            return;
        }
        let key = self.is_key(&payload);
        self.key_seen |= key;
        out.packet(Packet { track: TrackId(0), dts, cts, duration: Duration::ZERO, key, data: payload });
    }

    /// The canonical payload of the open access unit; learns parameter sets.
    fn lengths(&mut self, data: &[u8], end: usize, out: &mut impl Sink) -> Bytes {
        let hevc = self.coding == Coding::Hevc;
        let begin = self.units.first().map_or(end, |u| u - 3);
        // start codes of 3 bytes become lengths of 4
        let mut payload = BytesMut::with_capacity(end - begin + self.units.len());
        let mut changed = false;
        let ends = self.units.iter().skip(1).map(|u| u - 3).chain([end]);
        let each = |(&start, end): (&usize, usize)| {
            let unit = data.get(start..end).unwrap_or_default();
            let len = unit.iter().rposition(|&b| b != 0).map_or(0, |i| i + 1);
            unit.get(..len).unwrap_or_default()
        };
        let units = self.units.iter().zip(ends).map(each);
        for unit in units.clone() {
            let aud = if hevc {
                hevc::nal::kind(unit) == hevc::nal::AUD
            } else {
                h264::nal::kind(unit) == h264::nal::AUD
            };
            if !changed && is_set(hevc, unit) {
                changed = match &self.sets {
                    Sets::H264(a, _) => !a.nals().any(|n| n == unit),
                    Sets::Hevc(h) => !h.nals().any(|n| n == unit),
                    _ => true,
                };
            }
            if !aud && !unit.is_empty() {
                nal::put_unit(&mut payload, unit);
            }
        }
        if changed {
            let units: Vec<&[u8]> = units.filter(|u| is_set(hevc, u)).collect();
            self.learn(&units, out);
        }
        payload.freeze()
    }

    /// New parameter sets: those of this access unit, completed by those before where it has not all kinds.
    fn learn(&mut self, units: &[&[u8]], out: &mut impl Sink) {
        let done = match self.coding {
            Coding::Hevc => {
                let before: Vec<Bytes> = match &self.sets {
                    Sets::Hevc(h) => h.nals().cloned().collect(),
                    _ => Vec::new(),
                };
                let both = before.iter().map(|b| &b[..]).chain(units.iter().copied());
                let sets =
                    hevc::Hvcc::from_nals(units.iter().copied()).or_else(|_| hevc::Hvcc::from_nals(both));
                sets.map(|h| {
                    if let Some(sps) = h.first_sps() {
                        out.describe(Codec::Hevc, h.build(), sps.params());
                        self.usual = frame_of(sps.params());
                    }
                    self.sets = Sets::Hevc(h);
                })
            }
            _ => {
                let before: Vec<Bytes> = match &self.sets {
                    Sets::H264(a, _) => a.nals().cloned().collect(),
                    _ => Vec::new(),
                };
                let both = before.iter().map(|b| &b[..]).chain(units.iter().copied());
                let sets =
                    h264::Avcc::from_nals(units.iter().copied()).or_else(|_| h264::Avcc::from_nals(both));
                sets.map(|a| {
                    let mut fields = false;
                    if let Some(sps) = a.first_sps() {
                        fields = !sps.frames_only;
                        out.describe(Codec::H264, a.build(), sps.params());
                        self.usual = frame_of(sps.params());
                    }
                    self.sets = Sets::H264(a, fields);
                })
            }
        };
        // a stream that is joined in the middle may begin with a part of them
        if let Err(e) = done
            && (e.kind != CodecErrorKind::Truncated || !matches!(self.sets, Sets::None))
        {
            out.problem("PES", e.into());
        }
    }

    fn mpeg2(&mut self, unit: &[u8], out: &mut impl Sink) -> Bytes {
        if let Some(init) = mpeg2::init(unit)
            && !matches!(&self.sets, Sets::Mpeg2(b) if b == init)
        {
            match mpeg2::Sequence::parse(init) {
                Ok(s) => {
                    let init = Bytes::copy_from_slice(init);
                    out.describe(Codec::Mpeg2, init.clone(), s.params());
                    self.usual = frame_of(s.params());
                    self.sets = Sets::Mpeg2(init);
                }
                Err(e) => out.problem("PES", e.into()),
            }
        }
        Bytes::copy_from_slice(unit)
    }

    fn is_key(&self, payload: &[u8]) -> bool {
        match self.coding {
            Coding::Hevc => hevc::is_irap(payload),
            Coding::Mpeg2 => mpeg2::is_key(payload),
            _ => {
                h264::is_idr(payload)
                    || h264::recovery_point(payload).is_some()
                    // streams with neither: an intra picture behind parameter sets
                    || !self.key_seen
                        && nal::units(payload).any(|n| h264::nal::kind(n) == h264::nal::SPS)
                        && h264::is_intra(payload)
            }
        }
    }

    /// Decoding time and offset: from the stamp, or a picture after the one before.
    fn time(&mut self, stamp: Option<(i64, i64)>, out: &impl Sink) -> (Timestamp, Duration) {
        let (dts, cts) = match stamp {
            Some((pts, dts)) => {
                let t = Timestamp::from_rate(dts, 90_000);
                if let Some(last) = self.last {
                    let step = t - last;
                    if step > Duration::ZERO && step < Duration::from_secs(1) {
                        self.usual = step;
                    }
                }
                (t, Timestamp::from_rate(pts, 90_000) - t)
            }
            None => {
                let step = if self.usual > Duration::ZERO { self.usual } else { FRAME };
                // without a stamp of its own in a stream of fields: the second one of a frame
                let step = match self.sets {
                    Sets::H264(_, true) => Duration::from_ticks(step.ticks() / 2),
                    _ => step,
                };
                (self.last.map_or_else(|| out.any_time(), |l| l + step), Duration::ZERO)
            }
        };
        self.last = Some(dts);
        (dts, cts)
    }
}

/// Whether a unit is a parameter set of the base layer.
fn is_set(hevc: bool, unit: &[u8]) -> bool {
    if hevc {
        (hevc::nal::VPS..=hevc::nal::PPS).contains(&hevc::nal::kind(unit)) && hevc::nal::layer(unit) == 0
    } else {
        matches!(h264::nal::kind(unit), h264::nal::SPS | h264::nal::PPS | h264::nal::SPS_EXT)
    }
}

/// How long a picture lasts by the stream's own word; zero when it doesn't say.
fn frame_of(p: Params) -> Duration {
    match p {
        Params::Video { fpks, .. } if fpks > 0 => {
            Duration::from_ticks(TICKS_PER_SECOND * 1000 / i64::from(fpks))
        }
        _ => Duration::ZERO,
    }
}
