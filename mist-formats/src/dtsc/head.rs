//! Headers: what tracks there are, and in files where their packets lie.

use super::limits;
use super::tables::{Key, Tables};
use super::value::{Object, Value};
use bytes::Bytes;
use mist_core::codec::{self, Codec};
use mist_core::format::{ErrorKind, Index, IndexEntry};
use mist_core::lang;
use mist_core::media::{Kind, Params, TrackId, TrackInfo};
use mist_core::time::Timestamp;
use std::sync::Arc;

/// The version of headers that is written, and the only one whose tables are believed.
pub const VERSION: i64 = 4;

/// Trouble in a header that leaves the rest of it usable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderProblem {
    /// Place in the header.
    pub path: &'static str,
    /// What is wrong.
    pub kind: ErrorKind,
}

/// The file that a header describes: what tells whether it is still the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// Its size in bytes.
    pub size: u64,
    /// When it was changed last, in milliseconds since 1970-01-01 UTC.
    pub modified: i64,
}

/// One track of a header.
#[derive(Debug, Clone, PartialEq)]
pub struct Track {
    /// The `trackid` that media packets name it by.
    pub id: u32,
    /// Description; its id is [`Header::track_id`] of `id`.
    pub info: Arc<TrackInfo>,
    /// Time of the first packet in milliseconds.
    pub first_ms: i64,
    /// Time of the last packet in milliseconds.
    pub last_ms: i64,
    /// Average bytes a second.
    pub bps: u64,
    /// Bytes of the busiest second.
    pub max_bps: u64,
    /// Every packet in decoding order; empty where the header has no tables.
    pub packets: Vec<IndexEntry>,
    /// Where reading can start; the first packet is always such a place. Empty where the header has no tables.
    pub keys: Vec<Key>,
}

impl Track {
    /// Of which no packets are known.
    pub fn new(id: u32, info: Arc<TrackInfo>) -> Self {
        Self { id, info, first_ms: 0, last_ms: 0, bps: 0, max_bps: 0, packets: Vec::new(), keys: Vec::new() }
    }

    /// Sets times and rates from the packets.
    pub fn measure(&mut self) {
        let (Some(first), Some(last)) = (self.packets.first(), self.packets.last()) else { return };
        self.first_ms = first.dts.as_millis();
        self.last_ms = last.dts.as_millis();
        let total: u64 = self.packets.iter().map(|p| u64::from(p.size)).sum();
        let ms = self.last_ms.saturating_sub(self.first_ms).max(1) as u64;
        self.bps = if self.packets.len() < 2 { total } else { total.saturating_mul(1000) / ms };
        let (mut from, mut sum) = (first.dts, 0u64);
        for p in &self.packets {
            if p.dts >= from + mist_core::time::Duration::from_secs(1) {
                self.max_bps = self.max_bps.max(sum);
                (from, sum) = (p.dts, 0);
            }
            sum += u64::from(p.size);
        }
        self.max_bps = self.max_bps.max(sum).max(self.bps);
    }
}

/// A header.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Header {
    /// Of a live stream; others are files.
    pub live: bool,
    /// Unix time in milliseconds of packet time 0; live only.
    pub unix_zero: Option<i64>,
    /// Version as read; [`VERSION`] is written.
    pub version: i64,
    /// Offset in the file of a fuller header; 0 for none.
    pub more: u64,
    /// What it was made from, where it is a header file of ours.
    pub source: Option<Source>,
    /// Tracks in order.
    pub tracks: Vec<Track>,
}

impl Header {
    /// Of a live stream or a file, with tracks numbered from `first_id` on.
    pub fn of_tracks(live: bool, tracks: &[Arc<TrackInfo>], first_id: u32) -> Self {
        let numbered = tracks.iter().zip(first_id..);
        let tracks = numbered.map(|(t, id)| Track::new(id, t.clone())).collect();
        Self { live, version: VERSION, tracks, ..Self::default() }
    }

    /// The id that a track has in mist. Newer MistServers number from 0 in files, but 0 means "none" in
    /// the API, so then all move by one.
    pub fn track_id(raw: u32, from_zero: bool) -> TrackId {
        TrackId(raw.saturating_add(u32::from(from_zero)))
    }

    /// All packets; `None` if a track's aren't known.
    pub fn index(&self) -> Option<Index> {
        if self.tracks.is_empty() || self.tracks.iter().any(|t| t.packets.is_empty()) {
            return None;
        }
        Some(Index { tracks: self.tracks.iter().map(|t| (t.info.id, t.packets.clone())).collect() })
    }

    /// The place at or before `to` where reading can start: time and offset in the file, by the first video track or
    /// else the first track of any kind. `None` where there are no tables.
    pub fn key_before(&self, to: Timestamp) -> Option<(Timestamp, u64)> {
        let keyed = || self.tracks.iter().filter(|t| !t.keys.is_empty());
        let main = keyed().find(|t| t.info.codec.kind() == Kind::Video).or_else(|| keyed().next())?;
        let dts = |k: &Key| main.packets.get(k.packet).map(|p| p.dts);
        let after = main.keys.partition_point(|k| dts(k).is_some_and(|d| d <= to));
        let key = main.keys.get(after.saturating_sub(1))?;
        let at = dts(key)?;
        Some((at, key.bpos))
    }

    /// Its packed form.
    pub fn to_object(&self) -> Object {
        let mut o = Object::new().with(if self.live { "live" } else { "vod" }, 1).with("version", VERSION);
        if let Some(ms) = self.unix_zero {
            o.set("unixzero", ms);
        }
        if let Some(s) = self.source {
            o.set("sourcesize", i64::try_from(s.size).unwrap_or(i64::MAX));
            o.set("sourcetime", s.modified);
        }
        let zero = self.zero_ms();
        if zero != 0 {
            o.set("timezero", zero);
        }
        let mut tracks = Object::new();
        for t in &self.tracks {
            tracks.set(&track_name(t), track_object(t, zero));
        }
        o.set("tracks", tracks);
        o.set("moreheader", i64::try_from(self.more).unwrap_or(0));
        o
    }

    /// Where times start, which are unsigned in tables: 0, or the first packet's if that is negative.
    fn zero_ms(&self) -> i64 {
        let first = self.tracks.iter().filter_map(|t| t.packets.first());
        first.map(|p| p.dts.as_millis()).min().unwrap_or(0).min(0)
    }

    /// Reads one. Tracks that can't be used are left out, and said among the problems.
    ///
    /// # Errors
    /// There is no list of tracks, or it is longer than [`limits::TRACKS`].
    pub fn parse(o: &Object) -> Result<(Self, Vec<HeaderProblem>), HeaderProblem> {
        let bad = |path, kind| HeaderProblem { path, kind };
        let mut problems = Vec::new();
        let positive = |name| o.int(name).and_then(|i| u64::try_from(i).ok());
        let mut h = Self {
            live: o.int("live").is_some_and(|i| i != 0),
            unix_zero: o.int("unixzero"),
            version: o.int("version").unwrap_or(0),
            more: positive("moreheader").unwrap_or(0),
            source: positive("sourcesize")
                .zip(o.int("sourcetime"))
                .map(|(size, modified)| Source { size, modified }),
            tracks: Vec::new(),
        };
        let Some(tracks) = o.object("tracks") else {
            // A header at the front may only point to the full one.
            if h.more != 0 {
                return Ok((h, problems));
            }
            return Err(bad("DTSC/tracks", ErrorKind::Malformed("header without tracks")));
        };
        if tracks.iter().len() > limits::TRACKS {
            return Err(bad("DTSC/tracks", ErrorKind::Limit("tracks")));
        }
        let zero = o.int("timezero").filter(|z| (-1_000_000_000..=0).contains(z)).unwrap_or(0);
        let ids = || {
            tracks.iter().filter_map(|(_, v)| if let Value::Object(t) = v { t.int("trackid") } else { None })
        };
        let from_zero = ids().any(|id| id == 0);
        let believe = h.version == VERSION;
        for (position, (_, value)) in tracks.iter().enumerate() {
            match track(value, position, from_zero, believe, zero, &mut problems) {
                Ok(t) if h.tracks.iter().any(|o| o.id == t.id) => {
                    problems.push(bad("DTSC/tracks/trackid", ErrorKind::Malformed("two tracks with one id")));
                }
                Ok(t) => h.tracks.push(t),
                Err(p) => problems.push(p),
            }
        }
        Ok((h, problems))
    }
}

/// The name of a track's object, which tells people what it is and nothing to programs.
fn track_name(t: &Track) -> String {
    let (kind, codec) = (t.info.codec.kind().name(), t.info.codec.name());
    let id = t.id;
    let lang = t.info.lang.map(|l| format!("_{l}")).unwrap_or_default();
    match t.info.params {
        Params::Video { width, height, fpks } => {
            let fps = f64::from(fpks) / 1000.0;
            format!("{kind}_{codec}_{width}x{height}_{fps}fps_{id}{lang}")
        }
        Params::Audio { rate, channels, .. } => format!("{kind}_{codec}_{channels}ch_{rate}hz_{id}{lang}"),
        _ => format!("{kind}_{codec}__{id}{lang}"),
    }
}

fn track_object(t: &Track, zero: i64) -> Object {
    let mut o = Object::new();
    if let Some(tables) = Tables::of(&t.info, &t.packets, &t.keys, zero) {
        tables.write(&mut o);
    }
    let shown = |ms: i64| ms.saturating_sub(zero).max(0);
    o.set("trackid", i64::from(t.id));
    o.set("firstms", shown(t.first_ms));
    o.set("lastms", shown(t.last_ms));
    o.set("bps", i64::try_from(t.bps).unwrap_or(i64::MAX));
    o.set("maxbps", i64::try_from(t.max_bps).unwrap_or(i64::MAX));
    o.set("init", t.info.init.clone());
    o.set("codec", t.info.codec.name());
    if let Some(l) = t.info.lang {
        o.set("lang", l.as_str());
    }
    o.set("type", t.info.codec.kind().name());
    match t.info.params {
        Params::Video { width, height, fpks } => {
            o.set("width", i64::from(width));
            o.set("height", i64::from(height));
            o.set("fpks", i64::from(fpks));
        }
        Params::Audio { rate, channels, bits } => {
            o.set("rate", i64::from(rate));
            o.set("size", i64::from(bits));
            o.set("channels", i64::from(channels));
        }
        _ => {}
    }
    o
}

fn track(
    value: &Value,
    position: usize,
    from_zero: bool,
    believe: bool,
    zero: i64,
    problems: &mut Vec<HeaderProblem>,
) -> Result<Track, HeaderProblem> {
    let bad = |path, kind| HeaderProblem { path, kind };
    let Value::Object(o) = value else {
        return Err(bad("DTSC/tracks", ErrorKind::Malformed("track that is no object")));
    };
    let id = match o.int("trackid") {
        Some(id) => u32::try_from(id)
            .map_err(|_| bad("DTSC/tracks/trackid", ErrorKind::Malformed("track id out of range")))?,
        None => position as u32,
    };
    let codec = o
        .str("codec")
        .and_then(Codec::from_name)
        .ok_or(bad("DTSC/tracks/codec", ErrorKind::Unsupported("codec of a track")))?;
    let number = |name| o.int(name).and_then(|i| u32::try_from(i).ok()).unwrap_or(0);
    let params = match codec.kind() {
        Kind::Video => {
            let size = |name| Some(number(name)).filter(|n| *n <= codec::limits::MAX_DIMENSION).unwrap_or(0);
            Params::Video { width: size("width"), height: size("height"), fpks: number("fpks") }
        }
        Kind::Audio => Params::Audio {
            rate: number("rate"),
            channels: u16::try_from(number("channels")).unwrap_or(0),
            bits: u16::try_from(number("size")).unwrap_or(0),
        },
        _ => Params::Other,
    };
    let raw = o.blob("init").cloned().unwrap_or_default();
    if raw.len() > limits::INIT {
        return Err(bad("DTSC/tracks/init", ErrorKind::Limit("init data")));
    }
    // Copied: it must not keep the header's buffer.
    let raw = Bytes::copy_from_slice(&raw);
    let init = if raw.is_empty() {
        raw
    } else {
        codec::canonical_init(codec, raw).unwrap_or_else(|e| {
            problems.push(bad("DTSC/tracks/init", e.into()));
            Bytes::new()
        })
    };
    let info = TrackInfo::new(Header::track_id(id, from_zero), codec, init, params)
        .with_lang(o.str("lang").and_then(lang::parse));
    let mut t = Track::new(id, Arc::new(info));
    t.first_ms = o.int("firstms").unwrap_or(0).saturating_add(zero);
    t.last_ms = o.int("lastms").unwrap_or(0).saturating_add(zero);
    t.bps = o.int("bps").and_then(|i| u64::try_from(i).ok()).unwrap_or(0);
    t.max_bps = o.int("maxbps").and_then(|i| u64::try_from(i).ok()).unwrap_or(0);
    match Tables::read(o) {
        Some(tables) if believe => match tables.packets(&t.info, zero) {
            Ok((packets, keys)) => (t.packets, t.keys) = (packets, keys),
            Err(kind) => problems.push(bad("DTSC/tracks/parts", kind)),
        },
        _ => {}
    }
    Ok(t)
}
