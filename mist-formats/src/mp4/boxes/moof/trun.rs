//! `trun`: a run of samples that lie one behind the other (ISO/IEC 14496-12 §8.8.8).

use super::tfhd::Tfhd;
use crate::mp4::boxes::moov::mvex::Trex;
use crate::mp4::boxes::{Log, Part, Reader};
use bytes::Bytes;
use mist_core::format::ErrorKind;

const FIRST_FLAGS: u32 = 4;
const DURATION: u32 = 0x100;
const SIZE: u32 = 0x200;
const FLAGS: u32 = 0x400;
const OFFSET: u32 = 0x800;

/// A run, its samples as they lie in the file.
#[derive(Debug, Clone)]
pub(in crate::mp4) struct Run {
    /// Offset in the source of the next sample.
    pub(in crate::mp4) at: u64,
    /// Samples that are left.
    pub(in crate::mp4) left: u32,
    rest: Bytes,
    fields: u32,
    first_flags: Option<u32>,
    defaults: Trex,
}

/// A sample of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mp4) struct RunSample {
    /// Duration.
    pub(in crate::mp4) duration: u32,
    /// Bytes.
    pub(in crate::mp4) size: u32,
    /// Decoding can start here.
    pub(in crate::mp4) key: bool,
    /// Composition offset.
    pub(in crate::mp4) cts: i32,
}

/// Reads it. Data offsets count from `base`; without one it continues at `next`.
pub(super) fn read(part: &Part, base: u64, next: u64, head: &Tfhd, log: &mut Log) -> Option<Run> {
    const PATH: &str = "moof/traf/trun";
    let mut r = Reader(&part.body);
    let (_, fields) = r.full()?;
    let mut left = r.u32()?;
    let at = if fields & 1 != 0 { base.checked_add_signed(i64::from(r.u32()? as i32)) } else { Some(next) };
    let Some(at) = at else {
        log.add(part.error(PATH, ErrorKind::Malformed("data offset")));
        return None;
    };
    let first_flags = if fields & FIRST_FLAGS != 0 { Some(r.u32()?) } else { None };
    let rest = part.body.slice_ref(r.0);
    match (rest.len()).checked_div(entry(fields)) {
        Some(there) if (there as u64) < u64::from(left) => {
            log.add(part.error(PATH, ErrorKind::Size("more entries declared than there are")));
            left = there as u32;
        }
        // Nothing tells them apart and nothing is in them.
        None if head.defaults.size == 0 && left > 1 => {
            log.add(part.error(PATH, ErrorKind::Malformed("samples without a size")));
            left = 0;
        }
        _ => {}
    }
    Some(Run { at, left, rest, fields, first_flags, defaults: head.defaults })
}

/// Bytes of a sample's entry.
const fn entry(fields: u32) -> usize {
    (fields & (DURATION | SIZE | FLAGS | OFFSET)).count_ones() as usize * 4
}

impl Run {
    /// The next sample, if one is left.
    pub(in crate::mp4) fn peek(&self) -> Option<RunSample> {
        if self.left == 0 {
            return None;
        }
        let mut r = Reader(&self.rest);
        let d = &self.defaults;
        let mut field = |bit: u32, default: u32| {
            if self.fields & bit != 0 { r.u32() } else { Some(default) }
        };
        let duration = field(DURATION, d.duration)?;
        let size = field(SIZE, d.size)?;
        let flags = field(FLAGS, d.flags)?;
        let cts = field(OFFSET, 0)? as i32;
        let flags = self.first_flags.unwrap_or(flags);
        // sample_is_non_sync_sample, or sample_depends_on says that it does.
        let key = flags & 0x1_0000 == 0 && flags >> 24 & 3 != 1;
        Some(RunSample { duration, size, key, cts })
    }

    /// Goes on to the one after it.
    pub(in crate::mp4) fn skip(&mut self) {
        let Some(s) = self.peek() else {
            self.left = 0;
            return;
        };
        self.left -= 1;
        self.at = self.at.saturating_add(s.size.into());
        self.first_flags = None;
        let entry = entry(self.fields).min(self.rest.len());
        bytes::Buf::advance(&mut self.rest, entry);
    }

    /// Offset of the byte behind its last sample.
    pub(in crate::mp4) fn end(&self) -> u64 {
        if self.fields & SIZE == 0 {
            return self.at.saturating_add(u64::from(self.left) * u64::from(self.defaults.size));
        }
        self.walk().fold(self.at, |at, s| at.saturating_add(s.size.into()))
    }

    /// How far the most negative composition offset lies below 0.
    pub(in crate::mp4) fn below(&self) -> i64 {
        if self.fields & OFFSET == 0 {
            return 0;
        }
        -i64::from(self.walk().map(|s| s.cts).min().unwrap_or(0).min(0))
    }

    /// How long all that is left takes.
    pub(in crate::mp4) fn duration(&self) -> i64 {
        if self.fields & DURATION == 0 {
            return i64::from(self.left).saturating_mul(self.defaults.duration.into());
        }
        self.walk().fold(0i64, |t, s| t.saturating_add(s.duration.into()))
    }

    /// Its samples; only for fields that have entries.
    fn walk(&self) -> impl Iterator<Item = RunSample> {
        let mut run = self.clone();
        std::iter::from_fn(move || {
            let s = run.peek()?;
            run.skip();
            Some(s)
        })
    }
}
