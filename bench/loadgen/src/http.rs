//! HTTP/1.1 keep-alive client and progressive readers.
use crate::play::media;
use crate::*;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[derive(Clone)]
pub struct Url {
    pub host: String,
    pub port: u16,
    pub path: String,
}
pub fn parse(u: &str) -> Result<Url, String> {
    let r = u.strip_prefix("http://").ok_or("not an http:// url")?;
    let (hp, path) = match r.find('/') {
        Some(i) => (&r[..i], r[i..].to_string()),
        None => (r, "/".into()),
    };
    let (host, port) = match hp.split_once(':') {
        Some((h, p)) => (h.to_string(), p.parse().map_err(|_| "bad port")?),
        None => (hp.to_string(), 80),
    };
    loopback(&host)?;
    Ok(Url { host, port, path })
}
pub fn join(base: &Url, r: &str) -> Result<Url, String> {
    if r.starts_with("http://") {
        return parse(r);
    }
    let mut b = base.clone();
    if r.starts_with('/') {
        b.path = r.into();
    } else {
        let p = b.path.split('?').next().unwrap();
        let dir = &p[..p.rfind('/').unwrap_or(0) + 1];
        let mut parts: Vec<&str> = dir.split('/').collect();
        parts.pop();
        let (rp, q) = match r.find('?') {
            Some(i) => (&r[..i], &r[i..]),
            None => (r, ""),
        };
        for c in rp.split('/') {
            match c {
                ".." => {
                    parts.pop();
                }
                "." => {}
                c => parts.push(c),
            }
        }
        b.path = format!("{}{}", parts.join("/"), q);
    }
    Ok(b)
}

pub struct Head {
    pub status: u32,
    pub len: Option<u64>,
    pub chunked: bool,
    pub close: bool,
    pub location: Option<String>,
    pub cookie: Option<String>,
}
pub struct Client {
    s: Option<TcpStream>,
    host: String,
    port: u16,
    buf: Vec<u8>,
    pos: usize,
    pub cookie: Option<String>,
}
impl Client {
    pub fn new() -> Self {
        Self { s: None, host: String::new(), port: 0, buf: Vec::new(), pos: 0, cookie: None }
    }
    pub async fn fill(&mut self) -> Result<usize, String> {
        if self.pos == self.buf.len() {
            self.buf.clear();
            self.pos = 0;
        }
        let s = self.s.as_mut().ok_or("not connected")?;
        self.buf.reserve(64 * 1024);
        s.read_buf(&mut self.buf).await.map_err(|e| format!("read: {e}"))
    }
    async fn line(&mut self) -> Result<String, String> {
        loop {
            if let Some(k) = self.buf[self.pos..].iter().position(|b| *b == b'\n') {
                let l = String::from_utf8_lossy(&self.buf[self.pos..self.pos + k]).trim_end().to_string();
                self.pos += k + 1;
                return Ok(l);
            }
            if self.fill().await? == 0 {
                return Err("closed in header".into());
            }
        }
    }
    pub async fn head(&mut self, u: &Url) -> Result<Head, String> {
        for attempt in 0..2 {
            if self.s.is_none() || self.host != u.host || self.port != u.port {
                self.s = Some(
                    TcpStream::connect((u.host.as_str(), u.port))
                        .await
                        .map_err(|e| format!("connect: {e}"))?,
                );
                let _ = self.s.as_ref().unwrap().set_nodelay(true);
                self.host = u.host.clone();
                self.port = u.port;
                self.buf.clear();
                self.pos = 0;
            }
            let ck = self.cookie.as_ref().map(|c| format!("Cookie: {c}\r\n")).unwrap_or_default();
            let req = format!(
                "GET {} HTTP/1.1\r\nHost: {}:{}\r\nUser-Agent: loadgen\r\nAccept: */*\r\n{}Connection: keep-alive\r\n\r\n",
                u.path, u.host, u.port, ck
            );
            let w = self.s.as_mut().unwrap().write_all(req.as_bytes()).await;
            let l = if w.is_ok() { self.line().await } else { Err("write".into()) };
            let l = match l {
                Ok(l) => l,
                Err(e) => {
                    self.s = None;
                    if attempt == 0 {
                        continue;
                    }
                    return Err(e);
                }
            };
            let status =
                l.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or(format!("bad status line {l:?}"))?;
            let mut h = Head {
                status,
                len: None,
                chunked: false,
                close: l.starts_with("HTTP/1.0"),
                location: None,
                cookie: None,
            };
            loop {
                let l = self.line().await?;
                if l.is_empty() {
                    break;
                }
                if let Some((k, v)) = l.split_once(':') {
                    let v = v.trim();
                    match k.to_ascii_lowercase().as_str() {
                        "content-length" => h.len = v.parse().ok(),
                        "transfer-encoding" => h.chunked = v.to_ascii_lowercase().contains("chunked"),
                        "connection" => h.close = v.to_ascii_lowercase().contains("close"),
                        "location" => h.location = Some(v.into()),
                        "set-cookie" => h.cookie = v.split(';').next().map(std::string::ToString::to_string),
                        _ => {}
                    }
                }
            }
            return Ok(h);
        }
        unreachable!()
    }
    async fn take(&mut self, mut n: u64, out: &mut Vec<u8>, st: &mut Stat, cfg: &Cfg) -> Result<(), String> {
        while n > 0 {
            if self.pos == self.buf.len() && self.fill().await? == 0 {
                return Err("closed in body".into());
            }
            let k = ((self.buf.len() - self.pos) as u64).min(n) as usize;
            out.extend_from_slice(&self.buf[self.pos..self.pos + k]);
            self.pos += k;
            n -= k as u64;
            st.bytes += k as u64;
            if cfg.in_window(now_us()) {
                st.win_bytes += k as u64;
            }
        }
        Ok(())
    }
    /// whole response body into `out`
    pub async fn get(
        &mut self,
        u: &Url,
        out: &mut Vec<u8>,
        st: &mut Stat,
        cfg: &Cfg,
    ) -> Result<(u32, Option<String>), String> {
        out.clear();
        let h = self.head(u).await?;
        if let Some(c) = h.cookie.clone() {
            self.cookie = Some(c);
        }
        if let Some(n) = h.len {
            self.take(n, out, st, cfg).await?;
        } else if h.chunked {
            loop {
                let l = self.line().await?;
                let n = u64::from_str_radix(l.split(';').next().unwrap().trim(), 16)
                    .map_err(|_| format!("bad chunk {l:?}"))?;
                self.take(n, out, st, cfg).await?;
                self.line().await?;
                if n == 0 {
                    break;
                }
            }
        } else if h.status != 304 && h.status != 204 {
            loop {
                let k = self.buf.len() - self.pos;
                let mut tmp = Vec::new();
                self.take(k as u64, &mut tmp, st, cfg).await?;
                out.extend_from_slice(&tmp);
                if self.fill().await? == 0 {
                    break;
                }
            }
            self.s = None;
        }
        if h.close {
            self.s = None;
        }
        Ok((h.status, h.location))
    }
}

pub async fn run_get(cfg: Cfg) -> Result<Value, String> {
    parse(&cfg.url(0))?;
    let hs: Vec<_> = (0..cfg.n).map(|i| tokio::spawn(get_client(cfg.clone(), i))).collect();
    let smp = sample_window(&cfg).await;
    let mut stats = Vec::new();
    for h in hs {
        stats.push(h.await.map_err(|e| e.to_string())?);
    }
    Ok(report("http-get", &cfg, &stats, Some(smp), json!({"lazy_ms": cfg.lazy_ms})))
}
pub async fn get_client(cfg: Cfg, i: usize) -> Stat {
    let mut st = Stat::default();
    let at = cfg.start + (cfg.ramp_ms * 1000.0 * i as f64) as u64;
    tokio::time::sleep(Duration::from_micros(at.saturating_sub(now_us()))).await;
    st.t0 = now_us();
    let left = Duration::from_micros(cfg.w1.saturating_sub(now_us()));
    match tokio::time::timeout(left, get_body(&cfg, i, &mut st)).await {
        Err(_) => {
            if st.last_rx != 0 && cfg.w1.saturating_sub(st.last_rx) > cfg.stall_ms * 1000 {
                st.stalls += 1;
                st.max_stall_us = st.max_stall_us.max(cfg.w1 - st.last_rx);
            }
        }
        Ok(Ok(())) => st.died = Some("end of stream".into()),
        Ok(Err(e)) => st.died = Some(e),
    }
    st
}
/// streaming FLV tag parser
struct Flv {
    state: u8, // 0 header, 1 tag header, 2 body, 3 back pointer
    need: usize,
    acc: Vec<u8>,
    typ: u8,
    ts: u32,
    len: usize,
}
async fn get_body(cfg: &Cfg, i: usize, st: &mut Stat) -> Result<(), String> {
    let mut u = parse(&cfg.url(i))?;
    let mut c = Client::new();
    let mut h = c.head(&u).await?;
    let mut hops = 0;
    while (300..400).contains(&h.status) && hops < 5 {
        u = join(&u, h.location.as_deref().ok_or("redirect without location")?)?;
        c = Client::new();
        h = c.head(&u).await?;
        hops += 1;
    }
    if h.status != 200 {
        return Err(format!("status {}", h.status));
    }
    st.connected = true;
    let lazy = cfg.lazy_ms > 0 && i >= cfg.probes;
    // chunked state
    let mut left: u64 = h.len.unwrap_or(if h.chunked { 0 } else { u64::MAX });
    let mut line: Vec<u8> = Vec::new();
    let mut in_line = h.chunked;
    let mut flv = Flv { state: 0, need: 13, acc: Vec::new(), typ: 0, ts: 0, len: 0 };
    let mut kind = 0u8; // 0 unknown, 1 flv, 2 other
    let mut carry: Vec<u8> = Vec::new();
    let mut pre = c.buf[c.pos..].to_vec();
    let s = c.s.take().unwrap();
    let mut first = true;
    loop {
        let mut stop = false;
        loop {
            let data: Option<Vec<u8>> = if first { Some(std::mem::take(&mut pre)) } else { None };
            let r = BUF.with(|b| -> Result<usize, String> {
                let mut b = b.borrow_mut();
                let n = match &data {
                    Some(p) => {
                        b[..p.len()].copy_from_slice(p);
                        p.len()
                    }
                    None => match s.try_read(&mut b[..]) {
                        Ok(0) => return Err("closed by server".into()),
                        Ok(n) => n,
                        Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return Ok(0),
                        Err(e) => return Err(format!("read: {e}")),
                    },
                };
                let t = now_us();
                let mut d = &b[..n];
                while !d.is_empty() {
                    if in_line {
                        // chunk-size line (a blank line before it is skipped)
                        let x = d[0];
                        d = &d[1..];
                        if x == b'\n' {
                            let l = String::from_utf8_lossy(&line).trim().to_string();
                            line.clear();
                            if !l.is_empty() {
                                left = u64::from_str_radix(l.split(';').next().unwrap().trim(), 16)
                                    .map_err(|_| format!("bad chunk {l:?}"))?;
                                if left == 0 {
                                    stop = true;
                                    return Ok(0);
                                }
                                in_line = false;
                            }
                        } else {
                            line.push(x);
                        }
                        continue;
                    }
                    let k = (d.len() as u64).min(left) as usize;
                    let part = &d[..k];
                    d = &d[k..];
                    if left != u64::MAX {
                        left -= k as u64;
                    }
                    if left == 0 {
                        if h.chunked {
                            in_line = true;
                        } else {
                            stop = true;
                        }
                    }
                    // payload
                    st.bytes += k as u64;
                    if cfg.in_window(t) {
                        st.win_bytes += k as u64;
                    }
                    if kind == 0 && k > 0 {
                        kind = if part[0] == b'F' { 1 } else { 2 };
                    }
                    if kind == 2 {
                        if st.ttfb.is_none() {
                            st.ttfb = Some(t - st.t0);
                        }
                        if st.last_rx != 0 {
                            let g = t - st.last_rx;
                            if g > cfg.stall_ms * 1000 {
                                st.stalls += 1;
                            }
                            st.max_stall_us = st.max_stall_us.max(g);
                        }
                        st.last_rx = t;
                        if i < cfg.probes {
                            carry.extend_from_slice(part);
                            let mut o = 0;
                            while let Some((p, us)) = find_stamp(&carry[o..]) {
                                if cfg.in_window(t) {
                                    st.lat.push(t.saturating_sub(us) as u32);
                                }
                                o += p + 32;
                            }
                            let keep = carry.len().saturating_sub(31).max(o);
                            carry.drain(..keep);
                        }
                        continue;
                    }
                    let mut p = part;
                    while !p.is_empty() {
                        match flv.state {
                            2 => {
                                let k = p.len().min(flv.need);
                                if flv.acc.len() < 160 {
                                    let m = k.min(160 - flv.acc.len());
                                    flv.acc.extend_from_slice(&p[..m]);
                                }
                                flv.need -= k;
                                p = &p[k..];
                                if flv.need == 0 {
                                    let _ = flv.len;
                                    media(st, cfg, flv.typ, flv.ts, &flv.acc, t);
                                    flv.acc.clear();
                                    flv.state = 3;
                                    flv.need = 4;
                                }
                            }
                            _ => {
                                let k = p.len().min(flv.need - flv.acc.len());
                                flv.acc.extend_from_slice(&p[..k]);
                                p = &p[k..];
                                if flv.acc.len() == flv.need {
                                    if flv.state == 1 {
                                        let a = &flv.acc;
                                        flv.typ = a[0] & 0x1f;
                                        flv.len = u32::from_be_bytes([0, a[1], a[2], a[3]]) as usize;
                                        flv.ts = u32::from_be_bytes([a[7], a[4], a[5], a[6]]);
                                        flv.state = if flv.len == 0 { 3 } else { 2 };
                                        flv.need = if flv.len == 0 { 4 } else { flv.len };
                                    } else {
                                        flv.state = 1;
                                        flv.need = 11;
                                    }
                                    flv.acc.clear();
                                }
                            }
                        }
                    }
                }
                Ok(n)
            })?;
            if stop {
                return Ok(());
            }
            if first {
                first = false;
                continue;
            }
            if r == 0 {
                break;
            }
        }
        if lazy && st.ttfb.is_some() {
            tokio::time::sleep(Duration::from_millis(cfg.lazy_ms)).await;
        }
        s.readable().await.map_err(|e| e.to_string())?;
    }
}
