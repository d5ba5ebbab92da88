//! A file laid out from an index: `ftyp`, `moov` with all sample tables, and one `mdat` with the samples in the order of
//! [`Index::interleaved`].

use super::boxes::Boxes;
use super::movie::{Edit, Movie, Trak, ftyp};
use super::sample_entry::{self, BitRate};
use super::time::{Timeline, nominal, timescale};
use super::{error, limits, sample};
use bytes::Bytes;
use mist_core::codec::Codec;
use mist_core::format::{ErrorKind, FormatError, Index, IndexEntry, Patch};
use mist_core::gather::Gather;
use mist_core::layout::Layout;
use mist_core::media::{Kind, Packet, TrackInfo};
use mist_core::time::{TICKS_PER_SECOND, Timestamp};
use smallvec::SmallVec;
use std::sync::Arc;

/// Packets of a track that are looked at for what is shown first: more than any reordering spans.
const HEAD: usize = 64;
/// Samples of one chunk.
const CHUNK_SAMPLES: u32 = 256;
/// What shows nothing, in front of the packets: the samples between texts all point there.
const GAPS: [Codec; 2] = [Codec::Tx3g, Codec::WebVtt];

/// Tables of one track, without those of its chunks.
#[derive(Debug, Default)]
struct Tables {
    /// `stts`, `ctts`, `stss`, `stsz` as they are.
    boxes: Vec<u8>,
    /// Packets behind which nothing is shown for a while.
    gaps: Vec<u32>,
    /// Media time of the first sample from the presentation's beginning, in order of decoding.
    start: i64,
    /// The same in order of presentation.
    shown: i64,
    /// When the last is over.
    end: i64,
    /// Media time of all samples.
    duration: u64,
    rate: BitRate,
}

impl Tables {
    /// When the track's only edit with media begins. No edit reaches to before the media's zero, whatever is shown
    /// before it is decoded.
    fn begin(&self) -> i64 {
        if self.start == 0 { 0 } else { self.shown.max(self.start).max(0) }
    }
}

/// A table of runs: a count and a value each.
#[derive(Debug)]
struct Runs<T> {
    w: Boxes,
    count: u32,
    last: Option<(u32, T)>,
}

impl<T: Copy + PartialEq> Runs<T> {
    fn new() -> Self {
        Self { w: Boxes::new(), count: 0, last: None }
    }

    fn add(&mut self, v: T, bits: fn(T) -> u32) {
        match &mut self.last {
            Some((n, last)) if *last == v => *n += 1,
            _ => {
                self.end(bits);
                self.last = Some((1, v));
            }
        }
    }

    fn end(&mut self, bits: fn(T) -> u32) {
        if let Some((n, v)) = self.last.take() {
            self.w.u32(n).u32(bits(v));
            self.count += 1;
        }
    }
}

/// Where a track's samples lie.
#[derive(Debug)]
struct Chunks {
    /// Offsets from the first byte of the media.
    offsets: Vec<u64>,
    /// `stsc` entries: first chunk and its samples.
    runs: Vec<(u32, u32)>,
    /// Samples of the chunk that is open.
    open: u32,
}

impl Chunks {
    fn close(&mut self) {
        let samples = std::mem::take(&mut self.open);
        if samples > 0 && self.runs.last().is_none_or(|r| r.1 != samples) {
            self.runs.push((self.offsets.len() as u32, samples));
        }
    }

    fn begin(&mut self, offset: u64) {
        self.close();
        self.offsets.push(offset);
    }
}

/// What a packet takes in the file.
fn size(info: &TrackInfo, e: &IndexEntry) -> u32 {
    e.size.saturating_add(sample::around(info.codec))
}

fn tables(info: &TrackInfo, entries: &[IndexEntry], timeline: Timeline, scale: u32) -> Tables {
    let at = |t: Timestamp| (t - timeline.origin).to_rate(scale);
    let is_text = info.codec.kind() == Kind::Text;
    let (mut stts, mut ctts) = (Runs::<u32>::new(), Runs::<i32>::new());
    let mut sizes = Boxes::with_capacity(entries.len() * 4);
    let mut sync = Boxes::new();
    let mut this = Tables::default();
    let (mut samples, mut keys, mut constant) = (0u32, 0u32, true);
    let (mut signed, mut composed) = (false, false);
    let (mut total, mut largest, mut most) = (0u64, 0u32, 0u64);
    let (mut second, mut in_second) = (i64::MIN, 0u64);
    let mut dts = entries.first().map_or(0, |e| at(e.dts));
    let mut last = None;
    this.start = dts;
    this.shown = entries.iter().take(HEAD).map(|e| at(e.dts + e.cts)).min().unwrap_or(dts);
    for (i, e) in entries.iter().enumerate() {
        let next = entries.get(i + 1).map(|n| at(n.dts).max(dts));
        let until = next.map(|n| u32::try_from(n - dts).unwrap_or(u32::MAX));
        let shown = u32::try_from(e.duration.to_rate(scale)).ok().filter(|d| *d > 0);
        let gap = match (is_text, shown, until) {
            (true, Some(shown), Some(until)) if until > shown => Some(until - shown),
            _ => None,
        };
        let duration = match (gap, until, shown) {
            (Some(_), _, Some(shown)) | (None, None, Some(shown)) => shown,
            (_, Some(until), _) => until,
            (_, None, _) => nominal(info, None, last, scale),
        };
        let cts = at(e.dts + e.cts).saturating_sub(dts);
        let cts = i32::try_from(cts).unwrap_or(if cts < 0 { i32::MIN } else { i32::MAX });
        let bytes = size(info, e);
        this.end = this.end.max(dts.saturating_add(cts.into()).saturating_add(duration.into()));
        constant &= sizes.len() == 0 || bytes == largest;
        largest = largest.max(bytes);
        signed |= cts < 0;
        composed |= cts != 0;
        samples += 1;
        if e.key {
            keys += 1;
            sync.u32(samples);
        }
        sizes.u32(bytes);
        stts.add(duration, |v| v);
        ctts.add(cts, |v| v as u32);
        if let Some(gap) = gap {
            this.gaps.push(i as u32);
            samples += 1;
            keys += 1;
            sync.u32(samples);
            let empty = sample::gap(info.codec).len() as u32;
            constant &= empty == largest;
            sizes.u32(empty);
            stts.add(gap, |v| v);
            ctts.add(0, |v| v as u32);
            this.duration += u64::from(gap);
        }
        this.duration += u64::from(duration);
        total += u64::from(bytes);
        let now = dts.div_euclid(i64::from(scale.max(1)));
        if now != second {
            (second, in_second) = (now, 0);
        }
        in_second += u64::from(bytes);
        most = most.max(in_second);
        last = Some(duration);
        dts = next.unwrap_or(dts);
    }
    stts.end(|v| v);
    ctts.end(|v| v as u32);
    let bits = |bytes: u64| u32::try_from(bytes.saturating_mul(8)).unwrap_or(u32::MAX);
    let average = u128::from(total) * u128::from(scale);
    let average = average.checked_div(u128::from(this.duration)).unwrap_or(0);
    let average = bits(u64::try_from(average).unwrap_or(u64::MAX));
    this.rate = BitRate { buffer: largest, most: bits(most).max(average), average };

    let mut w = Boxes::with_capacity(sizes.len() + stts.w.len() + ctts.w.len() + sync.len() + 96);
    w.full(b"stts", 0, 0, |w| _ = w.u32(stts.count).bytes(stts.w.as_slice()));
    if composed {
        w.full(b"ctts", u8::from(signed), 0, |w| _ = w.u32(ctts.count).bytes(ctts.w.as_slice()));
    }
    if keys < samples {
        w.full(b"stss", 0, 0, |w| _ = w.u32(keys).bytes(sync.as_slice()));
    }
    w.full(b"stsz", 0, 0, |w| {
        if constant && samples > 0 {
            w.u32(largest).u32(samples);
        } else {
            w.u32(0).u32(samples).bytes(sizes.as_slice());
        }
    });
    this.boxes = w.into_vec();
    this
}

/// The description of each of the index's tracks.
fn infos<'a>(tracks: &'a [Arc<TrackInfo>], index: &Index) -> Result<Vec<&'a TrackInfo>, FormatError> {
    let find = |id| tracks.iter().find(|t| t.id == id).map(|t| &**t);
    let found: Option<Vec<_>> = index.tracks.iter().map(|(id, _)| find(*id)).collect();
    found.ok_or_else(|| error(0, "moov", ErrorKind::Unsupported("index of a track that was not announced")))
}

/// The timeline of what an index describes.
fn timeline(index: &Index) -> Timeline {
    let heads = || index.tracks.iter().flat_map(|(_, l)| l.iter().take(HEAD));
    let dts = heads().map(|e| e.dts).min().unwrap_or_default();
    let pts = heads().map(|e| e.dts + e.cts).min().unwrap_or_default();
    // There is no room to make: a track's first decoding time is its media's zero.
    Timeline { lead: mist_core::time::Duration::ZERO, ..Timeline::starting(dts, pts) }
}

/// Units of the movie in which the starts of all tracks, given in theirs, are whole.
fn movie_scale(starts: &[(i64, u32)]) -> u32 {
    let fits =
        |m: &u32| starts.iter().all(|(s, scale)| s.saturating_mul(i64::from(*m)) % i64::from(*scale) == 0);
    [1000, 90_000].into_iter().find(fits).unwrap_or(TICKS_PER_SECOND as u32)
}

/// `v` units of `from` in those of `to`, rounded up.
fn rescale(v: u64, from: u32, to: u32) -> u64 {
    let n = u128::from(v) * u128::from(to);
    u64::try_from(n.div_ceil(u128::from(from.max(1)))).unwrap_or(u64::MAX)
}

/// Where everything lies in the file that is made of these tracks and packets. The order of the index's `tracks`
/// is that of the file's.
///
/// # Errors
/// A track can't be described in MP4 or was not announced, or there are more of them than [`limits::TRACKS`], or more
/// packets than [`limits::PACKETS`].
pub fn layout(tracks: &[Arc<TrackInfo>], index: &Index) -> Result<Layout, FormatError> {
    let infos = infos(tracks, index)?;
    let packets: usize = index.tracks.iter().map(|t| t.1.len()).sum();
    if index.tracks.len() > limits::TRACKS {
        return Err(error(0, "moov", ErrorKind::Limit("tracks")));
    }
    if packets > limits::PACKETS {
        return Err(error(0, "moov/trak/mdia/minf/stbl", ErrorKind::Limit("packets")));
    }
    let timeline = timeline(index);
    let scales: SmallVec<[u32; 4]> = infos.iter().map(|t| timescale(t)).collect();
    let tables: Vec<Tables> = (infos.iter().zip(&index.tracks).zip(&scales))
        .map(|((info, (_, entries)), scale)| tables(info, entries, timeline, *scale))
        .collect();
    let starts: Vec<_> = tables.iter().map(Tables::begin).zip(scales.iter().copied()).collect();
    let scale = movie_scale(&starts);

    let mut movie = Movie { scale, duration: 0, tracks: Vec::with_capacity(infos.len()), fragmented: false };
    for (i, ((info, t), own)) in infos.iter().zip(&tables).zip(&scales).enumerate() {
        let mut entry = Boxes::new();
        sample_entry::write(&mut entry, info, None, Some(t.rate))
            .map_err(|kind| error(0, "moov/trak/mdia/minf/stbl/stsd", kind))?;
        // The media begins with what is shown first, at the time when it is: nothing before that.
        let begin = t.begin();
        let trim = begin.saturating_sub(t.start).max(0);
        let shown = rescale(t.end.saturating_sub(begin).max(0).unsigned_abs(), *own, scale);
        let empty = rescale(begin.unsigned_abs(), *own, scale);
        let mut edits = Vec::new();
        if empty > 0 {
            edits.push(Edit { duration: empty, media_time: None });
        }
        if t.start != 0 {
            edits.push(Edit { duration: shown, media_time: Some(trim) });
        }
        let duration = empty.saturating_add(shown);
        movie.duration = movie.duration.max(duration);
        let entry = entry.into_vec();
        let id = i as u32 + 1;
        let media_duration = t.duration;
        movie.tracks.push(Trak { info, id, scale: *own, media_duration, duration, edits, entry });
    }

    // What the empty samples point to lies before the packets.
    let mut lead = Boxes::new();
    let mut gap_at: SmallVec<[u64; 4]> = SmallVec::new();
    for (info, t) in infos.iter().zip(&tables) {
        gap_at.push(lead.len() as u64);
        if !t.gaps.is_empty() && GAPS.contains(&info.codec) {
            lead.bytes(sample::gap(info.codec));
        }
    }
    let (chunks, body) = chunks(&infos, index, &tables, &gap_at, lead.len() as u64);

    let estimate = |wide: bool| -> Result<(Boxes, Vec<(usize, usize)>), FormatError> {
        let mut w = Boxes::with_capacity(4096 + tables.iter().map(|t| t.boxes.len()).sum::<usize>());
        ftyp(&mut w, infos.iter().copied(), false);
        let mut places = Vec::new();
        movie.write(&mut w, |w, i| {
            let (Some(t), Some(c)) = (tables.get(i), chunks.get(i)) else { return };
            w.bytes(&t.boxes);
            w.full(b"stsc", 0, 0, |w| {
                w.u32(c.runs.len() as u32);
                for (first, samples) in &c.runs {
                    w.u32(*first).u32(*samples).u32(1);
                }
            });
            w.full(if wide { b"co64" } else { b"stco" }, 0, 0, |w| {
                w.u32(c.offsets.len() as u32);
                places.push((w.len(), c.offsets.len()));
                for o in &c.offsets {
                    w.wide(wide, *o);
                }
            });
        });
        if w.len() > u32::MAX as usize / 2 {
            return Err(error(0, "moov", ErrorKind::Limit("bytes of the moov")));
        }
        Ok((w, places))
    };
    let reaches = |w: &Boxes| body.saturating_add(w.len() as u64 + 16) > u64::from(u32::MAX);
    let mut wide = false;
    let (mut w, mut places) = estimate(false)?;
    if reaches(&w) {
        wide = true;
        (w, places) = estimate(true)?;
    }
    if wide {
        w.u32(1).bytes(b"mdat").u64(body.saturating_add(16));
    } else {
        w.u32(body as u32 + 8).bytes(b"mdat");
    }
    let base = w.len() as u64;
    for (at, count) in places {
        w.add_to(at, count, wide, base);
    }
    w.bytes(lead.as_slice());
    let around = infos.iter().map(|t| sample::around(t.codec));
    Ok(Layout::new(index, Bytes::from(w.into_vec()), around, Bytes::new()))
}

/// The chunks of each track: packets that lie one behind the other. Gives the length of the media as well.
fn chunks(
    infos: &[&TrackInfo],
    index: &Index,
    tables: &[Tables],
    gap_at: &[u64],
    lead: u64,
) -> (Vec<Chunks>, u64) {
    let none = || Chunks { offsets: Vec::new(), runs: Vec::new(), open: 0 };
    let mut all: Vec<Chunks> = infos.iter().map(|_| none()).collect();
    let mut gaps: Vec<_> = tables.iter().map(|t| t.gaps.iter().copied().peekable()).collect();
    let mut before = None;
    let mut at = lead;
    for (track, packet) in index.interleaved() {
        let (Some(c), Some(gaps), Some(info)) = (all.get_mut(track), gaps.get_mut(track), infos.get(track))
        else {
            continue;
        };
        if before != Some(track) || c.open == 0 || c.open >= CHUNK_SAMPLES {
            c.begin(at);
        }
        c.open += 1;
        before = Some(track);
        if gaps.next_if_eq(&(packet as u32)).is_some() {
            c.begin(gap_at.get(track).copied().unwrap_or(0));
            c.open = 1;
            c.close();
        }
        let entry = index.tracks.get(track).and_then(|t| t.1.get(packet));
        at = at.saturating_add(entry.map_or(0, |e| size(info, e).into()));
    }
    all.iter_mut().for_each(Chunks::close);
    (all, at)
}

/// Writes such a file from its start to its end.
#[derive(Debug)]
pub(super) struct File {
    tracks: Vec<Arc<TrackInfo>>,
    len: u64,
    written: u64,
}

impl File {
    pub(super) fn start(
        tracks: &[Arc<TrackInfo>],
        index: &Index,
        out: &mut Gather,
    ) -> Result<Self, FormatError> {
        let layout = layout(tracks, index)?;
        out.push(layout.head().clone());
        Ok(Self { tracks: tracks.to_vec(), len: layout.len(), written: layout.head().len() as u64 })
    }

    pub(super) fn track(&self, info: &Arc<TrackInfo>) -> Result<(), FormatError> {
        let same = |t: &Arc<TrackInfo>| t.id == info.id && t.codec == info.codec && t.init == info.init;
        if self.tracks.iter().any(same) {
            return Ok(());
        }
        let kind = ErrorKind::Unsupported("change of the description behind the moov");
        Err(error(self.written, "moov/trak/mdia/minf/stbl/stsd", kind))
    }

    pub(super) fn packet(&mut self, p: &Packet, out: &mut Gather) -> Result<(), FormatError> {
        let Some(info) = self.tracks.iter().find(|t| t.id == p.track) else {
            let kind = ErrorKind::Unsupported("packet of a track that was not announced");
            return Err(error(self.written, "mdat", kind));
        };
        let mut pieces = Vec::with_capacity(1);
        sample::put(info, p, &Bytes::new(), &mut pieces);
        for piece in pieces {
            self.written = self.written.saturating_add(piece.len() as u64);
            out.push(piece);
        }
        Ok(())
    }

    pub(super) fn finish(&self) -> Result<Vec<Patch>, FormatError> {
        if self.written != self.len {
            let kind = ErrorKind::Malformed("packets are others than those of the index");
            return Err(error(self.written, "mdat", kind));
        }
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Muxer;
    use super::super::testing::{aac, boxes, find, index, packet, track, u32_at, u64_at, video};
    use super::*;
    use mist_core::format::Muxer as _;
    use mist_core::media::{Params, TrackId};
    use mist_core::time::Duration;
    use proptest::prelude::*;

    const STBL: &str = "moov/trak/mdia/minf/stbl";

    /// Pictures, sound and cues of both kinds with pauses between them.
    fn material(sizes: &[u16]) -> (Vec<Arc<TrackInfo>>, Vec<Packet>) {
        let text = |id, codec| track(id, codec, Bytes::new(), Params::Other);
        let tracks = vec![video(7), aac(3), text(4, Codec::WebVtt), text(9, Codec::Tx3g)];
        let mut packets = Vec::new();
        for (i, size) in sizes.iter().enumerate() {
            let ms = i as i64 * 40;
            let body = |n: u16| (0..n).map(|b| b'a' + ((b + size) % 26) as u8).collect::<Vec<u8>>();
            let mut p = packet(7, ms - 80, i % 12 == 0, body(*size));
            p.cts = Duration::from_millis([80, 160, 40][i % 3]);
            packets.push(p);
            packets.push(packet(3, ms - 23, true, body(size % 300)));
            if i % 5 == 1 {
                let mut cue = packet(4, ms, true, body(1 + size % 20));
                cue.duration = Duration::from_millis(120);
                packets.push(cue);
                let mut cue = packet(9, ms, true, [&[0, 4][..], b"text"].concat());
                cue.duration = Duration::from_millis(200);
                packets.push(cue);
            }
        }
        packets.sort_by_key(|p| p.dts);
        (tracks, packets)
    }

    fn whole(tracks: &[Arc<TrackInfo>], index: &Index, packets: &[Packet]) -> Vec<u8> {
        let mut m = Muxer::new();
        let mut out = Gather::new();
        m.start(tracks, Some(index), &mut out).unwrap();
        let of = |t: TrackId| packets.iter().filter(|p| p.track == t).collect::<Vec<_>>();
        let of: Vec<_> = index.tracks.iter().map(|(id, _)| of(*id)).collect();
        for (t, n) in index.interleaved() {
            m.packet(of[t][n], &mut out).unwrap();
        }
        assert_eq!(m.finish(&mut out), Ok(Vec::new()));
        out.to_vec()
    }

    #[test]
    fn shown_before_it_is_decoded_at_the_start() {
        use mist_core::format::{Demuxed, Demuxer as _};
        use mist_core::media::Media;
        let tracks = vec![aac(1), video(2)];
        let mut late = packet(2, 5000, true, vec![0, 0, 0, 5, 0x65, 1, 2, 3, 4]);
        late.cts = Duration::from_millis(-500);
        let packets = vec![packet(1, 4000, true, vec![1; 9]), late];
        let file = whole(&tracks, &index(&tracks, &packets), &packets);
        let mut d = crate::mp4::Demuxer::new();
        d.push(0, file.into());
        d.end();
        let mut shown = Vec::new();
        loop {
            match d.poll().unwrap() {
                Demuxed::Media(Media::Packet(p)) => shown.push(p.pts().as_millis()),
                Demuxed::End => break,
                _ => {}
            }
        }
        assert_eq!(shown, [0, 500], "as far apart as they were");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn parts_that_are_made_alone_are_those_of_the_whole(
            sizes in prop::collection::vec(1u16..900, 1..200),
            cuts in prop::collection::vec((any::<prop::sample::Index>(), 0usize..5000), 1..12),
        ) {
            let (tracks, packets) = material(&sizes);
            let index = index(&tracks, &packets);
            let file = whole(&tracks, &index, &packets);
            let mut m = Muxer::new();
            let layout = m.layout(&tracks, &index).unwrap().unwrap();
            m.start(&tracks, Some(&index), &mut Gather::new()).unwrap();
            prop_assert_eq!(layout.len(), file.len() as u64);
            for (from, len) in cuts {
                let from = from.index(file.len());
                let to = (from + len).min(file.len());
                let head = layout.head();
                let mut got = head.get(from..to.min(head.len())).unwrap_or_default().to_vec();
                for s in layout.covering(&index, from as u64..to as u64) {
                    let id = index.tracks[s.track].0;
                    let p = packets.iter().filter(|p| p.track == id).nth(s.packet).unwrap();
                    let mut out = Gather::new();
                    m.packet(p, &mut out).unwrap();
                    let bytes = out.to_vec();
                    prop_assert_eq!(bytes.len() as u64, s.len);
                    let at = s.offset as usize;
                    let cut = from.saturating_sub(at)..(to - at).min(bytes.len());
                    got.extend_from_slice(&bytes[cut]);
                }
                prop_assert!(got == file[from..to], "{}..{}", from, to);
            }
        }
    }

    #[test]
    fn every_sample_lies_where_the_tables_say() {
        let (tracks, packets) = material(&(100..300).collect::<Vec<_>>());
        let index = index(&tracks, &packets);
        let file = whole(&tracks, &index, &packets);
        let stsc = find(&file, &format!("{STBL}/stsc"));
        let (stco, stsz) = (find(&file, &format!("{STBL}/stco")), find(&file, &format!("{STBL}/stsz")));
        for (i, t) in tracks.iter().enumerate() {
            let runs: Vec<_> = stsc[i][8..].chunks(12).map(|c| (u32_at(c, 0), u32_at(c, 4))).collect();
            let mut ours = packets.iter().filter(|p| p.track == t.id);
            let (mut n, mut gaps) = (0, 0);
            for (chunk, offset) in stco[i][8..].chunks(4).enumerate() {
                let mut at = u32_at(offset, 0) as usize;
                let samples = runs.iter().rfind(|r| r.0 as usize <= chunk + 1).unwrap().1;
                for _ in 0..samples {
                    let constant = u32_at(stsz[i], 4) as usize;
                    let size = if constant > 0 { constant } else { u32_at(stsz[i], 12 + n * 4) as usize };
                    let sample = &file[at..at + size];
                    if sample == sample::gap(t.codec) {
                        gaps += 1;
                    } else {
                        let data = &ours.next().unwrap().data;
                        let found = match t.codec {
                            Codec::WebVtt => mist_core::codec::text::wvtt_cues(sample).unwrap()[0].clone(),
                            _ => Bytes::copy_from_slice(sample),
                        };
                        assert_eq!(found, data, "{t:?} sample {n}");
                    }
                    at += size;
                    n += 1;
                }
            }
            assert_eq!((n as u32, ours.next().is_none()), (u32_at(stsz[i], 8), true), "{t:?}");
            // every cue but the last has a pause behind it: 120 of 200 ms, but not 200 of 200
            assert_eq!(gaps, if t.codec == Codec::WebVtt { 39 } else { 0 }, "{t:?}");
        }
    }

    #[test]
    fn players_start_in_sync() {
        let (tracks, packets) = material(&[50; 100]);
        let index = index(&tracks, &packets);
        let file = whole(&tracks, &index, &packets);
        assert_eq!(boxes(&file).iter().map(|b| b.0.clone()).collect::<Vec<_>>(), ["ftyp", "moov", "mdat"]);
        let edits = find(&file, "moov/trak/edts/elst");
        // pictures are decoded 80 ms before zero, sound is primed 23 ms before it
        assert_eq!((u32_at(edits[0], 4), u32_at(edits[0], 12)), (1, 7200));
        assert_eq!((u32_at(edits[1], 4), u32_at(edits[1], 12)), (1, 1014));
        // the first cue is shown at 40 ms
        assert_eq!((u32_at(edits[2], 4), u32_at(edits[2], 8), u32_at(edits[2], 12)), (2, 40, u32::MAX));
        assert_eq!(u32_at(edits[2], 24), 0);
        let mvhd = find(&file, "moov/mvhd")[0];
        // The last cues are longer than all else.
        assert_eq!((u32_at(mvhd, 12), u32_at(mvhd, 16)), (1000, 4040));
    }

    #[test]
    fn long_files_have_64_bits() {
        let tracks = [video(1), aac(2)];
        let line = |ms, size| IndexEntry {
            dts: Timestamp::from_millis(ms),
            cts: Duration::ZERO,
            duration: Duration::ZERO,
            size,
            key: true,
        };
        for (size, wide) in [(1 << 20, false), (10 << 20, true)] {
            let of = |t: &Arc<TrackInfo>, size| (t.id, (0..500).map(|i| line(i * 1000, size)).collect());
            let index = Index { tracks: vec![of(&tracks[0], size), of(&tracks[1], 100)] };
            let l = layout(&tracks, &index).unwrap();
            let head = l.head();
            assert_eq!(l.len(), head.len() as u64 + 500 * (u64::from(size) + 100));
            let mdat = boxes(head)[2].1;
            assert_eq!(u32_at(head, mdat) == 1, wide);
            let (name, last) = if wide { ("co64", 8 + 499 * 8) } else { ("stco", 8 + 499 * 4) };
            let table = find(&head[..mdat], &format!("{STBL}/{name}"))[1];
            let at = if wide { u64_at(table, last) } else { u32_at(table, last).into() };
            assert_eq!(at, l.len() - 100);
            let span = l.covering(&index, l.len() - 1..l.len()).last().unwrap();
            assert_eq!((span.track, span.packet, span.offset), (1, 499, at));
            let rate = find(&head[..mdat], &format!("{STBL}/stsd"))[0];
            let btrt = rate.windows(4).position(|w| w == b"btrt").unwrap();
            assert_eq!(u32_at(rate, btrt + 4), size);
            assert_eq!(u32_at(rate, btrt + 12), size * 8);
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let (tracks, packets) = material(&[9; 30]);
        let idx = index(&tracks, &packets);
        let kind = |r: Result<Layout, FormatError>| r.map(|_| ()).unwrap_err().kind;
        let of_none = Index { tracks: vec![(TrackId(99), Vec::new())] };
        assert!(matches!(kind(layout(&tracks, &of_none)), ErrorKind::Unsupported(_)));
        let many: Vec<_> = (0..=limits::TRACKS as u32).map(aac).collect();
        let of_many = Index { tracks: many.iter().map(|t| (t.id, Vec::new())).collect() };
        assert_eq!(kind(layout(&many, &of_many)), ErrorKind::Limit("tracks"));
        let odd = [track(1, Codec::Theora, Bytes::new(), Params::Video { width: 1, height: 1, fpks: 0 })];
        let of_odd = Index { tracks: vec![(TrackId(1), Vec::new())] };
        assert_eq!(kind(layout(&odd, &of_odd)), ErrorKind::Unsupported("codec in MP4"));
        // fewer packets than announced
        let mut m = Muxer::new();
        m.start(&tracks, Some(&idx), &mut Gather::new()).unwrap();
        m.packet(&packets[0], &mut Gather::new()).unwrap();
        assert!(m.finish(&mut Gather::new()).is_err());
        assert!(m.packet(&packet(99, 0, true, vec![1]), &mut Gather::new()).is_err());
        assert!(m.track(&tracks[0], &mut Gather::new()).is_ok());
        assert!(m.track(&video(3), &mut Gather::new()).is_err());
        // and no packets at all
        let none = Index { tracks: tracks.iter().map(|t| (t.id, Vec::new())).collect() };
        assert_eq!(whole(&tracks, &none, &[]).len() as u64, layout(&tracks, &none).unwrap().len());
    }
}
