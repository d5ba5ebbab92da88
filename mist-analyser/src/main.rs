//! Shows what is in a media file or stream: tracks, timing, structure and problems.
//!
//! The libraries do the work; here are arguments, blocking reads and the report. Memory doesn't grow with the
//! length of the input.

mod analysis;
mod container;
mod json;
mod problem;
mod report;
mod source;
mod track;

use analysis::Analysis;
use clap::Parser;
use container::Failure;
use mist_core::format::ErrorKind;
use mist_core::registry::{FormatDef, probe};
use mist_core::time::Timestamp;
use mist_formats::FORMATS;
use problem::{Problem, Sort};
use report::{Detail, Report};
use source::Source;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

/// Shows what is in a media file or stream: tracks, timing, structure and problems.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Exit status: 0 sound, 1 problems found, 2 unreadable.\n\n\
                  A live stream: curl -N http://localhost:8080/demo.ts | mist-analyser -"
)]
struct Args {
    /// Container format instead of recognising it
    #[arg(long, value_name = "ID")]
    format: Option<String>,
    /// Write JSON: one object, or one a line from `--detail packets` on
    #[arg(long)]
    json: bool,
    /// How much to show
    #[arg(long, value_enum, default_value = "summary")]
    detail: Detail,
    /// Leave out packets before this presentation time in milliseconds
    #[arg(long, value_name = "MS", allow_negative_numbers = true)]
    from: Option<i64>,
    /// Leave out packets from this presentation time in milliseconds on, and stop there
    #[arg(long, value_name = "MS", allow_negative_numbers = true)]
    to: Option<i64>,
    /// File, or - for standard input
    file: String,
}

/// What the input was like.
enum Verdict {
    Sound,
    Problems,
    Unreadable,
}

impl From<Verdict> for ExitCode {
    fn from(v: Verdict) -> Self {
        match v {
            Verdict::Sound => Self::SUCCESS,
            Verdict::Problems => Self::from(1),
            Verdict::Unreadable => Self::from(2),
        }
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(verdict) => verdict.into(),
        // Whoever reads the report has seen enough.
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(e) => {
            complain(&format!("can't write the report: {e}"));
            Verdict::Unreadable.into()
        }
    }
}

fn complain(what: &str) {
    let _ = writeln!(io::stderr(), "mist-analyser: {what}");
}

/// Analyses as the arguments say. Only an error of writing the report comes back as one.
fn run(args: &Args) -> io::Result<Verdict> {
    let report = Report::new(BufWriter::new(io::stdout().lock()), args.json, args.detail);
    let range = (args.from.map(Timestamp::from_millis), args.to.map(Timestamp::from_millis));
    let mut analysis = Analysis::new(report, range);
    let opened = open(args);
    let (mut source, format) = match opened {
        Ok(o) => o,
        Err(why) => return unreadable(analysis, &args.file, &why),
    };
    let Some(demuxer) = format.demuxer else {
        return unreadable(analysis, &args.file, &format!("{} can only be written", format.id));
    };
    let mut demuxer = demuxer();
    if analysis.begin(format.id)? {
        demuxer.want_nodes();
    }
    match container::run(format.id, &mut source, &mut *demuxer, &mut analysis) {
        Ok(()) => {}
        Err(Failure::Write(e)) => return Err(e),
        Err(Failure::Read(e)) => return unreadable(analysis, &args.file, &e.to_string()),
        Err(Failure::Format(e)) => {
            analysis.problem(Problem::of(&e))?;
            if !analysis.has_media() || e.kind == ErrorKind::NeedsSeek {
                complain(&format!("{}: {e}", args.file));
                analysis.end()?;
                return Ok(Verdict::Unreadable);
            }
        }
    }
    if !analysis.has_media() {
        analysis
            .problem(Problem::overall(Sort::NoMedia, "no track has a packet: there is nothing to play"))?;
    }
    Ok(if analysis.end()? { Verdict::Sound } else { Verdict::Problems })
}

fn unreadable<W: Write>(mut analysis: Analysis<W>, file: &str, why: &str) -> io::Result<Verdict> {
    complain(&format!("{file}: {why}"));
    analysis.problem(Problem::overall(Sort::Unreadable, why))?;
    analysis.end()?;
    Ok(Verdict::Unreadable)
}

/// The source and its format, or why there is none.
fn open(args: &Args) -> Result<(Source, &'static FormatDef), String> {
    if args.file.contains("://") {
        return Err("URLs are not read; pipe the stream: curl -N URL | mist-analyser -".to_owned());
    }
    let named = match &args.format {
        None => None,
        Some(id) => {
            let known = FORMATS.iter().find(|f| f.id.eq_ignore_ascii_case(id));
            let ids = || FORMATS.iter().map(|f| f.id).collect::<Vec<_>>().join(", ");
            Some(known.copied().ok_or_else(|| format!("no format {id}; there are: {}", ids()))?)
        }
    };
    let mut source = Source::open(&args.file).map_err(|e| e.to_string())?;
    let format = match named {
        Some(f) => f,
        None => {
            let head = source.head().map_err(|e| e.to_string())?;
            if head.is_empty() {
                return Err("empty".to_owned());
            }
            probe(FORMATS, &head).ok_or_else(|| unknown(&head))?
        }
    };
    Ok((source, format))
}

/// What is said of a source that no format claims: how it begins tells at once what it is instead, such as the message
/// of a server that has refused.
fn unknown(head: &[u8]) -> String {
    const SHOWN: usize = 48;
    let start = head.get(..SHOWN).unwrap_or(head).escape_ascii();
    format!("not a known format; it begins with \"{start}\"")
}
