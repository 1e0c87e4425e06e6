//! Reassembles heads of one direction from ring records, in whatever order the segments came.
//!
//! Stands between the source and the parser. A head that came in one record is handed on in place, without a copy;
//! only a head cut by a segment boundary takes a buffer. Invariant: each byte position of a head is decided by the
//! first segment that brought it; what later segments bring for it is compared, never taken.

use common::record::{Record, record_flag};
use storage::flags::Flags;

use super::latest::Latest;
use super::partial::Partial;
use super::piece::{EarlyPieces, Piece};
use super::seq;
use crate::limits::{HEAD_RECENT_COUNT_MAX, PARTIAL_COUNT_PER_DIRECTION_MAX};

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
    /// Time at which the first byte came by, nanoseconds; behind the last one's where that came first.
    pub ts_first: u64,
    /// Time at which the last byte came by, nanoseconds.
    pub ts_last: u64,
    /// The first byte had come by before, and was not handed over then: nobody knows when.
    pub is_repeat: bool,
    /// The empty line was found.
    pub complete: bool,
    /// No byte is missing between the head and what came before it in its direction.
    pub is_continuous: bool,
    /// Bytes were missing before it when it began, where another one may begin.
    pub is_behind_gap: bool,
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
    /// All of it was seen before (a SPAN duplicate or a retransmission).
    Duplicate,
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

/// The heads in progress of one direction.
#[derive(Debug, Default)]
pub struct Assembler {
    partials: Vec<Partial>,
    early: EarlyPieces,
    /// Records of early pieces that were forgotten, and are not counted yet.
    forgotten: u64,
    recent: Latest<(u32, u32), HEAD_RECENT_COUNT_MAX>,
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
        if let Some((_, end)) = self.recent_at(record.seq) {
            // What came behind the head this time may be of the next one.
            let piece = Piece::of(record, bytes);
            if let Some(behind) = piece.within(end, piece.end()) {
                self.take_in(behind, head_bytes_max);
            }
            return Fed::Duplicate;
        }
        let end = record.seq.wrapping_add(u32::from(record.copied));
        if ends_here(record) && !self.early.touch(record.seq, end) {
            self.recent.add((record.seq, end));
            return Fed::InPlace(span_in_place(record, is_continuous));
        }
        self.insert(record, head_bytes_max, is_continuous);
        self.fill_in(Piece::of(record, bytes));
        self.next_done(head_bytes_max).map_or(Fed::Pending, |(span, bytes)| Fed::Assembled(span, bytes))
    }

    /// Whether a head begins at `at` that is known, or that may have been: so far back it is forgotten.
    pub fn has_begun(&self, at: u32) -> bool {
        let behind = self.recent.all().iter().filter(|(start, _)| seq::after(*start, at)).count();
        // The one that may end there is among them.
        behind >= HEAD_RECENT_COUNT_MAX - 1
            || self.is_recent(at)
            || self.partials.iter().any(|partial| partial.start() == at)
    }

    /// The first bytes that came from `at` on of a head that has not begun; none where it may not.
    pub fn early_at<'b>(&self, at: u32, into: &'b mut [u8]) -> &'b [u8] {
        let may_begin = !self.early.is_empty() && self.place_of(at) == Place::Free && !self.is_recent(at);
        if may_begin { self.early.copy_at(at, into) } else { &[] }
    }

    /// Whether pieces came of which no head has begun.
    pub fn has_early(&self) -> bool {
        !self.early.is_empty()
    }

    /// Begins a head at `at`, of which only such bytes came; `record` is the one that brought the last of them. It may be done
    /// at once (`next_done`).
    pub fn begin_early(&mut self, at: u32, record: &Record, head_bytes_max: usize) {
        let ack = self.early.ack_at(at).unwrap_or(record.ack);
        self.insert(&Record { seq: at, ack, flags: 0, due: 0, ..*record }, head_bytes_max, true);
    }

    /// Puts a head among those in progress, and gives it what came early of it.
    fn insert(&mut self, record: &Record, head_bytes_max: usize, is_continuous: bool) {
        let at = self.partials.partition_point(|partial| seq::after(record.seq, partial.start()));
        if let Some(before) = at.checked_sub(1) {
            // What came behind the start was taken for the rest of the head before.
            let behind = self.partials[before].split_off(record.seq);
            self.forgotten += self.early.keep_rest(behind, head_bytes_max);
        }
        // One at a time is usual.
        self.partials.reserve_exact(1);
        self.partials.insert(at, Partial::new(record, head_bytes_max, is_continuous));
        let next = self.partials.get(at + 1).map(Partial::start);
        for early in self.early.take(record.seq, next) {
            let piece = early.piece();
            let is_filled = piece.within(record.seq, piece.end()).is_some_and(|piece| self.fill_in(piece));
            let rest = if is_filled { early.before(record.seq) } else { Some(early) };
            self.forgotten += self.early.keep_rest(rest, head_bytes_max);
        }
    }

    /// Takes a record that carries on a head; others than the one it leads to may be done as well (`next_done`).
    pub fn carry_on(&mut self, record: &Record, bytes: &[u8], head_bytes_max: usize) -> Fed {
        let is_taken = self.take_in(Piece::of(record, bytes), head_bytes_max);
        match self.next_done(head_bytes_max) {
            Some((span, bytes)) => Fed::Assembled(span, bytes),
            None if is_taken => Fed::Pending,
            None => Fed::Duplicate,
        }
    }

    /// Gives a piece to the heads in progress, and keeps what is of none; whether any of it was for them, or new.
    fn take_in(&mut self, piece: Piece<'_>, head_bytes_max: usize) -> bool {
        let first = self.partials.first().map(Partial::start);
        let is_filled = self.fill_in(piece);
        let outside = match first {
            Some(first) if is_filled => piece.within(piece.seq, first),
            Some(_) | None => Some(piece),
        };
        let is_news = outside.is_some_and(|outside| self.keep_early(outside, head_bytes_max));
        is_filled || is_news
    }

    /// The next head that is done.
    pub fn next_done(&mut self, head_bytes_max: usize) -> Option<(HeadSpan, Vec<u8>)> {
        let done = self.partials.iter().position(Partial::is_done)?;
        let (span, bytes, rest) = self.partials.remove(done).finish();
        self.recent.add((span.seq, span.end_seq));
        self.forgotten += self.early.keep_rest(rest, head_bytes_max);
        Some((span, bytes))
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

    /// Sequence number of the first byte of the newest head in progress.
    pub fn newest_start(&self) -> Option<u32> {
        self.partials.last().map(Partial::start)
    }

    /// Sequence number behind the last byte known of the oldest head in progress.
    pub fn oldest_end(&self) -> Option<u32> {
        self.partials.first().map(Partial::known_end)
    }

    /// Forgets heads in progress that begin from `from` on and before `to`: that is a body. Returns how many.
    pub fn retract(&mut self, (from, to): (u32, u32)) -> u64 {
        let known = self.partials.len();
        self.partials.retain(|partial| !seq::is_within(partial.start(), from, to));
        (known - self.partials.len()) as u64
    }

    /// Gives up waiting for the rest of the oldest head in progress: hands on what there is of it, flagged.
    pub fn finish_oldest(&mut self) -> Option<(HeadSpan, Vec<u8>)> {
        if self.partials.is_empty() {
            return None;
        }
        let (span, bytes) = self.partials.remove(0).give_up();
        self.recent.add((span.seq, span.end_seq));
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
        self.early.let_go();
    }

    /// Forgets early pieces that came at `ts_max` or before; returns how many records were forgotten since the last time.
    pub fn drop_early(&mut self, ts_max: u64) -> u64 {
        std::mem::take(&mut self.forgotten) + self.early.forget(ts_max)
    }

    /// Whether the head at this place was handed on lately.
    pub fn is_recent(&self, head_seq: u32) -> bool {
        self.recent_at(head_seq).is_some()
    }

    /// From where to where a head reached that was handed on lately.
    fn recent_at(&self, head_seq: u32) -> Option<(u32, u32)> {
        self.recent.all().iter().find(|(start, _)| *start == head_seq).copied()
    }

    /// Gives each head in progress what of a piece lies before the next one begins; whether any got something.
    fn fill_in(&mut self, piece: Piece<'_>) -> bool {
        let mut is_filled = false;
        for index in 0..self.partials.len() {
            let until = self.partials.get(index + 1).map_or(piece.end(), Partial::start);
            let partial = &mut self.partials[index];
            let part = piece.within(partial.start(), until).filter(|_| !partial.is_done());
            if let Some(part) = part.filter(|part| partial.reaches(part.seq, part.bytes.len())) {
                partial.fill(part);
                is_filled = true;
            }
        }
        is_filled
    }

    /// Keeps a piece that is of no head in progress, unless it is of a head that is done; whether any of it is new.
    fn keep_early(&mut self, piece: Piece<'_>, head_bytes_max: usize) -> bool {
        let mut left = Some(piece);
        for (start, end) in self.recent.all() {
            let Some(piece) = left else { break };
            left = if seq::is_within(piece.seq, *start, *end) {
                piece.within(*end, piece.end())
            } else if seq::after(piece.end(), *start) && seq::at_or_after(*end, piece.end()) {
                piece.within(piece.seq, *start)
            } else {
                Some(piece)
            };
        }
        let Some(piece) = left else { return false };
        let (forgotten, is_new) = self.early.keep(piece, head_bytes_max);
        self.forgotten += forgotten;
        is_new
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

/// Where a head that came in one record stood.
pub(super) fn span_in_place(record: &Record, is_continuous: bool) -> HeadSpan {
    let complete = record.flags & record_flag::HEAD_END != 0;
    let led = led(record);
    HeadSpan {
        seq: record.seq,
        end_seq: record.seq.wrapping_add(u32::from(record.copied)),
        segment_end: record.segment_seq.wrapping_add(record.segment_len),
        ack: record.ack,
        sample_weight: record.sample_weight,
        tcp_flags: record.tcp_flags,
        is_repeat: record.flags & record_flag::REPEAT != 0,
        ts_first: record.ts_ns,
        ts_last: record.ts_ns,
        complete,
        is_continuous,
        is_behind_gap: record.due != 0,
        flags: if complete { led } else { led.with(Flags::HEAD_TRUNCATED) },
    }
}
