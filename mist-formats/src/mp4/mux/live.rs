//! The form that needs no index: a `moov` without samples, then fragments as the media comes.

use super::boxes::Boxes;
use super::fragment::{self, Described, Flavour, Run, Written};
use super::movie::{self, Places};
use super::sample_entry;
use super::time::{Timeline, timescale};
use super::{error, limits};
use bytes::{Bytes, BytesMut};
use mist_core::codec::{Codec, h264, hevc, nal};
use mist_core::format::{ErrorKind, FormatError, Patch};
use mist_core::gather::Gather;
use mist_core::media::{Kind, Packet, TrackInfo};
use mist_core::time::{Duration, Timestamp};
use smallvec::SmallVec;
use std::sync::Arc;

/// Units a second of `mvhd` and `mehd`.
const MOVIE_SCALE: u32 = 1000;

#[derive(Debug)]
struct Track {
    /// As described in the `moov`, once that is written: its time scale doesn't change any more.
    info: Arc<TrackInfo>,
    /// Init data as announced last.
    init: Bytes,
    /// Parameter sets for keyframes, once they are others than described.
    parameters: Bytes,
    waiting: Vec<Packet>,
    last: Option<Timestamp>,
}

/// A fragment that begins with a keyframe.
#[derive(Debug, Clone, Copy)]
struct Entry {
    time: u64,
    offset: u64,
    /// Number of the track's `traf` in the `moof`, from 1.
    traf: u8,
}

/// What is fixed once the `moov` is written.
#[derive(Debug, Clone, Copy)]
struct Begun {
    timeline: Timeline,
    places: Places,
}

/// Writes fragments.
#[derive(Debug, Default)]
pub(super) struct Live {
    tracks: SmallVec<[Track; 4]>,
    begun: Option<Begun>,
    sequence: u32,
    written: u64,
    /// Decoding time of the first packet that waits, their number and bytes.
    first: Option<Timestamp>,
    count: usize,
    bytes: usize,
    /// The end of what was written.
    end: Option<Timestamp>,
    entries: Vec<Entry>,
    /// Of how many fragments with keyframes one is entered: a power of two.
    every: u32,
    keys: u32,
}

impl Live {
    pub(super) fn start(tracks: &[Arc<TrackInfo>]) -> Result<Self, FormatError> {
        let mut this = Self { every: 1, ..Self::default() };
        for t in tracks {
            this.add(t)?;
        }
        Ok(this)
    }

    fn fail(&self, path: &'static str, kind: ErrorKind) -> FormatError {
        error(self.written, path, kind)
    }

    fn add(&mut self, info: &Arc<TrackInfo>) -> Result<(), FormatError> {
        let path = "moov/trak/mdia/minf/stbl/stsd";
        if self.tracks.len() >= limits::TRACKS {
            return Err(self.fail("moov", ErrorKind::Limit("tracks")));
        }
        if !sample_entry::carries(info.codec) {
            return Err(self.fail(path, ErrorKind::Unsupported("codec in MP4")));
        }
        // What the first payload tells is only known then.
        if !sample_entry::learns(info) {
            let checked = sample_entry::write(&mut Boxes::new(), info, None, None);
            checked.map_err(|kind| self.fail(path, kind))?;
        }
        self.tracks.push(Track {
            init: info.init.clone(),
            info: info.clone(),
            parameters: Bytes::new(),
            waiting: Vec::new(),
            last: None,
        });
        Ok(())
    }

    pub(super) fn track(&mut self, info: &Arc<TrackInfo>, out: &mut Gather) -> Result<(), FormatError> {
        let Some(at) = self.tracks.iter().position(|t| t.info.id == info.id) else {
            return match self.begun {
                None => self.add(info),
                Some(_) => Err(self.fail("moov", ErrorKind::Unsupported("new track behind the moov"))),
            };
        };
        let Some(t) = self.tracks.get(at) else { return Ok(()) };
        // What waits is of the old description, and is written with the moov if that isn't yet.
        let waits = t.init != info.init && !t.waiting.is_empty();
        if waits || self.begun.is_some() {
            let refuse = |kind| self.fail("moov/trak/mdia/minf/stbl/stsd", kind);
            let parameters = changed(t, info).map_err(refuse)?;
            if waits {
                self.flush(None, out)?;
            }
            if let Some(t) = self.tracks.get_mut(at) {
                t.parameters = parameters;
            }
        } else if let Some(t) = self.tracks.get_mut(at) {
            t.info = info.clone();
        }
        if let Some(t) = self.tracks.get_mut(at) {
            t.init = info.init.clone();
        }
        Ok(())
    }

    pub(super) fn packet(&mut self, p: &Packet, out: &mut Gather) -> Result<(), FormatError> {
        let Some(at) = self.tracks.iter().position(|t| t.info.id == p.track) else {
            return Err(
                self.fail("moof/traf", ErrorKind::Unsupported("packet of a track that was not announced"))
            );
        };
        let has_video = self.tracks.iter().any(|t| t.info.codec.kind() == Kind::Video);
        if let Some(first) = self.first {
            let span = if has_video { limits::FRAGMENT } else { limits::FRAGMENT_WITHOUT_VIDEO };
            let is_video = self.tracks.get(at).is_some_and(|t| t.info.codec.kind() == Kind::Video);
            let over = p.dts - first >= span
                || self.count >= limits::FRAGMENT_PACKETS
                || self.bytes.saturating_add(p.data.len()) > limits::HELD;
            if over || (is_video && p.key) {
                self.flush(Some(p), out)?;
            }
        }
        let Some(t) = self.tracks.get_mut(at) else { return Ok(()) };
        let mut p = p.clone();
        // Media time doesn't go back: what steps back is shown when it says, and decoded when it can be.
        if let Some(last) = t.last
            && p.dts < last
        {
            p.cts = p.pts() - last;
            p.dts = last;
        }
        t.last = Some(p.dts);
        self.first.get_or_insert(p.dts);
        self.count += 1;
        self.bytes = self.bytes.saturating_add(p.data.len());
        t.waiting.push(p);
        Ok(())
    }

    pub(super) fn finish(&mut self, out: &mut Gather) -> Result<Vec<Patch>, FormatError> {
        self.flush(None, out)?;
        let Some(begun) = self.begun else { return Ok(Vec::new()) };
        self.mfra(out);
        let duration = self.end.map_or(Duration::ZERO, |e| e - begun.timeline.origin);
        let units = duration.to_rate(MOVIE_SCALE).max(0);
        let offset = |at: usize| at as u64;
        let short = u32::try_from(units).unwrap_or(u32::MAX);
        Ok(vec![
            Patch { offset: offset(begun.places.mvhd), data: Bytes::copy_from_slice(&short.to_be_bytes()) },
            Patch { offset: offset(begun.places.mehd), data: movie::mehd(units.unsigned_abs()).into() },
        ])
    }

    /// Writes `ftyp` and `moov`, as late as the first fragment: its packets tell where the presentation begins and
    /// describe tracks that came without init data.
    fn begin(&mut self, out: &mut Gather) -> Result<Begun, FormatError> {
        let waiting = || self.tracks.iter().flat_map(|t| &t.waiting);
        let dts = waiting().map(|p| p.dts).min().unwrap_or_default();
        let pts = waiting().map(Packet::pts).min().unwrap_or_default();
        let timeline = Timeline::starting(dts, pts);
        let described: SmallVec<[Described<'_>; 4]> = self
            .tracks
            .iter()
            .map(|t| Described { info: &t.info, sample: t.waiting.first().map(|p| &p.data) })
            .collect();
        let (head, places) = fragment::head(&described, timeline)?;
        out.put(head.as_slice());
        self.written += head.len() as u64;
        let begun = Begun { timeline, places };
        self.begun = Some(begun);
        Ok(begun)
    }

    /// Writes what waits. `next` is the packet that comes behind it.
    fn flush(&mut self, next: Option<&Packet>, out: &mut Gather) -> Result<(), FormatError> {
        let done = self.write(next, out);
        for t in &mut self.tracks {
            t.waiting.clear();
        }
        (self.first, self.count, self.bytes) = (None, 0, 0);
        done
    }

    fn write(&mut self, next: Option<&Packet>, out: &mut Gather) -> Result<(), FormatError> {
        let begun = match self.begun {
            Some(b) => b,
            None if self.tracks.is_empty() => return Ok(()),
            None => self.begin(out)?,
        };
        if self.first.is_none() {
            return Ok(());
        }
        let next =
            |t: &Track| next.filter(|n| n.track == t.info.id).map(|n| n.dts.max(t.last.unwrap_or(n.dts)));
        let mut pieces = Vec::with_capacity(self.count);
        let mut runs: SmallVec<[fragment::Prepared; 4]> = SmallVec::new();
        // The track that is looked for when someone seeks: the first with pictures, or the first at all.
        let of_video = self.tracks.iter().position(|t| t.info.codec.kind() == Kind::Video);
        let sought = of_video.unwrap_or(0);
        let mut entry = None;
        for (i, t) in self.tracks.iter().enumerate().filter(|(_, t)| !t.waiting.is_empty()) {
            let run = Run {
                info: &t.info,
                id: i as u32 + 1,
                packets: &t.waiting,
                next: next(t).filter(|n| *n - t.last.unwrap_or(*n) < limits::PAUSE),
                parameters: &t.parameters,
            };
            let run = fragment::prepare(&run, begun.timeline, timescale(&t.info), &mut pieces);
            if i == sought && t.waiting.first().is_some_and(|p| p.key) {
                let traf = u8::try_from(runs.len() + 1).unwrap_or(u8::MAX);
                entry = Some(Entry { time: run.start, offset: self.written, traf });
            }
            runs.push(run);
            let ends = t.waiting.iter().map(|p| fragment::end(&t.info, p)).max();
            self.end = self.end.max(ends);
        }
        self.sequence = self.sequence.wrapping_add(1);
        let Written { len, .. } =
            fragment::write(self.sequence, &runs, Flavour::Cmaf, |_, _| {}, pieces, out)?;
        self.written = self.written.saturating_add(len);
        if let Some(entry) = entry {
            self.enter(entry);
        }
        Ok(())
    }

    /// Keeps an entry of the table at the end. When that is full, every other one goes.
    fn enter(&mut self, entry: Entry) {
        if self.keys.is_multiple_of(self.every) {
            if self.entries.len() >= limits::RANDOM_ACCESS {
                let mut odd = false;
                self.entries.retain(|_| {
                    odd = !odd;
                    odd
                });
                self.every = self.every.saturating_mul(2);
            }
            self.entries.push(entry);
        }
        self.keys = self.keys.wrapping_add(1);
    }

    /// `mfra`: where the keyframes are (§8.8.9).
    fn mfra(&mut self, out: &mut Gather) {
        if self.entries.is_empty() {
            return;
        }
        let of_video = self.tracks.iter().position(|t| t.info.codec.kind() == Kind::Video);
        let mut w = Boxes::with_capacity(64 + self.entries.len() * 19);
        w.boxed(b"mfra", |w| {
            w.full(b"tfra", 1, 0, |w| {
                // one byte for each of the numbers of traf, trun and sample
                w.u32(of_video.unwrap_or(0) as u32 + 1).u32(0).u32(self.entries.len() as u32);
                for e in &self.entries {
                    w.u64(e.time).u64(e.offset).bytes(&[e.traf, 1, 1]);
                }
            });
            let size = w.len() as u32 + 16;
            w.full(b"mfro", 0, 0, |w| _ = w.u32(size));
        });
        out.put(w.as_slice());
        self.written += w.len() as u64;
    }
}

/// What goes in front of keyframes after a change of description, or why that can't be said any more: the `moov` is
/// written. Codecs whose keyframes carry everything go on; H.264 and HEVC do with parameter sets in band, which decoders
/// read in `avc1` and `hvc1` tracks too.
fn changed(t: &Track, new: &TrackInfo) -> Result<Bytes, ErrorKind> {
    let old = &t.info;
    let refused = Err(ErrorKind::Unsupported("change of the description behind the moov"));
    if old.codec != new.codec {
        return refused;
    }
    match new.codec {
        Codec::H264 | Codec::Hevc if t.init == new.init => Ok(t.parameters.clone()),
        Codec::H264 | Codec::Hevc if new.init.is_empty() => Ok(Bytes::new()),
        Codec::H264 => {
            let mut out = BytesMut::new();
            h264::Avcc::parse(&new.init)?.nals().for_each(|n| nal::put_unit(&mut out, n));
            Ok(out.freeze())
        }
        Codec::Hevc => {
            let mut out = BytesMut::new();
            let record = hevc::Hvcc::parse(&new.init)?;
            (hevc::nal::VPS..=hevc::nal::PPS)
                .flat_map(|k| record.of(k))
                .for_each(|n| nal::put_unit(&mut out, n));
            Ok(out.freeze())
        }
        Codec::Av1 | Codec::Vp8 | Codec::Vp9 | Codec::Mpeg2 | Codec::Jpeg => Ok(Bytes::new()),
        Codec::Mp3 | Codec::Mp2 | Codec::Ac3 | Codec::Eac3 if old.rate() == new.rate() => Ok(Bytes::new()),
        _ if old.init == new.init && old.params == new.params => Ok(Bytes::new()),
        _ => refused,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Muxer;
    use super::super::testing::{PPS, SPS, aac, boxes, find, packet, track, u32_at, u64_at, video};
    use super::*;
    use mist_core::format::Muxer as _;
    use mist_core::media::Params;

    fn kinds(data: &[u8]) -> Vec<String> {
        boxes(data).into_iter().map(|b| b.0).collect()
    }

    fn start(tracks: &[Arc<TrackInfo>]) -> Muxer {
        let mut m = Muxer::new();
        m.start(tracks, None, &mut Gather::new()).unwrap();
        m
    }

    #[test]
    fn fragments_end_at_keyframes_and_soon() {
        let mut m = start(&[video(1), aac(2)]);
        let mut all = Vec::new();
        let mut waited = 0;
        for i in 0..500i64 {
            let mut out = Gather::new();
            m.packet(&packet(1, i * 40, i % 50 == 0, vec![i as u8; 300]), &mut out).unwrap();
            m.packet(&packet(2, i * 40, true, vec![i as u8; 20]), &mut out).unwrap();
            waited = if out.is_empty() { waited + 1 } else { 0 };
            assert!(waited <= 6, "nothing came for {waited} frames");
            all.extend(out.to_vec());
        }
        let mut out = Gather::new();
        let patches = m.finish(&mut out).unwrap();
        all.extend(out.to_vec());
        let list = boxes(&all);
        assert_eq!(kinds(&all)[..4], ["ftyp", "moov", "moof", "mdat"]);
        assert_eq!(kinds(&all).last().unwrap(), "mfra");
        // Keyframes are first in their fragment, and there is an entry for each.
        let tfra = find(&all, "mfra/tfra")[0];
        assert_eq!(u32_at(tfra, 12), 10);
        for (i, e) in tfra[16..].chunks(19).enumerate() {
            assert_eq!((u64_at(e, 0), e[16]), (i as u64 * 180_000, 1));
            let at = list.iter().find(|b| b.1 as u64 == u64_at(e, 8)).unwrap();
            let tfdt = find(at.2, "traf/tfdt")[0];
            assert_eq!((at.0.as_str(), u64_at(tfdt, 4)), ("moof", i as u64 * 180_000));
        }
        let mfro = find(&all, "mfra/mfro")[0];
        assert_eq!(u32_at(mfro, 4) as usize, all.len() - list.last().unwrap().1);
        // The durations are put in at the end.
        for p in patches {
            let at = p.offset as usize;
            all[at..at + p.data.len()].copy_from_slice(&p.data);
        }
        assert_eq!(u64_at(find(&all, "moov/mvex/mehd")[0], 4), 20_000);
        assert_eq!(u32_at(find(&all, "moov/mvhd")[0], 16), 20_000);
    }

    #[test]
    fn a_refused_change_writes_nothing_and_harms_nothing() {
        let mut m = start(&[video(1), aac(2)]);
        let mut out = Gather::new();
        m.packet(&packet(1, 0, true, vec![1; 9]), &mut out).unwrap();
        m.packet(&packet(2, 0, true, vec![2; 9]), &mut out).unwrap();
        let other = track(2, Codec::Aac, Bytes::from_static(&[0x11, 0x88]), aac(2).params);
        assert!(m.track(&other, &mut out).is_err());
        assert!(out.is_empty(), "what waits goes on waiting");
        m.packet(&packet(2, 23, true, vec![3; 9]), &mut out).unwrap();
        m.finish(&mut out).unwrap();
        assert_eq!(kinds(&out.to_vec()), ["ftyp", "moov", "moof", "mdat", "mfra"]);
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut m = start(&[video(1)]);
        let mut held = 0;
        let data = Bytes::from(vec![1; limits::HELD / 10]);
        for i in 0..100 {
            let mut out = Gather::new();
            let p = Packet { data: data.clone(), ..packet(1, i, i == 0, Vec::new()) };
            m.packet(&p, &mut out).unwrap();
            held = if out.is_empty() { held + data.len() } else { data.len() };
            assert!(held <= limits::HELD);
        }
        let (mut m, mut count) = (start(&[aac(1)]), 0);
        for _ in 0..5000 {
            let mut out = Gather::new();
            m.packet(&packet(1, 0, true, vec![1]), &mut out).unwrap();
            count = if out.is_empty() { count + 1 } else { 1 };
            assert!(count <= limits::FRAGMENT_PACKETS);
        }
        // keyframes for days
        let mut live = Live::start(&[video(1)]).unwrap();
        let mut out = Gather::new();
        for i in 0..3 * limits::RANDOM_ACCESS as i64 {
            live.packet(&packet(1, i * 2000, true, vec![1]), &mut out).unwrap();
            out.clear();
        }
        live.finish(&mut out).unwrap();
        let steps: Vec<_> = live.entries.windows(2).map(|w| w[1].time - w[0].time).collect();
        assert!(
            live.entries.len() <= limits::RANDOM_ACCESS && live.entries.len() > limits::RANDOM_ACCESS / 2
        );
        assert!(steps.iter().all(|s| *s == 4 * 180_000), "every fourth");
    }

    #[test]
    fn descriptions_may_change_as_far_as_decoders_go_along() {
        let tracks = [video(1), aac(2)];
        let mut m = start(&tracks);
        let mut out = Gather::new();
        // Before anything is written everything goes.
        m.track(&aac(3), &mut out).unwrap();
        for i in 0..3 {
            m.packet(&packet(1, i * 40, i == 0, vec![0, 0, 0, 1, 0x65]), &mut out).unwrap();
        }
        m.packet(&packet(1, 400, true, vec![0, 0, 0, 1, 0x65]), &mut out).unwrap();
        assert_eq!(find(&out.to_vec(), "moov/trak").len(), 3);
        assert!(m.track(&aac(4), &mut out).is_err(), "a track behind the moov");
        let other =
            TrackInfo::new(tracks[1].id, Codec::Aac, Bytes::from_static(&[0x11, 0x90]), tracks[1].params);
        assert!(m.track(&Arc::new(other), &mut out).is_err());
        let other = TrackInfo { codec: Codec::Hevc, ..(*tracks[0]).clone() };
        assert!(m.track(&Arc::new(other), &mut out).is_err());
        // A new frame rate is no news for the file.
        let params = Params::Video { width: 1280, height: 720, fpks: 23_976 };
        m.track(&Arc::new(TrackInfo { params, ..(*tracks[0]).clone() }), &mut out).unwrap();
        let init = h264::Avcc::from_nals([SPS, &[0x68, 0xee, 0x3c, 0xb1][..]]).unwrap().build();
        let before = out.to_vec().len();
        m.track(&Arc::new(TrackInfo { init, ..(*tracks[0]).clone() }), &mut out).unwrap();
        m.packet(&packet(1, 440, true, vec![0, 0, 0, 1, 0x65]), &mut out).unwrap();
        m.packet(&packet(1, 480, false, vec![0, 0, 0, 1, 0x41]), &mut out).unwrap();
        m.track(&tracks[0], &mut out).unwrap();
        m.packet(&packet(1, 520, true, vec![0, 0, 0, 1, 0x65]), &mut out).unwrap();
        m.finish(&mut out).unwrap();
        let media: Vec<u8> = find(&out.to_vec()[before..], "mdat").concat();
        let mut want = Vec::new();
        for (pps, rest) in [(&[0x68, 0xee, 0x3c, 0xb1][..], &[0, 0, 0, 1, 0x41][..]), (PPS, &[])] {
            for unit in [SPS, pps] {
                want.extend((unit.len() as u32).to_be_bytes());
                want.extend(unit);
            }
            want.extend([&[0, 0, 0, 1, 0x65], rest].concat());
        }
        assert!(media.ends_with(&want));
        let text = out.to_vec();
        assert_eq!(kinds(&text).iter().filter(|k| *k == "moov").count(), 1);
    }

    #[test]
    fn times_begin_near_zero_and_never_step_back() {
        // joined after an hour: pictures 80 ms late, sound a little earlier
        let mut m = start(&[video(1), aac(2)]);
        let mut out = Gather::new();
        let hour = 3_600_000;
        for (ms, cts) in [(0, 80), (40, 160), (30, 90), (80, 40), (1000, 80)] {
            let mut p = packet(1, hour + ms, ms == 0, vec![1]);
            p.cts = Duration::from_millis(cts);
            m.packet(&p, &mut out).unwrap();
            m.packet(&packet(2, hour + 10 + ms, true, vec![2]), &mut out).unwrap();
        }
        m.finish(&mut out).unwrap();
        let file = out.to_vec();
        let elst = find(&file, "moov/trak/edts/elst");
        assert_eq!((u32_at(elst[0], 12), u32_at(elst[1], 12)), (900, 441));
        let tfdt: Vec<_> = find(&file, "moof/traf/tfdt").iter().map(|b| u64_at(b, 4)).collect();
        assert_eq!(tfdt, [0, 441, 90_000, 441 + 44_100]);
        let trun = find(&file, "moof/traf/trun")[0];
        assert_eq!(u32_at(trun, 4), 4);
        // 0, 40, 40 (said 30), 80 ms until the keyframe at 1 s
        let rows: Vec<_> = trun[16..].chunks(8).map(|r| (u32_at(r, 0), u32_at(r, 4))).collect();
        assert_eq!(rows, [(3600, 7200), (0, 14_400), (3600, 7200), (82_800, 3600)]);
    }

    #[test]
    fn what_only_frames_tell_is_taken_from_them() {
        let ac3 = track(2, Codec::Ac3, Bytes::new(), Params::Audio { rate: 48_000, channels: 2, bits: 16 });
        let h264 = TrackInfo { init: Bytes::new(), ..(*video(1)).clone() };
        let mut m = start(&[Arc::new(h264), ac3]);
        let mut out = Gather::new();
        let mut data = Vec::new();
        for unit in [SPS, PPS, &[0x65, 0x88]] {
            data.extend((unit.len() as u32).to_be_bytes());
            data.extend(unit);
        }
        m.packet(&packet(1, 0, true, data), &mut out).unwrap();
        m.packet(&packet(2, 0, true, vec![0x0b, 0x77, 0x88, 0x2b, 0x14, 0x40, 0x43, 0xff]), &mut out)
            .unwrap();
        m.finish(&mut out).unwrap();
        let file = out.to_vec();
        assert!(file.windows(PPS.len() + 2).any(|w| w.starts_with(&[0, 4]) && w.ends_with(PPS)), "avcC");
        assert!(file.windows(7).any(|w| w == b"dac3\x10\x11\x40"));
        // without a frame there is nothing to go by
        let h264 = TrackInfo { init: Bytes::new(), ..(*video(1)).clone() };
        let mut m = start(&[Arc::new(h264)]);
        assert!(m.finish(&mut Gather::new()).is_err());
    }
}
