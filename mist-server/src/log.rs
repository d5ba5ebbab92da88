//! The log: one line a message on stderr and in an optional file, the last hundred for the API, and the access
//! log.
//!
//! Texts come from peers, so they are made harmless here: control characters, line ends, terminal sequences and
//! characters that change the direction of text are escaped, and long ones are cut. A place in the program that
//! repeats itself is cut short as well: a peer can make one warning a packet.
//!
//! Messages of kind [`CONF`] and [`ACCS`] are shown at every level. Others follow MistServer's levels: 1 and 2
//! errors, 3 warnings, 4 information, 5 and 6 details, 7 to 10 everything.

use crate::config::Config;
use std::collections::{HashMap, VecDeque};
use std::fmt::{self, Write as _};
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;
use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber, subscriber::Interest};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// Target of messages about configuration, listeners, start and stop: `tracing::info!(target: log::CONF, …)`.
pub const CONF: &str = "CONF";
/// Target of access-log lines; use [`Log::access`].
pub const ACCS: &str = "ACCS";

/// Bounds of the log.
pub mod limits {
    use std::time::Duration;

    /// Messages that the API shows.
    pub const RING: usize = 100;
    /// Longest message in bytes, before escaping.
    pub const MESSAGE_BYTES: usize = 2000;
    /// Messages that one place in the program may write in a [`WINDOW`].
    pub const BURST: u32 = 20;
    /// How long a place is watched for repetition.
    pub const WINDOW: Duration = Duration::from_secs(10);
}

/// A message as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Seconds since 1970.
    pub unix: u64,
    /// Four letters or so: `CONF`, `ERROR`, `WARN`, `INFO`, `ACCS`…
    pub kind: &'static str,
    /// The message, harmless to print.
    pub text: String,
}

/// The log. Cheap to clone.
#[derive(Clone)]
pub struct Log(Arc<Inner>);

struct Inner {
    level: AtomicU8,
    stderr: bool,
    ring: Mutex<VecDeque<Entry>>,
    file: Option<Mutex<Sink>>,
    access: Mutex<Option<Sink>>,
    repeats: Mutex<HashMap<Identifier, Repeat>>,
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("level", &self.level()).finish_non_exhaustive()
    }
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Log {
    /// A log that writes to stderr, and to `file` as well.
    ///
    /// # Errors
    /// The file can't be opened.
    pub fn new(level: u8, file: Option<&Path>) -> io::Result<Self> {
        let file = file.map(Sink::open).transpose()?.map(Mutex::new);
        Ok(Self::with(level, file, true))
    }

    /// A log that only keeps the last messages, for tests and programs that have their own.
    pub fn quiet() -> Self {
        Self::with(3, None, false)
    }

    fn with(level: u8, file: Option<Mutex<Sink>>, stderr: bool) -> Self {
        Self(Arc::new(Inner {
            level: AtomicU8::new(level),
            stderr,
            ring: Mutex::new(VecDeque::with_capacity(limits::RING)),
            file,
            access: Mutex::new(None),
            repeats: Mutex::new(HashMap::new()),
        }))
    }

    /// A subscriber that writes what `tracing`'s macros say into this log.
    pub fn subscriber(&self) -> impl Subscriber + Send + Sync + use<> {
        tracing_subscriber::registry().with(Writer(self.clone()))
    }

    /// Makes it the log of the whole process. Only the first of a process has an effect.
    pub fn install(&self) {
        let _ = tracing::subscriber::set_global_default(self.subscriber());
    }

    /// MistServer's level, 0 to 10.
    pub fn level(&self) -> u8 {
        self.0.level.load(Ordering::Relaxed)
    }

    /// Changes the level.
    pub fn set_level(&self, level: u8) {
        self.0.level.store(level.min(10), Ordering::Relaxed);
        tracing::callsite::rebuild_interest_cache();
    }

    /// The last messages, oldest first.
    pub fn last(&self) -> Vec<Entry> {
        lock(&self.0.ring).iter().cloned().collect()
    }

    /// Forgets the last messages.
    pub fn clear(&self) {
        lock(&self.0.ring).clear();
    }

    /// Where access-log lines go: `LOG`, or a file. A file that can't be opened is said once, and they go to the
    /// log.
    pub fn set_access(&self, to: &str) {
        let mut access = lock(&self.0.access);
        if to == "LOG" || to.is_empty() {
            *access = None;
            return;
        }
        let path = Path::new(to);
        if access.as_ref().is_some_and(|s| s.path == path) {
            return;
        }
        match Sink::open(path) {
            Ok(sink) => *access = Some(sink),
            Err(e) => {
                *access = None;
                drop(access);
                tracing::error!("can't open the access log {to}: {e}; it goes to the ordinary log");
            }
        }
    }

    /// Writes a line of the access log.
    pub fn access(&self, line: &str) {
        let unix = unix_now();
        let text = harmless(line);
        let mut access = lock(&self.0.access);
        match access.as_mut() {
            Some(sink) => sink.write(&format_line(unix, ACCS, &text)),
            None => {
                drop(access);
                self.put(Entry { unix, kind: ACCS, text });
            }
        }
    }

    /// Follows the configuration: level and access log are as it says, at once and after every change.
    pub async fn follow(self, mut config: watch::Receiver<Arc<Config>>) {
        loop {
            let (level, access) = {
                let c = config.borrow_and_update();
                (c.debug(), c.accesslog().to_owned())
            };
            if level != self.level() {
                self.set_level(level);
            }
            self.set_access(&access);
            if config.changed().await.is_err() {
                return;
            }
        }
    }

    fn put(&self, e: Entry) {
        if self.0.stderr || self.0.file.is_some() {
            let line = format_line(e.unix, e.kind, &e.text);
            if self.0.stderr {
                // There is nowhere left to tell that stderr is gone.
                let _ = io::stderr().lock().write_all(line.as_bytes());
            }
            if let Some(file) = &self.0.file {
                lock(file).write(&line);
            }
        }
        let mut ring = lock(&self.0.ring);
        if ring.len() >= limits::RING {
            ring.pop_front();
        }
        ring.push_back(e);
    }

    fn wants(&self, m: &Metadata<'_>) -> bool {
        let level = self.level();
        if m.target() == CONF || m.target() == ACCS {
            return true;
        }
        // Libraries below us talk a lot, and about their own affairs.
        if !m.target().starts_with("mist") && level < 7 {
            return *m.level() == Level::ERROR && level > 0;
        }
        let max = match level {
            0 => return false,
            1 | 2 => Level::ERROR,
            3 => Level::WARN,
            4 => Level::INFO,
            5 | 6 => Level::DEBUG,
            _ => Level::TRACE,
        };
        *m.level() <= max
    }
}

struct Writer(Log);

impl<S: Subscriber> Layer<S> for Writer {
    fn register_callsite(&self, m: &'static Metadata<'static>) -> Interest {
        if self.0.wants(m) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, m: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.0.wants(m)
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let m = event.metadata();
        let mut text = Text(String::new());
        event.record(&mut text);
        let kind = match m.target() {
            CONF => CONF,
            ACCS => ACCS,
            _ => match *m.level() {
                Level::ERROR => "ERROR",
                Level::WARN => "WARN",
                Level::INFO => "INFO",
                Level::DEBUG => "DEBUG",
                Level::TRACE => "TRACE",
            },
        };
        let unix = unix_now();
        let (show, left_out) = {
            let mut all = lock(&self.0.0.repeats);
            all.entry(m.callsite()).or_default().allow(Instant::now())
        };
        if left_out > 0 {
            self.0.put(Entry {
                unix,
                kind,
                text: format!("{left_out} messages like the next one were left out"),
            });
        }
        if show {
            self.0.put(Entry { unix, kind, text: harmless(&text.0) });
        }
    }
}

/// How often one place spoke. One entry a place in the program, so the table is bounded by it.
#[derive(Debug, Default)]
struct Repeat {
    since: Option<Instant>,
    shown: u32,
    left_out: u64,
}

impl Repeat {
    /// Whether this message is shown, and how many were left out before it.
    fn allow(&mut self, now: Instant) -> (bool, u64) {
        let over = self.since.is_none_or(|s| now.saturating_duration_since(s) >= limits::WINDOW);
        if over {
            let left_out = std::mem::take(&mut self.left_out);
            *self = Self { since: Some(now), shown: 1, left_out: 0 };
            return (true, left_out);
        }
        if self.shown < limits::BURST {
            self.shown += 1;
            return (true, 0);
        }
        self.left_out += 1;
        (false, 0)
    }
}

struct Text(String);

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.0.insert_str(0, value);
        } else {
            let _ = write!(self.0, " {}={value}", field.name());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0.insert_str(0, &format!("{value:?}"));
        } else {
            let _ = write!(self.0, " {}={value:?}", field.name());
        }
    }
}

/// A file that lines are appended to.
struct Sink {
    path: PathBuf,
    file: File,
    failing: bool,
}

impl Sink {
    fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(0o640).open(path)?;
        Ok(Self { path: path.to_owned(), file, failing: false })
    }

    fn write(&mut self, line: &str) {
        // One write a line: other writers of the same file can't come in between.
        match self.file.write_all(line.as_bytes()) {
            Ok(()) => self.failing = false,
            // A full disk is said once, and writing is tried again with every line.
            Err(e) if !self.failing => {
                self.failing = true;
                let text = format!("can't write {}: {e}", self.path.display());
                let _ = io::stderr().lock().write_all(format_line(unix_now(), "ERROR", &text).as_bytes());
            }
            Err(_) => {}
        }
    }
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}

fn format_line(unix: u64, kind: &str, text: &str) -> String {
    let (y, mo, d) = civil(unix / 86_400);
    let s = unix % 86_400;
    format!("{y:04}-{mo:02}-{d:02}T{:02}:{:02}:{:02}Z {kind} {text}\n", s / 3600, s / 60 % 60, s % 60)
}

/// Year, month and day of a number of days since 1970-01-01, in the Gregorian calendar.
fn civil(days: u64) -> (u64, u64, u64) {
    // Counted from 1 March of year 0, so that the leap day is the last of its year.
    let z = days + 719_468;
    let era = z / 146_097;
    let doe = z % 146_097;
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + u64::from(month <= 2), month, doy - (153 * mp + 2) / 5 + 1)
}

/// A text that can't end a line, move a cursor or turn text around, of bounded length.
pub fn harmless(s: &str) -> String {
    let mut out = String::with_capacity(s.len().min(limits::MESSAGE_BYTES));
    for (i, c) in s.char_indices() {
        if i >= limits::MESSAGE_BYTES {
            out.push('…');
            break;
        }
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // Line and paragraph separators, marks and overrides of direction, invisible joiners.
            '\u{2028}'
            | '\u{2029}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
            | '\u{feff}' => {
                let _ = write!(out, "\\u{{{:x}}}", c as u32);
            }
            c if c.is_control() => {
                let _ = write!(out, "\\u{{{:x}}}", c as u32);
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (unix, want) in [
            (0, "1970-01-01T00:00:00Z X y\n"),
            (951_782_399, "2000-02-28T23:59:59Z X y\n"),
            (951_782_400, "2000-02-29T00:00:00Z X y\n"),
            (1_795_359_748, "2026-11-22T15:02:28Z X y\n"),
            (4_107_542_400, "2100-03-01T00:00:00Z X y\n"),
        ] {
            assert_eq!(format_line(unix, "X", "y"), want);
        }
    }

    #[test]
    fn hostile_text_stays_on_its_line() {
        assert_eq!(
            harmless("a\r\nb\x1b[31mc\0\u{85}\u{202e}d\u{2028}é"),
            "a\\r\\nb\\u{1b}[31mc\\u{0}\\u{85}\\u{202e}d\\u{2028}é"
        );
        let long = harmless(&"é".repeat(5000));
        assert_eq!((long.chars().count(), long.ends_with('…')), (1001, true));
    }

    #[test]
    fn levels_kinds_ring_and_repetition() {
        let log = Log::quiet();
        let _guard = tracing::subscriber::set_default(log.subscriber());
        let speak = || {
            tracing::error!(who = "peer\n1", "e");
            tracing::warn!("w");
            tracing::info!("i");
            tracing::info!(target: CONF, "c");
            tracing::info!(target: "hyper", "library");
        };
        let kinds = || log.last().iter().map(|e| e.kind).collect::<Vec<_>>().join(" ");
        for (level, want) in [
            (3, "ERROR WARN CONF"),
            (0, "CONF"),
            (1, "ERROR CONF"),
            (4, "ERROR WARN INFO CONF"),
            (10, "ERROR WARN INFO CONF INFO"),
        ] {
            log.set_level(level);
            log.clear();
            speak();
            assert_eq!(kinds(), want, "level {level}");
        }
        assert_eq!(log.last()[0].text, "e who=peer\\n1");
        log.clear();
        for i in 0..1000 {
            tracing::warn!("packet {i} lost");
        }
        assert_eq!(log.last().len() as u32, limits::BURST);
        for i in 0..300 {
            log.access(&format!("line {i}"));
        }
        assert_eq!((log.last().len(), log.last()[99].text.as_str()), (limits::RING, "line 299"));
    }

    #[test]
    fn what_was_left_out_is_told_afterwards() {
        let mut r = Repeat::default();
        let t = Instant::now();
        let shown = (0..100).filter(|_| r.allow(t).0).count();
        assert_eq!(shown as u32, limits::BURST);
        assert_eq!(r.allow(t + limits::WINDOW), (true, 100 - u64::from(limits::BURST)));
        assert_eq!(r.allow(t + limits::WINDOW), (true, 0));
    }

    #[tokio::test]
    async fn the_configuration_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let acc = dir.path().join("acc");
        let log = Log::quiet();
        let store = crate::config::ConfigStore::in_memory(serde_json::json!({"config": {"debug": 5}}));
        let following = tokio::spawn(log.clone().follow(store.subscribe()));
        tokio::task::yield_now().await;
        assert_eq!(log.level(), 5);
        store.update(|d| d["config"] = serde_json::json!({"debug": "1", "accesslog": acc}));
        drop(store);
        following.await.unwrap();
        log.access("x");
        assert_eq!((log.level(), log.last().len(), acc.exists()), (1, 0, true));
    }

    #[test]
    fn files() {
        let dir = tempfile::tempdir().unwrap();
        let (path, acc) = (dir.path().join("log"), dir.path().join("acc"));
        let log = Log::with(3, Some(Mutex::new(Sink::open(&path).unwrap())), false);
        log.access("to the log");
        log.set_access(acc.to_str().unwrap());
        log.access("to\nthe file");
        log.set_access(dir.path().to_str().unwrap());
        log.access("a folder is no file");
        let (text, acc) = (std::fs::read_to_string(&path).unwrap(), std::fs::read_to_string(&acc).unwrap());
        assert!(text.contains("ACCS to the log\n") && text.contains("ACCS a folder"), "{text}");
        assert!(acc.ends_with("ACCS to\\nthe file\n") && acc.lines().count() == 1, "{acc}");
    }
}
