//! Connections that try to break reassembly and pairing: whatever is cut, late, doubled or lost, rows tell the truth.

use std::collections::BTreeMap;

use bench::adversary::{self, Knobs};

use super::{
    judge::{Findings, Promise, judge},
    pipeline::{Rings, run},
    seeds,
};

/// Failures of a rule that are shown.
const FAILURES_SHOWN_MAX: usize = 3;

fn findings(seed: u64, knobs: &Knobs, promise: Promise, rings: Rings) -> Findings {
    let capture = adversary::generate(seed, knobs);
    let outcome = run(capture.frames.iter().cloned(), rings);
    judge(&capture, &outcome, promise)
}

/// Judges every seed; what was seen comes back, so that the test can tell that it saw something.
fn prove(usual: u64, knobs: &Knobs, promise: Promise, rings: impl Fn(u64) -> Rings) -> BTreeMap<String, u64> {
    let mut seen = BTreeMap::new();
    let mut broken: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
    for seed in seeds(usual) {
        let findings = findings(seed, knobs, promise, rings(seed));
        for (name, count) in findings.seen {
            *seen.entry(name).or_default() += count;
        }
        for (rule, what) in findings.wrong {
            broken.entry(rule).or_default().push(format!("seed {seed}: {what}"));
        }
    }
    println!("{seen:#?}");
    let shown = broken.iter().map(|(rule, cases)| {
        let first = cases[..cases.len().min(FAILURES_SHOWN_MAX)].join("\n    ");
        format!("broken {} times: {rule}\n    {first}\n", cases.len())
    });
    assert!(broken.is_empty(), "\n{}", shown.collect::<String>());
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

#[test]
fn explore() {
    let base = Knobs::wild();
    let cases = [
        ("wild", base.clone()),
        ("honest", Knobs { lying_body: 0.0, ..base.clone() }),
        (
            "honest nomid",
            Knobs { lying_body: 0.0, coalesce: 0.0, overlap: 0.0, tiny_segments: 0.0, ..base.clone() },
        ),
        (
            "honest nomid notunnel",
            Knobs {
                lying_body: 0.0,
                coalesce: 0.0,
                overlap: 0.0,
                tiny_segments: 0.0,
                tunnel: 0.0,
                ..base.clone()
            },
        ),
        (
            "h nomid notun noreuse",
            Knobs {
                lying_body: 0.0,
                coalesce: 0.0,
                overlap: 0.0,
                tiny_segments: 0.0,
                tunnel: 0.0,
                reuse_tuple: 0.0,
                ..base.clone()
            },
        ),
        (
            "in order",
            Knobs {
                lying_body: 0.0,
                coalesce: 0.0,
                overlap: 0.0,
                tiny_segments: 0.0,
                tunnel: 0.0,
                reuse_tuple: 0.0,
                reorder: 0.0,
                reorder_distance_max: 1,
                retransmit_lost: 0.0,
                ..base.clone()
            },
        ),
        (
            "lossy",
            Knobs {
                lying_body: 0.0,
                coalesce: 0.0,
                overlap: 0.0,
                tiny_segments: 0.0,
                tunnel: 0.0,
                reuse_tuple: 0.0,
                ..Knobs::lossy(0.05)
            },
        ),
    ];
    for (name, knobs) in cases {
        let mut broken: BTreeMap<&str, Vec<(usize, String)>> = BTreeMap::new();
        let promise = if name == "lossy" { Promise::SomethingLost } else { Promise::NothingLost };
        for seed in seeds(300) {
            let frames = adversary::generate(seed, &knobs).frames.len();
            for (rule, what) in findings(seed, &knobs, promise, Rings::One).wrong {
                broken.entry(rule).or_default().push((frames, format!("seed {seed}: {what}")));
            }
        }
        println!("== {name}");
        for (rule, mut cases) in broken {
            cases.sort();
            println!("{} {rule}\n     {}\n     {}", cases.len(), cases[0].1, cases[cases.len().min(2) - 1].1);
        }
    }
}
