//! `stbl`: the sample table (ISO/IEC 14496-12 §8.5.1).

use crate::mp4::boxes::{Log, Part, Table};
use crate::mp4::codecs::FourCc;
use crate::mp4::limits;
use mist_core::format::{ErrorKind, FormatError};

pub(in crate::mp4) mod ctts;
pub(in crate::mp4) mod stco;
pub(in crate::mp4) mod stsd;
pub(in crate::mp4) mod stsz;

use ctts::Ctts;
use stco::Stco;
use stsd::Entry;
use stsz::Stsz;

/// Where a track's samples are, when they are shown and how large they are: the tables as they lie in the file.
#[derive(Debug, Clone, Default)]
pub(in crate::mp4) struct Tables {
    /// `stts`: runs of samples with one duration (§8.6.1.2): count, duration.
    pub(in crate::mp4) stts: Table<8>,
    /// `ctts`: composition offsets.
    pub(in crate::mp4) ctts: Ctts,
    /// `stsc`: runs of chunks (§8.7.4): first chunk, samples a chunk, sample description, the first and last from 1.
    pub(in crate::mp4) stsc: Table<12>,
    /// `stco` or `co64`: offsets of chunks.
    pub(in crate::mp4) stco: Stco,
    /// `stsz` or `stz2`: sizes.
    pub(in crate::mp4) stsz: Stsz,
    /// `stss`: numbers of keyframes, from 1 and ascending (§8.6.2); without it all are.
    pub(in crate::mp4) stss: Option<Table<4>>,
}

impl Tables {
    /// Bytes that they take.
    pub(in crate::mp4) fn bytes(&self) -> usize {
        let stss = self.stss.as_ref().map_or(0, Table::bytes);
        self.stts.bytes()
            + self.ctts.bytes()
            + self.stsc.bytes()
            + self.stco.bytes()
            + self.stsz.bytes()
            + stss
    }
}

/// Reads it.
///
/// # Errors
/// There are no sample descriptions.
pub(in crate::mp4) fn read(
    part: &Part,
    handler: &FourCc,
    log: &mut Log,
) -> Result<(Vec<Option<Entry>>, Tables), FormatError> {
    let mut t = Tables::default();
    let mut entries = None;
    for p in part.checked(0, "moov/trak/stbl", log) {
        match &p.kind {
            b"stsd" => entries = Some(stsd::read(&p, handler, log)),
            b"stts" => t.stts = Table::read(&p, "moov/trak/stbl/stts", log),
            b"ctts" => t.ctts = Ctts::read(&p, log),
            b"stsc" => t.stsc = Table::read(&p, "moov/trak/stbl/stsc", log),
            b"stco" => t.stco = Stco::Short(Table::read(&p, "moov/trak/stbl/stco", log)),
            b"co64" => t.stco = Stco::Long(Table::read(&p, "moov/trak/stbl/co64", log)),
            b"stsz" => t.stsz = stsz::read(&p, log),
            b"stz2" => t.stsz = stsz::read_compact(&p, log),
            b"stss" => t.stss = Some(Table::read(&p, "moov/trak/stbl/stss", log)),
            _ => {}
        }
    }
    let entries = entries
        .ok_or_else(|| part.error("moov/trak/stbl/stsd", ErrorKind::Malformed("no sample descriptions")))?;
    if entries.len() >= limits::DESCRIPTIONS {
        log.add(part.error("moov/trak/stbl/stsd", ErrorKind::Limit("sample descriptions")));
    }
    Ok((entries, t))
}
