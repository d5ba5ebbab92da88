//! The configuration: MistServer's own JSON file (manual 4.1.4 and 4.1.8), and typed views over it.
//!
//! ```text
//! {"account": {"user": {"password": "<md5 hex>"}}, "config": {…}, "streams": {…}, "ui_settings": {…}, …}
//! ```
//!
//! The JSON document is the truth: members that this program doesn't know are kept and written back untouched.
//! [`Config`] is one state of it with what the server needs already read out; [`ConfigStore`] keeps the current
//! one, tells about changes and saves it atomically.

mod exec;
mod model;
mod store;
mod value;

pub use exec::{stream_runs_commands, triggers_run_commands};
pub use model::{Config, Controller, Level, Problem, ProtocolConfig, StreamConfig};
pub(crate) use store::member;
pub use store::{ConfigStore, LoadError, SaveError};
pub use value::truthy;
pub(crate) use value::{object, text, whole};

/// What flags and environment say. Accounts and the Prometheus passphrase go into the document, the rest only
/// overrides it for this run.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// User name and password hash of an account to make or update.
    pub account: Option<(String, String)>,
    /// Passphrase of the Prometheus page; empty clears it.
    pub prometheus: Option<String>,
    /// Address where the API listens.
    pub interface: Option<String>,
    /// Port where the API listens.
    pub port: Option<u16>,
    /// User to drop privileges to.
    pub username: Option<String>,
    /// Log level, 0 to 10.
    pub debug: Option<u8>,
    /// `LOG` or a file.
    pub accesslog: Option<String>,
}

impl std::fmt::Debug for Overrides {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Overrides")
            .field("interface", &self.interface)
            .field("port", &self.port)
            .field("username", &self.username)
            .field("debug", &self.debug)
            .field("accesslog", &self.accesslog)
            .finish_non_exhaustive()
    }
}

/// Bounds of the configuration.
pub mod limits {
    /// Largest configuration file that is read, in bytes.
    pub const FILE_BYTES: u64 = 64 << 20;
    /// Longest name of an account, in characters.
    pub const USER_CHARS: usize = 64;
    /// Buffer time when a stream has none, in milliseconds (manual 3.3.1.1, `DVR`).
    pub const DEFAULT_DVR_MS: u64 = 50_000;
    /// Longest buffer time, in milliseconds: one day.
    pub const MAX_DVR_MS: u64 = 86_400_000;
    /// Segment size when a stream has none, in milliseconds.
    pub const DEFAULT_SEGMENT_MS: u64 = 5_000;
    /// Segment sizes that make sense, in milliseconds.
    pub const SEGMENT_MS: std::ops::RangeInclusive<u64> = 100..=600_000;
}

/// Whether a text can be the name of an account.
pub fn check_name(user: &str) -> bool {
    let n = user.chars().count();
    (1..=limits::USER_CHARS).contains(&n) && !user.chars().any(char::is_control)
}
