//! Where the bytes come from: a file, standard input or an HTTP server, read with blocking std I/O.

use crate::http::{self, Answer};
use bytes::Bytes;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

/// Bytes that are read at once.
const CHUNK: usize = 256 * 1024;
/// Bytes that a format is recognised by; fewer only where the source has fewer.
const HEAD: usize = 8 * 1024;
/// Over HTTP, so many bytes are read and thrown away rather than asked for a new range.
const SKIP: u64 = 1 << 20;

/// A source of bytes that may be able to seek.
pub(crate) struct Source {
    from: From,
    /// What was read for probing and not yet given out.
    head: Bytes,
    at: u64,
    buf: Vec<u8>,
    total: Option<u64>,
}

enum From {
    /// An ordinary file.
    File(File),
    /// A pipe, a terminal, a device: only onwards.
    Stream(Box<dyn Read>),
    /// A resource of a server, and where in it the body is.
    Http { body: Box<Answer>, at: u64 },
}

impl Source {
    /// Opens a file, an `http://` URL, or standard input for `-`.
    ///
    /// # Errors
    /// It can't be opened, or is a directory.
    pub(crate) fn open(name: &str) -> io::Result<Self> {
        let mut total = None;
        let from = if name == "-" {
            From::Stream(Box::new(io::stdin().lock()))
        } else if name.contains("://") {
            let body = http::get(name, 0, None)?;
            total = body.total();
            From::Http { body: Box::new(body), at: 0 }
        } else {
            let file = File::open(name)?;
            let meta = file.metadata()?;
            let kind = meta.file_type();
            if kind.is_dir() {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            if kind.is_file() {
                total = Some(meta.len());
                From::File(file)
            } else {
                From::Stream(Box::new(file))
            }
        };
        Ok(Self { from, head: Bytes::new(), at: 0, buf: vec![0; CHUNK], total })
    }

    /// Whether bytes come as somebody else sends them, so that reading may wait.
    pub(crate) fn is_live(&self) -> bool {
        !matches!(self.from, From::File(_))
    }

    /// Bytes of all of it, where that is known.
    pub(crate) fn total(&self) -> Option<u64> {
        self.total
    }

    /// Where it comes from after redirects.
    pub(crate) fn url(&self) -> Option<&str> {
        match &self.from {
            From::Http { body, .. } => Some(&body.url),
            _ => None,
        }
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

    /// All that is left, if it is no more than `max` bytes.
    ///
    /// # Errors
    /// Of reading, and when there is more.
    pub(crate) fn all(&mut self, max: usize) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        while let Some((_, data)) = self.next()? {
            if all.len() + data.len() > max {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "too long"));
            }
            all.extend_from_slice(&data);
        }
        Ok(all)
    }

    /// Goes on at `offset`. False if this source can't.
    ///
    /// # Errors
    /// Of seeking.
    pub(crate) fn seek(&mut self, offset: u64) -> io::Result<bool> {
        if offset == self.at {
            return Ok(true);
        }
        let ahead = offset.checked_sub(self.at);
        if let Some(skip) = ahead.and_then(|a| usize::try_from(a).ok()).filter(|a| *a < self.head.len()) {
            self.head = self.head.slice(skip..);
            self.at = offset;
            return Ok(true);
        }
        match &mut self.from {
            From::File(file) => {
                file.seek(SeekFrom::Start(offset))?;
            }
            From::Stream(_) => {
                let Some(ahead) = ahead else { return Ok(false) };
                // Onwards is possible: what lies between is read and thrown away.
                let mut left = ahead - self.head.len() as u64;
                self.head = Bytes::new();
                while left > 0 {
                    let n = self.read()? as u64;
                    if n == 0 {
                        break;
                    }
                    if n > left {
                        let rest = self.buf.get((left as usize)..(n as usize)).unwrap_or_default();
                        self.head = Bytes::copy_from_slice(rest);
                        self.at = offset;
                        return Ok(true);
                    }
                    left -= n;
                }
            }
            From::Http { body, at } => {
                let near = offset.checked_sub(*at).filter(|n| *n < SKIP || !body.has_ranges());
                match near {
                    Some(n) => {
                        let passed = io::copy(&mut body.as_mut().take(n), &mut io::sink())?;
                        *at += passed;
                    }
                    None if body.has_ranges() => {
                        if self.total.is_some_and(|t| offset >= t) {
                            **body = http::get(&body.url, self.total.unwrap_or(1).saturating_sub(1), None)?;
                            io::copy(body.as_mut(), &mut io::sink())?;
                        } else {
                            **body = http::get(&body.url, offset, None)?;
                        }
                        *at = offset;
                    }
                    None => return Ok(false),
                }
            }
        }
        self.head = Bytes::new();
        self.at = offset;
        Ok(true)
    }

    fn read(&mut self) -> io::Result<usize> {
        loop {
            let n = match &mut self.from {
                From::File(f) => f.read(&mut self.buf),
                From::Stream(s) => s.read(&mut self.buf),
                From::Http { body, at } => body.read(&mut self.buf).inspect(|n| *at += *n as u64),
            };
            match n {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }
}
