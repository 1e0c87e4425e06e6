//! A request that came late: what was concluded about those behind it, as if it were not there, is set right.
//!
//! Invariant: what an answer and interim responses say of the next answer is said of the request that follows on theirs.

use storage::flags::Flags;

use super::{Transaction, Transactions};
use crate::flow::seq;

impl Transactions {
    /// Sets right what was concluded about later requests before the late one at `at` came.
    pub(super) fn mend_behind(&mut self, at: usize) {
        let behind = self.open.range(at + 1..).position(|open| open.request.is_some());
        let Some(next) = behind.map(|next| at + 1 + next) else { return };
        self.hand_on(next, at);
        let late = &self.open[at];
        let (expected, is_anchored) = (late.response_expected, late.is_anchored);
        let end = late.request.and_then(|side| side.extent.end_seq(side.head_end));
        let next_ack = self.open[next].request.and_then(|side| side.ack);
        let expected_behind = expected_behind(late, next_ack);
        let next = &mut self.open[next];
        let follows = next.request.is_some_and(|side| Some(side.seq) == end);
        if next.is_unanswered() && follows {
            // What an answer before the late one said of this one's was said of the late one's.
            next.response_expected = expected_behind;
        } else if next.is_unanswered() && next.response_expected == expected {
            next.response_expected = None;
        }
        next.is_anchored |= follows && is_anchored;
        next.is_behind_gap &= !follows;
    }

    /// Where the request at `late` follows right behind the one before it, the answer to that one and the interim responses behind it
    /// told of its answer, not of that of `next`.
    fn hand_on(&mut self, next: usize, late: usize) {
        let is_continuous = self.open[late].is_continuous;
        let next = &mut self.open[next];
        let own = next.request.and_then(|side| side.ack);
        let is_concluded = next.response_expected.is_some() && next.response_expected != own;
        if !is_continuous || !is_concluded || !next.is_unanswered() {
            return;
        }
        let (expected, end) = (next.response_expected.take(), next.info_end.take());
        let (from, is_behind_gap) = (next.info_from.take(), next.info_behind_gap);
        let (count, statuses) = (std::mem::take(&mut next.info_count), next.info_status);
        let flags = next.flags.take(Flags::MULTIPLE_100);
        let late = &mut self.open[late];
        (late.response_expected, late.info_end, late.info_from) = (expected, end, from);
        late.info_behind_gap = is_behind_gap;
        (late.info_count, late.info_status) = (count, statuses);
        late.flags.insert(flags);
    }
}

/// Where the response to a request behind the unanswered `before` should begin, if the client's ACK tells.
///
/// The client had received more of the server's stream than when it sent `before`: the answer to `before` passed
/// unseen. An interim response could have passed as well, so a request that expects one proves nothing.
pub(super) fn expected_behind(before: &Transaction, ack: Option<u32>) -> Option<u32> {
    let (expected, ack) = (before.response_expected?, ack?);
    (seq::after(ack, expected) && !before.traits.expects_continue).then_some(ack)
}

#[cfg(test)]
mod tests {
    use storage::values::PairState;

    use super::super::{
        Before, Side,
        tests::{interim_of, open, reply, request, response},
    };
    use super::*;
    use crate::flow::direction::Extent;

    #[test]
    fn what_interim_responses_told_of_the_next_request_is_told_of_the_late_one() {
        let mut transactions = Transactions::default();
        open(&mut transactions, 1_000, 500, true);
        open(&mut transactions, 1_400, 500, false);
        let found = transactions.find(500, Some(1_500)).expect("the client's ACK tells");
        transactions.answer(found, response(500, 1_500, Extent::None), Flags::NONE, None);
        for seq in [600, 625] {
            let found = transactions.find(seq, Some(1_500)).expect("it follows on the answer");
            transactions.add_info(found, interim_of(100, seq, Some(seq + 25)));
        }
        // Its body tells no length: the one at 1,400 does not follow on it for all that is known.
        let chunked = Side { extent: Extent::Delimited, end_seq: None, ..request(1_100, 500) };
        assert!(transactions.open_request(chunked, Default::default(), Before::Continuous).is_none());
        let found = reply(&mut transactions, 650, 1_500).expect("it follows on the interim responses");
        let late = transactions.get(found.position);
        assert_eq!(late.request.map(|side| side.seq), Some(1_100));
        assert_eq!(late.info_status(), [100, 100]);
        assert!(late.flags().contains(Flags::MULTIPLE_100));
        let next = transactions.get(found.position + 1);
        assert_eq!((next.request.map(|side| side.seq), next.info_status().len()), (Some(1_400), 0));
        assert_eq!((next.pair_state, next.flags()), (PairState::RequestOnly, Flags::NONE));
    }
}
