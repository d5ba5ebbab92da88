//! Packets to files and HTTP-FLV.

use super::ID;
use super::meta::{DURATION_AT, FILESIZE_AT, on_metadata};
use super::tag::TagError;
use super::writer::{Peer, Tag, TagWriter};
use bytes::Bytes;
use mist_core::format::{ErrorKind, FormatError, Index, Patch};
use mist_core::gather::Gather;
use mist_core::media::{Kind, Packet, TrackInfo};
use mist_core::time::Timestamp;
use smallvec::SmallVec;
use std::sync::Arc;

/// A tag's head in front of its body.
const HEAD: usize = 11;

/// Writes FLV files and streams.
///
/// The same bytes serve a live stream and a file: `duration` and `filesize` of `onMetaData` are 0 until
/// [`finish`](mist_core::format::Muxer::finish) says what to patch; an index gives the duration at once.
#[derive(Debug)]
pub struct Muxer {
    writer: TagWriter,
    /// Bytes written.
    at: u64,
    /// Where the body of `onMetaData` lies.
    metadata_at: u64,
    end: Timestamp,
}

impl Default for Muxer {
    fn default() -> Self {
        Self::new()
    }
}

impl Muxer {
    /// Before its start.
    pub fn new() -> Self {
        Self { writer: TagWriter::new(Peer::FILE), at: 0, metadata_at: 0, end: Timestamp::ZERO }
    }

    fn error(&self, e: TagError) -> FormatError {
        FormatError { format: ID, offset: self.at, path: e.path, kind: e.kind }
    }

    fn put(&mut self, tag: Tag, out: &mut Gather) {
        let len = tag.len() as u32;
        let [_, l0, l1, l2] = len.to_be_bytes();
        let [t3, t0, t1, t2] = tag.timestamp.to_be_bytes();
        let mut head: SmallVec<[u8; 48]> =
            SmallVec::from_slice(&[tag.kind.to_wire(), l0, l1, l2, t0, t1, t2, t3, 0, 0, 0]);
        head.extend_from_slice(&tag.head);
        out.put(&head);
        out.push(tag.payload);
        out.put(&(len + HEAD as u32).to_be_bytes());
        self.at += u64::from(len) + HEAD as u64 + 4;
    }
}

impl mist_core::format::Muxer for Muxer {
    fn start(
        &mut self,
        tracks: &[Arc<TrackInfo>],
        index: Option<&Index>,
        out: &mut Gather,
    ) -> Result<(), FormatError> {
        let mut configs = Vec::new();
        for t in tracks {
            configs.extend(self.writer.track(t).map_err(|e| self.error(e))?);
        }
        let has = |k: Kind, flag: u8| if tracks.iter().any(|t| t.codec.kind() == k) { flag } else { 0 };
        // A stream that starts with one kind of track may get the other later, but the flags bind players to wait
        // for both: only what is there is announced.
        let flags = has(Kind::Video, 1) | has(Kind::Audio, 4);
        out.put(&[b'F', b'L', b'V', 1, flags, 0, 0, 0, 9, 0, 0, 0, 0]);
        self.at += 13;
        self.metadata_at = self.at + HEAD as u64;
        let entries = index.iter().flat_map(|i| &i.tracks).flat_map(|(_, e)| e);
        let end = entries.map(|e| e.dts + e.cts).max().unwrap_or(Timestamp::ZERO);
        let payload = on_metadata(tracks, seconds(end)).into();
        self.put(Tag { kind: super::TagKind::Script, timestamp: 0, head: SmallVec::new(), payload }, out);
        for c in configs {
            self.put(c, out);
        }
        Ok(())
    }

    fn track(&mut self, info: &Arc<TrackInfo>, out: &mut Gather) -> Result<(), FormatError> {
        if let Some(tag) = self.writer.track(info).map_err(|e| self.error(e))? {
            self.put(tag, out);
        }
        Ok(())
    }

    fn packet(&mut self, p: &Packet, out: &mut Gather) -> Result<(), FormatError> {
        let tag = self.writer.packet(p).map_err(|e| self.error(e))?;
        self.end = self.end.max(p.pts() + p.duration);
        self.put(tag, out);
        Ok(())
    }

    fn finish(&mut self, _out: &mut Gather) -> Result<Vec<Patch>, FormatError> {
        if self.metadata_at == 0 {
            let kind = ErrorKind::Malformed("finished before its start");
            return Err(FormatError { format: ID, offset: 0, path: "", kind });
        }
        let patch = |at: usize, value: f64| Patch {
            offset: self.metadata_at + at as u64,
            data: Bytes::copy_from_slice(&value.to_be_bytes()),
        };
        Ok(vec![patch(DURATION_AT, seconds(self.end)), patch(FILESIZE_AT, self.at as f64)])
    }
}

fn seconds(t: Timestamp) -> f64 {
    t.as_millis().max(0) as f64 / 1000.0
}
