//! Init segments and movie fragments as segmenters and live outputs need them (ISO/IEC 14496-12 §8.8 and §8.16,
//! ISO/IEC 23000-19).

use super::boxes::Boxes;
use super::movie::{Edit, Movie, Places, Trak, ftyp};
use super::time::{Timeline, nominal, timescale};
use super::{error, limits, sample, sample_entry};
use bytes::Bytes;
use mist_core::format::{ErrorKind, FormatError};
use mist_core::gather::Gather;
use mist_core::media::{Kind, Packet, TrackInfo};
use mist_core::time::{Duration, Timestamp};
use smallvec::SmallVec;

/// A track as an init segment describes it. The first gets id 1, the next 2 and so on.
#[derive(Debug, Clone, Copy)]
pub struct Described<'a> {
    /// The track.
    pub info: &'a TrackInfo,
    /// A payload of it, where one is at hand: codecs without init data are described by it.
    pub sample: Option<&'a Bytes>,
}

/// Packets of one track in a fragment.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// The track.
    pub info: &'a TrackInfo,
    /// Its id in the init segment.
    pub id: u32,
    /// Its packets in decoding order.
    pub packets: &'a [Packet],
    /// Decoding time of the packet that follows them, where it is known: the last one lasts until then.
    pub next: Option<Timestamp>,
    /// NAL units with 4-byte lengths to put in front of keyframes: parameter sets that aren't those of the init
    /// segment; empty for none.
    pub parameters: &'a Bytes,
}

/// What [`fragment`] wrote.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// Bytes in all.
    pub len: u64,
    /// Bytes of the `moof`.
    pub moof: u64,
}

/// Where in a traf and how its times are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flavour {
    /// `tfdt` before the run.
    Cmaf,
    /// A box after the run.
    Ismv,
}

/// One sample of a run.
#[derive(Debug, Clone, Copy)]
struct Sample {
    duration: u32,
    size: u32,
    key: bool,
    cts: i32,
}

/// A run in media time.
#[derive(Debug)]
pub(super) struct Prepared {
    id: u32,
    /// Decoding time of its first sample.
    pub(super) start: u64,
    samples: Vec<Sample>,
    /// Bytes.
    len: u64,
}

impl Prepared {
    /// Media time from its first sample to the end of its last.
    pub(super) fn duration(&self) -> u64 {
        self.samples.iter().map(|s| u64::from(s.duration)).sum()
    }
}

/// `ftyp` and `moov` of a fragmented movie, and where its durations are.
pub(super) fn head(tracks: &[Described<'_>], timeline: Timeline) -> Result<(Boxes, Places), FormatError> {
    if tracks.len() > limits::TRACKS {
        return Err(error(0, "moov", ErrorKind::Limit("tracks")));
    }
    let mut traks = Vec::with_capacity(tracks.len());
    for (i, t) in tracks.iter().enumerate() {
        let mut entry = Boxes::new();
        sample_entry::write(&mut entry, t.info, t.sample.map(|s| &s[..]), None)
            .map_err(|kind| error(0, "moov/trak/mdia/minf/stbl/stsd", kind))?;
        let scale = timescale(t.info);
        let start = timeline.start(scale);
        traks.push(Trak {
            info: t.info,
            id: i as u32 + 1,
            scale,
            media_duration: 0,
            duration: 0,
            edits: if start > 0 { vec![Edit { duration: 0, media_time: Some(start) }] } else { Vec::new() },
            entry: entry.into_vec(),
        });
    }
    let mut w = Boxes::with_capacity(1024);
    ftyp(&mut w, tracks.iter().map(|t| t.info), true);
    let movie = Movie { scale: 1000, duration: 0, tracks: traks, fragmented: true };
    let places = movie.write(&mut w, |w, _| {
        w.full(b"stts", 0, 0, |w| _ = w.u32(0));
        w.full(b"stsc", 0, 0, |w| _ = w.u32(0));
        w.full(b"stsz", 0, 0, |w| _ = w.u32(0).u32(0));
        w.full(b"stco", 0, 0, |w| _ = w.u32(0));
    });
    Ok((w, places))
}

/// The init segment of a CMAF track, or of several in one file: what must come before any fragment of theirs.
///
/// Depends on nothing but its arguments, so that it can be made again at any time. `timeline` must be that of the
/// fragments; an edit list takes its lead off again.
///
/// # Errors
/// A track can't be described in MP4, or there are more than [`limits::TRACKS`].
pub fn init_segment(tracks: &[Described<'_>], timeline: Timeline) -> Result<Bytes, FormatError> {
    Ok(head(tracks, timeline)?.0.into_vec().into())
}

/// `styp` of a CMAF segment: players of DASH look for it at a segment's start.
pub fn styp(out: &mut Gather) {
    let mut w = Boxes::new();
    w.boxed(b"styp", |w| _ = w.bytes(b"msdh").u32(0).bytes(b"msdhmsixcmfs"));
    out.put(w.as_slice());
}

/// `sidx` of a segment of one track that lies directly in front of its only fragment (§8.16.3).
pub fn sidx(run: &Run<'_>, timeline: Timeline, written: Written, out: &mut Gather) {
    let scale = timescale(run.info);
    let prepared = prepare(run, timeline, scale, &mut Vec::new());
    let pts = run.packets.iter().map(|p| timeline.media(p.pts(), scale)).min().unwrap_or(0);
    let mut w = Boxes::new();
    w.full(b"sidx", 1, 0, |w| {
        w.u32(run.id).u32(scale).u64(pts.max(0) as u64).u64(0).u16(0).u16(1);
        w.u32(u32::try_from(written.len).unwrap_or(u32::MAX) & 0x7fff_ffff);
        w.u32(u32::try_from(prepared.duration()).unwrap_or(u32::MAX));
        let key = run.packets.first().is_some_and(|p| p.key);
        w.u32(if key { 0x9000_0000 } else { 0 });
    });
    out.put(w.as_slice());
}

/// A fragment: `moof` and `mdat` with the runs one behind the other. A CMAF chunk, if there is only one. Empty runs are
/// left out.
///
/// # Errors
/// More than 2 GiB.
pub fn fragment(
    sequence: u32,
    timeline: Timeline,
    runs: &[Run<'_>],
    out: &mut Gather,
) -> Result<Written, FormatError> {
    let mut pieces = Vec::new();
    let prepared: SmallVec<[Prepared; 4]> = runs
        .iter()
        .filter(|r| !r.packets.is_empty())
        .map(|r| prepare(r, timeline, timescale(r.info), &mut pieces))
        .collect();
    write(sequence, &prepared, Flavour::Cmaf, |_, _| {}, pieces, out)
}

/// Brings a run into media time and its payload into the form of samples.
pub(super) fn prepare(run: &Run<'_>, timeline: Timeline, scale: u32, pieces: &mut Vec<Bytes>) -> Prepared {
    let at = |t: Timestamp| timeline.media(t, scale).max(0);
    let text = run.info.codec.kind() == Kind::Text;
    let mut samples = Vec::with_capacity(run.packets.len());
    let mut start = None;
    let mut len = 0u64;
    let mut last: Option<u32> = None;
    // Decoding times that step back are held: presentation times stay what they are.
    let mut dts = 0;
    for (i, p) in run.packets.iter().enumerate() {
        dts = at(p.dts).max(dts);
        start.get_or_insert(dts);
        let next = run.packets.get(i + 1).map(|n| n.dts).or(run.next).map(|n| at(n).max(dts));
        let until = next.map(|n| u32::try_from(n - dts).unwrap_or(u32::MAX));
        let shown = u32::try_from(p.duration.to_rate(scale)).unwrap_or(u32::MAX);
        // Text ends before the next begins: what nothing is shown in is a sample of its own.
        let gap = until.map(|u| u.saturating_sub(shown)).filter(|g| text && shown > 0 && *g > 0);
        let duration = match (gap, until) {
            (Some(_), _) => shown,
            (None, Some(until)) => until,
            (None, None) => nominal(run.info, Some(p), last, scale),
        };
        let before = pieces.len();
        sample::put(run.info, p, run.parameters, pieces);
        let size: u64 = pieces.iter().skip(before).map(|b| b.len() as u64).sum();
        len = len.saturating_add(size);
        let cts = timeline.media(p.pts(), scale).saturating_sub(dts);
        samples.push(Sample {
            duration,
            size: u32::try_from(size).unwrap_or(u32::MAX),
            key: p.key,
            cts: i32::try_from(cts).unwrap_or(if cts < 0 { i32::MIN } else { i32::MAX }),
        });
        if let Some(duration) = gap {
            let empty = sample::gap(run.info.codec);
            len = len.saturating_add(empty.len() as u64);
            samples.push(Sample { duration, size: empty.len() as u32, key: true, cts: 0 });
            pieces.push(Bytes::from_static(empty));
        }
        last = Some(duration);
    }
    Prepared { id: run.id, start: start.unwrap_or(0).max(0) as u64, samples, len }
}

/// Depends on others, and isn't one to start with (§8.8.3.1).
const DELTA: u32 = 0x0101_0000;
/// Depends on none.
const SYNC: u32 = 0x0200_0000;

const fn flags(key: bool) -> u32 {
    if key { SYNC } else { DELTA }
}

pub(super) fn write(
    sequence: u32,
    runs: &[Prepared],
    flavour: Flavour,
    mut extra: impl FnMut(&mut Boxes, &Prepared),
    pieces: Vec<Bytes>,
    out: &mut Gather,
) -> Result<Written, FormatError> {
    let payload: u64 = runs.iter().map(|r| r.len).fold(0, u64::saturating_add);
    if payload > limits::FRAGMENT_BYTES {
        return Err(error(0, "mdat", ErrorKind::Limit("bytes of a fragment")));
    }
    let samples: usize = runs.iter().map(|r| r.samples.len()).sum();
    let mut w = Boxes::with_capacity(96 + runs.len() * 96 + samples * 16);
    // where each run's data offset is to be put
    let mut places: SmallVec<[usize; 4]> = SmallVec::new();
    w.boxed(b"moof", |w| {
        w.full(b"mfhd", 0, 0, |w| _ = w.u32(sequence));
        for r in runs {
            w.boxed(b"traf", |w| {
                places.push(traf(w, r, flavour));
                extra(w, r);
            });
        }
    });
    let moof = w.len() as u64;
    let mut at = moof + 8;
    for (place, r) in places.iter().zip(runs) {
        w.set_u32(*place, at as u32);
        at += r.len;
    }
    w.u32(payload as u32 + 8).bytes(b"mdat");
    out.put(w.as_slice());
    for p in pieces {
        out.push(p);
    }
    Ok(Written { len: at, moof })
}

/// Writes what a `traf` has, and gives the place of the data offset. What is the same in all samples is said once.
fn traf(w: &mut Boxes, run: &Prepared, flavour: Flavour) -> usize {
    let (first, rest) = match run.samples.split_first() {
        Some((first, rest)) => (*first, rest),
        None => (Sample { duration: 0, size: 0, key: true, cts: 0 }, &[][..]),
    };
    let same = |f: fn(&Sample) -> u32| rest.iter().all(|s| f(s) == f(&first));
    let duration = same(|s| s.duration).then_some(first.duration);
    let size = same(|s| s.size).then_some(first.size);
    // One value for all but the first, which usually is the keyframe.
    let key = rest.first().map_or(first.key, |s| s.key);
    let uniform = rest.iter().all(|s| s.key == key);
    let has_cts = run.samples.iter().any(|s| s.cts != 0);
    let signed = run.samples.iter().any(|s| s.cts < 0);
    let mut tf = 0x02_0000;
    for (bit, there) in [(8, duration.is_some()), (0x10, size.is_some()), (0x20, uniform)] {
        tf |= if there { bit } else { 0 };
    }
    w.full(b"tfhd", 0, tf, |w| {
        w.u32(run.id);
        for v in [duration, size, uniform.then_some(flags(key))].into_iter().flatten() {
            w.u32(v);
        }
    });
    if flavour == Flavour::Cmaf {
        w.full(b"tfdt", 1, 0, |w| _ = w.u64(run.start));
    }
    let mut tr = 1;
    for (bit, there) in [
        (4, uniform && first.key != key),
        (0x100, duration.is_none()),
        (0x200, size.is_none()),
        (0x400, !uniform),
        (0x800, has_cts),
    ] {
        tr |= if there { bit } else { 0 };
    }
    let mut place = 0;
    w.full(b"trun", u8::from(signed), tr, |w| {
        w.u32(run.samples.len() as u32);
        place = w.len();
        w.u32(0);
        if tr & 4 != 0 {
            w.u32(flags(first.key));
        }
        for s in &run.samples {
            if duration.is_none() {
                w.u32(s.duration);
            }
            if size.is_none() {
                w.u32(s.size);
            }
            if !uniform {
                w.u32(flags(s.key));
            }
            if has_cts {
                w.i32(s.cts);
            }
        }
    });
    place
}

/// The end of a run in stream time, as far as it is told: for durations of the whole.
pub(super) fn end(info: &TrackInfo, p: &Packet) -> Timestamp {
    let scale = timescale(info);
    p.pts() + Duration::from_rate(i64::from(nominal(info, Some(p), None, scale)), scale)
}
