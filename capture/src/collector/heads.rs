//! From a head's bytes to its place in a transaction: parse, redact, append, pair.

use common::record::Record;
use storage::{batch::ResponseId, field::Field, flags::Flags, values::PairState};

use super::Stages;
use crate::{
    flow::{
        assembler::{Fed, HeadSpan},
        connection::{Connection, HttpEnd},
        direction::Extent,
        seq,
        transaction::{Call, Early, Interim, Joined, Match, RequestTraits, Retracted, Side, TunnelEnd},
    },
    http::{Body, Malformed, RequestHead, ResponseHead, StartLine, start_line_kind},
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
            Fed::Pending => connection.close_bodies(side, record.seq, false),
            Fed::Duplicate => self.tally.count(Counter::Duplicate),
        }
        self.others_done(connection, side, record);
    }

    /// Goes on with heads that the same record ended, and with those that it showed though no record told of them.
    fn others_done(&mut self, connection: &mut Connection, side: usize, record: &Record) {
        let head_bytes_max = self.head_bytes_max;
        loop {
            while let Some((span, bytes)) = connection.directions[side].assembler.next_done(head_bytes_max) {
                self.message(connection, side, &span, &bytes);
            }
            if connection.directions[side].assembler.is_over_limit() {
                self.finish_oldest_partial(connection, side);
            }
            while let Some(chunks) = connection.directions[side].follow_chunks() {
                if self.retract_within(connection, side, chunks) {
                    connection.flag_body(side, Flags::START_LINE_IN_BODY);
                }
            }
            // What came may lead on by itself, to heads that lie before what was due when it came by.
            let found = connection.untold_head(side).or_else(|| {
                let leads_on = connection.directions[side].note_due(record.due);
                leads_on.then(|| connection.untold_head(side)).flatten()
            });
            let Some(at) = found else { return };
            self.tally.count(Counter::HeadsUntold);
            let way = &mut connection.directions[side];
            let record = Record { ack: way.ack_at(at, record), ..*record };
            way.assembler.begin_early(at, &record, head_bytes_max);
            connection.close_bodies(side, at, false);
        }
    }

    /// Takes back what was taken for messages of a side within a body; whether there was any.
    fn retract_within(&mut self, connection: &mut Connection, side: usize, body: (u32, u32)) -> bool {
        let retracted = connection.retract_within(side, body);
        self.count_retracted(retracted);
        retracted.is_some()
    }

    pub(super) fn count_retracted(&mut self, retracted: Retracted) {
        self.tally.add(Counter::InMessage, retracted.heads);
        self.tally.add(Counter::Retracted, retracted.messages);
    }

    /// Goes on with what a record that carries on a head led to.
    pub(super) fn fed_by_continuation(
        &mut self,
        connection: &mut Connection,
        side: usize,
        record: &Record,
        fed: Fed,
    ) {
        match fed {
            Fed::Pending => {}
            Fed::InPlace(_) => unreachable!("a continuation never stands for a head of its own"),
            Fed::Assembled(span, bytes) => self.message(connection, side, &span, &bytes),
            Fed::Duplicate => self.tally.count(Counter::RecordsDuplicate),
        }
        self.others_done(connection, side, record);
    }

    /// Gives up waiting for the rest of every head in progress of a direction.
    pub(super) fn finish_partials(&mut self, connection: &mut Connection, side: usize) {
        while connection.directions[side].assembler.partial_count() > 0 {
            self.finish_oldest_partial(connection, side);
        }
        self.drop_early(connection, side, u64::MAX);
    }

    /// Gives up waiting for the beginnings of heads of which a later piece came at `ts_max` or before.
    pub(super) fn drop_early(&mut self, connection: &mut Connection, side: usize, ts_max: u64) {
        let early = connection.directions[side].assembler.drop_early(ts_max);
        self.tally.add(Counter::RecordsOrphan, early);
    }

    /// Gives up waiting for the rest of the oldest head in progress of a direction.
    pub(super) fn finish_oldest_partial(&mut self, connection: &mut Connection, side: usize) {
        if let Some((span, bytes)) = connection.directions[side].assembler.finish_oldest() {
            self.message(connection, side, &span, &bytes);
        }
    }

    /// Parses a head and gives it its place on the connection.
    pub(super) fn message(
        &mut self,
        connection: &mut Connection,
        side: usize,
        span: &HeadSpan,
        bytes: &[u8],
    ) {
        let mut parser = std::mem::take(&mut self.parser);
        let placed = match start_line_kind(bytes) {
            StartLine::Request => parser.request(bytes, span.complete).map(|head| {
                self.tally.count(whole_or_truncated(span));
                self.tally.count(Counter::Requests);
                self.request(connection, side, span, &head);
            }),
            StartLine::Response => parser.response(bytes, span.complete).map(|head| {
                self.response(connection, side, span, &head);
            }),
            StartLine::Preface => {
                self.tally.count(Counter::AfterEnd);
                connection.end_http(HttpEnd::Http2, (side, span.seq), Side::new((), span, Extent::None).ack);
                Ok(())
            }
            StartLine::None | StartLine::NeedMore => Err(Malformed),
        };
        if let Err(Malformed) = placed {
            self.tally.count(Counter::Malformed);
        }
        self.parser = parser;
    }

    fn request(&mut self, connection: &mut Connection, side: usize, span: &HeadSpan, head: &RequestHead<'_>) {
        self.set_client(connection, side);
        self.batch.expect_request(head.fields.numbers());
        let mut values = self.redactor.request(head);
        values.flags.insert(span.flags);
        let id = self.batch.request(&values);
        let framing = head.framing();
        let extent = if span.complete { extent_of(framing.body, true) } else { Extent::Unknown };
        let mut request = Side::new(id, span, extent).of_version(head.version.unwrap_or_default());
        if let Some(ack) = request.ack {
            connection.directions[1 - side].note_read(ack);
            connection.close_acknowledged(ack);
            if connection.directions[side].assembler.partial_count() == 0 {
                self.join_early(connection, Call::Read(ack));
            }
        }
        request.ack = request.ack.filter(|_| !connection.is_repeat(side, request.seq, request.ack));
        let before = connection.directions[side].before(span);
        let traits = RequestTraits {
            expects_continue: framing.expect_continue,
            asks_upgrade: framing.upgrade,
            method: Some(head.method),
        };
        connection.directions[side].pass(span, extent, extent);
        let declared = extent.declared_body(span.end_seq).filter(|_| !framing.expect_continue);
        let has_start_line = declared.is_some_and(|body| self.retract_within(connection, side, body));
        if framing.expect_continue {
            connection.directions[side].body_is_optional();
        }
        if let Some(displaced) = connection.transactions.open_request(request, traits, before) {
            self.emit(connection, &displaced);
        }
        if has_start_line {
            connection.flag_body(side, Flags::START_LINE_IN_BODY);
        }
        self.join_early(connection, Call::Early);
    }

    fn response(
        &mut self,
        connection: &mut Connection,
        side: usize,
        span: &HeadSpan,
        head: &ResponseHead<'_>,
    ) {
        self.set_client(connection, 1 - side);
        connection.settle_chunked(1 - side, u64::MAX);
        let ack = Side::new((), span, Extent::None).ack;
        let before = connection.directions[side].before(span);
        // One that is missing before a request may still come, and be the one that was asked.
        let is_sure = |found: &Match| !connection.transactions.get(found.position).is_behind_gap();
        let expected = connection.transactions.find_expected(span.seq, ack).filter(is_sure);
        let is_interim = head.framing(None).is_interim;
        let likely = expected.or_else(|| likely_request(connection, side, span).filter(|_| !is_interim));
        let found = likely.filter(is_sure);
        let method = found.and_then(|found| connection.transactions.get(found.position).traits.method);
        let framing = head.framing(method);
        let interim = head.status.filter(|_| framing.is_interim);
        if let (Some(found), Some(status)) = (found, interim) {
            return self.interim(connection, (side, span), found, Interim::at(span, status, before));
        }
        self.batch.expect_response(head.fields.numbers());
        let mut values = self.redactor.response(head, &[]);
        values.flags.insert(span.flags);
        let id = self.batch.response(&values);
        let is_delimited = head.fields.has(Field::ContentLength) || head.fields.has(Field::TransferEncoding);
        let extent = if span.complete { extent_of(framing.body, is_delimited) } else { Extent::Unknown };
        // Whose answer it is decides whether a body comes: where that is a guess, the size is none.
        let is_guessed = expected.is_none() && likely.is_some();
        // A message must not be taken for part of a body that is only guessed.
        let is_told = expected.is_some() || extent == Extent::None && likely.is_none();
        let body = if is_told { extent } else { Extent::Unknown };
        let is_proved = expected.is_some_and(|found| found.state == PairState::AckVerified);
        let declared = extent.declared_body(span.end_seq).filter(|_| is_proved);
        let has_start_line = declared.is_some_and(|body| self.retract_within(connection, side, body));
        connection.directions[side].pass(span, extent, body);
        if expected.is_some_and(|found| found.state != PairState::AckVerified) {
            connection.directions[side].body_is_doubted();
        }
        if framing.body == Body::Tunnel && (is_told || head.status == Some(101)) {
            let is_upgrade = head.status == Some(101);
            let why = if is_upgrade { HttpEnd::Upgrade } else { HttpEnd::Connect };
            connection.end_http(why, (side, span.end_seq), ack);
            if is_proved {
                let end = TunnelEnd { response: span.end_seq, request: ack };
                self.count_retracted(connection.transactions.retract_tunnelled(end));
            }
        }
        let response = |extent| Side::new(id, span, extent).of_version(head.version).behind(before);
        let Some(found) = found else {
            let early =
                Early { status: head.status, interim, is_whole: span.complete, extent, flags: framing.flags };
            self.early_response(connection, response(extent), early);
            return;
        };
        self.tally.count(whole_or_truncated(span));
        self.tally.count(Counter::Responses);
        let asked = connection.transactions.get(found.position).traits.asks_upgrade;
        let failed = asked && head.status != Some(101);
        let flags = if failed { framing.flags.with(Flags::SWITCH_FAILED) } else { framing.flags };
        let extent = if is_guessed { Extent::Unknown } else { extent };
        self.answered(connection, (side, span), found, (response(extent), flags));
        if has_start_line {
            connection.flag_body(side, Flags::START_LINE_IN_BODY);
        }
    }

    /// Folds an interim response into the transaction of its request.
    fn interim(
        &mut self,
        connection: &mut Connection,
        (side, span): (usize, &HeadSpan),
        found: Match,
        interim: Interim,
    ) {
        self.tally.count(whole_or_truncated(span));
        self.tally.count(Counter::Interim);
        connection.transactions.add_info(found, interim);
        connection.directions[side].pass(span, Extent::None, Extent::None);
        self.join_early(connection, Call::Early);
    }

    /// Gives a request its answer, and learns from that about what is before.
    fn answered(
        &mut self,
        connection: &mut Connection,
        (side, span): (usize, &HeadSpan),
        found: Match,
        (response, flags): (Side<ResponseId>, Flags),
    ) {
        let begun = connection.directions[side].assembler.oldest_start();
        connection.transactions.answer(found, response, flags, begun);
        connection.await_tunnel(found.position, (side, span.segment_end));
        connection.close_before(found.position);
        let folded = connection.transactions.fold_before(found.position);
        self.count_folded(folded);
        self.join_early(connection, Call::Early);
    }

    /// Counts whole interim responses that are folded into their transaction.
    fn count_folded(&mut self, interims: u64) {
        self.tally.add(Counter::Interim, interims);
        self.tally.add(Counter::MessagesWhole, interims);
    }

    /// Keeps a response whose request has not come by; whether a body comes behind it depends on that. It is counted where it
    /// is decided what it is.
    fn early_response(&mut self, connection: &mut Connection, response: Side<ResponseId>, early: Early) {
        let doubted = match early.extent {
            Extent::None => response,
            Extent::Length(_) | Extent::Delimited | Extent::UntilClose | Extent::Unknown => {
                Side { extent: Extent::Unknown, ..response }
            }
        };
        let waiting = connection.transactions.has_unanswered();
        let why = if waiting { Flags::RESP_BEFORE_REQ } else { Flags::RESP_UNMATCHED };
        if let Some(displaced) = connection.transactions.open_response(doubted, why, early) {
            self.emit(connection, &displaced);
        }
        if early.interim.is_some() {
            let folded = connection.transactions.fold_late();
            self.count_folded(folded);
        }
    }

    /// Gives responses that came early their requests, by position as far as the `call` goes.
    pub(super) fn join_early(&mut self, connection: &mut Connection, call: Call) {
        let begun = connection.oldest_answer_begun();
        let Joined { folded, answers, truncated, tunnel, is_tunnel_proved } =
            connection.transactions.join_early(call, begun);
        self.tally.add(Counter::Interim, folded);
        self.tally.add(Counter::Responses, answers);
        self.tally.add(Counter::MessagesWhole, folded + answers - truncated);
        self.tally.add(Counter::MessagesTruncated, truncated);
        if let (Some(end), Some(client)) = (tunnel, connection.client) {
            connection.end_http(HttpEnd::Connect, (1 - client, end.response), end.request);
            if is_tunnel_proved {
                self.count_retracted(connection.transactions.retract_tunnelled(end));
            }
            connection.note_tunnel();
        }
        connection.learn_body();
        connection.settle_bodies();
        connection.close_last();
    }

    /// Learns which end sends requests; where an end changes its part, what was open before is written as it is.
    fn set_client(&mut self, connection: &mut Connection, client: usize) {
        if connection.client.is_some_and(|known| known != client) {
            self.emit_all(connection);
            connection.id = None;
        }
        connection.vote(client);
    }
}

/// The request that a response may answer by its place, unless a message that is only late may be its request or the
/// answer before it: then only what is proved is taken at once.
fn likely_request(connection: &Connection, side: usize, span: &HeadSpan) -> Option<Match> {
    let ack = Side::new((), span, Extent::None).ack;
    let is_request_late = connection.directions[1 - side]
        .assembler
        .oldest_end()
        .is_some_and(|end| seq::at_or_after(span.ack, end));
    let is_answer_late = connection.awaits_answer_before(side, span.seq)
        || connection.transactions.misses_answer_before(span.seq, ack)
        || connection.transactions.has_early_before(span.seq);
    connection.transactions.find(span.seq, ack).filter(|_| !is_request_late && !is_answer_late)
}

fn whole_or_truncated(span: &HeadSpan) -> Counter {
    if span.complete { Counter::MessagesWhole } else { Counter::MessagesTruncated }
}

/// The extent of a body; one whose framing cannot be trusted, or depends on a request nobody saw, ends where TCP says.
fn extent_of(body: Body, is_doubtful: bool) -> Extent {
    match body {
        Body::None | Body::Tunnel => Extent::None,
        Body::Length(bytes) => Extent::Length(bytes),
        Body::Chunked => Extent::Delimited,
        Body::UntilClose => {
            if is_doubtful {
                Extent::Delimited
            } else {
                Extent::UntilClose
            }
        }
    }
}

#[cfg(test)]
mod tests;
