//! Latencies: recorded by the thread they happen in, into a histogram of its own, and merged where others look.
//!
//! The owner merges at batch boundaries and ticks, and never waits: where a reader is in between, the next merge takes
//! what this one left. Invariant: what was recorded is merged once.

use std::sync::{Arc, Mutex, PoisonError, TryLockError};

use hdrhistogram::Histogram;

/// Longest latency that is told apart, in microseconds; longer ones count as this.
const MICROS_MAX: u64 = 600_000_000;

/// Digits that are kept of each value: one percent is finer than any decision made on it.
const DIGITS: u8 = 2;

/// Upper bounds of what is told in buckets, in microseconds.
pub const BOUNDS_MICROS: [u64; 19] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000, 30_000_000, 60_000_000,
];

/// Counts by bucket: one for each of `BOUNDS_MICROS` and one for what is longer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Buckets {
    /// Values of each bucket.
    pub counts: [u64; BOUNDS_MICROS.len() + 1],
    /// All values together, in seconds.
    pub seconds: f64,
}

impl Buckets {
    /// Adds what another thread recorded.
    pub fn add(&mut self, other: &Buckets) {
        self.counts.iter_mut().zip(other.counts).for_each(|(sum, count)| *sum += count);
        self.seconds += other.seconds;
    }

    /// Values of all buckets.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// Where a thread's latencies are merged for others to read.
#[derive(Clone, Debug)]
pub struct Merged(Arc<Mutex<Histogram<u64>>>);

impl Default for Merged {
    fn default() -> Self {
        Merged(Arc::new(Mutex::new(empty())))
    }
}

impl Merged {
    /// What was merged so far.
    pub fn read(&self) -> Buckets {
        let merged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut buckets = Buckets::default();
        for value in merged.iter_recorded() {
            let micros = merged.median_equivalent(value.value_iterated_to());
            let place = BOUNDS_MICROS.partition_point(|bound| *bound < micros);
            buckets.counts[place] += value.count_at_value();
            buckets.seconds += micros as f64 * value.count_at_value() as f64 / 1e6;
        }
        buckets
    }
}

/// Latencies of one thread.
#[derive(Debug)]
pub struct Latencies {
    own: Histogram<u64>,
    merged: Merged,
}

impl Latencies {
    /// A recorder that merges into `merged`.
    pub fn new(merged: Merged) -> Self {
        Latencies { own: empty(), merged }
    }

    /// Records one latency `count` times.
    pub fn record(&mut self, micros: u64, count: u64) {
        self.own.saturating_record_n(micros, count);
    }

    /// Shows others what was recorded, unless one of them is just looking.
    pub fn merge(&mut self) {
        if self.own.is_empty() {
            return;
        }
        let mut merged = match self.merged.0.try_lock() {
            Ok(merged) => merged,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        merged.add(&self.own).expect("histograms of one size");
        self.own.reset();
    }
}

fn empty() -> Histogram<u64> {
    Histogram::new_with_bounds(1, MICROS_MAX, DIGITS).expect("constant bounds that fit each other")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_recorded_is_merged_once() {
        let merged = Merged::default();
        let mut latencies = Latencies::new(merged.clone());
        latencies.record(70, 3);
        latencies.record(2_000_000, 1);
        latencies.record(u64::MAX, 1);
        let reading = merged.0.lock().unwrap();
        latencies.merge();
        drop(reading);
        assert_eq!(merged.read().count(), 0, "a reader is not waited for");
        latencies.merge();
        latencies.merge();
        let buckets = merged.read();
        assert_eq!(buckets.count(), 5);
        let place = |micros: u64| BOUNDS_MICROS.iter().position(|bound| *bound == micros).unwrap();
        assert_eq!(buckets.counts[place(100)], 3);
        assert_eq!(buckets.counts[place(2_500_000)], 1);
        assert_eq!(buckets.counts[BOUNDS_MICROS.len()], 1, "longer than the last bound");
        assert!((buckets.seconds - 602.0).abs() < 6.1, "{}", buckets.seconds);
    }

    #[test]
    fn zero_is_in_the_first_bucket() {
        let mut latencies = Latencies::new(Merged::default());
        latencies.record(0, 2);
        latencies.merge();
        assert_eq!(latencies.merged.read().counts[0], 2);
    }
}
