//! Seals a batch and hands it on; what is still open moves into the next one.

use storage::batch::Batch;

use super::{Collector, FullQueue};
use crate::{encoder::Sealed, ledger::Counter, limits::OPEN_BYTES_MAX};

impl Collector {
    /// Ends every open transaction, hands on the last batch, and publishes the last counts.
    pub fn finish(mut self) {
        while let Some(oldest) = self.table.oldest() {
            self.end_connection(oldest);
        }
        // No frame waits any more, so the last batch may wait for the encoder.
        self.stages.full_queue = FullQueue::Wait;
        if self.stages.batch.rows() > 0 {
            self.seal();
        }
        self.merge_latencies();
        self.publish();
    }

    /// Seals the batch where the flush interval is over; the interval begins with the batch's first row.
    pub(super) fn flush(&mut self, now_ns: u64) {
        let Some(interval) = self.stages.flush_interval_ns else { return };
        if self.stages.flush_next_ns == 0 {
            self.stages.flush_next_ns = now_ns.saturating_add(interval);
        }
        if now_ns >= self.stages.flush_next_ns {
            self.stages.flush_next_ns = now_ns.saturating_add(interval);
            if self.stages.batch.rows() > 0 {
                self.seal();
            }
        }
    }

    /// Seals the batch and hands it on. What is open moves into the next one, but must leave room there: else those longest
    /// open become rows.
    pub(super) fn seal(&mut self) {
        self.seal_once();
        while self.stages.batch.raw_bytes() > OPEN_BYTES_MAX && self.table.held().transactions > 0 {
            self.give_up_transactions();
            self.seal_once();
        }
    }

    /// Hands the batch on; where it is shed its rows are counted, and the collector goes on.
    fn seal_once(&mut self) {
        let sealed = self.swap_batch();
        let rows = sealed.rows() as u64;
        let parsed = self.stages.observed.take_marks(rows);
        let bytes = sealed.raw_bytes();
        let sealed = |place| Box::new(Sealed { batch: sealed, parsed, place });
        let outlet = &self.stages.outlet;
        let is_sent = match &self.stages.full_queue {
            FullQueue::Shed(backlog) => {
                backlog.enter(bytes).is_some_and(|place| outlet.try_send(sealed(Some(place))).is_ok())
            }
            FullQueue::Wait => outlet.send(sealed(None)).is_ok(),
        };
        self.stages.published.queue.note(self.stages.outlet.len() as u64);
        if !is_sent {
            self.stages.tally.add(Counter::Shed, rows);
        }
        self.publish();
    }

    /// Puts a new batch in place and carries the sides of open transactions over.
    fn swap_batch(&mut self) -> Box<Batch> {
        let old = &self.stages.batch;
        let mut next = Box::new(old.successor());
        for nth in 0..self.table.busy_count() {
            let at = self.table.busy(nth);
            for transaction in self.table.get(at).transactions.iter_mut() {
                if let Some(request) = &mut transaction.request {
                    request.id = old.carry_request(request.id, &mut next);
                }
                if let Some(response) = &mut transaction.response {
                    response.id = old.carry_response(response.id, &mut next);
                }
            }
        }
        self.stages.epoch = self.stages.epoch.wrapping_add(1);
        std::mem::replace(&mut self.stages.batch, next)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use storage::values::TimeSource;

    use super::*;
    use crate::{
        backlog::Backlog,
        collector::CollectorSettings,
        encoder,
        flow::testing,
        ledger::CollectorLedger,
        redact::{Key, Policy, Redactor},
        source::RecordSink as _,
    };

    const FLUSH_NS: u64 = 1_000_000;

    /// A collector that has a row to seal as soon as its flush interval is over.
    fn with_a_row(
        settings: &CollectorSettings,
        queue: &encoder::Queue,
        ledger: &Arc<CollectorLedger>,
    ) -> Collector {
        let redactor = Redactor::new(Policy::default(), Key::from_bytes([7; 32]));
        let mut collector = Collector::new(settings, redactor, queue.clone(), Arc::clone(ledger));
        let response = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        let mut record = testing::record(1_000, response.len());
        record.flags = common::record::record_flag::HEAD_END;
        collector.record(&record, response);
        collector
    }

    #[test]
    fn collectors_that_seal_at_once_shed_nothing() {
        const COUNT: usize = 64;
        let settings = CollectorSettings {
            ts_source: TimeSource::Xdp,
            flush_interval_ns: Some(FLUSH_NS),
            full_queue: FullQueue::Shed(Backlog::default()),
            ..CollectorSettings::of_files(1 << 14)
        };
        let (queue, batches) = encoder::queue(COUNT);
        let ledgers: Vec<_> = (0..COUNT).map(|_| Arc::new(CollectorLedger::default())).collect();
        let mut collectors: Vec<_> =
            ledgers.iter().map(|ledger| with_a_row(&settings, &queue, ledger)).collect();
        // Nobody writes meanwhile.
        for now_ns in [crate::limits::UNANSWERED_AGE_NS_MAX, 2 * crate::limits::UNANSWERED_AGE_NS_MAX] {
            collectors.iter_mut().for_each(|collector| collector.pass_time(now_ns));
        }
        assert_eq!(batches.len(), COUNT);
        let shed = |ledger: &Arc<CollectorLedger>| ledger.counts.read()[Counter::Shed as usize];
        assert_eq!(ledgers.iter().map(shed).sum::<u64>(), 0);
    }
}
