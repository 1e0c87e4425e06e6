//! Each stage of a transaction's way by itself, over one seeded workload: `cargo bench -p bench`.
//!
//! divan says the time of a pass and, as items a second, how many frames, heads, rows or bytes that is. A busy machine makes all
//! of it slower: compare figures of one run, and take instruction counts (`bench/instructions`) for a record.

use std::{
    fs,
    io::Write as _,
    path::PathBuf,
    sync::{Arc, LazyLock},
};

use bench::workload::{Options, Profile, Size, Workload};
use capture::{
    collector::{Collector, CollectorSettings, FullQueue},
    flow::{
        assembler::{Assembler, Fed, HeadSpan},
        direction::Extent,
        transaction::{Before, RequestTraits, Side, Transactions},
    },
    http::{HeadEnd, Parser},
    ledger::CollectorLedger,
    redact::{Key, Policy, Redactor},
    source::{
        RecordSink,
        decider::{Decider, FrameRef},
    },
};
use common::{
    config::Config,
    decide::{detect::detect, dissect::Link, frame::SliceFrame},
    record::{Record, RecordKind},
};
use divan::{
    Bencher, black_box,
    counter::{BytesCount, ItemsCount},
};
use storage::{
    Batch,
    dataset::{Writer, WriterSettings},
    file::{Files, IoMode},
    flags::Flags,
    values::TimeSource,
};

const TRANSACTION_COUNT: u64 = 4000;

/// Heads whose values are kept for `append`: each keeps the parser and the redactor that lend them.
const KEPT_HEAD_COUNT: usize = 64;

const HEAD_BYTES_MAX: usize = 16 << 10;
const FILE_BYTES: usize = 16 << 20;
const PIECE_BYTES: usize = 64 << 10;

/// Sequence number behind the Ethernet, IPv4 and TCP headers of most frames: where `detect` is asked.
const PAYLOAD_OFFSET: u32 = 54;

static MATERIAL: LazyLock<Material> = LazyLock::new(Material::new);

fn main() {
    divan::main();
}

/// What the stages are given.
struct Material {
    frames: Vec<Vec<u8>>,
    records: Vec<(Record, Vec<u8>)>,
    requests: Vec<Vec<u8>>,
    responses: Vec<Vec<u8>>,
}

/// Keeps records.
#[derive(Default)]
struct Kept(Vec<(Record, Vec<u8>)>);

impl RecordSink for Kept {
    fn record(&mut self, record: &Record, bytes: &[u8]) {
        self.0.push((*record, bytes.to_vec()));
    }
}

/// Looks at records.
struct Seen;

impl RecordSink for Seen {
    fn record(&mut self, record: &Record, _bytes: &[u8]) {
        black_box(record.seq);
    }
}

impl Material {
    fn new() -> Self {
        let workload = Workload::new(Options::new(Profile::Heads, Size::Transactions(TRANSACTION_COUNT), 1));
        let frames: Vec<Vec<u8>> = workload.map(|frame| frame.bytes).collect();
        let mut kept = Kept::default();
        decide_all(&frames, &mut kept);
        let whole = |(record, bytes): &(Record, Vec<u8>)| {
            let end = HeadEnd::new().advance(bytes)?;
            (record.kind == RecordKind::Head as u8).then(|| bytes[..end].to_vec())
        };
        let heads = kept.0.iter().filter_map(whole);
        let (responses, requests) = heads.partition(|head| head.starts_with(b"HTTP/"));
        Self { frames, records: kept.0, requests, responses }
    }
}

fn decide_all(frames: &[Vec<u8>], sink: &mut impl RecordSink) {
    let mut decider = Decider::new(&Config::default());
    for bytes in frames {
        let original_len = bytes.len() as u32;
        decider.decide(FrameRef { ts_ns: 1, link: Link::Ethernet, bytes, original_len, ifindex: 1 }, sink);
    }
}

fn redactor() -> Redactor {
    Redactor::new(Policy::default(), Key::from_bytes([7; 32]))
}

/// The kernel half's decision on every frame, in user space.
#[divan::bench]
fn a_decide(bencher: Bencher<'_, '_>) {
    let frames = &MATERIAL.frames;
    bencher.counter(ItemsCount::new(frames.len())).bench_local(|| decide_all(black_box(frames), &mut Seen));
}

/// Whether a payload begins with a start line.
#[divan::bench]
fn b_detect(bencher: Bencher<'_, '_>) {
    let frames = &MATERIAL.frames;
    bencher.counter(ItemsCount::new(frames.len())).bench_local(|| {
        for bytes in frames {
            let len = bytes.len() as u32;
            black_box(detect(
                &mut SliceFrame::new(bytes, len),
                PAYLOAD_OFFSET,
                len.saturating_sub(PAYLOAD_OFFSET),
            ));
        }
    });
}

/// The end of a head, and its place in the direction's order.
#[divan::bench]
fn c_reassemble(bencher: Bencher<'_, '_>) {
    let records = &MATERIAL.records;
    bencher.counter(ItemsCount::new(records.len())).bench_local(|| {
        let mut assembler = Assembler::default();
        for (record, bytes) in records {
            let fed = if record.kind == RecordKind::Head as u8 {
                assembler.begin(record, bytes, HEAD_BYTES_MAX, true)
            } else {
                assembler.carry_on(record, bytes, HEAD_BYTES_MAX)
            };
            black_box(matches!(fed, Fed::InPlace(_)));
            while assembler.partial_count() > 1 {
                black_box(assembler.finish_oldest());
            }
        }
    });
}

#[divan::bench]
fn d_parse(bencher: Bencher<'_, '_>) {
    let mut parser = Parser::new();
    bencher.counter(heads()).bench_local(|| {
        for head in &MATERIAL.requests {
            black_box(&parser.request(head, true).expect("a request").flags);
        }
        for head in &MATERIAL.responses {
            black_box(&parser.response(head, true).expect("a response").flags);
        }
    });
}

/// Parsing is in it: what it adds to `d_parse` is the redaction.
#[divan::bench]
fn e_parse_and_redact(bencher: Bencher<'_, '_>) {
    let (mut parser, mut redactor) = (Parser::new(), redactor());
    bencher.counter(heads()).bench_local(|| {
        for head in &MATERIAL.requests {
            black_box(redactor.request(&parser.request(head, true).expect("a request")).fields.len());
        }
        for head in &MATERIAL.responses {
            black_box(redactor.response(&parser.response(head, true).expect("a response"), &[]).fields.len());
        }
    });
}

fn heads() -> ItemsCount {
    ItemsCount::new(MATERIAL.requests.len() + MATERIAL.responses.len())
}

/// A request opened, found by its response, answered, taken.
#[divan::bench]
fn f_pair(bencher: Bencher<'_, '_>) {
    let (mut parser, mut redactor, mut batch) = (Parser::new(), redactor(), Batch::new());
    let request =
        batch.request(&redactor.request(&parser.request(&MATERIAL.requests[0], true).expect("a request")));
    let response = parser.response(&MATERIAL.responses[0], true).expect("a response");
    let response = batch.response(&redactor.response(&response, &[]));
    bencher.counter(ItemsCount::new(TRANSACTION_COUNT)).bench_local(|| {
        let mut transactions = Transactions::default();
        for number in 0..TRANSACTION_COUNT as u32 {
            let (asked, answered) =
                (span(1000 * number, 500 * number), span(500 * number, 1000 * number + 700));
            transactions.open_request(
                Side::new(request, &asked, Extent::None),
                RequestTraits::default(),
                Before::Continuous,
            );
            if let Some(found) = transactions.find(answered.seq, Some(answered.ack)) {
                transactions.answer(
                    found,
                    Side::new(response, &answered, Extent::None),
                    Flags::default(),
                    None,
                );
            }
            black_box(transactions.take_oldest());
        }
    });
}

/// A head of 700 bytes at `seq`, in one segment.
fn span(seq: u32, ack: u32) -> HeadSpan {
    HeadSpan {
        seq,
        end_seq: seq.wrapping_add(700),
        segment_end: seq.wrapping_add(700),
        ack,
        sample_weight: 1,
        tcp_flags: common::record::tcp_flag::ACK,
        ts_first: 1,
        ts_last: 1,
        is_repeat: false,
        complete: true,
        is_continuous: true,
        is_behind_gap: false,
        flags: Flags::default(),
    }
}

/// Redacted values into columns, over and over the same few: what repeats costs a comparison.
#[divan::bench]
fn g_append(bencher: Bencher<'_, '_>) {
    let requests = &MATERIAL.requests[..KEPT_HEAD_COUNT];
    let values: Vec<_> = requests
        .iter()
        .map(|head| {
            // Lent for the rest of the run: the values borrow from both.
            let (parser, redactor) = (Box::leak(Box::new(Parser::new())), Box::leak(Box::new(redactor())));
            redactor.request(&parser.request(head, true).expect("a request"))
        })
        .collect();
    bencher.counter(ItemsCount::new(values.len())).with_inputs(Batch::new).bench_local_refs(|batch| {
        for values in &values {
            black_box(batch.request(values));
        }
    });
}

/// Ring records in, a sealed batch out: all that a collector does.
#[divan::bench]
fn h_collector(bencher: Bencher<'_, '_>) {
    bencher.counter(ItemsCount::new(TRANSACTION_COUNT)).bench_local(|| black_box(sealed().rows()));
}

fn sealed() -> Batch {
    let (outlet, sealed) = crossbeam_channel::bounded(3);
    let settings = CollectorSettings {
        head_bytes_max: HEAD_BYTES_MAX,
        ts_source: TimeSource::Xdp,
        flush_interval_ns: None,
        full_queue: FullQueue::Wait,
    };
    let mut collector = Collector::new(&settings, redactor(), outlet, Arc::new(CollectorLedger::default()));
    MATERIAL.records.iter().for_each(|(record, bytes)| collector.record(record, bytes));
    collector.finish();
    *sealed.recv().expect("a batch was sealed").batch
}

/// A batch into a row group of a file, synced, with its snapshot.
#[divan::bench]
fn i_encode(bencher: Bencher<'_, '_>) {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let mut writer =
        Writer::open(WriterSettings::new(folder.path(), "bench")).expect("the folder was just made");
    bencher
        .counter(ItemsCount::new(sealed().rows()))
        .with_inputs(sealed)
        .bench_local_values(|batch| black_box(writer.write(batch, 0).expect("the folder is writable").bytes));
}

#[divan::bench(args = [IoMode::Auto, IoMode::Plain], sample_count = 20)]
fn j_file(bencher: Bencher<'_, '_>, mode: IoMode) {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let (path, files, piece) = (folder.path().join("file"), Files::new(mode), vec![0x5a; PIECE_BYTES]);
    bencher
        .counter(BytesCount::new(FILE_BYTES))
        .bench_local(|| write(&files, &path, &piece).expect("the folder is writable"));
}

fn write(files: &Files, path: &PathBuf, piece: &[u8]) -> std::io::Result<()> {
    let mut file = files.create(path)?;
    for _ in 0..FILE_BYTES / piece.len() {
        file.write_all(piece)?;
    }
    file.finish()?;
    fs::remove_file(path)
}
