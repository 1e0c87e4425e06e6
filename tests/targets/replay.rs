//! The whole replay: any bytes as a capture file, through decision, collector and batches, to tables.
//!
//! Nothing panics, the balance closes, and the same file gives the same tables twice.

use std::{
    io::Write as _,
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
};

use capture::{
    balance::{Balance, Moment},
    collector::{Collector, CollectorSettings},
    ledger::{CollectorLedger, ENCODER_COUNTER_COUNT, EncoderCounter},
    redact::{Key, Policy, Redactor},
    source::{
        decider::Decider,
        live::losses::Softnet,
        replay::{Replay, ReplayProgress},
    },
};
use common::config::Config;

/// Short, so that small inputs reach it.
const HEAD_LIMIT: u32 = 2048;

/// The input is the file.
pub(crate) fn run(input: &[u8]) {
    let mut file = tempfile::NamedTempFile::new().expect("the temporary folder is writable");
    file.write_all(input).expect("a temporary file is writable");
    let files = [file.path().to_owned()];
    let once = replayed(&files);
    assert!(once == replayed(&files), "the same file, other tables");
}

/// The tables, as they print.
fn replayed(files: &[PathBuf]) -> Vec<String> {
    let (outlet, inlet) = crossbeam_channel::unbounded();
    let settings = CollectorSettings::of_files(HEAD_LIMIT as usize);
    let redactor = Redactor::new(Policy::default(), Key::from_bytes([7; 32]));
    let ledger = Arc::new(CollectorLedger::default());
    let collector = Collector::new(&settings, redactor, outlet, Arc::clone(&ledger));
    let mut config = Box::<Config>::default();
    config.head_limit = HEAD_LIMIT;
    let progress = Arc::new(ReplayProgress::default());
    let stop = Arc::new(AtomicBool::new(false));
    let end = Replay::new(Decider::new(&config), collector, Arc::clone(&progress), stop).run(files);
    assert!(end.errors.iter().all(|error| !error.to_string().is_empty()));
    let (mut rows, mut tables) = (0, Vec::new());
    for sealed in inlet {
        rows += sealed.batch.rows() as u64;
        tables.push(format!("{:?}", storage::table(*sealed.batch, "here").expect("a batch is a table")));
    }
    let mut encoders = [0; ENCODER_COUNTER_COUNT];
    encoders[EncoderCounter::RowsWritten as usize] = rows;
    encoders[EncoderCounter::RowsPublished as usize] = rows;
    let balance = Balance {
        interfaces: progress.read(),
        collectors: ledger.counts.read(),
        encoders,
        softnet: Softnet::default(),
        viewers: Default::default(),
        moment: Moment::Ended,
    };
    assert_eq!(balance.discrepancies(), [""; 0]);
    tables
}
