//! Each flag of column `flags`: what sets it, and what comes close and does not.

use std::collections::BTreeMap;

use bench::wire::Side;
use capture::{
    http::{FIELD_LINE_BYTES_MAX, FIELD_LINE_COUNT_MAX, Parser},
    limits::TRANSACTION_COUNT_PER_FLOW_MAX,
};
use storage::flags::Flags;

use super::talk::{
    Step::{self, Again, Cut, Down, Fin, Late, Lost, Open, Twice, Unread, Up},
    frames, rows_of,
};

const FIRST_PORT: u16 = 23_000;

/// Flags of a request's head alone: one that has it, and one that has not.
const REQUESTS: &[(&str, &str, &str)] = &[
    ("bad_utf8", "GET / HTTP/1.1|Host: a|X: \u{ff}||", "GET / HTTP/1.1|Host: a|X: \u{c3}\u{a4}||"),
    ("redacted", "GET / HTTP/1.1|Host: a|Cookie: id=4711||", "GET / HTTP/1.1|Host: a|Cake: id=4711||"),
    ("start_line_normalized", "GET  / HTTP/1.1|Host: a||", "GET / HTTP/1.1|Host: a||"),
    ("bare_lf_end", "GET / HTTP/1.1|Host: a|\n", "GET / HTTP/1.1|Host: a||"),
    (
        "cl_and_te",
        "POST / HTTP/1.1|Host: a|Content-Length: 5|Transfer-Encoding: chunked||0||",
        "POST / HTTP/1.1|Host: a|Transfer-Encoding: chunked||0||",
    ),
    (
        "cl_multiple",
        "POST / HTTP/1.1|Host: a|Content-Length: 1|Content-Length: 1||x",
        "POST / HTTP/1.1|Host: a|Content-Length: 1||x",
    ),
    (
        "cl_conflict",
        "POST / HTTP/1.1|Host: a|Content-Length: 1|Content-Length: 2||x",
        "POST / HTTP/1.1|Host: a|Content-Length: 1|Content-Length: 1||x",
    ),
    (
        "cl_invalid",
        "POST / HTTP/1.1|Host: a|Content-Length: x||",
        "POST / HTTP/1.1|Host: a|Content-Length: 0||",
    ),
    (
        "cl_negative",
        "POST / HTTP/1.1|Host: a|Content-Length: -1||",
        "POST / HTTP/1.1|Host: a|Content-Length: 1||x",
    ),
    (
        "cl_overflow",
        "POST / HTTP/1.1|Host: a|Content-Length: 9223372036854775808||",
        "POST / HTTP/1.1|Host: a|Content-Length: 9223372036854775807||",
    ),
    (
        "cl_leading_zero",
        "POST / HTTP/1.1|Host: a|Content-Length: 01||x",
        "POST / HTTP/1.1|Host: a|Content-Length: 10||0123456789",
    ),
    (
        "cl_extra_chars",
        "POST / HTTP/1.1|Host: a|Content-Length: +1||x",
        "POST / HTTP/1.1|Host: a|Content-Length:  1 ||x",
    ),
    (
        "te_not_final_chunked",
        "POST / HTTP/1.1|Host: a|Transfer-Encoding: chunked, gzip||",
        "POST / HTTP/1.1|Host: a|Transfer-Encoding: gzip, chunked||",
    ),
    (
        "te_multi",
        "POST / HTTP/1.1|Host: a|Transfer-Encoding: chunked, chunked||",
        "POST / HTTP/1.1|Host: a|Transfer-Encoding: gzip, chunked||",
    ),
    (
        "te_unknown",
        "POST / HTTP/1.1|Host: a|Transfer-Encoding: zip, chunked||",
        "POST / HTTP/1.1|Host: a|Transfer-Encoding: gzip, chunked||",
    ),
    (
        "te_http10",
        "POST / HTTP/1.0|Host: a|Transfer-Encoding: chunked||",
        "POST / HTTP/1.1|Host: a|Transfer-Encoding: chunked||",
    ),
    ("obs_fold", "GET / HTTP/1.1|Host: a|X: b| c||", "GET / HTTP/1.1|Host: a|X: b|c: d||"),
    ("bare_lf", "GET / HTTP/1.1|Host: a\nX: b||", "GET / HTTP/1.1|Host: a|X: b||"),
    ("bare_cr", "GET / HTTP/1.1|Host: a|X: b\rc||", "GET / HTTP/1.1|Host: a|X: b||"),
    ("nul", "GET / HTTP/1.1|Host: a|X: b\0c||", "GET / HTTP/1.1|Host: a|X: b\u{1}c||"),
    ("space_before_colon", "GET / HTTP/1.1|Host: a|X : b||", "GET / HTTP/1.1|Host: a|X:  b||"),
    ("missing_colon", "GET / HTTP/1.1|Host: a|X||", "GET / HTTP/1.1|Host: a|X:||"),
    ("empty_name", "GET / HTTP/1.1|Host: a|: b||", "GET / HTTP/1.1|Host: a|X: : b||"),
    ("bad_name_char", "GET / HTTP/1.1|Host: a|X(: b||", "GET / HTTP/1.1|Host: a|X!: b||"),
    ("host_missing", "GET / HTTP/1.1||", "GET / HTTP/1.0||"),
    ("host_multiple", "GET / HTTP/1.1|Host: a|Host: a||", "GET / HTTP/1.1|Host: a|X-Host: a||"),
    ("host_invalid", "GET / HTTP/1.1|Host: a/b||", "GET / HTTP/1.1|Host: a:80||"),
    ("host_uri_mismatch", "GET http://a/ HTTP/1.1|Host: b||", "GET http://A:80/ HTTP/1.1|Host: a||"),
    ("request_line_bad", "GET /a b HTTP/1.1|Host: a||", "GET /a%20b HTTP/1.1|Host: a||"),
    ("leading_space", "||GET / HTTP/1.1|Host: a||", "GET / HTTP/1.1|Host: a||"),
    ("delim_bad", "GET /  HTTP/1.1|Host: a||", "GET / HTTP/1.1|Host: a||"),
    ("version_bad", "GET / HTTP/1.2|Host: a||", "GET / HTTP/1.1|Host: a||"),
    ("http09", "GET /old||", "GET /old HTTP/1.0||"),
    (
        "header_repeated",
        "GET / HTTP/1.1|Host: a|User-Agent: b|User-Agent: c||",
        "GET / HTTP/1.1|Host: a|Accept: b|Accept: c||",
    ),
    (
        "expect_not_100",
        "POST / HTTP/1.1|Host: a|Content-Length: 1|Expect: 200-ok||x",
        "POST / HTTP/1.1|Host: a|Content-Length: 1|Expect: 100-Continue||x",
    ),
    (
        "cl0_expect100",
        "POST / HTTP/1.1|Host: a|Content-Length: 0|Expect: 100-continue||",
        "POST / HTTP/1.1|Host: a|Content-Length: 1|Expect: 100-continue||x",
    ),
    ("pct_bad", "GET /%4 HTTP/1.1|Host: a||", "GET /%41 HTTP/1.1|Host: a||"),
    ("double_encoded", "GET /%2541 HTTP/1.1|Host: a||", "GET /%25-41 HTTP/1.1|Host: a||"),
    ("ctl_in_uri", "GET /\u{1} HTTP/1.1|Host: a||", "GET /%01 HTTP/1.1|Host: a||"),
    ("obs_text_in_uri", "GET /\u{e4} HTTP/1.1|Host: a||", "GET /%e4 HTTP/1.1|Host: a||"),
];

/// Flags of methods that nobody registered: where no head is known to begin they are text, so the parser is asked.
const METHODS: &[(&str, &str, &str)] = &[
    ("method_unknown", "BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n", "PROPFIND /pot HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("method_lowercase", "get / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
];

const GET: Step<'_> = Up("GET / HTTP/1.1|Host: a||");
const DONE: Step<'_> = Down("HTTP/1.1 204 No Content||");
const UPGRADE: Step<'_> = Up("GET / HTTP/1.1|Host: a|Connection: upgrade|Upgrade: websocket||");
const SWITCHED: Step<'_> = Down("HTTP/1.1 101 Switching Protocols|Connection: upgrade|Upgrade: websocket||");
const CONNECT: Step<'_> = Up("CONNECT b:443 HTTP/1.1|Host: b:443||");
const HEAD_PART: Step<'_> = Up("GET / HTTP/1.1|X: aaaa|");
const CLIENT_ENDS: Step<'_> = Fin(Side::Client);
const POST: Step<'_> = Up("POST / HTTP/1.1|Host: a|Content-Length: 30||");

/// Flags that more than one head decides, or how it came by.
const TALKS: &[(&str, &[Step<'_>], &[Step<'_>])] = &[
    ("head_truncated", &[Open, HEAD_PART, CLIENT_ENDS], &[Open, HEAD_PART, Up("Host: a||"), CLIENT_ENDS]),
    (
        "gap_in_head",
        &[Open, HEAD_PART, Lost(&Up("X: gone|")), Up("Host: a||"), DONE],
        &[Open, HEAD_PART, Late(&Up("X: late|")), Up("Host: a||"), DONE],
    ),
    (
        "retransmitted",
        &[Open, HEAD_PART, Again(9, &Up("X: aaaa|")), Up("Host: a||"), DONE],
        &[Open, HEAD_PART, Up("X: aaaa|"), Up("Host: a||"), DONE],
    ),
    (
        "out_of_order",
        &[Open, HEAD_PART, Late(&Up("X: late|")), Up("Host: a||"), DONE],
        &[Open, HEAD_PART, Up("X: late|"), Up("Host: a||"), DONE],
    ),
    (
        "data_conflict",
        &[Open, HEAD_PART, Again(9, &Up("X: bbbb|Host: a||")), DONE],
        &[Open, HEAD_PART, Again(9, &Up("X: aaaa|Host: a||")), DONE],
    ),
    ("resp_unmatched", &[Open, DONE], &[Open, GET, DONE]),
    ("resp_before_req", &[Open, GET, Unread(3, &DONE)], &[Open, GET, DONE]),
    (
        "version_mismatch",
        &[Open, Up("GET / HTTP/1.0|Host: a||"), DONE],
        &[Open, Up("GET / HTTP/1.0|Host: a||"), Down("HTTP/1.0 204 No Content||")],
    ),
    (
        "status_bad",
        &[Open, GET, Down("HTTP/1.1 600 X|Content-Length: 0||")],
        &[Open, GET, Down("HTTP/1.1 599 X|Content-Length: 0||")],
    ),
    (
        "multiple_100",
        &[Open, GET, Down("HTTP/1.1 100 Continue||"), Down("HTTP/1.1 100 Continue||"), DONE],
        &[Open, GET, Down("HTTP/1.1 102 Processing||"), Down("HTTP/1.1 100 Continue||"), DONE],
    ),
    (
        "upgrade_data",
        &[Open, UPGRADE, SWITCHED, Up("\u{81}\u{85}\0\0\0\0hello")],
        &[Open, UPGRADE, SWITCHED, CLIENT_ENDS],
    ),
    (
        "connect_data",
        &[Open, CONNECT, Down("HTTP/1.1 200 OK||"), Down("220 mail ready|")],
        &[Open, CONNECT, Down("HTTP/1.1 200 OK||"), CLIENT_ENDS, Fin(Side::Server)],
    ),
    ("switch_failed", &[Open, UPGRADE, DONE], &[Open, UPGRADE, SWITCHED]),
    (
        "switch_with_body",
        &[Open, CONNECT, Down("HTTP/1.1 200 OK|Content-Length: 5||")],
        &[Open, CONNECT, Down("HTTP/1.1 200 OK|Content-Length: 0||")],
    ),
    (
        "start_line_in_body",
        &[Open, POST, Up("GET /hidden HTTP/1.1|Host: a||"), DONE],
        &[Open, POST, Up("GETTING /on with it, is it not"), GET, DONE],
    ),
];

/// The flags of all rows of each conversation.
fn flags_of(talks: &[Vec<Step<'_>>]) -> Vec<Vec<String>> {
    let mut rows = rows_of(frames(FIRST_PORT, talks.iter().map(Vec::as_slice)));
    let flags = (FIRST_PORT..).zip(talks).map(|(port, talk)| {
        let rows = rows.remove(&port).unwrap_or_default();
        assert!(!rows.is_empty(), "no row came of {talk:?}");
        rows.into_iter().flat_map(|row| row.flags).collect()
    });
    flags.collect()
}

#[test]
fn each_flag_is_set_by_what_it_says_and_not_by_what_is_near() {
    let lines = "A: b|".repeat(FIELD_LINE_COUNT_MAX);
    let line = format!("A: {}|", "b".repeat(FIELD_LINE_BYTES_MAX - 3));
    let head = |lines: &str| format!("GET / HTTP/1.0|{lines}|");
    let [most, too_many] = [head(&lines), head(&format!("{lines}A: b|"))];
    let [longest, too_long] = [head(&line), head(&line.replace("A: ", "A: b"))];
    let [most, too_many, longest, too_long] = [&most, &too_many, &longest, &too_long].map(|text| Up(text));
    let mut table: BTreeMap<&str, [Vec<Step<'_>>; 2]> = BTreeMap::new();
    for (flag, set, near) in REQUESTS {
        let talk = |text| vec![Open, Up(text), DONE, CLIENT_ENDS];
        assert!(table.insert(flag, [talk(set), talk(near)]).is_none());
    }
    for (flag, set, near) in TALKS {
        assert!(table.insert(flag, [set.to_vec(), near.to_vec()]).is_none());
    }
    let requests = |count| [vec![Open], vec![GET; count]].concat();
    let most_open = TRANSACTION_COUNT_PER_FLOW_MAX;
    table.insert("pairing_overflow", [requests(most_open + 1), requests(most_open)]);
    table.insert("too_many_headers", [&too_many, &most].map(|head| vec![Open, Cut(1400, head), DONE]));
    table.insert("header_too_long", [&too_long, &longest].map(|head| vec![Open, Cut(1400, head), DONE]));

    let mut known: Vec<&str> = Flags::ALL.iter().map(|(_, name)| *name).collect();
    known.sort_unstable();
    let mut here: Vec<&str> = table.keys().copied().chain(METHODS.iter().map(|(flag, ..)| *flag)).collect();
    here.sort_unstable();
    assert_eq!(here, known, "each flag has a line here");
    let talks: Vec<Vec<Step<'_>>> = table.values().flatten().cloned().collect();
    let mut wrong = Vec::new();
    for (flag, set, near) in METHODS {
        let flags = [set, near].map(|head| Parser::new().request(head.as_bytes(), true).unwrap().flags);
        let has = flags.map(|flags| flags.names().any(|name| name == *flag));
        assert_eq!(has, [true, false], "{flag}");
    }
    for (pair, (flag, talks)) in flags_of(&talks).chunks(2).zip(&table) {
        let is_in = |flags: &Vec<String>| flags.iter().any(|name| name == flag);
        if !is_in(&pair[0]) {
            wrong.push(format!("{flag} is not set by {:?}, but {:?}", talks[0], pair[0]));
        }
        if is_in(&pair[1]) {
            wrong.push(format!("{flag} is set by {:?}", talks[1]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Twice the same head is one row, without a flag: nothing of it was ever missing.
#[test]
fn a_head_that_comes_twice_has_no_flag() {
    let talks = [vec![Open, Twice(&GET), Twice(&DONE)]];
    assert_eq!(flags_of(&talks), [[""; 0]]);
}
