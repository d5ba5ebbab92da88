//! Finding a time by halving the part of the file that it has to be in.

use super::demux::{Demuxer, Link};
use super::limits;
use super::page::{Found, Page, flag};
use mist_core::time::{Duration, Timestamp};

/// A part this small is read through.
const GRAIN: u64 = 64 << 10;
/// The first step forward where the source's length isn't known; it doubles.
const STEP: u64 = 1 << 20;
/// How far logical streams may lie apart in the file.
const MARGIN: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Looking for the last page of video at or before the time; with the time of its key frame.
    Video,
    /// Reading from there on, for a later key frame at or before the time.
    Scan,
    /// Looking for where to begin reading.
    Start,
}

/// A search under way.
#[derive(Debug)]
pub(super) struct Seek {
    /// The time asked for, on the stream's timeline.
    to: Timestamp,
    /// The time looked for, on the link's.
    goal: Duration,
    phase: Phase,
    /// The first page with media.
    from: u64,
    /// A page at or before the goal begins here, or the link's media.
    low: u64,
    /// What begins from here on is behind the goal.
    high: Option<u64>,
    step: u64,
    /// Where reading went to.
    probe: u64,
    /// The start of the last key frame found at or before the time.
    key: Option<Duration>,
    /// The last probe lay behind the end of the source.
    beyond: bool,
}

impl Seek {
    pub(super) fn new(to: Timestamp, goal: Duration, from: u64, end: Option<u64>) -> Self {
        Self {
            to,
            goal,
            phase: Phase::Video,
            from,
            low: from,
            high: end,
            step: STEP,
            probe: from,
            key: None,
            beyond: false,
        }
    }
}

/// What a page says of the time looked for.
enum Side {
    Before,
    Behind,
    Silent,
}

/// The key frame's time and the end of the last frame, of a page of video.
fn video(link: &Link, page: &Page) -> Option<(Duration, Duration)> {
    let m = link.members.iter().find(|m| m.stream.serial == page.serial)?.stream.mapping()?;
    let key = m.key(page.granule)?;
    Some((m.clock().time(key), m.clock().time(m.end(page.granule).saturating_sub(1))))
}

fn has_video(link: &Link) -> bool {
    link.members.iter().filter_map(|m| m.stream.mapping()).any(|m| m.key(0).is_some())
}

fn side(link: &Link, page: &Page, phase: Phase, goal: Duration) -> Side {
    let member = link.members.iter().find(|m| m.stream.serial == page.serial);
    // Another link.
    let Some(member) = member.filter(|_| !page.has(flag::BOS)) else { return Side::Behind };
    let time = match (phase, member.stream.mapping()) {
        _ if page.granule < 0 || page.ends() == 0 => None,
        (Phase::Start, Some(m)) => Some(m.clock().time(m.end(page.granule))),
        (_, Some(_)) => video(link, page).map(|(_, frame)| frame),
        (_, None) => None,
    };
    match time {
        None => Side::Silent,
        Some(t) if t <= goal => Side::Before,
        Some(_) => Side::Behind,
    }
}

impl Demuxer {
    /// Chooses where to look next, or where to land.
    pub(super) fn seek_next(&mut self) {
        let Some(s) = &mut self.seek else { return };
        if s.phase == Phase::Video && !has_video(&self.link) {
            s.phase = Phase::Start;
            s.goal -= MARGIN;
        }
        let at = match s.high {
            Some(high) if high.saturating_sub(s.low) <= GRAIN => match s.phase {
                Phase::Video => {
                    s.phase = Phase::Scan;
                    s.probe = s.low;
                    let at = s.low;
                    return self.jump(at);
                }
                Phase::Scan | Phase::Start => {
                    let (low, to) = (s.low, s.to);
                    let base = self.link.base.unwrap_or_default();
                    let key = s.key.map(|k| Timestamp::ZERO + base + k);
                    self.seek = None;
                    return self.land(low, key.unwrap_or(to));
                }
            },
            // Nothing is learnt far behind the end: between two probes there, one where bytes are known to be.
            Some(high) => {
                let half = s.low + (high - s.low) / 2;
                let known = self.reach.saturating_sub(1);
                if std::mem::take(&mut s.beyond) && half >= self.reach && known > s.low {
                    known
                } else {
                    half
                }
            }
            None => {
                let at = s.low.saturating_add(s.step);
                s.step = s.step.saturating_mul(2);
                at
            }
        };
        s.probe = at;
        self.jump(at);
    }

    /// One step of a search; false when it needs more bytes.
    pub(super) fn seek_step(&mut self) -> bool {
        let Some(s) = &mut self.seek else { return true };
        let found = self.reader.next();
        let far = self.reader.offset() > s.probe.saturating_add(limits::PROBE);
        if s.phase == Phase::Scan {
            let stop = match found {
                Found::Need => return false,
                Found::End(_) => true,
                Found::Junk { .. } => far,
                Found::Page(p) => match video(&self.link, &p) {
                    _ if s.high.is_some_and(|h| p.offset >= h) => true,
                    Some((key, frame)) if p.granule >= 0 && p.ends() > 0 => {
                        if key <= s.goal {
                            s.key = s.key.max(Some(key));
                        }
                        frame > s.goal
                    }
                    _ => far,
                },
            };
            if stop {
                s.goal = s.key.unwrap_or(Duration::ZERO) - MARGIN;
                s.key = Some(s.key.unwrap_or(Duration::MIN));
                s.phase = Phase::Start;
                s.high = Some(self.reader.offset().max(s.from));
                s.low = s.from;
                self.seek_next();
            }
            return true;
        }
        if matches!(found, Found::End(_)) {
            s.beyond = self.reader.end_offset() == s.probe;
        }
        let side = match found {
            Found::Need => return false,
            Found::Junk { .. } if far => Side::Behind,
            Found::Junk { .. } => return true,
            Found::End(_) => Side::Behind,
            Found::Page(p) => match side(&self.link, &p, s.phase, s.goal) {
                _ if s.high.is_some_and(|h| p.offset >= h) => Side::Behind,
                Side::Before => {
                    s.low = p.offset;
                    Side::Before
                }
                Side::Silent if far => Side::Behind,
                other => other,
            },
        };
        match side {
            Side::Silent => return true,
            Side::Behind => s.high = Some(s.probe),
            Side::Before => {}
        }
        self.seek_next();
        true
    }
}
