//! Field names of a head, in wire order: one code for all of them, found by the codes of the names.
//!
//! Heads that have the same names in the same order are told by a few small numbers, and their text is joined once.
//! Invariant: names are in stored form, in which a comma is escaped, so what is joined tells the names apart.

use ahash::RandomState;

use super::{
    codes::{CODE_BYTES, Codes, successor_of},
    strings::{ABSENT, Intake, Strings},
};
use crate::field::Field;

/// Sequences of names met, by the codes of the names.
#[derive(Debug)]
pub(crate) struct Sequences {
    hasher: RandomState,
    codes: Codes,
    /// All sequences, end to end.
    names: Vec<u32>,
    /// Where each ends, and the code of its text.
    entries: Vec<(u32, u32)>,
    /// The sequence at hand.
    pub(crate) current: Vec<u32>,
    /// The code of each field's name, as it was written last; absent before.
    pub(crate) by_field: [u32; Field::ALL.len()],
    text: Vec<u8>,
}

impl Sequences {
    pub(crate) fn new(hasher: RandomState) -> Sequences {
        Sequences {
            hasher,
            codes: Codes::default(),
            names: Vec::new(),
            entries: Vec::new(),
            current: Vec::new(),
            by_field: [ABSENT; Field::ALL.len()],
            text: Vec::new(),
        }
    }

    /// None yet, and room for as many.
    pub(crate) fn successor(&self, hasher: &RandomState) -> Sequences {
        Sequences {
            codes: self.codes.successor(),
            names: successor_of(&self.names),
            entries: successor_of(&self.entries),
            ..Sequences::new(hasher.clone())
        }
    }

    /// Asks for what `put` will look at; the hash of the sequence at hand.
    #[inline]
    pub(crate) fn expect(&self) -> u32 {
        let hash = (self.hasher.hash_one(&self.current[..]) >> 32) as u32;
        self.codes.expect(hash);
        hash
    }

    /// The code that the names of the sequence at hand, of which this is the hash, have in `texts`, joined by commas.
    pub(crate) fn put(
        &mut self,
        hash: u32,
        names: &Strings,
        texts: &mut Strings,
        intake: &mut Intake,
    ) -> u32 {
        let found = self.codes.find(hash, |nth| {
            let (start, end) = self.place(nth);
            self.names[start..end] == self.current
        });
        if let Some(nth) = found {
            return self.entries[nth as usize].1;
        }
        self.text.clear();
        for (position, name) in self.current.iter().enumerate() {
            if position > 0 {
                self.text.push(b',');
            }
            self.text.extend_from_slice(names.get(*name));
        }
        let code = texts.put_stored(&self.text, intake);
        let nth = u32::try_from(self.entries.len()).expect("a batch is sealed long before 2^32 sequences");
        self.names.extend_from_slice(&self.current);
        self.entries.push((u32::try_from(self.names.len()).expect("as few names"), code));
        self.codes.insert(hash, nth);
        intake.bytes += size_of_val(&self.current[..]) + size_of::<(u32, u32)>() + CODE_BYTES;
        code
    }

    fn place(&self, nth: u32) -> (usize, usize) {
        let nth = nth as usize;
        let start = nth.checked_sub(1).map_or(0, |before| self.entries[before].0 as usize);
        (start, self.entries[nth].0 as usize)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::batch::strings::Coding;

    proptest! {
        #[test]
        fn a_sequence_has_the_code_of_its_names_joined(
            heads in proptest::collection::vec(proptest::collection::vec("[ab]{0,2}", 0..4), 0..40),
        ) {
            let strings = || Strings::new(Coding::Repeating, RandomState::new());
            let (mut names, mut texts, mut intake) = (strings(), strings(), Intake::default());
            let mut sequences = Sequences::new(RandomState::new());
            for head in heads {
                sequences.current.clear();
                sequences.current.extend(head.iter().map(|name| names.put(name.as_bytes(), &mut intake)));
                let code = sequences.put(sequences.expect(), &names, &mut texts, &mut intake);
                let joined = head.join(",");
                prop_assert_eq!(texts.get(code), joined.as_bytes());
                prop_assert_eq!(texts.put(joined.as_bytes(), &mut intake), code);
            }
        }
    }
}
