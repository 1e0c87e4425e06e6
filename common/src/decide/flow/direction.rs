//! One direction of a connection: where its head in progress continues, and where its next one should begin.
//!
//! What is expected is a hint where to look, never a reason to leave out: a start line at the start of a segment is found
//! without it. Invariant: `end` and `expect` are what the bytes seen say, whatever order they came in.

use crate::decide::search::Phase;
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
    /// Requests were sent before the answers to older ones were read.
    pub const PIPELINED: u32 = 256;
    /// The head in progress began before one that was seen earlier.
    pub const BACK: u32 = 512;
    /// The head in progress is one only because it stands where one should.
    pub const DOUBT: u32 = 1024;
    /// The head in progress says that its body comes in chunks.
    pub const CHUNKED: u32 = 2048;
    /// A head said so of the chunks that are followed.
    pub const TOLD: u32 = 4096;
    /// What should stand at `expect` before the next head does (`search::Phase`).
    pub const PHASE: u32 = 15 << PHASE_SHIFT;
    /// Where these bits begin.
    pub const PHASE_SHIFT: u32 = 16;
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
    pub line: u16,
    /// Bytes of gaps that may still come late, as far as they fit.
    pub owed: u16,
    /// First sequence number seen behind a gap.
    pub ahead_from: u32,
    /// Sequence number behind those bytes.
    pub ahead_to: u32,
    /// What they ended with.
    pub ahead_line: u16,
    /// Bytes of an empty line that they begin with (`Lead`).
    pub ahead_lead: u16,
    /// Sequence number behind the last payload byte seen, on a connection that is followed; zero before the first.
    pub reached: u32,
    /// Sequence number of the head's first byte.
    pub begin: u32,
    /// Sequence number behind the head, at the latest.
    pub end: u32,
    /// Where the next head should begin, or what is around the chunks before it goes on.
    pub expect: u32,
    /// Bytes copied from behind that place, in case it is only late; of chunks, the size that was read.
    pub early_bytes: u32,
    /// Content-Length of the head in progress.
    pub body_bytes: u32,
    /// First sequence number that is missing of an older head.
    pub hole_from: u32,
    /// Sequence number behind the last one.
    pub hole_to: u32,
    /// Acknowledgment number of the head that began last.
    pub ack: u32,
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

/// Whether a sequence number is at or behind another.
#[inline(always)]
const fn at_or_after(a: u32, b: u32) -> bool {
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
        if fills { Place::Hole } else { Place::Apart }
    }

    /// How the expected head lies to a segment of `len` bytes that begins at `seq`; `reach` is the head limit.
    #[inline(always)]
    pub const fn expectation(&self, seq: u32, len: u32, reach: u32) -> Expectation {
        if self.state & state::EXPECT == 0 {
            return Expectation::None;
        }
        let offset = self.expect.wrapping_sub(seq);
        if offset < len {
            Expectation::Here(offset)
        } else if !self.is_in_chunks() && offset.wrapping_neg() <= reach && self.early_bytes < reach {
            Expectation::Before
        } else {
            Expectation::None
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

    /// The first segment of a connection comes next.
    #[inline(always)]
    pub fn open(&mut self, first_seq: u32) {
        // A late copy of the SYN says nothing new.
        if self.state != 0 && (self.begin == first_seq || self.expect == first_seq) {
            return;
        }
        *self = Self::default();
        self.expect_at(first_seq);
    }

    /// A head begins at `seq`, in place of whatever was in progress; what that lacked is remembered.
    #[inline(always)]
    pub fn begin(&mut self, seq: u32, measure: bool) {
        let mut kept = self.state & (state::HOLE | state::PIPELINED);
        if self.is_http() && self.begin.wrapping_sub(seq) <= HEAD_BYTES_MAX {
            // Seen before, or older than what was: what is known of what follows stays.
            kept |= state::BACK | self.state & (state::EXPECT | state::TOLD | state::PHASE);
        } else if !self.is_in_chunks() {
            kept |= self.state & state::EXPECT;
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
            kept |= state::HOLE;
        }
        self.state = kept | state::HTTP | state::HEAD | if measure { state::MEASURE } else { 0 };
        self.begin = seq;
        self.next_seq = seq;
        self.head_bytes = 0;
        self.line = 0;
    }

    /// No byte of the head in progress is missing.
    #[inline(always)]
    pub fn finish(&mut self) {
        let progress = state::HEAD | state::AHEAD | state::END;
        self.state &= !(progress | state::MEASURE | state::LENGTH | state::CHUNKED);
    }

    /// The head in progress ends at `end`, for all that is known: what comes behind its body is expected.
    #[inline(always)]
    pub fn conclude(&mut self, end: u32) {
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
        let is_known = self.state & state::EXPECT != 0 && at_or_after(self.expect, behind);
        let is_kept = is_known && (is_back || self.is_in_chunks());
        if !is_kept {
            self.expect_at(behind);
            let phase = if may_be_chunked { Phase::First } else { Phase::None };
            self.state |= (phase as u32) << state::PHASE_SHIFT;
        }
        // With a length besides, the reader may go by either.
        let is_told = is_chunked && !has_length && !(is_kept && is_back);
        self.state |= if is_told { state::TOLD } else { 0 };
    }

    /// The next head should begin at `seq`.
    #[inline(always)]
    pub fn expect_at(&mut self, seq: u32) {
        self.state = self.state & !(state::TOLD | state::PHASE) | state::EXPECT;
        self.expect = seq;
        self.early_bytes = 0;
    }

    /// The other end has read up to `ack` and speaks: what is answered begins there.
    #[inline(always)]
    pub fn expect_behind(&mut self, ack: u32) {
        if self.state & state::EXPECT == 0 || !at_or_after(self.expect, ack) {
            self.expect_at(ack);
        }
    }

    /// Whether the next head should begin at `seq`.
    #[inline(always)]
    pub const fn is_expected_at(&self, seq: u32) -> bool {
        self.state & state::EXPECT != 0 && self.expect == seq && !self.is_in_chunks()
    }

    /// What stood at `seq` is no head.
    #[inline(always)]
    pub fn disappoint(&mut self, seq: u32) {
        if self.expect == seq {
            self.state &= !(state::EXPECT | state::TOLD | state::PHASE);
        }
    }

    /// Content-Length of the head in progress; where it has several, the first counts.
    #[inline(always)]
    pub fn note_length(&mut self, body_bytes: u32) {
        if self.state & state::LENGTH == 0 {
            self.state |= state::LENGTH;
            self.body_bytes = body_bytes;
        }
    }

    /// The head in progress goes on at `next_seq`, or, where that was seen already, behind it.
    #[inline(always)]
    pub fn advance(&mut self, next_seq: u32, head_bytes: u32, line: u32) {
        let reached =
            self.state & state::AHEAD != 0 && next_seq.wrapping_sub(self.ahead_from) <= HEAD_BYTES_MAX;
        let jump = reached && self.ahead_to.wrapping_sub(next_seq) <= HEAD_BYTES_MAX;
        let seam = if reached && next_seq == self.ahead_from {
            Lead::closes(u32::from(self.ahead_lead), line)
        } else {
            0
        };
        self.next_seq = if jump { self.ahead_to } else { next_seq };
        self.line = if jump { self.ahead_line } else { line as u16 };
        self.head_bytes = head_bytes;
        if reached {
            self.state &= !state::AHEAD;
        }
        if seam != 0 {
            self.conclude(next_seq.wrapping_add(seam));
        }
        if self.state & state::END != 0 && at_or_after(self.next_seq, self.end) {
            // What came late may have told how far the body reaches.
            let is_told = self.state & (state::LENGTH | state::CHUNKED) != 0;
            if is_told && (self.expect == self.end || self.is_in_chunks()) {
                self.conclude(self.end);
            }
            self.finish();
        }
    }

    /// Bytes behind a gap were seen. Only one stretch is kept: the first, grown where it is continued.
    #[inline(always)]
    pub fn note_ahead(&mut self, stretch: Stretch) {
        if self.state & state::AHEAD == 0 {
            self.ahead_from = stretch.from;
            self.ahead_lead = stretch.lead as u16;
        } else if stretch.from != self.ahead_to {
            return;
        }
        self.state |= state::AHEAD;
        self.ahead_to = stretch.to;
        self.ahead_line = stretch.line as u16;
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

    /// Bytes of it that end an empty line which began with `line`; zero where it does not.
    #[inline(always)]
    pub const fn closes(lead: u32, line: u32) -> u32 {
        match (lead, line) {
            (Self::LF, 1 | 2) => 1,
            (Self::CRLF, 1) => 2,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u32 = 16 * 1024;

    #[test]
    fn what_is_missing_of_an_older_head_is_waited_for() {
        let mut way = Direction::default();
        way.begin(1_000, false);
        way.advance(1_100, 100, 0);
        way.begin(1_300, false);
        assert_eq!(way.place(1_100, 200, LIMIT), Place::Hole);
        assert_eq!(way.place(1_300, 10, LIMIT), Place::Next);
        assert_eq!(way.place(900, 100, LIMIT), Place::Apart);
    }

    #[test]
    fn a_head_ends_at_the_first_empty_line_whatever_came_first() {
        let mut way = Direction::default();
        way.begin(1_000, false);
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
    fn an_empty_line_across_a_seam_is_found() {
        for (line, lead, bytes) in
            [(1, Lead::CRLF, 2), (1, Lead::LF, 1), (2, Lead::LF, 1), (0, Lead::CRLF, 0)]
        {
            let mut way = Direction::default();
            way.begin(1_000, false);
            way.note_ahead(Stretch { from: 1_100, to: 1_200, line: 0, lead });
            way.advance(1_100, 100, line);
            let expected = (bytes > 0).then_some(1_100 + bytes);
            assert_eq!((way.state & state::EXPECT != 0).then_some(way.expect), expected, "{line} {lead}");
        }
    }

    #[test]
    fn the_next_head_is_expected_behind_the_body() {
        let mut way = Direction::default();
        way.open(1_000);
        assert_eq!(way.expectation(1_000, 1, LIMIT), Expectation::Here(0));
        way.begin(1_000, true);
        way.note_length(500);
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
    fn a_late_head_does_not_move_the_expectation_back() {
        let mut way = Direction::default();
        way.begin(u32::MAX - 99, false);
        way.conclude(100);
        way.finish();
        way.begin(u32::MAX - 199, false);
        way.conclude(u32::MAX - 99);
        assert_eq!(way.expect, 100);
    }
}
