//! What gives way where more is in progress than may be: heads and transactions of the connections longest without news.
//!
//! Looked at after every record. Invariant: behind it no limit is exceeded, so that a flood costs what was told at start.

use super::Collector;
use crate::{
    flow::table::{FlowIndex, Held},
    ledger::Counter,
    limits::{PARTIAL_COUNT_MAX, TRANSACTION_COUNT_MAX},
};

/// Where there is too much of something, one in so many of the connections that have it gives it up: looking for those
/// longest without news is paid for once.
const SHARE_GIVEN_UP: usize = 8;

impl Collector {
    /// Makes room where a limit is exceeded.
    #[inline]
    pub(super) fn relieve(&mut self) {
        if self.table.held().partials > PARTIAL_COUNT_MAX {
            self.give_up_heads();
        }
        if self.table.held().transactions > TRANSACTION_COUNT_MAX {
            self.give_up_transactions();
        }
    }

    /// Gives up waiting for the rest of heads.
    fn give_up_heads(&mut self) {
        for at in self.longest_silent(|held| held.partials) {
            let count = self.table.held_by(at).partials as u64;
            self.stages.tally.add(Counter::HeadsGivenUp, count);
            let connection = self.table.get(at);
            for side in 0..2 {
                self.stages.finish_partials(connection, side);
            }
            self.stages.emit_settled(connection);
            self.update(at);
        }
    }

    /// Gives up waiting for responses and for ends of bodies.
    pub(super) fn give_up_transactions(&mut self) {
        for at in self.longest_silent(|held| held.transactions) {
            let count = self.table.held_by(at).transactions as u64;
            self.stages.tally.add(Counter::TransactionsGivenUp, count);
            self.stages.emit_all(self.table.get(at));
            self.update(at);
        }
    }

    /// Of the connections that hold some of what `count` tells, those longest without news.
    fn longest_silent(&self, count: impl Fn(Held) -> usize) -> Vec<FlowIndex> {
        let mut found: Vec<(u64, FlowIndex)> = (0..self.table.busy_count())
            .map(|nth| self.table.busy(nth))
            .filter(|at| count(self.table.held_by(*at)) > 0)
            .map(|at| (self.table.peek(at).ts_last, at))
            .collect();
        let share = found.len().div_ceil(SHARE_GIVEN_UP);
        if share < found.len() {
            found.select_nth_unstable_by_key(share, |(ts_last, _)| *ts_last);
            found.truncate(share);
        }
        found.into_iter().map(|(_, at)| at).collect()
    }
}
