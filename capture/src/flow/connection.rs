//! One connection: its two directions, its open transactions, and what closes their bodies.
//!
//! Invariant: the end of a body is taken from what TCP says (the next head, a FIN, the peer's ACK, or the declared
//! length once the stream has passed it), never guessed; where nothing says, it stays unknown.

mod bodies;

use common::record::{Record, record_flag, tcp_flag};
use storage::{batch::ConnectionId, flags::Flags};

use super::{
    direction::Direction,
    handshake::Handshake,
    origin::Origin,
    seq,
    table::{FlowKey, Held},
    transaction::{Retracted, Transactions},
};
use crate::http::{StartLine, start_line_kind};

/// Why HTTP ended on a connection that goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpEnd {
    /// 101 (Switching Protocols), RFC 9110 section 15.2.2.
    Upgrade,
    /// A 2xx to CONNECT, RFC 9110 section 9.3.6.
    Connect,
    /// The HTTP/2 preface, RFC 9113 section 3.4.
    Http2,
}

/// Start lines that tell which end sends requests: one that contradicts so many is part of a body, or two in a row are.
const CLIENT_VOTES_MAX: u8 = 3;

/// Bytes that tell a start line, and of which kind it is.
const START_BYTES: usize = 32;

/// One connection.
#[derive(Debug)]
pub struct Connection {
    /// Both ends.
    pub key: FlowKey,
    /// Direction 0 is sent by the low end, 1 by the high end.
    pub directions: [Direction; 2],
    /// Transactions not yet written as rows.
    pub transactions: Transactions,
    /// The end that sends requests, once known.
    pub client: Option<usize>,
    /// How many start lines said so, less those that contradicted.
    client_votes: u8,
    /// Set where HTTP ended.
    http_end: Option<HttpEnd>,
    /// Where in each direction; what lies before and comes late is HTTP still.
    http_end_seqs: [Option<u32>; 2],
    /// What was seen of the handshake.
    pub handshake: Option<Handshake>,
    /// Its values in the batch of that number, with the sampling's N of that number.
    pub id: Option<(u32, u32, ConnectionId)>,
    /// Where its frames come from.
    pub origin: Origin,
    /// Time of the last record, nanoseconds.
    pub ts_last: u64,
    /// Both directions ended, or one was reset.
    pub is_closed: bool,
}

impl Connection {
    /// The connection of a record.
    pub fn new(record: &Record) -> Self {
        Connection {
            key: FlowKey::of(record).0,
            directions: Default::default(),
            transactions: Transactions::default(),
            client: None,
            client_votes: 0,
            http_end: None,
            http_end_seqs: [None; 2],
            handshake: None,
            id: None,
            origin: Origin::of(record),
            ts_last: record.ts_ns,
            is_closed: false,
        }
    }

    /// Takes over what was seen of the handshake; data seen before its SYN (TCP Fast Open) stays.
    pub fn begin_with(&mut self, handshake: Handshake) {
        for (side, way) in self.directions.iter_mut().enumerate() {
            if let Some(isn) = handshake.isn(side).filter(|_| way.is_untouched()) {
                *way = Direction::after_syn(isn);
            }
        }
        self.client = self.client.or(handshake.client());
        self.handshake = Some(self.handshake.map_or(handshake, |known| known.joined(handshake)));
    }

    /// Whether the handshake told which end sends requests: a start line of the other kind is none.
    pub fn is_client_sure(&self) -> bool {
        self.handshake.is_some_and(|handshake| handshake.client() == self.client)
    }

    /// A start line says that `client` sends requests; where it was thought to be the other end so far, what was known
    /// of the order of its messages is void.
    pub fn vote(&mut self, client: usize) {
        let is_swap = self.client.is_some_and(|known| known != client);
        self.client_votes = if is_swap { 1 } else { CLIENT_VOTES_MAX.min(self.client_votes + 1) };
        self.client = Some(client);
        if is_swap {
            self.directions.iter_mut().for_each(Direction::forget_body);
        }
    }

    /// Whether what looks like a head at `at` of direction `side` lies inside of a message that is known.
    pub fn is_in_message(&self, side: usize, at: u32) -> bool {
        let way = &self.directions[side];
        if way.is_told(at) || way.is_in_chunks(at) {
            return !way.assembler.is_recent(at);
        }
        // A client that asked its next question has read the answer before: a new one may begin, whatever was declared.
        let begins = self.transactions.expects_response_at(at)
            || way.is_body_doubted() && self.transactions.is_read_to(at);
        way.is_in_body(at) && !begins
    }

    /// Whether a start line of the wrong kind is to be taken for part of a body: others outvote it, or the handshake does.
    pub fn outvotes(&mut self) -> bool {
        if self.is_client_sure() {
            return true;
        }
        let outvoted = self.client_votes > 1;
        self.client_votes -= u8::from(outvoted);
        outvoted
    }

    /// Whether the head of an answer before `resp_seq` in direction `side` is in progress: till then position tells nothing.
    pub fn awaits_answer_before(&self, side: usize, resp_seq: u32) -> bool {
        let begun = self.directions[side].assembler.oldest_start();
        begun.is_some_and(|begun| seq::after(resp_seq, begun))
    }

    /// Where a head of a side begins that no record told of: the one before it ends there, and a start line of the kind that this
    /// side sends came as pieces.
    pub fn untold_head(&mut self, side: usize) -> Option<u32> {
        if !self.directions[side].assembler.has_early() {
            return None;
        }
        let mut bytes = [0; START_BYTES];
        for at in self.directions[side].untold_heads() {
            let way = &mut self.directions[side];
            let is_ours = match start_line_kind(way.assembler.early_at(at, &mut bytes)) {
                StartLine::Request => self.client == Some(side),
                StartLine::Response => self.client == Some(1 - side),
                StartLine::NeedMore => continue,
                StartLine::Preface | StartLine::None => false,
            };
            if !is_ours {
                way.trail.give_up(at);
            } else if !self.has_left_http(side, at) {
                return Some(at);
            }
        }
        None
    }

    /// Whether the client knew that the request at `seq` had arrived when it sent this copy of it, with `ack`.
    pub fn is_repeat(&self, side: usize, seq: u32, ack: Option<u32>) -> bool {
        ack.is_some_and(|ack| self.directions[1 - side].has_replied_to(seq, ack))
    }

    /// Where the oldest answer begins whose head is in progress.
    pub fn oldest_answer_begun(&self) -> Option<u32> {
        self.directions[1 - self.client?].assembler.oldest_start()
    }

    /// Notes the body of the last response where that waited for its request, and is proved now: what lies inside is none.
    pub fn learn_body(&mut self) {
        let Some(client) = self.client else { return };
        let way = &mut self.directions[1 - client];
        let Some(response) = way.head_of_unknown_body().and_then(|end| self.transactions.proved_answer(end))
        else {
            return;
        };
        way.head_ended(response.seq, response.head_end, response.extent);
    }

    /// What of it is still to become a row.
    pub fn held(&self) -> Held {
        let partials = self.directions.iter().map(|way| way.assembler.held_count()).sum();
        Held { partials, transactions: self.transactions.len() }
    }

    /// Gives back memory that was needed while something was in progress.
    pub fn let_go(&mut self) {
        self.directions.iter_mut().for_each(|way| way.assembler.let_go());
        self.transactions.let_go();
    }

    /// Whether a SYN begins another connection between the same ends.
    pub fn is_new_connection(&self, side: usize, syn: &Record) -> bool {
        match self.handshake.and_then(|handshake| handshake.isn(side)) {
            Some(known) => known != syn.seq,
            // Without that end's first SYN only the data at hand tells: what it begins or answers lies close by.
            None if syn.tcp_flags & tcp_flag::ACK != 0 => !self.directions[1 - side].is_near(syn.ack),
            None => !self.directions[side].is_near(syn.seq),
        }
    }

    /// Whether a head comes too far behind the end of this connection to belong to it.
    pub fn is_closed_before(&self, record: &Record) -> bool {
        let (_, side) = FlowKey::of(record);
        self.is_closed && !self.directions[side].is_near(record.seq)
    }

    /// Whether a record is a keep-alive probe (RFC 9293 section 3.8.4): a byte that went by before, which may be any.
    pub fn is_probe(&self, side: usize, record: &Record) -> bool {
        record.segment_len == 1 && self.directions[side].data_end() == Some(record.seq.wrapping_add(1))
    }

    /// Notes where a record's segment ends, and whether it ends the direction or the connection.
    pub fn note_segment(&mut self, side: usize, record: &Record) {
        self.ts_last = self.ts_last.max(record.ts_ns);
        let end = record.segment_seq.wrapping_add(record.segment_len);
        if record.tcp_flags & tcp_flag::ACK != 0 {
            self.directions[1 - side].observe_ack(record.ack);
        }
        if record.segment_len > 0 {
            if record.tcp_flags & tcp_flag::ACK != 0 {
                let is_copied = record.copied > 0;
                let begin = if is_copied { record.seq } else { record.segment_seq };
                self.directions[side].observe_reply((begin, end), record.ack);
            }
            let is_repeat = record.flags & record_flag::REPEAT != 0;
            self.directions[side].observe(end, record.ts_ns, is_repeat);
            if let Some(client) = self.client.filter(|_| self.http_end.is_some()) {
                self.transactions.note_tunnel_data(end, side == client);
            }
        }
        // Behind a head or a chunk that is due the chunks are another message's.
        let is_next = record.flags & record_flag::EARLY == 0 && record.due == 0;
        if record.flags & record_flag::CHUNK_END != 0 && is_next {
            self.directions[side].observe_chunk_end(end, record.ack);
        }
        if record.tcp_flags & tcp_flag::FIN != 0 {
            self.directions[side].finish(end);
            self.close_bodies(side, end, true);
        }
        let both_finished = self.directions.iter().all(|way| way.fin_seq().is_some());
        if record.tcp_flags & tcp_flag::RST != 0 || both_finished {
            self.is_closed = true;
        }
    }

    /// Notes that HTTP ends at `end` of direction `side`, and at `other_end` of the other one, where that is told.
    pub fn end_http(&mut self, why: HttpEnd, (side, end): (usize, u32), other_end: Option<u32>) {
        if self.http_end.is_none() {
            self.http_end = Some(why);
            self.http_end_seqs[side] = Some(end);
            self.http_end_seqs[1 - side] = other_end;
        }
    }

    /// Whether HTTP ended before `at` of direction `side`.
    pub fn has_left_http(&self, side: usize, at: u32) -> bool {
        self.http_end.is_some() && self.http_end_seqs[side].is_none_or(|end| seq::at_or_after(at, end))
    }

    /// Looks for data behind the end of HTTP that came before it was known.
    pub fn note_tunnel(&mut self) {
        let Some(client) = self.client else { return };
        for (side, way) in self.directions.iter().enumerate() {
            if let Some(end) = way.data_end() {
                self.transactions.note_tunnel_data(end, side == client);
            }
        }
    }

    /// Keeps the transaction at `position` until data shows behind it, where it ended HTTP; the segment of its response,
    /// which ends at `segment_end` of a side, may hold some already.
    pub fn await_tunnel(&mut self, position: usize, (side, segment_end): (usize, u32)) {
        let flag = match self.http_end {
            None | Some(HttpEnd::Http2) => return,
            Some(HttpEnd::Upgrade) => Flags::UPGRADE_DATA,
            Some(HttpEnd::Connect) => Flags::CONNECT_DATA,
        };
        self.transactions.await_tunnel(position, flag);
        self.transactions.note_tunnel_data(segment_end, self.client == Some(side));
    }

    /// Takes back what was taken for messages of `side` from `from` on and before `to`: that is a body, as is proved now.
    pub fn retract_within(&mut self, side: usize, (from, to): (u32, u32)) -> Retracted {
        let way = &mut self.directions[side];
        way.forget_within(from, to);
        let mut retracted = Retracted { heads: way.assembler.retract((from, to)), messages: 0 };
        retracted += if self.client == Some(side) {
            self.transactions.retract_requests((from, to))
        } else {
            self.transactions.retract_responses((from, to))
        };
        retracted
    }

    /// Flags the message in whose body something came that is not to be taken for a message.
    pub fn flag_body(&mut self, side: usize, flag: Flags) {
        // Within a head in progress it is part of that, or nobody knows.
        if self.directions[side].assembler.partial_count() > 0 {
            return;
        }
        let (Some(client), Some(head_end)) = (self.client, self.directions[side].open_body()) else { return };
        self.transactions.flag_message(head_end, side == client, flag);
    }
}
