//! hdrcap as a user runs it: the binary, what it prints, how it ends.

use std::{
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::OnceLock,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    cable,
    lab::{Host, Lab, MIRROR_PORT},
    output,
    query::Dataset,
    run, tree, wait,
    web::signal,
};

/// The binary under test: the one `HDRCAP_BIN` names, else that of this tree, built here if it is older than its source.
///
/// # Panics
/// Where there is none and none can be built.
#[must_use]
pub fn binary() -> PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    let find = || match std::env::var_os("HDRCAP_BIN") {
        Some(path) => PathBuf::from(path),
        None => {
            let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
            run(Command::new(cargo).args(["build", "--quiet", "-p", "capture"]).current_dir(tree::root()));
            tree::target().join("debug/hdrcap")
        }
    };
    let binary = BINARY.get_or_init(find);
    assert!(binary.is_file(), "no hdrcap at {}: build it, or name one in HDRCAP_BIN", binary.display());
    binary.clone()
}

/// The key of every test's tokens: one for all, so that two runs give the same token to the same secret.
#[must_use]
pub fn key_file() -> PathBuf {
    tree::target().join("integration.key")
}

/// A capture under way on the lab's mirror port.
pub struct Capture {
    child: Child,
    printed: TempDir,
}

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    /// Exit status of the process.
    pub status: ExitStatus,
    /// What it printed on standard output.
    pub stdout: String,
    /// What it printed on standard error.
    pub stderr: String,
}

/// The exit balance as `--json` prints it.
#[derive(Debug)]
pub struct Balance(pub Value);

impl Capture {
    /// Starts hdrcap on the mirror port, writing below `out`, and returns when its XDP program is attached.
    ///
    /// # Panics
    /// Where it ends before that.
    #[must_use]
    pub fn start(lab: &Lab, out: &Path, options: &[&str]) -> Self {
        Self::start_by(lab.on(Host::Sensor, binary()), lab, out, options)
    }

    /// The same by another command: hdrcap behind what sets its user, capabilities and the like.
    ///
    /// # Panics
    /// Where it ends before its XDP program is attached.
    #[must_use]
    pub fn start_by(command: Command, lab: &Lab, out: &Path, options: &[&str]) -> Self {
        Self::start_when(command, out, options, || lab.has_xdp())
    }

    /// Starts hdrcap on the port of the cable in this thread's namespace.
    ///
    /// # Panics
    /// Where it ends before its XDP program is attached.
    #[must_use]
    pub fn start_here(out: &Path, options: &[&str]) -> Self {
        Self::start_when(Command::new(binary()), out, options, cable::has_xdp)
    }

    fn start_when(mut command: Command, out: &Path, options: &[&str], has_xdp: impl Fn() -> bool) -> Self {
        let printed = tempfile::tempdir().expect("the temporary folder is writable");
        let child = command
            .args(["--iface", MIRROR_PORT, "--json", "--out"])
            .arg(out)
            .args(options)
            .args(if options.iter().any(|option| ["--key-file", "--redact"].contains(option)) {
                vec![]
            } else {
                vec!["--key-file".into(), key_file()]
            })
            .stdin(Stdio::null())
            .stdout(File::create(printed.path().join("stdout")).expect("the folder was just made"))
            .stderr(File::create(printed.path().join("stderr")).expect("the folder was just made"))
            .spawn()
            .expect("ip runs, and hdrcap");
        let mut capture = Self { child, printed };
        wait::until("hdrcap attaches its XDP program", || {
            let ended = capture.child.try_wait().expect("the child is ours");
            assert!(ended.is_none(), "hdrcap ended with {ended:?}:\n{}", capture.read("stderr"));
            has_xdp().then_some(())
        });
        capture
    }

    /// Sends a signal by name and waits for the end.
    ///
    /// # Panics
    /// Where the process cannot be signalled.
    #[must_use]
    pub fn stop(mut self, signal_name: &str) -> Ended {
        signal(&self.child, signal_name);
        self.ended()
    }

    /// Waits for an end that was asked for at the start (`--duration`).
    #[must_use]
    pub fn finish(mut self) -> Ended {
        self.ended()
    }

    /// Sends a signal by name (`STOP`, `USR1`) and goes on.
    pub fn signal(&self, signal_name: &str) {
        signal(&self.child, signal_name);
    }

    /// Ends it as a crash would.
    ///
    /// # Panics
    /// Where the process cannot be signalled.
    pub fn kill(mut self) {
        signal(&self.child, "KILL");
        self.child.wait().expect("the child is ours");
    }

    /// What it has printed on standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.read("stderr")
    }

    /// Process id of the daemon.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn ended(&mut self) -> Ended {
        let status = wait::until("hdrcap ends", || self.child.try_wait().expect("the child is ours"));
        Ended { status, stdout: self.read("stdout"), stderr: self.read("stderr") }
    }

    fn read(&self, stream: &str) -> String {
        fs::read_to_string(self.printed.path().join(stream)).expect("what hdrcap prints is UTF-8")
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            signal(&self.child, "KILL");
            self.child.wait().expect("the child is ours");
        }
    }
}

/// Reads capture files into `out`, with `options` behind the files.
#[must_use]
pub fn replay(files: &[&Path], out: &Path, options: &[&str]) -> Ended {
    let mut arguments: Vec<OsString> = vec!["--json".into(), "--pcap".into()];
    arguments.extend(files.iter().map(OsString::from));
    arguments.extend(["--out".into(), out.into()]);
    if !options.contains(&"--redact") {
        arguments.extend(["--key-file".into(), key_file().into()]);
    }
    arguments.extend(options.iter().map(OsString::from));
    run_to_end(Command::new(binary()).args(arguments))
}

/// Runs any command line of hdrcap to its end.
#[must_use]
pub fn run_to_end(command: &mut Command) -> Ended {
    let output = output(command.stdin(Stdio::null()));
    Ended {
        status: output.status,
        stdout: String::from_utf8(output.stdout).expect("what hdrcap prints is UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("what hdrcap prints is UTF-8"),
    }
}

impl Ended {
    /// The balance of a run that must have succeeded.
    ///
    /// # Panics
    /// Where the run failed, or printed something else than one balance.
    #[must_use]
    pub fn balance(&self) -> Balance {
        assert!(self.status.success(), "hdrcap ended with {}:\n{}", self.status, self.stderr);
        let balance = serde_json::from_str(&self.stdout).unwrap_or_else(|error| {
            panic!("standard output is not one JSON object ({error}):\n{}", self.stdout)
        });
        Balance(balance)
    }
}

impl Balance {
    /// A counter of the whole run.
    ///
    /// # Panics
    /// Where the balance does not have it.
    #[must_use]
    pub fn count(&self, name: &str) -> u64 {
        count(&self.0, name)
    }

    /// Checks the laws of conservation with the printed numbers, not with what the program thinks of them.
    ///
    /// # Panics
    /// Where one is broken.
    pub fn assert_closed(&self) {
        assert_eq!(self.0["closed"], Value::Bool(true), "the balance is not closed:\n{:#}", self.0);
        assert_laws(&self.0);
        let interfaces = self.0["interfaces"].as_object().expect("a balance has its interfaces");
        for part in interfaces.values() {
            assert_verdict_law(part);
        }
        let frames: u64 = interfaces.values().map(|part| count(part, "frames")).sum();
        assert_eq!(frames, self.count("frames"), "the interfaces do not add up:\n{:#}", self.0);
    }

    /// Checks that the files tell the same as the balance: the rows of `http`, and the sums over `capture_stats`.
    ///
    /// # Panics
    /// Where they do not.
    pub fn assert_in_files(&self, dataset: Dataset<'_>) {
        let rows = dataset.number("SELECT count(*) FROM http");
        assert_eq!(self.count("rows_written"), rows, "the files hold other rows than the balance says");
        let sums = dataset.stats_sums();
        assert!(
            sums.contains_key("frames") && sums.contains_key("rows_written"),
            "counters are missing: {sums:?}"
        );
        for (counter, sum) in sums {
            assert_eq!(self.count(&counter), sum, "capture_stats and the balance differ in {counter}");
        }
    }
}

fn assert_laws(all: &Value) {
    assert_verdict_law(all);
    let sum = |names: &[&str]| names.iter().map(|name| count(all, name)).sum::<u64>();
    let heads_ended =
        ["messages", "malformed", "duplicate", "in_message", "after_end", "evicted", "ring_full"];
    assert_eq!(sum(&["heads", "heads_untold"]), sum(&heads_ended), "heads vanished:\n{all:#}");
    let rows_ended = ["rows_written", "shed", "disk_full", "disk_error"];
    assert_eq!(count(all, "rows"), sum(&rows_ended), "rows vanished:\n{all:#}");
}

fn assert_verdict_law(part: &Value) {
    let counters = part.as_object().expect("a balance is an object");
    let verdicts = counters.iter().filter(|(name, _)| name.starts_with("verdict_"));
    let sum: u64 = verdicts.map(|(_, value)| value.as_u64().expect("a verdict is a count")).sum();
    assert_eq!(count(part, "frames"), sum, "frames vanished:\n{part:#}");
}

fn count(part: &Value, name: &str) -> u64 {
    part[name].as_u64().unwrap_or_else(|| panic!("the balance has no count '{name}':\n{part:#}"))
}
