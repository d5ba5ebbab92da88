//! What boxes say of each other.

use crate::problem::{Problem, Sort};
use mist_core::format::Node;
use mist_core::time::Duration;

/// Problems that are kept of one file's boxes.
const MAX_FOUND: usize = 100;

/// What was seen of an MP4 file.
#[derive(Debug, Default)]
pub(crate) struct Mp4 {
    /// Media came before `moov`.
    media: bool,
    moov: bool,
    /// There are fragments, which the movie's duration leaves out.
    pub(super) fragmented: bool,
    pub(super) duration: Option<Duration>,
    /// Some track's samples are said to be encrypted.
    encrypted: bool,
    enc_boxes: bool,
    tables: Option<Tables>,
    /// Depth of the sample descriptions, and where each is that was seen, with its type.
    descriptions: Option<u16>,
    pub(super) entries: Vec<(u64, String)>,
    found: Vec<Problem>,
}

/// The sample table that is being read: numbers by where they stand.
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

/// The numbers in a text.
fn numbers(text: &str) -> impl Iterator<Item = u64> + '_ {
    text.split(|c: char| !c.is_ascii_digit()).filter_map(|w| w.parse().ok())
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
                let kind = if n.name == "box" { &n.detail } else { n.name };
                self.entries.push((n.offset, kind.to_owned()));
            }
            Some(depth) if n.depth <= depth => self.descriptions = None,
            _ => {}
        }
        if n.name == "stsd" {
            self.descriptions = Some(n.depth);
        }
        let mut v = numbers(&n.detail);
        match n.name {
            "mdat" => self.media = true,
            "moov" => {
                if self.media && !self.moov {
                    self.say(Sort::LateIndex, n.offset, "moov comes after the media");
                }
                self.moov = true;
            }
            "mvex" => self.fragmented = true,
            "mvhd" => {
                if let (Some(scale), Some(ticks)) = (v.next(), v.next())
                    && scale > 0
                    && ticks < u64::from(u32::MAX)
                {
                    let ms = ticks.saturating_mul(1000) / scale;
                    self.duration = i64::try_from(ms).ok().filter(|d| *d > 0).map(Duration::from_millis);
                }
            }
            "elst" => {
                if let Some(entries) = v.next().filter(|e| *e > 1) {
                    let what = format!("an edit list of {entries} parts");
                    drop(v);
                    self.say(Sort::EditList, n.offset, &what);
                }
            }
            "encv" | "enca" => self.encrypted = true,
            "senc" if !self.encrypted && !std::mem::replace(&mut self.enc_boxes, true) => {
                drop(v);
                let what = "senc has initialisation vectors, but no track's samples are said to be encrypted";
                self.say(Sort::EncryptionBoxes, n.offset, what);
            }
            "data" | "mean" | "name" if n.detail.contains("size 0") => {
                drop(v);
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
        let mut v = numbers(&n.detail);
        let first = v.next();
        match n.name {
            "stsz" | "stz2" => self.samples = first,
            "stts" => self.timed = v.next().map(|samples| (n.offset, samples)),
            "stco" | "co64" => self.chunks = first.map(|chunks| (n.offset, chunks)),
            "stss" => {
                self.keys = v.next().map(|last| (n.offset, last));
                self.ordered &= !n.detail.contains("disordered");
            }
            "stsc" => {
                let mut all = [0; 4];
                for (to, v) in all.iter_mut().zip(v) {
                    *to = v;
                }
                self.runs = first.filter(|n| *n > 0).map(|_| (n.offset, all));
                self.ordered &= !n.detail.contains("disordered");
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
