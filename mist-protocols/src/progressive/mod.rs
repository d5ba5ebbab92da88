//! Progressive output: any container with a muxer as one HTTP body that goes on as the stream does.
//!
//! | parameter | meaning |
//! |---|---|
//! | `video=`, `audio=`, `subtitle=` | tracks (manual 2.4.1) |
//! | `start=`, `stop=` | a part, in milliseconds of the stream's own time |
//! | `dl=1` | a download |
//!
//! Left out: byte ranges, which need an index of the whole body.

use mist_core::buffer::StreamBuffer;
use mist_core::http::{HttpRequest, PlaySpec, Reply};
use mist_core::registry::FormatDef;
use mist_core::select::Selection;
use mist_core::time::Timestamp;
use mist_core::url::Query;

/// Answers a request for a stream in `format`: what to play, a wait while the tracks are not known yet, or 404 when the
/// format has no output or can carry nothing of what is selected.
///
/// A pure function, like [`mist_core::http::HttpOutput::reply`].
pub fn reply(format: &FormatDef, req: &HttpRequest<'_>, view: &StreamBuffer) -> Reply {
    let (Some(connector), true) = (&format.output, format.muxer.is_some()) else {
        return Reply::Status(404);
    };
    let query = Query::new(req.query);
    let selected = Selection::parse(req.query).select(connector.codecs, view.tracks());
    // A container's start can't be changed later.
    if !view.tracks_known() {
        return Reply::Wait { version: view.version().saturating_add(1) };
    }
    if selected.is_empty() {
        return Reply::Status(404);
    }
    let time = |name| query.number(name).map(Timestamp::from_millis);
    Reply::Play(PlaySpec {
        format: format.id,
        tracks: selected.iter().map(|t| t.id).collect(),
        from: time("start"),
        to: time("stop"),
        download: query.flag("dl"),
    })
}

/// Fuzz body: any query gets an answer, and what plays is in the stream, once.
#[cfg(any(test, fuzzing, feature = "fuzzing"))]
pub fn fuzz(format: &FormatDef, query: &str, view: &StreamBuffer) {
    let req = HttpRequest { stream: "fuzz", rest: "", query, options: &[] };
    if let Reply::Play(p) = reply(format, &req, view) {
        for (at, id) in p.tracks.iter().enumerate() {
            assert!(view.tracks().any(|t| t.id == *id) && !p.tracks.iter().skip(at + 1).any(|o| o == id));
        }
    }
}

#[cfg(test)]
mod tests;
