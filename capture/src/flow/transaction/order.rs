//! Answers by position, in the order of their requests (RFC 9112 section 9.3.2): one that came by late takes its place from the
//! later one that was put there, which goes to the next request.
//!
//! Invariant: an answer is displaced only where another request can take it.

use storage::{batch::ResponseId, flags::Flags, values::PairState};

use super::{Match, Side, Transaction, Transactions, had_arrived};
use crate::flow::seq;
use crate::limits::INFO_STATUS_COUNT_MAX;

/// What a response brings to its transaction.
#[derive(Debug)]
pub(super) struct Answer {
    response: Side<ResponseId>,
    flags: Flags,
    info_status: [i32; INFO_STATUS_COUNT_MAX],
    folded_from: Option<u32>,
    folded_count: u8,
}

impl Transaction {
    /// Whether its answer is only likely, and may go.
    pub(super) fn has_likely_answer(&self) -> bool {
        self.is_likely() && self.info_count == self.folded_count
    }

    pub(super) fn is_likely(&self) -> bool {
        let is_likely = matches!(self.pair_state, PairState::Positional | PairState::Ambiguous);
        is_likely && self.tunnel.is_none() && self.response.is_some()
    }

    /// Whether its answer would go to a later request if the response at `resp_seq` was another.
    pub(super) fn yields_to(&self, resp_seq: u32) -> bool {
        let is_later = |response: Side<ResponseId>| {
            seq::after(response.seq, resp_seq) && self.response_expected != Some(response.seq)
        };
        // What interim responses led to is theirs, and they stay with it.
        let may_go = self.has_likely_answer() || (self.is_likely() && self.info_end == Some(resp_seq));
        may_go && self.response.is_some_and(is_later)
    }

    /// Takes the answer out, with what came with it: the interim responses that were folded behind it.
    pub(super) fn take_answer(&mut self) -> Option<Answer> {
        let response = self.response.take()?;
        let (flags, folded_from) = (std::mem::take(&mut self.answer_flags), self.folded_from.take());
        let folded_count = std::mem::take(&mut self.folded_count);
        self.info_count -= folded_count;
        let mut info_status = self.info_status;
        info_status.rotate_left(usize::from(self.info_count));
        Some(Answer { response, flags, info_status, folded_from, folded_count })
    }

    /// Takes an answer in place of the one that it has.
    fn give(&mut self, answer: Answer, state: PairState) -> Option<Answer> {
        let displaced = self.take_answer();
        self.response = Some(answer.response);
        self.pair_state = state;
        self.answer_flags = answer.flags;
        if let Some(from) = answer.folded_from {
            self.fold(&answer.info_status[..usize::from(answer.folded_count)], from);
        }
        displaced
    }
}

impl Transactions {
    /// Finds the oldest request that a response can answer, where nothing says which.
    pub(super) fn find_possible(&self, resp_seq: u32, ack: Option<u32>) -> Option<Match> {
        let position = self.place(0, resp_seq, ack)?;
        let rivals = self.open.iter().filter(|open| is_possible(open, resp_seq, ack)).count();
        let state = if rivals == 1 { PairState::Positional } else { PairState::Ambiguous };
        Some(Match { position, state })
    }

    /// The first request from `from` on for a response, one that has a later answer included where that has another place.
    fn place(&self, from: usize, resp_seq: u32, ack: Option<u32>) -> Option<usize> {
        let is_it = |open: &Transaction| is_possible(open, resp_seq, ack);
        let first = from + self.open.range(from..).position(is_it)?;
        let Some(answer) = self.open[first].response else { return Some(first) };
        if self.place(first + 1, answer.seq, answer.ack).is_some() {
            return Some(first);
        }
        let is_free = |open: &Transaction| open.response.is_none() && is_it(open);
        Some(first + self.open.range(first..).position(is_free)?)
    }

    /// Puts a response into the transaction at a place that was found for it, and what stood there into the next one.
    pub(super) fn put(&mut self, found: Match, response: Side<ResponseId>, flags: Flags) {
        let info_status = [0; INFO_STATUS_COUNT_MAX];
        let answer = Answer { response, flags, info_status, folded_from: None, folded_count: 0 };
        if let Some(displaced) = self.open[found.position].give(answer, found.state) {
            self.put_elsewhere(displaced);
        }
    }

    /// Puts an answer that lost its place into the next one, and so on; the last where it stands alone, if there is none.
    pub(super) fn put_elsewhere(&mut self, answer: Answer) {
        let mut displaced = Some(answer);
        while let Some(answer) = displaced {
            let Some(found) = self.find_possible(answer.response.seq, answer.response.ack) else {
                return self.stand_alone(answer);
            };
            displaced = self.open[found.position].give(answer, found.state);
        }
    }

    /// Gives an answer that has no request a transaction of its own.
    fn stand_alone(&mut self, answer: Answer) {
        let mut transaction = self.next_transaction();
        transaction.flags = Flags::RESP_UNMATCHED;
        transaction.give(answer, PairState::ResponseOnly);
        self.open.push_back(transaction);
    }
}

/// Whether a response may answer a request by its place.
fn is_possible(open: &Transaction, resp_seq: u32, ack: Option<u32>) -> bool {
    let request_ack = open.request.and_then(|request| request.ack);
    let waits = open.is_unanswered() || open.yields_to(resp_seq);
    waits && had_arrived(open, ack) && request_ack.is_none_or(|ack| seq::at_or_after(resp_seq, ack))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{MSS, interim_of, open, reply, response};
    use super::*;
    use crate::flow::direction::Extent;

    /// Two requests, and one answer that may be to either of them.
    fn ambiguous() -> Transactions {
        let mut transactions = Transactions::default();
        open(&mut transactions, 1_000, 500, false);
        open(&mut transactions, 1_100, 500, false);
        assert_eq!(reply(&mut transactions, 900, 1_200).map(|found| found.position), Some(0));
        transactions
    }

    #[test]
    fn interim_responses_stay_where_the_answer_that_they_lead_to_comes_late() {
        let mut transactions = Transactions::default();
        open(&mut transactions, 1_000, 500, false);
        open(&mut transactions, 1_100, 500, false);
        let found = transactions.find_possible(600, Some(1_200)).unwrap();
        transactions.add_info(found, interim_of(103, 600, Some(650)));
        assert_eq!(reply(&mut transactions, 900, 1_200).map(|found| found.position), Some(0));
        assert!(!transactions.get(0).yields_to(700), "what the interim response leads to is at 650");
        let late = transactions.find_possible(650, Some(1_200)).unwrap();
        transactions.put(late, response(650, 1_200, Extent::None), Flags::NONE);
        let told = [0, 1].map(|at| {
            let open = transactions.get(at);
            (open.response.map(|side| side.seq), open.info_status().to_vec())
        });
        assert_eq!(told, [(Some(650), vec![103]), (Some(900), vec![])]);
    }

    #[test]
    fn a_likely_pair_stays_while_an_older_answer_is_in_progress() {
        let mut transactions = ambiguous();
        let response = transactions.open[0].response.as_mut().unwrap();
        response.end_seq = Some(950);
        assert!(transactions.take_settled(Some(600)).is_none(), "it may take its place");
        assert!(transactions.take_settled(Some(950)).is_some(), "one behind it does not");
    }

    /// Three requests, sent before anything of their answers was read, and answers at these places in the order in which they came:
    /// what each request has then.
    fn answered(order: &[u32]) -> Vec<Option<u32>> {
        let mut transactions = Transactions::default();
        for seq in [0, MSS, 2 * MSS] {
            open(&mut transactions, seq, 500, false);
        }
        for &seq in order {
            let found = transactions.find(seq, Some(3 * MSS)).unwrap();
            transactions.answer(found, response(seq, 3 * MSS, Extent::Unknown), Flags::NONE, None);
        }
        (0..3).map(|at| transactions.get(at).response.map(|side| side.seq)).collect()
    }

    #[test]
    fn answers_by_position_go_to_requests_in_order_whatever_order_they_came_in() {
        let in_order = [700, 800, 900].map(Some);
        for order in [[700, 800, 900], [700, 900, 800], [800, 700, 900], [900, 700, 800], [900, 800, 700]] {
            assert_eq!(answered(&order), in_order, "{order:?}");
        }
        assert_eq!(answered(&[900, 800]), [Some(800), Some(900), None]);
    }

    #[test]
    fn an_answer_keeps_its_place_where_no_other_request_could_take_it() {
        let mut transactions = Transactions::default();
        open(&mut transactions, 0, 500, false);
        let found = transactions.find(900, Some(MSS)).unwrap();
        transactions.answer(found, response(900, MSS, Extent::Unknown), Flags::NONE, None);
        assert_eq!(transactions.find(800, Some(MSS)), None);
    }
}
