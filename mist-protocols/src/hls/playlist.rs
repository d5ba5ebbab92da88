//! Writes playlists. No formatting machinery: they are asked for tens of thousands of times a second.

use super::limits;
use mist_core::buffer::{Segment, StreamBuffer};
use mist_core::http::Tracks;
use mist_core::media::TrackId;
use mist_core::time::Duration;
use mist_core::url::Query;

/// Text under construction.
#[derive(Debug, Default)]
pub(super) struct Text(Vec<u8>);

impl Text {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    pub(super) fn put(&mut self, text: &str) -> &mut Self {
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    /// A number in decimal, with zeros in front up to `width` digits (20 at most).
    pub(super) fn padded(&mut self, mut n: u64, width: usize) -> &mut Self {
        let mut digits = [b'0'; 20];
        let mut from = digits.len();
        for d in digits.iter_mut().rev() {
            if n == 0 {
                break;
            }
            *d = b'0' + (n % 10) as u8;
            n /= 10;
            from -= 1;
        }
        let from = from.min(digits.len().saturating_sub(width));
        self.0.extend_from_slice(digits.get(from..).unwrap_or_default());
        self
    }

    pub(super) fn number(&mut self, n: u64) -> &mut Self {
        self.padded(n, 1)
    }

    pub(super) fn finish(self) -> bytes::Bytes {
        self.0.into()
    }

    /// ISO 8601 in UTC with milliseconds.
    fn date(&mut self, unix: std::time::Duration) -> &mut Self {
        let (days, second) = (unix.as_secs() / 86_400, unix.as_secs() % 86_400);
        let (year, month, day) = civil(days);
        self.padded(year, 4).put("-").padded(month, 2).put("-").padded(day, 2);
        self.put("T").padded(second / 3600, 2).put(":").padded(second / 60 % 60, 2);
        self.put(":").padded(second % 60, 2).put(".").padded(unix.subsec_millis().into(), 3).put("Z")
    }

    /// Seconds with six decimals.
    fn seconds(&mut self, d: Duration) -> &mut Self {
        let micros = d.to_rate(1_000_000).max(0).unsigned_abs();
        self.number(micros / 1_000_000).put(".").padded(micros % 1_000_000, 6)
    }

    /// The name of a segment, without its ending.
    fn segment(&mut self, s: &Segment) -> &mut Self {
        self.number(s.number).put("_").number(unix_millis(s))
    }

    fn ids(&mut self, tracks: &[TrackId]) -> &mut Self {
        for (at, t) in tracks.iter().enumerate() {
            self.put(if at > 0 { "_" } else { "" }).number(t.0.into());
        }
        self
    }
}

/// Year, month and day of a day since 1970-01-01 in the Gregorian calendar. The year is counted from March and in
/// eras of 400 years, so that leap days come last.
fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let (era, of_era) = (z / 146_097, z % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let m = (5 * of_year + 2) / 153;
    let month = if m < 10 { m + 3 } else { m - 9 };
    (era * 400 + year + u64::from(month <= 2), month, of_year - (153 * m + 2) / 5 + 1)
}

/// The part of a segment's name that tells it from one with the same number in another life of the server.
pub(super) fn unix_millis(s: &Segment) -> u64 {
    u64::try_from(s.unix.as_millis()).unwrap_or(u64::MAX)
}

/// The part of a query that is carried on to the URLs in a playlist, with its `?`: all but what chose the tracks.
pub(super) fn carried(query: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$'()*+,;:@/?%=".contains(&b);
    let mut out = String::new();
    for pair in query.split('&').filter(|p| !p.is_empty() && p.bytes().all(plain)) {
        let name = Query::new(pair).iter().next().map(|(name, _)| name);
        let ours = matches!(name.as_deref(), Some("video" | "audio" | "subtitle" | "passthrough"));
        if ours || out.len() + 1 + pair.len() > limits::CARRIED {
            continue;
        }
        out.push(if out.is_empty() { '?' } else { '&' });
        out.push_str(pair);
    }
    out
}

/// Bits that a frame costs beside its payload: a PES head, and the half of a packet that is stuffing.
const FRAME_OVERHEAD: u64 = (20 + 92) * 8;
/// Bits a second of PAT and PMT, ten times a second.
const TABLES_OVERHEAD: u64 = 10 * 2 * 188 * 8;
/// Frames of sound a second, where they are short (1024 samples at 48 kHz).
const SOUND_FRAMES: u64 = 47;

/// What players are told for a bit rate of a variant's media: segments have tables, heads and stuffing too. RFC 8216
/// §4.3.4.2 wants no segment above it, and it is the small streams that the overhead counts in.
pub(super) fn with_overhead(v: &Variant, bits: u64) -> u64 {
    let pictures = match (v.size, v.fpks) {
        ((0, 0), 0) => 0,
        (_, 0) => 30,
        (_, fpks) => u64::from(fpks).div_ceil(1000),
    };
    let lists = 1 + u64::from(!v.group.is_empty());
    let sounds = (v.tracks.len() as u64 + lists - 1).saturating_sub(u64::from(pictures > 0));
    bits.saturating_add(bits / 32)
        .saturating_add(lists * TABLES_OVERHEAD)
        .saturating_add((pictures + sounds * SOUND_FRAMES) * FRAME_OVERHEAD)
}

/// Whether a segment has nothing of these tracks: it was cut while they were silent.
fn is_gap(view: &StreamBuffer, tracks: &[TrackId], s: &Segment) -> bool {
    let within = |t: &TrackId| {
        view.gops(*t, s.start, s.end)
            .iter()
            .any(|g| g.packets.iter().any(|p| p.dts >= s.start && p.dts < s.end))
    };
    !tracks.contains(&s.track) && !tracks.iter().any(within)
}

/// A media playlist of these tracks with the segments from index `skip` on, which has to be in the list.
pub(super) fn media(view: &StreamBuffer, tracks: &[TrackId], skip: usize, query: &str) -> bytes::Bytes {
    let gaps: Vec<u64> =
        view.segments().skip(skip).filter(|s| is_gap(view, tracks, s)).map(|s| s.number).collect();
    let listed = view.segments().len().saturating_sub(skip);
    let mut text = Text::with_capacity(160 + listed * (120 + query.len()));
    let target = view.segment_target().to_rate(1_000_000).max(1).unsigned_abs().div_ceil(1_000_000);
    let first = view.segments().nth(skip).map_or(0, |s| s.number);
    let skipped = view.segments().take(skip).filter(|s| s.discontinuity).count() as u64;
    // EXT-X-GAP needs version 8 (RFC 8216bis §8).
    let version = if gaps.is_empty() { 3 } else { 8 };
    text.put("#EXTM3U\n#EXT-X-VERSION:").number(version).put("\n#EXT-X-TARGETDURATION:").number(target);
    text.put("\n#EXT-X-MEDIA-SEQUENCE:").number(first);
    text.put("\n#EXT-X-DISCONTINUITY-SEQUENCE:")
        .number(view.discontinuity_sequence().saturating_add(skipped));
    text.put("\n");
    for s in view.segments().skip(skip) {
        if s.discontinuity {
            text.put("#EXT-X-DISCONTINUITY\n");
        }
        if gaps.contains(&s.number) {
            text.put("#EXT-X-GAP\n");
        }
        text.put("#EXT-X-PROGRAM-DATE-TIME:").date(s.unix).put("\n#EXTINF:").seconds(s.duration());
        text.put(",\n").segment(s).put(".ts").put(query).put("\n");
    }
    if view.ended() {
        text.put("#EXT-X-ENDLIST\n");
    }
    text.finish()
}

/// A line of a multivariant playlist that stands for a way to play all of the stream.
#[derive(Debug)]
pub(super) struct Variant {
    /// Tracks in its media playlist.
    pub(super) tracks: Tracks,
    /// Bits a second: peak and average, of all that plays with it.
    pub(super) peak: u64,
    pub(super) average: u64,
    /// RFC 6381 strings, joined; empty if one is unknown.
    pub(super) codecs: String,
    /// Width and height, (0, 0) without picture or when unknown.
    pub(super) size: (u32, u32),
    /// Frames per 1000 seconds; 0 without picture or when unknown.
    pub(super) fpks: u32,
    /// The group of its audio renditions; empty if the sound is in its own segments.
    pub(super) group: &'static str,
}

/// A choice of sound.
#[derive(Debug)]
pub(super) struct Rendition<'a> {
    pub(super) track: TrackId,
    pub(super) group: &'static str,
    /// BCP 47 and in words; empty if unknown.
    pub(super) language: &'a str,
    pub(super) name: &'a str,
    pub(super) channels: u16,
    /// The one that plays when nobody chooses.
    pub(super) default: bool,
}

/// A multivariant playlist.
pub(super) fn multivariant(renditions: &[Rendition<'_>], variants: &[Variant], query: &str) -> bytes::Bytes {
    let lines = renditions.len() + variants.len();
    let mut text = Text::with_capacity(40 + lines * (200 + query.len()));
    text.put("#EXTM3U\n#EXT-X-VERSION:").put(if renditions.is_empty() { "3\n" } else { "4\n" });
    for r in renditions {
        text.put("#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"").put(r.group).put("\",NAME=\"");
        // Names are unique within their group by the track's id.
        text.put(if r.name.is_empty() { "audio" } else { r.name }).put(" ").number(r.track.0.into());
        if !r.language.is_empty() {
            text.put("\",LANGUAGE=\"").put(r.language);
        }
        text.put(if r.default { "\",DEFAULT=YES" } else { "\",DEFAULT=NO" }).put(",AUTOSELECT=YES");
        if r.channels > 0 {
            text.put(",CHANNELS=\"").number(r.channels.into()).put("\"");
        }
        text.put(",URI=\"").ids(&[r.track]).put("/index.m3u8").put(query).put("\"\n");
    }
    for v in variants {
        text.put("#EXT-X-STREAM-INF:BANDWIDTH=").number(with_overhead(v, v.peak.max(v.average)));
        text.put(",AVERAGE-BANDWIDTH=").number(with_overhead(v, v.average));
        if !v.codecs.is_empty() {
            text.put(",CODECS=\"").put(&v.codecs).put("\"");
        }
        if v.size.0 > 0 && v.size.1 > 0 {
            text.put(",RESOLUTION=").number(v.size.0.into()).put("x").number(v.size.1.into());
        }
        if v.fpks > 0 {
            text.put(",FRAME-RATE=")
                .number((v.fpks / 1000).into())
                .put(".")
                .padded((v.fpks % 1000).into(), 3);
        }
        if !v.group.is_empty() {
            text.put(",AUDIO=\"").put(v.group).put("\"");
        }
        text.put("\n").ids(&v.tracks).put("/index.m3u8").put(query).put("\n");
    }
    text.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(f: impl FnOnce(&mut Text) -> &mut Text) -> String {
        let mut t = Text::default();
        f(&mut t);
        String::from_utf8(t.finish().to_vec()).unwrap()
    }

    #[test]
    fn numbers_and_dates() {
        assert_eq!(text(|t| t.number(0).put(",").number(u64::MAX)), "0,18446744073709551615");
        assert_eq!(text(|t| t.padded(7, 3).put(",").padded(1234, 2)), "007,1234");
        assert_eq!(text(|t| t.seconds(Duration::from_rate(180_180, 90_000))), "2.002000");
        assert_eq!(text(|t| t.seconds(Duration::from_millis(-5))), "0.000000");
        for (ms, want) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_001, "2000-02-29T00:00:00.001Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (1_795_000_000_123, "2026-11-18T11:06:40.123Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(text(|t| t.date(std::time::Duration::from_millis(ms))), want);
        }
        assert!(text(|t| t.date(std::time::Duration::MAX)).ends_with('Z'));
    }

    #[test]
    fn carries_on_what_is_not_a_selector() {
        for (query, want) in [
            ("", ""),
            ("video=1&audio=all", ""),
            ("tkn=abc&video=1&x=%20&", "?tkn=abc&x=%20"),
            ("vide%6f=2&a", "?a"),
            ("a=\"b&c=d\r\n#EXT&e=f", "?e=f"),
        ] {
            assert_eq!(carried(query), want, "{query:?}");
        }
        assert_eq!(carried(&format!("a={}&b=1", "x".repeat(limits::CARRIED))), "?b=1");
        assert!(carried(&"a=1&".repeat(100_000)).len() <= limits::CARRIED);
    }
}
