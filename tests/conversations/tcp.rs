//! TCP as it comes: how segments are cut, ordered, repeated and lost, and what the rows say of it.

use bench::wire::Side::{Client, Server};

use super::{
    table::{Line, assert_told},
    talk::Step::{
        self, Ack, Again, Anew, Backwards, Closed, Cut, Down, Fin, Flagged, KeepAlive, Late, Lost, Open, Rst,
        Twice, Unread, Up, Wrap,
    },
};

/// The urgent flag (RFC 9293 section 3.1).
const URG: u8 = 0x20;

const GET: Step<'_> = Up("GET /a HTTP/1.1|Host: a||");
const AGAIN: Step<'_> = Up("GET /b HTTP/1.1|Host: a||");
const DONE: Step<'_> = Down("HTTP/1.1 204 No Content||");
const FOUND: Step<'_> = Down("HTTP/1.1 200 OK|Content-Length: 5||12345");

const CHUNKED: Step<'_> = Down("HTTP/1.1 200 OK|Transfer-Encoding: chunked||0||");
const HINT: Step<'_> = Down("HTTP/1.1 102 Processing||");
const LIE: Step<'_> = Down("HTTP/1.1 404 No Content||");

const SIMPLE: &str = "GET /a (0) > 204 (0) ack_verified";
const SECOND: &str = "GET /b (0) > 204 (0) ack_verified";

/// Client port of the first conversation.
pub(super) const FIRST_PORT: u16 = 20_000;

/// Conversations whose rows follow.
pub(super) const LINES: &[Line<'_>] = &[
    ("one segment each", &[Open, GET, DONE], &[SIMPLE]),
    ("mid-stream, then proved", &[GET, DONE, AGAIN, DONE], &["GET /a (0) > 204 (0) positional", SECOND]),
    (
        "only requests",
        &[Open, GET, Lost(&DONE), AGAIN, Lost(&DONE)],
        &["GET /a (0) > - request_only", "GET /b (0) > - request_only"],
    ),
    (
        "only responses",
        &[Lost(&GET), DONE, Lost(&AGAIN), FOUND],
        &["- > 204 (0) response_only resp_unmatched", "- > 200 (?) response_only resp_unmatched"],
    ),
    (
        "fields in segments of one byte",
        &[Open, Up("GET /a HTTP/1.1|"), Cut(1, &Up("Host: a|Accept: b||")), DONE],
        &[SIMPLE],
    ),
    (
        "a response in segments of one byte behind its version",
        &[Open, GET, Down("HTTP/1.1 "), Cut(1, &Down("204 No Content||"))],
        &[SIMPLE],
    ),
    (
        "retransmitted with other boundaries",
        &[Open, Up("GET /a HTTP/1.1|Ho"), Again(2, &Up("Host: a|X:")), Again(2, &Up("X: y||")), DONE],
        &["GET /a (0) > 204 (0) ack_verified retransmitted"],
    ),
    (
        "overlapping with other content: the first copy wins",
        &[Open, Up("GET /a HTTP/1.1|X: aaaa|"), Again(9, &Up("X: bbbb|Host: a||")), DONE],
        &["GET /a (0) > 204 (0) ack_verified retransmitted data_conflict"],
    ),
    (
        "sequence numbers wrap inside of a head",
        &[Wrap, Open, GET, FOUND, AGAIN, DONE],
        &["GET /a (0) > 200 (5) ack_verified", SECOND],
    ),
    (
        "a SPAN port delivers all twice",
        &[Open, Twice(&GET), Twice(&FOUND), Twice(&AGAIN), Twice(&DONE)],
        &["GET /a (0) > 200 (5) ack_verified", SECOND],
    ),
    (
        "a SPAN port delivers a head in pieces twice",
        &[Open, Twice(&Up("GET /a HTTP/1.1|")), Twice(&Up("Host: a||")), DONE],
        &["GET /a (0) > 204 (0) ack_verified retransmitted"],
    ),
    (
        "a whole request comes again later",
        &[Open, GET, DONE, AGAIN, DONE, Again(28, &AGAIN)],
        &[SIMPLE, SECOND],
    ),
    (
        "an answer comes again behind five others",
        &[Open, GET, CHUNKED, AGAIN, HINT, HINT, HINT, DONE, Again(160, &CHUNKED)],
        &["GET /a (0) > 200 (5) ack_verified", "GET /b (0) > 102 102 102 204 (0) ack_verified"],
    ),
    (
        "a start line in a body comes again behind the next answer",
        &[Open, GET, Down("HTTP/1.1 200 OK|Content-Length: 27||"), LIE, AGAIN, DONE, Again(54, &LIE)],
        &["GET /a (0) > 200 (27) ack_verified start_line_in_body", SECOND],
    ),
    (
        "a start line in a body goes by before the head that declares it",
        &[Open, GET, Late(&Down("HTTP/1.1 200 OK|Content-Length: 27||")), LIE, AGAIN, DONE],
        &["GET /a (0) > 200 (27) ack_verified start_line_in_body", SECOND],
    ),
    (
        "an answer goes by behind the next one",
        &[Open, GET, Late(&FOUND), AGAIN, DONE],
        &["GET /a (0) > 200 (5) ack_verified", SECOND],
    ),
    (
        "the end of a head and the next one's start go by behind the next one's end",
        &[Open, Up("GET /a HTTP/1.1|Ho"), Late(&Up("st: a||GET /b HTTP/1.1|Ho")), Up("st: a||"), DONE, DONE],
        &["GET /a (0) > 204 (0) ack_verified out_of_order", "GET /b (0) > 204 (0) ack_verified out_of_order"],
    ),
    (
        "a gap in a head",
        &[Open, Up("GET /a HTTP/1.1|Host: a|"), Lost(&Up("X: gone|")), Up("Accept: b||"), DONE],
        &["GET /a (?) > 204 (0) ack_verified gap_in_head"],
    ),
    (
        "a lost response: the next pair is right at once",
        &[Open, GET, Lost(&FOUND), AGAIN, DONE],
        &["GET /a (0) > - request_only", SECOND],
    ),
    (
        "a lost request: its answer stands alone",
        &[Open, Lost(&GET), FOUND, AGAIN, DONE],
        &["- > 200 (?) response_only resp_unmatched", "GET /b (0) > 204 (0) positional"],
    ),
    (
        "a gap between heads, in a body",
        &[
            Open,
            GET,
            Down("HTTP/1.1 200 OK|Content-Length: 9||123"),
            Lost(&Down("456")),
            Down("789"),
            AGAIN,
            DONE,
        ],
        &["GET /a (0) > 200 (9) ack_verified", SECOND],
    ),
    (
        "keep-alive probes",
        &[Open, GET, KeepAlive(Client), Ack(Server), DONE, KeepAlive(Server), Ack(Client), AGAIN, DONE],
        &[SIMPLE, SECOND],
    ),
    (
        "a window that closes and opens",
        &[
            Open,
            Up("GET /a HTTP/1.1|Host: "),
            Closed(&Ack(Server)),
            KeepAlive(Client),
            Ack(Server),
            Up("a||"),
            DONE,
        ],
        &[SIMPLE],
    ),
    ("urgent data", &[Open, Flagged(URG, &GET), Flagged(URG, &DONE)], &[SIMPLE]),
    (
        "a reset in the middle of a head",
        &[Open, Up("GET /a HTTP/1.1|Host: a|"), Rst(Server)],
        &["GET /a (?) > - request_only head_truncated"],
    ),
    (
        "a reset in the middle of a body",
        &[Open, GET, Down("HTTP/1.1 200 OK|Content-Length: 9||123"), Rst(Server)],
        &["GET /a (0) > 200 (?) ack_verified"],
    ),
    (
        "a body that its sender breaks off",
        &[Open, GET, Down("HTTP/1.1 200 OK|Content-Length: 9||123"), Fin(Server)],
        &["GET /a (0) > 200 (3) ack_verified"],
    ),
    (
        "a body until the end of the connection",
        &[Open, GET, Down("HTTP/1.1 200 OK||123"), Down("456"), Fin(Server)],
        &["GET /a (0) > 200 (6) ack_verified"],
    ),
    (
        "the same ends connect again",
        &[Open, GET, DONE, Fin(Client), Fin(Server), Anew, Open, AGAIN, DONE],
        &[SIMPLE, SECOND],
    ),
    ("the same ends connect again, unseen", &[Open, GET, DONE, Anew, Open, AGAIN, DONE], &[SIMPLE, SECOND]),
    ("an ACK that comes before what it covers", &[Open, Late(&GET), DONE], &[SIMPLE]),
    ("pipelined", &[Open, GET, AGAIN, FOUND, DONE], &["GET /a (0) > 200 (5) ack_verified", SECOND]),
    (
        "the first pipelined answer is lost",
        &[Open, GET, AGAIN, Lost(&FOUND), DONE],
        &["GET /a (0) > 204 (0) ambiguous", "GET /b (0) > - request_only"],
    ),
    (
        "the second pipelined answer goes by first",
        &[Open, GET, AGAIN, Late(&FOUND), DONE],
        &["GET /a (0) > 200 (5) ack_verified", SECOND],
    ),
    (
        "a pipelined request whose rest goes by behind its answer",
        &[
            Open,
            Up("GET /a HTTP/1.1|"),
            Lost(&Up("Host: a||")),
            AGAIN,
            DONE,
            Again(39, &Up("Host: a||")),
            DONE,
        ],
        &[SECOND, SIMPLE],
    ),
    (
        "a response whose ACK does not cover the request",
        &[Open, GET, Unread(3, &DONE)],
        &["GET /a (0) > - request_only", "- > 204 (0) response_only resp_before_req"],
    ),
];

#[test]
fn conversations_over_tcp_as_it_comes() {
    let long = format!("{}|", format!("X: {}|", "x".repeat(995)).repeat(64));
    let long = Up(&long);
    let in_order = [Open, Up("GET /a HTTP/1.1|Host: a|"), Cut(1400, &long), DONE];
    let in_reverse = [Open, Up("GET /a HTTP/1.1|Host: a|"), Backwards(1400, &long), DONE];
    let more: [Line<'_>; 6] = [
        ("a head of 64 KiB in 47 segments", &in_order, &[SIMPLE]),
        (
            "segments in reverse order behind the first",
            &in_reverse,
            &["GET /a (0) > 204 (0) ack_verified out_of_order"],
        ),
        ("cut before CR LF CR LF", &[Open, Up("GET /a HTTP/1.1|Host: a"), Up("||"), DONE], &[SIMPLE]),
        ("cut behind CR", &[Open, Up("GET /a HTTP/1.1|Host: a\r"), Up("\n|"), DONE], &[SIMPLE]),
        ("cut behind CR LF", &[Open, Up("GET /a HTTP/1.1|Host: a|"), Up("|"), DONE], &[SIMPLE]),
        ("cut behind CR LF CR", &[Open, Up("GET /a HTTP/1.1|Host: a|\r"), Up("\n"), DONE], &[SIMPLE]),
    ];
    assert_told(FIRST_PORT, &[LINES, &more].concat());
}
