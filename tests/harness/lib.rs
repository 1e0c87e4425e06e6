//! What the integration tests stand on: the lab, its web server and clients, the daemon, and the engines that read its files.
//!
//! A test that lacks a tool, a privilege or the binary fails and says what to do; it never passes by doing nothing.
//! Invariant: whatever a helper starts or makes is gone when its value is dropped.

pub mod cable;
pub mod corpus;
pub mod daemon;
pub mod lab;
pub mod pcap;
pub mod query;
pub mod tree;
pub mod wait;
pub mod watch;
pub mod web;

use std::{
    io::Write as _,
    process::{Command, Output},
};

/// Says something that shows whether or not the test runner keeps output: what was left out, what was measured.
pub fn say(text: &str) {
    writeln!(std::io::stderr(), "\n    {text}").unwrap_or_default();
}

/// Fails the test where it does not run as root.
///
/// # Panics
/// Without root: BPF programs, network namespaces and a change of user need it.
pub fn needs_root() {
    assert!(
        rustix::process::geteuid().is_root(),
        "this test loads BPF programs, makes network namespaces or becomes another user: run scripts/test as root"
    );
}

/// Runs `command` to its end and returns its output, panicking with what it said where it fails.
///
/// # Panics
/// Where the program is missing, or ends with anything but success.
pub fn run(command: &mut Command) -> Output {
    let output = output(command);
    assert!(output.status.success(), "{command:?} ended with {}:\n{}", output.status, said(&output));
    output
}

/// Runs `command` to its end, whatever it is.
///
/// # Panics
/// Where the program is missing.
pub fn output(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| {
        panic!("{} cannot be run ({error}); scripts/setup test installs it", command.get_program().display())
    })
}

/// Standard output and error of a finished program, for a message.
pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
