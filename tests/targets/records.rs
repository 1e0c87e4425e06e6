//! Records into a collector, structured: segments of two ends in any order, doubled, lost, contradicting each other.
//!
//! Whatever comes, nothing panics and the balance of heads and rows closes.

use std::sync::Arc;

use arbitrary::{Arbitrary, Unstructured};
use capture::{
    collector::{Collector, CollectorSettings},
    encoder::Sealed,
    ledger::{CollectorLedger, Counter},
    redact::{Key, Policy, Redactor},
    source::RecordSink as _,
};
use common::{
    decide,
    record::{Address, Record},
};

/// Records of one input at the most.
const RECORD_COUNT_MAX: usize = 256;

/// Bytes that mean something to a parser of heads.
const PIECES: &[&[u8]] = &[
    b"GET /a?token=x HTTP/1.1\r\nHost: h\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HEAD / HTTP/1.1\r\nHost: h\r\n",
    b"Cookie: a=b; c=d\r\n",
    b"\r\n",
    b"CONNECT h:443 HTTP/1.1\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
];

#[derive(Arbitrary, Debug)]
struct Step<'a> {
    connection: u8,
    from_low: bool,
    kind: u8,
    seq: u16,
    ack: u16,
    flags: u8,
    quality: u8,
    pause_ms: u16,
    piece: u8,
    other: &'a [u8],
}

/// The input is a list of steps.
pub(crate) fn run(input: &[u8]) {
    let mut source = Unstructured::new(input);
    let (outlet, inlet) = crossbeam_channel::unbounded();
    let ledger = Arc::new(CollectorLedger::default());
    let mut collector = collector(outlet, &ledger);
    let mut ts_ns = 1;
    for _ in 0..RECORD_COUNT_MAX {
        if source.is_empty() {
            break;
        }
        let Ok(step) = Step::arbitrary(&mut source) else { break };
        ts_ns += u64::from(step.pause_ms) * 1_000_000;
        let piece = PIECES.get(usize::from(step.piece)).copied().unwrap_or(step.other);
        let bytes = &piece[..piece.len().min(usize::from(u16::MAX))];
        // A mark has no bytes (the record's contract).
        let bytes = if step.kind % 4 == 3 { &[] } else { bytes };
        collector.record(&record(&step, bytes, ts_ns), bytes);
    }
    collector.finish();
    check(&ledger, inlet.into_iter());
}

fn collector(outlet: crossbeam_channel::Sender<Box<Sealed>>, ledger: &Arc<CollectorLedger>) -> Collector {
    let settings = CollectorSettings::of_files(4096);
    let redactor = Redactor::new(Policy::default(), Key::from_bytes([7; 32]));
    Collector::new(&settings, redactor, outlet, Arc::clone(ledger))
}

fn record(step: &Step<'_>, bytes: &[u8], ts_ns: u64) -> Record {
    let end = |last: u8| Address::v4([10, 0, step.connection % 4, last]);
    let (low, high) = ((end(1), 40000), (end(2), 80));
    let (from, to) = if step.from_low { (low, high) } else { (high, low) };
    Record {
        ts_ns,
        flow_hash: u64::from(step.connection % 4),
        src_ip: from.0,
        dst_ip: to.0,
        src_port: from.1,
        dst_port: to.1,
        seq: u32::from(step.seq),
        ack: u32::from(step.ack),
        segment_seq: u32::from(step.seq),
        segment_len: bytes.len() as u32,
        sample_weight: 1,
        copied: bytes.len() as u16,
        kind: step.kind % 4,
        tcp_flags: step.flags,
        ip_version: 4,
        flags: step.quality,
        ..decide::Work::default().record
    }
}

fn check(ledger: &CollectorLedger, sealed: impl Iterator<Item = Box<Sealed>>) {
    let counts = ledger.counts.read();
    let count = |counter: Counter| counts[counter as usize];
    let ended = [
        Counter::MessagesWhole,
        Counter::MessagesTruncated,
        Counter::Malformed,
        Counter::Duplicate,
        Counter::InMessage,
        Counter::AfterEnd,
        Counter::Evicted,
    ];
    assert_eq!(count(Counter::Heads), ended.map(count).iter().sum::<u64>(), "heads vanished");
    let mut rows = 0;
    for sealed in sealed {
        rows += sealed.batch.rows() as u64;
        storage::table(*sealed.batch, "here").expect("a batch is a table");
    }
    assert_eq!(count(Counter::Rows), rows, "rows vanished");
}
