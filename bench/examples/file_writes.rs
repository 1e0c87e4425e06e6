//! What it costs to put a file on disk: through io_uring, by plain writes, and its SHA-256 on the way.
//!
//! `cargo run --release -p bench --example file_writes -- FOLDER [ROUNDS]`, on the filesystem that matters. The ways take
//! turns, so that whatever else the machine does meets both.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    time::Instant,
};

use sha2::{Digest, Sha256};
use storage::file::{Files, IoMode};

const FILE_BYTES: usize = 256 << 20;

/// A page of a column, about.
const WRITE_BYTES: usize = 32 << 10;

/// A row group, about: data is synced behind each.
const SYNC_BYTES: usize = 16 << 20;

const ROUNDS: usize = 9;

/// What one round took.
#[derive(Clone, Copy)]
struct Cost {
    wall_ms: u128,
    cpu_ms: u64,
}

fn main() -> io::Result<()> {
    let mut words = std::env::args().skip(1);
    let folder = PathBuf::from(words.next().unwrap_or_else(|| ".".to_owned()));
    let rounds = words.next().and_then(|word| word.parse().ok()).unwrap_or(ROUNDS);
    let page: Vec<u8> =
        (0..WRITE_BYTES).map(|at| (at.wrapping_mul(2_654_435_761) >> 11).to_le_bytes()[0]).collect();
    let (ring, plain) = (Files::new(IoMode::Auto), Files::new(IoMode::Plain));
    if !ring.uses_ring() {
        return Err(io::Error::other("there is no io_uring here: sysctl kernel.io_uring_disabled=0"));
    }
    let path = folder.join("file_writes.tmp");
    let mut costs = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..rounds {
        costs[0].push(cost(|| write_file(&ring, &path, &page))?);
        costs[1].push(cost(|| write_file(&plain, &path, &page))?);
        costs[2].push(cost(|| hash(&page))?);
    }
    for (name, costs) in ["io_uring", "plain writes", "sha256 alone"].iter().zip(&costs) {
        let cpu: u64 = costs.iter().map(|cost| cost.cpu_ms).sum::<u64>() / costs.len() as u64;
        let walls = costs.iter().map(|cost| cost.wall_ms);
        let (least, median) = (walls.clone().min().unwrap_or(0), median(walls.collect()));
        let size = FILE_BYTES >> 20;
        writeln!(io::stdout(), "{name:<14}{size} MiB: {cpu} ms of CPU; {median} ms, at the least {least}")?;
    }
    let ratios = costs[0].iter().zip(&costs[1]);
    let cpu = median(ratios.clone().map(|(a, b)| u128::from(a.cpu_ms * 1000 / b.cpu_ms.max(1))).collect());
    let wall = median(ratios.map(|(a, b)| a.wall_ms * 1000 / b.wall_ms.max(1)).collect());
    writeln!(
        io::stdout(),
        "io_uring to plain writes, median of {rounds} rounds: {:.2} of the CPU, {:.2} of the time",
        cpu as f64 / 1000.0,
        wall as f64 / 1000.0
    )
}

fn median(mut values: Vec<u128>) -> u128 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
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

fn hash(page: &[u8]) -> io::Result<()> {
    let mut hash = Sha256::new();
    (0..FILE_BYTES / WRITE_BYTES).for_each(|_| hash.update(page));
    std::hint::black_box(hash.finalize());
    Ok(())
}

/// Wall time, and the time this process was on a CPU.
#[expect(clippy::disallowed_methods, reason = "a benchmark owns its clock")]
fn cost(round: impl FnOnce() -> io::Result<()>) -> io::Result<Cost> {
    let (start, on_cpu) = (Instant::now(), on_cpu_ms()?);
    round()?;
    Ok(Cost { wall_ms: start.elapsed().as_millis(), cpu_ms: on_cpu_ms()? - on_cpu })
}

/// Milliseconds of CPU, user and system, by clock ticks of 10 ms.
fn on_cpu_ms() -> io::Result<u64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(11).take(2);
    Ok(fields.map(|ticks| ticks.parse::<u64>().unwrap_or(0) * 10).sum())
}
