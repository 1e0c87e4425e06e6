//! The manifest lists what is published, binds its lines to each other, and tells every change from outside.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::support::{NOON_NS, plain_batch, published, row_count, writer};
use storage::{
    dataset::recover,
    manifest::{Entry, Manifest, Problem, VerifyReport, verify},
};

const HOUR_NS: i64 = 3_600_000_000_000;

/// A dataset with four published files of two hours.
fn dataset() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut writer = writer(dir.path());
    for number in 0..4 {
        let start = NOON_NS + number % 2 * HOUR_NS;
        writer.write(plain_batch(50, start), NOON_NS).expect("written");
        writer.tick(NOON_NS + HOUR_NS);
    }
    writer.close();
    assert_eq!(published(dir.path()).len(), 4);
    dir
}

fn manifest_path(dir: &Path) -> PathBuf {
    dir.join(".manifest/sensor-a.jsonl")
}

fn lines(dir: &Path) -> Vec<String> {
    fs::read_to_string(manifest_path(dir)).expect("a manifest").lines().map(str::to_owned).collect()
}

fn set_lines(dir: &Path, lines: &[String]) {
    fs::write(manifest_path(dir), lines.join("\n") + "\n").expect("writable");
}

fn check(dir: &Path) -> VerifyReport {
    verify(dir, &[]).expect("readable")
}

#[test]
fn every_published_file_has_a_line_that_says_what_is_in_it() {
    let dir = dataset();
    let report = check(dir.path());
    assert_eq!(report.problems, []);
    assert_eq!((report.sensors[0].files, report.sensors[0].lines, report.sensors[0].rows), (4, 4, 200));
    let line: serde_json::Value = serde_json::from_str(&lines(dir.path())[1]).expect("a line is JSON");
    assert_eq!((line["kind"].as_str(), line["rows"].as_u64()), (Some("add"), Some(50)));
    assert_eq!(line["ts_min_ns"].as_i64(), Some(NOON_NS + HOUR_NS));
    assert!(line["ts_max_ns"].as_i64() > line["ts_min_ns"].as_i64());
    assert!(line["host_min"].as_str() <= line["host_max"].as_str() && line["host_min"].is_string(), "{line}");
    assert_eq!(line["ledger"]["rows"].as_u64(), Some(50));
    let path = dir.path().join(line["file"].as_str().expect("a name"));
    assert_eq!(Some(fs::metadata(&path).expect("published").len()), line["bytes"].as_u64());
    let mut sha256sum = std::process::Command::new("sha256sum");
    let printed = sha256sum.arg(&path).output().expect("sha256sum is installed").stdout;
    let hash = line["sha256"].as_str().expect("a hash");
    assert!(printed.starts_with(hash.as_bytes()), "the hash made while writing is that of the file");
}

#[test]
fn a_dataset_without_files_is_as_its_manifest_says() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    assert_eq!(check(dir.path()), VerifyReport::default());
    writer(dir.path()).close();
    assert_eq!(check(dir.path()).problems, []);
}

#[test]
fn every_changed_byte_of_a_line_is_found() {
    let dir = dataset();
    let whole = fs::read(manifest_path(dir.path())).expect("a manifest");
    let head = check(dir.path()).sensors[0].head.clone();
    let expected = [head];
    for at in (0..whole.len()).step_by(7) {
        let mut changed = whole.clone();
        changed[at] ^= 0x01;
        fs::write(manifest_path(dir.path()), changed).expect("writable");
        let report = verify(dir.path(), &expected).expect("readable");
        assert!(!report.problems.is_empty(), "byte {at} of the manifest");
    }
}

#[test]
fn lines_removed_swapped_and_put_in_are_found() {
    let dir = dataset();
    let good = lines(dir.path());
    let is_chain = |problem: &Problem| matches!(problem, Problem::Chain { .. });
    for at in 0..3 {
        let mut fewer = good.clone();
        fewer.remove(at);
        set_lines(dir.path(), &fewer);
        let problems = check(dir.path()).problems;
        assert!(problems.iter().any(is_chain), "line {at} removed: {problems:?}");
        assert!(problems.iter().any(|problem| matches!(problem, Problem::Unlisted(_))), "{problems:?}");
    }
    for (a, b) in [(0, 1), (1, 3)] {
        let mut swapped = good.clone();
        swapped.swap(a, b);
        set_lines(dir.path(), &swapped);
        assert!(check(dir.path()).problems.iter().any(is_chain), "lines {a} and {b} swapped");
    }
    let mut more = good.clone();
    more.insert(2, good[1].clone());
    set_lines(dir.path(), &more);
    assert!(check(dir.path()).problems.iter().any(is_chain), "a line put in");
    // The last line gone together with its file leaves a chain that holds: only a hash noted elsewhere tells.
    set_lines(dir.path(), &good);
    let head = check(dir.path()).sensors[0].head.clone();
    let last: serde_json::Value = serde_json::from_str(&good[3]).expect("JSON");
    fs::remove_file(dir.path().join(last["file"].as_str().expect("a name"))).expect("removed");
    set_lines(dir.path(), &good[..3]);
    assert_eq!(check(dir.path()).problems, []);
    let noted = verify(dir.path(), std::slice::from_ref(&head)).expect("readable").problems;
    assert_eq!(noted, [Problem::HeadGone(head)]);
}

#[test]
fn changed_swapped_missing_and_foreign_files_are_found() {
    let dir = dataset();
    let files = published(dir.path());
    let bytes: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).expect("readable")).collect();
    for at in [4, bytes[0].len() / 2, bytes[0].len() - 9] {
        let mut changed = bytes[0].clone();
        changed[at] ^= 0x80;
        fs::write(&files[0], changed).expect("writable");
        let problems = check(dir.path()).problems;
        assert!(matches!(problems[..], [Problem::Changed(..)]), "byte {at}: {problems:?}");
    }
    fs::write(&files[0], &bytes[0][..bytes[0].len() - 1]).expect("writable");
    assert!(matches!(check(dir.path()).problems[..], [Problem::Changed(..)]), "cut");
    fs::write(&files[0], &bytes[2]).expect("writable");
    fs::write(&files[2], &bytes[0]).expect("writable");
    assert!(
        matches!(check(dir.path()).problems[..], [Problem::Changed(..), Problem::Changed(..)]),
        "swapped"
    );
    fs::write(&files[0], &bytes[0]).expect("writable");
    fs::write(&files[2], &bytes[2]).expect("writable");
    let foreign = files[0].with_file_name("copy.parquet");
    fs::copy(&files[0], &foreign).expect("writable");
    fs::remove_file(&files[1]).expect("removed");
    let problems = check(dir.path()).problems;
    assert!(matches!(problems[..], [Problem::Missing(_), Problem::Unlisted(_)]), "{problems:?}");
    let report = recover(dir.path()).expect("recovered");
    assert_eq!(
        (report.manifest.missing.len(), report.manifest.listed.len()),
        (1, 0),
        "no foreign file is listed"
    );
    assert!(foreign.exists());
}

#[test]
fn a_line_that_a_crash_lost_or_cut_is_written_at_the_next_start() {
    let dir = dataset();
    let whole = fs::read_to_string(manifest_path(dir.path())).expect("a manifest");
    let last = whole.trim_end().rfind('\n').expect("four lines") + 1;
    for cut in [last, last + 1, (last + whole.len()) / 2, whole.len() - 1] {
        fs::write(manifest_path(dir.path()), &whole[..cut]).expect("writable");
        let report = recover(dir.path()).expect("recovered");
        assert_eq!(report.manifest.listed.len(), 1, "cut at {cut}");
        assert_eq!(check(dir.path()).problems, [], "cut at {cut}");
        assert_eq!(fs::read_to_string(manifest_path(dir.path())).expect("a manifest"), whole, "cut at {cut}");
        assert_eq!(recover(dir.path()).expect("again"), storage::dataset::RecoverReport::default());
    }
    fs::remove_dir_all(dir.path().join(".manifest")).expect("removed");
    assert_eq!(recover(dir.path()).expect("recovered").manifest.listed.len(), 4);
    assert_eq!(check(dir.path()).problems, []);
}

#[test]
fn one_file_takes_the_place_of_others() {
    let dir = dataset();
    let read = |line: &String| serde_json::from_str::<serde_json::Value>(line).expect("JSON");
    let name = |line: &String| read(line)["file"].as_str().expect("a name").to_owned();
    let good = lines(dir.path());
    let Entry::Add(mut new) = serde_json::from_value(read(&good[0])).expect("an entry") else {
        panic!("the first line is no add");
    };
    let old = vec![name(&good[0]), name(&good[2])];
    new.file = old[0].replace(".parquet", "00000.parquet");
    let manifest = Manifest::new(dir.path(), "sensor-a");
    let target = dir.path().join(&new.file);
    let replace = || {
        fs::rename(dir.path().join(&old[0]), &target)?;
        Ok(((), Entry::Replace { old: old.clone(), new: new.clone() }))
    };
    manifest.change(replace).expect("replaced");
    assert_eq!(check(dir.path()).problems, [Problem::Replaced(old[1].clone())]);
    // The process died before it removed what it had replaced.
    let report = recover(dir.path()).expect("recovered");
    assert_eq!(report.manifest.removed, [old[1].clone()]);
    assert_eq!(check(dir.path()).problems, []);
    assert_eq!(published(dir.path()).len(), 3);
}

#[test]
fn several_processes_append_to_one_chain() {
    let dir = dataset();
    let mut first = writer(dir.path());
    first.write(plain_batch(10, NOON_NS), NOON_NS).expect("written");
    let other = Manifest::new(dir.path(), "sensor-a");
    let files: Vec<String> = lines(dir.path())
        .iter()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).expect("JSON")["file"].as_str().map(str::to_owned)
        })
        .collect::<Option<_>>()
        .expect("names");
    for file in files {
        let at_ns = NOON_NS;
        let reason = storage::manifest::RemoveReason::Age;
        other
            .change(|| {
                fs::remove_file(dir.path().join(&file))?;
                Ok(((), Entry::Remove { file: file.clone(), reason, at_ns }))
            })
            .expect("removed");
        first.write(plain_batch(10, NOON_NS), NOON_NS).expect("written");
        first.tick(NOON_NS + HOUR_NS);
    }
    first.close();
    let report = check(dir.path());
    assert_eq!((report.problems.as_slice(), report.sensors[0].lines), (&[][..], 12));
    assert_eq!(report.sensors[0].rows, row_count(dir.path()) as u64);
}
