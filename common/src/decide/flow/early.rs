//! What is seen of a head behind a gap: before its beginning came, or while bytes in the middle of it are missing.
//!
//! Invariant: one stretch is kept, and what it says of a body counts only where the head reaches it and says nothing itself.

use super::direction::{Direction, at_or_after, state};

impl Direction {
    /// The empty line was seen of a head that has not begun, in bytes behind its beginning.
    #[inline(always)]
    pub fn note_early(&mut self, end: u32, stretch: Stretch) {
        if self.state & state::END == 0 || !at_or_after(end, self.end) {
            self.end = end;
            self.state |= state::END;
        }
        self.note_ahead(stretch);
    }

    /// Whether the head of which bytes come early has not begun, nor another one.
    #[inline(always)]
    pub const fn awaits_beginning(&self) -> bool {
        self.state & state::HEAD == 0
    }

    /// Content-Length of the head in progress; where it has several, the first counts. One that `is_early` is of bytes behind a gap.
    #[inline(always)]
    pub fn note_length(&mut self, body_bytes: u32, is_early: bool) {
        if self.believes(is_early) && self.state & state::LENGTH == 0 {
            self.state |= state::LENGTH;
            self.body_bytes = body_bytes;
        }
    }

    /// The body behind the head in progress comes in chunks; `is_early` as for `note_length`.
    #[inline(always)]
    pub fn note_chunked(&mut self, is_early: bool) {
        if self.believes(is_early) {
            self.state |= state::CHUNKED;
        }
    }

    /// Whether what is said of the body counts: what the head itself says outweighs what is behind a gap, which may be of a later
    /// head.
    #[inline(always)]
    fn believes(&mut self, is_early: bool) -> bool {
        let was_early = self.state & state::TOLD_EARLY != 0;
        let is_told = self.state & (state::LENGTH | state::CHUNKED) != 0;
        if is_early {
            let counts = was_early || !is_told;
            self.state |= state::TOLD_EARLY * counts as u32;
            return counts;
        }
        if was_early {
            self.forget_told();
        }
        true
    }

    /// The head ends at `end`: what was behind that is of a later one.
    #[inline(always)]
    pub(super) fn end_told(&mut self, end: u32) {
        let is_before_end = self.state & state::END != 0 && !at_or_after(end, self.end);
        let is_before_stretch = self.state & state::AHEAD != 0 && at_or_after(self.ahead_from, end);
        if self.state & state::TOLD_EARLY != 0 && (is_before_end || is_before_stretch) {
            self.forget_told();
        }
    }

    #[inline(always)]
    fn forget_told(&mut self) {
        self.state &= !(state::LENGTH | state::CHUNKED | state::TOLD_EARLY);
    }

    /// Whether one byte behind a gap was seen.
    #[inline(always)]
    pub(super) const fn is_ahead_single(&self) -> bool {
        self.ahead_to.wrapping_sub(self.ahead_from) == 1
    }

    /// Bytes behind a gap were seen. Only one stretch is kept: the first, grown where it is continued.
    #[inline(always)]
    pub fn note_ahead(&mut self, stretch: Stretch) {
        if self.state & state::AHEAD == 0 {
            self.ahead_from = stretch.from;
            self.ahead_lead = stretch.lead as u16;
        } else if stretch.from != self.ahead_to {
            return;
        } else if self.ahead_lead == Lead::CR as u16 && self.is_ahead_single() {
            self.ahead_lead = if stretch.lead == Lead::LF { Lead::CRLF } else { Lead::NONE } as u16;
        }
        self.state |= state::AHEAD;
        self.ahead_to = stretch.to;
        self.ahead_line = stretch.line as u8;
    }
}

/// Bytes seen behind a gap.
#[derive(Clone, Copy, Debug)]
pub struct Stretch {
    /// Sequence number of the first one.
    pub from: u32,
    /// Sequence number behind the last one.
    pub to: u32,
    /// What they end with.
    pub line: u32,
    /// What they begin with: a `Lead`.
    pub lead: u32,
}

/// What bytes behind a gap begin with: the rest of an empty line, perhaps.
pub struct Lead;

impl Lead {
    /// Something else.
    pub const NONE: u32 = 0;
    /// LF.
    pub const LF: u32 = 1;
    /// CR LF.
    pub const CRLF: u32 = 2;
    /// CR, and nothing behind it was seen.
    pub const CR: u32 = 3;

    /// Bytes of it, behind the first `within`, that end an empty line which began with `line`; zero where they do not.
    #[inline(always)]
    pub const fn closes(lead: u32, within: u32, line: u32) -> u32 {
        match (lead, within, line) {
            (Self::LF, 0, 1 | 2) | (Self::CRLF, 1, 2) => 1,
            (Self::CRLF, 0, 1) => 2,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::search::Line;

    #[test]
    fn an_empty_line_across_a_seam_is_found() {
        let at = |seq, line, lead, end| (seq, line, lead, Some(end));
        let told =
            [at(1_100, 1, Lead::CRLF, 1_102), at(1_100, 1, Lead::LF, 1_101), at(1_100, 2, Lead::LF, 1_101)];
        let again = [at(1_101, 2, Lead::CRLF, 1_102), (1_101, 2, Lead::LF, None)];
        for (seq, line, lead, end) in told.into_iter().chain(again).chain([(1_100, 0, Lead::CRLF, None)]) {
            let mut way = Direction::default();
            way.begin(1_000, 0);
            way.note_ahead(Stretch { from: 1_100, to: 1_200, line: 0, lead });
            way.advance(seq, 100, line);
            assert_eq!((way.state & state::EXPECT != 0).then_some(way.expect), end, "{line} {lead}");
        }
    }

    #[test]
    fn an_empty_line_of_which_each_byte_comes_by_itself_is_found() {
        let single = |at: u32, lead| Stretch { from: at, to: at + 1, line: 0, lead };
        let mut way = Direction::default();
        way.begin(1_000, 0);
        way.note_ahead(single(1_100, Lead::CR));
        way.note_ahead(single(1_101, Lead::LF));
        way.advance(1_100, 100, Line::Begun as u32);
        assert!(way.is_expected_at(1_102), "both came behind a gap");
        let mut way = Direction::default();
        way.begin(1_000, 0);
        way.note_ahead(single(1_100, Lead::CR));
        way.advance(1_100, 100, Line::Begun as u32);
        assert_eq!((way.next_seq, way.line), (1_101, Line::BegunByCr as u8), "the second is still to come");
        let mut other = Direction::default();
        other.begin(1_000, 0);
        other.note_ahead(single(1_100, Lead::CR));
        other.note_ahead(single(1_101, Lead::NONE));
        other.advance(1_100, 100, Line::Begun as u32);
        assert!(other.state & state::HEAD != 0 && other.line == Line::Inside as u8);
    }

    /// A direction whose first head is expected at 1,000, and of which bytes from 1,500 on came early with the empty line, a
    /// length of 70, and the end of a head at 1,700.
    fn with_early_length() -> Direction {
        let mut way = Direction::default();
        way.open(1_000);
        way.note_length(70, true);
        way.note_early(1_700, Stretch { from: 1_500, to: 1_700, line: 0, lead: Lead::NONE });
        way.begin(1_000, state::MEASURE);
        way
    }

    #[test]
    fn a_length_behind_a_gap_is_the_head_s_that_reaches_it() {
        let mut way = with_early_length();
        way.advance(1_500, 500, 0);
        assert_eq!((way.state & state::HEAD, way.expect), (0, 1_770));
    }

    #[test]
    fn a_length_behind_a_gap_is_no_longer_that_of_a_head_which_ends_before_it() {
        let mut way = with_early_length();
        way.conclude(1_400);
        way.finish();
        assert!(way.is_expected_at(1_400) && way.state & state::TOLD_EARLY == 0);
        let mut way = with_early_length();
        way.state &= !state::AHEAD;
        way.conclude(1_600);
        assert!(way.is_expected_at(1_600), "it ends before the end that was seen early");
    }

    #[test]
    fn what_a_head_says_itself_outweighs_what_is_behind_a_gap() {
        let mut way = with_early_length();
        way.note_length(30, false);
        way.note_length(40, true);
        way.advance(1_500, 500, 0);
        assert_eq!(way.expect, 1_730);
        let mut way = with_early_length();
        way.note_chunked(false);
        way.advance(1_500, 500, 0);
        assert!(way.is_expected_at(1_700) && way.is_told_chunked());
        let mut way = Direction::default();
        way.begin(1_000, state::MEASURE);
        way.note_length(30, false);
        way.note_chunked(true);
        way.note_ahead(Stretch { from: 1_500, to: 1_700, line: 0, lead: Lead::NONE });
        way.conclude(1_400);
        assert!(way.is_expected_at(1_430), "its own length stays where it ends before the stretch");
    }
}
