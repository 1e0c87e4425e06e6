//! What time alone brings to an end: heads and transactions nobody finishes, connections nobody uses.
//!
//! Driven by the records' own time, so that a replay ends them where the live capture did.

use super::Collector;
use crate::{
    flow::{
        table::FlowIndex,
        transaction::{Call, Transaction},
    },
    ledger::Counter,
    limits::{
        ANSWERED_AGE_NS_MAX, ANSWERED_SILENCE_NS_MAX, CHUNK_END_AGE_NS_MAX, FLOW_AGE_NS_MAX,
        FLOW_CLOSED_AGE_NS_MAX, LATE_AGE_NS_MAX, PARTIAL_AGE_NS_MAX, UNANSWERED_AGE_NS_MAX,
    },
};

/// Nanoseconds of record time between two looks at what has grown old.
const TICK_NS: u64 = 250_000_000;

impl Collector {
    /// What time asks for while no record says how late it is; to be called as often as one likes.
    pub fn pass_time(&mut self, now_ns: u64) {
        if now_ns >= self.tick_next_ns {
            self.tick(now_ns);
        } else {
            self.flush(now_ns);
        }
    }

    /// Ends what has waited too long at `now_ns` of record time, and seals a batch whose flush interval is over.
    pub(super) fn tick(&mut self, now_ns: u64) {
        self.tick_next_ns = now_ns.saturating_add(TICK_NS);
        for nth in (0..self.table.busy_count()).rev() {
            self.age(self.table.busy(nth), now_ns);
        }
        while let Some(oldest) = self.table.oldest() {
            let age_max =
                if self.table.get(oldest).is_closed { FLOW_CLOSED_AGE_NS_MAX } else { FLOW_AGE_NS_MAX };
            if now_ns.saturating_sub(self.table.get(oldest).ts_last) < age_max {
                break;
            }
            self.stages.tally.count(Counter::ConnectionsAged);
            self.end_connection(oldest);
        }
        self.merge_latencies();
        self.flush(now_ns);
    }

    fn age(&mut self, at: FlowIndex, now_ns: u64) {
        let (connection, stages) = (self.table.get(at), &mut self.stages);
        // Where its answer is there, or its connection ended, the rest of a head is late by a little or not at all.
        let is_late = connection.is_closed || connection.transactions.has_early();
        let age_max = if is_late { LATE_AGE_NS_MAX } else { PARTIAL_AGE_NS_MAX };
        let is_old = |ts: u64, age_max: u64| now_ns.saturating_sub(ts) >= age_max;
        for side in 0..2 {
            while connection.directions[side].assembler.oldest_ts().is_some_and(|ts| is_old(ts, age_max)) {
                stages.finish_oldest_partial(connection, side);
            }
            stages.drop_early(connection, side, now_ns.saturating_sub(LATE_AGE_NS_MAX));
        }
        if connection.is_closed && is_old(connection.ts_last, LATE_AGE_NS_MAX) {
            for side in 0..2 {
                stages.finish_partials(connection, side);
                connection.settle_chunked(side, u64::MAX);
            }
            stages.emit_all(connection);
        }
        if connection.transactions.oldest_early_ts().is_some_and(|ts| is_old(ts, LATE_AGE_NS_MAX)) {
            stages.join_early(connection, Call::Last);
        }
        for side in 0..2 {
            connection.settle_chunked(side, now_ns.saturating_sub(CHUNK_END_AGE_NS_MAX));
        }
        stages.emit_settled(connection);
        let idle_ns = now_ns.saturating_sub(connection.ts_last);
        let is_over = |transaction: &Transaction| {
            let age_ns = now_ns.saturating_sub(transaction.ts_last());
            if transaction.early().is_some() {
                age_ns >= LATE_AGE_NS_MAX
            } else if let Some(abandoned_at) = transaction.abandoned_at() {
                now_ns.saturating_sub(abandoned_at) >= LATE_AGE_NS_MAX
            } else if transaction.is_unanswered() {
                age_ns >= UNANSWERED_AGE_NS_MAX
            } else if transaction.misses_interim() {
                age_ns >= LATE_AGE_NS_MAX
            } else {
                // A body still flowing is worth waiting for, but not for ever: a stream of events never ends.
                age_ns.min(idle_ns) >= ANSWERED_SILENCE_NS_MAX || age_ns >= ANSWERED_AGE_NS_MAX
            }
        };
        while let Some(transaction) = connection.transactions.take_if(is_over) {
            stages.emit(connection, &transaction);
        }
        self.table.refresh(at);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        collector::CollectorSettings,
        ledger::CollectorLedger,
        redact::{Key, Policy, Redactor},
    };

    #[test]
    fn connections_are_looked_at_as_rarely_without_records_as_with_them() {
        let redactor = Redactor::new(Policy::default(), Key::from_bytes([7; 32]));
        let (outlet, _sealed) = crossbeam_channel::bounded(1);
        let settings = CollectorSettings::of_files(1024);
        let mut collector = Collector::new(&settings, redactor, outlet, Arc::new(CollectorLedger::default()));
        let mut looks = Vec::new();
        for now_ns in (1..=3 * TICK_NS).step_by(50_000) {
            collector.pass_time(now_ns);
            looks.push(collector.tick_next_ns);
        }
        looks.dedup();
        assert_eq!(looks.len(), 3, "{looks:?}");
    }
}
