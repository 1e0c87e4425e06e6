//! The kernel half alone: its rings are drained and what they hold is thrown away, until SIGINT; then its counts, as JSON.
//!
//! `drain INTERFACE RINGS`: what it carries without loss is the ceiling of everything behind it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::Context as _;
use capture::source::{
    RecordSink,
    live::{LiveSettings, LiveSource, ring::Ring},
};
use common::{record::Record, verdict::Verdict};

const BURST_RECORDS_MAX: usize = 512;
const REST: Duration = Duration::from_micros(50);

/// Looks at each record as little as a reader can.
#[derive(Default)]
struct Nothing(u64);

impl RecordSink for Nothing {
    fn record(&mut self, record: &Record, _bytes: &[u8]) {
        self.0 += u64::from(record.copied);
    }
}

fn main() -> anyhow::Result<()> {
    let mut words = std::env::args().skip(1);
    let iface = words.next().context("drain INTERFACE RINGS")?;
    let ring_count = words.next().context("drain INTERFACE RINGS")?.parse()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut interrupt = runtime
        .block_on(async { tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt()) })?;
    let mut source =
        LiveSource::open(&LiveSettings { ring_count: Some(ring_count), ..LiveSettings::new(vec![iface]) })?;
    let closed = Arc::new(AtomicBool::new(false));
    let threads: Vec<_> = source
        .take_rings()
        .into_iter()
        .map(|ring| {
            let closed = Arc::clone(&closed);
            thread::spawn(move || drain(ring, &closed))
        })
        .collect();
    runtime.block_on(interrupt.recv());
    source.detach();
    closed.store(true, Ordering::Release);
    let copied: u64 = threads.into_iter().map(|thread| thread.join().expect("draining does not panic")).sum();
    let counters = source.counters()?.first().copied().unwrap_or_default();
    let lost = counters.frames_of(Verdict::RingFullHead) + counters.frames_of(Verdict::RingFullOther);
    println!(
        "{}",
        serde_json::json!({ "frames": counters.frames_total(), "ring_full": lost, "copied_bytes": copied })
    );
    Ok(())
}

fn drain(mut ring: Ring, closed: &AtomicBool) -> u64 {
    let mut nothing = Nothing::default();
    loop {
        let is_closed = closed.load(Ordering::Acquire);
        if ring.drain(BURST_RECORDS_MAX, &mut nothing) == 0 {
            if is_closed {
                return nothing.0;
            }
            thread::sleep(REST);
        }
    }
}
