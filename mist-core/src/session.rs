//! Protocols as state machines: servers and clients alike, without sockets and clocks.

use crate::gather::Gather;
use crate::media::Media;
use crate::time::{Duration, Now, Timestamp};
use bytes::Bytes;
use std::net::SocketAddr;
use std::time::Instant;

/// One of the byte flows of a session. Flow 0 is the connection that the session was made for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Flow(pub u16);

/// The identity of an [`Ask`], and afterwards of the stream that it opened within its session.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Ticket(pub u32);

/// Identity of an [`Output::Fetch`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FetchId(pub u32);

/// An HTTP request that the driver makes for a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchSpec {
    /// Absolute URL.
    pub url: String,
    /// First byte and last byte.
    pub range: Option<(u64, Option<u64>)>,
}

/// What a fetch brought.
#[derive(Debug)]
#[non_exhaustive]
pub enum Fetched {
    /// The answer's head.
    Head {
        /// HTTP status.
        status: u16,
        /// Length of the body where it is known.
        length: Option<u64>,
    },
    /// A piece of the body.
    Body(Bytes),
    /// The body is complete.
    End,
    /// It failed; the reason is for the log.
    Failed(&'static str),
}

/// What a session can't decide by itself. The driver answers each with [`Input::Answer`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ask {
    /// The peer wants to publish.
    Publish {
        /// Stream name as the peer gave it, without query.
        stream: String,
        /// The whole URL as the peer gave it, for rewriting rules and logs.
        url: String,
        /// The passphrase, where the protocol carries one; empty counts as given.
        secret: Option<String>,
    },
    /// The peer wants to play.
    Play {
        /// Stream name as the peer gave it, without query.
        stream: String,
        /// The whole URL as the peer gave it; its query selects tracks.
        url: String,
        /// Where to start.
        from: PlayFrom,
    },
    /// The peer asks how long the stream is.
    Length {
        /// Stream name as the peer gave it, without query.
        stream: String,
    },
}

/// Where playing starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlayFrom {
    /// At the last keyframe of a live stream, at the start of a recorded one.
    Live,
    /// At the keyframe at or before this time.
    At(Timestamp),
}

/// The driver's word on an [`Ask`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// Publish or play may begin. Media follows under the ask's ticket.
    Yes,
    /// The length; zero when the stream is live or unknown.
    Length(Duration),
    /// No.
    No(Refusal),
}

/// Why an [`Ask`] was refused. Not an error: the session tells its peer in the protocol's own way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no such stream, or no source for it.
    #[error("stream not found")]
    NotFound,
    /// The stream is configured but does not come up.
    #[error("stream is offline")]
    Offline,
    /// Address, passphrase or a trigger says no.
    #[error("not allowed")]
    Denied,
    /// Somebody else publishes under this name.
    #[error("already being published")]
    Busy,
    /// The protocol can't carry any of the selected tracks.
    #[error("no playable tracks")]
    NoTracks,
    /// A limit of the server.
    #[error("limit reached")]
    Limit,
}

/// What a viewer does with the stream that it plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Control {
    /// Stop sending until [`Control::Resume`].
    Pause,
    /// Go on; live streams go on at the live point.
    Resume,
    /// Go to the keyframe at or before this time.
    Seek(Timestamp),
    /// Which kinds the viewer wants (RTMP's receiveAudio and receiveVideo).
    Receive {
        /// Audio tracks wanted.
        audio: bool,
        /// Video tracks wanted.
        video: bool,
    },
    /// The publish or play of this ticket is over; the session may go on with others.
    Close,
}

/// What a session is told.
#[derive(Debug)]
#[non_exhaustive]
pub enum Input {
    /// Bytes came in.
    Bytes(Flow, Bytes),
    /// A flow is open; the peer's address.
    Opened(Flow, SocketAddr),
    /// A flow ended.
    Closed(Flow),
    /// News of a fetch.
    Fetched(FetchId, Fetched),
    /// The word on an ask.
    Answer(Ticket, Answer),
    /// Media to send to the peer, of the play that the ticket opened.
    Media(Ticket, Media),
    /// The server wants the session to end: say goodbye and finish.
    Shutdown,
    /// The time asked for with [`Output::Idle`] has come (or any other moment).
    Tick,
}

/// What a session wants.
#[derive(Debug)]
#[non_exhaustive]
pub enum Output {
    /// Write these bytes.
    Send(Flow, Gather),
    /// Open a UDP flow to this address.
    OpenUdp(Flow, SocketAddr),
    /// Make an HTTP request.
    Fetch(FetchId, FetchSpec),
    /// Decide something.
    Ask(Ticket, Ask),
    /// Media from the peer, of the publish that the ticket opened.
    Media(Ticket, Media),
    /// The viewer's wish on the play that the ticket opened.
    Control(Ticket, Control),
    /// A fact for the log and the session table.
    Note(Note),
    /// Drained: wait for input or for the time.
    Idle {
        /// When to send [`Input::Tick`] at the latest.
        until: Option<Instant>,
        /// Whether [`Input::Media`] is welcome.
        wants_media: bool,
    },
    /// The last output, once, after the goodbye bytes. The driver closes the flows.
    Done(Result<(), SessionError>),
}

/// Facts about the peer, for the log and the session table.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    /// What the peer calls itself: `User-Agent`, RTMP's `flashVer`.
    UserAgent(String),
    /// Recoverable trouble with the peer, already dealt with.
    Problem(&'static str),
}

/// Why a session ended, and whose fault it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The peer broke the protocol.
    #[error("{protocol}: malformed {place} at byte {offset}: {what}")]
    Peer {
        /// The protocol's id.
        protocol: &'static str,
        /// Bytes of the peer before the fault.
        offset: u64,
        /// Place in the dialogue, like `handshake` or `chunk`.
        place: &'static str,
        /// The broken rule.
        what: &'static str,
    },
    /// The peer was silent for too long.
    #[error("timed out waiting for {0}")]
    Timeout(&'static str),
    /// The peer reached a named limit.
    #[error("{protocol}: limit: {what}")]
    Limit {
        /// The protocol's id.
        protocol: &'static str,
        /// The limit.
        what: &'static str,
    },
    /// The remote end of a client session refused what was asked.
    #[error("{protocol}: refused by the peer: {what}")]
    Refused {
        /// The protocol's id.
        protocol: &'static str,
        /// What the peer said, shortened and without control characters.
        what: String,
    },
}

/// A protocol's dialogue with one peer.
///
/// After every call of `handle` the driver polls until it gets [`Output::Idle`] or [`Output::Done`]. `handle`
/// returns nothing: whatever goes wrong comes out once, as [`Output::Done`].
pub trait Session: Send {
    /// Tells it something.
    fn handle(&mut self, now: Now, input: Input);
    /// Drains one wish.
    fn poll(&mut self) -> Output;
}
