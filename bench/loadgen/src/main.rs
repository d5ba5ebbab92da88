//! loadgen: load generator and latency meter for live media servers. Loopback only.
mod hls;
mod http;
mod play;
mod procs;
mod publish;
mod rtmp;

use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};

/// Microseconds of a clock that all processes of the machine share.
pub fn now_us() -> u64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    t.tv_sec as u64 * 1_000_000 + t.tv_nsec as u64 / 1000
}
pub fn loopback(h: &str) -> Result<(), String> {
    if h.starts_with("127.") || h == "localhost" || h == "[::1]" || h == "::1" {
        Ok(())
    } else {
        Err(format!("{h}: loadgen only talks to loopback addresses"))
    }
}

// ---- send-time stamps: an H264 SEI user_data_unregistered NAL with 16 hex digits of CLOCK_MONOTONIC us
pub const UUID: [u8; 16] = *b"LoadGenStampSEI!";
pub fn stamp_nal(us: u64) -> Vec<u8> {
    // length-prefixed NAL
    let mut n = vec![0, 0, 0, 0, 6, 5, 32];
    n.extend_from_slice(&UUID);
    n.extend_from_slice(format!("{us:016x}").as_bytes());
    n.push(0x80);
    let l = (n.len() - 4) as u32;
    n[..4].copy_from_slice(&l.to_be_bytes());
    n
}
pub fn find_stamp(b: &[u8]) -> Option<(usize, u64)> {
    let mut i = 0;
    while i + 32 <= b.len() {
        match b[i..b.len() - 31].iter().position(|c| *c == b'L') {
            None => return None,
            Some(k) => {
                i += k;
                if b[i..i + 16] == UUID
                    && let Ok(s) = std::str::from_utf8(&b[i + 16..i + 32])
                    && let Ok(v) = u64::from_str_radix(s, 16)
                {
                    return Some((i, v));
                }
                i += 1;
            }
        }
    }
    None
}

// ---- per-client statistics
#[derive(Default, Clone)]
pub struct Stat {
    pub connected: bool,
    pub t0: u64,
    pub ttfb: Option<u64>,
    pub ttfk: Option<u64>,
    pub bytes: u64,      // all
    pub win_bytes: u64,  // in the window
    pub win_frames: u64, // video frames in the window
    pub msgs: u64,
    pub vmsgs: u64,
    pub last_ts: Option<u32>,
    pub gaps: u64,
    pub max_gap: u64,
    pub back: u64,
    pub last_rx: u64,
    pub stalls: u64,
    pub stall_us: u64,
    pub max_stall_us: u64,
    pub lat: Vec<u32>,
    pub lat_last: Vec<u32>, // HLS: newest frame of the segment
    pub died: Option<String>,
    // hls
    pub segs: u64,
    pub playlists: u64,
    pub errors: u64,
    pub rebuffers: u64,
    pub rebuffer_us: u64,
}

#[derive(Clone)]
pub struct Cfg {
    pub n: usize,
    pub seconds: f64,
    pub warmup: f64,
    pub ramp_ms: f64,
    pub gap_ms: u32,
    pub stall_ms: u64,
    pub lazy_ms: u64,
    pub probes: usize,
    pub urls: Vec<String>,
    pub pids: Vec<u32>,
    pub start: u64,
    pub w0: u64,
    pub w1: u64,
}
impl Cfg {
    pub fn in_window(&self, t: u64) -> bool {
        t >= self.w0 && t < self.w1
    }
    pub fn url(&self, i: usize) -> String {
        self.urls[i % self.urls.len()].replace("%d", &i.to_string())
    }
}

thread_local! {
    pub static BUF: RefCell<Vec<u8>> = RefCell::new(vec![0u8; 512 * 1024]);
    pub static LIVE: Cell<usize> = const { Cell::new(0) };
}

fn pct(v: &[f64], p: f64) -> f64 {
    if v.is_empty() {
        return 0.0;
    }
    let i = ((v.len() as f64 - 1.0) * p).round() as usize;
    v[i.min(v.len() - 1)]
}
pub fn r2(x: f64) -> f64 {
    (x * 100.0).round() / 100.0
}
pub fn dist(mut v: Vec<f64>) -> Value {
    if v.is_empty() {
        return Value::Null;
    }
    v.sort_by(|a, b| a.partial_cmp(b).unwrap());
    json!({"n": v.len(), "min": r2(v[0]), "p50": r2(pct(&v, 0.5)), "p99": r2(pct(&v, 0.99)), "max": r2(*v.last().unwrap())})
}

pub fn report(cmd: &str, cfg: &Cfg, stats: &[Stat], sampler: Option<Value>, extra: Value) -> Value {
    let secs = cfg.seconds;
    let mut died: BTreeMap<String, u64> = BTreeMap::new();
    for s in stats {
        if let Some(d) = &s.died {
            *died.entry(d.clone()).or_default() += 1;
        }
    }
    let mbps = stats.iter().map(|s| s.win_bytes).sum::<u64>() as f64 * 8.0 / secs / 1e6;
    let mut o = json!({
        "cmd": cmd, "url": cfg.urls[0], "n": stats.len(), "seconds": secs,
        "connected": stats.iter().filter(|s| s.connected).count(),
        "got_media": stats.iter().filter(|s| s.ttfb.is_some()).count(),
        "got_key": stats.iter().filter(|s| s.ttfk.is_some()).count(),
        "died": died.values().sum::<u64>(), "died_why": died,
        "mbps": r2(mbps),
        "client_mbps": dist(stats.iter().map(|s| s.win_bytes as f64 * 8.0 / secs / 1e6).collect()),
        "bytes": stats.iter().map(|s| s.bytes).sum::<u64>(),
        "msgs": stats.iter().map(|s| s.msgs).sum::<u64>(),
        "ttfb_ms": dist(stats.iter().filter_map(|s| s.ttfb).map(|x| x as f64 / 1e3).collect()),
        "ttfk_ms": dist(stats.iter().filter_map(|s| s.ttfk).map(|x| x as f64 / 1e3).collect()),
    });
    if stats.iter().any(|s| s.vmsgs > 0) {
        o["video_fps"] = dist(stats.iter().map(|s| s.win_frames as f64 / secs).collect());
        o["ts_gaps"] = json!(stats.iter().map(|s| s.gaps).sum::<u64>());
        o["clients_with_gaps"] = json!(stats.iter().filter(|s| s.gaps > 0).count());
        o["max_gap_ms"] = json!(stats.iter().map(|s| s.max_gap).max().unwrap_or(0));
        o["ts_backwards"] = json!(stats.iter().map(|s| s.back).sum::<u64>());
    }
    o["stalls"] = json!(stats.iter().map(|s| s.stalls).sum::<u64>());
    o["max_stall_ms"] = json!(stats.iter().map(|s| s.max_stall_us).max().unwrap_or(0) / 1000);
    let lat: Vec<f64> = stats.iter().flat_map(|s| s.lat.iter()).map(|x| *x as f64 / 1e3).collect();
    if !lat.is_empty() {
        o["latency_ms"] = dist(lat);
    }
    let lat: Vec<f64> = stats.iter().flat_map(|s| s.lat_last.iter()).map(|x| *x as f64 / 1e3).collect();
    if !lat.is_empty() {
        o["latency_newest_frame_ms"] = dist(lat);
    }
    if let Value::Object(m) = extra {
        for (k, v) in m {
            o[k] = v;
        }
    }
    if let Some(Value::Object(m)) = sampler {
        for (k, v) in m {
            o[k] = v;
        }
        if let Some(c) = o.get("server_cpu").and_then(serde_json::Value::as_f64)
            && mbps > 1.0
        {
            o["cpu_per_gbit"] = json!((c / (mbps / 1000.0) * 1000.0).round() / 1000.0);
        }
    }
    o
}

/// sleeps to the window, samples the server over it
pub async fn sample_window(cfg: &Cfg) -> Value {
    let slp = |t: u64| tokio::time::sleep(std::time::Duration::from_micros(t.saturating_sub(now_us())));
    slp(cfg.w0).await;
    let s = procs::Sampler::start(&cfg.pids);
    slp(cfg.w1).await;
    s.finish(None)
}

const USAGE: &str = "loadgen COMMAND [--options]      (loopback only; one JSON line on stdout)
  rtmp-play    --url rtmp://127.0.0.1:P/app/stream   N RTMP players
  http-get     --url http://127.0.0.1:P/x.flv        N endless progressive readers (flv is parsed; ts/mp4 counted)
  hls          --url http://127.0.0.1:P/x.m3u8       N live HLS players
  rtmp-publish --url rtmp://127.0.0.1:P/app/s%d --file X.flv   N real-time publishers (loops the file)
  latency      --url rtmp://PUBLISH_URL [--play URL]... --file X.flv   publish with stamps and play (rtmp://, http://..flv/ts/mp4/m3u8)
  proc         --pid P[,P...] --seconds S            CPU and memory of process trees
common: -n N (1)  --seconds S (20, the measured window)  --warmup S (4, before the window)  --ramp-ms MS (2 per client)
  --threads T (1)  --pid P[,P..] (sample the server over the window)  --gap-ms 120  --stall-ms 1000
  --lazy-ms MS (0: read at once; else clients beyond --probes (8) poll every MS: cheaper load generator)
publish: --stamp (put send times in an SEI)  --chunk 4096  --stagger-ms 2000 (starts spread over)  --no-loop
url: repeat --url, or use %d for the client's number";

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.is_empty() || args[0].starts_with("-h") || args[0] == "--help" {
        eprintln!("{USAGE}");
        std::process::exit(2);
    }
    let cmd = args[0].clone();
    let mut o: HashMap<String, Vec<String>> = HashMap::new();
    let mut i = 1;
    while i < args.len() {
        let k = args[i].trim_start_matches('-').to_string();
        if matches!(k.as_str(), "stamp" | "no-loop" | "realtime" | "quiet") {
            o.entry(k).or_default().push("1".into());
            i += 1;
        } else {
            let v = args.get(i + 1).cloned().unwrap_or_else(|| {
                eprintln!("--{k} needs a value");
                std::process::exit(2)
            });
            o.entry(k).or_default().push(v);
            i += 2;
        }
    }
    let s = |k: &str| o.get(k).and_then(|v| v.last()).cloned();
    let f =
        |k: &str, d: f64| s(k).map(|x| x.parse::<f64>().unwrap_or_else(|_| panic!("--{k} {x}"))).unwrap_or(d);
    let n = f("n", 1.0) as usize;
    let pids: Vec<u32> =
        s("pid").map(|p| p.split(',').filter_map(|x| x.trim().parse().ok()).collect()).unwrap_or_default();
    let mut cfg = Cfg {
        n,
        seconds: f("seconds", 20.0),
        warmup: f("warmup", 4.0),
        ramp_ms: f("ramp-ms", 2.0),
        gap_ms: f("gap-ms", 120.0) as u32,
        stall_ms: f("stall-ms", 1000.0) as u64,
        lazy_ms: f("lazy-ms", 0.0) as u64,
        probes: f("probes", 8.0) as usize,
        urls: o.get("url").cloned().unwrap_or_default(),
        pids,
        start: 0,
        w0: 0,
        w1: 0,
    };
    if cmd == "proc" {
        let smp = procs::Sampler::start(&cfg.pids);
        std::thread::sleep(std::time::Duration::from_secs_f64(cfg.seconds));
        println!("{}", smp.finish(None));
        return;
    }
    if cfg.urls.is_empty() {
        eprintln!("--url is needed\n{USAGE}");
        std::process::exit(2);
    }
    cfg.start = now_us();
    let ramp = if cmd == "rtmp-publish" { f("stagger-ms", 2000.0) } else { cfg.ramp_ms * n as f64 };
    cfg.w0 = cfg.start + ((cfg.warmup * 1000.0 + ramp) * 1000.0) as u64;
    cfg.w1 = cfg.w0 + (cfg.seconds * 1e6) as u64;
    let files = rustix::process::Rlimit { current: Some(20_000), maximum: Some(20_000) };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, files);
    let threads = f("threads", 1.0) as usize;
    let rt = if threads <= 1 {
        tokio::runtime::Builder::new_current_thread().enable_all().build()
    } else {
        tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()
    }
    .unwrap();
    let opt = publish::PubOpt {
        file: s("file").unwrap_or_default(),
        stamp: o.contains_key("stamp") || cmd == "latency",
        chunk: f("chunk", 4096.0) as usize,
        stagger_ms: f("stagger-ms", if cmd == "latency" { 0.0 } else { 2000.0 }),
        looping: !o.contains_key("no-loop"),
    };
    let plays = o.get("play").cloned().unwrap_or_default();
    let res: Result<Value, String> = rt.block_on(async {
        match cmd.as_str() {
            "rtmp-play" => play::run(cfg.clone()).await,
            "http-get" => http::run_get(cfg.clone()).await,
            "hls" => hls::run_hls(cfg.clone()).await,
            "rtmp-publish" => publish::run(cfg.clone(), opt).await,
            "latency" => publish::latency(cfg.clone(), opt, plays).await,
            _ => Err(format!("unknown command {cmd}\n{USAGE}")),
        }
    });
    match res {
        Ok(v) => println!("{v}"),
        Err(e) => {
            eprintln!("loadgen: {e}");
            std::process::exit(1);
        }
    }
    // tasks still blocked are dropped with the process
    std::process::exit(0);
}
