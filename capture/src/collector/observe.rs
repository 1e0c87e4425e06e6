//! What a collector tells of itself while it works: latencies, figures of HTTP, how idle it is.
//!
//! Costs one look at the time a burst, taken by `pump`; what is told is reckoned at the boundaries of bursts and batches.

use std::sync::atomic::Ordering;

use super::Collector;
use crate::{
    ledger::{CollectorLedger, Counter, figures::Figures, latency::Latencies},
    limits::PARSED_MARK_COUNT_MAX,
};

/// Nanoseconds within which rows of a batch are taken for parsed at once, at the time of the first of them.
const PARSED_MARK_NS: u64 = 20_000_000;

/// A moment on the clocks that matter to a collector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// The kernel half's clock, in nanoseconds.
    pub monotonic_ns: u64,
    /// Nanoseconds to add to it to get Unix time.
    pub unix_offset_ns: i64,
}

/// Rows of a batch that were parsed at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParsedMark {
    /// Monotonic time, in nanoseconds.
    pub parsed_ns: u64,
    /// Rows.
    pub rows: u64,
}

/// What is observed of one collector, and not counted in its tally.
pub(super) struct Observed {
    pub(super) figures: Figures,
    pub(super) first_byte: Latencies,
    parsed: Latencies,
    /// The monotonic time as of the burst in hand; zero where nobody tells it (files).
    now_ns: u64,
    oldest_ns: u64,
    records: u64,
    marks: Vec<ParsedMark>,
    rows_marked: u64,
    rows_shown: u64,
}

impl Observed {
    pub(super) fn new(ledger: &CollectorLedger) -> Self {
        Observed {
            figures: Figures::default(),
            first_byte: Latencies::new(ledger.first_byte.clone()),
            parsed: Latencies::new(ledger.parsed.clone()),
            now_ns: 0,
            oldest_ns: 0,
            records: 0,
            marks: Vec::with_capacity(PARSED_MARK_COUNT_MAX),
            rows_marked: 0,
            rows_shown: 0,
        }
    }

    /// Notes that a record came by.
    #[inline]
    pub(super) fn note(&mut self, ts_ns: u64) {
        if self.records == 0 {
            self.oldest_ns = ts_ns;
        }
        self.records += 1;
    }

    /// When the rows of a batch that is being sealed were parsed.
    pub(super) fn take_marks(&mut self, rows: u64) -> Vec<ParsedMark> {
        if self.now_ns != 0 {
            self.mark(rows, self.now_ns);
        }
        self.rows_marked = 0;
        std::mem::replace(&mut self.marks, Vec::with_capacity(PARSED_MARK_COUNT_MAX))
    }

    /// Notes that a batch has come to `rows` rows by now; where there is no room, that they are as old as those before.
    fn mark(&mut self, rows: u64, now_ns: u64) {
        let news = rows - self.rows_marked;
        self.rows_marked = rows;
        let is_full = self.marks.len() == PARSED_MARK_COUNT_MAX;
        match self.marks.last_mut() {
            _ if news == 0 => {}
            Some(last) if is_full || now_ns.saturating_sub(last.parsed_ns) < PARSED_MARK_NS => {
                last.rows += news
            }
            Some(_) | None => self.marks.push(ParsedMark { parsed_ns: now_ns, rows: news }),
        }
    }

    fn end_burst(&mut self, now_ns: u64, ledger: &CollectorLedger) {
        if self.records > 0 {
            let age_ns = now_ns.saturating_sub(self.oldest_ns);
            // As old as the oldest of them: the others are younger, none is older.
            self.parsed.record(age_ns / 1000, std::mem::take(&mut self.records));
            ledger.lag_ns.store(age_ns, Ordering::Relaxed);
        }
    }
}

impl Collector {
    /// Begins a burst, and with it ends the one before; `rested` where nothing was done between them.
    pub fn begin_burst(&mut self, now: Moment, rested: bool) {
        let stages = &mut self.stages;
        let (observed, ledger) = (&mut stages.observed, &stages.published);
        let before_ns = std::mem::replace(&mut observed.now_ns, now.monotonic_ns);
        stages.clock_offset_ns = now.unix_offset_ns;
        observed.end_burst(now.monotonic_ns, ledger);
        observed.mark(stages.batch.rows() as u64, now.monotonic_ns);
        let unsealed_ns = observed.marks.first().map_or(0, |mark| mark.parsed_ns);
        ledger.unsealed_ns.store(unsealed_ns, Ordering::Relaxed);
        ledger.alive_ns.store(now.monotonic_ns, Ordering::Relaxed);
        if rested {
            ledger.lag_ns.store(0, Ordering::Relaxed);
            ledger.idle_ns.fetch_add(now.monotonic_ns.saturating_sub(before_ns), Ordering::Relaxed);
        }
    }

    /// Makes the counts visible to others; called at burst boundaries.
    pub fn publish(&mut self) {
        let stages = &mut self.stages;
        let (published, rows) = (&stages.published, stages.tally.get(Counter::Rows));
        if stages.observed.rows_shown != rows {
            stages.observed.rows_shown = rows;
            published.figures.publish(stages.observed.figures.values());
        }
        published.counts.publish(stages.tally.values());
        stages.look_for_viewers();
    }

    /// Makes the latencies visible to others; called at ticks.
    pub(super) fn merge_latencies(&mut self) {
        self.stages.observed.first_byte.merge();
        self.stages.observed.parsed.merge();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_never_taken_for_younger_than_they_are() {
        let ledger = CollectorLedger::default();
        let mut observed = Observed::new(&ledger);
        observed.mark(10, 1_000_000_000);
        observed.mark(15, 1_000_000_000 + PARSED_MARK_NS - 1);
        observed.mark(15, 2_000_000_000);
        observed.now_ns = 3_000_000_000;
        let marks = observed.take_marks(21);
        let mark = |parsed_ns, rows| ParsedMark { parsed_ns, rows };
        assert_eq!(marks, [mark(1_000_000_000, 15), mark(3_000_000_000, 6)]);
        for nth in 0..PARSED_MARK_COUNT_MAX as u64 + 9 {
            observed.mark(nth + 1, (nth + 100) * 1_000_000_000);
        }
        let marks = observed.take_marks(PARSED_MARK_COUNT_MAX as u64 + 9);
        assert_eq!(marks.len(), PARSED_MARK_COUNT_MAX);
        assert_eq!(marks.iter().map(|mark| mark.rows).sum::<u64>(), PARSED_MARK_COUNT_MAX as u64 + 9);
    }

    #[test]
    fn a_burst_is_as_old_as_its_oldest_record() {
        let ledger = CollectorLedger::default();
        let mut observed = Observed::new(&ledger);
        observed.note(1_000_000);
        observed.note(900_000_000);
        observed.end_burst(1_001_000_000, &ledger);
        observed.end_burst(9_000_000_000, &ledger);
        observed.parsed.merge();
        let buckets = ledger.parsed.read();
        assert_eq!(buckets.count(), 2, "a burst is told once");
        assert!((buckets.seconds - 2.0).abs() < 0.02, "{}", buckets.seconds);
        assert_eq!(ledger.lag_ns.load(Ordering::Relaxed), 1_000_000_000);
    }
}
