//! The way back after damage: the next cluster, or the header of another file.

use super::demux::{Demuxer, Segment, State, path};
use super::ebml::peek_head;
use super::limits;
use super::schema::{element, ids};
use mist_core::format::ErrorKind;

impl Demuxer {
    pub(super) fn lose(&mut self, at: u64, kind: ErrorKind) -> bool {
        self.lose_in(at, self.context().0, kind);
        true
    }

    /// Order is lost at an offset: reports it and looks for the next cluster.
    pub(super) fn lose_in(&mut self, at: u64, id: u32, kind: ErrorKind) {
        self.problem(at, path(id), kind);
        self.cluster = None;
        self.goal = None;
        let behind = (at + 1).saturating_sub(self.queue.offset());
        self.queue.skip(usize::try_from(behind).unwrap_or(0));
        self.state = State::Lost(at, None);
    }

    /// Looks for a cluster, or the header of another file.
    pub(super) fn search(&mut self, from: u64, cut: Option<u32>) -> bool {
        loop {
            if !self.header && self.queue.offset().saturating_sub(from) > limits::SEARCH {
                self.fail(from, "", ErrorKind::Sync("no EBML header"));
                return true;
            }
            let front = self.queue.front();
            if front.is_empty() {
                return false;
            }
            let Some(i) = memchr::memchr2(0x1f, 0x1a, front) else {
                self.queue.skip(front.len().min(limits::SEARCH as usize / 2));
                continue;
            };
            if i > 0 {
                self.queue.skip(i.min(limits::SEARCH as usize / 2));
                continue;
            }
            match self.found() {
                Some(id) if id != 0 => {
                    self.state = State::Element;
                    let at = self.queue.offset();
                    self.cluster = None;
                    self.segment = match self.segment {
                        _ if id == ids::EBML => None,
                        Some(s) if s.end.is_none_or(|e| at < e) => Some(s),
                        Some(s) => Some(Segment { end: None, ..s }),
                        None => Some(Segment { start: 0, end: None }),
                    };
                    self.last_segment = self.last_segment.or(self.segment);
                    if let Some(id) = cut {
                        self.problem(from, path(id), ErrorKind::Size("size beyond the next cluster"));
                    }
                    return true;
                }
                None if !self.ended => {
                    self.state = State::Lost(from, cut);
                    return false;
                }
                _ => {
                    self.queue.skip(1);
                }
            }
        }
    }

    /// Whether a cluster or header begins at the front, by what is first in it: its id, 0 for neither, `None` when
    /// more bytes are needed to tell.
    pub(super) fn found(&self) -> Option<u32> {
        let id = u32::from_be_bytes(self.queue.peek()?);
        if !matches!(id, ids::CLUSTER | ids::EBML) {
            return Some(0);
        }
        let Ok(h) = peek_head(&self.queue, 0, 8) else { return Some(0) };
        let h = h?;
        let Ok(first) = peek_head(&self.queue, h.len, 8) else { return Some(0) };
        let first = first?;
        let own = element(first.id).is_some_and(|e| e.parent == id || e.parent == ids::ANY);
        Some(if own && first.size.is_some() { id } else { 0 })
    }
}
