//! MPEG audio frames: what to do with each.

use super::ID;
use super::info::{DECODER_DELAY, Info, Kind};
use crate::frames::{Framing, Out};
use bytes::Bytes;
use mist_core::codec::mpa::Header;
use mist_core::codec::{Codec, CodecError};
use mist_core::media::Params;
use mist_core::time::{Duration, Timestamp};

/// Frames and what was learnt about the file.
#[derive(Debug, Default)]
pub(super) struct MpegAudio {
    described: Option<(Codec, Params)>,
    info: Option<Info>,
    /// Where the frame of `info` lies.
    info_at: u64,
    /// The first frame with sound and where it lies.
    first: Option<(Header, u64)>,
    /// All frames had the same bit rate.
    constant: bool,
    /// Frames with sound so far.
    frames: u64,
    /// `frames` doesn't count any more.
    jumped: bool,
}

impl MpegAudio {
    pub(super) fn info(&self) -> Option<&Info> {
        self.info.as_ref()
    }

    /// How long the next frame sounds, where the file tells that it is less than all of it.
    fn trimmed(&self, h: &Header) -> Duration {
        let Some(Info { frames: Some(frames), padding, .. }) = self.info else { return Duration::ZERO };
        let silent = u64::from(padding).saturating_sub(DECODER_DELAY);
        let samples = u64::from(h.samples);
        if self.jumped || self.frames + 1 != u64::from(frames) || silent == 0 || silent >= samples {
            return Duration::ZERO;
        }
        Duration::from_rate((samples - silent) as i64, h.rate)
    }
}

impl Framing for MpegAudio {
    const ID: &'static str = ID;
    const MIN: usize = Header::MIN;
    const SYNC: u8 = 0xff;
    type Header = Header;

    fn parse(data: &[u8]) -> Result<Header, CodecError> {
        Header::parse(data)
    }

    fn len(h: &Header) -> usize {
        h.frame_len
    }

    fn rate(h: &Header) -> u32 {
        h.rate
    }

    fn like(a: &Header, b: &Header) -> bool {
        a.like(b)
    }

    fn read(&mut self, h: &Header, frame: Bytes, out: &mut Out<'_>) {
        let codec = if h.layer == 3 { Codec::Mp3 } else { Codec::Mp2 };
        let params = h.params();
        if self.described != Some((codec, params)) {
            self.described = Some((codec, params));
            out.describe(codec, Bytes::new(), params);
        }
        match &self.first {
            None => {
                self.constant = true;
                self.first = Some((*h, out.offset()));
            }
            Some((first, _)) => self.constant &= first.bit_rate == h.bit_rate,
        }
        let duration = self.trimmed(h);
        self.frames += 1;
        out.packet(0, frame, h.samples, duration);
    }

    fn about(&mut self, h: &Header, frame: &[u8], offset: u64) -> Option<String> {
        let info = Info::parse(h, frame)?;
        let count = |n: Option<u32>| n.map_or_else(|| "?".to_owned(), |n| n.to_string());
        let detail = format!(
            "{:?}: {} frames, {} bytes, delay {}, padding {}",
            info.kind,
            count(info.frames),
            count(info.bytes),
            info.delay,
            info.padding
        );
        if self.first.is_none() {
            self.info_at = offset;
            self.info = Some(info);
        }
        Some(detail)
    }

    fn free_like(a: &[u8], b: &[u8]) -> bool {
        match (a, b) {
            (&[0xff, a1, a2, a3, ..], &[0xff, b1, b2, b3, ..]) => {
                // Layer and rate valid, no bit rate; padding and joint stereo may differ.
                let mono = |c: u8| c >> 6 == 3;
                a1 == b1 && a1 & 6 != 0 && a2 & 0xfc == b2 & 0xfc && a2 >> 4 == 0 && mono(a3) == mono(b3)
            }
            _ => false,
        }
    }

    fn jump(&self, to: Timestamp, start: Timestamp) -> Option<(Timestamp, u64)> {
        let (h, first) = self.first?;
        let samples = u64::try_from((to - start).to_rate(h.rate)).ok()?;
        let frame = samples / u64::from(h.samples);
        let time = |frame: u64| {
            let n = frame.saturating_mul(h.samples.into());
            start + Duration::from_rate(i64::try_from(n).unwrap_or(i64::MAX), h.rate)
        };
        let varies = self.info.as_ref().is_some_and(|i| i.kind != Kind::Info);
        if self.constant && !varies {
            let last = self
                .info
                .as_ref()
                .and_then(|i| i.frames)
                .map_or(u64::MAX, |n| u64::from(n).saturating_sub(1));
            let frame = frame.min(last);
            // Bits of so many frames; which of them are a slot longer is the encoder's affair, so a slot less.
            let bits = u128::from(frame) * u128::from(h.samples) * u128::from(h.bit_rate);
            let bytes = u64::try_from(bits / (8 * u128::from(h.rate))).ok()?;
            return Some((time(frame), first.saturating_add(bytes.saturating_sub(4))));
        }
        let (frame, bytes) = self.info.as_ref()?.place(frame)?;
        Some((time(frame), self.info_at.saturating_add(bytes).max(first)))
    }

    fn jumped(&mut self) {
        self.jumped = true;
    }
}
