//! The encoder thread: takes sealed batches from the queue, writes them, publishes files.
//!
//! The last stage; ends because its input closed. Invariant: every row taken from the queue is counted as written or
//! lost, by reason; an error of the disk loses the batch it met, never the thread.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use storage::{
    batch::Batch,
    dataset::{StatsRow, WriteError, Writer},
};

use crate::ledger::{EncoderCounter, EncoderLedger};
