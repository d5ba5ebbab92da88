//! Packets to files and streams.

use super::ID;
use super::fmt::{Format, is_samples};
use bytes::Bytes;
use mist_core::codec::{Codec, pcm};
use mist_core::format::{ErrorKind, FormatError, Index, Patch};
use mist_core::gather::Gather;
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

    fn finish(&mut self, out: &mut Gather) -> Result<Vec<Patch>, FormatError> {
        let Some((_, f)) = &self.track else {
            return Err(self.error(ErrorKind::Malformed("finished before its start")));
        };
        if self.written % 2 == 1 {
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
