//! The flow memory: which connections speak HTTP, and where each direction's head in progress continues.
//!
//! A table of small sets: the flow hash picks the set, its upper half is the tag, a newer connection takes the slot of an
//! older one that has no head in progress. Both halves use the same size, so both forget alike.

use crate::limits::{FLOW_SET_COUNT, HEAD_BYTES_MAX};

/// Bits of `Direction::state`.
pub mod state {
    /// At least one head was seen in this direction.
    pub const HTTP: u32 = 1;
    /// A head is in progress: `next_seq`, `head_bytes` and `line` say where.
    pub const HEAD: u32 = 2;
    /// Bytes behind a gap were seen: `ahead_from` to `ahead_to`.
    pub const AHEAD: u32 = 4;
    /// The head ends at `ahead_to`.
    pub const AHEAD_ENDED: u32 = 8;
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
    pub line: u32,
    /// First sequence number seen behind a gap.
    pub ahead_from: u32,
    /// Sequence number behind those bytes.
    pub ahead_to: u32,
    /// What they ended with.
    pub ahead_line: u16,
    /// Bytes of gaps that may still come late, as far as they fit.
    pub owed: u16,
    /// Sequence number behind the last payload byte seen, on a connection that is followed; zero before the first.
    pub reached: u32,
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
}

impl Direction {
    /// Places a segment that begins at `seq`; `reach` is the head limit.
    #[inline(always)]
    pub fn place(&self, seq: u32, reach: u32) -> Place {
        if self.state & state::HEAD == 0 {
            return Place::Apart;
        }
        let ahead = seq.wrapping_sub(self.next_seq);
        let before = ahead.wrapping_neg();
        if ahead == 0 {
            Place::Next
        } else if ahead <= reach {
            let ended =
                self.state & state::AHEAD_ENDED != 0 && seq.wrapping_sub(self.ahead_to) <= HEAD_BYTES_MAX;
            if ended { Place::Apart } else { Place::Behind }
        } else if before <= reach {
            Place::Before(before)
        } else {
            Place::Apart
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

    /// The head in progress is over.
    #[inline(always)]
    pub fn finish(&mut self) {
        self.state = state::HTTP;
    }

    /// The head in progress goes on at `next_seq`, or, where that was seen already, behind it.
    #[inline(always)]
    pub fn advance(&mut self, next_seq: u32, head_bytes: u32, line: u32) {
        let reached =
            self.state & state::AHEAD != 0 && next_seq.wrapping_sub(self.ahead_from) <= HEAD_BYTES_MAX;
        if reached && self.state & state::AHEAD_ENDED != 0 {
            return self.finish();
        }
        let jump = reached && self.ahead_to.wrapping_sub(next_seq) <= HEAD_BYTES_MAX;
        self.next_seq = if jump { self.ahead_to } else { next_seq };
        self.line = if jump { u32::from(self.ahead_line) } else { line };
        self.head_bytes = head_bytes;
        self.state = if reached { state::HTTP | state::HEAD } else { self.state | state::HTTP | state::HEAD };
    }

    /// A head begins in place of whatever was in progress, and goes on at `next_seq`.
    #[inline(always)]
    pub fn begin(&mut self, next_seq: u32, head_bytes: u32, line: u32) {
        self.state = 0;
        self.advance(next_seq, head_bytes, line);
    }

    /// Bytes behind a gap were seen, `line` at their end. Only one stretch is kept: the first, grown where it is
    /// continued, ended by whatever ends the head first.
    #[inline(always)]
    pub fn note_ahead(&mut self, from: u32, to: u32, line: u32) {
        if self.state & state::AHEAD == 0 {
            self.ahead_from = from;
        } else if from != self.ahead_to {
            return;
        }
        self.state |= state::AHEAD;
        self.ahead_to = to;
        self.ahead_line = line as u16;
    }

    /// The head in progress ends at `to`, seen behind a gap that begins before `from`.
    #[inline(always)]
    pub fn note_ahead_end(&mut self, from: u32, to: u32) {
        if self.state & state::AHEAD_ENDED != 0 {
            return;
        }
        if self.state & state::AHEAD == 0 {
            self.ahead_from = from;
        }
        self.state |= state::AHEAD | state::AHEAD_ENDED;
        self.ahead_to = to;
    }
}

/// One connection.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    /// By `FlowHash::direction`.
    pub directions: [Direction; 2],
}

/// Connections one set holds.
pub const WAY_COUNT: usize = 4;

/// `Work::way` of a flow that has no slot.
pub const NO_WAY: u32 = WAY_COUNT as u32;

/// The connections whose hash names the same place; their tags together, so that one cache line tells that a flow is
/// none of them.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Set {
    /// Upper half of each flow hash, its lowest bit set; zero where the slot is free.
    pub tags: [u32; WAY_COUNT],
    /// Where the search for the next slot to give away begins.
    pub hand: u32,
    /// Zero.
    pub reserved: [u32; 11],
    /// The connections.
    pub slots: [Slot; WAY_COUNT],
}

const _: () = assert!(size_of::<Slot>() == 64, "a slot is as large as a cache line");
const _: () = assert!(size_of::<Set>() == 64 * (WAY_COUNT + 1), "the tags share a cache line of their own");
const _: () = assert!(WAY_COUNT.is_power_of_two());

impl Slot {
    /// One of the directions (0 or another number).
    #[inline(always)]
    pub const fn direction(&mut self, direction: u32) -> &mut Direction {
        let [a, b] = &mut self.directions;
        if direction == 0 { a } else { b }
    }

    /// Heads in progress.
    #[inline(always)]
    pub const fn head_count(&self) -> u64 {
        let [a, b] = &self.directions;
        (a.state & state::HEAD) as u64 / 2 + (b.state & state::HEAD) as u64 / 2
    }
}

impl Set {
    /// The set of a flow.
    #[inline(always)]
    pub const fn index(hash: u64) -> u32 {
        hash as u32 & (FLOW_SET_COUNT as u32 - 1)
    }

    /// What tells this flow from others of its set.
    #[inline(always)]
    pub const fn tag_of(hash: u64) -> u32 {
        (hash >> 32) as u32 | 1
    }

    /// The way that holds a flow, or `NO_WAY`.
    #[inline(always)]
    pub fn find(&self, tag: u32) -> u32 {
        let [a, b, c, d] = self.tags;
        if a == tag {
            0
        } else if b == tag {
            1
        } else if c == tag {
            2
        } else if d == tag {
            3
        } else {
            NO_WAY
        }
    }

    /// The slot of a way; of `NO_WAY`, one that the caller must not rely on.
    #[inline(always)]
    pub fn slot(&mut self, way: u32) -> &mut Slot {
        &mut self.slots[way as usize % WAY_COUNT]
    }

    /// Gives a flow a slot: a free one, else that of a connection without a head in progress, in turn. Returns the way
    /// and the heads in progress that were given up for it.
    #[inline(always)]
    pub fn take(&mut self, tag: u32) -> (u32, u64) {
        let mut way = self.find(0);
        let mut nth = 0;
        while nth < WAY_COUNT && way == NO_WAY {
            let candidate = self.hand % WAY_COUNT as u32;
            self.hand = candidate + 1;
            let is_last = nth + 1 == WAY_COUNT;
            if is_last || self.slot(candidate).head_count() == 0 {
                way = candidate;
            }
            nth += 1;
        }
        let given_up = self.slot(way).head_count();
        *self.slot(way) = Slot::default();
        self.tags[way as usize % WAY_COUNT] = tag;
        (way, given_up)
    }
}

#[cfg(test)]
mod set_tests {
    use super::*;

    #[test]
    fn a_connection_with_a_head_in_progress_keeps_its_slot() {
        let mut set = Set::default();
        for tag in [1, 3, 5, 7] {
            assert_eq!(set.take(tag).1, 0);
        }
        for way in 0..3 {
            set.slot(way).directions[0].state = state::HTTP | state::HEAD;
        }
        assert_eq!(set.take(9), (3, 0), "the only one without");
        assert_eq!((set.find(7), set.find(9)), (NO_WAY, 3));
        set.slot(3).directions[1].state = state::HTTP | state::HEAD;
        assert_eq!(set.take(11).1, 1, "all have one: one goes, counted");
        assert_ne!(set.find(11), NO_WAY);
    }

    #[test]
    fn idle_connections_leave_in_turn() {
        let mut set = Set::default();
        let ways: Vec<u32> = (0..12).map(|nth| set.take(2 * nth + 1).0).collect();
        assert_eq!(ways, [0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3]);
    }
}
