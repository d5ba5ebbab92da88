#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| mist_fuzz::run("rtmp", data));

#[cfg(not(fuzzing))]
fn main() {}
