//! The parts of one value that must not stay, and the value written without them.
//!
//! Detectors add spans in any order, overlapping or not. Invariant: no byte within a span is copied, but for what a
//! mask or a truncated address keeps.

use super::{address, policy::Action, token::Tokenizer};

/// What a part was replaced, or kept, for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// The policy names the field.
    FieldRule,
    /// The policy names the parameter.
    ParameterRule,
    /// The policy names the cookie.
    CookieRule,
    /// A pattern of the policy matches the path segment.
    PathRule,
    /// Names of addresses of clients, which the policy truncates.
    Client,
    /// The field's name promises a secret.
    FieldName,
    /// The parameter's name promises a secret.
    ParameterName,
    /// What stands behind an authentication scheme.
    Credentials,
    /// The value of a cookie.
    Cookie,
    /// An attribute of a cookie that is not surely one.
    CookieAttribute,
    /// What stands before the host of a URI.
    Userinfo,
    /// JSON with a name that promises a secret.
    Json,
    /// A secret shows once it is percent-decoded.
    Encoded,
    /// It begins like a JSON Web Token.
    Jwt,
    /// Long, and as if drawn at random.
    LongValue,
    /// Too malformed to tell where a secret would begin and end.
    Malformed,
}

impl Why {
    /// True where the value itself gave it away, not its place.
    fn is_form(self) -> bool {
        matches!(self, Why::Jwt | Why::LongValue)
    }
}

/// A part of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) action: Action,
    pub(super) why: Why,
}

/// Spans of one value, reused for the next.
#[derive(Debug, Default)]
pub(super) struct Spans {
    replaced: Vec<Span>,
    /// What the policy wants to stay, though it looks like a secret.
    kept: Vec<Span>,
}

impl Spans {
    pub(super) fn clear(&mut self) {
        self.replaced.clear();
        self.kept.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.replaced.is_empty()
    }

    /// Adds a span unless it is empty or stays.
    pub(super) fn add(&mut self, start: usize, end: usize, action: Action, why: Why) {
        if start < end && action != Action::Keep {
            self.replaced.push(Span { start, end, action, why });
        }
    }

    /// Keeps what lies within from being replaced for its form alone.
    pub(super) fn keep(&mut self, start: usize, end: usize, why: Why) {
        self.kept.push(Span { start, end, action: Action::Keep, why });
    }

    pub(super) fn kept(&self) -> &[Span] {
        &self.kept
    }

    /// Lets go of the spans that `keep` covers.
    pub(super) fn settle(&mut self) {
        if self.kept.is_empty() {
            return;
        }
        let kept = &mut self.kept;
        kept.sort_unstable_by_key(|keep| keep.start);
        self.replaced.retain(|span| {
            let behind = kept.partition_point(|keep| keep.start <= span.start);
            let is_kept = behind.checked_sub(1).is_some_and(|at| span.end <= kept[at].end);
            !(span.why.is_form() && is_kept)
        });
    }

    /// Appends `value` to `out` with its spans replaced, and tells where each replacement came to stand; overlapping
    /// ones are one, under the stricter action.
    pub(super) fn write(
        &mut self,
        value: &[u8],
        tokenizer: &Tokenizer,
        out: &mut Vec<u8>,
        mut told: impl FnMut(Span),
    ) {
        self.replaced.sort_unstable_by_key(|span| span.start);
        let mut copied = 0;
        let mut spans = self.replaced.iter().copied().peekable();
        while let Some(mut span) = spans.next() {
            while let Some(next) = spans.next_if(|next| next.start < span.end) {
                span.end = span.end.max(next.end);
                if rank(next.action) > rank(span.action) {
                    span.why = next.why;
                }
                span.action = stricter(span.action, next.action);
            }
            out.extend_from_slice(&value[copied..span.start]);
            let start = out.len();
            write_replaced(&value[span.start..span.end], span.action, tokenizer, out);
            told(Span { start, end: out.len(), ..span });
            copied = span.end;
        }
        out.extend_from_slice(&value[copied..]);
    }
}

fn rank(action: Action) -> u8 {
    match action {
        Action::Keep => 0,
        Action::Mask(_) => 1,
        Action::Truncate(_) => 2,
        Action::Token => 3,
        Action::Drop => 4,
    }
}

fn stricter(one: Action, other: Action) -> Action {
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
            out.extend_from_slice(&secret[..kept_len(secret, kept)]);
            out.extend_from_slice(b"***");
        }
        Action::Truncate(prefixes) => address::write_truncated(secret, prefixes, tokenizer, out),
    }
}

/// Leading bytes that a mask keeps: half of the secret at the most, and no part of a character.
fn kept_len(secret: &[u8], kept: u8) -> usize {
    let len = usize::from(kept).min(secret.len() / 2);
    let is_within_character = |at: usize| secret[at] & 0xc0 == 0x80;
    (0..=len).rev().find(|&at| at == 0 || !is_within_character(at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{super::key::Key, *};

    fn written(spans: &[(usize, usize, Action)]) -> String {
        let mut all = Spans::default();
        spans.iter().for_each(|&(start, end, action)| all.add(start, end, action, Why::FieldRule));
        let mut out = Vec::new();
        all.write(b"0123456789", &Tokenizer::new(Key::from_bytes([7; 32])), &mut out, |_| ());
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
    fn a_mask_keeps_half_at_the_most_and_whole_characters() {
        assert_eq!(written(&[(0, 10, Action::Mask(64))]), "01234***");
        assert_eq!(written(&[(0, 1, Action::Mask(4))]), "***123456789");
        assert_eq!(kept_len("aüüü".as_bytes(), 2), 1);
        assert_eq!(kept_len("aüüü".as_bytes(), 3), 3);
    }

    #[test]
    fn overlapping_spans_are_one_under_the_stricter_action() {
        assert_eq!(written(&[(4, 8, Action::Mask(2)), (2, 5, Action::Mask(1))]), "012***89");
        assert_eq!(written(&[(2, 9, Action::Mask(1)), (3, 4, Action::Drop)]), "019");
        assert_eq!(written(&[(2, 4, Action::Drop), (4, 6, Action::Mask(0))]), "01***6789");
    }

    #[test]
    fn what_is_kept_by_name_stays_though_it_looks_like_a_secret() {
        let mut spans = Spans::default();
        spans.add(2, 4, Action::Token, Why::Jwt);
        spans.add(2, 4, Action::Token, Why::ParameterName);
        spans.add(3, 6, Action::Token, Why::LongValue);
        spans.keep(2, 4, Why::ParameterRule);
        spans.settle();
        let left: Vec<_> = spans.replaced.iter().map(|span| span.why).collect();
        assert_eq!(left, [Why::ParameterName, Why::LongValue]);
    }
}
