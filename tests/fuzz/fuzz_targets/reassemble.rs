//! libFuzzer's way into the target `reassemble`: see tests/targets.
#![no_main]

#[expect(dead_code, reason = "each target is a program of its own, with the others in it")]
#[path = "../../targets/mod.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::reassemble::run(input));
