//! Published files in an object store: each once, whole, after restarts and refusals, and gone there when it was merged.

mod store;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use harness::{
    daemon::{Ended, binary, run_to_end},
    pcap,
    query::{Dataset, duckdb, spark},
    run, tree, wait,
};
use serde_json::Value;

use self::store::Store;

/// The published files by the names that their objects are to have, with the SHA-256 of their content.
fn published(out: &Path) -> BTreeMap<String, String> {
    let files =
        ["http", "capture_stats"].into_iter().flat_map(|table| tree::files(&out.join(table), ".parquet"));
    let named = |path: PathBuf| {
        let name = format!("site/lan/{}", path.strip_prefix(out).unwrap().display());
        let printed = run(Command::new("sha256sum").arg(&path)).stdout;
        (name, String::from_utf8(printed).unwrap().split(' ').next().unwrap().to_owned())
    };
    files.map(named).collect()
}

/// The published files, by path.
fn paths(out: &Path) -> Vec<String> {
    let tables = ["capture_stats", "http"].into_iter();
    let files = tables.flat_map(|table| tree::files(&out.join(table), ".parquet"));
    let mut paths: Vec<String> = files.map(|path| path.display().to_string()).collect();
    paths.sort();
    paths
}

/// What an operator is told that was not uploaded yet.
fn waiting(out: &Path) -> Vec<String> {
    let ended =
        run_to_end(Command::new(binary()).args(["files", "--waiting", "s3://heads/site/lan/"]).arg(out));
    assert!(ended.status.success(), "{ended:?}");
    let mut paths: Vec<String> = ended.stdout.lines().map(str::to_owned).collect();
    paths.sort();
    paths
}

#[test]
fn published_files_arrive_once_and_merged_ones_replace_theirs() {
    let folder = tempfile::tempdir().unwrap();
    let (pcap, out) = (pcap::one_transaction(folder.path()), folder.path().join("data"));
    let mut store = Store::new();
    store.start();
    let first = store.replay(&pcap, &out, &[]).balance();
    first.assert_closed();
    assert_eq!(first.count("upload_files"), 2, "{first:?}");
    assert_eq!((store.objects(), first.count("upload_failed")), (published(&out), 0));
    let bytes: u64 = tree::files(&out, ".parquet").iter().map(|file| file.metadata().unwrap().len()).sum();
    assert_eq!(first.count("upload_bytes"), bytes);
    let second = store.replay(&pcap, &out, &[]).balance();
    assert_eq!(second.count("upload_files"), 2, "what is there is not sent again: {second:?}");
    assert_eq!(store.objects(), published(&out));

    assert!(run_to_end(Command::new(binary()).arg("compact").arg(&out)).status.success());
    let third = store.replay(&pcap, &out, &[]).balance();
    assert_eq!(third.count("upload_withdrawn"), 2, "{third:?}");
    assert_eq!(store.objects(), published(&out), "and nothing stands there twice");

    // What arrived is one table.
    let copy = folder.path().join("copy");
    store.download(&copy);
    let rows = duckdb(&format!("SELECT count(*) AS rows FROM {}", Dataset(&copy.join("site/lan")).files()));
    assert_eq!(rows[0]["rows"].as_u64(), Some(3));
}

#[test]
fn a_store_that_is_away_delays_files_and_retention_says_what_it_never_got() {
    let folder = tempfile::tempdir().unwrap();
    let (pcap, out) = (pcap::one_transaction(folder.path()), folder.path().join("data"));
    let mut store = Store::new();
    let away = store.replay(&pcap, &out, &[]);
    away.balance().assert_closed();
    assert!(away.balance().count("upload_failed") > 0, "{away:?}");
    assert!(away.stderr.contains("the next start goes on"), "{}", away.stderr);
    assert_eq!(away.balance().count("upload_files"), 0);
    assert_eq!(waiting(&out), paths(&out), "all files wait");
    // The packets are years old, the statistics are of now.
    let removed = store.replay(&pcap, &out, &["--keep", "1d"]);
    assert_eq!(removed.balance().count("upload_missed"), 1, "{removed:?}");
    assert!(removed.stderr.contains("not uploaded"), "{}", removed.stderr);
    store.start();
    let back = store.replay(&pcap, &out, &[]).balance();
    assert_eq!(back.count("upload_files"), published(&out).len() as u64, "{back:?}");
    assert_eq!(store.objects(), published(&out));
    assert_eq!(waiting(&out), [""; 0]);
}

#[test]
fn a_large_file_goes_in_parts() {
    let folder = tempfile::tempdir().unwrap();
    let (pcap, out) = (pcap::one_transaction(folder.path()), folder.path().join("data"));
    let mut store = Store::new();
    store.start();
    store.replay(&pcap, &out, &[]).balance().assert_closed();
    let small = tree::files(&out.join("http"), ".parquet").remove(0);
    let name = small.strip_prefix(&out).unwrap().display().to_string();
    let mut large = std::fs::read(&small).unwrap();
    large.resize(20 << 20, 7);
    std::fs::write(&small, large).unwrap();
    // Forgotten, so sent again.
    std::fs::remove_file(out.join(".manifest/s1.uploaded")).unwrap();
    store.replay(&pcap, &out, &[]).balance().assert_closed();
    let objects = store.objects();
    assert_eq!(objects[&format!("site/lan/{name}")], published(&out)[&format!("site/lan/{name}")]);
}

#[test]
fn sensors_at_one_place_are_one_table_of_spark() {
    let folder = tempfile::tempdir().unwrap();
    let pcap = pcap::one_transaction(folder.path());
    let mut store = Store::new();
    store.start();
    for (sensor, runs) in [("s1", 1), ("s2", 2), ("s3", 3)] {
        for _ in 0..runs {
            let out = folder.path().join(sensor);
            let ended = store.replay(&pcap, &out, &["--sensor", sensor]);
            assert_eq!(ended.balance().count("upload_files"), 2, "{ended:?}");
        }
    }
    let copy = folder.path().join("copy");
    store.download(&copy);
    let sql = "SELECT sensor, date, count(*) AS rows FROM http GROUP BY sensor, date ORDER BY sensor";
    let [by_spark] = spark(&copy.join("site/lan"), [sql]);
    let count = |row: &Value| (row["sensor"].as_str().unwrap().to_owned(), row["rows"].as_u64().unwrap());
    let counts: Vec<_> = by_spark.iter().map(count).collect();
    assert_eq!(counts, [("s1".to_owned(), 1), ("s2".to_owned(), 2), ("s3".to_owned(), 3)]);
    assert!(by_spark.iter().all(|row| !row["date"].is_null()), "folders are columns: {by_spark:?}");
}

#[test]
fn encrypted_files_arrive_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let (pcap, out) = (pcap::one_transaction(folder.path()), folder.path().join("data"));
    let keys = folder.path().join("keys.toml");
    let keys = keys.to_str().unwrap();
    assert!(run_to_end(Command::new(binary()).args(["key", "encryption", keys])).status.success());
    let mut store = Store::new();
    store.start();
    let ended = store.replay(&pcap, &out, &["--encryption-keys", keys]);
    assert_eq!(ended.balance().count("upload_files"), 2, "{ended:?}");
    assert_eq!(store.objects(), published(&out));
    let copy = folder.path().join("copy");
    store.download(&copy);
    let bytes = fs::read(&tree::files(&copy, ".parquet")[0]).unwrap();
    assert!(bytes.ends_with(b"PARE"), "an encrypted footer ends it");
}

#[test]
fn a_private_authority_is_trusted_where_it_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (pcap, out) = (pcap::one_transaction(folder.path()), folder.path().join("data"));
    let mut store = Store::with_tls();
    store.start();
    let unknown = store.replay_as(&pcap, &out, |command| {
        command.env_remove("SSL_CERT_FILE");
    });
    assert!(
        unknown.stderr.contains("UnknownIssuer") && unknown.stderr.contains("SSL_CERT_FILE"),
        "{unknown:?}"
    );
    let known = store.replay(&pcap, &out, &[]);
    assert_eq!(known.balance().count("upload_files"), 4, "{known:?}");
    assert_eq!(store.objects(), published(&out));
}

#[test]
fn what_is_wrong_is_told_once_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let (pcap, out) = (pcap::one_transaction(folder.path()), folder.path().join("data"));
    let mut store = Store::new();
    let told = |ended: &Ended, advice: &str| {
        ended.balance().assert_closed();
        let times = ended.stderr.lines().filter(|line| line.contains(advice)).count();
        // While it captures, and at its end.
        assert!((1..=2).contains(&times), "'{advice}' stands {times} times in:\n{}", ended.stderr);
    };
    told(&store.replay(&pcap, &out, &[]), "the store cannot be reached");
    let role_at = format!("http://127.0.0.1:{}", store.port);
    let none = store.replay_as(&pcap, &out, |command| {
        command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
        command.env("AWS_METADATA_ENDPOINT", &role_at);
    });
    told(&none, "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY");
    store.start();
    told(&store.replay(&pcap, &out, &["--upload", "s3://nobodys/site"]), "no such bucket (NoSuchBucket)");
    store.know_nobody();
    told(&store.replay(&pcap, &out, &[]), "(InvalidAccessKeyId): check AWS_ACCESS_KEY_ID");
}

#[test]
fn what_waits_is_a_metric_until_the_store_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let (pcap, out) = (pcap::one_transaction(folder.path()), folder.path().join("data"));
    harness::daemon::replay(&[&pcap], &out, &["--sensor", "s1"]).balance().assert_closed();
    let bytes: u64 = tree::files(&out, ".parquet").iter().map(|file| file.metadata().unwrap().len()).sum();
    let mut store = Store::new();
    let socket = folder.path().join("metrics.sock");
    let metrics = format!("unix:{}", socket.display());
    // A pipe that says nothing yet keeps it running.
    let mut capture = store
        .command(Path::new("-"), &out)
        .args(["--sensor", "s1", "--upload", "s3://heads/site/lan", "--metrics", &metrics])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let until = |expected: &[String]| {
        wait::until(&format!("metrics say {expected:?}"), || {
            let mut curl = Command::new("curl");
            curl.args(["-s", "--unix-socket"]).arg(&socket).arg("http://here/metrics");
            let scraped = String::from_utf8(harness::output(&mut curl).stdout).unwrap();
            expected.iter().all(|line| scraped.lines().any(|told| told == line)).then_some(())
        });
    };
    let lines = |files: usize, bytes: u64| {
        [format!("hdrcap_upload_waiting_files {files}.0"), format!("hdrcap_upload_waiting_bytes {bytes}.0")]
    };
    until(&lines(2, bytes));
    store.start();
    until(&lines(0, 0));
    let mut input = capture.stdin.take().unwrap();
    std::io::Write::write_all(&mut input, &fs::read(&pcap).unwrap()).unwrap();
    drop(input);
    assert!(capture.wait().unwrap().success());
    assert_eq!(store.objects(), published(&out), "and what it captured is there as well");
}
