//! Answers what protocols ask: the one place where names, configuration, rights and limits meet.

use crate::shared::Shared;
use crate::stream::{Publisher, StreamHandle, View};
use mist_core::name::StreamName;
use mist_core::select::Selection;
use mist_core::session::{Ask, PlayFrom, Refusal, Ticket};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tracing::{debug, info, warn};

/// How long a refusal for a wrong passphrase or address is held back, so that guessing is slow.
const DENIED_DELAY: Duration = Duration::from_secs(1);

/// What became of an ask.
#[derive(Debug)]
pub enum Verdict {
    /// Media may come.
    Publish {
        /// Keeps the stream.
        handle: StreamHandle,
        /// The right to write it.
        publisher: Publisher,
    },
    /// Media may go.
    Play {
        /// Keeps the stream.
        handle: StreamHandle,
        /// Access to its buffer.
        view: View,
        /// Tracks that the viewer wants.
        selection: Selection,
        /// Where to start.
        from: PlayFrom,
    },
    /// The stream has no length: it is live.
    Length,
    /// No.
    No(Refusal),
}

/// Decides on an ask of `peer`.
pub async fn ask(
    shared: Shared,
    peer: SocketAddr,
    connector: &'static str,
    kick: Arc<Notify>,
    ticket: Ticket,
    ask: Ask,
) -> (Ticket, Verdict) {
    let verdict = match ask {
        Ask::Publish { stream, url: _, secret } => {
            let r = publish(&shared, peer, &stream, secret.as_deref(), &kick).await;
            match r {
                Ok((handle, publisher)) => {
                    info!(%peer, connector, stream = %handle.name(), "publishing");
                    Verdict::Publish { handle, publisher }
                }
                Err(why) => {
                    warn!(%peer, connector, stream, "publish refused: {why}");
                    if why == Refusal::Denied {
                        tokio::time::sleep(DENIED_DELAY).await;
                    }
                    Verdict::No(why)
                }
            }
        }
        Ask::Play { stream, url, from } => match play(&shared, &stream).await {
            Ok((handle, view)) => {
                debug!(%peer, connector, stream = %handle.name(), "playing");
                let query = url.rsplit_once('?').map_or("", |(_, q)| q);
                Verdict::Play { handle, view, selection: Selection::parse(query), from }
            }
            Err(why) => {
                info!(%peer, connector, stream, "play refused: {why}");
                Verdict::No(why)
            }
        },
        Ask::Length { .. } => Verdict::Length,
        _ => Verdict::No(Refusal::Denied),
    };
    (ticket, verdict)
}

async fn publish(
    shared: &Shared,
    peer: SocketAddr,
    stream: &str,
    secret: Option<&str>,
    kick: &Arc<Notify>,
) -> Result<(StreamHandle, Publisher), Refusal> {
    let name = StreamName::new(stream).map_err(|_| Refusal::NotFound)?;
    shared.hub.publish(&name, peer.ip().to_canonical(), secret, kick).await
}

async fn play(shared: &Shared, stream: &str) -> Result<(StreamHandle, View), Refusal> {
    let name = StreamName::new(stream).map_err(|_| Refusal::NotFound)?;
    shared.hub.watch(&name).await
}
