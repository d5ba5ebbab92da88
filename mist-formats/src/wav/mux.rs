//! Packets to files and streams.

use super::ID;
use super::fmt::{Format, is_samples};
use bytes::Bytes;
use mist_core::codec::{Codec, pcm};
use mist_core::format::{ErrorKind, FormatError, Index, Patch};
use mist_core::gather::Gather;
use mist_core::layout::Layout;
use mist_core::media::{Packet, TrackInfo};
use mist_core::time::Duration;
use std::sync::Arc;

/// Room for `ds64`, in case that the file outgrows 32-bit sizes: its body without a table.
const DS64: usize = 28;
/// A size that isn't known.
const OPEN: u32 = u32::MAX;
/// Where the first chunk begins.
const FIRST: usize = 12;

/// Writes WAVE files and streams of one track.
#[derive(Debug, Default)]
pub struct Muxer {
    track: Option<(Arc<TrackInfo>, Format)>,
    /// Bytes before the data.
    head: usize,
    /// Where the body of `fmt ` begins.
    fmt_at: usize,
    /// Where the number of samples in `fact` stands.
    fact_at: Option<usize>,
    /// Bytes of data written.
    written: u64,
    /// Bytes of data that the header speaks of, if it does.
    announced: Option<u64>,
    /// How long frames of compressed codecs last together.
    time: Duration,
    /// The sizes stay open: the data goes on to the end of the stream.
    unpatched: bool,
}

impl Muxer {
    /// Before its start.
    pub fn new() -> Self {
        Self::default()
    }

    fn error(&self, kind: ErrorKind) -> FormatError {
        FormatError { format: ID, offset: self.head as u64 + self.written, path: "", kind }
    }

    /// The sizes of a file with so much data: of the whole, of the data, and samples of each channel.
    fn sizes(&self, data: u64, f: &Format) -> (u64, u64, u64) {
        let whole = (self.head as u64).saturating_add(data).saturating_add(data % 2).saturating_sub(8);
        let samples = match data.checked_div(f.block as u64) {
            Some(n) => n,
            None => u64::try_from(self.time.to_rate(f.rate)).unwrap_or(0),
        };
        (whole, data, samples)
    }

    /// Bytes a second of so much data.
    fn byte_rate(&self, data: u64) -> Option<u32> {
        let ms = u64::try_from(self.time.as_millis()).ok().filter(|ms| *ms > 0)?;
        u32::try_from(data.saturating_mul(1000) / ms).ok()
    }
}

fn ds64((whole, data, samples): (u64, u64, u64)) -> Vec<u8> {
    let mut d = b"ds64".to_vec();
    d.extend_from_slice(&(DS64 as u32).to_le_bytes());
    for v in [whole, data, samples] {
        d.extend_from_slice(&v.to_le_bytes());
    }
    d.extend_from_slice(&[0; 4]);
    d
}

/// A size as 32 bits say it.
fn narrow(size: u64) -> u32 {
    u32::try_from(size).unwrap_or(OPEN)
}

impl mist_core::format::Muxer for Muxer {
    fn unpatched(&mut self) {
        self.unpatched = true;
    }

    fn start(
        &mut self,
        tracks: &[Arc<TrackInfo>],
        index: Option<&Index>,
        out: &mut Gather,
    ) -> Result<(), FormatError> {
        let [info] = tracks else {
            return Err(self.error(ErrorKind::Unsupported("anything but one track")));
        };
        let f = Format::of(info).map_err(|kind| self.error(kind))?;
        let entries = index.and_then(|i| i.tracks.iter().find(|(id, _)| *id == info.id)).map(|(_, e)| e);
        self.announced = entries.map(|e| e.iter().map(|e| u64::from(e.size)).sum());
        if let Some([first, .., last]) = entries.map(Vec::as_slice) {
            // As many lines as packets, and one step less between them.
            let n = entries.map_or(1, Vec::len) as i64;
            let ticks = (last.dts - first.dts).ticks();
            self.time = Duration::from_ticks(ticks.saturating_add(ticks / (n - 1).max(1)));
        }
        let known = self.announced.and_then(|data| self.byte_rate(data));
        let fmt = f.build(known);
        let fact = f.codec != Codec::Pcm;
        // EBU Tech 3306: JUNK becomes ds64 if need be. A header that is right from the start knows that.
        let chunk = FIRST + 8;
        let body = fmt.len() + 8 + if fact { 12 } else { 0 };
        let small = self.announced.is_some_and(|data| data < u64::from(OPEN) - 128);
        let junk = if small { 0 } else { DS64 + 8 };
        self.head = FIRST + junk + body + 8;
        self.fmt_at = chunk + junk;
        self.fact_at = fact.then(|| self.fmt_at + fmt.len() + 8);
        let sizes = self.announced.map(|data| self.sizes(data, &f));
        let (whole, data, samples) = sizes.unwrap_or((OPEN.into(), OPEN.into(), 0));
        let wide = sizes.is_some() && !small;
        let mut d = Vec::with_capacity(self.head);
        d.extend_from_slice(if wide { b"RF64" } else { b"RIFF" });
        d.extend_from_slice(&(if wide { OPEN } else { narrow(whole) }).to_le_bytes());
        d.extend_from_slice(b"WAVE");
        if wide {
            d.extend(ds64((whole, data, samples)));
        } else if junk > 0 {
            d.extend_from_slice(b"JUNK");
            d.extend_from_slice(&(DS64 as u32).to_le_bytes());
            d.extend_from_slice(&[0; DS64]);
        }
        d.extend_from_slice(b"fmt ");
        d.extend_from_slice(&(fmt.len() as u32).to_le_bytes());
        d.extend_from_slice(&fmt);
        if fact {
            d.extend_from_slice(b"fact");
            d.extend_from_slice(&4u32.to_le_bytes());
            d.extend_from_slice(&narrow(samples).to_le_bytes());
        }
        d.extend_from_slice(b"data");
        d.extend_from_slice(&(if wide { OPEN } else { narrow(data) }).to_le_bytes());
        out.put(&d);
        self.time = Duration::ZERO;
        self.track = Some((info.clone(), f));
        Ok(())
    }

    fn track(&mut self, info: &Arc<TrackInfo>, _out: &mut Gather) -> Result<(), FormatError> {
        let same = |(old, f): &(Arc<TrackInfo>, Format)| {
            old.id == info.id && Format::of(info).is_ok_and(|new| new == *f)
        };
        if self.track.as_ref().is_some_and(same) {
            return Ok(());
        }
        Err(self.error(ErrorKind::Unsupported("another format after the start")))
    }

    fn packet(&mut self, p: &Packet, out: &mut Gather) -> Result<(), FormatError> {
        let Some((info, f)) = self.track.as_ref().filter(|(info, _)| info.id == p.track) else {
            return Err(self.error(ErrorKind::Malformed("packet of a track that was not announced")));
        };
        if is_samples(f.codec) {
            // Half a sample would shift all that follow.
            if !p.data.len().is_multiple_of(f.block) {
                return Err(self.error(ErrorKind::Malformed("packet ends inside a sample")));
            }
        } else {
            self.time += mist_core::codec::packet_duration(info, &p.data).unwrap_or(p.duration);
        }
        let data = match f.codec {
            Codec::Pcm | Codec::PcmFloat => pcm::swapped(p.data.clone(), f.bits),
            _ => p.data.clone(),
        };
        self.written += data.len() as u64;
        out.push(data);
        Ok(())
    }

    fn layout(&self, tracks: &[Arc<TrackInfo>], index: &Index) -> Result<Option<Layout>, FormatError> {
        let mut head = Gather::new();
        let mut plan = Self::new();
        plan.start(tracks, Some(index), &mut head)?;
        let tail: &[u8] = if plan.announced.unwrap_or(0) % 2 == 1 { &[0] } else { &[] };
        let around = index.tracks.iter().map(|_| 0);
        Ok(Some(Layout::new(index, head.to_vec().into(), around, Bytes::from_static(tail))))
    }

    fn finish(&mut self, out: &mut Gather) -> Result<Vec<Patch>, FormatError> {
        let Some((_, f)) = &self.track else {
            return Err(self.error(ErrorKind::Malformed("finished before its start")));
        };
        // Behind data of an open size, padding would be a sample more.
        if self.written % 2 == 1 && !(self.unpatched && self.announced.is_none()) {
            out.put(&[0]);
        }
        if self.announced == Some(self.written) {
            return Ok(Vec::new());
        }
        let (whole, data, samples) = self.sizes(self.written, f);
        let patch = |offset: usize, data: Vec<u8>| Patch { offset: offset as u64, data: Bytes::from(data) };
        let long = |v: u32| v.to_le_bytes().to_vec();
        let mut patches = Vec::new();
        let has_room = self.fmt_at > FIRST + 8;
        if whole >= u64::from(OPEN) {
            if !has_room {
                return Err(self.error(ErrorKind::Limit("4 GiB in a file that was to be shorter")));
            }
            patches.push(patch(0, b"RF64".to_vec()));
            patches.push(patch(FIRST, ds64((whole, data, samples))));
        } else {
            patches.push(patch(0, b"RIFF".to_vec()));
            patches.push(patch(4, long(narrow(whole))));
            patches.push(patch(self.head - 4, long(narrow(data))));
        }
        if let Some(at) = self.fact_at {
            patches.push(patch(at, long(narrow(samples))));
        }
        if let Some(rate) = self.byte_rate(self.written).filter(|_| f.block == 0) {
            patches.push(patch(self.fmt_at + Format::BYTE_RATE_AT, long(rate)));
        }
        Ok(patches)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Demuxer;
    use super::*;
    use mist_core::format::{Demuxed, Demuxer as _, IndexEntry, Muxer as _};
    use mist_core::media::{Media, Params, TrackId};
    use mist_core::time::Timestamp;

    const ID: TrackId = TrackId(5);

    fn track(codec: Codec, bits: u16) -> Arc<TrackInfo> {
        let params = Params::Audio { rate: 8000, channels: 1, bits };
        Arc::new(TrackInfo::new(ID, codec, Bytes::new(), params))
    }

    fn packet(n: i64, data: Vec<u8>) -> Packet {
        let (dts, zero) = (Timestamp::from_millis(n * 20), Duration::ZERO);
        Packet { track: ID, dts, cts: zero, duration: zero, key: true, data: data.into() }
    }

    fn index(packets: &[Packet]) -> Index {
        let line = |p: &Packet| IndexEntry {
            dts: p.dts,
            cts: p.cts,
            duration: p.duration,
            size: p.data.len() as u32,
            key: true,
        };
        Index { tracks: vec![(ID, packets.iter().map(line).collect())] }
    }

    #[test]
    fn a_pipe_has_no_padding_to_be_heard() {
        let mut m = Muxer::new();
        let mut out = Gather::new();
        m.unpatched();
        m.start(&[track(Codec::Alaw, 8)], None, &mut out).unwrap();
        m.packet(&packet(0, vec![0x55; 161]), &mut out).unwrap();
        m.finish(&mut out).unwrap();
        assert!(out.to_vec().ends_with(&[0x55; 161]), "data of an open size goes on to the end");
    }

    fn mux(info: &Arc<TrackInfo>, index: Option<&Index>, packets: &[Packet], patched: bool) -> Vec<u8> {
        let (mut m, mut out) = (Muxer::new(), Gather::new());
        m.start(std::slice::from_ref(info), index, &mut out).unwrap();
        packets.iter().for_each(|p| m.packet(p, &mut out).unwrap());
        let patches = m.finish(&mut out).unwrap();
        let mut file = out.to_vec();
        for p in patches.into_iter().filter(|_| patched) {
            file[p.offset as usize..][..p.data.len()].copy_from_slice(&p.data);
        }
        file
    }

    fn read(file: &[u8]) -> (Demuxer, Vec<u8>) {
        let mut d = Demuxer::new();
        d.push(0, Bytes::copy_from_slice(file));
        d.end();
        let mut all = Vec::new();
        loop {
            match d.poll().unwrap() {
                Demuxed::Media(Media::Packet(p)) => all.extend_from_slice(&p.data),
                Demuxed::Media(_) => {}
                Demuxed::End => return (d, all),
                other => panic!("{other:?}"),
            }
        }
    }

    fn long(file: &[u8], at: usize) -> u32 {
        u32::from_le_bytes(*file[at..].first_chunk().unwrap())
    }

    /// Live, patched and with an index: the same samples, and sizes that are right as far as they can be.
    #[test]
    fn sizes_are_open_patched_or_known() {
        for (codec, bits) in
            [(Codec::Pcm, 8), (Codec::Pcm, 24), (Codec::PcmFloat, 64), (Codec::Alaw, 8), (Codec::Pcm, 16)]
        {
            let info = track(codec, bits);
            let packets: Vec<_> =
                (0..5).map(|n| packet(n, vec![n as u8; 161 * usize::from(bits / 8)])).collect();
            let all: Vec<u8> = packets.iter().flat_map(|p| p.data.to_vec()).collect();
            let index = index(&packets);
            let live = mux(&info, None, &packets, false);
            let patched = mux(&info, None, &packets, true);
            let known = mux(&info, Some(&index), &packets, false);
            assert_eq!(known, mux(&info, Some(&index), &packets, true), "nothing to patch");
            assert!(known.len() < patched.len());
            assert_eq!((long(&live, 4), live[12..16].to_vec()), (OPEN, b"JUNK".to_vec()));
            for file in [&patched, &known] {
                assert_eq!(long(file, 4) as usize + 8, file.len());
                assert!(file.len() % 2 == 0);
            }
            for (file, open) in [(&live, true), (&patched, false), (&known, false)] {
                let (d, samples) = read(file);
                // Of an open file the padding is taken for a sample.
                assert!(samples[..all.len()] == all && samples.len() - all.len() <= usize::from(open));
                assert_eq!(d.index().is_none(), open);
            }
            let (d, _) = read(&known);
            let lines = &d.index().unwrap().tracks[0].1;
            assert_eq!(lines.iter().map(|l| l.size as usize).sum::<usize>(), all.len());
            let layout = Muxer::new().layout(std::slice::from_ref(&info), &index).unwrap().unwrap();
            assert_eq!(layout.len() as usize, known.len());
            assert_eq!(layout.head()[..], known[..layout.head().len()]);
        }
    }

    #[test]
    fn files_over_4_gib_become_rf64() {
        let info = track(Codec::Alaw, 8);
        // Announced: the header says so at once.
        let huge: Vec<_> = (0..3)
            .map(|n| IndexEntry { size: 2_000_000_000, ..index(&[packet(n, vec![])]).tracks[0].1[0] })
            .collect();
        let (mut m, mut out) = (Muxer::new(), Gather::new());
        m.start(std::slice::from_ref(&info), Some(&Index { tracks: vec![(ID, huge)] }), &mut out).unwrap();
        let head = out.to_vec();
        assert_eq!(
            (&head[..4], &head[12..16], long(&head, head.len() - 4)),
            (&b"RF64"[..], &b"ds64"[..], OPEN)
        );
        // Found out later: by patches.
        let (mut m, mut out) = (Muxer::new(), Gather::new());
        m.start(std::slice::from_ref(&info), None, &mut out).unwrap();
        let data = Bytes::from(vec![0; 16 << 20]);
        for n in 0..257 {
            m.packet(&Packet { data: data.clone(), ..packet(n, vec![]) }, &mut out).unwrap();
            out.clear();
        }
        let patches = m.finish(&mut out).unwrap();
        let mut head = mux(&info, None, &[], false);
        for p in patches {
            head[p.offset as usize..][..p.data.len()].copy_from_slice(&p.data);
        }
        let total = 257u64 << 24;
        assert_eq!((&head[..8], &head[12..16]), (&b"RF64\xff\xff\xff\xff"[..], &b"ds64"[..]));
        assert_eq!(head[28..36], total.to_le_bytes());
        let mut d = Demuxer::new();
        d.push(0, head.into());
        d.push(94, vec![0; 1 << 16].into());
        while !matches!(d.poll().unwrap(), Demuxed::Media(Media::Packet(_))) {}
        // 27 million packets' worth: too many lines for the little that is there.
        assert!(d.index().is_none());
        assert_eq!(d.seek(Timestamp::from_secs(100_000)).unwrap(), Timestamp::from_secs(100_000));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let (mut m, mut out) = (Muxer::new(), Gather::new());
        let a = track(Codec::Pcm, 16);
        assert!(m.finish(&mut out).is_err());
        assert!(m.start(&[a.clone(), a.clone()], None, &mut out).is_err());
        assert!(m.start(&[track(Codec::Aac, 16)], None, &mut out).is_err());
        assert!(m.start(&[track(Codec::Pcm, 12)], None, &mut out).is_err());
        m.start(std::slice::from_ref(&a), None, &mut out).unwrap();
        assert!(m.track(&a, &mut out).is_ok());
        assert!(m.track(&track(Codec::Pcm, 24), &mut out).is_err());
        assert!(m.packet(&packet(0, vec![0; 3]), &mut out).is_err());
        assert!(m.packet(&Packet { track: TrackId(9), ..packet(0, vec![0; 2]) }, &mut out).is_err());
        assert!(m.packet(&packet(0, vec![0; 2]), &mut out).is_ok());
    }
}
