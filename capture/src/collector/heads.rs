//! From a head's bytes to its place in a transaction: parse, redact, append, pair.

use common::record::Record;
use storage::{batch::ResponseId, flags::Flags};

use super::Stages;
use crate::{
    flow::{
        assembler::{Fed, HeadSpan},
        connection::{Connection, HttpEnd},
        direction::Extent,
        seq,
        transaction::{Match, RequestTraits, Side},
    },
    http::{Body, Head, RequestHead, ResponseHead},
    ledger::Counter,
};

impl Stages {
    /// Goes on with what a record that begins a head led to.
    pub(super) fn fed_by_head(
        &mut self,
        connection: &mut Connection,
        side: usize,
        (record, bytes): (&Record, &[u8]),
        fed: Fed,
    ) {
        match fed {
            Fed::InPlace(span) => {
                connection.close_bodies(side, record.seq, false);
                self.message(connection, side, &span, bytes);
            }
            Fed::Assembled(span, bytes) => {
                connection.close_bodies(side, record.seq, false);
                self.message(connection, side, &span, &bytes);
            }
            Fed::Pending => {
                connection.close_bodies(side, record.seq, false);
                if connection.directions[side].assembler.is_over_limit() {
                    self.finish_oldest_partial(connection, side);
                }
            }
            Fed::Duplicate => self.tally.count(Counter::Duplicate),
            Fed::Orphan => unreachable!("a record that begins a head waits for no other"),
        }
    }

    /// Gives up waiting for the rest of every head in progress of a direction.
    pub(super) fn finish_partials(&mut self, connection: &mut Connection, side: usize) {
        while connection.directions[side].assembler.partial_count() > 0 {
            self.finish_oldest_partial(connection, side);
        }
        let early = connection.directions[side].assembler.drop_early();
        self.tally.add(Counter::RecordsOrphan, early as u64);
    }

    /// Gives up waiting for the rest of the oldest head in progress of a direction.
    pub(super) fn finish_oldest_partial(&mut self, connection: &mut Connection, side: usize) {
        if let Some((span, bytes)) = connection.directions[side].assembler.finish_oldest() {
            self.message(connection, side, &span, &bytes);
        }
    }

    /// Parses a head and gives it its place on the connection.
    pub(super) fn message(&mut self, connection: &mut Connection, side: usize, span: &HeadSpan, bytes: &[u8]) {
        let mut parser = std::mem::take(&mut self.parser);
        match parser.parse(bytes, span.complete) {
            Ok(Head::Request(head)) if head.is_http2_preface() => {
                self.tally.count(Counter::AfterEnd);
                connection.http_end = Some(HttpEnd::Http2);
            }
            Ok(Head::Request(head)) => {
                self.count_message(span, Counter::Requests);
                self.request(connection, side, span, &head);
            }
            Ok(Head::Response(head)) => {
                self.finish_acknowledged(connection, 1 - side, span);
                self.response(connection, side, span, &head);
            }
            Err(_) => self.tally.count(Counter::Malformed),
        }
        self.parser = parser;
    }

    fn count_message(&mut self, span: &HeadSpan, kind: Counter) {
        self.tally.count(if span.complete { Counter::MessagesWhole } else { Counter::MessagesTruncated });
        self.tally.count(kind);
    }

    fn request(&mut self, connection: &mut Connection, side: usize, span: &HeadSpan, head: &RequestHead<'_>) {
        self.set_client(connection, side);
        let mut values = self.redactor.request(head);
        values.flags.insert(span.flags);
        let id = self.batch.request(&values);
        let extent = extent_of(head.body());
        let request = Side::new(id, span, extent);
        if let Some(ack) = request.ack {
            connection.close_acknowledged(ack);
        }
        let traits = RequestTraits {
            expects_continue: head.expects_continue(),
            is_head: head.is_head(),
            is_connect: head.is_connect(),
            asks_upgrade: head.asks_upgrade(),
        };
        connection.directions[side].head_ended(span.end_seq, extent);
        if let Some(displaced) = connection.transactions.open_request(request, traits, span.is_continuous) {
            self.emit(connection, &displaced);
        }
    }

    fn response(&mut self, connection: &mut Connection, side: usize, span: &HeadSpan, head: &ResponseHead<'_>) {
        self.set_client(connection, 1 - side);
        connection.settle_chunked(1 - side, u64::MAX);
        let ack = Side::new((), span, Extent::None).ack;
        let found = connection.transactions.find(span.seq, ack);
        let is_interim = head.status().is_some_and(|status| (100..200).contains(&status) && status != 101);
        if let (true, Some(found), Some(status)) = (is_interim, found, head.status()) {
            self.count_message(span, Counter::Interim);
            connection.transactions.add_info(found.position, status, span.end_seq);
            connection.directions[side].head_ended(span.end_seq, Extent::None);
            return;
        }
        self.count_message(span, Counter::Responses);
        let traits = found.map(|found| connection.transactions.get(found.position).traits);
        let info = found.map_or(&[][..], |found| connection.transactions.get(found.position).info_status());
        let mut values = self.redactor.response(head, info);
        values.flags.insert(span.flags);
        let id = self.batch.response(&values);
        let extent = extent_of(head.body(traits.map(|traits| (traits.is_head, traits.is_connect))));
        connection.directions[side].head_ended(span.end_seq, extent);
        self.note_http_end(connection, head, traits);
        self.answer(connection, found, Side::new(id, span, extent), flags_of(head, traits));
    }

    fn answer(
        &mut self,
        connection: &mut Connection,
        found: Option<Match>,
        response: Side<ResponseId>,
        flags: Flags,
    ) {
        match found {
            Some(found) => connection.transactions.answer(found, response, flags),
            None => {
                let waiting = connection.transactions.has_unanswered();
                let why = if waiting { Flags::RESP_BEFORE_REQ } else { Flags::RESP_UNMATCHED };
                if let Some(displaced) = connection.transactions.open_response(response, flags.with(why)) {
                    self.emit(connection, &displaced);
                }
            }
        }
    }

    /// Hands on heads in progress that a response acknowledges beyond what was seen of them: the rest passed unseen.
    fn finish_acknowledged(&mut self, connection: &mut Connection, up: usize, response: &HeadSpan) {
        while let Some(end) = connection.directions[up].assembler.oldest_end() {
            if !seq::at_or_after(response.ack, end) {
                break;
            }
            self.finish_oldest_partial(connection, up);
        }
    }

    fn note_http_end(
        &mut self,
        connection: &mut Connection,
        head: &ResponseHead<'_>,
        traits: Option<RequestTraits>,
    ) {
        let is_connect = traits.is_some_and(|traits| traits.is_connect);
        connection.http_end = match head.status() {
            Some(101) => Some(HttpEnd::Upgrade),
            Some(200..=299) if is_connect => Some(HttpEnd::Connect),
            Some(_) | None => connection.http_end,
        };
    }

    /// Learns which end sends requests; where an end changes its part, what was open before is written as it is.
    fn set_client(&mut self, connection: &mut Connection, client: usize) {
        if connection.client.is_some_and(|known| known != client) {
            self.emit_all(connection);
            connection.id = None;
        }
        connection.client = Some(client);
    }
}

fn extent_of(body: Body) -> Extent {
    match body {
        Body::None | Body::Tunnel => Extent::None,
        Body::Length(bytes) => Extent::Length(bytes),
        Body::Chunked => Extent::Delimited,
        Body::UntilClose => Extent::UntilClose,
    }
}

/// Flags that only both heads together show.
fn flags_of(head: &ResponseHead<'_>, traits: Option<RequestTraits>) -> Flags {
    let mut flags = Flags::NONE;
    let Some(traits) = traits else { return flags };
    let switched = head.status() == Some(101);
    if traits.asks_upgrade && !switched {
        flags.insert(Flags::SWITCH_FAILED);
    }
    if (switched || traits.is_connect && matches!(head.status(), Some(200..=299))) && head.declares_body() {
        flags.insert(Flags::SWITCH_WITH_BODY);
    }
    flags
}
