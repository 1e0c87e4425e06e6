//! Retention removes the oldest of its own files, tells the manifest, and cuts no query.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use crate::support::{NOON_NS, plain_batch, published, row_count, writer};
use storage::{
    dataset::{RecoverReport, Writer, WriterSettings, recover},
    file::{disk_room, free_bytes},
    manifest::{RemoveReason, verify},
    retention::{Keep, KeepFree, Keeper, Removed, STEADY_RUNS_MIN},
};

const HOUR_NS: i64 = 3_600_000_000_000;
const HOUR: Duration = Duration::from_secs(3600);

/// Five hours of 40 rows each, of which the last begins at noon.
fn dataset() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut writer = writer(dir.path());
    for hour in 0..5 {
        writer.write(plain_batch(40, NOON_NS - hour * HOUR_NS), NOON_NS).expect("written");
    }
    writer.close();
    dir
}

fn keeper(dir: &Path, keep: Keep) -> Keeper {
    Keeper::new(dir, "sensor-a", keep)
}

fn run(keeper: &mut Keeper, now_ns: i64) -> Vec<Removed> {
    let (removed, error) = keeper.run(now_ns);
    assert!(error.is_none(), "{error:?}");
    removed
}

#[test]
fn old_hours_go_with_their_folders_and_the_manifest_says_so() {
    let dir = dataset();
    let mut keeper = keeper(dir.path(), Keep { age: Some(HOUR * 2), ..Keep::default() });
    let removed = run(&mut keeper, NOON_NS);
    assert_eq!(removed.iter().map(|file| file.reason).collect::<Vec<_>>(), [RemoveReason::Age; 2]);
    assert!(
        removed[0].file.starts_with("http/date=2026-11-22/hour=7/sensor-a-"),
        "oldest first: {removed:?}"
    );
    assert_eq!((published(dir.path()).len(), row_count(dir.path())), (3, 120));
    assert!(!dir.path().join("http/date=2026-11-22/hour=7").exists(), "empty folders go");
    let report = verify(dir.path(), &[]).expect("readable");
    assert_eq!(
        (report.problems.as_slice(), report.sensors[0].lines, report.sensors[0].files),
        (&[][..], 7, 3)
    );
    assert_eq!(recover(dir.path()).expect("recovered"), RecoverReport::default(), "nothing comes back");
    assert_eq!(run(&mut keeper, NOON_NS), []);
}

#[test]
fn size_and_room_are_kept() {
    let dir = dataset();
    let bytes =
        |dir: &Path| published(dir).iter().map(|file| fs::metadata(file).expect("there").len()).sum::<u64>();
    let limit = bytes(dir.path()) / 2;
    run(&mut keeper(dir.path(), Keep { bytes: Some(limit), ..Keep::default() }), NOON_NS);
    assert!(bytes(dir.path()) <= limit && published(dir.path()).len() == 2);
    let (free, total) = disk_room(dir.path()).expect("a filesystem");
    assert!(free <= total && free_bytes(dir.path()).is_ok());
    let mut content = keeper(dir.path(), Keep { free: Some(KeepFree::Bytes(1)), ..Keep::default() });
    assert!(!content.is_pressed());
    assert_eq!(run(&mut content, NOON_NS), []);
    // More than the disk has: all but the newest hour go, and then no more.
    let mut pressed = keeper(dir.path(), Keep { free: Some(KeepFree::Bytes(total + 1)), ..Keep::default() });
    assert!(pressed.is_pressed());
    let removed = run(&mut pressed, NOON_NS);
    assert_eq!(removed.iter().map(|file| file.reason).collect::<Vec<_>>(), [RemoveReason::Free]);
    assert_eq!(run(&mut pressed, NOON_NS), []);
    assert_eq!(verify(dir.path(), &[]).expect("readable").problems, []);
}

#[test]
fn what_is_not_its_own_stays() {
    let dir = dataset();
    let mut other = Writer::open(WriterSettings::new(dir.path(), "sensor-b")).expect("another sensor");
    other.write(plain_batch(5, NOON_NS - 9 * HOUR_NS), NOON_NS).expect("written");
    let old = dir.path().join("http/date=2026-11-22/hour=7");
    let foreign = [
        old.join("notes.txt"),
        old.join("export.parquet"),
        old.join("sensor-a-1-2-3.parquet.bak"),
        dir.path().join("http/sensor-a-1-2-3.parquet"),
        dir.path().join("sensor-a-1-2-3.parquet"),
    ];
    for path in &foreign {
        fs::write(path, "kept").expect("writable");
    }
    let outside = tempfile::tempdir().expect("a temporary folder");
    let target = outside.path().join("precious");
    fs::write(&target, "kept").expect("writable");
    let link = old.join("sensor-a-4-5-6.parquet");
    std::os::unix::fs::symlink(&target, &link).expect("a link");
    other.tick(NOON_NS + HOUR_NS);
    let keep = Keep { age: Some(HOUR), bytes: Some(0), free: Some(KeepFree::Percent(99)) };
    run(&mut keeper(dir.path(), keep), NOON_NS + 1_000 * HOUR_NS);
    assert!(foreign.iter().all(|path| path.exists()), "files that no writer named");
    assert!(link.is_symlink() && target.exists(), "a link is no file of ours");
    let left: Vec<_> = published(dir.path()).into_iter().filter(|path| !path.is_symlink()).collect();
    assert!(left.iter().any(|path| path.to_string_lossy().contains("sensor-b-")), "{left:?}");
}

#[test]
fn a_clock_that_leaps_empties_no_dataset() {
    let dir = dataset();
    let mut keeper = keeper(dir.path(), Keep { age: Some(HOUR * 24), ..Keep::default() });
    let minute = |number: u32| i64::from(number) * 60_000_000_000;
    assert_eq!(run(&mut keeper, NOON_NS), []);
    let far = NOON_NS + 100 * 365 * 24 * HOUR_NS;
    for number in 0..STEADY_RUNS_MIN {
        assert_eq!(run(&mut keeper, far + minute(number)), [], "run {number} after the leap forward");
    }
    assert_eq!(run(&mut keeper, NOON_NS), [], "and back");
    for number in 1..STEADY_RUNS_MIN + 5 {
        assert_eq!(run(&mut keeper, NOON_NS + minute(number)), []);
    }
    assert_eq!(published(dir.path()).len(), 5);
    // A century that stays is believed.
    for number in 0..=STEADY_RUNS_MIN {
        run(&mut keeper, far + minute(number));
    }
    assert_eq!(published(dir.path()).len(), 0);
}

#[test]
fn a_query_reads_on_in_a_file_that_is_removed() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut writer = writer(dir.path());
    for _ in 0..20 {
        writer.write(plain_batch(5_000, NOON_NS - 30 * HOUR_NS), NOON_NS).expect("written");
    }
    writer.write(plain_batch(10, NOON_NS), NOON_NS).expect("written");
    writer.close();
    let old = published(dir.path()).remove(0);
    let script = format!(
        "import duckdb, sys\ndb = duckdb.connect()\ndb.execute('SET threads = 1')\n\
         reader = db.sql(\"SELECT * FROM '{}'\").to_arrow_reader(1000)\n\
         rows = len(reader.read_next_batch())\nprint(rows, flush=True)\nsys.stdin.readline()\n\
         print(rows + sum(len(batch) for batch in reader))\n",
        old.display()
    );
    let mut query = Command::new(crate::support::python())
        .args(["-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python runs");
    let mut printed = BufReader::new(query.stdout.take().expect("a pipe"));
    let mut first = String::new();
    printed.read_line(&mut first).expect("the query has begun");
    assert!(first.trim().parse::<usize>().is_ok_and(|rows| rows < 100_000), "part of the rows: {first:?}");
    let open = fs::read_dir(format!("/proc/{}/fd", query.id())).expect("a process of ours");
    let mut files = open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    assert!(files.any(|file| file == old), "the query has the file open");
    let removed = run(&mut keeper(dir.path(), Keep { age: Some(HOUR), ..Keep::default() }), NOON_NS);
    assert_eq!((removed.len(), old.exists()), (1, false));
    query.stdin.take().expect("a pipe").write_all(b"go on\n").expect("it waits");
    let mut rest = String::new();
    printed.read_to_string(&mut rest).expect("the query ends");
    assert!(query.wait().expect("ended").success());
    assert_eq!(rest.trim(), "100000");
}
