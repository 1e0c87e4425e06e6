//! Fragments of one IP datagram become segments of one connection: the first says whose bytes they are and where in the
//! stream, and the others, as long as they come in order, say how far they are from it.
//!
//! Works for fragmented TCP and for fragmented tunnels alike. Invariant: a fragment that does not begin exactly where the
//! one before ended belongs to nothing, so bytes are never put where they are not.

use super::Dissection;
use crate::decide::frame::{Frame, Memory};
use crate::decide::hash::place;
use crate::limits::{DATAGRAM_COUNT, DATAGRAM_NS_MAX};
use crate::record::{Record, tcp_flag};

/// A datagram whose first fragment held the head of a TCP segment. All zero: none.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Datagram {
    /// What names it; zero where the place is free.
    key: u64,
    /// Time of its first fragment.
    ts_ns: u64,
    /// Where in its payload the next fragment must begin.
    next: u32,
    /// Where in its payload that of the segment begins.
    payload: u32,
    /// Where in its payload the segment ends, or `u32::MAX` where only its last fragment says.
    end: u32,
    /// TCP flags of the segment.
    flags: u32,
    /// The record of its first fragment, as far as dissection fills it in.
    record: Record,
}

/// A place without a datagram.
impl Default for Datagram {
    fn default() -> Self {
        let record = crate::decide::Work::new().record;
        Self { key: 0, ts_ns: 0, next: 0, payload: 0, end: 0, flags: 0, record }
    }
}

/// Which part of a datagram a packet is.
pub(super) struct Part {
    pub(super) id: u32,
    /// Bytes in front of it.
    pub(super) offset: u32,
    /// Zero where it is the last.
    pub(super) more: u32,
}

/// Flags that are true at the end of a segment only.
const END_FLAGS: u8 = tcp_flag::FIN | tcp_flag::PSH;

impl<F: Frame, M: Memory> Dissection<'_, F, M> {
    /// Notes that what is being dissected is the first fragment of a datagram.
    #[inline(always)]
    pub(super) fn first_fragment(&mut self, part: &Part, protocol: u8) {
        self.work.cursor.datagram = key(&self.work.record, part.id, protocol);
        let cursor = &mut self.work.cursor;
        cursor.fragment = cursor.offset;
        cursor.fragment_end = cursor.hand;
    }

    /// Remembers for the other fragments what the first one held.
    #[inline(always)]
    pub(super) fn remember(&mut self) {
        let flags = self.work.record.tcp_flags;
        self.work.record.tcp_flags = flags & !END_FLAGS;
        let now_ns = self.frame.now_ns(self.work.record.ts_ns);
        let cursor = self.work.cursor;
        // Nobody sends data with a SYN in fragments; its first byte would not be where the others expect it.
        if flags & tcp_flag::SYN != 0 {
            return;
        }
        let Some(datagram) =
            self.memory.datagram(place(cursor.datagram, self.config.memory_key, DATAGRAM_COUNT))
        else {
            return;
        };
        let is_whole_known = cursor.depth != 0 && cursor.end > cursor.hand;
        datagram.key = cursor.datagram;
        datagram.ts_ns = now_ns;
        datagram.next = cursor.fragment_end - cursor.fragment;
        datagram.payload = self.work.payload - cursor.fragment;
        datagram.end = if is_whole_known { cursor.end - cursor.fragment } else { u32::MAX };
        datagram.flags = u32::from(flags);
        datagram.record = self.work.record;
    }

    /// Makes a segment of a later fragment; false where the one before it is not known.
    #[inline(always)]
    pub(super) fn later_fragment(&mut self, part: &Part, protocol: u8) -> bool {
        let key = key(&self.work.record, part.id, protocol);
        let now_ns = self.frame.now_ns(self.work.record.ts_ns);
        let cursor = self.work.cursor;
        let Some(datagram) = self.memory.datagram(place(key, self.config.memory_key, DATAGRAM_COUNT)) else {
            return false;
        };
        let is_old = now_ns.wrapping_sub(datagram.ts_ns) > DATAGRAM_NS_MAX;
        if datagram.key != key || datagram.next != part.offset || is_old || cursor.fragment != 0 {
            return false;
        }
        let bytes = cursor.hand.saturating_sub(cursor.offset);
        datagram.next = part.offset + bytes;
        let is_last = part.more == 0 || datagram.next >= datagram.end;
        if is_last {
            datagram.key = 0;
        }
        let segment_bytes = datagram.end.saturating_sub(part.offset).min(bytes);
        let record = &mut self.work.record;
        let own = (record.ts_ns, record.ifindex, record.queue);
        *record = datagram.record;
        (record.ts_ns, record.ifindex, record.queue) = own;
        record.seq = record.seq.wrapping_add(part.offset.wrapping_sub(datagram.payload));
        record.segment_len = segment_bytes;
        record.tcp_flags = if is_last { datagram.flags as u8 } else { datagram.flags as u8 & !END_FLAGS };
        self.work.payload = cursor.offset;
        self.captured(cursor.offset + segment_bytes);
        true
    }
}

/// Names a datagram: never zero.
#[inline(always)]
fn key(record: &Record, id: u32, protocol: u8) -> u64 {
    const MIX: u64 = 0x9E37_79B9_7F4A_7C15;
    let (src, dst) = (record.src_ip.words, record.dst_ip.words);
    let mut key = u64::from(id) << 8 | u64::from(protocol);
    for word in [src[0], src[1], dst[0], dst[1]] {
        key = (key ^ word).wrapping_mul(MIX);
        key ^= key >> 29;
    }
    key | 1
}
