//! Every limit of the collector: its name, its reason, what must hold between limits.
//!
//! The sum of what they allow is printed at start; nothing in the flow grows beyond it, whatever comes in.

use storage::batch::{BATCH_BYTES_MAX, BATCH_KNOWN_BYTES_MAX};

use crate::{
    flow::{
        handshake::Handshake,
        partial::PARTIAL_BYTES,
        table::{FlowKey, SLOT_BYTES},
        transaction::Transaction,
    },
    http::LINE_MEMORY_BYTES_MAX,
    redact::RECALL_BYTES_MAX,
    view::{sighting::Sighting, window::WINDOW_BYTES_MAX},
};

/// Heads remembered per direction to tell a duplicate from news: a SPAN port repeats a frame within a few others, and an
/// answer with all its interim responses is several heads.
pub const HEAD_RECENT_COUNT_MAX: usize = 8;

/// Steps of a direction's acknowledgement that are remembered, to know a request that is only repeated: it comes soon.
pub const REPLY_COUNT_MAX: usize = 4;

/// Runs of chunks in one direction that are remembered, to know what looks like a head in them: copies of it come soon.
pub const CHUNK_RUN_COUNT_MAX: usize = 2;

/// Heads in progress in one direction: one is usual, more only behind a gap that is still open.
pub const PARTIAL_COUNT_PER_DIRECTION_MAX: usize = 4;

/// Segments kept that came before the one their head begins in.
pub const PIECE_EARLY_COUNT_MAX: usize = 32;

/// Places in one direction where what is known ends, as heads came behind bytes that are missing; the lowest is given up beyond.
pub const TRAIL_END_COUNT_MAX: usize = 6;

/// Pieces a head in progress may be in at once.
pub const FILLED_RANGE_COUNT_MAX: usize = 64;

/// Heads in progress in one collector; the oldest is given up beyond.
pub const PARTIAL_COUNT_MAX: usize = 4096;

/// Transactions of one connection waiting for their response or its end; the oldest leaves beyond.
pub const TRANSACTION_COUNT_PER_FLOW_MAX: usize = 64;

/// Open transactions of one connection from which on none waits for what may come late.
pub const WAITING_COUNT_MAX: usize = TRANSACTION_COUNT_PER_FLOW_MAX / 2;

/// Connections one collector remembers; the one silent for longest leaves beyond.
pub const FLOW_COUNT_MAX: usize = 1 << 17;

/// Handshakes one collector remembers until their connection speaks HTTP; a newer one takes an older one's place.
pub const HANDSHAKE_COUNT_MAX: usize = 1 << 14;

/// Interim responses (1xx) noted per transaction.
pub const INFO_STATUS_COUNT_MAX: usize = 8;

/// Sealed batches of each collector that wait for the encoder, those of all in one queue: all seal at once, as the flush interval
/// ends. A collector sheds the next one.
pub const QUEUE_WORK_COUNT_MAX: usize = 3;

/// Bytes of sealed batches, all collectors' together, that wait or are being written: of full ones, which hold a little more than
/// their limit, three.
pub const QUEUE_BYTES_MAX: usize = 3 * BATCH_BYTES_MAX + BATCH_BYTES_MAX / 8;

/// Intervals of `capture_stats` that wait for the encoder, and as many for room on disk; what comes then is told together.
pub const INTERVAL_COUNT_MAX: usize = 64;

/// Times at which rows of one batch were parsed that are told apart; more than a batch of default age has.
pub const PARSED_MARK_COUNT_MAX: usize = 512;

/// Rows on their way from a collector to viewers: a burst of them.
pub const SIGHTING_COUNT_MAX: usize = 512;

/// Rows that all collectors together show in a pump of the hub, 20 a second: more than anybody reads, and few enough that
/// the hub takes little from a machine whose every core collects (bench/record/view-cost.md).
pub const SHOWN_COUNT_MAX: u32 = 256;

/// Viewers at the control socket; each may hold `OUTBOX_BYTES_MAX` and `WINDOW_BYTES_MAX`.
pub const VIEWER_COUNT_MAX: usize = 16;

/// Bytes on their way to one viewer; rows beyond are dropped.
pub const OUTBOX_BYTES_MAX: usize = 1 << 20;

/// Nanoseconds of record time a head in progress is waited for.
pub const PARTIAL_AGE_NS_MAX: u64 = 10_000_000_000;

/// Nanoseconds of record time that directions, rings and segments of one connection may be late against each other.
pub const LATE_AGE_NS_MAX: u64 = 1_000_000_000;

/// Transactions in progress in one collector; those of connections longest without news become rows beyond.
pub const TRANSACTION_COUNT_MAX: usize = FLOW_COUNT_MAX;

/// Bytes of a new batch that transactions in progress may take; beyond, those longest without news become rows.
pub const OPEN_BYTES_MAX: usize = BATCH_BYTES_MAX / 2;

/// Nanoseconds of record time behind what looks like the last chunk until it is taken for it: more would have followed.
pub const CHUNK_END_AGE_NS_MAX: u64 = 500_000_000;

/// Nanoseconds of silence on its connection an answered transaction waits for the end of its response's body.
pub const ANSWERED_SILENCE_NS_MAX: u64 = 30_000_000_000;

/// Nanoseconds of record time an answered transaction waits for the end of its response's body, however busy.
pub const ANSWERED_AGE_NS_MAX: u64 = 900_000_000_000;

/// Nanoseconds of record time a request waits for its response.
pub const UNANSWERED_AGE_NS_MAX: u64 = 120_000_000_000;

/// Nanoseconds of record time a silent connection is remembered.
pub const FLOW_AGE_NS_MAX: u64 = 1_800_000_000_000;

/// Nanoseconds of record time a closed connection is remembered, to know late and doubled segments for what they are.
pub const FLOW_CLOSED_AGE_NS_MAX: u64 = 5_000_000_000;

const _: () = assert!(HANDSHAKE_COUNT_MAX.is_power_of_two());
const _: () = assert!(SHOWN_COUNT_MAX as usize <= SIGHTING_COUNT_MAX);
const _: () = assert!(ANSWERED_SILENCE_NS_MAX < ANSWERED_AGE_NS_MAX && ANSWERED_AGE_NS_MAX < FLOW_AGE_NS_MAX);
const _: () = assert!(UNANSWERED_AGE_NS_MAX < FLOW_AGE_NS_MAX);
const _: () = assert!(PARTIAL_AGE_NS_MAX < FLOW_AGE_NS_MAX);
const _: () = assert!(LATE_AGE_NS_MAX < PARTIAL_AGE_NS_MAX && LATE_AGE_NS_MAX < FLOW_CLOSED_AGE_NS_MAX);

/// Bytes all tables and buffers of one collector take at the most, with heads of up to `head_bytes_max`.
///
/// What a batch holds beyond its limit is one head at the most; a queue grows to twice what is in it.
pub fn collector_bytes_max(head_bytes_max: u32) -> u64 {
    let connections = FLOW_COUNT_MAX * SLOT_BYTES;
    let transactions = 2 * TRANSACTION_COUNT_MAX * size_of::<Transaction>();
    let partials = PARTIAL_COUNT_MAX * (head_bytes_max as usize + PARTIAL_BYTES);
    let handshakes = HANDSHAKE_COUNT_MAX * size_of::<(FlowKey, Handshake)>();
    let batches = (QUEUE_WORK_COUNT_MAX + 2) * (BATCH_BYTES_MAX + BATCH_KNOWN_BYTES_MAX);
    let memories = LINE_MEMORY_BYTES_MAX + RECALL_BYTES_MAX;
    let shown = SIGHTING_COUNT_MAX * size_of::<Sighting>();
    (connections + transactions + partials + handshakes + batches + memories + shown) as u64
}

/// Bytes that all viewers together take at the most.
pub fn viewers_bytes_max() -> u64 {
    (VIEWER_COUNT_MAX * (OUTBOX_BYTES_MAX + WINDOW_BYTES_MAX)) as u64
}
