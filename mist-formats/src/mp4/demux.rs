//! The file as a whole: from box to box, and from sample to sample.

use super::boxes::moov::mvex::Trex;
use super::boxes::{self, HEAD, Head, Log, Part, names};
use super::codecs::FourCc;
use super::samples::Sample;
use super::store::Store;
use super::structure;
use super::track::Track;
use super::{ID, limits};
use bytes::Bytes;
use mist_core::findings::Findings;
use mist_core::format::{Demuxed, ErrorKind, FormatError, Index, Want};
use mist_core::media::{Kind, TrackId};
use mist_core::time::{Duration, Timestamp};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// From box to box.
    Boxes,
    /// From sample to sample.
    Samples,
    Done,
}

/// Reads MP4, QuickTime and fragmented files and streams.
///
/// # Order
/// Samples of `moov` come by decoding time over all tracks, as [`Index::interleaved`] has them. Bytes are read in the
/// order of the file as long as what has to be held meanwhile stays below [`limits::HELD`]; a file that has its tracks
/// one behind the other is read with [`Want::At`] at several places at once. Fragments come one after the other as they
/// lie in the file, the samples of one by decoding time: a live stream needs no seeking.
///
/// # Times
/// Edit lists move a track as a whole: what they cut off at the start keeps coming with times below 0, because decoders
/// need it (see `boxes/moov/trak/elst.rs`). Where composition offsets are negative, decoding times are brought forward
/// so that no packet is due to be shown before it is decoded.
///
/// # Trouble
/// Tables that are shorter than they say, tracks without a usable description, encrypted tracks and the like are
/// problems that cost what they concern. Samples that lie beyond the end of the file end it with
/// [`ErrorKind::Truncated`] when everything else has come out.
///
/// [`Self::index`](mist_core::format::Demuxer::index) leaves WebVTT out, whose size is known only when it is
/// unwrapped, and is there when the first packet of every video track has come out.
#[derive(Debug)]
pub struct Demuxer {
    store: Store,
    state: State,
    /// Offset of the box that is next.
    pos: u64,
    /// Offset from which on nothing is there: the end, or where something was asked for in vain behind it.
    end: Option<u64>,
    /// Where the driver would go on by itself.
    next_push: u64,
    /// Where it was asked to go on instead.
    elsewhere: Option<u64>,
    /// What it was asked for last: from, to.
    asked: (u64, u64),
    /// A box was seen that this format has.
    known: bool,
    /// Media lies before `moov`.
    media_first: bool,
    moov: Option<Loaded>,
    tracks: Vec<Track>,
    /// Samples are waiting to be given out before the next fragment is read.
    waiting: bool,
    /// Where fragments begin that were seen or that an index names: time and offset, in order of offset.
    fragments: Vec<(Timestamp, u64)>,
    /// Presentation time of what comes next, by a `sidx`.
    begins: Option<(TrackId, Timestamp)>,
    /// The first sample that lies beyond the end.
    missing: Option<u64>,
    /// Samples in a row whose bytes were asked for and aren't there.
    misses: u32,
    /// Samples given out, and the farthest byte that any of them or their descriptions needed.
    given: u64,
    reach: u64,
    found: Findings,
}

/// What stays of `moov`.
#[derive(Debug)]
struct Loaded {
    defaults: Vec<Trex>,
    fragmented: bool,
    /// How long all of it is said to be.
    duration: Option<Duration>,
    /// Offset of the byte behind it.
    end: u64,
}

impl Default for Demuxer {
    fn default() -> Self {
        Self::new()
    }
}

/// What a step came to.
enum Step {
    Again,
    Need(Want),
}

type Stepped = Result<Step, FormatError>;

fn error(offset: u64, path: &'static str, kind: ErrorKind) -> FormatError {
    FormatError { format: ID, offset, path, kind }
}

impl Demuxer {
    /// At the start of a file.
    pub fn new() -> Self {
        Self {
            store: Store::default(),
            state: State::Boxes,
            pos: 0,
            end: None,
            next_push: 0,
            elsewhere: None,
            asked: (0, 0),
            known: false,
            media_first: false,
            moov: None,
            tracks: Vec::new(),
            waiting: false,
            fragments: Vec::new(),
            begins: None,
            missing: None,
            misses: 0,
            given: 0,
            reach: 0,
            found: Findings::new(ID),
        }
    }

    /// Bytes that the tables of samples take, which is all that is kept of them, and the number of samples.
    pub fn table_size(&self) -> (usize, u64) {
        let bytes = self.tracks.iter().map(Track::table_bytes).sum();
        (bytes, self.tracks.iter().map(|t| u64::from(t.len())).sum())
    }

    fn problem(&mut self, e: FormatError) {
        self.found.report(e);
    }

    /// Asks for `len` bytes at `offset`, of which not all are there.
    fn need(&mut self, offset: u64, len: u64) -> Step {
        let there = self.store.there(offset, len);
        let from = offset.saturating_add(there);
        let missing = len.saturating_sub(there).max(1);
        self.asked = (offset, offset.saturating_add(len));
        let gap = from.checked_sub(self.next_push).filter(|_| self.elsewhere.is_none());
        if gap.is_some_and(|g| g <= limits::GAP || self.is_needed_soon(from, g)) {
            return Step::Need(Want::Next);
        }
        self.elsewhere = Some(from);
        Step::Need(Want::At { offset: from, len: usize::try_from(missing).unwrap_or(usize::MAX) })
    }

    /// Whether the `gap` bytes before `to` are worth holding: another track is at them or not far before them.
    fn is_needed_soon(&mut self, to: u64, gap: u64) -> bool {
        const NEAR: u64 = limits::HELD as u64 / 2;
        let mut heads = self.tracks.iter_mut().filter_map(Track::head);
        gap <= NEAR && heads.any(|s| s.offset < to && to - s.offset <= NEAR)
    }

    /// Whether bytes at `offset` and behind can't come any more.
    fn is_end(&self, offset: u64) -> bool {
        self.end.is_some_and(|e| offset >= e)
    }

    /// The bytes of a range, if all are there; `None` and what to do if not, with `true` for the end of the source.
    fn range(&mut self, offset: u64, len: u64) -> Result<Bytes, Option<Step>> {
        let n = usize::try_from(len).unwrap_or(usize::MAX);
        if let Some(b) = self.store.get(offset, n) {
            return Ok(b);
        }
        let there = self.store.there(offset, len);
        if self.is_end(offset.saturating_add(there)) { Err(None) } else { Err(Some(self.need(offset, len))) }
    }

    /// One box at the top.
    fn next_box(&mut self) -> Stepped {
        if self.pos == u64::MAX {
            return self.finish();
        }
        let (bytes, n) = self.store.peek::<HEAD>(self.pos);
        let head = match Head::read(bytes.get(..n).unwrap_or_default()) {
            Ok(Some(h)) => h,
            Ok(None) if self.is_end(self.pos.saturating_add(n as u64)) => return self.finish(),
            Ok(None) => {
                let len = if n < 8 { 8 } else { HEAD as u64 };
                return Ok(self.need(self.pos, len));
            }
            Err(kind) if self.moov.is_some() => {
                self.problem(error(self.pos, "", kind));
                return self.finish();
            }
            Err(kind) => return Err(error(self.pos, "", kind)),
        };
        if !self.known && !names::is_known(&head.kind) {
            return Err(error(self.pos, "", ErrorKind::Malformed("no box that MP4 has")));
        }
        self.known = true;
        match &head.kind {
            // First what is described already.
            b"moov" | b"moof" if self.waiting => Ok(self.samples()),
            b"moov" => self.whole(head, limits::MOOV, "moov", Self::moov),
            b"moof" if self.moov.is_none() => {
                Err(error(self.pos, "moof", ErrorKind::Missing("fragment without a moov before it")))
            }
            b"moof" => self.whole(head, limits::MOOF, "moof", Self::moof),
            b"sidx" => self.whole(head, limits::SIDX, "sidx", Self::sidx),
            b"mdat" => {
                self.node(head);
                self.over(head);
                self.media_first |= self.moov.is_none();
                Ok(if self.waiting { self.samples() } else { Step::Again })
            }
            _ => {
                self.node(head);
                self.over(head);
                Ok(Step::Again)
            }
        }
    }

    fn samples(&mut self) -> Step {
        self.waiting = false;
        self.state = State::Samples;
        Step::Again
    }

    /// Over a box that isn't looked into.
    fn over(&mut self, head: Head) {
        self.pos = head.size.map_or(u64::MAX, |s| self.pos.saturating_add(s));
        self.drop_used();
    }

    fn node(&mut self, head: Head) {
        if self.found.wants_nodes() {
            self.found.show(structure::leaf(&head, self.pos));
        }
    }

    /// A box that is needed as a whole, to be read by `read`.
    fn whole(
        &mut self,
        head: Head,
        limit: u64,
        path: &'static str,
        read: fn(&mut Self, &Part, u64) -> Stepped,
    ) -> Stepped {
        let pos = self.pos;
        let size = match head.size {
            Some(s) => s,
            // To the end of the file, wherever that is.
            None => {
                let there = self.store.there(pos, limit.saturating_add(1));
                if there <= limit && !self.is_end(pos.saturating_add(there)) {
                    return Ok(self.need(pos, there.saturating_add(1)));
                }
                there
            }
        };
        if size > limit {
            return Err(error(pos, path, ErrorKind::Limit("size of the box")));
        }
        let whole = match self.range(pos, size) {
            Ok(b) => b,
            Err(Some(step)) => return Ok(step),
            Err(None) => return Err(error(pos, path, ErrorKind::Truncated)),
        };
        let body =
            if whole.len() as u64 >= head.len { whole.slice(head.len as usize..) } else { Bytes::new() };
        let part = Part { kind: head.kind, body, at: pos.saturating_add(head.len), head: head.len };
        if self.found.wants_nodes() {
            structure::all(&part, &mut |n| self.found.show(n));
        }
        self.pos = pos.saturating_add(size);
        self.reach = self.reach.max(self.pos);
        let end = self.pos;
        read(self, &part, end)
    }

    fn moov(&mut self, part: &Part, end: u64) -> Stepped {
        let mut log = Log::default();
        let moov = boxes::moov::read(part, &mut log);
        log.take().into_iter().for_each(|e| self.problem(e));
        let mut old = std::mem::take(&mut self.tracks);
        for trak in moov.tracks {
            let id = trak.id;
            let Some(mut t) = Track::new(trak) else { continue };
            if let Some(i) = old.iter().position(|o| o.id.0 == id) {
                t.succeeds(old.swap_remove(i));
            }
            t.describe().into_iter().for_each(|i| self.found.track(i));
            self.tracks.push(t);
        }
        old.sort_by_key(|t| t.id);
        old.into_iter().for_each(|t| self.found.gone(t.id));
        let boxes::moov::Moov { defaults, fragmented, duration, .. } = moov;
        self.moov = Some(Loaded { defaults, fragmented, duration, end });
        self.waiting = self.tracks.iter().any(|t| t.len() > 0);
        // Fragments are looked for behind the media that comes first, without going back to it.
        if self.waiting && (self.media_first || !fragmented) {
            return Ok(self.samples());
        }
        Ok(Step::Again)
    }

    fn moof(&mut self, part: &Part, _end: u64) -> Stepped {
        let mut log = Log::default();
        let defaults = self.moov.as_ref().map_or(&[][..], |m| &m.defaults);
        let trafs = boxes::moof::read(part, defaults, &mut log);
        log.take().into_iter().for_each(|e| self.problem(e));
        let main = self.main().and_then(|i| self.tracks.get(i)).map(|t| t.id);
        let offset = part.at.saturating_sub(part.head);
        let mut timed = false;
        for traf in trafs {
            let Some(t) = self.tracks.iter_mut().find(|t| t.id.0 == traf.track) else { continue };
            timed |= traf.start.is_some() && Some(t.id) == main;
            t.add(traf.runs, traf.description, traf.start);
            if let Some((_, time)) = self.begins.take_if(|(id, _)| *id == t.id) {
                t.begin_at(time);
            }
        }
        let first = self.main().and_then(|i| self.tracks.get_mut(i)).and_then(Track::next_time);
        if let Some((time, true)) = first.filter(|_| timed) {
            self.remember(time, offset);
        }
        self.waiting = true;
        Ok(Step::Again)
    }

    /// Takes note of where a fragment begins.
    fn remember(&mut self, time: Timestamp, offset: u64) {
        if self.fragments.len() >= limits::FRAGMENTS {
            // Every other one will do.
            let mut n = 0u32;
            self.fragments.retain(|_| {
                n += 1;
                n % 2 == 1
            });
        }
        let i = self.fragments.partition_point(|f| f.1 < offset);
        if self.fragments.get(i).is_none_or(|f| f.1 != offset) {
            self.fragments.insert(i, (time, offset));
        }
    }

    fn sidx(&mut self, part: &Part, end: u64) -> Stepped {
        let Some(sidx) = boxes::sidx::read(part, end) else {
            self.problem(part.error("sidx", ErrorKind::Truncated));
            return Ok(Step::Again);
        };
        self.begins.get_or_insert((TrackId(sidx.track), sidx.start));
        if self.main().and_then(|i| self.tracks.get(i)).is_some_and(|t| t.id.0 == sidx.track) {
            for (time, offset) in sidx.fragments {
                self.remember(time, offset);
            }
        }
        Ok(Step::Again)
    }

    /// The track by which seeking goes: the first with pictures, else the first.
    fn main(&self) -> Option<usize> {
        let video = self.tracks.iter().position(|t| t.kind() == Kind::Video);
        video.or(if self.tracks.is_empty() { None } else { Some(0) })
    }

    /// The next sample by decoding time, and its track.
    fn next_sample(&mut self) -> Option<(usize, Sample)> {
        let mut best: Option<(Timestamp, usize, Sample)> = None;
        for (i, t) in self.tracks.iter_mut().enumerate() {
            let Some(s) = t.head() else { continue };
            let time = t.time(s.dts);
            if best.is_none_or(|(b, _, _)| time < b) {
                best = Some((time, i, s));
            }
        }
        best.map(|(_, i, s)| (i, s))
    }

    fn sample(&mut self) -> Stepped {
        let next = self.next_sample();
        for t in &mut self.tracks {
            if let Some((offset, kind)) = t.trouble.take() {
                self.found.problem(offset, "mdat", kind);
            }
        }
        if !self.found.is_empty() {
            return Ok(Step::Again);
        }
        let Some((i, s)) = next else {
            let more = self.moov.as_ref().is_some_and(|m| m.fragmented) || self.given == 0;
            if more && self.missing.is_none() {
                self.state = State::Boxes;
                return Ok(Step::Again);
            }
            return self.finish();
        };
        let data = match self.range(s.offset, s.size.into()) {
            Ok(b) => b,
            Err(Some(step)) => return Ok(step),
            Err(None) => {
                self.missing.get_or_insert(s.offset);
                self.misses += 1;
                // Not by where the file ends: what is known of that depends on how it was read.
                match self.tracks.get_mut(i) {
                    Some(t) if self.misses <= limits::MISSES => t.skip_missing(s.offset),
                    _ => return self.finish(),
                }
                return Ok(Step::Again);
            }
        };
        self.misses = 0;
        self.given += 1;
        self.reach = self.reach.max(s.offset.saturating_add(s.size.into()));
        if self.given > limits::SHARED.saturating_add(self.reach.saturating_mul(8)) {
            return Err(error(s.offset, "mdat", ErrorKind::Limit("samples that share their bytes")));
        }
        let Some(t) = self.tracks.get_mut(i) else { return self.finish() };
        t.advance();
        match t.packets(&s, data) {
            Ok((info, packets)) => {
                info.into_iter().for_each(|i| self.found.track(i));
                packets.into_iter().for_each(|p| self.found.packet(p, s.offset));
            }
            Err(kind) => self.problem(error(s.offset, "mdat", kind)),
        }
        self.drop_used();
        Ok(Step::Again)
    }

    /// Drops bytes that nobody will need.
    fn drop_used(&mut self) {
        let boxes =
            self.state == State::Boxes || self.moov.as_ref().is_none_or(|m| m.fragmented) || self.given == 0;
        let first = self.tracks.iter_mut().filter_map(Track::head).map(|s| s.offset).min();
        if let Some(first) = first.into_iter().chain(boxes.then_some(self.pos)).min() {
            self.store.drop_before(first);
        }
    }

    /// Nothing more is there.
    fn finish(&mut self) -> Stepped {
        if self.waiting {
            return Ok(self.samples());
        }
        if self.moov.is_none() {
            let kind = if self.known { ErrorKind::Missing("no moov") } else { ErrorKind::Truncated };
            return Err(error(self.pos, "", kind));
        }
        if let Some(offset) = self.missing {
            return Err(error(offset, "mdat", ErrorKind::Truncated));
        }
        self.state = State::Done;
        Ok(Step::Again)
    }

    /// Goes to the fragment at or before `to`.
    fn seek_fragment(&mut self, to: Timestamp) -> Option<Timestamp> {
        let i = self.fragments.iter().rposition(|f| f.0 <= to).or(if self.fragments.is_empty() {
            None
        } else {
            Some(0)
        })?;
        let (time, offset) = *self.fragments.get(i)?;
        self.tracks.iter_mut().for_each(Track::seek_fragments);
        self.pos = offset;
        self.state = State::Boxes;
        Some(time)
    }

    /// Goes to the keyframe at or before `to` in the tables of `moov`.
    fn seek_tables(&mut self, to: Timestamp) -> Option<Timestamp> {
        let main = self.main()?;
        let (dts, pts) = self.tracks.get_mut(main)?.seek_key(to)?;
        for (i, t) in self.tracks.iter_mut().enumerate() {
            if i != main {
                t.seek(dts);
            }
        }
        if let Some(m) = &self.moov {
            // Fragments come again behind it.
            if m.fragmented && !self.media_first {
                self.pos = m.end;
                self.waiting = true;
                self.state = State::Boxes;
            } else {
                self.state = State::Samples;
            }
        }
        Some(pts)
    }
}

impl mist_core::format::Demuxer for Demuxer {
    fn push(&mut self, offset: u64, data: Bytes) {
        if self.state == State::Done || self.found.error().is_some() {
            return;
        }
        self.next_push = offset.saturating_add(data.len() as u64);
        self.elsewhere = None;
        self.store.push(offset, data, self.asked);
        if self.state == State::Samples {
            self.drop_used();
        }
    }

    fn end(&mut self) {
        let at = self.elsewhere.unwrap_or(self.next_push);
        self.end = Some(self.end.unwrap_or(u64::MAX).min(at));
    }

    fn poll(&mut self) -> Result<Demuxed, FormatError> {
        loop {
            if let Some(found) = self.found.pop() {
                return found;
            }
            let step = match self.state {
                State::Boxes => self.next_box(),
                State::Samples => self.sample(),
                State::Done => return Ok(Demuxed::End),
            };
            match step {
                Ok(Step::Again) => {}
                Ok(Step::Need(want)) => return Ok(Demuxed::Need(want)),
                Err(e) => self.found.end_with(e),
            }
        }
    }

    fn seek(&mut self, to: Timestamp) -> Result<Timestamp, FormatError> {
        if let Some(e) = self.found.error() {
            return Err(e.clone());
        }
        let refused = error(self.pos, "", ErrorKind::Unsupported("seeking without an index"));
        let in_tables = self.main().and_then(|i| self.tracks.get(i)).is_some_and(|t| t.len() > 0);
        let beyond = self.fragments.first().is_some_and(|f| f.0 <= to);
        let found = if in_tables && !beyond { self.seek_tables(to) } else { self.seek_fragment(to) };
        let time = found.ok_or(refused)?;
        self.found.seek();
        (self.missing, self.misses) = (None, 0);
        Ok(time)
    }

    fn packet_offset(&self) -> Option<u64> {
        self.found.packet_offset()
    }

    fn declared_duration(&self) -> Option<Duration> {
        // That of the movie leaves out what is in fragments.
        self.moov.as_ref().filter(|m| !m.fragmented)?.duration
    }

    fn index(&self) -> Option<Index> {
        let moov = self.moov.as_ref().filter(|m| !m.fragmented)?;
        let samples: u64 = self.tracks.iter().map(|t| u64::from(t.len())).sum();
        if self.given == 0 || samples > limits::INDEX.saturating_add(moov.end.saturating_mul(2)) {
            return None;
        }
        let media = self.tracks.iter().filter(|t| !t.is_unwrapped() && t.len() > 0);
        let tracks = media.map(|t| Some((t.id, t.index()?))).collect::<Option<_>>()?;
        Some(Index { tracks })
    }

    fn want_nodes(&mut self) {
        self.found.want_nodes();
    }
}

/// A box's type that is to be shown.
pub(super) fn shown(kind: FourCc) -> String {
    kind.escape_ascii().to_string()
}
