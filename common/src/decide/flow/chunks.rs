//! The chunks of a body that are followed from one size to the next, so that the head behind them is found.
//!
//! While they are, `Direction::expect` is the next byte to be read of what is around them. Invariant: what is followed
//! without a head that told of chunks, because something like a size stood behind it, hides nothing.

use super::direction::{Direction, state};
use crate::decide::search::{Chunk, Phase};

impl Direction {
    #[inline(always)]
    pub(super) const fn phase(&self) -> u32 {
        (self.state & state::PHASE) >> state::PHASE_SHIFT
    }

    /// Whether chunks are followed: no head is expected before their end.
    #[inline(always)]
    pub const fn is_in_chunks(&self) -> bool {
        self.phase() > Phase::First as u32
    }

    /// Whether chunks or the next head should begin at `seq`, nothing of them being read.
    #[inline(always)]
    pub const fn may_begin_chunks_at(&self, seq: u32) -> bool {
        self.phase() == Phase::First as u32 && self.is_expected_at(seq)
    }

    /// Whether a head said that chunks should stand here.
    #[inline(always)]
    pub const fn is_told_chunked(&self) -> bool {
        self.state & state::TOLD != 0
    }

    /// Whether `seq` lies within the chunk of which the size was read last.
    #[inline(always)]
    pub const fn is_in_chunk(&self, seq: u32) -> bool {
        let left = self.expect.wrapping_sub(seq);
        // Zero less one is more than any size.
        (left.wrapping_sub(1) < self.early_bytes) & (self.phase() == Phase::Cr as u32)
    }

    /// The same behind a head that said that it is one.
    #[inline(always)]
    pub const fn is_in_told_chunk(&self, seq: u32) -> bool {
        self.is_in_chunk(seq) & self.is_told_chunked()
    }

    /// What was read at `expect` so far.
    #[inline(always)]
    pub const fn chunk(&self) -> Chunk {
        let size =
            if self.is_in_chunks() && self.phase() > Phase::Begun as u32 { self.early_bytes } else { 0 };
        Chunk { phase: Phase::from_u32(self.phase()), size }
    }

    /// Another `bytes` were read, and this is known now.
    #[inline(always)]
    pub fn follow_chunk(&mut self, bytes: u32, chunk: Chunk) {
        let behind = self.expect.wrapping_add(bytes);
        let (expect, phase) = match chunk.phase {
            Phase::Over => return self.expect_at(behind),
            Phase::Broken | Phase::None => return self.disappoint(self.expect),
            Phase::Data => (behind.wrapping_add(chunk.size), Phase::Cr),
            Phase::First
            | Phase::Cr
            | Phase::Lf
            | Phase::Begun
            | Phase::Size
            | Phase::Extension
            | Phase::Line
            | Phase::LineCr
            | Phase::Trailer => (behind, chunk.phase),
        };
        self.expect = expect;
        self.early_bytes = chunk.size;
        self.state = self.state & !(state::OTHER | state::PHASE) | (phase as u32) << state::PHASE_SHIFT;
    }
}

#[cfg(test)]
mod tests {
    use super::super::Expectation;
    use super::*;

    const LIMIT: u32 = 16 * 1024;

    fn told(head_end: u32) -> Direction {
        let mut way = Direction::default();
        way.begin(1_000, state::MEASURE);
        way.note_chunked(false);
        way.conclude(head_end);
        way.finish();
        way
    }

    const DATA: Chunk = Chunk { phase: Phase::Data, size: 500 };

    #[test]
    fn chunks_are_followed_to_the_next_head() {
        let mut way = told(1_100);
        assert!(way.may_begin_chunks_at(1_100) && way.is_expected_at(1_100));
        assert_eq!(way.chunk(), Chunk::FIRST);
        way.follow_chunk(5, DATA);
        assert!(way.is_in_chunks() && !way.is_expected_at(1_605), "a size is expected, no head");
        assert_eq!(way.expectation(1_105, 500, LIMIT), Expectation::None, "all of it data");
        assert_eq!(way.expectation(1_105, 501, LIMIT), Expectation::Here(500));
        assert_eq!(way.expectation(1_700, 10, LIMIT), Expectation::None, "no body is copied");
        way.follow_chunk(3, Chunk { phase: Phase::Size, size: 0x1f });
        assert_eq!((way.expect, way.chunk()), (1_608, Chunk { phase: Phase::Size, size: 0x1f }));
        way.follow_chunk(9, Chunk { phase: Phase::Over, size: 0 });
        assert!(way.is_expected_at(1_617) && !way.is_in_chunks() && !way.is_told_chunked());
    }

    #[test]
    fn only_a_chunk_that_a_head_told_of_hides_start_lines() {
        let mut way = told(1_100);
        assert!(!way.is_in_told_chunk(1_100), "no size was read");
        way.follow_chunk(5, DATA);
        assert!([1_105, 1_604].into_iter().all(|seq| way.is_in_told_chunk(seq)));
        assert!([1_104, 1_605, 1_606].into_iter().all(|seq| !way.is_in_told_chunk(seq)));
        let mut guessed = Direction::default();
        guessed.begin(1_000, state::MEASURE);
        guessed.conclude(1_100);
        assert!(guessed.may_begin_chunks_at(1_100));
        guessed.follow_chunk(5, DATA);
        assert!(guessed.is_in_chunks() && !guessed.is_in_told_chunk(1_200));
        let mut doubted = Direction::default();
        doubted.begin(1_000, state::MEASURE);
        doubted.note_length(7, false);
        doubted.note_chunked(false);
        doubted.conclude(1_100);
        doubted.follow_chunk(5, DATA);
        assert!(doubted.is_in_chunks() && !doubted.is_in_told_chunk(1_200), "a length besides");
    }

    #[test]
    fn a_head_seen_again_leaves_its_chunks_as_they_are_and_a_newer_one_ends_them() {
        let mut way = told(1_100);
        way.follow_chunk(5, DATA);
        let followed = way.chunk();
        way.begin(1_000, state::MEASURE);
        way.note_chunked(false);
        way.conclude(1_100);
        way.finish();
        assert_eq!((way.expect, way.chunk()), (1_605, followed));
        assert!(way.is_in_told_chunk(1_200));
        way.begin(1_605, 0);
        way.conclude(1_700);
        assert!(way.is_expected_at(1_700) && !way.is_in_chunks());
    }

    #[test]
    fn a_head_inside_of_a_chunk_leaves_what_follows_it_known() {
        let mut way = Direction::default();
        way.begin(1_000, state::MEASURE);
        way.conclude(1_100);
        way.finish();
        way.follow_chunk(5, DATA);
        let followed = way.chunk();
        way.begin(1_300, 0);
        way.conclude(1_400);
        way.finish();
        assert_eq!((way.expect, way.chunk()), (1_605, followed));
        way.begin(1_500, 0);
        way.conclude(1_700);
        assert!(way.is_expected_at(1_700), "one that reaches beyond it is a head");
    }

    #[test]
    fn what_is_no_chunk_is_forgotten() {
        let mut way = told(1_100);
        way.follow_chunk(5, DATA);
        way.follow_chunk(1, Chunk { phase: Phase::Broken, size: 0 });
        assert_eq!(way.expectation(1_605, 10, LIMIT), Expectation::None);
        assert!(!way.is_in_chunks() && !way.is_in_told_chunk(1_200));
    }
}
