//! Media from the peer: a publisher's, or what a client plays.

use super::chunk::Message;
use super::command::amf0_body;
use super::message::kind;
use bytes::Buf;
use mist_core::media::Media;
use mist_core::session::{Note, Output, Ticket};
use mist_formats::flv::{TagKind, TagReader};
use std::collections::VecDeque;

/// Problems of one publish that are told; the rest is silent, so that a log can't be filled.
const PROBLEMS: u32 = 16;

/// Turns audio, video and data messages into media.
#[derive(Debug)]
pub(super) struct Incoming {
    tags: TagReader,
    problems: u32,
}

struct Sink<'a>(Ticket, &'a mut VecDeque<Output>);

impl Extend<Media> for Sink<'_> {
    fn extend<I: IntoIterator<Item = Media>>(&mut self, media: I) {
        let ticket = self.0;
        self.1.extend(media.into_iter().map(|m| Output::Media(ticket, m)));
    }
}

impl Incoming {
    pub(super) fn new() -> Self {
        Self { tags: TagReader::new(), problems: 0 }
    }

    pub(super) fn message(&mut self, ticket: Ticket, m: Message, events: &mut VecDeque<Output>) {
        let prefix = m.body.len() - amf0_body(&m).len();
        let kind = if m.kind == kind::DATA_AMF3 { kind::DATA } else { m.kind };
        let Some(tag) = TagKind::from_wire(kind) else { return };
        let mut body = m.body;
        body.advance(prefix);
        if let Err(e) = self.tags.read(tag, m.time, body, &mut Sink(ticket, events)) {
            self.problems += 1;
            if self.problems <= PROBLEMS {
                events.push_back(Output::Note(Note::Problem(e.kind.what())));
            }
        }
    }
}
