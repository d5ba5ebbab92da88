//! Containers: sans-IO demuxers and muxers.

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

pub mod amf;
pub mod dtsc;
pub mod flv;
pub mod mkv;
pub mod mp4;
pub mod ogg;
pub mod ts;
pub mod wav;

#[cfg(any(test, fuzzing, feature = "fuzzing"))]
pub mod fuzzing;

use mist_core::registry::FormatDef;

/// Every format, in the order of probing.
pub static FORMATS: &[&FormatDef] = &[&flv::FORMAT, &ts::FORMAT, &wav::FORMAT, &dtsc::FORMAT, &ogg::FORMAT];
