//! The loop of a collector core: ring to collector, burst by burst, until the source is closed and the ring is empty.
//!
//! Owns the clock of the core: it is read once per burst. Invariant: nothing is slept away while records wait.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use super::{affinity::Affinity, clock, ring::Ring, steering::Post};
use crate::{collector::Collector, source::RecordSink};
use common::record::Record;

/// Records taken between two looks at the clock and two publications of the counts.
const BURST_RECORDS_MAX: usize = 512;

/// The shortest and the longest rest of a core with nothing to do. The kernel half does not wake a collector, which
/// saves it an interrupt per record; a ring of default size takes longer than the longest rest to fill at 100 Gbit/s.
const REST_MIN: Duration = Duration::from_micros(50);
const REST_MAX: Duration = Duration::from_millis(2);

/// Records that a rest is to bring: what waking up costs is shared by them, and they are a small part of a ring.
const REST_RECORDS: usize = 128;

/// Records brought by a rest that was not too long, at the most.
const FOUND_MANY: usize = 2 * REST_RECORDS;

/// Feeds a collector from a ring until `closed` is set, then until the ring is empty; ends the collector. The thread is the
/// one that was pinned, if it could be.
pub fn pump(
    (mut ring, post): (Ring, &Post),
    mut collector: Collector,
    mut affinity: Option<Affinity>,
    closed: &AtomicBool,
) {
    let mut rest = REST_MIN;
    let mut found = 0;
    let mut invalid = 0;
    let mut rested = false;
    loop {
        // Read before the ring: records written before the close are then seen by this very pass.
        let is_closed = closed.load(Ordering::Acquire);
        let now = clock::now();
        collector.begin_burst(now, rested);
        let fill_bytes = ring.fill_bytes();
        collector.note_ring_fill(fill_bytes);
        if let Some(affinity) = &mut affinity
            && affinity.follow(fill_bytes, ring.capacity_bytes(), now.monotonic_ns)
        {
            collector.count_unpinned();
        }
        let mut checked = Checked { collector: &mut collector, post, astray: 0 };
        let taken = ring.drain(BURST_RECORDS_MAX, &mut checked);
        let astray = checked.astray;
        collector.count_misdirected(astray);
        collector.count_invalid(ring.invalid_records() - invalid);
        invalid = ring.invalid_records();
        rested = taken == 0;
        found += taken;
        if taken > 0 {
            collector.publish();
            continue;
        }
        if is_closed {
            break;
        }
        collector.pass_time(now.monotonic_ns);
        collector.publish();
        rest = next_rest(rest, std::mem::take(&mut found));
        std::thread::sleep(rest);
    }
    collector.finish();
}

/// How long to rest after a rest that brought `found` records: such that the next one brings about `REST_RECORDS`.
fn next_rest(rest: Duration, found: usize) -> Duration {
    match found {
        0..REST_RECORDS => (rest * 2).min(REST_MAX),
        REST_RECORDS..=FOUND_MANY => rest,
        _ => (rest / 2).max(REST_MIN),
    }
}

/// A collector, and how many records of a burst should have gone to another one.
struct Checked<'a> {
    collector: &'a mut Collector,
    post: &'a Post,
    astray: u64,
}

impl RecordSink for Checked<'_> {
    fn record(&mut self, record: &Record, bytes: &[u8]) {
        self.astray += u64::from(!self.post.is_mine(record));
        self.collector.record(record, bytes);
    }

    fn expect(&mut self, record: &Record) {
        self.collector.expect(record);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rest that a steady stream leads to, and how many records it brings.
    fn settled(records_per_second: f64) -> (Duration, usize) {
        let brought = |rest: Duration| (rest.as_secs_f64() * records_per_second) as usize;
        let rest = (0..32).fold(REST_MIN, |rest, _| next_rest(rest, brought(rest)));
        (rest, brought(rest))
    }

    #[test]
    fn a_rest_brings_many_records_and_never_too_many() {
        for records_per_second in [100_000.0, 300_000.0, 1_000_000.0, 2_000_000.0] {
            let (rest, found) = settled(records_per_second);
            assert!(
                (REST_RECORDS..=FOUND_MANY).contains(&found),
                "{rest:?} for {records_per_second}: {found}"
            );
        }
    }

    #[test]
    fn a_rest_has_bounds_whatever_comes() {
        assert_eq!(settled(0.0).0, REST_MAX);
        assert_eq!(settled(1e9).0, REST_MIN);
    }
}
