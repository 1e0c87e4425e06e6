//! How far the body behind the head in hand reaches: what its field lines say, whole in this segment or cut by its ends.

use super::super::frame::{BLOCK_BYTES, Frame, Sink};
use super::super::plan::Mode;
use super::super::search::{Cut, FIELD_BYTES, Length, is_chunked, read_cut, search_length};
use super::{ENDED, Walk};

impl<F: Frame, S: Sink<F>> Walk<'_, F, S> {
    /// Whether the slice in hand is still to be searched for a length.
    #[inline(always)]
    pub const fn is_measuring(&self) -> bool {
        self.work.scan < self.work.scan_end || self.work.field < self.work.field_end
    }

    /// Searches some more of the head for how far its body reaches; whether that is over.
    #[inline(always)]
    pub fn measure(&mut self) -> bool {
        let (scan, end) = (self.frame.opaque(self.work.scan), self.frame.opaque(self.work.scan_end));
        self.work.scan = match search_length(self.frame, scan, end) {
            Length::None => end,
            Length::Behind(behind) => behind,
            Length::Found(body_bytes, behind) => {
                let is_early = self.is_early();
                self.direction().note_length(body_bytes, is_early);
                behind
            }
            Length::Coding(at) => {
                self.work.coding = at;
                at + 1
            }
        };
        self.work.coding == 0 && !self.is_measuring()
    }

    /// Whether the slice in hand is behind a gap.
    #[inline(always)]
    const fn is_early(&self) -> bool {
        self.work.mode == Mode::Early as u32 || self.work.mode == Mode::Ahead as u32
    }

    /// Tells whether the body comes in chunks, by the field that the search for its length met; whether that is over.
    #[inline(always)]
    pub fn coding(&mut self) -> bool {
        let (at, end) = (self.frame.opaque(self.work.coding), self.frame.opaque(self.work.scan_end));
        self.work.coding = 0;
        if is_chunked(self.frame, at, end) {
            let is_early = self.is_early();
            self.direction().note_chunked(is_early);
        }
        !self.is_measuring()
    }

    /// Reads some more of a line that segments cut, where that may tell how far the body reaches; whether that is over.
    #[inline(always)]
    pub fn field(&mut self) -> bool {
        if self.work.field_tail == UNSET {
            self.cut_lines();
        }
        let place = (self.frame.opaque(self.work.field), self.frame.opaque(self.work.field_end));
        let cut = self.direction().cut();
        let (read, cut) = read_cut(self.frame, place, cut);
        self.direction().note_cut(cut);
        let work = &mut *self.work;
        work.field += read;
        if cut.progress == Cut::DONE {
            work.field_end = 0;
        } else if work.field >= work.field_end && work.field_tail != 0 {
            work.field = work.field_tail;
            work.field_end = work.field_tail + FIELD_BYTES;
            work.field_tail = 0;
            self.direction().note_cut(Cut::NONE);
        }
        !self.is_measuring()
    }

    /// Notes what of the next `bytes`, of which `skip` came before, is to be searched for a length: all, and by itself what may
    /// be of lines that begin in an earlier segment or end in a later one.
    #[inline(always)]
    pub(super) fn note_search(&mut self, bytes: u32, skip: u32) {
        let segment_seq = self.work.record.segment_seq;
        let way = self.direction();
        let [in_order, again, early] = way.measures(segment_seq);
        let is_begun = u32::from(way.cut().progress != Cut::INSIDE);
        let begin = way.begin;
        let work = &mut *self.work;
        let (is_repeat, is_early) =
            (u32::from(work.mode == Mode::Repeat as u32), u32::from(work.mode == Mode::Early as u32));
        let is_ahead = u32::from(work.mode == Mode::Ahead as u32);
        let is_aside = is_repeat | u32::from(work.mode == Mode::Disorder as u32);
        let searches = (in_order & (is_aside ^ 1)) | (again & is_repeat) | (early & is_early);
        let end = work.offset + bytes;
        // The search needs a block in front of the end: of a later fragment there may be less.
        let is_near = u32::from(end < BLOCK_BYTES as u32);
        let is_cut = in_order
            & (is_begun | u32::from(work.next != ENDED) | is_near)
            & ((is_aside | is_early | is_ahead) ^ 1);
        // Of what came again with it some may be of the message before.
        let before = begin.wrapping_sub(segment_seq).wrapping_sub(work.at);
        let begins_here = u32::from(before < 1 << 31) & u32::from(skip != 0);
        work.scan = work.offset + begins_here * if before < bytes { before } else { bytes };
        work.field = work.offset + skip;
        work.field_tail = UNSET;
        // Each way alone would be followed through all that comes.
        work.scan_end = self.frame.opaque(end * searches);
        work.field_end = self.frame.opaque(end * is_cut);
    }

    /// Sets up the reading of such lines.
    #[inline(always)]
    fn cut_lines(&mut self) {
        let is_begun = self.direction().cut().progress != Cut::INSIDE;
        let work = &mut *self.work;
        let (from, end) = (work.field, work.field_end);
        let is_short = end - from <= FIELD_BYTES;
        work.field_tail = if is_short || work.next == ENDED { 0 } else { end - FIELD_BYTES };
        if is_begun && !is_short {
            work.field_end = from + FIELD_BYTES;
        } else if !is_short {
            work.field = work.field_tail;
            work.field_tail = 0;
        }
    }
}

/// `Work::field_tail`: the reading of cut lines is still to be set up.
const UNSET: u32 = 1;
