//! Reports beside the media (RTCP, RFC 3550 §6).

use super::limits;
use mist_core::codec::CodecError;
use mist_core::time::{TICKS_PER_SECOND, Timestamp};

/// One packet of a compound.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Report {
    /// SR: what the sender has sent, and its clocks.
    Sender(SenderReport),
    /// RR: what a receiver got.
    Receiver {
        /// The receiver.
        ssrc: u32,
        /// What it got of each sender.
        blocks: Vec<Reception>,
    },
    /// SDES: who is who.
    Description {
        /// The source.
        ssrc: u32,
        /// Its canonical name; empty where it isn't said.
        name: String,
    },
    /// BYE: sources leave.
    Bye {
        /// The first of them, if there is any.
        ssrc: Option<u32>,
    },
    /// Another type.
    Other(u8),
}

/// The clocks of a sender at one moment, and its counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderReport {
    /// The sender.
    pub ssrc: u32,
    /// Wall clock, in 2^-32 seconds since 1900; 0 where the sender has none.
    pub ntp: u64,
    /// The same moment by the clock of its timestamps.
    pub timestamp: u32,
    /// Packets sent so far.
    pub packets: u32,
    /// Bytes of payload sent so far.
    pub bytes: u32,
}

impl SenderReport {
    /// The wall clock on mist's time line, counted from 1900; `None` where the sender has none.
    pub const fn wall_clock(&self) -> Option<Timestamp> {
        if self.ntp >> 32 == 0 {
            return None;
        }
        let seconds = (self.ntp >> 32) as i64;
        let part = ((self.ntp & 0xffff_ffff) * TICKS_PER_SECOND as u64) >> 32;
        Some(Timestamp::from_ticks(seconds.saturating_mul(TICKS_PER_SECOND).saturating_add(part as i64)))
    }
}

/// A report block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reception {
    /// The sender that it is about.
    pub ssrc: u32,
    /// Part of its packets that were lost since the report before, in 1/256.
    pub fraction_lost: u8,
    /// All that were lost; negative where duplicates came.
    pub lost: i32,
    /// The highest sequence number that came, with its wraps.
    pub highest: u32,
    /// Jitter in units of the timestamps.
    pub jitter: u32,
}

/// Takes a compound packet apart.
///
/// # Errors
/// Another version, or a length that exceeds the packet. What came before is given to `each` all the same.
pub fn parse(mut data: &[u8], mut each: impl FnMut(Report)) -> Result<(), CodecError> {
    for _ in 0..limits::REPORTS {
        if data.is_empty() {
            return Ok(());
        }
        let Some((&[flags, kind, l0, l1], rest)) = data.split_first_chunk() else {
            return Err(CodecError::truncated("RTCP head"));
        };
        if flags >> 6 != 2 {
            return Err(CodecError::malformed("RTCP version"));
        }
        let len = usize::from(u16::from_be_bytes([l0, l1])) * 4;
        let (body, rest) = rest.split_at_checked(len).ok_or(CodecError::truncated("RTCP packet"))?;
        data = rest;
        each(report(flags & 31, kind, body).ok_or(CodecError::truncated("RTCP packet"))?);
    }
    Err(CodecError::limit("RTCP packets in a compound"))
}

fn u32_at(data: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*data.get(at..)?.first_chunk()?))
}

fn report(count: u8, kind: u8, body: &[u8]) -> Option<Report> {
    Some(match kind {
        200 => Report::Sender(SenderReport {
            ssrc: u32_at(body, 0)?,
            ntp: u64::from(u32_at(body, 4)?) << 32 | u64::from(u32_at(body, 8)?),
            timestamp: u32_at(body, 12)?,
            packets: u32_at(body, 16)?,
            bytes: u32_at(body, 20)?,
        }),
        201 => {
            let block = |b: &[u8]| {
                Some(Reception {
                    ssrc: u32_at(b, 0)?,
                    fraction_lost: *b.get(4)?,
                    lost: (u32_at(b, 4)? << 8) as i32 >> 8,
                    highest: u32_at(b, 8)?,
                    jitter: u32_at(b, 12)?,
                })
            };
            let blocks = body.get(4..)?.chunks_exact(24).take(count.into()).filter_map(block).collect();
            Report::Receiver { ssrc: u32_at(body, 0)?, blocks }
        }
        202 if count == 0 => Report::Other(kind),
        202 => Report::Description { ssrc: u32_at(body, 0)?, name: canonical_name(body.get(4..)?) },
        203 => Report::Bye { ssrc: u32_at(body, 0).filter(|_| count > 0) },
        other => Report::Other(other),
    })
}

/// CNAME among the items of a chunk.
fn canonical_name(mut items: &[u8]) -> String {
    while let [kind, len, rest @ ..] = items {
        if *kind == 0 {
            break;
        }
        let Some((text, rest)) = rest.split_at_checked((*len).into()) else { break };
        if *kind == 1 {
            return String::from_utf8_lossy(text).into_owned();
        }
        items = rest;
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compound() -> Vec<u8> {
        let mut d = vec![0x80, 200, 0, 6, 0, 0, 0, 9];
        d.extend_from_slice(&0xe000_0001_8000_0000u64.to_be_bytes());
        d.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, 7, 0, 0, 1, 0]);
        d.extend_from_slice(&[0x81, 202, 0, 3, 0, 0, 0, 9, 1, 3, b'm', b'e', b'!', 0, 0, 0]);
        d.extend_from_slice(&[0x81, 201, 0, 7, 0, 0, 0, 5]);
        d.extend_from_slice(&[0, 0, 0, 9, 3, 0xff, 0xff, 0xfe, 0, 1, 0, 2, 0, 0, 0, 4]);
        d.extend_from_slice(&[0; 8]);
        d.extend_from_slice(&[0x81, 203, 0, 1, 0, 0, 0, 9, 0x80, 77, 0, 0]);
        d
    }

    #[test]
    fn every_type() {
        let mut all = Vec::new();
        parse(&compound(), |r| all.push(r)).unwrap();
        let [
            Report::Sender(s),
            Report::Description { ssrc: 9, name },
            Report::Receiver { ssrc: 5, blocks },
            bye,
            other,
        ] = &all[..]
        else {
            panic!("{all:?}")
        };
        assert_eq!((s.ssrc, s.timestamp, s.packets, s.bytes, name.as_str()), (9, 0x1_0000, 7, 256, "me!"));
        let wall = Timestamp::from_secs(0xe000_0001) + mist_core::time::Duration::from_millis(500);
        assert_eq!(s.wall_clock(), Some(wall));
        assert_eq!(SenderReport { ntp: 5, ..*s }.wall_clock(), None);
        assert_eq!((blocks[0].lost, blocks[0].highest, blocks[0].jitter), (-2, 0x1_0002, 4));
        assert_eq!((bye, other), (&Report::Bye { ssrc: Some(9) }, &Report::Other(77)));
    }

    #[test]
    fn lies_are_refused() {
        let whole = compound();
        for n in 0..whole.len() {
            let mut read = 0;
            let done = parse(&whole[..n], |_| read += 1);
            assert!(done.is_err() || [0, 28, 44, 76, 84].contains(&n), "{n}");
            assert!(read <= 5);
        }
        assert!(parse(&[0x80, 200, 0, 0], drop).is_err());
        assert!(parse(&[0x00, 200, 0, 0], drop).is_err());
        let flood = [0x80, 77, 0, 0].repeat(limits::REPORTS + 1);
        assert_eq!(parse(&flood, drop), Err(CodecError::limit("RTCP packets in a compound")));
    }
}
