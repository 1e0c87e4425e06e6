//! Transactions that end HTTP on their connection: where, and whether anything came behind.

use storage::flags::Flags;

use super::Transactions;
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
