//! Whether the capture is well: what was lost of late, how far the slowest stage is behind, whether the account adds up.
//!
//! Pure: takes snapshots, returns a judgement; the same for `/healthz`, the metrics and the log.

use std::{collections::VecDeque, time::Duration};

use serde::Serialize;

use super::snapshot::Snapshot;
use crate::{
    ledger::{Counter, EncoderCounter},
    settings::HealthSettings,
};

/// What "of late" means.
const WINDOW: Duration = Duration::from_secs(60);

/// Sums kept of the window at the most: one every half a second, and some to spare.
const SUMS_COUNT_MAX: usize = 256;

/// Whether the capture is well, and why not.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Health {
    /// Nothing passes its threshold.
    pub healthy: bool,
    /// The largest of the shares that were lost in the last minute: of frames by the card, of heads, of rows.
    pub loss_share: f64,
    /// Seconds the slowest stage is behind.
    pub lag_seconds: f64,
    /// What passes its threshold, in words.
    pub reasons: Vec<String>,
}

/// What came to a stage, and what of it was lost there.
#[derive(Clone, Copy, Debug, Default)]
struct Stage {
    came: u64,
    lost: u64,
}

impl Stage {
    fn share_since(&self, before: &Stage) -> f64 {
        let (came, lost) = (self.came.saturating_sub(before.came), self.lost.saturating_sub(before.lost));
        if lost == 0 { 0.0 } else { lost as f64 / came.max(lost) as f64 }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    monotonic_ns: u64,
    stages: [Stage; 3],
}

/// Names of what is lost at the stages of `Sums`.
const STAGES: [&str; 3] =
    ["frames, by the card", "heads, to full rings and tables", "rows, to a full queue or disk"];

/// Judges a capture by its last minute.
#[derive(Debug)]
pub struct HealthWatch {
    settings: HealthSettings,
    window: VecDeque<Sums>,
}

impl HealthWatch {
    /// A judge with these thresholds.
    pub fn new(settings: HealthSettings) -> Self {
        HealthWatch { settings, window: VecDeque::from([Sums::default()]) }
    }

    /// Notes how things stand; to be called about twice a second.
    pub fn note(&mut self, snapshot: &Snapshot) {
        let window_ns = WINDOW.as_nanos() as u64;
        // One before the window stays, to reckon from.
        let is_old = |sums: &Sums| snapshot.monotonic_ns.saturating_sub(sums.monotonic_ns) >= window_ns;
        while self.window.len() > SUMS_COUNT_MAX || self.window.get(1).is_some_and(is_old) {
            self.window.pop_front();
        }
        self.window.push_back(sums(snapshot));
    }

    /// How the capture is now.
    pub fn judge(&self, snapshot: &Snapshot) -> Health {
        let (now, before) = (sums(snapshot), self.window.front().copied().unwrap_or_default());
        let mut reasons = Vec::new();
        let mut loss_share: f64 = 0.0;
        for ((stage, before), name) in now.stages.iter().zip(&before.stages).zip(STAGES) {
            let share = stage.share_since(before);
            loss_share = loss_share.max(share);
            if share > self.settings.loss_share_max {
                let percent = share * 100.0;
                reasons.push(format!("{percent:.2} % lost of {name}, in the last minute"));
            }
        }
        let lag = Duration::from_nanos(snapshot.lag_ns());
        if lag > self.settings.lag_max {
            reasons
                .push(format!("{:.1} s behind: a collector or the disk does not keep up", lag.as_secs_f64()));
        }
        reasons.extend(
            snapshot
                .balance()
                .discrepancies()
                .into_iter()
                .map(|broken| format!("the balance does not close: {broken}")),
        );
        Health { healthy: reasons.is_empty(), loss_share, lag_seconds: lag.as_secs_f64(), reasons }
    }
}

fn sums(snapshot: &Snapshot) -> Sums {
    let balance = snapshot.balance();
    let nic_lost: u64 = snapshot.interfaces.iter().map(|interface| interface.card.total()).sum();
    let rows_lost = balance.collector(Counter::Shed)
        + balance.encoder(EncoderCounter::DiskFull)
        + balance.encoder(EncoderCounter::DiskError)
        + balance.encoder(EncoderCounter::StagingLost);
    Sums {
        monotonic_ns: snapshot.monotonic_ns,
        stages: [
            Stage { came: balance.frames() + nic_lost, lost: nic_lost },
            Stage {
                came: balance.heads(),
                lost: balance.heads_ring_full() + balance.collector(Counter::Evicted),
            },
            Stage { came: balance.collector(Counter::Rows), lost: rows_lost },
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{balance::InterfaceCounts, control::snapshot::CoreView, source::live::losses::CardLosses};

    fn at(seconds: u64, heads: u64, ring_full: u64) -> Snapshot {
        let mut core = CoreView::default();
        core.counts[Counter::Heads as usize] = heads - ring_full;
        core.counts[Counter::InMessage as usize] = heads - ring_full;
        let interface = InterfaceCounts { heads, heads_ring_full: ring_full, ..InterfaceCounts::default() };
        Snapshot {
            monotonic_ns: seconds * 1_000_000_000,
            interfaces: vec![interface],
            cores: vec![core],
            ..Snapshot::default()
        }
    }

    fn watch() -> HealthWatch {
        HealthWatch::new(HealthSettings { loss_share_max: 0.01, lag_max: Duration::from_secs(30) })
    }

    #[test]
    fn losses_make_it_ill_for_a_minute() {
        let mut watch = watch();
        watch.note(&at(1, 1000, 0));
        assert!(watch.judge(&at(2, 2000, 10)).healthy, "half a percent");
        let ill = watch.judge(&at(2, 2000, 50));
        assert!(!ill.healthy && ill.reasons[0].contains("heads"), "{ill:?}");
        assert!((ill.loss_share - 0.05).abs() < 0.03, "{ill:?}");
        for second in 2..70 {
            watch.note(&at(second, 2000 + second, 50));
        }
        assert!(watch.judge(&at(70, 3000, 50)).healthy, "what was lost a minute ago is forgiven");
    }

    #[test]
    fn what_is_far_behind_is_ill() {
        let watch = watch();
        let mut snapshot = at(100, 10, 0);
        snapshot.encoder.writing_ns = 31_000_000_000;
        let ill = watch.judge(&snapshot);
        assert!(!ill.healthy && ill.reasons[0].contains("31.0 s behind"), "{ill:?}");
        snapshot.encoder.writing_ns = 0;
        snapshot.cores[0].lag_ns = 29_000_000_000;
        assert!(watch.judge(&snapshot).healthy);
    }

    #[test]
    fn a_card_that_loses_frames_and_a_broken_law_are_ill() {
        let mut snapshot = at(1, 10, 0);
        snapshot.interfaces[0].card = CardLosses { missed: 3, ..CardLosses::default() };
        assert!(watch().judge(&snapshot).reasons[0].contains("by the card"));
        let mut snapshot = at(1, 10, 0);
        snapshot.cores[0].counts[Counter::Malformed as usize] = 1;
        assert!(watch().judge(&snapshot).reasons[0].contains("does not close"));
    }
}
