//! What it costs to put a file on disk: through io_uring, by plain writes, and its SHA-256 on the way.
//!
//! `cargo run --release -p bench --example file_writes -- FOLDER [ring|plain]`, on the filesystem that matters.

use std::{
    fs,
    io::{self, Write},
    path::Path,
    time::Instant,
};

use sha2::{Digest, Sha256};
use storage::file::{Files, IoMode};

const FILE_BYTES: usize = 256 << 20;

/// A page of a column, about.
const WRITE_BYTES: usize = 32 << 10;

/// A row group, about: data is synced behind each.
const SYNC_BYTES: usize = 16 << 20;

const ROUNDS: usize = 5;

fn main() -> io::Result<()> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    let page: Vec<u8> =
        (0..WRITE_BYTES).map(|at| (at.wrapping_mul(2_654_435_761) >> 11).to_le_bytes()[0]).collect();
    let ways =
        std::env::args().nth(2).map_or_else(|| vec!["ring".to_owned(), "plain".to_owned()], |way| vec![way]);
    for way in ways {
        let files = Files::new(if way == "ring" { IoMode::Auto } else { IoMode::Plain });
        if way == "ring" && !files.uses_ring() {
            return Err(io::Error::other("there is no io_uring here: sysctl kernel.io_uring_disabled=0"));
        }
        best(&way, || write_file(&files, &Path::new(&folder).join("file_writes.tmp"), &page))?;
    }
    best("sha256 alone", || {
        let mut hash = Sha256::new();
        (0..FILE_BYTES / WRITE_BYTES).for_each(|_| hash.update(&page));
        std::hint::black_box(hash.finalize());
        Ok(())
    })
}

fn write_file(files: &Files, path: &Path, page: &[u8]) -> io::Result<()> {
    let mut file = files.create(path)?;
    for number in 1..=FILE_BYTES / WRITE_BYTES {
        file.write_all(page)?;
        if (number * WRITE_BYTES).is_multiple_of(SYNC_BYTES) {
            file.sync()?;
        }
    }
    file.finish()?;
    fs::remove_file(path)
}

/// Prints the best of several rounds: wall time, and the time this process was on a CPU.
#[expect(clippy::disallowed_methods, reason = "a benchmark owns its clock")]
fn best(name: &str, mut round: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    let mut figures = Vec::new();
    for _ in 0..ROUNDS {
        let (start, on_cpu) = (Instant::now(), on_cpu_ms()?);
        round()?;
        figures.push((start.elapsed().as_millis(), on_cpu_ms()? - on_cpu));
    }
    let wall = figures.iter().map(|figure| figure.0).min().unwrap_or(0);
    let cpu = figures.iter().map(|figure| figure.1).min().unwrap_or(0);
    writeln!(io::stdout(), "{name:<14}{} MiB: {wall} ms, {cpu} ms of CPU", FILE_BYTES >> 20)
}

/// Milliseconds of CPU, user and system, by clock ticks of 10 ms.
fn on_cpu_ms() -> io::Result<u64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(11).take(2);
    Ok(fields.map(|ticks| ticks.parse::<u64>().unwrap_or(0) * 10).sum())
}
