//! Partitions, rotation, publication, ownership, and what happens when the disk does not do as told.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::support::{NOON_NS, files, plain_batch, published, read, row_count, writer};
use storage::{
    Batch,
    dataset::{LossReason, OPEN_FILES_MAX, OpenError, STAGING_FOLDER, Writer, WriterSettings},
    file::IoMode,
    schema::{StatsRow, StatsSchema},
};

const SECOND_NS: i64 = 1_000_000_000;
const HOUR_NS: i64 = 3_600 * SECOND_NS;

/// The published files' folders below the dataset's.
fn partitions(dir: &Path) -> Vec<String> {
    let mut folders: Vec<String> = published(dir)
        .iter()
        .map(|path| path.parent().expect("a folder").strip_prefix(dir).expect("below").display().to_string())
        .collect();
    folders.dedup();
    folders
}

#[test]
fn a_batch_over_midnight_is_split_by_the_rows_hour() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    // 2026-11-22T23:59:59Z, one row every millisecond.
    let batch = plain_batch(3_000, 1_795_391_999 * SECOND_NS);
    let mut writer = writer(dir.path());
    assert_eq!(writer.write(batch, NOON_NS).expect("written").rows, 3_000);
    assert!(published(dir.path()).is_empty(), "nothing is published before it is whole");
    assert_eq!(files(dir.path(), ".inprogress").len(), 2);
    assert_eq!(writer.close().files_published, 2);
    assert_eq!(partitions(dir.path()), ["http/date=2026-11-22/hour=23", "http/date=2026-11-23/hour=0"]);
    let rows: Vec<usize> = published(dir.path())
        .iter()
        .map(|path| read(path).iter().map(|batch| batch.num_rows()).sum())
        .collect();
    assert_eq!(rows, [1_000, 2_000]);
    assert_eq!(files(dir.path(), ".inprogress").len() + files(dir.path(), ".footer").len(), 0);
}

#[test]
fn files_are_published_at_their_size() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut settings = WriterSettings::new(dir.path(), "sensor-a");
    settings.file_bytes_max = 100_000;
    let mut writer = Writer::open(settings).expect("a writable folder");
    let mut files_published = 0;
    let mut bytes = 0;
    while files_published == 0 {
        let written = writer.write(plain_batch(1_000, NOON_NS), NOON_NS).expect("written");
        bytes += written.bytes;
        files_published += written.files_published;
        assert_eq!(files_published == 1, bytes + 4 >= 100_000, "published exactly when large enough");
    }
    assert_eq!(published(dir.path()).len(), 1);
    assert!(fs::metadata(&published(dir.path())[0]).expect("a file").len() > bytes);
}

#[test]
fn files_are_published_at_their_age_and_their_names_say_whose_they_are() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut settings = WriterSettings::new(dir.path(), "edge-7");
    settings.file_age_max = Duration::from_secs(300);
    settings.flush_interval = Duration::ZERO;
    let mut writer = Writer::open(settings).expect("a writable folder");
    writer.write(plain_batch(10, NOON_NS), NOON_NS).expect("written");
    assert_eq!(writer.tick(NOON_NS + 299 * SECOND_NS).files_published, 0);
    writer.write(plain_batch(10, NOON_NS), NOON_NS + 299 * SECOND_NS).expect("written");
    assert_eq!(writer.tick(NOON_NS + 300 * SECOND_NS).files_published, 1);
    assert_eq!(row_count(dir.path()), 20);
    let name = published(dir.path())[0].file_name().expect("a name").to_string_lossy().into_owned();
    let begin = format!("edge-7-{}-{}-", NOON_NS / SECOND_NS, std::process::id());
    let sequence = name.strip_prefix(&begin).and_then(|rest| rest.strip_suffix(".parquet"));
    assert!(sequence.is_some_and(|number| number.parse::<u64>().is_ok()), "{name}");
    writer.write(plain_batch(10, NOON_NS), NOON_NS + 301 * SECOND_NS).expect("written");
    assert_eq!(writer.close().files_published, 1);
    assert_eq!(row_count(dir.path()), 30);
}

#[test]
fn a_file_that_may_be_as_old_as_a_flush_is_published_with_it() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut settings = WriterSettings::new(dir.path(), "s");
    settings.flush_interval = Duration::from_secs(5);
    settings.file_age_max = settings.flush_interval;
    let mut writer = Writer::open(settings.clone()).expect("a writable folder");
    for flush in 0..3 {
        writer.write(plain_batch(10, NOON_NS), NOON_NS + flush * SECOND_NS).expect("written");
        assert_eq!(writer.tick(NOON_NS + flush * SECOND_NS).files_published, 1);
    }
    drop(writer);
    settings.file_age_max = Duration::from_secs(7);
    let mut writer = Writer::open(settings).expect("a writable folder");
    writer.write(plain_batch(10, NOON_NS), NOON_NS).expect("written");
    assert_eq!(
        writer.tick(NOON_NS + 2 * SECOND_NS - 1).files_published,
        0,
        "its oldest row is not 7 s old yet"
    );
    assert_eq!(writer.tick(NOON_NS + 2 * SECOND_NS).files_published, 1);
}

#[test]
fn where_files_end_with_every_flush_the_first_statistics_do_and_the_others_are_collected() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut settings = WriterSettings::new(dir.path(), "s");
    settings.file_age_max = settings.flush_interval;
    settings.stats = Some(StatsSchema::new(&["frames"], &[]));
    let mut writer = Writer::open(settings).expect("a writable folder");
    let mut publishes = |second: i64| {
        let ts_ns = NOON_NS + second * SECOND_NS;
        let (sensor, iface, core) = ("s", "eth1", None);
        let row = StatsRow { ts_ns, sensor, iface, core, counters: &[7], gauges: &[] };
        writer.write_stats(&[row], ts_ns).expect("written");
        writer.tick(ts_ns);
        published(dir.path()).len()
    };
    assert_eq!([0, 10, 20, 309, 310, 320].map(&mut publishes), [1, 1, 1, 1, 2, 2]);
}

#[test]
fn few_files_are_open_at_a_time() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut batch = Batch::new();
    let connection = crate::support::connection(&mut batch, 1);
    let hours = i64::try_from(OPEN_FILES_MAX).expect("few") + 3;
    for hour in 0..hours {
        batch.row(connection, None, None, &crate::support::row_values(NOON_NS + hour * HOUR_NS));
    }
    let mut writer = writer(dir.path());
    let written = writer.write(batch, NOON_NS).expect("written");
    assert_eq!(written.files_published, 3, "the oldest files made room");
    assert_eq!(files(dir.path(), ".inprogress").len(), OPEN_FILES_MAX);
    writer.close();
    assert_eq!(row_count(dir.path()), OPEN_FILES_MAX + 3);
}

#[test]
fn a_sensor_has_one_process_and_a_process_several_writers() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut first = writer(dir.path());
    let refused =
        Writer::open(WriterSettings::new(dir.path(), "sensor-a")).err().expect("the place is taken");
    let message = refused.to_string();
    assert!(
        message.contains(&std::process::id().to_string()) && message.contains("another sensor name"),
        "{message}"
    );
    let mut second = first.another().expect("a writer of the same process");
    let mut other = Writer::open(WriterSettings::new(dir.path(), "sensor-b")).expect("another sensor");
    for writer in [&mut first, &mut second, &mut other] {
        writer.write(plain_batch(7, NOON_NS), NOON_NS).expect("written");
    }
    for writer in [first, second, other] {
        assert_eq!(writer.close().files_published, 1);
    }
    assert_eq!(published(dir.path()).len(), 3);
    assert_eq!(row_count(dir.path()), 21);
    drop(writer(dir.path()));
}

#[test]
fn what_cannot_be_a_dataset_is_refused_with_advice() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let file = dir.path().join("file");
    fs::write(&file, "").expect("a writable folder");
    let open =
        |dir: PathBuf, sensor: &str| Writer::open(WriterSettings::new(dir, sensor)).err().expect("refused");
    let below_a_file = open(file.join("data"), "s").to_string();
    assert!(below_a_file.contains("a file stands where a folder should"), "{below_a_file}");
    assert!(matches!(open(dir.path().to_owned(), "a/b"), OpenError::Sensor(_)));
    let mut settings = WriterSettings::new(dir.path(), "s");
    settings.zstd_level = 23;
    assert!(matches!(Writer::open(settings), Err(OpenError::Setting { .. })));
}

/// A small filesystem in memory, gone with the value.
struct SmallDisk {
    dir: tempfile::TempDir,
}

impl SmallDisk {
    fn new(size: &str) -> SmallDisk {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let disk = SmallDisk { dir };
        disk.mount(&["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]);
        disk
    }

    fn mount(&self, arguments: &[&str]) {
        let output =
            Command::new("mount").args(arguments).arg(self.dir.path()).output().expect("mount is installed");
        assert!(
            output.status.success(),
            "this test mounts a small filesystem and must run as root: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    fn unmount(&self) {
        let status = Command::new("umount").arg("-l").arg(self.dir.path()).status();
        assert!(status.is_ok_and(|status| status.success()), "the filesystem cannot be unmounted");
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        self.unmount();
    }
}

fn fill_and_free(io: IoMode) {
    let disk = SmallDisk::new("4m");
    let ballast = disk.path().join("ballast");
    fs::write(&ballast, vec![1; 2 << 20]).expect("room for the ballast");
    let mut settings = WriterSettings::new(disk.path(), "sensor-a");
    settings.io = io;
    let mut writer = Writer::open(settings).expect("a writable folder");
    let mut rows_written = 0;
    let error = loop {
        match writer.write(plain_batch(5_000, NOON_NS), NOON_NS) {
            Ok(written) => rows_written += written.rows,
            Err(error) => break error,
        }
    };
    assert_eq!((error.reason, error.rows_lost, error.written.rows), (LossReason::DiskFull, 5_000, 0));
    assert!(error.to_string().contains("df -h"), "{error}");
    assert!(rows_written >= 5_000, "something fits");
    // Closing the file at its last good snapshot takes room for its footer, which may have to wait too.
    assert!(writer.stranded() == 1 || row_count(disk.path()) as u64 == rows_written);
    fs::remove_file(&ballast).expect("removed");
    writer.tick(NOON_NS);
    assert_eq!(
        row_count(disk.path()) as u64,
        rows_written,
        "every row that was reported written is published"
    );
    assert_eq!(writer.stranded(), 0);
    rows_written += writer.write(plain_batch(5_000, NOON_NS), NOON_NS).expect("writing resumes").rows;
    writer.close();
    assert_eq!(row_count(disk.path()) as u64, rows_written);
}

#[test]
fn a_full_disk_loses_only_what_is_counted() {
    fill_and_free(IoMode::Auto);
}

#[test]
fn a_full_disk_loses_only_what_is_counted_with_plain_writes() {
    fill_and_free(IoMode::Plain);
}

#[test]
fn a_read_only_disk_loses_what_is_counted_and_advises_to_remount() {
    let disk = SmallDisk::new("8m");
    let mut writer = writer(disk.path());
    let rows = writer.write(plain_batch(100, NOON_NS), NOON_NS).expect("written").rows;
    writer.tick(NOON_NS + HOUR_NS);
    disk.mount(&["-o", "remount,ro"]);
    let error = writer.write(plain_batch(100, NOON_NS), NOON_NS).expect_err("a read-only disk");
    assert_eq!((error.reason, error.rows_lost), (LossReason::Io, 100));
    assert!(error.to_string().contains("remount"), "{error}");
    assert_eq!(row_count(disk.path()) as u64, rows);
    let refused = Writer::open(WriterSettings::new(disk.path(), "sensor-b")).err().expect("a read-only disk");
    assert!(refused.to_string().contains("remount"), "{refused}");
    disk.mount(&["-o", "remount,rw"]);
    assert_eq!(writer.write(plain_batch(100, NOON_NS), NOON_NS).expect("writing resumes").rows, 100);
    writer.close();
    assert_eq!(row_count(disk.path()), 200);
}

#[test]
fn a_filesystem_that_is_unmounted_keeps_what_was_written_to_it() {
    let (disk, elsewhere) = (SmallDisk::new("8m"), tempfile::tempdir().expect("a temporary folder"));
    let elsewhere = SmallDisk { dir: elsewhere };
    let path = |disk: &SmallDisk| disk.path().display().to_string();
    elsewhere.mount(&["--bind", &path(&disk)]);
    let mut writer = writer(disk.path());
    writer.write(plain_batch(10, NOON_NS), NOON_NS).expect("written");
    disk.unmount();
    writer.write(plain_batch(10, NOON_NS), NOON_NS).expect("a file under way is where it was");
    let later_ns = NOON_NS + HOUR_NS;
    let error = writer.write(plain_batch(10, later_ns), later_ns).expect_err("no place for another file");
    assert_eq!((error.reason, error.rows_lost), (LossReason::Io, 10));
    assert!(error.to_string().contains("not mounted any more"), "{error}");
    for _ in 0..2 {
        let written = writer.tick(later_ns);
        assert_eq!((written.files_published, written.staging_lost, writer.stranded()), (0, 0, 1));
    }
    assert_eq!(fs::read_dir(disk.path()).expect("readable").count(), 0, "nothing is put in its place");
    disk.mount(&["--bind", &path(&elsewhere)]);
    assert_eq!(writer.tick(later_ns).rows_published, 20);
    writer.write(plain_batch(10, later_ns), later_ns).expect("writing resumes");
    writer.close();
    assert_eq!(row_count(disk.path()), 30);
}

#[test]
fn a_folder_removed_under_the_writer_costs_one_batch() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut writer = writer(dir.path());
    writer.write(plain_batch(10, NOON_NS), NOON_NS).expect("written");
    writer.tick(NOON_NS + HOUR_NS);
    writer.write(plain_batch(10, NOON_NS), NOON_NS).expect("written");
    fs::remove_dir_all(dir.path().join(".staging/sensor-a/http")).expect("removed");
    let error = writer.write(plain_batch(10, NOON_NS), NOON_NS).expect_err("the file is gone");
    assert_eq!((error.reason, error.rows_lost), (LossReason::Io, 10));
    assert_eq!(writer.tick(NOON_NS).staging_lost, 10, "what was written to it before");
    assert_eq!(writer.write(plain_batch(10, NOON_NS), NOON_NS).expect("writing resumes").rows, 10);
    assert_eq!(writer.close().staging_lost, 0);
    assert_eq!(row_count(dir.path()), 20, "the published file was never touched");
}

/// The only staged file.
fn staged_file(dir: &Path) -> PathBuf {
    let mut files = Vec::new();
    let mut folders = vec![dir.join(STAGING_FOLDER)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("readable") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|suffix| suffix == "inprogress") {
                files.push(path);
            }
        }
    }
    assert_eq!(files.len(), 1, "{files:?}");
    files.remove(0)
}

#[test]
fn rows_of_a_file_removed_or_emptied_before_it_is_published_are_counted() {
    for quarantined in [0, 1] {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut writer = writer(dir.path());
        writer.write(plain_batch(10, NOON_NS), NOON_NS).expect("written");
        // In the way of the file's publication.
        let table = dir.path().join("http");
        fs::write(&table, "").expect("a writable folder");
        let written = writer.tick(NOON_NS + HOUR_NS);
        assert_eq!((written.files_published, written.staging_lost, writer.stranded()), (0, 0, 1));
        match quarantined {
            0 => fs::remove_file(staged_file(dir.path())).expect("removed"),
            _ => fs::write(staged_file(dir.path()), "").expect("emptied"),
        }
        fs::remove_file(&table).expect("removed");
        let written = writer.tick(NOON_NS + HOUR_NS);
        assert_eq!((written.rows_published, written.staging_lost, writer.stranded()), (0, 10, 0));
        let written = writer.close();
        assert_eq!((written.staging_lost, written.rows_staged), (0, 0));
        let kept: Vec<PathBuf> = fs::read_dir(dir.path().join("quarantine"))
            .into_iter()
            .flatten()
            .map(|entry| entry.expect("readable").path())
            .filter(|path| path.extension().is_some_and(|suffix| suffix == "inprogress"))
            .collect();
        assert_eq!(kept.len(), quarantined, "{kept:?}");
    }
}

#[test]
fn a_file_that_cannot_be_published_waits_and_is_published_later() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut writer = writer(dir.path());
    writer.write(plain_batch(10, NOON_NS), NOON_NS).expect("written");
    fs::write(dir.path().join("http"), "in the way").expect("a writable folder");
    assert_eq!(writer.tick(NOON_NS + HOUR_NS).files_published, 0);
    assert_eq!(writer.stranded(), 1);
    fs::remove_file(dir.path().join("http")).expect("removed");
    assert_eq!(writer.tick(NOON_NS + HOUR_NS).files_published, 1);
    assert_eq!((writer.stranded(), row_count(dir.path())), (0, 10));
}

#[test]
fn a_query_over_the_glob_works_while_files_are_in_progress() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut writer = writer(dir.path());
    writer.write(plain_batch(100, NOON_NS), NOON_NS).expect("written");
    writer.tick(NOON_NS + HOUR_NS);
    writer.write(plain_batch(50, NOON_NS), NOON_NS).expect("written");
    let script = crate::support::duckdb_with_views(dir.path())
        + &format!(
            "print(db.sql(\"SELECT count(*) FROM '{}/**/*.parquet'\").fetchall())\n",
            dir.path().display()
        )
        + "print(db.sql('SELECT count(*), min(date), max(hour), any_value(server), count(resp_date) FROM http').fetchall())\n"
        + &format!(
            "print(db.sql(\"SELECT date, count(*) FROM '{}/http/**/*.parquet' GROUP BY date\").fetchall())\n",
            dir.path().display()
        )
        + "for view in ['http_otel', 'http_ecs', 'http_zeek']:\n    print(db.sql(f'SELECT count(*) FROM {view}').fetchall())";
    let printed = crate::support::duckdb(&script);
    let expected = "[(100,)]\n[(100, datetime.date(2026, 11, 22), 11, 'nginx', 0)]\n\
                    [(datetime.date(2026, 11, 22), 100)]\n[(100,)]\n[(100,)]\n[(100,)]\n";
    assert_eq!(printed, expected);
}
