//! Problems of MP4, Matroska and Ogg.

use super::common::{analyse, json};
use super::{Content, Dir, Seen, find, want};

/// A file with its moov behind the media.
fn late_moov() -> (Vec<u8>, usize) {
    let file = Content::demo().mux("MP4", true);
    let moov = find(&file, b"moov") - 4;
    let len = u32::from_be_bytes(file[moov..moov + 4].try_into().unwrap()) as usize;
    let mut tail = file[moov..moov + len].to_vec();
    for at in 0..tail.len() - 8 {
        if &tail[at..at + 4] == b"stco" {
            let n = u32::from_be_bytes(tail[at + 8..at + 12].try_into().unwrap()) as usize;
            for e in tail[at + 12..at + 12 + 4 * n].as_chunks_mut::<4>().0 {
                *e = (u32::from_be_bytes(*e) - len as u32).to_be_bytes();
            }
        }
    }
    let head = [&file[..moov], &file[moov + len..]].concat();
    let at = head.len();
    ([head, tail].concat(), at)
}

/// Where the first piece of structure of a name lies, and how long it is.
fn node(file: &[u8], name: &str) -> (usize, usize) {
    let dir = Dir::new(name);
    let v = json(&analyse(&["--json", "--detail", "structure", &dir.put("input", file)]).out);
    let n = v["structure"].as_array().unwrap().iter().find(|n| n["name"] == name).unwrap();
    (n["offset"].as_u64().unwrap() as usize, n["len"].as_u64().unwrap() as usize)
}

/// Puts a box behind the head of its parents, which grow by it.
fn insert(file: &mut Vec<u8>, from: usize, parents: &[&[u8]], new: &[u8]) -> usize {
    let mut at = from;
    for p in parents {
        at += find(&file[at..], p) - 4;
        let size = u32::from_be_bytes(file[at..at + 4].try_into().unwrap()) + new.len() as u32;
        file[at..at + 4].copy_from_slice(&size.to_be_bytes());
        at += 8;
    }
    file.splice(at..at, new.iter().copied());
    at
}

pub(crate) fn containers(seen: &mut Seen) {
    let (file, moov) = late_moov();
    seen.file("moov at the end", &file, &[want("late-index").at(moov)]);
    let mut edits = file.clone();
    let mut elst = vec![0, 0, 0, 48, b'e', b'd', b't', b's', 0, 0, 0, 40, b'e', b'l', b's', b't'];
    elst.extend([0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 3, 0xE8, 0, 0, 0, 0, 0, 1, 0, 0]);
    elst.extend([0, 0, 3, 0xE8, 0, 0, 0, 0, 0, 1, 0, 0]);
    let at = insert(&mut edits, moov, &[b"moov", b"trak"], &elst);
    seen.file("two edits", &edits, &[want("edit-list").at(at + 8)]);
    let mut more = file.clone();
    let elst = moov + find(&more[moov..], b"elst") - 4;
    more[elst + 15] = 9;
    seen.file("more edits than there are", &more, &[want("box-size").at(elst)]);
    let mut boxes = file.clone();
    let senc = [0, 0, 0, 16, b's', b'e', b'n', b'c', 0, 0, 0, 0, 0, 0, 0, 0];
    let at = insert(&mut boxes, moov, &[b"moov", b"trak"], &senc);
    seen.file("vectors without encryption", &boxes, &[want("encryption-boxes").at(at)]);
    let mut tables = file.clone();
    let stsc = moov + find(&tables[moov..], b"stsc") - 4;
    tables[stsc + 16] = 1;
    seen.file("a first chunk that isn't", &tables, &[want("sample-table").at(stsc)]);
    let mut beyond = file.clone();
    let mdia = moov + find(&beyond[moov..], b"mdia") - 4;
    beyond[mdia] = 1;
    seen.file("a box beyond its parent", &beyond, &[want("box-size").at(mdia)]);

    let mkv = Content::demo().mux("MKV", true);
    let mut hidden = mkv.clone();
    hidden[node(&mkv, "Cues").0 + 3] ^= 1;
    seen.file("no cues", &hidden, &[want("no-cues")]);
    let mut narrow = mkv.clone();
    let width = node(&mkv, "PixelWidth");
    narrow[width.0 + width.1 - 2] = 1;
    seen.file("another width than in the SPS", &narrow, &[want("size-mismatch").on(1, 0.0)]);
    let mut mkv = mkv;
    // A block claims EBML lacing with far too many frames.
    let block = node(&mkv, "SimpleBlock").0;
    let size = (mkv[block + 1].leading_zeros() + 1) as usize;
    mkv[block + 1 + size + 3] |= 0x06;
    mkv[block + 1 + size + 4] = 0xFF;
    mkv[block + 1 + size + 5] = 0x80;
    seen.file("lacing that doesn't fit", &mkv, &[want("lacing")]);

    let ogg = Content::of("TS", "tests/media/h264-opus.ts");
    let sound: Vec<_> = ogg.tracks.iter().filter(|t| t.channels() > 0).cloned().collect();
    let id = sound[0].id;
    let ogg = Content { tracks: sound, packets: ogg.packets.into_iter().filter(|p| p.track == id).collect() };
    let ogg = ogg.mux("OGG", false);
    let pages: Vec<_> = (0..ogg.len() - 4).filter(|i| &ogg[*i..i + 4] == b"OggS").collect();
    assert!(pages.len() > 4);
    let hole = [&ogg[..pages[2]], &ogg[pages[3]..]].concat();
    seen.input("a page is missing", &hole, &[want("ogg-hole").at(pages[2])]);
    let mut back = ogg;
    let last = pages[pages.len() / 2];
    back[last + 6..last + 14].copy_from_slice(&1u64.to_le_bytes());
    back[last + 22..last + 26].fill(0);
    let crc = ogg_crc(&back[last..pages[pages.len() / 2 + 1]]).to_le_bytes();
    back[last + 22..last + 26].copy_from_slice(&crc);
    seen.input("a granule position that goes back", &back, &[want("ogg-granule")]);
}

/// RFC 3533 §6.
fn ogg_crc(page: &[u8]) -> u32 {
    page.iter().fold(0, |crc, b| {
        (0..8).fold(crc ^ u32::from(*b) << 24, |c, _| c << 1 ^ if c >> 31 == 1 { 0x04C1_1DB7 } else { 0 })
    })
}
