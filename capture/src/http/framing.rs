//! How long a message's body is, and whether the connection lives on (RFC 9112 sections 6.3, 9.3 and 9.6).
//!
//! Invariant: what RFC 9112 calls an unrecoverable framing error is `Body::UntilClose`: nobody can say where the next
//! message begins, so the flow looks for its start line.

use storage::{field::Field, flags::Flags, search::holds_any};

use super::{
    head::{Fields, RequestHead, ResponseHead},
    method::Method,
    syntax::{list, split_once, trim},
};

/// The extent of a message body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// No body.
    None,
    /// This many bytes.
    Length(u64),
    /// Chunked coding is the final one.
    Chunked,
    /// Everything until the connection closes, or framing that cannot be trusted.
    UntilClose,
    /// HTTP/1 ends behind this head.
    Tunnel,
}

/// What a request head says about the bytes behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestFraming {
    /// Extent of the body.
    pub body: Body,
    /// The client means to send further requests.
    pub keep_alive: bool,
    /// The client waits for a 100 (Continue) before it sends the body.
    pub expect_continue: bool,
    /// A tunnel is asked for; HTTP ends with a 2xx.
    pub is_connect: bool,
    /// Another protocol is asked for; HTTP ends with a 101.
    pub upgrade: bool,
}

/// What a response head says about the bytes behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseFraming {
    /// Extent of the body.
    pub body: Body,
    /// The server means to answer further requests.
    pub keep_alive: bool,
    /// A 1xx other than 101: the final response is still to come.
    pub is_interim: bool,
    /// `switch_with_body`, where a CONNECT was accepted by a response that declares a body.
    pub flags: Flags,
}

impl RequestHead<'_> {
    /// The framing of this request (RFC 9112 section 6.3, rules 3 to 7).
    pub fn framing(&self) -> RequestFraming {
        let body = declared_body(&self.fields, self.content_length).unwrap_or(Body::None);
        let http11 = self.version.is_some_and(is_http11);
        RequestFraming {
            body,
            keep_alive: body != Body::UntilClose && persists(&self.fields, http11),
            expect_continue: http11
                && self.fields.all(Field::Expect).any(|value| value.eq_ignore_ascii_case(b"100-continue")),
            is_connect: self.method == Method::Connect,
            upgrade: self.fields.has(Field::Upgrade) && names(&self.fields, b"upgrade"),
        }
    }
}

impl ResponseHead<'_> {
    /// The framing of this response to a request of `method`, if that was seen (RFC 9112 section 6.3, all rules).
    pub fn framing(&self, method: Option<Method>) -> ResponseFraming {
        let status = self.status.unwrap_or(0);
        let tunnels = status == 101 || (method == Some(Method::Connect) && (200..300).contains(&status));
        let declared = declared_body(&self.fields, self.content_length);
        let bodiless =
            method == Some(Method::Head) || (100..200).contains(&status) || matches!(status, 204 | 304);
        let body = match (tunnels, bodiless) {
            (true, _) => Body::Tunnel,
            (false, true) => Body::None,
            (false, false) => declared.unwrap_or(Body::UntilClose),
        };
        let flags = if tunnels { switch_flags(&self.fields, self.content_length) } else { Flags::NONE };
        ResponseFraming {
            body,
            keep_alive: matches!(body, Body::None | Body::Length(_) | Body::Chunked)
                && persists(&self.fields, is_http11(self.version)),
            is_interim: (100..200).contains(&status) && status != 101,
            flags,
        }
    }
}

/// What is wrong with the framing of a response that ends HTTP.
pub(super) fn switch_flags(fields: &Fields<'_>, content_length: Option<i64>) -> Flags {
    match declared_body(fields, content_length) {
        None | Some(Body::None | Body::Length(0)) => Flags::NONE,
        Some(Body::Length(_) | Body::Chunked | Body::UntilClose | Body::Tunnel) => Flags::SWITCH_WITH_BODY,
    }
}

/// What Content-Length and Transfer-Encoding say together; `None` where neither came.
fn declared_body(fields: &Fields<'_>, content_length: Option<i64>) -> Option<Body> {
    if fields.has(Field::TransferEncoding) {
        let chunked = transfer_coding(fields).final_chunked;
        return Some(if chunked { Body::Chunked } else { Body::UntilClose });
    }
    if !fields.has(Field::ContentLength) {
        return None;
    }
    let length = content_length.and_then(|length| u64::try_from(length).ok());
    Some(length.map_or(Body::UntilClose, Body::Length))
}

fn persists(fields: &Fields<'_>, http11: bool) -> bool {
    if names(fields, b"close") {
        return false;
    }
    http11 || names(fields, b"keep-alive")
}

/// True where Connection names the option.
fn names(fields: &Fields<'_>, option: &[u8]) -> bool {
    let is_option = |member: &[u8]| member.eq_ignore_ascii_case(option);
    fields
        .all(Field::Connection)
        .any(|value| is_option(trim(value)) || holds_any(value, [b',']) && list(value).any(is_option))
}

/// True for 1.1 and what claims to be a later minor version of 1.
fn is_http11(version: &[u8]) -> bool {
    !matches!(version, b"1.0" | b"0.9")
}

/// The declared length and what is wrong with it.
pub(super) fn content_length(fields: &Fields<'_>) -> (Option<i64>, Flags) {
    if !fields.has(Field::ContentLength) {
        return (None, Flags::NONE);
    }
    if !fields.repeats(Field::ContentLength)
        && let Some(length) = fields.first(Field::ContentLength).and_then(plain_length)
    {
        return (Some(length), Flags::NONE);
    }
    let mut flags = Flags::NONE;
    let mut members = fields.all(Field::ContentLength).flat_map(list).map(|member| {
        let (length, member_flags) = length_of(member);
        flags.insert(member_flags);
        length
    });
    let Some(first) = members.next() else { return (None, Flags::NONE) };
    let mut count = 1;
    let mut equal = true;
    for length in members {
        count += 1;
        equal &= length == first;
    }
    if count > 1 {
        flags.insert(if equal { Flags::CL_MULTIPLE } else { Flags::CL_CONFLICT });
    }
    (first.filter(|_| equal), flags)
}

/// A length with nothing particular: few digits, and no zero before others.
fn plain_length(value: &[u8]) -> Option<i64> {
    let is_plain = matches!(value, [b'0'] | [b'1'..=b'9', ..]) && value.len() < 19;
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| i64::from(byte - b'0'));
    if is_plain {
        value.iter().try_fold(0, |length: i64, byte| Some(length * 10 + digit(byte)?))
    } else {
        None
    }
}

fn length_of(member: &[u8]) -> (Option<i64>, Flags) {
    if member.is_empty() || !member.iter().any(u8::is_ascii_digit) {
        return (None, Flags::CL_INVALID);
    }
    if member.iter().all(u8::is_ascii_digit) {
        let zeros = if member.len() > 1 && member[0] == b'0' { Flags::CL_LEADING_ZERO } else { Flags::NONE };
        let length = member
            .iter()
            .try_fold(0_i64, |length, digit| length.checked_mul(10)?.checked_add(i64::from(digit - b'0')));
        let overflow = if length.is_none() { Flags::CL_OVERFLOW } else { Flags::NONE };
        return (length, zeros.with(overflow));
    }
    let negative = member[0] == b'-' && member[1..].iter().all(u8::is_ascii_digit);
    (None, if negative { Flags::CL_NEGATIVE } else { Flags::CL_EXTRA_CHARS })
}

/// What the Transfer-Encoding lines say together.
#[derive(Clone, Copy, Debug)]
struct TransferCoding {
    final_chunked: bool,
    flags: Flags,
}

/// Registered transfer codings (RFC 9112 section 7) but chunked.
const CODINGS: [&[u8]; 5] = [b"gzip", b"deflate", b"compress", b"x-gzip", b"x-compress"];

fn transfer_coding(fields: &Fields<'_>) -> TransferCoding {
    let mut coding = TransferCoding { final_chunked: false, flags: Flags::NONE };
    let mut chunked_count = 0;
    for member in fields.all(Field::TransferEncoding).flat_map(list).filter(|member| !member.is_empty()) {
        let (name, parameters) = split_once(member, b';').map_or((member, None), |(n, p)| (trim(n), Some(p)));
        let chunked = name.eq_ignore_ascii_case(b"chunked");
        let known = chunked || CODINGS.iter().any(|coding| name.eq_ignore_ascii_case(coding));
        if !known || (chunked && parameters.is_some()) {
            coding.flags.insert(Flags::TE_UNKNOWN);
        }
        chunked_count += u32::from(chunked);
        coding.final_chunked = chunked;
    }
    if !coding.final_chunked {
        coding.flags.insert(Flags::TE_NOT_FINAL_CHUNKED);
    }
    if chunked_count > 1 || fields.repeats(Field::TransferEncoding) {
        coding.flags.insert(Flags::TE_MULTI);
    }
    coding
}

/// Flags of Content-Length and Transfer-Encoding together.
pub(super) fn transfer_flags(fields: &Fields<'_>, http11: bool) -> Flags {
    if !fields.has(Field::TransferEncoding) {
        return Flags::NONE;
    }
    let mut flags = transfer_coding(fields).flags;
    if fields.has(Field::ContentLength) {
        flags.insert(Flags::CL_AND_TE);
    }
    if !http11 {
        flags.insert(Flags::TE_HTTP10);
    }
    flags
}

/// Flags of Expect (RFC 9110 section 10.1.1).
pub(super) fn expect_flags(fields: &Fields<'_>, content_length: Option<i64>) -> Flags {
    let mut flags = Flags::NONE;
    for value in fields.all(Field::Expect) {
        if !value.eq_ignore_ascii_case(b"100-continue") {
            flags.insert(Flags::EXPECT_NOT_100);
        } else if content_length == Some(0) {
            flags.insert(Flags::CL0_EXPECT100);
        }
    }
    flags
}

#[cfg(test)]
mod tests {
    use super::{super::Parser, *};

    fn of_request(lines: &str) -> RequestFraming {
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        Parser::new().request(head.as_bytes(), true).unwrap().framing()
    }

    fn of_response(method: Option<Method>, status: u16, lines: &str) -> ResponseFraming {
        let head = format!("HTTP/1.1 {status} X\r\n{lines}\r\n");
        Parser::new().response(head.as_bytes(), true).unwrap().framing(method)
    }

    #[test]
    fn requests_by_rfc_9112_section_6_3() {
        let rows = [
            ("", Body::None),
            ("Content-Length: 0\r\n", Body::Length(0)),
            ("Content-Length: 7\r\n", Body::Length(7)),
            ("Content-Length: 7, 7\r\n", Body::Length(7)),
            ("Content-Length: 7, 8\r\n", Body::UntilClose),
            ("Content-Length: x\r\n", Body::UntilClose),
            ("Transfer-Encoding: chunked\r\n", Body::Chunked),
            ("Transfer-Encoding: gzip, chunked\r\nContent-Length: 7\r\n", Body::Chunked),
            ("Transfer-Encoding: gzip\r\nContent-Length: 7\r\n", Body::UntilClose),
            ("Transfer-Encoding: chunked, gzip\r\n", Body::UntilClose),
        ];
        for (lines, body) in rows {
            assert_eq!(of_request(lines).body, body, "{lines:?}");
        }
    }

    #[test]
    fn responses_by_rfc_9112_section_6_3() {
        let get = Some(Method::Get);
        let length = "Content-Length: 7\r\n";
        let rows = [
            (Some(Method::Head), 200, length, Body::None),
            (get, 100, "", Body::None),
            (get, 103, length, Body::None),
            (get, 204, length, Body::None),
            (get, 304, length, Body::None),
            (get, 101, "", Body::Tunnel),
            (Some(Method::Connect), 200, length, Body::Tunnel),
            (Some(Method::Connect), 407, length, Body::Length(7)),
            (get, 200, length, Body::Length(7)),
            (None, 200, length, Body::Length(7)),
            (get, 200, "Transfer-Encoding: chunked\r\nContent-Length: 7\r\n", Body::Chunked),
            (get, 200, "Transfer-Encoding: gzip\r\n", Body::UntilClose),
            (get, 200, "Content-Length: 7x\r\n", Body::UntilClose),
            (get, 200, "", Body::UntilClose),
        ];
        for (method, status, lines, body) in rows {
            assert_eq!(of_response(method, status, lines).body, body, "{method:?} {status} {lines:?}");
        }
        assert_eq!(of_response(Some(Method::Connect), 200, length).flags, Flags::SWITCH_WITH_BODY);
        assert_eq!(of_response(Some(Method::Connect), 407, length).flags, Flags::NONE);
        assert!(of_response(get, 100, "").is_interim && !of_response(get, 101, "").is_interim);
    }

    #[test]
    fn connections_persist_by_rfc_9112_section_9_3() {
        assert!(of_request("").keep_alive);
        assert!(!of_request("Connection: x, Close\r\n").keep_alive);
        assert!(!of_request("Content-Length: x\r\n").keep_alive);
        assert!(!of_response(None, 200, "").keep_alive);
        assert!(of_response(None, 304, "").keep_alive);
        let old = |lines: &str| {
            let head = format!("GET / HTTP/1.0\r\n{lines}\r\n");
            Parser::new().request(head.as_bytes(), true).unwrap().framing().keep_alive
        };
        assert!(!old("") && old("Connection: keep-alive\r\n"));
    }

    #[test]
    fn what_a_request_asks_for() {
        assert!(of_request("Expect: 100-continue\r\n").expect_continue);
        assert!(!of_request("Expect: x\r\n").expect_continue);
        assert!(of_request("Connection: Upgrade\r\nUpgrade: websocket\r\n").upgrade);
        assert!(!of_request("Upgrade: websocket\r\n").upgrade);
        let mut parser = Parser::new();
        let switched = b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\n\r\n";
        let protocol = parser.response(switched, true).unwrap().upgrade_protocol();
        assert_eq!(protocol, Some(&b"websocket"[..]));
        let connect = parser.request(b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", true).unwrap();
        assert!(connect.framing().is_connect);
    }
}
