//! Subtitle files: SubRip (no standard; as players read it) and WebVTT (W3C Recommendation track, *WebVTT: The Web Video
//! Text Tracks Format*, §4 and §6; `X-TIMESTAMP-MAP` of RFC 8216 §3.5).
//!
//! Files may be UTF-8 with or without byte order mark, UTF-16 with one, or Windows-1252 line by line, and their lines may
//! end in any way. Cues that can't be read are reported and skipped. Styles and regions of WebVTT stay in the track's
//! init data, identifiers and settings in the payload; comments are dropped.
//! Left out: the frames of MicroDVD, and bitmaps.
//!
//! A file is read whole before its first cue comes out, because cues need not be in order.

use mist_core::codec::{Codec, text};
use mist_core::registry::{Codecs, Connector, FormatDef, InputInfo, Method, Slot};

mod demux;
mod lines;
mod mux;
mod parse;

pub use demux::Demuxer;
pub use mux::Muxer;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// SubRip.
    Srt,
    /// WebVTT.
    Vtt,
}

impl Flavour {
    const fn id(self) -> &'static str {
        match self {
            Self::Srt => "SRT",
            Self::Vtt => "VTT",
        }
    }

    const fn codec(self) -> Codec {
        match self {
            Self::Srt => Codec::Subtitle,
            Self::Vtt => Codec::WebVtt,
        }
    }
}

const FROM_SRT: Codecs = &[&[Slot::Of(&[Codec::Subtitle, Codec::WebVtt, Codec::Tx3g])]];
const FROM_VTT: Codecs = &[&[Slot::Of(&[Codec::WebVtt, Codec::Subtitle, Codec::Tx3g])]];

/// The registry entry of SubRip.
pub static SRT: FormatDef = FormatDef {
    id: Flavour::Srt.id(),
    mime: "application/x-subrip",
    extensions: &["srt"],
    probe: probe_srt,
    demuxer: Some(|| Box::new(Demuxer::new(Flavour::Srt))),
    muxer: Some(|| Box::new(Muxer::new(Flavour::Srt))),
    input: Some(InputInfo {
        name: "SRT",
        desc: "Reads SubRip subtitle files.",
        source_match: &["/*.srt"],
        priority: 9,
        codecs: &[&[Slot::Of(&[Codec::Subtitle])]],
        options: &[],
    }),
    output: Some(Connector {
        name: "SRT",
        desc: "Subtitles over HTTP and to files in SubRip form.",
        deps: "HTTP",
        url_rel: "/$.srt",
        url_match: &["/$.srt"],
        url_prefix: &[],
        push_urls: &["/*.srt"],
        methods: &[Method { handler: "http", kind: "html5/text/plain", priority: 8 }],
        codecs: FROM_SRT,
        options: &[],
    }),
};

/// The registry entry of WebVTT.
pub static VTT: FormatDef = FormatDef {
    id: Flavour::Vtt.id(),
    mime: "text/vtt",
    extensions: &["vtt"],
    probe: probe_vtt,
    demuxer: Some(|| Box::new(Demuxer::new(Flavour::Vtt))),
    muxer: Some(|| Box::new(Muxer::new(Flavour::Vtt))),
    input: Some(InputInfo {
        name: "VTT",
        desc: "Reads WebVTT subtitle files.",
        source_match: &["/*.vtt"],
        priority: 9,
        codecs: &[&[Slot::Of(&[Codec::WebVtt])]],
        options: &[],
    }),
    output: Some(Connector {
        name: "VTT",
        desc: "Subtitles over HTTP and to files in WebVTT form.",
        deps: "HTTP",
        url_rel: "/$.vtt",
        url_match: &["/$.vtt"],
        url_prefix: &[],
        push_urls: &["/*.vtt"],
        methods: &[Method { handler: "http", kind: "html5/text/vtt", priority: 9 }],
        codecs: FROM_VTT,
        options: &[],
    }),
};

/// Bytes of a file's start that are looked at.
const HEAD: usize = 1024;

fn probe_srt(head: &[u8]) -> u8 {
    let head = head.get(..HEAD).unwrap_or(head);
    // Nearly everything else is told at a glance.
    if !head
        .first()
        .is_some_and(|b| matches!(b, b'0'..=b'9' | b'\r' | b'\n' | b' ' | b'-' | 0xef | 0xfe | 0xff))
    {
        return 0;
    }
    let text = text::decode(head);
    let mut lines = text.trim_start_matches('\u{feff}').split(['\n', '\r']).filter(|l| !l.trim().is_empty());
    let Some(first) = lines.next() else { return 0 };
    if parse::timing(first).is_some() {
        return 120;
    }
    let number = first.trim().bytes().all(|b| b.is_ascii_digit());
    if number && lines.next().is_some_and(|l| parse::timing(l).is_some()) { 200 } else { 0 }
}

fn probe_vtt(head: &[u8]) -> u8 {
    let head = head.get(..HEAD).unwrap_or(head);
    if !head.first().is_some_and(|b| matches!(b, b'W' | 0xef | 0xfe | 0xff)) {
        return 0;
    }
    let text = text::decode(head);
    if text::is_header(text.strip_prefix('\u{feff}').unwrap_or(&text)) { 255 } else { 0 }
}

/// What a file may make us hold.
pub mod limits {
    /// Bytes of a file. The subtitles of a long film have 200 KB.
    pub const FILE: usize = 16 << 20;
    /// Cues of a file.
    pub const CUES: usize = 100_000;
    /// Bytes of a line; what is longer is cut.
    pub const LINE: usize = 1 << 16;
}
