//! DTSC, read to its media; commands are listed.

use crate::analysis::{Analysis, GROUP};
use crate::container::Sink as _;
use crate::problem::{Problem, Sort};
use crate::source::Source;
use mist_core::format::{Demuxed, Demuxer as _, ErrorKind, Want};
use mist_core::media::{Media, TrackId};
use mist_formats::dtsc::{Demuxer, PacketKind};
use std::io::{self, Write};
use std::sync::Arc;

/// What a source begins with that is a dialogue and not a file.
pub(crate) fn begins_with_command(head: &[u8]) -> bool {
    head.starts_with(&PacketKind::Command.magic())
}

/// One direction of DTSC.
pub(super) struct Dtsc {
    index: u32,
    demuxer: Demuxer,
    commands: u64,
    /// Bytes read.
    read: u64,
}

impl Dtsc {
    pub(super) fn new(index: u32) -> Self {
        let mut demuxer = Demuxer::new();
        demuxer.want_commands();
        Self { index, demuxer, commands: 0, read: 0 }
    }

    pub(super) fn run<W: Write>(
        mut self,
        source: &mut Source,
        analysis: &mut Analysis<W>,
    ) -> io::Result<Result<(), String>> {
        let id = |t: TrackId| TrackId(self.index * GROUP + t.0 % GROUP);
        let mut ended = false;
        if analysis.wants_nodes() {
            self.demuxer.want_nodes();
        }
        loop {
            let found = self.demuxer.poll();
            while let Some(c) = self.demuxer.next_command() {
                self.commands += 1;
                analysis.saw_other();
                if c.is_refusal() {
                    let what = format!("direction {}: {c}", self.index + 1);
                    analysis.problem(Problem::new(Sort::DialogueRefused, &what).at(Some(c.offset)))?;
                }
            }
            let found = match found {
                Ok(found) => found,
                // Whoever only asks or refuses sends no header.
                Err(e) if e.kind == ErrorKind::Truncated && self.commands > 0 && e.offset == self.read => {
                    break;
                }
                Err(e) => {
                    analysis.problem(Problem::of(&e))?;
                    let readable = self.commands > 0 || analysis.has_media();
                    return Ok(if readable { Ok(()) } else { Err(e.to_string()) });
                }
            };
            let offset = match &found {
                Demuxed::Media(Media::Packet(_)) => self.demuxer.packet_offset(),
                _ => None,
            };
            let found = match found {
                Demuxed::End | Demuxed::Media(Media::End) => break,
                // A header of a connection points nowhere.
                Demuxed::Need(Want::At { .. }) if ended => break,
                Demuxed::Need(_) => {
                    match super::read(source, analysis)? {
                        Ok(Some((at, data))) => {
                            self.read = at + data.len() as u64;
                            self.demuxer.push(at, data);
                        }
                        Ok(None) if ended => break,
                        Ok(None) => {
                            ended = true;
                            self.demuxer.end();
                        }
                        Err(e) => return Ok(Err(e.to_string())),
                    }
                    continue;
                }
                Demuxed::Media(Media::Track(t)) => {
                    let mut t = (*t).clone();
                    t.id = id(t.id);
                    Demuxed::Media(Media::Track(Arc::new(t)))
                }
                Demuxed::Media(Media::Packet(mut p)) => {
                    p.track = id(p.track);
                    Demuxed::Media(Media::Packet(p))
                }
                Demuxed::Media(Media::Gone(t)) => Demuxed::Media(Media::Gone(id(t))),
                other => other,
            };
            if analysis.take(found, offset)?.is_break() {
                return Ok(Ok(()));
            }
        }
        Ok(Ok(()))
    }
}
