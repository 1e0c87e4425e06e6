//! Helpers shared by the integration tests.

use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Says something that shows whether or not the test runner captures output: what was left out, and why.
pub fn say(text: &str) {
    writeln!(std::io::stderr(), "\n    {text}").expect("standard error can be written");
}

/// Whether the test runs as root; where not, says which test is left out.
pub fn is_root(test: &str) -> bool {
    // SAFETY: geteuid has no preconditions.
    let root = unsafe { libc::geteuid() } == 0;
    if !root {
        say(&format!("left out, needs root: {test}"));
    }
    root
}

/// The public captures beside the repository; where there are none, says which test is left out.
pub fn corpus(test: &str) -> Option<Vec<PathBuf>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus/pcap");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        say(&format!("left out, no corpus at {}: {test}", folder.display()));
        return None;
    };
    let mut files: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    files.sort();
    Some(files)
}
