//! `--sample auto`: keeps fewer connections while rings fill or rows are shed, and more again once all is calm.
//!
//! A look at a time: takes how full the rings were, gives the N to sample by from then on. Invariant: N is a power of
//! two, so that the connections kept under a greater N are among those kept under a smaller one.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use crate::{
    ledger::{CollectorLedger, Counter},
    source::live::LiveSource,
};

/// Between two looks: long enough for a change to show in what the rings hold.
const LOOK: Duration = Duration::from_millis(100);

/// Greatest N: rarer connections would tell nothing of a moment.
const WEIGHT_MAX: u32 = 1024;

/// Share of a ring from which on its collector counts as falling behind.
const FILL_HIGH: f64 = 0.5;

/// Share of a ring up to which its collector counts as keeping up.
const FILL_LOW: f64 = 0.1;

/// Looks a change is given to show: what was in the ring before it has to be read first.
const SETTLE_LOOKS: u32 = 3;

/// Calm looks before more connections are kept: going up is quick, so that little is lost, going down is not.
const CALM_LOOKS: u32 = 50;

/// Samples by what the rings say, as long as the runtime runs.
pub(super) async fn follow_load(source: Arc<Mutex<LiveSource>>, mut gauge: Gauge) {
    let mut sampler = Sampler::new();
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        let Some(weight) = sampler.look(gauge.read()) else { continue };
        match source.lock().unwrap_or_else(PoisonError::into_inner).set_sampling(weight) {
            Ok(()) => info!("keeping one connection in {weight}"),
            Err(error) => warn!("the sampling could not be changed: {error}"),
        }
    }
}

/// What one look sees.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Pressure {
    /// The fullest ring, as a share of its size.
    ring_fill: f64,
    /// Rows were shed since the last look.
    is_shedding: bool,
}

/// The N in force and how long it has been.
#[derive(Clone, Copy, Debug)]
struct Sampler {
    weight: u32,
    settle: u32,
    calm: u32,
}

impl Sampler {
    /// Keeps everything until something fills.
    fn new() -> Self {
        Sampler { weight: 1, settle: 0, calm: 0 }
    }

    /// The N to sample by from now on, where it changes.
    fn look(&mut self, pressure: Pressure) -> Option<u32> {
        self.settle = self.settle.saturating_sub(1);
        if pressure.is_shedding || pressure.ring_fill >= FILL_HIGH {
            self.calm = 0;
            return (self.settle == 0 && self.weight < WEIGHT_MAX).then(|| self.change(self.weight * 2));
        }
        self.calm = if pressure.ring_fill <= FILL_LOW { self.calm + 1 } else { 0 };
        (self.calm >= CALM_LOOKS && self.weight > 1).then(|| self.change(self.weight / 2))
    }

    fn change(&mut self, weight: u32) -> u32 {
        *self = Sampler { weight, settle: SETTLE_LOOKS, calm: 0 };
        weight
    }
}

/// Reads the pressure from the collectors' ledgers.
pub(super) struct Gauge {
    ledgers: Vec<Arc<CollectorLedger>>,
    ring_bytes: u64,
    shed: u64,
}

impl Gauge {
    pub(super) fn new(ledgers: &[Arc<CollectorLedger>], ring_bytes: u64) -> Self {
        Gauge { ledgers: ledgers.to_vec(), ring_bytes, shed: 0 }
    }

    /// How full the fullest ring is, and whether rows were shed since the last call.
    fn read(&mut self) -> Pressure {
        let fill = self.ledgers.iter().map(|ledger| ledger.ring.now()).max().unwrap_or(0);
        let shed = self.ledgers.iter().map(|ledger| ledger.counts.read()[Counter::Shed as usize]).sum();
        let before = std::mem::replace(&mut self.shed, shed);
        Pressure { ring_fill: fill as f64 / self.ring_bytes as f64, is_shedding: shed > before }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALM: Pressure = Pressure { ring_fill: 0.01, is_shedding: false };
    const FULL: Pressure = Pressure { ring_fill: 0.9, is_shedding: false };
    const BETWEEN: Pressure = Pressure { ring_fill: 0.3, is_shedding: false };

    fn looks(sampler: &mut Sampler, pressure: Pressure, count: u32) -> Vec<u32> {
        (0..count).filter_map(|_| sampler.look(pressure)).collect()
    }

    #[test]
    fn it_doubles_while_rings_stay_full_and_lets_each_change_show() {
        let mut sampler = Sampler::new();
        assert_eq!(sampler.look(FULL), Some(2));
        assert!(looks(&mut sampler, FULL, SETTLE_LOOKS - 1).is_empty());
        assert_eq!(sampler.look(FULL), Some(4));
        assert_eq!(looks(&mut sampler, FULL, 100 * SETTLE_LOOKS).last(), Some(&WEIGHT_MAX));
    }

    #[test]
    fn it_halves_after_calm_until_all_is_kept_again() {
        let mut sampler = Sampler::new();
        looks(&mut sampler, FULL, SETTLE_LOOKS + 1);
        assert!(looks(&mut sampler, CALM, CALM_LOOKS - 1).is_empty());
        assert!(looks(&mut sampler, BETWEEN, 10 * CALM_LOOKS).is_empty());
        assert_eq!(looks(&mut sampler, CALM, 10 * CALM_LOOKS), [2, 1]);
    }

    #[test]
    fn shed_rows_count_as_a_full_ring() {
        let mut sampler = Sampler::new();
        assert_eq!(sampler.look(Pressure { is_shedding: true, ..CALM }), Some(2));
    }

    #[test]
    fn the_gauge_tells_what_is_new() {
        let ledger = Arc::new(CollectorLedger::default());
        let mut gauge = Gauge::new(&[Arc::clone(&ledger)], 1000);
        ledger.ring.note(700);
        let mut counts = ledger.counts.read();
        counts[Counter::Shed as usize] = 5;
        ledger.counts.publish(&counts);
        assert_eq!(gauge.read(), Pressure { ring_fill: 0.7, is_shedding: true });
        ledger.ring.note(200);
        assert_eq!(gauge.read(), Pressure { ring_fill: 0.2, is_shedding: false });
    }
}
