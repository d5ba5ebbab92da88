//! Recorded dialogues: the raw TCP bytes of one direction, or of both in two files.
//!
//! They are read to their media: tracks and packets as of a container.

mod dtsc;
mod rtmp;
mod rtsp;

use crate::analysis::Analysis;
use crate::container::Sink as _;
use crate::source::Source;
use bytes::Bytes;
use mist_core::format::Node;
use std::io::{self, Write};

/// Protocols whose dialogues are read, by the ids of `--format`.
pub(crate) const PROTOCOLS: &[&str] = &["RTMP", "RTSP", "DTSC"];

pub(crate) use dtsc::begins_with_command;

/// Reads a dialogue's directions, one after the other. Gives the reason if one can't be read.
pub(crate) fn run<W: Write>(
    protocol: &str,
    sources: Vec<Source>,
    analysis: &mut Analysis<W>,
) -> io::Result<Option<String>> {
    if protocol == "RTSP" {
        return rtsp::run(sources, analysis);
    }
    let mut failed = None;
    for (index, mut source) in (0..).zip(sources) {
        let done = if protocol == "DTSC" {
            dtsc::Dtsc::new(index).run(&mut source, analysis)?
        } else {
            rtmp::Rtmp::new(index).run(&mut source, analysis)?
        };
        failed = failed.or(done.err());
    }
    Ok(failed)
}

/// The next bytes of a source. What is found so far is shown before, since they may be long in coming.
fn read<W: Write>(
    source: &mut Source,
    analysis: &mut Analysis<W>,
) -> io::Result<io::Result<Option<(u64, Bytes)>>> {
    analysis.wait()?;
    Ok(source.next())
}

fn node<W: Write>(
    analysis: &mut Analysis<W>,
    (depth, offset, len): (u16, u64, usize),
    name: &'static str,
    detail: impl FnOnce() -> String,
) -> io::Result<()> {
    if analysis.wants_nodes() {
        let (len, values) = (len as u64, Vec::new());
        analysis.node(&Node { depth, offset, len, name, detail: detail(), values })?;
    }
    Ok(())
}
