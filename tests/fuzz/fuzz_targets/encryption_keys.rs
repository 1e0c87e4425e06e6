//! libFuzzer's way into the target `encryption_keys`: see tests/targets.
#![no_main]

#[path = "../../targets/mod.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::encryption_keys::run(input));
