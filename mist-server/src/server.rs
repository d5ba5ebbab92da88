//! The server as a value: started from a configuration, followed by its listeners, stopped gracefully.

use crate::api::{self, ActiveStream, Api, Facts, StreamState};
use crate::config::{ConfigStore, ProtocolConfig};
use crate::drive::{self, Listeners, Pace, Terms};
use crate::http::{self, router::Router};
use crate::log::{CONF, Log};
use crate::registry::{self, Maker};
use crate::session::SessionTable;
use crate::shared::Shared;
use crate::stream::Hub;
use crate::system;
use mist_core::buffer::{Health, StreamBuffer};
use mist_core::registry::{Serve, SessionConfig};
use mist_core::time::Timestamp;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tracing::{debug, error, info, warn};

/// How long connections may take to say goodbye when the server stops.
const GOODBYE: Duration = Duration::from_secs(5);
/// How often a listener that could not be bound is tried again.
const RETRY: Duration = Duration::from_secs(3);

/// A running server. Dropping it ends it at once; [`Server::stop`] lets connections say goodbye.
#[derive(Debug)]
pub struct Server {
    shared: Shared,
    listeners: Arc<Listeners>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    api: SocketAddr,
}

#[derive(Debug)]
struct Running {
    shared: Shared,
    listeners: Arc<Listeners>,
}

impl Facts for Running {
    fn stream_state(&self, name: &str, source: &str) -> StreamState {
        if self.shared.hub.existing(name).is_some_and(|s| s.peek(StreamBuffer::has_source)) {
            return StreamState::ACTIVE;
        }
        if registry::input_for(source).is_none() {
            let error = Some("Stream offline: no input for this source".to_owned());
            return StreamState { online: 0, error };
        }
        if source.starts_with("push://") {
            StreamState::WAITING
        } else {
            StreamState { online: 2, error: Some("Available".to_owned()) }
        }
    }

    fn active_streams(&self) -> Vec<ActiveStream> {
        self.shared
            .hub
            .active()
            .into_iter()
            .map(|s| {
                let zero = i64::try_from(s.zero_unix().as_secs()).unwrap_or(0);
                s.peek(|b| {
                    let first = b.tracks().filter_map(|t| b.first_dts(t.id)).min();
                    let last = b.live_dts();
                    let main = b.main_track().map(|t| b.health(t)).unwrap_or_default();
                    ActiveStream {
                        name: s.name().as_str().to_owned(),
                        status: if b.tracks().next().is_some() { "Online" } else { "Waiting for data" },
                        first_ms: first.map_or(0, Timestamp::as_millis),
                        last_ms: last.map_or(0, Timestamp::as_millis),
                        tracks: b.tracks().count(),
                        zero_unix: zero,
                        health: health(b, &main),
                    }
                })
            })
            .collect()
    }

    fn listening(&self, protocol: &ProtocolConfig) -> bool {
        self.listeners.address(protocol).is_some()
    }
}

fn health(b: &StreamBuffer, main: &Health) -> Value {
    let r = b.repairs();
    json!({
        "buffer": b.bytes(),
        "bps": main.bits_per_second / 8,
        "keyframe_min_ms": main.gop_min.as_millis(),
        "keyframe_max_ms": main.gop_max.as_millis(),
        "repaired": r.backward + r.outliers,
        "jumps": r.jumps,
        "restarts": b.restarts(),
    })
}

impl Server {
    /// Starts everything that the configuration enables. Listeners that can't be bound are logged and tried again;
    /// they don't stop the server, but the API's own port does.
    ///
    /// # Errors
    /// The API's address can't be bound, or the system has no random bytes.
    pub async fn start(config: Arc<ConfigStore>, log: Log) -> io::Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let shared = Shared {
            hub: Hub::new(config.clone()),
            sessions: SessionTable::new(log.clone()),
            pace: Arc::new(Pace::default()),
            config: config.clone(),
            stop: stopped,
            counter: Arc::default(),
        };
        let listeners = Arc::new(Listeners::default());
        let controller = config.current().controller();
        let listener = drive::bind(Some(&controller.interface), controller.port).await.map_err(|e| {
            let what = format!("API: can't listen on {} port {}: {e}", controller.interface, controller.port);
            io::Error::new(e.kind(), what)
        })?;
        let api_addr = listener.local_addr()?;
        info!(target: CONF, "API listens on {api_addr}");
        let facts = Arc::new(Running { shared: shared.clone(), listeners: listeners.clone() });
        let seed = system::random_bytes()?;
        let api = Arc::new(Api::new(config.clone(), shared.sessions.clone(), log.clone(), facts, seed));
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_api(listener, api, shared.clone()));
        tasks.spawn(shared.hub.clone().run());
        tasks.spawn(shared.sessions.clone().run());
        let pace = shared.pace.clone();
        tasks.spawn(async move { pace.run().await });
        tasks.spawn(log.follow(config.subscribe()));
        let (up, mut first) = watch::channel(false);
        tasks.spawn(keep_listeners(shared.clone(), listeners.clone(), up));
        // Ready when every enabled listener was tried once.
        let _ = first.wait_for(|u| *u).await;
        Ok(Self { shared, listeners, stop, tasks, api: api_addr })
    }

    /// Where the API listens.
    pub const fn api_address(&self) -> SocketAddr {
        self.api
    }

    /// Where an output listens, by its connector's name.
    pub fn address(&self, connector: &str) -> Option<SocketAddr> {
        self.listeners.by_name(connector)
    }

    /// Streams, sessions and configuration.
    pub const fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Ends gracefully: no new connections, goodbye to those there are.
    pub async fn stop(mut self) {
        info!(target: CONF, "stopping");
        let _ = self.stop.send(true);
        self.shared.hub.shutdown();
        let all = async {
            let mut tick = tokio::time::interval(Duration::from_millis(20));
            while self.shared.connections() > 0 {
                tick.tick().await;
            }
        };
        if tokio::time::timeout(GOODBYE, all).await.is_err() {
            debug!("{} connections did not end in time", self.shared.connections());
        }
        self.tasks.shutdown().await;
    }
}

async fn serve_api(listener: TcpListener, api: Arc<Api>, shared: Shared) {
    let s = shared.clone();
    let accept = drive::accept_loop(&listener, |io, peer| {
        let (api, shared) = (api.clone(), s.clone());
        tokio::spawn(async move {
            let conn = Arc::new(api::Connection::new(peer));
            let answer = move |req| {
                let (api, conn) = (api.clone(), conn.clone());
                async move { api::handle(req, &conn, &api).await }
            };
            http::serve(io, peer, &shared, answer).await;
        });
    });
    tokio::select! {
        () = accept => {}
        () = shared.stopped() => {}
    }
}

/// Keeps the listeners as the configuration has them.
async fn keep_listeners(shared: Shared, listeners: Arc<Listeners>, up: watch::Sender<bool>) {
    let mut running: HashMap<String, (ProtocolConfig, JoinHandle<()>)> = HashMap::new();
    let mut failed: HashMap<String, String> = HashMap::new();
    let mut changes = shared.config.subscribe();
    loop {
        let config = changes.borrow_and_update().clone();
        let wanted: HashMap<String, ProtocolConfig> = config
            .protocols()
            .iter()
            .filter(|p| registry::output(&p.connector).is_some_and(|o| o.port.is_some()))
            .map(|p| (format!("{p:?}"), p.clone()))
            .collect();
        for (_, (p, task)) in running.extract_if(|k, _| !wanted.contains_key(k)) {
            info!(target: CONF, "{}: no longer listening", p.connector);
            listeners.down(&p);
            task.abort();
            // The port is free when the task is gone.
            let _ = task.await;
        }
        failed.retain(|k, _| wanted.contains_key(k));
        for (k, p) in wanted {
            if running.contains_key(&k) {
                continue;
            }
            let Some(port) = p.port else { continue };
            match drive::bind(p.interface.as_deref(), port).await {
                Ok(l) => {
                    let addr = l.local_addr().unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], port)));
                    info!(target: CONF, "{} listens on {addr}", p.connector);
                    failed.remove(&k);
                    listeners.up(&p, addr);
                    let task = tokio::spawn(serve(l, p.clone(), shared.clone(), listeners.clone()));
                    running.insert(k, (p, task));
                }
                Err(e) => {
                    let what = e.to_string();
                    if failed.insert(k, what.clone()).as_ref() != Some(&what) {
                        error!("{}: can't listen on port {port}: {what}", p.connector);
                    }
                }
            }
        }
        let _ = up.send(true);
        tokio::select! {
            r = changes.changed() => if r.is_err() { return },
            () = tokio::time::sleep(RETRY), if !failed.is_empty() => {}
            () = shared.stopped() => break,
        }
    }
    for (_, task) in running.into_values() {
        task.abort();
    }
}

/// Serves one listener until its task is aborted; connections go on without it.
async fn serve(listener: TcpListener, p: ProtocolConfig, shared: Shared, listeners: Arc<Listeners>) {
    let Some(o) = registry::output(&p.connector) else { return };
    match o.maker {
        Maker::Server => {
            let router = Arc::new(Router { shared: shared.clone(), listeners });
            let each = |io, peer| {
                let router = router.clone();
                let shared = shared.clone();
                tokio::spawn(async move {
                    let answer = move |req| router.clone().handle(req, peer);
                    http::serve(io, peer, &shared, answer).await;
                });
            };
            drive::accept_loop(&listener, each).await;
        }
        Maker::Protocol(def) => {
            let Serve::Tcp(make) = def.serve else { return };
            let terms = Terms::read(&p.options);
            let each = |io: tokio::net::TcpStream, peer| {
                let shared = shared.clone();
                let options = p.options.clone();
                tokio::spawn(async move {
                    let Ok(seed) = system::random_bytes() else { return };
                    let session = make(&SessionConfig { seed, options });
                    let (r, w) = io.into_split();
                    let name = (o.connector.name, o.connector.codecs);
                    if let Err(e) = drive::drive(r, w, peer, session, name, terms, &shared).await {
                        warn!(%peer, connector = o.connector.name, "connection ended: {e}");
                    }
                });
            };
            drive::accept_loop(&listener, each).await;
        }
        Maker::Format(_) => {}
    }
}

/// Adds the demo stream to a configuration without streams. True if it was added.
pub fn add_demo(config: &ConfigStore) -> bool {
    if !config.current().streams().is_empty() {
        return false;
    }
    // Running from the start and in short segments, so that it is there at once for whoever looks.
    let demo = json!({"name": "demo", "source": crate::stream::source::DEMO, "always_on": true, "segmentsize": 2000});
    config.update(|doc| {
        if let Some(doc) = doc.as_object_mut() {
            let streams = doc.entry("streams").or_insert_with(|| json!({}));
            if let Some(s) = streams.as_object_mut() {
                s.insert("demo".to_owned(), demo);
            }
        }
    });
    true
}
