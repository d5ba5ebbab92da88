//! Containers: sans-IO demuxers and muxers.

use mist_core::registry::FormatDef;

/// Every format, in the order of probing.
pub static FORMATS: &[&FormatDef] = &[];
