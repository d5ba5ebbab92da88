//! `stco` and `co64`: where chunks are (ISO/IEC 14496-12 §8.7.5).

use crate::mp4::boxes::Table;

/// Chunk offsets.
#[derive(Debug, Clone)]
pub(in crate::mp4) enum Stco {
    /// Of 32 bits.
    Short(Table<4>),
    /// Of 64 bits.
    Long(Table<8>),
}

impl Default for Stco {
    fn default() -> Self {
        Self::Short(Table::default())
    }
}

impl Stco {
    /// A chunk's offset.
    pub(in crate::mp4) fn get(&self, i: u32) -> Option<u64> {
        match self {
            Self::Short(t) => t.get(i).map(|b| u32::from_be_bytes(b).into()),
            Self::Long(t) => t.get(i).map(u64::from_be_bytes),
        }
    }

    /// Bytes that it takes.
    pub(in crate::mp4) const fn bytes(&self) -> usize {
        match self {
            Self::Short(t) => t.bytes(),
            Self::Long(t) => t.bytes(),
        }
    }
}
