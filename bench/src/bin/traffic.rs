//! Sends traffic with known truth through an interface, and says what it sent as one JSON object.

use std::{fs::File, io::BufWriter, path::PathBuf, time::Duration};

use anyhow::Context as _;
use bench::{
    traffic::{
        Generator, Lap,
        replay::{Wire, frames, ifindex},
    },
    workload::{Options, Profile, Size},
};
use clap::Parser;

/// Sends a workload lap after lap from within the kernel, or a capture file as it is.
#[derive(Debug, Parser)]
struct Args {
    /// Interface that frames leave by; for the workload a veth whose other end has XDP attached
    #[arg(long)]
    iface: String,
    /// What the traffic is made of
    #[arg(long, value_enum, default_value = "heads")]
    profile: Profile,
    /// Transactions of a lap
    #[arg(long, value_name = "N", default_value_t = 16_000)]
    transactions: u64,
    /// Connections of a lap that are open at once
    #[arg(long, value_name = "N", default_value_t = 500)]
    connections: usize,
    /// Fixes everything random
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Frames a second; 0 sends as many as it can
    #[arg(long, value_name = "FRAMES", default_value_t = 0)]
    rate: u64,
    /// Begin no further lap after so many seconds
    #[arg(long, value_name = "S", default_value_t = 10.0)]
    seconds: f64,
    /// Write one JSON line per transaction of a lap into this file
    #[arg(long, value_name = "FILE")]
    truth: Option<PathBuf>,
    /// Send this capture file instead
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
    /// Send the capture file so many times
    #[arg(long, value_name = "N", default_value_t = 1, requires = "pcap")]
    times: u64,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let ifindex = ifindex(&args.iface)?;
    let sent = match &args.pcap {
        Some(path) => {
            let file = std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
            let wire = Wire::open(ifindex).context("no raw socket (it needs cap_net_raw)")?;
            wire.send(&frames(&file)?, args.rate, args.times)?
        }
        None => {
            let size = Size::Transactions(args.transactions);
            let options =
                Options { concurrency: args.connections, ..Options::new(args.profile, size, args.seed) };
            let lap = Lap::new(options)?;
            if let Some(path) = &args.truth {
                write_truth(&lap, path)?;
            }
            Generator::load(lap, ifindex)?.send(args.rate, Duration::from_secs_f64(args.seconds))?
        }
    };
    println!("{}", serde_json::to_string(&sent)?);
    Ok(())
}

fn write_truth(lap: &Lap, path: &PathBuf) -> anyhow::Result<()> {
    use std::io::Write as _;
    let mut file =
        BufWriter::new(File::create(path).with_context(|| format!("{} cannot be created", path.display()))?);
    for transaction in &lap.transactions {
        serde_json::to_writer(&mut file, transaction)?;
        file.write_all(b"\n")?;
    }
    Ok(file.flush()?)
}
