//! What boxes say of each other.

use crate::problem::{Problem, Sort};
use mist_core::format::Node;

/// Problems that are kept of one file's boxes.
const MAX_FOUND: usize = 100;

/// What was seen of an MP4 file.
#[derive(Debug, Default)]
pub(crate) struct Mp4 {
    /// Media came before `moov`.
    media: bool,
    moov: bool,
    /// Some track's samples are said to be encrypted.
    encrypted: bool,
    enc_boxes: bool,
    tables: Option<Tables>,
    /// Depth of the sample descriptions, and where each is that was seen, with its type.
    descriptions: Option<u16>,
    pub(super) entries: Vec<(u64, String)>,
    found: Vec<Problem>,
}

/// The sample table that is being read.
#[derive(Debug, Default)]
struct Tables {
    samples: Option<u64>,
    /// Samples that `stts` has durations for.
    timed: Option<(u64, u64)>,
    chunks: Option<(u64, u64)>,
    /// First and last chunk of `stsc`, samples in chunks before the last, samples of each from there on.
    runs: Option<(u64, [u64; 4])>,
    ordered: bool,
    /// The last keyframe.
    keys: Option<(u64, u64)>,
}

/// A number of a box.
fn number(n: &Node, name: &str) -> Option<u64> {
    n.value(name).and_then(|v| u64::try_from(v).ok())
}

/// The type of a box.
fn kind(n: &Node) -> String {
    let unnamed = n.value("type").and_then(|t| u32::try_from(t).ok());
    unnamed.map_or_else(|| n.name.to_owned(), |t| t.to_be_bytes().escape_ascii().to_string())
}

impl Mp4 {
    fn say(&mut self, sort: Sort, at: u64, what: &str) {
        if self.found.len() < MAX_FOUND {
            self.found.push(Problem::new(sort, what).at(Some(at)));
        }
    }

    pub(super) fn node(&mut self, n: &Node) {
        if n.depth <= 1 {
            self.close();
        }
        match self.descriptions {
            Some(depth) if n.depth == depth + 1 && self.entries.len() < super::MAX_NAMES => {
                self.entries.push((n.offset, kind(n)));
            }
            Some(depth) if n.depth <= depth => self.descriptions = None,
            _ => {}
        }
        if n.name == "stsd" {
            self.descriptions = Some(n.depth);
        }
        match n.name {
            "mdat" => self.media = true,
            "moov" => {
                if self.media && !self.moov {
                    self.say(Sort::LateIndex, n.offset, "moov comes after the media");
                }
                self.moov = true;
            }
            "elst" => {
                if let Some(entries) = number(n, "entries").filter(|e| *e > 1) {
                    let what = format!("an edit list of {entries} parts");
                    self.say(Sort::EditList, n.offset, &what);
                }
            }
            "encv" | "enca" => self.encrypted = true,
            "senc" if !self.encrypted && !std::mem::replace(&mut self.enc_boxes, true) => {
                let what = "senc has initialisation vectors, but no track's samples are said to be encrypted";
                self.say(Sort::EncryptionBoxes, n.offset, what);
            }
            "data" | "mean" | "name" if n.value("size 0").is_some() => {
                self.say(Sort::BadTag, n.offset, "a box of size 0 in the tags: it takes all that follows it");
            }
            "stbl" => self.tables = Some(Tables { ordered: true, ..Tables::default() }),
            _ => {
                if let Some(t) = &mut self.tables {
                    t.node(n);
                }
            }
        }
    }

    /// A track's tables are complete.
    fn close(&mut self) {
        let Some(t) = self.tables.take() else { return };
        t.check(|at, what| self.say(Sort::SampleTable, at, what));
    }

    pub(super) fn end(&mut self) -> Vec<Problem> {
        self.close();
        std::mem::take(&mut self.found)
    }
}

impl Tables {
    fn node(&mut self, n: &Node) {
        let entries = number(n, "entries");
        match n.name {
            "stsz" | "stz2" => self.samples = number(n, "samples"),
            "stts" => self.timed = number(n, "samples").map(|samples| (n.offset, samples)),
            "stco" | "co64" => self.chunks = entries.map(|chunks| (n.offset, chunks)),
            "stss" => {
                self.keys = number(n, "last").map(|last| (n.offset, last));
                self.ordered &= n.value("disordered").is_none();
            }
            "stsc" => {
                let all = ["first", "last", "before", "each"].map(|name| number(n, name).unwrap_or(0));
                self.runs = entries.filter(|n| *n > 0).map(|_| (n.offset, all));
                self.ordered &= n.value("disordered").is_none();
            }
            _ => {}
        }
    }

    fn check(&self, mut say: impl FnMut(u64, &str)) {
        let Some(samples) = self.samples.filter(|s| *s > 0) else { return };
        let (chunks_at, chunks) = self.chunks.unwrap_or((0, 0));
        if chunks == 0 {
            return say(chunks_at, &format!("{samples} samples, but no chunk that they lie in"));
        }
        if let Some((at, [first, last, before, each])) = self.runs {
            if first != 1 {
                say(at, &format!("the first chunk that stsc speaks of is {first} instead of 1"));
            } else if !self.ordered {
                say(at, "entries of the sample tables don't ascend");
            } else if last > chunks {
                say(at, &format!("stsc speaks of chunk {last}, there are {chunks}"));
            } else {
                let there = before.saturating_add((chunks - last + 1).saturating_mul(each));
                if there != samples {
                    say(at, &format!("{there} samples in chunks, {samples} with a size"));
                }
            }
        }
        if let Some((at, timed)) = self.timed.filter(|t| t.1 != samples) {
            say(at, &format!("durations of {timed} samples, {samples} with a size"));
        }
        if let Some((at, last)) = self.keys.filter(|k| k.1 > samples) {
            say(at, &format!("sample {last} is called a keyframe, there are {samples}"));
        }
    }
}
