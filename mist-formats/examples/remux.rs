//! Any container to any other: `remux INPUT OUTPUT`. What this shows: a third party needs nothing but bytes and a loop.
//! The input lies in memory as a whole; all packets are known before the first is written, for formats with an index in front.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::print_stderr, reason = "I/O is ours")]

use bytes::{Buf, Bytes};
use mist_core::format::{Demuxed, Index, IndexEntry, Want};
use mist_core::gather::Gather;
use mist_core::media::{Media, Packet, TrackId};
use mist_core::registry::{choose, probe};
use mist_formats::FORMATS;
use std::io::{Seek, SeekFrom, Write};
use std::{collections::BTreeMap, path::PathBuf};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args_os().skip(1).map(PathBuf::from);
    let clip = concat!(env!("CARGO_MANIFEST_DIR"), "/../mist-server/assets/demo.flv");
    let input: Bytes = std::fs::read(args.next().unwrap_or_else(|| clip.into()))?.into();
    let output = args.next().unwrap_or_else(|| std::env::temp_dir().join("remuxed.ts"));
    let from = probe(FORMATS, &input).and_then(|f| f.demuxer).ok_or("unknown input")?;
    let ending = output.extension().and_then(|e| e.to_str()).unwrap_or_default();
    let to = FORMATS.iter().find(|f| f.extensions.contains(&ending)).ok_or("unknown output")?;
    let (mut demuxer, mut at) = (from(), 0);
    let (mut tracks, mut packets) = (BTreeMap::new(), BTreeMap::<TrackId, Vec<Packet>>::new());
    loop {
        match demuxer.poll()? {
            Demuxed::End => break,
            Demuxed::Problem(e) => eprintln!("{e}"),
            Demuxed::Media(Media::Track(t)) => drop(tracks.insert(t.id, t)),
            Demuxed::Media(Media::Packet(p)) => packets.entry(p.track).or_default().push(p),
            Demuxed::Need(want) => {
                if let Want::At { offset, .. } = want {
                    at = usize::try_from(offset)?.min(input.len());
                }
                match input.slice(at..) {
                    rest if rest.is_empty() => demuxer.end(),
                    rest => demuxer.push(at as u64, rest),
                }
                at = input.len();
            }
            _ => {}
        }
    }
    let tracks = choose(to.output.ok_or("no output")?.codecs, &tracks.into_values().collect::<Vec<_>>());
    let lists: Vec<_> = tracks.iter().map(|t| packets.remove(&t.id).unwrap_or_default()).collect();
    let entries = lists.iter().map(|l| l.iter().map(IndexEntry::from).collect());
    let index = Index { tracks: tracks.iter().map(|t| t.id).zip(entries).collect() };
    let (mut muxer, mut out) = (to.muxer.ok_or("can't be written")?(), Gather::new());
    muxer.start(&tracks, Some(&index), &mut out)?;
    index.interleaved().try_for_each(|(track, n)| muxer.packet(&lists[track][n], &mut out))?;
    let patches = muxer.finish(&mut out)?;
    let mut file = std::fs::File::create(output)?;
    std::io::copy(&mut out.reader(), &mut std::io::BufWriter::with_capacity(1 << 20, &file))?;
    for p in patches {
        file.seek(SeekFrom::Start(p.offset))?;
        file.write_all(&p.data)?;
    }
    Ok(())
}
