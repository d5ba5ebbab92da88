//! Presentation times: access units in decoding order get the time of their place in output order.
//!
//! A picture is put out when more pictures wait than the stream reorders. Its presentation time is that of its place,
//! later by what the stream reorders, so that it is never before its decoding time.

use super::clock::{Clock, Rate};
use super::limits;
use mist_core::media::{Packet, TrackInfo};
use mist_core::time::Timestamp;
use std::collections::VecDeque;
use std::sync::Arc;

/// An access unit.
#[derive(Debug)]
pub(super) struct Picture {
    /// Its decoding time is filled in when it comes.
    pub(super) packet: Packet,
    /// The description that holds from here on, if it is new.
    pub(super) track: Option<Arc<TrackInfo>>,
    /// Where it lies in the source.
    pub(super) offset: u64,
    /// Picture order count.
    pub(super) poc: i64,
    /// What came before is put out before this one.
    pub(super) starts: bool,
    /// One field of a frame.
    pub(super) field: bool,
    /// How long a frame lasts.
    pub(super) rate: Rate,
    /// Frames by which the stream reorders, where it tells.
    pub(super) reorder: Option<u64>,
    /// From how many access units that is learnt otherwise.
    pub(super) learn: usize,
}

#[derive(Debug)]
struct Held {
    picture: Picture,
    sequence: u64,
    halves: u64,
    pts: Option<Timestamp>,
}

/// Puts pictures in order.
#[derive(Debug)]
pub(super) struct Order {
    held: VecDeque<Held>,
    bytes: usize,
    /// Half frames of those that wait for their time.
    waiting: u64,
    /// Half frames by which the stream reorders; `None` until that is known.
    delay: Option<u64>,
    sequence: u64,
    /// The last one that got its time: sequence and count.
    last: Option<(u64, i64)>,
    decoding: Clock,
    display: Clock,
}

impl Order {
    pub(super) const fn new() -> Self {
        Self {
            held: VecDeque::new(),
            bytes: 0,
            waiting: 0,
            delay: None,
            sequence: 0,
            last: None,
            decoding: Clock::new(),
            display: Clock::new(),
        }
    }

    /// The next one in decoding order.
    pub(super) fn push(&mut self, mut picture: Picture) {
        if picture.starts {
            self.sequence += 1;
            if self.delay.is_some() {
                self.put_out(|_, sequence, now| sequence < now);
            }
        }
        self.decoding.at_rate(picture.rate);
        if let Some(frames) = picture.reorder {
            self.grow(frames.min(limits::REORDER) * 2);
        }
        let halves = if picture.field { 1 } else { 2 };
        picture.packet.dts = self.decoding.now();
        self.decoding.advance(halves);
        // Later than a picture that had to wait for it: the stream reorders by more than was known.
        if let (Some(delay), Some((sequence, poc))) = (self.delay, self.last)
            && sequence == self.sequence
            && picture.poc < poc
        {
            self.grow((delay + halves).min(limits::REORDER * 2));
        }
        let enough = picture.learn;
        self.bytes += picture.packet.data.len();
        self.waiting += halves;
        self.held.push_back(Held { picture, sequence: self.sequence, halves, pts: None });
        if self.delay.is_none() && (self.held.len() >= enough || self.bytes > limits::HELD_BYTES / 4) {
            self.learn();
        }
        if let Some(delay) = self.delay {
            self.put_out(|waiting, _, _| waiting > delay);
        }
        while (self.held.len() > limits::HELD || self.bytes > limits::HELD_BYTES)
            && self.held.front().is_some_and(|h| h.pts.is_none())
        {
            self.put_out_one();
        }
    }

    /// The next one whose times are known.
    pub(super) fn pop(&mut self) -> Option<Picture> {
        let pts = self.held.front()?.pts?;
        let mut picture = self.held.pop_front()?.picture;
        self.bytes -= picture.packet.data.len();
        picture.packet.cts = pts - picture.packet.dts;
        Some(picture)
    }

    /// None follows.
    pub(super) fn end(&mut self) {
        if self.delay.is_none() {
            self.learn();
        }
        self.put_out(|_, _, _| true);
    }

    /// Drops what is held and goes on at a time.
    pub(super) fn reset(&mut self, to: Timestamp) {
        self.held.clear();
        (self.bytes, self.waiting, self.last) = (0, 0, None);
        self.decoding.set(to);
        self.display.set(to);
        self.display.advance(self.delay.unwrap_or(0));
    }

    fn grow(&mut self, delay: u64) {
        let before = self.delay.unwrap_or(0);
        if delay > before {
            self.display.advance(delay - before);
        }
        self.delay = Some(delay.max(before));
    }

    /// Works out by how much the pictures that are there are reordered.
    fn learn(&mut self) {
        let mut shown: Vec<usize> = (0..self.held.len()).collect();
        let key = |i: &usize| self.held.get(*i).map(|h| (h.sequence, h.picture.poc));
        shown.sort_by_key(key);
        // Half frames that are decoded before each, and that are shown before each.
        let mut decoded = Vec::with_capacity(shown.len());
        let mut sum = 0;
        for h in &self.held {
            decoded.push(sum);
            sum += h.halves;
        }
        let (mut delay, mut sum) = (0, 0);
        for i in shown {
            delay = decoded.get(i).map_or(0, |d: &u64| d.saturating_sub(sum)).max(delay);
            sum += self.held.get(i).map_or(0, |h| h.halves);
        }
        self.grow(delay.min(limits::REORDER * 2));
        self.put_out(|_, sequence, now| sequence < now);
    }

    /// Gives times while a condition holds: on the half frames that wait, the sequence of the next one, and the sequence
    /// of the last one that came.
    fn put_out(&mut self, more: impl Fn(u64, u64, u64) -> bool) {
        while let Some(next) = self.next()
            && self.held.get(next).is_some_and(|h| more(self.waiting, h.sequence, self.sequence))
        {
            self.put_out_one();
        }
    }

    /// The first one in output order of those without a time.
    fn next(&self) -> Option<usize> {
        let waiting = self.held.iter().enumerate().filter(|(_, h)| h.pts.is_none());
        waiting.min_by_key(|(_, h)| (h.sequence, h.picture.poc)).map(|(i, _)| i)
    }

    fn put_out_one(&mut self) {
        let Some(h) = self.next().and_then(|i| self.held.get_mut(i)) else { return };
        self.display.at_rate(h.picture.rate);
        h.pts = Some(self.display.now().max(h.picture.packet.dts));
        self.display.advance(h.halves);
        self.waiting = self.waiting.saturating_sub(h.halves);
        self.last = Some((h.sequence, h.picture.poc));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use mist_core::media::TrackId;
    use mist_core::time::Duration;

    fn picture(poc: i64, starts: bool, reorder: Option<u64>) -> Picture {
        let (dts, cts, duration) = (Timestamp::ZERO, Duration::ZERO, Duration::ZERO);
        Picture {
            packet: Packet {
                track: TrackId(1),
                dts,
                cts,
                duration,
                key: starts,
                data: Bytes::from_static(b"abc"),
            },
            track: None,
            offset: 0,
            poc,
            starts,
            field: false,
            rate: Rate::DEFAULT,
            reorder,
            learn: limits::LEARN,
        }
    }

    /// Presentation times in frames of 40 ms, and the most that were held.
    fn run(pocs: &[(i64, bool)], reorder: Option<u64>) -> (Vec<i64>, usize) {
        let mut o = Order::new();
        let (mut got, mut most) = (Vec::new(), 0);
        for (n, &(poc, starts)) in pocs.iter().enumerate() {
            o.push(picture(poc, starts, reorder));
            while let Some(p) = o.pop() {
                assert_eq!(p.packet.dts.as_millis(), got.len() as i64 * 40);
                got.push(p.packet.pts().as_millis() / 40);
            }
            most = most.max(n + 1 - got.len());
        }
        o.end();
        got.extend(std::iter::from_fn(|| o.pop()).map(|p| p.packet.pts().as_millis() / 40));
        (got, most)
    }

    const GOP: [(i64, bool); 7] =
        [(0, true), (8, false), (4, false), (2, false), (6, false), (12, false), (10, false)];

    #[test]
    fn reordered_by_what_the_stream_says_or_shows() {
        let twice: Vec<_> = GOP.iter().chain(&GOP).copied().collect();
        let want = [2, 6, 4, 3, 5, 8, 7];
        let want: Vec<i64> = want.iter().copied().chain(want.iter().map(|t| t + 7)).collect();
        assert_eq!(run(&twice, Some(2)), (want.clone(), 5));
        assert_eq!(run(&twice, None).0, want, "learnt");
        let plain: Vec<_> = (0..50).map(|i| (i * 2, i == 0)).collect();
        assert_eq!(run(&plain, Some(0)), ((0..50).collect(), 0));
        assert_eq!(run(&plain, None), ((0..50).collect(), limits::LEARN - 1));
    }

    #[test]
    fn a_stream_that_says_too_little_is_late_once() {
        let many: Vec<_> = std::iter::repeat_n(GOP, 10).flatten().collect();
        let (got, _) = run(&many, Some(0));
        let late: Vec<_> = got.iter().zip(run(&many, Some(2)).0).map(|(a, b)| a - b).skip(21).collect();
        assert!(late.iter().all(|l| *l == late[0]), "{late:?}");
    }

    #[test]
    fn what_is_held_is_bounded() {
        let mut pocs: Vec<_> = (0..1000).map(|i| (-i, false)).collect();
        pocs[0] = (1_000_000, true);
        let (got, most) = run(&pocs, Some(4));
        assert!(most <= limits::HELD + 1, "{most}");
        assert_eq!(got.len(), 1000);
        assert!(got.iter().enumerate().all(|(i, t)| *t >= i as i64));
    }
}
