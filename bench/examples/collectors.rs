//! What a transaction takes of N collectors together: their records are those of one workload, shared out by the flow's hash.
//!
//! `collectors N TRANSACTIONS`, for `bench/instructions --collectors`, which counts instructions by callgrind. One thread does
//! the work of all, one after the other, so that the count is theirs and not that of waiting.

use std::{hint::black_box, sync::Arc};

use anyhow::Context as _;
use bench::workload::{Options, Profile, Size, Workload};
use capture::{
    collector::{Collector, CollectorSettings, FullQueue},
    ledger::CollectorLedger,
    redact::{Key, Policy, Redactor},
    source::{
        RecordSink,
        decider::{Decider, FrameRef},
    },
};
use common::{
    config::Config,
    decide::{dissect::Link, hash::ring_of},
    record::Record,
};
use storage::values::TimeSource;

/// Hands each record to the collector that a ring of its own would bring it to.
struct Shared(Vec<Collector>);

impl RecordSink for Shared {
    fn record(&mut self, record: &Record, bytes: &[u8]) {
        let index = ring_of(record.flow_hash, self.0.len() as u32);
        self.0[index as usize].record(record, bytes);
    }
}

fn main() -> anyhow::Result<()> {
    let mut words = std::env::args().skip(1);
    let mut number = || words.next().context("collectors N TRANSACTIONS")?.parse::<u64>().context("a number");
    let (count, transactions) = (number()?, number()?);
    let settings = CollectorSettings {
        head_bytes_max: 16 << 10,
        ts_source: TimeSource::Xdp,
        flush_interval_ns: None,
        full_queue: FullQueue::Wait,
    };
    let redactor = Redactor::new(Policy::default(), Key::from_bytes([7; 32]));
    let (outlet, sealed) = crossbeam_channel::unbounded();
    let collector =
        |_| Collector::new(&settings, redactor.twin(), outlet.clone(), Arc::new(CollectorLedger::default()));
    let mut shared = Shared((0..count).map(collector).collect());
    let mut decider = Decider::new(&Config::default());
    for frame in Workload::new(Options::new(Profile::Heads, Size::Transactions(transactions), 1)) {
        let (bytes, original_len) = (&frame.bytes[..], frame.bytes.len() as u32);
        collect(
            &mut decider,
            FrameRef { ts_ns: frame.ts_ns, link: Link::Ethernet, bytes, original_len, ifindex: 1 },
            &mut shared,
        );
    }
    shared.0.into_iter().for_each(Collector::finish);
    let rows: usize = sealed.try_iter().map(|sealed| sealed.batch.rows()).sum();
    println!("{}", black_box(rows));
    Ok(())
}

/// Apart from the making of the workload, so that a profile tells what is counted.
#[inline(never)]
fn collect(decider: &mut Decider, frame: FrameRef<'_>, shared: &mut Shared) {
    decider.decide(frame, shared);
}
