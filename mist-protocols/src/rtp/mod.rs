//! Receiving media over RTP (RFC 3550): packets in, the canonical payload of [`mist_core::codec`] out.
//!
//! A [`Receiver`] reads one track: it puts packets in order ([`order`]), finds what is lost, takes the payload out as the RFC of
//! its encoding says, gives it times on the [`Timeline`] that the tracks of a session share, and describes the track.
//! [`rtcp`] reads the reports beside it.
//!
//! | payload | standard | left out |
//! |---|---|---|
//! | H.264 | RFC 6184, single NAL unit and non-interleaved mode | interleaved mode (STAP-B, MTAP, FU-B) |
//! | HEVC | RFC 7798 | decoding order numbers (DONL), several streams |
//! | AAC | RFC 3640, RFC 6416 (LATM) | interleaving |
//! | MPEG audio | RFC 2250 | |
//! | AC-3, E-AC-3 | RFC 4184, RFC 4598 | |
//! | Opus | RFC 7587 | |
//! | G.711, L16, L24 | RFC 3551, RFC 3190 | |
//! | VP8, VP9 | RFC 7741, RFC 9628 | taking layers apart |
//!
//! RTP has presentation times only: those of decoding are derived by [`mist_core::reorder`]. Tracks are aligned when they begin,
//! by RTP-Info or by a sender report that came before; later reports don't move times that were already given.

mod frames;
mod h264;
mod hevc;
mod mpeg4;
pub mod order;
pub mod packet;
mod receiver;
pub mod rtcp;
mod timeline;
mod units;
mod vpx;
mod whole;

pub use receiver::{Received, Receiver};
pub use timeline::Timeline;

use bytes::Bytes;
use mist_core::codec::{Codec, CodecError};
use mist_core::media::Params;

/// Limits on what a sender can make a receiver do.
pub mod limits {
    /// Packets that are held for one that is missing.
    pub const REORDER: usize = 64;
    /// Sequence numbers behind that are late or double packets rather than a new start.
    pub const MISORDER: u16 = 100;
    /// Sequence numbers ahead that are a hole rather than a new start.
    pub const DROPOUT: u16 = 3000;
    /// Bytes of an access unit or frame.
    pub const UNIT: usize = 8 << 20;
    /// Frames in a packet.
    pub const FRAMES: usize = 256;
    /// Packets of a compound RTCP packet that are looked at.
    pub const REPORTS: usize = 64;
}

/// How the payload of a track is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    /// RFC 6184.
    H264,
    /// RFC 7798.
    Hevc,
    /// RFC 3640.
    Mpeg4(AuHeaders),
    /// RFC 6416: AudioMuxElements, with their configuration inside (cpresent 1) or only in the description.
    Latm {
        /// The configuration is in the stream.
        in_band: bool,
    },
    /// RFC 2250.
    MpegAudio,
    /// RFC 4184.
    Ac3,
    /// RFC 4598.
    Eac3,
    /// A packet is a frame, or any number of samples.
    Whole,
    /// RFC 7741.
    Vp8,
    /// RFC 9628.
    Vp9,
}

/// Bits of the fields in an AU header (RFC 3640 §3.2.1 and §4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AuHeaders {
    /// sizeLength.
    pub size: u8,
    /// indexLength.
    pub index: u8,
    /// indexDeltaLength.
    pub index_delta: u8,
    /// CTSDeltaLength.
    pub cts_delta: u8,
    /// DTSDeltaLength.
    pub dts_delta: u8,
    /// randomAccessIndication.
    pub random_access: bool,
    /// streamStateIndication.
    pub stream_state: u8,
    /// auxiliaryDataSizeLength.
    pub auxiliary: u8,
    /// constantSize in bytes, where every access unit has the same.
    pub constant_size: Option<u32>,
}

impl AuHeaders {
    /// Whether there are headers at all.
    const fn any(&self) -> bool {
        self.size > 0
            || self.index > 0
            || self.index_delta > 0
            || self.cts_delta > 0
            || self.dts_delta > 0
            || self.random_access
            || self.stream_state > 0
    }
}

/// What a session description says of a track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    /// Payload type of its packets; others are passed over.
    pub payload_type: u8,
    /// Codec. MPEG audio is [`Codec::Mp3`] until its frames tell the layer.
    pub codec: Codec,
    /// How it is packed.
    pub payload: Payload,
    /// Units of its timestamps a second, at least 1.
    pub clock: u32,
    /// Initialisation data in canonical form; empty where it comes with the media or isn't needed.
    pub init: Bytes,
    /// Configuration of LATM as the description gives it (StreamMuxConfig).
    pub latm: Option<Bytes>,
    /// Size, rates and channels, as far as the description tells and the media doesn't.
    pub params: Params,
}

/// Why a packet can't be read. The track goes on with the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("byte {offset}: RTP packet{}: {error}", SequenceText(*sequence))]
pub struct RtpError {
    /// Where the packet lies in its source, as it was given.
    pub offset: u64,
    /// Its sequence number, where it has one.
    pub sequence: Option<u16>,
    /// The broken rule.
    pub error: CodecError,
}

struct SequenceText(Option<u16>);

impl std::fmt::Display for SequenceText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.map_or(Ok(()), |s| write!(f, " {s}"))
    }
}

/// What a payload was taken apart into.
#[derive(Debug, Default)]
struct Out {
    /// Timestamps without wrap, and frames.
    frames: Vec<(i64, Bytes)>,
    /// Initialisation data that came with the media and holds from the frames on.
    init: Option<Bytes>,
}

impl Out {
    fn frame(&mut self, time: i64, data: Bytes) {
        if !data.is_empty() {
            self.frames.push((time, data));
        }
    }
}

/// A packet's payload, with what matters of its head.
#[derive(Debug, Clone, Copy)]
struct Piece<'a> {
    payload: &'a Bytes,
    marker: bool,
    /// Timestamp without wrap.
    time: i64,
    /// There were packets before it that didn't come.
    lost: bool,
}

/// Takes frames out of payloads, given in order.
trait Depacketize: Send + std::fmt::Debug {
    /// Takes one.
    ///
    /// # Errors
    /// The payload breaks its RFC; what it belongs to is dropped.
    fn push(&mut self, piece: Piece<'_>, out: &mut Out) -> Result<(), CodecError>;

    /// Nothing follows.
    fn end(&mut self, _out: &mut Out) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Drives a depacketizer.
    pub(super) struct Run {
        inner: Box<dyn Depacketize>,
        lost: bool,
        out: Out,
    }

    impl Run {
        pub(super) fn new(inner: impl Depacketize + 'static) -> Self {
            Self { inner: Box::new(inner), lost: false, out: Out::default() }
        }

        /// The next packet comes behind a hole.
        pub(super) fn lost(&mut self) -> &mut Self {
            self.lost = true;
            self
        }

        pub(super) fn push(&mut self, payload: &[u8], marker: bool, time: i64) -> Result<(), CodecError> {
            let lost = std::mem::take(&mut self.lost);
            let payload = &Bytes::copy_from_slice(payload);
            self.inner.push(Piece { payload, marker, time, lost }, &mut self.out)
        }

        pub(super) fn end(&mut self) {
            self.inner.end(&mut self.out);
        }

        pub(super) fn take(&mut self) -> Vec<(i64, Vec<u8>)> {
            self.out.frames.drain(..).map(|(t, d)| (t, d.to_vec())).collect()
        }

        pub(super) fn init(&mut self) -> Option<Bytes> {
            self.out.init.take()
        }
    }
}
