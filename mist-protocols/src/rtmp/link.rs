//! What server and client have in common: handshake, chunk streams, protocol control, acknowledgements, pings.

use super::PROTOCOL_ID;
use super::chunk::{ChunkReader, ChunkWriter, Message};
use super::handshake::Handshake;
use super::limits::Limits;
use super::message::{UserControl, kind};
use bytes::Bytes;
use mist_core::gather::Gather;
use mist_core::queue::Queue;
use mist_core::session::SessionError;
use std::time::Instant;

/// Chunk stream of protocol control messages (RTMP 1.0, 5.4).
const CSID_CONTROL: u32 = 2;
/// Chunk stream of commands on message stream 0.
pub(super) const CSID_COMMAND: u32 = 3;
/// What we announce as window, and acknowledge by until the peer names its own.
const WINDOW: u32 = 2_500_000;
/// What we cut messages into: the largest that Flash-era peers take. Only frames above it have more than one chunk.
pub(super) const CHUNK_SIZE: u32 = 65_536;
/// Limit type of Set Peer Bandwidth: dynamic.
const DYNAMIC: u8 = 2;

#[derive(Debug)]
enum Stage {
    Handshake(Handshake, Queue),
    Open(Box<ChunkReader>),
}

/// One end of a connection below the commands.
#[derive(Debug)]
pub(super) struct Link {
    stage: Stage,
    limits: Limits,
    writer: ChunkWriter,
    /// Bytes to send.
    pub(super) out: Gather,
    /// The time of the last input.
    pub(super) now: Option<Instant>,
    opened: Option<Instant>,
    heard: Option<Instant>,
    pinged: Option<Instant>,
    received: u64,
    acknowledged: u64,
    peer_window: u32,
}

impl Link {
    pub(super) fn new(handshake: Handshake, out: Gather, limits: Limits) -> Self {
        Self {
            stage: Stage::Handshake(handshake, Queue::new()),
            limits,
            writer: ChunkWriter::new(),
            out,
            now: None,
            opened: None,
            heard: None,
            pinged: None,
            received: 0,
            acknowledged: 0,
            peer_window: WINDOW,
        }
    }

    /// Every input passes here first.
    pub(super) fn at(&mut self, now: Instant) {
        self.now = Some(now);
        self.opened.get_or_insert(now);
        self.heard.get_or_insert(now);
    }

    pub(super) fn push(&mut self, data: Bytes) {
        self.heard = self.now;
        self.pinged = None;
        self.received = self.received.wrapping_add(data.len() as u64);
        match &mut self.stage {
            Stage::Handshake(_, q) => q.push(data),
            Stage::Open(r) => r.push(data),
        }
    }

    /// True once the handshake is over.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open(_))
    }

    /// Bytes of the peer that were read.
    pub(super) fn offset(&self) -> u64 {
        match &self.stage {
            Stage::Handshake(_, q) => q.offset(),
            Stage::Open(r) => r.offset(),
        }
    }

    /// The next message that is not about the link itself.
    pub(super) fn poll(&mut self) -> Result<Option<Message>, SessionError> {
        if let Stage::Handshake(h, q) = &mut self.stage {
            if !h.step(q, &mut self.out)? {
                return Ok(None);
            }
            let mut reader = ChunkReader::new(self.limits, q.offset());
            while let Some(rest) = q.take_front(usize::MAX) {
                reader.push(rest);
            }
            self.stage = Stage::Open(Box::new(reader));
        }
        let Stage::Open(reader) = &mut self.stage else { return Ok(None) };
        let message = loop {
            let Some(m) = reader.poll()? else { break None };
            let value = m.body.first_chunk::<4>().map(|b| u32::from_be_bytes(*b));
            match m.kind {
                // A window of nothing can't be acknowledged.
                kind::WINDOW_ACK_SIZE => {
                    self.peer_window = value.filter(|w| *w > 0).unwrap_or(self.peer_window);
                }
                kind::ACK | kind::SET_PEER_BANDWIDTH => {}
                kind::USER_CONTROL => {
                    if let Some(UserControl::PingRequest(v)) = UserControl::parse(&m.body) {
                        put_control(&mut self.writer, UserControl::PingResponse(v), &mut self.out);
                    }
                }
                _ => break Some(m),
            }
        };
        if message.is_none() && self.received - self.acknowledged >= u64::from(self.peer_window) {
            self.acknowledged = self.received;
            // The sequence number wraps (RTMP 1.0, 5.4.3).
            let n = (self.received as u32).to_be_bytes();
            self.writer.message(CSID_CONTROL, 0, kind::ACK, 0, &n, Bytes::new(), &mut self.out);
        }
        Ok(message)
    }

    /// Sends our window, bandwidth and chunk size.
    pub(super) fn send_sizes(&mut self) {
        let window = WINDOW.to_be_bytes();
        let [a, b, c, d] = window;
        let (w, out) = (&mut self.writer, &mut self.out);
        w.message(CSID_CONTROL, 0, kind::WINDOW_ACK_SIZE, 0, &window, Bytes::new(), out);
        w.message(CSID_CONTROL, 0, kind::SET_PEER_BANDWIDTH, 0, &[a, b, c, d, DYNAMIC], Bytes::new(), out);
        w.message(CSID_CONTROL, 0, kind::SET_CHUNK_SIZE, 0, &CHUNK_SIZE.to_be_bytes(), Bytes::new(), out);
        w.set_chunk_size(CHUNK_SIZE);
    }

    pub(super) fn control(&mut self, c: UserControl) {
        put_control(&mut self.writer, c, &mut self.out);
    }

    /// Sends a message whose payload is `head`, which is copied, and `body`, which is referenced.
    pub(super) fn send(&mut self, csid: u32, stream: u32, kind: u8, time: u32, head: &[u8], body: Bytes) {
        self.writer.message(csid, stream, kind, time, head, body, &mut self.out);
    }

    /// What is due by time: a ping, or the end of the connection.
    pub(super) fn tick(&mut self) -> Result<(), SessionError> {
        let (Some(now), Some(opened), Some(heard)) = (self.now, self.opened, self.heard) else {
            return Ok(());
        };
        if !self.is_open() {
            let late = now.saturating_duration_since(opened) >= self.limits.handshake;
            return if late { Err(SessionError::Timeout("handshake")) } else { Ok(()) };
        }
        match self.pinged {
            Some(p) if now.saturating_duration_since(p) >= self.limits.pong_within => {
                Err(SessionError::Timeout("ping response"))
            }
            None if now.saturating_duration_since(heard) >= self.limits.ping_after => {
                self.pinged = Some(now);
                let t = now.saturating_duration_since(opened).as_millis() as u32;
                self.control(UserControl::PingRequest(t));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// When [`Self::tick`] has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        if !self.is_open() {
            return self.opened.map(|t| t + self.limits.handshake);
        }
        match self.pinged {
            Some(p) => Some(p + self.limits.pong_within),
            None => self.heard.map(|t| t + self.limits.ping_after),
        }
    }

    /// An error in the place `place` of the dialogue.
    pub(super) fn error(&self, place: &'static str, what: &'static str) -> SessionError {
        SessionError::Peer { protocol: PROTOCOL_ID, offset: self.offset(), place, what }
    }

    /// When the first input came.
    pub(super) fn opened(&self) -> Option<Instant> {
        self.opened
    }
}

fn put_control(writer: &mut ChunkWriter, c: UserControl, out: &mut Gather) {
    let (body, n) = c.body();
    let body = body.get(..n).unwrap_or_default();
    writer.message(CSID_CONTROL, 0, kind::USER_CONTROL, 0, body, Bytes::new(), out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_wrap() {
        let mut link = Link::new(Handshake::server([0; 32]), Gather::new(), Limits::DEFAULT);
        let mut hello = vec![3u8];
        hello.resize(3073, 0);
        link.push(hello.into());
        assert!(link.poll().is_ok_and(|m| m.is_none()));
        link.received = (1 << 32) - 5;
        link.acknowledged = link.received - u64::from(WINDOW) + 10;
        link.out.clear();
        // An unknown control message without a body, of 12 bytes.
        link.push(Bytes::from_static(&[2, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0]));
        assert!(link.poll().is_ok_and(|m| m.is_some()));
        assert!(link.poll().is_ok_and(|m| m.is_none()));
        let sent = link.out.to_vec();
        assert_eq!(sent[sent.len() - 4..], 7u32.to_be_bytes(), "counted on beyond 2^32");
    }
}
