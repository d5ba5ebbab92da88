//! Streams that are alive: who writes them, who reads them, and what is built once for all readers.

mod hub;
mod live;
mod segments;
pub mod source;

pub use hub::{Hub, StreamHandle};
pub use live::{LiveStream, Publisher, View, now};
pub use segments::{Document, SegmentCache, build as build_segment, collect as collect_segment};

use std::time::Duration;

/// How long a viewer waits for a configured stream whose source has not started.
pub const SOURCE_WAIT: Duration = Duration::from_secs(20);
/// How long a stream without source is kept for its source to come back, and for segmented viewers to get the rest.
pub const LINGER: Duration = Duration::from_secs(60);
/// How long a stream that has ended is kept after that, so that players that poll see its end.
pub const ENDED: Duration = Duration::from_secs(30);
/// A publisher that has sent nothing for this long gives way to another of the same name.
pub const SILENT_PUBLISHER: Duration = Duration::from_secs(2);
/// How long a second publisher waits for the first to end or fall silent, before it is refused.
pub const TAKEOVER_WAIT: Duration = Duration::from_millis(3500);
/// Streams that may be alive at once.
pub const MAX_STREAMS: usize = 20_000;
