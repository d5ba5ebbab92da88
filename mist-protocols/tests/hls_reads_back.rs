//! Our playlists, as another implementation reads them.

use bytes::Bytes;
use m3u8_rs::{AlternativeMediaType, MasterPlaylist, MediaPlaylist, Playlist};
use mist_core::buffer::{BufferOptions, StreamBuffer};
use mist_core::codec::Codec;
use mist_core::http::{HttpOutput, HttpRequest, Reply};
use mist_core::media::{Kind, Lang, Packet, Params, TrackId, TrackInfo};
use mist_core::time::{Duration, Now, Timestamp};
use mist_protocols::hls::Hls;
use std::sync::Arc;

#[expect(clippy::disallowed_methods, reason = "a test's virtual time starts somewhere")]
fn start() -> Now {
    Now { instant: std::time::Instant::now(), unix: std::time::Duration::from_secs(1_795_000_000) }
}

struct Live {
    buffer: StreamBuffer,
    now: Now,
    media: i64,
}

impl Live {
    fn announce(&mut self, tracks: &[(u32, Codec, &str)]) {
        for (id, codec, lang) in tracks {
            let (init, params): (&'static [u8], _) = match codec.kind() {
                Kind::Video => {
                    (&[1, 0x64, 0, 0x28], Params::Video { width: 1920, height: 1080, fpks: 29_970 })
                }
                _ => (&[0x11, 0x90], Params::Audio { rate: 48_000, channels: 2, bits: 16 }),
            };
            let (id, init, lang) = (TrackId(*id), Bytes::from_static(init), Lang::new(lang));
            self.buffer.set_track(Arc::new(TrackInfo::new(id, *codec, init, params).with_lang(lang)));
        }
    }

    fn play(&mut self, frames: i64) {
        let tracks: Vec<_> = self.buffer.tracks().map(|t| (t.id, t.codec.kind())).collect();
        for n in 0..frames {
            for (track, kind) in &tracks {
                let key = *kind != Kind::Video || n % 60 == 0;
                let size = if *kind == Kind::Video { 12_000 } else { 500 };
                let packet = Packet {
                    track: *track,
                    dts: Timestamp::from_rate(self.media * 1001, 30_000),
                    cts: Duration::ZERO,
                    duration: Duration::ZERO,
                    key,
                    data: Bytes::from(vec![0; size]),
                };
                self.buffer.push(packet, self.now);
            }
            self.media += 1;
            let frame = std::time::Duration::from_nanos(1_001_000_000 / 30);
            self.now = Now { instant: self.now.instant + frame, unix: self.now.unix + frame };
        }
    }

    fn text(&self, rest: &str, query: &str) -> Bytes {
        let req = HttpRequest { stream: "live", rest, query, options: &[] };
        match Hls.reply(&req, &self.buffer, self.now) {
            Reply::Document { body, .. } => body,
            other => panic!("{rest}: {other:?}"),
        }
    }

    fn multivariant(&self, query: &str) -> MasterPlaylist {
        match m3u8_rs::parse_playlist_res(&self.text("index.m3u8", query)).unwrap() {
            Playlist::MasterPlaylist(p) => p,
            Playlist::MediaPlaylist(_) => panic!("a media playlist"),
        }
    }

    fn media(&self, uri: &str) -> MediaPlaylist {
        let (rest, query) = uri.split_once('?').unwrap_or((uri, ""));
        match m3u8_rs::parse_playlist_res(&self.text(rest, query)).unwrap() {
            Playlist::MediaPlaylist(p) => p,
            Playlist::MasterPlaylist(_) => panic!("a multivariant playlist"),
        }
    }
}

fn live() -> Live {
    Live { buffer: StreamBuffer::new(BufferOptions::default()), now: start(), media: 0 }
}

#[test]
fn a_player_finds_its_way_from_the_first_playlist_to_the_segments() {
    let mut l = live();
    l.buffer.source_started(false);
    l.announce(&[(1, Codec::H264, ""), (2, Codec::Aac, "eng"), (3, Codec::Aac, "ger"), (4, Codec::Mp3, "")]);
    l.play(3000);
    let m = l.multivariant("token=x%2Fy");
    assert_eq!(m.variants.len(), 2);
    for v in &m.variants {
        let size = v.resolution.as_ref().map(|r| (r.width, r.height));
        assert_eq!((size, v.frame_rate), (Some((1920, 1080)), Some(29.97)));
        assert!(v.bandwidth >= v.average_bandwidth.unwrap() && v.average_bandwidth.unwrap() > 2_900_000);
        assert!(v.codecs.as_ref().unwrap().starts_with("avc1.640028,mp4a.40."));
        assert!(m.alternatives.iter().any(|a| Some(&a.group_id) == v.audio.as_ref()));
    }
    assert!(m.alternatives.iter().all(|a| a.media_type == AlternativeMediaType::Audio && a.autoselect));
    let group = m.alternatives.iter().filter(|a| a.group_id == "AAC");
    assert_eq!(group.clone().map(|a| a.language.as_deref()).collect::<Vec<_>>(), [Some("en"), Some("de")]);
    assert_eq!(group.filter(|a| a.default).count(), 1);
    let uris = m.variants.iter().map(|v| &v.uri).chain(m.alternatives.iter().filter_map(|a| a.uri.as_ref()));
    for uri in uris {
        let p = l.media(uri);
        assert!(p.segments.len() >= 8 && !p.end_list);
        let folder = uri.split_once('/').unwrap().0;
        for s in &p.segments {
            assert!(s.duration.round() as u64 <= p.target_duration);
            let path = format!("{folder}/{}", s.uri.split_once('?').unwrap().0);
            assert_eq!(s.uri.split_once('?').unwrap().1, "token=x%2Fy");
            let req = HttpRequest { stream: "live", rest: &path, query: "", options: &[] };
            assert!(matches!(Hls.reply(&req, &l.buffer, l.now), Reply::Segment(_)), "{path}");
        }
    }
}

#[test]
fn a_restart_and_the_end_are_visible() {
    let mut l = live();
    l.buffer.source_started(false);
    l.announce(&[(1, Codec::H264, ""), (2, Codec::Aac, "")]);
    l.play(900);
    let before = l.media("1_2/index.m3u8");
    l.buffer.source_stopped();
    l.buffer.source_started(true);
    l.announce(&[(1, Codec::H264, ""), (2, Codec::Aac, "")]);
    l.play(600);
    let resumed = l.media("1_2/index.m3u8");
    assert_eq!(resumed.media_sequence, before.media_sequence);
    assert_eq!(resumed.segments.iter().filter(|s| s.discontinuity).count(), 1);
    assert!(resumed.segments.len() > before.segments.len());
    // Another show: nothing of the one before is listed, and the numbers go on.
    l.buffer.source_started(false);
    l.announce(&[(1, Codec::H264, ""), (2, Codec::Aac, "")]);
    l.play(600);
    let anew = l.media("1_2/index.m3u8");
    assert!(anew.media_sequence >= resumed.media_sequence + resumed.segments.len() as u64);
    assert!(anew.discontinuity_sequence > resumed.discontinuity_sequence || anew.segments[0].discontinuity);
    assert!(anew.segments.iter().all(|s| !resumed.segments.iter().any(|r| r.uri == s.uri)));
    l.buffer.end();
    assert!(l.media("1_2/index.m3u8").end_list);
}
