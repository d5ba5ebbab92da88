//! HLS players.
use crate::http::{Client, join, parse};
use crate::*;
use std::time::Duration;

struct Playlist {
    master: Option<String>,
    target: f64,
    map: Option<String>,
    segs: Vec<(u64, f64, String)>,
    end: bool,
}
fn parse_m3u8(t: &str) -> Result<Playlist, String> {
    if !t.trim_start().starts_with("#EXTM3U") {
        return Err("not a playlist".into());
    }
    let mut p = Playlist { master: None, target: 2.0, map: None, segs: vec![], end: false };
    let (mut seq, mut dur, mut variant) = (0u64, 0.0, false);
    for l in t.lines() {
        let l = l.trim();
        if let Some(v) = l.strip_prefix("#EXT-X-MEDIA-SEQUENCE:") {
            seq = v.trim().parse().unwrap_or(0);
        } else if let Some(v) = l.strip_prefix("#EXT-X-TARGETDURATION:") {
            p.target = v.trim().parse().unwrap_or(2.0);
        } else if let Some(v) = l.strip_prefix("#EXTINF:") {
            dur = v.split(',').next().unwrap().trim().parse().unwrap_or(0.0);
        } else if l.starts_with("#EXT-X-STREAM-INF") {
            variant = true;
        } else if l.starts_with("#EXT-X-ENDLIST") {
            p.end = true;
        } else if let Some(v) = l.strip_prefix("#EXT-X-MAP:") {
            p.map = v
                .split("URI=\"")
                .nth(1)
                .and_then(|x| x.split('"').next())
                .map(std::string::ToString::to_string);
        } else if !l.is_empty() && !l.starts_with('#') {
            if variant {
                if p.master.is_none() {
                    p.master = Some(l.to_string());
                }
                variant = false;
            } else {
                p.segs.push((seq, dur, l.to_string()));
                seq += 1;
            }
        }
    }
    Ok(p)
}

pub async fn run_hls(cfg: Cfg) -> Result<Value, String> {
    parse(&cfg.url(0))?;
    let hs: Vec<_> = (0..cfg.n).map(|i| tokio::spawn(hls_client(cfg.clone(), i))).collect();
    let smp = sample_window(&cfg).await;
    let mut stats = Vec::new();
    for h in hs {
        stats.push(h.await.map_err(|e| e.to_string())?);
    }
    let extra = hls_extra(&stats);
    Ok(report("hls", &cfg, &stats, Some(smp), extra))
}
pub fn hls_extra(stats: &[Stat]) -> Value {
    json!({
        "segments": stats.iter().map(|s| s.segs).sum::<u64>(),
        "playlists": stats.iter().map(|s| s.playlists).sum::<u64>(),
        "http_errors": stats.iter().map(|s| s.errors).sum::<u64>(),
        "rebuffers": stats.iter().map(|s| s.rebuffers).sum::<u64>(),
        "clients_rebuffered": stats.iter().filter(|s| s.rebuffers > 0).count(),
        "rebuffer_s": r2(stats.iter().map(|s| s.rebuffer_us).sum::<u64>() as f64 / 1e6),
    })
}
pub async fn hls_client(cfg: Cfg, i: usize) -> Stat {
    let mut st = Stat::default();
    let at = cfg.start + (cfg.ramp_ms * 1000.0 * i as f64) as u64;
    tokio::time::sleep(Duration::from_micros(at.saturating_sub(now_us()))).await;
    st.t0 = now_us();
    let left = Duration::from_micros(cfg.w1.saturating_sub(now_us()));
    match tokio::time::timeout(left, hls_body(&cfg, i, &mut st)).await {
        Err(_) => {}
        Ok(Ok(())) => st.died = Some("end of playlist".into()),
        Ok(Err(e)) => st.died = Some(e),
    }
    st
}
async fn hls_body(cfg: &Cfg, i: usize, st: &mut Stat) -> Result<(), String> {
    let mut u = parse(&cfg.url(i))?;
    let mut c = Client::new();
    let mut body = Vec::new();
    let mut next: Option<u64> = None;
    let mut last_map: Option<String> = None;
    let (mut play_start, mut media_s) = (0u64, 0.0f64);
    let mut failures = 0;
    let mut base_failures = 0;
    loop {
        let (code, loc) = c.get(&u, &mut body, st, cfg).await?;
        st.playlists += 1;
        if (300..400).contains(&code)
            && let Some(l) = loc
        {
            u = join(&u, &l)?;
            base_failures += 1;
            if base_failures > 5 {
                return Err("redirect loop".into());
            }
            continue;
        }
        if code != 200 {
            st.errors += 1;
            failures += 1;
            if failures > 20 {
                return Err(format!("playlist {code}"));
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
            continue;
        }
        st.connected = true;
        let p = parse_m3u8(&String::from_utf8_lossy(&body))?;
        if let Some(m) = p.master {
            u = join(&u, &m)?;
            base_failures += 1;
            if base_failures > 5 {
                return Err("playlist loop".into());
            }
            continue;
        }
        if p.segs.is_empty() {
            tokio::time::sleep(Duration::from_millis(500)).await;
            continue;
        }
        if next.is_none() {
            let k = p.segs.len().saturating_sub(3);
            next = Some(p.segs[k].0);
        }
        if let Some(m) = &p.map
            && last_map.as_ref() != Some(m)
        {
            let mu = join(&u, m)?;
            let (code, _) = c.get(&mu, &mut body, st, cfg).await?;
            if code != 200 {
                st.errors += 1;
            }
            last_map = p.map.clone();
        }
        // fell out of the window?
        if let Some(nx) = next {
            if nx < p.segs[0].0 {
                st.gaps += 1;
                next = Some(p.segs[0].0);
            } else if nx > p.segs.last().unwrap().0 + 1 {
                next = Some(p.segs.last().unwrap().0);
                st.back += 1;
            }
        }
        let mut fetched = 0;
        for (seq, dur, uri) in &p.segs {
            if *seq != next.unwrap() {
                continue;
            }
            let su = join(&u, uri)?;
            let (code, _) = c.get(&su, &mut body, st, cfg).await?;
            let t = now_us();
            next = Some(seq + 1);
            if code != 200 {
                st.errors += 1;
                continue;
            }
            fetched += 1;
            st.segs += 1;
            st.msgs += 1;
            if st.ttfb.is_none() {
                st.ttfb = Some(t - st.t0);
                st.ttfk = st.ttfb;
                play_start = t;
            } else {
                let played = (t - play_start) as f64 / 1e6;
                if played > media_s {
                    st.rebuffers += 1;
                    let d = ((played - media_s) * 1e6) as u64;
                    st.rebuffer_us += d;
                    play_start += d;
                }
            }
            media_s += dur;
            if i < cfg.probes && cfg.in_window(t) {
                if let Some((_, us)) = find_stamp(&body) {
                    st.lat.push(t.saturating_sub(us).min(u32::MAX as u64) as u32);
                }
                // newest stamp
                let mut k = body.len();
                let mut found = None;
                let mut step = 64 * 1024;
                while k > 0 && found.is_none() {
                    let a = body.len().saturating_sub(step);
                    let mut o = a;
                    while let Some((p, us)) = find_stamp(&body[o..]) {
                        found = Some(us);
                        o += p + 32;
                    }
                    k = a;
                    step *= 4;
                }
                if let Some(us) = found {
                    st.lat_last.push(t.saturating_sub(us).min(u32::MAX as u64) as u32);
                }
            }
        }
        if p.end && fetched == 0 {
            return Ok(());
        }
        let w = (p.target / 2.0).clamp(0.2, 3.0);
        tokio::time::sleep(Duration::from_secs_f64(w)).await;
    }
}
