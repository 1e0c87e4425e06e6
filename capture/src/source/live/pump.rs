//! The loop of a collector core: ring to collector, burst by burst, until the source is closed and the ring is empty.
//!
//! Owns the clock of the core: it is read once per burst. Invariant: nothing is slept away while records wait.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use super::{clock, ring::Ring, steering::Post};
use crate::{collector::Collector, source::RecordSink};
use common::record::Record;

/// Records taken between two looks at the clock and two publications of the counts.
const BURST_RECORDS_MAX: usize = 512;

/// The shortest and the longest rest of a core with nothing to do. The kernel half does not wake a collector, which
/// saves it an interrupt per record; a ring of default size takes longer than the longest rest to fill at 100 Gbit/s.
const REST_MIN: Duration = Duration::from_micros(50);
const REST_MAX: Duration = Duration::from_millis(2);

/// Feeds a collector from a ring until `closed` is set, then until the ring is empty; ends the collector.
pub fn pump(mut ring: Ring, post: &Post, mut collector: Collector, closed: &AtomicBool) {
    let mut rest = REST_MIN;
    let mut invalid = 0;
    let mut rested = false;
    loop {
        // Read before the ring: records written before the close are then seen by this very pass.
        let is_closed = closed.load(Ordering::Acquire);
        let now = clock::now();
        collector.begin_burst(now, rested);
        collector.note_ring_fill(ring.fill_bytes());
        let mut checked = Checked { collector: &mut collector, post, astray: 0 };
        let taken = ring.drain(BURST_RECORDS_MAX, &mut checked);
        let astray = checked.astray;
        collector.count_misdirected(astray);
        collector.count_invalid(ring.invalid_records() - invalid);
        invalid = ring.invalid_records();
        rested = taken == 0;
        if taken > 0 {
            rest = REST_MIN;
            collector.publish();
            continue;
        }
        if is_closed {
            break;
        }
        collector.tick(now.monotonic_ns);
        collector.publish();
        std::thread::sleep(rest);
        rest = (rest * 2).min(REST_MAX);
    }
    collector.finish();
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
}
