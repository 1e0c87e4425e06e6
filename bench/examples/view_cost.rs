//! What watching costs a collector: the same records with no feed, with nobody watching, and with all there is attached.
//!
//! `cargo run --release -p bench --example view_cost`; modes take turns within one run, and each is told as a ratio to the
//! first. `view_cost none|idle` runs one pass of one mode, for instruction counts under callgrind.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use bench::workload::{Options, Profile, Size, Workload};
use capture::{
    collector::{Collector, CollectorSettings, FullQueue},
    control::metrics::{self, Answer},
    ledger::{CollectorLedger, Counter},
    redact::{Key, Policy, Redactor},
    source::{
        RecordSink,
        decider::{Decider, FrameRef},
    },
    view::{
        hub::HubPlan,
        socket::{Owners, Socket},
    },
};
use common::{config::Config, decide::dissect::Link, record::Record};
use storage::values::TimeSource;

/// Transactions of the workload: about a second of work, and records that no cache holds.
const TRANSACTION_COUNT: u64 = 60_000;

/// Passes over the workload in one measurement: some seconds, so that whatever happens once a second happens.
const PASS_COUNT: usize = 12;

const ROUND_COUNT: usize = 5;

/// Records between two publications, as `pump` has it.
const BURST_RECORDS: usize = 512;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// No feed at all: what the collector cost before.
    None,
    /// A feed, and nobody who watches.
    Idle,
    /// `top` and `tail` attached, and a scrape a second.
    Watched,
}

#[derive(Default)]
struct Records(Vec<(Record, Vec<u8>)>);

impl RecordSink for Records {
    fn record(&mut self, record: &Record, bytes: &[u8]) {
        self.0.push((*record, bytes.to_vec()));
    }
}

struct Measured {
    seconds: f64,
    cpu_seconds: f64,
    rows: u64,
    watch_rows: u64,
}

fn main() {
    let records = records();
    match std::env::args().nth(1).as_deref() {
        Some("none") => drop(measure(Mode::None, &records, 1)),
        Some("idle") => drop(measure(Mode::Idle, &records, 1)),
        _ => compare(&records),
    }
}

fn compare(records: &Records) {
    const MODES: [Mode; 3] = [Mode::None, Mode::Idle, Mode::Watched];
    let mut times: [Vec<(f64, f64)>; 3] = Default::default();
    measure(Mode::None, records, 2);
    for round in 0..ROUND_COUNT {
        // The order changes with the round, so that no mode is always the first.
        for turn in 0..MODES.len() {
            let nth = (round + turn) % MODES.len();
            let measured = measure(MODES[nth], records, PASS_COUNT);
            println!(
                "round {round} {:8} {:7.3} s wall {:7.3} s cpu  {:6.3} us a row  {} rows, {} shown",
                format!("{:?}", MODES[nth]),
                measured.seconds,
                measured.cpu_seconds,
                measured.cpu_seconds * 1e6 / measured.rows as f64,
                measured.rows,
                measured.watch_rows
            );
            times[nth].push((measured.seconds, measured.cpu_seconds));
        }
    }
    let median = |nth: usize, of: fn(&(f64, f64)) -> f64| {
        let mut all: Vec<f64> = times[nth].iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    for (nth, mode) in MODES.iter().enumerate().skip(1) {
        println!(
            "{mode:?}: {:.4} of the collector's time without a feed (its CPU time), {:.4} (wall), medians of {ROUND_COUNT}",
            median(nth, |time| time.1) / median(0, |time| time.1),
            median(nth, |time| time.0) / median(0, |time| time.0),
        );
    }
}

fn records() -> Records {
    let mut records = Records::default();
    let mut decider = Decider::new(&Config::default());
    for frame in Workload::new(Options::new(Profile::Heads, Size::Transactions(TRANSACTION_COUNT), 1)) {
        let original_len = frame.bytes.len() as u32;
        let frame = FrameRef {
            ts_ns: frame.ts_ns,
            link: Link::Ethernet,
            bytes: &frame.bytes,
            original_len,
            ifindex: 1,
        };
        decider.decide(frame, &mut records);
    }
    records
}

fn measure(mode: Mode, records: &Records, passes: usize) -> Measured {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let path = folder.path().join("s.sock");
    let mut plan = (mode != Mode::None)
        .then(|| HubPlan::new(Socket::bind(&path, Owners::default()).expect("the folder was just made")));
    let ledgers: Vec<Arc<CollectorLedger>> = (0..passes).map(|_| Arc::default()).collect();
    let feeds: Vec<_> = ledgers.iter().map(|ledger| plan.as_mut().map(|plan| plan.feed(ledger))).collect();
    let hub = plan.map(|plan| plan.start().expect("a thread is to be had"));
    let stop = Arc::new(AtomicBool::new(false));
    let viewers = if mode == Mode::Watched { watch(&path, &stop) } else { Vec::new() };
    let (outlet, sealed) = crossbeam_channel::bounded(3);
    let sink = thread::spawn(move || sealed.iter().for_each(drop));
    let settings = CollectorSettings {
        head_bytes_max: 16 << 10,
        ts_source: TimeSource::Xdp,
        flush_interval_ns: None,
        full_queue: FullQueue::Wait,
    };
    let redactor = Redactor::new(Policy::default(), Key::from_bytes([7; 32]));
    let (start, cpu_start) = (now(), cpu_seconds());
    for (feed, ledger) in feeds.into_iter().zip(&ledgers) {
        let mut collector = Collector::new(&settings, redactor.twin(), outlet.clone(), Arc::clone(ledger));
        if let Some(feed) = feed {
            collector.set_feed(feed);
        }
        for burst in records.0.chunks(BURST_RECORDS) {
            burst.iter().for_each(|(record, bytes)| collector.record(record, bytes));
            collector.publish();
        }
        collector.finish();
    }
    let (seconds, cpu_seconds) = (now().duration_since(start).as_secs_f64(), cpu_seconds() - cpu_start);
    stop.store(true, Ordering::Relaxed);
    hub.into_iter().for_each(capture::view::hub::Hub::finish);
    viewers.into_iter().for_each(|viewer| viewer.join().expect("a viewer does not panic"));
    drop(outlet);
    sink.join().expect("the sink does not panic");
    let count = |counter: Counter| ledgers.iter().map(|ledger| ledger.counts.read()[counter as usize]).sum();
    Measured { seconds, cpu_seconds, rows: count(Counter::Rows), watch_rows: count(Counter::WatchRows) }
}

/// Attaches a `top` and a `tail` that read all they get, and scrapes once a second.
fn watch(path: &Path, stop: &Arc<AtomicBool>) -> Vec<thread::JoinHandle<()>> {
    let mut threads = Vec::new();
    for ask in [r#"{"v":1,"ask":"tail"}"#, r#"{"v":1,"ask":"top","every_ms":1000}"#] {
        let mut stream = UnixStream::connect(path).expect("the hub listens");
        writeln!(stream, "{ask}").expect("the hub listens");
        threads.push(thread::spawn(move || {
            let mut bytes = vec![0; 1 << 16];
            while stream.read(&mut bytes).is_ok_and(|count| count > 0) {}
        }));
    }
    let stop = Arc::clone(stop);
    threads.push(thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            drop(metrics::to_text(Answer::default()));
            for _ in 0..20 {
                if !stop.load(Ordering::Relaxed) {
                    thread::sleep(Duration::from_millis(50));
                }
            }
        }
    }));
    threads
}

/// CPU time of this thread, as the scheduler counts it.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux counts it");
    let nanos: u64 =
        text.split(' ').next().and_then(|word| word.parse().ok()).expect("it begins with a number");
    nanos as f64 / 1e9
}

#[expect(clippy::disallowed_methods, reason = "a benchmark owns its clock")]
fn now() -> Instant {
    Instant::now()
}
