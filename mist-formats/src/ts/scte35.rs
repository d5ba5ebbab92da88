//! Splice information sections (ANSI/SCTE 35 §9.2), passed through.

use super::Sink;
use super::packet;
use super::psi::{Sections, crc32};
use bytes::Bytes;
use mist_core::codec::Codec;
use mist_core::format::ErrorKind;
use mist_core::media::{Packet, Params, TrackId};
use mist_core::time::Duration;

/// `table_id` of a splice information section.
const TABLE: u8 = 0xFC;

/// Takes the sections of a PID. A packet is a whole section with its CRC; its time is that of the pictures and sound
/// around it, as a section has no stamp of its own.
#[derive(Debug, Default)]
pub(super) struct Splices {
    sections: Sections,
    described: bool,
}

impl Splices {
    /// A packet of the PID.
    pub(super) fn packet(&mut self, p: &packet::Packet<'_>, out: &mut impl Sink) {
        let Self { sections, described } = self;
        sections.push(p, |section| {
            if section.first() != Some(&TABLE) || crc32(section) != 0 {
                out.problem("splice_info_section", ErrorKind::Malformed("section CRC"));
                return;
            }
            if !*described {
                *described = true;
                out.describe(Codec::Scte35, Bytes::new(), Params::Other);
            }
            let data = Bytes::copy_from_slice(section);
            let zero = Duration::ZERO;
            let dts = out.any_time();
            out.packet(Packet { track: TrackId(0), dts, cts: zero, duration: zero, key: true, data });
        });
    }
}
