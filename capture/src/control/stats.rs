//! The `capture_stats` table: what each source counted since the last time, so that its sums are the balance.
//!
//! Sources are the interfaces (frames, verdicts, heads, losses before us), the cores (records, messages, rows) and the
//! encoders (rows written and lost; with them, as there is one of each, viewers). A source that counted nothing has a row all the same: silence is data.
//! Invariant: a counter has a value in the rows of one kind of source and zero in all others.

use std::collections::BTreeMap;

use common::verdict::Verdict;
use storage::schema::StatsRow;

use super::snapshot::{CoreView, Snapshot};
use crate::{
    balance::{INTERFACE_COUNTERS, InterfaceCounts},
    ledger::{Counter, EncoderCounter, ViewCounter},
    source::live::losses::Softnet,
};

/// Counters of the encoders that are final before the last rows are written.
const ENCODER_COUNTERS: [EncoderCounter; 4] = [
    EncoderCounter::Batches,
    EncoderCounter::RowsWritten,
    EncoderCounter::DiskFull,
    EncoderCounter::DiskError,
];

/// Gauges of `capture_stats`, in order.
pub const GAUGES: [&str; 5] =
    ["interval_seconds", "ring_fill_bytes_max", "queue_work_count_max", "disk_free_bytes", "idle_share"];

/// One row of `capture_stats` in the making.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// End of the interval: Unix time in nanoseconds.
    pub ts_ns: i64,
    /// Interface name; empty for cores and encoders, which serve them all.
    pub iface: String,
    /// The core's number.
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

    fn is_of(&self, other: &Sample) -> bool {
        self.iface == other.iface && self.core == other.core
    }
}

/// One interval: a row for each source, and what all had counted at its end.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Interval {
    /// The rows.
    pub samples: Vec<Sample>,
    /// Every counter of the balance, for the ledger of the files.
    pub totals: BTreeMap<String, String>,
}

impl Interval {
    /// Joins the interval that follows: what is told together is told less finely, but told.
    pub fn join(&mut self, later: Interval) {
        self.totals = later.totals;
        for sample in later.samples {
            match self.samples.iter_mut().find(|known| known.is_of(&sample)) {
                Some(known) => {
                    known.ts_ns = sample.ts_ns;
                    known.counters.iter_mut().zip(sample.counters).for_each(|(sum, count)| *sum += count);
                    known.gauges = joined_gauges(&known.gauges, &sample.gauges);
                }
                None => self.samples.push(sample),
            }
        }
    }
}

/// Lengths add up, of heights the highest counts, of free space and of shares the later one.
fn joined_gauges(earlier: &[Option<f64>], later: &[Option<f64>]) -> Vec<Option<f64>> {
    let joined = |(name, (earlier, later)): (&&str, (&Option<f64>, &Option<f64>))| match (*earlier, *later) {
        (Some(before), Some(behind)) if *name == "interval_seconds" => Some(before + behind),
        (Some(before), Some(behind)) if name.ends_with("_max") => Some(before.max(behind)),
        (before, behind) => behind.or(before),
    };
    GAUGES.iter().zip(earlier.iter().zip(later)).map(joined).collect()
}

/// Names of the counter columns, in order: those of the balance.
pub fn counter_names() -> Vec<&'static str> {
    let verdicts = Verdict::ALL.iter().map(|verdict| verdict.name());
    let encoders = ENCODER_COUNTERS.iter().map(|counter| counter.name());
    let viewers = ViewCounter::ALL.iter().map(|counter| counter.name());
    INTERFACE_COUNTERS
        .into_iter()
        .chain(verdicts)
        .chain(collector_counters().map(Counter::name))
        .chain(Softnet::NAMES)
        .chain(encoders)
        .chain(viewers)
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
    idle_ns: u64,
}

/// Remembers what was told, and tells what came since.
#[derive(Debug)]
pub struct Deltas {
    told: Vec<Source>,
    told_ns: u64,
}

impl Deltas {
    /// Nothing was told before `begin_ns`, monotonic.
    pub fn new(begin_ns: u64) -> Self {
        Deltas { told: Vec::new(), told_ns: begin_ns }
    }

    /// What every source has counted since the last call, one row each.
    pub fn next(&mut self, snapshot: &Snapshot) -> Interval {
        let seconds = snapshot.monotonic_ns.saturating_sub(self.told_ns) as f64 / 1e9;
        self.told_ns = snapshot.monotonic_ns;
        let before = std::mem::take(&mut self.told);
        let mut samples = Vec::new();
        for (source, mut gauges) in sources(snapshot) {
            let told = before.iter().find(|told| told.iface == source.iface && told.core == source.core);
            let growth = |(at, value): (usize, &u64)| {
                let told = told.map_or(0, |told| told.values[at]);
                i64::try_from(value.saturating_sub(told)).unwrap_or(i64::MAX)
            };
            let counters = source.values.iter().enumerate().map(growth).collect();
            gauges[0] = Some(seconds);
            if source.core.is_some() && seconds > 0.0 {
                let idle_ns = source.idle_ns - told.map_or(0, |told| told.idle_ns);
                gauges[4] = Some((idle_ns as f64 / 1e9 / seconds).min(1.0));
            }
            let (iface, core) = (source.iface.clone(), source.core);
            samples.push(Sample { ts_ns: snapshot.unix_ns, iface, core, counters, gauges: gauges.to_vec() });
            self.told.push(source);
        }
        let totals = snapshot.balance().counters();
        let totals = totals.into_iter().map(|(name, value)| (name.to_owned(), value.to_string())).collect();
        Interval { samples, totals }
    }
}

type Gauges = [Option<f64>; GAUGES.len()];

fn sources(snapshot: &Snapshot) -> Vec<(Source, Gauges)> {
    let names = counter_names().len();
    let first_collector = INTERFACE_COUNTERS.len() + Verdict::ALL.len();
    let first_softnet = first_collector + collector_counters().count();
    let first_encoder = first_softnet + Softnet::NAMES.len();
    let padded = |first: usize, own: Vec<u64>| {
        let mut values = vec![0; names];
        values[first..first + own.len()].copy_from_slice(&own);
        values
    };
    let mut sources: Vec<(Source, Gauges)> = Vec::new();
    for counts in &snapshot.interfaces {
        let values = padded(0, interface_values(counts));
        let source = Source { iface: counts.name.clone(), values, ..Source::default() };
        sources.push((source, [None; GAUGES.len()]));
    }
    for (number, core) in snapshot.cores.iter().enumerate() {
        let number = i32::try_from(number).ok();
        let values = padded(first_collector, core_values(core));
        let source = Source { iface: String::new(), core: number, values, idle_ns: core.idle_ns };
        sources.push((source, [None, Some(core.ring_bytes_max as f64), None, None, None]));
    }
    let own = ENCODER_COUNTERS.iter().map(|counter| snapshot.encoder.counts[*counter as usize]);
    let own = own.chain(snapshot.viewers).collect();
    let source = Source { values: padded(first_encoder, own), ..Source::default() };
    let disk_free = snapshot.disk_free_bytes.map(|bytes| bytes as f64);
    sources.push((source, [None, None, Some(snapshot.encoder.queue_max as f64), disk_free, None]));
    sources
}

fn interface_values(counts: &InterfaceCounts) -> Vec<u64> {
    counts.values().into_iter().chain(counts.verdicts).collect()
}

fn core_values(core: &CoreView) -> Vec<u64> {
    let own = collector_counters().map(|counter| core.counts[counter as usize]);
    own.chain(core.softnet.named().map(|(_, value)| value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(seconds: u64, frames: u64, rows: u64) -> Snapshot {
        let mut core = CoreView { idle_ns: seconds * 750_000_000, ..CoreView::default() };
        core.counts[Counter::Rows as usize] = rows;
        let interface = InterfaceCounts { name: "eth1".into(), frames, ..InterfaceCounts::default() };
        let mut snapshot = Snapshot {
            monotonic_ns: seconds * 1_000_000_000,
            interfaces: vec![interface],
            cores: vec![core],
            ..Snapshot::default()
        };
        snapshot.encoder.counts[EncoderCounter::RowsWritten as usize] = rows;
        snapshot
    }

    fn sums_of(intervals: &[Interval]) -> impl Fn(&str) -> i64 {
        let mut sums = vec![0; counter_names().len()];
        for sample in intervals.iter().flat_map(|interval| &interval.samples) {
            sums.iter_mut().zip(&sample.counters).for_each(|(sum, count)| *sum += count);
        }
        move |name: &str| sums[counter_names().iter().position(|known| *known == name).unwrap()]
    }

    fn intervals() -> Vec<Interval> {
        let mut deltas = Deltas::new(0);
        let told = [(10, 5, 1), (20, 5, 1), (30, 9, 4)];
        told.map(|(seconds, frames, rows)| deltas.next(&snapshot(seconds, frames, rows))).to_vec()
    }

    #[test]
    fn the_sum_of_all_rows_is_the_balance() {
        let intervals = intervals();
        let sum_of = sums_of(&intervals);
        assert_eq!((sum_of("frames"), sum_of("rows"), sum_of("rows_written"), sum_of("shed")), (9, 4, 4, 0));
        assert_eq!(intervals[2].totals["rows_written"], "4");
    }

    #[test]
    fn silence_has_rows_too() {
        let intervals = intervals();
        assert_eq!(intervals[1].samples.len(), 3, "an interface, a core, the encoders");
        assert!(intervals[1].samples.iter().all(|sample| sample.counters.iter().all(|count| *count == 0)));
        assert!(intervals[1].samples.iter().all(|sample| sample.gauges[0] == Some(10.0)));
        assert_eq!(intervals[1].samples[1].gauges[4], Some(0.75), "the idle share of the core");
    }

    #[test]
    fn intervals_told_together_lose_nothing() {
        let apart = intervals();
        let mut together = apart[0].clone();
        apart[1..].iter().for_each(|later| together.join(later.clone()));
        assert_eq!(together.samples.len(), 3);
        assert_eq!(together.totals, apart[2].totals);
        assert_eq!(together.samples[0].gauges[0], Some(30.0));
        let together = [together];
        let (apart, together) = (sums_of(&apart), sums_of(&together));
        for name in counter_names() {
            assert_eq!(apart(name), together(name), "{name}");
        }
    }

    #[test]
    fn every_column_has_a_name_of_its_own() {
        let mut names = counter_names();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
