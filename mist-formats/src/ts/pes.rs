//! Packetized elementary streams (ISO/IEC 13818-1 §2.4.3.6–2.4.3.7): heads, time stamps, reassembly.

use super::limits;
use bytes::BytesMut;

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
