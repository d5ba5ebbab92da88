//! A pair of sessions in virtual time, a scripted peer for the server, and media.

use bytes::Bytes;
use mist_core::codec::Codec;
use mist_core::gather::Gather;
use mist_core::media::{Media, Packet, Params, TrackId, TrackInfo};
use mist_core::session::{Answer, Ask, Control, Flow, Input, Note, Output, Session, SessionError, Ticket};
use mist_core::time::{Duration, Now, Timestamp};
use mist_formats::amf::Value;
use mist_formats::flv::{audio_track, video_track};
use mist_protocols::rtmp::chunk::{ChunkReader, ChunkWriter, Message};
use mist_protocols::rtmp::command::{self, Call};
use mist_protocols::rtmp::limits::Limits;
use mist_protocols::rtmp::message::kind;
use mist_protocols::rtmp::{Client, ClientConfig, Server};
use std::sync::Arc;
use std::time::{Duration as Wall, Instant};

pub(crate) const FLOW: Flow = Flow(0);
pub(crate) const SPLITS: [usize; 5] = [1, 2, 7, 188, usize::MAX];

/// A clock that only moves when told.
#[derive(Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
    pub(crate) passed: Wall,
}

impl Clock {
    #[allow(clippy::disallowed_methods, reason = "any instant does as the start of virtual time")]
    pub(crate) fn new() -> Self {
        Self { start: Instant::now(), passed: Wall::ZERO }
    }

    pub(crate) fn now(&self) -> Now {
        Now { instant: self.start + self.passed, unix: self.passed }
    }

    pub(crate) fn since_start(&self, t: Instant) -> Wall {
        t - self.start
    }
}

/// What came out of a session until it was idle or done.
#[derive(Default, Debug)]
pub(crate) struct Outcome {
    pub(crate) sent: Vec<u8>,
    pub(crate) asks: Vec<(Ticket, Ask)>,
    pub(crate) media: Vec<(Ticket, Media)>,
    pub(crate) controls: Vec<(Ticket, Control)>,
    pub(crate) notes: Vec<Note>,
    pub(crate) until: Option<Instant>,
    pub(crate) wants_media: bool,
    pub(crate) done: Option<Result<(), SessionError>>,
}

impl Outcome {
    /// Drains a session into it.
    pub(crate) fn drain(&mut self, s: &mut dyn Session) {
        loop {
            let asks = self.asks.len();
            self.drain_until_ask(s);
            if self.asks.len() == asks {
                return;
            }
        }
    }

    /// Drains a session into it until it asks something.
    pub(crate) fn drain_until_ask(&mut self, s: &mut dyn Session) {
        loop {
            match s.poll() {
                Output::Send(FLOW, g) => {
                    assert!(!g.is_empty());
                    self.sent.extend(g.to_vec());
                }
                Output::Ask(t, a) => {
                    self.asks.push((t, a));
                    return;
                }
                Output::Media(t, m) => self.media.push((t, m)),
                Output::Control(t, c) => self.controls.push((t, c)),
                Output::Note(n) => self.notes.push(n),
                Output::Idle { until, wants_media } => {
                    (self.until, self.wants_media) = (until, wants_media);
                    return;
                }
                Output::Done(r) => {
                    self.done = Some(r);
                    return;
                }
                other => panic!("{other:?}"),
            }
        }
    }

    pub(crate) fn packets(&self) -> Vec<Packet> {
        self.media
            .iter()
            .filter_map(|(_, m)| if let Media::Packet(p) = m { Some(p.clone()) } else { None })
            .collect()
    }

    pub(crate) fn tracks(&self) -> Vec<Arc<TrackInfo>> {
        self.media
            .iter()
            .filter_map(|(_, m)| if let Media::Track(t) = m { Some(t.clone()) } else { None })
            .collect()
    }
}

/// Our client and our server on one connection.
pub(crate) struct Pair {
    pub(crate) clock: Clock,
    pub(crate) client: Client,
    pub(crate) server: Server,
    pub(crate) split: usize,
    pub(crate) at_client: Outcome,
    pub(crate) at_server: Outcome,
}

impl Pair {
    pub(crate) fn new(url: &str, config: ClientConfig, split: usize) -> Self {
        Self {
            clock: Clock::new(),
            client: Client::new(url, "", config).expect("a URL for RTMP"),
            server: Server::new([2; 32], Limits::DEFAULT),
            split,
            at_client: Outcome::default(),
            at_server: Outcome::default(),
        }
    }

    /// Carries bytes both ways until nothing moves, answering what the server asks.
    pub(crate) fn run(&mut self, mut answer: impl FnMut(&Ask) -> Option<Answer>) {
        loop {
            self.at_client.drain(&mut self.client);
            self.at_server.drain(&mut self.server);
            let up = std::mem::take(&mut self.at_client.sent);
            let down = std::mem::take(&mut self.at_server.sent);
            let asks: Vec<_> = std::mem::take(&mut self.at_server.asks);
            if up.is_empty() && down.is_empty() && asks.is_empty() {
                return;
            }
            let now = self.clock.now();
            for c in up.chunks(self.split) {
                self.server.handle(now, Input::Bytes(FLOW, Bytes::copy_from_slice(c)));
                self.at_server.drain(&mut self.server);
            }
            for c in down.chunks(self.split) {
                self.client.handle(now, Input::Bytes(FLOW, Bytes::copy_from_slice(c)));
                self.at_client.drain(&mut self.client);
            }
            for (t, ask) in asks {
                if let Some(a) = answer(&ask) {
                    self.server.handle(now, Input::Answer(t, a));
                }
            }
        }
    }
}

/// A server and a peer that does what the test says.
pub(crate) struct Scripted {
    pub(crate) clock: Clock,
    pub(crate) server: Server,
    writer: ChunkWriter,
    reader: ChunkReader,
    skip: usize,
    /// What the server did since the last call of [`Scripted::take`].
    pub(crate) out: Outcome,
    /// Messages of the server.
    pub(crate) replies: Vec<Message>,
}

impl Scripted {
    /// After a simple handshake.
    pub(crate) fn new(limits: Limits) -> Self {
        let mut s = Self::before_handshake(limits);
        let mut hello = vec![3u8];
        hello.resize(1 + 1536 * 2, 0);
        s.bytes(&hello);
        s
    }

    pub(crate) fn before_handshake(limits: Limits) -> Self {
        let mut s = Self {
            clock: Clock::new(),
            server: Server::new([3; 32], limits),
            writer: ChunkWriter::new(),
            reader: ChunkReader::new(Limits::DEFAULT, 0),
            skip: 1 + 1536 * 2,
            out: Outcome::default(),
            replies: Vec::new(),
        };
        s.input(Input::Tick);
        s
    }

    /// After `connect` to application `pw`.
    pub(crate) fn connected() -> Self {
        let mut s = Self::new(Limits::DEFAULT);
        s.connect();
        s
    }

    pub(crate) fn connect(&mut self) {
        let o = mist_formats::amf::Object::new().with("app", "pw").with("tcUrl", "rtmp://h/pw");
        self.call(0, &["connect".into(), 1.0.into(), o.into()]);
        assert_eq!(self.codes(), ["NetConnection.Connect.Success"]);
        self.take();
    }

    /// After a publish of `name` on a new stream that was accepted; gives the ticket. The stream's id is 1.
    pub(crate) fn publishing() -> (Self, Ticket) {
        let mut s = Self::connected();
        s.call(0, &["createStream".into(), 2.0.into(), Value::Null]);
        let t = s.publish(1, "x");
        s.take();
        (s, t)
    }

    pub(crate) fn publish(&mut self, stream: u32, name: &str) -> Ticket {
        self.call(stream, &["publish".into(), 3.0.into(), Value::Null, name.into(), "live".into()]);
        let (t, _) = self.out.asks.pop().expect("an ask");
        self.input(Input::Answer(t, Answer::Yes));
        t
    }

    pub(crate) fn play(&mut self, stream: u32, name: &str) -> Ticket {
        self.call(stream, &["play".into(), 3.0.into(), Value::Null, name.into()]);
        let (t, _) = self.out.asks.pop().expect("an ask");
        self.input(Input::Answer(t, Answer::Yes));
        t
    }

    pub(crate) fn input(&mut self, input: Input) {
        self.server.handle(self.clock.now(), input);
        self.out.drain(&mut self.server);
        let mut sent = std::mem::take(&mut self.out.sent);
        let skip = self.skip.min(sent.len());
        self.skip -= skip;
        self.reader.push(sent.split_off(skip).into());
        while let Some(m) = self.reader.poll().expect("the server writes what our reader reads") {
            self.replies.push(m);
        }
    }

    pub(crate) fn bytes(&mut self, b: &[u8]) {
        self.input(Input::Bytes(FLOW, Bytes::copy_from_slice(b)));
    }

    pub(crate) fn message(&mut self, csid: u32, stream: u32, kind: u8, time: u32, body: &[u8]) {
        let mut g = Gather::new();
        self.writer.message(csid, stream, kind, time, &[], Bytes::copy_from_slice(body), &mut g);
        self.bytes(&g.to_vec());
    }

    pub(crate) fn call(&mut self, stream: u32, values: &[Value]) {
        self.message(3, stream, kind::COMMAND, 0, &command::body(false, values));
    }

    pub(crate) fn pass(&mut self, t: Wall) {
        self.clock.passed += t;
        self.input(Input::Tick);
    }

    /// The commands that the server sent.
    pub(crate) fn calls(&self) -> Vec<Call> {
        let commands = self.replies.iter().filter(|m| matches!(m.kind, kind::COMMAND | kind::COMMAND_AMF3));
        commands.map(|m| Call::parse(m).expect("the server writes AMF")).collect()
    }

    /// The codes in the information objects of the server's commands.
    pub(crate) fn codes(&self) -> Vec<String> {
        self.calls().iter().filter_map(|c| c.info("code").map(str::to_owned)).collect()
    }

    /// Forgets what came so far, and gives it.
    pub(crate) fn take(&mut self) -> (Outcome, Vec<Message>) {
        (std::mem::take(&mut self.out), std::mem::take(&mut self.replies))
    }
}

pub(crate) const AVCC: &[u8] = &[1, 66, 0, 30, 0xff, 0xe1, 0, 2, 0x67, 66, 1, 0, 2, 0x68, 1];
pub(crate) const ASC: &[u8] = &[0x12, 0x10];

pub(crate) fn video() -> Arc<TrackInfo> {
    Arc::new(TrackInfo::new(
        video_track(0),
        Codec::H264,
        Bytes::from_static(AVCC),
        Params::Video { width: 0, height: 0, fpks: 0 },
    ))
}

pub(crate) fn audio() -> Arc<TrackInfo> {
    Arc::new(TrackInfo::new(
        audio_track(0),
        Codec::Aac,
        Bytes::from_static(ASC),
        Params::Audio { rate: 44100, channels: 2, bits: 16 },
    ))
}

pub(crate) fn packet(track: TrackId, ms: i64, cts: i64, key: bool, len: usize) -> Packet {
    let mut data: Vec<u8> = (0..len).map(|i| (i * 7 + ms as usize) as u8).collect();
    if track == video_track(0) {
        // One NAL unit with its length: a slice, of a keyframe or not.
        let nal = len as u32 - 4;
        data[..4].copy_from_slice(&nal.to_be_bytes());
        data[4] = if key { 0x65 } else { 0x41 };
    }
    Packet {
        track,
        dts: Timestamp::from_millis(ms),
        cts: Duration::from_millis(cts),
        duration: Duration::ZERO,
        key,
        data: data.into(),
    }
}

/// Two seconds of pictures and sound from `start` on, in the order of their decoding times.
pub(crate) fn programme(start: i64) -> Vec<Packet> {
    let mut all = Vec::new();
    for i in 0..50 {
        let key = i % 25 == 0;
        let len = if key { 150_000 } else { 3000 + 17 * i as usize };
        all.push(packet(video_track(0), start + i * 40, [80, 0, 40][i as usize % 3], key, len));
    }
    for i in 0..86 {
        all.push(packet(audio_track(0), start + i * 1024 * 1000 / 44100, 0, true, 300 + (i % 7) as usize));
    }
    all.sort_by_key(|p| p.dts);
    all
}

pub(crate) fn yes(_: &Ask) -> Option<Answer> {
    Some(Answer::Yes)
}
