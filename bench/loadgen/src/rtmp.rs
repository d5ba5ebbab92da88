//! Minimal RTMP client side: streaming chunk parser, AMF0, message writer, handshake.
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub const HEAD: usize = 160; // bytes kept of audio/video messages

#[derive(Default)]
struct Cs {
    csid: u32,
    ts: u32,
    delta: u32,
    len: usize,
    typ: u8,
    ext: bool,
    got: usize,
    in_msg: bool,
    body: Vec<u8>,
}

pub struct Msg<'a> {
    pub typ: u8,
    pub ts: u32,
    pub len: usize,
    /// complete for control/command/aggregate; first HEAD bytes for audio/video
    pub body: &'a [u8],
}

pub struct ChunkIn {
    pub max_chunk: usize,
    css: Vec<Cs>,
    hdr: [u8; 20],
    hlen: usize,
    cur: usize,
    left: usize, // payload bytes left in the current chunk, 0 = reading a header
}

impl ChunkIn {
    pub fn new() -> Self {
        Self { max_chunk: 128, css: Vec::new(), hdr: [0; 20], hlen: 0, cur: 0, left: 0 }
    }
    fn find(&mut self, csid: u32) -> usize {
        if let Some(i) = self.css.iter().position(|c| c.csid == csid) {
            return i;
        }
        self.css.push(Cs { csid, ..Default::default() });
        self.css.len() - 1
    }
    /// (bytes needed for the header given what we have, basic header length)
    fn needed(&self) -> (usize, usize) {
        let b0 = self.hdr[0];
        let basic = match b0 & 0x3f {
            0 => 2,
            1 => 3,
            _ => 1,
        };
        if self.hlen < basic {
            return (basic, basic);
        }
        let fmt = b0 >> 6;
        let mh = [11, 7, 3, 0][fmt as usize];
        if self.hlen < basic + mh {
            return (basic + mh, basic);
        }
        let ext = if fmt < 3 {
            self.hdr[basic] == 0xff && self.hdr[basic + 1] == 0xff && self.hdr[basic + 2] == 0xff
        } else {
            let csid = self.csid(basic);
            self.css.iter().find(|c| c.csid == csid).map(|c| c.ext).unwrap_or(false)
        };
        (basic + mh + if ext { 4 } else { 0 }, basic)
    }
    fn csid(&self, basic: usize) -> u32 {
        match basic {
            1 => (self.hdr[0] & 0x3f) as u32,
            2 => 64 + self.hdr[1] as u32,
            _ => 64 + self.hdr[1] as u32 + 256 * self.hdr[2] as u32,
        }
    }
    pub fn feed(&mut self, mut d: &[u8], cb: &mut dyn FnMut(&Msg)) -> Result<(), String> {
        while !d.is_empty() {
            if self.left == 0 {
                // header
                self.hdr[self.hlen] = d[0];
                self.hlen += 1;
                d = &d[1..];
                let (need, basic) = self.needed();
                if self.hlen < need {
                    continue;
                }
                let (need2, _) = self.needed();
                if self.hlen < need2 {
                    continue;
                }
                let fmt = self.hdr[0] >> 6;
                let csid = self.csid(basic);
                let i = self.find(csid);
                let h = self.hdr;
                let m = &h[basic..];
                let c = &mut self.css[i];
                let be24 = |b: &[u8]| ((b[0] as u32) << 16) | ((b[1] as u32) << 8) | b[2] as u32;
                let be32 = |b: &[u8]| u32::from_be_bytes([b[0], b[1], b[2], b[3]]);
                if fmt < 3 {
                    if c.in_msg {
                        return Err(format!("new header inside a message, csid {csid}"));
                    }
                    let t = be24(m);
                    c.ext = t == 0xffffff;
                    let mh = [11, 7, 3][fmt as usize];
                    let t = if c.ext { be32(&m[mh..]) } else { t };
                    if fmt <= 1 {
                        c.len = be24(&m[3..]) as usize;
                        c.typ = m[6];
                    }
                    if fmt == 0 {
                        c.ts = t;
                        c.delta = 0;
                    } else {
                        c.delta = t;
                        c.ts = c.ts.wrapping_add(t);
                    }
                    c.in_msg = true;
                    c.got = 0;
                    c.body.clear();
                } else if !c.in_msg {
                    if c.typ == 0 {
                        return Err(format!("type 3 chunk on unknown csid {csid}"));
                    }
                    c.ts = c.ts.wrapping_add(c.delta);
                    c.in_msg = true;
                    c.got = 0;
                    c.body.clear();
                }
                if c.len > 32 << 20 {
                    return Err("message too long".into());
                }
                self.hlen = 0;
                self.cur = i;
                self.left = (c.len - c.got).min(self.max_chunk);
                if self.left == 0 {
                    c.in_msg = false;
                }
                continue;
            }
            let c = &mut self.css[self.cur];
            let n = self.left.min(d.len());
            let av = c.typ == 8 || c.typ == 9;
            if !av {
                c.body.extend_from_slice(&d[..n]);
            } else if c.got < HEAD {
                let k = n.min(HEAD - c.got);
                c.body.extend_from_slice(&d[..k]);
            }
            c.got += n;
            self.left -= n;
            d = &d[n..];
            if self.left == 0 && c.got >= c.len {
                c.in_msg = false;
                let typ = c.typ;
                let msg = Msg { typ, ts: c.ts, len: c.len, body: &c.body };
                if typ == 1 && c.body.len() >= 4 {
                    self.max_chunk = (u32::from_be_bytes([c.body[0], c.body[1], c.body[2], c.body[3]])
                        & 0x7fffffff)
                        .max(1) as usize;
                }
                cb(&msg);
            }
        }
        Ok(())
    }
}

// ---------------- AMF0
#[derive(Debug, Clone)]
pub enum Amf {
    Num(f64),
    Bool,
    Str(String),
    Obj(Vec<(String, Self)>),
    Null,
}
fn take<'a>(d: &mut &'a [u8], n: usize) -> Option<&'a [u8]> {
    if d.len() < n {
        return None;
    }
    let (a, b) = d.split_at(n);
    *d = b;
    Some(a)
}
fn rd_str(d: &mut &[u8]) -> Option<String> {
    let l = take(d, 2)?;
    let n = u16::from_be_bytes([l[0], l[1]]) as usize;
    Some(String::from_utf8_lossy(take(d, n)?).into_owned())
}
pub fn amf_read(d: &mut &[u8]) -> Option<Amf> {
    let t = take(d, 1)?[0];
    Some(match t {
        0 => Amf::Num(f64::from_be_bytes(take(d, 8)?.try_into().ok()?)),
        1 => {
            take(d, 1)?;
            Amf::Bool
        }
        2 => Amf::Str(rd_str(d)?),
        3 | 8 => {
            if t == 8 {
                take(d, 4)?;
            }
            let mut v = Vec::new();
            loop {
                let k = rd_str(d)?;
                if k.is_empty() {
                    if d.first() == Some(&9) {
                        take(d, 1)?;
                    }
                    break;
                }
                v.push((k, amf_read(d)?));
            }
            Amf::Obj(v)
        }
        5 | 6 => Amf::Null,
        10 => {
            let l = take(d, 4)?;
            let n = u32::from_be_bytes(l.try_into().ok()?);
            for _ in 0..n {
                amf_read(d)?;
            }
            Amf::Null
        }
        11 => {
            take(d, 10)?;
            Amf::Null
        }
        12 => {
            let l = take(d, 4)?;
            let n = u32::from_be_bytes(l.try_into().ok()?) as usize;
            Amf::Str(String::from_utf8_lossy(take(d, n)?).into_owned())
        }
        _ => return None,
    })
}
pub fn amf_all(mut d: &[u8]) -> Vec<Amf> {
    let mut v = Vec::new();
    while !d.is_empty() {
        match amf_read(&mut d) {
            Some(x) => v.push(x),
            None => break,
        }
    }
    v
}
impl Amf {
    pub fn get(&self, k: &str) -> Option<&Self> {
        if let Self::Obj(v) = self { v.iter().find(|(n, _)| n == k).map(|(_, v)| v) } else { None }
    }
    pub fn str(&self) -> &str {
        if let Self::Str(s) = self { s } else { "" }
    }
}
pub fn w_str(o: &mut Vec<u8>, s: &str) {
    o.push(2);
    o.extend_from_slice(&(s.len() as u16).to_be_bytes());
    o.extend_from_slice(s.as_bytes());
}
pub fn w_num(o: &mut Vec<u8>, n: f64) {
    o.push(0);
    o.extend_from_slice(&n.to_be_bytes());
}
pub fn w_key(o: &mut Vec<u8>, s: &str) {
    o.extend_from_slice(&(s.len() as u16).to_be_bytes());
    o.extend_from_slice(s.as_bytes());
}

// ---------------- message writer
pub fn w_msg(o: &mut Vec<u8>, csid: u8, typ: u8, sid: u32, ts: u32, body: &[u8], chunk: usize) {
    let ext = ts >= 0xffffff;
    let t = if ext { 0xffffff } else { ts };
    o.push(csid);
    o.extend_from_slice(&t.to_be_bytes()[1..]);
    o.extend_from_slice(&(body.len() as u32).to_be_bytes()[1..]);
    o.push(typ);
    o.extend_from_slice(&sid.to_le_bytes());
    if ext {
        o.extend_from_slice(&ts.to_be_bytes());
    }
    let mut first = true;
    for part in body.chunks(chunk) {
        if !first {
            o.push(0xc0 | csid);
            if ext {
                o.extend_from_slice(&ts.to_be_bytes());
            }
        }
        first = false;
        o.extend_from_slice(part);
    }
}
pub fn w_connect(o: &mut Vec<u8>, app: &str, tcurl: &str, publish: bool) {
    let mut b = Vec::new();
    w_str(&mut b, "connect");
    w_num(&mut b, 1.0);
    b.push(3);
    w_key(&mut b, "app");
    w_str(&mut b, app);
    if publish {
        w_key(&mut b, "type");
        w_str(&mut b, "nonprivate");
    }
    w_key(&mut b, "flashVer");
    w_str(&mut b, if publish { "FMLE/3.0 (compatible; loadgen)" } else { "LNX 9,0,124,2" });
    w_key(&mut b, "tcUrl");
    w_str(&mut b, tcurl);
    if !publish {
        w_key(&mut b, "fpad");
        b.extend_from_slice(&[1, 0]);
        w_key(&mut b, "capabilities");
        w_num(&mut b, 15.0);
        w_key(&mut b, "audioCodecs");
        w_num(&mut b, 4071.0);
        w_key(&mut b, "videoCodecs");
        w_num(&mut b, 252.0);
        w_key(&mut b, "videoFunction");
        w_num(&mut b, 1.0);
    }
    b.extend_from_slice(&[0, 0, 9]);
    w_msg(o, 3, 20, 0, 0, &b, 128);
}

pub struct RtmpUrl {
    pub host: String,
    pub port: u16,
    pub app: String,
    pub stream: String,
    pub tcurl: String,
}
pub fn parse_url(u: &str) -> Result<RtmpUrl, String> {
    let r = u.strip_prefix("rtmp://").ok_or("not an rtmp:// url")?;
    let (hp, path) = r.split_once('/').ok_or("no app in url")?;
    let (host, port) = match hp.split_once(':') {
        Some((h, p)) => (h.to_string(), p.parse().map_err(|_| "bad port")?),
        None => (hp.to_string(), 1935),
    };
    let (app, stream) = path.split_once('/').ok_or("no stream in url")?;
    crate::loopback(&host)?;
    Ok(RtmpUrl { tcurl: format!("rtmp://{hp}/{app}"), host, port, app: app.into(), stream: stream.into() })
}

pub async fn handshake(s: &mut TcpStream) -> io::Result<()> {
    let mut c = vec![0u8; 1537];
    c[0] = 3;
    let seed = crate::now_us();
    for (i, b) in c[9..].iter_mut().enumerate() {
        *b = ((seed >> (i % 5)) as usize).wrapping_mul(31).wrapping_add(i * 7) as u8;
    }
    s.write_all(&c).await?;
    let mut r = vec![0u8; 3073];
    s.read_exact(&mut r).await?;
    if r[0] != 3 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "bad S0"));
    }
    s.write_all(&r[1..1537]).await?;
    Ok(())
}
