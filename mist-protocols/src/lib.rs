//! Streaming protocols as sans-IO state machines.

use mist_core::registry::ProtocolDef;

/// Every protocol.
pub static PROTOCOLS: &[&ProtocolDef] = &[];
