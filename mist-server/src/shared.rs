//! What every connection needs of the server.

use crate::config::ConfigStore;
use crate::drive::Pace;
use crate::session::SessionTable;
use crate::stream::Hub;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
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
    /// Connections there are.
    pub counter: Arc<AtomicUsize>,
}

impl Shared {
    /// Counts a connection for as long as the result lives.
    pub fn connection(&self) -> impl Send + Sync + 'static + use<> {
        self.counter.fetch_add(1, Relaxed);
        Counted(self.counter.clone())
    }

    /// Connections there are.
    pub fn connections(&self) -> usize {
        self.counter.load(Relaxed)
    }

    /// Waits until the server stops.
    pub async fn stopped(&self) {
        let mut stop = self.stop.clone();
        // A sender that is gone is a server that is gone.
        let _ = stop.wait_for(|s| *s).await;
    }
}

struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
