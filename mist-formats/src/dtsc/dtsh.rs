//! The header file beside a source: `NAME.dtsh` holds one DTSC header with tables of every packet, so that
//! a file starts without being read first.
//!
//! MistServers make and read the same file. They tell a stale one by its own modification time; ours also say the size
//! and time of the source, in two members that others pass over.

use super::packet::{self, PacketHead, PacketKind};
use super::tables::starts_key;
use super::value::Object;
use super::{Header, ID, Key, Track, limits};
use bytes::Bytes;
use mist_core::format::{ErrorKind, FormatError, IndexEntry};
use mist_core::media::{Packet, TrackInfo};
use mist_core::time::Timestamp;
use std::sync::Arc;

pub use super::head::Source;

/// Whether a header file fits its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DtshCheck {
    /// It does.
    Current,
    /// The source has another size or time than it says, or is shorter than where it has a packet.
    Changed,
    /// It doesn't say what it was made from, and isn't newer than the source.
    Outdated,
    /// Its version isn't [`super::head::VERSION`], or a track has no tables.
    Incomplete,
}

/// A header file.
pub fn write(header: &Header) -> Bytes {
    packet::packet(PacketKind::Header, &header.to_object())
}

/// Reads a header file. Problems that leave a part of it usable make it [`DtshCheck::Incomplete`].
///
/// # Errors
/// It isn't one DTSC header, or exceeds [`limits`].
pub fn parse(file: &Bytes) -> Result<Header, FormatError> {
    let err = |offset: usize, path, kind| FormatError { format: ID, offset: offset as u64, path, kind };
    let Some(head) = file.first_chunk::<{ PacketHead::LEN }>() else {
        return Err(err(file.len(), "", ErrorKind::Truncated));
    };
    let Some(head) = PacketHead::parse(*head).filter(|h| h.kind == PacketKind::Header) else {
        return Err(err(0, "", ErrorKind::Malformed("no DTSC header")));
    };
    let len = head.len as usize;
    if len > limits::HEADER {
        return Err(err(4, "DTSC", ErrorKind::Limit("header")));
    }
    if file.len() - PacketHead::LEN < len {
        return Err(err(file.len(), "DTSC", ErrorKind::Truncated));
    }
    let body = file.slice(PacketHead::LEN..PacketHead::LEN + len);
    let object = Object::parse(&body).map_err(|e| {
        let kind = if e.limit { ErrorKind::Limit(e.what) } else { ErrorKind::Malformed(e.what) };
        err(PacketHead::LEN + e.at, "DTSC", kind)
    })?;
    let (mut header, problems) = Header::parse(&object).map_err(|p| err(PacketHead::LEN, p.path, p.kind))?;
    if !problems.is_empty() {
        header.version = 0;
    }
    Ok(header)
}

/// Whether a header file fits a source as it is now. `written` is when the header file was changed last,
/// in milliseconds since 1970-01-01 UTC; only looked at if it doesn't say what it was made from.
pub fn check(header: &Header, source: Source, written: i64) -> DtshCheck {
    if header.version != super::head::VERSION || header.index().is_none() {
        return DtshCheck::Incomplete;
    }
    let last = header.tracks.iter().flat_map(|t| &t.keys).map(|k| k.bpos).max().unwrap_or(0);
    match header.source {
        _ if last >= source.size => DtshCheck::Changed,
        Some(s) if s == source => DtshCheck::Current,
        Some(_) => DtshCheck::Changed,
        None if written > source.modified => DtshCheck::Current,
        None => DtshCheck::Outdated,
    }
}

/// Makes a header from what a demuxer says about a file.
#[derive(Debug)]
pub struct Builder {
    header: Header,
    count: usize,
}

impl Builder {
    /// For a file.
    pub fn new(source: Source) -> Self {
        let header = Header { version: super::head::VERSION, source: Some(source), ..Header::default() };
        Self { header, count: 0 }
    }

    /// A track. A later description of the same one is passed over: a header has one.
    pub fn track(&mut self, info: &Arc<TrackInfo>) {
        if self.header.tracks.len() < limits::TRACKS && !self.header.tracks.iter().any(|t| t.id == info.id.0)
        {
            self.header.tracks.push(Track::new(info.id.0, info.clone()));
        }
    }

    /// A packet that lies at `offset` of the file, where that is known.
    ///
    /// # Errors
    /// There are more than [`limits::PACKETS`]: the file can't have a header.
    pub fn packet(&mut self, p: &Packet, offset: Option<u64>) -> Result<(), FormatError> {
        let Some(t) = self.header.tracks.iter_mut().find(|t| t.id == p.track.0) else { return Ok(()) };
        self.count += 1;
        if self.count > limits::PACKETS {
            let kind = ErrorKind::Limit("packets in a header");
            return Err(FormatError {
                format: ID,
                offset: offset.unwrap_or(0),
                path: "DTSC/tracks/parts",
                kind,
            });
        }
        let size = u32::try_from(p.data.len()).unwrap_or(u32::MAX);
        let entry = IndexEntry { dts: p.dts, cts: p.cts, duration: p.duration, size, key: p.key };
        let last: Option<Timestamp> = t.keys.last().and_then(|k| t.packets.get(k.packet)).map(|e| e.dts);
        if starts_key(&t.info, last, &entry) {
            t.keys.push(Key { packet: t.packets.len(), bpos: offset.unwrap_or(0) });
        }
        t.packets.push(entry);
        Ok(())
    }

    /// The header of what was told. Tracks without packets are left out.
    pub fn finish(mut self) -> Header {
        self.header.tracks.retain(|t| !t.packets.is_empty());
        for t in &mut self.header.tracks {
            t.measure();
        }
        self.header
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BytesMut;
    use mist_core::codec::Codec;
    use mist_core::media::{Params, TrackId};
    use mist_core::time::Duration;

    const SOURCE: Source = Source { size: 5_000_000, modified: 1_700_000_000_000 };

    fn sample() -> Header {
        let mut b = Builder::new(SOURCE);
        let video = Params::Video { width: 640, height: 360, fpks: 29_970 };
        let audio = Params::Audio { rate: 44_100, channels: 2, bits: 16 };
        b.track(&Arc::new(TrackInfo::new(TrackId(1), Codec::Vp8, Bytes::new(), video)));
        b.track(&Arc::new(TrackInfo::new(TrackId(2), Codec::Aac, Bytes::from_static(&[0x12, 0x10]), audio)));
        b.track(&Arc::new(TrackInfo::new(TrackId(3), Codec::Subtitle, Bytes::new(), Params::Other)));
        for i in 0..300i64 {
            let p = |track, dts, key, size| Packet {
                track: TrackId(track),
                dts,
                cts: Duration::ZERO,
                duration: Duration::ZERO,
                key,
                data: Bytes::from(vec![0; size]),
            };
            let at = i as u64 * 1000;
            b.packet(&p(1, Timestamp::from_rate(i * 1001, 30_000), i % 60 == 0, 900), Some(at)).unwrap();
            b.packet(&p(2, Timestamp::from_rate((i - 1) * 1024, 44_100), true, 90), Some(at + 900)).unwrap();
        }
        b.finish()
    }

    #[test]
    fn headers_go_through_their_file() {
        let h = sample();
        assert_eq!(h.tracks.len(), 2, "a track without packets");
        let file = write(&h);
        assert_eq!(parse(&file).unwrap(), h);
        // Sound starts before 0, so times in the tables move, and come back.
        assert_eq!(h.tracks[1].packets[0].dts, Timestamp::from_rate(-1024, 44_100));
        assert_eq!(h.tracks[1].keys.len(), 4);
        let to = Timestamp::from_millis(4500);
        assert_eq!(h.key_before(to), Some((Timestamp::from_rate(120 * 1001, 30_000), 120_000)));
        assert_eq!(h.key_before(Timestamp::MIN).map(|k| k.1), Some(0));
        for cut in (0..file.len()).step_by(3) {
            assert!(parse(&file.slice(..cut)).is_err(), "{cut}");
        }
    }

    #[test]
    fn stale_ones_are_told() {
        let h = sample();
        assert_eq!(check(&h, SOURCE, 0), DtshCheck::Current);
        assert_eq!(check(&h, Source { size: 4_999_999, ..SOURCE }, 0), DtshCheck::Changed);
        assert_eq!(check(&h, Source { modified: 5, ..SOURCE }, i64::MAX), DtshCheck::Changed);
        let theirs = Header { source: None, ..h.clone() };
        assert_eq!(check(&theirs, SOURCE, SOURCE.modified + 1), DtshCheck::Current);
        assert_eq!(check(&theirs, SOURCE, SOURCE.modified), DtshCheck::Outdated);
        assert_eq!(check(&theirs, Source { size: 1000, ..SOURCE }, i64::MAX), DtshCheck::Changed);
        assert_eq!(check(&Header { version: 3, ..h.clone() }, SOURCE, 0), DtshCheck::Incomplete);
        let mut bare = h;
        bare.tracks[0].packets.clear();
        assert_eq!(check(&bare, SOURCE, 0), DtshCheck::Incomplete);
    }

    #[test]
    fn errors_say_where() {
        let file = write(&sample());
        assert_eq!(parse(&Bytes::from_static(b"DTCM\0\0\0\0")).unwrap_err().offset, 0);
        let e = parse(&Bytes::from_static(b"DTSC\xff\0\0\0")).unwrap_err();
        assert_eq!((e.kind, e.path), (ErrorKind::Limit("header"), "DTSC"));
        let mut bad = file.to_vec();
        bad[8] = 0x77;
        let e = parse(&bad.into()).unwrap_err();
        assert_eq!((e.kind, e.offset), (ErrorKind::Malformed("type of a value"), 9));
        let mut tracks = Object::new();
        for i in 0..=limits::TRACKS as i64 {
            tracks.set(&format!("t{i}"), Object::new().with("codec", "VP8").with("trackid", i));
        }
        let mut out = BytesMut::new();
        Object::new().with("tracks", tracks).write(&mut out);
        let file = [&b"DTSC"[..], &(out.len() as u32).to_be_bytes(), &out].concat();
        assert_eq!(parse(&file.into()).unwrap_err().kind, ErrorKind::Limit("tracks"));
    }

    #[test]
    fn a_day_is_within_the_limits() {
        // Packets of 25 pictures and 47 sound frames a second, 9 bytes each and 6 more where times aren't whole
        // milliseconds, and 29 bytes a key.
        let a_day = 86_400 * ((25 + 47) * 15 + 29);
        assert!(a_day < limits::HEADER && 86_400 * (25 + 47) < limits::PACKETS);
    }
}
