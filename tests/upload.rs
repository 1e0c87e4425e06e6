//! Published files in an object store: each once, whole, after restarts and refusals, and gone there when it was merged.

use std::{
    collections::BTreeMap,
    fs::File,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use harness::{
    daemon::{Ended, binary, key_file, run_to_end},
    pcap,
    query::{Dataset, duckdb, python},
    run, tree, wait,
};
use tempfile::TempDir;

const SECRET: &str = "wJalrXUtnFEMI-K7MDENG-bPxRfiCYEXAMPLEKEY";

/// A server that speaks S3, of the package moto, on a port of its own.
struct Store {
    port: u16,
    server: Option<Child>,
    folder: TempDir,
}

impl Store {
    fn new() -> Store {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        Store { port, server: None, folder: tempfile::tempdir().unwrap() }
    }

    /// Starts it with an empty bucket called heads.
    fn start(&mut self) {
        let log = File::create(self.folder.path().join("log")).unwrap();
        let server = Command::new(python())
            .args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &self.port.to_string()])
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        self.server = Some(server);
        wait::until("the store listens (scripts/setup test installs moto)", || {
            TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok()
        });
        self.ask("s3.create_bucket(Bucket='heads')");
    }

    /// Runs Python with a client called s3; what it prints.
    fn ask(&self, script: &str) -> String {
        let script =
            format!("import boto3\ns3 = boto3.client('s3', endpoint_url='{}')\n{script}", self.endpoint());
        let output = run(with_credentials(Command::new(python()).args(["-c", &script])));
        String::from_utf8(output.stdout).unwrap()
    }

    fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Objects by name, with the SHA-256 of their content.
    fn objects(&self) -> BTreeMap<String, String> {
        let printed = self.ask(
            "import hashlib\nfor item in s3.list_objects_v2(Bucket='heads').get('Contents', []):\n    \
             body = s3.get_object(Bucket='heads', Key=item['Key'])['Body'].read()\n    \
             print(item['Key'], hashlib.sha256(body).hexdigest())",
        );
        let pairs = printed.lines().map(|line| line.split_once(' ').unwrap());
        pairs.map(|(name, hash)| (name.to_owned(), hash.to_owned())).collect()
    }

    /// Replays `pcap` into `out` with `--upload` to this store.
    fn replay(&self, pcap: &Path, out: &Path, options: &[&str]) -> Ended {
        let mut command = Command::new(binary());
        command.args(["--json", "--sensor", "s1", "--upload", "s3://heads/site/lan", "--upload-endpoint"]);
        command.arg(self.endpoint()).arg("--pcap").arg(pcap).arg("--out").arg(out);
        command.arg("--key-file").arg(key_file()).args(options);
        let ended = run_to_end(with_credentials(&mut command));
        for told in [&ended.stdout, &ended.stderr] {
            assert!(!told.contains(SECRET), "credentials are told to nobody: {told}");
        }
        ended
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            server.kill().unwrap();
            server.wait().unwrap();
        }
    }
}

fn with_credentials(command: &mut Command) -> &mut Command {
    command.env("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE").env("AWS_SECRET_ACCESS_KEY", SECRET);
    command.env("AWS_REGION", "us-east-1").env("AWS_DEFAULT_REGION", "us-east-1")
}

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
    store.ask(&format!(
        "import os\nfor item in s3.list_objects_v2(Bucket='heads')['Contents']:\n    \
         path = os.path.join('{}', item['Key'])\n    os.makedirs(os.path.dirname(path), exist_ok=True)\n    \
         s3.download_file('heads', item['Key'], path)",
        copy.display()
    ));
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
    // The packets are years old, the statistics are of now.
    let removed = store.replay(&pcap, &out, &["--keep", "1d"]);
    assert_eq!(removed.balance().count("upload_missed"), 1, "{removed:?}");
    assert!(removed.stderr.contains("not uploaded"), "{}", removed.stderr);
    store.start();
    let back = store.replay(&pcap, &out, &[]).balance();
    assert_eq!(back.count("upload_files"), published(&out).len() as u64, "{back:?}");
    assert_eq!(store.objects(), published(&out));
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
