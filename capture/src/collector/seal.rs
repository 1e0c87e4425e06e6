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
        let sealed = Box::new(Sealed { batch: sealed, parsed });
        let is_sent = match self.stages.full_queue {
            FullQueue::Shed => self.stages.outlet.try_send(sealed).is_ok(),
            FullQueue::Wait => self.stages.outlet.send(sealed).is_ok(),
        };
        self.stages.published.queue.note(self.stages.outlet.len() as u64);
        if !is_sent {
            self.stages.tally.add(Counter::Shed, rows);
        }
        self.publish();
    }

    /// Puts a new batch in place and carries the sides of open transactions over.
    fn swap_batch(&mut self) -> Batch {
        let mut next = Batch::new();
        let old = &self.stages.batch;
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
