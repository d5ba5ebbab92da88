//! Bodies of answers: made of what is shared, never joined.

use crate::drive::READ_BATCH;
use crate::session::SessionGuard;
use crate::shared::Shared;
use crate::stream::{StreamHandle, View};
use bytes::{Buf, Bytes};
use http_body::{Frame, SizeHint};
use mist_core::buffer::{Cursor, Read};
use mist_core::format::{FormatError, Muxer};
use mist_core::gather::{Gather, Parts};
use mist_core::media::{Media, TrackId};
use mist_core::select::Selection;
use mist_core::time::Timestamp;
use smallvec::SmallVec;
use std::convert::Infallible;
use std::future::Future;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::time::sleep;
use tracing::{debug, warn};

/// A piece of a body.
#[derive(Debug)]
pub enum Chunk {
    /// In one.
    Bytes(Bytes),
    /// In many.
    Gather(Gather),
}

impl Buf for Chunk {
    fn remaining(&self) -> usize {
        match self {
            Self::Bytes(b) => b.remaining(),
            Self::Gather(g) => g.remaining(),
        }
    }
    fn chunk(&self) -> &[u8] {
        match self {
            Self::Bytes(b) => b.chunk(),
            Self::Gather(g) => g.chunk(),
        }
    }
    fn advance(&mut self, n: usize) {
        match self {
            Self::Bytes(b) => b.advance(n),
            Self::Gather(g) => g.advance(n),
        }
    }
    fn chunks_vectored<'a>(&'a self, dst: &mut [IoSlice<'a>]) -> usize {
        match self {
            Self::Bytes(b) => b.chunks_vectored(dst),
            Self::Gather(g) => g.chunks_vectored(dst),
        }
    }
}

type Next = Pin<Box<dyn Future<Output = (Box<Live>, Option<Gather>)> + Send>>;

/// A body.
#[derive(Default)]
pub enum Body {
    /// None.
    #[default]
    Empty,
    /// Of one piece.
    Full(Bytes),
    /// Of shared pieces, from the given one on.
    Parts(Parts, usize, u64, Option<SessionGuard>),
    /// Goes on as the stream does.
    Live(Next),
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Empty => "Empty",
            Self::Full(_) => "Full",
            Self::Parts(..) => "Parts",
            Self::Live(_) => "Live",
        })
    }
}

impl From<Bytes> for Body {
    fn from(b: Bytes) -> Self {
        if b.is_empty() { Self::Empty } else { Self::Full(b) }
    }
}

impl From<&'static str> for Body {
    fn from(s: &'static str) -> Self {
        Bytes::from_static(s.as_bytes()).into()
    }
}

impl Body {
    /// Of shared pieces; the session is held until they are sent.
    pub fn parts(parts: Parts, guard: Option<SessionGuard>) -> Self {
        let len = parts.len() as u64;
        Self::Parts(parts, 0, len, guard)
    }

    /// Of a stream, as it goes on.
    pub fn live(live: Live) -> Self {
        Self::Live(Box::pin(Box::new(live).next()))
    }
}

impl http_body::Body for Body {
    type Data = Chunk;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Chunk>, Infallible>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Full(b) => {
                let b = std::mem::take(b);
                *self = Self::Empty;
                Poll::Ready(Some(Ok(Frame::data(Chunk::Bytes(b)))))
            }
            Self::Parts(parts, i, left, guard) => match parts.get(*i).cloned() {
                Some(b) => {
                    *i += 1;
                    *left = left.saturating_sub(b.len() as u64);
                    if let Some(g) = guard {
                        g.sent(b.len() as u64);
                    }
                    Poll::Ready(Some(Ok(Frame::data(Chunk::Bytes(b)))))
                }
                None => {
                    *self = Self::Empty;
                    Poll::Ready(None)
                }
            },
            Self::Live(next) => {
                let (live, g) = std::task::ready!(next.as_mut().poll(cx));
                match g {
                    Some(g) => {
                        *self = Self::Live(Box::pin(live.next()));
                        Poll::Ready(Some(Ok(Frame::data(Chunk::Gather(g)))))
                    }
                    None => {
                        *self = Self::Empty;
                        Poll::Ready(None)
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Parts(_, _, left, _) => *left == 0,
            _ => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(b) => SizeHint::with_exact(b.len() as u64),
            Self::Parts(_, _, left, _) => SizeHint::with_exact(*left),
            Self::Live(_) => SizeHint::default(),
        }
    }
}

/// A viewer of a progressive output: a cursor and a muxer.
pub struct Live {
    /// What all connections need.
    pub shared: Shared,
    /// Keeps the stream.
    pub handle: StreamHandle,
    /// Access to the buffer.
    pub view: View,
    /// Where it is.
    pub cursor: Cursor,
    /// Tracks it wants.
    pub selection: Selection,
    /// What the output can carry.
    pub codecs: mist_core::registry::Codecs,
    /// Where it stops.
    pub to: Option<Timestamp>,
    /// Makes bytes.
    pub muxer: Box<dyn Muxer>,
    /// Not begun yet.
    pub fresh: bool,
    /// The end was written.
    pub finished: bool,
    /// How long deliveries are gathered, where configured.
    pub spread: Option<std::time::Duration>,
    /// Tracks that the muxer has taken.
    pub carried: SmallVec<[TrackId; 4]>,
    /// Changes of the tracks that it knows.
    pub tracks_version: u64,
    /// Counts it.
    pub guard: SessionGuard,
    /// For the log.
    pub connector: &'static str,
    /// Read but not muxed.
    pub batch: Vec<Media>,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").field("stream", self.handle.name()).finish_non_exhaustive()
    }
}

impl Live {
    /// The next piece; with `None` the body is complete.
    async fn next(mut self: Box<Self>) -> (Box<Self>, Option<Gather>) {
        let mut out = Gather::new();
        loop {
            if self.finished {
                return (self, None);
            }
            let wait = self.step(&mut out);
            if !out.is_empty() {
                self.guard.sent(out.len() as u64);
                return (self, Some(out));
            }
            if wait {
                let spread = self.shared.pace.spread(self.spread);
                if !spread.is_zero() {
                    sleep(spread).await;
                }
                if self.view.changed().await.is_err() {
                    self.finish(&mut out);
                }
            }
        }
    }

    fn finish(&mut self, out: &mut Gather) {
        self.finished = true;
        if !self.fresh
            && let Err(e) = self.muxer.finish(out)
        {
            debug!(connector = self.connector, "{e}");
        }
    }

    /// Reads what is there and muxes it. True when there was nothing.
    fn step(&mut self, out: &mut Gather) -> bool {
        let (read, over) = {
            let b = self.view.borrow_and_update();
            if self.tracks_version != b.tracks_version() {
                self.tracks_version = b.tracks_version();
                let ids: Vec<TrackId> =
                    self.selection.select(self.codecs, b.tracks()).iter().map(|t| t.id).collect();
                if !ids.is_empty() {
                    b.retarget(&mut self.cursor, &ids);
                }
            }
            if self.fresh {
                b.announce(&mut self.cursor, &mut self.batch);
            }
            let read = b.read(&mut self.cursor, &mut self.batch, READ_BATCH);
            (read, !b.has_source() && !self.handle.config().resume)
        };
        let mut batch = std::mem::take(&mut self.batch);
        let done = self.mux(&mut batch, out);
        batch.clear();
        self.batch = batch;
        if let Err(e) = done {
            warn!(connector = self.connector, stream = %self.handle.name(), "can't go on: {e}");
            self.finished = true;
            return false;
        }
        match read {
            Read::Lagged => {
                warn!(connector = self.connector, stream = %self.handle.name(),
                      "viewer is too slow: skipped to a keyframe ({} times so far)", self.cursor.skipped());
                false
            }
            Read::Empty if !over => true,
            Read::Empty | Read::Ended => {
                self.finish(out);
                false
            }
            Read::Ready => false,
        }
    }

    fn mux(&mut self, batch: &mut Vec<Media>, out: &mut Gather) -> Result<(), FormatError> {
        if self.fresh {
            let mut tracks = Vec::new();
            batch.retain(|m| match m {
                Media::Track(t)
                    if !tracks.iter().any(|o: &Arc<mist_core::media::TrackInfo>| o.id == t.id) =>
                {
                    tracks.push(t.clone());
                    false
                }
                _ => true,
            });
            if tracks.is_empty() {
                return Ok(());
            }
            self.fresh = false;
            self.carried = tracks.iter().map(|t| t.id).collect();
            self.muxer.start(&tracks, None, out)?;
        }
        for m in batch.drain(..) {
            match m {
                Media::Track(t) => match self.muxer.track(&t, out) {
                    Ok(()) if self.carried.contains(&t.id) => {}
                    Ok(()) => self.carried.push(t.id),
                    // One that comes late is left out of a container that can't begin it now; the others go on. One that
                    // changed can't go on: the end makes players ask again.
                    Err(e) if !self.carried.contains(&t.id) => {
                        debug!(connector = self.connector, stream = %self.handle.name(), "track {}: {e}", t.id);
                    }
                    Err(e) => return Err(e),
                },
                Media::Packet(p) if !self.carried.contains(&p.track) => {}
                Media::Packet(p) => {
                    if self.to.is_some_and(|to| p.dts >= to) {
                        self.finish(out);
                        return Ok(());
                    }
                    self.guard.position(p.dts.as_millis());
                    self.muxer.packet(&p, out)?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}
