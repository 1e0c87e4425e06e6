//! Where records come from: rings filled by the kernel half, or frames of a file that take the same decision here.
//!
//! First stage of the flow, and the only one that reads the stop flag. Invariant: a sink sees validated records only,
//! each with exactly its bytes.

pub mod decider;
pub mod live;
pub mod pcap;
pub mod replay;

use common::record::Record;

/// Takes records, in the order they were made.
pub trait RecordSink {
    /// Takes one record and the `record.copied` bytes that came with it.
    fn record(&mut self, record: &Record, bytes: &[u8]);

    /// Is told of the record behind the next one, as far as that is known: what it will need can be fetched meanwhile.
    fn expect(&mut self, record: &Record) {
        let _ = record;
    }
}
