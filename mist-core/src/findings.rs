//! What a demuxer has found and not yet handed out.

use crate::format::{Demuxed, ErrorKind, FormatError, Node};
use crate::media::{Media, Packet, TrackId, TrackInfo};
use crate::time::Timestamp;
use std::collections::VecDeque;
use std::sync::Arc;

/// The queue behind every demuxer's `poll`: media, problems and structure in the order in which they were found, then
/// the error that ended it.
///
/// It keeps what [`Demuxer`](crate::format::Demuxer) promises of all formats alike: decoding times of a track don't go
/// back without a [`Demuxed::Problem`] of [`ErrorKind::TimeBack`] before the packet, nothing follows an error, structure
/// is only made where it was asked for, and the place of the packet handed out last is known.
#[derive(Debug)]
pub struct Findings {
    format: &'static str,
    nodes: bool,
    all: VecDeque<(Demuxed, u64)>,
    /// The decoding time of each track's last packet.
    times: Vec<(TrackId, Timestamp)>,
    packet_offset: Option<u64>,
    error: Option<FormatError>,
}

impl Findings {
    /// Of a demuxer of the format with this id; empty.
    pub const fn new(format: &'static str) -> Self {
        Self {
            format,
            nodes: false,
            all: VecDeque::new(),
            times: Vec::new(),
            packet_offset: None,
            error: None,
        }
    }

    /// From now on structure is kept.
    pub fn want_nodes(&mut self) {
        self.nodes = true;
    }

    /// Whether structure is kept.
    pub const fn wants_nodes(&self) -> bool {
        self.nodes
    }

    /// A piece of structure, if that is wanted.
    pub fn node(
        &mut self,
        depth: u16,
        offset: u64,
        len: u64,
        name: &'static str,
        detail: impl FnOnce() -> String,
    ) {
        if self.nodes {
            self.show(Node { depth, offset, len, name, detail: detail(), values: Vec::new() });
        }
    }

    /// A piece of structure that was made because it is wanted.
    pub fn show(&mut self, n: Node) {
        let offset = n.offset;
        self.all.push_back((Demuxed::Node(n), offset));
    }

    /// Trouble at a byte and place that is survived.
    pub fn problem(&mut self, offset: u64, path: &'static str, kind: ErrorKind) {
        self.report(FormatError { format: self.format, offset, path, kind });
    }

    /// Trouble that is survived.
    pub fn report(&mut self, e: FormatError) {
        let offset = e.offset;
        self.all.push_back((Demuxed::Problem(e), offset));
    }

    /// Trouble that ends it; what was found before still comes out. Later errors don't count.
    pub fn fail(&mut self, offset: u64, path: &'static str, kind: ErrorKind) {
        self.end_with(FormatError { format: self.format, offset, path, kind });
    }

    /// The same, of an error that is made already.
    pub fn end_with(&mut self, e: FormatError) {
        self.error.get_or_insert(e);
    }

    /// What ended it, perhaps not handed out yet.
    pub const fn error(&self) -> Option<&FormatError> {
        self.error.as_ref()
    }

    /// A description of a track, which holds from here on.
    pub fn track(&mut self, info: Arc<TrackInfo>) {
        self.all.push_back((Demuxed::Media(Media::Track(info)), 0));
    }

    /// The end of a track.
    pub fn gone(&mut self, track: TrackId) {
        self.times.retain(|k| k.0 != track);
        self.all.push_back((Demuxed::Media(Media::Gone(track)), 0));
    }

    /// A packet whose payload begins at `offset` of the source.
    pub fn packet(&mut self, p: Packet, offset: u64) {
        self.time(&p, offset);
        self.all.push_back((Demuxed::Media(Media::Packet(p)), offset));
    }

    /// Any of these; `offset` is that of a packet.
    pub fn media(&mut self, m: Media, offset: u64) {
        match m {
            Media::Packet(p) => self.packet(p, offset),
            Media::Track(info) => self.track(info),
            Media::Gone(track) => self.gone(track),
            m => self.all.push_back((Demuxed::Media(m), offset)),
        }
    }

    fn time(&mut self, p: &Packet, offset: u64) {
        match self.times.iter_mut().find(|k| k.0 == p.track) {
            Some((_, last)) => {
                let before = std::mem::replace(last, p.dts);
                if p.dts < before {
                    self.problem(offset, "", ErrorKind::TimeBack);
                }
            }
            None => self.times.push((p.track, p.dts)),
        }
    }

    /// Times begin anew, as they do behind a seek or where the format says that they do.
    pub fn forget_times(&mut self) {
        self.times.clear();
    }

    /// A seek: packets that were found and not handed out are forgotten. What tracks are, and problems, holds also
    /// there.
    pub fn seek(&mut self) {
        self.all.retain(|(d, _)| !matches!(d, Demuxed::Media(Media::Packet(_)) | Demuxed::Node(_)));
        self.times.clear();
    }

    /// Whether all was handed out but an error.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The next thing, then the error; `None` while there is neither.
    pub fn pop(&mut self) -> Option<Result<Demuxed, FormatError>> {
        let Some((d, offset)) = self.all.pop_front() else { return self.error.clone().map(Err) };
        if matches!(d, Demuxed::Media(Media::Packet(_))) {
            self.packet_offset = Some(offset);
        }
        Some(Ok(d))
    }

    /// Where in the source the payload of the packet begins that came out last.
    pub const fn packet_offset(&self) -> Option<u64> {
        self.packet_offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Duration;
    use bytes::Bytes;

    fn packet(track: u32, ms: i64) -> Packet {
        Packet {
            track: TrackId(track),
            dts: Timestamp::from_millis(ms),
            cts: Duration::ZERO,
            duration: Duration::ZERO,
            key: true,
            data: Bytes::new(),
        }
    }

    #[test]
    fn each_track_goes_forward_or_a_problem_says_so() {
        let mut f = Findings::new("X");
        for (track, ms, at) in [(1, 0, 10), (2, 5, 20), (1, 0, 30), (2, 4, 40), (2, 4, 50), (1, 7, 60)] {
            f.packet(packet(track, ms), at);
        }
        f.seek();
        f.packet(packet(1, 3), 70);
        f.gone(TrackId(1));
        f.packet(packet(1, 1), 90);
        f.packet(packet(1, 0), 100);
        f.fail(110, "end", ErrorKind::Truncated);
        f.fail(120, "later", ErrorKind::Truncated);
        let mut seen = Vec::new();
        while let Some(Ok(d)) = f.pop() {
            match d {
                Demuxed::Problem(e) => seen.push((e.kind == ErrorKind::TimeBack, e.offset)),
                Demuxed::Media(Media::Packet(_)) => seen.push((false, f.packet_offset().unwrap())),
                _ => {}
            }
        }
        assert_eq!(seen, [(true, 40), (false, 70), (false, 90), (true, 100), (false, 100)]);
        assert_eq!(f.pop().unwrap().unwrap_err().path, "end", "and again");
        assert_eq!(f.pop().unwrap().unwrap_err().path, "end");
    }

    #[test]
    fn structure_is_only_made_on_demand() {
        let mut f = Findings::new("X");
        f.node(0, 0, 1, "a", || unreachable!());
        f.want_nodes();
        f.node(0, 0, 1, "b", || "c".to_owned());
        assert!(matches!(f.pop(), Some(Ok(Demuxed::Node(n))) if n.name == "b" && n.detail == "c"));
        assert!(f.pop().is_none());
    }
}
