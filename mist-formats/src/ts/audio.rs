//! Frames out of the bytes of an audio stream: each with its own time, whatever the PES packets are.

use super::pes::Assembler;
use super::stream::Coding;
use super::{Sink, limits};
use bytes::Bytes;
use mist_core::codec::aac::Adts;
use mist_core::codec::latm::{self, Latm};
use mist_core::codec::opus::{self, OpusHead, TsControl};
use mist_core::codec::{Codec, ac3, mpa};
use mist_core::format::ErrorKind;
use mist_core::media::{Packet, Params, TrackId};
use mist_core::time::{Duration, Timestamp};

/// Cuts a stream into frames.
#[derive(Debug)]
pub(super) struct Audio {
    coding: Coding,
    /// The next byte is where a frame ought to start.
    synced: bool,
    next: Option<Timestamp>,
    described: Described,
    latm: Latm,
}

/// What the announced description was made from.
#[derive(Debug, PartialEq)]
enum Described {
    None,
    Adts(Adts),
    Latm(Bytes),
    Other(Codec, Params),
}

/// What lies at the start of some bytes.
enum Found {
    /// A frame of so many bytes, whose payload begins behind a header.
    Frame { header: usize, len: usize, duration: Duration },
    /// A frame that isn't all there.
    Part,
    /// No frame.
    Nothing,
}

impl Audio {
    pub(super) const fn new(coding: Coding) -> Self {
        Self { coding, synced: false, next: None, described: Described::None, latm: Latm::new() }
    }

    /// Hands out the frames that are complete.
    pub(super) fn run(&mut self, es: &mut Assembler, out: &mut impl Sink) {
        let mut at = 0;
        // one copy for all frames, which then share it
        let data = Bytes::copy_from_slice(&es.data);
        while at < data.len() {
            let rest = data.slice(at..);
            if !self.synced {
                let skip = self.find(&rest);
                if skip > 0 {
                    out.problem("PES", ErrorKind::Sync("audio sync"));
                    at += skip;
                    self.next = None;
                    self.synced = true;
                    continue;
                }
            }
            match self.look(&rest) {
                Found::Frame { header, len, duration } => {
                    self.synced = true;
                    if let Some((pts, _)) = es.time_at(at) {
                        self.next = Some(Timestamp::from_rate(pts, 90_000));
                    }
                    out.begin(es.origin());
                    let dts = self.next.unwrap_or_else(|| out.any_time());
                    let lasted = self.frame(&rest.slice(header..len), &rest, dts, duration, out);
                    self.next = Some(dts + lasted);
                    at += len;
                }
                Found::Part if rest.len() <= limits::MAX_AUDIO_FRAME => break,
                Found::Part | Found::Nothing => {
                    if self.synced {
                        self.synced = false;
                    } else {
                        at += 1;
                    }
                }
            }
        }
        es.consume(at);
    }

    /// Bytes were lost behind those that are there.
    pub(super) fn cut(&mut self, es: &mut Assembler, out: &mut impl Sink) {
        self.run(es, out);
        self.reset(es);
    }

    /// Drops everything that is open.
    pub(super) fn reset(&mut self, es: &mut Assembler) {
        es.clear();
        self.synced = false;
        self.next = None;
    }

    /// Where the first frame starts; the length of the bytes when there is none.
    fn find(&self, b: &[u8]) -> usize {
        let found = match self.coding {
            Coding::Adts => Adts::find(b),
            Coding::Mpa => mpa::Header::find(b),
            Coding::Ac3 => ac3::Header::find(b),
            Coding::Latm => memchr::memchr(0x56, b)
                .filter(|&i| b.get(i..).is_some_and(|b| b.len() < 3 || latm::loas_frame_len(b).is_ok())),
            _ => Some(0),
        };
        // a header may begin in the last bytes
        found.unwrap_or_else(|| b.len().saturating_sub(limits::AUDIO_HEADER).max(1))
    }

    fn look(&mut self, b: &[u8]) -> Found {
        let parsed = match self.coding {
            Coding::Adts if b.len() < Adts::MIN => return Found::Part,
            Coding::Adts => Adts::parse(b).ok().map(|h| (h.header_len, h.frame_len, h.samples(), h.rate)),
            Coding::Mpa if b.len() < mpa::Header::MIN => return Found::Part,
            Coding::Mpa => mpa::Header::parse(b).ok().map(|h| (0, h.frame_len, h.samples, h.rate)),
            Coding::Ac3 if b.len() < ac3::Header::MIN => return Found::Part,
            Coding::Ac3 => ac3::Header::parse(b).ok().map(|h| (0, h.frame_len, h.samples(), h.rate)),
            Coding::Latm if b.len() < 3 => return Found::Part,
            Coding::Latm => latm::loas_frame_len(b).ok().map(|len| (0, len, 0, 1)),
            _ if b.len() < 3 => return Found::Part,
            _ => TsControl::parse(b).ok().map(|h| (h.len, h.len + h.size, 0, 1)),
        };
        match parsed {
            Some((header, len, samples, rate)) if len > 0 && len <= b.len() => {
                Found::Frame { header, len, duration: Duration::from_rate(samples.into(), rate) }
            }
            Some((_, len, ..)) if len > 0 => Found::Part,
            _ => Found::Nothing,
        }
    }

    /// Hands out a frame and says how long it lasts.
    fn frame(
        &mut self,
        payload: &Bytes,
        whole: &Bytes,
        dts: Timestamp,
        duration: Duration,
        out: &mut impl Sink,
    ) -> Duration {
        let send = |data: Bytes, dts: Timestamp, out: &mut dyn FnMut(Packet)| {
            out(Packet {
                track: TrackId(0),
                dts,
                cts: Duration::ZERO,
                duration: Duration::ZERO,
                key: true,
                data,
            });
        };
        match self.coding {
            Coding::Adts => {
                let Ok(h) = Adts::parse(whole) else { return duration };
                if h.blocks > 1 {
                    out.problem("PES", ErrorKind::Unsupported("several blocks in an ADTS frame"));
                    return duration;
                }
                if !matches!(&self.described, Described::Adts(d) if d.like(&h)) {
                    let asc = h.asc(payload);
                    match asc.build() {
                        Ok(init) => out.describe(Codec::Aac, init, asc.params()),
                        Err(e) => {
                            out.problem("PES", e.into());
                            return duration;
                        }
                    }
                    self.described = Described::Adts(h);
                }
                send(payload.clone(), dts, &mut |p| out.packet(p));
                duration
            }
            Coding::Latm => {
                let frames = match self.latm.loas(payload) {
                    Ok(f) => f,
                    Err(e) => {
                        out.problem("PES", e.into());
                        return duration;
                    }
                };
                let (Some(asc), Some(init)) = (self.latm.asc(), self.latm.init()) else { return duration };
                if !matches!(&self.described, Described::Latm(d) if d == init) {
                    out.describe(Codec::Aac, init.clone(), asc.params());
                    self.described = Described::Latm(init.clone());
                }
                let each = asc.frame_duration();
                let mut at = dts;
                for f in frames {
                    send(f, at, &mut |p| out.packet(p));
                    at += each;
                }
                at - dts
            }
            Coding::Opus(channels) => {
                if self.described == Described::None {
                    match OpusHead::new(channels, 0) {
                        Ok(h) => out.describe(Codec::Opus, h.build(), h.params()),
                        Err(e) => {
                            out.problem("PMT", e.into());
                            return Duration::ZERO;
                        }
                    }
                    self.described = Described::Other(Codec::Opus, Params::Other);
                }
                let lasts = opus::packet_duration(payload).unwrap_or_default();
                send(payload.clone(), dts, &mut |p| out.packet(p));
                lasts
            }
            _ => {
                let like = match self.coding {
                    Coding::Mpa => mpa::Header::parse(whole)
                        .ok()
                        .map(|h| (if h.layer == 3 { Codec::Mp3 } else { Codec::Mp2 }, h.params())),
                    // substreams beside the first one don't change the description
                    _ => ac3::Header::parse(whole)
                        .ok()
                        .filter(|h| h.samples() > 0)
                        .map(|h| (if h.enhanced { Codec::Eac3 } else { Codec::Ac3 }, h.params())),
                };
                if let Some((codec, params)) = like
                    && self.described != Described::Other(codec, params)
                {
                    out.describe(codec, Bytes::new(), params);
                    self.described = Described::Other(codec, params);
                }
                if self.described != Described::None {
                    send(payload.clone(), dts, &mut |p| out.packet(p));
                }
                duration
            }
        }
    }
}
