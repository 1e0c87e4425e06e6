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
    last: Last,
}

/// The value that came last, as far as it is compared without a look at the arena, where it may lie far away.
#[derive(Clone, Copy, Debug)]
struct Last {
    /// Absent before the first value.
    code: u32,
    /// Of its stored form.
    outline: Outline,
    /// The stored form is what was on the wire.
    is_plain: bool,
}

/// Length, beginning and end of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Outline {
    len: usize,
    ends: [u64; 2],
}

impl Outline {
    /// Values of this length at the most are equal where their outlines are.
    const WHOLE_LEN_MAX: usize = 2 * size_of::<u64>();

    const EMPTY: Outline = Outline { len: 0, ends: [0; 2] };

    #[inline]
    fn of(value: &[u8]) -> Outline {
        let len = value.len();
        let ends = if let (Some(first), Some(last)) = (value.first_chunk(), value.last_chunk()) {
            [u64::from_ne_bytes(*first), u64::from_ne_bytes(*last)]
        } else if let (Some(first), Some(last)) = (value.first_chunk(), value.last_chunk()) {
            [u32::from_ne_bytes(*first).into(), u32::from_ne_bytes(*last).into()]
        } else if let (Some(first), Some(last)) = (value.first(), value.last()) {
            [u64::from(*first) << 8 | u64::from(*last), value[len / 2].into()]
        } else {
            [0; 2]
        };
        Outline { len, ends }
    }

    /// Whether values of this outline are equal if they are alike in it.
    #[inline]
    const fn is_whole(&self) -> bool {
        self.len <= Outline::WHOLE_LEN_MAX
    }
}

impl Strings {
    pub(crate) fn new(coding: Coding, hasher: RandomState) -> Strings {
        Strings {
            coding,
            hasher,
            codes: Codes::default(),
            bytes: Vec::new(),
            ends: Vec::new(),
            last: Last { code: ABSENT, outline: Outline::EMPTY, is_plain: false },
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
        if self.coding == Coding::Unique || (self.last.is_plain && self.is_last(value, Outline::of(value))) {
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
        let outline = Outline::of(value);
        // A stored form that differs from its bytes could equal the bytes of another.
        if hash.is_none() && self.last.is_plain && self.is_last(value, outline) {
            return self.last.code;
        }
        if escape::is_plain(value) {
            let code = match (self.coding, hash) {
                (Coding::Unique, _) => self.push(value, intake),
                (Coding::Repeating, None) => self.find_or_push(value, outline, intake),
                (Coding::Repeating, Some(hash)) => self.find_or_push_hashed(value, hash, intake),
            };
            self.last = Last { code, outline, is_plain: true };
            return code;
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
        let outline = Outline::of(stored);
        let code = match self.coding {
            Coding::Unique => self.push(stored, intake),
            Coding::Repeating => self.find_or_push(stored, outline, intake),
        };
        self.last = Last { code, outline, is_plain: false };
        code
    }

    /// Whether this, in stored form, is what came last.
    #[inline]
    fn is_last(&self, stored: &[u8], outline: Outline) -> bool {
        self.last.outline == outline
            && self.last.code != ABSENT
            && self.coding == Coding::Repeating
            && (outline.is_whole() || self.get(self.last.code) == stored)
    }

    #[inline]
    fn hash(&self, stored: &[u8]) -> u32 {
        (self.hasher.hash_one(stored) >> 32) as u32
    }

    fn find_or_push(&mut self, stored: &[u8], outline: Outline, intake: &mut Intake) -> u32 {
        if self.is_last(stored, outline) {
            return self.last.code;
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

    /// Takes out all values end to end, and where each ends.
    pub(crate) fn take_parts(&mut self) -> (Vec<u8>, Vec<u32>) {
        (std::mem::take(&mut self.bytes), std::mem::take(&mut self.ends))
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
        fn outlines_tell_short_values_apart(a in "[ab]{0,18}", b in "[ab]{0,18}") {
            let [of_a, of_b] = [&a, &b].map(|value| Outline::of(value.as_bytes()));
            prop_assert_eq!(of_a, Outline::of(a.clone().as_bytes()));
            if of_a == of_b && of_a.is_whole() {
                prop_assert_eq!(a, b);
            }
        }

        #[test]
        fn codes_are_equal_exactly_where_values_are(values in proptest::collection::vec(
            prop_oneof![
                "[ab\\\\]{0,3}".prop_map(String::into_bytes),
                "a{7,9}[ab]{0,2}b{7,9}".prop_map(String::into_bytes),
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
