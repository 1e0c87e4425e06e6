//! A server that speaks S3 for the tests of uploads: the package moto, on a port of its own, with TLS or without.

use std::{
    collections::BTreeMap,
    fs::File,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
};

use harness::{
    daemon::{Ended, binary, key_file, run_to_end},
    query::python,
    run, tree, wait,
};
use tempfile::TempDir;

const SECRET: &str = "wJalrXUtnFEMI-K7MDENG-bPxRfiCYEXAMPLEKEY";

/// The server; it may be away.
pub(super) struct Store {
    pub(super) port: u16,
    server: Option<Child>,
    folder: TempDir,
    has_tls: bool,
}

impl Store {
    /// One that is away, and that nobody asks by TLS.
    pub(super) fn new() -> Store {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        Store { port, server: None, folder: tempfile::tempdir().unwrap(), has_tls: false }
    }

    /// One whose certificate is of an authority that nobody knows.
    pub(super) fn with_tls() -> Store {
        let mut store = Store::new();
        store.has_tls = true;
        let script = tree::root().join("tests/upload/certificates.py");
        run(Command::new(python()).arg(script).arg(store.folder.path()));
        store
    }

    /// Starts it with an empty bucket called heads.
    pub(super) fn start(&mut self) {
        let log = File::create(self.folder.path().join("log")).unwrap();
        let mut server = Command::new(python());
        server.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &self.port.to_string()]);
        if self.has_tls {
            server.args(["-c", "store.pem", "-k", "store.key"]).current_dir(self.folder.path());
        }
        let server =
            server.stdout(log.try_clone().unwrap()).stderr(log).stdin(Stdio::null()).spawn().unwrap();
        self.server = Some(server);
        wait::until("the store listens (scripts/setup test installs moto)", || {
            TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok()
        });
        self.ask("s3.create_bucket(Bucket='heads')");
    }

    /// From now on it refuses all credentials.
    pub(super) fn know_nobody(&self) {
        self.ask(&format!(
            "import urllib.request\nurllib.request.urlopen(urllib.request.Request('{}/moto-api/reset-auth', data=b'0', \
             headers={{'Content-Type': 'text/plain'}}))",
            self.endpoint()
        ));
    }

    /// Runs Python with a client called s3; what it prints.
    fn ask(&self, script: &str) -> String {
        let verify = self.has_tls.then(|| format!(", verify='{}'", self.authority().display()));
        let script = format!(
            "import boto3\ns3 = boto3.client('s3', endpoint_url='{}'{})\n{script}",
            self.endpoint(),
            verify.unwrap_or_default()
        );
        let output = run(with_credentials(Command::new(python()).args(["-c", &script])));
        String::from_utf8(output.stdout).unwrap()
    }

    fn endpoint(&self) -> String {
        if self.has_tls {
            format!("https://localhost:{}", self.port)
        } else {
            format!("http://127.0.0.1:{}", self.port)
        }
    }

    fn authority(&self) -> std::path::PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Objects by name, with the SHA-256 of their content.
    pub(super) fn objects(&self) -> BTreeMap<String, String> {
        let printed = self.ask(
            "import hashlib\nfor item in s3.list_objects_v2(Bucket='heads').get('Contents', []):\n    \
             body = s3.get_object(Bucket='heads', Key=item['Key'])['Body'].read()\n    \
             print(item['Key'], hashlib.sha256(body).hexdigest())",
        );
        let pairs = printed.lines().map(|line| line.split_once(' ').unwrap());
        pairs.map(|(name, hash)| (name.to_owned(), hash.to_owned())).collect()
    }

    /// Copies all objects below a folder.
    pub(super) fn download(&self, copy: &Path) {
        self.ask(&format!(
            "import os\nfor item in s3.list_objects_v2(Bucket='heads')['Contents']:\n    \
             path = os.path.join('{}', item['Key'])\n    os.makedirs(os.path.dirname(path), exist_ok=True)\n    \
             s3.download_file('heads', item['Key'], path)",
            copy.display()
        ));
    }

    /// hdrcap, about to read `pcap` into `out` and to upload it here; what is told later counts.
    pub(super) fn command(&self, pcap: &Path, out: &Path) -> Command {
        let mut command = Command::new(binary());
        command.args(["--json", "--upload-endpoint", &self.endpoint()]).arg("--pcap").arg(pcap);
        command.arg("--out").arg(out).arg("--key-file").arg(key_file());
        with_credentials(&mut command);
        if self.has_tls {
            command.env("SSL_CERT_FILE", self.authority());
        }
        command
    }

    /// Replays `pcap` into `out` with `--upload` to this store.
    pub(super) fn replay(&self, pcap: &Path, out: &Path, options: &[&str]) -> Ended {
        self.replay_as(pcap, out, |command| {
            command.args(options);
        })
    }

    /// The same of a command that `changed` changes.
    pub(super) fn replay_as(&self, pcap: &Path, out: &Path, changed: impl FnOnce(&mut Command)) -> Ended {
        let mut command = self.command(pcap, out);
        changed(&mut command);
        let words: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
        for usual in [["--sensor", "s1"], ["--upload", "s3://heads/site/lan"]] {
            if !words.iter().any(|word| word == usual[0]) {
                command.args(usual);
            }
        }
        let ended = run_to_end(&mut command);
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
