//! Responses that came before their request: in another ring, behind a lost and repeated segment, or while its head
//! still lacked a piece. They wait among the open transactions until their request is there.
//!
//! Invariant: an early response is joined by what the client's ACK says; by position only where waiting is over.

use storage::{batch::ResponseId, flags::Flags, values::PairState};

use super::{Interim, Match, Side, Transaction, Transactions, TunnelEnd, tunnel::flag_of};
use crate::flow::{direction::Extent, seq};
use crate::http::Method;
use crate::limits::{INFO_STATUS_COUNT_MAX, WAITING_COUNT_MAX};

/// A response whose request has not come by: what it becomes once that is known.
#[derive(Clone, Copy, Debug)]
pub struct Early {
    /// Its status code.
    pub status: Option<i32>,
    /// Status of an interim response: it folds into its transaction, and is a row of its own only where none comes.
    pub interim: Option<i32>,
    /// Its head was seen to its end.
    pub is_whole: bool,
    /// Extent of the body, in answer to anything but HEAD.
    pub extent: Extent,
    /// Flags of pairing it keeps whatever its request is.
    pub flags: Flags,
}

/// What became of early responses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Joined {
    /// Interim ones that were folded into their transactions.
    pub folded: u64,
    /// Final ones that got their request.
    pub answers: u64,
    /// Those of both kinds whose head was not seen to its end.
    pub truncated: u64,
    /// One opened a tunnel.
    pub tunnel: Option<TunnelEnd>,
    /// That is proved.
    pub is_tunnel_proved: bool,
}

/// How much is known when early responses are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// What is missing may still come: only what an ACK says counts.
    Early,
    /// The client has read the stream up to here: what answers stand before it have their requests, by position if need be,
    /// where none is missing, or in progress, before them.
    Read(u32),
    /// Nothing more is waited for.
    Last,
}

impl Transaction {
    /// Puts interim responses that begin at `from` in front of those that were folded before.
    pub(super) fn fold(&mut self, statuses: &[i32], from: u32) {
        let known = self.info_status;
        let is_led = self.response.is_some_and(|response| self.led_from(response.seq).is_some());
        let (before, behind) = (self.info_count - self.folded_count, self.info_count);
        let before = if is_led { 0 } else { before };
        self.info_count = before;
        for status in statuses.iter().chain(&known[usize::from(before)..usize::from(behind)]) {
            self.add_info(*status, None);
        }
        self.folded_count = self.info_count - before;
        self.folded_from = Some(from);
    }
}

impl Transactions {
    /// Opens a transaction that has a response only, for as long as its request may still come.
    ///
    /// Returns the oldest transaction where the limit leaves no room for it.
    pub fn open_response(
        &mut self,
        response: Side<ResponseId>,
        flags: Flags,
        early: Early,
    ) -> Option<Transaction> {
        let displaced = self.make_room();
        let mut transaction = self.next_transaction();
        transaction.response = Some(response);
        transaction.pair_state = PairState::ResponseOnly;
        transaction.flags = flags.with(early.flags);
        transaction.early = Some(early);
        self.open.push_back(transaction);
        displaced
    }

    /// Gives responses that came early to the requests they turn out to answer: by what the client's ACK says, and
    /// by position as far as the `call` goes; `begun` as in `answer`.
    pub fn join_early(&mut self, call: Call, begun: Option<u32>) -> Joined {
        let mut joined = Joined::default();
        while let Some((from, found)) = self.next_join(call, begun) {
            let Some(Transaction { response: Some(response), early: Some(early), .. }) =
                self.open.remove(from)
            else {
                break;
            };
            let found = Match { position: found.position - usize::from(from < found.position), ..found };
            match early.interim {
                Some(status) => {
                    joined.folded += 1;
                    joined.truncated += u64::from(!early.is_whole);
                    let Side { seq, is_behind_gap, .. } = response;
                    let end_seq = early.extent.end_seq(response.head_end);
                    self.add_info(found, Interim { status, seq, end_seq, is_behind_gap });
                }
                None => {
                    let is_expected = self.open[found.position].response_expected == Some(response.seq);
                    joined.answers += 1;
                    joined.truncated += u64::from(!early.is_whole);
                    let method = self.open[found.position].traits.method;
                    let tunnel = flag_of(method, early.status).filter(|_| is_expected);
                    let response = match method {
                        Some(_) | None if !is_expected => response,
                        Some(_) | None if tunnel.is_some() => response.without_body(),
                        Some(Method::Head) => response.without_body(),
                        Some(_) | None => Side { extent: early.extent, ..response },
                    };
                    self.answer(found, response, early.flags, begun);
                    self.open[found.position].tunnel = tunnel;
                    if tunnel.is_some() {
                        joined.is_tunnel_proved = found.state == PairState::AckVerified;
                        joined.tunnel =
                            Some(TunnelEnd { response: response.head_end, request: response.ack });
                    }
                    joined.folded += self.fold_before(found.position);
                }
            }
        }
        joined
    }

    /// Folds the interim responses that end where the final one of the transaction at `position` begins: nothing lies
    /// between, so they are to the same request, where the server had that. Returns how many.
    pub fn fold_before(&mut self, mut position: usize) -> u64 {
        let open = &self.open[position];
        let Transaction { request: Some(asked), response: Some(response), folded_from, .. } = *open else {
            return 0;
        };
        let led_from = open.led_from(response.seq);
        let mut start = folded_from.or(led_from).unwrap_or(response.seq);
        let mut statuses = [0; INFO_STATUS_COUNT_MAX];
        let mut count = 0;
        let ends_at = |open: &Transaction, end: u32| {
            let early = open.early?;
            let response = open.response?;
            let is_covered = response.ack.is_some_and(|ack| seq::at_or_after(ack, asked.head_end));
            let is_it = is_covered && early.extent.end_seq(response.head_end) == Some(end);
            early.interim.filter(|_| is_it).map(|status| (status, response.seq))
        };
        while count < INFO_STATUS_COUNT_MAX {
            let mut open = self.open.iter().enumerate();
            let found = open.find_map(|(from, open)| Some((from, ends_at(open, start)?)));
            let Some((from, (status, seq))) = found else { break };
            self.open.remove(from);
            position -= usize::from(from < position);
            statuses[count] = status;
            count += 1;
            start = seq;
        }
        if count == 0 {
            return 0;
        }
        statuses[..count].reverse();
        self.open[position].fold(&statuses[..count], start);
        count as u64
    }

    /// The same for every transaction that has its final response: one that came late may lead to them.
    pub fn fold_late(&mut self) -> u64 {
        let mut folded = 0;
        let mut position = 0;
        while position < self.open.len() {
            let late = self.fold_before(position);
            folded += late;
            // Those that are folded leave the queue.
            position = if late == 0 { position + 1 } else { 0 };
        }
        folded
    }

    /// The first early response, in the order of its stream, that has a request now.
    fn next_join(&self, call: Call, begun: Option<u32>) -> Option<(usize, Match)> {
        let early = self.open.iter().enumerate().filter(|(_, open)| open.early.is_some());
        let joins = early.filter_map(|(from, open)| {
            let response = open.response.as_ref()?;
            let is_over = match call {
                Call::Early => false,
                // Where an answer is missing before it, that may only be late: then its place tells nothing yet.
                Call::Read(ack) => {
                    let is_behind_begun = begun.is_some_and(|begun| seq::after(response.seq, begun));
                    let misses = self.misses_answer_before(response.seq, response.ack);
                    seq::after(ack, response.seq) && !is_behind_begun && !misses
                }
                Call::Last => true,
            };
            let found = if is_over {
                self.find(response.seq, response.ack)
            } else {
                self.find_expected(response.seq, response.ack)
            };
            // The request that is missing may only be late, as long as there is room to wait for it.
            let is_late = |found: &Match| {
                self.open[found.position].is_behind_gap && self.open.len() < WAITING_COUNT_MAX
            };
            let found = found.filter(|found| call == Call::Last || !is_late(found));
            Some((from, response.seq, found?))
        });
        let first = joins.reduce(|first, next| if seq::after(first.1, next.1) { next } else { first })?;
        Some((first.0, first.2))
    }

    /// The time of the response that waits longest for its request.
    pub fn oldest_early_ts(&self) -> Option<u64> {
        self.open.iter().filter(|open| open.early.is_some()).map(Transaction::ts_last).min()
    }

    /// Whether a response that begins before `resp_seq` waits for its request: it is to have one first.
    pub fn has_early_before(&self, resp_seq: u32) -> bool {
        let waits = self.open.iter().filter(|open| open.early.is_some());
        waits.filter_map(|open| open.response).any(|response| seq::after(resp_seq, response.seq))
    }

    /// Whether a response waits for its request.
    pub fn has_early(&self) -> bool {
        self.open.iter().any(|open| open.early.is_some())
    }
}
