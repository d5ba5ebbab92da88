//! RTMP: Adobe's *Real Time Messaging Protocol* 1.0 (2012) with the dialects of Flash, FMLE, librtmp and today's
//! encoders, and Enhanced RTMP version 2 (Veovera).
//!
//! Server and client are [`Session`]s:
//!
//! - [`Server`]: publishing and playing, several of each on one connection, each with a ticket of its own.
//! - [`Client`]: publishes to, or plays from, another server.
//!
//! The layers are of use by themselves: [`handshake`], [`chunk`] (messages cut into chunks and back), [`message`],
//! [`command`]. Audio, video and data messages are FLV tag bodies and are read and written by
//! [`mist_formats::flv`].
//!
//! Left out: RTMPE (obsolete encryption, refused), RTMPT (tunnelling), shared objects (ignored), remote recording
//! (`record` and `append` publish live), Adobe's and Limelight's user authentication, redirects, and reconnect
//! requests. RTMPS is this protocol behind TLS, which is the driver's to add.
//!
//! The passphrase of a publish is the application, as in `rtmp://host:port/passphrase/stream`; any application
//! does for playing.
//!
//! ```
//! use mist_core::session::{Answer, Flow, Input, Output, Session};
//! use mist_protocols::rtmp::{Server, limits::Limits};
//!
//! let now = mist_core::time::Now { instant: std::time::Instant::now(), unix: std::time::Duration::ZERO };
//! let mut session = Server::new([7; 32], Limits::DEFAULT); // the seed: random bytes
//! session.handle(now, Input::Bytes(Flow(0), vec![3; 1537].into())); // a read from the socket
//! loop {
//!     match session.poll() {
//!         Output::Send(_, bytes) => assert_eq!(bytes.len(), 1 + 1536 + 1536), // write: S0, S1 and S2
//!         Output::Ask(ticket, _) => session.handle(now, Input::Answer(ticket, Answer::Yes)),
//!         Output::Media(_, media) => println!("{media:?}"),
//!         Output::Idle { until, .. } => break assert!(until.is_some()), // wait for the socket until then
//!         Output::Done(result) => break result.unwrap(),
//!         _ => {}
//!     }
//! }
//! ```

pub mod chunk;
mod client;
pub mod command;
pub mod enhanced;
#[cfg(any(test, fuzzing, feature = "fuzzing"))]
pub mod fuzz;
pub mod handshake;
pub mod limits;
mod link;
pub mod message;
mod play;
mod publish;
mod server;
mod url;

pub use client::{CLIENT_TICKET, Client, ClientConfig, Direction};
pub use server::Server;

use limits::Limits;
use mist_core::codec::Codec;
use mist_core::registry::{
    Connector, Method, OptionDef, OptionKind, ProtocolDef, Serve, SessionConfig, Slot,
};
use mist_core::session::Session;

pub(crate) const PROTOCOL_ID: &str = "RTMP";

/// RTMP as the registry knows it.
pub static PROTOCOL: ProtocolDef = ProtocolDef {
    id: PROTOCOL_ID,
    port: Some(1935),
    serve: Serve::Tcp(serve),
    connect: Some(connect),
    input: None,
    output: Some(Connector {
        name: "RTMP",
        desc: "Enables ingest and output over Adobe's RTMP protocol.",
        deps: "",
        url_rel: "/play/$",
        url_match: &[],
        url_prefix: &[],
        push_urls: &["rtmp://*"],
        methods: &[Method { handler: "rtmp", kind: "flash/10", priority: 7 }],
        codecs: &[&[
            Slot::Of(&[
                Codec::H264,
                Codec::H263,
                Codec::Vp6,
                Codec::Vp6Alpha,
                Codec::Screen2,
                Codec::Screen1,
                Codec::Jpeg,
                Codec::Hevc,
                Codec::Av1,
                Codec::Vp9,
                Codec::Vp8,
            ]),
            Slot::Of(&[
                Codec::Aac,
                Codec::Mp3,
                Codec::Speex,
                Codec::Nellymoser,
                Codec::Pcm,
                Codec::Adpcm,
                Codec::Alaw,
                Codec::Ulaw,
                Codec::Opus,
                Codec::Ac3,
                Codec::Eac3,
                Codec::Flac,
            ]),
        ]],
        options: &[OptionDef {
            key: "maxkbps",
            name: "Max. kbps",
            help: "Maximum bitrate to allow in the ingest direction, in kilobits per second.",
            flag: "--maxkbps",
            kind: OptionKind::Number { min: 0, max: i64::MAX },
            default: "0",
            required: false,
        }],
    }),
};

fn serve(config: &SessionConfig) -> Box<dyn Session> {
    Box::new(Server::new(config.seed, Limits::DEFAULT))
}

/// Option that names the stream where a client's URL ends with the application.
pub const OPTION_STREAM: &str = "stream";
/// Option that makes a client play (`pull`) instead of publish (`push`, the default).
pub const OPTION_DIRECTION: &str = "direction";

fn connect(url: &str, config: &SessionConfig) -> Option<Box<dyn Session>> {
    let option = |key: &str| config.options.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
    let direction = match option(OPTION_DIRECTION) {
        Some("pull") => Direction::Play,
        _ => Direction::Publish,
    };
    let config = ClientConfig::new(direction, config.seed);
    Some(Box::new(Client::new(url, option(OPTION_STREAM).unwrap_or_default(), config)?))
}
