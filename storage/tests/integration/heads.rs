//! Head to values to row to file to head: every byte comes back, in Rust and in DuckDB's SQL.

use crate::support::{
    Head, Line, NOON_NS, Start, connection, duckdb, duckdb_with_views, published, read, row_values, writer,
};
use proptest::prelude::*;
use storage::{
    Batch,
    views::{request_head, response_head},
};

const NAMES: &[&[u8]] = &[
    b"Host",
    b"host",
    b"HOST",
    b"User-Agent",
    b"user-agent",
    b"Cookie",
    b"cookie",
    b"Accept",
    b"Content-Length",
    b"content-length",
    b"Transfer-Encoding",
    b"Content-Type",
    b"Set-Cookie",
    b"set-cookie",
    b"Date",
    b"Server",
    b"Via",
    b"X-Request-Id",
    b"Upgrade",
    b"Connection",
    b"Content-Encoding",
    b"ETag",
    b"Vary",
];
const ODD_NAMES: &[&[u8]] = &[b"a,b", b",", br"a\b", b"n\xffme", b"", b"x y", b"\xc3\xbc"];
const VALUES: &[&[u8]] =
    &[b"shop.example", b"Shop.Example", b"0", b"12", b"012", b"+5", b"chunked", b"gzip, chunked", b""];
const ODD_VALUES: &[&[u8]] = &[b"\xff\xfe", br"\x41", br"\\", br"back\slash", b"gr\xc3\xbcn", b"a\x00b"];
const AROUND: &[(&[u8], &[u8])] = &[
    (b":", b""),
    (b":\t", b""),
    (b" : ", b""),
    (b"\t:", b" "),
    (b": ", b"\n"),
    (b":", b"\n"),
    (b":  ", b"\t"),
    (b": a\r\n folded ", b""),
    (b": a\n folded ", b"\n"),
    (b"::", b":"),
];
const METHODS: &[&[u8]] = &[b"GET", b"get", br"M\X", b"\xff"];
const TARGETS: &[&[u8]] = &[b"/", b"/a?b=c&d", b"*", b"http://H/x", b"/\xc3\x28", br"/\x41", b"/a,b"];
const REQUEST_VERSIONS: &[&[u8]] = &[b"1.1", b"1.0", b"1.2", b"2", b"", b"\xff"];
const RESPONSE_VERSIONS: &[&[u8]] = &[b"1.1", b"1.0", b"1.9"];
const REASONS: &[&[u8]] = &[b"OK", b"", b"Not Found", b"\xe4"];

fn one_of(all: &'static [&'static [u8]]) -> impl Strategy<Value = Vec<u8>> {
    prop::sample::select(all).prop_map(<[u8]>::to_vec)
}

/// Names with and without a column of their own, in several cases, and some that are no token.
fn name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => one_of(NAMES),
        2 => "[A-Za-z][A-Za-z0-9-]{0,8}".prop_map(String::into_bytes),
        1 => one_of(ODD_NAMES),
    ]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => "[ -~]{0,20}".prop_map(|text| text.trim().as_bytes().to_vec()),
        2 => one_of(VALUES),
        1 => one_of(ODD_VALUES),
    ]
}

/// What may stand between name and line end besides `: value`.
fn raw(value: &[u8]) -> impl Strategy<Value = Option<Vec<u8>>> + use<> {
    let value = value.to_vec();
    prop_oneof![
        8 => Just(None),
        3 => prop::sample::select(AROUND)
            .prop_map(move |(before, after)| Some([before, &value[..], after].concat())),
    ]
}

fn line() -> impl Strategy<Value = Line> {
    let ordinary = (name(), value())
        .prop_flat_map(|(name, value)| {
            let raw = raw(&value);
            (Just(name), Just(value), raw)
        })
        .prop_map(|(name, value, raw)| Line { name, value, raw });
    let without_colon = ("[A-Za-z ]{0,8}", prop::bool::ANY).prop_map(|(text, bare)| {
        let end = if bare { "\n" } else { "" };
        Line {
            name: Vec::new(),
            value: text.clone().into_bytes(),
            raw: Some(format!("{text}{end}").into_bytes()),
        }
    });
    prop_oneof![12 => ordinary, 1 => without_colon]
}

fn request() -> impl Strategy<Value = Head> {
    let version = prop::option::weighted(0.9, one_of(REQUEST_VERSIONS));
    let lines = prop::collection::vec(line(), 0..8);
    (one_of(METHODS), one_of(TARGETS), version, lines, prop::bool::weighted(0.1)).prop_map(
        |(method, target, version, lines, bare_lf_end)| Head {
            start: Start::Request { method, target, version },
            lines,
            bare_lf_end,
        },
    )
}

fn response() -> impl Strategy<Value = Head> {
    let reason = prop::option::of(one_of(REASONS));
    let lines = prop::collection::vec(line(), 0..8);
    (one_of(RESPONSE_VERSIONS), 0..1000, reason, lines, prop::bool::weighted(0.1)).prop_map(
        |(version, status, reason, lines, bare_lf_end)| Head {
            start: Start::Response { version, status, reason },
            lines,
            bare_lf_end,
        },
    )
}

/// Writes each head as a row of its own, in order of time, and returns the dataset's folder.
fn write(heads: &[Head]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut batch = Batch::new();
    for (at, head) in (0..).zip(heads) {
        let connection = connection(&mut batch, 40_000);
        let values = row_values(NOON_NS + at);
        match head.start {
            Start::Request { .. } => {
                let request = head.append_request(&mut batch);
                batch.row(connection, Some(request), None, &values);
            }
            Start::Response { .. } => {
                let response = head.append_response(&mut batch);
                batch.row(connection, None, Some(response), &values);
            }
        }
    }
    let mut writer = writer(dir.path());
    writer.write(batch, NOON_NS).expect("written");
    writer.close();
    dir
}

/// Position of each row's head among those written: rows are clustered, and their time is their number.
fn rebuilt(dir: &std::path::Path, heads: usize) -> Vec<Vec<u8>> {
    use arrow_array::{cast::AsArray, types::Int64Type};
    let mut rebuilt = vec![Vec::new(); heads];
    for batch in published(dir).iter().flat_map(|path| read(path)) {
        let times = batch.column_by_name("ts_ns").expect("a column").as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            let at = usize::try_from(times.value(row) - NOON_NS).expect("a number");
            let (request, response) = (request_head(&batch, row), response_head(&batch, row));
            assert!(request.is_some() != response.is_some(), "one side each");
            rebuilt[at] = request.or(response).expect("one side");
        }
    }
    rebuilt
}

fn assert_same(rebuilt: &[Vec<u8>], heads: &[Head]) {
    for (rebuilt, head) in rebuilt.iter().zip(heads) {
        let wire = head.wire();
        assert_eq!(rebuilt.escape_ascii().to_string(), wire.escape_ascii().to_string(), "{head:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_head_comes_back(heads in prop::collection::vec(prop_oneof![request(), response()], 1..40)) {
        let dir = write(&heads);
        assert_same(&rebuilt(dir.path(), heads.len()), &heads);
    }
}

#[test]
fn both_sides_of_a_row_come_back() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let request = Head::get(
        "/",
        vec![Line::new("Host", "a.example"), Line::new("Cookie", "a=1"), Line::new("cookie", "b=2")],
    );
    let mut response = Head::answer(
        204,
        "",
        vec![
            Line::new("Set-Cookie", "a=tok:1; Path=/"),
            Line::new("X-Odd", "1"),
            Line::new("set-cookie", "b=tok:2"),
            Line::raw("Server", "nginx", ": nginx\n"),
        ],
    );
    response.bare_lf_end = true;
    let mut batch = Batch::new();
    let connection = connection(&mut batch, 1);
    let (request_id, response_id) =
        (request.append_request(&mut batch), response.append_response(&mut batch));
    batch.row(connection, Some(request_id), Some(response_id), &row_values(NOON_NS));
    let mut writer = writer(dir.path());
    writer.write(batch, NOON_NS).expect("written");
    writer.close();
    let rows = &read(&published(dir.path())[0])[0];
    assert_eq!(
        request_head(rows, 0).expect("a request").escape_ascii().to_string(),
        request.wire().escape_ascii().to_string()
    );
    assert_eq!(
        response_head(rows, 0).expect("a response").escape_ascii().to_string(),
        response.wire().escape_ascii().to_string()
    );
    assert_eq!(crate::support::text(rows, "cookie", 0).as_deref(), Some("a=1; b=2"));
    assert_eq!(crate::support::text(rows, "server", 0).as_deref(), Some("nginx"));
}

#[test]
fn the_view_in_duckdb_rebuilds_the_same_bytes() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let heads = prop::collection::vec(prop_oneof![request(), response()], 600..601);
    let heads = heads.new_tree(&mut runner).expect("generated").current();
    let dir = write(&heads);
    let script = duckdb_with_views(dir.path())
        + "for row in db.execute('SELECT ts_ns, coalesce(request_head, response_head) FROM heads ORDER BY ts_ns').fetchall():\n    \
           print(row[0], row[1].hex())\n";
    let printed = duckdb(&script);
    let rebuilt: Vec<Vec<u8>> = printed
        .lines()
        .map(|line| {
            let (_, hex) = line.split_once(' ').expect("a time and a head");
            let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
            (0..hex.len()).step_by(2).map(digit).collect()
        })
        .collect();
    assert_eq!(rebuilt.len(), heads.len());
    assert_same(&rebuilt, &heads);
}
