//! `moof`: a fragment's samples (ISO/IEC 14496-12 §8.8.4).

use super::moov::mvex::Trex;
use super::{Log, Part};
use crate::mp4::limits;
use mist_core::format::ErrorKind;

pub(in super::super) mod tfdt;
pub(in super::super) mod tfhd;
pub(in super::super) mod trun;

use trun::Run;

/// What `traf` says of a track.
#[derive(Debug)]
pub(in super::super) struct Traf {
    /// The track.
    pub(in super::super) track: u32,
    /// Sample description, counted from 1; 0 where nothing says.
    pub(in super::super) description: u32,
    /// Decoding time of the first sample in the track's timescale, where it is said.
    pub(in super::super) start: Option<u64>,
    /// Runs of samples.
    pub(in super::super) runs: Vec<Run>,
}

/// Reads it. `part` lies at its offset in the source; `defaults` are those of `moov`.
pub(in super::super) fn read(part: &Part, defaults: &[Trex], log: &mut Log) -> Vec<Traf> {
    let moof = part.at.saturating_sub(part.head);
    let mut all = Vec::new();
    // Where the data of a track begins that doesn't say so: behind that of the track before it.
    let mut next = moof;
    for p in part.checked(0, "moof", log).filter(|p| p.kind == *b"traf") {
        if all.len() >= limits::TRACKS {
            log.add(p.error("moof/traf", ErrorKind::Limit("tracks")));
            break;
        }
        let Some(head) = p.find(0, b"tfhd").and_then(|h| tfhd::read(&h, defaults)) else {
            log.add(p.error("moof/traf/tfhd", ErrorKind::Missing("no track fragment header")));
            continue;
        };
        let base = head.base.unwrap_or(if head.from_moof { moof } else { next });
        let mut at = base;
        let (mut start, mut absolute) = (None, None);
        let mut runs = Vec::new();
        for p in p.checked(0, "moof/traf", log) {
            match &p.kind {
                b"tfdt" => start = tfdt::read(&p),
                b"uuid" => absolute = absolute.or_else(|| tfdt::read_tfxd(&p)),
                b"trun" if runs.len() >= limits::RUNS => {
                    log.add(p.error("moof/traf/trun", ErrorKind::Limit("runs")));
                }
                b"trun" => {
                    if let Some(run) = trun::read(&p, base, at, &head, log) {
                        at = run.end();
                        runs.push(run);
                    }
                }
                _ => {}
            }
        }
        next = at;
        let start = start.or(absolute);
        all.push(Traf { track: head.defaults.track, description: head.defaults.description, start, runs });
    }
    all
}
