//! Takes back what was taken for messages and turns out to lie in a body.
//!
//! Invariant: what a proved pair holds is never taken back, nor a request that begins where the one before it ends; and an answer
//! that a request loses is kept.

use std::ops::AddAssign;

use storage::{flags::Flags, values::PairState};

use super::{Side, Transaction, Transactions};
use crate::flow::seq;

/// What was taken back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retracted {
    /// Responses that waited for their request, and heads in progress: nobody had counted them as messages.
    pub heads: u64,
    /// Requests, and answers that were likely only.
    pub messages: u64,
}

impl Retracted {
    /// Whether there was any.
    pub fn is_some(self) -> bool {
        self.heads + self.messages > 0
    }
}

impl AddAssign for Retracted {
    fn add_assign(&mut self, other: Self) {
        self.heads += other.heads;
        self.messages += other.messages;
    }
}

impl Transaction {
    /// Whether any of it may be taken back.
    fn may_go(&self) -> bool {
        let waits = self.response.is_none() && !self.is_continuous;
        waits || self.early.is_some() || self.has_likely_answer()
    }
}

impl Transactions {
    /// Takes back responses that begin from `from` on and before `to`, where there is a body.
    pub fn retract_responses(&mut self, (from, to): (u32, u32)) -> Retracted {
        let is_it = |open: &Transaction| open.response.is_some_and(|side| seq::is_within(side.seq, from, to));
        let known = self.open.len();
        self.open.retain(|open| open.early.is_none() || !is_it(open));
        let mut retracted = Retracted { heads: (known - self.open.len()) as u64, messages: 0 };
        for open in self.open.iter_mut().filter(|open| open.has_likely_answer() && is_it(open)) {
            open.take_answer();
            open.pair_state = PairState::RequestOnly;
            retracted.messages += 1;
        }
        retracted
    }

    /// The same of requests. What was thought to answer them goes to others, or stands alone.
    pub fn retract_requests(&mut self, (from, to): (u32, u32)) -> Retracted {
        let is_within =
            |open: &Transaction| open.request.is_some_and(|side| seq::is_within(side.seq, from, to));
        self.take_back(|open| open.may_go() && !open.is_continuous && is_within(open))
    }

    /// Takes back the requests that `is_it` tells; what was thought to answer them goes to others, or stands alone.
    pub(super) fn take_back(&mut self, is_it: impl Fn(&Transaction) -> bool) -> Retracted {
        let mut retracted = Retracted::default();
        while let Some(position) = self.open.iter().position(&is_it) {
            retracted.messages += 1;
            if let Some(answer) = self.open.remove(position).and_then(|mut open| open.take_answer()) {
                self.put_elsewhere(answer);
            }
        }
        retracted
    }

    /// Takes back what begins within bodies of which both ends are proved, and flags those.
    pub fn retract_in_bodies(&mut self) -> Retracted {
        let mut retracted = Retracted::default();
        if self.open.len() < 2 || !self.open.iter().any(Transaction::may_go) {
            return retracted;
        }
        for index in (0..self.open.len()).rev() {
            // Those that are taken out may lie before it.
            let Some(open) = self.open.get(index) else { continue };
            let proved = open.response.filter(|_| open.pair_state == PairState::AckVerified);
            let sent = open.request.filter(|_| !open.traits.expects_continue);
            let answered = proved.as_ref().and_then(Side::body);
            let asked = sent.as_ref().and_then(Side::body);
            if let Some(body) = answered {
                retracted += self.flagged(body, false, Self::retract_responses);
            }
            if let Some(body) = asked {
                retracted += self.flagged(body, true, Self::retract_requests);
            }
        }
        retracted
    }

    fn flagged(
        &mut self,
        body: (u32, u32),
        is_client: bool,
        retract: impl Fn(&mut Self, (u32, u32)) -> Retracted,
    ) -> Retracted {
        let retracted = retract(self, body);
        if retracted.is_some() {
            self.flag_message(body.0, is_client, Flags::START_LINE_IN_BODY);
        }
        retracted
    }
}
