//! Writing a link: headers, then pages side by side.

use super::crc;
use super::page::{Builder, flag};
use super::pen::Pen;
use super::{ID, limits};
use bytes::Bytes;
use mist_core::codec::Codec;
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
    /// Where what is on the page ends, in units.
    end: i64,
    /// The last packet. It waits for the next one, as a stream's last packet has to be on its last page.
    held: Option<Held>,
    /// Only the first packet has come.
    alone: bool,
    /// Packets to come, where an index tells.
    left: Option<usize>,
    /// The last packet is on its page.
    done: bool,
    /// The last page was written.
    ended: bool,
    /// The last packet on the page is shorter than its codec says.
    cut: bool,
    /// The page's first packet begins where only the page's end can tell.
    loose: bool,
}

/// A packet that waits.
#[derive(Debug)]
struct Held {
    data: Bytes,
    dts: Timestamp,
    granule: i64,
    place: Place,
}

/// Where a packet is, in units.
#[derive(Debug, Clone, Copy)]
struct Place {
    start: i64,
    end: i64,
    /// It doesn't begin where the one before ended.
    gap: bool,
    /// Nor, as the first one, where streams begin.
    late: bool,
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
            end: 0,
            held: None,
            alone: true,
            left: None,
            done: false,
            ended: false,
            cut: false,
            loose: false,
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
            let gap = self.next.is_some_and(|n| n != start);
            return Some(Place { start, end: start.saturating_add(1), gap, late: false, cut: false });
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
        let gap = self.next.is_some_and(|n| n != start);
        let late = self.next.is_none() && start != self.pen.origin(whole);
        Some(Place { start, end: start.saturating_add(len), gap, late, cut })
    }

    /// Nothing comes out of the first packet of Vorbis, so that some containers give it the time of the second. Here it
    /// lies before that.
    fn settle(&mut self, second: &Packet, base: Timestamp) {
        if self.next.is_none() {
            return;
        }
        // It may be on its page already, and what is held be a later one.
        let alone = std::mem::replace(&mut self.alone, false);
        let at = self.pen.clock.units(second.pts() - base);
        let Some(first) = self.held.as_mut().filter(|_| self.info.codec == Codec::Vorbis && alone) else {
            return;
        };
        let early = first.place.end.saturating_sub(at);
        if early > self.pen.clock.units(ROUNDING) && early <= first.place.end - first.place.start {
            first.place.start -= early;
            first.place.end -= early;
            first.granule = self.pen.granule(self.key, first.place.start, first.place.end);
            self.next = Some(first.place.end);
        }
    }

    /// The time at which its page ends.
    fn end(&self) -> Duration {
        self.pen.clock.time(self.end)
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

    /// Writes the pages that are being put together, in the order of their ends.
    fn flush(&mut self, last: bool, out: &mut Gather) {
        let mut order: Vec<&mut Writer> = self.writers.iter_mut().filter(|w| !w.page.is_empty()).collect();
        order.sort_by_key(|w| w.end());
        for w in order {
            w.ended = last || w.done;
            w.write(if w.ended { flag::EOS } else { 0 }, out);
        }
    }

    /// Puts a packet on its track's page, behind what has to be written before.
    fn put(&mut self, at: usize, held: Held, out: &mut Gather) {
        let most = if self.live { LIVE } else { STORED };
        let due = self.writers.iter().any(|w| !w.page.is_empty() && held.dts - w.since >= most);
        let bytes: usize = self.writers.iter().map(|w| w.page.len()).sum();
        let Some(w) = self.writers.get_mut(at) else { return };
        // Within a page packets follow each other without a gap: their times are counted back from its end.
        let gap = std::mem::replace(&mut w.cut, held.place.cut) || held.place.gap;
        // The end of a page can't tell both where its first packet begins and where its last one is cut.
        let cut = w.loose && held.place.cut && !w.page.is_empty();
        if due || gap || cut || bytes >= BODY || !w.page.fits(held.data.len()) {
            self.flush(false, out);
        }
        let Some(w) = self.writers.get_mut(at) else { return };
        if w.page.is_empty() {
            w.since = held.dts;
            w.loose = held.place.gap || held.place.late;
        }
        w.end = held.place.end;
        w.put(held.data, held.granule, out);
    }

    /// Ends the link.
    fn close(&mut self, out: &mut Gather) {
        let mut last: Vec<_> =
            self.writers.iter_mut().enumerate().filter_map(|(at, w)| Some((at, w.held.take()?))).collect();
        last.sort_by_key(|(_, h)| h.dts);
        for (at, held) in last {
            self.put(at, held, out);
            // The page of another one's end may be full before all are put.
            if let Some(w) = self.writers.get_mut(at) {
                w.done = true;
            }
        }
        self.flush(true, out);
        // A live track that ended before the others has nothing left for its last page.
        self.writers.iter_mut().filter(|w| !w.ended).for_each(|w| w.write(flag::EOS, out));
    }

    /// Puts waiting packets on their pages, so that pages stay in order.
    fn release(&mut self, which: impl Fn(&Writer, &Held) -> bool, out: &mut Gather) {
        for at in 0..self.writers.len() {
            let Some(w) = self.writers.get_mut(at) else { return };
            let Some(held) = w.held.take() else { continue };
            if !which(w, &held) {
                w.held = Some(held);
                continue;
            }
            // Only a stream's last packet is cut.
            let last = w.left == Some(0) || held.place.cut;
            self.put(at, held, out);
            if let Some(w) = self.writers.get_mut(at) {
                w.done = last;
            }
        }
    }

    fn write(&mut self, p: &Packet, out: &mut Gather) -> Result<(), ErrorKind> {
        let unknown = ErrorKind::Malformed("packet of a track that was not announced");
        // Before a new link is begun for it.
        let known = match &self.coming {
            Some(tracks) => tracks.iter().any(|t| t.id == p.track),
            None => self.writers.iter().any(|w| w.info.id == p.track),
        };
        if !known {
            return Err(unknown);
        }
        // What comes behind an end begins again.
        if self.coming.is_none() && self.writers.iter().any(|w| w.info.id == p.track && w.done) {
            self.coming = Some(self.writers.iter().map(|w| w.info.clone()).collect());
        }
        if let Some(tracks) = self.coming.take() {
            self.close(out);
            self.begin(&tracks, out)?;
        }
        let at = self.writers.iter().position(|w| w.info.id == p.track).ok_or(unknown)?;
        let near = (p.dts - Timestamp::ZERO).abs() < NEAR;
        let base = *self.base.get_or_insert(if near { Timestamp::ZERO } else { p.dts });
        let w = self.writers.get_mut(at).ok_or(unknown)?;
        w.settle(p, base);
        let place = w.place(p, base).ok_or(ErrorKind::Malformed("packet that is none of its codec"))?;
        w.next = Some(place.end);
        let granule = w.pen.granule(w.key, place.start, place.end);
        let held = Held { data: p.data.clone(), dts: p.dts, granule, place };
        w.left = w.left.map(|n| n.saturating_sub(1));
        if let Some(before) = w.held.replace(held) {
            let end = w.pen.clock.time(before.place.end);
            self.release(|w, h| w.info.id != p.track && w.pen.clock.time(h.place.end) <= end, out);
            self.put(at, before, out);
        }
        let most = if self.live { LIVE } else { STORED };
        self.release(|w, h| w.left == Some(0) || p.dts - h.dts >= most, out);
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
        self.counted(out, |m, out| m.begin(tracks, out))?;
        for w in &mut self.writers {
            let lines = index.and_then(|i| i.tracks.iter().find(|(id, _)| *id == w.info.id));
            w.left = lines.map(|(_, l)| l.len());
        }
        Ok(())
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
            m.close(out);
            Ok(Vec::new())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mist_core::codec::opus::OpusHead;
    use mist_core::format::{Demuxed, Demuxer as _, Muxer as _};
    use mist_core::media::{Media, Params, TrackId};

    fn track(channels: u8) -> Arc<TrackInfo> {
        let params = Params::Audio { rate: 48_000, channels: channels.into(), bits: 16 };
        let init = OpusHead::new(channels, 0).unwrap().build();
        Arc::new(TrackInfo::new(TrackId(1), Codec::Opus, init, params))
    }

    fn packet(id: u32, ticks: i64) -> Packet {
        let (dts, zero) = (Timestamp::from_rate(ticks, 48_000), Duration::ZERO);
        let data = Bytes::from_static(&[31 << 3, 1, 2]);
        Packet { track: TrackId(id), dts, cts: zero, duration: zero, key: true, data }
    }

    /// Start and length of each packet.
    fn read(file: Vec<u8>) -> Vec<(i64, i64)> {
        let mut d = super::super::Demuxer::new();
        d.push(0, file.into());
        d.end();
        let mut got = Vec::new();
        loop {
            match d.poll().unwrap() {
                Demuxed::Media(Media::Packet(p)) => {
                    got.push((p.dts.to_rate(48_000), p.duration.to_rate(48_000)));
                }
                Demuxed::Problem(e) => panic!("{e}"),
                Demuxed::End => return got,
                _ => {}
            }
        }
    }

    #[test]
    fn a_refused_packet_begins_no_link() {
        let (mut m, mut out) = (Muxer::new(), Gather::new());
        m.start(&[track(2)], None, &mut out).unwrap();
        m.packet(&packet(1, 0), &mut out).unwrap();
        m.track(&track(1), &mut out).unwrap();
        let before = out.len();
        assert!(m.packet(&packet(9, 960), &mut out).is_err());
        assert_eq!(out.len(), before);
        m.packet(&packet(1, 960), &mut out).unwrap();
        m.finish(&mut out).unwrap();
        assert_eq!(read(out.to_vec()).len(), 2);
    }

    /// A long packet of another track writes the page of a track that ends before it: its last.
    #[test]
    fn the_page_of_a_cut_end_is_the_last_whoever_writes_it() {
        let (mut m, mut out) = (Muxer::new(), Gather::new());
        let other = Arc::new(TrackInfo { id: TrackId(2), ..TrackInfo::clone(&track(1)) });
        m.start(&[track(2), other], None, &mut out).unwrap();
        let mut short = packet(1, 960);
        short.duration = Duration::from_rate(320, 48_000);
        let mut long = packet(2, 1000);
        long.data = [&[31 << 3][..], &vec![0; 70_000]].concat().into();
        for p in [packet(1, 0), short, long] {
            m.packet(&p, &mut out).unwrap();
        }
        m.finish(&mut out).unwrap();
        assert_eq!(read(out.to_vec()), [(0, 960), (960, 320), (1000, 960)]);
    }

    #[test]
    fn a_cut_end_leaves_a_gap_before_it_where_it_was() {
        let (mut m, mut out) = (Muxer::new(), Gather::new());
        m.start(&[track(2)], None, &mut out).unwrap();
        let starts = [0, 9600, 10_560];
        for (n, at) in starts.into_iter().enumerate() {
            let mut p = packet(1, at);
            if n == 2 {
                p.duration = Duration::from_rate(320, 48_000);
            }
            m.packet(&p, &mut out).unwrap();
        }
        m.finish(&mut out).unwrap();
        let got = read(out.to_vec());
        assert_eq!(got.iter().map(|p| p.0).collect::<Vec<_>>(), starts);
        assert_eq!(got[2].1, 320, "what is left of the last");
    }
}
