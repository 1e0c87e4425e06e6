//! Public captures, and what another dissector found in them: read in place, never part of the tree.
//!
//! The witness is not the law. Where hdrcap differs, `DIFFERS` says why it is right to.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use harness::{daemon::replay, query::duckdb, tree};
use serde::Deserialize;
use serde_json::Value;

/// Files read at a time.
const READERS: usize = 4;

/// Share of the expected messages that must appear.
const RECALL_MIN: f64 = 0.95;

/// Share of messages beyond the expected ones that may appear.
const EXTRA_MAX: f64 = 0.02;

/// Files whose messages differ from the witness's, each with its reason.
const DIFFERS: &[(&str, &str)] = &[];

#[derive(Deserialize)]
struct Expected {
    file: String,
    requests: Vec<(String, String)>,
    responses: Vec<u16>,
}

/// A multiset of messages: `GET /path` and `200`.
type Messages = BTreeMap<String, usize>;

#[derive(Default)]
struct Difference {
    expected: usize,
    missing: Vec<String>,
    extra: Vec<String>,
}

#[test]
fn the_corpus_is_understood() {
    let corpus = tree::root().join("../shared/corpus");
    if !corpus.is_dir() {
        // Past the test harness, which keeps what passing tests print.
        writeln!(io::stderr(), "the corpus is not beside this tree: its test was left out").unwrap();
        return;
    }
    let expected = fs::read_to_string(corpus.join("expected.jsonl")).unwrap();
    let expected: Vec<Expected> = expected.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let out = tempfile::tempdir().unwrap();
    read_all(&corpus, &expected, out.path());
    let mut seen = messages(out.path());
    let differences: BTreeMap<&str, Difference> = expected
        .iter()
        .map(|entry| (entry.file.as_str(), compare(entry, seen.remove(&entry.file).unwrap_or_default())))
        .collect();
    assert!(seen.is_empty(), "rows of files that are not in the corpus: {seen:?}");
    judge(&differences);
}

/// Replays each file into a folder of its own; several at a time, for they mostly wait for the disk.
fn read_all(corpus: &Path, expected: &[Expected], out: &Path) {
    let next = AtomicUsize::new(0);
    let read = || {
        while let Some(entry) = expected.get(next.fetch_add(1, Ordering::Relaxed)) {
            let ended = replay(&[&corpus.join(&entry.file)], &folder(out, &entry.file), &["--redact", "off"]);
            ended.balance().assert_closed();
        }
    };
    thread::scope(|scope| (0..READERS).for_each(|_| drop(scope.spawn(read))));
}

fn folder(out: &Path, file: &str) -> PathBuf {
    out.join(file.replace('/', "+"))
}

/// Messages found, by corpus file.
fn messages(out: &Path) -> BTreeMap<String, Messages> {
    let sql = format!(
        "SELECT filename, method_raw AS method, target_raw AS target, status, info_status \
         FROM read_parquet('{}/*/http/**/*.parquet', filename = true)",
        out.display()
    );
    let mut found = BTreeMap::<String, Messages>::new();
    for row in duckdb(&sql) {
        let name = row["filename"].as_str().unwrap().strip_prefix(out.to_str().unwrap()).unwrap();
        let file = name.trim_start_matches('/').split('/').next().unwrap().replace('+', "/");
        let messages = found.entry(file).or_default();
        if let (Some(method), Some(target)) = (row["method"].as_str(), row["target"].as_str()) {
            *messages.entry(format!("{method} {target}")).or_default() += 1;
        }
        let informational = row["info_status"].as_array().into_iter().flatten();
        for status in informational.chain([&row["status"]]).filter_map(Value::as_i64) {
            *messages.entry(status.to_string()).or_default() += 1;
        }
    }
    found
}

fn compare(expected: &Expected, mut seen: Messages) -> Difference {
    let requests = expected.requests.iter().map(|(method, target)| format!("{method} {target}"));
    let responses = expected.responses.iter().map(u16::to_string);
    let mut difference = Difference::default();
    for message in requests.chain(responses) {
        difference.expected += 1;
        match seen.get_mut(&message) {
            Some(count) if *count > 0 => *count -= 1,
            Some(_) | None => difference.missing.push(message),
        }
    }
    difference.extra = seen.into_iter().flat_map(|(message, count)| vec![message; count]).collect();
    difference
}

fn judge(differences: &BTreeMap<&str, Difference>) {
    let sum = |part: fn(&Difference) -> usize| differences.values().map(part).sum::<usize>();
    let (expected, missing) = (sum(|d| d.expected), sum(|d| d.missing.len()));
    let extra = sum(|d| d.extra.len());
    let differing: BTreeMap<_, _> =
        differences.iter().filter(|(_, d)| !d.missing.is_empty() || !d.extra.is_empty()).collect();
    for (file, difference) in &differing {
        println!("{file}: missing {:?}, extra {:?}", difference.missing, difference.extra);
    }
    println!("corpus: {expected} messages expected, {missing} missing, {extra} extra");
    let reasoned: BTreeSet<&str> = DIFFERS.iter().map(|(file, _)| *file).collect();
    let differing: BTreeSet<&str> = differing.keys().map(|file| **file).collect();
    assert_eq!(differing, reasoned, "the files that differ are not those that DIFFERS gives a reason for");
    let recall = 1.0 - missing as f64 / expected as f64;
    assert!(recall >= RECALL_MIN, "recall is {recall:.4}");
    let surplus = extra as f64 / expected as f64;
    assert!(surplus < EXTRA_MAX, "extra messages are {surplus:.4} of the expected ones");
}
