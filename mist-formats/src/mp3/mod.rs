//! MPEG audio files: ISO/IEC 11172-3 and 13818-3, layers I to III with MPEG-2's and 2.5's lower sample rates.
//!
//! [`Demuxer`] passes over ID3v2, ID3v1, APE and Lyrics3 tags and bytes that are no frames, and reads the frame that
//! Xing's, LAME's and Fraunhofer's (VBRI) encoders put in front of the sound for its table of contents, number of frames
//! and gapless values ([`Info`]). Times count samples from the first frame, encoder delay included, as tools show them;
//! the last packet is as long as its sound where the file tells its padding. An ID3v2 tag of HTTP Live Streaming sets
//! the clock. Seeking is exact within what was read; beyond, it jumps exactly where the bit rate is constant and as
//! exactly as the table of contents where it is not.
//!
//! [`Muxer`] writes frames as they come, and where it knows all packets beforehand a frame with Xing's header first.
//!
//! Left out: free format, which is refused, and what tags say.

use bytes::Bytes;
use mist_core::codec::Codec;
use mist_core::format::{Demuxed, FormatError};
use mist_core::registry::{Connector, FormatDef, InputInfo, Method, Slot};
use mist_core::time::Timestamp;

mod frame;
mod info;
mod mux;

pub use info::Info;
pub use mux::Muxer;

use crate::frames::{FrameDemuxer, probe};
use frame::MpegAudio;

const ID: &str = "MP3";
const CODECS: &[Codec] = &[Codec::Mp3];

/// The registry entry.
pub static FORMAT: FormatDef = FormatDef {
    id: ID,
    mime: "audio/mpeg",
    extensions: &["mp3", "mp2", "mpa", "mp1"],
    probe: |head| match probe::<MpegAudio>(head) {
        // The tag fills all that there is to see. MP3 files have the largest ones: pictures.
        0 if head.starts_with(b"ID3") => 20,
        score => score,
    },
    demuxer: Some(|| Box::new(Demuxer::new())),
    muxer: Some(|| Box::new(Muxer::new())),
    input: Some(InputInfo {
        name: "MP3",
        desc: "This input allows you to stream MP3 Video on Demand files.",
        source_match: &["/*.mp3", "mp3:*", "/*.mp2"],
        priority: 9,
        codecs: &[&[Slot::Of(&[Codec::Mp3, Codec::Mp2])]],
        options: &[],
    }),
    output: Some(Connector {
        name: "MP3",
        desc: "Enables HTTP protocol progressive streaming.",
        deps: "HTTP",
        url_rel: "/$.mp3",
        url_match: &["/$.mp3"],
        url_prefix: &[],
        push_urls: &["/*.mp3"],
        methods: &[Method { handler: "http", kind: "html5/audio/mp3", priority: 8 }],
        codecs: &[&[Slot::Of(CODECS)]],
        options: &[],
    }),
};

/// Reads MPEG audio files.
pub struct Demuxer(FrameDemuxer<MpegAudio>);

impl std::fmt::Debug for Demuxer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Demuxer").field("info", &self.info()).finish_non_exhaustive()
    }
}

impl Default for Demuxer {
    fn default() -> Self {
        Self::new()
    }
}

impl Demuxer {
    /// At the start of a file.
    pub fn new() -> Self {
        Self(FrameDemuxer::new(MpegAudio::default()))
    }

    /// What the file's first frame says about it, once it was read and if there is such a frame.
    pub fn info(&self) -> Option<&Info> {
        self.0.framing().info()
    }
}

impl mist_core::format::Demuxer for Demuxer {
    fn push(&mut self, offset: u64, data: Bytes) {
        self.0.push(offset, data);
    }
    fn end(&mut self) {
        self.0.end();
    }
    fn poll(&mut self) -> Result<Demuxed, FormatError> {
        self.0.poll()
    }
    fn seek(&mut self, to: Timestamp) -> Result<Timestamp, FormatError> {
        self.0.seek(to)
    }
    fn packet_offset(&self) -> Option<u64> {
        self.0.packet_offset()
    }
    fn want_nodes(&mut self) {
        self.0.want_nodes();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mist_core::format::{Demuxer as _, ErrorKind, Index, IndexEntry, Muxer as _, Want};
    use mist_core::gather::Gather;
    use mist_core::media::{Media, Packet, Params, TrackId, TrackInfo};
    use mist_core::time::Duration;
    use std::sync::Arc;

    /// A frame of 48 kHz stereo at 128 kbit/s, with a number in it.
    fn frame(n: u8) -> Vec<u8> {
        let mut f = vec![0xff, 0xfb, 0x94, 0x64];
        f.resize(384, n & 0x7f);
        f
    }

    fn frames(n: std::ops::Range<u8>) -> Vec<u8> {
        n.flat_map(frame).collect()
    }

    /// Numbers of the frames that came, problems, and how it ended; the same in every split.
    fn run(data: &[u8]) -> (Vec<u8>, Vec<(u64, ErrorKind)>, Option<FormatError>) {
        let whole = run_in(&mut Demuxer::new(), data, data.len());
        for step in [1, 2, 7, 188] {
            assert_eq!(run_in(&mut Demuxer::new(), data, step), whole, "steps of {step}");
        }
        whole
    }

    fn run_in(
        d: &mut Demuxer,
        data: &[u8],
        step: usize,
    ) -> (Vec<u8>, Vec<(u64, ErrorKind)>, Option<FormatError>) {
        let mut at = 0;
        let (mut got, mut problems) = (Vec::new(), Vec::new());
        loop {
            match d.poll() {
                Ok(Demuxed::Media(Media::Packet(p))) => {
                    let offset = d.packet_offset().unwrap() as usize;
                    assert_eq!(&data[offset..offset + p.data.len()], &p.data[..]);
                    got.push(p.data[100]);
                }
                Ok(Demuxed::Problem(e)) => problems.push((e.offset, e.kind)),
                Ok(Demuxed::Need(want)) => {
                    if let Want::At { offset, .. } = want {
                        at = offset as usize;
                    }
                    let n = step.min(data.len().saturating_sub(at));
                    if n == 0 {
                        d.end();
                    } else {
                        d.push(at as u64, Bytes::copy_from_slice(&data[at..at + n]));
                        at += n;
                    }
                }
                Ok(Demuxed::End) => return (got, problems, None),
                Ok(_) => {}
                Err(e) => return (got, problems, Some(e)),
            }
        }
    }

    #[test]
    fn tags_wherever_they_are() {
        let id3 = [&b"ID3\x04\0\0\0\0\x01\x00"[..], &[0xff; 128]].concat();
        let foot = [&b"ID3\x04\0\x10\0\0\0\x05"[..], &[0xff; 15]].concat();
        let v1 = [&b"TAG"[..], &[0xff; 125]].concat();
        let ape = [&b"APETAGEX\xd0\x07\0\0\x30\0\0\0\x01\0\0\0\0\0\0\xa0"[..], &[0xff; 8 + 48]].concat();
        let lyrics = [&b"LYRICSBEGIN"[..], &[0x20; 300], b"000311LYRICS200"].concat();
        let file =
            [&id3[..], &foot, &ape, &frames(0..3), &v1, &id3, &[0; 700], &frames(3..6), &lyrics, &ape, &v1]
                .concat();
        assert_eq!(run(&file), ((0..6).collect(), vec![], None));
    }

    #[test]
    fn damage_is_passed_over_and_reported() {
        let lost = ErrorKind::Sync("no audio frame here; went on at the next");
        // Bytes that look like frames but for which none like them follows.
        let noise =
            [&[0x55; 300][..], &[0xff, 0xfb, 0x94, 0x64], &[0x55; 300], &[0xff, 0xf3, 0x40, 0xc0]].concat();
        let file = [&frames(0..4), &noise[..], &frames(4..9)].concat();
        assert_eq!(run(&file), ((0..9).collect(), vec![(4 * 384, lost)], None));
        let file = [&noise[..], &frames(0..4)].concat();
        assert_eq!(run(&file), ((0..4).collect(), vec![(0, lost)], None));
        // Cut in a frame: what is whole comes, and at the end it is said.
        let file = frames(0..5);
        for cut in 0..file.len() {
            let (got, problems, error) = run_in(&mut Demuxer::new(), &file[..cut], 1000);
            assert!(got.len() == cut / 384 || cut < 2 * 384, "{cut}");
            assert!(cut < 2 * 384 || error.is_none(), "{cut}: {error:?}");
            assert!(cut % 384 == 0 || cut < 2 * 384 || problems.len() == 1, "{cut}: {problems:?}");
        }
        // The sample rate changes: no damage.
        let mut other = vec![0xff, 0xfb, 0x90, 0x64];
        other.resize(417, 0x22);
        let file = [frames(0..3), other.repeat(3), frames(3..6)].concat();
        assert_eq!(run(&file), (vec![0, 1, 2, 0x22, 0x22, 0x22, 3, 4, 5], vec![], None));
    }

    #[test]
    fn free_format_and_no_format_are_refused() {
        let free = [&[0xff, 0xfb, 0x00, 0x64][..], &[0x33; 540]].concat();
        let error = |data: &[u8]| run(data).2.map(|e| (e.offset, e.kind));
        let want = ErrorKind::Unsupported("free format: frames don't tell their length");
        assert_eq!(error(&free.repeat(40)), Some((0, want)));
        assert_eq!(error(&free), Some((0, want)), "a single one");
        let none = ErrorKind::Sync("no audio frames from here on");
        assert_eq!(error(b"RIFF and so on"), Some((0, none)));
        assert_eq!(error(b"ID3\x04\0\0\0\0\0\x50abc"), Some((13, ErrorKind::Truncated)));
        assert_eq!(error(b"ID3\x04\0\0\x7f\x7f\x7f\x7f"), Some((10, ErrorKind::Truncated)), "256 MiB");
        assert_eq!(run(b""), (vec![], vec![], None));
        let mut far = vec![0x55; (1 << 20) + 100];
        far.extend(frames(0..9));
        assert_eq!(run_in(&mut Demuxer::new(), &far, 1 << 16).2.map(|e| (e.offset, e.kind)), Some((0, none)));
    }

    fn track() -> Arc<TrackInfo> {
        let params = Params::Audio { rate: 48_000, channels: 2, bits: 16 };
        Arc::new(TrackInfo::new(TrackId(3), Codec::Mp3, Bytes::new(), params))
    }

    fn packets(n: u8) -> Vec<Packet> {
        let packet = |i: u8| Packet {
            track: TrackId(3),
            dts: Timestamp::from_rate(i64::from(i) * 1152, 48_000),
            cts: Duration::ZERO,
            duration: Duration::ZERO,
            key: true,
            data: frame(i).into(),
        };
        (0..n).map(packet).collect()
    }

    fn mux(index: bool) -> Vec<u8> {
        let all = packets(100);
        let line = |p: &Packet| IndexEntry {
            dts: p.dts,
            cts: p.cts,
            size: p.data.len() as u32,
            key: true,
            duration: p.duration,
        };
        let index = index.then(|| Index { tracks: vec![(TrackId(3), all.iter().map(line).collect())] });
        let (mut m, mut out) = (Muxer::new(), Gather::new());
        m.start(&[track()], index.as_ref(), &mut out).unwrap();
        all.iter().for_each(|p| m.packet(p, &mut out).unwrap());
        m.finish(&mut out).unwrap();
        out.to_vec()
    }

    #[test]
    fn a_file_with_known_packets_tells_its_length() {
        assert_eq!(mux(false), frames(0..100));
        let file = mux(true);
        let mut d = Demuxer::new();
        assert_eq!(run_in(&mut d, &file, 1000), ((0..100).collect(), vec![], None));
        let info = d.info().unwrap();
        assert_eq!((info.frames, info.bytes), (Some(100), Some(file.len() as u32)));
    }

    #[test]
    fn seeking_is_exact_at_a_constant_rate() {
        for index in [false, true] {
            let file = mux(index);
            let mut d = Demuxer::new();
            assert!(d.seek(Timestamp::ZERO).is_err(), "nothing was read");
            d.push(0, Bytes::copy_from_slice(&file[..2000]));
            while !matches!(d.poll(), Ok(Demuxed::Need(_))) {}
            for to in [1.9, 0.7, 2.3, 0.0] {
                let at = d.seek(Timestamp::from_millis((to * 1000.0) as i64)).unwrap();
                let n = (to * 48_000.0 / 1152.0) as i64;
                assert_eq!(at, Timestamp::from_rate(n * 1152, 48_000), "{to}");
                let (got, problems, error) = run_in(&mut d, &file, 500);
                assert_eq!((got, problems, error), ((n as u8..100).collect(), vec![], None), "{to}");
            }
        }
    }

    #[test]
    fn seeking_goes_by_the_table_where_the_rate_varies() {
        let big = |n: u8| {
            let mut f = vec![0xff, 0xfb, 0xe4, 0x64];
            f.resize(960, n);
            f
        };
        let all: Vec<Vec<u8>> = (0..100).map(|i| if i < 50 { frame(i) } else { big(i) }).collect();
        let line = |(i, f): (usize, &Vec<u8>)| IndexEntry {
            dts: Timestamp::from_rate(i as i64 * 1152, 48_000),
            cts: Duration::ZERO,
            size: f.len() as u32,
            key: true,
            duration: Duration::ZERO,
        };
        let index = Index { tracks: vec![(TrackId(3), all.iter().enumerate().map(line).collect())] };
        let (mut m, mut out) = (Muxer::new(), Gather::new());
        m.start(&[track()], Some(&index), &mut out).unwrap();
        let file = [out.to_vec(), all.concat()].concat();
        let mut d = Demuxer::new();
        d.push(0, Bytes::copy_from_slice(&file[..3000]));
        while !matches!(d.poll(), Ok(Demuxed::Need(_))) {}
        let at = d.seek(Timestamp::from_rate(80 * 1152, 48_000)).unwrap();
        assert_eq!(at, Timestamp::from_rate(80 * 1152, 48_000));
        // The table is as exact as a 256th of the file: a frame.
        let (got, problems, _) = run_in(&mut d, &file, 500);
        assert!((79..=81).contains(&got[0]) && problems.is_empty(), "{got:?} {problems:?}");
    }

    #[test]
    fn the_last_packet_is_as_long_as_its_sound() {
        let mut first = frame(0);
        first[36..44].copy_from_slice(b"Info\0\0\0\x01");
        first[47] = 3;
        first[48..52].copy_from_slice(b"LAME");
        // 576 samples before, 929 behind, of which the decoder's delay takes 529.
        first[69..72].copy_from_slice(&[0x24, 0x03, 0xa1]);
        let file = [first, frames(1..4)].concat();
        let mut d = Demuxer::new();
        d.push(0, file.into());
        d.end();
        let mut durations = Vec::new();
        loop {
            match d.poll().unwrap() {
                Demuxed::Media(Media::Packet(p)) => durations.push(p.duration),
                Demuxed::End => break,
                _ => {}
            }
        }
        let info = d.info().unwrap();
        assert_eq!((info.delay, info.padding, info.frames), (576, 929, Some(3)));
        assert_eq!(durations, [Duration::ZERO, Duration::ZERO, Duration::from_rate(1152 - 400, 48_000)]);
    }

    #[test]
    fn only_whole_frames_of_the_track_are_written() {
        let (mut m, mut out) = (Muxer::new(), Gather::new());
        let mut other = (*track()).clone();
        other.codec = Codec::Mp2;
        assert!(m.start(&[Arc::new(other)], None, &mut out).is_err());
        assert!(m.start(&[], None, &mut out).is_err());
        m.start(&[track()], None, &mut out).unwrap();
        let good = packets(1).remove(0);
        for data in [&b""[..], b"abc", &good.data[..300], &[0xff, 0xfd, 0x10, 0]] {
            let p = Packet { data: Bytes::copy_from_slice(data), ..good.clone() };
            assert!(m.packet(&p, &mut out).is_err(), "{data:?}");
        }
        assert!(m.packet(&Packet { track: TrackId(9), ..good.clone() }, &mut out).is_err());
        assert!(out.is_empty());
        m.packet(&good, &mut out).unwrap();
    }
}
