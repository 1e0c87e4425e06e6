//! What is counted, under which name, and the law that everything counted obeys (DESIGN.md section 7, promise 1).
//!
//! A collector counts in plain integers of its own and publishes them at burst boundaries; everybody else reads
//! the published values. Invariant: every head, row and record ends under exactly one of these names.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($(#[$doc:meta])* $enum:ident, $count:ident, { $($(#[$item:meta])* $variant:ident = $name:literal,)+ }) => {
        $(#[$doc])*
        #[repr(usize)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $enum { $($(#[$item])* $variant,)+ }

        impl $enum {
            /// Every counter, in order.
            pub const ALL: &'static [$enum] = &[$($enum::$variant,)+];

            /// The name in the balance, in `capture_stats` and in the metrics.
            pub const fn name(self) -> &'static str {
                match self { $($enum::$variant => $name,)+ }
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
        /// Heads begun.
        Heads = "heads",
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
        /// Messages that are requests.
        Requests = "requests",
        /// Messages that are final responses, or interim ones with no request.
        Responses = "responses",
        /// Messages that are interim responses folded into their transaction.
        Interim = "interim",
        /// Rows appended.
        Rows = "rows",
        /// Rows of each pairing state.
        RowsAckVerified = "rows_ack_verified",
        /// See `pair_state`.
        RowsPositional = "rows_positional",
        /// See `pair_state`.
        RowsRequestOnly = "rows_request_only",
        /// See `pair_state`.
        RowsResponseOnly = "rows_response_only",
        /// See `pair_state`.
        RowsAmbiguous = "rows_ambiguous",
        /// Rows lost because the queue to the encoder was full.
        Shed = "shed",
        /// Connections begun.
        Connections = "connections",
        /// Connections that left because the table was full; their rows were written.
        ConnectionsEvicted = "connections_evicted",
        /// Connections forgotten after a long silence; their rows were written.
        ConnectionsAged = "connections_aged",
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
        /// Files published.
        FilesPublished = "files_published",
        /// Bytes of row groups written.
        BytesWritten = "bytes_written",
    }
}

/// Counters of one thread, readable by all.
#[derive(Debug)]
pub struct Published<const N: usize>([AtomicU64; N]);

impl<const N: usize> Default for Published<N> {
    fn default() -> Self {
        Published([const { AtomicU64::new(0) }; N])
    }
}

impl<const N: usize> Published<N> {
    /// Replaces the published values by the thread's own.
    pub fn publish(&self, own: &[u64; N]) {
        for (published, own) in self.0.iter().zip(own) {
            published.store(*own, Ordering::Relaxed);
        }
    }

    /// Adds to one counter, for threads that are not on the hot path.
    pub fn add(&self, index: usize, count: u64) {
        self.0[index].fetch_add(count, Ordering::Relaxed);
    }

    /// The values last published.
    pub fn read(&self) -> [u64; N] {
        std::array::from_fn(|index| self.0[index].load(Ordering::Relaxed))
    }
}

/// What a collector publishes.
#[derive(Debug, Default)]
pub struct CollectorLedger {
    /// Its counters.
    pub counts: Published<COUNTER_COUNT>,
    ring_fill_bytes_max: AtomicU64,
}

impl CollectorLedger {
    /// Notes how full the ring was.
    pub fn raise_ring_fill(&self, bytes: u64) {
        if bytes > self.ring_fill_bytes_max.load(Ordering::Relaxed) {
            self.ring_fill_bytes_max.store(bytes, Ordering::Relaxed);
        }
    }

    /// The fullest the ring was since the last call, in bytes.
    pub fn take_ring_fill(&self) -> u64 {
        self.ring_fill_bytes_max.swap(0, Ordering::Relaxed)
    }
}

/// Published counters of the encoders.
pub type EncoderLedger = Published<ENCODER_COUNTER_COUNT>;

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
