//! Containers: sans-IO demuxers and muxers.

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

pub mod ac3;
pub mod adts;
pub mod amf;
pub mod annexb;
pub mod dtsc;
pub mod flv;
mod frames;
pub mod mkv;
pub mod mp3;
pub mod mp4;
pub mod ogg;
pub mod text;
pub mod ts;
pub mod wav;

#[cfg(any(test, fuzzing, feature = "fuzzing"))]
pub mod fuzzing;

use mist_core::registry::FormatDef;

/// Every format, in the order of probing.
#[rustfmt::skip]
pub static FORMATS: &[&FormatDef] = &[
    &flv::FORMAT, &ts::FORMAT, &wav::FORMAT, &dtsc::FORMAT, &mkv::FORMAT, &mp4::FORMAT,
    &mp3::FORMAT, &adts::FORMAT, &ac3::FORMAT, &annexb::FORMAT,
    &text::SRT, &text::VTT, &ogg::FORMAT,
];
