//! What the API needs to know from the running server.

use crate::config::ProtocolConfig;
use serde_json::Value;

/// How a configured stream is doing (manual 4.1.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamState {
    /// 0 error or without a source at the moment, 1 active, 2 inactive but available.
    pub online: u8,
    /// What to show as `error`, if anything.
    pub error: Option<String>,
}

impl StreamState {
    /// Media is there.
    pub const ACTIVE: Self = Self { online: 1, error: None };
    /// A push stream without a publisher: not active, and nothing is wrong.
    pub const WAITING: Self = Self { online: 0, error: None };
}

/// A stream that is active now (manual 4.1.19). Who watches it is known to the session table.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ActiveStream {
    /// Whole name, wildcard part included.
    pub name: String,
    /// One word for people: `Online`, `Booting`, `Waiting for data`…
    pub status: &'static str,
    /// First timestamp in the buffer in milliseconds.
    pub first_ms: i64,
    /// Last timestamp of a live stream in milliseconds; 0 for recorded ones.
    pub last_ms: i64,
    /// Number of tracks.
    pub tracks: usize,
    /// Unix time in seconds of timestamp 0 of a live stream.
    pub zero_unix: i64,
    /// Health figures, null when there are none.
    pub health: Value,
}

/// The running server as the API sees it. Called with no lock held; must not block.
pub trait Facts: Send + Sync {
    /// State of a configured stream. `source` is not empty.
    fn stream_state(&self, name: &str, source: &str) -> StreamState;
    /// Streams that are active, in any order.
    fn active_streams(&self) -> Vec<ActiveStream>;
    /// Whether the listener of an output is up. Asked only for outputs with a port.
    fn listening(&self, protocol: &ProtocolConfig) -> bool;
}
