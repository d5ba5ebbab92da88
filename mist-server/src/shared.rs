//! What every connection needs of the server.

use crate::config::ConfigStore;
use crate::drive::Pace;
use crate::session::SessionTable;
use crate::stream::Hub;
use std::sync::Arc;
use tokio::sync::watch;

/// What every connection needs of the server.
#[derive(Debug, Clone)]
pub struct Shared {
    /// Configuration.
    pub config: Arc<ConfigStore>,
    /// Streams.
    pub hub: Arc<Hub>,
    /// Who is connected.
    pub sessions: Arc<SessionTable>,
    /// How wake-ups are spread.
    pub pace: Arc<Pace>,
    /// Becomes true when the server stops.
    pub stop: watch::Receiver<bool>,
}

impl Shared {
    /// Waits until the server stops.
    pub async fn stopped(&self) {
        let mut stop = self.stop.clone();
        // A sender that is gone is a server that is gone.
        let _ = stop.wait_for(|s| *s).await;
    }
}
