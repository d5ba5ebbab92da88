//! Tag bodies to media, with the memory of one connection or file.

use super::describe::{self, Description};
use super::limits;
use super::meta::{Metadata, Script};
use super::tag::{Sound, TagError, TagKind, Unit, UnitKind, audio_units, video_units};
use bytes::Bytes;
use mist_core::codec::{Codec, params_from_payload};
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
        let info = TrackInfo::new(self.id, self.codec, d.init, params);
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
        let data = describe::payload(self.codec, unit.sound, self.length_size, &unit.data)?;
        if data.is_empty() {
            return Ok(None);
        }
        let changed = self.sound != unit.sound && self.codec != Codec::Aac;
        self.sound = unit.sound;
        // Pictures without configuration carry their size in keyframes.
        let is_video = self.codec.kind() == Kind::Video;
        let bare = self.config.is_empty() && unit.key && is_video;
        if (self.info.is_none() || changed || bare)
            && let Some(d) = describe::frame(self.codec, unit.sound, unit.key, &data)
        {
            self.announce(d, hints, out);
        }
        // The configuration of VP9 has no size.
        if let Some(info) = self.info.clone().filter(|i| unit.key && is_video && i.size() == (0, 0))
            && let Some(params) = params_from_payload(self.codec, &data)
        {
            self.announce(Description { init: info.init.clone(), params }, hints, out);
        }
        if self.info.is_none() {
            // Without it no decoder can start. One report is enough for a publisher that never sends one.
            if std::mem::replace(&mut self.reported, true) {
                return Ok(None);
            }
            return Err(ErrorKind::Missing("frame before its sequence header"));
        }
        Ok(Some(data))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small SPS (352×288) and PPS.
    const SPS: &[u8] = &[0x67, 0x42, 0xc0, 0x15, 0xda, 0x05, 0x82, 0x59];
    const PPS: &[u8] = &[0x68, 0xce, 0x3c, 0x80];

    fn avcc(size: u8) -> Vec<u8> {
        let mut v = vec![1, 0x42, 0xc0, 0x15, 0xfc | (size - 1), 0xe1, 0, SPS.len() as u8];
        v.extend_from_slice(SPS);
        v.extend_from_slice(&[1, 0, PPS.len() as u8]);
        v.extend_from_slice(PPS);
        v
    }

    fn lengths(nals: &[&[u8]]) -> Vec<u8> {
        nals.iter().flat_map(|n| [&(n.len() as u32).to_be_bytes(), *n].concat()).collect()
    }

    fn video(packet: u8, data: &[u8]) -> Bytes {
        [&[0x17, packet, 0, 0, 0], data].concat().into()
    }

    fn read(
        r: &mut TagReader,
        kind: TagKind,
        ms: u32,
        body: impl Into<Bytes>,
    ) -> Result<Vec<Media>, ErrorKind> {
        let mut out = Vec::new();
        r.read(kind, ms, body.into(), &mut out).map_err(|e| e.kind)?;
        Ok(out)
    }

    fn size(m: &Media) -> (u32, u32) {
        let Media::Track(t) = m else { panic!("{m:?}") };
        t.size()
    }

    #[test]
    fn sequence_headers_announce_once_and_again_when_they_change() {
        let mut r = TagReader::new();
        let header = video(0, &avcc(4));
        let got = read(&mut r, TagKind::Video, 0, header.clone()).unwrap();
        assert_eq!((got.len(), size(&got[0])), (1, (352, 288)));
        assert!(read(&mut r, TagKind::Video, 5, header.clone()).unwrap().is_empty(), "the same again");
        let frame = lengths(&[&[0x65, 1, 2, 3]]);
        assert_eq!(read(&mut r, TagKind::Video, 5, video(1, &frame)).unwrap().len(), 1);
        let mut other = avcc(4);
        other[8 + 3] = 0x1e;
        assert_eq!(read(&mut r, TagKind::Video, 40, video(0, &other)).unwrap().len(), 1);
        // Another codec under the same number, and back.
        assert_eq!(
            read(&mut r, TagKind::Video, 80, &[0x12, 0, 0, 0x84, 2, 0x91, 0x26, 2, 2, 2][..]).unwrap().len(),
            2
        );
        assert!(read(&mut r, TagKind::Video, 80, video(1, &frame)).is_err());
        assert_eq!(read(&mut r, TagKind::Video, 80, header).unwrap().len(), 1);
        assert!(read(&mut r, TagKind::Video, 90, video(2, &[])).unwrap().is_empty(), "end of sequence");
    }

    #[test]
    fn vp9_has_its_size_in_keyframes() {
        let mut r = TagReader::new();
        let config = [&b"\x90vp09"[..], &[1, 0, 0, 0, 0, 40, 0x82, 2, 2, 2, 0, 0]].concat();
        let mut sizes: Vec<_> = read(&mut r, TagKind::Video, 0, config).unwrap().iter().map(size).collect();
        let key = [&b"\x91vp09"[..], &[0x82, 0x49, 0x83, 0x42, 0, 0x77, 0xf0, 0x43, 0x70, 1]].concat();
        let got = read(&mut r, TagKind::Video, 0, key.clone()).unwrap();
        sizes.extend(got.first().map(size));
        assert_eq!((got.len(), sizes), (2, vec![(0, 0), (1920, 1080)]));
        assert_eq!(read(&mut r, TagKind::Video, 40, key).unwrap().len(), 1, "said once");
    }

    #[test]
    fn frames_without_header_are_reported_once_or_describe_themselves() {
        let mut r = TagReader::new();
        let frame = lengths(&[&[0x65, 1, 2, 3]]);
        let early = Err(ErrorKind::Missing("frame before its sequence header"));
        assert_eq!(read(&mut r, TagKind::Video, 0, video(1, &frame)).map(|m| m.len()), early);
        assert_eq!(read(&mut r, TagKind::Video, 0, video(1, &frame)).map(|m| m.len()), Ok(0));
        // An encoder whose header has no parameter sets: they are in the keyframe.
        let empty = [1, 66, 0, 30, 0xff, 0xe0, 0];
        assert!(read(&mut r, TagKind::Video, 0, video(0, &empty)).unwrap().is_empty());
        let frame = lengths(&[SPS, PPS, &[0x65, 1, 2, 3]]);
        let got = read(&mut r, TagKind::Video, 0, video(1, &frame)).unwrap();
        assert_eq!((got.len(), size(&got[0])), (2, (352, 288)));
        let early = Err(ErrorKind::Missing("frame before its sequence header"));
        assert_eq!(read(&mut r, TagKind::Audio, 0, &[0xaf, 1, 9][..]).map(|m| m.len()), early);
    }

    #[test]
    fn payload_is_sliced_unless_it_has_to_change() {
        let mut r = TagReader::new();
        read(&mut r, TagKind::Video, 0, video(0, &avcc(4))).unwrap();
        let payload = |m: &[Media]| match &m[0] {
            Media::Packet(p) => p.data.clone(),
            m => panic!("{m:?}"),
        };
        let idr: &[u8] = &[0x65, 1, 2, 3];
        let plain = video(1, &lengths(&[idr]));
        let got = payload(&read(&mut r, TagKind::Video, 0, plain.clone()).unwrap());
        assert_eq!(got.as_ptr(), plain.slice(5..).as_ptr());
        let aud = video(1, &lengths(&[&[9, 0xf0], idr]));
        let got = payload(&read(&mut r, TagKind::Video, 0, aud.clone()).unwrap());
        assert_eq!(got.as_ptr(), aud.slice(11..).as_ptr(), "the delimiter in front is cut off");
        let middle = video(1, &lengths(&[idr, &[9, 0xf0], idr]));
        assert_eq!(payload(&read(&mut r, TagKind::Video, 0, middle).unwrap()), lengths(&[idr, idr]));
        // Lengths of two bytes.
        let got = read(&mut r, TagKind::Video, 0, video(0, &avcc(2))).unwrap();
        assert!(got.is_empty(), "the canonical description is the same");
        let short = video(1, &[&[0, 4], idr].concat());
        assert_eq!(payload(&read(&mut r, TagKind::Video, 0, short).unwrap()), lengths(&[idr]));
        let lie = video(1, &[&[0xff, 4], idr].concat());
        assert!(read(&mut r, TagKind::Video, 0, lie).is_err());
    }

    #[test]
    fn metadata_fills_what_codec_data_leaves_open() {
        use crate::amf::{Object, Value, amf0};
        let meta = |w: f64| {
            let o = Object::new().with("width", w).with("height", 90.0).with("framerate", 25.0);
            amf0::write_all(&["onMetaData".into(), Value::EcmaArray(o)])
        };
        let mut r = TagReader::new();
        assert!(read(&mut r, TagKind::Script, 0, meta(160.0)).unwrap().is_empty());
        let got = read(&mut r, TagKind::Video, 0, &[0x11, 1, 2, 3][..]).unwrap();
        assert_eq!((got.len(), size(&got[0])), (2, (160, 90)));
        // After the media that it describes, and with another size than H.264 says itself.
        let mut r = TagReader::new();
        read(&mut r, TagKind::Video, 0, video(0, &avcc(4))).unwrap();
        let got = read(&mut r, TagKind::Script, 0, meta(160.0)).unwrap();
        assert_eq!(size(&got[0]), (352, 288));
        let Media::Track(t) = &got[0] else { panic!() };
        assert_eq!(t.params, Params::Video { width: 352, height: 288, fpks: 25_000 });
        assert!(r.metadata().is_some() && r.tracks().count() == 1);
        assert!(read(&mut r, TagKind::Script, 0, meta(160.0)).unwrap().is_empty());
        assert!(read(&mut r, TagKind::Script, 0, &[0xff][..]).is_err());
    }

    #[test]
    fn channels_and_tracks_of_enhanced_rtmp() {
        let mut r = TagReader::new();
        let got = read(&mut r, TagKind::Audio, 0, &b"\x91Opus\xfc"[..]).unwrap();
        let Media::Track(t) = &got[0] else { panic!() };
        assert_eq!((t.rate(), t.channels(), got.len()), (48_000, 2, 2));
        let got = read(&mut r, TagKind::Audio, 0, &b"\x94Opus\x01\x06\0\0\0\x3f"[..]).unwrap();
        let Media::Track(t) = &got[0] else { panic!() };
        assert_eq!(t.channels(), 6);
        // More tracks than the limit.
        let mut results = (1..=limits::TRACKS as u8).map(|i| {
            let body = [b"\x95\x01Opus", &[i, 0xfc][..]].concat();
            read(&mut r, TagKind::Audio, 0, body).map(|m| m.len())
        });
        assert!(results.by_ref().take(limits::TRACKS - 1).all(|n| n == Ok(2)));
        assert_eq!(results.next(), Some(Err(ErrorKind::Limit("tracks"))));
        let big = [&[0xaf, 0][..], &vec![0; limits::INIT + 1]].concat();
        assert_eq!(
            read(&mut TagReader::new(), TagKind::Audio, 0, big).err(),
            Some(ErrorKind::Limit("decoder configuration"))
        );
    }
}
