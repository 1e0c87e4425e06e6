//! Interim responses (1xx) of a transaction that came before its final one: their status codes, and where they lead.
//!
//! Invariant: those that lead to the final response are told in the order of the stream, whatever order they came in.

use storage::flags::Flags;

use super::{Before, Match, Transaction, Transactions};
use crate::flow::{assembler::HeadSpan, seq};
use crate::limits::INFO_STATUS_COUNT_MAX;

/// An interim response.
#[derive(Clone, Copy, Debug)]
pub struct Interim {
    /// Its status code.
    pub status: i32,
    /// Sequence number of its first byte.
    pub seq: u32,
    /// Sequence number behind it; `None` where its end did not come by.
    pub end_seq: Option<u32>,
    /// A message is missing before it, or part of one.
    pub is_behind_gap: bool,
}

impl Interim {
    /// One whose head stood at `span`.
    pub fn at(span: &HeadSpan, status: i32, before: Before) -> Self {
        let end_seq = span.complete.then_some(span.end_seq);
        Interim { status, seq: span.seq, end_seq, is_behind_gap: before == Before::Gap }
    }
}

impl Transaction {
    /// Whether all that may be missing is an interim response between those that came and the final one: it may be late only.
    pub fn misses_interim(&self) -> bool {
        let Some(response) = self.response.filter(|_| self.folded_count == 0 && self.is_likely()) else {
            return false;
        };
        let is_behind_others = self.info_end.is_some_and(|end| seq::after(response.seq, end));
        let is_led = self.info_end == Some(response.seq);
        let is_behind_gap = if is_led { self.info_behind_gap } else { response.is_behind_gap };
        (is_behind_others || is_behind_gap) && self.is_settled()
    }

    /// Where the interim responses begin that lead to the final one at `resp_seq`, found before it was.
    pub(super) fn led_from(&self, resp_seq: u32) -> Option<u32> {
        self.info_from.filter(|_| self.folded_count == 0 && self.info_end == Some(resp_seq))
    }

    pub(super) fn add_info(&mut self, status: i32, end_seq: Option<u32>) {
        if status == 100 && self.info_status().contains(&100) {
            self.flags.insert(Flags::MULTIPLE_100);
        }
        if usize::from(self.info_count) < INFO_STATUS_COUNT_MAX {
            self.info_status[usize::from(self.info_count)] = status;
            self.info_count += 1;
        }
        self.response_expected = end_seq;
    }
}

impl Transactions {
    /// Folds an interim response (1xx) into the transaction it belongs to.
    ///
    /// Behind one that does not begin where the answer should, or does not tell where it ends, nothing is expected.
    pub fn add_info(&mut self, found: Match, interim: Interim) {
        let Interim { status, seq, end_seq, is_behind_gap } = interim;
        let transaction = &mut self.open[found.position];
        if transaction.info_end != Some(seq) {
            (transaction.info_from, transaction.info_behind_gap) = (Some(seq), is_behind_gap);
        }
        transaction.info_end = end_seq;
        let end_seq = end_seq.filter(|_| transaction.response_expected == Some(seq));
        transaction.add_info(status, end_seq);
    }
}

#[cfg(test)]
mod tests {
    use storage::values::PairState;

    use super::super::{
        Before, Side,
        early::Call,
        tests::{interim, interim_of, open, request, response},
    };
    use super::*;
    use crate::flow::direction::Extent;

    /// Two requests of which nothing tells where their answers begin, and one interim response to the first, that ends at 650.
    fn asked() -> Transactions {
        let mut transactions = Transactions::default();
        open(&mut transactions, 1_000, 500, false);
        open(&mut transactions, 1_100, 500, false);
        let found = transactions.find_possible(600, Some(1_200)).unwrap();
        transactions.add_info(found, interim_of(103, 600, Some(650)));
        transactions
    }

    fn answer(transactions: &mut Transactions, side: Side<storage::batch::ResponseId>) {
        let found = transactions.find(side.seq, side.ack).unwrap();
        transactions.answer(found, side, Flags::NONE, None);
    }

    #[test]
    fn a_row_waits_for_an_interim_response_that_may_be_late() {
        for (seq, is_behind_gap, waits) in [(650, true, false), (650, false, false), (700, false, true)] {
            let mut transactions = asked();
            let side = Side { is_behind_gap, end_seq: Some(seq + 100), ..response(seq, 1_200, Extent::None) };
            answer(&mut transactions, side);
            assert_eq!(transactions.get(0).misses_interim(), waits, "{seq}");
            assert_eq!(transactions.take_settled(None).is_none(), waits, "{seq}");
        }
        let mut transactions = Transactions::default();
        open(&mut transactions, 1_000, 500, false);
        let found = transactions.find_possible(600, Some(1_100)).unwrap();
        transactions.add_info(found, Interim { is_behind_gap: true, ..interim_of(100, 600, Some(650)) });
        answer(&mut transactions, Side { end_seq: Some(750), ..response(650, 1_100, Extent::None) });
        assert!(transactions.get(0).misses_interim(), "or before the first of those that came");
        let mut transactions = Transactions::default();
        open(&mut transactions, 1_000, 500, false);
        let side = Side { end_seq: Some(900), ..response(800, 1_100, Extent::None) }.behind(Before::Gap);
        answer(&mut transactions, side);
        assert!(transactions.get(0).misses_interim(), "a message is missing before it");
    }

    #[test]
    fn an_interim_response_that_comes_last_leads_to_those_behind_it() {
        let mut transactions = asked();
        answer(&mut transactions, response(650, 1_200, Extent::Unknown));
        let late = Side { head_end: 600, ..response(550, 1_200, Extent::None) };
        assert!(transactions.open_response(late, Flags::NONE, interim(100)).is_none());
        assert_eq!(transactions.fold_late(), 1);
        assert_eq!(transactions.get(0).info_status(), [100, 103], "in the order of the stream");
    }

    #[test]
    fn an_interim_response_behind_an_answer_in_progress_waits_for_that() {
        for (begun, joined) in [(Some(600), 0), (Some(900), 1), (None, 1)] {
            let mut transactions = Transactions::default();
            let unknown = Side { ack: None, ..request(1_000, 0) };
            transactions.open_request(unknown, Default::default(), Before::Unknown);
            transactions.open_response(response(700, 1_100, Extent::None), Flags::NONE, interim(100));
            assert_eq!(transactions.join_early(Call::Read(800), begun).folded, joined, "{begun:?}");
            assert_eq!(transactions.get(0).pair_state, PairState::RequestOnly);
        }
    }
}
