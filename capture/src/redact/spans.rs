//! The parts of one value that must not stay, and the value written without them.
//!
//! Detectors add spans in any order, overlapping or not. Invariant: no byte within a span is copied, but for a mask's.

use super::{policy::Action, token::Tokenizer};

/// A part of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) action: Action,
}

/// Spans of one value, reused for the next.
#[derive(Debug, Default)]
pub(super) struct Spans(Vec<Span>);

impl Spans {
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a span unless it is empty or stays.
    pub(super) fn add(&mut self, start: usize, end: usize, action: Action) {
        if start < end && action != Action::Keep {
            self.0.push(Span { start, end, action });
        }
    }

    /// Appends `value` to `out` with its spans replaced; overlapping ones are one, under the stricter action.
    pub(super) fn write(&mut self, value: &[u8], tokenizer: &Tokenizer, out: &mut Vec<u8>) {
        self.0.sort_unstable_by_key(|span| span.start);
        let mut copied = 0;
        let mut spans = self.0.iter().copied().peekable();
        while let Some(mut span) = spans.next() {
            while let Some(next) = spans.next_if(|next| next.start < span.end) {
                span.end = span.end.max(next.end);
                span.action = stricter(span.action, next.action);
            }
            out.extend_from_slice(&value[copied..span.start]);
            write_replaced(&value[span.start..span.end], span.action, tokenizer, out);
            copied = span.end;
        }
        out.extend_from_slice(&value[copied..]);
    }
}

fn stricter(one: Action, other: Action) -> Action {
    let rank = |action| match action {
        Action::Keep => 0,
        Action::Mask(_) => 1,
        Action::Token => 2,
        Action::Drop => 3,
    };
    match (one, other) {
        (Action::Mask(a), Action::Mask(b)) => Action::Mask(a.min(b)),
        _ if rank(one) >= rank(other) => one,
        _ => other,
    }
}

fn write_replaced(secret: &[u8], action: Action, tokenizer: &Tokenizer, out: &mut Vec<u8>) {
    match action {
        Action::Keep => out.extend_from_slice(secret),
        Action::Token => tokenizer.write(secret, out),
        Action::Drop => {}
        Action::Mask(kept) => {
            out.extend_from_slice(&secret[..secret.len().min(kept.into())]);
            out.extend_from_slice(b"***");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::key::Key, *};

    fn written(spans: &[(usize, usize, Action)]) -> String {
        let mut all = Spans::default();
        spans.iter().for_each(|&(start, end, action)| all.add(start, end, action));
        let mut out = Vec::new();
        all.write(b"0123456789", &Tokenizer::new(Key::from_bytes([7; 32])), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_action_does_what_it_says() {
        assert_eq!(written(&[]), "0123456789");
        assert_eq!(written(&[(2, 4, Action::Keep), (3, 3, Action::Drop)]), "0123456789");
        assert_eq!(written(&[(2, 4, Action::Drop)]), "01456789");
        assert_eq!(written(&[(2, 8, Action::Mask(1))]), "012***89");
        let token = written(&[(2, 4, Action::Token)]);
        assert!(token.starts_with("01tok:") && token.ends_with("456789"), "{token}");
    }

    #[test]
    fn overlapping_spans_are_one_under_the_stricter_action() {
        assert_eq!(written(&[(4, 8, Action::Mask(2)), (2, 5, Action::Mask(1))]), "012***89");
        assert_eq!(written(&[(2, 9, Action::Mask(1)), (3, 4, Action::Drop)]), "019");
        assert_eq!(written(&[(2, 4, Action::Drop), (4, 6, Action::Mask(0))]), "01***6789");
    }
}
