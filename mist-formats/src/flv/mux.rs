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

#[cfg(test)]
mod tests {
    use super::super::{Demuxer, Script};
    use super::*;
    use crate::amf::Value;
    use mist_core::codec::Codec;
    use mist_core::format::{Demuxed, Demuxer as _, IndexEntry, Muxer as _};
    use mist_core::media::{Media, Params, TrackId};
    use mist_core::time::Duration;

    fn sound(init: &'static [u8]) -> Arc<TrackInfo> {
        let params = Params::Audio { rate: 44_100, channels: 2, bits: 16 };
        Arc::new(TrackInfo::new(TrackId(7), Codec::Aac, Bytes::from_static(init), params))
    }

    fn packet(ms: i64) -> Packet {
        Packet {
            track: TrackId(7),
            dts: Timestamp::from_millis(ms),
            cts: Duration::ZERO,
            duration: Duration::from_millis(20),
            key: true,
            data: Bytes::from(vec![ms as u8; 1000]),
        }
    }

    fn metadata(file: &[u8]) -> Script {
        let len = usize::from(u16::from_be_bytes([file[15], file[16]]));
        Script::parse(&file[24..24 + len]).unwrap()
    }

    #[test]
    fn a_file_is_completed_by_its_patches() {
        let mut m = Muxer::new();
        let mut out = Gather::new();
        assert!(m.finish(&mut out).is_err());
        m.start(&[sound(&[0x12, 0x10])], None, &mut out).unwrap();
        for i in 0..50 {
            m.packet(&packet(i * 20), &mut out).unwrap();
        }
        let patches = m.finish(&mut out).unwrap();
        let mut file = out.to_vec();
        let number = |f: &[u8], name: &str| metadata(f).metadata().unwrap().get(name).and_then(Value::as_f64);
        assert_eq!(number(&file, "duration"), Some(0.0));
        for p in patches {
            file[p.offset as usize..][..p.data.len()].copy_from_slice(&p.data);
        }
        assert_eq!(number(&file, "duration"), Some(1.0));
        assert_eq!(number(&file, "filesize"), Some(file.len() as f64));
        assert_eq!(number(&file, "audiocodecid"), Some(10.0));
    }

    #[test]
    fn payload_is_not_copied_and_an_index_gives_the_duration() {
        let mut m = Muxer::new();
        let mut out = Gather::new();
        let line = IndexEntry {
            dts: Timestamp::from_millis(1500),
            cts: Duration::ZERO,
            duration: Duration::ZERO,
            size: 5,
            key: true,
        };
        let index = Index { tracks: vec![(TrackId(7), vec![line])] };
        m.start(&[sound(&[0x12, 0x10])], Some(&index), &mut out).unwrap();
        let head = out.to_vec();
        assert_eq!(metadata(&head).metadata().unwrap().get("duration"), Some(&Value::Number(1.5)));
        out.clear();
        let p = packet(0);
        m.packet(&p, &mut out).unwrap();
        let parts = out.freeze();
        assert!(parts.iter().any(|b| b.as_ptr() == p.data.as_ptr()));
    }

    /// ffmpeg takes `onMetaData` at a later time than 0 for a text track, whenever the viewer joined.
    #[test]
    fn metadata_is_at_zero_and_comes_once_also_in_the_middle_of_a_stream() {
        let mut m = Muxer::new();
        let mut out = Gather::new();
        m.start(&[sound(&[0x12, 0x10])], None, &mut out).unwrap();
        for ms in 0..3 {
            m.packet(&packet(3_600_000 + ms * 20), &mut out).unwrap();
        }
        m.track(&sound(&[0x11, 0x90]), &mut out).unwrap();
        m.packet(&packet(3_600_060), &mut out).unwrap();
        let file = out.to_vec();
        let (mut at, mut scripts) = (13, Vec::new());
        while at < file.len() {
            let len = u32::from_be_bytes([0, file[at + 1], file[at + 2], file[at + 3]]) as usize;
            if file[at] == 18 {
                scripts.push(u32::from_be_bytes([file[at + 7], file[at + 4], file[at + 5], file[at + 6]]));
            }
            at += len + HEAD + 4;
        }
        assert_eq!(scripts, [0]);
    }

    #[test]
    fn a_track_that_changes_gets_a_new_sequence_header() {
        let mut m = Muxer::new();
        let mut out = Gather::new();
        m.start(&[sound(&[0x12, 0x10])], None, &mut out).unwrap();
        m.packet(&packet(0), &mut out).unwrap();
        m.track(&sound(&[0x11, 0x90]), &mut out).unwrap();
        m.packet(&packet(20), &mut out).unwrap();
        let mut d = Demuxer::new();
        d.push(0, out.to_vec().into());
        d.end();
        let mut seen = Vec::new();
        loop {
            match d.poll().unwrap() {
                Demuxed::Media(Media::Track(t)) => seen.push(t.rate()),
                Demuxed::Media(Media::Packet(p)) => seen.push(p.dts.as_millis() as u32),
                Demuxed::End => break,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(seen, [44_100, 0, 48_000, 20]);
        let text = TrackInfo { codec: Codec::Subtitle, ..TrackInfo::clone(&sound(b"")) };
        assert!(m.track(&Arc::new(text), &mut out).is_err());
        let mut other = packet(40);
        other.track = TrackId(9);
        assert!(m.packet(&other, &mut out).is_err());
    }
}
