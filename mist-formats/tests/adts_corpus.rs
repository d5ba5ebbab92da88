//! ADTS files of the corpus against what ffprobe found in them.
#![allow(clippy::print_stdout, reason = "says how much was compared")]

mod common;

use bytes::Bytes;
use common::{Truth, demux, sha256, truths};
use mist_core::format::{Demuxed, Demuxer, ErrorKind, FormatError};
use mist_core::media::Media;
use mist_core::time::{Duration, Timestamp};
use mist_formats::adts::FORMAT;

fn ours(t: &Truth) -> bool {
    let folder = ["adts/", "hls/", "malformed/"].iter().any(|f| t.path.starts_with(f));
    folder && [".aac", ".adts"].iter().any(|e| t.path.ends_with(e))
}

#[test]
fn every_file_has_the_packets_that_ffprobe_found() {
    let mut packets = 0;
    for t in truths().iter().filter(|t| ours(t)) {
        let Some(data) = t.read() else { continue };
        let mut d = (FORMAT.demuxer.unwrap())();
        let mut offsets = Vec::new();
        let got = common::run(&mut Watch(&mut *d, &mut offsets), &data, 4096);
        assert_eq!(got.error, None, "{}", t.path);
        let [info] = &got.tracks[..] else { panic!("{}: {:?}", t.path, got.tracks) };
        let s = t.streams().iter().find(|s| s["type"] == "audio").unwrap();
        let (rate, channels) = (s["sample_rate"].as_u64().unwrap(), s["channels"].as_u64().unwrap());
        let found = (u64::from(info.rate()), u64::from(info.channels()));
        match t.path.as_str() {
            // spectral band replication and parametric stereo are in the payload, where only decoding finds them
            "adts/fate-File1_fixed.aac" | "adts/fate-tones_afconvert_16000_mono_aac_he.aac" => {
                assert_eq!((found, channels), ((rate / 2, 1), 2), "{}", t.path);
            }
            _ => assert_eq!(found, (rate, channels), "{}", t.path),
        }
        let rows = t.packets().unwrap_or_default();
        let mut rows: Vec<_> = rows.iter().filter(|r| Some(r.stream) == s["index"].as_u64()).collect();
        if t.path == "malformed/ax-sample_cbs_truncated.adts" {
            // half a frame, which ffmpeg hands out
            rows.pop();
            assert_eq!(got.problems.iter().map(|p| p.kind).collect::<Vec<_>>(), [ErrorKind::Truncated]);
        } else {
            assert_eq!(got.problems, [], "{}", t.path);
        }
        assert_eq!((got.packets.len(), offsets.len()), (rows.len(), rows.len()), "{}", t.path);
        let from = if t.path.starts_with("hls/") { got.packets[0].dts } else { Timestamp::ZERO };
        for (n, ((p, r), offset)) in got.packets.iter().zip(&rows).zip(&offsets).enumerate() {
            let at = format!("{}: packet {n} {p:?} and {r:?}", t.path);
            let ours = (p.pts() - from).as_secs_f64() * 1000.0;
            let off = r.pts_ms.map_or(0.0, |ms| ms - ours);
            assert!(off.abs() < 0.001 && p.key == r.key, "{at}");
            // ffprobe counts the header in
            let offset = *offset as usize;
            let frame = &data[offset + p.data.len() - r.size..offset + p.data.len()];
            assert_eq!(
                (sha256(frame), &data[offset..offset + p.data.len()]),
                (r.sha256.clone(), &p.data[..]),
                "{at}"
            );
            packets += 1;
        }
    }
    println!("{packets} packets compared");
}

/// Writes down where packets lie.
struct Watch<'a>(&'a mut dyn Demuxer, &'a mut Vec<u64>);

impl Demuxer for Watch<'_> {
    fn push(&mut self, offset: u64, data: Bytes) {
        self.0.push(offset, data);
    }
    fn end(&mut self) {
        self.0.end();
    }
    fn poll(&mut self) -> Result<Demuxed, FormatError> {
        let d = self.0.poll()?;
        if matches!(d, Demuxed::Media(Media::Packet(_))) {
            self.1.extend(self.0.packet_offset());
        }
        Ok(d)
    }
    fn seek(&mut self, to: Timestamp) -> Result<Timestamp, FormatError> {
        self.0.seek(to)
    }
}

#[test]
fn segments_of_hls_follow_one_another() {
    let mut next: Option<Timestamp> = None;
    for t in truths().iter().filter(|t| t.path.starts_with("hls/hls-raw-aac/")) {
        let Some(data) = t.read().filter(|_| t.path.ends_with(".aac")) else { continue };
        let got = demux(&FORMAT, &data, 1000);
        let (first, last) = (got.packets.first().unwrap().dts, got.packets.last().unwrap().dts);
        if let Some(next) = next {
            assert!((first - next).abs() < Duration::from_millis(1), "{}: {first:?} {next:?}", t.path);
        }
        next = Some(last + Duration::from_rate(1024, 22_050));
    }
}
