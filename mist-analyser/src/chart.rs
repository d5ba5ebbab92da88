//! Draws what was found over time: bit rate, keyframes and picture sizes, interleaving. An SVG file, made by hand.
//!
//! Memory doesn't grow with the length of the source: when the bins are full, two become one.

use crate::problem::{Problem, Severity};
use mist_core::media::{Kind, Packet, TrackId, TrackInfo};
use mist_core::time::{Duration, Timestamp};
use std::fmt::Write as _;

/// Bins of a track; pixels of a panel.
const BINS: usize = 1000;
/// Bins are at least this long.
const SHORTEST: Duration = Duration::from_millis(40);
/// Tracks that are drawn.
const MAX_TRACKS: usize = 16;
/// Problems that are marked.
const MAX_MARKS: usize = 500;
/// Height of a panel, of the space above it, and the width left of it.
const HEIGHT: f64 = 160.0;
const SPACE: f64 = 46.0;
const LEFT: f64 = 70.0;
/// Colours that people with any sight tell apart (Okabe and Ito).
const COLOURS: [&str; 8] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5c00", "#555555"];

#[derive(Debug, Clone, Copy, Default)]
struct Bin {
    bytes: u64,
    /// Largest keyframe and largest other picture.
    key: u32,
    other: u32,
    keys: u32,
    /// Longest way behind other tracks.
    behind: Duration,
}

impl Bin {
    fn add(&mut self, o: &Self) {
        self.bytes += o.bytes;
        self.key = self.key.max(o.key);
        self.other = self.other.max(o.other);
        self.keys += o.keys;
        self.behind = self.behind.max(o.behind);
    }
}

#[derive(Debug)]
struct Lane {
    id: TrackId,
    name: String,
    video: bool,
    bins: Vec<Bin>,
}

/// A chart under way.
#[derive(Debug)]
pub(crate) struct Chart {
    lanes: Vec<Lane>,
    origin: Option<Timestamp>,
    width: Duration,
    latest: Timestamp,
    marks: Vec<(Timestamp, Severity, &'static str)>,
}

impl Chart {
    pub(crate) fn new() -> Self {
        Self { lanes: Vec::new(), origin: None, width: SHORTEST, latest: Timestamp::MIN, marks: Vec::new() }
    }

    /// A track is there.
    pub(crate) fn track(&mut self, t: &TrackInfo) {
        let continuous = matches!(t.codec.kind(), Kind::Video | Kind::Audio);
        if continuous && self.lanes.len() < MAX_TRACKS && !self.lanes.iter().any(|l| l.id == t.id) {
            let name = format!("track {} {}", t.id, t.codec.name());
            let video = t.codec.kind() == Kind::Video;
            self.lanes.push(Lane { id: t.id, name, video, bins: Vec::new() });
        }
    }

    fn bin(&mut self, at: Timestamp) -> usize {
        let origin = *self.origin.get_or_insert(at);
        loop {
            let i = usize::try_from((at - origin).ticks().max(0) / self.width.ticks()).unwrap_or(usize::MAX);
            if i < BINS {
                return i;
            }
            self.width = Duration::from_ticks(self.width.ticks().saturating_mul(2));
            for l in &mut self.lanes {
                l.bins = l
                    .bins
                    .chunks(2)
                    .map(|pair| {
                        let mut sum = Bin::default();
                        pair.iter().for_each(|b| sum.add(b));
                        sum
                    })
                    .collect();
            }
        }
    }

    /// A packet.
    pub(crate) fn packet(&mut self, p: &Packet) {
        let i = self.bin(p.dts);
        if p.dts + Duration::from_secs(60) < self.latest {
            self.latest = p.dts; // the clock starts anew
        }
        self.latest = self.latest.max(p.dts);
        let behind = self.latest - p.dts;
        let Some(lane) = self.lanes.iter_mut().find(|l| l.id == p.track) else { return };
        if lane.bins.len() <= i {
            lane.bins.resize(i + 1, Bin::default());
        }
        let size = u32::try_from(p.data.len()).unwrap_or(u32::MAX);
        let (key, other) = if p.key { (size, 0) } else { (0, size) };
        let bin = Bin { bytes: p.data.len() as u64, key, other, keys: u32::from(p.key), behind };
        lane.bins[i].add(&bin);
    }

    /// A problem, to be marked where it has a time.
    pub(crate) fn problem(&mut self, p: &Problem) {
        if let Some(t) = p.time.filter(|_| self.marks.len() < MAX_MARKS) {
            self.marks.push((t, p.sort.severity(), p.sort.id()));
        }
    }

    /// The picture.
    pub(crate) fn svg(&self, title: &str) -> String {
        let bins = self.lanes.iter().map(|l| l.bins.len()).max().unwrap_or(0).max(1);
        let seconds = self.width.as_secs_f64();
        let total = bins as f64 * seconds;
        let panel = 1000.0;
        let (w, h) = (LEFT + panel + 20.0, 3.0 * (HEIGHT + SPACE) + 60.0);
        let mut s = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {w} {h}\" width=\"{w}\" height=\"{h}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
             <text x=\"{LEFT}\" y=\"20\" font-size=\"15\">{}</text>\n",
            escape(title)
        );
        let mut x = LEFT + 0.0;
        for (i, l) in self.lanes.iter().enumerate() {
            let colour = COLOURS[i % COLOURS.len()];
            let _ = writeln!(
                s,
                "<rect x=\"{x}\" y=\"30\" width=\"10\" height=\"10\" fill=\"{colour}\"/>\
                 <text x=\"{}\" y=\"39\">{}</text>",
                x + 14.0,
                escape(&l.name)
            );
            x += 24.0 + l.name.len() as f64 * 7.0;
        }
        let step = panel / bins as f64;
        self.lines(
            &mut s,
            0,
            "bit rate, kbit/s",
            step,
            total,
            |_| true,
            |b| b.bytes as f64 * 8.0 / 1000.0 / seconds,
        );
        self.pictures(&mut s, step, total);
        self.lines(
            &mut s,
            2,
            "behind other tracks in the source, ms",
            step,
            total,
            |_| true,
            |b| b.behind.as_secs_f64() * 1000.0,
        );
        let origin = self.origin.unwrap_or(Timestamp::ZERO);
        for (t, severity, id) in &self.marks {
            let at = (*t - origin).as_secs_f64();
            if !(0.0..=total).contains(&at) {
                continue;
            }
            let x = LEFT + at / total * panel;
            let colour = match severity {
                Severity::Error => "#c00",
                Severity::Warning => "#e80",
                Severity::Info => "#888",
            };
            let _ = writeln!(
                s,
                "<path d=\"M{x:.1} {:.0}V{:.0}\" stroke=\"{colour}\" stroke-width=\"1.5\" stroke-dasharray=\"3 3\"><title>{id} at {at:.3} s</title></path>",
                top(0),
                top(2) + HEIGHT
            );
        }
        s.push_str("</svg>\n");
        s
    }

    /// A panel's frame and axes.
    fn frame(s: &mut String, panel: usize, label: &str, most: f64, total: f64) {
        let y = top(panel);
        let _ = writeln!(
            s,
            "<text x=\"{LEFT}\" y=\"{:.0}\" fill=\"#444\">{label}</text>\n\
             <path d=\"M{LEFT} {y}V{}H{}\" fill=\"none\" stroke=\"#444\"/>",
            y - 6.0,
            y + HEIGHT,
            LEFT + 1000.0
        );
        for i in 0..=4 {
            let part = f64::from(i) / 4.0;
            let at = y + HEIGHT * (1.0 - part);
            let _ = writeln!(
                s,
                "<path d=\"M{LEFT} {at:.1}h1000\" stroke=\"#ddd\" stroke-width=\"0.5\"/>\
                 <text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#444\">{}</text>",
                LEFT - 6.0,
                at + 4.0,
                number(most * part)
            );
        }
        for i in 0..=10 {
            let part = f64::from(i) / 10.0;
            let _ = writeln!(
                s,
                "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"middle\" fill=\"#444\">{} s</text>",
                LEFT + 1000.0 * part,
                y + HEIGHT + 15.0,
                number(total * part)
            );
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one panel is like another")]
    fn lines(
        &self,
        s: &mut String,
        panel: usize,
        label: &str,
        step: f64,
        total: f64,
        which: impl Fn(&Lane) -> bool,
        value: impl Fn(&Bin) -> f64,
    ) {
        let most = self.lanes.iter().flat_map(|l| &l.bins).map(&value).fold(0.0, f64::max).max(1.0);
        Self::frame(s, panel, label, most, total);
        for (i, l) in self.lanes.iter().enumerate().filter(|(_, l)| which(l)) {
            let mut d = String::new();
            for (n, b) in l.bins.iter().enumerate() {
                let y = top(panel) + HEIGHT * (1.0 - value(b) / most);
                let c = if n == 0 { 'M' } else { 'L' };
                let _ =
                    write!(d, "{c}{:.1} {y:.1}H{:.1}", LEFT + n as f64 * step, LEFT + (n + 1) as f64 * step);
            }
            let colour = COLOURS[i % COLOURS.len()];
            let _ = writeln!(s, "<path d=\"{d}\" fill=\"none\" stroke=\"{colour}\"/>");
        }
    }

    /// Sizes of pictures, keyframes in red: the GOPs.
    fn pictures(&self, s: &mut String, step: f64, total: f64) {
        let video = || self.lanes.iter().filter(|l| l.video);
        let kb = |n: u32| f64::from(n) / 1000.0;
        let most = video().flat_map(|l| &l.bins).map(|b| kb(b.key.max(b.other))).fold(0.0, f64::max).max(1.0);
        Self::frame(s, 1, "largest picture, kB: keyframes red", most, total);
        let bottom = top(1) + HEIGHT;
        for l in video() {
            for (key, colour) in [(false, "#0072b2"), (true, "#c00")] {
                let mut d = String::new();
                for (n, b) in l.bins.iter().enumerate() {
                    let size = kb(if key { b.key } else { b.other });
                    if size > 0.0 {
                        let x = LEFT + (n as f64 + 0.5) * step;
                        let _ = write!(d, "M{x:.1} {bottom}v-{:.1}", HEIGHT * size / most);
                    }
                }
                let width = (step * 0.7).clamp(0.8, 6.0);
                let _ = writeln!(s, "<path d=\"{d}\" stroke=\"{colour}\" stroke-width=\"{width:.1}\"/>");
            }
        }
    }
}

fn top(panel: usize) -> f64 {
    50.0 + SPACE / 2.0 + panel as f64 * (HEIGHT + SPACE)
}

fn number(v: f64) -> String {
    if v >= 100.0 || v == v.round() { format!("{v:.0}") } else { format!("{v:.1}") }
}

fn escape(s: &str) -> String {
    s.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use mist_core::codec::Codec;
    use mist_core::media::Params;

    fn packet(ms: i64, size: usize, key: bool) -> Packet {
        Packet {
            track: TrackId(1),
            dts: Timestamp::from_millis(ms),
            cts: Duration::ZERO,
            duration: Duration::ZERO,
            key,
            data: Bytes::from(vec![0; size]),
        }
    }

    #[test]
    fn bins_stay_bounded_and_keep_every_byte() {
        let mut c = Chart::new();
        let params = Params::Video { width: 0, height: 0, fpks: 0 };
        c.track(&TrackInfo::new(TrackId(1), Codec::H264, Bytes::new(), params));
        for n in 0..200_000 {
            c.packet(&packet(n * 40, 10, n % 50 == 0));
        }
        c.packet(&packet(i64::MAX / 2, 10, false));
        let bins = &c.lanes[0].bins;
        assert!(bins.len() <= BINS);
        assert_eq!(bins.iter().map(|b| b.bytes).sum::<u64>(), 2_000_010);
        assert_eq!(bins.iter().map(|b| b.keys).sum::<u32>(), 4000);
        c.packet(&packet(-5000, 10, false));
        let svg = c.svg("a <b>");
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n") && svg.contains("a &lt;b&gt;"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
        assert!(Chart::new().svg("").contains("</svg>"), "nothing is a picture too");
    }
}
