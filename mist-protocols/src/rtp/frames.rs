//! Sound in frames that tell their own length: MPEG audio (RFC 2250 §3.5), AC-3 (RFC 4184 §4) and E-AC-3 (RFC 4598 §4).

use super::{Depacketize, Out, Piece, limits};
use bytes::BytesMut;
use mist_core::codec::{CodecError, ac3, mpa};
use mist_core::time::Duration;

/// Which frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Mpeg,
    Ac3,
    Eac3,
}

/// Splits payloads into frames.
#[derive(Debug)]
pub(super) struct Frames {
    framing: Framing,
    clock: u32,
    /// A frame of which more is to come: its time and size.
    open: Option<(i64, usize)>,
    data: BytesMut,
}

impl Frames {
    pub(super) fn new(framing: Framing, clock: u32) -> Self {
        Self { framing, clock, open: None, data: BytesMut::new() }
    }

    /// Bytes of the frame at the front, and how long it lasts.
    fn frame(&self, data: &[u8]) -> Result<(usize, Duration), CodecError> {
        match self.framing {
            Framing::Mpeg => mpa::Header::parse(data).map(|h| (h.frame_len, h.duration())),
            Framing::Ac3 | Framing::Eac3 => {
                let h = ac3::Header::parse(data)?;
                let (mut len, lasts) = (h.frame_len, h.duration());
                // Dependent substreams belong to the frame before.
                while let Some(Ok(h)) = data.get(len..).map(ac3::Header::parse)
                    && h.dependent
                {
                    len += h.frame_len;
                }
                Ok((len, lasts))
            }
        }
    }
}

impl Depacketize for Frames {
    fn push(&mut self, piece: Piece<'_>, out: &mut Out) -> Result<(), CodecError> {
        let Piece { payload, time, lost, .. } = piece;
        let mut open = self.open.take().filter(|_| !lost);
        let truncated = CodecError::truncated("head of audio in RTP");
        let (offset, head) = match self.framing {
            // The offset in the frame says whether it goes on.
            Framing::Mpeg => {
                let &[_, _, o0, o1] = payload.first_chunk().ok_or(truncated)?;
                let offset = usize::from(u16::from_be_bytes([o0, o1]));
                open = open.filter(|_| offset == self.data.len());
                (offset, 4)
            }
            Framing::Ac3 => {
                let &[kind, _] = payload.first_chunk().ok_or(truncated)?;
                (if kind & 3 == 3 { self.data.len().max(1) } else { 0 }, 2)
            }
            // One bit is for all fragments: the first is the one before which none is open.
            Framing::Eac3 => {
                let &[kind, _] = payload.first_chunk().ok_or(truncated)?;
                open = open.filter(|o| kind & 1 == 1 && o.0 == time);
                (if open.is_some() { self.data.len().max(1) } else { 0 }, 2)
            }
        };
        let mut data = payload.slice(head..);
        if offset > 0 {
            let Some((at, size)) = open else {
                return if lost {
                    Ok(())
                } else {
                    Err(CodecError::malformed("fragment without its beginning"))
                };
            };
            self.data.extend_from_slice(&data);
            if self.data.len() < size {
                self.open = open;
            } else {
                self.data.truncate(size);
                out.frame(at, self.data.split().freeze());
            }
            return Ok(());
        }
        let mut at = time;
        for _ in 0..limits::FRAMES {
            if data.is_empty() {
                return Ok(());
            }
            let (len, lasts) = match self.frame(&data) {
                // The rest of a frame whose beginning is lost.
                Err(_) if lost && self.framing == Framing::Eac3 => return Ok(()),
                frame => frame?,
            };
            if len > data.len() {
                self.data.clear();
                self.data.extend_from_slice(&data);
                self.open = Some((at, len));
                return Ok(());
            }
            out.frame(at, data.split_to(len));
            at = at.saturating_add(lasts.to_rate(self.clock));
        }
        Err(CodecError::limit("frames in a packet"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Run;
    use super::*;

    /// Layer III, 32 kbit/s at 48 kHz: 96 bytes, 24 ms.
    fn mp3(tag: u8) -> Vec<u8> {
        [&[0xff, 0xfb, 0x14, 0xc0][..], &[tag; 92]].concat()
    }

    #[test]
    fn frames_in_one_packet_and_in_several() {
        let mut r = Run::new(Frames::new(Framing::Mpeg, 90_000));
        r.push(&[&[0; 4][..], &mp3(1), &mp3(2)].concat(), true, 0).unwrap();
        assert_eq!(r.take(), [(0, mp3(1)), (2160, mp3(2))]);
        r.push(&[&[0; 4][..], &mp3(3)[..50]].concat(), false, 9).unwrap();
        r.push(&[&[0, 0, 0, 50][..], &mp3(3)[50..]].concat(), true, 9).unwrap();
        assert_eq!(r.take(), [(9, mp3(3))]);
        r.push(&[&[0; 4][..], &mp3(3)[..50]].concat(), false, 9).unwrap();
        assert!(r.push(&[&[0, 0, 0, 60][..], &mp3(3)[60..]].concat(), true, 9).is_err());
        for bad in [&[0, 0][..], &[0, 0, 0, 0, 1, 2, 3, 4], &[0, 0, 0, 0, 0xff]] {
            assert!(r.push(bad, true, 10).is_err());
        }
        r.lost().push(&[&[0, 0, 0, 50][..], &mp3(3)[50..]].concat(), true, 11).unwrap();
        assert_eq!(r.take(), []);
        let flood = [&[0; 4][..], &mp3(0).repeat(limits::FRAMES + 1)].concat();
        assert!(r.push(&flood, true, 12).is_err());
    }

    #[test]
    fn ac3_in_fragments() {
        // 48 kHz, 32 kbit/s, stereo: 128 bytes.
        let frame = [&[0x0b, 0x77, 0, 0, 0x00, 0x40, 0x40, 0][..], &[5; 120]].concat();
        let mut r = Run::new(Frames::new(Framing::Ac3, 48_000));
        r.push(&[&[0, 2][..], &frame, &frame].concat(), true, 0).unwrap();
        assert_eq!(r.take(), [(0, frame.clone()), (1536, frame.clone())]);
        r.push(&[&[1, 3][..], &frame[..90]].concat(), false, 7).unwrap();
        r.push(&[&[3, 3][..], &frame[90..100]].concat(), false, 7).unwrap();
        r.push(&[&[3, 3][..], &frame[100..]].concat(), true, 7).unwrap();
        assert_eq!(r.take(), [(7, frame)]);
        assert!(r.push(&[3, 3, 1], true, 8).is_err());
    }

    #[test]
    fn eac3_in_fragments() {
        // 48 kHz, 256 bytes.
        let frame = [&[0x0b, 0x77, 0, 0x7f, 0x34, 0x80][..], &[5; 250]].concat();
        let (a, b, c) = (&frame[..90], &frame[90..200], &frame[200..]);
        let part = |data: &[u8]| [&[1, 3][..], data].concat();
        let mut r = Run::new(Frames::new(Framing::Eac3, 48_000));
        r.push(&[&[0, 2][..], &frame, &frame].concat(), true, 0).unwrap();
        assert_eq!(r.take(), [(0, frame.clone()), (1536, frame.clone())]);
        for time in [7, 8] {
            for data in [a, b, c] {
                r.push(&part(data), data == c, time).unwrap();
            }
            assert_eq!(r.take(), [(time, frame.clone())]);
        }
        // The middle is lost; the end is; the beginning is.
        r.push(&part(a), false, 9).unwrap();
        r.lost().push(&part(c), true, 9).unwrap();
        r.push(&part(a), false, 10).unwrap();
        r.lost().push(&part(a), false, 11).unwrap();
        r.push(&part(b), false, 11).unwrap();
        r.push(&part(c), false, 11).unwrap();
        assert_eq!(r.take(), [(11, frame.clone())]);
        r.push(&part(a), false, 12).unwrap();
        r.push(&[&[0, 1][..], &frame].concat(), true, 13).unwrap();
        assert_eq!(r.take(), [(13, frame.clone())]);
        assert!(r.push(&part(c), true, 14).is_err());
    }
}
