//! The transport packet layer (ISO/IEC 13818-1 §2.4.3.2–2.4.3.5): heads, adaptation fields, framing, writing.

use mist_core::format::ErrorKind;

/// Bytes of a transport packet.
pub(super) const LEN: usize = 188;
/// Bytes of a packet after its head.
pub(super) const BODY: usize = LEN - 4;
/// First byte of every packet.
pub(super) const SYNC: u8 = 0x47;
/// PID of packets that only fill the rate.
pub(super) const NULL_PID: u16 = 0x1FFF;
/// Distances between packets: plain, with a 4-byte time code before each (M2TS), with 16 bytes of Reed–Solomon
/// parity after each.
const STRIDES: [usize; 3] = [188, 192, 204];
/// The largest of them.
pub(super) const MAX_STRIDE: usize = STRIDES[2];
/// Sync bytes in a row that prove a framing.
const PROOF: usize = 5;
/// Bytes that suffice to find a framing wherever in a packet the input starts.
pub(super) const WINDOW: usize = MAX_STRIDE * (PROOF + 1);

/// What a packet's head and adaptation field say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packet<'a> {
    pub(super) pid: u16,
    /// `transport_error_indicator`: a demodulator gave up on it.
    pub(super) damaged: bool,
    /// `payload_unit_start_indicator`.
    pub(super) start: bool,
    pub(super) scrambled: bool,
    pub(super) counter: u8,
    /// `discontinuity_indicator`.
    pub(super) discontinuity: bool,
    /// `random_access_indicator`.
    pub(super) random_access: bool,
    /// `program_clock_reference` in units of 27 MHz.
    pub(super) pcr: Option<u64>,
    /// `None` when the packet has only an adaptation field.
    pub(super) payload: Option<&'a [u8]>,
}

impl<'a> Packet<'a> {
    /// Reads 188 bytes; an error names the rule that they break.
    #[inline]
    pub(super) fn parse(b: &'a [u8; LEN]) -> Result<Self, ErrorKind> {
        let [sync, b1, b2, b3, body @ ..] = b;
        if *sync != SYNC {
            return Err(ErrorKind::Sync("sync byte"));
        }
        let mut p = Self {
            pid: u16::from_be_bytes([b1 & 0x1F, *b2]),
            damaged: b1 & 0x80 != 0,
            start: b1 & 0x40 != 0,
            scrambled: b3 & 0xC0 != 0,
            counter: b3 & 0x0F,
            discontinuity: false,
            random_access: false,
            pcr: None,
            payload: None,
        };
        let mut payload = &body[..];
        if b3 & 0x20 != 0 {
            let Some((&len, rest)) = payload.split_first() else { return Ok(p) };
            let Some((field, rest)) = rest.split_at_checked(len.into()) else {
                return Err(ErrorKind::Size("adaptation field"));
            };
            payload = rest;
            p.adaptation(field);
        }
        match b3 & 0x30 {
            0x00 => return Err(ErrorKind::Malformed("adaptation field control")),
            0x10 | 0x30 if !payload.is_empty() => p.payload = Some(payload),
            _ => {}
        }
        Ok(p)
    }

    fn adaptation(&mut self, field: &[u8]) {
        let Some((&flags, rest)) = field.split_first() else { return };
        self.discontinuity = flags & 0x80 != 0;
        self.random_access = flags & 0x40 != 0;
        if flags & 0x10 != 0
            && let Some(&[a, b, c, d, e, f]) = rest.first_chunk()
        {
            let base = u64::from_be_bytes([0, 0, 0, a, b, c, d, e]) >> 7;
            self.pcr = Some(base * 300 + u64::from(u16::from_be_bytes([e & 1, f])));
        }
    }
}

/// Where packets begin and how far apart they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Framing {
    /// Bytes before the first sync byte.
    pub(super) skip: usize,
    /// Bytes from one sync byte to the next.
    pub(super) stride: usize,
}

/// Finds the framing in `data`: [`PROOF`] sync bytes at one distance or, when no more bytes will come (`last`),
/// as many as lie in it. `None`: there is none.
pub(super) fn find_framing(data: &[u8], last: bool) -> Option<Framing> {
    let syncs = |f: &Framing| {
        let mut at = data.get(f.skip..).unwrap_or_default().iter().step_by(f.stride).take(PROOF);
        let n = at.len();
        let proven = n == PROOF || last && f.skip + LEN <= data.len();
        (proven && at.all(|&b| b == SYNC)).then_some(n)
    };
    memchr::memchr_iter(SYNC, data)
        .take_while(|&skip| skip < WINDOW)
        .flat_map(|skip| STRIDES.map(|stride| Framing { skip, stride }))
        .filter_map(|f| syncs(&f).map(|n| (n == 1, f.skip, f)))
        .min_by_key(|&(weak, skip, _)| (weak, skip))
        .map(|(_, _, f)| f)
}

/// How surely a file that begins with `head` is a transport stream: 0 to 255.
pub(super) fn probe(head: &[u8]) -> u8 {
    match find_framing(head, false) {
        Some(Framing { skip: 0, .. }) => 200,
        Some(Framing { skip: 4, stride: 192 }) => 190,
        Some(_) => 60,
        None if head.len() < WINDOW => match find_framing(head, true) {
            Some(Framing { skip: 0, .. }) if head.len() >= 2 * LEN => 120,
            Some(Framing { skip: 0 | 4, .. }) => 30,
            _ => 0,
        },
        None => 0,
    }
}

/// What goes into the adaptation field of a unit's first packet.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Adaptation {
    pub(super) discontinuity: bool,
    pub(super) random_access: bool,
    /// Base of the clock reference, 33 bits at 90 kHz; the extension is zero.
    pub(super) pcr: Option<u64>,
}

impl Adaptation {
    const fn is_empty(&self) -> bool {
        !self.discontinuity && !self.random_access && self.pcr.is_none()
    }

    /// Bytes of the field with its length byte.
    const fn len(&self) -> usize {
        match (self.pcr, self.is_empty()) {
            (Some(_), _) => 8,
            (None, false) => 2,
            (None, true) => 0,
        }
    }

    /// Writes the field, stuffed to `len` bytes with its length byte; at least [`Self::len`].
    fn write(&self, len: usize, out: &mut Vec<u8>) {
        let end = out.len() + len;
        out.push((len - 1) as u8);
        if len == 1 {
            return;
        }
        let flag = |on: bool, bit: u8| if on { bit } else { 0 };
        out.push(
            flag(self.discontinuity, 0x80) | flag(self.random_access, 0x40) | flag(self.pcr.is_some(), 0x10),
        );
        if let Some(pcr) = self.pcr {
            let [.., a, b, c, d, e] = ((pcr & ((1 << 33) - 1)) << 7).to_be_bytes();
            out.extend_from_slice(&[a, b, c, d, e | 0x7E, 0]);
        }
        out.resize(end.max(out.len()), 0xFF);
    }
}

const fn head(pid: u16, start: bool, control: u8, counter: u8) -> [u8; 4] {
    let [hi, lo] = pid.to_be_bytes();
    [SYNC, if start { 0x40 } else { 0 } | (hi & 0x1F), lo, control | (counter & 0x0F)]
}

/// Packets that a unit of `len` bytes takes.
pub(super) fn count(len: usize, adaptation: Adaptation) -> usize {
    (len + adaptation.len()).div_ceil(BODY).max(1)
}

/// Writes one unit, the bytes of `parts` in order, as packets of `pid`; the last is filled with an adaptation
/// field.
pub(super) fn write_unit(
    pid: u16,
    counter: &mut u8,
    adaptation: Adaptation,
    parts: &[&[u8]],
    out: &mut Vec<u8>,
) {
    let mut left: usize = parts.iter().map(|p| p.len()).sum();
    let mut source = Source { parts: parts.iter(), now: &[] };
    let mut next = || {
        let c = *counter;
        *counter = (c + 1) & 0x0F;
        c
    };
    let need = adaptation.len();
    let field = need.max(BODY.saturating_sub(left));
    if field == 0 {
        out.extend_from_slice(&head(pid, true, 0x10, next()));
    } else {
        out.extend_from_slice(&head(pid, true, 0x30, next()));
        adaptation.write(field, out);
    }
    let n = BODY - field;
    source.copy(n, out);
    left -= n.min(left);
    while left >= BODY {
        out.extend_from_slice(&head(pid, false, 0x10, next()));
        source.copy_body(out);
        left -= BODY;
    }
    if left > 0 {
        out.extend_from_slice(&head(pid, false, 0x30, next()));
        Adaptation::default().write(BODY - left, out);
        source.copy(left, out);
    }
}

/// Writes a packet that has only an adaptation field. It leaves the counter as it is (§2.4.3.3).
pub(super) fn write_clock(pid: u16, counter: u8, pcr: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&head(pid, false, 0x20, counter.wrapping_sub(1)));
    Adaptation { pcr: Some(pcr), ..Adaptation::default() }.write(BODY, out);
}

/// Writes packets of a section's bytes: filled with 0xFF instead of an adaptation field (§2.4.4).
pub(super) fn write_section(pid: u16, counter: &mut u8, section: &[u8], out: &mut Vec<u8>) {
    let mut start = true;
    let mut left = section;
    while start || !left.is_empty() {
        let end = out.len() + LEN;
        out.extend_from_slice(&head(pid, start, 0x10, *counter));
        *counter = (*counter + 1) & 0x0F;
        if start {
            out.push(0);
        }
        let room = if start { BODY - 1 } else { BODY };
        let (now, rest) = left.split_at_checked(room).unwrap_or((left, &[]));
        out.extend_from_slice(now);
        out.resize(end, 0xFF);
        left = rest;
        start = false;
    }
}

/// Bytes of several slices in order.
struct Source<'a> {
    parts: std::slice::Iter<'a, &'a [u8]>,
    now: &'a [u8],
}

impl Source<'_> {
    /// Copies a whole body; in one move of constant size when it lies in one slice.
    #[inline]
    fn copy_body(&mut self, out: &mut Vec<u8>) {
        match self.now.split_first_chunk::<BODY>() {
            Some((body, rest)) => {
                out.extend_from_slice(body);
                self.now = rest;
            }
            None => self.copy(BODY, out),
        }
    }

    fn copy(&mut self, mut n: usize, out: &mut Vec<u8>) {
        while n > 0 {
            let (now, rest) = self.now.split_at_checked(n).unwrap_or((self.now, &[]));
            out.extend_from_slice(now);
            n -= now.len();
            self.now = rest;
            if n > 0 {
                match self.parts.next() {
                    Some(p) => self.now = p,
                    None => return,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packets(data: &[u8]) -> Vec<Packet<'_>> {
        let (chunks, rest) = data.as_chunks::<LEN>();
        assert!(rest.is_empty());
        chunks.iter().map(|c| Packet::parse(c).unwrap()).collect()
    }

    proptest! {
        #[test]
        fn a_unit_survives(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..500), 1..6),
                           pcr in prop::option::of(0u64..1 << 33), discontinuity: bool, counter in 0u8..16) {
            let a = Adaptation { discontinuity, random_access: false, pcr };
            let refs: Vec<&[u8]> = parts.iter().map(|p| &p[..]).collect();
            let all = parts.concat();
            let mut out = Vec::new();
            let mut c = counter;
            write_unit(0x100, &mut c, a, &refs, &mut out);
            prop_assert_eq!(out.len(), count(all.len(), a) * LEN);
            let got = packets(&out);
            let mut joined = Vec::new();
            for (i, p) in got.iter().enumerate() {
                prop_assert_eq!(p.pid, 0x100);
                prop_assert_eq!(p.start, i == 0);
                prop_assert_eq!(p.counter, (counter + i as u8) & 15);
                joined.extend_from_slice(p.payload.unwrap_or_default());
            }
            prop_assert_eq!(joined, all);
            prop_assert_eq!(got[0].pcr, pcr.map(|p| p * 300));
            prop_assert_eq!(got[0].discontinuity, discontinuity);
        }
    }

    #[test]
    fn adaptation_lengths_that_lie() {
        let mut b = [0xFF; LEN];
        b[..4].copy_from_slice(&[SYNC, 0x01, 0x00, 0x30]);
        for (len, ok, payload) in
            [(182, true, Some(1)), (183, true, None), (184, false, None), (255, false, None)]
        {
            b[4] = len;
            match Packet::parse(&b) {
                Ok(p) => assert!(ok && p.payload.map(<[u8]>::len) == payload, "{len}"),
                Err(_) => assert!(!ok, "{len}"),
            }
        }
        b[3] = 0x00;
        assert!(Packet::parse(&b).is_err());
        b[3] = 0x20;
        b[4] = 0;
        assert_eq!(Packet::parse(&b).unwrap().payload, None);
    }

    #[test]
    fn framing_from_anywhere_in_a_packet() {
        for stride in STRIDES {
            let mut data = vec![0u8; 20 * stride];
            for p in data.chunks_mut(stride) {
                p[0] = SYNC;
            }
            for from in 0..stride {
                let d = &data[from..from + WINDOW];
                let want = Framing { skip: (stride - from) % stride, stride };
                assert_eq!(find_framing(d, false), Some(want), "{stride}+{from}");
            }
        }
        assert_eq!(find_framing(&[0x47; 100], true), None);
        assert_eq!(find_framing(&vec![0u8; WINDOW], true), None);
    }
}
