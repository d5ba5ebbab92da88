//! Writing a link: headers, then pages side by side.

use super::crc;
use super::page::{Builder, flag};
use super::pen::Pen;
use super::{ID, limits};
use bytes::Bytes;
use mist_core::format::{ErrorKind, FormatError, Index, Patch};
use mist_core::gather::Gather;
use mist_core::media::{Kind, Packet, TrackInfo};
use mist_core::time::{Duration, Timestamp};
use std::sync::Arc;

/// The longest that a packet of a live stream waits on its page.
const LIVE: Duration = Duration::from_millis(200);
/// The longest time on a page of a file.
const STORED: Duration = Duration::from_millis(1000);
/// Bytes on all pages that are being put together, at which they are written.
const BODY: usize = 16 << 10;
/// Stamps that are this near to the end of the packet before are counted on from there: a rounding to milliseconds on
/// each side.
const ROUNDING: Duration = Duration::from_millis(2);
/// A first packet that is this near to 0 keeps its time.
const NEAR: Duration = Duration::from_secs(1);

/// A track being written.
#[derive(Debug)]
struct Writer {
    info: Arc<TrackInfo>,
    pen: Pen,
    serial: u32,
    sequence: u32,
    page: Builder,
    /// Time of the first packet that waits on the page.
    since: Timestamp,
    /// Where the last packet ends, in units.
    next: Option<i64>,
    /// The last key frame, in units.
    key: i64,
    /// The last granule position.
    granule: i64,
    /// The last packet is shorter than its codec says.
    cut: bool,
}

/// Where a packet is, in units.
struct Place {
    start: i64,
    end: i64,
    /// Shorter than its codec says.
    cut: bool,
}

/// Writes Ogg files and streams.
#[derive(Debug, Default)]
pub struct Muxer {
    /// Video first.
    writers: Vec<Writer>,
    /// Tracks of the link that begins with the next packet.
    coming: Option<Vec<Arc<TrackInfo>>>,
    links: u32,
    live: bool,
    started: bool,
    /// What is 0 in the link.
    base: Option<Timestamp>,
    written: u64,
}

impl Writer {
    fn new(info: &Arc<TrackInfo>) -> Result<Self, ErrorKind> {
        Ok(Self {
            info: info.clone(),
            pen: Pen::new(info)?,
            serial: 0,
            sequence: 0,
            page: Builder::default(),
            since: Timestamp::ZERO,
            next: None,
            key: 0,
            granule: 0,
            cut: false,
        })
    }

    fn write(&mut self, flags: u8, out: &mut Gather) {
        self.page.write(flags, self.serial, self.sequence, out);
        self.sequence = self.sequence.wrapping_add(1);
    }

    /// Puts a packet on pages; those that become full are written.
    fn put(&mut self, data: Bytes, granule: i64, out: &mut Gather) {
        let mut rest = self.page.add(data, granule);
        while let Some(data) = rest {
            self.write(0, out);
            rest = self.page.add(data, granule);
        }
    }

    /// Where the packet begins and ends; keeps count.
    fn place(&mut self, p: &Packet, base: Timestamp) -> Option<Place> {
        let whole = self.pen.units(&p.data)?;
        let clock = self.pen.clock;
        let at = clock.units(p.pts() - base);
        let first = self.next.is_none();
        if self.info.codec.kind() == Kind::Video {
            let start = at.max(self.next.unwrap_or(0));
            if p.key || first {
                self.key = start;
            }
            return Some(Place { start, end: start.saturating_add(1), cut: false });
        }
        let near = clock.units(ROUNDING);
        let start = match self.next {
            // What comes too early follows the one before: positions never go back.
            Some(next) if at <= next.saturating_add(near) => next,
            Some(_) => at,
            None => at.max(self.pen.origin(whole)),
        };
        let told = clock.units(p.duration);
        let cut = p.duration > Duration::ZERO && told.saturating_add(near) < whole;
        let len = if cut { told.max(1) } else { whole };
        Some(Place { start, end: start.saturating_add(len), cut })
    }

    /// The time at which its page ends.
    fn end(&self) -> Duration {
        self.pen.clock.time(self.next.unwrap_or(0))
    }
}

impl Muxer {
    /// Before the start.
    pub fn new() -> Self {
        Self::default()
    }

    fn error(&self, kind: ErrorKind) -> FormatError {
        FormatError { format: ID, offset: self.written, path: "", kind }
    }

    /// Writes the headers of a link.
    fn begin(&mut self, tracks: &[Arc<TrackInfo>], out: &mut Gather) -> Result<(), ErrorKind> {
        if tracks.len() > limits::STREAMS {
            return Err(ErrorKind::Limit("logical streams"));
        }
        let mut writers = tracks.iter().map(Writer::new).collect::<Result<Vec<_>, _>>()?;
        // Video first, as the specification of Theora asks.
        writers.sort_by_key(|w| w.info.codec.kind() != Kind::Video);
        let mut taken: Vec<u32> = Vec::new();
        for w in &mut writers {
            // Files joined by hand should differ too: there is no randomness here, but the headers are mostly unlike.
            let seed = crc::update(self.links, &w.info.id.0.to_be_bytes());
            let mut serial = crc::update(seed, &w.info.init);
            while taken.contains(&serial) {
                serial = serial.wrapping_add(1);
            }
            taken.push(serial);
            w.serial = serial;
            if let Some(first) = w.pen.headers.first().cloned() {
                w.put(first, 0, out);
            }
            w.write(flag::BOS, out);
        }
        for w in &mut writers {
            for h in w.pen.headers.iter().skip(1).cloned().collect::<Vec<_>>() {
                w.put(h, 0, out);
            }
            if !w.page.is_empty() {
                w.write(0, out);
            }
        }
        self.writers = writers;
        self.links = self.links.wrapping_add(1);
        self.base = None;
        Ok(())
    }

    /// Writes what waits, in the order of time.
    fn flush(&mut self, last: bool, out: &mut Gather) {
        let mut order: Vec<&mut Writer> = self.writers.iter_mut().collect();
        order.sort_by_key(|w| w.end());
        for w in order {
            if !w.page.is_empty() {
                w.write(if last { flag::EOS } else { 0 }, out);
            } else if last {
                w.page.set_granule(w.granule);
                w.write(flag::EOS, out);
            }
        }
    }

    fn write(&mut self, p: &Packet, out: &mut Gather) -> Result<(), ErrorKind> {
        if let Some(tracks) = self.coming.take() {
            self.flush(true, out);
            self.begin(&tracks, out)?;
        }
        let unknown = ErrorKind::Malformed("packet of a track that was not announced");
        let at = self.writers.iter().position(|w| w.info.id == p.track).ok_or(unknown)?;
        let near = (p.dts - Timestamp::ZERO).abs() < NEAR;
        let base = *self.base.get_or_insert(if near { Timestamp::ZERO } else { p.dts });
        let most = if self.live { LIVE } else { STORED };
        let due = self.writers.iter().any(|w| !w.page.is_empty() && p.dts - w.since >= most);
        let bytes: usize = self.writers.iter().map(|w| w.page.len()).sum();
        let w = self.writers.get_mut(at).ok_or(unknown)?;
        let none = ErrorKind::Malformed("packet that is none of its codec");
        let Place { start, end, cut } = w.place(p, base).ok_or(none)?;
        // Within a page packets follow each other without a gap: their times are counted back from its end.
        let was_cut = std::mem::replace(&mut w.cut, cut);
        let gap = was_cut || w.next.is_some_and(|next| next != start);
        if due || gap || bytes >= BODY || !w.page.fits(p.data.len()) {
            self.flush(false, out);
        }
        let w = self.writers.get_mut(at).ok_or(unknown)?;
        if w.page.is_empty() {
            w.since = p.dts;
        }
        w.next = Some(end);
        w.granule = w.pen.granule(w.key, start, end);
        w.put(p.data.clone(), w.granule, out);
        Ok(())
    }

    /// Runs a step and counts what it writes.
    fn counted<T>(
        &mut self,
        out: &mut Gather,
        step: impl FnOnce(&mut Self, &mut Gather) -> Result<T, ErrorKind>,
    ) -> Result<T, FormatError> {
        let before = out.len();
        let done = step(self, out).map_err(|kind| self.error(kind));
        self.written += out.len().saturating_sub(before) as u64;
        done
    }
}

impl mist_core::format::Muxer for Muxer {
    fn start(
        &mut self,
        tracks: &[Arc<TrackInfo>],
        index: Option<&Index>,
        out: &mut Gather,
    ) -> Result<(), FormatError> {
        self.live = index.is_none();
        self.started = true;
        self.counted(out, |m, out| m.begin(tracks, out))
    }

    fn track(&mut self, info: &Arc<TrackInfo>, _out: &mut Gather) -> Result<(), FormatError> {
        let mut now: Vec<_> = match &self.coming {
            Some(l) => l.clone(),
            None => self.writers.iter().map(|w| w.info.clone()).collect(),
        };
        if now.contains(info) {
            return Ok(());
        }
        Pen::new(info).map_err(|kind| self.error(kind))?;
        match now.iter_mut().find(|t| t.id == info.id) {
            Some(t) => *t = info.clone(),
            None => now.push(info.clone()),
        }
        self.coming = Some(now);
        Ok(())
    }

    fn packet(&mut self, p: &Packet, out: &mut Gather) -> Result<(), FormatError> {
        self.counted(out, |m, out| m.write(p, out))
    }

    fn finish(&mut self, out: &mut Gather) -> Result<Vec<Patch>, FormatError> {
        if !self.started {
            return Err(self.error(ErrorKind::Malformed("finish before start")));
        }
        self.counted(out, |m, out| {
            m.flush(true, out);
            Ok(Vec::new())
        })
    }
}
