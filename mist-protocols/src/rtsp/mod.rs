//! RTSP (RFC 2326, RFC 7826): reading messages and the packets between them, and what of them describes media.
//!
//! [`message`] takes a stream of bytes apart; [`transport`] reads the headers `Transport` and `RTP-Info`; [`rtp_format`] turns a payload
//! format of a session description into what [`crate::rtp`] needs.

mod format;
#[cfg(any(test, fuzzing, feature = "fuzzing"))]
mod fuzz;
pub mod message;
pub mod transport;

pub use format::rtp_format;
#[cfg(any(test, fuzzing, feature = "fuzzing"))]
pub use fuzz::fuzz;

/// Limits on what a peer may send.
pub mod limits {
    /// Bytes of a message's head.
    pub const HEAD: usize = 64 << 10;
    /// Headers of a message.
    pub const HEADERS: usize = 256;
    /// Bytes of a message's body.
    pub const BODY: usize = 1 << 20;
    /// Parts of a header that is a list.
    pub const PARTS: usize = 64;
}
