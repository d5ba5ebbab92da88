//! Pages (RFC 3533 §6): found, checked and written.

use super::{crc, limits};
use bytes::Bytes;
use mist_core::gather::Gather;
use mist_core::queue::Queue;

/// What every page begins with.
pub(super) const CAPTURE: &[u8; 4] = b"OggS";
/// Bytes of a page's head before its lacing values.
pub(super) const HEAD: usize = 27;
/// Lacing values of a page.
const SEGMENTS: usize = 255;

/// Flags of a page's head.
pub(super) mod flag {
    /// The first packet began on the page before.
    pub(in super::super) const CONTINUED: u8 = 1;
    /// First page of a logical stream.
    pub(in super::super) const BOS: u8 = 2;
    /// Last page of a logical stream.
    pub(in super::super) const EOS: u8 = 4;
}

/// A page whose checksum is right.
#[derive(Debug, Clone)]
pub(super) struct Page {
    /// Where it begins in the source.
    pub(super) offset: u64,
    pub(super) flags: u8,
    /// Granule position; −1 where no packet ends.
    pub(super) granule: i64,
    pub(super) serial: u32,
    pub(super) sequence: u32,
    /// The page as it lies in the source.
    data: Bytes,
    segments: usize,
}

/// A packet or a piece of one on a page.
pub(super) struct Piece {
    pub(super) data: Bytes,
    /// Where it begins in the source.
    pub(super) offset: u64,
    /// The packet ends here.
    pub(super) last: bool,
}

impl Page {
    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Bytes of the whole page.
    pub(super) fn len(&self) -> usize {
        self.data.len()
    }

    fn lacing(&self) -> &[u8] {
        self.data.get(HEAD..HEAD + self.segments).unwrap_or_default()
    }

    /// How many packets end here.
    pub(super) fn ends(&self) -> usize {
        self.lacing().iter().filter(|s| **s < 255).count()
    }

    /// What lies on it, in order.
    pub(super) fn pieces(&self) -> impl Iterator<Item = Piece> + '_ {
        let mut at = HEAD + self.segments;
        let mut lacing = self.lacing().iter();
        std::iter::from_fn(move || {
            let (mut len, mut last, mut any) = (0, false, false);
            for &s in lacing.by_ref() {
                any = true;
                len += usize::from(s);
                if s < 255 {
                    last = true;
                    break;
                }
            }
            if !any {
                return None;
            }
            let start = at;
            at = (at + len).min(self.data.len());
            Some(Piece { data: self.data.slice(start.min(at)..at), offset: self.offset + start as u64, last })
        })
    }
}

/// What [`Reader::next`] finds.
#[derive(Debug)]
pub(super) enum Found {
    Page(Page),
    /// Bytes that are no page, from this offset on; behind them a page follows.
    Junk {
        from: u64,
        checksum: bool,
    },
    /// More bytes are needed.
    Need,
    /// The end of the source.
    End(Tail),
}

/// How the source ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tail {
    /// Behind a page.
    Clean,
    /// Inside a page that begins at this offset.
    Cut(u64),
    /// With bytes that are no page, from this offset on.
    Junk(u64),
    /// There was no page within [`limits::SEARCH`].
    Never,
}

/// Why order was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Lost {
    from: u64,
    checksum: bool,
    cut: bool,
}

/// Cuts bytes into pages.
#[derive(Debug, Default)]
pub(super) struct Reader {
    queue: Queue,
    lost: Option<Lost>,
    found: Option<Page>,
    /// Whatever lies before the next page is of no interest: after a jump.
    quiet: bool,
    /// There was a page.
    any: bool,
    ended: bool,
}

enum Try {
    Page(Page),
    Wait,
    None,
    BadChecksum,
}

impl Reader {
    /// Offset behind the bytes that were given.
    pub(super) fn end_offset(&self) -> u64 {
        self.queue.offset() + self.queue.len() as u64
    }

    /// Offset of the next byte that is looked at.
    pub(super) fn offset(&self) -> u64 {
        self.queue.offset()
    }

    pub(super) fn push(&mut self, data: Bytes) {
        self.queue.push(data);
    }

    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    /// Goes on somewhere else, maybe in the middle of a page.
    pub(super) fn jump(&mut self, offset: u64) {
        *self = Self { quiet: true, any: true, ..Self::default() };
        self.queue.reset(offset);
    }

    /// The page at the front, if one is there.
    fn try_page(&mut self) -> Try {
        let Some(head) = self.queue.peek::<HEAD>() else { return Try::Wait };
        let [b'O', b'g', b'g', b'S', 0, flags, g0, g1, g2, g3, g4, g5, g6, g7, rest @ ..] = head else {
            return Try::None;
        };
        let [s0, s1, s2, s3, n0, n1, n2, n3, c0, c1, c2, c3, segments] = rest;
        let segments = usize::from(segments);
        let mut lacing = [0u8; SEGMENTS];
        let Some(lacing) = lacing.get_mut(..segments) else { return Try::None };
        if !self.queue.peek_into(HEAD, lacing) {
            return Try::Wait;
        }
        let whole = HEAD + segments + lacing.iter().map(|s| usize::from(*s)).sum::<usize>();
        let offset = self.queue.offset();
        let Some(data) = self.queue.take(whole) else { return Try::Wait };
        let (before, after) = data.split_at_checked(HEAD - 1).unwrap_or((&data, &[]));
        let mut crc = crc::update(0, before.get(..HEAD - 5).unwrap_or_default());
        crc = crc::update(crc, &[0; 4]);
        // A fuzzer would hardly get beyond the checksum.
        if crc::update(crc, after) != u32::from_le_bytes([c0, c1, c2, c3]) && !cfg!(fuzzing) {
            self.queue.put_back(data);
            return Try::BadChecksum;
        }
        Try::Page(Page {
            offset,
            flags,
            granule: i64::from_le_bytes([g0, g1, g2, g3, g4, g5, g6, g7]),
            serial: u32::from_le_bytes([s0, s1, s2, s3]),
            sequence: u32::from_le_bytes([n0, n1, n2, n3]),
            data,
            segments,
        })
    }

    /// The next thing.
    pub(super) fn next(&mut self) -> Found {
        if let Some(p) = self.found.take() {
            return Found::Page(p);
        }
        loop {
            if !self.any && self.queue.offset() > limits::SEARCH {
                return Found::End(Tail::Never);
            }
            let checksum = match self.try_page() {
                Try::Page(p) => {
                    self.any = true;
                    let quiet = std::mem::replace(&mut self.quiet, false);
                    if let Some(lost) = self.lost.take().filter(|_| !quiet) {
                        self.found = Some(p);
                        return Found::Junk { from: lost.from, checksum: lost.checksum };
                    }
                    return Found::Page(p);
                }
                Try::Wait if !self.ended => return Found::Need,
                Try::Wait if self.queue.is_empty() => {
                    return Found::End(match self.lost {
                        _ if !self.any => Tail::Never,
                        None => Tail::Clean,
                        Some(_) if self.quiet => Tail::Clean,
                        Some(l) if l.cut => Tail::Cut(l.from),
                        Some(l) => Tail::Junk(l.from),
                    });
                }
                // A cut page, or a wrong length that reaches beyond the pages behind it.
                Try::Wait => {
                    let cut = self.queue.peek::<4>().is_some_and(|c| &c == CAPTURE);
                    let from = self.queue.offset();
                    self.lost.get_or_insert(Lost { from, checksum: false, cut });
                    self.search();
                    continue;
                }
                Try::None => false,
                Try::BadChecksum => true,
            };
            let from = self.queue.offset();
            self.lost.get_or_insert(Lost { from, checksum, cut: false });
            self.search();
        }
    }

    /// Goes to the next byte that a page can begin with.
    fn search(&mut self) {
        self.queue.skip(1);
        while !self.queue.is_empty() {
            let front = self.queue.front();
            let len = front.len();
            let Some(at) = memchr::memchr(b'O', front) else {
                self.queue.skip(len);
                continue;
            };
            self.queue.skip(at);
            let capture = self.queue.peek::<4>();
            // The last three bytes are looked at again when more have come.
            if capture.is_none_or(|c| &c == CAPTURE) {
                return;
            }
            self.queue.skip(1);
        }
    }
}

/// How sure it is that a file begins with a page of Ogg.
pub(super) fn probe(head: &[u8]) -> u8 {
    match head {
        [b'O', b'g', b'g', b'S', 0, flags, ..] if flags & !7 == 0 => {
            if flags & flag::BOS != 0 {
                255
            } else {
                200
            }
        }
        // Tags and rests of other pages before the first one.
        _ => {
            let found = memchr::memmem::find_iter(head, b"OggS\0")
                .any(|at| head.get(at + 5).is_some_and(|f| f & !7 == 0 && f & flag::BOS != 0));
            if found { 40 } else { 0 }
        }
    }
}

/// A page that is being put together. It holds 255 packets at most, and never media for longer
/// than the muxer's latency.
#[derive(Debug, Default)]
pub(super) struct Builder {
    lacing: Vec<u8>,
    body: Vec<Bytes>,
    len: usize,
    continued: bool,
    granule: Option<i64>,
}

impl Builder {
    pub(super) fn is_empty(&self) -> bool {
        self.lacing.is_empty()
    }

    /// Bytes of payload.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Whether a packet of this length goes on the page as a whole.
    pub(super) fn fits(&self, len: usize) -> bool {
        self.lacing.len() + len / 255 < SEGMENTS
    }

    /// Puts as much of a packet on the page as goes; gives what is left of it, which is `None` when all of it is there.
    /// `granule` is the position of its end.
    pub(super) fn add(&mut self, mut data: Bytes, granule: i64) -> Option<Bytes> {
        let room = SEGMENTS.saturating_sub(self.lacing.len());
        let full = (data.len() / 255).min(room);
        self.lacing.extend(std::iter::repeat_n(255, full));
        if full == room {
            let rest = data.split_off(full * 255);
            self.len += data.len();
            self.body.push(data);
            return Some(rest);
        }
        self.lacing.push((data.len() % 255) as u8);
        self.len += data.len();
        self.body.push(data);
        self.granule = Some(granule);
        None
    }

    /// Writes it and begins the next.
    pub(super) fn write(&mut self, mut flags: u8, serial: u32, sequence: u32, out: &mut Gather) {
        if std::mem::take(&mut self.continued) {
            flags |= flag::CONTINUED;
        }
        let mut head = [0u8; HEAD + SEGMENTS];
        let segments = self.lacing.len().min(SEGMENTS);
        let fields: [&[u8]; 7] = [
            CAPTURE,
            &[0, flags],
            &self.granule.take().unwrap_or(-1).to_le_bytes(),
            &serial.to_le_bytes(),
            &sequence.to_le_bytes(),
            &[0; 4],
            &[segments as u8],
        ];
        for (to, from) in head.iter_mut().zip(fields.concat().iter().chain(&self.lacing)) {
            *to = *from;
        }
        let used = HEAD + segments;
        let mut crc = crc::update(0, head.get(..used).unwrap_or_default());
        for b in &self.body {
            crc = crc::update(crc, b);
        }
        if let Some(field) = head.get_mut(22..26) {
            field.copy_from_slice(&crc.to_le_bytes());
        }
        out.put(head.get(..used).unwrap_or_default());
        self.body.drain(..).for_each(|b| out.push(b));
        self.continued = self.lacing.last() == Some(&255);
        self.lacing.clear();
        self.len = 0;
    }
}
