//! From a name to a stream that is alive: made when somebody publishes or watches, gone when nobody does.

use super::live::{LiveStream, Numbers, Publisher, View};
use super::{ENDED, LINGER, MAX_STREAMS, SOURCE_WAIT, TAKEOVER_WAIT, source};
use crate::config::{Config, ConfigStore, StreamConfig};
use mist_core::buffer::StreamBuffer;
use mist_core::name::StreamName;
use mist_core::session::Refusal;
use mist_core::url::PushSource;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

/// Streams that are gone and whose numbers are remembered.
const MAX_PAST: usize = 50_000;
/// How long a host name in a `push://` source may take to resolve.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug)]
struct Entry {
    stream: Arc<LiveStream>,
    /// Handles: viewers, publishers and whoever waits.
    users: usize,
    /// When the last user or source left.
    idle_since: Option<Instant>,
    /// The server's own source, such as a clip in a loop, and how to end it.
    source: Option<(Arc<Notify>, JoinHandle<()>)>,
}

impl Entry {
    fn close(&self) {
        if let Some((stop, _)) = &self.source {
            stop.notify_one();
        }
        self.stream.close();
    }
}

/// All streams that are alive.
#[derive(Debug)]
pub struct Hub {
    config: Arc<ConfigStore>,
    streams: Mutex<HashMap<String, Entry>>,
    /// Where streams that are gone left off, so that players that still know them see numbers grow.
    past: Mutex<HashMap<String, Numbers>>,
    me: Weak<Self>,
}

/// A use of a stream: while it lives, the stream does.
#[derive(Debug)]
pub struct StreamHandle {
    stream: Arc<LiveStream>,
    hub: Weak<Hub>,
}

impl std::ops::Deref for StreamHandle {
    type Target = Arc<LiveStream>;
    fn deref(&self) -> &Self::Target {
        &self.stream
    }
}

impl Drop for StreamHandle {
    fn drop(&mut self) {
        if let Some(hub) = self.hub.upgrade() {
            hub.release(&self.stream);
        }
    }
}

impl Hub {
    /// A hub that follows the configuration.
    pub fn new(config: Arc<ConfigStore>) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            config,
            streams: Mutex::default(),
            past: Mutex::default(),
            me: me.clone(),
        })
    }

    /// Follows the configuration, keeps `always_on` streams up and forgets idle ones, until dropped.
    pub async fn run(self: Arc<Self>) {
        let mut changes = self.config.subscribe();
        loop {
            self.apply(&self.config.current());
            let pause = sleep(Duration::from_secs(5));
            tokio::select! {
                r = changes.changed() => if r.is_err() { return },
                () = pause => {}
            }
            self.sweep();
        }
    }

    /// A stream ends for good; where it left off is kept for a next one.
    fn close(&self, name: &str, e: &Entry) {
        e.close();
        let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        if past.len() >= MAX_PAST {
            past.clear();
        }
        past.insert(name.to_owned(), e.stream.peek(StreamBuffer::next_numbers));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Entry>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings what runs into line with the configuration.
    fn apply(&self, config: &Config) {
        let mut gone = Vec::new();
        for (name, e) in &*self.lock() {
            let was = e.stream.config();
            match StreamName::new(name).ok().and_then(|n| config.stream(n.as_str()).cloned()) {
                Some(now) if now.source == was.source => {
                    if now != was {
                        e.stream.set_config(now);
                    }
                }
                _ => gone.push(name.clone()),
            }
        }
        for name in gone {
            info!(stream = name, "no longer configured: ending it");
            self.remove(&name);
        }
        for (name, c) in config.streams() {
            if c.always_on
                && source::is_own(&c.source)
                && let Ok(n) = StreamName::new(name)
            {
                // Starting the source makes it stay; the handle itself isn't needed.
                drop(self.open(&n));
            }
        }
    }

    /// Takes a stream away: its publisher and viewers end.
    fn remove(&self, name: &str) {
        let e = self.lock().remove(name);
        if let Some(e) = e {
            self.close(name, &e);
        }
    }

    /// Forgets what nobody has used for a while.
    fn sweep(&self) {
        self.lock().retain(|name, e| {
            let c = e.stream.config();
            let linger = if c.resume { LINGER + Duration::from_millis(c.dvr_ms) } else { LINGER };
            // Viewers that wait for a source to come back wait as long, and are then told that it was the end.
            if e.stream.away().is_some_and(|t| t >= linger) {
                e.stream.end();
            }
            let idle = e.users == 0 && e.idle_since.is_some_and(|t| t.elapsed() >= linger + ENDED);
            let stays = c.always_on && e.source.is_some();
            if idle && !stays {
                debug!(stream = name, "idle: forgetting it");
                self.close(name, e);
                return false;
            }
            true
        });
    }

    /// The configuration that a name runs by.
    pub fn configured(&self, name: &StreamName) -> Option<Arc<StreamConfig>> {
        self.config.current().stream(name.as_str()).cloned()
    }

    /// A use of a configured stream; it is made, and its own source is started, if need be.
    ///
    /// # Errors
    /// It isn't configured, or too many streams are alive.
    pub fn open(&self, name: &StreamName) -> Result<StreamHandle, Refusal> {
        let config = self.configured(name).ok_or(Refusal::NotFound)?;
        let mut map = self.lock();
        if !map.contains_key(name.as_str()) {
            if map.len() >= MAX_STREAMS {
                warn!(stream = %name, "too many streams are alive ({MAX_STREAMS})");
                return Err(Refusal::Limit);
            }
            let past = self.past.lock().unwrap_or_else(PoisonError::into_inner).remove(name.as_str());
            let stream = Arc::new(LiveStream::new(name.clone(), config.clone(), past));
            map.insert(name.as_str().to_owned(), Entry { stream, users: 0, idle_since: None, source: None });
        }
        let Some(e) = map.get_mut(name.as_str()) else { return Err(Refusal::NotFound) };
        e.users += 1;
        e.idle_since = None;
        let handle = StreamHandle { stream: e.stream.clone(), hub: self.me.clone() };
        let running = e.source.as_ref().is_some_and(|(_, task)| !task.is_finished());
        if !running && source::is_own(&config.source) {
            let stop = Arc::new(Notify::new());
            let task = tokio::spawn(source::run(handle.stream.clone(), stop.clone()));
            e.source = Some((stop, task));
        }
        Ok(handle)
    }

    fn release(&self, stream: &Arc<LiveStream>) {
        let mut map = self.lock();
        let Some(e) = map.get_mut(stream.name().as_str()) else { return };
        if !Arc::ptr_eq(&e.stream, stream) {
            return;
        }
        e.users = e.users.saturating_sub(1);
        if e.users > 0 {
            return;
        }
        // Nobody ever wrote to it: it was only waited for.
        if e.source.is_none() && stream.peek(|b| b.version() == 0) {
            map.remove(stream.name().as_str());
        } else {
            e.idle_since = Some(Instant::now());
        }
    }

    /// A stream that is alive now, without making one.
    pub fn existing(&self, name: &str) -> Option<Arc<LiveStream>> {
        self.lock().get(name).map(|e| e.stream.clone())
    }

    /// Streams that have media or somebody who writes, with the number of their users.
    pub fn active(&self) -> Vec<Arc<LiveStream>> {
        let all: Vec<_> = self.lock().values().map(|e| e.stream.clone()).collect();
        all.into_iter().filter(|s| s.peek(StreamBuffer::has_source)).collect()
    }

    /// Opens a stream to watch it, waiting for its source and its first track if need be.
    ///
    /// # Errors
    /// It isn't configured, or its source does not come up within [`SOURCE_WAIT`].
    pub async fn watch(&self, name: &StreamName) -> Result<(StreamHandle, View), Refusal> {
        let handle = self.open(name)?;
        let mut view = handle.view();
        let ready = view.wait_for(|b| {
            let known = b.has_source() && b.tracks_known() && b.tracks().next().is_some();
            known || (b.ended() && handle.is_closed())
        });
        match timeout(SOURCE_WAIT, ready).await {
            Ok(Ok(b)) if b.has_source() => {}
            _ => return Err(Refusal::Offline),
        }
        Ok((handle, view))
    }

    /// Whether `peer` may publish to a stream by its `push://` source.
    async fn admits(&self, source: &str, peer: IpAddr, secret: Option<&str>) -> bool {
        let Ok(push) = PushSource::parse(source) else { return false };
        let resolved = match push.needs_resolving() {
            None => Vec::new(),
            Some(host) => match timeout(RESOLVE_TIMEOUT, tokio::net::lookup_host((host, 0))).await {
                Ok(Ok(all)) => all.map(|a| a.ip()).collect(),
                _ => {
                    warn!(host, "host of a push:// source does not resolve");
                    Vec::new()
                }
            },
        };
        push.admits(peer, &resolved, secret)
    }

    /// The right to write a stream.
    ///
    /// The first publisher of a name stays: a second one waits [`TAKEOVER_WAIT`] for it to end or to fall silent
    /// for [`super::SILENT_PUBLISHER`], and is refused if it does neither.
    ///
    /// # Errors
    /// Not configured for publishing, not allowed, or taken.
    pub async fn publish(
        &self,
        name: &StreamName,
        peer: IpAddr,
        secret: Option<&str>,
        kick: &Arc<Notify>,
    ) -> Result<(StreamHandle, Publisher), Refusal> {
        let config = self.configured(name).ok_or(Refusal::NotFound)?;
        if !config.source.starts_with("push://") {
            return Err(Refusal::Denied);
        }
        if !self.admits(&config.source, peer, secret).await {
            return Err(Refusal::Denied);
        }
        let until = Instant::now() + TAKEOVER_WAIT;
        loop {
            let handle = self.open(name)?;
            let stream = handle.stream.clone();
            let changed = stream.changed.notified();
            if let Some(p) = handle.try_publish(kick) {
                return Ok((handle, p));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Refusal::Busy);
            }
            // Silence is no event: look again from time to time.
            let _ = timeout(left.min(Duration::from_millis(250)), changed).await;
        }
    }

    /// Ends all streams, for a stop of the server.
    pub fn shutdown(&self) {
        let names: Vec<String> = self.lock().keys().cloned().collect();
        for n in names {
            self.remove(&n);
        }
    }
}
