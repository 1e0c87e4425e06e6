//! Floods: three times as many connections as the table holds take no more memory than once as many, requests that nobody
//! answers no more than a batch, and nothing more than is told at start.

use std::{net::Ipv4Addr, sync::Arc};

use bench::wire::{self, Path, Segment, Side, flag};
use capture::{
    collector::{Collector, CollectorSettings, FullQueue},
    ledger::{CollectorLedger, Counter},
    limits::{FLOW_COUNT_MAX, collector_bytes_max},
    redact::{Key, Policy, Redactor},
    source::decider::{Decider, FrameRef},
};
use common::{config::Config, decide::dissect::Link};
use harness::say;
use storage::{batch::Batch, values::TimeSource};

use super::heap::peak_bytes;

const HEAD_BYTES_MAX: u32 = 16 << 10;

/// Nanoseconds between two connections, and after which rows leave their collector: what is measured is not the batch.
const STEP_NS: u64 = 10_000;
const FLUSH_INTERVAL_NS: u64 = 100 * STEP_NS;

/// The nth of a flood: what it sends, and from where in its connection.
type Flood = fn(u32) -> Vec<(u32, Vec<u8>)>;

/// What a flood came to.
struct Flooded {
    peak_bytes: usize,
    heads: u64,
    rows: usize,
    batches: usize,
}

/// Runs `count` connections through decision and collector.
fn flooded(count: u32, flood: Flood) -> Flooded {
    let ledger = Arc::new(CollectorLedger::default());
    let own = Arc::clone(&ledger);
    let (mut rows, mut batches) = (0, 0);
    let mut take = |batch: &Batch| {
        rows += batch.rows();
        batches += 1;
    };
    let peak_bytes = peak_bytes(|| {
        let settings = CollectorSettings {
            head_bytes_max: HEAD_BYTES_MAX as usize,
            ts_source: TimeSource::Pcap,
            flush_interval_ns: Some(FLUSH_INTERVAL_NS),
            full_queue: FullQueue::Wait,
        };
        let (outlet, inlet) = crossbeam_channel::unbounded();
        let redactor = Redactor::new(Policy::default(), Key::from_bytes([7; 32]));
        let mut collector = Collector::new(&settings, redactor, outlet, own);
        let mut decider = Decider::new(&Box::<Config>::default());
        for nth in 0..count {
            for (seq, payload) in flood(nth) {
                let bytes = &frame(nth, seq, &payload);
                let original_len = bytes.len() as u32;
                let ts_ns = 1 + u64::from(nth) * STEP_NS;
                let frame = FrameRef { ts_ns, link: Link::Ethernet, bytes, original_len, ifindex: 0 };
                decider.decide(frame, &mut collector);
            }
            // What the encoder would take.
            inlet.try_iter().for_each(|sealed| take(&sealed.batch));
        }
        collector.finish();
        inlet.try_iter().for_each(|sealed| take(&sealed.batch));
    });
    Flooded { peak_bytes, heads: ledger.counts.read()[Counter::Heads as usize], rows, batches }
}

fn frame(nth: u32, seq: u32, payload: &[u8]) -> Vec<u8> {
    let client = (Ipv4Addr::from(0x0a00_0000 + (nth >> 14)).into(), 1024 + (nth & 0x3fff) as u16);
    let path = Path { client, server: (Ipv4Addr::new(192, 0, 2, 1).into(), 80), vlan_ids: Vec::new() };
    let flags = flag::ACK | flag::PSH;
    wire::frame(&path, &Segment { from: Side::Client, seq, ack: 1, flags, options: &[], payload, ip_id: 0 })
}

#[test]
fn connections_beyond_the_table_take_no_memory() {
    if !super::is_long() {
        return say("half a million connections into one collector: with HDRCAP_TEST_LONG=1");
    }
    let flood: Flood = |_| vec![(1, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n".to_vec())];
    let (full, over) = (flooded(FLOW_COUNT_MAX as u32, flood), flooded(3 * FLOW_COUNT_MAX as u32, flood));
    assert_eq!(over.heads, 3 * FLOW_COUNT_MAX as u64);
    let (full, over) = (full.peak_bytes, over.peak_bytes);
    assert!(over <= full + full / 4, "{full} bytes for what a table holds, {over} for three times as many");
    let told = collector_bytes_max(HEAD_BYTES_MAX);
    assert!((over as u64) < told, "{over} bytes, where {told} are told at start");
}

#[test]
fn requests_that_nobody_answers_leave_when_they_fill_a_batch() {
    // Half as many bytes again as a batch holds, all of them within the time that a request may wait.
    let count = 48 << 10;
    let flooded = flooded(count, |nth| {
        let filler = format!("{nth:07x}.").repeat(256);
        vec![(1, format!("GET /{nth} HTTP/1.1\r\nHost: h\r\nX: {filler}\r\n\r\n").into_bytes())]
    });
    assert_eq!(flooded.rows, count as usize, "rows vanished");
    assert!(flooded.batches < 20, "{} batches: one is sealed again and again", flooded.batches);
    let told = collector_bytes_max(HEAD_BYTES_MAX);
    assert!(
        (flooded.peak_bytes as u64) < told,
        "{} bytes, where {told} are told at start",
        flooded.peak_bytes
    );
}
