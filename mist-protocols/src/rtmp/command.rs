//! Commands (RTMP 1.0, 7.2) as types, and the writing of answers.

use super::chunk::Message;
use super::enhanced;
use super::message::kind;
use bytes::Bytes;
use mist_formats::amf::{AmfError, Object, Value, amf0};
use mist_formats::flv::Peer;

/// A command or data message as it is on the wire: a name and values.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Name of the procedure.
    pub name: String,
    /// Transaction id; 0 when no answer is expected.
    pub transaction: f64,
    /// The command object.
    pub object: Value,
    /// What follows the command object.
    pub args: Vec<Value>,
}

/// The `connect` command's properties that matter here.
#[derive(Debug, Clone, PartialEq)]
pub struct Connect {
    /// Application.
    pub app: String,
    /// URL of the server; empty if the peer gave none.
    pub tc_url: String,
    /// What the peer calls itself.
    pub flash_ver: String,
    /// 3 if the peer wants AMF3.
    pub object_encoding: f64,
    /// It announced something of Enhanced RTMP.
    pub enhanced: bool,
    /// How to write media for it.
    pub peer: Peer,
}

/// What a call means.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the names are those of the commands and their arguments")]
pub enum Command {
    Connect(Box<Connect>),
    CreateStream,
    ReleaseStream(String),
    FcPublish(String),
    FcUnpublish(String),
    FcSubscribe(String),
    Publish {
        name: String,
    },
    /// Times in milliseconds; a negative start means live, a negative duration no end.
    Play {
        name: String,
        start: f64,
        duration: f64,
        reset: bool,
    },
    Pause {
        pause: bool,
    },
    Seek {
        to: f64,
    },
    CloseStream,
    DeleteStream(u32),
    GetStreamLength(String),
    ReceiveAudio(bool),
    ReceiveVideo(bool),
    CheckBandwidth,
    Result,
    Error,
    OnStatus,
    OnBandwidthDone,
    Other,
}

impl Call {
    /// Reads a command message (type 20 or 17).
    ///
    /// # Errors
    /// What the AMF reader finds.
    pub fn parse(message: &Message) -> Result<Self, AmfError> {
        let mut r = amf0::Reader::new(amf0_body(message));
        let name = r.read()?.and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default();
        let transaction = r.read()?.and_then(|v| v.as_f64()).unwrap_or(0.0);
        let object = r.read()?.unwrap_or(Value::Null);
        let mut args = Vec::new();
        while let Some(v) = r.read()? {
            args.push(v);
        }
        Ok(Self { name, transaction, object, args })
    }

    fn text(&self, i: usize) -> String {
        self.args.get(i).and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    fn number(&self, i: usize) -> Option<f64> {
        self.args.get(i).and_then(Value::as_f64).filter(|n| n.is_finite())
    }

    fn flag(&self, i: usize) -> Option<bool> {
        self.args.get(i).and_then(Value::as_bool)
    }

    /// What it means.
    pub fn command(&self) -> Command {
        match self.name.as_str() {
            "connect" => {
                let text =
                    |k: &str| self.object.get(k).and_then(Value::as_str).unwrap_or_default().to_owned();
                Command::Connect(Box::new(Connect {
                    app: text("app"),
                    tc_url: text("tcUrl"),
                    flash_ver: text("flashVer"),
                    object_encoding: self.object.get("objectEncoding").and_then(Value::as_f64).unwrap_or(0.0),
                    enhanced: enhanced::announced(&self.object),
                    peer: enhanced::peer(&self.object),
                }))
            }
            "createStream" => Command::CreateStream,
            "releaseStream" => Command::ReleaseStream(self.text(0)),
            "FCPublish" => Command::FcPublish(self.text(0)),
            "FCUnpublish" => Command::FcUnpublish(self.text(0)),
            "FCSubscribe" => Command::FcSubscribe(self.text(0)),
            "publish" => Command::Publish { name: self.text(0) },
            "play" => Command::Play {
                name: self.text(0),
                start: self.number(1).unwrap_or(-2000.0),
                duration: self.number(2).unwrap_or(-1000.0),
                reset: self.flag(3).unwrap_or(true),
            },
            "play2" => {
                let p = self.args.first().unwrap_or(&Value::Null);
                let number = |k: &str| p.get(k).and_then(Value::as_f64).filter(|n| n.is_finite());
                Command::Play {
                    name: p.get("streamName").and_then(Value::as_str).unwrap_or_default().to_owned(),
                    start: number("start").unwrap_or(-2000.0),
                    duration: number("len").unwrap_or(-1000.0),
                    reset: true,
                }
            }
            "pause" | "pauseRaw" => Command::Pause { pause: self.flag(0).unwrap_or(true) },
            "seek" => Command::Seek { to: self.number(0).unwrap_or(0.0) },
            "closeStream" => Command::CloseStream,
            "deleteStream" => Command::DeleteStream(self.number(0).unwrap_or(0.0) as u32),
            "getStreamLength" => Command::GetStreamLength(self.text(0)),
            "receiveAudio" => Command::ReceiveAudio(self.flag(0).unwrap_or(true)),
            "receiveVideo" => Command::ReceiveVideo(self.flag(0).unwrap_or(true)),
            "_checkbw" | "checkBandwidth" => Command::CheckBandwidth,
            "_result" => Command::Result,
            "_error" => Command::Error,
            "onStatus" => Command::OnStatus,
            "onBWDone" => Command::OnBandwidthDone,
            _ => Command::Other,
        }
    }

    /// Member `key` of the information object that results and status messages carry.
    pub fn info(&self, key: &str) -> Option<&str> {
        self.args.iter().chain([&self.object]).find_map(|v| v.get(key)).and_then(Value::as_str)
    }
}

/// The AMF0 part of a command or data message: those of types 15 and 17 start with a format byte, and switch to
/// AMF3 value by value.
pub fn amf0_body(message: &Message) -> &[u8] {
    match (message.kind, message.body.split_first()) {
        (kind::COMMAND_AMF3 | kind::DATA_AMF3, Some((0, rest))) => rest,
        _ => &message.body,
    }
}

/// The body of a command: as message type 17 when `amf3`, else 20.
pub fn body(amf3: bool, values: &[Value]) -> Bytes {
    let mut out = Vec::with_capacity(256);
    if amf3 {
        out.push(0);
    }
    for v in values {
        amf0::write(v, &mut out);
    }
    out.into()
}

/// An information object.
pub fn info(level: &str, code: &str, description: &str) -> Object {
    Object::new().with("level", level).with("code", code).with("description", description)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(kind: u8, body: Bytes) -> Command {
        Call::parse(&Message { csid: 3, stream: 0, kind, time: 0, body }).unwrap().command()
    }

    #[test]
    fn both_encodings() {
        let values = [Value::from("play"), 4.0.into(), Value::Null, "s?x=1".into(), (-2000.0).into()];
        let want = Command::Play { name: "s?x=1".into(), start: -2000.0, duration: -1000.0, reset: true };
        assert_eq!(parse(kind::COMMAND, body(false, &values)), want);
        assert_eq!(parse(kind::COMMAND_AMF3, body(true, &values)), want);
        assert_eq!(parse(kind::COMMAND_AMF3, body(false, &values)), want, "without the format byte");
    }

    #[test]
    fn odd_arguments_do_no_harm() {
        let nan = [Value::from("seek"), Value::Null, Value::Null, f64::NAN.into()];
        assert_eq!(parse(kind::COMMAND, body(false, &nan)), Command::Seek { to: 0.0 });
        let far = [Value::from("deleteStream"), 0.0.into(), Value::Null, (-1e300).into()];
        assert_eq!(parse(kind::COMMAND, body(false, &far)), Command::DeleteStream(0));
        assert_eq!(parse(kind::COMMAND, Bytes::new()), Command::Other);
        assert_eq!(
            parse(kind::COMMAND, body(false, &["publish".into()])),
            Command::Publish { name: String::new() }
        );
    }
}
