//! Watching a capture: one with a control socket of its own, `hdrcap tail` under way, a terminal with a program in it.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::{fs::PermissionsExt as _, net::UnixStream},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
};

use serde_json::Value;
use tempfile::{NamedTempFile, TempDir};

use crate::{
    daemon::{Balance, Capture, binary},
    lab::{Host, Lab, SERVER_IPV4},
    run, wait,
    web::{Curl, signal},
};

/// A capture with a control socket in a folder of its own.
pub struct Watched {
    capture: Option<Capture>,
    /// Holds dataset and socket; other users get as far as into it.
    pub folder: TempDir,
    /// The dataset.
    pub out: PathBuf,
    /// The socket.
    pub control: PathBuf,
}

impl Watched {
    /// Starts a capture, logging everything.
    ///
    /// # Panics
    /// Where it does not start.
    #[must_use]
    pub fn start(lab: &Lab, options: &[&str]) -> Watched {
        let folder = tempfile::tempdir().expect("the temporary folder is writable");
        let all = fs::Permissions::from_mode(0o1777);
        fs::set_permissions(folder.path(), all).expect("the folder is ours");
        let (out, control) = (folder.path().join("data"), folder.path().join("control.sock"));
        let mut command = lab.on(Host::Sensor, binary());
        command.env("HDRCAP_LOG", "trace").arg("--control").arg(&control);
        let capture = Capture::start_by(command, lab, &out, options);
        Watched { capture: Some(capture), folder, out, control }
    }

    /// A command that watches this capture.
    #[must_use]
    pub fn hdrcap(&self, command: &str, options: &[&str]) -> Command {
        let mut hdrcap = Command::new(binary());
        hdrcap.arg(command).arg("--control").arg(&self.control).args(options);
        hdrcap
    }

    /// A counter as viewers are told it.
    ///
    /// # Panics
    /// Where the capture does not answer, or has no such counter.
    #[must_use]
    pub fn count(&self, name: &str) -> u64 {
        let mut stream = UnixStream::connect(&self.control).expect("the capture listens");
        stream.write_all(b"{\"v\":1,\"ask\":\"status\"}\n").expect("the capture listens");
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).expect("an answer is a line");
        let answer: Value = serde_json::from_str(&line).expect("an answer is JSON");
        answer["status"]["counters"][name]
            .as_u64()
            .unwrap_or_else(|| panic!("no count of {name}: {answer:#}"))
    }

    /// What the capture has logged so far.
    ///
    /// # Panics
    /// Where it was stopped.
    #[must_use]
    pub fn log(&self) -> String {
        self.capture.as_ref().expect("it runs").stderr()
    }

    /// Ends the capture.
    ///
    /// # Panics
    /// Where it was stopped before, or does not end well.
    #[must_use]
    pub fn stop(&mut self) -> Balance {
        self.capture.take().expect("it runs").stop("INT").balance()
    }
}

/// `hdrcap tail` under way.
pub struct Tail {
    child: Child,
    shown: NamedTempFile,
    said: NamedTempFile,
}

impl Tail {
    /// Starts a tail, and returns when the capture shows it rows: the first of them are of requests made for that.
    ///
    /// # Panics
    /// Where it shows none.
    #[must_use]
    pub fn start(lab: &Lab, watched: &Watched, options: &[&str]) -> Tail {
        let file = || NamedTempFile::new().expect("the temporary folder is writable");
        let (shown, said) = (file(), file());
        let again = |file: &NamedTempFile| file.reopen().expect("the file was just made");
        let mut command = watched.hdrcap("tail", options);
        command.stdin(Stdio::null()).stdout(again(&shown)).stderr(again(&said));
        let tail = Tail { child: command.spawn().expect("the program was just built"), shown, said };
        wait::until("the tail shows rows", || {
            Curl::default().request(SERVER_IPV4, "/first", &[]).run(lab, 1);
            tail.text().contains("/first").then_some(())
        });
        tail
    }

    /// What it has shown so far.
    ///
    /// # Panics
    /// Where that is not UTF-8.
    #[must_use]
    pub fn text(&self) -> String {
        fs::read_to_string(self.shown.path()).expect("a tail shows UTF-8")
    }

    /// What it has said beside its rows.
    ///
    /// # Panics
    /// Where that is not UTF-8.
    #[must_use]
    pub fn said(&self) -> String {
        fs::read_to_string(self.said.path()).expect("a tail says UTF-8")
    }

    /// Waits until it ends by itself, as it does with the capture.
    ///
    /// # Panics
    /// Where it does not.
    pub fn wait(&mut self) -> ExitStatus {
        wait::until("the tail ends", || self.child.try_wait().expect("the child is ours"))
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            signal(&self.child, "TERM");
            self.child.wait().expect("the child is ours");
        }
    }
}

/// A terminal of tmux, 80 by 24, with a program in it.
pub struct Screen {
    socket: String,
}

impl Screen {
    /// Runs a command line in a terminal of this name.
    #[must_use]
    pub fn start(name: &str, line: &str) -> Screen {
        let screen = Screen { socket: format!("hdrcap-t{}-{name}", std::process::id()) };
        // The shell says when the program is over, and with which code.
        let line = format!("{line}; echo over: $?; stty -a | grep -o ' -\\?echo '; exec cat");
        screen.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", &line]);
        screen
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let output = run(Command::new("tmux").args(["-L", &self.socket]).args(arguments));
        String::from_utf8(output.stdout).expect("a screen is UTF-8")
    }

    /// Presses keys, or one by its name.
    pub fn keys(&self, keys: &str) {
        self.tmux(&["send-keys", keys]);
    }

    /// What is on the screen.
    #[must_use]
    pub fn text(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// Waits until all of it is there at once: a screen may be looked at while it is being drawn.
    pub fn wait_for(&self, parts: &[&str]) -> String {
        wait::until_else(
            &format!("{parts:?} on the screen"),
            || self.text(),
            || {
                let text = self.text();
                parts.iter().all(|part| text.contains(part)).then_some(text)
            },
        )
    }

    /// Process ids of what the shell in the terminal has started and not seen the end of.
    ///
    /// # Panics
    /// Where the terminal is gone.
    #[must_use]
    pub fn started(&self) -> Vec<String> {
        let shell = self.tmux(&["display-message", "-p", "#{pane_pid}"]);
        let shell = shell.trim();
        let children = fs::read_to_string(format!("/proc/{shell}/task/{shell}/children"));
        children.expect("the shell is there").split_whitespace().map(str::to_owned).collect()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        drop(Command::new("tmux").args(["-L", &self.socket, "kill-server"]).output());
    }
}
