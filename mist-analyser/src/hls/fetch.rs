//! Resources of a playlist, from disk or from a server.

use crate::http;
use bytes::Bytes;
use mist_protocols::hls::parse::{ByteRange, limits};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::ControlFlow;

/// Bytes that are read at once.
const CHUNK: usize = 256 << 10;

/// Bytes of a resource, in pieces. `false` from `each` ends it.
pub(super) fn fetch(
    url: &str,
    range: Option<ByteRange>,
    each: &mut dyn FnMut(Bytes) -> io::Result<ControlFlow<()>>,
) -> io::Result<()> {
    let mut body: Box<dyn Read> = if url.contains("://") {
        let from = range.map_or(0, |r| r.offset);
        let body = http::get(url, from, range.map(|r| r.len))?;
        Box::new(body)
    } else {
        let mut f = File::open(url)?;
        if let Some(r) = range {
            f.seek(SeekFrom::Start(r.offset))?;
        }
        Box::new(f)
    };
    let mut left = range.map_or(u64::MAX, |r| r.len);
    let mut buf = vec![0; CHUNK];
    while left > 0 {
        let max = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        let n = match body.read(&mut buf[..max]) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        if n == 0 {
            if range.is_some() {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "ends before its byte range does"));
            }
            break;
        }
        left -= n as u64;
        if each(Bytes::copy_from_slice(&buf[..n]))?.is_break() {
            break;
        }
    }
    Ok(())
}

pub(super) fn text(url: &str) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    fetch(url, None, &mut |b| {
        if all.len() + b.len() > limits::MAX_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "too long for a playlist"));
        }
        all.extend_from_slice(&b);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(all)
}
