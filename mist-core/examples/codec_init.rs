//! Says what codec initialisation data describes.
//!
//! ```text
//! cargo run -p mist-core --example codec_init -- AAC 1210
//! cargo run -p mist-core --example codec_init -- H264 0142c01effe1...
//! ```

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line example")]

use bytes::Bytes;
use mist_core::codec::{self, Codec, rfc6381};
use mist_core::media::{Params, TrackId, TrackInfo};
use std::process::ExitCode;

fn unhex(s: &str) -> Option<Bytes> {
    let digits: Vec<u8> = s
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16).map(|d| d as u8))
        .collect::<Option<_>>()?;
    digits.chunks(2).map(|p| if let [a, b] = p { Some(a << 4 | b) } else { None }).collect()
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (Some(codec), Some(init)) =
        (args.first().and_then(|s| Codec::from_name(s)), args.get(1).and_then(|s| unhex(s)))
    else {
        eprintln!("usage: codec_init CODEC HEX");
        return ExitCode::FAILURE;
    };
    let init = match codec::canonical_init(codec, init) {
        Ok(i) => i,
        Err(e) => {
            eprintln!("{}: {e}", codec.name());
            return ExitCode::FAILURE;
        }
    };
    let params = codec::params(codec, &init).unwrap_or(Params::Other);
    let track = TrackInfo::new(TrackId(1), codec, init, params);
    println!("{track:?}");
    if let Some(s) = rfc6381::codec_string(&track) {
        println!("{s}");
    }
    ExitCode::SUCCESS
}
