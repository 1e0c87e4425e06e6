//! The flow memory: which connections speak HTTP, and where each direction's head in progress continues.
//!
//! A table of small sets: the flow hash picks the set, by a key of this run, its upper half is the tag, a newer connection takes the slot of one
//! that speaks no HTTP, else of an older one without a head in progress. Both halves use the same size, so both forget alike.

mod chunks;
mod direction;
mod early;
mod expect;
mod order;

pub use direction::{Direction, Place, state};
pub use early::{Lead, Stretch};
pub use expect::Expectation;

use super::hash::place;
use crate::limits::FLOW_SET_COUNT;

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

const _: () = assert!(size_of::<Direction>() == 64, "a direction is as large as a cache line");
const _: () =
    assert!(size_of::<Set>() == 64 * (2 * WAY_COUNT + 1), "the tags share a cache line of their own");
const _: () = assert!(WAY_COUNT.is_power_of_two());

impl Slot {
    /// One of the directions, by the lowest bit; without a branch, as each way would be followed through all that comes.
    #[inline(always)]
    pub const fn direction(&mut self, direction: u32) -> &mut Direction {
        &mut self.directions[direction as usize & 1]
    }

    /// A connection begins in this direction: a new one on the ends of one that is over, or that began elsewhere, ends what is known of
    /// that. What begins where its `ack` says, if any, is of the new one.
    #[inline(always)]
    pub fn open(&mut self, direction: u32, first_seq: u32, ack: Option<u32>) {
        let way = self.direction(direction);
        let was_http = way.is_http();
        let is_new = way.open(first_seq);
        let other = self.direction(direction ^ 1);
        let is_named = ack.is_some_and(|ack| other.begins_behind(ack));
        if is_new && !is_named && (was_http || other.state & state::CLOSED != 0) {
            *other = Direction::default();
        }
    }

    /// Notes that the connection was closed or reset.
    #[inline(always)]
    pub const fn close(&mut self) {
        let [a, b] = &mut self.directions;
        a.state |= state::CLOSED;
        b.state |= state::CLOSED;
    }

    /// Heads in progress.
    #[inline(always)]
    pub const fn head_count(&self) -> u64 {
        let [a, b] = &self.directions;
        (a.state & state::HEAD) as u64 / 2 + (b.state & state::HEAD) as u64 / 2
    }

    /// Whether a head was seen in either direction.
    #[inline(always)]
    pub const fn is_http(&self) -> bool {
        let [a, b] = &self.directions;
        (a.state | b.state) & state::HTTP != 0
    }
}

impl Set {
    /// The set of a flow, by `Config::memory_key`.
    #[inline(always)]
    pub const fn index(hash: u64, key: u64) -> u32 {
        place(hash, key, FLOW_SET_COUNT)
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

    /// Gives a flow a slot: a free one, else that of a connection that speaks no HTTP, else of one without a head in
    /// progress, in turn. Returns the way and the heads in progress that were given up for it.
    #[inline(always)]
    pub fn take(&mut self, tag: u32) -> (u32, u64) {
        let mut way = self.silent();
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
        self.give(way, tag);
        (way, given_up)
    }

    /// Gives a flow that may speak HTTP a slot that nobody needs; `NO_WAY` where there is none.
    #[inline(always)]
    pub fn take_idle(&mut self, tag: u32) -> u32 {
        let way = self.silent();
        if way != NO_WAY {
            self.give(way, tag);
        }
        way
    }

    /// A free way, else, in turn, one of a connection that speaks no HTTP.
    #[inline(always)]
    fn silent(&mut self) -> u32 {
        let mut way = self.find(0);
        let mut nth = 0;
        while nth < WAY_COUNT && way == NO_WAY {
            let candidate = self.hand.wrapping_add(nth as u32) % WAY_COUNT as u32;
            if !self.slot(candidate).is_http() {
                way = candidate;
                self.hand = candidate + 1;
            }
            nth += 1;
        }
        way
    }

    #[inline(always)]
    fn give(&mut self, way: u32, tag: u32) {
        *self.slot(way) = Slot::default();
        self.tags[way as usize % WAY_COUNT] = tag;
    }
}

#[cfg(test)]
mod set_tests {
    use super::*;

    #[test]
    fn a_connection_with_a_head_in_progress_keeps_its_slot() {
        let mut set = Set::default();
        for tag in [1, 3, 5, 7] {
            let (way, given_up) = set.take(tag);
            assert_eq!(given_up, 0);
            set.slot(way).directions[0].state = state::HTTP;
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
    fn a_new_connection_ends_what_is_known_of_the_one_before_on_its_ends() {
        let mut slot = Slot::default();
        let of_http =
            Direction { state: state::HTTP | state::EXPECT, begin: 90, expect: 100, ..Direction::default() };
        slot.directions = [Direction::default(), of_http];
        slot.open(0, 70_000, None);
        assert_eq!(slot.directions[1], of_http, "it is this one's");
        slot.directions = [of_http; 2];
        slot.open(0, 70_000, None);
        assert_eq!(slot.directions[1], Direction::default(), "another one's SYN");
        slot.directions = [of_http; 2];
        slot.open(0, 70_000, Some(90));
        assert_eq!(slot.directions[1], of_http, "it answers this one");
        slot.directions = [Direction::default(), of_http];
        slot.close();
        slot.open(0, 70_000, None);
        assert_eq!((slot.directions[0].expect, slot.directions[1]), (70_000, Direction::default()));
        slot.close();
        slot.directions[1].state |= state::HTTP;
        let known = slot;
        slot.open(0, 70_000, None);
        assert_eq!(slot, known, "a late copy of its SYN");
    }

    #[test]
    fn idle_connections_leave_in_turn() {
        let mut set = Set::default();
        let mut take = |nth: u32| {
            let way = set.take(2 * nth + 1).0;
            set.slot(way).directions[0].state = state::HTTP;
            way
        };
        let ways: Vec<u32> = (0..12).map(&mut take).collect();
        assert_eq!(ways, [0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3]);
    }
}
