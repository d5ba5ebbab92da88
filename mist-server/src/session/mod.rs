//! Who is connected: viewers, sources and pushes, with their counters, and the access log at their end.
//!
//! A session is one viewer, not one connection: the requests of an HLS player belong together. [`SessionTable`]
//! is locked only when a session opens or ends, in shards; counting is lock-free.

mod id;
mod table;

pub use id::{SessionId, agent_crc};
pub use table::{Client, Ended, Full, Kind, Open, SessionGuard, SessionTable, Summary};

/// Bounds of the session table.
pub mod limits {
    use std::time::Duration;

    /// Sessions at a time.
    pub const SESSIONS: usize = 200_000;
    /// Ended sessions that are remembered.
    pub const HISTORY: usize = 50_000;
    /// How long ended sessions are remembered.
    pub const HISTORY_TIME: Duration = Duration::from_secs(600);
    /// A session of single requests ends after this time without one.
    pub const INACTIVE: Duration = Duration::from_secs(15);
    /// Longest user agent that is kept, in bytes.
    pub const AGENT_BYTES: usize = 256;
}
