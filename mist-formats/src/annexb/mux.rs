//! Access units one behind another.

use super::ID;
use bytes::Bytes;
use mist_core::codec::{Codec, CodecError, h264, hevc, nal};
use mist_core::format::{ErrorKind, FormatError, Index, Patch};
use mist_core::gather::Gather;
use mist_core::media::{Packet, TrackId, TrackInfo};
use std::sync::Arc;

const START: &[u8] = &[0, 0, 0, 1];
/// Access unit delimiters that allow every kind of slice.
const H264_DELIMITER: &[u8] = &[0, 0, 0, 1, 9, 0xf0];
const HEVC_DELIMITER: &[u8] = &[0, 0, 0, 1, 0x46, 1, 0x50];

/// Writes H.264 or HEVC as a byte stream.
#[derive(Debug, Default)]
pub struct Muxer {
    track: Option<(TrackId, Codec)>,
    sets: Vec<Bytes>,
    /// The sets are due with the next picture, whatever it is.
    due: bool,
    at: u64,
}

impl Muxer {
    /// Before its start.
    pub fn new() -> Self {
        Self::default()
    }

    fn error(&self, kind: ErrorKind) -> FormatError {
        FormatError { format: ID, offset: self.at, path: "access unit", kind }
    }

    fn take(&mut self, info: &TrackInfo) -> Result<(), FormatError> {
        let sets: Result<Vec<Bytes>, CodecError> = match info.codec {
            Codec::H264 => h264::Avcc::parse(&info.init).map(|a| a.nals().cloned().collect()),
            Codec::Hevc => hevc::Hvcc::parse(&info.init).map(|h| {
                // Records can hold SEI, which would be another one with every key picture.
                let set = |n: &&Bytes| (hevc::nal::VPS..=hevc::nal::PPS).contains(&hevc::nal::kind(n));
                h.nals().filter(set).cloned().collect()
            }),
            _ => Err(CodecError::unsupported("codec other than H.264 and HEVC")),
        };
        self.sets = sets.map_err(|e| self.error(e.into()))?;
        self.track = Some((info.id, info.codec));
        self.due = true;
        Ok(())
    }

    fn put(&mut self, small: &[u8], out: &mut Gather) {
        self.at += small.len() as u64;
        out.put(small);
    }
}

impl mist_core::format::Muxer for Muxer {
    fn start(
        &mut self,
        tracks: &[Arc<TrackInfo>],
        _index: Option<&Index>,
        _out: &mut Gather,
    ) -> Result<(), FormatError> {
        match tracks {
            [info] => self.take(info),
            _ => Err(self.error(ErrorKind::Unsupported("other than one track"))),
        }
    }

    fn track(&mut self, info: &Arc<TrackInfo>, _out: &mut Gather) -> Result<(), FormatError> {
        if self.track.is_some_and(|(t, _)| t != info.id) {
            return Err(self.error(ErrorKind::Unsupported("more than one track")));
        }
        self.take(info)
    }

    fn packet(&mut self, p: &Packet, out: &mut Gather) -> Result<(), FormatError> {
        let Some((_, codec)) = self.track.filter(|(t, _)| *t == p.track) else {
            return Err(self.error(ErrorKind::Malformed("packet of a track that wasn't announced")));
        };
        nal::check_lengths(&p.data, 4).map_err(|e| self.error(e.into()))?;
        let hevc = codec == Codec::Hevc;
        self.put(if hevc { HEVC_DELIMITER } else { H264_DELIMITER }, out);
        let in_band = nal::units(&p.data).any(|u| {
            if hevc { hevc::nal::kind(u) == hevc::nal::SPS } else { h264::nal::kind(u) == h264::nal::SPS }
        });
        if (p.key || self.due) && !in_band {
            for set in std::mem::take(&mut self.sets) {
                self.put(START, out);
                self.put(&set, out);
                self.sets.push(set);
            }
        }
        self.due = false;
        for unit in nal::units(&p.data) {
            let delimiter = if hevc {
                hevc::nal::kind(unit) == hevc::nal::AUD
            } else {
                h264::nal::kind(unit) == h264::nal::AUD
            };
            if !delimiter {
                self.put(START, out);
                self.at += unit.len() as u64;
                out.push(p.data.slice_ref(unit));
            }
        }
        Ok(())
    }

    fn finish(&mut self, _out: &mut Gather) -> Result<Vec<Patch>, FormatError> {
        Ok(Vec::new())
    }
}
