//! Splice information sections (ANSI/SCTE 35 §9.2), passed through.

use super::packet;
use super::psi::{Sections, crc32};
use super::{Sink, limits};
use bytes::Bytes;
use mist_core::codec::Codec;
use mist_core::format::ErrorKind;
use mist_core::media::{Packet, Params, TrackId};
use mist_core::time::{Duration, Timestamp};

/// Streams are less out of order than this.
const APART: Duration = Duration::from_secs(10);

/// `table_id` of a splice information section.
const TABLE: u8 = 0xFC;

/// Takes the sections of a PID. A packet is a whole section with its CRC. A section has no stamp of its own: its time
/// is the decoding time that was read last of any stream, not before that of the section before while streams are only
/// interleaved so, and sections before the first one wait for it.
#[derive(Debug, Default)]
pub(super) struct Splices {
    sections: Sections,
    waiting: Vec<Bytes>,
    described: bool,
    last: Option<Timestamp>,
}

impl Splices {
    /// A packet of the PID. `timed`: there is a time to give.
    pub(super) fn packet(&mut self, p: &packet::Packet<'_>, timed: bool, out: &mut impl Sink) {
        let Self { sections, waiting, .. } = self;
        sections.push(p, |section| {
            if section.first() != Some(&TABLE) || crc32(section) != 0 {
                out.problem("splice_info_section", ErrorKind::Checksum("section CRC"));
            } else if waiting.len() < limits::MAX_WAITING {
                waiting.push(Bytes::copy_from_slice(section));
            } else {
                out.problem("splice_info_section", ErrorKind::Limit("sections before any time"));
            }
        });
        if timed {
            self.settle(out);
        }
    }

    /// Hands out what waits for a time.
    pub(super) fn settle(&mut self, out: &mut impl Sink) {
        for data in self.waiting.drain(..) {
            if !std::mem::replace(&mut self.described, true) {
                out.describe(Codec::Scte35, Bytes::new(), Params::Other);
            }
            let zero = Duration::ZERO;
            let now = out.any_time();
            let dts = self.last.filter(|l| *l > now && *l - now < APART).unwrap_or(now);
            self.last = Some(dts);
            out.packet(Packet { track: TrackId(0), dts, cts: zero, duration: zero, key: true, data });
        }
    }
}
