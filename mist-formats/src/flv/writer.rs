//! Media to tag bodies, in the form that the other side understands.

use super::describe::swap_pcm;
use super::limits;
use super::meta::on_metadata;
use super::tag::{FOURCCS, TagError, TagKind, packet_type as pt};
use crate::amf::{Object, Value};
use bytes::Bytes;
use mist_core::codec::Codec;
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
        Codec::Jpeg => 1,
        Codec::H263 => 2,
        Codec::Screen1 => 3,
        Codec::Vp6 => 4,
        Codec::Vp6Alpha => 5,
        Codec::Screen2 => 6,
        Codec::H264 => 7,
        Codec::Pcm => 3,
        Codec::Adpcm => 1,
        Codec::Mp3 => 2,
        Codec::Nellymoser => 6,
        Codec::Alaw => 7,
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
        (Codec::Alaw | Codec::Ulaw, 8000) => 0,
        // Decoders take MP3's rate from its own heads; the nearest is as good as any.
        (Codec::Mp3, 0..=8268) => 0,
        (Codec::Mp3, ..=16537) => 1,
        (Codec::Mp3, ..=33075) => 2,
        (Codec::Mp3, _) => 3,
        (_, 5500..=5513) => 0,
        (_, 11025) => 1,
        (_, 22050) => 2,
        (_, 44100) => 3,
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
                    payload = swap_pcm(&payload, if h & 2 == 0 { 8 } else { 16 });
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
