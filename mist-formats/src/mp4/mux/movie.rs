//! `ftyp` and `moov`: what is known of a movie before its samples (ISO/IEC 14496-12 §4.3, §8.2 to 8.8).

use super::boxes::Boxes;
use mist_core::codec::Codec;
use mist_core::lang;
use mist_core::media::{Kind, TrackInfo};

/// One edit: empty without a media time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Edit {
    /// In units of the movie; 0 for as long as the track lasts, in fragmented files.
    pub(super) duration: u64,
    /// In units of the track.
    pub(super) media_time: Option<i64>,
}

/// A track and its media as a whole.
#[derive(Debug)]
pub(super) struct Trak<'a> {
    pub(super) info: &'a TrackInfo,
    pub(super) id: u32,
    /// Units a second.
    pub(super) scale: u32,
    /// In its own units; 0 for fragments.
    pub(super) media_duration: u64,
    /// In units of the movie; 0 for fragments.
    pub(super) duration: u64,
    pub(super) edits: Vec<Edit>,
    /// The sample entry.
    pub(super) entry: Vec<u8>,
}

/// What is in front of the media.
#[derive(Debug)]
pub(super) struct Movie<'a> {
    /// Units a second of what isn't a track's own.
    pub(super) scale: u32,
    pub(super) duration: u64,
    pub(super) tracks: Vec<Trak<'a>>,
    /// Fragments follow, and no samples are described here.
    pub(super) fragmented: bool,
}

/// Where the durations of a fragmented movie are, to be put there at the end.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Places {
    /// Bytes before the duration of `mvhd`, 32 bits wide.
    pub(super) mvhd: usize,
    /// Bytes before the `free` box that becomes `mehd`.
    pub(super) mehd: usize,
}

/// Bytes of a `mehd` of version 1, for which room is kept.
const MEHD: usize = 20;
const UNITY: [u32; 9] = [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000];

/// `ftyp` with the brands that the content asks for.
pub(super) fn ftyp<'a>(w: &mut Boxes, tracks: impl Iterator<Item = &'a TrackInfo>, fragmented: bool) {
    let codecs: Vec<Codec> = tracks.map(|t| t.codec).collect();
    w.boxed(b"ftyp", |w| {
        if fragmented {
            // version 0 of the minor brand; fragments with their decoding times and offsets from the moof
            w.bytes(b"iso6").u32(0).bytes(b"iso6iso5mp41");
            if codecs.len() == 1 {
                w.bytes(b"cmfc");
            }
        } else {
            // iso4 is the first with signed composition offsets
            w.bytes(b"isom").u32(0x200).bytes(b"isomiso2iso4mp41mp42");
        }
        for (codec, brand) in [(Codec::H264, b"avc1"), (Codec::Av1, b"av01"), (Codec::Opus, b"Opus")] {
            if codecs.contains(&codec) {
                w.bytes(brand);
            }
        }
        if codecs.iter().any(|c| matches!(c, Codec::Pcm | Codec::PcmFloat | Codec::Alaw | Codec::Ulaw)) {
            w.bytes(b"qt  ");
        }
    });
}

impl Movie<'_> {
    /// Writes `moov`. `tables` writes what `stbl` has behind `stsd`, by position of the track.
    pub(super) fn write(&self, w: &mut Boxes, mut tables: impl FnMut(&mut Boxes, usize)) -> Places {
        let mut places = Places::default();
        w.boxed(b"moov", |w| {
            let wide = self.duration > u64::from(u32::MAX);
            w.full(b"mvhd", u8::from(wide), 0, |w| {
                w.wide(wide, 0).wide(wide, 0).u32(self.scale);
                places.mvhd = w.len();
                w.wide(wide, self.duration).u32(0x1_0000).u16(0x100).zeros(10);
                matrix(w, UNITY);
                let next = self.tracks.iter().map(|t| t.id).max().unwrap_or(0).saturating_add(1);
                w.zeros(24).u32(next);
            });
            for (i, t) in self.tracks.iter().enumerate() {
                let kind = t.info.codec.kind();
                let first = !self.tracks.iter().take(i).any(|o| o.info.codec.kind() == kind);
                w.boxed(b"trak", |w| t.write(w, first, |w| tables(w, i)));
            }
            if self.fragmented {
                w.boxed(b"mvex", |w| {
                    places.mehd = w.len();
                    w.boxed(b"free", |w| _ = w.zeros(MEHD - 8));
                    for t in &self.tracks {
                        w.full(b"trex", 0, 0, |w| _ = w.u32(t.id).u32(1).u32(0).u32(0).u32(0));
                    }
                });
            }
        });
        places
    }
}

/// The `mehd` that takes the place kept for it: the duration of a fragmented movie (§8.8.2).
pub(super) fn mehd(duration: u64) -> Vec<u8> {
    let mut w = Boxes::new();
    w.full(b"mehd", 1, 0, |w| _ = w.u64(duration));
    w.into_vec()
}

fn matrix(w: &mut Boxes, m: [u32; 9]) {
    for v in m {
        w.u32(v);
    }
}

/// Turns pictures of this size clockwise and back into the first quadrant.
fn rotation(degrees: u16, (width, height): (u32, u32)) -> [u32; 9] {
    let [one, minus] = [0x1_0000, 0xffff_0000];
    let (w, h) = (width << 16, height << 16);
    match degrees {
        90 => [0, one, 0, minus, 0, 0, h, 0, 0x4000_0000],
        180 => [minus, 0, 0, 0, minus, 0, w, h, 0x4000_0000],
        270 => [0, minus, 0, one, 0, 0, 0, w, 0x4000_0000],
        _ => UNITY,
    }
}

impl Trak<'_> {
    fn write(&self, w: &mut Boxes, first: bool, tables: impl FnOnce(&mut Boxes)) {
        let kind = self.info.codec.kind();
        // Of several tracks of sound or text one is meant to be used, and they are alternatives for each other.
        let (flags, group) = match kind {
            Kind::Video | Kind::Data => (3, 0),
            Kind::Audio => (if first { 3 } else { 2 }, 1),
            Kind::Text => (if first { 3 } else { 2 }, 2),
        };
        let (width, height) = self.info.size();
        let (h, v) = self.info.visual.sar;
        // Shown with square samples; the matrix turns what results.
        let shown = match (u64::from(width) * u64::from(h)).checked_div(u64::from(v)) {
            Some(w) if w > 0 => u32::try_from(w).unwrap_or(width).min(0xffff),
            _ => width,
        };
        let wide = self.duration > u64::from(u32::MAX);
        w.full(b"tkhd", u8::from(wide), flags, |w| {
            w.wide(wide, 0)
                .wide(wide, 0)
                .u32(self.id)
                .u32(0)
                .wide(wide, self.duration)
                .zeros(8)
                .u16(0)
                .u16(group);
            w.u16(if kind == Kind::Audio { 0x100 } else { 0 }).u16(0);
            matrix(w, rotation(self.info.visual.rotation, (shown, height)));
            w.u32(shown << 16).u32(height << 16);
        });
        if !self.edits.is_empty() {
            w.boxed(b"edts", |w| self.edit_list(w));
        }
        w.boxed(b"mdia", |w| {
            let wide = self.media_duration > u64::from(u32::MAX);
            w.full(b"mdhd", u8::from(wide), 0, |w| {
                w.wide(wide, 0).wide(wide, 0).u32(self.scale).wide(wide, self.media_duration);
                w.u16(self.language()).u16(0);
            });
            let (handler, name): (&[u8; 4], &[u8]) = match (self.info.codec, kind) {
                (_, Kind::Video) => (b"vide", b"Video\0"),
                (_, Kind::Audio) => (b"soun", b"Sound\0"),
                // Apple's own handlers, by which players know subtitles and captions from other text
                (Codec::Tx3g, _) => (b"sbtl", b"Subtitles\0"),
                (Codec::Cea608, _) => (b"clcp", b"Captions\0"),
                (Codec::Stpp, _) => (b"subt", b"Subtitles\0"),
                (_, Kind::Text | Kind::Data) => (b"text", b"Text\0"),
            };
            w.full(b"hdlr", 0, 0, |w| _ = w.u32(0).bytes(handler).zeros(12).bytes(name));
            if let Some(lang) = &self.info.lang {
                w.full(b"elng", 0, 0, |w| _ = w.bytes(lang::shortest(lang).as_bytes()).u8(0));
            }
            w.boxed(b"minf", |w| {
                match (self.info.codec, kind) {
                    (_, Kind::Video) => w.full(b"vmhd", 0, 1, |w| _ = w.zeros(8)),
                    (_, Kind::Audio) => w.full(b"smhd", 0, 0, |w| _ = w.zeros(4)),
                    (Codec::Stpp, _) => w.full(b"sthd", 0, 0, |_| {}),
                    (_, Kind::Text | Kind::Data) => w.full(b"nmhd", 0, 0, |_| {}),
                }
                // the media is in this file
                w.boxed(b"dinf", |w| {
                    w.full(b"dref", 0, 0, |w| {
                        w.u32(1);
                        w.full(b"url ", 0, 1, |_| {});
                    });
                });
                w.boxed(b"stbl", |w| {
                    w.full(b"stsd", 0, 0, |w| _ = w.u32(1).bytes(&self.entry));
                    tables(w);
                });
            });
        });
    }

    /// Three letters in five bits each (§8.4.2.3).
    fn language(&self) -> u16 {
        let code = self.info.lang.as_ref().map_or("und", |l| l.as_str());
        code.bytes().fold(0, |v, c| v << 5 | u16::from(c & 0x1f))
    }

    fn edit_list(&self, w: &mut Boxes) {
        let long = |e: &Edit| {
            e.duration > u64::from(u32::MAX) || e.media_time.is_some_and(|t| i32::try_from(t).is_err())
        };
        let wide = self.edits.iter().any(long);
        w.full(b"elst", u8::from(wide), 0, |w| {
            w.u32(self.edits.len() as u32);
            for e in &self.edits {
                let at = e.media_time.unwrap_or(-1);
                w.wide(wide, e.duration);
                if wide {
                    w.u64(at as u64)
                } else {
                    w.i32(i32::try_from(at).unwrap_or(i32::MAX))
                };
                w.u32(0x1_0000);
            }
        });
    }
}
