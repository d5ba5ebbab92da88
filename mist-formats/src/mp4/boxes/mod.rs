//! Reading boxes (ISO/IEC 14496-12 §4.2): folders are boxes that hold boxes, files are boxes or tight families.
//!
//! Tables stay as they lie in the file ([`Table`]): a count that was declared is worth nothing until its entries are
//! there.

use super::ID;
use super::codecs::FourCc;
use bytes::Bytes;
use mist_core::format::{ErrorKind, FormatError};

pub(super) mod moof;
pub(super) mod moov;
pub(super) mod names;
pub(super) mod sidx;

/// A box's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// Type.
    pub(super) kind: FourCc,
    /// Bytes of the head itself.
    pub(super) len: u64,
    /// Bytes of the whole box; `None` to the end of what it is in.
    pub(super) size: Option<u64>,
}

/// Bytes that tell what a box is, at most.
pub(super) const HEAD: usize = 16;

impl Head {
    /// A head at the front of `b`; `None` until all of it is there.
    ///
    /// # Errors
    /// A size that its own head exceeds.
    pub(super) fn read(b: &[u8]) -> Result<Option<Self>, ErrorKind> {
        let mut r = Reader(b);
        let (Some(size), Some(kind)) = (r.u32(), r.fourcc()) else { return Ok(None) };
        let (len, size) = match size {
            0 => (8, None),
            1 => match r.u64() {
                Some(large) => (16, Some(large)),
                None => return Ok(None),
            },
            n => (8, Some(n.into())),
        };
        if size.is_some_and(|s| s < len) {
            return Err(ErrorKind::Size("box size"));
        }
        Ok(Some(Self { kind, len, size }))
    }
}

/// A box in memory.
#[derive(Debug, Clone)]
pub(super) struct Part {
    /// Type.
    pub(super) kind: FourCc,
    /// What follows the head.
    pub(super) body: Bytes,
    /// Offset in the source of `body`.
    pub(super) at: u64,
    /// Bytes of the head.
    pub(super) head: u64,
}

impl Part {
    /// Something wrong with it.
    pub(super) fn error(&self, path: &'static str, kind: ErrorKind) -> FormatError {
        FormatError { format: ID, offset: self.at.saturating_sub(self.head), path, kind }
    }

    /// The boxes in it, the first `skip` bytes being something else. One that reaches beyond is cut.
    pub(super) fn parts(&self, skip: usize) -> Parts {
        let rest = if skip <= self.body.len() { self.body.slice(skip..) } else { Bytes::new() };
        Parts { rest, at: self.at + skip as u64 }
    }

    /// Like [`Self::parts`]; a box that reaches beyond its parent is a problem at `path`.
    pub(super) fn checked(&self, skip: usize, path: &'static str, log: &mut Log) -> Parts {
        let mut at = skip;
        while let Some(Ok(Some(h))) = self.body.get(at..).map(Head::read) {
            let left = self.body.len() - at;
            let size = h.size.unwrap_or(left as u64);
            if size > left as u64 {
                let offset = self.at + at as u64;
                log.add(FormatError {
                    format: ID,
                    offset,
                    path,
                    kind: ErrorKind::Size("box beyond its parent"),
                });
            }
            at += usize::try_from(size).unwrap_or(left).min(left);
        }
        if let Some(Err(kind)) = self.body.get(at..).map(Head::read) {
            log.add(FormatError { format: ID, offset: self.at + at as u64, path, kind });
        }
        self.parts(skip)
    }

    /// The first box of a type in it.
    pub(super) fn find(&self, skip: usize, kind: &FourCc) -> Option<Self> {
        self.parts(skip).find(|p| p.kind == *kind)
    }
}

/// Boxes one after the other.
#[derive(Debug)]
pub(super) struct Parts {
    rest: Bytes,
    at: u64,
}

impl Iterator for Parts {
    type Item = Part;

    fn next(&mut self) -> Option<Part> {
        let head = Head::read(&self.rest).ok()??;
        let left = self.rest.len();
        let size = head.size.map_or(left, |s| usize::try_from(s).unwrap_or(left).min(left));
        let mut body = self.rest.split_to(size);
        let skip = (head.len as usize).min(size);
        bytes::Buf::advance(&mut body, skip);
        let part = Part { kind: head.kind, body, at: self.at + skip as u64, head: head.len };
        self.at += size as u64;
        Some(part)
    }
}

/// What is wrong but can be lived with.
#[derive(Debug, Default)]
pub(super) struct Log(Vec<FormatError>);

impl Log {
    /// Takes note; of very many only the first.
    pub(super) fn add(&mut self, e: FormatError) {
        if self.0.len() < super::limits::PROBLEMS {
            self.0.push(e);
        }
    }

    /// All of it.
    pub(super) fn take(&mut self) -> Vec<FormatError> {
        std::mem::take(&mut self.0)
    }
}

/// Numbers from a slice; `None` where it is too short.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (a, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*a)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[b]| b)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u24(&mut self) -> Option<u32> {
        self.array().map(|[a, b, c]| u32::from_be_bytes([0, a, b, c]))
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// 64 bits in version 1, 32 bits in others.
    pub(super) fn sized(&mut self, version: u8) -> Option<u64> {
        if version == 1 { self.u64() } else { self.u32().map(u64::from) }
    }

    pub(super) fn fourcc(&mut self) -> Option<FourCc> {
        self.array()
    }

    /// Version and flags of a full box.
    pub(super) fn full(&mut self) -> Option<(u8, u32)> {
        Some((self.u8()?, self.u24()?))
    }

    pub(super) fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (a, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(a)
    }
}

/// A table of entries of `N` bytes as it lies in the file.
#[derive(Debug, Clone, Default)]
pub(super) struct Table<const N: usize> {
    data: Bytes,
    len: u32,
}

impl<const N: usize> Table<N> {
    /// The entries behind version and flags and a 32-bit count. Entries that were declared and aren't there are a
    /// problem at `path`.
    pub(super) fn read(part: &Part, path: &'static str, log: &mut Log) -> Self {
        let mut r = Reader(&part.body);
        let (Some(_), Some(count)) = (r.full(), r.u32()) else {
            log.add(part.error(path, ErrorKind::Truncated));
            return Self::default();
        };
        Self::of(part, path, 8, count, log)
    }

    /// `count` entries after `skip` bytes.
    pub(super) fn of(part: &Part, path: &'static str, skip: usize, count: u32, log: &mut Log) -> Self {
        let data = if skip <= part.body.len() { part.body.slice(skip..) } else { Bytes::new() };
        let there = u32::try_from(data.len() / N.max(1)).unwrap_or(u32::MAX);
        if there < count {
            log.add(part.error(path, ErrorKind::Size("more entries declared than there are")));
        }
        Self { data, len: count.min(there) }
    }

    /// Entries that are there.
    pub(super) const fn len(&self) -> u32 {
        self.len
    }

    /// An entry.
    pub(super) fn get(&self, i: u32) -> Option<[u8; N]> {
        if i >= self.len {
            return None;
        }
        let at = (i as usize).checked_mul(N)?;
        self.data.get(at..)?.first_chunk().copied()
    }

    /// All entries in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = [u8; N]> + '_ {
        (0..self.len).map_while(|i| self.get(i))
    }

    /// Bytes that it takes.
    pub(super) const fn bytes(&self) -> usize {
        self.len as usize * N
    }
}

/// The first and second 32-bit half of an entry.
pub(super) fn pair([a, b, c, d, e, f, g, h]: [u8; 8]) -> (u32, u32) {
    (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]))
}
