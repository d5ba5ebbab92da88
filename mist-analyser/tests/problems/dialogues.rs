//! Problems of FLV and of dialogues.

use super::common::{analyse, analyse_stdin, clip, json};
use super::{Content, Dir, Seen, read, want};
use serde_json::Value;

pub(crate) fn flv_and_dialogues(seen: &mut Seen) {
    let mut demo = read("mist-server/assets/demo.flv");
    demo[399] ^= 1;
    seen.input("a wrong PreviousTagSize", &demo, &[want("flv-tag-size").at(13)]);
    // Sound whose configuration never comes.
    let file = read("mist-server/assets/demo.flv");
    let (mut bare, mut at) = (file[..13].to_vec(), 13);
    while at < file.len() {
        let end = at + u32::from_be_bytes([0, file[at + 1], file[at + 2], file[at + 3]]) as usize + 15;
        if file[at] != 8 || file[at + 12] != 0 {
            bare.extend_from_slice(&file[at..end]);
        }
        at = end;
    }
    let out = analyse_stdin(&["--json", "-"], &bare);
    seen.check("sound without its configuration", &out, &[want("malformed")]);
    assert!(json(&out.out)["problem_counts"]["no-parameter-sets"].is_null(), "{}", out.out);
    let refusal = b"DTCM\0\0\0\x27\xE0\0\x03cmd\x02\0\0\0\x05error\0\x03msg\x02\0\0\0\x0anot here..\0\0\xEE";
    let mut refusal = refusal.to_vec();
    refusal[7] = (refusal.len() - 8) as u8;
    seen.input("a server that refuses", &refusal, &[want("refused").at(0)]);
    // A-law, in packets of 20 ms.
    let rtp = |n: u8| {
        let time = (u32::from(n) * 160).to_be_bytes();
        [&[b'$', 0, 0, 172, 0x80, 8, 0, n][..], &time, &[1, 2, 3, 4], &[0x55; 160]].concat()
    };
    let sdp =
        "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=audio 0 RTP/AVP 8\r\na=control:streamid=0\r\n";
    let head = format!(
        "ANNOUNCE rtsp://h/s RTSP/1.0\r\nCSeq: 1\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}\
         SETUP rtsp://h/s/streamid=0 RTSP/1.0\r\nCSeq: 2\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n\r\n",
        sdp.len()
    );
    let packets = [1, 2, 3, 9, 10, 11].map(rtp).concat();
    let rtsp = |head: &[u8]| analyse_stdin(&["--json", "--format", "rtsp", "-"], &[head, &packets].concat());
    seen.check("packets of RTP are lost", &rtsp(head.as_bytes()), &[want("rtp-loss")]);
    let bare = rtsp(b"OPTIONS rtsp://h/s RTSP/1.0\r\nCSeq: 1\r\n\r\n");
    seen.check("media without its description", &bare, &[want("rtp-media")]);
}

#[test]
fn a_rate_near_the_end_of_its_type_is_a_mismatch() {
    let text = |t: &[u8]| [&[2][..], &(t.len() as u32).to_be_bytes(), t].concat();
    let int = |n: u64| [&[1][..], &n.to_be_bytes()].concat();
    let object = |members: &[(&str, Vec<u8>)]| {
        let member = |(name, v): &(&str, Vec<u8>)| {
            [&(name.len() as u16).to_be_bytes()[..], name.as_bytes(), v].concat()
        };
        [&[0xE0][..], &members.iter().map(member).collect::<Vec<_>>().concat(), &[0, 0, 0xEE]].concat()
    };
    let sized = |magic: &[u8], body: &[u8]| [magic, &(body.len() as u32).to_be_bytes(), body].concat();
    let track = object(&[
        ("codec", text(b"AAC")),
        ("type", text(b"audio")),
        ("trackid", int(1)),
        ("rate", int(3_000_000_000)),
        ("channels", int(2)),
        ("size", int(16)),
        ("init", text(&[0x11, 0x90])),
    ]);
    let mut file = sized(b"DTSC", &object(&[("tracks", object(&[("audio_1", track)])), ("version", int(4))]));
    for n in 0..3u64 {
        let data = object(&[("data", text(&[0x21, 0x10, 0x04, 0x60].repeat(4)))]);
        file.extend(sized(b"DTP2", &[&1u32.to_be_bytes()[..], &(n * 21).to_be_bytes(), &data].concat()));
    }
    let mut seen = Seen::default();
    seen.input("3 GHz", &file, &[want("size-mismatch").on(1, 0.0)]);
    assert!(seen.1.is_empty(), "{}", seen.1.join("\n"));
}

/// A command of DTSC.
fn command(members: &[(&str, &str)]) -> Vec<u8> {
    let mut body = vec![0xE0];
    for (name, value) in members {
        body.extend_from_slice(&(name.len() as u16).to_be_bytes());
        body.extend_from_slice(name.as_bytes());
        body.push(2);
        body.extend_from_slice(&(value.len() as u32).to_be_bytes());
        body.extend_from_slice(value.as_bytes());
    }
    body.extend_from_slice(&[0, 0, 0xEE]);
    [&b"DTCM"[..], &(body.len() as u32).to_be_bytes(), &body].concat()
}

#[test]
fn a_dialogue_of_dtsc_is_commands_and_media() {
    let dir = Dir::new("dtsc");
    let file = Content::demo().mux("DTSC", false);
    let asks = dir.put("to", &command(&[("cmd", "play"), ("stream", "demo")]));
    let answers = dir.put("from", &[command(&[("cmd", "hi"), ("version", "x")]), file.clone()].concat());
    let out = analyse(&["--json", "--format", "dtsc", &asks, &answers]);
    let v = json(&out.out);
    assert_eq!((out.code, v["problems"].as_array().unwrap().len()), (0, 0), "{v}");
    let of = |v: &Value| -> Vec<_> {
        v["tracks"].as_array().unwrap().iter().map(|t| (t["id"].as_u64(), t["packets"].as_u64())).collect()
    };
    assert_eq!(of(&v), [(Some(65537), Some(400)), (Some(65538), Some(750))]);
    let text = analyse(&["--detail", "structure", "--format", "dtsc", &asks, &answers]).out;
    assert!(text.contains("play, stream \"demo\"") && text.contains("hi, version \"x\""), "{text}");
    // A direction alone, and a file as ever.
    for data in [std::fs::read(&answers).unwrap(), file] {
        let out = analyse_stdin(&["--json", "-"], &data);
        assert_eq!(of(&json(&out.out)), [(Some(1), Some(400)), (Some(2), Some(750))], "{}", out.err);
    }
    assert_eq!(analyse(&["--format", "dtsc", &clip("Cargo.toml"), &asks]).code, 2);
}
