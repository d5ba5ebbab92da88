//! One track's groups: a window of closed ones and the one that is being filled.

use super::gop::{Gop, PACKET_OVERHEAD};
use crate::codec::{self, sei::Captions};
use crate::media::{Kind, Packet, TrackInfo};
use crate::time::{Duration, Timestamp};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

/// Cuts that a lane has not reached yet; older ones are forgotten.
const MAX_PENDING_CUTS: usize = 16;

/// A track that sends while the one that segments follow doesn't.
#[derive(Debug, Clone, Copy)]
pub(super) struct Alone {
    /// Its first packet of that time, and when it came.
    pub(super) from: Timestamp,
    pub(super) at: Instant,
    /// Where what it had before ended.
    pub(super) after: Option<Timestamp>,
}

#[derive(Debug)]
pub(super) struct Lane {
    /// The track as announced last; the open group may still be of the one before.
    pub(super) info: Arc<TrackInfo>,
    /// The source doesn't have this track any more.
    pub(super) gone: bool,
    /// `seq` of the first closed group, or of the open one if none is closed.
    pub(super) first: u64,
    pub(super) closed: VecDeque<Arc<Gop>>,
    pub(super) open: Vec<Packet>,
    pub(super) open_info: Arc<TrackInfo>,
    pub(super) open_bytes: u64,
    pub(super) last_dts: Option<Timestamp>,
    /// The usual distance of packets, to estimate where the last one ends.
    pub(super) step: Duration,
    /// First decoding time of this source.
    pub(super) began: Option<Timestamp>,
    /// Newest decoding time that was dropped.
    pub(super) lost: Option<Timestamp>,
    pub(super) alone: Option<Alone>,
    /// Closed captions that were found in its pictures.
    pub(super) captions: Captions,
    cuts: VecDeque<Timestamp>,
}

impl Lane {
    pub(super) fn new(info: Arc<TrackInfo>) -> Self {
        Self {
            open_info: info.clone(),
            info,
            gone: false,
            first: 0,
            closed: VecDeque::new(),
            open: Vec::new(),
            open_bytes: 0,
            last_dts: None,
            step: Duration::from_millis(40),
            began: None,
            lost: None,
            alone: None,
            captions: Captions::default(),
            cuts: VecDeque::new(),
        }
    }

    /// Looks for closed captions in a packet; true if some were found that weren't known.
    pub(super) fn find_captions(&mut self, p: &Packet) -> bool {
        let known = self.captions;
        // Once both are known there is nothing left to find.
        if self.kind() != Kind::Video || known.cea608 && known.cea708 {
            return false;
        }
        self.captions = known.or(codec::captions(self.info.codec, &p.data));
        self.captions != known
    }

    pub(super) fn kind(&self) -> Kind {
        self.info.codec.kind()
    }

    /// Whether segments are made of it.
    pub(super) fn is_av(&self) -> bool {
        matches!(self.kind(), Kind::Video | Kind::Audio)
    }

    /// `seq` of the group that is being filled.
    pub(super) fn open_seq(&self) -> u64 {
        self.first + self.closed.len() as u64
    }

    pub(super) fn gop(&self, seq: u64) -> Option<&Arc<Gop>> {
        let i = usize::try_from(seq.checked_sub(self.first)?).ok()?;
        self.closed.get(i)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.closed.is_empty() && self.open.is_empty()
    }

    /// Decoding time of the oldest packet that is kept.
    pub(super) fn first_dts(&self) -> Option<Timestamp> {
        self.closed.front().map(|g| g.start).or_else(|| self.open.first().map(|p| p.dts))
    }

    /// Where the newest packet is expected to end.
    pub(super) fn end(&self) -> Option<Timestamp> {
        self.last_dts.map(|t| t + self.step)
    }

    pub(super) fn append(&mut self, p: Packet) {
        if let Some(last) = self.last_dts {
            let d = p.dts - last;
            if d > Duration::ZERO && d < Duration::from_secs(2) {
                self.step = d;
            }
        }
        if self.open.is_empty() {
            self.open_info = self.info.clone();
        }
        self.last_dts = Some(p.dts);
        self.began.get_or_insert(p.dts);
        self.open_bytes += p.data.len() as u64;
        self.open.push(p);
    }

    /// Closes what is open; `end` is where the next group starts.
    pub(super) fn close(&mut self, end: Timestamp) {
        // The next group will be about as long as this one.
        let room = self.open.len() + self.open.len() / 8;
        let packets = std::mem::take(&mut self.open);
        let bytes = std::mem::take(&mut self.open_bytes);
        self.close_with(packets, bytes, end);
        self.open.reserve(room);
    }

    fn close_with(&mut self, mut packets: Vec<Packet>, bytes: u64, end: Timestamp) {
        let Some(start) = packets.first().map(|p| p.dts) else { return };
        packets.shrink_to_fit();
        let seq = self.open_seq();
        let info = self.open_info.clone();
        self.closed.push_back(Arc::new(Gop { seq, start, end, info, packets, bytes }));
    }

    /// The main track starts a segment at `at`: close there, now or when this lane comes to it.
    pub(super) fn cut_at(&mut self, at: Timestamp) {
        let i = self.open.partition_point(|p| p.dts < at);
        if i == self.open.len() {
            if self.cuts.len() == MAX_PENDING_CUTS {
                self.cuts.pop_front();
            }
            self.cuts.push_back(at);
        } else if i > 0 {
            let rest = self.open.split_off(i);
            let rest_bytes = rest.iter().map(|p| p.data.len() as u64).sum();
            let head = std::mem::replace(&mut self.open, rest);
            let end = self.open.first().map_or(at, |p| p.dts);
            let head_bytes = self.open_bytes.saturating_sub(rest_bytes);
            self.close_with(head, head_bytes, end);
            self.open_bytes = rest_bytes;
        }
    }

    /// Whether a packet at `dts` starts a new group because a segment starts before it.
    pub(super) fn take_cut(&mut self, dts: Timestamp) -> bool {
        let mut cut = false;
        while self.cuts.front().is_some_and(|c| *c <= dts) {
            self.cuts.pop_front();
            cut = true;
        }
        cut
    }

    /// Where the newest group with a keyframe at its start is that starts at or before `to`, or else the oldest one.
    pub(super) fn keyframe_before(&self, to: Timestamp) -> Option<Timestamp> {
        let key = |p: Option<&Packet>| p.is_some_and(|p| p.key);
        let open = self.open.first().filter(|p| p.key).map(|p| p.dts);
        let mut gops = self.closed.iter().filter(|g| key(g.packets.first())).map(|g| g.start);
        open.filter(|t| *t <= to).or_else(|| {
            let first = gops.next();
            gops.rev().find(|t| *t <= to).or(first).or(open)
        })
    }

    /// Drops the oldest closed group.
    pub(super) fn drop_front(&mut self) -> Option<Arc<Gop>> {
        let g = self.closed.pop_front()?;
        self.first += 1;
        self.lost = self.lost.max(Some(g.last_dts()));
        Some(g)
    }

    /// Drops all media; `seq` goes on.
    pub(super) fn clear(&mut self) {
        // A reader that has read everything stays where it is; others find that their group is gone.
        self.lost = self.lost.max(self.last_dts);
        self.first = self.open_seq() + u64::from(!self.open.is_empty());
        self.closed.clear();
        self.open.clear();
        self.open_bytes = 0;
        self.last_dts = None;
        self.cuts.clear();
    }

    /// What the open group counts for in [`Limits::bytes`](super::Limits::bytes).
    pub(super) fn open_cost(&self) -> u64 {
        self.open_bytes + self.open.len() as u64 * PACKET_OVERHEAD
    }

    /// The source has stopped, or doesn't have this track any more: what is open is all of it.
    pub(super) fn finish(&mut self) {
        if let Some(end) = self.end() {
            self.close(end);
        }
        self.cuts.clear();
        self.began = None;
        self.alone = None;
    }
}
