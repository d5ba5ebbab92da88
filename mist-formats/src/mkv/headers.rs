//! The EBML header and Tracks.

use super::demux::{Demuxer, path};
use super::ebml::{Head, MAX_HEAD, children};
use super::limits;
use super::schema::ids;
use super::track::Track;
use mist_core::format::ErrorKind;
use mist_core::media::Kind;

impl Demuxer {
    /// Reports a child that isn't whole.
    pub(super) fn check_children(&mut self, at: u64, h: Head, data: &[u8]) {
        if let Some(Err((i, what))) = children(data).find(Result::is_err) {
            self.problem(at + (h.len + i) as u64, path(h.id), what);
        }
    }

    pub(super) fn ebml(&mut self, at: u64, data: &[u8]) {
        let (mut doc_type, mut read_version, mut doc_version, mut id_len, mut size_len) = (None, 1, 1, 4, 8);
        for c in children(data).flatten() {
            match c.id {
                ids::DOC_TYPE => doc_type = Some(c.text()),
                ids::EBML_READ_VERSION => read_version = c.uint(),
                ids::DOC_TYPE_READ_VERSION => doc_version = c.uint(),
                ids::EBML_MAX_ID_LENGTH => id_len = c.uint(),
                ids::EBML_MAX_SIZE_LENGTH => size_len = c.uint(),
                _ => {}
            }
        }
        let whole = Head { id: ids::EBML, size: None, len: MAX_HEAD };
        self.check_children(at, whole, data);
        let bad = match doc_type.as_deref() {
            _ if read_version > 1 => Some("EBMLReadVersion"),
            _ if id_len > 4 => Some("EBMLMaxIDLength"),
            _ if size_len > 8 => Some("EBMLMaxSizeLength"),
            Some("matroska" | "webm") => None,
            // Players read on: what follows tells soon enough.
            Some(_) => {
                self.problem(at, "EBML", ErrorKind::Unsupported("DocType"));
                None
            }
            None => {
                self.problem(at, "EBML", ErrorKind::Malformed("no DocType"));
                None
            }
        };
        if let Some(what) = bad {
            return self.fail(at, "EBML", ErrorKind::Unsupported(what));
        }
        if doc_version > 4 {
            self.problem(at, "EBML", ErrorKind::Unsupported("DocTypeReadVersion"));
        }
        self.header = true;
        // Below 1 nothing could have a size.
        self.max_size_len = usize::try_from(size_len.max(1)).unwrap_or(8);
    }

    pub(super) fn read_tracks(&mut self, at: u64, h: Head, data: &[u8]) {
        self.check_children(at, h, data);
        let mut new: Vec<Track> = Vec::new();
        let mut trouble = Vec::new();
        self.left_out.clear();
        for c in children(data).flatten().filter(|c| c.id == ids::TRACK_ENTRY) {
            let place = at + (h.len + c.at) as u64;
            if new.len() + self.left_out.len() == limits::TRACKS {
                self.problem(place, path(h.id), ErrorKind::Limit("tracks"));
                break;
            }
            match Track::read(&c, &mut trouble) {
                Ok(t) if new.iter().any(|o| o.number == t.number) => {
                    trouble.push(("Segment/Tracks/TrackEntry", ErrorKind::Malformed("TrackNumber twice")));
                }
                Ok(t) => new.push(t),
                Err(number) => self.left_out.push(number),
            }
            for (path, kind) in trouble.drain(..) {
                self.problem(place, path, kind);
            }
        }
        self.reference = [Kind::Video, Kind::Audio, Kind::Text, Kind::Data]
            .iter()
            .find_map(|k| new.iter().find(|t| t.info.codec.kind() == *k))
            .map(|t| t.number);
        self.replace_tracks(new);
    }

    /// Puts tracks in the place of those before and says what changed. Repeated ones go on.
    pub(super) fn replace_tracks(&mut self, new: Vec<Track>) {
        self.flush();
        let mut old = std::mem::take(&mut self.tracks);
        for mut t in new {
            if let Some(i) = old.iter().position(|o| o.number == t.number) {
                let before = old.swap_remove(i);
                // A description that waited for its first frame differs by what that said.
                let same = before.announced && {
                    let mut plain = (*before.info).clone();
                    if !t.announced {
                        plain.init = t.info.init.clone();
                    }
                    plain == *t.info
                };
                if same {
                    t.announced = true;
                    t.info = before.info;
                    t.reorder = before.reorder;
                    self.tracks.push(t);
                    continue;
                }
            }
            if t.announced {
                self.found.track(t.info.clone());
            }
            self.tracks.push(t);
        }
        for gone in old.iter().filter(|t| t.announced && !self.tracks.iter().any(|n| n.number == t.number)) {
            self.found.gone(gone.info.id);
        }
    }
}
