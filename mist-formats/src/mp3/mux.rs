//! Frames one behind another, with Xing's header in front of a file whose packets are known.

use super::ID;
use super::info::side_info;
use mist_core::codec::mpa::{self, Header};
use mist_core::codec::{Codec, CodecError};
use mist_core::format::{ErrorKind, FormatError, Index, IndexEntry, Patch};
use mist_core::gather::Gather;
use mist_core::media::{Packet, TrackId, TrackInfo};
use std::sync::Arc;

/// Writes MPEG audio, layer III. Packets have to be whole frames.
///
/// With an [`Index`] the first frame is one without sound that has the number of frames and bytes and a table of contents
/// in it, so that players know the length and can seek.
#[derive(Debug, Default)]
pub struct Muxer {
    track: Option<TrackId>,
    last: Option<Header>,
    at: u64,
}

impl Muxer {
    /// Before its start.
    pub fn new() -> Self {
        Self::default()
    }

    fn error(&self, kind: ErrorKind) -> FormatError {
        FormatError { format: ID, offset: self.at, path: "frame", kind }
    }

    fn take(&mut self, info: &TrackInfo) -> Result<(), FormatError> {
        if info.codec != Codec::Mp3 {
            return Err(self.error(ErrorKind::Unsupported("only MP3")));
        }
        self.track = Some(info.id);
        self.last = None;
        Ok(())
    }
}

impl mist_core::format::Muxer for Muxer {
    fn start(
        &mut self,
        tracks: &[Arc<TrackInfo>],
        index: Option<&Index>,
        out: &mut Gather,
    ) -> Result<(), FormatError> {
        let [info] = tracks else {
            return Err(self.error(ErrorKind::Unsupported("other than one track")));
        };
        self.take(info)?;
        let list = index.and_then(|i| i.tracks.iter().find(|(id, _)| *id == info.id));
        if let Some(frame) = list.and_then(|(_, list)| xing(info, list)) {
            self.at += frame.len() as u64;
            out.put(&frame);
        }
        Ok(())
    }

    fn track(&mut self, info: &Arc<TrackInfo>, _out: &mut Gather) -> Result<(), FormatError> {
        if self.track.is_some_and(|t| t != info.id) {
            return Err(self.error(ErrorKind::Unsupported("more than one track")));
        }
        self.take(info)
    }

    fn packet(&mut self, p: &Packet, out: &mut Gather) -> Result<(), FormatError> {
        if self.track != Some(p.track) {
            return Err(self.error(ErrorKind::Malformed("packet of a track that wasn't announced")));
        }
        let mut len = 0usize;
        for h in mpa::frames(&p.data) {
            if h.layer != 3 || self.last.is_some_and(|l| !l.like(&h)) {
                return Err(self.error(ErrorKind::Malformed("frame of another layer or sample rate")));
            }
            self.last = Some(h);
            len = len.saturating_add(h.frame_len);
        }
        if len == 0 || len != p.data.len() {
            return Err(self.error(CodecError::truncated("MPEG audio frame").into()));
        }
        self.at += len as u64;
        out.push(p.data.clone());
        Ok(())
    }

    fn finish(&mut self, _out: &mut Gather) -> Result<Vec<Patch>, FormatError> {
        Ok(Vec::new())
    }
}

/// The frame with Xing's header for these packets; `None` for sample rates that MPEG audio doesn't have, and for nothing.
fn xing(info: &TrackInfo, list: &[IndexEntry]) -> Option<Vec<u8>> {
    let (first, last) = (list.first()?, list.last()?);
    let (version, code, shift) = match info.rate() {
        r @ (44_100 | 48_000 | 32_000) => (3u8, r, 0u32),
        r @ (22_050 | 24_000 | 16_000) => (2, r << 1, 1),
        r @ (11_025 | 12_000 | 8_000) => (0, r << 2, 2),
        _ => return None,
    };
    let code = match code {
        44_100 => 0u8,
        48_000 => 1,
        _ => 2,
    };
    let mode = if info.channels() == 1 { 3u8 } else { 0 };
    // The smallest bit rate whose frame has room for the header: 4 bytes, side information and 120 bytes.
    let (head, h) = (1..15u8).find_map(|rate| {
        let head = [0xff, 0xe3 | version << 3, rate << 4 | code << 2, mode << 6];
        let h = Header::parse(&head).ok()?;
        (h.frame_len >= 4 + side_info(&h) + 120).then_some((head, h))
    })?;
    let samples = if shift == 0 { 1152i64 } else { 576 };
    let frames = ((last.dts - first.dts).to_rate(h.rate) + samples / 2) / samples + 1;
    let bytes: u64 = list.iter().map(|e| u64::from(e.size)).sum::<u64>() + h.frame_len as u64;
    let same = list.iter().all(|e| e.size.abs_diff(first.size) <= 1);
    let mut frame = head.to_vec();
    frame.resize(4 + side_info(&h), 0);
    frame.extend_from_slice(if same { b"Info" } else { b"Xing" });
    frame.extend_from_slice(&7u32.to_be_bytes());
    frame.extend_from_slice(&u32::try_from(frames).unwrap_or(u32::MAX).to_be_bytes());
    frame.extend_from_slice(&u32::try_from(bytes).unwrap_or(u32::MAX).to_be_bytes());
    let mut at = h.frame_len as u64;
    let mut entries = list.iter().enumerate().peekable();
    for percent in 0..100 {
        while let Some((_, e)) = entries.next_if(|(i, _)| i * 100 < percent * list.len()) {
            at += u64::from(e.size);
        }
        frame.push(u8::try_from(at * 256 / bytes.max(1)).unwrap_or(255));
    }
    frame.resize(h.frame_len, 0);
    Some(frame)
}
