//! Heads that no record told of, and what seemed to be one: counted, told, taken back.

use std::sync::Arc;

use common::record::{Record, RecordKind, record_flag};

use crate::{
    collector::{Collector, CollectorSettings},
    flow::testing,
    ledger::{CollectorLedger, Counter},
    limits::HEAD_RECENT_COUNT_MAX,
    redact::{Key, Policy, Redactor},
    source::RecordSink as _,
};

fn collector(ledger: &Arc<CollectorLedger>) -> Collector {
    let redactor = Redactor::new(Policy::default(), Key::from_bytes([7; 32]));
    let (outlet, _sealed) = crossbeam_channel::unbounded();
    Collector::new(&CollectorSettings::of_files(1 << 14), redactor, outlet, Arc::clone(ledger))
}

fn head(collector: &mut Collector, seq: u32, bytes: &str, flags: u8) {
    let record = Record { flags: record_flag::HEAD_END | flags, ..testing::record(seq, bytes.len()) };
    collector.record(&record, bytes.as_bytes());
}

fn piece(collector: &mut Collector, seq: u32, bytes: &str, due: u32) {
    let record = Record { kind: RecordKind::Continuation as u8, due, ..testing::record(seq, bytes.len()) };
    collector.record(&record, bytes.as_bytes());
}

fn read<const N: usize>(ledger: &CollectorLedger, which: [Counter; N]) -> [u64; N] {
    let counts = ledger.counts.read();
    which.map(|counter| counts[counter as usize])
}

/// What came of a whole head and pieces behind it, each at its offset from the head's first byte.
fn counts(pieces: &[(u32, &str)]) -> [u64; 4] {
    counts_behind("GET /a HTTP/1.1\r\n\r\n", pieces, 0)
}

/// The same behind another head, where the decision says with each piece that something is due so far behind its first byte.
fn counts_behind(first: &str, pieces: &[(u32, &str)], due: u32) -> [u64; 4] {
    let ledger = Arc::new(CollectorLedger::default());
    let mut collector = collector(&ledger);
    head(&mut collector, 1_000, first, 0);
    for (at, bytes) in pieces {
        piece(&mut collector, 1_000 + at, bytes, if due == 0 { 0 } else { 1_000 + due });
    }
    collector.finish();
    read(&ledger, [Counter::Heads, Counter::HeadsUntold, Counter::Requests, Counter::RecordsOrphan])
}

#[test]
fn a_head_that_no_record_told_of_is_found_where_the_one_before_it_ends() {
    assert_eq!(counts(&[(19, "GET /b HT"), (28, "TP/1.1\r\n\r\n")]), [1, 1, 2, 0]);
    assert_eq!(counts(&[(28, "TP/1.1\r\n\r\n"), (19, "GET /b HT")]), [1, 1, 2, 0], "in any order");
    assert_eq!(counts(&[(20, "GET /b HTTP/1.1\r\n\r\n")]), [1, 0, 1, 1], "not where it should");
    assert_eq!(counts(&[(19, "HTTP/1.1 200 OK\r\n\r\n")]), [1, 0, 1, 1], "not of this side");
    assert_eq!(counts(&[(19, "nothing of the kind\r\n\r\n")]), [1, 0, 1, 1]);
    assert_eq!(
        counts(&[(11, "/1.1\r\n\r\nGE"), (21, "T /b HTTP/1.1\r\n\r\n")]),
        [1, 1, 2, 0],
        "cut in its method"
    );
    let two = "GET /b HTTP/1.1\r\n\r\nGET /c HTTP/1.1\r\n\r\n";
    assert_eq!(counts(&[(19, two)]), [1, 2, 3, 0]);
}

#[test]
fn chunks_lead_to_heads_that_the_decision_has_passed() {
    let head = "PUT /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    let behind = head.len() as u32;
    let (chunks, next) = ("3\r\nabc\r\n0\r\n\r\n", "GET /b HTTP/1.1\r\n\r\n");
    let over = behind + (chunks.len() + next.len()) as u32;
    let pieces = [(behind, chunks), (behind + chunks.len() as u32, next)];
    assert_eq!(counts_behind(head, &pieces, over)[..3], [1, 1, 2]);
}

/// Requests, those taken back of them, start lines in messages, and rows, where a start line stands in the body of a request and
/// came before it where `is_late`; then pieces of the body, each at its offset.
fn lied_to(request: &str, pieces: &[(u32, &str)], is_late: bool) -> [u64; 4] {
    let ledger = Arc::new(CollectorLedger::default());
    let mut collector = collector(&ledger);
    let lie = 1_000 + request.len() as u32 + 4;
    if is_late {
        head(&mut collector, lie, "GET /lie HTTP/1.1\r\n\r\n", 0);
    }
    head(&mut collector, 1_000, request, 0);
    if !is_late {
        head(&mut collector, lie, "GET /lie HTTP/1.1\r\n\r\n", 0);
    }
    for (at, bytes) in pieces {
        piece(&mut collector, 1_000 + request.len() as u32 + at, bytes, 0);
    }
    collector.finish();
    read(&ledger, [Counter::Requests, Counter::Retracted, Counter::InMessage, Counter::Rows])
}

#[test]
fn what_turns_out_to_lie_in_a_body_becomes_no_row() {
    let declared = "PUT /a HTTP/1.1\r\nContent-Length: 25\r\n\r\n";
    assert_eq!(lied_to(declared, &[], true), [2, 1, 0, 1]);
    assert_eq!(lied_to(declared, &[], false), [1, 0, 1, 1], "where it was known, it is no request at all");
    let waits = "PUT /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 25\r\n\r\n";
    assert_eq!(lied_to(waits, &[], true), [2, 0, 0, 2], "a body that may never be sent hides none");
    let chunked = "PUT /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(lied_to(chunked, &[], false), [2, 0, 0, 2], "nothing says how long the chunk is");
    let ends = [(0, "15\r\n"), (25, "\r\n0\r\n\r\n")];
    assert_eq!(lied_to(chunked, &[(0, "17\r\n")], false)[1], 0, "nothing bears that out");
    assert_eq!(lied_to(chunked, &ends, false), [2, 1, 0, 1]);
    assert_eq!(lied_to(chunked, &ends, true), [2, 1, 0, 1]);
}

#[test]
fn a_copy_of_what_lay_in_a_chunk_is_no_head_either() {
    let ledger = Arc::new(CollectorLedger::default());
    let mut collector = collector(&ledger);
    head(&mut collector, 1_000, "PUT /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 0);
    for flags in [record_flag::IN_CHUNK, 0] {
        head(&mut collector, 2_000, "GET /lie HTTP/1.1\r\n\r\n", flags);
    }
    collector.finish();
    assert_eq!(read(&ledger, [Counter::Requests, Counter::InMessage, Counter::Rows]), [1, 2, 1]);
}

#[test]
fn a_head_that_is_long_past_does_not_begin_again_behind_one_that_came_late() {
    let ledger = Arc::new(CollectorLedger::default());
    let mut collector = collector(&ledger);
    let bytes = "GET /a HTTP/1.1\r\n\r\n";
    let seq = |nth: u32| 1_000 + nth * bytes.len() as u32;
    let count = 1 + HEAD_RECENT_COUNT_MAX as u32;
    (1..=count).for_each(|nth| head(&mut collector, seq(nth), bytes, 0));
    piece(&mut collector, seq(1), bytes, 0);
    head(&mut collector, seq(0), bytes, 0);
    collector.finish();
    let counts = read(&ledger, [Counter::HeadsUntold, Counter::Rows]);
    assert_eq!(counts, [0, u64::from(count) + 1]);
}
