//! The kept inputs, and inputs near them, through every target: what the fuzzer once found stays found.

use std::{fs, panic};

use bench::random::Random;
use harness::tree;

use super::ALL;

/// Inputs near each kept one.
const NEAR_COUNT: usize = 24;

fn long() -> usize {
    if std::env::var_os("HDRCAP_TEST_LONG").is_some() { 100 } else { 1 }
}

/// A kept input with some bytes changed, left out, or doubled.
fn near(input: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=random.below(4) {
        if bytes.is_empty() {
            break;
        }
        let at = random.below(bytes.len());
        let end = (at + 1 + random.below(8)).min(bytes.len());
        match random.below(4) {
            0 => bytes[at] = random.below(256) as u8,
            1 => bytes[at] ^= 1 << random.below(8),
            2 => drop(bytes.drain(at..end)),
            _ => {
                let doubled = bytes[at..end].to_vec();
                drop(bytes.splice(at..at, doubled));
            }
        }
    }
    bytes
}

#[test]
fn kept_inputs_and_those_near_them_break_no_promise() {
    let mut random = Random::new(6);
    for (name, run) in ALL {
        let folder = tree::root().join("tests/fuzz/corpus").join(name);
        let mut inputs: Vec<_> = fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("target {name} has no kept inputs: {error}"))
            .map(|entry| fs::read(entry.unwrap().path()).unwrap())
            .collect();
        inputs.push(Vec::new());
        assert!(inputs.len() > 1, "target {name} has no kept inputs");
        for input in &inputs {
            let nearby = (0..NEAR_COUNT * long()).map(|_| near(input, &mut random));
            for input in std::iter::once(input.clone()).chain(nearby) {
                let ended = panic::catch_unwind(|| run(&input));
                assert!(ended.is_ok(), "target {name} fails on \"{}\"", input.escape_ascii());
            }
        }
    }
}

#[test]
fn every_target_is_built_by_the_fuzzer() {
    let manifest = fs::read_to_string(tree::root().join("tests/fuzz/Cargo.toml")).unwrap();
    for (name, _) in ALL {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "tests/fuzz/Cargo.toml lacks {name}");
        let target = tree::root().join(format!("tests/fuzz/fuzz_targets/{name}.rs"));
        let text = fs::read_to_string(&target).unwrap_or_default();
        assert!(text.contains(&format!("targets::{name}::run")), "{} does not run it", target.display());
    }
}
