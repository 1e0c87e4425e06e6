//! Rows against the truth: seeded traffic whose every message is known, through the whole pipeline in this process.
//!
//! What no frame carried may be missing, and only that; what `excuses` names may be missing as well, as long as the
//! decision does not see it. Every failure says the seed that shows it again.

mod adversary;
mod excuses;
mod judge;
mod links;
pub(crate) mod pipeline;
pub(crate) mod rows;
mod weights;
mod workload;

use std::ops::Range;

/// Names the seeds to run in place of the usual ones: `COUNT`, or `FROM..TO`.
const SEEDS_VARIABLE: &str = "HDRCAP_TRUTH_SEEDS";

/// The seeds of a test: `usual` of them, or those that the environment asks for.
fn seeds(usual: u64) -> Range<u64> {
    let Some(asked) = std::env::var_os(SEEDS_VARIABLE) else { return 0..usual };
    let asked = asked.to_str().unwrap();
    let (from, to) = asked.split_once("..").unwrap_or(("0", asked));
    let number =
        |text: &str| text.parse().unwrap_or_else(|_| panic!("{SEEDS_VARIABLE} is COUNT or FROM..TO"));
    number(from)..number(to)
}
