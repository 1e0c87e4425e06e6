//! Replay: the same frames from a file and from the wire give the same rows, every time.

use std::{fs, path::Path};

use harness::{
    daemon::{Balance, Capture, replay},
    lab::Lab,
    query::{Dataset, duckdb, rows_missing},
    web::{Recording, Web},
};

use crate::live::shopping;

/// Every column but those that tell of the way the frames took, or of a clock.
const SAME_COLUMNS: &str = "COLUMNS(lambda c: c NOT IN ('ts', 'ts_ns', 'ts_source', 'sensor', 'iface', 'queue') AND c NOT LIKE '%_us')";

#[test]
fn a_recording_gives_the_rows_of_the_wire() {
    let lab = Lab::up();
    let web = Web::start(&lab);
    let folder = tempfile::tempdir().unwrap();
    let live = folder.path().join("live");
    let pcap = folder.path().join("wire.pcap");
    // One key for both runs, so that the tokens are the same.
    fs::create_dir(&live).unwrap();

    let recording = Recording::start(&lab, &pcap);
    let capture = Capture::start(&lab, &live, &[]);
    let requests = shopping(20);
    requests.run(&lab, 4);
    web.await_answered(requests.count());
    lab.settle();
    recording.stop(&lab, &pcap);
    capture.stop("INT").balance().assert_closed();

    let once = replayed(&pcap, &folder.path().join("once"), &[]);
    let again = replayed(&pcap, &folder.path().join("again"), &[]);
    assert_eq!(once.count("rows_written"), requests.count() as u64);
    assert_eq!(once.0, again.0, "two replays of one file count differently");
    let (once, again) = (folder.path().join("once"), folder.path().join("again"));
    assert_same(&once, &again, "*");
    assert_same(&live, &once, SAME_COLUMNS);
    assert_clocks_agree(&live, &once);
    heads_are_rebuilt(&pcap, &folder.path().join("plain"));
    filters_count_what_they_leave_out(&pcap, folder.path(), requests.count() as u64);
}

fn replayed(pcap: &Path, out: &Path, options: &[&str]) -> Balance {
    let balance = replay(&[pcap], out, options).balance();
    balance.assert_closed();
    if balance.count("rows_written") > 0 {
        balance.assert_in_files(Dataset(out));
    }
    balance
}

fn assert_same(left: &Path, right: &Path, columns: &str) {
    let (left, right) = (Dataset(left), Dataset(right));
    let lacking = rows_missing(left, right, columns);
    assert!(lacking.is_empty(), "rows of {left:?} that {right:?} lacks: {lacking:#?}");
    let lacking = rows_missing(right, left, columns);
    assert!(lacking.is_empty(), "rows of {right:?} that {left:?} lacks: {lacking:#?}");
}

/// The kernel half's clock, turned into wall time, is the clock of the recording to a tenth of a second.
fn assert_clocks_agree(live: &Path, replayed: &Path) {
    let sql = format!(
        "SELECT count(*) AS rows, max(abs(l.ts_ns - r.ts_ns)) AS ns FROM {} AS l \
         JOIN {} AS r USING (flow_id, req_seq)",
        Dataset(live).files(),
        Dataset(replayed).files()
    );
    let apart = &duckdb(&sql)[0];
    assert!(apart["ns"].as_u64().unwrap() < 100_000_000, "the clocks are apart: {apart}");
}

fn filters_count_what_they_leave_out(pcap: &Path, folder: &Path, requests: u64) {
    let other_port = replayed(pcap, &folder.join("port"), &["--port", "8080"]);
    assert_eq!(other_port.count("rows_written"), 0);
    assert!(other_port.count("verdict_filtered_port") > requests);
    let one_net = replayed(pcap, &folder.join("net"), &["--net", "10.77.0.0/24"]);
    assert_eq!(one_net.count("rows_written"), requests / 2, "half of the requests go over IPv4");
    assert!(one_net.count("verdict_filtered_net") > requests / 2);
}

/// The shipped view gives each head back in as many bytes as the wire had, where no secret was replaced.
fn heads_are_rebuilt(pcap: &Path, out: &Path) {
    replayed(pcap, out, &["--redact", "off"]);
    let sql = "SELECT req_head_bytes, octet_length(request_head) AS request_bytes, decode(request_head) AS request, \
                      resp_head_bytes, octet_length(response_head) AS response_bytes, decode(response_head) AS response \
               FROM heads JOIN http USING (ts_ns, sensor, flow_id, transaction_index) \
               WHERE request_bytes IS DISTINCT FROM req_head_bytes OR response_bytes IS DISTINCT FROM resp_head_bytes LIMIT 3";
    let wrong = Dataset(out).query(sql);
    assert!(wrong.is_empty(), "heads that are not rebuilt as they were: {wrong:#?}");
}
