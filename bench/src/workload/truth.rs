//! What is true about a workload: one line per transaction, one summary per file.

use std::{collections::BTreeMap, net::IpAddr};

use serde::{Deserialize, Serialize};

/// One request and its response, as a perfect capture would report them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// Address of the client.
    pub client_ip: IpAddr,
    /// Port of the client.
    pub client_port: u16,
    /// Address of the server.
    pub server_ip: IpAddr,
    /// Port of the server.
    pub server_port: u16,
    /// VLAN id of its frames.
    pub vlan_id: Option<u16>,
    /// Position on its connection, from 0.
    pub transaction_index: u32,
    /// Request method.
    pub method: String,
    /// Host field without port.
    pub host: String,
    /// Request target: path and query.
    pub target: String,
    /// Status code.
    pub status: u16,
    /// Bytes of the request head, empty line included.
    pub req_head_bytes: u64,
    /// Bytes of the response head, empty line included.
    pub resp_head_bytes: u64,
    /// Bytes of the request body on the wire.
    pub req_body_bytes: u64,
    /// Bytes of the response body on the wire, chunk framing included.
    pub resp_body_bytes: u64,
    /// Field lines of the request.
    pub req_header_count: u32,
    /// Field lines of the response.
    pub resp_header_count: u32,
    /// Bytes of the Cookie value.
    pub cookie_bytes: u64,
}

/// Sums over a workload.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Profile it was made by.
    pub profile: String,
    /// Seed it was made from.
    pub seed: u64,
    /// Connections.
    pub connections: u64,
    /// Connections over IPv6.
    pub ipv6_connections: u64,
    /// Connections with a VLAN tag.
    pub vlan_connections: u64,
    /// Transactions.
    pub transactions: u64,
    /// Frames written.
    pub frames: u64,
    /// Bytes of these frames.
    pub frame_bytes: u64,
    /// Bytes of the capture file.
    pub pcap_bytes: u64,
    /// Bytes of request heads.
    pub req_head_bytes: u64,
    /// Bytes of response heads.
    pub resp_head_bytes: u64,
    /// Bytes of request bodies.
    pub req_body_bytes: u64,
    /// Bytes of response bodies.
    pub resp_body_bytes: u64,
    /// Field lines of requests.
    pub req_headers: u64,
    /// Field lines of responses.
    pub resp_headers: u64,
    /// Request heads in more than one segment.
    pub req_heads_in_segments: u64,
    /// Response heads in more than one segment.
    pub resp_heads_in_segments: u64,
    /// Responses with chunked transfer coding.
    pub chunked: u64,
    /// Responses with gzip content coding.
    pub gzip: u64,
    /// Responses whose body ends with the connection.
    pub close_delimited: u64,
    /// Frames that were put behind the next one of their connection.
    pub reordered: u64,
    /// Frames that were sent twice.
    pub duplicated: u64,
    /// Frames that were left out.
    pub lost: u64,
    /// Transactions by method.
    pub methods: BTreeMap<String, u64>,
    /// Transactions by status code.
    pub statuses: BTreeMap<u16, u64>,
    /// Time from first to last frame in nanoseconds.
    pub duration_ns: u64,
}

impl Summary {
    pub(super) fn add(&mut self, transaction: &Transaction) {
        self.transactions += 1;
        self.req_head_bytes += transaction.req_head_bytes;
        self.resp_head_bytes += transaction.resp_head_bytes;
        self.req_body_bytes += transaction.req_body_bytes;
        self.resp_body_bytes += transaction.resp_body_bytes;
        self.req_headers += u64::from(transaction.req_header_count);
        self.resp_headers += u64::from(transaction.resp_header_count);
        *self.methods.entry(transaction.method.clone()).or_default() += 1;
        *self.statuses.entry(transaction.status).or_default() += 1;
    }
}
