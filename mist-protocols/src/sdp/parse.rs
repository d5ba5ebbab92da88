//! Text to description (RFC 8866 §5 and §9).

use super::{Description, Direction, Format, SdpError, Section, limits};

/// Reads a description. What isn't understood is passed over.
///
/// # Errors
/// No `v=0` at the start, or one of [`limits`].
pub fn parse(data: &[u8]) -> Result<Description, SdpError> {
    if data.len() > limits::BYTES {
        return Err(SdpError { offset: limits::BYTES, what: "too long" });
    }
    let mut out = Description::default();
    let mut offset = 0;
    let mut version = false;
    for raw in data.split(|b| matches!(b, b'\n' | b'\r')) {
        let at = offset;
        offset += raw.len() + 1;
        let line = String::from_utf8_lossy(raw);
        let line = line.trim_matches(|c: char| c == '\0' || c == '\u{feff}' || c.is_whitespace());
        if line.is_empty() {
            continue;
        }
        let Some((kind, value)) = line.split_once('=') else {
            if version {
                continue;
            }
            return Err(SdpError { offset: at, what: "no session description" });
        };
        let (kind, value) = (kind.trim(), value.trim());
        match kind {
            "v" if !version && value == "0" => version = true,
            _ if !version => return Err(SdpError { offset: at, what: "v=0 must come first" }),
            "s" if out.sections.is_empty() => value.clone_into(&mut out.name),
            "m" => {
                if out.sections.len() == limits::SECTIONS {
                    return Err(SdpError { offset: at, what: "too many sections" });
                }
                out.sections.push(section(value));
            }
            "a" => attribute(&mut out, value),
            _ => {}
        }
    }
    out.sections.iter_mut().flat_map(|s| &mut s.formats).for_each(Format::guess);
    if version { Ok(out) } else { Err(SdpError { offset: 0, what: "empty" }) }
}

fn section(value: &str) -> Section {
    let mut words = value.split_ascii_whitespace();
    let mut word = || words.next().unwrap_or_default();
    let (media, port, protocol) = (word(), word(), word());
    // A range of ports has their number behind a slash.
    let port = port.split('/').next().and_then(|p| p.parse().ok()).unwrap_or(0);
    // What is no number names a format of another protocol.
    let types = words.filter_map(|w| w.parse::<u8>().ok()).filter(|t| *t < 128).take(limits::FORMATS);
    let mut formats: Vec<Format> = Vec::new();
    for t in types {
        if !formats.iter().any(|f| f.payload_type == t) {
            formats.push(Format::of_type(t));
        }
    }
    Section {
        media: media.to_ascii_lowercase(),
        port,
        protocol: protocol.to_owned(),
        formats,
        control: None,
        fpks: 0,
        direction: Direction::Both,
    }
}

fn attribute(out: &mut Description, line: &str) {
    let (name, value) = line.split_once(':').map_or((line, ""), |(n, v)| (n.trim_end(), v.trim()));
    let Some(section) = out.sections.last_mut() else {
        match name {
            "control" if value != "*" && !value.is_empty() => out.control = Some(value.to_owned()),
            "range" => out.range = Some(value.to_owned()),
            _ => {}
        }
        return;
    };
    match name {
        "control" if !value.is_empty() => section.control = Some(value.to_owned()),
        "range" if out.range.is_none() => out.range = Some(value.to_owned()),
        "framerate" => {
            // H264DVR says `0S` before it says the real one.
            if let Ok(f) = value.parse::<f64>()
                && (0.001..=1000.0).contains(&f)
            {
                section.fpks = (f * 1000.0).round() as u32;
            }
        }
        "rtpmap" => {
            if let Some((f, rest)) = of_format(section, value) {
                f.map(rest);
            }
        }
        "fmtp" => {
            if let Some((f, rest)) = of_format(section, value) {
                f.parameters(rest);
            }
        }
        "sendrecv" => section.direction = Direction::Both,
        "sendonly" => section.direction = Direction::SendOnly,
        "recvonly" => section.direction = Direction::ReceiveOnly,
        "inactive" => section.direction = Direction::Inactive,
        _ => {}
    }
}

/// The format that an attribute is about, and what is said.
fn of_format<'a, 'b>(section: &'a mut Section, value: &'b str) -> Option<(&'a mut Format, &'b str)> {
    let (number, rest) = value.split_once(|c: char| c.is_ascii_whitespace())?;
    let number: u8 = number.parse().ok()?;
    Some((section.formats.iter_mut().find(|f| f.payload_type == number)?, rest.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sdp::fuzz;
    use mist_core::codec::Codec;
    use proptest::prelude::*;

    const CAMERA: &str = "v=0\no=Joe User 1 1 IN IP4 h\ns=\"a\"\na=control:*\nt=0 0\na=range:npt=0-\n\
        m=video 0 RTP/AVP 96 \na=framerate:0S\na=fmtp:96 packetization-mode=1; sprop-parameter-sets=Z0IAKZY1QPAET8s3AQEBQAAAAwBAAAAHoQ==,aM4xsg==\n\
        a=rtpmap:96 H264/90000 \na=framerate:25\na=control:trackID=3\na=recvonly\n\
        m=audio 5004/2 RTP/AVP 8\t \na=control:trackID=4\nnonsense\nm=application/X 0 RTP/AVP smart/1 \0\0\n\0\0";

    #[test]
    fn what_cameras_say() {
        for text in [CAMERA.to_owned(), CAMERA.replace('\n', "\r\n"), format!("\u{feff}{CAMERA}")] {
            let d = parse(text.as_bytes()).unwrap();
            assert_eq!((d.name.as_str(), d.control, d.range.as_deref()), ("\"a\"", None, Some("npt=0-")));
            let [video, audio, other] = &d.sections[..] else { panic!() };
            let f = &video.formats[0];
            assert_eq!((f.codec(), f.clock, video.fpks), (Some(Codec::H264), 90_000, 25_000));
            assert_eq!(
                (video.direction, video.control.as_deref()),
                (Direction::ReceiveOnly, Some("trackID=3"))
            );
            assert_eq!(f.init().unwrap()[..6], [1, 0x42, 0, 0x29, 0xff, 0xe1]);
            let f = &audio.formats[0];
            assert_eq!((f.codec(), f.clock, f.channels, audio.port), (Some(Codec::Alaw), 8000, 1, 5004));
            assert_eq!((other.media.as_str(), other.formats.len()), ("application/x", 0));
        }
    }

    #[test]
    fn a_missing_map_is_guessed() {
        let text = "v=0\nm=video 0 RTP/AVP 96\na=fmtp:96 packetization-mode=1\n\
            m=audio 0 RTP/AVP 97\na=fmtp:97 mode=AAC-hbr;sizelength=13;config=1190\nm=audio 0 RTP/AVP 98";
        let d = parse(text.as_bytes()).unwrap();
        let all: Vec<_> = d.sections.iter().map(|s| (s.formats[0].codec(), s.formats[0].clock)).collect();
        assert_eq!(all, [(Some(Codec::H264), 90_000), (Some(Codec::Aac), 48_000), (None, 90_000)]);
    }

    #[test]
    fn too_much_and_no_sdp() {
        let many = format!("v=0\n{}", "m=a 0 x 0\n".repeat(10_000));
        assert_eq!(parse(many.as_bytes()), Err(SdpError { offset: 4 + 64 * 10, what: "too many sections" }));
        assert_eq!(parse(&vec![b'a'; limits::BYTES + 1]).unwrap_err().what, "too long");
        assert_eq!(parse(b"\r\n<html>").unwrap_err(), SdpError { offset: 2, what: "no session description" });
        assert_eq!(parse(b"o=x\nv=0").unwrap_err().what, "v=0 must come first");
        assert!(parse(b"").is_err() && parse(b"\0\n").is_err());
        let types: String = (0..200).map(|n| format!(" {n}")).collect();
        let d = parse(format!("v=0\nm=v 0 x{types}").as_bytes()).unwrap();
        assert_eq!(d.sections[0].formats.len(), limits::FORMATS);
    }

    #[test]
    fn any_part_of_it_is_read_or_refused() {
        for n in 0..CAMERA.len() {
            fuzz(&CAMERA.as_bytes()[..n]);
        }
    }

    proptest! {
        #[test]
        fn damage_is_survived(at in any::<prop::sample::Index>(), with in prop::collection::vec(any::<u8>(), 0..20)) {
            let mut text = CAMERA.as_bytes().to_vec();
            let at = at.index(text.len());
            text.splice(at..(at + with.len() / 2).min(text.len()), with);
            fuzz(&text);
        }
    }
}
