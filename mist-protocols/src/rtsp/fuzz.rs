//! Body of a fuzz target: messages, descriptions and payloads out of any bytes.

use super::message::{Item, Reader, RtspError, Start};
use super::transport::{RtpInfo, Transport, controls};
use super::{limits, rtp_format};
use crate::rtp::{self, Received, Receiver, Timeline, rtcp};
use crate::sdp;
use bytes::Bytes;
use mist_core::media::{Media, TrackId};

/// Descriptions of one section each, of which a byte picks one.
const SECTIONS: &[&str] = &[
    "H264/90000",
    "H265/90000",
    "MPEG4-GENERIC/48000/2\na=fmtp:96 config=1190;sizelength=13;indexlength=3;indexdeltalength=3",
    "MPEG4-GENERIC/48000/2\na=fmtp:96 config=1190;sizelength=7;indexlength=1;ctsdeltalength=3;dtsdeltalength=5;randomaccessindication=1;auxiliarydatasizelength=8",
    "MPEG4-GENERIC/48000/2\na=fmtp:96 config=1190;constantsize=3;auxiliarydatasizelength=2",
    "MP4A-LATM/44100/2",
    "MP4A-LATM/44100/2\na=fmtp:96 cpresent=0;config=400024203fc0",
    "MPA/90000",
    "AC3/48000",
    "opus/48000/2",
    "PCMA/8000",
    "L16/44100/2",
    "VP8/90000",
    "VP9/90000",
    "EAC3/48000",
];

/// The first byte says into how long pieces the rest is cut, the second one of which format packets are that nothing describes.
pub fn fuzz(data: &[u8]) {
    let Some((&[step, pick], data)) = data.split_first_chunk() else { return };
    sdp::fuzz(data);
    let whole = read(data, data.len().max(1));
    assert_eq!(read(data, usize::from(step).max(1)), whole, "depends on the split");
    let mut text =
        format!("v=0\nm=x 0 RTP/AVP 96\na=rtpmap:96 {}", SECTIONS[usize::from(pick) % SECTIONS.len()]);
    let mut media: Vec<(u8, Bytes)> = Vec::new();
    for item in whole.0 {
        match item {
            Item::Packet { channel, data, .. } => media.push((channel, data)),
            Item::Message(m) => {
                let value = String::from_utf8_lossy(&m.body);
                for (_, v) in &m.headers {
                    assert!(
                        Transport::parse(v).len() <= limits::PARTS
                            && RtpInfo::parse(v).len() <= limits::PARTS
                    );
                }
                if let Start::Request { url, .. } = &m.start {
                    controls(url, &value);
                    controls(&value, url);
                }
                if m.body.starts_with(b"v=0") {
                    text = value.into_owned();
                }
            }
        }
    }
    let Ok(description) = sdp::parse(text.as_bytes()) else { return };
    for (i, section) in description.sections.iter().take(4).enumerate() {
        for f in section.formats.iter().take(2).filter_map(|f| rtp_format(f, section.fpks).ok()) {
            let own = media.iter().filter(|m| usize::from(m.0 / 2) == i);
            let window = usize::from(step % 4);
            receive(f, window, own.map(|(channel, data)| (channel % 2 == 1, data)));
        }
    }
}

fn read(data: &[u8], step: usize) -> (Vec<Item>, Option<RtspError>) {
    let mut reader = Reader::new();
    let mut items = Vec::new();
    for piece in data.chunks(step) {
        reader.push(Bytes::copy_from_slice(piece));
        loop {
            match reader.poll() {
                Ok(Some(item)) => items.push(item),
                Ok(None) => break,
                Err(e) => return (items, Some(e)),
            }
        }
        assert!(items.len() <= data.len(), "no progress");
        assert!(reader.held() <= data.len());
    }
    (items, None)
}

/// Media and reports of one track.
fn receive<'a>(f: rtp::Format, window: usize, packets: impl Iterator<Item = (bool, &'a Bytes)>) {
    let Ok(mut receiver) = Receiver::new(TrackId(1), f, window) else { return };
    let mut line = Timeline::new();
    let (mut given, mut taken, mut described) = (0, 0, false);
    let mut drain = |r: &mut Receiver, given: usize| {
        let mut polls = 0;
        while let Some(found) = r.poll() {
            polls += 1;
            assert!(polls < 1000 + given, "no end of media");
            match found {
                Received::Media { media: Media::Track(_), .. } => described = true,
                Received::Media { media: Media::Packet(p), .. } => {
                    assert!(described, "a packet before its track");
                    assert!(!p.data.is_empty() && p.data.len() <= rtp::limits::UNIT);
                    taken += p.data.len();
                }
                _ => {}
            }
        }
        assert!(taken <= 4 * given, "more media than came");
    };
    for (is_report, data) in packets {
        given += data.len();
        if is_report {
            let _ = rtcp::parse(data, |r| {
                if let rtcp::Report::Sender(s) = r {
                    receiver.report(s, &mut line);
                }
            });
        } else {
            receiver.push(data, 0, &mut line);
        }
        drain(&mut receiver, given);
    }
    receiver.end(&mut line);
    drain(&mut receiver, given);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A packet of a channel.
    fn packet(channel: u8, sequence: u16, time: u32, payload: &[u8]) -> Vec<u8> {
        let mut p = vec![b'$', channel];
        p.extend(((payload.len() + 12) as u16).to_be_bytes());
        p.extend([0x80, 96]);
        p.extend(sequence.to_be_bytes());
        p.extend(time.to_be_bytes());
        p.extend([0; 4]);
        p.extend(payload);
        p
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn any_payloads_of_every_format(pick: u8, step: u8, payloads in prop::collection::vec(
            (0u8..2, 0u16..6, 0u32..3, prop::collection::vec(any::<u8>(), 0..40)), 0..12)) {
            let mut data = vec![step, pick];
            let mut sequence = 65533u16;
            for (channel, skip, time, payload) in payloads {
                sequence = sequence.wrapping_add(skip);
                data.extend(packet(channel, sequence, time, &payload));
            }
            fuzz(&data);
        }
    }
}
