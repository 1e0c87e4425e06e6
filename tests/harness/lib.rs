//! What the integration tests stand on: the lab, its web server and clients, the daemon, and the engines that read its files.
//!
//! A test that lacks a tool, a privilege or the binary fails and says what to do; it never passes by doing nothing.
//! Invariant: whatever a helper starts or makes is gone when its value is dropped.

pub mod daemon;
pub mod lab;
pub mod pcap;
pub mod query;
pub mod tree;
pub mod wait;
pub mod web;

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::{Command, Output},
};

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

/// Says something that shows whatever the test runner does with the output of tests: what was left out, and why.
///
/// # Panics
/// Where standard error is closed.
pub fn say(text: &str) {
    writeln!(io::stderr(), "\n    {text}").expect("standard error can be written");
}

/// The folder of public captures beside this tree; where there is none, says which `test` is left out.
#[must_use]
pub fn corpus(test: &str) -> Option<PathBuf> {
    let folder = tree::root().join("../shared/corpus");
    if folder.is_dir() {
        return Some(folder);
    }
    say(&format!("left out, no public captures beside this tree: {test}"));
    None
}
