//! Small files become large ones: every row once, sorted, with all that made queries quick, whatever comes in between.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::AtomicBool,
    time::Duration,
};

use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use storage::{
    compact::{CompactError, CompactSettings, Compactor, Merged},
    dataset::{RecoverReport, Writer, WriterSettings, recover},
    manifest::{Entry, Manifest, REPLACES_KEY, verify},
    retention::{Keep, Keeper},
    schema::{StatsRow, StatsSchema},
};

use crate::support::{NOON_NS, duckdb, files, plain_batch, published, row_count};

const HOUR_NS: i64 = 3_600_000_000_000;
const SECOND_NS: i64 = 1_000_000_000;
/// The hours of the tests are over by then.
const LATER_NS: i64 = NOON_NS + 9 * HOUR_NS;

/// A dataset with so many files of 40 rows, half of them of the hour before noon and half of the one after.
fn dataset(file_count: i64) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut writer = writer(dir.path());
    for number in 0..file_count {
        let start = NOON_NS + number % 2 * HOUR_NS + number * SECOND_NS;
        writer.write(plain_batch(40, start), start).expect("written");
        writer.tick(start + HOUR_NS);
    }
    writer.close();
    dir
}

fn writer(dir: &Path) -> Writer {
    let mut settings = WriterSettings::new(dir, "sensor-a");
    settings.stats = Some(StatsSchema::new(&["frames"], &["idle_share"]));
    settings.redaction_policy = "shop".to_owned();
    Writer::open(settings).expect("a writable folder")
}

fn open(dir: &Path) -> Compactor {
    let settings = CompactSettings::default();
    Compactor::open(dir, "sensor-a", settings).expect("a dataset").expect("no other compaction is at work")
}

/// Merges everything there is to merge.
fn compact(dir: &Path) -> Vec<Merged> {
    let mut compactor = open(dir);
    compactor.plan(LATER_NS).expect("a manifest");
    let mut merged = Vec::new();
    while let Some(one) = compactor.step(LATER_NS, &AtomicBool::new(false)).expect("nothing is in the way") {
        merged.push(one);
    }
    merged
}

fn footer(path: &Path) -> ParquetMetaData {
    let mut reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Required);
    reader.try_parse(&File::open(path).expect("readable")).expect("a Parquet file");
    reader.finish().expect("parsed")
}

fn said(metadata: &ParquetMetaData) -> BTreeMap<String, String> {
    let pairs = metadata.file_metadata().key_value_metadata().expect("metadata").iter();
    pairs.map(|pair| (pair.key.clone(), pair.value.clone().unwrap_or_default())).collect()
}

/// Every row as text, in the order of its hash.
fn rows(dir: &Path) -> String {
    duckdb(&format!(
        "import duckdb\nfor row in duckdb.sql(\"SELECT hash(t)::VARCHAR || ' ' || ts_ns FROM \
         read_parquet('{}/http/**/*.parquet') AS t ORDER BY 1\").fetchall(): print(row[0])",
        dir.display()
    ))
}

fn assert_verified(dir: &Path) {
    assert_eq!(verify(dir, &[]).expect("readable").problems, []);
}

#[test]
fn the_small_files_of_an_hour_become_one_with_the_same_rows() {
    let dir = dataset(10);
    let before = rows(dir.path());
    let old: Vec<PathBuf> = published(dir.path());
    let metadata_before = said(&footer(&old[0]));
    let merged = compact(dir.path());
    assert_eq!(
        merged.iter().map(|one| (one.files_before, one.rows)).collect::<Vec<_>>(),
        [(5, 200), (5, 200)]
    );
    assert!(merged.iter().all(|one| one.bytes < one.bytes_before), "{merged:?}");
    assert!(old.iter().all(|path| !path.exists()));
    assert!(rows(dir.path()) == before, "every row is there, as it was");
    assert_verified(dir.path());
    let left = files(&dir.path().join(".staging"), "");
    assert!(left.iter().all(|path| path.to_string_lossy().ends_with("lock")), "{left:?}");

    let path = dir.path().join(&merged[0].file);
    let metadata = footer(&path);
    let now = said(&metadata);
    let replaced: Vec<String> = serde_json::from_str(&now[REPLACES_KEY]).expect("a list");
    assert_eq!(replaced.len(), 5);
    for key in ["schema_version", "table", "sensor", "redaction_policy", "hdrcap_version"] {
        assert_eq!(now[key], metadata_before[key], "{key}");
    }
    let ledger: serde_json::Value = serde_json::from_str(&now["ledger"]).expect("JSON");
    assert_eq!((ledger["rows"].as_u64(), ledger["row_groups"].as_u64()), (Some(200), Some(1)));
    assert_eq!(ledger["ts_min_ns"].as_i64(), Some(NOON_NS));
    assert_eq!(compact(dir.path()), [], "nothing is left to do");
    assert_eq!(recover(dir.path()).expect("recovered"), RecoverReport::default());
}

#[test]
fn what_made_queries_quick_is_kept_and_rows_are_sorted() {
    let dir = dataset(8);
    let merged = compact(dir.path());
    let metadata = footer(&dir.path().join(&merged[0].file));
    let group = metadata.row_group(0);
    let column = |name: &str| {
        group.columns().iter().find(|column| column.column_path().string() == name).expect("a column")
    };
    for name in ["flow_id", "client_ip", "x_request_id", "trace_id"] {
        assert!(column(name).bloom_filter_offset().is_some(), "{name}");
    }
    assert!(group.columns().iter().all(|column| column.statistics().is_some()), "statistics everywhere");
    assert!(group.columns().iter().all(|column| column.offset_index_offset().is_some()), "and page indexes");
    let sorting = group.sorting_columns().expect("the rows are sorted");
    let names: Vec<String> = sorting
        .iter()
        .map(|by| group.column(usize::try_from(by.column_idx).expect("a place")).column_path().string())
        .collect();
    assert_eq!(names, ["host", "ts_ns"]);
    let times = duckdb(&format!(
        "import duckdb\nfor row in duckdb.sql(\"SELECT ts_ns FROM '{}'\").fetchall(): print(row[0])",
        dir.path().join(&merged[0].file).display()
    ));
    let times: Vec<i64> = times.lines().map(|line| line.parse().expect("a time")).collect();
    assert!(times.len() == 160 && times.is_sorted(), "one host, by time");
}

#[test]
fn statistics_are_merged_too_and_other_schemas_and_policies_stay_apart() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for (number, counters) in
        [&["frames"][..], &["frames"], &["frames", "bytes"], &["frames", "bytes"]].into_iter().enumerate()
    {
        let mut settings = WriterSettings::new(dir.path(), "sensor-a");
        settings.stats = Some(StatsSchema::new(counters, &[]));
        settings.redaction_policy = if number < 2 { "before" } else { "after" }.to_owned();
        let mut writer = Writer::open(settings).expect("a writable folder");
        let values: Vec<i64> = counters.iter().map(|_| 7).collect();
        let row = StatsRow {
            ts_ns: NOON_NS,
            sensor: "sensor-a",
            iface: "eth1",
            core: None,
            counters: &values,
            gauges: &[],
        };
        writer.write_stats(&[row], NOON_NS).expect("written");
        writer.write(plain_batch(3, NOON_NS), NOON_NS).expect("written");
        writer.close();
    }
    let merged = compact(dir.path());
    assert_eq!(merged.iter().map(|one| one.files_before).collect::<Vec<_>>(), [2; 4], "{merged:?}");
    assert_eq!(published(dir.path()).len(), 4);
    let policies: Vec<String> = merged
        .iter()
        .map(|one| said(&footer(&dir.path().join(&one.file)))["redaction_policy"].clone())
        .collect();
    assert_eq!(policies.iter().filter(|policy| *policy == "before").count(), 2);
    assert_verified(dir.path());
}

#[test]
fn hours_under_way_wait_and_a_second_compaction_finds_the_place_taken() {
    let dir = dataset(4);
    let mut first = open(dir.path());
    assert_eq!(first.plan(NOON_NS).expect("a manifest"), 0);
    assert_eq!(first.plan(LATER_NS).expect("a manifest"), 2);
    let second = Compactor::open(dir.path(), "sensor-a", CompactSettings::default()).expect("a dataset");
    assert!(second.is_none(), "there is never more than one");
    drop(first);
    assert_eq!(compact(dir.path()).len(), 2);
}

#[test]
fn what_retention_removes_meanwhile_does_not_come_back() {
    let dir = dataset(4);
    let mut compactor = open(dir.path());
    compactor.plan(LATER_NS).expect("a manifest");
    let hour = Duration::from_secs(3600);
    let mut keeper = Keeper::new(dir.path(), "sensor-a", Keep { age: Some(hour), ..Keep::default() });
    let (removed, error) = keeper.run(LATER_NS);
    assert!(error.is_none() && removed.len() == 4, "{removed:?}");
    let stop = AtomicBool::new(false);
    assert_eq!(compactor.step(LATER_NS, &stop).ok(), Some(None), "nothing of its plan is there");
    assert_eq!(published(dir.path()), Vec::<PathBuf>::new());
    assert_verified(dir.path());
}

#[test]
fn a_stop_and_a_damaged_file_leave_everything_as_it_was() {
    let dir = dataset(6);
    let before: Vec<PathBuf> = published(dir.path());
    let mut compactor = open(dir.path());
    compactor.plan(LATER_NS).expect("a manifest");
    let stopped = compactor.step(LATER_NS, &AtomicBool::new(true)).expect_err("it is to stop");
    assert!(matches!(stopped, CompactError::Stopped), "{stopped}");
    assert_eq!(published(dir.path()), before);
    let mut bytes = fs::read(&before[1]).expect("readable");
    bytes[100..3_000].fill(0x55);
    fs::write(&before[1], &bytes).expect("writable");
    compactor.plan(LATER_NS).expect("a manifest");
    let go_on = AtomicBool::new(false);
    let failed = compactor.step(LATER_NS, &go_on).expect_err("one file is damaged");
    assert!(failed.to_string().contains("cannot merge 3 files"), "{failed}");
    assert!(compactor.step(LATER_NS, &go_on).expect("the other hour").is_some());
    assert_eq!(published(dir.path()).len(), 4, "the hour with the damaged file is as it was");
}

#[test]
fn a_compaction_killed_after_the_swap_is_finished_by_the_next_start() {
    // The line is missing, or the removals are: as the process left it, each followed by a start.
    for lose_line in [false, true] {
        let dir = dataset(4);
        let old = published(dir.path());
        let kept: Vec<Vec<u8>> = old.iter().map(|path| fs::read(path).expect("readable")).collect();
        let manifest = dir.path().join(".manifest/sensor-a.jsonl");
        let lines = fs::read(&manifest).expect("a manifest");
        let before = rows(dir.path());
        compact(dir.path());
        for (path, bytes) in old.iter().zip(&kept) {
            fs::write(path, bytes).expect("writable");
        }
        if lose_line {
            fs::write(&manifest, &lines).expect("writable");
        }
        fs::write(dir.path().join(".staging/sensor-a/x.parquet.compacting"), "half").expect("writable");
        assert!(rows(dir.path()).len() > before.len(), "rows are there twice");
        let report = recover(dir.path()).expect("recovered");
        assert_eq!(
            (report.manifest.removed.len(), report.manifest.listed.len()),
            (4, if lose_line { 2 } else { 0 })
        );
        assert!(rows(dir.path()) == before);
        assert_verified(dir.path());
        assert_eq!(compact(dir.path()), []);
        assert_eq!(files(dir.path(), ".compacting"), Vec::<PathBuf>::new());
    }
}

#[test]
fn thousands_of_tiny_files_become_one() {
    let tiny = if std::env::var_os("HDRCAP_TEST_LONG").is_some() { 10_000 } else { 1_000 };
    let dir = tempfile::tempdir_in(memory()).expect("a folder");
    let mut writer = writer(dir.path());
    writer.write(plain_batch(2, NOON_NS), NOON_NS).expect("written");
    writer.close();
    let first = published(dir.path()).remove(0);
    let manifest = Manifest::new(dir.path(), "sensor-a");
    let line = fs::read_to_string(dir.path().join(".manifest/sensor-a.jsonl")).expect("a manifest");
    let Entry::Add(facts) = serde_json::from_str(line.trim_end()).expect("a line") else {
        panic!("the first line is no add");
    };
    for number in 1..tiny {
        let mut facts = facts.clone();
        facts.file = facts.file.replace(".parquet", &format!("{number:05}.parquet"));
        let copied = manifest.change(|| {
            fs::copy(&first, dir.path().join(&facts.file))?;
            Ok(((), Entry::Add(facts)))
        });
        copied.expect("writable");
    }
    let merged = compact(dir.path());
    assert_eq!(merged.iter().map(|one| (one.files_before, one.rows)).collect::<Vec<_>>(), [(tiny, 2 * tiny)]);
    assert_eq!((published(dir.path()).len(), row_count(dir.path()) as u64), (1, 2 * tiny));
    assert!(merged[0].bytes * 100 < merged[0].bytes_before, "{merged:?}");
    assert_verified(dir.path());
}

const CHILD_FOLDER: &str = "HDRCAP_TEST_CHILD_FOLDER";

/// Merges until it is killed or done, and says when it begins. Only ever run by the test below.
#[test]
#[ignore = "is the child process of a_compaction_killed_at_any_moment_is_finished_by_the_next"]
fn child_compactor() {
    let dir = PathBuf::from(std::env::var_os(CHILD_FOLDER).expect("the parent sets it"));
    let mut out = std::io::stdout();
    writeln!(out, "begun").and_then(|()| out.flush()).expect("a pipe");
    compact(&dir);
}

#[test]
fn a_compaction_killed_at_any_moment_is_finished_by_the_next() {
    let kills = if std::env::var_os("HDRCAP_TEST_LONG").is_some() { 300 } else { 10 };
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder on the disk");
    let mut unfinished = 0;
    let mut rows = 0;
    for life in 0..kills {
        let mut writer = writer(dir.path());
        for hour in 0..4 {
            let start = NOON_NS - hour * HOUR_NS + life * SECOND_NS;
            writer.write(plain_batch(40, start), start).expect("written");
            rows += 40;
        }
        writer.close();
        let mut child = Command::new(std::env::current_exe().expect("the test's own binary"))
            .args(["--exact", "compact::child_compactor", "--ignored", "--nocapture"])
            .env(CHILD_FOLDER, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        assert!(lines.any(|line| line.expect("a line").contains("begun")), "it begins");
        // A moment that differs from life to life: so many names came and went below the folder.
        let seen = life % 5;
        let mut changes = 0;
        let mut last = published(dir.path());
        while changes < seen && child.try_wait().expect("a child").is_none() {
            let now = published(dir.path());
            changes += i64::from(now != last);
            last = now;
        }
        for _ in 0..(life * 7_919 % 23) * 100_000 {
            std::hint::spin_loop();
        }
        child.kill().expect("killed");
        unfinished += i32::from(!child.wait().expect("gone").success());
        recover(dir.path()).expect("recovered");
        assert_verified(dir.path());
        let sql = format!(
            "SELECT count(*), count(DISTINCT (ts_ns, req_seq, x_request_id)) FROM '{}/http/**/*.parquet'",
            dir.path().display()
        );
        let counted = duckdb(&format!("import duckdb\nprint(*duckdb.sql(\"{sql}\").fetchall()[0])"));
        let counted: Vec<usize> =
            counted.split_whitespace().map(|count| count.parse().expect("a count")).collect();
        assert_eq!(counted, [rows, rows], "after kill {life}");
    }
    assert!(i64::from(unfinished) > kills / 3, "most were killed before they were done: {unfinished}");
    compact(dir.path());
    assert_eq!((published(dir.path()).len(), row_count(dir.path())), (4, rows));
}

/// Memory where it can be had: the disk is not what is tested.
fn memory() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}
