//! Plan: what is to be done with a segment, from its flags, its first bytes, and what is remembered of its connection.
//!
//! Most segments end here: no mark, nothing to copy. The others leave in `Work` where copying begins, for `walk`.

use super::Work;
use super::detect::detect;
use super::flow::{Expectation, NO_WAY, Place, Slot, state};
use super::frame::Frame;
use super::gap::follow;
use super::search::Line;
use crate::config::Config;
use crate::counters::Counters;
use crate::record::{RecordKind, tcp_flag};
use crate::verdict::Verdict;

/// Bit of `Work::plan`: a mark is to be handed over, first.
pub const MARK: u32 = 1;

/// Bit of `Work::plan`: a region is to be copied.
pub const COPY: u32 = 2;

/// Bit of `Work::plan`: where nothing is copied after all, a mark is to be handed over.
pub const PUSHED: u32 = 4;

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
    /// Bytes behind the place where a head should begin.
    Early = 5,
    /// Bytes of which nothing is known, as the order is broken.
    Disorder = 6,
}

impl Mode {
    #[inline(always)]
    pub(super) const fn from_u32(value: u32) -> Self {
        match value {
            1 => Self::Continue,
            2 => Self::Repeat,
            3 => Self::Ahead,
            4 => Self::BeginAhead,
            5 => Self::Early,
            6 => Self::Disorder,
            _ => Self::Begin,
        }
    }

    /// The mode of a head that begins right behind such a region.
    #[inline(always)]
    pub(super) const fn next(self) -> Self {
        match self {
            Self::Begin | Self::Continue => Self::Begin,
            Self::Early => Self::Early,
            Self::Disorder => Self::Disorder,
            Self::Repeat => Self::Repeat,
            Self::Ahead | Self::BeginAhead => Self::BeginAhead,
        }
    }
}

/// A segment and its connection; where `work.way` says that it has none, the slot is another's and only looked at.
pub(super) struct Planner<'p, F> {
    pub(super) frame: &'p mut F,
    pub(super) config: &'p Config,
    pub(super) work: &'p mut Work,
    pub(super) slot: &'p mut Slot,
    pub(super) counters: &'p mut Counters,
}

impl<F: Frame> Planner<'_, F> {
    /// Leaves the plan in `work`; the verdict where there is nothing to do.
    #[inline(always)]
    pub(super) fn plan(mut self) -> Option<Verdict> {
        self.work.lost = 0;
        self.work.inside = 0;
        self.work.passed = 0;
        let flags = self.work.record.tcp_flags;
        let syn = flags & tcp_flag::SYN != 0;
        self.work.record.segment_seq = self.work.record.seq.wrapping_add(u32::from(syn));
        let known = self.work.way != NO_WAY;
        if syn && known {
            let ack = (flags & tcp_flag::ACK != 0).then_some(self.work.record.ack);
            self.slot.open(self.work.direction, self.work.record.segment_seq, ack);
        }
        let is_http = known && self.slot.is_http();
        let has_payload = self.work.record.segment_len != 0;
        let copy = has_payload && self.plan_region(known);
        if (is_http || (known && copy)) && (has_payload || flags & tcp_flag::FIN != 0) {
            follow(self.slot, self.work.direction, &self.work.record, self.counters);
        } else if known && has_payload {
            self.slot.direction(self.work.direction).lose_reach();
        } else if known && !is_http && flags & tcp_flag::ACK != 0 {
            self.slot.direction(self.work.direction ^ 1).greet(self.work.record.ack);
        }
        let ends = flags & (tcp_flag::FIN | tcp_flag::RST) != 0;
        if ends && is_http {
            self.slot.close();
        }
        let pushed = (ends || flags & tcp_flag::PSH != 0)
            && known
            && self.slot.direction(self.work.direction).is_http();
        let is_lie = self.work.inside != 0;
        let mark = if has_payload { is_lie || (!copy && pushed) } else { ends && is_http };
        let parts = if syn || mark { MARK } else { 0 } | if copy { COPY } else { 0 };
        self.work.plan = parts | if copy && pushed { PUSHED } else { 0 };
        match (parts, has_payload) {
            (0, true) => Some(Verdict::Body),
            (0, false) => Some(Verdict::Empty),
            _ => None,
        }
    }

    /// Sets up the region of a segment with payload; false where it belongs to a body, or to no HTTP at all.
    #[inline(always)]
    fn plan_region(&mut self, known: bool) -> bool {
        let (seq, len) = (self.work.record.segment_seq, self.work.record.segment_len);
        let limit = self.config.head_limit;
        let direction = self.slot.direction(self.work.direction);
        let end = seq.wrapping_add(len);
        if known {
            direction.begin_reach(seq);
            direction.follow_order(seq, end);
        }
        let passed = u32::from(direction.has_passed(end)) & u32::from(known);
        self.work.passed = self.frame.opaque(passed);
        let seen = direction.seen(seq) * u32::from(known);
        self.work.seen = self.frame.opaque(seen);
        let place = if known { direction.place(seq, len, limit) } else { Place::Apart };
        // Each place alone would be followed through all that comes.
        let (code, bytes) = place.parts();
        let place = Place::from_parts(self.frame.opaque(code), self.frame.opaque(bytes));
        // What was taken for a head because of its place gives way to one that shows its first word, and so does one that
        // began inside of a body where the next head should begin.
        let gives_way = direction.state & state::DOUBT != 0 || direction.is_expected_at(seq);
        let start = if place == Place::Next && !gives_way {
            None
        } else {
            detect(self.frame, self.work.payload, self.work.captured)
        };
        // Line ends before a start line in the middle of a conversation are most often the end of another head.
        // Reckoned without a branch, as each way would be followed through all that comes.
        let strict = u32::from(known) & u32::from(direction.is_http());
        let (found, lead) = (u32::from(start.is_some()), self.frame.opaque(start.unwrap_or(0)));
        let is_apart = u32::from(matches!(place, Place::Apart | Place::Hole)) & u32::from(known);
        let inside = is_apart & found & u32::from(direction.is_in_told_chunk(seq));
        self.work.inside = self.frame.opaque(inside);
        let starts = self.frame.opaque(found & !inside & !(strict & u32::from(lead != 0))) != 0;
        let (mode, skip) = match place {
            Place::Next if starts => (Mode::Begin, 0),
            Place::Next => (Mode::Continue, 0),
            Place::Before(bytes) if bytes < len => (Mode::Continue, bytes),
            Place::Before(_) => (Mode::Repeat, 0),
            Place::Behind if !starts => (Mode::Ahead, 0),
            Place::Behind => (Mode::BeginAhead, 0),
            Place::Apart | Place::Hole if starts && known && direction.is_old(seq) => {
                direction.note_old(end);
                (Mode::Repeat, 0)
            }
            Place::Apart | Place::Hole if starts => (Mode::Begin, 0),
            Place::Hole => match direction.due_within(seq, self.work.captured) {
                Some(offset) => return self.look(offset, 0, Mode::Repeat),
                None => (Mode::Repeat, 0),
            },
            Place::Apart if !known => return false,
            Place::Apart => match direction.expectation_of(seq, self.work.captured, limit) {
                Expectation::None if direction.disorder != 0 => (Mode::Disorder, 0),
                Expectation::None => return self.look_behind_repeat(),
                Expectation::Here(offset) => {
                    let is_in_chunks = u32::from(direction.is_in_chunks());
                    return self.look(offset, is_in_chunks, Mode::Begin);
                }
                Expectation::Before => {
                    direction.early_bytes = direction.early_bytes.saturating_add(len);
                    (Mode::Early, 0)
                }
            },
        };
        // Where the head in progress goes on, what looks like a lead is part of it.
        self.work.lead = if matches!(mode, Mode::Begin | Mode::BeginAhead) { lead } else { 0 };
        self.region(if starts { RecordKind::Head } else { RecordKind::Continuation }, mode, skip);
        true
    }

    /// Where nothing is expected and a segment begins with what came before, sets up a look at what is new in it: sent again with
    /// the end of a body, the next message may begin there.
    #[inline(always)]
    fn look_behind_repeat(&mut self) -> bool {
        let (seen, seq) = (self.work.seen, self.work.record.segment_seq);
        let direction = self.slot.direction(self.work.direction);
        if direction.state & state::EXPECT != 0 || seen == 0 || seen >= self.work.captured {
            return false;
        }
        direction.expect_at(seq.wrapping_add(seen));
        self.look(seen, 0, Mode::Begin)
    }

    /// Sets up a look at the place where a head should begin, or where what is around chunks goes on.
    #[inline(always)]
    fn look(&mut self, offset: u32, is_in_chunks: u32, mode: Mode) -> bool {
        let chunks = self.frame.opaque(is_in_chunks);
        let work = &mut *self.work;
        work.at = offset;
        work.lead = 0;
        work.look = chunks ^ 1;
        work.chunks = chunks;
        work.mode = mode as u32;
        true
    }

    /// Sets up a region from the payload's first byte on, or behind what leads its start line; `skip` bytes were searched before.
    #[inline(always)]
    fn region(&mut self, kind: RecordKind, mode: Mode, skip: u32) {
        let limit = self.config.head_limit;
        let seq = self.work.record.segment_seq;
        let direction = self.slot.direction(self.work.direction);
        let (left, line) = match mode {
            Mode::Continue => {
                (limit.saturating_sub(direction.head_bytes).saturating_add(skip), u32::from(direction.line))
            }
            Mode::Ahead | Mode::Early => (limit, direction.line_ahead_of(seq)),
            Mode::Begin | Mode::Repeat | Mode::BeginAhead => (limit, Line::Inside as u32),
            Mode::Disorder => (u32::from(direction.disorder), Line::Inside as u32),
        };
        let work = &mut *self.work;
        work.at = work.lead;
        work.look = 0;
        work.chunks = 0;
        work.skip = skip;
        work.left = left;
        work.line = line;
        work.mode = mode as u32;
        work.kind = kind as u32;
        self.counters.heads = self.counters.heads.wrapping_add(u64::from(kind == RecordKind::Head));
    }
}
