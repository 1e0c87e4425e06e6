//! Compares rows with the truth, message by message and pair by pair.
//!
//! A row's part belongs to the message of its connection and sequence number; what it tells must then be true.

use std::collections::{BTreeMap, HashMap};

use bench::{
    adversary::{Capture, Connection, Message, MessageKind, SeenMessage},
    wire::{Path, Side},
};

use super::{
    excuses::{Excuse, Lie, excuse, is_between},
    pipeline::{End, Outcome},
    rows::{Row, RowSide, TIMES},
};

/// What the capture promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Promise {
    /// All is known of every message, and every pair is proved.
    Everything,
    /// No byte was lost: every message is there, and with its own partner.
    NothingLost,
    /// Frames were lost: what is there is true, what is proved is right.
    SomethingLost,
}

/// What is wrong with the rows, and what the seeds came to.
#[derive(Default)]
pub(super) struct Findings {
    /// By rule, what broke it.
    pub(super) wrong: Vec<(&'static str, String)>,
    /// How often a thing was seen, by name: a test that proves nothing shows here.
    pub(super) seen: BTreeMap<String, u64>,
}

impl Findings {
    fn count(&mut self, name: impl Into<String>) {
        *self.seen.entry(name.into()).or_default() += 1;
    }
}

/// A message, by connection and place on it.
type Place = (usize, usize);

/// The case against a set of rows.
pub(super) struct Judge<'a> {
    capture: &'a Capture,
    outcome: &'a Outcome,
    promise: Promise,
    findings: Findings,
    /// Rows by the messages they tell of.
    told: HashMap<Place, Vec<usize>>,
    excused: HashMap<Place, Excuse>,
    /// Connections of which the decision did not hand over all.
    is_impaired: Vec<bool>,
}

/// Compares the rows of a capture with what is true about it.
pub(super) fn judge(capture: &Capture, outcome: &Outcome, promise: Promise) -> Findings {
    let is_impaired = vec![false; capture.truth.connections.len()];
    let mut judge = Judge {
        capture,
        outcome,
        promise,
        findings: Findings::default(),
        told: HashMap::new(),
        excused: HashMap::new(),
        is_impaired,
    };
    for law in outcome.balance.discrepancies() {
        judge.wrong("the balance closes", law);
    }
    judge.hear_excuses();
    judge.assign_rows();
    judge.count_excuses();
    judge.messages();
    judge.pairs();
    judge.findings
}

impl<'a> Judge<'a> {
    fn wrong(&mut self, rule: &'static str, what: String) {
        self.findings.wrong.push((rule, what));
    }

    fn message(&self, (connection, at): Place) -> &'a SeenMessage {
        &self.capture.truth.connections[connection].messages[at]
    }

    fn places(&self) -> Vec<Place> {
        let connections = self.capture.truth.connections.iter().enumerate();
        connections
            .flat_map(|(at, connection)| (0..connection.messages.len()).map(move |m| (at, m)))
            .collect()
    }

    /// Finds messages that were captured and not handed over: each needs an excuse.
    fn hear_excuses(&mut self) {
        for place in self.places() {
            let path = &self.capture.truth.connections[place.0].path;
            let seen = self.message(place);
            let len = seen.message.head.len() as u32;
            if self.outcome.handed_over.is_whole(ends(path, seen.side), seen.seq, len) {
                continue;
            }
            self.is_impaired[place.0] = true;
            let seen = self.message(place);
            if !seen.head_is_whole() {
                continue;
            }
            let excuse = excuse(seen, &self.capture.frames, |frame| is_between(frame, path, seen.side));
            match excuse {
                Some(excuse) => {
                    self.excused.insert(place, excuse);
                }
                None => self.wrong("what was captured is handed over", self.name(place)),
            }
        }
    }

    /// Counts the excuses that are needed: a collector finds some heads that no record told of.
    fn count_excuses(&mut self) {
        let is_told = |place: &Place| self.told.contains_key(place) || self.is_folded(*place);
        let needed = self.excused.iter().filter(|(place, _)| !is_told(place));
        let needed: Vec<Excuse> = needed.map(|(_, excuse)| *excuse).collect();
        needed.into_iter().for_each(|excuse| self.findings.count(format!("excused: {excuse:?}")));
    }

    /// Whether an interim response is told of by the row of its request.
    fn is_folded(&self, place: Place) -> bool {
        let Message { kind, transaction, .. } = self.message(place).message;
        let is_asked = |seen: &SeenMessage| {
            seen.message.kind == MessageKind::Request && seen.message.transaction == transaction
        };
        let asked = self.connection(place).messages.iter().position(is_asked).map(|at| (place.0, at));
        let Some(asked) = asked.filter(|_| kind == MessageKind::Interim) else { return false };
        let rows = self.told.get(&asked).into_iter().flatten();
        let expected = self.interims(asked);
        rows.into_iter().any(|row| self.outcome.rows[*row].info_status == expected)
    }

    /// Finds the message of each part of each row.
    fn assign_rows(&mut self) {
        for row in &self.outcome.rows {
            for (part, kind) in [(&row.request, MessageKind::Request), (&row.response, MessageKind::Final)] {
                if let Some(part) = part.as_ref().filter(|part| self.find(row, part, kind).is_none()) {
                    self.stranger(row, part, kind);
                }
            }
        }
        for (number, row) in self.outcome.rows.iter().enumerate() {
            self.findings.count(format!("pair_state {}", row.pair_state));
            for (part, kind) in [(&row.request, MessageKind::Request), (&row.response, MessageKind::Final)] {
                let Some(part) = part else { continue };
                if let Some(place) = self.find(row, part, kind) {
                    self.told.entry(place).or_default().push(number);
                    self.part(place, row, part);
                }
            }
        }
    }

    fn find(&self, row: &Row, part: &RowSide, kind: MessageKind) -> Option<Place> {
        let side = if kind == MessageKind::Request { Side::Client } else { Side::Server };
        let connections = self.capture.truth.connections.iter().enumerate();
        let connections =
            connections.filter(|(_, c)| c.path.client == row.client && c.path.server == row.server);
        let places = connections.filter_map(|(at, connection)| {
            let position =
                connection.messages.iter().position(|seen| seen.side == side && seen.seq == part.seq);
            position.map(|position| (at, position))
        });
        // A later connection on the same ends may reach the same number.
        let is_it = |place: &Place| {
            let line = &self.message(*place).message.start_line;
            part.start.iter().all(|word| line.contains(word.as_str()))
        };
        let mut places = places.peekable();
        let first = places.peek().copied();
        places.find(is_it).or(first)
    }

    /// A part of a row that is no message: it may be one only where nothing tells it from one.
    fn stranger(&mut self, row: &Row, part: &RowSide, kind: MessageKind) {
        if let Some((connection, lie)) = self.lie(row, part) {
            self.findings.count(format!("lie taken: {lie:?}"));
            self.is_impaired[connection] = true;
            return;
        }
        let what = format!("{kind:?} {:?} at {}: {row:?}", part.start, part.seq);
        self.wrong("a row is a message", what);
    }

    /// The lie that a part of a row tells, where there is an excuse for it; the connection's ends may be confused by it.
    fn lie(&self, row: &Row, part: &RowSide) -> Option<(usize, Lie)> {
        let ends = |path: &Path| [(path.client, path.server), (path.server, path.client)];
        let connections = self.capture.truth.connections.iter().enumerate();
        let mut connections = connections.filter(|(_, c)| ends(&c.path).contains(&(row.client, row.server)));
        connections.find_map(|(at, connection)| {
            let is_tunnelled = connection
                .tunnel_seqs
                .is_some_and(|ends| ends.iter().any(|end| part.seq.wrapping_sub(*end) < 1_000));
            if is_tunnelled {
                return Some((at, Lie::Tunnel));
            }
            let position = connection.messages.iter().position(|seen| {
                let lies = seen.message.lies.iter();
                lies.into_iter().any(|lie| seen.head_end_seq.wrapping_add(*lie as u32) == part.seq)
            })?;
            let carrier = &connection.messages[position];
            if is_chunked(carrier) {
                Some((at, Lie::ChunkedBody))
            } else if self.is_handed_over((at, position)) {
                self.is_unproved((at, position)).then_some((at, Lie::BodyOfUnproved))
            } else {
                Some((at, Lie::BodyOfUnseen))
            }
        })
    }

    /// Whether a response is not proved, or was not when it came by: what was said before it came later.
    fn is_unproved(&self, (connection, at): Place) -> bool {
        let messages = &self.capture.truth.connections[connection].messages;
        let response = &messages[at];
        let is_it = |row: &&Row| row.response.as_ref().is_some_and(|part| part.seq == response.seq);
        self.outcome.rows.iter().find(is_it).is_none_or(|row| row.pair_state != "ack_verified")
            || messages[..at].iter().any(|before| before.head_ts_ns > response.head_ts_ns)
    }

    /// What a row says about a message.
    fn part(&mut self, place: Place, row: &Row, part: &RowSide) {
        let seen = self.message(place);
        let message = &seen.message;
        let name = self.name(place);
        let mut wrong = Vec::new();
        if row.is_partial() && !self.is_handed_over(place) {
            self.findings.count("partial rows");
        } else {
            let expected = (start_of(seen), message.head.len() as u64, message.fields.len() as u64);
            let told = (part.start.clone(), part.head_bytes, part.header_count);
            if told != expected {
                wrong.push((
                    "a head is told right",
                    format!("{name}: {told:?}, not {expected:?}; {:?}", row.flags),
                ));
            }
            let names: Vec<&str> = message.fields.iter().map(|(name, _)| name.as_str()).collect();
            if part.header_names != names.join(",") {
                wrong.push(("fields are told right", format!("{name}: {:?}", part.header_names)));
            }
        }
        match part.body_bytes {
            Some(bytes) if bytes != message.body.len() as u64 && self.is_impaired[place.0] => {
                self.findings.count("body sizes wrong on impaired connections");
            }
            Some(bytes) if bytes != message.body.len() as u64 => {
                wrong.push(("a body is told right", format!("{name}: {bytes}; {row:?}")));
            }
            Some(_) => self.findings.count("body sizes"),
            None if self.promise == Promise::Everything && !is_size_hidden(seen) => {
                wrong.push(("a body's size is known", name))
            }
            None => self.findings.count("body sizes unknown"),
        }
        self.findings.wrong.extend(wrong);
    }

    /// Every message that was handed over is in one row, and in one only; of one whose start line has a hole nothing can be
    /// told.
    fn messages(&mut self) {
        for place in self.places() {
            let seen = self.message(place);
            if seen.message.kind == MessageKind::Interim {
                continue;
            }
            let path = &self.capture.truth.connections[place.0].path;
            let start_line_len = seen.message.start_line.len() as u32;
            let begins = self.outcome.handed_over.is_whole(ends(path, seen.side), seen.seq, start_line_len);
            let rows = self.told.get(&place).map_or(0, Vec::len);
            if rows > 1 {
                self.wrong("a message is in one row", self.name(place));
            }
            if rows == 0 && begins && !self.excused.contains_key(&place) {
                self.wrong("what is handed over becomes a row", self.name(place));
            }
        }
    }

    /// Proved pairs are right; where nothing is missing, all are, and complete.
    fn pairs(&mut self) {
        for place in self.places() {
            if self.message(place).message.kind != MessageKind::Request {
                continue;
            }
            let answer = self.answer(place);
            let rows = self.told.get(&place).cloned().unwrap_or_default();
            for number in rows {
                let row = &self.outcome.rows[number];
                self.pair(place, answer, row);
            }
        }
    }

    fn pair(&mut self, request: Place, answer: Option<Place>, row: &Row) {
        let is_answered = answer.is_some_and(|answer| self.told.contains_key(&answer));
        let transaction = self.message(request).message.transaction;
        let is_right = match &row.response {
            Some(part) => self.find(row, part, MessageKind::Final).is_some_and(|place| {
                place.0 == request.0 && self.message(place).message.transaction == transaction
            }),
            None => !is_answered,
        };
        let must_be_right = row.pair_state == "ack_verified"
            || (self.promise != Promise::SomethingLost && !self.is_impaired[request.0]);
        if !is_right && must_be_right {
            let rule =
                if row.pair_state == "ack_verified" { "a proved pair is right" } else { "a pair is right" };
            self.wrong(rule, format!("{}: {row:?}", self.name(request)));
        }
        if !is_right {
            self.findings.count(format!("wrong pairs {}", row.pair_state));
        }
        if is_right && !row.is_partial() && !self.is_impaired[request.0] {
            self.times(request, answer.filter(|_| row.response.is_some()), row);
        }
        let is_provable = !self.is_behind_chunks(request);
        if self.promise == Promise::Everything && is_provable && row.pair_state != "ack_verified" {
            self.wrong("a pair is proved", format!("{}: {row:?}", self.name(request)));
        }
        if self.promise != Promise::SomethingLost && !self.is_impaired[request.0] {
            let expected = self.interims(request);
            if row.info_status != expected {
                self.wrong("interim responses are folded", format!("{}: {row:?}", self.name(request)));
            }
        }
    }

    /// A time is that of the bytes it is named after, each as of when it first came by; or it is not told.
    fn times(&mut self, request: Place, answer: Option<Place>, row: &Row) {
        let (asked, answered) = (self.message(request), answer.map(|answer| self.message(answer)));
        let began = |seen: &SeenMessage| seen.start.map(|start| start.ts_ns);
        let first = answered.and_then(began);
        let spans = [
            (began(asked), asked.end_ts_ns),
            (asked.end_ts_ns, first),
            (first, answered.and_then(|answered| answered.head_ts_ns)),
            (began(asked), answered.and_then(|answered| answered.end_ts_ns)),
        ];
        let is_hidden = is_size_hidden(asked) || answered.is_some_and(is_size_hidden);
        for ((column, told), (from, to)) in TIMES.into_iter().zip(row.times).zip(spans) {
            let micros = |(from, to): (u64, u64)| Some((to.checked_sub(from)? / 1_000).cast_signed());
            let expected = from.zip(to).and_then(micros);
            if told == expected {
                self.findings.count("times");
            } else if told.is_some() || (self.promise == Promise::Everything && !is_hidden) {
                let what = format!("{}: {column} is {told:?}, not {expected:?}: {row:?}", self.name(request));
                self.wrong("a time is told right", what);
            } else {
                self.findings.count("times unknown");
            }
        }
    }

    fn connection(&self, place: Place) -> &'a Connection {
        &self.capture.truth.connections[place.0]
    }

    fn is_handed_over(&self, place: Place) -> bool {
        let seen = self.message(place);
        let len = seen.message.head.len() as u32;
        seen.head_is_whole()
            && self.outcome.handed_over.is_whole(ends(&self.connection(place).path, seen.side), seen.seq, len)
    }

    /// A request behind a chunked one: another could have passed between, for all that the records say.
    fn is_behind_chunks(&self, request: Place) -> bool {
        let before = self.connection(request).messages[..request.1].iter().rev();
        let mut before = before.filter(|seen| seen.message.kind == MessageKind::Request);
        before.next().is_some_and(is_chunked)
    }

    fn answer(&self, request: Place) -> Option<Place> {
        let transaction = self.message(request).message.transaction;
        let of_it = |seen: &SeenMessage| {
            seen.message.kind == MessageKind::Final && seen.message.transaction == transaction
        };
        Some((request.0, self.connection(request).messages.iter().position(of_it)?))
    }

    /// Status codes of the interim responses said after the request began, as far as they were said; a hasty server's are nobody's.
    fn interims(&self, request: Place) -> Vec<i64> {
        const STATUS_END: usize = "HTTP/1.1 100".len();
        let asked = self.message(request);
        let begun = asked.start.map_or(0, |start| start.ack);
        let is_behind = |at: u32, from: u32| at.wrapping_sub(from) < 1 << 31;
        // The request may have come by only as it was sent again, when its answer was read.
        let has_read = |ack: u32| is_behind(ack, asked.seq.wrapping_add(1));
        let is_said = |seen: &&SeenMessage| {
            is_behind(seen.seq, begun) || seen.start.is_some_and(|start| has_read(start.ack))
        };
        let is_whole = |message: &&Message| message.head.len() >= STATUS_END;
        let messages = self.connection(request).messages.iter().filter(is_said).map(|seen| &seen.message);
        let interims = messages.filter(|message| {
            message.kind == MessageKind::Interim && message.transaction == asked.message.transaction
        });
        interims.filter(is_whole).map(|message| status_of(&message.start_line).parse().unwrap()).collect()
    }

    fn name(&self, place: Place) -> String {
        let seen = self.message(place);
        let SeenMessage { seq, start, lost, .. } = seen;
        let head_bytes = seen.message.head.len();
        format!(
            "c{} t{} {:?} at {seq} ({head_bytes}+{} bytes, {start:?}, lost {lost:?})",
            place.0,
            seen.message.transaction,
            seen.message.kind,
            seen.message.body.len()
        )
    }
}

/// Sender and receiver of a side's messages, as records name them.
fn ends(path: &Path, side: Side) -> (End, End) {
    let end = |(ip, port): (std::net::IpAddr, u16)| {
        let mut bytes = [0; 16];
        match ip {
            std::net::IpAddr::V4(ip) => bytes[..4].copy_from_slice(&ip.octets()),
            std::net::IpAddr::V6(ip) => bytes = ip.octets(),
        }
        (bytes, port)
    };
    let (client, server) = (end(path.client), end(path.server));
    match side {
        Side::Client => (client, server),
        Side::Server => (server, client),
    }
}

fn is_chunked(seen: &SeenMessage) -> bool {
    !seen.message.body.is_empty() && seen.message.fields.iter().any(|(name, _)| name == "Transfer-Encoding")
}

/// A chunked body of which the records do not tell where it ends: what ends it is told only without trailers.
fn is_size_hidden(seen: &SeenMessage) -> bool {
    is_chunked(seen)
}

/// What a row says of the start line: method and target, or status.
fn start_of(seen: &SeenMessage) -> Vec<String> {
    let line = &seen.message.start_line;
    match seen.message.kind {
        MessageKind::Request => line.split(' ').take(2).map(str::to_owned).collect(),
        MessageKind::Interim | MessageKind::Final => vec![status_of(line).to_owned()],
    }
}

fn status_of(line: &str) -> &str {
    line.split(' ').nth(1).unwrap_or_default()
}
