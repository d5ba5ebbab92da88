//! What lies in a tag: its head and the codec heads of its body, without any memory of earlier tags.
//!
//! The bodies are those of RTMP's audio, video and data messages as well.

use super::limits;
use bytes::{Buf, Bytes};
use mist_core::codec::{Codec, pcm};
use mist_core::format::{ErrorKind, FormatError};
use smallvec::SmallVec;

/// Kinds of tags, and of RTMP messages that carry the same bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TagKind {
    /// Sound, type 8.
    Audio,
    /// Pictures, type 9.
    Video,
    /// Script data in AMF0, type 18.
    Script,
}

impl TagKind {
    /// By tag type, or RTMP message type id.
    pub const fn from_wire(n: u8) -> Option<Self> {
        match n {
            8 => Some(Self::Audio),
            9 => Some(Self::Video),
            18 => Some(Self::Script),
            _ => None,
        }
    }

    /// Tag type, and RTMP message type id.
    pub const fn to_wire(self) -> u8 {
        match self {
            Self::Audio => 8,
            Self::Video => 9,
            Self::Script => 18,
        }
    }

    /// `audio`, `video` or `script`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Script => "script",
        }
    }
}

/// Why a tag's body can't be used. The tags after it are not affected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{path} tag: {kind} at byte {at}")]
pub struct TagError {
    /// Byte offset in the body.
    pub at: usize,
    /// Place: `audio`, `video`, `script` and what is in them.
    pub path: &'static str,
    /// What is wrong.
    pub kind: ErrorKind,
}

impl TagError {
    /// As an error of a file in which the body starts at `base`.
    pub fn in_file(self, base: u64) -> FormatError {
        FormatError {
            format: super::ID,
            offset: base.saturating_add(self.at as u64),
            path: self.path,
            kind: self.kind,
        }
    }
}

/// FourCCs of Enhanced RTMP and the codecs that they stand for.
pub(super) const FOURCCS: [([u8; 4], Codec); 11] = [
    (*b"avc1", Codec::H264),
    (*b"hvc1", Codec::Hevc),
    (*b"av01", Codec::Av1),
    (*b"vp09", Codec::Vp9),
    (*b"vp08", Codec::Vp8),
    (*b"Opus", Codec::Opus),
    (*b"ac-3", Codec::Ac3),
    (*b"ec-3", Codec::Eac3),
    (*b"fLaC", Codec::Flac),
    (*b"mp4a", Codec::Aac),
    (*b".mp3", Codec::Mp3),
];

/// Packet types of extended heads, for audio and video alike where both have them.
pub(super) mod packet_type {
    pub(crate) const SEQUENCE_START: u8 = 0;
    pub(crate) const CODED_FRAMES: u8 = 1;
    pub(crate) const SEQUENCE_END: u8 = 2;
    pub(crate) const CODED_FRAMES_X: u8 = 3;
    /// Video: metadata. Audio: multichannel configuration.
    pub(crate) const METADATA: u8 = 4;
    pub(crate) const MPEG2_TS_SEQUENCE_START: u8 = 5;
    pub(crate) const MULTITRACK_VIDEO: u8 = 6;
    pub(crate) const MULTITRACK_AUDIO: u8 = 5;
    pub(crate) const MOD_EX: u8 = 7;
}

/// What a [`Unit`] holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnitKind {
    /// Decoder configuration.
    Config,
    /// Decoder configuration in the form of MPEG-2 TS descriptors.
    TsConfig,
    /// A frame.
    Frame,
    /// The end of a sequence.
    End,
    /// Colour metadata in AMF0 (video).
    Metadata,
    /// Order and mapping of channels (audio).
    Channels,
}

/// What the head of a legacy audio tag says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sound {
    /// Samples a second.
    pub rate: u32,
    /// Bits a sample.
    pub bits: u16,
    /// 1 or 2.
    pub channels: u16,
}

/// One track's part of a tag body.
#[derive(Debug, Clone)]
pub struct Unit {
    /// What it holds.
    pub kind: UnitKind,
    /// Codec.
    pub codec: Codec,
    /// Track number of Enhanced RTMP; 0 for the default track.
    pub track: u8,
    /// A keyframe; always true for audio.
    pub key: bool,
    /// Composition time offset in milliseconds.
    pub cts: i32,
    /// Nanoseconds to add to the presentation time, below 1,000,000.
    pub nanos: u32,
    /// For legacy audio: what the head says.
    pub sound: Option<Sound>,
    /// What follows the heads: a slice of the body.
    pub data: Bytes,
}

/// The parts of a tag's body.
pub type Units = SmallVec<[Unit; 1]>;

struct Body {
    data: Bytes,
    len: usize,
    path: &'static str,
}

impl Body {
    fn error(&self, kind: ErrorKind) -> TagError {
        TagError { at: self.len - self.data.len(), path: self.path, kind }
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], TagError> {
        let Some((head, _)) = self.data.split_first_chunk::<N>() else {
            return Err(self.error(ErrorKind::Truncated));
        };
        let head = *head;
        self.data.advance(N);
        Ok(head)
    }

    fn u8(&mut self) -> Result<u8, TagError> {
        let [b] = self.bytes()?;
        Ok(b)
    }

    fn u24(&mut self) -> Result<u32, TagError> {
        let [a, b, c] = self.bytes()?;
        Ok(u32::from_be_bytes([0, a, b, c]))
    }

    fn i24(&mut self) -> Result<i32, TagError> {
        let [a, b, c] = self.bytes()?;
        Ok(i32::from_be_bytes([a, b, c, 0]) >> 8)
    }

    fn take(&mut self, n: usize) -> Result<Bytes, TagError> {
        if n > self.data.len() {
            return Err(self.error(ErrorKind::Truncated));
        }
        Ok(self.data.split_to(n))
    }

    fn fourcc(&mut self) -> Result<Codec, TagError> {
        let code: [u8; 4] = self.bytes()?;
        match FOURCCS.iter().find(|(c, _)| *c == code) {
            Some((_, codec)) => Ok(*codec),
            None => Err(self.error(ErrorKind::Unsupported("FourCC"))),
        }
    }
}

/// Takes a video tag's body apart. Empty for command frames (seek markers).
///
/// # Errors
/// It ends inside a head, or has an unknown codec.
pub fn video_units(body: Bytes) -> Result<Units, TagError> {
    let mut b = Body { len: body.len(), data: body, path: "video" };
    let first = b.u8()?;
    let frame = first >> 4 & 7;
    if first & 0x80 != 0 {
        return extended(&mut b, first & 15, Some(frame));
    }
    // 1 key, 2 inter, 3 disposable inter, 4 key made by a server, 5 a command without picture.
    if frame == 5 {
        return Ok(Units::new());
    }
    let mut unit = Unit {
        kind: UnitKind::Frame,
        codec: match first & 15 {
            1 => Codec::Jpeg,
            2 => Codec::H263,
            3 => Codec::Screen1,
            4 => Codec::Vp6,
            5 => Codec::Vp6Alpha,
            6 => Codec::Screen2,
            7 => Codec::H264,
            // Not in Adobe's table: what Chinese encoders and CDNs have sent since about 2016, laid out as AVC.
            12 => Codec::Hevc,
            _ => return Err(b.error(ErrorKind::Unsupported("video codec"))),
        },
        track: 0,
        key: matches!(frame, 1 | 4),
        cts: 0,
        nanos: 0,
        sound: None,
        data: Bytes::new(),
    };
    if matches!(unit.codec, Codec::H264 | Codec::Hevc) {
        unit.kind = match b.u8()? {
            0 => UnitKind::Config,
            1 => UnitKind::Frame,
            2 => UnitKind::End,
            _ => return Err(b.error(ErrorKind::Malformed("AVC packet type"))),
        };
        if b.data.len() < 3 && unit.kind == UnitKind::End {
            return Ok(Units::from_iter([unit]));
        }
        unit.cts = b.i24()?;
    }
    unit.data = b.data;
    Ok(Units::from_iter([unit]))
}

/// Takes an audio tag's body apart.
///
/// # Errors
/// It ends inside a head, or has an unknown codec.
pub fn audio_units(body: Bytes) -> Result<Units, TagError> {
    let mut b = Body { len: body.len(), data: body, path: "audio" };
    let first = b.u8()?;
    let format = first >> 4;
    if format == 9 {
        return extended(&mut b, first & 15, None);
    }
    let mut sound = Sound {
        rate: match first >> 2 & 3 {
            0 => 5512,
            1 => 11025,
            2 => 22050,
            _ => 44100,
        },
        bits: if first & 2 == 0 { 8 } else { 16 },
        channels: u16::from(first & 1) + 1,
    };
    let codec = match format {
        0 | 3 => Codec::Pcm,
        1 => Codec::Adpcm,
        2 | 14 => Codec::Mp3,
        4..=6 => Codec::Nellymoser,
        7 => Codec::Alaw,
        8 => Codec::Ulaw,
        10 => Codec::Aac,
        11 => Codec::Speex,
        _ => return Err(b.error(ErrorKind::Unsupported("sound format"))),
    };
    match format {
        4 | 11 => sound = Sound { rate: 16000, bits: 16, channels: 1 },
        5 => sound = Sound { rate: 8000, bits: 16, channels: 1 },
        7 | 8 => sound = Sound { rate: pcm::G711_RATE, bits: pcm::G711_BITS, channels: sound.channels },
        14 => sound.rate = 8000,
        _ => {}
    }
    let mut kind = UnitKind::Frame;
    if codec == Codec::Aac && b.u8()? == 0 {
        kind = UnitKind::Config;
    }
    Ok(Units::from_iter([Unit {
        kind,
        codec,
        track: 0,
        key: true,
        cts: 0,
        nanos: 0,
        sound: Some(sound),
        data: b.data,
    }]))
}

/// The extended heads of Enhanced RTMP, version 2. `frame` is the frame type of video and `None` for audio.
fn extended(b: &mut Body, packet: u8, frame: Option<u8>) -> Result<Units, TagError> {
    use packet_type as pt;
    let video = frame.is_some();
    let mut packet = packet;
    let mut nanos = 0;
    let mut mods = 0;
    while packet == pt::MOD_EX {
        mods += 1;
        if mods > limits::MOD_EX {
            return Err(b.error(ErrorKind::Limit("ModEx heads")));
        }
        let mut size = usize::from(b.u8()?) + 1;
        if size == 256 {
            size = usize::from(u16::from_be_bytes(b.bytes()?)) + 1;
        }
        let data = b.take(size)?;
        let next = b.u8()?;
        // Type 0 is a 24-bit offset in nanoseconds; later types are skipped, as the specification asks.
        if let (0, [x, y, z, ..]) = (next >> 4, &data[..]) {
            nanos = u32::from_be_bytes([0, *x, *y, *z]).min(999_999);
        }
        packet = next & 15;
    }
    if frame == Some(5) && packet != pt::METADATA {
        return Ok(Units::new());
    }
    let multitrack = packet == if video { pt::MULTITRACK_VIDEO } else { pt::MULTITRACK_AUDIO };
    // 0 one track, 1 many with one codec, 2 many with a codec each.
    let mut form = 0;
    if multitrack {
        let m = b.u8()?;
        form = m >> 4;
        packet = m & 15;
        if form > 2 {
            return Err(b.error(ErrorKind::Unsupported("multitrack type")));
        }
    }
    let common = if form == 2 { None } else { Some(b.fourcc()?) };
    let mut units = Units::new();
    loop {
        let codec = match common {
            Some(c) => c,
            None => b.fourcc()?,
        };
        let track = if multitrack { b.u8()? } else { 0 };
        let size = if form == 0 { b.data.len() } else { b.u24()? as usize };
        let len = b.len;
        let start = len - b.data.len();
        let mut part = Body { data: b.take(size)?, len: start + size, path: b.path };
        let kind = match packet {
            pt::SEQUENCE_START => UnitKind::Config,
            pt::CODED_FRAMES => UnitKind::Frame,
            pt::SEQUENCE_END => UnitKind::End,
            pt::CODED_FRAMES_X if video => UnitKind::Frame,
            pt::METADATA if video => UnitKind::Metadata,
            pt::METADATA => UnitKind::Channels,
            pt::MPEG2_TS_SEQUENCE_START if video => UnitKind::TsConfig,
            // Multitrack inside multitrack ends up here as well.
            _ => return Err(part.error(ErrorKind::Unsupported("packet type"))),
        };
        if (codec.kind() == mist_core::media::Kind::Video) != video {
            return Err(part.error(ErrorKind::Malformed("FourCC of another kind of media")));
        }
        let offset = packet == pt::CODED_FRAMES && matches!(codec, Codec::H264 | Codec::Hevc);
        if units.len() >= limits::TRACKS_IN_TAG {
            return Err(part.error(ErrorKind::Limit("tracks in a tag")));
        }
        // A track without bytes has nothing for this moment.
        if size > 0 || kind == UnitKind::End {
            let cts = if offset { part.i24()? } else { 0 };
            units.push(Unit {
                kind,
                codec,
                track,
                key: frame.is_none_or(|f| matches!(f, 1 | 4)),
                cts,
                nanos,
                sound: None,
                data: part.data,
            });
        }
        if form == 0 || b.data.is_empty() {
            return Ok(units);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn video(b: &[u8]) -> Result<Units, TagError> {
        video_units(Bytes::copy_from_slice(b))
    }

    fn audio(b: &[u8]) -> Result<Units, TagError> {
        audio_units(Bytes::copy_from_slice(b))
    }

    #[test]
    fn legacy_heads() {
        let u = video(&[0x17, 1, 0xff, 0xff, 0xfe, 9, 9]).unwrap();
        assert_eq!((u[0].codec, u[0].key, u[0].cts, &u[0].data[..]), (Codec::H264, true, -2, &[9, 9][..]));
        let u = video(&[0x22, 5]).unwrap();
        assert_eq!((u[0].codec, u[0].key, u[0].cts), (Codec::H263, false, 0));
        assert_eq!(video(&[0x17, 2]).unwrap()[0].kind, UnitKind::End);
        assert!(video(&[0x57, 0]).unwrap().is_empty(), "a command frame");
        assert_eq!(video(&[0x17, 1, 0]).unwrap_err().kind, ErrorKind::Truncated);
        assert_eq!(video(&[]).unwrap_err().kind, ErrorKind::Truncated);
        assert!(matches!(video(&[0x1f]).unwrap_err().kind, ErrorKind::Unsupported(_)));
        let u = audio(&[0x2f, 0xff]).unwrap();
        assert_eq!(u[0].sound, Some(Sound { rate: 44100, bits: 16, channels: 2 }));
        let u = audio(&[0xaf, 0, 0x12, 0x10]).unwrap();
        assert_eq!((u[0].kind, u[0].codec, u[0].data.len()), (UnitKind::Config, Codec::Aac, 2));
        assert_eq!(audio(&[0x52, 1]).unwrap()[0].sound, Some(Sound { rate: 8000, bits: 16, channels: 1 }));
    }

    #[test]
    fn extended_heads() {
        let u = video(b"\x91hvc1\0\0\x21data").unwrap();
        assert_eq!((u[0].codec, u[0].cts, u[0].key, &u[0].data[..]), (Codec::Hevc, 33, true, &b"data"[..]));
        let u = video(b"\xa3hvc1data").unwrap();
        assert_eq!((u[0].cts, u[0].key, &u[0].data[..]), (0, false, &b"data"[..]));
        let u = video(b"\x91av01data").unwrap();
        assert_eq!((u[0].codec, u[0].cts, &u[0].data[..]), (Codec::Av1, 0, &b"data"[..]));
        let u = audio(b"\x91Opusdata").unwrap();
        assert_eq!((u[0].codec, &u[0].data[..]), (Codec::Opus, &b"data"[..]));
        let u = audio(b"\x94Opus\x01\x02\0\0\0\x03").unwrap();
        assert_eq!(u[0].kind, UnitKind::Channels);
        // ModEx: 3 bytes of nanoseconds, an unknown one of 256 bytes, then CodedFrames.
        let mut d = b"\x97\x02\x07\xa1\x20\x07\xff\0\xff".to_vec();
        d.extend_from_slice(&[0; 256]);
        d.extend_from_slice(b"\x11Opusx");
        let u = audio(&d).unwrap();
        assert_eq!((u[0].nanos, &u[0].data[..]), (500_000, &b"x"[..]));
        assert!(matches!(audio(b"\x91xxxx").unwrap_err().kind, ErrorKind::Unsupported(_)));
        assert!(matches!(audio(b"\x91hvc1").unwrap_err().kind, ErrorKind::Malformed(_)));
    }

    #[test]
    fn multitrack_in_its_three_forms() {
        let one = video(b"\x96\x01avc1\x03\0\0\x05data").unwrap();
        assert_eq!((one[0].track, one[0].cts, &one[0].data[..]), (3, 5, &b"data"[..]));
        let many = audio(b"\x95\x11Opus\0\0\0\x02ab\x01\0\0\0\x02\0\0\x01c").unwrap();
        let got: Vec<_> = many.iter().map(|u| (u.track, &u.data[..])).collect();
        assert_eq!(got, [(0, &b"ab"[..]), (2, b"c")], "a track of size 0 is left out");
        let codecs = audio(b"\x95\x21Opus\0\0\0\x01amp4a\x01\0\0\x01b").unwrap();
        assert_eq!(codecs.iter().map(|u| u.codec).collect::<Vec<_>>(), [Codec::Opus, Codec::Aac]);
        // Sizes beyond the tag, nesting, unknown forms, too many tracks.
        assert_eq!(audio(b"\x95\x11Opus\0\xff\xff\xffab").unwrap_err().kind, ErrorKind::Truncated);
        assert!(matches!(video(b"\x96\x06avc1\x03").unwrap_err().kind, ErrorKind::Unsupported(_)));
        assert!(matches!(video(b"\x96\x31avc1\x03").unwrap_err().kind, ErrorKind::Unsupported(_)));
        let mut d = b"\x95\x11Opus".to_vec();
        for i in 0..=limits::TRACKS_IN_TAG {
            d.extend_from_slice(&[i as u8, 0, 0, 1, 9]);
        }
        assert_eq!(audio(&d).unwrap_err().kind, ErrorKind::Limit("tracks in a tag"));
        let d = b"\x97\0\0\x07".iter().chain([0, 0, 7].repeat(200).iter()).copied().collect::<Vec<_>>();
        assert_eq!(audio(&d).unwrap_err().kind, ErrorKind::Limit("ModEx heads"));
    }
}
