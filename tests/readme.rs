//! What the README tells a stranger to do works.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use capture::{control::stats::counter_names, ledger::EncoderCounter};
use harness::{
    daemon::{binary, replay, run_to_end},
    pcap,
    query::{Dataset, duckdb},
    tree,
};

fn readme() -> String {
    fs::read_to_string(tree::root().join("README.md")).unwrap()
}

/// Text between a line of three backticks and `language`, and the next line of three backticks.
fn blocks<'a>(text: &'a str, language: &'a str) -> impl Iterator<Item = &'a str> {
    let opening = format!("```{language}\n");
    text.match_indices(&opening)
        .map(|(at, opening)| text[at + opening.len()..].split("```").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .into_iter()
}

#[test]
fn queries_run() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("data");
    let balance = replay(&[&pcap::one_transaction(folder.path())], &out, &[]).balance();
    balance.assert_closed();
    balance.assert_in_files(Dataset(&out));
    let text = readme();
    let queries: Vec<&str> = blocks(&text, "sql").collect();
    assert!(queries.len() > 3, "the README shows how to query");
    for query in queries {
        drop(Dataset(&out).query(query.trim().trim_end_matches(';')));
    }
}

#[test]
fn options_are_those_of_the_help() {
    let help = run_to_end(Command::new(binary()).arg("--help")).stdout;
    let text = readme();
    let listed = text.split("\n## Options").nth(1).unwrap().split("\n## ").next().unwrap();
    let known = options(help.split("\nExamples:").next().unwrap());
    assert!(known.len() > 15, "the help lists options");
    assert_eq!(options(listed), known, "the README's options are not those of the help");
}

#[test]
fn options_of_viewers_are_described() {
    let text = readme();
    let section = text.split("\n## Watching live").nth(1).unwrap().split("\n## ").next().unwrap();
    for viewer in ["top", "tail"] {
        let help = run_to_end(Command::new(binary()).args([viewer, "--help"])).stdout;
        let known = options(&help);
        assert!(known.len() > 5, "{known:?}");
        let missing: Vec<&str> =
            known.into_iter().filter(|name| !section.contains(&format!("--{name}"))).collect();
        assert!(missing.is_empty(), "the README says nothing of these options of {viewer}: {missing:?}");
    }
}

#[test]
fn every_counter_is_described() {
    let text = readme();
    let encoders = EncoderCounter::ALL.iter().map(|counter| counter.name());
    let missing: Vec<&str> = counter_names()
        .into_iter()
        .chain(encoders)
        .filter(|name| !text.contains(&format!("`{name}`")))
        .collect();
    assert!(missing.is_empty(), "the README says nothing of the counters {missing:?}");
}

/// Names behind two dashes, without them; but for those of every program.
fn options(text: &str) -> BTreeSet<&str> {
    let behind = text.split(" --").skip(1).chain(text.split("`--").skip(1));
    let names = behind.map(|text| text.split(|c: char| c != '-' && !c.is_ascii_lowercase()).next().unwrap());
    names.filter(|name| !["", "help", "version"].contains(name)).collect()
}

#[test]
fn columns_are_those_of_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("data");
    replay(&[&pcap::one_transaction(folder.path())], &out, &[]).balance().assert_closed();
    let described = columns_described(&readme());
    let mut written = columns_written(&out);
    written.sort();
    assert_eq!(described, written, "the README's table is not the schema of the files");
}

/// Names in the first cells of the table that the section on the table `http` holds, sorted.
fn columns_described(text: &str) -> Vec<String> {
    let section = text.split("## Table `http`").nth(1).unwrap().split("\n## ").next().unwrap();
    let cells =
        section.lines().filter(|line| line.starts_with("| `")).filter_map(|line| line.split('|').nth(1));
    let mut names: Vec<String> =
        cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect();
    names.sort();
    names
}

fn columns_written(out: &Path) -> Vec<String> {
    let rows = duckdb(&format!("SELECT column_name FROM (DESCRIBE FROM {})", Dataset(out).files()));
    rows.iter().map(|row| row["column_name"].as_str().unwrap().to_owned()).collect()
}
