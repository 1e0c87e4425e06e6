//! From a finished transaction to a row: times, sizes and evidence, in the units of the schema.

use std::net::IpAddr;

use storage::{
    batch::ConnectionId,
    values::{ConnectionValues, PairState, RowValues, TimeSource, Tunnel},
};

use super::Stages;
use crate::{
    community_id::{COMMUNITY_ID_BYTES, community_id},
    flow::{
        connection::Connection,
        origin::Encapsulation,
        transaction::{Call, Transaction},
    },
    ledger::Counter,
};

impl Stages {
    /// Appends a row for every transaction of which nothing more is to come.
    pub(super) fn emit_settled(&mut self, connection: &mut Connection) {
        let retracted = connection.transactions.retract_in_bodies();
        self.count_retracted(retracted);
        let begun = connection.oldest_answer_begun();
        while let Some(transaction) = connection.transactions.take_settled(begun) {
            self.emit(connection, &transaction);
        }
    }

    /// Appends a row for every transaction, as far as it is known.
    pub(super) fn emit_all(&mut self, connection: &mut Connection) {
        self.join_early(connection, Call::Last);
        while let Some(transaction) = connection.transactions.take_oldest() {
            self.emit(connection, &transaction);
        }
    }

    /// Appends the row of one transaction.
    pub(super) fn emit(&mut self, connection: &mut Connection, transaction: &Transaction) {
        let id = self.connection_id(connection, weight_of(transaction));
        let values = self.row_values(transaction);
        if let Some(early) = transaction.early() {
            let is_whole = early.is_whole;
            self.tally.count(if is_whole { Counter::MessagesWhole } else { Counter::MessagesTruncated });
            self.tally.count(Counter::Responses);
        }
        let request = transaction.request.map(|side| side.id);
        let response = transaction.response.map(|side| side.id);
        match (request, response, transaction.info_status()) {
            (_, _, []) | (None, None, _) => {}
            (_, Some(response), interim) => self.batch.set_info_status(response, interim),
            (Some(request), None, interim) => self.batch.set_info_status_unanswered(request, interim),
        }
        let status = response.map(|response| self.batch.status(response));
        self.observed.figures.count(request.and(transaction.traits.method), status);
        if let Some(micros) = values.ttfb_us {
            self.observed.first_byte.record(micros.unsigned_abs(), 1);
        }
        self.batch.row(id, request, response, &values);
        self.show((id, request, response), &values);
        self.tally.count(Counter::Rows);
        self.tally.count(match transaction.pair_state {
            PairState::AckVerified => Counter::RowsAckVerified,
            PairState::Positional => Counter::RowsPositional,
            PairState::RequestOnly => Counter::RowsRequestOnly,
            PairState::ResponseOnly => Counter::RowsResponseOnly,
            PairState::Ambiguous => Counter::RowsAmbiguous,
        });
    }

    fn row_values(&self, transaction: &Transaction) -> RowValues {
        let (request, response) = (transaction.request.as_ref(), transaction.response.as_ref());
        let ts_first = request.map(|side| side.ts_first).or(response.map(|side| side.ts_first)).unwrap_or(0);
        let request_end = request.and_then(|side| side.ts_end);
        let request_start = request.and_then(|side| side.ts_begin());
        let response_start = response.and_then(|side| side.ts_begin());
        let seq = |value: u32| Some(i64::from(value));
        RowValues {
            ts_ns: i64::try_from(ts_first).unwrap_or(i64::MAX).saturating_add(self.clock_offset_ns),
            ts_source: self.ts_source,
            transaction_index: transaction.index,
            pair_state: transaction.pair_state,
            req_seq: request.and_then(|side| seq(side.seq)),
            req_end_seq: request.and_then(|side| seq(side.end_seq.unwrap_or(side.head_end))),
            resp_seq: response.and_then(|side| seq(side.seq)),
            resp_ack: response.and_then(|side| side.ack).and_then(seq),
            req_body_bytes: request.and_then(|side| side.body_bytes()),
            resp_body_bytes: response.and_then(|side| side.body_bytes()),
            ttfb_us: micros(request_end, response_start),
            req_duration_us: micros(request_start, request_end),
            resp_head_duration_us: micros(response_start, response.map(|side| side.ts_last)),
            total_us: micros(request_start, request.and(response.and_then(|side| side.ts_end))),
            flags: transaction.flags(),
        }
    }

    /// The connection's id in the current batch; its values are appended where it has none there yet with this N.
    fn connection_id(&mut self, connection: &mut Connection, sample_weight: u32) -> ConnectionId {
        if let Some((epoch, weight, id)) = connection.id
            && (epoch, weight) == (self.epoch, sample_weight)
        {
            return id;
        }
        let (low, high) = (end_of(connection.key.low, connection), end_of(connection.key.high, connection));
        let (client, server) = if connection.client == Some(1) { (high, low) } else { (low, high) };
        let origin = &connection.origin;
        let interface = self.interfaces.iter().find(|(index, _)| *index == origin.ifindex);
        let mut text = [0; COMMUNITY_ID_BYTES];
        let mut community_id = Some(community_id(client.into(), server.into(), &mut text));
        let (mut shown_client, mut flow_id) = (client, origin.flow_hash);
        if let Some(network) = self.redactor.client(client.0) {
            // Both are made of the whole address by public means: trying the addresses of the network would find it.
            community_id = None;
            flow_id = self.redactor.pseudonym(flow_id);
            shown_client.0 = network;
        }
        let rtt_ns = connection.handshake.and_then(|handshake| handshake.rtt_ns());
        let id = self.batch.connection(&ConnectionValues {
            iface: interface.map_or("", |(_, name)| name.as_str()),
            queue: (self.ts_source != TimeSource::Pcap).then_some(i32::from(origin.queue)),
            sample_weight: i32::try_from(sample_weight).unwrap_or(i32::MAX),
            flow_id: flow_id.cast_signed(),
            community_id,
            client: shown_client,
            server,
            vlan_ids: origin.vlan_ids(),
            tunnel: origin.tunnel.and_then(tunnel_of),
            syn_seen: connection.handshake.is_some(),
            tcp_rtt_us: rtt_ns.and_then(|ns| i64::try_from(ns / 1_000).ok()),
        });
        connection.id = Some((self.epoch, sample_weight, id));
        id
    }
}

/// N in force when the transaction began, as far as it was seen: a change of sampling in between does not blur the sum.
fn weight_of(transaction: &Transaction) -> u32 {
    let request = transaction.request.map(|side| side.sample_weight);
    request.or(transaction.response.map(|side| side.sample_weight)).unwrap_or(1)
}

/// Microseconds between two times; `None` where one is unknown or they contradict each other.
fn micros(from: Option<u64>, to: Option<u64>) -> Option<i64> {
    i64::try_from(to?.checked_sub(from?)? / 1_000).ok()
}

fn end_of((ip, port): ([u8; 16], u16), connection: &Connection) -> (IpAddr, u16) {
    (address(ip, connection.key.ip_version), port)
}

fn address(bytes: [u8; 16], version: u8) -> IpAddr {
    if version == 4 {
        let [a, b, c, d, ..] = bytes;
        IpAddr::from([a, b, c, d])
    } else {
        IpAddr::from(bytes)
    }
}

fn tunnel_of(tunnel: Encapsulation) -> Option<Tunnel> {
    Some(Tunnel {
        kind: tunnel.kind.name()?,
        id: tunnel.id.map(i64::from),
        outer_src: address(tunnel.outer_src.bytes(), tunnel.outer_ip_version),
        outer_dst: address(tunnel.outer_dst.bytes(), tunnel.outer_ip_version),
    })
}
