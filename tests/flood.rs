//! Floods of connections and of half heads cost no more memory than was told at start; who is oldest goes, counted.
//!
//! Each runs in a process of its own, whose resident memory is what is measured.

use std::{fs, process::Command, sync::Arc, thread};

use bench::wire::{self, Path, Segment, Side, flag};
use capture::{
    collector::{Collector, CollectorSettings},
    ledger::{CollectorLedger, Counter},
    limits::{FLOW_COUNT_MAX, QUEUE_WORK_COUNT_MAX, collector_bytes_max},
    redact::{Key, Policy, Redactor},
    source::decider::{Decider, FrameRef},
};
use common::{config::Config, decide::dissect::Link, limits::HEAD_BYTES_DEFAULT};
use harness::say;

/// Names the flood in the environment of the child that is flooded.
const FLOOD_VARIABLE: &str = "HDRCAP_TEST_FLOOD";

/// A flood: how many connections it has, and what each of them says, in how many segments.
struct Flood {
    name: &'static str,
    usual: usize,
    long: usize,
    segments: Vec<Vec<u8>>,
    /// What must have been given up.
    evicts: Counter,
}

fn floods() -> Vec<Flood> {
    let field = |bytes: usize| format!("X: {}\r\n", "x".repeat(bytes - 5));
    let half = format!("GET /half HTTP/1.1\r\nHost: h\r\n{}", field(1000));
    let whole = b"GET /whole HTTP/1.1\r\nHost: h\r\n\r\n".to_vec();
    let last = [field(1000).as_bytes(), b"\r\n"].concat();
    let mut large = vec![half.clone().into_bytes()];
    large.extend(vec![field(1400).into_bytes(); 10]);
    large.push(last);
    let flood = |name, usual, long, segments, evicts| Flood { name, usual, long, segments, evicts };
    vec![
        flood(
            "connections",
            FLOW_COUNT_MAX + FLOW_COUNT_MAX / 4,
            10_000_000,
            vec![whole.clone()],
            Counter::ConnectionsEvicted,
        ),
        flood("half heads", 60_000, 10_000_000, vec![half.into_bytes()], Counter::HeadsGivenUp),
        flood("pipelined requests", 3_000, 500_000, vec![whole; 60], Counter::TransactionsGivenUp),
        flood("large heads without answers", 5_000, 1_000_000, large, Counter::TransactionsGivenUp),
    ]
}

/// A field of `/proc/self/status`, in bytes.
fn memory(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

impl Flood {
    fn connections(&self) -> usize {
        if std::env::var_os("HDRCAP_TEST_LONG").is_some() { self.long } else { self.usual }
    }

    /// The frames of one segment of a connection, the connection's number in its addresses.
    fn templates(&self) -> Vec<Vec<u8>> {
        let path = Path {
            client: ("11.0.0.0".parse().unwrap(), 40_000),
            server: ("10.0.0.2".parse().unwrap(), 80),
            vlan_ids: Vec::new(),
        };
        let mut seq = 1_000;
        let frame = |payload: &Vec<u8>| {
            let flags = flag::ACK | flag::PSH;
            let segment =
                Segment { from: Side::Client, seq, ack: 5_000, flags, options: &[], payload, ip_id: 0 };
            seq += payload.len() as u32;
            wire::frame(&path, &segment)
        };
        self.segments.iter().map(frame).collect()
    }

    /// Floods a collector; its counts, and by how many bytes this process grew at the most.
    fn run(&self) -> (Arc<CollectorLedger>, u64) {
        const SOURCE_AT: usize = 14 + 12;
        const LONG_BYTES: usize = 500;
        let (outlet, inlet) = crossbeam_channel::bounded(QUEUE_WORK_COUNT_MAX);
        let rows = thread::spawn(move || inlet.into_iter().map(drop).count());
        let settings = CollectorSettings::of_files(HEAD_BYTES_DEFAULT as usize);
        let ledger = Arc::new(CollectorLedger::default());
        let mut decider = Decider::new(&Config::default());
        let before = memory("VmRSS:");
        let redactor = Redactor::new(Policy::off(), Key::from_bytes([7; 32]));
        let mut collector = Collector::new(&settings, redactor, outlet, Arc::clone(&ledger));
        let mut templates = self.templates();
        let mut ts_ns = 1_700_000_000_000_000_000;
        for connection in 0..self.connections() as u32 {
            for (nth, frame) in (0..).zip(&mut templates) {
                frame[SOURCE_AT..SOURCE_AT + 4].copy_from_slice(&(0x0b00_0000 + connection).to_be_bytes());
                // No long value is like another: a dictionary holds each.
                if let Some(at) = frame.len().checked_sub(LONG_BYTES) {
                    frame[at..at + 8].copy_from_slice(format!("{:08x}", connection << 4 | nth).as_bytes());
                }
                // A million frames a second.
                ts_ns += 1_000;
                let original_len = frame.len() as u32;
                decider.decide(
                    FrameRef { ts_ns, link: Link::Ethernet, bytes: frame, original_len, ifindex: 0 },
                    &mut collector,
                );
            }
        }
        collector.finish();
        rows.join().unwrap();
        (ledger, memory("VmHWM:").saturating_sub(before))
    }
}

#[test]
fn floods_cost_what_was_told_at_start() {
    for flood in floods() {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["flood::child_is_flooded", "--exact", "--ignored", "--nocapture"])
            .env(FLOOD_VARIABLE, flood.name)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}: {}", flood.name, harness::said(&output));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let told = text.lines().find(|line| line.contains("cost")).unwrap_or_default();
        say(told);
    }
}

/// Not a test by itself: floods a collector in this process and looks what it cost.
#[test]
#[ignore = "started by floods_cost_what_was_told_at_start"]
fn child_is_flooded() {
    let name = std::env::var(FLOOD_VARIABLE).unwrap();
    let flood = floods().into_iter().find(|flood| flood.name == name).unwrap();
    let (ledger, bytes) = flood.run();
    let counts = ledger.counts.read();
    let count = |counter: Counter| counts[counter as usize];
    let told = collector_bytes_max(HEAD_BYTES_DEFAULT);
    println!(
        "\na flood of {} {name} cost {} MiB, {} told at start; {} {}",
        flood.connections(),
        bytes >> 20,
        told >> 20,
        count(flood.evicts),
        flood.evicts.name()
    );
    assert!(bytes <= told, "{bytes} bytes, but {told} were told");
    assert!(count(flood.evicts) > 0, "nothing was given up: {counts:?}");
    assert_eq!(count(Counter::Rows), count(Counter::Heads), "every request is a row: {counts:?}");
    assert!(count(Counter::Heads) >= flood.connections() as u64);
}
