//! A dataset in the operator's hands: `hdrcap verify`, `hdrcap recover`, and what retention removes while capturing.

use std::{fs, path::Path, process::Command};

use harness::{
    daemon::{Ended, binary, replay, run_to_end},
    pcap,
    query::Dataset,
    tree,
};

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
