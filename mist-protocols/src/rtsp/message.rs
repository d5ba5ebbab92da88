//! Requests, responses (RFC 2326 §4 to §7), and packets between them (§10.12), out of a stream of bytes.
//!
//! Lines may end in LF alone, and empty lines and NULs may stand between messages. Lines of a head without a colon are passed
//! over. A head is searched once, however its bytes come.

use super::limits;
use bytes::Bytes;
use mist_core::queue::Queue;

/// Bytes at the start of a message that can only be text.
const TEXT: usize = 16;

/// Why a stream can't be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("byte {offset}: {what}")]
pub struct RtspError {
    /// Byte of the stream.
    pub offset: u64,
    /// The broken rule.
    pub what: &'static str,
}

/// What a stream holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A request or response.
    Message(Message),
    /// A packet of a channel.
    Packet {
        /// Where it begins in the stream, with its head of 4 bytes.
        offset: u64,
        /// Its channel.
        channel: u8,
        /// What is in it.
        data: Bytes,
    },
}

/// The first line of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// A request.
    Request {
        /// What is asked.
        method: String,
        /// Of what.
        url: String,
    },
    /// A response.
    Response {
        /// 200 and so on.
        status: u16,
        /// In words.
        reason: String,
    },
}

/// A request or response.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// Where it begins in the stream.
    pub offset: u64,
    /// Bytes of its head with the empty line.
    pub head_len: usize,
    /// Its first line.
    pub start: Start,
    /// Names and values in order.
    pub headers: Vec<(String, String)>,
    /// Where each of the headers begins in the head, and its bytes with the end of the line.
    pub places: Vec<(usize, usize)>,
    /// What is behind the head.
    pub body: Bytes,
}

impl Message {
    /// The value of a header, by its name in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|h| h.0.eq_ignore_ascii_case(name)).map(|h| h.1.as_str())
    }
}

/// Reads a stream of messages and packets.
#[derive(Debug, Default)]
pub struct Reader {
    queue: Queue,
    /// A head whose end is still to come, and where it begins.
    head: Vec<u8>,
    head_at: u64,
    /// Bytes of its last line so far.
    line: usize,
    /// A head whose body is coming.
    open: Option<(Message, usize)>,
    failed: Option<RtspError>,
}

impl Reader {
    /// At the start of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// More bytes.
    pub fn push(&mut self, data: Bytes) {
        self.queue.push(data);
    }

    /// Bytes that wait for more.
    pub fn held(&self) -> usize {
        self.queue.len() + self.head.len() + self.open.as_ref().map_or(0, |o| o.0.head_len)
    }

    /// Where in the stream it stands.
    pub fn offset(&self) -> u64 {
        match &self.open {
            Some((message, _)) => message.offset,
            None if self.head.is_empty() => self.queue.offset(),
            None => self.head_at,
        }
    }

    /// The next item; `None` until there are more bytes.
    ///
    /// # Errors
    /// What comes is none, or exceeds [`limits`]. The same error comes again from then on.
    pub fn poll(&mut self) -> Result<Option<Item>, RtspError> {
        match self.failed {
            Some(e) => Err(e),
            None => self.item().map_err(|what| {
                let e = RtspError { offset: self.offset(), what };
                self.failed = Some(e);
                e
            }),
        }
    }

    fn item(&mut self) -> Result<Option<Item>, &'static str> {
        if let Some((mut message, len)) = self.open.take() {
            let Some(body) = self.queue.take(len) else {
                self.open = Some((message, len));
                return Ok(None);
            };
            message.body = body;
            return Ok(Some(Item::Message(message)));
        }
        if self.head.is_empty() {
            // Between messages.
            while self.queue.byte(0).is_some_and(|b| matches!(b, b'\r' | b'\n' | 0)) {
                self.queue.skip(1);
            }
            match self.queue.peek::<4>() {
                Some([b'$', channel, h, l]) => {
                    let len = usize::from(u16::from_be_bytes([h, l]));
                    if self.queue.len() < len + 4 {
                        return Ok(None);
                    }
                    let offset = self.queue.offset();
                    self.queue.skip(4);
                    let data = self.queue.take(len).unwrap_or_default();
                    return Ok(Some(Item::Packet { offset, channel, data }));
                }
                None if self.queue.byte(0) == Some(b'$') => return Ok(None),
                _ => {}
            }
            self.head_at = self.queue.offset();
        }
        if !self.take_head()? {
            return Ok(None);
        }
        let (message, len) = head_of(&self.head, self.head_at)?;
        self.head.clear();
        self.open = Some((message, len));
        self.item()
    }

    /// Moves bytes to the head up to its empty line. Returns whether that is there.
    fn take_head(&mut self) -> Result<bool, &'static str> {
        while !self.queue.is_empty() {
            let mut n = 0;
            let mut whole = false;
            for b in self.queue.front() {
                n += 1;
                match b {
                    b'\n' if self.line == 0 => {
                        whole = true;
                        break;
                    }
                    b'\n' => self.line = 0,
                    b'\r' => {}
                    // A message begins with text, so that what is none is found at once.
                    0..=8 | 14..=31 | 127.. if self.head.len() + n <= TEXT => {
                        return Err("no RTSP message here");
                    }
                    _ => self.line += 1,
                }
                if self.head.len() + n >= limits::HEAD {
                    return Err("head too long");
                }
            }
            self.head.extend_from_slice(self.queue.front().get(..n).unwrap_or_default());
            self.queue.skip(n);
            if whole {
                self.line = 0;
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// A head, and how long its body is.
fn head_of(head: &[u8], offset: u64) -> Result<(Message, usize), &'static str> {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.split('\n').map(|l| l.trim_end_matches('\r'));
    let start = start(lines.next().unwrap_or_default()).ok_or("no RTSP message here")?;
    let mut headers: Vec<(String, String)> = Vec::new();
    let mut places: Vec<(usize, usize)> = Vec::new();
    // The text may have got longer than the bytes, where they aren't UTF-8.
    let mut raw = head.split_inclusive(|b| *b == b'\n').map(<[u8]>::len);
    let mut next = raw.next().unwrap_or(0);
    for line in lines {
        let (at, len) = (next, raw.next().unwrap_or(0));
        next += len;
        if line.starts_with([' ', '\t']) {
            // The header before goes on.
            if let Some((_, value)) = headers.last_mut() {
                value.push(' ');
                value.push_str(line.trim());
                if let Some(place) = places.last_mut() {
                    place.1 = next - place.0;
                }
            }
        } else if let Some((name, value)) = line.split_once(':') {
            if headers.len() == limits::HEADERS {
                return Err("too many headers");
            }
            headers.push((name.trim().to_owned(), value.trim().to_owned()));
            places.push((at, len));
        }
    }
    let message = Message { offset, head_len: head.len(), start, headers, places, body: Bytes::new() };
    let len = match message.header("Content-Length") {
        None => 0,
        Some(n) => n.parse().ok().filter(|n| *n <= limits::BODY).ok_or("Content-Length")?,
    };
    Ok((message, len))
}

fn start(line: &str) -> Option<Start> {
    if let Some(rest) = line.strip_prefix("RTSP/") {
        let (_, rest) = rest.split_once(' ')?;
        let (status, reason) = rest.trim_start().split_once(' ').unwrap_or((rest.trim(), ""));
        return Some(Start::Response { status: status.parse().ok()?, reason: reason.trim().to_owned() });
    }
    let (method, rest) = line.split_once(' ')?;
    let (url, version) = rest.trim().rsplit_once(' ')?;
    let token = !method.is_empty() && method.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_');
    (token && version.starts_with("RTSP/"))
        .then(|| Start::Request { method: method.to_owned(), url: url.trim().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DIALOGUE: &[u8] = b"OPTIONS rtsp://h/a b RTSP/1.0\r\nCSeq: 1\r\nno colon\r\n\r\n\r\n$\x00\x00\x03abc\
        RTSP/1.0 200 OK\nCseq:2\nContent-length: 5\nX: a\n  b\n\nhello$\x01\x00\x00\0\0RTSP/1.0 404\r\n\r\n$\x02\x00\x01$";

    fn items(data: &[u8], step: usize) -> (Vec<Item>, Result<usize, RtspError>) {
        let mut r = Reader::new();
        let mut out = Vec::new();
        for piece in data.chunks(step) {
            r.push(Bytes::copy_from_slice(piece));
            loop {
                match r.poll() {
                    Ok(Some(i)) => out.push(i),
                    Ok(None) => break,
                    Err(e) => return (out, Err(e)),
                }
            }
        }
        (out, Ok(r.held()))
    }

    #[test]
    fn every_split_gives_the_same() {
        let whole = items(DIALOGUE, DIALOGUE.len());
        assert_eq!(whole.1, Ok(0));
        let [
            Item::Message(ask),
            Item::Packet { data, channel: 0, .. },
            Item::Message(answer),
            Item::Packet { channel: 1, .. },
            Item::Message(refusal),
            Item::Packet { channel: 2, offset, .. },
        ] = &whole.0[..]
        else {
            panic!("{whole:?}")
        };
        assert_eq!(
            ask.start,
            Start::Request { method: "OPTIONS".to_owned(), url: "rtsp://h/a b".to_owned() }
        );
        assert_eq!(
            (&data[..], &answer.body[..], answer.header("X")),
            (&b"abc"[..], &b"hello"[..], Some("a b"))
        );
        assert_eq!((answer.header("cseq"), *offset), (Some("2"), DIALOGUE.len() as u64 - 5));
        let place = |m: &Message, n: usize| {
            let (at, len) = m.places[n];
            let at = m.offset as usize + at;
            DIALOGUE[at..at + len].to_vec()
        };
        assert_eq!(place(ask, 0), b"CSeq: 1\r\n");
        assert_eq!(place(answer, 1), b"Content-length: 5\n");
        assert_eq!(place(answer, 2), b"X: a\n  b\n");
        assert_eq!(answer.places.len(), answer.headers.len());
        assert_eq!(refusal.start, Start::Response { status: 404, reason: String::new() });
        for step in 1..DIALOGUE.len() {
            assert_eq!(items(DIALOGUE, step), whole, "{step}");
        }
        for n in 0..DIALOGUE.len() {
            let (some, held) = items(&DIALOGUE[..n], 7);
            assert!(held.is_ok() && whole.0.starts_with(&some), "{n}");
        }
    }

    #[test]
    fn lies_and_floods_are_refused() {
        let head = |h: &str| format!("A rtsp://h RTSP/1.0\r\n{h}\r\n\r\n").into_bytes();
        for (data, what) in [
            (b"\x03\x00\x00\x00".to_vec(), "no RTSP message here"),
            (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "no RTSP message here"),
            (b"RTSP/1.0 x\r\n\r\n".to_vec(), "no RTSP message here"),
            (head("Content-Length: 9223372036854775808"), "Content-Length"),
            (head("Content-Length: -1"), "Content-Length"),
            (head("Content-Length: 1048577"), "Content-Length"),
            (head(&"a: b\r\n".repeat(300)), "too many headers"),
            (head(&"x".repeat(1 << 20)), "head too long"),
        ] {
            for step in [1, 100, data.len()] {
                let (some, e) = items(&data, step);
                assert_eq!((some.len(), e.map_err(|e| e.what)), (0, Err(what)));
            }
        }
        let mut r = Reader::new();
        r.push(Bytes::from_static(b"x y\r\n\r\n"));
        assert_eq!(r.poll(), r.poll());
    }

    proptest! {
        #[test]
        fn damage_is_the_same_in_every_split(at in any::<prop::sample::Index>(), with: u8, step in 1usize..40) {
            let mut data = DIALOGUE.to_vec();
            data[at.index(DIALOGUE.len())] = with;
            let whole = items(&data, data.len());
            prop_assert_eq!(items(&data, step), whole);
        }
    }
}
