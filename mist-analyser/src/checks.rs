//! Checks of a container beside its demuxer.

use crate::problem::{Problem, Sort};
use mist_core::media::TrackId;
use mist_formats::ts::check::{Checker, Fault, Finding};
use std::io;

/// What is checked of this container.
pub(crate) enum Checks {
    Nothing,
    Ts(Box<Checker>),
}

impl Checks {
    /// For a format.
    pub(crate) fn of(format: &str) -> Self {
        if format == "TS" { Self::Ts(Box::default()) } else { Self::Nothing }
    }

    /// More of the source.
    pub(crate) fn bytes(
        &mut self,
        offset: u64,
        data: &[u8],
        mut problem: impl FnMut(Problem) -> io::Result<()>,
    ) -> io::Result<()> {
        let Self::Ts(c) = self else { return Ok(()) };
        let mut result = Ok(());
        c.push(offset, data, &mut |f| {
            if result.is_ok() {
                result = problem(of(&f));
            }
        });
        result
    }

    /// The source has ended.
    pub(crate) fn end(&mut self, mut problem: impl FnMut(Problem) -> io::Result<()>) -> io::Result<()> {
        let Self::Ts(c) = self else { return Ok(()) };
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
