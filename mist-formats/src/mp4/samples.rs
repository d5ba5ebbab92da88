//! Walking a track's sample table: where each sample is, when it is due and how large it is.
//!
//! Nothing is unfolded: the tables stay as they lie in the file, and a [`Cursor`] remembers its place in each.

use super::boxes::moov::trak::stbl::Tables;
use super::boxes::moov::trak::stbl::stsz::Stsz;
use super::boxes::pair;

/// Moments of PCM that make a packet: as many as ffmpeg takes.
const PCM_MOMENTS: u32 = 1024;

/// Keyframes that are decoded before a time and shown after it, at most.
const KEYS_BACK: u32 = 8;

/// A packet to be, in the track's timescale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sample {
    /// Offset in the source.
    pub(super) offset: u64,
    /// Bytes.
    pub(super) size: u32,
    /// Decoding time.
    pub(super) dts: i64,
    /// Composition offset.
    pub(super) cts: i64,
    /// Duration.
    pub(super) duration: i64,
    /// Decoding can start here.
    pub(super) key: bool,
    /// Sample description, counted from 0.
    pub(super) description: u32,
}

/// A place in the tables.
#[derive(Debug, Clone, Default)]
pub(super) struct Cursor {
    /// The sample that is next.
    pub(super) sample: u32,
    /// The chunk that it is in.
    chunk: u32,
    /// Samples of the chunk that are left, the next included; 0 before the first and behind the last chunk.
    chunk_left: u32,
    /// Offset of the sample.
    offset: u64,
    stsc_run: u32,
    description: u32,
    stts_run: u32,
    stts_left: u32,
    duration: u32,
    ctts_run: u32,
    ctts_left: u32,
    cts: i32,
    stss_at: u32,
    /// Decoding time by the tables alone.
    dts: i64,
}

/// A track's tables and what is the same for all its samples.
#[derive(Debug)]
pub(super) struct Walk {
    pub(super) tables: Tables,
    /// Added to all times.
    pub(super) shift: i64,
    /// Bytes of a moment of PCM, if samples are moments and packets are made of many; else 0.
    pub(super) frame: u32,
}

impl Walk {
    /// `frame` as in a sample description.
    pub(super) fn new(tables: Tables, shift: i64, frame: u32) -> Self {
        let moments = matches!(tables.stsz, Stsz::Constant { size, .. } if size <= frame);
        Self { tables, shift, frame: if moments { frame } else { 0 } }
    }

    /// Samples, however many packets they make.
    pub(super) const fn len(&self) -> u32 {
        self.tables.stsz.len()
    }

    /// The first place.
    pub(super) fn start(&self) -> Cursor {
        let mut c = Cursor::default();
        self.next_duration(&mut c);
        self.next_offset(&mut c);
        self.enter_chunk(&mut c);
        c
    }

    /// From a chunk's first sample on; over empty chunks.
    fn enter_chunk(&self, c: &mut Cursor) {
        c.chunk_left = 0;
        while c.sample < self.len() {
            let Some(offset) = self.tables.stco.get(c.chunk) else { return };
            let first = |run: u32| {
                self.tables.stsc.get(run).and_then(|e| e.first_chunk().copied()).map(u32::from_be_bytes)
            };
            while first(c.stsc_run + 1).is_some_and(|f| f <= c.chunk.saturating_add(1)) {
                c.stsc_run += 1;
            }
            let Some([_, _, _, _, rest @ ..]) = self.tables.stsc.get(c.stsc_run) else { return };
            let (samples, description) = pair(rest);
            c.description = description.saturating_sub(1);
            c.offset = offset;
            c.chunk_left = samples.min(self.len() - c.sample);
            if c.chunk_left > 0 {
                return;
            }
            c.chunk += 1;
        }
    }

    /// From a run of durations to the next one that isn't empty; the last goes on for ever.
    fn next_duration(&self, c: &mut Cursor) {
        while c.stts_left == 0 {
            let Some((n, duration)) = self.tables.stts.get(c.stts_run).map(pair) else {
                c.stts_left = u32::MAX;
                return;
            };
            c.stts_run += 1;
            c.stts_left = n;
            if n > 0 {
                c.duration = duration;
            }
        }
    }

    /// From a run of composition offsets to the next one that isn't empty; behind the last they are 0.
    fn next_offset(&self, c: &mut Cursor) {
        while c.ctts_left == 0 {
            let Some((n, cts)) = self.tables.ctts.run(c.ctts_run) else {
                (c.ctts_left, c.cts) = (u32::MAX, 0);
                return;
            };
            c.ctts_run += 1;
            (c.ctts_left, c.cts) = (n, cts);
        }
    }

    /// Samples that make the packet at the cursor.
    fn take(&self, c: &Cursor) -> u32 {
        if self.frame > 0 { c.chunk_left.min(PCM_MOMENTS) } else { 1 }
    }

    fn is_key(&self, c: &Cursor) -> bool {
        let Some(stss) = &self.tables.stss else { return true };
        // An empty list can't mean that nothing can be decoded.
        if stss.len() == 0 {
            return c.sample == 0;
        }
        stss.get(c.stss_at).is_some_and(|n| u32::from_be_bytes(n) == c.sample + 1)
    }

    /// The packet at the cursor; `None` behind the last.
    pub(super) fn peek(&self, c: &Cursor) -> Option<Sample> {
        if c.chunk_left == 0 {
            return None;
        }
        let n = self.take(c);
        let size =
            if self.frame > 0 { n.saturating_mul(self.frame) } else { self.tables.stsz.get(c.sample)? };
        let below = self.tables.ctts.below();
        Some(Sample {
            offset: c.offset,
            size,
            dts: c.dts.saturating_add(self.shift).saturating_sub(below),
            cts: i64::from(c.cts) + below,
            duration: i64::from(c.duration) * i64::from(n),
            key: self.is_key(c),
            description: c.description,
        })
    }

    /// Where the track would go on behind the cursor, by its own clock.
    pub(super) const fn time(&self, c: &Cursor) -> i64 {
        c.dts
    }

    /// To the packet behind it.
    pub(super) fn advance(&self, c: &mut Cursor) {
        let Some(s) = self.peek(c) else { return };
        let n = self.take(c);
        c.offset = c.offset.saturating_add(s.size.into());
        c.sample += n;
        c.chunk_left -= n;
        self.pass(c, n);
        if c.chunk_left == 0 {
            c.chunk += 1;
            self.enter_chunk(c);
        }
    }

    /// Over the rest of the chunk.
    pub(super) fn skip_chunk(&self, c: &mut Cursor) {
        let n = c.chunk_left;
        c.sample += n;
        self.pass(c, n);
        c.chunk += 1;
        self.enter_chunk(c);
    }

    /// Times and keyframes go `n` samples on, to `c.sample`.
    fn pass(&self, c: &mut Cursor, mut n: u32) {
        let mut m = n;
        while n > 0 {
            let k = n.min(c.stts_left);
            c.dts = c.dts.saturating_add(i64::from(k) * i64::from(c.duration));
            c.stts_left -= k;
            n -= k;
            self.next_duration(c);
        }
        while m > 0 {
            let k = m.min(c.ctts_left);
            c.ctts_left -= k;
            m -= k;
            self.next_offset(c);
        }
        if let Some(stss) = &self.tables.stss {
            while stss.get(c.stss_at).is_some_and(|k| u32::from_be_bytes(k) <= c.sample) {
                c.stss_at += 1;
            }
        }
    }

    /// The last keyframe that is shown at or before `time`, else the first; where it is.
    pub(super) fn key_before(&self, time: i64) -> Cursor {
        // Keyframes are decoded a little before they are shown, so that the first guess is at most one too late.
        let mut sample = self.at(time.saturating_sub(self.shift).saturating_add(self.tables.ctts.below()));
        let mut tries = 0;
        loop {
            tries += 1;
            let key = match &self.tables.stss {
                None => sample,
                Some(stss) => {
                    let n = partition(stss.len(), |i| {
                        stss.get(i).is_some_and(|k| u32::from_be_bytes(k) <= sample.saturating_add(1))
                    });
                    let number = n.checked_sub(1).and_then(|i| stss.get(i)).map_or(1, u32::from_be_bytes);
                    number.saturating_sub(1)
                }
            };
            let c = self.goto(key);
            let Some(before) = key.checked_sub(1) else { return c };
            let shown = self.peek(&c).is_some_and(|s| s.dts.saturating_add(s.cts) <= time);
            if shown || self.frame > 0 || tries > KEYS_BACK {
                return c;
            }
            sample = before;
        }
    }

    /// The last packet that is decoded at or before `time`, else the first.
    pub(super) fn before(&self, time: i64) -> Cursor {
        self.goto(self.at(time.saturating_sub(self.shift).saturating_add(self.tables.ctts.below())))
    }

    /// The last sample whose decoding time by the tables is at or before `time`, else the first.
    fn at(&self, time: i64) -> u32 {
        let (mut sample, mut dts, mut duration) = (0u32, 0i64, 0u32);
        let last = self.len().saturating_sub(1);
        for (n, d) in self.tables.stts.iter().map(pair).chain([(u32::MAX, u32::MAX)]) {
            // The last run goes on.
            duration = if d == u32::MAX && n == u32::MAX { duration } else { d };
            let end = dts.saturating_add(i64::from(n).saturating_mul(duration.into()));
            if end > time || sample.saturating_add(n) > last {
                let inside = time.saturating_sub(dts).checked_div(duration.into()).unwrap_or(0).max(0);
                let inside = u32::try_from(inside).unwrap_or(u32::MAX).min(n.saturating_sub(1));
                return sample.saturating_add(inside).min(last);
            }
            (sample, dts) = (sample + n, end);
        }
        last
    }

    /// The place of a sample, or of the packet that it is in.
    fn goto(&self, sample: u32) -> Cursor {
        let mut c = self.start();
        let sample = sample.min(self.len().saturating_sub(1));
        while c.chunk_left > 0 && sample - c.sample >= c.chunk_left {
            self.skip_chunk(&mut c);
        }
        while c.chunk_left > 0 && c.sample < sample {
            let n = self.take(&c);
            if sample - c.sample < n {
                break;
            }
            self.advance(&mut c);
        }
        c
    }
}

/// The first of `n` for which it isn't true any more.
fn partition(n: u32, is_before: impl Fn(u32) -> bool) -> u32 {
    let (mut low, mut high) = (0, n);
    while low < high {
        let middle = low + (high - low) / 2;
        if is_before(middle) { low = middle + 1 } else { high = middle }
    }
    low
}
