//! Writers killed at any moment, by a disk that is real, again and again in one dataset, under clocks that leap.
//!
//! A child process writes and says what is safe; DuckDB says what is there.

use std::{
    io::{BufRead, BufReader, Lines, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

use crate::support::{NOON_NS, duckdb, plain_batch, published};
use storage::{
    dataset::{Writer, WriterSettings, recover},
    manifest::verify,
};

const SECOND_NS: i64 = 1_000_000_000;
const ROWS: usize = 50;

/// Lives of one dataset's writer, each ended by a kill.
const LIVES: i64 = 36;
const LIVES_LONG: i64 = 400;

const CHILD_FOLDER: &str = "HDRCAP_TEST_CHILD_FOLDER";
const CHILD_LIFE: &str = "HDRCAP_TEST_CHILD_LIFE";

/// Where the rows of a life begin: 40 minutes behind the life before, so that hours and days change within lives.
fn start_of(life: i64) -> i64 {
    NOON_NS + life * 2_400 * SECOND_NS
}

/// The writer's clock in a life: on, back a day, on a month, and stuck.
fn clock_of(life: i64, batch: i64) -> i64 {
    const DAY_NS: i64 = 86_400 * SECOND_NS;
    let leap = [0, -DAY_NS, 30 * DAY_NS, 0][usize::try_from(life % 4).expect("small")];
    let tick = if life % 4 == 3 { 0 } else { batch * 20 * SECOND_NS };
    start_of(life) + leap * i64::from(batch % 3 == 2) + tick
}

/// Writes until it is killed, and says after each batch how many rows are safe. Only ever run by the test below.
#[test]
#[ignore = "is the child process of a_killed_writer_loses_nothing_it_reported_written"]
fn child_writer() {
    let variable = |name| std::env::var(name).expect("the parent sets it");
    let life: i64 = variable(CHILD_LIFE).parse().expect("a number");
    let mut settings = WriterSettings::new(PathBuf::from(variable(CHILD_FOLDER)), "sensor-a");
    settings.file_bytes_max = 60_000;
    let mut writer = Writer::open(settings).expect("a writable folder");
    let mut out = std::io::stdout();
    for number in 0.. {
        // Three minutes on with each batch: some lives pass an hour's end, and one midnight.
        let start = start_of(life) + number * 180 * SECOND_NS % (2_400 * SECOND_NS) + number / 13 * SECOND_NS;
        let written = writer.write(plain_batch(ROWS, start), clock_of(life, number)).expect("written");
        writer.tick(clock_of(life, number));
        writeln!(out, "safe {}", written.rows).and_then(|()| out.flush()).expect("a pipe");
    }
}

struct Life {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    safe: usize,
}

impl Life {
    fn start(dir: &Path, life: i64) -> Life {
        let mut child = Command::new(std::env::current_exe().expect("the test's own binary"))
            .args(["--exact", "killed::child_writer", "--ignored", "--nocapture"])
            .env(CHILD_FOLDER, dir)
            .env(CHILD_LIFE, life.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        Life { child, lines, safe: 0 }
    }

    /// Waits until so many more batches are safe.
    fn live(&mut self, batches: i64) {
        let mut left = batches;
        for line in self.lines.by_ref().map(|line| line.expect("a line")) {
            let Some(rows) = line.strip_prefix("safe ") else { continue };
            self.safe += rows.parse::<usize>().expect("a number");
            left -= 1;
            if left <= 0 {
                return;
            }
        }
        panic!("the child ended by itself");
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.child.id().to_string()]).status();
        assert!(status.is_ok_and(|status| status.success()), "kill {name}");
    }

    /// Kills it; the rows it had reported safe.
    fn kill(mut self) -> usize {
        self.child.kill().expect("killed");
        self.child.wait().expect("gone");
        for line in self.lines.map(|line| line.expect("a line")) {
            self.safe +=
                line.strip_prefix("safe ").map_or(0, |rows| rows.parse::<usize>().expect("a number"));
        }
        self.safe
    }
}

#[test]
fn a_killed_writer_loses_nothing_it_reported_written() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder on the disk");
    let lives = if std::env::var_os("HDRCAP_TEST_LONG").is_some() { LIVES_LONG } else { LIVES };
    let mut safe = Vec::new();
    for number in 0..lives {
        // The child recovers at its start what the life before left; so does a kill of the recovery itself.
        let mut life = Life::start(dir.path(), number);
        life.live(1 + number % 7);
        if number % 6 == 5 {
            life.signal("-STOP");
            assert_eq!(
                readable(dir.path()),
                published(dir.path()).len(),
                "a stopped writer's files are whole"
            );
            life.signal("-CONT");
            life.live(2);
        }
        // Any moment of a write is as likely as any other: it is killed some microseconds after a report.
        for _ in 0..(number * 7_919 % 23) * 20_000 {
            std::hint::spin_loop();
        }
        safe.push(life.kill());
    }
    let report = recover(dir.path()).expect("recovered");
    assert!(report.live_sensors.is_empty(), "the kernel gave the lock up");
    assert_eq!(verify(dir.path(), &[]).expect("readable").problems, []);
    check_rows(dir.path(), &safe);
}

/// Published files that DuckDB reads to their last row.
fn readable(dir: &Path) -> usize {
    if published(dir).is_empty() {
        return 0;
    }
    let files = format!("'{}/http/**/*.parquet', filename = true", dir.display());
    let rows = format!("SELECT filename, hash(file) FROM read_parquet({files}) AS file");
    let script = format!(
        "import duckdb\nprint(duckdb.sql(\"SELECT count(DISTINCT filename) FROM ({rows})\").fetchall()[0][0])"
    );
    duckdb(&script).trim().parse().expect("a number")
}

/// Each life's rows: every one reported safe, at most one batch more, none twice.
fn check_rows(dir: &Path, safe: &[usize]) {
    let sql = format!(
        "SELECT (ts_ns - {NOON_NS}) // 2400000000000, count(*), count(DISTINCT ts_ns) \
         FROM '{}/http/**/*.parquet' GROUP BY 1",
        dir.display()
    );
    let script = format!(
        "import duckdb\nrows = {{life: counts for life, *counts in duckdb.sql(\"{sql}\").fetchall()}}\n\
         for life in range({}):\n    print(*rows.get(life, (0, 0)))",
        safe.len()
    );
    let printed = duckdb(&script);
    let lives: Vec<Vec<usize>> = printed
        .lines()
        .map(|line| line.split(' ').map(|count| count.parse().expect("a count")).collect())
        .collect();
    assert_eq!(lives.len(), safe.len());
    for (life, (counts, safe)) in lives.iter().zip(safe).enumerate() {
        assert!((*safe..=safe + ROWS).contains(&counts[0]), "life {life}: {safe} safe, {counts:?} there");
        assert_eq!(counts[0], counts[1], "life {life}: no row twice");
    }
}
