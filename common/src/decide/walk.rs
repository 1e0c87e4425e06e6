//! Walk: from the tracked heads of a connection and the payload of one segment to records and a verdict.
//!
//! Last stage of `decide`. `run` says what the segment is; each `step` then copies one slice of a head region. Invariant:
//! a slice is at most `RECORD_COPY_BYTES_MAX` long, the bytes of one head at most `head_limit`, and a segment that
//! comes late, twice or behind a gap changes nothing that a segment in order would need.

use super::Work;
use super::detect::detect;
use super::flow::{Direction, Place, Slot};
use super::frame::{Frame, Sink};
use super::search::{Line, SEARCH_BYTES_MAX, Search, search};
use crate::config::Config;
use crate::counters::Counters;
use crate::record::{RecordKind, TunnelType, record_flag, tcp_flag};
use crate::verdict::Verdict;

/// How the region being copied lies to what is remembered of its direction.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A head that begins in this frame.
    Begin = 0,
    /// The exact continuation of the head in progress.
    Continue = 1,
    /// Bytes that were seen before.
    Repeat = 2,
    /// Bytes behind a gap.
    Ahead = 3,
    /// A head that begins behind a gap.
    BeginAhead = 4,
}

impl Mode {
    #[inline(always)]
    const fn from_u32(value: u32) -> Self {
        match value {
            1 => Self::Continue,
            2 => Self::Repeat,
            3 => Self::Ahead,
            4 => Self::BeginAhead,
            _ => Self::Begin,
        }
    }

    /// The mode of a head that begins right behind such a region.
    #[inline(always)]
    const fn next(self) -> Self {
        match self {
            Self::Begin | Self::Continue => Self::Begin,
            Self::Repeat => Self::Repeat,
            Self::Ahead | Self::BeginAhead => Self::BeginAhead,
        }
    }
}

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

/// One segment on its way to records.
pub struct Walk<'a, F, S> {
    pub(super) frame: &'a mut F,
    pub(super) sink: S,
    pub(super) config: &'a Config,
    pub(super) work: &'a mut Work,
    pub(super) slot: &'a mut Slot,
    pub(super) counters: &'a mut Counters,
}

impl<F: Frame, S: Sink<F>> Walk<'_, F, S> {
    #[inline(always)]
    pub(super) fn run(mut self) -> Verdict {
        self.work.rank = 0;
        let plan = self.plan();
        if plan.mark {
            self.mark();
        }
        if plan.steps {
            S::drive(&mut self);
        }
        match self.work.rank {
            0 => plan.silent,
            rank => verdict_of(rank),
        }
    }

    /// Says what the segment is, and sets up the first region to copy. Kept apart, as is `emit`, so that the kernel does
    /// not add their stacks up with those of the steps.
    #[inline(never)]
    fn plan(&mut self) -> Plan {
        let flags = self.work.record.tcp_flags;
        let syn = flags & tcp_flag::SYN != 0;
        self.work.record.segment_seq = self.work.record.seq.wrapping_add(u32::from(syn));
        let known = self.slot.tag == Slot::tag_of(self.work.record.flow_hash);
        if syn && known {
            *self.direction() = Direction::default();
        }
        if self.work.record.segment_len == 0 {
            let ends = flags & (tcp_flag::FIN | tcp_flag::RST) != 0;
            return Plan { mark: syn || (ends && known), steps: false, silent: Verdict::Empty };
        }
        let place = if known {
            let limit = self.config.head_limit;
            let seq = self.work.record.segment_seq;
            self.direction().place(seq, limit)
        } else {
            Place::Apart
        };
        if self.plan_region(place) {
            return Plan { mark: syn, steps: true, silent: Verdict::Body };
        }
        let ends = flags & (tcp_flag::PSH | tcp_flag::FIN | tcp_flag::RST) != 0;
        let http = known && self.direction().is_http();
        Plan { mark: syn || (ends && http), steps: false, silent: Verdict::Body }
    }

    /// Sets up the region of a segment with payload; false where it belongs to a body, or to no HTTP at all.
    #[inline(always)]
    fn plan_region(&mut self, place: Place) -> bool {
        let (seq, len) = (self.work.record.segment_seq, self.work.record.segment_len);
        let starts = place != Place::Next && detect(self.frame, self.work.payload, self.work.captured);
        let (mode, skip) = match place {
            Place::Next => (Mode::Continue, 0),
            Place::Before(bytes) if bytes < len => (Mode::Continue, bytes),
            Place::Before(_) => (Mode::Repeat, 0),
            Place::Behind if !starts => (Mode::Ahead, 0),
            Place::Behind => {
                self.direction().note_ahead_end(seq, seq);
                (Mode::BeginAhead, 0)
            }
            Place::Apart if starts => (Mode::Begin, 0),
            Place::Apart => return false,
        };
        self.region(if starts { RecordKind::Head } else { RecordKind::Continuation }, mode, skip);
        true
    }

    /// Sets up a region from the payload's first byte on, of which `skip` bytes were searched before.
    #[inline(always)]
    fn region(&mut self, kind: RecordKind, mode: Mode, skip: u32) {
        let limit = self.config.head_limit;
        let seq = self.work.record.segment_seq;
        let direction = self.direction();
        let (left, line) = match mode {
            Mode::Continue => {
                (limit.saturating_sub(direction.head_bytes).saturating_add(skip), direction.line)
            }
            Mode::Ahead => (limit, direction.line_ahead_of(seq)),
            Mode::Begin | Mode::Repeat | Mode::BeginAhead => (limit, Line::Inside as u32),
        };
        let work = &mut *self.work;
        work.at = 0;
        work.skip = skip;
        work.left = left;
        work.line = line;
        work.mode = mode as u32;
        work.lost = 0;
        work.kind = kind as u32;
        self.counters.heads = self.counters.heads.wrapping_add(u64::from(kind == RecordKind::Head));
    }

    /// Copies one slice; false when nothing of the segment is left to copy.
    #[inline(always)]
    pub fn step(&mut self) -> bool {
        let work = &mut *self.work;
        let slice = work.captured.saturating_sub(work.at).min(SEARCH_BYTES_MAX).min(work.left);
        let slice = self.frame.opaque(slice);
        let skip = work.skip.min(slice);
        let from = work.payload + work.at + skip;
        let found = search(self.frame, from, slice - skip, Line::from_u32(work.line));
        let (bytes, flags) = match found {
            Search::End(end) => (skip + end, record_flag::HEAD_END),
            Search::Open(line) => {
                work.line = line as u32;
                (slice, open_flags(work, slice))
            }
        };
        work.skip -= skip;
        self.slice(bytes, flags);
        match found {
            Search::End(_) => {
                self.ended();
                self.next_head()
            }
            Search::Open(_) => self.open(),
        }
    }

    /// Hands over a slice and moves behind it.
    #[inline(always)]
    fn slice(&mut self, bytes: u32, flags: u8) {
        let work = &mut *self.work;
        work.record.seq = work.record.segment_seq.wrapping_add(work.at);
        work.record.copied = bytes as u16;
        work.record.kind = work.kind as u8;
        work.kind = RecordKind::Continuation as u32;
        work.record.flags = flags;
        let offset = work.payload + work.at;
        work.at += bytes;
        work.left -= bytes;
        if work.lost == 0 {
            self.emit(offset);
        }
    }

    fn mark(&mut self) {
        let record = &mut self.work.record;
        record.kind = RecordKind::Mark as u8;
        record.copied = 0;
        record.flags = 0;
        self.emit(0);
    }

    #[inline(never)]
    fn emit(&mut self, offset: u32) {
        let record = &mut self.work.record;
        if record.tunnel_type == TunnelType::None as u8 {
            record.tunnel_id = 0;
            record.outer_ip_version = 0;
            record.outer_src_ip = [0; 16];
            record.outer_dst_ip = [0; 16];
        }
        let handed_over = self.sink.emit(self.frame, &mut self.work.record, offset);
        let head = self.work.record.kind == RecordKind::Head as u8;
        let rank = if handed_over {
            self.counters.records = self.counters.records.wrapping_add(1);
            let bytes = u64::from(self.work.record.copied);
            self.counters.record_bytes = self.counters.record_bytes.wrapping_add(bytes);
            rank_of(self.work.record.kind)
        } else {
            self.counters.records_ring_full = self.counters.records_ring_full.wrapping_add(1);
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
            Mode::Begin | Mode::Continue => self.direction_taken().finish(),
            Mode::Ahead => self.direction_taken().note_ahead_end(begin, end),
            Mode::Repeat | Mode::BeginAhead => {}
        }
    }

    /// A head that follows right behind the empty line.
    #[inline(always)]
    fn next_head(&mut self) -> bool {
        let work = &mut *self.work;
        let (offset, len) = (work.payload + work.at, work.captured.saturating_sub(work.at));
        if !detect(self.frame, offset, len) {
            return false;
        }
        work.mode = Mode::from_u32(work.mode).next() as u32;
        work.left = self.config.head_limit;
        work.line = Line::Inside as u32;
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
            Mode::Begin | Mode::Continue | Mode::BeginAhead if over => self.direction_taken().finish(),
            Mode::Begin | Mode::BeginAhead => self.direction_taken().begin(end, head_bytes, line),
            Mode::Continue => self.direction_taken().advance(end, head_bytes, line),
            Mode::Ahead if over => self.direction_taken().note_ahead_end(begin, begin.wrapping_add(at)),
            Mode::Ahead => self.direction_taken().note_ahead(begin, end, line),
        }
        false
    }

    #[inline(always)]
    fn direction(&mut self) -> &mut Direction {
        let [a, b] = &mut self.slot.directions;
        if self.work.direction == 0 { a } else { b }
    }

    /// The direction, after the slot was taken for this flow where another had it.
    #[inline(always)]
    fn direction_taken(&mut self) -> &mut Direction {
        let tag = Slot::tag_of(self.work.record.flow_hash);
        if self.slot.tag != tag {
            self.counters.heads_evicted = self.counters.heads_evicted.wrapping_add(self.slot.head_count());
            self.slot.take(tag);
        }
        self.direction()
    }
}

/// What is to be done with a segment.
struct Plan {
    /// A mark is to be handed over, first.
    mark: bool,
    /// A region is set up to be copied.
    steps: bool,
    /// The verdict where neither is.
    silent: Verdict,
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
