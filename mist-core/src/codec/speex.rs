//! Speex: the header that containers other than FLV keep (*The Speex Codec Manual*, Ogg file format).

use super::limits::MAX_RATE;
use super::{CodecError, flash};
use crate::media::Params;
use crate::time::Duration;
use bytes::{BufMut, Bytes, BytesMut};

/// The header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Samples a second.
    pub rate: u32,
    /// Channels: 1 or 2.
    pub channels: u8,
    /// Samples of a frame.
    pub frame: u32,
    /// Frames of a packet.
    pub frames: u32,
    /// Header packets behind the one with the comments.
    pub extra_headers: u32,
}

impl Header {
    /// Bytes of the header.
    pub const LEN: usize = 80;
    /// More samples in a packet than this are refused: over a second at any rate of Speex.
    const MAX_SAMPLES: u32 = 65_536;

    /// Parses the header packet.
    ///
    /// # Errors
    /// It is another packet, has a rate, channels or sizes out of range, or ends early.
    pub fn parse(packet: &[u8]) -> Result<Self, CodecError> {
        let end = CodecError::truncated("Speex header");
        if !packet.starts_with(b"Speex   ") {
            return Err(if packet.len() < 8 { end } else { CodecError::malformed("Speex header") });
        }
        if packet.len() < Self::LEN {
            return Err(end);
        }
        let number =
            |at: usize| packet.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |b| u32::from_le_bytes(*b));
        let (rate, channels) = (number(36), number(48));
        // Beta encoders wrote the frame of another mode; decoders go by the mode.
        let frame = match number(40) {
            mode @ 0..=2 => (flash::SPEEX_SAMPLES / 2) << mode,
            _ => Self::declared_frame(packet),
        };
        // Old encoders leave the number of frames at 0.
        let frames = number(64).max(1);
        if rate == 0 || frame == 0 || !(1..=2).contains(&channels) {
            return Err(CodecError::malformed("Speex header"));
        }
        if rate > MAX_RATE || frame.saturating_mul(frames) > Self::MAX_SAMPLES {
            return Err(CodecError::limit("Speex packet"));
        }
        Ok(Self { rate, channels: channels as u8, frame, frames, extra_headers: number(68) })
    }

    /// Samples of a frame as the header packet has them, which need not be those of its mode.
    pub fn declared_frame(packet: &[u8]) -> u32 {
        packet.get(56..).and_then(<[u8]>::first_chunk).map_or(0, |b| u32::from_le_bytes(*b))
    }

    /// What FLV means without saying it: wide band, one channel, one frame a packet.
    pub const WIDE_BAND: Self = Self {
        rate: flash::SPEEX_RATE,
        channels: 1,
        frame: flash::SPEEX_SAMPLES,
        frames: 1,
        extra_headers: 0,
    };

    /// Writes the header packet of a stream with a variable bit rate. Its mode follows from the frame.
    pub fn build(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(Self::LEN);
        out.put_slice(b"Speex   1.2");
        out.put_bytes(0, 17);
        let mode = match self.frame {
            160 => 0,
            320 => 1,
            _ => 2,
        };
        let words = [
            1,
            Self::LEN as u32,
            self.rate,
            mode,
            4,
            self.channels.into(),
            u32::MAX,
            self.frame,
            1,
            self.frames,
        ];
        words.into_iter().for_each(|w| out.put_u32_le(w));
        out.put_bytes(0, 12);
        out.freeze()
    }

    /// Samples of a packet.
    pub fn samples(&self) -> u32 {
        self.frame.saturating_mul(self.frames)
    }

    /// What players need to know.
    pub fn params(&self) -> Params {
        Params::Audio { rate: self.rate, channels: self.channels.into(), bits: 16 }
    }
}

/// How long a packet lasts, by the track's init data.
pub fn packet_duration(init: &[u8]) -> Option<Duration> {
    let h = if init.is_empty() { Header::WIDE_BAND } else { Header::parse(init).ok()? };
    Some(Duration::from_rate(h.samples().into(), h.rate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header() {
        let h = Header { rate: 44_100, channels: 2, frame: 640, frames: 2, extra_headers: 0 };
        let p = h.build();
        assert_eq!(p.len(), Header::LEN);
        assert_eq!(Header::parse(&p), Ok(h));
        (0..p.len()).for_each(|n| assert!(Header::parse(&p[..n]).is_err()));
        for (at, v) in [(39, 1), (48, 3), (48, 0), (66, 1)] {
            let mut bad = p.to_vec();
            bad[at] = v;
            assert!(Header::parse(&bad).is_err(), "{at}");
        }
        let mut beta = p.to_vec();
        beta[56..60].copy_from_slice(&320u32.to_le_bytes());
        assert_eq!((Header::parse(&beta), Header::declared_frame(&beta)), (Ok(h), 320));
        assert_eq!(packet_duration(b""), Some(Duration::from_millis(20)));
        assert_eq!(packet_duration(&p), Some(Duration::from_rate(1280, 44_100)));
        assert_eq!(packet_duration(b"x"), None);
    }
}
