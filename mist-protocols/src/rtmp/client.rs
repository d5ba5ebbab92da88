//! The client's side: publishes to a server or plays from one.

use super::PROTOCOL_ID;
use super::chunk::Message;
use super::command::{self, Call, Command};
use super::enhanced;
use super::handshake::{Handshake, Schema};
use super::limits::Limits;
use super::link::{CSID_COMMAND, Link};
use super::message::{Aggregate, UserControl, kind};
use super::play::Viewer;
use super::publish::Incoming;
use super::url::ClientUrl;
use mist_core::gather::Gather;
use mist_core::media::Media;
use mist_core::session::{Flow, Input, Output, Session, SessionError, Ticket};
use mist_core::time::Now;
use mist_formats::amf::{Object, Value};
use mist_formats::flv::Peer;
use std::collections::VecDeque;
use std::time::Instant;

const FLOW: Flow = Flow(0);
/// The ticket of a client's only publish or play.
pub const CLIENT_TICKET: Ticket = Ticket(0);
/// The buffer that a player announces, in milliseconds.
const BUFFER_MS: u32 = 3000;
const MEDIA_CSID: u32 = 4;
/// Longest text of a peer that goes into an error.
const REFUSAL: usize = 200;

const T_CONNECT: f64 = 1.0;
const T_RELEASE: f64 = 2.0;
const T_FC_PUBLISH: f64 = 3.0;
const T_CREATE: f64 = 4.0;
const T_START: f64 = 5.0;
const T_DELETE: f64 = 6.0;

/// What a client is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Sends media to the server: takes [`Input::Media`] under [`CLIENT_TICKET`].
    Publish,
    /// Gets media from the server: gives [`Output::Media`] under [`CLIENT_TICKET`].
    Play,
}

/// How a client is made.
#[derive(Debug, Clone, Copy)]
pub struct ClientConfig {
    /// Publish or play.
    pub direction: Direction,
    /// Fills the handshake.
    pub seed: [u8; 32],
    /// The digest's layout; `None` for the simple handshake.
    pub digest: Option<Schema>,
    /// Commands as message type 17 and `objectEncoding` 3.
    pub amf3: bool,
    /// Limits on what the server sends.
    pub limits: Limits,
}

impl ClientConfig {
    /// What most servers take.
    pub fn new(direction: Direction, seed: [u8; 32]) -> Self {
        Self { direction, seed, digest: Some(Schema::KeyFirst), amf3: false, limits: Limits::DEFAULT }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Step {
    Handshake,
    Connect,
    Create,
    Start,
    Running,
}

#[derive(Debug)]
enum Role {
    Publish(Viewer),
    Play(Incoming),
}

/// A client session of RTMP.
#[derive(Debug)]
pub struct Client {
    link: Link,
    config: ClientConfig,
    url: ClientUrl,
    events: VecDeque<Output>,
    aggregate: Option<Aggregate>,
    role: Role,
    peer: Peer,
    stream: u32,
    step: Step,
    /// Since when the step waits, or when media came last.
    since: Option<Instant>,
    done: Option<Result<(), SessionError>>,
}

impl Client {
    /// For `rtmp://host[:port]/app/stream`. `name` is the stream name where the URL ends with the application.
    /// `None` for other URLs. The connection is the driver's to make.
    pub fn new(url: &str, name: &str, config: ClientConfig) -> Option<Self> {
        let url = ClientUrl::parse(url, name, config.limits.string)?;
        let mut out = Gather::new();
        let handshake = Handshake::client(config.seed, config.digest, &mut out);
        Some(Self {
            link: Link::new(handshake, out, config.limits),
            config,
            url,
            events: VecDeque::new(),
            aggregate: None,
            role: match config.direction {
                Direction::Publish => {
                    Role::Publish(Viewer::publisher(enhanced::unannounced(), 0, MEDIA_CSID))
                }
                Direction::Play => Role::Play(Incoming::new()),
            },
            peer: enhanced::unannounced(),
            stream: 0,
            step: Step::Handshake,
            since: None,
            done: None,
        })
    }

    fn call(&mut self, csid: u32, stream: u32, values: &[Value]) {
        let amf3 = self.config.amf3;
        let kind = if amf3 { kind::COMMAND_AMF3 } else { kind::COMMAND };
        self.link.send(csid, stream, kind, 0, &[], command::body(amf3, values));
    }

    fn go(&mut self, step: Step) {
        self.step = step;
        self.since = self.link.now;
    }

    fn send_connect(&mut self) {
        let publish = self.config.direction == Direction::Publish;
        let mut o = Object::new()
            .with("app", self.url.app.as_str())
            .with(
                "flashVer",
                if publish { "FMLE/3.0 (compatible; mist)" } else { "LNX 9,0,124,2 (compatible; mist)" },
            )
            .with("tcUrl", self.url.tc_url.as_str())
            .with("objectEncoding", if self.config.amf3 { 3.0 } else { 0.0 });
        o = if publish {
            o.with("type", "nonprivate")
        } else {
            o.with("fpad", false)
                .with("capabilities", 15.0)
                .with("audioCodecs", 4071.0)
                .with("videoCodecs", 252.0)
                .with("videoFunction", 1.0)
        };
        let o = enhanced::announce(o);
        self.call(CSID_COMMAND, 0, &["connect".into(), T_CONNECT.into(), o.into()]);
        self.go(Step::Connect);
    }

    fn send_create(&mut self) {
        self.link.send_sizes();
        let key = Value::from(self.url.key.as_str());
        if self.config.direction == Direction::Publish {
            self.call(CSID_COMMAND, 0, &["releaseStream".into(), T_RELEASE.into(), Value::Null, key.clone()]);
            self.call(CSID_COMMAND, 0, &["FCPublish".into(), T_FC_PUBLISH.into(), Value::Null, key]);
        }
        self.call(CSID_COMMAND, 0, &["createStream".into(), T_CREATE.into(), Value::Null]);
        self.go(Step::Create);
    }

    fn send_start(&mut self) {
        let key = Value::from(self.url.key.as_str());
        let stream = self.stream;
        match &mut self.role {
            Role::Publish(v) => {
                *v = Viewer::publisher(self.peer, stream, MEDIA_CSID);
                let csid = MEDIA_CSID + 3;
                self.call(csid, stream, &["publish".into(), T_START.into(), Value::Null, key, "live".into()]);
            }
            Role::Play(_) => {
                let (start, all) = (-2000.0, -1000.0);
                let args =
                    ["play".into(), T_START.into(), Value::Null, key, start.into(), all.into(), true.into()];
                self.call(MEDIA_CSID + 3, stream, &args);
                self.link.control(UserControl::SetBufferLength(stream, BUFFER_MS));
            }
        }
        self.go(Step::Start);
    }

    /// Says goodbye.
    fn finish(&mut self) {
        if self.step > Step::Create {
            if self.config.direction == Direction::Publish {
                let key = Value::from(self.url.key.as_str());
                self.call(CSID_COMMAND, 0, &["FCUnpublish".into(), T_DELETE.into(), Value::Null, key]);
            }
            let stream = Value::from(self.stream);
            self.call(CSID_COMMAND, 0, &["deleteStream".into(), 0.0.into(), Value::Null, stream]);
        }
        self.done = Some(Ok(()));
    }

    fn refused(&self, call: &Call) -> SessionError {
        let code = call.info("code").unwrap_or(&call.name);
        let text = match call.info("description") {
            Some(d) => format!("{code}: {d}"),
            None => code.to_owned(),
        };
        let what = text.chars().filter(|c| !c.is_control()).take(REFUSAL).collect();
        SessionError::Refused { protocol: PROTOCOL_ID, what }
    }

    fn message(&mut self, m: Message) -> Result<(), SessionError> {
        match m.kind {
            kind::COMMAND | kind::COMMAND_AMF3 => {
                let call = Call::parse(&m).map_err(|_| self.link.error("command", "unreadable AMF"))?;
                self.command(&call)
            }
            kind::AUDIO | kind::VIDEO | kind::DATA | kind::DATA_AMF3 => {
                if let Role::Play(incoming) = &mut self.role {
                    self.since = self.link.now;
                    incoming.message(CLIENT_TICKET, m, &mut self.events);
                }
                Ok(())
            }
            kind::AGGREGATE => {
                self.aggregate = Some(Aggregate::new(m));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn command(&mut self, call: &Call) -> Result<(), SessionError> {
        let t = call.transaction;
        match call.command() {
            Command::Result if t == T_CONNECT && self.step == Step::Connect => {
                self.peer = enhanced::peer(&call.object);
                self.send_create();
            }
            Command::Result if t == T_CREATE && self.step == Step::Create => {
                let id = call.args.first().and_then(Value::as_f64).unwrap_or(1.0);
                self.stream = id as u32;
                self.send_start();
            }
            // Servers may not know releaseStream and FCPublish.
            Command::Error if t == T_CONNECT || t == T_CREATE || t == T_START => {
                return Err(self.refused(call));
            }
            Command::OnStatus => return self.status(call),
            _ => {}
        }
        Ok(())
    }

    fn status(&mut self, call: &Call) -> Result<(), SessionError> {
        match call.info("code").unwrap_or_default() {
            "NetStream.Publish.Start" | "NetStream.Play.Start" if self.step == Step::Start => {
                self.go(Step::Running);
            }
            "NetStream.Play.Stop" | "NetStream.Play.UnpublishNotify" | "NetStream.Play.Complete"
                if self.config.direction == Direction::Play =>
            {
                self.events.push_back(Output::Media(CLIENT_TICKET, Media::End));
                self.finish();
            }
            _ if call.info("level") == Some("error") => return Err(self.refused(call)),
            _ => {}
        }
        Ok(())
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
        let m = self.link.poll()?;
        if self.step == Step::Handshake && self.link.is_open() {
            self.send_connect();
        }
        Ok(m)
    }

    fn closed(&mut self) {
        let pulled = self.config.direction == Direction::Play && self.step == Step::Running;
        if pulled {
            self.events.push_back(Output::Media(CLIENT_TICKET, Media::End));
        }
        self.done =
            Some(if pulled { Ok(()) } else { Err(self.link.error("dialogue", "closed by the peer")) });
    }

    fn patience(&self) -> Option<(Instant, &'static str)> {
        let (wait, what) = match (self.step, self.config.direction) {
            (Step::Handshake, _) | (Step::Running, Direction::Publish) => return None,
            (Step::Running, Direction::Play) => (self.config.limits.publisher_idle, "media from the server"),
            (Step::Connect, _) => (self.config.limits.answer, "the answer to connect"),
            (Step::Create, _) => (self.config.limits.answer, "the answer to createStream"),
            (Step::Start, _) => (self.config.limits.answer, "the start of the stream"),
        };
        self.since.map(|t| (t + wait, what))
    }

    fn timers(&mut self) -> Result<(), SessionError> {
        self.link.tick()?;
        match (self.link.now, self.patience()) {
            (Some(now), Some((until, what))) if now >= until => Err(SessionError::Timeout(what)),
            _ => Ok(()),
        }
    }
}

impl Session for Client {
    fn handle(&mut self, now: Now, input: Input) {
        self.link.at(now.instant);
        if self.done.is_some() {
            return;
        }
        match input {
            Input::Bytes(FLOW, data) => self.link.push(data),
            Input::Closed(FLOW) => self.closed(),
            Input::Media(CLIENT_TICKET, Media::End) | Input::Shutdown => self.finish(),
            Input::Media(CLIENT_TICKET, m) => {
                if let (Role::Publish(v), Step::Running) = (&mut self.role, self.step) {
                    v.media(m, true, true, &mut self.link);
                }
            }
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
            let wants_media = self.step == Step::Running && self.config.direction == Direction::Publish;
            return Output::Idle { until, wants_media };
        }
    }
}
