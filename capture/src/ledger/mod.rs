//! What is counted, under which name, and the law that everything counted obeys (DESIGN.md section 7, promise 1).
//!
//! A collector counts in plain integers of its own and publishes them at burst boundaries; everybody else reads
//! the published values. Invariant: every head, row and record ends under exactly one of these names.

pub mod figures;
pub mod latency;

use std::sync::atomic::{AtomicU64, Ordering, fence};

use self::{
    figures::FIGURE_COUNT,
    latency::{Buckets, Merged},
};

macro_rules! counters {
    ($(#[$doc:meta])* $enum:ident, $count:ident, { $($(#[doc = $help:literal])+ $variant:ident = $name:literal,)+ }) => {
        $(#[$doc])*
        #[repr(usize)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $enum { $($(#[doc = $help])+ $variant,)+ }

        impl $enum {
            /// Every counter, in order.
            pub const ALL: &'static [$enum] = &[$($enum::$variant,)+];

            /// The name in the balance, in `capture_stats` and in the metrics.
            pub const fn name(self) -> &'static str {
                match self { $($enum::$variant => $name,)+ }
            }

            /// What it counts, in words.
            pub const fn help(self) -> &'static str {
                match self { $($enum::$variant => concat!($($help),+),)+ }
            }
        }

        /// Number of counters.
        pub const $count: usize = $enum::ALL.len();
    };
}

counters! {
    /// What one collector counts.
    Counter, COUNTER_COUNT, {
        /// Records taken from the rings or made from capture files.
        Records = "records",
        /// Records that name no kind or length this version knows.
        RecordsInvalid = "records_invalid",
        /// Records without bytes (SYN, FIN, RST, pushed body ends).
        RecordsMark = "records_mark",
        /// Continuations no head was waiting for.
        RecordsOrphan = "records_orphan",
        /// Continuations that repeated what was known.
        RecordsDuplicate = "records_duplicate",
        /// Records that came to another collector than the one that has their connection.
        RecordsMisdirected = "records_misdirected",
        /// Times that a collector fell behind and was let run on any core until it had kept up for a second.
        Unpinned = "unpinned",
        /// Heads begun.
        Heads = "heads",
        /// Heads that no record told of, found where the one before them ends.
        HeadsUntold = "heads_untold",
        /// Heads that became a message, whole.
        MessagesWhole = "messages_whole",
        /// Heads that became a message, with bytes missing.
        MessagesTruncated = "messages_truncated",
        /// Heads whose start line is neither a request's nor a response's.
        Malformed = "malformed",
        /// Heads that had come before (SPAN duplicates, retransmissions).
        Duplicate = "duplicate",
        /// Start lines inside a head or body already accounted for.
        InMessage = "in_message",
        /// Start lines on a connection where HTTP had ended (Upgrade, CONNECT, HTTP/2).
        AfterEnd = "after_end",
        /// Heads given up because a table was full.
        Evicted = "evicted",
        /// Heads in progress no longer waited for because there were too many; what came of them became messages.
        HeadsGivenUp = "heads_given_up",
        /// Transactions no longer waited for because there were too many; they became rows as they were.
        TransactionsGivenUp = "transactions_given_up",
        /// Messages that are requests.
        Requests = "requests",
        /// Messages that turned out to lie in a body or a tunnel: requests, and what seemed to answer one. They stand in no row.
        Retracted = "retracted",
        /// Messages that are final responses, or interim ones with no request.
        Responses = "responses",
        /// Messages that are interim responses folded into their transaction.
        Interim = "interim",
        /// Rows appended.
        Rows = "rows",
        /// Rows whose pairing TCP proved.
        RowsAckVerified = "rows_ack_verified",
        /// Rows paired by position alone.
        RowsPositional = "rows_positional",
        /// Rows of a request without a response.
        RowsRequestOnly = "rows_request_only",
        /// Rows of a response without a request.
        RowsResponseOnly = "rows_response_only",
        /// Rows paired though more than one pair was possible.
        RowsAmbiguous = "rows_ambiguous",
        /// Rows lost because the queue to the encoder was full.
        Shed = "shed",
        /// Connections begun.
        Connections = "connections",
        /// Connections that left because the table was full; their rows were written.
        ConnectionsEvicted = "connections_evicted",
        /// Connections forgotten after a long silence; their rows were written.
        ConnectionsAged = "connections_aged",
        /// Rows copied for viewers.
        WatchRows = "watch_rows",
        /// Rows that viewers watched for and that were not copied, as there was no room or it was not their turn.
        WatchDropped = "watch_dropped",
    }
}

counters! {
    /// What the encoders count.
    EncoderCounter, ENCODER_COUNTER_COUNT, {
        /// Batches taken from the queue.
        Batches = "batches",
        /// Rows in files.
        RowsWritten = "rows_written",
        /// Rows lost because there was no room on disk.
        DiskFull = "disk_full",
        /// Rows lost to another error of the disk.
        DiskError = "disk_error",
        /// Rows in published files.
        RowsPublished = "rows_published",
        /// Rows in files that could not be published; the next start tries again.
        RowsStaged = "rows_staged",
        /// Rows that were written and are in no file: somebody removed or spoiled theirs before it was published.
        StagingLost = "staging_lost",
        /// Rows of `capture_stats` that are in no file: they never found room on disk, or somebody removed theirs.
        StatsLost = "stats_lost",
        /// Files published.
        FilesPublished = "files_published",
        /// Bytes of row groups written.
        BytesWritten = "bytes_written",
        /// Rows that a crash had left unfinished, recovered and published at this start.
        RowsRecovered = "rows_recovered",
        /// Rows that the same crash may have cost: about as many as its last flush interval brought.
        RowsMaybeMissing = "rows_maybe_missing",
        /// Files that retention removed.
        FilesRemoved = "files_removed",
        /// Bytes of these files.
        BytesRemoved = "bytes_removed",
        /// Files whose rows compaction put into larger ones.
        CompactFilesIn = "compact_files_in",
        /// Bytes of these files.
        CompactBytesIn = "compact_bytes_in",
        /// Files that compaction made.
        CompactFilesOut = "compact_files_out",
        /// Bytes of these files.
        CompactBytesOut = "compact_bytes_out",
        /// Merges that did not work, of files that are as they were.
        CompactFailed = "compact_failed",
        /// Files uploaded.
        UploadFiles = "upload_files",
        /// Bytes of these files.
        UploadBytes = "upload_bytes",
        /// Uploaded files taken back, as compaction has put their rows into another.
        UploadWithdrawn = "upload_withdrawn",
        /// Attempts to upload that failed; what they left is tried again.
        UploadFailed = "upload_failed",
        /// Files that retention removed before they were uploaded.
        UploadMissed = "upload_missed",
    }
}

counters! {
    /// What the hub counts that serves viewers.
    ViewCounter, VIEW_COUNTER_COUNT, {
        /// Viewers taken in.
        Viewers = "viewers",
        /// Viewers turned away: not allowed to watch, or one too many.
        ViewersRefused = "viewers_refused",
        /// Viewers dropped because they did not read, or asked for nothing.
        ViewersDropped = "viewers_dropped",
        /// Requests of viewers that were none.
        ViewRequestsBad = "view_requests_bad",
        /// Rows that a viewer was not sent because it read too slowly.
        ViewLinesDropped = "view_lines_dropped",
    }
}

/// Reads of counters that are just being replaced, before the last one is taken as it is.
const READ_ATTEMPTS_MAX: u32 = 1000;

/// Counters of one thread, readable by all, and all of one moment.
#[derive(Debug)]
pub struct Published<const N: usize> {
    /// Odd while the values are being replaced.
    version: AtomicU64,
    values: [AtomicU64; N],
}

impl<const N: usize> Default for Published<N> {
    fn default() -> Self {
        Published { version: AtomicU64::new(0), values: [const { AtomicU64::new(0) }; N] }
    }
}

impl<const N: usize> Published<N> {
    /// Replaces the published values by the thread's own; one thread may do so.
    pub fn publish(&self, own: &[u64; N]) {
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        for (published, own) in self.values.iter().zip(own) {
            published.store(*own, Ordering::Relaxed);
        }
        self.version.store(version.wrapping_add(2), Ordering::Release);
    }

    /// Adds to one counter, for threads that are not on the hot path.
    pub fn add(&self, index: usize, count: u64) {
        self.values[index].fetch_add(count, Ordering::Relaxed);
    }

    /// The values last published.
    pub fn read(&self) -> [u64; N] {
        for _ in 0..READ_ATTEMPTS_MAX {
            let before = self.version.load(Ordering::Acquire);
            let values = self.copy();
            fence(Ordering::Acquire);
            if before.is_multiple_of(2) && self.version.load(Ordering::Relaxed) == before {
                return values;
            }
            std::thread::yield_now();
        }
        self.copy()
    }

    fn copy(&self) -> [u64; N] {
        std::array::from_fn(|index| self.values[index].load(Ordering::Relaxed))
    }
}

/// How full something is, and the fullest it was.
#[derive(Debug, Default)]
pub struct Fill {
    now: AtomicU64,
    max: AtomicU64,
}

impl Fill {
    /// Notes how full it is.
    pub fn note(&self, value: u64) {
        self.now.store(value, Ordering::Relaxed);
        if value > self.max.load(Ordering::Relaxed) {
            self.max.store(value, Ordering::Relaxed);
        }
    }

    /// How full it was when somebody last noted it.
    pub fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    /// The fullest it was since the last take.
    pub fn max(&self) -> u64 {
        self.max.load(Ordering::Relaxed)
    }

    /// The fullest it was, from now on counted anew.
    pub fn take_max(&self) -> u64 {
        self.max.swap(self.now(), Ordering::Relaxed)
    }
}

/// What a collector publishes.
#[derive(Debug, Default)]
pub struct CollectorLedger {
    /// Its counters.
    pub counts: Published<COUNTER_COUNT>,
    /// Its transactions by method and class of status.
    pub figures: Published<FIGURE_COUNT>,
    /// Its ring, in bytes.
    pub ring: Fill,
    /// The queue to the encoder as it found it, in batches.
    pub queue: Fill,
    /// From the kernel half's stamp to the end of the burst that parsed a record.
    pub parsed: Merged,
    /// From a request's last byte to its response's first.
    pub first_byte: Merged,
    /// Monotonic time of its last pass over the ring, in nanoseconds; zero before the first, and for files.
    pub alive_ns: AtomicU64,
    /// Age of the oldest record of its last burst when that was parsed, in nanoseconds.
    pub lag_ns: AtomicU64,
    /// Nanoseconds it had nothing to do.
    pub idle_ns: AtomicU64,
    /// Monotonic time of the oldest row that is not handed on yet, in nanoseconds; zero without one.
    pub unsealed_ns: AtomicU64,
}

/// What the encoders publish.
#[derive(Debug, Default)]
pub struct EncoderLedger {
    /// Their counters.
    pub counts: Published<ENCODER_COUNTER_COUNT>,
    /// From the burst that parsed a row to the sync that made it durable.
    pub durable: Merged,
    /// Monotonic time of the oldest row being written, or since when anything else is asked of the disk, in nanoseconds; zero
    /// while nothing is.
    pub writing_ns: AtomicU64,
    /// Published files that are to be uploaded and are not yet.
    pub upload_files_waiting: Fill,
    /// Their bytes.
    pub upload_bytes_waiting: Fill,
}

impl EncoderLedger {
    /// Adds to one counter.
    pub fn add(&self, counter: EncoderCounter, count: u64) {
        self.counts.add(counter as usize, count);
    }
}

/// The same latencies of several threads in one.
pub fn merged<'a>(parts: impl Iterator<Item = &'a Merged>) -> Buckets {
    let mut sum = Buckets::default();
    parts.for_each(|part| sum.add(&part.read()));
    sum
}

/// Published counters of the hub.
pub type ViewLedger = Published<VIEW_COUNTER_COUNT>;

/// A collector's own counts.
#[derive(Clone, Debug)]
pub struct Tally([u64; COUNTER_COUNT]);

impl Default for Tally {
    fn default() -> Self {
        Tally([0; COUNTER_COUNT])
    }
}

impl Tally {
    /// Counts one.
    #[inline]
    pub fn count(&mut self, counter: Counter) {
        self.0[counter as usize] += 1;
    }

    /// Counts several.
    pub fn add(&mut self, counter: Counter, count: u64) {
        self.0[counter as usize] += count;
    }

    /// One counter's value.
    pub fn get(&self, counter: Counter) -> u64 {
        self.0[counter as usize]
    }

    /// All values, in the order of `Counter::ALL`.
    pub fn values(&self) -> &[u64; COUNTER_COUNT] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn a_reader_sees_values_of_one_moment() {
        let published = Published::<8>::default();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                (1..).take_while(|_| !stop.load(Ordering::Relaxed)).for_each(|n| {
                    published.publish(&[n; 8]);
                    // As between two bursts: who publishes without a pause leaves a reader no moment.
                    std::thread::yield_now();
                });
            });
            for _ in 0..5_000 {
                let values = published.read();
                assert!(values.iter().all(|value| *value == values[0]), "{values:?}");
            }
            stop.store(true, Ordering::Relaxed);
        });
    }

    #[test]
    fn the_fullest_is_told_once_and_begins_with_now() {
        let fill = Fill::default();
        [3, 9, 4].into_iter().for_each(|value| fill.note(value));
        assert_eq!((fill.now(), fill.max(), fill.take_max(), fill.take_max()), (4, 9, 9, 4));
    }
}
