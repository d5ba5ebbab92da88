//! What the peer's commands do.

use super::{Connection, Play, Publish, Role, Server, Stream};
use crate::rtmp::chunk::Message;
use crate::rtmp::command::{self, Call, Command, Connect};
use crate::rtmp::link::CSID_COMMAND;
use crate::rtmp::message::{UserControl, kind};
use crate::rtmp::play::Viewer;
use crate::rtmp::publish::Incoming;
use crate::rtmp::{PROTOCOL_ID, enhanced, url};
use mist_core::session::{Ask, Control, Note, Output, PlayFrom, SessionError, Ticket};
use mist_core::time::{Duration, Timestamp};
use mist_formats::amf::{Object, Value};

/// What Flash-era clients look for in `fmsVer`.
const FMS_VERSION: &str = "FMS/3,5,7,7009";
/// Bytes of `flashVer` that are noted.
const USER_AGENT: usize = 256;

impl Server {
    // Answers.

    pub(super) fn reply(&mut self, csid: u32, stream: u32, values: &[Value]) {
        let amf3 = self.connection.as_ref().is_some_and(|c| c.amf3);
        let kind = if amf3 { kind::COMMAND_AMF3 } else { kind::COMMAND };
        self.link.send(csid, stream, kind, 0, &[], command::body(amf3, values));
    }

    pub(super) fn result(&mut self, transaction: f64, values: &[Value]) {
        let mut all = vec![Value::from("_result"), transaction.into(), Value::Null];
        all.extend_from_slice(values);
        self.reply(CSID_COMMAND, 0, &all);
    }

    pub(super) fn error(&mut self, transaction: f64, code: &str, description: &str) {
        let info = command::info("error", code, description);
        self.reply(CSID_COMMAND, 0, &["_error".into(), transaction.into(), Value::Null, info.into()]);
    }

    pub(super) fn status(&mut self, index: usize, level: &str, code: &str, description: &str) {
        let Some(s) = self.streams.get(index) else { return };
        let (csid, id) = (s.status_csid(), s.id);
        let info = command::info(level, code, description);
        self.reply(csid, id, &["onStatus".into(), 0.0.into(), Value::Null, info.into()]);
    }

    // Commands.

    pub(super) fn command(&mut self, m: &Message, call: &Call) -> Result<(), SessionError> {
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

    pub(super) fn notify(&mut self, name: &str, code: &str, stream: &str) {
        let info = command::info("status", code, stream);
        self.reply(CSID_COMMAND, 0, &[name.into(), 0.0.into(), Value::Null, info.into()]);
    }

    pub(super) fn connect(&mut self, c: Connect, transaction: f64, amf3: bool) -> Result<(), SessionError> {
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

    pub(super) fn find(&self, id: u32) -> Option<usize> {
        self.streams.iter().position(|s| s.id == id)
    }

    pub(super) fn by_ticket(&self, t: Ticket) -> Option<usize> {
        self.streams.iter().position(|s| s.ticket() == Some(t))
    }

    pub(super) fn create_stream(&mut self) -> Option<u32> {
        let id = (1..).find(|id| self.find(*id).is_none())?;
        self.stream(id)?;
        Some(id)
    }

    /// The stream with this id, made if need be: some encoders publish without createStream.
    pub(super) fn stream(&mut self, id: u32) -> Option<usize> {
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

    pub(super) fn may_ask(&self) -> Result<(), SessionError> {
        let waiting = self.streams.iter().filter(|s| s.waits()).count() + self.lengths.len();
        if waiting >= self.limits.pending_asks {
            return Err(SessionError::Limit { protocol: PROTOCOL_ID, what: "requests at the same time" });
        }
        Ok(())
    }

    /// Prepares a stream for a publish or play.
    pub(super) fn begin(&mut self, id: u32) -> Result<usize, SessionError> {
        let Some(index) = self.stream(id) else {
            return Err(SessionError::Limit { protocol: PROTOCOL_ID, what: "streams" });
        };
        self.end_role(index);
        self.may_ask()?;
        Ok(index)
    }

    pub(super) fn publish(&mut self, id: u32, name: &str) -> Result<(), SessionError> {
        let index = self.begin(id)?;
        let (app, tc_url) = self.connection.as_ref().map_or(("", ""), |c| (&c.app, &c.tc_url));
        let Some(target) = url::Target::new(app, tc_url, name, self.limits.string) else {
            self.refuse(index, "NetStream.Publish.BadName", "Bad stream name.");
            return Ok(());
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

    pub(super) fn play(
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
            self.refuse(index, "NetStream.Play.StreamNotFound", "Bad stream name.");
            return Ok(());
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
    pub(super) fn refuse(&mut self, index: usize, code: &str, description: &str) {
        self.status(index, "error", code, description);
        if let Some(s) = self.streams.get_mut(index) {
            s.role = Role::Idle;
        }
        if self.streams.iter().all(|s| matches!(s.role, Role::Idle)) && self.lengths.is_empty() {
            self.done = Some(Ok(()));
        }
    }

    pub(super) fn length(&mut self, transaction: f64, name: &str) {
        let (stream, _) = url::split_query(name);
        if self.may_ask().is_err() || stream.len() > self.limits.string {
            return self.error(transaction, "NetConnection.Call.Failed", "Too many requests.");
        }
        let ticket = self.ticket();
        self.lengths.push((ticket, transaction));
        self.events.push_back(Output::Ask(ticket, Ask::Length { stream: stream.to_owned() }));
    }

    /// The play on a message stream, if it is running.
    pub(super) fn playing(&mut self, id: u32) -> Option<(usize, &mut Play)> {
        let index = self.find(id)?;
        match self.streams.get_mut(index).map(|s| &mut s.role) {
            Some(Role::Play(p)) if p.answered => Some((index, p)),
            _ => None,
        }
    }

    pub(super) fn pause(&mut self, id: u32, pause: bool) {
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

    pub(super) fn seek(&mut self, id: u32, to: f64) {
        let Some((index, p)) = self.playing(id) else { return };
        p.viewer.repeat_configuration();
        let (ticket, name, id) = (p.ticket, p.name.clone(), id);
        let to = Timestamp::from_millis(to.max(0.0) as i64);
        self.events.push_back(Output::Control(ticket, Control::Seek(to)));
        self.status(index, "status", "NetStream.Seek.Notify", &name);
        self.link.control(UserControl::StreamBegin(id));
        self.status(index, "status", "NetStream.Play.Start", &name);
    }

    pub(super) fn receive(&mut self, id: u32, audio: Option<bool>, video: Option<bool>) {
        let Some((_, p)) = self.playing(id) else { return };
        p.audio = audio.unwrap_or(p.audio);
        p.video = video.unwrap_or(p.video);
        p.viewer.repeat_configuration();
        let control = Control::Receive { audio: p.audio, video: p.video };
        let ticket = p.ticket;
        self.events.push_back(Output::Control(ticket, control));
    }

    /// Ends what a stream does, by the peer's wish.
    pub(super) fn end_role(&mut self, index: usize) {
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
}
