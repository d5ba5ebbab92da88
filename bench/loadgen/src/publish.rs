//! Real-time RTMP publishers replaying an FLV file, and the latency command.
use crate::rtmp::*;
use crate::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

#[derive(Clone)]
pub struct PubOpt {
    pub file: String,
    pub stamp: bool,
    pub chunk: usize,
    pub stagger_ms: f64,
    pub looping: bool,
}
pub struct Tag {
    typ: u8,
    ts: u32,
    body: Vec<u8>,
}
pub struct Flv {
    tags: Vec<Tag>,
    heads: Vec<Tag>, // metadata and sequence headers
    dur: u32,
}
pub fn load(path: &str) -> Result<Flv, String> {
    let d = std::fs::read(path).map_err(|e| format!("{path}: {e}"))?;
    if d.len() < 13 || &d[..3] != b"FLV" {
        return Err(format!("{path}: not an FLV file"));
    }
    let mut i = 9 + 4;
    let (mut tags, mut heads) = (Vec::new(), Vec::new());
    let mut t0 = None;
    let (mut lastv, mut frames) = (0u32, 0u32);
    while i + 11 <= d.len() {
        let h = &d[i..i + 11];
        let len = u32::from_be_bytes([0, h[1], h[2], h[3]]) as usize;
        let ts = u32::from_be_bytes([h[7], h[4], h[5], h[6]]);
        if i + 11 + len > d.len() {
            break;
        }
        let body = d[i + 11..i + 11 + len].to_vec();
        i += 11 + len + 4;
        let typ = h[0] & 0x1f;
        let seq = match typ {
            18 => true,
            9 if body.len() > 1 => {
                (body[0] & 0x80 != 0 && body[0] & 0xf == 0) || (body[0] & 0x8f == 7 && body[1] == 0)
            }
            8 if body.len() > 1 => body[0] >> 4 == 10 && body[1] == 0,
            _ => false,
        };
        if seq {
            if tags.len() < 20 {
                let body = if typ == 18 {
                    let mut b = Vec::new();
                    w_str(&mut b, "@setDataFrame");
                    b.extend_from_slice(&body);
                    b
                } else {
                    body
                };
                heads.push(Tag { typ, ts: 0, body });
            }
            continue;
        }
        if body.len() < 6 && typ == 9 {
            continue; // end of sequence
        }
        let t0 = *t0.get_or_insert(ts);
        if typ == 9 {
            lastv = ts - t0.min(ts);
            frames += 1;
        }
        tags.push(Tag { typ, ts: ts.saturating_sub(t0), body });
    }
    if tags.is_empty() {
        return Err("no media tags".into());
    }
    let per = if frames > 1 { lastv as f64 / (frames - 1) as f64 } else { 23.0 };
    let dur = if frames > 1 { lastv + per.round() as u32 } else { tags.last().unwrap().ts + 23 };
    tags.sort_by_key(|t| t.ts);
    Ok(Flv { tags, heads, dur })
}

#[derive(Default)]
pub struct PubStat {
    pub started_ms: Option<f64>,
    pub bytes: u64,
    pub win_bytes: u64,
    pub tags: u64,
    pub max_late_ms: f64,
    pub died: Option<String>,
}

pub async fn run(cfg: Cfg, opt: PubOpt) -> Result<Value, String> {
    parse_url(&cfg.url(0))?;
    let flv = Arc::new(load(&opt.file)?);
    let n = cfg.n;
    let hs: Vec<_> = (0..n)
        .map(|i| {
            let delay = opt.stagger_ms * i as f64 / n as f64;
            tokio::spawn(publisher(cfg.clone(), opt.clone(), flv.clone(), i, delay))
        })
        .collect();
    let smp = sample_window(&cfg).await;
    let mut v = Vec::new();
    for h in hs {
        v.push(h.await.map_err(|e| e.to_string())?);
    }
    Ok(pub_report("rtmp-publish", &cfg, &v, smp))
}
fn pub_report(cmd: &str, cfg: &Cfg, v: &[PubStat], smp: Value) -> Value {
    let mut died: BTreeMap<String, u64> = BTreeMap::new();
    for s in v {
        if let Some(d) = &s.died {
            *died.entry(d.clone()).or_default() += 1;
        }
    }
    let mbps = v.iter().map(|s| s.win_bytes).sum::<u64>() as f64 * 8.0 / cfg.seconds / 1e6;
    let mut o = json!({
        "cmd": cmd, "url": cfg.urls[0], "n": v.len(), "seconds": cfg.seconds,
        "started": v.iter().filter(|s| s.started_ms.is_some()).count(),
        "died": died.values().sum::<u64>(), "died_why": died,
        "mbps": r2(mbps), "bytes": v.iter().map(|s| s.bytes).sum::<u64>(), "tags": v.iter().map(|s| s.tags).sum::<u64>(),
        "start_ms": dist(v.iter().filter_map(|s| s.started_ms).collect()),
        "late_ms_max": dist(v.iter().map(|s| s.max_late_ms).collect()),
    });
    if let Value::Object(m) = smp {
        for (k, x) in m {
            o[k] = x;
        }
    }
    if let (Some(c), true) = (o.get("server_cpu").and_then(serde_json::Value::as_f64), !v.is_empty()) {
        o["cpu_per_publisher"] = json!((c / v.len() as f64 * 1e6).round() / 1e6);
    }
    o
}

async fn publisher(cfg: Cfg, opt: PubOpt, flv: Arc<Flv>, i: usize, delay_ms: f64) -> PubStat {
    let mut st = PubStat::default();
    tokio::time::sleep(Duration::from_micros((delay_ms * 1000.0) as u64)).await;
    let left = Duration::from_micros(cfg.w1.saturating_sub(now_us()));
    match tokio::time::timeout(left, publish(&cfg, &opt, &flv, i, &mut st)).await {
        Err(_) => {}
        Ok(Ok(())) => {}
        Ok(Err(e)) => st.died = Some(e),
    }
    st
}

async fn publish(cfg: &Cfg, opt: &PubOpt, flv: &Flv, i: usize, st: &mut PubStat) -> Result<(), String> {
    let url = cfg.url(i);
    let u = parse_url(&url)?;
    let t0 = now_us();
    let mut s = TcpStream::connect((u.host.as_str(), u.port)).await.map_err(|e| format!("connect: {e}"))?;
    let _ = s.set_nodelay(true);
    handshake(&mut s).await.map_err(|e| format!("handshake: {e}"))?;
    let mut out = Vec::new();
    w_connect(&mut out, &u.app, &u.tcurl, true);
    s.write_all(&out).await.map_err(|e| e.to_string())?;
    out.clear();
    let mut ci = ChunkIn::new();
    let mut sid = 0;
    let (mut started, mut err) = (false, None::<String>);
    let mut buf = vec![0u8; 8192];
    // command phase
    while !started {
        s.readable().await.map_err(|e| e.to_string())?;
        match s.try_read(&mut buf) {
            Ok(0) => return Err("closed by server".into()),
            Ok(n) => {
                ci.feed(&buf[..n], &mut |m: &Msg| {
                    if m.typ != 20 && m.typ != 17 {
                        return;
                    }
                    let a = amf_all(if m.typ == 17 && m.len > 0 { &m.body[1..] } else { m.body });
                    let name = a.first().map(super::rtmp::Amf::str).unwrap_or("");
                    let tx = if let Some(Amf::Num(n)) = a.get(1) { *n } else { 0.0 };
                    match name {
                        "_result" if tx == 1.0 => {
                            w_msg(&mut out, 2, 1, 0, 0, &(opt.chunk as u32).to_be_bytes(), 128);
                            for (j, name) in ["releaseStream", "FCPublish"].iter().enumerate() {
                                let mut b = Vec::new();
                                w_str(&mut b, name);
                                w_num(&mut b, 10.0 + j as f64);
                                b.push(5);
                                w_str(&mut b, &u.stream);
                                w_msg(&mut out, 3, 20, 0, 0, &b, opt.chunk);
                            }
                            let mut b = Vec::new();
                            w_str(&mut b, "createStream");
                            w_num(&mut b, 2.0);
                            b.push(5);
                            w_msg(&mut out, 3, 20, 0, 0, &b, opt.chunk);
                        }
                        "_result" if tx == 2.0 => {
                            sid = if let Some(Amf::Num(n)) = a.get(3) { *n as u32 } else { 1 };
                            let mut b = Vec::new();
                            w_str(&mut b, "publish");
                            w_num(&mut b, 5.0);
                            b.push(5);
                            w_str(&mut b, &u.stream);
                            w_str(&mut b, "live");
                            w_msg(&mut out, 8, 20, sid, 0, &b, opt.chunk);
                        }
                        "_error" if tx == 1.0 || tx == 2.0 || tx == 5.0 => err = Some("rtmp _error".into()),
                        "onStatus" => {
                            let code = a
                                .get(3)
                                .and_then(|o| o.get("code"))
                                .map(|c| c.str().to_string())
                                .unwrap_or_default();
                            if code == "NetStream.Publish.Start" {
                                started = true;
                            } else if code.contains("Bad") || code.contains("Fail") || code.contains("Denied")
                            {
                                err = Some(code);
                            }
                        }
                        _ => {}
                    }
                })?;
            }
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(format!("read: {e}")),
        }
        if let Some(e) = err.take() {
            return Err(e);
        }
        if !out.is_empty() {
            s.write_all(&out).await.map_err(|e| format!("write: {e}"))?;
            out.clear();
        }
    }
    st.started_ms = Some((now_us() - t0) as f64 / 1e3);
    let (mut rd, mut wr) = s.into_split();
    // reader: drain, remember pings
    let ping = Arc::new(AtomicU32::new(0));
    let has_ping = Arc::new(AtomicU32::new(0));
    let gone = Arc::new(AtomicU32::new(0));
    let reader = {
        let (ping, has_ping, gone) = (ping.clone(), has_ping.clone(), gone.clone());
        tokio::spawn(async move {
            use tokio::io::AsyncReadExt;
            let mut b = vec![0u8; 4096];
            loop {
                match rd.read(&mut b).await {
                    Ok(0) | Err(_) => {
                        gone.store(1, Ordering::Relaxed);
                        return;
                    }
                    Ok(n) => {
                        let r = ci.feed(&b[..n], &mut |m: &Msg| {
                            if m.typ == 4 && m.len >= 6 && m.body[..2] == [0, 6] {
                                ping.store(
                                    u32::from_be_bytes(m.body[2..6].try_into().unwrap()),
                                    Ordering::Relaxed,
                                );
                                has_ping.store(1, Ordering::Relaxed);
                            }
                        });
                        if r.is_err() {
                            return;
                        }
                    }
                }
            }
        })
    };
    struct Abort(tokio::task::JoinHandle<()>);
    impl Drop for Abort {
        fn drop(&mut self) {
            self.0.abort();
        }
    }
    let _guard = Abort(reader);
    for h in &flv.heads {
        let csid = if h.typ == 9 { 6 } else { 4 };
        w_msg(&mut out, csid, h.typ, sid, 0, &h.body, opt.chunk);
    }
    let t0 = now_us();
    let mut base = 0u64;
    let mut tmp = Vec::new();
    loop {
        for t in &flv.tags {
            let ts = base + t.ts as u64;
            let due = t0 + ts * 1000;
            let now = now_us();
            if due > now + 500 {
                if !out.is_empty() {
                    wr.write_all(&out).await.map_err(|e| format!("write: {e}"))?;
                    out.clear();
                }
                tokio::time::sleep(Duration::from_micros(due - now)).await;
            }
            let now = now_us();
            if now > due {
                st.max_late_ms = st.max_late_ms.max((now - due) as f64 / 1e3);
            }
            if gone.load(Ordering::Relaxed) != 0 {
                return Err("closed by server".into());
            }
            if has_ping.swap(0, Ordering::Relaxed) == 1 {
                let mut p = vec![0, 7];
                p.extend_from_slice(&ping.load(Ordering::Relaxed).to_be_bytes());
                w_msg(&mut out, 2, 4, 0, 0, &p, 128);
            }
            let before = out.len();
            if opt.stamp && t.typ == 9 && t.body.len() > 5 && t.body[0] & 0x8f == 7 && t.body[1] == 1 {
                tmp.clear();
                tmp.extend_from_slice(&t.body[..5]);
                tmp.extend_from_slice(&stamp_nal(now_us()));
                tmp.extend_from_slice(&t.body[5..]);
                w_msg(&mut out, 6, 9, sid, ts as u32, &tmp, opt.chunk);
            } else {
                w_msg(&mut out, if t.typ == 9 { 6 } else { 4 }, t.typ, sid, ts as u32, &t.body, opt.chunk);
            }
            let k = (out.len() - before) as u64;
            st.bytes += k;
            if cfg.in_window(now) {
                st.win_bytes += k;
            }
            st.tags += 1;
            if t.typ == 9 || out.len() > 16384 {
                wr.write_all(&out).await.map_err(|e| format!("write: {e}"))?;
                out.clear();
            }
        }
        if !opt.looping {
            return Ok(());
        }
        base += flv.dur as u64;
    }
}

pub async fn latency(cfg: Cfg, opt: PubOpt, plays: Vec<String>) -> Result<Value, String> {
    let flv = Arc::new(load(&opt.file)?);
    let mut c = cfg.clone();
    let plays = if plays.is_empty() { vec![cfg.urls[0].clone()] } else { plays };
    // publish first, players join 2.5 s later
    let wait = if plays.iter().any(|p| p.contains(".m3u8")) { 9.0 } else { 2.5 };
    c.start = cfg.start + (wait * 1e6) as u64;
    c.w0 = c.start + (cfg.warmup.min(2.0) * 1e6) as u64;
    c.w1 = c.w0 + (cfg.seconds * 1e6) as u64;
    let mut pc = c.clone();
    pc.n = 1;
    let p = tokio::spawn(publisher(pc, opt, flv, 0, 0.0));
    let mut hs = Vec::new();
    for u in &plays {
        let mut k = c.clone();
        k.urls = vec![u.clone()];
        k.probes = usize::MAX;
        for i in 0..cfg.n {
            let k = k.clone();
            let u = u.clone();
            hs.push((
                u.clone(),
                tokio::spawn(async move {
                    if u.starts_with("rtmp:") {
                        play::client(k, i).await
                    } else if u.contains(".m3u8") {
                        hls::hls_client(k, i).await
                    } else {
                        http::get_client(k, i).await
                    }
                }),
            ));
        }
    }
    let smp = sample_window(&c).await;
    let mut by: BTreeMap<String, Vec<Stat>> = BTreeMap::new();
    for (u, h) in hs {
        by.entry(u).or_default().push(h.await.map_err(|e| e.to_string())?);
    }
    let ps = p.await.map_err(|e| e.to_string())?;
    let mut o = json!({
        "cmd": "latency", "url": cfg.urls[0], "seconds": cfg.seconds,
        "publisher": {"started_ms": ps.started_ms, "late_ms_max": r2(ps.max_late_ms), "died": ps.died},
    });
    for (u, v) in by {
        let lat: Vec<f64> = v.iter().flat_map(|s| s.lat.iter()).map(|x| *x as f64 / 1e3).collect();
        let last: Vec<f64> = v.iter().flat_map(|s| s.lat_last.iter()).map(|x| *x as f64 / 1e3).collect();
        let died: Vec<String> = v.iter().filter_map(|s| s.died.clone()).collect();
        o[&u] = json!({"latency_ms": dist(lat), "newest_frame_ms": dist(last),
            "ttfk_ms": dist(v.iter().filter_map(|s| s.ttfk).map(|x| x as f64 / 1e3).collect()),
            "fps": dist(v.iter().map(|s| s.win_frames as f64 / cfg.seconds).collect()),
            "gaps": v.iter().map(|s| s.gaps).sum::<u64>(), "died": died});
    }
    if let Value::Object(m) = smp {
        for (k, x) in m {
            o[k] = x;
        }
    }
    Ok(o)
}
