//! Boxes as tools show them.

use super::boxes::{Head, Part, Reader, names};
use super::codecs::FourCc;
use super::demux::shown;
use super::limits;
use mist_core::format::Node;

/// A box that isn't looked into.
pub(super) fn leaf(head: &Head, offset: u64) -> Node {
    let name = names::name(&head.kind);
    let (mut detail, values) = if name == "box" { unnamed(head.kind) } else { Told::default() };
    if head.size.is_none() {
        detail.push_str(" to the end of the file");
    }
    Node { depth: 0, offset, len: head.size.unwrap_or(0), name, detail, values }
}

/// A box with all that it holds.
pub(super) fn all(part: &Part, out: &mut impl FnMut(Node)) {
    inner(part, 0, None, &mut 0, out);
}

/// A box in another one; `made` counts them.
fn inner(part: &Part, depth: u16, parent: Option<&Part>, made: &mut usize, out: &mut impl FnMut(Node)) {
    let name = names::name(&part.kind);
    let offset = part.at.saturating_sub(part.head);
    let (mut detail, mut values) = describe(part).unwrap_or_default();
    if parent.is_some_and(|p| states_no_size(p, offset)) {
        detail.push_str(if detail.is_empty() { "size 0" } else { ", size 0" });
        values.push(("size 0", 1));
    }
    let len = part.head.saturating_add(part.body.len() as u64);
    *made += 1;
    out(Node { depth, offset, len, name, detail, values });
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

/// What is worth knowing of a box: for people, and the numbers in it by name.
type Told = (String, Vec<(&'static str, i64)>);

/// A box whose type has no name here.
fn unnamed(kind: FourCc) -> Told {
    (shown(kind), vec![("type", u32::from_be_bytes(kind).into())])
}

/// A number as [`Node`] has them.
fn int(v: u64) -> i64 {
    i64::try_from(v).unwrap_or(i64::MAX)
}

/// What is worth knowing of a box.
fn describe(part: &Part) -> Option<Told> {
    let mut r = Reader(&part.body);
    let mut after = |skip: usize| {
        r.take(skip)?;
        r.u32()
    };
    Some(match &part.kind {
        b"mvhd" | b"mdhd" => {
            let long = part.body.first() == Some(&1);
            let timescale = after(if long { 20 } else { 12 })?;
            let duration = r.sized(long.into())?;
            (
                format!("timescale {timescale} duration {duration}"),
                vec![("timescale", timescale.into()), ("duration", int(duration))],
            )
        }
        b"tkhd" => {
            let long = part.body.first() == Some(&1);
            one("track", after(if long { 20 } else { 12 })?.into())
        }
        b"hdlr" => (shown(after(8)?.to_be_bytes()), Vec::new()),
        b"stts" | b"ctts" => {
            let n = after(4)?;
            let (_, samples) = pairs(r, n).fold((0, 0u64), |(_, all), (n, _)| (0, all + u64::from(n)));
            (
                format!("{n} entries of {samples} samples"),
                vec![("entries", n.into()), ("samples", int(samples))],
            )
        }
        b"stsc" => chunks(after(4)?, r),
        b"stss" => {
            let n = after(4)?;
            let (last, ordered) = ascending((0..n).map_while(|_| r.u32()));
            let text = format!("{n} entries up to sample {last}");
            in_order((text, vec![("entries", n.into()), ("last", last.into())]), ordered)
        }
        b"stco" | b"co64" | b"elst" | b"stsd" | b"trun" => {
            let n = after(4)?;
            (format!("{n} entries"), vec![("entries", n.into())])
        }
        b"stsz" | b"stz2" => {
            let size = after(4)?;
            let samples = after(0)?;
            (
                format!("{samples} samples, size {size}"),
                vec![("samples", samples.into()), ("size", size.into())],
            )
        }
        b"tfhd" | b"trex" => one("track", after(4)?.into()),
        b"mfhd" => one("number", after(4)?.into()),
        b"tfdt" => {
            r.take(4)?;
            one("time", r.sized(u8::from(part.body.first() == Some(&1)))?)
        }
        kind if names::name(kind) == "box" => unnamed(*kind),
        _ => return None,
    })
}

/// A number alone.
fn one(name: &'static str, v: u64) -> Told {
    (format!("{name} {v}"), vec![(name, int(v))])
}

/// The same, of a table whose entries are to ascend and perhaps don't.
fn in_order((mut text, mut values): Told, ordered: bool) -> Told {
    if !ordered {
        text.push_str(", disordered");
        values.push(("disordered", 1));
    }
    (text, values)
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
fn chunks(n: u32, mut r: Reader<'_>) -> Told {
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
    let text =
        format!("{n} entries, chunks {first} to {last}, {before} samples before that, then {each} a chunk");
    let values = vec![
        ("entries", n.into()),
        ("first", first.into()),
        ("last", last.into()),
        ("before", int(before)),
        ("each", each.into()),
    ];
    in_order((text, values), ordered)
}
