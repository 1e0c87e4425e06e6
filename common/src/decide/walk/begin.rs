//! A head begins: what its first bytes say of its direction, and of the other one.

use super::super::flow::state;
use super::super::frame::{Frame, Sink};
use super::Walk;
use crate::record::tcp_flag;

impl<F: Frame, S: Sink<F>> Walk<'_, F, S> {
    /// A head begins at the place reached: this direction follows it, the other one is expected to answer.
    #[inline(always)]
    pub(super) fn begin_head(&mut self) {
        let seq = self.work.record.segment_seq.wrapping_add(self.work.at);
        let ack = self.work.record.ack;
        let begin = self.work.payload + self.work.at;
        let method = self.frame.load(begin).map_or(0, u32::from_le_bytes);
        // Of fewer bytes the first ones tell, as far as they go: a single one may be HEAD's as well.
        let is_cut = method == 0 && self.frame.load(begin) == Some([b'H']);
        let second = self.frame.load(begin + 1).map_or(0, u8::from_le_bytes);
        let is_status = method | CASE == word(b"http") || (is_cut && second != b'E');
        let may_ask = !is_status || (is_cut && second == 0);
        let has_body = if is_status {
            // RFC 9112 section 6.3: behind these comes none, whatever they tell.
            let status = self.frame.load(begin + STATUS_AT).map_or(0, u32::from_le_bytes);
            status != word(b" 304") && status != word(b" 204") && status & 0xffff != word(b" 1\0\0")
        } else {
            method != word(b"GET ") && method != word(b"HEAD")
        };
        self.expect_answer();
        let slot = self.set.slot(self.work.way);
        let other = slot.direction(self.work.direction ^ 1);
        let measures = has_body && (!is_status || other.may_be_pipelined());
        let has_unread = other.has_unread(ack);
        other.answered(is_status && other.is_read(ack));
        let way = slot.direction(self.work.direction);
        self.work.due = way.due_before(seq);
        way.lose_order(self.work.due != 0);
        if way.is_expected_at(seq) {
            way.mend_order(self.work.record.segment_seq.wrapping_add(self.work.record.segment_len));
        }
        if may_ask {
            way.ask(seq, has_unread, self.work.due != 0);
        }
        let answer = if is_status { state::ANSWER } else { 0 };
        way.begin(seq, answer | if measures { state::MEASURE } else { 0 });
    }

    /// The other direction is expected to answer what comes here.
    #[inline(always)]
    pub(super) fn expect_answer(&mut self) {
        if self.work.record.tcp_flags & tcp_flag::ACK != 0 {
            let ack = self.work.record.ack;
            self.set.slot(self.work.way).direction(self.work.direction ^ 1).expect_behind(ack);
        }
    }
}

/// Bytes of a status line before the blank in front of its code.
const STATUS_AT: u32 = 8;

/// The case bits of four letters.
const CASE: u32 = 0x2020_2020;

#[inline(always)]
const fn word(text: &[u8; 4]) -> u32 {
    u32::from_le_bytes(*text)
}
