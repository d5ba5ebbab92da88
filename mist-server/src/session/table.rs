//! The table of sessions.

use super::id::{SessionId, agent_crc};
use super::limits;
use crate::log::Log;
use std::collections::hash_map::Entry as Slot;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const SHARDS: usize = 16;

/// What a session is to the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It takes media.
    Viewer,
    /// It brings media.
    Input,
    /// The server brings media to somebody else.
    Output,
}

/// How the requests of one viewer are known to belong together.
#[derive(Debug, Clone, Copy)]
pub enum Client<'a> {
    /// One connection is one session, which ends with it.
    Connection,
    /// Requests that come one by one: those with the same address, user agent and playback id are one session,
    /// which ends some seconds after the last.
    Requests {
        /// `User-Agent`.
        agent: &'a str,
        /// `X-Playback-Session-Id`, else empty.
        playback: &'a str,
    },
}

/// A session to open.
#[derive(Debug, Clone, Copy)]
pub struct Open<'a> {
    /// Address of the peer.
    pub host: IpAddr,
    /// Whole stream name.
    pub stream: &'a str,
    /// Name of the output or protocol, like `HLS`.
    pub connector: &'static str,
    /// What it is to the stream.
    pub kind: Kind,
    /// How it is told apart.
    pub client: Client<'a>,
}

/// The table is full: [`limits::SESSIONS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many sessions")]
pub struct Full;

/// A session that ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// Its id.
    pub id: SessionId,
    /// Address of the peer.
    pub host: IpAddr,
    /// Stream.
    pub stream: Arc<str>,
    /// Name of the output or protocol.
    pub connector: &'static str,
    /// What it was to the stream.
    pub kind: Kind,
    /// Unix time of its start in seconds.
    pub since: u64,
    /// How long it was there, in seconds.
    pub seconds: u64,
    /// Bytes sent to the peer.
    pub up: u64,
    /// Bytes received from the peer.
    pub down: u64,
    ended_ms: u64,
}

/// The sessions of one stream, those of the last ten minutes included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Viewers now.
    pub viewers: u32,
    /// Sources now.
    pub inputs: u32,
    /// Pushes now.
    pub outputs: u32,
    /// Viewers of the last ten minutes, those of now included.
    pub recent: u32,
    /// Viewers ever, while the server remembers the stream.
    pub views: u64,
    /// Bytes sent to viewers.
    pub up: u64,
    /// Bytes received from sources.
    pub down: u64,
    /// Seconds that all viewers have watched.
    pub view_seconds: u64,
}

impl Summary {
    /// Everybody who is connected.
    pub fn clients(&self) -> u32 {
        self.viewers.saturating_add(self.inputs).saturating_add(self.outputs)
    }
}

/// What is known of a stream without looking at its sessions.
#[derive(Debug, Default)]
struct Totals {
    viewers: AtomicU32,
    inputs: AtomicU32,
    outputs: AtomicU32,
    views: AtomicU64,
    // Of ended sessions.
    up: AtomicU64,
    down: AtomicU64,
    view_seconds: AtomicU64,
    last_ms: AtomicU64,
}

impl Totals {
    fn gauge(&self, kind: Kind) -> &AtomicU32 {
        match kind {
            Kind::Viewer => &self.viewers,
            Kind::Input => &self.inputs,
            Kind::Output => &self.outputs,
        }
    }
}

#[derive(Debug)]
struct Entry {
    id: SessionId,
    host: IpAddr,
    stream: Arc<str>,
    connector: &'static str,
    kind: Kind,
    lingers: bool,
    agent: Mutex<Box<str>>,
    totals: Arc<Totals>,
    since: u64,
    start_ms: u64,
    last_ms: AtomicU64,
    open: AtomicU32,
    up: AtomicU64,
    down: AtomicU64,
    position_ms: AtomicI64,
}

/// All sessions.
#[derive(Debug)]
pub struct SessionTable {
    log: Log,
    epoch: Instant,
    connections: AtomicU32,
    count: AtomicUsize,
    shards: [Mutex<HashMap<SessionId, Arc<Entry>>>; SHARDS],
    streams: Mutex<HashMap<Arc<str>, Arc<Totals>>>,
    history: Mutex<VecDeque<Ended>>,
}

/// Holds a session open and counts for it. Dropping it ends the session, or starts the time after which it ends.
#[derive(Debug)]
pub struct SessionGuard {
    table: Arc<SessionTable>,
    entry: Arc<Entry>,
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}

fn shortened(agent: &str) -> Box<str> {
    let mut end = agent.len().min(limits::AGENT_BYTES);
    while !agent.is_char_boundary(end) {
        end -= 1;
    }
    agent.get(..end).unwrap_or_default().into()
}

impl SessionTable {
    /// An empty table that writes its access log to `log`.
    pub fn new(log: Log) -> Arc<Self> {
        Arc::new(Self {
            log,
            epoch: Instant::now(),
            connections: AtomicU32::new(1),
            count: AtomicUsize::new(0),
            shards: std::array::from_fn(|_| Mutex::default()),
            streams: Mutex::default(),
            history: Mutex::default(),
        })
    }

    /// Ends what is inactive, once a second, for ever.
    pub async fn run(self: Arc<Self>) {
        let mut second = tokio::time::interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            second.tick().await;
            self.sweep(Instant::now());
        }
    }

    /// Opens a session, or joins the one that the viewer already has.
    ///
    /// # Errors
    /// There are too many.
    pub fn open(self: &Arc<Self>, open: &Open<'_>) -> Result<SessionGuard, Full> {
        self.open_at(open, Instant::now())
    }

    fn ms(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.epoch).as_millis() as u64
    }

    fn shard(&self, id: &SessionId) -> MutexGuard<'_, HashMap<SessionId, Arc<Entry>>> {
        let [first, ..] = id.0;
        // SHARDS is above zero, so there is always one.
        let [zero, ..] = &self.shards;
        lock(self.shards.get(usize::from(first) % SHARDS).unwrap_or(zero))
    }

    fn open_at(self: &Arc<Self>, open: &Open<'_>, now: Instant) -> Result<SessionGuard, Full> {
        let host = open.host.to_canonical();
        let (crc, agent) = match open.client {
            Client::Connection => (self.connections.fetch_add(1, Relaxed), ""),
            Client::Requests { agent, playback } => (agent_crc(agent, playback), agent),
        };
        let label = match open.kind {
            Kind::Viewer => open.connector,
            Kind::Input => "INPUT",
            Kind::Output => "OUTPUT",
        };
        let id = SessionId::new(host, open.stream, label, crc);
        let mut shard = self.shard(&id);
        let entry = match shard.entry(id) {
            Slot::Occupied(e) => {
                let e = e.get().clone();
                e.open.fetch_add(1, Relaxed);
                e
            }
            Slot::Vacant(place) => {
                if self.count.fetch_add(1, Relaxed) >= limits::SESSIONS {
                    self.count.fetch_sub(1, Relaxed);
                    return Err(Full);
                }
                let (stream, totals) = self.totals(open.stream);
                let now_ms = self.ms(now);
                totals.gauge(open.kind).fetch_add(1, Relaxed);
                totals.views.fetch_add(u64::from(open.kind == Kind::Viewer), Relaxed);
                totals.last_ms.fetch_max(now_ms, Relaxed);
                let e = Arc::new(Entry {
                    id,
                    host,
                    stream,
                    connector: open.connector,
                    kind: open.kind,
                    lingers: matches!(open.client, Client::Requests { .. }),
                    agent: Mutex::new(shortened(agent)),
                    totals,
                    since: unix_now(),
                    start_ms: now_ms,
                    last_ms: AtomicU64::new(now_ms),
                    open: AtomicU32::new(1),
                    up: AtomicU64::new(0),
                    down: AtomicU64::new(0),
                    position_ms: AtomicI64::new(0),
                });
                place.insert(e.clone());
                e
            }
        };
        drop(shard);
        Ok(SessionGuard { table: self.clone(), entry })
    }

    fn totals(&self, stream: &str) -> (Arc<str>, Arc<Totals>) {
        let mut all = lock(&self.streams);
        if let Some((name, t)) = all.get_key_value(stream) {
            return (name.clone(), t.clone());
        }
        let name: Arc<str> = stream.into();
        let t = Arc::new(Totals::default());
        all.insert(name.clone(), t.clone());
        (name, t)
    }

    fn close(&self, entry: &Entry, now: Instant) {
        let now_ms = self.ms(now);
        entry.last_ms.fetch_max(now_ms, Relaxed);
        let mut shard = self.shard(&entry.id);
        // Under the lock, so that nobody can join at this moment.
        if entry.open.fetch_sub(1, Relaxed) == 1 && !entry.lingers {
            let gone = shard.remove(&entry.id);
            drop(shard);
            if gone.is_some() {
                self.ended(entry, now_ms);
            }
        }
    }

    fn ended(&self, e: &Entry, now_ms: u64) {
        self.count.fetch_sub(1, Relaxed);
        let (up, down) = (e.up.load(Relaxed), e.down.load(Relaxed));
        let seconds = e.last_ms.load(Relaxed).saturating_sub(e.start_ms) / 1000;
        let t = &e.totals;
        t.gauge(e.kind).fetch_sub(1, Relaxed);
        t.last_ms.fetch_max(now_ms, Relaxed);
        match e.kind {
            Kind::Viewer => {
                t.up.fetch_add(up, Relaxed);
                t.view_seconds.fetch_add(seconds, Relaxed);
            }
            Kind::Input => drop(t.down.fetch_add(down, Relaxed)),
            Kind::Output => {}
        }
        let rate = |bytes: u64| bytes / 1024 / seconds.max(1);
        let label = match e.kind {
            Kind::Viewer => e.connector,
            Kind::Input => "INPUT",
            Kind::Output => "OUTPUT",
        };
        let mut line = format!(
            "Session <{}> {} ({label}) from {} ended after {seconds}s, avg {}KB/s up {}KB/s down.",
            e.id,
            e.stream,
            e.host,
            rate(up),
            rate(down),
        );
        {
            let agent = lock(&e.agent);
            if !agent.is_empty() {
                line.push_str(" Tags: [UA:");
                line.push_str(&agent);
                line.push(']');
            }
        }
        self.log.access(&line);
        let mut history = lock(&self.history);
        if history.len() >= limits::HISTORY {
            history.pop_front();
        }
        history.push_back(Ended {
            id: e.id,
            host: e.host,
            stream: e.stream.clone(),
            connector: e.connector,
            kind: e.kind,
            since: e.since,
            seconds,
            up,
            down,
            ended_ms: now_ms,
        });
    }

    fn sweep(&self, now: Instant) {
        let now_ms = self.ms(now);
        let inactive = limits::INACTIVE.as_millis() as u64;
        for shard in &self.shards {
            let mut gone = Vec::new();
            lock(shard).retain(|_, e| {
                let stays = !e.lingers
                    || e.open.load(Relaxed) > 0
                    || now_ms.saturating_sub(e.last_ms.load(Relaxed)) < inactive;
                if !stays {
                    gone.push(e.clone());
                }
                stays
            });
            for e in gone {
                self.ended(&e, now_ms);
            }
        }
        let old = limits::HISTORY_TIME.as_millis() as u64;
        let mut history = lock(&self.history);
        while history.front().is_some_and(|h| now_ms.saturating_sub(h.ended_ms) >= old) {
            history.pop_front();
        }
        drop(history);
        lock(&self.streams).retain(|_, t| {
            let here = t.viewers.load(Relaxed) + t.inputs.load(Relaxed) + t.outputs.load(Relaxed);
            here > 0 || Arc::strong_count(t) > 1 || now_ms.saturating_sub(t.last_ms.load(Relaxed)) < old
        });
    }

    /// Sessions at the moment.
    pub fn len(&self) -> usize {
        self.count.load(Relaxed)
    }

    /// Whether there are no sessions at the moment.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Viewers of a stream at the moment.
    pub fn viewers(&self, stream: &str) -> u32 {
        lock(&self.streams).get(stream).map_or(0, |t| t.viewers.load(Relaxed))
    }

    /// Sessions that ended in the last ten minutes, oldest first.
    pub fn history(&self) -> Vec<Ended> {
        lock(&self.history).iter().cloned().collect()
    }

    /// Every stream that has sessions, or had some in the last ten minutes.
    pub fn summaries(&self) -> BTreeMap<String, Summary> {
        let mut all: BTreeMap<String, Summary> = BTreeMap::new();
        for (name, t) in lock(&self.streams).iter() {
            let s = Summary {
                viewers: t.viewers.load(Relaxed),
                inputs: t.inputs.load(Relaxed),
                outputs: t.outputs.load(Relaxed),
                recent: t.viewers.load(Relaxed),
                views: t.views.load(Relaxed),
                up: t.up.load(Relaxed),
                down: t.down.load(Relaxed),
                view_seconds: t.view_seconds.load(Relaxed),
            };
            all.insert(name.to_string(), s);
        }
        let now_ms = self.ms(Instant::now());
        for shard in &self.shards {
            for e in lock(shard).values() {
                let Some(s) = all.get_mut(&*e.stream) else { continue };
                match e.kind {
                    Kind::Viewer => {
                        s.up += e.up.load(Relaxed);
                        s.view_seconds += now_ms.saturating_sub(e.start_ms) / 1000;
                    }
                    Kind::Input => s.down += e.down.load(Relaxed),
                    Kind::Output => {}
                }
            }
        }
        for h in lock(&self.history).iter().filter(|h| h.kind == Kind::Viewer) {
            if let Some(s) = all.get_mut(&*h.stream) {
                s.recent += 1;
            }
        }
        all
    }
}

impl SessionGuard {
    /// The session's id.
    pub fn id(&self) -> SessionId {
        self.entry.id
    }

    /// Counts bytes that were sent to the peer.
    pub fn sent(&self, bytes: u64) {
        self.entry.up.fetch_add(bytes, Relaxed);
    }

    /// Counts bytes that came from the peer.
    pub fn received(&self, bytes: u64) {
        self.entry.down.fetch_add(bytes, Relaxed);
    }

    /// Where in the media the peer is, in milliseconds.
    pub fn position(&self, ms: i64) {
        self.entry.position_ms.store(ms, Relaxed);
    }

    /// What the peer calls itself, when that becomes known later.
    pub fn agent(&self, agent: &str) {
        *lock(&self.entry.agent) = shortened(agent);
    }
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        self.table.close(&self.entry, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open<'a>(stream: &'a str, kind: Kind, agent: Option<&'a str>) -> Open<'a> {
        let client = match agent {
            None => Client::Connection,
            Some(agent) => Client::Requests { agent, playback: "" },
        };
        Open {
            host: [10, 0, 0, 1].into(),
            stream,
            connector: if agent.is_some() { "HLS" } else { "RTMP" },
            kind,
            client,
        }
    }

    #[test]
    fn a_connection_is_a_session_and_ends_with_it() {
        let log = Log::quiet();
        let t = SessionTable::new(log.clone());
        let source = t.open(&open("live", Kind::Input, None)).unwrap();
        let a = t.open(&open("live", Kind::Viewer, None)).unwrap();
        let b = t.open(&open("live", Kind::Viewer, None)).unwrap();
        assert_ne!(a.id(), b.id());
        a.sent(5000);
        a.received(7);
        a.position(1234);
        a.agent("LNX 9,0,124,2\r\nX: y");
        source.received(900);
        assert_eq!((t.len(), t.viewers("live"), t.viewers("x")), (3, 2, 0));
        let id = a.id();
        drop(a);
        let s = t.summaries()["live"].clone();
        assert_eq!(
            (s.viewers, s.inputs, s.outputs, s.recent, s.views, s.up, s.down),
            (1, 1, 0, 2, 2, 5000, 900)
        );
        assert_eq!(s.clients(), 2);
        let last = log.last();
        assert_eq!(
            last.last().unwrap().text,
            format!(
                "Session <{id}> live (RTMP) from 10.0.0.1 ended after 0s, avg 4KB/s up 0KB/s down. \
                 Tags: [UA:LNX 9,0,124,2\\r\\nX: y]"
            )
        );
        drop((source, b));
        assert!(t.is_empty());
        assert!(log.last().iter().any(|e| e.text.contains("live (INPUT)")));
    }

    #[test]
    fn requests_of_one_player_are_one_session_until_it_is_silent() {
        let t = SessionTable::new(Log::quiet());
        let t0 = Instant::now();
        let first = t.open_at(&open("live", Kind::Viewer, Some("Safari")), t0).unwrap();
        let id = first.id();
        first.sent(10);
        drop(first);
        for s in 1..4 {
            let at = t0 + Duration::from_secs(s * 10);
            t.sweep(at);
            let g = t.open_at(&open("live", Kind::Viewer, Some("Safari")), at).unwrap();
            assert_eq!(g.id(), id);
            g.sent(10);
            g.entry.last_ms.store(t.ms(at), Relaxed);
        }
        let other = t.open_at(&open("live", Kind::Viewer, Some("Chrome")), t0).unwrap();
        assert_ne!(other.id(), id);
        assert_eq!(t.viewers("live"), 2);
        t.sweep(t0 + Duration::from_secs(46));
        assert_eq!(t.viewers("live"), 1, "an open request keeps its session");
        let h = t.history();
        assert_eq!((h.len(), h[0].seconds, h[0].up), (1, 30, 40));
        drop(other);
        t.sweep(t0 + Duration::from_secs(100));
        assert!(t.is_empty());
        t.sweep(t0 + Duration::from_secs(800));
        assert!(t.history().is_empty() && t.summaries().is_empty());
    }

    #[test]
    fn many_come_and_go_without_a_trace() {
        let t = SessionTable::new(Log::quiet());
        std::thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| {
                    for i in 0..5_000 {
                        let name = format!("s+{}", i % 50);
                        let g = t.open(&open(&name, Kind::Viewer, None)).unwrap();
                        g.sent(1);
                        let h = t.open(&open(&name, Kind::Viewer, Some("x"))).unwrap();
                        drop((g, h));
                    }
                });
            }
        });
        assert!(t.len() <= 50);
        t.sweep(Instant::now() + Duration::from_secs(16));
        assert!(t.is_empty());
        assert_eq!(t.summaries().values().map(|s| s.up).sum::<u64>(), 20_000);
        t.sweep(Instant::now() + Duration::from_secs(700));
        assert!(t.summaries().is_empty() && t.history().is_empty());
    }

    #[test]
    fn what_is_kept_has_an_end() {
        let t = SessionTable::new(Log::quiet());
        for _ in 0..limits::HISTORY + 10 {
            drop(t.open(&open("live", Kind::Output, None)).unwrap());
        }
        assert_eq!(t.history().len(), limits::HISTORY);
        let long = "é".repeat(limits::AGENT_BYTES);
        let g = t.open(&open("live", Kind::Viewer, Some(&long))).unwrap();
        assert_eq!(lock(&g.entry.agent).len(), limits::AGENT_BYTES);
        g.agent(&format!("x{long}"));
        assert_eq!(lock(&g.entry.agent).len(), limits::AGENT_BYTES - 1);
    }

    #[test]
    fn the_table_has_an_end() {
        let t = SessionTable::new(Log::quiet());
        t.count.store(limits::SESSIONS, Relaxed);
        assert_eq!(t.open(&open("live", Kind::Viewer, None)).unwrap_err(), Full);
        assert_eq!(t.len(), limits::SESSIONS);
        assert_eq!(t.viewers("live"), 0);
    }
}
