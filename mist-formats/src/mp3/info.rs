//! Frames without sound that say something about the file: the headers of Xing, LAME and Fraunhofer (VBRI).

use bytes::Bytes;
use mist_core::codec::mpa::Header;

/// Samples by which decoders of layer III are late: what they put out has them in front on top of the encoder's delay.
pub(super) const DECODER_DELAY: u64 = 529;

/// Who wrote the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `Xing`: the bit rate varies.
    Xing,
    /// `Info`: the same header for a constant bit rate.
    Info,
    /// `VBRI`: Fraunhofer's own.
    Vbri,
}

/// The places that a table of contents knows.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Toc {
    None,
    /// A hundred times, equally far apart: 256th parts of the bytes.
    Parts([u8; 100]),
    /// Bytes of each so many frames.
    Lengths {
        frames: u32,
        scale: u32,
        size: usize,
        table: Bytes,
    },
}

/// What the first frame says about a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// Who wrote it.
    pub kind: Kind,
    /// Frames behind it.
    pub frames: Option<u32>,
    /// Bytes from this frame's start to the end of the sound.
    pub bytes: Option<u32>,
    /// Samples that the encoder put in front of the sound; 0 where unknown.
    pub delay: u16,
    /// Samples that the encoder put behind the sound; 0 where unknown.
    pub padding: u16,
    toc: Toc,
}

fn be32(b: &[u8], at: usize) -> Option<u32> {
    b.get(at..)?.first_chunk().map(|b| u32::from_be_bytes(*b))
}

fn be16(b: &[u8], at: usize) -> Option<u16> {
    b.get(at..)?.first_chunk().map(|b| u16::from_be_bytes(*b))
}

impl Info {
    /// Reads it out of a frame of layer III; `None` if that is one with sound.
    pub fn parse(h: &Header, frame: &[u8]) -> Option<Self> {
        if h.layer != 3 {
            return None;
        }
        let side = side_info(h);
        // Some writers count the CRC, most don't.
        [4 + side, 6 + side]
            .into_iter()
            .find_map(|at| Self::xing(frame.get(at..)?))
            .or_else(|| Self::vbri(frame.get(36..)?))
    }

    fn xing(b: &[u8]) -> Option<Self> {
        let kind = match b.first_chunk()? {
            b"Xing" => Kind::Xing,
            b"Info" => Kind::Info,
            _ => return None,
        };
        let flags = be32(b, 4)?;
        let mut info = Self { kind, frames: None, bytes: None, delay: 0, padding: 0, toc: Toc::None };
        let mut at = 8;
        if flags & 1 != 0 {
            info.frames = be32(b, at).filter(|&n| n > 0);
            at += 4;
        }
        if flags & 2 != 0 {
            info.bytes = be32(b, at).filter(|&n| n > 0);
            at += 4;
        }
        if flags & 4 != 0 {
            if let Some(toc) = b.get(at..).and_then(|t| t.first_chunk::<100>()) {
                info.toc = Toc::Parts(*toc);
            }
            at += 100;
        }
        if flags & 8 != 0 {
            at += 4;
        }
        // LAME's extension: the encoder's name in 9 bytes, and 21 bytes behind its start twice 12 bits.
        if let (Some([b'L' | b'G' | b'X', ..]), Some(&[a, b, c])) =
            (b.get(at..), b.get(at + 21..).and_then(|d| d.first_chunk()))
        {
            info.delay = u16::from(a) << 4 | u16::from(b >> 4);
            info.padding = u16::from(b & 15) << 8 | u16::from(c);
        }
        Some(info)
    }

    fn vbri(b: &[u8]) -> Option<Self> {
        if !b.starts_with(b"VBRI") {
            return None;
        }
        let (entries, scale, size, frames) = (be16(b, 18)?, be16(b, 20)?, be16(b, 22)?, be16(b, 24)?);
        let size = usize::from(size);
        let table = b.get(26..26 + usize::from(entries) * size).unwrap_or_default();
        let toc = if (1..=4).contains(&size) && frames > 0 {
            Toc::Lengths {
                frames: frames.into(),
                scale: scale.into(),
                size,
                table: Bytes::copy_from_slice(table),
            }
        } else {
            Toc::None
        };
        Some(Self {
            kind: Kind::Vbri,
            frames: be32(b, 14).filter(|&n| n > 0),
            bytes: be32(b, 10).filter(|&n| n > 0),
            delay: 0,
            padding: 0,
            toc,
        })
    }

    /// A place at or before frame `to` by the table of contents: frame, and bytes from this frame's start.
    pub(super) fn place(&self, to: u64) -> Option<(u64, u64)> {
        match &self.toc {
            Toc::None => None,
            Toc::Parts(parts) => {
                let (frames, bytes) = (u64::from(self.frames?), u64::from(self.bytes?));
                let i = (to.saturating_mul(100) / frames).min(99);
                let part = u64::from(*parts.get(usize::try_from(i).ok()?)?);
                Some((frames * i / 100, bytes * part / 256))
            }
            Toc::Lengths { frames, scale, size, table } => {
                let (mut frame, mut at) = (0u64, 0u64);
                for entry in table.chunks_exact(*size) {
                    let next = frame.saturating_add(u64::from(*frames));
                    if next > to {
                        break;
                    }
                    frame = next;
                    let len = entry.iter().fold(0u64, |n, &b| n << 8 | u64::from(b));
                    at = at.saturating_add(len.saturating_mul(u64::from(*scale)));
                }
                Some((frame, at))
            }
        }
    }
}

/// Bytes of the side information behind the header of a frame of layer III.
pub(super) const fn side_info(h: &Header) -> usize {
    match (h.low_rate, h.channels) {
        (false, 1) | (true, 2) => 17,
        (false, _) => 32,
        (true, _) => 9,
    }
}
