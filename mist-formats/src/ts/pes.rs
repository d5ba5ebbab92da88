//! Packetized elementary streams (ISO/IEC 13818-1 §2.4.3.6–2.4.3.7): heads, time stamps, reassembly.

use super::limits;
use mist_core::time::Unwrap;
use std::collections::VecDeque;

/// Stamps wrap at this.
pub(super) const WRAP: u64 = 1 << 33;

/// What a head says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// Bytes of the head.
    pub(super) len: usize,
    /// Presentation time, 33 bits at 90 kHz.
    pub(super) pts: Option<u64>,
    /// Decoding time, where it differs.
    pub(super) dts: Option<u64>,
}

/// Reads a 33-bit stamp of 5 bytes. `None` when a marker bit is missing.
fn stamp(b: &[u8; 5]) -> Option<u64> {
    let [a, b, c, d, e] = b.map(u64::from);
    let marked = a & c & e & 1 == 1;
    marked.then_some((a >> 1 & 7) << 30 | b << 22 | (c >> 1) << 15 | d << 7 | e >> 1)
}

/// Reads the head of a unit. `Ok(None)` while it is not all there.
pub(super) fn head(b: &[u8]) -> Result<Option<Head>, &'static str> {
    let Some((&[z0, z1, one, id, _, _, flags, stamps, len], rest)) = b.split_first_chunk::<9>() else {
        return match b {
            [] | [0] | [0, 0] | [0, 0, 1, ..] => Ok(None),
            _ => Err("packet_start_code_prefix"),
        };
    };
    if [z0, z1, one] != [0, 0, 1] {
        return Err("packet_start_code_prefix");
    }
    // program_stream_map, padding, private_stream_2, ECM, EMM, DSMCC, H.222.1 type E, directory
    if matches!(id, 0xBC | 0xBE | 0xBF | 0xF0 | 0xF1 | 0xF2 | 0xF8 | 0xFF) {
        return Err("stream_id without media");
    }
    if flags & 0xC0 != 0x80 {
        return Err("PES head");
    }
    let Some(optional) = rest.get(..len.into()) else { return Ok(None) };
    let pts = (stamps & 0x80 != 0).then(|| optional.first_chunk().and_then(stamp)).flatten();
    let dts = (stamps & 0xC0 == 0xC0).then(|| optional.get(5..)?.first_chunk().and_then(stamp)).flatten();
    Ok(Some(Head { len: 9 + usize::from(len), pts, dts }))
}

/// Writes a head into a buffer of its exact size. `len` is that of the payload; `bounded` false (only for video,
/// §2.4.3.7) leaves it open when it doesn't fit 16 bits. Returns the bytes used, or `None` when the length must be
/// written and doesn't fit.
pub(super) fn write_head(
    stream_id: u8,
    len: usize,
    bounded: bool,
    pts: u64,
    dts: u64,
    out: &mut [u8; 19],
) -> Option<usize> {
    let (stamps, optional) = if pts == dts { (0x80, 5) } else { (0xC0, 10) };
    let length = match u16::try_from(len + 3 + usize::from(optional)) {
        Ok(l) => l,
        Err(_) if !bounded => 0,
        Err(_) => return None,
    };
    let [l1, l2] = length.to_be_bytes();
    let put = |tag: u8, t: u64| {
        let [.., t1, t2, t3, t4, t5] = (t % WRAP).to_be_bytes();
        let t = u64::from_be_bytes([0, 0, 0, t1, t2, t3, t4, t5]);
        [
            tag | (t >> 29) as u8 & 0x0E | 1,
            (t >> 22) as u8,
            (t >> 14) as u8 | 1,
            (t >> 7) as u8,
            (t << 1) as u8 | 1,
        ]
    };
    let [p1, p2, p3, p4, p5] = put(if pts == dts { 0x20 } else { 0x30 }, pts);
    let [d1, d2, d3, d4, d5] = put(0x10, dts);
    // data_alignment_indicator: every unit starts with an access unit
    *out = [0, 0, 1, stream_id, l1, l2, 0x84, stamps, optional, p1, p2, p3, p4, p5, d1, d2, d3, d4, d5];
    Some(9 + usize::from(optional))
}

/// The 33-bit clock of a program, without its wraps. All streams share it, so that they come out on the same side
/// of a wrap.
#[derive(Debug)]
pub(super) struct Stamps {
    unwrap: Unwrap,
    last: Option<i64>,
}

impl Stamps {
    pub(super) const fn new() -> Self {
        Self { unwrap: Unwrap::new(33), last: None }
    }

    /// Presentation and decoding time of a head, unwrapped.
    fn read(&mut self, h: &Head) -> Option<(i64, i64)> {
        let pts = h.pts?;
        let raw = h.dts.unwrap_or(pts);
        let dts = self.unwrap.unwrap(raw);
        self.last = Some(dts);
        let delta = pts.wrapping_sub(raw) % WRAP;
        let delta = if delta > WRAP / 2 { delta as i64 - WRAP as i64 } else { delta as i64 };
        Some((dts.saturating_add(delta), dts))
    }

    /// The decoding time that was read last of any stream.
    pub(super) const fn last(&self) -> Option<i64> {
        self.last
    }
}

/// Where in the bytes of a stream a unit's payload begins, and its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// Index of the first byte.
    pub(super) at: usize,
    /// Offset in the source of the transport packet in which the unit begins.
    pub(super) origin: u64,
    /// Presentation and decoding time in unwrapped units of 90 kHz.
    pub(super) time: Option<(i64, i64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Waiting for a unit to start.
    Idle,
    /// In a head that lies in several packets.
    Head,
    /// In a payload; so many bytes are missing, where the head says.
    Body(Option<usize>),
}

/// The bytes of an elementary stream that were not taken yet, and where the units in them began.
#[derive(Debug)]
pub(super) struct Assembler {
    state: State,
    head: Vec<u8>,
    /// Declared lengths are only kept to where they are trusted: not for video, which wraps them at 64 KiB.
    bounded: bool,
    pub(super) data: Vec<u8>,
    marks: VecDeque<Mark>,
    /// Where the unit begins that is being read, and the one that [`Self::time_at`] was asked about last.
    place: u64,
    origin: u64,
    /// Where in `data` the declared end of the last unit is.
    end: Option<usize>,
}

impl Assembler {
    /// `bounded`: the units' declared lengths end them.
    pub(super) const fn new(bounded: bool) -> Self {
        Self {
            state: State::Idle,
            head: Vec::new(),
            bounded,
            data: Vec::new(),
            marks: VecDeque::new(),
            place: 0,
            origin: 0,
            end: None,
        }
    }

    /// A unit is open that has not all its bytes.
    pub(super) fn is_open(&self) -> bool {
        match self.state {
            State::Idle => false,
            State::Head => true,
            State::Body(left) => left != Some(0),
        }
    }

    /// The declared end of the unit was reached.
    pub(super) fn is_complete(&self) -> bool {
        self.state == State::Body(Some(0))
    }

    /// As many bytes of the last unit are there as it declared, whether or not that is trusted to end it.
    pub(super) fn is_whole(&self) -> bool {
        self.end == Some(self.data.len())
    }

    /// A unit starts in this packet, which lies at `place` of the source.
    pub(super) fn start(
        &mut self,
        payload: &[u8],
        place: u64,
        stamps: &mut Stamps,
    ) -> Result<(), &'static str> {
        self.place = place;
        self.head.clear();
        self.state = State::Head;
        self.append(payload, stamps)
    }

    /// More bytes of the unit; those behind its end are left out. An error ends the unit.
    #[inline]
    pub(super) fn append(&mut self, payload: &[u8], stamps: &mut Stamps) -> Result<(), &'static str> {
        match &mut self.state {
            State::Idle => {}
            State::Body(None) => self.data.extend_from_slice(payload),
            State::Body(Some(left)) => {
                let now = payload.get(..*left).unwrap_or(payload);
                *left -= now.len();
                self.data.extend_from_slice(now);
            }
            State::Head => return self.append_head(payload, stamps),
        }
        Ok(())
    }

    fn append_head(&mut self, payload: &[u8], stamps: &mut Stamps) -> Result<(), &'static str> {
        self.head.extend_from_slice(payload);
        let h = match head(&self.head) {
            Ok(Some(h)) => h,
            Ok(None) => return Ok(()),
            Err(e) => {
                self.state = State::Idle;
                return Err(e);
            }
        };
        let declared = match self.head.get(4..6) {
            Some(&[hi, lo]) => usize::from(u16::from_be_bytes([hi, lo])),
            _ => 0,
        };
        let left = (declared != 0).then(|| (declared + 6).saturating_sub(h.len));
        self.end = left.map(|l| self.data.len() + l);
        self.state = State::Body(left.filter(|_| self.bounded));
        let (at, origin) = (self.data.len(), self.place);
        self.marks.push_back(Mark { at, origin, time: stamps.read(&h) });
        if self.marks.len() > limits::MAX_MARKS {
            self.marks.pop_front();
        }
        let head = std::mem::take(&mut self.head);
        let done = self.append(head.get(h.len..).unwrap_or_default(), stamps);
        self.head = head;
        done
    }

    /// Ends the unit; bytes until the next one starts are left out.
    pub(super) fn stop(&mut self) {
        self.state = State::Idle;
    }

    /// Drops all bytes.
    pub(super) fn clear(&mut self) {
        self.data.clear();
        self.marks.clear();
        self.end = None;
    }

    /// The time of what begins at byte `at`: that of the unit in which it begins, if nothing in it had it before.
    pub(super) fn time_at(&mut self, at: usize) -> Option<(i64, i64)> {
        let mut time = None;
        while let Some(m) = self.marks.front()
            && m.at <= at
        {
            time = m.time;
            self.origin = m.origin;
            self.marks.pop_front();
        }
        time
    }

    /// Where in the source the unit begins in which lies what [`Self::time_at`] was asked about last.
    pub(super) const fn origin(&self) -> u64 {
        self.origin
    }

    /// Drops the first `n` bytes.
    pub(super) fn consume(&mut self, n: usize) {
        self.data.drain(..n.min(self.data.len()));
        self.end = self.end.and_then(|e| e.checked_sub(n));
        for m in &mut self.marks {
            m.at = m.at.saturating_sub(n);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn heads_round_trip(pts in 0..WRAP, dts in 0..WRAP, len in 0usize..200_000, video: bool) {
            let mut out = [0; 19];
            let n = write_head(0xE0, len, !video, pts, dts, &mut out);
            prop_assert_eq!(n.is_some(), video || len + if pts == dts { 8 } else { 13 } < 65_536);
            if let Some(n) = n {
                let want = Head { len: n, pts: Some(pts), dts: (pts != dts).then_some(dts) };
                prop_assert_eq!(head(&out[..n]), Ok(Some(want)));
                for i in 0..n {
                    prop_assert_eq!(head(&out[..i]), Ok(None));
                }
            }
        }

        #[test]
        fn any_head_is_read_or_refused(b in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut with_code = vec![0, 0, 1];
            with_code.extend_from_slice(&b);
            for b in [b, with_code] {
                if let Ok(Some(h)) = head(&b) {
                    prop_assert!(h.len <= b.len());
                }
            }
        }
    }

    #[test]
    fn streams_share_the_side_of_a_wrap() {
        let mut s = Stamps::new();
        let mut at = |pts, dts| s.read(&Head { len: 14, pts: Some(pts), dts });
        let wrap = WRAP as i64;
        assert_eq!(at(5, Some(WRAP - 10)), Some((wrap + 5, wrap - 10)));
        assert_eq!(at(20, None), Some((wrap + 20, wrap + 20)));
        assert_eq!(at(WRAP - 3, None), Some((wrap - 3, wrap - 3)));
    }

    #[test]
    fn a_head_over_packets_and_a_length_that_is_reached() {
        let mut head = [0; 19];
        let n = write_head(0xC0, 300, true, 90_000, 90_000, &mut head).unwrap();
        let mut unit = head[..n].to_vec();
        unit.extend(0..=255);
        unit.extend([7; 100]);
        for step in [1, 5, 13, 14, 15, 400] {
            let mut a = Assembler::new(true);
            let mut s = Stamps::new();
            for (i, c) in unit.chunks(step).enumerate() {
                if i == 0 { a.start(c, 0, &mut s).unwrap() } else { a.append(c, &mut s).unwrap() }
            }
            assert!(a.is_complete() && !a.is_open());
            assert_eq!(a.data, unit[n..n + 300]);
            assert_eq!(a.time_at(100), Some((90_000, 90_000)));
            assert_eq!(a.time_at(200), None);
        }
    }
}
