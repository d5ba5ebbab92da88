//! Access units out of NAL units, for H.264 and HEVC.
//!
//! An access unit ends with a packet that has the marker, or before one with another timestamp. One without a picture doesn't
//! end: some cameras send parameter sets with a marker or a timestamp of their own, and they belong to the picture that follows.
//! A hole inside drops the access unit.

use super::{Depacketize, Out, Piece, limits};
use bytes::{BufMut, BytesMut};
use mist_core::codec::{CodecError, h264, hevc};

/// How NAL units are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    H264,
    Hevc,
}

impl Coding {
    fn is_picture(self, unit: &[u8]) -> bool {
        match self {
            Self::H264 => h264::nal::is_picture(h264::nal::kind(unit)),
            Self::Hevc => hevc::nal::is_picture(hevc::nal::kind(unit)),
        }
    }

    fn is_delimiter(self, unit: &[u8]) -> bool {
        match self {
            Self::H264 => h264::nal::kind(unit) == h264::nal::AUD,
            Self::Hevc => hevc::nal::kind(unit) == hevc::nal::AUD,
        }
    }

    /// Whether a unit with picture data may be the first of its picture.
    fn begins(self, unit: &[u8]) -> bool {
        let first = |at: usize| unit.get(at).is_some_and(|b| b & 0x80 != 0);
        match self {
            Self::H264 => !matches!(h264::nal::kind(unit), 1 | 2 | 5) || first(1),
            Self::Hevc => first(2),
        }
    }
}

/// Puts an access unit together, in canonical form.
#[derive(Debug)]
pub(super) struct Units {
    coding: Coding,
    data: BytesMut,
    time: i64,
    picture: bool,
    /// Dropped up to its end.
    broken: bool,
    /// Packets are missing before the next unit.
    hole: bool,
    /// Where the length of a unit stands whose fragments are coming.
    fragment: Option<usize>,
}

/// Takes access units out of payloads, of which each coding has its own kinds.
#[derive(Debug)]
pub(super) struct AccessUnits {
    units: Units,
    payload: fn(&mut Units, &[u8]) -> Result<(), CodecError>,
}

impl AccessUnits {
    /// `payload` takes the NAL units out of one payload.
    pub(super) fn new(coding: Coding, payload: fn(&mut Units, &[u8]) -> Result<(), CodecError>) -> Self {
        Self { units: Units::new(coding), payload }
    }
}

impl Depacketize for AccessUnits {
    fn push(&mut self, piece: Piece<'_>, out: &mut Out) -> Result<(), CodecError> {
        let Piece { payload, marker, time, lost } = piece;
        self.units.begin(time, lost, out);
        let done = (self.payload)(&mut self.units, payload);
        if done.is_err() {
            self.units.spoil();
        }
        if marker {
            self.units.finish(out);
        }
        done
    }

    fn end(&mut self, out: &mut Out) {
        self.units.finish(out);
    }
}

impl Units {
    pub(super) fn new(coding: Coding) -> Self {
        Self {
            coding,
            data: BytesMut::new(),
            time: 0,
            picture: false,
            broken: false,
            hole: false,
            fragment: None,
        }
    }

    /// A packet begins.
    pub(super) fn begin(&mut self, time: i64, lost: bool, out: &mut Out) {
        if lost {
            self.hole = true;
            self.broken |= !self.data.is_empty();
        }
        if time != self.time {
            self.finish(out);
            self.time = time;
        }
    }

    /// A packet has the marker, or nothing follows.
    pub(super) fn finish(&mut self, out: &mut Out) {
        if self.broken || self.fragment.is_some() {
            self.drop_open();
            self.broken = false;
        } else if self.picture {
            self.picture = false;
            out.frame(self.time, self.data.split().freeze());
        }
    }

    fn drop_open(&mut self) {
        self.data.clear();
        (self.picture, self.fragment) = (false, None);
    }

    /// Drops what is open up to its end.
    pub(super) fn spoil(&mut self) {
        self.drop_open();
        self.broken = true;
    }

    /// A unit begins, of which the first bytes are there. Returns whether it is wanted.
    fn accept(&mut self, head: &[u8]) -> bool {
        if self.fragment.is_some() {
            // The last fragment never came.
            self.spoil();
        }
        if self.broken || head.is_empty() || self.coding.is_delimiter(head) {
            return false;
        }
        if self.coding.is_picture(head) {
            if self.hole && !self.picture && !self.coding.begins(head) {
                self.spoil();
                return false;
            }
            self.picture = true;
        }
        self.hole = false;
        true
    }

    fn room(&mut self, len: usize) -> Result<(), CodecError> {
        if self.data.len() + len + 4 > limits::UNIT {
            self.spoil();
            return Err(CodecError::limit("bytes of an access unit in RTP"));
        }
        Ok(())
    }

    /// A whole unit.
    pub(super) fn unit(&mut self, unit: &[u8]) -> Result<(), CodecError> {
        if self.accept(unit) {
            self.room(unit.len())?;
            mist_core::codec::nal::put_unit(&mut self.data, unit);
        }
        Ok(())
    }

    /// A fragmentation unit behind its payload header: its first byte says whether it is the first and the last one of the
    /// NAL unit, and with `head` makes that unit's head.
    pub(super) fn fragment<const N: usize>(
        &mut self,
        body: &[u8],
        head: impl FnOnce(u8) -> [u8; N],
    ) -> Result<(), CodecError> {
        let [fu, data @ ..] = body else { return Err(CodecError::truncated("FU header")) };
        let last = fu & 0x40 != 0;
        if fu & 0x80 == 0 {
            return self.next(data, last);
        }
        self.first(&head(*fu), data)?;
        if last {
            self.close_single();
        }
        Ok(())
    }

    /// The first fragment of a unit, with the unit's head.
    fn first(&mut self, head: &[u8], data: &[u8]) -> Result<(), CodecError> {
        let start: smallvec::SmallVec<[u8; 4]> = head.iter().chain(data.iter().take(1)).copied().collect();
        if self.accept(&start) {
            self.room(head.len() + data.len())?;
            self.fragment = Some(self.data.len());
            self.data.put_u32(0);
            self.data.put_slice(head);
            self.data.put_slice(data);
        }
        Ok(())
    }

    /// Another fragment.
    fn next(&mut self, data: &[u8], last: bool) -> Result<(), CodecError> {
        let Some(at) = self.fragment else {
            let known = self.broken || self.hole;
            self.spoil();
            return if known { Ok(()) } else { Err(CodecError::malformed("fragment without its beginning")) };
        };
        if self.broken {
            return Ok(());
        }
        self.room(data.len())?;
        self.data.put_slice(data);
        if last {
            self.close(at);
        }
        Ok(())
    }

    /// The fragment that was last is the only one.
    fn close_single(&mut self) {
        if let Some(at) = self.fragment {
            self.close(at);
        }
    }

    fn close(&mut self, at: usize) {
        let len = self.data.len().saturating_sub(at + 4) as u32;
        if let Some(place) = self.data.get_mut(at..).and_then(|d| d.first_chunk_mut::<4>()) {
            *place = len.to_be_bytes();
        }
        self.fragment = None;
    }
}

/// Splits units with 16-bit lengths, as aggregation packets have them.
pub(super) fn aggregated(
    mut data: &[u8],
    mut each: impl FnMut(&[u8]) -> Result<(), CodecError>,
) -> Result<(), CodecError> {
    while !data.is_empty() {
        let (len, rest) = data.split_first_chunk::<2>().ok_or(CodecError::truncated("aggregation packet"))?;
        let (unit, rest) = rest
            .split_at_checked(u16::from_be_bytes(*len).into())
            .ok_or(CodecError::malformed("unit in an aggregation packet"))?;
        data = rest;
        each(unit)?;
    }
    Ok(())
}
