//! Outputs over HTTP as pure functions of a stream's buffer.

use crate::buffer::StreamBuffer;
use crate::media::TrackId;
use crate::time::{Now, Timestamp};
use bytes::Bytes;
use smallvec::SmallVec;

/// What an output needs of an HTTP request. Method, headers and connection stay in the server.
#[derive(Debug, Clone, Copy)]
pub struct HttpRequest<'a> {
    /// Stream name, already sanitised.
    pub stream: &'a str,
    /// The path after the stream name's part of the URL, percent-decoded.
    pub rest: &'a str,
    /// The query without `?`, still encoded.
    pub query: &'a str,
    /// The options of the output as configured (`Connector::options`).
    pub options: &'a [(String, String)],
}

impl<'a> HttpRequest<'a> {
    /// A configured option by its key.
    pub fn option(&self, key: &str) -> Option<&'a str> {
        self.options.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }
}

/// Tracks of a segment or play, in the order of the muxer.
pub type Tracks = SmallVec<[TrackId; 2]>;

/// A segment by what is in it; also the key of the server's cache, so equal specs are built once.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SegmentSpec {
    /// The `FormatDef::id` that muxes it.
    pub format: &'static str,
    /// Tracks in it.
    pub tracks: Tracks,
    /// First decoding time of the main track that belongs to it.
    pub from: Timestamp,
    /// First decoding time of the main track that doesn't.
    pub to: Timestamp,
    /// Sequence number, for formats that carry one.
    pub number: u64,
}

/// A progressive download or live body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlaySpec {
    /// The `FormatDef::id` that muxes it.
    pub format: &'static str,
    /// Tracks in it.
    pub tracks: Tracks,
    /// Where to start; `None` is the live point, or the start of a recording.
    pub from: Option<Timestamp>,
    /// Where to stop.
    pub to: Option<Timestamp>,
    /// `Content-Disposition: attachment`.
    pub download: bool,
}

/// How long an answer may be kept by caches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cache {
    /// Never.
    No,
    /// This many seconds.
    Seconds(u32),
    /// For ever: the same URL never means something else.
    Immutable,
}

/// What an HTTP output answers.
#[derive(Debug)]
#[non_exhaustive]
pub enum Reply {
    /// A small text made here: a playlist, a manifest.
    Document {
        /// Its type.
        mime: &'static str,
        /// The text.
        body: Bytes,
        /// Caching.
        cache: Cache,
    },
    /// A segment that the server builds, or takes from its cache.
    Segment(SegmentSpec),
    /// A body that goes on as the stream does.
    Play(PlaySpec),
    /// Ask again when the buffer's version is at least this (or the stream ends): a blocking reload.
    Wait {
        /// The version to wait for.
        version: u64,
    },
    /// Only a status, like 404.
    Status(u16),
}

/// An output over HTTP. A pure function: asked again with the same buffer it answers the same.
pub trait HttpOutput: Send + Sync {
    /// Answers a request. Called under a short read lock: no long work here.
    fn reply(&self, req: &HttpRequest<'_>, view: &StreamBuffer, now: Now) -> Reply;
}
