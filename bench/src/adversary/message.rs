//! Messages that know themselves: every head names its connection and transaction, so that a row shows where it is from.

use super::Knobs;
use crate::random::Random;

/// What a message is in its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageKind {
    /// A request.
    Request,
    /// A 1xx response.
    Interim,
    /// The response that answers the request.
    Final,
}

/// One message as its sender wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What it is in its transaction.
    pub kind: MessageKind,
    /// Number of the transaction on its connection, from 0.
    pub transaction: usize,
    /// First line without its end.
    pub start_line: String,
    /// Field names and values in order.
    pub fields: Vec<(String, String)>,
    /// Start line, field lines and empty line, as on the wire.
    pub head: Vec<u8>,
    /// What follows the head, framing included.
    pub body: Vec<u8>,
    /// Offsets in the body where a segment should begin: there stands a start line that is none.
    pub lies: Vec<usize>,
}

/// How the length of a body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is no body and no field that tells of one.
    None,
    /// Content-Length.
    Length,
    /// Chunked transfer coding.
    Chunked,
    /// The end of the connection.
    Close,
}

/// A request and what it means for its response.
pub(super) struct Asked {
    pub(super) message: Message,
    pub(super) method: &'static str,
}

pub(super) fn request(
    (connection, transaction): (usize, usize),
    method: &'static str,
    knobs: &Knobs,
    random: &mut Random,
) -> Asked {
    let framing = match method {
        "POST" | "PUT" | "PATCH" => random.pick(&[Framing::Length, Framing::Length, Framing::Chunked]),
        _ => Framing::None,
    };
    let target = match method {
        "CONNECT" => format!("c{connection}-t{transaction}.example.com:443"),
        "OPTIONS" if random.chance(0.3) => "*".to_owned(),
        _ if random.chance(0.1) => {
            format!("http://example.com/c{connection}/t{transaction}?q={}", random.hex(6))
        }
        _ => format!("/c{connection}/t{transaction}/{}", random.hex(6)),
    };
    let version = random.pick(&["1.1", "1.1", "1.1", "1.0"]);
    let mut fields = vec![("Host".to_owned(), format!("c{connection}-t{transaction}.example.com"))];
    add_fields(&mut fields, knobs, random);
    let start_line = format!("{method} {target} HTTP/{version}");
    let message = build((MessageKind::Request, transaction), start_line, (fields, framing), knobs, random);
    Asked { message, method }
}

pub(super) fn interim(connection: usize, transaction: usize, random: &mut Random) -> Message {
    let status = random.pick(&["100 Continue", "102 Processing", "103 Early Hints"]);
    let fields = vec![("X-Id".to_owned(), format!("c{connection}-t{transaction}-interim"))];
    let start_line = format!("HTTP/1.1 {status}");
    let place = (MessageKind::Interim, transaction);
    build(
        place,
        start_line,
        (fields, Framing::None),
        &Knobs { body_bytes_max: 0, ..Knobs::default() },
        random,
    )
}

pub(super) fn response(
    (connection, asked): (usize, &Asked),
    status: &str,
    framing: Framing,
    knobs: &Knobs,
    random: &mut Random,
) -> Message {
    let transaction = asked.message.transaction;
    let mut fields = vec![("X-Id".to_owned(), format!("c{connection}-t{transaction}-final"))];
    add_fields(&mut fields, knobs, random);
    let is_bodiless = asked.method == "HEAD" || status.starts_with("204") || status.starts_with("304");
    let start_line = format!("HTTP/1.1 {status}");
    if !is_bodiless {
        return build((MessageKind::Final, transaction), start_line, (fields, framing), knobs, random);
    }
    if asked.method == "HEAD" || status.starts_with("304") {
        // It tells of a body that does not come.
        match framing {
            Framing::Chunked => fields.push(("Transfer-Encoding".to_owned(), "chunked".to_owned())),
            Framing::Length => fields.push(("Content-Length".to_owned(), random.below(100_000).to_string())),
            Framing::None | Framing::Close => {}
        }
    }
    build((MessageKind::Final, transaction), start_line, (fields, Framing::None), knobs, random)
}

fn add_fields(fields: &mut Vec<(String, String)>, knobs: &Knobs, random: &mut Random) {
    let mut budget = random.below(knobs.head_bytes_max.max(1));
    while budget > 40 {
        let len = random.range(1, budget.min(900));
        let number = random.below(1_000);
        let value = random.text(b"abcdefghijklmnopqrstuvwxyz0123456789 ,;:=/()<>@GETHTP", len);
        // White space around a value is no part of it.
        fields.push((format!("X-Field-{number}"), value.trim().to_owned()));
        budget = budget.saturating_sub(len + 15);
    }
}

fn build(
    (kind, transaction): (MessageKind, usize),
    start_line: String,
    (mut fields, framing): (Vec<(String, String)>, Framing),
    knobs: &Knobs,
    random: &mut Random,
) -> Message {
    let (content, lies) = match framing {
        Framing::None => (Vec::new(), Vec::new()),
        Framing::Length | Framing::Chunked | Framing::Close => content(knobs, random),
    };
    let (body, lies) = match framing {
        Framing::None | Framing::Close => (content, lies),
        Framing::Length => {
            fields.push(("Content-Length".to_owned(), content.len().to_string()));
            (content, lies)
        }
        Framing::Chunked => {
            fields.push(("Transfer-Encoding".to_owned(), "chunked".to_owned()));
            chunked(&content, &lies, random)
        }
    };
    let lines: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!("{start_line}\r\n{lines}\r\n").into_bytes();
    Message { kind, transaction, start_line, fields, head, body, lies }
}

/// Random content, and where in it stands what looks like a start line.
fn content(knobs: &Knobs, random: &mut Random) -> (Vec<u8>, Vec<usize>) {
    let len = random.below(knobs.body_bytes_max + 1);
    let mut content = random.bytes(len);
    let mut lies = Vec::new();
    if random.chance(knobs.lying_body) {
        let lie = random.pick(&[
            "GET /lie HTTP/1.1\r\nHost: lie.example.com\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX-Id: lie\r\n\r\n",
            "POST /lie HTTP/1.1\r\nHost: lie.example.com\r\nContent-Length: 5\r\n\r\nhello",
        ]);
        let at = random.below(content.len() + 1);
        content.splice(at..at, lie.bytes());
        lies.push(at);
    }
    (content, lies)
}

fn chunked(content: &[u8], lies: &[usize], random: &mut Random) -> (Vec<u8>, Vec<usize>) {
    let mut body = Vec::new();
    let mut moved = Vec::new();
    let mut at = 0;
    while at < content.len() {
        let len = random.range(1, content.len() - at + 1).min(random.range(1, 5_000));
        let extension = random.pick(&["", "", ";a=b"]);
        body.extend_from_slice(format!("{len:x}{extension}\r\n").as_bytes());
        moved.extend(lies.iter().filter(|lie| (at..at + len).contains(lie)).map(|lie| lie - at + body.len()));
        body.extend_from_slice(&content[at..at + len]);
        body.extend_from_slice(b"\r\n");
        at += len;
    }
    let trailer = random.pick(&["", "", "X-Trailer: t\r\n"]);
    body.extend_from_slice(format!("0\r\n{trailer}\r\n").as_bytes());
    (body, moved)
}
