#![cfg_attr(fuzzing, no_main)]

/// `MIST_FUZZ_FORMAT=MP4` keeps to one format, whatever the first byte of an input says.
#[cfg(fuzzing)]
static ONLY: std::sync::LazyLock<Option<u8>> = std::sync::LazyLock::new(|| {
    let id = std::env::var("MIST_FUZZ_FORMAT").ok()?;
    let at = mist_formats::FORMATS.iter().position(|f| f.id == id);
    Some(at.unwrap_or_else(|| panic!("there is no format {id}")) as u8)
});

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| match (*ONLY, data) {
    (Some(n), [_, rest @ ..]) => mist_fuzz::run("demux", &[&[n], rest].concat()),
    _ => mist_fuzz::run("demux", data),
});

#[cfg(not(fuzzing))]
fn main() {}
