//! One track: from packets to media.

use super::frames::{Frames, Framing};
use super::mpeg4::{LatmElements, Mpeg4};
use super::order::{Order, Ordered};
use super::packet::Packet;
use super::rtcp::SenderReport;
use super::timeline::{Clock, Timeline};
use super::vpx::{self, Vpx};
use super::whole::Whole;
use super::{Depacketize, Format, Out, Payload, Piece, RtpError};
use bytes::Bytes;
use mist_core::codec::aac::Asc;
use mist_core::codec::h264::{self, Avcc};
use mist_core::codec::hevc::{self, Hvcc};
use mist_core::codec::latm::Latm;
use mist_core::codec::opus::OpusHead;
use mist_core::codec::{self, Codec, CodecError, mpa, nal};
use mist_core::media::{self, Media, Params, TrackId, TrackInfo};
use mist_core::reorder::{Depth, Frame, Reorder};
use mist_core::time::{Duration, Timestamp};
use std::collections::VecDeque;
use std::sync::Arc;

/// What a [`Receiver`] says.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Received {
    /// A description or packet of the track.
    Media {
        /// That.
        media: Media,
        /// Where the RTP packet with a frame's first byte lies in its source, as it was given.
        offset: u64,
    },
    /// Packets didn't come.
    Lost {
        /// How many.
        packets: u16,
        /// Time of the packet behind the hole.
        at: Timestamp,
        /// Where that lies in its source, as it was given.
        offset: u64,
    },
    /// A packet that can't be read was passed over.
    Problem(RtpError),
}

/// Reads the packets of one track. After each `push` or `end`, [`Self::poll`] until it gives nothing.
#[derive(Debug)]
pub struct Receiver {
    id: TrackId,
    format: Format,
    order: Order,
    clock: Clock,
    depacketizer: Box<dyn Depacketize>,
    reorder: Reorder,
    ssrc: Option<u32>,
    /// Packets that are missing before the next one of the track, and whether the sender counts anew from there.
    lost: u16,
    restarted: bool,
    /// Timestamps without wrap of the latest frame and the one before, and where they begin in the source.
    begun: [(i64, u64); 2],
    /// For use again.
    ready: Vec<Ordered>,
    taken: Out,
    track: Option<Arc<TrackInfo>>,
    /// It was said that media came before its description, or with another payload type.
    undescribed: bool,
    mismatched: bool,
    out: VecDeque<Received>,
}

impl Receiver {
    /// For a track in `format`; up to `window` packets wait for one that is missing.
    ///
    /// # Errors
    /// The configuration of LATM can't be read.
    pub fn new(id: TrackId, format: Format, window: usize) -> Result<Self, CodecError> {
        let mut r = Self {
            id,
            order: Order::new(window),
            clock: Clock::new(format.clock),
            depacketizer: depacketizer(&format)?,
            reorder: Reorder::new(Depth::Never, Duration::ZERO),
            ssrc: None,
            lost: 0,
            restarted: false,
            begun: [(i64::MIN, 0); 2],
            ready: Vec::new(),
            taken: Out::default(),
            track: None,
            undescribed: false,
            mismatched: false,
            out: VecDeque::new(),
            format,
        };
        r.describe_first();
        Ok(r)
    }

    /// RTP-Info of RTSP tells the timestamp of the beginning.
    pub fn starts_at(&mut self, timestamp: u32) {
        self.clock.starts_at(timestamp);
    }

    /// A sender report about this track.
    pub fn report(&mut self, report: SenderReport, line: &mut Timeline) {
        if self.ssrc.is_none_or(|s| s == report.ssrc) {
            self.clock.report(report, line);
        }
    }

    /// A packet. `offset` is where it lies in its source, for those who are told of trouble.
    pub fn push(&mut self, data: &Bytes, offset: u64, line: &mut Timeline) {
        match Packet::parse(data) {
            // Another sender beside this one counts for itself.
            Ok(p) if p.payload_type != self.format.payload_type && self.ssrc != Some(p.ssrc) => {
                self.foreign(offset, p.sequence);
            }
            Ok(p) => {
                let mut ready = std::mem::take(&mut self.ready);
                self.order.push(p, offset, &mut |o| ready.push(o));
                self.all_ordered(ready, line);
            }
            Err(error) => self.problem(offset, None, error),
        }
    }

    /// Nothing follows.
    pub fn end(&mut self, line: &mut Timeline) {
        let mut ready = std::mem::take(&mut self.ready);
        self.order.flush(&mut |o| ready.push(o));
        self.all_ordered(ready, line);
        let [(time, offset), _] = self.begun;
        self.say_lost(time, offset);
        self.finish(offset);
        self.flush();
    }

    /// What it says next.
    pub fn poll(&mut self) -> Option<Received> {
        self.out.pop_front()
    }

    fn problem(&mut self, offset: u64, sequence: Option<u16>, error: CodecError) {
        self.out.push_back(Received::Problem(RtpError { offset, sequence, error }));
    }

    fn all_ordered(&mut self, mut ready: Vec<Ordered>, line: &mut Timeline) {
        for o in ready.drain(..) {
            self.ordered(o, line);
        }
        self.ready = ready;
    }

    fn ordered(&mut self, o: Ordered, line: &mut Timeline) {
        let p = o.packet;
        self.lost = self.lost.saturating_add(o.lost);
        self.restarted |= o.restarted;
        if p.payload_type != self.format.payload_type {
            return self.foreign(o.offset, p.sequence);
        }
        let restarted = std::mem::take(&mut self.restarted);
        let lost = self.lost > 0;
        let another = self.ssrc.replace(p.ssrc).is_some_and(|s| s != p.ssrc);
        if another || restarted {
            self.finish(o.offset);
        }
        if another {
            self.clock.restart();
        } else if restarted {
            self.problem(o.offset, Some(p.sequence), CodecError::malformed("sequence number jumps"));
        }
        let time = self.clock.unwrap(p.timestamp, line);
        self.say_lost(time, o.offset);
        let [latest, _] = self.begun;
        if latest.0 != time {
            self.begun = [(time, o.offset), latest];
        }
        let mut out = std::mem::take(&mut self.taken);
        let lost = lost || another || restarted;
        let done =
            self.depacketizer.push(Piece { payload: &p.payload, marker: p.marker, time, lost }, &mut out);
        self.give(out, o.offset, Some(p.sequence));
        if let Err(e) = done {
            self.problem(o.offset, Some(p.sequence), e);
        }
    }

    /// Comfort noise and telephone events come between, and are none of our business.
    fn foreign(&mut self, offset: u64, sequence: u16) {
        if !std::mem::replace(&mut self.mismatched, true) {
            let error = CodecError::unsupported("payload type that the description hasn't");
            self.problem(offset, Some(sequence), error);
        }
    }

    /// Tells of the hole before a packet.
    fn say_lost(&mut self, time: i64, offset: u64) {
        let packets = std::mem::take(&mut self.lost);
        if packets > 0 {
            self.out.push_back(Received::Lost { packets, at: self.clock.time(time), offset });
        }
    }

    /// What the depacketizer holds ends here.
    fn finish(&mut self, offset: u64) {
        let mut out = std::mem::take(&mut self.taken);
        self.depacketizer.end(&mut out);
        self.give(out, offset, None);
    }

    /// Hands on frames as packets of a described track.
    fn give(&mut self, mut out: Out, offset: u64, sequence: Option<u16>) {
        if let Some(init) = out.init.take() {
            self.format.init = init;
        }
        for (time, data) in out.frames.drain(..) {
            let offset = self.begun.iter().find(|b| b.0 == time).map_or(offset, |b| b.1);
            let pts = self.clock.time(time);
            match self.describe(&data) {
                Some(info) if self.track.as_deref() != Some(&info) => self.announce(info, offset),
                None if self.track.is_none() => {
                    if !std::mem::replace(&mut self.undescribed, true) {
                        self.problem(
                            offset,
                            sequence,
                            CodecError::missing("media before its parameter sets"),
                        );
                    }
                    continue;
                }
                _ => {}
            }
            let Some(track) = &self.track else { continue };
            let codec = track.codec;
            let key = match codec {
                Codec::H264 => h264::is_idr(&data) || h264::recovery_point(&data).is_some(),
                _ => codec::is_key(codec, &data).unwrap_or(true),
            };
            let (id, queue) = (self.id, &mut self.out);
            let frame = Frame { pts, duration: Duration::ZERO, key, data, offset };
            self.reorder.push(frame, &mut |f, dts| queue.push_back(packet(id, f, dts)));
        }
        self.taken = out;
    }

    fn flush(&mut self) {
        let (id, queue) = (self.id, &mut self.out);
        self.reorder.flush(&mut |f, dts| queue.push_back(packet(id, f, dts)));
    }

    fn announce(&mut self, info: TrackInfo, offset: u64) {
        self.flush();
        let info = Arc::new(info);
        let fpks = match info.params {
            Params::Video { fpks, .. } => fpks,
            _ => 0,
        };
        let nominal = if fpks > 0 { Duration::from_rate(1000, fpks) } else { Duration::ZERO };
        if self.track.as_ref().is_none_or(|t| Depth::of(t) != Depth::of(&info)) {
            self.reorder = Reorder::new(Depth::of(&info), nominal);
        }
        self.track = Some(info.clone());
        self.out.push_back(Received::Media { media: Media::Track(info), offset });
    }

    /// Describes the track right away where the session description tells all.
    fn describe_first(&mut self) {
        let known = match self.format.codec {
            Codec::H264 | Codec::Hevc | Codec::Aac | Codec::Opus => !self.format.init.is_empty(),
            Codec::Alaw | Codec::Ulaw | Codec::Pcm => true,
            _ => false,
        };
        if known {
            let info = self.info(self.format.codec, None);
            self.announce(info, 0);
        }
    }

    /// The track as it is from a frame on; `None` where that can't be said yet.
    fn describe(&mut self, data: &Bytes) -> Option<TrackInfo> {
        let mut codec = self.format.codec;
        match codec {
            Codec::H264 | Codec::Hevc => {
                if let Some(init) = sets(codec, &self.format.init, data) {
                    self.format.init = init;
                } else if self.track.is_some() {
                    return None;
                }
            }
            Codec::Vp9 if self.track.is_none() || codec::is_key(codec, data) == Some(true) => {
                self.format.init = codec::init_from_payload(codec, data)?;
            }
            Codec::Vp8 if codec::is_key(codec, data) == Some(true) => {}
            Codec::Vp8 | Codec::Vp9 => return None,
            Codec::Opus | Codec::Alaw | Codec::Ulaw | Codec::Pcm if self.track.is_some() => return None,
            Codec::Aac if self.track.as_ref().is_some_and(|t| t.init == self.format.init) => return None,
            Codec::Mp3 if mpa::Header::parse(data).is_ok_and(|h| h.layer != 3) => codec = Codec::Mp2,
            Codec::Opus if self.format.init.is_empty() => {
                // The first packet says whether it is stereo (RFC 6716 §3.1).
                let channels = if data.first()? & 4 != 0 { 2 } else { 1 };
                self.format.init = OpusHead::new(channels, 0).ok()?.build();
            }
            _ => {}
        }
        if matches!(codec, Codec::H264 | Codec::Hevc | Codec::Aac) && self.format.init.is_empty() {
            return None;
        }
        Some(self.info(codec, Some(data)))
    }

    fn info(&self, codec: Codec, data: Option<&[u8]>) -> TrackInfo {
        let init = &self.format.init;
        let told = codec::params(codec, init).or_else(|| codec::params_from_payload(codec, data?));
        let params = match (told, self.format.params) {
            (Some(Params::Video { width, height, fpks: 0 }), Params::Video { fpks, .. }) => {
                Params::Video { width, height, fpks }
            }
            // Elsewhere the description knows nothing better.
            (Some(p), _) | (None, p) => p,
        };
        TrackInfo::new(self.id, codec, init.clone(), params)
    }
}

fn packet(track: TrackId, f: Frame, dts: Timestamp) -> Received {
    let (cts, duration, key, data) = (f.pts - dts, f.duration, f.key, f.data);
    let media = Media::Packet(media::Packet { track, dts, cts, duration, key, data });
    Received::Media { media, offset: f.offset }
}

fn depacketizer(f: &Format) -> Result<Box<dyn Depacketize>, CodecError> {
    Ok(match f.payload {
        Payload::H264 => Box::new(super::h264::depacketizer()),
        Payload::Hevc => Box::new(super::hevc::depacketizer()),
        Payload::Mpeg4(headers) => {
            let duration = Asc::parse(&f.init).map_or(1024, |a| a.frame_duration().to_rate(f.clock));
            Box::new(Mpeg4::new(headers, duration))
        }
        Payload::Latm { in_band } => {
            let latm = f.latm.as_ref().map(|c| Latm::configured(c)).transpose()?.unwrap_or_default();
            Box::new(LatmElements::new(latm, in_band, f.clock))
        }
        Payload::MpegAudio => Box::new(Frames::new(Framing::Mpeg, f.clock)),
        Payload::Ac3 => Box::new(Frames::new(Framing::Ac3, f.clock)),
        Payload::Eac3 => Box::new(Frames::new(Framing::Eac3, f.clock)),
        Payload::Whole => Box::new(Whole),
        Payload::Vp8 => Box::new(Vpx::new(vpx::Coding::Vp8)),
        Payload::Vp9 => Box::new(Vpx::new(vpx::Coding::Vp9)),
    })
}

/// Initialisation data with the parameter sets of an access unit, if those change it: they alone, or, where kinds are missing, with
/// the ones before.
fn sets(codec: Codec, init: &Bytes, au: &[u8]) -> Option<Bytes> {
    let is_set = |n: &&[u8]| match codec {
        Codec::H264 => matches!(h264::nal::kind(n), h264::nal::SPS | h264::nal::PPS | h264::nal::SPS_EXT),
        _ => (hevc::nal::VPS..=hevc::nal::PPS).contains(&hevc::nal::kind(n)) && hevc::nal::layer(n) == 0,
    };
    let mut new = nal::units(au).filter(is_set).peekable();
    new.peek()?;
    let (avcc, hvcc) = match codec {
        Codec::H264 => (Avcc::parse(init).ok(), None),
        _ => (None, Hvcc::parse(init).ok()),
    };
    let old: Vec<&Bytes> = avcc.iter().flat_map(Avcc::nals).chain(hvcc.iter().flat_map(Hvcc::nals)).collect();
    let new: Vec<&[u8]> = new.collect();
    if new.iter().all(|n| old.iter().any(|o| o == n)) {
        return None;
    }
    let both = || old.iter().map(|o| &o[..]).chain(new.iter().copied());
    match codec {
        Codec::H264 => {
            let alone = Avcc::from_nals(new.iter().copied());
            alone.or_else(|_| Avcc::from_nals(both())).ok().map(|r| r.build())
        }
        _ => {
            let alone = Hvcc::from_nals(new.iter().copied());
            alone.or_else(|_| Hvcc::from_nals(both())).ok().map(|r| r.build())
        }
    }
}
