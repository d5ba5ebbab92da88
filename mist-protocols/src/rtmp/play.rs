//! Media to the peer: a viewer's, or what a client publishes.

use super::command;
use super::link::Link;
use super::message::kind;
use bytes::Bytes;
use mist_core::media::Media;
use mist_core::time::{Duration, Timestamp};
use mist_formats::amf::{Value, amf0};
use mist_formats::flv::{Peer, Tag, TagKind, TagWriter};

/// Turns media into audio, video and data messages of one message stream.
///
/// Metadata and decoder configurations go out together with the first packet, when all tracks that the stream has
/// by then are known, and a track's again when it changes.
#[derive(Debug)]
pub(super) struct Viewer {
    stream: u32,
    csid: u32,
    tags: TagWriter,
    started: bool,
    repeat: bool,
    /// Metadata in the form that servers store (`@setDataFrame`).
    publisher: bool,
    /// How much to play, and the time of the first packet.
    until: Option<Duration>,
    first: Option<Timestamp>,
}

impl Viewer {
    /// A viewer on message stream `stream` that uses the chunk streams from `csid` on.
    pub(super) fn new(peer: Peer, stream: u32, csid: u32, until: Option<Duration>) -> Self {
        Self {
            stream,
            csid,
            tags: TagWriter::new(peer),
            started: false,
            repeat: false,
            publisher: false,
            until,
            first: None,
        }
    }

    /// The publishing side of a client.
    pub(super) fn publisher(peer: Peer, stream: u32, csid: u32) -> Self {
        Self { publisher: true, ..Self::new(peer, stream, csid, None) }
    }

    /// Sends the decoder configurations again before the next packet.
    pub(super) fn repeat_configuration(&mut self) {
        self.repeat = true;
        self.first = None;
    }

    /// Sends media; `audio` and `video` say what is wanted. True when the play is over.
    pub(super) fn media(&mut self, media: Media, audio: bool, video: bool, link: &mut Link) -> bool {
        match media {
            // A track that the peer can't take is left out; who chose the tracks knows.
            Media::Track(info) => {
                if let (Ok(config), true) = (self.tags.track(&info), self.started) {
                    self.metadata(link);
                    if let Some(tag) = config {
                        self.send(tag, link);
                    }
                }
            }
            Media::Packet(p) => {
                let first = *self.first.get_or_insert(p.dts);
                if self.until.is_some_and(|d| p.dts - first >= d) {
                    return true;
                }
                let Ok(tag) = self.tags.packet(&p) else { return false };
                if (tag.kind == TagKind::Audio && !audio) || (tag.kind == TagKind::Video && !video) {
                    return false;
                }
                if !self.started {
                    self.started = true;
                    self.repeat = true;
                    self.metadata(link);
                }
                if std::mem::take(&mut self.repeat) {
                    for tag in self.tags.configs().collect::<Vec<_>>() {
                        self.send(tag, link);
                    }
                }
                self.send(tag, link);
            }
            Media::Gone(id) => self.tags.gone(id),
            Media::End => return true,
            _ => {}
        }
        false
    }

    fn send(&self, tag: Tag, link: &mut Link) {
        let csid = match tag.kind {
            TagKind::Audio => self.csid,
            TagKind::Video => self.csid + 1,
            TagKind::Script => self.csid + 2,
        };
        link.send(csid, self.stream, tag.kind.to_wire(), tag.timestamp, &tag.head, tag.payload);
    }

    fn metadata(&self, link: &mut Link) {
        let tag = self.tags.metadata();
        // At time 0, whatever the media's: ffmpeg takes later metadata for a text track.
        let head = if self.publisher { amf0::write_all(&["@setDataFrame".into()]) } else { Vec::new() };
        link.send(self.csid + 2, self.stream, kind::DATA, 0, &head, tag.payload);
    }

    fn data(&self, values: &[Value], link: &mut Link) {
        let body: Bytes = amf0::write_all(values).into();
        link.send(self.csid + 2, self.stream, kind::DATA, 0, &[], body);
    }

    /// Flash players may look at the decoded samples.
    pub(super) fn allow_samples(&self, link: &mut Link) {
        self.data(&["|RtmpSampleAccess".into(), true.into(), true.into()], link);
    }

    /// All of it was played.
    pub(super) fn complete(&self, link: &mut Link) {
        let info = command::info("status", "NetStream.Play.Complete", "");
        self.data(&["onPlayStatus".into(), info.into()], link);
    }
}
