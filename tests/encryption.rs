//! Encryption at rest as an operator and an analyst meet it: key files, captures, DuckDB, pyarrow and Spark.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use harness::{
    daemon::{Ended, binary, replay, run_to_end},
    pcap,
    query::{Dataset, Reader, duckdb, encrypted},
    tree,
};
use serde_json::Value;
use storage::{
    dataset::{Writer, WriterSettings},
    encrypt::Keyring,
    schema::{SENSITIVE_COLUMNS, StatsRow, StatsSchema},
};

fn hdrcap(arguments: &[&str]) -> Ended {
    run_to_end(Command::new(binary()).args(arguments))
}

fn new_keys(folder: &Path, name: &str, options: &[&str]) -> PathBuf {
    let path = folder.join(name);
    let made = hdrcap(&[&["key", "encryption", path.to_str().unwrap()], options].concat());
    assert!(made.status.success(), "{made:?}");
    path
}

fn capture(pcap: &Path, out: &Path, keys: &Path) {
    let balance = replay(&[pcap], out, &["--encryption-keys", keys.to_str().unwrap()]).balance();
    balance.assert_closed();
    assert!(balance.count("rows_written") > 0);
}

#[test]
fn a_key_file_is_its_owners_and_never_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let keys = new_keys(folder.path(), "keys.toml", &["--columns", "host,cookie"]);
    let path = keys.to_str().unwrap();
    let first = fs::read_to_string(&keys).unwrap();
    assert_eq!(keys.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
    assert!(first.contains("\nhost = \"") && first.contains("\ncookie = \""), "{first}");
    let again = hdrcap(&["key", "encryption", path]);
    assert!(!again.status.success() && again.stderr.contains("is there already"), "{again:?}");
    assert_eq!(fs::read_to_string(&keys).unwrap(), first);
    let rotated = hdrcap(&["key", "encryption", path, "--rotate"]);
    assert!(rotated.status.success(), "{rotated:?}");
    let second = fs::read_to_string(&keys).unwrap();
    assert_eq!(keys.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
    let old = first.rsplit("[keys]").next().unwrap().lines().filter(|line| !line.is_empty());
    assert!(old.clone().count() == 2 && old.clone().all(|line| second.contains(line)), "{second}");
    assert_ne!(first.lines().nth(3), second.lines().nth(3), "another key encrypts now");
    let unknown = hdrcap(&["key", "encryption", "/nowhere/k", "--columns", "no_such"]);
    assert!(!unknown.status.success() && unknown.stderr.contains("\"no_such\""), "{unknown:?}");
}

#[test]
fn keys_that_are_not_sound_stop_a_start() {
    let folder = tempfile::tempdir().unwrap();
    let pcap = pcap::one_transaction(folder.path());
    let keys = new_keys(folder.path(), "keys.toml", &[]);
    let text = fs::read_to_string(&keys).unwrap();
    let secret = text.rsplit('"').nth(1).unwrap();
    let out = folder.path().join("data");
    let refused = |expected: &str| {
        let ended = replay(&[&pcap], &out, &["--encryption-keys", keys.to_str().unwrap()]);
        assert!(!ended.status.success() && ended.stderr.contains(expected), "{expected}: {ended:?}");
        assert!(!ended.stderr.contains(&secret[..12]), "no key in a message: {ended:?}");
        assert!(!out.exists(), "nothing was written");
    };
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o640)).unwrap();
    refused("run `chmod 600`");
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&keys, text.replace(&secret[..6], "AAAAAA")).unwrap();
    refused("is not what its name says");
    fs::write(&keys, text.replace("footer", "foot")).unwrap();
    refused("is no file of encryption keys: line 4: unknown field `foot`");
    fs::remove_file(&keys).unwrap();
    refused("hdrcap key encryption makes such a file");
}

#[test]
fn duckdb_reads_with_the_key_and_nobody_without() {
    let folder = tempfile::tempdir().unwrap();
    let pcap = pcap::one_transaction(folder.path());
    let [plain, sealed] = ["plain", "sealed"].map(|name| folder.path().join(name));
    let keys = new_keys(folder.path(), "keys.toml", &[]);
    let other = new_keys(folder.path(), "other.toml", &[]);
    for _ in 0..3 {
        replay(&[&pcap], &plain, &[]).balance().assert_closed();
    }
    capture(&pcap, &sealed, &keys);
    capture(&pcap, &sealed, &keys);
    let compact = ["compact", sealed.to_str().unwrap()];
    let locked = hdrcap(&compact);
    assert!(locked.status.success() && locked.stdout.contains("2 files are encrypted"), "{locked:?}");
    let merged = hdrcap(&[&compact[..], &["--encryption-keys", keys.to_str().unwrap()]].concat());
    assert!(merged.status.success() && merged.stdout.contains("merged 2 files"), "{merged:?}");
    // Beside what was merged, a file as it was captured.
    capture(&pcap, &sealed, &keys);
    for file in tree::files(&sealed, ".parquet") {
        let bytes = fs::read(&file).unwrap();
        for word in ["shop.example", "client_ip", "redaction_policy", "frames"] {
            let found = bytes.windows(word.len()).any(|window| window == word.as_bytes());
            assert!(!found, "{word} stands in {}", file.display());
        }
    }
    // Lists are beyond DuckDB where they are encrypted; pyarrow decrypts them for it.
    let described =
        duckdb(&format!("SELECT column_name, column_type FROM (DESCRIBE FROM {})", Dataset(&plain).files()));
    let is_flat = |column: &&Value| !column["column_type"].as_str().unwrap().ends_with("[]");
    let names = |columns: Vec<&Value>| {
        columns
            .iter()
            .map(|column| format!("\"{}\"", column["column_name"].as_str().unwrap()))
            .collect::<Vec<_>>()
    };
    let (flat, all) = (names(described.iter().filter(is_flat).collect()), names(described.iter().collect()));
    assert!(flat.len() > 80 && all.len() > flat.len());
    for (reader, columns) in [(Reader::DuckDb, &flat), (Reader::PyArrow, &all)] {
        let sql = format!("SELECT {} FROM http", columns.join(", "));
        let [rows] = encrypted(reader, (&sealed, &keys), [&sql]).unwrap();
        assert_eq!(rows, Dataset(&plain).query(&sql), "{reader:?}");
        let refused = encrypted(reader, (&sealed, &other), [&sql]).unwrap_err();
        assert!(!refused.contains("shop"), "{refused}");
    }
    let counts = [
        "SELECT count(*) AS n FROM http WHERE client_ip = '0.0.0.1'",
        "SELECT sum(heads) > 0 AS n FROM capture_losses",
    ];
    let [none, some] = encrypted(Reader::DuckDb, (&sealed, &keys), counts).unwrap();
    assert_eq!((&none[0]["n"], &some[0]["n"]), (&Value::from(0), &Value::from(true)));
}

#[test]
fn spark_reads_column_keys_and_rotated_ones() {
    let folder = tempfile::tempdir().unwrap();
    let pcap = pcap::one_transaction(folder.path());
    let [plain, sealed] = ["plain", "sealed"].map(|name| folder.path().join(name));
    let keys = new_keys(folder.path(), "keys.toml", &["--columns", "sensitive"]);
    for _ in 0..2 {
        replay(&[&pcap], &plain, &[]).balance().assert_closed();
        capture(&pcap, &sealed, &keys);
        let rotated = hdrcap(&["key", "encryption", keys.to_str().unwrap(), "--rotate"]);
        assert!(rotated.status.success(), "{rotated:?}");
    }
    let sensitive = SENSITIVE_COLUMNS.map(|name| format!("`{name}`")).join(", ");
    let sql =
        format!("SELECT host, status, flags, set_cookies, {sensitive} FROM http WHERE host = 'shop.example'");
    let [sealed_rows] = encrypted(Reader::Spark, (&sealed, &keys), [&sql]).unwrap();
    let [plain_rows] = harness::query::spark(&plain, [&sql]);
    assert_eq!(sealed_rows.len(), 2);
    assert_eq!(sealed_rows, plain_rows);
    let sql = sql.replace('`', "\"");
    let [by_pyarrow] = encrypted(Reader::PyArrow, (&sealed, &keys), [&sql]).unwrap();
    assert_eq!(by_pyarrow, Dataset(&plain).query(&sql));
}

#[test]
fn recover_and_verify_say_which_key_they_want() {
    let folder = tempfile::tempdir().unwrap();
    let [keys, other] = ["keys.toml", "other.toml"].map(|name| new_keys(folder.path(), name, &[]));
    let [keys_path, other_path] = [&keys, &other].map(|path| path.to_str().unwrap());
    let keyring = Keyring::parse(&fs::read_to_string(&keys).unwrap()).unwrap();
    let out = folder.path().join("data");
    let stats = StatsSchema::new(&["frames"], &[]);
    let settings = WriterSettings { keyring, stats: Some(stats), ..WriterSettings::new(&out, "s1") };
    let mut writer = Writer::open(settings).unwrap();
    let row = StatsRow { ts_ns: 0, sensor: "s1", iface: "eth1", core: None, counters: &[7], gauges: &[] };
    writer.write_stats(&[row], 0).unwrap();
    // As a process that dies leaves it.
    drop(writer);
    let out = out.to_str().unwrap();
    for wrong in [&["recover", out][..], &["recover", out, "--encryption-keys", other_path]] {
        let ended = hdrcap(wrong);
        assert!(!ended.status.success(), "{ended:?}");
        assert!(
            ended.stdout.contains("it is encrypted with key ") && ended.stdout.contains("--encryption-keys")
        );
    }
    let recovered = hdrcap(&["recover", out, "--encryption-keys", keys_path]);
    assert!(recovered.status.success() && recovered.stdout.contains("1 rows"), "{recovered:?}");
    let without = hdrcap(&["verify", out]);
    assert!(without.status.success() && without.stdout.contains("rows not counted"), "{without:?}");
    let with = hdrcap(&["verify", out, "--encryption-keys", keys_path]);
    assert!(with.status.success() && !with.stdout.contains("rows not counted"), "{with:?}");
}
