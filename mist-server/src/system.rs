//! The machine: processors, load, memory (manual 4.1.3), and its random numbers.

use serde_json::{Value, json};
use std::fs;
use std::io::{self, Read};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Random bytes of the operating system, for seeds and secrets.
///
/// # Errors
/// The system has no `/dev/urandom`.
pub fn random_bytes<const N: usize>() -> io::Result<[u8; N]> {
    // Open once: it must go on working when descriptors run out.
    static SOURCE: OnceLock<fs::File> = OnceLock::new();
    let mut source = match SOURCE.get() {
        Some(f) => f,
        None => {
            let f = fs::File::open("/dev/urandom")?;
            SOURCE.get_or_init(|| f)
        }
    };
    let mut out = [0; N];
    source.read_exact(&mut out)?;
    Ok(out)
}

/// Lets the process open as many descriptors as the system allows: a viewer is one.
pub fn raise_descriptor_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
        && let Err(e) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
    {
        tracing::warn!("can't raise the limit of open files from {soft} to {hard}: {e}");
    }
}

/// Why privileges could not be dropped.
#[derive(Debug, thiserror::Error)]
pub enum PrivilegeError {
    /// No such user.
    #[error("there is no such user")]
    Unknown,
    /// The system refused.
    #[error("{0}")]
    System(#[from] nix::Error),
}

/// Becomes another user, with that user's groups, in all threads and for good.
///
/// # Errors
/// The user is unknown, or the system refuses.
pub fn drop_privileges(user: &str) -> Result<(), PrivilegeError> {
    use nix::unistd::{Uid, User, initgroups, setgid, setuid};
    let u = User::from_name(user)?.ok_or(PrivilegeError::Unknown)?;
    if Uid::effective() == u.uid {
        return Ok(());
    }
    let name = std::ffi::CString::new(user).map_err(|_| PrivilegeError::Unknown)?;
    initgroups(&name, u.gid)?;
    setgid(u.gid)?;
    setuid(u.uid)?;
    Ok(())
}

/// Measures how busy the processors are between two calls.
#[derive(Debug, Default)]
pub struct CpuMeter(Mutex<Option<(u64, u64, u64)>>);

impl CpuMeter {
    /// Use of all processors since the call before (since boot at first), in tenths of a percent.
    pub fn tenths(&self) -> u64 {
        let Ok(stat) = fs::read_to_string("/proc/stat") else { return 0 };
        let Some((busy, total)) = cpu_times(&stat) else { return 0 };
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (was_busy, was_total, was) = last.unwrap_or((0, 0, 0));
        let (d_busy, d_total) = (busy.saturating_sub(was_busy), total.saturating_sub(was_total));
        // Two requests in one clock tick have nothing between them.
        let tenths = (d_busy * 1000).checked_div(d_total).unwrap_or(was).min(1000);
        *last = Some((busy, total, tenths));
        tenths
    }
}

/// Busy and total ticks of the first line of `/proc/stat`.
fn cpu_times(stat: &str) -> Option<(u64, u64)> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let n: Vec<u64> = line.split_whitespace().map_while(|w| w.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal; guest times are in user already.
    let total = n.iter().take(8).sum();
    let idle = n.get(3)?.saturating_add(*n.get(4).unwrap_or(&0));
    Some((u64::saturating_sub(total, idle), total))
}

/// The members `cpu`, `speed`, `threads`, `load` and `mem` of the capabilities.
pub fn describe() -> Value {
    let read = |p: &str| fs::read_to_string(p).unwrap_or_default();
    let (cpu, speed, threads) = processors(&read("/proc/cpuinfo"));
    let mem = memory(&read("/proc/meminfo"));
    let load = load(&read("/proc/loadavg"), &mem);
    json!({"cpu": cpu, "speed": speed, "threads": threads, "load": load, "mem": mem})
}

/// One entry a socket, the sum of MHz over all cores, and the number of threads.
fn processors(cpuinfo: &str) -> (Value, u64, u64) {
    struct Cpu {
        id: u64,
        model: String,
        mhz: u64,
        cores: u64,
        threads: u64,
    }
    let mut all: Vec<Cpu> = Vec::new();
    for block in cpuinfo.split("\n\n").filter(|b| b.contains("processor")) {
        let get = |key: &str| {
            let line = block.lines().find(|l| l.split(':').next().is_some_and(|k| k.trim() == key))?;
            Some(line.split_once(':')?.1.trim())
        };
        let id = get("physical id").and_then(|v| v.parse().ok()).unwrap_or(0);
        if let Some(c) = all.iter_mut().find(|c| c.id == id) {
            c.threads += 1;
            continue;
        }
        all.push(Cpu {
            id,
            model: get("model name").or_else(|| get("Processor")).unwrap_or("Unknown").to_owned(),
            mhz: get("cpu MHz").and_then(|v| v.split('.').next()?.parse().ok()).unwrap_or(0),
            cores: get("cpu cores").and_then(|v| v.parse().ok()).unwrap_or(0),
            threads: 1,
        });
    }
    if all.is_empty() {
        let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
        all.push(Cpu { id: 0, model: "Unknown".to_owned(), mhz: 0, cores: threads, threads });
    }
    for c in &mut all {
        if c.cores == 0 {
            c.cores = c.threads;
        }
    }
    let speed = all.iter().map(|c| c.mhz * c.cores).sum();
    let threads = all.iter().map(|c| c.threads).sum();
    let list: Vec<Value> = all
        .iter()
        .map(|c| json!({"cores": c.cores, "mhz": c.mhz, "model": c.model, "threads": c.threads}))
        .collect();
    (Value::Array(list), speed, threads)
}

/// MiB.
fn memory(meminfo: &str) -> Value {
    let kib = |key: &str| -> u64 {
        let line = meminfo.lines().find(|l| l.split(':').next() == Some(key));
        line.and_then(|l| l.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
    };
    let (total, free) = (kib("MemTotal"), kib("MemFree"));
    let cached = kib("Cached") + kib("Buffers") + kib("SReclaimable");
    json!({
        "total": total / 1024,
        "free": free / 1024,
        "cached": cached / 1024,
        "used": total.saturating_sub(free).saturating_sub(cached) / 1024,
        "swaptotal": kib("SwapTotal") / 1024,
        "swapfree": kib("SwapFree") / 1024,
    })
}

/// Load averages in hundredths, memory use in percent.
fn load(loadavg: &str, mem: &Value) -> Value {
    let mut n = loadavg.split_whitespace().map(|w| w.parse::<f64>().unwrap_or(0.0));
    let mut next = || (n.next().unwrap_or(0.0).clamp(0.0, 1e6) * 100.0).round() as u64;
    let (one, five, fifteen) = (next(), next(), next());
    let of = |k: &str| mem.get(k).and_then(Value::as_u64).unwrap_or(0);
    let memory = (of("used") * 100).checked_div(of("total")).unwrap_or(0);
    json!({"one": one, "five": five, "fifteen": fifteen, "memory": memory})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_by_socket() {
        let info = "processor\t: 0\nmodel name\t: X\ncpu MHz\t\t: 2499.998\nphysical id\t: 0\ncpu cores\t: 1\n\n\
                    processor\t: 1\nmodel name\t: X\ncpu MHz\t\t: 2499.998\nphysical id\t: 0\ncpu cores\t: 1\n\n\
                    processor\t: 2\nmodel name\t: Y\ncpu MHz\t\t: 1000.0\nphysical id\t: 1\n\n";
        let (list, speed, threads) = processors(info);
        assert_eq!(
            list,
            json!([{"cores": 1, "mhz": 2499, "model": "X", "threads": 2}, {"cores": 1, "mhz": 1000, "model": "Y", "threads": 1}])
        );
        assert_eq!((speed, threads), (3499, 3));
        assert_eq!(processors("").0.as_array().unwrap().len(), 1);
    }

    #[test]
    fn memory_and_load() {
        let m = memory("MemTotal: 10240 kB\nMemFree: 2048 kB\nBuffers: 1024 kB\nCached: 1024 kB\n");
        assert_eq!(m, json!({"total": 10, "free": 2, "cached": 2, "used": 6, "swaptotal": 0, "swapfree": 0}));
        let l = load("1.24 0.81 0.72 1/2 3", &m);
        assert_eq!(l, json!({"one": 124, "five": 81, "fifteen": 72, "memory": 60}));
        assert_eq!(load("", &json!({})), json!({"one": 0, "five": 0, "fifteen": 0, "memory": 0}));
    }

    #[test]
    fn cpu_use() {
        assert_eq!(cpu_times("cpu  10 0 20 60 10 0 0 0 5 0\ncpu0 1\n"), Some((30, 100)));
        assert_eq!(cpu_times("nonsense"), None);
        assert!(CpuMeter::default().tenths() <= 1000);
        assert_ne!(random_bytes::<16>().unwrap(), random_bytes::<16>().unwrap());
    }
}
