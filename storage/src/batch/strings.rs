//! One STRING column of one side: every value once in an arena, named by a small code.
//!
//! A coded column gives equal values one code; a value equal to the last one costs one comparison, another one hash
//! look-up. A column of unique values gives each value a code of its own and hashes nothing.
//! Invariant: the arena holds stored forms (see `escape`), so it is UTF-8 throughout.

use ahash::RandomState;

use super::{
    codes::{CODE_BYTES, Codes, successor_of},
    lines::Entry,
};
use crate::escape;

/// The code of an absent value.
pub(crate) const ABSENT: u32 = u32::MAX;

/// How a column gives out codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    /// Values repeat: equal values share a code.
    Repeating,
    /// Values are nearly all different: each has its own code.
    Unique,
}

impl Coding {
    /// True where equal values share a code.
    pub(crate) const fn is_coded(self) -> bool {
        matches!(self, Coding::Repeating)
    }
}

/// What appending needs beside the column: room to escape in, and what the values of one head added up to.
#[derive(Debug, Default)]
pub(crate) struct Intake {
    /// Stored form of the value at hand, where it differs from the bytes.
    scratch: Vec<u8>,
    /// What is known of the lines at hand.
    pub(super) lines: Vec<Entry>,
    /// A value since the last reset was not UTF-8.
    pub(crate) bad_utf8: bool,
    /// Bytes the columns grew by.
    pub(crate) bytes: usize,
}

/// Values of one column, by code.
#[derive(Debug)]
pub(crate) struct Strings {
    coding: Coding,
    hasher: RandomState,
    codes: Codes,
    bytes: Vec<u8>,
    ends: Vec<u32>,
    last: u32,
    last_is_plain: bool,
}

impl Strings {
    pub(crate) fn new(coding: Coding, hasher: RandomState) -> Strings {
        Strings {
            coding,
            hasher,
            codes: Codes::default(),
            bytes: Vec::new(),
            ends: Vec::new(),
            last: ABSENT,
            last_is_plain: false,
        }
    }

    /// An empty column with room for as much.
    pub(crate) fn successor(&self, hasher: &RandomState) -> Strings {
        Strings {
            codes: self.codes.successor(),
            bytes: successor_of(&self.bytes),
            ends: successor_of(&self.ends),
            ..Strings::new(self.coding, hasher.clone())
        }
    }

    /// Asks for what `put_hashed` with this value will look at; its hash, where it will look by that.
    #[inline]
    pub(crate) fn expect(&self, value: &[u8]) -> Option<u32> {
        if self.coding == Coding::Unique || self.is_last(value) {
            return None;
        }
        let hash = self.hash(value);
        self.codes.expect(hash);
        Some(hash)
    }

    /// Appends `value` as on the wire, or finds it.
    #[inline]
    pub(crate) fn put(&mut self, value: &[u8], intake: &mut Intake) -> u32 {
        self.put_hashed(value, None, intake)
    }

    /// The same, of a value whose hash may be known by `expect`: it is not the last one then.
    #[inline]
    pub(crate) fn put_hashed(&mut self, value: &[u8], hash: Option<u32>, intake: &mut Intake) -> u32 {
        if hash.is_none() && self.is_last(value) {
            return self.last;
        }
        if escape::is_plain(value) {
            self.last = match (self.coding, hash) {
                (Coding::Unique, _) => self.push(value, intake),
                (Coding::Repeating, None) => self.find_or_push(value, intake),
                (Coding::Repeating, Some(hash)) => self.find_or_push_hashed(value, hash, intake),
            };
            self.last_is_plain = true;
            return self.last;
        }
        let mut stored = std::mem::take(&mut intake.scratch);
        stored.clear();
        intake.bad_utf8 |= escape::escape_into(value, &mut stored);
        let code = self.put_stored(&stored, intake);
        intake.scratch = stored;
        code
    }

    /// Appends a value that is in stored form already, or finds it.
    pub(crate) fn put_stored(&mut self, stored: &[u8], intake: &mut Intake) -> u32 {
        self.last_is_plain = false;
        self.last = match self.coding {
            Coding::Unique => self.push(stored, intake),
            Coding::Repeating => self.find_or_push(stored, intake),
        };
        self.last
    }

    /// Whether the value is that which came last. A stored form that differs from its bytes could equal the bytes of another.
    #[inline]
    fn is_last(&self, value: &[u8]) -> bool {
        self.last_is_plain && self.coding == Coding::Repeating && self.get(self.last) == value
    }

    #[inline]
    fn hash(&self, stored: &[u8]) -> u32 {
        (self.hasher.hash_one(stored) >> 32) as u32
    }

    fn find_or_push(&mut self, stored: &[u8], intake: &mut Intake) -> u32 {
        if self.last != ABSENT && self.get(self.last) == stored {
            return self.last;
        }
        self.find_or_push_hashed(stored, self.hash(stored), intake)
    }

    fn find_or_push_hashed(&mut self, stored: &[u8], hash: u32, intake: &mut Intake) -> u32 {
        if let Some(code) = self.codes.find(hash, |code| self.get(code) == stored) {
            return code;
        }
        let code = self.push(stored, intake);
        self.codes.insert(hash, code);
        intake.bytes += CODE_BYTES;
        code
    }

    fn push(&mut self, stored: &[u8], intake: &mut Intake) -> u32 {
        let code = u32::try_from(self.ends.len()).expect("a batch is sealed long before 2^32 values");
        self.bytes.extend_from_slice(stored);
        self.ends.push(u32::try_from(self.bytes.len()).expect("a batch is sealed long before 4 GiB"));
        intake.bytes += stored.len() + size_of::<u32>();
        code
    }

    /// Stored form of the value with this code.
    #[inline]
    pub(crate) fn get(&self, code: u32) -> &[u8] {
        slice(&self.bytes, &self.ends, code)
    }

    /// True where equal values share a code.
    pub(crate) fn is_coded(&self) -> bool {
        self.coding.is_coded()
    }

    /// Number of values held.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// All values end to end, and where each ends.
    pub(crate) fn parts(&self) -> (&[u8], &[u32]) {
        (&self.bytes, &self.ends)
    }
}

#[inline]
fn slice<'a>(bytes: &'a [u8], ends: &[u32], code: u32) -> &'a [u8] {
    let at = code as usize;
    let start = if at == 0 { 0 } else { ends[at - 1] as usize };
    &bytes[start..ends[at] as usize]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::unescape;

    fn text(strings: &Strings, code: u32) -> Vec<u8> {
        unescape(std::str::from_utf8(strings.get(code)).expect("stored form is UTF-8"))
    }

    proptest! {
        #[test]
        fn codes_are_equal_exactly_where_values_are(values in proptest::collection::vec(
            prop_oneof![
                "[ab\\\\]{0,3}".prop_map(String::into_bytes),
                proptest::collection::vec(any::<u8>(), 0..4),
                Just(br"\\".to_vec()),
            ], 1..60)) {
            let mut coded = Strings::new(Coding::Repeating, RandomState::new());
            let mut unique = Strings::new(Coding::Unique, RandomState::new());
            let mut intake = Intake::default();
            let codes: Vec<u32> = values.iter().map(|value| coded.put(value, &mut intake)).collect();
            for (at, value) in values.iter().enumerate() {
                prop_assert_eq!(&text(&coded, codes[at]), value);
                prop_assert_eq!(unique.put(value, &mut intake), u32::try_from(at).unwrap());
                for (other, code) in values.iter().zip(&codes) {
                    prop_assert_eq!(codes[at] == *code, value == other);
                }
            }
        }
    }

    #[test]
    fn doubled_backslash_on_the_wire_is_not_the_stored_form_of_a_single_one() {
        let mut strings = Strings::new(Coding::Repeating, RandomState::new());
        let mut intake = Intake::default();
        let single = strings.put(br"a\b", &mut intake);
        let double = strings.put(br"a\\b", &mut intake);
        assert_ne!(single, double);
        assert!(!intake.bad_utf8);
        strings.put(b"\xff", &mut intake);
        assert!(intake.bad_utf8);
    }
}
