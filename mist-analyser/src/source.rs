//! Where the bytes come from: a file or standard input, read with blocking std I/O.

use bytes::Bytes;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

/// Bytes that are read at once.
const CHUNK: usize = 256 * 1024;
/// Bytes that a format is recognised by; fewer only where the source has fewer.
const HEAD: usize = 8 * 1024;

/// A source of bytes that may be able to seek.
pub(crate) struct Source {
    from: From,
    /// What was read for probing and not yet given out.
    head: Bytes,
    at: u64,
    buf: Vec<u8>,
}

enum From {
    /// An ordinary file.
    File(File),
    /// A pipe, a terminal, a device: only onwards.
    Stream(Box<dyn Read>),
}

impl Source {
    /// Opens a file, or standard input for `-`.
    ///
    /// # Errors
    /// The file can't be opened, or is a directory.
    pub(crate) fn open(name: &str) -> io::Result<Self> {
        let from = if name == "-" {
            From::Stream(Box::new(io::stdin().lock()))
        } else {
            let file = File::open(name)?;
            let kind = file.metadata()?.file_type();
            if kind.is_dir() {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            if kind.is_file() { From::File(file) } else { From::Stream(Box::new(file)) }
        };
        Ok(Self { from, head: Bytes::new(), at: 0, buf: vec![0; CHUNK] })
    }

    /// Whether bytes come as somebody else sends them, so that reading may wait.
    pub(crate) fn is_live(&self) -> bool {
        matches!(self.from, From::Stream(_))
    }

    /// The first bytes; [`Self::next`] gives them again.
    ///
    /// # Errors
    /// Of reading.
    pub(crate) fn head(&mut self) -> io::Result<Bytes> {
        let mut head = Vec::new();
        while head.len() < HEAD {
            match self.read()? {
                0 => break,
                n => head.extend_from_slice(&self.buf[..n]),
            }
        }
        self.head = head.into();
        Ok(self.head.clone())
    }

    /// The next bytes and the offset where they begin; `None` at the end.
    ///
    /// # Errors
    /// Of reading.
    pub(crate) fn next(&mut self) -> io::Result<Option<(u64, Bytes)>> {
        let mut data = std::mem::take(&mut self.head);
        if data.is_empty() {
            let n = self.read()?;
            // A copy of its exact size: what a demuxer keeps of a short read must not keep a long buffer.
            data = Bytes::copy_from_slice(&self.buf[..n]);
        }
        let at = self.at;
        self.at += data.len() as u64;
        Ok((!data.is_empty()).then_some((at, data)))
    }

    /// Goes on at `offset`. False if this source can't.
    ///
    /// # Errors
    /// Of seeking.
    pub(crate) fn seek(&mut self, offset: u64) -> io::Result<bool> {
        if offset == self.at {
            return Ok(true);
        }
        let From::File(file) = &mut self.from else { return Ok(false) };
        file.seek(SeekFrom::Start(offset))?;
        self.head = Bytes::new();
        self.at = offset;
        Ok(true)
    }

    fn read(&mut self) -> io::Result<usize> {
        loop {
            let n = match &mut self.from {
                From::File(f) => f.read(&mut self.buf),
                From::Stream(s) => s.read(&mut self.buf),
            };
            match n {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }
}
