//! Declare once, derive the rest: each format and protocol describes itself in one static.
//!
//! The router, the choice of inputs and push outputs, track selection, capabilities, help, documentation tables,
//! fuzzing and the conformance tests all run by these entries.

use crate::codec::Codec;
use crate::format::{Demuxer, Muxer};
use crate::http::HttpOutput;
use crate::media::TrackInfo;
use crate::session::Session;
use std::fmt;
use std::sync::Arc;

/// One option of an input or output: validates `addprotocol` and makes flags, help texts and web hints.
#[derive(Debug, Clone, Copy)]
pub struct OptionDef {
    /// Key in the configuration.
    pub key: &'static str,
    /// Name for people.
    pub name: &'static str,
    /// A sentence for people.
    pub help: &'static str,
    /// Command-line flag, as capabilities print it.
    pub flag: &'static str,
    /// What values it takes.
    pub kind: OptionKind,
    /// The value used when it is not set; empty for none.
    pub default: &'static str,
    /// Must be set.
    pub required: bool,
}

/// Values of an [`OptionDef`].
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum OptionKind {
    /// Any text.
    Text,
    /// A whole number within bounds, both included.
    Number {
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
    },
    /// Set or not.
    Flag,
    /// One of these.
    Choice(&'static [&'static str]),
}

/// One place in a combination of simultaneous tracks.
#[derive(Debug, Clone, Copy)]
pub enum Slot {
    /// Any codec.
    Any,
    /// One track with one of these, best first.
    Of(&'static [Codec]),
    /// Any number of tracks with one of these.
    Many(&'static [Codec]),
}

/// Combinations of tracks that can be carried together, best first: manual 4.1.3, `codecs`.
pub type Codecs = &'static [&'static [Slot]];

/// A way for a player to reach a stream: manual 4.1.3, `methods`.
#[derive(Debug, Clone, Copy)]
pub struct Method {
    /// URL scheme without `://`.
    pub handler: &'static str,
    /// Player technology and mime type, like `html5/application/vnd.apple.mpegurl`.
    pub kind: &'static str,
    /// Higher is better.
    pub priority: u8,
}

/// An output, field for field as manual 4.1.3 prints it.
#[derive(Debug, Clone, Copy)]
pub struct Connector {
    /// Name in `connector` members of the configuration.
    pub name: &'static str,
    /// A sentence for people.
    pub desc: &'static str,
    /// Connector that it needs, like `HTTP`; empty for none.
    pub deps: &'static str,
    /// Relative URL of a stream, `$` being its name; empty for none.
    pub url_rel: &'static str,
    /// URL patterns that match as a whole; `$` is the stream name.
    pub url_match: &'static [&'static str],
    /// URL patterns that match at the front; `$` is the stream name.
    pub url_prefix: &'static [&'static str],
    /// Patterns of targets that it can push to; `*` is anything.
    pub push_urls: &'static [&'static str],
    /// Ways to reach it.
    pub methods: &'static [Method],
    /// What it can carry.
    pub codecs: Codecs,
    /// Its options.
    pub options: &'static [OptionDef],
}

/// An input, field for field as manual 4.1.3 prints it.
#[derive(Debug, Clone, Copy)]
pub struct InputInfo {
    /// Name.
    pub name: &'static str,
    /// A sentence for people.
    pub desc: &'static str,
    /// Patterns of sources that it can read; `*` is anything.
    pub source_match: &'static [&'static str],
    /// The highest of the matching ones is taken.
    pub priority: u8,
    /// What it can bring.
    pub codecs: Codecs,
    /// Its options.
    pub options: &'static [OptionDef],
}

/// What a session is made with.
#[derive(Debug, Clone, Default)]
pub struct SessionConfig {
    /// Random bytes for handshakes and identifiers: libraries have no source of their own.
    pub seed: [u8; 32],
    /// Options as configured.
    pub options: Vec<(String, String)>,
}

/// Makes a client session for a URL; `None` if the URL is not for it.
pub type ConnectFn = fn(&str, &SessionConfig) -> Option<Box<dyn Session>>;

/// A container.
pub struct FormatDef {
    /// Short name, upper case; unique.
    pub id: &'static str,
    /// Type of the output over HTTP.
    pub mime: &'static str,
    /// File-name endings, without dot.
    pub extensions: &'static [&'static str],
    /// How sure it is, from 0 to 255, that a file starting with these bytes is its own.
    pub probe: fn(&[u8]) -> u8,
    /// Makes a demuxer.
    pub demuxer: Option<fn() -> Box<dyn Demuxer>>,
    /// Makes a muxer.
    pub muxer: Option<fn() -> Box<dyn Muxer>>,
    /// As a source of streams.
    pub input: Option<InputInfo>,
    /// As an output.
    pub output: Option<Connector>,
}

impl fmt::Debug for FormatDef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FormatDef").field("id", &self.id).finish_non_exhaustive()
    }
}

/// How a protocol is served.
pub enum Serve {
    /// Not at all: only a client.
    No,
    /// On a TCP port of its own.
    Tcp(fn(&SessionConfig) -> Box<dyn Session>),
    /// On the HTTP listener.
    Http(&'static dyn HttpOutput),
}

impl fmt::Debug for Serve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::No => "No",
            Self::Tcp(_) => "Tcp",
            Self::Http(_) => "Http",
        })
    }
}

/// A protocol.
pub struct ProtocolDef {
    /// Short name, upper case; unique.
    pub id: &'static str,
    /// Its port unless configured otherwise.
    pub port: Option<u16>,
    /// Its server side.
    pub serve: Serve,
    /// Its client side.
    pub connect: Option<ConnectFn>,
    /// As a source of streams.
    pub input: Option<InputInfo>,
    /// As an output.
    pub output: Option<Connector>,
}

impl fmt::Debug for ProtocolDef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProtocolDef").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The format that claims `head`, the first bytes of a file, most surely.
pub fn probe(formats: &[&'static FormatDef], head: &[u8]) -> Option<&'static FormatDef> {
    let mut best: Option<(u8, &'static FormatDef)> = None;
    for f in formats {
        let score = (f.probe)(head);
        if score > best.map_or(0, |(s, _)| s) {
            best = Some((score, f));
        }
    }
    best.map(|(_, f)| f)
}

/// Matches a pattern in which `*` stands once, anywhere, for any text (manual 4.1.3, `source_match`).
pub fn glob(pattern: &str, s: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == s,
        Some((a, z)) => s.len() >= a.len() + z.len() && s.starts_with(a) && s.ends_with(z),
    }
}

/// Takes the stream name out of a URL path by a pattern in which `$` is the name, never first or last
/// (manual 4.1.3, `url_match` and `url_prefix`). Returns the name and what follows a prefix.
pub fn url_stream<'u>(pattern: &str, url: &'u str, prefix: bool) -> Option<(&'u str, &'u str)> {
    let (a, z) = pattern.split_once('$')?;
    let r = url.strip_prefix(a)?;
    let (name, rest) = if prefix {
        let i = r.find(z)?;
        (r.get(..i)?, r.get(i + z.len()..)?)
    } else {
        (r.strip_suffix(z)?, "")
    };
    (!name.is_empty() && !name.contains('/')).then_some((name, rest))
}

/// Whether a codec may appear in any combination.
pub fn carries(codecs: Codecs, track: &TrackInfo) -> bool {
    codecs.iter().any(|combo| combo.iter().any(|slot| slot.takes(track.codec)))
}

impl Slot {
    /// Whether a track with this codec fits.
    pub fn takes(&self, codec: Codec) -> bool {
        match self {
            Self::Any => true,
            Self::Of(l) | Self::Many(l) => l.contains(&codec),
        }
    }
}

/// Chooses the tracks that an output carries: the first combination that takes the most of them, each slot
/// filled by the first track that fits, in the order of `tracks`.
pub fn choose(codecs: Codecs, tracks: &[Arc<TrackInfo>]) -> Vec<Arc<TrackInfo>> {
    let mut best: Vec<Arc<TrackInfo>> = Vec::new();
    for combo in codecs {
        let mut taken = vec![false; tracks.len()];
        for slot in *combo {
            let single = !matches!(slot, Slot::Many(_));
            for (t, taken) in tracks.iter().zip(&mut taken) {
                if !*taken && slot.takes(t.codec) {
                    *taken = true;
                    if single {
                        break;
                    }
                }
            }
        }
        if taken.iter().filter(|t| **t).count() > best.len() {
            best = tracks.iter().zip(&taken).filter(|(_, t)| **t).map(|(t, _)| t.clone()).collect();
        }
    }
    best
}
