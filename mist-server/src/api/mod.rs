//! The API on port 4242 (manual 4.1).

pub mod auth;
mod facts;

pub use facts::{ActiveStream, Facts, StreamState};
