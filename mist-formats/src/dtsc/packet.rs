//! The four kinds of packets, and media packets without building values.

use super::limits;
use super::value::{END, OBJECT, OBJECT_TOO, Object, ValueError};
use bytes::{BufMut, Bytes, BytesMut};
use mist_core::gather::Gather;

/// What a packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PacketKind {
    /// `DTSC`: a header; its body is one packed object.
    Header,
    /// `DTPD`: media of the first version; its object has `time` and `trackid`.
    MediaV1,
    /// `DTP2`: media of the second version; track, time and an object.
    MediaV2,
    /// `DTCM`: a command of the protocol; its body is one packed object.
    Command,
}

impl PacketKind {
    /// The four bytes that a packet begins with.
    pub const fn magic(self) -> [u8; 4] {
        match self {
            Self::Header => *b"DTSC",
            Self::MediaV1 => *b"DTPD",
            Self::MediaV2 => *b"DTP2",
            Self::Command => *b"DTCM",
        }
    }

    /// The same as a name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Header => "DTSC",
            Self::MediaV1 => "DTPD",
            Self::MediaV2 => "DTP2",
            Self::Command => "DTCM",
        }
    }
}

/// The first 8 bytes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketHead {
    /// What follows.
    pub kind: PacketKind,
    /// Bytes that follow.
    pub len: u32,
}

impl PacketHead {
    /// Bytes of a head.
    pub const LEN: usize = 8;

    /// Reads a head; `None` where no packet begins.
    pub fn parse(head: [u8; Self::LEN]) -> Option<Self> {
        let [a, b, c, d, len @ ..] = head;
        let all = [PacketKind::MediaV2, PacketKind::Header, PacketKind::Command, PacketKind::MediaV1];
        let kind = all.into_iter().find(|k| k.magic() == [a, b, c, d])?;
        Some(Self { kind, len: u32::from_be_bytes(len) })
    }

    /// The longest body that is read.
    pub const fn limit(self) -> usize {
        match self.kind {
            PacketKind::Header => limits::HEADER,
            PacketKind::MediaV1 | PacketKind::MediaV2 => limits::PACKET,
            PacketKind::Command => limits::COMMAND,
        }
    }
}

/// A header or command with its head.
pub fn packet(kind: PacketKind, body: &Object) -> Bytes {
    let mut out = BytesMut::new();
    out.put_slice(&kind.magic());
    out.put_u32(0);
    body.write(&mut out);
    let len = u32::try_from(out.len().saturating_sub(PacketHead::LEN)).unwrap_or(u32::MAX);
    if let Some(place) = out.get_mut(4..8) {
        place.copy_from_slice(&len.to_be_bytes());
    }
    out.freeze()
}

/// Bytes of a media packet around its payload, at most.
pub const ROOM: usize = 128;

/// A media packet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MediaPacket {
    /// Track, by the `trackid` of its header.
    pub track: u32,
    /// Decoding time in milliseconds.
    pub time: u64,
    /// Presentation offset in milliseconds.
    pub offset: i64,
    /// Byte position in the source file; 0 for unknown.
    pub bpos: u64,
    /// Display time in milliseconds, which text has; 0 for until the next packet.
    pub duration: u64,
    /// Keyframe.
    pub key: bool,
    /// Payload.
    pub data: Bytes,
    /// Bytes of the body before the payload; for tools.
    pub data_at: usize,
}

/// A value of a media packet's object: a number, where the payload lies, or something else.
enum Member {
    Int(i64),
    Data(usize, usize),
    Other,
}

impl MediaPacket {
    /// Reads a body of the kind [`PacketKind::MediaV1`] or [`PacketKind::MediaV2`]. The payload is a slice of it.
    ///
    /// # Errors
    /// The body is no such packet.
    pub fn parse(kind: PacketKind, body: &Bytes) -> Result<Self, ValueError> {
        let err = |at, what| Err(ValueError { at, what, limit: false });
        let mut p = Self::default();
        let mut at = 0;
        if kind == PacketKind::MediaV2 {
            let Some([a, b, c, d, time @ ..]) = body.first_chunk::<12>() else {
                return err(0, "media packet too short");
            };
            p.track = u32::from_be_bytes([*a, *b, *c, *d]);
            p.time = u64::from_be_bytes(*time);
            at = 12;
        }
        if !matches!(body.get(at), Some(&(OBJECT | OBJECT_TOO))) {
            return err(at, "media packet without object");
        }
        at += 1;
        let (mut track, mut time) = (kind == PacketKind::MediaV2, kind == PacketKind::MediaV2);
        for _ in 0..limits::MEMBERS {
            let Some(len) = body.get(at..).and_then(|b| b.first_chunk::<2>()) else {
                return err(at, "value ends early");
            };
            let len = usize::from(u16::from_be_bytes(*len));
            if len == 0 {
                return if track && time { Ok(p) } else { err(at, "media packet without track or time") };
            }
            let Some((name, rest)) = body.get(at + 2..).and_then(|b| b.split_at_checked(len)) else {
                return err(at, "name reaches beyond its packet");
            };
            let value_at = at + 2 + len;
            let (member, used) = member(rest, value_at, body)?;
            at = value_at + used;
            match (name, member) {
                (b"data", Member::Data(from, len)) => {
                    p.data = body.slice(from..from + len);
                    p.data_at = from;
                }
                (b"keyframe", Member::Int(i)) => p.key = i != 0,
                (b"offset", Member::Int(i)) => p.offset = i,
                (b"bpos", Member::Int(i)) => p.bpos = u64::try_from(i).unwrap_or(0),
                (b"duration", Member::Int(i)) => p.duration = u64::try_from(i).unwrap_or(0),
                (b"trackid", Member::Int(i)) if kind == PacketKind::MediaV1 => {
                    let Ok(id) = u32::try_from(i) else { return err(value_at, "track id") };
                    (p.track, track) = (id, true);
                }
                (b"time", Member::Int(i)) if kind == PacketKind::MediaV1 => {
                    (p.time, time) = (u64::try_from(i).unwrap_or(0), true);
                }
                _ => {}
            }
        }
        Err(ValueError { at, what: "members of a media packet", limit: true })
    }

    /// Bytes that [`write`](Self::write) makes, with heads.
    pub const fn written_len(size: u64, offset: bool, bpos: bool, key: bool, duration: bool) -> u64 {
        // Head, track, time, the object's ends, and the payload's name and length.
        let mut n = PacketHead::LEN as u64 + 12 + 4 + 11 + size;
        if offset {
            n += 17;
        }
        if bpos {
            n += 15;
        }
        if key {
            n += 19;
        }
        if duration {
            n += 19;
        }
        n
    }

    /// Appends it as a packet of the second version. `duration` is written if `timed`, other members where they aren't
    /// 0. The payload isn't copied.
    pub fn write(&self, timed: bool, out: &mut Gather) {
        let size = self.data.len() as u64;
        let all = Self::written_len(size, self.offset != 0, self.bpos != 0, self.key, timed);
        let mut head = Head { bytes: [0; 128], len: 0 };
        head.put(&PacketKind::MediaV2.magic());
        head.put(&u32::try_from(all - PacketHead::LEN as u64).unwrap_or(u32::MAX).to_be_bytes());
        head.put(&self.track.to_be_bytes());
        head.put(&self.time.to_be_bytes());
        head.put(&[OBJECT]);
        let mut int = |name: &[u8], v: i64| {
            head.put(&(name.len() as u16).to_be_bytes());
            head.put(name);
            head.put(&[1]);
            head.put(&v.to_be_bytes());
        };
        if self.offset != 0 {
            int(b"offset", self.offset);
        }
        if self.bpos != 0 {
            int(b"bpos", i64::try_from(self.bpos).unwrap_or(i64::MAX));
        }
        if self.key {
            int(b"keyframe", 1);
        }
        if timed {
            int(b"duration", i64::try_from(self.duration).unwrap_or(i64::MAX));
        }
        head.put(b"\0\x04data\x02");
        head.put(&u32::try_from(size).unwrap_or(u32::MAX).to_be_bytes());
        out.put(head.bytes.get(..head.len).unwrap_or(&[]));
        out.push(self.data.clone());
        out.put(&END);
    }
}

/// What comes before a payload: at most 110 bytes.
struct Head {
    bytes: [u8; 128],
    len: usize,
}

impl Head {
    fn put(&mut self, b: &[u8]) {
        if let Some(place) = self.bytes.get_mut(self.len..self.len + b.len()) {
            place.copy_from_slice(b);
            self.len += b.len();
        }
    }
}

/// Reads the value at the start of `rest`, which lies at `at` of `body`; says how long it is.
fn member(rest: &[u8], at: usize, body: &Bytes) -> Result<(Member, usize), ValueError> {
    let early = ValueError { at, what: "value ends early", limit: false };
    match rest {
        [1, i @ ..] => {
            let i = i.first_chunk::<8>().ok_or(early)?;
            Ok((Member::Int(i64::from_be_bytes(*i)), 9))
        }
        [2, blob @ ..] => {
            let (len, blob) = blob.split_first_chunk::<4>().ok_or(early)?;
            let len = u32::from_be_bytes(*len) as usize;
            if len > blob.len() {
                return Err(ValueError { at, what: "string reaches beyond its packet", limit: false });
            }
            Ok((Member::Data(at + 5, len), 5 + len))
        }
        [3, ..] => Ok((Member::Other, 1)),
        [4, d @ ..] => d.first_chunk::<8>().ok_or(early).map(|_| (Member::Other, 9)),
        [] => Err(early),
        // Nothing that writes media packets is known to write others.
        _ => {
            let (_, len) = super::value::Value::parse_prefix(&body.slice(at..))
                .map_err(|e| ValueError { at: at + e.at, ..e })?;
            Ok((Member::Other, len))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::value::Value;
    use super::*;

    fn sample() -> MediaPacket {
        MediaPacket {
            track: 2,
            time: 122_043,
            offset: -40,
            bpos: 7,
            duration: 0,
            key: true,
            data: Bytes::from(vec![5; 300]),
            data_at: 0,
        }
    }

    #[test]
    fn packets_go_through_their_bytes() {
        for (offset, bpos, key, duration) in
            [(0, 0, false, None), (-40, 7, true, None), (80, 0, false, Some(2000))]
        {
            let timed = duration.is_some();
            let mut p = MediaPacket { offset, bpos, key, duration: duration.unwrap_or(0), ..sample() };
            let mut out = Gather::new();
            p.write(timed, &mut out);
            let all = Bytes::from(out.to_vec());
            let len = MediaPacket::written_len(300, offset != 0, bpos != 0, key, timed);
            assert_eq!(all.len() as u64, len);
            let head = PacketHead::parse(*all.first_chunk().unwrap()).unwrap();
            assert_eq!(head, PacketHead { kind: PacketKind::MediaV2, len: len as u32 - 8 });
            let body = all.slice(8..);
            let got = MediaPacket::parse(head.kind, &body).unwrap();
            p.data_at = body.len() - 303;
            assert_eq!(got, p);
            assert_eq!(got.data.as_ptr(), body[p.data_at..].as_ptr());
            for cut in 0..body.len() - 1 {
                assert!(MediaPacket::parse(head.kind, &body.slice(..cut)).is_err(), "{cut}");
            }
        }
    }

    #[test]
    fn the_first_version_and_odd_members() {
        let o = Object::new()
            .with("x", Value::Array(vec![Value::Null]))
            .with("bmo", 5)
            .with("d", Value::Double(1.0))
            .with("n", Value::Null)
            .with("data", "abc")
            .with("trackid", 9)
            .with("time", 77);
        let p = MediaPacket::parse(PacketKind::MediaV1, &o.to_bytes()).unwrap();
        assert_eq!((p.track, p.time, &p.data[..], p.key), (9, 77, &b"abc"[..], false));
        assert!(MediaPacket::parse(PacketKind::MediaV1, &Object::new().with("time", 1).to_bytes()).is_err());
        let mut many = Object::new().with("trackid", 1).with("time", 1);
        for _ in 0..limits::MEMBERS {
            many.set("x", 1);
        }
        assert!(MediaPacket::parse(PacketKind::MediaV1, &many.to_bytes()).unwrap_err().limit);
    }
}
