//! Transactions that end HTTP on their connection: where, and whether anything came behind.

use storage::{flags::Flags, values::PairState};

use super::{Retracted, Transactions};
use crate::flow::seq;
use crate::http::Method;

/// Where HTTP ended in either direction: behind a response, and where the client stood by its ACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunnelEnd {
    /// Sequence number behind the response.
    pub response: u32,
    /// Sequence number behind all that the client had sent.
    pub request: Option<u32>,
}

impl Transactions {
    /// Keeps the transaction at `position`, which ended HTTP, until data shows behind it; then it is flagged with `flag`.
    pub fn await_tunnel(&mut self, position: usize, flag: Flags) {
        self.open[position].tunnel = Some(flag);
    }

    /// Takes back what was taken for messages and begins behind the end of HTTP.
    pub fn retract_tunnelled(&mut self, end: TunnelEnd) -> Retracted {
        let Some(end) = end.request else { return Retracted::default() };
        self.take_back(|open| {
            let is_behind = open.request.is_some_and(|side| seq::at_or_after(side.seq, end));
            is_behind && open.pair_state != PairState::AckVerified
        })
    }

    /// Notes data up to `end` on a connection that has left HTTP, sent by the client or by the server.
    pub fn note_tunnel_data(&mut self, end: u32, is_client: bool) {
        let Some(open) = self.open.iter_mut().find(|open| open.tunnel.is_some()) else { return };
        let request_end = open.request.map(|side| side.end_seq.unwrap_or(side.head_end));
        let message_end = if is_client { request_end } else { open.response.map(|side| side.head_end) };
        if message_end.is_some_and(|message_end| seq::after(end, message_end)) {
            open.flags.insert(open.tunnel.take().unwrap_or(Flags::NONE));
        }
    }
}

/// The flag of data behind a response that ends HTTP on its connection, where it does in answer to this method.
pub(super) fn flag_of(method: Option<Method>, status: Option<i32>) -> Option<Flags> {
    match (method, status) {
        (_, Some(101)) => Some(Flags::UPGRADE_DATA),
        (Some(Method::Connect), Some(200..=299)) => Some(Flags::CONNECT_DATA),
        (_, Some(_) | None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{MSS, open, reply};
    use super::*;

    #[test]
    fn what_begins_behind_the_end_of_http_is_taken_back() {
        let mut transactions = Transactions::default();
        for seq in [1_000, 1_100, 1_200] {
            open(&mut transactions, seq, 500, true);
        }
        let proved = reply(&mut transactions, 500, 1_000 + MSS);
        assert_eq!(proved.map(|found| found.state), Some(PairState::AckVerified));
        let unknown = TunnelEnd { response: 600, request: None };
        assert_eq!(transactions.retract_tunnelled(unknown), Retracted::default(), "where, nobody says");
        let end = TunnelEnd { response: 600, request: Some(1_100) };
        assert_eq!(transactions.retract_tunnelled(end), Retracted { heads: 0, messages: 2 });
        assert_eq!(transactions.len(), 1, "though they follow on the one before");
        let end = TunnelEnd { response: 600, request: Some(1_000) };
        assert_eq!(transactions.retract_tunnelled(end), Retracted::default(), "what is proved stays");
    }
}
