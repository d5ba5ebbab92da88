//! One build for all viewers: segments by what is in them, documents by what they were asked for.

use bytes::Bytes;
use mist_core::buffer::{Gop, StreamBuffer};
use mist_core::format::FormatError;
use mist_core::gather::{Gather, Parts};
use mist_core::http::{Cache, SegmentSpec};
use mist_core::media::Packet;
use mist_core::registry::FormatDef;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Segments of one stream that are kept built, and their bytes.
const MAX_SEGMENTS: usize = 128;
const MAX_BYTES: usize = 128 << 20;
/// Documents of one stream that are kept, and the longest request that is a key.
const MAX_DOCUMENTS: usize = 64;
const MAX_KEY: usize = 256;

type Slot = Arc<OnceLock<Option<Parts>>>;

/// A document as it was answered, good for one version of the buffer.
#[derive(Debug, Clone)]
pub struct Document {
    /// Its type.
    pub mime: &'static str,
    /// The text.
    pub body: Bytes,
    /// Caching.
    pub cache: Cache,
}

/// Built segments and documents of one stream.
#[derive(Debug, Default)]
pub struct SegmentCache {
    segments: Mutex<HashMap<SegmentSpec, Slot>>,
    documents: Mutex<HashMap<String, (u64, Document)>>,
}

impl SegmentCache {
    /// The segment, built by whoever asks first. `None` if its media is gone or can't be muxed.
    /// Those before `oldest` are forgotten: nobody can ask for them any more.
    pub fn get_or_build(
        &self,
        spec: &SegmentSpec,
        oldest: u64,
        build: impl FnOnce() -> Option<Parts>,
    ) -> Option<Parts> {
        let slot = {
            let mut map = self.segments.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(s) = map.get(spec) {
                s.clone()
            } else {
                map.retain(|k, _| k.number >= oldest);
                let built = |s: &Slot| s.get().and_then(Option::as_ref).map_or(0, Parts::len);
                while map.len() >= MAX_SEGMENTS || map.values().map(built).sum::<usize>() > MAX_BYTES {
                    let Some(oldest) = map.keys().min_by_key(|k| k.number).cloned() else { break };
                    map.remove(&oldest);
                }
                map.entry(spec.clone()).or_default().clone()
            }
        };
        let parts = slot.get_or_init(build).clone();
        if parts.is_none() {
            self.segments.lock().unwrap_or_else(PoisonError::into_inner).remove(spec);
        }
        parts
    }

    /// The document for `key` if it was made of this version of the buffer.
    pub fn document(&self, key: &str, version: u64) -> Option<Document> {
        let map = self.documents.lock().unwrap_or_else(PoisonError::into_inner);
        map.get(key).filter(|(v, _)| *v == version).map(|(_, d)| d.clone())
    }

    /// Keeps a document.
    pub fn keep_document(&self, key: &str, version: u64, document: Document) {
        if key.len() > MAX_KEY {
            return;
        }
        let mut map = self.documents.lock().unwrap_or_else(PoisonError::into_inner);
        if map.len() >= MAX_DOCUMENTS && !map.contains_key(key) {
            map.retain(|_, (v, _)| *v == version);
            if map.len() >= MAX_DOCUMENTS {
                map.clear();
            }
        }
        map.insert(key.to_owned(), (version, document));
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.clear_documents();
    }

    /// Forgets all documents.
    pub fn clear_documents(&self) {
        self.documents.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// The groups that a segment is made of; `None` when they are no longer there. Short: for under the lock.
pub fn collect(spec: &SegmentSpec, b: &StreamBuffer) -> Option<Vec<Arc<Gop>>> {
    // The buffer finds only segments that have lost nothing of the track they follow.
    b.find_segment(spec.number).filter(|s| (s.start, s.end) == (spec.from, spec.to))?;
    let gops: Vec<Arc<Gop>> = spec.tracks.iter().flat_map(|t| b.gops(*t, spec.from, spec.to)).collect();
    (!gops.is_empty()).then_some(gops)
}

/// Muxes a segment. Long: for outside the lock.
///
/// # Errors
/// The format can't carry what is in it.
pub fn build(spec: &SegmentSpec, format: &FormatDef, gops: &[Arc<Gop>]) -> Result<Parts, FormatError> {
    let Some(make) = format.muxer else { return Ok(Parts::default()) };
    let mut muxer = make();
    let mut out = Gather::new();
    let mut tracks: Vec<_> = Vec::with_capacity(spec.tracks.len());
    for t in &spec.tracks {
        if let Some(g) = gops.iter().find(|g| g.info.id == *t) {
            tracks.push(g.info.clone());
        }
    }
    muxer.start(&tracks, None, &mut out)?;
    let mut all: Vec<(&Packet, &Arc<Gop>)> = gops
        .iter()
        .flat_map(|g| g.packets.iter().map(move |p| (p, g)))
        .filter(|(p, _)| p.dts >= spec.from && p.dts < spec.to)
        .collect();
    all.sort_by_key(|(p, _)| p.dts);
    for (p, g) in all {
        if let Some(t) = tracks.iter_mut().find(|t| t.id == p.track)
            && !Arc::ptr_eq(t, &g.info)
        {
            *t = g.info.clone();
            muxer.track(t, &mut out)?;
        }
        muxer.packet(p, &mut out)?;
    }
    muxer.finish(&mut out)?;
    Ok(out.freeze())
}
