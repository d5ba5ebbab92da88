//! Program specific information (ISO/IEC 13818-1 §2.4.4) and the service description of DVB (ETSI EN 300 468
//! §5.2.3): sections over packets, PAT, PMT and SDT.

use super::limits;
use super::packet::Packet;
use mist_core::format::ErrorKind;
use smallvec::SmallVec;

/// PID of the program association table.
pub(super) const PAT_PID: u16 = 0;
/// PID of the service description table.
pub(super) const SDT_PID: u16 = 0x11;
/// `table_id` of a PAT section.
pub(super) const PAT: u8 = 0x00;
/// `table_id` of a PMT section.
pub(super) const PMT: u8 = 0x02;
/// `table_id` of an SDT section of the actual transport stream.
const SDT: u8 = 0x42;
/// PIDs below this are reserved for tables (§2.4.3.3, EN 300 468 §5.1.3).
const FIRST_FREE_PID: u16 = 0x10;

const CRC_TABLE: [u32; 256] = {
    let mut table = [0u32; 256];
    let mut i = 0;
    while i < 256 {
        let mut c = (i as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            c = if c & 0x8000_0000 != 0 { (c << 1) ^ 0x04C1_1DB7 } else { c << 1 };
            bit += 1;
        }
        #[allow(clippy::indexing_slicing, reason = "i < 256, evaluated at compile time")]
        {
            table[i] = c;
        }
        i += 1;
    }
    table
};

/// CRC-32 of Annex A: zero over a section with its CRC.
pub(super) fn crc32(data: &[u8]) -> u32 {
    data.iter().fold(u32::MAX, |c, &b| {
        let i = (c >> 24) as u8 ^ b;
        (c << 8) ^ CRC_TABLE.get(usize::from(i)).copied().unwrap_or_default()
    })
}

/// Puts the sections of one PID together.
#[derive(Debug, Default)]
pub(super) struct Sections {
    buf: Vec<u8>,
    /// In a section, or between two.
    open: bool,
    counter: Option<u8>,
}

impl Sections {
    /// Feeds a packet; `each` gets whole sections, from `table_id` to the CRC, whatever they hold. A lost packet
    /// drops the section that it was in.
    pub(super) fn push(&mut self, p: &Packet<'_>, mut each: impl FnMut(&[u8])) {
        let Some(payload) = p.payload else { return };
        let expected = self.counter.replace(p.counter).map(|c| (c + 1) & 0x0F);
        if expected.is_some_and(|c| c != p.counter) && !p.discontinuity {
            // sent twice (§2.4.3.3); where a section starts it is read again, as another muxer may have begun there
            if expected == Some((p.counter + 1) & 0x0F) && !p.start {
                return;
            }
            self.open = false;
        }
        let mut rest = payload;
        if p.start {
            let Some((&pointer, after)) = payload.split_first() else { return };
            let Some((before, after)) = after.split_at_checked(pointer.into()) else {
                self.open = false;
                return;
            };
            if self.open {
                self.fill(before, &mut each);
            }
            self.open = true;
            self.buf.clear();
            rest = after;
        }
        while self.open && !rest.is_empty() {
            rest = self.fill(rest, &mut each);
        }
    }

    /// Takes bytes into the open section up to its end and returns those after it.
    fn fill<'a>(&mut self, data: &'a [u8], each: &mut impl FnMut(&[u8])) -> &'a [u8] {
        let mut rest = data;
        while self.buf.len() < 3 {
            let Some((&b, after)) = rest.split_first() else { return rest };
            if self.buf.is_empty() && b == 0xFF {
                self.open = false; // stuffing to the end of the packet
                return &[];
            }
            self.buf.push(b);
            rest = after;
        }
        let total = self.buf.get(1..3).map_or(0, |l| match l {
            &[hi, lo] => 3 + usize::from(u16::from_be_bytes([hi & 0x0F, lo])),
            _ => 0,
        });
        let missing = total.saturating_sub(self.buf.len());
        let (now, after) = rest.split_at_checked(missing).unwrap_or((rest, &[]));
        self.buf.extend_from_slice(now);
        if self.buf.len() >= total {
            each(&self.buf);
            self.buf.clear();
        }
        after
    }
}

/// A section in the long form, its CRC checked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Section<'a> {
    pub(super) table: u8,
    /// `table_id_extension`: the transport stream or program number.
    pub(super) extension: u16,
    /// `current_next_indicator`: applicable now.
    pub(super) current: bool,
    pub(super) number: u8,
    /// Number of the table's last section.
    pub(super) last: u8,
    pub(super) body: &'a [u8],
    pub(super) crc: u32,
}

impl<'a> Section<'a> {
    /// Reads whole sections as [`Sections`] gives them; `None` for those of another table.
    pub(super) fn of(table: u8, data: &'a [u8]) -> Result<Option<Self>, ErrorKind> {
        if data.first() == Some(&table) { Self::parse(data).map(Some) } else { Ok(None) }
    }

    /// Reads whole sections as [`Sections`] gives them.
    pub(super) fn parse(data: &'a [u8]) -> Result<Self, ErrorKind> {
        let Some((data_before_crc, crc)) = data.split_last_chunk::<4>() else {
            return Err(ErrorKind::Size("section"));
        };
        let &[table, flags, _, ext_hi, ext_lo, version, number, last, ref body @ ..] = data_before_crc else {
            return Err(ErrorKind::Size("section"));
        };
        if crc32(data) != 0 {
            return Err(ErrorKind::Checksum("section"));
        }
        if flags & 0x80 == 0 || number > last {
            return Err(ErrorKind::Malformed("section syntax"));
        }
        Ok(Self {
            table,
            extension: u16::from_be_bytes([ext_hi, ext_lo]),
            current: version & 1 != 0,
            number,
            last,
            body,
            crc: u32::from_be_bytes(*crc),
        })
    }
}

/// A program of a PAT: its number and the PID of its PMT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Program {
    pub(super) number: u16,
    pub(super) pid: u16,
}

/// The programs of a PAT section. `Err` for an entry that can't be followed: a PMT where tables or null packets
/// are.
pub(super) fn programs<'a>(
    s: &Section<'a>,
) -> Option<impl Iterator<Item = Result<Program, &'static str>> + use<'a>> {
    let (entries, _) = s.body.as_chunks::<4>();
    let each = |e: &[u8; 4]| {
        let [n1, n2, p1, p2] = *e;
        let p = Program { number: u16::from_be_bytes([n1, n2]), pid: u16::from_be_bytes([p1 & 0x1F, p2]) };
        match p {
            Program { number: 0, .. } => None, // the network information table
            Program { pid: FIRST_FREE_PID..=0x1FFE, .. } => Some(Ok(p)),
            _ => Some(Err("PMT PID is reserved")),
        }
    };
    (s.table == PAT && s.current).then(|| entries.iter().filter_map(each))
}

/// Descriptors: tag and data. One that is longer than what is left ends them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Descriptors<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Descriptors<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (&[tag, len], rest) = self.0.split_first_chunk::<2>()?;
        let (data, rest) = rest.split_at_checked(len.into())?;
        self.0 = rest;
        Some((tag, data))
    }
}

impl Descriptors<'_> {
    /// `format_identifier` of the registration descriptor (§2.6.8).
    pub(super) fn registration(&self) -> Option<[u8; 4]> {
        self.clone().find(|d| d.0 == 0x05)?.1.first_chunk().copied()
    }
}

/// An elementary stream of a PMT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Elementary<'a> {
    pub(super) stream_type: u8,
    pub(super) pid: u16,
    pub(super) descriptors: Descriptors<'a>,
}

/// A PMT section's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ProgramMap<'a> {
    /// `None` when the program has no clock.
    pub(super) pcr_pid: Option<u16>,
    pub(super) descriptors: Descriptors<'a>,
    pub(super) streams: SmallVec<[Elementary<'a>; 8]>,
    /// Streams that were left out: reserved or double PIDs, or past the limit.
    pub(super) rejected: Option<&'static str>,
}

impl<'a> ProgramMap<'a> {
    /// Reads a PMT that came on `pmt_pid`. `None` for another table or one that isn't applicable yet.
    pub(super) fn parse(s: &Section<'a>, pmt_pid: u16) -> Result<Option<Self>, &'static str> {
        if s.table != PMT || !s.current {
            return Ok(None);
        }
        let &[p1, p2, l1, l2, ref rest @ ..] = s.body else { return Err("PMT length") };
        let len = usize::from(u16::from_be_bytes([l1 & 0x0F, l2]));
        let Some((info, mut rest)) = rest.split_at_checked(len) else { return Err("program_info_length") };
        let pcr_pid = u16::from_be_bytes([p1 & 0x1F, p2]);
        let mut map = Self {
            pcr_pid: (pcr_pid != super::packet::NULL_PID).then_some(pcr_pid),
            descriptors: Descriptors(info),
            streams: SmallVec::new(),
            rejected: None,
        };
        while let Some((&[stream_type, p1, p2, l1, l2], after)) = rest.split_first_chunk::<5>() {
            let pid = u16::from_be_bytes([p1 & 0x1F, p2]);
            let len = usize::from(u16::from_be_bytes([l1 & 0x0F, l2]));
            let Some((info, after)) = after.split_at_checked(len) else {
                map.rejected = Some("ES_info_length");
                break;
            };
            rest = after;
            if pid == pmt_pid || !(FIRST_FREE_PID..0x1FFF).contains(&pid) {
                map.rejected = Some("elementary PID is reserved");
            } else if map.streams.iter().any(|s| s.pid == pid) {
                map.rejected = Some("elementary PID is there twice");
            } else if map.streams.len() >= limits::MAX_STREAMS {
                map.rejected = Some("streams in a program");
                break;
            } else {
                map.streams.push(Elementary { stream_type, pid, descriptors: Descriptors(info) });
            }
        }
        Ok(Some(map))
    }
}

fn long_section(table: u8, private: bool, extension: u16, version: u8, body: &[u8]) -> Vec<u8> {
    let len = (body.len() + 9) as u16 & 0x0FFF;
    let [l1, l2] = len.to_be_bytes();
    let [e1, e2] = extension.to_be_bytes();
    let syntax = if private { 0xF0 } else { 0xB0 };
    let mut out = vec![table, syntax | l1, l2, e1, e2, 0xC1 | (version & 0x1F) << 1, 0, 0];
    out.extend_from_slice(body);
    let crc = crc32(&out);
    out.extend_from_slice(&crc.to_be_bytes());
    out
}

/// A PAT section with one program.
pub(super) fn write_pat(transport: u16, program: Program) -> Vec<u8> {
    let [n1, n2] = program.number.to_be_bytes();
    let [p1, p2] = program.pid.to_be_bytes();
    long_section(PAT, false, transport, 0, &[n1, n2, 0xE0 | p1, p2])
}

/// A PMT section. `streams` are stream type, PID and descriptors.
pub(super) fn write_pmt(
    program: u16,
    version: u8,
    pcr_pid: u16,
    descriptors: &[u8],
    streams: &[(u8, u16, Vec<u8>)],
) -> Vec<u8> {
    let mut body = Vec::new();
    let mut put = |head: Option<u8>, pid: u16, descriptors: &[u8]| {
        body.extend(head);
        body.extend_from_slice(&(0xE000 | pid).to_be_bytes());
        body.extend_from_slice(&(0xF000 | descriptors.len() as u16).to_be_bytes());
        body.extend_from_slice(descriptors);
    };
    put(None, pcr_pid, descriptors);
    for (stream_type, pid, d) in streams {
        put(Some(*stream_type), *pid, d);
    }
    long_section(PMT, false, program, version, &body)
}

/// An SDT section that names the one service.
pub(super) fn write_sdt(transport: u16, program: u16, provider: &str, service: &str) -> Vec<u8> {
    let mut d = vec![0x01]; // digital television
    for s in [provider, service] {
        d.push(s.len() as u8);
        d.extend_from_slice(s.as_bytes());
    }
    let [n1, n2] = program.to_be_bytes();
    // original_network_id, reserved, service_id, no EIT, running, clear
    let mut body = vec![0xFF, 0x01, 0xFF, n1, n2, 0xFC, 0x80, (d.len() + 2) as u8, 0x48, d.len() as u8];
    body.extend_from_slice(&d);
    long_section(SDT, true, transport, 0, &body)
}

#[cfg(test)]
mod tests {
    use super::super::packet::{self, LEN};
    use super::*;

    fn read(bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut s = Sections::default();
        let mut got = Vec::new();
        for c in bytes.as_chunks::<LEN>().0 {
            s.push(&Packet::parse(c).unwrap(), |d| got.push(d.to_vec()));
        }
        got
    }

    fn big_pmt() -> Vec<u8> {
        let streams: Vec<_> = (0..limits::MAX_STREAMS as u16)
            .map(|i| (0x0F, 0x100 + i, vec![0x0A, 4, b'd', b'e', b'u', 0]))
            .collect();
        write_pmt(1, 3, 0x100, &[], &streams)
    }

    #[test]
    fn a_section_over_several_packets() {
        let section = big_pmt();
        let mut out = Vec::new();
        let mut counter = 15;
        packet::write_section(0x20, &mut counter, &section, &mut out);
        assert!(out.len() >= 2 * LEN);
        let got = read(&out);
        assert_eq!(got, std::slice::from_ref(&section));
        let s = Section::parse(&section).unwrap();
        let map = ProgramMap::parse(&s, 0x20).unwrap().unwrap();
        assert_eq!((map.streams.len(), map.rejected), (limits::MAX_STREAMS, None));
        // a lost, a doubled packet
        let mut lost = out.clone();
        lost.drain(LEN..2 * LEN);
        assert!(read(&lost).is_empty());
        let mut twice = out.clone();
        twice.splice(LEN..LEN, out[..LEN].to_vec());
        assert_eq!(read(&twice), std::slice::from_ref(&section));
    }

    #[test]
    fn two_sections_in_a_packet_and_the_end_of_one_before_them() {
        let a = big_pmt();
        let b = write_pat(1, Program { number: 1, pid: 0x1000 });
        let all = [a.clone(), b.clone(), b.clone()].concat();
        let mut out = Vec::new();
        let mut at = 0;
        let mut counter = 0;
        while at < all.len() {
            let start = at == 0 || at < a.len() && at + 183 >= a.len();
            let mut p = vec![0x47, if start { 0x40 } else { 0 }, 0x20, 0x10 | counter & 15];
            if start {
                p.push(if at == 0 { 0 } else { (a.len() - at) as u8 });
            }
            let n = (LEN - p.len()).min(all.len() - at);
            p.extend_from_slice(&all[at..at + n]);
            p.resize(LEN, 0xFF);
            out.extend(p);
            at += n;
            counter += 1;
        }
        assert_eq!(read(&out), [a, b.clone(), b]);
    }

    #[test]
    fn hostile_tables() {
        let mut pat = write_pat(1, Program { number: 1, pid: 0 });
        let s = Section::parse(&pat).unwrap();
        assert!(programs(&s).unwrap().all(|p| p.is_err()));
        pat[9] ^= 1;
        assert_eq!(Section::parse(&pat).unwrap_err(), ErrorKind::Checksum("section"));
        let pmt = write_pmt(
            1,
            0,
            packet::NULL_PID,
            &[],
            &[(0x1B, 0x20, vec![]), (0x1B, 0, vec![]), (0x1B, 0x100, vec![5, 200]), (0x0F, 0x100, vec![])],
        );
        let s = Section::parse(&pmt).unwrap();
        let map = ProgramMap::parse(&s, 0x20).unwrap().unwrap();
        assert_eq!(map.streams.len(), 1);
        assert_eq!(map.pcr_pid, None);
        assert!(map.rejected.is_some());
        assert_eq!(map.streams[0].descriptors.count(), 0);
        for n in 0..pmt.len() {
            assert!(Section::parse(&pmt[..n]).is_err());
        }
        // section_length 4095 without an end: bounded by its 12 bits, given up at the next start
        let mut s = Sections::default();
        let mut p = [0xAAu8; LEN];
        p[..8].copy_from_slice(&[0x47, 0x40, 0x00, 0x10, 0, 0, 0xBF, 0xFF]);
        for i in 0..1000u32 {
            p[3] = 0x10 | (i & 15) as u8;
            p[1] = if i % 100 == 0 { 0x40 } else { 0 };
            s.push(&Packet::parse(&p).unwrap(), |_| {});
            assert!(s.buf.len() <= 4098);
        }
    }
}
