use super::*;
use bytes::Bytes;
use mist_core::buffer::BufferOptions;
use mist_core::codec::Codec;
use mist_core::media::{Params, TrackId, TrackInfo};
use mist_core::registry::{Connector, Slot};
use std::sync::Arc;

const CONNECTOR: Connector = Connector {
    name: "X",
    desc: "",
    deps: "HTTP",
    url_rel: "/$.x",
    url_match: &["/$.x"],
    url_prefix: &[],
    push_urls: &[],
    methods: &[],
    codecs: &[&[Slot::Of(&[Codec::H264]), Slot::Of(&[Codec::Aac])]],
    options: &[],
};

struct Nothing;

impl mist_core::format::Muxer for Nothing {
    fn start(
        &mut self,
        _: &[Arc<TrackInfo>],
        _: Option<&mist_core::format::Index>,
        _: &mut mist_core::gather::Gather,
    ) -> Result<(), mist_core::format::FormatError> {
        Ok(())
    }
    fn track(
        &mut self,
        _: &Arc<TrackInfo>,
        _: &mut mist_core::gather::Gather,
    ) -> Result<(), mist_core::format::FormatError> {
        Ok(())
    }
    fn packet(
        &mut self,
        _: &mist_core::media::Packet,
        _: &mut mist_core::gather::Gather,
    ) -> Result<(), mist_core::format::FormatError> {
        Ok(())
    }
    fn finish(
        &mut self,
        _: &mut mist_core::gather::Gather,
    ) -> Result<Vec<mist_core::format::Patch>, mist_core::format::FormatError> {
        Ok(Vec::new())
    }
}

fn format(output: bool, muxer: bool) -> FormatDef {
    FormatDef {
        id: "X",
        mime: "video/x",
        extensions: &["x"],
        probe: |_| 0,
        demuxer: None,
        muxer: if muxer { Some(|| Box::new(Nothing)) } else { None },
        input: None,
        output: output.then_some(CONNECTOR),
    }
}

fn buffer(codecs: &[Codec]) -> StreamBuffer {
    let mut b = StreamBuffer::new(BufferOptions::default());
    for (i, codec) in (1..).zip(codecs) {
        let (id, params) = (TrackId(i), Params::Other);
        b.set_track(Arc::new(TrackInfo::new(id, *codec, Bytes::new(), params)));
    }
    b
}

fn ask(format: &FormatDef, query: &str, view: &StreamBuffer) -> Reply {
    reply(format, &HttpRequest { stream: "s", rest: "", query, options: &[] }, view)
}

#[test]
fn plays_what_is_selected_and_can_be_carried() {
    let b = buffer(&[Codec::H264, Codec::Aac, Codec::Aac, Codec::Vp9]);
    for (query, tracks, from, to, download) in [
        ("", &[1, 2][..], None, None, false),
        ("audio=3&start=1500&stop=90000&dl=1", &[1, 3], Some(1500), Some(90_000), true),
        ("video=none&dl=0&start=x", &[2], None, None, false),
        ("video=vp9", &[2], None, None, false),
    ] {
        let Reply::Play(p) = ask(&format(true, true), query, &b) else { panic!("{query}") };
        assert_eq!(p.tracks.iter().map(|t| t.0).collect::<Vec<_>>(), tracks, "{query}");
        let times = (p.from.map(Timestamp::as_millis), p.to.map(Timestamp::as_millis));
        assert_eq!((times, p.download, p.format), ((from, to), download, "X"), "{query}");
    }
    for (f, query) in
        [(format(true, true), "video=none&audio=none"), (format(false, true), ""), (format(true, false), "")]
    {
        assert!(matches!(ask(&f, query, &b), Reply::Status(404)));
    }
}

#[test]
fn waits_until_the_tracks_are_known() {
    let mut b = buffer(&[]);
    assert!(matches!(ask(&format(true, true), "", &b), Reply::Wait { version } if version > b.version()));
    b.end();
    assert!(matches!(ask(&format(true, true), "", &b), Reply::Status(404)));
    let mut b = buffer(&[Codec::H264]);
    assert!(matches!(ask(&format(true, true), "", &b), Reply::Wait { .. }));
    b.end();
    assert!(matches!(ask(&format(true, true), "", &b), Reply::Play(_)));
    assert!(matches!(ask(&format(true, true), "", &buffer(&[Codec::Vp9, Codec::Opus])), Reply::Status(404)));
}

#[test]
fn any_query_is_answered() {
    let b = buffer(&[Codec::H264, Codec::Aac, Codec::Aac, Codec::Vp9]);
    proptest::proptest!(|(query in "((video|audio|start|stop|dl)=([0-9a-z-]{0,20}|.)&?){0,6}")| {
        fuzz(&format(true, true), &query, &b);
    });
}
