//! What stands where something should: the next head of a direction, or what is around the chunks before it.

use super::super::detect::{Expected, detect_expected};
use super::super::flow::state;
use super::super::frame::{Frame, Sink};
use super::super::plan::{self, Mode};
use super::super::search::{Phase, is_hex_digit, read_chunk};
use super::Walk;

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
        let may_be_chunk = way.may_begin_chunks_at(seq);
        let is_told = may_be_chunk & way.is_told_chunked();
        let found = detect_expected(self.frame, offset, len);
        let Some(found) = found.filter(|found| !is_told || self.is_rather_head(offset, *found)) else {
            if may_be_chunk {
                self.work.chunks = 1;
                return true;
            }
            self.direction().disappoint(seq);
            return self.pushed();
        };
        if !self.direction().is_expected_at(seq) {
            self.start_at(found.lead, Mode::from_u32(self.work.mode).next());
            return true;
        }
        self.start_at(found.lead, Mode::Begin);
        self.begin_head();
        if !found.is_sure {
            self.direction().state |= state::DOUBT;
        }
        true
    }

    /// Whether a head begins where a size should: the head before it may be one that tells of a body that does not come.
    #[inline(always)]
    fn is_rather_head(&mut self, offset: u32, found: Expected) -> bool {
        found.is_sure || !self.frame.load(offset).is_some_and(|[byte]| is_hex_digit(byte))
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
        let segment_seq = self.work.record.segment_seq;
        let is_out_of_steps = self.work.chunk_steps == 0;
        let way = self.direction();
        if is_out_of_steps && way.is_in_chunks() {
            way.disappoint(way.expect);
        }
        let (is_known, is_in_chunks) = (way.state & state::EXPECT != 0, way.is_in_chunks());
        let at = way.expect.wrapping_sub(segment_seq);
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

    /// A head that follows right behind the empty line, or behind the body where that ends here as well, is looked for.
    #[inline(always)]
    pub(super) fn next_head(&mut self) -> bool {
        let (at, captured) = (self.work.at, self.work.captured);
        let segment_seq = self.work.record.segment_seq;
        let is_early = self.work.mode == Mode::Early as u32;
        let way = self.direction();
        let place = way.expect.wrapping_sub(segment_seq);
        let is_here = way.state & state::EXPECT != 0 && place >= at;
        if is_here {
            self.work.at = place;
        }
        let looks = if is_here { place < captured } else { at < captured && !is_early };
        self.work.look = u32::from(looks);
        looks
    }

    /// Plans the mark of a segment of which nothing was copied after all; false where it needs none.
    #[inline(always)]
    fn pushed(&mut self) -> bool {
        let is_needed = self.work.plan & plan::PUSHED != 0 && self.work.rank == 0;
        self.work.plan = if is_needed { plan::MARK } else { 0 };
        is_needed
    }
}
