//! Every number and wait that a peer can reach.

use std::time::Duration;

/// Limits of one connection. [`Limits::DEFAULT`] is what the protocol's entry uses; tests and embedders may
/// choose others.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of one message.
    pub message: usize,
    /// Bytes held for all messages whose chunks are still coming.
    pub partial_total: usize,
    /// Messages whose chunks are coming at the same time.
    pub partial_messages: usize,
    /// Chunk streams whose head is remembered.
    pub chunk_streams: usize,
    /// Message streams that a peer may have created at the same time.
    pub streams: usize,
    /// Unanswered asks at the same time.
    pub pending_asks: usize,
    /// Bytes of media kept while a publish waits for its answer.
    pub pending_bytes: usize,
    /// Commands within [`Limits::COMMAND_WINDOW`].
    pub commands: u32,
    /// Bytes of a name or URL from the peer that is used.
    pub string: usize,
    /// From the opening of the connection to the end of the handshake.
    pub handshake: Duration,
    /// From the handshake to the `connect` command.
    pub connect: Duration,
    /// A connection that neither publishes nor plays.
    pub idle: Duration,
    /// A publisher without media.
    pub publisher_idle: Duration,
    /// Silence of the peer after which it gets a ping request.
    pub ping_after: Duration,
    /// Silence of the peer after a ping request that ends the connection.
    pub pong_within: Duration,
    /// A client's wait for each of its server's answers.
    pub answer: Duration,
}

impl Limits {
    /// The window of [`Limits::commands`].
    pub const COMMAND_WINDOW: Duration = Duration::from_secs(10);

    /// The usual limits.
    pub const DEFAULT: Self = Self {
        message: 0xFF_FFFF,
        partial_total: 32 << 20,
        partial_messages: 64,
        chunk_streams: 256,
        streams: 32,
        pending_asks: 8,
        pending_bytes: 4 << 20,
        commands: 500,
        string: 2048,
        handshake: Duration::from_secs(10),
        connect: Duration::from_secs(10),
        idle: Duration::from_secs(60),
        publisher_idle: Duration::from_secs(30),
        ping_after: Duration::from_secs(15),
        pong_within: Duration::from_secs(30),
        answer: Duration::from_secs(15),
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
