//! Reads what the kernel half counted: per interface, summed over the CPUs.

use super::load::{LoadError, Loaded};
use aya::Pod;
use common::counters::Counters;

/// `Counters` as a map value.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(super) struct CountersValue(Counters);

// SAFETY: `Counters` is `repr(C)`, made of integers of one size.
unsafe impl Pod for CountersValue {}

/// Counters of the first `count` interface slots.
pub fn read(loaded: &Loaded, count: u32) -> Result<Vec<Counters>, LoadError> {
    let map = loaded.counters()?;
    (0..count)
        .map(|slot| {
            let per_cpu = map
                .get(&slot, 0)
                .map_err(|error| LoadError::Kernel { action: "read the counters", source: error.into() })?;
            let mut sum = Counters::default();
            per_cpu.iter().for_each(|CountersValue(part)| sum.add(part));
            Ok(sum)
        })
        .collect()
}
