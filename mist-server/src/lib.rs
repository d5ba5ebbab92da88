//! The mist media server as a library: policy and I/O around the sans-IO crates.

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

pub mod api;
pub mod args;
pub mod config;
pub mod drive;
pub mod gate;
pub mod http;
pub mod log;
pub mod registry;
pub mod server;
pub mod session;
pub mod shared;
pub mod stream;
pub mod system;
