//! The API on port 4242 (manual 4.1): a JSON object of commands in, a JSON object of answers out.
//!
//! [`handle`] is the HTTP side: it finds the commands in the request, decides whether it may act, and writes the
//! answer in the form that MistServer's clients know. [`Api::execute`] is the rest. Every command is an entry of
//! [`commands::COMMANDS`] and a function in the file of its group.

mod active;
pub mod auth;
mod capabilities;
pub mod commands;
mod config;
mod facts;
mod json;
mod logs;
mod origin;
mod protocols;
mod request;
mod streams;
mod transport;

pub use facts::{ActiveStream, Facts, StreamState};
pub use transport::{Connection, handle};

use crate::config::ConfigStore;
use crate::log::Log;
use crate::session::SessionTable;
use crate::system::CpuMeter;
use auth::{Auth, Verdict};
use serde_json::{Map, Value, json};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What the program calls itself in answers.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "/mist");

/// Bounds of requests.
pub mod limits {
    use std::time::Duration;

    /// Largest body of a request, in bytes. Nesting is bounded by the JSON parser, at 128.
    pub const BODY_BYTES: usize = 4 << 20;
    /// How long a body may take to arrive.
    pub const BODY_TIME: Duration = Duration::from_secs(15);
    /// Longest name of a JSONP function.
    pub const CALLBACK_BYTES: usize = 64;
}

/// The API of a server.
pub struct Api {
    config: Arc<ConfigStore>,
    sessions: Arc<SessionTable>,
    log: Log,
    facts: Arc<dyn Facts>,
    auth: Auth,
    iid: String,
    cpu: CpuMeter,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("iid", &self.iid).finish_non_exhaustive()
    }
}

/// Who asks, as far as the connection tells.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Address, through a proxy on this machine that of its client.
    pub ip: IpAddr,
    /// From this machine, not forwarded, and not by a web page of another origin.
    pub local: bool,
    /// The account that this caller showed to own earlier on this connection.
    pub known: Option<Login>,
}

/// An account that somebody has logged in with. It is worth nothing once the password is another.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    user: String,
    hash: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

/// What came of a request.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The answer.
    pub answer: Map<String, Value>,
    /// The caller may use the API.
    pub allowed: bool,
    /// The account that the caller logged in with.
    pub login: Option<Login>,
    /// The configuration is to be saved before the answer is sent.
    pub save: bool,
}

pub(crate) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}

impl Api {
    /// An API with a secret of its own; `seed` are random bytes that are new at every start.
    pub fn new(
        config: Arc<ConfigStore>,
        sessions: Arc<SessionTable>,
        log: Log,
        facts: Arc<dyn Facts>,
        seed: [u8; 32],
    ) -> Self {
        // The instance's id is public, so it must say nothing about the secret that is made of the same seed.
        let iid = auth::password_hash(&format!("iid {}", auth::hex(&seed))).chars().take(16).collect();
        Self { config, sessions, log, facts, auth: Auth::new(seed), iid, cpu: CpuMeter::default() }
    }

    /// The configuration that it works on.
    pub fn config(&self) -> &Arc<ConfigStore> {
        &self.config
    }

    /// Carries out a request. Doesn't block, save for `/proc`.
    pub fn execute(&self, request: &Map<String, Value>, caller: &Caller) -> Outcome {
        let mut out = Outcome::default();
        let status = self.authorize(request.get("authorize"), caller, &mut out);
        if out.allowed {
            out.answer.insert("LTS".to_owned(), json!(1));
            commands::run(self, request, &mut out);
        }
        out.answer.insert("authorize".to_owned(), status);
        out
    }

    /// Decides whether the caller may use the API, and makes what `authorize` answers (manual 4.1.1).
    fn authorize(&self, asked: Option<&Value>, caller: &Caller, out: &mut Outcome) -> Value {
        let config = self.config.current();
        let now = unix_now();
        let word =
            |key: &str| asked.and_then(|a| a.get(key)).and_then(Value::as_str).filter(|s| !s.is_empty());
        let trusted = caller.local && config.controller().local_login;
        if config.accounts().next().is_none() {
            out.allowed = trusted;
            let (Some(user), Some(password)) = (word("new_username"), word("new_password")) else {
                return json!({"status": "NOACC"});
            };
            if !caller.local {
                tracing::warn!("{} asked for the first account, which only this machine may make", caller.ip);
                return json!({"status": "NOACC"});
            }
            if !crate::config::check_name(user) {
                return json!({"status": "NOACC", "error": "user names have 1 to 64 characters"});
            }
            let hash = auth::password_hash(password);
            self.config.set_account(user, &hash);
            tracing::info!(target: crate::log::CONF, "Account {user} made through the API");
            // Lost in a crash, the door would be open again.
            out.save = true;
            return json!({"status": "ACC_MADE", "challenge": self.auth.challenge(caller.ip, now)});
        }
        let hash_of = |user: &str| config.accounts().find(|(u, _)| *u == user).map(|(_, h)| h);
        let known = caller.known.as_ref().filter(|l| hash_of(&l.user) == Some(&l.hash));
        if trusted || known.is_some() {
            out.allowed = true;
            return json!({"status": "OK"});
        }
        if let (Some(user), Some(answer)) = (word("username"), word("password")) {
            let hash = hash_of(user);
            match self.auth.check(user, hash, answer, caller.ip, now) {
                Verdict::Yes => {
                    out.allowed = true;
                    out.login = hash.map(|h| Login { user: user.to_owned(), hash: h.to_owned() });
                    return json!({"status": "OK"});
                }
                Verdict::No => tracing::warn!("Log-in to the API failed: user {user}, address {}", caller.ip),
                Verdict::Limited => {
                    tracing::warn!("Log-in to the API refused: too many attempts, address {}", caller.ip);
                }
            }
        }
        json!({"status": "CHALL", "challenge": self.auth.challenge(caller.ip, now)})
    }
}
