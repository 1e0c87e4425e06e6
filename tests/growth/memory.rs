//! Floods: three times as many connections, heads or lines as a table holds take no more memory than once as many, and
//! never more than is told at start.

use std::{net::Ipv4Addr, sync::Arc};

use bench::wire::{self, Path, Segment, Side, flag};
use capture::{
    collector::{Collector, CollectorSettings, FullQueue},
    ledger::{CollectorLedger, Counter},
    limits::{FLOW_COUNT_MAX, PARTIAL_COUNT_MAX, collector_bytes_max},
    redact::{Key, Policy, Redactor},
    source::decider::{Decider, FrameRef},
};
use common::{config::Config, decide::dissect::Link};
use harness::say;
use storage::values::TimeSource;

use super::heap::peak_bytes;

const HEAD_BYTES_MAX: u32 = 16 << 10;

/// Nanoseconds between two connections, and after which rows leave their collector: what is measured is not the batch.
const STEP_NS: u64 = 10_000;
const FLUSH_INTERVAL_NS: u64 = 100 * STEP_NS;

/// Bytes of a segment of a head that does not end.
const PIECE_BYTES: usize = 1400;

/// The nth of a flood: what it sends, and from where in its connection.
type Flood = fn(u32) -> Vec<(u32, Vec<u8>)>;

/// Runs `count` connections through decision and collector, and returns the peak and the heads begun.
fn flooded(count: u32, flood: Flood) -> (usize, u64) {
    let ledger = Arc::new(CollectorLedger::default());
    let own = Arc::clone(&ledger);
    let peak = peak_bytes(move || {
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
                let frame = FrameRef {
                    ts_ns: 1 + u64::from(nth) * STEP_NS,
                    link: Link::Ethernet,
                    bytes,
                    original_len,
                    ifindex: 0,
                };
                decider.decide(frame, &mut collector);
            }
            // What the encoder would take.
            inlet.try_iter().for_each(drop);
        }
        collector.finish();
        inlet.try_iter().for_each(drop);
    });
    (peak, ledger.counts.read()[Counter::Heads as usize])
}

fn frame(nth: u32, seq: u32, payload: &[u8]) -> Vec<u8> {
    let client = (Ipv4Addr::from(0x0a00_0000 + (nth >> 14)).into(), 1024 + (nth & 0x3fff) as u16);
    let path = Path { client, server: (Ipv4Addr::new(192, 0, 2, 1).into(), 80), vlan_ids: Vec::new() };
    let flags = flag::ACK | flag::PSH;
    wire::frame(&path, &Segment { from: Side::Client, seq, ack: 1, flags, options: &[], payload, ip_id: 0 })
}

/// Checks the peaks of `table` and three times as many.
fn assert_bounded(table: usize, flood: Flood) {
    let (full, heads) = flooded(table as u32, flood);
    assert!(heads as usize >= table, "only {heads} heads were begun");
    let (flooded, _) = flooded(3 * table as u32, flood);
    assert!(
        flooded <= full + full / 4,
        "{full} bytes for what a table holds, {flooded} for three times as many"
    );
    let told = collector_bytes_max(HEAD_BYTES_MAX);
    assert!((flooded as u64) < told, "{flooded} bytes, where {told} are told at start");
}

#[test]
fn connections_beyond_the_table_take_no_memory() {
    if !super::is_long() {
        return say("half a million connections into one collector: with HDRCAP_TEST_LONG=1");
    }
    assert_bounded(FLOW_COUNT_MAX, |_| vec![(1, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n".to_vec())]);
}

#[test]
fn heads_that_never_end_take_no_memory_beyond_the_table() {
    assert_bounded(PARTIAL_COUNT_MAX + PARTIAL_COUNT_MAX / 4, |_| {
        let start = [b"GET / HTTP/1.1\r\nA: ".as_slice(), &[b'a'; PIECE_BYTES - 19]].concat();
        let more = (1..4).map(|piece| (1 + piece * PIECE_BYTES as u32, vec![b'a'; PIECE_BYTES]));
        std::iter::once((1, start)).chain(more).collect()
    });
}

#[test]
fn lines_that_never_repeat_take_no_memory_beyond_the_table() {
    assert_bounded(1 << 12, |nth| {
        let lines: String =
            (0..16).map(|line| format!("X-{line}: {}\r\n", format!("{nth:x}.").repeat(16))).collect();
        vec![(1, format!("GET /{nth} HTTP/1.1\r\nHost: h{nth}\r\n{lines}\r\n").into_bytes())]
    });
}
