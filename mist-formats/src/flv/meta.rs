//! Script data: `onMetaData` and its relatives, read and written.

use super::tag::{FOURCCS, TagError};
use crate::amf::{Object, Value, amf0};
use mist_core::codec::Codec;
use mist_core::format::ErrorKind;
use mist_core::media::{Kind, Params, TrackInfo};
use std::sync::Arc;

/// A script tag, or an RTMP data message: a name and its arguments.
#[derive(Debug, Clone, PartialEq)]
pub struct Script {
    /// `onMetaData`, `onCuePoint`, `onTextData`, `onFI`…
    pub name: String,
    /// Arguments.
    pub values: Vec<Value>,
}

impl Script {
    /// Reads a script tag's body. The `@setDataFrame` that publishers put in front of a name is taken off.
    /// Values before a damaged one are kept: a half `onMetaData` is better than none.
    ///
    /// # Errors
    /// There is no name.
    pub fn parse(body: &[u8]) -> Result<Self, TagError> {
        let mut reader = amf0::Reader::new(body);
        let mut values = Vec::new();
        let mut name: Option<String> = None;
        loop {
            match reader.read() {
                Ok(Some(Value::String(s))) if name.as_deref().is_none_or(|n| n == "@setDataFrame") => {
                    name = Some(s);
                }
                Ok(Some(v)) if name.is_some() => values.push(v),
                Ok(Some(_)) => {
                    let kind = ErrorKind::Malformed("script data without a name");
                    return Err(TagError { at: 0, path: "script", kind });
                }
                Err(e) if name.is_none() => {
                    return Err(TagError { at: e.offset, path: "script", kind: e.kind });
                }
                Ok(None) | Err(_) => break,
            }
        }
        Ok(Self { name: name.unwrap_or_default(), values })
    }

    /// The first argument that has members, if this is `onMetaData`.
    pub fn metadata(&self) -> Option<&Object> {
        if self.name != "onMetaData" {
            return None;
        }
        self.values.iter().find_map(Value::as_object)
    }
}

/// What `onMetaData` says that is of use beside codec data. Zero means unknown; nonsense is taken as unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Metadata {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Frames per 1000 seconds.
    pub fpks: u32,
}

fn number(o: &Object, names: &[&str], max: f64) -> Option<f64> {
    let read = |v: &Value| v.as_f64().or_else(|| v.as_str()?.trim().parse().ok());
    let n = names.iter().find_map(|n| o.get(n).and_then(read))?;
    (n.is_finite() && n > 0.0 && n <= max).then_some(n)
}

impl Metadata {
    /// Picks what is of use.
    pub fn of(o: &Object) -> Self {
        let side = |n: &[&str]| number(o, n, 65535.0).map_or(0, |v| v as u32);
        Self {
            width: side(&["width", "displayWidth"]),
            height: side(&["height", "displayHeight"]),
            fpks: number(o, &["framerate", "videoframerate"], 1000.0)
                .map_or(0, |v| (v * 1000.0).round() as u32),
        }
    }
}

/// Offset of the value of `duration` in what [`on_metadata`] writes.
pub(super) const DURATION_AT: usize = 29;
/// Offset of the value of `filesize` in what [`on_metadata`] writes.
pub(super) const FILESIZE_AT: usize = 48;

/// The body of an `onMetaData` tag for these tracks. `duration` in seconds; 0 while it is not known.
pub(super) fn on_metadata(tracks: &[Arc<TrackInfo>], duration: f64) -> Vec<u8> {
    let mut o = Object::new().with("duration", duration).with("filesize", 0.0);
    let first = |k: Kind| tracks.iter().find(|t| t.codec.kind() == k);
    if let Some(v) = first(Kind::Video) {
        let (width, height) = v.size();
        if width > 0 && height > 0 {
            o = o.with("width", width).with("height", height);
        }
        if let Params::Video { fpks: fpks @ 1.., .. } = v.params {
            o = o.with("framerate", f64::from(fpks) / 1000.0);
        }
        o = o.with("videocodecid", codec_id(v.codec));
    }
    if let Some(a) = first(Kind::Audio) {
        if a.rate() > 0 {
            o = o.with("audiosamplerate", a.rate());
        }
        if let Params::Audio { bits: bits @ 1.., .. } = a.params {
            o = o.with("audiosamplesize", u32::from(bits));
        }
        if a.channels() > 0 {
            o = o.with("audiochannels", u32::from(a.channels())).with("stereo", a.channels() == 2);
        }
        o = o.with("audiocodecid", codec_id(a.codec));
    }
    o = o.with("encoder", concat!("mist ", env!("CARGO_PKG_VERSION")));
    amf0::write_all(&["onMetaData".into(), Value::EcmaArray(o)])
}

/// The number that `videocodecid` and `audiocodecid` have: the id of a legacy head, or the FourCC as a number.
fn codec_id(codec: Codec) -> f64 {
    if let Some(id) = super::writer::legacy_id(codec) {
        return f64::from(id);
    }
    FOURCCS.iter().find(|(_, c)| *c == codec).map_or(0.0, |(f, _)| f64::from(u32::from_be_bytes(*f)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbage_is_unknown() {
        let o = Object::new()
            .with("width", "1920")
            .with("height", f64::INFINITY)
            .with("framerate", -1.0)
            .with("videocodecid", Value::Null);
        assert_eq!(Metadata::of(&o), Metadata { width: 1920, height: 0, fpks: 0 });
        let o = Object::new().with("displayWidth", 1e12).with("framerate", 29.97);
        assert_eq!(Metadata::of(&o), Metadata { width: 0, height: 0, fpks: 29970 });
    }

    #[test]
    fn names_arguments_and_damage() {
        let meta = Object::new().with("width", 5.0);
        let body =
            amf0::write_all(&["@setDataFrame".into(), "onMetaData".into(), Value::EcmaArray(meta.clone())]);
        let s = Script::parse(&body).unwrap();
        assert_eq!(s.metadata(), Some(&meta));
        let mut cut = body;
        cut.truncate(cut.len() - 2);
        assert_eq!(Script::parse(&cut).unwrap().metadata(), Some(&meta), "end marker cut");
        cut.truncate(cut.len() - 4);
        assert_eq!(Script::parse(&cut).unwrap().name, "onMetaData");
        let s = Script::parse(&amf0::write_all(&["onTextData".into(), "a".into(), 1.0.into()])).unwrap();
        assert_eq!((s.values.len(), s.metadata()), (2, None));
        assert!(Script::parse(&[5]).is_err());
        assert!(Script::parse(&[0x20]).is_err());
        assert_eq!(Script::parse(&[]).unwrap().name, "");
    }

    #[test]
    fn what_is_patched_lies_where_the_constants_say() {
        let body = on_metadata(&[], 1.5);
        assert_eq!(body[DURATION_AT..DURATION_AT + 8], 1.5f64.to_be_bytes());
        assert_eq!(body[FILESIZE_AT - 11..FILESIZE_AT], *b"\0\x08filesize\0");
    }
}
