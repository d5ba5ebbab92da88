//! `moov`: everything about a file but its media (ISO/IEC 14496-12 §8.2.1).

use super::{Log, Part};
use crate::mp4::limits;
use mist_core::format::ErrorKind;
use mist_core::time::Duration;

pub(in super::super) mod mvex;
pub(in super::super) mod mvhd;
pub(in super::super) mod trak;

use mvex::Trex;
use trak::Trak;

/// What `moov` says.
#[derive(Debug)]
pub(in super::super) struct Moov {
    /// Its tracks.
    pub(in super::super) tracks: Vec<Trak>,
    /// Defaults of fragments.
    pub(in super::super) defaults: Vec<Trex>,
    /// Fragments may follow.
    pub(in super::super) fragmented: bool,
    /// How long it is, where its header says so.
    pub(in super::super) duration: Option<Duration>,
}

/// Reads it. What is wrong with a track costs that track.
pub(in super::super) fn read(part: &Part, log: &mut Log) -> Moov {
    let (scale, duration) = part.find(0, b"mvhd").and_then(|p| mvhd::read(&p)).unwrap_or((0, None));
    let mut moov = Moov { tracks: Vec::new(), defaults: Vec::new(), fragmented: false, duration };
    if scale == 0 {
        log.add(part.error("moov/mvhd", ErrorKind::Malformed("no timescale")));
    }
    for p in part.checked(0, "moov", log) {
        match &p.kind {
            b"trak" if moov.tracks.len() >= limits::TRACKS => {
                log.add(p.error("moov/trak", ErrorKind::Limit("tracks")));
            }
            b"trak" => match trak::read(&p, scale, log) {
                Ok(t) if moov.tracks.iter().any(|o| o.id == t.id) => {
                    log.add(p.error("moov/trak/tkhd", ErrorKind::Malformed("two tracks with one id")));
                }
                Ok(t) => moov.tracks.push(t),
                Err(e) => log.add(e),
            },
            b"mvex" => {
                moov.fragmented = true;
                let all = p.checked(0, "moov/mvex", log).filter(|p| p.kind == *b"trex");
                moov.defaults.extend(all.filter_map(|p| mvex::trex(&p)).take(limits::TRACKS));
            }
            _ => {}
        }
    }
    moov
}
