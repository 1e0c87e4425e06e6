//! Writes a workload into a capture file, its summary beside it, and, where asked for, its truth.

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use bench::workload::{self, Options, Profile, Size};
use clap::Parser;

/// Bytes buffered in front of a file.
const BUFFER_BYTES: usize = 1 << 20;

/// Writes realistic HTTP/1.1 traffic into a capture file, and a summary of what is true about it into FILE.json.
#[derive(Debug, Parser)]
struct Args {
    /// What the traffic is made of
    #[arg(value_enum)]
    profile: Profile,
    /// Capture file to write
    file: PathBuf,
    /// Open no further connection when FILE has this many bytes
    #[arg(long, value_name = "N", required_unless_present = "transactions")]
    bytes: Option<u64>,
    /// Open no further connection when this many transactions have begun
    #[arg(long, value_name = "N", conflicts_with = "bytes")]
    transactions: Option<u64>,
    /// Fixes everything random
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write one JSON line per transaction into this file
    #[arg(long, value_name = "FILE")]
    truth: Option<PathBuf>,
    /// Probability that a frame with payload goes behind the next one of its connection
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    reorder: f64,
    /// Probability that a frame with payload comes twice
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    duplicate: f64,
    /// Probability that a frame with payload is missing
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    lose: f64,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let size = match (args.bytes, args.transactions) {
        (Some(bytes), _) => Size::PcapBytes(bytes),
        (None, count) => Size::Transactions(count.unwrap_or_default()),
    };
    let options = Options {
        reorder: args.reorder,
        duplicate: args.duplicate,
        lose: args.lose,
        ..Options::new(args.profile, size, args.seed)
    };
    let truth = args.truth.as_deref().map(create).transpose()?;
    let summary = workload::write(options, create(&args.file)?, truth)
        .with_context(|| format!("{} cannot be written", args.file.display()))?;
    let mut path = args.file.into_os_string();
    path.push(".json");
    let mut file = create(Path::new(&path))?;
    serde_json::to_writer_pretty(&mut file, &summary)?;
    writeln!(file)?;
    file.flush()?;
    println!("{}", serde_json::to_string(&summary)?);
    Ok(())
}

fn create(path: &Path) -> anyhow::Result<BufWriter<File>> {
    let file = File::create(path).with_context(|| format!("{} cannot be created", path.display()))?;
    Ok(BufWriter::with_capacity(BUFFER_BYTES, file))
}
