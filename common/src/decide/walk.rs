//! Walk: copies what was planned, one slice of a head region per step, and remembers where heads in progress continue.
//!
//! Last stage of `decide`. Invariant: a slice is at most `RECORD_COPY_BYTES_MAX` long, the bytes of one head at most
//! `head_limit`, and a segment that comes late, twice or behind a gap changes nothing that one in order would need.

mod begin;
mod beyond;
mod expected;
mod measure;

use super::Work;
use super::flow::{Direction, Lead, NO_WAY, Set, Stretch};
use super::frame::{Frame, Sink};
use super::gap::follow;
use super::plan::{self, Mode};
use super::search::{Line, SEARCH_BYTES_MAX, Search, search};
use crate::config::Config;
use crate::counters::Counters;
use crate::limits::CHUNK_STEP_COUNT_MAX;
use crate::record::{Address, RecordKind, TunnelType, copy_class, record_flag, tcp_flag};
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

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// `Walk::mark`.
    Mark,
    /// `Walk::slice`.
    Slice,
    /// `Walk::measure`.
    Measure,
    /// `Walk::coding`.
    Coding,
    /// `Walk::field`.
    Field,
    /// `Walk::look`.
    Look,
    /// `Walk::chunk`.
    Chunk,
}

/// One segment on its way to records, as `plan` left it in `work`.
pub struct Walk<'a, F, S> {
    pub(super) frame: &'a mut F,
    pub(super) sink: &'a mut S,
    pub(super) config: &'a Config,
    pub(super) work: &'a mut Work,
    pub(super) set: &'a mut Set,
    pub(super) counters: &'a mut Counters,
}

impl<F: Frame, S: Sink<F>> Walk<'_, F, S> {
    /// Sets out as planned and takes the first step, in place: for most segments it is the only one, and a half that calls a
    /// function for each saves the calls. The verdict of what was handed over, where that was all.
    #[inline(always)]
    pub(super) fn begin(mut self) -> Option<Verdict> {
        self.set_out();
        let is_over = matches!(self.task(), Task::Mark | Task::Slice) && !self.tell() && !self.go_beyond();
        is_over.then(|| verdict_of(self.work.rank))
    }

    /// Walks on through the segment; the verdict of what was handed over.
    #[inline(always)]
    pub(super) fn run(mut self) -> Verdict {
        S::drive(&mut self);
        verdict_of(self.work.rank)
    }

    /// Prepares the walk: nothing is handed over yet, and the flow has its slot where it needs one.
    #[inline(always)]
    fn set_out(&mut self) {
        self.work.rank = 0;
        self.work.sought = 0;
        self.work.scan = 0;
        self.work.scan_end = 0;
        self.work.coding = 0;
        self.work.field = 0;
        self.work.field_end = 0;
        self.work.next = ENDED;
        self.work.is_over = 0;
        self.work.told = 0;
        self.work.before = 0;
        self.work.due = 0;
        self.work.chunk_steps = CHUNK_STEP_COUNT_MAX;
        if self.work.way == NO_WAY && self.work.plan & plan::COPY != 0 {
            self.take_slot();
        }
        if self.work.way == NO_WAY && self.work.record.tcp_flags & tcp_flag::SYN != 0 {
            self.await_first();
        }
        if self.is_copying() && self.work.look | self.work.chunks == 0 && is_beginning(self.work.mode) {
            self.begin_head();
        }
        if self.is_copying() && self.work.mode == Mode::Early as u32 {
            self.expect_answer();
        }
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

    /// Remembers where the first byte of a new connection will stand, as long as nobody needs the place.
    #[inline(always)]
    fn await_first(&mut self) {
        let way = self.set.take_idle(Set::tag_of(self.work.record.flow_hash));
        if way == NO_WAY {
            return;
        }
        self.work.way = self.frame.opaque(way);
        let first = self.work.record.segment_seq;
        if self.work.record.segment_len == 0 {
            self.direction().await_first(first);
        } else {
            self.direction().expect_at(first);
        }
    }

    /// Takes one step; false when nothing of the segment is left.
    #[inline(always)]
    pub fn step(&mut self) -> bool {
        let goes_on = match self.task() {
            Task::Mark | Task::Slice => self.tell(),
            Task::Measure => !self.measure() || self.go_on(),
            Task::Coding => !self.coding() || self.go_on(),
            Task::Field => !self.field() || self.go_on(),
            Task::Look => self.look(),
            Task::Chunk => self.chunk(),
        };
        goes_on || self.go_beyond()
    }

    /// Hands over the planned mark or the next slice, or searches some more of that; false when nothing of the segment is left.
    #[inline(always)]
    pub fn tell(&mut self) -> bool {
        let is_mark = self.work.plan & plan::MARK != 0;
        if is_mark {
            self.mark();
        } else if !self.slice() {
            return true;
        }
        self.hand_over();
        if is_mark { self.is_copying() } else { self.is_measuring() || self.go_on() }
    }

    /// What is to be done next. A half whose stack is small gives each task a function of its own.
    #[inline(always)]
    pub const fn task(&mut self) -> Task {
        if self.work.coding != 0 {
            Task::Coding
        } else if self.work.scan < self.work.scan_end {
            Task::Measure
        } else if self.work.field < self.work.field_end {
            Task::Field
        } else if self.work.plan & plan::MARK != 0 {
            Task::Mark
        } else if self.work.look != 0 {
            Task::Look
        } else if self.work.chunks != 0 {
            Task::Chunk
        } else {
            Task::Slice
        }
    }

    /// Whether a region follows the mark.
    #[inline(always)]
    pub const fn is_copying(&self) -> bool {
        self.work.plan & plan::COPY != 0
    }

    /// Hands over the record made, unless the beginning of its head is lost.
    #[inline(always)]
    pub fn hand_over(&mut self) {
        if self.work.lost == 0 {
            self.emit();
        }
    }

    /// Goes on behind a slice.
    #[inline(always)]
    pub fn go_on(&mut self) -> bool {
        if self.work.mode == Mode::Disorder as u32 {
            self.work.left != 0 && self.work.at < self.work.captured
        } else if self.work.next == ENDED {
            self.ended();
            self.next_head()
        } else {
            self.open()
        }
    }

    /// Makes the record of the planned mark.
    #[inline(always)]
    pub fn mark(&mut self) {
        let work = &mut *self.work;
        work.plan &= !plan::MARK;
        work.offset = 0;
        work.record.copied = 0;
        work.record.due = 0;
        work.record.flags = chunk_end(self.frame, work);
        if work.is_over != 0 {
            work.record.flags |= record_flag::CHUNK_END;
        }
        if work.passed != 0 {
            work.record.flags |= record_flag::REPEAT;
        }
        if work.inside == 0 {
            work.record.kind = RecordKind::Mark as u8;
        } else {
            // A start line that is none: told of, and nothing of it copied.
            work.record.kind = RecordKind::Head as u8;
            work.record.flags |= record_flag::IN_CHUNK;
            work.record.seq = work.record.segment_seq;
            self.counters.heads = self.counters.heads.wrapping_add(1);
        }
        work.lost = 0;
    }

    /// Searches some more of the next slice; makes its record and moves behind it once its end is known, and says whether it is.
    #[inline(always)]
    pub fn slice(&mut self) -> bool {
        let work = &mut *self.work;
        let slice = work.captured.saturating_sub(work.at).min(SEARCH_BYTES_MAX).min(work.left);
        let slice = self.frame.opaque(slice);
        let skip = work.skip.min(slice);
        work.offset = work.payload + work.at;
        let place = (work.sought, slice - skip);
        let found = search(self.frame, work.offset + skip, place, Line::from_u32(work.line));
        let (next, bytes, flags) = match found {
            Search::Behind(sought) => {
                work.sought = sought;
                return false;
            }
            Search::End(end) => (ENDED, skip + end, record_flag::HEAD_END | chunk_end(self.frame, work)),
            Search::Open(line) => {
                work.line = line as u32;
                (OPEN, slice, open_flags(work, slice))
            }
        };
        work.sought = 0;
        work.skip -= skip;
        work.next = next;
        self.record(bytes, flags, skip);
        true
    }

    /// Makes the record of the next `bytes` and moves behind them.
    #[inline(always)]
    fn record(&mut self, bytes: u32, flags: u8, skip: u32) {
        self.note_search(bytes, skip);
        let work = &mut *self.work;
        work.record.seq = work.record.segment_seq.wrapping_add(work.at);
        work.record.copied = bytes as u16;
        work.record.kind = work.kind as u8;
        let early = if work.mode == Mode::Early as u32 { record_flag::EARLY } else { 0 };
        let is_passed = work.mode == Mode::Disorder as u32 && work.passed != 0;
        let repeat = if work.at < work.seen || is_passed { record_flag::REPEAT } else { 0 };
        work.record.flags = if work.lead == 0 { flags } else { flags | record_flag::LED } | early | repeat;
        work.lead = 0;
        work.kind = RecordKind::Continuation as u32;
        work.before = if work.told == 0 { work.at } else { work.before };
        work.at += bytes;
        work.left -= bytes;
        work.told = work.at;
        self.note_due();
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
            let unasked = bytes * u64::from(self.work.mode == Mode::Disorder as u32);
            self.counters.disorder_bytes = self.counters.disorder_bytes.wrapping_add(unasked);
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
        let mode = Mode::from_u32(self.work.mode);
        match mode {
            Mode::Begin | Mode::BeginAhead | Mode::Continue => {
                self.direction().conclude(end);
                self.direction().finish();
            }
            Mode::Ahead => self.direction().conclude(end),
            Mode::Early if self.direction().awaits_beginning() => {
                let begin = self.work.record.segment_seq;
                let lead = lead_of(self.frame, self.work);
                self.direction().note_early(end, Stretch { from: begin, to: end, line: 0, lead });
                // What is behind may be of the next message already, and does not come again.
                self.direction().lose_order(true);
            }
            Mode::Repeat | Mode::Early | Mode::Disorder => {}
        }
    }

    /// Sets up the head that begins behind `lead` bytes from here.
    #[inline(always)]
    fn start_at(&mut self, lead: u32, mode: Mode) {
        let work = &mut *self.work;
        work.mode = mode as u32;
        work.left = self.config.head_limit;
        work.line = Line::Inside as u32;
        work.at += lead;
        work.lead = lead;
        work.skip = 0;
        work.lost = 0;
        work.kind = RecordKind::Head as u32;
        self.counters.heads = self.counters.heads.wrapping_add(1);
    }

    /// No empty line so far: another slice, or the head stays in progress, or it is at its limit.
    #[inline(always)]
    fn open(&mut self) -> bool {
        let work = &*self.work;
        let over = work.left == 0 || work.lost != 0;
        if !over && work.at < work.captured {
            return true;
        }
        let begin = work.record.segment_seq;
        let end = begin.wrapping_add(work.record.segment_len);
        let line = if work.captured < work.record.segment_len { Line::Inside as u32 } else { work.line };
        let head_bytes = self.config.head_limit.saturating_sub(work.left);
        match Mode::from_u32(work.mode) {
            Mode::Repeat | Mode::Disorder => {}
            Mode::Begin | Mode::Continue | Mode::BeginAhead if over => self.direction().finish(),
            Mode::Begin | Mode::Continue | Mode::BeginAhead => {
                self.direction().advance(end, head_bytes, line);
            }
            Mode::Early if !self.direction().awaits_beginning() => {}
            Mode::Ahead | Mode::Early => {
                let lead = lead_of(self.frame, self.work);
                self.direction().note_ahead(Stretch { from: begin, to: end, line, lead });
            }
        }
        self.look_within()
    }

    #[inline(always)]
    fn direction(&mut self) -> &mut Direction {
        self.set.slot(self.work.way).direction(self.work.direction)
    }
}

/// `Work::next`: the empty line was in the slice.
const ENDED: u32 = 1;

/// `Work::next`: the head goes on.
const OPEN: u32 = 0;

/// Whether a head begins where the region does.
#[inline(always)]
const fn is_beginning(mode: u32) -> bool {
    mode == Mode::Begin as u32 || mode == Mode::BeginAhead as u32
}

/// What the segment begins with: a `Lead`.
#[inline(always)]
fn lead_of<F: Frame>(frame: &mut F, work: &Work) -> u32 {
    match frame.load(work.payload) {
        Some([b'\n', _]) => Lead::LF,
        Some([b'\r', b'\n']) if work.record.segment_len > 1 => Lead::CRLF,
        Some([b'\r', _]) if work.record.segment_len == 1 => Lead::CR,
        Some(_) => Lead::NONE,
        // Of a single byte there is no second one to be loaded.
        None => match frame.load(work.payload) {
            Some([b'\n']) => Lead::LF,
            Some([b'\r']) => Lead::CR,
            Some(_) | None => Lead::NONE,
        },
    }
}

/// Flags of a slice without the empty line, at the end of what may or can be copied.
#[inline(always)]
fn open_flags(work: &Work, slice: u32) -> u8 {
    if work.mode == Mode::Disorder as u32 {
        0
    } else if slice == work.left {
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
        1 => Verdict::Mark,
        _ => Verdict::Body,
    }
}
