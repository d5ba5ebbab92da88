//! What a NAL unit is to an access unit, and what the parameter sets say.

use super::clock::Rate;
use super::{Coding, limits};
use bytes::Bytes;
use mist_core::codec::{Codec, CodecError, h264, hevc, nal};
use mist_core::media::Params;

/// What a NAL unit is to the access unit that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Begins another one, if the open one has a picture.
    Opens,
    /// Begins a picture, and so another one if the open one has a picture.
    Picture(Place),
    /// Belongs to the open one.
    Belongs,
}

/// Where a picture stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Picture order count.
    pub(super) poc: i64,
    /// Everything before comes before it in output order.
    pub(super) starts: bool,
    /// One field.
    pub(super) field: bool,
}

/// A description: initialisation data and what it says.
#[derive(Debug)]
pub(super) struct Described {
    pub(super) codec: Codec,
    pub(super) init: Bytes,
    pub(super) params: Params,
    pub(super) rate: Option<Rate>,
    /// Frames by which the stream reorders, where it tells.
    pub(super) reorder: Option<u64>,
    /// From how many access units it is to be learnt where it doesn't.
    pub(super) learn: usize,
}

/// Parameter sets by number, and where the stream is.
#[derive(Debug)]
pub(super) enum Pictures {
    H264(Box<H264>),
    Hevc(Box<Hevc>),
}

#[derive(Debug, Default)]
pub(super) struct H264 {
    sps: [Option<Box<h264::Sps>>; 32],
    pps: Vec<h264::Pps>,
    record: Option<h264::Avcc>,
    last: Option<h264::Slice>,
    /// The open picture has a slice with macroblock 0.
    first: bool,
    count: h264::PocCounter,
    poc: i64,
}

#[derive(Debug, Default)]
pub(super) struct Hevc {
    sps: [Option<Box<hevc::Sps>>; 16],
    pps: Vec<hevc::Pps>,
    record: Option<hevc::Hvcc>,
    picture: bool,
    count: hevc::PocCounter,
    /// Nothing was decoded since the start or an end of sequence.
    fresh: bool,
    poc: i64,
}

impl Pictures {
    pub(super) fn new(coding: Coding) -> Self {
        match coding {
            Coding::H264 => Self::H264(Box::default()),
            Coding::Hevc => Self::Hevc(Box::new(Hevc { fresh: true, ..Hevc::default() })),
        }
    }

    /// What a unit is, of which the first bytes are there.
    pub(super) fn role(&mut self, head: &[u8]) -> Role {
        match self {
            Self::H264(h) => h.role(head),
            Self::Hevc(h) => h.role(head),
        }
    }

    /// A unit is complete: what it sets holds from here on.
    pub(super) fn complete(&mut self, unit: &[u8]) {
        match self {
            Self::H264(h) => match h264::nal::kind(unit) {
                h264::nal::SPS => {
                    if let Ok(sps) = h264::Sps::parse(unit)
                        && let Some(place) = h.sps.get_mut(usize::from(sps.id))
                    {
                        *place = Some(Box::new(sps));
                    }
                }
                h264::nal::PPS => {
                    if let Ok(pps) = h264::Pps::parse(unit) {
                        h.pps.retain(|p| p.id != pps.id);
                        h.pps.push(pps);
                    }
                }
                _ => {}
            },
            Self::Hevc(h) => match hevc::nal::kind(unit) {
                _ if hevc::nal::layer(unit) != 0 => {}
                hevc::nal::SPS => {
                    if let Ok(sps) = hevc::Sps::parse(unit)
                        && let Some(place) = h.sps.get_mut(usize::from(sps.id))
                    {
                        *place = Some(Box::new(sps));
                    }
                }
                hevc::nal::PPS => {
                    if let Ok(pps) = hevc::Pps::parse(unit) {
                        h.pps.retain(|p| p.id != pps.id);
                        h.pps.push(pps);
                    }
                }
                hevc::nal::END_OF_SEQUENCE | hevc::nal::END_OF_STREAM => h.fresh = true,
                _ => {}
            },
        }
    }

    /// The open access unit ends.
    pub(super) fn close(&mut self) {
        match self {
            Self::H264(h) => (h.last, h.first) = (None, false),
            Self::Hevc(h) => h.picture = false,
        }
    }

    /// Goes on at a picture that starts a sequence.
    pub(super) fn restart(&mut self) {
        self.close();
        if let Self::Hevc(h) = self {
            h.fresh = true;
        }
    }

    /// Whether a unit is an access unit delimiter, which payloads don't have.
    pub(super) fn is_delimiter(&self, unit: &[u8]) -> bool {
        match self {
            Self::H264(_) => h264::nal::kind(unit) == h264::nal::AUD,
            Self::Hevc(_) => hevc::nal::kind(unit) == hevc::nal::AUD,
        }
    }

    /// Whether a unit may stand before the parameter sets of the access unit that they are in.
    pub(super) fn leads(&self, unit: &[u8]) -> bool {
        match self {
            Self::H264(_) => matches!(h264::nal::kind(unit), h264::nal::SEI..=h264::nal::AUD),
            Self::Hevc(_) => {
                matches!(hevc::nal::kind(unit), hevc::nal::VPS..=hevc::nal::AUD | hevc::nal::PREFIX_SEI)
            }
        }
    }

    /// Whether a unit is a parameter set that goes into the description.
    fn is_set(&self, unit: &[u8]) -> bool {
        match self {
            Self::H264(_) => {
                matches!(h264::nal::kind(unit), h264::nal::SPS | h264::nal::PPS | h264::nal::SPS_EXT)
            }
            Self::Hevc(_) => {
                (hevc::nal::VPS..=hevc::nal::PPS).contains(&hevc::nal::kind(unit))
                    && hevc::nal::layer(unit) == 0
            }
        }
    }

    /// Whether there is a description.
    pub(super) fn described(&self) -> bool {
        match self {
            Self::H264(h) => h.record.is_some(),
            Self::Hevc(h) => h.record.is_some(),
        }
    }

    /// The description with the parameter sets of an access unit, if that changes it: those, completed by the ones before
    /// where it hasn't all kinds.
    pub(super) fn describe(&mut self, au: &[u8]) -> Result<Option<Described>, CodecError> {
        let new: Vec<&[u8]> = nal::units(au).filter(|u| self.is_set(u)).collect();
        if new.iter().all(|n| self.knows(n)) {
            return Ok(None);
        }
        match self {
            Self::H264(h) => {
                let before = h.record.take();
                let old: Vec<Bytes> = before.iter().flat_map(|a| a.nals().cloned()).collect();
                let both = old.iter().map(|b| &b[..]).chain(new.iter().copied());
                let made =
                    h264::Avcc::from_nals(new.iter().copied()).or_else(|_| h264::Avcc::from_nals(both));
                let record = match made {
                    Ok(r) => r,
                    Err(e) => {
                        h.record = before;
                        return Err(e);
                    }
                };
                let Some(sps) = record.first_sps() else { return Err(CodecError::malformed("SPS")) };
                let described = Described {
                    codec: Codec::H264,
                    init: record.build(),
                    params: sps.params(),
                    rate: sps.timing.and_then(|(tick, scale)| Rate::new(u64::from(tick) * 2, scale)),
                    reorder: match (&sps.order, sps.reorder_frames) {
                        (h264::PicOrder::Decoding, _) => Some(0),
                        (_, n) => n.map(u64::from),
                    },
                    // Baseline has no pictures that are predicted backwards, but not everybody who says baseline means it.
                    learn: if sps.profile == 66 { limits::LEARN_BASELINE } else { limits::LEARN },
                };
                h.record = Some(record);
                Ok(Some(described))
            }
            Self::Hevc(h) => {
                let before = h.record.take();
                let old: Vec<Bytes> = before.iter().flat_map(|a| a.nals().cloned()).collect();
                let both = old.iter().map(|b| &b[..]).chain(new.iter().copied());
                let made =
                    hevc::Hvcc::from_nals(new.iter().copied()).or_else(|_| hevc::Hvcc::from_nals(both));
                let record = match made {
                    Ok(r) => r,
                    Err(e) => {
                        h.record = before;
                        return Err(e);
                    }
                };
                let Some(sps) = record.first_sps() else { return Err(CodecError::malformed("SPS")) };
                let described = Described {
                    codec: Codec::Hevc,
                    init: record.build(),
                    params: sps.params(),
                    rate: sps.timing.and_then(|(tick, scale)| Rate::new(tick.into(), scale)),
                    reorder: (sps.poc_bits > 0).then_some(sps.reorder_frames.into()),
                    learn: limits::LEARN,
                };
                h.record = Some(record);
                Ok(Some(described))
            }
        }
    }

    fn knows(&self, set: &[u8]) -> bool {
        match self {
            Self::H264(h) => h.record.as_ref().is_some_and(|r| r.nals().any(|n| n == set)),
            Self::Hevc(h) => h.record.as_ref().is_some_and(|r| r.nals().any(|n| n == set)),
        }
    }

    /// Whether decoding can start at an access unit; `first` says that it hasn't started yet.
    pub(super) fn is_key(&self, au: &[u8], first: bool) -> bool {
        match self {
            Self::H264(_) => {
                h264::is_idr(au)
                    || h264::recovery_point(au).is_some()
                    // streams with neither: an intra picture behind parameter sets
                    || first
                        && nal::units(au).any(|n| h264::nal::kind(n) == h264::nal::SPS)
                        && h264::is_intra(au)
            }
            Self::Hevc(_) => hevc::is_irap(au),
        }
    }
}

impl H264 {
    fn role(&mut self, head: &[u8]) -> Role {
        match h264::nal::kind(head) {
            h264::nal::SLICE | h264::nal::PARTITION_A | h264::nal::IDR => self.slice(head),
            h264::nal::SEI..=h264::nal::AUD | 14..=18 => Role::Opens,
            _ => Role::Belongs,
        }
    }

    fn slice(&mut self, head: &[u8]) -> Role {
        let (all_sps, all_pps) = (&self.sps, &self.pps);
        let sets = |id: u8| {
            let pps = all_pps.iter().find(|p| p.id == id)?;
            Some((all_sps.get(usize::from(pps.sps))?.as_deref()?, pps))
        };
        let Ok(slice) = h264::Slice::parse(head, sets) else {
            // Without its parameter sets: macroblock 0 begins a picture.
            let begins = head.get(1).is_some_and(|b| b & 0x80 != 0);
            if !begins && self.last.is_some() {
                return Role::Belongs;
            }
            self.poc = self.poc.saturating_add(2);
            (self.last, self.first) = (None, true);
            return Role::Picture(Place { poc: self.poc, starts: false, field: false });
        };
        // Encoders that number nothing: another macroblock 0 is another picture.
        let again = slice.first_mb == 0 && self.first && !slice.redundant;
        if !again && self.last.is_some_and(|l| l.same_picture(&slice)) {
            self.first |= slice.first_mb == 0;
            return Role::Belongs;
        }
        let sps = sets(slice.pps).map(|(s, _)| s);
        self.poc = sps.map_or(self.poc.saturating_add(2), |s| self.count.next(s, &slice));
        (self.last, self.first) = (Some(slice), slice.first_mb == 0);
        // The second field of an IDR picture is one too, or refers to it: only the first one starts.
        let starts = slice.idr && slice.field != Some(true);
        Role::Picture(Place { poc: self.poc, starts, field: slice.field.is_some() })
    }
}

impl Hevc {
    fn role(&mut self, head: &[u8]) -> Role {
        let kind = hevc::nal::kind(head);
        match kind {
            _ if hevc::nal::layer(head) != 0 => Role::Belongs,
            k if hevc::nal::is_picture(k) => self.slice(head),
            hevc::nal::VPS..=hevc::nal::AUD | hevc::nal::PREFIX_SEI | 41..=44 | 48..=55 => Role::Opens,
            _ => Role::Belongs,
        }
    }

    fn slice(&mut self, head: &[u8]) -> Role {
        let begins = head.get(2).is_some_and(|b| b & 0x80 != 0);
        if !begins && self.picture {
            return Role::Belongs;
        }
        self.picture = true;
        let (all_sps, all_pps) = (&self.sps, &self.pps);
        let sets = |id: u8| {
            let pps = all_pps.iter().find(|p| p.id == id)?;
            Some((all_sps.get(usize::from(pps.sps))?.as_deref()?, pps))
        };
        let mut starts = false;
        self.poc = match hevc::Slice::parse(head, sets) {
            Ok(slice) => {
                starts = hevc::PocCounter::starts(&slice, self.fresh);
                let sps = sets(slice.pps).map(|(s, _)| s);
                sps.map_or(self.poc, |s| self.count.next(s, &slice, self.fresh))
            }
            Err(_) => self.poc.saturating_add(1),
        };
        self.fresh = false;
        Role::Picture(Place { poc: self.poc, starts, field: false })
    }
}
