//! One track: its next sample, from the tables of `moov` or from fragments, and what makes packets of samples.

use super::boxes::moof::trun::Run;
use super::boxes::moov::trak::Trak;
use super::boxes::moov::trak::stbl::stsd::{Entry, Payload};
use super::boxes::pair;
use super::limits;
use super::samples::{Cursor, Sample, Walk};
use bytes::Bytes;
use mist_core::codec::{self, Codec, mpa, pcm};
use mist_core::format::{ErrorKind, IndexEntry};
use mist_core::media::{Kind, Packet, Params, TrackId, TrackInfo};
use mist_core::time::{Duration, Timestamp};
use std::collections::VecDeque;
use std::sync::Arc;

/// Runs of durations that are looked at to find how many pictures there are in a second.
const RATE_RUNS: usize = 4096;

/// A run of a fragment that is waiting.
#[derive(Debug)]
struct Waiting {
    run: Run,
    /// Sample description, counted from 0.
    description: u32,
    /// Decoding time of its first sample, where the fragment says.
    start: Option<i64>,
}

/// A track that can be read.
#[derive(Debug)]
pub(super) struct Track {
    pub(super) id: TrackId,
    trak: Trak,
    walk: Walk,
    cursor: Cursor,
    runs: VecDeque<Waiting>,
    /// Decoding time at which the next fragment begins that doesn't say.
    next_dts: Option<i64>,
    /// How far decoding times of fragments are brought forward: see [`Ctts::below`].
    ///
    /// [`Ctts::below`]: super::boxes::moov::trak::stbl::ctts::Ctts::below
    below: i64,
    head: Option<Sample>,
    /// Samples that had to be left out, the last of them: offset and reason.
    pub(super) trouble: Option<(u64, ErrorKind)>,
    /// As described last.
    info: Option<(u32, Arc<TrackInfo>)>,
    /// A sample that couldn't be made canonical was reported.
    reported: bool,
    /// Packets are not of the sizes that the tables say.
    resized: bool,
    /// A packet has come out.
    seen: bool,
}

/// What a sample became.
pub(super) type Packets = smallvec::SmallVec<[Packet; 1]>;

impl Track {
    /// `None` if no sample description can be used.
    pub(super) fn new(mut trak: Trak) -> Option<Self> {
        let first = trak.entries.iter().flatten().next()?;
        let frame = first.frame;
        let resizes = |e: &Entry| matches!(e.payload, Payload::Units(n) if n != 4);
        let resized = trak.entries.iter().flatten().any(resizes);
        let tables = std::mem::take(&mut trak.tables);
        let walk = Walk::new(tables, trak.shift, frame);
        let cursor = walk.start();
        Some(Self {
            id: TrackId(trak.id),
            trak,
            walk,
            cursor,
            runs: VecDeque::new(),
            next_dts: None,
            below: 0,
            head: None,
            trouble: None,
            info: None,
            reported: false,
            resized,
            seen: false,
        })
    }

    fn entry(&self, description: u32) -> Option<&Entry> {
        self.trak.entries.get(description as usize)?.as_ref()
    }

    /// What kind of track it is by its first usable description.
    pub(super) fn kind(&self) -> Kind {
        self.trak.entries.iter().flatten().next().map_or(Kind::Data, |e| e.codec.kind())
    }

    /// Packets are parts of samples: how large they are is known when they are read.
    pub(super) fn is_unwrapped(&self) -> bool {
        self.trak.entries.iter().flatten().any(|e| e.payload == Payload::Cues)
    }

    /// Samples in `moov`.
    pub(super) const fn len(&self) -> u32 {
        self.walk.len()
    }

    /// Bytes that its tables take.
    pub(super) fn table_bytes(&self) -> usize {
        self.walk.tables.bytes()
    }

    pub(super) fn time(&self, v: i64) -> Timestamp {
        Timestamp::from_rate(v, self.trak.timescale)
    }

    /// Adds a fragment's runs.
    pub(super) fn add(&mut self, runs: Vec<Run>, description: u32, start: Option<u64>) {
        let mut start = start.map(|t| i64::try_from(t).unwrap_or(i64::MAX));
        // The first offset below 0 moves all that follow, as it would have moved all of a file whose offsets are known.
        self.below = runs.iter().map(Run::below).max().unwrap_or(0).max(self.below);
        for run in runs.into_iter().filter(|r| r.left > 0) {
            let description = description.saturating_sub(1);
            self.runs.push_back(Waiting { run, description, start: start.take() });
        }
    }

    /// Presentation time of the first waiting run, if nothing says when it is decoded.
    pub(super) fn begin_at(&mut self, presented: Timestamp) {
        let (known, scale) = (self.next_dts.is_some(), self.trak.timescale);
        if let Some(w) = self.runs.front_mut().filter(|w| w.start.is_none() && !known) {
            let cts = w.run.peek().map_or(0, |s| i64::from(s.cts));
            w.start = Some(presented.to_rate(scale).saturating_sub(cts));
        }
    }

    /// The next sample.
    pub(super) fn head(&mut self) -> Option<Sample> {
        if self.head.is_some() {
            return self.head;
        }
        while let Some(s) = self.walk.peek(&self.cursor) {
            if self.entry(s.description).is_none() {
                self.walk.skip_chunk(&mut self.cursor);
            } else if s.size > limits::SAMPLE {
                self.cut_tables();
                self.trouble = Some((s.offset, ErrorKind::Limit("sample size")));
            } else {
                self.head = Some(s);
                return self.head;
            }
        }
        while let Some(w) = self.runs.front_mut() {
            if let Some(start) = w.start.take() {
                self.next_dts = Some(start);
            }
            let usable = self.trak.entries.get(w.description as usize).is_some_and(Option::is_some);
            let Some(s) = w.run.peek().filter(|_| usable) else {
                self.runs.pop_front();
                continue;
            };
            let (offset, description) = (w.run.at, w.description);
            if s.size > limits::SAMPLE {
                self.runs.pop_front();
                self.trouble = Some((offset, ErrorKind::Limit("sample size")));
                continue;
            }
            let continued = self.walk.time(&self.cursor);
            let dts = *self.next_dts.get_or_insert(continued);
            self.head = Some(Sample {
                offset,
                size: s.size,
                dts: dts.saturating_add(self.trak.shift).saturating_sub(self.below),
                cts: i64::from(s.cts) + self.below,
                duration: s.duration.into(),
                key: s.key || self.kind() != Kind::Video,
                description,
            });
            return self.head;
        }
        None
    }

    /// Decoding time of the next sample, and whether it is a keyframe.
    pub(super) fn next_time(&mut self) -> Option<(Timestamp, bool)> {
        let s = self.head()?;
        Some((self.time(s.dts), s.key))
    }

    /// To the sample behind it.
    pub(super) fn advance(&mut self) {
        let Some(s) = self.head.take() else { return };
        if self.walk.peek(&self.cursor).is_some() {
            self.walk.advance(&mut self.cursor);
        } else if let Some(w) = self.runs.front_mut() {
            w.run.skip();
            if w.run.left == 0 {
                self.runs.pop_front();
            }
            self.next_dts = self.next_dts.map(|t| t.saturating_add(s.duration));
        }
    }

    /// Goes to the next chunk that begins before `missing`, or to the next run: what lies there is not in the file.
    pub(super) fn skip_missing(&mut self, missing: u64) {
        self.head = None;
        if self.walk.peek(&self.cursor).is_some() {
            self.walk.skip_chunk(&mut self.cursor);
            while self.walk.peek(&self.cursor).is_some_and(|s| s.offset >= missing) {
                self.walk.skip_chunk(&mut self.cursor);
            }
        } else if let Some(w) = self.runs.pop_front() {
            self.next_dts = self.next_dts.map(|t| t.saturating_add(w.run.duration()));
        }
    }

    /// No more samples from the tables.
    fn cut_tables(&mut self) {
        while self.walk.peek(&self.cursor).is_some() {
            self.walk.skip_chunk(&mut self.cursor);
        }
    }

    /// The track as its next sample or, without one, its first description says.
    pub(super) fn describe(&mut self) -> Option<Arc<TrackInfo>> {
        let next = self.head().map(|s| s.description);
        let n = next.or_else(|| self.trak.entries.iter().position(Option::is_some).map(|n| n as u32))?;
        if self.entry(n)?.late {
            return None;
        }
        self.announce(n, None)
    }

    /// Describes the track by its description `n` if that isn't what was said last.
    fn announce(&mut self, n: u32, found: Option<(Codec, Bytes)>) -> Option<Arc<TrackInfo>> {
        if self.info.as_ref().is_some_and(|(last, _)| *last == n) {
            return None;
        }
        let e = self.entry(n)?;
        let (codec, init) = found.unwrap_or_else(|| (e.codec, e.init.clone()));
        let mut params = if e.late { codec::params(codec, &init).unwrap_or(e.params) } else { e.params };
        if let Params::Video { fpks: fpks @ 0, .. } = &mut params {
            *fpks = self.fpks();
        }
        let mut info = TrackInfo::new(self.id, codec, init, params).with_lang(self.trak.lang);
        info.visual = e.visual;
        info.visual.rotation = self.trak.rotation;
        let info = Arc::new(info);
        let same = self.info.as_ref().is_some_and(|(_, old)| *old == info);
        self.info = Some((n, info.clone()));
        (!same).then_some(info)
    }

    /// Takes over what is known of the track that had this id in a `moov` before.
    pub(super) fn succeeds(&mut self, old: Self) {
        self.next_dts = old.next_dts;
        if let Some((_, info)) = old.info {
            // Another number than any description has: it is compared, and repeated only if it differs.
            self.info = Some((u32::MAX, info));
        }
    }

    /// Pictures in 1000 seconds by the durations in the tables.
    fn fpks(&self) -> u32 {
        let (mut samples, mut total) = (0u64, 0u64);
        for (n, d) in self.walk.tables.stts.iter().map(pair).take(RATE_RUNS) {
            samples = samples.saturating_add(n.into());
            total = total.saturating_add(u64::from(n).saturating_mul(d.into()));
        }
        let scaled = u128::from(samples) * u128::from(self.trak.timescale) * 1000;
        let fpks = (scaled + u128::from(total / 2)).checked_div(total.into()).unwrap_or(0);
        u32::try_from(fpks).ok().filter(|f| *f <= 1_000_000).unwrap_or(0)
    }

    /// Makes packets of a sample's bytes, and a description of the track where that is due before them.
    ///
    /// # Errors
    /// The bytes aren't what the description says; said once.
    pub(super) fn packets(
        &mut self,
        s: &Sample,
        data: Bytes,
    ) -> Result<(Option<Arc<TrackInfo>>, Packets), ErrorKind> {
        let Some(e) = self.entry(s.description) else { return Ok((None, Packets::new())) };
        let (codec, late) = (e.codec, e.late);
        let (raw, stored) = (data.clone(), matches!(e.payload, Payload::Units(4)));
        let payloads = match Self::canonical(e, data) {
            // The first one tells whether there is something to leave out: sizes that were promised are kept.
            Ok(p)
                if stored
                    && self.seen
                    && !self.resized
                    && p.first().is_some_and(|p| p.len() != raw.len()) =>
            {
                smallvec::smallvec![raw]
            }
            Ok(p) => p,
            Err(kind) => {
                return if std::mem::replace(&mut self.reported, true) {
                    Ok((None, Packets::new()))
                } else {
                    Err(kind)
                };
            }
        };
        self.seen = true;
        self.resized |= payloads.first().is_some_and(|p| p.len() as u64 != u64::from(s.size));
        let mut found = None;
        if late && self.info.as_ref().is_none_or(|(n, _)| *n != s.description) {
            let first = payloads.first().map_or(&[][..], |p| p);
            found = match codec {
                // One object type is used for all layers.
                Codec::Mp3 | Codec::Mp2 => mpa::Header::parse(first)
                    .ok()
                    .map(|h| (if h.layer == 3 { Codec::Mp3 } else { Codec::Mp2 }, Bytes::new())),
                _ => codec::init_from_payload(codec, first).map(|init| (codec, init)),
            };
            // Nothing can be decoded before its parameter sets.
            if found.is_none() && matches!(codec, Codec::H264 | Codec::Hevc) {
                return Ok((None, Packets::new()));
            }
        }
        let info = self.announce(s.description, found);
        let (dts, pts) = (self.time(s.dts), self.time(s.dts.saturating_add(s.cts)));
        let duration = Duration::from_rate(s.duration, self.trak.timescale);
        let packet = |data| Packet { track: self.id, dts, cts: pts - dts, duration, key: s.key, data };
        Ok((info, payloads.into_iter().map(packet).collect()))
    }

    fn canonical(e: &Entry, data: Bytes) -> Result<smallvec::SmallVec<[Bytes; 1]>, ErrorKind> {
        Ok(smallvec::smallvec![match e.payload {
            Payload::AsIs => data,
            Payload::Units(n) => codec::canonical_payload(e.codec, data, n)?,
            Payload::Swap(bits) => pcm::swapped(data, bits),
            // A sample without cues says how long nothing is shown, which the cue before it says too.
            Payload::Cues => return Ok(codec::text::wvtt_cues(&data)?.into()),
        }])
    }

    /// Goes to the last keyframe shown at or before `to` and gives its presentation time; for the tables only.
    pub(super) fn seek_key(&mut self, to: Timestamp) -> Option<(Timestamp, Timestamp)> {
        let cursor = self.walk.key_before(to.to_rate(self.trak.timescale));
        let s = self.walk.peek(&cursor)?;
        self.go(cursor);
        Some((self.time(s.dts), self.time(s.dts.saturating_add(s.cts))))
    }

    /// Goes to the last sample decoded at or before `to`; for the tables only.
    pub(super) fn seek(&mut self, to: Timestamp) {
        let to = to.to_rate(self.trak.timescale);
        let cursor = if self.kind() == Kind::Video { self.walk.key_before(to) } else { self.walk.before(to) };
        self.go(cursor);
    }

    fn go(&mut self, cursor: Cursor) {
        self.cursor = cursor;
        self.clear();
    }

    /// Behind the samples of the tables, with no fragment waiting.
    pub(super) fn seek_fragments(&mut self) {
        self.cut_tables();
        self.clear();
    }

    fn clear(&mut self) {
        self.runs.clear();
        self.head = None;
        self.next_dts = None;
    }

    /// All packets of the tables; `None` where their sizes aren't known before they are read, and for video before the
    /// first packet has shown whether there is something in it to be left out.
    pub(super) fn index(&self) -> Option<Vec<IndexEntry>> {
        if self.resized || (!self.seen && self.kind() == Kind::Video) {
            return None;
        }
        let mut all = Vec::new();
        let mut c = self.walk.start();
        while let Some(s) = self.walk.peek(&c) {
            if self.entry(s.description).is_none() {
                self.walk.skip_chunk(&mut c);
                continue;
            }
            let (dts, pts) = (self.time(s.dts), self.time(s.dts.saturating_add(s.cts)));
            let duration = Duration::from_rate(s.duration, self.trak.timescale);
            all.push(IndexEntry { dts, cts: pts - dts, duration, size: s.size, key: s.key });
            self.walk.advance(&mut c);
        }
        Some(all)
    }
}
