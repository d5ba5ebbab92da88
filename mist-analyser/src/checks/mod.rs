//! Checks of a container beside its demuxer.

mod id3;
mod mp4;
mod wav;

use crate::problem::{Problem, Sort};
use mist_core::format::{ErrorKind, FormatError, Node};
use mist_core::media::TrackId;
use mist_formats::ts::check::{Checker, Fault, Finding};
use mp4::Mp4;
use std::io;
use wav::Wav;

/// Names of codecs that are kept.
const MAX_NAMES: usize = 256;

/// What is checked of this container.
pub(crate) enum Checks {
    Nothing,
    Ts(Box<Checker>),
    /// By its elements.
    Mkv(Mkv),
    /// By its boxes.
    Mp4(Mp4),
    /// By its chunks.
    Wav(Wav),
    /// By the tags in front of it; whether they were looked at.
    Tagged(bool),
}

/// What was seen of a Matroska file.
#[derive(Debug, Default)]
pub(crate) struct Mkv {
    cues: bool,
    clusters: u64,
    /// Where the last track is described, and where those before are, with the names of their codecs.
    entry: u64,
    codecs: Vec<(u64, String)>,
}

impl Checks {
    /// For a format.
    pub(crate) fn of(format: &str) -> Self {
        match format {
            "TS" => Self::Ts(Box::default()),
            "MKV" => Self::Mkv(Mkv::default()),
            "MP4" => Self::Mp4(Mp4::default()),
            "WAV" => Self::Wav(Wav::default()),
            "MP3" | "ADTS" => Self::Tagged(false),
            _ => Self::Nothing,
        }
    }

    /// Whether the container's structure is looked at.
    pub(crate) fn wants_nodes(&self) -> bool {
        matches!(self, Self::Mkv(_) | Self::Mp4(_))
    }

    /// A piece of structure.
    pub(crate) fn node(&mut self, n: &Node) {
        match self {
            Self::Mkv(m) => match n.name {
                "Cues" => m.cues = true,
                "Cluster" => m.clusters += 1,
                "TrackEntry" => m.entry = n.offset,
                "CodecID" if m.codecs.len() < MAX_NAMES => m.codecs.push((m.entry, n.detail.clone())),
                _ => {}
            },
            Self::Mp4(m) => m.node(n),
            _ => {}
        }
    }

    /// What lies where a demuxer complains that it can't read something.
    pub(crate) fn name(&self, e: &FormatError) -> Option<&str> {
        let names = match self {
            Self::Mkv(m) if e.path.ends_with("CodecID") => &m.codecs,
            Self::Mp4(m) => &m.entries,
            _ => return None,
        };
        let fits = matches!(e.kind, ErrorKind::Unsupported(_));
        names.iter().find(|n| fits && n.0 == e.offset).map(|n| n.1.as_str())
    }

    /// More of the source.
    pub(crate) fn bytes(
        &mut self,
        offset: u64,
        data: &[u8],
        mut problem: impl FnMut(Problem) -> io::Result<()>,
    ) -> io::Result<()> {
        let c = match self {
            Self::Ts(c) => c,
            Self::Tagged(seen) if offset == 0 && !*seen => {
                *seen = true;
                let say = |(at, what)| problem(Problem::new(Sort::BadTag, what).at(Some(at)));
                return id3::faults(data).into_iter().try_for_each(say);
            }
            Self::Wav(w) => {
                let mut found = Vec::new();
                w.bytes(offset, data, &mut found);
                return found.into_iter().try_for_each(problem);
            }
            _ => return Ok(()),
        };
        let mut result = Ok(());
        c.push(offset, data, &mut |f| {
            if result.is_ok() {
                result = problem(of(&f));
            }
        });
        result
    }

    /// Demuxing has failed: what was seen by then.
    pub(crate) fn failed(&mut self, problem: impl FnMut(Problem) -> io::Result<()>) -> io::Result<()> {
        match self {
            Self::Mp4(m) => m.end().into_iter().try_for_each(problem),
            _ => Ok(()),
        }
    }

    /// The source has ended.
    pub(crate) fn end(&mut self, mut problem: impl FnMut(Problem) -> io::Result<()>) -> io::Result<()> {
        let c = match self {
            Self::Ts(c) => c,
            Self::Mkv(m) if !m.cues && m.clusters > 1 => {
                return problem(Problem::new(Sort::NoCues, "no Cues element"));
            }
            Self::Mp4(m) => return m.end().into_iter().try_for_each(problem),
            Self::Wav(w) => return w.end().map_or(Ok(()), problem),
            _ => return Ok(()),
        };
        let mut result = Ok(());
        c.end(&mut |f| {
            if result.is_ok() {
                result = problem(of(&f));
            }
        });
        result
    }
}

fn of(f: &Finding) -> Problem {
    let pid = f.pid;
    let ms = |d: mist_core::time::Duration| format!("{:.1} ms", d.as_secs_f64() * 1000.0);
    let (sort, what, of_track) = match f.fault {
        Fault::PatInterval(d) => (Sort::PatInterval, format!("{} from one PAT to the next", ms(d)), false),
        Fault::PmtInterval(d) => {
            (Sort::PmtInterval, format!("PID {pid:#06x}: {} from one PMT to the next", ms(d)), false)
        }
        Fault::NoPmt { program } => {
            (Sort::NoPmt, format!("programme {program} has no PMT on PID {pid:#06x}"), false)
        }
        Fault::NoPcr => (Sort::NoPcr, format!("no PCR on PID {pid:#06x}"), false),
        Fault::PcrInterval(d) => {
            (Sort::PcrInterval, format!("PID {pid:#06x}: {} from one PCR to the next", ms(d)), false)
        }
        Fault::PcrJump(d) => (Sort::PcrJump, format!("PID {pid:#06x}: the PCR jumps by {}", ms(d)), false),
        Fault::PcrJitter(ns) => (Sort::PcrJitter, format!("PID {pid:#06x}: a PCR is {ns} ns off"), false),
        Fault::Damaged => (Sort::TsDamaged, format!("PID {pid:#06x}: a packet is marked as damaged"), false),
        Fault::Overflow { held, size } => {
            (Sort::BufferOverflow, format!("{held} bytes in a buffer of {size}"), true)
        }
        Fault::Underflow(d) => (Sort::BufferUnderflow, format!("data comes {} too late", ms(d)), true),
        _ => (Sort::Malformed, format!("PID {pid:#06x}: {:?}", f.fault), false),
    };
    let p = Problem { time: f.time, ..Problem::new(sort, &what).at(Some(f.offset)) };
    if of_track { p.on(TrackId(pid.into()), f.time) } else { p }
}
