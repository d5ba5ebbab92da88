//! Containers as state machines: bytes to packets and back.

use crate::gather::Gather;
use crate::layout::Layout;
use crate::media::{Media, Packet, TrackId, TrackInfo};
use crate::time::{Duration, Timestamp};
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;

/// Why a container can't be read or written, with the byte and the place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{format}: {kind} at byte {offset}{}", Place(.path))]
pub struct FormatError {
    /// The format's id, as in its `FormatDef`.
    pub format: &'static str,
    /// Byte offset in the source.
    pub offset: u64,
    /// Place in the structure, like `moov/trak/stsd`; empty at the top.
    pub path: &'static str,
    /// What is wrong.
    pub kind: ErrorKind,
}

struct Place<'a>(&'a &'static str);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " in {}", self.0) }
    }
}

/// The kinds of [`FormatError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The bytes break the format's rules.
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// A checksum doesn't fit its data.
    #[error("checksum: {0}")]
    Checksum(&'static str),
    /// Data is missing between what came before and this place.
    #[error("lost: {0}")]
    Lost(&'static str),
    /// Nothing that the format has begins here; what follows was looked for.
    #[error("out of step: {0}")]
    Sync(&'static str),
    /// A declared length or count doesn't fit what it is of, or the structure that this is in.
    #[error("wrong size: {0}")]
    Size(&'static str),
    /// Lengths of NAL units or OBUs don't fill their packet.
    #[error("malformed: {0}")]
    UnitSize(&'static str),
    /// What this builds on didn't come before it.
    #[error("missing: {0}")]
    Missing(&'static str),
    /// The decoding time of a packet is before that of the one before it in its track.
    #[error("decoding time goes back")]
    TimeBack,
    /// The media is encrypted.
    #[error("encrypted: {0}")]
    Encrypted(&'static str),
    /// Legal, but not handled here.
    #[error("unsupported: {0}")]
    Unsupported(&'static str),
    /// A named limit was reached.
    #[error("limit: {0}")]
    Limit(&'static str),
    /// The source ended inside a structure.
    #[error("truncated")]
    Truncated,
    /// What comes next lies elsewhere and the source can't seek.
    #[error("needs a seekable source")]
    NeedsSeek,
}

impl ErrorKind {
    /// What it is about, for messages that say in other words what kind it is.
    pub const fn what(self) -> &'static str {
        match self {
            Self::Malformed(what)
            | Self::Checksum(what)
            | Self::Lost(what)
            | Self::Sync(what)
            | Self::Size(what)
            | Self::UnitSize(what)
            | Self::Missing(what)
            | Self::Encrypted(what)
            | Self::Unsupported(what)
            | Self::Limit(what) => what,
            Self::TimeBack => "decoding time goes back",
            Self::Truncated => "truncated",
            Self::NeedsSeek => "needs a seekable source",
        }
    }
}

/// What a demuxer wants next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// The bytes that follow those given so far.
    Next,
    /// `len` bytes or more from `offset` on. A source that can't seek ends with [`ErrorKind::NeedsSeek`].
    At {
        /// Byte offset in the source.
        offset: u64,
        /// Bytes that are needed before progress is possible; at least 1.
        len: usize,
    },
}

/// A piece of structure, for tools that show it. Only made when asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Nesting depth, 0 at the top.
    pub depth: u16,
    /// Byte offset in the source.
    pub offset: u64,
    /// Length in bytes.
    pub len: u64,
    /// Name of the element: a box type, a tag type, a table.
    pub name: &'static str,
    /// Values, for people.
    pub detail: String,
    /// Numbers that programs reckon with, by name; empty for most. A flag is there where it holds.
    pub values: Vec<(&'static str, i64)>,
}

impl Node {
    /// The number of this name, if there is one.
    pub fn value(&self, name: &str) -> Option<i64> {
        self.values.iter().find(|v| v.0 == name).map(|v| v.1)
    }
}

/// What a demuxer's poll gives.
#[derive(Debug)]
#[non_exhaustive]
pub enum Demuxed {
    /// A track or packet.
    Media(Media),
    /// Recoverable trouble; demuxing goes on.
    Problem(FormatError),
    /// A piece of structure; only after [`Demuxer::want_nodes`].
    Node(Node),
    /// Nothing more without more bytes.
    Need(Want),
    /// The end: nothing follows.
    End,
}

/// Bytes to packets, incrementally, without I/O.
///
/// ```text
/// loop { match demuxer.poll()? {
///     Need(Next) => demuxer.push(offset, bytes) or demuxer.end(),
///     Need(At { .. }) => read there and push,
///     Media(m) => ..., End => break, } }
/// ```
///
/// The result doesn't depend on how the input is split. Decoding times of a track don't go back, or a
/// [`Demuxed::Problem`] of [`ErrorKind::TimeBack`] comes before the packet; [`Findings`](crate::findings::Findings) sees
/// to that. After an `Err` or [`Demuxed::End`] the demuxer is done: every later poll gives the same.
pub trait Demuxer: Send {
    /// Gives it `data` that starts at `offset` of the source. Can't fail.
    fn push(&mut self, offset: u64, data: Bytes);
    /// The source has no more bytes after those given.
    fn end(&mut self);
    /// Drains one thing. The only place where errors come out.
    ///
    /// # Errors
    /// What ends the input: malformed beyond recovery, unsupported, past a limit, or truncated.
    fn poll(&mut self) -> Result<Demuxed, FormatError>;
    /// Goes to the keyframe at or before `to` and returns its time; the next polls ask for the bytes there.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] where the format or the source has no way to seek.
    fn seek(&mut self, to: Timestamp) -> Result<Timestamp, FormatError>;
    /// Byte offset in the source of the payload of the packet that came out last, for tools that show where things
    /// are; `None` before the first. Of a packet put together from pieces it is where the first piece lies.
    fn packet_offset(&self) -> Option<u64> {
        None
    }
    /// All packets of the source, where the container says so without reading the media; `None` for others, and
    /// before the first packet has come out.
    fn index(&self) -> Option<Index> {
        None
    }
    /// How long the container says that all of it is; `None` where it doesn't, and before that was read.
    fn declared_duration(&self) -> Option<Duration> {
        None
    }
    /// Asks for [`Demuxed::Node`]s as well, for tools that show structure.
    fn want_nodes(&mut self) {}
}

/// One packet's line in an [`Index`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexEntry {
    /// Decoding time.
    pub dts: Timestamp,
    /// Composition offset.
    pub cts: Duration,
    /// Display time; zero means until the next packet of the track.
    pub duration: Duration,
    /// Payload bytes.
    pub size: u32,
    /// Keyframe.
    pub key: bool,
}

impl From<&Packet> for IndexEntry {
    fn from(p: &Packet) -> Self {
        let size = u32::try_from(p.data.len()).unwrap_or(u32::MAX);
        Self { dts: p.dts, cts: p.cts, duration: p.duration, size, key: p.key }
    }
}

/// One line a packet: enough to lay out a whole file before its media is loaded.
#[derive(Debug, Default, Clone)]
pub struct Index {
    /// Each track's packets in decoding order.
    pub tracks: Vec<(TrackId, Vec<IndexEntry>)>,
}

impl Index {
    /// The packets of all tracks in the order in which a muxer is given them: by decoding time, and where that is the
    /// same in the order of `tracks`. Gives positions in `tracks` and in that track's list.
    pub fn interleaved(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.interleaved_from(vec![0; self.tracks.len()])
    }

    /// The same from the middle: `next` has for each track the position of its first packet that is still to come.
    pub fn interleaved_from(&self, mut next: Vec<usize>) -> impl Iterator<Item = (usize, usize)> + '_ {
        std::iter::from_fn(move || {
            let heads = self.tracks.iter().zip(&next).enumerate();
            let (_, track) = heads.filter_map(|(t, ((_, list), n))| Some((list.get(*n)?.dts, t))).min()?;
            let at = next.get_mut(track)?;
            *at += 1;
            Some((track, *at - 1))
        })
    }
}

/// Bytes to put over what was already written, for sinks that can seek.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// Byte offset in the output.
    pub offset: u64,
    /// What to put there.
    pub data: Bytes,
}

/// Packets to bytes, without I/O and without keeping media.
///
/// Calls come in this order: perhaps `unpatched`, `start`, then any of `track` and `packet`, then `finish`. Packets come in decoding
/// order over all tracks. After an error the output of that call is unspecified but the muxer can go on.
pub trait Muxer: Send {
    /// Says, before the start, that the sink is a pipe: what [`Self::finish`] would patch can't be patched, so nothing
    /// needs to be kept for it.
    fn unpatched(&mut self) {}

    /// Writes what comes before the media. `index` describes all packets to come; without it the output is
    /// a live form that has no end.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if the format can't carry a track.
    fn start(
        &mut self,
        tracks: &[Arc<TrackInfo>],
        index: Option<&Index>,
        out: &mut Gather,
    ) -> Result<(), FormatError>;

    /// A track appears or its description changes in mid-stream.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if the format can't say so after its start.
    fn track(&mut self, info: &Arc<TrackInfo>, out: &mut Gather) -> Result<(), FormatError>;

    /// Writes one packet.
    ///
    /// # Errors
    /// The packet is of a track that was not announced, or can't be represented.
    fn packet(&mut self, p: &Packet, out: &mut Gather) -> Result<(), FormatError>;

    /// Writes what comes after the media and says what to patch in what was written; a pipe skips the patches.
    ///
    /// # Errors
    /// The file can't be completed.
    fn finish(&mut self, out: &mut Gather) -> Result<Vec<Patch>, FormatError>;

    /// Where everything lies in the file that [`Self::start`] with this index begins, if every byte of it is known
    /// before the media: then any part of it can be made alone. What [`Self::packet`] writes depends in that case on
    /// nothing but the tracks and the packet, and is as long as the layout says. `None` where a format has no such form.
    ///
    /// # Errors
    /// As [`Self::start`].
    fn layout(&self, tracks: &[Arc<TrackInfo>], index: &Index) -> Result<Option<Layout>, FormatError> {
        let _ = (tracks, index);
        Ok(None)
    }
}
