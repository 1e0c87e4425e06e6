//! `tests/UNSAFE.md`, the list of all unsafe code, is complete, and the tests it names exist.

use std::fs;

use harness::tree;

use crate::tidy::UNSAFE_FILES;

/// Words in backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn every_unsafe_file_has_its_reason_and_a_test() {
    let list = fs::read_to_string(tree::root().join("tests/UNSAFE.md")).unwrap();
    let rows: Vec<Vec<&str>> = list
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.split('|').map(str::trim).collect())
        .collect();
    let listed: Vec<&str> = rows.iter().flat_map(|row| quoted(row[1])).collect();
    assert_eq!(listed, UNSAFE_FILES, "tests/UNSAFE.md lists the files that tests/tidy.rs does, in its order");
    let sources: Vec<String> =
        tree::files(&tree::root(), ".rs").iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let exists = |name: &str| sources.iter().any(|text| text.contains(&format!("fn {name}(")));
    for row in &rows {
        assert!(row[2].len() > 10, "no reason for {}", row[1]);
        assert!(row[3] == "every build" || quoted(row[3]).count() > 0, "no test for {}", row[1]);
        assert!(["", "A", "T", "A T"].contains(&row[4]), "{} is unknown", row[4]);
    }
    let shared = list.split("What threads share").nth(1).unwrap();
    for test in rows.iter().flat_map(|row| quoted(row[3])).chain(quoted(shared)) {
        assert!(test == "unsafe" || exists(test), "there is no test {test}");
    }
}
