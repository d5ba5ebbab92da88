//! Chunks to messages.

use super::{EXTENDED, INITIAL_CHUNK_SIZE, Message};
use crate::rtmp::PROTOCOL_ID;
use crate::rtmp::limits::Limits;
use crate::rtmp::message::kind;
use bytes::Bytes;
use mist_core::queue::Queue;
use mist_core::session::SessionError;

/// Messages from this size on are slices of what was read; smaller ones are copied.
const SLICE_FROM: usize = 4096;

/// What a peer does with the extended timestamp in chunks of type 3.
///
/// RTMP 1.0 (5.3.1.3) repeats it; older Flash and several encoders leave it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExtendedTimestamps {
    /// Not seen yet.
    Unknown,
    /// Repeated, as the specification says.
    Repeated,
    /// Left out.
    Omitted,
}

/// A type 3 chunk that starts a message right after a type 0 chunk takes that chunk's timestamp as its delta
/// (RTMP 1.0, 5.3.1.2.4). librtmp means "no change" instead; the two only agree while the timestamp is small,
/// so that from here on (milliseconds) librtmp is believed.
const PLAUSIBLE_DELTA: u32 = 10_000;

#[derive(Debug, Default)]
struct Stream {
    csid: u32,
    time: u32,
    /// The timestamp field of the last head, extended or not: absolute after type 0, else a delta.
    field: u32,
    absolute: bool,
    extended: bool,
    len: usize,
    kind: u8,
    stream: u32,
    /// What has come of the message; capacity never exceeds `len`.
    partial: Vec<u8>,
    in_message: bool,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Head,
    /// Payload of the chunk stream at `index`; `left` bytes until the chunk's end.
    Payload {
        index: usize,
        left: usize,
    },
}

enum Extension {
    None,
    Value(u32),
    Wait,
}

/// Puts messages together from chunks of any chunk streams in any interleaving.
///
/// Payload of a message that lies in one chunk and in one piece of input is sliced, not copied. Anything else
/// goes into one buffer of the message that grows as data comes, not by the declared length.
#[derive(Debug)]
pub struct ChunkReader {
    input: Queue,
    streams: Vec<Stream>,
    last: usize,
    state: State,
    chunk_size: u32,
    dialect: ExtendedTimestamps,
    partial_total: usize,
    partial_messages: usize,
    limits: Limits,
}

impl ChunkReader {
    /// A reader for bytes that follow `offset` bytes of handshake.
    pub fn new(limits: Limits, offset: u64) -> Self {
        let mut input = Queue::new();
        input.reset(offset);
        Self {
            input,
            streams: Vec::new(),
            last: 0,
            state: State::Head,
            chunk_size: INITIAL_CHUNK_SIZE,
            dialect: ExtendedTimestamps::Unknown,
            partial_total: 0,
            partial_messages: 0,
            limits,
        }
    }

    /// The peer's dialect, as far as it has shown.
    pub fn extended_timestamps(&self) -> ExtendedTimestamps {
        self.dialect
    }

    /// The peer's chunk size.
    pub fn chunk_size(&self) -> u32 {
        self.chunk_size
    }

    /// Bytes held for messages whose chunks are still coming.
    pub fn held(&self) -> usize {
        self.partial_total
    }

    /// Bytes of the peer that were read.
    pub fn offset(&self) -> u64 {
        self.input.offset()
    }

    /// Gives it bytes.
    pub fn push(&mut self, data: Bytes) {
        self.input.push(data);
    }

    /// The next complete message; `None` until more bytes come.
    ///
    /// # Errors
    /// A broken rule of the chunk stream or a limit. The reader is unusable afterwards.
    pub fn poll(&mut self) -> Result<Option<Message>, SessionError> {
        loop {
            let message = match self.state {
                State::Head => match self.head()? {
                    Some((index, left)) => {
                        self.state = State::Payload { index, left };
                        continue;
                    }
                    None => return Ok(None),
                },
                State::Payload { index, left } => match self.payload(index, left)? {
                    Some(m) => m,
                    None if matches!(self.state, State::Head) => continue,
                    None => return Ok(None),
                },
            };
            match message.kind {
                kind::SET_CHUNK_SIZE => self.set_chunk_size(&message.body)?,
                kind::ABORT => self.abort(&message.body)?,
                _ => return Ok(Some(message)),
            }
        }
    }

    fn error(&self, what: &'static str) -> SessionError {
        SessionError::Peer { protocol: PROTOCOL_ID, offset: self.input.offset(), place: "chunk", what }
    }

    fn limit(what: &'static str) -> SessionError {
        SessionError::Limit { protocol: PROTOCOL_ID, what }
    }

    fn set_chunk_size(&mut self, body: &[u8]) -> Result<(), SessionError> {
        let Some(n) = body.first_chunk::<4>() else { return Err(self.error("Set Chunk Size is too short")) };
        match u32::from_be_bytes(*n) {
            0 => Err(self.error("chunk size is 0")),
            n if n > 0x7FFF_FFFF => Err(self.error("chunk size is above 2^31-1")),
            n => {
                self.chunk_size = n;
                Ok(())
            }
        }
    }

    fn abort(&mut self, body: &[u8]) -> Result<(), SessionError> {
        let Some(n) = body.first_chunk::<4>() else { return Err(self.error("Abort is too short")) };
        let csid = u32::from_be_bytes(*n);
        if let Some(s) = self.streams.iter_mut().find(|s| s.csid == csid && s.in_message) {
            self.partial_total = self.partial_total.saturating_sub(s.partial.capacity());
            self.partial_messages = self.partial_messages.saturating_sub(1);
            s.partial = Vec::new();
            s.in_message = false;
        }
        Ok(())
    }

    fn find(&mut self, csid: u32) -> Option<usize> {
        if self.streams.get(self.last).is_some_and(|s| s.csid == csid) {
            return Some(self.last);
        }
        self.last = self.streams.iter().position(|s| s.csid == csid)?;
        Some(self.last)
    }

    /// Reads a chunk's head as a whole, or consumes nothing. Gives the chunk stream and the payload's length.
    fn head(&mut self) -> Result<Option<(usize, usize)>, SessionError> {
        let Some(b0) = self.input.byte(0) else { return Ok(None) };
        let fmt = b0 >> 6;
        let (csid, mut at) = match b0 & 0x3F {
            0 => match self.input.peek_at::<1>(1) {
                Some([b]) => (64 + u32::from(b), 2),
                None => return Ok(None),
            },
            1 => match self.input.peek_at::<2>(1) {
                Some([a, b]) => (64 + u32::from(a) + 256 * u32::from(b), 3),
                None => return Ok(None),
            },
            n => (u32::from(n), 1),
        };
        let known = self.find(csid);
        // A message head of 11, 7 or 3 bytes, read into the longest.
        let mut h = [0u8; 11];
        let n = match fmt {
            0 => 11,
            1 => 7,
            2 => 3,
            _ => 0,
        };
        if !self.input.peek_into(at, h.get_mut(..n).unwrap_or_default()) {
            return Ok(None);
        }
        at += n;
        let [t0, t1, t2, l0, l1, l2, kind, s0, s1, s2, s3] = h;
        let index = match (known, fmt) {
            (Some(i), _) => i,
            // librtmp starts chunk stream 2 with type 1.
            (None, 0 | 1) => {
                if self.streams.len() >= self.limits.chunk_streams {
                    return Err(Self::limit("chunk streams"));
                }
                self.streams.push(Stream { csid, ..Stream::default() });
                self.last = self.streams.len() - 1;
                self.last
            }
            _ => return Err(self.error("the first chunk of a chunk stream has no length")),
        };
        let field = u32::from_be_bytes([0, t0, t1, t2]);
        let extension = match (fmt, self.streams.get(index)) {
            (3, Some(s)) => self.repeated_extension(at, s),
            (3, None) => Extension::None,
            _ if field == EXTENDED => match self.input.peek_at::<4>(at) {
                Some(b) => Extension::Value(u32::from_be_bytes(b)),
                None => Extension::Wait,
            },
            _ => Extension::None,
        };
        let extension = match extension {
            Extension::Wait => return Ok(None),
            Extension::None => None,
            Extension::Value(v) => {
                at += 4;
                Some(v)
            }
        };
        let len = u32::from_be_bytes([0, l0, l1, l2]) as usize;
        let offset = self.input.offset();
        let Some(s) = self.streams.get_mut(index) else { return Ok(None) };
        if fmt == 3 && s.extended && self.dialect == ExtendedTimestamps::Unknown {
            if extension.is_some() {
                self.dialect = ExtendedTimestamps::Repeated;
            } else if s.in_message {
                self.dialect = ExtendedTimestamps::Omitted;
            }
        }
        if s.in_message {
            if fmt < 2 && (len != s.len || kind != s.kind) {
                return Err(SessionError::Peer {
                    protocol: PROTOCOL_ID,
                    offset,
                    place: "chunk",
                    what: "length or type changes within a message",
                });
            }
        } else {
            if fmt < 3 {
                s.field = extension.unwrap_or(field);
                s.extended = field == EXTENDED;
                s.absolute = fmt == 0;
            } else if let Some(v) = extension {
                s.field = v;
            }
            if fmt < 2 {
                s.len = len;
                s.kind = kind;
            }
            s.time = match fmt {
                0 => s.field,
                3 if s.absolute && s.field > PLAUSIBLE_DELTA => s.field,
                _ => s.time.wrapping_add(s.field),
            };
            if fmt == 0 {
                s.stream = u32::from_le_bytes([s0, s1, s2, s3]);
            }
            if s.len > self.limits.message {
                return Err(Self::limit("message size"));
            }
            s.in_message = true;
            self.partial_messages += 1;
            if self.partial_messages > self.limits.partial_messages {
                return Err(Self::limit("messages at the same time"));
            }
        }
        let left = (s.len - s.partial.len().min(s.len)).min(self.chunk_size as usize);
        self.input.skip(at);
        Ok(Some((index, left)))
    }

    /// Whether a type 3 chunk, whose head ends at `at`, repeats the extended timestamp.
    fn repeated_extension(&self, at: usize, s: &Stream) -> Extension {
        if !s.extended {
            return Extension::None;
        }
        match self.dialect {
            ExtendedTimestamps::Omitted => Extension::None,
            ExtendedTimestamps::Repeated => match self.input.peek_at::<4>(at) {
                Some(b) => Extension::Value(u32::from_be_bytes(b)),
                None => Extension::Wait,
            },
            // Compared byte by byte, so that nothing waits for bytes that the peer does not owe.
            ExtendedTimestamps::Unknown => {
                let want = s.field.to_be_bytes();
                let came = want.iter().enumerate().map(|(i, w)| self.input.byte(at + i).map(|b| b == *w));
                let mut wait = false;
                for same in came {
                    match same {
                        Some(true) => {}
                        Some(false) => return Extension::None,
                        None => wait = true,
                    }
                }
                if wait { Extension::Wait } else { Extension::Value(s.field) }
            }
        }
    }

    fn payload(&mut self, index: usize, left: usize) -> Result<Option<Message>, SessionError> {
        let Some(s) = self.streams.get_mut(index) else { return Ok(None) };
        let body = if s.partial.is_empty() && left == s.len && self.input.front().len() >= left {
            let whole = self.input.take(left).unwrap_or_default();
            // A small message, kept for the length of a stream's window, must not keep a whole read buffer with it.
            if left < SLICE_FROM { Bytes::copy_from_slice(&whole) } else { whole }
        } else {
            let mut left = left;
            while left > 0 {
                let n = self.input.front().len().min(left);
                if n == 0 {
                    self.state = State::Payload { index, left };
                    return Ok(None);
                }
                let room = s.partial.capacity();
                if room - s.partial.len() < n {
                    // Grows by doubling, but never past the message's length.
                    let want = (room * 2).max(s.partial.len() + n).min(s.len);
                    s.partial.reserve_exact(want - s.partial.len());
                    self.partial_total = self.partial_total.saturating_add(s.partial.capacity() - room);
                    if self.partial_total > self.limits.partial_total {
                        return Err(Self::limit("bytes of incomplete messages"));
                    }
                }
                s.partial.extend_from_slice(self.input.front().get(..n).unwrap_or_default());
                self.input.skip(n);
                left -= n;
            }
            self.state = State::Head;
            if s.partial.len() < s.len {
                return Ok(None);
            }
            self.partial_total = self.partial_total.saturating_sub(s.partial.capacity());
            Bytes::from(std::mem::take(&mut s.partial))
        };
        self.state = State::Head;
        s.in_message = false;
        self.partial_messages = self.partial_messages.saturating_sub(1);
        Ok(Some(Message { csid: s.csid, stream: s.stream, kind: s.kind, time: s.time, body }))
    }
}
