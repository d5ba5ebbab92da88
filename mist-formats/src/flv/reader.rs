//! Tag bodies to media, with the memory of one connection or file.

use super::describe::{self, Description};
use super::limits;
use super::meta::{Metadata, Script};
use super::tag::{Sound, TagError, TagKind, Unit, UnitKind, audio_units, video_units};
use bytes::{Buf, Bytes};
use mist_core::codec::{Codec, h264, hevc, nal};
use mist_core::format::ErrorKind;
use mist_core::media::{Kind, Media, Packet, Params, TrackId, TrackInfo};
use mist_core::time::{Duration, Timestamp, Unwrap};
use std::sync::Arc;

/// The track that video with number `n` of Enhanced RTMP makes. 0 is what heads without a number mean; it is
/// track 1.
pub const fn video_track(n: u8) -> TrackId {
    TrackId(if n == 0 { 1 } else { 0x100 + n as u32 })
}

/// The track that audio with number `n` of Enhanced RTMP makes. 0 is what heads without a number mean; it is
/// track 2.
pub const fn audio_track(n: u8) -> TrackId {
    TrackId(if n == 0 { 2 } else { 0x200 + n as u32 })
}

#[derive(Debug)]
struct Track {
    id: TrackId,
    codec: Codec,
    /// What was announced. `None` until decoder configuration or a first frame came.
    info: Option<Arc<TrackInfo>>,
    /// The last decoder configuration as it came: most encoders repeat the same.
    config: Bytes,
    /// Bytes of NAL unit lengths.
    length_size: u8,
    /// What the head of the last legacy audio tag said.
    sound: Option<Sound>,
    /// Channels by a multichannel configuration; 0 without.
    channels: u16,
    /// Frames that came before their configuration were reported.
    reported: bool,
}

/// Turns tag bodies into media. One for each connection or file; it remembers tracks and unwraps the clock.
///
/// A track is announced when its decoder configuration comes, or its first frame where the codec has none, and
/// again when its description changes. Track ids are stable: see [`video_track`] and [`audio_track`].
///
/// Payload is the body without its heads, not a copy. Copied are PCM, NAL units whose lengths don't have 4 bytes,
/// and access units with a delimiter anywhere but in front.
#[derive(Debug)]
pub struct TagReader {
    clock: Unwrap,
    tracks: Vec<Track>,
    metadata: Option<Script>,
    hints: Metadata,
}

impl Default for TagReader {
    fn default() -> Self {
        Self::new()
    }
}

impl TagReader {
    /// Without tracks.
    pub fn new() -> Self {
        Self { clock: Unwrap::new(32), tracks: Vec::new(), metadata: None, hints: Metadata::default() }
    }

    /// Reads one tag's body. `timestamp` is the 32-bit clock of FLV and RTMP in milliseconds, which may wrap.
    ///
    /// Of script data only `onMetaData` is used; see [`Script::parse`] for the rest.
    ///
    /// # Errors
    /// The tag, or one track's part in it, can't be used and gave nothing. What was put into `out` before stays
    /// valid, and so do later tags.
    pub fn read(
        &mut self,
        kind: TagKind,
        timestamp: u32,
        body: Bytes,
        out: &mut impl Extend<Media>,
    ) -> Result<(), TagError> {
        // Players take tags without a body as nothing: some encoders send them as keep-alive or for silence.
        if body.is_empty() {
            return Ok(());
        }
        let units = match kind {
            TagKind::Script => {
                self.script(Script::parse(&body)?, out);
                return Ok(());
            }
            TagKind::Video => video_units(body)?,
            TagKind::Audio => audio_units(body)?,
        };
        let mut result = Ok(());
        for unit in units {
            if let Err(e) = self.unit(timestamp, &unit, out) {
                result = Err(TagError { at: 0, path: kind.name(), kind: e });
            }
        }
        result
    }

    /// Takes script data that the caller has parsed.
    pub fn script(&mut self, script: Script, out: &mut impl Extend<Media>) {
        let Some(o) = script.metadata() else { return };
        self.hints = Metadata::of(o);
        self.metadata = Some(script);
        // Metadata may come after the media that it describes.
        let hints = self.hints;
        if let Some(t) = self.tracks.iter_mut().find(|t| t.id == video_track(0)) {
            t.announce_again(hints, out);
        }
    }

    /// The last `onMetaData`.
    pub fn metadata(&self) -> Option<&Script> {
        self.metadata.as_ref()
    }

    /// The tracks as announced, in the order of their appearance.
    pub fn tracks(&self) -> impl Iterator<Item = &Arc<TrackInfo>> {
        self.tracks.iter().filter_map(|t| t.info.as_ref())
    }

    /// Forgets the clock: the next timestamp is taken as it is. After a seek.
    pub fn reset_clock(&mut self) {
        self.clock.reset();
    }

    fn unit(&mut self, timestamp: u32, unit: &Unit, out: &mut impl Extend<Media>) -> Result<(), ErrorKind> {
        let video = unit.codec.kind() == Kind::Video;
        let id = if video { video_track(unit.track) } else { audio_track(unit.track) };
        let hints = if id == video_track(0) { self.hints } else { Metadata::default() };
        let place = self.tracks.iter().position(|t| t.id == id);
        if place.is_none() {
            if self.tracks.len() >= limits::TRACKS {
                return Err(ErrorKind::Limit("tracks"));
            }
            self.tracks.push(Track::new(id, unit.codec));
        }
        let place = place.unwrap_or(self.tracks.len() - 1);
        let Some(t) = self.tracks.get_mut(place) else { return Ok(()) };
        if t.codec != unit.codec {
            *t = Track::new(id, unit.codec);
        }
        match unit.kind {
            UnitKind::Config => t.configure(&unit.data, hints, out),
            // AV1 video descriptor: tag 0x80, length 4, then the first four bytes of av1C.
            UnitKind::TsConfig => match (unit.codec, unit.data.get(..6)) {
                (Codec::Av1, Some([0x80, 4, av1c @ ..])) => t.configure(av1c, hints, out),
                _ => Err(ErrorKind::Unsupported("MPEG-2 TS descriptors")),
            },
            UnitKind::Channels => {
                t.channels = unit.data.get(1).map_or(0, |n| u16::from(*n));
                t.announce_again(hints, out);
                Ok(())
            }
            // The end of a sequence is not the end of a track: encoders send it at every change of settings.
            UnitKind::End | UnitKind::Metadata => Ok(()),
            UnitKind::Frame => {
                let Some(data) = t.frame(unit, hints, out)? else { return Ok(()) };
                let mut dts = Timestamp::from_millis(self.clock.unwrap(timestamp.into()));
                let mut cts = Duration::from_millis(unit.cts.into());
                let nanos = Duration::from_rate(unit.nanos.into(), 1_000_000_000);
                if video {
                    cts += nanos;
                } else {
                    dts += nanos;
                }
                let key = unit.key;
                out.extend([Media::Packet(Packet {
                    track: id,
                    dts,
                    cts,
                    duration: Duration::ZERO,
                    key,
                    data,
                })]);
                Ok(())
            }
        }
    }
}

impl Track {
    fn new(id: TrackId, codec: Codec) -> Self {
        Self {
            id,
            codec,
            info: None,
            config: Bytes::new(),
            length_size: 4,
            sound: None,
            channels: 0,
            reported: false,
        }
    }

    /// Says what the track is, if that is news.
    fn announce(&mut self, d: Description, hints: Metadata, out: &mut impl Extend<Media>) {
        let mut params = d.params;
        match &mut params {
            Params::Video { width, height, fpks } => {
                if *width == 0 || *height == 0 {
                    (*width, *height) = (hints.width, hints.height);
                }
                if *fpks == 0 {
                    *fpks = hints.fpks;
                }
            }
            Params::Audio { channels, .. } if self.channels > 0 => *channels = self.channels,
            _ => {}
        }
        let info = TrackInfo { id: self.id, codec: self.codec, init: d.init, params, lang: None };
        if self.info.as_deref() != Some(&info) {
            let info = Arc::new(info);
            self.info = Some(info.clone());
            out.extend([Media::Track(info)]);
        }
    }

    /// After hints or channels came in.
    fn announce_again(&mut self, hints: Metadata, out: &mut impl Extend<Media>) {
        if let Some(info) = self.info.clone() {
            self.announce(Description { init: info.init.clone(), params: info.params }, hints, out);
        }
    }

    fn configure(
        &mut self,
        data: &[u8],
        hints: Metadata,
        out: &mut impl Extend<Media>,
    ) -> Result<(), ErrorKind> {
        if data.len() > limits::INIT {
            return Err(ErrorKind::Limit("decoder configuration"));
        }
        if self.config == data && self.info.is_some() {
            return Ok(());
        }
        let own = Bytes::copy_from_slice(data);
        let config = describe::config(self.codec, own.clone())?;
        self.config = own;
        self.length_size = config.length_size;
        match config.description {
            Some(d) => self.announce(d, hints, out),
            None => self.info = None,
        }
        Ok(())
    }

    /// A frame's payload in canonical form, with the track announced; `None` if it has to be dropped.
    fn frame(
        &mut self,
        unit: &Unit,
        hints: Metadata,
        out: &mut impl Extend<Media>,
    ) -> Result<Option<Bytes>, ErrorKind> {
        let data = match self.codec {
            Codec::H264 => {
                without_delimiter(&unit.data, self.length_size, |n| h264::nal::kind(n) == h264::nal::AUD)?
            }
            Codec::Hevc => {
                without_delimiter(&unit.data, self.length_size, |n| hevc::nal::kind(n) == hevc::nal::AUD)?
            }
            Codec::Pcm => describe::swap_pcm(&unit.data, unit.sound.map_or(16, |s| s.bits)),
            // A temporal delimiter with its size field.
            Codec::Av1 if unit.data.starts_with(&[0x12, 0]) => unit.data.slice(2..),
            _ => unit.data.clone(),
        };
        if data.is_empty() {
            return Ok(None);
        }
        let changed = self.sound != unit.sound && self.codec != Codec::Aac;
        self.sound = unit.sound;
        // Pictures without configuration carry their size in keyframes.
        let bare = self.config.is_empty() && unit.key && self.codec.kind() == Kind::Video;
        if (self.info.is_none() || changed || bare)
            && let Some(d) = describe::frame(self.codec, unit.sound, unit.key, &data)
        {
            self.announce(d, hints, out);
        }
        if self.info.is_none() {
            // Without it no decoder can start. One report is enough for a publisher that never sends one.
            if std::mem::replace(&mut self.reported, true) {
                return Ok(None);
            }
            return Err(ErrorKind::Malformed("frame before its sequence header"));
        }
        Ok(Some(data))
    }
}

/// NAL units with 4-byte lengths and without access unit delimiters. Those in front are cut off without copying.
fn without_delimiter(data: &Bytes, size: u8, aud: impl Fn(&[u8]) -> bool) -> Result<Bytes, ErrorKind> {
    let mut data = data.clone();
    while let Some((len, rest)) = data.split_first_chunk::<4>().filter(|_| size == 4) {
        let len = u32::from_be_bytes(*len) as usize;
        if len == 0 || !rest.get(..len).is_some_and(&aud) {
            break;
        }
        data.advance(4 + len);
    }
    Ok(nal::canonical_lengths(data, size, aud)?)
}
