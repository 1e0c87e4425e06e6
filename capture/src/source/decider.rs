//! The decision of the kernel half, made in user space: frames of a file in, the records XDP would have made out.
//!
//! Owns what the kernel keeps per CPU: memory of flows and datagrams, scratch, counters. Invariant: same frames, same records.

use super::RecordSink;
use common::config::Config;
use common::counters::Counters;
use common::decide::dissect::Link;
use common::decide::dissect::fragment::Datagram;
use common::decide::flow::Set;
use common::decide::frame::{Sink, SliceFrame, SliceMemory};
use common::decide::{State, Work, decide};
use common::limits::{DATAGRAM_COUNT, FLOW_SET_COUNT};
use common::record::Record;
use common::verdict::Verdict;

/// One frame as a file holds it.
#[derive(Clone, Copy, Debug)]
pub struct FrameRef<'a> {
    /// Unix time in nanoseconds.
    pub ts_ns: u64,
    /// What the bytes begin with.
    pub link: Link,
    /// The captured bytes.
    pub bytes: &'a [u8],
    /// Bytes the frame had on the wire.
    pub original_len: u32,
    /// Interface number of the file.
    pub ifindex: u32,
}

/// Decides on frames as one CPU of the kernel half would.
#[derive(Debug)]
pub struct Decider {
    config: Box<Config>,
    sets: Box<[Set]>,
    datagrams: Box<[Datagram]>,
    work: Box<Work>,
    counters: Vec<Counters>,
}

impl Decider {
    /// A decider with an empty flow memory.
    pub fn new(config: &Config) -> Self {
        Self {
            config: Box::new(*config),
            sets: vec![Set::default(); FLOW_SET_COUNT].into_boxed_slice(),
            datagrams: vec![Datagram::default(); DATAGRAM_COUNT].into_boxed_slice(),
            work: Box::default(),
            counters: Vec::new(),
        }
    }

    /// Decides on one frame and hands its records to the sink.
    pub fn decide(&mut self, frame: FrameRef<'_>, sink: &mut impl RecordSink) -> Verdict {
        let slot = self.config.iface_slot(frame.ifindex) as usize;
        if slot >= self.counters.len() {
            self.counters.resize(slot + 1, Counters::default());
        }
        self.work.record.ts_ns = frame.ts_ns;
        self.work.record.ifindex = frame.ifindex;
        self.work.record.queue = 0;
        let state = State { config: &self.config, work: &mut self.work, counters: &mut self.counters[slot] };
        let mut bytes = SliceFrame::new(frame.bytes, frame.original_len);
        let memory = SliceMemory { sets: &mut self.sets, datagrams: &mut self.datagrams };
        decide(&mut bytes, frame.link, memory, Copies(sink), state)
    }

    /// Counts from zero again, for frames of another file.
    pub fn reset_counters(&mut self) {
        self.counters.clear();
    }

    /// Counters by interface slot of the configuration; slots without frames may be missing at the end.
    pub fn counters(&self) -> &[Counters] {
        &self.counters
    }
}

/// A record sink as the decision's sink: the bytes are borrowed from the frame.
struct Copies<'s, S>(&'s mut S);

impl<S: RecordSink> Sink<SliceFrame<'_>> for Copies<'_, S> {
    fn emit(&mut self, frame: &mut SliceFrame<'_>, record: &mut Record, offset: u32) -> bool {
        let begin = offset as usize;
        let bytes = frame.bytes().get(begin..begin + usize::from(record.copied));
        self.0.record(record, bytes.expect("the walk copies captured bytes only"));
        true
    }
}
