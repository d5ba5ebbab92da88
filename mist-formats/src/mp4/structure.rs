//! Boxes as tools show them.

use super::boxes::{Head, Part, Reader, names};
use super::demux::shown;
use super::limits;
use mist_core::format::Node;

/// A box that isn't looked into.
pub(super) fn leaf(head: &Head, offset: u64) -> Node {
    let name = names::name(&head.kind);
    let mut detail = if name == "box" { shown(head.kind) } else { String::new() };
    if head.size.is_none() {
        detail.push_str(" to the end of the file");
    }
    Node { depth: 0, offset, len: head.size.unwrap_or(0), name, detail }
}

/// A box with all that it holds.
pub(super) fn all(part: &Part, out: &mut impl FnMut(Node)) {
    inner(part, 0, None, &mut 0, out);
}

/// A box in another one; `made` counts them.
fn inner(part: &Part, depth: u16, parent: Option<&Part>, made: &mut usize, out: &mut impl FnMut(Node)) {
    let name = names::name(&part.kind);
    let offset = part.at.saturating_sub(part.head);
    let mut detail = describe(part).unwrap_or_default();
    if parent.is_some_and(|p| states_no_size(p, offset)) {
        detail.push_str(if detail.is_empty() { "size 0" } else { ", size 0" });
    }
    let len = part.head.saturating_add(part.body.len() as u64);
    *made += 1;
    out(Node { depth, offset, len, name, detail });
    if depth >= limits::DEPTH || *made > limits::NODES {
        return;
    }
    let holds = match &part.kind {
        // A full box in MP4, a plain one in QuickTime.
        b"meta" if part.body.get(8..12) == Some(b"hdlr") => Some(4),
        b"meta" | b"ilst" => Some(0),
        // What a tag is called is its type.
        _ if parent.is_some_and(|p| p.kind == *b"ilst") => Some(0),
        kind => names::holds(kind),
    };
    if let Some(skip) = holds {
        for p in part.parts(skip) {
            inner(&p, depth + 1, Some(part), made, out);
        }
    }
}

/// Whether the box at an offset of the source that lies in `parent` leaves its size out, which only the last box of a
/// file may.
fn states_no_size(parent: &Part, offset: u64) -> bool {
    let at = usize::try_from(offset.saturating_sub(parent.at)).unwrap_or(usize::MAX);
    parent.body.get(at..).is_some_and(|b| b.starts_with(&[0; 4]))
}

/// What is worth knowing of a box.
fn describe(part: &Part) -> Option<String> {
    let mut r = Reader(&part.body);
    let mut after = |skip: usize| {
        r.take(skip)?;
        r.u32()
    };
    Some(match &part.kind {
        b"mvhd" | b"mdhd" => {
            let long = part.body.first() == Some(&1);
            let timescale = after(if long { 20 } else { 12 })?;
            let duration =
                if long { u64::from(r.u32()?) << 32 | u64::from(r.u32()?) } else { r.u32()?.into() };
            format!("timescale {timescale} duration {duration}")
        }
        b"tkhd" => {
            let long = part.body.first() == Some(&1);
            format!("track {}", after(if long { 20 } else { 12 })?)
        }
        b"hdlr" => shown(after(8)?.to_be_bytes()),
        b"stts" | b"ctts" => {
            let n = after(4)?;
            let (_, samples) = pairs(r, n).fold((0, 0u64), |(_, all), (n, _)| (0, all + u64::from(n)));
            format!("{n} entries of {samples} samples")
        }
        b"stsc" => chunks(after(4)?, r),
        b"stss" => {
            let n = after(4)?;
            let (last, ordered) = ascending((0..n).map_while(|_| r.u32()));
            format!("{n} entries up to sample {last}{}", if ordered { "" } else { ", disordered" })
        }
        b"stco" | b"co64" | b"elst" | b"stsd" | b"trun" => format!("{} entries", after(4)?),
        b"stsz" | b"stz2" => {
            let size = after(4)?;
            format!("{} samples, size {size}", after(0)?)
        }
        b"tfhd" | b"trex" => format!("track {}", after(4)?),
        b"mfhd" => format!("number {}", after(4)?),
        b"tfdt" if part.body.first() == Some(&1) => {
            let high = u64::from(after(4)?);
            format!("time {}", high << 32 | u64::from(after(0)?))
        }
        b"tfdt" => format!("time {}", after(4)?),
        kind if names::name(kind) == "box" => shown(*kind),
        _ => return None,
    })
}

/// Entries of two numbers, up to `n` of them.
fn pairs(mut r: Reader<'_>, n: u32) -> impl Iterator<Item = (u32, u32)> + '_ {
    (0..n).map_while(move |_| Some((r.u32()?, r.u32()?)))
}

/// The last of the numbers, and whether each is larger than the one before it.
fn ascending(numbers: impl Iterator<Item = u32>) -> (u32, bool) {
    numbers.fold((0, true), |(last, ordered), n| (n, ordered && n > last))
}

/// What `stsc` says: its first and last chunk, how many samples lie before the last, and in each from there on.
fn chunks(n: u32, mut r: Reader<'_>) -> String {
    let entries = (0..n).map_while(|_| Some((r.u32()?, r.u32()?, r.u32()?)));
    let (mut first, mut before, mut ordered) = (None, 0u64, true);
    let mut run = (0u32, 0u32);
    for (chunk, samples, _) in entries {
        first.get_or_insert(chunk);
        ordered &= chunk > run.0;
        if run.0 > 0 {
            before = before.saturating_add(u64::from(chunk.saturating_sub(run.0)) * u64::from(run.1));
        }
        run = (chunk, samples);
    }
    let (first, (last, each)) = (first.unwrap_or(0), run);
    let order = if ordered { "" } else { ", disordered" };
    format!("{n} entries, chunks {first} to {last}, {before} samples before that, then {each} a chunk{order}")
}
