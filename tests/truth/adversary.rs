//! Connections that try to break reassembly and pairing: whatever is cut, late, doubled or lost, rows tell the truth.

use std::collections::BTreeMap;

use bench::adversary::{self, Knobs};

use super::{
    judge::{Findings, Promise, judge},
    pipeline::{Rings, run},
    seeds,
};

/// Failures shown of one test.
const FAILURES_SHOWN_MAX: usize = 5;

fn findings(seed: u64, knobs: &Knobs, promise: Promise, rings: Rings) -> Findings {
    let capture = adversary::generate(seed, knobs);
    let outcome = run(capture.frames.iter().cloned(), rings);
    judge(&capture, &outcome, promise)
}

/// Judges every seed; what was seen comes back, so that the test can tell that it saw something.
fn prove(usual: u64, knobs: &Knobs, promise: Promise, rings: impl Fn(u64) -> Rings) -> BTreeMap<String, u64> {
    let mut seen = BTreeMap::new();
    let mut failures = Vec::new();
    let mut failed = 0;
    for seed in seeds(usual) {
        let findings = findings(seed, knobs, promise, rings(seed));
        for (name, count) in findings.seen {
            *seen.entry(name).or_default() += count;
        }
        failed += usize::from(!findings.wrong.is_empty());
        if let Some(first) = findings.wrong.first().filter(|_| failures.len() < FAILURES_SHOWN_MAX) {
            failures.push(format!("seed {seed}: {first} (and {} more)", findings.wrong.len() - 1));
        }
    }
    println!("{seen:#?}");
    assert!(failed == 0, "{failed} seeds of {:?} fail:\n{}", seeds(usual), failures.join("\n"));
    seen
}

#[test]
fn polite_traffic_is_told_exactly() {
    prove(300, &Knobs::default(), Promise::Everything, |_| Rings::One);
}

#[test]
fn whatever_senders_do_nothing_is_missing() {
    prove(1_000, &Knobs::wild(), Promise::NothingLost, |_| Rings::One);
}

#[test]
fn under_loss_nothing_is_wrong() {
    for lose in [0.001, 0.01, 0.05, 0.2] {
        prove(400, &Knobs::lossy(lose), Promise::SomethingLost, |_| Rings::One);
    }
}

#[test]
fn directions_in_rings_of_their_own_still_meet() {
    prove(300, &Knobs::default(), Promise::NothingLost, Rings::PerDirection);
}

#[test]
fn wild_directions_in_rings_of_their_own_still_meet() {
    prove(300, &Knobs::wild(), Promise::NothingLost, Rings::PerDirection);
}
