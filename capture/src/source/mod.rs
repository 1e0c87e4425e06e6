//! Where frames and records come from: the first stage of the flow, and the only one that reads the stop flag.

pub mod decider;
pub mod pcap;
pub mod replay;

use common::record::Record;

/// The stage behind a source: takes each record as it comes, on borrowed bytes.
pub trait RecordSink {
    /// Takes a record and its `copied` payload bytes.
    fn record(&mut self, record: &Record, bytes: &[u8]);
}
