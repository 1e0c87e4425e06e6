//! HTTP/1.x as it comes: message framing, interim responses, tunnels, targets, and what only looks like HTTP.

use bench::wire::Side::{Client, Server};

use super::{
    table::{Line, assert_told},
    talk::Step::{self, Down, Fin, Late, Open, Up},
};

const GET: Step<'_> = Up("GET /a HTTP/1.1|Host: a||");
const NEXT: Step<'_> = Up("GET /b HTTP/1.1|Host: a||");
const DONE: Step<'_> = Down("HTTP/1.1 204 No Content||");

const SIMPLE: &str = "GET /a (0) > 204 (0) ack_verified";
const SECOND: &str = "GET /b (0) > 204 (0) ack_verified";

/// Client port of the first conversation.
pub(super) const FIRST_PORT: u16 = 21_000;

/// Conversations whose rows follow.
pub(super) const LINES: &[Line<'_>] = &[
    (
        "several 1xx",
        &[
            Open,
            Up("POST /a HTTP/1.1|Host: a|Expect: 100-continue|Content-Length: 2||"),
            Down("HTTP/1.1 102 Processing||"),
            Down("HTTP/1.1 100 Continue||"),
            Down("HTTP/1.1 103 Early Hints|Link: </s>||"),
            Up("xy"),
            Down("HTTP/1.1 201 Created|Content-Length: 0||"),
        ],
        &["POST /a (2) > 102 100 103 201 (0) ack_verified"],
    ),
    (
        "1xx and the final response in one segment",
        &[Open, GET, Down("HTTP/1.1 103 Early Hints||HTTP/1.1 204 No Content||")],
        &["GET /a (0) > 103 204 (0) ack_verified"],
    ),
    (
        "HEAD declares a body that does not come",
        &[Open, Up("HEAD /a HTTP/1.1|Host: a||"), Down("HTTP/1.1 200 OK|Content-Length: 99||"), NEXT, DONE],
        &["HEAD /a (0) > 200 (0) ack_verified", SECOND],
    ),
    (
        "304 declares a body that does not come",
        &[Open, GET, Down("HTTP/1.1 304 Not Modified|Content-Length: 99||"), NEXT, DONE],
        &["GET /a (0) > 304 (0) ack_verified", SECOND],
    ),
    ("204 without a body", &[Open, GET, DONE, NEXT, DONE], &[SIMPLE, SECOND]),
    (
        "CONNECT that is accepted: what follows is a tunnel's",
        &[Open, Up("CONNECT b:443 HTTP/1.1|Host: b:443||"), Down("HTTP/1.1 200 OK||"), GET, DONE],
        &["CONNECT b:443 (0) > 200 (0) ack_verified connect_data"],
    ),
    (
        "CONNECT that is refused",
        &[
            Open,
            Up("CONNECT b:443 HTTP/1.1|Host: b:443||"),
            Down("HTTP/1.1 407 No|Content-Length: 0||"),
            NEXT,
            DONE,
        ],
        &["CONNECT b:443 (0) > 407 (0) ack_verified", SECOND],
    ),
    (
        "WebSocket frames are no heads",
        &[
            Open,
            Up("GET /a HTTP/1.1|Host: a|Connection: upgrade|Upgrade: websocket||"),
            Down("HTTP/1.1 101 Switching Protocols|Upgrade: websocket||"),
            Up("GET /in/frame HTTP/1.1||"),
            Down("HTTP/1.1 200 in a frame||"),
        ],
        &["GET /a (0) > 101 (0) ack_verified upgrade_data"],
    ),
    (
        "an upgrade whose request goes by behind its answer",
        &[
            Open,
            Late(&Up("GET /a HTTP/1.1|Host: a|Connection: upgrade|Upgrade: websocket||")),
            Down("HTTP/1.1 101 Switching Protocols|Upgrade: websocket||"),
            Up("GET /in/frame HTTP/1.1||"),
        ],
        &["GET /a (0) > 101 (0) ack_verified upgrade_data"],
    ),
    (
        "CONNECT that goes by behind its answer",
        &[Open, Late(&Up("CONNECT b:443 HTTP/1.1|Host: b:443||")), Down("HTTP/1.1 200 OK||"), GET, DONE],
        &["CONNECT b:443 (0) > 200 (0) ack_verified connect_data"],
    ),
    (
        "an upgrade is answered before the rest of an older answer goes by",
        &[
            Open,
            GET,
            Late(&Down("HTTP/1.1 200 OK|Content-Length: 5||12345")),
            Up("GET /b HTTP/1.1|Host: a|Connection: upgrade|Upgrade: websocket||"),
            Down("HTTP/1.1 101 Switching Protocols|Upgrade: websocket||"),
        ],
        &["GET /a (0) > 200 (5) ack_verified", "GET /b (0) > 101 (0) ack_verified"],
    ),
    (
        "an upgrade that is refused",
        &[Open, Up("GET /a HTTP/1.1|Host: a|Connection: upgrade|Upgrade: h2c||"), DONE, NEXT, DONE],
        &["GET /a (0) > 204 (0) ack_verified switch_failed", SECOND],
    ),
    ("the preface of HTTP/2 ends HTTP/1", &[Open, Up("PRI * HTTP/2.0||SM||"), GET, DONE], &[]),
    (
        "absolute form",
        &[Open, Up("GET http://a/b?c HTTP/1.1|Host: a||"), DONE],
        &["GET http://a/b?c (0) > 204 (0) ack_verified"],
    ),
    (
        "asterisk form",
        &[Open, Up("OPTIONS * HTTP/1.1|Host: a||"), DONE],
        &["OPTIONS * (0) > 204 (0) ack_verified"],
    ),
    (
        "HTTP/1.0",
        &[Open, Up("GET /a HTTP/1.0||"), Down("HTTP/1.0 200 OK||body"), Fin(Server)],
        &["GET /a (0) > 200 (4) ack_verified"],
    ),
    (
        "a line without a version",
        &[Open, Up("GET /a||"), Fin(Client)],
        &["GET /a (0) > - request_only start_line_normalized http09"],
    ),
    (
        "bare LF everywhere",
        &[Open, Up("GET /a HTTP/1.1\nHost: a\n\n"), DONE],
        &["GET /a (0) > 204 (0) ack_verified start_line_normalized bare_lf_end bare_lf"],
    ),
    (
        "obsolete folding",
        &[Open, Up("GET /a HTTP/1.1|Host: a|X: b|  c||"), DONE],
        &["GET /a (0) > 204 (0) ack_verified obs_fold"],
    ),
    (
        "bytes beyond ASCII in a value",
        &[Open, Up("GET /a HTTP/1.1|Host: a|X: \u{e4}||"), DONE],
        &["GET /a (0) > 204 (0) ack_verified bad_utf8"],
    ),
    (
        "NUL in a value",
        &[Open, Up("GET /a HTTP/1.1|Host: a|X: \0||"), DONE],
        &["GET /a (0) > 204 (0) ack_verified nul"],
    ),
    ("no fields at all", &[Open, Up("GET /a HTTP/1.0||"), Down("HTTP/1.0 204 No Content||")], &[SIMPLE]),
    ("a status line without reason", &[Open, GET, Down("HTTP/1.1 204||")], &[SIMPLE]),
    ("a status line with an empty reason", &[Open, GET, Down("HTTP/1.1 204 ||")], &[SIMPLE]),
    (
        "a start line in a declared body",
        &[Open, Up("POST /a HTTP/1.1|Host: a|Content-Length: 29||"), GET, Up("!"), DONE, NEXT, DONE],
        &["POST /a (29) > 204 (0) ack_verified start_line_in_body", SECOND],
    ),
    (
        "a start line without an empty line in a declared body",
        &[
            Open,
            Up("POST /a HTTP/1.1|Host: a|Content-Length: 17||"),
            Up("GET /b HTTP/1.1|"),
            DONE,
            NEXT,
            DONE,
        ],
        &["POST /a (17) > 204 (0) ack_verified start_line_in_body", SECOND],
    ),
    (
        "the same, in the middle of a body that goes on",
        &[
            Open,
            Up("POST /a HTTP/1.1|Host: a|Content-Length: 35||x"),
            Up("GET /b HTTP/1.1|"),
            Up("GET /c HTTP/1.1|"),
            DONE,
            NEXT,
            DONE,
        ],
        &["POST /a (35) > 204 (0) ack_verified start_line_in_body", SECOND],
    ),
    (
        "a status line without an empty line in a declared body",
        &[Open, GET, Down("HTTP/1.1 200 OK|Content-Length: 17||"), Down("HTTP/1.1 404 No||"), NEXT, DONE],
        &["GET /a (0) > 200 (17) ack_verified start_line_in_body", SECOND],
    ),
    (
        "a status line in a declared body",
        &[
            Open,
            GET,
            Down("HTTP/1.1 200 OK|Content-Length: 38||"),
            Down("HTTP/1.1 404 No|Content-Length: 0||"),
            NEXT,
            DONE,
        ],
        &["GET /a (0) > 200 (38) ack_verified start_line_in_body", SECOND],
    ),
    (
        "a request behind a body in another segment",
        &[Open, Up("POST /a HTTP/1.1|Host: a|Content-Length: 3||xyz"), NEXT, DONE, DONE],
        &["POST /a (3) > 204 (0) ack_verified", SECOND],
    ),
    (
        "two requests in one segment",
        &[Open, Up("GET /a HTTP/1.1|Host: a||GET /b HTTP/1.1|Host: a||"), DONE, DONE],
        &[SIMPLE, SECOND],
    ),
    (
        "a chunked body whose end is seen",
        &[Open, GET, Down("HTTP/1.1 200 OK|Transfer-Encoding: chunked||5|hello|0||"), NEXT, DONE],
        &["GET /a (0) > 200 (15) ack_verified", SECOND],
    ),
    (
        "a chunked request",
        &[Open, Up("POST /a HTTP/1.1|Host: a|Transfer-Encoding: chunked||3|xyz|0||"), DONE, NEXT, DONE],
        &["POST /a (13) > 204 (0) ack_verified", "GET /b (0) > 204 (0) positional"],
    ),
    (
        "two Content-Length that differ: nobody knows the end",
        &[Open, Up("POST /a HTTP/1.1|Host: a|Content-Length: 1|Content-Length: 2||x"), DONE],
        &["POST /a (?) > 204 (0) ack_verified cl_conflict"],
    ),
];

#[test]
fn conversations_in_http_as_it_comes() {
    let many = format!("GET /a HTTP/1.1|Host: a|{}|", "A: b|".repeat(999));
    let many = [Open, Step::Cut(1400, &Up(&many)), DONE];
    assert_told(FIRST_PORT, &[LINES, &[("1000 fields", &many, &[SIMPLE])]].concat());
}
