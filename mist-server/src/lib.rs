//! The mist media server as a library: policy and I/O around the sans-IO crates.
