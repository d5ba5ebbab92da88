//! `stsz` and `stz2`: sizes of samples (ISO/IEC 14496-12 §8.7.3).

use crate::mp4::boxes::{Log, Part, Reader, Table};
use mist_core::format::ErrorKind;

/// Sample sizes.
#[derive(Debug, Clone)]
pub(in crate::mp4) enum Stsz {
    /// All of one size.
    Constant {
        /// Bytes of a sample; not 0.
        size: u32,
        /// Samples, however many are declared.
        count: u32,
    },
    /// One size each.
    Long(Table<4>),
    /// One size of 16 bits each.
    Short(Table<2>),
    /// One size of 8 bits each.
    Byte(Table<1>),
    /// One size of 4 bits each: table of pairs, and samples.
    Half(Table<1>, u32),
}

impl Default for Stsz {
    fn default() -> Self {
        Self::Long(Table::default())
    }
}

impl Stsz {
    /// Samples.
    pub(in crate::mp4) const fn len(&self) -> u32 {
        match self {
            Self::Constant { count, .. } | Self::Half(_, count) => *count,
            Self::Long(t) => t.len(),
            Self::Short(t) => t.len(),
            Self::Byte(t) => t.len(),
        }
    }

    /// A sample's size.
    pub(in crate::mp4) fn get(&self, i: u32) -> Option<u32> {
        match self {
            Self::Constant { size, count } => (i < *count).then_some(*size),
            Self::Long(t) => t.get(i).map(u32::from_be_bytes),
            Self::Short(t) => t.get(i).map(|b| u16::from_be_bytes(b).into()),
            Self::Byte(t) => t.get(i).map(|[b]| b.into()),
            Self::Half(t, count) => {
                let [b] = t.get(i / 2).filter(|_| i < *count)?;
                Some(u32::from(if i.is_multiple_of(2) { b >> 4 } else { b & 15 }))
            }
        }
    }

    /// Bytes that it takes.
    pub(in crate::mp4) const fn bytes(&self) -> usize {
        match self {
            Self::Constant { .. } => 0,
            Self::Long(t) => t.bytes(),
            Self::Short(t) => t.bytes(),
            Self::Byte(t) | Self::Half(t, _) => t.bytes(),
        }
    }
}

/// Reads `stsz`.
pub(super) fn read(part: &Part, log: &mut Log) -> Stsz {
    const PATH: &str = "moov/trak/stbl/stsz";
    let mut r = Reader(&part.body);
    let (Some(_), Some(size), Some(count)) = (r.full(), r.u32(), r.u32()) else {
        log.add(part.error(PATH, ErrorKind::Truncated));
        return Stsz::default();
    };
    if size != 0 { Stsz::Constant { size, count } } else { Stsz::Long(Table::of(part, PATH, 12, count, log)) }
}

/// Reads `stz2`.
pub(super) fn read_compact(part: &Part, log: &mut Log) -> Stsz {
    const PATH: &str = "moov/trak/stbl/stz2";
    let mut r = Reader(&part.body);
    let (Some(_), Some(bits), Some(count)) = (r.full(), r.u32(), r.u32()) else {
        log.add(part.error(PATH, ErrorKind::Truncated));
        return Stsz::default();
    };
    match bits & 0xff {
        4 => {
            let t = Table::of(part, PATH, 12, count.div_ceil(2), log);
            let there = t.len().saturating_mul(2);
            Stsz::Half(t, count.min(there))
        }
        8 => Stsz::Byte(Table::of(part, PATH, 12, count, log)),
        16 => Stsz::Short(Table::of(part, PATH, 12, count, log)),
        _ => {
            log.add(part.error(PATH, ErrorKind::Malformed("field size")));
            Stsz::default()
        }
    }
}
