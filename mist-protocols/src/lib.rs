//! Streaming protocols as sans-IO state machines.

pub mod rtmp;

use mist_core::registry::ProtocolDef;

/// Every protocol.
pub static PROTOCOLS: &[&ProtocolDef] = &[&rtmp::PROTOCOL];
