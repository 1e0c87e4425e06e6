//! Walk: copies what was planned, one slice of a head region per step, and remembers where heads in progress continue.
//!
//! Last stage of `decide`. Invariant: a slice is at most `RECORD_COPY_BYTES_MAX` long, the bytes of one head at most
//! `head_limit`, and a segment that comes late, twice or behind a gap changes nothing that one in order would need.

use super::Work;
use super::detect::detect;
use super::flow::{Direction, NO_WAY, Set};
use super::frame::{Frame, Sink};
use super::gap::follow;
use super::plan::{self, Mode};
use super::search::{Line, SEARCH_BYTES_MAX, Search, search};
use crate::config::Config;
use crate::counters::Counters;
use crate::record::{Address, RecordKind, TunnelType, copy_class, record_flag};
use crate::verdict::Verdict;

/// What outweighs what when a frame yields several records.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// A mark was handed over.
    Mark = 1,
    /// A continuation was handed over.
    Continuation = 2,
    /// A head was handed over.
    Head = 3,
    /// A continuation or a mark found the ring full.
    RingFullOther = 4,
    /// A head found the ring full.
    RingFullHead = 5,
}

/// One segment on its way to records, as `plan` left it in `work`.
pub struct Walk<'a, F, S> {
    pub(super) frame: &'a mut F,
    pub(super) sink: S,
    pub(super) config: &'a Config,
    pub(super) work: &'a mut Work,
    pub(super) set: &'a mut Set,
    pub(super) counters: &'a mut Counters,
}

impl<F: Frame, S: Sink<F>> Walk<'_, F, S> {
    /// Walks through the segment as planned; the verdict of what was handed over.
    #[inline(always)]
    pub(super) fn run(mut self) -> Verdict {
        self.work.rank = 0;
        if self.work.way == NO_WAY && self.work.plan & plan::COPY != 0 {
            self.take_slot();
        }
        S::drive(&mut self);
        verdict_of(self.work.rank)
    }

    /// Gives a flow whose first head this is a slot.
    #[inline(always)]
    fn take_slot(&mut self) {
        let (way, given_up) = self.set.take(Set::tag_of(self.work.record.flow_hash));
        // Each way alone would be followed through all that comes.
        self.work.way = self.frame.opaque(way);
        self.counters.heads_evicted = self.counters.heads_evicted.wrapping_add(given_up);
        follow(self.set.slot(self.work.way), self.work.direction, &self.work.record, self.counters);
    }

    /// Hands over one record, the planned mark first; false when nothing of the segment is left.
    #[inline(always)]
    pub fn step(&mut self) -> bool {
        let next = if self.work.plan & plan::MARK != 0 { self.mark() } else { self.slice() };
        if self.work.lost == 0 {
            self.emit();
        }
        match next {
            Next::Marked => self.work.plan & plan::COPY != 0,
            Next::Ended => {
                self.ended();
                self.next_head()
            }
            Next::Open => self.open(),
        }
    }

    #[inline(always)]
    fn mark(&mut self) -> Next {
        let work = &mut *self.work;
        work.plan &= !plan::MARK;
        work.offset = 0;
        work.record.kind = RecordKind::Mark as u8;
        work.record.copied = 0;
        work.record.flags = chunk_end(self.frame, work);
        Next::Marked
    }

    /// Makes the record of the next slice and moves behind it.
    #[inline(always)]
    fn slice(&mut self) -> Next {
        let work = &mut *self.work;
        let slice = work.captured.saturating_sub(work.at).min(SEARCH_BYTES_MAX).min(work.left);
        let slice = self.frame.opaque(slice);
        let skip = work.skip.min(slice);
        work.offset = work.payload + work.at;
        let found = search(self.frame, work.offset + skip, slice - skip, Line::from_u32(work.line));
        let (next, bytes, flags) = match found {
            Search::End(end) => {
                (Next::Ended, skip + end, record_flag::HEAD_END | chunk_end(self.frame, work))
            }
            Search::Open(line) => {
                work.line = line as u32;
                (Next::Open, slice, open_flags(work, slice))
            }
        };
        work.record.seq = work.record.segment_seq.wrapping_add(work.at);
        work.record.copied = bytes as u16;
        work.record.kind = work.kind as u8;
        work.record.flags = if work.lead == 0 { flags } else { flags | record_flag::LED };
        work.lead = 0;
        work.kind = RecordKind::Continuation as u32;
        work.skip -= skip;
        work.at += bytes;
        work.left -= bytes;
        next
    }

    #[inline(always)]
    fn emit(&mut self) {
        let offset = self.work.offset;
        let record = &mut self.work.record;
        if record.tunnel_type == TunnelType::None as u8 {
            record.tunnel_id = 0;
            record.tunnel_has_id = 0;
            record.outer_ip_version = 0;
            record.outer_src_ip = Address::ZERO;
            record.outer_dst_ip = Address::ZERO;
        }
        let handed_over = self.sink.emit(self.frame, &mut self.work.record, offset);
        let head = self.work.record.kind == RecordKind::Head as u8;
        let rank = if handed_over {
            self.counters.records = self.counters.records.wrapping_add(1);
            let bytes = u64::from(self.work.record.copied);
            self.counters.record_bytes = self.counters.record_bytes.wrapping_add(bytes);
            rank_of(self.work.record.kind)
        } else {
            let lost = &mut self.counters.records_ring_full[copy_class(self.work.record.copied)];
            *lost = lost.wrapping_add(1);
            self.counters.heads_ring_full = self.counters.heads_ring_full.wrapping_add(u64::from(head));
            self.work.lost = u32::from(head);
            if head { Rank::RingFullHead } else { Rank::RingFullOther }
        };
        self.work.rank = self.work.rank.max(rank as u32);
    }

    /// The empty line is behind us.
    #[inline(always)]
    fn ended(&mut self) {
        let end = self.work.record.segment_seq.wrapping_add(self.work.at);
        let begin = self.work.record.segment_seq;
        match Mode::from_u32(self.work.mode) {
            Mode::Begin | Mode::Continue => self.direction().finish(),
            Mode::Ahead => self.direction().note_ahead_end(begin, end),
            Mode::Repeat | Mode::BeginAhead => {}
        }
    }

    /// A head that follows right behind the empty line.
    #[inline(always)]
    fn next_head(&mut self) -> bool {
        let work = &mut *self.work;
        let (offset, len) = (work.payload + work.at, work.captured.saturating_sub(work.at));
        let Some(lead) = detect(self.frame, offset, len) else {
            return false;
        };
        work.mode = Mode::from_u32(work.mode).next() as u32;
        work.left = self.config.head_limit;
        work.line = Line::Inside as u32;
        work.at += lead;
        work.lead = lead;
        work.skip = 0;
        work.lost = 0;
        work.kind = RecordKind::Head as u32;
        self.counters.heads = self.counters.heads.wrapping_add(1);
        true
    }

    /// No empty line so far: another slice, or the head stays in progress, or it is at its limit.
    #[inline(always)]
    fn open(&mut self) -> bool {
        let work = &*self.work;
        let over = work.left == 0 || work.lost != 0;
        if !over && work.at < work.captured {
            return true;
        }
        let (begin, at) = (work.record.segment_seq, work.at);
        let end = begin.wrapping_add(work.record.segment_len);
        let line = if work.captured < work.record.segment_len { Line::Inside as u32 } else { work.line };
        let head_bytes = self.config.head_limit.saturating_sub(work.left);
        match Mode::from_u32(work.mode) {
            Mode::Repeat => {}
            Mode::Begin | Mode::Continue | Mode::BeginAhead if over => self.direction().finish(),
            Mode::Begin | Mode::BeginAhead => self.direction().begin(end, head_bytes, line),
            Mode::Continue => self.direction().advance(end, head_bytes, line),
            Mode::Ahead if over => self.direction().note_ahead_end(begin, begin.wrapping_add(at)),
            Mode::Ahead => self.direction().note_ahead(begin, end, line),
        }
        false
    }

    #[inline(always)]
    fn direction(&mut self) -> &mut Direction {
        self.set.slot(self.work.way).direction(self.work.direction)
    }
}

/// What follows a record.
enum Next {
    /// The region planned, if any.
    Marked,
    /// The empty line was in it.
    Ended,
    /// The head goes on.
    Open,
}

/// Flags of a slice without the empty line, at the end of what may or can be copied.
#[inline(always)]
fn open_flags(work: &Work, slice: u32) -> u8 {
    if slice == work.left {
        record_flag::HEAD_LIMIT
    } else if work.at + slice == work.captured && work.captured < work.record.segment_len {
        record_flag::SNAPPED
    } else {
        0
    }
}

/// `CHUNK_END` where the segment ends with what ends a chunked body.
#[inline(always)]
fn chunk_end<F: Frame>(frame: &mut F, work: &Work) -> u8 {
    const LAST_CHUNK: [u8; 5] = *b"0\r\n\r\n";
    let len = work.record.segment_len;
    if len < LAST_CHUNK.len() as u32 || work.captured < len {
        return 0;
    }
    let offset = frame.opaque(work.payload + len - LAST_CHUNK.len() as u32);
    if frame.load(offset) == Some(LAST_CHUNK) { record_flag::CHUNK_END } else { 0 }
}

#[inline(always)]
const fn rank_of(kind: u8) -> Rank {
    match RecordKind::from_byte(kind) {
        Some(RecordKind::Head) => Rank::Head,
        Some(RecordKind::Continuation) => Rank::Continuation,
        Some(RecordKind::Mark) | None => Rank::Mark,
    }
}

#[inline(always)]
const fn verdict_of(rank: u32) -> Verdict {
    match rank {
        5 => Verdict::RingFullHead,
        4 => Verdict::RingFullOther,
        3 => Verdict::Head,
        2 => Verdict::Continuation,
        _ => Verdict::Mark,
    }
}
