//! Sampling that changes while connections live: every row holds the N that was in force when its transaction began.

use std::sync::Arc;

use arrow_array::{cast::AsArray as _, types};
use bench::workload::{Options, Profile, Size, Workload};
use capture::{
    collector::{Collector, CollectorSettings},
    ledger::CollectorLedger,
    redact::{Key, Policy, Redactor},
    source::{
        RecordSink,
        decider::{Decider, FrameRef},
    },
};
use common::{config::Config, decide::dissect::Link, limits::HEAD_BYTES_MAX, record::Record};

/// Nanoseconds of record time that one N stays.
const STAY_NS: u64 = 2_000_000;

/// N at a time, as one who samples by load might choose it.
fn weight_at(ts_ns: u64) -> u32 {
    1 << (ts_ns / STAY_NS % 4)
}

/// A collector whose records were sampled by changing N.
struct Changing(Collector);

impl RecordSink for Changing {
    fn record(&mut self, record: &Record, bytes: &[u8]) {
        self.0.record(&Record { sample_weight: weight_at(record.ts_ns), ..*record }, bytes);
    }
}

#[test]
fn a_row_holds_the_weight_its_transaction_began_with() {
    let (outlet, inlet) = crossbeam_channel::unbounded();
    let settings = CollectorSettings::of_files(HEAD_BYTES_MAX as usize);
    let redactor = Redactor::new(Policy::off(), Key::from_bytes([7; 32]));
    let ledger = Arc::new(CollectorLedger::default());
    let mut changing = Changing(Collector::new(&settings, redactor, outlet, ledger));
    let mut config = Box::<Config>::default();
    config.head_limit = HEAD_BYTES_MAX;
    let mut decider = Decider::new(&config);
    for frame in Workload::new(Options::new(Profile::Heads, Size::Transactions(1_500), 3)) {
        let (ts_ns, original_len) = (frame.ts_ns, frame.bytes.len() as u32);
        let bytes = &frame.bytes[..];
        decider
            .decide(FrameRef { ts_ns, link: Link::Ethernet, bytes, original_len, ifindex: 0 }, &mut changing);
    }
    changing.0.finish();
    let mut rows_of = [0; 9];
    for sealed in inlet {
        let table = storage::table(*sealed.batch, "here").unwrap();
        let numbers = |name: &str| table.column_by_name(name).unwrap();
        let times = numbers("ts_ns").as_primitive::<types::Int64Type>().values();
        let weights = numbers("sample_weight").as_primitive::<types::Int32Type>().values();
        for (ts_ns, weight) in times.iter().zip(weights) {
            assert_eq!(weight.cast_unsigned(), weight_at(ts_ns.cast_unsigned()), "a row of {ts_ns}");
            rows_of[*weight as usize] += 1;
        }
    }
    assert!([1, 2, 4, 8].iter().all(|weight| rows_of[*weight] > 0), "{rows_of:?}");
}
