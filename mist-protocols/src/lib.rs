//! Streaming protocols as sans-IO state machines.

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

pub mod hls;
pub mod progressive;
pub mod rtmp;
pub mod rtp;
pub mod rtsp;
pub mod sdp;

use mist_core::registry::ProtocolDef;

/// Every protocol.
pub static PROTOCOLS: &[&ProtocolDef] = &[&hls::PROTOCOL, &rtmp::PROTOCOL];
