//! Tracks and media to packets.

use super::packet::{self, MediaPacket, PacketKind};
use super::tables::starts_key;
use super::{Header, ID, Key, limits};
use mist_core::format::{ErrorKind, FormatError, Index, IndexEntry, Patch};
use mist_core::gather::Gather;
use mist_core::media::{Kind, Packet, TrackId, TrackInfo};
use mist_core::time::{Duration, Timestamp};
use std::sync::Arc;

/// Writes DTSC files and streams.
///
/// With an index the header in front has tables of all packets, so that the file can be sought in at once. Without one
/// it is that of a live stream; a track that appears or changes makes another header.
///
/// Tracks are numbered from 0 in their order, whatever their ids: newer MistServers read only such files. Times before
/// 0 can't be written; then all times move.
#[derive(Debug, Default)]
pub struct Muxer {
    tracks: Vec<Arc<TrackInfo>>,
    /// Added to all times, once it is known.
    shift: Option<Duration>,
    live: bool,
    at: u64,
}

impl Muxer {
    /// Before its start.
    pub fn new() -> Self {
        Self::default()
    }

    fn error<T>(&self, path: &'static str, kind: ErrorKind) -> Result<T, FormatError> {
        Err(FormatError { format: ID, offset: self.at, path, kind })
    }

    fn check(&self, info: &TrackInfo) -> Result<(), FormatError> {
        if info.init.len() > limits::INIT {
            return self.error("DTSC/tracks/init", ErrorKind::Limit("init data"));
        }
        Ok(())
    }

    fn put_header(&mut self, header: &Header, out: &mut Gather) {
        let b = packet::packet(PacketKind::Header, &header.to_object());
        self.at += b.len() as u64;
        out.push(b);
    }

    /// The header of a file of which every packet is known; `None` if the index isn't of these tracks.
    fn laid_out(&self, index: &Index) -> Option<Header> {
        let mut header = Header::of_tracks(false, &self.tracks, 0);
        let shift = self.shift.unwrap_or_default();
        let place = |id: TrackId| self.tracks.iter().position(|t| t.id == id);
        let places: Vec<_> = index.tracks.iter().map(|(id, _)| place(*id)).collect();
        if places.iter().any(Option::is_none) || places.len() != self.tracks.len() {
            return None;
        }
        // Once for the length of the header, which doesn't depend on positions, and once with them.
        let mut start = 0;
        for _ in 0..2 {
            for t in &mut header.tracks {
                t.packets.clear();
                t.keys.clear();
            }
            let mut at = start;
            for (list, n) in index.interleaved() {
                let entry = index.tracks.get(list)?.1.get(n)?;
                let t = header.tracks.get_mut(places.get(list).copied().flatten()?)?;
                // As packets say it.
                let (ms, cts) = wire_times(entry.dts, entry.cts, shift);
                let (dts, wire_cts) = (Timestamp::from_millis(ms), Duration::from_millis(cts));
                let entry = IndexEntry { dts, cts: wire_cts, ..*entry };
                let last = t.keys.last().and_then(|k: &Key| t.packets.get(k.packet)).map(|e| e.dts);
                if starts_key(&t.info, last, &entry) {
                    t.keys.push(Key { packet: t.packets.len(), bpos: at });
                }
                t.packets.push(entry);
                let kind = t.info.codec.kind();
                let key = entry.key && kind == Kind::Video;
                let size = u64::from(entry.size);
                at += MediaPacket::written_len(size, cts != 0, false, key, kind == Kind::Text);
            }
            if start == 0 {
                start = packet::packet(PacketKind::Header, &header.to_object()).len() as u64;
            }
        }
        for t in &mut header.tracks {
            t.measure();
        }
        Some(header)
    }
}

/// Time and presentation offset in milliseconds.
fn wire_times(dts: Timestamp, cts: Duration, shift: Duration) -> (i64, i64) {
    let time = (dts + shift).as_millis().max(0);
    (time, (dts + cts + shift).as_millis().saturating_sub(time))
}

impl mist_core::format::Muxer for Muxer {
    fn start(
        &mut self,
        tracks: &[Arc<TrackInfo>],
        index: Option<&Index>,
        out: &mut Gather,
    ) -> Result<(), FormatError> {
        if tracks.len() > limits::TRACKS {
            return self.error("DTSC/tracks", ErrorKind::Limit("tracks"));
        }
        for t in tracks {
            self.check(t)?;
        }
        self.tracks = tracks.to_vec();
        let first = index.iter().flat_map(|i| &i.tracks).filter_map(|(_, l)| l.first()).map(|e| e.dts).min();
        self.shift = first.map(shift_for);
        self.live = index.is_none();
        let header = index
            .and_then(|i| self.laid_out(i))
            .unwrap_or_else(|| Header::of_tracks(self.live, &self.tracks, 0));
        self.put_header(&header, out);
        Ok(())
    }

    fn track(&mut self, info: &Arc<TrackInfo>, out: &mut Gather) -> Result<(), FormatError> {
        self.check(info)?;
        let room = self.tracks.len() < limits::TRACKS;
        match self.tracks.iter_mut().find(|t| t.id == info.id) {
            Some(t) if t == info => return Ok(()),
            Some(t) => *t = info.clone(),
            None if room => self.tracks.push(info.clone()),
            None => return self.error("DTSC/tracks", ErrorKind::Limit("tracks")),
        }
        self.put_header(&Header::of_tracks(self.live, &self.tracks, 0), out);
        Ok(())
    }

    fn packet(&mut self, p: &Packet, out: &mut Gather) -> Result<(), FormatError> {
        let Some((track, info)) = (0u32..).zip(&self.tracks).find(|(_, t)| t.id == p.track) else {
            return self.error("DTP2", ErrorKind::Malformed("packet of a track that was not announced"));
        };
        let kind = info.codec.kind();
        let before = out.len();
        let shift = *self.shift.get_or_insert_with(|| shift_for(p.dts));
        let (time, offset) = wire_times(p.dts, p.cts, shift);
        let packet = MediaPacket {
            track,
            time: time as u64,
            offset,
            bpos: 0,
            duration: p.duration.as_millis().max(0) as u64,
            key: p.key && kind == Kind::Video,
            data: p.data.clone(),
            data_at: 0,
        };
        if packet.data.len() > limits::PACKET - packet::ROOM {
            return self.error("DTP2/data", ErrorKind::Limit("payload"));
        }
        packet.write(kind == Kind::Text, out);
        self.at += (out.len() - before) as u64;
        Ok(())
    }

    fn finish(&mut self, _out: &mut Gather) -> Result<Vec<Patch>, FormatError> {
        Ok(Vec::new())
    }
}

/// What is added to times so that the first isn't negative.
fn shift_for(first: Timestamp) -> Duration {
    (Timestamp::ZERO - first).max(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::super::{Demuxer, FORMAT};
    use super::*;
    use bytes::Bytes;
    use mist_core::codec::Codec;
    use mist_core::format::{Demuxed, Demuxer as _, Muxer as _, Want};
    use mist_core::media::{Media, Params};

    fn info(id: u32, codec: Codec) -> Arc<TrackInfo> {
        let params = match codec.kind() {
            Kind::Video => Params::Video { width: 640, height: 360, fpks: 25_000 },
            Kind::Audio => Params::Audio { rate: 48_000, channels: 2, bits: 16 },
            _ => Params::Other,
        };
        let init: &[u8] = match codec {
            Codec::H264 => &[1, 66, 0, 30, 0xff, 0xe1, 0, 4, 0x67, 66, 0, 30, 1, 0, 2, 0x68, 0xce],
            Codec::Aac => &[0x11, 0x90],
            Codec::WebVtt => b"WEBVTT - a",
            _ => &[],
        };
        let t = TrackInfo::new(TrackId(id), codec, Bytes::copy_from_slice(init), params);
        Arc::new(t.with_lang(mist_core::lang::parse("nld")))
    }

    fn packet(track: u32, n: i64, key: bool) -> Packet {
        Packet {
            track: TrackId(track),
            dts: Timestamp::from_millis(n * 40 - 80),
            cts: Duration::from_millis(80),
            duration: Duration::from_millis(1500),
            key,
            data: Bytes::from([&[0, 0, 1, 0x29, 0x41][..], &vec![n as u8; 296]].concat()),
        }
    }

    fn demux(d: &mut Demuxer, file: &Bytes) -> (Vec<Arc<TrackInfo>>, Vec<Packet>, Vec<Option<u64>>) {
        let (mut tracks, mut packets, mut offsets) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            match d.poll().unwrap() {
                Demuxed::Media(Media::Track(t)) => tracks.push(t),
                Demuxed::Media(Media::Packet(p)) => {
                    packets.push(p);
                    offsets.push(d.packet_offset());
                }
                Demuxed::Need(Want::At { offset, .. }) => {
                    d.push(offset, file.slice(offset as usize..));
                    d.end();
                }
                Demuxed::Need(_) => d.end(),
                Demuxed::End => return (tracks, packets, offsets),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn every_codec_comes_back() {
        let tracks: Vec<_> = (1u32..).zip(Codec::ALL).map(|(id, c)| info(id, *c)).collect();
        let mut m = Muxer::new();
        let mut out = Gather::new();
        m.start(&tracks, None, &mut out).unwrap();
        let mut sent = Vec::new();
        for t in &tracks {
            let p = packet(t.id.0, 2, t.codec.kind() != Kind::Video);
            m.packet(&p, &mut out).unwrap();
            sent.push(p);
        }
        assert!(m.finish(&mut out).unwrap().is_empty());
        let file = Bytes::from(out.to_vec());
        assert_eq!((FORMAT.probe)(&file), 255);
        let mut d = Demuxer::new();
        d.push(0, file.clone());
        let (got, packets, offsets) = demux(&mut d, &file);
        assert_eq!(got, tracks);
        for ((a, b), t) in sent.iter().zip(&packets).zip(&tracks) {
            assert_eq!((a.track, a.dts, a.cts, a.key), (b.track, b.dts, b.cts, b.key), "{t:?}");
            assert_eq!(b.duration == a.duration, t.codec.kind() == Kind::Text, "{t:?}");
            if t.codec != Codec::Av1 && t.codec != Codec::Subtitle {
                assert_eq!(a.data, b.data, "{t:?}");
            }
        }
        for (p, o) in packets.iter().zip(offsets) {
            let o = o.unwrap() as usize;
            assert!(matches!(p.track.0, 3) || file[o..].starts_with(&[0, 0, 1, 0x29]), "{p:?}");
        }
    }

    #[test]
    fn a_file_with_an_index_is_sought_in() {
        let tracks = [info(5, Codec::H264), info(9, Codec::Aac), info(7, Codec::WebVtt)];
        let mut index = Index::default();
        let mut packets = Vec::new();
        for t in &tracks {
            let list: Vec<_> = (0..200).map(|n| packet(t.id.0, n, n % 50 == 0 || t.id.0 != 5)).collect();
            let line = |p: &Packet| IndexEntry {
                dts: p.dts,
                cts: p.cts,
                duration: p.duration,
                size: p.data.len() as u32,
                key: p.key,
            };
            index.tracks.push((t.id, list.iter().map(line).collect()));
            packets.push(list);
        }
        let mut m = Muxer::new();
        let mut out = Gather::new();
        m.start(&tracks, Some(&index), &mut out).unwrap();
        for (t, n) in index.interleaved() {
            m.packet(&packets[t][n], &mut out).unwrap();
        }
        let file = Bytes::from(out.to_vec());
        let mut d = Demuxer::new();
        d.push(0, file.clone());
        let (_, all, _) = demux(&mut d, &file);
        assert_eq!(all.len(), 600);
        let known = d.index().unwrap();
        for (id, list) in &known.tracks {
            let got: Vec<_> = all.iter().filter(|p| p.track == *id).map(|p| (p.dts, p.cts, p.key)).collect();
            assert_eq!(list.iter().map(|e| (e.dts, e.cts, e.key)).collect::<Vec<_>>(), got);
        }
        // Times moved by 80 ms; keyframes are each 2 seconds.
        for (to, want) in [(0, 0), (3999, 2000), (4000, 4000), (i64::MAX, 6000), (-5, 0)] {
            let mut d = Demuxer::new();
            d.push(0, file.clone());
            while matches!(d.poll().unwrap(), Demuxed::Media(Media::Track(_))) {}
            let want = Timestamp::from_millis(want);
            assert_eq!(d.seek(Timestamp::from_millis(to)).unwrap(), want);
            let (_, rest, _) = demux(&mut d, &file);
            assert_eq!((rest[0].track, rest[0].dts, rest[0].key), (TrackId(1), want, true));
        }
        // Packets alone, with the header beside them, as an older converter writes them.
        let head = PacketHeadLen::of(&file);
        let mut header = d.header().clone();
        for k in header.tracks.iter_mut().flat_map(|t| &mut t.keys) {
            k.bpos -= head as u64;
        }
        let bare = file.slice(head..);
        let mut d = Demuxer::with_header(header);
        d.push(0, bare.clone());
        assert_eq!(demux(&mut d, &bare).1.len(), 600);
        assert_eq!(d.seek(Timestamp::from_millis(2100)).unwrap(), Timestamp::from_millis(2000));
        assert_eq!(demux(&mut d, &bare).1.len(), 450);
    }

    struct PacketHeadLen;

    impl PacketHeadLen {
        /// Bytes of the first packet.
        fn of(file: &Bytes) -> usize {
            let head = super::super::PacketHead::parse(*file.first_chunk().unwrap()).unwrap();
            super::super::PacketHead::LEN + head.len as usize
        }
    }

    #[test]
    fn tracks_that_come_later_make_another_header() {
        let mut m = Muxer::new();
        let mut out = Gather::new();
        m.start(&[info(1, Codec::Aac)], None, &mut out).unwrap();
        m.packet(&packet(1, 2, true), &mut out).unwrap();
        m.track(&info(1, Codec::Aac), &mut out).unwrap();
        m.track(&info(2, Codec::Subtitle), &mut out).unwrap();
        m.packet(&packet(2, 2, true), &mut out).unwrap();
        assert!(m.packet(&packet(3, 2, true), &mut out).is_err());
        let file = Bytes::from(out.to_vec());
        let mut d = Demuxer::new();
        d.push(0, file.clone());
        let (tracks, packets, _) = demux(&mut d, &file);
        assert_eq!((tracks.len(), packets.len()), (2, 2));
        let big =
            TrackInfo::new(TrackId(4), Codec::Ass, Bytes::from(vec![0; limits::INIT + 1]), Params::Other);
        assert_eq!(m.track(&Arc::new(big), &mut out).unwrap_err().kind, ErrorKind::Limit("init data"));
        let many: Vec<_> = (1..=limits::TRACKS as u32 + 1).map(|id| info(id, Codec::Json)).collect();
        assert_eq!(Muxer::new().start(&many, None, &mut out).unwrap_err().kind, ErrorKind::Limit("tracks"));
    }
}
