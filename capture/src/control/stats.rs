//! The `capture_stats` table: what each source counted since the last time, so that its sums are the balance.
//!
//! Sources are the interfaces (frames, verdicts, heads), the collectors (records, messages, rows) and the encoders
//! (rows written and lost). Invariant: a counter has a value in the rows of one kind of source and zero in all others.

use common::verdict::Verdict;
use storage::schema::StatsRow;

use crate::{
    balance::{Balance, InterfaceCounts},
    ledger::{COUNTER_COUNT, Counter, EncoderCounter},
};

/// Counters of an interface beside its verdicts.
const INTERFACE_COUNTERS: [&str; 5] = ["frames", "bytes", "heads", "ring_full", "heads_displaced"];

/// Counters of the encoders that are final before the last rows are written.
const ENCODER_COUNTERS: [EncoderCounter; 4] = [
    EncoderCounter::Batches,
    EncoderCounter::RowsWritten,
    EncoderCounter::DiskFull,
    EncoderCounter::DiskError,
];

/// Gauges of `capture_stats`, in order.
pub const GAUGES: [&str; 3] = ["ring_fill_bytes_max", "queue_work_count_max", "disk_free_bytes"];

/// One row of `capture_stats` in the making.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// End of the interval: Unix time in nanoseconds.
    pub ts_ns: i64,
    /// Interface name; empty for collectors and encoders, which serve them all.
    pub iface: String,
    /// The collector's number.
    pub core: Option<i32>,
    /// Growth of each counter, in the order of `counter_names`.
    pub counters: Vec<i64>,
    /// Value of each gauge, in the order of `GAUGES`.
    pub gauges: Vec<Option<f64>>,
}

impl Sample {
    /// The row as storage takes it.
    pub fn as_row<'a>(&'a self, sensor: &'a str) -> StatsRow<'a> {
        StatsRow {
            ts_ns: self.ts_ns,
            sensor,
            iface: &self.iface,
            core: self.core,
            counters: &self.counters,
            gauges: &self.gauges,
        }
    }
}

/// Names of the counter columns, in order: those of the balance.
pub fn counter_names() -> Vec<&'static str> {
    let verdicts = Verdict::ALL.iter().map(|verdict| verdict.name());
    let encoders = ENCODER_COUNTERS.iter().map(|counter| counter.name());
    INTERFACE_COUNTERS
        .into_iter()
        .chain(verdicts)
        .chain(collector_counters().map(Counter::name))
        .chain(encoders)
        .collect()
}

/// A collector's own heads are those of the interfaces less `ring_full`; counting them again would double the sum.
fn collector_counters() -> impl Iterator<Item = Counter> {
    Counter::ALL.iter().copied().filter(|counter| *counter != Counter::Heads)
}

/// Values of one source at one time.
#[derive(Clone, Debug, Default)]
struct Source {
    iface: String,
    core: Option<i32>,
    values: Vec<u64>,
}

/// Remembers what was told, and tells what came since.
#[derive(Debug, Default)]
pub struct Deltas {
    told: Vec<Source>,
}

impl Deltas {
    /// What every source has counted since the last call, one row each; sources that counted nothing are left out.
    pub fn next(
        &mut self,
        ts_ns: i64,
        balance: &Balance,
        collectors: &[[u64; COUNTER_COUNT]],
        gauges: [Option<f64>; GAUGES.len()],
    ) -> Vec<Sample> {
        let mut samples = Vec::new();
        for source in sources(balance, collectors) {
            let same = |told: &&mut Source| told.iface == source.iface && told.core == source.core;
            let before = self.told.iter_mut().find(same);
            let growth = |(at, value): (usize, &u64)| {
                let told = before.as_ref().map_or(0, |told| told.values[at]);
                i64::try_from(value.saturating_sub(told)).unwrap_or(i64::MAX)
            };
            let counters: Vec<i64> = source.values.iter().enumerate().map(growth).collect();
            if counters.iter().any(|count| *count != 0) {
                let (iface, core) = (source.iface.clone(), source.core);
                samples.push(Sample { ts_ns, iface, core, counters, gauges: gauges.to_vec() });
            }
            match before {
                Some(told) => *told = source,
                None => self.told.push(source),
            }
        }
        samples
    }
}

fn sources(balance: &Balance, collectors: &[[u64; COUNTER_COUNT]]) -> Vec<Source> {
    let names = counter_names().len();
    let first_collector = INTERFACE_COUNTERS.len() + Verdict::ALL.len();
    let first_encoder = first_collector + COUNTER_COUNT - 1;
    let padded = |first: usize, own: Vec<u64>| {
        let mut values = vec![0; names];
        values[first..first + own.len()].copy_from_slice(&own);
        values
    };
    let mut sources: Vec<Source> = Vec::new();
    for counts in &balance.interfaces {
        let values = padded(0, interface_values(counts));
        sources.push(Source { iface: counts.name.clone(), core: None, values });
    }
    for (number, values) in collectors.iter().enumerate() {
        let own = collector_counters().map(|counter| values[counter as usize]).collect();
        let core = i32::try_from(number).ok();
        sources.push(Source { iface: String::new(), core, values: padded(first_collector, own) });
    }
    let own = ENCODER_COUNTERS.iter().map(|counter| balance.encoder(*counter)).collect();
    sources.push(Source { iface: String::new(), core: None, values: padded(first_encoder, own) });
    sources
}

fn interface_values(counts: &InterfaceCounts) -> Vec<u64> {
    let own = [counts.frames, counts.bytes, counts.heads, counts.heads_ring_full, counts.heads_displaced];
    own.into_iter().chain(counts.verdicts).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::ENCODER_COUNTER_COUNT;

    fn balance(frames: u64, rows: u64) -> Balance {
        let mut collectors = [0; COUNTER_COUNT];
        collectors[Counter::Rows as usize] = rows;
        let mut encoders = [0; ENCODER_COUNTER_COUNT];
        encoders[EncoderCounter::RowsWritten as usize] = rows;
        let interface = InterfaceCounts { name: "eth1".into(), frames, ..InterfaceCounts::default() };
        Balance { interfaces: vec![interface], collectors, encoders }
    }

    #[test]
    fn the_sum_of_all_rows_is_the_balance() {
        let mut deltas = Deltas::default();
        let mut sums = vec![0; counter_names().len()];
        for (frames, rows) in [(5, 1), (5, 1), (9, 4)] {
            let balance = balance(frames, rows);
            for sample in deltas.next(0, &balance, &[balance.collectors], [None; GAUGES.len()]) {
                sums.iter_mut().zip(&sample.counters).for_each(|(sum, count)| *sum += count);
            }
        }
        let sum_of = |name: &str| sums[counter_names().iter().position(|known| *known == name).unwrap()];
        assert_eq!((sum_of("frames"), sum_of("rows"), sum_of("rows_written"), sum_of("shed")), (9, 4, 4, 0));
    }

    #[test]
    fn every_column_has_a_name_of_its_own() {
        let mut names = counter_names();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn a_source_without_news_has_no_row() {
        let mut deltas = Deltas::default();
        let first = balance(5, 1);
        assert_eq!(deltas.next(0, &first, &[first.collectors], [None; GAUGES.len()]).len(), 3);
        assert!(deltas.next(1, &first, &[first.collectors], [None; GAUGES.len()]).is_empty());
    }
}
