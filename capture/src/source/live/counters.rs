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

/// What was counted on one interface.
#[derive(Clone, Debug, Default)]
pub struct Counted {
    /// On all CPUs together.
    pub sum: Counters,
    /// Frames by CPU.
    pub frames_by_cpu: Vec<u64>,
}

/// Counters of the first `count` interface slots.
pub fn read(loaded: &Loaded, count: u32) -> Result<Vec<Counted>, LoadError> {
    let map = loaded.counters()?;
    (0..count)
        .map(|slot| {
            let per_cpu = map
                .get(&slot, 0)
                .map_err(|error| LoadError::Kernel { action: "read the counters", source: error.into() })?;
            let mut counted = Counted::default();
            for CountersValue(part) in per_cpu.iter() {
                counted.sum.add(part);
                counted.frames_by_cpu.push(part.frames_total());
            }
            Ok(counted)
        })
        .collect()
}
