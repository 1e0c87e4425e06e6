//! The most frequent keys of a stream in a table of fixed size, with what was seen of each (Space-Saving, Metwally 2005).
//!
//! A new key that finds the table full takes the place, and the count, of the least frequent one: a count is then too
//! high by at most `over`, and no key that makes up more than 1/`KEY_COUNT_MAX` of the stream is missing.

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

/// Keys of one table.
pub const KEY_COUNT_MAX: usize = 128;

/// Steps of latencies in which a microsecond doubles; a step is at most a fifth wide.
const STEPS_PER_OCTAVE: u32 = 4;

/// Steps from a microsecond to an hour and more.
const STEP_COUNT: usize = 33 * STEPS_PER_OCTAVE as usize;

/// What was seen of one key.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Rows, weighted by nothing: those that were seen.
    pub rows: u64,
    /// The most by which `rows` may be too high.
    pub over: u64,
    /// Rows with a status from 500 on.
    pub errors: u64,
    latencies: [u16; STEP_COUNT],
    /// Longest time to first byte, in microseconds.
    pub ttfb_max_us: u64,
}

impl Default for Tally {
    fn default() -> Self {
        Tally { rows: 0, over: 0, errors: 0, latencies: [0; STEP_COUNT], ttfb_max_us: 0 }
    }
}

impl Tally {
    fn note(&mut self, is_error: bool, ttfb_us: Option<u64>) {
        self.rows += 1;
        self.errors += u64::from(is_error);
        if let Some(micros) = ttfb_us {
            let step = &mut self.latencies[step_of(micros)];
            *step = step.saturating_add(1);
            self.ttfb_max_us = self.ttfb_max_us.max(micros);
        }
    }

    fn join(&mut self, other: &Tally) {
        self.rows += other.rows;
        self.over += other.over;
        self.errors += other.errors;
        self.ttfb_max_us = self.ttfb_max_us.max(other.ttfb_max_us);
        for (sum, count) in self.latencies.iter_mut().zip(other.latencies) {
            *sum = sum.saturating_add(count);
        }
    }

    /// The time to first byte, in microseconds, that `percent` of the rows do not exceed; a fifth too high at the most.
    pub fn ttfb_us(&self, percent: u64) -> Option<u64> {
        let timed: u64 = self.latencies.iter().map(|count| u64::from(*count)).sum();
        let rank = (timed * percent).div_ceil(100).max(1);
        let mut below = 0;
        let step = self.latencies.iter().position(|count| {
            below += u64::from(*count);
            below >= rank
        })?;
        Some(step_end(step).min(self.ttfb_max_us))
    }
}

fn step_of(micros: u64) -> usize {
    let octave = (micros | 1).ilog2();
    let within = if octave >= 2 { (micros >> (octave - 2)) & 3 } else { 0 };
    ((octave * STEPS_PER_OCTAVE) as usize + within as usize).min(STEP_COUNT - 1)
}

/// The longest time of a step.
fn step_end(step: usize) -> u64 {
    let (octave, within) = (step as u32 / STEPS_PER_OCTAVE, step as u64 % u64::from(STEPS_PER_OCTAVE));
    if octave < 2 { (2 << octave) - 1 } else { ((5 + within) << (octave - 2)) - 1 }
}

/// The table.
#[derive(Clone, Debug, Default)]
pub struct Toplist {
    keys: HashMap<String, Tally, ahash::RandomState>,
}

impl Toplist {
    /// Notes one row of `key`.
    pub fn note(&mut self, key: &str, is_error: bool, ttfb_us: Option<u64>) {
        if let Some(tally) = self.keys.get_mut(key) {
            tally.note(is_error, ttfb_us);
            return;
        }
        let mut tally = Tally::default();
        if self.keys.len() >= KEY_COUNT_MAX {
            let least = self.keys.iter().min_by_key(|(_, tally)| tally.rows);
            if let Some(least) = least.map(|(key, _)| key.clone()) {
                let rows = self.keys.remove(&least).map_or(0, |tally| tally.rows);
                (tally.rows, tally.over) = (rows, rows);
            }
        }
        tally.note(is_error, ttfb_us);
        self.keys.insert(key.to_owned(), tally);
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.keys.clear();
    }

    /// Keys there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

/// A line of a table as viewers get it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopLine {
    /// Host, path, client, status or endpoint.
    pub key: String,
    /// Rows seen in the window.
    pub rows: u64,
    /// The most by which `rows` may be too high.
    pub over: u64,
    /// Rows with a status from 500 on.
    pub errors: u64,
    /// Median time to first byte, in microseconds.
    pub ttfb_p50_us: Option<u64>,
    /// Its 95th percentile.
    pub ttfb_p95_us: Option<u64>,
    /// The longest.
    pub ttfb_max_us: Option<u64>,
}

/// The lines of several tables of one kind, joined; at most `count`, those first that `rank` puts highest.
pub fn lines<'a, R: Ord>(
    tables: impl Iterator<Item = &'a Toplist>,
    count: usize,
    rank: impl Fn(&TopLine) -> R,
) -> Vec<TopLine> {
    let mut joined: HashMap<&str, Tally, ahash::RandomState> = HashMap::default();
    for (key, tally) in tables.flat_map(|table| &table.keys) {
        joined.entry(key.as_str()).or_default().join(tally);
    }
    let line = |(key, tally): (&str, Tally)| TopLine {
        key: key.to_owned(),
        rows: tally.rows,
        over: tally.over,
        errors: tally.errors,
        ttfb_p50_us: tally.ttfb_us(50),
        ttfb_p95_us: tally.ttfb_us(95),
        ttfb_max_us: tally.ttfb_us(100).map(|_| tally.ttfb_max_us),
    };
    let mut lines: Vec<TopLine> = joined.into_iter().map(line).collect();
    lines.sort_by(|a, b| rank(b).cmp(&rank(a)).then_with(|| a.key.cmp(&b.key)));
    lines.truncate(count);
    lines
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn by_rows(table: &Toplist) -> Vec<TopLine> {
        lines(std::iter::once(table), usize::MAX, |line| line.rows)
    }

    #[test]
    fn a_flood_of_keys_neither_grows_the_table_nor_hides_the_frequent_one() {
        let mut table = Toplist::default();
        for nth in 0..100_000 {
            table.note(&format!("noise{nth}"), false, None);
            if nth % 50 == 0 {
                table.note("often", true, Some(1000));
            }
        }
        assert_eq!(table.len(), KEY_COUNT_MAX);
        let lines = by_rows(&table);
        let often =
            lines.iter().find(|line| line.key == "often").expect("2 % of the stream is never missing");
        assert!(often.rows - often.over <= 2000 && 2000 <= often.rows, "{often:?}");
    }

    proptest! {
        #[test]
        fn counts_are_exact_but_for_what_they_say(keys in proptest::collection::vec(0u16..300, 0..2000)) {
            let mut table = Toplist::default();
            let mut truth: BTreeMap<String, u64> = BTreeMap::new();
            for key in &keys {
                let key = format!("k{key}");
                table.note(&key, false, None);
                *truth.entry(key).or_default() += 1;
            }
            prop_assert!(table.len() <= KEY_COUNT_MAX);
            let lines = by_rows(&table);
            for line in &lines {
                let true_rows = truth[&line.key];
                prop_assert!(line.rows - line.over <= true_rows && true_rows <= line.rows, "{:?}", line);
            }
            for (key, rows) in truth {
                let is_listed = lines.iter().any(|line| line.key == key);
                prop_assert!(is_listed || rows * KEY_COUNT_MAX as u64 <= keys.len() as u64);
            }
        }

        #[test]
        fn a_percentile_is_a_fifth_too_high_at_the_most(mut times in proptest::collection::vec(1u64..5_000_000_000, 1..200)) {
            let mut table = Toplist::default();
            times.iter().for_each(|micros| table.note("k", false, Some(*micros)));
            times.sort_unstable();
            let truth = times[(times.len() * 95).div_ceil(100) - 1];
            let told = by_rows(&table)[0].ttfb_p95_us.unwrap();
            prop_assert!(truth <= told && told <= truth + truth.div_ceil(4), "{truth} {told}");
        }
    }

    #[test]
    fn steps_follow_each_other() {
        for micros in (0..5000).chain([u64::from(u32::MAX), u64::MAX]) {
            let step = step_of(micros);
            assert!(micros <= step_end(step) || step == STEP_COUNT - 1, "{micros}");
            assert!(step == 0 || step_of(micros.saturating_sub(1)) <= step, "{micros}");
        }
    }
}
