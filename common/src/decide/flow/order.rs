//! What is handed over of a direction while the order of its segments is broken, so that user space finds the heads in it.
//!
//! Invariant: at most `DISORDER_BYTES_MAX` from one gap on, and nothing where no gap is.

use super::direction::{Direction, at_or_after, state};
use crate::decide::gap::GAP_BYTES_MAX;
use crate::decide::search::Phase;
use crate::limits::{DISORDER_BYTES_MAX, HEAD_BYTES_MAX};

impl Direction {
    /// A segment that ends at `end` leaves out bytes before it: what tells of the heads behind may be among them, so that all is
    /// handed over till a head begins in order; unless they are of a body whose end is known, or others were left out for good.
    #[inline(always)]
    pub const fn break_order(&mut self, end: u32) {
        let unknown = state::HEAD | state::OTHER | state::PHASE;
        let is_body =
            self.state & (state::EXPECT | unknown) == state::EXPECT && at_or_after(self.expect, end);
        // Reckoned without a branch, as each way would be followed through all that comes.
        let begins = (self.owed == 0) & !is_body;
        self.lose_order(begins);
    }

    /// The same of a segment that begins at `seq`, where it does leave out bytes.
    #[inline(always)]
    pub const fn follow_order(&mut self, seq: u32, end: u32) {
        let ahead = seq.wrapping_sub(self.reached);
        if self.reached != 0 && ahead != 0 && ahead <= GAP_BYTES_MAX {
            self.break_order(end);
        }
    }

    /// Bytes may come in any order from here on, if `is_lost`.
    #[inline(always)]
    pub const fn lose_order(&mut self, is_lost: bool) {
        self.disorder += DISORDER_BYTES_MAX.saturating_sub(self.disorder) * is_lost as u16;
    }

    /// A head begins where all that is before it was seen, and nothing behind `end`, where its segment does.
    #[inline(always)]
    pub const fn mend_order(&mut self, end: u32) {
        self.disorder *= ((self.owed != 0) | (self.reached != end)) as u16;
    }

    /// Whether bytes behind the place where the next head should begin, or a chunk, came by already.
    #[inline(always)]
    pub const fn is_passed(&self) -> bool {
        (self.state & state::EXPECT != 0) & self.has_unread(self.expect)
    }

    /// Chunks cannot be followed any more where they go on in a segment that came by.
    #[inline(always)]
    pub const fn miss_chunk(&mut self) {
        self.lose_order(self.is_in_chunks() & self.is_passed());
    }

    /// A head begins at `seq`: where another one, or a chunk, should have begun before it and bytes are missing, that may come late.
    /// One is remembered: the first, until it is a head's reach behind or nothing is missing of it.
    #[inline(always)]
    pub fn leave_out_before(&mut self, seq: u32) {
        let is_free = (self.state & state::HOLE == 0)
            | (self.expect.wrapping_sub(self.hole_to).wrapping_sub(HEAD_BYTES_MAX) < 1 << 30)
            | ((self.owed != 0) & at_or_after(self.gap_from, self.hole_to));
        let is_due = (self.state & (state::EXPECT | state::HEAD) == state::EXPECT) & is_free;
        let is_broken = (self.owed != 0) | (self.disorder != 0);
        let is_near = seq.wrapping_sub(self.expect).wrapping_sub(1) < HEAD_BYTES_MAX;
        if is_due & is_broken & is_near {
            let due = if self.is_in_chunks() { 0 } else { state::DUE };
            self.state = self.state & !state::DUE | state::HOLE | due;
            self.hole_from = self.expect;
            self.hole_to = seq;
        }
    }

    /// How far behind `seq` such a head begins, if within `len` bytes of it.
    #[inline(always)]
    pub const fn due_within(&self, seq: u32, len: u32) -> Option<u32> {
        let offset = self.hole_from.wrapping_sub(seq);
        if self.state & state::DUE != 0 && offset < len { Some(offset) } else { None }
    }

    /// Where the next head is due, or the end of the chunk before it; zero where that is not known, or more was read behind it.
    #[inline(always)]
    pub const fn due(&self) -> u32 {
        let is_known = (self.state & state::EXPECT != 0) & (self.phase() <= Phase::Cr as u32);
        self.expect * is_known as u32
    }

    /// The same where bytes are missing from there on up to a head that begins at `seq`; else zero.
    #[inline(always)]
    pub const fn due_before(&self, seq: u32) -> u32 {
        let due = self.due();
        let is_before = seq.wrapping_sub(due).wrapping_sub(1) < GAP_BYTES_MAX;
        due * (due != 0 && is_before) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Behind a head that ends at 1,100, of which nothing tells how far its body reaches, and data up to 1,200.
    fn unmeasured() -> Direction {
        Direction { state: state::HTTP, reached: 1_200, ..Direction::default() }
    }

    #[test]
    fn a_gap_breaks_the_order_until_a_head_begins_with_nothing_missing() {
        let mut way = unmeasured();
        way.follow_order(1_200, 1_300);
        way.follow_order(1_100, 1_300);
        assert_eq!(way.disorder, 0, "in order, or seen before");
        way.follow_order(1_201, 1_300);
        assert_eq!(way.disorder, DISORDER_BYTES_MAX);
        way.owed = 1;
        way.mend_order(1_200);
        assert_eq!(way.disorder, DISORDER_BYTES_MAX, "the gap is open");
        (way.owed, way.disorder) = (1, 7);
        way.follow_order(1_300, 1_400);
        assert_eq!(way.disorder, 7, "another one gives no more");
        way.lose_order(true);
        assert_eq!(way.disorder, DISORDER_BYTES_MAX, "nothing gives more than that");
        way.disorder = 7;
        way.owed = 0;
        way.mend_order(1_199);
        assert_eq!(way.disorder, 7, "what is behind the head came before it");
        way.mend_order(1_200);
        assert_eq!(way.disorder, 0);
    }

    #[test]
    fn a_gap_in_a_body_whose_end_is_known_breaks_nothing() {
        let mut way = unmeasured();
        way.expect_at(2_000);
        way.break_order(2_000);
        assert_eq!(way.disorder, 0);
        way.break_order(2_001);
        assert_eq!(way.disorder, DISORDER_BYTES_MAX, "the next head may be in it");
        let mut other = Direction::default();
        other.follow_order(1_300, 1_400);
        assert_eq!(other.disorder, 0, "nothing is known");
    }

    #[test]
    fn a_head_left_out_is_due_where_it_should_have_begun() {
        let mut way = unmeasured();
        way.expect_at(1_300);
        way.leave_out_before(1_500);
        assert_eq!(way.due_within(1_300, 1), None, "nothing is missing");
        way.owed = 300;
        way.leave_out_before(1_300);
        assert_eq!(way.due_within(1_300, 1), None, "nothing is left out");
        way.begin(1_500, 0);
        assert_eq!(
            [1_200, 1_201, 1_300, 1_301].map(|seq| way.due_within(seq, 100)),
            [None, Some(99), Some(0), None]
        );
        let mut later = way;
        way.begin(1_700, 0);
        assert_eq!(way.due_within(1_300, 1), None, "bytes of the head at 1,500 are missing now");
        later.finish();
        for (expect, is_remembered) in [(2_000, false), (1_500 + HEAD_BYTES_MAX, true)] {
            later.expect_at(expect);
            later.leave_out_before(expect + 10);
            assert_eq!(later.due_within(expect, 1).is_some(), is_remembered, "{expect}");
        }
        (later.hole_from, later.hole_to, later.gap_from) = (1_300, 1_500, 1_500);
        later.expect_at(2_000);
        later.leave_out_before(2_010);
        assert!(later.due_within(2_000, 1).is_some(), "of the first nothing is missing any more");
    }

    #[test]
    fn what_is_due_is_told_where_bytes_are_missing_behind_it() {
        let mut way = unmeasured();
        assert_eq!((way.due(), way.due_before(1_500)), (0, 0), "nothing is known");
        way.expect_at(1_300);
        assert_eq!([1_299, 1_300, 1_301].map(|seq| way.due_before(seq)), [0, 0, 1_300]);
        way.state |= (Phase::Size as u32) << state::PHASE_SHIFT;
        assert_eq!(way.due(), 0, "a size is read in part");
    }
}
