//! Drives a demuxer over a source.

use crate::checks::Checks;
use crate::problem::Problem;
use crate::progress::Progress;
use crate::source::Source;
use mist_core::format::{Demuxed, Demuxer, ErrorKind, FormatError, Want};
use mist_core::media::Media;
use std::io;
use std::ops::ControlFlow;

/// Requests for bytes in a row that a demuxer gets away with after the end of its source.
const MAX_REQUESTS_AT_END: u32 = 3;

/// Why demuxing ended before the container did.
pub(crate) enum Failure {
    /// The source can't be read.
    Read(io::Error),
    /// The report can't be written.
    Write(io::Error),
    /// The container can't be read on.
    Format(FormatError),
}

/// Who gets what a demuxer finds.
pub(crate) trait Sink {
    /// One thing, or the end of it where the sink has seen enough. `offset` is where a packet's payload lies.
    ///
    /// # Errors
    /// Of writing the report.
    fn take(&mut self, found: Demuxed, offset: Option<u64>) -> io::Result<ControlFlow<()>>;

    /// Something that was found beside the demuxer.
    ///
    /// # Errors
    /// Of writing the report.
    fn problem(&mut self, p: Problem) -> io::Result<()>;

    /// The source may keep us waiting now.
    ///
    /// # Errors
    /// Of writing the report.
    fn wait(&mut self) -> io::Result<()>;
}

/// Runs until the container ends or the sink breaks off. Returns whether it ended.
///
/// # Errors
/// See [`Failure`].
pub(crate) fn run(
    format: &'static str,
    source: &mut Source,
    demuxer: &mut dyn Demuxer,
    checks: &mut Checks,
    progress: &mut Progress,
    sink: &mut impl Sink,
) -> Result<bool, Failure> {
    let mut at_end = 0;
    loop {
        let found = match demuxer.poll() {
            Ok(found) => found,
            Err(e) => {
                checks.failed(|p| sink.problem(p)).map_err(Failure::Write)?;
                return Err(Failure::Format(e));
            }
        };
        let want = match found {
            Demuxed::Need(want) => want,
            Demuxed::End | Demuxed::Media(Media::End) => {
                checks.end(|p| sink.problem(p)).map_err(Failure::Write)?;
                return Ok(true);
            }
            found => {
                if let Demuxed::Node(n) = &found {
                    checks.node(n);
                }
                if let Demuxed::Problem(e) = &found
                    && let (Some(name), Some(p)) = (checks.name(e), Problem::of(e))
                {
                    sink.problem(p.about(name)).map_err(Failure::Write)?;
                    continue;
                }
                let offset = match &found {
                    Demuxed::Media(Media::Packet(_)) => demuxer.packet_offset(),
                    _ => None,
                };
                if sink.take(found, offset).map_err(Failure::Write)?.is_break() {
                    return Ok(false);
                }
                continue;
            }
        };
        if let Want::At { offset, .. } = want
            && !source.seek(offset).map_err(Failure::Read)?
        {
            let kind = ErrorKind::NeedsSeek;
            return Err(Failure::Format(FormatError { format, offset, path: "", kind }));
        }
        if source.is_live() {
            sink.wait().map_err(Failure::Write)?;
        }
        match source.next().map_err(Failure::Read)? {
            Some((at, data)) => {
                at_end = 0;
                progress.at(at);
                checks.bytes(at, &data, |p| sink.problem(p)).map_err(Failure::Write)?;
                demuxer.push(at, data);
            }
            None if at_end == MAX_REQUESTS_AT_END => return Ok(true),
            None => {
                at_end += 1;
                demuxer.end();
            }
        }
    }
}
