//! Which code a value has in its column, told by the value's hash.
//!
//! Open addressing: a look-up is one line of the cache in nearly all cases, and growing needs no value a second time.
//! Invariant: a quarter of the slots is free, so that every search ends.

use super::strings::ABSENT;
use crate::prefetch::prefetch;

/// Slots of the smallest table.
const SLOT_COUNT_MIN: usize = 16;

#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: u32,
    /// Absent in a free slot.
    code: u32,
}

/// Bytes that a code takes here: tables are between three eighths and three quarters full.
pub(super) const CODE_BYTES: usize = 2 * size_of::<Slot>();

/// Entries that a successor is to have room for, of what had so many.
const fn room(entries: usize) -> usize {
    entries + entries / 8
}

/// No entries, and room for about as many.
pub(super) fn successor_of<T>(entries: &[T]) -> Vec<T> {
    Vec::with_capacity(room(entries.len()))
}

const FREE: Slot = Slot { hash: 0, code: ABSENT };

/// Codes by the hash of what they stand for.
#[derive(Debug, Default)]
pub(super) struct Codes {
    /// Their number is zero or a power of two.
    slots: Vec<Slot>,
    count: usize,
}

impl Codes {
    /// Asks for what `find` with this hash will look at.
    #[inline]
    pub(super) fn expect(&self, hash: u32) {
        prefetch(&self.slots, hash as usize & self.slots.len().wrapping_sub(1));
    }

    /// The code under this hash that `is_same` holds for.
    #[inline]
    pub(super) fn find(&self, hash: u32, mut is_same: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut at = hash as usize;
        while !self.slots.is_empty() {
            let slot = self.slots[at & (self.slots.len() - 1)];
            if slot.code == ABSENT {
                break;
            }
            if slot.hash == hash && is_same(slot.code) {
                return Some(slot.code);
            }
            at += 1;
        }
        None
    }

    /// Adds a code that is not there yet.
    pub(super) fn insert(&mut self, hash: u32, code: u32) {
        if (self.count + 1) * 4 > self.slots.len() * 3 {
            let slots = vec![FREE; (self.slots.len() * 2).max(SLOT_COUNT_MIN)];
            let before = std::mem::replace(&mut self.slots, slots);
            before.into_iter().filter(|slot| slot.code != ABSENT).for_each(|slot| self.place(slot));
        }
        self.place(Slot { hash, code });
        self.count += 1;
    }

    fn place(&mut self, slot: Slot) {
        let mask = self.slots.len() - 1;
        let mut at = slot.hash as usize & mask;
        while self.slots[at].code != ABSENT {
            at = (at + 1) & mask;
        }
        self.slots[at] = slot;
    }

    /// A table without codes and with room for as many.
    pub(super) fn successor(&self) -> Codes {
        let slots = (room(self.count) * 4).div_ceil(3);
        let slots = if self.count == 0 { 0 } else { slots.next_power_of_two().max(SLOT_COUNT_MIN) };
        Codes { slots: vec![FREE; slots], count: 0 }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_code_is_found_under_its_hash_alone(hashes in proptest::collection::vec(0_u32..20, 0..100)) {
            let mut codes = Codes::default();
            for round in 0..2 {
                for (code, hash) in (0..).zip(&hashes) {
                    prop_assert_eq!(codes.find(*hash, |found| found == code), None);
                    codes.insert(*hash, code);
                }
                for (code, hash) in (0..).zip(&hashes) {
                    prop_assert_eq!(codes.find(*hash, |found| found == code), Some(code), "round {}", round);
                    prop_assert_eq!(codes.find(*hash + 1, |found| found == code), None);
                }
                codes = codes.successor();
            }
        }
    }
}
