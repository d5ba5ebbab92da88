//! Media to tag bodies, in the form that the other side understands.

use super::limits;
use super::meta::on_metadata;
use super::tag::{FOURCCS, TagError, TagKind, packet_type as pt};
use crate::amf::{Object, Value};
use bytes::Bytes;
use mist_core::codec::{Codec, pcm};
use mist_core::format::ErrorKind;
use mist_core::media::{Kind, Packet, Params, TrackId, TrackInfo};
use mist_core::time::{Duration, Timestamp};
use smallvec::SmallVec;
use std::sync::Arc;

/// What the other side can take beyond Adobe's specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// A bit for each entry of `FOURCCS`.
    fourccs: u16,
    /// Several tracks of a kind.
    pub multitrack: bool,
    /// Timestamps with nanoseconds.
    pub nanos: bool,
}

impl Peer {
    /// Only Adobe's specification.
    pub const LEGACY: Self = Self { fourccs: 0, multitrack: false, nanos: false };
    /// Everything that can be written with millisecond timestamps: files and HTTP-FLV, where nobody can be asked.
    /// Codecs of Adobe's specification still have its form.
    pub const FILE: Self = Self { fourccs: u16::MAX, multitrack: true, nanos: false };

    /// What the command object of a `connect` announces (Enhanced RTMP version 2, *Enhancing NetConnection
    /// connect Command*): `fourCcList`, `videoFourCcInfoMap`, `audioFourCcInfoMap` and `capsEx`.
    pub fn from_connect(o: &Object) -> Self {
        const CAN_DECODE: u32 = 1;
        const CAN_FORWARD: u32 = 4;
        const MULTITRACK: u32 = 2;
        const MOD_EX: u32 = 4;
        const NANOS: u32 = 8;
        let number = |v: &Value| v.as_f64().map_or(0, |n| n as u32);
        let mut peer = Self::LEGACY;
        for v in o.get("fourCcList").and_then(Value::as_array).unwrap_or_default() {
            peer.allow(v.as_str().unwrap_or_default(), None);
        }
        for (map, kind) in [("videoFourCcInfoMap", Kind::Video), ("audioFourCcInfoMap", Kind::Audio)] {
            let map = o.get(map).and_then(Value::as_object);
            for (name, flags) in map.map_or(&[][..], |m| &m.members) {
                if number(flags) & (CAN_DECODE | CAN_FORWARD) != 0 {
                    peer.allow(name, Some(kind));
                }
            }
        }
        let caps = o.get("capsEx").map_or(0, number);
        peer.multitrack = caps & MULTITRACK != 0;
        peer.nanos = caps & (MOD_EX | NANOS) == MOD_EX | NANOS;
        peer
    }

    fn allow(&mut self, name: &str, kind: Option<Kind>) {
        for (i, (code, codec)) in FOURCCS.iter().enumerate() {
            if (name == "*" || name.as_bytes() == code) && kind.is_none_or(|k| codec.kind() == k) {
                self.fourccs |= 1 << i;
            }
        }
    }

    fn fourcc(self, codec: Codec) -> Option<[u8; 4]> {
        let i = FOURCCS.iter().position(|(_, c)| *c == codec)?;
        if self.fourccs & 1 << i == 0 {
            return None;
        }
        FOURCCS.get(i).map(|(code, _)| *code)
    }

    /// Whether a track can be written, as the only one of its kind.
    pub fn takes(self, info: &TrackInfo) -> bool {
        legacy_head(info).is_some() || self.fourcc(info.codec).is_some()
    }
}

/// The codec's number in a legacy head.
pub(super) const fn legacy_id(codec: Codec) -> Option<u8> {
    Some(match codec {
        Codec::Jpeg | Codec::Adpcm => 1,
        Codec::H263 | Codec::Mp3 => 2,
        Codec::Screen1 | Codec::Pcm => 3,
        Codec::Vp6 => 4,
        Codec::Vp6Alpha => 5,
        Codec::Screen2 | Codec::Nellymoser => 6,
        Codec::H264 | Codec::Alaw => 7,
        Codec::Ulaw => 8,
        Codec::Aac => 10,
        Codec::Speex => 11,
        _ => return None,
    })
}

/// The first byte of a legacy body; for video without the frame type. `None` if there is no such form.
fn legacy_head(info: &TrackInfo) -> Option<u8> {
    let id = legacy_id(info.codec)?;
    let Params::Audio { rate, channels, bits } = info.params else { return Some(id) };
    // What the format fixes is written the way Adobe's encoders did.
    match (info.codec, rate) {
        (Codec::Aac, _) => return Some(0xaf),
        (Codec::Speex, _) => return Some(0xb6),
        (Codec::Nellymoser, 8000) => return Some(0x52),
        (Codec::Nellymoser, 16000) => return Some(0x42),
        (Codec::Mp3, 8000) => return Some(0xe2 | u8::from(channels == 2)),
        _ => {}
    }
    let wide = if bits == 8 && matches!(info.codec, Codec::Pcm) { 0 } else { 2 };
    let rate = match (info.codec, rate) {
        (Codec::Alaw | Codec::Ulaw, 8000) | (_, 5500..=5513) => 0,
        (_, 11025) => 1,
        (_, 22050) => 2,
        (_, 44100) => 3,
        // Decoders take MP3's rate from its own heads; the nearest is as good as any.
        (Codec::Mp3, r) => [8268, 16537, 33075].iter().filter(|limit| r > **limit).count() as u8,
        _ => return None,
    };
    match channels {
        0..=1 => Some(id << 4 | rate << 2 | wide),
        2 => Some(id << 4 | rate << 2 | wide | 1),
        _ => None,
    }
}

/// A tag, or an RTMP message: kind, time, and a body in two pieces so that payload needn't be copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// Kind.
    pub kind: TagKind,
    /// The 32-bit clock in milliseconds; wraps.
    pub timestamp: u32,
    /// The codec heads.
    pub head: SmallVec<[u8; 24]>,
    /// What follows them.
    pub payload: Bytes,
}

impl Tag {
    /// Length of the body.
    pub fn len(&self) -> usize {
        self.head.len() + self.payload.len()
    }

    /// True for a tag without body.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[derive(Debug)]
enum Form {
    /// The first byte, without frame type for video.
    Legacy(u8),
    Extended([u8; 4]),
}

#[derive(Debug)]
struct Track {
    info: Arc<TrackInfo>,
    form: Form,
    /// Track number; 0 needs no multitrack head.
    number: u8,
}

/// Turns tracks and packets into tags. One for each viewer, push target or file.
///
/// The first video and the first audio track have heads without track number, others are written as multitrack
/// where the peer takes that. A codec of Adobe's specification has its form, others the extended one.
#[derive(Debug)]
pub struct TagWriter {
    peer: Peer,
    tracks: Vec<Track>,
    last: u32,
}

fn error(info: &TrackInfo, kind: ErrorKind) -> TagError {
    let path = if info.codec.kind() == Kind::Video { "video" } else { "audio" };
    TagError { at: 0, path, kind }
}

impl TagWriter {
    /// Without tracks.
    pub fn new(peer: Peer) -> Self {
        Self { peer, tracks: Vec::new(), last: 0 }
    }

    /// Adds a track or changes its description. Gives the tag with its decoder configuration, if the codec has
    /// one, with the time of the last packet.
    ///
    /// # Errors
    /// The peer, or the format, can't take the track. The writer goes on without it.
    pub fn track(&mut self, info: &Arc<TrackInfo>) -> Result<Option<Tag>, TagError> {
        let kind = info.codec.kind();
        if !matches!(kind, Kind::Video | Kind::Audio) {
            return Err(error(info, ErrorKind::Unsupported("kind of track")));
        }
        let old = self.tracks.iter().position(|t| t.info.id == info.id);
        let old = old.map(|i| self.tracks.swap_remove(i)).filter(|t| t.info.codec.kind() == kind);
        let taken = |n: u8| self.tracks.iter().any(|t| t.number == n && t.info.codec.kind() == kind);
        let number = match old {
            Some(t) => t.number,
            None if self.tracks.len() >= limits::TRACKS => {
                return Err(error(info, ErrorKind::Limit("tracks")));
            }
            None => (0..=u8::MAX).find(|n| !taken(*n)).unwrap_or(u8::MAX),
        };
        let fourcc = self.peer.fourcc(info.codec);
        let form = match legacy_head(info) {
            Some(head) if number == 0 => Form::Legacy(head),
            _ if number > 0 && !self.peer.multitrack => {
                return Err(error(info, ErrorKind::Unsupported("more than one track of a kind")));
            }
            _ => Form::Extended(fourcc.ok_or_else(|| error(info, ErrorKind::Unsupported("codec")))?),
        };
        let track = Track { info: info.clone(), form, number };
        let tag = track.config(self.last);
        self.tracks.push(track);
        Ok(tag)
    }

    /// Forgets a track.
    pub fn gone(&mut self, id: TrackId) {
        self.tracks.retain(|t| t.info.id != id);
    }

    /// The tags with the decoder configuration of all tracks: what a player needs before the next packet.
    pub fn configs(&self) -> impl Iterator<Item = Tag> {
        self.tracks.iter().filter_map(|t| t.config(self.last))
    }

    /// `onMetaData` for the tracks so far.
    pub fn metadata(&self) -> Tag {
        let tracks: Vec<_> = self.tracks.iter().map(|t| t.info.clone()).collect();
        let payload = on_metadata(&tracks, 0.0).into();
        Tag { kind: TagKind::Script, timestamp: self.last, head: SmallVec::new(), payload }
    }

    /// Writes one packet. Times before zero become zero, with the presentation time kept.
    ///
    /// # Errors
    /// The track is not there, or the body would be longer than a tag can be.
    pub fn packet(&mut self, p: &Packet) -> Result<Tag, TagError> {
        let Some(t) = self.tracks.iter().find(|t| t.info.id == p.track) else {
            let kind = ErrorKind::Malformed("packet of a track that was not announced");
            return Err(TagError { at: 0, path: "", kind });
        };
        let nanos = self.peer.nanos && matches!(t.form, Form::Extended(_));
        let ms = if nanos { floor_ms } else { Timestamp::as_millis };
        let dts = ms(p.dts).max(0);
        let pts = ms(p.pts());
        let cts = pts.saturating_sub(dts).clamp(-0x80_0000, 0x7f_ffff) as i32;
        let rest = if nanos { nanos_of(p.pts()) } else { 0 };
        let tag = t.frame(p, dts as u32, cts, rest);
        if tag.len() > super::MAX_BODY {
            return Err(error(&t.info, ErrorKind::Limit("length of a tag")));
        }
        self.last = tag.timestamp;
        Ok(tag)
    }
}

fn floor_ms(t: Timestamp) -> i64 {
    t.ticks().div_euclid(Duration::from_millis(1).ticks())
}

/// Nanoseconds beyond the millisecond that [`floor_ms`] gives.
fn nanos_of(t: Timestamp) -> u32 {
    let ticks = t.ticks().rem_euclid(Duration::from_millis(1).ticks());
    Duration::from_ticks(ticks).to_rate(1_000_000_000).clamp(0, 999_999) as u32
}

impl Track {
    fn kind(&self) -> TagKind {
        if self.info.codec.kind() == Kind::Video { TagKind::Video } else { TagKind::Audio }
    }

    /// An extended head: `frame` is 0x10 or 0x20 for video, and `packet` the packet type.
    fn extended(&self, fourcc: [u8; 4], frame: u8, packet: u8, nanos: u32) -> SmallVec<[u8; 24]> {
        let video = self.kind() == TagKind::Video;
        let mut head = SmallVec::new();
        let outer = match (self.number, video) {
            (0, _) => packet,
            (_, true) => pt::MULTITRACK_VIDEO,
            (_, false) => pt::MULTITRACK_AUDIO,
        };
        let first = if video { 0x80 | frame } else { 0x90 };
        if nanos == 0 {
            head.push(first | outer);
        } else {
            let [_, a, b, c] = nanos.to_be_bytes();
            head.extend_from_slice(&[first | pt::MOD_EX, 2, a, b, c, outer]);
        }
        if self.number > 0 {
            // One track.
            head.push(packet);
        }
        head.extend_from_slice(&fourcc);
        if self.number > 0 {
            head.push(self.number);
        }
        head
    }

    fn config(&self, timestamp: u32) -> Option<Tag> {
        let init = &self.info.init;
        if init.is_empty() {
            return None;
        }
        let head = match (&self.form, self.info.codec) {
            (Form::Legacy(_), Codec::H264) => SmallVec::from_slice(&[0x17, 0, 0, 0, 0]),
            (Form::Legacy(h), Codec::Aac) => SmallVec::from_slice(&[*h, 0]),
            (Form::Legacy(_), _) => return None,
            (Form::Extended(f), _) => self.extended(*f, 0x10, pt::SEQUENCE_START, 0),
        };
        Some(Tag { kind: self.kind(), timestamp, head, payload: init.clone() })
    }

    fn frame(&self, p: &Packet, dts: u32, cts: i32, nanos: u32) -> Tag {
        let frame = if p.key { 0x10 } else { 0x20 };
        let [_, c0, c1, c2] = cts.to_be_bytes();
        let codec = self.info.codec;
        let mut payload = p.data.clone();
        let head = match (&self.form, codec) {
            (Form::Legacy(h), Codec::H264) => SmallVec::from_slice(&[frame | h, 1, c0, c1, c2]),
            (Form::Legacy(h), Codec::Aac) => SmallVec::from_slice(&[*h, 1]),
            (Form::Legacy(h), _) => {
                if codec == Codec::Pcm {
                    payload = pcm::swapped(payload, if h & 2 == 0 { 8 } else { 16 });
                }
                SmallVec::from_slice(&[if self.kind() == TagKind::Video { frame | h } else { *h }])
            }
            (Form::Extended(f), Codec::H264 | Codec::Hevc) if cts != 0 => {
                let mut head = self.extended(*f, frame, pt::CODED_FRAMES, nanos);
                head.extend_from_slice(&[c0, c1, c2]);
                head
            }
            (Form::Extended(f), Codec::H264 | Codec::Hevc) => {
                self.extended(*f, frame, pt::CODED_FRAMES_X, nanos)
            }
            (Form::Extended(f), _) => self.extended(*f, frame, pt::CODED_FRAMES, nanos),
        };
        Tag { kind: self.kind(), timestamp: dts, head, payload }
    }
}

#[cfg(test)]
mod tests {
    use super::super::reader::{TagReader, audio_track, video_track};
    use super::*;
    use crate::amf::Value;
    use mist_core::media::Media;

    fn info(id: TrackId, codec: Codec, init: &'static [u8], params: Params) -> Arc<TrackInfo> {
        Arc::new(TrackInfo::new(id, codec, Bytes::from_static(init), params))
    }

    const VIDEO: Params = Params::Video { width: 0, height: 0, fpks: 0 };

    fn audio(rate: u32, channels: u16, bits: u16) -> Params {
        Params::Audio { rate, channels, bits }
    }

    /// Writes and reads back.
    fn round_trip(peer: Peer, tracks: &[Arc<TrackInfo>], packets: &[Packet]) -> Vec<Media> {
        let mut w = TagWriter::new(peer);
        let mut r = TagReader::new();
        let mut got = Vec::new();
        let mut tags: Vec<Tag> = tracks.iter().filter_map(|t| w.track(t).unwrap()).collect();
        tags.extend(packets.iter().map(|p| w.packet(p).unwrap()));
        for t in tags {
            let body = [&t.head[..], &t.payload].concat();
            assert_eq!(body.len(), t.len());
            r.read(t.kind, t.timestamp, body.into(), &mut got).unwrap();
        }
        got
    }

    fn packet(track: TrackId, ms: i64, cts: i64, key: bool, data: &'static [u8]) -> Packet {
        Packet {
            track,
            dts: Timestamp::from_millis(ms),
            cts: Duration::from_millis(cts),
            duration: Duration::ZERO,
            key,
            data: Bytes::from_static(data),
        }
    }

    #[test]
    fn every_codec_of_both_forms_round_trips() {
        let v = video_track(0);
        let a = audio_track(0);
        let nal: &[u8] = &[0, 0, 0, 2, 0x41, 1];
        let avcc: &[u8] = &[1, 66, 0, 30, 0xff, 0xe1, 0, 2, 0x67, 66, 1, 0, 2, 0x68, 1];
        for (codec, init, data) in [
            (Codec::H264, avcc, nal),
            (Codec::Av1, &[0x81, 0, 0, 0], &[0x32, 2, 1, 1]),
            (Codec::Vp9, &[1, 0, 0, 0, 0, 10, 0x82, 1, 1, 1, 0, 0], b"frame"),
            (Codec::H263, b"", b"frame"),
            (Codec::Vp6, b"", b"\0frame"),
            (Codec::Screen1, b"", b"\x30\x10\x30\x10"),
            (Codec::Jpeg, b"", b"frame"),
        ] {
            let t = info(v, codec, init, VIDEO);
            let cts = if codec == Codec::H264 { -40 } else { 0 };
            let packets = [packet(v, 80, cts, true, data), packet(v, 120, 0, false, data)];
            let got = round_trip(Peer::FILE, &[t], &packets);
            let Media::Track(i) = &got[0] else { panic!("{codec:?}: no track") };
            assert_eq!((i.id, i.codec, &i.init[..]), (v, codec, init));
            let back: Vec<_> = got
                .iter()
                .filter_map(|m| if let Media::Packet(p) = m { Some(p.clone()) } else { None })
                .collect();
            assert_eq!(back, packets, "{codec:?}");
        }
        for (codec, init, params) in [
            (Codec::Aac, &[0x12, 0x10][..], audio(44100, 2, 16)),
            (Codec::Mp3, b"", audio(8000, 1, 16)),
            (Codec::Pcm, b"", audio(44100, 2, 16)),
            (Codec::Pcm, b"", audio(11025, 1, 8)),
            (Codec::Alaw, b"", audio(8000, 1, 8)),
            (Codec::Ulaw, b"", audio(8000, 2, 8)),
            (Codec::Speex, b"", audio(16000, 1, 16)),
            (Codec::Nellymoser, b"", audio(8000, 1, 16)),
            (Codec::Nellymoser, b"", audio(16000, 1, 16)),
            (Codec::Nellymoser, b"", audio(22050, 1, 16)),
            (Codec::Adpcm, b"", audio(22050, 2, 16)),
        ] {
            let t = info(a, codec, init, params);
            let packets = [packet(a, 80, 0, true, b"frames"), packet(a, 100, 0, true, b"more")];
            let got = round_trip(Peer::LEGACY, std::slice::from_ref(&t), &packets);
            let Media::Track(i) = &got[0] else { panic!("{codec:?}: no track") };
            assert_eq!(i, &t);
            assert_eq!(got.len(), 3);
            for (m, p) in got[1..].iter().zip(&packets) {
                assert!(matches!(m, Media::Packet(q) if q == p), "{codec:?} {m:?}");
            }
        }
    }

    #[test]
    fn more_tracks_are_numbered() {
        let asc: &[u8] = &[0x12, 0x10];
        let tracks: Vec<_> = (5..8).map(|i| info(TrackId(i), Codec::Aac, asc, audio(44100, 2, 16))).collect();
        let packets: Vec<_> = (5..8).map(|i| packet(TrackId(i), i.into(), 0, true, b"x")).collect();
        let got = round_trip(Peer::FILE, &tracks, &packets);
        let ids: Vec<_> =
            got.iter().filter_map(|m| if let Media::Packet(p) = m { Some(p.track) } else { None }).collect();
        assert_eq!(ids, [audio_track(0), audio_track(1), audio_track(2)]);
        let mut w = TagWriter::new(Peer::LEGACY);
        w.track(&tracks[0]).unwrap();
        assert!(w.track(&tracks[1]).is_err());
        assert!(w.packet(&packets[1]).is_err());
        w.gone(TrackId(5));
        assert!(w.track(&tracks[1]).is_ok());
    }

    #[test]
    fn the_peer_decides() {
        let hevc = info(TrackId(1), Codec::Hevc, b"", VIDEO);
        assert!(!Peer::LEGACY.takes(&hevc));
        let mut o = Object::new().with("fourCcList", vec![Value::from("av01"), "hvc1".into()]);
        assert!(Peer::from_connect(&o).takes(&hevc));
        o = Object::new().with("videoFourCcInfoMap", Object::new().with("*", 1.0)).with("capsEx", 14.0);
        let p = Peer::from_connect(&o);
        assert!(p.takes(&hevc) && p.multitrack && p.nanos);
        assert!(!p.takes(&info(TrackId(1), Codec::Opus, b"", audio(48000, 2, 16))));
        assert!(!Peer::from_connect(&Object::new().with("fourCcList", "hvc1")).takes(&hevc));
    }

    #[test]
    fn nanoseconds_keep_the_presentation_time() {
        let o = Object::new().with("fourCcList", vec![Value::from("*")]).with("capsEx", 12.0);
        let a = audio_track(0);
        let t = info(a, Codec::Opus, b"OpusHead\x01\x02\0\0\x80\xbb\0\0\0\0\0", audio(48000, 2, 16));
        let mut p = packet(a, 0, 0, true, b"x");
        p.dts = Timestamp::from_rate(1001, 30_000);
        let got = round_trip(Peer::from_connect(&o), &[t], &[p.clone()]);
        let Media::Packet(q) = &got[1] else { panic!() };
        assert!((q.dts - p.dts).abs() < Duration::from_rate(2, 1_000_000_000), "{:?} {:?}", q.dts, p.dts);
    }

    #[test]
    fn clocks_wrap_and_negative_times_become_zero() {
        let a = audio_track(0);
        let t = info(a, Codec::Aac, &[0x12, 0x10], audio(44100, 2, 16));
        let at = (1i64 << 32) - 10;
        let packets: Vec<_> = [at, at + 20, at + 40].map(|ms| packet(a, ms, 0, true, b"x")).to_vec();
        let got = round_trip(Peer::LEGACY, &[t], &packets);
        let times: Vec<_> = got
            .iter()
            .filter_map(|m| if let Media::Packet(p) = m { Some(p.dts.as_millis()) } else { None })
            .collect();
        assert_eq!(times, [at, at + 20, at + 40]);
        let v = video_track(0);
        let mut w = TagWriter::new(Peer::LEGACY);
        w.track(&info(v, Codec::H264, b"", VIDEO)).unwrap();
        let tag = w.packet(&packet(v, -80, 120, true, b"x")).unwrap();
        assert_eq!((tag.timestamp, &tag.head[..]), (0, &[0x17, 1, 0, 0, 40][..]));
    }
}
