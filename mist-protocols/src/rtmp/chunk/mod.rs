//! The chunk stream (RTMP 1.0, 5.3): messages cut into chunks and put together again.
//!
//! The reader obeys Set Chunk Size and Abort by itself, because they change how the very next chunk is read.

mod reader;
mod writer;

pub use reader::{ChunkReader, ExtendedTimestamps};
pub use writer::ChunkWriter;

use bytes::Bytes;

/// The chunk size of both directions until a Set Chunk Size message (RTMP 1.0, 5.4.1).
pub const INITIAL_CHUNK_SIZE: u32 = 128;

/// From this value on a timestamp field is full and the extended one follows (RTMP 1.0, 5.3.1.3).
pub const EXTENDED: u32 = 0xFF_FFFF;

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The chunk stream that it came on.
    pub csid: u32,
    /// The message stream.
    pub stream: u32,
    /// The message type id.
    pub kind: u8,
    /// Absolute time in milliseconds, modulo 2^32.
    pub time: u32,
    /// The payload.
    pub body: Bytes,
}
