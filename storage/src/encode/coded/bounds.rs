//! The least and the greatest of strings, and their short forms in statistics.
//!
//! Invariant: a short form is UTF-8, and a bound of what it was made from.

/// Bytes of a bound at the most, in statistics and in the page index: what the parquet crate cuts them to.
const BOUND_BYTES_MAX: usize = 64;

/// The least and the greatest of some strings; `None` of none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bounds<'a>(Option<[&'a str; 2]>);

impl<'a> Bounds<'a> {
    /// Takes in one more.
    #[inline]
    pub(super) fn add(&mut self, text: &'a str) {
        match &mut self.0 {
            None => self.0 = Some([text; 2]),
            Some([least, _]) if text < *least => *least = text,
            Some([_, greatest]) if text > *greatest => *greatest = text,
            Some(_) => {}
        }
    }

    /// Takes in all that `other` is of.
    pub(super) fn join(&mut self, other: Bounds<'a>) {
        other.0.into_iter().flatten().for_each(|text| self.add(text));
    }

    /// Least and greatest.
    pub(super) fn ends(self) -> Option<[&'a str; 2]> {
        self.0
    }
}

/// How the bounds of one page after another run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trend<'a> {
    last: Option<[&'a str; 2]>,
    pub(super) rises: bool,
    pub(super) falls: bool,
}

impl<'a> Trend<'a> {
    pub(super) fn new() -> Trend<'a> {
        Trend { last: None, rises: true, falls: true }
    }

    /// Takes in the bounds of the next page that has any.
    pub(super) fn add(&mut self, ends: [&'a str; 2]) {
        if let Some(last) = self.last {
            self.rises &= last[0] <= ends[0] && last[1] <= ends[1];
            self.falls &= last[0] >= ends[0] && last[1] >= ends[1];
        }
        self.last = Some(ends);
    }
}

/// Not greater than `text`, and short; true where it is `text`.
pub(super) fn lower(text: &str) -> (&str, bool) {
    (&text[..text.floor_char_boundary(BOUND_BYTES_MAX)], text.len() <= BOUND_BYTES_MAX)
}

/// Not less than `text`, and short where that is possible; true where it is `text`.
pub(super) fn upper(text: &str) -> (String, bool) {
    if text.len() > BOUND_BYTES_MAX {
        for (at, char) in lower(text).0.char_indices().rev() {
            let next = char::from_u32(char as u32 + 1).filter(|next| next.len_utf8() == char.len_utf8());
            if let Some(next) = next {
                return ([&text[..at], next.encode_utf8(&mut [0; 4])].concat(), false);
            }
        }
    }
    (text.to_owned(), true)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn short_forms_are_bounds(text in "[a-c\u{7f}é\u{7ff}\u{d7ff}\u{10ffff}]{0,100}") {
            let (low, high) = (lower(&text), upper(&text));
            prop_assert!(low.0 <= &text[..] && text <= high.0);
            prop_assert!(low.0.len() <= BOUND_BYTES_MAX);
            prop_assert_eq!(low.1, low.0 == text);
            prop_assert_eq!(high.1, high.0 == text);
        }

        #[test]
        fn bounds_are_least_and_greatest(texts in proptest::collection::vec("[ab]{0,3}", 0..9)) {
            let mut bounds = Bounds::default();
            texts.iter().for_each(|text| bounds.add(text));
            let naive = texts.iter().min().zip(texts.iter().max()).map(|(least, greatest)| [&least[..], greatest]);
            prop_assert_eq!(bounds.ends(), naive);
        }
    }

    #[test]
    fn a_trend_holds_while_both_ends_follow_it() {
        let trend = |pages: &[[&'static str; 2]]| {
            let mut trend = Trend::new();
            pages.iter().for_each(|ends| trend.add(*ends));
            (trend.rises, trend.falls)
        };
        assert_eq!(trend(&[["a", "b"]]), (true, true));
        assert_eq!(trend(&[["a", "b"], ["a", "c"], ["b", "c"]]), (true, false));
        assert_eq!(trend(&[["b", "c"], ["a", "c"]]), (false, true));
        assert_eq!(trend(&[["a", "c"], ["b", "b"]]), (false, false));
    }

    #[test]
    fn a_text_without_a_greater_short_one_stays_whole() {
        let text = "\u{10ffff}".repeat(20);
        assert_eq!(upper(&text), (text.clone(), true));
        assert_eq!(upper(&"a".repeat(65)), ("a".repeat(63) + "b", false));
    }
}
