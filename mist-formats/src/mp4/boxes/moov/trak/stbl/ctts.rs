//! `ctts`: composition offsets (ISO/IEC 14496-12 §8.6.1.3).

use crate::mp4::boxes::{Log, Part, Table, pair};

/// Runs of samples with one composition offset. Version 0 is unsigned by the standard; writers put negative ones there
/// all the same, and nobody offsets of half the range.
#[derive(Debug, Clone, Default)]
pub(in crate::mp4) struct Ctts {
    table: Table<8>,
    /// How far the most negative offset lies below 0.
    below: i64,
}

impl Ctts {
    pub(super) fn read(part: &Part, log: &mut Log) -> Self {
        let table = Table::read(part, "moov/trak/stbl/ctts", log);
        let lowest = table.iter().map(|e| pair(e).1 as i32).min().unwrap_or(0);
        Self { table, below: -i64::from(lowest.min(0)) }
    }

    /// How far decoding times have to come before the ones that the file says so that no picture is to be shown before
    /// it is decoded.
    pub(in crate::mp4) const fn below(&self) -> i64 {
        self.below
    }

    /// A run: samples and offset.
    pub(in crate::mp4) fn run(&self, i: u32) -> Option<(u32, i32)> {
        self.table.get(i).map(pair).map(|(n, o)| (n, o as i32))
    }

    /// Bytes that it takes.
    pub(in crate::mp4) const fn bytes(&self) -> usize {
        self.table.bytes()
    }
}
