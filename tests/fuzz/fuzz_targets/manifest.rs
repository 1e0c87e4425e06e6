//! libFuzzer's way into the target `manifest`: see tests/targets.
#![no_main]

#[path = "../../targets/mod.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::manifest::run(input));
