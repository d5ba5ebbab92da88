//! The information document of a stream (manual 4.4.1): what `/json_STREAM.js` answers.

use mist_core::buffer::StreamBuffer;
use mist_core::media::{Kind, Params, TrackInfo};
use mist_core::registry::{Connector, carries};
use mist_core::select::Selection;
use mist_core::time::Timestamp;
use mist_core::url::Encoded;
use serde_json::{Map, Value, json};
use std::cmp::Reverse;

/// An output that is switched on, and where viewers reach it.
#[derive(Debug, Clone, Copy)]
pub struct Reach<'a> {
    /// The output.
    pub connector: &'a Connector,
    /// Scheme, host and port as this viewer sees them, without a slash at the end: `http://example.com:8080`.
    pub base: &'a str,
}

/// Display size of a stream whose pictures have no size yet.
const UNKNOWN_SIZE: (u32, u32) = (640, 480);
/// Display size of a stream without pictures: room for a player's controls.
const SOUND_SIZE: (u32, u32) = (640, 20);
/// Version of the `meta` member's form.
const META_VERSION: u32 = 4;

/// The document of a stream.
///
/// `boot_offset` is the system's uptime at the stream's time zero, in milliseconds. `reach` are the outputs that are
/// switched on; those that can't carry any track of the stream are left out.
pub fn document(stream: &str, view: &StreamBuffer, boot_offset: i64, reach: &[Reach<'_>]) -> Value {
    let (width, height) = display_size(view);
    let mut tracks = Map::new();
    let (mut first, mut last) = (None, None);
    for t in view.tracks() {
        let times = (view.first_dts(t.id), view.last_dts(t.id));
        first = first.into_iter().chain(times.0).min();
        last = last.max(times.1);
        tracks.insert(key(t, fpks(view, t)), track(view, t).into());
    }
    let window = first.zip(last).map_or(0, |(first, last)| (last - first).as_millis());
    json!({
        "type": "live",
        "width": width,
        "height": height,
        "meta": {
            "bootoffset": boot_offset,
            "buffer_window": window,
            "live": 1,
            "moreheader": 0,
            "tracks": tracks,
            "version": META_VERSION,
        },
        "source": sources(stream, view, reach),
    })
}

/// What is answered instead when there is nothing to say about a stream.
pub fn error(text: &str) -> Value {
    json!({ "error": text })
}

fn display_size(view: &StreamBuffer) -> (u32, u32) {
    let mut pictures = view.tracks().filter(|t| t.codec.kind() == Kind::Video).map(|t| t.size()).peekable();
    if pictures.peek().is_none() {
        return SOUND_SIZE;
    }
    let largest = pictures.max_by_key(|(w, h)| u64::from(*w) * u64::from(*h));
    largest.filter(|(w, h)| *w > 0 && *h > 0).unwrap_or(UNKNOWN_SIZE)
}

/// Frames per 1000 seconds: as the codec says, else as measured.
fn fpks(view: &StreamBuffer, t: &TrackInfo) -> u64 {
    match t.params {
        Params::Video { fpks: 0, .. } => view.health(t.id).packets_per_kilosecond,
        Params::Video { fpks, .. } => fpks.into(),
        _ => 0,
    }
}

/// Unique among the tracks by the id at its end.
fn key(t: &TrackInfo, fpks: u64) -> String {
    let mut key = format!("{}_{}", t.codec.kind().name(), t.codec.name());
    match t.params {
        Params::Audio { rate, channels, .. } => key += &format!("_{channels}ch_{rate}hz"),
        Params::Video { width, height, .. } => key += &format!("_{width}x{height}_{}fps", fpks / 1000),
        _ => {}
    }
    if let Some(lang) = t.lang {
        key += &format!("_{lang}");
    }
    key + &format!("_{}", t.id)
}

fn track(view: &StreamBuffer, t: &TrackInfo) -> Map<String, Value> {
    let health = view.health(t.id);
    let millis = |time: Option<Timestamp>| time.map_or(0, Timestamp::as_millis);
    let mut v = Map::new();
    let mut put = |key: &str, value: Value| drop(v.insert(key.to_owned(), value));
    put("trackid", t.id.0.into());
    put("type", t.codec.kind().name().into());
    put("codec", t.codec.name().into());
    put("firstms", millis(view.first_dts(t.id)).into());
    put("lastms", millis(view.last_dts(t.id)).into());
    put("bps", (health.bits_per_second / 8).into());
    put("maxbps", (health.peak_bits_per_second / 8).into());
    // Each byte is a character, so that JSON can hold it.
    put("init", t.init.iter().copied().map(char::from).collect::<String>().into());
    match t.params {
        Params::Audio { rate, channels, bits } => {
            put("channels", channels.into());
            put("rate", rate.into());
            put("size", bits.into());
        }
        Params::Video { width, height, .. } => {
            put("fpks", fpks(view, t).into());
            put("width", width.into());
            put("height", height.into());
        }
        _ => {}
    }
    if let Some(lang) = t.lang {
        put("lang", lang.as_str().into());
    }
    let captions = view.captions(t.id);
    if captions.any() {
        // In the pictures, not a track of their own.
        let found = [(captions.cea608, "CEA-608"), (captions.cea708, "CEA-708")];
        let names: Vec<_> = found.into_iter().filter(|f| f.0).map(|f| f.1).collect();
        put("captions", names.into());
    }
    v
}

/// Ways to play the stream, best first: by tracks at the same time, then by tracks in all, then by priority.
fn sources(stream: &str, view: &StreamBuffer, reach: &[Reach<'_>]) -> Vec<Value> {
    let mut found = Vec::new();
    for r in reach.iter().filter(|r| !r.connector.url_rel.is_empty()) {
        let codecs = r.connector.codecs;
        let matches = view.tracks().filter(|t| carries(codecs, t)).count();
        let together = Selection::default().select(codecs, view.tracks()).len();
        if matches == 0 {
            continue;
        }
        let relative = r.connector.url_rel.replacen('$', &Encoded(stream).to_string(), 1);
        for m in r.connector.methods {
            found.push((
                Reverse((together, matches, m.priority)),
                json!({
                    "priority": m.priority,
                    "relurl": relative,
                    "simul_tracks": together,
                    "total_matches": matches,
                    "type": m.kind,
                    "url": format!("{}{relative}", r.base),
                }),
            ));
        }
    }
    found.sort_by_key(|(order, _)| *order);
    found.into_iter().map(|(_, v)| v).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use mist_core::buffer::BufferOptions;
    use mist_core::codec::Codec;
    use mist_core::media::{Lang, Packet, TrackId};
    use mist_core::registry::{Method, Slot};
    use mist_core::time::{Duration, Now};
    use std::sync::Arc;

    const FLV: Connector = Connector {
        name: "FLV",
        desc: "",
        deps: "HTTP",
        url_rel: "/$.flv",
        url_match: &["/$.flv"],
        url_prefix: &[],
        push_urls: &[],
        methods: &[Method { handler: "http", kind: "flash/7", priority: 5 }],
        codecs: &[&[Slot::Of(&[Codec::H264]), Slot::Of(&[Codec::Aac])]],
        options: &[],
    };
    const HLS: Connector = Connector {
        url_rel: "/hls/$/index.m3u8",
        methods: &[Method { handler: "http", kind: "html5/application/vnd.apple.mpegurl", priority: 9 }],
        codecs: &[&[Slot::Many(&[Codec::H264]), Slot::Many(&[Codec::Aac])]],
        ..FLV
    };
    const MP3: Connector = Connector { url_rel: "/$.mp3", codecs: &[&[Slot::Of(&[Codec::Mp3])]], ..FLV };
    const WAV: Connector = Connector { url_rel: "/$.wav", codecs: &[&[Slot::Of(&[Codec::Aac])]], ..FLV };

    fn buffer(tracks: &[(u32, Codec, &'static [u8], Params)]) -> StreamBuffer {
        let mut b = StreamBuffer::new(BufferOptions::default());
        for (id, codec, init, params) in tracks {
            let lang = if *id == 3 { Lang::new("deu") } else { None };
            let init = Bytes::from_static(init);
            b.set_track(Arc::new(TrackInfo::new(TrackId(*id), *codec, init, *params).with_lang(lang)));
        }
        let now =
            Now { instant: std::time::Instant::now(), unix: std::time::Duration::from_secs(1_795_000_000) };
        for n in 0..250 {
            for (id, codec, ..) in tracks {
                b.push(
                    Packet {
                        track: TrackId(*id),
                        dts: Timestamp::from_millis(n * 40),
                        cts: Duration::ZERO,
                        duration: Duration::ZERO,
                        key: codec.kind() != Kind::Video || n % 50 == 0,
                        data: Bytes::from_static(&[0; 400]),
                    },
                    now,
                );
            }
        }
        b
    }

    const AUDIO: Params = Params::Audio { rate: 48_000, channels: 2, bits: 16 };

    #[test]
    fn the_document_of_the_manual() {
        let b = buffer(&[
            (2, Codec::H264, &[1, 0x42, 0xc0], Params::Video { width: 1280, height: 720, fpks: 0 }),
            (1, Codec::Aac, &[0x11, 0x90], AUDIO),
            (3, Codec::Aac, &[], AUDIO),
        ]);
        let base = "http://h:8080";
        let reach = [&WAV, &MP3, &FLV, &HLS].map(|connector| Reach { connector, base });
        let mut d = document("live+a/b", &b, 77, &reach);
        let source = d["source"].take();
        assert_eq!(
            d,
            json!({
                "type": "live", "width": 1280, "height": 720, "source": null,
                "meta": {
                    "bootoffset": 77, "buffer_window": 9960, "live": 1, "moreheader": 0, "version": 4,
                    "tracks": {
                        "audio_AAC_2ch_48000hz_1": {
                            "bps": 10_000, "channels": 2, "codec": "AAC", "firstms": 0, "init": "\u{11}\u{90}",
                            "lastms": 9960, "maxbps": 10_000, "rate": 48_000, "size": 16, "trackid": 1,
                            "type": "audio",
                        },
                        "audio_AAC_2ch_48000hz_deu_3": {
                            "bps": 10_000, "channels": 2, "codec": "AAC", "firstms": 0, "init": "", "lang": "deu",
                            "lastms": 9960, "maxbps": 10_000, "rate": 48_000, "size": 16, "trackid": 3,
                            "type": "audio",
                        },
                        "video_H264_1280x720_25fps_2": {
                            "bps": 10_000, "codec": "H264", "firstms": 0, "fpks": 25_000, "height": 720,
                            "init": "\u{1}B\u{c0}", "lastms": 9960, "maxbps": 10_000, "trackid": 2, "type": "video",
                            "width": 1280,
                        },
                    },
                },
            })
        );
        let short: Vec<_> = source
            .as_array()
            .unwrap()
            .iter()
            .map(|s| (s["relurl"].as_str().unwrap(), s["simul_tracks"].as_u64(), s["total_matches"].as_u64()))
            .collect();
        assert_eq!(
            short,
            [
                ("/hls/live+a%2Fb/index.m3u8", Some(2), Some(3)),
                ("/live+a%2Fb.flv", Some(2), Some(3)),
                ("/live+a%2Fb.wav", Some(1), Some(2)),
            ]
        );
        assert_eq!(
            source[0],
            json!({
                "priority": 9, "relurl": "/hls/live+a%2Fb/index.m3u8", "simul_tracks": 2, "total_matches": 3,
                "type": "html5/application/vnd.apple.mpegurl",
                "url": "http://h:8080/hls/live+a%2Fb/index.m3u8",
            })
        );
    }

    #[test]
    #[expect(clippy::print_stderr, reason = "a skipped test says so")]
    fn has_the_members_that_a_real_server_answers() {
        let path =
            concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/oracle/api-2.14/http_json_live_js.json");
        let Ok(text) = std::fs::read_to_string(path) else {
            eprintln!("skipped: no recorded answers");
            return;
        };
        let recorded: Value = serde_json::from_str(&text).unwrap();
        let recorded: Value = serde_json::from_str(recorded["body"].as_str().unwrap()).unwrap();
        let b = buffer(&[
            (2, Codec::H264, &[1], Params::Video { width: 1280, height: 720, fpks: 25_000 }),
            (1, Codec::Aac, &[0x11], AUDIO),
        ]);
        let ours = document("live", &b, 0, &[Reach { connector: &HLS, base: "http://127.0.0.1:28080" }]);
        let keys = |v: &Value| v.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&ours), keys(&recorded));
        assert_eq!(keys(&ours["meta"]), keys(&recorded["meta"]));
        let (a, b) = (&ours["meta"]["tracks"], &recorded["meta"]["tracks"]);
        assert_eq!(keys(a), keys(b));
        for k in keys(a) {
            assert_eq!(keys(&a[&k]), keys(&b[&k]));
        }
        assert!(recorded["source"].as_array().unwrap().contains(&ours["source"][0]));
    }

    #[test]
    fn streams_without_pictures_or_tracks() {
        let size = |b: &StreamBuffer| {
            let d = document("s", b, 0, &[Reach { connector: &FLV, base: "" }]);
            (
                d["width"].as_u64().unwrap(),
                d["height"].as_u64().unwrap(),
                d["source"].as_array().unwrap().len(),
            )
        };
        assert_eq!(size(&buffer(&[])), (640, 20, 0));
        assert_eq!(size(&buffer(&[(1, Codec::Aac, &[], AUDIO)])), (640, 20, 1));
        let unknown = Params::Video { width: 0, height: 0, fpks: 0 };
        assert_eq!(size(&buffer(&[(1, Codec::Vp9, &[], unknown)])), (640, 480, 0));
        assert_eq!(error("no"), json!({"error": "no"}));
    }
}
