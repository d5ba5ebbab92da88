//! CPU / memory of process trees from /proc.
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::fs;

pub fn tree(roots: &[u32]) -> Vec<u32> {
    let mut kids: HashMap<u32, Vec<u32>> = HashMap::new();
    if let Ok(d) = fs::read_dir("/proc") {
        for e in d.flatten() {
            if let Some(pid) = e.file_name().to_str().and_then(|s| s.parse::<u32>().ok())
                && let Some(f) = stat(pid)
            {
                kids.entry(f.0).or_default().push(pid);
            }
        }
    }
    let mut out = Vec::new();
    let mut seen = HashSet::new();
    let mut q: Vec<u32> = roots.to_vec();
    // a server in its own mount namespace: all processes there (also those that daemonized away)
    let ns = |p: u32| fs::read_link(format!("/proc/{p}/ns/mnt")).ok();
    let own = ns(std::process::id());
    for r in roots {
        let rn = ns(*r);
        if rn.is_some() && rn != own {
            for k in kids.values().flatten() {
                if ns(*k) == rn {
                    q.push(*k);
                }
            }
        }
    }
    while let Some(p) = q.pop() {
        if seen.insert(p) {
            out.push(p);
            if let Some(k) = kids.get(&p) {
                q.extend(k);
            }
        }
    }
    out
}
/// (ppid, ticks own, ticks of reaped children)
fn stat(pid: u32) -> Option<(u32, u64, u64)> {
    let s = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let r = &s[s.rfind(')')? + 2..];
    let f: Vec<&str> = r.split(' ').collect();
    let g = |i: usize| f.get(i).and_then(|x| x.parse::<u64>().ok()).unwrap_or(0);
    Some((g(1) as u32, g(11) + g(12), g(13) + g(14)))
}
pub fn cpu_ticks(roots: &[u32]) -> u64 {
    tree(roots).iter().filter_map(|p| stat(*p)).map(|s| s.1 + s.2).sum()
}
pub fn self_ticks() -> u64 {
    stat(std::process::id()).map(|s| s.1).unwrap_or(0)
}
/// (busy, total) ticks of the whole machine
pub fn machine() -> (u64, u64) {
    let s = fs::read_to_string("/proc/stat").unwrap_or_default();
    let v: Vec<u64> =
        s.lines().next().unwrap_or("").split_whitespace().skip(1).filter_map(|x| x.parse().ok()).collect();
    let total: u64 = v.iter().take(8).sum();
    let idle = v.get(3).unwrap_or(&0) + v.get(4).unwrap_or(&0);
    (total - idle, total)
}
/// kB (rss, pss, anon)
pub fn mem(roots: &[u32]) -> (u64, u64, u64, usize) {
    let (mut rss, mut pss, mut anon) = (0, 0, 0);
    let t = tree(roots);
    for p in &t {
        if let Ok(s) = fs::read_to_string(format!("/proc/{p}/smaps_rollup")) {
            for l in s.lines() {
                let mut w = l.split_whitespace();
                let (k, v) =
                    (w.next().unwrap_or(""), w.next().and_then(|x| x.parse::<u64>().ok()).unwrap_or(0));
                match k {
                    "Rss:" => rss += v,
                    "Pss:" => pss += v,
                    "Pss_Anon:" => anon += v,
                    _ => {}
                }
            }
        }
    }
    (rss, pss, anon, t.len())
}

pub struct Sampler {
    pids: Vec<u32>,
    t0: u64,
    c0: u64,
    s0: u64,
    m0: (u64, u64),
}
impl Sampler {
    pub fn start(pids: &[u32]) -> Self {
        Self {
            pids: pids.to_vec(),
            t0: crate::now_us(),
            c0: cpu_ticks(pids),
            s0: self_ticks(),
            m0: machine(),
        }
    }
    pub fn finish(&self, mbps: Option<f64>) -> Value {
        let dt = (crate::now_us() - self.t0) as f64 / 1e6;
        let hz = rustix::param::clock_ticks_per_second() as f64;
        let cpu = cpu_ticks(&self.pids).saturating_sub(self.c0) as f64 / hz;
        let own = (self_ticks() - self.s0) as f64 / hz;
        let m1 = machine();
        let busy = (m1.0 - self.m0.0) as f64 / hz;
        let r3 = |x: f64| (x * 1000.0).round() / 1000.0;
        let mut v = json!({
            "window_s": r3(dt),
            "loadgen_cpu": r3(own / dt),
            "machine_busy_cores": r3(busy / dt),
        });
        if !self.pids.is_empty() {
            let (rss, pss, anon, np) = mem(&self.pids);
            v["server_cpu"] = json!(r3(cpu / dt));
            v["other_cpu"] = json!(r3((busy - own - cpu) / dt));
            v["pss_mb"] = json!(r3(pss as f64 / 1024.0));
            v["rss_mb"] = json!(r3(rss as f64 / 1024.0));
            v["anon_mb"] = json!(r3(anon as f64 / 1024.0));
            v["procs"] = json!(np);
            if let Some(m) = mbps
                && m > 1.0
            {
                v["cpu_per_gbit"] = json!(r3(cpu / dt / (m / 1000.0)));
            }
        }
        v
    }
}
