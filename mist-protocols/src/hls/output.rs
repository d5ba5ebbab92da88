//! URLs to answers.

use super::playlist::{self, Rendition, Variant};
use super::{CODECS, MIME, SEGMENT_FORMAT};
use mist_core::buffer::StreamBuffer;
use mist_core::codec::{Codec, rfc6381};
use mist_core::http::{Cache, HttpOutput, HttpRequest, Reply, SegmentSpec, Tracks};
use mist_core::lang;
use mist_core::media::{Kind, Params, TrackId, TrackInfo};
use mist_core::registry::carries;
use mist_core::select::Selection;
use mist_core::time::{Duration, Now};
use std::sync::Arc;

/// The HLS output.
#[derive(Debug, Clone, Copy)]
pub struct Hls;

/// How long caches may keep a playlist that still changes: less than any segment.
const PLAYLIST_AGE: u32 = 1;
/// How long a playlist with a single segment is held back: hls.js gives up waiting for an answer after ten seconds.
const MAX_HOLD: std::time::Duration = std::time::Duration::from_secs(7);

impl HttpOutput for Hls {
    fn reply(&self, req: &HttpRequest<'_>, view: &StreamBuffer, now: Now) -> Reply {
        let answer = match req.rest.split_once('/') {
            None if req.rest == "index.m3u8" => multivariant(req, view),
            None => None,
            Some((ids, file)) => match (tracks(ids, view), file) {
                (Some(t), "index.m3u8") => Some(media(req, view, &t, now)),
                (Some(t), segment) => self::segment(view, t, segment),
                // A source that begins anew is about to say that it has these tracks again.
                (None, "index.m3u8") if !view.tracks_known() => Some(not_yet(view)),
                (None, _) => None,
            },
        };
        answer.unwrap_or(Reply::Status(404))
    }
}

/// A number as it is written in URLs: nothing else means the same, so that one thing has one URL.
fn number(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}

/// The tracks of `V_A`, `V` or `A`, if the stream has media of them.
fn tracks(ids: &str, view: &StreamBuffer) -> Option<Tracks> {
    let find = |text: &str| {
        let id = u32::try_from(number(text)?).ok()?;
        view.held_track(TrackId(id)).filter(|t| carries(CODECS, t)).map(|t| (t.id, t.codec.kind()))
    };
    match ids.split_once('_') {
        None => find(ids).map(|(id, _)| Tracks::from_slice(&[id])),
        Some((video, audio)) => match (find(video)?, find(audio)?) {
            ((v, Kind::Video), (a, Kind::Audio)) => Some(Tracks::from_slice(&[v, a])),
            _ => None,
        },
    }
}

/// What to say while there is nothing: more may come, or it never will.
fn not_yet(view: &StreamBuffer) -> Reply {
    if view.ended() { Reply::Status(404) } else { Reply::Wait { version: view.version().saturating_add(1) } }
}

fn document(view: &StreamBuffer, body: bytes::Bytes) -> Reply {
    let cache = if view.ended() { Cache::No } else { Cache::Seconds(PLAYLIST_AGE) };
    Reply::Document { mime: MIME, body, cache }
}

/// How many of the listed segments a playlist of these tracks leaves out at its front: those from before a track had
/// media, and those beyond the configured limit as long as three target durations remain (RFC 8216 §6.2.2).
///
/// Never fewer while the list only grows at its end.
fn skip(req: &HttpRequest<'_>, view: &StreamBuffer, tracks: &[TrackId]) -> usize {
    let from = tracks.iter().filter_map(|t| view.first_dts(*t)).max();
    let late = from.map_or(0, |from| view.segments().take_while(|s| s.end <= from).count());
    let limit = req.option("listlimit").and_then(|v| v.parse().ok()).unwrap_or(0usize);
    if limit == 0 {
        return late;
    }
    let least = Duration::from_ticks(view.segment_target().ticks().saturating_mul(3));
    let (mut kept, mut length) = (0, Duration::ZERO);
    for s in view.segments().rev() {
        if kept >= limit && length >= least {
            break;
        }
        kept += 1;
        length += s.duration();
    }
    late.max(view.segments().len().saturating_sub(kept))
}

fn media(req: &HttpRequest<'_>, view: &StreamBuffer, tracks: &[TrackId], now: Now) -> Reply {
    let skip = skip(req, view, tracks);
    if skip >= view.segments().len() {
        return not_yet(view);
    }
    if starts_too_early(view, skip, now) {
        return not_yet(view);
    }
    document(view, playlist::media(view, tracks, skip, &playlist::carried(req.query)))
}

/// Whether a player that begins now would run dry: it has the one segment that there is played before the next one is
/// finished. It is better off waiting for two, unless that takes longer than players wait for a playlist.
fn starts_too_early(view: &StreamBuffer, skip: usize, now: Now) -> bool {
    let mut listed = view.segments().skip(skip);
    let (Some(first), None) = (listed.next(), listed.next()) else { return false };
    let finished = first.unix.saturating_add(first.duration().to_std());
    view.has_source() && now.unix.saturating_sub(finished) < MAX_HOLD
}

fn segment(view: &StreamBuffer, tracks: Tracks, name: &str) -> Option<Reply> {
    let (sequence, unix) = name.strip_suffix(".ts")?.split_once('_')?;
    let (sequence, unix) = (number(sequence)?, number(unix)?);
    let s = view.find_segment(sequence).filter(|s| playlist::unix_millis(s) == unix)?;
    Some(Reply::Segment(SegmentSpec {
        format: SEGMENT_FORMAT,
        tracks,
        from: s.start,
        to: s.end,
        number: s.number,
    }))
}

fn multivariant(req: &HttpRequest<'_>, view: &StreamBuffer) -> Option<Reply> {
    let offered = Selection::parse(req.query).offer(CODECS, view.tracks());
    // What is missing from the first playlist is missing for good.
    if !view.tracks_known() {
        return Some(not_yet(view));
    }
    let (renditions, variants) = layout(view, &offered);
    if variants.is_empty() {
        return None;
    }
    Some(document(view, playlist::multivariant(&renditions, &variants, &playlist::carried(req.query))))
}

/// How tracks become variants: one a video track, with the only audio track in its segments. Several audio tracks
/// are renditions beside it, in a group a codec, since a group's renditions have to play on the same devices.
fn layout<'t>(view: &StreamBuffer, offered: &'t [Arc<TrackInfo>]) -> (Vec<Rendition<'t>>, Vec<Variant>) {
    let video: Vec<_> = offered.iter().filter(|t| t.codec.kind() == Kind::Video).collect();
    let audio: Vec<_> = offered.iter().filter(|t| t.codec.kind() == Kind::Audio).collect();
    let speaks_differently = audio.windows(2).any(|w| matches!(w, [a, b] if a.lang != b.lang));
    let grouped = audio.len() > 1 && (!video.is_empty() || speaks_differently);
    let mut variants = Vec::new();
    if !grouped {
        match (video.as_slice(), audio.as_slice()) {
            ([], sounds) => variants.extend(sounds.iter().map(|a| variant(view, &[a], &[], ""))),
            (pictures, [sound]) => {
                variants.extend(pictures.iter().map(|v| variant(view, &[v, sound], &[], "")));
            }
            (pictures, _) => variants.extend(pictures.iter().map(|v| variant(view, &[v], &[], ""))),
        }
        return (Vec::new(), variants);
    }
    let mut groups: Vec<Codec> = Vec::new();
    let mut renditions: Vec<Rendition<'t>> = Vec::new();
    for a in &audio {
        let first = !groups.contains(&a.codec);
        if first {
            groups.push(a.codec);
        }
        renditions.push(Rendition {
            track: a.id,
            group: a.codec.name(),
            language: a.lang.as_ref().map_or("", lang::shortest),
            name: a.lang.and_then(lang::name).unwrap_or(""),
            channels: a.channels(),
            default: first,
        });
    }
    for codec in groups {
        let members: Vec<_> = audio.iter().filter(|a| a.codec == codec).copied().collect();
        match (video.as_slice(), members.first()) {
            ([], Some(first)) => variants.push(variant(view, &[first], &members, codec.name())),
            (pictures, _) => {
                variants.extend(pictures.iter().map(|v| variant(view, &[v], &members, codec.name())));
            }
        }
    }
    (renditions, variants)
}

/// A variant of the tracks in its own segments and the renditions beside them, of which the busiest counts.
fn variant(
    view: &StreamBuffer,
    own: &[&Arc<TrackInfo>],
    beside: &[&Arc<TrackInfo>],
    group: &'static str,
) -> Variant {
    let all = || own.iter().chain(beside.iter().filter(|b| !own.iter().any(|o| o.id == b.id)));
    let rate = |of: &dyn Fn(TrackId) -> u64| {
        let busiest = beside.iter().map(|t| of(t.id)).max().unwrap_or(0);
        let inside = own.iter().filter(|o| !beside.iter().any(|b| b.id == o.id));
        inside.fold(busiest, |sum, t| sum.saturating_add(of(t.id)))
    };
    let mut codecs: Vec<String> = Vec::new();
    let known = all().all(|t| match rfc6381::codec_string(t) {
        Some(c) => {
            if !codecs.contains(&c) {
                codecs.push(c);
            }
            true
        }
        None => false,
    });
    let picture = own.iter().find_map(|t| match t.params {
        Params::Video { width, height, fpks } => Some(((width, height), fpks)),
        _ => None,
    });
    let (size, fpks) = picture.unwrap_or(((0, 0), 0));
    Variant {
        tracks: own.iter().map(|t| t.id).collect(),
        peak: rate(&|t| view.peak_bits_per_second(t)),
        average: rate(&|t| view.bits_per_second(t)),
        codecs: if known { codecs.join(",") } else { String::new() },
        size,
        fpks,
        group,
    }
}

/// Fuzz body: any path and query gets an answer; a playlist is a playlist, and it has no line that the query made.
#[cfg(any(test, fuzzing, feature = "fuzzing"))]
pub fn fuzz(rest: &str, query: &str, view: &StreamBuffer, now: Now) {
    let options = [("listlimit".to_owned(), rest.len().to_string())];
    let req = HttpRequest { stream: "fuzz", rest, query, options: &options };
    match Hls.reply(&req, view, now) {
        Reply::Document { body, .. } => {
            assert!(body.starts_with(b"#EXTM3U\n") && body.ends_with(b"\n"));
            let lines = body.split(|b| *b == b'\n');
            let uris = lines.filter(|l| !l.starts_with(b"#") && !l.is_empty());
            assert!(uris.clone().count() <= view.segments().len() + view.tracks().count().pow(2));
            assert!(uris.clone().all(|u| u.iter().all(u8::is_ascii_graphic)));
        }
        Reply::Segment(s) => assert!(s.from < s.to && !s.tracks.is_empty()),
        Reply::Status(_) | Reply::Wait { .. } => {}
        _ => unreachable!("HLS has no other answer"),
    }
}

#[cfg(test)]
mod tests;
