//! Looks at a running pipeline: its counts, on ticks and when somebody asks, until the source ends or somebody stops it.
//!
//! Reads what the stages publish and never touches a record. Invariant: a row of `capture_stats` is made once, and is on
//! its way to the encoder or held back for the next interval, so that their sum is the balance.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    time::{MissedTickBehavior, interval},
};
use tracing::{info, warn};

use super::{
    endpoint::Question,
    health::HealthWatch,
    metrics::Answer,
    mirror::{MirrorWatch, Port},
    progress::Progress,
    signals::{Signals, Told},
    snapshot::{CoreView, EncoderView, LatencyView, Snapshot},
    stats::{Deltas, Interval},
    viewers::Teller,
};
use crate::{
    balance::{Balance, InterfaceCounts},
    encoder::{self, Encoder},
    ledger::{CollectorLedger, Counter, EncoderLedger, VIEW_COUNTER_COUNT, merged},
    settings::{ReportSettings, StopChoice},
    source::live::{clock, losses::LossReader},
};

/// Between two refreshes of the progress line.
const REFRESH: Duration = Duration::from_millis(500);

/// Nanoseconds for which what cards say of their losses is taken for news: some drivers take milliseconds to answer.
const LOSSES_AGE_NS_MAX: u64 = 1_000_000_000;

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

/// Where frames come from, as far as it is looked at.
pub(super) struct Origin {
    /// Asked for the counts of the interfaces whenever somebody looks.
    pub(super) interfaces: Box<dyn Fn() -> Vec<InterfaceCounts>>,
    /// Reads what was lost before any program saw it; reads nothing for files.
    pub(super) losses: LossReader,
    /// Bytes of each ring; zero for files.
    pub(super) ring_size_bytes: u64,
    /// The ports that are listened to, in the order of the interfaces; none for files.
    pub(super) ports: Vec<Port>,
}

/// Readers of everything that is counted.
pub(super) struct Watch {
    origin: Origin,
    losses_read_ns: u64,
    collectors: Vec<Arc<CollectorLedger>>,
    encoder: Arc<EncoderLedger>,
    disk_free: Box<dyn Fn() -> Option<u64>>,
    deltas: Deltas,
    held_back: Option<Interval>,
    health: HealthWatch,
    mirror: MirrorWatch,
    has_ended: bool,
    teller: Option<Teller>,
}

impl Watch {
    /// Readers of these ledgers.
    pub(super) fn new(
        origin: Origin,
        collectors: Vec<Arc<CollectorLedger>>,
        encoder: &Encoder,
        report: &ReportSettings,
    ) -> Self {
        let folder = encoder.folder.clone();
        let disk_free = move || rustix::fs::statvfs(&folder).ok().map(|fs| fs.f_bavail * fs.f_frsize);
        Watch {
            origin,
            losses_read_ns: 0,
            collectors,
            encoder: Arc::clone(&encoder.ledger),
            disk_free: Box::new(disk_free),
            deltas: Deltas::new(clock::monotonic_ns()),
            held_back: None,
            health: HealthWatch::new(report.health),
            mirror: MirrorWatch::default(),
            has_ended: false,
            teller: None,
        }
    }

    /// Tells viewers, from now on, how the capture does.
    pub(super) fn tell_viewers(&mut self, teller: Option<Teller>) {
        self.teller = teller;
    }

    /// Everything counted so far.
    pub(super) fn balance(&mut self) -> Balance {
        self.snapshot(0).balance()
    }

    /// Everything that is known now; `queued` batches wait for the encoder.
    pub(super) fn snapshot(&mut self, queued: usize) -> Snapshot {
        let now = clock::now();
        if now.monotonic_ns.saturating_sub(self.losses_read_ns) > LOSSES_AGE_NS_MAX || self.has_ended {
            self.origin.losses.read();
            self.losses_read_ns = now.monotonic_ns;
        }
        // From the last stage to the first: see `balance::laws`.
        let encoder = self.encoder_view(queued, now.monotonic_ns);
        let cores = self.core_views(now.monotonic_ns);
        let mut interfaces = (self.origin.interfaces)();
        for (interface, card) in interfaces.iter_mut().zip(self.origin.losses.cards()) {
            interface.card = card;
        }
        let collectors = || self.collectors.iter();
        Snapshot {
            monotonic_ns: now.monotonic_ns,
            unix_ns: i64::try_from(now.monotonic_ns).unwrap_or(i64::MAX).saturating_add(now.unix_offset_ns),
            interfaces,
            cores,
            encoder,
            latencies: LatencyView {
                parsed: merged(collectors().map(|ledger| &ledger.parsed)),
                durable: self.encoder.durable.read(),
                first_byte: merged(collectors().map(|ledger| &ledger.first_byte)),
            },
            ring_size_bytes: self.origin.ring_size_bytes,
            disk_free_bytes: (self.disk_free)(),
            viewers: self.teller.as_ref().map_or([0; VIEW_COUNTER_COUNT], Teller::counts),
            has_ended: self.has_ended,
        }
    }

    fn encoder_view(&self, queued: usize, now_ns: u64) -> EncoderView {
        let queue_max = self.collectors.iter().map(|ledger| ledger.queue.max()).max().unwrap_or(0);
        EncoderView {
            counts: self.encoder.counts.read(),
            queue: queued as u64,
            queue_max: queue_max.max(queued as u64),
            queue_size: encoder::queue_size(self.collectors.len()) as u64,
            writing_ns: since(self.encoder.writing_ns.load(Ordering::Relaxed), now_ns),
            upload_files_waiting: self.encoder.upload_files_waiting.now(),
            upload_bytes_waiting: self.encoder.upload_bytes_waiting.now(),
        }
    }

    /// Collectors by number, and CPUs that have none.
    fn core_views(&self, now_ns: u64) -> Vec<CoreView> {
        let losses = &self.origin.losses;
        let count = self.collectors.len().max(losses.cpu_count());
        let view = |core: usize| {
            let softnet = losses.core(core);
            let Some(ledger) = self.collectors.get(core) else {
                return CoreView { softnet, ..CoreView::default() };
            };
            let alive_ns = since(ledger.alive_ns.load(Ordering::Relaxed), now_ns);
            CoreView {
                counts: ledger.counts.read(),
                figures: ledger.figures.read(),
                ring_bytes: ledger.ring.now(),
                ring_bytes_max: ledger.ring.max(),
                idle_ns: ledger.idle_ns.load(Ordering::Relaxed),
                lag_ns: alive_ns.max(ledger.lag_ns.load(Ordering::Relaxed)),
                unsealed_ns: since(ledger.unsealed_ns.load(Ordering::Relaxed), now_ns),
                softnet,
            }
        };
        (0..count).map(view).collect()
    }

    /// Ends the account: the rows of `capture_stats` for what was counted since the last ones, when every stage has ended.
    pub(super) fn last_interval(&mut self) -> Interval {
        self.has_ended = true;
        self.interval(0)
    }

    /// Rows of `capture_stats` for what was counted since the last call, behind those held back.
    fn interval(&mut self, queued: usize) -> Interval {
        let snapshot = self.snapshot(queued);
        for ledger in &self.collectors {
            ledger.ring.take_max();
            ledger.queue.take_max();
        }
        let news = self.deltas.next(&snapshot);
        match self.held_back.take() {
            Some(mut held_back) => {
                held_back.join(news);
                held_back
            }
            None => news,
        }
    }

    /// Waits for the end of the source, a signal or the end of the duration; shows and writes what is counted meanwhile.
    pub(super) async fn until_stop(
        &mut self,
        report: &ReportSettings,
        (stop, mut ended): (StopChoice, oneshot::Receiver<()>),
        (progress, questions, signals): (&mut Progress, &mut mpsc::Receiver<Question>, &mut Signals),
        encoder: &Encoder,
        mut refresh: impl FnMut(&mut Progress),
    ) -> Stop {
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
        let mut shown_ns = clock::monotonic_ns();
        loop {
            tokio::select! {
                _ = &mut ended => return Stop::SourceEnded,
                told = signals.next() => match told {
                    Told::Stop => return Stop::Signal,
                    Told::Account => progress.print(&self.snapshot(encoder.queue.len()).balance().to_text()),
                },
                () = &mut deadline => return Stop::Duration,
                // Who asked may have gone meanwhile.
                Some(question) = questions.recv() => question.send(self.answer(encoder)).unwrap_or_default(),
                _ = tick.tick() => {
                    let snapshot = self.snapshot(encoder.queue.len());
                    let before_ns = std::mem::replace(&mut shown_ns, snapshot.monotonic_ns);
                    let elapsed = Duration::from_nanos(shown_ns.saturating_sub(before_ns));
                    self.health.note(&snapshot);
                    refresh(progress);
                    if let Some(teller) = &mut self.teller {
                        teller.tell(&snapshot);
                    }
                    progress.show(&snapshot.balance(), elapsed.max(Duration::from_millis(1)));
                }
                _ = stats.tick() => self.write_stats(encoder),
            }
        }
    }

    fn answer(&mut self, encoder: &Encoder) -> Answer {
        let snapshot = self.snapshot(encoder.queue.len());
        let health = self.health.judge(&snapshot);
        Answer { snapshot, health, signs: self.mirror.signs().to_vec() }
    }

    fn write_stats(&mut self, encoder: &Encoder) {
        let interval = self.interval(encoder.queue.len());
        if let Err(refused) = encoder.stats.try_send(interval) {
            warn!(
                "the encoder is far behind: this interval of capture_stats is told together with the next one"
            );
            self.held_back = Some(refused.into_inner());
        }
        let snapshot = self.snapshot(encoder.queue.len());
        let balance = snapshot.balance();
        self.mirror.look(&self.origin.ports, snapshot);
        info!(
            frames = balance.frames(),
            heads = balance.heads(),
            rows = balance.collector(Counter::Rows),
            lost = balance.lost(),
            "so far"
        );
    }
}

/// Nanoseconds since a time that is zero where there was none.
fn since(time_ns: u64, now_ns: u64) -> u64 {
    if time_ns == 0 { 0 } else { now_ns.saturating_sub(time_ns) }
}
