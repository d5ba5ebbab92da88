//! Session descriptions: RFC 8866 (SDP), as RTSP carries them (RFC 2326 appendix C, RFC 7826 appendix D).
//!
//! What is read: sections, their payload formats with `rtpmap` and `fmtp`, `control`, `range`, `framerate` and directions.
//! From a payload format come codec, clock, channels and initialisation data in canonical form ([`Format`]): static payload
//! types of RFC 3551 too, which need no `rtpmap`.
//!
//! Cameras are taken as they are: lines that end in LF alone, NULs at the end, blanks around values, attributes in any order
//! and twice, user names with blanks, payload types that are none, no `rtpmap` where the parameters tell. Lines that say nothing readable are passed over; only what
//! isn't SDP at all, or too much of it, is an error.
//!
//! Left out: offers and answers, ICE, encryption, times, time zones and bandwidths.

mod format;
mod parse;

pub use format::Format;
pub use parse::parse;

use mist_core::codec::CodecError;

/// Limits on what a description may hold.
pub mod limits {
    /// Bytes of a description.
    pub const BYTES: usize = 1 << 20;
    /// Sections.
    pub const SECTIONS: usize = 64;
    /// Payload formats of a section.
    pub const FORMATS: usize = 32;
    /// Bytes of initialisation data in text.
    pub const INIT: usize = 64 << 10;
}

/// Why a description can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("SDP byte {offset}: {what}")]
pub struct SdpError {
    /// Byte of the description.
    pub offset: usize,
    /// The broken rule.
    pub what: &'static str,
}

/// A session description.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Description {
    /// Name of the session (`s=`).
    pub name: String,
    /// URL to control all sections together (`a=control`), where it is more than `*`.
    pub control: Option<String>,
    /// What can be played (`a=range`), as it is.
    pub range: Option<String>,
    /// Its sections.
    pub sections: Vec<Section>,
}

/// One medium of a description: an `m=` line and what follows it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Section {
    /// `audio`, `video`, `application` and so on.
    pub media: String,
    /// Port; 0 where the peers agree on one later.
    pub port: u16,
    /// Transport protocol, such as `RTP/AVP`.
    pub protocol: String,
    /// Payload formats, preferred ones first.
    pub formats: Vec<Format>,
    /// URL that controls it, relative to that of the session.
    pub control: Option<String>,
    /// Pictures a second (`a=framerate`), times 1000; 0 where unknown.
    pub fpks: u32,
    /// Who sends.
    pub direction: Direction,
}

impl Section {
    /// The format of a payload type.
    pub fn format(&self, payload_type: u8) -> Option<&Format> {
        self.formats.iter().find(|f| f.payload_type == payload_type)
    }
}

/// Who sends, as the one who wrote the description sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// Both, which is what nothing said means.
    #[default]
    Both,
    /// The writer only sends.
    SendOnly,
    /// The writer only receives; cameras say it of what the other side may do.
    ReceiveOnly,
    /// Nobody.
    Inactive,
}

/// Bytes written in hexadecimal digits.
pub(crate) fn hex(text: &str) -> Result<Vec<u8>, CodecError> {
    const WRONG: CodecError = CodecError::malformed("hexadecimal in SDP");
    if text.len() > limits::INIT {
        return Err(CodecError::limit("initialisation data in SDP"));
    }
    let digit = |b: &u8| char::from(*b).to_digit(16).ok_or(WRONG);
    let pair = |p: &[u8]| match p {
        [a, b] => Ok((digit(a)? << 4 | digit(b)?) as u8),
        _ => Err(WRONG),
    };
    text.as_bytes().chunks(2).map(pair).collect()
}

/// Any bytes as a description.
#[cfg(any(test, fuzzing, feature = "fuzzing"))]
pub fn fuzz(data: &[u8]) {
    if let Ok(d) = parse(data) {
        assert!(d.sections.len() <= limits::SECTIONS);
        for f in d.sections.iter().flat_map(|s| &s.formats) {
            let init = f.init().map_or(0, |i| i.len());
            assert!(init <= 64 + 2 * data.len(), "more than was there");
        }
    }
}
