//! Conversations written down step by step: the frames they make, and the rows that came of them in one line each.

use std::{collections::BTreeMap, net::IpAddr};

use bench::{
    wire::{self, Path, Segment, Side, flag},
    workload::TimedFrame,
};
use capture::redact::Policy;

use crate::truth::{
    pipeline::{self, Setup},
    rows::{Row, RowSide},
};

/// What an end does next. In a text `|` stands for CRLF.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step<'a> {
    /// The handshake.
    Open,
    /// The client says something, in one segment.
    Up(&'a str),
    /// The server does.
    Down(&'a str),
    /// What no mirror saw, though the other end did.
    Lost(&'a Step<'a>),
    /// The mirror shows it twice.
    Twice(&'a Step<'a>),
    /// It goes by after the next step.
    Late(&'a Step<'a>),
    /// In segments of so many bytes.
    Cut(usize, &'a Step<'a>),
    /// The same, the last segment first.
    Backwards(usize, &'a Step<'a>),
    /// It begins so many bytes before the end of what its sender said last.
    Again(u32, &'a Step<'a>),
    /// Its segments acknowledge nothing new: the sender has not read so many bytes of what the other said last.
    Unread(u32, &'a Step<'a>),
    /// With no room left for what the other end says.
    Closed(&'a Step<'a>),
    /// With these TCP flags as well.
    Flagged(u8, &'a Step<'a>),
    /// An empty segment.
    Ack(Side),
    /// A probe of one byte that was said before.
    KeepAlive(Side),
    /// The end of what this side says.
    Fin(Side),
    /// The end of everything.
    Rst(Side),
    /// Both ends begin anew with other sequence numbers.
    Anew,
    /// First of all: sequence numbers begin shortly before they wrap.
    Wrap,
}

/// First sequence number of the client's data; the server's is as many behind.
const FIRST_SEQ: u32 = 1_000_001;

/// Where the window of a segment over IPv4 without tags stands in its frame.
const WINDOW_AT: usize = 14 + 20 + 14;

/// Where a conversation takes place.
#[derive(Clone, Debug)]
pub(crate) struct Talk {
    pub(crate) path: Path,
    /// Sequence number each end sends next.
    next: [u32; 2],
    /// What each end is shown to have read of the other.
    unread: u32,
    extra_flags: u8,
    is_closed: bool,
    is_lost: bool,
    cut: usize,
    is_backwards: bool,
    is_twice: bool,
    late: Vec<Vec<u8>>,
    ts_ns: u64,
    frames: Vec<TimedFrame>,
}

impl Talk {
    /// One between the client's port of this number and a server, beginning at `ts_ns`.
    pub(crate) fn new(port: u16, ts_ns: u64) -> Self {
        let end = |last: u8| IpAddr::from([10, 0, 0, last]);
        Talk {
            path: Path { client: (end(1), port), server: (end(2), 80), vlan_ids: Vec::new() },
            next: [FIRST_SEQ, 2 * FIRST_SEQ],
            unread: 0,
            extra_flags: 0,
            is_closed: false,
            is_lost: false,
            cut: usize::MAX,
            is_backwards: false,
            is_twice: false,
            late: Vec::new(),
            ts_ns,
            frames: Vec::new(),
        }
    }

    /// With both ends' next sequence numbers close to where they wrap.
    pub(crate) fn wrapping(mut self) -> Self {
        self.next = [u32::MAX - 10, u32::MAX - 20];
        self
    }

    /// The frames of these steps.
    pub(crate) fn frames(mut self, steps: &[Step<'_>]) -> Vec<TimedFrame> {
        for step in steps {
            let late = std::mem::take(&mut self.late);
            self.take(*step);
            late.into_iter().for_each(|frame| self.show(frame));
        }
        let late = std::mem::take(&mut self.late);
        late.into_iter().for_each(|frame| self.show(frame));
        self.frames
    }

    fn take(&mut self, step: Step<'_>) {
        let mut inner = self.clone();
        inner.frames.clear();
        match step {
            Step::Open => self.open(),
            Step::Up(text) => self.say(Side::Client, text),
            Step::Down(text) => self.say(Side::Server, text),
            Step::Lost(step) => self.within(Talk { is_lost: true, ..inner }, *step),
            Step::Twice(step) => self.within(Talk { is_twice: true, ..inner }, *step),
            Step::Cut(cut, step) => self.within(Talk { cut, ..inner }, *step),
            Step::Backwards(cut, step) => {
                self.within(Talk { cut, is_backwards: true, ..inner }, *step);
            }
            Step::Unread(unread, step) => self.within(Talk { unread, ..inner }, *step),
            Step::Closed(step) => self.within(Talk { is_closed: true, ..inner }, *step),
            Step::Flagged(extra_flags, step) => self.within(Talk { extra_flags, ..inner }, *step),
            Step::Late(step) => {
                inner.take(*step);
                self.next = inner.next;
                self.late = inner.frames.into_iter().map(|frame| frame.bytes).collect();
            }
            Step::Again(bytes, step) => {
                let known = inner.next;
                inner.next = known.map(|next| next.wrapping_sub(bytes));
                inner.take(*step);
                self.ts_ns = inner.ts_ns;
                self.frames.append(&mut inner.frames);
                for (next, reached) in self.next.iter_mut().zip(inner.next) {
                    if reached.wrapping_sub(*next).cast_signed() > 0 {
                        *next = reached;
                    }
                }
            }
            Step::Ack(from) => self.segment(from, self.next[at(from)], flag::ACK, b""),
            Step::KeepAlive(from) => {
                let seq = self.next[at(from)].wrapping_sub(1);
                self.segment(from, seq, flag::ACK, b"\0");
            }
            Step::Fin(from) => {
                self.segment(from, self.next[at(from)], flag::FIN | flag::ACK, b"");
                self.next[at(from)] = self.next[at(from)].wrapping_add(1);
            }
            Step::Rst(from) => self.segment(from, self.next[at(from)], flag::RST | flag::ACK, b""),
            Step::Anew => self.next = self.next.map(|next| next.wrapping_add(0x3333_3333)),
            Step::Wrap => {}
        }
    }

    /// Takes a step as `inner` does, and goes on as before.
    fn within(&mut self, mut inner: Talk, step: Step<'_>) {
        inner.take(step);
        (self.next, self.ts_ns, self.late) = (inner.next, inner.ts_ns, inner.late);
        self.frames.append(&mut inner.frames);
    }

    fn open(&mut self) {
        let [client, server] = self.next;
        self.segment(Side::Client, client.wrapping_sub(1), flag::SYN, b"");
        self.segment(Side::Server, server.wrapping_sub(1), flag::SYN | flag::ACK, b"");
        self.segment(Side::Client, client, flag::ACK, b"");
    }

    fn say(&mut self, from: Side, text: &str) {
        let bytes = bytes_of(text);
        let mut pieces: Vec<(usize, &[u8])> = Vec::new();
        for (nth, piece) in bytes.chunks(self.cut.min(bytes.len().max(1))).enumerate() {
            pieces.push((nth * self.cut.min(bytes.len()), piece));
        }
        if self.is_backwards {
            pieces.reverse();
        }
        for (offset, piece) in pieces {
            let seq = self.next[at(from)].wrapping_add(offset as u32);
            self.segment(from, seq, flag::ACK | flag::PSH, piece);
        }
        self.next[at(from)] = self.next[at(from)].wrapping_add(bytes.len() as u32);
    }

    fn segment(&mut self, from: Side, seq: u32, flags: u8, payload: &[u8]) {
        let mut ack = self.next[at(from.other())].wrapping_sub(self.unread);
        if flags & (flag::SYN | flag::ACK) == flag::SYN | flag::ACK {
            ack = self.next[at(from.other())];
        }
        let flags = flags | self.extra_flags;
        let segment = Segment { from, seq, ack, flags, options: &[], payload, ip_id: 0 };
        let mut frame = wire::frame(&self.path, &segment);
        if self.is_closed {
            frame[WINDOW_AT..WINDOW_AT + 2].fill(0);
        }
        if self.is_lost {
            return;
        }
        if self.is_twice {
            self.show(frame.clone());
        }
        self.show(frame);
    }

    fn show(&mut self, bytes: Vec<u8>) {
        self.ts_ns += 1_000_000;
        self.frames.push(TimedFrame { ts_ns: self.ts_ns, bytes });
    }
}

fn at(side: Side) -> usize {
    match side {
        Side::Client => 0,
        Side::Server => 1,
    }
}

/// `|` is CRLF; other characters up to U+00FF are the bytes of their numbers.
fn bytes_of(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for character in text.chars() {
        match character {
            '|' => bytes.extend(b"\r\n"),
            other => bytes.push(u8::try_from(u32::from(other)).expect("one byte")),
        }
    }
    bytes
}

/// Frames of all conversations, one after the other, each from a port of its own.
pub(crate) fn frames<'a>(first_port: u16, all: impl Iterator<Item = &'a [Step<'a>]>) -> Vec<TimedFrame> {
    let mut ts_ns = 1_700_000_000_000_000_000;
    let mut frames = Vec::new();
    for (port, steps) in (first_port..).zip(all) {
        let talk = Talk::new(port, ts_ns);
        let is_wrapping = matches!(steps, [Step::Wrap, ..]);
        let talk = if is_wrapping { talk.wrapping() } else { talk };
        frames.extend(talk.frames(steps));
        ts_ns = frames.last().map_or(ts_ns, |frame: &TimedFrame| frame.ts_ns);
    }
    frames
}

/// The rows of each conversation, by its client's port.
pub(crate) fn rows_of(frames: Vec<TimedFrame>) -> BTreeMap<u16, Vec<Row>> {
    let setup = Setup { policy: Policy::default(), ..Setup::default() };
    let outcome = pipeline::run_as(setup, frames.into_iter());
    assert_eq!(outcome.balance.discrepancies(), [""; 0], "the balance does not close");
    let mut rows: BTreeMap<u16, Vec<Row>> = BTreeMap::new();
    for row in outcome.rows {
        let ports = [row.client.1, row.server.1];
        let port = ports.into_iter().find(|port| *port != 80).expect("one end is the client");
        rows.entry(port).or_default().push(row);
    }
    for rows in rows.values_mut() {
        rows.sort_by_key(|row| row.transaction_index);
    }
    rows
}

/// A row in one line: request, response, how they came together, and what was odd.
pub(crate) fn told(row: &Row) -> String {
    let start = |side: &Option<RowSide>| match side {
        None => "-".to_owned(),
        Some(side) => {
            let body = side.body_bytes.map_or("?".to_owned(), |bytes| bytes.to_string());
            format!("{} ({body})", side.start.join(" "))
        }
    };
    let infos = row.info_status.iter().map(|status| format!("{status} "));
    let infos: String = infos.collect();
    let flags: String = row.flags.iter().map(|flag| format!(" {flag}")).collect();
    format!("{} > {infos}{} {}{flags}", start(&row.request), start(&row.response), row.pair_state)
}
