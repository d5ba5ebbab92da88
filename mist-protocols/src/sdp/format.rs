//! Payload formats: `rtpmap` and `fmtp` (RFC 8866 §6.6 and §6.15), static payload types (RFC 3551 §6), and what the
//! parameters of each encoding mean (the RFC of its payload).

use super::{hex, limits};
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use mist_core::codec::aac::Asc;
use mist_core::codec::h264::Avcc;
use mist_core::codec::hevc::Hvcc;
use mist_core::codec::latm::Latm;
use mist_core::codec::opus::OpusHead;
use mist_core::codec::{Codec, CodecError, nal};

/// Cameras leave padding out, or put bits where none belong.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Payload type, encoding, clock and channels of RFC 3551's tables 4 and 5, as far as there is a use for them.
const STATIC: [(u8, &str, u32, u8); 10] = [
    (0, "PCMU", 8000, 1),
    (8, "PCMA", 8000, 1),
    (9, "G722", 8000, 1),
    (10, "L16", 44_100, 2),
    (11, "L16", 44_100, 1),
    (14, "MPA", 90_000, 0),
    (26, "JPEG", 90_000, 0),
    (32, "MPV", 90_000, 0),
    (33, "MP2T", 90_000, 0),
    (34, "H263", 90_000, 0),
];

/// A payload format: what a payload type of RTP stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Format {
    /// Payload type in RTP packets, below 128.
    pub payload_type: u8,
    /// Name of the encoding; empty where nothing tells it.
    pub encoding: String,
    /// Units of RTP timestamps a second, at least 1.
    pub clock: u32,
    /// Channels of sound; 0 where it isn't said.
    pub channels: u8,
    /// The parameters of `fmtp`, in order.
    pub parameters: Vec<(String, String)>,
}

impl Format {
    /// As it is without attributes.
    pub(super) fn of_type(payload_type: u8) -> Self {
        let known = STATIC.iter().find(|s| s.0 == payload_type);
        let (_, encoding, clock, channels) = known.copied().unwrap_or((payload_type, "", 90_000, 0));
        Self { payload_type, encoding: encoding.to_owned(), clock, channels, parameters: Vec::new() }
    }

    /// Takes what `rtpmap` says behind the payload type.
    pub(super) fn map(&mut self, text: &str) {
        let mut parts = text.split('/').map(str::trim);
        let Some(encoding) = parts.next().filter(|e| !e.is_empty()) else { return };
        encoding.clone_into(&mut self.encoding);
        if let Some(clock) = parts.next().and_then(|c| c.parse().ok()).filter(|c| *c > 0) {
            self.clock = clock;
        }
        let channels = parts.next().and_then(|c| c.parse().ok());
        // One channel is what nothing said means for sound.
        self.channels =
            channels.unwrap_or_else(|| u8::from(self.is(&["PCMU", "PCMA", "G722", "L16", "L24"])));
    }

    /// Takes what `fmtp` says behind the payload type.
    pub(super) fn parameters(&mut self, text: &str) {
        let pair = |p: &str| {
            let (name, value) = p.split_once('=').unwrap_or((p, ""));
            (name.trim().to_owned(), value.trim().to_owned())
        };
        self.parameters = text.split(';').map(pair).filter(|p| !p.0.is_empty()).collect();
    }

    /// Some cameras leave `rtpmap` out: their parameters tell.
    pub(super) fn guess(&mut self) {
        if !self.encoding.is_empty() {
            return;
        }
        const TELLING: [(&str, &str); 4] = [
            ("sprop-parameter-sets", "H264"),
            ("packetization-mode", "H264"),
            ("sprop-sps", "H265"),
            ("sizelength", "MPEG4-GENERIC"),
        ];
        if let Some((_, encoding)) = TELLING.iter().find(|t| self.parameter(t.0).is_some()) {
            (*encoding).clone_into(&mut self.encoding);
        }
        if let (Some(Codec::Aac), Ok(init)) = (self.codec(), self.init()) {
            self.clock = Asc::parse(&init).map_or(self.clock, |a| a.rate.max(1));
        }
    }

    /// A parameter, by its name in any case.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|p| p.0.eq_ignore_ascii_case(name)).map(|p| p.1.as_str())
    }

    /// The configuration of AAC in hexadecimal digits; some put it in quotes.
    pub fn config(&self) -> Option<&str> {
        self.parameter("config").map(|c| c.trim_matches('"'))
    }

    /// A parameter that is a number.
    pub fn number(&self, name: &str) -> Option<u32> {
        self.parameter(name)?.parse().ok()
    }

    /// Whether the encoding is one of these, in any case.
    pub fn is(&self, names: &[&str]) -> bool {
        names.iter().any(|n| n.eq_ignore_ascii_case(&self.encoding))
    }

    /// What it carries; `None` for encodings without a codec here. MPEG audio is [`Codec::Mp3`] until its frames tell.
    pub fn codec(&self) -> Option<Codec> {
        const CODECS: [(&str, Codec); 15] = [
            ("H264", Codec::H264),
            ("H265", Codec::Hevc),
            ("HEVC", Codec::Hevc),
            ("VP8", Codec::Vp8),
            ("VP9", Codec::Vp9),
            ("MPEG4-GENERIC", Codec::Aac),
            ("MP4A-LATM", Codec::Aac),
            ("MPA", Codec::Mp3),
            ("AC3", Codec::Ac3),
            ("EAC3", Codec::Eac3),
            ("OPUS", Codec::Opus),
            ("PCMU", Codec::Ulaw),
            ("PCMA", Codec::Alaw),
            ("L16", Codec::Pcm),
            ("L24", Codec::Pcm),
        ];
        CODECS.iter().find(|c| self.is(&[c.0])).map(|c| c.1)
    }

    /// Bits a sample of uncompressed sound, 16 for others.
    pub fn bits(&self) -> u16 {
        match self.codec() {
            Some(Codec::Alaw | Codec::Ulaw) => 8,
            _ if self.is(&["L24"]) => 24,
            _ => 16,
        }
    }

    /// Initialisation data in canonical form; empty where the description has none, because it comes with the media or
    /// the codec needs none.
    ///
    /// # Errors
    /// What is there can't be read.
    pub fn init(&self) -> Result<Bytes, CodecError> {
        match self.codec() {
            Some(Codec::H264) => {
                let sets = self.sets(&["sprop-parameter-sets"])?;
                if sets.is_empty() {
                    return Ok(Bytes::new());
                }
                Ok(Avcc::from_nals(sets.iter().map(|s| &s[..]))?.build())
            }
            Some(Codec::Hevc) => {
                let sets = self.sets(&["sprop-vps", "sprop-sps", "sprop-pps"])?;
                if sets.is_empty() {
                    return Ok(Bytes::new());
                }
                Ok(Hvcc::from_nals(sets.iter().map(|s| &s[..]))?.build())
            }
            Some(Codec::Aac) if self.is(&["MP4A-LATM"]) => match self.config() {
                Some(c) => Ok(Latm::configured(&hex(c)?)?.init().cloned().unwrap_or_default()),
                None => Ok(Bytes::new()),
            },
            Some(Codec::Aac) => match self.config().filter(|c| !c.is_empty()) {
                Some(c) => {
                    let config = hex(c)?;
                    Asc::parse(&config)?;
                    Ok(config.into())
                }
                None => Ok(Bytes::new()),
            },
            // Every Opus says two channels in its map (RFC 7587 §7); what it is likely to have is here.
            Some(Codec::Opus) => match self.number("sprop-stereo") {
                Some(stereo) => Ok(OpusHead::new(if stereo == 1 { 2 } else { 1 }, 0)?.build()),
                None => Ok(Bytes::new()),
            },
            _ => Ok(Bytes::new()),
        }
    }

    /// NAL units of parameters in base64, separated by commas.
    fn sets(&self, names: &[&str]) -> Result<Vec<Vec<u8>>, CodecError> {
        let mut out = Vec::new();
        for text in names.iter().filter_map(|n| self.parameter(n)) {
            if text.len() > limits::INIT {
                return Err(CodecError::limit("initialisation data in SDP"));
            }
            for set in text.split(',').map(str::trim).filter(|s| !s.is_empty()) {
                let bytes = BASE64.decode(set).map_err(|_| CodecError::malformed("base64 in SDP"))?;
                // Some cameras put start codes in front.
                if nal::starts_with_code(&bytes) {
                    out.extend(nal::annex_b(&bytes).map(<[u8]>::to_vec));
                } else {
                    out.push(bytes);
                }
            }
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(map: &str, parameters: &str) -> Format {
        let mut f = Format::of_type(96);
        f.map(map);
        f.parameters(parameters);
        f
    }

    #[test]
    fn initialisation_data_of_every_kind() {
        let f = format("MPEG4-GENERIC/48000/2", "profile-level-id=1;Config=119056E500;sizelength=13; ");
        assert_eq!(f.init().unwrap()[..], [0x11, 0x90, 0x56, 0xe5, 0]);
        assert_eq!((f.number("SizeLength"), f.channels, f.clock), (Some(13), 2, 48_000));
        let f = format("MP4A-LATM/44100/2", "cpresent=0;config=400024203fc0");
        assert_eq!(f.init().unwrap()[..2], [0x12, 0x10]);
        let quoted = format("MP4A-LATM/44100/2", "cpresent=0;config=\"400024203fc0\"");
        assert_eq!((quoted.init(), quoted.config()), (f.init(), f.config()));
        let f = format("opus/48000/2", "sprop-stereo=0");
        assert_eq!(f.init().unwrap()[9], 1);
        assert!(format("opus/48000/2", "").init().unwrap().is_empty());
        let plain = format("H264/90000", "sprop-parameter-sets=Z2QAM6zoAoALWQ==,aO48MA").init().unwrap();
        let codes =
            format("h264/90000", "sprop-parameter-sets=AAAAAWdkADOs6AKAC1kAAAABaO48MA==").init().unwrap();
        assert_eq!(plain, codes);
        assert!(format("H264/90000", "sprop-parameter-sets=%%%").init().is_err());
        assert!(format("H264/90000", "sprop-parameter-sets=aO48MA==").init().is_err());
        assert!(format("MPEG4-GENERIC/1", "config=1").init().is_err());
        assert!(
            format("MPEG4-GENERIC/1", &format!("config={}", "0".repeat(limits::INIT + 1))).init().is_err()
        );
        let f = format("L24/96000", "");
        assert_eq!((f.codec(), f.bits(), f.channels), (Some(Codec::Pcm), 24, 1));
        assert_eq!(format("X-unknown/0/9", "").codec(), None);
    }
}
