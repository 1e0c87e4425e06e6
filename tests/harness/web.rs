//! The lab's web server and its clients: nginx with a log that witnesses every request, curl for exact loads, wrk for heavy ones.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde::Deserialize;
use tempfile::TempDir;

use crate::{
    lab::{Host, Lab, SERVER_IPV4},
    output, run, tree, wait,
};

/// nginx on the lab's server, serving the pages of `scripts/web/serve`.
pub struct Web {
    folder: TempDir,
    nginx: Child,
}

/// One line of the access log: a request that was answered.
#[derive(Clone, Debug, Deserialize)]
pub struct Answered {
    /// Method as sent.
    pub method: String,
    /// Request target as sent.
    pub target: String,
    /// Status code sent back.
    pub status: i32,
    /// X-Request-Id of the request; empty without.
    pub id: String,
}

/// A count per method, target and status.
pub type Counts = BTreeMap<(String, String, i32), usize>;

impl Web {
    /// Starts nginx and waits until it answers, on the server's own loopback so that nothing of it reaches the wire.
    ///
    /// # Panics
    /// Where nginx is missing or does not start.
    #[must_use]
    pub fn start(lab: &Lab) -> Self {
        let folder = tempfile::tempdir().expect("the temporary folder is writable");
        let errors = fs::File::create(folder.path().join("nginx.err")).expect("the folder was just made");
        let nginx = lab
            .on(Host::Server, tree::script("web/serve"))
            .arg(folder.path())
            .stdin(Stdio::null())
            .stderr(errors)
            .spawn()
            .expect("bash runs scripts/web/serve");
        let mut web = Self { folder, nginx };
        wait::until("nginx answers", || {
            let ended = web.nginx.try_wait().expect("the child is ours");
            assert!(ended.is_none(), "nginx ended: {}", web.errors());
            let mut curl = lab.on(Host::Server, "curl");
            output(curl.args(["-sf", "--max-time", "1", "http://127.0.0.1/up"]))
                .status
                .success()
                .then_some(())
        });
        web
    }

    /// The access log, JSON lines.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.folder.path().join("logs/access.log")
    }

    /// Every request answered so far.
    ///
    /// # Panics
    /// Where a line of the log is not what the configuration writes.
    #[must_use]
    pub fn answered(&self) -> Vec<Answered> {
        let log = fs::read_to_string(self.log_path()).unwrap_or_default();
        let whole_lines = &log[..log.rfind('\n').map_or(0, |end| end + 1)];
        whole_lines.lines().map(|line| serde_json::from_str(line).expect("nginx logs JSON lines")).collect()
    }

    /// Waits until at least `count` requests are logged; nginx logs after it has answered.
    pub fn await_answered(&self, count: usize) {
        wait::until(&format!("{count} requests in the access log"), || {
            (self.answered().len() >= count).then_some(())
        });
    }

    /// Asks for all of it over each of so many connections, one after the other, and waits until the mirror port has
    /// delivered the last answer; returns how many answers there were.
    ///
    /// # Panics
    /// Where a request is not answered.
    #[must_use]
    pub fn answers_over(&self, connections: usize, requests: &Curl, lab: &Lab) -> usize {
        let (before, count) = (self.answered().len(), connections * requests.count());
        (0..connections).for_each(|_| requests.run(lab, 1));
        self.await_answered(before + count);
        lab.settle();
        count
    }

    fn errors(&self) -> String {
        fs::read_to_string(self.folder.path().join("nginx.err")).unwrap_or_default()
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        terminate(&mut self.nginx);
    }
}

/// Counts answered requests per method, target and status.
#[must_use]
pub fn counts(answered: &[Answered]) -> Counts {
    let mut counts = Counts::new();
    for entry in answered {
        *counts.entry((entry.method.clone(), entry.target.clone(), entry.status)).or_default() += 1;
    }
    counts
}

/// What every request of curl is given: no body kept, no progress shown, brackets taken as they are, an end in any case.
const CURL_OPTIONS: &str = "output = /dev/null\nsilent\nglobboff\nmax-time = 60";

/// Requests for one run of curl, over connections that are kept alive.
#[derive(Debug, Default)]
pub struct Curl {
    config: String,
    count: usize,
}

impl Curl {
    /// Adds a request for `target`, with curl options as its configuration file writes them (`head`, `data = "x=1"`).
    #[must_use]
    pub fn request(mut self, host: &str, target: &str, options: &[&str]) -> Self {
        if self.count > 0 {
            self.config.push_str("next\n");
        }
        self.count += 1;
        let id = self.count;
        let written = writeln!(
            self.config,
            "url = \"http://{host}{target}\"\nheader = \"X-Request-Id: c{id}\"\n{CURL_OPTIONS}"
        );
        written.expect("a string takes what is written");
        for option in options {
            self.config.push_str(option);
            self.config.push('\n');
        }
        self
    }

    /// Number of requests added.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Sends all requests, `parallel` at a time, and waits for the last answer.
    ///
    /// # Panics
    /// Where a request is not answered.
    pub fn run(&self, lab: &Lab, parallel: usize) {
        let config = tempfile::NamedTempFile::new().expect("the temporary folder is writable");
        fs::write(config.path(), &self.config).expect("the file was just made");
        let mut curl = lab.on(Host::Client, "curl");
        curl.args(["--parallel", "--parallel-max", &parallel.to_string(), "--config"]);
        run(curl.arg(config.path()));
    }
}

/// wrk under way, with the mix of requests of `scripts/web/load.lua`.
pub struct Load {
    wrk: Child,
}

impl Load {
    /// Starts a load that goes on until it is dropped.
    ///
    /// # Panics
    /// Where wrk is missing.
    #[must_use]
    pub fn start(lab: &Lab, connections: usize) -> Self {
        // What is tested goes before what keeps it busy, however slow its build is.
        let wrk = lab
            .on(Host::Client, "nice")
            .args(["-n", "19", "wrk", "-t", "1", "-d", "600s", "-c", &connections.to_string(), "-s"])
            .arg(tree::script("web/load.lua"))
            .arg(format!("http://{SERVER_IPV4}/"))
            .stdout(Stdio::null())
            .spawn()
            .expect("wrk runs; scripts/setup lab installs it");
        Self { wrk }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        terminate(&mut self.wrk);
    }
}

/// tcpdump on the switch's end of the mirror cable, where frames pass before any XDP program sees them.
pub struct Recording {
    tcpdump: Child,
    frames_before: u64,
}

impl Recording {
    /// Starts recording to `file`, and returns when frames are being taken.
    ///
    /// # Panics
    /// Where tcpdump is missing.
    #[must_use]
    pub fn start(lab: &Lab, file: &Path) -> Self {
        let log = file.with_extension("log");
        let stderr = fs::File::create(&log).expect("the capture's folder is writable");
        let tcpdump = lab
            .on(Host::Switch, "tcpdump")
            .args(["-i", "span", "-Q", "out", "-B", "65536", "-U", "-Z", "root", "--immediate-mode", "-w"])
            .arg(file)
            .stderr(stderr)
            .spawn()
            .expect("tcpdump runs; scripts/setup test installs it");
        wait::until("tcpdump listens", || {
            fs::read_to_string(&log).is_ok_and(|text| text.contains("listening on")).then_some(())
        });
        Self { tcpdump, frames_before: lab.mirrored_frames() }
    }

    /// Ends the recording when `file` holds every frame that the mirror delivered since it began.
    ///
    /// # Panics
    /// Where tcpdump ends with a failure.
    pub fn stop(mut self, lab: &Lab, file: &Path) {
        let frames = lab.mirrored_frames() - self.frames_before;
        wait::until("tcpdump has written every frame", || (frames_in(file) >= frames).then_some(()));
        signal(&self.tcpdump, "INT");
        let status = self.tcpdump.wait().expect("the child is ours");
        assert!(status.success(), "tcpdump ended with {status}");
    }
}

/// Whole frames in a classic pcap file of this machine's byte order.
fn frames_in(file: &Path) -> u64 {
    const FILE_HEADER_BYTES: usize = 24;
    const FRAME_HEADER_BYTES: usize = 16;
    let bytes = fs::read(file).unwrap_or_default();
    let mut rest = bytes.get(FILE_HEADER_BYTES..).unwrap_or_default();
    let mut frames = 0;
    while let Some((header, behind)) = rest.split_first_chunk::<FRAME_HEADER_BYTES>() {
        let captured = u32::from_ne_bytes([header[8], header[9], header[10], header[11]]);
        let Some(next) = behind.get(captured as usize..) else { break };
        frames += 1;
        rest = next;
    }
    frames
}

impl Drop for Recording {
    fn drop(&mut self) {
        terminate(&mut self.tcpdump);
    }
}

/// Sends a signal by name (`INT`, `TERM`) to a child that has not been waited for.
pub fn signal(child: &Child, name: &str) {
    run(Command::new("kill").args(["-s", name, &child.id().to_string()]));
}

fn terminate(child: &mut Child) {
    if matches!(child.try_wait(), Ok(None)) {
        signal(child, "TERM");
        child.wait().expect("the child is ours");
    }
}
