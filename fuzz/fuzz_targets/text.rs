#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| mist_fuzz::run("text", data));

#[cfg(not(fuzzing))]
fn main() {}
