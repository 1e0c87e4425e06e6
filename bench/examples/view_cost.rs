//! What observing costs a collector: the same records with nothing published, with nobody watching, and with `top`, `tail`
//! and a scrape a second.
//!
//! `cargo run --release -p bench --example view_cost`. Modes take turns in slices of some seconds, and each is told as a ratio
//! to the blind slice beside it, so that what else the machine does cancels. `view_cost blind|idle` runs one pass of one mode,
//! for instruction counts under callgrind.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use bench::workload::{Options, Profile, Size, Workload};
use capture::{
    balance::InterfaceCounts,
    collector::{Collector, CollectorSettings, FullQueue, Moment},
    control::{
        metrics::{self, Answer},
        snapshot::{CoreView, LatencyView, Snapshot},
    },
    ledger::{CollectorLedger, Counter, merged},
    redact::{Key, Policy, Redactor},
    source::{
        RecordSink,
        decider::{Decider, FrameRef},
    },
    view::{
        hub::{Hub, HubPlan},
        socket::{Owners, Socket},
        vitals::{Vitals, VitalsDesk},
    },
};
use common::{config::Config, counters::Counters, decide::dissect::Link, record::Record};
use storage::values::TimeSource;

/// Transactions of the workload: about a second of work, and records that no cache holds.
const TRANSACTION_COUNT: u64 = 60_000;

/// Passes over the workload in one slice, each by a collector of its own.
const PASS_COUNT: usize = 2;

/// Rounds of one slice of each mode.
const ROUND_COUNT: usize = 25;

/// Records between two publications, as the pump of a ring has it.
const BURST_RECORDS: usize = 512;

/// Between two looks of the control plane at the ledgers.
const REFRESH: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// No feed, and nothing published: nobody could watch.
    Blind,
    /// As a capture runs when nobody watches: counters published, latencies taken, a feed.
    Idle,
    /// `top` and `tail` attached, and a scrape a second.
    Watched,
}

const MODES: [Mode; 3] = [Mode::Blind, Mode::Idle, Mode::Watched];

/// Records of the workload, and what the kernel half would have counted.
#[derive(Default)]
struct Records {
    records: Vec<(Record, Vec<u8>)>,
    counters: Counters,
}

impl RecordSink for Records {
    fn record(&mut self, record: &Record, bytes: &[u8]) {
        self.records.push((*record, bytes.to_vec()));
    }
}

/// What a slice took.
#[derive(Clone, Copy, Debug)]
struct Slice {
    wall_seconds: f64,
    /// CPU time of the collector.
    cpu_seconds: f64,
    /// CPU time of the hub and of the control plane.
    beside_seconds: f64,
    rows: u64,
    shown: u64,
}

fn main() {
    let records = Arc::new(records());
    match std::env::args().nth(1).as_deref() {
        Some("blind") => drop(slice(Mode::Blind, &records, 1)),
        Some("idle") => drop(slice(Mode::Idle, &records, 1)),
        _ => compare(&records),
    }
}

fn compare(records: &Arc<Records>) {
    slice(Mode::Blind, records, PASS_COUNT);
    let mut rounds: Vec<[Slice; MODES.len()]> = Vec::new();
    for round in 0..ROUND_COUNT {
        // The order changes with the round, so that no mode is always the first.
        let mut slices: Vec<(usize, Slice)> = (0..MODES.len())
            .map(|turn| (round + turn) % MODES.len())
            .map(|mode| (mode, slice(MODES[mode], records, PASS_COUNT)))
            .collect();
        slices.sort_by_key(|(mode, _)| *mode);
        rounds.push(std::array::from_fn(|mode| slices[mode].1));
    }
    for (mode, name) in MODES.iter().enumerate() {
        let of = |figure: fn(&Slice) -> f64| quartiles(rounds.iter().map(|round| figure(&round[mode])));
        let to_blind = |figure: fn(&Slice) -> f64| {
            quartiles(rounds.iter().map(|round| figure(&round[mode]) / figure(&round[0])))
        };
        println!("{name:?}");
        println!(
            "  microseconds of the collector's CPU a row     {}",
            of(|at| at.cpu_seconds * 1e6 / at.rows as f64)
        );
        println!("  its CPU time, to the blind one's beside it    {}", to_blind(|at| at.cpu_seconds));
        println!("  wall clock, to the blind one's beside it      {}", to_blind(|at| at.wall_seconds));
        println!(
            "  hub and control plane, share of a core        {}",
            of(|at| at.beside_seconds / at.wall_seconds)
        );
        println!(
            "  rows shown, share                             {}",
            of(|at| at.shown as f64 / at.rows as f64)
        );
        println!(
            "  rows shown a second                           {}",
            of(|at| at.shown as f64 / at.wall_seconds)
        );
    }
}

/// Median and quartiles, as text.
fn quartiles(figures: impl Iterator<Item = f64>) -> String {
    let mut all: Vec<f64> = figures.collect();
    all.sort_by(f64::total_cmp);
    let at = |quarter: usize| all[(all.len() - 1) * quarter / 4];
    format!("{:10.4}  ({:.4} to {:.4})", at(2), at(1), at(3))
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
    records.counters = decider.counters()[0];
    records
}

/// A capture's surroundings: the hub where there is one, who watches, the control plane.
struct Around {
    hub: Option<Hub>,
    viewers: Vec<thread::JoinHandle<()>>,
    control: Option<(std::sync::mpsc::Sender<()>, thread::JoinHandle<f64>)>,
}

fn slice(mode: Mode, records: &Arc<Records>, passes: usize) -> Slice {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let path = folder.path().join("s.sock");
    let ledgers: Vec<Arc<CollectorLedger>> = (0..passes).map(|_| Arc::default()).collect();
    let mut plan = (mode != Mode::Blind)
        .then(|| HubPlan::new(Socket::bind(&path, Owners::default()).expect("the folder was just made")));
    let feeds: Vec<_> = ledgers.iter().map(|ledger| plan.as_mut().map(|plan| plan.feed(ledger))).collect();
    let around = Around::start(mode, plan, &path, (records, &ledgers));
    let (outlet, sealed) = crossbeam_channel::bounded(3);
    let sink = thread::spawn(move || sealed.iter().for_each(drop));
    let settings = CollectorSettings {
        head_bytes_max: 16 << 10,
        ts_source: TimeSource::Xdp,
        flush_interval_ns: None,
        full_queue: FullQueue::Wait,
    };
    let redactor = Redactor::new(Policy::default(), Key::from_bytes([7; 32]));
    let (start, cpu_start) = (now(), cpu_seconds("self"));
    for (feed, ledger) in feeds.into_iter().zip(&ledgers) {
        let mut collector = Collector::new(&settings, redactor.twin(), outlet.clone(), Arc::clone(ledger));
        feed.into_iter().for_each(|feed| collector.set_feed(feed));
        collect(collector, mode, records);
    }
    let wall_seconds = now().duration_since(start).as_secs_f64();
    let cpu_seconds = cpu_seconds("self") - cpu_start;
    let beside_seconds = around.end();
    drop(outlet);
    sink.join().expect("the sink does not panic");
    let count = |counter: Counter| ledgers.iter().map(|ledger| ledger.counts.read()[counter as usize]).sum();
    Slice {
        wall_seconds,
        cpu_seconds,
        beside_seconds,
        rows: count(Counter::Rows),
        shown: count(Counter::WatchRows),
    }
}

/// What the pump of a ring does, but for the ring.
fn collect(mut collector: Collector, mode: Mode, records: &Records) {
    let start = now();
    for burst in records.records.chunks(BURST_RECORDS) {
        if mode != Mode::Blind {
            let monotonic_ns = burst[0].0.ts_ns + now().duration_since(start).as_nanos() as u64;
            collector.begin_burst(Moment { monotonic_ns, unix_offset_ns: 0 }, false);
        }
        burst.iter().for_each(|(record, bytes)| collector.record(record, bytes));
        if mode != Mode::Blind {
            collector.publish();
        }
    }
    collector.finish();
}

impl Around {
    fn start(
        mode: Mode,
        plan: Option<HubPlan>,
        path: &Path,
        (records, ledgers): (&Arc<Records>, &[Arc<CollectorLedger>]),
    ) -> Around {
        let hub = plan.map(|plan| plan.start().expect("a thread is to be had"));
        let viewers = if mode == Mode::Watched { watch(path) } else { Vec::new() };
        let control = hub.as_ref().map(|hub| {
            let (desk, ledgers, records) = (hub.desk().clone(), ledgers.to_vec(), Arc::clone(records));
            let (stop, stopped) = channel();
            (stop, thread::spawn(move || control(mode, &desk, (&records, &ledgers), &stopped)))
        });
        Around { hub, viewers, control }
    }

    /// CPU time of hub and control plane together.
    fn end(self) -> f64 {
        let hub_seconds = if self.hub.is_some() { cpu_seconds_of("hdrcap-view") } else { 0.0 };
        let control_seconds = self.control.map_or(0.0, |(stop, thread)| {
            drop(stop);
            thread.join().expect("the control plane does not panic")
        });
        self.hub.into_iter().for_each(Hub::finish);
        self.viewers.into_iter().for_each(|viewer| viewer.join().expect("a viewer does not panic"));
        hub_seconds + control_seconds
    }
}

/// What the control plane does at its ticks, and for a scrape a second; its CPU time.
fn control(
    mode: Mode,
    desk: &VitalsDesk,
    (records, ledgers): (&Records, &[Arc<CollectorLedger>]),
    stopped: &Receiver<()>,
) -> f64 {
    let mut tick = 0;
    while stopped.recv_timeout(REFRESH) == Err(RecvTimeoutError::Timeout) {
        let snapshot = snapshot(records, ledgers);
        let counters = snapshot.balance().counters();
        desk.leave(Vitals {
            unix_ns: snapshot.unix_ns,
            counters: counters.into_iter().map(|(name, count)| (name.to_owned(), count)).collect(),
            ..Vitals::default()
        });
        tick += 1;
        if mode == Mode::Watched && tick % 2 == 0 {
            let text = metrics::to_text(Answer { snapshot, ..Answer::default() });
            assert!(text.is_ok_and(|text| text.contains("hdrcap_rows_total")), "a scrape shows rows");
        }
    }
    cpu_seconds("self")
}

fn snapshot(records: &Records, ledgers: &[Arc<CollectorLedger>]) -> Snapshot {
    let core = |ledger: &Arc<CollectorLedger>| CoreView {
        counts: ledger.counts.read(),
        figures: ledger.figures.read(),
        ..CoreView::default()
    };
    Snapshot {
        unix_ns: unix_ns(),
        interfaces: vec![InterfaceCounts::of("eth1".to_owned(), &records.counters)],
        cores: ledgers.iter().map(core).collect(),
        latencies: LatencyView {
            parsed: merged(ledgers.iter().map(|ledger| &ledger.parsed)),
            first_byte: merged(ledgers.iter().map(|ledger| &ledger.first_byte)),
            ..LatencyView::default()
        },
        ..Snapshot::default()
    }
}

/// Attaches a `top` and a `tail` that read all they get.
fn watch(path: &Path) -> Vec<thread::JoinHandle<()>> {
    let attach = |ask: &str| {
        let mut stream = UnixStream::connect(path).expect("the hub listens");
        writeln!(stream, "{ask}").expect("the hub listens");
        thread::spawn(move || {
            let mut bytes = vec![0; 1 << 16];
            while stream.read(&mut bytes).is_ok_and(|count| count > 0) {}
        })
    };
    [r#"{"v":1,"ask":"tail"}"#, r#"{"v":1,"ask":"top","every_ms":1000}"#].into_iter().map(attach).collect()
}

/// CPU time of a thread of this process (`self` is this one), as the scheduler counts it.
fn cpu_seconds(task: &str) -> f64 {
    let file = if task == "self" {
        "/proc/thread-self/schedstat".to_owned()
    } else {
        format!("/proc/self/task/{task}/schedstat")
    };
    let text = fs::read_to_string(file).expect("Linux counts it");
    let nanos: u64 =
        text.split(' ').next().and_then(|word| word.parse().ok()).expect("it begins with a number");
    nanos as f64 / 1e9
}

/// CPU time of the thread of this name.
fn cpu_seconds_of(name: &str) -> f64 {
    let tasks = fs::read_dir("/proc/self/task").expect("Linux lists threads");
    let is_it = |task: &fs::DirEntry| {
        fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim() == name)
    };
    let task = tasks.flatten().find(is_it).expect("the thread is there");
    cpu_seconds(&task.file_name().to_string_lossy())
}

#[expect(clippy::disallowed_methods, reason = "a benchmark owns its clock")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "a benchmark owns its clock")]
fn unix_ns() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is after 1970");
    i64::try_from(since.as_nanos()).expect("it is before 2262")
}
