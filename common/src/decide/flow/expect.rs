//! Where the next head of a direction should begin: behind a head and its body, or where the other end has read to.
//!
//! A hint where to look, never a reason to leave out: a start line at the start of a segment is found without it. Invariant:
//! `expect` is what the bytes seen say, whatever order they came in; of two places that they leave, both are looked at.

use super::direction::{Direction, at_or_after, state};
use crate::decide::gap::GAP_BYTES_MAX;
use crate::decide::search::Phase;

/// How an expected head lies to a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// None is expected near it.
    None,
    /// It should begin so many bytes behind the segment's first one.
    Here(u32),
    /// It should have begun before: the segment may hold its rest.
    Before,
}

impl Direction {
    /// How the expected head lies to a segment of `len` bytes that begins at `seq`; `reach` is the head limit.
    #[inline(always)]
    pub const fn expectation(&self, seq: u32, len: u32, reach: u32) -> Expectation {
        if self.state & state::EXPECT == 0 {
            return Expectation::None;
        }
        let offset = self.expect.wrapping_sub(seq);
        if offset < len {
            Expectation::Here(offset)
        } else if !self.is_in_chunks()
            && self.state & state::OTHER == 0
            && offset.wrapping_neg() <= reach
            && self.early_bytes < reach
        {
            Expectation::Before
        } else {
            Expectation::None
        }
    }

    /// The same of one that is no head, which may settle where the next one is expected.
    #[inline(always)]
    pub fn expectation_of(&mut self, seq: u32, len: u32, reach: u32) -> Expectation {
        self.pass(seq, len);
        self.expectation(seq, len, reach)
    }

    /// The head in progress ends at `end`, for all that is known: what comes behind its body is expected.
    #[inline(always)]
    pub fn conclude(&mut self, end: u32) {
        self.end_told(end);
        if self.state & state::END == 0 || !at_or_after(end, self.end) {
            self.end = end;
        }
        self.state |= state::END;
        let [has_length, is_chunked, is_measured] =
            [state::LENGTH, state::CHUNKED, state::MEASURE].map(|bit| self.state & bit != 0);
        // RFC 9112 section 6.3: chunks outweigh a length.
        let body_bytes = if has_length && !is_chunked { self.body_bytes } else { 0 };
        let may_be_chunked = is_chunked || (is_measured && !has_length);
        let behind = self.end.wrapping_add(body_bytes);
        let is_back = self.state & state::BACK != 0;
        let may_be_none = self.state & state::ANSWER != 0 && body_bytes != 0;
        let least = if may_be_none { self.end } else { behind };
        let is_known = self.state & state::EXPECT != 0 && at_or_after(self.expect, least);
        let is_kept = is_known && (is_back || self.is_in_chunks());
        if !is_kept {
            self.settle();
            let farther = self.expect.wrapping_sub(behind);
            let is_farther = self.state & state::EXPECT != 0 && farther.wrapping_sub(1) < 1 << 30;
            self.expect_at(if is_farther || !may_be_none { behind } else { self.end });
            let phase = if may_be_chunked { Phase::First } else { Phase::None };
            self.state |= (phase as u32) << state::PHASE_SHIFT;
            if is_farther || may_be_none {
                self.state |= state::OTHER;
                self.early_bytes = if is_farther { farther } else { body_bytes };
            }
        }
        // With a length besides, the reader may go by either.
        let is_told = is_chunked && !has_length && !(is_kept && is_back);
        self.state |= if is_told { state::TOLD } else { 0 };
    }

    /// The next head should begin at `seq`.
    #[inline(always)]
    pub fn expect_at(&mut self, seq: u32) {
        let early = state::AHEAD | state::END | state::LENGTH | state::CHUNKED | state::TOLD_EARLY;
        let stale = if self.state & state::HEAD == 0 { early } else { 0 };
        self.state = self.state & !(stale | state::OTHER | state::TOLD | state::PHASE) | state::EXPECT;
        self.expect = seq;
        self.early_bytes = 0;
    }

    /// The other end has read up to `ack` and speaks: what is answered begins there.
    #[inline(always)]
    pub fn expect_behind(&mut self, ack: u32) {
        if self.state & state::EXPECT == 0 {
            return self.expect_at(ack);
        }
        if !at_or_after(self.expect.wrapping_add(self.other_bytes()), ack) {
            if self.is_in_chunks() {
                self.leave_out_before(ack);
                // What is missing of them may be late only, and `pass` gives them up; but of what is read in part nobody is told.
                if self.due() == 0 {
                    self.expect_at(ack);
                }
                return;
            }
            // What stands at the place expected did not come by: it may be late only.
            self.state |= state::OTHER;
            self.early_bytes = ack.wrapping_sub(self.expect);
        } else if self.reached == ack && self.state & state::OTHER == 0 && !self.is_in_chunks() {
            // Nothing came behind what was read: of a body that is told of, the rest may never come.
            self.early_bytes = self.expect.wrapping_sub(ack);
            self.state |= if self.early_bytes == 0 { 0 } else { state::OTHER };
            self.expect = ack;
        }
    }

    const fn other_bytes(&self) -> u32 {
        if self.state & state::OTHER != 0 { self.early_bytes } else { 0 }
    }

    /// Of two places where the next head may begin, the second is left.
    #[inline(always)]
    pub fn settle(&mut self) {
        if self.state & state::OTHER != 0 {
            self.expect_at(self.expect.wrapping_add(self.early_bytes));
        }
    }

    /// A segment of `len` bytes that is no head begins at `seq`.
    #[inline(always)]
    pub fn pass(&mut self, seq: u32, len: u32) {
        let other = self.expect.wrapping_add(self.early_bytes);
        let is_behind = self.expect != seq && at_or_after(seq, self.expect);
        let reaches = other.wrapping_sub(seq) < len || at_or_after(seq, other);
        if self.state & state::OTHER != 0 && is_behind && reaches {
            self.leave_out_before(other);
            self.settle();
        }
        // What was read of them is not coming where what is behind that does.
        let is_read = self.state & state::HOLE != 0 && self.hole_from == self.expect && self.hole_to == seq;
        if self.is_in_chunks() && is_behind && is_read {
            self.expect_at(seq);
        }
    }

    /// Whether the next head should begin at `seq` or at another place.
    #[inline(always)]
    pub const fn has_other_than(&self, seq: u32) -> bool {
        self.state & state::OTHER != 0 && self.expect == seq
    }

    /// Whether the next head should begin at `seq`.
    #[inline(always)]
    pub const fn is_expected_at(&self, seq: u32) -> bool {
        self.state & state::EXPECT != 0 && self.expect == seq && !self.is_in_chunks()
    }

    /// Whether the next head, or what is around the chunks before it, should begin behind `seq`.
    #[inline(always)]
    pub const fn is_expected_behind(&self, seq: u32) -> bool {
        self.state & state::EXPECT != 0 && self.expect.wrapping_sub(seq).wrapping_sub(1) < 1 << 30
    }

    /// A request begins at `seq`; the client had, or had not, read all that the server sent, and another request before this one is,
    /// or is not, still to come.
    #[inline(always)]
    pub const fn ask(&mut self, seq: u32, has_unread: bool, is_behind_other: bool) {
        let is_again = self.begin == seq;
        let is_asked = self.state & state::ASKED != 0;
        let is_pipelined = !is_again & (self.is_http() & (is_asked | has_unread) | is_behind_other);
        self.state |= state::ASKED | (state::PIPELINED * is_pipelined as u32);
    }

    /// An answer to the last request began, if `is_it`.
    #[inline(always)]
    pub const fn answered(&mut self, is_it: bool) {
        self.state &= !(state::ASKED * is_it as u32);
    }

    /// Whether the other end had read of the head that began last when it sent `ack`: one that came late may not have.
    #[inline(always)]
    pub const fn is_read(&self, ack: u32) -> bool {
        at_or_after(ack, self.begin.wrapping_add(1))
    }

    /// Whether the other end had not read all that came by of this direction when it sent `ack`.
    #[inline(always)]
    pub const fn has_unread(&self, ack: u32) -> bool {
        (self.reached != 0) & (self.reached.wrapping_sub(ack).wrapping_sub(1) < GAP_BYTES_MAX)
    }

    /// Whether a request of this direction may come before the answer to the one before it is over: one did, or it is not known,
    /// as bytes are missing, came out of order, or were seen behind the place where the next one should begin.
    /// Then the next answer may begin in the middle of a segment.
    #[inline(always)]
    pub const fn may_be_pipelined(&self) -> bool {
        let is_known = self.is_http() & (self.owed == 0) & (self.disorder == 0) & !self.is_passed();
        (self.state & state::PIPELINED != 0) | !is_known
    }

    /// Whether the head that should begin at `seq` is the one in progress.
    #[inline(always)]
    pub const fn is_begun_at(&self, seq: u32) -> bool {
        self.state & state::HEAD != 0 && self.begin == seq
    }

    /// What stood at `seq` is no head.
    #[inline(always)]
    pub fn disappoint(&mut self, seq: u32) {
        if self.expect == seq {
            let has_other = self.state & state::OTHER != 0;
            self.settle();
            if !has_other {
                self.state &= !(state::EXPECT | state::TOLD | state::PHASE);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::search::Chunk;

    const LIMIT: u32 = 16 * 1024;

    #[test]
    fn the_next_head_is_expected_behind_the_body() {
        let mut way = Direction::default();
        way.open(1_000);
        assert_eq!(way.expectation(1_000, 1, LIMIT), Expectation::Here(0));
        way.begin(1_000, state::MEASURE);
        way.note_length(500, false);
        way.conclude(1_100);
        way.finish();
        assert_eq!(way.expectation(1_100, 500, LIMIT), Expectation::None, "all of it body");
        assert_eq!(way.expectation(1_100, 501, LIMIT), Expectation::Here(500));
        assert_eq!(way.expectation(1_700, 10, LIMIT), Expectation::Before);
        way.early_bytes = LIMIT;
        assert_eq!(way.expectation(1_700, 10, LIMIT), Expectation::None, "only so much is copied");
        way.expect_behind(1_500);
        assert_eq!(way.expect, 1_600, "an older acknowledgement says nothing");
        way.disappoint(1_600);
        assert_eq!(way.expectation(1_600, 10, LIMIT), Expectation::None);
    }

    #[test]
    fn requests_before_answers_are_read_are_remembered() {
        let mut way = Direction::default();
        assert!(way.may_be_pipelined(), "nothing is known");
        for seq in [1_000, 1_000] {
            way.ask(seq, false, false);
            way.begin(seq, 0);
        }
        assert!(!way.may_be_pipelined(), "one request, twice");
        way.state &= !state::ASKED;
        way.ask(1_100, false, false);
        way.begin(1_100, 0);
        assert!(!way.may_be_pipelined(), "its answer had begun, and was read");
        let mut behind = way;
        behind.ask(1_200, false, false);
        assert!(behind.may_be_pipelined(), "no answer had begun");
        way.state &= !state::ASKED;
        way.ask(1_200, true, false);
        way.begin(1_200, 0);
        assert!(way.may_be_pipelined(), "it was not read to its end");
        let mut late = Direction::default();
        late.ask(1_000, false, true);
        late.begin(1_000, 0);
        assert!(late.may_be_pipelined(), "the first one is still to come");
        assert_eq!(
            [999, 1_000, 1_001].map(|seq| way.is_expected_behind(seq)),
            [false; 3],
            "nothing is known"
        );
        way.expect_at(1_000);
        assert_eq!([999, 1_000, 1_001].map(|seq| way.is_expected_behind(seq)), [true, false, false]);
        let server = Direction { reached: 500, ..Direction::default() };
        assert_eq!([499, 500, 501].map(|ack| server.has_unread(ack)), [true, false, false]);
    }

    #[test]
    fn an_answer_that_had_not_read_the_last_request_is_not_to_it() {
        let mut way = Direction::default();
        way.ask(1_000, false, false);
        way.begin(1_000, 0);
        assert_eq!([999, 1_000, 1_001].map(|ack| way.is_read(ack)), [false, false, true]);
        for (ack, is_asked) in [(1_000, true), (1_100, false)] {
            way.answered(way.is_read(ack));
            assert_eq!(way.state & state::ASKED != 0, is_asked, "{ack}");
        }
    }

    #[test]
    fn chunks_are_followed_beyond_what_was_read_till_it_comes_without_them() {
        let mut way = Direction::default();
        way.begin(1_000, state::MEASURE);
        way.note_chunked(false);
        way.conclude(1_100);
        way.finish();
        way.follow_chunk(5, Chunk { phase: Phase::Data, size: 500 });
        (way.reached, way.owed) = (1_900, 700);
        let known = way;
        way.expect_behind(1_900);
        assert_eq!(way.expectation_of(1_500, 200, LIMIT), Expectation::Here(105), "they are late only");
        assert_eq!(way.expectation_of(1_700, 100, LIMIT), Expectation::None);
        assert_eq!(way.expectation_of(1_900, 10, LIMIT), Expectation::Here(0), "what was read is lost");
        assert!(!way.is_in_chunks());
        let mut cut = known;
        cut.follow_chunk(2, Chunk { phase: Phase::Begun, size: 0 });
        cut.expect_behind(1_900);
        assert!(cut.is_expected_at(1_900), "of a size that is read in part nobody is told");
    }

    #[test]
    fn a_late_head_does_not_move_the_expectation_back() {
        let mut way = Direction::default();
        way.begin(u32::MAX - 99, 0);
        way.conclude(100);
        way.finish();
        way.begin(u32::MAX - 199, 0);
        way.conclude(u32::MAX - 99);
        assert_eq!(way.expect, 100);
    }

    #[test]
    fn behind_an_answer_the_next_is_expected_with_and_without_its_body() {
        let mut way = Direction::default();
        way.begin(1_000, state::ANSWER | state::MEASURE);
        way.note_length(500, false);
        way.conclude(1_100);
        way.finish();
        assert!(way.is_expected_at(1_100) && way.has_other_than(1_100));
        let mut bodiless = way;
        bodiless.begin(1_100, state::ANSWER);
        bodiless.conclude(1_150);
        bodiless.finish();
        assert_eq!(bodiless.expectation(1_150, 1, LIMIT), Expectation::Here(0));
        assert!(!bodiless.has_other_than(1_150), "the body did not come");
        assert_eq!(
            way.expectation_of(1_200, 400, LIMIT),
            Expectation::None,
            "body, and what is before may be late"
        );
        assert!(way.has_other_than(1_100));
        assert_eq!(way.expectation_of(1_200, 401, LIMIT), Expectation::Here(400));
        let mut bodied =
            Direction { state: state::EXPECT | state::OTHER, expect: 1_100, early_bytes: 500, ..way };
        bodied.disappoint(1_100);
        assert!(bodied.is_expected_at(1_600));
        bodied.disappoint(1_600);
        assert_eq!(bodied.expectation(1_600, 1, LIMIT), Expectation::None);
    }

    #[test]
    fn what_is_acknowledged_unseen_may_still_come() {
        let mut way = Direction::default();
        way.begin(1_000, 0);
        way.conclude(1_100);
        way.finish();
        way.expect_behind(1_300);
        assert_eq!(way.expectation_of(1_050, 100, LIMIT), Expectation::Here(50), "late");
        way.expect_behind(1_400);
        assert_eq!(way.expectation_of(1_400, 10, LIMIT), Expectation::Here(0), "or lost");
        assert_eq!(way.expectation_of(1_050, 100, LIMIT), Expectation::None);
    }

    #[test]
    fn of_a_body_that_is_told_of_the_rest_may_never_come() {
        let mut way = Direction::default();
        way.begin(1_000, state::MEASURE);
        way.note_length(500, false);
        way.conclude(1_100);
        way.finish();
        way.reached = 1_150;
        way.expect_behind(1_120);
        assert!(way.is_expected_at(1_600), "more of it is under way");
        way.expect_behind(1_150);
        assert!(way.is_expected_at(1_150) && way.has_other_than(1_150));
        way.disappoint(1_150);
        assert!(way.is_expected_at(1_600), "it comes after all");
        way.reached = 1_600;
        way.expect_behind(1_600);
        assert!(way.is_expected_at(1_600) && !way.has_other_than(1_600));
    }

    #[test]
    fn a_head_inside_of_a_body_leaves_the_expectation_behind_it() {
        let mut way = Direction::default();
        way.begin(1_000, state::MEASURE);
        way.note_length(500, false);
        way.conclude(1_100);
        way.finish();
        way.begin(1_200, 0);
        way.conclude(1_230);
        way.finish();
        assert!(way.has_other_than(1_230));
        assert_eq!(way.expectation_of(1_550, 100, LIMIT), Expectation::Here(50));
    }
}
