//! Tracks and packets that look sound to any muxer, out of arbitrary bytes: valid init data, and payload that is framed as
//! its codec's canonical form asks for. What is inside the frames is arbitrary.

#![allow(clippy::indexing_slicing, reason = "whoever reads it is to fail by panicking, and so may this")]

use bytes::Bytes;
use mist_core::codec::aac::Asc;
use mist_core::codec::h264::Avcc;
use mist_core::codec::opus::OpusHead;
use mist_core::codec::text::{self, Cue};
use mist_core::codec::{Codec, av1, mpa, nal, params, pcm, speex};
use mist_core::media::{Kind, Lang, Params, TrackId, TrackInfo};

/// 1280×720, with a VUI.
const SPS_HD: &[u8] = &[
    0x67, 0x64, 0x00, 0x1f, 0xac, 0xb4, 0x02, 0x80, 0x2d, 0xd0, 0x80, 0x00, 0x00, 0x03, 0x00, 0x80, 0x00,
    0x00, 0x18, 0x07, 0x8c, 0x19, 0x50,
];
const PPS_HD: &[u8] = &[0x68, 0xee, 0x3c, 0xb0];
/// 176×144, baseline.
const SPS_SMALL: &[u8] = &[0x67, 0x42, 0xe0, 0x15, 0x8d, 0x66, 0x0b, 0x13, 0x90];
const PPS_SMALL: &[u8] = &[0x68, 0xce, 0x38, 0x80];
/// `hvcC` of 1280×720.
const HVCC: &[u8] = &[
    1, 1, 0x60, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0xba, 0xf0, 0, 0xfc, 0xfd, 0xf8, 0xf8, 0, 0, 0x13, 3, 0xa0, 0,
    1, 0, 0x19, 0x40, 1, 0x0c, 2, 0xff, 0xff, 1, 0x60, 0, 0, 3, 0, 0x80, 0, 0, 3, 0, 0, 3, 0, 0xba, 0, 0,
    0x2c, 9, 0xa1, 0, 1, 0, 0x20, 0x42, 1, 2, 1, 0x60, 0, 0, 3, 0, 0x80, 0, 0, 3, 0, 0, 3, 0, 0xba, 0, 0,
    0xa0, 2, 0x80, 0x80, 0x2d, 0x16, 0x84, 0xe4, 0x91, 0xca, 0x20, 2, 0xa2, 0, 1, 0, 9, 0x44, 1, 0xc1, 0x62,
    0x4f, 9, 0xb9, 0x32, 0x40,
];
/// `av1C` of 1920×1080.
const AV1C: &[u8] = &[0x81, 9, 0x4c, 0, 0x0a, 0x0b, 0, 0, 0, 0x4a, 0xab, 0xbf, 0xc3, 0x77, 0xff, 0xe7, 1];
/// `vpcC` of profile 0, with its version and flags.
const VPCC: &[u8] = &[1, 0, 0, 0, 0, 40, 0x82, 2, 2, 2, 0, 0];
/// What a VP9 key frame of 1920×1080 begins with.
const VP9_KEY: &[u8] = &[0x82, 0x49, 0x83, 0x42, 0, 0x77, 0xf0, 0x43, 0x70];
/// MPEG-2 sequence header and extension of 352×288.
const MPEG2: &[u8] =
    &[0, 0, 1, 0xb3, 0x16, 1, 0x20, 0x23, 1, 0x38, 0xa0, 0x48, 0, 0, 1, 0xb5, 0x14, 0x82, 0, 1, 0, 0];
/// MPEG-4 visual object sequence and layer of 176×144.
const MPEG4: &[u8] = &[
    0, 0, 1, 0xb0, 1, 0, 0, 1, 0xb5, 0x89, 0x13, 0, 0, 1, 0, 0, 0, 1, 0x20, 0, 0xc4, 0xa5, 0x88, 0, 0xf5, 5,
    0x84, 0x12, 0x14, 0x43,
];
/// Headers of 64×48 at 25 pictures a second.
const THEORA: &[u8] = &[
    2, 42, 15, 0x80, b't', b'h', b'e', b'o', b'r', b'a', 3, 2, 1, 0, 4, 0, 3, 0, 0, 64, 0, 0, 48, 0, 0, 0, 0,
    0, 25, 0, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0xc0, 0x81, b't', b'h', b'e', b'o', b'r', b'a', 0, 0,
    0, 0, 0, 0, 0, 0, 0x82, b't', b'h', b'e', b'o', b'r', b'a',
];
/// Headers of 44.1 kHz stereo with blocks of 256 and 2048 samples, one mode each.
const VORBIS: &[u8] = &[
    2, 30, 16, 1, b'v', b'o', b'r', b'b', b'i', b's', 0, 0, 0, 0, 2, 0x44, 0xac, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0xb8, 1, 3, b'v', b'o', b'r', b'b', b'i', b's', 0, 0, 0, 0, 0, 0, 0, 0, 1, 5, b'v', b'o',
    b'r', b'b', b'i', b's', 0, 0x42, 0x43, 0x56, 1, 0, 1, 0, 0, 4, 0, 0, 0, 0x80, 0, 0, 0x40, 1, 2, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0x10,
];
/// STREAMINFO of 44.1 kHz stereo, 16 bits.
const FLAC: &[u8] = &[
    b'f', b'L', b'a', b'C', 0x80, 0, 0, 34, 0x10, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0x0a, 0xc4, 0x42, 0xf0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];
/// Magic cookie of 48 kHz stereo, 24 bits.
const ALAC: &[u8] =
    &[0, 0, 0x10, 0, 0, 24, 40, 10, 14, 2, 0, 0, 0, 0, 0x60, 4, 0, 0x23, 0x28, 0, 0, 0, 0xbb, 0x80];
const ASS: &[u8] = b"[Script Info]\nScriptType: v4.00+\n\n[Events]\nFormat: Start, End, Text\n";
const VTT: &[u8] = b"WEBVTT\n\nSTYLE\n::cue { color: red }";
/// A whole section with its CRC.
const SPLICE: &[u8] = &[
    0xfc, 0x30, 0x20, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xf0, 0x0f, 5, 0, 0, 0, 0x64, 0x7f, 0xcf, 0xfe, 0, 3, 0x0d,
    0x40, 0, 1, 0, 0, 0, 0, 0xe0, 0x9a, 0x72, 0x62,
];

/// Decisions out of arbitrary bytes; all the same when they are used up.
#[derive(Debug)]
pub(super) struct Draw<'a> {
    left: &'a [u8],
    /// What fills payload goes on from here.
    state: u32,
}

impl<'a> Draw<'a> {
    pub(super) const fn new(left: &'a [u8]) -> Self {
        Self { left, state: 0x9e37_79b9 }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    pub(super) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.left.split_first() else { return 0 };
        self.left = rest;
        self.state = (self.state ^ u32::from(*first)).wrapping_mul(0x0100_0193);
        *first
    }

    /// Below `n`, which is at most 256.
    pub(super) fn below(&mut self, n: usize) -> usize {
        usize::from(self.byte()) % n.max(1)
    }

    pub(super) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == n - 1
    }

    pub(super) fn signed(&mut self) -> i64 {
        i64::from(i16::from_be_bytes([self.byte(), self.byte()]))
    }

    /// So many bytes of any kind.
    fn fill(&mut self, n: usize) -> Vec<u8> {
        match self.byte() & 7 {
            0 => vec![0; n],
            1 => vec![0xff; n],
            2 => [0, 0, 1].into_iter().cycle().take(n).collect(),
            _ => {
                let mut s = self.state | 1;
                let mut next = || {
                    s ^= s << 13;
                    s ^= s >> 17;
                    s ^= s << 5;
                    s as u8
                };
                (0..n).map(|_| next()).collect()
            }
        }
    }

    /// Bytes of a payload: mostly few, sometimes where containers have their borders.
    fn size(&mut self) -> usize {
        let kind = self.byte();
        let more = self.below(256);
        match kind {
            0..=191 => more % 80,
            192..=209 => (more % 16 * 184 + more / 16).saturating_sub(20),
            210..=227 => (more % 8 * 255 + 1).saturating_sub(more / 64),
            228..=239 => more * 16,
            240..=247 => 65_400 + more,
            _ => 66_000 + more * 100,
        }
    }
}

/// Without start codes inside, and not ending in zeros: as NAL units and MPEG's slices are.
fn escaped(mut data: Vec<u8>) -> Vec<u8> {
    let mut zeros = 0;
    for b in &mut data {
        if zeros >= 2 && *b < 4 {
            *b |= 0x80;
        }
        zeros = if *b == 0 { zeros + 1 } else { 0 };
    }
    if let Some(last) = data.last_mut() {
        *last |= 0x80;
    }
    data
}

fn audio(rate: u32, channels: u16, bits: u16) -> Params {
    Params::Audio { rate, channels, bits }
}

/// A track of a codec in one of its few variants; `variant` picks, so that a change can be another.
pub(super) fn track(id: u32, codec: Codec, variant: usize, lang: Option<Lang>) -> TrackInfo {
    let pick = |n: usize| variant % n;
    let fixed = Bytes::from_static;
    let init = match codec {
        Codec::H264 => {
            let sets = [[SPS_HD, PPS_HD], [SPS_SMALL, PPS_SMALL]][pick(2)];
            Avcc::from_nals(sets).map(|c| c.build()).unwrap_or_default()
        }
        Codec::Hevc => fixed(HVCC),
        Codec::Av1 => fixed(AV1C),
        Codec::Vp9 => fixed(VPCC),
        Codec::Mpeg2 => fixed(MPEG2),
        Codec::Mpeg4 => fixed(MPEG4),
        Codec::Theora => fixed(THEORA),
        Codec::Aac => {
            let (rate, channels) = [(44_100, 2), (48_000, 1), (22_050, 6)][pick(3)];
            Asc::new(mist_core::codec::aac::object::LC, rate, channels).build().unwrap_or_default()
        }
        Codec::Opus => {
            let (channels, skip) = [(2, 0), (1, 312), (2, 3840)][pick(3)];
            OpusHead::new(channels, skip).map(|h| h.build()).unwrap_or_default()
        }
        Codec::Vorbis => fixed(VORBIS),
        Codec::Flac => fixed(FLAC),
        Codec::Alac => fixed(ALAC),
        Codec::Speex if pick(2) == 0 => speex::Header::WIDE_BAND.build(),
        Codec::Tx3g => text::tx3g_init(),
        Codec::Ass => fixed(ASS),
        Codec::WebVtt if pick(2) == 1 => fixed(VTT),
        _ => Bytes::new(),
    };
    let video = |width, height| Params::Video { width, height, fpks: 25_000 };
    let params = params(codec, &init).unwrap_or(match codec {
        Codec::Vp9 => video(1920, 1080),
        Codec::Mpeg4 => video(176, 144),
        Codec::H263 => video(352, 288),
        _ if codec.kind() == Kind::Video => video(64, 48),
        Codec::Mp3 => [audio(44_100, 2, 16), audio(22_050, 1, 16), audio(8000, 1, 16)][pick(3)],
        Codec::Mp2 => [audio(48_000, 2, 16), audio(24_000, 1, 16)][pick(2)],
        Codec::Ac3 | Codec::Eac3 => audio(48_000, 2, 16),
        Codec::Alac => audio(48_000, 2, 24),
        Codec::Dts => audio(48_000, 6, 16),
        Codec::Speex => audio(16_000, 1, 16),
        Codec::Nellymoser => [audio(22_050, 1, 16), audio(8000, 1, 16)][pick(2)],
        Codec::Pcm => [audio(44_100, 2, 16), audio(11_025, 1, 8), audio(48_000, 2, 24)][pick(3)],
        Codec::PcmFloat => audio(48_000, 2, [32, 64][pick(2)]),
        Codec::Alaw | Codec::Ulaw => audio(8000, [1, 2][pick(2)], 8),
        _ if codec.kind() == Kind::Audio => audio(44_100, 2, 16),
        _ => Params::Other,
    });
    TrackInfo::new(TrackId(id), codec, init, params).with_lang(lang)
}

fn units(parts: &[Vec<u8>]) -> Vec<u8> {
    let mut out = bytes::BytesMut::new();
    parts.iter().for_each(|p| nal::put_unit(&mut out, p));
    out.to_vec()
}

/// An AV1 unit with its size.
fn obu(head: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![head];
    let mut n = body.len();
    while n > 127 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
    out.extend_from_slice(body);
    out
}

fn mpeg_audio(d: &mut Draw<'_>, info: &TrackInfo) -> Vec<u8> {
    let (version, code) = match info.rate() {
        44_100 => (3u8, 0u8),
        48_000 => (3, 1),
        22_050 => (2, 0),
        24_000 => (2, 1),
        _ => (0, 2),
    };
    let layer = if info.codec == Codec::Mp3 { 1 } else { 2 };
    let mode = if info.channels() == 1 { 0xc0 } else { 0 };
    let rate = 1 + d.below(14) as u8;
    let head = [0xff, 0xe1 | version << 3 | layer << 1, rate << 4 | code << 2 | (d.byte() & 1) << 1, mode];
    let len = mpa::Header::parse(&head).map_or(4, |h| h.frame_len);
    let mut out = head.to_vec();
    out.extend(d.fill(len.saturating_sub(4)));
    out
}

fn line(d: &mut Draw<'_>) -> String {
    const WORDS: [&str; 8] = ["Word", "é", "<i>x</i>", "a & b", "12", "\u{1f600}", "-> ", "WEBVTT"];
    let mut s: String = (0..=d.below(6)).map(|_| WORDS[d.below(8)]).collect();
    s.push_str("end");
    s
}

fn lines(d: &mut Draw<'_>) -> String {
    let n = if d.one_in(32) { 200 } else { 1 + d.below(3) };
    (0..n).map(|_| line(d)).collect::<Vec<_>>().join("\n")
}

/// A packet's payload. Of codecs that tell, it is a key picture or none as `key` says.
pub(super) fn payload(d: &mut Draw<'_>, info: &TrackInfo, key: bool) -> Bytes {
    let n = d.size();
    let mut fill = |n: usize| d.fill(n);
    let join = |head: &[u8], body: Vec<u8>| [head, &body].concat();
    let done: Vec<u8> = match info.codec {
        Codec::H264 => {
            let slice: &[u8] = if key { &[0x65, 0x88, 0x84] } else { &[0x41, 0x9a, 0x24] };
            let slice = escaped(join(slice, fill(n + 1)));
            if d.one_in(4) { units(&[vec![6, 5, 1, 7, 0x80], slice]) } else { units(&[slice]) }
        }
        Codec::Hevc => {
            let slice: &[u8] = if key { &[0x26, 1, 0xaf] } else { &[2, 1, 0xd0] };
            units(&[escaped(join(slice, fill(n + 1)))])
        }
        Codec::Av1 => {
            let frame = obu(0x32, &join(&[if key { 0x10 } else { 0x30 }], fill(n)));
            if key { [AV1C.get(4..).unwrap_or_default(), &frame].concat() } else { frame }
        }
        Codec::Vp8 if key => join(&[0x10, 2, 0, 0x9d, 1, 0x2a, 64, 0, 48, 0], fill(n)),
        Codec::Vp8 => join(&[0x11, 2, 0], fill(n)),
        Codec::Vp9 if key => join(VP9_KEY, fill(n)),
        Codec::Vp9 => join(&[0x86], fill(n)),
        Codec::Mpeg2 => {
            let body = escaped(fill(n + 1));
            let picture =
                [&[0, 0, 1, 0, 0, if key { 0x0f } else { 0x17 }, 0xff, 0xf8, 0, 0, 1, 1], &body[..]];
            let picture = picture.concat();
            if key { [MPEG2, &[0, 0, 1, 0xb8, 0, 8, 0, 0x40], &picture].concat() } else { picture }
        }
        Codec::Mpeg4 => join(&[0, 0, 1, 0xb6, if key { 0x10 } else { 0x50 }], escaped(fill(n + 1))),
        Codec::Theora => join(&[if key { 0x00 } else { 0x40 }], fill(n)),
        Codec::H263 => join(&[0, 0, 0x80, 1, if key { 0x00 } else { 0x20 }], fill(n)),
        Codec::Vp6 => join(if key { &[0, 0, 6, 3, 4] } else { &[0, 0x80] }, fill(n)),
        Codec::Vp6Alpha => join(if key { &[0, 0, 0, 9, 0, 6, 3, 4] } else { &[0, 0, 0, 9, 0x80] }, fill(n)),
        Codec::Screen1 | Codec::Screen2 => join(&[0x10, 64, 0x10, 48], fill(n)),
        Codec::Jpeg => join(&[0xff, 0xd8, 0xff], fill(n)),
        Codec::Mp3 | Codec::Mp2 => mpeg_audio(d, info),
        Codec::Ac3 => {
            const KBIT: [usize; 5] = [32, 64, 128, 192, 640];
            const CODE: [u8; 5] = [0, 8, 16, 20, 36];
            let i = n % 5;
            join(&[0x0b, 0x77, 1, 2, CODE[i], 0x40, 0x40, 0], fill(KBIT[i] * 4 - 8))
        }
        Codec::Eac3 => {
            let words = (n / 2).clamp(4, 2048);
            let [high, low] = (words as u16 - 1).to_be_bytes();
            join(&[0x0b, 0x77, high, low, 0x34, 0x80, 0, 0], fill(words * 2 - 8))
        }
        Codec::Opus => {
            let config = [1u8, 3, 12, 16, 19, 31][n % 6];
            join(&[config << 3], fill(n))
        }
        Codec::Vorbis => join(&[(n as u8 & 3) << 1], fill(n)),
        Codec::Flac => {
            let block = [1u8, 2, 5, 8, 12][n % 5];
            join(&[0xff, 0xf8, block << 4, 0x10, 0, 0xc2], fill(n))
        }
        Codec::Pcm | Codec::PcmFloat | Codec::Alaw | Codec::Ulaw => {
            let bits = match info.params {
                Params::Audio { bits, .. } => usize::from(bits),
                _ => usize::from(pcm::G711_BITS),
            };
            let frame = usize::from(info.channels()) * bits / 8;
            fill((n / frame).max(1) * frame)
        }
        Codec::Nellymoser => fill((n / 64).max(1) * 64),
        Codec::Subtitle => lines(d).into(),
        Codec::WebVtt => {
            let id = if n.is_multiple_of(3) { line(d) } else { String::new() };
            let settings = if n.is_multiple_of(5) { "align:start position:10%" } else { "" };
            Cue { id: id.into(), settings: settings.into(), text: lines(d).into() }.build().to_vec()
        }
        Codec::Tx3g => text::subrip_to_tx3g(&lines(d)).to_vec(),
        Codec::Ass => format!("{n},0,Default,,0,0,0,,{}", line(d)).into(),
        Codec::Json => format!("{{\"n\":{n}}}").into(),
        Codec::Id3 => {
            let n = n.min(16_000);
            join(&[b'I', b'D', b'3', 4, 0, 0, 0, 0, (n >> 7) as u8, n as u8 & 0x7f], fill(n))
        }
        Codec::Scte35 => SPLICE.to_vec(),
        Codec::Cea608 => join(&[0, 0, 0, 10, b'c', b'd', b'a', b't'], vec![0x94, 0x20]),
        _ => fill(n + 1),
    };
    debug_assert!(info.codec != Codec::Av1 || av1::is_key(&done) == key, "AV1 as it should be");
    done.into()
}
