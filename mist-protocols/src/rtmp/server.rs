//! The server's side: connections that publish and play.

use super::chunk::Message;
use super::command::{self, Call, Command, Connect};
use super::enhanced;
use super::handshake::Handshake;
use super::limits::Limits;
use super::link::{CSID_COMMAND, Link};
use super::message::{Aggregate, UserControl, kind};
use super::play::Viewer;
use super::publish::Incoming;
use super::{PROTOCOL_ID, url};
use mist_core::gather::Gather;
use mist_core::media::Media;
use mist_core::session::{
    Answer, Ask, Control, Flow, Input, Note, Output, PlayFrom, Refusal, Session, SessionError, Ticket,
};
use mist_core::time::{Duration, Now, Timestamp};
use mist_formats::amf::{Object, Value};
use mist_formats::flv::Peer;
use std::collections::VecDeque;
use std::time::Instant;

const FLOW: Flow = Flow(0);
/// What Flash-era clients look for in `fmsVer`.
const FMS_VERSION: &str = "FMS/3,5,7,7009";
/// Bytes of `flashVer` that are noted.
const USER_AGENT: usize = 256;
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

    // Answers.

    fn reply(&mut self, csid: u32, stream: u32, values: &[Value]) {
        let amf3 = self.connection.as_ref().is_some_and(|c| c.amf3);
        let kind = if amf3 { kind::COMMAND_AMF3 } else { kind::COMMAND };
        self.link.send(csid, stream, kind, 0, &[], command::body(amf3, values));
    }

    fn result(&mut self, transaction: f64, values: &[Value]) {
        let mut all = vec![Value::from("_result"), transaction.into(), Value::Null];
        all.extend_from_slice(values);
        self.reply(CSID_COMMAND, 0, &all);
    }

    fn error(&mut self, transaction: f64, code: &str, description: &str) {
        let info = command::info("error", code, description);
        self.reply(CSID_COMMAND, 0, &["_error".into(), transaction.into(), Value::Null, info.into()]);
    }

    fn status(&mut self, index: usize, level: &str, code: &str, description: &str) {
        let Some(s) = self.streams.get(index) else { return };
        let (csid, id) = (s.status_csid(), s.id);
        let info = command::info(level, code, description);
        self.reply(csid, id, &["onStatus".into(), 0.0.into(), Value::Null, info.into()]);
    }

    // Commands.

    fn command(&mut self, m: &Message, call: &Call) -> Result<(), SessionError> {
        let command = call.command();
        let t = call.transaction;
        if self.connection.is_none() {
            let Command::Connect(c) = command else {
                return Err(self.link.error("command", "connect is not the first command"));
            };
            return self.connect(*c, t, m.kind == kind::COMMAND_AMF3);
        }
        match command {
            Command::Connect(_) => self.error(t, "NetConnection.Connect.Rejected", "Already connected."),
            Command::CreateStream => match self.create_stream() {
                Some(id) => self.result(t, &[id.into()]),
                None => self.error(t, "NetConnection.Call.Failed", "Too many streams."),
            },
            Command::ReleaseStream(_) | Command::CheckBandwidth => self.result(t, &[Value::Undefined]),
            Command::FcPublish(name) => {
                self.notify("onFCPublish", "NetStream.Publish.Start", &name);
                self.result(t, &[Value::Undefined]);
            }
            Command::FcSubscribe(name) => {
                self.notify("onFCSubscribe", "NetStream.Play.Start", &name);
                if t != 0.0 {
                    self.result(t, &[Value::Undefined]);
                }
            }
            Command::FcUnpublish(name) => {
                let (name, _) = url::split_query(&name);
                let found =
                    self.streams.iter().position(|s| matches!(&s.role, Role::Publish(p) if p.name == name));
                if let Some(i) = found {
                    self.end_role(i);
                }
                self.notify("onFCUnpublish", "NetStream.Unpublish.Success", name);
                if t != 0.0 {
                    self.result(t, &[Value::Undefined]);
                }
            }
            Command::Publish { name } => return self.publish(m.stream, &name),
            Command::Play { name, start, duration, reset } => {
                return self.play(m.stream, &name, start, duration, reset);
            }
            Command::GetStreamLength(name) => self.length(t, &name),
            Command::Pause { pause } => self.pause(m.stream, pause),
            Command::Seek { to } => self.seek(m.stream, to),
            Command::ReceiveAudio(on) => self.receive(m.stream, Some(on), None),
            Command::ReceiveVideo(on) => self.receive(m.stream, None, Some(on)),
            Command::CloseStream => {
                if let Some(i) = self.find(m.stream) {
                    self.end_role(i);
                }
            }
            Command::DeleteStream(id) => {
                if let Some(i) = self.find(id) {
                    self.end_role(i);
                    self.streams.remove(i);
                }
            }
            Command::Result | Command::Error | Command::OnStatus | Command::OnBandwidthDone => {}
            Command::Other => {
                if t != 0.0 {
                    self.error(t, "NetConnection.Call.Failed", "Method not found.");
                }
            }
        }
        Ok(())
    }

    fn notify(&mut self, name: &str, code: &str, stream: &str) {
        let info = command::info("status", code, stream);
        self.reply(CSID_COMMAND, 0, &[name.into(), 0.0.into(), Value::Null, info.into()]);
    }

    fn connect(&mut self, c: Connect, transaction: f64, amf3: bool) -> Result<(), SessionError> {
        let longest = c.app.len().max(c.tc_url.len()).max(c.flash_ver.len());
        if longest > self.limits.string {
            return Err(SessionError::Limit { protocol: PROTOCOL_ID, what: "length of connect properties" });
        }
        if !c.flash_ver.is_empty() {
            let agent = c.flash_ver.chars().filter(|c| !c.is_control()).take(USER_AGENT).collect();
            self.events.push_back(Output::Note(Note::UserAgent(agent)));
        }
        let app = if c.app.is_empty() { url::app_of(&c.tc_url).to_owned() } else { c.app };
        self.connection = Some(Connection { amf3, app, tc_url: c.tc_url, peer: c.peer });
        self.idle_since = self.link.now;
        self.link.send_sizes();
        self.link.control(UserControl::StreamBegin(0));
        let mut properties =
            Object::new().with("fmsVer", FMS_VERSION).with("capabilities", 31.0).with("mode", 1.0);
        if c.enhanced {
            properties = enhanced::announce(properties);
        }
        let info = command::info("status", "NetConnection.Connect.Success", "Connection succeeded.")
            .with("objectEncoding", if c.object_encoding == 3.0 { 3.0 } else { 0.0 });
        self.reply(CSID_COMMAND, 0, &["_result".into(), transaction.into(), properties.into(), info.into()]);
        self.reply(CSID_COMMAND, 0, &["onBWDone".into(), 0.0.into(), Value::Null]);
        Ok(())
    }

    fn find(&self, id: u32) -> Option<usize> {
        self.streams.iter().position(|s| s.id == id)
    }

    fn by_ticket(&self, t: Ticket) -> Option<usize> {
        self.streams.iter().position(|s| s.ticket() == Some(t))
    }

    fn create_stream(&mut self) -> Option<u32> {
        let id = (1..).find(|id| self.find(*id).is_none())?;
        self.stream(id)?;
        Some(id)
    }

    /// The stream with this id, made if need be: some encoders publish without createStream.
    fn stream(&mut self, id: u32) -> Option<usize> {
        if let Some(i) = self.find(id) {
            return Some(i);
        }
        if self.streams.len() >= self.limits.streams {
            return None;
        }
        let slot = (0..).find(|n| self.streams.iter().all(|s| s.slot != *n))?;
        self.streams.push(Stream { id, slot, role: Role::Idle });
        Some(self.streams.len() - 1)
    }

    fn may_ask(&self) -> Result<(), SessionError> {
        let waiting = self.streams.iter().filter(|s| s.waits()).count() + self.lengths.len();
        if waiting >= self.limits.pending_asks {
            return Err(SessionError::Limit { protocol: PROTOCOL_ID, what: "requests at the same time" });
        }
        Ok(())
    }

    /// Prepares a stream for a publish or play.
    fn begin(&mut self, id: u32) -> Result<usize, SessionError> {
        let Some(index) = self.stream(id) else {
            return Err(SessionError::Limit { protocol: PROTOCOL_ID, what: "streams" });
        };
        self.end_role(index);
        self.may_ask()?;
        Ok(index)
    }

    fn publish(&mut self, id: u32, name: &str) -> Result<(), SessionError> {
        let index = self.begin(id)?;
        let (app, tc_url) = self.connection.as_ref().map_or(("", ""), |c| (&c.app, &c.tc_url));
        let Some(target) = url::Target::new(app, tc_url, name, self.limits.string) else {
            return self.refuse(index, "NetStream.Publish.BadName", "Bad stream name.");
        };
        let ticket = self.ticket();
        if let Some(s) = self.streams.get_mut(index) {
            s.role = Role::Publish(Publish {
                ticket,
                name: target.stream.clone(),
                held: Some((Vec::new(), 0)),
                incoming: Incoming::new(),
                last_media: self.link.now,
            });
        }
        let ask = Ask::Publish { stream: target.stream, url: target.url, secret: Some(target.secret) };
        self.events.push_back(Output::Ask(ticket, ask));
        Ok(())
    }

    fn play(
        &mut self,
        id: u32,
        name: &str,
        start: f64,
        duration: f64,
        reset: bool,
    ) -> Result<(), SessionError> {
        let index = self.begin(id)?;
        let (app, tc_url) = self.connection.as_ref().map_or(("", ""), |c| (&c.app, &c.tc_url));
        let Some(target) = url::Target::new(app, tc_url, name, self.limits.string) else {
            return self.refuse(index, "NetStream.Play.StreamNotFound", "Bad stream name.");
        };
        let ticket = self.ticket();
        let peer = self.connection.as_ref().map_or_else(enhanced::unannounced, |c| c.peer);
        let until = (duration >= 0.0).then(|| Duration::from_millis(duration as i64));
        if let Some(s) = self.streams.get_mut(index) {
            let viewer = Viewer::new(peer, s.id, Stream::base_csid(s.slot), until);
            s.role = Role::Play(Box::new(Play {
                ticket,
                name: target.stream.clone(),
                answered: false,
                reset,
                paused: false,
                audio: true,
                video: true,
                viewer,
            }));
        }
        // librtmp plays live streams with a start of 0.
        let from =
            if start > 0.0 { PlayFrom::At(Timestamp::from_millis(start as i64)) } else { PlayFrom::Live };
        let ask = Ask::Play { stream: target.stream, url: target.url, from };
        self.events.push_back(Output::Ask(ticket, ask));
        Ok(())
    }

    /// Tells why a publish or play can't be, and ends a connection that has nothing else.
    fn refuse(&mut self, index: usize, code: &str, description: &str) -> Result<(), SessionError> {
        self.status(index, "error", code, description);
        if let Some(s) = self.streams.get_mut(index) {
            s.role = Role::Idle;
        }
        if self.streams.iter().all(|s| matches!(s.role, Role::Idle)) && self.lengths.is_empty() {
            self.done = Some(Ok(()));
        }
        Ok(())
    }

    fn length(&mut self, transaction: f64, name: &str) {
        let (stream, _) = url::split_query(name);
        if self.may_ask().is_err() || stream.len() > self.limits.string {
            return self.error(transaction, "NetConnection.Call.Failed", "Too many requests.");
        }
        let ticket = self.ticket();
        self.lengths.push((ticket, transaction));
        self.events.push_back(Output::Ask(ticket, Ask::Length { stream: stream.to_owned() }));
    }

    /// The play on a message stream, if it is running.
    fn playing(&mut self, id: u32) -> Option<(usize, &mut Play)> {
        let index = self.find(id)?;
        match self.streams.get_mut(index).map(|s| &mut s.role) {
            Some(Role::Play(p)) if p.answered => Some((index, p)),
            _ => None,
        }
    }

    fn pause(&mut self, id: u32, pause: bool) {
        let Some((index, p)) = self.playing(id) else { return };
        p.paused = pause;
        let (ticket, name) = (p.ticket, p.name.clone());
        if !pause {
            p.viewer.repeat_configuration();
        }
        self.events.push_back(Output::Control(ticket, if pause { Control::Pause } else { Control::Resume }));
        let code = if pause { "NetStream.Pause.Notify" } else { "NetStream.Unpause.Notify" };
        self.status(index, "status", code, &name);
    }

    fn seek(&mut self, id: u32, to: f64) {
        let Some((index, p)) = self.playing(id) else { return };
        p.viewer.repeat_configuration();
        let (ticket, name, id) = (p.ticket, p.name.clone(), id);
        let to = Timestamp::from_millis(to.max(0.0) as i64);
        self.events.push_back(Output::Control(ticket, Control::Seek(to)));
        self.status(index, "status", "NetStream.Seek.Notify", &name);
        self.link.control(UserControl::StreamBegin(id));
        self.status(index, "status", "NetStream.Play.Start", &name);
    }

    fn receive(&mut self, id: u32, audio: Option<bool>, video: Option<bool>) {
        let Some((_, p)) = self.playing(id) else { return };
        p.audio = audio.unwrap_or(p.audio);
        p.video = video.unwrap_or(p.video);
        p.viewer.repeat_configuration();
        let control = Control::Receive { audio: p.audio, video: p.video };
        let ticket = p.ticket;
        self.events.push_back(Output::Control(ticket, control));
    }

    /// Ends what a stream does, by the peer's wish.
    fn end_role(&mut self, index: usize) {
        let Some(s) = self.streams.get_mut(index) else { return };
        let role = std::mem::replace(&mut s.role, Role::Idle);
        let (ticket, code, name) = match role {
            Role::Idle => return,
            Role::Publish(p) => (p.ticket, "NetStream.Unpublish.Success", p.name),
            Role::Play(p) => (p.ticket, "NetStream.Play.Stop", p.name),
        };
        self.events.push_back(Output::Control(ticket, Control::Close));
        self.status(index, "status", code, &name);
        self.idle_since = self.link.now;
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

    fn answer(&mut self, ticket: Ticket, answer: &Answer) -> Result<(), SessionError> {
        if let Some(i) = self.lengths.iter().position(|(t, _)| *t == ticket) {
            let (_, transaction) = self.lengths.swap_remove(i);
            let seconds = match answer {
                Answer::Length(d) => d.as_secs_f64(),
                _ => 0.0,
            };
            self.result(transaction, &[seconds.into()]);
            return Ok(());
        }
        let Some(index) = self.by_ticket(ticket).filter(|i| self.streams.get(*i).is_some_and(Stream::waits))
        else {
            return Ok(());
        };
        let Some(Stream { id, role, .. }) = self.streams.get_mut(index) else { return Ok(()) };
        let id = *id;
        match (role, answer) {
            (Role::Publish(p), Answer::No(r)) => {
                let _ = p;
                self.refuse(index, "NetStream.Publish.BadName", &r.to_string())
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
                Ok(())
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
                Ok(())
            }
            (Role::Idle, _) => Ok(()),
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
            Input::Answer(t, a) => {
                if let Err(e) = self.answer(t, &a) {
                    self.done = Some(Err(e));
                }
            }
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
