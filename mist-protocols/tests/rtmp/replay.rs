//! Recorded dialogues of other implementations.

use crate::support::*;
use bytes::Bytes;
use mist_core::session::{Answer, Ask, Control, Input, Note, Session};
use mist_protocols::rtmp::Server;
use mist_protocols::rtmp::limits::Limits;
use std::path::PathBuf;

fn corpus(name: &str) -> Option<Vec<u8>> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus/captures").join(name);
    #[allow(clippy::disallowed_methods, reason = "tests read recordings")]
    let bytes = std::fs::read(path).ok();
    if bytes.is_none() {
        #[allow(clippy::print_stdout, reason = "tells why nothing was tested")]
        {
            println!("skipped: no corpus");
        }
    }
    bytes
}

fn replay(bytes: &[u8], split: usize) -> (Outcome, Vec<Ask>) {
    let clock = Clock::new();
    let mut server = Server::new([1; 32], Limits::DEFAULT);
    let mut out = Outcome::default();
    let mut asks = Vec::new();
    for c in bytes.chunks(split) {
        server.handle(clock.now(), Input::Bytes(FLOW, Bytes::copy_from_slice(c)));
        // Answered at once, as the recorded server did: later messages wait in the session.
        out.drain_until_ask(&mut server);
        while let Some((t, a)) = out.asks.pop() {
            asks.push(a);
            server.handle(clock.now(), Input::Answer(t, Answer::Yes));
            out.drain_until_ask(&mut server);
        }
    }
    (out, asks)
}

#[test]
fn ffmpeg_publishing() {
    let Some(bytes) = corpus("synthetic/rtmp-publish-h264-aac.c2s.bin") else { return };
    let mut first = None;
    for split in [1, 7, 188, 1460, usize::MAX] {
        let (out, asks) = replay(&bytes, split);
        assert_eq!(out.done, None);
        assert!(
            matches!(&asks[..], [Ask::Publish { stream, secret: Some(s), .. }] if stream == "key" && s == "live"),
            "{asks:?}"
        );
        assert_eq!(out.notes, [Note::UserAgent("FMLE/3.0 (compatible; Lavf59.27.100)".into())]);
        assert!(matches!(out.controls[..], [(_, Control::Close)]));
        let names: Vec<_> = out.tracks().iter().map(|t| t.codec.name()).collect();
        assert!(names.contains(&"H264") && names.contains(&"AAC"), "{names:?}");
        let packets = out.packets();
        assert!(packets.windows(2).all(|w| w[0].track != w[1].track || w[0].dts <= w[1].dts));
        match &first {
            None => first = Some(packets),
            Some(f) => assert_eq!(&packets, f, "split {split}"),
        }
    }
    let packets = first.unwrap();
    assert!(packets.len() > 50, "{}", packets.len());
}
