//! The parser against its naive twin, and one row per flag, framing rule, target form and start line.

use proptest::prelude::*;
use storage::{field::Field, flags::Flags};

use super::{naive, *};

/// The start line as a row of the files would write it.
fn request_line(head: &RequestHead<'_>) -> Vec<u8> {
    let version = head.version.map(|version| [b" HTTP/", version].concat()).unwrap_or_default();
    [head.method_raw, b" ", head.target, &version].concat()
}

fn status_line(head: &ResponseHead<'_>) -> Vec<u8> {
    let status = head.status.map(|status| status.to_string()).unwrap_or_default();
    let reason = head.reason.map(|reason| [b" ", reason].concat()).unwrap_or_default();
    [b"HTTP/", head.version, b" ", status.as_bytes(), &reason].concat()
}

fn rebuilt(start_line: &[u8], fields: &Fields<'_>, bytes: &[u8], flags: Flags) -> Vec<u8> {
    let lines = fields.lines().iter().map(|line| (line.name(bytes), line.value(bytes), line.raw(bytes)));
    naive::rebuild(start_line, lines, flags)
}

fn request_flags(head: &str) -> Flags {
    Parser::new().request(head.as_bytes(), true).expect("a request").flags
}

fn response_flags(head: &str) -> Flags {
    Parser::new().response(head.as_bytes(), true).expect("a response").flags
}

/// The request line and Host of a good request, further lines, and the empty line.
fn request_with(lines: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
}

#[test]
fn a_good_request_has_no_flag_and_every_part() {
    let bytes = b"GET /a/b?c=d HTTP/1.1\r\nHost: example.com:8080\r\nX-Y:  z\r\n\r\n";
    let mut parser = Parser::new();
    let head = parser.request(bytes, true).unwrap();
    assert_eq!((head.method, head.method_raw, head.target), (Method::Get, &b"GET"[..], &b"/a/b?c=d"[..]));
    assert_eq!((head.version, head.bytes.len(), head.fields.count()), (Some(&b"1.1"[..]), bytes.len(), 2));
    assert_eq!((head.complete, head.flags), (true, Flags::NONE));
    assert_eq!(head.fields.first(Field::Host), Some(&b"example.com:8080"[..]));
    let lines = head.fields.lines();
    assert_eq!((lines[0].raw(bytes), lines[1].raw(bytes)), (None, Some(&b":  z"[..])));
}

#[test]
fn a_good_response_has_no_flag_and_every_part() {
    let bytes = b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\n";
    let mut parser = Parser::new();
    let head = parser.response(bytes, true).unwrap();
    assert_eq!((head.version, head.status, head.reason), (&b"1.1"[..], Some(404), Some(&b"Not Found"[..])));
    assert_eq!((head.content_length, head.flags), (Some(5), Flags::NONE));
}

#[test]
fn each_flag_of_a_start_line() {
    let normalized = Flags::START_LINE_NORMALIZED;
    let delimiter = Flags::DELIM_BAD.with(normalized);
    let requests = [
        ("get / HTTP/1.0\r\n\r\n", Flags::METHOD_LOWERCASE),
        ("BREW / HTTP/1.0\r\n\r\n", Flags::METHOD_UNKNOWN),
        ("\r\nGET / HTTP/1.0\r\n\r\n", Flags::LEADING_SPACE.with(normalized)),
        (" GET / HTTP/1.0\r\n\r\n", Flags::LEADING_SPACE.with(normalized)),
        ("GET  / HTTP/1.0\r\n\r\n", delimiter),
        ("GET\t/ HTTP/1.0\r\n\r\n", delimiter),
        ("GET / HTTP/1.0 \r\n\r\n", delimiter),
        ("GET / HTTP/1.0\n\r\n", Flags::BARE_LF.with(normalized)),
        ("GET / HTTP/1.0\r\n\n", Flags::BARE_LF_END),
        ("GET /a b HTTP/1.0\r\n\r\n", Flags::REQUEST_LINE_BAD),
        ("GET HTTP/1.0\r\n\r\n", Flags::REQUEST_LINE_BAD.with(normalized)),
        ("GET a HTTP/1.0\r\n\r\n", Flags::REQUEST_LINE_BAD),
        ("GET / HTTP/2.0\r\n\r\n", Flags::VERSION_BAD),
        ("GET / http/1.0\r\n\r\n", Flags::VERSION_BAD.with(normalized)),
        ("GET /\r\n\r\n", Flags::HTTP09.with(normalized)),
        ("GET /% HTTP/1.0\r\n\r\n", Flags::PCT_BAD),
        ("GET /%4 HTTP/1.0\r\n\r\n", Flags::PCT_BAD),
        ("GET /%2541 HTTP/1.0\r\n\r\n", Flags::DOUBLE_ENCODED),
        ("GET /\u{1} HTTP/1.0\r\n\r\n", Flags::CTL_IN_URI),
        ("GET /\0 HTTP/1.0\r\n\r\n", Flags::CTL_IN_URI.with(Flags::NUL)),
        ("GET /\u{e4} HTTP/1.0\r\n\r\n", Flags::OBS_TEXT_IN_URI),
    ];
    for (head, expected) in requests {
        assert_eq!(names(request_flags(head)), names(expected), "{head:?}");
    }
    let responses = [
        ("HTTP/1.1 200\r\n\r\n", Flags::NONE),
        ("HTTP/1.1 200 \r\n\r\n", Flags::NONE),
        ("HTTP/1.1 600 X\r\n\r\n", Flags::STATUS_BAD),
        ("HTTP/1.1 2000 X\r\n\r\n", Flags::STATUS_BAD),
        ("HTTP/1.1 OK\r\n\r\n", Flags::STATUS_BAD.with(normalized)),
        ("HTTP/1.1 099 X\r\n\r\n", Flags::STATUS_BAD.with(normalized)),
        ("HTTP/1.1  200 OK\r\n\r\n", delimiter),
        ("HTTP/1.1 200\tOK\r\n\r\n", delimiter),
        ("HTTP/3 200 OK\r\n\r\n", Flags::VERSION_BAD),
        ("\nHTTP/1.1 200 OK\r\n\r\n", Flags::LEADING_SPACE.with(normalized)),
    ];
    for (head, expected) in responses {
        assert_eq!(names(response_flags(head)), names(expected), "{head:?}");
    }
}

fn names(flags: Flags) -> Vec<&'static str> {
    flags.names().collect()
}

#[test]
fn each_flag_of_field_lines() {
    let chunked = "Transfer-Encoding: chunked\r\n";
    let rows: &[(&str, Flags)] = &[
        ("Content-Length: 5\r\n", Flags::NONE),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", Flags::CL_MULTIPLE),
        ("Content-Length: 5, 5\r\n", Flags::CL_MULTIPLE),
        ("Content-Length: 5\r\nContent-Length: 6\r\n", Flags::CL_CONFLICT),
        ("Content-Length: abc\r\n", Flags::CL_INVALID),
        ("Content-Length:\r\n", Flags::CL_INVALID),
        ("Content-Length: -1\r\n", Flags::CL_NEGATIVE),
        ("Content-Length: 18446744073709551616\r\n", Flags::CL_OVERFLOW),
        ("Content-Length: 9223372036854775808\r\n", Flags::CL_OVERFLOW),
        ("Content-Length: 9223372036854775807\r\n", Flags::NONE),
        ("Content-Length: 005\r\n", Flags::CL_LEADING_ZERO),
        ("Content-Length: +5\r\n", Flags::CL_EXTRA_CHARS),
        ("Content-Length: 5 x\r\n", Flags::CL_EXTRA_CHARS),
        ("Content-Length: 0x5\r\n", Flags::CL_EXTRA_CHARS),
        ("Content-Length: 5,\r\n", Flags::CL_INVALID.with(Flags::CL_CONFLICT)),
        ("Transfer-Encoding: gzip, chunked\r\n", Flags::NONE),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", Flags::CL_AND_TE),
        ("Transfer-Encoding: chunked, gzip\r\n", Flags::TE_NOT_FINAL_CHUNKED),
        ("Transfer-Encoding:\r\n", Flags::TE_NOT_FINAL_CHUNKED),
        ("Transfer-Encoding: chunked, chunked\r\n", Flags::TE_MULTI),
        ("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", Flags::TE_MULTI),
        ("Transfer-Encoding: xchunked\r\n", Flags::TE_UNKNOWN.with(Flags::TE_NOT_FINAL_CHUNKED)),
        ("Transfer-Encoding: identity, chunked\r\n", Flags::TE_UNKNOWN),
        ("Transfer-Encoding: \u{b}chunked\r\n", Flags::TE_UNKNOWN.with(Flags::TE_NOT_FINAL_CHUNKED)),
        ("X: a\r\n b\r\n", Flags::OBS_FOLD),
        ("Transfer-Encoding:\r\n chunked\r\n", Flags::OBS_FOLD),
        ("X: a\n", Flags::BARE_LF),
        ("X: a\rb\r\n", Flags::BARE_CR),
        ("X: a\r\r\n", Flags::BARE_CR),
        ("X: a\0b\r\n", Flags::NUL),
        ("X : a\r\n", Flags::SPACE_BEFORE_COLON),
        ("X\r\n", Flags::MISSING_COLON),
        (": a\r\n", Flags::EMPTY_NAME),
        ("X Y: a\r\n", Flags::BAD_NAME_CHAR),
        ("X\u{e4}: a\r\n", Flags::BAD_NAME_CHAR),
        ("Host: a\r\n", Flags::HOST_MULTIPLE),
        ("User-Agent: a\r\nUser-Agent: b\r\n", Flags::HEADER_REPEATED),
        ("Accept: a\r\nAccept: b\r\n", Flags::NONE),
        ("Expect: 100-Continue\r\n", Flags::NONE),
        ("Expect: 200-ok\r\n", Flags::EXPECT_NOT_100),
        ("Expect: 100-continue\r\nContent-Length: 0\r\n", Flags::CL0_EXPECT100),
    ];
    for (lines, expected) in rows {
        assert_eq!(names(request_flags(&request_with(lines))), names(*expected), "{lines:?}");
    }
    let old = format!("POST / HTTP/1.0\r\n{chunked}\r\n");
    assert_eq!(names(request_flags(&old)), ["te_http10"]);
    assert_eq!(names(response_flags(&format!("HTTP/1.0 200 OK\r\n{chunked}\r\n"))), ["te_http10"]);
    assert_eq!(names(request_flags("GET / HTTP/1.1\r\n X: a\r\nHost: a\r\n\r\n")), ["obs_fold"]);
    let switched = "HTTP/1.1 101 Switching Protocols\r\nContent-Length: 5\r\n\r\n";
    assert_eq!(names(response_flags(switched)), ["switch_with_body"]);
}

#[test]
fn each_flag_of_the_host() {
    let rows = [
        ("GET / HTTP/1.1\r\n\r\n", vec!["host_missing"]),
        ("GET / HTTP/1.0\r\n\r\n", vec![]),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", vec![]),
        ("GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", vec![]),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", vec!["host_invalid"]),
        ("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", vec!["host_invalid"]),
        ("GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", vec!["host_invalid"]),
        ("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", vec!["host_invalid"]),
        ("GET http://A/x HTTP/1.1\r\nHost: a:80\r\n\r\n", vec![]),
        ("GET http://a/x HTTP/1.1\r\nHost: b\r\n\r\n", vec!["host_uri_mismatch"]),
        ("GET https://a:80/x HTTP/1.1\r\nHost: a\r\n\r\n", vec!["host_uri_mismatch"]),
        ("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", vec![]),
        ("CONNECT a:443 HTTP/1.1\r\nHost: a:444\r\n\r\n", vec!["host_uri_mismatch"]),
    ];
    for (head, expected) in rows {
        assert_eq!(names(request_flags(head)), expected, "{head:?}");
    }
}

#[test]
fn limits_are_flagged_and_counted() {
    let lines = "A: b\r\n".repeat(FIELD_LINE_COUNT_MAX + 7);
    let text = request_with(&lines);
    let mut parser = Parser::new();
    let head = parser.request(text.as_bytes(), true).unwrap();
    assert_eq!(head.fields.count() as usize, FIELD_LINE_COUNT_MAX + 8);
    assert_eq!(head.fields.lines().len(), FIELD_LINE_COUNT_MAX);
    assert_eq!(names(head.flags), ["too_many_headers"]);
    let line = |len: usize| format!("A: {}\r\n", "b".repeat(len - 3));
    assert_eq!(names(request_flags(&request_with(&line(FIELD_LINE_BYTES_MAX)))), [""; 0]);
    assert_eq!(names(request_flags(&request_with(&line(FIELD_LINE_BYTES_MAX + 1)))), ["header_too_long"]);
}

#[test]
fn a_head_cut_at_every_byte_keeps_what_came() {
    let text = b"GET /path HTTP/1.1\r\nHost: a\r\nAccept: b\r\n\r\n";
    for cut in 5..text.len() {
        let bytes = &text[..cut];
        let mut parser = Parser::new();
        let head = parser.request(bytes, false).unwrap();
        assert!(!head.complete && head.method == Method::Get);
        let again = rebuilt(&request_line(&head), &head.fields, bytes, head.flags);
        assert!(again.starts_with(bytes.trim_ascii_end()), "{cut}: {again:?}");
        let expected = if cut < 20 { Flags::START_LINE_NORMALIZED } else { Flags::NONE };
        assert_eq!(names(head.flags), names(expected), "{cut}");
    }
}

#[test]
fn a_line_cut_short_has_no_meaning() {
    let text = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 12";
    let mut parser = Parser::new();
    let head = parser.request(text, false).unwrap();
    assert_eq!((head.content_length, head.fields.has(Field::ContentLength)), (None, false));
    assert_eq!((head.fields.lines()[1].field, head.fields.count()), (Some(Field::ContentLength), 2));
    let response = parser.response(b"HTTP/1.1 20", false).unwrap();
    assert_eq!(names(response.flags), ["start_line_normalized"]);
}

#[test]
fn only_a_line_that_is_no_start_line_is_malformed() {
    for bytes in [&b""[..], b"\r\n\r\n", b"\x16\x03\x01", b"hello\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"] {
        assert_eq!(Parser::new().request(bytes, true).unwrap_err(), Malformed, "{bytes:?}");
    }
    for bytes in [&b""[..], b"GET / HTTP/1.1\r\n\r\n", b"ICY 200 OK\r\n\r\n", b"HTTPS 200\r\n\r\n"] {
        assert_eq!(Parser::new().response(bytes, true).unwrap_err(), Malformed, "{bytes:?}");
    }
}

#[test]
fn start_lines_are_told_from_bodies() {
    use StartLine::{NeedMore, None, Preface, Request, Response};
    let rows: &[(&[u8], StartLine)] = &[
        (b"", NeedMore),
        (b"\r\n", NeedMore),
        (b"GE", NeedMore),
        (b"GET /", Request),
        (b"GET\t/", Request),
        (b"\r\nGET / HTTP/1.1\r\n", Request),
        (b"VERSION-CONTROL /x", Request),
        (b"get / HTTP/1.1\r\n", Request),
        (b"get / HTTP/1.1", NeedMore),
        (b"get it while it is hot\n", None),
        (b"Brew /pot HTTP/1.0\n", Request),
        (b"brew /pot HTTP/2.0\n", None),
        (b"brew \x01", None),
        (b"HTTP/1.1 200", Response),
        (b"HTTP", NeedMore),
        (b"HTTP/2 200 OK\r\n", Response),
        (b"HTTP/x 200 OK\r\n", None),
        (b"PRI * HTTP/2.0\r\n", Preface),
        (b"PRI * HTT", NeedMore),
        (b"{\"a\": 1}", None),
        (b"\x16\x03\x01\x02", None),
        (b": x", None),
    ];
    for (bytes, expected) in rows {
        assert_eq!(start_line_kind(bytes), *expected, "{bytes:?}");
    }
    for &method in Method::REGISTERED {
        let line = format!("{} / HTTP/1.1\r\n", method.name());
        assert_eq!(start_line_kind(line.as_bytes()), Request, "{line}");
    }
    assert_eq!(start_line_kind(&[b'a'; METHOD_BYTES_MAX + 1]), None);
    let endless = [&b"brew "[..], &[b'x'; START_LINE_BYTES_MAX]].concat();
    assert_eq!(start_line_kind(&endless), None);
}

fn piece() -> impl Strategy<Value = Vec<u8>> {
    let known = proptest::sample::select(vec![
        &b"Host"[..],
        b"Cookie",
        b"content-length",
        b"Transfer-Encoding",
        b"\r\n",
        b"\r\n",
        b"\r\n",
        b"\n",
        b"\r\n ",
        b": ",
        b": ",
        b":",
        b" ",
        b"chunked",
        b"12",
        b"value",
        b"x=y; z",
    ])
    .prop_map(<[u8]>::to_vec);
    let odd = proptest::collection::vec(proptest::sample::select(b" \t\r\n:aZ-\0\x80,;=%\"".to_vec()), 0..6);
    prop_oneof![4 => known, 1 => odd]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn header_sections_agree_with_the_naive_twin(pieces in proptest::collection::vec(piece(), 0..40)) {
        let section = [&pieces.concat()[..], b"x\r\n\r\n"].concat();
        let bytes = [b"GET /x HTTP/1.1\r\n", &section[..]].concat();
        let (lines, flags) = naive::header_section(&section);
        let mut parser = Parser::new();
        let head = parser.request(&bytes, true).unwrap();
        prop_assert!(head.complete);
        prop_assert_eq!(HeadEnd::new().advance(&bytes), Some(head.bytes.len()));
        let parsed: Vec<_> = head.fields.lines().iter().map(|line| naive::NaiveLine {
            name: line.name(&bytes).to_vec(),
            field: line.field,
            value: line.value(&bytes).to_vec(),
            raw: line.raw(&bytes).map(<[u8]>::to_vec),
        }).collect();
        prop_assert_eq!(parsed, lines);
        for flag in [
            Flags::OBS_FOLD, Flags::BARE_LF, Flags::BARE_LF_END, Flags::MISSING_COLON, Flags::EMPTY_NAME,
            Flags::SPACE_BEFORE_COLON, Flags::BAD_NAME_CHAR, Flags::NUL, Flags::BARE_CR,
        ] {
            prop_assert_eq!(head.flags.contains(flag), flags.contains(flag), "{:?}", names(flag));
        }
        let again = rebuilt(&request_line(&head), &head.fields, &bytes, head.flags);
        prop_assert_eq!(&again[..], head.bytes);
    }

    #[test]
    fn any_bytes_rebuild_exactly_or_say_that_they_do_not(
        start in "(GET|get|B\x01|HTTP/1\\.[01]|HTTP/2)[ \t]{1,2}[/a-z%?\\x20]{0,6}[ ]?(HTTP/1\\.1|200|20x)?[ ]?[a-z]{0,3}",
        pieces in proptest::collection::vec(piece(), 0..20),
        complete in any::<bool>(),
    ) {
        let bytes = [start.as_bytes(), b"\r\n", &pieces.concat(), b"x\r\n\r\n"].concat();
        let mut parser = Parser::new();
        if let Ok(head) = parser.request(&bytes, complete)
            && !head.flags.contains(Flags::START_LINE_NORMALIZED)
        {
            let again = rebuilt(&request_line(&head), &head.fields, &bytes, head.flags);
            prop_assert_eq!(&again[..], head.bytes);
        }
        if let Ok(head) = parser.response(&bytes, complete)
            && !head.flags.contains(Flags::START_LINE_NORMALIZED)
        {
            let again = rebuilt(&status_line(&head), &head.fields, &bytes, head.flags);
            prop_assert_eq!(&again[..], head.bytes);
        }
    }
}
