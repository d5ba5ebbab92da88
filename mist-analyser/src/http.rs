//! A small HTTP/1.1 client over `std::net`: GET, ranges, redirects, chunked bodies, time-outs. No TLS.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// Bounds on what a server can make of us.
mod limits {
    use super::Duration;

    /// Redirects that are followed.
    pub(super) const REDIRECTS: usize = 5;
    /// Bytes of an answer's head, and of a chunk's line.
    pub(super) const HEAD: u64 = 64 << 10;
    pub(super) const CHUNK_LINE: u64 = 4 << 10;
    /// Until a connection is there.
    pub(super) const CONNECT: Duration = Duration::from_secs(10);
    /// Without a byte.
    pub(super) const SILENCE: Duration = Duration::from_secs(30);
}

fn bad(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

/// Parts of a URL that matter here.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Url {
    host: String,
    port: u16,
    path: String,
    /// `user:password`.
    user: Option<String>,
}

impl Url {
    fn parse(url: &str) -> io::Result<Self> {
        let rest = match url.split_once("://") {
            Some((s, rest)) if s.eq_ignore_ascii_case("http") => rest,
            Some((s, _)) if s.eq_ignore_ascii_case("https") => {
                return Err(bad("https isn't spoken here; pipe it: curl -N URL | mist-analyser -"));
            }
            _ => return Err(bad("only http:// URLs are read")),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let path = path.split('#').next().unwrap_or("");
        let (user, host) = match authority.rsplit_once('@') {
            Some((u, h)) => (Some(u.to_owned()), h),
            None => (None, authority),
        };
        let (host, port) = match host.strip_prefix('[').and_then(|h| h.split_once(']')) {
            Some((v6, port)) => (v6, port.strip_prefix(':')),
            None => host.split_once(':').map_or((host, None), |(h, p)| (h, Some(p))),
        };
        let port = port.filter(|p| !p.is_empty()).map_or(Ok(80), str::parse).map_err(|_| bad("port"))?;
        if host.is_empty() || host.bytes().any(|b| b <= b' ') {
            return Err(bad("no host in the URL"));
        }
        let mut target = String::new();
        if !path.starts_with('/') {
            target.push('/');
        }
        for b in path.bytes() {
            // What may not be in a request line is escaped: spaces of file names, other alphabets.
            if b <= b' ' || b >= 0x7F || b == b'"' {
                target.push_str(&format!("%{b:02X}"));
            } else {
                target.push(char::from(b));
            }
        }
        Ok(Self { host: host.to_owned(), port, path: target, user })
    }

    fn connect(&self) -> io::Result<TcpStream> {
        let mut last = bad("the host has no address");
        for a in (self.host.as_str(), self.port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&a, limits::CONNECT) {
                Ok(s) => {
                    s.set_read_timeout(Some(limits::SILENCE))?;
                    s.set_write_timeout(Some(limits::SILENCE))?;
                    return Ok(s);
                }
                Err(e) => last = e,
            }
        }
        Err(last)
    }
}

fn base64(data: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for c in data.chunks(3) {
        let n = c.iter().fold(0u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - c.len()));
        for i in 0..4 {
            let digit = DIGITS[(n >> (18 - 6 * i)) as usize & 63];
            out.push(if i <= c.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

/// How a body ends.
#[derive(Debug)]
enum Framing {
    /// After so many bytes.
    Length(u64),
    /// So many bytes are left of the chunk; none: at a chunk's line.
    Chunks(Option<u64>),
    /// With the connection.
    Close,
    Done,
}

/// An answer, whose body is read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The URL that it came from in the end.
    pub(crate) url: String,
    headers: Vec<(String, String)>,
    from: BufReader<TcpStream>,
    framing: Framing,
}

impl Answer {
    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|h| h.0.eq_ignore_ascii_case(name)).map(|h| h.1.as_str())
    }

    /// Bytes of the whole resource, where the server says so.
    pub(crate) fn total(&self) -> Option<u64> {
        if let Some(r) = self.header("content-range") {
            return r.rsplit_once('/')?.1.trim().parse().ok();
        }
        match self.framing {
            Framing::Length(n) if self.status == 200 => Some(n),
            _ => None,
        }
    }

    /// The server gives parts.
    pub(crate) fn has_ranges(&self) -> bool {
        self.status == 206 || self.header("accept-ranges").is_some_and(|v| v.eq_ignore_ascii_case("bytes"))
    }

    fn chunk_line(&mut self) -> io::Result<String> {
        line(&mut (&mut self.from).take(limits::CHUNK_LINE))
    }
}

impl Read for Answer {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.framing {
                Framing::Done => return Ok(0),
                Framing::Close => return self.from.read(buf),
                Framing::Length(0) | Framing::Chunks(Some(0)) => {
                    if matches!(self.framing, Framing::Length(_)) {
                        self.framing = Framing::Done;
                    } else {
                        self.chunk_line()?;
                        self.framing = Framing::Chunks(None);
                    }
                }
                Framing::Length(left) | Framing::Chunks(Some(left)) => {
                    let max = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
                    let n = self.from.read(&mut buf[..max])?;
                    if n == 0 && max > 0 {
                        self.framing = Framing::Done;
                        return Err(io::Error::new(
                            io::ErrorKind::UnexpectedEof,
                            "the server hung up in mid-body",
                        ));
                    }
                    let left = left - n as u64;
                    self.framing = match self.framing {
                        Framing::Length(_) => Framing::Length(left),
                        _ => Framing::Chunks(Some(left)),
                    };
                    return Ok(n);
                }
                Framing::Chunks(None) => {
                    let text = self.chunk_line()?;
                    let digits = text.split(';').next().unwrap_or("").trim();
                    if digits.is_empty()
                        || digits.len() > 15
                        || !digits.bytes().all(|b| b.is_ascii_hexdigit())
                    {
                        return Err(bad("chunk size"));
                    }
                    let len = u64::from_str_radix(digits, 16).map_err(|_| bad("chunk size"))?;
                    self.framing = if len == 0 { Framing::Done } else { Framing::Chunks(Some(len)) };
                }
            }
        }
    }
}

/// A line without its end, of a bounded reader.
fn line(from: &mut impl BufRead) -> io::Result<String> {
    let mut bytes = Vec::new();
    from.read_until(b'\n', &mut bytes)?;
    if bytes.pop() != Some(b'\n') {
        return Err(bad("a line of HTTP that doesn't end"));
    }
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    String::from_utf8(bytes).map_err(|_| bad("a line of HTTP that is no text"))
}

/// Asks for a resource, from a byte on where `from` says so, up to `len` bytes of it.
///
/// # Errors
/// Of the connection, of HTTP, or a status that is no success.
pub(crate) fn get(url: &str, from: u64, len: Option<u64>) -> io::Result<Answer> {
    let mut url = url.to_owned();
    for _ in 0..=limits::REDIRECTS {
        let answer = once(&url, from, len)?;
        match answer.status {
            200 | 206 => {
                if answer.status == 200 && from > 0 {
                    return Err(bad("the server doesn't give parts of a resource"));
                }
                return Ok(answer);
            }
            301 | 302 | 303 | 307 | 308 => {
                let Some(to) = answer.header("location") else { return Err(bad("a redirect to nowhere")) };
                url = mist_protocols::hls::parse::resolve(&url, to);
            }
            status => {
                let kind = if status == 404 { io::ErrorKind::NotFound } else { io::ErrorKind::Other };
                return Err(io::Error::new(kind, format!("the server answers {status}")));
            }
        }
    }
    Err(bad("too many redirects"))
}

fn once(url: &str, from: u64, len: Option<u64>) -> io::Result<Answer> {
    let u = Url::parse(url)?;
    let mut stream = u.connect()?;
    let host = if u.host.contains(':') { format!("[{}]", u.host) } else { u.host.clone() };
    let mut request = format!(
        "GET {} HTTP/1.1\r\nHost: {host}:{}\r\nUser-Agent: mist-analyser/{}\r\nAccept: */*\r\nConnection: close\r\n",
        u.path,
        u.port,
        env!("CARGO_PKG_VERSION")
    );
    match len.and_then(|l| from.checked_add(l)?.checked_sub(1)) {
        Some(last) => request.push_str(&format!("Range: bytes={from}-{last}\r\n")),
        None if from > 0 => request.push_str(&format!("Range: bytes={from}-\r\n")),
        None => {}
    }
    if let Some(user) = &u.user {
        request.push_str(&format!("Authorization: Basic {}\r\n", base64(user.as_bytes())));
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes())?;
    let mut reader = BufReader::with_capacity(64 << 10, stream);
    let (status, headers) = head(&mut reader)?;
    let value = |name: &str| {
        headers.iter().find(|h: &&(String, String)| h.0.eq_ignore_ascii_case(name)).map(|h| h.1.trim())
    };
    let framing = if value("transfer-encoding").is_some_and(|v| v.to_ascii_lowercase().ends_with("chunked")) {
        Framing::Chunks(None)
    } else if let Some(n) = value("content-length") {
        if !n.bytes().all(|b| b.is_ascii_digit()) {
            return Err(bad("Content-Length"));
        }
        Framing::Length(n.parse().map_err(|_| bad("Content-Length"))?)
    } else {
        Framing::Close
    };
    if value("content-encoding").is_some_and(|v| !v.eq_ignore_ascii_case("identity")) {
        return Err(bad("a compressed body that wasn't asked for"));
    }
    Ok(Answer { status, url: url.to_owned(), headers, from: reader, framing })
}

/// Status and headers; what comes before the final answer is passed over.
fn head(reader: &mut BufReader<TcpStream>) -> io::Result<(u16, Vec<(String, String)>)> {
    let mut limited = reader.take(limits::HEAD);
    loop {
        let first = line(&mut limited)?;
        let status =
            first.strip_prefix("HTTP/1.").and_then(|r| r.split(' ').nth(1)).and_then(|s| s.parse().ok());
        let Some(status) = status else { return Err(bad("not an HTTP server")) };
        let mut headers = Vec::new();
        loop {
            let text = line(&mut limited)?;
            if text.is_empty() {
                break;
            }
            if let Some((name, value)) = text.split_once(':') {
                headers.push((name.trim().to_owned(), value.trim().to_owned()));
            }
        }
        if !(100..200).contains(&status) {
            return Ok((status, headers));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let parse = |u| Url::parse(u).map(|u| (u.host, u.port, u.path, u.user));
        let ok = |host: &str, port, path: &str, user: Option<&str>| {
            (host.to_owned(), port, path.to_owned(), user.map(str::to_owned))
        };
        for (url, want) in [
            ("http://h", ok("h", 80, "/", None)),
            ("HTTP://h:81/a b?c#d", ok("h", 81, "/a%20b?c", None)),
            ("http://[::1]:8080/x", ok("::1", 8080, "/x", None)),
            ("http://u:p@h?q", ok("h", 80, "/?q", Some("u:p"))),
            ("http://h/a\r\nX: y", ok("h", 80, "/a%0D%0AX:%20y", None)),
        ] {
            assert_eq!(parse(url).unwrap(), want, "{url}");
        }
        for url in ["https://h/", "ftp://h/", "http:///x", "http://h:99999/", "http://a b/"] {
            assert!(parse(url).is_err(), "{url}");
        }
        assert_eq!(base64(b"user:pass"), "dXNlcjpwYXNz");
        assert_eq!(base64(b"a"), "YQ==");
    }
}
