//! What the two ends of a connection say to each other, in turns, before any of it is cut into segments.

use super::{
    Knobs, Message,
    message::{self, Asked, Framing},
};
use crate::{random::Random, wire::Side};

/// A message and where it stands in its sender's stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) side: Side,
    pub(super) offset: usize,
    pub(super) message: Message,
}

/// A run of bytes that one side sends before the other has its turn.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    pub(super) side: Side,
    /// Range in the side's stream.
    pub(super) start: usize,
    pub(super) end: usize,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Both sides are done.
    Fin,
    /// One side gives up.
    Reset,
}

/// Bytes of a body that are near its head.
const NEAR_BYTES: usize = 64;

/// Everything that is said on a connection.
#[derive(Clone, Debug)]
pub(super) struct Script {
    pub(super) streams: [Vec<u8>; 2],
    pub(super) turns: Vec<Turn>,
    pub(super) messages: Vec<Placed>,
    /// Offsets at which a segment should begin, by side: starts of messages, and lies in bodies.
    pub(super) cuts: [Vec<usize>; 2],
    pub(super) end: End,
    /// HTTP ends behind these offsets, where it ends before the connection.
    pub(super) tunnel: Option<[usize; 2]>,
}

impl Script {
    /// True in heads, and where bodies begin and end: where it matters how the stream is cut.
    pub(super) fn is_near_head(&self, side: Side, offset: usize) -> bool {
        self.messages.iter().filter(|placed| placed.side == side).any(|placed| {
            let head_end = placed.offset + placed.message.head.len() + NEAR_BYTES;
            let near_end = (placed.offset + placed.len()).saturating_sub(NEAR_BYTES);
            (placed.offset..head_end).contains(&offset)
                || (near_end..placed.offset + placed.len()).contains(&offset)
        })
    }
}

pub(super) fn write(connection: usize, knobs: &Knobs, random: &mut Random) -> Script {
    let mut writer = Writer {
        connection,
        knobs,
        random,
        script: Script {
            streams: [Vec::new(), Vec::new()],
            turns: Vec::new(),
            messages: Vec::new(),
            cuts: [Vec::new(), Vec::new()],
            end: End::Fin,
            tunnel: None,
        },
    };
    writer.write();
    writer.script
}

struct Writer<'a> {
    connection: usize,
    knobs: &'a Knobs,
    random: &'a mut Random,
    script: Script,
}

impl Writer<'_> {
    fn write(&mut self) {
        let count = self.random.range(1, self.knobs.transaction_count_max + 1);
        let tunnels = self.random.chance(self.knobs.tunnel);
        let closes = !tunnels && self.random.chance(self.knobs.close_delimited);
        let mut transaction = 0;
        while transaction < count {
            let mut group = 1;
            while transaction + group < count && self.random.chance(self.knobs.pipeline) {
                group += 1;
            }
            let is_last = transaction + group == count;
            self.transactions(transaction..transaction + group, is_last && closes);
            transaction += group;
        }
        if tunnels {
            self.tunnel(count);
        }
        if self.random.chance(self.knobs.reset) {
            self.reset();
        }
    }

    /// Requests sent together, and their responses; `closes` where the last body ends with the connection.
    fn transactions(&mut self, numbers: std::ops::Range<usize>, closes: bool) {
        if numbers.len() == 1 {
            return self.transaction(numbers.start, closes);
        }
        let last = numbers.end - 1;
        let asked: Vec<_> = numbers.map(|number| self.ask(number)).collect();
        for asked in &asked {
            self.place(Side::Client, asked.message.clone());
        }
        self.end_turn(Side::Client);
        for asked in &asked {
            self.interims(asked.message.transaction);
            let response = self.answer(asked, closes && asked.message.transaction == last);
            self.place(Side::Server, response);
            // Now and then the client's acknowledgment comes between.
            if self.random.chance(0.5) {
                self.end_turn(Side::Server);
            }
        }
        self.end_turn(Side::Server);
    }

    fn transaction(&mut self, number: usize, closes: bool) {
        let asked = self.ask(number);
        let body_at = self.place(Side::Client, asked.message.clone()) + asked.message.head.len();
        if asked.message.body.is_empty() {
            self.end_turn(Side::Client);
            self.interims(number);
            let response = self.answer(&asked, closes);
            self.place(Side::Server, response);
            self.end_turn(Side::Server);
            return;
        }
        let is_early = !closes && self.random.chance(self.knobs.early_response);
        if is_early || self.random.chance(self.knobs.interim) {
            self.end_turn_at(Side::Client, body_at);
        }
        self.interims(number);
        if is_early {
            let response = self.answer(&asked, false);
            self.place(Side::Server, response);
            self.end_turn(Side::Server);
            self.end_turn(Side::Client);
        } else {
            self.end_turn(Side::Server);
            self.end_turn(Side::Client);
            let response = self.answer(&asked, closes);
            self.place(Side::Server, response);
            self.end_turn(Side::Server);
        }
    }

    /// The last transaction, after which both sides speak something else.
    fn tunnel(&mut self, number: usize) {
        let connects = self.random.chance(0.5);
        let method = if connects { "CONNECT" } else { "GET" };
        let asked = message::request((self.connection, number), method, self.knobs, self.random);
        self.place(Side::Client, asked.message.clone());
        self.end_turn(Side::Client);
        let status = if connects { "200 Connection established" } else { "101 Switching Protocols" };
        let response =
            message::response((self.connection, &asked), status, Framing::None, self.knobs, self.random);
        self.place(Side::Server, response);
        self.end_turn(Side::Server);
        self.script.tunnel = Some([self.script.streams[0].len(), self.script.streams[1].len()]);
        for _ in 0..self.random.range(1, 5) {
            let side = self.random.pick(&[Side::Client, Side::Server]);
            let mut bytes = self.random.bytes(20);
            if self.random.chance(self.knobs.lying_body) {
                bytes = b"GET /tunnelled HTTP/1.1\r\nHost: lie.example.com\r\n\r\n".to_vec();
            }
            let stream = &mut self.script.streams[side as usize];
            self.script.cuts[side as usize].push(stream.len());
            stream.extend(bytes);
            self.end_turn(side);
        }
    }

    fn ask(&mut self, number: usize) -> Asked {
        let methods = ["GET", "GET", "GET", "POST", "PUT", "PATCH", "HEAD", "OPTIONS", "DELETE"];
        let method = self.random.pick(&methods);
        message::request((self.connection, number), method, self.knobs, self.random)
    }

    fn answer(&mut self, asked: &Asked, closes: bool) -> Message {
        let statuses =
            ["200 OK", "200 OK", "200 OK", "404 Not Found", "204 No Content", "304 Not Modified", "500"];
        let mut framing = self.random.pick(&[Framing::Length, Framing::Length, Framing::Chunked]);
        let mut status = self.random.pick(&statuses);
        if closes {
            (framing, status) = (Framing::Close, "200 OK");
        }
        message::response((self.connection, asked), status, framing, self.knobs, self.random)
    }

    fn interims(&mut self, transaction: usize) {
        if self.random.chance(self.knobs.interim) {
            for _ in 0..self.random.range(1, 4) {
                let interim = message::interim(self.connection, transaction, self.random);
                self.place(Side::Server, interim);
            }
        }
    }

    /// Appends a message to a side's stream, and gives its offset there.
    fn place(&mut self, side: Side, message: Message) -> usize {
        let stream = &mut self.script.streams[side as usize];
        let offset = stream.len();
        stream.extend_from_slice(&message.head);
        let cuts = &mut self.script.cuts[side as usize];
        if offset == 0 || !self.random.chance(self.knobs.coalesce) {
            cuts.push(offset);
        }
        cuts.extend(message.lies.iter().map(|lie| stream.len() + lie));
        stream.extend_from_slice(&message.body);
        self.script.messages.push(Placed { side, offset, message });
        offset
    }

    fn end_turn(&mut self, side: Side) {
        self.end_turn_at(side, self.script.streams[side as usize].len());
    }

    fn end_turn_at(&mut self, side: Side, end: usize) {
        let turns = &mut self.script.turns;
        let start = turns.iter().rev().find(|turn| turn.side == side).map_or(0, |turn| turn.end);
        if start < end {
            turns.push(Turn { side, start, end });
        }
    }

    /// Ends the connection in the middle of its last turn: what was not sent is not said.
    fn reset(&mut self) {
        let Some(last) = self.script.turns.last_mut() else { return };
        let said = self.random.range(last.start, last.end);
        last.end = said;
        let side = last.side;
        self.script.end = End::Reset;
        self.script.streams[side as usize].truncate(said);
        self.script.messages.retain(|placed| placed.side != side || placed.offset < said);
        self.script.cuts[side as usize].retain(|cut| *cut < said);
        for placed in &mut self.script.messages {
            if placed.side == side {
                placed.cut_to(said - placed.offset.min(said));
            }
        }
        if let Some(tunnel) = &mut self.script.tunnel {
            tunnel[side as usize] = tunnel[side as usize].min(said);
        }
    }
}

impl Placed {
    fn cut_to(&mut self, len: usize) {
        let head_bytes = self.message.head.len();
        self.message.head.truncate(len);
        self.message.body.truncate(len.saturating_sub(head_bytes));
    }

    pub(super) fn len(&self) -> usize {
        self.message.head.len() + self.message.body.len()
    }
}
