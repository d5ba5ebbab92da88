//! One stream that is alive: its buffer behind the lock that also wakes readers.

use super::segments::SegmentCache;
use crate::config::StreamConfig;
use mist_core::buffer::{BufferOptions, StreamBuffer};
use mist_core::media::Media;
use mist_core::name::StreamName;
use mist_core::time::{self, Now, Timestamp};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::{Notify, watch};
use tracing::{info, warn};

/// Segment numbers count from here, four a second at most, so that they grow over restarts of the server.
const NUMBERS_SINCE: u64 = 1_700_000_000;

/// The first segment's number and the discontinuities before it.
pub(super) type Numbers = (u64, u64);

/// The server's clocks, as the libraries want them.
pub fn now() -> Now {
    Now {
        instant: Instant::now(),
        unix: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default(),
    }
}

/// A reader's access to a stream's buffer, which also wakes it.
pub type View = watch::Receiver<StreamBuffer>;

/// Who writes. Its lock is held over what is done to the buffer on a writer's behalf, so that one writer's end
/// never comes after the next one's beginning.
#[derive(Debug, Default)]
struct Slot {
    now: Option<Writer>,
    /// When the last one left.
    left: Option<Instant>,
    /// The stream is taken away: nobody writes it again.
    closed: bool,
}

#[derive(Debug)]
struct Writer {
    id: u64,
    /// Asks the publisher's session to end.
    kick: Arc<Notify>,
}

/// One stream that is alive.
#[derive(Debug)]
pub struct LiveStream {
    name: StreamName,
    buffer: watch::Sender<StreamBuffer>,
    /// What is built once for all viewers.
    pub segments: SegmentCache,
    writer: Mutex<Slot>,
    ids: AtomicU64,
    /// When the publisher sent something last, in ms since `made`.
    last_data: AtomicU64,
    made: Instant,
    /// Unix time when it was made.
    made_unix: Duration,
    config: Mutex<Arc<StreamConfig>>,
    /// Told when publisher, configuration or users change.
    pub(super) changed: Notify,
}

fn buffer_options(c: &StreamConfig, (first_number, first_discontinuity): Numbers) -> BufferOptions {
    let ms = |v: u64| time::Duration::from_millis(i64::try_from(v).unwrap_or(i64::MAX));
    BufferOptions {
        window: ms(c.dvr_ms),
        segment: ms(c.segment_ms),
        cut: (c.cut_ms > 0).then(|| Timestamp::ZERO + ms(c.cut_ms)),
        first_number,
        first_discontinuity,
        ..BufferOptions::default()
    }
}

impl LiveStream {
    /// `past`: where another of this name left off.
    pub(super) fn new(name: StreamName, config: Arc<StreamConfig>, past: Option<Numbers>) -> Self {
        let now = now();
        let first = now.unix.as_secs().saturating_sub(NUMBERS_SINCE).saturating_mul(4);
        let (number, discontinuity) = past.unwrap_or_default();
        let numbers = (first.max(number), discontinuity);
        let (buffer, _) = watch::channel(StreamBuffer::new(buffer_options(&config, numbers)));
        Self {
            name,
            buffer,
            segments: SegmentCache::default(),
            writer: Mutex::default(),
            ids: AtomicU64::new(1),
            last_data: AtomicU64::new(0),
            made: now.instant,
            made_unix: now.unix,
            config: Mutex::new(config),
            changed: Notify::new(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &StreamName {
        &self.name
    }

    /// The configuration that it runs by.
    pub fn config(&self) -> Arc<StreamConfig> {
        self.config.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Another configuration of the same source.
    pub(super) fn set_config(&self, config: Arc<StreamConfig>) {
        self.buffer.send_modify(|b| {
            let first = (b.options().first_number, b.options().first_discontinuity);
            b.set_options(buffer_options(&config, first));
        });
        self.segments.clear_documents();
        *self.config.lock().unwrap_or_else(PoisonError::into_inner) = config;
    }

    /// A reader's access.
    pub fn view(&self) -> View {
        self.buffer.subscribe()
    }

    /// Looks at the buffer under a short lock.
    pub fn peek<R>(&self, f: impl FnOnce(&StreamBuffer) -> R) -> R {
        f(&self.buffer.borrow())
    }

    /// Unix time of timestamp zero.
    pub fn zero_unix(&self) -> Duration {
        self.made_unix
    }

    fn writer(&self) -> MutexGuard<'_, Slot> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long its source has been away; `None` while there is one, or if there never was.
    pub(super) fn away(&self) -> Option<Duration> {
        let slot = self.writer();
        slot.left.filter(|_| slot.now.is_none()).map(|t| t.elapsed())
    }

    /// It was taken away.
    pub(super) fn is_closed(&self) -> bool {
        self.writer().closed
    }

    fn silent_for(&self) -> Duration {
        let last = Duration::from_millis(self.last_data.load(Relaxed));
        self.made.elapsed().saturating_sub(last)
    }

    /// Becomes its publisher, unless there is one that is alive. `kick` is told to end when somebody else takes over
    /// or the stream is removed.
    pub fn try_publish(self: &Arc<Self>, kick: &Arc<Notify>) -> Option<Publisher> {
        let mut slot = self.writer();
        if slot.closed {
            return None;
        }
        if let Some(old) = &slot.now {
            if self.silent_for() < super::SILENT_PUBLISHER {
                return None;
            }
            warn!(stream = %self.name, "publisher is silent; another one takes over");
            old.kick.notify_one();
        }
        let id = self.ids.fetch_add(1, Relaxed);
        slot.now = Some(Writer { id, kick: kick.clone() });
        self.touch();
        let keep = self.config().resume;
        self.buffer.send_modify(|b| b.source_started(keep));
        if !keep {
            self.segments.clear();
        }
        drop(slot);
        self.changed.notify_waiters();
        Some(Publisher { stream: self.clone(), id })
    }

    /// Takes it away: the publisher is asked to end, viewers end, nobody publishes again.
    pub(super) fn close(&self) {
        let mut slot = self.writer();
        slot.closed = true;
        if let Some(w) = &slot.now {
            w.kick.notify_one();
        }
        self.buffer.send_modify(StreamBuffer::end);
    }

    /// Its source has been away for too long: viewers end. A source may still come back.
    pub(super) fn end(&self) {
        let slot = self.writer();
        if slot.now.is_none() && !self.peek(StreamBuffer::ended) {
            self.buffer.send_modify(StreamBuffer::end);
        }
    }

    fn touch(&self) {
        self.last_data.store(u64::try_from(self.made.elapsed().as_millis()).unwrap_or(u64::MAX), Relaxed);
    }
}

/// The right to write a stream. Dropping it is the end of the source.
#[derive(Debug)]
pub struct Publisher {
    stream: Arc<LiveStream>,
    id: u64,
}

impl Publisher {
    /// The stream.
    pub fn stream(&self) -> &Arc<LiveStream> {
        &self.stream
    }

    /// Writes what a source says, in order, with one lock and at most one wake-up. Drains `media`. False when
    /// somebody else has taken over.
    pub fn write(&self, media: &mut Vec<Media>, now: Now) -> bool {
        let slot = self.stream.writer();
        if slot.closed || slot.now.as_ref().is_none_or(|w| w.id != self.id) {
            media.clear();
            return false;
        }
        self.stream.touch();
        self.stream.buffer.send_if_modified(|b| {
            let mut wake = false;
            for m in media.drain(..) {
                match m {
                    Media::Packet(p) => wake |= b.push(p, now),
                    Media::Track(t) => {
                        info!(stream = %self.stream.name, "track {t:?}");
                        if !b.set_track(t) {
                            warn!(stream = %self.stream.name, "too many tracks; one is left out");
                        }
                        wake = true;
                    }
                    Media::Gone(t) => {
                        b.remove_track(t);
                        wake = true;
                    }
                    // The end is told by dropping; other news has no place in a buffer.
                    _ => {}
                }
            }
            wake
        });
        true
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let mut slot = self.stream.writer();
        if slot.now.as_ref().is_some_and(|w| w.id == self.id) {
            slot.now = None;
            slot.left = Some(Instant::now());
            self.stream.buffer.send_modify(StreamBuffer::source_stopped);
            drop(slot);
            self.stream.changed.notify_waiters();
        }
    }
}
