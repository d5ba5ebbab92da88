//! The media model, codec knowledge, the live buffer and the traits that containers and protocols implement.
//!
//! Everything here is sans-IO: bytes, time, randomness and decisions are arguments. No sockets, files, clocks,
//! threads or locks. Whoever adds those — a server, a tool, a test with virtual time — drives the state
//! machines.

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

pub mod bits;
pub mod buffer;
pub mod codec;
pub mod findings;
pub mod format;
pub mod gather;
pub mod http;
pub mod lang;
pub mod layout;
pub mod media;
pub mod name;
pub mod queue;
pub mod registry;
pub mod reorder;
pub mod select;
pub mod session;
pub mod time;
pub mod url;
