//! Public captures, and what another dissector found in them: read in place, never part of the tree.
//!
//! The witness is not the law. Where hdrcap differs, `DIFFERS` says why it is right to.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use harness::{corpus, daemon::replay, query::Dataset};
use serde::Deserialize;
use serde_json::Value;

/// Files read at a time.
const READERS: usize = 4;

/// Share of the expected messages that must appear, but for those that the witness is wrong about.
const RECALL_MIN: f64 = 0.99;

/// Share of messages beyond the expected ones that may appear where the witness is right.
const EXTRA_MAX: f64 = 0.02;

/// Who is right about a file, by the frames and by RFC 9110 and RFC 9112.
#[derive(Clone, Copy, PartialEq)]
enum Right {
    Hdrcap,
    Witness,
}

use Right::{Hdrcap, Witness};

const BODY_INCOMPLETE: &str =
    "the head is whole; the witness waits for a body that does not come whole, and says nothing";
const HEAD_ENDLESS: &str =
    "the status line is whole; the witness waits for the end of the head, which is malformed";
const STATUS_SHORT: &str =
    "a status of fewer than three digits is a status line all the same, flagged status_bad";
const STATUS_NO_NUMBER: &str = "the status is no number: the row has none, and is flagged status_bad";
const BARE_LINE_END: &str =
    "CR and LF before a status line are passed over, flagged leading_space; the witness sees no head";

/// Files whose messages differ from the witness's, who is right, and why.
const DIFFERS: &[(&str, Right, &str)] = &[
    ("00f01513f643", Hdrcap, BODY_INCOMPLETE),
    ("02f3ad7987ba", Hdrcap, BARE_LINE_END),
    (
        "030cd3fca358",
        Hdrcap,
        "a request behind the last chunk of one whose Transfer-Encoding is on a folded line; the witness takes it for its body",
    ),
    ("0481b05d3a70", Hdrcap, STATUS_NO_NUMBER),
    (
        "0bbf91d85456",
        Hdrcap,
        "NOTIFY of UPnP is a request by its shape, flagged method_unknown; the witness knows its own methods only",
    ),
    ("0bd04e7d5db6", Hdrcap, BARE_LINE_END),
    ("11d335b27c81", Hdrcap, BODY_INCOMPLETE),
    (
        "1213d15a0f41",
        Witness,
        "responses to nothing, behind the body of one in the same segment: lengths are read where requests are pipelined",
    ),
    ("126b03f5a929", Hdrcap, HEAD_ENDLESS),
    ("135f20cb6a62", Hdrcap, BARE_LINE_END),
    ("16f530b623cf", Hdrcap, HEAD_ENDLESS),
    (
        "1a51f82ed535",
        Hdrcap,
        "what follows a CONNECT that succeeded is a tunnel's, not HTTP of this connection",
    ),
    ("1be968f94383", Hdrcap, "a status line in lower case is one all the same, flagged version_bad"),
    ("1ebd87ddac2b", Hdrcap, "QUERY is a registered method, younger than the witness"),
    ("1fd25d9cb179", Hdrcap, BODY_INCOMPLETE),
    ("2010314d6a34", Hdrcap, STATUS_SHORT),
    ("225907e271ff", Hdrcap, "a CR between version and status: the status can be read, the row is flagged"),
    ("25b3b84a0e09", Hdrcap, BODY_INCOMPLETE),
    ("2728e7082df4", Hdrcap, BODY_INCOMPLETE),
    ("273fabb7cf0f", Hdrcap, BODY_INCOMPLETE),
    ("3044ffe1eb55", Hdrcap, BODY_INCOMPLETE),
    (
        "3236dc8673bb",
        Hdrcap,
        "a target with a space in it is kept whole, flagged request_line_bad; the witness cuts it",
    ),
    ("3351fc2b2a44", Hdrcap, STATUS_SHORT),
    ("3427b7f0ea90", Hdrcap, BODY_INCOMPLETE),
    ("3506ce41bfea", Hdrcap, BODY_INCOMPLETE),
    (
        "36f01c5d8d9e",
        Hdrcap,
        "frame times jump by years: the connection is forgotten when its retransmission comes",
    ),
    (
        "3861c3d55fa0",
        Hdrcap,
        "a tab before the status: the status is 200, the witness takes two digits of it",
    ),
    ("3acd14030b84", Witness, "GRE in UDP (RFC 8086) is not followed"),
    ("3d617595dc62", Hdrcap, STATUS_NO_NUMBER),
    ("3f0e636b97ae", Hdrcap, HEAD_ENDLESS),
];

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
    let Some(corpus) = corpus::folder("corpus::the_corpus_is_understood") else {
        return;
    };
    let expected = fs::read_to_string(corpus.join("expected.jsonl")).unwrap();
    let expected: Vec<Expected> = expected.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let out = tempfile::tempdir().unwrap();
    read_all(&corpus, &expected, out.path());
    let mut seen = messages(Dataset(out.path()));
    let differences: BTreeMap<&str, Difference> = expected
        .iter()
        .map(|entry| name(&entry.file))
        .zip(&expected)
        .map(|(name, entry)| (name, compare(entry, seen.remove(name).unwrap_or_default())))
        .collect();
    assert!(seen.is_empty(), "rows of files that are not in the corpus: {seen:?}");
    judge(&differences);
    assert_heads_are_rebuilt(Dataset(out.path()));
}

/// Replays each file under a sensor of its name; several at a time, for they mostly wait for the disk.
fn read_all(corpus: &Path, expected: &[Expected], out: &Path) {
    let next = AtomicUsize::new(0);
    let read = || {
        while let Some(entry) = expected.get(next.fetch_add(1, Ordering::Relaxed)) {
            let options = ["--redact", "off", "--sensor", name(&entry.file)];
            replay(&[&corpus.join(&entry.file)], out, &options).balance().assert_closed();
        }
    };
    thread::scope(|scope| (0..READERS).for_each(|_| drop(scope.spawn(read))));
}

/// `14a0f0fe3a22` of `pcap/14a0f0fe3a22.pcap`.
fn name(file: &str) -> &str {
    file.trim_start_matches("pcap/").split('.').next().unwrap_or_default()
}

/// Messages found, by name of the corpus file.
fn messages(dataset: Dataset<'_>) -> BTreeMap<String, Messages> {
    let mut found = BTreeMap::<String, Messages>::new();
    for row in dataset.query("SELECT sensor, method_raw, target_raw, status, info_status FROM http") {
        let messages = found.entry(row["sensor"].as_str().unwrap().to_owned()).or_default();
        if let (Some(method), Some(target)) = (row["method_raw"].as_str(), row["target_raw"].as_str()) {
            *messages.entry(format!("{method} {target}")).or_default() += 1;
        }
        let informational = row["info_status"].as_array().into_iter().flatten();
        for status in informational.chain([&row["status"]]).filter_map(Value::as_i64) {
            *messages.entry(status.to_string()).or_default() += 1;
        }
    }
    found
}

/// The shipped view gives each whole head back in as many bytes as the wire had, unless the row says that it cannot.
fn assert_heads_are_rebuilt(dataset: Dataset<'_>) {
    let sql = "SELECT sensor, http.flags, req_head_bytes, octet_length(request_head) AS request_bytes, \
                      resp_head_bytes, octet_length(response_head) AS response_bytes, target_raw \
               FROM heads JOIN http USING (ts_ns, sensor, flow_id, transaction_index) \
               WHERE NOT list_has_any(http.flags, ['head_truncated', 'gap_in_head', 'start_line_normalized']) \
                 AND (request_bytes IS DISTINCT FROM req_head_bytes OR response_bytes IS DISTINCT FROM resp_head_bytes)";
    let wrong = dataset.query(sql);
    assert!(wrong.is_empty(), "heads that are not rebuilt as they were: {wrong:#?}");
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
    let mut sums = Sums::default();
    let mut differing = BTreeSet::new();
    for (file, difference) in differences {
        sums.expected += difference.expected;
        if difference.missing.is_empty() && difference.extra.is_empty() {
            continue;
        }
        println!("{file}: missing {:?}, extra {:?}", difference.missing, difference.extra);
        differing.insert(*file);
        sums.missing += difference.missing.len();
        sums.extra += difference.extra.len();
        if !DIFFERS.iter().any(|(name, right, _)| name == file && *right == Hdrcap) {
            sums.extra_wrong += difference.extra.len();
            sums.missing_wrong += difference.missing.len();
        }
    }
    println!("corpus: {sums:?}");
    let reasoned: BTreeSet<&str> = DIFFERS.iter().map(|(file, ..)| *file).collect();
    assert_eq!(differing, reasoned, "the files that differ are not those that DIFFERS gives a reason for");
    let expected = sums.expected - (sums.missing - sums.missing_wrong);
    let recall = 1.0 - sums.missing_wrong as f64 / expected as f64;
    assert!(recall >= RECALL_MIN, "recall is {recall:.4}");
    let surplus = sums.extra_wrong as f64 / sums.expected as f64;
    assert!(surplus < EXTRA_MAX, "wrong extra messages are {surplus:.4} of the expected ones");
}

#[derive(Debug, Default)]
struct Sums {
    expected: usize,
    missing: usize,
    missing_wrong: usize,
    extra: usize,
    extra_wrong: usize,
}
