//! A dataset in the operator's hands: `hdrcap verify`, `hdrcap recover`, and what retention removes while capturing.

use std::{fs, path::Path, process::Command};

use harness::{
    daemon::{Capture, Ended, binary, replay, run_to_end},
    lab::Lab,
    pcap,
    query::{Dataset, duckdb},
    tree, wait,
    web::{Load, Web},
};

use crate::live::shopping;

fn verify(out: &Path, options: &[&str]) -> Ended {
    run_to_end(Command::new(binary()).arg("verify").arg(out).args(options))
}

#[test]
fn verify_tells_by_its_exit_code_whether_a_byte_was_touched() {
    let folder = tempfile::tempdir().unwrap();
    let pcap = pcap::one_transaction(folder.path());
    let out = folder.path().join("data");
    replay(&[&pcap], &out, &["--sensor", "s1"]).balance().assert_closed();
    let good = verify(&out, &[]);
    assert!(good.status.success(), "{good:?}");
    assert!(good.stdout.contains("sensor s1: "), "{}", good.stdout);
    let head = good.stdout.lines().find_map(|line| line.split("with the hash ").nth(1)).unwrap().to_owned();
    assert!(verify(&out, &["--head", &head]).status.success());
    // A second run appends to the same chain.
    replay(&[&pcap], &out, &["--sensor", "s1"]).balance().assert_closed();
    assert!(verify(&out, &["--head", &head]).status.success());
    let unknown = "0".repeat(64);
    let gone = verify(&out, &["--head", &unknown]);
    assert!(!gone.status.success() && gone.stdout.contains(&unknown), "{gone:?}");

    let file = tree::files(&out.join("http"), ".parquet").remove(0);
    let mut bytes = fs::read(&file).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::write(&file, bytes).unwrap();
    let name = file.strip_prefix(&out).unwrap().display().to_string();
    let changed = verify(&out, &[]);
    assert!(!changed.status.success(), "{changed:?}");
    assert!(changed.stdout.contains(&format!("changed: {name}")), "{changed:?}");
    fs::remove_file(&file).unwrap();
    let missing = verify(&out, &[]);
    assert!(!missing.status.success() && missing.stdout.contains(&format!("missing: {name}")), "{missing:?}");
    let nowhere = verify(&folder.path().join("nowhere"), &[]);
    assert!(!nowhere.status.success() && nowhere.stderr.contains("--out"), "{nowhere:?}");
}

#[test]
fn retention_counts_what_it_removes() {
    let folder = tempfile::tempdir().unwrap();
    let pcap = pcap::one_transaction(folder.path());
    let out = folder.path().join("data");
    replay(&[&pcap], &out, &[]).balance().assert_closed();
    let files = tree::files(&out.join("http"), ".parquet");
    let bytes: u64 = files.iter().map(|file| file.metadata().unwrap().len()).sum();
    // The packets are years old, the statistics are of now.
    let ended = replay(&[&pcap], &out, &["--keep", "1d"]);
    let balance = ended.balance();
    balance.assert_closed();
    assert_eq!(balance.count("files_removed"), files.len() as u64, "{balance:?}");
    assert_eq!(balance.count("bytes_removed"), bytes);
    assert!(ended.stderr.contains("removed by retention"), "each removal is logged: {}", ended.stderr);
    assert_eq!(Dataset(&out).number("SELECT count(*) FROM http"), 1, "what came in since is there");
    assert!(verify(&out, &[]).status.success(), "and the manifest knows");
}

#[test]
fn a_killed_capture_is_recovered_by_the_next() {
    const KILLS: usize = 3;
    const KILLS_LONG: usize = 60;
    let lab = Lab::up();
    let web = Web::start(&lab);
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("data");
    let options = ["--flush-interval", "200ms", "--file-age", "1s", "--sensor", "s1"];
    let capture = Capture::start(&lab, &out, &options);
    let requests = shopping(20);
    requests.run(&lab, 4);
    web.await_answered(requests.count());
    let rows = || rows_published(&out);
    wait::until("every row is published", || (rows() >= requests.count() as u64).then_some(()));
    assert!(!capture.stop("KILL").status.success());

    let kills = if std::env::var_os("HDRCAP_TEST_LONG").is_some() { KILLS_LONG } else { KILLS };
    let load = Load::start(&lab, 4);
    for _ in 0..kills {
        let before = rows();
        let capture = Capture::start(&lab, &out, &options);
        assert!(rows() >= before, "a start takes no row away");
        // Whatever was published meanwhile, a file is in progress now: the load goes on.
        wait::until("a row group is safe", || {
            has_file(&out.join(".staging/s1/http"), ".footer").then_some(())
        });
        assert!(!capture.stop("KILL").status.success());
    }
    drop(load);
    let last = Capture::start(&lab, &out, &options).stop("TERM");
    let balance = last.balance();
    balance.assert_closed();
    let (recovered, missing) = (balance.count("rows_recovered"), balance.count("rows_maybe_missing"));
    assert!((1..=recovered).contains(&missing), "{balance:?}");
    let recovered = run_to_end(Command::new(binary()).arg("recover").arg(&out));
    assert!(recovered.status.success(), "{recovered:?}");
    assert!(recovered.stdout.starts_with("0 files recovered"), "a start recovers all: {recovered:?}");
    assert!(!has_file(&out.join(".staging"), ".inprogress"), "{recovered:?}");
    let checked = verify(&out, &[]);
    assert!(checked.status.success(), "{checked:?}");
    let keys = "count(*) - count(DISTINCT (flow_id, client_port, req_seq, ts_ns)) AS twice";
    let sql = format!("SELECT {keys} FROM {} WHERE req_seq IS NOT NULL", Dataset(&out).files());
    assert_eq!(duckdb(&sql)[0]["twice"].as_u64(), Some(0), "no row came twice");
    assert!(rows() > requests.count() as u64, "rows of the killed captures are there");
}

#[test]
fn small_files_are_merged_by_hand_and_by_a_capture_beside_another() {
    let lab = Lab::up();
    let folder = tempfile::tempdir().unwrap();
    let pcap = pcap::one_transaction(folder.path());
    let out = folder.path().join("data");
    let files = || tree::files(&out.join("http"), ".parquet");
    for _ in 0..3 {
        replay(&[&pcap], &out, &["--sensor", "s1"]).balance().assert_closed();
    }
    let compacted = run_to_end(Command::new(binary()).arg("compact").arg(&out));
    assert!(compacted.status.success() && compacted.stdout.contains("merged 3 files into "), "{compacted:?}");
    assert_eq!((files().len(), Dataset(&out).number("SELECT count(*) FROM http")), (1, 3));
    let listed = run_to_end(Command::new(binary()).arg("files").arg(&out)).stdout;
    assert!(listed.lines().any(|line| Path::new(line) == files()[0]), "{listed}");

    // Two captures on one folder: one merges its files, the other has nothing to do with it.
    replay(&[&pcap], &out, &["--sensor", "s1"]).balance().assert_closed();
    let first = Capture::start(&lab, &out, &["--sensor", "s1", "--compact"]);
    wait::until("both files are one", || (files().len() == 1).then_some(()));
    let same = run_to_end(
        Command::new(binary()).args(["--sensor", "s1", "--pcap"]).arg(&pcap).arg("--out").arg(&out),
    );
    assert!(!same.status.success() && same.stderr.contains(&first.pid().to_string()), "{same:?}");
    let left_alone = run_to_end(Command::new(binary()).arg("compact").arg(&out));
    assert!(left_alone.stdout.contains("s1 is being compacted by a running process"), "{left_alone:?}");
    replay(&[&pcap], &out, &["--sensor", "s2"]).balance().assert_closed();
    let ended = first.stop("INT");
    let balance = ended.balance();
    balance.assert_closed();
    for (counter, expected) in [("compact_files_in", 2), ("compact_files_out", 1), ("compact_failed", 0)] {
        assert!(balance.count(counter) >= expected, "{counter}: {balance:?}");
    }
    assert_eq!(balance.count("compact_failed"), 0);
    assert!(balance.count("compact_bytes_out") < balance.count("compact_bytes_in"), "{balance:?}");
    assert_eq!(Dataset(&out).number("SELECT count(*) FROM http"), 5);
    let checked = verify(&out, &[]);
    assert!(checked.status.success() && checked.stdout.contains("sensor s2"), "{checked:?}");
}

/// Rows that DuckDB finds in the published files.
fn rows_published(out: &Path) -> u64 {
    if !has_file(&out.join("http"), ".parquet") {
        return 0;
    }
    let sql = format!("SELECT count(*) AS rows FROM {}", Dataset(out).files());
    duckdb(&sql)[0]["rows"].as_u64().unwrap()
}

/// True where a file below `folder` has a name with this end; folders may come and go meanwhile.
fn has_file(folder: &Path, ending: &str) -> bool {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).any(|path| match path.is_dir() {
        true => has_file(&path, ending),
        false => path.to_string_lossy().ends_with(ending),
    })
}
