//! Cues to files.

use super::Flavour;
use bytes::Bytes;
use mist_core::codec::{Codec, text};
use mist_core::format::{ErrorKind, FormatError, Index, Patch};
use mist_core::gather::Gather;
use mist_core::media::{Packet, TrackId, TrackInfo};
use mist_core::time::{Duration, Timestamp};
use std::fmt::Write;
use std::sync::Arc;

/// How long a cue is shown that has no duration and no next one.
const LAST: Duration = Duration::from_millis(5000);

/// Writes SubRip and WebVTT from any text codec that [`text::convert`] knows.
///
/// A cue without duration is held until the next one says how long it is shown. Gaps aren't written.
#[derive(Debug)]
pub struct Muxer {
    flavour: Flavour,
    track: Option<(TrackId, Codec)>,
    /// Cues written.
    count: u64,
    at: u64,
    /// A cue without duration.
    held: Option<(Timestamp, Bytes)>,
}

impl Muxer {
    /// Before its start.
    pub const fn new(flavour: Flavour) -> Self {
        Self { flavour, track: None, count: 0, at: 0, held: None }
    }

    fn error<T>(&self, kind: ErrorKind) -> Result<T, FormatError> {
        Err(FormatError { format: self.flavour.id(), offset: self.at, path: "cue", kind })
    }

    fn put(&mut self, text: &str, out: &mut Gather) {
        out.put(text.as_bytes());
        self.at += text.len() as u64;
    }

    fn set(&mut self, info: &TrackInfo) -> Result<(), FormatError> {
        if !text::converts(info.codec, self.flavour.codec()) {
            return self.error(ErrorKind::Unsupported("codec"));
        }
        match self.track {
            Some((id, _)) if id != info.id => {
                return self.error(ErrorKind::Unsupported("more than one track"));
            }
            _ => self.track = Some((info.id, info.codec)),
        }
        Ok(())
    }

    /// Writes one cue.
    fn cue(&mut self, start: Timestamp, end: Timestamp, payload: &Bytes, out: &mut Gather) {
        let (start, end) = (start.max(Timestamp::ZERO), end.max(Timestamp::ZERO));
        if payload.is_empty() || end.as_millis() <= start.as_millis() {
            return;
        }
        let mut s = String::with_capacity(payload.len() + 48);
        match self.flavour {
            Flavour::Srt => {
                let text = text::canonical(payload.clone());
                // A line of spaces would end the cue as an empty one does; `-->` would be taken for times.
                let text = String::from_utf8_lossy(&text).replace("-->", "->");
                let lines: Vec<_> = text.lines().filter(|l| !l.trim().is_empty()).collect();
                if lines.is_empty() {
                    return;
                }
                self.count += 1;
                let _ = writeln!(s, "{}", self.count);
                time(start, ',', &mut s);
                s.push_str(" --> ");
                time(end, ',', &mut s);
                s.push('\n');
                s.push_str(&lines.join("\n"));
            }
            Flavour::Vtt => {
                // Sources may have passed through what no file can hold.
                let clean = text::Cue::parse(payload).build();
                let cue = text::Cue::parse(&clean);
                if !cue.id.is_empty() {
                    s.push_str(&cue.id);
                    s.push('\n');
                }
                time(start, '.', &mut s);
                s.push_str(" --> ");
                time(end, '.', &mut s);
                if !cue.settings.is_empty() {
                    s.push(' ');
                    s.push_str(&cue.settings);
                }
                s.push('\n');
                s.push_str(&cue.text);
            }
        }
        s.push_str("\n\n");
        self.put(&s, out);
    }
}

/// `00:00:00,000`.
fn time(t: Timestamp, point: char, out: &mut String) {
    let ms = t.as_millis();
    let (s, ms) = (ms / 1000, ms % 1000);
    let _ = write!(out, "{:02}:{:02}:{:02}{point}{ms:03}", s / 3600, s / 60 % 60, s % 60);
}

impl mist_core::format::Muxer for Muxer {
    fn start(
        &mut self,
        tracks: &[Arc<TrackInfo>],
        _index: Option<&Index>,
        out: &mut Gather,
    ) -> Result<(), FormatError> {
        for t in tracks {
            self.set(t)?;
        }
        if self.flavour == Flavour::Vtt {
            let own = tracks.iter().find(|t| t.codec == Codec::WebVtt).map_or(&[][..], |t| &t.init);
            let header = format!("{}\n\n", text::header(own));
            self.put(&header, out);
        }
        Ok(())
    }

    fn track(&mut self, info: &Arc<TrackInfo>, _out: &mut Gather) -> Result<(), FormatError> {
        self.set(info)
    }

    fn packet(&mut self, p: &Packet, out: &mut Gather) -> Result<(), FormatError> {
        let Some((_, codec)) = self.track.filter(|(id, _)| *id == p.track) else {
            return self.error(ErrorKind::Malformed("packet of a track that was not announced"));
        };
        let Some(payload) = text::convert(codec, self.flavour.codec(), &p.data) else {
            return self.error(ErrorKind::Malformed("text sample"));
        };
        if let Some((start, held)) = self.held.take() {
            self.cue(start, p.pts(), &held, out);
        }
        if p.duration > Duration::ZERO {
            self.cue(p.pts(), p.pts() + p.duration, &payload, out);
        } else {
            self.held = Some((p.pts(), payload));
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Gather) -> Result<Vec<Patch>, FormatError> {
        if let Some((start, held)) = self.held.take() {
            self.cue(start, start + LAST, &held, out);
        }
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mist_core::format::Muxer as _;
    use mist_core::media::Params;

    fn write(
        flavour: Flavour,
        codec: Codec,
        init: &'static str,
        cues: &[(i64, i64, &'static [u8])],
    ) -> String {
        let mut m = Muxer::new(flavour);
        let mut out = Gather::new();
        let info = TrackInfo::new(TrackId(4), codec, Bytes::from_static(init.as_bytes()), Params::Other);
        m.start(&[info.into()], None, &mut out).unwrap();
        for (ms, duration, data) in cues {
            let p = Packet {
                track: TrackId(4),
                dts: Timestamp::from_millis(*ms),
                cts: Duration::ZERO,
                duration: Duration::from_millis(*duration),
                key: true,
                data: Bytes::from_static(data),
            };
            m.packet(&p, &mut out).unwrap();
        }
        m.finish(&mut out).unwrap();
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn files_of_both() {
        assert_eq!(
            write(
                Flavour::Srt,
                Codec::Subtitle,
                "",
                &[
                    (0, 0, b"until next"),
                    (3_723_004, 1000, b"<i>a</i> -->\n\nb"),
                    (3_800_000, 0, b"gap next"),
                    (3_801_000, 0, b""),
                    (3_900_000, 0, b"last"),
                ]
            ),
            "1\n00:00:00,000 --> 01:02:03,004\nuntil next\n\n2\n01:02:03,004 --> 01:02:04,004\n<i>a</i> ->\nb\n\n\
             3\n01:03:20,000 --> 01:03:21,000\ngap next\n\n4\n01:05:00,000 --> 01:05:05,000\nlast\n\n"
        );
        assert_eq!(
            write(
                Flavour::Vtt,
                Codec::WebVtt,
                "WEBVTT - x\n\nSTYLE\na",
                &[(-500, 1000, b"id\n--> line:0\nHi"), (1000, 500, b"a\n\nb --> c"),]
            ),
            "WEBVTT - x\n\nSTYLE\na\n\nid\n00:00:00.000 --> 00:00:00.500 line:0\nHi\n\n\
             00:00:01.000 --> 00:00:01.500\na\nb --&gt; c\n\n"
        );
        assert_eq!(
            write(Flavour::Vtt, Codec::Subtitle, "", &[(0, 1, b"a < b")]),
            "WEBVTT\n\n00:00:00.000 --> 00:00:00.001\na &lt; b\n\n"
        );
        assert_eq!(
            write(Flavour::Srt, Codec::Tx3g, "", &[(0, 1000, b"\0\x02hi"), (1000, 1000, b"\0\0")]),
            "1\n00:00:00,000 --> 00:00:01,000\nhi\n\n"
        );
        let mut m = Muxer::new(Flavour::Srt);
        let info = |id, codec| Arc::new(TrackInfo::new(TrackId(id), codec, Bytes::new(), Params::Other));
        let mut out = Gather::new();
        assert!(m.start(&[info(1, Codec::Aac)], None, &mut out).is_err());
        assert!(m.start(&[info(1, Codec::Subtitle), info(2, Codec::Subtitle)], None, &mut out).is_err());
    }
}
