//! Shows what is in a media file or stream: tracks, timing, structure and problems.
//!
//! The libraries do the work; here are arguments, blocking reads and the report. Memory doesn't grow with the
//! length of the input.

mod analysis;
mod chart;
mod checks;
mod container;
mod dialogue;
mod entry;
mod hls;
mod http;
mod json;
mod problem;
mod progress;
mod report;
mod source;
mod structure;
mod track;
mod unknown;

use analysis::{Analysis, Selection};
use chart::Chart;
use checks::Checks;
use clap::Parser;
use container::Failure;
use mist_core::format::ErrorKind;
use mist_core::registry::{FormatDef, probe};
use mist_core::time::Timestamp;
use mist_formats::FORMATS;
use problem::{Problem, Sort};
use progress::Progress;
use report::{Detail, Paint, Report};
use source::Source;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Shows what is in a media file or stream: tracks, timing, structure and problems.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Exit status: 0 sound, 1 problems found, 2 unreadable.\n\n\
                  A live stream: curl -N http://localhost:8080/demo.ts | mist-analyser -\n\
                  A dialogue:    mist-analyser --format rtmp to-server.bin to-client.bin"
)]
struct Args {
    /// Container or protocol instead of recognising it: the id of a format, HLS, or RTMP, RTSP or DTSC for a recorded dialogue
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
    /// Only this track; can be given several times
    #[arg(long, value_name = "ID")]
    track: Vec<u32>,
    /// Draw bit rate, pictures and interleaving over time into an SVG file
    #[arg(long, value_name = "FILE.svg")]
    chart: Option<PathBuf>,
    /// List all problems that can be found, and leave
    #[arg(long)]
    list_problems: bool,
    /// File, http:// URL, HLS playlist, or - for standard input; of a dialogue one or two, a direction each
    #[arg(required_unless_present = "list_problems", num_args = 1..=2)]
    file: Vec<String>,
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

/// What an input is.
enum Input {
    Container(Source, &'static FormatDef),
    /// A playlist, where it came from and its text.
    Playlist(String, Vec<u8>),
    /// Directions of a dialogue.
    Dialogue(&'static str, Vec<Source>),
}

/// Analyses as the arguments say. Only an error of writing the report comes back as one.
fn run(args: &Args) -> io::Result<Verdict> {
    if args.list_problems {
        problem::list(&mut io::stdout().lock())?;
        return Ok(Verdict::Sound);
    }
    if let Some(path) = &args.chart
        && path.extension().is_none_or(|e| !e.eq_ignore_ascii_case("svg"))
    {
        complain(&format!("{}: charts are written as SVG; name a file that ends in .svg", path.display()));
        return Ok(Verdict::Unreadable);
    }
    let stdout = io::stdout();
    let coloured =
        !args.json && stdout.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let paint = if coloured { Paint::Colour } else { Paint::Plain };
    // Lines that are written as they come would run into a progress bar.
    let quiet = args.detail > Detail::Summary && stdout.is_terminal();
    let report = Report::new(BufWriter::new(stdout.lock()), args.json, args.detail, paint);
    let selection = Selection {
        from: args.from.map(Timestamp::from_millis),
        to: args.to.map(Timestamp::from_millis),
        tracks: args.track.clone(),
    };
    let mut analysis = Analysis::new(report, selection, args.chart.as_ref().map(|_| Chart::new()));
    let name = args.file.first().map_or("", String::as_str);
    let failed = match open(args) {
        Ok(Input::Container(source, format)) => container(source, format, name, quiet, &mut analysis)?,
        Ok(Input::Playlist(url, text)) => {
            analysis.begin("HLS")?;
            let mut progress = Progress::new(None, quiet);
            let done = hls::run(&url, &text, &mut analysis, &mut progress)?;
            progress.clear();
            done.err()
        }
        Ok(Input::Dialogue(protocol, sources)) => {
            analysis.begin(protocol)?;
            dialogue::run(protocol, sources, &mut analysis)?
        }
        Err(why) => Some(why),
    };
    if let Some(why) = failed {
        complain(&format!("{name}: {why}"));
        if !analysis.has_problems() {
            analysis.problem(Problem::new(Sort::Unreadable, &why))?;
        }
        analysis.end()?;
        return Ok(Verdict::Unreadable);
    }
    if !analysis.has_anything() {
        analysis.problem(Problem::new(Sort::NoMedia, "no track has a packet"))?;
    }
    let (sound, chart) = analysis.end()?;
    if let (Some(chart), Some(path)) = (chart, &args.chart)
        && let Err(e) = std::fs::write(path, chart.svg(name))
    {
        complain(&format!("can't write {}: {e}", path.display()));
        return Ok(Verdict::Unreadable);
    }
    Ok(if sound { Verdict::Sound } else { Verdict::Problems })
}

/// Reads a container. Gives the reason if nothing of it can be read.
fn container<W: Write>(
    mut source: Source,
    format: &'static FormatDef,
    name: &str,
    quiet: bool,
    analysis: &mut Analysis<W>,
) -> io::Result<Option<String>> {
    let Some(demuxer) = format.demuxer else { return Ok(Some(format!("{} can only be written", format.id))) };
    let mut demuxer = demuxer();
    let mut checks = Checks::of(format.id);
    if analysis.begin(format.id)? || checks.wants_nodes() {
        demuxer.want_nodes();
    }
    let mut progress = Progress::new(source.total(), quiet);
    let done = container::run(format.id, &mut source, &mut *demuxer, &mut checks, &mut progress, analysis);
    progress.clear();
    match done {
        Ok(whole) => {
            if let Some(d) = demuxer.declared_duration().filter(|_| whole) {
                analysis.declared(d)?;
            }
            Ok(None)
        }
        Err(Failure::Write(e)) => Err(e),
        Err(Failure::Read(e)) if analysis.has_media() => {
            complain(&format!("{name}: {e}"));
            analysis.problem(Problem::new(Sort::Truncated, &e.to_string()))?;
            Ok(None)
        }
        Err(Failure::Read(e)) => Ok(Some(e.to_string())),
        Err(Failure::Format(e)) if !analysis.has_media() || e.kind == ErrorKind::NeedsSeek => {
            analysis.problem(Problem::of(&e))?;
            Ok(Some(e.to_string()))
        }
        Err(Failure::Format(e)) => {
            analysis.problem(Problem::of(&e))?;
            Ok(None)
        }
    }
}

/// The source and what it is, or why there is none.
fn open(args: &Args) -> Result<Input, String> {
    let text = |e: io::Error| e.to_string();
    let protocol = args
        .format
        .as_deref()
        .and_then(|id| dialogue::PROTOCOLS.iter().find(|p| p.eq_ignore_ascii_case(id)).copied());
    if let Some(p) = protocol {
        let sources = args.file.iter().map(|f| Source::open(f).map_err(|e| format!("{f}: {e}")));
        let mut sources = sources.collect::<Result<Vec<_>, _>>()?;
        // A file of DTSC is a container, unless it begins as a server does.
        if let ("DTSC", [one]) = (p, &mut sources[..])
            && !dialogue::begins_with_command(&one.head().map_err(text)?)
        {
            return Ok(Input::Container(sources.remove(0), &mist_formats::dtsc::FORMAT));
        }
        return Ok(Input::Dialogue(p, sources));
    }
    let [file] = &args.file[..] else { return Err("two files are the directions of a dialogue".to_owned()) };
    let playlist = args.format.as_deref().is_some_and(|f| f.eq_ignore_ascii_case("HLS"));
    let named = match &args.format {
        Some(id) if !playlist => {
            let known = FORMATS.iter().find(|f| f.id.eq_ignore_ascii_case(id));
            let mut ids: Vec<_> = FORMATS.iter().map(|f| f.id).chain(["HLS"]).collect();
            // DTSC is a container too.
            ids.extend(dialogue::PROTOCOLS.iter().filter(|p| FORMATS.iter().all(|f| f.id != **p)));
            Some(known.copied().ok_or_else(|| format!("no format {id}; there are: {}", ids.join(", ")))?)
        }
        _ => None,
    };
    let mut source = Source::open(file).map_err(text)?;
    if let Some(f) = named {
        return Ok(Input::Container(source, f));
    }
    let head = source.head().map_err(text)?;
    if head.is_empty() {
        return Err("empty".to_owned());
    }
    let marked = head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&head);
    if playlist || marked.starts_with(b"#EXTM3U") {
        let url = source.url().unwrap_or(file).to_owned();
        let all = source.all(mist_protocols::hls::parse::limits::MAX_BYTES).map_err(text)?;
        return Ok(Input::Playlist(url, all));
    }
    let format = probe(FORMATS, &head).ok_or_else(|| unknown::describe(&head))?;
    if format.id == "DTSC" && dialogue::begins_with_command(&head) {
        return Ok(Input::Dialogue("DTSC", vec![source]));
    }
    Ok(Input::Container(source, format))
}
