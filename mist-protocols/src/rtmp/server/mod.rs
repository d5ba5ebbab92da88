//! The server's side: connections that publish and play.

use crate::rtmp::PROTOCOL_ID;
use crate::rtmp::chunk::Message;
use crate::rtmp::command::{self, Call};
use crate::rtmp::handshake::Handshake;
use crate::rtmp::limits::Limits;
use crate::rtmp::link::{CSID_COMMAND, Link};
use crate::rtmp::message::{Aggregate, UserControl, kind};
use crate::rtmp::play::Viewer;
use crate::rtmp::publish::Incoming;
use mist_core::gather::Gather;
use mist_core::media::Media;
use mist_core::session::{Answer, Control, Flow, Input, Output, Refusal, Session, SessionError, Ticket};
use mist_core::time::Now;
use mist_formats::amf::Value;
use mist_formats::flv::Peer;
use std::collections::VecDeque;
use std::time::Instant;

mod commands;

const FLOW: Flow = Flow(0);
/// Chunk streams of a message stream: audio, video, data, status.
const CSIDS_PER_STREAM: u32 = 4;
const FIRST_MEDIA_CSID: u32 = 4;

/// A server session of RTMP.
#[derive(Debug)]
pub struct Server {
    link: Link,
    limits: Limits,
    events: VecDeque<Output>,
    connection: Option<Connection>,
    streams: Vec<Stream>,
    /// Unanswered questions for a length: ticket and transaction.
    lengths: Vec<(Ticket, f64)>,
    next_ticket: u32,
    aggregate: Option<Aggregate>,
    /// Since when nothing is published or played.
    idle_since: Option<Instant>,
    commands: (Option<Instant>, u32),
    done: Option<Result<(), SessionError>>,
}

/// What `connect` said.
#[derive(Debug)]
struct Connection {
    amf3: bool,
    app: String,
    tc_url: String,
    peer: Peer,
}

#[derive(Debug)]
struct Stream {
    id: u32,
    /// Place among the connection's streams: chooses the chunk streams.
    slot: u32,
    role: Role,
}

#[derive(Debug)]
enum Role {
    Idle,
    Publish(Publish),
    Play(Box<Play>),
}

#[derive(Debug)]
struct Publish {
    ticket: Ticket,
    name: String,
    /// What came before the answer.
    held: Option<(Vec<Message>, usize)>,
    incoming: Incoming,
    last_media: Option<Instant>,
}

#[derive(Debug)]
struct Play {
    ticket: Ticket,
    name: String,
    answered: bool,
    reset: bool,
    paused: bool,
    audio: bool,
    video: bool,
    viewer: Viewer,
}

impl Stream {
    fn ticket(&self) -> Option<Ticket> {
        match &self.role {
            Role::Idle => None,
            Role::Publish(p) => Some(p.ticket),
            Role::Play(p) => Some(p.ticket),
        }
    }

    fn waits(&self) -> bool {
        match &self.role {
            Role::Idle => false,
            Role::Publish(p) => p.held.is_some(),
            Role::Play(p) => !p.answered,
        }
    }

    fn base_csid(slot: u32) -> u32 {
        FIRST_MEDIA_CSID + slot * CSIDS_PER_STREAM
    }

    fn status_csid(&self) -> u32 {
        Self::base_csid(self.slot) + 3
    }
}

impl Server {
    /// A session that fills its handshake from `seed`.
    pub fn new(seed: [u8; 32], limits: Limits) -> Self {
        Self {
            link: Link::new(Handshake::server(seed), Gather::new(), limits),
            limits,
            events: VecDeque::new(),
            connection: None,
            streams: Vec::new(),
            lengths: Vec::new(),
            next_ticket: 0,
            aggregate: None,
            idle_since: None,
            commands: (None, 0),
            done: None,
        }
    }

    fn ticket(&mut self) -> Ticket {
        self.next_ticket = self.next_ticket.wrapping_add(1);
        Ticket(self.next_ticket)
    }

    fn next_message(&mut self) -> Result<Option<Message>, SessionError> {
        if let Some(a) = &mut self.aggregate {
            for m in a.by_ref() {
                if matches!(m.kind, kind::AUDIO | kind::VIDEO | kind::DATA | kind::DATA_AMF3) {
                    return Ok(Some(m));
                }
            }
            self.aggregate = None;
        }
        self.link.poll()
    }

    fn message(&mut self, m: Message) -> Result<(), SessionError> {
        match m.kind {
            kind::COMMAND | kind::COMMAND_AMF3 => {
                self.count_command()?;
                let call = Call::parse(&m).map_err(|_| self.link.error("command", "unreadable AMF"))?;
                self.command(&m, &call)
            }
            kind::AUDIO | kind::VIDEO | kind::DATA | kind::DATA_AMF3 => self.media(m),
            kind::AGGREGATE => {
                self.aggregate = Some(Aggregate::new(m));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn count_command(&mut self) -> Result<(), SessionError> {
        let (Some(now), (since, n)) = (self.link.now, &mut self.commands) else { return Ok(()) };
        if since.is_none_or(|t| now.saturating_duration_since(t) >= Limits::COMMAND_WINDOW) {
            *since = Some(now);
            *n = 0;
        }
        *n += 1;
        if *n > self.limits.commands {
            return Err(SessionError::Limit { protocol: PROTOCOL_ID, what: "commands" });
        }
        Ok(())
    }

    // Media.

    fn media(&mut self, m: Message) -> Result<(), SessionError> {
        let publishes = |s: &Stream| matches!(s.role, Role::Publish(_));
        let exact = self.streams.iter().position(|s| s.id == m.stream && publishes(s));
        // Some encoders put media on another message stream than their publish.
        let only = || {
            let mut all = self.streams.iter().enumerate().filter(|(_, s)| publishes(s));
            all.next().filter(|_| all.next().is_none()).map(|(i, _)| i)
        };
        let Some(index) = exact.or_else(only) else { return Ok(()) };
        let Some(Role::Publish(p)) = self.streams.get_mut(index).map(|s| &mut s.role) else { return Ok(()) };
        p.last_media = self.link.now;
        match &mut p.held {
            Some((held, bytes)) => {
                *bytes = bytes.saturating_add(m.body.len()).saturating_add(size_of::<Message>());
                if *bytes > self.limits.pending_bytes {
                    return Err(SessionError::Limit {
                        protocol: PROTOCOL_ID,
                        what: "media before the answer",
                    });
                }
                held.push(m);
            }
            None => p.incoming.message(p.ticket, m, &mut self.events),
        }
        Ok(())
    }

    fn answer(&mut self, ticket: Ticket, answer: &Answer) {
        if let Some(i) = self.lengths.iter().position(|(t, _)| *t == ticket) {
            let (_, transaction) = self.lengths.swap_remove(i);
            let seconds = match answer {
                Answer::Length(d) => d.as_secs_f64(),
                _ => 0.0,
            };
            self.result(transaction, &[seconds.into()]);
            return;
        }
        let Some(index) = self.by_ticket(ticket).filter(|i| self.streams.get(*i).is_some_and(Stream::waits))
        else {
            return;
        };
        let Some(Stream { id, role, .. }) = self.streams.get_mut(index) else { return };
        let id = *id;
        match (role, answer) {
            (Role::Publish(_), Answer::No(r)) => {
                self.refuse(index, "NetStream.Publish.BadName", &r.to_string());
            }
            (_, Answer::No(r)) => self.refuse(index, play_code(*r), &r.to_string()),
            (Role::Publish(p), _) => {
                let held = p.held.take().map(|(h, _)| h).unwrap_or_default();
                p.last_media = self.link.now;
                let name = p.name.clone();
                for m in held {
                    p.incoming.message(ticket, m, &mut self.events);
                }
                self.link.control(UserControl::StreamBegin(id));
                self.status(index, "status", "NetStream.Publish.Start", &format!("{name} is now published."));
            }
            (Role::Play(p), _) => {
                p.answered = true;
                let (name, reset) = (p.name.clone(), p.reset);
                self.link.control(UserControl::StreamBegin(id));
                if reset {
                    self.status(
                        index,
                        "status",
                        "NetStream.Play.Reset",
                        &format!("Playing and resetting {name}."),
                    );
                }
                self.status(index, "status", "NetStream.Play.Start", &format!("Started playing {name}."));
                if let Some(Role::Play(p)) = self.streams.get_mut(index).map(|s| &mut s.role) {
                    p.viewer.allow_samples(&mut self.link);
                }
            }
            (Role::Idle, _) => {}
        }
    }

    fn send_media(&mut self, ticket: Ticket, media: Media) {
        let Some(index) = self.by_ticket(ticket) else { return };
        let Some(Role::Play(p)) = self.streams.get_mut(index).map(|s| &mut s.role) else { return };
        if !p.answered || (p.paused && matches!(media, Media::Packet(_))) {
            return;
        }
        if p.viewer.media(media, p.audio, p.video, &mut self.link) {
            self.end_play(index, true);
        }
    }

    /// The stream that is played has ended, or the server ends it.
    fn end_play(&mut self, index: usize, complete: bool) {
        let Some(s) = self.streams.get_mut(index) else { return };
        let Role::Play(p) = std::mem::replace(&mut s.role, Role::Idle) else { return };
        let id = s.id;
        if complete {
            p.viewer.complete(&mut self.link);
        }
        self.events.push_back(Output::Control(p.ticket, Control::Close));
        self.status(
            index,
            "status",
            "NetStream.Play.UnpublishNotify",
            &format!("{} is now unpublished.", p.name),
        );
        self.status(index, "status", "NetStream.Play.Stop", &format!("Stopped playing {}.", p.name));
        self.link.control(UserControl::StreamEof(id));
        self.idle_since = self.link.now;
    }

    fn shutdown(&mut self) {
        for i in 0..self.streams.len() {
            match self.streams.get(i).map(|s| &s.role) {
                Some(Role::Publish(_)) => self.end_role(i),
                Some(Role::Play(_)) => self.end_play(i, false),
                _ => {}
            }
        }
        if self.connection.is_some() {
            let info =
                command::info("status", "NetConnection.Connect.AppShutdown", "The server is shutting down.");
            self.reply(CSID_COMMAND, 0, &["onStatus".into(), 0.0.into(), Value::Null, info.into()]);
        }
        self.done = Some(Ok(()));
    }

    // Time.

    /// The next moment when silence becomes an error, and its name.
    fn patience(&self) -> Option<(Instant, &'static str)> {
        if !self.link.is_open() {
            return None;
        }
        if self.connection.is_none() {
            return self.link.opened().map(|t| (t + self.limits.handshake + self.limits.connect, "connect"));
        }
        let publishers = self.streams.iter().filter_map(|s| match &s.role {
            Role::Publish(p) if p.held.is_none() => p.last_media,
            _ => None,
        });
        if let Some(t) = publishers.min() {
            return Some((t + self.limits.publisher_idle, "media from the publisher"));
        }
        let unused = self.streams.iter().all(|s| matches!(s.role, Role::Idle)) && self.lengths.is_empty();
        self.idle_since.filter(|_| unused).map(|t| (t + self.limits.idle, "publish or play"))
    }

    fn timers(&mut self) -> Result<(), SessionError> {
        self.link.tick()?;
        match (self.link.now, self.patience()) {
            (Some(now), Some((until, what))) if now >= until => Err(SessionError::Timeout(what)),
            _ => Ok(()),
        }
    }
}

fn play_code(r: Refusal) -> &'static str {
    match r {
        Refusal::NotFound | Refusal::Offline => "NetStream.Play.StreamNotFound",
        Refusal::NoTracks => "NetStream.Play.NoSupportedTrackFound",
        _ => "NetStream.Play.Failed",
    }
}

impl Session for Server {
    fn handle(&mut self, now: Now, input: Input) {
        self.link.at(now.instant);
        if self.done.is_some() {
            return;
        }
        match input {
            Input::Bytes(FLOW, data) => self.link.push(data),
            Input::Closed(FLOW) => self.done = Some(Ok(())),
            Input::Answer(t, a) => self.answer(t, &a),
            Input::Media(t, m) => self.send_media(t, m),
            Input::Shutdown => self.shutdown(),
            _ => {}
        }
    }

    fn poll(&mut self) -> Output {
        loop {
            if let Some(o) = self.events.pop_front() {
                return o;
            }
            if self.done.is_none() {
                let step = match self.next_message() {
                    Ok(Some(m)) => self.message(m).map(|()| true),
                    Ok(None) => self.timers().map(|()| false),
                    Err(e) => Err(e),
                };
                match step {
                    Ok(true) => continue,
                    Ok(false) => {}
                    Err(e) => {
                        self.done = Some(Err(e));
                        continue;
                    }
                }
            }
            if !self.link.out.is_empty() {
                return Output::Send(FLOW, std::mem::take(&mut self.link.out));
            }
            if let Some(d) = &self.done {
                return Output::Done(d.clone());
            }
            let until = [self.link.deadline(), self.patience().map(|(t, _)| t)].into_iter().flatten().min();
            let wants_media =
                self.streams.iter().any(|s| matches!(&s.role, Role::Play(p) if p.answered && !p.paused));
            return Output::Idle { until, wants_media };
        }
    }
}
