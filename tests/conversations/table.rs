//! Runs a table of named conversations and compares each one's rows with what it says.

use bench::workload::TimedFrame;

use super::talk::{Step, frames, rows_of, told};

/// Name, steps, and the rows in one line each.
pub(super) type Line<'a> = (&'a str, &'a [Step<'a>], &'a [&'a str]);

/// Their frames, one conversation after the other, each from a port of its own.
pub(super) fn frames_of(first_port: u16, table: &[Line<'_>]) -> Vec<TimedFrame> {
    frames(first_port, table.iter().map(|(_, steps, _)| *steps))
}

/// Fails with every conversation whose rows are not exactly those it names.
pub(super) fn assert_told(first_port: u16, table: &[Line<'_>]) {
    let mut rows = rows_of(frames_of(first_port, table));
    let mut wrong = Vec::new();
    for (port, (name, _, expected)) in (first_port..).zip(table) {
        let seen: Vec<String> = rows.remove(&port).unwrap_or_default().iter().map(told).collect();
        if seen != *expected {
            wrong.push(format!(
                "{name}:\n    {}\n  not\n    {}",
                seen.join("\n    "),
                expected.join("\n    ")
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), table.len(), wrong.join("\n"));
    assert!(rows.is_empty(), "rows of no conversation: {rows:?}");
}
