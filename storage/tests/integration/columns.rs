//! Every column holds the value it was given, and null where there was none.

use std::net::{IpAddr, Ipv4Addr};

use crate::support::{NOON_NS, published, read, row_values, text, writer};
use arrow_array::{
    Array, RecordBatch,
    cast::AsArray,
    types::{Int32Type, Int64Type, TimestampMicrosecondType},
};
use storage::{
    Batch, ConnectionId, RequestId, ResponseId,
    dataset::Writer,
    flags::Flags,
    values::{
        ConnectionValues, FieldLine, PairState, RequestValues, ResponseValues, RowValues, TimeSource, Tunnel,
    },
};

/// Writes one batch and reads the single file back.
fn round_trip(batch: Batch) -> RecordBatch {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut writer: Writer = writer(dir.path());
    let rows = batch.rows() as u64;
    let written = writer.write(batch, NOON_NS).expect("written");
    assert_eq!(written.rows, rows);
    writer.close();
    let mut rows = read(&published(dir.path())[0]);
    assert_eq!(rows.len(), 1);
    rows.remove(0)
}

fn lines<'a>(pairs: &[(&'a str, &'a str)]) -> Vec<FieldLine<'a>> {
    pairs
        .iter()
        .map(|(name, value)| FieldLine {
            name: name.as_bytes(),
            field: storage::field::Field::from_name(name.as_bytes()),
            value: value.as_bytes(),
            raw: None,
            number: None,
        })
        .collect()
}

const REQUEST_LINES: &[(&str, &str, &str)] = &[
    ("Host", "shop.example", "host"),
    ("User-Agent", "ua/1", "user_agent"),
    ("Referer", "http://r/", "referer"),
    ("Origin", "http://o", "origin"),
    ("Accept", "*/*", "accept"),
    ("Accept-Language", "de", "accept_language"),
    ("Accept-Encoding", "br", "accept_encoding"),
    ("Content-Type", "text/a", "req_content_type"),
    ("Transfer-Encoding", "chunked", "req_transfer_encoding"),
    ("Authorization", "Bearer tok:1", "authorization"),
    ("Cookie", "a=tok:2", "cookie"),
    ("X-Forwarded-For", "203.0.113.9", "x_forwarded_for"),
    ("Forwarded", "for=203.0.113.9", "forwarded"),
    ("Via", "1.1 p", "via"),
    ("X-Real-IP", "203.0.113.8", "x_real_ip"),
    ("X-Request-Id", "rid-1", "x_request_id"),
    ("Traceparent", "00-t-s-01", "traceparent"),
    ("Range", "bytes=0-1", "range"),
    ("If-None-Match", "\"e1\"", "if_none_match"),
    ("If-Modified-Since", "Mon", "if_modified_since"),
    ("Cache-Control", "no-cache", "req_cache_control"),
    ("Connection", "close", "req_connection"),
    ("Expect", "100-continue", "expect"),
];

const RESPONSE_LINES: &[(&str, &str, &str)] = &[
    ("Server", "nginx", "server"),
    ("Date", "Tue", "resp_date"),
    ("Content-Type", "text/b", "resp_content_type"),
    ("Content-Encoding", "gzip", "content_encoding"),
    ("Transfer-Encoding", "gzip, chunked", "resp_transfer_encoding"),
    ("Location", "/l", "location"),
    ("Cache-Control", "private", "resp_cache_control"),
    ("Connection", "keep-alive", "resp_connection"),
    ("ETag", "\"e2\"", "etag"),
    ("Last-Modified", "Wed", "last_modified"),
    ("Vary", "Accept", "vary"),
    ("Age", "3", "age"),
    ("Expires", "0", "expires"),
    ("X-Cache", "HIT", "x_cache"),
    ("Retry-After", "9", "retry_after"),
    ("WWW-Authenticate", "Basic", "www_authenticate"),
    ("Strict-Transport-Security", "max-age=1", "strict_transport_security"),
    ("Content-Security-Policy", "default-src", "content_security_policy"),
    ("Access-Control-Allow-Origin", "*", "access_control_allow_origin"),
];

const TEXTS: &[(&str, &str)] = &[
    ("ts_source", "hw"),
    ("sensor", "sensor-a"),
    ("iface", "eth1"),
    ("community_id", "1:abc="),
    ("client_ip", "2001:db8::1"),
    ("server_ip", "2001:db8::2"),
    ("tunnel_type", "vxlan"),
    ("outer_src_ip", "10.0.0.1"),
    ("outer_dst_ip", "10.0.0.2"),
    ("pair_state", "ambiguous"),
    ("method", "POST"),
    ("method_raw", "POST"),
    ("target_raw", "/a/7?q=1"),
    ("path", "/a/7"),
    ("query", "q=1"),
    ("path_template", "/a/{n}"),
    ("req_version", "1.1"),
    ("resp_version", "1.0"),
    ("reason", "Switching"),
    ("upgrade_protocol", "websocket"),
    ("authorization_scheme", "Bearer"),
    ("trace_id", "0af7651916cd43dd8448eb211c80319c"),
];

const NUMBERS: &[(&str, i64)] = &[
    ("ts_ns", NOON_NS + 1_999),
    ("queue", 5),
    ("sample_weight", 16),
    ("flow_id", -42),
    ("client_port", 50_000),
    ("server_port", 8080),
    ("ip_version", 6),
    ("tunnel_id", 77),
    ("transaction_index", 4),
    ("req_seq", 1),
    ("req_end_seq", 2),
    ("resp_seq", 3),
    ("resp_ack", 4),
    ("status", 101),
    ("req_head_bytes", 700),
    ("resp_head_bytes", 500),
    ("req_header_count", 24),
    ("resp_header_count", 23),
    ("req_content_length", 11),
    ("resp_content_length", 12),
    ("req_body_bytes", 5),
    ("resp_body_bytes", 6),
    ("ttfb_us", 7),
    ("req_duration_us", 8),
    ("resp_head_duration_us", 9),
    ("total_us", 10),
    ("tcp_rtt_us", 321),
    ("req_header_order_hash", -9),
];

fn full_batch() -> Batch {
    let mut batch = Batch::new();
    let connection = full_connection(&mut batch);
    let (request, response) = (full_request(&mut batch), full_response(&mut batch));
    let values = RowValues {
        ts_ns: NOON_NS + 1_999,
        ts_source: TimeSource::Hardware,
        transaction_index: 4,
        pair_state: PairState::Ambiguous,
        req_seq: Some(1),
        req_end_seq: Some(2),
        resp_seq: Some(3),
        resp_ack: Some(4),
        req_body_bytes: Some(5),
        resp_body_bytes: Some(6),
        ttfb_us: Some(7),
        req_duration_us: Some(8),
        resp_head_duration_us: Some(9),
        total_us: Some(10),
        flags: Flags::RETRANSMITTED,
    };
    batch.row(connection, Some(request), Some(response), &values);
    batch
}

fn full_connection(batch: &mut Batch) -> ConnectionId {
    batch.connection(&ConnectionValues {
        iface: "eth1",
        queue: Some(5),
        sample_weight: 16,
        flow_id: -42,
        community_id: Some("1:abc="),
        client: ("2001:db8::1".parse().expect("an address"), 50_000),
        server: ("2001:db8::2".parse().expect("an address"), 8080),
        vlan_ids: &[100, 200],
        tunnel: Some(Tunnel {
            kind: "vxlan",
            id: Some(77),
            outer_src: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)),
            outer_dst: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)),
        }),
        syn_seen: true,
        tcp_rtt_us: Some(321),
    })
}

fn full_request(batch: &mut Batch) -> RequestId {
    let request_pairs: Vec<_> = REQUEST_LINES.iter().map(|(name, value, _)| (*name, *value)).collect();
    batch.request(&RequestValues {
        method: "POST",
        method_raw: b"POST",
        target_raw: b"/a/7?q=1",
        host: Some(b"shop.example"),
        path: Some(b"/a/7"),
        query: Some(b"q=1"),
        path_template: Some(b"/a/{n}"),
        version: Some(b"1.1"),
        head_bytes: 700,
        header_count: 24,
        content_length: Some(11),
        transfer_encoding: Some(b"chunked"),
        authorization_scheme: Some(b"Bearer"),
        trace_id: Some(b"0af7651916cd43dd8448eb211c80319c"),
        cookie_names: &[b"a", b"b"],
        is_connect: true,
        header_order_hash: -9,
        fields: &lines(&request_pairs),
        flags: Flags::REDACTED,
    })
}

fn full_response(batch: &mut Batch) -> ResponseId {
    let mut response_pairs: Vec<_> = RESPONSE_LINES.iter().map(|(name, value, _)| (*name, *value)).collect();
    response_pairs.extend([
        ("Set-Cookie", "a=tok:3; Path=/"),
        ("X-Odd", "odd"),
        ("set-cookie", "b=tok:4"),
        ("Via", "1.1 q"),
    ]);
    batch.response(&ResponseValues {
        version: b"1.0",
        status: Some(101),
        reason: Some(b"Switching"),
        info_status: &[100, 103],
        head_bytes: 500,
        header_count: 23,
        content_length: Some(12),
        transfer_encoding: Some(b"gzip, chunked"),
        upgrade_protocol: Some(b"websocket"),
        set_cookie_names: &[b"a", b"b"],
        fields: &lines(&response_pairs),
        flags: Flags::CL_AND_TE,
    })
}

fn int(row: &RecordBatch, column: &str) -> i64 {
    let array = row.column_by_name(column).expect("a column");
    assert!(array.is_valid(0), "{column}");
    match array.as_primitive_opt::<Int32Type>() {
        Some(ints) => i64::from(ints.value(0)),
        None => array.as_primitive::<Int64Type>().value(0),
    }
}

fn truth(row: &RecordBatch, column: &str) -> bool {
    row.column_by_name(column).expect("a column").as_boolean().value(0)
}

fn texts(row: &RecordBatch, column: &str) -> Vec<String> {
    let list = row.column_by_name(column).expect("a column").as_list::<i32>().value(0);
    list.as_string::<i32>().iter().flatten().map(str::to_owned).collect()
}

fn ints(row: &RecordBatch, column: &str) -> Vec<i32> {
    row.column_by_name(column)
        .expect("a column")
        .as_list::<i32>()
        .value(0)
        .as_primitive::<Int32Type>()
        .values()
        .to_vec()
}

fn other_lines(row: &RecordBatch, column: &str) -> Vec<(String, String)> {
    let list = row.column_by_name(column).expect("a column").as_list::<i32>().value(0);
    let lines = list.as_struct();
    let (names, values) = (lines.column(0).as_string::<i32>(), lines.column(1).as_string::<i32>());
    (0..lines.len()).map(|at| (names.value(at).to_owned(), values.value(at).to_owned())).collect()
}

#[test]
fn every_column_holds_its_value() {
    let row = round_trip(full_batch());
    for column in row.columns() {
        assert_eq!(column.null_count(), 0, "the batch has a value for every column");
    }
    for (column, expected) in TEXTS {
        assert_eq!(text(&row, column, 0).as_deref(), Some(*expected), "{column}");
    }
    for (_, value, column) in REQUEST_LINES.iter().chain(RESPONSE_LINES) {
        assert_eq!(text(&row, column, 0).as_deref(), Some(*value), "{column}");
    }
    for (column, expected) in NUMBERS {
        assert_eq!(int(&row, column), *expected, "{column}");
    }
    let micros =
        row.column_by_name("ts").expect("a column").as_primitive::<TimestampMicrosecondType>().value(0);
    assert_eq!(micros, NOON_NS / 1_000 + 1, "nanoseconds are cut, not rounded");
    assert!(truth(&row, "syn_seen") && truth(&row, "is_connect"));
    assert_eq!(ints(&row, "vlan_ids"), [100, 200]);
    assert_eq!(ints(&row, "info_status"), [100, 103]);
    assert_eq!(texts(&row, "set_cookies"), ["a=tok:3; Path=/", "b=tok:4"]);
    assert_eq!(texts(&row, "cookie_names"), ["a", "b"]);
    assert_eq!(texts(&row, "set_cookie_names"), ["a", "b"]);
    assert_eq!(texts(&row, "flags"), ["retransmitted", "redacted", "cl_and_te"]);
    assert!(other_lines(&row, "req_headers_other").is_empty(), "every line has a column of its own");
    let others = other_lines(&row, "resp_headers_other");
    assert_eq!(others, [("X-Odd".to_owned(), "odd".to_owned()), ("Via".to_owned(), "1.1 q".to_owned())]);
    let names: Vec<&str> = REQUEST_LINES.iter().map(|(name, _, _)| *name).collect();
    assert_eq!(text(&row, "req_header_names", 0), Some(names.join(",")));
    assert!(
        text(&row, "resp_header_names", 0)
            .is_some_and(|names| names.ends_with(",Set-Cookie,X-Odd,set-cookie,Via"))
    );
}

#[test]
fn an_absent_side_is_null_and_an_empty_one_is_not() {
    let mut batch = Batch::new();
    let connection = batch.connection(&ConnectionValues {
        iface: "eth1",
        queue: None,
        sample_weight: 1,
        flow_id: 1,
        community_id: Some("1:x="),
        client: (IpAddr::V4(Ipv4Addr::LOCALHOST), 1),
        server: (IpAddr::V4(Ipv4Addr::LOCALHOST), 2),
        vlan_ids: &[],
        tunnel: None,
        syn_seen: false,
        tcp_rtt_us: None,
    });
    batch.row(connection, None, None, &row_values(NOON_NS));
    let bare = crate::support::Head::get("/", vec![]).append_request(&mut batch);
    batch.row(connection, Some(bare), None, &row_values(NOON_NS + 1));
    let rows = round_trip(batch);
    let empty = if text(&rows, "method", 0).is_none() { 0 } else { 1 };
    for field in rows.schema().fields() {
        let column = rows.column_by_name(field.name()).expect("a column");
        let of_connection = ["community_id", "vlan_ids"].contains(&field.name().as_str());
        assert_eq!(column.is_valid(empty), !field.is_nullable() || of_connection, "{}", field.name());
    }
    let others = rows.column_by_name("req_headers_other").expect("a column").as_list::<i32>();
    assert!(others.is_valid(1 - empty) && others.value(1 - empty).is_empty());
    assert_eq!(text(&rows, "req_header_names", 1 - empty).as_deref(), Some(""));
    assert_eq!(text(&rows, "resp_header_names", 1 - empty), None);
}

#[test]
fn interim_responses_that_led_to_no_final_one_are_told_with_their_request() {
    let mut batch = Batch::new();
    let connection = crate::support::connection(&mut batch, 1);
    let requests = [0, 1].map(|_| crate::support::Head::get("/", vec![]).append_request(&mut batch));
    batch.set_info_status_unanswered(requests[0], &[100, 103]);
    let mut next = Batch::new();
    let carried = batch.carry_connection(connection, &mut next);
    let requests = requests.map(|request| batch.carry_request(request, &mut next));
    for (at, request) in (0..).zip(requests) {
        next.row(carried, Some(request), None, &row_values(NOON_NS + at));
    }
    let rows = round_trip(next);
    assert_eq!(ints(&rows, "info_status"), [100, 103], "in the next batch as well");
    assert!(rows.column_by_name("info_status").expect("a column").is_null(1));
}

#[test]
fn bad_bytes_are_escaped_and_flagged_on_their_row_only() {
    let mut batch = Batch::new();
    let connection = crate::support::connection(&mut batch, 1);
    for (at, value) in (0..).zip(["plain", r"back\slash", "bad"]) {
        let mut head = crate::support::Head::get("/", vec![crate::support::Line::new("X-A", value)]);
        if value == "bad" {
            head.lines[0].value = b"b\xffd".to_vec();
        }
        let request = head.append_request(&mut batch);
        batch.row(connection, Some(request), None, &row_values(NOON_NS + at));
    }
    let rows = round_trip(batch);
    let flags = rows.column_by_name("flags").expect("a column").as_list::<i32>();
    let lines = rows.column_by_name("req_headers_other").expect("a column").as_list::<i32>();
    let value = |row: usize| lines.value(row).as_struct().column(1).as_string::<i32>().value(0).to_owned();
    assert_eq!([value(0), value(1), value(2)], ["plain", r"back\\slash", r"b\xFFd"]);
    assert!(flags.value(0).is_empty() && flags.value(1).is_empty());
    assert_eq!(flags.value(2).as_string::<i32>().value(0), "bad_utf8");
}

#[test]
fn repeated_and_odd_lines_go_to_the_list_whole() {
    let mut batch = Batch::new();
    let connection = crate::support::connection(&mut batch, 1);
    let head = crate::support::Head::get(
        "/",
        vec![
            crate::support::Line::new("Host", "Shop.Example"),
            crate::support::Line::new("Accept", "a"),
            crate::support::Line::new("accept", "b"),
            crate::support::Line::new("Content-Length", "007"),
            crate::support::Line::raw("Via", "1.1 p", ":1.1 p"),
            crate::support::Line::raw("User-Agent", "ua", " : ua\n"),
        ],
    );
    let request = head.append_request(&mut batch);
    batch.row(connection, Some(request), None, &row_values(NOON_NS));
    let row = round_trip(batch);
    assert_eq!(text(&row, "host", 0).as_deref(), Some("shop.example"));
    assert_eq!(text(&row, "accept", 0).as_deref(), Some("a, b"));
    assert_eq!(text(&row, "via", 0).as_deref(), Some("1.1 p"));
    assert_eq!(text(&row, "user_agent", 0).as_deref(), Some("ua"));
    assert_eq!(int(&row, "req_content_length"), 7);
    let expected = [
        ("Host", "Shop.Example"),
        ("Accept", "a"),
        ("accept", "b"),
        ("Content-Length", "007"),
        ("Via:", "1.1 p"),
        ("User-Agent :", " ua\n"),
    ];
    let expected: Vec<_> =
        expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    assert_eq!(other_lines(&row, "req_headers_other"), expected);
}

#[test]
fn rows_of_a_server_host_and_client_stand_together_in_order_of_time() {
    let mut batch = Batch::new();
    let connections: Vec<_> =
        (0..3).map(|port| crate::support::connection(&mut batch, 40_000 + port)).collect();
    for number in 0..30_u16 {
        let host = ["b.example", "a.example"][usize::from(number % 2)];
        let head = crate::support::Head::get("/", vec![crate::support::Line::new("Host", host)]);
        let request = head.append_request(&mut batch);
        let at = NOON_NS - i64::from(number);
        batch.row(connections[usize::from(number % 3)], Some(request), None, &row_values(at));
    }
    let rows = round_trip(batch);
    let ports = rows.column_by_name("client_port").expect("a column").as_primitive::<Int32Type>();
    let times = rows.column_by_name("ts_ns").expect("a column").as_primitive::<Int64Type>();
    let keys: Vec<_> = (0..rows.num_rows())
        .map(|row| (text(&rows, "host", row), ports.value(row), times.value(row)))
        .collect();
    assert!(keys.is_sorted(), "{keys:?}");
    assert_eq!(keys.len(), 30);
}

#[test]
fn a_batch_begins_empty_behind_another_and_a_carried_request_is_whole() {
    let mut first = full_batch();
    let connection = crate::support::connection(&mut first, 9);
    let head = crate::support::Head::get(
        "/carried",
        vec![
            crate::support::Line::new("Host", "carried.example"),
            crate::support::Line::new("Cookie", "z=1"),
            crate::support::Line::new("X-B", r"b\"),
        ],
    );
    let request = head.append_request(&mut first);
    let mut next = first.successor();
    assert_eq!((next.rows(), next.raw_bytes()), (0, 0));
    let (connection, request) =
        (first.carry_connection(connection, &mut next), first.carry_request(request, &mut next));
    drop(first);
    next.row(connection, Some(request), None, &row_values(NOON_NS));
    let row = round_trip(next);
    assert_eq!(text(&row, "host", 0).as_deref(), Some("carried.example"));
    assert_eq!(text(&row, "client_ip", 0).as_deref(), Some("192.0.2.1"));
    let rebuilt = storage::views::request_head(&row, 0).expect("a request");
    assert_eq!(rebuilt.escape_ascii().to_string(), head.wire().escape_ascii().to_string());
    let again = full_batch();
    assert!(again.raw_bytes() > 1_000 && !again.is_full());
}
