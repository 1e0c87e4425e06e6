//! From the bytes of one head to its parsed form, in one pass and with reusable memory.
//!
//! Invariant: nothing is allocated once the line table has grown to its limit; nothing is refused but a start line that
//! is neither a request's nor a response's.

use storage::{field::Field, flags::Flags};

use super::{
    FIELD_LINE_COUNT_MAX, framing,
    head::{Fields, RequestHead, ResponseHead},
    line::{Ending, Section, physical_line, scan_section},
    line_feeds::LineFeeds,
    lines::Lines,
    memory::LineMemory,
    method::Method,
    start, syntax, target,
};

/// The start line is neither a request's nor a response's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the start line is neither a request line nor a status line")]
pub struct Malformed;

/// Parses heads one after the other; the default one has no room for lines yet and makes it with the first head.
#[derive(Debug, Default)]
pub struct Parser {
    /// Apart, so that a parser is moved as a pointer.
    state: Option<Box<State>>,
}

/// What a parser keeps from head to head.
#[derive(Debug)]
struct State {
    lines: Lines,
    memory: LineMemory,
}

impl State {
    fn new() -> Box<State> {
        Box::new(State { lines: Lines::with_capacity(FIELD_LINE_COUNT_MAX), memory: LineMemory::new() })
    }
}

/// The start line of a head and where it lies.
struct Opening<'a> {
    line: &'a [u8],
    line_start: usize,
    fields_start: usize,
    /// From the first field line on.
    feeds: LineFeeds<'a>,
    complete: bool,
    flags: Flags,
}

impl Parser {
    /// A parser with room for the most lines a head may store.
    pub fn new() -> Parser {
        Parser { state: Some(State::new()) }
    }

    /// Parses a request head; `complete` says that the caller found its empty line, else nothing missing is an anomaly.
    ///
    /// Of a line cut short the bytes are kept, but neither meaning nor anomalies are read from it.
    pub fn request<'a>(&'a mut self, bytes: &'a [u8], complete: bool) -> Result<RequestHead<'a>, Malformed> {
        let opening = open(bytes);
        let start = start::request_line(opening.line).ok_or(Malformed)?;
        let start_flags = if opening.complete {
            start.flags.with(target::flags(start.target, Method::from_name(start.method_raw)))
        } else {
            Flags::NONE
        };
        let (section, fields) = self.section(bytes, &opening);
        let (content_length, length_flags) = framing::content_length(&fields);
        let method = Method::from_name(start.method_raw);
        let http11 = start.version == Some(b"1.1");
        let complete = complete && section.ended;
        let mut flags = section.flags.with(start_flags).with(opening.flags).with(length_flags);
        flags.insert(repetition(&fields));
        flags.insert(framing::transfer_flags(&fields, start.version != Some(b"1.0")));
        flags.insert(framing::expect_flags(&fields, content_length));
        flags.insert(target::host_flags(start.target, method, &fields));
        if http11 && complete && !fields.has(Field::Host) {
            flags.insert(Flags::HOST_MISSING);
        }
        Ok(RequestHead {
            bytes: &bytes[..section.end],
            method,
            method_raw: start.method_raw,
            target: start.target,
            version: start.version,
            fields,
            content_length,
            header_order_hash: section.order.value(),
            complete,
            start_line_complete: opening.complete,
            flags,
        })
    }

    /// Parses a response head; `complete` as for `request`.
    pub fn response<'a>(
        &'a mut self,
        bytes: &'a [u8],
        complete: bool,
    ) -> Result<ResponseHead<'a>, Malformed> {
        let opening = open(bytes);
        let start = start::status_line(opening.line).ok_or(Malformed)?;
        let (section, fields) = self.section(bytes, &opening);
        let (content_length, length_flags) = framing::content_length(&fields);
        let start_flags = if opening.complete { start.flags } else { Flags::NONE };
        let mut flags = section.flags.with(start_flags).with(opening.flags).with(length_flags);
        flags.insert(repetition(&fields));
        flags.insert(framing::transfer_flags(&fields, start.version != b"1.0"));
        if start.status == Some(101) {
            flags.insert(framing::switch_flags(&fields, content_length));
        }
        Ok(ResponseHead {
            bytes: &bytes[..section.end],
            version: start.version,
            status: start.status,
            reason: start.reason,
            fields,
            content_length,
            complete: complete && section.ended,
            start_line_complete: opening.complete,
            flags,
        })
    }

    fn section<'a>(&'a mut self, bytes: &'a [u8], opening: &Opening<'_>) -> (Section, Fields<'a>) {
        let State { lines, memory } = &mut **self.state.get_or_insert_with(State::new);
        let mut section = scan_section(bytes, opening.fields_start, opening.feeds, lines, memory);
        let start_cr = opening.fields_start - opening.line_start - opening.line.len();
        section.crlf_count += usize::from(start_cr > usize::from(opening.complete));
        if section.has_control || syntax::has_control(opening.line) {
            section.note_controls(bytes, opening.line_start, lines.all_mut());
        }
        (section, Fields { bytes, lines, count: section.count })
    }
}

fn open(bytes: &[u8]) -> Opening<'_> {
    let line_start = syntax::leading_len(bytes);
    let mut feeds = LineFeeds::new(bytes, line_start);
    let line = physical_line(bytes, line_start, feeds.next());
    let mut flags = Flags::NONE;
    if line_start > 0 {
        flags.insert(Flags::LEADING_SPACE.with(Flags::START_LINE_NORMALIZED));
    }
    match line.ending {
        Ending::Crlf => {}
        Ending::Lf => flags.insert(Flags::BARE_LF.with(Flags::START_LINE_NORMALIZED)),
        Ending::Cut => flags.insert(Flags::START_LINE_NORMALIZED),
    }
    Opening {
        line: line.content(bytes),
        line_start,
        fields_start: line.next(),
        feeds,
        complete: line.ending != Ending::Cut,
        flags,
    }
}

/// Fields defined as a single value (RFC 9110, RFC 6265 section 5.4, RFC 6797 section 8.1, W3C Trace Context) that have no
/// flag of their own for coming twice.
const SINGLETONS: &[Field] = &[
    Field::AccessControlAllowOrigin,
    Field::Age,
    Field::Authorization,
    Field::ContentType,
    Field::Cookie,
    Field::Date,
    Field::Etag,
    Field::Expires,
    Field::IfModifiedSince,
    Field::LastModified,
    Field::Location,
    Field::Origin,
    Field::ProxyAuthorization,
    Field::Range,
    Field::Referer,
    Field::RetryAfter,
    Field::Server,
    Field::StrictTransportSecurity,
    Field::Traceparent,
    Field::UserAgent,
];

const SINGLETON_BITS: u64 = {
    let mut bits = 0;
    let mut i = 0;
    while i < SINGLETONS.len() {
        bits |= SINGLETONS[i].bit();
        i += 1;
    }
    bits
};

fn repetition(fields: &Fields<'_>) -> Flags {
    let mut flags = Flags::NONE;
    if fields.lines.repeats_any(SINGLETON_BITS) {
        flags.insert(Flags::HEADER_REPEATED);
    }
    if fields.repeats(Field::Host) {
        flags.insert(Flags::HOST_MULTIPLE);
    }
    flags
}
