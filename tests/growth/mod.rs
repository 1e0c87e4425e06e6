//! What a longer input costs: work in proportion, never more, whatever an attacker makes it of.
//!
//! Counted in instructions by callgrind, which a busy machine does not change: the same input four times as long may take
//! at most six times the work, where a loop within a loop would take sixteen. `cases` holds the inputs.

mod cases;
mod heap;
mod memory;

use std::{fs, path::Path, process::Command};

use harness::run;

use self::cases::{Case, Work};

/// Times the small input that the large one is.
const LENGTH_FACTOR: usize = 4;

/// Work of the large input over that of the small one at the most: in proportion, and half as much again for what grows in
/// steps (a table that doubles).
const WORK_FACTOR_MAX: u64 = 6;

/// What callgrind counts, and where it writes down a count and begins a new one: the counts, in order, are those of the
/// cases' inputs, small and large.
const COUNTED: &str = "integration::growth::counted_work";
const WRITTEN_DOWN: &str = "integration::growth::counted_so_far";

#[inline(never)]
fn counted_work(work: Work) {
    work();
}

#[inline(never)]
fn counted_so_far() {
    std::hint::black_box(());
}

fn is_long() -> bool {
    std::env::var_os("HDRCAP_TEST_LONG").is_some()
}

fn small_len(case: &Case) -> usize {
    if is_long() { case.len * 4 } else { case.len }
}

/// Also what callgrind runs.
#[test]
fn every_input_is_taken() {
    for case in cases::all() {
        for len in [small_len(&case), small_len(&case) * LENGTH_FACTOR] {
            counted_work((case.prepare)(len));
            counted_so_far();
        }
    }
}

#[test]
fn work_grows_as_the_input_does() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=callgrind", "--quiet"])
        .arg(format!("--callgrind-out-file={}/out", folder.path().display()));
    command.arg(format!("--toggle-collect={COUNTED}")).arg(format!("--dump-before={WRITTEN_DOWN}"));
    command.arg(std::env::current_exe().unwrap()).args([
        "--exact",
        "growth::every_input_is_taken",
        "--test-threads=1",
    ]);
    run(&mut command);
    let cases = cases::all();
    let counts: Vec<u64> = (1..=cases.len() * 2).map(|part| total(folder.path(), part)).collect();
    let mut steep = Vec::new();
    for (case, counts) in cases.iter().zip(counts.chunks(2)) {
        let (small, large) = (counts[0], counts[1]);
        assert!(large > small_len(case) as u64, "{}: {large} instructions are no work", case.name);
        if large > small * WORK_FACTOR_MAX {
            steep.push(format!("{}: {small} instructions, then {large}", case.name));
        }
    }
    assert!(
        steep.is_empty(),
        "{LENGTH_FACTOR} times the input is more than {WORK_FACTOR_MAX} times the work:\n{}",
        steep.join("\n")
    );
}

/// Instructions in one of callgrind's parts.
fn total(folder: &Path, part: usize) -> u64 {
    let text = fs::read_to_string(folder.join(format!("out.{part}"))).unwrap();
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    total.and_then(|total| total.trim().parse().ok()).unwrap_or_else(|| panic!("part {part} has no totals"))
}
