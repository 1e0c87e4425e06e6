//! The encoder thread: takes sealed batches from the queue, writes them, publishes files; and `capture_stats` beside them.
//!
//! The last stage; it ends because its input closed. Batches can wait and frames cannot, so it goes behind collectors. Rows of
//! statistics come by a way of their own, so that batches never stand in their way. Invariant: every row taken from the
//! queue is counted as written or lost, by reason; an error of the disk loses the batch it met, never the thread, and no
//! count of `capture_stats`: those are kept until there is room.

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    thread::JoinHandle,
    time::Duration,
};

use crossbeam_channel::{Receiver, Sender, never, select};
use storage::{
    batch::Batch,
    dataset::{LossReason, Writer, Written},
    encrypt::Keyring,
    retention::{Keep, Keeper},
    schema::StatsRow,
    upload::Uploads,
};
use tracing::{error, warn};

use crate::{
    backlog::Place,
    beside::Beside,
    collector::ParsedMark,
    compacting,
    control::stats::{Interval, Sample},
    idle, keeper,
    ledger::{EncoderCounter, EncoderLedger, latency::Latencies},
    limits::{INTERVAL_COUNT_MAX, QUEUE_WORK_COUNT_MAX},
    source::live::clock,
    upload::{Uploader, Uploading},
};

/// A batch to be written.
pub struct Sealed {
    /// Its rows.
    pub batch: Box<Batch>,
    /// When they were parsed; nothing where the clock is that of a file.
    pub parsed: Vec<ParsedMark>,
    /// Its place in the backlog, where that is bounded.
    pub place: Option<Place>,
}

/// Where collectors hand sealed batches on.
pub type Queue = Sender<Box<Sealed>>;

/// Between two looks at whether a file has reached its age.
const TICK: Duration = Duration::from_millis(250);

/// A running encoder and the ways to it.
pub struct Encoder {
    /// Where sealed batches go.
    pub queue: Queue,
    /// Where rows of `capture_stats` go.
    pub stats: Sender<Interval>,
    /// What it counts.
    pub ledger: Arc<EncoderLedger>,
    /// The dataset's folder.
    pub folder: PathBuf,
    thread: JoinHandle<Encoding>,
    /// Threads that see to what is published.
    beside: Vec<Beside>,
    uploading: Option<Uploading>,
}

impl Encoder {
    /// Starts the thread that writes to `writer` what so many collectors hand on; `sensor` names this host in `capture_stats`.
    pub fn start(writer: Writer, sensor: &str, collector_count: usize) -> std::io::Result<Encoder> {
        let (queue, batches) = queue(collector_count);
        let (stats, intervals) = crossbeam_channel::bounded(INTERVAL_COUNT_MAX);
        let ledger = Arc::new(EncoderLedger::default());
        ledger.add(EncoderCounter::RowsRecovered, writer.recovered().http_rows());
        ledger.add(EncoderCounter::RowsMaybeMissing, writer.recovered().rows_maybe_missing());
        let folder = writer.dir().to_owned();
        let encoding = Encoding {
            writer,
            sensor: sensor.to_owned(),
            durable: Latencies::new(ledger.durable.clone()),
            ledger: Arc::clone(&ledger),
            waiting: VecDeque::new(),
        };
        let thread = std::thread::Builder::new().name("hdrcap-encode".into()).spawn(move || {
            if let Err(error) = idle::stand_back() {
                warn!("the encoder goes beside collectors and not behind them: {error}");
            }
            encoding.run(&batches, intervals)
        })?;
        Ok(Encoder { queue, stats, ledger, folder, thread, beside: Vec::new(), uploading: None })
    }

    /// Starts the thread of retention, where something is not to be kept.
    ///
    /// Where files are uploaded, `uploads` says which of those it removes had not been.
    pub fn keep(&mut self, sensor: &str, keep: Keep, uploads: Option<Arc<Uploads>>) -> std::io::Result<()> {
        if !keep.is_everything() {
            let keeper = Keeper::new(&self.folder, sensor, keep).telling(uploads);
            self.beside.push(keeper::start(keeper, Arc::clone(&self.ledger))?);
        }
        Ok(())
    }

    /// Starts the thread that uploads what is published.
    pub fn upload(&mut self, uploader: Uploader) -> std::io::Result<()> {
        self.uploading = Some(Uploading::start(uploader, Arc::clone(&self.ledger))?);
        Ok(())
    }

    /// Starts the thread of compaction, of a dataset that is encrypted with these keys, if it is.
    pub fn compact(&mut self, sensor: &str, keyring: Keyring) -> std::io::Result<()> {
        let counts = Arc::clone(&self.ledger);
        self.beside.push(compacting::start(self.folder.clone(), sensor.to_owned(), keyring, counts)?);
        Ok(())
    }

    /// Waits until everything in the queue is written; no other sender may be left.
    ///
    /// The rows of `last` are made from the final counts and written behind all others; then every file is published.
    pub fn finish(self, last: impl FnOnce() -> Interval) {
        drop(self.queue);
        drop(self.stats);
        self.beside.into_iter().for_each(Beside::stop);
        let mut encoding = self.thread.join().expect("the encoder does not panic");
        encoding.write_stats(last());
        encoding.give_up_stats();
        let written = encoding.writer.close();
        count(&encoding.ledger, &written);
        if let Some(uploading) = self.uploading {
            uploading.finish();
        }
    }
}

/// Batches that the queue between so many collectors and the encoder has room for.
pub(crate) fn queue_size(collector_count: usize) -> usize {
    QUEUE_WORK_COUNT_MAX * collector_count.max(1)
}

/// The queue between so many collectors and the encoder.
pub(crate) fn queue(collector_count: usize) -> (Queue, Receiver<Box<Sealed>>) {
    crossbeam_channel::bounded(queue_size(collector_count))
}

struct Encoding {
    writer: Writer,
    sensor: String,
    durable: Latencies,
    ledger: Arc<EncoderLedger>,
    /// Rows of `capture_stats` that found no room on disk so far, oldest first.
    waiting: VecDeque<Interval>,
}

impl Encoding {
    fn run(mut self, batches: &Receiver<Box<Sealed>>, mut intervals: Receiver<Interval>) -> Encoding {
        loop {
            select! {
                recv(batches) -> sealed => match sealed {
                    Ok(sealed) => self.write_rows(*sealed),
                    Err(_) => {
                        intervals.try_iter().for_each(|interval| self.write_stats(interval));
                        return self;
                    }
                },
                recv(intervals) -> interval => match interval {
                    Ok(interval) => self.at_disk(clock::monotonic_ns(), |encoding| encoding.write_stats(interval)),
                    Err(_) => intervals = never(),
                },
                default(TICK) => {}
            }
            let written =
                self.at_disk(clock::monotonic_ns(), |encoding| encoding.writer.tick(clock::unix_ns()));
            count(&self.ledger, &written);
            self.durable.merge();
        }
    }

    /// Does what the disk may make wait, and says meanwhile since when: a disk that hangs is told of, whatever it was asked.
    fn at_disk<T>(&mut self, since_ns: u64, act: impl FnOnce(&mut Self) -> T) -> T {
        self.ledger.writing_ns.store(since_ns, Ordering::Relaxed);
        let done = act(self);
        self.ledger.writing_ns.store(0, Ordering::Relaxed);
        done
    }

    fn write_rows(&mut self, sealed: Sealed) {
        let Sealed { batch, parsed, place: _place } = sealed;
        let oldest_ns = parsed.first().map_or(0, |mark| mark.parsed_ns);
        self.ledger.add(EncoderCounter::Batches, 1);
        let written = self.at_disk(oldest_ns, |encoding| encoding.writer.write(*batch, clock::unix_ns()));
        let written = match written {
            Ok(written) => {
                let durable_ns = clock::monotonic_ns();
                for mark in &parsed {
                    self.durable.record(durable_ns.saturating_sub(mark.parsed_ns) / 1000, mark.rows);
                }
                written
            }
            Err(error) => {
                let reason = match error.reason {
                    LossReason::DiskFull => EncoderCounter::DiskFull,
                    LossReason::Io => EncoderCounter::DiskError,
                };
                self.ledger.add(reason, error.rows_lost);
                error!("{error}");
                error.written
            }
        };
        self.ledger.add(EncoderCounter::RowsWritten, written.rows);
        count(&self.ledger, &written);
    }

    /// Writes an interval behind those that wait; where there is no room, it waits with them.
    fn write_stats(&mut self, interval: Interval) {
        let is_full = self.waiting.len() == INTERVAL_COUNT_MAX;
        match self.waiting.back_mut() {
            Some(last) if is_full => last.join(interval),
            Some(_) | None => self.waiting.push_back(interval),
        }
        while let Some(mut first) = self.waiting.pop_front() {
            self.writer.set_ledger(first.totals.clone());
            // Joined intervals may have rows of several times, and so of several files, some of which may be written.
            first.samples.sort_by_key(|sample| sample.ts_ns);
            let times: Vec<i64> = first.samples.iter().map(|sample| sample.ts_ns).collect();
            for rows in times.chunk_by(|a, b| a == b).map(<[i64]>::len) {
                if !self.try_write_stats(&first.samples[..rows]) {
                    self.waiting.push_front(first);
                    return;
                }
                first.samples.drain(..rows);
            }
        }
    }

    /// Writes rows of one time: all of them or none.
    fn try_write_stats(&mut self, samples: &[Sample]) -> bool {
        let rows: Vec<StatsRow<'_>> = samples.iter().map(|sample| sample.as_row(&self.sensor)).collect();
        match self.writer.write_stats(&rows, clock::unix_ns()) {
            Ok(written) => {
                count(&self.ledger, &written);
                true
            }
            Err(error) => {
                error!("capture_stats, which is kept and tried again: {error}");
                count(&self.ledger, &error.written);
                false
            }
        }
    }

    /// Says what of `capture_stats` never found room; nobody is left to try again.
    fn give_up_stats(&mut self) {
        let rows: usize = self.waiting.iter().map(|interval| interval.samples.len()).sum();
        if rows > 0 {
            error!("{rows} rows of capture_stats could not be written: its sums lack what they counted");
            self.ledger.add(EncoderCounter::StatsLost, rows as u64);
        }
    }
}

fn count(ledger: &EncoderLedger, written: &Written) {
    ledger.add(EncoderCounter::RowsPublished, written.rows_published);
    ledger.add(EncoderCounter::RowsStaged, written.rows_staged);
    ledger.add(EncoderCounter::StagingLost, written.staging_lost);
    ledger.add(EncoderCounter::StatsLost, written.stats_lost);
    ledger.add(EncoderCounter::FilesPublished, written.files_published);
    ledger.add(EncoderCounter::BytesWritten, written.bytes);
}
