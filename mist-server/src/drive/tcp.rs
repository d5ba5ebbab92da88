//! The driver of every protocol over TCP: it knows sockets, clocks and streams, and no protocol.
//!
//! Reading is stopped by what can't be written, media by what is not written yet; one write is in flight. A viewer that
//! doesn't read is only an old cursor until it is cut.

use super::terms::{Intake, Terms};
use super::{MAX_UNSENT, READ_BATCH, WRITE_STALL};
use crate::gate::{self, Verdict};
use crate::session::{Client, Kind, Open, SessionGuard};
use crate::shared::Shared;
use crate::stream::{Publisher, StreamHandle, View, now};
use bytes::BytesMut;
use futures_util::stream::{FuturesUnordered, StreamExt};
use mist_core::buffer::{Cursor, Read, StreamBuffer};
use mist_core::gather::Gather;
use mist_core::media::{Kind as TrackKind, Media, TrackId};
use mist_core::registry::Codecs;
use mist_core::select::Selection;
use mist_core::session::{
    Answer, Control, Fetched, Flow, Input, Note, Output, PlayFrom, Refusal, Session, SessionError, Ticket,
};
use smallvec::SmallVec;
use std::future::{Future, pending};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::time::{Sleep, sleep_until};
use tracing::{debug, warn};

/// The first read of a connection; grows to the other for peers that send a lot.
const READ_MIN: usize = 512;
const READ_MAX: usize = 64 * 1024;
/// Room for packets that a viewer keeps from one delivery to the next.
const BATCH_KEPT: usize = 8;
/// Asks of one connection that are being decided.
const MAX_ASKS: usize = 16;
/// How long the goodbye may take.
const GOODBYE: Duration = Duration::from_secs(2);
/// Nothing is due: the timer is set this far ahead.
const FAR: Duration = Duration::from_secs(3600);

struct Play {
    ticket: Ticket,
    handle: StreamHandle,
    view: View,
    cursor: Cursor,
    selection: Selection,
    tracks_version: u64,
    audio: bool,
    video: bool,
    paused: bool,
    /// Before this nothing is read, to merge deliveries under load.
    not_before: Option<Instant>,
    /// Something was delivered since it was last waited for.
    delivered: bool,
    lagged: u64,
    guard: SessionGuard,
}

struct Publish {
    ticket: Ticket,
    publisher: Publisher,
    batch: Vec<Media>,
    guard: SessionGuard,
    _handle: StreamHandle,
}

/// One connection.
struct Driver<'a> {
    shared: &'a Shared,
    peer: SocketAddr,
    connector: &'static str,
    codecs: Codecs,
    terms: Terms,
    session: Box<dyn Session>,
    /// Tickets that are being decided.
    asked: SmallVec<[Ticket; 1]>,
    plays: SmallVec<[Play; 1]>,
    publishes: SmallVec<[Publish; 1]>,
    kick: Arc<Notify>,
    agent: Option<String>,
    out: Gather,
    batch: Vec<Media>,
}

/// What the session wants after it was drained.
enum Want {
    Wait { until: Option<Instant>, media: bool },
    Done(Result<(), SessionError>),
}

fn choose(play_codecs: Codecs, b: &StreamBuffer, s: &Selection, audio: bool, video: bool) -> Vec<TrackId> {
    s.select(play_codecs, b.tracks())
        .iter()
        .filter(|t| match t.codec.kind() {
            TrackKind::Audio => audio,
            TrackKind::Video => video,
            _ => true,
        })
        .map(|t| t.id)
        .collect()
}

impl Driver<'_> {
    fn handle(&mut self, input: Input) {
        self.session.handle(now(), input);
    }

    /// Polls the session until it waits. Asks are handed to `ask`.
    fn drain(&mut self, mut ask: impl FnMut(Ticket, mist_core::session::Ask) -> bool) -> Want {
        let want = loop {
            match self.session.poll() {
                Output::Send(_, g) => {
                    if self.out.is_empty() {
                        self.out = g;
                    } else {
                        self.out.append(g);
                    }
                }
                Output::Media(t, m) => {
                    if let Some(p) = self.publishes.iter_mut().find(|p| p.ticket == t) {
                        p.batch.push(m);
                    }
                }
                Output::Ask(t, a) => {
                    if ask(t, a) {
                        self.asked.push(t);
                    } else {
                        self.handle(Input::Answer(t, Answer::No(Refusal::Limit)));
                    }
                }
                Output::Control(t, c) => self.control(t, c),
                Output::Note(Note::UserAgent(a)) => {
                    for g in self.guards() {
                        g.agent(&a);
                    }
                    self.agent = Some(a);
                }
                Output::Note(Note::Problem(what)) => {
                    debug!(peer = %self.peer, connector = self.connector, "{what}");
                }
                Output::Fetch(id, _) => {
                    self.handle(Input::Fetched(id, Fetched::Failed("not over this transport")));
                }
                Output::Idle { until, wants_media } => break Want::Wait { until, media: wants_media },
                Output::Done(r) => break Want::Done(r),
                // Nothing else is known to this transport.
                _ => {}
            }
        };
        self.write();
        want
    }

    /// Writes what the publishes brought.
    fn write(&mut self) {
        for p in &mut self.publishes {
            if !p.batch.is_empty() && !p.publisher.write(&mut p.batch, now()) {
                self.kick.notify_one();
            }
        }
    }

    fn guards(&self) -> impl Iterator<Item = &SessionGuard> {
        self.plays.iter().map(|p| &p.guard).chain(self.publishes.iter().map(|p| &p.guard))
    }

    fn open(&self, stream: &str, kind: Kind) -> Option<SessionGuard> {
        let o = Open {
            host: self.peer.ip(),
            stream,
            connector: self.connector,
            kind,
            client: Client::Connection,
        };
        let g = self.shared.sessions.open(&o).ok()?;
        if let Some(a) = &self.agent {
            g.agent(a);
        }
        Some(g)
    }

    fn decided(&mut self, ticket: Ticket, verdict: Verdict) {
        let Some(i) = self.asked.iter().position(|t| *t == ticket) else {
            // Closed while it was decided: what the verdict holds is given back.
            return;
        };
        self.asked.swap_remove(i);
        let answer = match verdict {
            Verdict::Publish { handle, publisher } => match self.open(handle.name().as_str(), Kind::Input) {
                Some(guard) => {
                    self.publishes.push(Publish {
                        ticket,
                        publisher,
                        batch: Vec::new(),
                        guard,
                        _handle: handle,
                    });
                    Answer::Yes
                }
                None => Answer::No(Refusal::Limit),
            },
            Verdict::Play { handle, view, selection, from } => {
                match self.play(ticket, handle, view, selection, from) {
                    Ok(()) => return,
                    Err(why) => Answer::No(why),
                }
            }
            Verdict::Length => Answer::Length(mist_core::time::Duration::ZERO),
            Verdict::No(why) => Answer::No(why),
        };
        self.handle(Input::Answer(ticket, answer));
    }

    fn play(
        &mut self,
        ticket: Ticket,
        handle: StreamHandle,
        mut view: View,
        selection: Selection,
        from: PlayFrom,
    ) -> Result<(), Refusal> {
        let guard = self.open(handle.name().as_str(), Kind::Viewer).ok_or(Refusal::Limit)?;
        let mut tracks = Vec::new();
        let (cursor, tracks_version) = {
            let b = view.borrow_and_update();
            let ids = choose(self.codecs, &b, &selection, true, true);
            if ids.is_empty() {
                return Err(Refusal::NoTracks);
            }
            let mut cursor = b.cursor(ids);
            if let PlayFrom::At(t) = from {
                b.seek(&mut cursor, t);
            }
            b.announce(&mut cursor, &mut tracks);
            (cursor, b.tracks_version())
        };
        view.mark_changed();
        self.handle(Input::Answer(ticket, Answer::Yes));
        for m in tracks {
            self.handle(Input::Media(ticket, m));
        }
        self.plays.push(Play {
            ticket,
            handle,
            view,
            cursor,
            selection,
            tracks_version,
            audio: true,
            video: true,
            paused: false,
            not_before: None,
            delivered: false,
            lagged: 0,
            guard,
        });
        Ok(())
    }

    fn control(&mut self, ticket: Ticket, c: Control) {
        if c == Control::Close {
            self.asked.retain(|t| *t != ticket);
            self.plays.retain(|p| p.ticket != ticket);
            // Dropping the publisher is the end of the source; its last packets may have come with its goodbye.
            self.write();
            self.publishes.retain(|p| p.ticket != ticket);
            return;
        }
        let codecs = self.codecs;
        let Some(p) = self.plays.iter_mut().find(|p| p.ticket == ticket) else { return };
        match c {
            Control::Pause => p.paused = true,
            Control::Resume => {
                p.paused = false;
                p.view.borrow().go_live(&mut p.cursor);
            }
            Control::Seek(t) => {
                p.view.borrow().seek(&mut p.cursor, t);
            }
            Control::Receive { audio, video } => {
                (p.audio, p.video) = (audio, video);
                let b = p.view.borrow();
                let ids = choose(codecs, &b, &p.selection, audio, video);
                b.retarget(&mut p.cursor, &ids);
            }
            _ => {}
        }
        p.view.mark_changed();
    }

    /// Gives the session what its viewers have not got yet, as far as it wants it. True if there was something.
    fn feed(&mut self) -> bool {
        let mut any = false;
        let mut i = 0;
        while let Some(p) = self.plays.get_mut(i) {
            i += 1;
            if p.paused || p.not_before.is_some_and(|t| t > Instant::now()) {
                continue;
            }
            p.not_before = None;
            let (read, over) = {
                let b = p.view.borrow_and_update();
                if p.tracks_version != b.tracks_version() {
                    p.tracks_version = b.tracks_version();
                    let ids = choose(self.codecs, &b, &p.selection, p.audio, p.video);
                    if !ids.is_empty() {
                        b.retarget(&mut p.cursor, &ids);
                    }
                }
                let read = b.read(&mut p.cursor, &mut self.batch, READ_BATCH);
                (read, !b.has_source() && !p.handle.config().resume)
            };
            match read {
                Read::Ready => {
                    any = true;
                    p.delivered = true;
                    p.view.mark_changed();
                }
                Read::Lagged => {
                    any = true;
                    p.lagged += 1;
                    warn!(peer = %self.peer, connector = self.connector, stream = %p.handle.name(),
                          "viewer is too slow: skipped to a keyframe ({} times so far)", p.lagged);
                    p.view.mark_changed();
                }
                Read::Empty if !over => {
                    let spread = self.shared.pace.spread(self.terms.spread);
                    if std::mem::take(&mut p.delivered) && !spread.is_zero() {
                        p.not_before = Some(Instant::now() + spread);
                    }
                }
                Read::Empty | Read::Ended => {
                    any = true;
                    p.paused = true;
                    self.batch.push(Media::End);
                }
            }
            let ticket = p.ticket;
            if let Some(Media::Packet(last)) = self.batch.last() {
                p.guard.position(last.dts.as_millis());
            }
            if !self.batch.is_empty() {
                let now = now();
                for m in self.batch.drain(..) {
                    self.session.handle(now, Input::Media(ticket, m));
                }
                // The room that a burst needed isn't kept by each of thousands of viewers.
                self.batch.shrink_to(BATCH_KEPT);
            }
        }
        any
    }
}

/// Waits until a stream that is played has news.
async fn news(plays: &mut [Play]) {
    async fn one(p: &mut Play) {
        if p.paused {
            pending::<()>().await;
        } else if p.view.changed().await.is_err() {
            // The stream is gone: the next read tells.
            p.view.mark_changed();
        }
    }
    match plays {
        [] => pending().await,
        [p] => one(p).await,
        many => {
            let all =
                many.iter_mut().map(|p| Box::pin(one(p)) as Pin<Box<dyn Future<Output = ()> + Send + '_>>);
            futures_util::future::select_all(all).await;
        }
    }
}

/// Why a connection ended, for the log.
#[derive(Debug, thiserror::Error)]
pub enum End {
    /// The session's own reason.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The socket's.
    #[error("connection: {0}")]
    Io(#[from] io::Error),
    /// It took nothing.
    #[error("peer stopped reading for {} s", WRITE_STALL.as_secs())]
    Stalled,
}

/// Drives a session over one connection until either ends.
///
/// # Errors
/// Why it ended, if it was not in peace.
pub async fn drive<R, W>(
    mut r: R,
    mut w: W,
    peer: SocketAddr,
    session: Box<dyn Session>,
    (connector, codecs): (&'static str, Codecs),
    terms: Terms,
    shared: &Shared,
) -> Result<(), End>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let _counted = shared.connection();
    let mut d = Driver {
        shared,
        peer,
        connector,
        codecs,
        terms,
        session,
        asked: SmallVec::new(),
        plays: SmallVec::new(),
        publishes: SmallVec::new(),
        kick: Arc::new(Notify::new()),
        agent: None,
        out: Gather::new(),
        batch: Vec::new(),
    };
    let kick = d.kick.clone();
    let mut asks = FuturesUnordered::new();
    let mut inbox = BytesMut::new();
    let mut room = READ_MIN;
    let mut closed = false;
    let mut progress = Instant::now();
    let mut intake = Intake::new(terms.max_rate);
    let timer: Sleep = sleep_until((Instant::now() + FAR).into());
    tokio::pin!(timer);
    let stop = shared.stopped();
    tokio::pin!(stop);
    let mut stopping = false;
    d.handle(Input::Opened(Flow(0), peer));
    let end = loop {
        let want = d.drain(|t, a| {
            let room = asks.len() < MAX_ASKS;
            if room {
                asks.push(gate::ask(shared.clone(), peer, connector, kick.clone(), t, a));
            }
            room
        });
        let (until, wants_media) = match want {
            Want::Done(r) => break r,
            Want::Wait { until, media } => (until, media),
        };
        if wants_media && d.out.is_empty() && d.feed() {
            continue;
        }
        let now = Instant::now();
        if d.out.is_empty() {
            progress = now;
        }
        let mut due = until.unwrap_or(now + FAR);
        if !d.out.is_empty() {
            due = due.min(progress + WRITE_STALL);
        }
        let merging = d.plays.iter().filter_map(|p| p.not_before).min();
        if let Some(t) = merging {
            due = due.min(t);
        }
        // Moving the timer takes a lock: only when it would be late, or is spent.
        if timer.is_elapsed() || due < timer.deadline().into_std() {
            timer.as_mut().reset(due.into());
        }
        if inbox.capacity() - inbox.len() < room / 2 {
            inbox.reserve(room);
        }
        let held = intake.held_until(now);
        if let Some(t) = held
            && timer.deadline().into_std() > t
        {
            timer.as_mut().reset(t.into());
        }
        if intake.newly_held() {
            warn!(%peer, connector, "sends more than maxkbps allows: slowed down");
        }
        let reading = !closed && d.out.len() < MAX_UNSENT && held.is_none();
        let waiting = wants_media && d.out.is_empty() && merging.is_none();
        tokio::select! {
            biased;
            n = w.write_buf(&mut d.out), if !d.out.is_empty() => {
                let n = n?;
                progress = Instant::now();
                if let Some(g) = d.guards().next() {
                    g.sent(n as u64);
                }
            }
            n = r.read_buf(&mut inbox), if reading => {
                let n = match n {
                    Ok(n) => n,
                    Err(e) => { debug!(%peer, connector, "{e}"); 0 }
                };
                if n == 0 {
                    closed = true;
                    d.handle(Input::Closed(Flow(0)));
                } else {
                    if n >= room / 2 {
                        room = (room * 2).min(READ_MAX);
                    }
                    if let Some(g) = d.guards().next() {
                        g.received(n as u64);
                    }
                    intake.took(n);
                    d.handle(Input::Bytes(Flow(0), inbox.split().freeze()));
                    if !d.plays.is_empty() && d.publishes.is_empty() && room > READ_MIN {
                        // A handshake needed more than a viewer will ever send again.
                        (room, inbox) = (READ_MIN, BytesMut::new());
                    }
                }
            }
            () = news(&mut d.plays), if waiting => {}
            Some((t, v)) = asks.next(), if !asks.is_empty() => d.decided(t, v),
            () = kick.notified() => {
                d.publishes.clear();
                d.handle(Input::Shutdown);
            }
            () = &mut stop, if !stopping => {
                stopping = true;
                d.handle(Input::Shutdown);
            }
            () = &mut timer => {
                if !d.out.is_empty() && progress.elapsed() >= WRITE_STALL {
                    return Err(End::Stalled);
                }
                d.handle(Input::Tick);
            }
        }
    };
    // The goodbye, as far as the peer takes it.
    if !closed {
        let bye = async {
            w.write_all_buf(&mut d.out).await?;
            w.shutdown().await
        };
        let _ = tokio::time::timeout(GOODBYE, bye).await;
    }
    end.map_err(End::Session)
}
