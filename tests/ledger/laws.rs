//! Breaks the law of conservation on purpose, at each seam of the pipeline, and sees it caught there.

use std::{path::Path, sync::Arc};

use bench::workload::Profile;
use capture::{
    balance::{Balance, InterfaceCounts, Moment},
    collector::{Collector, CollectorSettings, FullQueue},
    control::stats::{GAUGES, Interval, counter_names},
    encoder::Encoder,
    ledger::{CollectorLedger, Counter, EncoderCounter},
    redact::{Key, Policy, Redactor},
    source::{RecordSink, decider::Decider, live::losses::Softnet},
};
use common::{
    config::Config,
    record::{Record, RecordKind},
    verdict::Verdict,
};
use storage::{
    dataset::{STAGING_FOLDER, Writer, WriterSettings},
    schema::StatsSchema,
    values::TimeSource,
};

use super::{frame_ref, frames};

/// Where something is lost without being counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Forgetful {
    Nobody,
    /// The decision books one frame less.
    Verdicts,
    /// The ring hands on one head less than it took.
    Ring,
    /// The parser says one time less what it made of a head.
    Parser,
    /// A message is taken for neither request nor response.
    Kinds,
    /// A row is made without a word on how its sides came together.
    Pairs,
    /// A stage behind the collector swallows a batch.
    Queue,
    /// The files hold a row less than was written.
    Files,
}

/// Hands records on, but for the third head where it is forgetful.
struct Sieve {
    collector: Collector,
    heads: u32,
    is_forgetful: bool,
}

impl RecordSink for Sieve {
    fn record(&mut self, record: &Record, bytes: &[u8]) {
        self.heads += u32::from(record.kind == RecordKind::Head as u8);
        let is_third = self.heads == 3 && record.kind == RecordKind::Head as u8;
        if !(self.is_forgetful && is_third) {
            self.collector.record(record, bytes);
        }
    }
}

fn run(out: &Path, forgetful: Forgetful) -> Balance {
    run_with(out, forgetful, |_, _| {})
}

/// The same, with something that happens when everything is written and nothing is published.
fn run_with(out: &Path, forgetful: Forgetful, meanwhile: impl FnOnce(&Encoder, u64)) -> Balance {
    let writer = Writer::open(WriterSettings {
        stats: Some(StatsSchema::new(&counter_names(), &GAUGES)),
        ..WriterSettings::new(out, "here")
    });
    let encoder = Encoder::start(writer.unwrap(), "here", 1).unwrap();
    let (outlet, inlet) = crossbeam_channel::unbounded();
    let ledger = Arc::new(CollectorLedger::default());
    let settings = CollectorSettings {
        head_bytes_max: 1 << 16,
        ts_source: TimeSource::Pcap,
        flush_interval_ns: Some(100_000_000),
        full_queue: FullQueue::Wait,
    };
    let redactor = Redactor::new(Policy::off(), Key::from_bytes([7; 32]));
    let collector = Collector::new(&settings, redactor, outlet, Arc::clone(&ledger));
    let mut sieve = Sieve { collector, heads: 0, is_forgetful: forgetful == Forgetful::Ring };
    let config = Box::<Config>::default();
    let mut decider = Decider::new(&config);
    for frame in frames(Profile::Heads, 400) {
        decider.decide(frame_ref(&frame), &mut sieve);
    }
    sieve.collector.finish();
    for (nth, sealed) in inlet.into_iter().enumerate() {
        if !(forgetful == Forgetful::Queue && nth == 0) {
            encoder.queue.send(sealed).unwrap();
        }
    }
    let counts = Arc::clone(&encoder.ledger);
    meanwhile(&encoder, ledger.counts.read()[Counter::Rows as usize]);
    encoder.finish(Interval::default);
    let mut encoders = counts.counts.read();
    encoders[EncoderCounter::RowsPublished as usize] -= u64::from(forgetful == Forgetful::Files);
    let mut interface = InterfaceCounts::of("mirror".to_owned(), &decider.counters()[0]);
    interface.verdicts[Verdict::Head as usize] -= u64::from(forgetful == Forgetful::Verdicts);
    let (mut collectors, softnet) = (ledger.counts.read(), Softnet::default());
    for (stage, counter) in [
        (Forgetful::Parser, Counter::MessagesWhole),
        (Forgetful::Kinds, Counter::Requests),
        (Forgetful::Pairs, Counter::RowsAckVerified),
    ] {
        collectors[counter as usize] -= u64::from(forgetful == stage);
    }
    Balance {
        interfaces: vec![interface],
        collectors,
        encoders,
        softnet,
        viewers: Default::default(),
        moment: Moment::Ended,
    }
}

#[test]
fn a_stage_that_forgets_to_count_is_caught_where_it_stands() {
    let seams: [(Forgetful, &[&str]); 8] = [
        (Forgetful::Nobody, &[]),
        (Forgetful::Verdicts, &["frames = sum of verdicts on mirror"]),
        (Forgetful::Ring, &["heads begun in frames = heads in collectors + ring_full"]),
        (Forgetful::Parser, &["heads + heads_untold = messages + ", "messages = requests + "]),
        (Forgetful::Kinds, &["messages = requests + ", "requests + responses = sides of rows"]),
        (Forgetful::Pairs, &["rows = rows by pair_state", "requests + responses = sides of rows"]),
        (Forgetful::Queue, &["rows = rows_written + shed + disk_full + disk_error"]),
        (Forgetful::Files, &["rows_written = rows_published + rows_staged + staging_lost"]),
    ];
    for (forgetful, laws) in seams {
        let out = tempfile::tempdir().unwrap();
        let found = run(out.path(), forgetful).discrepancies();
        let is_told = found.iter().zip(laws).all(|(found, law)| found.starts_with(law));
        assert!(is_told && found.len() == laws.len(), "{forgetful:?} broke {found:?}, not {laws:?}");
    }
}

#[test]
fn rows_that_somebody_removed_before_they_were_published_are_in_the_balance() {
    let out = tempfile::tempdir().unwrap();
    let mut removed = 0;
    let balance = run_with(out.path(), Forgetful::Nobody, |encoder, rows| {
        let written = || encoder.ledger.counts.read()[EncoderCounter::RowsWritten as usize];
        harness::wait::until("every row is written", || (written() == rows).then_some(()));
        removed = rows;
        std::fs::remove_dir_all(out.path().join(STAGING_FOLDER).join("here/http")).unwrap();
    });
    assert_eq!(balance.discrepancies(), Vec::<String>::new());
    assert!(removed > 0);
    for (counter, count) in [
        (EncoderCounter::StagingLost, removed),
        (EncoderCounter::RowsPublished, 0),
        (EncoderCounter::RowsStaged, 0),
    ] {
        assert_eq!(balance.encoders[counter as usize], count, "{}", counter.name());
    }
    assert_eq!(balance.lost(), removed);
}
