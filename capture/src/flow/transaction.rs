//! Pairs responses with requests of one connection, by what ACKs and sequence numbers prove (DESIGN.md section 5).
//!
//! Proof: the response begins where the client's own ACK said, when it sent the request, that the server's stream
//! stood; its ACK covers the request; and no byte is missing before the request that could hide another one.
//! Invariant: without proof nothing is called verified; a pair is never forced.

mod early;
mod interim;
mod late;
mod order;
mod retract;
mod side;
mod tunnel;

use std::collections::VecDeque;

use storage::{
    batch::{RequestId, ResponseId},
    flags::Flags,
    values::PairState,
};

use super::seq;
pub use early::{Call, Early, Joined};
pub use interim::Interim;
use late::expected_behind;
pub use retract::Retracted;
pub use side::Side;
pub use tunnel::TunnelEnd;

use crate::http::Method;
use crate::limits::{INFO_STATUS_COUNT_MAX, TRANSACTION_COUNT_PER_FLOW_MAX, WAITING_COUNT_MAX};

/// What pairing and framing need to remember of a request beside its place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestTraits {
    /// `Expect: 100-continue`.
    pub expects_continue: bool,
    /// The method: the response's framing depends on it.
    pub method: Option<Method>,
    /// An Upgrade was asked for.
    pub asks_upgrade: bool,
}

/// One transaction, either side of which may be absent.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// Count on this connection, from 0.
    pub index: i32,
    /// The request.
    pub request: Option<Side<RequestId>>,
    /// What the request asked for.
    pub traits: RequestTraits,
    /// The final response.
    pub response: Option<Side<ResponseId>>,
    /// How the sides came together.
    pub pair_state: PairState,
    flags: Flags,
    /// Flags that came with the response.
    answer_flags: Flags,
    info_status: [i32; INFO_STATUS_COUNT_MAX],
    info_count: u8,
    /// Where the last interim response ends, and where those begin that lead to it one behind the other.
    info_end: Option<u32>,
    info_from: Option<u32>,
    /// A message is missing before those, or part of one.
    info_behind_gap: bool,
    early: Option<Early>,
    /// Where the interim responses begin that were folded behind the final one, and how many they are.
    folded_from: Option<u32>,
    folded_count: u8,
    /// It ended HTTP: what it is flagged with once data shows behind it.
    tunnel: Option<Flags>,
    response_expected: Option<u32>,
    is_anchored: bool,
    /// Its request begins where the message before it ends.
    is_continuous: bool,
    /// Bytes are missing before its request that may hold another one.
    is_behind_gap: bool,
    /// When a proved pair behind it showed that its answer passed unseen, or is late.
    abandoned_at: Option<u64>,
}

impl Transaction {
    fn new(index: i32) -> Self {
        Transaction {
            index,
            request: None,
            traits: RequestTraits::default(),
            response: None,
            pair_state: PairState::RequestOnly,
            flags: Flags::NONE,
            answer_flags: Flags::NONE,
            info_status: [0; INFO_STATUS_COUNT_MAX],
            info_count: 0,
            info_end: None,
            info_from: None,
            info_behind_gap: false,
            early: None,
            folded_from: None,
            folded_count: 0,
            tunnel: None,
            response_expected: None,
            is_anchored: false,
            is_continuous: false,
            is_behind_gap: false,
            abandoned_at: None,
        }
    }

    /// Status codes of the interim responses, in order.
    pub fn info_status(&self) -> &[i32] {
        &self.info_status[..usize::from(self.info_count)]
    }

    /// Time of the last thing known of it.
    pub fn ts_last(&self) -> u64 {
        let request = self.request.map_or(0, |side| side.ts_end.unwrap_or(side.ts_last));
        self.response.map_or(request, |side| request.max(side.ts_end.unwrap_or(side.ts_last)))
    }

    /// Whether it waits for a response that may still come.
    pub fn is_unanswered(&self) -> bool {
        self.is_unpaired() && self.abandoned_at.is_none()
    }

    /// Whether its answer was not seen, though a later one was, and when that was.
    pub fn abandoned_at(&self) -> Option<u64> {
        self.abandoned_at.filter(|_| self.response.is_none())
    }

    fn is_unpaired(&self) -> bool {
        self.response.is_none() && self.request.is_some()
    }

    /// Whether a request that is missing before its own may still come, and take what looks like its answer.
    pub fn is_behind_gap(&self) -> bool {
        self.is_behind_gap
    }

    /// The response that waits for its request, where that is all there is.
    pub fn early(&self) -> Option<Early> {
        self.early
    }

    /// Flags of the two sides together.
    pub fn flags(&self) -> Flags {
        let minor = |version: Option<Option<u8>>| version.flatten();
        let request = minor(self.request.map(|side| side.version_minor));
        let response = minor(self.response.map(|side| side.version_minor));
        let differs = request.zip(response).is_some_and(|(request, response)| request != response);
        let flags = self.flags.with(self.answer_flags);
        if differs { flags.with(Flags::VERSION_MISMATCH) } else { flags }
    }

    /// Whether everything that can be known of it is known.
    fn is_settled(&self) -> bool {
        if self.tunnel.is_some() {
            return false;
        }
        match (&self.request, &self.response) {
            (Some(request), Some(response)) => request.end_seq.is_some() && response.end_seq.is_some(),
            (None, Some(response)) => self.early.is_none() && response.end_seq.is_some(),
            (Some(_), None) => false,
            (None, None) => true,
        }
    }
}

/// What stands before a request in its direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// The request before it, or the beginning of the connection: no byte is missing.
    Continuous,
    /// Bytes that are missing.
    Gap,
    /// Nobody can say: the capture began later, or behind a body that does not tell its length.
    Unknown,
}

/// Which transaction a response belongs to, and how sure that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    /// Position in the queue.
    pub position: usize,
    /// The state a final response gives the row.
    pub state: PairState,
}

/// The open transactions of one connection, oldest first.
#[derive(Debug, Default)]
pub struct Transactions {
    open: VecDeque<Transaction>,
    next_index: i32,
    is_pipelined: bool,
    /// Where the furthest response begins that was taken for an answer.
    answered_to: Option<u32>,
    /// How far the client had read when it sent the last request that left without its answer.
    left_at: Option<u32>,
}

impl Transactions {
    /// Open transactions.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Gives back the memory of transactions where none is open: most connections are silent, and the one that speaks next finds
    /// what this one had, still in the cache.
    pub fn let_go(&mut self) {
        if self.open.is_empty() {
            self.open = VecDeque::new();
        }
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Every open transaction, oldest first.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Transaction> {
        self.open.iter_mut()
    }

    /// The transaction at `position`.
    pub fn get(&self, position: usize) -> &Transaction {
        &self.open[position]
    }

    /// Opens a transaction with its request, at its place among those of its direction.
    ///
    /// Returns the oldest transaction where the limit leaves no room for it.
    pub fn open_request(
        &mut self,
        request: Side<RequestId>,
        traits: RequestTraits,
        before: Before,
    ) -> Option<Transaction> {
        let (is_continuous, is_behind_gap) = (before == Before::Continuous, before == Before::Gap);
        let displaced = self.make_room();
        let mut transaction = self.next_transaction();
        // Responses that wait for their request stand between those, in no order.
        let is_older =
            |open: &Transaction| open.request.is_some_and(|side| !seq::after(side.seq, request.seq));
        let at = self.open.iter().rposition(is_older).map_or(0, |older| older + 1);
        let before = self.open.range(..at).rev().find(|open| open.is_unanswered());
        self.is_pipelined |= before.is_some();
        transaction.response_expected = match before {
            None => request.ack,
            Some(before) if is_continuous => expected_behind(before, request.ack),
            Some(_) => None,
        };
        let before_is_anchored = self
            .open
            .range(..at)
            .rev()
            .find(|open| open.request.is_some())
            .is_none_or(|open| open.is_anchored);
        // An answer taken from behind where this one's should begin was not in its turn.
        let is_in_turn = match (self.answered_to, request.ack) {
            (Some(answered_to), Some(ack)) => seq::after(ack, answered_to) || before.is_some(),
            (None, _) | (_, None) => true,
        };
        // The answer to one that nobody waits for any longer may still come, and first.
        let is_alone =
            self.left_at.is_none_or(|left_at| request.ack.is_some_and(|ack| seq::after(ack, left_at)));
        let is_in_turn = is_in_turn && is_alone;
        transaction.is_anchored = is_continuous && is_in_turn && (!self.is_pipelined || before_is_anchored);
        transaction.is_continuous = is_continuous;
        transaction.is_behind_gap = is_behind_gap;
        transaction.request = Some(request);
        transaction.traits = traits;
        self.open.insert(at, transaction);
        self.mend_behind(at);
        displaced
    }

    /// Whether a client's ACK says that the answer to its request begins at `resp_seq`.
    pub fn expects_response_at(&self, resp_seq: u32) -> bool {
        self.open.iter().any(|open| open.is_unanswered() && open.response_expected == Some(resp_seq))
    }

    /// Whether a client sent a request when it had read up to `resp_seq`, where one message ends and another begins.
    pub fn is_read_to(&self, resp_seq: u32) -> bool {
        self.open.iter().any(|open| open.request.is_some_and(|request| request.ack == Some(resp_seq)))
    }

    /// Whether the answer to a request that the server had when it sent `ack` begins before `resp_seq` and is missing: where
    /// it is only late, position tells nothing.
    pub fn misses_answer_before(&self, resp_seq: u32, ack: Option<u32>) -> bool {
        let is_before = |open: &Transaction| {
            open.response_expected.is_some_and(|expected| seq::after(resp_seq, expected))
        };
        self.open.iter().any(|open| is_covered(open, ack) && is_before(open))
    }

    /// Finds the request a response at `resp_seq` with `ack` belongs to; `None` where it must stand alone.
    pub fn find(&self, resp_seq: u32, ack: Option<u32>) -> Option<Match> {
        self.find_expected(resp_seq, ack).or_else(|| self.find_possible(resp_seq, ack))
    }

    /// Finds the request whose answer begins at `resp_seq`, as the client's own ACK says.
    pub fn find_expected(&self, resp_seq: u32, ack: Option<u32>) -> Option<Match> {
        let is_expected = |open: &&Transaction| {
            open.is_unpaired() && had_arrived(open, ack) && open.response_expected == Some(resp_seq)
        };
        // The answer to one that is not waited for any longer is only late.
        let is_first = |open: &Transaction| open.is_unanswered() && is_expected(&open);
        let position = self.open.iter().position(is_first);
        let position = position.or_else(|| self.open.iter().position(|open| is_expected(&open)))?;
        let state =
            if self.open[position].is_anchored { PairState::AckVerified } else { PairState::Positional };
        Some(Match { position, state })
    }

    /// Gives a transaction its final response.
    ///
    /// Older requests lose hope where the pair is proved: servers answer in order (RFC 9112 section 9.3.2). Not the one
    /// whose answer begins at `begun`, where a head is in progress.
    pub fn answer(&mut self, found: Match, response: Side<ResponseId>, flags: Flags, begun: Option<u32>) {
        if found.state == PairState::AckVerified {
            for open in self.open.iter_mut().take(found.position) {
                let is_begun = begun.is_some() && open.response_expected == begun;
                if open.response.is_none() && !is_begun {
                    open.abandoned_at.get_or_insert(response.ts_last);
                }
            }
        }
        let is_proved = found.state == PairState::AckVerified;
        let is_likely = found.state == PairState::Positional;
        let next_expected = response.extent.end_seq(response.head_end).filter(|_| is_proved || is_likely);
        self.answered_to =
            Some(self.answered_to.map_or(response.seq, |known| seq::latest(known, response.seq)));
        self.put(found, response, flags);
        let mut behind = self.open.range_mut(found.position + 1..);
        if let Some(next) = behind.find(|open| open.request.is_some())
            && next.is_unanswered()
            && next.response_expected.is_none()
        {
            next.response_expected = next_expected;
            // What follows from a likely pair is likely.
            next.is_anchored &= is_proved;
        }
    }

    /// The response before the proved one at `position`, and where it ends because nothing lies between.
    pub fn response_before(&mut self, position: usize) -> Option<(&mut Side<ResponseId>, u32)> {
        let this = self.open.get(position).filter(|open| open.pair_state == PairState::AckVerified)?;
        let (start, asked_at) = (this.response?.seq, this.request?.seq);
        // Behind an interim response the final one does not begin where the previous one ended.
        let before = self.open.get(position.checked_sub(1)?)?;
        let head_end = before.response?.head_end;
        let is_interim = |open: &Transaction| open.early.is_some_and(|early| early.interim.is_some());
        let is_between =
            |open: &Transaction| open.response.is_some_and(|side| seq::is_within(side.seq, head_end, start));
        if this.info_count > 0 || self.open.iter().any(|open| is_interim(open) && is_between(open)) {
            return None;
        }
        let before = self.open.get_mut(position - 1)?;
        let is_next = before.request?.end_seq == Some(asked_at);
        let response = before.response.as_mut().filter(|_| before.pair_state == PairState::AckVerified)?;
        is_next.then_some((response, start))
    }

    /// The proved answer whose head ends at `head_end`.
    pub fn proved_answer(&self, head_end: u32) -> Option<&Side<ResponseId>> {
        let proved = self.open.iter().filter(|open| open.pair_state == PairState::AckVerified);
        proved.filter_map(|open| open.response.as_ref()).find(|response| response.head_end == head_end)
    }

    /// The proved answer to the request that ends at `asked_end`.
    pub fn proved_answer_to(&mut self, asked_end: u32) -> Option<&mut Side<ResponseId>> {
        let is_it = |open: &&mut Transaction| {
            open.pair_state == PairState::AckVerified
                && open.request.is_some_and(|request| request.end_seq == Some(asked_end))
        };
        self.open.iter_mut().find(is_it)?.response.as_mut()
    }

    /// Flags the transaction of which a head of the client or of the server ends at `head_end`.
    pub fn flag_message(&mut self, head_end: u32, is_client: bool, flag: Flags) {
        let is_it = |open: &&mut Transaction| {
            let request_end = open.request.map(|side| side.head_end);
            let end = if is_client { request_end } else { open.response.map(|side| side.head_end) };
            end == Some(head_end)
        };
        if let Some(open) = self.open.iter_mut().find(is_it) {
            if is_client { &mut open.flags } else { &mut open.answer_flags }.insert(flag);
        }
    }

    /// Whether a request waits for its response.
    pub fn has_unanswered(&self) -> bool {
        self.open.iter().any(Transaction::is_unanswered)
    }

    /// Takes out the oldest transaction of which nothing more is to come; `begun` is where the oldest answer in progress begins.
    pub fn take_settled(&mut self, begun: Option<u32>) -> Option<Transaction> {
        let yields = |open: &Transaction| begun.is_some_and(|begun| open.yields_to(begun));
        let may_wait = self.open.len() < WAITING_COUNT_MAX;
        let waits = |open: &Transaction| may_wait && open.misses_interim();
        let is_it = |open: &Transaction| open.is_settled() && !waits(open) && !yields(open);
        let position = self.open.iter().position(is_it)?;
        self.open.remove(position)
    }

    /// Takes out the oldest transaction, settled or not.
    pub fn take_oldest(&mut self) -> Option<Transaction> {
        self.take(0)
    }

    /// Takes out the oldest transaction that `is_over` says is waited for no longer.
    pub fn take_if(&mut self, is_over: impl Fn(&Transaction) -> bool) -> Option<Transaction> {
        let position = self.open.iter().position(is_over)?;
        self.take(position)
    }

    /// Takes out a transaction, and notes where the answer to it would begin that is waited for no longer.
    fn take(&mut self, position: usize) -> Option<Transaction> {
        let taken = self.open.remove(position)?;
        if taken.is_unanswered()
            && let Some(ack) = taken.request.and_then(|side| side.ack)
        {
            self.left_at = Some(self.left_at.map_or(ack, |known| seq::latest(known, ack)));
        }
        Some(taken)
    }

    fn make_room(&mut self) -> Option<Transaction> {
        if self.open.len() < TRANSACTION_COUNT_PER_FLOW_MAX {
            return None;
        }
        let mut displaced = self.take(0);
        if let Some(transaction) = &mut displaced {
            transaction.flags.insert(Flags::PAIRING_OVERFLOW);
        }
        displaced
    }

    fn next_transaction(&mut self) -> Transaction {
        if self.open.capacity() == 0 {
            self.open.reserve_exact(1);
        }
        let transaction = Transaction::new(self.next_index);
        self.next_index = self.next_index.saturating_add(1);
        transaction
    }
}

/// Whether a transaction waits for a response, and an ACK of the server says that its request had arrived.
fn is_covered(open: &Transaction, ack: Option<u32>) -> bool {
    open.is_unanswered() && had_arrived(open, ack)
}

/// Whether an ACK of the server says that a transaction's request had arrived.
fn had_arrived(open: &Transaction, ack: Option<u32>) -> bool {
    let ends_before =
        |request: Side<RequestId>| ack.is_some_and(|ack| seq::at_or_after(ack, request.head_end));
    open.request.is_some_and(ends_before)
}

#[cfg(test)]
mod tests;
