//! Reassembles heads of one direction from ring records, in whatever order the segments came.
//!
//! Stands between the source and the parser. A head that came in one record is handed on in place, without a copy;
//! only a head cut by a segment boundary takes a buffer. Invariant: each byte position of a head is decided by the
//! first segment that brought it; what later segments bring for it is compared, never taken.

use common::record::{Record, record_flag};
use storage::flags::Flags;

use super::partial::{Fill, Partial};
use super::seq;
use crate::limits::{HEAD_RECENT_COUNT_MAX, PARTIAL_COUNT_PER_DIRECTION_MAX, PIECE_EARLY_COUNT_MAX};

/// Where a head stood in its stream, and when its bytes came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadSpan {
    /// Sequence number of the start line's first byte.
    pub seq: u32,
    /// Sequence number behind the last byte of the head that is known of.
    pub end_seq: u32,
    /// Sequence number behind the last payload byte of the segment that ended the head.
    pub segment_end: u32,
    /// Acknowledgment number of the segment that began the head.
    pub ack: u32,
    /// N of the sampling in force when the head began.
    pub sample_weight: u32,
    /// TCP flags of all segments of the head, ored.
    pub tcp_flags: u8,
    /// Time of the first byte, nanoseconds.
    pub ts_first: u64,
    /// Time of the last byte, nanoseconds.
    pub ts_last: u64,
    /// The empty line was found.
    pub complete: bool,
    /// No byte is missing between the head and what came before it in its direction.
    pub is_continuous: bool,
    /// What happened to the segments on their way.
    pub flags: Flags,
}

/// What one record led to.
#[derive(Debug)]
pub enum Fed {
    /// Nothing to hand on yet.
    Pending,
    /// The head is the record's own bytes.
    InPlace(HeadSpan),
    /// The head was put together from several records.
    Assembled(HeadSpan, Vec<u8>),
    /// The head was seen before (a SPAN duplicate or a retransmission).
    Duplicate,
    /// A continuation no head is waiting for.
    Orphan,
}

/// How a sequence number stands to the heads in progress of its direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In none of them.
    Free,
    /// One of them begins there.
    Begun,
    /// In the known bytes of one of them.
    Inside,
}

/// A continuation that came before the segment its head begins in.
#[derive(Debug)]
struct Early {
    record: Record,
    bytes: Vec<u8>,
}

/// The heads in progress of one direction.
#[derive(Debug, Default)]
pub struct Assembler {
    partials: Vec<Partial>,
    early: Vec<Early>,
    recent: [(u32, u32); HEAD_RECENT_COUNT_MAX],
    recent_count: usize,
}

impl Assembler {
    /// Where `at` stands to the heads in progress.
    pub fn place_of(&self, at: u32) -> Place {
        match self.partials.iter().find(|partial| partial.covers(at)) {
            Some(partial) if partial.start() == at => Place::Begun,
            Some(_) => Place::Inside,
            None => Place::Free,
        }
    }

    /// Takes a record that begins a head at a `Place::Free`.
    ///
    /// `is_continuous` where no byte is missing before it in its direction.
    pub fn begin(
        &mut self,
        record: &Record,
        bytes: &[u8],
        head_bytes_max: usize,
        is_continuous: bool,
    ) -> Fed {
        if self.is_recent(record.seq) {
            return Fed::Duplicate;
        }
        if ends_here(record) {
            self.remember(record.seq, record.seq.wrapping_add(u32::from(record.copied)));
            return Fed::InPlace(span_in_place(record, is_continuous));
        }
        self.start_partial(record, bytes, Partial::new(record, head_bytes_max, is_continuous))
    }

    /// Takes a record that carries on a head.
    pub fn carry_on(&mut self, record: &Record, bytes: &[u8], head_bytes_max: usize) -> Fed {
        if let Some(index) = self.partial_reaching(record) {
            return self.fill(index, record, bytes);
        }
        let end = record.seq.wrapping_add(u32::from(record.copied));
        let is_in = |(start, head_end): &(u32, u32)| {
            seq::at_or_after(record.seq, *start) && seq::at_or_after(*head_end, end)
        };
        if self.recent().iter().any(is_in) {
            return Fed::Duplicate;
        }
        self.keep_early(record, bytes, head_bytes_max)
    }

    /// Heads in progress.
    pub fn partial_count(&self) -> usize {
        self.partials.len()
    }

    /// The time the oldest head in progress last grew.
    pub fn oldest_ts(&self) -> Option<u64> {
        self.partials.first().map(Partial::ts_last)
    }

    /// Sequence number of the first byte of the oldest head in progress.
    pub fn oldest_start(&self) -> Option<u32> {
        self.partials.first().map(Partial::start)
    }

    /// Sequence number behind the last byte known of the oldest head in progress.
    pub fn oldest_end(&self) -> Option<u32> {
        self.partials.first().map(Partial::known_end)
    }

    /// Gives up waiting for the rest of the oldest head in progress: hands on what there is of it, flagged.
    pub fn finish_oldest(&mut self) -> Option<(HeadSpan, Vec<u8>)> {
        if self.partials.is_empty() {
            return None;
        }
        let (span, bytes) = self.partials.remove(0).give_up();
        self.remember(span.seq, span.end_seq);
        Some((span, bytes))
    }

    /// Whether more heads are in progress than may be.
    pub fn is_over_limit(&self) -> bool {
        self.partials.len() > PARTIAL_COUNT_PER_DIRECTION_MAX
    }

    /// Heads in progress, those included of which only later pieces came.
    pub fn held_count(&self) -> usize {
        self.partials.len() + usize::from(!self.early.is_empty())
    }

    /// Gives back the memory of heads that are no longer in progress.
    pub fn let_go(&mut self) {
        if self.partials.is_empty() && self.partials.capacity() > 0 {
            self.partials = Vec::new();
        }
        if self.early.is_empty() && self.early.capacity() > 0 {
            self.early = Vec::new();
        }
    }

    /// Pieces that wait for the beginning of their head.
    pub fn early_count(&self) -> usize {
        self.early.len()
    }

    /// Forgets early pieces that came at `ts_max` or before; returns how many records that were.
    pub fn drop_early(&mut self, ts_max: u64) -> usize {
        let count = self.early.len();
        self.early.retain(|piece| piece.record.ts_ns > ts_max);
        count - self.early.len()
    }

    fn recent(&self) -> &[(u32, u32)] {
        &self.recent[..self.recent_count.min(HEAD_RECENT_COUNT_MAX)]
    }

    /// Whether the head at this place was handed on lately.
    pub fn is_recent(&self, head_seq: u32) -> bool {
        self.recent().iter().any(|(start, _)| *start == head_seq)
    }

    fn remember(&mut self, start: u32, end: u32) {
        self.recent[self.recent_count % HEAD_RECENT_COUNT_MAX] = (start, end);
        self.recent_count += 1;
        // Keep the index small, and "full" distinguishable from "filling".
        if self.recent_count == 2 * HEAD_RECENT_COUNT_MAX {
            self.recent_count = HEAD_RECENT_COUNT_MAX;
        }
    }

    /// The head in progress the record's bytes may belong to: the latest that begins at or before its end.
    fn partial_reaching(&self, record: &Record) -> Option<usize> {
        self.partials.iter().rposition(|partial| partial.reaches(record.seq, record.copied))
    }

    fn start_partial(&mut self, record: &Record, bytes: &[u8], partial: Partial) -> Fed {
        let at = self.partials.partition_point(|partial| seq::after(record.seq, partial.start()));
        self.partials.insert(at, partial);
        let behind = match at.checked_sub(1) {
            Some(before) => self.partials[before].split_off(record.seq),
            None => Vec::new(),
        };
        let mut fed = self.fill(at, record, bytes);
        for (seq, bytes) in behind {
            // What came behind the start was taken for the rest of the head before.
            for (nth, piece) in bytes.chunks(usize::from(u16::MAX)).enumerate() {
                let seq = seq.wrapping_add((nth * usize::from(u16::MAX)) as u32);
                let record = Record { seq, copied: piece.len() as u16, flags: 0, ..*record };
                if matches!(fed, Fed::Pending) {
                    fed = self.fill(at, &record, piece);
                }
            }
        }
        if !self.early.is_empty() && matches!(fed, Fed::Pending) {
            fed = self.merge_early(record.seq);
        }
        fed
    }

    fn merge_early(&mut self, start: u32) -> Fed {
        let mut pieces = std::mem::take(&mut self.early).into_iter();
        let mut fed = Fed::Pending;
        for piece in pieces.by_ref() {
            let index = self.partials.iter().position(|partial| partial.start() == start);
            match index {
                Some(index) if self.partials[index].reaches(piece.record.seq, piece.record.copied) => {
                    self.partials[index].came_late();
                    fed = self.fill(index, &piece.record, &piece.bytes);
                }
                Some(_) | None => self.early.push(piece),
            }
            if !matches!(fed, Fed::Pending) {
                break;
            }
        }
        self.early.extend(pieces);
        fed
    }

    fn keep_early(&mut self, record: &Record, bytes: &[u8], head_bytes_max: usize) -> Fed {
        let kept: usize = self.early.iter().map(|piece| piece.bytes.len()).sum();
        if self.early.len() == PIECE_EARLY_COUNT_MAX || kept + bytes.len() > head_bytes_max {
            return Fed::Orphan;
        }
        self.early.push(Early { record: *record, bytes: bytes.to_vec() });
        Fed::Pending
    }

    fn fill(&mut self, index: usize, record: &Record, bytes: &[u8]) -> Fed {
        match self.partials[index].fill(record, bytes) {
            Fill::Open => Fed::Pending,
            Fill::Done => {
                let (span, bytes) = self.partials.remove(index).finish();
                self.remember(span.seq, span.end_seq);
                Fed::Assembled(span, bytes)
            }
        }
    }
}

/// The flag of a head whose start line had line ends before it.
pub(super) fn led(record: &Record) -> Flags {
    if record.flags & record_flag::LED == 0 { Flags::NONE } else { Flags::LEADING_SPACE }
}

/// Whether nothing of the head is still to come behind this record.
fn ends_here(record: &Record) -> bool {
    record.flags & (record_flag::HEAD_END | record_flag::HEAD_LIMIT | record_flag::SNAPPED) != 0
}

fn span_in_place(record: &Record, is_continuous: bool) -> HeadSpan {
    let complete = record.flags & record_flag::HEAD_END != 0;
    let led = led(record);
    HeadSpan {
        seq: record.seq,
        end_seq: record.seq.wrapping_add(u32::from(record.copied)),
        segment_end: record.segment_seq.wrapping_add(record.segment_len),
        ack: record.ack,
        sample_weight: record.sample_weight,
        tcp_flags: record.tcp_flags,
        ts_first: record.ts_ns,
        ts_last: record.ts_ns,
        complete,
        is_continuous,
        flags: if complete { led } else { led.with(Flags::HEAD_TRUNCATED) },
    }
}
