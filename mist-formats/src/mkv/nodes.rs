//! Elements as [`Node`]s, for tools that show structure.

use super::ebml::{Child, children};
use super::limits;
use super::schema::{Kind, element, ids, name};
use mist_core::format::Node;
use std::fmt::Write;

/// Characters of a text, and bytes of anything else, that are shown.
const SHOWN: usize = 120;

/// Shows an element and what is in it. `at` is the offset of its head in the source.
pub(super) fn tree(c: &Child<'_>, at: u64, depth: u16, out: &mut impl FnMut(Node)) {
    let known = element(c.id);
    let detail = detail(c, known.map_or(Kind::Binary, |e| e.kind));
    let len = (c.head + c.data.len()) as u64;
    out(Node { depth, offset: at, len, name: name(c.id), detail, values: Vec::new() });
    if depth < limits::DEPTH && known.is_some_and(|e| e.kind == Kind::Master) {
        let base = at + c.head as u64;
        for inner in children(c.data).flatten() {
            tree(&inner, base + inner.at as u64, depth + 1, out);
        }
    }
}

fn detail(c: &Child<'_>, kind: Kind) -> String {
    match kind {
        Kind::Master => String::new(),
        Kind::Uint => c.uint().to_string(),
        Kind::Int => c.int().to_string(),
        Kind::Float => c.float().to_string(),
        Kind::Date => format!("{} ns since 2001", c.int()),
        Kind::Text => c.text().chars().take(SHOWN).collect(),
        Kind::Binary if c.id == ids::SEEK_ID => name(u32::try_from(c.uint()).unwrap_or(0)).to_owned(),
        Kind::Binary if element(c.id).is_none() => format!("id {:x}, {} bytes", c.id, c.data.len()),
        Kind::Binary if matches!(c.id, ids::VOID | ids::SIMPLE_BLOCK | ids::BLOCK) => {
            format!("{} bytes", c.data.len())
        }
        Kind::Binary => {
            let mut s = format!("{} bytes: ", c.data.len());
            for b in c.data.iter().take(16) {
                let _ = write!(s, "{b:02x}");
            }
            s
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_has_a_limit() {
        // Tags in tags, as deep as sizes of four bytes go.
        let mut data = Vec::new();
        for _ in 0..1000 {
            let mut d = vec![0x67, 0xc8];
            d.extend_from_slice(&(0x1000_0000 | data.len() as u32).to_be_bytes());
            d.extend_from_slice(&data);
            data = d;
        }
        let mut seen = Vec::new();
        tree(&Child { id: ids::TAG, at: 0, head: 0, data: &data }, 7, 0, &mut |n| seen.push(n));
        assert_eq!(seen.len(), usize::from(limits::DEPTH) + 1);
        assert_eq!((seen[1].name, seen[2].offset), ("SimpleTag", 7 + 6));
    }
}
