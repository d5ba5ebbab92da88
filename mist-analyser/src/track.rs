//! What is counted and checked of each track, in constant memory.

use crate::problem::{Problem, Sort};
use mist_core::codec::sei::Captions;
use mist_core::codec::{self, Codec, h264, hevc, mpa, nal, speex};
use mist_core::media::{Kind, Packet, Params, TrackInfo};
use mist_core::time::{Duration, Timestamp};
use std::sync::Arc;

/// The shortest hole that is called a gap.
const MIN_GAP: Duration = Duration::from_secs(1);
/// How many times the average distance of packets a hole is at least.
const GAP_DISTANCES: i64 = 4;
/// Over which time the peak bit rate is taken.
const PEAK_WINDOW: Duration = Duration::from_secs(1);
/// How far stamps may be from the length of the sound between them.
const MAX_SLIP: Duration = Duration::from_millis(250);
/// Pictures at the start that are looked through for captions; later ones only where they are keyframes.
const CAPTION_PICTURES: u64 = 1000;
/// From which length on a GOP is long.
const LONG_GOP: Duration = Duration::from_secs(10);

/// Lengths of closed GOPs: shortest, sum, longest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gops {
    /// How many.
    pub(crate) count: u64,
    /// Shortest.
    pub(crate) min: Duration,
    /// Sum.
    total: Duration,
    /// Longest.
    pub(crate) max: Duration,
    /// Packets in all of them.
    packets: u64,
}

impl Gops {
    /// Average length.
    pub(crate) fn average(&self) -> Duration {
        Duration::from_ticks(self.total.ticks() / i64::try_from(self.count.max(1)).unwrap_or(i64::MAX))
    }

    /// Packets on average.
    pub(crate) fn packets(&self) -> f64 {
        self.packets as f64 / self.count.max(1) as f64
    }
}

/// Times of the first and last packet in the order of the source, and the smallest and largest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) first_pts: Timestamp,
    pub(crate) last_pts: Timestamp,
    pub(crate) min_pts: Timestamp,
    pub(crate) max_pts: Timestamp,
    pub(crate) first_dts: Timestamp,
    pub(crate) last_dts: Timestamp,
    /// Of the last packet, zero where the container has none.
    last_duration: Duration,
    /// Sum of all steps from one decoding time to the next but those that go back: what was played, also where the
    /// clock starts anew.
    covered: Duration,
    /// How many steps that were.
    steps: u64,
}

/// Bytes in the second that runs, and in the fullest one.
#[derive(Debug, Default)]
struct Peak {
    since: Option<Timestamp>,
    bytes: u64,
    most: u64,
}

impl Peak {
    fn add(&mut self, at: Timestamp, bytes: u64) {
        let since = *self.since.get_or_insert(at);
        if at < since || at - since >= PEAK_WINDOW {
            self.most = self.most.max(self.bytes);
            (self.since, self.bytes) = (Some(at), 0);
        }
        self.bytes += bytes;
    }
}

/// The clock that the lengths of sound frames make, beside the stamps.
#[derive(Debug, Default)]
struct Sound {
    /// When the next frame is due by the frames before it.
    next: Option<Timestamp>,
}

/// One track.
#[derive(Debug)]
pub(crate) struct Track {
    /// Its last description.
    pub(crate) info: Arc<TrackInfo>,
    /// How often its description changed.
    pub(crate) changes: u64,
    pub(crate) packets: u64,
    pub(crate) keyframes: u64,
    pub(crate) bytes: u64,
    /// None without packets.
    pub(crate) times: Option<Times>,
    /// None without two keyframes.
    pub(crate) gops: Option<Gops>,
    /// Pictures are shown in another order than decoded.
    pub(crate) reordered: bool,
    /// Longest time that its packets come in the source behind others that are played with them.
    pub(crate) behind: Duration,
    /// Closed captions that were found in the pictures.
    pub(crate) captions: Captions,
    /// The last keyframe's time, and the packets counted before it.
    key: Option<(Timestamp, u64)>,
    peak: Peak,
    sound: Sound,
    /// What the description says was held against the first packet.
    description_checked: bool,
    lengths_reported: bool,
    /// Frames of sound in a row that are stored as much shorter or longer than they are.
    misfits: u32,
    /// The source says that the clock starts anew with the next packet.
    restarted: bool,
}

impl Track {
    /// Without packets.
    pub(crate) fn new(info: Arc<TrackInfo>) -> Self {
        Self {
            info,
            changes: 0,
            packets: 0,
            keyframes: 0,
            bytes: 0,
            times: None,
            gops: None,
            reordered: false,
            behind: Duration::ZERO,
            captions: Captions::default(),
            key: None,
            peak: Peak::default(),
            sound: Sound::default(),
            description_checked: false,
            lengths_reported: false,
            misfits: 0,
            restarted: false,
        }
    }

    /// Another description holds from here on.
    pub(crate) fn describe(&mut self, info: Arc<TrackInfo>) {
        self.info = info;
        self.description_checked = false;
        self.misfits = 0;
        self.sound.next = None;
    }

    /// What comes next doesn't go on from what was there, as its source says.
    pub(crate) fn restart(&mut self) {
        self.restarted = true;
        self.sound.next = None;
        self.key = None;
    }

    /// Sample aspect ratio: the container's, else the codec's; `None` where pixels are square or nothing is said.
    pub(crate) fn sar(&self) -> Option<(u32, u32)> {
        let own = || match self.info.codec {
            Codec::H264 => {
                let sps = h264::Avcc::parse(&self.info.init).ok()?;
                h264::Sps::parse(sps.sps.first()?).ok().map(|s| s.sar)
            }
            Codec::Hevc => {
                let sets = hevc::Hvcc::parse(&self.info.init).ok()?;
                hevc::Sps::parse(sets.of(hevc::nal::SPS).next()?).ok().map(|s| s.sar)
            }
            _ => None,
        };
        let (w, h) = match self.info.visual.sar {
            (0, _) | (_, 0) => own().map(|(w, h)| (u32::from(w), u32::from(h)))?,
            sar => sar,
        };
        (w != h && w > 0 && h > 0).then_some((w, h))
    }

    pub(crate) fn kind(&self) -> Kind {
        self.info.codec.kind()
    }

    /// Average distance of packets by decoding time; zero where unknown.
    fn distance(&self) -> Duration {
        let Some(t) = self.times else { return Duration::ZERO };
        Duration::from_ticks(t.covered.ticks() / i64::try_from(t.steps.max(1)).unwrap_or(i64::MAX))
    }

    /// How long the last packet is shown, as far as that is known.
    fn last_duration(&self) -> Duration {
        self.times.map(|t| t.last_duration).filter(|d| *d > Duration::ZERO).unwrap_or_else(|| self.distance())
    }

    /// When the first packet is shown, and when the last one ends.
    pub(crate) fn span(&self) -> Option<(Timestamp, Timestamp)> {
        let t = self.times?;
        Some((t.min_pts, t.max_pts + self.last_duration()))
    }

    /// What was played, without holes of a clock that starts anew.
    pub(crate) fn covered(&self) -> Duration {
        self.times.map_or(Duration::ZERO, |t| t.covered)
    }

    /// Bits a second on average.
    pub(crate) fn bit_rate(&self) -> Option<f64> {
        let seconds = (self.covered() + self.last_duration()).as_secs_f64();
        (seconds > 0.0).then(|| self.bytes as f64 * 8.0 / seconds)
    }

    /// Bits in the fullest second; the average where there is not even one.
    pub(crate) fn peak_bit_rate(&self) -> Option<f64> {
        if self.peak.most == 0 {
            return self.bit_rate();
        }
        Some(self.peak.most.max(self.peak.bytes) as f64 * 8.0 / PEAK_WINDOW.as_secs_f64())
    }

    /// Packets a second as measured.
    pub(crate) fn packet_rate(&self) -> Option<f64> {
        let seconds = self.distance().as_secs_f64();
        (seconds > 0.0).then(|| 1.0 / seconds)
    }

    /// Counts a packet and says what is wrong with it. `start`: the source was read from its start.
    pub(crate) fn packet(
        &mut self,
        p: &Packet,
        offset: Option<u64>,
        start: bool,
        mut problem: impl FnMut(Problem),
    ) {
        let mut say =
            |sort, what: &str| problem(Problem::new(sort, what).at(offset).on(p.track, Some(p.dts)));
        let kind = self.kind();
        if std::mem::take(&mut self.restarted) {
            // Nothing is expected of the first packet.
        } else if let Some(t) = self.times {
            let step = p.dts - t.last_dts;
            if step < Duration::ZERO {
                let back = -step.as_secs_f64();
                let back =
                    if back < 0.01 { format!("{:.2} ms", back * 1000.0) } else { format!("{back:.3} s") };
                say(Sort::TimeBack, &format!("decoding times go back by {back}"));
                self.sound.next = None;
            } else if matches!(kind, Kind::Video | Kind::Audio) {
                let hole = step - t.last_duration;
                let usual = self.distance().ticks().saturating_mul(GAP_DISTANCES);
                if hole > MIN_GAP && self.packets > 1 && step.ticks() > usual {
                    say(Sort::Gap, &format!("nothing for {:.3} s", step.as_secs_f64()));
                    self.sound.next = None;
                }
            }
        } else if start && kind == Kind::Video && !p.key {
            say(Sort::NoKeyframeAtStart, "the first picture is no keyframe");
        }
        if p.cts < Duration::ZERO {
            let late = -p.cts.as_secs_f64();
            say(Sort::PtsBeforeDts, &format!("a picture is due {late:.3} s before its decoding time"));
        }
        // Theora repeats a picture so.
        let repeats = self.info.codec == Codec::Theora;
        if p.data.is_empty() && matches!(kind, Kind::Video | Kind::Audio) && !repeats {
            say(Sort::EmptyPacket, "a packet without bytes");
        }
        match kind {
            Kind::Video => self.picture(p, &mut say),
            Kind::Audio => {
                if !std::mem::replace(&mut self.description_checked, true) {
                    self.first_frame(p, start && self.times.is_none(), &mut say);
                }
                self.frame(p, &mut say);
            }
            _ => {}
        }
        if let Some(len) = self.count(p).filter(|len| kind == Kind::Video && *len > LONG_GOP) {
            say(Sort::LongGop, &format!("{:.1} s from one keyframe to the next", len.as_secs_f64()));
        }
    }

    /// What a picture says of itself beside what the container says of it.
    fn picture(&mut self, p: &Packet, say: &mut impl FnMut(Sort, &str)) {
        let with_units = matches!(self.info.codec, Codec::H264 | Codec::Hevc);
        if with_units && nal::check_lengths(&p.data, 4).is_err() {
            if !std::mem::replace(&mut self.lengths_reported, true) {
                say(Sort::UnitLengths, "lengths of NAL units don't fill the packet");
            }
            return;
        }
        if with_units && !std::mem::replace(&mut self.description_checked, true) {
            if !has_sets(self.info.codec, &self.info.init, &p.data) {
                say(Sort::NoParameterSets, "neither the description nor the first picture has SPS and PPS");
            } else if let Some(Params::Video { width, height, .. }) =
                codec::params(self.info.codec, &self.info.init)
                && let (w, h) = self.info.size()
                && w > 0
                && width > 0
                && (w, h) != (width, height)
            {
                say(Sort::SizeMismatch, &format!("the container says {w}x{h}, the SPS {width}x{height}"));
            }
        }
        if p.data.is_empty() {
            return;
        }
        // Once both are known there is nothing left to find, and captions that begin late are found at a keyframe.
        let both = self.captions.cea608 && self.captions.cea708;
        if !both && (p.key || self.packets < CAPTION_PICTURES) {
            self.captions = self.captions.or(codec::captions(self.info.codec, &p.data));
        }
        match self.info.codec {
            Codec::H264 => {
                let idr = h264::is_idr(&p.data);
                if p.key && !idr && h264::recovery_point(&p.data).is_none() && !h264::is_intra(&p.data) {
                    say(Sort::FalseKeyframe, "marked as keyframe, but its slices are predicted");
                } else if idr && !p.key {
                    say(Sort::HiddenKeyframe, "an IDR picture that is not marked as keyframe");
                }
            }
            Codec::Hevc | Codec::Av1 | Codec::Vp8 | Codec::Vp9 => {
                match codec::is_key(self.info.codec, &p.data) {
                    Some(false) if p.key => say(Sort::FalseKeyframe, "marked as keyframe, but it is none"),
                    Some(true) if !p.key => {
                        say(Sort::HiddenKeyframe, "a keyframe that is not marked as one");
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }

    /// What the first frame of sound says beside its description. `start`: nothing was before it.
    fn first_frame(&self, p: &Packet, start: bool, say: &mut impl FnMut(Sort, &str)) {
        let i = &self.info;
        if i.codec == Codec::Mp3
            && start
            && let Some(n) = mpa::Header::parse(&p.data).ok().and_then(|h| h.reservoir(&p.data))
            && n > 0
        {
            say(Sort::BitReservoir, &format!("the first frame needs {n} bytes of frames before it"));
        }
        if i.codec == Codec::Speex
            && let Ok(h) = speex::Header::parse(&i.init)
            && let declared = speex::Header::declared_frame(&i.init)
            && declared != h.frame
        {
            let what = format!("the header states frames of {declared} samples, its mode has {}", h.frame);
            say(Sort::Malformed, &what);
        }
        let own = codec::params(i.codec, &i.init).or_else(|| codec::params_from_payload(i.codec, &p.data));
        if let Some(Params::Audio { rate, channels, .. }) = own {
            // Opus always decodes to 48 kHz. Spectral band replication doubles the rate, parametric stereo the channels.
            let aac = i.codec == Codec::Aac;
            let fits = |a: u32, b: u32| {
                a == 0
                    || b == 0
                    || a == b
                    || aac && (b.checked_mul(2) == Some(a) || a.checked_mul(2) == Some(b))
            };
            if i.codec != Codec::Opus && !fits(i.rate(), rate) {
                say(Sort::SizeMismatch, &format!("the container says {} Hz, the codec {rate} Hz", i.rate()));
            } else if !fits(i.channels().into(), channels.into()) {
                let what = format!("the container says {} channels, the codec {channels}", i.channels());
                say(Sort::SizeMismatch, &what);
            }
        }
    }

    /// How long a frame of sound is beside what the stamps say.
    fn frame(&mut self, p: &Packet, say: &mut impl FnMut(Sort, &str)) {
        // Nellymoser's and Speex's frames in FLV are stamped as they were spoken.
        let spoken = matches!(self.info.codec, Codec::Nellymoser | Codec::Speex);
        let Some(length) = codec::packet_duration(&self.info, &p.data).filter(|_| !spoken) else {
            self.sound.next = None;
            return;
        };
        let (stored, real) = (p.duration.ticks(), length.ticks());
        let fits = stored <= 0 || stored < real.saturating_mul(4) && real < stored.saturating_mul(4);
        // The last frame may be cut, and one alone is the last. Once is enough.
        if self.misfits < 2 {
            self.misfits = if fits { 0 } else { self.misfits + 1 };
        }
        if !fits && self.misfits == 2 {
            self.misfits += 1;
            let (ms, real) = (p.duration.as_secs_f64() * 1000.0, length.as_secs_f64() * 1000.0);
            say(Sort::WrongDuration, &format!("frames of {real:.3} ms are stored as {ms:.3} ms"));
        }
        if let Some(next) = self.sound.next {
            let slip = p.dts - next;
            if slip.abs() > MAX_SLIP {
                let (ms, way) =
                    (slip.abs().as_millis(), if slip > Duration::ZERO { "after" } else { "before" });
                say(
                    Sort::WrongDuration,
                    &format!("this frame is stamped {ms} ms {way} where the frames before it end"),
                );
                self.sound.next = Some(p.dts + length);
                return;
            }
            // Stamps of one millisecond round: the sum doesn't.
            self.sound.next = Some(next + length);
        } else {
            self.sound.next = Some(p.dts + length);
        }
    }

    /// Counts a packet. Returns the length of the GOP that it ends.
    fn count(&mut self, p: &Packet) -> Option<Duration> {
        let mut ended = None;
        if p.key {
            self.keyframes += 1;
            let before = self.key.replace((p.dts, self.packets));
            // What lies around a clock that starts anew is no GOP.
            if let Some((time, packets)) = before.filter(|(time, _)| p.dts >= *time) {
                let len = p.dts - time;
                ended = Some(len);
                let g = self.gops.get_or_insert(Gops {
                    count: 0,
                    min: len,
                    total: Duration::ZERO,
                    max: len,
                    packets: 0,
                });
                g.count += 1;
                g.min = g.min.min(len);
                g.max = g.max.max(len);
                g.total += len;
                g.packets += self.packets - packets;
            }
        }
        self.packets += 1;
        self.bytes += p.data.len() as u64;
        self.peak.add(p.dts, p.data.len() as u64);
        let pts = p.pts();
        let t = self.times.get_or_insert(Times {
            first_pts: pts,
            last_pts: pts,
            min_pts: pts,
            max_pts: pts,
            first_dts: p.dts,
            last_dts: p.dts,
            last_duration: p.duration,
            covered: Duration::ZERO,
            steps: 0,
        });
        if p.dts >= t.last_dts && self.packets > 1 {
            t.covered += p.dts - t.last_dts;
            t.steps += 1;
        }
        self.reordered |= pts < t.last_pts && self.info.codec.kind() == Kind::Video && p.dts >= t.last_dts;
        t.last_pts = pts;
        t.min_pts = t.min_pts.min(pts);
        t.max_pts = t.max_pts.max(pts);
        t.last_dts = p.dts;
        t.last_duration = p.duration;
        ended
    }
}

/// Whether a decoder finds SPS and PPS in the description or in the first packet.
fn has_sets(codec: Codec, init: &bytes::Bytes, data: &[u8]) -> bool {
    match codec {
        Codec::H264 => {
            let of = |kind| nal::units(data).any(|n| h264::nal::kind(n) == kind);
            h264::Avcc::parse(init).is_ok_and(|c| !c.sps.is_empty() && !c.pps.is_empty())
                || of(h264::nal::SPS) && of(h264::nal::PPS)
        }
        _ => {
            let of = |kind| nal::units(data).any(|n| hevc::nal::kind(n) == kind);
            hevc::Hvcc::parse(init)
                .is_ok_and(|c| c.of(hevc::nal::SPS).next().is_some() && c.of(hevc::nal::PPS).next().is_some())
                || of(hevc::nal::SPS) && of(hevc::nal::PPS)
        }
    }
}
