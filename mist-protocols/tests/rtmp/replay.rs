//! Recorded dialogues of other implementations: what their clients sent, in any pieces.

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

/// The TCP payload that went to `port` in a pcapng file of Ethernet frames, in the order of its bytes.
fn to_port(file: &[u8], port: u16) -> Vec<u8> {
    let u32_at = |b: &[u8], i: usize| u32::from_le_bytes(b[i..i + 4].try_into().unwrap()) as usize;
    let mut pieces = std::collections::BTreeMap::new();
    let mut at = 0;
    while at + 12 <= file.len() {
        let (kind, len) = (u32_at(file, at), u32_at(file, at + 4));
        let block = &file[at + 8..at + len - 4];
        at += len;
        if kind != 6 {
            continue;
        }
        let ip = &block[20 + 14..20 + u32_at(block, 12)];
        if ip[0] >> 4 != 4 || ip[9] != 6 {
            continue;
        }
        let total = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
        let tcp = &ip[usize::from(ip[0] & 15) * 4..total];
        let payload = &tcp[usize::from(tcp[12] >> 4) * 4..];
        if u16::from_be_bytes([tcp[2], tcp[3]]) == port && !payload.is_empty() {
            pieces.insert(u32::from_be_bytes(tcp[4..8].try_into().unwrap()), payload.to_vec());
        }
    }
    pieces.into_values().flatten().collect()
}

#[test]
fn a_flash_9_player() {
    let Some(file) = corpus("rtmp.pcap") else { return };
    let bytes = to_port(&file, 1935);
    assert_eq!(bytes[0], 3);
    for split in SPLITS {
        let (out, asks) = replay(&bytes, split.min(bytes.len()));
        assert_eq!(out.notes, [Note::UserAgent("WIN 9,0,47,0".into())]);
        // It plays its own server's URL without a stream name: that is no stream.
        assert!(asks.is_empty());
        assert_eq!(out.done, Some(Ok(())));
        let text = String::from_utf8_lossy(&out.sent);
        assert!(text.contains("NetStream.Play.StreamNotFound"));
    }
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
