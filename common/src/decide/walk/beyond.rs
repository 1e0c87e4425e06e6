//! What of a segment is handed over though nothing is known of it, as the order of its direction is broken.

use super::super::flow::NO_WAY;
use super::super::frame::{Frame, Sink};
use super::super::plan::{self, Mode};
use super::Walk;
use crate::record::RecordKind;

impl<F: Frame, S: Sink<F>> Walk<'_, F, S> {
    /// Where the order is broken, plans what is left of a segment of which nothing else is known: what is behind the bytes handed
    /// over, then what is before them; whether anything is.
    #[inline(always)]
    pub fn go_beyond(&mut self) -> bool {
        let left = u32::from(self.direction().disorder);
        let work = &mut *self.work;
        let is_broken = left != 0 && work.way != NO_WAY;
        if is_broken && work.mode != Mode::Disorder as u32 && work.told < work.captured {
            work.at = work.told;
            work.left = left;
        } else if is_broken && work.before != 0 {
            work.at = 0;
            work.left = left.min(work.before);
            work.before = 0;
        } else {
            return false;
        }
        work.plan = plan::COPY;
        work.skip = 0;
        work.mode = Mode::Disorder as u32;
        work.kind = RecordKind::Continuation as u32;
        work.lost = 0;
        true
    }

    /// Notes in the record in hand what was due before it, and that so much less may be handed over unasked.
    #[inline(always)]
    pub(super) fn note_due(&mut self) {
        let (bytes, is_unasked) =
            (u32::from(self.work.record.copied), self.work.mode == Mode::Disorder as u32);
        let mut due = self.work.due;
        if is_unasked {
            let way = self.direction();
            way.disorder = way.disorder.saturating_sub(bytes as u16);
            due = way.due();
        }
        self.work.record.due = due;
        self.work.due = 0;
    }
}
