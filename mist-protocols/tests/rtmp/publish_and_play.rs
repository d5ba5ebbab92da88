//! What a client publishes is what the server gives, and what a server sends is what a client gives, whatever the
//! handshake, the encoding of commands and the pieces in which bytes come.

use crate::support::*;
use mist_core::media::Media;
use mist_core::session::{Answer, Ask, Control, Input, PlayFrom, Session, Ticket};
use mist_protocols::rtmp::handshake::Schema;
use mist_protocols::rtmp::{CLIENT_TICKET, ClientConfig, Direction};

fn config(direction: Direction, digest: Option<Schema>, amf3: bool) -> ClientConfig {
    ClientConfig { digest, amf3, ..ClientConfig::new(direction, [1; 32]) }
}

fn publish(config: ClientConfig, split: usize) {
    let mut p = Pair::new("rtmp://host:1935/secret/live+cam?a=b", config, split);
    let mut asked = Vec::new();
    p.run(|a| {
        asked.push(a.clone());
        Some(Answer::Yes)
    });
    let want = Ask::Publish {
        stream: "live+cam".into(),
        url: "rtmp://host:1935/secret/live+cam?a=b".into(),
        secret: Some("secret".into()),
    };
    assert_eq!(asked, [want]);
    assert!(p.at_client.wants_media);
    let packets = programme(0);
    let now = p.clock.now();
    for t in [video(), audio()] {
        p.client.handle(now, Input::Media(CLIENT_TICKET, Media::Track(t)));
    }
    for q in &packets {
        p.client.handle(now, Input::Media(CLIENT_TICKET, Media::Packet(q.clone())));
    }
    p.run(yes);
    assert_eq!(p.at_server.tracks(), [video(), audio()]);
    assert_eq!(p.at_server.packets(), packets);
    p.client.handle(now, Input::Media(CLIENT_TICKET, Media::End));
    p.run(yes);
    assert_eq!(p.at_client.done, Some(Ok(())));
    assert_eq!(p.at_server.controls, [(Ticket(1), Control::Close)]);
    p.server.handle(now, Input::Closed(FLOW));
    p.at_server.drain(&mut p.server);
    assert_eq!(p.at_server.done, Some(Ok(())));
}

fn play(config: ClientConfig, split: usize) {
    let mut p = Pair::new("rtmp://host/play/cam?video=1", config, split);
    let mut asked = Vec::new();
    p.run(|a| {
        asked.push(a.clone());
        Some(Answer::Yes)
    });
    let want =
        Ask::Play { stream: "cam".into(), url: "rtmp://host/play/cam?video=1".into(), from: PlayFrom::Live };
    assert_eq!(asked, [want]);
    assert!(p.at_server.wants_media);
    let now = p.clock.now();
    let packets = programme(100_000);
    for t in [video(), audio()] {
        p.server.handle(now, Input::Media(Ticket(1), Media::Track(t)));
    }
    for q in &packets {
        p.server.handle(now, Input::Media(Ticket(1), Media::Packet(q.clone())));
    }
    p.run(yes);
    assert_eq!(p.at_client.tracks(), [video(), audio()]);
    assert_eq!(p.at_client.packets(), packets);
    p.server.handle(now, Input::Media(Ticket(1), Media::End));
    p.run(yes);
    assert!(matches!(p.at_client.media.last(), Some((CLIENT_TICKET, Media::End))));
    assert_eq!(p.at_client.done, Some(Ok(())));
    assert!(!p.at_server.wants_media);
}

#[test]
fn every_split() {
    for split in SPLITS {
        publish(config(Direction::Publish, Some(Schema::KeyFirst), false), split);
        play(config(Direction::Play, Some(Schema::DigestFirst), false), split);
    }
}

#[test]
fn every_handshake_and_encoding() {
    for digest in [None, Some(Schema::KeyFirst), Some(Schema::DigestFirst)] {
        for amf3 in [false, true] {
            publish(config(Direction::Publish, digest, amf3), 1400);
            play(config(Direction::Play, digest, amf3), 1400);
        }
    }
}
