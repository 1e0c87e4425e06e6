//! Everything that is known of a running capture at one moment: what balance, `capture_stats`, metrics and health tell.
//!
//! Plain values, read from the last stage to the first, so that nothing is counted out before it was counted in.

use crate::{
    balance::{Balance, InterfaceCounts, Moment},
    ledger::{
        COUNTER_COUNT, ENCODER_COUNTER_COUNT, VIEW_COUNTER_COUNT, figures::FIGURE_COUNT, latency::Buckets,
    },
    source::live::losses::Softnet,
};

/// One core: its collector, and the kernel's queue there.
#[derive(Clone, Debug)]
pub struct CoreView {
    /// The collector's counters, in the order of `Counter::ALL`.
    pub counts: [u64; COUNTER_COUNT],
    /// Its transactions by method and class of status.
    pub figures: [u64; FIGURE_COUNT],
    /// Bytes in its ring.
    pub ring_bytes: u64,
    /// The most there were since the last row of `capture_stats`.
    pub ring_bytes_max: u64,
    /// Nanoseconds it had nothing to do.
    pub idle_ns: u64,
    /// Nanoseconds since its last pass over the ring, or since the oldest record there came, whatever is longer.
    pub lag_ns: u64,
    /// Nanoseconds since its oldest row that is not handed on was parsed.
    pub unsealed_ns: u64,
    /// What the kernel's queue of this CPU lost.
    pub softnet: Softnet,
}

impl Default for CoreView {
    fn default() -> Self {
        CoreView {
            counts: [0; COUNTER_COUNT],
            figures: [0; FIGURE_COUNT],
            ring_bytes: 0,
            ring_bytes_max: 0,
            idle_ns: 0,
            lag_ns: 0,
            unsealed_ns: 0,
            softnet: Softnet::default(),
        }
    }
}

/// The encoders and the queue to them.
#[derive(Clone, Debug, Default)]
pub struct EncoderView {
    /// Their counters, in the order of `EncoderCounter::ALL`.
    pub counts: [u64; ENCODER_COUNTER_COUNT],
    /// Batches in the queue.
    pub queue: u64,
    /// The most there were since the last row of `capture_stats`.
    pub queue_max: u64,
    /// Batches it has room for.
    pub queue_size: u64,
    /// Nanoseconds since the oldest row that is being written was parsed.
    pub writing_ns: u64,
    /// Published files that are to be uploaded and are not yet.
    pub upload_files_waiting: u64,
    /// Their bytes.
    pub upload_bytes_waiting: u64,
}

/// Latencies of all threads together.
#[derive(Clone, Debug, Default)]
pub struct LatencyView {
    /// From the kernel half's stamp to the end of the burst that parsed a record.
    pub parsed: Buckets,
    /// From there to the sync that made a row durable.
    pub durable: Buckets,
    /// From a request's last byte to its response's first.
    pub first_byte: Buckets,
}

/// A running capture at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// When, on the kernel half's clock.
    pub monotonic_ns: u64,
    /// When, in Unix time.
    pub unix_ns: i64,
    /// Interfaces, or capture files.
    pub interfaces: Vec<InterfaceCounts>,
    /// Cores, in order.
    pub cores: Vec<CoreView>,
    /// The encoders.
    pub encoder: EncoderView,
    /// Latencies.
    pub latencies: LatencyView,
    /// Bytes of each ring; zero without one.
    pub ring_size_bytes: u64,
    /// Bytes that are free where the dataset is; `None` where the kernel does not say.
    pub disk_free_bytes: Option<u64>,
    /// What the hub counts that serves viewers, in the order of `ViewCounter::ALL`.
    pub viewers: [u64; VIEW_COUNTER_COUNT],
    /// Nothing can be on its way any more.
    pub has_ended: bool,
}

impl Snapshot {
    /// What was counted, summed up.
    pub fn balance(&self) -> Balance {
        let mut collectors = [0; COUNTER_COUNT];
        let mut softnet = Softnet::default();
        for core in &self.cores {
            softnet.add(&core.softnet);
            collectors.iter_mut().zip(core.counts).for_each(|(sum, count)| *sum += count);
        }
        Balance {
            interfaces: self.interfaces.clone(),
            collectors,
            encoders: self.encoder.counts,
            softnet,
            viewers: self.viewers,
            moment: if self.has_ended { Moment::Ended } else { Moment::Running },
        }
    }

    /// Nanoseconds the slowest stage is behind: a record not parsed, or a row not on disk, is that old.
    pub fn lag_ns(&self) -> u64 {
        let cores = self.cores.iter().map(|core| core.lag_ns.max(core.unsealed_ns));
        cores.max().unwrap_or(0).max(self.encoder.writing_ns)
    }
}
