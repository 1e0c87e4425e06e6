//! Codes that lines of a number have in one batch: name and value were looked up before, under this number.
//!
//! Invariant: codes noted are those of names and values which are UTF-8, so finding them again says nothing new of the head.

use super::strings::ABSENT;
use crate::{
    prefetch::prefetch,
    values::{LINE_NUMBER_SLOTS, LineNumber},
};

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    number: Option<LineNumber>,
    codes: [u32; 2],
}

/// Bytes the codes of one side take.
pub(super) const KNOWN_LINES_BYTES_MAX: usize = LINE_NUMBER_SLOTS * size_of::<Slot>();

/// Two codes by line number, of one side: of the line's name, and of its value in the line's home; absent is one that
/// was not looked up yet.
#[derive(Debug, Default)]
pub(crate) struct KnownLines {
    /// Empty until a line has a number.
    slots: Vec<Slot>,
}

impl KnownLines {
    /// Asks for what `get` with this number will look at.
    #[inline]
    pub(crate) fn expect(&self, number: LineNumber) {
        prefetch(&self.slots, slot_of(number));
    }

    #[inline]
    pub(crate) fn get(&self, number: Option<LineNumber>) -> Option<[u32; 2]> {
        let slot = self.slots.get(slot_of(number?))?;
        (slot.number == number).then_some(slot.codes)
    }

    pub(crate) fn note(&mut self, number: Option<LineNumber>, codes: [u32; 2]) {
        let Some(known) = number else { return };
        if self.slots.is_empty() {
            self.slots.resize(LINE_NUMBER_SLOTS, Slot { number: None, codes: [ABSENT; 2] });
        }
        self.slots[slot_of(known)] = Slot { number, codes };
    }
}

fn slot_of(number: LineNumber) -> usize {
    number.get() as usize % LINE_NUMBER_SLOTS
}
