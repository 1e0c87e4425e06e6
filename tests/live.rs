//! Live capture: real servers and clients, a mirrored port, native XDP, and nginx's log as the witness.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use harness::{
    daemon::Capture,
    lab::{Lab, SERVER_IPV4, SERVER_IPV6},
    query::{Dataset, duckdb, spark},
    tree, wait,
    web::{Counts, Curl, Load, Recording, Web, counts},
};
use serde_json::Value;

/// Requests of every kind the lab's server knows, `rounds` times over, half of them over IPv6.
pub(crate) fn shopping(rounds: usize) -> Curl {
    let cookie = format!("cookie = \"cart={}\"", "item-4711.".repeat(1200));
    let mut curl = Curl::default();
    for round in 0..rounds {
        let host = if round % 2 == 0 { SERVER_IPV4 } else { SERVER_IPV6 };
        let item = round % 7;
        curl = curl
            .request(host, "/", &[])
            .request(host, &format!("/api/items/{item}?page={item}"), &["user-agent = \"lab/1.0 (curl)\""])
            .request(host, "/picture.bin", &["head"])
            .request(host, "/picture.bin", &["range = \"0-99\""])
            .request(host, "/api/orders", &["data = \"item=4711&count=1\""])
            .request(host, &format!("/missing/{item}"), &[])
            .request(host, "/", &["header = \"If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT\""])
            .request(host, "/catalog.json", &["compressed"])
            .request(host, "/api/cookies", &[&cookie])
            .request(host, "/login", &[])
            .request(host, "/admin", &["user = \"lab:not-to-be-read\""]);
    }
    curl
}

#[test]
fn the_lab_is_a_true_witness() {
    let lab = Lab::up();
    let web = Web::start(&lab);
    let folder = tempfile::tempdir().unwrap();
    let pcap = folder.path().join("wire.pcap");
    let recording = Recording::start(&lab, &pcap);

    let requests = shopping(20);
    requests.run(&lab, 4);
    web.await_answered(requests.count());
    lab.settle();
    recording.stop(&lab, &pcap);

    lab.assert_mirror_lossless();
    let answered = web.answered();
    assert_eq!(answered.len(), requests.count(), "the server answered what nobody asked");
    let statuses: BTreeSet<i32> = answered.iter().map(|entry| entry.status).collect();
    assert_eq!(statuses, BTreeSet::from([200, 201, 206, 302, 304, 401, 404]));
    let ids: BTreeSet<&str> = answered.iter().map(|entry| entry.id.as_str()).collect();
    assert_eq!(ids.len(), requests.count(), "an id came twice");
}

#[test]
fn rows_are_what_the_server_logged() {
    let lab = Lab::up();
    let web = Web::start(&lab);
    let out = tempfile::tempdir().unwrap();
    let frames_before = lab.mirrored_frames();
    let capture = Capture::start(&lab, out.path(), &[]);
    let frames_attached = lab.mirrored_frames();

    let requests = shopping(300);
    requests.run(&lab, 8);
    web.await_answered(requests.count());
    lab.settle();
    let frames_settled = lab.mirrored_frames();
    let balance = capture.stop("INT").balance();
    lab.assert_mirror_lossless();

    balance.assert_closed();
    let frames = balance.count("frames");
    assert!(frames >= frames_settled - frames_attached, "frames went by uncounted: {balance:?}");
    assert!(
        frames <= lab.mirrored_frames() - frames_before,
        "frames were counted that never came: {balance:?}"
    );
    let logged = counts(&web.answered());
    let dataset = Dataset(out.path());
    let counts_sql =
        "SELECT method_raw AS method, target_raw AS target, status, count(*) AS count FROM http GROUP BY ALL";
    assert_eq!(counted(&dataset.query(counts_sql)), logged, "DuckDB sees other rows than the server logged");
    balance.assert_in_files(dataset);
    // A hash over all columns makes Spark read them all.
    let rows_sql = "SELECT count(h) AS rows FROM (SELECT hash(*) AS h FROM http)";
    let [by_kind, whole] = spark(out.path(), [counts_sql, rows_sql]);
    assert_eq!(counted(&by_kind), logged, "Spark sees other rows than the server logged");
    assert_eq!(whole[0]["rows"].as_u64(), Some(balance.count("rows_written")), "Spark reads other rows");
    assert_each_row_is_right(dataset, &web.log_path());
}

#[test]
fn rows_can_be_queried_while_the_capture_runs() {
    let lab = Lab::up();
    let web = Web::start(&lab);
    let out = tempfile::tempdir().unwrap();
    let capture = Capture::start(&lab, out.path(), &["--stats-interval", "1s"]);
    let requests = shopping(5);
    requests.run(&lab, 2);
    web.await_answered(requests.count());
    let has = |table: &str| {
        let folder = out.path().join(table);
        tree::files(out.path(), ".parquet").iter().any(|path: &PathBuf| path.starts_with(&folder))
    };
    wait::until("every row can be queried by the default settings, and what is missing from them", || {
        let sql = "SELECT count(*) FROM http_estimated";
        let is_there = || Dataset(out.path()).number(sql) >= requests.count() as u64;
        (has("http") && has("capture_stats") && is_there()).then_some(())
    });
    capture.stop("INT").balance().assert_closed();
}

/// Joins each row with the log line of its request and lists what differs; nginx leaves out a body it did not read.
fn assert_each_row_is_right(dataset: Dataset<'_>, log: &Path) {
    let sql = format!(
        "WITH log AS (FROM read_json('{}', format = 'newline_delimited')), \
         seen AS (SELECT *, list_filter(resp_headers_other, lambda h: lower(h.name) = 'x-request-id')[1].value AS answer_id \
                  FROM {}) \
         SELECT log.id, seen.x_request_id, answer_id, pair_state, flags, request_bytes, req_head_bytes, req_body_bytes, \
                response_bytes, resp_head_bytes, resp_body_bytes \
         FROM log FULL JOIN seen ON log.id = seen.x_request_id \
         WHERE answer_id IS DISTINCT FROM log.id OR pair_state <> 'ack_verified' \
            OR log.client_ip <> seen.client_ip OR log.client_port <> seen.client_port \
            OR request_bytes <> req_head_bytes OR coalesce(req_body_bytes, 0) <> coalesce(req_content_length, 0) \
            OR response_bytes <> resp_head_bytes + coalesce(resp_body_bytes, 0) \
            OR list_contains(flags, 'head_truncated') OR list_contains(flags, 'gap_in_head') \
            OR ttfb_us IS NULL OR ttfb_us < 0 OR total_us < ttfb_us OR NOT syn_seen \
         LIMIT 5",
        log.display(),
        dataset.files()
    );
    let wrong = duckdb(&sql);
    assert!(wrong.is_empty(), "rows that contradict the server's log: {wrong:#?}");
    let secrets = "SELECT count(*) FROM http WHERE contains(to_json(http)::VARCHAR, 'item-4711.item-4711') \
                   OR contains(to_json(http)::VARCHAR, 'bGFiOm5vdC10by1iZS1yZWFk')";
    assert_eq!(dataset.number(secrets), 0, "a cookie or a password reached the files");
}

fn counted(rows: &[Value]) -> Counts {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let key = |row: &Value| {
        (text(&row["method"]), text(&row["target"]), row["status"].as_i64().unwrap_or(-1) as i32)
    };
    rows.iter().map(|row| (key(row), row["count"].as_u64().unwrap() as usize)).collect::<BTreeMap<_, _>>()
}

#[test]
fn no_row_is_missing_under_load() {
    let lab = Lab::up();
    let web = Web::start(&lab);
    let out = tempfile::tempdir().unwrap();
    let capture = Capture::start(&lab, out.path(), &[]);

    let load = Load::start(&lab, 16);
    web.await_answered(30_000);
    drop(load);
    lab.settle();
    let balance = capture.stop("INT").balance();
    lab.assert_mirror_lossless();

    balance.assert_closed();
    assert_eq!(
        balance.count("verdict_ring_full_head") + balance.count("shed"),
        0,
        "lost under load: {balance:?}"
    );
    let unseen = unseen(out.path(), &web.log_path());
    assert!(unseen.is_empty(), "answered by the server, but not in the files: {unseen:#?}");
    assert_answers_are_logged(out.path(), &web.log_path());
}

#[test]
fn stops_in_order_on_sigint_under_load() {
    stops_in_order_under_load("INT");
}

#[test]
fn stops_in_order_on_sigterm_under_load() {
    stops_in_order_under_load("TERM");
}

fn stops_in_order_under_load(signal: &str) {
    let lab = Lab::up();
    let web = Web::start(&lab);
    let out = tempfile::tempdir().unwrap();
    let capture = Capture::start(&lab, out.path(), &[]);
    assert!(lab.is_promiscuous(), "a mirror port delivers frames for others only to a promiscuous card");

    let load = Load::start(&lab, 16);
    web.await_answered(5_000);
    let balance = capture.stop(signal).balance();
    assert!(!lab.has_xdp(), "the XDP program is still attached");
    assert!(!lab.is_promiscuous(), "the port is still promiscuous");
    drop(load);

    balance.assert_closed();
    balance.assert_in_files(Dataset(out.path()));
    assert!(balance.count("rows_written") >= 5_000, "5000 requests were answered: {balance:?}");
    assert_answers_are_logged(out.path(), &web.log_path());
    assert!(
        harness::tree::files(out.path(), "").iter().all(|file| !is_in_progress(file)),
        "a file was left in progress"
    );
}

fn is_in_progress(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    name.contains(".parquet") && !name.ends_with(".parquet")
}

/// Requests whose response the server sent and no row shows.
fn unseen(out: &Path, log: &Path) -> Vec<Value> {
    duckdb(&format!(
        "SELECT log.id, log.method, log.target, log.status FROM read_json('{}', format = 'newline_delimited') AS log \
         ANTI JOIN (FROM {}) AS seen \
         ON log.id = seen.x_request_id AND log.status = seen.status WHERE log.response_bytes > 0 LIMIT 5",
        log.display(),
        Dataset(out).files()
    ))
}

/// Every answered request among the rows is in the log, with that answer, sooner or later.
fn assert_answers_are_logged(out: &Path, log: &Path) {
    wait::until("the log shows every answer the rows show", || {
        let sql = format!(
            "SELECT seen.x_request_id FROM {} AS seen \
             ANTI JOIN (FROM read_json('{}', format = 'newline_delimited')) AS log \
             ON log.id = seen.x_request_id AND log.status = seen.status WHERE pair_state = 'ack_verified' LIMIT 5",
            Dataset(out).files(),
            log.display()
        );
        duckdb(&sql).is_empty().then_some(())
    });
}

#[test]
fn as_many_collectors_work_as_are_asked_for() {
    let lab = Lab::up();
    let web = Web::start(&lab);
    let out = tempfile::tempdir().unwrap();
    let capture = Capture::start(&lab, out.path(), &["--collectors", "3"]);

    let answers = web.answers_over(30, &shopping(1), &lab);
    let balance = capture.stop("INT").balance();

    balance.assert_closed();
    assert_eq!(balance.count("rows_ack_verified"), answers as u64, "{balance:?}");
    let busy = format!(
        "SELECT count(DISTINCT core) AS collectors FROM '{}/capture_stats/**/*.parquet' WHERE rows > 0",
        out.path().display()
    );
    assert_eq!(duckdb(&busy)[0]["collectors"], 3, "connections are not spread over three collectors");
}

#[test]
fn a_duration_ends_the_capture() {
    let lab = Lab::up();
    let web = Web::start(&lab);
    let out = tempfile::tempdir().unwrap();
    let capture = Capture::start(&lab, out.path(), &["--duration", "4s"]);

    let requests = shopping(2);
    requests.run(&lab, 2);
    web.await_answered(requests.count());
    let balance = capture.finish().balance();

    balance.assert_closed();
    assert_eq!(balance.count("rows_written"), requests.count() as u64);
}

#[test]
fn sampling_takes_whole_connections() {
    let lab = Lab::up();
    let web = Web::start(&lab);
    let out = tempfile::tempdir().unwrap();
    let capture = Capture::start(&lab, out.path(), &["--sample", "1/4"]);

    // Many connections, several requests on each.
    assert!(web.answers_over(40, &shopping(2), &lab) > 0);
    let balance = capture.stop("INT").balance();

    balance.assert_closed();
    assert!(balance.count("verdict_sampled_out") > 0, "nothing was sampled out: {balance:?}");
    let sql = format!(
        "WITH log AS (SELECT client_ip, client_port, count(*) AS requests \
                      FROM read_json('{}', format = 'newline_delimited') GROUP BY ALL), \
         seen AS (SELECT client_ip, client_port, count(*) AS requests, min(sample_weight) AS least, max(sample_weight) AS most \
                  FROM {} GROUP BY ALL) \
         SELECT count(*) AS connections, count(*) FILTER (seen.requests IS NOT NULL) AS taken, \
                count(*) FILTER (seen.requests <> log.requests OR least <> 4 OR most <> 4) AS wrong \
         FROM log LEFT JOIN seen USING (client_ip, client_port)",
        web.log_path().display(),
        Dataset(out.path()).files()
    );
    let answer = &duckdb(&sql)[0];
    assert_eq!(answer["wrong"], 0, "connections taken in part, or with another weight: {answer}");
    let (all, taken) = (answer["connections"].as_u64().unwrap(), answer["taken"].as_u64().unwrap());
    assert!(taken > 0 && taken < all, "{taken} of {all} connections were taken");
}
