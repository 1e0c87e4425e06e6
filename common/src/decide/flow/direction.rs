//! One direction of a connection: where its head in progress continues, and what is missing of older ones.
//!
//! Invariant: `end` is what the bytes seen say, whatever order they came in.

use super::early::Lead;
use crate::decide::gap::GAP_BYTES_MAX;
use crate::decide::search::{Cut, Line};
use crate::limits::{HEAD_BYTES_DEFAULT, HEAD_BYTES_MAX};

/// Bits of `Direction::state`.
pub mod state {
    /// At least one head was seen in this direction.
    pub const HTTP: u32 = 1;
    /// A head is in progress: `begin`, `next_seq`, `head_bytes` and `line` say where.
    pub const HEAD: u32 = 2;
    /// Bytes behind a gap were seen: `ahead_from` to `ahead_to`.
    pub const AHEAD: u32 = 4;
    /// The head in progress ends at `end` at the latest.
    pub const END: u32 = 8;
    /// The next head should begin at `expect`.
    pub const EXPECT: u32 = 16;
    /// The length of the body behind the head is to be read from it.
    pub const MEASURE: u32 = 32;
    /// It was: `body_bytes`.
    pub const LENGTH: u32 = 64;
    /// Bytes of an older head are missing: `hole_from` to `hole_to`.
    pub const HOLE: u32 = 128;
    /// A request began, and no answer since.
    pub const ASKED: u32 = 256;
    /// The head in progress began before one that was seen earlier.
    pub const BACK: u32 = 512;
    /// The head in progress is one only because it stands where one should.
    pub const DOUBT: u32 = 1024;
    /// The head in progress says that its body comes in chunks.
    pub const CHUNKED: u32 = 2048;
    /// A head said so of the chunks that are followed.
    pub const TOLD: u32 = 4096;
    /// Where no head begins at `expect`, one should `early_bytes` behind it.
    pub const OTHER: u32 = 8192;
    /// The head in progress is an answer: to HEAD it tells of a body that does not come.
    pub const ANSWER: u32 = 1 << 14;
    /// Its connection was closed or reset: a SYN is that of another one.
    pub const CLOSED: u32 = 1 << 15;
    /// What should stand at `expect` before the next head does (`search::Phase`).
    pub const PHASE: u32 = 15 << PHASE_SHIFT;
    /// Where these bits begin.
    pub const PHASE_SHIFT: u32 = 16;
    /// What the head in progress ended with of a Content-Length (`search::Cut`).
    pub const CUT: u32 = 31 << CUT_SHIFT;
    /// Where these bits begin.
    pub const CUT_SHIFT: u32 = 20;
    /// A request began before the answers to older ones were read, once on this connection.
    pub const PIPELINED: u32 = 1 << 25;
    /// `LENGTH` and `CHUNKED` were read behind a gap.
    pub const TOLD_EARLY: u32 = 1 << 26;
    /// What is missing from `hole_from` on is a head that should begin there.
    pub const DUE: u32 = 1 << 27;
}

/// What is remembered about one direction of a connection. All zero: nothing.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Direction {
    /// Bits of `state`.
    pub state: u32,
    /// Sequence number at which the head in progress continues.
    pub next_seq: u32,
    /// Bytes of it so far.
    pub head_bytes: u32,
    /// What they ended with (`search::Line`).
    pub line: u8,
    /// What the bytes behind a gap ended with.
    pub ahead_line: u8,
    /// Bytes of an empty line that those begin with (`Lead`).
    pub ahead_lead: u16,
    /// Bytes of gaps that may still come late, as far as they fit.
    pub owed: u16,
    /// Bytes that may still be handed over because the order of the segments is broken.
    pub disorder: u16,
    /// Where the first of those gaps begins.
    pub gap_from: u32,
    /// First sequence number seen behind a gap.
    pub ahead_from: u32,
    /// Sequence number behind those bytes.
    pub ahead_to: u32,
    /// Sequence number behind the last payload byte seen, on a connection that is followed; zero before the first.
    pub reached: u32,
    /// Sequence number of the head's first byte.
    pub begin: u32,
    /// Sequence number behind the head, at the latest.
    pub end: u32,
    /// Where the next head should begin, or what is around the chunks before it goes on.
    pub expect: u32,
    /// Bytes copied from behind that place, in case it is only late; of chunks, the size that was read; how far behind it
    /// the other place is where there are two.
    pub early_bytes: u32,
    /// Content-Length of the head in progress.
    pub body_bytes: u32,
    /// First sequence number that is missing of an older head.
    pub hole_from: u32,
    /// Sequence number behind the last one.
    pub hole_to: u32,
}

/// How a segment lies to the head in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// No head is in progress, or the segment is not near it.
    Apart,
    /// It begins exactly where the head continues.
    Next,
    /// It begins so many bytes before that.
    Before(u32),
    /// It begins behind that, after a gap.
    Behind,
    /// It may bring bytes that an older head lacks.
    Hole,
}

impl Place {
    /// As two numbers.
    #[inline(always)]
    pub const fn parts(self) -> (u32, u32) {
        match self {
            Self::Apart => (0, 0),
            Self::Next => (1, 0),
            Self::Before(bytes) => (2, bytes),
            Self::Behind => (3, 0),
            Self::Hole => (4, 0),
        }
    }

    /// From the same.
    #[inline(always)]
    pub const fn from_parts(code: u32, bytes: u32) -> Self {
        match code {
            1 => Self::Next,
            2 => Self::Before(bytes),
            3 => Self::Behind,
            4 => Self::Hole,
            _ => Self::Apart,
        }
    }
}

/// Whether a sequence number is at or behind another.
#[inline(always)]
pub(super) const fn at_or_after(a: u32, b: u32) -> bool {
    a.wrapping_sub(b) < 1 << 31
}

impl Direction {
    /// Places a segment of `len` bytes that begins at `seq`; `reach` is the head limit.
    #[inline(always)]
    pub fn place(&self, seq: u32, len: u32, reach: u32) -> Place {
        let end = seq.wrapping_add(len);
        if self.state & state::HEAD != 0 {
            let ahead = seq.wrapping_sub(self.next_seq);
            let before = ahead.wrapping_neg();
            let is_over = self.state & state::END != 0 && at_or_after(seq, self.end);
            if ahead == 0 {
                return Place::Next;
            }
            if ahead <= reach && !is_over {
                return Place::Behind;
            }
            if before <= reach && !at_or_after(self.begin, end) {
                return Place::Before(before);
            }
        }
        let fills = self.state & state::HOLE != 0
            && !at_or_after(self.hole_from, end)
            && !at_or_after(seq, self.hole_to);
        // What is around chunks is read where they go on.
        let resumes_chunks = self.is_in_chunks() && self.expect.wrapping_sub(seq) < len;
        if fills && !resumes_chunks { Place::Hole } else { Place::Apart }
    }

    /// Bytes from `seq` on that came by before, as long as none is missing before them.
    #[inline(always)]
    pub const fn seen(&self, seq: u32) -> u32 {
        let bytes = self.reached.wrapping_sub(seq);
        // Reckoned without a branch, as each way would be followed through all that comes.
        let is_known = (self.reached != 0) & (self.owed == 0) & (bytes <= GAP_BYTES_MAX);
        bytes * is_known as u32
    }

    /// Whether a segment that ends at `end` does so where, or before, others did.
    #[inline(always)]
    pub const fn has_passed(&self, end: u32) -> bool {
        self.has_unread(end.wrapping_sub(1))
    }

    /// A segment begins at `seq`, the first of this direction perhaps: then what should stand before it is missing.
    #[inline(always)]
    pub const fn begin_reach(&mut self, seq: u32) {
        let is_near = seq.wrapping_sub(self.expect) <= HEAD_BYTES_MAX;
        let begins = (self.reached == 0) & (self.state & state::EXPECT != 0) & is_near;
        self.reached += self.expect * begins as u32;
    }

    /// Bytes of which nothing is kept came by: how far they reach is not known.
    #[inline(always)]
    pub const fn lose_reach(&mut self) {
        self.reached = 0;
    }

    /// The first byte stands at `first_seq`, and none came by before.
    #[inline(always)]
    pub fn await_first(&mut self, first_seq: u32) {
        self.expect_at(first_seq);
        self.reached = first_seq;
    }

    /// The other end has read up to `ack`, and nothing is known of this one: its first byte, most often, of which the SYN came late.
    #[inline(always)]
    pub fn greet(&mut self, ack: u32) {
        if self.state == 0 {
            self.expect_at(ack);
        }
    }

    /// Whether a head was seen in this direction.
    #[inline(always)]
    pub const fn is_http(&self) -> bool {
        self.state & state::HTTP != 0
    }

    /// What the bytes in front of `seq` ended with, where they were seen behind a gap; else the state that assumes least.
    #[inline(always)]
    pub const fn line_ahead_of(&self, seq: u32) -> u32 {
        if self.state & state::AHEAD != 0 && self.ahead_to == seq { self.ahead_line as u32 } else { 0 }
    }

    /// Whether the head that began last did so at `first_seq`, or not far behind it.
    #[inline(always)]
    pub const fn begins_behind(&self, first_seq: u32) -> bool {
        self.is_http() && self.begin.wrapping_sub(first_seq) <= HEAD_BYTES_MAX
    }

    /// The first segment of a connection comes next; whether it is a new one.
    #[inline(always)]
    pub fn open(&mut self, first_seq: u32) -> bool {
        // A late copy of the SYN says nothing new.
        let is_near = self.begins_behind(first_seq);
        let is_begun = is_near && (self.state & state::CLOSED == 0 || self.begin == first_seq);
        if is_begun || (self.state != 0 && self.expect == first_seq) {
            return false;
        }
        *self = Self::default();
        self.await_first(first_seq);
        true
    }

    /// A head begins at `seq`, in place of whatever was in progress; what that lacked is remembered.
    #[inline(always)]
    pub fn begin(&mut self, seq: u32, traits: u32) {
        self.leave_out_before(seq);
        let mut kept = self.state & (state::HOLE | state::DUE | state::ASKED | state::PIPELINED);
        if self.is_http() && self.begin.wrapping_sub(seq) <= HEAD_BYTES_MAX {
            // Seen before, or older than what was: what is known of what follows stays.
            kept |= state::BACK | self.state & (state::EXPECT | state::OTHER | state::TOLD | state::PHASE);
        } else if !self.is_in_chunks() {
            if self.expect != seq {
                self.settle();
            }
            kept |= self.state & state::EXPECT;
        } else if self.is_in_chunk(seq) {
            // A start line in a body, or chunks that were none: both are followed.
            kept |= self.state & (state::EXPECT | state::PHASE);
        }
        if self.state & (state::HEAD | state::EXPECT) == state::EXPECT && self.expect == seq {
            // What came early of it.
            let told = state::LENGTH | state::CHUNKED | state::TOLD_EARLY;
            let told = if traits & state::MEASURE != 0 { told } else { 0 };
            kept |= self.state & (state::AHEAD | state::END | told);
        }
        if self.state & state::HEAD != 0 && self.begin != seq {
            let is_behind = at_or_after(seq, self.next_seq);
            self.hole_from = self.next_seq;
            self.hole_to = if self.state & state::END != 0 {
                self.end
            } else if is_behind {
                seq
            } else {
                self.next_seq.wrapping_add(HEAD_BYTES_DEFAULT)
            };
            kept = kept & !state::DUE | state::HOLE;
        }
        self.state = kept | state::HTTP | state::HEAD | traits;
        if at_or_after(seq, self.hole_from) && !at_or_after(seq, self.hole_to) {
            self.hole_to = seq;
        }
        self.begin = seq;
        self.next_seq = seq;
        self.head_bytes = 0;
        self.line = 0;
    }

    /// No byte of the head in progress is missing.
    #[inline(always)]
    pub fn finish(&mut self) {
        let told = state::LENGTH | state::CHUNKED | state::TOLD_EARLY | state::CUT;
        self.state &= !(state::HEAD | state::AHEAD | state::END | state::MEASURE | state::ANSWER | told);
    }

    /// Whether a head that begins at `seq` is older than the one that began last, or that one again, seen to its end.
    #[inline(always)]
    pub const fn is_old(&self, seq: u32) -> bool {
        let before = self.begin.wrapping_sub(seq);
        let is_again = before == 0 && self.state & state::HEAD != 0;
        self.is_http() && before <= HEAD_BYTES_MAX && !is_again
    }

    /// Bytes of such a head came, and those from `from` on may be missing.
    #[inline(always)]
    pub fn note_old(&mut self, from: u32) {
        if at_or_after(from, self.begin) {
            return;
        }
        if self.state & state::HOLE == 0 {
            self.state |= state::HOLE;
            self.hole_from = from;
            self.hole_to = self.begin;
        } else if !at_or_after(from, self.hole_from) {
            self.state &= !state::DUE;
            self.hole_from = from;
        }
    }

    /// What was read of a field line that the end of a segment cuts, as long as no length is known.
    #[inline(always)]
    pub const fn cut(&self) -> Cut {
        Cut { progress: (self.state & state::CUT) >> state::CUT_SHIFT, number: self.body_bytes }
    }

    /// Notes what was read of it by now.
    #[inline(always)]
    pub fn note_cut(&mut self, cut: Cut) {
        self.state &= !state::CUT;
        if self.state & state::LENGTH != 0 {
            return;
        }
        self.body_bytes = cut.number;
        self.state |=
            if cut.progress == Cut::DONE { state::LENGTH } else { cut.progress << state::CUT_SHIFT };
    }

    /// The head in progress goes on at `next_seq`, or, where that was seen already, behind it.
    #[inline(always)]
    pub fn advance(&mut self, next_seq: u32, head_bytes: u32, line: u32) {
        let reached =
            self.state & state::AHEAD != 0 && next_seq.wrapping_sub(self.ahead_from) <= HEAD_BYTES_MAX;
        let jump = reached && self.ahead_to.wrapping_sub(next_seq) <= HEAD_BYTES_MAX;
        let within = next_seq.wrapping_sub(self.ahead_from);
        let seam = Lead::closes(u32::from(self.ahead_lead), within, line) * u32::from(reached);
        self.next_seq = if jump { self.ahead_to } else { next_seq };
        let begins_cr = self.ahead_lead == Lead::CR as u16 && within == 0 && line == Line::Begun as u32;
        self.line = match (jump, begins_cr) {
            (true, true) => Line::BegunByCr as u8,
            (true, false) => self.ahead_line,
            (false, _) => line as u8,
        };
        self.head_bytes = head_bytes;
        if reached {
            self.state &= !(state::AHEAD | state::CUT);
        }
        if seam != 0 {
            self.conclude(next_seq.wrapping_add(seam));
        }
        if self.state & state::END != 0 && at_or_after(self.next_seq, self.end) {
            // What came late may have told how far the body reaches.
            let is_told = self.state & (state::LENGTH | state::CHUNKED) != 0;
            let is_open = !at_or_after(self.expect, self.end);
            if is_open || is_told && (self.expect == self.end || self.is_in_chunks()) {
                self.conclude(self.end);
            }
            self.finish();
        }
    }

    /// Whether bytes of a segment that begins at `seq` are to be searched for a length, of 1 and 0: of those in order, of those
    /// that came before, and of those that came early. Reckoned without a branch, as each way would be followed through all
    /// that comes.
    #[inline(always)]
    pub const fn measures(&self, seq: u32) -> [u32; 3] {
        let measures = (self.state / state::MEASURE) & 1;
        let is_begun = (self.state / state::HEAD) & 1;
        let is_within = at_or_after(seq, self.begin) & !at_or_after(seq, self.next_seq);
        let is_open = self.state & (state::HEAD | state::END) == 0;
        [measures, measures & is_begun & is_within as u32, is_open as u32]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u32 = 16 * 1024;

    #[test]
    fn a_direction_begins_behind_its_syn_or_where_the_other_end_says() {
        let mut way = Direction::default();
        way.await_first(1_000);
        assert_eq!(
            (way.is_expected_at(1_000), way.reached),
            (true, 1_000),
            "bytes before others are missing"
        );
        way.greet(1_500);
        assert!(way.is_expected_at(1_000));
        way.lose_reach();
        assert!(!way.has_passed(1_000), "of what is not kept nothing is known");
        let mut unseen = Direction::default();
        unseen.greet(1_500);
        assert_eq!((unseen.is_expected_at(1_500), unseen.reached), (true, 0), "it may never be seen");
        for (seq, reached) in [(1_400, 0), (1_500 + HEAD_BYTES_MAX + 1, 0), (1_600, 1_500), (1_700, 1_500)] {
            unseen.begin_reach(seq);
            assert_eq!(unseen.reached, reached, "{seq}");
        }
    }

    #[test]
    fn a_segment_that_ends_where_others_did_may_be_a_repeat() {
        let mut way = Direction { reached: 1_200, owed: 50, ..Direction::default() };
        assert_eq!([1_100, 1_200, 1_201].map(|end| way.has_passed(end)), [true, true, false]);
        way.reached = 0;
        assert!(!way.has_passed(1_200), "nothing is known");
    }

    #[test]
    fn what_is_missing_of_an_older_head_is_waited_for() {
        let mut way = Direction::default();
        way.begin(1_000, 0);
        way.advance(1_100, 100, 0);
        way.begin(1_300, 0);
        assert_eq!(way.place(1_100, 200, LIMIT), Place::Hole);
        assert_eq!(way.place(1_300, 10, LIMIT), Place::Next);
        assert_eq!(way.place(900, 100, LIMIT), Place::Apart);
    }

    #[test]
    fn a_head_ends_at_the_first_empty_line_whatever_came_first() {
        let mut way = Direction::default();
        way.begin(1_000, 0);
        way.advance(1_100, 100, 0);
        way.conclude(1_500);
        assert_eq!(way.place(1_600, 10, LIMIT), Place::Apart, "behind the end");
        assert_eq!(way.place(1_400, 10, LIMIT), Place::Behind);
        way.conclude(1_300);
        way.conclude(1_450);
        assert_eq!((way.end, way.expect), (1_300, 1_300));
        way.advance(1_300, 300, 0);
        assert_eq!(way.state & state::HEAD, 0);
    }

    #[test]
    fn a_late_copy_of_a_syn_begins_no_connection() {
        let mut way = Direction::default();
        way.open(1_000);
        way.begin(1_000, 0);
        way.conclude(1_100);
        way.begin(1_100, 0);
        let known = way;
        way.open(1_000);
        assert_eq!(way, known);
        way.state |= state::CLOSED;
        way.open(900);
        assert_eq!((way.state, way.expect), (state::EXPECT, 900), "a new one, close by");
    }

    #[test]
    fn an_older_head_that_comes_again_or_late_leaves_the_newer_one_as_it_is() {
        let mut way = Direction::default();
        way.begin(1_000, 0);
        way.advance(1_050, 50, 0);
        assert!(!way.is_old(1_000), "in progress");
        way.begin(1_300, 0);
        way.advance(1_400, 100, 0);
        assert!(way.is_old(1_000) && way.is_old(900) && !way.is_old(1_300) && !way.is_old(1_500));
        way.note_old(950);
        assert_eq!((way.begin, way.next_seq, way.place(950, 50, LIMIT)), (1_300, 1_400, Place::Hole));
        way.finish();
        assert!(way.is_old(1_300), "seen to its end");
    }

    #[test]
    fn bytes_that_came_before_are_told_unless_some_are_missing() {
        let way = Direction { reached: 1_100, ..Direction::default() };
        assert_eq!([1_000, 1_099, 1_100, 2_000].map(|seq| way.seen(seq)), [100, 1, 0, 0]);
        assert_eq!(Direction { owed: 1, ..way }.seen(1_000), 0);
        assert_eq!(Direction::default().seen(0), 0, "nothing is known");
    }
}
