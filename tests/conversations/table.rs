//! Runs a table of named conversations and compares each one's rows with what it says.

use super::talk::{Step, frames, rows_of, told};

/// Name, steps, and the rows in one line each.
pub(super) type Line<'a> = (&'a str, &'a [Step<'a>], &'a [&'a str]);

/// Fails with every conversation whose rows are not exactly those it names.
pub(super) fn assert_told(table: &[Line<'_>]) {
    let mut rows = rows_of(frames(table.iter().map(|(_, steps, _)| *steps)));
    let mut wrong = Vec::new();
    for (number, (name, _, expected)) in table.iter().enumerate() {
        let seen: Vec<String> = rows.remove(&number).unwrap_or_default().iter().map(told).collect();
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
