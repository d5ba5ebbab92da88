//! Health figures, worked out on demand from what the window holds.

use super::StreamBuffer;
use crate::media::TrackId;
use crate::time::{Duration, TICKS_PER_SECOND};

/// How a track does, over what the window holds of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Health {
    /// Bits a second.
    pub bits_per_second: u64,
    /// Bits a second of the busiest second or more.
    pub peak_bits_per_second: u64,
    /// Packets a 1000 seconds: frames of video, the `fpks` of MistServer's API.
    pub packets_per_kilosecond: u64,
    /// Shortest and longest closed group.
    pub gop_min: Duration,
    /// Longest closed group.
    pub gop_max: Duration,
}

fn per_second(bytes: u64, ticks: i64) -> u64 {
    if ticks <= 0 {
        return 0;
    }
    let bits = u128::from(bytes) * 8 * TICKS_PER_SECOND as u128;
    u64::try_from(bits / ticks as u128).unwrap_or(u64::MAX)
}

impl StreamBuffer {
    /// How a track does; all zero for an unknown one.
    pub fn health(&self, track: TrackId) -> Health {
        let Some(l) = self.lanes.iter().find(|l| l.info.id == track) else { return Health::default() };
        let mut h = Health::default();
        let (mut bytes, mut packets, mut ticks) = (0u64, 0u64, 0i64);
        let (mut run_bytes, mut run_ticks) = (0u64, 0i64);
        let mut min = Duration::MAX;
        for g in &l.closed {
            let d = g.duration();
            h.gop_max = h.gop_max.max(d);
            min = min.min(d);
            bytes += g.bytes;
            packets += g.packets.len() as u64;
            ticks = ticks.saturating_add(d.ticks().max(0));
            run_bytes += g.bytes;
            run_ticks = run_ticks.saturating_add(d.ticks().max(0));
            if run_ticks >= TICKS_PER_SECOND {
                h.peak_bits_per_second = h.peak_bits_per_second.max(per_second(run_bytes, run_ticks));
                (run_bytes, run_ticks) = (0, 0);
            }
        }
        if l.closed.is_empty() {
            // Young: what is open has to do.
            if let (Some(first), Some(end)) = (l.open.first(), l.end()) {
                bytes = l.open_bytes;
                packets = l.open.len() as u64;
                ticks = (end - first.dts).ticks();
            }
        } else {
            h.gop_min = min;
        }
        h.bits_per_second = per_second(bytes, ticks);
        h.peak_bits_per_second = h.peak_bits_per_second.max(h.bits_per_second);
        if ticks > 0 {
            let n = u128::from(packets) * 1000 * TICKS_PER_SECOND as u128 + ticks as u128 / 2;
            h.packets_per_kilosecond = u64::try_from(n / ticks as u128).unwrap_or(u64::MAX);
        }
        h
    }

    /// Bits a second of a track over what the window holds.
    pub fn bits_per_second(&self, track: TrackId) -> u64 {
        self.health(track).bits_per_second
    }

    /// Bits a second of a track's busiest second or more in the window.
    pub fn peak_bits_per_second(&self, track: TrackId) -> u64 {
        self.health(track).peak_bits_per_second
    }
}
