//! Hundreds of kinds of secrets through everything hdrcap writes, prints or shows, and no byte of them comes out.
//!
//! Each case is a transaction with a secret of its own. Every output is searched for any ten bytes of any secret, in any
//! case: the files as they are, what engines read from them, what is printed, shown and scraped, and what is logged at
//! every level.

mod cases;
mod watched;

use std::{
    collections::HashMap,
    fs::{self, File},
    io::BufWriter,
    path::{Path, PathBuf},
    process::Command,
};

use bench::{
    pcap::PcapWriter,
    wire::{self, Segment, Side, flag},
};
use harness::{
    daemon::{Ended, binary, key_file, run_to_end},
    query::Dataset,
    tree,
};

use self::cases::{Case, cases};

/// Bytes of a secret that must not be found together.
const PIECE_BYTES: usize = 10;

/// A field whose value is no secret: it must be found, or the search finds nothing.
const HARMLESS: &str = "harmless-but-searched-for";

/// Where each piece of each secret is from.
struct Pieces(HashMap<[u8; PIECE_BYTES], String>);

impl Pieces {
    fn of(cases: &[Case]) -> Pieces {
        let mut pieces = HashMap::new();
        for case in cases {
            for secret in &case.secrets {
                for window in secret.to_ascii_lowercase().as_bytes().windows(PIECE_BYTES) {
                    pieces.insert(window.try_into().unwrap(), case.name.clone());
                }
            }
        }
        Pieces(pieces)
    }

    /// Names of the cases of which anything is in `output`.
    fn found_in(&self, output: &[u8]) -> Vec<&str> {
        let output = output.to_ascii_lowercase();
        let windows = output.windows(PIECE_BYTES).filter_map(|window| self.0.get(window));
        let mut names: Vec<&str> = windows.map(String::as_str).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    fn assert_not_in(&self, what: &str, output: &[u8]) {
        let found = self.found_in(output);
        assert!(found.is_empty(), "{what} holds secrets of {} cases: {found:#?}", found.len());
    }
}

/// Writes the cases, each on a connection of its own; the first one is the `first`-th of all.
fn write_capture((first, cases): (usize, &[Case]), file: &Path) {
    let mut writer = PcapWriter::new(BufWriter::new(File::create(file).unwrap())).unwrap();
    for (at, case) in (first..).zip(cases) {
        let port = 1024 + u16::try_from(at).unwrap();
        let path = wire::Path {
            client: ([10, 0, 0, 1].into(), port),
            server: ([10, 0, 0, 2].into(), 80),
            vlan_ids: Vec::new(),
        };
        let answered = 1 + case.request.len() as u32;
        let messages = [(Side::Client, 1, 1, &case.request), (Side::Server, 1, answered, &case.response)];
        for (from, seq, ack, payload) in messages {
            let flags = flag::PSH | flag::ACK;
            let segment = Segment { from, seq, ack, flags, options: &[], payload, ip_id: 1 };
            let ts_ns = 1_700_000_000_000_000_000 + at as u64 * 1_000_000;
            writer.frame(ts_ns, &wire::frame(&path, &segment)).unwrap();
        }
    }
    writer.finish().unwrap();
}

fn capture(file: &Path, out: &Path, options: &[&str]) -> Ended {
    let mut command = Command::new(binary());
    command.env("HDRCAP_LOG", "trace").args(["--json", "--pcap"]).arg(file).arg("--out").arg(out);
    run_to_end(command.arg("--key-file").arg(key_file()).args(options))
}

fn assert_outputs_clean(pieces: &Pieces, ended: &Ended, out: &Path) {
    pieces.assert_not_in("standard output", ended.stdout.as_bytes());
    pieces.assert_not_in("the log", ended.stderr.as_bytes());
    for path in tree::files(out, "") {
        pieces.assert_not_in("a file's name", path.display().to_string().as_bytes());
        pieces.assert_not_in(&path.display().to_string(), &fs::read(&path).unwrap());
    }
    for (what, sql) in [
        ("table http", "SELECT * FROM http"),
        (
            "view heads",
            "SELECT request_head::VARCHAR AS request, response_head::VARCHAR AS response FROM heads",
        ),
    ] {
        let rows = Dataset(out).query(sql);
        assert!(!rows.is_empty(), "{what} has no rows");
        pieces.assert_not_in(what, serde_json::to_string(&rows).unwrap().as_bytes());
    }
    let stats = format!("SELECT * FROM read_parquet('{}/capture_stats/**/*.parquet')", out.display());
    let stats = serde_json::to_string(&harness::query::duckdb(&stats)).unwrap();
    assert!(stats.contains("rows_written"));
    pieces.assert_not_in("capture_stats", stats.as_bytes());
}

#[test]
fn no_byte_of_any_secret_comes_out_anywhere() {
    let cases = cases();
    assert!(cases.len() > 1000, "{} kinds of secrets", cases.len());
    let pieces = Pieces::of(&cases);
    let folder = tempfile::tempdir().unwrap();
    let (file, out) = (folder.path().join("secrets.pcap"), folder.path().join("out"));
    write_capture((0, &cases), &file);
    let ended = capture(&file, &out, &[]);
    let balance = ended.balance();
    balance.assert_closed();
    assert_eq!(balance.count("rows_written"), cases.len() as u64);
    assert_outputs_clean(&pieces, &ended, &out);
    let harmless = Dataset(&out)
        .number(&format!("SELECT count(*) FROM http WHERE req_headers_other::VARCHAR LIKE '%{HARMLESS}%'"));
    assert_eq!(harmless, cases.len() as u64, "what is no secret is found, so secrets would be");
}

#[test]
fn no_byte_of_any_secret_comes_out_where_something_is_wrong() {
    let cases: Vec<Case> = cases().into_iter().step_by(5).collect();
    let pieces = Pieces::of(&cases);
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("secrets.pcap");
    write_capture((0, &cases), &whole);
    let mut bytes = fs::read(&whole).unwrap();
    // Cut within the last frame, so that the file is named and the run fails.
    bytes.truncate(bytes.len() - 7);
    let (file, out) = (folder.path().join("damaged.pcap"), folder.path().join("out"));
    fs::write(&file, bytes).unwrap();
    let ended = capture(&file, &out, &["--head-limit", "1k", "--log-format", "json"]);
    assert!(!ended.status.success(), "the file is damaged");
    assert_outputs_clean(&pieces, &ended, &out);
}

fn explained(policy: &Path, head: &Path) -> (bool, String, String) {
    let mut command = Command::new(binary());
    let command =
        command.args(["redact", "--explain", "--policy"]).arg(policy).stdin(File::open(head).unwrap());
    let output = harness::output(command);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

/// The policy that the README shows.
fn readme_policy(folder: &Path) -> PathBuf {
    let readme = fs::read_to_string(tree::root().join("README.md")).unwrap();
    let policy = readme.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let file = folder.join("shop.toml");
    fs::write(&file, policy).unwrap();
    file
}

#[test]
fn a_policy_is_tried_explained_and_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let policy = readme_policy(folder.path());
    let head =
        b"GET /users/ada?page_token=abc&token=Kq7ZtWm3XbVn HTTP/1.1\nHost: h\nX-Debug: 1\nX-Tenant: acme\n\n";
    let head_file = folder.path().join("head.txt");
    fs::write(&head_file, head).unwrap();
    let (ok, text, _) = explained(&policy, &head_file);
    assert!(ok && !text.contains("Kq7ZtWm3XbVn") && !text.contains("acme"), "{text}");
    for part in [
        "policy=shop hash=",
        "a pattern of the policy's [[path]]",
        "kept: the policy's [parameters]",
        "dropped:",
    ] {
        assert!(text.contains(part), "no '{part}' in {text}");
    }
    fs::write(folder.path().join("bad.toml"), "[fields]\nA = \"hide\"").unwrap();
    let (ok, _, error) = explained(&folder.path().join("bad.toml"), &head_file);
    assert!(!ok && error.contains("line 2") && error.contains("\"mask:N\""), "{error}");

    let out = folder.path().join("out");
    let file = harness::pcap::one_transaction(folder.path());
    let ended = capture(&file, &out, &["--redact-policy", policy.to_str().unwrap()]);
    ended.balance().assert_closed();
    let row = &Dataset(&out).query("SELECT client_ip, community_id, flow_id FROM http")[0];
    assert_eq!((row["client_ip"].as_str(), row["community_id"].is_null()), (Some("10.0.0.0"), true), "{row}");
    let name = harness::query::duckdb(&format!(
        "SELECT decode(value) AS name FROM parquet_kv_metadata('{}/http/**/*.parquet') WHERE decode(key) = 'redaction_policy'",
        out.display()
    ));
    assert!(name[0]["name"].as_str().unwrap().starts_with("default-2 policy=shop hash="), "{name:?}");
    let refused = capture(&file, &folder.path().join("no"), &["--redact-policy", "/nowhere.toml"]);
    assert!(!refused.status.success() && refused.stderr.contains("--redact-policy"), "{}", refused.stderr);
}

#[test]
fn a_rotated_key_gives_other_tokens_with_another_id() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("k");
    let of_key = |what: &str| run_to_end(Command::new(binary()).args(["key", what, "--key-file"]).arg(&key));
    assert!(!of_key("id").status.success(), "there is no key yet, and asking makes none");
    let file = harness::pcap::one_transaction(folder.path());
    let out = folder.path().join("out");
    let mut command = Command::new(binary());
    let ended =
        run_to_end(command.arg("--pcap").arg(&file).arg("--out").arg(&out).arg("--key-file").arg(&key));
    assert!(ended.status.success(), "{}", ended.stderr);
    let before = of_key("id").stdout;
    assert!(of_key("rotate").status.success());
    let after = of_key("id").stdout;
    assert_eq!((before.trim().len(), after.trim().len()), (4, 4));
    assert_ne!(before, after);
    assert!(folder.path().join(format!("k.{}", before.trim())).is_file(), "the old key is kept");
}
