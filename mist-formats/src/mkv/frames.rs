//! Blocks to packets: times, laces, keyframes.

use super::block::Block;
use super::cues::Point;
use super::demux::{Demuxer, NANO, State, path};
use super::ebml::Head;
use super::lacing;
use super::track::duration;
use bytes::Bytes;
use mist_core::codec::packet_duration;
use mist_core::findings::Findings;
use mist_core::format::ErrorKind;
use mist_core::media::{Kind, Packet, TrackId};
use mist_core::reorder::Frame;
use mist_core::time::{Duration, Timestamp};
use std::collections::VecDeque;

/// Frames of a block that are handed out one by one.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) track: usize,
    pub(super) frames: VecDeque<(Bytes, u64)>,
    pub(super) pts: Timestamp,
    /// BlockDuration's share of a frame.
    pub(super) each: Option<Duration>,
    pub(super) laced: bool,
    pub(super) discard: Duration,
    pub(super) key: bool,
    pub(super) beside: Bytes,
}

impl Demuxer {
    /// A time of the open cluster in nanoseconds on the segment's clock.
    pub(super) fn time(&self, ticks: i16) -> Option<i64> {
        let cluster = i64::try_from(self.cluster?.time?).unwrap_or(i64::MAX);
        let scale = i64::try_from(self.scale).unwrap_or(i64::MAX);
        Some(cluster.saturating_add(ticks.into()).saturating_mul(scale))
    }

    pub(super) fn block(&mut self, at: u64, h: Head, block: Result<Block, ErrorKind>) {
        let b = match block {
            Ok(b) => b,
            Err(what) => return self.problem(at, path(h.id), what),
        };
        let Some(track) = self.tracks.iter().position(|t| t.number == b.track) else {
            let known = self.left_out.contains(&b.track) || self.tracks.is_empty();
            if !known && !std::mem::replace(&mut self.reported.unknown_track, true) {
                self.problem(at, path(h.id), ErrorKind::Malformed("block of an unknown track"));
            }
            return;
        };
        let Some(time) = self.time(b.time) else {
            return self.problem(at, path(h.id), ErrorKind::Missing("block before the cluster's Timestamp"));
        };
        let key = self.tracks.get(track).is_some_and(|t| t.is_key(&b));
        let b = Block { key, ..b };
        if self.note(&b, time) || !self.begun(&b, track, time) {
            return;
        }
        let frames = match lacing::split(b.flags, &b.body) {
            Ok(f) => f,
            Err(what) => return self.problem(at, "Segment/Cluster/Block/Lacing", what),
        };
        let Some(t) = self.tracks.get(track) else { return };
        let count = frames.len() as u64;
        let scale = self.scale;
        let base = at + (h.len + b.before) as u64;
        let start = b.body.as_ptr() as usize;
        self.pending = Some(Pending {
            track,
            pts: Timestamp::from_rate(time.saturating_sub(t.delay), NANO),
            each: b.duration.filter(|d| *d > 0).map(|d| duration(d.saturating_mul(scale) / count)),
            laced: count > 1,
            discard: Duration::from_rate(b.discard.max(0), NANO),
            key: b.key,
            beside: b.beside,
            // Frames are slices of the body: how far in they are is where they lie.
            frames: frames
                .into_iter()
                .map(|f| {
                    let within = (f.as_ptr() as usize).saturating_sub(start).min(b.body.len());
                    (f, base + within as u64)
                })
                .collect(),
        });
    }

    /// Remembers keyframes. True while scanning, when nothing is handed out.
    pub(super) fn note(&mut self, b: &Block, time: i64) -> bool {
        if Some(b.track) == self.reference && b.key {
            let cluster = self.cluster.map_or(0, |c| c.at);
            let point = Point { time, cluster };
            self.seen.add(point);
            if let Some(s) = &mut self.scan {
                if time > s.to && s.best.is_some() {
                    let best = *s;
                    self.finish_scan(best);
                } else {
                    s.best = Some(point);
                }
            }
        }
        self.scan.is_some() || self.state != State::Element
    }

    /// Whether a track has begun after a seek: with a keyframe, or with what belongs to its time.
    pub(super) fn begun(&mut self, b: &Block, track: usize, time: i64) -> bool {
        let Some(l) = &mut self.landing else { return true };
        let Some(i) = l.waiting.iter().position(|n| *n == b.track) else { return true };
        let Some(t) = self.tracks.get(track) else { return true };
        let later = self.cluster.is_none_or(|c| c.at != l.cluster);
        let begins = match t.info.codec.kind() {
            Kind::Video => b.key && (later || time >= l.time),
            _ => time >= l.time.saturating_sub(t.pre_roll),
        };
        if begins {
            l.waiting.swap_remove(i);
            if l.waiting.is_empty() {
                self.landing = None;
            }
        }
        begins
    }

    /// Hands out the next frame of a block.
    pub(super) fn frame(&mut self) {
        let Some(mut p) = self.pending.take() else { return };
        let Some((data, offset)) = p.frames.pop_front() else { return };
        // Empty frames in laces would make much out of little.
        if data.is_empty() && p.laced {
            if !p.frames.is_empty() {
                self.pending = Some(p);
            }
            return;
        }
        let Some(t) = self.tracks.get_mut(p.track) else { return };
        let data = match t.canonical(data, &p.beside) {
            Ok(d) => d,
            Err(kind) => {
                self.problem(offset, "Segment/Cluster/SimpleBlock", kind);
                if !p.frames.is_empty() {
                    self.pending = Some(p);
                }
                return;
            }
        };
        let kind = t.info.codec.kind();
        let mut frame = Frame { pts: p.pts, duration: p.each.unwrap_or_default(), key: p.key, data, offset };
        if p.laced {
            let lasts = p.each.unwrap_or_else(|| t.frame_duration(&frame.data));
            p.pts += lasts;
        }
        if p.discard > Duration::ZERO && p.frames.is_empty() && kind == Kind::Audio {
            let whole = packet_duration(&t.info, &frame.data).unwrap_or(frame.duration);
            let kept = (whole - p.discard).max(Duration::from_ticks(1));
            frame.duration = if p.each.is_some() { kept.min(frame.duration) } else { kept };
        }
        // Nothing decodes nothing; of text it is the end of what was shown.
        if !frame.data.is_empty() || kind == Kind::Text {
            let found = &mut self.found;
            if !t.announced {
                t.complete(&frame.data);
                found.track(t.info.clone());
            }
            let id = t.info.id;
            t.reorder.push(frame, &mut |f, dts| give(found, id, f, dts));
        }
        if !p.frames.is_empty() {
            self.pending = Some(p);
        }
    }
}

/// Gives a frame, which has got its decoding time.
pub(super) fn give(found: &mut Findings, track: TrackId, f: Frame, dts: Timestamp) {
    let Frame { pts, duration, key, data, offset } = f;
    found.packet(Packet { track, dts, cts: pts - dts, duration, key, data }, offset);
}
