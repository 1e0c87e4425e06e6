//! Looks at a running pipeline: its counts, on ticks, until the source ends or somebody stops it.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use crossbeam_channel::Sender;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
    time::{MissedTickBehavior, interval},
};
use tracing::{info, warn};

use super::{
    progress::Progress,
    stats::{Deltas, GAUGES},
};
use crate::{
    balance::{Balance, InterfaceCounts},
    encoder::{Encoder, Work},
    ledger::{COUNTER_COUNT, CollectorLedger, Counter, EncoderLedger},
    settings::{ReportSettings, StopChoice},
};

/// Between two refreshes of the progress line.
const REFRESH: Duration = Duration::from_millis(500);

/// Why a capture is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The source came to its end.
    SourceEnded,
    /// SIGINT or SIGTERM.
    Signal,
    /// `--duration` is over.
    Duration,
}

/// Readers of everything that is counted.
pub(super) struct Watch {
    interfaces: Box<dyn Fn() -> Vec<InterfaceCounts>>,
    collectors: Vec<Arc<CollectorLedger>>,
    encoder: Arc<EncoderLedger>,
    disk_free: Box<dyn Fn() -> Option<f64>>,
    deltas: Deltas,
}

impl Watch {
    /// Readers of these ledgers; `interfaces` is asked whenever somebody looks.
    pub(super) fn new(
        interfaces: impl Fn() -> Vec<InterfaceCounts> + 'static,
        collectors: Vec<Arc<CollectorLedger>>,
        encoder: &Encoder,
    ) -> Self {
        let folder = encoder.folder.clone();
        let disk_free =
            move || rustix::fs::statvfs(&folder).ok().map(|fs| (fs.f_bavail * fs.f_frsize) as f64);
        Watch {
            interfaces: Box::new(interfaces),
            collectors,
            encoder: Arc::clone(&encoder.ledger),
            disk_free: Box::new(disk_free),
            deltas: Deltas::default(),
        }
    }

    /// Everything counted so far.
    pub(super) fn balance(&self) -> Balance {
        let mut collectors = [0; COUNTER_COUNT];
        for values in self.collectors() {
            collectors.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
        }
        Balance { interfaces: (self.interfaces)(), collectors, encoders: self.encoder.read() }
    }

    fn collectors(&self) -> Vec<[u64; COUNTER_COUNT]> {
        self.collectors.iter().map(|ledger| ledger.counts.read()).collect()
    }

    /// Rows of `capture_stats` for what was counted since the last call.
    pub(super) fn stats(&mut self, queued: usize) -> Vec<super::stats::Sample> {
        let ring_fill = self.collectors.iter().map(|ledger| ledger.take_ring_fill()).max().unwrap_or(0);
        let gauges: [Option<f64>; GAUGES.len()] =
            [Some(ring_fill as f64), Some(queued as f64), (self.disk_free)()];
        self.deltas.next(unix_ns(), &self.balance(), &self.collectors(), gauges)
    }

    /// Waits for the end of the source, a signal or the end of the duration; shows and writes what is counted meanwhile.
    pub(super) async fn until_stop(
        &mut self,
        report: &ReportSettings,
        (stop, mut ended): (StopChoice, oneshot::Receiver<()>),
        progress: &mut Progress,
        queue: &Sender<Work>,
        mut refresh: impl FnMut(&mut Progress),
    ) -> io::Result<Stop> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut tick = interval(REFRESH);
        let mut stats = interval(report.stats_interval);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        stats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        stats.tick().await;
        let deadline = async {
            match stop {
                StopChoice::After(duration) => tokio::time::sleep(duration).await,
                StopChoice::Signal => std::future::pending().await,
            }
        };
        tokio::pin!(deadline);
        let mut shown = now();
        loop {
            tokio::select! {
                _ = &mut ended => return Ok(Stop::SourceEnded),
                _ = interrupt.recv() => return Ok(Stop::Signal),
                _ = terminate.recv() => return Ok(Stop::Signal),
                () = &mut deadline => return Ok(Stop::Duration),
                _ = tick.tick() => {
                    let elapsed = std::mem::replace(&mut shown, now()).elapsed();
                    refresh(progress);
                    progress.show(&self.balance(), elapsed.max(Duration::from_millis(1)));
                }
                _ = stats.tick() => self.write_stats(queue),
            }
        }
    }

    fn write_stats(&mut self, queue: &Sender<Work>) {
        let balance = self.balance();
        info!(
            frames = balance.frames(),
            heads = balance.heads(),
            rows = balance.collector(Counter::Rows),
            lost = balance.lost(),
            "so far"
        );
        // A full queue means the disk lags behind; the next row of statistics will hold what this one would have.
        if queue.is_full() {
            warn!("the queue to the encoder is full: capture_stats waits for the next interval");
            return;
        }
        let samples = self.stats(queue.len());
        if queue.try_send(Work::Stats(samples)).is_err() {
            warn!("the queue to the encoder filled up: one row of capture_stats is lost");
        }
    }
}

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "the control plane owns the clock of its ticks")]
    Instant::now()
}

/// Unix time in nanoseconds.
fn unix_ns() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "the control plane owns the clock of its intervals")]
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
