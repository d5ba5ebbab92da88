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
    tree(part, 0, &mut 0, out);
}

fn tree(part: &Part, depth: u16, made: &mut usize, out: &mut impl FnMut(Node)) {
    let name = names::name(&part.kind);
    *made += 1;
    out(Node {
        depth,
        offset: part.at.saturating_sub(part.head),
        len: part.head.saturating_add(part.body.len() as u64),
        name,
        detail: describe(part).unwrap_or_default(),
    });
    if depth >= limits::DEPTH || *made > limits::NODES {
        return;
    }
    if let Some(skip) = names::holds(&part.kind) {
        for p in part.parts(skip) {
            tree(&p, depth + 1, made, out);
        }
    }
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
        b"stts" | b"ctts" | b"stsc" | b"stco" | b"co64" | b"stss" | b"elst" | b"stsd" | b"trun" => {
            format!("{} entries", after(4)?)
        }
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
