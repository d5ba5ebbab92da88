//! Any container to any other, with the registry and blocking files: `remux INPUT OUTPUT`.
//!
//! What this shows: a third party needs nothing but bytes and a loop.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stderr,
    reason = "the I/O that the library leaves to its user"
)]

use mist_core::format::{Demuxed, Want};
use mist_core::gather::Gather;
use mist_core::media::Media;
use mist_core::registry::{choose, probe};
use mist_formats::FORMATS;
use std::error::Error;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

/// Packets that are looked at to learn which tracks there are.
const PROBED: usize = 200;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let [input, output] = args.as_slice() else { return Err("usage: remux INPUT OUTPUT".into()) };
    let mut input = File::open(input)?;
    let mut buf = vec![0; 1 << 16];
    let n = input.read(&mut buf)?;
    let from = probe(FORMATS, &buf[..n]).and_then(|f| f.demuxer).ok_or("unknown input")?;
    input.rewind()?;
    let ending = Path::new(output).extension().and_then(|e| e.to_str()).unwrap_or_default();
    let to = FORMATS.iter().find(|f| f.extensions.contains(&ending)).ok_or("unknown output")?;
    let (mut demuxer, mut muxer) = (from(), to.muxer.ok_or("can't be written")?());
    let (mut tracks, mut waiting, mut started) = (Vec::new(), Vec::new(), false);
    let (mut file, mut out, mut at) = (File::create(output)?, Gather::new(), 0);
    loop {
        let media = demuxer.poll()?;
        let ended = matches!(media, Demuxed::End);
        match media {
            Demuxed::Need(want) => {
                if let Want::At { offset, .. } = want {
                    at = input.seek(SeekFrom::Start(offset))?;
                }
                match input.read(&mut buf)? {
                    0 => demuxer.end(),
                    n => demuxer.push(at, buf[..n].to_vec().into()),
                }
                at = input.stream_position()?;
            }
            Demuxed::Media(Media::Track(t)) if started => muxer.track(&t, &mut out)?,
            Demuxed::Media(Media::Track(t)) => {
                tracks.retain(|o: &std::sync::Arc<mist_core::media::TrackInfo>| o.id != t.id);
                tracks.push(t);
            }
            Demuxed::Media(Media::Packet(p)) => waiting.push(p),
            Demuxed::Problem(e) => eprintln!("{e}"),
            _ => {}
        }
        if !started && (ended || waiting.len() >= PROBED) {
            tracks = choose(to.output.ok_or("no output")?.codecs, &tracks);
            muxer.start(&tracks, None, &mut out)?;
            started = true;
        }
        if started {
            for p in waiting.drain(..).filter(|p| tracks.iter().any(|t| t.id == p.track)) {
                muxer.packet(&p, &mut out)?;
            }
            file.write_all(&out.to_vec())?;
            out.clear();
        }
        if ended {
            break;
        }
    }
    let patches = muxer.finish(&mut out)?;
    file.write_all(&out.to_vec())?;
    for p in patches {
        file.seek(SeekFrom::Start(p.offset))?;
        file.write_all(&p.data)?;
    }
    Ok(())
}
