//! `trak`: a track (ISO/IEC 14496-12 §8.3.1). Paths of errors leave out `mdia` and `minf`, which hold one box each of
//! what matters.

use super::super::{Log, Part};
use mist_core::format::{ErrorKind, FormatError};
use mist_core::media::Lang;

pub(in crate::mp4) mod elst;
pub(in crate::mp4) mod mdhd;
pub(in crate::mp4) mod stbl;
pub(in crate::mp4) mod tkhd;

use stbl::Tables;
use stbl::stsd::Entry;

/// What `trak` says.
#[derive(Debug)]
pub(in crate::mp4) struct Trak {
    /// Identity.
    pub(in crate::mp4) id: u32,
    /// Units a second of its times; not 0.
    pub(in crate::mp4) timescale: u32,
    /// Language.
    pub(in crate::mp4) lang: Option<Lang>,
    /// Degrees clockwise by which pictures are turned.
    pub(in crate::mp4) rotation: u16,
    /// What its edit list adds to all times, in its timescale.
    pub(in crate::mp4) shift: i64,
    /// Sample descriptions; none for those that can't be read.
    pub(in crate::mp4) entries: Vec<Option<Entry>>,
    /// Where its samples are.
    pub(in crate::mp4) tables: Tables,
}

/// Reads it.
///
/// # Errors
/// Something without which there is no track: its id, its clock, its sample descriptions.
pub(in crate::mp4) fn read(part: &Part, movie_scale: u32, log: &mut Log) -> Result<Trak, FormatError> {
    let missing = |path, what| part.error(path, ErrorKind::Malformed(what));
    let (mut head, mut edits, mut mdia) = (None, None, None);
    for p in part.checked(0, "moov/trak", log) {
        match &p.kind {
            b"tkhd" => head = tkhd::read(&p),
            b"edts" => edits = p.find(0, b"elst"),
            b"mdia" => mdia = Some(p),
            _ => {}
        }
    }
    let head = head.ok_or_else(|| missing("moov/trak/tkhd", "no track header"))?;
    let mdia = mdia.ok_or_else(|| missing("moov/trak/mdia", "no media"))?;
    let (mut clock, mut handler, mut elng, mut stbl) = (None, *b"    ", None, None);
    for p in mdia.checked(0, "moov/trak/mdia", log) {
        match &p.kind {
            b"mdhd" => clock = mdhd::read(&p),
            b"elng" => elng = mdhd::elng(&p),
            b"hdlr" => handler = p.body.get(8..).and_then(|b| b.first_chunk().copied()).unwrap_or(handler),
            b"minf" => stbl = p.checked(0, "moov/trak/minf", log).find(|p| p.kind == *b"stbl"),
            _ => {}
        }
    }
    let (timescale, lang) = clock.ok_or_else(|| missing("moov/trak/mdhd", "no media header"))?;
    if timescale == 0 {
        return Err(missing("moov/trak/mdhd", "timescale 0"));
    }
    let stbl = stbl.ok_or_else(|| missing("moov/trak/stbl", "no sample table"))?;
    let (entries, tables) = stbl::read(&stbl, &handler, log)?;
    let shift = edits.map_or(0, |p| elst::shift(&p, movie_scale, timescale, log));
    let (id, rotation) = (head.id, head.rotation);
    Ok(Trak { id, timescale, lang: elng.or(lang), rotation, shift, entries, tables })
}
