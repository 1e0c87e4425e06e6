//! The encoder thread: takes sealed batches from the queue, writes them, publishes files.
//!
//! The last stage; it ends because its input closed. Invariant: every row taken from the queue is counted as written
//! or lost, by reason; an error of the disk loses the batch it met, never the thread.

use std::{
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, SystemTime},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use storage::{
    batch::Batch,
    dataset::{LossReason, Written, Writer},
    stats::StatsRow,
};
use tracing::{error, info};

use crate::{
    ledger::{EncoderCounter, EncoderLedger},
    limits::QUEUE_WORK_COUNT_MAX,
};

/// What a queue entry carries.
pub enum Work {
    /// A sealed batch of transactions.
    Rows(Box<Batch>),
    /// Rows of the `capture_stats` table.
    Stats(Vec<StatsRow>),
}

/// Between two looks at whether a file has reached its age.
const TICK: Duration = Duration::from_millis(250);

/// A running encoder and the way to it.
pub struct Encoder {
    /// Where sealed batches go.
    pub queue: Sender<Work>,
    /// What it counts.
    pub ledger: Arc<EncoderLedger>,
    thread: JoinHandle<Writer>,
}

impl Encoder {
    /// Starts the thread that writes to `writer`.
    pub fn start(writer: Writer) -> std::io::Result<Encoder> {
        let (queue, work) = crossbeam_channel::bounded(QUEUE_WORK_COUNT_MAX);
        let ledger = Arc::new(EncoderLedger::default());
        let counts = Arc::clone(&ledger);
        let thread = std::thread::Builder::new()
            .name("hdrcap-encode".into())
            .spawn(move || Encoding { writer, counts }.run(&work))?;
        Ok(Encoder { queue, ledger, thread })
    }

    /// Waits until everything in the queue is written; the last sender must be gone.
    ///
    /// The rows of `last` are made from the final counts and written behind all others; then every file is published.
    pub fn finish(self, last: impl FnOnce(&EncoderLedger) -> Vec<StatsRow>) -> Arc<EncoderLedger> {
        drop(self.queue);
        let writer = self.thread.join().expect("the encoder does not panic");
        let mut encoding = Encoding { writer, counts: Arc::clone(&self.ledger) };
        let rows = last(&self.ledger);
        encoding.write_stats(&rows);
        match encoding.writer.close(now_ns()) {
            Ok(written) => count_files(&self.ledger, &written),
            Err(error) => error!("the last files could not be published: {error}"),
        }
        self.ledger
    }
}

struct Encoding {
    writer: Writer,
    counts: Arc<EncoderLedger>,
}

impl Encoding {
    fn run(mut self, work: &Receiver<Work>) -> Writer {
        loop {
            match work.recv_timeout(TICK) {
                Ok(Work::Rows(batch)) => self.write_rows(&batch),
                Ok(Work::Stats(rows)) => self.write_stats(&rows),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.writer,
            }
            match self.writer.tick(now_ns()) {
                Ok(written) => count_files(&self.counts, &written),
                Err(error) => error!("a file could not be published: {error}"),
            }
        }
    }

    fn write_rows(&mut self, batch: &Batch) {
        self.add(EncoderCounter::Batches, 1);
        let written = self.writer.write(batch, now_ns());
        self.add(EncoderCounter::RowsWritten, written.rows);
        count_files(&self.counts, &written);
        if let Some(loss) = written.loss {
            let reason = match loss.reason {
                LossReason::DiskFull => EncoderCounter::DiskFull,
                LossReason::Io => EncoderCounter::DiskError,
            };
            self.add(reason, loss.rows);
            error!(rows = loss.rows, "rows lost: {}", loss.error);
        }
    }

    fn write_stats(&mut self, rows: &[StatsRow]) {
        if let Err(error) = self.writer.write_stats(rows, now_ns()) {
            error!("capture_stats could not be written: {error}");
        }
    }

    fn add(&self, counter: EncoderCounter, count: u64) {
        self.counts.add(counter as usize, count);
    }
}

fn count_files(counts: &EncoderLedger, written: &Written) {
    for file in &written.files_published {
        info!(file = %file.path.display(), rows = file.rows, bytes = file.bytes, "published");
        counts.add(EncoderCounter::FilesPublished as usize, 1);
        counts.add(EncoderCounter::BytesPublished as usize, file.bytes);
    }
}

/// Unix time in nanoseconds, for the age of files; rows carry the frames' time.
fn now_ns() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "this loop owns the clock that ages files")]
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
