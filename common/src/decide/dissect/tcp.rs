//! TCP, the last layer: ports, numbers, flags, and where the payload lies.

use super::{Dissection, Layer};
use crate::decide::frame::{Frame, Memory};
use crate::verdict::Verdict;

impl<F: Frame, M: Memory> Dissection<'_, F, M> {
    #[inline(always)]
    pub(super) fn tcp(&mut self) -> Result<Layer, Verdict> {
        let [p0, p1, p2, p3, s0, s1, s2, s3] = self.load(0).ok_or(Verdict::MalformedTcp)?;
        let [a0, a1, a2, a3, data_offset, flags, _, _] = self.load(8).ok_or(Verdict::MalformedTcp)?;
        let header_len = u32::from(data_offset >> 4) * 4;
        let cursor = self.work.cursor;
        // What other fragments hold comes as segments of its own.
        let end = if cursor.fragment != 0 { cursor.hand } else { cursor.end };
        let payload = cursor.offset + header_len;
        if header_len < 20 || payload > end || cursor.offset + 20 > cursor.hand {
            return Err(Verdict::MalformedTcp);
        }
        let record = &mut self.work.record;
        record.src_port = u16::from_be_bytes([p0, p1]);
        record.dst_port = u16::from_be_bytes([p2, p3]);
        record.seq = u32::from_be_bytes([s0, s1, s2, s3]);
        record.ack = u32::from_be_bytes([a0, a1, a2, a3]);
        record.tcp_flags = flags;
        record.segment_len = end - payload;
        self.work.payload = payload;
        self.captured(cursor.hand);
        if cursor.fragment != 0 {
            self.remember();
        }
        Ok(Layer::End)
    }

    /// Notes how much of the payload can be read, `hand` being where it ends at the latest.
    #[inline(always)]
    pub(super) fn captured(&mut self, hand: u32) {
        let near = self.frame.near_len() as u32;
        let captured = if hand <= near { hand } else { self.frame.captured_len().min(hand) };
        self.work.captured = captured.saturating_sub(self.work.payload);
    }
}
