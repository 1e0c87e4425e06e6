//! What a batch shows of a row to somebody who watches: a few values, borrowed, in the form the files get.

use std::net::IpAddr;

use super::{Batch, ConnectionId, RequestId, ResponseId, columns::RequestText, strings::ABSENT};

/// The values of a row that tell a person what it is about; stored forms, so redacted and UTF-8 (see `escape`).
#[derive(Clone, Copy, Debug)]
pub struct Glance<'a> {
    /// The sender of requests.
    pub client: (IpAddr, u16),
    /// The sender of responses.
    pub server: (IpAddr, u16),
    /// N of 1/N sampling.
    pub sample_weight: i32,
    /// Method as on the wire.
    pub method: Option<&'a [u8]>,
    /// Host in lower case.
    pub host: Option<&'a [u8]>,
    /// Target as on the wire.
    pub target: Option<&'a [u8]>,
    /// Path of the target.
    pub path: Option<&'a [u8]>,
    /// Query of the target.
    pub query: Option<&'a [u8]>,
    /// Path with digits, UUIDs and long hex replaced.
    pub path_template: Option<&'a [u8]>,
    /// Final status code.
    pub status: Option<i32>,
}

impl Batch {
    /// A look at the values that a row of these three would have.
    pub fn glance(
        &self,
        connection: ConnectionId,
        request: Option<RequestId>,
        response: Option<ResponseId>,
    ) -> Glance<'_> {
        let ends = &self.connections.records[connection.0 as usize];
        let text = |column: RequestText| {
            let code = self.requests.records[request?.0 as usize].texts[column as usize];
            (code != ABSENT).then(|| self.requests.texts[column as usize].get(code))
        };
        Glance {
            client: ends.client,
            server: ends.server,
            sample_weight: ends.sample_weight,
            method: text(RequestText::MethodRaw),
            host: text(RequestText::Host),
            target: text(RequestText::TargetRaw),
            path: text(RequestText::Path),
            query: text(RequestText::Query),
            path_template: text(RequestText::PathTemplate),
            status: response.and_then(|id| self.responses.records[id.0 as usize].status.get()),
        }
    }
}
