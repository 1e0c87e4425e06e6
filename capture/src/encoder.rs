//! The encoder thread: takes sealed batches from the queue, writes them, publishes files.
//!
//! The last stage; it ends because its input closed. Invariant: every row taken from the queue is counted as written
//! or lost, by reason; an error of the disk loses the batch it met, never the thread.

use std::{
    path::PathBuf,
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, SystemTime},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use storage::{
    batch::Batch,
    dataset::{LossReason, Writer, Written},
    schema::StatsRow,
};
use tracing::error;

use crate::{
    control::stats::Sample,
    ledger::{EncoderCounter, EncoderLedger},
    limits::QUEUE_WORK_COUNT_MAX,
};

/// What a queue entry carries.
pub enum Work {
    /// A sealed batch of transactions.
    Rows(Box<Batch>),
    /// Rows of the `capture_stats` table.
    Stats(Vec<Sample>),
}

/// Between two looks at whether a file has reached its age.
const TICK: Duration = Duration::from_millis(250);

/// A running encoder and the way to it.
pub struct Encoder {
    /// Where sealed batches go.
    pub queue: Sender<Work>,
    /// What it counts.
    pub ledger: Arc<EncoderLedger>,
    /// The dataset's folder.
    pub folder: PathBuf,
    thread: JoinHandle<Encoding>,
}

impl Encoder {
    /// Starts the thread that writes to `writer`; `sensor` names this host in `capture_stats`.
    pub fn start(writer: Writer, sensor: &str) -> std::io::Result<Encoder> {
        let (queue, work) = crossbeam_channel::bounded(QUEUE_WORK_COUNT_MAX);
        let ledger = Arc::new(EncoderLedger::default());
        let folder = writer.dir().to_owned();
        let encoding = Encoding { writer, sensor: sensor.to_owned(), counts: Arc::clone(&ledger) };
        let thread =
            std::thread::Builder::new().name("hdrcap-encode".into()).spawn(move || encoding.run(&work))?;
        Ok(Encoder { queue, ledger, folder, thread })
    }

    /// Waits until everything in the queue is written; no other sender may be left.
    ///
    /// The rows of `last` are made from the final counts and written behind all others; then every file is published.
    pub fn finish(self, last: impl FnOnce() -> Vec<Sample>) {
        drop(self.queue);
        let mut encoding = self.thread.join().expect("the encoder does not panic");
        encoding.write_stats(&last());
        let written = encoding.writer.close();
        count(&encoding.counts, &written);
    }
}

struct Encoding {
    writer: Writer,
    sensor: String,
    counts: Arc<EncoderLedger>,
}

impl Encoding {
    fn run(mut self, work: &Receiver<Work>) -> Encoding {
        loop {
            match work.recv_timeout(TICK) {
                Ok(Work::Rows(batch)) => self.write_rows(&batch),
                Ok(Work::Stats(rows)) => self.write_stats(&rows),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self,
            }
            let written = self.writer.tick(now_ns());
            count(&self.counts, &written);
        }
    }

    fn write_rows(&mut self, batch: &Batch) {
        self.add(EncoderCounter::Batches, 1);
        let written = match self.writer.write(batch, now_ns()) {
            Ok(written) => written,
            Err(error) => {
                let reason = match error.reason {
                    LossReason::DiskFull => EncoderCounter::DiskFull,
                    LossReason::Io => EncoderCounter::DiskError,
                };
                self.add(reason, error.rows_lost);
                error!("{error}");
                error.written
            }
        };
        self.add(EncoderCounter::RowsWritten, written.rows);
        count(&self.counts, &written);
    }

    fn write_stats(&mut self, samples: &[Sample]) {
        let rows: Vec<StatsRow<'_>> = samples.iter().map(|sample| sample.as_row(&self.sensor)).collect();
        if rows.is_empty() {
            return;
        }
        let written = self.writer.write_stats(&rows, now_ns()).unwrap_or_else(|error| {
            error!("capture_stats: {error}");
            error.written
        });
        count(&self.counts, &written);
    }

    fn add(&self, counter: EncoderCounter, count: u64) {
        self.counts.add(counter as usize, count);
    }
}

fn count(counts: &EncoderLedger, written: &Written) {
    counts.add(EncoderCounter::FilesPublished as usize, written.files_published);
    counts.add(EncoderCounter::BytesWritten as usize, written.bytes);
}

/// Unix time in nanoseconds, for the age of files; rows carry the frames' time.
fn now_ns() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "this loop owns the clock that ages files")]
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
