//! What stands where something should: the next head of a direction, or what is around the chunks before it.

use super::super::detect::{Expected, detect_expected};
use super::super::flow::state;
use super::super::frame::{Frame, Sink};
use super::super::plan::{self, Mode};
use super::super::search::{Phase, is_hex_digit, read_chunk};
use super::{OPEN, Walk};

impl<F: Frame, S: Sink<F>> Walk<'_, F, S> {
    /// Looks whether a head begins at the place reached: where one should, it is one of this direction, and more is believed.
    #[inline(always)]
    pub fn look(&mut self) -> bool {
        self.work.look = 0;
        let work = &mut *self.work;
        let (offset, len) = (work.payload + work.at, work.captured.saturating_sub(work.at));
        let seq = work.record.segment_seq.wrapping_add(work.at);
        let way = self.direction();
        if way.is_in_chunks() && way.expect == seq {
            self.work.chunks = 1;
            return true;
        }
        let may_be_chunk = u32::from(way.may_begin_chunks_at(seq));
        let is_told = may_be_chunk & u32::from(way.is_told_chunked());
        let has_other = u32::from(way.has_other_than(seq));
        // Who answers does not ask, unless it is told in so many words.
        let is_answering = u32::from(way.state & state::ANSWER != 0);
        let is_expected = u32::from(way.is_expected_at(seq));
        let is_due = is_expected | u32::from(way.due_within(seq, 1).is_some());
        let (is_open, is_aside) = (u32::from(self.work.next == OPEN), u32::from(is_aside(self.work.mode)));
        // Where a size should stand, or a body, the head before may be one that tells of a body that does not come.
        let must_be_sure = (is_aside & (is_due ^ 1)) | (is_open & (is_aside ^ 1));
        let may_be_size =
            is_told & u32::from(self.frame.load(offset).is_some_and(|[byte]| is_hex_digit(byte)));
        // Each way alone would be followed through all that comes.
        let must_be_sure = self.frame.opaque(must_be_sure | may_be_size);
        let (may_be_chunk, has_other) = (self.frame.opaque(may_be_chunk), self.frame.opaque(has_other));
        let found = detect_expected(self.frame, offset, len);
        let none = Expected { lead: 0, is_sure: false, is_status: false };
        let Expected { lead, is_sure, is_status } = found.unwrap_or(none);
        let must_be_sure = must_be_sure | ((has_other | is_answering) & u32::from(!is_status));
        let is_found = u32::from(found.is_some()) & (u32::from(is_sure) | (must_be_sure ^ 1));
        let (is_found, lead) = (self.frame.opaque(is_found), self.frame.opaque(lead));
        let is_sure = self.frame.opaque(u32::from(is_sure));
        if is_found == 0 {
            if may_be_chunk != 0 {
                self.work.chunks = 1;
                return true;
            }
            let way = self.direction();
            way.disappoint(seq);
            // Right behind a head that came again none may begin, and where the next one should, one.
            let is_ahead = is_aside & u32::from(way.is_expected_behind(seq));
            return if has_other | is_ahead != 0 { self.look_at_other() } else { self.pushed() };
        }
        if !self.direction().is_expected_at(seq) || self.direction().is_begun_at(seq) {
            // A request behind one that is late: the client did not wait.
            let is_asked = u32::from(self.work.mode == Mode::Early as u32) & u32::from(!is_status);
            self.direction().state |= state::PIPELINED * is_asked;
            self.start_at(lead, Mode::from_u32(self.work.mode).next());
            return true;
        }
        self.start_at(lead, Mode::Begin);
        self.begin_head();
        self.direction().state |= state::DOUBT * (is_sure ^ 1);
        true
    }

    /// Looks at the place where a head should begin otherwise, if that is in this segment.
    #[inline(always)]
    fn look_at_other(&mut self) -> bool {
        let segment_seq = self.work.record.segment_seq;
        let at = self.direction().expect.wrapping_sub(segment_seq);
        if at >= self.work.captured {
            return self.pushed();
        }
        self.work.at = at;
        self.work.look = 1;
        true
    }

    /// Reads some more of what is around chunks, at the place reached; goes on to the next of it, or to the head behind
    /// them, where that is in this segment.
    #[inline(always)]
    pub fn chunk(&mut self) -> bool {
        let work = &mut *self.work;
        work.chunks = 0;
        work.chunk_steps = work.chunk_steps.saturating_sub(1);
        let (from, end) = (work.payload + work.at, work.payload + work.captured);
        let place = (self.frame.opaque(from), self.frame.opaque(end));
        let chunk = self.direction().chunk();
        let (bytes, chunk) = read_chunk(self.frame, place, chunk);
        self.direction().follow_chunk(bytes, chunk);
        let (segment_seq, segment_len) = (self.work.record.segment_seq, self.work.record.segment_len);
        let is_out_of_steps = self.work.chunk_steps == 0;
        let way = self.direction();
        if is_out_of_steps && way.is_in_chunks() {
            way.disappoint(way.expect);
        }
        let (is_known, is_in_chunks) = (way.state & state::EXPECT != 0, way.is_in_chunks());
        let at = way.expect.wrapping_sub(segment_seq);
        if at >= segment_len {
            way.miss_chunk();
        }
        let work = &mut *self.work;
        if !is_known || at >= work.captured {
            work.is_over = u32::from(chunk.phase == Phase::Over && at == work.record.segment_len);
            return self.pushed();
        }
        work.at = at;
        work.chunks = u32::from(is_in_chunks);
        work.look = u32::from(!is_in_chunks);
        true
    }

    /// Behind a segment that belongs to a head by all that is known: a head that should begin in it is looked for.
    #[inline(always)]
    pub(super) fn look_within(&mut self) -> bool {
        let segment_seq = self.work.record.segment_seq;
        let captured = self.work.captured;
        let way = self.direction();
        let is_expected = way.state & state::EXPECT != 0 && !way.is_in_chunks() && way.expect != way.begin;
        let at = way.expect.wrapping_sub(segment_seq);
        if !is_expected || at >= captured {
            return false;
        }
        self.work.at = at;
        self.work.look = 1;
        true
    }

    /// A head that follows right behind the empty line, or behind the body where that ends here as well, is looked for.
    #[inline(always)]
    pub(super) fn next_head(&mut self) -> bool {
        let (at, captured) = (self.work.at, self.work.captured);
        let segment_seq = self.work.record.segment_seq;
        let way = self.direction();
        let place = way.expect.wrapping_sub(segment_seq);
        let is_here = way.state & state::EXPECT != 0 && place.wrapping_sub(at) < 1 << 31;
        if is_here && !is_aside(self.work.mode) {
            self.work.at = place;
        }
        let looks = self.work.at < captured;
        self.work.look = u32::from(looks);
        looks
    }

    /// Plans the mark of a segment of which nothing was copied after all, or with which the chunks behind its head end; false
    /// where it needs none.
    #[inline(always)]
    fn pushed(&mut self) -> bool {
        let is_silent = self.work.rank == 0;
        let is_needed =
            self.work.plan & plan::PUSHED != 0 && is_silent || self.work.is_over != 0 && !is_silent;
        self.work.plan = if is_needed { plan::MARK } else { 0 };
        is_needed
    }
}

/// Whether a region tells nothing of where the next head begins, so that it may be right behind it.
#[inline(always)]
const fn is_aside(mode: u32) -> bool {
    mode == Mode::Repeat as u32 || mode == Mode::Early as u32
}
