//! Message types (RTMP 1.0, 5.4, 6.2 and 7.1) and the bodies of control and aggregate messages.

use super::chunk::Message;
use bytes::{Buf, Bytes};

/// Message type ids.
pub mod kind {
    /// Set Chunk Size.
    pub const SET_CHUNK_SIZE: u8 = 1;
    /// Abort Message.
    pub const ABORT: u8 = 2;
    /// Acknowledgement.
    pub const ACK: u8 = 3;
    /// User Control.
    pub const USER_CONTROL: u8 = 4;
    /// Window Acknowledgement Size.
    pub const WINDOW_ACK_SIZE: u8 = 5;
    /// Set Peer Bandwidth.
    pub const SET_PEER_BANDWIDTH: u8 = 6;
    /// Audio.
    pub const AUDIO: u8 = 8;
    /// Video.
    pub const VIDEO: u8 = 9;
    /// Data in AMF3.
    pub const DATA_AMF3: u8 = 15;
    /// Command in AMF3.
    pub const COMMAND_AMF3: u8 = 17;
    /// Data in AMF0.
    pub const DATA: u8 = 18;
    /// Command in AMF0.
    pub const COMMAND: u8 = 20;
    /// Aggregate.
    pub const AGGREGATE: u8 = 22;
}

/// User Control events that mist sends or understands (RTMP 1.0, 7.1.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserControl {
    /// The stream is alive from here on.
    StreamBegin(u32),
    /// Playback of the stream is over.
    StreamEof(u32),
    /// The client's buffer for a stream, in milliseconds.
    SetBufferLength(u32, u32),
    /// The stream is recorded.
    StreamIsRecorded(u32),
    /// Asks for the same value back.
    PingRequest(u32),
    /// The value of a ping request.
    PingResponse(u32),
}

impl UserControl {
    /// Reads a body; `None` for other events and for bodies that are too short.
    pub fn parse(body: &[u8]) -> Option<Self> {
        let (event, rest) = body.split_first_chunk::<2>()?;
        let (value, rest) = rest.split_first_chunk::<4>()?;
        let value = u32::from_be_bytes(*value);
        Some(match u16::from_be_bytes(*event) {
            0 => Self::StreamBegin(value),
            1 => Self::StreamEof(value),
            3 => Self::SetBufferLength(value, rest.first_chunk::<4>().map_or(0, |b| u32::from_be_bytes(*b))),
            4 => Self::StreamIsRecorded(value),
            6 => Self::PingRequest(value),
            7 => Self::PingResponse(value),
            _ => return None,
        })
    }

    /// The body, of which the second value is the number of bytes.
    pub fn body(self) -> ([u8; 10], usize) {
        let (event, value, second) = match self {
            Self::StreamBegin(s) => (0u16, s, None),
            Self::StreamEof(s) => (1, s, None),
            Self::SetBufferLength(s, ms) => (3, s, Some(ms)),
            Self::StreamIsRecorded(s) => (4, s, None),
            Self::PingRequest(v) => (6, v, None),
            Self::PingResponse(v) => (7, v, None),
        };
        let [e0, e1] = event.to_be_bytes();
        let [a, b, c, d] = value.to_be_bytes();
        let [w, x, y, z] = second.unwrap_or(0).to_be_bytes();
        ([e0, e1, a, b, c, d, w, x, y, z], if second.is_some() { 10 } else { 6 })
    }
}

/// The sub-messages of an aggregate message (RTMP 1.0, 7.1.6), sliced out of its body.
///
/// Their times are relative to the first one's, which gets the aggregate's time. A sub-message that does not
/// fit ends it.
#[derive(Debug)]
pub struct Aggregate {
    outer: Message,
    base: Option<u32>,
}

impl Aggregate {
    /// The sub-messages of `outer`.
    pub fn new(outer: Message) -> Self {
        Self { outer, base: None }
    }
}

impl Iterator for Aggregate {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        let [kind, l0, l1, l2, t0, t1, t2, t3, ..] = *self.outer.body.first_chunk::<11>()?;
        let len = u32::from_be_bytes([0, l0, l1, l2]) as usize;
        let end = 11usize.checked_add(len)?;
        if end > self.outer.body.len() {
            self.outer.body = Bytes::new();
            return None;
        }
        // As in FLV: the low 24 bits, then the high 8.
        let time = u32::from_be_bytes([t3, t0, t1, t2]);
        let base = *self.base.get_or_insert(time);
        let body = self.outer.body.slice(11..end);
        // The back pointer may be missing after the last one.
        self.outer.body.advance(self.outer.body.len().min(end + 4));
        Some(Message {
            csid: self.outer.csid,
            stream: self.outer.stream,
            kind,
            time: self.outer.time.wrapping_add(time.wrapping_sub(base)),
            body,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_control_round_trip() {
        use UserControl::*;
        for u in [
            StreamBegin(1),
            StreamEof(2),
            SetBufferLength(1, 3000),
            StreamIsRecorded(1),
            PingRequest(u32::MAX),
            PingResponse(7),
        ] {
            let (b, n) = u.body();
            assert_eq!(UserControl::parse(&b[..n]), Some(u));
            assert_eq!(UserControl::parse(&b[..5]), None);
        }
        assert_eq!(UserControl::parse(&[0, 31, 0, 0, 0, 1]), None);
    }

    fn sub(kind: u8, time: u32, body: &[u8]) -> Vec<u8> {
        let t = time.to_be_bytes();
        let mut v = vec![kind, 0, 0, body.len() as u8, t[1], t[2], t[3], t[0], 0, 0, 0];
        v.extend_from_slice(body);
        v.extend_from_slice(&(body.len() as u32 + 11).to_be_bytes());
        v
    }

    #[test]
    fn aggregates_keep_distances_over_the_wrap() {
        let mut body = sub(9, 0xFFFF_FFF0, b"video");
        body.extend(sub(8, 4, b"audio"));
        let whole = body.len();
        body.extend([8, 0, 0, 200]);
        let outer =
            |n: usize| Message { csid: 4, stream: 1, kind: 22, time: 1000, body: body[..n].to_vec().into() };
        let got: Vec<_> =
            Aggregate::new(outer(body.len())).map(|m| (m.kind, m.time, m.body.to_vec())).collect();
        assert_eq!(got, [(9, 1000, b"video".to_vec()), (8, 1020, b"audio".to_vec())]);
        assert_eq!(Aggregate::new(outer(whole - 4)).count(), 2, "no last back pointer");
        for n in 0..whole - 4 {
            assert!(Aggregate::new(outer(n)).count() < 2, "{n}");
        }
    }
}
