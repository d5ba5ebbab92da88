//! Time scales, and where a track's media time begins.

use mist_core::media::{Kind, Packet, TrackInfo};
use mist_core::time::{Duration, TICKS_PER_SECOND, Timestamp};

/// Units a second of a track's media time: the sample rate of audio. Of video 90 kHz or the smallest multiple of it that
/// holds one frame exactly, 360 kHz for 24000/1001 frames a second: milliseconds and the clock of MPEG-TS, in which
/// sources stamp their packets whatever the frame rate, are exact in each of them.
pub fn timescale(info: &TrackInfo) -> u32 {
    const BASE: u32 = 90_000;
    let fpks = match info.params {
        mist_core::media::Params::Audio { rate, .. } if rate > 0 => return rate,
        mist_core::media::Params::Video { fpks, .. } => u64::from(fpks),
        _ => 0,
    };
    // 23976 is 24000/1001, rounded; 25000 is 25.
    let (n, d) = if fpks % 1000 == 0 {
        (fpks, 1000)
    } else {
        let whole = (fpks * 1001 + 500_000) / 1_000_000;
        if (whole * 1_000_000 + 500) / 1001 == fpks { (whole * 1000, 1001) } else { (fpks, 1000) }
    };
    let fits = |k: &u32| n > 0 && (u64::from(BASE * k) * d).is_multiple_of(n);
    [1, 2, 4].into_iter().find(fits).unwrap_or(1) * BASE
}

/// How a stream's timeline lies on a presentation's: its `origin` is shown at zero, and decoding times, which are
/// unsigned in fragments, may come up to `lead` before that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timeline {
    /// What the presentation begins with.
    pub origin: Timestamp,
    /// How long before it decoding begins: the delay of B-frames, the priming of audio. Never negative.
    pub lead: Duration,
}

impl Timeline {
    /// The stream's zero stays zero if it is within this behind the first presentation time.
    const ZERO_WITHIN: Duration = Duration::from_secs(10);

    /// For a stream whose first packets have these times of decoding and presentation at the earliest.
    pub(super) fn starting(dts: Timestamp, pts: Timestamp) -> Self {
        let zero = Timestamp::ZERO;
        let origin = if pts <= zero && zero - pts <= Self::ZERO_WITHIN { zero } else { pts };
        let lead = origin - dts;
        Self { origin, lead: if lead > Duration::ZERO { lead } else { Duration::ZERO } }
    }

    /// The media time in a track with `scale` units a second that is shown at zero. Rounded up, so that
    /// everything that `lead` makes room for has room.
    pub(super) fn start(self, scale: u32) -> i64 {
        let n = i128::from(self.lead.ticks().max(0)) * i128::from(scale);
        let up = (n + i128::from(TICKS_PER_SECOND) - 1) / i128::from(TICKS_PER_SECOND);
        i64::try_from(up).unwrap_or(i64::MAX)
    }

    /// Media time in a track with `scale` units a second.
    pub(super) fn media(self, t: Timestamp, scale: u32) -> i64 {
        (t - self.origin).to_rate(scale).saturating_add(self.start(scale))
    }
}

/// How long a packet lasts that nothing follows, in units of `scale`.
pub(super) fn nominal(info: &TrackInfo, p: Option<&Packet>, before: Option<u32>, scale: u32) -> u32 {
    let own = p.map(|p| p.duration).filter(|d| *d > Duration::ZERO);
    let told = own.or_else(|| p.and_then(|p| mist_core::codec::packet_duration(info, &p.data)));
    let units = told.map(|d| d.to_rate(scale)).and_then(|d| u32::try_from(d).ok()).filter(|d| *d > 0);
    if let Some(units) = units.or(before.filter(|b| *b > 0)) {
        return units;
    }
    match info.params {
        mist_core::media::Params::Video { fpks, .. } if fpks > 0 => {
            u32::try_from(u64::from(scale) * 1000 / u64::from(fpks)).unwrap_or(scale)
        }
        _ if info.codec.kind() == Kind::Audio => 1024,
        // a cue whose length nobody knows
        _ if info.codec.kind() == Kind::Text => scale.saturating_mul(2),
        _ => scale / 25,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use mist_core::codec::Codec;
    use mist_core::media::{Params, TrackId};

    #[test]
    fn frame_rates_and_clocks_are_exact() {
        let scale = |fpks| {
            let params = Params::Video { width: 16, height: 16, fpks };
            timescale(&TrackInfo::new(TrackId(1), Codec::H264, Bytes::new(), params))
        };
        for (fpks, n, d) in [
            (23_976, 24_000, 1001),
            (29_970, 30_000, 1001),
            (59_940, 60_000, 1001),
            (119_880, 120_000, 1001),
            (24_000, 24, 1),
            (25_000, 25, 1),
            (12_500, 25, 2),
            (50_000, 50, 1),
            (60_000, 60, 1),
        ] {
            let s = u64::from(scale(fpks));
            assert_eq!(s * d % n, 0, "{fpks}");
            assert_eq!((s % 1000, s % 90_000), (0, 0));
        }
        assert_eq!(
            [scale(0), scale(29_970), scale(59_940), scale(23_976)],
            [90_000, 90_000, 180_000, 360_000]
        );
        assert_eq!(scale(17_123), 90_000);
    }

    #[test]
    fn zero_stays_zero_where_it_is_near() {
        let ms = Timestamp::from_millis;
        let t = Timeline::starting(ms(-80), ms(-21));
        assert_eq!((t.origin, t.lead), (Timestamp::ZERO, Duration::from_millis(80)));
        assert_eq!((t.media(ms(-80), 90_000), t.media(ms(0), 44_100)), (0, 3528));
        let t = Timeline::starting(ms(3_600_000), ms(3_600_080));
        assert_eq!((t.origin, t.lead), (ms(3_600_080), Duration::from_millis(80)));
        let t = Timeline::starting(ms(-60_000), ms(-60_000));
        assert_eq!(t.origin, ms(-60_000));
        // a lead that is no whole number of units
        let t = Timeline::starting(Timestamp::from_rate(-1, 90_000), Timestamp::ZERO);
        assert_eq!((t.start(44_100), t.media(Timestamp::from_rate(1, 44_100), 44_100)), (1, 2));
    }
}
