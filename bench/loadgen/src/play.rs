//! RTMP players.
use crate::rtmp::*;
use crate::*;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// shared by RTMP and HTTP-FLV: account one media message/tag
pub fn media(st: &mut Stat, cfg: &Cfg, typ: u8, ts: u32, body: &[u8], t: u64) {
    st.msgs += 1;
    if typ != 9 && typ != 8 {
        return;
    }
    if st.ttfb.is_none() {
        st.ttfb = Some(t - st.t0);
    }
    if typ != 9 || body.len() < 2 {
        return;
    }
    let (key, frame) = if body[0] & 0x80 != 0 {
        let pt = body[0] & 0xf;
        ((body[0] >> 4) & 7 == 1, pt == 1 || pt == 3)
    } else {
        let codec = body[0] & 0xf;
        let coded = if codec == 7 || codec == 12 { body[1] == 1 } else { true };
        (body[0] >> 4 == 1, coded)
    };
    if !frame {
        return;
    }
    st.vmsgs += 1;
    if cfg.in_window(t) {
        st.win_frames += 1;
    }
    if key && st.ttfk.is_none() {
        st.ttfk = Some(t - st.t0);
    }
    if let Some(l) = st.last_ts {
        let d = ts.wrapping_sub(l) as i32;
        if d < 0 {
            st.back += 1;
        } else {
            if d as u32 > cfg.gap_ms {
                st.gaps += 1;
            }
            st.max_gap = st.max_gap.max(d as u64);
        }
    }
    st.last_ts = Some(ts);
    if st.last_rx != 0 && t - st.last_rx > cfg.stall_ms * 1000 {
        st.stalls += 1;
        st.stall_us += t - st.last_rx;
    }
    if st.last_rx != 0 {
        st.max_stall_us = st.max_stall_us.max(t - st.last_rx);
    }
    st.last_rx = t;
    if cfg.in_window(t)
        && let Some((_, us)) = find_stamp(body)
    {
        st.lat.push(t.saturating_sub(us) as u32);
    }
}

pub async fn run(cfg: Cfg) -> Result<Value, String> {
    parse_url(&cfg.url(0))?;
    let mut hs = Vec::new();
    for i in 0..cfg.n {
        hs.push(tokio::spawn(client(cfg.clone(), i)));
    }
    let smp = sample_window(&cfg).await;
    let mut stats = Vec::new();
    for h in hs {
        stats.push(h.await.map_err(|e| e.to_string())?);
    }
    Ok(report("rtmp-play", &cfg, &stats, Some(smp), json!({"lazy_ms": cfg.lazy_ms})))
}

pub async fn client(cfg: Cfg, i: usize) -> Stat {
    let mut st = Stat::default();
    let at = cfg.start + (cfg.ramp_ms * 1000.0 * i as f64) as u64;
    tokio::time::sleep(Duration::from_micros(at.saturating_sub(now_us()))).await;
    st.t0 = now_us();
    let left = Duration::from_micros(cfg.w1.saturating_sub(now_us()));
    let r = tokio::time::timeout(left, body(&cfg, i, &mut st)).await;
    match r {
        Err(_) => {
            // normal end: deadline
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

async fn body(cfg: &Cfg, i: usize, st: &mut Stat) -> Result<(), String> {
    let u = parse_url(&cfg.url(i))?;
    let mut s = TcpStream::connect((u.host.as_str(), u.port)).await.map_err(|e| format!("connect: {e}"))?;
    let _ = s.set_nodelay(true);
    handshake(&mut s).await.map_err(|e| format!("handshake: {e}"))?;
    let mut out = Vec::new();
    w_connect(&mut out, &u.app, &u.tcurl, false);
    s.write_all(&out).await.map_err(|e| e.to_string())?;
    out.clear();
    let mut ci = ChunkIn::new();
    let mut rx_total: u64 = 3073;
    let mut acked: u64 = 0;
    let mut window: u64 = 2_500_000;
    let mut err: Option<String> = None;
    let lazy = cfg.lazy_ms > 0 && i >= cfg.probes;
    loop {
        s.readable().await.map_err(|e| e.to_string())?;
        // drain
        loop {
            let r = BUF.with(|b| -> Result<usize, String> {
                let mut b = b.borrow_mut();
                match s.try_read(&mut b[..]) {
                    Ok(0) => Err("closed by server".into()),
                    Ok(n) => {
                        let t = now_us();
                        st.bytes += n as u64;
                        if cfg.in_window(t) {
                            st.win_bytes += n as u64;
                        }
                        ci.feed(&b[..n], &mut |m: &Msg| match m.typ {
                            8 | 9 => media(st, cfg, m.typ, m.ts, m.body, t),
                            22 => {
                                let mut d = m.body;
                                let mut base: Option<u32> = None;
                                while d.len() >= 11 {
                                    let l = u32::from_be_bytes([0, d[1], d[2], d[3]]) as usize;
                                    let ts = u32::from_be_bytes([d[7], d[4], d[5], d[6]]);
                                    let b0 = *base.get_or_insert(ts);
                                    if d.len() < 11 + l {
                                        break;
                                    }
                                    media(
                                        st,
                                        cfg,
                                        d[0],
                                        m.ts.wrapping_add(ts.wrapping_sub(b0)),
                                        &d[11..11 + l.min(HEAD)],
                                        t,
                                    );
                                    d = &d[(11 + l + 4).min(d.len())..];
                                }
                            }
                            5 if m.len >= 4 => {
                                window = u32::from_be_bytes(m.body[..4].try_into().unwrap()).max(1) as u64
                            }
                            6 if m.len >= 4 => w_msg(&mut out, 2, 5, 0, 0, &m.body[..4], 128),
                            4 if m.len >= 6 && m.body[..2] == [0, 6] => {
                                let mut p = vec![0, 7];
                                p.extend_from_slice(&m.body[2..6]);
                                w_msg(&mut out, 2, 4, 0, 0, &p, 128);
                            }
                            20 | 17 => {
                                let b = if m.typ == 17 && m.len > 0 { &m.body[1..] } else { m.body };
                                let a = amf_all(b);
                                let name = a.first().map(super::rtmp::Amf::str).unwrap_or("");
                                let tx = if let Some(Amf::Num(n)) = a.get(1) { *n } else { 0.0 };
                                match name {
                                    "_result" if tx == 1.0 => {
                                        st.connected = true;
                                        w_msg(&mut out, 2, 5, 0, 0, &2_500_000u32.to_be_bytes(), 128);
                                        let mut b = Vec::new();
                                        w_str(&mut b, "createStream");
                                        w_num(&mut b, 2.0);
                                        b.push(5);
                                        w_msg(&mut out, 3, 20, 0, 0, &b, 128);
                                    }
                                    "_result" if tx == 2.0 => {
                                        let sid =
                                            if let Some(Amf::Num(n)) = a.get(3) { *n as u32 } else { 1 };
                                        let mut b = Vec::new();
                                        w_str(&mut b, "play");
                                        w_num(&mut b, 4.0);
                                        b.push(5);
                                        w_str(&mut b, &u.stream);
                                        w_num(&mut b, -2000.0);
                                        w_msg(&mut out, 8, 20, sid, 0, &b, 128);
                                        let mut p = vec![0, 3];
                                        p.extend_from_slice(&sid.to_be_bytes());
                                        p.extend_from_slice(&3000u32.to_be_bytes());
                                        w_msg(&mut out, 2, 4, 0, 0, &p, 128);
                                    }
                                    "_error" if tx == 1.0 || tx == 2.0 || tx == 4.0 => {
                                        err = Some("rtmp _error".into())
                                    }
                                    "onStatus" => {
                                        let code = a
                                            .get(3)
                                            .and_then(|o| o.get("code"))
                                            .map(|c| c.str().to_string())
                                            .unwrap_or_default();
                                        let level = a
                                            .get(3)
                                            .and_then(|o| o.get("level"))
                                            .map(|c| c.str().to_string())
                                            .unwrap_or_default();
                                        if level == "error"
                                            || code.contains("Failed")
                                            || code.contains("NotFound")
                                        {
                                            err = Some(code);
                                        }
                                    }
                                    _ => {}
                                }
                            }
                            _ => {}
                        })?;
                        Ok(n)
                    }
                    Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => Ok(0),
                    Err(e) => Err(format!("read: {e}")),
                }
            })?;
            if r == 0 {
                break;
            }
            rx_total += r as u64;
        }
        if let Some(e) = err.take() {
            return Err(e);
        }
        if rx_total - acked >= window {
            acked = rx_total;
            w_msg(&mut out, 2, 3, 0, 0, &(rx_total as u32).to_be_bytes(), 128);
        }
        if !out.is_empty() {
            s.write_all(&out).await.map_err(|e| format!("write: {e}"))?;
            out.clear();
        }
        if lazy && st.ttfk.is_some() {
            tokio::time::sleep(Duration::from_millis(cfg.lazy_ms)).await;
        }
    }
}
